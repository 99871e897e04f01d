/*-------------------------------------------------------------------------
 *
 * steps.h
 *		A table, clocks and the steps of a worker, for the unit tests of the
 *		scheduler.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_STEPS_H
#define RSWEBHOOK_STEPS_H

#include "schedule/lane.h"
#include "schedule/schedule.h"
#include "shmem/share.h"

#define SECOND		USECS_PER_SEC
#define HOUR		(3600 * SECOND)
#define NO_KEY		(-1)
#ifndef MAX_IDS
#define MAX_IDS		130000
#endif
#ifndef NDESTS
#define NDESTS		5			/* from 1 on */
#endif

/* ---------------------------------------------------------------------
 * What the scheduler has of others
 * ---------------------------------------------------------------------
 */

static Instant t;				/* what the steady clock shows */
static int64 wall_ahead;		/* of that, the wall's clock */

/* What the wall's clock shows when a test begins; 0 is the first moment of 2000. */
static const int64 wall_begins[] = {800 * 24 * HOUR, 0, -SECOND, INT64CONST(-946684800) * SECOND};
static int64 wall_begin = 800 * 24 * HOUR;

TimestampTz
clock_wall(Instant at)
{
	return at + wall_ahead;
}

Instant
clock_when(TimestampTz wall)
{
	if (wall <= NO_TIME)
		return 1;
	return wall == DT_NOEND ? INSTANT_NEVER : Min(Max(wall - wall_ahead, 1), INSTANT_NEVER);
}

/* What it was before it was set is not known here. */
Instant
clock_due(TimestampTz wall, int64 longest_us, Instant now)
{
	return clock_when(wall);
}

/* ---------------------------------------------------------------------
 * The table
 * ---------------------------------------------------------------------
 */

typedef struct TableRow
{
	QueueRow	row;
	bool		exists;
	bool		visible;
	int64		committed;		/* when it became visible, in the order of commits */
	Instant		retry_from;		/* as it was recorded ... */
	int			retry_clock;	/* ... after the clock had been set so often */
} TableRow;

static TableRow table[NDESTS + 1][MAX_IDS + 1];
static int64 lowest[NDESTS + 1];	/* no row has an id below */
static int64 highest;			/* nor one above */
static int64 ncommits;
static int	nreads[READ_RETRIES + 1];	/* by kind */
static int	piece_ids;			/* ids that a read looks at before it is cut; 0: all */
static ReadRequest last_read;

static inline TableRow *
insert(int destination, int64 id, int64 key)
{
	TableRow   *r = &table[destination][id];

	memset(r, 0, sizeof(*r));
	r->exists = true;
	r->row.destination_id = destination;
	r->row.event_id = id;
	r->row.has_key = key != NO_KEY;
	r->row.ordering_key = key != NO_KEY ? key : 0;
	r->row.queued_at = clock_wall(t);
	r->row.deliver_after = r->row.expires_at = NO_TIME;
	r->row.first_attempt_at = r->row.retry_at = NO_TIME;
	highest = Max(highest, id);
	lowest[destination] = Min(lowest[destination], id);
	return r;
}

/* They become visible, and the worker is told. */
static inline void
commit(int destination, int64 first, int64 last)
{
	QueuedRange range = {destination, ALL_SHARES, first, last, 0, false};

	ncommits++;
	for (int64 id = first; id <= last; id++)
	{
		if (!table[destination][id].visible)
			table[destination][id].committed = ncommits;
		table[destination][id].visible = true;
	}
	schedule_note_range(&range, t);
}

/* The worker is told of more than there is. */
static inline void
commit_range(int destination, int64 first, int64 last)
{
	QueuedRange range = {destination, ALL_SHARES, first, last, 0, false};

	schedule_note_range(&range, t);
}

/* Somebody deletes rows, and the worker is told that some of these are gone, or of one ... */
static inline void
commit_gone(int destination, int64 first, int64 last)
{
	QueuedRange range = {destination, ALL_SHARES, first, last, 0, true};

	ncommits++;
	schedule_note_range(&range, t);
}

static inline void
delete_row(int destination, int64 id)
{
	table[destination][id].exists = false;
	commit_gone(destination, id, id);
}

static inline int
by_time(const void *a, const void *b)
{
	const QueueRow *left = a;
	const QueueRow *right = b;

	if (left->deliver_after != right->deliver_after)
		return left->deliver_after < right->deliver_after ? -1 : 1;
	return left->event_id < right->event_id ? -1 : 1;
}

