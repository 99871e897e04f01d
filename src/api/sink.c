/*-------------------------------------------------------------------------
 *
 * sink.c
 *		A table of ours while a sender writes rows to it.
 *
 * Rows are written straight to the tables, index entries included, and not
 * through SPI: no plan is made, and a million sends in one statement leave no
 * memory behind.  If somebody has added to a table what only a statement heeds
 * (rows.h), it is one, by the table's owner as with a worker's.  Either way a
 * sender needs no privilege but EXECUTE on rswebhook_send().
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "executor/spi.h"
#include "utils/inval.h"
#include "utils/rel.h"

#include "api/sink.h"
#include "base/as_role.h"
#include "base/compat.h"
#include "tables/tables.h"

/* A table that rows are sent to. */
struct Target
{
	const char *name;
	const Column *columns;
	int			ncolumns;
	Oid			relid;
	Oid			partition;		/* that was opened last */
	SPIPlanPtr	plan;			/* of its INSERT; NULL: not needed so far */
};

static Target targets[] = {
	[SINK_EVENT] = {.name = "event", .columns = columns_of_event, .ncolumns = EVENT_COLUMNS},
	[SINK_QUEUE] = {.name = "queue", .columns = columns_of_queue, .ncolumns = QUEUE_COLUMNS},
	[SINK_HOME] = {.name = "home", .columns = columns_of_home, .ncolumns = HOME_COLUMNS},
	[SINK_DELIVERY] = {.name = "delivery", .columns = columns_of_delivery, .ncolumns = DELIVERY_COLUMNS},
	[SINK_ALERT] = {.name = "alert", .columns = columns_of_alert, .ncolumns = ALERT_COLUMNS},
	[SINK_UNTALLIED] = {.name = "untallied", .columns = columns_of_untallied, .ncolumns = UNTALLIED_COLUMNS}
};

/* Looked up once, and again after any change of these or of a target. */
static Oid	sequence = InvalidOid;
static uint64 looked_up_at = 0; /* changes at that time */
static uint64 changes = 1;

/* ---------------------------------------------------------------------
 * Tables
 * ---------------------------------------------------------------------
 */
static void
relcache_callback(Datum arg, Oid relid)
{
	bool		ours = relid == InvalidOid || relid == sequence;

	for (int i = 0; i < lengthof(targets) && !ours; i++)
		ours = relid == targets[i].relid || relid == targets[i].partition;
	if (ours)
		changes++;
}

/* One that is not there is its user's matter: again and again, until it is. */
static void
look_up(void)
{
	static bool registered = false;
	uint64		seen = changes;
	bool		all;

	if (looked_up_at == seen)
		return;
	if (!registered)
	{
		CacheRegisterRelcacheCallback(relcache_callback, (Datum) 0);
		registered = true;
	}
	sequence = tables_find("event_id_seq");
	all = OidIsValid(sequence);
	for (int i = 0; i < lengthof(targets); i++)
	{
		targets[i].relid = tables_find(targets[i].name);
		all &= OidIsValid(targets[i].relid);
	}
	looked_up_at = all ? seen : 0;
}

uint64
sink_changes(void)
{
	return changes;
}

Oid
sink_event_sequence(void)
{
	look_up();
	return OidIsValid(sequence) ? sequence : tables_relation("event_id_seq");
}

/*
 * Lock, then look: whoever had it locked before us has perhaps put another one
 * in its place.
 */
static Relation
open_target(const Target *target)
{
	for (;;)
	{
		uint64		seen;
		Relation	rel;

		look_up();
		seen = changes;
		rel = table_open(OidIsValid(target->relid) ? target->relid : tables_relation(target->name), RowExclusiveLock);
		if (changes == seen)
			return rel;
		table_close(rel, NoLock);
	}
}

Relation
sink_lock(SinkTable table)
{
	return open_target(&targets[table]);
}

void
sink_open(Sink *sink, SinkTable table)
{
	Target	   *target = &targets[table];

	sink->target = target;
	sink->rel = open_target(target);
	sink->direct = rows_table_takes(sink->rel, target->columns, target->ncolumns);
	if (sink->direct)
		writer_open(&sink->writer, sink->rel);
}

