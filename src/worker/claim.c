/*-------------------------------------------------------------------------
 *
 * claim.c
 *		Which events are prepared next: many together, one by itself, or later.
 *
 * An event whose request cannot be made, be it for want of memory, because it
 * takes too long, for a page that cannot be read or a mistake of ours, must not
 * stop others.
 * An error while a batch is prepared takes the event that it came with out of
 * the batch, and that event is prepared by itself, later.  If it fails again, that
 * counts as an attempt of this event: it is tried again after a while, like any
 * other, but by itself, and given up in the end.  However many such events there
 * are, others have most of the worker's time.  But for want of memory an event
 * waits, with no attempt counted, unless it takes a lot itself, and no other does.
 * Events of destinations whose mappings take long share the time of those that fail, and
 * those of which it is not known yet wait for as long after one that did.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/pg_prng.h"
#include "utils/hsearch.h"

#include "base/clock.h"
#include "destination/cache.h"
#include "schedule/schedule.h"
#include "transform/config.h"
#include "worker/attempt.h"
#include "worker/claim.h"
#include "worker/lack.h"
#include "worker/lanes.h"
#include "worker/record.h"
#include "worker/suspect.h"

/* An event that cannot be prepared yet is looked at again after so long. */
#define PUT_OFF_US		(1 * USECS_PER_SEC)

/*
 * After a failure, the next event that is prepared by itself waits so many times
 * as long as what failed took, but at most so long: the process may have been
 * stopped meanwhile.
 */
#define TIME_OF_OTHERS	3
#define TIME_OF_OTHERS_MAX_US	(30 * USECS_PER_SEC)

/* Mappings that take more of the processor for an event take long. */
#define SLOW_US			(20 * 1000)

/* Whose turn it is among their destinations is drawn by lot, within that time. */
#define TURN_US			(100 * 1000)

/*
 * An event that takes no more memory than this is not the reason why there is not
 * enough.  One of the greatest default size takes less.
 */
#define ORDINARY_BYTES	(16 * 1024 * 1024)

/* For want of memory, nothing is prepared by itself for so long. */
#define LACK_US			(250 * 1000)

/*
 * Before an event is prepared of which workers have died, requests in flight have
 * so long to be answered: should the worker die, they would be sent again.
 */
#define QUIET_MAX_US	(1 * USECS_PER_SEC)

static QueueItem *singles[16];	/* claimed, to be prepared by themselves */
static int	nsingles = 0;
static Instant singles_from;	/* no single is prepared before */

static Instant lacks_until = 0; /* there was not enough memory for an event */

/* How long mappings take, as far as it is known. */
typedef enum Pace
{
	PACE_QUICK,
	PACE_UNKNOWN,
	PACE_SLOW
} Pace;

/* A destination whose mappings may take long. */
typedef struct Judged
{
	int32		destination_id;
	TransactionId version;		/* of its row, of which it is known */
	bool		slow;			/* its last event was */
} Judged;

static HTAB *judged;
static Instant unknown_from = 0;	/* none of which it is not known is prepared before */

static QueueItem *suspect;		/* claimed, but workers have died of its event */
static Instant suspect_from;	/* when that is prepared at the latest */

/* What is said of events of which workers died. */
static const struct
{
	const char *failed;
	const char *lost;
}			sentences[] = {
	[STEP_MADE] = {"the request could not be made",
	"the worker died three times while it made the request"},
	[STEP_RECORDED] = {"the outcome could not be recorded",
	"the worker died three times while it recorded the outcome"},
	[STEP_EITHER] = {"the request could not be made or its outcome not be recorded",
	"the worker died three times while it made the request or recorded the outcome"}
};

static void
make_judged(void)
{
	HASHCTL		info = {.keysize = sizeof(int32), .entrysize = sizeof(Judged)};

	judged = hash_create("rswebhook judged destinations", 64, &info, HASH_ELEM | HASH_BLOBS);
}

void
claim_init(void)
{
	make_judged();
	/* should the worker die of a single, what others are owed is on its way */
	singles_from = clock_now() + PUT_OFF_US;
}

static void
claim(Batch *batch, QueueItem *item)
{
	batch->claimed[batch->nclaimed++] = item;
}

