/*-------------------------------------------------------------------------
 *
 * queue.c
 *		What the worker reads: whom something is owed, rows of the queue, payloads.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "tables/columns.h"
#include "tables/direct.h"
#include "tables/piece.h"
#include "tables/queue.h"
#include "tables/statement.h"
#include "tables/tables.h"

/* As few ids as a statement looks at, and as many. */
#define MIN_SPAN	INT64CONST(10000)
#define MAX_SPAN	(INT64CONST(1) << 40)

List *
queue_owed_destinations(void)
{
	List	   *result = NIL;

	tables_lock_and_look("queue");
	if (piece_destinations(&result))
		return result;
	statement_execute(OWED_DESTINATIONS, NULL, NULL, true, SPI_OK_SELECT);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		null;

		result = lappend_int(result, DatumGetInt32(statement_column(i, 0, &null)));
	}
	SPI_freetuptable(SPI_tuptable);
	return result;
}

/* These as an array. */
Datum
queue_owed_array(void)
{
	List	   *owed = queue_owed_destinations();
	Datum	   *ids = palloc(sizeof(Datum) * Max(list_length(owed), 1));
	int			count = 0;
	ListCell   *lc;

	foreach(lc, owed)
		ids[count++] = Int32GetDatum(lfirst_int(lc));
	return statement_array(ids, count, INT4OID);
}

bool
queue_owes(int64 event_id, int16 ring_part)
{
	Datum		values[] = {Int64GetDatum(event_id), Int16GetDatum(ring_part), queue_owed_array()};
	bool		owed;

	statement_execute(IS_OWED, values, NULL, true, SPI_OK_SELECT);
	owed = SPI_processed > 0;
	SPI_freetuptable(SPI_tuptable);
	return owed;
}

/* The rows that a statement has returned. */
static int
take_rows(QueueRow *rows)
{
	int			count = (int) SPI_processed;

	for (int i = 0; i < count; i++)
	{
		QueueRow   *row = &rows[i];
		bool		null;
		Datum		key = statement_column(i, QUEUE_ORDERING_KEY, &null);

		row->has_key = !null;
		row->ordering_key = null ? 0 : DatumGetInt64(key);
		row->destination_id = DatumGetInt32(statement_column(i, QUEUE_DESTINATION_ID, &null));
		row->attempts = DatumGetInt32(statement_column(i, QUEUE_ATTEMPTS, &null));
		row->event_id = DatumGetInt64(statement_column(i, QUEUE_EVENT_ID, &null));
		row->queued_at = statement_time(i, QUEUE_QUEUED_AT);
		row->deliver_after = statement_time(i, QUEUE_DELIVER_AFTER);
		row->expires_at = statement_time(i, QUEUE_EXPIRES_AT);
		row->first_attempt_at = statement_time(i, QUEUE_FIRST_ATTEMPT_AT);
		row->retry_at = statement_time(i, QUEUE_RETRY_AT);
		row->event_slot = DatumGetInt16(statement_column(i, QUEUE_EVENT_SLOT, &null));
		row->run = DatumGetInt16(statement_column(i, QUEUE_RUN, &null));
		row->tid = *(ItemPointer) DatumGetPointer(statement_column(i, QUEUE_COLUMNS, &null));
	}
	SPI_freetuptable(SPI_tuptable);
	return count;
}

static int
read_due(const ReadRequest *request, QueueRow *rows)
{
	Datum		values[4] = {
		Int32GetDatum(request->destination_id),
		TimestampTzGetDatum(request->due_after),
		Int64GetDatum(request->after_id),
		Int64GetDatum(request->limit)
	};

	statement_execute(READ_BY_TIME, values, NULL, true, SPI_OK_SELECT);
	return take_rows(rows);
}

