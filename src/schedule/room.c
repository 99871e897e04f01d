/*-------------------------------------------------------------------------
 *
 * room.c
 *		The room for large events in flight, which all lanes share.
 *
 * Events up to a certain size take up none: a quarter of what there is is put
 * by for them, an equal part for each request that may be in flight.  The rest
 * is for larger ones.  Who gets how much of it depends on how soon destinations
 * have given back what they took:
 *
 * - The last quarter is for those that answer soon, a single event each.  So
 *   however many hang, the others find room.
 * - Those that are slow or fail have half of it together.  So one that was never
 *   heard of need not wait for those that are known to hang.
 * - However busy the others are, both kinds have a little of that quarter, too.
 * - A lane has one large event in flight at first, twice as much with each that
 *   is answered, and one again after one that has waited in vain.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "schedule/lane.h"

/* A destination that keeps a large event longer than this is slow. */
#define SOON_US		(1 * USECS_PER_SEC)

static int	max_in_flight;
static int64 small_event;		/* of this size, events take up no room */
static int64 max_bytes;
static int64 total_bytes;
static int64 taken[REPUTE_SLOW + 1]; /* bytes, by lanes of each repute */
static QueueItem *beside;		/* the event in flight that did not fit */

void
room_set(int requests, int64 bytes)
{
	max_in_flight = requests;
	small_event = bytes / 4 / requests;
	max_bytes = bytes - small_event * requests;
}

int64
room_free_bytes(void)
{
	return Max(max_bytes - total_bytes, 0) + small_event * max_in_flight;
}

/* What a lane has taken of the room. */
static int64
taken_by(const Lane *lane)
{
	return lane->bytes -
		(beside != NULL && beside->lane == lane ? beside->bytes : 0);
}

/*
 * How the lane's destination is known now.  Failures of small events count, too;
 * but once it has kept a large one long, only a large one that it answers soon
 * speaks for it.
 */
static void
judge(Lane *lane, Instant now)
{
	Repute		repute = REPUTE_GOOD;

	if (lane->bytes > 0 && now - lane->moved_at > SOON_US)
		lane->slow = true;
	if (lane->slow || lane->failing > 0)
		repute = REPUTE_SLOW;
	else if (lane->alive_at == 0)
		repute = REPUTE_NEW;

	taken[lane->repute] -= taken_by(lane);
	taken[repute] += taken_by(lane);
	lane->repute = repute;
}

/*
 * A first event that is not that large goes wherever there is room; otherwise
 * the lane leaves some to others, and if it is alone half of all.
 */
static bool
fits(const Lane *lane, int64 bytes)
{
	bool		first = lane->bytes == 0;
	int64		room = max_bytes - total_bytes;

	if (!first ||
		(lane->repute != REPUTE_GOOD && taken[lane->repute] + bytes > max_bytes / 16))
		room -= max_bytes / 4;
	if (lane->repute == REPUTE_SLOW)
		room = Min(room, max_bytes / 2 - taken[REPUTE_SLOW]);
	if (first)
		return bytes <= room / (bytes <= max_bytes / 8 ? 1 : 2);
	return lane->bytes + bytes <= Min(lane->allowed_bytes, 2 * (room - bytes));
}

/*
 * An event that does not fit goes beside all others, one at a time, if its lane
 * takes up no room otherwise.  That is for what is too large to wait for room,
 * and for destinations that do not keep it long.
 */
static bool
fits_beside(const Lane *lane, int64 bytes)
{
	return beside == NULL && lane->bytes == 0 &&
		(lane->repute == REPUTE_GOOD || bytes > max_bytes / 8);
}

bool
room_take(QueueItem *item, int64 bytes, Instant now)
{
	Lane	   *lane = item->lane;

	if (bytes <= small_event)
		return true;
	judge(lane, now);
	if (fits(lane, bytes))
	{
		total_bytes += bytes;
		taken[lane->repute] += bytes;
	}
	else if (fits_beside(lane, bytes))
		beside = item;
	else
		return false;
	if (lane->bytes == 0)
		lane->moved_at = now;
	lane->bytes += bytes;
	item->bytes = bytes;
	return true;
}

void
room_leave(QueueItem *item)
{
	Lane	   *lane = item->lane;

	if (beside == item)
		beside = NULL;
	else
	{
		total_bytes -= item->bytes;
		taken[lane->repute] -= item->bytes;
	}
	lane->bytes -= item->bytes;
	item->bytes = 0;
}

int64
room_beside(const QueueItem *item)
{
	return total_bytes + (beside != NULL ? beside->bytes : 0) - item->bytes;
}

/* Before it leaves: what a large event's outcome shows of its destination. */
void
room_note(QueueItem *item, const Verdict *verdict, Instant now)
{
	Lane	   *lane = item->lane;
	bool		soon = now - item->taken_at <= SOON_US;
	bool		alive = verdict->signal == SIGNAL_ALIVE;

	if (item->bytes == 0 || verdict->signal == SIGNAL_NONE || verdict->signal == SIGNAL_UNSENT)
		return;
	lane->moved_at = now;
	if (!soon)
		lane->slow = true;
	else if (alive)
		lane->slow = false;

	/* a failure that comes at once keeps nothing from others */
	if (alive)
		lane->allowed_bytes = Min(max_bytes, 2 * Max(lane->allowed_bytes, item->bytes));
	else if (!soon)
		lane->allowed_bytes = 0;
	judge(lane, now);
}