/* An item whose request failed before: by itself, soon or when others have had their time. */
static void
claim_alone(Batch *batch, QueueItem *item, Instant now)
{
	if (schedule_waits_for_nothing(item))
		claim(batch, item);		/* it is only to be given up */
	else if (now < singles_from)
		schedule_put_off(item, singles_from, now);
	else if (nsingles == lengthof(singles))
		schedule_put_off(item, now + PUT_OFF_US, now);
	else
		singles[nsingles++] = item;
}

/* An item of whose event workers have died: by itself, when nothing is in flight. */
static void
claim_suspect(QueueItem *item, Instant now)
{
	if (suspect != NULL)
		schedule_put_off(item, now + PUT_OFF_US, now);
	else if (now < singles_from)
		schedule_put_off(item, singles_from, now);
	else
	{
		suspect = item;
		suspect_from = now + QUIET_MAX_US;
	}
}

/* Its destination's turn is in a while. */
static void
rest(QueueItem *item, Instant from, Instant now)
{
	schedule_rest(item, Max(from, now) + 1 + (int64) (pg_prng_double(&pg_global_prng_state) * TURN_US), now);
}

/* An item whose mappings take long: others have most of the time, as with singles. */
static void
claim_slow(Batch *batch, QueueItem *item, Instant now)
{
	if (schedule_waits_for_nothing(item))
		claim(batch, item);
	else if (batch->slow || now < singles_from)
		rest(item, singles_from, now);
	else
	{
		claim(batch, item);
		batch->slow = true;
	}
}

/* One of which that is not known: after others, however many there are, others have their time, too. */
static void
claim_unknown(Batch *batch, QueueItem *item, Instant now)
{
	if (now < unknown_from && !schedule_waits_for_nothing(item))
		rest(item, unknown_from, now);
	else
		claim(batch, item);
}

static Pace
pace_of(const QueueItem *item)
{
	const Destination *destination = lanes_destination(schedule_row(item)->destination_id);
	const Judged *known;

	if (destination == NULL || destination->config == NULL || !transform_config_takes_time(destination->config))
		return PACE_QUICK;
	known = hash_search(judged, &destination->id, HASH_FIND, NULL);
	if (known == NULL || known->version != destination->version)
		return PACE_UNKNOWN;
	return known->slow ? PACE_SLOW : PACE_QUICK;
}

static void
claim_at_pace(Batch *batch, QueueItem *item, Instant now)
{
	switch (pace_of(item))
	{
		case PACE_QUICK:
			claim(batch, item);
			break;
		case PACE_UNKNOWN:
			claim_unknown(batch, item, now);
			break;
		case PACE_SLOW:
			claim_slow(batch, item, now);
			break;
	}
}

/* The item's request may have failed before, or a worker died of its event. */
static void
claim_warily(Batch *batch, QueueItem *item, Instant now)
{
	switch (suspect_fate(schedule_row(item)))
	{
		case SUSPECT_NOT:
			if (schedule_is_alone(item))
				claim_alone(batch, item, now);
			else
				claim_at_pace(batch, item, now);
			break;
		case SUSPECT_ALONE:
			if (schedule_waits_for_nothing(item))
				claim(batch, item);
			else
				claim_suspect(item, now);
			break;
		case SUSPECT_ASIDE:
			attempt_set_aside(item, now, sentences[suspect_step(schedule_row(item))].failed,
							  "the worker died of it twice");
			break;
		case SUSPECT_LOST:
			attempt_abort_unsent(item, now, sentences[suspect_step(schedule_row(item))].lost);
			break;
	}
}

static void
claim_single(Batch *batch)
{
	if (batch->nclaimed > 0 || nsingles == 0)
		return;
	claim(batch, singles[--nsingles]);
	batch->single = true;
}

/*
 * Should the worker die of what it prepares next, whatever it has sent and not
 * recorded is sent again.  In the time after a death all is recorded first.
 */
static bool
is_recorded(void)
{
	Instant		since;

	return record_waiting(&since) == 0;
}

