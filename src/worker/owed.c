/*-------------------------------------------------------------------------
 *
 * owed.c
 *		How much is owed to each destination, for whoever asks.
 *
 * A worker counts the rows of its part of a destination once, in pieces, and then
 * goes on from what it hears and does: a commit tells how many rows it has made
 * visible, and what is recorded is gone.  That is exact, so nothing is counted again
 * in the long run.  But where it may not be, as rows were counted whose commit had not
 * been told of yet, were cancelled or replayed, or are of a savepoint that was rolled
 * back, all of them are counted once more, after a pause that depends on how long that
 * takes: so it costs a small part of the time at the most, and numbers are right
 * once things are still.
 *
 * Which row is the oldest is known only as long as that one is owed; then the
 * last one that went stands for it until all are counted again.
 *
 * If anything is in the way, that holds up neither deliveries nor anything else.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/pairingheap.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/inject.h"
#include "schedule/schedule.h"
#include "shmem/counters.h"
#include "shmem/wake.h"
#include "tables/queue.h"
#include "tables/tables.h"
#include "worker/lanes.h"
#include "worker/owed.h"
#include "worker/repeated.h"
#include "worker/session.h"
#include "worker/stats.h"

/* Rows of one read, and how long one transaction goes on with such. */
#define COUNT_ROWS			1000
#define COUNT_US			2000

/* Pauses, in the time that counting took: between pieces; between two whole counts. */
#define PIECE_PAUSES		4
#define STILL_PAUSES		5	/* while nothing moves */
#define BUSY_PAUSES			400

/* It moves as long as the last change is no longer ago, and is not counted more often. */
#define STILL_US			(1 * USECS_PER_SEC)

#define COUNT_RETRY_US		(60 * USECS_PER_SEC)

typedef struct Count
{
	int32		destination_id;
	Owed		owed;			/* as it is shown */
	bool		passed;			/* the oldest row has gone: oldest is only about that */
	Instant		due;			/* when all are to be counted; INSTANT_NEVER: that is
								 * not necessary */
	pairingheap_node node;		/* unless it is never */
	Instant		changed_at;
	Instant		counted_at;		/* last */
	int64		took_us;		/* that time */
	int64		begins;			/* no row has an id up to that, as far as is known */
	int64		highest;		/* that was told of */

	/* while all are being counted */
	bool		counting;
	bool		doubtful;		/* what comes of it may be wrong */
	int64		upto;			/* rows up to this id were */
	int64		highest_before;
	int64		first_id;		/* of those that were found */
	TimestampTz next_due;		/* the first deliver_after that is to come */
	Owed		sum;
} Count;

static HTAB *counts;
static pairingheap *waiting;	/* those that are to be counted */
static Instant next_piece = 0;

/* Errors in this, for the log. */
static Repeated failures;

static int
later(const pairingheap_node *a, const pairingheap_node *b, void *arg)
{
	Instant		ta = pairingheap_const_container(Count, node, a)->due;
	Instant		tb = pairingheap_const_container(Count, node, b)->due;

	return ta < tb ? 1 : ta > tb ? -1 : 0;
}

void
owed_init(void)
{
	HASHCTL		info = {0};
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

	info.keysize = sizeof(int32);
	info.entrysize = sizeof(Count);
	counts = hash_create("rswebhook owed", 64, &info, HASH_ELEM | HASH_BLOBS);
	waiting = pairingheap_allocate(later, NULL);
	MemoryContextSwitchTo(old);
}

static void
set_due(Count *count, Instant due)
{
	if (count->due != INSTANT_NEVER)
		pairingheap_remove(waiting, &count->node);
	count->due = due;
	if (due != INSTANT_NEVER)
		pairingheap_add(waiting, &count->node);
}

/* All are to be counted again, but not too soon. */
static void
doubt(Count *count)
{
	Instant		soonest = count->owed.known ?
		count->counted_at + Max(STILL_US, count->took_us * STILL_PAUSES) : 0;

	if (count->counting)
		count->doubtful = true;
	else if (count->due > soonest)
		set_due(count, soonest);
}

static Count *
find(int32 destination_id)
{
	return hash_search(counts, &destination_id, HASH_FIND, NULL);
}

static void
add(int32 destination_id)
{
	bool		found;
	Count	   *count = hash_search(counts, &destination_id, HASH_ENTER, &found);

	if (found)
		return;
	memset((char *) count + sizeof(int32), 0, sizeof(Count) - sizeof(int32));
	count->begins = PG_INT64_MIN;
	count->due = INSTANT_NEVER;
	doubt(count);
}

/* The destination may be gone. */
static void
show(Count *count)
{
	if (stats_note_owed(count->destination_id, lanes_parts(count->destination_id), &count->owed))
		return;
	set_due(count, INSTANT_NEVER);
	(void) hash_search(counts, &count->destination_id, HASH_REMOVE, NULL);
}

