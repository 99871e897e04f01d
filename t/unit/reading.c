/*-------------------------------------------------------------------------
 *
 * reading.c
 *		Unit tests of what is read, and when.
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

	/* ids at both ends of their range are no reason to count on from one to the other */
	begin(&unordered);
	queue_many(1, 10, 1, NO_KEY);
	deliver(goes(10, "a first one"));
	queue_many(1, 2, 5, NO_KEY);
	commit_range(1, PG_INT64_MIN, PG_INT64_MAX);
	commit_range(1, PG_INT64_MIN, PG_INT64_MIN);
	commit_range(1, PG_INT64_MAX, PG_INT64_MAX);
	ok(read_once() && last_read.kind == READ_RANGE && last_read.after_id == PG_INT64_MIN && last_read.upto_id == 10,
	   "what is late from the lowest id on is read");
	all_go(5, true, "what is there goes");
	end();

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
	schedule_note_range(&(QueuedRange) {0, ALL_SHARES, 6000, 6000, 0, false}, t);
	all_go(2, false, "a range of any destination");
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

/* The next read, which looks at rows up to this id and finds them all dead. */
static ReadRequest
walk_to(int64 id, int64 took_us)
{
	ReadRequest request;

	ok(schedule_wants_read(t) && schedule_next_read(t, &request), "something is to be read");
	request.cut = true;
	request.cut_id = id;
	request.took_us = took_us;
	schedule_rows_read(&request, NULL, 0, t);
	return request;
}

/* Reads that are cut go on where they were, and let others go first. */
static void
pieces(void)
{
	Lane	   *lane;
	ReadRequest request;

	begin(&usual);
	configure(2, &usual);
	read_all();
	queue_many(1, 5000, 10, NO_KEY);
	is_int(walk_to(1000, 5000).after_id, 0, "one reads from the start");
	queue_many(2, 100, 1, NO_KEY);
	ok(read_once() && last_read.destination_id == 2, "another lane reads before it goes on");
	is_int(walk_to(2000, 5000).after_id, 1000, "it goes on where it was");
	last_read.destination_id = 0;
	for (int i = 0; i < 20 && last_read.destination_id != 1; i++)
	{
		queue_many(2, 101 + i, 1, NO_KEY);
		(void) read_once();
	}
	is_int(last_read.destination_id, 1, "its turn comes even if others never end");
	ok(drain(false) > 10, "all of them go");

	/* a late range, and rows of a user that were left in the table */
	lane = schedule_lane(1, t);
	insert(1, 3000, NO_KEY);
	commit(1, 1, 4000);
	request = walk_to(2500, 0);
	is_int(request.kind, READ_RANGE, "a late range");
	ok(read_once() && last_read.kind == READ_RANGE && last_read.after_id == 2500, "goes on where it was");
	all_go(1, true, "and is found");
	queue_many(1, 6000, 400, 7);
	(void) next_item();
	deliver_all();
	for (int i = 0; i < 300 && pairingheap_is_empty(&lane->hungry); i++)
		deliver(goes(6001 + i, "a user's next"));
	request = walk_to(6320, 0);
	is_int(request.kind, READ_HUNGRY, "a hungry user");
	ok(request.after_id < 6320, "of whom no row is found at first");
	for (int64 id = request.after_id + 1; id <= 6320; id++)
		table[1][id].exists = false;
	ok(read_once() && last_read.kind == READ_HUNGRY && last_read.after_id == 6320, "is fed from there on");
	ok(drain(true) > 0, "all of them go");
	end();
}

/* All that goes now is parked for ten seconds. */
static void
park_all(void)
{
	while (next_item() != NULL)
		;
	items_most = 1;
	while (ntaken > 0)
		retry(taken[0], SIGNAL_NONE, 10 * SECOND);
	items_most = LANE_ITEMS;
}

