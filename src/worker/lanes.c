/*-------------------------------------------------------------------------
 *
 * lanes.c
 *		From the destinations' configuration to what the scheduler needs of it.
 *
 * Called in each transaction that reads, and does nothing unless something has
 * changed since it was last called to the end.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "destination/cache.h"
#include "destination/map.h"
#include "destination/values.h"
#include "http/http.h"
#include "schedule/schedule.h"
#include "shmem/share.h"
#include "shmem/slots.h"
#include "shmem/worker_slot.h"
#include "tables/home.h"
#include "tables/queue.h"
#include "tables/queue_states.h"
#include "worker/lanes.h"
#include "worker/states.h"
#include "worker/stats.h"

/* Events a second; with more, what is sent too early is within a burst. */
#define PACED_BELOW		10.0

/* A destination waits no longer than that because nobody knows. */
#define MAX_REST_US		(60 * USECS_PER_SEC)

static Divided *divided;		/* as when this worker has begun */
static int	ndivided = 0;
static ShareMap my_map;

static bool delivering = false; /* enabled, and not a copy of the database */
static bool was_delivering = false; /* when the lanes were configured */
static bool at_home = false;
static bool elsewhere = false;	/* the database is known to be a copy */
static bool breakers_changed = false;

static int
by_divided_id(const void *a, const void *b)
{
	int32		id_a = ((const Divided *) a)->id;
	int32		id_b = ((const Divided *) b)->id;

	return id_a < id_b ? -1 : id_a > id_b ? 1 : 0;
}

/* One that is not there, or has come up since, has one worker. */
int
lanes_parts(int32 destination_id)
{
	Divided		key = {.id = destination_id};
	Divided    *found = bsearch(&key, divided, ndivided, sizeof(Divided), by_divided_id);

	return found != NULL ? found->parts : 1;
}

int
lanes_part(int32 destination_id)
{
	return share_part_in(destination_id, lanes_parts(destination_id), slots_my_share(),
						 rswebhook_workers);
}

bool
lanes_is_mine(int32 destination_id, int64 ordering_key)
{
	return share_part(ordering_key, lanes_parts(destination_id)) == lanes_part(destination_id);
}

static bool
is_mine(int32 destination_id)
{
	return lanes_part(destination_id) >= 0;
}

bool
lanes_join(void)
{
	const Divided *list;

	my_map = destination_map();
	list = destination_divided(&ndivided);
	divided = MemoryContextAlloc(TopMemoryContext, Max(ndivided, 1) * sizeof(Divided));
	if (ndivided > 0)
		memcpy(divided, list, ndivided * sizeof(Divided));
	destination_set_mine(is_mine);
	return worker_slot_join(my_map);
}

/* Is its rate so low that one event more shows? */
static bool
is_paced(const Destination *destination)
{
	return destination->rate_limit > 0 && destination->rate_limit < PACED_BELOW;
}

void
lanes_note_sent(const Destination *destination, Instant now)
{
	if (is_paced(destination))
		worker_slot_note_sent(destination->id, now);
}

/* Where nobody knows when something was sent last, it may have been just now. */
static void
make_lane(const Destination *destination, void *arg)
{
	Instant		now = *(Instant *) arg;
	Lane	   *lane = schedule_lane(destination->id, now);
	Instant		last;

	if (!is_paced(destination))
		return;
	last = worker_slot_last_sent(destination->id);
	if (last == 0)
	{
		double		pause_us = lanes_parts(destination->id) / destination->rate_limit * USECS_PER_SEC;

		last = now - (Instant) Max(0, Min(pause_us, now) - MAX_REST_US);
		worker_slot_note_sent(destination->id, last);
	}
	schedule_lane_sent(lane, last);
}

void
lanes_make(Instant now)
{
	ListCell   *lc;

	destination_refresh();
	destination_each(make_lane, &now);
	foreach(lc, queue_owed_destinations())
	{
		if (is_mine(lfirst_int(lc)))
			(void) schedule_lane(lfirst_int(lc), now);
	}
}

const Destination *
lanes_destination(int32 id)
{
	return destination_find(id);
}

static void
configure_lane(Lane *lane, Instant now)
{
	const Destination *d = lanes_destination(schedule_lane_id(lane));
	LanePolicy	policy = {
		.parts = lanes_parts(schedule_lane_id(lane)),
		.part = lanes_part(schedule_lane_id(lane))
	};

	if (!delivering)
		policy.halted = true;
	else if (d == NULL)
		policy.gone = true;
	if (d != NULL)
	{
		stats_note_known(d->id);
		stats_note_backed_off(d->id, schedule_lane_breaker(lane)->open);
		policy.halted = policy.halted || !d->enabled || d->paused ||
			d->problem != NULL || states_pauses(d->id, d->version);
		policy.version = d->version;
		policy.ordered = d->ordered;
		policy.max_in_flight = d->max_in_flight;
		policy.rate_limit = d->rate_limit;
		policy.breaker_failures = d->breaker_failures;
		policy.min_backoff_us = d->min_backoff_us;
		policy.max_backoff_us = d->max_backoff_us;
		policy.max_wait_us = verdict_max_wait_us(d);
	}
	schedule_configure(lane, &policy, now);
}

static void
reconfigure(Lane *lane, void *now)
{
	int32		id = schedule_lane_id(lane);

	if (delivering && lanes_destination(id) == NULL)
	{
		stats_forget(id);
		if (schedule_remove(lane))
			return;
	}
	configure_lane(lane, *(Instant *) now);
}

