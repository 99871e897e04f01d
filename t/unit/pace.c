/*-------------------------------------------------------------------------
 *
 * pace.c
 *		Unit tests of rates, breakers and turns.
 *
 * rooms: schedule/schedule.c schedule/next.c schedule/window.c schedule/order.c
 * rooms: schedule/reading.c schedule/items.c schedule/park.c schedule/parked.c
 * rooms: schedule/pace.c schedule/breaker.c schedule/places.c schedule/room.c destination/verdict.c
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

static void
rates_wait(void)
{
	static const double limits[] = {1e-300, 1e-13, 1e-6, 1e-3, 1, 1e3, 1e6};
	static const int64 rest[] = {0, 1, 1000, USECS_PER_DAY};

	for (int nshares = 1; nshares <= 32; nshares += 31)
	{
		pace_init(0, nshares, &turns);
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
					pace_leave(&item, now);
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
				is_between(rint((double) (now - begun) * limits[i] / nshares / 1e6),
						   limits[i] / nshares <= 10 ? 97 : 0, 200, "at that rate");
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
		.max_backoff_us = USECS_PER_SEC}};
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
	ok(!schedule_lane_breaker(lane)->open, "it is closed");
	schedule_breaker_saved(lane, t);
	ok(take_all() > 3, "and all goes on");

	/* what the table says */
	deliver_all();
	stored.open = true;
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
	ok(schedule_lane_breaker(lane)->open, "what is not saved yet is newer than the table");
	schedule_breaker_overruled(lane, t);
	ok(!schedule_breaker_changed(), "unless its destination has been changed since");
	schedule_breaker_unsaved(lane);
	(void) schedule_next_changed_breaker();
	schedule_breaker_saved(lane, t);
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

static void
tests(void)
{
	rates();
	rates_wait();
	stored_breakers();
	by_each_clock(breakers);
	turns_with_others();
}
