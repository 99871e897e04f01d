/*-------------------------------------------------------------------------
 *
 * pace.c
 *		What a destination may have in flight: bounds, rates, and a pause for want of
 *		something of ours.
 *
 * The third part of the scheduler; next.c asks it before an item is sent, and
 * schedule.c tells it what came of that.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "destination/values.h"
#include "schedule/lane.h"

/*
 * A lane for whose request we lacked something of our own waits so long before
 * it sends another one; the pause doubles from here to there.
 */
#define LACK_MIN_US		(250 * 1000)
#define LACK_MAX_US		(4 * USECS_PER_SEC)

/* Likewise if its destination names what is lacking. */
#define LACK_OWN_MIN_US	(1 * USECS_PER_SEC)
#define LACK_OWN_MAX_US	(60 * USECS_PER_SEC)

/*
 * What cannot be recorded would be sent again after a crash, so there are about
 * so many of all lanes.  A lane has no more than are left for others, or a few.
 */
#define MAX_DEFERRED	2000
#define FEW_DEFERRED	10

/* And about so many bytes of them, for when answers are large. */
#define MAX_DEFERRED_BYTES	(64 * 1024 * 1024)

/*
 * So many that were never tried go before a retry may; more while a breaker is open, since
 * a retry that fails again says little of the destination, or while some hang.
 */
#define FRESH_A_RETRY		1
#define FRESH_A_RETRY_BAD	3

static int	nlacking;			/* lanes with lacks_us, not of their own */
static int	total_deferred;
static int64 total_deferred_bytes;

void
pace_init(void)
{
	places_init();
	breaker_init();
	trust_init();
}

void
pace_init_lane(Lane *lane, Instant now)
{
	dlist_init(&lane->flying);
	lane->allowed = SLOW_START;
	lane->tokens = 1.0;
	lane->tokens_at = now;
}

void
pace_set_max_in_flight(int n, int places, int64 bytes)
{
	places_set(n, places);
	room_set(places, bytes);
}

/* ---------------------------------------------------------------------
 * What the destination allows
 * ---------------------------------------------------------------------
 */

/* How many requests this worker may have in flight: parts make max_in_flight, or one each. */
static int
my_most(const Lane *lane)
{
	const LanePolicy *policy = &lane->policy;

	return Max(1, policy->max_in_flight / policy->parts +
			   (policy->part < policy->max_in_flight % policy->parts ? 1 : 0));
}

/* A request that takes so long hangs, perhaps. */
#define LONG_US		USECS_PER_SEC

/* What is kept for trusted users is left to them for so many times what others took of it in vain. */
#define IN_VAIN		10

/* Events a second that this worker may send. */
static double
my_rate(const Lane *lane)
{
	return lane->policy.rate_limit / lane->policy.parts;
}

/*
 * Requests that this lane may have in flight now.  A lane that has not been
 * answered yet starts with few, and one whose last answers were all bad halves
 * with every few of them: a hundred dead destinations must not fill all
 * connections before their first time-out.
 */
static int
allowed_in_flight(const Lane *lane)
{
	int			allowed = lane->breaker.open ? 1 : Min(lane->allowed, my_most(lane));

	return Max(1, allowed >> Min(lane->failing / 4, 30));
}

/* If nothing had failed. */
static int
most_in_flight(const Lane *lane)
{
	return Min(lane->allowed, my_most(lane));
}

/* Of so many, those that are kept for users that are trusted; and the others. */
static int
quarter_of(int requests)
{
	return Max(1, requests / 4);
}

static int
all_but_a_quarter(int requests)
{
	return Max(1, requests - quarter_of(requests));
}

/*
 * While some requests hang, a quarter is kept for users that are trusted, as their events
 * are not to wait for others' time to be over.
 */
static bool
keeps_a_quarter(const Lane *lane)
{
	return lane->hung_lately > 0 && lane->ntrusted > 0;
}

static bool
others_may_go(const Lane *lane)
{
	return lane->in_flight - lane->trusted_in_flight <
		Min(allowed_in_flight(lane), all_but_a_quarter(most_in_flight(lane)));
}

static bool
has_room(Lane *lane, Instant now)
{
	if (lane->breaker.open)		/* its probe waits for nothing but probes */
		return lane->in_flight < my_most(lane);
	if (!keeps_a_quarter(lane))
		return lane->in_flight < allowed_in_flight(lane);
	return lane->in_flight < most_in_flight(lane) && (others_may_go(lane) || order_trusted(lane, now) != NULL);
}

