/*-------------------------------------------------------------------------
 *
 * breaker.c
 *		The circuit breaker: when a destination is backed off as a whole.
 *
 * What counts is how many users in a row fail, each once, and only by what was
 * first tried since the last good answer: an event that fails while others do not
 * says nothing of its destination.
 *
 * What tells most of it are users whose last answers were good (trust.c): their events
 * probe at once, each such user's once, as one that fails is trusted no more.  So the
 * breaker of a destination that works for them is closed again within a request, however
 * many others fail.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "schedule/lane.h"

/* It opens at 16 times its threshold at the most. */
#define MAX_CAUTION		4

/* Its pauses are doubled no more often. */
#define MAX_DOUBLED		62

#define NOT_KNOWN		(-1)	/* nprobes */

static dlist_head changed;		/* lanes whose breakers have */

void
breaker_init(void)
{
	dlist_init(&changed);
}

void
breaker_mark_changed(Lane *lane)
{
	if (!lane->breaker_changed)
		dlist_push_tail(&changed, &lane->changed_node);
	lane->breaker_changed = true;
}

/* Has none of the user's failures counted since the last good answer? */
static bool
is_first_of_user(Lane *lane, const QueueRow *row)
{
	int64		user = row->has_key ? row->ordering_key : row->event_id;

	for (int i = 0; i < Min(lane->nblamed, LANE_BLAMED); i++)
	{
		if (lane->blamed[i] == user)
			return false;
	}
	lane->blamed[lane->nblamed % LANE_BLAMED] = user;
	if (lane->nblamed < PG_INT32_MAX)
		lane->nblamed++;
	return true;
}

/*
 * Does a failure speak of the destination?  Not that of a request which is older
 * than the last good answer: a destination that now and then leaves one hanging
 * would look dead whenever some of these time out together.  Nor that of an event
 * which was first tried before that answer, as it fails while others do not.
 * And a single user's failures are one.
 */
static bool
tells_of_destination(const QueueItem *item)
{
	Lane	   *lane = item->lane;
	const QueueRow *row = &item->row;

	if (item->taken_at <= lane->alive_at ||
		(row->first_attempt_at != NO_TIME && clock_when(row->first_attempt_at) <= lane->alive_at))
		return false;
	return is_first_of_user(lane, row);
}

/*
 * Each of several workers meets its part of the users who fail.  Where the breaker has
 * opened while the destination worked, it takes more of them.
 */
static int
my_threshold(const Lane *lane)
{
	int64		threshold = lane->policy.breaker_failures;

	if (threshold == 0)
		return 0;
	return (int) Min(((threshold - 1) / lane->policy.parts + 1) << lane->caution, PG_INT32_MAX);
}

/* The pause after an open breaker has been probed so often in vain. */
static int64
pause_us(const Lane *lane, int nprobes)
{
	return verdict_backoff_us(lane->policy.min_backoff_us, lane->policy.max_backoff_us,
							  nprobes + 1, 0.5);
}

/*
 * How often an open breaker was probed in vain; if somebody else has opened it, no more
 * often than its pauses have had the time for, whatever the threshold was.
 */
static int
probes_so_far(const Lane *lane, int threshold, Instant now)
{
	const Breaker *breaker = &lane->breaker;
	int64		left = breaker->next_probe_at - clock_due(breaker->opened_at, 0, now);
	int			most = Min(Max(breaker->failures, threshold) - threshold, MAX_DOUBLED);
	int			nprobes = NOT_KNOWN;

	if (lane->nprobes != NOT_KNOWN)
		return lane->nprobes;
	while (nprobes < most && left >= pause_us(lane, nprobes + 1))
		left -= pause_us(lane, ++nprobes);
	return Max(nprobes, 0);
}

/*
 * Failures of so many users in a row open the breaker.  From then on one request at
 * a time probes, at growing distances; the failures of requests that were in flight
 * already do not count.  It stays open, whatever the threshold becomes.
 */
