/*-------------------------------------------------------------------------
 *
 * queue.c
 *		Every SQL statement that the worker runs.
 *
 * Statements are set-wise: one for many rows, with a column an array.  They
 * are prepared once and always run by a generic plan of index scans; the
 * tables' statistics, taken when the queue happened to be empty, must not
 * turn a look-up into a scan of millions of rows.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "queue.h"

#include <signal.h>

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "bytes.h"
#include "catalog/indexing.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "inject.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

/*
 * The worker waits no longer than this for a lock that somebody's command
 * holds; it tries again later.  Keeps a shutdown quick, too.
 */
#define LOCK_TIMEOUT_MS			"500"

/*
 * A transaction takes milliseconds unless somebody's trigger or constraint has
 * its own ideas.  It ends with an error after the longer time, and after the
 * shorter one if the worker is to leave.  The same goes for a commit that
 * waits for a synchronous standby, which PostgreSQL lets stand on its own then.
 */
#define TRANSACTION_TIMEOUT_MS	10000
#define LEAVING_TIMEOUT_MS		300

/* Emptying a slot may make readers of old rows wait this long at the most. */
#define EXPIRE_LOCK_TIMEOUT_MS	"50"

typedef enum Statement
{
	IS_HOME,
	OWED_DESTINATIONS,
	READ_BY_ID,
	READ_BY_TIME,
	FETCH,
	INSERT_DELIVERIES,
	DELETE_ROWS,
	RESCHEDULE_ROWS,
	PAUSE,
	LOAD_BREAKERS,
	SAVE_BREAKER,
	CLOSE_BREAKER
} Statement;

#define COLUMNS \
	"q.destination_id, q.attempts, q.event_id, q.ordering_key, q.queued_at, " \
	"q.deliver_after, q.expires_at, q.first_attempt_at, q.retry_at, q.event_slot"

/*
 * The rows of the queue that are still those that were claimed: known by the
 * key, and by attempts and queued_at from a later row of the same event.
 * OFFSET 0 keeps the planner from turning this round: with statistics taken
 * while the queue was nearly empty it would read the whole index, dead
 * entries included, to look its few rows up in the arrays.
 */
#define CLAIMED_ROWS(more_columns) \
	" AS c (destination_id, event_id, attempts, queued_at" more_columns ")" \
	" CROSS JOIN LATERAL (SELECT k.ctid AS tid, k.attempts, k.queued_at" \
	"  FROM rswebhook.queue k WHERE k.destination_id = c.destination_id" \
	"  AND k.event_id = c.event_id OFFSET 0) AS r"
#define STILL_CLAIMED \
	"r.attempts = c.attempts AND r.queued_at = c.queued_at"

