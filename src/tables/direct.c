/*-------------------------------------------------------------------------
 *
 * direct.c
 *		What the worker does for each event, without a statement.
 *
 * A statement takes all ten partitions of a ring into its hands, and finds
 * each row of the queue by its key once to send it and once more to delete it.
 * Here a row of the queue is where it was read, as long as it has not been
 * moved, and a partition is the one for its part of the ring.
 *
 * Where a row was read is a hint: what is there is compared with the row that
 * was claimed, and if it is another one, or none, the row is looked up by its
 * key, since VACUUM FULL and CLUSTER move rows that have not changed.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/inject.h"
#include "tables/direct.h"
#include "tables/rows.h"
#include "tables/tables.h"

/* Of the queue's columns, so many are read here. */
#define QUEUE_COLUMNS_READ	(QUEUE_QUEUED_AT + 1)

/* ---------------------------------------------------------------------
 * The queue's rows
 * ---------------------------------------------------------------------
 */
typedef struct QueueReader
{
	Relation	rel;
	Snapshot	snapshot;
	TableScanDesc places;		/* knows where the table ends */
	TupleTableSlot *slot;		/* the row that was found */
	KeyLookup	by_key;
} QueueReader;

/* Under the active snapshot, which must stay until the reader is closed. */
static bool
queue_reader_open(QueueReader *reader, Relation rel)
{
	if (!rows_table_is_known(rel, columns_of_queue, QUEUE_COLUMNS_READ) ||
		!key_lookup_open(&reader->by_key, rel, rows_queue_key))
		return false;
	reader->rel = rel;
	reader->snapshot = GetActiveSnapshot();
	reader->places = table_beginscan_tid(reader->rel, reader->snapshot);
	reader->slot = table_slot_create(reader->rel, NULL);
	return true;
}

static void
queue_reader_close(QueueReader *reader)
{
	ExecDropSingleTupleTableSlot(reader->slot);
	table_endscan(reader->places);
	key_lookup_close(&reader->by_key);
}

static bool
is_claimed(TupleTableSlot *slot, const QueueRow *row)
{
	const Datum *values = slot->tts_values;

	slot_getsomeattrs(slot, QUEUE_COLUMNS_READ);
	return DatumGetInt64(values[QUEUE_EVENT_ID]) == row->event_id &&
		DatumGetInt32(values[QUEUE_DESTINATION_ID]) == row->destination_id &&
		DatumGetInt32(values[QUEUE_ATTEMPTS]) == row->attempts &&
		DatumGetTimestampTz(values[QUEUE_QUEUED_AT]) == row->queued_at;
}

/* Is the row still the one that was claimed?  It is in the reader's slot then. */
static bool
find_claimed(QueueReader *reader, const QueueRow *row)
{
	ItemPointerData tid = row->tid;

	if (table_tuple_tid_valid(reader->places, &tid) &&
		table_tuple_fetch_row_version(reader->rel, &tid, reader->snapshot, reader->slot) &&
		is_claimed(reader->slot, row))
		return true;
	return key_lookup_find(&reader->by_key, reader->snapshot,
						   Int32GetDatum(row->destination_id),
						   Int64GetDatum(row->event_id), reader->slot) &&
		is_claimed(reader->slot, row);
}

/* ---------------------------------------------------------------------
 * Fetching
 * ---------------------------------------------------------------------
 */
typedef struct EventReader
{
	Relation	rel;			/* NULL: not open */
	TableScanDesc places;		/* knows where the table ends; NULL: not open */
	ItemPointerData last;		/* where the last one was found */
	int			strayed;		/* of late, others were not behind that */
	TupleTableSlot *slot;
	KeyLookup	by_key;
} EventReader;

/* So often a row is looked for in vain behind the last one. */
#define MAX_STRAYED		4

static bool
event_reader_open(EventReader *reader, Relation parent, int16 ring_part)
{
	Oid			partition = rows_partition(parent, ring_part);
	Relation	rel;

	if (!OidIsValid(partition))
		return false;
	rel = table_open(partition, AccessShareLock);
	if (!rows_table_is_known(rel, columns_of_event, EVENT_COLUMNS) ||
		!key_lookup_open(&reader->by_key, rel, rows_event_key))
	{
		table_close(rel, NoLock);
		return false;
	}
	reader->rel = rel;
	reader->places = NULL;
	ItemPointerSetInvalid(&reader->last);
	reader->strayed = 0;
	reader->slot = table_slot_create(rel, NULL);
	return true;
}

static void
event_reader_close(EventReader *reader)
{
	ExecDropSingleTupleTableSlot(reader->slot);
	if (reader->places != NULL)
		table_endscan(reader->places);
	key_lookup_close(&reader->by_key);
	table_close(reader->rel, NoLock);
}

/*
 * Events lie in the order in which they were sent, and are read in that order as a
 * rule: what comes next is behind what came last.  A visible row with the key is
 * the one that the index has.
 */
