/*-------------------------------------------------------------------------
 *
 * store.c
 *		The rows of an event.
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
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "common/pg_prng.h"
#include "miscadmin.h"
#include "replication/logicalworker.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

#include "api/accept.h"
#include "api/ids.h"
#include "api/once.h"
#include "api/sink.h"
#include "api/store.h"
#include "api/trace.h"
#include "base/clock.h"
#include "base/compat.h"
#include "destination/map.h"
#include "destination/sign.h"
#include "shmem/share.h"
#include "shmem/slots.h"
#include "shmem/wake.h"
#include "tables/home.h"
#include "tables/rows.h"
#include "tables/statement.h"
#include "tables/tables.h"
#include "tables/tally_counts.h"

/* What this session knows until one of the tables has changed (sink_changes()). */
static bool home_written;		/* it has ours, by a transaction that committed */
static uint64 home_seen;

/* ---------------------------------------------------------------------
 * The event
 * ---------------------------------------------------------------------
 */

static void
insert_event(Sink *sink, int64 id, int16 ring_part, const Prepared *prepared, bool kept)
{
	const char *ordering_key = prepared->ordering_key;
	const char *traceparent = trace_of(prepared->checked);
	NewRow		row;

	sink_row_clear(&row);
	sink_row_set(&row, EVENT_ID, Int64GetDatum(id));
	sink_row_set(&row, EVENT_SLOT, Int16GetDatum(ring_part));
	sink_row_set(&row, EVENT_CREATED_AT, TimestampTzGetDatum(prepared->times.now));
	/* of the id that is sent with it, where it has none of its own */
	if (sign_message_id(prepared->checked) == NULL)
		sink_row_set(&row, EVENT_NONCE, Int64GetDatum((int64) pg_prng_uint64(&pg_global_prng_state)));
	if (ordering_key != NULL)
		sink_row_set(&row, EVENT_ORDERING_KEY, CStringGetTextDatum(ordering_key));
	sink_row_set(&row, EVENT_EVENT, prepared->event);
	if (traceparent != NULL)
		sink_row_set(&row, EVENT_TRACEPARENT, CStringGetTextDatum(traceparent));
	sink_insert(sink, &row, kept);
}

/* Once a session, as long as it is so. */
static bool warned_elsewhere = false;

static void
warn_elsewhere(void)
{
	if (!warned_elsewhere)
		home_report_elsewhere(WARNING);
	warned_elsewhere = true;
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

	if (home_written && home_seen == sink_changes())
		return;					/* nearly always */

	/* our own row may go with a rollback, and is not seen in this statement */
	if (written_by == GetCurrentTransactionId())
		return;
	home_written = false;		/* should it fail */
	home_seen = sink_changes();
	home = home_look();
	if (home == HOME_ELSEWHERE && rswebhook_enabled != DELIVERY_SINK)
		warn_elsewhere();
	else
		warned_elsewhere = false;
	home_written = home == HOME_HERE;
	if (home != HOME_UNKNOWN)
		return;
	written_by = GetCurrentTransactionId();
	sink_open(&sink, SINK_HOME);
	sink_row_clear(&row);
	sink_row_set(&row, HOME_SYSTEM_IDENTIFIER, Int64GetDatum((int64) GetSystemIdentifier()));
	sink_row_set(&row, HOME_DATABASE_OID, ObjectIdGetDatum(MyDatabaseId));
	sink_insert(&sink, &row, false);
	sink_close(&sink);
	wake_note_changed();		/* the worker has waited for it */
}

/*
 * key: what decides on the row's part; map: by which the taker has so many; rows: 1, or 0
 * if it is to be looked at.
 */
