/*-------------------------------------------------------------------------
 *
 * clock.c
 *		The two clocks: a steady one to wait by, and the wall's for people.
 *
 * The wall's clock is the steady one and an offset, which changes when somebody
 * sets the clock.  The times between two such changes are eras.  They are kept,
 * so that a time that was stored in one of them still tells how long ago that
 * was.  When exactly an era ended is not known, only between which two looks:
 * so eras overlap, and of several answers the one is right that makes nothing
 * older than it is.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>
#include <time.h>

#include "common/int.h"
#include "port/atomics.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/clock_file.h"
#include "http/poller.h"

/* A change that is smaller is none that anybody would notice. */
#define JUMP_US		(5 * USECS_PER_SEC)

/* So far from its era's offset is what was stored in it, by two of these at the most. */
#define NEAR_US		(2 * JUMP_US)

/* What it has shown for so long, it goes on to show when nobody looks. */
#define LASTING_US	USECS_PER_DAY

/* Often enough to say when an era began. */
#define LOOKED_US	(USECS_PER_SEC / 10)

typedef struct SharedEras
{
	LWLock		lock;
	pg_atomic_uint32 changes;	/* of what is known */
	pg_atomic_uint64 looked_at; /* the last look that found nothing new */
	Eras		known;
} SharedEras;

static SharedEras *shared = NULL;
static Eras known;				/* in the postmaster, what it began with */
static int64 began_with = 0;	/* the offset of the present era, which this process follows */
static uint32 known_changes = 0;
static bool was_set = false;	/* since clock_look() was called */

Instant
clock_now(void)
{
	return poller_clock();
}

int64
clock_processor_us(void)
{
	struct timespec used;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	return used.tv_sec * USECS_PER_SEC + used.tv_nsec / 1000;
}

/*
 * If we are held up between the two clocks, the offset comes out too small: so
 * nothing is ever sent before the time that it was to wait for.
 */
static int64
look_at_both(Instant *now)
{
	TimestampTz wall;
	Instant		before;

	do
	{
		before = clock_now();
		wall = GetCurrentTimestamp();
		*now = clock_now();
	} while (*now - before > USECS_PER_SEC);
	return wall - *now;
}

/* What is beyond all times is not brought back among them. */
static int64
add(int64 a, int64 b)
{
	int64		sum;

	if (pg_add_s64_overflow(a, b, &sum))
		return b > 0 ? PG_INT64_MAX : PG_INT64_MIN;
	return sum;
}

static bool
is_jump(int64 change)
{
	return change > JUMP_US || change < -JUMP_US;
}

static Era *
present(Eras *all)
{
	return &all->eras[all->count - 1];
}

/* The two first ones become one, whose times count as later rather than earlier. */
static void
join_first(Eras *all)
{
	all->eras[1].offset = Min(all->eras[0].offset, all->eras[1].offset);
	all->eras[1].since = all->eras[0].since;
	all->count--;
	memmove(&all->eras[0], &all->eras[1], all->count * sizeof(Era));
}

static void
begin_era(Eras *all, int64 offset, Instant now)
{
	Era			fresh = {offset, all->looked_at, PG_INT64_MAX};

	present(all)->until = now;
	if (all->count == MAX_ERAS)
		join_first(all);
	all->eras[all->count++] = fresh;
}

/*
 * So it shows itself now; returns by how much it has been set.  An era's offset stays what
 * it began with, lest many small changes become a large one.
 */
static int64
follow(Eras *all, int64 offset, Instant now)
{
	int64		jump = offset - present(all)->offset;

	if (is_jump(jump))
		begin_era(all, offset, now);
	else
		jump = 0;
	all->looked_at = now;
	return jump;
}

static void
report(int64 jump)
{
	if (jump != 0)
		ereport(LOG_SERVER_ONLY,
				(errmsg("the system's clock has been set %s by %.3f s",
						jump > 0 ? "ahead" : "back",
						fabs((double) jump / USECS_PER_SEC)),
				 errdetail("rswebhook's pauses and limits go on as if it had not; only deliver_after goes by the time that it shows.")));
}

/*
 * The eras of a boot before this one, as instants of this one.  How long ago
 * that was the wall's clock knows, if it is right.  But it may have been wrong
 * for a while at the end, so unless it had shown the same for long, it counts
 * as what makes that time the shortest: nothing may come out older than it is.
 */