/* Likewise for the partition for a part of the ring. */
void
sink_open_part(Sink *sink, SinkTable table, int16 ring_part)
{
	Target	   *target = &targets[table];
	Oid			partition;

	sink->target = target;
	sink->rel = open_target(target);
	sink->direct = false;
	if (rows_lacks_partition(sink->rel, ring_part))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("relation \"rswebhook.%s\" has no partition for slot %d",
						target->name, ring_part),
				 errdetail("What is sent now belongs there."),
				 errhint("Attach the one that was taken away, with ALTER TABLE rswebhook.%s ATTACH PARTITION ... FOR VALUES IN (%d).",
						 target->name, ring_part)));
	partition = rows_partition(sink->rel, ring_part);
	if (OidIsValid(partition) && rows_table_is_passive(sink->rel))
	{
		Relation	rel;

		target->partition = partition;
		rel = table_open(partition, RowExclusiveLock);
		sink->direct = rows_table_takes(rel, target->columns, target->ncolumns);
		if (sink->direct)
			writer_open(&sink->writer, rel);
		else
			table_close(rel, NoLock);
	}
}

void
sink_flush(Sink *sink)
{
	if (sink->direct)
		writer_flush(&sink->writer);
}

void
sink_close(Sink *sink)
{
	if (sink->direct)
		writer_close(&sink->writer);
	if (!sink->direct || sink->writer.rel != sink->rel)
		table_close(sink->rel, NoLock);
}

/* ---------------------------------------------------------------------
 * Rows
 * ---------------------------------------------------------------------
 */
void
sink_row_clear(NewRow *row)
{
	memset(row->values, 0, sizeof(row->values));
	memset(row->nulls, 'n', sizeof(row->nulls));
}

void
sink_row_set(NewRow *row, int column, Datum value)
{
	row->values[column] = value;
	row->nulls[column] = ' ';
}

static SPIPlanPtr
prepare_insert(const Target *target)
{
	StringInfoData sql;
	Oid			types[SINK_MAX_COLUMNS];
	SPIPlanPtr	plan;

	initStringInfo(&sql);
	appendStringInfo(&sql, "INSERT INTO rswebhook.%s (", target->name);
	for (int i = 0; i < target->ncolumns; i++)
		appendStringInfo(&sql, "%s%s", i > 0 ? ", " : "", target->columns[i].name);
	appendStringInfoString(&sql, ") VALUES (");
	for (int i = 0; i < target->ncolumns; i++)
	{
		appendStringInfo(&sql, "%s$%d", i > 0 ? ", " : "", i + 1);
		types[i] = target->columns[i].type;
	}
	appendStringInfoChar(&sql, ')');

	plan = SPI_prepare(sql.data, target->ncolumns, types);
	if (plan == NULL || SPI_keepplan(plan) != 0)
		elog(ERROR, "could not prepare \"%s\": %s", sql.data,
			 SPI_result_code_string(SPI_result));
	return plan;
}

/* With the rights and under the settings with which a worker runs its statements. */
static void
insert_by_statement(Target *target, Oid owner, NewRow *row)
{
	AsRole		before;
	int			result;

	as_role_begin(&before, owner);
	SPI_connect();
	if (target->plan == NULL)
		target->plan = prepare_insert(target);
	result = SPI_execute_plan(target->plan, row->values, row->nulls, false, 0);
	if (result != SPI_OK_INSERT || SPI_processed != 1)
	{
		/* made under a rule that left nothing of it, it would not hear of changes */
		SPI_freeplan(target->plan);
		target->plan = NULL;
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("event was not stored in \"rswebhook.%s\"", target->name),
				 errdetail("A trigger or a rule has kept its row out of the table."),
				 errhint("Look for triggers and rules on rswebhook.%s.", target->name)));
	}
	SPI_finish();
	as_role_end(&before);
}

void
sink_insert(Sink *sink, NewRow *row, bool kept)
{
	if (!sink->direct)
	{
		insert_by_statement(sink->target, sink->rel->rd_rel->relowner, row);
		return;
	}
	writer_start_row(&sink->writer);
	for (int i = 0; i < sink->target->ncolumns; i++)
	{
		if (row->nulls[i] == ' ')
			writer_set(&sink->writer, i, row->values[i]);
	}
	if (kept)
		writer_keep_row(&sink->writer);
	else
		writer_insert_row(&sink->writer);
}

void
sink_insert_by_statement(SinkTable table, NewRow *row)
{
	Target	   *target = &targets[table];
	Relation	rel = open_target(target);

	insert_by_statement(target, rel->rd_rel->relowner, row);
	table_close(rel, NoLock);
}
