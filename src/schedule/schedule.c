/*-------------------------------------------------------------------------
 *
 * schedule.c
 *		What may go next: the scheduler's doors, and the destinations' lanes.
 *
 * Each destination has a lane: a window of queue rows that were read ahead
 * (window.c), in an order (order.c), and a pace (pace.c).  Whatever changes of a
 * lane, next_settle() comes last (next.c).
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "destination/values.h"
#include "schedule/lane.h"
#include "schedule/schedule.h"

/* A lane whose rows cannot be read waits; the pause doubles from here to there. */
#define UNREAD_MIN_US	(1 * USECS_PER_SEC)
#define UNREAD_MAX_US	(60 * USECS_PER_SEC)

/* Where a lane's rows begin is looked for, and saved, when it has moved so far. */
#define FLOOR_STEP		INT64CONST(50000)

static HTAB *lanes;				/* by destination_id */
static int	unconfigured;

void
schedule_init(void)
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
	next_init();
	window_init(context);
	pace_init();
	MemoryContextSwitchTo(old);
}

/* ---------------------------------------------------------------------
 * Lanes
 * ---------------------------------------------------------------------
 */

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
		lane->reads = READS_NOTHING;
		lane->due_after = clock_wall(now);
		lane->next_due = DUE_NOW;	/* the first read tells when it really is */
		lane->policy.halted = true; /* until the lane is configured */
		lane->policy.parts = 1;
		unconfigured++;
	}
	return lane;
}

void
schedule_lane_sent(Lane *lane, Instant last)
{
	lane->tokens = 0;
	lane->tokens_at = last;
}

int32
schedule_lane_id(const Lane *lane)
{
	return lane->destination_id;
}

