/*-------------------------------------------------------------------------
 *
 * batches.c
 *		Unit tests of which events go in one request.
 *
 * rooms: schedule/schedule.c schedule/next.c schedule/window.c schedule/order.c
 * rooms: schedule/reading.c schedule/items.c schedule/park.c schedule/parked.c
 * rooms: schedule/sets.c schedule/company.c schedule/bundle.c
 * rooms: schedule/pace.c schedule/breaker.c schedule/trust.c schedule/places.c schedule/room.c destination/verdict.c
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include "steps.h"

static LanePolicy policy;

static void
begin_batches(int size)
{
	policy = usual;
	policy.batch_size = size;
	begin(&policy);
}

/* What goes next with all that goes with it is taken; how many, 0: nothing may. */
static int
next_batch(void)
{
	int			first = ntaken;
	QueueItem  *leader = next_item();

	if (leader == NULL)
		return 0;
	ntaken += schedule_join(leader, &taken[ntaken], 1000, t);
	return ntaken - first;
}

static int64
id_of(int i)
{
	return schedule_row(taken[i])->event_id;
}

/* One answer for the last so many that were taken, by the way in which attempt.c does it. */
static void
answer(int count, VerdictKind kind, VerdictSignal signal, int64 wait_us, int64 batch)
{
	Verdict		verdict = {.kind = kind, .signal = signal, .retry_at = t + wait_us,
		.first_attempt_at = clock_wall(t), .batch = batch, .reason = "HTTP status 500"};

	for (int leaders = 0; leaders <= 1; leaders++)
	{
		for (int i = ntaken - count; i < ntaken; i++)
		{
			if (taken[i]->state == ITEM_IN_FLIGHT && schedule_follows(taken[i]) == (leaders == 0))
				schedule_finished(taken[i], &verdict, t);
		}
	}
}

static void
record_last(int count)
{
	while (count-- > 0)
		record(taken[ntaken - 1]);
}

static void
forming(void)
{
	begin_batches(10);
	queue_many(1, 1, 25, NO_KEY);
	is_int(next_batch(), 10, "as many as may be in one request");
	is_int(id_of(0), 1, "the oldest");
	is_int(id_of(9), 10, "first");
	is_int(next_batch(), 10, "as many again");
	is_int(next_batch(), 5, "and what is left");
	is_int(next_batch(), 0, "nothing more");
	is_int(schedule_lane_in_flight(schedule_lane(1, t)), 3, "three requests are in flight");
	is_int(schedule_in_flight(), 25, "with all their events");
	answer(5, VERDICT_DELIVERED, SIGNAL_ALIVE, 0, 0);
	record_last(5);
	is_int(schedule_lane_in_flight(schedule_lane(1, t)), 2, "one has been answered");
	answer(10, VERDICT_DELIVERED, SIGNAL_ALIVE, 0, 0);
	answer(20, VERDICT_DELIVERED, SIGNAL_ALIVE, 0, 0);
	deliver_all();
	is_int(schedule_in_flight(), 0, "and all");
	end();

	/* the policy may say nothing of it */
	begin_batches(0);
	queue_many(1, 1, 5, NO_KEY);
	is_int(next_batch(), 1, "one by one");
	policy.batch_size = 1;
	configure(1, &policy);
	is_int(next_batch(), 1, "likewise");
	end();
}

