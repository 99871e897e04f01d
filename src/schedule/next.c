/*-------------------------------------------------------------------------
 *
 * next.c
 *		Which lane is next: to send, to be read, or to be looked at.
 *
 * Every step costs the same whatever the number of lanes, the backlog or the
 * history: lanes that can send are in a list and go to its end with each
 * request, and lanes that wait for a time (rate, breaker, deliver_after) are in
 * a heap.  Only those that could send if there were room for it are passed over
 * each time.
 *
 * next_settle() is where all conditions of a lane meet: after any change it
 * puts the lane into that list, the heap and the list of readers, or takes it
 * out.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "schedule/lane.h"

/* How late a deliver_after may be noticed at which the clock was set. */
#define DUE_LOOK_US		(60 * USECS_PER_SEC)

static dlist_head sendable;
static dlist_head readers;
static pairingheap *lane_timers;

/* Earliest first: the pairing heap hands out the largest. */
static int
later_lane(const pairingheap_node *a, const pairingheap_node *b, void *arg)
{
	Instant		ta = pairingheap_const_container(Lane, timer_node, a)->wake_at;
	Instant		tb = pairingheap_const_container(Lane, timer_node, b)->wake_at;

	return ta < tb ? 1 : ta > tb ? -1 : 0;
}

void
next_init(void)
{
	dlist_init(&sendable);
	dlist_init(&readers);
	lane_timers = pairingheap_allocate(later_lane, NULL);
}

/*
 * When to look whether the time has come that the wall's clock is to show.  That
 * clock may be set while nothing else happens.
 */
static Instant
next_look(const Lane *lane, Instant now)
{
	Instant		at = now + DUE_LOOK_US;

	if (lane->in_timers && lane->wake_at > now)
		at = Min(at, lane->wake_at);	/* the timer need not be moved each time */
	return Min(at, clock_when(lane->next_due));
}

/*
 * Put the lane where it belongs now.  Whatever it waits for lies ahead
 * afterwards: next_run_timers() relies on it.
 */
void
next_settle(Lane *lane, Instant now)
{
	Instant		when = 0;
	bool		sends = pace_allows(lane, now, &when);
	bool		reads = reading_wants(lane, now);

	if (sends != lane->sendable)
	{
		if (sends)
			dlist_push_tail(&sendable, &lane->sendable_node);
		else
			dlist_delete(&lane->sendable_node);
		lane->sendable = sends;
	}
	if (reads != lane->in_readers)
	{
		if (reads)
			dlist_push_tail(&readers, &lane->reader_node);
		else
			dlist_delete(&lane->reader_node);
		lane->in_readers = reads;
	}

	if (lane->next_due > clock_wall(now) && (when == 0 || next_look(lane, now) < when))
		when = next_look(lane, now);
	if (lane->unread_until > now && (when == 0 || lane->unread_until < when))
		when = lane->unread_until;
	if (when != 0)
		when = Max(when, now + 1);
	if (lane->policy.halted)
		when = 0;
	if (lane->in_timers && lane->wake_at != when)
	{
		pairingheap_remove(lane_timers, &lane->timer_node);
		lane->in_timers = false;
	}
	if (when != 0 && !lane->in_timers)
	{
		lane->wake_at = when;
		pairingheap_add(lane_timers, &lane->timer_node);
		lane->in_timers = true;
	}
}

void
next_run_timers(Instant now)
{
	Lane	   *timed;

	while ((timed = order_offer_timed(now)) != NULL)
		next_settle(timed, now);
	while (!pairingheap_is_empty(lane_timers))
	{
		Lane	   *lane = pairingheap_container(Lane, timer_node,
												 pairingheap_first(lane_timers));

		if (lane->wake_at > now)
			break;
		next_settle(lane, now);
	}
}

void
next_forget_lane(Lane *lane)
{
	if (lane->sendable)
		dlist_delete(&lane->sendable_node);
	if (lane->in_readers)
		dlist_delete(&lane->reader_node);
	if (lane->in_timers)
		pairingheap_remove(lane_timers, &lane->timer_node);
}

Lane *
next_to_read(void)
{
	Lane	   *lane;

	if (dlist_is_empty(&readers))
		return NULL;
	lane = dlist_container(Lane, reader_node, dlist_pop_head_node(&readers));
	lane->in_readers = false;	/* schedule_rows_read() settles that again */
	return lane;
}

bool
next_wants_read(void)
{
	return !dlist_is_empty(&readers);
}

void
next_move_back(Lane *lane)
{
	if (!lane->sendable)
		return;
	dlist_delete(&lane->sendable_node);
	dlist_push_tail(&sendable, &lane->sendable_node);
}

/*
 * One lane after the other.  Those that are passed over for lack of room keep their
 * place, and so come before all that have sent since when there is room again.
 */
QueueItem *
next_to_send(Instant now)
{
	dlist_mutable_iter iter;

	next_run_timers(now);
	if (pace_is_full())
		return NULL;
	dlist_foreach_modify(iter, &sendable)
	{
		Lane	   *lane = dlist_container(Lane, sendable_node, iter.cur);
		QueueItem  *item = dlist_head_element(QueueItem, in_ready, &lane->ready);

		if (!pace_take(item, now))
		{
			if (lane->waits_until != 0) /* for a turn, not for room */
				next_settle(lane, now);
			continue;
		}
		next_move_back(lane);
		item = window_take(lane);
		next_settle(lane, now);
		return item;
	}
	return NULL;
}

Instant
next_wake_at(void)
{
	Instant		when = order_next_retry();

	if (!pairingheap_is_empty(lane_timers))
	{
		Lane	   *lane = pairingheap_container(Lane, timer_node,
												 pairingheap_first(lane_timers));

		if (when == 0 || lane->wake_at < when)
			when = lane->wake_at;
	}
	return when;
}