static struct
{
	const char *sql;
	int			nargs;
	Oid			args[12];
}			statements[] = {

	[IS_HOME] = {
		"SELECT rswebhook.is_home()",
		0, {0}
	},

	/* one index probe a destination, however long its queue */
	[OWED_DESTINATIONS] = {
		"WITH RECURSIVE owed (id) AS ("
		" (SELECT destination_id FROM rswebhook.queue ORDER BY destination_id LIMIT 1)"
		" UNION ALL"
		" SELECT (SELECT q.destination_id FROM rswebhook.queue q"
		"   WHERE q.destination_id > owed.id ORDER BY q.destination_id LIMIT 1)"
		" FROM owed WHERE owed.id IS NOT NULL)"
		"SELECT id FROM owed WHERE id IS NOT NULL",
		0, {0}
	},
	[READ_BY_ID] = {
		"SELECT " COLUMNS " FROM rswebhook.queue q"
		" WHERE q.destination_id = $1 AND q.event_id > $2 AND q.event_id <= $3"
		" ORDER BY q.event_id LIMIT $4",
		4, {INT4OID, INT8OID, INT8OID, INT8OID}
	},
	[READ_BY_TIME] = {
		"SELECT " COLUMNS " FROM rswebhook.queue q"
		" WHERE q.destination_id = $1 AND q.deliver_after IS NOT NULL"
		" AND (q.deliver_after, q.event_id) > ($2, $3)"
		" ORDER BY q.deliver_after, q.event_id LIMIT $4",
		4, {INT4OID, TIMESTAMPTZOID, INT8OID, INT8OID}
	},
	[FETCH] = {
		"SELECT c.ord, e.event"
		" FROM unnest($1, $2, $3, $4, $5) WITH ORDINALITY" CLAIMED_ROWS(", slot, ord")
		" LEFT JOIN LATERAL (SELECT e.event FROM rswebhook.event e"
		"  WHERE e.id = c.event_id AND e.slot = c.slot OFFSET 0) AS e ON true"
		" WHERE " STILL_CLAIMED,
		5, {INT4ARRAYOID, INT8ARRAYOID, INT4ARRAYOID, TIMESTAMPTZARRAYOID, INT2ARRAYOID}
	},
	[INSERT_DELIVERIES] = {
		"INSERT INTO rswebhook.delivery (slot, attempt, event_id, destination_id,"
		" status, started_at, duration, retry_at, outcome, error, request, response_body)"
		" SELECT c.slot, c.attempt, c.event_id, c.destination_id, c.status, c.started_at,"
		"  pg_catalog.make_interval(secs => c.seconds), c.retry_at,"
		"  c.outcome, c.error, c.request, c.response_body"
		" FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
		"  AS c (slot, attempt, event_id, destination_id, status, started_at, seconds,"
		"   retry_at, outcome, error, request, response_body)",
		12, {INT2ARRAYOID, INT4ARRAYOID, INT8ARRAYOID, INT4ARRAYOID, INT4ARRAYOID,
			TIMESTAMPTZARRAYOID, FLOAT8ARRAYOID, TIMESTAMPTZARRAYOID, TEXTARRAYOID,
		TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID}
	},
	[DELETE_ROWS] = {
		"DELETE FROM rswebhook.queue q WHERE q.ctid = ANY (ARRAY("
		"SELECT r.tid FROM unnest($1, $2, $3, $4)" CLAIMED_ROWS("")
		" WHERE " STILL_CLAIMED "))",
		4, {INT4ARRAYOID, INT8ARRAYOID, INT4ARRAYOID, TIMESTAMPTZARRAYOID}
	},
	[RESCHEDULE_ROWS] = {
		"UPDATE rswebhook.queue q"
		" SET attempts = q.attempts + 1, retry_at = n.retry_at,"
		"  first_attempt_at = n.first_attempt_at"
		" FROM (SELECT r.tid, c.retry_at, c.first_attempt_at"
		"  FROM unnest($1, $2, $3, $4, $5, $6)" CLAIMED_ROWS(", retry_at, first_attempt_at")
		"  WHERE " STILL_CLAIMED " OFFSET 0) AS n"
		" WHERE q.ctid = n.tid",
		6, {INT4ARRAYOID, INT8ARRAYOID, INT4ARRAYOID, TIMESTAMPTZARRAYOID,
		TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID}
	},
	[PAUSE] = {
		"UPDATE rswebhook.destination SET paused = true WHERE id = $1 AND NOT paused",
		1, {INT4OID}
	},
	[LOAD_BREAKERS] = {
		"SELECT destination_id, failures, opened_at, next_probe_at, reason"
		" FROM rswebhook.breaker",
		0, {0}
	},
	[SAVE_BREAKER] = {
		"INSERT INTO rswebhook.breaker AS b"
		" (destination_id, failures, opened_at, next_probe_at, reason)"
		" VALUES ($1, $2, $3, $4, $5)"
		" ON CONFLICT (destination_id) DO UPDATE SET failures = EXCLUDED.failures,"
		"  opened_at = EXCLUDED.opened_at, next_probe_at = EXCLUDED.next_probe_at,"
		"  reason = EXCLUDED.reason",
		5, {INT4OID, INT4OID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID}
	},
	[CLOSE_BREAKER] = {
		"DELETE FROM rswebhook.breaker WHERE destination_id = $1",
		1, {INT4OID}
	},
};

