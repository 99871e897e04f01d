/*-------------------------------------------------------------------------
 *
 * session.c
 *		The worker's database session: its settings and its transactions.
 *
 * Whatever a database or a role is set to, whatever somebody's trigger or lock
 * has in mind, a transaction of the worker runs under its own settings, ends
 * in time, and gets out of the way when the worker is to leave.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_inherits.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"

#include "base/clock.h"
#include "base/compat.h"
#include "worker/session.h"

int			rswebhook_synchronous_commit = SYNCHRONOUS_COMMIT_LOCAL_FLUSH;

/*
 * The worker waits no longer than this for a lock that somebody's command
 * holds; it tries again later.  Keeps a shutdown quick, too.
 */
#define LOCK_TIMEOUT_MS			"500"
#define SHORT_LOCK_TIMEOUT_MS	"50"

/*
 * A transaction takes milliseconds unless somebody's trigger or constraint has
 * its own ideas.  It ends with an error after the longer time, and after the
 * shorter one if the worker is to leave.  The same goes for a commit that
 * waits for a synchronous standby, which PostgreSQL lets stand on its own then.
 */
#define TRANSACTION_TIMEOUT_MS	10000
#define LEAVING_TIMEOUT_MS		300

/*
 * What a transaction takes is counted in steps.  A longer one is one in which
 * the process, or the machine, was stopped, and that is nobody's fault.
 */
#define STEP_MS					250
#define MAX_STEP_US				(4 * STEP_MS * INT64CONST(1000))

/* Like core's ErrorContext: so much is there even if nothing else is. */
#define ERROR_SIZES	(Size) (8 * 1024), (Size) (8 * 1024), (Size) (8 * 1024)

static MemoryContext errors;	/* session_error() */
static Oid	outer_user;
static int	settings;			/* the transaction's level of settings */
static int	outer_context;

static TimeoutId leaving_timeout;
static TimeoutId step_timeout;
static volatile sig_atomic_t leaving = false;
static volatile sig_atomic_t overdue = false;	/* past LEAVING_TIMEOUT_MS */
static Oid	known_extension = InvalidOid;
static bool extension_replaced = false;
static bool extension_gone = false;
static bool statistics_put_by = false;
static bool impatient = false;
static volatile Instant counted_until;	/* of the last transaction */
static volatile int64 taken_us; /* by the last transaction, as counted */
static bool overran = false;	/* the last one took TRANSACTION_TIMEOUT_MS */
static volatile int64 rest_us = 0;	/* of the processor; 0: as TRANSACTION_TIMEOUT_MS */
static volatile int64 rest_until = 0;	/* when that is used up; 0: not begun to count */

static void
set(const char *name, const char *value)
{
	SetConfigOption(name, value, PGC_SUSET, PGC_S_OVERRIDE);
}

/* Whatever the database or the role says, we run like this. */
static void
pin_settings(void)
{
	set("search_path", "pg_catalog, pg_temp");
	set("lc_messages", "C");	/* what is recorded is for whoever reads it; and see base/messages.h */
	set("statement_timeout", "0");
	if (GetConfigOption("transaction_timeout", true, false) != NULL)
		set("transaction_timeout", "0");
	set("lock_timeout", LOCK_TIMEOUT_MS);
	set("idle_in_transaction_session_timeout", "0");
	set("default_transaction_isolation", "read committed");
	set("default_transaction_read_only", "off");
	set("default_transaction_deferrable", "off");
	set("row_security", "off");
	set("exit_on_error", "off");
	set("plan_cache_mode", "force_generic_plan");
	set("enable_indexscan", "on");
	set("enable_indexonlyscan", "on");
	set("enable_seqscan", "off");
	set("enable_bitmapscan", "off");
	set("enable_hashjoin", "off");
	set("enable_mergejoin", "off");
	set("max_parallel_workers_per_gather", "0");
	set("jit", "off");
}

/* This and the next four are called from signal handlers. */
static void
cancel_transaction(void)
{
	InterruptPending = true;
	QueryCancelPending = true;
	SetLatch(MyLatch);
}

static void
leaving_timeout_handler(void)
{
	overdue = true;
	if (leaving)
		cancel_transaction();
}

static void
count_step(void)
{
	Instant		now = clock_now();

	taken_us += Min(now - counted_until, MAX_STEP_US);
	counted_until = now;
}

/* A rest is counted from its first step on: asking for the time costs a system call. */
static void
step_timeout_handler(void)
{
	count_step();
	if (rest_us == 0)
		return;
	if (rest_until == 0)
		rest_until = clock_processor_us() + rest_us;
	else if (clock_processor_us() >= rest_until)
		enable_timeout_after(STATEMENT_TIMEOUT, 1);
}

void
session_hurry(void)
{
	leaving = true;
	if (overdue)
		cancel_transaction();
}

static void
start_timeouts(void)
{
	EnableTimeoutParams timeouts[] = {
		{.id = leaving_timeout, .type = TMPARAM_AFTER, .delay_ms = LEAVING_TIMEOUT_MS},
		{.id = step_timeout, .type = TMPARAM_EVERY, .delay_ms = STEP_MS},
		{.id = STATEMENT_TIMEOUT, .type = TMPARAM_AFTER, .delay_ms = TRANSACTION_TIMEOUT_MS}
	};

	counted_until = clock_now();
	taken_us = 0;
	enable_timeouts(timeouts, lengthof(timeouts));
}

static void
stop_timeouts(void)
{
	DisableTimeoutParams timeouts[] = {
		{.id = leaving_timeout, .keep_indicator = false},
		{.id = step_timeout, .keep_indicator = false},
		{.id = STATEMENT_TIMEOUT, .keep_indicator = false}
	};

	disable_timeouts(timeouts, lengthof(timeouts));
	overdue = false;
	rest_us = 0;
}

