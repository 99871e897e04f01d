/*-------------------------------------------------------------------------
 *
 * floors.h
 *		Where each destination's queue begins, for the next worker.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_FLOORS_H
#define RSWEBHOOK_FLOORS_H

#include "base/clock.h"

/* Before anything is read of the queue. */
extern void floors_load(void);

/* Find and save what is higher now, in transactions of its own. */
extern void floors_run(Instant now);

/* Now and then: make one row of several in the table, and forget what is gone. */
extern void floors_tidy(void);

/* When there will be something to do; INSTANT_NEVER: not before something is read. */
extern Instant floors_due_at(void);

#endif							/* RSWEBHOOK_FLOORS_H */
