/*-------------------------------------------------------------------------
 *
 * crowds.c
 *		Unit tests of good users among crowds whose events fail.
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

#define MAX_IDS		1020000
#define NDESTS		2
#include "steps.h"

#define CROWD		1000000
#define IS_GOOD		(CROWD + 1) /* users from here on are good */

static int64 min_wait;			/* a failing event waits so long, and up to as long again */
static int64 answered;			/* requests so far */
static int	nopened;			/* so often a breaker opened */
static bool fails_for_all;

/* What the receiver says: users of the crowd fail. */
static void
answer(QueueItem *item)
{
	const QueueRow *row = schedule_row(item);
	bool		was_open = schedule_lane_breaker(item->lane)->open;

	answered++;
	if (row->has_key && row->ordering_key >= IS_GOOD && !fails_for_all)
		deliver(item);
	else
		retry(item, SIGNAL_FAILING, min_wait + answered * 7919 % min_wait);
	(void) schedule_next_changed_breaker();
	nopened += schedule_lane_breaker(item->lane)->open && !was_open;
}

static void
take_those_that_may_go(void)
{
	while (ntaken < 1000 && next_item() != NULL)
		;
}

/* One answer, so many microseconds later, or on to when something may go. */
static void
step(Instant until, int64 each)
{
	take_those_that_may_go();
	if (ntaken > 0)
	{
		t += each;
		answer(taken[0]);
	}
	else
		t = schedule_wake_at() == 0 ? until : Min(Max(schedule_wake_at(), t), until);
}

static void
work(Instant until, int64 each)
{
	while (t < until)
		step(until, each);
}

/* Until the row has been delivered; how many requests there were, at most so many. */
static int
requests_until_sent(int64 id, int most)
{
	int64		before = answered;

	while (table[1][id].exists && answered - before < most)
		step(t + SECOND, 1000);
	return (int) (answered - before);
}

static void
queue_crowd(int64 first, int count)
{
	for (int i = 0; i < count; i++)
		insert(1, first + i, i);
	commit(1, first, first + count - 1);
}

/* A breaker that failing users have opened is probed by others. */
static void
breaker_is_probed(int count)
{
	LanePolicy	policy = usual;
	Instant		since;

	policy.breaker_failures = 16;
	policy.min_backoff_us = SECOND / 2;
	policy.max_backoff_us = SECOND;
	min_wait = SECOND / 2;
	nopened = 0;
	begin(&policy);
	queue_crowd(1, count);
	work(t + SECOND, 1000);
	ok(schedule_lane_breaker(schedule_lane(1, t))->open, "failing users have opened the breaker");
	queue_many(1, 151, 1, IS_GOOD);
	since = t;
	is_between(requests_until_sent(151, 50), 1, 2, "a good one probes it");
	is_between(t - since, 0, 2 * SECOND + SECOND / 2, "at the next times");
	ok(!schedule_lane_breaker(schedule_lane(1, t))->open, "and closes it");

	/* those who fail though others do not */
	work(t + 60 * SECOND, 1000);
	nopened = 0;
	work(t + 600 * SECOND, 1000);
	is_int(nopened, 0, "those who have failed before do not open it again");
	for (int i = 0; i < 100; i++)
	{
		queue_many(1, 200 + i, 1, IS_GOOD + i);
		is_between(requests_until_sent(200 + i, 50), 1, policy.max_in_flight, "a good one goes");
		work(t + 10 * SECOND, 1000);
	}
	is_int(nopened, 0, "however few are good");
	queue_many(1, 400, 64, NO_KEY);
	work(t + SECOND, 1000);
	is_int(nopened, 1, "but events that are new, and more of them after it was opened for nothing");
	end();
}

/*
 * Crowds of users that are new and fail, again and again, with a few between them whose
 * events have always been good: these go at once.
 */
