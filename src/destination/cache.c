/*-------------------------------------------------------------------------
 *
 * cache.c
 *		The destinations of this database, reread after any change of their table.
 *
 * The cache is this process's own and holds all rows, since a fan-out asks
 * for all of them anyway.  It is read straight from the table: no privilege
 * of the current user, no search_path and no plan is involved.
 *
 * When it is read again.  Any change of the table queues a relcache
 * invalidation, which reaches every process at commit, and this one at the end
 * of each command and when the change is rolled back.  A read takes a snapshot
 * of its own that is newer than the last invalidation seen; the statement's
 * could be older, and its answer would then be kept for good.  So
 * configuration is always the newest, in a REPEATABLE READ transaction too.
 *
 * Two kinds of a read are good for a while only: one among this transaction's
 * own changes of the table must go if any of them is rolled back (the
 * invalidation may not have been queued yet), and one in parallel mode, where
 * no new snapshot can be taken, must go with the transaction.  One in which a
 * row could not be read is tried again soon.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "parser/parse_coerce.h"
#include "parser/scansup.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

#include "base/clock.h"
#include "destination/auth.h"
#include "destination/cache.h"
#include "destination/fields.h"
#include "destination/row.h"
#include "destination/secret.h"
#include "destination/values.h"
#include "shmem/slots.h"
#include "shmem/wake.h"
#include "tables/tables.h"

static struct
{
	MemoryContext context;		/* NULL: nothing cached */
	Destination **by_id;
	Destination **by_name;
	int			count;
	uint64		generation;
	ShareMap	map;
	uint64		read_at;		/* invalidations when it was read */
	bool		own_changes;	/* read among changes of this transaction */
	bool		parallel;		/* read in parallel mode */
	Instant		again_at;		/* a row could not be read; 0: all could */
}			cache;

/* Memory that was lacking may be there by then. */
#define AGAIN_US	(20 * USECS_PER_SEC)

static Oid	destination_relid = InvalidOid;
static uint64 invalidations = 1;
static MemoryContext replaced = NULL;	/* parent of old caches; NULL: nobody
										 * keeps them */

/* ---------------------------------------------------------------------
 * The cache
 * ---------------------------------------------------------------------
 */
static void
relcache_callback(Datum arg, Oid relid)
{
	if (relid == destination_relid || relid == InvalidOid)
		invalidations++;
}

static void
xact_callback(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			if (cache.own_changes || cache.parallel)
				invalidations++;
			break;
		case XACT_EVENT_COMMIT:
			if (cache.parallel)
				invalidations++;
			break;
		default:
			return;
	}
	cache.own_changes = false;
	cache.parallel = false;
}

static void
subxact_callback(SubXactEvent event, SubTransactionId mine,
				 SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB && cache.own_changes)
		invalidations++;
}

static int
compare_ids(const void *a, const void *b)
{
	int32		x = (*(Destination *const *) a)->id;
	int32		y = (*(Destination *const *) b)->id;

	return (x > y) - (x < y);
}

static int
compare_names(const void *a, const void *b)
{
	return strcmp((*(Destination *const *) a)->name, (*(Destination *const *) b)->name);
}

/* What would be so with any other row. */
static bool
is_about_all(int sqlerrcode)
{
	switch (ERRCODE_TO_CATEGORY(sqlerrcode))
	{
		case ERRCODE_OPERATOR_INTERVENTION:
		case ERRCODE_TRANSACTION_ROLLBACK:
			return true;
		default:
			return sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE;
	}
}

/*
 * One row.  If that is an error (no memory for it, or a part of it that is
 * damaged), it is this destination's alone: a subtransaction gives back what
 * was held.  In parallel mode there are none.
 */
static Destination *
read_row(HeapTuple tuple, TupleDesc desc, Instant *again_at)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	Destination *dest = palloc0(sizeof(Destination));

	if (IsInParallelMode())
	{
		destination_read(dest, tuple, desc);
		return dest;
	}
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		destination_read(dest, tuple, desc);
		ReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		if (is_about_all(error->sqlerrcode))
			ReThrowError(error);
		dest->problem = psprintf("The row cannot be read: %s", error->message);
		*again_at = clock_now() + AGAIN_US;
	}
	PG_END_TRY();
	return dest;
}

