/*-------------------------------------------------------------------------
 *
 * verdict.h
 *		What an answer means, and when to try again.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_VERDICT_H
#define RSWEBHOOK_VERDICT_H

#include "destination/values.h"

#include "base/clock.h"

/* What the answer says of the destination as a whole. */
typedef enum VerdictSignal
{
	SIGNAL_NONE,				/* nothing: it was never tried, or about one event */
	SIGNAL_UNSENT,				/* nothing, nor of what we lack: no request was made */
	SIGNAL_ALIVE,
	SIGNAL_FAILING
} VerdictSignal;

typedef struct Verdict
{
	VerdictKind kind;
	VerdictSignal signal;
	bool		pause;			/* pause the destination */
	bool		gone;			/* 410, which may be for good */
	bool		timed_out;		/* the attempt's time was over, and nothing had come */
	Instant		retry_at;		/* of VERDICT_RETRY */
	TimestampTz first_attempt_at;	/* likewise, for its row; the caller's affair */
	char		reason[600];	/* "" or one line, with no secret in it */
} Verdict;

/*
 * attempt: the number of the one that was made, from 1.  age_us: how long ago
 * the first one of this event started.  jitter: in [0, 1).
 */
extern void verdict_decide(const HttpAnswer *answer, const Destination *destination,
						   int attempt, int64 age_us, Instant now, double jitter,
						   Verdict *verdict);

/* Why an event is given up that has waited for too long. */
#define EXPIRED	"the event expired before it could be delivered"

/* An event that is given up without an attempt. */
extern void verdict_abort(Verdict *verdict, const char *reason);

/* The longest wait that verdict_decide() comes to for any answer. */
extern int64 verdict_max_wait_us(const Destination *destination);

/* min(max, min * 2^(n-1)), +-20 %; microseconds.  n from 1. */
extern int64 verdict_backoff_us(int64 min_us, int64 max_us, int n, double jitter);

#endif							/* RSWEBHOOK_VERDICT_H */
