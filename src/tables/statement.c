/*-------------------------------------------------------------------------
 *
 * statement.c
 *		The statements that the worker runs, each once, but for those that look at
 *		one partition (queue_expire.c).
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

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "tables/columns.h"
#include "tables/statement.h"

/* Of these types, whatever somebody has made of the table; the ctid comes last. */
#define AS_SELECTED(number, name, type, sql_type, nullable) "q." name "::" sql_type ", "
#define COLUMNS QUEUE_COLUMN_LIST(AS_SELECTED) "q.ctid"

/* As queue_row_next_attempt() has it */
#define NEXT_ATTEMPT(row) "least(" row ".attempts, 2147483646) + 1"

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

/* Columns of the table may keep times less exactly than ours do. */
#define IS_TIME(column, time) \
	column "::timestamptz BETWEEN " time " - interval '1 s' AND " time " + interval '1 s'"

static struct
{
	const char *sql;
	int			nargs;
	Oid			args[8];
	const char *changes;		/* this table; NULL: none */
	const char *kept;			/* with the same parameters, afterwards: finds a row if
								 * something is not as it was to be; NULL: not asked */
}			statements[] = {

	[OWED_DESTINATIONS] = {
		"WITH RECURSIVE owed (id) AS ("
		" (SELECT destination_id FROM rswebhook.queue ORDER BY destination_id LIMIT 1)"
		" UNION ALL"
		" SELECT (SELECT q.destination_id FROM rswebhook.queue q"
		"   WHERE q.destination_id > owed.id ORDER BY q.destination_id LIMIT 1)"
		" FROM owed WHERE owed.id IS NOT NULL) "
		"SELECT id FROM owed WHERE id IS NOT NULL",
		0, {0}
	},
	[IS_OWED] = {
		"SELECT true FROM unnest($3) AS owed (id) CROSS JOIN LATERAL"
		" (SELECT q.event_slot FROM rswebhook.queue q WHERE q.destination_id = owed.id"
		"  AND q.event_id = $1 OFFSET 0) AS r WHERE r.event_slot = $2 LIMIT 1",
		3, {INT8OID, INT2OID, INT4ARRAYOID}
	},
	[READ_BY_ID] = {
		"SELECT " COLUMNS " FROM rswebhook.queue q"
		" WHERE q.destination_id = $1 AND q.event_id >= $2 AND q.event_id <= $3"
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
	[READ_BY_IDS] = {
		"SELECT r.* FROM unnest($2) AS c (event_id)"
		" CROSS JOIN LATERAL (SELECT " COLUMNS " FROM rswebhook.queue q"
		"  WHERE q.destination_id = $1 AND q.event_id = c.event_id LIMIT 1) AS r",
		2, {INT4OID, INT8ARRAYOID}
	},
	[FETCH] = {
		"SELECT e.event::jsonb, e.created_at::timestamptz, e.nonce::int8, e.traceparent::text"
		" FROM unnest($1, $2, $3, $4, $5) AS c (" CLAIMED_COLUMNS ", slot)"
		" CROSS JOIN LATERAL (SELECT FROM rswebhook.queue k WHERE " IS_CLAIMED " LIMIT 1) AS r"
		" LEFT JOIN LATERAL (SELECT e.event, e.created_at, e.nonce, e.traceparent FROM rswebhook.event e"
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
		"DELETE FROM rswebhook.queue q USING unnest($5, $6) AS l (place, tid)"
		" WHERE q.tableoid = l.place AND q.ctid = l.tid",
		6, {INT4ARRAYOID, INT8ARRAYOID, INT4ARRAYOID, TIMESTAMPTZARRAYOID, OIDARRAYOID, TIDARRAYOID},
		"queue",
		"SELECT FROM unnest($1, $2, $3, $4) AS c (" CLAIMED_COLUMNS ")"
		" CROSS JOIN LATERAL (SELECT FROM rswebhook.queue k WHERE " IS_CLAIMED " LIMIT 1) AS r LIMIT 1"
	},

	/* rows that are there no more are none that was kept: a trigger may give up, too */
	[RESCHEDULE_ROWS] = {
		"UPDATE rswebhook.queue q"
		" SET attempts = " NEXT_ATTEMPT("q") ", retry_at = l.retry_at,"
		"  first_attempt_at = l.first_attempt_at"
		" FROM unnest($5, $6, $7, $8) AS l (place, tid, retry_at, first_attempt_at)"
		" WHERE q.tableoid = l.place AND q.ctid = l.tid",
		8, {INT4ARRAYOID, INT8ARRAYOID, INT4ARRAYOID, TIMESTAMPTZARRAYOID, OIDARRAYOID, TIDARRAYOID,
		TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID},
		"queue",
		"SELECT FROM unnest($1, $2, $3, $4, $7, $8)"
		"  AS c (" CLAIMED_COLUMNS ", retry_at, first_attempt_at)"
		" CROSS JOIN LATERAL (SELECT FROM rswebhook.queue k"
		"  WHERE k.destination_id = c.destination_id AND k.event_id = c.event_id"
		"  AND (k.attempts = " NEXT_ATTEMPT("c") " AND k.queued_at = c.queued_at"
		"   AND " IS_TIME("k.retry_at", "c.retry_at")
		"   AND " IS_TIME("k.first_attempt_at", "c.first_attempt_at") ") IS NOT TRUE LIMIT 1) AS r LIMIT 1"
	},
	[PAUSE] = {
		"UPDATE rswebhook.destination SET paused = true WHERE id = $1 AND NOT paused AND xmin = $2",
		2, {INT4OID, XIDOID}, "destination",
		"SELECT FROM rswebhook.destination WHERE id = $1 AND NOT paused"
		" AND (xmin = $2 OR xmin = pg_current_xact_id_if_assigned()::xid)"
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
		" SELECT $1, $2, $3, $4, $5 FROM rswebhook.destination WHERE id = $1 AND xmin = $6 FOR SHARE"
		" ON CONFLICT (destination_id) DO UPDATE SET failures = EXCLUDED.failures,"
		"  opened_at = EXCLUDED.opened_at, next_probe_at = EXCLUDED.next_probe_at,"
		"  reason = EXCLUDED.reason",
		6, {INT4OID, INT4OID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, XIDOID}, "breaker",
		"SELECT FROM rswebhook.destination WHERE id = $1 AND xmin = $6"
		" AND NOT EXISTS (SELECT FROM rswebhook.breaker"
		" WHERE destination_id = $1 AND failures = $2 AND " IS_TIME("opened_at", "$3")
		" AND " IS_TIME("next_probe_at", "$4") ")"
	},
	[CLOSE_BREAKER] = {
		"DELETE FROM rswebhook.breaker WHERE destination_id = $1",
		1, {INT4OID}, "breaker",
		"SELECT FROM rswebhook.breaker WHERE destination_id = $1"
	},
	[LOAD_TRUSTED] = {
		"SELECT t.destination_id::int4, u.key::int8"
		" FROM rswebhook.trusted t JOIN rswebhook.destination d ON d.id = t.destination_id"
		" CROSS JOIN LATERAL unnest(t.users[1:$1]) WITH ORDINALITY AS u (key, n)"
		" WHERE u.key IS NOT NULL ORDER BY u.n - cardinality(t.users), t.saved_at",
		1, {INT4OID}
	},
	[SAVE_TRUSTED] = {
		"INSERT INTO rswebhook.trusted AS t (destination_id, parts, part, saved_at, users)"
		" SELECT $1, $2, $3, clock_timestamp(), $4 FROM rswebhook.destination WHERE id = $1"
		" ON CONFLICT (destination_id, parts, part) DO UPDATE SET saved_at = excluded.saved_at,"
		"  users = excluded.users",
		4, {INT4OID, INT4OID, INT4OID, INT8ARRAYOID}, "trusted"
	},
	[FORGET_TRUSTED] = {
		"DELETE FROM rswebhook.trusted t WHERE t.users = '{}'"
		" OR NOT EXISTS (SELECT FROM rswebhook.destination d WHERE d.id = t.destination_id"
		"  AND least(d.workers, $1) = t.parts)",
		1, {INT4OID}, "trusted"
	},

	/* null: ids do not come in their order */
	[LAST_ID] = {
		"SELECT CASE WHEN p.seqcache = 1 AND p.seqincrement > 0 THEN s.last_value::int8 END"
		" FROM rswebhook.event_id_seq s, pg_catalog.pg_sequence p"
		" WHERE p.seqrelid = 'rswebhook.event_id_seq'::regclass",
		0, {0}
	},
	[LOAD_FLOORS] = {
		"SELECT destination_id::int4, count(*)::int4, min(after_id)::int8"
		" FROM rswebhook.floor GROUP BY 1",
		0, {0}
	},

	/*
	 * One for all rows of a destination, if they are as many as there were: if
	 * not, somebody has replayed events meanwhile, and the lowest stays.
	 */
	[SAVE_FLOOR] = {
		"WITH old AS (DELETE FROM rswebhook.floor WHERE destination_id = $1 RETURNING after_id)"
		" INSERT INTO rswebhook.floor AS f (destination_id, after_id)"
		" SELECT $1, CASE WHEN count(*) = $2 THEN $3 ELSE least(min(old.after_id), $3) END FROM old"
		" RETURNING f.after_id::int8",
		3, {INT4OID, INT8OID, INT8OID}, "floor"
	},
	[FORGET_FLOORS] = {
		"DELETE FROM rswebhook.floor f"
		" WHERE NOT EXISTS (SELECT FROM rswebhook.destination d WHERE d.id = f.destination_id)",
		0, {0}, "floor"
	},

	/* a row that is there is locked as it is, so that it is found then */
	[NOTE_MESSAGE] = {
		"INSERT INTO rswebhook.message AS m (destination_id, hash, event_id, noted_at, expires_at)"
		" VALUES ($1, $2, $3, $4, $5)"
		" ON CONFLICT (destination_id, hash) DO UPDATE SET event_id = m.event_id WHERE false",
		5, {INT4OID, UUIDOID, INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID}, "message"
	},
	[FIND_MESSAGE] = {
		"SELECT event_id::int8, noted_at::timestamptz, expires_at::timestamptz FROM rswebhook.message"
		" WHERE destination_id = $1 AND hash = $2",
		5, {INT4OID, UUIDOID, INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID}
	},
	[NOTE_MESSAGE_AGAIN] = {
		"UPDATE rswebhook.message SET event_id = $3, noted_at = $4, expires_at = $5"
		" WHERE destination_id = $1 AND hash = $2",
		5, {INT4OID, UUIDOID, INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID}, "message"
	},
	[FORGET_MESSAGES] = {
		"DELETE FROM rswebhook.message WHERE ctid = ANY (ARRAY("
		" SELECT ctid FROM rswebhook.message WHERE expires_at < $1 ORDER BY expires_at"
		" LIMIT $2 FOR UPDATE SKIP LOCKED))",
		2, {TIMESTAMPTZOID, INT8OID}, "message"
	},

	/* likewise as PAUSE */
	[DISABLE] = {
		"UPDATE rswebhook.destination SET enabled = false WHERE id = $1 AND enabled AND xmin = $2",
		2, {INT4OID, XIDOID}, "destination",
		"SELECT FROM rswebhook.destination WHERE id = $1 AND enabled"
		" AND (xmin = $2 OR xmin = pg_current_xact_id_if_assigned()::xid)"
	},
	[RAISE_ALERT] = {
		"SELECT rswebhook.raise_alert($1, $2, $3, $4, $5, $6)",
		6, {TEXTOID, INT4OID, TEXTOID, INT8OID, TIMESTAMPTZOID, INT8OID}
	},
	[CLEAR_ALERT] = {
		"SELECT rswebhook.clear_alert($1, $2)",
		2, {TEXTOID, INT4OID}
	},
	[LOOK_FOR_ALERTS] = {
		"SELECT rswebhook.look_for_alerts($1)",
		1, {INT4OID}
	},
	[LOOK_AT_WORKERS] = {
		"SELECT count(*) FILTER (WHERE pid IS NULL)::int4,"
		"  (array_agg(pid ORDER BY share) FILTER (WHERE pid IS NOT NULL))[1] = pg_backend_pid(),"
		"  EXISTS (SELECT FROM rswebhook.alert WHERE told < count)"
		" FROM rswebhook.workers()",
		0, {0}
	},
	[LOAD_ALERTS] = {
		"SELECT destination_id::int4, kind::text, since::timestamptz FROM rswebhook.alert WHERE open",
		0, {0}
	},

	/* what was not sent says nothing of its destination */
	[LATEST_ATTEMPTS] = {
		"SELECT d.destination_id::int4, d.outcome::text IN ('delivered', 'sunk')"
		" FROM (SELECT destination_id, outcome, started_at, request FROM rswebhook.delivery"
		"  ORDER BY started_at DESC LIMIT 1000) AS d"
		" WHERE d.request IS NOT NULL ORDER BY d.started_at DESC",
		0, {0}
	},
	[NOTE_TALLY] = {
		"INSERT INTO rswebhook.untallied (at, destination_ids, whats, counts, error_ids, errors)"
		" VALUES ($1, $2, $3, $4, $5, $6)",
		6, {TIMESTAMPTZOID, INT4ARRAYOID, INT2ARRAYOID, INT4ARRAYOID, INT4ARRAYOID, TEXTARRAYOID}, "untallied"
	},

	/* of a destination that is gone, nothing is kept; what comes last is the last, whatever the clock showed */
	[FOLD_TALLY] = {
		"WITH gone AS (DELETE FROM rswebhook.untallied u WHERE u.ctid = ANY (ARRAY("
		"   SELECT k.ctid FROM rswebhook.untallied k LIMIT $1 FOR UPDATE SKIP LOCKED)) RETURNING u.*),"
		" news AS (SELECT n.destination_id, array_agg(g.at) AS ats, array_agg(n.what) AS whats,"
		"   array_agg(n.count) AS counts, max(g.at) FILTER (WHERE n.what >= 0) AS last_delivered_at"
		"  FROM gone g CROSS JOIN LATERAL unnest(g.destination_ids, g.whats, g.counts)"
		"   AS n (destination_id, what, count) GROUP BY n.destination_id),"
		" errors AS (SELECT DISTINCT ON (e.destination_id) e.destination_id, g.at, e.error"
		"  FROM gone g CROSS JOIN LATERAL unnest(g.error_ids, g.errors) AS e (destination_id, error)"
		"  ORDER BY e.destination_id, g.at DESC),"
		" added AS (INSERT INTO rswebhook.tally AS t"
		"   (destination_id, counts, last_delivered_at, last_error_at, last_error)"
		"  SELECT destination_id,"
		"   rswebhook.tally_add(o.counts::int8[], clock_timestamp(), n.ats, n.whats, n.counts),"
		"   coalesce(n.last_delivered_at, o.last_delivered_at), coalesce(e.at, o.last_error_at),"
		"   coalesce(e.error, o.last_error)"
		"  FROM news n LEFT JOIN rswebhook.tally o USING (destination_id) LEFT JOIN errors e USING (destination_id)"
		"  WHERE destination_id = 0 OR destination_id IN (SELECT d.id FROM rswebhook.destination d)"
		"  ON CONFLICT (destination_id) DO UPDATE SET counts = excluded.counts,"
		"   last_delivered_at = excluded.last_delivered_at, last_error_at = excluded.last_error_at,"
		"   last_error = excluded.last_error)"
		" SELECT count(*) FROM gone",
		1, {INT8OID}, "tally"
	},
};

static SPIPlanPtr plans[lengthof(statements)];
static SPIPlanPtr plans_of_kept[lengthof(statements)];

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
		appendStringInfo(&names, "%s%s", i > 0 ? ", " : "", columns_of_delivery[i].name);
		appendStringInfo(&arrays, "%s$%d", i > 0 ? ", " : "", i + 1);
		types[i] = get_array_type(columns_of_delivery[i].type);
	}
	return SPI_prepare(psprintf("INSERT INTO rswebhook.delivery (%s)"
								" SELECT %s FROM unnest(%s) AS c (%s)",
								names.data, names.data, arrays.data, names.data),
					   DELIVERY_COLUMNS, types);
}