/* Would another one take of what is kept for users that are trusted? */
static bool
would_be_in_quarter(const Lane *lane)
{
	return lane->ntrusted > 0 &&
		lane->in_flight - lane->trusted_in_flight >= all_but_a_quarter(my_most(lane));
}

/*
 * With all in flight that are allowed, and none of them new, some users may hang and others
 * would not: one that was never tried goes beside them, and one more each LONG_US, or as soon
 * as the last one was good.  These take half of the quarter, too; or if that is a single place, that
 * one, but not soon again after it was in vain.  If only time is in the way, *when tells until when.
 */
static bool
may_feel(const Lane *lane, Instant now, Instant *when)
{
	bool		in_quarter = would_be_in_quarter(lane);
	Instant		from = Max(lane->felt_at + LONG_US, in_quarter ? lane->quarter_from : 0);

	if (lane->in_flight == 0 || lane->in_flight >= my_most(lane) || lane->nready == lane->nretries ||
		(in_quarter && lane->nin_quarter >= Max(1, quarter_of(my_most(lane)) / 2)))
		return false;
	if (from > now)
	{
		*when = from;
		return false;
	}
	return true;
}

bool
pace_wants_news(const Lane *lane)
{
	if (keeps_a_quarter(lane))
		return dlist_is_empty(unconstify(dlist_head *, &lane->ready_trusted));
	return lane->feels || allowed_in_flight(lane) < most_in_flight(lane);
}

/*
 * Is it the turn of users that are trusted?  Of the probes whose time has come they have
 * every second one, should they fail one after the other.
 */
static bool
is_for_trusted(Lane *lane, Instant now)
{
	if (lane->breaker.open)
		return lane->breaker.next_probe_at > now || !lane->trusted_probed;
	return lane->hung_lately > 0 && (!others_may_go(lane) || lane->choices++ % 2 == 0);
}

QueueItem *
pace_choose(Lane *lane, Instant now)
{
	QueueItem  *trusted = is_for_trusted(lane, now) ? order_trusted(lane, now) : NULL;

	lane->feeling = trusted == NULL && !has_room(lane, now);
	if (lane->feeling)
	{
		lane->feels = true;
		return order_ready(lane, lane->newest_next ? CHOOSE_NEWEST : CHOOSE_ANY);
	}
	return trusted != NULL ? trusted : order_ready(lane, pace_choice(lane));
}

/*
 * A few users that fail or hang may stand before many that would not, most likely
 * together: so the newest are tried, too.
 */
Choice
pace_choice(const Lane *lane)
{
	bool		open = lane->breaker.open;
	bool		bad = open || lane->hung_lately > 0;

	if (lane->fresh_in_row >= (bad ? FRESH_A_RETRY_BAD : FRESH_A_RETRY) &&
		lane->retries_in_flight < Max(1, allowed_in_flight(lane) / (bad ? 4 : 2)))
		return CHOOSE_RETRY;
	if (open)
		return lane->fresh_in_row % 2 == 0 ? CHOOSE_NEWEST : CHOOSE_ANY;
	return (lane->failing > 0 || bad) && lane->newest_next ? CHOOSE_NEWEST : CHOOSE_OLDEST;
}

static void
refill_tokens(Lane *lane, Instant now)
{
	double		most = Max(1.0, my_rate(lane) / 10);
	double		earned = (double) (now - lane->tokens_at) / USECS_PER_SEC *
		my_rate(lane);

	lane->tokens = Min(most, lane->tokens + Max(earned, 0));
	lane->tokens_at = now;
}

static void
set_lacks(Lane *lane, int64 wait_us, bool own)
{
	nlacking += (wait_us != 0 && !own) - (lane->lacks_us != 0 && !lane->lacks_own);
	lane->lacks_us = wait_us;
	lane->lacks_own = own;
}

void
pace_forget_lane(Lane *lane)
{
	set_lacks(lane, 0, false);
	total_deferred -= lane->deferred;
	total_deferred_bytes -= lane->deferred_bytes;
	breaker_forget(lane);
	trust_forget(lane);
}

/* ---------------------------------------------------------------------
 * What we lack ourselves
 * ---------------------------------------------------------------------
 */

int
pace_lacking(void)
{
	return nlacking;
}

void
pace_look_again(Lane *lane)
{
	if (lane->lacks_own)
		set_lacks(lane, 0, false);
}

