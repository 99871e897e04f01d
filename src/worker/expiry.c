/*-------------------------------------------------------------------------
 *
 * expiry.c
 *		Events that are not worth delivering any more.
 *
 * What is owed to a destination that sends nothing is not claimed, and so would
 * never be seen to have expired.  Now and then the queue of each such one is read
 * from its beginning to its end, in pieces that are transactions of their own and
 * with pauses in between, whatever it holds.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/int.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "utils/memutils.h"

#include "base/clock.h"
#include "schedule/schedule.h"
#include "tables/queue.h"
#include "tables/queue_record.h"
#include "tables/tables.h"
#include "worker/alerts.h"
#include "worker/expiry.h"
#include "worker/lanes.h"
#include "worker/owed.h"
#include "worker/repeated.h"
#include "worker/session.h"

/* How often all is looked at, and no more than a tenth of the time. */
#define EXPIRY_INTERVAL_US	(30 * 60 * USECS_PER_SEC)
#define EXPIRY_PAUSES		9

/* Rows of a piece. */
#define EXPIRY_ROWS			500

static Instant next_look = 0;
static List *waiting = NIL;		/* destinations of this round that are still to come */
static int64 read_to = 0;		/* up to this id of the first one */
static bool more_rows;			/* of that one there may be */

/* Errors in this, for the log. */
static Repeated failures;

/* How long the event has waited counts, and not what the clock shows. */
bool
expiry_is_over(const QueueRow *row, const Destination *destination, Instant now)
{
	int64		lifetime = destination->expires_after_us;

	if (row->expires_at != NO_TIME && pg_sub_s64_overflow(row->expires_at, row->queued_at, &lifetime))
		return row->expires_at < row->queued_at;	/* infinite, by hand */
	return (row->expires_at != NO_TIME || lifetime > 0) &&
		clock_age(row->queued_at, now) >= lifetime;
}

/* One of several workers of a destination is enough for it. */
static const Destination *
at_rest(int32 id)
{
	const Destination *d = lanes_destination(id);

	return d != NULL && (d->paused || !d->enabled) && lanes_part(id) == 0 ? d : NULL;
}

static void
add_lane(Lane *lane, void *unused)
{
	int32		id = schedule_lane_id(lane);

	if (lanes_delivering() && schedule_lane_in_flight(lane) == 0 && at_rest(id) != NULL)
		waiting = lappend_int(waiting, id);
}

static void
begin_round(void)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

	schedule_each_lane(add_lane, NULL);
	MemoryContextSwitchTo(old);
	read_to = PG_INT64_MIN;
}

/* Record those of these rows that have expired; returns how many, and where. */
static int
give_up(const QueueRow *rows, int count, const Destination *d, QueuedRange *gone)
{
	Outcome    *outcomes = palloc0(sizeof(Outcome) * Max(count, 1));
	Outcome   **expired = palloc(sizeof(Outcome *) * Max(count, 1));
	Instant		now = clock_now();
	int			nexpired = 0;
	int			ngone = 0;

	for (int i = 0; i < count; i++)
	{
		Outcome    *outcome = &outcomes[nexpired];

		CHECK_FOR_INTERRUPTS();
		if (!expiry_is_over(&rows[i], d, now))
			continue;
		outcome->claimed = rows[i];
		outcome->kind = VERDICT_ABORTED;
		outcome->started_at = clock_wall(now);
		outcome->error = pstrdup(EXPIRED);
		expired[nexpired++] = outcome;
	}
	if (nexpired == 0)
		return 0;
	alerts_begin();
	queue_record(expired, nexpired);
	for (int i = 0; i < nexpired; i++)
		(void) alerts_add_outcome(expired[i]);
	alerts_write();
	gone->first_id = expired[0]->claimed.event_id;
	gone->last_id = expired[nexpired - 1]->claimed.event_id;
	gone->gone = true;
	for (int i = 0; i < nexpired; i++)
		ngone += expired[i]->fate != ROW_BUSY;
	return ngone;
}

static void
note_gone(const QueuedRange *gone, int ngone)
{
	/* what waits for one of them to be tried again need not wait any more */
	if (ngone > 0)
	{
		schedule_note_range(gone, clock_now());
		owed_note_told(gone, 1);
	}
}

static void
look_at_piece(int32 id)
{
	const Destination *d;
	ReadRequest request = {
		.kind = READ_AHEAD,
		.destination_id = id,
		.after_id = read_to,
		.upto_id = PG_INT64_MAX,
		.limit = EXPIRY_ROWS
	};
	QueueRow   *rows;
	QueuedRange gone = {.destination_id = id};
	int			ngone = 0;
	int			count;

	if (!session_begin("looking for events that have expired"))
		return;
	tables_lock_and_look("queue");
	d = at_rest(id);
	if (d != NULL)
	{
		count = queue_read(&request, &rows);
		more_rows = request.cut || count == EXPIRY_ROWS;
		read_to = request.cut ? request.cut_id : count > 0 ? rows[count - 1].event_id : read_to;
		ngone = give_up(rows, count, d, &gone);
	}
	session_commit();
	alerts_committed();
	note_gone(&gone, ngone);
}

static void
next_destination(void)
{
	waiting = list_delete_first(waiting);
	read_to = PG_INT64_MIN;
}

void
expiry_run(Instant now)
{
	Instant		began = clock_now();
	ErrorData  *error = NULL;

	if (session_extension_gone() || now < next_look)
		return;
	if (waiting == NIL)
		begin_round();
	if (waiting != NIL)
	{
		more_rows = false;
		error = session_try(look_at_piece, linitial_int(waiting));
		if (error != NULL)
			repeated_report(&failures, error);
		if (error != NULL || !more_rows)
			next_destination();
	}
	next_look = clock_now();
	next_look += waiting == NIL ? EXPIRY_INTERVAL_US : (next_look - began) * EXPIRY_PAUSES;
}

Instant
expiry_due_at(void)
{
	return next_look;
}

void
expiry_reload(void)
{
	next_look = clock_now();
}