static void
users(void)
{
	begin_batches(10);
	queue_many(1, 1, 8, 7);
	queue_many(1, 9, 8, 8);
	is_int(next_batch(), 10, "users' later events go with the first ones");
	for (int i = 1; i < 10; i++)
		ok(taken[i]->key != taken[i - 1]->key || id_of(i) > id_of(i - 1), "in their order");
	is_int(next_batch(), 0, "what is behind them waits");
	answer(10, VERDICT_DELIVERED, SIGNAL_ALIVE, 0, 0);
	is_int(next_batch(), 6, "until they are answered");
	answer(6, VERDICT_DELIVERED, SIGNAL_ALIVE, 0, 0);
	deliver_all();

	/* what goes back holds up what was behind it in the same request */
	queue_many(1, 101, 4, 7);
	is_int(next_batch(), 4, "a user's four");
	ok(!schedule_is_behind(taken[1]), "nothing is before the second that does not go with it");
	put_back(taken[1]);
	ok(schedule_is_behind(taken[1]), "when it goes back, it is before the third");
	ok(!schedule_is_behind(taken[0]), "and not before the first");
	put_back(taken[2]);
	put_back(taken[1]);
	answer(1, VERDICT_DELIVERED, SIGNAL_ALIVE, 0, 0);
	is_int(next_batch(), 3, "they go after that");
	is_int(id_of(1), 102, "in their order");
	answer(3, VERDICT_DELIVERED, SIGNAL_ALIVE, 0, 0);
	end();
}

static void
sets(void)
{
	begin_batches(10);
	queue_many(1, 1, 6, NO_KEY);
	queue_many(1, 7, 4, 5);
	is_int(next_batch(), 10, "ten");
	answer(10, VERDICT_RETRY, SIGNAL_FAILING, SECOND, 77);
	record_last(5);
	t += 2 * SECOND;
	is_int(next_batch(), 0, "they are not tried again before all of them are recorded");
	record_last(5);
	queue_many(1, 11, 5, NO_KEY);
	is_int(next_batch(), 10, "what has failed together goes together");
	is_int(next_batch(), 5, "what is new goes by itself");
	answer(5, VERDICT_DELIVERED, SIGNAL_ALIVE, 0, 0);
	record_last(5);
	answer(10, VERDICT_RETRY, SIGNAL_FAILING, SECOND, 77);
	record_last(10);

	/* it is in their rows */
	begin_as(0, 1, NULL);
	for (int id = 1; id <= 10; id++)
	{
		TableRow   *r = insert(1, id, id <= 6 ? NO_KEY : 5);

		r->row.batch = id % 2 == 0 ? 77 : 78;
		r->row.attempts = 1;
		r->row.retry_at = r->row.first_attempt_at = clock_wall(t);
		if (id > 6)
			r->row.batch = 79;
	}
	commit(1, 1, 10);
	configure(1, &policy);
	is_int(next_batch(), 3, "another worker knows them by their rows");
	is_int(next_batch(), 3, "one");
	is_int(next_batch(), 4, "after the other");
	is_int(id_of(ntaken - 4), 7, "with a user's");
	answer(4, VERDICT_DELIVERED, SIGNAL_ALIVE, 0, 0);
	deliver_all();
	end();

	/* one that cannot be recorded holds up no other */
	begin_batches(10);
	queue_many(1, 1, 3, NO_KEY);
	is_int(next_batch(), 3, "three");
	answer(3, VERDICT_RETRY, SIGNAL_FAILING, SECOND, 77);
	schedule_deferred(taken[2], 100, t);
	record(taken[0]);
	t += 2 * SECOND;
	is_int(next_batch(), 0, "one is to be recorded still");
	record(taken[0]);
	is_int(next_batch(), 2, "what is deferred is not waited for");
	answer(2, VERDICT_DELIVERED, SIGNAL_ALIVE, 0, 0);
	record_last(2);
	schedule_deferred_no_more(taken[0], 100);
	record_last(1);
	is_int(next_batch(), 1, "it goes later");
	answer(1, VERDICT_DELIVERED, SIGNAL_ALIVE, 0, 0);
	end();

	/* with a lower limit, in parts */
	begin_batches(10);
	queue_many(1, 1, 10, NO_KEY);
	is_int(next_batch(), 10, "ten");
	answer(10, VERDICT_RETRY, SIGNAL_FAILING, SECOND, 77);
	record_last(10);
	policy.batch_size = 4;
	configure(1, &policy);
	t += 2 * SECOND;
	is_int(next_batch(), 4, "a set keeps to the limit");
	answer(4, VERDICT_DELIVERED, SIGNAL_ALIVE, 0, 0);
	deliver_all();
	end();
}

