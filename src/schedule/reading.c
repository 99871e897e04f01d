/*-------------------------------------------------------------------------
 *
 * reading.c
 *		What a lane wants read, and what most.
 *
 * The cursor says up to which id all visible rows have been read.  Ids commit
 * out of order, so the committing backends tell which have become visible: what
 * lies behind the cursor is read as a range of its own, and nothing is ever
 * read again just to see whether something is there.  window.c takes in what
 * comes of it.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "schedule/lane.h"

/*
 * Of what a breaker that is open has, the newest probes, so all of it is read; but
 * no more than so many rows of a destination once all have so many together.
 */
#define PROBES			2000
#define PROBES_IN_ALL	(4 * LANE_ITEMS)

/*
 * Late ranges are read in the order of their ids, so that no row comes in
 * before one with a lower id that became visible with it.
 */
static void
add_late_range(Lane *lane, Range late)
{
	int			first = 0;
	int			end;

	while (first < lane->nranges && lane->ranges[first].upto < late.after)
		first++;
	end = first;
	while (end < lane->nranges && lane->ranges[end].after <= late.upto)
		end++;

	/* without room, the gap to a neighbour is read as well */
	if (end == first && lane->nranges == LANE_RANGES)
	{
		first = Min(first, LANE_RANGES - 1);
		end = first + 1;
	}

	/* ranges from first to before end become one with this range */
	for (int i = first; i < end; i++)
	{
		late.after = Min(late.after, lane->ranges[i].after);
		late.upto = Max(late.upto, lane->ranges[i].upto);
		late.gone |= lane->ranges[i].gone;
	}
	memmove(&lane->ranges[first + 1], &lane->ranges[end],
			(lane->nranges - end) * sizeof(Range));
	lane->nranges += 1 - (end - first);
	lane->ranges[first] = late;
}

void
reading_note_range(Lane *lane, int64 first_id, int64 last_id, bool gone)
{
	if (last_id > lane->cursor)
		lane->more = true;
	if (first_id <= Min(last_id, lane->cursor))
		add_late_range(lane, (Range) {id_before(first_id), Min(last_id, lane->cursor), gone});
}

/* What has been seen so far has not been in this one.  Somebody may have made ids below 1. */
static void
begin_sweep(Lane *lane)
{
	lane->sweeps = true;
	lane->sweep = (Range) {.after = PG_INT64_MIN, .upto = lane->cursor};
	lane->sweep_number++;
	lane->nparked_seen = 0;
}

void
reading_sweep(Lane *lane)
{
	lane->next_due = DUE_NOW;	/* and look again for the next deliver_after */
	lane->more = true;
	if (!lane->sweeps)
		begin_sweep(lane);
}

void
reading_sweep_gone(Lane *lane)
{
	if (dlist_is_empty(&lane->timed) && lane->nparked == 0)
		return;
	if (!lane->sweeps)
		begin_sweep(lane);
	else if (lane->sweep.after != PG_INT64_MIN)
		lane->sweeps_again = true;
}

void
reading_swept(Lane *lane)
{
	lane->sweeps = false;
	if (lane->sweeps_again)
		begin_sweep(lane);
	lane->sweeps_again = false;
}

static int
at_once(const Lane *lane)
{
	return Min(lane->allowed, lane->policy.max_in_flight);
}

/* Of all that there is, some may be good. */
static bool
wants_news(const Lane *lane)
{
	return lane->breaker.open || pace_wants_news(lane);
}

/*
 * Rows of one read: no more than a lane that goes slowly can use soon, but ever
 * more while there is nothing to send among them.
 */
static int
read_limit(const Lane *lane)
{
	int			limit = wants_news(lane) ? READ_ROWS : Max(64, Min(READ_ROWS, 32 * at_once(lane)));

	return Min(READ_ROWS, limit << lane->barren);
}

/* So many of a kind are enough for the next cycles. */
static int
enough(const Lane *lane)
{
	if (wants_news(lane))
		return items_count() < PROBES_IN_ALL ? items_most : PROBES;
	return Min(read_limit(lane) / 2, Max(32, 4 * at_once(lane)));
}

/*
 * More than enough would be of no use, and with order it may not come however
 * much is read: a user has one item ready at most.  Retries do not count, or
 * nothing new would be read while they come faster than they go.
 */