pg_noreturn static void
not_obeyed(Statement statement)
{
	const char *table = statements[statement].changes;

	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("rows of \"rswebhook.%s\" were not changed as they have to be", table),
			 errdetail("A trigger or a rule has kept them as they were, or made something else of them or of the statement."),
			 errhint("Look for triggers and rules on rswebhook.%s.", table)));
}

static SPIPlanPtr
keep_plan(Statement statement, SPIPlanPtr plan)
{
	if (plan == NULL || SPI_keepplan(plan) != 0)
		elog(ERROR, "could not prepare statement %d: %s", statement,
			 SPI_result_code_string(SPI_result));
	return plan;
}

void
statement_execute(Statement statement, Datum *values, const char *nulls,
				  bool read_only, int expected)
{
	MemoryContext caller = CurrentMemoryContext;
	int			result;

	if (plans[statement] == NULL)
		plans[statement] = keep_plan(statement, statement == INSERT_DELIVERIES ?
									 prepare_insert_deliveries() :
									 SPI_prepare(statements[statement].sql, statements[statement].nargs,
												 statements[statement].args));
	result = SPI_execute_plan(plans[statement], values, nulls, read_only, 0);
	MemoryContextSwitchTo(caller);	/* SPI leaves us in its own */
	if (result != expected)
	{
		/* made under a rule that left nothing of it, it would not hear of changes */
		SPI_freeplan(plans[statement]);
		plans[statement] = NULL;
		not_obeyed(statement);
	}
}

