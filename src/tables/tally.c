/*-------------------------------------------------------------------------
 *
 * tally.c
 *		How many events came to what, of each destination: of late, and ever.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/compat.h"
#include "base/encoding.h"
#include "tables/rows.h"
#include "tables/statement.h"
#include "tables/tables.h"
#include "tables/tally.h"
#include "tables/tally_counts.h"

/* An error is as long as status shows one. */
#define MAX_ERROR	200

/* Where an entry for the same is looked for; one more does no harm. */
#define LOOK_BACK	16

static int16
what_of(const Outcome *outcome)
{
	switch (outcome->kind)
	{
		case VERDICT_DELIVERED:
			return tally_bucket(outcome->duration_us);
		case VERDICT_RETRY:
			return TALLY_RETRIED;
		case VERDICT_REFUSED:
			return TALLY_REFUSED;
		case VERDICT_SUNK:
			return TALLY_SUNK;
		default:
			return outcome->error != NULL && strcmp(outcome->error, EXPIRED) == 0 ? TALLY_EXPIRED : TALLY_ABORTED;
	}
}

typedef struct Note
{
	int32		destination_id;
	int16		what;
	int32		count;
} Note;

/* Is an error what came of it last? */
static bool
is_failure(const Outcome *outcome)
{
	return outcome->error != NULL &&
		(outcome->kind == VERDICT_RETRY || outcome->kind == VERDICT_ABORTED);
}

static Datum
short_text(const char *text)
{
	return encoding_readable(text, strnlen(text, MAX_ERROR));
}

/* The last error of each destination; of many in turn, one more does no harm. */
static void
note_errors(Outcome **outcomes, int count, Datum *params)
{
	Datum	   *ids = palloc(sizeof(Datum) * count);
	Datum	   *errors = palloc(sizeof(Datum) * count);
	int			nerrors = 0;

	for (int i = count - 1; i >= 0; i--)
	{
		Datum		id = Int32GetDatum(outcomes[i]->claimed.destination_id);
		int			j = nerrors - 1;

		if (!is_failure(outcomes[i]))
			continue;
		while (j >= Max(nerrors - LOOK_BACK, 0) && ids[j] != id)
			j--;
		if (j >= Max(nerrors - LOOK_BACK, 0))
			continue;
		ids[nerrors] = id;
		errors[nerrors++] = short_text(outcomes[i]->error);
	}
	params[0] = statement_array(ids, nerrors, INT4OID);
	params[1] = statement_array(errors, nerrors, TEXTOID);
}

static void
note(Note *notes, int *nnotes, const Outcome *outcome)
{
	int32		id = outcome->claimed.destination_id;
	int16		what = what_of(outcome);

	for (int i = *nnotes - 1; i >= Max(*nnotes - LOOK_BACK, 0); i--)
	{
		if (notes[i].destination_id == id && notes[i].what == what)
		{
			notes[i].count++;
			return;
		}
	}
	notes[(*nnotes)++] = (Note) {id, what, 1};
}

/* False: something belongs to it that only a statement heeds. */
static bool
insert_directly(const Datum *row)
{
	Relation	rel = table_open(tables_relation("untallied"), RowExclusiveLock);
	Writer		writer;

	if (!rows_table_takes(rel, columns_of_untallied, UNTALLIED_COLUMNS))
	{
		table_close(rel, NoLock);
		return false;
	}
	writer_open(&writer, rel);
	writer_start_row(&writer);
	for (int i = 0; i < UNTALLIED_COLUMNS; i++)
		writer_set(&writer, i, row[i]);
	writer_insert_row(&writer);
	writer_close(&writer);
	CommandCounterIncrement();
	return true;
}

void
tally_note(Outcome **outcomes, int count)
{
	Note	   *notes = palloc(sizeof(Note) * count);
	Datum	   *values = palloc(sizeof(Datum) * count);
	Datum		params[UNTALLIED_COLUMNS];
	int			nnotes = 0;

	for (int i = 0; i < count; i++)
		note(notes, &nnotes, outcomes[i]);
	params[0] = TimestampTzGetDatum(clock_wall(clock_now()));
	for (int i = 0; i < nnotes; i++)
		values[i] = Int32GetDatum(notes[i].destination_id);
	params[1] = statement_array(values, nnotes, INT4OID);
	for (int i = 0; i < nnotes; i++)
		values[i] = Int16GetDatum(notes[i].what);
	params[2] = statement_array(values, nnotes, INT2OID);
	for (int i = 0; i < nnotes; i++)
		values[i] = Int32GetDatum(notes[i].count);
	params[3] = statement_array(values, nnotes, INT4OID);
	note_errors(outcomes, count, &params[4]);
	if (!insert_directly(params))
		statement_execute(NOTE_TALLY, params, NULL, false, SPI_OK_INSERT);
}

