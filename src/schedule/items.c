/*-------------------------------------------------------------------------
 *
 * items.c
 *		The rows of all lanes that are in memory, one by one.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "schedule/lane.h"

int			items_most = LANE_ITEMS;

static HTAB *items;				/* by QueueItemId */

void
items_init(MemoryContext context)
{
	items = lane_make_table(context, "rswebhook items", sizeof(QueueItemId), sizeof(QueueItem));
}

int
items_count(void)
{
	return (int) hash_get_num_entries(items);
}

/*
 * That time may have been stored by a clock that was wrong: it is never further away
 * than its destination's longest pause.
 */
Instant
items_ready_at(const Lane *lane, const QueueRow *row, Instant now)
{
	return row->retry_at == NO_TIME ? 0 :
		Min(clock_due(row->retry_at, lane->policy.max_wait_us, now),
			now + (lane->hastening ? 0 : lane->policy.max_wait_us));
}

void
items_set_row(QueueItem *item, const QueueRow *row, Instant now)
{
	item->row = *row;
	item->seen = item->lane->sweep_number;
	item->early = row->deliver_after > clock_wall(now);
	item->ready_at = items_ready_at(item->lane, row, now);
}

QueueItem *
items_add(Lane *lane, const QueueRow *row, KeyQueue *key, Instant now)
{
	QueueItemId id = {row->event_id, row->destination_id, 0};
	QueueItem  *item = hash_search(items, &id, HASH_ENTER, NULL);

	item->lane = lane;
	item->key = key;
	item->state = ITEM_WAITING;
	item->bytes = 0;
	item->size = 0;
	item->alone = false;
	items_set_row(item, row, now);
	lane->nitems++;
	if (key != NULL)
		key->nitems++;
	return item;
}

void
items_free(QueueItem *item)
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

void
items_discard(QueueItem *item, Instant now)
{
	KeyQueue   *key = item->key;

	order_withdraw(item);
	if (key != NULL)
	{
		dlist_delete(&item->in_key);
		order_promote(key, now);
	}
	items_free(item);
}

QueueItem *
items_find(const Lane *lane, int64 event_id)
{
	QueueItemId id = {event_id, lane->destination_id, 0};

	return hash_search(items, &id, HASH_FIND, NULL);
}

QueueItem *
items_find_waiting(const Lane *lane, int64 event_id)
{
	QueueItem  *item = items_find(lane, event_id);

	if (item == NULL || item->state == ITEM_IN_FLIGHT || item->state == ITEM_DECIDED)
		return NULL;
	return item;
}

void
items_each(const Lane *lane, void (*f) (QueueItem *item, Instant now), Instant now)
{
	HASH_SEQ_STATUS scan;
	QueueItem  *item;

	hash_seq_init(&scan, items);
	while ((item = hash_seq_search(&scan)) != NULL)
	{
		if (item->lane == lane)
			f(item, now);
	}
}
