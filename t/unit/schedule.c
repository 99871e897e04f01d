/*-------------------------------------------------------------------------
 *
 * schedule.c
 *		Unit tests of how many may go, of which destination next, and of lanes as
 *		they are configured.
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
		schedule_lacked(item, false, t);
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
	schedule_lacked(item, false, t);
	t += 10;
	item = taken[0];
	not_taken(item);
	schedule_lacked(item, false, t);
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

/* A secret's file, say: the worker lacks nothing, and it takes longer. */
static void
lacking_own(void)
{
	static const int waits_s[] = {1, 2, 4, 8, 16, 32, 60, 60};
	LanePolicy	policy = usual;
	QueueItem  *item = NULL;

	begin(&policy);
	configure(2, &policy);
	queue_many(1, 1, 3, 7);
	for (int i = 0; i < lengthof(waits_s); i++)
	{
		item = goes(1, "the user's first one");
		nothing_goes("not the others before it");
		not_taken(item);
		schedule_lacked(item, true, t);
		is_int(schedule_lacking(), 0, "the worker lacks nothing");
		is_int(schedule_wake_at(), t + waits_s[i] * USECS_PER_SEC, "its lane waits, longer each time");
		queue_many(2, 10 + i, 1, NO_KEY);
		deliver(goes(10 + i, "others do not wait"));
		t += waits_s[i] * USECS_PER_SEC - 1;
		nothing_goes("not less");
		t += 1;
	}

	for (int i = 0; i < 2; i++)
	{
		item = goes(1, "it is looked at");
		not_taken(item);
		schedule_lacked(item, true, t);
		nothing_goes("it waits");
		if (i == 0)
			configure(1, &policy);
		else
			schedule_look_again(t);
	}
	item = goes(1, "but no longer than until the destination or the settings are changed");
	not_taken(item);
	schedule_lacked(item, true, t);
	is_int(schedule_wake_at(), t + USECS_PER_SEC, "and then as at first");

	/* what it lacks then is another thing */
	t += USECS_PER_SEC;
	item = goes(1, "it is looked at once more");
	not_taken(item);
	schedule_lacked(item, false, t);
	is_int(schedule_lacking(), 1, "the worker's own lack counts");
	is_int(schedule_wake_at(), t + 250000, "and begins anew");
	schedule_look_again(t);
	nothing_goes("whatever else is looked at");
	t += 250000;
	for (int id = 1; id <= 3; id++)
		deliver(goes(id, "all go in order"));
	is_int(schedule_lacking(), 0, "nothing is lacking");
	end();
}

static void
deferred(void)
{
	LanePolicy	policy = usual;
	QueueItem  *items[1000];
	QueueItem  *one;
	int			ndeferred = 0;
	int			ntold = 0;

	policy.ordered = false;
	policy.max_in_flight = 3000;
	begin(&policy);
	configure(2, &policy);
	set_bounds(8000, 6 * 8000);
	queue_many(1, 1, 1001, NO_KEY);
	for (int id = 1; id <= 999; id++)
	{
		items[ndeferred] = goes(id, "one");
		finish(items[ndeferred], VERDICT_DELIVERED, SIGNAL_ALIVE, 0);
		ntold += schedule_deferred(items[ndeferred++], 100);
	}
	is_int(ntold, 0, "a lane that defers less than is left for others goes on");
	one = goes(1000, "one");
	items[ndeferred] = goes(1001, "another");
	finish(items[ndeferred], VERDICT_DELIVERED, SIGNAL_ALIVE, 0);
	ok(schedule_deferred(items[ndeferred++], 100), "when it defers more, it is told");
	finish(one, VERDICT_DELIVERED, SIGNAL_ALIVE, 0);
	ok(!schedule_deferred(one, 100), "once");
	schedule_deferred_no_more(one, 100);
	record(one);
	queue_many(1, 2001, 20, NO_KEY);
	nothing_goes("it sends nothing");

	/* with as many as are left for others, or a few */
	queue_many(2, 3001, 501, NO_KEY);
	for (int i = 0; i < 500; i++)
	{
		(void) goes(3001 + i, "another lane has half of what is left");
		finish(taken[ntaken - 1], VERDICT_DELIVERED, SIGNAL_ALIVE, 0);
		is_int(schedule_deferred(taken[ntaken - 1], 100), i == 499, "when it defers that, it is told");
	}
	nothing_goes("then it sends nothing either");
	for (int i = ntaken - 1; i >= 1000; i--)
		ntold += schedule_deferred_no_more(taken[i], 100);
	is_int(ntold, 1, "that all of them are through is told");
	(void) goes(3501, "then it sends again");

	ntold = schedule_deferred_no_more(items[--ndeferred], 100);
	is_int(next_id(), 2001, "the first one, too, when it defers less");
	while (ndeferred > 0)
	{
		is_int(ntold, 0, "it is told that all are through");
		ntold += schedule_deferred_no_more(items[--ndeferred], 100);
	}
	is_int(ntold, 1, "when they are");
	set_bounds(256, 6 * 256);
	end();
}

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

static void
tests(void)
{
	bounds();
	late_requests();
	fairness();
	large_events();
	lacking();
	lacking_own();
	deferred();
	configurations();
}
