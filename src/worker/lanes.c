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

#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "destination/cache.h"
#include "destination/values.h"
#include "schedule/schedule.h"
#include "shmem/share.h"
#include "shmem/slots.h"
#include "shmem/worker_slot.h"
#include "tables/queue.h"
#include "tables/queue_states.h"
#include "worker/lanes.h"
#include "worker/states.h"
#include "worker/stats.h"

bool		rswebhook_enabled = true;

/* A destination that has several workers. */
typedef struct Divided
{
	int32		id;
	int			parts;
} Divided;

static Divided *divided;		/* by id */
static int	ndivided = 0;
static ShareMap my_map;

typedef struct KnownDestination
{
	int32		id;
	const Destination *destination; /* NULL: gone */
} KnownDestination;

static HTAB *known;				/* this worker's destinations, by id */
static uint64 known_generation = 0;
static bool delivering = false; /* enabled, and not a copy of the database */
static bool was_delivering = false; /* when the lanes were configured */
static bool at_home = false;
static bool breakers_changed = false;

void
lanes_init(void)
{
	HASHCTL		info = {0};

	info.keysize = sizeof(int32);
	info.entrysize = sizeof(KnownDestination);
	known = hash_create("rswebhook known destinations", 64, &info,
						HASH_ELEM | HASH_BLOBS);

	/* what it points to is asked for when the cache has long been reread */
	destination_keep_replaced();
}

static int
by_divided_id(const void *a, const void *b)
{
	int32		id_a = ((const Divided *) a)->id;
	int32		id_b = ((const Divided *) b)->id;

	return id_a < id_b ? -1 : id_a > id_b ? 1 : 0;
}

/* One that is not there, or has come up since, has one worker. */
static int
parts_of(int32 destination_id)
{
	Divided		key = {.id = destination_id};
	Divided    *found = bsearch(&key, divided, ndivided, sizeof(Divided), by_divided_id);

	return found != NULL ? found->parts : 1;
}

int
lanes_part(int32 destination_id)
{
	return share_part_in(destination_id, parts_of(destination_id), slots_my_share(),
						 rswebhook_workers);
}

bool
lanes_join(void)
{
	Destination **list;
	int			count;

	destination_all(&list, &count);
	divided = MemoryContextAlloc(TopMemoryContext, Max(count, 1) * sizeof(Divided));
	for (int i = 0; i < count; i++)
	{
		int			parts = destination_parts(list[i]);

		if (parts > 1)
			divided[ndivided++] = (Divided) {list[i]->id, parts};
	}
	my_map = destination_map();
	return worker_slot_join(my_map);
}

void
lanes_make(Instant now)
{
	Destination **list;
	int			count;
	ListCell   *lc;

	destination_all(&list, &count);
	for (int i = 0; i < count; i++)
	{
		if (lanes_part(list[i]->id) >= 0)
			schedule_lane_rest(schedule_lane(list[i]->id, now));
	}
	foreach(lc, queue_owed_destinations())
	{
		if (lanes_part(lfirst_int(lc)) >= 0)
			schedule_lane_rest(schedule_lane(lfirst_int(lc), now));
	}
}

const Destination *
lanes_destination(int32 id)
{
	KnownDestination *entry = hash_search(known, &id, HASH_FIND, NULL);

	return entry ? entry->destination : NULL;
}

static void
configure_lane(Lane *lane, Instant now)
{
	const Destination *d = lanes_destination(schedule_lane_id(lane));
	LanePolicy	policy = {
		.parts = parts_of(schedule_lane_id(lane)),
		.part = lanes_part(schedule_lane_id(lane))
	};

	if (!delivering)
		policy.halted = true;
	else if (d == NULL)
		policy.gone = true;
	if (d != NULL)
	{
		stats_note_known(d->id);
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

/* The breakers' table decides: it survives us, and people clear it. */
static void
load_breakers(Instant now)
{
	StoredBreaker *stored;
	int			count = queue_load_breakers(&stored);
	HASH_SEQ_STATUS scan;
	KnownDestination *entry;

	hash_seq_init(&scan, known);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		StoredBreaker none = {.destination_id = entry->id}; /* closed */
		StoredBreaker *found = bsearch(&none, stored, count, sizeof(StoredBreaker),
									   by_destination);
		Lane	   *lane = schedule_lane(entry->id, now);

		if (schedule_lane_version(lane) != entry->destination->version)
			schedule_breaker_overruled(lane);
		schedule_set_breaker(lane,
							 found ? &found->breaker : &none.breaker, now);
	}
	pfree(stored);
}

/*
 * Shall this worker deliver at all?  Once it is the original's it stays so: a
 * copy has workers of its own.
 */
static bool
may_deliver(void)
{
	static bool said = false;
	bool		is_copy = false;

	if (!at_home)
		at_home = queue_is_home(&is_copy);
	if (is_copy && !said && slots_my_share() == 0)
	{
		ereport(LOG,
				(errmsg("rswebhook delivers nothing from database \"%s\", which is a copy of another one",
						get_database_name(MyDatabaseId)),
				 errhint("If it shall deliver what is in its queue, call rswebhook_adopt() there.")));
		said = true;
	}
	return at_home && rswebhook_enabled;
}

static int
by_id(const void *a, const void *b)
{
	int32		id_a = *(const int32 *) a;
	int32		id_b = (*(Destination *const *) b)->id;

	return id_a < id_b ? -1 : id_a > id_b ? 1 : 0;
}

/*
 * Only when these are all known: should there be no memory for one, the others
 * must not pass for deleted meanwhile.
 */
static void
forget_others(Destination **list, int count)
{
	HASH_SEQ_STATUS scan;
	KnownDestination *entry;

	hash_seq_init(&scan, known);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		if (bsearch(&entry->id, list, count, sizeof(Destination *), by_id) == NULL)
			hash_search(known, &entry->id, HASH_REMOVE, NULL);
	}
}

void
lanes_breakers_changed(void)
{
	breakers_changed = true;
}

bool
lanes_configure(Instant now)
{
	Destination **list;
	int			count;
	uint64		generation;
	Lane	   *lane;
	bool		configured = false;

	delivering = may_deliver();
	destination_all(&list, &count);
	if (destination_map() != my_map)
	{
		worker_slot_disband();
		return false;
	}
	generation = destination_generation();
	if (generation != known_generation || delivering != was_delivering)
	{
		for (int i = 0; i < count; i++)
		{
			KnownDestination *entry;
			int			part = lanes_part(list[i]->id);

			if (part < 0)
				continue;
			entry = hash_search(known, &list[i]->id, HASH_ENTER, NULL);
			entry->destination = list[i];
			if (list[i]->problem && part == 0)
				ereport(LOG,
						(errmsg("rswebhook cannot use destination \"%s\": %s",
								list[i]->name, list[i]->problem),
						 errdetail("Its id is %d. What is owed to it waits.", list[i]->id)));
		}
		forget_others(list, count);
		destination_free_replaced();
		states_make_room(count);
		load_breakers(now);
		breakers_changed = false;
		schedule_each_lane(reconfigure, &now);
		known_generation = generation;
		was_delivering = delivering;
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
