/*-------------------------------------------------------------------------
 *
 * worker.c
 *		The worker of a database: one loop over one wait event set.
 *
 * The set has three events: the latch (a commit, a signal), the postmaster's
 * death, and the HTTP room's descriptor (sockets and its timers).  With
 * nothing to do the worker sleeps until one of them, or until the time that
 * the scheduler names.  No transaction is open while it waits.
 *
 * Each turn: take the answers that came, start what may start (one read-only
 * transaction), record what is decided (one transaction that writes, a few
 * milliseconds or a few hundred outcomes after the first).
 *
 * An error in one of these transactions is logged, what it was about goes back
 * to where it was, and the worker tries again after a pause.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "launcher.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "access/xact.h"
#include "configure.h"
#include "deliver.h"
#include "guard.h"
#include "inject.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "queue.h"
#include "record.h"
#include "schedule.h"
#include "session.h"
#include "state.h"
#include "stats.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lock.h"
#include "storage/sinval.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/*
 * Outcomes are recorded together: so many, or after so long.  The longer time
 * is for when there are many: a crash repeats what is not recorded, but a
 * record of few costs nearly as much as one of many.
 */
#define RECORD_GROUP		1000
#define RECORD_MANY			32
#define RECORD_DELAY_US		(3 * 1000)
#define RECORD_MANY_DELAY_US	(25 * 1000)

/* Reads in one transaction, so that sending is not held up by reading. */
#define READS_A_TURN		8

/*
 * An outcome that could not be recorded is tried again after so long; so many
 * that fail one after the other mean that nothing can be recorded.
 */
#define FAILED_HOLD_US		(10 * USECS_PER_SEC)
#define MAX_FAILURES		3

/* States of destinations wait so long after somebody had one locked. */
#define SAVE_RETRY_US		(1 * USECS_PER_SEC)

/*
 * How often everything is looked at again from the start, destinations and the
 * queue.  Rows that rswebhook_send() made are never missed without it; this is
 * for what somebody edits by hand, perhaps with triggers disabled.
 */
#define SWEEP_INTERVAL_US	(10 * 60 * USECS_PER_SEC)

/*
 * How often slots are looked at that may be past the retention.  From then on
 * it takes an eighth of the retention until a slot is written again, and in
 * that it has to be emptied: it is looked at several times, however short that
 * is.  Sooner if somebody who was reading was in the way.
 */
#define EXPIRE_INTERVAL_US	(30 * 60 * USECS_PER_SEC)
#define EXPIRES_A_RETENTION	32
#define EXPIRE_RETRY_US		(60 * USECS_PER_SEC)

/* A wait that is meant to be at least so long is one of an idle worker. */
#define IDLE_MS				500

/* A worker that leaves waits so long for answers to what it has sent. */
#define FINISH_GRACE_US		(200 * 1000)
#define FINISH_GROUP		200

/* The pause after an error doubles from here to there. */
#define ERROR_PAUSE_MIN_US	(1 * USECS_PER_SEC)
#define ERROR_PAUSE_MAX_US	(60 * USECS_PER_SEC)

static uint32 wait_event = 0;
static WaitEventSet *wait_set;
static bool extension_gone = false;
static TimestampTz next_sweep;
static TimestampTz next_expire;
static int	expire_step = 0;	/* of RINGS * RING_SLOTS */
static bool expire_again = false;
static TimestampTz next_save = 0;	/* of states of destinations; 0: at once */
static TimestampTz pause_until = 0; /* after an error */
static int64 pause_us = 0;

/*
 * The default handler for background workers throws out of whatever code it
 * interrupts.
 */
static void
handle_sigterm(SIGNAL_ARGS)
{
	int			save_errno = errno;

	ShutdownRequestPending = true;
	session_hurry();
	SetLatch(MyLatch);
	errno = save_errno;
}

/* ---------------------------------------------------------------------
 * Start and end
 * ---------------------------------------------------------------------
 */

/*
 * Whatever else goes wrong, two workers must not drain one database.  The
 * third class of advisory locks cannot be taken from SQL.
 */
static bool
lock_database(void)
{
	LOCKTAG		tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, 0x72737768, 0, 3);
	return LockAcquire(&tag, ExclusiveLock, true, true) != LOCKACQUIRE_NOT_AVAIL;
}

