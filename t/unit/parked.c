/*-------------------------------------------------------------------------
 *
 * parked.c
 *		Unit tests of rows that wait for their retry in the table, and of what becomes
 *		of these and of their users meanwhile.
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

static Lane *lane;

/* A destination of which nothing that waits stays in memory. */
static void
begin_parking(const LanePolicy *policy)
{
	begin(policy);
	items_most = 2;
	lane = schedule_lane(1, t);
}

/* The user's event fails, and is parked until then. */
static void
park_one(int64 id, int64 key, int64 wait_us)
{
	queue_many(1, id, 1, key);
	retry(goes(id, "one that fails"), SIGNAL_NONE, wait_us);
	ok(parked_event(lane, id) != NULL, "is parked");
}

/* A window that is small, and has something in it. */
static QueueItem *
something_in_flight(void)
{
	queue_many(1, 1, 1, 1);
	return goes(1, "something is in flight");
}

static void
comes_and_goes(void)
{
	QueueItem  *other;

	begin_parking(&usual);
	other = something_in_flight();
	park_one(10, 100, HOUR);
	is_int(lane->nitems, 1, "nothing of it is in memory");
	is_int(schedule_wake_at(), t + HOUR, "but when it is due");
	queue_many(1, 11, 3, 100);
	nothing_goes("its user's later ones wait");
	is_int(lane->nitems, 1, "in the table");
	queue_many(1, 20, 1, 200);
	deliver(goes(20, "others do not"));
	t += HOUR - 1;
	nothing_goes("not sooner");
	t++;
	is_int(nreads[READ_RETRIES], 0, "it is not read before");
	retry(goes(10, "it goes when it is due"), SIGNAL_NONE, HOUR);
	is_int(nreads[READ_RETRIES], 1, "by a read of its own");
	is_int(nreads[READ_HUNGRY], 0, "with nothing of what is behind it");
	nothing_goes("it waits again");
	t += HOUR;
	deliver(goes(10, "and goes"));
	for (int id = 11; id <= 13; id++)
		deliver(goes(id, "then the later ones"));
	deliver(other);
	end();

	/* what is remembered of it */
	begin_parking(&usual);
	other = something_in_flight();
	queue_many(1, 10, 1, 100);
	retry(goes(10, "one that cannot be made with others"), SIGNAL_UNSENT, HOUR);
	ok(parked_event(lane, 10) != NULL, "is parked");
	t += HOUR;
	ok(schedule_is_alone(goes(10, "when it comes")), "it is alone still");
	deliver_all();
	end();
}