/* A commit need not wake us for lanes that send nothing. */
static void
note_quiet(Lane *lane, void *arg)
{
	List	  **ids = arg;

	if (schedule_lane_halted(lane) && list_length(*ids) < SLOT_MAX_QUIET)
		*ids = lappend_int(*ids, schedule_lane_id(lane));
}

static void
tell_quiet_lanes(void)
{
	List	   *ids = NIL;
	int32		quiet[SLOT_MAX_QUIET];
	int			count = 0;
	ListCell   *lc;

	schedule_each_lane(note_quiet, &ids);
	foreach(lc, ids)
		quiet[count++] = lfirst_int(lc);
	list_free(ids);
	worker_slot_set_quiet(quiet, count);
}

static int
by_destination(const void *a, const void *b)
{
	int32		id_a = ((const StoredBreaker *) a)->destination_id;
	int32		id_b = ((const StoredBreaker *) b)->destination_id;

	return id_a < id_b ? -1 : id_a > id_b ? 1 : 0;
}

typedef struct Breakers
{
	StoredBreaker *stored;
	int			count;
	Instant		now;
} Breakers;

static void
set_breaker(Lane *lane, const Breaker *breaker, Instant now)
{
	schedule_set_breaker(lane, breaker, now);
	stats_note_backed_off(schedule_lane_id(lane), schedule_lane_breaker(lane)->open);
}

/* Of one that is not in the table any more. */
static void
close_breaker(Lane *lane, void *arg)
{
	const Breakers *breakers = arg;
	StoredBreaker closed;

	if (!schedule_lane_breaker(lane)->open || destination_find(schedule_lane_id(lane)) == NULL)
		return;					/* nearly always */
	closed = (StoredBreaker) {.destination_id = schedule_lane_id(lane)};
	if (bsearch(&closed, breakers->stored, breakers->count, sizeof(StoredBreaker),
				by_destination) == NULL)
		set_breaker(lane, &closed.breaker, breakers->now);
}

/* The breakers' table decides: it survives us, and people clear it. */
static void
load_breakers(Instant now)
{
	Breakers	breakers = {.now = now};

	breakers.count = queue_load_breakers(&breakers.stored);
	for (int i = 0; i < breakers.count; i++)
	{
		const StoredBreaker *stored = &breakers.stored[i];

		if (destination_find(stored->destination_id) != NULL)
			set_breaker(schedule_lane(stored->destination_id, now), &stored->breaker, now);
	}
	schedule_each_lane(close_breaker, &breakers);
	pfree(breakers.stored);
}

/*
 * Shall this worker deliver at all?  Once it is the original's it stays so: a
 * copy has workers of its own.  What a sink takes is sent nowhere, so a copy may be one.
 */
static bool
may_deliver(void)
{
	static bool said = false;
	Home		home = at_home ? HOME_HERE : home_look();
	bool		sink = rswebhook_enabled == DELIVERY_SINK;

	at_home = home == HOME_HERE;
	elsewhere = home == HOME_ELSEWHERE && !sink;
	worker_slot_set_elsewhere(elsewhere);
	if (elsewhere && !said && slots_my_share() == 0)
	{
		home_report_elsewhere(LOG);
		said = true;
	}
	return sink || (at_home && rswebhook_enabled == DELIVERY_ON);
}

bool
lanes_delivering(void)
{
	return delivering;
}

bool
lanes_elsewhere(void)
{
	return elsewhere;
}

void
lanes_breakers_changed(void)
{
	breakers_changed = true;
}

static void
say_problem(const Destination *destination)
{
	if (destination->problem != NULL && lanes_part(destination->id) == 0)
		ereport(LOG,
				(errmsg("rswebhook cannot use destination \"%s\": %s",
						destination->name, destination->problem),
				 errdetail("Its id is %d. What is owed to it waits.", destination->id)));
}

/* It is new, or another version. */
static void
take_over(const Destination *destination, void *now)
{
	Lane	   *lane = schedule_lane(destination->id, *(Instant *) now);

	say_problem(destination);
	if (schedule_lane_version(lane) == destination->version)
		return;
	schedule_breaker_overruled(lane);
	if (schedule_lane_in_flight(lane) > 0)
		http_limit((uint64) destination->id, destination->connect_timeout_ms, destination->timeout_ms);
}

/* Those that have changed, or with -1 perhaps all. */
static void
take_over_changes(const int32 *ids, int count, Instant now)
{
	if (count < 0)
		destination_each(take_over, &now);
	for (int i = 0; i < count; i++)
	{
		if (destination_find(ids[i]) != NULL)
			take_over(destination_find(ids[i]), &now);
	}
	states_make_room(destination_count());
	load_breakers(now);
	breakers_changed = false;
	if (count < 0 || delivering != was_delivering)
		schedule_each_lane(reconfigure, &now);
	else
	{
		for (int i = 0; i < count; i++)
			reconfigure(schedule_lane(ids[i], now), &now);
	}
	destination_settled();
	was_delivering = delivering;
}

bool
lanes_configure(Instant now)
{
	const int32 *ids;
	int			count;
	Lane	   *lane;
	bool		configured = false;

	delivering = may_deliver();
	if (destination_map() != my_map)
	{
		worker_slot_disband();
		return false;
	}
	destination_refresh();
	count = destination_changed(&ids);
	if (count != 0 || delivering != was_delivering)
	{
		take_over_changes(ids, count, now);
		configured = true;
	}

	if (breakers_changed)
		load_breakers(now);
	breakers_changed = false;

	while ((lane = schedule_next_unconfigured()) != NULL)
	{
		configure_lane(lane, now);
		configured = true;
	}
	if (configured)
		tell_quiet_lanes();
	return true;
}
