/*-------------------------------------------------------------------------
 *
 * schedule.c
 *		What may go next: turns, pace and back-off of the destinations.
 *
 * Each destination has a lane: a window of queue rows that were read ahead
 * (window.c) and a pace.  Every step costs the same whatever the number of
 * lanes, the backlog or the history: lanes that can send take turns in a
 * ring, one request a turn, and lanes that wait for a time (rate, breaker,
 * deliver_after) are in a heap.  Only those that could send if there were room
 * for it are passed over each time.
 *
 * lane_settle() is where all conditions of a lane meet: after any change it
 * puts the lane into the ring, the heap and the list of readers, or takes it
 * out.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "schedule_private.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

/*
 * How long to wait for a turn that another worker has: it tells when it leaves
 * one, unless it dies.
 */
#define TURN_WAIT_US	(1 * USECS_PER_SEC)

/*
 * How long to let others go first with a turn that was left to them: they come
 * at once, unless something else keeps them.
 */
#define TURN_LEFT_US	(20 * 1000)

int			my_share = 0;
int			nshares = 1;
static const Turns *turns;

static HTAB *lanes;				/* by destination_id */
static dlist_head ring;
static dlist_head readers;
static dlist_head waiting;		/* for a turn */
static pairingheap *lane_timers;
static int	max_in_flight;
static int	total_in_flight;
static int64 small_event;		/* of this size, events take up no room */
static int64 max_bytes;
static int64 total_bytes;
static QueueItem *beside;		/* the one in flight that did not fit */
static int	changed_breakers;
static int	unconfigured;

/* Earliest first: the pairing heap hands out the largest. */
static int
later_lane(const pairingheap_node *a, const pairingheap_node *b, void *arg)
{
	TimestampTz ta = pairingheap_const_container(Lane, timer_node, a)->wake_at;
	TimestampTz tb = pairingheap_const_container(Lane, timer_node, b)->wake_at;

	return ta < tb ? 1 : ta > tb ? -1 : 0;
}

void
schedule_init(int share, int shares, const Turns *the_turns)
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
	my_share = share;
	nshares = shares;
	turns = the_turns;
	dlist_init(&ring);
	dlist_init(&readers);
	dlist_init(&waiting);
	lane_timers = pairingheap_allocate(later_lane, NULL);
	window_init(context);
	MemoryContextSwitchTo(old);
}

/*
 * A quarter is for small events, so that these never wait for room: each
 * request that may be in flight has an equal part of it.
 */
void
schedule_set_max_in_flight(int n, int64 bytes)
{
	max_in_flight = n;
	small_event = bytes / 4 / n;
	max_bytes = bytes - small_event * n;
}

int64
schedule_free_bytes(void)
{
	return Max(max_bytes - total_bytes, 0) + small_event * max_in_flight;
}

/* ---------------------------------------------------------------------
 * Lanes: pace, and where all conditions meet
 * ---------------------------------------------------------------------
 */

/* How many requests the destination may have in flight now, of all workers. */
static int
most_in_flight(const Lane *lane)
{
	return lane->breaker.opened_at != 0 ? 1 : lane->policy.max_in_flight;
}

static bool
takes_turns(const Lane *lane)
{
	return most_in_flight(lane) < nshares && !lane->policy.gone;
}

/* This worker's part of them, or the one that it has a turn for. */
static int
my_part(const Lane *lane)
{
	int			most = most_in_flight(lane);

	return Max(1, most / nshares + (my_share < most % nshares ? 1 : 0));
}

/* Events a second that this worker may send. */
static double
my_rate(const Lane *lane)
{
	return lane->policy.rate_limit / nshares;
}

/*
 * Requests that this lane may have in flight now.  A lane that has not been
 * answered yet starts with few, and one whose last answers were all bad halves
 * with every few of them: a hundred dead destinations must not fill all
 * connections before their first time-out.
 */
static int
lane_window(const Lane *lane)
{
	int			window = Min(lane->window, my_part(lane));

	return Max(1, window >> Min(lane->failing / 4, 30));
}

