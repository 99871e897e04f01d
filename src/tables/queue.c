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
 * What is done for each event that is delivered (FETCH, INSERT_DELIVERIES,
 * DELETE_ROWS) is a statement only if direct.c cannot do it.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/encoding.h"
#include "base/inject.h"
#include "tables/columns.h"
#include "tables/direct.h"
#include "tables/queue.h"
#include "tables/rows.h"
#include "tables/tables.h"

/* Emptying a slot may make readers of old rows wait this long at the most. */
#define EXPIRE_LOCK_TIMEOUT_MS	"50"

typedef enum Statement
{
	IS_HOME,
	OWED_DESTINATIONS,
	IS_OWED,
	READ_BY_ID,
	READ_BY_TIME,
	FETCH,
	INSERT_DELIVERIES,
	LOCK_ROWS,
	DELETE_ROWS,
	RESCHEDULE_ROWS,
	PAUSE,
	LOAD_BREAKERS,
	SAVE_BREAKER,
	CLOSE_BREAKER
} Statement;

/* Of these types, whatever somebody has made of the table; the ctid comes last. */
#define AS_SELECTED(number, name, type, sql_type, nullable) "q." name "::" sql_type ", "
#define COLUMNS QUEUE_COLUMN_LIST(AS_SELECTED) "q.ctid"

/*
 * Is k the row of the queue that c has claimed?  Known by the key, and by
 * attempts and queued_at from a later row of the same event.
 *
 * This stands in a LATERAL subquery that the planner cannot turn round, by its
 * LIMIT or FOR UPDATE: with statistics taken while the queue was nearly empty it
 * would read the whole index, dead entries included, to look its few rows up in
 * the arrays.
 */
#define CLAIMED_COLUMNS "destination_id, event_id, attempts, queued_at"
#define IS_CLAIMED \
	"k.destination_id = c.destination_id AND k.event_id = c.event_id" \
	" AND k.attempts = c.attempts AND k.queued_at = c.queued_at"

/* Who is owed something: one index probe a destination, however long its queue. */
#define OWED_IDS \
	"owed (id) AS (" \
	" (SELECT destination_id FROM rswebhook.queue ORDER BY destination_id LIMIT 1)" \
	" UNION ALL" \
	" SELECT (SELECT q.destination_id FROM rswebhook.queue q" \
	"   WHERE q.destination_id > owed.id ORDER BY q.destination_id LIMIT 1)" \
	" FROM owed WHERE owed.id IS NOT NULL) "

