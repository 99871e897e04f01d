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
#include "catalog/pg_class.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
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
	NamedDestination dest;
	int			count;

	return destination == NULL ||
		(accept_sender(destination, &owner, &dest, refusal) &&
		 accept_named(destination, &dest, &count, refusal) != NULL);
}

/*
 * Who may send to some destinations only names one of these: the table may have
 * another owner tomorrow, with whose rights the trigger is fired.
 */
static bool
check_named(const Sender *creator, const Trigger *trigger, const char *destination, Refusal *refusal)
{
	NamedDestination dest;

	if (destination != NULL)
		return accept_sender(destination, creator, &dest, refusal);
	return refusal_set(refusal, ERRCODE_INSUFFICIENT_PRIVILEGE,
					   psprintf("permission denied to create trigger \"%s\" without a destination", trigger->tgname),
					   psprintf("Role \"%s\" may send only to the destinations that it was granted.",
								GetUserNameFromId(creator->role, false)),
					   "Name one of them.");
}

/*
 * Nor has he it sent by the rights of somebody who is bound to nothing: it would go on when
 * what he was granted is revoked, and to whatever has the name by then.
 */
static bool
check_creator(const Sender *creator, Relation rel, const Trigger *trigger, const char *destination, Refusal *refusal)
{
	Sender		owner = sender_of(trigger->tgfoid, trigger_names_owner(rel, trigger->tgoid));

	if (creator->everywhere)
		return true;
	if (!check_named(creator, trigger, destination, refusal))
		return false;
	return !owner.everywhere ||
		refusal_set(refusal, ERRCODE_INSUFFICIENT_PRIVILEGE,
					psprintf("permission denied to create trigger \"%s\" on table \"%s\"",
							 trigger->tgname, RelationGetRelationName(rel)),
					psprintf("It would send by the rights of role \"%s\", who may send everywhere, and role \"%s\" may send only to the destinations that it was granted.",
							 GetUserNameFromId(owner.role, false), GetUserNameFromId(creator->role, false)),
					"Have the table's owner create it, or create it on a table of your own.");
}

static const Trigger *
find_trigger(Relation rel, Oid oid)
{
	TriggerDesc *triggers = rel->trigdesc;

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		if (triggers->triggers[i].tgoid == oid)
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
		!check_creator(&creator, rel, trigger, destination, &refusal) ||
		!check_owner(rel, trigger, destination, &refusal))
		refusal_report(&refusal, ERROR, psprintf("trigger \"%s\"", trigger->tgname));
}

/*
 * The table of a trigger that calls one of our functions, as the command under way has
 * left it; a partition's are those of its table.  InvalidOid: it is none of ours.
 */
static Oid
table_of_ours(Oid trigger)
{
	Relation	catalog = table_open(TriggerRelationId, AccessShareLock);
	Oid			table = InvalidOid;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	Form_pg_trigger row;

	ScanKeyInit(&key, Anum_pg_trigger_oid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(trigger));
	scan = systable_beginscan(catalog, TriggerOidIndexId, true, SnapshotSelf, 1, &key);
	tuple = systable_getnext(scan);
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "could not find trigger %u", trigger);
	row = (Form_pg_trigger) GETSTRUCT(tuple);
	if (!OidIsValid(row->tgparentid) && trigger_names_function(row->tgfoid) != NOT_OURS)
		table = row->tgrelid;
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return table;
}

void
trigger_check_created(Oid oid)
{
	Oid			table = table_of_ours(oid);
	Relation	rel;
	const Trigger *trigger;

	if (!OidIsValid(table))
		return;
	CommandCounterIncrement();	/* for the relation to have it */
	rel = table_open(table, NoLock);
	trigger = find_trigger(rel, oid);
	if (trigger == NULL)
		elog(ERROR, "could not find trigger %u of relation \"%s\"", oid, RelationGetRelationName(rel));
	check_created(rel, trigger);
	table_close(rel, NoLock);
}

/* ---------------------------------------------------------------------
 * When its table is another's
 * ---------------------------------------------------------------------
 */

/* As the command under way has left it; before, trigger_names_owner_of() tells. */
static Oid
owner_to_be(Oid table)
{
	Relation	catalog = table_open(RelationRelationId, AccessShareLock);
	Oid			owner = InvalidOid;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_class_oid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(table));
	scan = systable_beginscan(catalog, ClassOidIndexId, true, SnapshotSelf, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return owner;
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
trigger_check_given(Oid table)
{
	Relation	catalog;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	if (superuser() || trigger_names_owner_of(table) == owner_to_be(table))
		return;
	catalog = table_open(TriggerRelationId, AccessShareLock);
	ScanKeyInit(&key, Anum_pg_trigger_tgrelid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(table));
	scan = systable_beginscan(catalog, TriggerRelidNameIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_trigger row = (Form_pg_trigger) GETSTRUCT(tuple);

		if (!row->tgisinternal && trigger_names_function(row->tgfoid) != NOT_OURS)
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
put_problem(ReturnSetInfo *rsinfo, Oid relid, const char *trigger, const Refusal *refusal)
{
	Datum		values[4];
	bool		nulls[4] = {0};

	values[0] = ObjectIdGetDatum(relid);
	values[1] = CStringGetTextDatum(trigger);
	values[2] = CStringGetTextDatum(refusal->detail == NULL ? refusal->message :
									psprintf("%s: %s", refusal->message, refusal->detail));
	nulls[3] = refusal->hint == NULL;
	if (!nulls[3])
		values[3] = CStringGetTextDatum(refusal->hint);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

static void
look_at(ReturnSetInfo *rsinfo, Oid relid, const Trigger *trigger, Relation rel)
{
	const char *destination;
	Refusal		refusal;

	if (!check_options(rel, trigger, &destination, &refusal) ||
		!check_owner(rel, trigger, destination, &refusal))
		put_problem(rsinfo, relid, trigger->tgname, &refusal);
}

/* Whoever keeps a table locked, as its owner may, is not waited for. */
static void
look_at_unlocked(ReturnSetInfo *rsinfo, Form_pg_trigger row)
{
	static const Refusal locked = {
		.sqlerrcode = ERRCODE_LOCK_NOT_AVAILABLE,
		.message = "relation is locked, and was not looked at",
		.hint = "Look again when the transaction that has the lock has ended."
	};
	Relation	rel;
	const Trigger *trigger;

	if (!ConditionalLockRelationOid(row->tgrelid, AccessShareLock))
	{
		put_problem(rsinfo, row->tgrelid, NameStr(row->tgname), &locked);
		return;
	}
	rel = try_relation_open(row->tgrelid, NoLock);
	trigger = rel == NULL ? NULL : find_trigger(rel, row->oid);
	if (trigger != NULL)
		look_at(rsinfo, row->tgrelid, trigger, rel);
	if (rel != NULL)
		relation_close(rel, NoLock);
	UnlockRelationOid(row->tgrelid, AccessShareLock);
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
			look_at_unlocked(rsinfo, row);
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return (Datum) 0;
}
