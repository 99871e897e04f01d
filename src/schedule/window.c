/*-------------------------------------------------------------------------
 *
 * window.c
 *		The rows of a lane that are in memory.
 *
 * What is read (reading.c says what) comes in here, and into its order (order.c).
 * Rows of other parts, if its destination has several workers, are read with the
 * rest, and passed over.  Rows whose deliver_after has come are looked up by that,
 * but must not overtake their user's: beyond the cursor, they are left to be read
 * ahead.
 *
 * No more than half of it is for what waits for retries: beyond that, these are
 * parked (parked.c), and come in again when they are due and can be used.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "destination/values.h"
#include "schedule/lane.h"
#include "shmem/share.h"

int			window_range_ids = RANGE_IDS;

void
window_init(MemoryContext context)
{
	items_init(context);
	order_init(context);
	parked_init(context);
}

void
window_init_lane(Lane *lane)
{
	order_init_lane(lane);
	parked_init_lane(lane);
	lane->more = true;
}

/* Does the key's first item wait for its retry? */
static bool
waits_for_retry(KeyQueue *key)
{
	return key->running == 0 && !dlist_is_empty(&key->waiting) &&
		dlist_head_element(QueueItem, in_key, &key->waiting)->state == ITEM_TIMED;
}

/*
 * May this row of a key be kept in memory?
 *
 * What is in memory is always the beginning of what the key is owed: of rows
 * that were spilled only those may come back that follow upon it, which are
 * those that a read for hungry keys finds from spilled_from on.  If there is
 * no room, the row with the highest id goes, be it the new one or another.
 */
static bool
key_has_room(KeyQueue *key, int64 event_id, const ReadRequest *request,
			 Instant now)
{
	Lane	   *lane = key->lane;
	int			room = lane_is_half_full(lane) ? KEY_ITEMS : KEY_ITEMS_ROOMY;
	QueueItem  *last;

	if (key->spilled && event_id >= key->spilled_from &&
		!(request->kind == READ_HUNGRY && key->hungry &&
		  key->spilled_from > request->after_id))
		return false;
	if (dlist_is_empty(&key->waiting))
		return true;

	last = dlist_tail_element(QueueItem, in_key, &key->waiting);
	if (last->id.event_id < event_id &&
		(key->nitems >= room || (lane_is_half_full(lane) && waits_for_retry(key))))
	{
		order_spill(key, event_id);
		return false;
	}
	if (key->nitems < room)
		return true;

	/* this one committed late, and goes before it */
	order_spill(key, last->id.event_id);
	items_discard(last, now);
	return true;
}

/* Forget what is in memory of rows that were cancelled and replayed, or edited. */
static void
forget_changed(Lane *lane, const QueueRow *rows, int nrows, Instant now)
{
	for (int i = 0; i < nrows; i++)
	{
		const QueueRow *row = &rows[i];
		QueueItem  *item = items_find_waiting(lane, row->event_id);

		if (item != NULL &&
			(item->row.queued_at != row->queued_at ||
			 item->row.attempts != row->attempts ||
			 item->row.retry_at != row->retry_at ||
			 item->row.deliver_after != row->deliver_after ||
			 item->row.has_key != row->has_key ||
			 item->row.ordering_key != row->ordering_key))
			items_discard(item, now);
	}
}

/*
 * Forget rows that are not there any more, of the ids from after to upto, so
 * that others do not wait for the retry of what was cancelled.  Where these
 * are too many to look for each, a sweep finds what has gone.
 */
