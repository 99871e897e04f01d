/*-------------------------------------------------------------------------
 *
 * queue_states.c
 *		What is kept of a destination itself: its circuit breaker, for whom it works,
 *		a pause, and where its queue begins.
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
#include "base/encoding.h"
#include "tables/queue_states.h"
#include "tables/statement.h"
#include "tables/tables.h"

void
queue_pause(int32 destination_id, TransactionId version)
{
	Datum		values[2];

	values[0] = Int32GetDatum(destination_id);
	values[1] = TransactionIdGetDatum(version);
	statement_execute(PAUSE, values, NULL, false, SPI_OK_UPDATE);
	statement_check(PAUSE, values);
}

bool
queue_disable(int32 destination_id, TransactionId version)
{
	Datum		values[2];
	bool		disabled;

	values[0] = Int32GetDatum(destination_id);
	values[1] = TransactionIdGetDatum(version);
	statement_execute(DISABLE, values, NULL, false, SPI_OK_UPDATE);
	disabled = SPI_processed > 0;
	statement_check(DISABLE, values);
	return disabled;
}

int
queue_load_breakers(StoredBreaker **breakers)
{
	Instant		now = clock_now();
	int			count;

	tables_lock_and_look("breaker");
	statement_execute(LOAD_BREAKERS, NULL, NULL, true, SPI_OK_SELECT);
	count = (int) SPI_processed;
	*breakers = palloc0(sizeof(StoredBreaker) * Max(count, 1));
	for (int i = 0; i < count; i++)
	{
		StoredBreaker *b = &(*breakers)[i];
		bool		null;

		b->destination_id = DatumGetInt32(statement_column(i, 0, &null));
		b->breaker.failures = DatumGetInt32(statement_column(i, 1, &null));
		b->breaker.open = true;
		b->breaker.opened_at = statement_time(i, 2);
		b->breaker.next_probe_at = clock_due(statement_time(i, 3), INSTANT_NEVER, now);
		text_to_cstring_buffer(DatumGetTextPP(statement_column(i, 4, &null)),
							   b->breaker.reason, sizeof(b->breaker.reason));
	}
	SPI_freetuptable(SPI_tuptable);
	return count;
}

void
queue_save_breaker(int32 destination_id, TransactionId version, const Breaker *breaker)
{
	Datum		values[6];

	values[0] = Int32GetDatum(destination_id);
	if (!breaker->open)
	{
		statement_execute(CLOSE_BREAKER, values, NULL, false, SPI_OK_DELETE);
		statement_check(CLOSE_BREAKER, values);
		return;
	}
	values[1] = Int32GetDatum(breaker->failures);
	values[2] = TimestampTzGetDatum(breaker->opened_at);
	values[3] = TimestampTzGetDatum(clock_wall(breaker->next_probe_at));
	values[4] = encoding_readable(breaker->reason, strlen(breaker->reason));
	values[5] = TransactionIdGetDatum(version);
	statement_execute(SAVE_BREAKER, values, NULL, false, SPI_OK_INSERT);
	statement_check(SAVE_BREAKER, values);
}

int
queue_load_trusted(TrustedUser **trusted)
{
	Datum		values[1] = {Int32GetDatum(MAX_TRUSTED)};
	int			count;

	tables_lock_and_look("trusted");
	statement_execute(LOAD_TRUSTED, values, NULL, true, SPI_OK_SELECT);
	count = (int) SPI_processed;
	*trusted = palloc(sizeof(TrustedUser) * Max(count, 1));
	for (int i = 0; i < count; i++)
	{
		bool		null;

		(*trusted)[i].destination_id = DatumGetInt32(statement_column(i, 0, &null));
		(*trusted)[i].ordering_key = DatumGetInt64(statement_column(i, 1, &null));
	}
	SPI_freetuptable(SPI_tuptable);
	return count;
}

void
queue_save_trusted(int32 destination_id, int parts, int part, const int64 *keys, int count)
{
	Datum		users[MAX_TRUSTED];
	Datum		values[4];

	for (int i = 0; i < count; i++)
		users[i] = Int64GetDatum(keys[i]);
	values[0] = Int32GetDatum(destination_id);
	values[1] = Int32GetDatum(parts);
	values[2] = Int32GetDatum(part);
	values[3] = statement_array(users, count, INT8OID);
	statement_execute(SAVE_TRUSTED, values, NULL, false, SPI_OK_INSERT);
}

void
queue_forget_trusted(int workers)
{
	Datum		values[1] = {Int32GetDatum(workers)};

	statement_execute(FORGET_TRUSTED, values, NULL, false, SPI_OK_DELETE);
}

int64
queue_last_id(void)
{
	bool		null = true;
	int64		id = 0;

	statement_execute(LAST_ID, NULL, NULL, true, SPI_OK_SELECT);
	if (SPI_processed == 1)
		id = DatumGetInt64(statement_column(0, 0, &null));
	SPI_freetuptable(SPI_tuptable);
	return null ? 0 : id;
}

int
queue_load_floors(Floor **floors)
{
	int			count;

	tables_lock_and_look("floor");
	statement_execute(LOAD_FLOORS, NULL, NULL, true, SPI_OK_SELECT);
	count = (int) SPI_processed;
	*floors = palloc(sizeof(Floor) * Max(count, 1));
	for (int i = 0; i < count; i++)
	{
		Floor	   *f = &(*floors)[i];
		bool		null;

		f->destination_id = DatumGetInt32(statement_column(i, 0, &null));
		f->nrows = DatumGetInt32(statement_column(i, 1, &null));
		f->after_id = DatumGetInt64(statement_column(i, 2, &null));
	}
	SPI_freetuptable(SPI_tuptable);
	return count;
}

void
queue_forget_floors(void)
{
	statement_execute(FORGET_FLOORS, NULL, NULL, false, SPI_OK_DELETE);
}

void
queue_save_floor(Floor *floor)
{
	Datum		values[] = {
		Int32GetDatum(floor->destination_id),
		Int64GetDatum(floor->nrows),
		Int64GetDatum(floor->after_id)
	};
	bool		null = true;

	statement_execute(SAVE_FLOOR, values, NULL, false, SPI_OK_INSERT_RETURNING);
	if (SPI_processed == 1)
		floor->after_id = DatumGetInt64(statement_column(0, 0, &null));
	if (null)
		floor->after_id = 0;	/* a trigger has its own ideas; it is not needed */
	floor->nrows = 1;
	SPI_freetuptable(SPI_tuptable);
}