/* ---------------------------------------------------------------------
 * What changes
 * ---------------------------------------------------------------------
 */

static void
add_told(Count *count, const QueuedRange *range)
{
	count->changed_at = clock_now();
	count->begins = Min(count->begins, id_before(range->first_id));
	if (range->last_id < PG_INT64_MAX)
		count->highest = Max(count->highest, range->last_id);
	if (range->rows == 0)
	{
		doubt(count);
		return;
	}
	if (count->counting && range->first_id <= count->upto)
	{
		if (range->last_id <= count->upto)
			count->sum.pending += range->rows;
		else
			count->doubtful = true;
	}
	if (count->owed.pending == 0)
	{
		count->owed.oldest = clock_wall(count->changed_at);
		count->passed = true;
		doubt(count);
	}
	count->owed.pending += range->rows;
	show(count);
}

void
owed_note_told(const QueuedRange *ranges, int nranges)
{
	for (int i = 0; i < nranges; i++)
	{
		if (ranges[i].destination_id == 0)
		{
			HASH_SEQ_STATUS scan;
			Count	   *count;

			hash_seq_init(&scan, counts);
			while ((count = hash_seq_search(&scan)) != NULL)
				add_told(count, &ranges[i]);
		}
		else if (lanes_part(ranges[i].destination_id) >= 0)
		{
			add(ranges[i].destination_id);
			add_told(find(ranges[i].destination_id), &ranges[i]);
		}
	}
}

static void
subtract(Owed *owed, const QueueRow *row)
{
	owed->pending = Max(owed->pending - 1, 0);
	if (row->attempts > 0)
		owed->retrying = Max(owed->retrying - 1, 0);
}

static void
add_retry(Owed *owed, const Outcome *outcome)
{
	if (outcome->claimed.attempts == 0)
		owed->retrying++;
	if (owed->next_retry_at == NO_TIME || outcome->retry_at < owed->next_retry_at)
		owed->next_retry_at = outcome->retry_at;
}

void
owed_note_recorded(const Outcome *outcome)
{
	const QueueRow *row = &outcome->claimed;
	Count	   *count = find(row->destination_id);
	bool		first;

	if (count == NULL || outcome->stays)
		return;
	count->changed_at = clock_now();
	first = row->retry_at != NO_TIME && row->retry_at <= count->owed.next_retry_at;
	if (first)
		count->owed.next_retry_at = NO_TIME;
	if (outcome->kind == VERDICT_RETRY)
		add_retry(&count->owed, outcome);
	else
		subtract(&count->owed, row);
	if (count->counting && row->event_id <= count->upto)
	{
		if (outcome->kind == VERDICT_RETRY)
			add_retry(&count->sum, outcome);
		else
			subtract(&count->sum, row);
		count->doubtful |= first;
	}
	if (outcome->kind != VERDICT_RETRY)
	{
		if (row->queued_at <= count->owed.oldest)
			count->passed = true;
		if (count->passed)
			count->owed.oldest = Max(count->owed.oldest, row->queued_at);
	}
	if (count->owed.pending == 0)
	{
		count->owed.retrying = count->owed.scheduled = 0;
		count->owed.oldest = count->owed.next_retry_at = NO_TIME;
		count->passed = false;
	}
	else if (count->passed || (first && count->owed.retrying > 1))
		doubt(count);
	show(count);
}

static void
add_lane(Lane *lane, void *unused)
{
	add(schedule_lane_id(lane));
}

void
owed_add_all(void)
{
	schedule_each_lane(add_lane, NULL);
}

static void
begin_anew(Lane *lane, void *unused)
{
	Count	   *count;

	add(schedule_lane_id(lane));
	count = find(schedule_lane_id(lane));
	count->begins = PG_INT64_MIN;
	doubt(count);
}

void
owed_doubt_all(void)
{
	schedule_each_lane(begin_anew, NULL);
}

/* ---------------------------------------------------------------------
 * Counting
 * ---------------------------------------------------------------------
 */

/* May rows that the snapshot sees be told of only later? */
static bool
is_untold(int32 destination_id, const QueuedRange *untold, int nuntold)
{
	for (int i = 0; i < nuntold; i++)
	{
		if (untold[i].destination_id == destination_id || untold[i].destination_id == 0)
			return true;
	}
	return false;
}

static void
begin(Count *count)
{
	count->counting = true;
	count->doubtful = false;
	count->took_us = 0;
	count->upto = count->begins;
	count->highest_before = count->highest;
	count->first_id = PG_INT64_MAX;
	count->next_due = NO_TIME;
	memset(&count->sum, 0, sizeof(Owed));
	count->sum.known = true;
	count->sum.oldest = count->sum.next_retry_at = NO_TIME;
}

