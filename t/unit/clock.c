/*-------------------------------------------------------------------------
 *
 * clock.c
 *		Unit tests of how old something is whose time was stored before the clock
 *		was set.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include "common/pg_prng.h"

#include "clocks.h"

static TimestampTz first;
static TimestampTz second;
static Instant first_at;
static Instant second_at;
static int64 moved;

static void
start_anew(ClockFile found)
{
	memset(&known, 0, sizeof(known));
	memset(&memory, 0, sizeof(memory));
	known_changes = 0;
	file = found;
	clock_startup();
	clock_look();
}

/* Shared memory is made anew. */
static void
restart(void)
{
	start_anew(CLOCK_FILE_THIS_BOOT);
}

/*
 * So does the machine, which is down for a while; then its clock is off by so
 * much.  Returns what is to be added to an instant from before.
 */
static int64
reboot(int64 down, int64 off)
{
	int64		moved = 50 * SECOND - down - steady;

	steady = 50 * SECOND;
	wall_ahead += off - moved;
	start_anew(CLOCK_FILE_OTHER_BOOT);
	return moved;
}

/* As another process that has the memory only. */
static void
become_another(void)
{
	memset(&known, 0, sizeof(known));
	known_changes = 0;
	clock_look();
}

static void
nobody_sets_it(void)
{
	/* nobody sets it */
	begin();
	first = GetCurrentTimestamp();
	first_at = steady;
	is_int(clock_when(clock_wall(steady + DAY)) - steady, DAY, "there and back");
	steady += 5 * HOUR;
	is_int(clock_look(), 0, "nothing to say");
	is_int(clock_age(first, steady), 5 * HOUR, "an age");
	is_int(clock_age(first - 30 * DAY, steady), 30 * DAY + 5 * HOUR, "of what was before us");
	is_int(clock_age(clock_wall(steady) + HOUR, steady), 0, "of what will be");
	wall_ahead += 4 * SECOND;
	is_int(clock_look(), 0, "a little is no jump");
	is_int(clock_wall(steady) - GetCurrentTimestamp(), 0, "and is followed");
}

static void
ahead_by_eight_hours_for_a_while_and_rig(void)
{
	/* ahead by eight hours, for a while, and right again */
	begin();
	first = GetCurrentTimestamp();
	first_at = steady;
	set(HOUR, 8 * HOUR);
	is_int(said, 1, "it is said");
	is_int(clock_look(), 0, "once");
	is_int(clock_age(first, steady), steady - first_at, "no older than before");
	is_between(clock_before(DAY, steady), first_at + begins_ahead - DAY + HOUR, first_at + begins_ahead - DAY + HOUR + 5 * SECOND, "nothing is past it");
	second = GetCurrentTimestamp();
	second_at = steady;
	become_another();
	is_int(said, 1, "others know it");
	is_int(clock_age(first, steady), steady - first_at, "just as well");
	is_int(clock_is_past(clock_wall(steady), DAY, steady), 0, "what it shows is not past");
	is_int(clock_latest(DAY, steady) - clock_wall(steady), 0, "its latest");
	steady += 10 * SECOND;
	set(0, -8 * HOUR);
	is_int(clock_is_past(second, DAY, steady), 0, "what it showed is not past");
	is_between(clock_latest(DAY, steady) - second, 10 * SECOND, 20 * SECOND, "its latest time was then");
	steady += DAY + 9 * HOUR;
	is_int(clock_is_past(second, DAY, steady), 1, "a day after it was shown again it is");
	is_int(clock_latest(DAY, steady) - clock_wall(steady), 0, "the latest is now");
	is_int(clock_is_past(second + 3 * DAY, DAY, steady), 0, "what it never showed is not");
	steady -= DAY + 9 * HOUR;
	is_int(said, 2, "the end is said");
	is_int(clock_age(first, steady), steady - first_at, "the old one");
	is_int(clock_age(second, steady), steady - second_at, "the one of then");
	is_between(clock_before(DAY, steady), PG_INT64_MIN, clock_wall(steady) - DAY, "still nothing is past");
	steady += 100 * HOUR;
	is_int(clock_age(first, steady), steady - first_at, "the old one later");
	is_int(clock_before(DAY, steady), clock_wall(steady) - DAY, "and retention goes on");
}

