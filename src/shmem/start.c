/*-------------------------------------------------------------------------
 *
 * start.c
 *		The launcher's side of the slots: which worker is to be started.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "storage/ipc.h"

#include "shmem/control.h"
#include "shmem/share.h"
#include "shmem/slots.h"
#include "shmem/start.h"

/* Commands on databases last no longer, as a rule. */
#define SOON_US		(200 * 1000)

static void
detach_launcher(int code, Datum arg)
{
	LWLockAcquire(&shmem_control->lock, LW_EXCLUSIVE);
	shmem_control->launcher = NULL;
	LWLockRelease(&shmem_control->lock);
}

void
start_attach_launcher(void)
{
	LWLockAcquire(&shmem_control->lock, LW_EXCLUSIVE);
	shmem_control->launcher = MyProc;
	shmem_control->scan = true;

	/* a launcher that died in the middle of a start left this behind */
	for (int i = 0; i < slots_count(); i++)
		shmem_control->slots[i].starting = false;
	LWLockRelease(&shmem_control->lock);
	before_shmem_exit(detach_launcher, 0);
}

bool
start_take_scan_request(bool *again)
{
	bool		scan;

	LWLockAcquire(&shmem_control->lock, LW_EXCLUSIVE);
	scan = shmem_control->scan;
	*again = shmem_control->turned_away;
	shmem_control->scan = shmem_control->turned_away = false;
	LWLockRelease(&shmem_control->lock);
	return scan;
}

void
start_set_crowded(bool crowded)
{
	LWLockAcquire(&shmem_control->lock, LW_EXCLUSIVE);
	shmem_control->crowded = crowded;
	LWLockRelease(&shmem_control->lock);
}

void
start_set_denied(int processes_wanted)
{
	LWLockAcquire(&shmem_control->lock, LW_EXCLUSIVE);
	shmem_control->processes_wanted = processes_wanted;
	LWLockRelease(&shmem_control->lock);
}

int
start_missing(void)
{
	int			count = 0;

	LWLockAcquire(&shmem_control->lock, LW_SHARED);
	for (int i = 0; i < slots_count(); i++)
	{
		WorkerSlot *slot = &shmem_control->slots[i];

		if (OidIsValid(slot->database) && slot->wanted && slot->worker == NULL && !slot->starting)
			count++;
	}
	LWLockRelease(&shmem_control->lock);
	return count;
}

int
start_forsaken(Oid *databases, int most)
{
	int			count = 0;

	LWLockAcquire(&shmem_control->lock, LW_SHARED);
	for (int first = 0; first < slots_count() && count < most; first += rswebhook_workers)
	{
		bool		forsaken = false;

		for (int i = first; i < first + rswebhook_workers; i++)
		{
			WorkerSlot *slot = &shmem_control->slots[i];

			if (!OidIsValid(slot->database) || slot->worker != NULL || slot->holds > 0)
			{
				forsaken = false;
				break;
			}
			forsaken |= slot->wanted;
		}
		if (forsaken)
			databases[count++] = shmem_control->slots[first].database;
	}
	LWLockRelease(&shmem_control->lock);
	return count;
}

/*
 * Does one of a database's workers leave?  The others may have been told to for
 * the same reason, which has to be over before any begins anew.
 */
static bool
somebody_leaves(const WorkerSlot *first)
{
	for (const WorkerSlot *slot = first; slot < first + rswebhook_workers; slot++)
	{
		if (slot->worker != NULL && slot->stop)
			return true;
	}
	return false;
}

/*
 * A database's first worker finds out whether there is anything to do for the
 * others, unless it has found nothing while one of them was still there; the
 * caller holds shmem_control->lock.
 */
static bool
needs_start(WorkerSlot *slot)
{
	WorkerSlot *first = slots_first_of(slot);

	return OidIsValid(slot->database) && slot->wanted && !slot->starting &&
		slot->holds == 0 && slot->worker == NULL &&
		(slot == first || first->confirmed || !first->wanted) && !somebody_leaves(first);
}

