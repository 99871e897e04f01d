/*-------------------------------------------------------------------------
 *
 * schedule.c
 *		Unit tests of what may go next: order per user, reading ahead, retries,
 *		breakers, turns, rates and bounds.
 *
 * The table, both clocks and the other workers are the test's own.  It begins with
 * cases one by one, and ends with random steps of which each is judged by a few
 * rules that know nothing of how the scheduler works.
 *
 * rooms: schedule/schedule.c schedule/next.c schedule/window.c schedule/order.c
 * rooms: schedule/reading.c
 * rooms: schedule/pace.c schedule/places.c schedule/room.c destination/verdict.c
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include "schedule/lane.h"
#include "schedule/schedule.h"
#include "shmem/share.h"

#define SECOND		USECS_PER_SEC
#define HOUR		(3600 * SECOND)
#define NO_KEY		(-1)
#define MAX_IDS		130000
#define NDESTS		5			/* from 1 on */

/* ---------------------------------------------------------------------
 * What the scheduler has of others
 * ---------------------------------------------------------------------
 */

static Instant t;				/* what the steady clock shows */
static int64 wall_ahead;		/* of that, the wall's clock */

TimestampTz
clock_wall(Instant at)
{
	return at + wall_ahead;
}

Instant
clock_when(TimestampTz wall)
{
	if (wall == DT_NOBEGIN)
		return 1;
	return Min(Max(wall - wall_ahead, 1), INSTANT_NEVER);
}

/* Other workers' turns, of one destination at a time. */
static bool turns_refused;		/* they have them all */
static bool turns_wanted;		/* they wait for one */
static int	turns_most;			/* that was asked for last */
static int	nturns[NDESTS + 1]; /* that we have */
static int	nwithdrawn;

static bool
turn_take(int32 destination_id, int most)
{
	turns_most = most;
	if (!turns_refused)
		nturns[destination_id] = 1;
	return !turns_refused;
}

static bool
turn_leave(int32 destination_id)
{
	nturns[destination_id] = 0;
	return turns_wanted;
}

static void
turn_withdraw(int32 destination_id)
{
	nwithdrawn++;
}

static const Turns turns = {turn_take, turn_leave, turn_withdraw};

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
static int	nreads[READ_DUE + 1];	/* by kind */
static ReadRequest last_read;

static TableRow *
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
	highest = Max(highest, id);
	lowest[destination] = Min(lowest[destination], id);
	return r;
}

/* They become visible, and the worker is told. */
static void
commit(int destination, int64 first, int64 last)
{
	QueuedRange range = {destination, ALL_SHARES, first, last};

	ncommits++;
	for (int64 id = first; id <= last; id++)
	{
		if (!table[destination][id].visible)
			table[destination][id].committed = ncommits;
		table[destination][id].visible = true;
	}
	schedule_note_range(&range, t);
}

static int
by_time(const void *a, const void *b)
{
	const QueueRow *left = a;
	const QueueRow *right = b;

	if (left->deliver_after != right->deliver_after)
		return left->deliver_after < right->deliver_after ? -1 : 1;
	return left->event_id < right->event_id ? -1 : 1;
}