static void
crowds_keep_coming(int crowd, bool ordered)
{
	LanePolicy	policy = usual;
	int64		id = 1;
	int64		key = 0;
	Instant		longest = 0;

	policy.breaker_failures = 16;
	policy.min_backoff_us = 10 * SECOND;
	policy.max_backoff_us = 300 * SECOND;
	policy.ordered = ordered;
	min_wait = 10 * SECOND;
	begin(&policy);
	queue_many(1, id, 3, IS_GOOD);
	work(t + SECOND, 1000);
	id += 3;
	for (int round = 0; round < 50; round++)
	{
		Instant		since;

		for (int i = 0; i < crowd; i++)
			insert(1, id + i, key + i);
		commit(1, id, id + crowd - 1);
		id += crowd;
		key += crowd;
		queue_many(1, id, 1, IS_GOOD);
		since = t;
		while (table[1][id].exists && t < since + 100 * SECOND)
			step(t + SECOND, 1000);
		longest = Max(longest, t - since);
		id++;
		work(t + SECOND / 2, 1000);
	}
	is_between(longest, 0, 2 * SECOND, "a user whose last answer was good never waits for a breaker");

	/* but when it is good for nobody any more, it opens, and each of these has probed it once */
	for (int i = 0; i < 300; i++)
		insert(1, id + i, key + i);
	commit(1, id, id + 299);
	answered = 0;
	work(t + 9 * SECOND, 1000);
	ok(schedule_lane_breaker(schedule_lane(1, t))->open, "it opens when nothing is good");
	end();
}

/*
 * New users whose requests hang until their time is over: those of others do not wait
 * for them, however often they are good.
 */
static void
crowd_hangs(int failures, int every_ms)
{
	LanePolicy	policy = usual;
	int64		id = 1000;
	Instant		longest = 0;
	Instant		sent_at[64] = {0};
	int			nleft = 0;

	policy.breaker_failures = failures;
	policy.min_backoff_us = 10 * SECOND;
	policy.max_backoff_us = 300 * SECOND;
	begin(&policy);
	for (int i = 0; i < 10; i++)
		queue_many(1, 1 + 2 * i, 2, IS_GOOD + i);
	min_wait = 10 * SECOND;
	work(t + SECOND, 1000);
	for (int i = 0; i < 300; i++)
		insert(1, 100 + i, i);
	commit(1, 100, 399);
	for (int ms = 0; ms < 120000; ms++)
	{
		t += 1000;
		if (ms % every_ms == 100)
		{
			for (int i = 0; i < 10; i++)
			{
				queue_many(1, id + i, 1, IS_GOOD + i);
				sent_at[i] = t;
			}
			id += 10;
		}
		take_those_that_may_go();
		for (int i = 0; i < ntaken; i++)
		{
			const QueueRow *row = schedule_row(taken[i]);

			if (row->ordering_key < IS_GOOD && t - taken[i]->taken_at < 10 * SECOND)
				continue;
			/* the first ones that hang are known when their time is over */
			if (row->ordering_key < IS_GOOD || ms < 20000)
				;
			else if (row->event_id >= id - 10)
				longest = Max(longest, t - sent_at[row->event_id - (id - 10)]);
			else
				longest = Max(longest, 5 * SECOND);
			answer(taken[i]);
			i = -1;
		}
	}
	is_between(longest, 0, SECOND, "good users do not wait for those that hang");
	for (int64 i = 1000; i < id; i++)
		nleft += table[1][i].exists;
	is_int(nleft, 0, "and none is left");
	while (ntaken > 0)
		answer(taken[0]);
	end();
}

/*
 * Nothing is known of a destination yet, and first it has so many users whose requests
 * hang, and more all the time if crowded.  Others that are sent after them wait until the
 * first of them have been found, and until they themselves have, and not any more after that.
 */
static void
crowd_comes_first(int crowd, Instant hang, LanePolicy policy, bool crowded, Instant first_by, Instant all_by)
{
	int64		id = 1000;
	int64		key = crowd;
	Instant		began;
	Instant		first = 0;
	Instant		longest = 0;
	Instant		longest_late = 0;
	int			nleft = 0;
	static Instant sent_at[20000];

	policy.min_backoff_us = 10 * SECOND;
	policy.max_backoff_us = 300 * SECOND;
	min_wait = 10 * SECOND;
	begin(&policy);
	began = t;
	queue_crowd(1, crowd);
	for (int ms = 0; ms < 400000; ms++)
	{
		t += 1000;
		if (ms % 200 == 100 && ms < 390000)
		{
			sent_at[id] = t;
			queue_many(1, id++, 1, IS_GOOD + ms / 200 % 10);
		}
		if (ms % 1000 == 50 && crowded)
			queue_many(1, id++, 1, key++);
		take_those_that_may_go();
		for (int i = 0; i < ntaken; i++)
		{
			const QueueRow *row = schedule_row(taken[i]);
			bool		is_good = row->ordering_key >= IS_GOOD;

			if (t - taken[i]->taken_at < (is_good ? 2000 : hang))
				continue;
			if (is_good)
			{
				longest = Max(longest, t - sent_at[row->event_id]);
				if (t > began + all_by)
					longest_late = Max(longest_late, t - sent_at[row->event_id]);
				if (first == 0)
					first = t - began;
			}
			answer(taken[i--]);
		}
	}
	for (int64 i = 1000; i < id; i++)
		nleft += table[1][i].exists && table[1][i].row.ordering_key >= IS_GOOD;
	is_int(nleft, 0, "however many hang first, the others arrive");
	is_between(first / 1000, 0, first_by / 1000, "the first of them soon");
	is_between(longest / 1000, 0, all_by / 1000, "each when it has been found");
	is_between(longest_late / 1000, 0, 1000, "and at once from then on");
	while (ntaken > 0)
		answer(taken[0]);
	end();
}

