/*-------------------------------------------------------------------------
 *
 * order.c
 *		In what order the rows of a lane go: a user's one after the other, and each
 *		when its time has come.
 *
 * Items with an ordering key belong to the key's queue, which is sorted by event
 * id; only its first item is offered for sending, and none while one is in
 * flight or waits for its retry.  Of a key only its first KEY_ITEMS or so are
 * kept; all rows from some id on are left in the table ("spilled").  When the key
 * has moved on and little is left of it, it is "hungry": its rows are read again,
 * from that id on.  Such a read feeds all hungry keys whose first missing row
 * lies in it.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "schedule/lane.h"

/* Events of users that have become trusted are sought among all that are ready so often. */
#define SEEK_EACH_US	(200 * 1000)

static HTAB *keys;				/* by KeyQueueKey */
static pairingheap *item_timers;

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

void
order_init(MemoryContext context)
{
	keys = lane_make_table(context, "rswebhook keys", sizeof(KeyQueueKey), sizeof(KeyQueue));
	item_timers = pairingheap_allocate(later_item, NULL);
}

void
order_init_lane(Lane *lane)
{
	dlist_init(&lane->ready[false]);
	dlist_init(&lane->ready[true]);
	dlist_init(&lane->ready_trusted);
	dlist_init(&lane->timed);
	lane->hungry.ph_compare = later_key;
}

void
order_withdraw(QueueItem *item)
{
	if (item->state == ITEM_READY)
	{
		dlist_delete(&item->in_ready);
		if (item->trusted)
			dlist_delete(&item->in_trusted);
		item->trusted = false;
		item->lane->nready--;
		item->lane->nretries -= item->retry;
	}
	else if (item->state == ITEM_TIMED)
	{
		pairingheap_remove(item_timers, &item->in_timers);
		dlist_delete(&item->in_timed);
	}
	item->state = ITEM_WAITING;
}

/*
 * Offer an item for sending, when its time has come.  What is owed to a
 * destination that is gone waits for nothing: it is only to be given up.  One
 * for which there was no room goes first: its lane waits for that room.
 */
void
order_offer(QueueItem *item, Instant now)
{
	if (item->ready_at > now && !item->lane->policy.gone)
	{
		pairingheap_add(item_timers, &item->in_timers);
		dlist_push_tail(&item->lane->timed, &item->in_timed);
		item->state = ITEM_TIMED;
		return;
	}
	item->retry = item->row.retry_at != NO_TIME && !item->lane->policy.gone;
	if (item->size > 0)
		dlist_push_head(&item->lane->ready[item->retry], &item->in_ready);
	else
		dlist_push_tail(&item->lane->ready[item->retry], &item->in_ready);
	item->lane->nready++;
	item->lane->nretries += item->retry;
	item->state = ITEM_READY;
	item->trusted = !item->retry && trust_has(item->lane, &item->row);
	if (item->trusted)
		dlist_push_tail(&item->lane->ready_trusted, &item->in_trusted);
}

/* Without order, a user may have been found to be good when its other events were ready. */
static void
seek_trusted(Lane *lane, Instant now)
{
	dlist_iter	iter;

	if (!lane->trust_grew || lane_is_ordered(lane) || now - lane->sought_at < SEEK_EACH_US)
		return;
	lane->trust_grew = false;
	lane->sought_at = now;
	dlist_foreach(iter, &lane->ready[false])
	{
		QueueItem  *item = dlist_container(QueueItem, in_ready, iter.cur);

		if (!item->trusted && trust_has(lane, &item->row))
		{
			item->trusted = true;
			dlist_push_tail(&lane->ready_trusted, &item->in_trusted);
		}
	}
}

QueueItem *
order_trusted(Lane *lane, Instant now)
{
	seek_trusted(lane, now);
	while (!dlist_is_empty(&lane->ready_trusted))
	{
		QueueItem  *item = dlist_head_element(QueueItem, in_trusted, &lane->ready_trusted);

		if (trust_has(lane, &item->row))
			return item;
		dlist_delete(&item->in_trusted);	/* not any more */
		item->trusted = false;
	}
	return NULL;
}

/* Another one each time, from all over the list: it is walked, as this is rare. */
static QueueItem *
any_fresh(Lane *lane)
{
	uint32		nfresh = lane->nready - lane->nretries;
	uint32		steps = ((uint64) (++lane->picks * 2654435769U) * nfresh) >> 32;
	dlist_iter	iter;

	dlist_foreach(iter, &lane->ready[false])
	{
		if (steps-- == 0)
			return dlist_container(QueueItem, in_ready, iter.cur);
	}
	return dlist_head_element(QueueItem, in_ready, &lane->ready[false]);
}

