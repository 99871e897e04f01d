/*-------------------------------------------------------------------------
 *
 * bundle.c
 *		Which events go with the one that goes next.
 *
 * Those of a set go with those of the same set only, and what was never tried with
 * the like.  A user's later events go with the first one, and so behind it in the same
 * request: whoever makes it has them in the order of their ids.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "schedule/lane.h"

/* Followers of all lanes: each takes memory for what becomes of it. */
#define MOST_FOLLOWERS	65536

/* So many are looked at for each that may go. */
#define LOOKS_EACH		2

static bool
may_join(const QueueItem *leader, const QueueItem *item, Instant now)
{
	return item->set == leader->set && !item->alone && !item->early && item->size == 0 &&
		item->ready_at <= now && (item->row.retry_at != NO_TIME) == leader->retry;
}

/* What fails goes again as it was, whatever that is of the rate. */
static bool
has_tokens(const Lane *lane, const QueueItem *leader)
{
	return lane->policy.rate_limit <= 0 || leader->set != NULL || lane->tokens >= 1.0;
}

static void
join(QueueItem *leader, QueueItem *item, Instant now)
{
	window_take(item);
	company_join(leader, item, now);
	if (item->lane->policy.rate_limit > 0)
		item->lane->tokens -= 1.0;
}

static int
join_set(QueueItem *leader, QueueItem **joined, int most, Instant now)
{
	int			count = 0;
	dlist_iter	iter;

	dlist_foreach(iter, &leader->set->items)
	{
		QueueItem  *item = dlist_container(QueueItem, in_set, iter.cur);

		if (count == most)
			break;
		if (item->state != ITEM_READY || !may_join(leader, item, now))
			continue;
		join(leader, item, now);
		joined[count++] = item;
	}
	return count;
}

static int
join_ready(QueueItem *leader, QueueItem **joined, int most, Instant now)
{
	Lane	   *lane = leader->lane;
	int			looks = LOOKS_EACH * most;
	int			count = 0;
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &lane->ready[leader->retry])
	{
		QueueItem  *item = dlist_container(QueueItem, in_ready, iter.cur);

		if (count == most || looks-- == 0 || !has_tokens(lane, leader))
			break;
		if (!may_join(leader, item, now))
			continue;
		join(leader, item, now);
		joined[count++] = item;
	}
	return count;
}

/* The next one of a user of whom all that is on its way goes in the same request; NULL: none. */
static QueueItem *
behind(const QueueItem *item)
{
	QueueItem  *next;

	if (item->key == NULL || dlist_is_empty(&item->key->waiting))
		return NULL;
	next = dlist_head_element(QueueItem, in_key, &item->key->waiting);
	return next->state == ITEM_WAITING ? next : NULL;
}

static int
join_behind(QueueItem *leader, QueueItem **joined, int count, int most, Instant now)
{
	for (int i = -1; i < count && count < most && has_tokens(leader->lane, leader); i++)
	{
		QueueItem  *next = behind(i < 0 ? leader : joined[i]);

		if (next == NULL || !may_join(leader, next, now))
			continue;
		join(leader, next, now);
		joined[count++] = next;
	}
	return count;
}

int
bundle_form(QueueItem *leader, QueueItem **joined, int most, Instant now)
{
	Lane	   *lane = leader->lane;
	int			count;

	if (!company_is_wanted(lane) || leader->alone)
		return 0;
	if (leader->set == NULL && lane->probe == leader)
		return 0;				/* no more than it takes to see whether it works */
	most = Min(most, (leader->set != NULL ? lane->policy.batch_size : company_most(lane)) - 1);
	most = Max(0, Min(most, MOST_FOLLOWERS - company_count()));
	count = leader->set != NULL ? join_set(leader, joined, most, now) :
		join_ready(leader, joined, most, now);
	return join_behind(leader, joined, count, most, now);
}

/* One of the requests has the place that was taken for all. */
void
bundle_split(QueueItem **items, int count)
{
	for (int i = 0; i < count; i++)
	{
		if (items[i]->leader == NULL)
			return;
	}
	for (int i = 0; i < count; i++)
		company_follow(items[i], items[0]);
	pace_take_besides(items[0]);
}