static struct
{
	const char *sql;
	int			nargs;
	Oid			args[5];
	const char *changes;		/* this table; NULL: none */
}			statements[] = {

	[IS_HOME] = {
		"SELECT rswebhook.is_home()",
		0, {0}
	},

	[OWED_DESTINATIONS] = {
		"WITH RECURSIVE " OWED_IDS "SELECT id FROM owed WHERE id IS NOT NULL",
		0, {0}
	},
	[IS_OWED] = {
		"WITH RECURSIVE " OWED_IDS "SELECT true FROM owed CROSS JOIN LATERAL"
		" (SELECT q.event_slot FROM rswebhook.queue q WHERE q.destination_id = owed.id"
		"  AND q.event_id = $1 OFFSET 0) AS r WHERE r.event_slot = $2 LIMIT 1",
		2, {INT8OID, INT2OID}
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
		"SELECT e.event::jsonb"
		" FROM unnest($1, $2, $3, $4, $5) AS c (" CLAIMED_COLUMNS ", slot)"
		" CROSS JOIN LATERAL (SELECT FROM rswebhook.queue k WHERE " IS_CLAIMED " LIMIT 1) AS r"
		" LEFT JOIN LATERAL (SELECT e.event FROM rswebhook.event e"
		"  WHERE e.id = c.event_id AND e.slot = c.slot OFFSET 0) AS e ON true",
		5, {INT4ARRAYOID, INT8ARRAYOID, INT4ARRAYOID, TIMESTAMPTZARRAYOID, INT2ARRAYOID}
	},

	/* see prepare_insert_deliveries() */
	[INSERT_DELIVERIES] = {.changes = "delivery"},

	/*
	 * Where the claimed rows are that could be locked, as they are now; null of
	 * those that somebody else has locked, and nothing of others.
	 */
	[LOCK_ROWS] = {
		"SELECT c.number, r.tableoid, r.ctid"
		" FROM unnest($1, $2, $3, $4) WITH ORDINALITY AS c (" CLAIMED_COLUMNS ", number)"
		" LEFT JOIN LATERAL (SELECT k.tableoid, k.ctid FROM rswebhook.queue k"
		"  WHERE " IS_CLAIMED " FOR UPDATE SKIP LOCKED) AS r ON true"
		" WHERE r.ctid IS NOT NULL"
		" OR (SELECT true FROM rswebhook.queue k WHERE " IS_CLAIMED " LIMIT 1)",
		4, {INT4ARRAYOID, INT8ARRAYOID, INT4ARRAYOID, TIMESTAMPTZARRAYOID}
	},

	/* of locked rows; a ctid is one row's in each partition and child */
	[DELETE_ROWS] = {
		"DELETE FROM rswebhook.queue q USING unnest($1, $2) AS l (place, tid)"
		" WHERE q.tableoid = l.place AND q.ctid = l.tid",
		2, {OIDARRAYOID, TIDARRAYOID}, "queue"
	},
	[RESCHEDULE_ROWS] = {
		"UPDATE rswebhook.queue q"
		" SET attempts = q.attempts + 1, retry_at = l.retry_at,"
		"  first_attempt_at = l.first_attempt_at"
		" FROM unnest($1, $2, $3, $4) AS l (place, tid, retry_at, first_attempt_at)"
		" WHERE q.tableoid = l.place AND q.ctid = l.tid",
		4, {OIDARRAYOID, TIDARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID}, "queue"
	},
	[PAUSE] = {
		"UPDATE rswebhook.destination SET paused = true WHERE id = $1 AND NOT paused",
		1, {INT4OID}, "destination"
	},
	[LOAD_BREAKERS] = {
		"SELECT destination_id::int4, failures::int4, opened_at::timestamptz,"
		"  next_probe_at::timestamptz, reason::text"
		" FROM rswebhook.breaker ORDER BY destination_id",
		0, {0}
	},
	[SAVE_BREAKER] = {
		"INSERT INTO rswebhook.breaker AS b"
		" (destination_id, failures, opened_at, next_probe_at, reason)"
		" VALUES ($1, $2, $3, $4, $5)"
		" ON CONFLICT (destination_id) DO UPDATE SET failures = EXCLUDED.failures,"
		"  opened_at = EXCLUDED.opened_at, next_probe_at = EXCLUDED.next_probe_at,"
		"  reason = EXCLUDED.reason",
		5, {INT4OID, INT4OID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID}, "breaker"
	},
	[CLOSE_BREAKER] = {
		"DELETE FROM rswebhook.breaker WHERE destination_id = $1",
		1, {INT4OID}, "breaker"
	},
};

static SPIPlanPtr plans[lengthof(statements)];

/* All columns of rswebhook.delivery, each an array. */
static SPIPlanPtr
prepare_insert_deliveries(void)
{
	StringInfoData names;
	StringInfoData arrays;
	Oid			types[DELIVERY_COLUMNS];

	initStringInfo(&names);
	initStringInfo(&arrays);
	for (int i = 0; i < DELIVERY_COLUMNS; i++)
	{
		appendStringInfo(&names, "%s%s", i > 0 ? ", " : "", delivery_columns[i].name);
		appendStringInfo(&arrays, "%s$%d", i > 0 ? ", " : "", i + 1);
		types[i] = get_array_type(delivery_columns[i].type);
	}
	return SPI_prepare(psprintf("INSERT INTO rswebhook.delivery (%s)"
								" SELECT %s FROM unnest(%s) AS c (%s)",
								names.data, names.data, arrays.data, names.data),
					   DELIVERY_COLUMNS, types);
}

static void
execute(Statement statement, Datum *values, const char *nulls, bool read_only,
		int expected)
{
	MemoryContext caller = CurrentMemoryContext;
	int			result;

	if (plans[statement] == NULL)
	{
		SPIPlanPtr	plan = statement == INSERT_DELIVERIES ?
			prepare_insert_deliveries() :
			SPI_prepare(statements[statement].sql, statements[statement].nargs,
						statements[statement].args);

		if (plan == NULL || SPI_keepplan(plan) != 0)
			elog(ERROR, "could not prepare statement %d: %s", statement,
				 SPI_result_code_string(SPI_result));
		plans[statement] = plan;
	}
	result = SPI_execute_plan(plans[statement], values, nulls, read_only, 0);
	MemoryContextSwitchTo(caller);	/* SPI leaves us in its own */
	if (result != expected)
	{
		/* made under a rule that left nothing of it, it would not hear of changes */
		SPI_freeplan(plans[statement]);
		plans[statement] = NULL;
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("rows of \"rswebhook.%s\" were not changed",
						statements[statement].changes),
				 errdetail("A rule has put something else in the place of the statement."),
				 errhint("Look for DO INSTEAD rules on rswebhook.%s.",
						 statements[statement].changes)));
	}
}