void
session_init(void)
{
	leaving_timeout = RegisterTimeout(USER_TIMEOUT, leaving_timeout_handler);
	step_timeout = RegisterTimeout(USER_TIMEOUT, step_timeout_handler);
	errors = AllocSetContextCreate(TopMemoryContext, "rswebhook errors",
								   ERROR_SIZES);
	pin_settings();
}

/* Settings that a reload can change. */
void
session_apply_settings(void)
{
	set("synchronous_commit",
		GetConfigOption("rswebhook.synchronous_commit", false, false));
}

static bool
find_extension(Oid *extension, Oid *owner)
{
	Relation	rel = table_open(ExtensionRelationId, AccessShareLock);
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple	tuple;
	bool		found;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber,
				F_NAMEEQ, CStringGetDatum("rswebhook"));
	scan = systable_beginscan(rel, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	found = HeapTupleIsValid(tuple);
	if (found)
	{
		*extension = ((Form_pg_extension) GETSTRUCT(tuple))->oid;
		*owner = ((Form_pg_extension) GETSTRUCT(tuple))->extowner;
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

bool
session_begin(const char *what)
{
	Oid			extension;
	Oid			owner;
	bool		found;

	QueryCancelPending = false; /* of a transaction that was over when it came */
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	start_timeouts();
	if (impatient)
		session_wait_little();

	/*
	 * Lock, then look: with the lock, DROP EXTENSION waits for this
	 * transaction, which takes milliseconds, instead of pulling the tables
	 * from under it.  One that was created meanwhile is not the one we know.
	 * But whoever can make a function can have this lock (ALTER FUNCTION ... DEPENDS
	 * ON EXTENSION), and keep it: then the tables' own have to do, of which DROP
	 * EXTENSION may have some already.
	 */
	if (!OidIsValid(known_extension) && find_extension(&extension, &owner))
		known_extension = extension;
	if (OidIsValid(known_extension) &&
		!ConditionalLockDatabaseObject(ExtensionRelationId, known_extension, 0, AccessShareLock))
		session_wait_little();
	found = find_extension(&extension, &owner);
	extension_replaced = found && extension != known_extension;
	if (!found || extension_replaced)
	{
		extension_gone = true;
		CommitTransactionCommand();
		stop_timeouts();
		return false;
	}

	settings = NewGUCNestLevel();	/* somebody's trigger may set one for the session */
	SPI_connect();
	PushActiveSnapshot(GetTransactionSnapshot());
	GetUserIdAndSecContext(&outer_user, &outer_context);
	SetUserIdAndSecContext(owner, outer_context | SECURITY_RESTRICTED_OPERATION);
	pgstat_report_activity(STATE_RUNNING, what);
	return true;
}

void
session_wait_little(void)
{
	set_config_option("lock_timeout", SHORT_LOCK_TIMEOUT_MS, PGC_SUSET,
					  PGC_S_OVERRIDE, GUC_ACTION_LOCAL, true, 0, false);
}

void
session_set_impatient(bool value)
{
	impatient = value;
}

void
session_limit_rest(int64 us)
{
	if (rest_us == 0)
		disable_timeout(STATEMENT_TIMEOUT, false);
	rest_us = us;
	rest_until = 0;
}

void
session_commit(void)
{
	SetUserIdAndSecContext(outer_user, outer_context);
	SPI_finish();
	PopActiveSnapshot();
	AtEOXact_GUC(false, settings);
	rest_us = 0;
	disable_timeout(STATEMENT_TIMEOUT, false);	/* not while a standby is waited for */
	if (leaving)
		set("synchronous_commit", "local");
	CommitTransactionCommand();
	stop_timeouts();
	pgstat_report_stat(false);	/* now and then */
	statistics_put_by = true;
	pgstat_report_activity(STATE_IDLE, NULL);
}

void
session_report_statistics(void)
{
	if (!statistics_put_by)
		return;
	pgstat_report_stat(true);
	statistics_put_by = false;
}

void
session_abort(void)
{
	stop_timeouts();
	count_step();
	overran = taken_us >= (TRANSACTION_TIMEOUT_MS - STEP_MS) * INT64CONST(1000);
	AbortCurrentTransaction();	/* which resets the user and SPI, too */
	pgstat_report_activity(STATE_IDLE, NULL);
}

bool
session_overran(void)
{
	return overran;
}

ErrorData *
session_error(void)
{
	MemoryContext context = CurrentMemoryContext;
	ErrorData  *error;

	MemoryContextReset(errors);
	MemoryContextSwitchTo(errors);
	error = CopyErrorData();
	MemoryContextSwitchTo(context);
	return error;
}

ErrorData *
session_try(void (*work) (int limit), int limit)
{
	MemoryContext context = CurrentMemoryContext;
	ErrorData  *volatile error = NULL;

	PG_TRY();
	{
		work(limit);
	}
	PG_CATCH();
	{
		HOLD_INTERRUPTS();
		session_abort();
		MemoryContextSwitchTo(context);
		error = session_error();
		FlushErrorState();
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	return error;
}

bool
session_error_passes(int sqlerrcode)
{
	switch (sqlerrcode)
	{
		case ERRCODE_LOCK_NOT_AVAILABLE:
		case ERRCODE_T_R_DEADLOCK_DETECTED:
		case ERRCODE_T_R_SERIALIZATION_FAILURE:
			return true;
		case ERRCODE_QUERY_CANCELED:
			return !overran;
		default:
			return false;
	}
}

bool
session_extension_gone(void)
{
	return extension_gone;
}

bool
session_extension_replaced(void)
{
	return extension_replaced;
}
