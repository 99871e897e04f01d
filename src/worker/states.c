/*-------------------------------------------------------------------------
 *
 * states.c
 *		What answers say of destinations, on its way into the tables.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "schedule/schedule.h"
#include "shmem/worker_slot.h"
#include "tables/queue_states.h"
#include "worker/states.h"

static int32 *pauses = NULL;	/* destinations that are to be paused */
static int	npauses = 0;
static int	max_pauses = 0;
static int	nsaved_pauses = 0;	/* the first so many of pauses, by states_save() */
static Lane *saved_breakers[64];
static int	nsaved_breakers = 0;

/* Some of those that are to be paused may be known no more. */
void
states_make_room(int ndestinations)
{
	int			wanted = npauses + ndestinations;

	if (wanted <= max_pauses)
		return;
	pauses = pauses == NULL ?
		MemoryContextAlloc(TopMemoryContext, wanted * sizeof(int32)) :
		repalloc(pauses, wanted * sizeof(int32));
	max_pauses = wanted;
}

void
states_pause(int32 destination_id)
{
	if (!states_pauses(destination_id) && npauses < max_pauses)
		pauses[npauses++] = destination_id;
}

bool
states_changed(void)
{
	return npauses > 0 || schedule_breaker_changed();
}

bool
states_pauses(int32 destination_id)
{
	for (int i = 0; i < npauses; i++)
	{
		if (pauses[i] == destination_id)
			return true;
	}
	return false;
}

void
states_save(int limit)
{
	Lane	   *lane;

	nsaved_pauses = nsaved_breakers = 0;
	for (int i = 0; i < npauses; i++)
	{
		if (nsaved_pauses == limit)
			return;
		nsaved_pauses++;
		queue_pause(pauses[i]);
	}
	limit = Min(limit - nsaved_pauses, lengthof(saved_breakers));
	while (nsaved_breakers < limit && (lane = schedule_next_changed_breaker()) != NULL)
	{
		saved_breakers[nsaved_breakers++] = lane;
		queue_save_breaker(schedule_lane_id(lane), schedule_lane_breaker(lane));
	}
}

void
states_committed(void)
{
	if (nsaved_breakers > 0)
		worker_slot_tell_others(&(News) {.breakers = true});
	for (int i = 0; i < nsaved_breakers; i++)
		schedule_breaker_saved(saved_breakers[i], clock_now());
	npauses -= nsaved_pauses;
	if (npauses > 0)
		memmove(pauses, pauses + nsaved_pauses, npauses * sizeof(int32));
	nsaved_pauses = nsaved_breakers = 0;
}

void
states_failed(void)
{
	for (int i = 0; i < nsaved_breakers; i++)
		schedule_breaker_unsaved(saved_breakers[i]);
	for (; nsaved_pauses > 0; nsaved_pauses--)
	{
		int32		id = pauses[0];

		memmove(pauses, pauses + 1, (npauses - 1) * sizeof(int32));
		pauses[npauses - 1] = id;
	}
	nsaved_breakers = 0;
}
