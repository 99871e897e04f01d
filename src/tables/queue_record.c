/*-------------------------------------------------------------------------
 *
 * queue_record.c
 *		What became of events: delivery rows, and the end or the next attempt of
 *		the queue's rows.
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
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/inject.h"
#include "tables/columns.h"
#include "tables/direct.h"
#include "tables/queue_record.h"
#include "tables/rows.h"
#include "tables/statement.h"
#include "tables/tables.h"
#include "tables/tally.h"

/* An array parameter of any type, with nulls. */
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

static void
insert_by_statement(Outcome **outcomes, int count)
{
	Datum	   *values = palloc(sizeof(Datum) * count * DELIVERY_COLUMNS);
	bool	   *nulls = palloc(sizeof(bool) * count * DELIVERY_COLUMNS);
	Datum	   *column_values = palloc(sizeof(Datum) * count);
	bool	   *column_nulls = palloc(sizeof(bool) * count);
	Datum		params[DELIVERY_COLUMNS];

	for (int i = 0; i < count; i++)
		columns_delivery_row(outcomes[i], values + i * DELIVERY_COLUMNS, nulls + i * DELIVERY_COLUMNS);
	for (int column = 0; column < DELIVERY_COLUMNS; column++)
	{
		for (int i = 0; i < count; i++)
		{
			column_values[i] = values[i * DELIVERY_COLUMNS + column];
			column_nulls[i] = nulls[i * DELIVERY_COLUMNS + column];
		}
		params[column] = array_with_nulls(column_values, column_nulls, count,
										  columns_of_delivery[column].type);
	}
	statement_execute(INSERT_DELIVERIES, params, NULL, false, SPI_OK_INSERT);
}

/*
 * Lock the rows of the queue that are still the claimed ones, so that a statement
 * finds them where they are now, and waits for nobody; sets all fates.  Returns how
 * many rows there are, whose, and as the first six parameters what was claimed and
 * where it is.
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
	statement_claimed(rows, count, claimed);
	statement_execute(LOCK_ROWS, claimed, NULL, false, SPI_OK_SELECT);

	/* without a key, there may be several of one outcome */
	*locked = palloc(sizeof(Outcome *) * Max(SPI_processed, 1));
	tables = palloc(sizeof(Datum) * Max(SPI_processed, 1));
	tids = palloc(sizeof(Datum) * Max(SPI_processed, 1));
	for (int i = 0; i < (int) SPI_processed; i++)
	{
		bool		busy;
		Outcome    *outcome = outcomes[DatumGetInt64(statement_column(i, 0, &busy)) - 1];

		tables[nlocked] = statement_column(i, 1, &busy);
		tids[nlocked] = statement_column(i, 2, &busy);
		outcome->fate = busy ? ROW_BUSY : ROW_DONE;
		if (!busy)
			(*locked)[nlocked++] = outcome;
	}
	rows = repalloc(rows, sizeof(QueueRow *) * Max(nlocked, 1));
	for (int i = 0; i < nlocked; i++)
		rows[i] = &(*locked)[i]->claimed;
	statement_claimed(rows, nlocked, params);
	params[4] = statement_array(tables, nlocked, OIDOID);
	params[5] = statement_array(tids, nlocked, TIDOID);
	SPI_freetuptable(SPI_tuptable);
	return nlocked;
}

/* May there be triggers or rules that have their own ideas of what rows become? */
static bool
queue_is_plain(void)
{
	Relation	rel = table_open(tables_relation("queue"), AccessShareLock);
	bool		plain = rel->rd_rel->relkind == RELKIND_RELATION &&
		!rel->rd_rel->relhassubclass && rows_table_is_passive(rel);

	table_close(rel, NoLock);
	return plain;
}

/*
 * Run a statement on locked rows.  What somebody's trigger leaves as it was, or
 * gives its attempts back, would be read and sent again, at once and for ever.
 */
static void
change_rows(Statement statement, int count, Datum *params, int expected)
{
	if (count == 0)
		return;
	statement_execute(statement, params, NULL, false, expected);
	if (!queue_is_plain())
		statement_check(statement, params);
}

static void
delete_rows(Outcome **outcomes, int count)
{
	Outcome   **locked;
	Datum		params[6];

	if (count == 0 || direct_delete(outcomes, count))
		return;
	count = lock_rows(outcomes, count, &locked, params);
	change_rows(DELETE_ROWS, count, params, SPI_OK_DELETE);
}

static void
reschedule_rows(Outcome **outcomes, int count)
{
	Outcome   **locked;
	Datum	   *times;
	Datum		params[8];

	if (count == 0)
		return;
	count = lock_rows(outcomes, count, &locked, params);
	times = palloc(sizeof(Datum) * Max(count, 1));
	for (int i = 0; i < count; i++)
		times[i] = TimestampTzGetDatum(locked[i]->retry_at);
	params[6] = statement_array(times, count, TIMESTAMPTZOID);
	for (int i = 0; i < count; i++)
		times[i] = TimestampTzGetDatum(locked[i]->first_attempt_at);
	params[7] = statement_array(times, count, TIMESTAMPTZOID);
	change_rows(RESCHEDULE_ROWS, count, params, SPI_OK_UPDATE);
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
		if (outcomes[i]->stays)
			outcomes[i]->fate = ROW_DONE;
		else if (outcomes[i]->kind != VERDICT_RETRY)
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
	if (nrecorded > 0)
		tally_note(recorded, nrecorded);
}

bool
queue_is_locked(void)
{
	Oid			queue = tables_relation("queue");
	Oid			delivery = tables_relation("delivery");
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
