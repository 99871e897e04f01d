/*-------------------------------------------------------------------------
 *
 * values.h
 *		Rows of our tables as the rest of the house knows them.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_TABLES_VALUES_H
#define RSWEBHOOK_TABLES_VALUES_H

#include "datatype/timestamp.h"
#include "storage/itemptr.h"
#include "utils/jsonb.h"

#include "base/clock.h"
#include "base/traceparent.h"

/* What an attempt came to. */
typedef enum VerdictKind
{
	VERDICT_DELIVERED,
	VERDICT_RETRY,
	VERDICT_ABORTED,
	VERDICT_PAUSE,				/* only as a status's configured outcome: the
								 * destination is paused, the event kept */
	VERDICT_REFUSED,			/* only in rswebhook.delivery: it was not even
								 * queued */
	VERDICT_SUNK				/* likewise: it would have been sent */
} VerdictKind;

/* A row of rswebhook.queue, without the payload. */
typedef struct QueueRow
{
	int32		destination_id;
	int32		attempts;		/* made so far */
	int64		event_id;
	int64		ordering_key;
	TimestampTz queued_at;		/* with attempts, tells a row from a later one
								 * of the same event */
	TimestampTz deliver_after;	/* NO_TIME: the column is null; so are these: */
	TimestampTz expires_at;
	TimestampTz first_attempt_at;
	TimestampTz retry_at;
	int16		event_slot;
	int16		run;			/* 0, and one more with each replay */
	bool		has_key;
	ItemPointerData tid;		/* where it was read; it may have moved */
} QueueRow;

/* What is sent, as it is stored. */
typedef struct StoredEvent
{
	Jsonb	   *event;			/* NULL: its row of the queue is no longer what was
								 * read, or ... */
	bool		missing;		/* ... it is, but there is no such event */
	TimestampTz created_at;
	int64		nonce;
	char	   *traceparent;	/* beside it; NULL: none */
} StoredEvent;

/* The number of its next attempt; somebody may have made it the last that there is. */
static inline int32
queue_row_next_attempt(const QueueRow *row)
{
	return Min(row->attempts, PG_INT32_MAX - 1) + 1;
}

/* Somebody may have given a row any id. */
static inline int64
id_before(int64 id)
{
	return id - (id > PG_INT64_MIN);
}

static inline int64
id_after(int64 id)
{
	return id + (id < PG_INT64_MAX);
}

/* How far apart they are; 0: id is not above the other one. */
static inline uint64
id_above(int64 id, int64 other)
{
	return id <= other ? 0 : (uint64) id - (uint64) other;
}

/* Which rows the scheduler wants read. */
typedef enum ReadKind
{
	READ_AHEAD,					/* beyond the cursor */
	READ_RANGE,					/* ids that committed late */
	READ_HUNGRY,				/* rows of users that were not kept in memory */
	READ_SWEEP,					/* all again, for what nobody told of */
	READ_FLOOR,					/* is there any, up to an id? */
	READ_DUE,					/* deliver_after has come */
	READ_RETRIES				/* rows that are to be tried again now */
} ReadKind;

#define READ_IDS	64

typedef struct ReadRequest
{
	ReadKind	kind;
	struct Lane *lane;			/* the scheduler's own affair */
	int32		destination_id;
	int64		after_id;		/* event_id > after_id ... */
	int64		upto_id;		/* ... and <= upto_id, in this order */
	TimestampTz due_after;		/* READ_DUE: (deliver_after, event_id) >
								 * (due_after, after_id), in this order */
	int			limit;
	int			nids;			/* READ_RETRIES: of these ... */
	int64		ids[READ_IDS];	/* ... in any order */

	/* what queue_read() says of its answer, beside the rows */
	bool		cut;			/* it took too long: there may be more ... */
	int64		cut_id;			/* ... with ids above this one */
	int64		took_us;
} ReadRequest;

/* What became of a claimed row of the queue when it was to be recorded. */
typedef enum RowFate
{
	ROW_DONE,					/* deleted, or rescheduled */
	ROW_GONE,					/* it was not the claimed one any more */
	ROW_BUSY					/* somebody has it locked; nothing was recorded */
} RowFate;

/* Why it is given up then. */
#define EXPIRED	"the event expired before it could be delivered"

/* One row for rswebhook.delivery, and what becomes of its queue row. */
typedef struct Outcome
{
	RowFate		fate;
	QueueRow	claimed;		/* as it was when the attempt began */
	VerdictKind kind;
	bool		attempted;		/* false: given up without a request */
	bool		stays;			/* the queue's row, as it is: we could not wait for
								 * the answer, which is no failure */
	TimestampTz retry_at;
	TimestampTz first_attempt_at;
	TimestampTz started_at;
	int64		duration_us;
	int			status;			/* 0: none */
	char	   *error;			/* NULL: none */
	char	   *request;		/* NULL: none was made */
	char	   *response_body;	/* NULL: none; bytes as they came; malloc's */
	size_t		response_body_len;
	char		traceparent[TRACEPARENT_SIZE];	/* that was sent; "": none */
	int64		certificate_ends_s; /* the receiver's, since 1970; 0: not known */
} Outcome;

/* Up to which id nothing is left, as the table has it. */
typedef struct Floor
{
	int32		destination_id;
	int			nrows;			/* of the table */
	int64		after_id;
} Floor;

/* The circuit breaker; all zero: it is closed. */
typedef struct Breaker
{
	bool		open;
	int			failures;		/* in a row, each user's once, and of probes */
	TimestampTz opened_at;
	Instant		next_probe_at;
	char		reason[200];
} Breaker;

/* The breakers as the table has them. */
typedef struct StoredBreaker
{
	int32		destination_id;
	Breaker		breaker;
} StoredBreaker;

/* Users whose last answers were good. */
#define MAX_TRUSTED		32

typedef struct TrustedUser
{
	int32		destination_id;
	int64		ordering_key;
} TrustedUser;

#endif							/* RSWEBHOOK_TABLES_VALUES_H */
