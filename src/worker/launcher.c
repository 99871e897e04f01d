/*-------------------------------------------------------------------------
 *
 * launcher.c
 *		The launcher: keeps workers in each database that has the extension.
 *
 * It is a static background worker with no database.  It starts workers as
 * dynamic ones that are never restarted by the postmaster, so that a dropped
 * database leaves no restart loop and the back-off after a crash is ours.
 * A worker that finds no extension in its database leaves, and nothing looks
 * there again until CREATE EXTENSION or a send says that it should.
 *
 * Template databases get no worker, as that would be in the way of every CREATE
 * DATABASE.  A worker that is there when its database becomes a template stays
 * until it ends for some other reason; commands that need the template alone
 * send it away for a while, as from any database.  Once a database is a template
 * no more, ALTER DATABASE has it looked at.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lock.h"
#include "tcop/tcopprot.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "base/inject.h"
#include "shmem/prepared.h"
#include "shmem/slots.h"
#include "shmem/start.h"
#include "worker/ddl.h"
#include "worker/forsaken.h"
#include "worker/launcher.h"
#include "worker/repeated.h"
#include "worker/suspect.h"

/* A worker that this launcher started and has not seen end. */
typedef struct Child
{
	int			slot;
	Oid			database;
	uint32		generation;
	BackgroundWorkerHandle *handle;
} Child;

/*
 * While so many workers have still to find out whether they have anything to
 * do, no more databases are looked at: worker slots are others' as well.
 */
#define MAX_LOOKING		2

static uint32 wait_event = 0;
static List *children = NIL;	/* of Child */
static List *unseen = NIL;		/* databases to look at, by oid */
static List *seen = NIL;		/* those that need no other look */
static int	ndenied = 0;		/* workers in a row; the first may be for a process that
								 * has just ended, of which the postmaster has not heard */
static bool said_no_worker = false; /* once is enough, until one starts */
static Repeated no_worker;		/* where copies make way for each other, one soon does */
static bool said_no_slot = false;

void
launcher_register(void)
{
	BackgroundWorker worker = {0};

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = 5;
	snprintf(worker.bgw_library_name, MAXPGPATH, "rswebhook");
	snprintf(worker.bgw_function_name, BGW_MAXLEN, "rswebhook_launcher_main");
	snprintf(worker.bgw_name, BGW_MAXLEN, "rswebhook launcher");
	snprintf(worker.bgw_type, BGW_MAXLEN, "rswebhook launcher");
	RegisterBackgroundWorker(&worker);

	ddl_install_hooks();
}

/* It is looked at, or has been. */
static void
note_seen(Oid database)
{
	unseen = list_delete_oid(unseen, database);
	seen = list_append_unique_oid(seen, database);
}

/*
 * Every database that a worker could connect to, for a first look.  What is a
 * template or closed is looked at when it is that no more.
 */
static void
list_databases(void)
{
	Relation	rel;
	TableScanDesc scan;
	HeapTuple	tuple;
	List	   *all = NIL;
	List	   *still_seen = NIL;
	MemoryContext outer = CurrentMemoryContext;

	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database database = (Form_pg_database) GETSTRUCT(tuple);
		MemoryContext old;

		all = lappend_oid(all, database->oid);
		if (!database->datallowconn || database->datistemplate)
			continue;
		old = MemoryContextSwitchTo(outer);
		if (list_member_oid(seen, database->oid))
			still_seen = lappend_oid(still_seen, database->oid);
		else
			unseen = list_append_unique_oid(unseen, database->oid);
		MemoryContextSwitchTo(old);
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	list_free(seen);
	seen = still_seen;
	suspect_clean_up(all);
	CommitTransactionCommand();
}

typedef enum Reachable
{
	GONE,						/* or a template, which a worker would be in the
								 * way of */
	CLOSED,						/* to connections, for now */
	LOCKED,						/* by a command that needs it alone, and will end */
	OPEN
} Reachable;

/*
 * Would a connection wait?  Who renames a database and does not end has it locked for
 * long, and few workers at a time look at databases.
 */