static void
changes(void)
{
	QueueItem  *other;
	LanePolicy	policy = usual;

	begin_parking(&usual);
	other = something_in_flight();

	/* cancelled, and its user goes on, told or not */
	park_one(10, 100, HOUR);
	queue_many(1, 11, 1, 100);
	nothing_goes("the later one waits");
	table[1][10].exists = false;
	commit(1, 10, 10);
	deliver(goes(11, "until the parked one is cancelled"));
	park_one(20, 100, HOUR);
	queue_many(1, 21, 1, 100);
	nothing_goes("another one waits");
	table[1][20].exists = false;
	t += HOUR;
	deliver(goes(21, "if nobody tells, until it is due"));

	/* queued again, hastened, another user's */
	park_one(30, 100, HOUR);
	insert(1, 30, 100)->row.queued_at = 1;
	commit(1, 30, 30);
	deliver(goes(30, "queued again, it waits for nothing"));
	park_one(40, 100, HOUR);
	table[1][40].row.retry_at = clock_wall(t + SECOND);
	commit(1, 40, 40);
	is_int(schedule_wake_at() > t + SECOND, 1, "it has not been read yet");
	nothing_goes("its time has come nearer");
	is_int(schedule_wake_at(), t + SECOND, "which is seen");
	table[1][40].row.retry_at = clock_wall(t + HOUR);
	t += SECOND;
	nothing_goes("one that has gone further away");
	is_between(schedule_wake_at(), t + HOUR - SECOND, t + HOUR, "is seen when it comes");
	queue_many(1, 41, 1, 100);
	nothing_goes("its user waits");
	table[1][40].row.ordering_key = 300;
	commit(1, 40, 40);
	deliver(goes(41, "not if it is another user's"));
	queue_many(1, 42, 1, 300);
	nothing_goes("who waits instead");
	t += HOUR;
	deliver(goes(40, "until it goes"));
	deliver(goes(42, "in order"));

	/* an earlier one commits late; another one waits for its deliver_after */
	insert(1, 50, 100);
	insert(1, 51, 100)->row.deliver_after = clock_wall(t + SECOND);
	park_one(60, 100, HOUR);
	commit(1, 50, 51);
	retry(goes(50, "what committed late goes first"), SIGNAL_NONE, 2 * HOUR);
	ok(parked_event(lane, 50) != NULL && parked_event(lane, 60) == NULL, "and is parked instead");
	t += HOUR;
	nothing_goes("the later one waits behind it, though it were due");
	t += HOUR;
	deliver(goes(50, "the first"));
	deliver(goes(51, "the next"));
	deliver(goes(60, "and the one after it"));

	/* read again, paused, without order, gone */
	park_one(70, 100, HOUR);
	queue_many(1, 71, 1, 100);
	schedule_reread(lane, t);
	nothing_goes("reading all again changes nothing");
	policy.halted = true;
	configure(1, &policy);
	t += 2 * HOUR;
	is_int(schedule_wake_at(), 0, "a lane that is halted waits for nothing");
	policy.halted = false;
	configure(1, &policy);
	retry(goes(70, "it goes when it is resumed"), SIGNAL_NONE, HOUR);
	policy.ordered = false;
	configure(1, &policy);
	deliver(goes(71, "without order, none waits for it"));
	policy.ordered = true;
	configure(1, &policy);
	queue_many(1, 72, 1, 100);
	nothing_goes("with order again they do");
	policy.gone = true;
	configure(1, &policy);
	is_int(take_all(), 2, "of a destination that is gone all are given up");
	is_int(lane->nparked, 0, "nothing is parked");
	ok(!schedule_remove(lane), "it is needed");
	policy.gone = false;
	configure(1, &policy);
	(void) other;
	deliver_all();
	end();
}

/* What is in memory does not go round while others are due in the table. */
static void
all_have_their_turn(void)
{
	LanePolicy	policy = usual;
	int			least = PG_INT32_MAX;
	int			most = 0;

	policy.rate_limit = 100;
	begin(&policy);
	items_most = 100;
	lane = schedule_lane(1, t);
	for (int id = 1; id <= 1000; id++)
		insert(1, id, id);
	commit(1, 1, 1000);
	for (int i = 0; i < 20000; i++)
	{
		QueueItem  *item;

		t += SECOND / 99;
		if ((item = next_item()) != NULL)
			retry(item, SIGNAL_NONE, SECOND);
	}
	for (int id = 1; id <= 1000; id++)
	{
		least = Min(least, table[1][id].row.attempts);
		most = Max(most, table[1][id].row.attempts);
	}
	is_between(least, 18, 20, "each is tried as often");
	is_between(most, least, least + 3, "as all others");
	policy.rate_limit = 0;
	configure(1, &policy);
	end();
}

