/*-------------------------------------------------------------------------
 *
 * worker.c
 *		A worker of a database: one loop over one wait event set.
 *
 * The set has three events: the latch (a commit, a signal), the postmaster's
 * death, and the HTTP room's descriptor (sockets and its timers).  With
 * nothing to do the worker sleeps until one of them, or until the time that
 * the scheduler names.  No transaction is open while it waits.
 *
 * Each cycle: take the answers that came, start what may start (one read-only
 * transaction), record what is decided (one transaction that writes, a few
 * milliseconds or a few hundred outcomes after the first).
 *
 * With rswebhook.workers above 1, each worker does all that for its own share
 * of the queue (share.h); only retention is the first one's affair alone.
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

#include "destination/cache.h"
#include "destination/values.h"
#include "http/http.h"
#include "shmem/slots.h"
#include "shmem/turns.h"
#include "shmem/wake.h"
#include "shmem/worker_slot.h"
#include "tables/tables.h"
#include "worker/launcher.h"
#include "worker/recording.h"
#include "worker/repeated.h"
#include "worker/worker.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include <sys/resource.h>

#include "access/xact.h"
#include "worker/retention.h"
#include "base/clock.h"
#include "worker/lanes.h"
#include "worker/attempt.h"
#include "worker/claim.h"
#include "worker/deliver.h"
#include "http/guard.h"
#include "base/inject.h"
#include "worker/lack.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "tables/queue.h"
#include "worker/record.h"
#include "schedule/schedule.h"
#include "worker/session.h"
#include "worker/stats.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lock.h"
#include "storage/sinval.h"
#include "worker/suspect.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

int			rswebhook_max_in_flight = 256;
int			rswebhook_max_in_flight_size = 64 * 1024;
int			rswebhook_connection_lifetime = 10 * 60 * 1000;

/* Reads in one transaction, so that sending is not held up by reading. */
#define READS_A_TURN		8

/*
 * How often everything is looked at again from the start, destinations and the
 * queue.  Rows that rswebhook_send() made are never missed without it; this is
 * for what somebody edits by hand, perhaps with triggers disabled.
 */
#define SWEEP_INTERVAL_US	(10 * 60 * USECS_PER_SEC)

/* A wait that is meant to be at least so long is one of an idle worker. */
#define IDLE_MS				500

/*
 * Files that PostgreSQL keeps open at once in a worker, where it would leave
 * too few descriptors to requests otherwise.  It opens again what it closes
 * for that.
 */
#define FILES_OF_WORKER		128

/* A worker that leaves waits so long for answers to what it has sent. */
#define FINISH_GRACE_US		(200 * 1000)

/*
 * The pause after an error doubles from here to there, but after one that passes
 * by itself it is always the same, and such errors are not all logged.
 */
#define ERROR_PAUSE_MIN_US	(1 * USECS_PER_SEC)
#define ERROR_PAUSE_MAX_US	(60 * USECS_PER_SEC)
#define LOCK_PAUSE_US		(200 * 1000)
#define SAY_AGAIN_US		(60 * USECS_PER_SEC)
#define PATIENT_EACH		10

/* So many lanes that cannot be read, one after the other, and it is not them. */
#define MAX_UNREADABLE		3

static const Turns turns = {turns_take, turns_leave, turns_withdraw};

static uint32 wait_event = 0;
static WaitEventSet *wait_set;
static Instant next_sweep;
static bool recovering = false; /* the last cycle has ended with an error */
static Instant pause_until = 0; /* after that */
static int64 pause_us = 0;		/* after the last that did not just pass */
static int	unsaid = 0;			/* errors that were not logged */
static Lane *reading = NULL;	/* whose rows are being read */
static int	nunreadable = 0;	/* lanes in a row that could not be read */

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
 * Whatever else goes wrong, two workers must not drain one share of a database.
 * The third class of advisory locks cannot be taken from SQL.
 */
static bool
lock_share(void)
{
	LOCKTAG		tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, 0x72737768, slots_my_share(), 3);
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

/* As pg_stat_activity shows it. */
static void
report_name(void)
{
	char		name[NAMEDATALEN] = "rswebhook worker";

	if (rswebhook_workers > 1)
		snprintf(name, sizeof(name), "rswebhook worker %d of %d",
				 slots_my_share() + 1, rswebhook_workers);
	pgstat_report_appname(name);
}