static SPIPlanPtr plans[lengthof(statements)];
static Oid	outer_user;
static int	outer_context;

static TimeoutId leaving_timeout;
static volatile sig_atomic_t leaving = false;
static volatile sig_atomic_t overdue = false;	/* past LEAVING_TIMEOUT_MS */
static Oid	known_extension = InvalidOid;
static bool extension_replaced = false;

/* ---------------------------------------------------------------------
 * Transactions
 * ---------------------------------------------------------------------
 */

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
	set("statement_timeout", "0");
	if (GetConfigOption("transaction_timeout", true, false) != NULL)
		set("transaction_timeout", "0");
	set("lock_timeout", LOCK_TIMEOUT_MS);
	set("idle_in_transaction_session_timeout", "0");
	set("default_transaction_isolation", "read committed");
	set("default_transaction_read_only", "off");
	set("default_transaction_deferrable", "off");
	set("row_security", "off");
	set("plan_cache_mode", "force_generic_plan");
	set("enable_seqscan", "off");
	set("enable_bitmapscan", "off");
	set("enable_hashjoin", "off");
	set("enable_mergejoin", "off");
	set("max_parallel_workers_per_gather", "0");
	set("jit", "off");
}

/* This and the next two are called from signal handlers. */
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

void
queue_hurry(void)
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
		{.id = STATEMENT_TIMEOUT, .type = TMPARAM_AFTER, .delay_ms = TRANSACTION_TIMEOUT_MS}
	};

	enable_timeouts(timeouts, lengthof(timeouts));
}

static void
stop_timeouts(void)
{
	DisableTimeoutParams timeouts[] = {
		{.id = leaving_timeout, .keep_indicator = false},
		{.id = STATEMENT_TIMEOUT, .keep_indicator = false}
	};

	disable_timeouts(timeouts, lengthof(timeouts));
	overdue = false;
}

void
queue_init(void)
{
	leaving_timeout = RegisterTimeout(USER_TIMEOUT, leaving_timeout_handler);
	pin_settings();
}

/* Those that a reload can change. */
void
queue_apply_settings(void)
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
queue_begin(const char *what)
{
	Oid			extension;
	Oid			owner;
	bool		found;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	start_timeouts();

	/*
	 * Look, lock, look again: with the lock, DROP EXTENSION waits for this
	 * transaction, which takes milliseconds, instead of pulling the tables
	 * from under it.
	 */
	found = find_extension(&extension, &owner);
	if (found)
	{
		LockDatabaseObject(ExtensionRelationId, extension, 0, AccessShareLock);
		found = find_extension(&extension, &owner);
	}

	/* one that was created since we looked first is not the one we know */
	if (found && !OidIsValid(known_extension))
		known_extension = extension;
	extension_replaced = found && extension != known_extension;
	if (!found || extension_replaced)
	{
		CommitTransactionCommand();
		stop_timeouts();
		return false;
	}

	SPI_connect();
	PushActiveSnapshot(GetTransactionSnapshot());
	GetUserIdAndSecContext(&outer_user, &outer_context);
	SetUserIdAndSecContext(owner, outer_context | SECURITY_RESTRICTED_OPERATION);
	pgstat_report_activity(STATE_RUNNING, what);
	return true;
}

void
queue_commit(void)
{
	SetUserIdAndSecContext(outer_user, outer_context);
	SPI_finish();
	PopActiveSnapshot();
	disable_timeout(STATEMENT_TIMEOUT, false);	/* not while a standby is waited for */
	if (leaving)
		set("synchronous_commit", "local");
	CommitTransactionCommand();
	stop_timeouts();
	pgstat_report_stat(false);
	pgstat_report_activity(STATE_IDLE, NULL);
}

void
queue_abort(void)
{
	stop_timeouts();
	AbortCurrentTransaction();	/* the user and SPI go back with it */
	pgstat_report_activity(STATE_IDLE, NULL);
}

