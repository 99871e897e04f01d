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
#include "catalog/pg_trigger.h"
#include "catalog/namespace.h"
#include "commands/trigger.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/tuplestore.h"

#include "api/accept.h"
#include "api/outbox.h"
#include "api/refusal.h"
#include "api/sender.h"
#include "api/trigger.h"
#include "api/trigger_check.h"
#include "api/trigger_names.h"
#include "base/compat.h"

/* ---------------------------------------------------------------------
 * What is wrong with one
 * ---------------------------------------------------------------------
 */
static bool
check_options(Relation rel, const Trigger *trigger, const char **destination, Refusal *refusal)
{
	return trigger_names_function(trigger->tgfoid) == OUR_TRIGGER ?
		trigger_options_check(rel, trigger, destination, refusal) :
		outbox_options_check(rel, trigger, destination, refusal);
}

/* By the rights with which it will send. */
static bool
check_owner(Relation rel, const Trigger *trigger, const char *destination, Refusal *refusal)
{
	Sender		owner = sender_of(trigger->tgfoid, trigger_names_owner(rel, trigger->tgoid));
	int			count;

	return destination == NULL || accept_by_name(destination, &owner, &count, refusal) != NULL;
}

/*
 * Who may send to some destinations only names one of these: the table may have
 * another owner tomorrow, with whose rights the trigger is fired.
 */
static bool
check_creator(const Sender *creator, const Trigger *trigger, const char *destination, Refusal *refusal)
{
	int			count;

	if (creator->everywhere)
		return true;
	if (destination != NULL)
		return accept_by_name(destination, creator, &count, refusal) != NULL;
	return refusal_set(refusal, ERRCODE_INSUFFICIENT_PRIVILEGE,
					   psprintf("permission denied to create trigger \"%s\" without a destination", trigger->tgname),
					   psprintf("Role \"%s\" may send only to the destinations that it was granted.",
								GetUserNameFromId(creator->role, false)),
					   "Name one of them.");
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

static void
check_created(Relation rel, const Trigger *trigger)
{
	Sender		creator = sender_of(trigger->tgfoid, GetUserId());
	const char *destination;
	Refusal		refusal;

	if (is_restored() && creator.everywhere)
		return;
	if (!check_options(rel, trigger, &destination, &refusal) ||
		!check_creator(&creator, trigger, destination, &refusal) ||
		!check_owner(rel, trigger, destination, &refusal))
		refusal_report(&refusal, ERROR, psprintf("trigger \"%s\"", trigger->tgname));
}

void
trigger_check_created(const CreateTrigStmt *statement)
{
	Relation	rel;
	const Trigger *trigger;

	CommandCounterIncrement();
	rel = table_openrv(statement->relation, NoLock);
	trigger = find_trigger(rel, statement->trigname);
	if (trigger != NULL && trigger_names_function(trigger->tgfoid) != NOT_OURS)
		check_created(rel, trigger);
	table_close(rel, NoLock);
}

/* ---------------------------------------------------------------------
 * When its table is another's
 * ---------------------------------------------------------------------
 */

/* Which tables a command gives away: one, or all that some roles own. */
typedef struct Given
{
	Oid			table;			/* invalid: those of these owners */
	List	   *owners;
} Given;

/* False: none. */
static bool
gives_away(Node *statement, Given *given)
{
	ListCell   *lc;

	*given = (Given) {InvalidOid, NIL};
	if (IsA(statement, AlterTableStmt))
	{
		foreach(lc, ((AlterTableStmt *) statement)->cmds)
		{
			if (((AlterTableCmd *) lfirst(lc))->subtype == AT_ChangeOwner)
				given->table = RangeVarGetRelid(((AlterTableStmt *) statement)->relation, NoLock, true);
		}
	}
	else if (IsA(statement, ReassignOwnedStmt))
	{
		foreach(lc, ((ReassignOwnedStmt *) statement)->roles)
		{
			given->owners = lappend_oid(given->owners, get_rolespec_oid(lfirst(lc), true));
		}
	}
	return OidIsValid(given->table) || given->owners != NIL;
}

static bool
is_given(const Given *given, Oid table)
{
	return OidIsValid(given->table) ? table == given->table :
		list_member_oid(given->owners, trigger_names_owner_of(table));
}

static void
check_given(Form_pg_trigger row)
{
	Sender		giver = sender_of(row->tgfoid, GetUserId());

	if (!giver.everywhere)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to give away table \"%s\"", get_rel_name(row->tgrelid)),
				 errdetail("Its trigger \"%s\" would send by the rights of another owner, and role \"%s\" may send only to the destinations that it was granted.",
						   NameStr(row->tgname), GetUserNameFromId(giver.role, false)),
				 errhint("Drop the trigger first.")));
}

void
trigger_check_given(Node *statement)
{
	Relation	catalog;
	SysScanDesc scan;
	HeapTuple	tuple;
	Given		given;

	if (superuser() || !gives_away(statement, &given))
		return;
	catalog = table_open(TriggerRelationId, AccessShareLock);
	scan = systable_beginscan(catalog, InvalidOid, false, NULL, 0, NULL);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_trigger row = (Form_pg_trigger) GETSTRUCT(tuple);

		CHECK_FOR_INTERRUPTS();
		if (!row->tgisinternal && trigger_names_function(row->tgfoid) != NOT_OURS &&
			is_given(&given, row->tgrelid))
			check_given(row);
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
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
look_at(ReturnSetInfo *rsinfo, Form_pg_trigger row)
{
	Relation	rel = try_relation_open(row->tgrelid, AccessShareLock);
	const Trigger *trigger = rel == NULL ? NULL : find_trigger(rel, NameStr(row->tgname));
	const char *destination;
	Refusal		refusal;

	if (trigger != NULL && (!check_options(rel, trigger, &destination, &refusal) ||
							!check_owner(rel, trigger, destination, &refusal)))
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

		CHECK_FOR_INTERRUPTS();
		/* a partition's are those of its table */
		if (row->tgisinternal || OidIsValid(row->tgparentid))
			continue;
		if (trigger_names_function(row->tgfoid) != NOT_OURS)
			look_at(rsinfo, row);
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return (Datum) 0;
}
