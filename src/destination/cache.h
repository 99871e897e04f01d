/*-------------------------------------------------------------------------
 *
 * cache.h
 *		A worker's destinations, with all that is in their rows.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_DESTINATION_CACHE_H
#define RSWEBHOOK_DESTINATION_CACHE_H

#include "base/clock.h"
#include "destination/values.h"

/* Which of them does this worker keep?  To be said before anything else here. */
extern void destination_set_mine(bool (*is_mine) (int32 id));

/* Reads what has changed; in a transaction.  What is not the same any more goes. */
extern void destination_refresh(void);

/*
 * Those that are new, other ones or gone since destination_settled() was called last;
 * -1: perhaps all.
 */
extern int	destination_changed(const int32 **ids);
extern void destination_settled(void);

/* NULL: there is none, or it is not this worker's.  Good until destination_refresh(). */
extern const Destination *destination_find(int32 id);

extern void destination_each(void (*visit) (const Destination *destination, void *arg), void *arg);
extern int	destination_count(void);

/* When to look again, since a row could not be read; INSTANT_NEVER: all could. */
extern Instant destination_again_at(void);

/* Have all be looked at next time, whether or not anybody has told of a change. */
extern void destination_forget(void);

#endif							/* RSWEBHOOK_DESTINATION_CACHE_H */
