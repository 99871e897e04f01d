/*-------------------------------------------------------------------------
 *
 * expiry.h
 *		Events that are not worth delivering any more.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_EXPIRY_H
#define RSWEBHOOK_EXPIRY_H

#include "destination/values.h"
#include "tables/values.h"

/* Has this one expired? */
extern bool expiry_is_over(const QueueRow *row, const Destination *destination, Instant now);

/*
 * Give up a few of those that have expired while their destination is paused or
 * disabled, if it is time to look.  Others are given up when they would be sent.
 */
extern void expiry_run(Instant now);
extern Instant expiry_due_at(void);

/* Look at once. */
extern void expiry_reload(void);

#endif							/* RSWEBHOOK_EXPIRY_H */
