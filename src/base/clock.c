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
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

#include "base/clock.h"

/* A change that is smaller is none that anybody would notice. */
#define JUMP_US		(5 * USECS_PER_SEC)

/* Of more, the first ones become one. */
#define MAX_ERAS	16

typedef struct Era
{
	int64		offset;			/* from the steady clock to the wall's */
	Instant		since;			/* at the earliest */
	Instant		until;			/* at the latest */
} Era;

typedef struct Eras
{
	int			count;			/* the last one is the present one */
	Era			eras[MAX_ERAS];
} Eras;

typedef struct SharedEras
{
	LWLock		lock;
	Eras		known;
} SharedEras;

static SharedEras *shared = NULL;
static Eras known;				/* in the postmaster those of its start, which
								 * outlast its shared memory */
static Instant looked_at = 0;

Instant
clock_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (Instant) now.tv_sec * USECS_PER_SEC + now.tv_nsec / 1000;
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

	if (known.count == 0)
	{
		Instant		now;

		known.eras[0] = (Era) {look_at_both(&now), PG_INT64_MIN, PG_INT64_MAX};
		known.count = 1;
	}
	shared = ShmemInitStruct("rswebhook clock", clock_size(), &found);
	if (!found)
	{
		LWLockInitialize(&shared->lock, GetNamedLWLockTranche("rswebhook")->lock.tranche);
		shared->known = known;
	}
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

/* The clock does not show what it should: by how much, or 0 if others knew that. */
static int64
note_jump(int64 offset, Instant now)
{
	int64		jump;

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	jump = offset - present(&shared->known)->offset;
	if (!is_jump(jump))
		jump = 0;
	else
	{
		Era			fresh = {offset, looked_at, PG_INT64_MAX};

		if (looked_at == 0)
			fresh.since = present(&shared->known)->since;
		present(&shared->known)->until = now;
		if (shared->known.count == MAX_ERAS)
			join_first(&shared->known);
		shared->known.eras[shared->known.count++] = fresh;
	}
	known = shared->known;
	LWLockRelease(&shared->lock);
	return jump;
}

bool
clock_look(void)
{
	Instant		now;
	int64		offset = look_at_both(&now);
	bool		set;

	if (looked_at == 0)
	{
		LWLockAcquire(&shared->lock, LW_SHARED);
		known = shared->known;
		LWLockRelease(&shared->lock);
	}
	set = is_jump(offset - present(&known)->offset);
	if (set)
	{
		int64		jump = note_jump(offset, now);

		if (jump != 0)
			ereport(LOG,
					(errmsg("the system's clock has been set %s by %.3f s",
							jump > 0 ? "ahead" : "back",
							fabs((double) jump / USECS_PER_SEC)),
					 errdetail("rswebhook's pauses and limits go on as if it had not; only deliver_after goes by the time that it shows.")));
	}
	present(&known)->offset = offset;
	looked_at = now;
	return set;
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
clock_age(TimestampTz wall, Instant now)
{
	int64		age = INSTANT_NEVER;
	bool		shown = false;

	for (int i = 0; i < known.count; i++)
	{
		const Era  *era = &known.eras[i];
		Instant		then = add(wall, -era->offset);

		if (then < era->since || then > Min(era->until, now))
			continue;
		age = Min(age, now - Max(then, -INSTANT_NEVER));
		shown = true;
	}
	return shown ? age : 0;		/* it has never shown that, so it will not be long */
}

TimestampTz
clock_before(int64 age_us, Instant now)
{
	Instant		then = now - age_us;
	int64		offset = present(&known)->offset;

	for (int i = 0; i < known.count; i++)
	{
		if (known.eras[i].until >= then)
			offset = Min(offset, known.eras[i].offset);
	}
	return add(then, offset);
}