static void
forget_missing(const ReadRequest *request, const QueueRow *rows, int nrows,
			   int64 upto, Instant now)
{
	int64		id = Max(request->after_id, 0);	/* below are such as nobody draws */

	if (id_above(upto, id) > window_range_ids)
	{
		if (request->kind == READ_RANGE && request->lane->ranges[0].gone)
			reading_sweep_gone(request->lane);
		return;
	}
	for (int i = 0; id < upto;)
	{
		QueueItem  *item;
		Parked	   *parked;

		id++;
		if (i < nrows && rows[i].event_id == id)
			i++;
		else if ((item = items_find_waiting(request->lane, id)) != NULL)
			items_discard(item, now);
		else if ((parked = parked_event(request->lane, id)) != NULL)
			park_forget(request->lane, parked);
	}
}

/*
 * A sweep has seen all rows up to there.  Of what it has not seen, others wait only for
 * what waits itself: the rest is found missing when it is to be sent, which is soon.
 */
static void
forget_unseen(Lane *lane, int64 upto, Instant now)
{
	dlist_mutable_iter iter;
	bool		more = true;

	while (more)				/* behind one there may be another */
	{
		more = false;
		dlist_foreach_modify(iter, &lane->timed)
		{
			QueueItem  *item = dlist_container(QueueItem, in_timed, iter.cur);

			if (item->seen == lane->sweep_number || item->id.event_id > upto)
				continue;
			items_discard(item, now);
			more = true;
		}
	}
	parked_each_unseen(lane, upto, park_forget);
}

static bool
is_mine(const Lane *lane, const QueueRow *row)
{
	return share_part(row->has_key ? row->ordering_key : row->event_id,
					  lane->policy.parts) == lane->policy.part;
}

/*
 * A row of the lane has a time to wait for.  Such times are seen to in their
 * order; but after the clock was set back, they begin to come again.
 */
static void
wait_for_due(Lane *lane, TimestampTz deliver_after)
{
	if (deliver_after <= lane->due_after)
	{
		lane->due_after = deliver_after;
		lane->due_after_id = 0;
	}
	if (lane->next_due == NO_TIME || deliver_after < lane->next_due)
		lane->next_due = deliver_after;
}

/*
 * A row that was read comes into the window, unless it is there already or is
 * another worker's.
 */
static void
add_row(const ReadRequest *request, const QueueRow *row, Instant now)
{
	Lane	   *lane = request->lane;
	KeyQueue   *key = NULL;
	QueueItem  *item;

	if (!is_mine(lane, row))
		return;
	item = items_find(lane, row->event_id);
	if (item != NULL)
	{
		item->seen = lane->sweep_number;
		return;
	}
	if (row->deliver_after > clock_wall(now) && !lane->policy.gone)
	{
		wait_for_due(lane, row->deliver_after);
		return;
	}

	/* what precedes it may not have been read: it is, later, together with it */
	if (row->has_key && lane_is_ordered(lane) &&
		request->kind == READ_DUE && row->event_id > lane->cursor)
	{
		lane->more = true;
		return;
	}
	if (lane->nparked > 0 && park_holds_back(lane, row, now))
		return;
	if (row->retry_at != NO_TIME && park_row(lane, row, now))
		return;
	if (row->has_key && lane_is_ordered(lane))
	{
		key = order_key(lane, row->ordering_key);
		if (!key_has_room(key, row->event_id, request, now))
			return;
	}

	item = items_add(lane, row, key, now);
	if ((key == NULL || key->nitems == 1) && park_item(item, true, now))
		return;
	if (key != NULL)
		order_insert(key, item, now);
	else
		order_offer(item, now);
}

/*
 * What was parked and is due comes in, if it is still there.  Its user's later
 * rows stay in the table until it is through.
 */
