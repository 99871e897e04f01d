/*-------------------------------------------------------------------------
 *
 * recording.c
 *		When a worker records outcomes and the states of destinations, how much
 *		at once, and what if it fails.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "postmaster/interrupt.h"
#include "utils/memutils.h"

#include "base/inject.h"
#include "tables/queue_record.h"
#include "worker/lack.h"
#include "worker/record.h"
#include "worker/recording.h"
#include "worker/repeated.h"
#include "worker/session.h"
#include "worker/states.h"
#include "worker/suspect.h"

/*
 * Outcomes are recorded together: so many, or after so long.  The longer time
 * is for when there are many: a crash repeats what is not recorded, but to
 * record few costs nearly as much as to record many.
 */
#define RECORD_GROUP		1000	/* or so many bytes, see record.c */
#define RECORD_MANY			32
#define RECORD_DELAY_US		(3 * 1000)
#define RECORD_MANY_DELAY_US	(25 * 1000)

/*
 * An outcome that could not be recorded is tried again, alone, after a pause that
 * grows up to so long; an outcome that has taken too long holds everybody up each
 * time.  Not more than one is tried in AGAIN_PAUSE_US.
 */
#define LOCKED_PAUSE_US		(5 * USECS_PER_SEC)
#define FAILED_PAUSE_US		(60 * USECS_PER_SEC)
#define OVERRAN_MIN_US		(60 * USECS_PER_SEC)
#define OVERRAN_PAUSE_US	(600 * USECS_PER_SEC)
#define AGAIN_PAUSE_US	(500 * 1000)

/*
 * If outcomes of so many destinations fail in a row, nothing can be recorded.  If so
 * many outcomes at all do, with errors that look as if they were about all, no more of
 * that destination are tried.
 */
#define MAX_FAILURES		3
#define MAX_FAILURES_OF_ALL	10

/* How much smaller groups become while the outcome that fails is looked for. */
#define TAKE_APART			8

/* States of destinations wait so long after somebody had one locked. */
#define SAVE_RETRY_US		(1 * USECS_PER_SEC)

/* When something is due that waits for nothing. */
#define AT_ONCE		((Instant) 1)

/* Outcomes that a worker that leaves records at once. */
#define FINISH_GROUP		200

static int	group = RECORD_GROUP;	/* outcomes at once; fewer after an error */
static Instant next_save = 0;	/* of states of destinations; 0: at once */
static Instant next_again = 0;
static int	failures_of_all = 0;	/* since anything could be recorded */

/* Errors, for the log: of outcomes, of states of destinations. */
static Repeated unrecorded;
static Repeated unsaved;

static bool
tables_are_locked(void)
{
	bool		locked;

	if (!session_begin("looking for locks"))
		return false;
	locked = queue_is_locked();
	session_commit();
	return locked;
}

/*
 * Is the error that has ended the last transaction known to be about nothing in
 * particular?  A lock may be one of somebody's row, for which a trigger waits.
 */