/* Some answers take long, as they may: all that the destination allows are for everybody. */
static void
some_take_long(void)
{
	LanePolicy	policy = usual;
	int64		id = 1;
	int64		nwaiting = 0;
	int			nempty = 0;

	policy.max_in_flight = 32;
	begin(&policy);
	for (int ms = 0; ms < 60000; ms++)
	{
		t += 1000;
		while (nwaiting < 100)
		{
			queue_many(1, id, 1, IS_GOOD + id);
			id++;
			nwaiting++;
		}
		take_those_that_may_go();
		if (ms > 10000 && ntaken < policy.max_in_flight)
			nempty++;
		for (int i = 0; i < ntaken; i++)
		{
			if (t - taken[i]->taken_at < (schedule_row(taken[i])->event_id % 500 ? 50 * 1000 : 3 * SECOND))
				continue;
			nwaiting--;
			answer(taken[i--]);
		}
	}
	is_int(nempty, 0, "no place stays empty when some answers take long");
	deliver_all();
	end();
}

/* Few of those that may go at once hang, and users that are new come one after the other. */
static void
few_hang(int hanging, int max_in_flight, bool ordered)
{
	LanePolicy	policy = usual;
	int64		id = 100;
	Instant		longest = 0;
	static Instant sent_at[1000];

	policy.max_in_flight = max_in_flight;
	policy.ordered = ordered;
	policy.breaker_failures = 16;
	policy.min_backoff_us = 10 * SECOND;
	policy.max_backoff_us = 300 * SECOND;
	min_wait = 10 * SECOND;
	begin(&policy);
	queue_crowd(1, hanging);
	for (int ms = 0; ms < 80000; ms++)
	{
		t += 1000;
		/* by then, each of those that hang has been tried */
		if (ms >= 20000 && ms % 1000 == 200)
		{
			sent_at[id] = t;
			queue_many(1, id, 1, IS_GOOD + id);
			id++;
		}
		take_those_that_may_go();
		for (int i = 0; i < ntaken; i++)
		{
			const QueueRow *row = schedule_row(taken[i]);
			bool		is_good = row->ordering_key >= IS_GOOD;

			if (t - taken[i]->taken_at < (is_good ? 2000 : 30 * SECOND))
				continue;
			if (is_good)
				longest = Max(longest, t - sent_at[row->event_id]);
			answer(taken[i--]);
		}
	}
	for (int64 i = 100; i < id; i++)
	{
		if (table[1][i].exists)
			longest = Max(longest, t - sent_at[i]);
	}
	is_between(longest, 0, 4 * SECOND, "users that are new go beside the few that hang");
	while (ntaken > 0)
		answer(taken[0]);
	end();
}

/* Without order, all events of a user are ready before the first one was good. */
static void
good_without_order(Instant hang, int failures)
{
	LanePolicy	policy = usual;
	Instant		since;
	int			nleft = 0;

	policy.ordered = false;
	policy.breaker_failures = failures;
	policy.min_backoff_us = 60 * SECOND;
	policy.max_backoff_us = 600 * SECOND;
	min_wait = 60 * SECOND;
	begin(&policy);
	for (int i = 0; i < 50; i++)
		insert(1, 1 + i, i == 0 || i >= 30 ? IS_GOOD : i);
	commit(1, 1, 50);
	since = t;
	while (t - since < 5 * SECOND)
	{
		t += 1000;
		take_those_that_may_go();
		for (int i = 0; i < ntaken; i++)
		{
			if (t - taken[i]->taken_at >= (schedule_row(taken[i])->ordering_key >= IS_GOOD ? 2000 : hang))
				answer(taken[i--]);
		}
	}
	for (int i = 30; i < 50; i++)
		nleft += table[1][1 + i].exists;
	is_int(nleft, 0, "a user that is good is so for what was ready before that, too");
	while (ntaken > 0)
		answer(taken[0]);
	end();
}