static inline int
select_by_ids(const ReadRequest *request, QueueRow *rows)
{
	int			count = 0;

	for (int i = 0; i < request->nids; i++)
	{
		TableRow   *r = &table[request->destination_id][request->ids[i]];

		if (r->exists && r->visible)
			rows[count++] = r->row;
	}
	return count;
}

/* As queue_read() does. */
static inline int
select_rows(ReadRequest *request, QueueRow *rows)
{
	int64	   *least = &lowest[request->destination_id];
	int			count = 0;
	int64		id = 0;
	int64		begin;

	if (request->kind == READ_RETRIES)
		return select_by_ids(request, rows);
	while (*least < highest && !table[request->destination_id][*least].exists)
		(*least)++;
	if (request->kind != READ_DUE)
		id = request->after_id + 1;
	begin = id = Max(id, *least);
	for (; id <= highest; id++)
	{
		TableRow   *r = &table[request->destination_id][id];

		if (piece_ids > 0 && id - begin == piece_ids && request->kind != READ_DUE &&
			id <= request->upto_id && count < request->limit)
		{
			request->cut = true;
			request->cut_id = id - 1;
			break;
		}
		if (!r->exists || !r->visible)
			continue;
		if (request->kind == READ_DUE)
		{
			if (r->row.deliver_after != NO_TIME &&
				(r->row.deliver_after > request->due_after ||
				 (r->row.deliver_after == request->due_after && id > request->after_id)))
				rows[count++] = r->row;
		}
		else if (id > request->upto_id || count == request->limit)
			break;
		else
			rows[count++] = r->row;
	}
	if (request->kind == READ_DUE)
		qsort(rows, count, sizeof(QueueRow), by_time);
	return Min(count, request->limit);
}

/* One read; false: nothing is wanted. */
static inline bool
read_once(void)
{
	static QueueRow rows[MAX_IDS];

	if (!schedule_wants_read(t) || !schedule_next_read(t, &last_read))
		return false;
	nreads[last_read.kind]++;
	schedule_rows_read(&last_read, rows, select_rows(&last_read, rows), t);
	return true;
}

static inline int
read_all(void)
{
	int			count = 0;

	while (read_once())
	{
		if (count++ == 10000)
			elog(ERROR, "reads of kind %d come to no end", last_read.kind);
	}
	return count;
}

/* ---------------------------------------------------------------------
 * Steps
 * ---------------------------------------------------------------------
 */

static const LanePolicy usual = {
	.ordered = true,
	.max_in_flight = 32,
	.min_backoff_us = SECOND,
	.max_backoff_us = 60 * SECOND,
	.max_wait_us = 24 * HOUR,
	.parts = 1
};

static int	my_part;			/* of each destination's ... */
static int	my_parts = 1;

static inline void
configure(int destination, const LanePolicy *policy)
{
	LanePolicy	mine = *policy;

	mine.part = my_part;
	mine.parts = my_parts;
	schedule_configure(schedule_lane(destination, t), &mine, t);
}

static inline void
set_bounds(int max_in_flight, int places)
{
	schedule_set_max_in_flight(max_in_flight, places, 64 * 1024 * 1024);
}

/* Is the row one of this worker's part? */
static inline bool
is_mine(const QueueRow *row)
{
	return share_part(row->has_key ? row->ordering_key : row->event_id, my_parts) == my_part;
}

/* A worker that has just begun, with one destination, of which it has a part. */
static inline void
begin_as(int part, int parts, const LanePolicy *policy)
{
	for (int i = 0; i <= NDESTS; i++)
	{
		memset(table[i], 0, (highest + 1) * sizeof(TableRow));
		lowest[i] = MAX_IDS;
	}
	memset(nreads, 0, sizeof(nreads));
	highest = ncommits = piece_ids = 0;
	t = 1000 * SECOND;
	wall_ahead = wall_begin - t;
	my_part = part;
	my_parts = parts;
	schedule_init();
	set_bounds(256, 6 * 256);
	if (policy != NULL)
		configure(1, policy);
}

/* The same, whatever the wall's clock shows. */
static inline void
by_each_clock(void (*tests) (void))
{
	for (int i = 0; i < lengthof(wall_begins); i++)
	{
		wall_begin = wall_begins[i];
		tests();
	}
}

static inline void
begin(const LanePolicy *policy)
{
	begin_as(0, 1, policy);
}

/* So many rows of a user from this id on, committed together. */
static inline void
queue_many(int destination, int64 first, int count, int64 key)
{
	for (int i = 0; i < count; i++)
		insert(destination, first + i, key);
	commit(destination, first, first + count - 1);
}

/* What was handed out and is not recorded yet, in this order. */
static QueueItem *taken[4000];
static int	ntaken;