static int
read_retries(const ReadRequest *request, QueueRow *rows)
{
	Datum		ids[READ_IDS];
	Datum		values[2];

	for (int i = 0; i < request->nids; i++)
		ids[i] = Int64GetDatum(request->ids[i]);
	values[0] = Int32GetDatum(request->destination_id);
	values[1] = statement_array(ids, request->nids, INT8OID);
	statement_execute(READ_BY_IDS, values, NULL, true, SPI_OK_SELECT);
	return take_rows(rows);
}

/*
 * A statement tells nothing of dead rows, so its piece is one of ids, of which
 * there are as many as the last ones took little time; but all below 1, which
 * are few and far between, are one piece.
 */
static int
read_by_statement(ReadRequest *request, QueueRow *rows)
{
	static int64 span = MIN_SPAN;
	Instant		began = clock_now();
	int64		from = request->after_id == PG_INT64_MIN ? PG_INT64_MIN : id_after(request->after_id);
	int64		last = from < 0 ? 0 : from - 1 + Min(span, PG_INT64_MAX - from);
	bool		whole = request->upto_id <= last;
	int64		upto = whole ? request->upto_id : last;
	Datum		values[4] = {
		Int32GetDatum(request->destination_id),
		Int64GetDatum(from),
		Int64GetDatum(upto),
		Int64GetDatum(request->limit)
	};
	int			count;

	if (request->after_id == PG_INT64_MAX)
		return 0;
	statement_execute(READ_BY_ID, values, NULL, true, SPI_OK_SELECT);
	count = take_rows(rows);
	request->cut = !whole && count < request->limit;
	request->cut_id = upto;
	if (clock_now() - began > PIECE_US)
		span = Max(span / 2, MIN_SPAN);
	else if (request->cut)
		span = Min(span * 2, MAX_SPAN);
	return count;
}

int
queue_read(ReadRequest *request, QueueRow **rows)
{
	Instant		began = clock_now();
	int			count;

	*rows = palloc(sizeof(QueueRow) * Max(request->limit, 1));
	if (request->kind == READ_DUE)
		count = read_due(request, *rows);
	else if (request->kind == READ_RETRIES)
		count = read_retries(request, *rows);
	else if (!piece_read(request, *rows, &count))
		count = read_by_statement(request, *rows);
	request->took_us = clock_now() - began;
	return count;
}

static void
fetch_by_statement(const QueueRow *row, StoredEvent *stored)
{
	Datum		params[5];
	Datum		ring_part = Int16GetDatum(row->event_slot);
	bool		null;

	memset(stored, 0, sizeof(*stored));
	statement_claimed(&row, 1, params);
	params[4] = statement_array(&ring_part, 1, INT2OID);
	statement_execute(FETCH, params, NULL, false, SPI_OK_SELECT); /* see tables_look_again() */
	if (SPI_processed > 0)
	{
		Datum		event = statement_column(0, 0, &stored->missing);

		if (!stored->missing)
		{
			stored->event = DatumGetJsonbPCopy(event);
			stored->created_at = DatumGetTimestampTz(statement_column(0, 1, &null));
			event = statement_column(0, 2, &null);
			stored->nonce = null ? 0 : DatumGetInt64(event);
			event = statement_column(0, 3, &null);
			if (!null)
				stored->traceparent = TextDatumGetCString(event);
		}
	}
	SPI_freetuptable(SPI_tuptable);
}

int
queue_fetch(const QueueRow **rows, int count, int64 budget,
			void (*looking_at) (const QueueRow *row, int64 bytes), StoredEvent *events)
{
	int			fetched = direct_fetch(rows, count, budget, looking_at, events);

	if (fetched > 0)
		return fetched;

	/* one by one: how large a payload is shows when it is there */
	while (fetched < count && budget >= 0)
	{
		CHECK_FOR_INTERRUPTS();
		looking_at(rows[fetched], 0);
		fetch_by_statement(rows[fetched], &events[fetched]);
		if (events[fetched].event != NULL)
			budget -= VARSIZE(events[fetched].event);
		fetched++;
	}
	looking_at(NULL, 0);
	return fetched;
}
