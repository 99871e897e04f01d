/*-------------------------------------------------------------------------
 *
 * state.c
 *		Shared memory: one slot a worker, as backends and the launcher see it.
 *
 * The rules of locking are in state.h.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "state_private.h"

#include <signal.h>

#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/shmem.h"

/* A worker that leaves when told to needs milliseconds; give up far later. */
#define HOLD_TIMEOUT_US				(10 * USECS_PER_SEC)

/* One that is stuck in a transaction hears signals only. */
#define HOLD_GRACE_US				(400 * 1000)

Control    *control = NULL;

static shmem_startup_hook_type prev_shmem_startup_hook = NULL;
static shmem_request_hook_type prev_shmem_request_hook = NULL;

/*
 * The databases that the current transaction keeps free of workers.  Beyond
 * the maximum, a command fails as it does with any other session there.
 */
#define MAX_HELD	16
static struct
{
	Oid			database;
	bool		dropping;
}			held[MAX_HELD];
static int	nheld = 0;

static int
nslots(void)
{
	return rswebhook_max_databases * rswebhook_workers;
}

static Size
control_size(void)
{
	return add_size(offsetof(Control, slots), mul_size(nslots(), sizeof(WorkerSlot)));
}

static void
request_memory(void)
{
	if (prev_shmem_request_hook)
		prev_shmem_request_hook();
	RequestAddinShmemSpace(control_size());
	RequestAddinShmemSpace(commits_size());
	RequestAddinShmemSpace(counters_size());
	RequestAddinShmemSpace(clock_size());
	RequestNamedLWLockTranche("rswebhook", 1);
}

static void
startup(void)
{
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
		LWLockInitialize(&control->turns_lock, tranche);
		for (int i = 0; i < nslots(); i++)
			LWLockInitialize(&control->slots[i].lock, tranche);
		pg_atomic_init_u32(&control->async_under_way, 0);
		pg_atomic_init_u64(&control->async_upto, 0);
	}

	commits_startup();
	counters_startup();
	clock_startup();
	LWLockRelease(AddinShmemInitLock);
}

