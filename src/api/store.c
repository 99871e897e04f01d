/*-------------------------------------------------------------------------
 *
 * store.c
 *		The rows of an event, and its id.
 *
 * Rows are written straight to the tables, index entries included, and not
 * through SPI: no plan is made, and a million sends in one statement leave no
 * memory behind.  If somebody has added to a table what only a statement heeds
 * (rows.h), it is one, by the table's owner as with a worker's.  Either way a
 * sender needs no privilege but EXECUTE on rswebhook_send().
 *
 * Ids are drawn in one order and become visible in another.  Nothing here sees
 * to that: whoever commits tells the workers which ids have become visible
 * (wake.c).
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_class.h"
#include "catalog/pg_sequence.h"
#include "commands/sequence.h"
#include "common/pg_prng.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/inval.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "api/accept.h"
#include "api/once.h"
#include "api/store.h"
#include "base/as_role.h"
#include "base/clock.h"
#include "base/compat.h"
#include "destination/map.h"
#include "shmem/share.h"
#include "shmem/slots.h"
#include "shmem/wake.h"
#include "tables/home.h"
#include "tables/rows.h"
#include "tables/tables.h"

/* A table that rows are sent to. */
typedef struct Target
{
	const char *name;
	const Column *columns;
	int			ncolumns;
	Oid			relid;
	SPIPlanPtr	plan;			/* of its INSERT; NULL: not needed so far */
} Target;

static Target event_target = {.name = "event", .columns = columns_of_event, .ncolumns = EVENT_COLUMNS};
static Target queue_target = {.name = "queue", .columns = columns_of_queue, .ncolumns = QUEUE_COLUMNS};
static Target home_target = {.name = "home", .columns = columns_of_home, .ncolumns = HOME_COLUMNS};
static Target delivery_target = {.name = "delivery", .columns = columns_of_delivery, .ncolumns = DELIVERY_COLUMNS};
static Target *const targets[] = {&event_target, &queue_target, &home_target, &delivery_target};

/* A target while rows are written to it. */
typedef struct Sink
{
	Target	   *target;
	Relation	rel;
	bool		direct;			/* else by a statement */
	Writer		writer;			/* of a partition of rel, or of rel itself */
} Sink;

/* Ids that are passed over, as other sessions may draw some at the same time. */
#define ID_MARGIN	1000

/* A row to be: columns without a value are null. */
#define MAX_COLUMNS	DELIVERY_COLUMNS
typedef struct NewRow
{
	Datum		values[MAX_COLUMNS];
	char		nulls[MAX_COLUMNS]; /* as SPI has them */
} NewRow;

/* Looked up once, and again after any change of these or of a target. */
static Oid	sequence = InvalidOid;
static bool home_written;		/* it has ours, by a transaction that committed */
static int64 newest_id = 0;		/* that this session has drawn; 0: none since
								 * the sequence was altered */
static uint64 looked_up_at = 0; /* invalidations at that time */
static uint64 invalidations = 1;

/* ---------------------------------------------------------------------
 * Tables
 * ---------------------------------------------------------------------
 */
static void
relcache_callback(Datum arg, Oid relid)
{
	bool		ours = relid == InvalidOid || relid == sequence;

	for (int i = 0; i < lengthof(targets) && !ours; i++)
		ours = relid == targets[i]->relid;
	if (ours)
		invalidations++;
	if (relid == InvalidOid || relid == sequence)
		newest_id = 0;
}

static void
look_up_relations(void)
{
	static bool registered = false;
	uint64		seen = invalidations;

	if (looked_up_at == seen)
		return;
	if (!registered)
	{
		CacheRegisterRelcacheCallback(relcache_callback, (Datum) 0);
		registered = true;
	}
	for (int i = 0; i < lengthof(targets); i++)
		targets[i]->relid = tables_relation(targets[i]->name);
	sequence = tables_relation("event_id_seq");
	home_written = false;
	looked_up_at = seen;
}

/*
 * Lock, then look: whoever had it locked before us has perhaps put another one
 * in its place.
 */
static Relation
open_target(const Target *target)
{
	for (;;)
	{
		Relation	rel;

		look_up_relations();
		rel = table_open(target->relid, RowExclusiveLock);
		if (looked_up_at == invalidations)
			return rel;
		table_close(rel, NoLock);
	}
}