static void
move_to_this_boot(Eras *all, int64 offset, Instant now)
{
	bool		lasting = present(all)->since < all->looked_at - LASTING_US;
	int64		passed = PG_INT64_MAX;
	int64		moved;

	for (int i = lasting ? all->count - 1 : 0; i < all->count; i++)
	{
		int64		so_long = now + offset - (all->looked_at + all->eras[i].offset);

		if (so_long >= 0)
			passed = Min(passed, so_long);
	}
	if (passed == PG_INT64_MAX)
		passed = 0;
	moved = now - passed - all->looked_at;
	for (int i = 0; i < all->count; i++)
	{
		Era		   *era = &all->eras[i];

		era->offset -= moved;
		if (era->since != PG_INT64_MIN)
			era->since += moved;
		if (era->until != PG_INT64_MAX)
			era->until += moved;
	}
	all->looked_at += moved;
}

/* Nothing is known but what it shows now. */
static void
know_nothing(Eras *all, int64 offset, Instant now)
{
	all->eras[0] = (Era) {offset, PG_INT64_MIN, PG_INT64_MAX};
	all->count = 1;
	all->looked_at = now;
}

/* What was known before, by the file or else by the postmaster. */
static void
recall(Eras *all, int64 offset, Instant now)
{
	switch (clock_file_read(all, now))
	{
		case CLOCK_FILE_THIS_BOOT:
			break;
		case CLOCK_FILE_OTHER_BOOT:
			move_to_this_boot(all, offset, now);
			break;
		case CLOCK_FILE_NONE:
			if (known.count == 0)
				know_nothing(&known, offset, now);
			*all = known;
			break;
	}
}

/* As they are to be changed. */
static Eras *
shared_eras(void)
{
	Instant		looked_at = pg_atomic_read_u64(&shared->looked_at);

	shared->known.looked_at = Max(shared->known.looked_at, looked_at);
	return &shared->known;
}

/* The server ends in peace, when no other process is there any more. */
static void
look_for_the_last_time(int code, Datum arg)
{
	Instant		now;
	int64		offset;

	if (code != 0)
		return;
	offset = look_at_both(&now);
	report(follow(shared_eras(), offset, now));
	clock_file_write(&shared->known);
}

Size
clock_size(void)
{
	return sizeof(SharedEras);
}

/* The caller holds AddinShmemInitLock. */
void
clock_startup(void)
{
	bool		found;
	Instant		now;
	int64		offset;

	shared = ShmemInitStruct("rswebhook clock", clock_size(), &found);
	if (found)
		return;
	LWLockInitialize(&shared->lock, GetNamedLWLockTranche("rswebhook")->lock.tranche);
	offset = look_at_both(&now);
	recall(&shared->known, offset, now);
	report(follow(&shared->known, offset, now));
	known = shared->known;
	pg_atomic_init_u32(&shared->changes, 1);
	pg_atomic_init_u64(&shared->looked_at, now);
	clock_file_write(&known);
	on_shmem_exit(look_for_the_last_time, 0);
}

/* What is in shared memory; the caller holds the lock. */
static void
know_all(void)
{
	known = shared->known;
	known_changes = pg_atomic_read_u32(&shared->changes);
	began_with = present(&known)->offset;
	was_set = true;
}

/* Others may have found that it was set; where there are none, nothing is known. */
static void
catch_up(void)
{
	if (shared == NULL)
	{
		if (known.count == 0)
		{
			Instant		now;
			int64		offset = look_at_both(&now);

			know_nothing(&known, offset, now);
			began_with = offset;
		}
		return;
	}
	if (known_changes == pg_atomic_read_u32(&shared->changes))
		return;
	LWLockAcquire(&shared->lock, LW_SHARED);
	know_all();
	LWLockRelease(&shared->lock);
}

/* By how much it has been set since we looked, or else in small steps since the era began; 0: by next to nothing. */
static int64
jump_to(int64 offset)
{
	int64		jump = offset - present(&known)->offset;

	if (!is_jump(jump))
		jump = offset - began_with;
	return is_jump(jump) ? jump : 0;
}

/* It does not show what it should, unless others knew that. */
static void
note_jump(int64 offset, Instant now)
{
	int64		jump;

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	if (known_changes != pg_atomic_read_u32(&shared->changes))
		know_all();
	jump = jump_to(offset);
	if (jump != 0)
	{
		begin_era(shared_eras(), offset, now);
		shared->known.looked_at = now;
		clock_file_write(&shared->known);
		pg_atomic_fetch_add_u32(&shared->changes, 1);
		know_all();
	}
	LWLockRelease(&shared->lock);
	report(jump);
}

