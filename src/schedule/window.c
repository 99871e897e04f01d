/*-------------------------------------------------------------------------
 *
 * window.c
 *		The rows of a lane that are in memory.
 *
 * What is read (reading.c says what) comes in here, and into its order (order.c).
 * Rows of other workers' shares are read with the rest, and passed over.  Rows
 * whose deliver_after has come are looked up by that, but must not overtake their
 * user's: beyond the cursor, they are left to be read ahead.
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

static HTAB *items;				/* by QueueItemId */
static int	my_share = 0;
static int	nshares = 1;

void
window_init(int share, int shares, MemoryContext context)
{
	my_share = share;
	nshares = shares;
	items = lane_make_table(context, "rswebhook items", sizeof(QueueItemId), sizeof(QueueItem));
	order_init(context);
}

void
window_init_lane(Lane *lane)
{
	order_init_lane(lane);
	lane->more = true;
}

void
window_free(QueueItem *item)
{
	Lane	   *lane = item->lane;
	KeyQueue   *key = item->key;
	QueueItemId id = item->id;

	lane->nitems--;
	hash_search(items, &id, HASH_REMOVE, NULL);

	if (key != NULL)
	{
		key->nitems--;
		if (key->nitems == 0 && !key->spilled)
			order_forget_key(key);
		else
			order_check_hunger(key);
	}
}

/* Take a waiting item out of its lists and forget it. */
static void
item_discard(QueueItem *item, Instant now)
{
	KeyQueue   *key = item->key;

	order_withdraw(item);
	if (key != NULL)
	{
		dlist_delete(&item->in_key);
		order_promote(key, now);
	}
	window_free(item);
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
	int			room = lane->nitems < LANE_ITEMS / 2 ? KEY_ITEMS_ROOMY : KEY_ITEMS;
	QueueItem  *last;

	if (key->spilled && event_id >= key->spilled_from &&
		!(request->kind == READ_HUNGRY && key->hungry &&
		  key->spilled_from > request->after_id))
		return false;
	if (key->nitems < room || dlist_is_empty(&key->waiting))
		return true;

	last = dlist_tail_element(QueueItem, in_key, &key->waiting);
	if (last->id.event_id < event_id)
	{
		order_spill(key, event_id);
		return false;
	}

	/* this one committed late, and goes before it */
	order_spill(key, last->id.event_id);
	item_discard(last, now);
	return true;
}

/*
 * The item of a row, unless it is on its way: what became of such a row is
 * seen when it is recorded.
 */
static QueueItem *
find_waiting(int32 destination_id, int64 event_id)
{
	QueueItemId id = {event_id, destination_id, 0};
	QueueItem  *item = hash_search(items, &id, HASH_FIND, NULL);

	if (item == NULL || item->state == ITEM_IN_FLIGHT || item->state == ITEM_DECIDED)
		return NULL;
	return item;
}

/* Forget what is in memory of rows that were cancelled and replayed, or edited. */
static void
forget_changed(const QueueRow *rows, int nrows, Instant now)
{
	for (int i = 0; i < nrows; i++)
	{
		const QueueRow *row = &rows[i];
		QueueItem  *item = find_waiting(row->destination_id, row->event_id);

		if (item != NULL &&
			(item->row.queued_at != row->queued_at ||
			 item->row.attempts != row->attempts ||
			 item->row.retry_at != row->retry_at ||
			 item->row.has_key != row->has_key ||
			 item->row.ordering_key != row->ordering_key))
			item_discard(item, now);
	}
}

/*
 * Forget rows that are not there any more, of the ids from after to upto, so
 * that others do not wait for the retry of what was cancelled.  Where these
 * are too many to look for each, such a row is found missing when its time
 * has come.
 */
static void
forget_missing(const ReadRequest *request, const QueueRow *rows, int nrows,
			   int64 upto, Instant now)
{
	int64		id = request->after_id + 1;

	if (upto - id >= RANGE_IDS)
		return;
	for (int i = 0; id <= upto; id++)
	{
		QueueItem  *item;

		if (i < nrows && rows[i].event_id == id)
			i++;
		else if ((item = find_waiting(request->destination_id, id)) != NULL)
			item_discard(item, now);
	}
}

static bool
is_mine(const QueueRow *row)
{
	return share_of(row->destination_id,
					row->has_key ? row->ordering_key : row->event_id,
					nshares) == my_share;
}