static void
sink_open(Sink *sink, Target *target)
{
	sink->target = target;
	sink->rel = open_target(target);
	sink->direct = rows_table_takes(sink->rel, target->columns, target->ncolumns);
	if (sink->direct)
		writer_open(&sink->writer, sink->rel);
}

/* Likewise for the partition for a part of the ring. */
static void
sink_open_part(Sink *sink, Target *target, int16 ring_part)
{
	Oid			partition;

	sink->target = target;
	sink->rel = open_target(target);
	sink->direct = false;
	if (rows_lacks_partition(sink->rel, ring_part))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("relation \"rswebhook.%s\" has no partition for slot %d",
						target->name, ring_part),
				 errdetail("What is sent now belongs there."),
				 errhint("Attach the one that was taken away, with ALTER TABLE rswebhook.%s ATTACH PARTITION ... FOR VALUES IN (%d).",
						 target->name, ring_part)));
	partition = rows_partition(sink->rel, ring_part);
	if (OidIsValid(partition) && rows_table_is_passive(sink->rel))
	{
		Relation	rel = table_open(partition, RowExclusiveLock);

		sink->direct = rows_table_takes(rel, target->columns, target->ncolumns);
		if (sink->direct)
			writer_open(&sink->writer, rel);
		else
			table_close(rel, NoLock);
	}
}

static void
sink_close(Sink *sink)
{
	if (sink->direct)
	{
		writer_flush(&sink->writer);
		writer_close(&sink->writer);
	}
	if (!sink->direct || sink->writer.rel != sink->rel)
		table_close(sink->rel, NoLock);
}

static void
row_clear(NewRow *row)
{
	memset(row->values, 0, sizeof(row->values));
	memset(row->nulls, 'n', sizeof(row->nulls));
}

static void
row_set(NewRow *row, int column, Datum value)
{
	row->values[column] = value;
	row->nulls[column] = ' ';
}

static SPIPlanPtr
prepare_insert(const Target *target)
{
	StringInfoData sql;
	Oid			types[MAX_COLUMNS];
	SPIPlanPtr	plan;

	initStringInfo(&sql);
	appendStringInfo(&sql, "INSERT INTO rswebhook.%s (", target->name);
	for (int i = 0; i < target->ncolumns; i++)
		appendStringInfo(&sql, "%s%s", i > 0 ? ", " : "", target->columns[i].name);
	appendStringInfoString(&sql, ") VALUES (");
	for (int i = 0; i < target->ncolumns; i++)
	{
		appendStringInfo(&sql, "%s$%d", i > 0 ? ", " : "", i + 1);
		types[i] = target->columns[i].type;
	}
	appendStringInfoChar(&sql, ')');

	plan = SPI_prepare(sql.data, target->ncolumns, types);
	if (plan == NULL || SPI_keepplan(plan) != 0)
		elog(ERROR, "could not prepare \"%s\": %s", sql.data,
			 SPI_result_code_string(SPI_result));
	return plan;
}

/* With the rights and under the settings with which a worker runs its statements. */
static void
insert_by_statement(Target *target, Oid owner, NewRow *row)
{
	AsRole		before;
	int			result;

	as_role_begin(&before, owner);
	SPI_connect();
	if (target->plan == NULL)
		target->plan = prepare_insert(target);
	result = SPI_execute_plan(target->plan, row->values, row->nulls, false, 0);
	if (result != SPI_OK_INSERT || SPI_processed != 1)
	{
		/* made under a rule that left nothing of it, it would not hear of changes */
		SPI_freeplan(target->plan);
		target->plan = NULL;
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("event was not stored in \"rswebhook.%s\"", target->name),
				 errdetail("A trigger or a rule has kept its row out of the table."),
				 errhint("Look for triggers and rules on rswebhook.%s.", target->name)));
	}
	SPI_finish();
	as_role_end(&before);
}