static void
ahead_for_good(void)
{
	/* ahead for good */
	begin();
	first = GetCurrentTimestamp();
	first_at = steady;
	set(HOUR, 8 * HOUR);
	second = GetCurrentTimestamp();
	second_at = steady;
	for (int hours = 0; hours < 30; hours++)
	{
		is_int(clock_age(first, steady), steady - first_at, "ahead for good");
		is_int(clock_age(second, steady), steady - second_at, "and since");
		is_int(clock_before(12 * HOUR, steady) <= clock_wall(steady) - 12 * HOUR, 1, "what is past");
		steady += HOUR;
	}
	is_int(clock_before(12 * HOUR, steady), clock_wall(steady) - 12 * HOUR, "in the end as ever");
}

static void
back_by_an_hour_the_hour_comes_twice_and(void)
{
	/* back by an hour: the hour comes twice, and nothing is made older for that */
	begin();
	first = GetCurrentTimestamp();
	first_at = steady;
	set(2 * HOUR, -HOUR);
	second = GetCurrentTimestamp();
	second_at = steady;
	for (int minutes = 0; minutes < 600; minutes += 20)
	{
		is_between(clock_age(first, steady), steady - first_at - HOUR, steady - first_at, "not older");
		is_int(clock_age(second, steady), steady - second_at, "exact");
		is_between(clock_before(DAY, steady), PG_INT64_MIN, clock_wall(steady) - DAY, "nothing more is past");
		steady += 20 * 60 * SECOND;
	}
}

static void
again_and_again_more_often_than_is_kept(void)
{
	/* again and again, more often than is kept */
	begin();
	first = GetCurrentTimestamp();
	first_at = steady;
	for (int i = 0; i < 100; i++)
	{
		set(60 * SECOND, (i % 2 ? -1 : 1) * (i + 1) * HOUR);
		second = GetCurrentTimestamp();
		second_at = steady;
		is_between(clock_age(first, steady), 0, steady - first_at, "whatever happens not older");
		is_int(clock_age(second, steady), 0, "whatever happens exact");
		is_int(clock_before(DAY, steady) <= clock_wall(steady) - DAY, 1, "whatever happens kept");
	}
	is_int(memory.known.count, MAX_ERAS, "so many are kept");
}

static void
back_by_two_hours_for_a_moment_which_a_w(void)
{
	/* back by two hours for a moment, which a worker sees by what others know of it only */
	begin();
	first = GetCurrentTimestamp();
	first_at = steady;
	steady += 30 * SECOND;
	{
		Eras		mine = known;
		uint32		mine_changes = known_changes;

		set(DAY, -2 * HOUR);
		second = GetCurrentTimestamp();
		second_at = steady;
		set(SECOND, 2 * HOUR);
		known = mine;
		known_changes = mine_changes;
	}
	is_int(clock_age(second, steady), steady - second_at, "the end has come by itself");
	is_int(clock_look(), 1, "and is news");
	is_int(clock_look(), 0, "once again");
	is_int(said, 2, "which others said");

	/* which outlasts shared memory */
	for (int i = 0; i < 3; i++)
	{
		steady += HOUR;
		restart();
		is_int(clock_age(second, steady), steady - second_at, "as old after a restart");
		is_int(clock_age(first, steady), steady - first_at, "also the first one");
		is_int(clock_before(DAY, steady) <= second, 1, "nothing is past then");
	}
	is_int(said, 2, "nothing was said");
	steady += HOUR;
	wall_ahead += HOUR;
	restart();
	is_int(said, 3, "set meanwhile");
	is_int(clock_age(second, steady), steady - second_at, "and nothing is older");

	/* and the machine's restart */
	for (int down = 1; down <= 100; down += 33)
	{
		for (int lasted = 0; lasted < 2; lasted++)
		{
			begin();
			first = GetCurrentTimestamp();
			first_at = steady;
			set(DAY, -2 * HOUR);
			second = GetCurrentTimestamp();
			second_at = steady;
			set(SECOND, 2 * HOUR);
			steady += lasted * 2 * DAY;
			look_for_the_last_time(0, 0);
			second_at += reboot(down * HOUR, 0);
			is_int(clock_age(second, steady), steady - second_at, "a machine has restarted");
			is_int(said, 2, "there is nothing to say");
		}

		/* in the wrong time: it was as short as it may have been */
		begin();
		first = GetCurrentTimestamp();
		first_at = steady;
		set(DAY, -2 * HOUR);
		second = GetCurrentTimestamp();
		second_at = steady;
		look_for_the_last_time(0, 0);
		moved = reboot(down * HOUR, 2 * HOUR);
		is_int(clock_age(second, steady), steady - second_at - moved, "right again after a restart");
		is_between(clock_age(first, steady), DAY, steady - first_at - moved, "no older for that");
		is_int(said, 2, "which is said");

		/* it begins with a time that has been, and is told the right one later */
		for (int far = 0; far < 2; far++)
		{
			int64		off = far ? 57 * YEAR : 200 * HOUR;

			begin();
			first = GetCurrentTimestamp();
			first_at = steady;
			steady += DAY;
			look_for_the_last_time(0, 0);
			first_at += reboot(down * HOUR, -off);
			is_between(clock_age(first, steady), 0, steady - first_at, "of a clock that stood still");
			second = GetCurrentTimestamp();
			second_at = steady;
			set(SECOND, off);
			is_between(clock_age(first, steady), DAY, steady - first_at, "and goes right again");
			is_int(clock_age(second, steady), steady - second_at, "no older is what was stored till then");
			is_int(clock_is_past(second, HOUR, steady), 0, "nor past anything");
		}
	}
}

