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

#include "nodes/pg_list.h"
#include "utils/memutils.h"

#include "schedule/schedule.h"
#include "shmem/worker_slot.h"
#include "tables/queue_states.h"
#include "worker/states.h"

static List *pauses = NIL;		/* destinations that are to be paused */
static int	nsaved_pauses = 0;	/* the first so many of pauses, by states_save() */
static Lane *saved_breakers[64];
static int	nsaved_breakers = 0;

void
states_pause(int32 destination_id)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

	pauses = list_append_unique_int(pauses, destination_id);
	MemoryContextSwitchTo(old);
}

bool
states_changed(void)
{
	return pauses != NIL || schedule_breaker_changed();
}

bool
states_pauses(int32 destination_id)
{
	return list_member_int(pauses, destination_id);
}

void
states_save(int limit)
{
	ListCell   *lc;
	Lane	   *lane;

	nsaved_pauses = nsaved_breakers = 0;
	foreach(lc, pauses)
	{
		if (nsaved_pauses == limit)
			return;
		nsaved_pauses++;
		queue_pause(lfirst_int(lc));
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
	pauses = list_delete_first_n(pauses, nsaved_pauses);
	nsaved_pauses = nsaved_breakers = 0;
}

void
states_failed(void)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

	for (int i = 0; i < nsaved_breakers; i++)
		schedule_breaker_unsaved(saved_breakers[i]);
	for (; nsaved_pauses > 0; nsaved_pauses--)
	{
		int32		id = linitial_int(pauses);

		pauses = lappend_int(list_delete_first(pauses), id);
	}
	MemoryContextSwitchTo(old);
	nsaved_breakers = 0;
}