static void
retries_read(const ReadRequest *request, const QueueRow *rows, int nrows, Instant now)
{
	Lane	   *lane = request->lane;
	Parked	   *parked;

	for (int i = 0; i < nrows; i++)
	{
		if ((parked = parked_event(lane, rows[i].event_id)) != NULL)
			parked->found = true;
	}
	for (int i = 0; i < request->nids; i++)
	{
		if ((parked = parked_event(lane, request->ids[i])) != NULL && !parked->found)
			park_forget(lane, parked);
	}
	for (int i = 0; i < nrows; i++)
	{
		QueueItem  *item;
		bool		has_key;
		bool		alone;
		int64		ordering_key;

		if ((parked = parked_event(lane, rows[i].event_id)) == NULL)
			continue;
		has_key = parked->has_key;
		ordering_key = parked->ordering_key;
		alone = parked->alone;
		lane->hastening = parked->hastened;
		park_release(lane, parked);
		add_row(request, &rows[i], now);
		lane->hastening = false;
		if (has_key)
			order_check_hunger_of(lane, ordering_key);
		if (alone && (item = items_find_waiting(lane, rows[i].event_id)) != NULL)
			item->alone = true;
	}
}

/* below: the id before the first that is left, if the read came to its end. */
static void
floor_read(const ReadRequest *request, int64 below, int64 last)
{
	Lane	   *lane = request->lane;

	lane->floor_reached = request->cut ? last : below;
	if (request->cut)
		return;
	lane->floor_goal = lane->floor_reached;
	lane->floor_looked = request->upto_id;
}

/*
 * What is due is in; the first row that is not sets the timer, even if it is
 * another worker's.
 */
static void
due_read(Lane *lane, const QueueRow *rows, int nrows, bool all, Instant now)
{
	for (int i = 0; i < nrows; i++)
	{
		if (rows[i].deliver_after > clock_wall(now) && !lane->policy.gone)
		{
			lane->next_due = rows[i].deliver_after;
			break;
		}
		lane->due_after = rows[i].deliver_after;
		lane->due_after_id = rows[i].event_id;
	}
	if (!all && lane->next_due == NO_TIME)
		lane->next_due = DUE_NOW;
}

/* ---------------------------------------------------------------------
 * Reading
 * ---------------------------------------------------------------------
 */

/*
 * rows are in the order that the request asked for; fewer than its limit
 * means that there are no more, unless the read was cut.
 */
void
window_rows_read(const ReadRequest *request, const QueueRow *rows,
				   int nrows, Instant now)
{
	Lane	   *lane = request->lane;
	bool		all = nrows < request->limit && !request->cut;
	int64		last = request->cut ? request->cut_id :
		nrows > 0 ? rows[nrows - 1].event_id : request->after_id;

	if (request->kind == READ_RETRIES)
	{
		retries_read(request, rows, nrows, now);
		return;
	}
	if (request->kind == READ_FLOOR)
	{
		floor_read(request, all ? request->upto_id : id_before(last), last);
		return;
	}
	if (request->kind != READ_SWEEP)
		lane->walks = request->cut;
	if (request->kind == READ_DUE)
		lane->next_due = NO_TIME;
	if (request->kind == READ_RANGE || request->kind == READ_SWEEP)
		forget_missing(request, rows, nrows, all ? request->upto_id : last, now);
	forget_changed(lane, rows, nrows, now);
	lane->hastening = lane->hastens && request->kind == READ_AHEAD;
	for (int i = 0; i < nrows; i++)
		add_row(request, &rows[i], now);
	lane->hastening = false;

	switch (request->kind)
	{
		case READ_AHEAD:
			lane->cursor = Max(lane->cursor, last);
			if (all)
				lane->more = lane->hastens = false;
			break;
		case READ_RANGE:
			if (!all)
				lane->ranges[0].after = last;
			else
			{
				lane->nranges--;
				memmove(&lane->ranges[0], &lane->ranges[1],
						lane->nranges * sizeof(Range));
			}
			break;
		case READ_SWEEP:
			lane->sweep.after = last;
			if (all)
			{
				forget_unseen(lane, lane->sweep.upto, now);
				reading_swept(lane);
			}
			break;
		case READ_FLOOR:
			break;
		case READ_HUNGRY:
			order_feed(lane, request->after_id, last, all);
			break;
		case READ_DUE:
			due_read(lane, rows, nrows, all, now);
			break;
		case READ_RETRIES:
			break;				/* see above */
	}

	/* that a read was cut says that it took long, and not that it was too small */
	if ((request->kind == READ_AHEAD || request->kind == READ_RANGE) && !request->cut)
		lane->barren = all || lane->nready > lane->nretries ? 0 : Min(lane->barren + 1, 6);
}

