/*-------------------------------------------------------------------------
 *
 * ids.c
 *		An event's id, from a sequence that somebody may have set back.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_sequence.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/bufpage.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "api/ids.h"
#include "api/sink.h"
#include "tables/rows.h"
#include "tables/tables.h"

/* Ids that are passed over, as other sessions may draw some at the same time. */
#define ID_MARGIN	1000

/* As many as nobody draws in a transaction. */
#define ID_ROOM		(INT64CONST(1) << 40)

/* What this session knows until one of the tables has changed (sink_changes()). */
static int64 newest_id;			/* that it has drawn; 0: none since then */
static uint64 newest_seen;

/* 0: there is none, or it cannot be had. */
static int64
highest_id_in(Relation events, int16 ring_part)
{
	Oid			partition = rows_partition(events, ring_part);
	int64		id;

	return OidIsValid(partition) && rows_highest_key(partition, rows_event_key, &id) ? id : 0;
}

/* Where anything was sent in the time of this part, that came last. */
static int64
highest_id(Relation events, int16 ring_part)
{
	int64		highest = highest_id_in(events, ring_part);

	for (int16 other = 0; other < RING_PARTS && highest == 0; other++)
		highest = Max(highest, highest_id_in(events, other));
	return highest;
}

/* Beyond its end there is nothing for it to be set to. */
static void
check_room_in_sequence(int64 highest)
{
	HeapTuple	tuple = SearchSysCache1(SEQRELID, ObjectIdGetDatum(sink_event_sequence()));
	int64		end;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for sequence %u", sink_event_sequence());
	end = ((Form_pg_sequence) GETSTRUCT(tuple))->seqmax;
	ReleaseSysCache(tuple);
	if (highest >= end || (uint64) end - (uint64) highest <= ID_MARGIN)
		ereport(ERROR,
				(errcode(ERRCODE_SEQUENCE_GENERATOR_LIMIT_EXCEEDED),
				 errmsg("sequence \"rswebhook.event_id_seq\" has no ids left beyond those of events"),
				 errdetail("Its MAXVALUE is " INT64_FORMAT "; an event in rswebhook.event has the id " INT64_FORMAT ".",
						   end, highest),
				 errhint("Run ALTER SEQUENCE rswebhook.event_id_seq AS bigint NO MAXVALUE NO CYCLE.")));
}

/* The sequence may be behind: have it go on beyond the highest id of an event. */
static int64
pass_used_ids(Oid owner, int64 highest)
{
	Oid			sequence = sink_event_sequence();
	Oid			user;
	int			context;
	int64		id;

	/* one session after the other, or it would be set back again */
	LockDatabaseObject(RelationRelationId, sequence, 0, ExclusiveLock);
	id = nextval_internal(sequence, false);
	if (id <= highest)
	{
		check_room_in_sequence(highest);
		GetUserIdAndSecContext(&user, &context);
		SetUserIdAndSecContext(owner, context | SECURITY_LOCAL_USERID_CHANGE);
		(void) DirectFunctionCall2(setval_oid, ObjectIdGetDatum(sequence),
								   Int64GetDatum(highest + ID_MARGIN));
		SetUserIdAndSecContext(user, context);
		id = nextval_internal(sequence, false);
		ereport(LOG,
				(errmsg("rswebhook sets sequence \"rswebhook.event_id_seq\" to " INT64_FORMAT,
						id),
				 errdetail("It had been set back, to ids that events in rswebhook.event have.")));
	}
	UnlockDatabaseObject(RelationRelationId, sequence, 0, ExclusiveLock);
	return id;
}

/*
 * An id that no event has, and higher than that of any: receivers take two
 * events with one id for one, and a user's events are sent in the order of
 * their ids.  So after somebody has restarted the sequence, or restored it to an
 * older state, it is not used as it is.
 */
int64
ids_next(Relation events, int16 ring_part)
{
	int64		id;

	/* while we are known to run, no worker takes it for one that is over (floors.c) */
	(void) GetTopTransactionId();
	id = nextval_internal(sink_event_sequence(), false);
	if (newest_id == 0 || newest_seen != sink_changes() || id <= newest_id)
	{
		int64		highest = highest_id(events, ring_part);

		/* beyond some id there is nowhere to go on */
		if (id <= highest && highest <= PG_INT64_MAX - 2 * ID_MARGIN)
			id = pass_used_ids(events->rd_rel->relowner, highest);
	}
	newest_id = id;
	newest_seen = sink_changes();
	return id;
}

/* ---------------------------------------------------------------------
 * Can that fail?
 * ---------------------------------------------------------------------
 */

/* Does it count on by one, as far as there are numbers? */
static bool
is_as_created(void)
{
	HeapTuple	tuple = SearchSysCache1(SEQRELID, ObjectIdGetDatum(sink_event_sequence()));
	Form_pg_sequence form;
	bool		as_created;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_sequence) GETSTRUCT(tuple);
	as_created = form->seqtypid == INT8OID && form->seqincrement == 1 && form->seqmax == PG_INT64_MAX;
	ReleaseSysCache(tuple);
	return as_created;
}

/* The last one that anybody has drawn. */
static int64
last_drawn(void)
{
	Relation	rel = relation_open(sink_event_sequence(), RowExclusiveLock);
	Buffer		buffer = ReadBuffer(rel, 0);
	Page		page = BufferGetPage(buffer);
	HeapTupleData tuple;
	Form_pg_sequence_data data;
	int64		last;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	tuple.t_data = (HeapTupleHeader) PageGetItem(page, PageGetItemId(page, FirstOffsetNumber));
	data = (Form_pg_sequence_data) GETSTRUCT(&tuple);
	last = data->last_value - (data->is_called ? 0 : 1);
	UnlockReleaseBuffer(buffer);
	relation_close(rel, NoLock);
	return last;
}

bool
ids_are_plain(Relation part)
{
	static TransactionId looked_in = InvalidTransactionId;
	static uint64 looked_at = 0;
	static Oid	looked_for = InvalidOid;
	int64		last;
	int64		highest;

	if (looked_in == GetTopTransactionId() && looked_at == sink_changes() && looked_for == RelationGetRelid(part))
		return true;
	if (!is_as_created())
		return false;
	last = last_drawn();
	if (last > PG_INT64_MAX - ID_ROOM)
		return false;
	if (rows_highest_key_of(part, rows_event_key, &highest) && last < highest)
	{
		newest_id = 0;			/* it passes them when it draws the next one */
		return false;
	}
	looked_in = GetTopTransactionId();
	looked_at = sink_changes();
	looked_for = RelationGetRelid(part);
	return true;
}