/* ---------------------------------------------------------------------
 * Reading
 * ---------------------------------------------------------------------
 */

/* number: from 0 */
static Datum
column(int row, int number, bool *null)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, number + 1, null);
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

	tables_lock_and_look("queue");
	execute(OWED_DESTINATIONS, NULL, NULL, true, SPI_OK_SELECT);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		null;

		result = lappend_int(result, DatumGetInt32(column(i, 0, &null)));
	}
	SPI_freetuptable(SPI_tuptable);
	return result;
}

bool
queue_owes(int64 event_id, int16 slot)
{
	Datum		values[] = {Int64GetDatum(event_id), Int16GetDatum(slot)};
	bool		owed;

	execute(IS_OWED, values, NULL, true, SPI_OK_SELECT);
	owed = SPI_processed > 0;
	SPI_freetuptable(SPI_tuptable);
	return owed;
}

bool
queue_is_home(bool *is_copy)
{
	bool		null;
	bool		home;

	tables_lock_and_look("home");
	execute(IS_HOME, NULL, NULL, true, SPI_OK_SELECT);
	home = DatumGetBool(column(0, 0, &null)) && !null;
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
		Datum		key = column(i, QUEUE_ORDERING_KEY, &null);

		row->has_key = !null;
		row->ordering_key = null ? 0 : DatumGetInt64(key);
		row->destination_id = DatumGetInt32(column(i, QUEUE_DESTINATION_ID, &null));
		row->attempts = DatumGetInt32(column(i, QUEUE_ATTEMPTS, &null));
		row->event_id = DatumGetInt64(column(i, QUEUE_EVENT_ID, &null));
		row->queued_at = time_column(i, QUEUE_QUEUED_AT);
		row->deliver_after = time_column(i, QUEUE_DELIVER_AFTER);
		row->expires_at = time_column(i, QUEUE_EXPIRES_AT);
		row->first_attempt_at = time_column(i, QUEUE_FIRST_ATTEMPT_AT);
		row->retry_at = time_column(i, QUEUE_RETRY_AT);
		row->event_slot = DatumGetInt16(column(i, QUEUE_EVENT_SLOT, &null));
		row->tid = *(ItemPointer) DatumGetPointer(column(i, QUEUE_COLUMNS, &null));
	}
	SPI_freetuptable(SPI_tuptable);
	return count;
}

/* An array parameter of a fixed-length type, none of it null. */
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

/* Parameters for CLAIMED_COLUMNS. */
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

/* NULL if the row is no longer what was read, or its payload is missing. */
static Jsonb *
fetch_by_statement(const QueueRow *row, bool *missing)
{
	Datum		params[5];
	Datum		slot = Int16GetDatum(row->event_slot);
	Jsonb	   *result = NULL;

	claimed_arrays(&row, 1, params);
	params[4] = array_of(&slot, 1, INT2OID);
	execute(FETCH, params, NULL, false, SPI_OK_SELECT); /* see tables_look_again() */
	*missing = false;
	if (SPI_processed > 0)
	{
		Datum		event = column(0, 0, missing);

		if (!*missing)
			result = DatumGetJsonbPCopy(event);
	}
	SPI_freetuptable(SPI_tuptable);
	return result;
}

int
queue_fetch(const QueueRow **rows, int count, int64 budget,
			void (*looking_at) (const QueueRow *row, int64 bytes), Jsonb **events, bool *missing)
{
	int			fetched = direct_fetch(rows, count, budget, looking_at, events, missing);

	if (fetched > 0)
		return fetched;

	/* one by one: how large a payload is shows when it is there */
	while (fetched < count && budget >= 0)
	{
		CHECK_FOR_INTERRUPTS();
		looking_at(rows[fetched], 0);
		events[fetched] = fetch_by_statement(rows[fetched], &missing[fetched]);
		if (events[fetched] != NULL)
			budget -= VARSIZE(events[fetched]);
		fetched++;
	}
	looking_at(NULL, 0);
	return fetched;
}

