/*-------------------------------------------------------------------------
 *
 * order.c
 *		Unit tests of order per user, and of retries.
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

/* The longest pause is cut short while something waits, parked or not. */
static void
shorter_pauses(void)
{
	LanePolicy	policy = usual;

	begin(&policy);
	insert(1, 1, 1)->row.retry_at = clock_wall(t + 2 * HOUR);
	insert(1, 2, 1);
	insert(1, 3, NO_KEY)->row.retry_at = clock_wall(t + 20 * HOUR);
	commit(1, 1, 3);
	nothing_goes("they wait");
	policy.max_wait_us = HOUR;
	configure(1, &policy);
	nothing_goes("no longer than an hour now");
	is_int(schedule_wake_at(), t + HOUR, "and not less");
	policy.max_wait_us = SECOND;
	configure(1, &policy);
	nothing_goes("no longer than a second");
	t += SECOND;
	is_int(take_all(), 2, "then they go");
	policy.max_wait_us = HOUR;
	configure(1, &policy);
	deliver_all();
	all_go(1, true, "and what is behind them");
	end();
}

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

	/* somebody edits what waits for its retry: it waits for both */
	queue_many(1, 15, 1, 100);
	retry(goes(15, "an attempt"), SIGNAL_NONE, SECOND);
	table[1][15].row.deliver_after = clock_wall(t + 2 * SECOND);
	commit(1, 15, 15);
	nothing_goes("until its retry");
	t += SECOND;
	nothing_goes("and until its new time");
	t += SECOND;
	goes(15, "at its new time");
	deliver_all();

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
	is_int(schedule_row(taken[2])->event_id, 22, "what has not been given up by then");
	nothing_goes("and is read again");
	put_back(taken[2]);
	deliver_all();
	nothing_goes("waits again");
	t += HOUR;
	goes(22, "for its time");
	deliver_all();
	end();
}

/*
 * A user has many in flight when its destination becomes ordered, and more that commit late
 * and come before these: what there is no room for is not overtaken when they come back.
 */
static void
becomes_ordered(void)
{
	LanePolicy	policy = usual;
	int64		last = 0;
	bool		in_order = true;
	int			n = 0;
	QueueItem  *item;

	items_most = 4 * KEY_ITEMS;
	policy.ordered = false;
	policy.max_in_flight = 64;
	begin(&policy);
	schedule_lane(1, t)->allowed = 64;
	queue_many(1, 100, 2 * KEY_ITEMS, 7);
	is_int(take_all(), 2 * KEY_ITEMS, "all of them are in flight");
	policy.ordered = true;
	configure(1, &policy);
	queue_many(1, 10, 10, 7);
	read_all();
	while (ntaken > 0)
		retry(taken[0], SIGNAL_NONE, SECOND);
	t += 2 * SECOND;
	while ((item = next_item()) != NULL)
	{
		in_order &= schedule_row(item)->event_id > last;
		last = schedule_row(item)->event_id;
		n++;
		deliver(item);
	}
	is_int(n, 2 * KEY_ITEMS + 10, "all go");
	ok(in_order, "one after the other");
	end();
	items_most = LANE_ITEMS;
}

static void
tests(void)
{
	becomes_ordered();
	order_per_user();
	users();
	by_each_clock(shorter_pauses);
	by_each_clock(retries);
}