static void
leaving(void)
{
	Lane	   *lane;

	begin_batches(10);
	lane = schedule_lane(1, t);
	queue_many(1, 1, 5, NO_KEY);
	is_int(next_batch(), 5, "five");
	for (int i = 0; i < 5; i++)
		ok(schedule_admit(taken[i], 1000), "there is room");
	put_back(taken[0]);
	is_int(schedule_lane_in_flight(lane), 1, "the first one leaves, and its request stays");
	ok(!schedule_follows(taken[0]), "which another one leads");
	put_back(taken[0]);
	put_back(taken[0]);
	put_back(taken[0]);
	is_int(schedule_lane_in_flight(lane), 1, "until the last one");
	put_back(taken[0]);
	is_int(schedule_lane_in_flight(lane), 0, "has left");
	is_int(schedule_in_flight(), 0, "with all");
	is_int(next_batch(), 5, "they go again");
	answer(5, VERDICT_DELIVERED, SIGNAL_ALIVE, 0, 0);
	deliver_all();

	/* large ones: the room is that of the request */
	queue_many(1, 11, 4, NO_KEY);
	is_int(next_batch(), 4, "four");
	for (int i = 0; i < 4; i++)
		ok(schedule_admit(taken[i], 5 * 1024 * 1024), "there is room for all, as nothing else is in flight");
	ok(schedule_free_bytes() < 45 * 1024 * 1024, "which they take up");
	answer(4, VERDICT_DELIVERED, SIGNAL_ALIVE, 0, 0);
	end();
}

static void
splitting(void)
{
	Lane	   *lane;

	begin_batches(10);
	lane = schedule_lane(1, t);
	queue_many(1, 1, 1, NO_KEY);
	is_int(next_batch(), 1, "one");
	answer(1, VERDICT_DELIVERED, SIGNAL_ALIVE, 0, 0);
	deliver_all();
	queue_many(1, 11, 6, NO_KEY);
	queue_many(1, 17, 2, 5);
	is_int(next_batch(), 8, "eight");
	ok(schedule_places_left(lane) >= 2, "there are places for two more");
	ok(schedule_place(taken[6], 1), "a user's first event goes where it likes");
	ok(!schedule_place(taken[7], 2), "the next one not elsewhere");
	ok(schedule_place(taken[7], 1), "but there");
	schedule_split(&taken[0], 2, t);
	schedule_split(&taken[2], 3, t);
	schedule_split(&taken[5], 3, t);
	is_int(schedule_lane_in_flight(lane), 3, "three requests are in flight");
	is_int(schedule_in_flight(), 8, "with all events");
	for (int i = 0; i < 8; i++)
		is_int(schedule_follows(taken[i]), i != 0 && i != 2 && i != 5, "each has one that leads");
	answer(3, VERDICT_DELIVERED, SIGNAL_ALIVE, 0, 0);
	is_int(schedule_lane_in_flight(lane), 2, "one is answered");
	answer(8, VERDICT_DELIVERED, SIGNAL_ALIVE, 0, 0);
	is_int(schedule_lane_in_flight(lane), 0, "and the others");
	deliver_all();
	end();

	/* those that never fit are not claimed again and again */
	begin_batches(100);
	lane = schedule_lane(1, t);
	queue_many(1, 1, 300, NO_KEY);
	is_int(next_batch(), 100, "a hundred");
	schedule_fitted(lane, 100, 5);
	while (ntaken > 5)
		put_back(taken[ntaken - 1]);
	is_int(next_batch(), 10, "no more than about twice as many as fitted");
	schedule_fitted(lane, 10, 10);
	is_int(next_batch(), 20, "and more when all do");
	is_int(id_of(ntaken - 1), 35, "those that were put back go first");
	answer(35, VERDICT_DELIVERED, SIGNAL_ALIVE, 0, 0);
	deliver_all();
	end();
}