/*
 * libcurl's memory comes and goes with each request.  This process lives long
 * enough to keep some of it, instead of giving it back to the system and
 * fetching it again page by page.  And glibc's fast bins are not: whatever is
 * in them is merged and sorted anew with each large piece that is asked for.
 */
static void
tune_malloc(void)
{
#ifdef __GLIBC__
	(void) mallopt(M_TRIM_THRESHOLD, 8 * 1024 * 1024);
	(void) mallopt(M_TOP_PAD, 1024 * 1024);
	(void) mallopt(M_MXFAST, 0);
#endif
}

static void
connect_to_database(int slot)
{
	Oid			database;
	uint32		generation;

	memcpy(&database, MyBgworkerEntry->bgw_extra, sizeof(database));
	memcpy(&generation, MyBgworkerEntry->bgw_extra + sizeof(database), sizeof(generation));
	if (!state_attach_worker(slot, generation))
		proc_exit(0);
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
	pgstat_report_appname("rswebhook worker");
	session_init();
}

/* At the start, and whenever a setting has changed. */
static void
apply_settings(void)
{
	const char *error = NULL;

	session_apply_settings();
	schedule_set_max_in_flight(rswebhook_max_in_flight,
							   rswebhook_max_in_flight_size * INT64CONST(1024));
	if (!http_init(guard_allows, rswebhook_max_in_flight, &error))
		ereport(FATAL,
				(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
				 errmsg("rswebhook could not start libcurl: %s", error)));
	next_expire = GetCurrentTimestamp();	/* the retention may be another one */
}

