/*-------------------------------------------------------------------------
 *
 * values.h
 *		What the scheduler is told of a destination, and of other workers.
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
} LanePolicy;

/*
 * Where a destination allows fewer requests in flight than there are workers,
 * or one because its breaker is open, they take turns with it.
 *
 * take: one of so many turns; false: others have them all, and tell when they
 * leave one.  leave: this worker's turn is over; true: others wait for one, so
 * it does, too.  withdraw: it does not wait for one any more.
 */
typedef struct Turns
{
	bool		(*take) (int32 destination_id, int most);
	bool		(*leave) (int32 destination_id);
	void		(*withdraw) (int32 destination_id);
} Turns;

#endif							/* RSWEBHOOK_SCHEDULE_VALUES_H */
