/*-------------------------------------------------------------------------
 *
 * verdict.c
 *		What an answer means, and when to try again.
 *
 * Pure: no table, no socket, no clock.  The rules are RudderStack's, with its
 * values as defaults of rswebhook.destination's columns:
 *
 *	2xx is delivered; 408, 429, 500 and above, and no proper answer are retried;
 *	any other status is final.  Attempt n+1 comes min_backoff * 2^(n-1) after attempt n,
 *	at most max_backoff.  An event is given up once it has failed min_attempts
 *	times and its first attempt is more than retry_window ago.
 *
 * Ours are the jitter of 20 percent, that Retry-After is honoured within
 * bounds, and that a destination can give a status another meaning.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "utils/timestamp.h"

#include "destination/values.h"
#include "destination/verdict.h"
#include "http/values.h"

#define JITTER	0.2

int64
verdict_backoff_us(int64 min_us, int64 max_us, int n, double jitter)
{
	double		delay = Min((double) max_us, (double) min_us * pow(2.0, Min(n - 1, 62)));

	delay *= 1.0 - JITTER + 2.0 * JITTER * jitter;
	return Max((int64) delay, 1);
}

/* The longest wait that a receiver may ask for: no longer than any window can be. */
static double
max_asked_us(const Destination *destination)
{
	return Min((double) destination->max_backoff_us * destination->retry_after_factor,
			   MAX_WINDOW_US);
}

/* All who were told the same must not come at once. */
static int64
spread(int64 asked, double jitter)
{
	return asked + (int64) (jitter * Min(asked / 20, USECS_PER_SEC));
}

int64
verdict_max_wait_us(const Destination *destination)
{
	return Max(verdict_backoff_us(destination->max_backoff_us,
								  destination->max_backoff_us, 1, 1.0),
			   spread((int64) max_asked_us(destination), 1.0));
}

/* The meaning of a status with no word of the destination about it. */
static VerdictKind
default_meaning(int status)
{
	if (status >= 200 && status <= 299)
		return VERDICT_DELIVERED;
	if (status == 408 || status == 429 || status >= 500)
		return VERDICT_RETRY;
	return VERDICT_ABORTED;
}

static VerdictKind
meaning(const HttpAnswer *answer, const Destination *destination)
{
	if (answer->refused)
		return VERDICT_ABORTED;
	if (!answer->answered)
		return VERDICT_RETRY;
	for (int i = 0; i < destination->nstatus_outcomes; i++)
	{
		if (destination->status_outcomes[i].status == answer->status)
			return (VerdictKind) destination->status_outcomes[i].outcome;
	}
	return default_meaning(answer->status);
}

/*
 * Does the destination as a whole fail?  A 4xx is about one event and shows
 * that somebody is there; 429 and 503 that name a time speak for all events.
 * Where we had no memory for what it said, it may have said anything.
 */
static VerdictSignal
signal_of(const HttpAnswer *answer, VerdictKind kind)
{
	if (answer->refused || answer->ran_out)
		return SIGNAL_NONE;
	if (!answer->answered || answer->status >= 500)
		return kind == VERDICT_DELIVERED ? SIGNAL_ALIVE : SIGNAL_FAILING;
	if (answer->status == 429 && answer->retry_after_s >= 0)
		return SIGNAL_FAILING;
	if (answer->status == 429 || answer->status == 408)
		return SIGNAL_NONE;
	return SIGNAL_ALIVE;
}

/*
 * When to try again, or 0 if the retry window and the attempts are used up, unless
 * it was memory that we lacked this time.
 * Retry-After may make the wait longer, but not longer than max_backoff times the
 * destination's factor; nor, if the attempts are used up, past the end of the
 * window: a receiver that always sends it must not keep an event for ever.
 */
static Instant
next_attempt_at(const HttpAnswer *answer, const Destination *destination,
				int attempt, int64 age_us, Instant now, double jitter)
{
	bool		used_up = attempt >= destination->min_attempts;
	int64		left = destination->retry_window_us - age_us;
	int64		wait;

	if (used_up && left <= 0 && !answer->ran_out)
		return 0;

	wait = verdict_backoff_us(destination->min_backoff_us,
							  destination->max_backoff_us, attempt, jitter);
	if (answer->retry_after_s >= 0)
	{
		int64		asked = (int64) Min((double) answer->retry_after_s * USECS_PER_SEC,
										max_asked_us(destination));

		asked = spread(asked, jitter);
		wait = Max(wait, used_up ? Min(asked, left) : asked);
	}
	return now + wait;
}

void
verdict_decide(const HttpAnswer *answer, const Destination *destination,
			   int attempt, int64 age_us, Instant now, double jitter,
			   Verdict *verdict)
{
	memset(verdict, 0, sizeof(*verdict));
	verdict->kind = meaning(answer, destination);
	verdict->signal = signal_of(answer, verdict->kind);
	verdict->timed_out = answer->timed_out;
	verdict->too_many = answer->answered && verdict->kind == VERDICT_RETRY &&
		(answer->status == 429 || answer->status == 503);
	verdict->names_time = verdict->too_many && answer->retry_after_s >= 0;
	verdict->waited_us = answer->waited_us;
	verdict->gone = answer->answered && answer->status == 410 && verdict->kind == VERDICT_ABORTED;

	if (answer->error)
		strlcpy(verdict->reason, answer->error, sizeof(verdict->reason));
	else if (verdict->kind != VERDICT_DELIVERED)
		snprintf(verdict->reason, sizeof(verdict->reason), "HTTP status %d%s%s",
				 answer->status, answer->unfollowed ? ", a redirect that is not followed: " : "",
				 answer->unfollowed ? answer->unfollowed : "");

	if (verdict->kind == VERDICT_PAUSE)
	{
		verdict->kind = VERDICT_RETRY;
		verdict->pause = true;
		verdict->retry_at = now;
		snprintf(verdict->reason, sizeof(verdict->reason),
				 "HTTP status %d pauses this destination", answer->status);
		return;
	}
	if (verdict->kind != VERDICT_RETRY)
		return;

	verdict->retry_at = next_attempt_at(answer, destination, attempt, age_us,
										now, jitter);
	if (verdict->retry_at == 0)
	{
		size_t		used = strlen(verdict->reason);

		verdict->kind = VERDICT_ABORTED;
		snprintf(verdict->reason + used, sizeof(verdict->reason) - used,
				 "; given up after %d attempts", attempt);
	}
}

void
verdict_abort(Verdict *verdict, const char *reason)
{
	memset(verdict, 0, sizeof(*verdict));
	verdict->kind = VERDICT_ABORTED;
	verdict->signal = SIGNAL_NONE;
	strlcpy(verdict->reason, reason, sizeof(verdict->reason));
}