/*
 * An item that was taken while its lane had no order joins its key's queue, so
 * that the later ones wait for it.  One that will not be sent again does not.
 */
static void
join_key(QueueItem *item, Instant now)
{
	bool		running = item->state == ITEM_IN_FLIGHT ||
		(item->state == ITEM_DECIDED && item->verdict == VERDICT_RETRY);

	if (!running || item->key != NULL || !item->row.has_key)
		return;
	item->key = order_key(item->lane, item->row.ordering_key);
	item->key->nitems++;
	item->key->running++;
}

static void
discard_waiting(QueueItem *item, Instant now)
{
	if (item->state != ITEM_IN_FLIGHT && item->state != ITEM_DECIDED)
		items_discard(item, now);
}

/* Forget what waits, to read it again under other rules. */
void
window_forget_waiting(Lane *lane, Instant now)
{
	items_each(lane, discard_waiting, now);
	parked_forget_lane(lane);
	order_forget_spilled(lane);
	lane->cursor = 0;
	lane->more = true;
	lane->nranges = 0;
	lane->sweeps = lane->sweeps_again = lane->hastens = false;

	if (lane_is_ordered(lane))
		items_each(lane, join_key, now);
}

/* What is in flight, or not recorded yet, is seen to when it comes back. */
void
window_hasten(Lane *lane, Instant now)
{
	dlist_mutable_iter iter;

	lane->hastened_at = now;
	lane->hastens = lane->more;
	dlist_foreach_modify(iter, &lane->timed)
	{
		QueueItem  *item = dlist_container(QueueItem, in_timed, iter.cur);

		if (item->row.retry_at == NO_TIME)
			continue;			/* it was put off */
		order_withdraw(item);
		item->ready_at = now;
		order_offer(item, now);
	}
	parked_hasten_all(lane, now);
}

/* ---------------------------------------------------------------------
 * Sending
 * ---------------------------------------------------------------------
 */

void
window_take(QueueItem *item)
{
	order_withdraw(item);
	item->state = ITEM_IN_FLIGHT;
	if (item->key != NULL)
	{
		dlist_delete(&item->in_key);
		item->key->running++;
	}
}

void
window_release_key(QueueItem *item, Instant now)
{
	if (item->key == NULL)
		return;
	item->key->running--;
	order_promote(item->key, now);
}

/*
 * After all that waits was forgotten, what precedes it may not have been read, or there
 * was no room for that: it is, later, together with it.
 */
static bool
is_ahead(const QueueItem *item)
{
	const KeyQueue *key = item->key;

	return key != NULL && (item->id.event_id > item->lane->cursor ||
						   (key->spilled && item->id.event_id >= key->spilled_from));
}

/* It was only to be given up, and its destination is back meanwhile. */
static bool
is_early(const QueueItem *item, Instant now)
{
	return item->early && !item->lane->policy.gone && item->row.deliver_after > clock_wall(now);
}

void
window_return(QueueItem *item, Instant now)
{
	if (is_early(item, now))
	{
		wait_for_due(item->lane, item->row.deliver_after);
		window_release_key(item, now);
		items_free(item);
		return;
	}
	if (is_ahead(item))
	{
		item->lane->more |= item->id.event_id > item->lane->cursor;
		window_release_key(item, now);
		items_free(item);
		return;
	}
	item->state = ITEM_WAITING;
	if (park_item(item, false, now))
		return;
	if (item->key != NULL)
	{
		item->key->running--;
		order_insert(item->key, item, now);
	}
	else
		order_offer(item, now);
}