static void
refill_tokens(Lane *lane, TimestampTz now)
{
	double		most = Max(1.0, my_rate(lane) / 10);
	double		earned = (double) (now - lane->tokens_at) / USECS_PER_SEC *
		my_rate(lane);

	lane->tokens = Min(most, lane->tokens + Max(earned, 0));
	lane->tokens_at = now;
}

/*
 * May the lane send one of its ready items?  If only time is in the way,
 * *when tells until when.
 */
static bool
lane_can_send(Lane *lane, TimestampTz now, TimestampTz *when)
{
	if (lane->nready == 0)
		return false;
	if (lane->policy.gone)
		return true;			/* only to be given up */
	if (lane->policy.halted || lane->in_flight >= lane_window(lane))
		return false;

	if (lane->breaker.opened_at != 0)
	{
		if (lane->probe != NULL)
			return false;
		if (lane->breaker.next_probe_at > now)
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
			*when = now + 1 + (int64) ((1.0 - lane->tokens) * USECS_PER_SEC /
									   my_rate(lane));
			return false;
		}
	}
	if (lane->waits_until > now)
	{
		*when = lane->waits_until;
		return false;
	}
	return true;
}

/* 0: not any more. */
static void
wait_for_turn(Lane *lane, TimestampTz until)
{
	if (lane->waits_until == 0 && until != 0)
		dlist_push_tail(&waiting, &lane->waiting_node);
	else if (lane->waits_until != 0 && until == 0)
		dlist_delete(&lane->waiting_node);
	lane->waits_until = until;
}

static void
stop_waiting(Lane *lane)
{
	if (lane->waits_until == 0)
		return;
	wait_for_turn(lane, 0);
	turns->withdraw(lane->destination_id);
}