static void
connect_to_database(void)
{
	WorkerArgs	args;

	memcpy(&args, MyBgworkerEntry->bgw_extra, sizeof(args));
	if (!worker_slot_attach(args.slot, args.generation))
		proc_exit(0);
	suspect_init(args.database, slots_my_share());
	BackgroundWorkerInitializeConnectionByOid(args.database, InvalidOid, 0);
	report_name();
	session_init();
}

/*
 * A setting asks for more than there is room for: say so once.  All workers of
 * a database have the same limits, so the first one speaks for them.
 */
static void
say_room(int asked, int room)
{
	static int	said_asked = 0;
	static int	said_room = 0;
	struct rlimit limit = {0};

	if (room == asked || slots_my_share() != 0 ||
		(asked == said_asked && room == said_room))
		return;
	said_asked = asked;
	said_room = room;
	(void) getrlimit(RLIMIT_NOFILE, &limit);
	ereport(LOG,
			(errmsg("rswebhook.max_in_flight is %d, but there is room for %d requests at once",
					asked, room),
			 errdetail("A worker may have %lld files open, and PostgreSQL needs some of these for itself.",
					   (long long) limit.rlim_cur),
			 errhint("Raise the limit of open files for the server (LimitNOFILE= of its systemd unit, \"ulimit -Hn\"), or lower rswebhook.max_in_flight.")));
}

/* How many requests may be in flight: as many as can have a descriptor. */
static int
max_in_flight(void)
{
	int			asked = rswebhook_max_in_flight;
	int			room = http_room(asked, max_safe_fds);

	if (room < asked && max_safe_fds > FILES_OF_WORKER)
	{
		max_safe_fds = FILES_OF_WORKER; /* of this process */
		room = http_room(asked, max_safe_fds);
	}
	room = Max(1, Min(room, asked));
	say_room(asked, room);
	return room;
}

/* At the start, and whenever a setting has changed. */
static void
apply_settings(void)
{
	const char *error = NULL;
	int			room = max_in_flight();

	session_apply_settings();
	worker_slot_show_max_in_flight(room);
	schedule_set_max_in_flight(room, rswebhook_max_in_flight_size * INT64CONST(1024));
	if (!http_init(guard_allows, room, rswebhook_connection_lifetime, &error))
		ereport(FATAL,
				(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
				 errmsg("rswebhook could not start libcurl: %s", error)));
	retention_reload();
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
	Instant		now = clock_now();

	(void) clock_look();
	if (!session_begin("looking for work"))
		return false;
	if (!lock_share())
		ereport(FATAL,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("another rswebhook worker has the same share of this database's queue")));

	destination_all(&list, &count);
	for (int i = 0; i < count; i++)
		(void) schedule_lane(list[i]->id, now);
	owed = queue_owed_destinations();
	foreach(lc, owed)
		(void) schedule_lane(lfirst_int(lc), now);
	lanes_configure(now);
	session_commit();

	next_sweep = now + SWEEP_INTERVAL_US;
	return true;
}

/* ---------------------------------------------------------------------
 * A cycle of the loop
 * ---------------------------------------------------------------------
 */

/* What commits have told; true: it concerns more than events to be read. */
static bool
take_ranges(Instant now)
{
	QueuedRange ranges[SLOT_MAX_RANGES];
	News		news;
	int			count = worker_slot_take_ranges(ranges, &news);

	for (int i = 0; i < count; i++)
		schedule_note_range(&ranges[i], now);
	if (news.turns)
		schedule_turns_left(now);
	if (news.breakers)
		lanes_breakers_changed();
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

	for (int i = 0; i < count; i++)
		schedule_note_range(&ranges[i], now);
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
	for (int i = 0; i < READS_A_TURN && schedule_next_read(now, &request); i++)
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
 * destination that is paused; look: there may be other news.
 */
static void
read_and_start(bool look)
{
	Instant now = clock_now();

	/* news may change what can be claimed */
	look |= take_ranges(now);
	if (!look && !deliver_claim(now) && !schedule_wants_read(now))
		return;

	if (!session_begin("reading the queue"))
		return;
	INJECT("reading");
	lanes_configure(now);
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
		look = true;
		next_sweep = now + SWEEP_INTERVAL_US;
	}

	/*
	 * After an error, what is decided comes first: nothing new is started
	 * before it is recorded.
	 */
	if (!recovering)
		read_and_start(look);
	recording_run(now, recovering);
	if (recovering && !session_extension_gone())
		read_and_start(true);
	next_sweep = Min(next_sweep, destination_again_at());
	retention_run(now);
}