static void
make_wait_set(void)
{
	wait_set = create_session_wait_event_set(3);
	AddWaitEventToSet(wait_set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(wait_set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	AddWaitEventToSet(wait_set, WL_SOCKET_READABLE, http_fd(), NULL, NULL);
}

/*
 * The first transaction: is there anything for us here?  Lanes are made for
 * every destination and for whatever else the queue owes to.
 */
static bool
look_around(void)
{
	List	   *owed;
	ListCell   *lc;
	Destination **list;
	int			count;
	TimestampTz now = GetCurrentTimestamp();

	if (!session_begin("looking for work"))
		return false;
	if (!lock_database())
		ereport(FATAL,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("another rswebhook worker is active in this database")));

	destination_all(&list, &count);
	for (int i = 0; i < count; i++)
		(void) schedule_lane(list[i]->id, now);
	owed = queue_owed_destinations();
	foreach(lc, owed)
		(void) schedule_lane(lfirst_int(lc), now);
	configure_lanes(now);
	session_commit();

	next_sweep = now + SWEEP_INTERVAL_US;
	next_expire = now;
	return true;
}

/* ---------------------------------------------------------------------
 * A turn of the loop
 * ---------------------------------------------------------------------
 */

/* What commits have told; true: it concerns more than events to be read. */
static bool
take_ranges(TimestampTz now)
{
	QueuedRange ranges[STATE_MAX_RANGES];
	bool		changed;
	int			count = state_take_ranges(ranges, &changed);

	for (int i = 0; i < count; i++)
		schedule_note_range(&ranges[i], now);
	return changed;
}

/*
 * Rows that this transaction sees for the first time, and that lie behind a
 * cursor: they come before whatever is read ahead.
 */
static void
note_untold_ranges(TimestampTz now)
{
	int			count;
	const QueuedRange *ranges = state_untold_ranges(GetActiveSnapshot(), &count);

	for (int i = 0; i < count; i++)
		schedule_note_range(&ranges[i], now);
}

/*
 * Read ahead, and start what may go: one transaction that only reads.  With
 * nothing to read or send, not even that, as when somebody queues events for a
 * destination that is paused; look: there may be other news.
 */
static void
read_and_start(bool look)
{
	TimestampTz now = GetCurrentTimestamp();
	ReadRequest request;

	look |= take_ranges(now);
	if (!deliver_claim(now) && !look && !schedule_wants_read(now))
		return;

	if (!session_begin("reading the queue"))
	{
		extension_gone = true;
		return;
	}
	configure_lanes(now);
	if (schedule_wants_read(now))
		note_untold_ranges(now);
	for (int i = 0; i < READS_A_TURN && schedule_next_read(now, &request); i++)
	{
		QueueRow   *rows;
		int			count = queue_read(&request, &rows);

		CHECK_FOR_INTERRUPTS();
		schedule_rows_read(&request, rows, count, now);
		pfree(rows);
	}
	if (deliver_claim(now))
		deliver_prepare(now);
	session_commit();
	INJECT("claimed");
	if (ShutdownRequestPending)
		return;					/* what is claimed is so in memory only */
	state_flush_commits();
	deliver_start();
}

/* Errors that are about nothing in particular: no lock, no time, no room. */
static bool
concerns_all(int sqlerrcode)
{
	switch (ERRCODE_TO_CATEGORY(sqlerrcode))
	{
		case ERRCODE_INVALID_TRANSACTION_STATE:
		case ERRCODE_INSUFFICIENT_RESOURCES:
		case ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE:
		case ERRCODE_OPERATOR_INTERVENTION:
		case ERRCODE_SYSTEM_ERROR:
		case ERRCODE_INTERNAL_ERROR:
			return true;
		default:
			return false;
	}
}

/* Do it; the error that ended it, or NULL. */
static ErrorData *
try_to(void (*work) (int limit), int limit)
{
	MemoryContext context = CurrentMemoryContext;
	ErrorData  *volatile error = NULL;

	PG_TRY();
	{
		work(limit);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		HOLD_INTERRUPTS();
		error = CopyErrorData();
		FlushErrorState();
		session_abort();
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	return error;
}

/* Write it to the log, and go on. */
static void
report(ErrorData *error)
{
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		ReThrowError(error);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		EmitErrorReport();
		FlushErrorState();
	}
	PG_END_TRY();
}

/* When outcomes have to be recorded; 0: there are none. */
static TimestampTz
record_due_at(bool hurry)
{
	TimestampTz since;
	int			count = record_waiting(&since);
	TimestampTz held = record_held_until();
	TimestampTz due;

	if (count == 0)
		return held;
	if (hurry || count >= RECORD_GROUP)
		return PG_INT64_MIN;
	due = since + (count < RECORD_MANY ? RECORD_DELAY_US : RECORD_MANY_DELAY_US);
	return held != 0 ? Min(due, held) : due;
}

/* Record so many outcomes at the most, in one transaction. */
static void
record_some(int limit)
{
	if (!session_begin("recording outcomes"))
	{
		extension_gone = true;
		return;
	}
	record_outcomes(limit, GetCurrentTimestamp());
	session_commit();
	INJECT("recorded");
	record_committed(GetCurrentTimestamp());
}

/*
 * One of them cannot be recorded, perhaps because of what somebody's trigger
 * thinks of it: that one is held, and the others are recorded.  If several in
 * a row fail, so would all.
 */
static void
record_one_by_one(void)
{
	int			failures = 0;
	bool		reported = false;
	TimestampTz due;

	while ((due = record_due_at(true)) != 0 && due <= GetCurrentTimestamp() &&
		   !extension_gone)
	{
		ErrorData  *error = try_to(record_some, 1);

		CHECK_FOR_INTERRUPTS();
		if (error == NULL)
		{
			failures = 0;
			continue;
		}
		record_failed(GetCurrentTimestamp() + FAILED_HOLD_US);
		if (++failures == MAX_FAILURES || concerns_all(error->sqlerrcode))
			ReThrowError(error);
		if (!reported)
			report(error);
		reported = true;
		FreeErrorData(error);
	}
}

static void
record(void)
{
	ErrorData  *error;

	INJECT("answered");
	error = try_to(record_some, RECORD_GROUP);
	if (error == NULL)
		return;
	if (concerns_all(error->sqlerrcode))
		ReThrowError(error);
	FreeErrorData(error);		/* it comes again, from the one to blame */
	record_failed(0);
	record_one_by_one();
}

static void
save_states(int unused)
{
	if (!session_begin("recording the states of destinations"))
	{
		extension_gone = true;
		return;
	}
	session_wait_little();
	record_states();
	session_commit();
	record_states_committed();
}

/* Whoever edits a destination may take his time to commit. */
static void
save_states_now(void)
{
	ErrorData  *error = try_to(save_states, 0);

	next_save = 0;
	if (error == NULL)
		return;
	record_states_failed();
	next_save = GetCurrentTimestamp() + SAVE_RETRY_US;
	if (error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE)
		report(error);
	FreeErrorData(error);
}

/* When states of destinations have to be saved; 0: none have changed. */
static TimestampTz
save_due_at(void)
{
	return !record_states_changed() ? 0 : next_save != 0 ? next_save : PG_INT64_MIN;
}

static void
expire_slot_now(void)
{
	if (!session_begin("looking for rows past the retention"))
	{
		extension_gone = true;
		return;
	}
	queue_expire(expire_step / RING_SLOTS, expire_step % RING_SLOTS);
	session_commit();
}

/* All slots have been looked at: when again? */
static int64
expire_interval(void)
{
	int64		interval = Min(EXPIRE_INTERVAL_US,
							   rswebhook_retention * USECS_PER_SEC / EXPIRES_A_RETENTION);

	if (expire_again)
		interval = Min(interval, EXPIRE_RETRY_US);
	expire_again = false;
	ereport(DEBUG1,
			(errmsg_internal("rswebhook has looked for rows past the retention, again in %d s",
							 (int) (interval / USECS_PER_SEC))));
	return interval;
}

/*
 * Look at one slot of one ring a turn, each in a transaction of its own.  If
 * somebody reads there, or anything else is in the way, that must hold up
 * neither deliveries nor the other slots: this one gets its turn again later.
 */
static void
expire(void)
{
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		expire_slot_now();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		HOLD_INTERRUPTS();
		if (geterrcode() == ERRCODE_LOCK_NOT_AVAILABLE)
			expire_again = true;
		else
			EmitErrorReport();
		FlushErrorState();
		session_abort();
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();

	expire_step = (expire_step + 1) % (RINGS * RING_SLOTS);
	next_expire = GetCurrentTimestamp();
	if (expire_step == 0)
		next_expire += expire_interval();
}

static void
reread_lane(Lane *lane, void *now)
{
	schedule_reread(lane, *(TimestampTz *) now);
}

static void
turn(bool look)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz due;
	bool		recovering = pause_us != 0;

	if (now >= next_sweep)
	{
		schedule_each_lane(reread_lane, &now);
		destination_forget();
		look = true;
		next_sweep = now + SWEEP_INTERVAL_US;
	}

	/*
	 * After an error, what is decided comes first: nothing new is started
	 * before it is recorded.
	 */
	if (!recovering)
		read_and_start(look);
	due = record_due_at(recovering);
	if (!extension_gone && due != 0 && due <= now)
		record();
	due = save_due_at();
	if (!extension_gone && due != 0 && due <= now)
		save_states_now();
	if (!extension_gone && recovering)
		read_and_start(true);
	if (!extension_gone && now >= next_expire)
		expire();
}

