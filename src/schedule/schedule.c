/*-------------------------------------------------------------------------
 *
 * schedule.c
 *		What may go next: the destinations' lanes, and which of them it is.
 *
 * Each destination has a lane: a window of queue rows that were read ahead
 * (window.c) and a pace (pace.c).  Every step costs the same whatever the
 * number of lanes, the backlog or the history: lanes that can send are in a list
 * and go to its end with each request, and lanes that wait for a time (rate,
 * breaker, deliver_after) are in a heap.  Only those that could send if there
 * were room for it are passed over each time.
 *
 * lane_settle() is where all conditions of a lane meet: after any change it
 * puts the lane into that list, the heap and the list of readers, or takes it
 * out.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "destination/values.h"
#include "schedule/lane.h"
#include "schedule/schedule.h"

/* A lane whose rows cannot be read waits; the pause doubles from here to there. */
#define UNREAD_MIN_US	(1 * USECS_PER_SEC)
#define UNREAD_MAX_US	(60 * USECS_PER_SEC)

/* How late a deliver_after may be noticed at which the clock was set. */
#define DUE_LOOK_US		(60 * USECS_PER_SEC)

static HTAB *lanes;				/* by destination_id */
static dlist_head sendable;
static dlist_head readers;
static pairingheap *lane_timers;
static int	unconfigured;

/* Earliest first: the pairing heap hands out the largest. */
static int
later_lane(const pairingheap_node *a, const pairingheap_node *b, void *arg)
{
	Instant		ta = pairingheap_const_container(Lane, timer_node, a)->wake_at;
	Instant		tb = pairingheap_const_container(Lane, timer_node, b)->wake_at;

	return ta < tb ? 1 : ta > tb ? -1 : 0;
}