static bool
claim_suspect_now(Batch *batch, Instant now)
{
	if (batch->nclaimed > 0 || !is_recorded() ||
		(attempt_in_flight() && now < suspect_from))
		return batch->nclaimed > 0;
	claim(batch, suspect);
	suspect = NULL;
	batch->single = true;
	return true;
}

/* For what becomes of all that is handed out, and of one more? */
static bool
is_room(Instant now)
{
	if (record_room(schedule_in_flight() + 1))
		return true;
	lack_note("keeping what becomes of requests: out of memory", false, now);
	lacks_until = now + PUT_OFF_US;
	return false;
}

bool
claim_next(Batch *batch, Instant now)
{
	QueueItem  *item;

	if (suspect != NULL)
		return claim_suspect_now(batch, now);
	if (batch->nclaimed == 0 && suspect_wary() && !is_recorded())
		return false;
	claim_single(batch);
	while (!batch->single && suspect == NULL && batch->nclaimed < BATCH &&
		   is_room(now) && (item = schedule_next(now)) != NULL)
		claim_warily(batch, item, now);
	claim_single(batch);
	return batch->nclaimed > 0;
}

Instant
claim_next_at(Instant now)
{
	return suspect != NULL && suspect_from > now ? suspect_from : 0;
}

/*
 * Memory that the worker lacks is nobody's fault, unless an event takes a lot of
 * it while no other large event takes any.
 */
static bool
is_to_blame(const QueueItem *item, int64 bytes, int sqlerrcode)
{
	return sqlerrcode != ERRCODE_OUT_OF_MEMORY || schedule_waits_for_nothing(item) ||
		(bytes > ORDINARY_BYTES && schedule_bytes_beside(item) == 0);
}

static void
wait_for_memory(QueueItem *item, const char *why, Instant now)
{
	char		what[100];

	snprintf(what, sizeof(what), "making a request: %s", why);
	lack_note(what, false, now);
	singles_from = Max(singles_from, now + LACK_US);
	schedule_put_off(item, Max(singles_from, now + PUT_OFF_US), now);
	lacks_until = Max(singles_from, now + PUT_OFF_US) + PUT_OFF_US;
}

Instant
claim_lacks_until(Instant now)
{
	return lacks_until > now ? lacks_until : 0;
}

/* What has taken so long is not begun again before others have had more. */
static void
leave_to_others(int64 took_us, Instant now)
{
	singles_from = now + Min(TIME_OF_OTHERS * took_us, TIME_OF_OTHERS_MAX_US);
	while (nsingles > 0)
		schedule_put_off(singles[--nsingles], singles_from, now);
}

/* Those of destinations that are gone go with all others, which are judged anew. */
static void
judge(const Destination *destination, bool slow)
{
	Judged	   *entry;

	if (hash_get_num_entries(judged) > 2 * (long) destination_count() + 64)
	{
		hash_destroy(judged);
		make_judged();
	}
	entry = hash_search(judged, &destination->id, HASH_ENTER, NULL);
	entry->version = destination->version;
	entry->slow = slow;
}

bool
claim_took_long(const Destination *destination, int64 paths_us, Instant now)
{
	bool		slow = paths_us > SLOW_US;

	if (transform_config_takes_time(destination->config))
		judge(destination, slow);
	if (!slow)
		return false;
	if (now + TIME_OF_OTHERS * paths_us > singles_from)
		leave_to_others(paths_us, now);
	unknown_from = Max(unknown_from, now + Min(TIME_OF_OTHERS * paths_us, TIME_OF_OTHERS_MAX_US));
	return true;
}

void
claim_failed(QueueItem *item, bool single, const ErrorData *error, int64 bytes,
			 Instant began, Instant now)
{
	leave_to_others(now - began, now);
	if (!single && !schedule_waits_for_nothing(item))
		schedule_put_off(item, singles_from, now);
	else if (is_to_blame(item, bytes, error->sqlerrcode))
		attempt_set_aside(item, now, sentences[STEP_MADE].failed, error->message);
	else
		wait_for_memory(item, error->message, now);
}

void
claim_reset(Instant now)
{
	while (nsingles > 0)
		schedule_put_back(singles[--nsingles], now);
	if (suspect != NULL)
		schedule_put_back(suspect, now);
	suspect = NULL;
}