/* So much that nobody notices it, and it is looked at. */
static void
nudge(int64 by)
{
	wall_ahead += by;
	is_int(clock_look(), 0, "a little is no jump");
	steady += SECOND / 20;
}

/*
 * After it was ahead for long, so that it showed then what it shows now: by some seconds
 * that nobody noticed, what was stored at an end of an era seems to lie beyond that.
 */
static void
some_seconds_that_nobody_has_noticed(void)
{
	static const int64 nudges[] = {4900 * 1000, -4900 * 1000};
	static const int64 jumps[] = {-30 * 60 * SECOND, 30 * 60 * SECOND, 6 * SECOND};

	for (int n = 0; n < lengthof(nudges); n++)
	{
		for (int j = 0; j < lengthof(jumps); j++)
		{
			/* before the clock is set again; the second one as others see it who have not looked since */
			begin();
			set(SECOND, HOUR);
			steady += 4 * HOUR;
			set(SECOND, -HOUR);
			is_int(said, 2, "ahead for long, and right again");
			nudge(nudges[n]);
			second = GetCurrentTimestamp();
			second_at = steady;
			set(SECOND / 20, jumps[j]);
			is_int(said, 3, "and set again");
			for (int i = 0; i < 3; i++)
			{
				is_between(clock_age(second, steady), 0, steady - second_at + 10 * SECOND, "no older than it is, as good as");
				ok(!clock_is_past(second, 30 * 60 * SECOND, steady), "nor past anything");
				ok(clock_order(second, GetCurrentTimestamp() - 2 * HOUR) >= 0, "and not from before the clock was right");
				if (i == 1)
					restart();
				steady += SECOND;
			}

			/* just after it was set */
			begin();
			set(SECOND, HOUR);
			steady += 4 * HOUR;
			clock_look();
			wall_ahead -= HOUR;
			steady += SECOND / 20;
			clock_look();
			nudge(nudges[n]);
			second = GetCurrentTimestamp();
			second_at = steady;
			become_another();
			is_between(clock_age(second, steady), 0, 5 * SECOND, "just stored");
			nudge(-nudges[n]);
			is_between(clock_age(second, steady), 0, 6 * SECOND, "and looked at by the right time");
			nudge(-nudges[n]);
			is_between(clock_age(second, steady), 0, 11 * SECOND, "and by the other one");
			ok(!clock_is_past(second, 30 * 60 * SECOND, steady), "not past");
		}

		/* many times: in the end somebody notices */
		begin();
		first = GetCurrentTimestamp();
		first_at = steady;
		for (int i = 0; i < 6; i++)
		{
			steady += 60 * SECOND;
			wall_ahead += nudges[n];
			if (i % 3 == 2)
				restart();
			else
				clock_look();
			is_int(clock_wall(steady) - GetCurrentTimestamp(), 0, "it is followed");
			is_between(clock_age(first, steady), steady - first_at - 11 * SECOND, steady - first_at + 10 * SECOND,
					   "and makes little difference");
		}
		is_int(said, 3, "each second time it is said");
	}
}

typedef struct Process
{
	Eras		known;
	uint32		changes;
	int64		began;
} Process;

/* The processes take turns with the statics of clock.c. */
static void
become(Process *others, int *now_is, int next)
{
	others[*now_is] = (Process) {known, known_changes, began_with};
	known = others[next].known;
	known_changes = others[next].changes;
	began_with = others[next].began;
	*now_is = next;
}

/*
 * Any steps, large and small, seen by several processes, that store times and look at them: what
 * is stored is no older than it is, but for the seconds that nobody notices.
 */
