/*-------------------------------------------------------------------------
 *
 * cycle.c
 *		Once round the worker's loop, and what if that fails.
 *
 * Each cycle: start what may start (one read-only transaction), record what is
 * decided (one transaction that writes, a few milliseconds or a few hundred
 * outcomes after the first).
 *
 * An error in one of these transactions is logged, what it was about goes back
 * to where it was, and the worker tries again after a pause: a short one if
 * somebody had locked what it needs, a longer one each time otherwise.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "postmaster/interrupt.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/inject.h"
#include "destination/cache.h"
#include "http/http.h"
#include "schedule/schedule.h"
#include "shmem/wake.h"
#include "shmem/worker_slot.h"
#include "tables/queue.h"
#include "tables/tables.h"
#include "worker/claim.h"
#include "worker/cycle.h"
#include "worker/deliver.h"
#include "worker/expiry.h"
#include "worker/floors.h"
#include "worker/fold.h"
#include "worker/lack.h"
#include "worker/lanes.h"
#include "worker/owed.h"
#include "worker/recording.h"
#include "worker/repeated.h"
#include "worker/retention.h"
#include "worker/session.h"
#include "worker/stats.h"
#include "worker/suspect.h"
#include "worker/trusted.h"
#include "worker/watch.h"

/*
 * Reads in one transaction, so that sending is not held up by reading; one that
 * was cut, as it took long, is the last.
 */
#define READS_A_CYCLE		8

/*
 * How often everything is looked at again from the start, destinations and the
 * queue.  Rows that rswebhook_send() made are never missed without it; this is
 * for what somebody edits by hand, perhaps with triggers disabled.
 */
#define SWEEP_INTERVAL_US	(10 * 60 * USECS_PER_SEC)

/*
 * The pause after an error doubles from the least to the most.  After an error that
 * passes by itself the pause is LOCK_PAUSE_US, and not all such errors are logged.
 */
#define ERROR_PAUSE_MIN_US	(1 * USECS_PER_SEC)
#define ERROR_PAUSE_MAX_US	(60 * USECS_PER_SEC)
#define LOCK_PAUSE_US		(200 * 1000)
#define SAY_AGAIN_US		(60 * USECS_PER_SEC)
#define PATIENT_EACH		10

/* So many lanes in a row that cannot be read: the reason is not in the lanes. */
#define MAX_UNREADABLE		3

static Instant next_sweep;
static bool recovering = false; /* the last cycle has ended with an error */
static Instant pause_until = 0; /* if recovering */
static int64 pause_us = 0;		/* after the last error that does not pass by itself */
static int	unsaid = 0;			/* errors that were not logged */
static Lane *reading = NULL;	/* whose rows are being read */
static bool recording = false;	/* which shows its errors itself */
static int	nunreadable = 0;	/* lanes in a row that could not be read */

void
cycle_init(Instant now)
{
	next_sweep = now + SWEEP_INTERVAL_US;
	owed_doubt_all();
}

/* Others' destinations are told of where it is not known whose they are. */
static void
note_ranges(const QueuedRange *ranges, int count, Instant now)
{
	for (int i = 0; i < count; i++)
	{
		if (ranges[i].destination_id == 0 || lanes_part(ranges[i].destination_id) >= 0)
			schedule_note_range(&ranges[i], now);
	}
}

/* Take what commits have told; true: that is more than events to be read. */
static bool
take_ranges(Instant now)
{
	QueuedRange ranges[SLOT_MAX_RANGES];
	News		news;
	int			count = worker_slot_take_ranges(ranges, &news);

	note_ranges(ranges, count, now);
	owed_note_told(ranges, count);
	if (count > 0)
		stats_publish();
	if (news.breakers)
		lanes_breakers_changed();
	if (count > 0 || news.changed)
		watch_note_news(now, news.changed);
	return news.changed || news.breakers;
}

/*
 * Rows that this transaction sees for the first time, and that lie behind a
 * cursor: they come before whatever is read ahead.
 */
static void
note_untold_ranges(Instant now)
{
	int			count;
	const QueuedRange *ranges = wake_untold_ranges(GetActiveSnapshot(), &count);

	note_ranges(ranges, count, now);
}

/* For the log: whose rows could not be read. */
static void
add_reading_context(void *unused)
{
	if (reading != NULL)
		errcontext("while reading what is owed to the destination with the id %d",
				   schedule_lane_id(reading));
}

static void
read_queue(Instant now)
{
	ErrorContextCallback context = {
		.callback = add_reading_context,
		.previous = error_context_stack
	};
	ReadRequest request;

	error_context_stack = &context;
	request.cut = false;
	for (int i = 0; i < READS_A_CYCLE && !request.cut && schedule_next_read(now, &request); i++)
	{
		QueueRow   *rows;
		int			count;

		CHECK_FOR_INTERRUPTS();
		reading = request.lane;
		INJECT_EVENT("reading", request.destination_id);
		count = queue_read(&request, &rows);
		reading = NULL;
		nunreadable = 0;
		schedule_rows_read(&request, rows, count, now);
		pfree(rows);
	}
	error_context_stack = context.previous;
}

/*
 * Read ahead, and start what may go: one transaction that only reads.  With
 * nothing to read or send, not even that, as when somebody queues events for a
 * destination that is paused; look: read anyway, since there may be other news.
 */