/* Those that pass are said when they begin, and now and then while that goes on. */
static void
say_error(int sqlerrcode, bool passes, Instant now)
{
	static Instant said_at = 0;
	static Repeated others;

	if (!passes)
	{
		if (repeated_say(&others, sqlerrcode, now))
			EmitErrorReport();
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
	switch (ERRCODE_TO_CATEGORY(sqlerrcode))
	{
		case ERRCODE_INSUFFICIENT_RESOURCES:
			return false;
		case ERRCODE_OPERATOR_INTERVENTION:
			return session_overran();
		default:
			return true;
	}
}

/* After an error: put everything back, and wait before the next try. */
static void
recover(MemoryContext context)
{
	Instant now = clock_now();
	int			sqlerrcode = geterrcode();
	bool		passes;

	MemoryContextSwitchTo(context);
	HOLD_INTERRUPTS();
	session_abort();
	passes = session_error_passes(sqlerrcode);
	say_error(sqlerrcode, passes, now);
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
}

static void
guarded_cycle(bool look)
{
	MemoryContext context = CurrentMemoryContext;

	/* now and then it waits for a lock as usual, which others may want, too */
	session_set_impatient(recovering && unsaid % PATIENT_EACH != 0);
	PG_TRY();
	{
		cycle(look);
		recovered();
	}
	PG_CATCH();
	{
		recover(context);
	}
	PG_END_TRY();
	session_set_impatient(false);
}

/* Milliseconds until something is due, -1: nothing ever is. */
static long
time_to_wait(Instant now)
{
	Instant		when = Min(next_sweep, retention_due_at());
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

/*
 * Most answers are milliseconds away, and each that is not awaited means that
 * a request is repeated.
 */
static void
await_answers(void)
{
	Instant		now = clock_now();
	Instant		end = now + FINISH_GRACE_US;
	WaitEvent	events[3];

	for (;;)
	{
		http_run();
		attempt_answers();
		if (http_in_flight() == 0 || now >= end)
			break;
		ResetLatch(MyLatch);
		(void) WaitEventSetWait(wait_set, (long) ((end - now + 999) / 1000), events,
								lengthof(events),
								custom_wait_event(wait_event, "RswebhookWorkerMain"));
		now = clock_now();
	}
}

/* For the next worker, which need not be wary of what is owed no more. */
static void
review_suspects(void)
{
	if (!suspect_wary() || session_extension_gone() ||
		!session_begin("looking for what is owed still"))
		return;
	tables_lock_and_look("queue");
	suspect_review(queue_owes);
	session_commit();
}

/* Record what is known and what was in flight; the next worker goes on. */
static void
finish(void)
{
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		await_answers();
		attempt_give_up_all(clock_now());
		recording_finish();
		review_suspects();
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
	return attempt_answers();
}

/*
 * Each cycle costs a transaction, so as long as most requests are still on
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
		if (clock_look())
			schedule_settle_all(clock_now());
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
		if (!recovering || clock_now() >= pause_until)
		{
			guarded_cycle(reloaded);
			reloaded = false;
		}
		else
			(void) take_ranges(clock_now());
		stats_publish();
		if (schedule_lacking() == 0 && claim_lacks_until(clock_now()) == 0)
			lack_over();
		if (session_extension_gone() || ShutdownRequestPending || worker_slot_told_to_stop())
			return;

		/* what was started goes out now; what has been answered is not waited for */
		timeout = run_http(false) > 0 ? 0 : time_to_wait(clock_now());
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
	connect_to_database();

	schedule_init(slots_my_share(), rswebhook_workers, &turns);
	stats_init();
	lanes_init();
	deliver_init();
	record_init();

	if (look_around())
	{
		worker_slot_confirm();
		apply_settings();
		make_wait_set();
		run();
		if (!session_extension_gone())
			finish();
	}

	if (session_extension_gone())
		suspect_review(NULL);
	if (session_extension_gone() && !session_extension_replaced())
		worker_slot_mark_unwanted();
	proc_exit(0);
}