/* What is parked is looked up while reads ahead are cut, and is still owed. */
static void
pieces_and_parked_rows(void)
{
	Lane	   *lane;
	ReadRequest request;

	begin(&usual);
	configure(2, &usual);
	lane = schedule_lane(1, t);
	queue_many(1, 1, 4, NO_KEY);
	park_all();
	is_int(lane->nparked, 4, "four are parked");
	ok(!schedule_remove(lane), "of a lane that has to stay");
	for (int i = 0; i < 4; i++)
	{
		queue_many(2, 10 + i, 1, NO_KEY);
		(void) read_once();		/* the turn of those who walk is far away then */
	}
	queue_many(1, 5000, 1, NO_KEY);
	request = walk_to(1000, 5000);
	t += 10 * SECOND;
	queue_many(2, 1, 1, NO_KEY);
	(void) schedule_wants_read(t);
	ok(read_once() && last_read.destination_id == 2, "another lane reads");
	queue_many(2, 2, 1, NO_KEY);
	ok(read_once() && last_read.kind == READ_RETRIES, "then parked rows, as they are not walked to");
	ok(read_once() && last_read.destination_id == 2, "the other lane reads again");
	queue_many(2, 3, 1, NO_KEY);
	ok(read_once() && last_read.destination_id == 2, "and before those who walk");
	is_int(walk_to(2000, 5000).limit, request.limit, "a read that was cut need not be larger");
	all_go(12, false, "all of them go");

	/* a sweep leaves alone what is parked, and sees that it has gone when it comes there */
	queue_many(1, 6000, 2, 7);
	park_all();
	schedule_reread(lane, t);
	(void) read_once();			/* what is due, and beyond the cursor */
	(void) read_once();
	is_int(walk_to(5500, 0).kind, READ_SWEEP, "a sweep");
	is_int(lane->nparked, 1, "knows nothing of what it has not come to");
	ok(read_once() && last_read.kind == READ_SWEEP && lane->nparked == 1 && lane->nitems == 0,
	   "what is parked is not taken in twice");
	schedule_look_for_floor(lane, 100000, t);
	ok(read_once() && last_read.kind == READ_FLOOR && lane->floor_reached == 5999, "it is owed");
	table[1][6000].exists = false;
	schedule_reread(lane, t);
	(void) read_once();
	(void) read_once();
	(void) walk_to(5999, 0);
	is_int(lane->nparked, 1, "nor is it known to have gone");
	deliver(goes(6001, "before that is seen"));

	/* likewise if the ids are too many to look for each */
	queue_many(1, 30000, 2, 7);
	queue_many(1, 30010, 2, 8);
	park_all();
	is_int(lane->nparked, 2, "two are parked");
	table[1][30000].exists = false;
	schedule_reread(lane, t);
	deliver(goes(30001, "one has gone"));
	ok(parked_event(lane, 30000) == NULL && parked_event(lane, 30010) != NULL, "and only one");
	table[1][30010].exists = false;
	commit_gone(1, 1, PG_INT64_MAX);
	deliver(goes(30011, "and the other, of which somebody has told"));
	is_int(lane->nparked, 0, "nothing is parked");
	end();
}

/* What nobody told of is looked for when there is time. */
static void
sweeping(void)
{
	ReadRequest request;
	QueueItem  *item;

	begin(&usual);
	queue_many(1, 9000, 1, NO_KEY);
	all_go(1, true, "a first one");
	schedule_reread(schedule_lane(1, t), t);
	queue_many(1, 9001, 1, NO_KEY);
	deliver(goes(9001, "what is new comes first"));
	nreads[READ_SWEEP] = 0;
	schedule_reread(schedule_lane(1, t), t);
	read_all();
	is_int(nreads[READ_SWEEP], 1, "then everything is read again");

	schedule_reread(schedule_lane(1, t), t);
	(void) read_once();			/* what is due, and beyond the cursor */
	(void) read_once();
	request = walk_to(1000, 5000);
	is_int(request.kind, READ_SWEEP, "again");
	is_int(schedule_wants_read(t), false, "a piece that took long is followed by a pause");
	is_int(schedule_wake_at(), t + 20 * 5000, "of twenty times as much");
	insert(1, 2000, NO_KEY);
	table[1][2000].visible = true;
	queue_many(1, 9002, 1, NO_KEY);
	deliver(goes(9002, "what is new does not wait for that"));
	schedule_reread(schedule_lane(1, t), t);
	t += 20 * 5000;
	while (read_once() && last_read.kind != READ_SWEEP)
		;
	ok(last_read.kind == READ_SWEEP && last_read.after_id == 1000, "it goes on, and does not begin anew");
	all_go(1, true, "what somebody has made is found");
	end();

	/* whenever its turn comes, it finds nothing before what precedes it is read */
	for (int i = 0; i < 64; i++)
	{
		begin(&usual);
		configure(2, &usual);
		queue_many(1, 5000, 1, NO_KEY);
		all_go(1, true, "a first one");
		schedule_reread(schedule_lane(1, t), t);
		(void) read_once();		/* what is due, and beyond the cursor */
		(void) read_once();
		(void) walk_to(3000, 0);
		for (int id = 1; id <= i; id++)
		{
			queue_many(2, id, 1, NO_KEY);
			(void) read_once();
			if ((item = schedule_next(t)) == NULL)
				continue;
			taken[ntaken++] = item;
			deliver(item);
		}
		insert(1, 200, 7);
		insert(1, 4000, 7);
		commit(1, 200, 4000);
		(void) read_once();
		ok(last_read.kind != READ_SWEEP, "what was told comes first");
		end();
	}
}