/* ---------------------------------------------------------------------
 * Recording
 * ---------------------------------------------------------------------
 */

static void
insert_by_statement(Outcome **outcomes, int count)
{
	Datum	   *values = palloc(sizeof(Datum) * count * DELIVERY_COLUMNS);
	bool	   *nulls = palloc(sizeof(bool) * count * DELIVERY_COLUMNS);
	Datum	   *column_values = palloc(sizeof(Datum) * count);
	bool	   *column_nulls = palloc(sizeof(bool) * count);
	Datum		params[DELIVERY_COLUMNS];

	for (int i = 0; i < count; i++)
		delivery_row(outcomes[i], values + i * DELIVERY_COLUMNS, nulls + i * DELIVERY_COLUMNS);
	for (int column = 0; column < DELIVERY_COLUMNS; column++)
	{
		for (int i = 0; i < count; i++)
		{
			column_values[i] = values[i * DELIVERY_COLUMNS + column];
			column_nulls[i] = nulls[i * DELIVERY_COLUMNS + column];
		}
		params[column] = array_with_nulls(column_values, column_nulls, count,
										  delivery_columns[column].type);
	}
	execute(INSERT_DELIVERIES, params, NULL, false, SPI_OK_INSERT);
}

/*
 * Lock the rows of the queue that are still the claimed ones, so that a statement
 * finds them where they are now, and waits for nobody; sets all fates.  Returns how
 * many rows there are, whose, and their places as the first two parameters.
 */
static int
lock_rows(Outcome **outcomes, int count, Outcome ***locked, Datum *params)
{
	const QueueRow **rows = palloc(sizeof(QueueRow *) * count);
	Datum		claimed[4];
	Datum	   *tables;
	Datum	   *tids;
	int			nlocked = 0;

	for (int i = 0; i < count; i++)
	{
		rows[i] = &outcomes[i]->claimed;
		outcomes[i]->fate = ROW_GONE;
	}
	claimed_arrays(rows, count, claimed);
	execute(LOCK_ROWS, claimed, NULL, false, SPI_OK_SELECT);

	/* without a key, there may be several of one outcome */
	*locked = palloc(sizeof(Outcome *) * Max(SPI_processed, 1));
	tables = palloc(sizeof(Datum) * Max(SPI_processed, 1));
	tids = palloc(sizeof(Datum) * Max(SPI_processed, 1));
	for (int i = 0; i < (int) SPI_processed; i++)
	{
		bool		busy;
		Outcome    *outcome = outcomes[DatumGetInt64(column(i, 0, &busy)) - 1];

		tables[nlocked] = column(i, 1, &busy);
		tids[nlocked] = column(i, 2, &busy);
		outcome->fate = busy ? ROW_BUSY : ROW_DONE;
		if (!busy)
			(*locked)[nlocked++] = outcome;
	}
	params[0] = array_of(tables, nlocked, OIDOID);
	params[1] = array_of(tids, nlocked, TIDOID);
	SPI_freetuptable(SPI_tuptable);
	return nlocked;
}

/* Run a statement on locked rows. */
static void
change_rows(Statement statement, Outcome **locked, int count, Datum *params,
			int expected)
{
	if (count == 0)
		return;
	execute(statement, params, NULL, false, expected);

	/* which somebody's trigger has left alone is not known: all are read again */
	for (int i = 0; i < count && SPI_processed < count; i++)
		locked[i]->fate = ROW_GONE;
}

static void
delete_rows(Outcome **outcomes, int count)
{
	Outcome   **locked;
	Datum		params[2];

	if (count == 0 || direct_delete(outcomes, count))
		return;
	count = lock_rows(outcomes, count, &locked, params);
	change_rows(DELETE_ROWS, locked, count, params, SPI_OK_DELETE);
}