/*
 * Several items may come back at once; those that were taken before the lane
 * began to wait tell nothing new.
 */
static void
note_lack(QueueItem *item, bool own, Instant now)
{
	Lane	   *lane = item->lane;
	int64		least = own ? LACK_OWN_MIN_US : LACK_MIN_US;
	int64		most = own ? LACK_OWN_MAX_US : LACK_MAX_US;

	if (lane->lacks_us != 0 && item->taken_at <= lane->lacked_at)
		return;
	set_lacks(lane, lane->lacks_us == 0 || lane->lacks_own != own ? least :
			  Min(lane->lacks_us * 2, most), own);
	lane->lacked_at = now;
	lane->lacks_until = now + lane->lacks_us;
}

/* An item that was taken since has been sent. */
static void
note_no_lack(QueueItem *item)
{
	if (item->lane->lacks_us != 0 && item->taken_at > item->lane->lacked_at)
		set_lacks(item->lane, 0, false);
}

/* ---------------------------------------------------------------------
 * What cannot be recorded
 * ---------------------------------------------------------------------
 */

/* What is in flight is expected to be deferred, too, with as many bytes each. */
static bool
defers_too_many(const Lane *lane)
{
	int64		bytes;

	if (lane->deferred == 0)
		return false;
	if (lane->held_back)
		return true;
	bytes = lane->deferred_bytes / lane->deferred * lane->in_flight;
	return lane->deferred >= Max(FEW_DEFERRED, MAX_DEFERRED - total_deferred) ||
		lane->deferred_bytes + bytes >= MAX_DEFERRED_BYTES - total_deferred_bytes;
}

bool
pace_deferred(QueueItem *item, int64 bytes)
{
	Lane	   *lane = item->lane;
	bool		stuck = lane->stuck;

	lane->deferred++;
	total_deferred++;
	lane->deferred_bytes += bytes;
	total_deferred_bytes += bytes;
	lane->stuck |= defers_too_many(lane);
	return lane->stuck && !stuck;
}

bool
pace_deferred_no_more(QueueItem *item, int64 bytes)
{
	Lane	   *lane = item->lane;
	bool		stuck = lane->stuck;

	lane->deferred--;
	total_deferred--;
	lane->deferred_bytes -= bytes;
	total_deferred_bytes -= bytes;
	lane->held_back = false;
	lane->stuck &= lane->deferred > 0;
	return stuck && !lane->stuck;
}

/* ---------------------------------------------------------------------
 * Into flight, and out of it
 * ---------------------------------------------------------------------
 */

bool
pace_allows(Lane *lane, Instant now, Instant *when)
{
	if ((lane->nready == 0 && lane->in_flight == 0) || lane->policy.halted)
		set_lacks(lane, 0, false);	/* with nothing to send, it lacks nothing */
	if (lane->nready == 0)
		return false;
	if (lane->policy.gone)
		return true;			/* only to be given up */
	if (lane->policy.halted || (!has_room(lane, now) && !may_feel(lane, now, when)))
		return false;

	if (lane->breaker.open)
	{
		if (lane->probe != NULL)
			return false;
		if (lane->breaker.next_probe_at > now && order_trusted(lane, now) == NULL)
		{
			*when = lane->breaker.next_probe_at;
			return false;
		}
	}
	if (lane->policy.rate_limit > 0)
	{
		refill_tokens(lane, now);
		if (lane->tokens < 1.0)
		{
			*when = now + 1 + (int64) Min((1.0 - lane->tokens) * USECS_PER_SEC /
										  my_rate(lane), USECS_PER_DAY);
			return false;
		}
	}
	if (lane->lacks_us != 0 && lane->lacks_until > now)
	{
		*when = lane->lacks_until;
		return false;
	}
	if (lane->rests_until > now)
	{
		*when = lane->rests_until;
		return false;
	}
	return true;
}