void
clock_note(void)
{
	Instant		now;
	int64		offset;

	catch_up();
	offset = look_at_both(&now);
	if (jump_to(offset) == 0)
	{
		if (shared != NULL && now > (Instant) pg_atomic_read_u64(&shared->looked_at) + LOOKED_US)
			pg_atomic_write_u64(&shared->looked_at, now);
	}
	else if (shared != NULL)
		note_jump(offset, now);
	else
	{
		begin_era(&known, offset, now);
		began_with = offset;
	}
	known.looked_at = now;
	present(&known)->offset = offset;
}

bool
clock_look(void)
{
	bool		result;

	clock_note();
	result = was_set;
	was_set = false;
	return result;
}

TimestampTz
clock_wall(Instant at)
{
	return add(at, present(&known)->offset);
}

Instant
clock_when(TimestampTz wall)
{
	return Min(Max(add(wall, -present(&known)->offset), 1), INSTANT_NEVER);
}

int64
clock_unix_seconds(TimestampTz wall)
{
	int64		unix_epoch = (int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY;
	int64		begun = wall % USECS_PER_SEC < 0 ? 1 : 0;	/* what C rounds up */

	return wall / USECS_PER_SEC - begun + unix_epoch;
}

/*
 * May the clock have shown that in an era, and when?  By changes that nobody has noticed, what
 * was stored near an end of it may seem to lie some seconds beyond that.
 */
static bool
may_have_shown(const Era *era, TimestampTz wall, Instant now, Instant *when)
{
	Instant		then = add(wall, -era->offset);
	Instant		until = Min(era->until, now);

	*when = Max(Min(then, until), era->since);
	return add(then, NEAR_US) >= era->since && add(then, -NEAR_US) <= until;
}

Instant
clock_due(TimestampTz wall, int64 longest_us, Instant now)
{
	catch_up();
	for (int i = known.count - 1; i >= 0; i--)
	{
		const Era  *era = &known.eras[i];
		Instant		due = add(wall, -era->offset);

		if (add(due, NEAR_US) >= era->since &&
			add(due, -NEAR_US) <= add(Min(era->until, now), longest_us))
			return Min(Max(due, 1), INSTANT_NEVER);
	}
	return clock_when(wall);
}

int64
clock_age(TimestampTz wall, Instant now)
{
	int64		age = INSTANT_NEVER;
	bool		shown = false;

	catch_up();
	for (int i = 0; i < known.count; i++)
	{
		Instant		when;

		if (!may_have_shown(&known.eras[i], wall, now, &when))
			continue;
		age = Min(age, now - Max(when, -INSTANT_NEVER));
		shown = true;
	}
	return shown ? age : 0;		/* it has never shown that, so it will not be long */
}

TimestampTz
clock_before(int64 age_us, Instant now)
{
	Instant		then = now - age_us;
	int64		offset;

	catch_up();
	offset = present(&known)->offset;
	for (int i = 0; i < known.count; i++)
	{
		if (known.eras[i].until >= then)
			offset = Min(offset, known.eras[i].offset);
	}
	return add(then, offset);
}

bool
clock_is_past(TimestampTz wall, int64 age_us, Instant now)
{
	return wall < clock_before(age_us, now) || clock_age(wall, now) >= age_us;
}

TimestampTz
clock_latest(int64 age_us, Instant now)
{
	TimestampTz latest = PG_INT64_MIN;

	catch_up();
	for (int i = 0; i < known.count; i++)
	{
		const Era  *era = &known.eras[i];

		if (era->until >= now - age_us)
			latest = Max(latest, add(Min(era->until, now), era->offset));
	}
	return latest;
}

int
clock_order(TimestampTz wall, TimestampTz bound)
{
	Instant		now = clock_now();
	Instant		earliest = PG_INT64_MAX;	/* that it may have been stored ... */
	Instant		latest = PG_INT64_MIN;
	Instant		first = PG_INT64_MAX;	/* that the bound or later was shown */
	Instant		last = PG_INT64_MIN;	/* that an earlier time was */

	catch_up();
	for (int i = 0; i < known.count; i++)
	{
		const Era  *era = &known.eras[i];
		Instant		until = Min(era->until, now);
		Instant		when;
		Instant		bound_at = add(bound, -era->offset);

		if (may_have_shown(era, wall, now, &when))
		{
			earliest = Min(earliest, when);
			latest = Max(latest, when);
		}
		if (bound_at <= until)
			first = Min(first, Max(bound_at, era->since));
		if (bound_at > era->since)
			last = Max(last, Min(bound_at, until));
	}
	if (earliest > latest)
		return 0;				/* no clock has shown it */
	return latest < first ? -1 : earliest > last ? 1 : 0;
}