static bool
is_at(EventReader *reader, ItemPointerData tid, const QueueRow *row)
{
	bool		null;

	return table_tuple_tid_valid(reader->places, &tid) &&
		table_tuple_fetch_row_version(reader->rel, &tid, GetActiveSnapshot(), reader->slot) &&
		DatumGetInt64(slot_getattr(reader->slot, EVENT_ID + 1, &null)) == row->event_id &&
		DatumGetInt16(slot_getattr(reader->slot, EVENT_SLOT + 1, &null)) == row->event_slot;
}

static bool
is_next(EventReader *reader, const QueueRow *row)
{
	ItemPointerData tid = reader->last;

	if (!ItemPointerIsValid(&tid) || reader->strayed >= MAX_STRAYED)
		return false;
	if (reader->places == NULL)
		reader->places = table_beginscan_tid(reader->rel, GetActiveSnapshot());
	ItemPointerSetOffsetNumber(&tid, OffsetNumberNext(ItemPointerGetOffsetNumber(&tid)));
	if (is_at(reader, tid, row))
		return true;
	ItemPointerSet(&tid, ItemPointerGetBlockNumber(&tid) + 1, FirstOffsetNumber);
	return is_at(reader, tid, row);
}

static bool
find_event(EventReader *reader, const QueueRow *row)
{
	bool		found = is_next(reader, row);

	if (found)
		reader->strayed = 0;
	else
	{
		if (ItemPointerIsValid(&reader->last))
			reader->strayed++;
		found = key_lookup_find(&reader->by_key, GetActiveSnapshot(),
								Int64GetDatum(row->event_id),
								Int16GetDatum(row->event_slot), reader->slot);
	}
	if (found)
		reader->last = reader->slot->tts_tid;
	return found;
}

static void
read_event(EventReader *reader, const QueueRow *row,
		   void (*looking_at) (const QueueRow *row, int64 bytes), StoredEvent *stored)
{
	TupleTableSlot *slot = reader->slot;
	bool		null;
	Datum		event;

	stored->missing = !find_event(reader, row);
	if (stored->missing)
		return;
	event = slot_getattr(slot, EVENT_EVENT + 1, &null);
	looking_at(row, toast_raw_datum_size(event));
	stored->event = DatumGetJsonbPCopy(event);
	stored->created_at = DatumGetTimestampTz(slot_getattr(slot, EVENT_CREATED_AT + 1, &null));
	event = slot_getattr(slot, EVENT_NONCE + 1, &null);
	stored->nonce = null ? 0 : DatumGetInt64(event);
	event = slot_getattr(slot, EVENT_TRACEPARENT + 1, &null);
	if (!null)
		stored->traceparent = TextDatumGetCString(event);
}

/* Readers for the payloads of all these rows; false: some need a statement. */
static bool
open_readers(EventReader *readers, Relation parent, const QueueRow **rows, int count)
{
	for (int i = 0; i < count; i++)
	{
		int16		ring_part = rows[i]->event_slot;

		if (ring_part < 0 || ring_part >= RING_PARTS ||
			(readers[ring_part].rel == NULL &&
			 !event_reader_open(&readers[ring_part], parent, ring_part)))
			return false;
	}
	return true;
}

int
direct_fetch(const QueueRow **rows, int count, int64 budget,
			 void (*looking_at) (const QueueRow *row, int64 bytes), StoredEvent *events)
{
	Relation	rel = table_open(tables_relation("queue"), AccessShareLock);
	Relation	parent = table_open(tables_relation("event"), AccessShareLock);
	EventReader readers[RING_PARTS] = {{0}};
	QueueReader queue;
	bool		usable = open_readers(readers, parent, rows, count);
	bool		opened;
	int			fetched = 0;

	tables_look_again();		/* all that is read is locked now */
	opened = usable && queue_reader_open(&queue, rel);
	for (int i = 0; i < count && opened && budget >= 0; i++)
	{
		CHECK_FOR_INTERRUPTS();
		looking_at(rows[i], 0);
		INJECT_EVENT("fetching", rows[i]->event_id);
		fetched++;
		memset(&events[i], 0, sizeof(StoredEvent));
		if (!find_claimed(&queue, rows[i]))
			continue;
		read_event(&readers[rows[i]->event_slot], rows[i], looking_at, &events[i]);
		budget -= events[i].missing ? 0 : (int64) VARSIZE(events[i].event);
	}
	looking_at(NULL, 0);

	for (int ring_part = 0; ring_part < RING_PARTS; ring_part++)
	{
		if (readers[ring_part].rel != NULL)
			event_reader_close(&readers[ring_part]);
	}
	if (opened)
		queue_reader_close(&queue);
	table_close(parent, NoLock);
	table_close(rel, NoLock);
	return fetched;
}

/* ---------------------------------------------------------------------
 * Recording
 * ---------------------------------------------------------------------
 */