static void
waiting(void)
{
	begin_batches(10);
	policy.batch_wait_us = 10 * SECOND;
	configure(1, &policy);
	queue_many(1, 1, 4, NO_KEY);
	is_int(next_batch(), 0, "an incomplete batch waits");
	is_between(schedule_wake_at() - t, 10 * SECOND, 10 * SECOND + 1, "for as long as it may");
	t += 5 * SECOND;
	queue_many(1, 5, 5, NO_KEY);
	is_int(next_batch(), 0, "for more");
	is_between(schedule_wake_at() - t, 5 * SECOND, 5 * SECOND + 1, "since the first of them could go");
	queue_many(1, 10, 1, NO_KEY);
	is_int(next_batch(), 10, "a complete one does not");
	answer(10, VERDICT_RETRY, SIGNAL_NONE, SECOND, 77);
	record_last(10);
	queue_many(1, 11, 2, NO_KEY);
	t += 2 * SECOND;
	is_int(next_batch(), 10, "what is tried again waits for nothing");
	answer(10, VERDICT_DELIVERED, SIGNAL_ALIVE, 0, 0);
	record_last(10);
	t += 10 * SECOND;
	is_int(next_batch(), 2, "the others for their time");
	answer(2, VERDICT_DELIVERED, SIGNAL_ALIVE, 0, 0);
	record_last(2);
	queue_many(1, 20, 10, 5);
	is_int(next_batch(), 10, "a user's events are enough");
	answer(10, VERDICT_DELIVERED, SIGNAL_ALIVE, 0, 0);
	record_last(10);
	end();
}

static void
rate(void)
{
	begin_batches(100);
	policy.rate_limit = 200;
	configure(1, &policy);
	queue_many(1, 1, 60, NO_KEY);
	is_int(next_batch(), 0, "what may go is waited for");
	t += HOUR;
	is_int(next_batch(), 20, "as many as go in a tenth of a second");
	is_int(next_batch(), 0, "no more");
	t += 50000;
	is_int(next_batch(), 0, "nor some of them");
	t += 50100;
	is_int(next_batch(), 20, "before a tenth of a second is over");
	answer(20, VERDICT_DELIVERED, SIGNAL_ALIVE, 0, 0);
	answer(40, VERDICT_RETRY, SIGNAL_NONE, SECOND, 77);
	record_last(40);
	t += HOUR;
	is_int(next_batch(), 20, "what has failed");
	is_int(next_batch(), 0, "counts as well");
	t += 100100;
	is_int(next_batch(), 20, "the rest");
	answer(20, VERDICT_DELIVERED, SIGNAL_ALIVE, 0, 0);
	answer(40, VERDICT_DELIVERED, SIGNAL_ALIVE, 0, 0);
	deliver_all();
	end();
}

/* While it seems not to work, no more than it takes to see is sent of what is new. */
static void
breaker(void)
{
	begin_batches(10);
	policy.breaker_failures = 2;
	configure(1, &policy);
	queue_many(1, 1, 30, NO_KEY);
	is_int(next_batch(), 10, "ten");
	answer(10, VERDICT_RETRY, SIGNAL_FAILING, 3600 * SECOND, 77);
	ok(!schedule_lane_breaker(schedule_lane(1, t))->open, "an answer counts once");
	is_int(next_batch(), 10, "ten more");
	answer(10, VERDICT_RETRY, SIGNAL_FAILING, 3600 * SECOND, 78);
	ok(schedule_lane_breaker(schedule_lane(1, t))->open, "after two of them the breaker opens");
	record_last(20);
	t += 100 * SECOND;
	is_int(next_batch(), 1, "the probe is by itself");
	answer(1, VERDICT_DELIVERED, SIGNAL_ALIVE, 0, 0);
	record_last(1);
	is_int(next_batch(), 9, "then the others go");
	answer(9, VERDICT_DELIVERED, SIGNAL_ALIVE, 0, 0);
	record_last(9);
	end();
}

static void
all(void)
{
	forming();
	users();
	sets();
	leaving();
	splitting();
	waiting();
	rate();
	breaker();
}

static void
tests(void)
{
	by_each_clock(all);
}
