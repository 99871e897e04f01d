/*-------------------------------------------------------------------------
 *
 * trusted.h
 *		Users whose last answers were good, for the next worker.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_TRUSTED_H
#define RSWEBHOOK_TRUSTED_H

#include "base/clock.h"

/* Before anything is read of the queue. */
extern void trusted_load(void);

/* Save what has changed, in transactions of its own: now and then; or before the worker ends. */
extern void trusted_run(Instant now);
extern void trusted_finish(void);

/* Now and then: forget what is of no use to anybody. */
extern void trusted_tidy(void);

/* When there is something to save; INSTANT_NEVER: nothing has changed. */
extern Instant trusted_due_at(void);

#endif							/* RSWEBHOOK_TRUSTED_H */