static void
any_steps(uint64 seed)
{
	enum {PROCESSES = 3, ROWS = 40};
	static const int64 sizes[] = {SECOND, 4 * SECOND, 6 * SECOND, 15 * SECOND, HOUR, 8 * HOUR, 30 * DAY, 9 * YEAR};
	const int64 slack = 10 * SECOND;
	Process		others[PROCESSES] = {0};
	TimestampTz rows[ROWS];
	Instant		stored_at[ROWS];
	pg_prng_state prng;
	int			now_is = 0;
	int			nrows = 0;
	int			nwrong = 0;

	pg_prng_seed(&prng, seed);
	begin();
	for (int i = 0; i < 400; i++)
	{
		int64		size = sizes[pg_prng_uint64(&prng) % lengthof(sizes)];

		become(others, &now_is, (int) (pg_prng_uint64(&prng) % PROCESSES));
		switch (pg_prng_uint64(&prng) % 8)
		{
			case 0:
				wall_ahead += size * (pg_prng_uint64(&prng) % 2 == 0 ? 1 : -1);
				break;
			case 1:
				wall_ahead = begins_ahead;
				break;
			case 2:
				steady += size;
				break;
			case 3:
				if (pg_prng_uint64(&prng) % 4 == 0)
				{
					restart();
					memset(others, 0, sizeof(others));
				}
				break;
			default:
				steady += (int64) (pg_prng_uint64(&prng) % (2 * SECOND));
		}
		if (pg_prng_uint64(&prng) % 2 == 0)
		{
			rows[nrows % ROWS] = GetCurrentTimestamp();
			stored_at[nrows++ % ROWS] = steady;
			clock_note();		/* as whoever queues does, before it commits */
		}
		if (pg_prng_uint64(&prng) % 2 == 0)
			(void) clock_look();
		for (int r = 0; r < Min(nrows, ROWS); r++)
		{
			int64		truth = steady - stored_at[r];

			if (clock_age(rows[r], steady) > truth + slack ||
				clock_is_past(rows[r], truth + slack + 1, steady) ||
				(known.count < MAX_ERAS && clock_latest(truth + slack, steady) < rows[r] - slack))
				nwrong++;
		}
	}
	is_int(nwrong, 0, "whatever was done, nothing is older than it is");
}

static void
seconds_of_1970(void)
{
	static const int64 y2000 = INT64CONST(946684800);

	is_int(clock_unix_seconds(0), y2000, "the first second of 2000");
	is_int(clock_unix_seconds(SECOND - 1), y2000, "all of it");
	is_int(clock_unix_seconds(-1), y2000 - 1, "the one before");
	is_int(clock_unix_seconds(-SECOND), y2000 - 1, "all of that");
	is_int(clock_unix_seconds(-y2000 * SECOND), 0, "the first one of 1970");
	is_int(clock_unix_seconds(-y2000 * SECOND - 1), -1, "and before that");
}

static void
times_that_are_none(void)
{
	/* times that are none */
	begin();
	is_int(clock_when(DT_NOEND), INSTANT_NEVER, "infinity is ahead");
	is_int(clock_when(INT64CONST(7800000000000000000)), INSTANT_NEVER, "the year 250000");
	is_int(clock_when(DT_NOBEGIN), 1, "infinitely long ago");
	is_between(clock_age(DT_NOBEGIN, steady), INSTANT_NEVER, PG_INT64_MAX, "its age");
	is_int(clock_age(DT_NOEND, steady), 0, "the other age");
	ok(NO_TIME < MIN_TIMESTAMP && NO_TIME != DT_NOBEGIN, "nobody can store what stands for none");
}

/* The kernel's clock shows nothing before 1970, nor after 2262; a table may hold any. */
static void
the_oddest_times(void)
{
	static const TimestampTz oldest[] = {DT_NOBEGIN, NO_TIME, MIN_TIMESTAMP};
	static const TimestampTz newest[] = {END_TIMESTAMP - 1, DT_NOEND};
	static const int64 shown[] = {-30 * YEAR, 262 * YEAR, -30 * YEAR};
	static const int64 ages[] = {HOUR, YEAR};	/* the shortest retention, and the longest */

	begin();
	for (int i = 0; i < lengthof(shown); i++)
	{
		set(SECOND, shown[i] - read_wall());
		for (int a = 0; a < lengthof(ages); a++)
		{
			is_between(clock_before(ages[a], steady), shown[0] - YEAR - HOUR, read_wall() - ages[a],
					   "what is past lies before that");
			is_between(clock_latest(ages[a], steady), read_wall(), shown[1] + HOUR,
					   "what was shown does not");
			for (int t = 0; t < lengthof(oldest); t++)
				ok(clock_is_past(oldest[t], ages[a], steady), "the oldest time is past");
			for (int t = 0; t < lengthof(newest); t++)
				ok(!clock_is_past(newest[t], ages[a], steady), "the newest one is not");
		}
		for (int t = 0; t < lengthof(oldest); t++)
			is_between(clock_age(oldest[t], steady), YEAR, PG_INT64_MAX, "the oldest time is old");
		for (int t = 0; t < lengthof(newest); t++)
			is_int(clock_age(newest[t], steady), 0, "the newest one is to come");
	}
}