static void
reschedule_rows(Outcome **outcomes, int count)
{
	Outcome   **locked;
	Datum	   *times;
	Datum		params[4];

	if (count == 0)
		return;
	count = lock_rows(outcomes, count, &locked, params);
	times = palloc(sizeof(Datum) * Max(count, 1));
	for (int i = 0; i < count; i++)
		times[i] = TimestampTzGetDatum(locked[i]->retry_at);
	params[2] = array_of(times, count, TIMESTAMPTZOID);
	for (int i = 0; i < count; i++)
		times[i] = TimestampTzGetDatum(locked[i]->first_attempt_at);
	params[3] = array_of(times, count, TIMESTAMPTZOID);
	change_rows(RESCHEDULE_ROWS, locked, count, params, SPI_OK_UPDATE);
}

void
queue_record(Outcome **outcomes, int count)
{
	Outcome   **finished = palloc(sizeof(Outcome *) * count);
	Outcome   **retried = palloc(sizeof(Outcome *) * count);
	Outcome   **recorded = palloc(sizeof(Outcome *) * count);
	int			nfinished = 0;
	int			nretried = 0;
	int			nrecorded = 0;

	for (int i = 0; i < count; i++)
	{
		if (outcomes[i]->kind != VERDICT_RETRY)
			finished[nfinished++] = outcomes[i];
		else
			retried[nretried++] = outcomes[i];
	}
	delete_rows(finished, nfinished);
	reschedule_rows(retried, nretried);
	INJECT("recording");

	for (int i = 0; i < count; i++)
	{
		if (outcomes[i]->request != NULL)
			INJECT_EVENT("outcome", outcomes[i]->claimed.event_id);
		if (outcomes[i]->fate != ROW_BUSY)
			recorded[nrecorded++] = outcomes[i];
	}
	if (nrecorded > 0 && !direct_insert_deliveries(recorded, nrecorded))
		insert_by_statement(recorded, nrecorded);
}

bool
queue_is_locked(void)
{
	Oid			queue = extension_relation("queue");
	Oid			delivery = extension_relation("delivery");
	List	   *tables;
	ListCell   *lc;

	tables = lcons_oid(queue, find_inheritance_children(delivery, NoLock));
	tables = lcons_oid(delivery, tables);
	foreach(lc, tables)
	{
		if (!ConditionalLockRelationOid(lfirst_oid(lc), RowExclusiveLock))
			return true;
	}
	return false;
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

	tables_lock_and_look("breaker");
	execute(LOAD_BREAKERS, NULL, NULL, true, SPI_OK_SELECT);
	count = (int) SPI_processed;
	*breakers = palloc0(sizeof(StoredBreaker) * Max(count, 1));
	for (int i = 0; i < count; i++)
	{
		StoredBreaker *b = &(*breakers)[i];
		bool		null;

		b->destination_id = DatumGetInt32(column(i, 0, &null));
		b->breaker.failures = DatumGetInt32(column(i, 1, &null));
		b->breaker.opened_at = time_column(i, 2);
		b->breaker.next_probe_at = clock_when(time_column(i, 3));
		text_to_cstring_buffer(DatumGetTextPP(column(i, 4, &null)),
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
	values[3] = TimestampTzGetDatum(clock_wall(breaker->next_probe_at));
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
	result = DatumGetBool(column(0, 0, &null)) && !null;
	SPI_freetuptable(SPI_tuptable);
	return result;
}

/*
 * The partition for a slot as statements name it; NULL: there is none.  Its
 * parent says which one it is: a table that somebody has taken out of the ring
 * is his, whatever its name.
 */
static char *
partition_name(const char *parent_name, int16 slot)
{
	Relation	parent = table_open(extension_relation(parent_name), AccessShareLock);
	Oid			partition = partition_of_slot(parent, slot);

	table_close(parent, NoLock);
	if (!OidIsValid(partition))
		return NULL;
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(partition)),
									  get_rel_name(partition));
}

/*
 * A row of a time that this clock has not shown, and does not for long, keeps
 * its slot until then: say it once.
 */
static void
say_it_stays(Ring ring, int slot, const char *partition, TimestampTz newest)
{
	static bool said[RINGS][RING_SLOTS];

	if (said[ring][slot])
		return;
	said[ring][slot] = true;
	ereport(LOG,
			(errmsg("rswebhook keeps what is in \"%s\" until the retention after %s",
					partition, timestamptz_to_str(newest)),
			 errdetail("There is a row of that time, which is yet to come, and it is not known how long it has been there."),
			 errhint("To have it emptied earlier, give such rows a time that is past.")));
}

/*
 * Are all the times that a query finds older than that, and is there any?  The
 * first column is a time up to the second parameter, which the clock has shown
 * of late; the others are any.
 */