static bool
concerns_all(int sqlerrcode)
{
	if (sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE)
		return tables_are_locked();
	return ERRCODE_TO_CATEGORY(sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION &&
		ShutdownRequestPending;
}

/*
 * Does it look so?  A trigger raises what it likes, and there may be room for other
 * outcomes, so that is known only once several were tried.
 */
static bool
may_concern_all(int sqlerrcode)
{
	switch (ERRCODE_TO_CATEGORY(sqlerrcode))
	{
		case ERRCODE_INVALID_TRANSACTION_STATE:
			return true;
		case ERRCODE_INSUFFICIENT_RESOURCES:
			return sqlerrcode != ERRCODE_OUT_OF_MEMORY;
		case ERRCODE_OPERATOR_INTERVENTION:
			return sqlerrcode != ERRCODE_QUERY_CANCELED;
		default:
			return false;
	}
}

/* The first of two times, of which each is 0 for never. */
static Instant
sooner(Instant a, Instant b)
{
	return a == 0 || (b != 0 && b < a) ? b : a;
}

/* When outcomes have to be recorded together; 0: there are none. */
static Instant
group_due_at(bool hurry)
{
	Instant		since;
	int			count = record_waiting(&since);
	Instant due = 0;

	if (count > 0 && (hurry || count >= RECORD_GROUP))
		return AT_ONCE;
	if (count > 0)
		due = since + (count < RECORD_MANY ? RECORD_DELAY_US : RECORD_MANY_DELAY_US);
	return sooner(due, record_busy_until());
}

/* When one that failed has to be tried again; 0: there is none. */
static Instant
failed_due_at(void)
{
	Instant due = record_failed_until();

	return due == 0 ? 0 : Max(due, next_again);
}

/*
 * What cannot be recorded is shown as long as it is so: the last error, or else
 * that rows are locked.
 */
static void
show_deferred(void)
{
	if (record_failed_until() != 0)
		return;
	lack_note_undone(UNDONE_OUTCOMES, record_busy_until() == 0 ? NULL :
					 "rows of rswebhook.queue are locked by another transaction");
}

/* Record so many outcomes at the most, in one transaction. */
static void
record_some(int limit)
{
	int			tried;

	if (!session_begin("recording outcomes"))
		return;
	tried = record_outcomes(limit, clock_now());
	session_commit();
	INJECT("recorded");
	record_committed(clock_now());
	if (tried > 0)
		failures_of_all = 0;
}

/* The outcome may have failed for a lock for which a trigger waits. */
static void
record_one_again(int unused)
{
	if (!session_begin("recording an outcome again"))
		return;
	session_wait_little();
	record_one_failed(clock_now());
	session_commit();
	record_committed(clock_now());
	failures_of_all = 0;
}

/* After an error of several outcomes. */
static void
shrink_group(void)
{
	group = session_overran() ? 1 : Max(group / TAKE_APART, 1);
}

/* Defer the outcome that could not be recorded; the id of its destination, 0: it was not begun. */
static int32
defer_failed(int sqlerrcode)
{
	Instant		now = clock_now();

	if (session_overran())
		return record_failed(now, OVERRAN_MIN_US, OVERRAN_PAUSE_US);
	return record_failed(now, 0, session_error_passes(sqlerrcode) ? LOCKED_PAUSE_US : FAILED_PAUSE_US);
}

/* Is the outcome that could not be recorded to be tried again at once, with less? */
static bool
lighten(int sqlerrcode)
{
	return sqlerrcode == ERRCODE_OUT_OF_MEMORY && record_leave_out_body();
}

/*
 * Some outcomes cannot be recorded, perhaps because of what somebody's trigger
 * thinks of one, or there is no memory for so many: such are deferred, and the others
 * are recorded.  If outcomes of several destinations fail in a row, so would all; after
 * one has failed the next is, if there is one, another user's and another destination's.
 */
static void
take_apart(void)
{
	int			failures = 0;
	int32		failed = 0;		/* destination of the last that did */
	Instant		due;

	session_set_impatient(true);
	while ((due = group_due_at(true)) != 0 && due <= clock_now() &&
		   !session_extension_gone())
	{
		ErrorData  *error = session_try(record_some, group);
		int32		before;

		CHECK_FOR_INTERRUPTS();
		if (error == NULL)
		{
			failures = failed = 0;
			group = Min(group * 2, RECORD_GROUP);
			continue;
		}
		if (group > 1)
		{
			record_not_committed();
			shrink_group();
			continue;
		}
		if (lighten(error->sqlerrcode))
		{
			repeated_report(&unrecorded, error);
			continue;
		}
		lack_note_undone(UNDONE_OUTCOMES, error->message);
		before = failed;
		failed = defer_failed(error->sqlerrcode);
		failures += failed != before;
		failures_of_all += may_concern_all(error->sqlerrcode);
		if (failed == 0 || failures == MAX_FAILURES || concerns_all(error->sqlerrcode))
			ReThrowError(error);
		repeated_report(&unrecorded, error);
		if (failures_of_all >= MAX_FAILURES_OF_ALL)
			record_hold_back(failed, clock_now());
	}
}

static void
record_group(void)
{
	ErrorData  *error;

	INJECT("answered");
	error = session_try(record_some, suspect_very_wary() ? 1 : group);
	if (error == NULL)
	{
		group = Min(group * 2, RECORD_GROUP);
		return;
	}
	record_not_committed();
	if (concerns_all(error->sqlerrcode))
	{
		lack_note_undone(UNDONE_OUTCOMES, error->message);
		ReThrowError(error);
	}
	/* the error comes again, from the outcome to blame */
	shrink_group();
	take_apart();
}

static void
try_again(void)
{
	ErrorData  *error = session_try(record_one_again, 0);

	next_again = 0;
	if (error == NULL)
		return;
	next_again = clock_now() + AGAIN_PAUSE_US;
	lack_note_undone(UNDONE_OUTCOMES, error->message);
	if (!lighten(error->sqlerrcode))
		(void) defer_failed(error->sqlerrcode);
	if (!session_error_passes(error->sqlerrcode))
		repeated_report(&unrecorded, error);
}

static void
save_states(int limit)
{
	if (!session_begin("recording the states of destinations"))
		return;
	session_wait_little();
	states_save(limit);
	session_commit();
	states_committed();
}

/*
 * Whoever edits a destination may be slow to commit.  The states of the others are
 * saved without that one's; if several in a row fail, so would all.
 */
static void
save_states_now(void)
{
	int			limit = PG_INT32_MAX;
	int			failures = 0;
	ErrorData  *error;

	next_save = 0;
	while (states_changed() && failures < MAX_FAILURES && !session_extension_gone())
	{
		error = session_try(save_states, limit);
		if (error == NULL && limit > 1)
			break;
		if (error == NULL)
			continue;
		states_failed();
		lack_note_undone(UNDONE_STATES, error->message);
		failures++;
		limit = 1;
		next_save = clock_now() + SAVE_RETRY_US;
		if (error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE)
			repeated_report(&unsaved, error);
	}
	if (next_save == 0)
		lack_note_undone(UNDONE_STATES, NULL);
}

/* What could not be saved is by now, or somebody has overruled it. */
static void
show_unsaved(void)
{
	if (states_changed())
		return;
	next_save = 0;
	lack_note_undone(UNDONE_STATES, NULL);
}

/* When states of destinations have to be saved; 0: none have changed. */
static Instant
save_due_at(void)
{
	return !states_changed() ? 0 : next_save != 0 ? next_save : AT_ONCE;
}

void
recording_run(Instant now, bool hurry)
{
	Instant due = group_due_at(hurry);

	if (due != 0 && due <= now && !session_extension_gone())
		record_group();
	due = failed_due_at();
	if (due != 0 && due <= now && !session_extension_gone())
		try_again();
	show_deferred();
	due = save_due_at();
	if (due != 0 && due <= now && !session_extension_gone())
		save_states_now();
	show_unsaved();
}

Instant
recording_due_at(void)
{
	return sooner(sooner(group_due_at(false), failed_due_at()), save_due_at());
}

/* In pieces, since a transaction of a worker that is to leave has little time. */
void
recording_finish(void)
{
	Instant		since;
	int			limit = FINISH_GROUP;
	int			failures = 0;

	while (record_waiting(&since) > 0 && !session_extension_gone() &&
		   failures < MAX_FAILURES)
	{
		ErrorData  *error = session_try(record_some, limit);

		if (error == NULL)
		{
			limit = Min(limit * 2, FINISH_GROUP);
			continue;
		}
		if (limit > 1)
		{
			record_not_committed();
			limit = 1;
			continue;
		}
		repeated_report_always(error);
		if (lighten(error->sqlerrcode))
			continue;
		(void) defer_failed(error->sqlerrcode);
		failures++;
	}
	if (states_changed() && !session_extension_gone())
		save_states_now();
}

void
recording_reset(void)
{
	record_not_committed();
	states_failed();
}
