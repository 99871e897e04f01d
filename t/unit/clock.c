/*-------------------------------------------------------------------------
 *
 * clock.c
 *		Unit tests of how old something is whose time was stored before the clock
 *		was set.
 *
 * The clocks are the test's own, so clock.c is part of it.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include <math.h>
#include <time.h>

#include "common/int.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

#include "base/clock.h"

#define SECOND	USECS_PER_SEC
#define HOUR	(3600 * SECOND)
#define DAY		(24 * HOUR)

static Instant steady = 1000 * SECOND;
static int64 wall_ahead = 800 * DAY;
static int	said = 0;

static TimestampTz first;
static TimestampTz second;
static Instant first_at;
static Instant second_at;

/* What clock.c has of the system and of the server, in its place. */
static int
read_clock(clockid_t clock, struct timespec *ts)
{
	ts->tv_sec = steady / SECOND;
	ts->tv_nsec = steady % SECOND * 1000;
	return 0;
}

static TimestampTz
read_wall(void)
{
	return steady + wall_ahead;
}

static void *
find_memory(const char *name, Size size, bool *found)
{
	static char memory[4096] pg_attribute_aligned(MAXIMUM_ALIGNOF);

	Assert(size <= sizeof(memory));
	*found = false;
	return memory;
}

static LWLockPadded *
find_lock(const char *name)
{
	static LWLockPadded lock;

	return &lock;
}

#define clock_gettime(clock, ts)		read_clock(clock, ts)
#define GetCurrentTimestamp()			read_wall()
#define ShmemInitStruct(name, size, found) find_memory(name, size, found)
#define GetNamedLWLockTranche(name)		find_lock(name)
#define LWLockInitialize(lock, id)		((void) (lock), (void) (id))
#define LWLockAcquire(lock, mode)		((void) (lock))
#define LWLockRelease(lock)				((void) (lock))

#include "base/clock.c"

static void
note_said(ErrorData *error)
{
	said++;
	error->output_to_server = false;
}

static void
begin(void)
{
	memset(&known, 0, sizeof(known));
	steady = 1000 * SECOND;
	wall_ahead = 800 * DAY;
	looked_at = 0;
	said = 0;
	clock_startup();
	clock_look();
}

/* So much time passes; then the clock is set, and later somebody looks. */
static void
set(int64 after, int64 by)
{
	steady += after;
	clock_look();
	steady += 2 * SECOND;
	wall_ahead += by;
	steady += 3 * SECOND;
	clock_look();
}

/* As another process that has the memory only. */
static void
become_another(void)
{
	looked_at = 0;
	clock_look();
}

/* Nobody sets it. */
static void
nobody_sets_it(void)
{
	begin();
	first = read_wall();
	first_at = steady;
	is_int(clock_when(clock_wall(steady + DAY)) - steady, DAY, "there and back");
	steady += 5 * HOUR;
	is_int(clock_look(), 0, "nothing to say");
	is_int(clock_age(first, steady), 5 * HOUR, "an age");
	is_int(clock_age(first - 30 * DAY, steady), 30 * DAY + 5 * HOUR, "of what was before us");
	is_int(clock_age(clock_wall(steady) + HOUR, steady), 0, "of what will be");
	wall_ahead += 4 * SECOND;
	is_int(clock_look(), 0, "a little is no jump");
	is_int(clock_wall(steady) - read_wall(), 0, "and is followed");
}

/* Ahead by eight hours, for a while, and right again. */
static void
ahead_for_a_while(void)
{
	begin();
	first = read_wall();
	first_at = steady;
	set(HOUR, 8 * HOUR);
	is_int(said, 1, "it is said");
	is_int(clock_look(), 0, "once");
	is_int(clock_age(first, steady), steady - first_at, "no older than before");
	is_between(clock_before(DAY, steady), first_at + 800 * DAY - DAY + HOUR,
			   first_at + 800 * DAY - DAY + HOUR + 5 * SECOND, "nothing is past it");
	second = read_wall();
	second_at = steady;
	become_another();
	is_int(said, 1, "others know it");
	is_int(clock_age(first, steady), steady - first_at, "just as well");
	steady += 10 * SECOND;
	set(0, -8 * HOUR);
	is_int(said, 2, "the end is said");
	is_int(clock_age(first, steady), steady - first_at, "the old one");
	is_int(clock_age(second, steady), steady - second_at, "the one of then");
	is_between(clock_before(DAY, steady), PG_INT64_MIN, clock_wall(steady) - DAY,
			   "still nothing is past");
	steady += 100 * HOUR;
	is_int(clock_age(first, steady), steady - first_at, "the old one later");
	is_int(clock_before(DAY, steady), clock_wall(steady) - DAY, "and retention goes on");
}

/* Ahead for good. */
static void
ahead_for_good(void)
{
	begin();
	first = read_wall();
	first_at = steady;
	set(HOUR, 8 * HOUR);
	second = read_wall();
	second_at = steady;
	for (int hours = 0; hours < 30; hours++)
	{
		is_int(clock_age(first, steady), steady - first_at, "ahead for good");
		is_int(clock_age(second, steady), steady - second_at, "and since");
		is_int(clock_before(12 * HOUR, steady) <= clock_wall(steady) - 12 * HOUR, 1,
			   "what is past");
		steady += HOUR;
	}
	is_int(clock_before(12 * HOUR, steady), clock_wall(steady) - 12 * HOUR, "in the end as ever");
}

/* Back by an hour: the hour comes twice, and nothing is made older for that. */
static void
back_by_an_hour(void)
{
	begin();
	first = read_wall();
	first_at = steady;
	set(2 * HOUR, -HOUR);
	second = read_wall();
	second_at = steady;
	for (int minutes = 0; minutes < 600; minutes += 20)
	{
		is_between(clock_age(first, steady), steady - first_at - HOUR, steady - first_at,
				   "not older");
		is_int(clock_age(second, steady), steady - second_at, "exact");
		is_between(clock_before(DAY, steady), PG_INT64_MIN, clock_wall(steady) - DAY,
				   "nothing more is past");
		steady += 20 * 60 * SECOND;
	}
}

/* Again and again, more often than is kept. */
static void
again_and_again(void)
{
	begin();
	first = read_wall();
	first_at = steady;
	for (int i = 0; i < 100; i++)
	{
		set(60 * SECOND, (i % 2 ? -1 : 1) * (i + 1) * HOUR);
		second = read_wall();
		second_at = steady;
		is_between(clock_age(first, steady), 0, steady - first_at, "whatever happens not older");
		is_int(clock_age(second, steady), 0, "whatever happens exact");
		is_int(clock_before(DAY, steady) <= clock_wall(steady) - DAY, 1, "whatever happens kept");
	}
	is_int(shared->known.count, MAX_ERAS, "so many are kept");
}

/* Times that are none. */
static void
no_times(void)
{
	begin();
	is_int(clock_when(DT_NOEND), INSTANT_NEVER, "infinity is ahead");
	is_int(clock_when(INT64CONST(7800000000000000000)), INSTANT_NEVER, "the year 250000");
	is_int(clock_when(DT_NOBEGIN), 1, "infinitely long ago");
	is_between(clock_age(DT_NOBEGIN, steady), INSTANT_NEVER, PG_INT64_MAX, "its age");
	is_int(clock_age(DT_NOEND, steady), 0, "the other age");
}

static void
tests(void)
{
	emit_log_hook = note_said;
	nobody_sets_it();
	ahead_for_a_while();
	ahead_for_good();
	back_by_an_hour();
	again_and_again();
	no_times();
}
