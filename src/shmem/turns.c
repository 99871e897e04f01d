/*-------------------------------------------------------------------------
 *
 * turns.c
 *		Turns that a database's workers take with a destination.
 *
 * Where a destination allows fewer requests at once than there are workers, a
 * worker may send to it only while it has a turn.  Nobody may keep a turn
 * from others: who leaves it while others want one, waits until it is offered
 * again.  A turn ends with the worker that has it, whatever becomes of that.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "shmem/control.h"
#include "shmem/slots.h"
#include "shmem/turns.h"
#include "shmem/worker_slot.h"

/* Where a destination is in a set of them; -1: it is not there. */
static int
place_of(const TurnSet *set, int32 destination_id)
{
	for (int i = 0; i < set->count; i++)
	{
		if (set->destinations[i] == destination_id)
			return i;
	}
	return -1;
}

/* False: there is no room for another destination. */
static bool
add_to(TurnSet *set, int32 destination_id)
{
	if (place_of(set, destination_id) >= 0)
		return true;
	if (set->count == SLOT_MAX_TURNS)
		return false;
	set->destinations[set->count++] = destination_id;
	return true;
}

static void
take_from(TurnSet *set, int32 destination_id)
{
	int			place = place_of(set, destination_id);

	if (place >= 0)
		set->destinations[place] = set->destinations[--set->count];
}

/* How many other workers of this database have, or want, a turn. */
static void
count_others(int32 destination_id, int *having, int *wanting)
{
	WorkerSlot *me = slots_mine();
	WorkerSlot *first = slots_first_of(me);

	*having = *wanting = 0;
	for (WorkerSlot *slot = first; slot < first + rswebhook_workers; slot++)
	{
		if (slot == me)
			continue;
		*having += place_of(&slot->turns_had, destination_id) >= 0;
		*wanting += place_of(&slot->turns_wanted, destination_id) >= 0;
	}
}

bool
turns_take(int32 destination_id, int most)
{
	WorkerSlot *me = slots_mine();
	int			having;
	int			wanting;
	bool		taken;

	LWLockAcquire(&shmem_control->turns_lock, LW_EXCLUSIVE);
	count_others(destination_id, &having, &wanting);
	taken = having < most && add_to(&me->turns_had, destination_id);
	if (taken)
		take_from(&me->turns_wanted, destination_id);
	else
		(void) add_to(&me->turns_wanted, destination_id);
	LWLockRelease(&shmem_control->turns_lock);
	return taken;
}

/*
 * Take a destination out of one of this worker's sets.  True: others want a
 * turn, and are offered one; as_well: then this worker does, too.
 */
static bool
give_up(TurnSet *set, int32 destination_id, bool as_well)
{
	int			having;
	int			wanting;

	LWLockAcquire(&shmem_control->turns_lock, LW_EXCLUSIVE);
	count_others(destination_id, &having, &wanting);
	take_from(set, destination_id);
	if (wanting > 0 && as_well)
		(void) add_to(&slots_mine()->turns_wanted, destination_id);
	LWLockRelease(&shmem_control->turns_lock);
	if (wanting > 0)
		worker_slot_tell_others(&(News) {.turns = true});
	return wanting > 0;
}

bool
turns_leave(int32 destination_id)
{
	return give_up(&slots_mine()->turns_had, destination_id, true);
}

/* Whoever left the turn to this worker waits now: pass it on. */
void
turns_withdraw(int32 destination_id)
{
	(void) give_up(&slots_mine()->turns_wanted, destination_id, false);
}
