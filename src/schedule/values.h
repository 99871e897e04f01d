/*-------------------------------------------------------------------------
 *
 * values.h
 *		What the scheduler is told of a destination.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_SCHEDULE_VALUES_H
#define RSWEBHOOK_SCHEDULE_VALUES_H

/* What a lane is to others is its id, and what it hands out. */
typedef struct Lane Lane;
typedef struct QueueItem QueueItem;

/* What a lane needs to know of its destination. */
typedef struct LanePolicy
{
	TransactionId version;		/* of its row */
	bool		gone;			/* no such destination (any more) */
	bool		halted;			/* disabled or paused */
	bool		ordered;
	int			max_in_flight;
	double		rate_limit;		/* events a second; 0: none */
	int			breaker_failures;	/* 0: no breaker */
	int64		min_backoff_us;
	int64		max_backoff_us;
	int64		max_wait_us;	/* the longest from an attempt to the next */
	int			parts;			/* workers that it has; see share.h */
	int			part;			/* this one's, from 0; neither changes */
} LanePolicy;

#endif							/* RSWEBHOOK_SCHEDULE_VALUES_H */
