/*-------------------------------------------------------------------------
 *
 * trigger_check.c
 *		Can a trigger of ours work?
 *
 * Whoever creates one hears at once that it cannot, instead of at the first change of
 * its table, and rswebhook.trigger_problems() tells of those that cannot any more.
 *
 * The first is done by our hook, and not by an event trigger: that would be fired by
 * each CREATE TRIGGER of a database, could be created by superusers only, and would be
 * one more object that a dump restores.  Where the library is not preloaded, there
 * is the function.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/tuplestore.h"

#include "api/accept.h"
#include "api/outbox.h"
#include "api/refusal.h"
#include "api/trigger.h"
#include "api/trigger_check.h"
#include "base/compat.h"

typedef bool (*OptionsCheck) (Relation rel, const Trigger *trigger, const char **destination, Refusal *refusal);

/* ---------------------------------------------------------------------
 * Which are ours
 * ---------------------------------------------------------------------
 */

/* By the symbol that the function is, in our library; NULL: it is none of ours. */
static OptionsCheck
check_of_function(Oid function)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	OptionsCheck check = NULL;
	Datum		symbol;
	Datum		library;
	bool		isnull;

	if (!HeapTupleIsValid(tuple))
		return NULL;
	library = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_probin, &isnull);
	if (((Form_pg_proc) GETSTRUCT(tuple))->prolang == ClanguageId && !isnull &&
		strstr(TextDatumGetCString(library), "rswebhook") != NULL)
	{
		symbol = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_prosrc, &isnull);
		if (!isnull && strcmp(TextDatumGetCString(symbol), "rswebhook_trigger") == 0)
			check = trigger_options_check;
		else if (!isnull && strcmp(TextDatumGetCString(symbol), "rswebhook_outbox") == 0)
			check = outbox_options_check;
	}
	ReleaseSysCache(tuple);
	return check;
}

/* ---------------------------------------------------------------------
 * What is wrong with one
 * ---------------------------------------------------------------------
 */
static bool
check(Relation rel, const Trigger *trigger, OptionsCheck check_options, Refusal *refusal)
{
	const char *destination = NULL;
	int			count;

	return check_options(rel, trigger, &destination, refusal) &&
		(destination == NULL || accept_by_name(destination, &count, refusal) != NULL);
}

static const Trigger *
find_trigger(Relation rel, const char *name)
{
	TriggerDesc *triggers = rel->trigdesc;

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		if (strcmp(triggers->triggers[i].tgname, name) == 0)
			return &triggers->triggers[i];
	}
	return NULL;
}

/* What restores a dump says so: the destination may come later, or never. */
static bool
is_restored(void)
{
	return !check_function_bodies;
}

void
trigger_check_created(const CreateTrigStmt *statement)
{
	Relation	rel;
	const Trigger *trigger;
	OptionsCheck check_options;
	Refusal		refusal;

	if (is_restored())
		return;
	CommandCounterIncrement();
	rel = table_openrv(statement->relation, NoLock);
	trigger = find_trigger(rel, statement->trigname);
	check_options = trigger == NULL ? NULL : check_of_function(trigger->tgfoid);
	if (check_options != NULL && !check(rel, trigger, check_options, &refusal))
		refusal_report(&refusal, ERROR, psprintf("trigger \"%s\"", trigger->tgname));
	table_close(rel, NoLock);
}

/* ---------------------------------------------------------------------
 * All of a database
 * ---------------------------------------------------------------------
 */
static void
put_problem(ReturnSetInfo *rsinfo, Oid relid, const Trigger *trigger, const Refusal *refusal)
{
	Datum		values[4];
	bool		nulls[4] = {0};

	values[0] = ObjectIdGetDatum(relid);
	values[1] = CStringGetTextDatum(trigger->tgname);
	values[2] = CStringGetTextDatum(refusal->detail == NULL ? refusal->message :
									psprintf("%s: %s", refusal->message, refusal->detail));
	nulls[3] = refusal->hint == NULL;
	if (!nulls[3])
		values[3] = CStringGetTextDatum(refusal->hint);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

static void
look_at(ReturnSetInfo *rsinfo, Form_pg_trigger row, OptionsCheck check_options)
{
	Relation	rel = try_relation_open(row->tgrelid, AccessShareLock);
	const Trigger *trigger = rel == NULL ? NULL : find_trigger(rel, NameStr(row->tgname));
	Refusal		refusal;

	if (trigger != NULL && !check(rel, trigger, check_options, &refusal))
		put_problem(rsinfo, row->tgrelid, trigger, &refusal);
	if (rel != NULL)
		relation_close(rel, AccessShareLock);
}

SQL_FUNCTION(rswebhook_trigger_problems);

Datum
rswebhook_trigger_problems(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Relation	catalog;
	SysScanDesc scan;
	HeapTuple	tuple;

	InitMaterializedSRF(fcinfo, 0);
	catalog = table_open(TriggerRelationId, AccessShareLock);
	scan = systable_beginscan(catalog, InvalidOid, false, NULL, 0, NULL);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_trigger row = (Form_pg_trigger) GETSTRUCT(tuple);
		OptionsCheck check_options;

		CHECK_FOR_INTERRUPTS();
		/* a partition's are those of its table */
		if (row->tgisinternal || OidIsValid(row->tgparentid))
			continue;
		check_options = check_of_function(row->tgfoid);
		if (check_options != NULL)
			look_at(rsinfo, row, check_options);
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return (Datum) 0;
}
