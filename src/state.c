/*-------------------------------------------------------------------------
 *
 * state.c
 *		Shared memory: one slot a database, wake-ups, live counters.
 *
 * The rules of locking are in state.h.
 *
 * A committing backend tells the worker which ids became visible, for which
 * destination.  That makes the worker's read-ahead exact: ids commit out of
 * order, and a transaction that commits late would otherwise have to be found
 * by reading again what lies behind the cursor.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "state.h"

#include <signal.h>

#include "access/xact.h"
#include "access/xlog.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "port/atomics.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

/* Live counters are kept for so many destinations of the cluster at the most. */
#define MAX_TRACKED_DESTINATIONS	4096

/* Distinct destinations that one transaction names exactly. */
#define MAX_PENDING_RANGES			32

/* A worker that leaves when told to needs milliseconds; give up far later. */
#define HOLD_TIMEOUT_MS				10000

/* One that is stuck in a transaction hears signals only. */
#define HOLD_GRACE_MS				400

typedef struct DatabaseSlot
{
	/* guarded by control->lock */
	uint32		generation;		/* grows when the slot changes hands and at
								 * every start of a worker */
	bool		wanted;			/* there should be a worker */
	bool		starting;		/* the launcher started one, not attached yet */
	bool		confirmed;		/* the worker has found the extension */
	int			holds;			/* commands that need the database to itself */
	int			crashes;		/* in a row; reset when a worker lasts */
	TimestampTz start_after;

	/* guarded by both: read under either, written under both */
	Oid			database;		/* InvalidOid: free */

	/* guarded by lock */
	LWLock		lock;
	PGPROC	   *worker;			/* NULL: none attached */
	bool		stop;
	bool		woken;			/* by a commit, since the worker last looked */
	int			nranges;
	QueuedRange ranges[STATE_MAX_RANGES];
} DatabaseSlot;

typedef struct Control
{
	LWLock		lock;
	LWLock		stats_lock;
	PGPROC	   *launcher;
	bool		scan;			/* new databases may have come */
	bool		crowded;		/* a database found no slot; the launcher knows */

	/* commits that may be visible before they are on disk; no lock */
	pg_atomic_uint32 async_under_way;
	pg_atomic_uint64 async_upto;	/* of those that have ended */

	DatabaseSlot slots[FLEXIBLE_ARRAY_MEMBER];
} Control;

typedef struct StatsKey
{
	Oid			database;
	int32		destination_id;
} StatsKey;

typedef struct StatsEntry
{
	StatsKey	key;
	DestinationStats stats;
} StatsEntry;

static Control *control = NULL;
static HTAB *stats_table = NULL;

static shmem_startup_hook_type prev_shmem_startup_hook = NULL;
static shmem_request_hook_type prev_shmem_request_hook = NULL;

/* what the current transaction queued */
static QueuedRange pending[MAX_PENDING_RANGES];
static int	npending = 0;
static bool publishes = false;	/* it has committed, and the worker hears soon */

static bool pending_new_database = false;
static bool commits_async = false;

/* the database that the current transaction keeps free of a worker */
static Oid	held_database = InvalidOid;
static bool held_for_drop = false;

/* the worker's own slot */
static DatabaseSlot *my_slot = NULL;
static uint32 my_generation = 0;
static TimestampTz attached_at = 0;
static bool found_nothing = false;

static Size
control_size(void)
{
	return add_size(offsetof(Control, slots),
					mul_size(rswebhook_max_databases, sizeof(DatabaseSlot)));
}

static void
request_memory(void)
{
	if (prev_shmem_request_hook)
		prev_shmem_request_hook();
	RequestAddinShmemSpace(control_size());
	RequestAddinShmemSpace(hash_estimate_size(MAX_TRACKED_DESTINATIONS,
											  sizeof(StatsEntry)));
	RequestNamedLWLockTranche("rswebhook", 1);
}