bool
start_next(int *slot_number, Oid *database, uint32 *generation)
{
	Instant		now = clock_now();
	bool		found = false;

	LWLockAcquire(&shmem_control->lock, LW_EXCLUSIVE);
	for (int i = 0; i < slots_count() && !found; i++)
	{
		WorkerSlot *slot = &shmem_control->slots[i];

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
	LWLockRelease(&shmem_control->lock);
	return found;
}

Instant
start_next_at(void)
{
	Instant		next = 0;

	LWLockAcquire(&shmem_control->lock, LW_SHARED);
	for (int i = 0; i < slots_count(); i++)
	{
		WorkerSlot *slot = &shmem_control->slots[i];

		if (needs_start(slot) && (next == 0 || slot->start_after < next))
			next = slot->start_after;
	}
	LWLockRelease(&shmem_control->lock);
	return next;
}

int
start_looking(void)
{
	int			count = 0;

	LWLockAcquire(&shmem_control->lock, LW_SHARED);
	for (int i = 0; i < slots_count(); i++)
	{
		WorkerSlot *slot = &shmem_control->slots[i];

		if (OidIsValid(slot->database) && !slot->confirmed &&
			(slot->starting || slot->worker != NULL))
			count++;
	}
	LWLockRelease(&shmem_control->lock);
	return count;
}

void
start_worker_gone(int slot_number, uint32 generation)
{
	WorkerSlot *slot = &shmem_control->slots[slot_number];

	LWLockAcquire(&shmem_control->lock, LW_EXCLUSIVE);
	if (slot->generation == generation && slot->starting)
	{
		slot->starting = false;
		slots_back_off(slot);
		slots_free_if_unused(slots_first_of(slot));
	}
	LWLockRelease(&shmem_control->lock);
}

static bool
delivers_nothing(WorkerSlot *slot)
{
	bool		nothing;

	LWLockAcquire(&slot->lock, LW_SHARED);
	nothing = slot->worker != NULL && slot->elsewhere;
	LWLockRelease(&slot->lock);
	return nothing;
}

bool
start_make_room(void)
{
	bool		found = false;

	LWLockAcquire(&shmem_control->lock, LW_EXCLUSIVE);
	for (int i = 0; i < slots_count() && !found; i += rswebhook_workers)
	{
		WorkerSlot *first = &shmem_control->slots[i];

		found = delivers_nothing(first);
		for (int share = 0; found && share < rswebhook_workers; share++)
		{
			first[share].wanted = false;
			(void) slots_send_away(&first[share], false);
		}
	}
	LWLockRelease(&shmem_control->lock);
	return found;
}

void
start_soon(int slot_number, uint32 generation)
{
	WorkerSlot *slot = &shmem_control->slots[slot_number];

	LWLockAcquire(&shmem_control->lock, LW_EXCLUSIVE);
	if (slot->generation == generation && slot->starting)
	{
		slot->starting = false;
		slot->start_after = clock_now() + SOON_US;
		slots_free_if_unused(slots_first_of(slot));
	}
	LWLockRelease(&shmem_control->lock);
}

int
start_put_off(int slot_number, uint32 generation, uint32 shares, int failures)
{
	WorkerSlot *slot = &shmem_control->slots[slot_number];
	WorkerSlot *first = slots_first_of(slot);
	int			seconds = 0;

	LWLockAcquire(&shmem_control->lock, LW_EXCLUSIVE);
	if (slot->generation == generation && slot->crashes < failures &&
		(shares & SHARE_BIT(slot - first)) != 0)
	{
		for (int share = 0; share < rswebhook_workers; share++)
		{
			if ((shares & SHARE_BIT(share)) == 0)
				continue;
			first[share].crashes = failures - 1;
			seconds = slots_back_off(&first[share]);
		}
		slot->starting = false;
		/* there was something to do: if the first one waits, the others need not */
		first->confirmed = true;
	}
	LWLockRelease(&shmem_control->lock);
	return seconds;
}

void
start_database_gone(int slot_number, uint32 generation)
{
	WorkerSlot *slot = &shmem_control->slots[slot_number];

	LWLockAcquire(&shmem_control->lock, LW_EXCLUSIVE);
	if (slot->generation == generation)
	{
		WorkerSlot *first = slots_first_of(slot);

		for (int share = 0; share < rswebhook_workers; share++)
			first[share].wanted = false;
	}
	LWLockRelease(&shmem_control->lock);
	start_worker_gone(slot_number, generation);
}