void
state_init(void)
{
	prev_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = startup;
	prev_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = request_memory;
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

/* ---------------------------------------------------------------------
 * Slots
 * ---------------------------------------------------------------------
 */

int
state_first_slot(Oid database)
{
	for (int i = 0; i < nslots(); i += rswebhook_workers)
	{
		if (control->slots[i].database == database)
			return i;
	}
	return -1;
}

/* The first slot of a database, or NULL; the caller holds control->lock. */
WorkerSlot *
state_find_slots(Oid database)
{
	int			first = state_first_slot(database);

	return first >= 0 ? &control->slots[first] : NULL;
}

int
state_share_of(const WorkerSlot *slot)
{
	return (slot - control->slots) % rswebhook_workers;
}

/* The first slot of the same database. */
WorkerSlot *
state_first_of(WorkerSlot *slot)
{
	return slot - state_share_of(slot);
}

/* No worker, and nothing known that it would have to look at; the caller has the lock. */
void
state_clear_slot(WorkerSlot *slot)
{
	slot->worker = NULL;
	slot->stop = false;
	slot->woken = false;
	slot->changed = false;
	slot->breakers = false;
	slot->turns = false;
	slot->nranges = 0;
	slot->nquiet = 0;
	slot->max_in_flight = 0;
	slot->lacks[0] = '\0';
	LWLockAcquire(&control->turns_lock, LW_EXCLUSIVE);
	slot->turns_had.count = 0;
	slot->turns_wanted.count = 0;
	LWLockRelease(&control->turns_lock);
}

/* The caller holds control->lock. */
static void
set_database(WorkerSlot *first, Oid database)
{
	for (WorkerSlot *slot = first; slot < first + rswebhook_workers; slot++)
	{
		LWLockAcquire(&slot->lock, LW_EXCLUSIVE);
		slot->database = database;
		state_clear_slot(slot);
		LWLockRelease(&slot->lock);
		slot->generation++;
		slot->wanted = false;
		slot->starting = false;
		slot->confirmed = false;
		slot->holds = 0;
		slot->crashes = 0;
		slot->start_after = 0;
	}
}

/* Like state_find_slots(), taking free ones if there are none; NULL: all are taken. */
static WorkerSlot *
claim_slots(Oid database)
{
	WorkerSlot *first = state_find_slots(database);

	if (first != NULL)
		return first;
	first = state_find_slots(InvalidOid);
	if (first != NULL)
		set_database(first, database);
	return first;
}

/* Give a database's slots back if nobody needs one; the caller holds control->lock. */
void
state_free_if_unused(WorkerSlot *first)
{
	for (WorkerSlot *slot = first; slot < first + rswebhook_workers; slot++)
	{
		if (slot->wanted || slot->starting || slot->holds > 0 || slot->worker != NULL)
			return;
	}
	set_database(first, InvalidOid);
}

/* The caller holds control->lock. */
void
state_wake_launcher(void)
{
	if (control->launcher != NULL)
		SetLatch(&control->launcher->procLatch);
}

void
state_wake_worker(WorkerSlot *slot)
{
	if (slot->worker == NULL || slot->woken)
		return;
	slot->woken = true;
	SetLatch(&slot->worker->procLatch);
}

bool
state_want_workers(Oid database)
{
	WorkerSlot *first;
	bool		news = false;

	if (control == NULL)
		return false;
	LWLockAcquire(&control->lock, LW_EXCLUSIVE);
	first = claim_slots(database);
	for (int share = 0; first != NULL && share < rswebhook_workers; share++)
	{
		WorkerSlot *slot = &first[share];

		if (slot->wanted)
			continue;
		news = slot->wanted = true;
		slot->crashes = 0;
		slot->start_after = 0;
	}

	/*
	 * With every slot taken, the launcher looks for databases that wait when
	 * it next has a reason to wake; each commit that comes meanwhile is none.
	 * Those that it has found by itself it remembers.
	 */
	if (first == NULL && MyProc != control->launcher)
		control->scan = true;
	if (first != NULL ? news : !control->crowded)
		state_wake_launcher();
	LWLockRelease(&control->lock);
	return first != NULL;
}

/* Have a worker leave, if there is one; true: there is none. */
static bool
send_away(WorkerSlot *slot, bool by_signal)
{
	bool		gone;

	LWLockAcquire(&slot->lock, LW_EXCLUSIVE);
	gone = slot->worker == NULL && !slot->starting;
	if (slot->worker != NULL)
	{
		slot->stop = true;
		SetLatch(&slot->worker->procLatch);
		if (by_signal)
			kill(slot->worker->pid, SIGTERM);
	}
	LWLockRelease(&slot->lock);
	return gone;
}

void
state_hold_database(Oid database, bool dropping)
{
	Instant		since = clock_now();
	bool		signaled = false;
	WorkerSlot *first;

	if (control == NULL || nheld == MAX_HELD)
		return;
	for (int i = 0; i < nheld; i++)
	{
		if (held[i].database == database)
			return;
	}

	LWLockAcquire(&control->lock, LW_EXCLUSIVE);
	first = claim_slots(database);
	for (int share = 0; first != NULL && share < rswebhook_workers; share++)
		first[share].holds++;
	LWLockRelease(&control->lock);
	if (first == NULL)
		return;					/* all slots taken: no worker there, either */
	held[nheld].database = database;
	held[nheld++].dropping = dropping;

	for (;;)
	{
		Instant		now = clock_now();
		bool		signals = !signaled &&
			now - since >= HOLD_GRACE_US;
		bool		gone = true;

		LWLockAcquire(&control->lock, LW_EXCLUSIVE);
		for (int share = 0; share < rswebhook_workers; share++)
			gone &= send_away(&first[share], signals);
		LWLockRelease(&control->lock);
		signaled |= signals;

		/* if one does not go, the command fails in its usual way */
		if (gone || now - since >= HOLD_TIMEOUT_US)
			return;

		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 5, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

static void
release_database(Oid database, bool dropped)
{
	WorkerSlot *first;

	LWLockAcquire(&control->lock, LW_EXCLUSIVE);
	first = state_find_slots(database);
	if (first != NULL && first->holds > 0)
	{
		for (int share = 0; share < rswebhook_workers; share++)
		{
			first[share].holds--;
			first[share].start_after = 0;
			if (dropped)
				first[share].wanted = false;
		}
		state_free_if_unused(first);
		state_wake_launcher();
	}
	LWLockRelease(&control->lock);
}

void
state_release_held(bool committed)
{
	while (nheld > 0)
	{
		nheld--;
		release_database(held[nheld].database, committed && held[nheld].dropping);
	}
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
	for (int i = 0; i < nslots(); i++)
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

/*
 * A database's first worker finds out whether there is anything to do for the
 * others, unless it has found nothing while one of them was still there; the
 * caller holds control->lock.
 */
static bool
needs_start(WorkerSlot *slot)
{
	WorkerSlot *first = state_first_of(slot);

	return OidIsValid(slot->database) && slot->wanted && !slot->starting &&
		slot->holds == 0 && slot->worker == NULL &&
		(slot == first || first->confirmed || !first->wanted);
}

bool
state_next_to_start(int *slot_number, Oid *database, uint32 *generation)
{
	Instant		now = clock_now();
	bool		found = false;

	LWLockAcquire(&control->lock, LW_EXCLUSIVE);
	for (int i = 0; i < nslots() && !found; i++)
	{
		WorkerSlot *slot = &control->slots[i];

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

Instant
state_next_start_at(void)
{
	Instant		next = 0;

	LWLockAcquire(&control->lock, LW_SHARED);
	for (int i = 0; i < nslots(); i++)
	{
		WorkerSlot *slot = &control->slots[i];

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
	for (int i = 0; i < nslots(); i++)
	{
		WorkerSlot *slot = &control->slots[i];

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
void
state_back_off(WorkerSlot *slot)
{
	int			seconds = Min(60, 1 << Min(slot->crashes, 6));

	slot->crashes++;
	slot->start_after = clock_now() + seconds * USECS_PER_SEC;
}

void
state_worker_gone(int slot_number, uint32 generation)
{
	WorkerSlot *slot = &control->slots[slot_number];

	LWLockAcquire(&control->lock, LW_EXCLUSIVE);
	if (slot->generation == generation && slot->starting)
	{
		slot->starting = false;
		state_back_off(slot);
		state_free_if_unused(state_first_of(slot));
	}
	LWLockRelease(&control->lock);
}

void
state_database_gone(int slot_number, uint32 generation)
{
	WorkerSlot *slot = &control->slots[slot_number];

	LWLockAcquire(&control->lock, LW_EXCLUSIVE);
	if (slot->generation == generation)
	{
		WorkerSlot *first = state_first_of(slot);

		for (int share = 0; share < rswebhook_workers; share++)
			first[share].wanted = false;
	}
	LWLockRelease(&control->lock);
	state_worker_gone(slot_number, generation);
}