static bool
is_locked(Oid database)
{
	LOCKTAG		tag;

	SET_LOCKTAG_OBJECT(tag, InvalidOid, DatabaseRelationId, database, 0);
	if (LockAcquire(&tag, RowExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
		return true;
	LockRelease(&tag, RowExclusiveLock, false);
	return false;
}

/*
 * What would come of a connection.  A worker that fails to get one would say
 * so in the log, again and again.
 */
static Reachable
look_up_database(Oid database)
{
	Relation	rel;
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple	tuple;
	Reachable	result = GONE;

	StartTransactionCommand();
	rel = table_open(DatabaseRelationId, AccessShareLock);
	ScanKeyInit(&key, Anum_pg_database_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(database));
	scan = systable_beginscan(rel, DatabaseOidIndexId, criticalSharedRelcachesBuilt,
							  NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		Form_pg_database form = (Form_pg_database) GETSTRUCT(tuple);

		/* below -1: a DROP DATABASE was interrupted */
		if (!form->datistemplate)
			result = !form->datallowconn || form->datconnlimit < -1 ? CLOSED : is_locked(database) ? LOCKED : OPEN;
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	CommitTransactionCommand();
	return result;
}

static bool
register_worker(const WorkerArgs *args, const char *name, BackgroundWorkerHandle **handle)
{
	BackgroundWorker worker = {0};

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	snprintf(worker.bgw_library_name, MAXPGPATH, "rswebhook");
	snprintf(worker.bgw_function_name, BGW_MAXLEN, "rswebhook_worker_main");
	snprintf(worker.bgw_name, BGW_MAXLEN, "%s", name);
	snprintf(worker.bgw_type, BGW_MAXLEN, "rswebhook worker");
	worker.bgw_notify_pid = MyProcPid;
	StaticAssertStmt(sizeof(WorkerArgs) <= BGW_EXTRALEN, "a worker is handed too much");
	memcpy(worker.bgw_extra, args, sizeof(*args));
	return RegisterDynamicBackgroundWorker(&worker, handle);
}

static bool
start_worker(int slot, Oid database, uint32 generation)
{
	const WorkerArgs args = {database, slot, generation};
	Child	   *child = palloc0(sizeof(Child));
	char		name[BGW_MAXLEN];

	if (rswebhook_workers == 1)
		snprintf(name, sizeof(name), "rswebhook worker for database %u", database);
	else
		snprintf(name, sizeof(name), "rswebhook worker for database %u, %d of %d",
				 database, slot % rswebhook_workers + 1, rswebhook_workers);
	if (!register_worker(&args, name, &child->handle))
	{
		pfree(child);
		return false;
	}
	child->slot = slot;
	child->database = database;
	child->generation = generation;
	children = lappend(children, child);
	return true;
}

static void
reap_children(void)
{
	ListCell   *lc;

	foreach(lc, children)
	{
		Child	   *child = lfirst(lc);
		pid_t		pid;

		if (GetBackgroundWorkerPid(child->handle, &pid) != BGWH_STOPPED)
			continue;
		start_worker_gone(child->slot, child->generation);
		pfree(child->handle);
		pfree(child);
		children = foreach_delete_current(children, lc);
	}
}

/*
 * Workers of this database have died: the next ones of their shares wait, longer
 * each time, but for the first time.  A restart of the server, which the slots do
 * not outlast, makes no difference.
 */
static bool
waits_after_deaths(int slot, Oid database, uint32 generation)
{
	uint32		shares;
	int			deaths = suspect_count_deaths(database, slot % rswebhook_workers, &shares);
	int			seconds = deaths > 1 ? start_put_off(slot, generation, shares, deaths - 1) : 0;

	if (seconds > 0)
		ereport(LOG,
				(errmsg("rswebhook starts a worker for database %u in %d s, since %d have died in a row",
						database, seconds, deaths)));
	return seconds > 0;
}

/*
 * PostgreSQL has no background worker for it.  Those that have not been looked at may
 * all have the extension.
 */
static void
note_denied(Oid database)
{
	int			wanted = max_worker_processes + start_missing() + list_length(unseen) * rswebhook_workers;

	start_set_denied(wanted);
	if (!said_no_worker && repeated_say(&no_worker, 0, clock_now()))
		ereport(LOG,
				(errmsg("rswebhook cannot start a worker for database %u: no background worker slot is free", database),
				 errdetail("max_worker_processes is %d. Each database with rswebhook needs %d, and the launcher one more.",
						   max_worker_processes, rswebhook_workers),
				 errhint("Set max_worker_processes to %d, with which all databases would have their workers, and restart the server.",
						 wanted)));
	said_no_worker = true;
}

/* Start what is wanted; returns false if no more workers can be started. */
static bool
start_wanted(MemoryContext context)
{
	int			slot;
	Oid			database;
	uint32		generation;

	while (start_next(&slot, &database, &generation))
	{
		Reachable	reachable;

		CHECK_FOR_INTERRUPTS();
		if (waits_after_deaths(slot, database, generation))
		{
			note_seen(database);
			continue;
		}
		reachable = look_up_database(database);
		MemoryContextSwitchTo(context);
		note_seen(database);
		if (reachable == GONE)
		{
			seen = list_delete_oid(seen, database);
			start_database_gone(slot, generation);
		}
		else if (reachable == CLOSED)
			start_worker_gone(slot, generation);
		else if (reachable == LOCKED)
			start_soon(slot, generation);
		else if (start_worker(slot, database, generation))
		{
			said_no_worker = false;
			ndenied = 0;
			start_set_denied(0);
		}
		else
		{
			start_worker_gone(slot, generation);
			if (start_make_room())
				continue;
			if (ndenied++ > 0)
				note_denied(database);
			return false;
		}
	}
	if (start_missing() == 0)
		start_set_denied(0);
	return true;
}

/*
 * The first look at databases that were there before us.  A few at a time;
 * those that have no extension leave at once and make room.
 */
static void
look_at_unseen(MemoryContext context)
{
	while (unseen != NIL && start_looking() < MAX_LOOKING)
	{
		Oid			database = linitial_oid(unseen);

		if (!slots_want_workers(database))
		{
			if (start_make_room())
				return;			/* until its worker has left */
			start_set_crowded(true);
			if (!said_no_slot && start_looking() == 0)
			{
				ereport(LOG,
						(errmsg("rswebhook cannot start a worker for database %u: there are workers for rswebhook.max_databases = %d databases",
								database, rswebhook_max_databases),
						 errhint("Increase rswebhook.max_databases, which takes a restart.")));
				said_no_slot = true;
			}
			return;
		}
		note_seen(database);
		if (!start_wanted(context))
			return;
	}
	if (unseen == NIL)
	{
		start_set_crowded(false);
		said_no_slot = false;
	}
}

void
rswebhook_launcher_main(Datum arg)
{
	MemoryContext context;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	pgstat_report_appname("rswebhook launcher");
	pgstat_report_activity(STATE_IDLE, NULL);

	context = AllocSetContextCreate(TopMemoryContext, "rswebhook launcher",
									ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);
	start_attach_launcher();
	prepared_note_start();

	for (;;)
	{
		long		timeout = -1;
		Instant		next;
		bool		again;

		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}

		reap_children();
		if (start_take_scan_request(&again))
		{
			if (again)
			{
				list_free(seen);
				seen = NIL;
			}
			list_databases();
		}
		MemoryContextSwitchTo(context);
		if (start_wanted(context))
			look_at_unseen(context);
		forsaken_look(context);

		next = start_next_at();
		if (next == 0 || (forsaken_due_at() != 0 && forsaken_due_at() < next))
			next = forsaken_due_at();
		if (next != 0)
			timeout = (long) Max(1, (next - clock_now() + 999) / 1000);
		(void) WaitLatch(MyLatch,
						 WL_LATCH_SET | WL_EXIT_ON_PM_DEATH |
						 (timeout >= 0 ? WL_TIMEOUT : 0),
						 timeout, custom_wait_event(wait_event, "RswebhookLauncherMain"));
	}
}

#ifdef RSWEBHOOK_INJECTION

SQL_FUNCTION(rswebhook_inject_worker);

/*
 * Start a worker for this database behind the launcher's back, in a slot of
 * shared memory that nobody has used yet.
 */
Datum
rswebhook_inject_worker(PG_FUNCTION_ARGS)
{
	const WorkerArgs args = {MyDatabaseId, PG_GETARG_INT32(0), 0};
	BackgroundWorkerHandle *handle;

	if (!register_worker(&args, "rswebhook second worker", &handle))
		elog(ERROR, "no background worker slot is free");
	PG_RETURN_BOOL(WaitForBackgroundWorkerShutdown(handle) == BGWH_STOPPED);
}

#endif							/* RSWEBHOOK_INJECTION */