/* After an error: put everything back, and wait before the next try. */
static void
recover(MemoryContext context)
{
	TimestampTz now = GetCurrentTimestamp();

	MemoryContextSwitchTo(context);
	HOLD_INTERRUPTS();
	EmitErrorReport();
	FlushErrorState();
	session_abort();
	deliver_reset(now);
	record_failed(0);
	record_states_failed();
	schedule_settle_all(now);
	RESUME_INTERRUPTS();

	pause_us = pause_us == 0 ? ERROR_PAUSE_MIN_US :
		Min(pause_us * 2, ERROR_PAUSE_MAX_US);
	pause_until = now + pause_us;
}

static void
guarded_turn(bool look)
{
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		turn(look);
		pause_us = 0;
	}
	PG_CATCH();
	{
		recover(context);
	}
	PG_END_TRY();
}

/* Milliseconds until something is due, -1: nothing ever is. */
static long
time_to_wait(TimestampTz now)
{
	TimestampTz when = Min(next_sweep, next_expire);
	TimestampTz due;

	/* whatever waited for a lock meanwhile has reset the latch */
	if (state_woken())
		return 0;
	if (pause_us != 0)
		when = pause_until;
	else
	{
		if (schedule_wants_read(now) || deliver_claim(now))
			return 0;
		due = schedule_wake_at();
		if (due != 0)
			when = Min(when, due);
		due = record_due_at(false);
		if (due != 0)
			when = Min(when, due);
		due = save_due_at();
		if (due != 0)
			when = Min(when, due);
	}
	if (when <= now)
		return 0;
	return (long) Min((when - now + 999) / 1000, PG_INT32_MAX);
}