/* Put the lane where it belongs now. */
void
lane_settle(Lane *lane, TimestampTz now)
{
	TimestampTz when = 0;
	bool		sends;
	bool		reads = window_wants_read(lane, now);

	if (!takes_turns(lane))
		stop_waiting(lane);
	sends = lane_can_send(lane, now, &when);

	if (sends != lane->in_ring)
	{
		if (sends)
			dlist_push_tail(&ring, &lane->ring_node);
		else
			dlist_delete(&lane->ring_node);
		lane->in_ring = sends;
	}
	if (reads != lane->in_readers)
	{
		if (reads)
			dlist_push_tail(&readers, &lane->reader_node);
		else
			dlist_delete(&lane->reader_node);
		lane->in_readers = reads;
	}

	if (lane->next_due > now && (when == 0 || lane->next_due < when))
		when = lane->next_due;
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

/* Whoever waited for a time that has come. */
static void
run_timers(TimestampTz now)
{
	window_run_timers(now);
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
schedule_lane(int32 destination_id, TimestampTz now)
{
	bool		found;
	Lane	   *lane = hash_search(lanes, &destination_id, HASH_ENTER, &found);

	if (!found)
	{
		memset(lane, 0, sizeof(*lane));
		lane->destination_id = destination_id;
		window_init_lane(lane);
		lane->due_after = now;
		lane->next_due = now;	/* the first read tells when it really is */
		lane->window = SLOW_START;
		lane->tokens = 1.0;
		lane->tokens_at = now;
		lane->policy.halted = true; /* until it is configured */
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

const Breaker *
schedule_lane_breaker(const Lane *lane)
{
	return &lane->breaker;
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
	if (lane->keeps_turn)
		turns->leave(lane->destination_id);
	turns->withdraw(lane->destination_id);
	wait_for_turn(lane, 0);
	if (lane->in_ring)
		dlist_delete(&lane->ring_node);
	if (lane->in_readers)
		dlist_delete(&lane->reader_node);
	if (lane->in_timers)
		pairingheap_remove(lane_timers, &lane->timer_node);
	if (lane->breaker_changed)
		changed_breakers--;
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
lane_note_range(Lane *lane, int64 first_id, int64 last_id, TimestampTz now)
{
	window_note_range(lane, first_id, last_id);
	lane_settle(lane, now);
}

void
schedule_note_range(const QueuedRange *range, TimestampTz now)
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
schedule_reread(Lane *lane, TimestampTz now)
{
	lane->next_due = now;		/* and look again for the next deliver_after */
	lane_note_range(lane, 1, PG_INT64_MAX, now);
}

/* The lane whose turn it is to read, and what. */
bool
schedule_next_read(TimestampTz now, ReadRequest *request)
{
	Lane	   *lane;

	if (dlist_is_empty(&readers))
		return false;
	lane = dlist_container(Lane, reader_node, dlist_pop_head_node(&readers));
	lane->in_readers = false;	/* schedule_rows_read() settles that again */
	window_next_read(lane, now, request);
	return true;
}

bool
schedule_wants_read(TimestampTz now)
{
	run_timers(now);
	return unconfigured > 0 || !dlist_is_empty(&readers);
}

void
schedule_settle_all(TimestampTz now)
{
	HASH_SEQ_STATUS scan;
	Lane	   *lane;

	hash_seq_init(&scan, lanes);
	while ((lane = hash_seq_search(&scan)) != NULL)
		lane_settle(lane, now);
}

void
schedule_rows_read(const ReadRequest *request, const QueueRow *rows,
				   int nrows, TimestampTz now)
{
	window_rows_read(request, rows, nrows, now);
	lane_settle(request->lane, now);
}

/* ---------------------------------------------------------------------
 * Sending
 * ---------------------------------------------------------------------
 */

/*
 * A lane that has requests in flight takes no more than what is still free, so
 * that however many lanes hang there is room for another.
 */
static bool
has_its_share(const Lane *lane)
{
	return lane->in_flight > 0 &&
		lane->in_flight >= max_in_flight - total_in_flight;
}

/*
 * Likewise it takes up no more room than it leaves to others.  An event that
 * is too large for that goes beside all others, one at a time, if its lane
 * takes up no room otherwise.
 */
static bool
take_room(QueueItem *item, int64 bytes)
{
	Lane	   *lane = item->lane;

	if (bytes <= small_event)
		return true;
	if (lane->bytes + bytes <= max_bytes - total_bytes - bytes)
		total_bytes += bytes;
	else if (lane->bytes == 0 && beside == NULL)
		beside = item;
	else
		return false;
	lane->bytes += bytes;
	item->bytes = bytes;
	return true;
}

static void
leave_room(QueueItem *item)
{
	if (beside == item)
		beside = NULL;
	else
		total_bytes -= item->bytes;
	item->lane->bytes -= item->bytes;
	item->bytes = 0;
}

/* False: the lane waits for a turn of its destination's. */
static bool
take_turn(Lane *lane, QueueItem *item, TimestampTz now)
{
	bool		taken = turns->take(lane->destination_id, most_in_flight(lane));

	lane->turn = taken ? item : NULL;
	wait_for_turn(lane, taken ? 0 : now + TURN_WAIT_US);
	return taken;
}

/*
 * The turn, if the lane has one, is over.  But nobody else may probe before he
 * knows what this worker's probe has shown.
 */
static void
leave_turn(Lane *lane, TimestampTz now)
{
	if (lane->turn != NULL || lane->keeps_turn)
		return;
	if (turns->leave(lane->destination_id))
		wait_for_turn(lane, now + TURN_LEFT_US);
}

/* Those that wait for a turn may try now; if one has no use for it, others may. */
void
schedule_turns_left(TimestampTz now)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &waiting)
	{
		Lane	   *lane = dlist_container(Lane, waiting_node, iter.cur);

		lane->waits_until = now;
		lane_settle(lane, now);
		if (!lane->in_ring)
			stop_waiting(lane);
	}
}

/* To the end of the ring. */
static void
end_turn(Lane *lane)
{
	if (!lane->in_ring)
		return;
	dlist_delete(&lane->ring_node);
	dlist_push_tail(&ring, &lane->ring_node);
}

/*
 * Lanes take turns.  Those that are passed over for lack of room keep their
 * place, and so come before all that have sent since when there is room again.
 */
QueueItem *
schedule_next(TimestampTz now)
{
	dlist_mutable_iter iter;

	run_timers(now);
	if (total_in_flight >= max_in_flight)
		return NULL;
	dlist_foreach_modify(iter, &ring)
	{
		Lane	   *lane = dlist_container(Lane, ring_node, iter.cur);
		QueueItem  *item = dlist_head_element(QueueItem, in_ready, &lane->ready);

		if (has_its_share(lane) || !take_room(item, item->size))
		{
			stop_waiting(lane);	/* others may have the turn meanwhile */
			continue;
		}
		if (takes_turns(lane) && !take_turn(lane, item, now))
		{
			leave_room(item);
			lane_settle(lane, now);
			continue;
		}

		end_turn(lane);
		item = window_take(lane);
		item->taken_at = now;
		if (lane->breaker.opened_at != 0)
			lane->probe = item;
		if (lane->policy.rate_limit > 0)
			lane->tokens -= 1.0;
		lane->in_flight++;
		total_in_flight++;
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

/* What it showed, if anything, is known already. */
static void
leave_flight(QueueItem *item, TimestampTz now)
{
	Lane	   *lane = item->lane;

	if (lane->probe == item)
		lane->probe = NULL;
	lane->in_flight--;
	total_in_flight--;
	leave_room(item);
	if (lane->turn == item)
	{
		lane->turn = NULL;
		leave_turn(lane, now);
	}
}

bool
schedule_admit(QueueItem *item, int64 bytes)
{
	bool		fits;

	leave_room(item);			/* what it may have taken by what was known */
	fits = take_room(item, bytes);
	item->size = fits ? 0 : bytes;
	if (fits)
		end_turn(item->lane);	/* behind those that are put back */
	return fits;
}

/*
 * The later ones of its user go on waiting for it, unless it has to wait for
 * something else now.
 */
void
schedule_replace(QueueItem *item, const QueueRow *row, TimestampTz now)
{
	Lane	   *lane = item->lane;
	int64		event_id = item->id.event_id;

	leave_flight(item, now);
	if (row != NULL && row->deliver_after <= now &&
		row->has_key == item->row.has_key && row->ordering_key == item->row.ordering_key)
	{
		item->row = *row;
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
schedule_put_back(QueueItem *item, TimestampTz now)
{
	Lane	   *lane = item->lane;

	leave_flight(item, now);
	if (lane->policy.rate_limit > 0)
		lane->tokens += 1.0;
	window_return(item, now);
	lane_settle(lane, now);
}

/* ---------------------------------------------------------------------
 * Outcomes
 * ---------------------------------------------------------------------
 */

static void
mark_breaker_changed(Lane *lane)
{
	if (!lane->breaker_changed)
	{
		lane->breaker_changed = true;
		changed_breakers++;
	}
}

/*
 * Failures in a row open the breaker.  From then on one request at a time
 * probes, at growing distances; the failures of requests that were in flight
 * already do not count.  Nor do those of requests that are older than the last
 * good answer: a destination that now and then leaves one hanging would look
 * dead whenever some of these time out together.
 */
static void
note_failure(QueueItem *item, bool probed, const Verdict *verdict, TimestampTz now)
{
	Lane	   *lane = item->lane;
	Breaker    *breaker = &lane->breaker;
	int			threshold = lane->policy.breaker_failures;
	TimestampTz pause;

	if (!probed && (breaker->opened_at != 0 || item->taken_at <= lane->alive_at))
		return;
	lane->failing++;
	if (threshold == 0 || lane->failing < threshold)
		return;

	breaker->failures = lane->failing;
	if (breaker->opened_at == 0)
		breaker->opened_at = now;
	pause = now + outcome_backoff_us(lane->policy.min_backoff_us,
									 lane->policy.max_backoff_us,
									 lane->failing - threshold + 1, 0.5);
	breaker->next_probe_at = verdict->kind == VERDICT_RETRY ?
		Max(pause, Min(verdict->retry_at, now + lane->policy.max_backoff_us)) : pause;
	strlcpy(breaker->reason, verdict->reason, sizeof(breaker->reason));
	mark_breaker_changed(lane);
}

static void
note_alive(Lane *lane, TimestampTz now)
{
	lane->failing = 0;
	lane->alive_at = now;
	lane->window = Min(lane->window + 1, lane->policy.max_in_flight);
	if (lane->breaker.opened_at != 0)
	{
		memset(&lane->breaker, 0, sizeof(lane->breaker));
		mark_breaker_changed(lane);
	}
}

void
schedule_finished(QueueItem *item, const Verdict *verdict, TimestampTz now)
{
	Lane	   *lane = item->lane;
	bool		probed = lane->probe == item;

	/* a probe that has to be sent again has shown nothing good */
	if (verdict->signal == SIGNAL_FAILING ||
		(probed && verdict->signal == SIGNAL_NONE && verdict->kind == VERDICT_RETRY))
		note_failure(item, probed, verdict, now);
	else if (verdict->signal == SIGNAL_ALIVE)
		note_alive(lane, now);
	if (lane->turn == item)
		lane->keeps_turn = lane->breaker_changed;
	leave_flight(item, now);
	if (verdict->pause)
		lane->policy.halted = true; /* at once; the table follows with the record */

	item->state = ITEM_DECIDED;
	item->verdict = verdict->kind;
	if (verdict->kind == VERDICT_RETRY)
	{
		item->row.attempts++;
		item->row.retry_at = verdict->retry_at;
		item->row.first_attempt_at = verdict->first_attempt_at;
	}
	else
		window_release_key(item, now);
	lane_settle(lane, now);
}

void
schedule_recorded(QueueItem *item, bool reread, TimestampTz now)
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

/* ---------------------------------------------------------------------
 * Configuration
 * ---------------------------------------------------------------------
 */

void
schedule_configure(Lane *lane, const LanePolicy *policy, TimestampTz now)
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
		note_alive(lane, now);
	lane_settle(lane, now);
}

void
schedule_set_breaker(Lane *lane, const Breaker *breaker, TimestampTz now)
{
	if (lane->breaker_changed)
		return;					/* ours is newer than the table's */
	if (breaker->opened_at == 0 && lane->breaker.opened_at == 0)
		return;					/* closed before and after: go on counting */
	lane->breaker = *breaker;
	lane->failing = breaker->failures;
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

Lane *
schedule_next_changed_breaker(void)
{
	HASH_SEQ_STATUS scan;
	Lane	   *lane;

	if (changed_breakers == 0)
		return NULL;			/* nearly always */
	hash_seq_init(&scan, lanes);
	while ((lane = hash_seq_search(&scan)) != NULL && !lane->breaker_changed)
		;
	if (lane != NULL)
	{
		hash_seq_term(&scan);
		lane->breaker_changed = false;
		changed_breakers--;
	}
	return lane;
}

bool
schedule_breaker_changed(void)
{
	return changed_breakers > 0;
}

void
schedule_breaker_saved(Lane *lane, TimestampTz now)
{
	if (!lane->keeps_turn || lane->breaker_changed)
		return;
	lane->keeps_turn = false;
	leave_turn(lane, now);
	lane_settle(lane, now);
}

void
schedule_breaker_unsaved(Lane *lane)
{
	mark_breaker_changed(lane);
}

TimestampTz
schedule_wake_at(void)
{
	TimestampTz when = window_next_retry();

	if (!pairingheap_is_empty(lane_timers))
	{
		Lane	   *lane = pairingheap_container(Lane, timer_node,
												 pairingheap_first(lane_timers));

		if (when == 0 || lane->wake_at < when)
			when = lane->wake_at;
	}
	return when;
}
