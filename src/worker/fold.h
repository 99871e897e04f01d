/*-------------------------------------------------------------------------
 *
 * fold.h
 *		When what was recorded is added to rswebhook.tally.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_FOLD_H
#define RSWEBHOOK_FOLD_H

#include "base/clock.h"

/* Something was recorded, or may have been by others. */
extern void fold_note(void);

extern void fold_run(Instant now);
extern Instant fold_due_at(void);

#endif							/* RSWEBHOOK_FOLD_H */
