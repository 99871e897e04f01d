/*-------------------------------------------------------------------------
 *
 * queue_sweep.c
 *		Deleting old events from a part of the ring in which others are owed.
 *
 * One event that is owed for long, to a destination that is paused, say, must not
 * keep all that were sent in its time.  Each piece is a transaction of its own,
 * and goes on behind the one before.
 *
 * An event that nobody is owed may be replayed at any time.  So it is locked first,
 * as rswebhook_replay() does, and only then it is looked under a new snapshot
 * whether it is owed by now.  What somebody has locked stays.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "tables/piece.h"
#include "tables/queue.h"
#include "tables/queue_sweep.h"
#include "tables/statement.h"
#include "tables/tables.h"

/* What is kept is said so often. */
#define SAY_AGAIN_US	USECS_PER_DAY

static int	sweeping = -1;		/* a part; -1: none */
static int64 swept_to;			/* up to this id */
static int64 deleted;			/* rows */

static Instant swept_at[RING_PARTS];	/* 0: never */
static Instant say_again[RING_PARTS];	/* 0: nothing was kept */

/* Of parameters: ids behind the first and up to the second, destinations. */
#define IS_NOT_OWED \
	"e.id > $1 AND e.id <= $2 AND e.id NOT IN (SELECT q.event_id FROM unnest($3) AS o (id)" \
	" CROSS JOIN LATERAL (SELECT q.event_id FROM rswebhook.queue q WHERE q.destination_id = o.id" \
	"  AND q.event_id > $1 AND q.event_id <= $2 OFFSET 0) AS q)"

static int
execute(const char *sql, Oid *types, Datum *values, int nargs, int expected)
{
	if (SPI_execute_with_args(sql, nargs, types, values, NULL, false, 0) != expected)
		elog(ERROR, "unexpected result of \"%s\"", sql);
	return (int) SPI_processed;
}

static void
delete_piece(const char *partition, int64 after_id, int64 upto_id, TimestampTz before)
{
	Oid			types[] = {INT8OID, INT8OID, INT4ARRAYOID, TIMESTAMPTZOID};
	Datum		values[] = {
		Int64GetDatum(after_id), Int64GetDatum(upto_id), queue_owed_array(), TimestampTzGetDatum(before)
	};
	Datum	   *tids;
	int			count;
	bool		null;

	count = execute(psprintf("SELECT e.ctid FROM ONLY %s e WHERE " IS_NOT_OWED
							 " AND e.created_at::timestamptz < $4 FOR UPDATE OF e SKIP LOCKED", partition),
					types, values, 4, SPI_OK_SELECT);
	tids = palloc(sizeof(Datum) * Max(count, 1));
	for (int i = 0; i < count; i++)
		tids[i] = statement_column(i, 0, &null);
	if (count == 0)
		return;
	types[3] = TIDARRAYOID;
	values[3] = statement_array(tids, count, TIDOID);

	tables_look_again();
	values[2] = queue_owed_array();
	deleted += execute(psprintf("DELETE FROM ONLY %s e WHERE e.ctid = ANY ($4) AND " IS_NOT_OWED, partition),
					   types, values, 4, SPI_OK_DELETE);
}

/* Whom the oldest event is owed that is older than that, and how many are owed one. */
static void
say_what_is_kept(int ring_part, const char *partition, TimestampTz before)
{
	Oid			types[] = {INT4ARRAYOID, TIMESTAMPTZOID};
	Datum		values[] = {queue_owed_array(), TimestampTzGetDatum(before)};
	int			count;
	bool		null;

	count = execute(psprintf("WITH ids AS MATERIALIZED ("
							 " SELECT (SELECT id FROM %s ORDER BY id LIMIT 1) AS low,"
							 "  (SELECT id FROM %s ORDER BY id DESC LIMIT 1) AS high)"
							 "SELECT e.created_at::timestamptz, q.event_id::int8, coalesce(d.name, '(deleted)')::text,"
							 " CASE WHEN NOT d.enabled THEN ' is disabled' WHEN d.paused THEN ' is paused'"
							 "  WHEN q.deliver_after > now() THEN ' is to have it later'"
							 "  ELSE ' has not had it yet' END::text"
							 " FROM ids, unnest($1) AS owed (id) CROSS JOIN LATERAL"
							 " (SELECT q.event_id, q.deliver_after FROM rswebhook.queue q WHERE q.destination_id = owed.id"
							 "  AND q.event_id BETWEEN ids.low AND ids.high ORDER BY q.event_id LIMIT 1) AS q"
							 " JOIN %s e ON e.id = q.event_id AND e.created_at::timestamptz < $2"
							 " LEFT JOIN rswebhook.destination d ON d.id = owed.id"
							 " ORDER BY q.event_id", partition, partition, partition),
					types, values, 2, SPI_OK_SELECT);
	if (count == 0)
		say_again[ring_part] = 0;
	else if (clock_now() >= say_again[ring_part])
	{
		say_again[ring_part] = clock_now() + SAY_AGAIN_US;
		ereport(LOG,
				(errmsg_plural("rswebhook keeps events in \"%s\" that are past the retention, since they are owed to %d destination",
							   "rswebhook keeps events in \"%s\" that are past the retention, since they are owed to %d destinations",
							   count, partition, count),
				 errdetail("The oldest, " INT64_FORMAT " of %s, is owed to destination \"%s\", which%s.",
						   DatumGetInt64(statement_column(0, 1, &null)),
						   timestamptz_to_str(DatumGetTimestampTz(statement_column(0, 0, &null))),
						   TextDatumGetCString(statement_column(0, 2, &null)),
						   TextDatumGetCString(statement_column(0, 3, &null))),
				 errhint("Resume it, or cancel what it is owed; its expires_after has old events given up.")));
	}
	SPI_freetuptable(SPI_tuptable);
}

bool
queue_sweep_is_on(int ring_part)
{
	return sweeping == ring_part;
}

bool
queue_sweep_rests(int ring_part, int64 age_us)
{
	return swept_at[ring_part] != 0 && clock_now() < swept_at[ring_part] + age_us / 8;
}

bool
queue_sweep(int ring_part, Oid relid, const char *partition, int64 age_us)
{
	Instant		now = clock_now();
	TimestampTz before = clock_before(age_us, now);
	int64		after_id;

	if (sweeping != ring_part)
	{
		sweeping = ring_part;
		swept_to = PG_INT64_MIN;
		deleted = 0;
	}
	after_id = swept_to;
	/* an error in a piece is not met again and again: the next one comes behind it */
	if (piece_of_ids(relid, after_id, &swept_to))
	{
		delete_piece(partition, after_id, swept_to, before);
		return true;
	}

	sweeping = -1;
	swept_at[ring_part] = now;
	if (deleted > 0)
		ereport(LOG,
				(errmsg("rswebhook deleted " INT64_FORMAT " events from \"%s\" that were past the retention",
						deleted, partition)));
	say_what_is_kept(ring_part, partition, before);
	return false;
}