static TimestampTz
sooner(TimestampTz a, TimestampTz b)
{
	return a == NO_TIME || (b != NO_TIME && b < a) ? b : a;
}

static void
take(Count *count, const QueueRow *row, TimestampTz now)
{
	Owed	   *sum = &count->sum;

	if (!lanes_is_mine(row->destination_id, row->has_key ? row->ordering_key : row->event_id))
		return;
	count->first_id = Min(count->first_id, row->event_id);
	sum->pending++;
	sum->retrying += row->attempts > 0;
	sum->oldest = sooner(sum->oldest, row->queued_at);
	sum->next_retry_at = sooner(sum->next_retry_at, row->retry_at);
	if (row->deliver_after != NO_TIME && row->deliver_after > now)
	{
		sum->scheduled++;
		count->next_due = sooner(count->next_due, row->deliver_after);
	}
}

/* All have been counted. */
static void
end(Count *count)
{
	Instant		now = clock_now();

	count->counting = false;
	count->counted_at = now;
	count->owed = count->sum;
	count->passed = false;
	if (count->first_id != PG_INT64_MAX)
		count->begins = id_before(count->first_id);
	else if (!count->doubtful)
		count->begins = Max(count->begins, count->highest_before);
	set_due(count, count->next_due == NO_TIME ? INSTANT_NEVER :
			Max(clock_when(count->next_due), now + STILL_US));
	if (count->doubtful)
		doubt(count);
	show(count);
}

/* False: it is not the time. */
static bool
is_time(Count *count, Instant now)
{
	Instant		busy_until = count->counted_at + count->took_us * BUSY_PAUSES;

	if (count->counting || !count->owed.known || now >= busy_until || now >= count->changed_at + STILL_US)
		return true;
	set_due(count, Min(busy_until, count->changed_at + STILL_US));
	return false;
}

/* The destination that is counted next, or of which something is to come still. */
static Count *
next_count(Instant now)
{
	while (!pairingheap_is_empty(waiting))
	{
		Count	   *count = pairingheap_container(Count, node, pairingheap_first(waiting));

		if (count->due > now)
			return NULL;
		if (is_time(count, now))
			return count;
	}
	return NULL;
}

/* A read of one destination; true: it was the last. */
static bool
count_some(Count *count)
{
	ReadRequest request = {
		.kind = READ_AHEAD,
		.destination_id = count->destination_id,
		.after_id = count->upto,
		.upto_id = PG_INT64_MAX,
		.limit = COUNT_ROWS
	};
	QueueRow   *rows;
	int			nrows = queue_read(&request, &rows);
	TimestampTz now = clock_wall(clock_now());

	for (int i = 0; i < nrows; i++)
		take(count, &rows[i], now);
	if (request.cut)
		count->upto = request.cut_id;
	else if (nrows == COUNT_ROWS)
		count->upto = rows[nrows - 1].event_id;
	pfree(rows);
	return !request.cut && nrows < COUNT_ROWS;
}

static void
count_piece(int unused)
{
	const QueuedRange *untold;
	int			nuntold;
	Instant		began = clock_now();
	Instant		since = began;
	Count	   *count;
	bool		over;

	if (!session_begin("counting what is owed"))
		return;
	INJECT("counting");
	session_wait_little();
	tables_lock_and_look("queue");
	untold = wake_untold_ranges(GetActiveSnapshot(), &nuntold);
	while (clock_now() - began < COUNT_US && (count = next_count(clock_now())) != NULL)
	{
		if (!count->counting)
			begin(count);
		count->doubtful |= is_untold(count->destination_id, untold, nuntold);
		over = count_some(count);
		count->took_us += clock_now() - since;
		since = clock_now();
		if (over)
			end(count);
	}
	session_commit();
}

/* What cannot be read may be another one's fault, which goes on. */
static void
put_off(Instant now)
{
	if (!pairingheap_is_empty(waiting))
	{
		Count	   *count = pairingheap_container(Count, node, pairingheap_first(waiting));

		count->counting = false;
		set_due(count, now + COUNT_RETRY_US);
	}
}

void
owed_run(Instant now)
{
	Instant		began = clock_now();
	ErrorData  *error;

	if (session_extension_gone() || now < next_piece || next_count(now) == NULL)
		return;
	error = session_try(count_piece, 0);
	next_piece = clock_now();
	if (error != NULL)
	{
		put_off(next_piece);
		repeated_report(&failures, error);
	}
	next_piece += (next_piece - began) * PIECE_PAUSES;
}

Instant
owed_due_at(void)
{
	if (pairingheap_is_empty(waiting))
		return INSTANT_NEVER;
	return Max(next_piece, pairingheap_container(Count, node, pairingheap_first(waiting))->due);
}
