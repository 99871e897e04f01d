/*-------------------------------------------------------------------------
 *
 * slots.c
 *		The workers' slots in shared memory: which are whose.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>

#include "miscadmin.h"
#include "storage/latch.h"

#include "shmem/control.h"
#include "shmem/share.h"
#include "shmem/slots.h"

int			rswebhook_max_databases = 64;
int			rswebhook_workers = 1;

Control    *shmem_control = NULL;

static WorkerSlot *mine = NULL;

int
slots_count(void)
{
	return rswebhook_max_databases * rswebhook_workers;
}

bool
slots_available(void)
{
	return shmem_control != NULL;
}

static void
warn_not_preloaded(void)
{
	ereport(WARNING,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("rswebhook is not in \"shared_preload_libraries\", so nothing will be delivered yet"),
			 errhint("Add it to shared_preload_libraries and restart the server; what was sent until then is kept and delivered afterwards.")));
}

static void
warn_no_worker(int processes_wanted)
{
	ereport(WARNING,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg("rswebhook has no worker for this database, so nothing will be delivered yet"),
			 processes_wanted > 0 ?
			 errdetail("PostgreSQL has no background worker free for it: max_worker_processes is %d.", max_worker_processes) :
			 errdetail("There are workers for rswebhook.max_databases = %d databases.", rswebhook_max_databases),
			 processes_wanted > 0 ?
			 errhint("Set max_worker_processes to %d, with which all databases would have their workers, and restart the server; what is sent until then is kept.",
					 processes_wanted) :
			 errhint("Increase rswebhook.max_databases, and restart the server; what is sent until then is kept.")));
}

/* Is no worker of this database there? */
static bool
has_no_worker(void)
{
	WorkerSlot *first;
	bool		none = true;

	LWLockAcquire(&shmem_control->lock, LW_SHARED);
	first = slots_find(MyDatabaseId);
	for (int share = 0; first != NULL && share < rswebhook_workers; share++)
		none &= first[share].worker == NULL && !first[share].starting;
	LWLockRelease(&shmem_control->lock);
	return none;
}

int
slots_processes_wanted(void)
{
	int			processes_wanted;

	LWLockAcquire(&shmem_control->lock, LW_SHARED);
	processes_wanted = shmem_control->processes_wanted;
	LWLockRelease(&shmem_control->lock);
	return processes_wanted;
}

void
slots_warn_undelivered(void)
{
	static bool warned = false;
	int			processes_wanted;

	if (warned)
		return;
	if (shmem_control == NULL)
	{
		warned = true;
		warn_not_preloaded();
		return;
	}
	processes_wanted = shmem_control->processes_wanted;
	if ((processes_wanted == 0 && !shmem_control->crowded) || !has_no_worker())
		return;					/* nearly always */
	warned = true;
	warn_no_worker(processes_wanted);
}

/* ---------------------------------------------------------------------
 * Slots
 * ---------------------------------------------------------------------
 */

int
slots_number(Oid database)
{
	for (int i = 0; i < slots_count(); i += rswebhook_workers)
	{
		if (shmem_control->slots[i].database == database)
			return i;
	}
	return -1;
}

/* The first slot of a database, or NULL; the caller holds shmem_control->lock. */
WorkerSlot *
slots_find(Oid database)
{
	int			first = slots_number(database);

	return first >= 0 ? &shmem_control->slots[first] : NULL;
}

int
slots_look_at_ranges(QueuedRange **ranges)
{
	WorkerSlot *first;
	int			count = 0;

	*ranges = palloc(sizeof(QueuedRange) * SLOT_MAX_RANGES * rswebhook_workers);
	LWLockAcquire(&shmem_control->lock, LW_SHARED);
	first = slots_find(MyDatabaseId);
	for (int share = 0; first != NULL && share < rswebhook_workers; share++)
	{
		LWLockAcquire(&first[share].lock, LW_SHARED);
		memcpy(*ranges + count, first[share].ranges, first[share].nranges * sizeof(QueuedRange));
		count += first[share].nranges;
		LWLockRelease(&first[share].lock);
	}
	LWLockRelease(&shmem_control->lock);
	return count;
}

static int
share_of_slot(const WorkerSlot *slot)
{
	return (slot - shmem_control->slots) % rswebhook_workers;
}

/* The first slot of a slot's database. */
WorkerSlot *
slots_first_of(WorkerSlot *slot)
{
	return slot - share_of_slot(slot);
}

