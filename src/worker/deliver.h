/*-------------------------------------------------------------------------
 *
 * deliver.h
 *		From a claim to a request that is started: the worker's batch.
 *
 * deliver_prepare() needs the transaction of session_begin(), and may end it;
 * the others must be outside of one.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_DELIVER_H
#define RSWEBHOOK_DELIVER_H

#include "base/clock.h"

/* Once a process. */
extern void deliver_init(void);

/* Anything that may be sent?  Takes it from the scheduler. */
extern bool deliver_claim(Instant now);

/*
 * Turn what was claimed into requests; what cannot be sent is decided here.
 * False: an error had to do with one event, and ended the transaction.  What was
 * prepared before can be sent, the others are back in their places, and that
 * event is prepared by itself after the next batch.
 */
extern bool deliver_prepare(Instant now);

/* Send what was prepared. */
extern void deliver_start(void);

/* An error has ended the transaction: what was claimed goes back. */
extern void deliver_reset(Instant now);

#endif							/* RSWEBHOOK_DELIVER_H */