/* What waits when the destination's row is another one goes at once, wherever it waits. */
static void
edited(void)
{
	LanePolicy	policy = usual;
	QueueItem  *other;
	QueueItem  *decided;

	policy.version = 10;
	begin_parking(&policy);
	items_most = 4;
	queue_many(1, 1, 1, 1);
	other = goes(1, "something is in flight");
	queue_many(1, 2, 1, 2);
	decided = goes(2, "one of which the outcome is not recorded");
	finish(decided, VERDICT_RETRY, SIGNAL_NONE, HOUR);
	park_one(10, 100, HOUR);
	queue_many(1, 11, 1, 100);
	items_most = LANE_ITEMS;
	queue_many(1, 20, 1, 200);
	retry(goes(20, "one that fails"), SIGNAL_NONE, HOUR);
	ok(parked_event(lane, 20) == NULL, "and is not parked");
	queue_many(1, 21, 1, 200);
	nothing_goes("all wait");
	insert(1, 30, 300)->row.retry_at = clock_wall(t + HOUR);
	table[1][30].row.attempts = 1;

	/* the same version again, as when all are looked at */
	policy.version = 10;
	configure(1, &policy);
	nothing_goes("nothing has changed");

	policy.version = 11;
	t += SECOND;
	configure(1, &policy);
	retry(goes(20, "what waits in memory goes"), SIGNAL_NONE, HOUR);
	t += SECOND;
	retry(goes(10, "and what is parked"), SIGNAL_NONE, HOUR);
	t += SECOND;
	nothing_goes("once");
	record(decided);
	retry(goes(2, "what was tried before goes when that is recorded"), SIGNAL_NONE, HOUR);
	retry(other, SIGNAL_NONE, HOUR);
	t += SECOND;
	retry(goes(1, "likewise what was in flight"), SIGNAL_NONE, HOUR);
	t += SECOND;
	nothing_goes("once");
	commit(1, 30, 30);
	nothing_goes("what comes later waits for its time");

	/* what has not been read yet */
	begin(&usual);
	lane = schedule_lane(1, t);
	policy = usual;
	policy.version = 10;
	configure(1, &policy);
	for (int id = 1; id <= 5; id++)
	{
		insert(1, id, id)->row.retry_at = clock_wall(t + HOUR);
		table[1][id].row.attempts = 1;
	}
	ncommits++;
	for (int id = 1; id <= 5; id++)
		table[1][id].visible = true;
	policy.version = 11;
	configure(1, &policy);
	for (int id = 1; id <= 5; id++)
		retry(goes(id, "one that had not been read goes, too"), SIGNAL_NONE, HOUR);
	nothing_goes("once");
	schedule_reread(lane, t);
	nothing_goes("whatever is read again");

	/* and a breaker that is open is probed */
	policy.breaker_failures = 1;
	configure(1, &policy);
	t += HOUR;
	retry(goes(1, "one fails"), SIGNAL_FAILING, HOUR);
	ok(lane->breaker.open, "and opens the breaker");
	nothing_goes("the others wait");
	policy.version = 12;
	configure(1, &policy);
	ok(next_item() != NULL, "one probes at once");
	retry(taken[0], SIGNAL_FAILING, HOUR);
	nothing_goes("and no more of them");
	policy.breaker_failures = 0;
	configure(1, &policy);
	end();
}

/* Several destinations' are told apart, and many are found. */
static void
many(void)
{
	int			found = 0;

	begin(&usual);
	items_most = 2;
	for (int destination = 1; destination <= NDESTS; destination++)
	{
		configure(destination, &usual);
		for (int id = 1; id <= 20000; id++)
		{
			TableRow   *r = insert(destination, id, id);

			r->row.attempts = 1;
			r->row.retry_at = clock_wall(t + HOUR + id);
		}
		commit(destination, 1, 20000);
	}
	nothing_goes("all wait");
	for (int destination = 1; destination <= NDESTS; destination++)
	{
		lane = schedule_lane(destination, t);
		for (int id = 1; id <= 20001; id++)
		{
			Parked	   *parked = parked_event(lane, id);

			found += parked != NULL && parked->event_id == id &&
				parked->destination_id == destination && parked == parked_user(lane, id);
		}
	}
	is_between(found, NDESTS * 19998, NDESTS * 20000, "each is found by its event and by its user");
	parked_forget_lane(schedule_lane(2, t));
	is_int(schedule_lane(2, t)->nparked, 0, "one lane's are forgotten");
	is_between(schedule_lane(3, t)->nparked, 19998, 20000, "others' are not");
	schedule_reread(schedule_lane(2, t), t);
	t += 2 * HOUR;
	all_go(NDESTS * 20000, false, "all go in the end");
	end();
}

static void
tests(void)
{
	comes_and_goes();
	by_each_clock(changes);
	by_each_clock(edited);
	all_have_their_turn();
	many();
}
