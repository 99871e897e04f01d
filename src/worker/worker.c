/*-------------------------------------------------------------------------
 *
 * worker.c
 *		A worker of a database: one loop over one wait event set.
 *
 * The set has three events: the latch (a commit, a signal), the postmaster's
 * death, and the descriptor of http/ (its sockets and timers).  With
 * nothing to do the worker sleeps until one of them, or until the time that
 * the scheduler names.  No transaction is open while it waits.
 *
 * Each time round it takes the answers that came, and does a cycle (cycle.c).
 *
 * With rswebhook.workers above 1, each worker does so for its own destinations, or
 * for a part of their users (share.h); only retention is the first one's affair alone.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/resource.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lock.h"
#include "storage/sinval.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/compat.h"
#include "destination/values.h"
#include "http/guard.h"
#include "http/http.h"
#include "schedule/schedule.h"
#include "shmem/slots.h"
#include "shmem/worker_slot.h"
#include "tables/queue.h"
#include "tables/tables.h"
#include "worker/activity.h"
#include "worker/alerts.h"
#include "worker/attempt.h"
#include "worker/claim.h"
#include "worker/cycle.h"
#include "worker/deliver.h"
#include "worker/expiry.h"
#include "worker/floors.h"
#include "worker/lack.h"
#include "worker/lanes.h"
#include "worker/launcher.h"
#include "worker/owed.h"
#include "worker/record.h"
#include "worker/recording.h"
#include "worker/retention.h"
#include "worker/session.h"
#include "worker/stats.h"
#include "worker/suspect.h"
#include "worker/trusted.h"
#include "worker/watch.h"
#include "worker/worker.h"

int			rswebhook_max_in_flight = 1000;
int			rswebhook_max_in_flight_size = 64 * 1024;
int			rswebhook_connection_lifetime = 10 * 60 * 1000;

/* A wait that is meant to be at least so long is one of an idle worker. */
#define IDLE_MS				500

/*
 * Files that PostgreSQL keeps open at once in a worker, where it would leave
 * too few descriptors to requests otherwise.  It opens again what it closes
 * for that.
 */
#define FILES_OF_WORKER		128

/*
 * Beside each request to a destination that answers, there may be five to others,
 * which may hang; of these no more than so many, or than of the former.
 */
#define OTHERS_EACH			5
#define MANY_OTHERS			1280

/* A worker that leaves waits so long for answers to what it has sent. */
#define FINISH_GRACE_US		(200 * 1000)

static uint32 wait_event = 0;
static WaitEventSet *wait_set;
static char database_name[NAMEDATALEN];

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

	/* somebody may have the database locked, for as long as he likes */
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(args.database, InvalidOid, 0);
	pqsignal(SIGTERM, handle_sigterm);
	CHECK_FOR_INTERRUPTS();
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
	char		problem[100];

	snprintf(problem, sizeof(problem), "rswebhook.max_in_flight is %d, but there is room for %d requests at once",
			 asked, room);
	watch_note_room(room == asked ? NULL : problem);
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

/*
 * How many requests may be in flight, those to destinations that hang included: as
 * many as can have a descriptor.
 */
static int
places_in_flight(void)
{
	int			asked = rswebhook_max_in_flight +
		Min(rswebhook_max_in_flight * OTHERS_EACH, Max(MANY_OTHERS, rswebhook_max_in_flight));
	int			room = http_room(asked, max_safe_fds);

	if (room < asked && max_safe_fds > FILES_OF_WORKER)
	{
		max_safe_fds = FILES_OF_WORKER; /* of this process */
		room = http_room(asked, max_safe_fds);
	}
	return Max(1, Min(room, asked));
}

/* At the start, and whenever a setting has changed. */
static void
apply_settings(void)
{
	const char *error = NULL;
	int			places = places_in_flight();
	int			max_in_flight = Min(rswebhook_max_in_flight, places);

	say_room(rswebhook_max_in_flight, max_in_flight);
	session_apply_settings();
	worker_slot_show_max_in_flight(max_in_flight);
	schedule_set_max_in_flight(max_in_flight, places,
							   rswebhook_max_in_flight_size * INT64CONST(1024));
	if (!http_init(guard_allows, places, rswebhook_connection_lifetime, &error))
		ereport(FATAL,
				(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
				 errmsg("rswebhook could not start libcurl: %s", error)));
	retention_reload();
	expiry_reload();
	schedule_look_again(clock_now());
}

