/*-------------------------------------------------------------------------
 *
 * queue_expire.h
 *		Emptying a part of a ring whose rows are past the retention.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_QUEUE_EXPIRE_H
#define RSWEBHOOK_QUEUE_EXPIRE_H

/* The tables that are rings of partitions. */
typedef enum Ring
{
	RING_DELIVERY,
	RING_EVENT
} Ring;

#define RINGS	(RING_EVENT + 1)

/*
 * Empty a part of a ring if all rows in it are older than that and none is
 * owed; of events, if some are, delete others that are older, a piece at a time:
 * true means that there is more to do.  An error if a lock is not to be had at
 * once: try again later.
 */
extern bool queue_expire(Ring ring, int ring_part, int64 age_us);

#endif							/* RSWEBHOOK_QUEUE_EXPIRE_H */
