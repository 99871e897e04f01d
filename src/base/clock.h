/*-------------------------------------------------------------------------
 *
 * clock.h
 *		The two clocks: a steady one to wait by, and the wall's for people.
 *
 * All that is waited for and measured in a process is an Instant.  Nobody sets
 * that clock; it goes on from zero when the machine starts and is the same in
 * all processes.  What tables hold is a TimestampTz, the wall's time, and that
 * clock may be set.  So one becomes the other only where something is stored or
 * read.
 *
 * On Linux both clocks go on while the machine is suspended: afterwards, what
 * would have become due or too old has, and nobody has set anything.  Requests
 * in flight are given that time back like any other in which we could not run.
 * The kernel's timer knows it, time-outs of wait functions do not.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_CLOCK_H
#define RSWEBHOOK_CLOCK_H

#include "datatype/timestamp.h"

#include "base/values.h"

/*
 * Where a row or a counter has no time.  No clock shows it, and nobody can store
 * it; it is earlier than all that they do.  0 is a time like any other: a machine
 * that does not know the time may begin in 1970, which is before it.
 */
#define NO_TIME		(DT_NOBEGIN + 1)

extern Instant clock_now(void);

/* Microseconds of a processor that the process has used; also for signal handlers. */
extern int64 clock_processor_us(void);

/* In shared memory, for all of the server: how the wall's clock was set. */
extern Size clock_size(void);
extern void clock_startup(void);

/*
 * What is being stored with a time was stored while the wall's clock showed
 * what it does now.  That is looked at wherever rows are queued, since no worker
 * may look before it shows something else.
 */
extern void clock_note(void);

/*
 * Look at the wall's clock, which the functions below go by until the next
 * look.  True: it has been set since the last one, and what was computed of
 * its times is so no more.
 */
extern bool clock_look(void);

/* What the wall's clock shows then, and when it shows that, if nobody sets it. */
extern TimestampTz clock_wall(Instant at);
extern Instant clock_when(TimestampTz wall);

/*
 * Likewise of a time that was stored as yet to come, by no more than so much: by the
 * latest of the clock's settings under which that could be.
 */
extern Instant clock_due(TimestampTz wall, int64 longest_us, Instant now);

/* Whole seconds since 1970, less than 0 before it. */
extern int64 clock_unix_seconds(TimestampTz wall);

/*
 * How long it is since the wall's clock showed this, not less than 0.  It is
 * known how it was set meanwhile, also by a server before this one.
 */
extern int64 clock_age(TimestampTz wall, Instant now);

/*
 * What is stored with an earlier time than this is older than so much; and what
 * with a later one than that, if we have stored it.
 */
extern TimestampTz clock_before(int64 age_us, Instant now);
extern TimestampTz clock_latest(int64 age_us, Instant now);

/* Is it so by the one or the other? */
extern bool clock_is_past(TimestampTz wall, int64 age_us, Instant now);

/*
 * Was what is stored with this time stored before the clock has shown the other
 * one or a later one (less than 0), or after it has last shown an earlier one
 * (more than 0)?  0: that is not known, or neither.
 */
extern int	clock_order(TimestampTz wall, TimestampTz bound);

#endif							/* RSWEBHOOK_CLOCK_H */