/* kept: with others, at the latest when the sink is closed. */
static void
sink_insert(Sink *sink, NewRow *row, bool kept)
{
	if (!sink->direct)
	{
		insert_by_statement(sink->target, sink->rel->rd_rel->relowner, row);
		return;
	}
	writer_start_row(&sink->writer);
	for (int i = 0; i < sink->target->ncolumns; i++)
	{
		if (row->nulls[i] == ' ')
			writer_set(&sink->writer, i, row->values[i]);
	}
	if (kept)
		writer_keep_row(&sink->writer);
	else
		writer_insert_row(&sink->writer);
}

/* ---------------------------------------------------------------------
 * The event
 * ---------------------------------------------------------------------
 */

static void
insert_event(Sink *sink, int64 id, int16 ring_part, TimestampTz now,
			 const char *ordering_key, Datum event, bool kept)
{
	NewRow		row;

	row_clear(&row);
	row_set(&row, EVENT_ID, Int64GetDatum(id));
	row_set(&row, EVENT_SLOT, Int16GetDatum(ring_part));
	row_set(&row, EVENT_CREATED_AT, TimestampTzGetDatum(now));
	row_set(&row, EVENT_NONCE, Int64GetDatum((int64) pg_prng_uint64(&pg_global_prng_state)));
	if (ordering_key != NULL)
		row_set(&row, EVENT_ORDERING_KEY, CStringGetTextDatum(ordering_key));
	row_set(&row, EVENT_EVENT, event);
	sink_insert(sink, &row, kept);
}

/* Once a transaction, of which this is one: it may send any number. */
static void
warn_elsewhere(void)
{
	static TransactionId warned = InvalidTransactionId;

	if (warned == GetTopTransactionId())
		return;
	warned = GetTopTransactionId();
	home_report_elsewhere(WARNING);
}

/*
 * The first send in a database tells which one it is; see rswebhook.home.
 * Several sessions may come first, and say the same.
 */
static void
write_home(void)
{
	static TransactionId written_by = InvalidTransactionId;
	Home		home;
	Sink		sink;
	NewRow		row;

	if (home_written)
		return;					/* nearly always */

	/* our own row may go with a rollback, and is not seen in this statement */
	if (written_by == GetCurrentTransactionId())
		return;
	home = home_look();
	if (home == HOME_ELSEWHERE)
		warn_elsewhere();
	home_written = home == HOME_HERE;
	if (home != HOME_UNKNOWN)
		return;
	written_by = GetCurrentTransactionId();
	sink_open(&sink, &home_target);
	row_clear(&row);
	row_set(&row, HOME_SYSTEM_IDENTIFIER, Int64GetDatum((int64) GetSystemIdentifier()));
	row_set(&row, HOME_DATABASE_OID, ObjectIdGetDatum(MyDatabaseId));
	sink_insert(&sink, &row, false);
	sink_close(&sink);
	wake_note_changed();		/* the worker has waited for it */
}

/* key: what decides on the row's part; map: by which the taker has so many. */
static void
note_queued(const Taker *taker, int64 event_id, int64 key, ShareMap map)
{
	int			share = share_of(taker->destination_id, share_part(key, taker->parts),
								 rswebhook_workers);

	wake_note_queued(&(QueuedRange) {taker->destination_id, SHARE_BIT(share), event_id, event_id},
					 map);
}

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
	HeapTuple	tuple = SearchSysCache1(SEQRELID, ObjectIdGetDatum(sequence));
	int64		end;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for sequence %u", sequence);
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
static int64
next_id(Relation events, int16 ring_part)
{
	int64		id;

	/* while we are known to run, no worker takes it for one that is over (floors.c) */
	(void) GetTopTransactionId();
	id = nextval_internal(sequence, false);
	if (newest_id == 0 || id <= newest_id)
	{
		int64		highest = highest_id(events, ring_part);

		/* beyond some id there is nowhere to go on */
		if (id <= highest && highest <= PG_INT64_MAX - 2 * ID_MARGIN)
			id = pass_used_ids(events->rd_rel->relowner, highest);
	}
	newest_id = id;
	return id;
}

/*
 * That by which the takers have their numbers of workers.  Somebody may have changed
 * one since they were chosen: then it is no known one, and all workers are told.
 */
static ShareMap
map_of(const Taker *takers, int count)
{
	ShareMap	map = destination_map();

	for (int i = 0; i < count && rswebhook_workers > 1; i++)
	{
		if (destination_map_parts(takers[i].destination_id) != takers[i].parts)
			return NO_SHARE_MAP;
	}
	return map;
}