static void
startup(void)
{
	HASHCTL		info = {0};
	bool		found;

	if (prev_shmem_startup_hook)
		prev_shmem_startup_hook();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);

	control = ShmemInitStruct("rswebhook", control_size(), &found);
	if (!found)
	{
		int			tranche = GetNamedLWLockTranche("rswebhook")->lock.tranche;

		memset(control, 0, control_size());
		LWLockInitialize(&control->lock, tranche);
		LWLockInitialize(&control->stats_lock, tranche);
		for (int i = 0; i < rswebhook_max_databases; i++)
			LWLockInitialize(&control->slots[i].lock, tranche);
		pg_atomic_init_u32(&control->async_under_way, 0);
		pg_atomic_init_u64(&control->async_upto, 0);
	}

	info.keysize = sizeof(StatsKey);
	info.entrysize = sizeof(StatsEntry);
	stats_table = ShmemInitHash("rswebhook destinations",
								MAX_TRACKED_DESTINATIONS,
								MAX_TRACKED_DESTINATIONS,
								&info, HASH_ELEM | HASH_BLOBS);

	LWLockRelease(AddinShmemInitLock);
}

void
state_init(void)
{
	prev_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = startup;
	at_shmem_request(request_memory, prev_shmem_request_hook);
}

bool
state_available(void)
{
	return control != NULL;
}

void
state_warn_unavailable(void)
{
	static bool warned = false;

	if (control != NULL || warned)
		return;
	warned = true;
	ereport(WARNING,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("rswebhook is not in \"shared_preload_libraries\", so nothing will be delivered yet"),
			 errhint("Add it to shared_preload_libraries and restart the server; what was sent until then is kept and delivered afterwards.")));
}

static void
forget_all_stats(Oid database)
{
	HASH_SEQ_STATUS scan;
	StatsEntry *entry;

	LWLockAcquire(&control->stats_lock, LW_EXCLUSIVE);
	hash_seq_init(&scan, stats_table);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		if (entry->key.database == database)
			hash_search(stats_table, &entry->key, HASH_REMOVE, NULL);
	}
	LWLockRelease(&control->stats_lock);
}

/* ---------------------------------------------------------------------
 * Slots
 * ---------------------------------------------------------------------
 */

/* The slot of a database; the caller holds control->lock. */
static DatabaseSlot *
find_slot(Oid database)
{
	for (int i = 0; i < rswebhook_max_databases; i++)
	{
		if (control->slots[i].database == database)
			return &control->slots[i];
	}
	return NULL;
}

/* Likewise, taking a free one if there is none; NULL: all are taken. */
static DatabaseSlot *
claim_slot(Oid database)
{
	DatabaseSlot *slot = find_slot(database);

	if (slot != NULL)
		return slot;
	slot = find_slot(InvalidOid);
	if (slot == NULL)
		return NULL;

	LWLockAcquire(&slot->lock, LW_EXCLUSIVE);
	slot->database = database;
	slot->worker = NULL;
	slot->stop = false;
	slot->woken = false;
	slot->nranges = 0;
	LWLockRelease(&slot->lock);
	slot->generation++;
	slot->wanted = false;
	slot->starting = false;
	slot->confirmed = false;
	slot->holds = 0;
	slot->crashes = 0;
	slot->start_after = 0;
	return slot;
}

/* Give a slot back if nobody needs it; the caller holds control->lock. */
static void
free_slot_if_unused(DatabaseSlot *slot)
{
	if (slot->wanted || slot->starting || slot->holds > 0 || slot->worker != NULL)
		return;
	LWLockAcquire(&slot->lock, LW_EXCLUSIVE);
	slot->database = InvalidOid;
	LWLockRelease(&slot->lock);
	slot->generation++;
}

/* The caller holds control->lock. */
static void
wake_launcher(void)
{
	if (control->launcher != NULL)
		SetLatch(&control->launcher->procLatch);
}