/* One for which there was no room goes first, whatever is wanted, or each would be fetched in vain. */
QueueItem *
order_ready(Lane *lane, Choice choice)
{
	bool		retry = choice == CHOOSE_RETRY;
	QueueItem  *first;

	if (lane->nretries == 0 || lane->nretries == lane->nready)
		retry = lane->nretries > 0;
	first = dlist_head_element(QueueItem, in_ready, &lane->ready[retry]);
	if (!retry && choice == CHOOSE_NEWEST && first->size == 0)
		return dlist_tail_element(QueueItem, in_ready, &lane->ready[retry]);
	if (!retry && choice == CHOOSE_ANY && first->size == 0)
		return any_fresh(lane);
	return first;
}

void
order_promote(KeyQueue *key, Instant now)
{
	QueueItem  *first;

	if (key->running > 0 || dlist_is_empty(&key->waiting))
		return;
	first = dlist_head_element(QueueItem, in_key, &key->waiting);
	if (first->state == ITEM_WAITING)
		order_offer(first, now);
}

/* Put an item into its key's queue, which is sorted by event id. */
void
order_insert(KeyQueue *key, QueueItem *item, Instant now)
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
			order_withdraw(first);	/* it was on offer; it is not first any more */
	}
	order_promote(key, now);
}

/*
 * From spilled_from on, all rows of the key are in the table only.  It is not
 * hungry afterwards.
 */
void
order_spill(KeyQueue *key, int64 spilled_from)
{
	if (key->hungry)
		pairingheap_remove(&key->lane->hungry, &key->in_hungry);
	key->hungry = false;
	key->spilled = true;
	key->spilled_from = spilled_from;
}

/* Want the spilled rows back, once little is left of the key. */
void
order_check_hunger(KeyQueue *key)
{
	if (key->spilled && !key->hungry && key->nitems <= KEY_ITEMS / 2)
	{
		key->hungry = true;
		pairingheap_add(&key->lane->hungry, &key->in_hungry);
	}
}

void
order_unspill(KeyQueue *key)
{
	if (key->hungry)
		pairingheap_remove(&key->lane->hungry, &key->in_hungry);
	key->hungry = key->spilled = false;
}

void
order_forget_key(KeyQueue *key)
{
	KeyQueueKey id = key->id;

	hash_search(keys, &id, HASH_REMOVE, NULL);
}

KeyQueue *
order_find(const Lane *lane, int64 ordering_key)
{
	KeyQueueKey id = {ordering_key, lane->destination_id, 0};

	return hash_search(keys, &id, HASH_FIND, NULL);
}

KeyQueue *
order_key(Lane *lane, int64 ordering_key)
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

void
order_check_hunger_of(Lane *lane, int64 ordering_key)
{
	KeyQueue   *key = order_find(lane, ordering_key);

	if (key != NULL && key->nitems == 0)
		order_check_hunger(key);
}

/*
 * A read for hungry keys has seen all rows up to this id (all: whatever there
 * is): those whose missing rows began there are fed, or look further on.  Keys
 * that met a row for which there was no room are hungry no more.
 */
void
order_feed(Lane *lane, int64 after, int64 upto, bool all)
{
	while (!pairingheap_is_empty(&lane->hungry))
	{
		KeyQueue   *key = pairingheap_container(KeyQueue, in_hungry,
												pairingheap_first(&lane->hungry));

		if (key->spilled_from <= after || (key->spilled_from > upto && !all))
			break;
		order_spill(key, id_after(upto));
		if (all)
			key->spilled = false;
		if (key->nitems == 0 && !key->spilled)
			order_forget_key(key);
		else
			order_check_hunger(key);
	}
}

void
order_forget_spilled(Lane *lane)
{
	HASH_SEQ_STATUS scan;
	KeyQueue   *key;

	hash_seq_init(&scan, keys);
	while ((key = hash_seq_search(&scan)) != NULL)
	{
		if (key->lane != lane)
			continue;
		key->spilled = false;
		key->hungry = false;
		if (key->nitems == 0)
			order_forget_key(key);
	}
	pairingheap_reset(&lane->hungry);
}

Lane *
order_offer_timed(Instant now)
{
	QueueItem  *item;

	if (pairingheap_is_empty(item_timers))
		return NULL;
	item = pairingheap_container(QueueItem, in_timers, pairingheap_first(item_timers));
	if (item->ready_at > now)
		return NULL;
	order_withdraw(item);
	order_offer(item, now);
	return item->lane;
}

Instant
order_next_retry(void)
{
	if (pairingheap_is_empty(item_timers))
		return 0;
	return pairingheap_container(QueueItem, in_timers,
								 pairingheap_first(item_timers))->ready_at;
}