bool
queue_extension_replaced(void)
{
	return extension_replaced;
}

static void
execute(Statement statement, Datum *values, const char *nulls, bool read_only,
		int expected)
{
	MemoryContext caller = CurrentMemoryContext;
	int			result;

	if (plans[statement] == NULL)
	{
		SPIPlanPtr	plan = SPI_prepare(statements[statement].sql,
									   statements[statement].nargs,
									   statements[statement].args);

		if (plan == NULL || SPI_keepplan(plan) != 0)
			elog(ERROR, "could not prepare statement %d: %s", statement,
				 SPI_result_code_string(SPI_result));
		plans[statement] = plan;
	}
	result = SPI_execute_plan(plans[statement], values, nulls, read_only, 0);
	MemoryContextSwitchTo(caller);	/* SPI leaves us in its own */
	if (result != expected)
		elog(ERROR, "statement %d ended with %s", statement,
			 SPI_result_code_string(result));
}

/* ---------------------------------------------------------------------
 * Reading
 * ---------------------------------------------------------------------
 */

static Datum
column(int row, int number, bool *null)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, number, null);
}

static TimestampTz
time_column(int row, int number)
{
	bool		null;
	Datum		value = column(row, number, &null);

	return null ? 0 : DatumGetTimestampTz(value);
}

List *
queue_owed_destinations(void)
{
	List	   *result = NIL;

	execute(OWED_DESTINATIONS, NULL, NULL, true, SPI_OK_SELECT);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		null;

		result = lappend_int(result, DatumGetInt32(column(i, 1, &null)));
	}
	SPI_freetuptable(SPI_tuptable);
	return result;
}

bool
queue_is_home(bool *is_copy)
{
	bool		null;
	bool		home;

	execute(IS_HOME, NULL, NULL, true, SPI_OK_SELECT);
	home = DatumGetBool(column(0, 1, &null)) && !null;
	*is_copy = !home && !null;
	SPI_freetuptable(SPI_tuptable);
	return home;
}

int
queue_read(const ReadRequest *request, QueueRow **rows)
{
	Datum		values[4];
	int			count;

	values[0] = Int32GetDatum(request->destination_id);
	values[3] = Int64GetDatum(request->limit);
	if (request->kind == READ_DUE)
	{
		values[1] = TimestampTzGetDatum(request->due_after);
		values[2] = Int64GetDatum(request->after_id);
		execute(READ_BY_TIME, values, NULL, true, SPI_OK_SELECT);
	}
	else
	{
		values[1] = Int64GetDatum(request->after_id);
		values[2] = Int64GetDatum(request->upto_id);
		execute(READ_BY_ID, values, NULL, true, SPI_OK_SELECT);
	}

	count = (int) SPI_processed;
	*rows = palloc(sizeof(QueueRow) * Max(count, 1));
	for (int i = 0; i < count; i++)
	{
		QueueRow   *row = &(*rows)[i];
		bool		null;
		Datum		key = column(i, 4, &null);

		row->has_key = !null;
		row->ordering_key = null ? 0 : DatumGetInt64(key);
		row->destination_id = DatumGetInt32(column(i, 1, &null));
		row->attempts = DatumGetInt32(column(i, 2, &null));
		row->event_id = DatumGetInt64(column(i, 3, &null));
		row->queued_at = time_column(i, 5);
		row->deliver_after = time_column(i, 6);
		row->expires_at = time_column(i, 7);
		row->first_attempt_at = time_column(i, 8);
		row->retry_at = time_column(i, 9);
		row->event_slot = DatumGetInt16(column(i, 10, &null));
	}
	SPI_freetuptable(SPI_tuptable);
	return count;
}

/* An array parameter of a fixed-length type by value, none of it null. */
static Datum
array_of(Datum *values, int count, Oid type)
{
	int16		length;
	bool		by_value;
	char		align;

	get_typlenbyvalalign(type, &length, &by_value, &align);
	return PointerGetDatum(construct_array(values, count, type, length, by_value, align));
}