static void
crowds_come_first(int breaker_failures, bool ordered)
{
	LanePolicy	policy = usual;
	Instant		hang = 10 * SECOND;

	policy.breaker_failures = breaker_failures;
	policy.ordered = ordered;
	policy.max_in_flight = 32;
	crowd_comes_first(3, hang, policy, false, SECOND, 2 * SECOND);
	crowd_comes_first(12, hang, policy, false, 4 * SECOND, 11 * SECOND);
	crowd_comes_first(300, hang, policy, false, 4 * SECOND, 40 * SECOND);
	crowd_comes_first(300, 60 * SECOND, policy, false, 4 * SECOND, 140 * SECOND);
	crowd_comes_first(30, hang, policy, true, 4 * SECOND, 60 * SECOND);
	policy.max_in_flight = 4;
	crowd_comes_first(12, hang, policy, false, 12 * SECOND, 60 * SECOND);
	policy.max_in_flight = 2;
	crowd_comes_first(12, hang, policy, false, 22 * SECOND, 180 * SECOND);
}

/*
 * The worker ends and another one begins, which knows what is in the tables.  Saved is
 * who is trusted when it ends, or, in a crash, some seconds before.
 */
static void
begin_anew(const LanePolicy *policy, const int64 *users, int nusers)
{
	Breaker		breaker = *schedule_lane_breaker(schedule_lane(1, t));

	while (ntaken > 0)
		put_back(taken[0]);
	schedule_init();
	set_bounds(256, 6 * 256);
	for (int i = 0; i < nusers; i++)
		schedule_trust(schedule_lane(1, t), users[i]);
	schedule_set_breaker(schedule_lane(1, t), &breaker, t);
	configure(1, policy);
}

/* Meanwhile users fail, or their requests hang, and, if crowded, new ones keep coming. */
static void
worker_begins_anew(int failures, Instant hang, bool crowded)
{
	LanePolicy	policy = usual;
	int64		id = 1000;
	int64		key = 300;
	Instant		longest = 0;
	int64		users[MAX_TRUSTED];
	int			nusers = 0;
	static Instant sent_at[20000];

	policy.breaker_failures = failures;
	policy.min_backoff_us = 10 * SECOND;
	policy.max_backoff_us = 300 * SECOND;
	min_wait = 10 * SECOND;
	begin(&policy);
	for (int i = 0; i < 10; i++)
		queue_many(1, 1 + 2 * i, 2, IS_GOOD + i);
	work(t + SECOND, 1000);
	queue_crowd(100, 300);
	for (int ms = 0; ms < 300000; ms++)
	{
		t += 1000;
		if (schedule_next_unsaved_trust() != NULL)
			nusers = schedule_lane_trusted(schedule_lane(1, t), users);
		if (ms == 60000)
			begin_anew(&policy, users, nusers);
		if (crowded && ms % 100 == 50)
			queue_many(1, id++, 1, key++);
		if (ms > 61000 && ms % 500 == 100)
		{
			sent_at[id] = t;
			queue_many(1, id++, 1, IS_GOOD + ms / 500 % 10);
		}
		take_those_that_may_go();
		for (int i = 0; i < ntaken; i++)
		{
			const QueueRow *row = schedule_row(taken[i]);
			bool		is_good = row->ordering_key >= IS_GOOD;

			if (!is_good && t - taken[i]->taken_at < hang)
				continue;
			if (is_good && row->event_id >= 1000)
				longest = Max(longest, t - sent_at[row->event_id]);
			answer(taken[i--]);
		}
	}
	for (int64 i = 1000; i < id; i++)
	{
		if (table[1][i].exists && table[1][i].row.ordering_key >= IS_GOOD)
			longest = Max(longest, t - sent_at[i]);
	}
	is_between(longest, 0, failures == 0 ? SECOND : Max(hang, SECOND), "those that the last worker knew to be good do not wait");
	while (ntaken > 0)
		answer(taken[0]);
	end();
}