/* Whoever adds to the tally has read it before, so there is one at a time. */
int
tally_fold(int limit)
{
	Datum		values[1] = {Int64GetDatum(limit)};
	bool		null;
	int			count;

	if (!ConditionalLockRelationOid(tables_relation("tally"), ShareUpdateExclusiveLock))
		return -1;
	statement_execute(FOLD_TALLY, values, NULL, false, SPI_OK_SELECT);
	count = (int) DatumGetInt64(statement_column(0, 0, &null));
	SPI_freetuptable(SPI_tuptable);
	return count;
}

/* ---------------------------------------------------------------------
 * In SQL
 * ---------------------------------------------------------------------
 */

/* What is not there is zero. */
static void
take_counts(FunctionCallInfo fcinfo, int64 *counts)
{
	ArrayType  *array;

	memset(counts, 0, TALLY_COUNTS * sizeof(int64));
	if (PG_ARGISNULL(0))
		return;
	array = PG_GETARG_ARRAYTYPE_P(0);
	if (ARR_NDIM(array) == 1 && !ARR_HASNULL(array) && ARR_ELEMTYPE(array) == INT8OID)
		memcpy(counts, ARR_DATA_PTR(array),
			   Min(ARR_DIMS(array)[0], TALLY_COUNTS) * sizeof(int64));
}

SQL_FUNCTION(rswebhook_tally_add);

/* With so many more of these, each at that time. */
Datum
rswebhook_tally_add(PG_FUNCTION_ARGS)
{
	int64		counts[TALLY_COUNTS];
	Datum		result[TALLY_COUNTS];
	Datum	   *columns[3];
	int			n[3];

	take_counts(fcinfo, counts);
	for (int i = 0; i < 3; i++)
	{
		static const Oid types[] = {TIMESTAMPTZOID, INT2OID, INT4OID};
		static const int16 lengths[] = {8, 2, 4};
		static const char aligns[] = {TYPALIGN_DOUBLE, TYPALIGN_SHORT, TYPALIGN_INT};

		n[i] = 0;
		if (!PG_ARGISNULL(2 + i))
			deconstruct_array(PG_GETARG_ARRAYTYPE_P(2 + i), types[i], lengths[i], true, aligns[i],
							  &columns[i], NULL, &n[i]);
	}
	for (int i = 0; i < Min(n[0], Min(n[1], n[2])) && !PG_ARGISNULL(1); i++)
		tally_add(counts, PG_GETARG_TIMESTAMPTZ(1), DatumGetTimestampTz(columns[0][i]),
				  DatumGetInt16(columns[1][i]), DatumGetInt32(columns[2][i]));
	for (int i = 0; i < TALLY_COUNTS; i++)
		result[i] = Int64GetDatum(counts[i]);
	PG_RETURN_ARRAYTYPE_P(construct_array(result, TALLY_COUNTS, INT8OID, 8, true, TYPALIGN_DOUBLE));
}

SQL_FUNCTION(rswebhook_tally_show);

/* What it says at a time. */
Datum
rswebhook_tally_show(PG_FUNCTION_ARGS)
{
	static const double parts[] = {0.5, 0.95, 0.99};
	TupleDesc	desc;
	Datum		values[TALLY_EVER + 3 * TALLY_LATELY + lengthof(parts)];
	bool		nulls[lengthof(values)] = {false};
	int64		counts[TALLY_COUNTS];
	TimestampTz now = PG_GETARG_TIMESTAMPTZ(1);
	int			n = 0;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE ||
		desc->natts != lengthof(values))
		elog(ERROR, "return type must have %d columns", (int) lengthof(values));
	take_counts(fcinfo, counts);
	for (int i = 0; i < TALLY_EVER; i++)
		values[n++] = Int64GetDatum(counts[i]);
	for (int window = 0; window < 3; window++)
	{
		for (int column = 0; column < TALLY_LATELY; column++)
			values[n++] = Int64GetDatum(tally_lately(counts, window, column, now));
	}
	for (int i = 0; i < lengthof(parts); i++)
	{
		double		ms = tally_quantile(counts, parts[i], now);

		nulls[n] = ms < 0;
		values[n++] = Float8GetDatum(ms);
	}
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

SQL_FUNCTION(rswebhook_tally_latencies);

/* Its buckets of late. */
Datum
rswebhook_tally_latencies(PG_FUNCTION_ARGS)
{
	Datum		values[TALLY_BUCKETS];
	int64		counts[TALLY_COUNTS];

	take_counts(fcinfo, counts);
	for (int i = 0; i < TALLY_BUCKETS; i++)
		values[i] = Int64GetDatum(tally_latency(counts, i, PG_GETARG_TIMESTAMPTZ(1)));
	PG_RETURN_ARRAYTYPE_P(construct_array(values, TALLY_BUCKETS, INT8OID, 8, true, TYPALIGN_DOUBLE));
}
