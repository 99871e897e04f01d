/*-------------------------------------------------------------------------
 *
 * piece.c
 *		Reading the queue's index in pieces that take little time, whatever is dead.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/itup.h"
#include "access/relscan.h"
#include "access/table.h"
#include "access/tableam.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"

#include "base/clock.h"
#include "base/compat.h"
#include "tables/piece.h"
#include "tables/rows.h"
#include "tables/tables.h"

/* The clock is looked at after so many entries. */
#define ENTRIES_A_LOOK	64

/* Events that are looked at together when the old ones are deleted. */
#define PIECE_IDS		1000

/* False, with nothing to close, if it is not the table and index that we know. */
static bool
open_queue(KeyLookup *by_key)
{
	Relation	rel = table_open(tables_relation("queue"), AccessShareLock);

	if (rows_table_is_known(rel, columns_of_queue, QUEUE_COLUMNS) &&
		key_lookup_open(by_key, rel, rows_queue_key))
		return true;
	table_close(rel, NoLock);
	return false;
}

static void
close_queue(KeyLookup *by_key)
{
	key_lookup_close(by_key);
	table_close(by_key->rel, NoLock);
}

/* A column of the entry that the scan has come to. */
static Datum
key_column(IndexScanDesc scan, int number)
{
	bool		null;

	return index_getattr(scan->xs_itup, number, scan->xs_itupdesc, &null);
}

static TimestampTz
time_column(TupleTableSlot *slot, int column)
{
	return slot->tts_isnull[column] ? NO_TIME : DatumGetTimestampTz(slot->tts_values[column]);
}

static void
take_row(TupleTableSlot *slot, QueueRow *row)
{
	const Datum *values = slot->tts_values;

	slot_getsomeattrs(slot, QUEUE_COLUMNS);
	row->destination_id = DatumGetInt32(values[QUEUE_DESTINATION_ID]);
	row->event_slot = DatumGetInt16(values[QUEUE_EVENT_SLOT]);
	row->run = DatumGetInt16(values[QUEUE_RUN]);
	row->attempts = DatumGetInt32(values[QUEUE_ATTEMPTS]);
	row->event_id = DatumGetInt64(values[QUEUE_EVENT_ID]);
	row->has_key = !slot->tts_isnull[QUEUE_ORDERING_KEY];
	row->ordering_key = row->has_key ? DatumGetInt64(values[QUEUE_ORDERING_KEY]) : 0;
	row->queued_at = time_column(slot, QUEUE_QUEUED_AT);
	row->deliver_after = time_column(slot, QUEUE_DELIVER_AFTER);
	row->expires_at = time_column(slot, QUEUE_EXPIRES_AT);
	row->first_attempt_at = time_column(slot, QUEUE_FIRST_ATTEMPT_AT);
	row->retry_at = time_column(slot, QUEUE_RETRY_AT);
	row->tid = slot->tts_tid;
}

/*
 * One id may have any number of entries, for the versions of its row: a piece
 * ends between two ids only.
 */
static int
walk(IndexScanDesc scan, TupleTableSlot *slot, ReadRequest *request, QueueRow *rows)
{
	Instant		end = clock_now() + PIECE_US;
	int64		last = request->after_id;
	int			looked = 0;
	int			count = 0;

	while (count < request->limit && index_getnext_tid(scan, ForwardScanDirection) != NULL)
	{
		int64		id = DatumGetInt64(key_column(scan, 2));

		CHECK_FOR_INTERRUPTS();
		if (++looked >= ENTRIES_A_LOOK && id != last && last != PG_INT64_MIN)
		{
			looked = 0;
			if (clock_now() >= end)
			{
				request->cut = true;
				request->cut_id = last;
				break;
			}
		}
		last = id;
		if (index_fetch_heap(scan, slot))
			take_row(slot, &rows[count++]);
	}
	return count;
}

bool
piece_read(ReadRequest *request, QueueRow *rows, int *count)
{
	KeyLookup	by_key;
	ScanKeyData keys[3];
	TupleTableSlot *slot;

	if (!open_queue(&by_key))
		return false;
	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT4EQ,
				Int32GetDatum(request->destination_id));
	if (request->after_id == PG_INT64_MIN)
		ScanKeyInit(&keys[1], 2, BTGreaterEqualStrategyNumber, F_INT8GE, Int64GetDatum(PG_INT64_MIN));
	else
		ScanKeyInit(&keys[1], 2, BTGreaterStrategyNumber, F_INT8GT, Int64GetDatum(request->after_id));
	ScanKeyInit(&keys[2], 2, BTLessEqualStrategyNumber, F_INT8LE, Int64GetDatum(request->upto_id));
	slot = table_slot_create(by_key.rel, NULL);
	by_key.scan = begin_index_scan(by_key.rel, by_key.index, GetActiveSnapshot(), lengthof(keys));
	by_key.scan->xs_want_itup = true;
	index_rescan(by_key.scan, keys, lengthof(keys), NULL, 0);
	*count = walk(by_key.scan, slot, request, rows);
	ExecDropSingleTupleTableSlot(slot);
	close_queue(&by_key);
	return true;
}

bool
piece_of_ids(Oid partition, int64 after_id, int64 *upto_id)
{
	Relation	rel = table_open(partition, AccessShareLock);
	KeyLookup	by_key;
	ScanKeyData key;
	int			count = 0;

	if (rel->rd_rel->relkind != RELKIND_RELATION || !key_lookup_open(&by_key, rel, rows_event_key))
	{
		table_close(rel, NoLock);
		return false;
	}
	by_key.scan = begin_index_scan(rel, by_key.index, GetActiveSnapshot(), 1);
	by_key.scan->xs_want_itup = true;
	by_key.scan->ignore_killed_tuples = false;
	ScanKeyInit(&key, 1, BTGreaterStrategyNumber, F_INT8GT, Int64GetDatum(after_id));
	index_rescan(by_key.scan, &key, 1, NULL, 0);
	for (; count < PIECE_IDS && index_getnext_tid(by_key.scan, ForwardScanDirection) != NULL; count++)
	{
		CHECK_FOR_INTERRUPTS();
		*upto_id = DatumGetInt64(key_column(by_key.scan, 1));
	}
	key_lookup_close(&by_key);
	table_close(rel, NoLock);
	return count > 0;
}

/* Entries that are known to be dead for everybody are good enough here, too. */
bool
piece_destinations(List **ids)
{
	KeyLookup	by_key;
	ScanKeyData key;

	if (!open_queue(&by_key))
		return false;
	by_key.scan = begin_index_scan(by_key.rel, by_key.index, GetActiveSnapshot(), 1);
	by_key.scan->xs_want_itup = true;
	by_key.scan->ignore_killed_tuples = false;
	ScanKeyInit(&key, 1, BTGreaterEqualStrategyNumber, F_INT4GE, Int32GetDatum(PG_INT32_MIN));
	index_rescan(by_key.scan, &key, 1, NULL, 0);
	while (index_getnext_tid(by_key.scan, ForwardScanDirection) != NULL)
	{
		Datum		id = key_column(by_key.scan, 1);

		CHECK_FOR_INTERRUPTS();
		*ids = lappend_int(*ids, DatumGetInt32(id));
		ScanKeyInit(&key, 1, BTGreaterStrategyNumber, F_INT4GT, id);
		index_rescan(by_key.scan, &key, 1, NULL, 0);
	}
	close_queue(&by_key);
	return true;
}
