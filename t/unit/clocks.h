/*-------------------------------------------------------------------------
 *
 * clocks.h
 *		Clocks that a test sets, for the unit tests of what goes by times that were
 *		stored before.
 *
 * The clocks, shared memory and the file are the test's own, so clock.c is part
 * of it.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_CLOCKS_H
#define RSWEBHOOK_CLOCKS_H

#include <math.h>

#include "common/int.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

#include "base/clock.h"

#define SECOND	USECS_PER_SEC
#define MINUTE	(60 * SECOND)
#define HOUR	(3600 * SECOND)
#define DAY		(24 * HOUR)
#define YEAR	(365 * DAY)

static TimestampTz read_wall(void);
static void *find_memory(bool *found);
static LWLockPadded *find_lock(void);

/* What clock.c has of the server, in its place. */
#define GetCurrentTimestamp()			read_wall()
#define ShmemInitStruct(name, size, found) find_memory(found)
#define GetNamedLWLockTranche(name)		find_lock()
#define LWLockInitialize(lock, id)		((void) (lock), (void) (id))
#define LWLockAcquire(lock, mode)		((void) (lock))
#define LWLockRelease(lock)				((void) (lock))
#define on_shmem_exit(function, arg)	((void) (function))

#include "base/clock.c"

static Instant steady = 1000 * SECOND;
static int64 begins_ahead = 800 * DAY;	/* the wall's clock */
static int64 wall_ahead;
static SharedEras memory;
static int	said = 0;

static Eras written;
static ClockFile file = CLOCK_FILE_NONE;

int64_t
poller_clock(void)
{
	return steady;
}

static TimestampTz
read_wall(void)
{
	return steady + wall_ahead;
}

static void *
find_memory(bool *found)
{
	*found = false;
	return &memory;
}

static LWLockPadded *
find_lock(void)
{
	static LWLockPadded lock;

	return &lock;
}

ClockFile
clock_file_read(Eras *eras, Instant now)
{
	if (file != CLOCK_FILE_NONE)
		*eras = written;
	return file;
}

void
clock_file_write(const Eras *eras)
{
	written = *eras;
}

static void
note_said(ErrorData *error)
{
	said++;
	error->output_to_server = false;
}

static inline void
begin(void)
{
	memset(&known, 0, sizeof(known));
	steady = 1000 * SECOND;
	wall_ahead = begins_ahead;
	said = 0;
	file = CLOCK_FILE_NONE;
	known_changes = 0;
	clock_startup();
	clock_look();
}

/* So much time passes; then the clock is set, and later somebody looks. */
static inline void
set(int64 after, int64 by)
{
	steady += after;
	clock_look();
	steady += 2 * SECOND;
	wall_ahead += by;
	steady += 3 * SECOND;
	clock_look();
}

#endif							/* RSWEBHOOK_CLOCKS_H */
