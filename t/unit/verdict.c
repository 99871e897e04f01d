/*-------------------------------------------------------------------------
 *
 * verdict.c
 *		Unit tests of what an answer means, and when to try again.
 *
 * rooms: destination/verdict.c
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include "destination/verdict.h"

#define SECOND	USECS_PER_SEC
#define NOW		(1000 * SECOND)

static StatusOutcome outcomes[] = {
	{409, VERDICT_DELIVERED}, {422, VERDICT_RETRY}, {423, VERDICT_PAUSE}, {500, VERDICT_ABORTED}
};

static const Destination destination = {
	.status_outcomes = outcomes,
	.nstatus_outcomes = lengthof(outcomes),
	.min_backoff_us = 10 * SECOND,
	.max_backoff_us = 300 * SECOND,
	.retry_after_factor = 12,
	.retry_window_us = 3600 * SECOND,
	.min_attempts = 3
};

static Verdict
decide(int status, int64 retry_after_s, int attempt, int64 age_us, double jitter)
{
	HttpAnswer	answer = {
		.answered = status != 0,
		.status = status,
		.retry_after_s = retry_after_s,
		.error = status != 0 ? NULL : "connecting: refused"
	};
	Verdict		verdict;

	verdict_decide(&answer, &destination, attempt, age_us, NOW, jitter, &verdict);
	return verdict;
}

static void
ours(void)
{
	HttpAnswer	answer = {.ran_out = true, .retry_after_s = -1, .error = "out of memory"};
	Verdict		verdict;

	verdict_decide(&answer, &destination, 1, 0, NOW, 0.5, &verdict);
	is_int(verdict.kind, VERDICT_RETRY, "what we had no memory for is tried again");
	is_int(verdict.signal, SIGNAL_NONE, "and says nothing of the destination");

	verdict_decide(&answer, &destination, 1000, 1000 * USECS_PER_DAY, NOW, 0.5, &verdict);
	is_int(verdict.kind, VERDICT_RETRY, "nor is any event given up for that");
}

static void
statuses(void)
{
	static const struct
	{
		int			status;
		VerdictKind kind;
		VerdictSignal signal;
	}			known[] = {
		{200, VERDICT_DELIVERED, SIGNAL_ALIVE}, {204, VERDICT_DELIVERED, SIGNAL_ALIVE},
		{299, VERDICT_DELIVERED, SIGNAL_ALIVE}, {100, VERDICT_ABORTED, SIGNAL_ALIVE},
		{301, VERDICT_ABORTED, SIGNAL_ALIVE}, {400, VERDICT_ABORTED, SIGNAL_ALIVE},
		{408, VERDICT_RETRY, SIGNAL_NONE}, {410, VERDICT_ABORTED, SIGNAL_ALIVE},
		{429, VERDICT_RETRY, SIGNAL_NONE}, {499, VERDICT_ABORTED, SIGNAL_ALIVE},
		{501, VERDICT_RETRY, SIGNAL_FAILING}, {503, VERDICT_RETRY, SIGNAL_FAILING},
		{599, VERDICT_RETRY, SIGNAL_FAILING}, {600, VERDICT_RETRY, SIGNAL_FAILING},
		{999, VERDICT_RETRY, SIGNAL_FAILING}, {0, VERDICT_RETRY, SIGNAL_FAILING},
		/* of the destination's own */
		{409, VERDICT_DELIVERED, SIGNAL_ALIVE}, {422, VERDICT_RETRY, SIGNAL_ALIVE},
		{500, VERDICT_ABORTED, SIGNAL_FAILING}
	};

	for (int i = 0; i < lengthof(known); i++)
	{
		Verdict		verdict = decide(known[i].status, -1, 1, 0, 0.5);

		is_int(verdict.kind, known[i].kind, psprintf("what %d means", known[i].status));
		is_int(verdict.signal, known[i].signal,
			   psprintf("what %d says of the destination", known[i].status));
	}
	is_int(decide(429, 30, 1, 0, 0.5).signal, SIGNAL_FAILING, "429 that names a time speaks for all");
	is_text(decide(404, -1, 1, 0, 0.5).reason, "HTTP status 404", "the reason of a status");
	is_text(decide(200, -1, 1, 0, 0.5).reason, "", "no reason where it is delivered");
	is_text(decide(0, -1, 1, 0, 0.5).reason, "connecting: refused", "the reason of no answer");
	ok(decide(423, -1, 1, 0, 0.5).pause, "a status can pause the destination");
	is_int(decide(423, -1, 1, 0, 0.5).kind, VERDICT_RETRY, "its event is kept");
	is_int(decide(423, -1, 1, 0, 0.5).retry_at, NOW, "and is due at once");
}