/* Larger events do not wait in memory for others. */
#define MAX_KEPT	(16 * 1024)

struct Store
{
	int16		ring_part;
	bool		many;			/* rows are written several at a time */
	Sink		events;
	Sink		queue;
};

Store *
store_begin(TimestampTz now, bool many)
{
	Store	   *store = palloc(sizeof(Store));

	store->many = many;
	store->ring_part = tables_ring_part(now);
	look_up_relations();
	(void) GetCurrentTransactionId();	/* which the rows will have */
	write_home();
	sink_open_part(&store->events, &event_target, store->ring_part);
	sink_open(&store->queue, &queue_target);
	return store;
}

bool
store_is_plain(TimestampTz now)
{
	Sink		events;
	Sink		queue;
	bool		plain;

	look_up_relations();
	sink_open_part(&events, &event_target, tables_ring_part(now));
	sink_open(&queue, &queue_target);
	plain = events.direct && queue.direct;
	sink_close(&queue);
	sink_close(&events);
	return plain;
}

void
store_end(Store *store)
{
	sink_close(&store->queue);
	sink_close(&store->events);
	pfree(store);
}

/* Of an event that is stored. */
static void
queue_for(Store *store, int64 id, const Prepared *prepared, const Taker *takers, int count)
{
	const Times *times = &prepared->times;
	int64		hash = 0;
	ShareMap	map = map_of(takers, count);
	bool		keyed = accept_ordering_hash(prepared->checked, prepared->ordering_key, &hash);
	NewRow		row;

	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		row_clear(&row);
		row_set(&row, QUEUE_DESTINATION_ID, Int32GetDatum(takers[i].destination_id));
		row_set(&row, QUEUE_EVENT_SLOT, Int16GetDatum(store->ring_part));
		row_set(&row, QUEUE_ATTEMPTS, Int32GetDatum(0));
		row_set(&row, QUEUE_EVENT_ID, Int64GetDatum(id));
		row_set(&row, QUEUE_QUEUED_AT, TimestampTzGetDatum(times->now));
		if (keyed)
			row_set(&row, QUEUE_ORDERING_KEY, Int64GetDatum(hash));
		if (times->deliver_after != NO_TIME)
			row_set(&row, QUEUE_DELIVER_AFTER, TimestampTzGetDatum(times->deliver_after));
		if (times->expires_at != NO_TIME)
			row_set(&row, QUEUE_EXPIRES_AT, TimestampTzGetDatum(times->expires_at));
		sink_insert(&store->queue, &row, store->many);
		note_queued(&takers[i], id, keyed ? hash : id, map);
	}
}

int64
store_add(Store *store, const Prepared *prepared)
{
	const Taker *takers = prepared->takers;
	int			count = prepared->count;
	int64		id = next_id(store->events.rel, store->ring_part);
	int64		first;

	if (prepared->once)
		takers = once_takers(prepared, id, &count, &first);
	if (prepared->once && count == 0)
		return first;
	insert_event(&store->events, id, store->ring_part, prepared->times.now, prepared->ordering_key,
				 prepared->event, store->many && VARSIZE(prepared->checked) <= MAX_KEPT);
	queue_for(store, id, prepared, takers, count);
	return id;
}

/* So rarely that it is a statement. */
void
store_refused(int64 event_id, int32 destination_id, TimestampTz now, const char *reason)
{
	Outcome		outcome = {
		.kind = VERDICT_REFUSED,
		.claimed = {.event_id = event_id, .destination_id = destination_id},
		.started_at = now,
		.error = unconstify(char *, reason)
	};
	Relation	rel;
	NewRow		row;
	bool		nulls[DELIVERY_COLUMNS];

	look_up_relations();
	rel = open_target(&delivery_target);
	columns_delivery_row(&outcome, row.values, nulls);
	for (int i = 0; i < DELIVERY_COLUMNS; i++)
		row.nulls[i] = nulls[i] ? 'n' : ' ';
	insert_by_statement(&delivery_target, rel->rd_rel->relowner, &row);
	table_close(rel, NoLock);
}