bool
pace_take(QueueItem *item, Instant now)
{
	Lane	   *lane = item->lane;

	if (places_has_share(lane) || defers_too_many(lane) ||
		!room_take(item, item->size, now))
		return false;

	item->taken_at = now;
	if (lane->lacks_us != 0)	/* one at a time, until one has gone through */
		lane->lacks_until = now + lane->lacks_us;
	if (lane->breaker.open)
	{
		lane->probe = item;
		lane->trusted_probed = item->trusted;
	}
	if (lane->policy.rate_limit > 0)
		lane->tokens -= 1.0;
	item->feels = lane->feeling;
	item->in_quarter = item->feels && would_be_in_quarter(lane);
	lane->nin_quarter += item->in_quarter;
	lane->in_flight++;
	lane->retries_in_flight += item->retry;
	item->as_trusted = lane->hung_lately > 0 && !item->retry && trust_has(lane, &item->row);
	lane->trusted_in_flight += item->as_trusted;
	if (!item->as_trusted && !(lane->probe == item && item->trusted))	/* these take no turn of others */
	{
		lane->felt_at = now;
		lane->fresh_in_row = item->retry ? 0 : lane->fresh_in_row + 1;
		lane->newest_next ^= !item->retry;
	}
	dlist_push_tail(&lane->flying, &item->in_flying);
	places_take(item);
	return true;
}

void
pace_leave(QueueItem *item)
{
	Lane	   *lane = item->lane;

	if (lane->probe == item)
		lane->probe = NULL;
	lane->in_flight--;
	lane->retries_in_flight -= item->retry;
	lane->trusted_in_flight -= item->as_trusted;
	lane->nin_quarter -= item->in_quarter;
	item->as_trusted = item->feels = item->in_quarter = false;
	dlist_delete(&item->in_flying);
	places_leave(item);
	room_leave(item);
}

bool
pace_admit(QueueItem *item, int64 bytes)
{
	bool		fits;

	room_leave(item);			/* what it may have taken by what was known */
	fits = room_take(item, bytes, item->taken_at);
	item->size = fits ? 0 : bytes;
	return fits;
}

void
pace_take_back(QueueItem *item)
{
	if (item->lane->policy.rate_limit > 0)
		item->lane->tokens += 1.0;
	if (item->feels)
		item->lane->felt_at = item->taken_at - LONG_US;
	pace_leave(item);
}

void
pace_lacked(QueueItem *item, bool own, Instant now)
{
	note_lack(item, own, now);
	pace_take_back(item);
}

/*
 * Has a quarter of what may be in flight been so for long, and far longer than what has been
 * answered now?  A few may wait for an answer that takes its time.
 */
static bool
many_hang(Lane *lane, int64 took, Instant now)
{
	int			left = Max(1, most_in_flight(lane) / 4);
	dlist_iter	iter;

	dlist_foreach(iter, &lane->flying)
	{
		if (now - dlist_container(QueueItem, in_flying, iter.cur)->taken_at < Max(LONG_US, 4 * took))
			break;
		if (--left == 0)
			return true;
	}
	return false;
}

/* What it says of others that it took so long. */
static void
note_how_long(QueueItem *item, const Verdict *verdict, Instant now)
{
	Lane	   *lane = item->lane;
	Instant		took = now - item->taken_at;

	if (item->feels && verdict->signal == SIGNAL_ALIVE)
		lane->felt_at = now - LONG_US;
	if (verdict->signal == SIGNAL_FAILING && took >= LONG_US)
	{
		if (item->in_quarter && quarter_of(my_most(lane)) == 1)
			lane->quarter_from = now + IN_VAIN * took;
		lane->hung_lately = LANE_LATELY;
		/* those that have followed it may hang as long: how many are good says nothing of them */
		lane->hangs_until = now + 2 * took;
	}
	else if (verdict->signal != SIGNAL_ALIVE)
		return;
	else if (many_hang(lane, took, now))
		lane->hung_lately = LANE_LATELY;
	else if (lane->hung_lately > 0 && now >= lane->hangs_until)
		lane->hung_lately--;
}

void
pace_finished(QueueItem *item, const Verdict *verdict, Instant now)
{
	Lane	   *lane = item->lane;
	bool		probed = lane->probe == item;

	places_note(item, verdict, now);
	note_how_long(item, verdict, now);
	/* a probe that has to be sent again has shown nothing good */
	if (verdict->signal == SIGNAL_FAILING ||
		(probed && verdict->signal == SIGNAL_NONE && verdict->kind == VERDICT_RETRY))
		breaker_note_failure(item, probed, verdict, now);
	else if (verdict->signal == SIGNAL_ALIVE)
	{
		lane->feels = false;
		trust_note_good(lane, &item->row);
		breaker_note_alive(lane, now);
	}
	trust_settle(lane);
	if (verdict->signal != SIGNAL_UNSENT)
		note_no_lack(item);
	room_note(item, verdict, now);
	pace_leave(item);
}
