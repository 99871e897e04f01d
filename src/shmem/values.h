/*-------------------------------------------------------------------------
 *
 * values.h
 *		What a commit tells the workers.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_SHMEM_VALUES_H
#define RSWEBHOOK_SHMEM_VALUES_H

#include "base/clock.h"

/* Rows of one destination (0: of any) that a transaction will make visible, or has deleted. */
typedef struct QueuedRange
{
	int32		destination_id;
	uint32		shares;			/* that they may be in, by somebody's map; see
								 * share.h */
	int64		first_id;
	int64		last_id;
	int64		rows;			/* so many; 0: nobody knows */
	bool		gone;			/* some of them may be there no more */
} QueuedRange;

/* Distinct destinations that one transaction names exactly. */
#define MAX_PENDING_RANGES	32

/* Widen a range by another one, of that destination or of any. */
static inline void
range_widen(QueuedRange *range, const QueuedRange *other)
{
	range->rows = range->destination_id == other->destination_id &&
		range->rows != 0 && other->rows != 0 ? range->rows + other->rows : 0;
	if (range->destination_id != other->destination_id)
		range->destination_id = 0;
	range->shares |= other->shares;
	range->first_id = Min(range->first_id, other->first_id);
	range->last_id = Max(range->last_id, other->last_id);
	range->gone |= other->gone;
}

/* That one worker is told of at the most; the last one covers the others. */
#define SLOT_MAX_RANGES	256

/* What else a worker is told. */
typedef struct News
{
	bool		changed;		/* such as a destination that is another one now */
	bool		breakers;		/* another worker has opened or closed some */
} News;

/* Destinations that may be quiet; see worker_slot_set_quiet(). */
#define SLOT_MAX_QUIET		64

/* Destinations with a low rate of which a worker says when it sent last. */
#define SLOT_MAX_PACED		64

typedef struct Paced
{
	int32		destination_id; /* 0: none */
	Instant		last;
} Paced;

/* Of what a worker says that it lacks, with the NUL. */
#define SLOT_LACKS_SIZE	512

/* A request in flight, for people; of so many an answer has. */
#define SHOWN_REQUESTS	32

typedef struct ShownRequest
{
	int32		destination_id;
	int64		event_id;
	int32		attempt;
	TimestampTz started_at;
	char		phase[16];
	char		address[48];	/* "": none yet */
	int			port;
	int64		sent;			/* bytes, with heads */
	int64		received;
} ShownRequest;

/* Which of these: of all, or of an event, in the order in which they began. */
typedef struct Question
{
	uint32		number;			/* the last one that was asked */
	Instant		asked_at;
	int64		event_id;		/* 0: any */
	int			skip;			/* so many */
} Question;

#endif							/* RSWEBHOOK_SHMEM_VALUES_H */
