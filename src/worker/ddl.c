/*-------------------------------------------------------------------------
 *
 * ddl.c
 *		Commands that concern a worker: the hooks that see them.
 *
 * DROP DATABASE, ALTER DATABASE RENAME or SET TABLESPACE and CREATE DATABASE
 * need the database (or its template) without any connection, and PostgreSQL
 * does not send a background worker away for them.  So the worker is told to
 * leave before the command and may come back after it.
 *
 * CREATE DATABASE may bring the extension with its template, COMMIT PREPARED
 * makes events visible that another session queued, and a dropped extension
 * leaves its worker with nothing to do: after each of these, somebody has to
 * be woken.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_database.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_trigger.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "api/store.h"
#include "api/trigger_check.h"
#include "base/compat.h"
#include "shmem/hold.h"
#include "shmem/wake.h"
#include "worker/ddl.h"
#include "worker/two_phase.h"

static ProcessUtility_hook_type prev_process_utility = NULL;
static object_access_hook_type prev_object_access = NULL;

static bool
may_create_databases(void)
{
	HeapTuple	role;
	bool		result;

	if (superuser())
		return true;
	role = SearchSysCache1(AUTHOID, ObjectIdGetDatum(GetUserId()));
	if (!HeapTupleIsValid(role))
		return false;
	result = ((Form_pg_authid) GETSTRUCT(role))->rolcreatedb;
	ReleaseSysCache(role);
	return result;
}

/* May it be copied by whoever may create databases? */
static bool
is_template(Oid database)
{
	HeapTuple	tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(database));
	bool		result;

	if (!HeapTupleIsValid(tuple))
		return false;
	result = ((Form_pg_database) GETSTRUCT(tuple))->datistemplate;
	ReleaseSysCache(tuple);
	return result;
}

static const char *
template_of(const CreatedbStmt *create)
{
	ListCell   *lc;

	foreach(lc, create->options)
	{
		DefElem    *option = lfirst(lc);

		if (strcmp(option->defname, "template") == 0 && option->arg)
			return defGetString(option);
	}
	return "template1";			/* as createdb() has it */
}

static bool
moves_database(const AlterDatabaseStmt *alter)
{
	ListCell   *lc;

	foreach(lc, alter->options)
	{
		if (strcmp(((DefElem *) lfirst(lc))->defname, "tablespace") == 0)
			return true;
	}
	return false;
}

/*
 * The database that a command needs to itself, or InvalidOid.  Only for those
 * who may give the command, and where it may be given: sending the worker away
 * must not be a way to disturb somebody else's delivery.
 */
static Oid
database_needed_alone(Node *statement, bool top_level)
{
	const char *name;
	bool		in_block = false;	/* may it be given there? */
	bool		creates = false;
	bool		owned = true;	/* must it be? */
	Oid			database;

	if (IsA(statement, DropdbStmt))
		name = ((DropdbStmt *) statement)->dbname;
	else if (IsA(statement, RenameStmt) && ((RenameStmt *) statement)->renameType == OBJECT_DATABASE)
	{
		name = ((RenameStmt *) statement)->subname;
		in_block = creates = true;
	}
	else if (IsA(statement, AlterDatabaseStmt) && moves_database((AlterDatabaseStmt *) statement))
		name = ((AlterDatabaseStmt *) statement)->dbname;
	else if (IsA(statement, CreatedbStmt))
	{
		name = template_of((CreatedbStmt *) statement);
		creates = true;
		owned = false;
	}
	else
		return InvalidOid;

	if (!in_block && IsInTransactionBlock(top_level))
		return InvalidOid;
	database = get_database_oid(name, true);
	if (!OidIsValid(database) || database == MyDatabaseId ||
		(creates && !may_create_databases()) ||
		((owned || !is_template(database)) && !owns_database(database, GetUserId())))
		return InvalidOid;
	return database;
}

/* Does it make a template a database like others, perhaps? */
static bool
is_about_templates(Node *statement)
{
	ListCell   *lc;

	if (!IsA(statement, AlterDatabaseStmt))
		return false;
	foreach(lc, ((AlterDatabaseStmt *) statement)->options)
	{
		if (strcmp(((DefElem *) lfirst(lc))->defname, "is_template") == 0)
			return true;
	}
	return false;
}

/* ALTER DATABASE ... SET or RESET of one of our settings, or of all. */
static void
note_settings(const AlterDatabaseSetStmt *alter)
{
	const VariableSetStmt *set = alter->setstmt;
	Oid			database;

	if (set->name != NULL && pg_strncasecmp(set->name, "rswebhook.", strlen("rswebhook.")) != 0)
		return;
	database = get_database_oid(alter->dbname, true);
	if (OidIsValid(database))
		wake_note_settings(database);
}

/* What a statement does with a prepared transaction; TRANS_STMT_BEGIN: nothing. */
static TransactionStmtKind
two_phase_kind(Node *statement, const char **gid)
{
	TransactionStmt *s = (TransactionStmt *) statement;

	if (!IsA(statement, TransactionStmt))
		return TRANS_STMT_BEGIN;
	*gid = s->gid;
	switch (s->kind)
	{
		case TRANS_STMT_PREPARE:
		case TRANS_STMT_COMMIT_PREPARED:
		case TRANS_STMT_ROLLBACK_PREPARED:
			return s->kind;
		default:
			return TRANS_STMT_BEGIN;
	}
}