/* Likewise with nulls, for any type. */
static Datum
array_with_nulls(Datum *values, bool *nulls, int count, Oid type)
{
	int16		length;
	bool		by_value;
	char		align;
	int			lower = 1;

	get_typlenbyvalalign(type, &length, &by_value, &align);
	return PointerGetDatum(construct_md_array(values, nulls, 1, &count, &lower,
											  type, length, by_value, align));
}

/* The first parameters of CLAIMED_ROWS. */
static void
claimed_arrays(const QueueRow **rows, int count, Datum *params)
{
	Datum	   *values = palloc(sizeof(Datum) * count);

	for (int i = 0; i < count; i++)
		values[i] = Int32GetDatum(rows[i]->destination_id);
	params[0] = array_of(values, count, INT4OID);
	for (int i = 0; i < count; i++)
		values[i] = Int64GetDatum(rows[i]->event_id);
	params[1] = array_of(values, count, INT8OID);
	for (int i = 0; i < count; i++)
		values[i] = Int32GetDatum(rows[i]->attempts);
	params[2] = array_of(values, count, INT4OID);
	for (int i = 0; i < count; i++)
		values[i] = TimestampTzGetDatum(rows[i]->queued_at);
	params[3] = array_of(values, count, TIMESTAMPTZOID);
}

void
queue_fetch(QueueItem **items, int count, Jsonb **events, bool *missing)
{
	Datum		params[5];
	Datum	   *slots = palloc(sizeof(Datum) * count);
	const QueueRow **rows = palloc(sizeof(QueueRow *) * count);

	for (int i = 0; i < count; i++)
	{
		rows[i] = schedule_row(items[i]);
		slots[i] = Int16GetDatum(rows[i]->event_slot);
		events[i] = NULL;
		missing[i] = false;
	}
	claimed_arrays(rows, count, params);
	params[4] = array_of(slots, count, INT2OID);

	execute(FETCH, params, NULL, true, SPI_OK_SELECT);
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		bool		null;
		int			i = (int) DatumGetInt64(column(row, 1, &null)) - 1;
		Datum		event = column(row, 2, &null);

		if (null)
			missing[i] = true;
		else
			events[i] = DatumGetJsonbPCopy(event);
	}
	SPI_freetuptable(SPI_tuptable);
}

/* ---------------------------------------------------------------------
 * Recording
 * ---------------------------------------------------------------------
 */

static void
insert_deliveries(const Outcome *outcomes, int count)
{
	Datum		params[12];
	Datum	   *values = palloc(sizeof(Datum) * count);
	bool	   *nulls = palloc0(sizeof(bool) * count);
	int			p = 0;

#define FIXED_COLUMN(type, expression) \
	do { \
		for (int i = 0; i < count; i++) \
		{ \
			const Outcome *o = &outcomes[i]; \
			values[i] = (expression); \
		} \
		params[p++] = array_of(values, count, type); \
	} while (0)

#define NULLABLE_COLUMN(type, is_null, expression) \
	do { \
		for (int i = 0; i < count; i++) \
		{ \
			const Outcome *o = &outcomes[i]; \
			nulls[i] = (is_null); \
			values[i] = nulls[i] ? (Datum) 0 : (expression); \
		} \
		params[p++] = array_with_nulls(values, nulls, count, type); \
	} while (0)

	FIXED_COLUMN(INT2OID, Int16GetDatum(ring_slot(o->started_at)));
	FIXED_COLUMN(INT4OID, Int32GetDatum(o->claimed.attempts + (o->attempted ? 1 : 0)));
	FIXED_COLUMN(INT8OID, Int64GetDatum(o->claimed.event_id));
	FIXED_COLUMN(INT4OID, Int32GetDatum(o->claimed.destination_id));
	NULLABLE_COLUMN(INT4OID, o->status == 0, Int32GetDatum(o->status));
	FIXED_COLUMN(TIMESTAMPTZOID, TimestampTzGetDatum(o->started_at));
	FIXED_COLUMN(FLOAT8OID, Float8GetDatum((double) o->duration_us / USECS_PER_SEC));
	NULLABLE_COLUMN(TIMESTAMPTZOID, o->kind != VERDICT_RETRY,
					TimestampTzGetDatum(o->retry_at));
	FIXED_COLUMN(TEXTOID, CStringGetTextDatum(outcome_name(o->kind)));
	NULLABLE_COLUMN(TEXTOID, o->error == NULL, readable_text(o->error, strlen(o->error)));
	NULLABLE_COLUMN(TEXTOID, o->request == NULL,
					readable_text(o->request, strlen(o->request)));
	NULLABLE_COLUMN(TEXTOID, o->response_body == NULL,
					readable_text(o->response_body, o->response_body_len));

#undef FIXED_COLUMN
#undef NULLABLE_COLUMN

	execute(INSERT_DELIVERIES, params, NULL, false, SPI_OK_INSERT);
}