/* All rows, in the current memory context. */
static List *
read_table(Relation rel, Snapshot snapshot, Instant *again_at)
{
	List	   *list = NIL;
	SysScanDesc scan;
	HeapTuple	tuple;

	destination_columns_check(RelationGetDescr(rel));
	scan = systable_beginscan(rel, InvalidOid, false, snapshot, 0, NULL);
	while ((tuple = systable_getnext(scan)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		list = lappend(list, read_row(tuple, RelationGetDescr(rel), again_at));
	}
	systable_endscan(scan);
	return list;
}

/* Put what was read in the place of what was cached. */
static void
replace_cache(MemoryContext context, List *list)
{
	ListCell   *cell;
	int			count = 0;
	ShareMap	map = PLAIN_SHARE_MAP;
	Destination **by_id = palloc((list_length(list) + 1) * sizeof(Destination *));
	Destination **by_name = palloc((list_length(list) + 1) * sizeof(Destination *));

	foreach(cell, list)
	{
		by_id[count] = by_name[count] = (Destination *) lfirst(cell);
		count++;
	}
	qsort(by_id, count, sizeof(Destination *), compare_ids);
	qsort(by_name, count, sizeof(Destination *), compare_names);
	for (int i = 0; i < count; i++)
		map = share_map_add(map, by_id[i]->id, destination_parts(by_id[i]));

	/* from here on nothing can fail */
	MemoryContextSetParent(context, TopMemoryContext);
	if (cache.context != NULL && replaced != NULL)
		MemoryContextSetParent(cache.context, replaced);
	else if (cache.context != NULL)
		MemoryContextDelete(cache.context);
	cache.context = context;
	cache.by_id = by_id;
	cache.by_name = by_name;
	cache.count = count;
	cache.map = map;
	cache.generation++;
}

static void
read_cache(void)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "rswebhook destinations",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	bool		parallel = IsInParallelMode();
	uint64		seen;
	Relation	rel;
	Snapshot	snapshot;
	Instant		again_at = 0;

	destination_relid = tables_relation("destination");
	rel = table_open(destination_relid, AccessShareLock);

	/* whatever arrives after the snapshot was taken makes it stale at once */
	seen = invalidations;
	snapshot = RegisterSnapshot(parallel ? GetActiveSnapshot() : GetLatestSnapshot());
	replace_cache(context, read_table(rel, snapshot, &again_at));
	UnregisterSnapshot(snapshot);

	cache.read_at = seen;
	cache.again_at = again_at;
	cache.parallel = parallel;
	cache.own_changes = CheckRelationLockedByMe(rel, RowExclusiveLock, true);
	table_close(rel, AccessShareLock);
	MemoryContextSwitchTo(caller);
}

static void
refresh_cache(void)
{
	static bool registered = false;

	if (!registered)
	{
		CacheRegisterRelcacheCallback(relcache_callback, (Datum) 0);
		RegisterXactCallback(xact_callback, NULL);
		RegisterSubXactCallback(subxact_callback, NULL);
		registered = true;
	}

	/* a long transaction hears of changes, too */
	AcceptInvalidationMessages();
	if (cache.context == NULL || cache.read_at != invalidations ||
		(cache.parallel && !IsInParallelMode()) ||
		(cache.again_at != 0 && clock_now() >= cache.again_at))
		read_cache();
}

Destination *
destination_by_name(const char *name)
{
	Destination key = {.name = unconstify(char *, name)};
	Destination *keyp = &key;
	Destination **found;

	refresh_cache();
	found = bsearch(&keyp, cache.by_name, cache.count, sizeof(Destination *), compare_names);
	return found ? *found : NULL;
}

void
destination_all(Destination ***list, int *count)
{
	refresh_cache();
	*list = cache.by_id;
	*count = cache.count;
}

uint64
destination_generation(void)
{
	return cache.generation;
}

ShareMap
destination_map(void)
{
	return cache.map;
}

int
destination_parts(const Destination *destination)
{
	return share_parts(destination->workers, rswebhook_workers);
}

Instant
destination_again_at(void)
{
	return cache.again_at != 0 ? cache.again_at : INSTANT_NEVER;
}

void
destination_keep_replaced(void)
{
	replaced = AllocSetContextCreate(TopMemoryContext,
									 "rswebhook replaced destinations",
									 ALLOCSET_SMALL_SIZES);
}

void
destination_free_replaced(void)
{
	MemoryContextDeleteChildren(replaced);
}

void
destination_forget(void)
{
	invalidations++;
}