static void
floors(void)
{
	Lane	   *lane;
	Floor		floor = {1, 1, 100};

	begin(NULL);
	schedule_start_at(&floor, t);
	configure(1, &usual);
	lane = schedule_lane(1, t);
	queue_many(1, 50, 1, NO_KEY);
	queue_many(1, 120000, 1, NO_KEY);
	insert(1, 40, NO_KEY);
	table[1][40].visible = true;
	ok(read_once() && last_read.kind == READ_RANGE && last_read.after_id == 49, "what was told is read");
	(void) read_once();			/* what is due */
	ok(read_once() && last_read.kind == READ_AHEAD && last_read.after_id == 100, "and all beyond the floor");
	deliver(goes(50, "one that was told of"));
	ok(schedule_floor_may_rise(lane, 100000), "ids have gone far beyond its floor");
	all_go(2, false, "what nobody told of is found as well");

	/* nobody knows of it; the floor does not rise above it */
	insert(1, 70000, NO_KEY);
	table[1][70000].visible = true;
	ok(!schedule_floor_to_save(lane, &floor), "nothing is known of a higher floor");
	schedule_look_for_floor(lane, 100000, t);
	ok(read_once() && last_read.kind == READ_FLOOR && last_read.after_id == 100 && last_read.upto_id == 100000,
	   "it is looked for up to where rows may appear");
	ok(!read_once() && !schedule_floor_may_rise(lane, 110000), "and that is all");
	ok(schedule_floor_may_rise(lane, 200000), "until ids have gone far beyond that");
	ok(schedule_floor_to_save(lane, &floor) && floor.after_id == 69999 && floor.nrows == 1, "it is below the first row");
	schedule_floor_saved(lane, &floor);
	ok(!schedule_floor_to_save(lane, &floor), "it is saved");

	/* somebody has replayed an event: the table says so */
	table[1][70000].exists = false;
	schedule_look_for_floor(lane, 200000, t);
	(void) walk_to(119990, 5000);
	t += 20 * 5000;
	ok(read_once() && last_read.kind == READ_FLOOR && last_read.after_id == 119990, "a long look is taken in pieces");
	ok(schedule_floor_to_save(lane, &floor) && floor.after_id == 200000, "it is found");
	floor.after_id = 30;
	schedule_floor_saved(lane, &floor);
	schedule_look_for_floor(lane, 200000, t);
	ok(read_once() && last_read.kind == READ_FLOOR && last_read.after_id == 30, "it is looked for from there");

	/* ids have begun anew */
	ok(schedule_floor_to_save(lane, &floor), "it is found");
	schedule_floor_saved(lane, &floor);
	schedule_look_for_floor(lane, 10, t);
	ok(schedule_floor_to_save(lane, &floor) && floor.after_id == 0, "ids that begin anew have no floor");
	end();
}

static void
parts(void)
{
	int64		seen[201] = {0};

	for (int part = 0; part < 3; part++)
	{
		begin_as(part, 3, &usual);
		for (int id = 1; id <= 200; id++)
			insert(1, id, id % 3 ? id % 50 : NO_KEY);
		commit(1, 1, 200);
		for (QueueItem *item = next_item(); item != NULL; item = next_item())
		{
			const QueueRow *row = schedule_row(item);

			seen[row->event_id] += is_mine(row) ? 1 : 100;
			deliver(item);
		}
		end();
	}
	for (int id = 1; id <= 200; id++)
		seen[0] += seen[id] == 1;
	is_int(seen[0], 200, "each row is in one worker's part");
}

/* Each part of each destination is one worker's, whom that worker knows to be itself. */
static void
shares(void)
{
	int			wrong = 0;
	ShareMap	map = PLAIN_SHARE_MAP;

	for (int nshares = 1; nshares <= MAX_SHARES; nshares++)
		for (int workers = 0; workers <= MAX_SHARES + 1; workers++)
			for (int32 id = 1; id <= 70; id++)
			{
				int			parts = share_parts(workers, nshares);
				uint32		having = 0;

				for (int share = 0; share < nshares; share++)
				{
					int			part = share_part_in(id, parts, share, nshares);

					if (part < 0)
						continue;
					having |= SHARE_BIT(part);
					wrong += share_of(id, part, nshares) != share;
				}
				wrong += parts != Max(1, Min(workers, nshares)) ||
					having != (uint32) ((UINT64CONST(1) << parts) - 1);
			}
	is_int(wrong, 0, "each part is one worker's");
	is_int(share_map_add(map, 7, 1), map, "one worker is as usual");
	ok(share_map_add(map, 7, 2) != map && share_map_add(map, 7, 2) != share_map_add(map, 7, 3) &&
	   share_map_add(map, 7, 2) != share_map_add(map, 8, 2), "maps differ");
}

static void
tests(void)
{
	late_ranges();
	by_each_clock(due_rows);
	reading_fails();
	pieces();
	pieces_and_parked_rows();
	sweeping();
	floors();
	parts();
	shares();
}