/* As queue_read() does. */
static int
select_rows(const ReadRequest *request, QueueRow *rows)
{
	int64	   *least = &lowest[request->destination_id];
	int			count = 0;
	int64		id = 0;

	while (*least < highest && !table[request->destination_id][*least].exists)
		(*least)++;
	if (request->kind != READ_DUE)
		id = request->after_id + 1;
	for (id = Max(id, *least); id <= highest; id++)
	{
		TableRow   *r = &table[request->destination_id][id];

		if (!r->exists || !r->visible)
			continue;
		if (request->kind == READ_DUE)
		{
			if (r->row.deliver_after != 0 &&
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
static bool
read_once(void)
{
	static QueueRow rows[MAX_IDS];

	if (!schedule_wants_read(t) || !schedule_next_read(t, &last_read))
		return false;
	nreads[last_read.kind]++;
	schedule_rows_read(&last_read, rows, select_rows(&last_read, rows), t);
	return true;
}

static int
read_all(void)
{
	int			count = 0;

	while (read_once() && count < 10000)
		count++;
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
	.max_wait_us = 24 * HOUR
};

static void
configure(int destination, const LanePolicy *policy)
{
	schedule_configure(schedule_lane(destination, t), policy, t);
}

static void
set_bounds(int max_in_flight, int places)
{
	schedule_set_max_in_flight(max_in_flight, places, 64 * 1024 * 1024);
}

static int	begun_share;		/* of ... */
static int	begun_nshares;

/* Is the row one of this worker's share? */
static bool
is_mine(const QueueRow *row)
{
	return share_of(row->destination_id, row->has_key ? row->ordering_key : row->event_id,
					begun_nshares) == begun_share;
}

/* A worker that has just begun, with one destination. */
static void
begin_as(int share, int nshares, const LanePolicy *policy)
{
	for (int i = 0; i <= NDESTS; i++)
	{
		memset(table[i], 0, (highest + 1) * sizeof(TableRow));
		lowest[i] = MAX_IDS;
	}
	memset(nreads, 0, sizeof(nreads));
	memset(nturns, 0, sizeof(nturns));
	highest = ncommits = nwithdrawn = 0;
	turns_refused = turns_wanted = false;
	t = 1000 * SECOND;
	wall_ahead = 800 * 24 * HOUR;
	begun_share = share;
	begun_nshares = nshares;
	schedule_init(share, nshares, &turns);
	set_bounds(256, 6 * 256);
	if (policy != NULL)
		configure(1, policy);
}

static void
begin(const LanePolicy *policy)
{
	begin_as(0, 1, policy);
}

/* So many rows of a user from this id on, committed together. */
static void
queue_many(int destination, int64 first, int count, int64 key)
{
	for (int i = 0; i < count; i++)
		insert(destination, first + i, key);
	commit(destination, first, first + count - 1);
}

/* What was handed out and is not recorded yet, in this order. */
static QueueItem *taken[4000];
static int	ntaken;

static void
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

static QueueItem *
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
static int64
next_id(void)
{
	QueueItem  *item = next_item();

	return item != NULL ? schedule_row(item)->event_id : 0;
}

static QueueItem *
goes(int64 id, const char *name)
{
	is_int(next_id(), id, name);
	if (ntaken == 0)
		elog(ERROR, "nothing goes: %s", name);
	return taken[ntaken - 1];
}

static void
nothing_goes(const char *name)
{
	is_int(next_id(), 0, name);
}

static bool
is_taken(int64 id)
{
	for (int i = 0; i < ntaken; i++)
		if (schedule_row(taken[i])->event_id == id)
			return true;
	return false;
}

/* How many may go now, all that may. */
static int
take_all(void)
{
	int			count = 0;

	while (next_item() != NULL)
		count++;
	return count;
}

static void
finish(QueueItem *item, VerdictKind kind, VerdictSignal signal, int64 wait_us)
{
	Verdict		verdict = {.kind = kind, .signal = signal, .retry_at = t + wait_us,
		.first_attempt_at = clock_wall(t), .reason = "HTTP status 500"};

	schedule_finished(item, &verdict, t);
}

/* As queue_record() does. */
static void
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

static void
deliver(QueueItem *item)
{
	finish(item, VERDICT_DELIVERED, SIGNAL_ALIVE, 0);
	record(item);
}

static void
retry(QueueItem *item, VerdictSignal signal, int64 wait_us)
{
	finish(item, VERDICT_RETRY, signal, wait_us);
	record(item);
}

static void
put_back(QueueItem *item)
{
	not_taken(item);
	schedule_put_back(item, t);
}

static void
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
static int
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

static void
all_go(int expected, bool in_order, const char *name)
{
	is_int(drain(in_order), expected, name);
}

/* In the table, of this worker's share. */
static int
nrows_left(void)
{
	int			count = 0;

	for (int i = 1; i <= NDESTS; i++)
		for (int64 id = lowest[i]; id <= highest; id++)
			count += table[i][id].exists && table[i][id].visible && is_mine(&table[i][id].row);
	return count;
}

static void
remove_lane(Lane *lane, void *all)
{
	*(bool *) all &= schedule_remove(lane);
}

/* Nothing is counted for ever: lanes can be forgotten, and there is all the room. */
static void
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

/* ---------------------------------------------------------------------
 * Order
 * ---------------------------------------------------------------------
 */

static void
order_per_user(void)
{
	QueueItem  *a;
	QueueItem  *b;

	begin(&usual);
	for (int id = 1; id <= 6; id++)
		insert(1, id, id % 2 ? 100 : 200);
	commit(1, 1, 6);
	a = goes(1, "the first of one user");
	b = goes(2, "the first of another");
	nothing_goes("no second one of either");
	finish(a, VERDICT_DELIVERED, SIGNAL_ALIVE, 0);
	(void) goes(3, "the next one before the outcome is recorded");
	record(a);
	a = taken[ntaken - 1];
	finish(a, VERDICT_ABORTED, SIGNAL_ALIVE, 0);
	record(a);
	a = goes(5, "or when one is given up");
	put_back(a);
	a = goes(5, "what was put back comes again");

	/* a retry holds up its user only */
	retry(b, SIGNAL_FAILING, 10 * SECOND);
	nothing_goes("none overtakes what waits for its retry");
	is_int(schedule_wake_at(), t + 10 * SECOND, "that is what is waited for");
	deliver(a);
	t += 10 * SECOND - 1;
	nothing_goes("not a moment sooner");
	t += 1;
	b = goes(2, "at that time");
	is_int(schedule_row(b)->attempts, 1, "as a second attempt");
	is_int(schedule_row(b)->retry_at, clock_wall(t), "whose row says when it was due");
	ok(schedule_row(b)->first_attempt_at != 0, "and when the first one was");
	finish(b, VERDICT_RETRY, SIGNAL_FAILING, 0);
	nothing_goes("not before a retry is recorded");
	record(b);
	b = goes(2, "then at once");
	deliver(b);

	/* late commits */
	insert(1, 20, 200);
	insert(1, 30, 200);
	insert(1, 25, 200);
	commit(1, 30, 30);
	b = goes(4, "order goes on");
	commit(1, 20, 20);
	deliver(b);
	b = goes(6, "with each of them");
	commit(1, 25, 25);
	read_all();
	deliver(b);
	b = goes(20, "what committed late goes first if its id is lower");
	retry(b, SIGNAL_NONE, 0);
	insert(1, 10, 200);
	commit(1, 10, 10);
	b = goes(10, "also before what is to be tried again");
	retry(b, SIGNAL_NONE, SECOND);
	nothing_goes("which waits for it, then");
	all_go(4, true, "they all go");
	end();
}

static void
users(void)
{
	LanePolicy	unordered = usual;

	unordered.ordered = false;
	begin(&usual);
	configure(2, &usual);
	configure(3, &unordered);
	queue_many(1, 1, 2, 7);
	queue_many(1, 3, 1, NO_KEY);
	queue_many(1, 4, 1, NO_KEY);
	queue_many(2, 5, 2, 7);
	queue_many(3, 7, 3, 7);
	is_int(take_all(), 7, "each destination has an order of its own, or none");
	is_int(schedule_lane_in_flight(schedule_lane(1, t)), 3, "what has no user waits for nobody");
	is_int(schedule_lane_in_flight(schedule_lane(2, t)), 1, "of a user one at a time");
	is_int(schedule_lane_in_flight(schedule_lane(3, t)), 3, "where there is no order, all");
	is_int(schedule_lane_id(schedule_item_lane(taken[0])), schedule_row(taken[0])->destination_id,
		   "an item knows its lane");
	all_go(2, true, "the others follow");
	end();
}

/* ---------------------------------------------------------------------
 * Reading ahead
 * ---------------------------------------------------------------------
 */

/* Ids become visible in an order of their own: each id once, in as few reads as can be. */
static void
late_ranges(void)
{
	LanePolicy	unordered = usual;
	int64		last = 0;
	bool		in_order = true;
	int			merged;

	unordered.ordered = false;
	for (int apart = 1; apart <= 3; apart++)
	{
		begin(&unordered);
		queue_many(1, 1000, 1, NO_KEY);
		deliver(goes(1000, "a first one"));
		is_int(nreads[READ_AHEAD], 1, "is read ahead");

		/* more of them than are kept apart, from all sides */
		for (int i = 0; i < 40; i++)
		{
			int			id = 100 + (i * 17) % 40 * apart;

			insert(1, id, NO_KEY);
			commit(1, id, id);
		}
		merged = schedule_lane(1, t)->nranges;
		is_int(merged, apart == 1 ? 1 : LANE_RANGES, "neighbours become one, and so do others beyond a number");
		in_order = true;
		last = 0;
		for (int i = 0; i < merged; i++)
		{
			ok(read_once() && last_read.kind == READ_RANGE, "a late range is read");
			in_order &= last_read.after_id >= last;
			last = last_read.upto_id;
		}
		ok(in_order, "from low ids to high ones");
		ok(!read_once(), "and that is all");
		is_int(nreads[READ_AHEAD], 1, "nothing is read ahead for that");
		all_go(40, false, "all of them go");
		end();
	}

	/* a range that reaches beyond what was read, and one that is beyond it */
	begin(&unordered);
	queue_many(1, 1000, 1, NO_KEY);
	deliver(goes(1000, "a first one"));
	for (int id = 990; id < 1010; id++)
		if (id != 1000)
			insert(1, id, NO_KEY);
	commit(1, 990, 1009);
	ok(read_once() && last_read.kind == READ_RANGE && last_read.after_id == 989 && last_read.upto_id == 1000,
	   "up to the cursor it is late");
	ok(read_once() && last_read.kind == READ_AHEAD && last_read.after_id == 1000, "beyond, it is read ahead");
	all_go(19, true, "all of them go");

	/* a long one is read piece by piece */
	queue_many(1, 9000, 1, NO_KEY);
	deliver(goes(9000, "a later one"));
	queue_many(1, 2000, 5000, NO_KEY);
	nreads[READ_RANGE] = 0;
	read_all();
	is_between(nreads[READ_RANGE], 5000 / READ_ROWS, 5000 / 64 + 1, "a long range is read in pieces");
	all_go(5000, true, "of which none is lost");

	/* of all destinations */
	configure(2, &unordered);
	insert(1, 6000, NO_KEY);
	insert(2, 6000, NO_KEY);
	table[1][6000].visible = table[2][6000].visible = true;
	schedule_note_range(&(QueuedRange) {0, ALL_SHARES, 6000, 6000}, t);
	all_go(2, false, "a range of any destination");
	end();
}

/* A user's rows beyond a few are left in the table until they are wanted. */
static void
spilled(void)
{
	LanePolicy	unordered = usual;
	int			least = KEY_ITEMS_ROOMY;
	int			count = 0;
	QueueItem  *item;

	unordered.ordered = false;
	begin(&usual);
	queue_many(1, 1, 3000, 100);
	(void) goes(1, "the first of many");
	is_int(schedule_lane(1, t)->nitems, KEY_ITEMS_ROOMY, "so many are kept");
	for (int i = 0; i < 600; i++)
	{
		deliver(taken[0]);
		is_int(next_id(), i + 2, "the next");
		if (schedule_lane(1, t)->nitems > KEY_ITEMS_ROOMY)
			ok(false, "no more are kept");
		least = Min(least, schedule_lane(1, t)->nitems);
	}
	is_between(least, KEY_ITEMS / 2, KEY_ITEMS, "and in good time");
	ok(nreads[READ_HUNGRY] > 0, "they are read back");
	is_between(nreads[READ_HUNGRY], 2, 600 / 50, "many at a time");

	/* some commit late, before what was left there and behind it */
	insert(1, 20000, 100);
	insert(1, 20001, 200);
	commit(1, 20000, 20001);
	for (int id = 10000; id < 10500; id++)
		insert(1, id, id % 2 ? 100 : 200);
	commit(1, 10250, 10499);
	read_all();
	commit(1, 10000, 10249);
	deliver(taken[0]);
	all_go(3000 - 601 + 2 + 500, false, "they all go");
	end();

	/* nobody reads for a while */
	begin(&usual);
	queue_many(1, 1, 400, 100);
	read_all();
	while ((item = schedule_next(t)) != NULL)
	{
		taken[ntaken++] = item;
		deliver(item);
		count++;
	}
	is_int(count, KEY_ITEMS_ROOMY, "all that is in memory goes");
	all_go(400 - KEY_ITEMS_ROOMY, true, "and then the others");
	end();

	/* what commits late behind what was left there waits, even when that is wanted */
	begin(&usual);
	for (int id = 2; id <= 800; id += 2)
		insert(1, id, 100);
	commit(1, 2, 800);
	read_all();
	for (int i = 0; i < 250; i++)
	{
		item = schedule_next(t);
		taken[ntaken++] = item;
		deliver(item);
	}
	insert(1, 701, 100);
	commit(1, 701, 701);
	all_go(400 - 250 + 1, true, "in order with it");
	end();

	/* nor is it wanted when there is no order any more */
	begin(&usual);
	queue_many(1, 1, 400, 100);
	read_all();
	for (int i = 0; i < 250; i++)
	{
		item = schedule_next(t);
		taken[ntaken++] = item;
		deliver(item);
	}
	ok(!pairingheap_is_empty(&schedule_lane(1, t)->hungry), "it is wanted");
	configure(1, &unordered);
	ok(pairingheap_is_empty(&schedule_lane(1, t)->hungry), "it is not any more");
	all_go(150, false, "but read again with all others");
	end();

	/* what is left there does not keep others from being read, nor they it */
	begin(&usual);
	for (int id = 1; id <= 6000; id++)
		insert(1, id, id <= 257 || id > 5000 ? 100 : 200);
	commit(1, 1, 6000);
	read_all();
	for (int i = 0; i < 500; i++)
	{
		item = schedule_next(t);
		taken[ntaken++] = item;
		deliver(item);
	}
	queue_many(1, 6001, 4000, 200);
	for (int i = 0; i < 4; i++)
	{
		ok(read_once(), "there is something to read");
		is_int(last_read.kind, i % 2 ? READ_AHEAD : READ_HUNGRY, "both in turns");
	}
	end();

	/* one that goes before what is kept takes the place of the last of these */
	begin(&usual);
	insert(1, 1, 100);
	table[1][1].exists = false;
	queue_many(1, 11, 1000, 100);
	read_all();
	is_int(schedule_lane(1, t)->nitems, KEY_ITEMS_ROOMY, "as many as are kept");
	insert(1, 5, 100);
	commit(1, 5, 5);
	read_all();
	is_int(schedule_lane(1, t)->nitems, KEY_ITEMS_ROOMY, "and one before them");
	all_go(1001, true, "they all go");

	/* what becomes visible behind the place where it was left stays there */
	queue_many(1, 2000, 600, 100);
	queue_many(1, 3000, 10, 200);
	read_all();
	is_int(schedule_lane(1, t)->nitems, KEY_ITEMS_ROOMY + 10, "one user's are left there, another's are not");
	queue_many(1, 2700, 10, 100);
	read_all();
	is_int(schedule_lane(1, t)->nitems, KEY_ITEMS_ROOMY + 10, "more of them are not taken in");
	all_go(620, false, "they all go");
	end();
}

/* A destination has so many rows in memory, whoever they are of. */
static void
full_windows(void)
{
	LanePolicy	unordered = usual;
	int			most = 0;

	unordered.ordered = false;
	begin(&unordered);
	for (int i = 1; i <= 60000; i++)
		insert(1, i, NO_KEY)->row.retry_at = clock_wall(t + HOUR);
	commit(1, 1, 60000);
	nothing_goes("all wait for their retries");
	is_between(schedule_lane(1, t)->nitems, LANE_ITEMS, LANE_ITEMS + READ_ROWS, "a full window");
	t += HOUR;
	all_go(60000, false, "they all go");
	end();

	/* users in order, of each of which the first waits */
	begin(&usual);
	for (int i = 0; i < 120000; i++)
		insert(1, i + 1, i % 300)->row.retry_at = i < 300 ? clock_wall(t + HOUR) : 0;
	commit(1, 1, 120000);
	nothing_goes("all wait for their first");
	is_between(schedule_lane(1, t)->nitems, LANE_ITEMS / 2, LANE_ITEMS / 2 + 1000,
			   "a window that is half full has few of each");
	ok(!schedule_wants_read(t), "and all are known");
	t += HOUR;
	for (int idle = 0; idle < 10; idle++)
	{
		take_all();
		most = Max(most, schedule_lane(1, t)->nitems);
		deliver_all();
	}
	is_between(most, 1, LANE_ITEMS / 2 + 1000, "it does not grow beyond that");

	/* each in order */
	{
		int64		last[300] = {0};
		bool		in_order = true;
		int			count = 0;
		QueueItem  *item;

		while ((item = next_item()) != NULL)
		{
			in_order &= schedule_row(item)->event_id > last[schedule_row(item)->ordering_key];
			last[schedule_row(item)->ordering_key] = schedule_row(item)->event_id;
			count++;
			deliver(item);
		}
		ok(in_order, "each user's in order");
		is_between(count, 119000, 120000, "all of them");
		for (int i = 0; i < 300; i++)
			in_order &= last[i] == 119700 + (i + 1);
		ok(in_order, "up to the last");
	}
	end();
}

/* What was edited, cancelled or queued again is seen when it is read, or claimed. */
static void
changed_rows(void)
{
	QueueItem  *item;
	QueueRow	row;

	begin(&usual);
	queue_many(1, 1, 6, 100);
	item = goes(1, "the first");
	row = *schedule_row(item);
	row.attempts = 3;
	table[1][1].row = row;
	not_taken(item);
	schedule_replace(item, &row, t);
	item = goes(1, "its row has changed");
	is_int(schedule_row(item)->attempts, 3, "and is this now");
	is_int(schedule_lane_in_flight(schedule_lane(1, t)), 1, "it is counted once");

	row.retry_at = clock_wall(t + SECOND);
	table[1][1].row = row;
	not_taken(item);
	schedule_replace(item, &row, t);
	nothing_goes("it has to wait now, and the others for it");
	t += SECOND;
	item = goes(1, "then it goes");

	row.deliver_after = clock_wall(t + SECOND);
	table[1][1].row = row;
	not_taken(item);
	schedule_replace(item, &row, t);
	item = goes(2, "a row that is not due any more holds up nobody");
	t += SECOND;
	nothing_goes("until it is due, when it waits for its turn");
	table[1][2].exists = false;
	not_taken(item);
	schedule_replace(item, NULL, t);
	item = goes(1, "the next one goes when one is gone");
	deliver(item);

	/* it is another user's now */
	item = goes(3, "the next");
	row = *schedule_row(item);
	row.ordering_key = 200;
	table[1][3].row = row;
	not_taken(item);
	schedule_replace(item, &row, t);
	is_int(take_all(), 2, "what is another user's is in another's order");
	deliver_all();

	/* while they wait; cancelled, and queued again */
	item = goes(5, "the next");
	retry(item, SIGNAL_NONE, HOUR);
	nothing_goes("the last one waits");
	table[1][5].exists = false;
	commit(1, 5, 5);
	item = goes(6, "not for what was cancelled, if we are told");
	retry(item, SIGNAL_NONE, HOUR);
	insert(1, 6, 100)->row.queued_at = 1;
	commit(1, 6, 6);
	item = goes(6, "what was cancelled and queued again does not wait");
	is_int(schedule_row(item)->attempts, 0, "and begins anew");

	/* meanwhile in flight */
	insert(1, 6, 100)->row.queued_at = 2;
	commit(1, 6, 6);
	nothing_goes("not twice at the same time");
	finish(item, VERDICT_DELIVERED, SIGNAL_ALIVE, 0);
	not_taken(item);
	schedule_recorded(item, true, t);
	item = goes(6, "what was queued again meanwhile goes");
	finish(item, VERDICT_RETRY, SIGNAL_NONE, HOUR);
	table[1][6].row.queued_at = 3;
	not_taken(item);
	schedule_recorded(item, true, t);
	item = goes(6, "instead of what was to be tried again");
	deliver(item);

	/* edited while they wait, one thing at a time */
	for (int what = 0; what < 4; what++)
	{
		int			id = 40000 + 10 * what;

		queue_many(1, id, 2, 500 + what);
		retry(goes(id, "one that fails"), SIGNAL_NONE, HOUR);
		if (what == 0)
			table[1][id].row.retry_at = 0;
		else if (what == 1)
			table[1][id].row.attempts = 7;
		else if (what == 2)
			table[1][id + 1].row.ordering_key = 900;
		else
			table[1][id + 1].row.has_key = false;
		commit(1, id, id + 1);
		if (what == 1)
		{
			nothing_goes("attempts make no difference");
			t += HOUR;
			item = goes(id, "but are seen");
			is_int(schedule_row(item)->attempts, 7, "as they are now");
		}
		else
			(void) goes(what == 0 ? id : id + 1, "what makes one is seen at once");
		all_go(1, false, "the other goes");
	}

	/* told of too many to look for each: it is found when it is claimed */
	queue_many(1, 50000, 2, 300);
	item = goes(50000, "one that fails");
	retry(item, SIGNAL_NONE, SECOND);
	table[1][50000].exists = false;
	schedule_reread(schedule_lane(1, t), t);
	nothing_goes("it is waited for");
	t += SECOND;
	item = goes(50000, "and found missing");
	not_taken(item);
	schedule_replace(item, NULL, t);
	all_go(1, false, "the other goes");
	end();
}

static void
due_rows(void)
{
	LanePolicy	policy = usual;
	QueueItem  *item;

	begin(&usual);
	insert(1, 1, 100)->row.deliver_after = clock_wall(t + 100 * SECOND);
	insert(1, 2, 100)->row.deliver_after = clock_wall(t + 50 * SECOND);
	insert(1, 3, 100);
	insert(1, 4, 100)->row.deliver_after = clock_wall(t - 1);
	commit(1, 1, 4);
	deliver(goes(3, "what waits for a time holds up nobody"));
	deliver(goes(4, "nor does what has waited"));
	nothing_goes("the others wait");
	is_int(schedule_wake_at(), t + 50 * SECOND, "for the first one's time");
	t += 50 * SECOND - 1;
	nothing_goes("not sooner");
	t++;
	item = goes(2, "then it goes");
	t += 50 * SECOND;
	nothing_goes("a lower id that is due later waits");
	deliver(item);
	deliver(goes(1, "and goes then"));

	/* the wall's clock decides, and may be set */
	insert(1, 10, NO_KEY)->row.deliver_after = clock_wall(t + HOUR);
	insert(1, 11, NO_KEY)->row.deliver_after = clock_wall(t + 2 * HOUR);
	insert(1, 12, NO_KEY)->row.deliver_after = clock_wall(t + 3 * HOUR);
	commit(1, 10, 12);
	nothing_goes("all wait");
	is_between(schedule_wake_at() - t, 1, 60 * SECOND, "we look at the clock now and then");
	policy.halted = true;
	configure(1, &policy);
	is_int(schedule_wake_at(), 0, "but not for a destination that is halted");
	configure(1, &usual);
	wall_ahead += HOUR;
	t += 60 * SECOND;
	deliver(goes(10, "a clock that was set ahead is seen within a minute"));
	nothing_goes("the others wait");
	wall_ahead -= HOUR;
	insert(1, 13, NO_KEY)->row.deliver_after = clock_wall(t + 10 * SECOND);
	commit(1, 13, 13);
	t += 11 * SECOND;
	deliver(goes(13, "one that comes again for a clock that was set back"));
	t += 2 * HOUR;
	deliver(goes(11, "and those before it"));
	nothing_goes("but not more");

	/* more of them than are read at once, due together; and others' */
	for (int id = 1000; id < 3000; id++)
		insert(1, id, id % 7)->row.deliver_after = clock_wall(t + (id < 2500 ? 10 : 20) * SECOND);
	commit(1, 1000, 2999);
	nothing_goes("many wait");
	t += 10 * SECOND;
	is_int(take_all(), 7, "they go");
	deliver_all();
	all_go(2001 - 7, false, "all of them");
	ok(nreads[READ_DUE] > 1500 / READ_ROWS, "in several reads");
	end();

	/* what is due must not overtake what is not read yet */
	begin(&usual);
	for (int id = 1; id <= 200; id++)
		insert(1, id, id <= 100 ? id : 1);
	table[1][200].row.deliver_after = clock_wall(t + SECOND);
	for (int id = 101; id <= 199; id++)
		table[1][id].row.ordering_key = id;
	table[1][150].row.ordering_key = 1;
	commit(1, 1, 200);
	(void) next_item();
	ok(schedule_lane(1, t)->cursor < 150, "some are not read yet");
	t += 2 * SECOND;
	ok(read_once() && last_read.kind == READ_DUE, "what is due is read first");
	deliver_all();
	while ((item = schedule_next(t)) != NULL)
	{
		taken[ntaken++] = item;
		deliver(item);
	}
	ok(table[1][200].exists, "but goes when what precedes it is read, too");
	ok(drain(true) > 0 && !table[1][200].exists, "in order");

	/* one that nobody told us of yet */
	insert(1, 300, 1)->row.deliver_after = clock_wall(t + SECOND);
	commit(1, 300, 300);
	nothing_goes("one waits");
	insert(1, 301, 2)->row.deliver_after = clock_wall(t + SECOND);
	table[1][301].visible = true;
	t += SECOND;
	is_int(take_all(), 2, "another one is found beside it");
	deliver_all();
	end();
}

static void
reading_fails(void)
{
	ReadRequest request;
	int64		waits[] = {1, 2, 4, 8, 16, 32, 60, 60};

	begin(&usual);
	queue_many(1, 1, 1, NO_KEY);
	for (int i = 0; i < lengthof(waits); i++)
	{
		ok(schedule_wants_read(t) && schedule_next_read(t, &request), "it is to be read");
		schedule_read_failed(request.lane, t);
		ok(!schedule_wants_read(t), "not at once again");
		is_int(schedule_wake_at(), t + waits[i] * SECOND, "but then");
		t += waits[i] * SECOND - 1;
		ok(!schedule_wants_read(t), "not sooner");
		t++;
	}
	ok(schedule_wants_read(t) && schedule_next_read(t, &request), "it is to be read");
	ok(!schedule_next_read(t, &request), "by one reader");
	schedule_settle_all(t);
	ok(schedule_wants_read(t), "what was wanted is wanted still");
	(void) goes(1, "it is read");
	queue_many(1, 2, 1, NO_KEY);
	ok(schedule_next_read(t, &request), "another one");
	schedule_read_failed(request.lane, t);
	is_int(schedule_wake_at(), t + SECOND, "after one that succeeds the pause is short again");
	all_go(1, false, "it goes");
	end();
}

static void
shares(void)
{
	int64		seen[201] = {0};

	for (int share = 0; share < 3; share++)
	{
		begin_as(share, 3, &usual);
		for (int id = 1; id <= 200; id++)
			insert(1, id, id % 3 ? id % 50 : NO_KEY);
		commit(1, 1, 200);
		for (QueueItem *item = next_item(); item != NULL; item = next_item())
		{
			const QueueRow *row = schedule_row(item);

			seen[row->event_id] += is_mine(row) &&
				share_of(1, row->has_key ? row->ordering_key : row->event_id, 3) == share ? 1 : 100;
			deliver(item);
		}
		end();
	}
	for (int id = 1; id <= 200; id++)
		seen[0] += seen[id] == 1;
	is_int(seen[0], 200, "each row is in one worker's share");
}

/* ---------------------------------------------------------------------
 * Retries
 * ---------------------------------------------------------------------
 */

static void
retries(void)
{
	LanePolicy	policy = usual;
	QueueItem  *item;
	const QueueRow *row;
	Verdict		verdict = {.kind = VERDICT_RETRY, .signal = SIGNAL_NONE, .pause = true};

	policy.max_wait_us = HOUR;
	begin(&policy);
	insert(1, 1, NO_KEY)->row.retry_at = clock_wall(t + 30 * SECOND);
	insert(1, 2, NO_KEY)->row.retry_at = clock_wall(t + 100 * HOUR);
	insert(1, 3, NO_KEY)->row.retry_at = clock_wall(t - 100 * HOUR);
	insert(1, 4, NO_KEY)->row.retry_at = DT_NOEND;
	commit(1, 1, 4);
	deliver(goes(3, "what was due long ago"));
	nothing_goes("others wait for the time in their rows");
	is_int(schedule_wake_at(), t + 30 * SECOND, "for the first");
	t += 30 * SECOND;
	deliver(goes(1, "which comes"));
	t += HOUR - 30 * SECOND - 1;
	nothing_goes("none waits longer than the longest pause");
	t++;
	is_int(take_all(), 2, "whatever a clock that was wrong has put there");
	deliver_all();

	/* put off, and remembered until it was sent */
	queue_many(1, 10, 2, 100);
	item = goes(10, "one");
	ok(!schedule_is_alone(item), "is made with others");
	not_taken(item);
	schedule_put_off(item, t + SECOND, t);
	nothing_goes("it is put off, and the others wait");
	is_int(schedule_wake_at(), t + SECOND, "for that time");
	t += SECOND;
	item = goes(10, "then it goes");
	ok(schedule_is_alone(item), "alone");
	put_back(item);
	item = goes(10, "again");
	ok(schedule_is_alone(item), "that is remembered");
	retry(item, SIGNAL_UNSENT, 0);
	item = goes(10, "again");
	ok(schedule_is_alone(item), "until it was sent");
	retry(item, SIGNAL_NONE, 0);
	item = goes(10, "again");
	ok(!schedule_is_alone(item), "then it is not any more");
	not_taken(item);
	schedule_put_off(item, t + HOUR, t);
	table[1][10].row.queued_at = 1;
	commit(1, 10, 10);
	item = goes(10, "queued again");
	ok(!schedule_is_alone(item), "it is another one");

	/* a status that pauses the destination */
	schedule_finished(item, &verdict, t);
	record(item);
	nothing_goes("a destination that is paused");
	ok(schedule_lane_halted(schedule_lane(1, t)), "is halted at once");
	configure(1, &policy);
	item = goes(10, "and goes on when it is configured so");
	row = schedule_row(item);
	is_int(row->attempts, 3, "its attempts were counted");
	all_go(1, false, "the rest");

	/* gone: whatever it waits for, it is to be given up */
	insert(1, 20, 100)->row.retry_at = clock_wall(t + HOUR);
	insert(1, 21, 100);
	insert(1, 22, 100)->row.deliver_after = clock_wall(t + HOUR);
	commit(1, 20, 22);
	nothing_goes("all wait");
	policy.gone = policy.halted = true;
	configure(1, &policy);
	ok(!schedule_lane_halted(schedule_lane(1, t)), "gone is not halted");
	is_int(take_all(), 3, "for a destination that is gone, none waits for anything");
	ok(schedule_waits_for_nothing(taken[0]), "nor can it be put off");
	policy.gone = policy.halted = false;
	configure(1, &policy);
	ok(!schedule_waits_for_nothing(taken[0]), "for one that is there");
	deliver_all();
	end();
}

/* ---------------------------------------------------------------------
 * How many
 * ---------------------------------------------------------------------
 */

static void
bounds(void)
{
	LanePolicy	policy = usual;
	int			count;

	policy.ordered = false;
	policy.max_in_flight = 9;
	begin(&policy);
	queue_many(1, 1, 1000, NO_KEY);
	is_int(take_all(), SLOW_START, "at first a few");
	for (int i = 1; i <= 10; i++)
	{
		deliver(taken[0]);
		take_all();
		is_int(ntaken, Min(SLOW_START + i, 9), "one more with each good answer, up to its bound");
	}
	while (ntaken > 0)
	{
		finish(taken[0], VERDICT_ABORTED, SIGNAL_NONE, 0);
		record(taken[0]);
	}
	t++;						/* so that they are younger than the last good answer */
	take_all();
	for (int failures = 1; failures <= 50; failures++)
	{
		finish(taken[0], VERDICT_ABORTED, SIGNAL_FAILING, 0);
		record(taken[0]);
		while (ntaken > 0)
		{
			/* these say nothing of it */
			finish(taken[0], VERDICT_ABORTED, SIGNAL_NONE, 0);
			record(taken[0]);
		}
		is_int(take_all(), Max(1, 9 >> failures / 4), "every four failures in a row halve it");
	}
	deliver(taken[0]);
	is_int(take_all(), 9, "one good answer makes up for them");
	end();

	/* all lanes together */
	policy.max_in_flight = 1000;
	begin(&policy);
	for (int i = 2; i <= 4; i++)
		configure(i, &policy);
	for (int i = 1; i <= 4; i++)
		queue_many(i, 10000 * i, 1000, NO_KEY);
	set_bounds(40, 40);
	for (int round = 0; round < 60; round++)
	{
		take_all();
		if (ntaken > 40)
			ok(false, "no more than that");
		for (int i = 1; i <= 4; i++)
			if (schedule_lane_in_flight(schedule_lane(i, t)) == 0)
				ok(false, "each has some");
		for (int half = ntaken / 2; half > 0; half--)
			deliver(taken[0]);
	}
	take_all();
	is_between(ntaken, 30, 40, "of all lanes together there is a bound");
	count = schedule_lane_in_flight(schedule_lane(1, t));
	is_between(count, 5, 15, "of which each has a part");
	set_bounds(10, 10);
	nothing_goes("the bound may shrink");
	deliver_all();
	is_between(take_all(), 6, 10, "and holds then");
	set_bounds(256, 6 * 256);
	end();

	/* one lane takes what is free, but leaves as much */
	begin(&policy);
	queue_many(1, 1, 400, NO_KEY);
	set_bounds(40, 6 * 40);
	for (int round = 0; round < 40; round++)
	{
		take_all();
		deliver_all();
	}
	queue_many(1, 1001, 100, NO_KEY);
	is_int(take_all(), 20, "one lane by itself has half of all");
	set_bounds(256, 6 * 256);
	end();

	/* those that hang leave room to those that answer */
	begin(&policy);
	for (int i = 2; i <= NDESTS; i++)
		configure(i, &policy);
	set_bounds(40, 6 * 40);
	queue_many(1, 1, 400, NO_KEY);
	for (int round = 0; round < 30; round++)
	{
		take_all();
		deliver_all();
	}
	t += SECOND;
	for (int i = 2; i <= NDESTS; i++)
	{
		schedule_lane(i, t)->allowed = 100;
		queue_many(i, 10000 * i, 100, NO_KEY);
	}
	is_int(take_all(), 50, "those that never answered have a quarter of their own places for more than one each");
	queue_many(1, 90001, 100, NO_KEY);
	is_int(take_all(), 20, "others have all of theirs beside them");
	deliver_all();
	set_bounds(256, 6 * 256);
	end();
}

/* Those that answer, and begin to hang all together */
static void
late_requests(void)
{
	LanePolicy	policy = usual;
	int			count;

	policy.ordered = false;
	policy.max_in_flight = 30;
	begin(&policy);
	set_bounds(40, 6 * 40);
	for (int i = 1; i <= NDESTS; i++)
	{
		configure(i, &policy);
		schedule_lane(i, t)->allowed = 30;
		queue_many(i, 10000 * i, 1, NO_KEY);
	}
	take_all();
	deliver_all();
	is_int(schedule_wake_at(), 0, "nothing is waited for");

	t += SECOND;
	for (int i = 1; i < NDESTS; i++)
		queue_many(i, 10000 * i + 1, 100, NO_KEY);
	count = take_all();
	is_between(count, 30, 40, "nearly all the places of those that answer are taken");
	is_int(schedule_wake_at(), t + SECOND / 4, "they are late after a while");
	t = schedule_wake_at();
	queue_many(NDESTS, 10000 * NDESTS + 1, 2, NO_KEY);
	while (next_item() != NULL)
		;
	is_int(schedule_lane_in_flight(schedule_lane(NDESTS, t)), 2, "and make room then");
	is_between(ntaken - count - 2, 10, 40, "those that hang have other places");
	is_int(schedule_wake_at(), 0, "there is nothing to wait for");

	/* what comes of their requests */
	for (int i = 0; i < 2; i++)
	{
		while (schedule_row(taken[0])->destination_id != 1)
			deliver(taken[0]);
		if (i == 0)
		{
			t += SECOND;
			retry(taken[0], SIGNAL_FAILING, 60 * SECOND);
			ok(schedule_lane(1, t)->hangs, "one that fails late hangs still");
		}
	}
	deliver(taken[0]);
	ok(!schedule_lane(1, t)->hangs, "until it answers");
	take_all();
	t++;
	while (schedule_row(taken[0])->destination_id != 1)
		deliver(taken[0]);
	retry(taken[0], SIGNAL_FAILING, 60 * SECOND);
	ok(!schedule_lane(1, t)->hangs, "nor does one that fails at once");
	deliver_all();
	while (ntaken > 0 || take_all() > 0)
		deliver_all();
	set_bounds(256, 6 * 256);
	end();
}

/* One after the other, whatever one of them has waiting. */
static void
fairness(void)
{
	LanePolicy	policy = usual;
	int			nof[4] = {0};

	policy.ordered = false;
	begin(&policy);
	configure(2, &policy);
	configure(3, &policy);
	queue_many(1, 1, 3000, NO_KEY);
	queue_many(2, 3001, 100, NO_KEY);
	queue_many(3, 3101, 100, NO_KEY);
	for (int i = 0; i < 90; i++)
	{
		QueueItem  *item = next_item();

		nof[schedule_row(item)->destination_id]++;
		deliver(item);
	}
	for (int i = 1; i <= 3; i++)
		is_int(nof[i], 30, "each has its turn");

	/* which who had to be put back has not had */
	(void) next_item();
	(void) next_item();
	nof[0] = schedule_row(taken[1])->destination_id;
	put_back(taken[1]);
	(void) next_item();			/* the third */
	schedule_admit(taken[0], 10);
	schedule_admit(taken[1], 10);
	is_int(schedule_row(next_item())->destination_id, nof[0], "what was put back comes first");
	end();
}

/* How much room large ones have is seen in the tests of room.c; here, what becomes of them. */
static void
large_events(void)
{
	int64		all;
	int64		large;
	int			waits;
	QueueItem  *one;
	QueueItem  *other;

	begin(&usual);
	configure(2, &usual);
	all = schedule_free_bytes();
	queue_many(1, 1, 3, NO_KEY);
	queue_many(2, 11, 3, NO_KEY);
	one = next_item();
	ok(schedule_admit(one, 1000), "a small one");
	is_int(schedule_free_bytes(), all, "takes up no room");
	ok(schedule_admit(one, 30 * 1024 * 1024), "its request may be larger");
	is_int(schedule_free_bytes(), all, "a single one that does not fit goes beside the others");
	other = next_item();
	ok(schedule_row(other)->destination_id != schedule_row(one)->destination_id, "one of another destination");
	ok(!schedule_admit(other, 30 * 1024 * 1024), "but only one");
	put_back(other);
	table[2][11].exists = false;
	commit(2, 11, 11);
	insert(2, 14, NO_KEY);
	commit(2, 14, 14);
	take_all();
	ok(is_taken(14), "when it is cancelled, another one goes");
	while (taken[ntaken - 1] != one)
		put_back(taken[ntaken - 1]);
	other = next_item();
	large = schedule_row(other)->event_id;
	waits = schedule_row(other)->destination_id;
	ok(!schedule_admit(other, 30 * 1024 * 1024), "another large one");
	put_back(other);
	while ((other = next_item()) != NULL)
	{
		ok(schedule_row(other)->destination_id != waits, "that destination waits for room");
		ok(schedule_admit(other, 10), "others do not");
	}
	deliver(one);
	other = goes(large, "it goes first when there is room");
	ok(schedule_admit(other, 30 * 1024 * 1024), "and has it");
	finish(other, VERDICT_RETRY, SIGNAL_NONE, 0);
	is_int(schedule_free_bytes(), all, "which it gives back");
	record(other);
	end();
}

static void
rates(void)
{
	LanePolicy	policy = usual;
	QueueItem  *item;

	policy.ordered = false;
	policy.rate_limit = 10;
	begin(&policy);
	queue_many(1, 1, 300, NO_KEY);
	is_int(take_all(), 1, "one at first");
	is_between(schedule_wake_at() - t, 100000, 100010, "the next a tenth of a second later");
	t += 99990;
	nothing_goes("not sooner");
	t += 20;
	item = next_item();
	ok(item != NULL, "then it goes");
	nothing_goes("by itself");
	put_back(item);
	is_int(take_all(), 1, "one that was not sent does not count");
	t += HOUR;
	is_int(take_all(), 1, "nothing is saved up");
	deliver_all();

	policy.rate_limit = 200;
	policy.max_in_flight = 100;
	configure(1, &policy);
	schedule_lane(1, t)->allowed = 100;
	t += HOUR;
	is_int(take_all(), 20, "but for a tenth of a second");
	deliver_all();
	for (int i = 0; i < 10; i++)
	{
		t += 10000;
		take_all();
	}
	is_between(ntaken, 19, 20, "so many in another tenth");
	end();

	/* of several workers each has a part */
	begin_as(0, 2, &policy);
	for (int id = 1; id <= 1000; id++)
		insert(1, id, NO_KEY);
	commit(1, 1, 1000);
	schedule_lane(1, t)->allowed = 100;
	t += HOUR;
	is_int(take_all(), 10, "a half of that rate");
	policy.rate_limit = 0;
	configure(1, &policy);
	end();
}

static void
lacking(void)
{
	static const int waits_ms[] = {250, 500, 1000, 2000, 4000, 4000};
	LanePolicy	policy = usual;
	QueueItem  *item;

	policy.ordered = false;
	policy.rate_limit = 1e6;
	begin(&policy);
	configure(2, &policy);
	queue_many(1, 1, 10, NO_KEY);
	for (int i = 0; i < lengthof(waits_ms); i++)
	{
		item = i == 0 ? goes(1, "one") : next_item();
		if (item == NULL || schedule_row(item)->destination_id != 1)
			elog(ERROR, "nothing goes");
		t += 10;
		not_taken(item);
		schedule_lacked(item, t);
		is_int(schedule_lacking(), 1, "a lane that lacks something");
		is_int(schedule_wake_at(), t + waits_ms[i] * 1000, "waits, longer each time");
		t += waits_ms[i] * 1000 - 1;
		nothing_goes("not less");
		t += 1;
	}
	item = next_item();
	nothing_goes("then one goes, by itself");
	queue_many(2, 11, 1, NO_KEY);
	deliver(goes(11, "others do not wait"));
	deliver(item);
	is_int(schedule_lacking(), 0, "it is lacking no more");
	is_int(take_all(), 5, "and goes on as before");
	put_back(taken[2]);

	/* those that were taken together tell the same */
	t += 10;
	item = taken[0];
	not_taken(item);
	schedule_lacked(item, t);
	t += 10;
	item = taken[0];
	not_taken(item);
	schedule_lacked(item, t);
	is_int(schedule_wake_at(), t - 10 + 250000, "several at once count as one");
	item = taken[0];
	finish(item, VERDICT_DELIVERED, SIGNAL_ALIVE, 0);
	record(item);
	is_int(schedule_lacking(), 1, "one that was sent before shows nothing");
	policy.halted = true;
	configure(1, &policy);
	is_int(schedule_lacking(), 0, "a lane that may send nothing lacks nothing");
	policy.halted = false;
	configure(1, &policy);
	end();
}

static void
held(void)
{
	LanePolicy	policy = usual;
	QueueItem  *items[1000];
	QueueItem  *one;
	int			nheld = 0;
	int			ntold = 0;

	policy.ordered = false;
	policy.max_in_flight = 3000;
	begin(&policy);
	configure(2, &policy);
	set_bounds(8000, 6 * 8000);
	queue_many(1, 1, 1001, NO_KEY);
	for (int id = 1; id <= 999; id++)
	{
		items[nheld] = goes(id, "one");
		finish(items[nheld], VERDICT_DELIVERED, SIGNAL_ALIVE, 0);
		ntold += schedule_held(items[nheld++], 100);
	}
	is_int(ntold, 0, "a lane that holds less than is left for others goes on");
	one = goes(1000, "one");
	items[nheld] = goes(1001, "another");
	finish(items[nheld], VERDICT_DELIVERED, SIGNAL_ALIVE, 0);
	ok(schedule_held(items[nheld++], 100), "when it holds more, it is told");
	finish(one, VERDICT_DELIVERED, SIGNAL_ALIVE, 0);
	ok(!schedule_held(one, 100), "once");
	schedule_held_no_more(one, 100);
	record(one);
	queue_many(1, 2001, 20, NO_KEY);
	nothing_goes("it sends nothing");

	/* with as many as are left for others, or a few */
	queue_many(2, 3001, 501, NO_KEY);
	for (int i = 0; i < 500; i++)
	{
		(void) goes(3001 + i, "another lane has half of what is left");
		finish(taken[ntaken - 1], VERDICT_DELIVERED, SIGNAL_ALIVE, 0);
		is_int(schedule_held(taken[ntaken - 1], 100), i == 499, "when it holds that, it is told");
	}
	nothing_goes("then it sends nothing either");
	for (int i = ntaken - 1; i >= 1000; i--)
		ntold += schedule_held_no_more(taken[i], 100);
	is_int(ntold, 1, "that all of them are through is told");
	(void) goes(3501, "then it sends again");

	ntold = schedule_held_no_more(items[--nheld], 100);
	is_int(next_id(), 2001, "the first one, too, when it holds less");
	while (nheld > 0)
	{
		is_int(ntold, 0, "it is told that all are through");
		ntold += schedule_held_no_more(items[--nheld], 100);
	}
	is_int(ntold, 1, "when they are");
	set_bounds(256, 6 * 256);
	end();
}

/* ---------------------------------------------------------------------
 * Breakers and turns
 * ---------------------------------------------------------------------
 */

static void
breakers(void)
{
	LanePolicy	policy = usual;
	QueueItem  *item;
	Lane	   *lane;
	Breaker		stored = {0};

	policy.ordered = false;
	policy.breaker_failures = 3;
	begin(&policy);
	lane = schedule_lane(1, t);
	queue_many(1, 1, 300, NO_KEY);
	deliver(goes(1, "one"));
	t++;
	take_all();
	is_int(ntaken, 5, "several");
	retry(taken[0], SIGNAL_FAILING, HOUR);
	retry(taken[0], SIGNAL_FAILING, HOUR);
	deliver(taken[0]);
	t++;
	take_all();
	retry(taken[0], SIGNAL_FAILING, HOUR);
	retry(taken[0], SIGNAL_FAILING, HOUR);
	retry(taken[0], SIGNAL_FAILING, HOUR);
	ok(!schedule_breaker_changed(), "failures that are older than a good answer do not count");
	deliver_all();
	t++;
	take_all();
	retry(taken[0], SIGNAL_FAILING, HOUR);
	retry(taken[0], SIGNAL_NONE, HOUR);
	retry(taken[0], SIGNAL_FAILING, HOUR);
	ok(!schedule_breaker_changed() && schedule_next_changed_breaker() == NULL, "two failures are not enough");
	ok(next_item() != NULL, "it sends");
	schedule_set_breaker(lane, &stored, t);
	retry(taken[0], SIGNAL_FAILING, SECOND);
	ok(schedule_breaker_changed(), "the third in a row opens the breaker");
	ok(schedule_next_changed_breaker() == lane, "of this lane");
	ok(schedule_next_changed_breaker() == NULL, "which is said once");
	schedule_breaker_unsaved(lane);
	ok(schedule_next_changed_breaker() == lane, "or again if it could not be saved");
	schedule_breaker_saved(lane, t);
	is_int(schedule_lane_breaker(lane)->failures, 3, "with its count");
	is_int(schedule_lane_breaker(lane)->opened_at, clock_wall(t), "its time");
	is_text(schedule_lane_breaker(lane)->reason, "HTTP status 500", "and its reason");
	is_int(schedule_lane_breaker(lane)->next_probe_at, t + SECOND, "and when it is tried");
	nothing_goes("it sends nothing");
	retry(taken[0], SIGNAL_FAILING, 0);
	retry(taken[0], SIGNAL_FAILING, 0);
	ok(!schedule_breaker_changed(), "failures of what was in flight do not count");
	while (ntaken > 0)
		retry(taken[0], SIGNAL_NONE, 0);
	is_int(schedule_wake_at(), t + SECOND, "it waits for that time");

	/* probes */
	t += SECOND - 1;
	nothing_goes("not sooner");
	t++;
	item = next_item();
	ok(item != NULL, "one goes");
	nothing_goes("by itself");
	put_back(item);
	item = next_item();
	ok(item != NULL, "also after one that was not sent");
	retry(item, SIGNAL_FAILING, 0);
	is_int(schedule_lane_breaker(lane)->next_probe_at, t + 2 * SECOND, "after one that failed the pause is longer");
	t += 2 * SECOND;
	retry(next_item(), SIGNAL_NONE, 0);
	is_int(schedule_lane_breaker(lane)->next_probe_at, t + 4 * SECOND, "also after one that shows nothing good");
	t += 4 * SECOND;
	retry(next_item(), SIGNAL_FAILING, 30 * SECOND);
	is_int(schedule_lane_breaker(lane)->next_probe_at, t + 30 * SECOND, "or as long as it asked for");
	t += 30 * SECOND;
	retry(next_item(), SIGNAL_FAILING, HOUR);
	is_int(schedule_lane_breaker(lane)->next_probe_at, t + 60 * SECOND, "but not for ever");
	t += 60 * SECOND;
	item = next_item();
	finish(item, VERDICT_ABORTED, SIGNAL_NONE, 0);
	record(item);
	item = next_item();
	ok(item != NULL, "one that was given up says nothing, and another one goes");
	ok(schedule_next_changed_breaker() == lane, "it has changed");
	schedule_breaker_saved(lane, t);
	deliver(item);
	ok(schedule_next_changed_breaker() == lane, "a good answer closes it");
	is_int(schedule_lane_breaker(lane)->opened_at, 0, "it is closed");
	schedule_breaker_saved(lane, t);
	ok(take_all() > 3, "and all goes on");

	/* what the table says */
	deliver_all();
	stored.opened_at = clock_wall(t);
	stored.failures = 7;
	stored.next_probe_at = t + 10 * SECOND;
	schedule_set_breaker(lane, &stored, t);
	nothing_goes("another worker has opened it");
	is_int(schedule_wake_at(), t + 10 * SECOND, "until then");
	t += 10 * SECOND;
	item = next_item();
	retry(item, SIGNAL_FAILING, 0);
	is_int(schedule_lane_breaker(lane)->failures, 8, "its failures are counted on");
	is_int(schedule_lane_breaker(lane)->next_probe_at, t + 32 * SECOND, "and so is its pause");
	memset(&stored, 0, sizeof(stored));
	schedule_set_breaker(lane, &stored, t);
	ok(schedule_lane_breaker(lane)->opened_at != 0, "what is not saved yet is newer than the table");
	(void) schedule_next_changed_breaker();
	schedule_breaker_saved(lane, t);
	schedule_set_breaker(lane, &stored, t);
	is_int(take_all() > 3, 1, "another worker has closed it");
	deliver_all();
	stored.opened_at = clock_wall(t);
	stored.next_probe_at = t + HOUR;
	schedule_set_breaker(lane, &stored, t);
	is_int(schedule_wake_at(), t + 60 * SECOND, "the table's time is bounded, too");
	policy.breaker_failures = 0;
	configure(1, &policy);
	ok(schedule_next_changed_breaker() == lane, "a destination that is to have none has none");
	ok(next_item() != NULL, "and sends");
	for (int i = 0; i < 50; i++)
	{
		t++;
		retry(taken[0], SIGNAL_FAILING, 0);
		(void) next_item();
	}
	ok(!schedule_breaker_changed(), "however often it fails");

	/* one that has nothing but an open breaker */
	policy.breaker_failures = 3;
	configure(2, &policy);
	read_all();
	stored.next_probe_at = t + SECOND;
	schedule_set_breaker(schedule_lane(2, t), &stored, t);
	ok(!schedule_remove(schedule_lane(2, t)), "a lane stays for that alone");
	memset(&stored, 0, sizeof(stored));
	schedule_set_breaker(schedule_lane(2, t), &stored, t);
	end();
}

static void
turns_with_others(void)
{
	LanePolicy	policy = usual;
	QueueItem  *item;
	Lane	   *lane;

	policy.ordered = false;
	policy.max_in_flight = 5;
	begin_as(1, 3, &policy);
	lane = schedule_lane(1, t);
	lane->allowed = 100;
	for (int id = 1; id <= 300; id++)
		insert(1, id, NO_KEY);
	commit(1, 1, 300);
	is_int(take_all(), 2, "a part of what is allowed to all");
	is_int(nturns[1], 0, "without turns");
	deliver_all();
	begin_as(2, 3, &policy);
	lane = schedule_lane(1, t);
	lane->allowed = 100;
	for (int id = 1; id <= 300; id++)
		insert(1, id, NO_KEY);
	commit(1, 1, 300);
	is_int(take_all(), 1, "the last one has a smaller part");
	deliver_all();

	policy.max_in_flight = 2;
	policy.breaker_failures = 1;
	configure(1, &policy);
	item = next_item();
	ok(item != NULL && nturns[1] == 1 && turns_most == 2, "fewer than there are workers go by turns");
	nothing_goes("one at a time");
	deliver(item);
	is_int(nturns[1], 0, "its turn is over with it");
	turns_refused = true;
	nothing_goes("others have them all");
	is_int(schedule_wake_at(), t + SECOND, "we look again in a second");
	schedule_turns_left(t);
	nothing_goes("or when one is left, that another one has taken");
	is_int(schedule_wake_at(), t + SECOND, "and so on");
	turns_refused = false;
	nothing_goes("it waits");
	schedule_turns_left(t);
	item = next_item();
	ok(item != NULL && nturns[1] == 1, "one that is left is taken");
	turns_wanted = true;
	put_back(item);
	is_int(nturns[1], 0, "it is left when nothing was sent");
	nothing_goes("to those that wait for it, which go first");
	is_int(schedule_wake_at(), t + 20000, "a moment");
	turns_wanted = false;
	t += 20000;
	item = next_item();
	ok(item != NULL, "then it is ours");

	/* a probe's turn is kept until it is known what that has shown */
	t++;
	retry(item, SIGNAL_FAILING, 0);
	is_int(nturns[1], 1, "its turn goes on");
	ok(schedule_next_changed_breaker() == lane, "until its breaker");
	schedule_breaker_unsaved(lane);
	schedule_breaker_saved(lane, t);
	is_int(nturns[1], 1, "is saved");
	(void) schedule_next_changed_breaker();
	schedule_breaker_saved(lane, t);
	is_int(nturns[1], 0, "then it is over");
	t += SECOND;
	item = next_item();
	is_int(turns_most, 1, "an open breaker has one turn");
	deliver(item);
	(void) schedule_next_changed_breaker();
	schedule_breaker_saved(lane, t);
	is_int(nturns[1], 0, "it is over");

	/* who has no use for a turn does not wait for one */
	turns_refused = true;
	nothing_goes("others have them all");
	nwithdrawn = 0;
	policy.max_in_flight = 3;
	configure(1, &policy);
	is_int(nwithdrawn, 1, "where there are none any more, none is waited for");
	ok(next_item() != NULL, "nor needed");
	deliver_all();
	policy.max_in_flight = 1;
	configure(1, &policy);
	nothing_goes("others have them all");
	policy.halted = true;
	configure(1, &policy);
	nwithdrawn = 0;
	schedule_turns_left(t);
	is_int(nwithdrawn, 1, "one that cannot send leaves a turn to others");
	policy.halted = false;
	policy.gone = true;
	configure(1, &policy);
	ok(next_item() != NULL, "what is only to be given up needs none");
	deliver_all();
	end();

	/* one that waits for a turn takes up no room */
	policy = usual;
	policy.max_in_flight = 1;
	begin_as(0, 2, &policy);
	configure(2, &policy);
	configure(3, &policy);
	for (int i = 1; i <= 3; i++)
		queue_many(i, 100 * i, 50, NO_KEY);
	is_int(take_all(), 3, "one of each");
	for (int i = 0; i < 3; i++)
		is_int(schedule_admit(taken[i], 17 * 1024 * 1024), i < 2, "of three large ones, two fit");
	put_back(taken[2]);
	turns_refused = true;
	deliver_all();
	nothing_goes("others have all turns");
	is_int(schedule_free_bytes(), 64 * 1024 * 1024, "none takes up room");
	turns_refused = false;
	end();
}

/* ---------------------------------------------------------------------
 * Configuration
 * ---------------------------------------------------------------------
 */

static void
configurations(void)
{
	LanePolicy	policy = usual;
	LanePolicy	unordered = usual;
	QueueItem  *item;
	Lane	   *lane;

	unordered.ordered = false;
	begin(NULL);
	queue_many(1, 1, 10, 100);
	ok(schedule_wants_read(t), "a lane that is new wants to be configured");
	lane = schedule_next_unconfigured();
	is_int(lane != NULL ? schedule_lane_id(lane) : 0, 1, "it comes up");
	nothing_goes("it sends nothing");
	is_int(nreads[READ_AHEAD], 0, "and reads nothing");
	configure(1, &usual);
	ok(schedule_next_unconfigured() == NULL, "it is configured now");
	item = goes(1, "and sends");
	ok(!schedule_remove(lane), "it is needed");

	/* halted */
	policy.halted = true;
	configure(1, &policy);
	ok(schedule_lane_halted(lane), "it is halted");
	finish(item, VERDICT_RETRY, SIGNAL_NONE, SECOND);
	record(item);
	queue_many(1, 11, 5, 100);
	t += SECOND;
	nothing_goes("a lane that is halted sends nothing");
	ok(!schedule_wants_read(t), "nor reads");
	is_int(schedule_wake_at(), 0, "nor waits");
	configure(1, &usual);
	item = goes(1, "it goes on where it was");

	/* without order, and with it again */
	configure(1, &unordered);
	is_int(take_all(), 3, "without order others go beside it");
	configure(1, &usual);
	nothing_goes("with order again, they wait for all that are in flight");
	finish(taken[1], VERDICT_DELIVERED, SIGNAL_ALIVE, 0);
	finish(taken[2], VERDICT_RETRY, SIGNAL_NONE, SECOND);
	finish(taken[0], VERDICT_RETRY, SIGNAL_NONE, 2 * SECOND);
	nothing_goes("and for their retries");
	configure(1, &unordered);
	configure(1, &usual);
	nothing_goes("also when it changes meanwhile");
	deliver(taken[3]);
	while (ntaken > 0)
		record(taken[0]);
	nothing_goes("of which the first is first");
	t += SECOND;
	nothing_goes("though another one were due");
	all_go(15 - 2, true, "then all of them go");

	/* more of a user in flight than are kept of one */
	unordered.max_in_flight = 400;
	configure(1, &unordered);
	lane->allowed = 400;
	set_bounds(1000, 6 * 1000);
	queue_many(1, 1001, 300, 7);
	is_int(take_all(), 300, "very many without order");
	configure(1, &usual);
	queue_many(1, 2001, 20, 7);
	nothing_goes("those that come wait for all of them");
	is_int(lane->nitems, 301, "the first of these is kept");
	all_go(20, true, "and go then");
	set_bounds(256, 6 * 256);

	/* everything from the start */
	for (int id = 20; id < 30; id++)
	{
		insert(1, id, NO_KEY);
		table[1][id].visible = true;
	}
	nothing_goes("what nobody told us of");
	schedule_reread(lane, t);
	all_go(10, true, "is found by reading everything again");
	ok(schedule_remove(lane), "a lane that is not needed any more goes");
	is_int(schedule_lane(1, t)->configured, false, "and comes up anew");
	configure(1, &usual);
	end();
}

/* ---------------------------------------------------------------------
 * Random steps, which are judged by what a row is and by what came before
 * ---------------------------------------------------------------------
 */

#define RUN_STEPS	4000
#define RUN_USERS	12
#define MAX_OPEN	20			/* transactions that have not committed yet */

typedef struct Claimed
{
	QueueItem  *item;
	QueueRow	row;			/* as it was claimed */
	bool		decided;
	bool		final;			/* it is not to be tried again */
	bool		is_held;
	Instant		retry_from;
	int			retry_clock;
} Claimed;

typedef struct Transaction
{
	int			destination;
	int64		first;
	int64		last;
} Transaction;

static Claimed claimed[1000];
static int	nclaimed;
static Transaction open_ones[MAX_OPEN];
static int	nopen;
static LanePolicy policies[NDESTS + 1];
static int	done[NDESTS + 1][RUN_STEPS * 4];	/* final outcomes of a row */
static int64 next_row;
static int	run_share;
static int	run_nshares;
static int	run_bound;
static int	run_places;
static int	nclocks;			/* so often the wall's clock was set */
static TimestampTz wall_most;	/* the latest that it has shown */
static uint64 seed;
static char *broken;			/* the first rule that was */

static int
any(int n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (seed >> 11) % n;
}

static void
must(bool good, const char *rule, int destination, int64 id)
{
	if (!good && broken == NULL)
		broken = psprintf("%s: destination %d, event %lld", rule, destination, (long long) id);
}

static Claimed *
claim_of(int destination, int64 id)
{
	for (int i = 0; i < nclaimed; i++)
		if (claimed[i].row.destination_id == destination && claimed[i].row.event_id == id)
			return &claimed[i];
	return NULL;
}

static void
unclaim(Claimed *c)
{
	if (c->is_held)
		schedule_held_no_more(c->item, 100);
	*c = claimed[--nclaimed];
}

/* Which of a user's rows may not be waited for by a later one? */
static bool
holds_up_nobody(const TableRow *r, const TableRow *later, bool all_read)
{
	const Claimed *c = claim_of(r->row.destination_id, r->row.event_id);

	if (!r->exists || !r->visible)
		return true;
	if (c != NULL && c->final)
		return true;			/* or if it has been queued again meanwhile */
	if (r->row.deliver_after > clock_wall(t) || (r->row.deliver_after != 0 && !all_read))
		return true;
	return !all_read && r->committed > later->committed;
}

/* The rules for what is handed out. */
static void
judge(QueueItem *item, bool all_read)
{
	const QueueRow *row = schedule_row(item);
	int			destination = row->destination_id;
	const LanePolicy *policy = &policies[destination];
	TableRow   *r = &table[destination][row->event_id];
	int			in_flight = 1;
	int			total = 1;

	must(claim_of(destination, row->event_id) == NULL, "handed out twice at a time", destination, row->event_id);
	must(is_mine(row), "another worker's", destination, row->event_id);
	must(r->visible, "not committed", destination, row->event_id);
	for (int i = 0; i < nclaimed; i++)
	{
		const Claimed *c = &claimed[i];
		bool		same = c->row.destination_id == destination;

		total += !c->decided;
		in_flight += same && !c->decided;
		if (same && policy->ordered && !policy->gone && row->has_key && c->row.has_key &&
			c->row.ordering_key == row->ordering_key)
			must(c->final, "two of a user at a time", destination, row->event_id);
	}
	must(total <= run_places, "more in flight than all may have", destination, row->event_id);
	if (policy->gone)
		return;

	must(!policy->halted, "its destination is halted", destination, row->event_id);
	must(in_flight <= Max(1, policy->max_in_flight / run_nshares +
						  (run_share < policy->max_in_flight % run_nshares)),
		 "more in flight than its destination may have", destination, row->event_id);
	must(row->deliver_after <= Max(wall_most, clock_wall(t)), "it is not due", destination, row->event_id);
	must(r->retry_clock != nclocks || r->retry_from <= t, "it is not to be tried again yet",
		 destination, row->event_id);
	if (schedule_lane_breaker(schedule_lane(destination, t))->opened_at != 0)
		must(schedule_lane(destination, t)->probe == item &&
			 schedule_lane_breaker(schedule_lane(destination, t))->next_probe_at <= t,
			 "its breaker is open", destination, row->event_id);
	if (!policy->ordered || !row->has_key)
		return;
	if (schedule_lane(destination, t)->unread_until > t)
		all_read = false;		/* it cannot be read at present */
	for (int64 id = lowest[destination]; id < row->event_id; id++)
	{
		const TableRow *before = &table[destination][id];

		if (before->row.has_key && before->row.ordering_key == row->ordering_key)
			must(holds_up_nobody(before, r, all_read), "it overtakes another one", destination, row->event_id);
	}
}

/* False: nothing may go. */
static bool
claim(bool all_read)
{
	QueueItem  *item;

	if (all_read)
		read_all();
	else
		read_once();
	item = schedule_next(t);
	if (item == NULL)
	{
		must(schedule_wake_at() == 0 || schedule_wake_at() > t, "it waits for what has come", 0, schedule_wake_at());
		return false;
	}
	judge(item, all_read);

	/* the row is fetched, and is perhaps not what was read */
	{
		QueueRow	row = *schedule_row(item);
		TableRow   *r = &table[row.destination_id][row.event_id];

		if (!r->exists || r->row.queued_at != row.queued_at || r->row.attempts != row.attempts)
			schedule_replace(item, r->exists ? &r->row : NULL, t);
		else if (any(8) == 0)
		{
			switch (any(4))
			{
				case 0:
					schedule_put_back(item, t);
					break;
				case 1:
					schedule_lacked(item, t);
					break;
				case 2:
					if (!schedule_waits_for_nothing(item))
					{
						schedule_put_off(item, t + any(SECOND), t);
						break;
					}
					/* FALLTHROUGH */
				default:
					if (!schedule_admit(item, 1000000 * any(40)))
						schedule_put_back(item, t);
					else
						claimed[nclaimed++] = (Claimed) {item, row};
					break;
			}
		}
		else
			claimed[nclaimed++] = (Claimed) {item, row};
	}
	return true;
}

static void
decide(Claimed *c)
{
	int			luck = any(10);
	bool		gone = policies[c->row.destination_id].gone;
	VerdictKind kind = gone || luck < 6 ? VERDICT_DELIVERED : luck < 9 ? VERDICT_RETRY : VERDICT_ABORTED;
	VerdictSignal signal = gone ? SIGNAL_NONE : kind == VERDICT_DELIVERED ? SIGNAL_ALIVE :
		any(6) ? SIGNAL_FAILING : (VerdictSignal) any(2);

	c->retry_from = t + (any(4) == 0 ? 0 : any(5 * SECOND));
	c->retry_clock = nclocks;
	finish(c->item, kind, signal, c->retry_from - t);
	c->decided = true;
	c->final = kind != VERDICT_RETRY;
	if (any(10) == 0)
	{
		schedule_held(c->item, 100);
		c->is_held = true;
	}
}

/* As queue_record() does: what is not the claimed row any more stays. */
static void
record_claimed(Claimed *c)
{
	const QueueRow *now = schedule_row(c->item);
	TableRow   *r = &table[c->row.destination_id][c->row.event_id];
	QueueItem  *item = c->item;
	bool		same = r->exists && r->row.queued_at == c->row.queued_at && r->row.attempts == c->row.attempts;

	if (same && c->final)
	{
		r->exists = false;
		done[c->row.destination_id][c->row.event_id]++;
	}
	else if (same)
	{
		r->row.attempts = now->attempts;
		r->row.retry_at = now->retry_at;
		r->row.first_attempt_at = now->first_attempt_at;
		r->retry_from = c->retry_from;
		r->retry_clock = c->retry_clock;
	}
	unclaim(c);
	schedule_recorded(item, !same, t);
}

static void
begin_transaction(void)
{
	Transaction *x = &open_ones[nopen];

	if (nopen == MAX_OPEN)
		return;
	x->destination = 1 + any(NDESTS);
	x->first = next_row;
	x->last = next_row + any(any(10) == 0 ? 40 : 4);
	if (x->last >= RUN_STEPS * 4)
		return;
	for (int64 id = x->first; id <= x->last; id++)
	{
		TableRow   *r = insert(x->destination, id, any(8) == 0 ? NO_KEY : any(RUN_USERS));

		if (any(6) == 0)
			r->row.deliver_after = clock_wall(t + any(10 * SECOND));
	}
	next_row = x->last + 1;
	nopen++;
}

static void
commit_any(void)
{
	int			i = any(nopen);

	commit(open_ones[i].destination, open_ones[i].first, open_ones[i].last);
	open_ones[i] = open_ones[--nopen];
}

/* Somebody cancels a row, or queues it again. */
static void
interfere(void)
{
	int			destination = 1 + any(NDESTS);
	int64		id = 1 + any(next_row);
	TableRow   *r = &table[destination][id];
	static TimestampTz stamp = 1;

	if (!r->visible || !r->exists)
		return;
	r->exists = false;
	if (any(2) == 0)
	{
		r->exists = true;
		r->row.queued_at = stamp++;
		r->row.attempts = 0;
		r->row.retry_at = r->row.deliver_after = 0;
		r->retry_from = 0;
		r->committed = ++ncommits;
	}
	else
		done[destination][id]++;	/* nobody owes it any more */
	if (r->exists || any(2) == 0)
		commit(destination, id, id);
}

static void
reconfigure_any(void)
{
	int			destination = 1 + any(NDESTS);
	LanePolicy *policy = &policies[destination];

	switch (any(7))
	{
		case 0:
			policy->ordered = any(3) > 0;
			break;
		case 1:
			policy->halted = any(4) == 0;
			break;
		case 2:
			policy->max_in_flight = 1 + any(8);
			break;
		case 3:
			policy->rate_limit = any(3) == 0 ? 1 + any(100) : 0;
			break;
		case 4:
			policy->breaker_failures = any(2) * 4;
			break;
		case 5:
			policy->gone = any(8) == 0;
			break;
		default:
			schedule_reread(schedule_lane(destination, t), t);
			return;
	}
	configure(destination, policy);
}

static void
save_breakers(bool well)
{
	Lane	   *lane;

	while ((lane = schedule_next_changed_breaker()) != NULL)
	{
		if (well)
			schedule_breaker_saved(lane, t);
		else
		{
			schedule_breaker_unsaved(lane);
			return;
		}
	}
}

static void
step_at_random(void)
{
	int			what = any(100);
	ReadRequest request;

	if (what < 40)
		claim(any(4) > 0);
	else if (what < 58 && nclaimed > 0)
	{
		Claimed    *c = &claimed[any(nclaimed)];

		if (!c->decided)
			decide(c);
		else
			record_claimed(c);
	}
	else if (what < 72)
		begin_transaction();
	else if (what < 84 && nopen > 0)
		commit_any();
	else if (what < 88)
		t += any(10) ? any(SECOND / 5) : any(30 * SECOND);
	else if (what < 91)
		interfere();
	else if (what < 93)
		reconfigure_any();
	else if (what < 95)
		save_breakers(any(3) > 0);
	else if (what < 96)
		turns_refused = any(2);
	else if (what < 97)
	{
		turns_wanted = any(2);
		schedule_turns_left(t);
	}
	else if (what < 98 && schedule_wants_read(t) && schedule_next_read(t, &request))
	{
		schedule_settle_all(t);
		if (any(2))
			schedule_read_failed(request.lane, t);
	}
	else if (what < 99)
	{
		run_bound = 4 + any(60);
		run_places = run_bound * (1 + run_bound % 5);
		schedule_set_max_in_flight(run_bound, run_places, 64 * 1024 * 1024);
	}
	else
	{
		/* somebody sets the clock; the worker looks at it in each cycle */
		wall_most = Max(wall_most, clock_wall(t));
		nclocks++;
		wall_ahead += any(2) ? any(20 * SECOND) : -any(20 * SECOND);
		schedule_settle_all(t);
	}
}

/* All of it ends, with destinations that are there and answer. */
static bool
comes_to_an_end(void)
{
	turns_refused = turns_wanted = false;
	run_bound = run_places = 64;
	schedule_set_max_in_flight(run_bound, run_places, 64 * 1024 * 1024);
	while (nopen > 0)
		commit_any();
	for (int i = 1; i <= NDESTS; i++)
	{
		policies[i].halted = policies[i].gone = false;
		policies[i].rate_limit = 0;
		configure(i, &policies[i]);
	}
	for (int round = 0; round < 100000 && broken == NULL; round++)
	{
		save_breakers(true);
		if (claim(true))
			continue;
		if (nclaimed > 0)
		{
			Claimed    *c = &claimed[any(nclaimed)];

			if (!c->decided)
			{
				finish(c->item, VERDICT_DELIVERED, SIGNAL_ALIVE, 0);
				c->decided = c->final = true;
			}
			record_claimed(c);
		}
		else if (!schedule_wants_read(t) && schedule_wake_at() == 0)
			return true;
		else
			t = Max(t, schedule_wake_at());
	}
	return false;
}

static void
random_run(int number)
{
	int64		steps = 0;
	int			lost = 0;
	int			twice = 0;
	bool		all = true;

	seed = UINT64CONST(0x9E3779B97F4A7C15) * (number + 1);
	run_nshares = 1 + number % 3;
	run_share = number % run_nshares;
	run_bound = run_places = 40;
	nclaimed = nopen = 0;
	wall_most = 0;
	next_row = 1;
	memset(done, 0, sizeof(done));
	broken = NULL;
	begin_as(run_share, run_nshares, NULL);
	schedule_set_max_in_flight(run_bound, run_places, 64 * 1024 * 1024);
	for (int i = 1; i <= NDESTS; i++)
	{
		policies[i] = usual;
		policies[i].ordered = i % 3 > 0;
		policies[i].max_in_flight = i * 2;
		policies[i].breaker_failures = i == 2 ? 3 : 0;
		configure(i, &policies[i]);
	}
	while (steps < RUN_STEPS && broken == NULL)
	{
		step_at_random();
		steps++;
	}
	ok(comes_to_an_end(), psprintf("run %d comes to an end", number));
	if (!ok(broken == NULL, "and breaks no rule"))
		printf("#   after %lld steps: %s\n", (long long) steps, broken);

	/* every row that was committed for us has been handed out to its end, once */
	for (int i = 1; i <= NDESTS; i++)
		for (int64 id = 1; id < next_row; id++)
			if (table[i][id].visible && is_mine(&table[i][id].row))
			{
				lost += done[i][id] < 1 || table[i][id].exists;
				twice += done[i][id] > 1;
			}
	is_int(lost, 0, "no row is left or lost");
	is_int(twice, 0, "and none goes twice");
	is_int(schedule_free_bytes(), 64 * 1024 * 1024, "nothing takes up room");
	for (int i = 1; i <= NDESTS; i++)
	{
		is_int(schedule_lane_in_flight(schedule_lane(i, t)), 0, "nothing is in flight");
		is_int(schedule_lane(i, t)->nitems, 0, "nothing is in memory");
		is_int(nturns[i], 0, "no turn is kept");
	}
	schedule_each_lane(remove_lane, &all);
	ok(all, "lanes are not needed any more");
}

static void
random_runs(void)
{
	for (int number = 0; number < 6; number++)
		random_run(number);
}

static void
tests(void)
{
	order_per_user();
	users();
	late_ranges();
	spilled();
	full_windows();
	changed_rows();
	due_rows();
	reading_fails();
	shares();
	retries();
	bounds();
	late_requests();
	fairness();
	large_events();
	rates();
	lacking();
	held();
	breakers();
	turns_with_others();
	configurations();
	random_runs();
}
