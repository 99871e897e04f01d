/*-------------------------------------------------------------------------
 *
 * triggers.c
 *		The triggers of rswebhook.destination: what its columns may not hold is an
 *		error, and whoever has read it hears of a change.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/rel.h"

#include "base/compat.h"
#include "destination/check.h"
#include "destination/doubts.h"
#include "destination/fields.h"
#include "destination/problem.h"
#include "shmem/changes.h"
#include "shmem/wake.h"

static void
report_problem(Relation rel, const FieldProblem *problem)
{
	ereport(ERROR,
			(errcode(ERRCODE_CHECK_VIOLATION),
			 problem->part != NULL ?
			 errmsg("invalid %s in column \"%s\"", problem->part, problem->column) :
			 problem->value != NULL ?
			 errmsg("invalid value \"%s\" for column \"%s\"", problem->value, problem->column) :
			 errmsg("invalid value for column \"%s\"", problem->column),
			 errdetail("%s", problem->detail),
			 problem->hint != NULL ? errhint("%s", problem->hint) : 0,
			 errtablecolname(rel, problem->column)));
}

/*
 * Queue and history know a destination by its id, and 0 means "any" to the
 * worker.
 */
static void
check_id(Relation rel, HeapTuple tuple, HeapTuple old)
{
	TupleDesc	desc = RelationGetDescr(rel);
	int			attnum = SPI_fnumber(desc, "id");
	bool		isnull;
	int32		id = DatumGetInt32(SPI_getbinval(tuple, desc, attnum, &isnull));

	if (id <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("invalid value \"%d\" for column \"id\"", id),
				 errdetail("Ids of destinations are greater than zero."),
				 errtablecolname(rel, "id")));
	if (old != NULL && id != DatumGetInt32(SPI_getbinval(old, desc, attnum, &isnull)))
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("id of a destination cannot be changed"),
				 errdetail("What is queued for it, and its history, refer to the id."),
				 errhint("Change the name, or insert another destination."),
				 errtablecolname(rel, "id")));
}

static void
check_nulls(Relation rel, HeapTuple tuple)
{
	TupleDesc	desc = RelationGetDescr(rel);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);

		if (!attribute->attisdropped &&
			(attribute->attnotnull || destination_column_required(NameStr(attribute->attname))) &&
			heap_attisnull(tuple, i + 1, desc))
			ereport(ERROR,
					(errcode(ERRCODE_NOT_NULL_VIOLATION),
					 errmsg("column \"%s\" must not be null", NameStr(attribute->attname)),
					 errtablecol(rel, i + 1)));
	}
}

/*
 * Did the row have this very problem before?  Then the UPDATE is about
 * something else, and a destination that came in by a restore can be paused,
 * say, before somebody knows how to correct it.
 */
static bool
problem_is_old(Relation rel, HeapTuple old, const FieldProblem *problem)
{
	DestinationFields fields;
	FieldProblem before;

	if (old == NULL)
		return false;
	return !destination_fields_check(old, RelationGetDescr(rel), &fields, &before) &&
		strcmp(before.column, problem->column) == 0 &&
		strcmp(before.part ? before.part : "", problem->part ? problem->part : "") == 0 &&
		strcmp(before.detail, problem->detail) == 0;
}

/* Put a value into the row that was brought into a form of ours. */
static HeapTuple
replace_jsonb(Relation rel, HeapTuple tuple, const char *column, Jsonb *jsonb)
{
	int			attnum = SPI_fnumber(RelationGetDescr(rel), column);
	Datum		value;
	bool		isnull = false;

	if (jsonb == NULL)
		return tuple;
	value = JsonbPGetDatum(jsonb);
	return heap_modify_tuple_by_cols(tuple, RelationGetDescr(rel), 1,
									 &attnum, &value, &isnull);
}

