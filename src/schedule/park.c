/*-------------------------------------------------------------------------
 *
 * park.c
 *		Which rows are parked, and how these come back.
 *
 * When a lane's window is half full, what is to be tried again waits in the table,
 * and its user's later rows with it.  parked.c knows which that are.  A user
 * has a key or is blocked by a parked row, never both, but for a key with nothing but
 * items that will not be sent again.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "schedule/lane.h"

/*
 * Shall what has to wait be parked?  If others are due, they come before it, or
 * those that are in memory would go again and again.
 */
static bool
is_to_be_parked(const Lane *lane, const QueueRow *row, Instant ready_at, Instant now)
{
	return ready_at > now && row->retry_at != NO_TIME && !lane->policy.gone &&
		(lane_is_half_full(lane) || parked_are_due(lane, now));
}

/*
 * Is it the first of all that its key has, and is nothing else on its way?  And where do
 * the others begin, 0: there are none.
 */
static bool
is_first_of(KeyQueue *key, const QueueItem *item, bool fed, int64 *later_from)
{
	int			nwaiting = 0;
	dlist_iter	iter;

	dlist_foreach(iter, &key->waiting)
		nwaiting++;
	if (nwaiting > 0)
		*later_from = dlist_head_element(QueueItem, in_key, &key->waiting)->id.event_id;
	else if (key->spilled)
		*later_from = fed ? Max(key->spilled_from, id_after(item->id.event_id)) : key->spilled_from;
	else
		*later_from = 0;
	return key->nitems == 1 + nwaiting &&
		(*later_from == 0 || *later_from > item->id.event_id);
}

bool
park_item(QueueItem *item, bool fed, Instant now)
{
	KeyQueue   *key = item->key;
	Parked	   *parked;
	int64		later_from;

	if (!is_to_be_parked(item->lane, &item->row, item->ready_at, now))
		return false;
	if (key != NULL && !is_first_of(key, item, fed, &later_from))
		return false;
	parked = parked_add(item->lane, item->id.event_id, item->ready_at);
	if (parked == NULL)
		return false;
	parked->alone = item->alone;
	if (key != NULL)
	{
		parked_block(parked, key->id.ordering_key, later_from);
		key->running = 1;		/* none of them is offered */
		while (!dlist_is_empty(&key->waiting))
			items_discard(dlist_head_element(QueueItem, in_key, &key->waiting), now);
		order_unspill(key);
	}
	items_free(item);
	return true;
}

bool
park_row(Lane *lane, const QueueRow *row, Instant now)
{
	Instant		ready_at = items_ready_at(lane, row, now);
	bool		has_key = row->has_key && lane_is_ordered(lane);
	Parked	   *parked;

	if (!is_to_be_parked(lane, row, ready_at, now) ||
		(has_key && order_find(lane, row->ordering_key) != NULL))
		return false;
	parked = parked_add(lane, row->event_id, ready_at);
	if (parked != NULL && has_key)
		parked_block(parked, row->ordering_key, 0);
	return parked != NULL;
}

/*
 * It is not parked any more, and what its user has from there on is in the table
 * only (0: nothing is).
 */
static void
unpark(Lane *lane, Parked *parked, int64 from)
{
	if (parked->has_key && from != 0)
		order_spill(order_key(lane, parked->ordering_key), from);
	parked_remove(lane, parked);
}

void
park_release(Lane *lane, Parked *parked)
{
	unpark(lane, parked, parked->later_from);
}

void
park_forget(Lane *lane, Parked *parked)
{
	bool		has_key = parked->has_key;
	int64		ordering_key = parked->ordering_key;

	unpark(lane, parked, parked->later_from);
	if (has_key)
		order_check_hunger_of(lane, ordering_key);
}

bool
park_holds_back(Lane *lane, const QueueRow *row, Instant now)
{
	bool		has_key = row->has_key && lane_is_ordered(lane);
	Parked	   *parked = parked_event(lane, row->event_id);

	if (parked != NULL && row->retry_at != NO_TIME && parked->has_key == has_key &&
		(!has_key || parked->ordering_key == row->ordering_key))
	{
		parked_hasten(lane, parked, items_ready_at(lane, row, now));
		parked_note_seen(lane, parked);
		return true;
	}
	if (parked != NULL)
		park_forget(lane, parked);

	parked = has_key ? parked_user(lane, row->ordering_key) : NULL;
	if (parked == NULL)
		return false;
	if (row->event_id < parked->event_id)
	{
		unpark(lane, parked, parked->event_id); /* it committed late, and goes first */
		return false;
	}
	if (parked->later_from == 0 || row->event_id < parked->later_from)
		parked->later_from = row->event_id;
	return true;
}
