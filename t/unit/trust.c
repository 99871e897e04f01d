/*-------------------------------------------------------------------------
 *
 * trust.c
 *		Unit tests of users whose last answers were good, and of breakers of which the
 *		rules change.
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

#define GOOD		1000		/* users from here on are good */

static LanePolicy policy;
static Lane *lane;
static int64 last_id;

/* With so many good users, a breaker that opens after 16 failures, and pauses from 10 s. */
static void
begin_with(int ngood)
{
	policy = usual;
	policy.breaker_failures = 16;
	policy.min_backoff_us = 10 * SECOND;
	policy.max_backoff_us = 300 * SECOND;
	begin(&policy);
	lane = schedule_lane(1, t);
	last_id = 0;
	for (int i = 0; i < ngood; i++)
		queue_many(1, ++last_id, 1, GOOD + i);
	while (next_item() != NULL)
		deliver(taken[0]);
	t += SECOND;
}

static const Breaker *
breaker(void)
{
	return schedule_lane_breaker(lane);
}

static bool
is_trusted(int64 user)
{
	QueueRow	row = {.has_key = true, .ordering_key = user};

	return trust_has(lane, &row);
}

static void
send_one(int64 user)
{
	queue_many(1, ++last_id, 1, user);
}

/* New users, whose events fail, until the breaker is open. */
static void
open_it(int64 wait)
{
	static int64 user = 1;

	while (!breaker()->open)
	{
		send_one(user = user % (GOOD - 1) + 1);
		while (next_item() != NULL)
			;
		t += 1000;
		retry(taken[0], SIGNAL_FAILING, wait);
	}
	while (ntaken > 0)
		retry(taken[0], SIGNAL_FAILING, wait);
	(void) schedule_next_changed_breaker();
}

/* What goes next fails; how long is the pause then? */
static Instant
pause_after_probe(void)
{
	t = Max(t, breaker()->next_probe_at);
	ok(next_item() != NULL, "it is probed");
	retry(taken[0], SIGNAL_FAILING, 1);
	(void) schedule_next_changed_breaker();
	return breaker()->next_probe_at - t;
}

/* ---------------------------------------------------------------------
 * Who is trusted
 * ---------------------------------------------------------------------
 */

static void
is_good(int64 user)
{
	send_one(user);
	deliver(next_item());
}

static void
the_last_ones(void)
{
	begin_with(MAX_TRUSTED);
	is_int(lane->ntrusted, MAX_TRUSTED, "so many are known");
	is_good(GOOD);
	is_good(GOOD + 500);
	is_int(lane->ntrusted, MAX_TRUSTED, "no more than that");
	ok(is_trusted(GOOD) && is_trusted(GOOD + 500), "those that were good last");
	ok(!is_trusted(GOOD + 1) && is_trusted(GOOD + 2), "and not the one for whom that is longest ago");
	for (int i = 0; i < 10; i++)
	{
		send_one(GOOD + 2 + 3 * i);
		retry(next_item(), SIGNAL_FAILING, SECOND);
		ok(!is_trusted(GOOD + 2 + 3 * i), "who fails is trusted no more");
	}
	is_int(lane->ntrusted, MAX_TRUSTED - 10, "the others are");
	ok(is_trusted(GOOD + 3) && is_trusted(GOOD + 31) && is_trusted(GOOD) && is_trusted(GOOD + 500), "whoever they are");
	is_int(lane->nproven, 1, "one was good twice");
	end();
}

