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
#include "utils/timestamp.h"

#include "tables/columns.h"
#include "tables/direct.h"
#include "tables/queue.h"
#include "tables/statement.h"
#include "tables/tables.h"

List *
queue_owed_destinations(void)
{
	List	   *result = NIL;

	tables_lock_and_look("queue");
	statement_execute(OWED_DESTINATIONS, NULL, NULL, true, SPI_OK_SELECT);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		null;

		result = lappend_int(result, DatumGetInt32(statement_column(i, 0, &null)));
	}
	SPI_freetuptable(SPI_tuptable);
	return result;
}

bool
queue_owes(int64 event_id, int16 ring_part)
{
	Datum		values[] = {Int64GetDatum(event_id), Int16GetDatum(ring_part)};
	bool		owed;

	statement_execute(IS_OWED, values, NULL, true, SPI_OK_SELECT);
	owed = SPI_processed > 0;
	SPI_freetuptable(SPI_tuptable);
	return owed;
}

bool
queue_is_home(bool *is_copy)
{
	bool		null;
	bool		home;

	tables_lock_and_look("home");
	statement_execute(IS_HOME, NULL, NULL, true, SPI_OK_SELECT);
	home = DatumGetBool(statement_column(0, 0, &null)) && !null;
	*is_copy = !home && !null;
	SPI_freetuptable(SPI_tuptable);
	return home;
}

static Datum
ids_to_read(const ReadRequest *request)
{
	Datum		ids[READ_IDS];

	for (int i = 0; i < request->nids; i++)
		ids[i] = Int64GetDatum(request->ids[i]);
	return statement_array(ids, request->nids, INT8OID);
}

int
queue_read(const ReadRequest *request, QueueRow **rows)
{
	Datum		values[4];
	int			count;

	values[0] = Int32GetDatum(request->destination_id);
	values[3] = Int64GetDatum(request->limit);
	if (request->kind == READ_DUE)
	{
		values[1] = TimestampTzGetDatum(request->due_after);
		values[2] = Int64GetDatum(request->after_id);
		statement_execute(READ_BY_TIME, values, NULL, true, SPI_OK_SELECT);
	}
	else if (request->kind == READ_RETRIES)
	{
		values[1] = ids_to_read(request);
		statement_execute(READ_BY_IDS, values, NULL, true, SPI_OK_SELECT);
	}
	else
	{
		values[1] = Int64GetDatum(request->after_id);
		values[2] = Int64GetDatum(request->upto_id);
		statement_execute(READ_BY_ID, values, NULL, true, SPI_OK_SELECT);
	}

	count = (int) SPI_processed;
	*rows = palloc(sizeof(QueueRow) * Max(count, 1));
	for (int i = 0; i < count; i++)
	{
		QueueRow   *row = &(*rows)[i];
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
		row->tid = *(ItemPointer) DatumGetPointer(statement_column(i, QUEUE_COLUMNS, &null));
	}
	SPI_freetuptable(SPI_tuptable);
	return count;
}

/* NULL if the row is no longer what was read, or its payload is missing. */
static Jsonb *
fetch_by_statement(const QueueRow *row, bool *missing)
{
	Datum		params[5];
	Datum		ring_part = Int16GetDatum(row->event_slot);
	Jsonb	   *result = NULL;

	statement_claimed(&row, 1, params);
	params[4] = statement_array(&ring_part, 1, INT2OID);
	statement_execute(FETCH, params, NULL, false, SPI_OK_SELECT); /* see tables_look_again() */
	*missing = false;
	if (SPI_processed > 0)
	{
		Datum		event = statement_column(0, 0, missing);

		if (!*missing)
			result = DatumGetJsonbPCopy(event);
	}
	SPI_freetuptable(SPI_tuptable);
	return result;
}

int
queue_fetch(const QueueRow **rows, int count, int64 budget,
			void (*looking_at) (const QueueRow *row, int64 bytes), Jsonb **events, bool *missing)
{
	int			fetched = direct_fetch(rows, count, budget, looking_at, events, missing);

	if (fetched > 0)
		return fetched;

	/* one by one: how large a payload is shows when it is there */
	while (fetched < count && budget >= 0)
	{
		CHECK_FOR_INTERRUPTS();
		looking_at(rows[fetched], 0);
		events[fetched] = fetch_by_statement(rows[fetched], &missing[fetched]);
		if (events[fetched] != NULL)
			budget -= VARSIZE(events[fetched]);
		fetched++;
	}
	looking_at(NULL, 0);
	return fetched;
}
