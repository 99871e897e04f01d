/*-------------------------------------------------------------------------
 *
 * cycle.h
 *		Once round the worker's loop, and what if that fails.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_CYCLE_H
#define RSWEBHOOK_CYCLE_H

#include "base/clock.h"

/* Everything was looked at just now, for the first time. */
extern void cycle_init(Instant now);

/*
 * Read, send and record; look: there may be other news than commits tell.  An
 * error ends here.  False: it is not time yet to try again after one.
 */
extern bool cycle_run(bool look);

/* Milliseconds until something is due, -1: nothing ever is. */
extern long cycle_time_to_wait(Instant now);

/*
 * After an error: put everything back, and wait before the next try.  context:
 * the memory context to go on in.
 */
extern void cycle_recover(MemoryContext context);

#endif							/* RSWEBHOOK_CYCLE_H */
