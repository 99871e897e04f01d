/*-------------------------------------------------------------------------
 *
 * changes.c
 *		Which destinations have changed, for whoever keeps what it has read of them.
 *
 * A commit writes the ids of the rows that it has changed into a ring in shared
 * memory, after they have become visible and before anybody is told: who looks
 * there before it takes a snapshot has all that is in it in the snapshot.
 *
 * What a ring cannot do is left to a relcache invalidation of the table, which
 * stands for all rows: many rows at once, TRUNCATE, a transaction that is prepared
 * (some other session ends it, perhaps after a restart), a server that has not
 * preloaded us, and DDL.  A standby hears of no rows, so that there nothing that was
 * read is good without another look.
 *
 * Rows that change while the trigger is off are in neither.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/inval.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "shmem/changes.h"

/* Of all databases. */
#define RING_CHANGES	1024

/* More of one transaction are all. */
#define MAX_OWN			64

typedef struct Change
{
	Oid			database;
	int32		id;
	bool		divided;
} Change;

typedef struct Ring
{
	LWLock		lock;
	pg_atomic_uint64 position;	/* so many were written */
	Change		changes[RING_CHANGES];
} Ring;

static Ring *ring = NULL;		/* NULL: not preloaded */

static Oid	table = InvalidOid;
static uint64 resets = 1;

/* of this transaction */
static Change own[MAX_OWN];
static int	nown = 0;
static bool own_more = false;	/* than there was room for */

Size
changes_size(void)
{
	return sizeof(Ring);
}

void
changes_startup(void)
{
	bool		found;

	ring = ShmemInitStruct("rswebhook changes", changes_size(), &found);
	if (!found)
	{
		LWLockInitialize(&ring->lock, GetNamedLWLockTranche("rswebhook")->lock.tranche);
		pg_atomic_init_u64(&ring->position, 0);
	}
}

/* ---------------------------------------------------------------------
 * What this transaction changes
 * ---------------------------------------------------------------------
 */

/* It has committed, and nobody was told of that yet: nothing here may fail. */
static void
publish_own(void)
{
	uint64		position;

	LWLockAcquire(&ring->lock, LW_EXCLUSIVE);
	position = pg_atomic_read_u64(&ring->position);
	for (int i = 0; i < nown; i++)
		ring->changes[position++ % RING_CHANGES] = own[i];
	pg_atomic_write_u64(&ring->position, position);
	LWLockRelease(&ring->lock);
}

static void
xact_callback(XactEvent event, void *arg)
{
	if (nown == 0 && !own_more)
		return;					/* nearly always */
	switch (event)
	{
		case XACT_EVENT_PRE_PREPARE:
			/* kept with what is prepared, and sent by whoever commits it */
			if (SearchSysCacheExists1(RELOID, ObjectIdGetDatum(table)))
				CacheInvalidateRelcacheByRelid(table);
			return;
		case XACT_EVENT_COMMIT:
			if (nown > 0)
				publish_own();
			break;
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			/* what was read among the changes is not there any more */
			resets++;
			break;
		default:
			return;
	}
	nown = 0;
	own_more = false;
}

static void
subxact_callback(SubXactEvent event, SubTransactionId mine,
				 SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB && own_more)
		resets++;
}

static void
relcache_callback(Datum arg, Oid relid)
{
	if (relid == table || relid == InvalidOid)
		resets++;
}

static void
register_callbacks(void)
{
	static bool registered = false;

	if (registered)
		return;
	CacheRegisterRelcacheCallback(relcache_callback, (Datum) 0);
	RegisterXactCallback(xact_callback, NULL);
	RegisterSubXactCallback(subxact_callback, NULL);
	registered = true;
}

void
changes_note_all(Relation destinations)
{
	register_callbacks();
	changes_set_table(RelationGetRelid(destinations));
	own_more = true;
	CacheInvalidateRelcache(destinations);
}

void
changes_note(Relation destinations, int32 id, bool divided)
{
	if (ring == NULL)
	{
		changes_note_all(destinations);
		return;
	}
	register_callbacks();
	changes_set_table(RelationGetRelid(destinations));
	for (int i = 0; i < nown; i++)
	{
		if (own[i].id == id)
		{
			own[i].divided |= divided;
			return;
		}
	}
	if (nown < MAX_OWN)
		own[nown++] = (Change) {MyDatabaseId, id, divided};
	else
		changes_note_all(destinations);
}

/* ---------------------------------------------------------------------
 * What has changed
 * ---------------------------------------------------------------------
 */

void
changes_set_table(Oid relid)
{
	register_callbacks();
	if (relid != table)
		resets++;
	table = relid;
}

uint64
changes_resets(void)
{
	return resets;
}

void
changes_forget(void)
{
	resets++;
}

static void
add(Changes *changes, int32 *ids, const Change *change)
{
	ids[changes->count++] = change->id;
	changes->divided |= change->divided;
}

void
changes_look(const ChangeReader *reader, Changes *changes)
{
	static int32 ids[RING_CHANGES + MAX_OWN];
	uint64		from = reader->position;

	register_callbacks();

	/* a long transaction hears of changes, too */
	AcceptInvalidationMessages();
	*changes = (Changes) {.ids = ids, .next = {.resets = resets}};
	if (ring != NULL)
		changes->next.position = pg_atomic_read_u64(&ring->position);
	if (ring != NULL && changes->next.position != from)
	{
		LWLockAcquire(&ring->lock, LW_SHARED);
		changes->next.position = pg_atomic_read_u64(&ring->position);
		changes->all = changes->next.position - from > RING_CHANGES;
		for (; from < changes->next.position && !changes->all; from++)
		{
			const Change *change = &ring->changes[from % RING_CHANGES];

			if (change->database == MyDatabaseId)
				add(changes, ids, change);
		}
		LWLockRelease(&ring->lock);
	}
	for (int i = 0; i < nown; i++)
		add(changes, ids, &own[i]);
	if (resets != reader->resets || RecoveryInProgress())
		changes->all = true;
}
