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
#include "executor/spi.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "base/as_role.h"
#include "tables/message.h"
#include "tables/rows.h"
#include "tables/statement.h"
#include "tables/tables.h"

/* So many are forgotten at once. */
#define FORGET_AT_ONCE	1000

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

static bool
note_or_find(Datum *values, int64 *first)
{
	bool		null;

	statement_execute(NOTE_MESSAGE, values, NULL, false, SPI_OK_INSERT);
	if (SPI_processed == 1)
		return true;
	statement_execute(FIND_MESSAGE, values, NULL, false, SPI_OK_SELECT);
	if (SPI_processed != 1)
		report_not_noted();
	*first = DatumGetInt64(statement_column(0, 0, &null));
	return false;
}

bool
message_is_first(int32 destination_id, const pg_uuid_t *hash, int64 event_id, TimestampTz now,
				 int64 window_us, int64 *first)
{
	Datum		values[] = {
		Int32GetDatum(destination_id), UUIDPGetDatum(hash), Int64GetDatum(event_id),
		TimestampTzGetDatum(now), TimestampTzGetDatum(now + window_us), TimestampTzGetDatum(now - window_us)
	};
	Relation	rel = table_open(tables_relation("message"), RowExclusiveLock);
	AsRole		before;
	bool		is_first;

	as_role_begin(&before, rel->rd_rel->relowner);
	SPI_connect();
	is_first = note_or_find(values, first);
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
