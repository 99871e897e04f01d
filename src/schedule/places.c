/*-------------------------------------------------------------------------
 *
 * places.c
 *		The places of requests in flight, which all lanes share.
 *
 * max_in_flight of them are for destinations that answer.  Those that have not
 * answered yet, and those that hang, have places of their own beside these: a
 * quarter of which only the former use, so that however many are known to hang, a
 * new one is tried at once.  While a quarter of these places are taken, each lane
 * has one of them.
 *
 * A destination that answers, and begins to hang, is noticed when its request has
 * been in flight for LATE_US: if more than half of the places for those that answer
 * are taken, such requests give theirs up for the others.
 *
 * If the process cannot open as many files, there are fewer places, and the last
 * quarter of all is for destinations that answer.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "schedule/lane.h"

/* Within that time, most receivers answer. */
#define LATE_US		(250 * 1000)

static int	most;				/* requests in flight */
static int	most_good;			/* of these, of lanes that answer */
static int	most_unproven;		/* of all others */
static int	most_slow;			/* of these, of lanes that hang */

static int	taken[REPUTE_SLOW + 1]; /* requests in flight, by repute */
static dlist_head good;			/* items of REPUTE_GOOD, as they were taken */
static bool giving_up;			/* those of them that are late give up their places */

void
places_init(void)
{
	dlist_init(&good);
}

void
places_set(int max_in_flight, int places)
{
	most = places;
	most_good = Min(max_in_flight, places);
	most_unproven = places - Min(most_good, places / 4);
	most_slow = most_unproven - most_unproven / 4;
}

static int
unproven(void)
{
	return taken[REPUTE_NEW] + taken[REPUTE_SLOW];
}

static Repute
repute_of(const Lane *lane)
{
	if (lane->policy.gone)
		return REPUTE_GOOD;		/* only to be given up */
	if (lane->hangs)
		return REPUTE_SLOW;
	return lane->alive_at == 0 ? REPUTE_NEW : REPUTE_GOOD;
}

Line
places_line(const Lane *lane)
{
	switch (repute_of(lane))
	{
		case REPUTE_NEW:
			return lane->in_flight == 0 ? LINE_NEW : LINE_MORE;
		case REPUTE_SLOW:
			return lane->in_flight == 0 ? LINE_SLOW : LINE_MORE;
		default:
			return LINE_GOOD;
	}
}

bool
places_has_free(Line line)
{
	if (taken[REPUTE_GOOD] + unproven() >= most)
		return false;
	switch (line)
	{
		case LINE_NEW:
			return unproven() < most_unproven;
		case LINE_SLOW:
			return taken[REPUTE_SLOW] < most_slow && unproven() < most_unproven;
		case LINE_MORE:
			return unproven() < most_unproven / 4;
		default:
			return taken[REPUTE_GOOD] < most_good;
	}
}

/*
 * A lane that answers, and has requests in flight, takes no more than what is
 * still free.
 */
bool
places_has_share(const Lane *lane)
{
	return places_line(lane) == LINE_GOOD && lane->in_flight > 0 &&
		lane->in_flight >= Min(most_good - taken[REPUTE_GOOD],
							   most - taken[REPUTE_GOOD] - unproven());
}

void
places_take(QueueItem *item)
{
	item->repute = repute_of(item->lane);
	taken[item->repute]++;
	if (item->repute == REPUTE_GOOD)
		dlist_push_tail(&good, &item->in_good);
}

int
places_in_flight(void)
{
	return taken[REPUTE_GOOD] + unproven();
}

void
places_leave(QueueItem *item)
{
	taken[item->repute]--;
	if (item->repute == REPUTE_GOOD)
		dlist_delete(&item->in_good);
}

Instant
places_late_at(void)
{
	if ((!giving_up && taken[REPUTE_GOOD] <= most_good / 2) ||
		taken[REPUTE_GOOD] == 0 || unproven() >= most_unproven)
		return 0;
	return dlist_head_element(QueueItem, in_good, &good)->taken_at + LATE_US;
}

Lane *
places_give_up_late(Instant now)
{
	Instant		late_at = places_late_at();
	QueueItem  *item;

	giving_up = late_at != 0 && late_at <= now; /* all that are late do, then */
	if (!giving_up)
		return NULL;			/* nearly always */
	item = dlist_head_element(QueueItem, in_good, &good);
	places_leave(item);
	item->repute = REPUTE_SLOW;
	taken[REPUTE_SLOW]++;
	if (item->taken_at >= item->lane->alive_at)
		item->lane->hangs = true;	/* until there is an outcome */
	return item->lane;
}

/*
 * What a request's outcome shows.  A destination that now and then leaves one
 * hanging answers others.
 */
void
places_note(const QueueItem *item, const Verdict *verdict, Instant now)
{
	Lane	   *lane = item->lane;

	if (verdict->signal == SIGNAL_UNSENT)
		return;
	if (verdict->signal != SIGNAL_FAILING ||
		(!verdict->timed_out && now - item->taken_at < LATE_US))
		lane->hangs = false;
	else if (item->taken_at > lane->alive_at)
		lane->hangs = true;
}
