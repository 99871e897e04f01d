/*-------------------------------------------------------------------------
 *
 * claim.h
 *		Which events are prepared next: many together, one by itself, or later.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_CLAIM_H
#define RSWEBHOOK_CLAIM_H

#include "base/clock.h"
#include "destination/values.h"
#include "schedule/schedule.h"

/* Requests that are prepared in one transaction. */
#define BATCH	128

/* What was claimed.  It is the caller's, who takes items out by setting NULL. */
typedef struct Batch
{
	QueueItem  *claimed[BATCH];
	int			nclaimed;
	bool		single;			/* claimed[0] is prepared by itself */
	bool		slow;			/* one is of a destination whose mappings take long */
} Batch;

/* Once a process. */
extern void claim_init(void);

/* Take from the scheduler what may be sent, into the batch; is anything in it? */
extern bool claim_next(Batch *batch, Instant now);

/* When that may have to be asked again whatever happens; 0: never. */
extern Instant claim_next_at(Instant now);

/*
 * Preparing an event has failed, with this error.  It may be tried by itself, or
 * it was so (single) and is set aside.  bytes: of memory that it took; began: when
 * the preparation of its batch did.
 */
extern void claim_failed(QueueItem *item, bool single, const ErrorData *error,
						 int64 bytes, Instant began, Instant now);

/*
 * So much of the processor's time has gone into the mappings of an event.  Is that long?
 * Then what comes after it is for others to begin with, and its destination has one event
 * at a time prepared, in the time that is left to such, until one does not take long.  Those
 * of which that is not known, as their rows are new, wait for as long.
 * Raises an error for want of memory.
 */
extern bool claim_took_long(const Destination *destination, int64 paths_us, Instant now);

/* There was not enough memory for an event, which waits for it; 0: there was. */
extern Instant claim_lacks_until(Instant now);

/* An error has ended the transaction: what waits to be in a batch goes back. */
extern void claim_reset(Instant now);

#endif							/* RSWEBHOOK_CLAIM_H */
