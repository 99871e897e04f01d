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

typedef struct DestinationStats
{
	int32		in_flight;
	bool		backed_off;		/* as a whole, whatever rswebhook.breaker has */
	int64		delivered;
	int64		retried;
	int64		aborted;
	double		latency_ms;		/* moving average of delivered requests */
	TimestampTz last_delivered_at;	/* NO_TIME: never */
	bool		unusable;		/* at present, for what last_error says */
	TimestampTz last_error_at;	/* NO_TIME: never */
	char		last_error[200];
} DestinationStats;

extern void counters_publish(int32 destination_id, const DestinationStats *stats);
extern void counters_forget(int32 destination_id);

/* A worker that leaves takes along what it has counted. */
extern void counters_forget_mine(void);

/* ---- shmem.c ---- */

extern Size counters_size(void);
extern void counters_startup(void);

#endif							/* RSWEBHOOK_COUNTERS_H */