static inline void
not_taken(const QueueItem *item)
{
	for (int i = 0; i < ntaken; i++)
	{
		if (taken[i] == item)
		{
			memmove(&taken[i], &taken[i + 1], (--ntaken - i) * sizeof(QueueItem *));
			return;
		}
	}
	elog(ERROR, "it is not taken");
}

static inline QueueItem *
next_item(void)
{
	QueueItem  *item;

	read_all();
	item = schedule_next(t);
	if (item != NULL)
		taken[ntaken++] = item;
	return item;
}

/* The id of what goes next, 0: nothing may. */
static inline int64
next_id(void)
{
	QueueItem  *item = next_item();

	return item != NULL ? schedule_row(item)->event_id : 0;
}

static inline QueueItem *
goes(int64 id, const char *name)
{
	is_int(next_id(), id, name);
	if (ntaken == 0)
		elog(ERROR, "nothing goes: %s", name);
	return taken[ntaken - 1];
}

static inline void
nothing_goes(const char *name)
{
	is_int(next_id(), 0, name);
}

static inline bool
is_taken(int64 id)
{
	for (int i = 0; i < ntaken; i++)
		if (schedule_row(taken[i])->event_id == id)
			return true;
	return false;
}

/* How many may go now, all that may. */
static inline int
take_all(void)
{
	int			count = 0;

	while (next_item() != NULL)
		count++;
	return count;
}

static inline void
finish(QueueItem *item, VerdictKind kind, VerdictSignal signal, int64 wait_us)
{
	Verdict		verdict = {.kind = kind, .signal = signal, .retry_at = t + wait_us,
		.first_attempt_at = schedule_row(item)->first_attempt_at, .reason = "HTTP status 500"};

	if (verdict.first_attempt_at == NO_TIME)
		verdict.first_attempt_at = clock_wall(item->taken_at);
	schedule_finished(item, &verdict, t);
}

/* As queue_record() does. */
static inline void
record(QueueItem *item)
{
	const QueueRow *row = schedule_row(item);
	TableRow   *r = &table[row->destination_id][row->event_id];

	not_taken(item);
	if (item->verdict == VERDICT_RETRY)
		r->row = *row;
	else
		r->exists = false;
	schedule_recorded(item, false, t);
}

static inline void
deliver(QueueItem *item)
{
	finish(item, VERDICT_DELIVERED, SIGNAL_ALIVE, 0);
	record(item);
}

static inline void
retry(QueueItem *item, VerdictSignal signal, int64 wait_us)
{
	finish(item, VERDICT_RETRY, signal, wait_us);
	record(item);
}

static inline void
put_back(QueueItem *item)
{
	not_taken(item);
	schedule_put_back(item, t);
}

static inline void
deliver_all(void)
{
	while (ntaken > 0)
	{
		if (taken[0]->state == ITEM_IN_FLIGHT)
			deliver(taken[0]);
		else
			record(taken[0]);
	}
}

/* All that is left goes, whenever that is; how many, or -1 if ids go down. */
static inline int
drain(bool in_order)
{
	int64		last = 0;
	int			count = 0;

	deliver_all();
	for (int idle = 0; idle < 10000; idle++)
	{
		QueueItem  *item;

		while ((item = next_item()) != NULL)
		{
			if (in_order && schedule_row(item)->event_id < last)
				return -1;
			last = schedule_row(item)->event_id;
			deliver(item);
			count++;
		}
		if (schedule_wake_at() == 0)
			break;
		t = Max(schedule_wake_at(), t);
	}
	return count;
}

static inline void
all_go(int expected, bool in_order, const char *name)
{
	is_int(drain(in_order), expected, name);
}

/* In the table, of this worker's part. */
static inline int
nrows_left(void)
{
	int			count = 0;

	for (int i = 1; i <= NDESTS; i++)
		for (int64 id = lowest[i]; id <= highest; id++)
			count += table[i][id].exists && table[i][id].visible && is_mine(&table[i][id].row);
	return count;
}

static inline void
remove_lane(Lane *lane, void *all)
{
	*(bool *) all &= schedule_remove(lane);
}

/* Nothing is counted for ever: lanes can be forgotten, and there is all the room. */
static inline void
end(void)
{
	bool		all = true;

	drain(false);
	is_int(nrows_left(), 0, "nothing is left");
	is_int(schedule_free_bytes(), 64 * 1024 * 1024, "nothing takes up room");
	is_int(schedule_lacking(), 0, "nothing is lacking");
	schedule_each_lane(remove_lane, &all);
	ok(all, "lanes are not needed any more");
	is_int(schedule_wake_at(), 0, "nothing is waited for");
}

#endif							/* RSWEBHOOK_STEPS_H */