static bool
is_ordered(const Lane *lane)
{
	return lane->policy.ordered && !lane->policy.gone;
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
 * When the row was to be tried again may have been stored by a clock that was
 * wrong: it is never further away than its destination's longest pause.
 */
void
window_set_row(QueueItem *item, const QueueRow *row, Instant now)
{
	item->row = *row;
	item->ready_at = row->retry_at == NO_TIME ? 0 :
		Min(clock_when(row->retry_at), now + item->lane->policy.max_wait_us);
}

/*
 * A row that was read comes into the window, unless it is there already or is
 * another worker's.
 */
static void
add_row(const ReadRequest *request, const QueueRow *row, Instant now)
{
	Lane	   *lane = request->lane;
	QueueItemId id = {row->event_id, row->destination_id, 0};
	KeyQueue   *key = NULL;
	QueueItem  *item;

	if (!is_mine(row) || hash_search(items, &id, HASH_FIND, NULL) != NULL)
		return;
	if (row->deliver_after > clock_wall(now) && !lane->policy.gone)
	{
		wait_for_due(lane, row->deliver_after);
		return;
	}

	if (row->has_key && is_ordered(lane))
	{
		/* what precedes it may not have been read: it is, later, together with it */
		if (request->kind == READ_DUE && row->event_id > lane->cursor)
		{
			lane->more = true;
			return;
		}
		key = order_key(lane, row->ordering_key);
		if (!key_has_room(key, row->event_id, request, now))
			return;
	}

	item = hash_search(items, &id, HASH_ENTER, NULL);
	item->lane = lane;
	item->key = key;
	item->state = ITEM_WAITING;
	item->bytes = 0;
	item->size = 0;
	item->alone = false;
	window_set_row(item, row, now);
	lane->nitems++;
	if (key != NULL)
	{
		key->nitems++;
		order_insert(key, item, now);
	}
	else
		order_offer(item, now);
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

	if (request->kind == READ_FLOOR)
	{
		lane->floor_reached = request->cut ? last : all ? request->upto_id : last - 1;
		if (!request->cut)
		{
			lane->floor_goal = lane->floor_reached;
			lane->floor_looked = request->upto_id;
		}
		return;
	}
	if (request->kind != READ_SWEEP)
		lane->walks = request->cut;
	if (request->kind == READ_DUE)
		lane->next_due = NO_TIME;
	if (request->kind == READ_RANGE || request->kind == READ_SWEEP)
		forget_missing(request, rows, nrows, all ? request->upto_id : last, now);
	forget_changed(rows, nrows, now);
	for (int i = 0; i < nrows; i++)
		add_row(request, &rows[i], now);

	switch (request->kind)
	{
		case READ_AHEAD:
			lane->cursor = Max(lane->cursor, last);
			if (all)
				lane->more = false;
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
			lane->sweeps = !all;
			break;
		case READ_FLOOR:
			break;
		case READ_HUNGRY:
			order_feed(lane, request->after_id, last, all);
			break;
		case READ_DUE:
			/*
			 * What is due is in; the first row that is not sets the timer,
			 * even if it is another worker's.
			 */
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
			break;
	}
}

/*
 * An item that was taken while its lane had no order joins its key's queue, so
 * that the later ones wait for it.  One that will not be sent again does not.
 */
static void
join_key(QueueItem *item)
{
	bool		running = item->state == ITEM_IN_FLIGHT ||
		(item->state == ITEM_DECIDED && item->verdict == VERDICT_RETRY);

	if (!running || item->key != NULL || !item->row.has_key)
		return;
	item->key = order_key(item->lane, item->row.ordering_key);
	item->key->nitems++;
	item->key->running++;
}

/* Forget what waits, to read it again under other rules. */
void
window_forget_waiting(Lane *lane, Instant now)
{
	HASH_SEQ_STATUS scan;
	QueueItem  *item;

	hash_seq_init(&scan, items);
	while ((item = hash_seq_search(&scan)) != NULL)
	{
		if (item->lane == lane &&
			item->state != ITEM_IN_FLIGHT && item->state != ITEM_DECIDED)
			item_discard(item, now);
	}

	order_forget_spilled(lane);
	lane->cursor = 0;
	lane->more = true;
	lane->nranges = 0;
	lane->sweeps = false;

	if (!is_ordered(lane))
		return;
	hash_seq_init(&scan, items);
	while ((item = hash_seq_search(&scan)) != NULL)
	{
		if (item->lane == lane)
			join_key(item);
	}
}

/* ---------------------------------------------------------------------
 * Sending
 * ---------------------------------------------------------------------
 */

QueueItem *
window_take(Lane *lane)
{
	QueueItem  *item = dlist_container(QueueItem, in_ready,
									   dlist_pop_head_node(&lane->ready));

	lane->nready--;
	item->state = ITEM_IN_FLIGHT;
	if (item->key != NULL)
	{
		dlist_delete(&item->in_key);
		item->key->running++;
	}
	return item;
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
 * After all that waits was forgotten, what precedes it may not have been read: it
 * is, later, together with it.
 */
static bool
is_ahead(const QueueItem *item)
{
	return item->key != NULL && item->id.event_id > item->lane->cursor;
}

void
window_return(QueueItem *item, Instant now)
{
	if (is_ahead(item))
	{
		item->lane->more = true;
		window_release_key(item, now);
		window_free(item);
		return;
	}
	item->state = ITEM_WAITING;
	if (item->key != NULL)
	{
		item->key->running--;
		order_insert(item->key, item, now);
	}
	else
		order_offer(item, now);
}
