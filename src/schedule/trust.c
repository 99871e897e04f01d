/*-------------------------------------------------------------------------
 *
 * trust.c
 *		Users whose last answers were good, who tell most of a destination.
 *
 * The last MAX_TRUSTED of a lane are known, the one that was answered last at the
 * end.  Who fails is none of them until the next good answer.
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
	memmove(&lane->trusted[i], &lane->trusted[i + 1], (lane->ntrusted - i) * sizeof(int64));
}

bool
trust_has(const Lane *lane, const QueueRow *row)
{
	return row->has_key && find(lane, row->ordering_key) >= 0;
}

bool
trust_add(Lane *lane, int64 user)
{
	int			i = find(lane, user);

	if (i >= 0)
		take_out(lane, i);
	else if (lane->ntrusted == MAX_TRUSTED)
		take_out(lane, 0);
	lane->trusted[lane->ntrusted++] = user;
	return i < 0;
}

void
trust_note_good(Lane *lane, const QueueRow *row)
{
	if (row->has_key)
		lane->trust_changed |= trust_add(lane, row->ordering_key);
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