/* No worker, and nothing known that one would have to look at; the caller has both locks. */
void
slots_clear(WorkerSlot *slot)
{
	slot->worker = NULL;
	slot->stop = false;
	slot->woken = false;
	slot->changed = false;
	slot->breakers = false;
	slot->nranges = 0;
	slot->nquiet = 0;
	slot->elsewhere = false;
	slot->max_in_flight = 0;
	slot->lacks[0] = '\0';
	slot->answered = slot->question.number; /* there is none in flight any more */
	slot->nshown = 0;
	pg_atomic_write_u64(&slot->map, NO_SHARE_MAP);
}

/* The caller holds shmem_control->lock. */
static void
set_database(WorkerSlot *first, Oid database)
{
	for (WorkerSlot *slot = first; slot < first + rswebhook_workers; slot++)
	{
		LWLockAcquire(&slot->lock, LW_EXCLUSIVE);
		slot->database = database;
		slots_clear(slot);
		memset(slot->paced, 0, sizeof(slot->paced));
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

/* Does nobody need a database's workers, or is none there but kept away? */
static bool
is_unused(const WorkerSlot *first, bool though_held)
{
	for (const WorkerSlot *slot = first; slot < first + rswebhook_workers; slot++)
	{
		if (slot->wanted || slot->starting || slot->worker != NULL ||
			(slot->holds > 0 && !though_held))
			return false;
	}
	return true;
}

/* A command that holds it, and ends later, finds it gone. */
static WorkerSlot *
find_held(void)
{
	for (int i = 0; i < slots_count(); i += rswebhook_workers)
	{
		if (is_unused(&shmem_control->slots[i], true))
			return &shmem_control->slots[i];
	}
	return NULL;
}

WorkerSlot *
slots_claim(Oid database, bool wanted)
{
	WorkerSlot *first = slots_find(database);

	if (first != NULL)
		return first;
	first = slots_find(InvalidOid);
	if (first == NULL && wanted)
		first = find_held();
	if (first != NULL)
		set_database(first, database);
	return first;
}

/* Give a database's slots back if nobody needs one; the caller holds shmem_control->lock. */
void
slots_free_if_unused(WorkerSlot *first)
{
	if (is_unused(first, false))
		set_database(first, InvalidOid);
}

/* The caller holds shmem_control->lock. */
void
slots_wake_launcher(void)
{
	if (shmem_control->launcher != NULL)
		SetLatch(&shmem_control->launcher->procLatch);
}

void
slots_wake_worker(WorkerSlot *slot)
{
	if (slot->worker == NULL || slot->woken)
		return;
	slot->woken = true;
	SetLatch(&slot->worker->procLatch);
}

bool
slots_send_away(WorkerSlot *slot, bool by_signal)
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

bool
slots_want_workers(Oid database)
{
	WorkerSlot *first;
	bool		news = false;

	if (shmem_control == NULL)
		return false;
	LWLockAcquire(&shmem_control->lock, LW_EXCLUSIVE);
	first = slots_claim(database, true);
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
	 * Those that it has found by itself it remembers; others it may have looked at
	 * when there was nothing for it in them.
	 */
	if (first == NULL && MyProc != shmem_control->launcher)
		shmem_control->scan = shmem_control->turned_away = true;
	if (first != NULL ? news : !shmem_control->crowded)
		slots_wake_launcher();
	LWLockRelease(&shmem_control->lock);
	return first != NULL;
}

void
slots_begin_anew(Oid database)
{
	if (shmem_control == NULL)
		return;
	LWLockAcquire(&shmem_control->lock, LW_EXCLUSIVE);
	for (int i = 0; i < slots_count(); i++)
	{
		WorkerSlot *slot = &shmem_control->slots[i];

		if (OidIsValid(slot->database) && (!OidIsValid(database) || slot->database == database))
			(void) slots_send_away(slot, false);
	}
	LWLockRelease(&shmem_control->lock);
}

/*
 * Wait longer after each failure in a row, from a second to a minute; the
 * caller holds shmem_control->lock.  How many seconds?
 */
int
slots_back_off(WorkerSlot *slot)
{
	int			seconds = Min(60, 1 << Min(slot->crashes, 6));

	slot->crashes++;
	slot->start_after = clock_now() + seconds * USECS_PER_SEC;
	return seconds;
}

void
slots_set_mine(WorkerSlot *slot)
{
	mine = slot;
}

WorkerSlot *
slots_mine(void)
{
	return mine;
}

int
slots_my_share(void)
{
	return share_of_slot(mine);
}