static void
note_queued(const Taker *taker, int64 event_id, int64 key, ShareMap map, int rows)
{
	int			share = share_of(taker->destination_id, share_part(key, taker->parts),
								 rswebhook_workers);

	wake_note_queued(&(QueuedRange) {taker->destination_id, SHARE_BIT(share), event_id, event_id, rows, false},
					 map);
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

/* ---------------------------------------------------------------------
 * A store that stays open
 *
 * To open two tables and their indexes costs half as much as to write to them, and a
 * row trigger, or a session that sends again and again, would do so for each event.
 * So one store stays open until its transaction or subtransaction ends, or a command
 * comes (store_close_lasting()).  It owns what it has opened, as a portal does, and all
 * its memory is in a context of its own.
 *
 * It is used by one at a time.  A send from within another one's event (a type's
 * function may do anything) has a store of its own.
 * ---------------------------------------------------------------------
 */
static struct
{
	Store	   *store;			/* NULL: there is none */
	ResourceOwner owner;
	MemoryContext context;
	uint64		seen;			/* changes of its tables when it was opened */
	SubTransactionId opened_in;
	bool		in_use;
	SubTransactionId used_in;
	bool		broken;			/* whoever used it has failed; not of use any more */
	bool		over;			/* its transaction commits: none is opened any more */
}			lasting;

/* Commands under way that may come to our tables themselves. */
static int	ncommands = 0;

static void
close_sinks(Store *store)
{
	sink_close(&store->queue);
	sink_close(&store->events);
}

static void
open_sinks(Store *store)
{
	sink_open_part(&store->events, SINK_EVENT, store->ring_part);
	sink_open(&store->queue, SINK_QUEUE);
}

/* What it has kept to write is gone: store_end() has written that, or its user has failed. */
static void
close_lasting(void)
{
	Store	   *store = lasting.store;
	ResourceOwner caller = CurrentResourceOwner;

	if (store == NULL)
		return;
	lasting.store = NULL;
	CurrentResourceOwner = lasting.owner;
	close_sinks(store);
	ResourceOwnerRelease(lasting.owner, RESOURCE_RELEASE_BEFORE_LOCKS, true, false);
	ResourceOwnerRelease(lasting.owner, RESOURCE_RELEASE_LOCKS, true, false);
	ResourceOwnerRelease(lasting.owner, RESOURCE_RELEASE_AFTER_LOCKS, true, false);
	CurrentResourceOwner = caller;
	ResourceOwnerDelete(lasting.owner);
	MemoryContextDelete(lasting.context);
}

/* An error ends the subtransaction, with all of this in it. */
static void
open_lasting(int16 ring_part)
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	Store	   *store;

	lasting.seen = sink_changes();
	lasting.opened_in = GetCurrentSubTransactionId();
	lasting.in_use = lasting.broken = false;
	lasting.context = AllocSetContextCreate(CurTransactionContext, "rswebhook store", ALLOCSET_DEFAULT_SIZES);
	lasting.owner = ResourceOwnerCreate(CurTransactionResourceOwner, "rswebhook store");
	MemoryContextSwitchTo(lasting.context);
	CurrentResourceOwner = lasting.owner;
	store = palloc0(sizeof(Store));
	store->ring_part = ring_part;
	open_sinks(store);
	CurrentResourceOwner = owner;
	MemoryContextSwitchTo(caller);
	lasting.store = store;
}

/*
 * NULL: it is in use, or too late.  Nor where nobody would close it before a command: not
 * preloaded; within a command, which a trigger of it may send; and where changes of others
 * are applied, TRUNCATE among them.
 */
static Store *
use_lasting(int16 ring_part)
{
	if (!slots_available() || lasting.over || (lasting.store != NULL && lasting.in_use) ||
		ncommands > 0 || IsLogicalWorker())
		return NULL;
	if (lasting.store != NULL &&
		(lasting.broken || lasting.seen != sink_changes() || lasting.store->ring_part != ring_part))
		close_lasting();
	if (lasting.store == NULL)
		open_lasting(ring_part);
	lasting.in_use = true;
	lasting.used_in = GetCurrentSubTransactionId();
	return lasting.store;
}

void
store_close_lasting(void)
{
	if (!lasting.in_use)
		close_lasting();
}

void
store_begin_command(void)
{
	ncommands++;
}

void
store_end_command(void)
{
	ncommands--;
}

/* What was opened since the transaction began is released with it. */
static void
xact_callback(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			lasting.in_use = false;
			close_lasting();
			lasting.over = true;
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PREPARE:
		case XACT_EVENT_ABORT:
			memset(&lasting, 0, sizeof(lasting));
			break;
		default:
			break;
	}
}

/* Ids of subtransactions go up: those that are under way within one have higher ones. */
static void
subxact_callback(SubXactEvent event, SubTransactionId id, SubTransactionId parent, void *arg)
{
	if (lasting.store == NULL)
		return;
	if (event == SUBXACT_EVENT_PRE_COMMIT_SUB && lasting.opened_in >= id)
		close_lasting();
	else if (event == SUBXACT_EVENT_ABORT_SUB && lasting.opened_in >= id)
		lasting.store = NULL;
	else if (event == SUBXACT_EVENT_ABORT_SUB && lasting.in_use && lasting.used_in >= id)
	{
		lasting.in_use = false;
		lasting.broken = true;
	}
}

void
store_register_callbacks(void)
{
	RegisterXactCallback(xact_callback, NULL);
	RegisterSubXactCallback(subxact_callback, NULL);
}

/* ---------------------------------------------------------------------
 * Storing
 * ---------------------------------------------------------------------
 */
Store *
store_begin(TimestampTz now, bool many)
{
	int16		ring_part = tables_ring_part(now);
	Store	   *store;

	(void) sink_event_sequence();	/* is the extension there? */
	(void) GetCurrentTransactionId();	/* which the rows will have */
	write_home();
	store = use_lasting(ring_part);
	if (store == NULL)
	{
		store = palloc(sizeof(Store));
		store->ring_part = ring_part;
		open_sinks(store);
	}
	store->many = many;
	return store;
}

static bool
part_is_plain(Relation events, int16 ring_part)
{
	Oid			partition = rows_partition(events, ring_part);
	Relation	rel;
	bool		plain;

	if (!OidIsValid(partition) || !rows_table_is_passive(events))
		return false;
	rel = table_open(partition, RowExclusiveLock);
	plain = rows_table_is_plain(rel, columns_of_event, EVENT_COLUMNS, rows_event_key) && ids_are_plain(rel);
	table_close(rel, NoLock);
	return plain;
}