/* Good users in the midst of others: what probes is not only at both ends. */
static void
good_in_the_midst(void)
{
	LanePolicy	policy = usual;

	policy.breaker_failures = 16;
	policy.min_backoff_us = SECOND / 10;
	policy.max_backoff_us = SECOND / 10;
	min_wait = 1000 * SECOND;
	begin(&policy);
	for (int i = 0; i < 500; i++)
		insert(1, 1 + i, i >= 100 && i < 400 ? IS_GOOD + i : i);
	commit(1, 1, 500);
	while (!schedule_lane_breaker(schedule_lane(1, t))->open)
		step(t + SECOND, 1000);
	while (ntaken > 0)
		step(t + SECOND, 1000);
	answered = 0;
	while (schedule_lane_breaker(schedule_lane(1, t))->open && answered < 100)
		step(t + SECOND, 1000);
	is_between(answered, 1, 12, "one of the good ones is among the next probes");
	end();
}

/* The destination fails for all: who was good before probes once, which makes no pause longer. */
static void
nobody_is_good(void)
{
	LanePolicy	policy = usual;

	policy.breaker_failures = 16;
	policy.min_backoff_us = 10 * SECOND;
	policy.max_backoff_us = 300 * SECOND;
	min_wait = 10 * SECOND;
	begin(&policy);
	for (int i = 0; i < 20; i++)
		queue_many(1, 1 + i, 1, IS_GOOD + i);
	work(t + SECOND, 1000);
	for (int i = 0; i < 40; i++)
		insert(1, 100 + i, i);
	commit(1, 100, 139);
	work(t + SECOND, 1000);
	ok(schedule_lane_breaker(schedule_lane(1, t))->open, "it is open");
	answered = 0;
	for (int i = 0; i < 20; i++)
		for (int n = 0; n < 10; n++)
			queue_many(1, 1000 + 20 * n + i, 1, IS_GOOD + i);
	fails_for_all = true;
	work(t + 8 * SECOND, 1000);
	is_between(answered, 20, 22, "each of those whose last answer was good probes once");
	is_between(schedule_lane_breaker(schedule_lane(1, t))->next_probe_at - t, 0, 40 * SECOND, "and nobody waits longer for that");
	fails_for_all = false;
	end();
}

/* However many there are that were never tried, it is the newest that probes. */
static void
newest_probes(int count, int expected)
{
	LanePolicy	policy = usual;

	policy.breaker_failures = 16;
	policy.min_backoff_us = SECOND / 2;
	policy.max_backoff_us = SECOND;
	min_wait = SECOND / 2;
	begin(&policy);
	queue_crowd(1, count);
	work(t + SECOND, 1000);
	queue_many(1, count + 1, 1, IS_GOOD);
	is_between(requests_until_sent(count + 1, 50), 1, expected, "one that is sent after a crowd probes the breaker");
	end();
}

/* One user alone does not open it, whatever it has. */
static void
one_user_is_not_all(void)
{
	LanePolicy	policy = usual;

	policy.breaker_failures = 16;
	min_wait = SECOND;
	for (int ordered = 0; ordered <= 1; ordered++)
	{
		policy.ordered = ordered;
		nopened = 0;
		begin(&policy);
		queue_many(1, 1, 100, 7);
		work(t + 1000 * SECOND, 1000);
		is_int(nopened, 0, "the failures of one user are one");
		end();
	}
}

/* Of what may be sent, first attempts have a part. */
static void
rate_is_shared(void)
{
	LanePolicy	policy = usual;

	for (int limited = 0; limited <= 1; limited++)
	{
		int			nretries = 0;
		int			ngone = 0;
		int			nrequests;

		policy.rate_limit = limited ? 5 : 0;
		policy.max_in_flight = limited ? 32 : 1;
		min_wait = SECOND / 2;
		begin(&policy);
		queue_crowd(1, 150);
		work(t + 60 * SECOND, 10000);
		for (int i = 0; i < 3; i++)
			queue_many(1, 1001 + i, 1, IS_GOOD + i);
		nrequests = requests_until_sent(1001, 100);
		is_between(nrequests, 1, 4 + policy.max_in_flight / 8, "a good one is among the next");
		is_between(requests_until_sent(1003, 100), 0, 4, "all of them are");

		/* nor do these take all */
		queue_many(1, 2001, 1000, NO_KEY);
		for (int i = 0; i < 200; i++)
		{
			QueueItem  *item;

			t += SECOND / 5;
			if ((item = next_item()) == NULL)
				continue;
			ngone++;
			nretries += item->retry;
			answer(item);
		}
		is_between(nretries, ngone / 2 - 5, ngone / 2 + 5, "each kind has its part");
		end();
	}
}

