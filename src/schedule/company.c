/*-------------------------------------------------------------------------
 *
 * company.c
 *		Events that go in the request of another one: a batch of their destination.
 *
 * One of them, the leader, is what is counted as a request in flight; its
 * followers take up nothing but what is here.  If the leader leaves before the others, by
 * whatever way, one of these has its place.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "schedule/lane.h"

static int	nfollowers;			/* of all lanes */

void
company_init(void)
{
	nfollowers = 0;
}

int
company_count(void)
{
	return nfollowers;
}

bool
company_is_wanted(const Lane *lane)
{
	return lane->policy.batch_size > 1 && !lane->policy.gone;
}

void
company_join(QueueItem *leader, QueueItem *item, Instant now)
{
	item->taken_at = now;
	item->leader = leader;
	item->load = 0;
	item->retry = leader->retry;
	item->as_trusted = item->feels = item->in_quarter = false;
	dlist_push_tail(&leader->company, &item->in_company);
	nfollowers++;
}

/* Out of its leader's. */
static void
follow_no_more(QueueItem *item)
{
	item->leader->total -= item->load;
	dlist_delete(&item->in_company);
	item->leader = NULL;
	nfollowers--;
}

/* All that the leader counts as is the next one's. */
static void
hand_over(QueueItem *item)
{
	Lane	   *lane = item->lane;
	QueueItem  *next = dlist_head_element(QueueItem, in_company, &item->company);

	next->total = item->total - item->load;
	dlist_delete(&next->in_company);
	next->leader = NULL;
	nfollowers--;
	while (!dlist_is_empty(&item->company))
	{
		QueueItem  *other = dlist_container(QueueItem, in_company, dlist_pop_head_node(&item->company));

		other->leader = next;
		dlist_push_tail(&next->company, &other->in_company);
	}
	if (lane->probe == item)
		lane->probe = next;
	next->retry = item->retry;
	next->as_trusted = item->as_trusted;
	next->feels = item->feels;
	next->in_quarter = item->in_quarter;
	item->as_trusted = item->feels = item->in_quarter = false;
	dlist_insert_after(&item->in_flying, &next->in_flying);
	dlist_delete(&item->in_flying);
	places_hand_over(item, next);
	room_hand_over(item, next);
}

bool
company_leave(QueueItem *item)
{
	if (item->leader != NULL)
		follow_no_more(item);
	else if (!dlist_is_empty(&item->company))
		hand_over(item);
	else
		return false;
	return true;
}

void
company_follow(QueueItem *item, QueueItem *leader)
{
	room_share(item->leader, leader, item->load);
	follow_no_more(item);
	if (item == leader)
		item->total = item->load;
	else
	{
		item->leader = leader;
		leader->total += item->load;
		dlist_push_tail(&leader->company, &item->in_company);
		nfollowers++;
	}
}

/* ---------------------------------------------------------------------
 * Waiting for it
 * ---------------------------------------------------------------------
 */

/* Are there as many as go together?  Of an ordered lane, behind those that are ready. */
static bool
is_complete(const Lane *lane)
{
	int			most = lane->policy.batch_size;
	int			count = 0;
	dlist_iter	iter;

	if (lane->nready - lane->nretries >= most)
		return true;
	if (lane->nitems < most)
		return false;
	dlist_foreach(iter, unconstify(dlist_head *, &lane->ready[false]))
	{
		const KeyQueue *key = dlist_container(QueueItem, in_ready, iter.cur)->key;

		count += key != NULL ? key->nitems - key->running : 1;
		if (count >= most)
			return true;
	}
	return false;
}

bool
company_is_there(const Lane *lane, Instant now, Instant *when)
{
	Instant		until;

	if (lane->policy.batch_wait_us == 0 || !company_is_wanted(lane) ||
		lane->nready == lane->nretries)
		return true;
	until = dlist_head_element(QueueItem, in_ready,
							   unconstify(dlist_head *, &lane->ready[false]))->offered_at +
		lane->policy.batch_wait_us;
	if (until <= now || is_complete(lane))
		return true;
	*when = until;
	return false;
}

/* ---------------------------------------------------------------------
 * How many
 * ---------------------------------------------------------------------
 */

int
company_most(const Lane *lane)
{
	int			most = lane->policy.batch_size;

	return lane->together > 0 ? Min(lane->together, most) : most;
}

/*
 * Where not all that were claimed together could go together, as they differ or are
 * too large, most would be fetched and made again and again: so no more are
 * claimed than about twice as many as fit.
 */
void
company_fitted(Lane *lane, int claimed, int fitted)
{
	if (fitted < claimed)
		lane->together = 2 * Max(fitted, 1);
	else if (lane->together > 0 && claimed >= lane->together)
		lane->together = lane->together >= lane->policy.batch_size ? 0 : 2 * lane->together;
}
