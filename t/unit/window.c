/*-------------------------------------------------------------------------
 *
 * window.c
 *		Unit tests of which rows are kept in memory, and of rows that have changed.
 *
 * rooms: schedule/schedule.c schedule/next.c schedule/window.c schedule/order.c
 * rooms: schedule/reading.c schedule/items.c schedule/park.c schedule/parked.c
 * rooms: schedule/pace.c schedule/breaker.c schedule/trust.c schedule/places.c schedule/room.c destination/verdict.c
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include "steps.h"

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
	is_between(schedule_lane(1, t)->nitems, LANE_ITEMS / 2 - 1, LANE_ITEMS / 2 + 1, "a half of the window");
	is_int(schedule_lane(1, t)->nitems + schedule_lane(1, t)->nparked, 60000, "the others are parked");
	t += HOUR;
	all_go(60000, false, "they all go");
	end();

	/* users in order, of each of which the first waits */
	begin(&usual);
	for (int i = 0; i < 120000; i++)
		insert(1, i + 1, i % 300)->row.retry_at = i < 300 ? clock_wall(t + HOUR) : NO_TIME;
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
			table[1][id].row.retry_at = NO_TIME;
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

	end();
}

/* One fails, and is deleted; its user's next one waits for it no longer than nobody has told of that. */
static void
deleted_rows(void)
{
	Lane	   *lane;

	begin(&usual);
	lane = schedule_lane(1, t);
	for (int id = 1; id <= 100000; id += 10000)
	{
		queue_many(1, id, 2, id);
		retry(goes(id, "one that fails"), SIGNAL_NONE, HOUR);
	}
	nothing_goes("all wait");
	delete_row(1, 1);
	deliver(goes(2, "one that is told of is not waited for"));
	nreads[READ_SWEEP] = 0;
	commit_gone(1, 3, 9000);
	nothing_goes("others are");
	is_int(nreads[READ_SWEEP], 0, "for which not all has to be read again");

	/* told of too many to look for each */
	table[1][10001].exists = table[1][20001].exists = false;
	commit_range(1, 1, PG_INT64_MAX);
	nothing_goes("of rows that have come none goes");
	commit_gone(1, 1, PG_INT64_MAX);
	deliver(goes(10002, "it is seen which have gone"));
	deliver(goes(20002, "of each user"));
	is_int(nreads[READ_SWEEP], 1, "when all has been read again");
	nothing_goes("the others wait");

	/* somebody deletes what the sweep has come past */
	piece_ids = 35000;
	table[1][30001].exists = false;
	commit_gone(1, 1, PG_INT64_MAX);
	while (read_once() && last_read.kind != READ_SWEEP)
		;
	while (lane->sweep.after < 50000 && read_once())
		;
	ok(lane->sweeps && lane->sweep.after >= 50000, "on its way");
	table[1][40001].exists = false;
	commit_gone(1, 1, PG_INT64_MAX);
	deliver(goes(30002, "at its end, what it has not seen is gone"));
	deliver(goes(40002, "and at the next one's, what went meanwhile"));
	nothing_goes("the others wait");
	piece_ids = 0;

	/* nobody has told */
	table[1][50001].exists = false;
	nothing_goes("nobody knows");
	schedule_reread(lane, t);
	deliver(goes(50002, "the sweep finds it"));
	for (int id = 60001; id <= 100000; id += 10000)
		table[1][id].exists = table[1][id + 1].exists = false;
	commit_gone(0, 0, PG_INT64_MAX);
	is_int(take_all(), 4, "all are gone, and what is next of each user, too");
	while (ntaken > 0)
		schedule_replace(taken[--ntaken], NULL, t);
	is_int(lane->nitems, 0, "which is found missing");
	end();
}

static void
tests(void)
{
	spilled();
	full_windows();
	by_each_clock(changed_rows);
	by_each_clock(deleted_rows);
}