bool
store_is_plain(TimestampTz now)
{
	Relation	events;
	Relation	queue;
	bool		plain;

	write_home();
	events = sink_lock(SINK_EVENT);
	queue = sink_lock(SINK_QUEUE);
	plain = part_is_plain(events, tables_ring_part(now)) &&
		rows_table_is_plain(queue, columns_of_queue, QUEUE_COLUMNS, rows_queue_key);
	table_close(queue, NoLock);
	table_close(events, NoLock);
	return plain;
}

void
store_end(Store *store)
{
	sink_flush(&store->queue);
	sink_flush(&store->events);
	if (store == lasting.store)
		lasting.in_use = false;
	else
	{
		close_sinks(store);
		pfree(store);
	}
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
		sink_row_clear(&row);
		sink_row_set(&row, QUEUE_DESTINATION_ID, Int32GetDatum(takers[i].destination_id));
		sink_row_set(&row, QUEUE_EVENT_SLOT, Int16GetDatum(store->ring_part));
		sink_row_set(&row, QUEUE_RUN, Int16GetDatum(0));
		sink_row_set(&row, QUEUE_ATTEMPTS, Int32GetDatum(0));
		sink_row_set(&row, QUEUE_EVENT_ID, Int64GetDatum(id));
		sink_row_set(&row, QUEUE_QUEUED_AT, TimestampTzGetDatum(times->now));
		if (keyed)
			sink_row_set(&row, QUEUE_ORDERING_KEY, Int64GetDatum(hash));
		if (times->deliver_after != NO_TIME)
			sink_row_set(&row, QUEUE_DELIVER_AFTER, TimestampTzGetDatum(times->deliver_after));
		if (times->expires_at != NO_TIME)
			sink_row_set(&row, QUEUE_EXPIRES_AT, TimestampTzGetDatum(times->expires_at));
		sink_insert(&store->queue, &row, store->many);
		note_queued(&takers[i], id, keyed ? hash : id, map, times->deliver_after == NO_TIME);
	}
}

int64
store_add(Store *store, const Prepared *prepared)
{
	const Taker *takers = prepared->takers;
	int			count = prepared->count;
	int64		id = ids_next(store->events.rel, store->ring_part);
	int64		first;

	if (prepared->once)
		takers = once_takers(prepared, id, &count, &first);
	if (prepared->once && count == 0)
		return first;
	insert_event(&store->events, id, store->ring_part, prepared,
				 store->many && VARSIZE(prepared->checked) <= MAX_KEPT);
	queue_for(store, id, prepared, takers, count);
	return id;
}

static void
tally_refused(int32 destination_id, TimestampTz now)
{
	Datum		id = Int32GetDatum(destination_id);
	Datum		what = Int16GetDatum(TALLY_REFUSED);
	Datum		one = Int32GetDatum(1);
	NewRow		row;

	sink_row_clear(&row);
	sink_row_set(&row, UNTALLIED_AT, TimestampTzGetDatum(now));
	sink_row_set(&row, UNTALLIED_DESTINATION_IDS, statement_array(&id, 1, INT4OID));
	sink_row_set(&row, UNTALLIED_WHATS, statement_array(&what, 1, INT2OID));
	sink_row_set(&row, UNTALLIED_COUNTS, statement_array(&one, 1, INT4OID));
	sink_insert_by_statement(SINK_UNTALLIED, &row);
}

/* So rarely that these are statements. */
void
store_refused(int64 event_id, int32 destination_id, TimestampTz now, const char *reason)
{
	Outcome		outcome = {
		.kind = VERDICT_REFUSED,
		.claimed = {.event_id = event_id, .destination_id = destination_id},
		.started_at = now,
		.error = unconstify(char *, reason)
	};
	NewRow		row;
	bool		nulls[DELIVERY_COLUMNS];

	columns_delivery_row(&outcome, row.values, nulls);
	for (int i = 0; i < DELIVERY_COLUMNS; i++)
		row.nulls[i] = nulls[i] ? 'n' : ' ';
	sink_insert_by_statement(SINK_DELIVERY, &row);
	tally_refused(destination_id, now);
}

/* A worker makes one of what many have noted, and tells of it. */
void
store_alert_refused(int64 event_id, int32 destination_id)
{
	NewRow		row;

	sink_row_clear(&row);
	sink_row_set(&row, ALERT_KIND, CStringGetTextDatum("event refused"));
	sink_row_set(&row, ALERT_DESTINATION_ID, Int32GetDatum(destination_id));
	if (event_id != 0)
		sink_row_set(&row, ALERT_EVENT_ID, Int64GetDatum(event_id));
	sink_row_set(&row, ALERT_MESSAGE,
				 CStringGetTextDatum("what a trigger was to send could not be queued; rswebhook.delivery says why"));
	sink_insert_by_statement(SINK_ALERT, &row);
	wake_note_changed();
}