/* Likewise; what has grown by that may be too long. */
static HeapTuple
replace_hosts(Relation rel, HeapTuple tuple, const DestinationFields *fields)
{
	static const char *const columns[] = {"url", "proxy", "no_proxy", "allowed_hosts"};
	const char *texts[] = {fields->url, fields->proxy, fields->no_proxy};
	Datum		values[lengthof(columns)];
	bool		nulls[lengthof(columns)];
	int			attnums[lengthof(columns)];
	FieldProblem problem;

	if (!fields->hosts_changed)
		return tuple;
	for (int i = 0; i < lengthof(columns); i++)
	{
		attnums[i] = SPI_fnumber(RelationGetDescr(rel), columns[i]);
		nulls[i] = i < lengthof(texts) ? texts[i] == NULL : fields->allowed_hosts == NULL;
		values[i] = nulls[i] ? (Datum) 0 :
			i < lengthof(texts) ? CStringGetTextDatum(texts[i]) : PointerGetDatum(fields->allowed_hosts);
	}
	tuple = heap_modify_tuple_by_cols(tuple, RelationGetDescr(rel), lengthof(columns),
									  attnums, values, nulls);
	if (!destination_sizes_check(tuple, RelationGetDescr(rel), &problem))
		report_problem(rel, &problem);
	return tuple;
}

/* Whoever keeps this row is to read it again. */
static void
note_row(Relation rel, HeapTuple tuple)
{
	TupleDesc	desc = RelationGetDescr(rel);
	int			id = SPI_fnumber(desc, "id");
	int			workers = SPI_fnumber(desc, "workers");
	bool		isnull[2] = {true, true};
	Datum		values[2] = {0};

	if (id > 0 && SPI_gettypeid(desc, id) == INT4OID)
		values[0] = heap_getattr(tuple, id, desc, &isnull[0]);
	if (workers > 0 && SPI_gettypeid(desc, workers) == INT4OID)
		values[1] = heap_getattr(tuple, workers, desc, &isnull[1]);
	if (isnull[0])
		changes_note_all(rel);
	else
		changes_note(rel, DatumGetInt32(values[0]), isnull[1] || DatumGetInt32(values[1]) > 1);
}

SQL_FUNCTION(rswebhook_destination_check);

Datum
rswebhook_destination_check(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	DestinationFields fields;
	DestinationFields before;
	FieldProblem problem;
	Relation	rel;
	HeapTuple	tuple;
	HeapTuple	old;
	bool		is_update;

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		!TRIGGER_FIRED_BEFORE(trigdata->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigdata->tg_event) ||
		TRIGGER_FIRED_BY_DELETE(trigdata->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("\"%s\" must be called as a row trigger before INSERT or UPDATE",
						"rswebhook.destination_check")));

	rel = trigdata->tg_relation;
	is_update = TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event);
	old = is_update ? trigdata->tg_trigtuple : NULL;
	tuple = is_update ? trigdata->tg_newtuple : trigdata->tg_trigtuple;

	destination_columns_check(RelationGetDescr(rel));
	check_nulls(rel, tuple);
	check_id(rel, tuple, old);
	if (!destination_ranges_check(tuple, RelationGetDescr(rel), &problem))
		report_problem(rel, &problem);

	/* what runs after the row was changed and before the statement ends */
	note_row(rel, tuple);
	if (old != NULL)
		note_row(rel, old);

	if (!destination_fields_check(tuple, RelationGetDescr(rel), &fields, &problem))
	{
		if (!problem_is_old(rel, old, &problem))
			report_problem(rel, &problem);
		return PointerGetDatum(tuple);
	}

	doubts_warn(&fields, old != NULL && destination_fields_check(old, RelationGetDescr(rel), &before, &problem) ?
				&before : NULL);
	tuple = replace_jsonb(rel, tuple, "headers", fields.headers);
	tuple = replace_jsonb(rel, tuple, "signing_secrets", fields.signing_secrets);
	tuple = replace_hosts(rel, tuple, &fields);
	return PointerGetDatum(tuple);
}

SQL_FUNCTION(rswebhook_destination_changed);

Datum
rswebhook_destination_changed(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		!TRIGGER_FIRED_AFTER(trigdata->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("\"%s\" must be called as a trigger after a change",
						"rswebhook.destination_changed")));

	if (TRIGGER_FIRED_FOR_ROW(trigdata->tg_event))
	{
		note_row(trigdata->tg_relation, trigdata->tg_trigtuple);
		if (TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event))
			note_row(trigdata->tg_relation, trigdata->tg_newtuple);
	}
	else
		changes_note_all(trigdata->tg_relation);
	wake_note_changed();
	return PointerGetDatum(NULL);
}