void
statement_check(Statement statement, Datum *values)
{
	MemoryContext caller = CurrentMemoryContext;

	if (plans_of_kept[statement] == NULL)
		plans_of_kept[statement] = keep_plan(statement,
											 SPI_prepare(statements[statement].kept,
														 statements[statement].nargs,
														 statements[statement].args));
	(void) SPI_execute_plan(plans_of_kept[statement], values, NULL, false, 1);
	MemoryContextSwitchTo(caller);
	if (SPI_processed > 0)
		not_obeyed(statement);
}

Datum
statement_column(int row, int number, bool *null)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, number + 1, null);
}

TimestampTz
statement_time(int row, int number)
{
	bool		null;
	Datum		value = statement_column(row, number, &null);

	return null ? NO_TIME : DatumGetTimestampTz(value);
}

Datum
statement_array(Datum *values, int count, Oid type)
{
	int16		length;
	bool		by_value;
	char		align;

	get_typlenbyvalalign(type, &length, &by_value, &align);
	return PointerGetDatum(construct_array(values, count, type, length, by_value, align));
}

void
statement_claimed(const QueueRow **rows, int count, Datum *params)
{
	Datum	   *values = palloc(sizeof(Datum) * count);

	for (int i = 0; i < count; i++)
		values[i] = Int32GetDatum(rows[i]->destination_id);
	params[0] = statement_array(values, count, INT4OID);
	for (int i = 0; i < count; i++)
		values[i] = Int64GetDatum(rows[i]->event_id);
	params[1] = statement_array(values, count, INT8OID);
	for (int i = 0; i < count; i++)
		values[i] = Int32GetDatum(rows[i]->attempts);
	params[2] = statement_array(values, count, INT4OID);
	for (int i = 0; i < count; i++)
		values[i] = TimestampTzGetDatum(rows[i]->queued_at);
	params[3] = statement_array(values, count, TIMESTAMPTZOID);
}