static bool
wants_more(const Lane *lane)
{
	return lane->more && lane->nready - lane->nretries < enough(lane);
}

/* Likewise what is parked comes as it can be used. */
static bool
wants_retries(const Lane *lane, Instant now)
{
	return parked_are_due(lane, now) && lane->nretries < enough(lane);
}

/* Has a deliver_after come, or has the next one to be found? */
static bool
is_due(const Lane *lane, Instant now)
{
	return lane->next_due != NO_TIME && lane->next_due <= clock_wall(now);
}

/* Are hungry keys to be fed, or rows to be read ahead? */
static bool
wants_others(const Lane *lane)
{
	return !pairingheap_is_empty(&lane->hungry) || wants_more(lane);
}

/* Of what is neither late nor due, is it the turn of what is parked? */
static bool
retries_are_next(const Lane *lane, Instant now)
{
	return wants_retries(lane, now) && !(lane->fed_retries && wants_others(lane));
}

/* Is the window full, with so many rows more than usual? */
static bool
is_full(const Lane *lane, int more)
{
	return lane->nitems >= items_most + more;
}

static Reads
how_soon(const Lane *lane)
{
	return lane->walks ? READS_WALKING : READS_SOON;
}

Reads
reading_wants(const Lane *lane, Instant now)
{
	if (lane->policy.halted && !lane->policy.gone)
		return READS_NOTHING;
	if (lane->unread_until > now)
		return READS_NOTHING;
	if (lane->nranges > 0 || is_due(lane, now))
		return is_full(lane, LANE_LATE_ITEMS) ? READS_NOTHING : how_soon(lane);
	if (is_full(lane, 0))
		return READS_NOTHING;
	if (retries_are_next(lane, now))
		return READS_SOON;		/* their ids are known: dead rows are not in the way */
	if (wants_others(lane))
		return how_soon(lane);
	return lane->sweeps || lane->floor_reached < lane->floor_goal ? READS_IDLY : READS_NOTHING;
}

/* What nobody waits for; false: there is no such thing. */
static bool
next_idly(Lane *lane, ReadRequest *request)
{
	if (lane->floor_reached < lane->floor_goal)
	{
		request->kind = READ_FLOOR;
		request->after_id = lane->floor_reached;
		request->upto_id = lane->floor_goal;
		request->limit = 1;
		return true;
	}
	if (!lane->sweeps || lane->nranges > 0 || is_full(lane, 0))
		return false;
	request->kind = READ_SWEEP;
	request->after_id = lane->sweep.after;
	request->upto_id = lane->sweep.upto;
	return true;
}

/*
 * What this lane wants read most.  Late rows come before all others: they have
 * lower ids.  Retries, hungry keys and the rows ahead alternate.  For what nobody
 * told of there is time when nothing else is to be read.
 */
void
reading_next(Lane *lane, bool idly, Instant now, ReadRequest *request)
{
	memset(request, 0, sizeof(*request));
	request->lane = lane;
	request->destination_id = lane->destination_id;
	request->limit = read_limit(lane);
	if (idly && next_idly(lane, request))
		return;
	request->upto_id = PG_INT64_MAX;
	if (lane->nranges > 0)
	{
		request->kind = READ_RANGE;
		request->after_id = lane->ranges[0].after;
		request->upto_id = lane->ranges[0].upto;
	}
	else if (is_due(lane, now))
	{
		request->kind = READ_DUE;
		request->due_after = lane->due_after;
		request->after_id = lane->due_after_id;
	}
	else if (retries_are_next(lane, now))
	{
		request->kind = READ_RETRIES;
		request->nids = parked_due(lane, now, request->ids, request->limit);
		lane->fed_retries = true;
	}
	else if (!pairingheap_is_empty(&lane->hungry) &&
			 !(lane->fed_hungry && wants_more(lane)))
	{
		request->kind = READ_HUNGRY;
		request->after_id = id_before(pairingheap_container(KeyQueue, in_hungry,
														   pairingheap_first(&lane->hungry))->spilled_from);
		request->upto_id = lane->cursor;
		lane->fed_hungry = true;
		lane->fed_retries = false;
	}
	else
	{
		request->kind = READ_AHEAD;
		request->after_id = lane->cursor;
		lane->fed_hungry = lane->fed_retries = false;
	}
}
