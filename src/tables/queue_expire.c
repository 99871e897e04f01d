/*-------------------------------------------------------------------------
 *
 * queue_expire.c
 *		Emptying a part of a ring whose rows are past the retention.
 *
 * The statements are about one partition, whatever its name, and run seldom: they
 * are not prepared.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "tables/queue.h"
#include "tables/queue_expire.h"
#include "tables/queue_sweep.h"
#include "tables/rows.h"
#include "tables/statement.h"
#include "tables/tables.h"

/*
 * Emptying a part may make readers of old rows wait this long at the most, for
 * what else TRUNCATE locks.  The part itself is never waited for: whoever locks it
 * then would have to queue behind us, and pg_dump's workers, who may not, would fail.
 */
#define EXPIRE_LOCK_TIMEOUT_MS	"50"

static bool
query_is_true(const char *sql)
{
	bool		null;
	bool		result;

	if (SPI_execute(sql, true, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "unexpected result of \"%s\"", sql);
	result = DatumGetBool(statement_column(0, 0, &null)) && !null;
	SPI_freetuptable(SPI_tuptable);
	return result;
}

/*
 * InvalidOid: there is none.  The parent says which one it is: a table that somebody
 * has taken out of the ring is his, whatever its name.
 */
static Oid
partition_of(const char *parent_name, int16 ring_part)
{
	Relation	parent = table_open(tables_relation(parent_name), AccessShareLock);
	Oid			partition = rows_partition(parent, ring_part);

	table_close(parent, NoLock);
	return partition;
}

/*
 * A row of a time that this clock has not shown, and does not for long, keeps
 * its part of the ring until then: say it once.
 */
static void
say_it_stays(Ring ring, int ring_part, const char *partition, TimestampTz newest)
{
	static bool said[RINGS][RING_PARTS];

	if (said[ring][ring_part])
		return;
	said[ring][ring_part] = true;
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
times_are_old(Ring ring, int ring_part, const char *partition, int64 age_us, const char *sql)
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
		TimestampTz at = DatumGetTimestampTz(statement_column(0, i, &null));

		if (null)
			continue;
		old = i == 0 ? at < clock_before(age_us, now) : clock_is_past(at, age_us, now);
		if (!old)
		{
			if (at > latest && at - USECS_PER_HOUR > latest && clock_age(at, now) == 0)
				say_it_stays(ring, ring_part, partition, at);
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
is_old(Ring ring, int ring_part, const char *partition, int64 age_us)
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
	return times_are_old(ring, ring_part, partition, age_us, sql);
}

/* Does a queue row of any destination need a payload of this partition? */
static bool
is_owed(const char *partition)
{
	char	   *owed = DatumGetCString(OidFunctionCall1(F_ARRAY_OUT, queue_owed_array()));

	return query_is_true(psprintf("WITH ids AS MATERIALIZED ("
								  " SELECT (SELECT id FROM %s ORDER BY id LIMIT 1) AS low,"
								  "  (SELECT id FROM %s ORDER BY id DESC LIMIT 1) AS high)"
								  "SELECT EXISTS (SELECT FROM unnest('%s'::int4[]) AS owed (id), ids, LATERAL"
								  " (SELECT FROM rswebhook.queue q WHERE q.destination_id = owed.id"
								  "  AND q.event_id BETWEEN ids.low AND ids.high LIMIT 1) AS found)",
								  partition, partition, owed));
}

/*
 * Is there anything of the ring's last turn?  What is being written now, and emptied
 * in time, is an eighth of the retention older than that at the most.
 */
static bool
begins_too_old(int ring_part, const char *partition, int64 age_us)
{
	return times_are_old(RING_EVENT, ring_part, partition, age_us + age_us / 8,
						 psprintf("SELECT NULL::timestamptz, (SELECT created_at FROM %s ORDER BY id LIMIT 1)::timestamptz,"
								  " NULL::timestamptz, $1", partition));
}

/*
 * pg_dump reads pg_extension, and so keeps a lock on that to its end; but none on
 * the tables of an extension, which its parallel workers lock later and may not wait for.
 */
static bool
dump_is_open(void)
{
	LOCKTAG		tag;
	int			others;

	SET_LOCKTAG_RELATION(tag, MyDatabaseId, ExtensionRelationId);
	pfree(GetLockConflicts(&tag, AccessExclusiveLock, &others));
	return others > 0;
}

/*
 * Whoever has left such a transaction open is in the way for so long at the most: the
 * part has to be empty before it is written again, an eighth of the retention later.
 */
static void
make_way_for_dump(Ring ring, int ring_part, const char *partition, int64 age_us)
{
	if (dump_is_open() && !is_old(ring, ring_part, partition, age_us + age_us / 16))
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("\"%s\" is not emptied while a dump may be under way", partition)));
}

/*
 * Checked once without the lock that TRUNCATE takes, since the answer is nearly
 * always no, and again with it: a send that is still open holds the partition
 * against us.  The queue is locked by then as well.
 */
static void
empty_part(Ring ring, int ring_part, const char *partition, int64 age_us)
{
	make_way_for_dump(ring, ring_part, partition, age_us);
	SPI_execute(psprintf("LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE NOWAIT", partition), false, 0);
	tables_look_again();
	if (!is_old(ring, ring_part, partition, age_us) || (ring == RING_EVENT && is_owed(partition)))
		return;
	SPI_execute(psprintf("TRUNCATE ONLY %s", partition), false, 0);
	ereport(LOG,
			(errmsg("rswebhook emptied \"%s\", which was past the retention", partition)));
}

bool
queue_expire(Ring ring, int ring_part, int64 age_us)
{
	Oid			relid = partition_of(ring == RING_EVENT ? "event" : "delivery", ring_part);
	char	   *partition;
	bool		old;

	if (!OidIsValid(relid) || (ring == RING_EVENT && queue_sweep_rests(ring_part, age_us)))
		return false;
	partition = quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
										   get_rel_name(relid));
	set_config_option("lock_timeout", EXPIRE_LOCK_TIMEOUT_MS, PGC_SUSET,
					  PGC_S_OVERRIDE, GUC_ACTION_LOCAL, true, 0, false);
	if (ring == RING_EVENT && queue_sweep_is_on(ring_part))
		return queue_sweep(ring_part, relid, partition, age_us);

	old = is_old(ring, ring_part, partition, age_us);
	if (old && !(ring == RING_EVENT && is_owed(partition)))
		empty_part(ring, ring_part, partition, age_us);
	else if (ring == RING_EVENT && (old || begins_too_old(ring_part, partition, age_us)))
		return queue_sweep(ring_part, relid, partition, age_us);
	return false;
}
