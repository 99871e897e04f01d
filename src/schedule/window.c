/*-------------------------------------------------------------------------
 *
 * window.c
 *		The rows of a lane that are in memory, and their order.
 *
 * Order per user.  Items with an ordering key belong to the key's queue, which
 * is sorted by event id; only its first item is offered for sending, and none
 * while one is in flight or waits for its retry.  Of a key only its first
 * KEY_ITEMS or so are kept; all rows from some id on are left in the table
 * ("spilled").  When the key has moved on and little is left of it, it is
 * "hungry": its rows are read again, from that id on.  Such a read feeds all
 * hungry keys whose first missing row lies in it.
 *
 * Reading (reading.c says what).  Rows of other workers' shares are read with
 * the rest, and passed over.  Rows whose deliver_after has come are looked up by
 * that, but must not overtake their user's: beyond the cursor, they are left to
 * be read ahead.
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
static HTAB *keys;				/* by KeyQueueKey */
static pairingheap *item_timers;
static int	my_share = 0;
static int	nshares = 1;

/* Earliest first: the pairing heap hands out the largest. */
static int
later_item(const pairingheap_node *a, const pairingheap_node *b, void *arg)
{
	Instant		ta = pairingheap_const_container(QueueItem, in_timers, a)->ready_at;
	Instant		tb = pairingheap_const_container(QueueItem, in_timers, b)->ready_at;

	return ta < tb ? 1 : ta > tb ? -1 : 0;
}

static int
later_key(const pairingheap_node *a, const pairingheap_node *b, void *arg)
{
	int64		ka = pairingheap_const_container(KeyQueue, in_hungry, a)->spilled_from;
	int64		kb = pairingheap_const_container(KeyQueue, in_hungry, b)->spilled_from;

	return ka < kb ? 1 : ka > kb ? -1 : 0;
}

static HTAB *
make_table(MemoryContext context, const char *name, Size keysize, Size entrysize)
{
	HASHCTL		info = {0};

	info.keysize = keysize;
	info.entrysize = entrysize;
	info.hcxt = context;
	return hash_create(name, 256, &info, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

void
window_init(int share, int shares, MemoryContext context)
{
	my_share = share;
	nshares = shares;
	items = make_table(context, "rswebhook items", sizeof(QueueItemId), sizeof(QueueItem));
	keys = make_table(context, "rswebhook keys", sizeof(KeyQueueKey), sizeof(KeyQueue));
	item_timers = pairingheap_allocate(later_item, NULL);
}

void
window_init_lane(Lane *lane)
{
	dlist_init(&lane->ready);
	lane->hungry.ph_compare = later_key;
	lane->more = true;
}

/* Take an item out of wherever it waits; it is the caller's then. */
static void
item_withdraw(QueueItem *item)
{
	if (item->state == ITEM_READY)
	{
		dlist_delete(&item->in_ready);
		item->lane->nready--;
	}
	else if (item->state == ITEM_TIMED)
		pairingheap_remove(item_timers, &item->in_timers);
	item->state = ITEM_WAITING;
}

/*
 * Offer an item for sending, when its time has come.  What is owed to a
 * destination that is gone waits for nothing: it is only to be given up.  One
 * for which there was no room goes first: its lane waits for that room.
 */
static void
item_offer(QueueItem *item, Instant now)
{
	if (item->ready_at > now && !item->lane->policy.gone)
	{
		pairingheap_add(item_timers, &item->in_timers);
		item->state = ITEM_TIMED;
		return;
	}
	if (item->size > 0)
		dlist_push_head(&item->lane->ready, &item->in_ready);
	else
		dlist_push_tail(&item->lane->ready, &item->in_ready);
	item->lane->nready++;
	item->state = ITEM_READY;
}

/* Offer the first item of a key, if none of the key is on its way. */
static void
key_promote(KeyQueue *key, Instant now)
{
	QueueItem  *first;

	if (key->running > 0 || dlist_is_empty(&key->waiting))
		return;
	first = dlist_head_element(QueueItem, in_key, &key->waiting);
	if (first->state == ITEM_WAITING)
		item_offer(first, now);
}

/* Put an item into its key's queue, which is sorted by event id. */
static void
key_insert(KeyQueue *key, QueueItem *item, Instant now)
{
	QueueItem  *first = NULL;
	QueueItem  *before = NULL;
	dlist_iter	iter;

	if (!dlist_is_empty(&key->waiting))
		first = dlist_head_element(QueueItem, in_key, &key->waiting);

	/* nearly always the last one */
	dlist_reverse_foreach(iter, &key->waiting)
	{
		QueueItem  *other = dlist_container(QueueItem, in_key, iter.cur);

		if (other->id.event_id < item->id.event_id)
		{
			before = other;
			break;
		}
	}
	if (before != NULL)
		dlist_insert_after(&before->in_key, &item->in_key);
	else
	{
		dlist_push_head(&key->waiting, &item->in_key);
		if (first != NULL)
			item_withdraw(first);	/* the first one so far was on offer */
	}
	key_promote(key, now);
}

/*
 * From spilled_from on, all rows of the key are in the table only.  It is not
 * hungry afterwards.
 */
static void
key_spill(KeyQueue *key, int64 spilled_from)
{
	if (key->hungry)
		pairingheap_remove(&key->lane->hungry, &key->in_hungry);
	key->hungry = false;
	key->spilled = true;
	key->spilled_from = spilled_from;
}

/* Want the spilled rows back, once little is left of the key. */
static void
key_check_hunger(KeyQueue *key)
{
	if (key->spilled && !key->hungry && key->nitems <= KEY_ITEMS / 2)
	{
		key->hungry = true;
		pairingheap_add(&key->lane->hungry, &key->in_hungry);
	}
}

static void
key_forget(KeyQueue *key)
{
	KeyQueueKey id = key->id;

	hash_search(keys, &id, HASH_REMOVE, NULL);
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
			key_forget(key);
		else
			key_check_hunger(key);
	}
}

/* Take a waiting item out of its lists and forget it. */
static void
item_discard(QueueItem *item, Instant now)
{
	KeyQueue   *key = item->key;

	item_withdraw(item);
	if (key != NULL)
	{
		dlist_delete(&item->in_key);
		key_promote(key, now);
	}
	window_free(item);
}

static KeyQueue *
find_key(Lane *lane, int64 ordering_key)
{
	KeyQueueKey id = {ordering_key, lane->destination_id, 0};
	bool		found;
	KeyQueue   *key = hash_search(keys, &id, HASH_ENTER, &found);

	if (!found)
	{
		key->lane = lane;
		dlist_init(&key->waiting);
		key->running = 0;
		key->nitems = 0;
		key->spilled = false;
		key->hungry = false;
	}
	return key;
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
		key_spill(key, event_id);
		return false;
	}

	/* the new row committed late, and goes before the last item */
	key_spill(key, last->id.event_id);
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
	if (lane->next_due == 0 || deliver_after < lane->next_due)
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
	item->ready_at = row->retry_at == 0 ? 0 :
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
		key = find_key(lane, row->ordering_key);
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
		key_insert(key, item, now);
	}
	else
		item_offer(item, now);
}