/*
 * Most answers are milliseconds away, and each that is not awaited means that
 * a request is repeated.
 */
static void
await_answers(void)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz end = now + FINISH_GRACE_US;
	WaitEvent	events[3];

	for (;;)
	{
		http_run();
		deliver_answers();
		if (http_in_flight() == 0 || now >= end)
			break;
		ResetLatch(MyLatch);
		(void) WaitEventSetWait(wait_set, (long) ((end - now + 999) / 1000), events,
								lengthof(events),
								custom_wait_event(wait_event, "RswebhookWorkerMain"));
		now = GetCurrentTimestamp();
	}
}

/*
 * Record what is known and what was in flight; the next worker goes on.  In
 * pieces, since a transaction of a worker that is to leave has little time.
 */
static void
finish(void)
{
	MemoryContext context = CurrentMemoryContext;
	TimestampTz since;
	volatile int failures = 0;

	PG_TRY();
	{
		await_answers();
		deliver_give_up_in_flight(GetCurrentTimestamp());
		while (record_waiting(&since) > 0 && !extension_gone && failures < MAX_FAILURES)
		{
			ErrorData  *error = try_to(record_some, FINISH_GROUP);

			if (error == NULL)
				continue;
			record_failed(PG_INT64_MAX);
			report(error);
			failures++;
		}
		if (record_states_changed() && !extension_gone)
			save_states_now();
	}
	PG_CATCH();
	{
		recover(context);
	}
	PG_END_TRY();
}

/*
 * Let the HTTP room go on, if it has anything to do: requests, or something
 * that its descriptor tells of.  How many answers came?
 */
static int
run_http(bool told)
{
	if (!told && http_in_flight() == 0)
		return 0;
	http_run();
	return deliver_answers();
}

/*
 * Each turn costs a transaction, so as long as most requests are still on
 * their way, what comes meanwhile is taken along.
 */
static void
gather_answers(bool told)
{
	int			count = run_http(told);
	int			more;

	while (count > 0 && count < http_in_flight() && (more = run_http(false)) > 0)
		count += more;
}

static void
run(void)
{
	bool		reloaded = true;
	bool		told = false;
	WaitEvent	events[3];

	for (;;)
	{
		long		timeout;
		int			count;

		/* pg_cancel_backend() is about a transaction, and none is open here */
		QueryCancelPending = false;
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
			apply_settings();
			reloaded = true;
		}
		if (catchupInterruptPending)
			ProcessCatchupInterrupt();

		gather_answers(told);
		if (pause_us == 0 || GetCurrentTimestamp() >= pause_until)
		{
			guarded_turn(reloaded);
			reloaded = false;
		}
		else
			(void) take_ranges(GetCurrentTimestamp());
		stats_publish();
		if (extension_gone || ShutdownRequestPending || state_told_to_stop())
			return;

		/* what was started goes out now; what has been answered is not waited for */
		timeout = run_http(false) > 0 ? 0 : time_to_wait(GetCurrentTimestamp());
		if (timeout < 0 || timeout >= IDLE_MS)
			session_report_statistics();
		count = WaitEventSetWait(wait_set, timeout, events, lengthof(events),
								 custom_wait_event(wait_event, "RswebhookWorkerMain"));
		told = false;
		for (int i = 0; i < count; i++)
		{
			if (events[i].events & WL_LATCH_SET)
				ResetLatch(MyLatch);
			else
				told = true;
		}
	}
}

void
rswebhook_worker_main(Datum arg)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, handle_sigterm);
	BackgroundWorkerUnblockSignals();
	tune_malloc();
	connect_to_database(DatumGetInt32(arg));

	schedule_init();
	stats_init();
	configure_init();
	deliver_init();
	record_init();

	if (look_around())
	{
		state_confirm_worker();
		apply_settings();
		make_wait_set();
		run();
		if (!extension_gone)
			finish();
	}
	else
		extension_gone = true;

	if (extension_gone && !session_extension_replaced())
		state_mark_unwanted();
	proc_exit(0);
}