/* Commands that come to a table by other commands, or by statements on it. */
static bool
runs_others(const Node *statement)
{
	switch (nodeTag(statement))
	{
		case T_TransactionStmt:
		case T_DoStmt:
		case T_CallStmt:
		case T_ExecuteStmt:
		case T_CopyStmt:
		case T_ExplainStmt:
		case T_FetchStmt:
		case T_DeclareCursorStmt:
		case T_CreateTableAsStmt:
			return true;
		default:
			return false;
	}
}

static void
run(PlannedStmt *pstmt, const char *query, bool read_only_tree, ProcessUtilityContext context,
	ParamListInfo params, QueryEnvironment *env, DestReceiver *dest, QueryCompletion *qc)
{
	if (prev_process_utility)
		prev_process_utility(pstmt, query, read_only_tree, context, params, env, dest, qc);
	else
		standard_ProcessUtility(pstmt, query, read_only_tree, context, params, env, dest, qc);
}

static void
run_on_tables(PlannedStmt *pstmt, const char *query, bool read_only_tree, ProcessUtilityContext context,
			  ParamListInfo params, QueryEnvironment *env, DestReceiver *dest, QueryCompletion *qc)
{
	store_begin_command();
	PG_TRY();
	{
		run(pstmt, query, read_only_tree, context, params, env, dest, qc);
	}
	PG_FINALLY();
	{
		store_end_command();
	}
	PG_END_TRY();
}

static void
process_utility(PlannedStmt *pstmt, const char *query, bool read_only_tree,
				ProcessUtilityContext context, ParamListInfo params,
				QueryEnvironment *env, DestReceiver *dest, QueryCompletion *qc)
{
	Node	   *statement = pstmt->utilityStmt;
	TransactionStmtKind kind = TRANS_STMT_BEGIN;
	const char *gid = NULL;
	Unknown		unknown = {0};
	Oid			database = InvalidOid;

	/*
	 * Only statements that could matter get a closer look; a transaction may
	 * not be open for the others.
	 */
	if (IsTransactionState() && !IsAbortedTransactionBlockState() &&
		!RecoveryInProgress())
	{
		database = database_needed_alone(statement, context == PROCESS_UTILITY_TOPLEVEL);
		kind = two_phase_kind(statement, &gid);
		store_close_lasting();
	}

	/* until the end of the transaction, or of this part of it that is rolled back */
	if (OidIsValid(database))
		hold_database(database, IsA(statement, DropdbStmt));

	if (kind == TRANS_STMT_PREPARE)
		wake_note_prepare(gid);
	else if (kind == TRANS_STMT_COMMIT_PREPARED)
		two_phase_before_commit(gid, &unknown);

	if (runs_others(statement))
		run(pstmt, query, read_only_tree, context, params, env, dest, qc);
	else
		run_on_tables(pstmt, query, read_only_tree, context, params, env, dest, qc);

	if (kind == TRANS_STMT_COMMIT_PREPARED)
		two_phase_after_commit(gid, &unknown);
	else if (kind == TRANS_STMT_ROLLBACK_PREPARED)
		wake_prepared_ended(gid, false);
	if (IsA(statement, CreatedbStmt) || is_about_templates(statement))
		wake_note_new_database();
	else if (IsA(statement, AlterDatabaseSetStmt))
		note_settings((AlterDatabaseSetStmt *) statement);
}

/* What is owed is worth counting up to there. */
#define MOST_OWED	100000

/* Is this the queue, with rows of its own?  Nearly always not. */
static bool
is_queue(Oid relid)
{
	char	   *name = get_rel_name(relid);

	return name != NULL && strcmp(name, "queue") == 0 && get_rel_relkind(relid) == RELKIND_RELATION &&
		get_rel_namespace(relid) == get_namespace_oid("rswebhook", true);
}

/*
 * The queue is about to be dropped, with all that is owed.  Its indexes may be gone
 * by now.
 */
static void
warn_of_owed(Oid relid)
{
	Relation	rel = table_open(relid, AccessShareLock);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	TableScanDesc scan = begin_table_scan(rel, snapshot);
	int			owed = 0;

	while (owed <= MOST_OWED && table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		CHECK_FOR_INTERRUPTS();
		owed++;
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	UnregisterSnapshot(snapshot);
	table_close(rel, NoLock);
	if (owed > 0)
		ereport(WARNING,
				(errmsg_plural("%s%d delivery that is owed will not take place, as rswebhook is dropped",
							   "%s%d deliveries that are owed will not take place, as rswebhook is dropped",
							   owed, owed > MOST_OWED ? "more than " : "", Min(owed, MOST_OWED)),
				 errhint("To keep them, do it in a transaction block, and ROLLBACK.")));
}

/* By whatever command: DROP OWNED and DROP SCHEMA CASCADE drop an extension, too. */
static void
object_access(ObjectAccessType access, Oid class, Oid object, int sub, void *arg)
{
	if (prev_object_access)
		prev_object_access(access, class, object, sub, arg);

	if (access == OAT_DROP && class == ExtensionRelationId &&
		object == get_extension_oid("rswebhook", true))
		wake_note_changed();
	else if (access == OAT_DROP && class == RelationRelationId && sub == 0 && is_queue(object))
		warn_of_owed(object);
	else if (access == OAT_POST_CREATE && class == TriggerRelationId &&
			 !((ObjectAccessPostCreate *) arg)->is_internal)
		trigger_check_created(object);
	else if (access == OAT_POST_ALTER && class == RelationRelationId && sub == 0 &&
			 !((ObjectAccessPostAlter *) arg)->is_internal)
		trigger_check_given(object);
}

void
ddl_install_hooks(void)
{
	prev_process_utility = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
	prev_object_access = object_access_hook;
	object_access_hook = object_access;
}