/* In the order in which they were stored, as far as the times tell it. */
static void
which_came_first(void)
{
	TimestampTz early;
	TimestampTz late;
	TimestampTz ahead;

	begin();
	early = GetCurrentTimestamp();
	steady += HOUR;
	late = GetCurrentTimestamp();
	is_int(clock_order(early, late), -1, "the earlier one");
	is_int(clock_order(late, early), 1, "the later one");
	is_int(clock_order(late, late + DAY), -1, "before what is to come");
	is_int(clock_order(late + DAY, late), 0, "of what was never shown it is not known");
	is_int(clock_order(early, DT_NOBEGIN), 1, "after all");
	is_int(clock_order(early, DT_NOEND), -1, "before all");

	/* ahead for a while: that is known by the time itself */
	set(HOUR, 8 * HOUR);
	ahead = GetCurrentTimestamp();
	steady += 10 * SECOND;
	set(SECOND, -8 * HOUR);
	steady += 60 * SECOND;
	is_int(clock_order(ahead, late), 1, "ahead, and later");
	is_int(clock_order(late, ahead), -1, "the other way round");
	is_int(clock_order(GetCurrentTimestamp(), late), 1, "later than both");
	is_int(clock_order(GetCurrentTimestamp(), ahead), 0, "later, but it does not show so");

	/* back for good: what is shown twice may be either */
	set(SECOND, -3 * HOUR);
	is_int(clock_order(early, late), -1, "before what is not shown again yet");
	is_int(clock_order(late, early), 0, "which the other one will be");
	steady += 3 * HOUR;
	is_int(clock_order(early, late), 0, "and then is");
	steady += 3 * HOUR;
	is_int(clock_order(GetCurrentTimestamp(), late), 1, "until that is over");
}

static void
what_was_yet_to_come(void)
{
	TimestampTz at;
	Instant		due;

	begin();
	at = clock_wall(steady + HOUR);
	due = steady + HOUR;
	is_int(clock_due(at, HOUR, steady), due, "nobody has set it");
	set(MINUTE, 8 * HOUR);
	is_int(clock_due(at, HOUR, steady), due, "set ahead beyond it");
	become_another();
	is_int(clock_due(at, HOUR, steady), due, "as others know");
	restart();
	is_int(clock_due(at, HOUR, steady), due, "and the next server");
	is_int(clock_due(clock_wall(steady), HOUR, steady), steady, "what is stored since");
	is_int(clock_due(clock_wall(steady + HOUR), HOUR, steady), steady + HOUR, "and is yet to come");
	is_int(clock_due(clock_wall(steady + 2 * HOUR), HOUR, steady), steady + 2 * HOUR, "what we have not stored");
	at = clock_wall(steady + HOUR);
	due = steady + HOUR;
	set(MINUTE, -8 * HOUR);
	is_int(clock_due(at, HOUR, steady), due, "set back");
	steady += 3 * HOUR;
	is_int(clock_due(at, HOUR, steady), due, "when it is over");
}

static void
tests(void)
{
	/* today, when 2000 begins, and in 1970 */
	static const int64 begin_at[] = {800 * DAY, -SECOND, -30 * YEAR};

	emit_log_hook = note_said;
	for (int i = 0; i < lengthof(begin_at); i++)
	{
		begins_ahead = begin_at[i] - 1000 * SECOND;
		nobody_sets_it();
		ahead_by_eight_hours_for_a_while_and_rig();
		ahead_for_good();
		back_by_an_hour_the_hour_comes_twice_and();
		again_and_again_more_often_than_is_kept();
		back_by_two_hours_for_a_moment_which_a_w();
		times_that_are_none();
		the_oddest_times();
		which_came_first();
		some_seconds_that_nobody_has_noticed();
		what_was_yet_to_come();
	}
	for (int seed = 1; seed <= 60; seed++)
		any_steps(seed);
	seconds_of_1970();
}