void
schedule_init(int share, int nshares, const Turns *turns)
{
	HASHCTL		info = {0};
	MemoryContext context;
	MemoryContext old;

	context = AllocSetContextCreate(TopMemoryContext, "rswebhook schedule",
									ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	info.keysize = sizeof(int32);
	info.entrysize = sizeof(Lane);
	info.hcxt = context;
	lanes = hash_create("rswebhook lanes", 64, &info,
						HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	dlist_init(&sendable);
	dlist_init(&readers);
	lane_timers = pairingheap_allocate(later_lane, NULL);
	window_init(share, nshares, context);
	pace_init(share, nshares, turns);
	MemoryContextSwitchTo(old);
}

/* ---------------------------------------------------------------------
 * Lanes, and where all conditions meet
 * ---------------------------------------------------------------------
 */

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
 * afterwards: run_timers() relies on it.
 */
static void
lane_settle(Lane *lane, Instant now)
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

/* Settle the lanes whose time has come. */
static void
run_timers(Instant now)
{
	Lane	   *timed;

	while ((timed = window_offer_timed(now)) != NULL)
		lane_settle(timed, now);
	while (!pairingheap_is_empty(lane_timers))
	{
		Lane	   *lane = pairingheap_container(Lane, timer_node,
												 pairingheap_first(lane_timers));

		if (lane->wake_at > now)
			break;
		lane_settle(lane, now);
	}
}

Lane *
schedule_lane(int32 destination_id, Instant now)
{
	bool		found;
	Lane	   *lane = hash_search(lanes, &destination_id, HASH_ENTER, &found);

	if (!found)
	{
		memset(lane, 0, sizeof(*lane));
		lane->destination_id = destination_id;
		window_init_lane(lane);
		pace_init_lane(lane, now);
		lane->due_after = clock_wall(now);
		lane->next_due = DUE_NOW;	/* the first read tells when it really is */
		lane->policy.halted = true; /* until the lane is configured */
		unconfigured++;
	}
	return lane;
}

int32
schedule_lane_id(const Lane *lane)
{
	return lane->destination_id;
}

int
schedule_lane_in_flight(const Lane *lane)
{
	return lane->in_flight;
}

bool
schedule_lane_halted(const Lane *lane)
{
	return lane->policy.halted && !lane->policy.gone;
}

void
schedule_each_lane(void (*f) (Lane *lane, void *arg), void *arg)
{
	HASH_SEQ_STATUS scan;
	Lane	   *lane;

	hash_seq_init(&scan, lanes);
	while ((lane = hash_seq_search(&scan)) != NULL)
		f(lane, arg);
}

bool
schedule_remove(Lane *lane)
{
	if (lane->nitems > 0 || lane->more || lane->nranges > 0 || lane->next_due != 0 ||
		!pairingheap_is_empty(&lane->hungry) || lane->breaker.opened_at != 0)
		return false;
	pace_forget_lane(lane);
	if (lane->sendable)
		dlist_delete(&lane->sendable_node);
	if (lane->in_readers)
		dlist_delete(&lane->reader_node);
	if (lane->in_timers)
		pairingheap_remove(lane_timers, &lane->timer_node);
	if (!lane->configured)
		unconfigured--;
	hash_search(lanes, &lane->destination_id, HASH_REMOVE, NULL);
	return true;
}

/* ---------------------------------------------------------------------
 * Reading ahead
 * ---------------------------------------------------------------------
 */

static void
lane_note_range(Lane *lane, int64 first_id, int64 last_id, Instant now)
{
	reading_note_range(lane, first_id, last_id);
	lane_settle(lane, now);
}

void
schedule_note_range(const QueuedRange *range, Instant now)
{
	HASH_SEQ_STATUS scan;
	Lane	   *lane;

	if (range->destination_id != 0)
	{
		lane_note_range(schedule_lane(range->destination_id, now),
						range->first_id, range->last_id, now);
		return;
	}
	hash_seq_init(&scan, lanes);
	while ((lane = hash_seq_search(&scan)) != NULL)
		lane_note_range(lane, range->first_id, range->last_id, now);
}

void
schedule_reread(Lane *lane, Instant now)
{
	lane->next_due = DUE_NOW;	/* and look again for the next deliver_after */
	lane_note_range(lane, 1, PG_INT64_MAX, now);
}

int64
schedule_bytes_beside(const QueueItem *item)
{
	return room_beside(item);
}

/* The lane that reads next, and what. */
bool
schedule_next_read(Instant now, ReadRequest *request)
{
	Lane	   *lane;

	if (dlist_is_empty(&readers))
		return false;
	lane = dlist_container(Lane, reader_node, dlist_pop_head_node(&readers));
	lane->in_readers = false;	/* schedule_rows_read() settles the lane again */
	reading_next(lane, now, request);
	return true;
}

bool
schedule_wants_read(Instant now)
{
	run_timers(now);
	return unconfigured > 0 || !dlist_is_empty(&readers);
}

void
schedule_settle_all(Instant now)
{
	HASH_SEQ_STATUS scan;
	Lane	   *lane;

	hash_seq_init(&scan, lanes);
	while ((lane = hash_seq_search(&scan)) != NULL)
		lane_settle(lane, now);
}

void
schedule_read_failed(Lane *lane, Instant now)
{
	lane->unread_us = lane->unread_us == 0 ? UNREAD_MIN_US :
		Min(lane->unread_us * 2, UNREAD_MAX_US);
	lane->unread_until = now + lane->unread_us;
	lane_settle(lane, now);
}

void
schedule_rows_read(const ReadRequest *request, const QueueRow *rows,
				   int nrows, Instant now)
{
	request->lane->unread_us = 0;
	window_rows_read(request, rows, nrows, now);
	lane_settle(request->lane, now);
}

/* ---------------------------------------------------------------------
 * Sending
 * ---------------------------------------------------------------------
 */

static void
to_end(Lane *lane)
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
schedule_next(Instant now)
{
	dlist_mutable_iter iter;

	run_timers(now);
	if (pace_is_full())
		return NULL;
	dlist_foreach_modify(iter, &sendable)
	{
		Lane	   *lane = dlist_container(Lane, sendable_node, iter.cur);
		QueueItem  *item = dlist_head_element(QueueItem, in_ready, &lane->ready);

		if (!pace_take(item, now))
		{
			if (lane->waits_until != 0) /* for a turn, not for room */
				lane_settle(lane, now);
			continue;
		}
		to_end(lane);
		item = window_take(lane);
		lane_settle(lane, now);
		return item;
	}
	return NULL;
}

const QueueRow *
schedule_row(const QueueItem *item)
{
	return &item->row;
}

Lane *
schedule_item_lane(const QueueItem *item)
{
	return item->lane;
}

bool
schedule_admit(QueueItem *item, int64 bytes)
{
	if (!pace_admit(item, bytes))
		return false;
	to_end(item->lane);		/* behind the lanes that are put back */
	return true;
}

/*
 * The later ones of its user go on waiting for it, unless it has to wait for
 * something else now.
 */
void
schedule_replace(QueueItem *item, const QueueRow *row, Instant now)
{
	Lane	   *lane = item->lane;
	int64		event_id = item->id.event_id;

	pace_leave(item, now);
	if (row != NULL && row->deliver_after <= clock_wall(now) &&
		row->has_key == item->row.has_key && row->ordering_key == item->row.ordering_key)
	{
		window_set_row(item, row, now);
		window_return(item, now);
		lane_settle(lane, now);
		return;
	}

	window_release_key(item, now);
	window_free(item);
	if (row != NULL)
		lane_note_range(lane, event_id, event_id, now);
	else
		lane_settle(lane, now);
}

void
schedule_put_back(QueueItem *item, Instant now)
{
	Lane	   *lane = item->lane;

	pace_take_back(item, now);
	window_return(item, now);
	lane_settle(lane, now);
}

void
schedule_put_off(QueueItem *item, Instant until, Instant now)
{
	item->alone = true;
	item->ready_at = until;
	schedule_put_back(item, now);
}

bool
schedule_is_alone(const QueueItem *item)
{
	return item->alone;
}

bool
schedule_waits_for_nothing(const QueueItem *item)
{
	return item->lane->policy.gone;
}

void
schedule_lacked(QueueItem *item, Instant now)
{
	Lane	   *lane = item->lane;

	pace_lacked(item, now);
	window_return(item, now);
	lane_settle(lane, now);
}

/* ---------------------------------------------------------------------
 * Outcomes
 * ---------------------------------------------------------------------
 */

void
schedule_finished(QueueItem *item, const Verdict *verdict, Instant now)
{
	Lane	   *lane = item->lane;

	pace_finished(item, verdict, now);
	if (verdict->pause)
		lane->policy.halted = true; /* at once; the table follows with the record */

	item->state = ITEM_DECIDED;
	item->verdict = verdict->kind;
	item->alone = verdict->signal == SIGNAL_UNSENT;
	if (verdict->kind == VERDICT_RETRY)
	{
		item->row.attempts++;
		item->row.retry_at = clock_wall(verdict->retry_at);
		item->ready_at = verdict->retry_at;
		item->row.first_attempt_at = verdict->first_attempt_at;
	}
	else
		window_release_key(item, now);
	lane_settle(lane, now);
}

void
schedule_recorded(QueueItem *item, bool reread, Instant now)
{
	Lane	   *lane = item->lane;
	int64		event_id = item->id.event_id;

	/*
	 * One that is to be tried again goes back even if its row may have changed:
	 * until that has been read, the later ones of its user must wait.
	 */
	if (item->verdict == VERDICT_RETRY)
		window_return(item, now);
	else
		window_free(item);
	if (reread)
		lane_note_range(lane, event_id, event_id, now);
	else
		lane_settle(lane, now);
}

bool
schedule_held(QueueItem *item, int64 bytes)
{
	return pace_held(item, bytes);
}

bool
schedule_held_no_more(QueueItem *item, int64 bytes)
{
	return pace_held_no_more(item, bytes);
}

int
schedule_lacking(void)
{
	return pace_lacking();
}

/* ---------------------------------------------------------------------
 * Breakers, and what goes by turns with other workers
 * ---------------------------------------------------------------------
 */

void
schedule_set_breaker(Lane *lane, const Breaker *breaker, Instant now)
{
	if (pace_set_breaker(lane, breaker, now))
		lane_settle(lane, now);
}

const Breaker *
schedule_lane_breaker(const Lane *lane)
{
	return &lane->breaker;
}

Lane *
schedule_next_changed_breaker(void)
{
	return pace_next_changed_breaker();
}

bool
schedule_breaker_changed(void)
{
	return pace_breaker_changed();
}

void
schedule_breaker_saved(Lane *lane, Instant now)
{
	pace_breaker_saved(lane, now);
	lane_settle(lane, now);
}

void
schedule_breaker_unsaved(Lane *lane)
{
	pace_mark_breaker_changed(lane);
}

static void
try_turn(Lane *lane, Instant now)
{
	lane->waits_until = now;
	lane_settle(lane, now);
	if (!lane->sendable)
		pace_stop_waiting(lane);
}

void
schedule_turns_left(Instant now)
{
	pace_each_waiting(try_turn, now);
}

/* ---------------------------------------------------------------------
 * Configuration
 * ---------------------------------------------------------------------
 */

void
schedule_set_max_in_flight(int max_in_flight, int64 max_bytes)
{
	pace_set_max_in_flight(max_in_flight, max_bytes);
}

int64
schedule_free_bytes(void)
{
	return room_free_bytes();
}

void
schedule_configure(Lane *lane, const LanePolicy *policy, Instant now)
{
	bool		reread = lane->policy.ordered != policy->ordered ||
		lane->policy.gone != policy->gone;

	lane->policy = *policy;
	if (!lane->configured)
		unconfigured--;
	lane->configured = true;
	if (reread && (lane->nitems > 0 || lane->cursor > 0))
		window_forget_waiting(lane, now);
	if (policy->breaker_failures == 0 && lane->breaker.opened_at != 0)
		pace_note_alive(lane, now);
	pace_bound_breaker(lane, now);
	lane_settle(lane, now);
}

Lane *
schedule_next_unconfigured(void)
{
	HASH_SEQ_STATUS scan;
	Lane	   *lane;

	if (unconfigured == 0)
		return NULL;			/* nearly always */
	hash_seq_init(&scan, lanes);
	while ((lane = hash_seq_search(&scan)) != NULL && lane->configured)
		;
	if (lane != NULL)
		hash_seq_term(&scan);
	return lane;
}

Instant
schedule_wake_at(void)
{
	Instant		when = window_next_retry();

	if (!pairingheap_is_empty(lane_timers))
	{
		Lane	   *lane = pairingheap_container(Lane, timer_node,
												 pairingheap_first(lane_timers));

		if (when == 0 || lane->wake_at < when)
			when = lane->wake_at;
	}
	return when;
}