void
breaker_note_failure(QueueItem *item, bool probed, const Verdict *verdict, Instant now)
{
	Lane	   *lane = item->lane;
	Breaker    *breaker = &lane->breaker;
	bool		trusted = trust_note_bad(lane, &item->row);
	int			threshold;
	Instant		pause;

	if (trusted && !breaker->open)
		lane->caution = 0;		/* it fails for those, too, for whom it worked */
	if (trusted && probed && breaker->next_probe_at > item->taken_at)
		return;					/* that it was tried out of turn makes nobody wait longer */
	threshold = my_threshold(lane);
	if (!probed && (breaker->open || !tells_of_destination(item)))
		return;
	if (lane->failing < PG_INT32_MAX)
		lane->failing++;
	if (threshold == 0 || (!breaker->open && lane->failing < threshold))
		return;
	if (!breaker->open && verdict->too_many && pace_is_beside_others(item, now))
		return;					/* others may be being served: it is too much, and not down */

	if (breaker->open)
		lane->nprobes = Min(probes_so_far(lane, threshold, now) + 1, MAX_DOUBLED);
	else
	{
		breaker->opened_at = clock_wall(now);
		lane->nprobes = 0;
		lane->fresh_in_row = 0;	/* what was never tried probes first */
	}
	breaker->open = true;
	breaker->failures = lane->failing;
	pause = now + pause_us(lane, lane->nprobes);
	breaker->next_probe_at = verdict->kind == VERDICT_RETRY ?
		Max(pause, Min(verdict->retry_at, now + lane->policy.max_backoff_us)) : pause;
	strlcpy(breaker->reason, verdict->reason, sizeof(breaker->reason));
	breaker_mark_changed(lane);
}

void
breaker_note_alive(Lane *lane, Instant now)
{
	lane->alive_at = now;
	if (lane->breaker.open)
	{
		lane->caution = Min(lane->caution + 1, MAX_CAUTION);
		limiter_reset(&lane->limiter);	/* it may not bear at once what it did */
	}
	breaker_close(lane);
}

void
breaker_close(Lane *lane)
{
	lane->failing = lane->nblamed = 0;
	lane->trusted_probed = false;
	if (!lane->breaker.open)
		return;
	memset(&lane->breaker, 0, sizeof(lane->breaker));
	breaker_mark_changed(lane);
}

void
breaker_hasten(Lane *lane, Instant at)
{
	lane->breaker.next_probe_at = Min(lane->breaker.next_probe_at, at);
}

void
breaker_bound(Lane *lane, Instant now)
{
	if (lane->configured)
		breaker_hasten(lane, now + lane->policy.max_backoff_us);
}

/* False: the lane's breaker stays as it is. */
bool
breaker_set(Lane *lane, const Breaker *breaker, Instant now)
{
	bool		known = breaker->open && lane->breaker.open &&
		breaker->opened_at == lane->breaker.opened_at;

	if (lane->breaker_changed)
		return false;			/* ours is newer than the table's */
	if (!breaker->open && !lane->breaker.open)
		return false;			/* closed before and after: go on counting */
	if (!lane->breaker.open)
		lane->fresh_in_row = 0;
	if (!known)
	{
		lane->caution = 0;		/* by which these were counted is not known */
		lane->nprobes = NOT_KNOWN;
	}
	else if (lane->nprobes != NOT_KNOWN)	/* others may have probed it since */
		lane->nprobes = Max(0, Min((int64) lane->nprobes + breaker->failures - lane->breaker.failures,
								   MAX_DOUBLED));
	lane->breaker = *breaker;
	lane->breaker_told = breaker->open;
	lane->failing = Max(breaker->failures, 0);
	breaker_bound(lane, now);
	return true;
}

/* One that has closed stays so, whatever was changed. */
void
breaker_overruled(Lane *lane)
{
	if (lane->breaker_changed && lane->breaker.open)
		breaker_forget(lane);
}

void
breaker_forget(Lane *lane)
{
	if (lane->breaker_changed)
		dlist_delete(&lane->changed_node);
	lane->breaker_changed = false;
}

Lane *
breaker_next_changed(void)
{
	Lane	   *lane;

	if (dlist_is_empty(&changed))
		return NULL;			/* nearly always */
	lane = dlist_container(Lane, changed_node, dlist_pop_head_node(&changed));
	lane->breaker_changed = false;
	return lane;
}

bool
breaker_is_news(Lane *lane)
{
	bool		news = lane->breaker.open != lane->breaker_told;

	lane->breaker_told = lane->breaker.open;
	return news;
}

bool
breaker_has_changed(void)
{
	return !dlist_is_empty(&changed);
}