bool
state_want_worker(Oid database)
{
	DatabaseSlot *slot;

	if (control == NULL)
		return false;
	LWLockAcquire(&control->lock, LW_EXCLUSIVE);
	slot = claim_slot(database);
	if (slot != NULL && !slot->wanted)
	{
		slot->wanted = true;
		slot->crashes = 0;
		slot->start_after = 0;
	}

	/*
	 * With every slot taken, the launcher looks for databases that wait when
	 * it next has a reason to wake; each commit that comes meanwhile is none.
	 */
	if (slot == NULL)
		control->scan = true;
	if (slot != NULL || !control->crowded)
		wake_launcher();
	LWLockRelease(&control->lock);
	return slot != NULL;
}

void
state_hold_database(Oid database, bool dropping)
{
	TimestampTz since = GetCurrentTimestamp();
	bool		signaled = false;
	DatabaseSlot *slot;

	if (control == NULL || OidIsValid(held_database))
		return;

	LWLockAcquire(&control->lock, LW_EXCLUSIVE);
	slot = claim_slot(database);
	if (slot != NULL)
		slot->holds++;
	LWLockRelease(&control->lock);
	if (slot == NULL)
		return;					/* all slots taken: no worker there, either */
	held_database = database;
	held_for_drop = dropping;

	for (;;)
	{
		TimestampTz now = GetCurrentTimestamp();
		bool		gone;

		LWLockAcquire(&control->lock, LW_EXCLUSIVE);
		LWLockAcquire(&slot->lock, LW_EXCLUSIVE);
		gone = slot->worker == NULL && !slot->starting;
		if (slot->worker != NULL)
		{
			slot->stop = true;
			SetLatch(&slot->worker->procLatch);
			if (!signaled && TimestampDifferenceExceeds(since, now, HOLD_GRACE_MS))
			{
				kill(slot->worker->pid, SIGTERM);
				signaled = true;
			}
		}
		LWLockRelease(&slot->lock);
		LWLockRelease(&control->lock);

		/* if it does not go, the command fails in its usual way */
		if (gone || TimestampDifferenceExceeds(since, now, HOLD_TIMEOUT_MS))
			return;

		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 5, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

/* At the end of the transaction. */
static void
release_database(bool committed)
{
	DatabaseSlot *slot;
	bool		dropped = committed && held_for_drop;
	Oid			database = held_database;

	held_database = InvalidOid;
	LWLockAcquire(&control->lock, LW_EXCLUSIVE);
	slot = find_slot(database);
	if (slot != NULL && slot->holds > 0)
	{
		slot->holds--;
		slot->start_after = 0;
		if (dropped)
			slot->wanted = false;
		free_slot_if_unused(slot);
		wake_launcher();
	}
	LWLockRelease(&control->lock);

	if (dropped)
		forget_all_stats(database);
}

/* ---------------------------------------------------------------------
 * The launcher's side
 * ---------------------------------------------------------------------
 */

static void
detach_launcher(int code, Datum arg)
{
	LWLockAcquire(&control->lock, LW_EXCLUSIVE);
	control->launcher = NULL;
	LWLockRelease(&control->lock);
}

void
state_attach_launcher(void)
{
	LWLockAcquire(&control->lock, LW_EXCLUSIVE);
	control->launcher = MyProc;
	control->scan = true;

	/* a launcher that died in the middle of a start left this behind */
	for (int i = 0; i < rswebhook_max_databases; i++)
		control->slots[i].starting = false;
	LWLockRelease(&control->lock);
	before_shmem_exit(detach_launcher, 0);
}

bool
state_take_scan_request(void)
{
	bool		scan;

	LWLockAcquire(&control->lock, LW_EXCLUSIVE);
	scan = control->scan;
	control->scan = false;
	LWLockRelease(&control->lock);
	return scan;
}

void
state_set_crowded(bool crowded)
{
	LWLockAcquire(&control->lock, LW_EXCLUSIVE);
	control->crowded = crowded;
	LWLockRelease(&control->lock);
}

/* The caller holds control->lock. */
static bool
needs_start(const DatabaseSlot *slot)
{
	return OidIsValid(slot->database) && slot->wanted && !slot->starting &&
		slot->holds == 0 && slot->worker == NULL;
}

bool
state_next_to_start(int *slot_number, Oid *database, uint32 *generation)
{
	TimestampTz now = GetCurrentTimestamp();
	bool		found = false;

	LWLockAcquire(&control->lock, LW_EXCLUSIVE);
	for (int i = 0; i < rswebhook_max_databases && !found; i++)
	{
		DatabaseSlot *slot = &control->slots[i];

		if (!needs_start(slot) || slot->start_after > now)
			continue;
		slot->starting = true;
		slot->confirmed = false;
		slot->generation++;
		*slot_number = i;
		*database = slot->database;
		*generation = slot->generation;
		found = true;
	}
	LWLockRelease(&control->lock);
	return found;
}

TimestampTz
state_next_start_at(void)
{
	TimestampTz next = 0;

	LWLockAcquire(&control->lock, LW_SHARED);
	for (int i = 0; i < rswebhook_max_databases; i++)
	{
		DatabaseSlot *slot = &control->slots[i];

		if (needs_start(slot) && (next == 0 || slot->start_after < next))
			next = slot->start_after;
	}
	LWLockRelease(&control->lock);
	return next;
}

int
state_looking(void)
{
	int			count = 0;

	LWLockAcquire(&control->lock, LW_SHARED);
	for (int i = 0; i < rswebhook_max_databases; i++)
	{
		DatabaseSlot *slot = &control->slots[i];

		if (OidIsValid(slot->database) && !slot->confirmed &&
			(slot->starting || slot->worker != NULL))
			count++;
	}
	LWLockRelease(&control->lock);
	return count;
}

/*
 * Wait longer after each failure in a row, from a second to a minute; the
 * caller holds control->lock.
 */
static void
back_off(DatabaseSlot *slot)
{
	int			seconds = Min(60, 1 << Min(slot->crashes, 6));

	slot->crashes++;
	slot->start_after = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													seconds * INT64CONST(1000));
}

void
state_worker_gone(int slot_number, uint32 generation)
{
	DatabaseSlot *slot = &control->slots[slot_number];

	LWLockAcquire(&control->lock, LW_EXCLUSIVE);
	if (slot->generation == generation && slot->starting)
	{
		slot->starting = false;
		back_off(slot);
		free_slot_if_unused(slot);
	}
	LWLockRelease(&control->lock);
}

void
state_database_gone(int slot_number, uint32 generation)
{
	DatabaseSlot *slot = &control->slots[slot_number];

	LWLockAcquire(&control->lock, LW_EXCLUSIVE);
	if (slot->generation == generation)
		slot->wanted = false;
	LWLockRelease(&control->lock);
	state_worker_gone(slot_number, generation);
}

/* ---------------------------------------------------------------------
 * The worker's side
 * ---------------------------------------------------------------------
 */

static void
detach_worker(int code, Datum arg)
{
	bool		unwanted = false;

	LWLockAcquire(&control->lock, LW_EXCLUSIVE);
	if (my_slot->generation == my_generation)
	{
		/* a worker that has lasted starts the back-off anew */
		if (TimestampDifferenceExceeds(attached_at, GetCurrentTimestamp(), 60000))
			my_slot->crashes = 0;
		if (code != 0)
			back_off(my_slot);
		LWLockAcquire(&my_slot->lock, LW_EXCLUSIVE);

		/*
		 * Whoever created the extension anew, after this worker had looked for
		 * it in vain, has woken it and counts on it.
		 */
		if (found_nothing && !my_slot->woken)
			my_slot->wanted = false;
		my_slot->worker = NULL;
		my_slot->stop = false;
		my_slot->woken = false;
		my_slot->nranges = 0;
		LWLockRelease(&my_slot->lock);
		unwanted = !my_slot->wanted;
		free_slot_if_unused(my_slot);
		wake_launcher();
	}
	LWLockRelease(&control->lock);

	if (unwanted)
		forget_all_stats(MyDatabaseId);
}

bool
state_attach_worker(int slot_number, uint32 generation)
{
	DatabaseSlot *slot = &control->slots[slot_number];
	bool		ok;

	LWLockAcquire(&control->lock, LW_EXCLUSIVE);
	ok = slot->generation == generation && slot->holds == 0 &&
		slot->worker == NULL;
	if (slot->generation == generation)
		slot->starting = false;
	if (ok)
	{
		LWLockAcquire(&slot->lock, LW_EXCLUSIVE);
		slot->worker = MyProc;
		slot->stop = false;
		slot->woken = false;
		slot->nranges = 0;
		LWLockRelease(&slot->lock);
		my_slot = slot;
		my_generation = generation;
		attached_at = GetCurrentTimestamp();
	}
	LWLockRelease(&control->lock);

	/*
	 * Called before the database connection is made, so that this runs after
	 * the process has left the list of the database's processes: whoever
	 * waits in state_hold_database() can go ahead then.
	 */
	if (ok)
		on_shmem_exit(detach_worker, 0);
	return ok;
}

void
state_confirm_worker(void)
{
	LWLockAcquire(&control->lock, LW_EXCLUSIVE);
	my_slot->confirmed = true;
	wake_launcher();
	LWLockRelease(&control->lock);
}

void
state_mark_unwanted(void)
{
	found_nothing = true;
}

bool
state_told_to_stop(void)
{
	bool		stop;

	LWLockAcquire(&my_slot->lock, LW_SHARED);
	stop = my_slot->stop;
	LWLockRelease(&my_slot->lock);
	return stop;
}

bool
state_woken(void)
{
	bool		woken;

	LWLockAcquire(&my_slot->lock, LW_SHARED);
	woken = my_slot->woken;
	LWLockRelease(&my_slot->lock);
	return woken;
}

int
state_take_ranges(QueuedRange *ranges)
{
	int			count;

	LWLockAcquire(&my_slot->lock, LW_EXCLUSIVE);
	count = my_slot->nranges;
	memcpy(ranges, my_slot->ranges, count * sizeof(QueuedRange));
	my_slot->nranges = 0;
	my_slot->woken = false;
	LWLockRelease(&my_slot->lock);
	return count;
}

/* ---------------------------------------------------------------------
 * Wake-up by commit
 * ---------------------------------------------------------------------
 */

/* Widen a range; an empty one (first > last) adds nothing. */
static void
widen(QueuedRange *range, int64 first_id, int64 last_id)
{
	range->first_id = Min(range->first_id, first_id);
	range->last_id = Max(range->last_id, last_id);
}

void
state_note_queued(int32 destination_id, int64 first_id, int64 last_id)
{
	if (control == NULL)
		return;

	/* the one in hand is nearly always the last one, or its neighbour */
	for (int i = npending - 1; i >= 0; i--)
	{
		if (pending[i].destination_id == destination_id)
		{
			widen(&pending[i], first_id, last_id);
			return;
		}
	}
	if (npending < MAX_PENDING_RANGES)
		pending[npending++] = (QueuedRange) {destination_id, first_id, last_id};
	else
	{
		/* too many to name: the last entry stands for all destinations */
		pending[npending - 1].destination_id = 0;
		widen(&pending[npending - 1], first_id, last_id);
	}
}

/*
 * Add to the worker's ranges.  Neighbouring sends to one destination become
 * one range, unless ids of a transaction that is still open may lie between
 * them: that only makes the worker look where nothing is.
 */
static void
push_range(DatabaseSlot *slot, const QueuedRange *range)
{
	if (range->first_id > range->last_id)
		return;					/* a wake-up only */
	for (int i = slot->nranges - 1; i >= Max(0, slot->nranges - 8); i--)
	{
		QueuedRange *last = &slot->ranges[i];

		if (last->destination_id == range->destination_id &&
			range->first_id <= last->last_id + 100 &&
			range->last_id >= last->first_id - 100)
		{
			widen(last, range->first_id, range->last_id);
			return;
		}
	}
	if (slot->nranges < STATE_MAX_RANGES)
		slot->ranges[slot->nranges++] = *range;
	else
	{
		slot->ranges[slot->nranges - 1].destination_id = 0;
		widen(&slot->ranges[slot->nranges - 1], range->first_id, range->last_id);
	}
}

/* After commit: nothing here may fail. */
static void
publish_pending(void)
{
	static int	hint = 0;		/* this backend's slot, most likely */
	DatabaseSlot *slot = &control->slots[hint];
	bool		delivered = false;

	if (slot->database != MyDatabaseId)
	{
		for (hint = 0; hint < rswebhook_max_databases; hint++)
		{
			if (control->slots[hint].database == MyDatabaseId)
				break;
		}
		if (hint == rswebhook_max_databases)
			hint = 0;
		slot = &control->slots[hint];
	}

	LWLockAcquire(&slot->lock, LW_EXCLUSIVE);
	if (slot->database == MyDatabaseId && slot->worker != NULL)
	{
		for (int i = 0; i < npending; i++)
			push_range(slot, &pending[i]);
		slot->woken = true;
		SetLatch(&slot->worker->procLatch);
		delivered = true;
	}
	LWLockRelease(&slot->lock);

	/* a worker that starts reads everything that is visible by then */
	if (!delivered)
		(void) state_want_worker(MyDatabaseId);
}

/*
 * With synchronous_commit off, a transaction is visible before it is on disk,
 * and a crash may undo it: what it queued must not have been sent by then.  So
 * the worker is told, before such a transaction becomes visible, that it has
 * to see to the disk itself; and afterwards, up to where.
 */
static void
begin_async_commit(void)
{
	commits_async = true;
	pg_atomic_fetch_add_u32(&control->async_under_way, 1);
}

static void
end_async_commit(bool committed)
{
	uint64		upto = pg_atomic_read_u64(&control->async_upto);

	commits_async = false;
	while (committed && upto < XactLastCommitEnd &&
		   !pg_atomic_compare_exchange_u64(&control->async_upto, &upto, XactLastCommitEnd))
		;
	pg_atomic_fetch_sub_u32(&control->async_under_way, 1);
}

void
state_flush_commits(void)
{
	if (pg_atomic_read_u32(&control->async_under_way) > 0)
		XLogFlush(GetXLogInsertRecPtr());
	else
	{
		pg_read_barrier();
		XLogFlush(pg_atomic_read_u64(&control->async_upto));
	}
}

void
state_note_new_database(void)
{
	pending_new_database = true;
}

static void
request_scan(void)
{
	LWLockAcquire(&control->lock, LW_EXCLUSIVE);
	control->scan = true;
	wake_launcher();
	LWLockRelease(&control->lock);
}

/* But for the first case nothing here may fail: the transaction has ended. */
static void
xact_callback(XactEvent event, void *arg)
{
	bool		committed = event == XACT_EVENT_COMMIT;

	if (event == XACT_EVENT_PRE_COMMIT && npending > 0 &&
		synchronous_commit == SYNCHRONOUS_COMMIT_OFF)
		begin_async_commit();

	/* COMMIT PREPARED wakes the worker by itself: see ddl.c */
	if (!committed && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE)
		return;

	if (commits_async)
		end_async_commit(committed);
	if (committed)
		publishes = npending > 0;
	else
		npending = 0;
	if (pending_new_database && committed)
		request_scan();
	pending_new_database = false;
	if (OidIsValid(held_database))
		release_database(committed);
}

/*
 * The worker is told last of all, when this transaction's invalidation messages
 * have been sent: it would not hear of a destination's change by looking before
 * that, and nothing would make it look again.
 */
static void
release_callback(ResourceReleasePhase phase, bool committed, bool top_level, void *arg)
{
	if (!publishes || !top_level || phase != RESOURCE_RELEASE_AFTER_LOCKS)
		return;
	publishes = false;
	publish_pending();
	npending = 0;
}

void
state_register_callbacks(void)
{
	RegisterResourceReleaseCallback(release_callback, NULL);
	RegisterXactCallback(xact_callback, NULL);
}

/* ---------------------------------------------------------------------
 * Live counters
 * ---------------------------------------------------------------------
 */

void
state_publish_stats(int32 destination_id, const DestinationStats *stats)
{
	StatsKey	key = {MyDatabaseId, destination_id};
	StatsEntry *entry;

	LWLockAcquire(&control->stats_lock, LW_EXCLUSIVE);
	entry = hash_search(stats_table, &key, HASH_ENTER_NULL, NULL);
	if (entry != NULL)			/* else: too many to keep counters of all */
		entry->stats = *stats;
	LWLockRelease(&control->stats_lock);
}

void
state_forget_stats(int32 destination_id)
{
	StatsKey	key = {MyDatabaseId, destination_id};

	LWLockAcquire(&control->stats_lock, LW_EXCLUSIVE);
	hash_search(stats_table, &key, HASH_REMOVE, NULL);
	LWLockRelease(&control->stats_lock);
}

PG_FUNCTION_INFO_V1(rswebhook_worker_pid);

/* The worker of this database; null: there is none. */
Datum
rswebhook_worker_pid(PG_FUNCTION_ARGS)
{
	DatabaseSlot *slot;
	int			pid = 0;

	if (control == NULL)
		PG_RETURN_NULL();
	LWLockAcquire(&control->lock, LW_SHARED);
	slot = find_slot(MyDatabaseId);
	if (slot != NULL && slot->worker != NULL)
		pid = slot->worker->pid;
	LWLockRelease(&control->lock);
	if (pid == 0)
		PG_RETURN_NULL();
	PG_RETURN_INT32(pid);
}

PG_FUNCTION_INFO_V1(rswebhook_worker_stats);

/* The live counters of this database's destinations. */
Datum
rswebhook_worker_stats(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	HASH_SEQ_STATUS scan;
	StatsEntry *entry;

	InitMaterializedSRF(fcinfo, 0);
	if (control == NULL)
		return (Datum) 0;

	LWLockAcquire(&control->stats_lock, LW_SHARED);
	hash_seq_init(&scan, stats_table);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		const DestinationStats *stats = &entry->stats;
		Datum		values[9];
		bool		nulls[9] = {0};

		if (entry->key.database != MyDatabaseId)
			continue;
		values[0] = Int32GetDatum(entry->key.destination_id);
		values[1] = Int32GetDatum(stats->in_flight);
		values[2] = Int64GetDatum(stats->delivered);
		values[3] = Int64GetDatum(stats->retried);
		values[4] = Int64GetDatum(stats->aborted);
		values[5] = Float8GetDatum(stats->latency_ms);
		nulls[5] = stats->delivered == 0;
		values[6] = TimestampTzGetDatum(stats->last_delivered_at);
		nulls[6] = stats->last_delivered_at == 0;
		nulls[7] = stats->last_error_at == 0;
		values[7] = nulls[7] ? (Datum) 0 : CStringGetTextDatum(stats->last_error);
		values[8] = TimestampTzGetDatum(stats->last_error_at);
		nulls[8] = stats->last_error_at == 0;
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	LWLockRelease(&control->stats_lock);
	return (Datum) 0;
}