/* What waits for long is not in memory, and comes back in order. */
static void
crowd_waits(int count, bool ordered)
{
	LanePolicy	policy = usual;
	int64		id = count + 1;
	Size		used = MemoryContextMemAllocated(TopMemoryContext, true);
	Lane	   *lane;

	policy.ordered = ordered;
	policy.max_in_flight = 256;
	policy.max_backoff_us = 600 * SECOND;
	min_wait = 3600 * SECOND;
	begin(&policy);
	lane = schedule_lane(1, t);
	queue_crowd(1, count);
	lane->alive_at = 1;
	lane->allowed = 256;
	answered = 0;
	while (answered < count)
		work(t + 1000, 1);
	answered = 0;
	is_between(lane->nitems, 0, LANE_ITEMS, "not all that wait are in memory");
	is_int(lane->nitems + lane->nparked, count, "but all are known");
	used = MemoryContextMemAllocated(TopMemoryContext, true) - used;
	is_between(used / 1024 / 1024, 0, 24 + (int64) count * 110 / 1024 / 1024, "and take little memory");

	for (int i = 0; i < 3; i++)
	{
		queue_many(1, id, 1, IS_GOOD + i);
		is_int(requests_until_sent(id++, 10), 1, "a good one goes at once");
		insert(1, id, IS_GOOD + i);
		insert(1, id + 1, IS_GOOD + i);
		commit(1, id + 1, id + 1);
		read_all();
		commit(1, id, id);
		is_int(requests_until_sent(id++, 10), ordered ? 1 : 2, "and one that commits late");
		(void) requests_until_sent(id++, 10);
	}
	answered = 0;

	/* the later events of those that wait */
	queue_crowd(id, 1000);
	if (ordered)
		nothing_goes("their users wait");
	else
		is_between(take_all(), 100, 256, "without order they go");
	deliver_all();
	t += 3 * min_wait;
}

static void
comes_back(bool ordered)
{
	static int64 last[CROWD + 10];
	bool		in_order = true;
	int			count = nrows_left();
	int			n = 0;
	QueueItem  *item;

	memset(last, 0, sizeof(last));
	while ((item = next_item()) != NULL)
	{
		const QueueRow *row = schedule_row(item);

		in_order &= row->event_id > last[row->ordering_key];
		last[row->ordering_key] = row->event_id;
		n++;
		deliver(item);
	}
	is_int(n, count, "all come back when they are due");
	ok(in_order || !ordered, "each user's in order");
	end();
}

static void
tests(void)
{
	breaker_is_probed(30);
	breaker_is_probed(100);
	crowds_keep_coming(30, true);
	crowds_keep_coming(200, true);
	crowds_keep_coming(30, false);
	good_in_the_midst();
	crowd_hangs(16, 5000);
	crowd_hangs(0, 5000);
	crowd_hangs(16, 400);
	crowd_hangs(0, 400);
	for (int crowded = 0; crowded <= 1; crowded++)
	{
		worker_begins_anew(0, 10 * SECOND, crowded);
		worker_begins_anew(16, 10 * SECOND, crowded);
		worker_begins_anew(16, 0, crowded);
	}
	some_take_long();
	for (int ordered = 0; ordered <= 1; ordered++)
	{
		few_hang(1, 2, ordered);
		few_hang(2, 3, ordered);
		few_hang(3, 4, ordered);
		few_hang(24, 32, ordered);
		few_hang(27, 32, ordered);
	}
	good_without_order(2000, 3);
	good_without_order(10 * SECOND, 3);
	good_without_order(10 * SECOND, 0);
	for (int ordered = 0; ordered <= 1; ordered++)
	{
		crowds_come_first(0, ordered);
		crowds_come_first(16, ordered);
	}
	nobody_is_good();
	newest_probes(200, 2);
	newest_probes(40000, 4);
	one_user_is_not_all();
	rate_is_shared();
	crowd_waits(50100, false);
	comes_back(false);
	crowd_waits(CROWD, true);
	comes_back(true);
}
