/*-------------------------------------------------------------------------
 *
 * queue_states.c
 *		What is kept of a destination itself: its circuit breaker, and a pause.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

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

int
queue_load_breakers(StoredBreaker **breakers)
{
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
		b->breaker.next_probe_at = clock_when(statement_time(i, 3));
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
