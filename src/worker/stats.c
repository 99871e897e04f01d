/*-------------------------------------------------------------------------
 *
 * stats.c
 *		The worker's live counters of its destinations.
 *
 * Counted in the worker's own memory and copied to shared memory once a cycle
 * of its loop, for those that changed.  They start at zero with each worker;
 * what must last is in tables.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/ilist.h"
#include "utils/hsearch.h"

#include "base/clock.h"
#include "destination/values.h"
#include "shmem/counters.h"
#include "worker/stats.h"

/* Weight of the newest request in the moving average of latencies. */
#define LATENCY_WEIGHT	0.05

typedef struct Counters
{
	int32		destination_id;
	bool		changed;
	dlist_node	node;			/* in changed_list */
	DestinationStats stats;
} Counters;

static HTAB *all;
static Counters *last_found;	/* asked for again and again; NULL: none was */
static dlist_head changed_list;

void
stats_init(void)
{
	HASHCTL		info = {0};

	info.keysize = sizeof(int32);
	info.entrysize = sizeof(Counters);
	all = hash_create("rswebhook counters", 64, &info, HASH_ELEM | HASH_BLOBS);
	dlist_init(&changed_list);
}

static void
change(Counters *counters)
{
	if (counters->changed)
		return;
	counters->changed = true;
	dlist_push_tail(&changed_list, &counters->node);
}

void
stats_note_known(int32 destination_id)
{
	bool		found;
	Counters   *counters = hash_search(all, &destination_id, HASH_ENTER, &found);

	if (!found)
	{
		memset(&counters->stats, 0, sizeof(counters->stats));
		counters->stats.problem_at = NO_TIME;
		counters->stats.parts = 1;
		counters->stats.owed.oldest = counters->stats.owed.next_retry_at = NO_TIME;
		counters->changed = false;
	}
	change(counters);
}

static Counters *
look_up(int32 destination_id)
{
	if (last_found == NULL || last_found->destination_id != destination_id)
		last_found = hash_search(all, &destination_id, HASH_FIND, NULL);
	return last_found;
}

/* To change them.  NULL: nobody asks, since the destination is not known any more. */
static DestinationStats *
find(int32 destination_id)
{
	Counters   *counters = look_up(destination_id);

	if (counters == NULL)
		return NULL;
	change(counters);
	return &counters->stats;
}

void
stats_note_in_flight(int32 destination_id, int in_flight, int limit)
{
	DestinationStats *stats = find(destination_id);

	if (stats != NULL)
	{
		stats->in_flight = in_flight;
		stats->in_flight_limit = limit;
	}
}

void
stats_note_backed_off(int32 destination_id, bool backed_off)
{
	DestinationStats *stats = find(destination_id);

	if (stats != NULL)
		stats->backed_off = backed_off;
}

void
stats_note_delivered(int32 destination_id, int64 duration_us)
{
	DestinationStats *stats = find(destination_id);
	double		ms = (double) duration_us / 1000.0;

	if (stats == NULL)
		return;
	stats->latency_ms = stats->delivered == 0 ? ms :
		stats->latency_ms + LATENCY_WEIGHT * (ms - stats->latency_ms);
	stats->delivered++;
}

bool
stats_note_owed(int32 destination_id, int parts, const Owed *owed)
{
	DestinationStats *stats = find(destination_id);

	if (stats == NULL)
		return false;
	stats->owed = *owed;
	stats->parts = parts;
	return true;
}

bool
stats_note_unusable(int32 destination_id, const char *why, TimestampTz now)
{
	DestinationStats *stats = find(destination_id);
	bool		known;

	if (stats == NULL)
		return false;
	known = stats->problem_at != NO_TIME &&
		strncmp(stats->problem, why, sizeof(stats->problem) - 1) == 0;
	stats->problem_at = now;
	strlcpy(stats->problem, why, sizeof(stats->problem));
	return !known;
}

bool
stats_note_usable(int32 destination_id)
{
	Counters   *counters = look_up(destination_id);

	if (counters == NULL || counters->stats.problem_at == NO_TIME)
		return false;			/* nearly always */
	counters->stats.problem_at = NO_TIME;
	change(counters);
	return true;
}

void
stats_forget(int32 destination_id)
{
	Counters   *counters = hash_search(all, &destination_id, HASH_FIND, NULL);

	if (counters == NULL)
		return;
	if (counters->changed)
		dlist_delete(&counters->node);
	hash_search(all, &destination_id, HASH_REMOVE, NULL);
	last_found = NULL;
	counters_forget(destination_id);
}

void
stats_publish(void)
{
	while (!dlist_is_empty(&changed_list))
	{
		Counters   *counters = dlist_container(Counters, node,
											   dlist_pop_head_node(&changed_list));

		counters->changed = false;
		counters_publish(counters->destination_id, &counters->stats);
	}
}