bool
queue_record(const Outcome *outcomes, int count)
{
	const QueueRow **finished = palloc(sizeof(QueueRow *) * count);
	const QueueRow **retried = palloc(sizeof(QueueRow *) * count);
	Datum	   *retry_at = palloc(sizeof(Datum) * count);
	Datum	   *first_at = palloc(sizeof(Datum) * count);
	Datum		params[6];
	int			nfinished = 0;
	int			nretried = 0;
	bool		complete = true;

	for (int i = 0; i < count; i++)
	{
		if (outcomes[i].kind != VERDICT_RETRY)
			finished[nfinished++] = &outcomes[i].claimed;
		else
		{
			retried[nretried] = &outcomes[i].claimed;
			retry_at[nretried] = TimestampTzGetDatum(outcomes[i].retry_at);
			first_at[nretried] = TimestampTzGetDatum(outcomes[i].first_attempt_at);
			nretried++;
		}
	}

	insert_deliveries(outcomes, count);
	INJECT("recording");
	if (nfinished > 0)
	{
		claimed_arrays(finished, nfinished, params);
		execute(DELETE_ROWS, params, NULL, false, SPI_OK_DELETE);
		complete = SPI_processed == nfinished;
	}
	if (nretried > 0)
	{
		claimed_arrays(retried, nretried, params);
		params[4] = array_of(retry_at, nretried, TIMESTAMPTZOID);
		params[5] = array_of(first_at, nretried, TIMESTAMPTZOID);
		execute(RESCHEDULE_ROWS, params, NULL, false, SPI_OK_UPDATE);
		complete = complete && SPI_processed == nretried;
	}
	return complete;
}

void
queue_pause(int32 destination_id)
{
	Datum		id = Int32GetDatum(destination_id);

	execute(PAUSE, &id, NULL, false, SPI_OK_UPDATE);
}

/* ---------------------------------------------------------------------
 * Circuit breakers
 * ---------------------------------------------------------------------
 */

int
queue_load_breakers(StoredBreaker **breakers)
{
	int			count;

	execute(LOAD_BREAKERS, NULL, NULL, true, SPI_OK_SELECT);
	count = (int) SPI_processed;
	*breakers = palloc0(sizeof(StoredBreaker) * Max(count, 1));
	for (int i = 0; i < count; i++)
	{
		StoredBreaker *b = &(*breakers)[i];
		bool		null;

		b->destination_id = DatumGetInt32(column(i, 1, &null));
		b->breaker.failures = DatumGetInt32(column(i, 2, &null));
		b->breaker.opened_at = time_column(i, 3);
		b->breaker.next_probe_at = time_column(i, 4);
		text_to_cstring_buffer(DatumGetTextPP(column(i, 5, &null)),
							   b->breaker.reason, sizeof(b->breaker.reason));
	}
	SPI_freetuptable(SPI_tuptable);
	return count;
}