/* Any number of users that are made up, each of them good once. */
static void
made_up_ones(void)
{
	int			known;

	begin_with(10);
	for (int i = 0; i < 10; i++)
		is_good(GOOD + i);
	for (int i = 0; i < 300; i++)
		is_good(2 * GOOD + i);
	for (int i = 0; i < 10; i++)
		ok(is_trusted(GOOD + i), "who was good twice is known after any number that were good once");
	is_int(lane->ntrusted, MAX_TRUSTED, "of which the last ones are");
	ok(is_trusted(2 * GOOD + 299) && !is_trusted(2 * GOOD), "and none of the others");

	/* nor do those that were good for long keep all others out */
	for (int n = 0; n < 2; n++)
		for (int i = 0; i < 100; i++)
			is_good(3 * GOOD + i);
	for (int n = 0; n < 2; n++)
		for (int i = 0; i < 60; i++)
			is_good(4 * GOOD + i / 2);
	known = lane->nproven;
	is_between(known, 20, MAX_TRUSTED - 1, "some room is for new ones");
	ok(is_trusted(4 * GOOD + 29) && !is_trusted(3 * GOOD), "and others are proven");
	send_one(4 * GOOD + 29);
	retry(next_item(), SIGNAL_FAILING, SECOND);
	ok(!is_trusted(4 * GOOD + 29) && lane->nproven == known - 1, "until they fail");
	end();
}

/* What the table says of them, in its order. */
static void
as_saved(void)
{
	int64		users[MAX_TRUSTED];
	int			count;

	begin_with(10);
	for (int i = 0; i < 10; i++)
		is_good(GOOD + i);
	for (int i = 0; i < 50; i++)
		is_good(2 * GOOD + i);
	count = schedule_lane_trusted(lane, users);
	is_int(count, MAX_TRUSTED, "they can be saved");
	ok(!schedule_trust_unsaved(), "which is not for now");
	t++;
	send_one(500);
	retry(next_item(), SIGNAL_FAILING, SECOND);
	ok(schedule_next_unsaved_trust() == lane && schedule_next_unsaved_trust() == NULL, "but when somebody fails");
	is_good(GOOD);
	t++;
	send_one(501);
	retry(next_item(), SIGNAL_FAILING, SECOND);
	ok(!schedule_trust_unsaved(), "and not again for nothing");
	end();

	begin(&policy);
	lane = schedule_lane(1, t);
	last_id = 0;
	for (int i = 0; i < count; i++)
		schedule_trust(lane, users[i]);
	for (int i = 0; i < 100; i++)
		is_good(3 * GOOD + i);
	for (int i = 0; i < 10; i++)
		ok(is_trusted(GOOD + i), "the next worker has the same that are proven");
	end();
}

static void
without_users(void)
{
	begin_with(0);
	queue_many(1, 1, 100, NO_KEY);
	deliver_all();
	while (next_item() != NULL)
		deliver(taken[0]);
	is_int(lane->ntrusted, 0, "events without a user speak for none");
	end();
}

/* ---------------------------------------------------------------------
 * Whose turn it is to probe
 * ---------------------------------------------------------------------
 */

/* A probe out of turn that hangs until the next turn makes that no later. */
static void
hangs_out_of_turn(void)
{
	Instant		at;

	begin_with(5);
	open_it(1);
	at = breaker()->next_probe_at;
	for (int i = 0; i < 5; i++)
		send_one(GOOD + i);
	send_one(500);
	ok(is_trusted(schedule_row(next_item())->ordering_key), "one that is trusted goes at once");
	nothing_goes("by itself");
	t = at + SECOND;
	retry(taken[0], SIGNAL_FAILING, 1);
	is_int(breaker()->next_probe_at, at, "the others need not wait longer for it");
	is_int(schedule_row(next_item())->ordering_key, 500, "and it is their turn");
	retry(taken[0], SIGNAL_FAILING, 1);
	is_int(breaker()->next_probe_at, t + 20 * SECOND, "which counts");
	end();
}

/* If one after the other fails that is trusted, others have their turns all the same. */
static void
turns_of_others(void)
{
	int			count = 0;

	begin_with(30);
	open_it(1);
	for (int i = 0; i < 30; i++)
		send_one(GOOD + i);
	for (int i = 0; i < 30; i++)
		send_one(500 + i);
	while (breaker()->open && next_item() != NULL)
	{
		const QueueRow *row = schedule_row(taken[0]);

		count++;
		t += 30 * SECOND;		/* it hangs */
		if (row->ordering_key == 529)
			deliver(taken[0]);	/* the newest is good */
		else
			retry(taken[0], SIGNAL_FAILING, 1);
	}
	is_between(count, 1, 3, "one of those that are not trusted has its turn soon");
	end();
}

