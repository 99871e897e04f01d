/*-------------------------------------------------------------------------
 *
 * retention.h
 *		What the worker writes: outcomes, states of destinations, and the rings'
 *		slots that are emptied.
 *
 * Each in transactions of its own, so all of these must be called outside of
 * one.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_CHORES_H
#define RSWEBHOOK_CHORES_H

#include "base/clock.h"

/*
 * Record outcomes and states if it is time, or at once (hurry).  An error if
 * nothing at all can be recorded; what concerns one outcome only is dealt with.
 */
extern void chores_record(Instant now, bool hurry);

/* When it will be time for that; 0: there is nothing. */
extern Instant chores_record_at(void);

/*
 * Empty a slot that is past the retention, if it is time to look.  The
 * database's first worker does, for all: it is never time in the others.
 */
extern void chores_expire(Instant now);
extern Instant chores_expire_at(void);

/* Settings have changed. */
extern void chores_reload(void);

/* After an error has ended a transaction: what it was about waits still. */
extern void chores_reset(void);

/* The worker leaves: record what there is. */
extern void chores_finish(void);

#endif							/* RSWEBHOOK_CHORES_H */
