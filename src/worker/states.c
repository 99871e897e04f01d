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

#include "destination/cache.h"
#include "destination/values.h"
#include "schedule/schedule.h"
#include "shmem/worker_slot.h"
#include "tables/queue_states.h"
#include "worker/alerts.h"
#include "worker/repeated.h"
#include "worker/states.h"

/* A destination that is to be paused, or disabled, and the version of its row that says so. */
typedef struct Pause
{
	int32		destination_id;
	TransactionId version;
	const char *disabled;		/* why; NULL: paused */
} Pause;

static Pause *pauses = NULL;
static int	npauses = 0;
static int	max_pauses = 0;
static int	nsaved_pauses = 0;	/* the first so many of pauses, by states_save() */
static Lane *saved_breakers[64];
static int	nsaved_breakers = 0;
static bool breakers_first = false;

/* Some of those that are to be paused may be known no more. */
void
states_make_room(int ndestinations)
{
	int			wanted = npauses + ndestinations;

	if (wanted <= max_pauses)
		return;
	pauses = pauses == NULL ?
		MemoryContextAlloc(TopMemoryContext, wanted * sizeof(Pause)) :
		repalloc(pauses, wanted * sizeof(Pause));
	max_pauses = wanted;
}

static Pause *
find_pause(int32 destination_id)
{
	for (int i = 0; i < npauses; i++)
	{
		if (pauses[i].destination_id == destination_id)
			return &pauses[i];
	}
	return NULL;
}

void
states_pause(int32 destination_id, TransactionId version)
{
	states_disable(destination_id, version, NULL);
}

void
states_disable(int32 destination_id, TransactionId version, const char *why)
{
	Pause	   *pause = find_pause(destination_id);

	if (pause == NULL && npauses < max_pauses)
		pause = &pauses[npauses++];
	if (pause != NULL)
		*pause = (Pause) {destination_id, version, why};
}

bool
states_changed(void)
{
	return npauses > 0 || schedule_breaker_changed();
}

bool
states_pauses(int32 destination_id, TransactionId version)
{
	const Pause *pause = find_pause(destination_id);

	return pause != NULL && pause->version == version;
}

static void
save_pauses(int limit)
{
	while (nsaved_pauses < Min(limit, npauses))
	{
		const Pause *pause = &pauses[nsaved_pauses++];
		const Alert disabled = {
			.kind = ALERT_DISABLED, .destination_id = pause->destination_id, .count = 1, .message = pause->disabled
		};

		if (pause->disabled == NULL)
			queue_pause(pause->destination_id, pause->version);
		else if (queue_disable(pause->destination_id, pause->version))
			alerts_add(&disabled);
	}
}

/* What is there already is not said again. */
static void
add_breaker(Lane *lane)
{
	const Breaker *breaker = schedule_lane_breaker(lane);
	const Alert alert = {
		.kind = breaker->open ? ALERT_BACKED_OFF : ALERT_RECOVERED,
		.over = !breaker->open,
		.destination_id = schedule_lane_id(lane),
		.count = 1,
		.since = breaker->open ? breaker->opened_at : 0,
		.message = breaker->reason
	};

	alerts_add(&alert);
}

/* That it has opened, or closed; of one that does so again and again, now and then. */
static void
say_breaker(Lane *lane)
{
	static Repeated said;
	const Breaker *breaker = schedule_lane_breaker(lane);
	const Destination *destination = destination_find(schedule_lane_id(lane));

	if (!schedule_breaker_is_news(lane) || destination == NULL ||
		!repeated_say(&said, destination->id, clock_now()))
		return;
	if (breaker->open)
		ereport(LOG,
				(errmsg("rswebhook backs off destination \"%s\" as a whole: %s", destination->name, breaker->reason),
				 errdetail_plural("%d user has failed. One request at a time probes it, and the first good answer ends that.",
								  "%d users in a row have failed. One request at a time probes it, and the first good answer ends that.",
								  breaker->failures, breaker->failures)));
	else
		ereport(LOG,
				(errmsg("rswebhook backs off destination \"%s\" no more", destination->name)));
}

static void
save_breakers(int limit)
{
	Lane	   *lane;

	limit = Min(limit, lengthof(saved_breakers));
	while (nsaved_breakers < limit && (lane = schedule_next_changed_breaker()) != NULL)
	{
		saved_breakers[nsaved_breakers++] = lane;
		queue_save_breaker(schedule_lane_id(lane), schedule_lane_version(lane),
						   schedule_lane_breaker(lane));
		add_breaker(lane);
		say_breaker(lane);
	}
}

void
states_save(int limit)
{
	nsaved_pauses = nsaved_breakers = 0;
	alerts_begin();
	if (breakers_first)
		save_breakers(limit);
	save_pauses(limit - nsaved_breakers);
	if (!breakers_first)
		save_breakers(limit - nsaved_pauses);
	alerts_write();
}

void
states_committed(void)
{
	alerts_committed();
	if (nsaved_breakers > 0)
		worker_slot_tell_others(&(News) {.breakers = true});
	npauses -= nsaved_pauses;
	if (npauses > 0)
		memmove(pauses, pauses + nsaved_pauses, npauses * sizeof(Pause));
	nsaved_pauses = nsaved_breakers = 0;
}

void
states_failed(void)
{
	breakers_first = !breakers_first;
	for (int i = 0; i < nsaved_breakers; i++)
		schedule_breaker_unsaved(saved_breakers[i]);
	for (; nsaved_pauses > 0; nsaved_pauses--)
	{
		Pause		pause = pauses[0];

		memmove(pauses, pauses + 1, (npauses - 1) * sizeof(Pause));
		pauses[npauses - 1] = pause;
	}
	nsaved_breakers = 0;
}
