/*-------------------------------------------------------------------------
 *
 * backfill.c
 *		A row that is there as the event that rswebhook_trigger() makes of it.
 *
 * It is given to that very function, as if it had been inserted just now, by the
 * rights of the table's owner: types' own functions and casts may be called, and
 * whoever calls this may be a superuser.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/rel.h"

#include "api/refusal.h"
#include "api/trigger.h"
#include "api/trigger_names.h"
#include "base/as_role.h"
#include "base/compat.h"

/* What a query has of its rows, all of one table. */
typedef struct Backfill
{
	Oid			table;
	FmgrInfo	function;		/* rswebhook_trigger() */
	Trigger		trigger;
} Backfill;

/* Its arguments: the destination, no name, then options. */
static void
set_arguments(Trigger *trigger, const char *destination, ArrayType *options)
{
	Datum	   *words;
	bool	   *nulls;
	int			count;

	deconstruct_array(options, TEXTOID, -1, false, TYPALIGN_INT, &words, &nulls, &count);
	trigger->tgargs = palloc((2 + count) * sizeof(char *));
	trigger->tgargs[0] = pstrdup(destination);
	trigger->tgargs[1] = "";
	for (int i = 0; i < count; i++)
		trigger->tgargs[2 + i] = nulls[i] ? "" : TextDatumGetCString(words[i]);
	trigger->tgnargs = 2 + count;
}

/* The arguments of one that the table has, but for the destination. */
static void
copy_arguments(Relation rel, const char *name, Trigger *trigger, const char *destination)
{
	const Trigger *found = NULL;

	for (int i = 0; rel->trigdesc != NULL && i < rel->trigdesc->numtriggers; i++)
	{
		if (strcmp(rel->trigdesc->triggers[i].tgname, name) == 0)
			found = &rel->trigdesc->triggers[i];
	}
	if (found == NULL || trigger_names_function(found->tgfoid) != OUR_TRIGGER)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("table \"%s\" has no trigger \"%s\" that calls rswebhook_trigger()",
						RelationGetRelationName(rel), name)));
	trigger->tgname = pstrdup(name);
	trigger->tgnargs = Max(found->tgnargs, 1);
	trigger->tgargs = palloc(trigger->tgnargs * sizeof(char *));
	for (int i = 1; i < found->tgnargs; i++)
		trigger->tgargs[i] = pstrdup(found->tgargs[i]);
	trigger->tgargs[0] = pstrdup(destination);
}

/* In the memory of the query.  What cannot work is an error, and not one of each row. */
static Backfill *
begin(FunctionCallInfo fcinfo, Relation rel)
{
	Backfill   *backfill;
	MemoryContext caller;
	Oid			function = PG_GETARG_OID(1);
	const char *named;
	char	   *destination;
	Refusal		refusal;

	if (!has_privs_of_role(GetUserId(), rel->rd_rel->relowner))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, RelationGetRelationName(rel));
	if (trigger_names_function(function) != OUR_TRIGGER)
		elog(ERROR, "function %u is not rswebhook_trigger()", function);
	caller = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
	backfill = palloc0(sizeof(Backfill));
	backfill->table = RelationGetRelid(rel);
	fmgr_info(function, &backfill->function);
	destination = text_to_cstring(PG_GETARG_TEXT_PP(2));
	backfill->trigger.tgname = "rswebhook_backfill";
	backfill->trigger.tgfoid = function;
	backfill->trigger.tgtype = TRIGGER_TYPE_ROW | TRIGGER_TYPE_AFTER | TRIGGER_TYPE_INSERT;
	backfill->trigger.tgenabled = TRIGGER_FIRES_ON_ORIGIN;
	if (PG_ARGISNULL(4))
		set_arguments(&backfill->trigger, destination, PG_GETARG_ARRAYTYPE_P(3));
	else
		copy_arguments(rel, NameStr(*PG_GETARG_NAME(4)), &backfill->trigger, destination);
	MemoryContextSwitchTo(caller);
	if (!trigger_options_check(rel, &backfill->trigger, &named, &refusal))
		refusal_report(&refusal, ERROR, NULL);
	fcinfo->flinfo->fn_extra = backfill;
	return backfill;
}

static void
fire(Backfill *backfill, Relation rel, HeapTupleHeader row)
{
	LOCAL_FCINFO(call, 0);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsHeapTuple);
	HeapTupleData tuple = {
		.t_len = HeapTupleHeaderGetDatumLength(row),
		.t_tableOid = RelationGetRelid(rel),
		.t_data = row
	};
	TriggerData trigdata = {
		.type = T_TriggerData,
		.tg_event = TRIGGER_EVENT_INSERT | TRIGGER_EVENT_ROW | TRIGGER_EVENT_AFTER,
		.tg_relation = rel,
		.tg_trigtuple = &tuple,
		.tg_trigger = &backfill->trigger,
		.tg_trigslot = slot
	};
	AsRole		before;

	ItemPointerSetInvalid(&tuple.t_self);
	ExecStoreHeapTuple(&tuple, slot, false);
	InitFunctionCallInfoData(*call, &backfill->function, 0, InvalidOid, (Node *) &trigdata, NULL);
	as_role_begin(&before, rel->rd_rel->relowner);
	(void) FunctionCallInvoke(call);
	as_role_end(&before);
	ExecDropSingleTupleTableSlot(slot);
}

SQL_FUNCTION(rswebhook_backfill_row);

Datum
rswebhook_backfill_row(PG_FUNCTION_ARGS)
{
	HeapTupleHeader row;
	Relation	rel;
	Backfill   *backfill = fcinfo->flinfo->fn_extra;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2) || PG_ARGISNULL(5) ||
		(PG_ARGISNULL(3) && PG_ARGISNULL(4)))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("table, function, destination, row, and one of options and trigger must not be null")));
	row = PG_GETARG_HEAPTUPLEHEADER(5);
	rel = table_open(PG_GETARG_OID(0), AccessShareLock);
	if (HeapTupleHeaderGetTypeId(row) != rel->rd_rel->reltype)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("the row is not one of table \"%s\"", RelationGetRelationName(rel))));
	if (backfill == NULL || backfill->table != RelationGetRelid(rel))
		backfill = begin(fcinfo, rel);
	fire(backfill, rel, row);
	table_close(rel, NoLock);
	PG_RETURN_VOID();
}