/*
 * A read for hungry keys has seen all rows up to this id (all: whatever there
 * is): those whose missing rows began there are fed, or look further on.  Keys
 * that met a row for which there was no room are hungry no more.
 */
static void
feed_hungry(Lane *lane, int64 after, int64 upto, bool all)
{
	while (!pairingheap_is_empty(&lane->hungry))
	{
		KeyQueue   *key = pairingheap_container(KeyQueue, in_hungry,
												pairingheap_first(&lane->hungry));

		if (key->spilled_from <= after || (key->spilled_from > upto && !all))
			break;
		key_spill(key, upto + 1);
		if (all)
			key->spilled = false;
		if (key->nitems == 0 && !key->spilled)
			key_forget(key);
		else
			key_check_hunger(key);
	}
}

/* ---------------------------------------------------------------------
 * Reading
 * ---------------------------------------------------------------------
 */

/*
 * rows are in the order that the request asked for; fewer than its limit
 * means that there are no more.
 */
void
window_rows_read(const ReadRequest *request, const QueueRow *rows,
				   int nrows, Instant now)
{
	Lane	   *lane = request->lane;
	bool		all = nrows < request->limit;
	int64		last = nrows > 0 ? rows[nrows - 1].event_id : request->after_id;

	if (request->kind == READ_DUE)
		lane->next_due = 0;
	if (request->kind == READ_RANGE)
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
		case READ_HUNGRY:
			feed_hungry(lane, request->after_id, last, all);
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
			if (!all && lane->next_due == 0)
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
	item->key = find_key(item->lane, item->row.ordering_key);
	item->key->nitems++;
	item->key->running++;
}

/* Forget what waits, to read it again under other rules. */
void
window_forget_waiting(Lane *lane, Instant now)
{
	HASH_SEQ_STATUS scan;
	QueueItem  *item;
	KeyQueue   *key;

	hash_seq_init(&scan, items);
	while ((item = hash_seq_search(&scan)) != NULL)
	{
		if (item->lane == lane &&
			item->state != ITEM_IN_FLIGHT && item->state != ITEM_DECIDED)
			item_discard(item, now);
	}

	/* the keys that are left have items on their way, or only spilled rows */
	hash_seq_init(&scan, keys);
	while ((key = hash_seq_search(&scan)) != NULL)
	{
		if (key->lane != lane)
			continue;
		key->spilled = false;
		key->hungry = false;
		if (key->nitems == 0)
			key_forget(key);
	}
	pairingheap_reset(&lane->hungry);
	lane->cursor = 0;
	lane->more = true;
	lane->nranges = 0;

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

Lane *
window_offer_timed(Instant now)
{
	QueueItem  *item;

	if (pairingheap_is_empty(item_timers))
		return NULL;
	item = pairingheap_container(QueueItem, in_timers, pairingheap_first(item_timers));
	if (item->ready_at > now)
		return NULL;
	item_withdraw(item);
	item_offer(item, now);
	return item->lane;
}

Instant
window_next_retry(void)
{
	if (pairingheap_is_empty(item_timers))
		return 0;
	return pairingheap_container(QueueItem, in_timers,
								 pairingheap_first(item_timers))->ready_at;
}

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
	key_promote(item->key, now);
}

void
window_return(QueueItem *item, Instant now)
{
	item->state = ITEM_WAITING;
	if (item->key != NULL)
	{
		item->key->running--;
		key_insert(item->key, item, now);
	}
	else
		item_offer(item, now);
}
