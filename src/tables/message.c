/*-------------------------------------------------------------------------
 *
 * message.c
 *		Which messages a destination has been sent of late: rswebhook.message.
 *
 * That two transactions send one message at once is found by the table's key: the
 * later one waits for the end of the other, and goes by that.  These are statements,
 * and cost a send as much again; who does not ask for it pays nothing.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "common/hashfn.h"
#include "common/int.h"
#include "executor/spi.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "base/as_role.h"
#include "base/clock.h"
#include "tables/message.h"
#include "tables/rows.h"
#include "tables/statement.h"
#include "tables/tables.h"

/* So many are forgotten at once. */
#define FORGET_AT_ONCE	1000

/* The longest that anybody can ask for. */
#define MOST_US		(INT64CONST(365) * USECS_PER_DAY)

/* Clocks that are looked at one after the other may differ so much. */
#define WRONG_US	(10 * USECS_PER_SEC)

pg_uuid_t
message_hash(const char *id, int len)
{
	pg_uuid_t	hash = {0};

	for (int i = 0; i < UUID_LEN; i += sizeof(uint64))
	{
		uint64		part = hash_bytes_extended((const unsigned char *) id, len, i + 1);

		memcpy(&hash.data[i], &part, sizeof(part));
	}
	return hash;
}

/* Neither noted nor there: somebody's trigger or rule has kept it out, or taken it away. */
static void
report_not_noted(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("message was not noted in \"rswebhook.message\""),
			 errdetail("A trigger or a rule has kept its row out of the table."),
			 errhint("Look for triggers and rules on rswebhook.message.")));
}

/* For so long a message is known, whatever there is in the row. */
static int64
kept_for(TimestampTz noted_at, TimestampTz expires_at)
{
	int64		us;

	if (pg_sub_s64_overflow(expires_at, noted_at, &us))
		return expires_at > noted_at ? PG_INT64_MAX : 0;
	return Max(us, 0);
}

/*
 * Is what was noted over, for who asks for so long?  By how long ago that was, however the
 * clock was set since.  A time to come that the clock has never shown, as far as is known,
 * says nothing, and would hold for as long as the clock was ahead.
 */
static bool
is_over(TimestampTz noted_at, TimestampTz expires_at, int64 window_us, Instant now)
{
	if (noted_at > clock_wall(now) + WRONG_US && clock_age(noted_at, now) == 0)
		return true;
	return clock_is_past(noted_at, Min(window_us, kept_for(noted_at, expires_at)), now);
}

/* When it is noted, and up to when it is known. */
static void
set_times(Datum *values, Instant now, int64 kept_us)
{
	values[3] = TimestampTzGetDatum(clock_wall(now));
	values[4] = TimestampTzGetDatum(clock_wall(now) + kept_us);
}

static bool
note_or_find(Datum *values, int64 window_us, int64 kept_us, int64 *first)
{
	bool		null;
	TimestampTz noted_at;
	TimestampTz expires_at;
	Instant		now;

	set_times(values, clock_now(), kept_us);
	statement_execute(NOTE_MESSAGE, values, NULL, false, SPI_OK_INSERT);
	if (SPI_processed == 1)
		return true;
	statement_execute(FIND_MESSAGE, values, NULL, false, SPI_OK_SELECT);
	if (SPI_processed != 1)
		report_not_noted();
	*first = DatumGetInt64(statement_column(0, 0, &null));
	noted_at = statement_time(0, 1);
	expires_at = statement_time(0, 2);
	now = clock_now();			/* others may have been waited for */
	if (!is_over(noted_at, expires_at, window_us, now))
		return false;

	/* who asks for longer next goes by the longer one */
	set_times(values, now, Max(kept_us, Min(kept_for(noted_at, expires_at), MOST_US)));
	statement_execute(NOTE_MESSAGE_AGAIN, values, NULL, false, SPI_OK_UPDATE);
	if (SPI_processed != 1)
		report_not_noted();
	return true;
}

bool
message_is_first(int32 destination_id, const pg_uuid_t *hash, int64 event_id,
				 int64 window_us, int64 kept_us, int64 *first)
{
	Relation	rel = table_open(tables_relation("message"), RowExclusiveLock);
	Datum		values[] = {Int32GetDatum(destination_id), UUIDPGetDatum(hash), Int64GetDatum(event_id), 0, 0};
	AsRole		before;
	bool		is_first;

	clock_note();
	as_role_begin(&before, rel->rd_rel->relowner);
	SPI_connect();
	is_first = note_or_find(values, window_us, kept_us, first);
	SPI_finish();
	as_role_end(&before);
	table_close(rel, NoLock);
	return is_first;
}

bool
message_is_plain(void)
{
	Oid			table = tables_find("message");
	Relation	rel;
	bool		plain;

	if (!OidIsValid(table))
		return false;
	rel = table_open(table, RowExclusiveLock);
	plain = rows_table_is_plain(rel, columns_of_message, MESSAGE_COLUMNS, rows_message_key);

	table_close(rel, NoLock);
	return plain;
}

bool
message_forget(TimestampTz before)
{
	Datum		values[] = {TimestampTzGetDatum(before), Int64GetDatum(FORGET_AT_ONCE)};

	statement_execute(FORGET_MESSAGES, values, NULL, false, SPI_OK_DELETE);
	return SPI_processed == FORGET_AT_ONCE;
}
