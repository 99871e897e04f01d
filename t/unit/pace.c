/*-------------------------------------------------------------------------
 *
 * pace.c
 *		Unit tests of rates, breakers, and what each of several workers may do.
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

#include <math.h>

#include "steps.h"

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

/* A worker that has just begun may know when the last one has sent something. */
static void
rates_rest(void)
{
	static const double limits[] = {1e-6, 0.01, 1, 9};
	static const Instant ago[] = {0, USECS_PER_SEC / 10, USECS_PER_SEC, 60 * USECS_PER_SEC};

	for (int i = 0; i < lengthof(limits) * lengthof(ago); i++)
	{
		double		rate = limits[i % lengthof(limits)];
		Instant		last = 100 * USECS_PER_SEC - ago[i / lengthof(limits)];
		Instant		next = Max(100 * USECS_PER_SEC, last + (Instant) (USECS_PER_SEC / rate));
		Instant		when = 100 * USECS_PER_SEC;
		Lane		lane = {0};

		pace_init_lane(&lane, when);
		lane.nready = 1;
		lane.policy.max_in_flight = 32;
		lane.policy.parts = 1;
		lane.policy.rate_limit = rate;
		lane.configured = true;
		schedule_lane_sent(&lane, last);
		is_int(pace_allows(&lane, when, &when), next == 100 * USECS_PER_SEC, "something goes at once if it may");
		is_between(when, Min(next, 100 * USECS_PER_SEC + USECS_PER_DAY), next + 2, "or when the rate allows it");
	}
}

static void
rates_wait(void)
{
	static const double limits[] = {1e-300, 1e-13, 1e-6, 1e-3, 1, 1e3, 1e6};
	static const int64 rest[] = {0, 1, 1000, USECS_PER_DAY};

	for (int parts = 1; parts <= 32; parts += 31)
	{
		pace_init();
		pace_set_max_in_flight(100, 500, 1024 * 1024);
		for (int i = 0; i < lengthof(limits); i++)
		{
			Lane		lane = {0};
			QueueItem	item = {.lane = &lane};
			Instant		now = USECS_PER_SEC;
			Instant		begun = 0;
			int			sent = 0;
			int			looks = 0;
			Instant		shortest = PG_INT64_MAX;
			Instant		longest = 0;

			pace_init_lane(&lane, now);
			lane.nready = 1;
			lane.policy.max_in_flight = 32;
			lane.policy.parts = parts;
			lane.policy.rate_limit = limits[i];
			lane.configured = true;

			/* as the scheduler does it, which wakes up a little late now and then */
			while (sent < 100 && looks < 1000)
			{
				Instant		when = 0;

				looks++;
				if (pace_allows(&lane, now, &when))
				{
					if (!pace_take(&item, now))
						break;
					pace_leave(&item);
					if (sent++ == 1)
						begun = now;
					continue;
				}
				shortest = Min(shortest, when - now);
				longest = Max(longest, when - now);
				now = when + rest[looks % lengthof(rest)] % Max((int64) (1e6 / Max(limits[i], 1e-6)), 1);
			}
			is_between(shortest, 1, PG_INT64_MAX, "a rate waits for a time that comes");
			is_between(longest, 0, USECS_PER_DAY + 1, "and not for ever");
			is_between(sent, limits[i] < 1e-6 ? 1 : limits[i] < 1e-3 ? 2 : 100, 100,
					   "what may be sent is");
			if (limits[i] >= 1e-3)
				is_between(rint((double) (now - begun) * limits[i] / parts / 1e6),
						   limits[i] / parts <= 10 ? 97 : 0, 200, "at that rate");
		}
	}
}

/* Of which the table had nonsense. */
static void
stored_breakers(void)
{
	for (int i = 0; i < 3; i++)
	{
		Lane		lane = {.configured = true, .policy = {.max_in_flight = 1, .breaker_failures = 1,
		.max_backoff_us = USECS_PER_SEC, .parts = 1}};
		Breaker		stored = {.open = true, .opened_at = i - 1, .failures = i == 0 ? PG_INT32_MIN : PG_INT32_MAX,
		.next_probe_at = i == 2 ? 1 : INSTANT_NEVER};
		Instant		now = 10 * USECS_PER_SEC;
		Instant		when = 0;

		lane.nready = 1;
		breaker_set(&lane, &stored, now);
		is_between(pace_allows(&lane, now, &when) ? 1 : when - now, 1, USECS_PER_SEC,
				   "a breaker is bounded");
		is_between(lane.failing, 0, PG_INT32_MAX, "its count too");
	}
}

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
	deliver(item);
	ok(schedule_next_changed_breaker() == lane, "a good answer closes it");
	ok(!schedule_lane_breaker(lane)->open, "it is closed");
	ok(take_all() > 3, "and all goes on");

	/* what the table says */
	deliver_all();
	stored.open = true;
	stored.opened_at = clock_wall(t) - 60 * SECOND;
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
	ok(schedule_lane_breaker(lane)->open, "what is not saved yet is newer than the table");
	schedule_breaker_overruled(lane);
	ok(!schedule_breaker_changed(), "unless its destination has been changed since");
	schedule_breaker_unsaved(lane);
	(void) schedule_next_changed_breaker();
	schedule_set_breaker(lane, &stored, t);
	is_int(take_all() > 3, 1, "another worker has closed it");
	deliver_all();
	stored.open = true;
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

/* Of one destination, each of several workers has its part of all that is bounded. */
static void
parts(void)
{
	LanePolicy	policy = usual;

	policy.ordered = false;
	for (int nparts = 1; nparts <= 5; nparts++)
	{
		for (int most = nparts; most <= 13; most++)
		{
			int			together = 0;

			policy.max_in_flight = most;
			for (int part = 0; part < nparts; part++)
			{
				int			count;

				begin_as(part, nparts, &policy);
				schedule_lane(1, t)->allowed = 100;
				queue_many(1, 1, 300, NO_KEY);
				count = take_all();
				is_between(count, most / nparts, most / nparts + 1, "a part of what may be in flight");
				together += count;
				deliver_all();
			}
			is_int(together, most, "all of them make all of it");
		}
	}

	/* users that fail are divided as well */
	policy.max_in_flight = 32;
	for (int failures = 1; failures <= 9; failures++)
	{
		policy.breaker_failures = failures;
		begin_as(1, 4, &policy);
		queue_many(1, 1, 300, NO_KEY);
		for (int i = 1; i <= (failures + 3) / 4; i++)
		{
			ok(!schedule_lane_breaker(schedule_lane(1, t))->open, "fewer are not enough");
			retry(next_item(), SIGNAL_FAILING, HOUR);
		}
		ok(schedule_lane_breaker(schedule_lane(1, t))->open, "a part of them opens the breaker");
		nothing_goes("which holds for this worker at once");
		t = schedule_lane_breaker(schedule_lane(1, t))->next_probe_at;
		is_int(take_all(), 1, "and lets one probe by");
		deliver_all();
		ok(take_all() > 1, "it is closed");
		deliver_all();
	}
	end();

	/* where the queue begins is the first one's affair */
	for (int part = 0; part < 2; part++)
	{
		Lane	   *lane;

		begin_as(part, 2, &policy);
		lane = schedule_lane(1, t);
		read_all();
		ok(schedule_floor_may_rise(lane, 100000) == (part == 0), "the first one waits for that");
		schedule_look_for_floor(lane, 100000, t);
		is_int(read_all(), part == 0, "and looks");
	}
	end();
}

static void
tests(void)
{
	rates();
	rates_wait();
	rates_rest();
	stored_breakers();
	by_each_clock(breakers);
	parts();
}