TransactionId
schedule_lane_version(const Lane *lane)
{
	return lane->policy.version;
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
	if (lane->nitems > 0 || lane->nparked > 0 || lane->more || lane->nranges > 0 || lane->sweeps ||
		lane->next_due != NO_TIME || !pairingheap_is_empty(&lane->hungry) || lane->breaker.open)
		return false;
	pace_forget_lane(lane);
	next_forget_lane(lane);
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
lane_note_range(Lane *lane, int64 first_id, int64 last_id, bool gone, Instant now)
{
	reading_note_range(lane, first_id, last_id, gone);
	next_settle(lane, now);
}

void
schedule_note_range(const QueuedRange *range, Instant now)
{
	HASH_SEQ_STATUS scan;
	Lane	   *lane;

	if (range->destination_id != 0)
	{
		lane_note_range(schedule_lane(range->destination_id, now),
						range->first_id, range->last_id, range->gone, now);
		return;
	}
	hash_seq_init(&scan, lanes);
	while ((lane = hash_seq_search(&scan)) != NULL)
		lane_note_range(lane, range->first_id, range->last_id, range->gone, now);
}

void
schedule_reread(Lane *lane, Instant now)
{
	reading_sweep(lane);
	next_settle(lane, now);
}

void
schedule_start_at(const Floor *floor, Instant now)
{
	Lane	   *lane = schedule_lane(floor->destination_id, now);

	lane->cursor = floor->after_id;
	lane->floor = *floor;
	lane->floor_reached = lane->floor_goal = lane->floor_looked = floor->after_id;
	reading_sweep(lane);		/* somebody may have made rows by hand */
	next_settle(lane, now);
}

bool
schedule_floor_may_rise(const Lane *lane, int64 upto)
{
	return lane->policy.part == 0 && !(lane->policy.halted && !lane->policy.gone) &&
		(lane->floor_reached < lane->floor_goal || upto - lane->floor_looked >= FLOOR_STEP);
}

void
schedule_look_for_floor(Lane *lane, int64 upto, Instant now)
{
	if (lane->policy.part == 0 && upto < lane->floor.after_id)	/* ids have begun anew */
		lane->floor_reached = lane->floor_goal = lane->floor_looked = 0;
	else if (schedule_floor_may_rise(lane, upto))
		lane->floor_goal = Max(upto, lane->floor_reached);
	next_settle(lane, now);
}

bool
schedule_floor_to_save(const Lane *lane, Floor *floor)
{
	*floor = lane->floor;
	floor->destination_id = lane->destination_id;
	floor->after_id = lane->floor_reached;
	return floor->after_id < lane->floor.after_id ||
		floor->after_id - lane->floor.after_id >= FLOOR_STEP;
}

void
schedule_floor_saved(Lane *lane, const Floor *floor)
{
	lane->floor = *floor;
	if (floor->after_id < lane->floor_reached)	/* some have been replayed */
		lane->floor_reached = lane->floor_goal = lane->floor_looked = floor->after_id;
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
	bool		idly;
	Lane	   *lane = next_to_read(now, &idly);

	if (lane == NULL)
		return false;
	reading_next(lane, idly, now, request);
	return true;
}

bool
schedule_wants_read(Instant now)
{
	next_run_timers(now);
	return unconfigured > 0 || next_wants_read(now);
}

void
schedule_settle_all(Instant now)
{
	HASH_SEQ_STATUS scan;
	Lane	   *lane;

	hash_seq_init(&scan, lanes);
	while ((lane = hash_seq_search(&scan)) != NULL)
		next_settle(lane, now);
}

void
schedule_read_failed(Lane *lane, Instant now)
{
	lane->unread_us = lane->unread_us == 0 ? UNREAD_MIN_US :
		Min(lane->unread_us * 2, UNREAD_MAX_US);
	lane->unread_until = now + lane->unread_us;
	next_settle(lane, now);
}

void
schedule_rows_read(const ReadRequest *request, const QueueRow *rows,
				   int nrows, Instant now)
{
	request->lane->unread_us = 0;
	window_rows_read(request, rows, nrows, now);
	if (request->kind == READ_SWEEP || request->kind == READ_FLOOR)
		next_has_idled(request->took_us, now);
	next_settle(request->lane, now);
}

/* ---------------------------------------------------------------------
 * Sending
 * ---------------------------------------------------------------------
 */

QueueItem *
schedule_next(Instant now)
{
	return next_to_send(now);
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
	next_move_back(item->lane);	/* behind those that are put back */
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

	pace_leave(item);
	if (row != NULL && row->deliver_after <= clock_wall(now) &&
		row->has_key == item->row.has_key && row->ordering_key == item->row.ordering_key)
	{
		items_set_row(item, row, now);
		window_return(item, now);
		next_settle(lane, now);
		return;
	}

	window_release_key(item, now);
	items_free(item);
	if (row != NULL)
		lane_note_range(lane, event_id, event_id, false, now);
	else
		next_settle(lane, now);
}

void
schedule_put_back(QueueItem *item, Instant now)
{
	Lane	   *lane = item->lane;

	pace_take_back(item);
	window_return(item, now);
	next_settle(lane, now);
}

void
schedule_put_off(QueueItem *item, Instant until, Instant now)
{
	item->alone = true;
	item->ready_at = until;
	schedule_put_back(item, now);
}

void
schedule_rest(QueueItem *item, Instant until, Instant now)
{
	item->lane->rests_until = until;
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
schedule_lacked(QueueItem *item, bool own, Instant now)
{
	Lane	   *lane = item->lane;

	pace_lacked(item, own, now);
	window_return(item, now);
	next_settle(lane, now);
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
		item->row.attempts = queue_row_next_attempt(&item->row);
		item->row.retry_at = clock_wall(verdict->retry_at);
		item->ready_at = verdict->retry_at;
		item->row.first_attempt_at = verdict->first_attempt_at;
	}
	else
		window_release_key(item, now);
	next_settle(lane, now);
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
	{
		/* the destination's pauses may have become shorter since, or it is another one */
		item->ready_at = Min(item->ready_at, item->taken_at < lane->hastened_at ? now :
							 now + lane->policy.max_wait_us);
		window_return(item, now);
	}
	else
		items_free(item);
	if (reread)
		lane_note_range(lane, event_id, event_id, false, now);
	else
		next_settle(lane, now);
}

bool
schedule_deferred(QueueItem *item, int64 bytes)
{
	return pace_deferred(item, bytes);
}

bool
schedule_deferred_no_more(QueueItem *item, int64 bytes)
{
	return pace_deferred_no_more(item, bytes);
}

void
schedule_hold_back(QueueItem *item)
{
	item->lane->held_back = true;
}

int
schedule_lacking(void)
{
	return pace_lacking();
}

/* ---------------------------------------------------------------------
 * Breakers, and who is trusted
 * ---------------------------------------------------------------------
 */

void
schedule_set_breaker(Lane *lane, const Breaker *breaker, Instant now)
{
	if (breaker_set(lane, breaker, now))
		next_settle(lane, now);
}

const Breaker *
schedule_lane_breaker(const Lane *lane)
{
	return &lane->breaker;
}

Lane *
schedule_next_changed_breaker(void)
{
	return breaker_next_changed();
}

bool
schedule_breaker_changed(void)
{
	return breaker_has_changed();
}

bool
schedule_breaker_is_news(Lane *lane)
{
	return breaker_is_news(lane);
}

void
schedule_breaker_unsaved(Lane *lane)
{
	breaker_mark_changed(lane);
}

void
schedule_breaker_overruled(Lane *lane)
{
	breaker_overruled(lane);
}

void
schedule_trust(Lane *lane, int64 user)
{
	trust_add_proven(lane, user);
	trust_mark_unsaved(lane);	/* it may have been another part's */
	lane->hung_lately = LANE_LATELY;
}

int
schedule_lane_trusted(const Lane *lane, int64 *users)
{
	memcpy(users, lane->trusted, lane->ntrusted * sizeof(int64));
	return lane->ntrusted;
}

Lane *
schedule_next_unsaved_trust(void)
{
	return trust_next_unsaved();
}

bool
schedule_trust_unsaved(void)
{
	return trust_is_unsaved();
}

void
schedule_mark_trust_unsaved(Lane *lane)
{
	trust_mark_unsaved(lane);
}

/* ---------------------------------------------------------------------
 * Configuration
 * ---------------------------------------------------------------------
 */

void
schedule_set_max_in_flight(int max_in_flight, int places, int64 max_bytes)
{
	pace_set_max_in_flight(max_in_flight, places, max_bytes);
}

int64
schedule_free_bytes(void)
{
	return room_free_bytes();
}

int
schedule_in_flight(void)
{
	return places_in_flight();
}

void
schedule_configure(Lane *lane, const LanePolicy *policy, Instant now)
{
	/* shorter pauses are for what waits, too */
	bool		reread = lane->configured &&
		(lane->policy.ordered != policy->ordered || lane->policy.gone != policy->gone ||
		 lane->policy.max_wait_us > policy->max_wait_us);
	bool		edited = !policy->gone && TransactionIdIsValid(lane->policy.version) &&
		lane->policy.version != policy->version;

	lane->policy = *policy;
	if (!lane->configured)
		unconfigured--;
	lane->configured = true;
	if (reread && (lane->nitems > 0 || lane->cursor > 0))
		window_forget_waiting(lane, now);
	if (policy->breaker_failures == 0 && lane->breaker.open)
		breaker_close(lane);
	breaker_bound(lane, now);
	if (edited)
	{
		window_hasten(lane, now);
		breaker_hasten(lane, now);
	}
	pace_look_again(lane);
	next_settle(lane, now);
}

void
schedule_look_again(Instant now)
{
	HASH_SEQ_STATUS scan;
	Lane	   *lane;

	hash_seq_init(&scan, lanes);
	while ((lane = hash_seq_search(&scan)) != NULL)
	{
		pace_look_again(lane);
		next_settle(lane, now);
	}
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
	return next_wake_at();
}