void
queue_save_breaker(int32 destination_id, const Breaker *breaker)
{
	Datum		values[5];

	values[0] = Int32GetDatum(destination_id);
	if (breaker->opened_at == 0)
	{
		execute(CLOSE_BREAKER, values, NULL, false, SPI_OK_DELETE);
		return;
	}
	values[1] = Int32GetDatum(breaker->failures);
	values[2] = TimestampTzGetDatum(breaker->opened_at);
	values[3] = TimestampTzGetDatum(breaker->next_probe_at);
	values[4] = readable_text(breaker->reason, strlen(breaker->reason));
	execute(SAVE_BREAKER, values, NULL, false, SPI_OK_INSERT);
}

/* ---------------------------------------------------------------------
 * Retention
 * ---------------------------------------------------------------------
 */

static bool
query_is_true(const char *sql)
{
	bool		null;
	bool		result;

	if (SPI_execute(sql, true, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "unexpected result of \"%s\"", sql);
	result = DatumGetBool(column(0, 1, &null)) && !null;
	SPI_freetuptable(SPI_tuptable);
	return result;
}

/* Is the newest row of a partition older than the retention? */
static bool
is_old(const char *table, int slot, const char *time_column_name, const char *order)
{
	return query_is_true(psprintf("SELECT COALESCE((SELECT %s FROM rswebhook.%s_%d"
								  " ORDER BY %s DESC LIMIT 1)"
								  " < pg_catalog.now() - pg_catalog.make_interval(secs => %d), false)",
								  time_column_name, table, slot, order,
								  rswebhook_retention));
}

/* Does a queue row of any destination need a payload of this slot? */
static bool
is_owed(int slot)
{
	return query_is_true(psprintf("WITH RECURSIVE ids AS ("
								  " SELECT (SELECT id FROM rswebhook.event_%d ORDER BY id LIMIT 1) AS low,"
								  "  (SELECT id FROM rswebhook.event_%d ORDER BY id DESC LIMIT 1) AS high),"
								  " owed (id) AS ("
								  " (SELECT destination_id FROM rswebhook.queue ORDER BY destination_id LIMIT 1)"
								  " UNION ALL"
								  " SELECT (SELECT q.destination_id FROM rswebhook.queue q"
								  "   WHERE q.destination_id > owed.id ORDER BY q.destination_id LIMIT 1)"
								  " FROM owed WHERE owed.id IS NOT NULL)"
								  "SELECT EXISTS (SELECT FROM owed, ids, LATERAL"
								  " (SELECT FROM rswebhook.queue q WHERE q.destination_id = owed.id"
								  "  AND q.event_id BETWEEN ids.low AND ids.high LIMIT 1) AS found)",
								  slot, slot));
}

/*
 * Checked once without a lock, since the answer is nearly always no, and
 * again with the lock that TRUNCATE takes: a send that is still open holds the
 * partition against us.
 */
static void
empty_slot(const char *table, int slot, const char *time_column_name,
		   const char *order, bool check_owed)
{
	if (!is_old(table, slot, time_column_name, order) ||
		(check_owed && is_owed(slot)))
		return;

	set_config_option("lock_timeout", EXPIRE_LOCK_TIMEOUT_MS, PGC_SUSET,
					  PGC_S_OVERRIDE, GUC_ACTION_LOCAL, true, 0, false);
	SPI_execute(psprintf("LOCK TABLE ONLY rswebhook.%s_%d IN ACCESS EXCLUSIVE MODE",
						 table, slot), false, 0);
	PopActiveSnapshot();
	PushActiveSnapshot(GetTransactionSnapshot());
	if (!is_old(table, slot, time_column_name, order) ||
		(check_owed && is_owed(slot)))
		return;
	SPI_execute(psprintf("TRUNCATE ONLY rswebhook.%s_%d", table, slot), false, 0);
	ereport(LOG,
			(errmsg("rswebhook emptied \"%s_%d\", which was past the retention",
					table, slot)));
}

void
queue_expire(int slot)
{
	empty_slot("delivery", slot, "started_at", "started_at", false);
	empty_slot("event", slot, "created_at", "id", true);
}