/* NULL if its rows have to be inserted by a statement. */
static Writer *
delivery_writer(Relation parent, int16 ring_part)
{
	Oid			partition = rows_partition(parent, ring_part);
	Relation	rel;
	Writer	   *writer;

	if (!OidIsValid(partition))
		return NULL;
	rel = table_open(partition, RowExclusiveLock);
	if (!rows_table_takes(rel, columns_of_delivery, DELIVERY_COLUMNS))
	{
		table_close(rel, NoLock);
		return NULL;
	}
	writer = palloc(sizeof(Writer));
	writer_open(writer, rel);
	return writer;
}

static void
write_delivery(Writer *writer, const Outcome *outcome)
{
	MemoryContext old = MemoryContextSwitchTo(writer_row_context(writer));
	Datum		values[DELIVERY_COLUMNS];
	bool		nulls[DELIVERY_COLUMNS];

	columns_delivery_row(outcome, values, nulls);
	writer_start_row(writer);
	for (int i = 0; i < DELIVERY_COLUMNS; i++)
	{
		if (!nulls[i])
			writer_set(writer, i, values[i]);
	}
	MemoryContextSwitchTo(old);
	writer_keep_row(writer);
}

/* Nothing is inserted before all partitions are known to be fit for it. */
bool
direct_insert_deliveries(Outcome **outcomes, int count)
{
	Relation	parent = table_open(tables_relation("delivery"), RowExclusiveLock);
	Writer	   *writers[RING_PARTS] = {NULL};
	bool		usable = rows_table_is_passive(parent);

	for (int i = 0; i < count && usable; i++)
	{
		int16		ring_part = tables_ring_part(outcomes[i]->started_at);

		if (writers[ring_part] == NULL)
			writers[ring_part] = delivery_writer(parent, ring_part);
		usable = writers[ring_part] != NULL;
	}
	for (int i = 0; i < count && usable; i++)
	{
		CHECK_FOR_INTERRUPTS();
		write_delivery(writers[tables_ring_part(outcomes[i]->started_at)], outcomes[i]);
	}
	for (int ring_part = 0; ring_part < RING_PARTS; ring_part++)
	{
		if (writers[ring_part] == NULL)
			continue;
		writer_flush(writers[ring_part]);
		writer_close(writers[ring_part]);
	}
	table_close(parent, NoLock);
	CommandCounterIncrement();
	return usable;
}

static RowFate
fate_of(TM_Result result)
{
	switch (result)
	{
		case TM_Ok:
			return ROW_DONE;
		case TM_BeingModified:
		case TM_WouldBlock:
			return ROW_BUSY;
		default:
			return ROW_GONE;
	}
}

/* Lock the row in the reader's slot, or what somebody has made of it. */
static RowFate
lock_claimed(QueueReader *reader, const QueueRow *row)
{
	ItemPointerData tid = reader->slot->tts_tid;
	TM_FailureData failure;
	RowFate		fate;

	fate = fate_of(table_tuple_lock(reader->rel, &tid, reader->snapshot, reader->slot,
									GetCurrentCommandId(true), LockTupleExclusive,
									LockWaitSkip, TUPLE_LOCK_FLAG_FIND_LAST_VERSION,
									&failure));
	return fate == ROW_DONE && !is_claimed(reader->slot, row) ? ROW_GONE : fate;
}

static TM_Result
delete_at(QueueReader *reader, ItemPointerData tid)
{
	TM_FailureData failure;

	return delete_tuple(reader->rel, &tid, reader->snapshot, &failure);
}

/*
 * If somebody has changed the row, but not so that it is another one now, what
 * he made of it is deleted.
 */
static RowFate
delete_claimed(QueueReader *reader, const QueueRow *row)
{
	TM_Result	result = delete_at(reader, reader->slot->tts_tid);
	RowFate		fate;

	if (result != TM_Updated)
		return fate_of(result);
	fate = lock_claimed(reader, row);
	return fate == ROW_DONE ? fate_of(delete_at(reader, reader->slot->tts_tid)) : fate;
}

static bool
delete_each(Relation rel, Outcome **outcomes, int count)
{
	QueueReader queue;

	/*
	 * As new as a statement's would be: what it does not see any more, in our
	 * own transaction, cannot be changed.
	 */
	PushActiveSnapshot(GetTransactionSnapshot());
	if (!queue_reader_open(&queue, rel))
	{
		PopActiveSnapshot();
		return false;
	}
	for (int i = 0; i < count; i++)
	{
		const QueueRow *row = &outcomes[i]->claimed;

		CHECK_FOR_INTERRUPTS();
		outcomes[i]->fate = find_claimed(&queue, row) ? delete_claimed(&queue, row) : ROW_GONE;
	}
	queue_reader_close(&queue);
	PopActiveSnapshot();
	CommandCounterIncrement();
	return true;
}

bool
direct_delete(Outcome **outcomes, int count)
{
	Relation	rel = table_open(tables_relation("queue"), RowExclusiveLock);
	bool		done = false;

	if (rows_table_is_passive(rel))
	{
		CheckCmdReplicaIdentity(rel, CMD_DELETE);
		done = delete_each(rel, outcomes, count);
	}
	table_close(rel, NoLock);
	return done;
}