static void
read_and_start(bool look)
{
	Instant now = clock_now();

	/* news first, since they may change what can be claimed */
	look |= take_ranges(now);
	if (!look && !deliver_claim(now) && !schedule_wants_read(now))
		return;

	if (!session_begin("reading the queue"))
		return;
	INJECT("reading");
	if (!lanes_configure(now))
	{
		session_commit();
		return;
	}
	if (look)
		owed_add_all();
	tables_lock_and_look("queue");
	if (schedule_wants_read(now))
		note_untold_ranges(now);
	if (suspect_review_is_due(now))
		suspect_review(queue_owes);
	read_queue(now);
	if (!deliver_claim(now) || deliver_prepare(now))
		session_commit();
	INJECT("claimed");
	if (ShutdownRequestPending)
		return;					/* what is claimed is so in memory only */
	wake_flush_commits();
	deliver_start();
}

static void
reread_lane(Lane *lane, void *now)
{
	schedule_reread(lane, *(Instant *) now);
}

static void
cycle(bool look)
{
	Instant now = clock_now();

	if (now >= next_sweep)
	{
		schedule_each_lane(reread_lane, &now);
		destination_forget();
		floors_tidy();
		trusted_tidy();
		fold_note();
		owed_doubt_all();
		look = true;
		watch_note_news(now, false);
		next_sweep = now + SWEEP_INTERVAL_US;
	}

	/*
	 * After an error, what is decided comes first: nothing new is started
	 * before it is recorded.
	 */
	if (!recovering)
		read_and_start(look);
	recording = true;
	recording_run(now, recovering);
	recording = false;
	if (recovering && !session_extension_gone())
		read_and_start(true);
	next_sweep = Min(next_sweep, destination_again_at());
	retention_run(now);
	expiry_run(now);
	floors_run(now);
	trusted_run(now);
	watch_run(now);
	fold_run(now);
	owed_run(now);
}

/* Errors that pass are said when they begin, and now and then while they go on. */
static void
say_error(bool passes, Instant now)
{
	static Instant said_at = 0;
	static Repeated others;

	if (!passes)
	{
		repeated_emit(&others, now);
		return;
	}
	if (recovering && now >= said_at && now - said_at < SAY_AGAIN_US)
	{
		unsaid++;
		return;
	}
	EmitErrorReport();
	said_at = now;
}

/* Can it be that only the lane that was being read has this error? */
static bool
is_about_lane(int sqlerrcode, bool passes)
{
	if (reading == NULL || passes || nunreadable >= MAX_UNREADABLE)
		return false;
	return ERRCODE_TO_CATEGORY(sqlerrcode) != ERRCODE_OPERATOR_INTERVENTION || session_overran();
}

void
cycle_recover(MemoryContext context)
{
	Instant now = clock_now();
	int			sqlerrcode = geterrcode();
	bool		passes;

	MemoryContextSwitchTo(context);
	HOLD_INTERRUPTS();
	session_abort();
	passes = session_error_passes(sqlerrcode);
	say_error(passes, now);
	if (!recording)
		lack_note_undone(UNDONE_CYCLE, session_error()->message);
	recording = false;
	FlushErrorState();
	deliver_reset(now);
	recording_reset();
	schedule_settle_all(now);
	RESUME_INTERRUPTS();

	recovering = true;
	if (passes)
		pause_until = now + LOCK_PAUSE_US;
	else if (is_about_lane(sqlerrcode, passes))
	{
		nunreadable++;
		schedule_read_failed(reading, now);
		pause_until = now;
	}
	else
	{
		pause_us = pause_us == 0 ? ERROR_PAUSE_MIN_US :
			Min(pause_us * 2, ERROR_PAUSE_MAX_US);
		pause_until = now + pause_us;
	}
	reading = NULL;
}

static void
recovered(void)
{
	if (unsaid > 0)
		ereport(LOG,
				(errmsg("the rswebhook worker goes on, after %d more errors like the last one",
						unsaid)));
	unsaid = 0;
	nunreadable = 0;
	recovering = false;
	pause_us = 0;
	lack_note_undone(UNDONE_CYCLE, NULL);
}

bool
cycle_run(bool look)
{
	MemoryContext context = CurrentMemoryContext;

	if (recovering && clock_now() < pause_until)
	{
		(void) take_ranges(clock_now());
		return false;
	}

	/* now and then the worker waits for a lock as usual: others may queue for it, too */
	session_set_impatient(recovering && unsaid % PATIENT_EACH != 0);
	PG_TRY();
	{
		cycle(look);
		recovered();
	}
	PG_CATCH();
	{
		cycle_recover(context);
	}
	PG_END_TRY();
	session_set_impatient(false);
	return true;
}

long
cycle_time_to_wait(Instant now)
{
	Instant		when = Min(next_sweep, Min(Min(retention_due_at(), expiry_due_at()),
									 Min(Min(Min(fold_due_at(), owed_due_at()), Min(floors_due_at(), trusted_due_at())),
										 watch_due_at())));
	Instant		due;

	/* whatever waited for a lock meanwhile has reset the latch */
	if (worker_slot_woken())
		return 0;
	if (recovering)
		when = pause_until;
	else
	{
		if (schedule_wants_read(now) || deliver_claim(now))
			return 0;
		due = schedule_wake_at();
		if (due != 0)
			when = Min(when, due);
		due = claim_next_at(now);
		if (due != 0)
			when = Min(when, due);
		due = claim_lacks_until(now);
		if (due != 0)
			when = Min(when, due);
		due = recording_due_at();
		if (due != 0)
			when = Min(when, due);
	}
	if (when <= now)
		return 0;
	if (when - now >= USECS_PER_SEC)
		http_wake_at(when);
	return (long) Min((when - now + 999) / 1000, PG_INT32_MAX);
}