static void
make_wait_set(void)
{
	wait_set = create_session_wait_event_set(3);
	AddWaitEventToSet(wait_set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(wait_set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	AddWaitEventToSet(wait_set, WL_SOCKET_READABLE, http_fd(), NULL, NULL);
}

/* The first transactions: is there anything for us here, and what? */
static bool
look_around(void)
{
	bool		joined;
	Instant		now = clock_now();

	(void) clock_look();
	if (!session_begin("looking for work"))
		return false;
	if (!lock_share())
		ereport(FATAL,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("another rswebhook worker has the same share of this database's queue")));
	strlcpy(database_name, get_database_name(MyDatabaseId), sizeof(database_name));
	joined = lanes_join();
	session_commit();
	if (!joined)
		return false;
	floors_load();
	trusted_load();
	if (!session_begin("looking for work"))
		return false;

	lanes_make(now);
	joined = lanes_configure(now);
	session_commit();

	cycle_init(now);
	watch_begin();
	return joined;
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
		if (http_in_flight() == 0 || http_is_broken() || now >= end)
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
		trusted_finish();
		review_suspects();
	}
	PG_CATCH();
	{
		cycle_recover(context);
	}
	PG_END_TRY();
}

/* ---------------------------------------------------------------------
 * The loop
 * ---------------------------------------------------------------------
 */

/*
 * Let libcurl go on, if it has anything to do: requests, or something
 * that http_fd() tells of.  How many answers came?
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

static bool
is_to_leave(void)
{
	return session_extension_gone() || ShutdownRequestPending || worker_slot_told_to_stop() ||
		http_is_broken();
}

/* All that is to be done now.  How long to wait then, in ms? */
static long
work(bool told, bool *reloaded)
{
	long		timeout;

	/* pg_cancel_backend() is about a transaction, and none is open here */
	QueryCancelPending = false;
	CHECK_FOR_INTERRUPTS();
	if (clock_look())
		schedule_settle_all(clock_now());
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		*reloaded = true;
		ProcessConfigFile(PGC_SIGHUP);
		apply_settings();
	}
	if (catchupInterruptPending)
		ProcessCatchupInterrupt();

	gather_answers(told);
	if (cycle_run(*reloaded))
		*reloaded = false;
	stats_publish();
	if (schedule_lacking() == 0 && claim_lacks_until(clock_now()) == 0)
		lack_over();
	if (is_to_leave())
		return 0;

	/* what was started goes out now; what has been answered is not waited for */
	timeout = run_http(false) > 0 ? 0 : cycle_time_to_wait(clock_now());
	if (timeout < 0 || timeout >= IDLE_MS)
		session_report_statistics();
	return timeout;
}

/* There may be no memory for what is done outside of a cycle, either. */
static long
work_or_recover(bool told, bool *reloaded)
{
	MemoryContext context = CurrentMemoryContext;
	volatile long timeout = 0;

	PG_TRY();
	{
		timeout = work(told, reloaded);
	}
	PG_CATCH();
	{
		cycle_recover(context);
		timeout = cycle_time_to_wait(clock_now());
	}
	PG_END_TRY();
	return timeout;
}

static void
run(void)
{
	bool		reloaded = true;
	bool		told = false;
	WaitEvent	events[3];

	for (;;)
	{
		long		timeout = work_or_recover(told, &reloaded);
		int			count;

		if (is_to_leave())
			return;
		activity_answer();
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

static void
say_broken(void)
{
	ereport(LOG,
			(errcode(ERRCODE_OUT_OF_MEMORY),
			 errmsg("the rswebhook worker ends, since libcurl ran out of memory, and with it of what was put by"),
			 errdetail("What had been sent is sent again, since its answer was not heard; another worker goes on."),
			 errhint("Look at the limits of the server's processes, and at the machine's memory.")));
}

/* Which of how many, where there are several. */
static const char *
which_worker(void)
{
	return rswebhook_workers == 1 ? "" : psprintf(" %d of %d", slots_my_share() + 1, rswebhook_workers);
}

/* A copy's has nothing to do, and may come and go for others' sake: of that lanes.c tells. */
static bool
say_begin(void)
{
	if (lanes_elsewhere())
		return false;
	ereport(LOG,
			(errmsg("rswebhook worker%s for database \"%s\" has started", which_worker(), database_name)));
	return true;
}

static void
say_end(void)
{
	ereport(LOG,
			(errmsg("rswebhook worker%s for database \"%s\" ends", which_worker(), database_name),
			 session_extension_gone() ? errdetail("The extension was dropped there.") : 0));
}

void
rswebhook_worker_main(Datum arg)
{
	bool		said;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	tune_malloc();
	connect_to_database();

	schedule_init();
	stats_init();
	owed_init();
	deliver_init();
	record_init();
	alerts_init();

	if (look_around())
	{
		worker_slot_confirm();
		apply_settings();
		make_wait_set();
		said = say_begin();
		run();
		if (!session_extension_gone())
			finish();
		if (said)
			say_end();
	}

	if (session_extension_gone())
		suspect_review(NULL);
	if (session_extension_gone() && !session_extension_replaced())
		worker_slot_mark_unwanted();
	if (http_is_broken())
		say_broken();
	proc_exit(http_is_broken() ? 1 : 0);
}
