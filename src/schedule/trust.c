/*-------------------------------------------------------------------------
 *
 * trust.c
 *		Users whose last answers were good, who tell most of a destination.
 *
 * MAX_TRUSTED of a lane are known.  Who was good more than once is proven, and forgotten
 * only for others that are, so that whoever makes up users, each of them good once, puts
 * none of these out.  In Lane.trusted they come last, after the new ones; in each kind
 * the one that was answered last is at the end.  Who fails is none of them until the next
 * good answer.
 *
 * What is known is to be saved while others fail, so that the next worker need not find
 * these users among them.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "schedule/lane.h"

/* The others are left to users that are new. */
#define MAX_PROVEN		(MAX_TRUSTED * 3 / 4)

static dlist_head unsaved;		/* lanes of which others are trusted than the table says */

void
trust_init(void)
{
	dlist_init(&unsaved);
}

/* -1: the user is not trusted. */
static int
find(const Lane *lane, int64 user)
{
	for (int i = lane->ntrusted - 1; i >= 0; i--)
	{
		if (lane->trusted[i] == user)
			return i;
	}
	return -1;
}

static void
take_out(Lane *lane, int i)
{
	lane->ntrusted--;
	if (i > lane->ntrusted - lane->nproven)
		lane->nproven--;
	memmove(&lane->trusted[i], &lane->trusted[i + 1], (lane->ntrusted - i) * sizeof(int64));
}

bool
trust_has(const Lane *lane, const QueueRow *row)
{
	return row->has_key && find(lane, row->ordering_key) >= 0;
}

static void
put_in(Lane *lane, int i, int64 user)
{
	memmove(&lane->trusted[i + 1], &lane->trusted[i], (lane->ntrusted - i) * sizeof(int64));
	lane->trusted[i] = user;
	lane->ntrusted++;
}

static void
add_new(Lane *lane, int64 user)
{
	if (lane->ntrusted == MAX_TRUSTED)
		take_out(lane, 0);
	put_in(lane, lane->ntrusted - lane->nproven, user);
}

/* The one of them for whom that is longest ago is the last of the new ones, if they are too many. */
void
trust_add_proven(Lane *lane, int64 user)
{
	int			i = find(lane, user);

	if (i >= 0)
		take_out(lane, i);
	else if (lane->ntrusted == MAX_TRUSTED)
		take_out(lane, 0);
	put_in(lane, lane->ntrusted, user);
	lane->nproven = Min(lane->nproven + 1, MAX_PROVEN);
}

void
trust_note_good(Lane *lane, const QueueRow *row)
{
	int			nproven = lane->nproven;

	if (!row->has_key)
		return;
	if (find(lane, row->ordering_key) >= 0)
		trust_add_proven(lane, row->ordering_key);
	else
	{
		add_new(lane, row->ordering_key);
		lane->trust_changed = lane->trust_grew = true;
	}
	lane->trust_changed |= lane->nproven != nproven;
}

bool
trust_note_bad(Lane *lane, const QueueRow *row)
{
	int			i = row->has_key ? find(lane, row->ordering_key) : -1;

	if (i < 0)
		return false;
	take_out(lane, i);
	lane->trust_changed = true;
	return true;
}

/* ---------------------------------------------------------------------
 * Lanes to be saved
 * ---------------------------------------------------------------------
 */

void
trust_mark_unsaved(Lane *lane)
{
	if (!lane->trust_unsaved)
		dlist_push_tail(&unsaved, &lane->trust_node);
	lane->trust_unsaved = true;
}

void
trust_settle(Lane *lane)
{
	if (lane->trust_changed && (lane->failing > 0 || lane->breaker.open || lane->hung_lately > 0))
		trust_mark_unsaved(lane);
}

void
trust_forget(Lane *lane)
{
	if (lane->trust_unsaved)
		dlist_delete(&lane->trust_node);
	lane->trust_unsaved = false;
}

Lane *
trust_next_unsaved(void)
{
	Lane	   *lane;

	if (dlist_is_empty(&unsaved))
		return NULL;
	lane = dlist_container(Lane, trust_node, dlist_pop_head_node(&unsaved));
	lane->trust_unsaved = lane->trust_changed = false;
	return lane;
}

bool
trust_is_unsaved(void)
{
	return !dlist_is_empty(&unsaved);
}
