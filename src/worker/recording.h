/*-------------------------------------------------------------------------
 *
 * recording.h
 *		When a worker records outcomes and the states of destinations.
 *
 * Each in transactions of its own, so all of these must be called outside of
 * one.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_RECORDING_H
#define RSWEBHOOK_RECORDING_H

#include "base/clock.h"

/*
 * Record outcomes and states if it is time, or at once (hurry).  An error if
 * nothing at all can be recorded; what concerns one outcome only is dealt with.
 */
extern void recording_run(Instant now, bool hurry);

/* When it will be time for that; 0: there is nothing. */
extern Instant recording_due_at(void);

/* After an error has ended a transaction: what it was about waits still. */
extern void recording_reset(void);

/* The worker leaves: record what there is. */
extern void recording_finish(void);

#endif							/* RSWEBHOOK_RECORDING_H */
