/*-------------------------------------------------------------------------
 *
 * counters.h
 *		Live counters of destinations in shared memory: the workers write them,
 *		rswebhook.status shows them.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_COUNTERS_H
#define RSWEBHOOK_COUNTERS_H

#include "datatype/timestamp.h"

/* Of what is owed to a destination; times: NO_TIME if there is none. */
typedef struct Owed
{
	bool		known;
	int64		pending;
	int64		retrying;
	int64		scheduled;
	TimestampTz oldest;
	TimestampTz next_retry_at;
} Owed;

typedef struct DestinationStats
{
	Owed		owed;			/* in this worker's part of it */
	int			parts;			/* of so many */
	int			nknown;			/* in sums: parts in which that is known */
	int32		in_flight;
	int32		in_flight_limit;	/* so many help it; 0: it was never sent anything */
	bool		backed_off;		/* as a whole, whatever rswebhook.breaker has */
	int64		delivered;		/* requests since the worker's start, of which ... */
	double		latency_ms;		/* ... this is a moving average */
	TimestampTz problem_at;		/* NO_TIME: it can be used */
	char		problem[200];
} DestinationStats;

extern void counters_publish(int32 destination_id, const DestinationStats *stats);
extern void counters_forget(int32 destination_id);

/* A worker that leaves takes along what it has counted. */
extern void counters_forget_mine(void);

/* ---- shmem.c ---- */

extern Size counters_size(void);
extern void counters_startup(void);

#endif							/* RSWEBHOOK_COUNTERS_H */
