/*-------------------------------------------------------------------------
 *
 * forsaken.h
 *		Databases in which no worker has been for a while: the launcher says so.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_FORSAKEN_H
#define RSWEBHOOK_FORSAKEN_H

#include "base/clock.h"

/* context: what outlives the cycle. */
extern void forsaken_look(MemoryContext context);

/* When one has been without for so long that it is to be told; 0: never. */
extern Instant forsaken_due_at(void);

#endif							/* RSWEBHOOK_FORSAKEN_H */
