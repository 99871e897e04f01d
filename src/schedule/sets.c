/*-------------------------------------------------------------------------
 *
 * sets.c
 *		Events that went in one request and are to go together again.
 *
 * Which these are is in their rows of the queue, so it is known to the next worker, too.
 * While what became of some of them is not recorded yet, none of a set is offered:
 * the rest would go without them.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "schedule/lane.h"

static HTAB *sets;				/* by SetId */

void
sets_init(MemoryContext context)
{
	sets = lane_make_table(context, "rswebhook sets", sizeof(SetId), sizeof(EventSet));
}

void
sets_join(QueueItem *item)
{
	SetId		id = {item->row.batch, item->lane->destination_id, 0};
	bool		found;

	if (item->row.batch == 0)
		return;					/* nearly always */
	item->set = hash_search(sets, &id, HASH_ENTER, &found);
	if (!found)
	{
		dlist_init(&item->set->items);
		item->set->npending = 0;
	}
	dlist_push_tail(&item->set->items, &item->in_set);
}

void
sets_leave(QueueItem *item)
{
	EventSet   *set = item->set;
	SetId		id;

	if (set == NULL)
		return;
	(void) sets_settled(item);
	dlist_delete(&item->in_set);
	item->set = NULL;
	if (!dlist_is_empty(&set->items))
		return;
	id = set->id;
	hash_search(sets, &id, HASH_REMOVE, NULL);
}

void
sets_pend(QueueItem *item)
{
	if (item->set == NULL || item->pending)
		return;
	item->pending = true;
	item->set->npending++;
}

bool
sets_settled(QueueItem *item)
{
	if (!item->pending)
		return false;
	item->pending = false;
	return --item->set->npending == 0;
}