static bool
times_are_old(Ring ring, int slot, const char *partition, int64 age_us, const char *sql)
{
	Oid			types[] = {TIMESTAMPTZOID};
	Instant		now = clock_now();
	TimestampTz latest = clock_latest(age_us, now);
	Datum		values[] = {TimestampTzGetDatum(latest)};
	bool		old = false;

	if (SPI_execute_with_args(sql, 1, types, values, NULL, true, 1) != SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "unexpected result of \"%s\"", sql);
	for (int i = 0; i < 3; i++)
	{
		bool		null;
		TimestampTz at = DatumGetTimestampTz(column(0, i, &null));

		if (null)
			continue;
		old = i == 0 ? at < clock_before(age_us, now) : clock_is_past(at, age_us, now);
		if (!old)
		{
			if (at > latest && at - latest > USECS_PER_HOUR && clock_age(at, now) == 0)
				say_it_stays(ring, slot, partition, at);
			break;
		}
	}
	SPI_freetuptable(SPI_tuptable);
	return old;
}

/*
 * Are all rows of a partition older than that?  Deliveries have an index on their
 * times, so those that were shown of late are looked at apart from those that
 * the clock showed when it was ahead.  The newest event has the highest id, or,
 * if somebody has set the sequence back, the lowest, whatever the clock was
 * then: clock.c knows how old these two are.
 */
static bool
is_old(Ring ring, int slot, const char *partition, int64 age_us)
{
	const char *sql;

	if (ring == RING_DELIVERY)
		sql = psprintf("SELECT (SELECT started_at FROM %s WHERE started_at <= $1 ORDER BY started_at DESC LIMIT 1)::timestamptz,"
					   " (SELECT started_at FROM %s WHERE started_at > $1 ORDER BY started_at LIMIT 1)::timestamptz,"
					   " (SELECT started_at FROM %s WHERE started_at > $1 ORDER BY started_at DESC LIMIT 1)::timestamptz",
					   partition, partition, partition);
	else
		sql = psprintf("SELECT NULL::timestamptz,"
					   " (SELECT created_at FROM %s ORDER BY id LIMIT 1)::timestamptz,"
					   " (SELECT created_at FROM %s ORDER BY id DESC LIMIT 1)::timestamptz, $1",
					   partition, partition);
	return times_are_old(ring, slot, partition, age_us, sql);
}

/* Does a queue row of any destination need a payload of this partition? */
static bool
is_owed(const char *partition)
{
	return query_is_true(psprintf("WITH RECURSIVE ids AS ("
								  " SELECT (SELECT id FROM %s ORDER BY id LIMIT 1) AS low,"
								  "  (SELECT id FROM %s ORDER BY id DESC LIMIT 1) AS high),"
								  " " OWED_IDS
								  "SELECT EXISTS (SELECT FROM owed, ids, LATERAL"
								  " (SELECT FROM rswebhook.queue q WHERE q.destination_id = owed.id"
								  "  AND q.event_id BETWEEN ids.low AND ids.high LIMIT 1) AS found)",
								  partition, partition));
}

static bool
may_be_emptied(Ring ring, int slot, const char *partition, int64 age_us)
{
	return is_old(ring, slot, partition, age_us) && !(ring == RING_EVENT && is_owed(partition));
}

/*
 * Checked once without the lock that TRUNCATE takes, since the answer is nearly
 * always no, and again with it: a send that is still open holds the partition
 * against us.  The queue is locked by then as well.
 */
void
queue_expire(Ring ring, int slot, int64 age_us)
{
	char	   *partition = partition_name(ring == RING_EVENT ? "event" : "delivery", slot);

	if (partition == NULL || !may_be_emptied(ring, slot, partition, age_us))
		return;

	set_config_option("lock_timeout", EXPIRE_LOCK_TIMEOUT_MS, PGC_SUSET,
					  PGC_S_OVERRIDE, GUC_ACTION_LOCAL, true, 0, false);
	SPI_execute(psprintf("LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE", partition), false, 0);
	tables_look_again();
	if (!may_be_emptied(ring, slot, partition, age_us))
		return;
	SPI_execute(psprintf("TRUNCATE ONLY %s", partition), false, 0);
	ereport(LOG,
			(errmsg("rswebhook emptied \"%s\", which was past the retention", partition)));
}