/* ---------------------------------------------------------------------
 * Breakers of which the rules change
 * ---------------------------------------------------------------------
 */

static void
threshold_changes(void)
{
	begin_with(0);
	open_it(1);
	for (int i = 0; i < 40; i++)
		send_one(500 + i);
	policy.breaker_failures = 1000;
	configure(1, &policy);
	is_int(pause_after_probe(), 20 * SECOND, "it is probed as before with a higher threshold");
	policy.breaker_failures = 1;
	configure(1, &policy);
	is_int(pause_after_probe(), 40 * SECOND, "and with a lower one");
	policy.max_backoff_us = 30 * SECOND;
	configure(1, &policy);
	is_between(breaker()->next_probe_at - t, 1, 30 * SECOND, "not longer than it may wait now");
	is_int(pause_after_probe(), 30 * SECOND, "also after that");
	policy.breaker_failures = 0;
	configure(1, &policy);
	ok(!breaker()->open && next_item() != NULL, "without one, all goes");
	deliver_all();
	(void) schedule_next_changed_breaker();

	/* that was nobody's good answer: it takes as many as ever to open it */
	policy.breaker_failures = 16;
	configure(1, &policy);
	while (next_item() != NULL)
		deliver(taken[0]);
	t += SECOND;
	open_it(1);
	is_int(breaker()->failures, 16, "and it takes no more failures to open it again");
	end();
}

/* Whoever edits any destination has all breakers read again. */
static void
read_again(void)
{
	Breaker		stored;

	begin_with(1);
	for (int i = 0; i < 4; i++)
	{
		open_it(1);
		send_one(GOOD);
		deliver(next_item());
		(void) schedule_next_changed_breaker();
		t += SECOND;
	}
	open_it(1);
	is_int(breaker()->failures, 16 << 4, "it takes many failures to open it");
	for (int i = 0; i < 40; i++)
		send_one(500 + i);
	stored = *breaker();
	schedule_set_breaker(lane, &stored, t);
	is_int(pause_after_probe(), 20 * SECOND, "what is known already changes nothing");
	stored = *breaker();
	stored.next_probe_at = t + SECOND;
	schedule_set_breaker(lane, &stored, t);
	is_int(breaker()->next_probe_at, t + SECOND, "but that somebody wants it sooner");
	is_int(pause_after_probe(), 40 * SECOND, "for once");
	stored = *breaker();
	stored.failures += 1;
	schedule_set_breaker(lane, &stored, t);
	is_int(pause_after_probe(), 160 * SECOND, "and what others have probed counts");

	/* as the next worker finds it */
	stored = *breaker();
	end();
	begin(NULL);
	lane = schedule_lane(1, t);
	stored.opened_at = clock_wall(t);
	stored.next_probe_at = t + 10 * SECOND;
	schedule_set_breaker(lane, &stored, t);
	configure(1, &policy);
	for (int i = 0; i < 40; i++)
		send_one(500 + i);
	is_int(pause_after_probe(), 20 * SECOND, "a new one was not probed often, by however many it was opened");
	end();
}

/* A wait that was long by the old rules, and was not recorded before there were new ones. */
static void
wait_is_recorded_late(void)
{
	QueueItem  *item;

	begin_with(0);
	policy.ordered = false;
	configure(1, &policy);
	send_one(500);
	item = next_item();
	finish(item, VERDICT_RETRY, SIGNAL_ALIVE, 20 * HOUR);
	policy.max_wait_us = 60 * SECOND;
	configure(1, &policy);
	read_all();
	record(item);
	is_between(schedule_wake_at() - t, 1, 60 * SECOND, "it waits no longer than it may now");
	t += 60 * SECOND;
	goes(last_id, "then it goes");
	deliver_all();
	end();
}

static void
tests(void)
{
	the_last_ones();
	made_up_ones();
	as_saved();
	without_users();
	hangs_out_of_turn();
	turns_of_others();
	threshold_changes();
	read_again();
	wait_is_recorded_late();
}
