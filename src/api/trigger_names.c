/*-------------------------------------------------------------------------
 *
 * trigger_names.c
 *		Which triggers are ours, and what they name.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "api/trigger_names.h"

/* So many are named; how many more there are is said. */
#define MAX_NAMED	5

TriggerFunction
trigger_names_function(Oid function)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	TriggerFunction found = NOT_OURS;
	Datum		symbol;
	Datum		library;
	bool		isnull;

	if (!HeapTupleIsValid(tuple))
		return NOT_OURS;
	library = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_probin, &isnull);
	if (((Form_pg_proc) GETSTRUCT(tuple))->prolang == ClanguageId && !isnull &&
		strstr(TextDatumGetCString(library), "rswebhook") != NULL)
	{
		symbol = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_prosrc, &isnull);
		if (!isnull && strcmp(TextDatumGetCString(symbol), "rswebhook_trigger") == 0)
			found = OUR_TRIGGER;
		else if (!isnull && strcmp(TextDatumGetCString(symbol), "rswebhook_outbox") == 0)
			found = OUR_OUTBOX;
	}
	ReleaseSysCache(tuple);
	return found;
}

/* *parent: of which it is a partition's copy, or invalid.  The table that it is on. */
static Oid
table_of_trigger(Relation catalog, Oid trigger, Oid *parent)
{
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	Oid			table = InvalidOid;

	*parent = InvalidOid;
	ScanKeyInit(&key, Anum_pg_trigger_oid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(trigger));
	scan = systable_beginscan(catalog, TriggerOidIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		table = ((Form_pg_trigger) GETSTRUCT(tuple))->tgrelid;
		*parent = ((Form_pg_trigger) GETSTRUCT(tuple))->tgparentid;
	}
	systable_endscan(scan);
	return table;
}

Oid
trigger_names_original(Oid trigger)
{
	Relation	catalog = table_open(TriggerRelationId, AccessShareLock);
	Oid			original = trigger;

	while (OidIsValid(trigger))
	{
		original = trigger;
		(void) table_of_trigger(catalog, trigger, &trigger);
	}
	table_close(catalog, AccessShareLock);
	return original;
}

Oid
trigger_names_owner_of(Oid table)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(table));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		return InvalidOid;
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

Oid
trigger_names_owner(Relation rel, Oid trigger)
{
	Relation	catalog;
	Oid			table = RelationGetRelid(rel);

	if (!rel->rd_rel->relispartition)
		return rel->rd_rel->relowner;
	catalog = table_open(TriggerRelationId, AccessShareLock);
	while (OidIsValid(trigger))
	{
		Oid			found = table_of_trigger(catalog, trigger, &trigger);

		if (OidIsValid(found))
			table = found;
	}
	table_close(catalog, AccessShareLock);
	return trigger_names_owner_of(table);
}

/* The destination among a trigger's arguments, each of which ends with a NUL; NULL: none. */
static const char *
destination_of(HeapTuple tuple, TupleDesc desc)
{
	Form_pg_trigger row = (Form_pg_trigger) GETSTRUCT(tuple);
	TriggerFunction function = row->tgnargs > 0 ? trigger_names_function(row->tgfoid) : NOT_OURS;
	bool		isnull;
	const char *argument;

	if (function == NOT_OURS)
		return NULL;
	argument = VARDATA_ANY(DatumGetByteaPP(fastgetattr(tuple, Anum_pg_trigger_tgargs, desc, &isnull)));
	if (function == OUR_TRIGGER)
		return argument;
	for (int i = 0; i < row->tgnargs; i++)
	{
		if (strncmp(argument, "destination=", strlen("destination=")) == 0)
			return argument + strlen("destination=");
		argument += strlen(argument) + 1;
	}
	return NULL;
}

char *
trigger_names_of(const char *destination)
{
	Relation	catalog = table_open(TriggerRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(catalog, InvalidOid, false, NULL, 0, NULL);
	StringInfoData list;
	HeapTuple	tuple;
	int			count = 0;

	initStringInfo(&list);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_trigger row = (Form_pg_trigger) GETSTRUCT(tuple);
		const char *named;

		CHECK_FOR_INTERRUPTS();
		/* a partition's are those of its table */
		if (row->tgisinternal || OidIsValid(row->tgparentid))
			continue;
		named = destination_of(tuple, RelationGetDescr(catalog));
		if (named == NULL || strcmp(named, destination) != 0)
			continue;
		if (count < MAX_NAMED)
			appendStringInfo(&list, "%s\"%s\" on %s", count > 0 ? ", " : "", NameStr(row->tgname),
							 DatumGetCString(DirectFunctionCall1(regclassout, ObjectIdGetDatum(row->tgrelid))));
		count++;
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	if (count == 0)
		return NULL;
	if (count > MAX_NAMED)
		appendStringInfo(&list, ", and %d more", count - MAX_NAMED);
	return psprintf("Triggers that name it: %s.", list.data);
}