static void
waits(void)
{
	for (int attempt = 1; attempt < 40; attempt++)
	{
		int64		plain = attempt > 5 ? 300 * SECOND : (10 * SECOND) << (attempt - 1);

		is_between(decide(500 + 3, -1, attempt, 0, 0.0).retry_at - NOW, plain * 79 / 100, plain * 81 / 100,
				   psprintf("the shortest wait after attempt %d", attempt));
		is_between(decide(500 + 3, -1, attempt, 0, 0.999).retry_at - NOW, plain * 119 / 100, plain * 121 / 100,
				   psprintf("the longest wait after attempt %d", attempt));
	}
	is_between(verdict_backoff_us(1, PG_INT64_MAX / 2, PG_INT32_MAX, 0.999), 1, PG_INT64_MAX,
			   "no number of attempts overflows");

	is_between(decide(503, 60, 1, 0, 0.5).retry_at - NOW, 59 * SECOND, 61 * SECOND,
			   "Retry-After makes the wait longer");
	is_between(decide(503, 1, 1, 0, 0.5).retry_at - NOW, 9 * SECOND, 11 * SECOND,
			   "but not shorter");
	is_between(decide(503, PG_INT64_MAX, 1, 0, 0.5).retry_at - NOW, 3599 * SECOND, 3601 * SECOND,
			   "nor longer than max_backoff times the factor");
	is_between(decide(503, 3000, 3, 3500 * SECOND, 0.5).retry_at - NOW, 99 * SECOND, 101 * SECOND,
			   "nor past the end of the window");
	for (int64 age_us = 3500 * SECOND; age_us <= 3700 * SECOND; age_us += 100 * SECOND)
		is_between(decide(503, 3000, 2, age_us, 0.5).retry_at - NOW, 2999 * SECOND, 3001 * SECOND,
				   "but for the attempts that come all the same");
	is_between(decide(503, PG_INT64_MAX, 2, 3700 * SECOND, 0.5).retry_at - NOW, 3599 * SECOND, 3601 * SECOND,
			   "which do not wait longer than that, either");
}

static void
giving_up(void)
{
	is_int(decide(503, -1, 2, 3601 * SECOND, 0.5).kind, VERDICT_RETRY,
		   "past the window, with too few attempts");
	is_int(decide(503, -1, 3, 3599 * SECOND, 0.5).kind, VERDICT_RETRY,
		   "in the window, with enough of them");
	is_int(decide(503, -1, 3, 3600 * SECOND, 0.5).kind, VERDICT_ABORTED,
		   "past the window, with enough of them");
	is_text(decide(503, -1, 3, 3600 * SECOND, 0.5).reason,
			"HTTP status 503; given up after 3 attempts", "which is said");
}

static void
words(void)
{
	HttpAnswer	answer = {.retry_after_s = -1, .refused = true};
	char		long_error[2000];
	Verdict		verdict;

	memset(long_error, 'x', sizeof(long_error));
	long_error[sizeof(long_error) - 1] = '\0';
	answer.error = long_error;
	verdict_decide(&answer, &destination, 1, 0, NOW, 0.5, &verdict);
	is_int(verdict.kind, VERDICT_ABORTED, "what we refuse is given up");
	is_int(verdict.signal, SIGNAL_NONE, "and says nothing of the destination");
	is_int(strlen(verdict.reason), sizeof(verdict.reason) - 1, "a long reason is cut");

	verdict_abort(&verdict, "destination was deleted");
	is_int(verdict.kind, VERDICT_ABORTED, "given up without an attempt");
	is_text(verdict.reason, "destination was deleted", "with its reason");
}

static void
tests(void)
{
	ours();
	statuses();
	waits();
	giving_up();
	words();
}
