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
 * be woken.  A worker for logical replication that takes part in two-phase
 * commits gives no command, so what it makes visible is found by the next
 * sweep only.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "shmem/hold.h"
#include "shmem/share.h"
#include "shmem/wake.h"
#include "worker/ddl.h"

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

/*
 * The database that a command needs to itself, or InvalidOid.  Only for those
 * who may give the command: sending the worker away must not be a way to
 * disturb somebody else's delivery.
 */
static Oid
database_needed_alone(Node *statement)
{
	const char *name = NULL;
	bool		as_template = false;
	Oid			database;

	switch (nodeTag(statement))
	{
		case T_DropdbStmt:
			name = ((DropdbStmt *) statement)->dbname;
			break;
		case T_RenameStmt:
			if (((RenameStmt *) statement)->renameType == OBJECT_DATABASE)
				name = ((RenameStmt *) statement)->subname;
			break;
		case T_AlterDatabaseStmt:
			{
				AlterDatabaseStmt *alter = (AlterDatabaseStmt *) statement;
				ListCell   *lc;

				foreach(lc, alter->options)
				{
					if (strcmp(((DefElem *) lfirst(lc))->defname, "tablespace") == 0)
						name = alter->dbname;
				}
				break;
			}
		case T_CreatedbStmt:
			{
				ListCell   *lc;

				foreach(lc, ((CreatedbStmt *) statement)->options)
				{
					DefElem    *option = lfirst(lc);

					if (strcmp(option->defname, "template") == 0 && option->arg)
						name = defGetString(option);
				}
				as_template = true;
				if (name == NULL)
					name = "template1"; /* as createdb() has it */
				break;
			}
		default:
			break;
	}

	if (name == NULL)
		return InvalidOid;
	database = get_database_oid(name, true);
	if (!OidIsValid(database) || database == MyDatabaseId)
		return InvalidOid;
	if (!owns_database(database, GetUserId()) &&
		!(as_template && may_create_databases()))
		return InvalidOid;
	return database;
}

static bool
is_commit_prepared(Node *statement)
{
	return IsA(statement, TransactionStmt) &&
		((TransactionStmt *) statement)->kind == TRANS_STMT_COMMIT_PREPARED;
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

/*
 * Which ids were prepared is not known any more, and may have been before a
 * restart: the workers have to look from the start.
 */
static const QueuedRange everything = {0, ALL_SHARES, 1, PG_INT64_MAX};

/*
 * The transaction that was prepared as gid, if there is one and it may have
 * changed one of our tables; *queued: the queue, among them.
 *
 * Its locks tell, as they are kept until its end and outlive a restart.  They
 * are listed by a virtual transaction, which differs between versions and after
 * a restart, but is also that of the lock on the transaction's own id.
 * Two transactions may share one, which only makes the worker look in vain.
 *
 * Nothing here may keep somebody from committing: neither what they may read
 * nor the shape that our tables are in.
 */
static TransactionId
prepared_writer(const char *gid, bool *queued)
{
	static const char sql[] =
		"SELECT p.transaction,"
		"  pg_catalog.bool_or(c.relname OPERATOR(pg_catalog.=) 'queue')"
		" FROM pg_catalog.pg_prepared_xacts p"
		" JOIN pg_catalog.pg_locks x"
		"  ON x.transactionid OPERATOR(pg_catalog.=) p.transaction"
		" JOIN pg_catalog.pg_locks l"
		"  ON l.virtualtransaction OPERATOR(pg_catalog.=) x.virtualtransaction"
		" JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) l.relation"
		" JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace"
		" WHERE p.gid OPERATOR(pg_catalog.=) $1"
		"  AND l.locktype OPERATOR(pg_catalog.=) 'relation'"
		"  AND l.database OPERATOR(pg_catalog.=) $2"
		"  AND l.mode OPERATOR(pg_catalog.<>) 'AccessShareLock'"
		"  AND l.mode OPERATOR(pg_catalog.<>) 'RowShareLock'"
		"  AND n.nspname OPERATOR(pg_catalog.=) 'rswebhook'"
		" GROUP BY p.transaction";
	Oid			types[] = {TEXTOID, OIDOID};
	Datum		values[] = {CStringGetTextDatum(gid), ObjectIdGetDatum(MyDatabaseId)};
	TransactionId xid = InvalidTransactionId;
	Oid			user;
	int			context;

	*queued = false;
	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(BOOTSTRAP_SUPERUSERID, context | SECURITY_LOCAL_USERID_CHANGE);
	SPI_connect();
	if (SPI_execute_with_args(sql, lengthof(types), types, values, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not look for prepared transaction \"%s\"", gid);
	if (SPI_processed == 1)
	{
		HeapTuple	row = SPI_tuptable->vals[0];
		bool		null;

		xid = DatumGetTransactionId(SPI_getbinval(row, SPI_tuptable->tupdesc, 1, &null));
		*queued = DatumGetBool(SPI_getbinval(row, SPI_tuptable->tupdesc, 2, &null));
	}
	SPI_finish();
	SetUserIdAndSecContext(user, context);
	return xid;
}

static bool
has_extension(void)
{
	return OidIsValid(get_extension_oid("rswebhook", true));
}

/* COMMIT PREPARED is about to be run: what has to be told of it afterwards? */
static void
before_commit_prepared(const char *gid, bool *changed, bool *queued)
{
	TransactionId xid = prepared_writer(gid, queued);

	*changed = TransactionIdIsValid(xid);
	if (*queued)
		wake_announce(xid, &everything);
}

static void
process_utility(PlannedStmt *pstmt, const char *query, bool read_only_tree,
				ProcessUtilityContext context, ParamListInfo params,
				QueryEnvironment *env, DestReceiver *dest, QueryCompletion *qc)
{
	Node	   *statement = pstmt->utilityStmt;
	bool		commits_prepared = false;
	bool		had_extension = false;
	bool		changed = false;
	bool		queued = false;
	Oid			database = InvalidOid;

	/*
	 * Only statements that could matter get a closer look; a transaction may
	 * not be open for the others.
	 */
	if (IsTransactionState() && !IsAbortedTransactionBlockState() &&
		!RecoveryInProgress())
	{
		database = database_needed_alone(statement);
		commits_prepared = is_commit_prepared(statement);
	}

	/* until the end of the transaction, whichever way that comes */
	if (OidIsValid(database))
		hold_database(database, IsA(statement, DropdbStmt));

	if (commits_prepared)
	{
		had_extension = has_extension();
		if (had_extension)
			before_commit_prepared(((TransactionStmt *) statement)->gid, &changed, &queued);
	}

	if (prev_process_utility)
		prev_process_utility(pstmt, query, read_only_tree, context, params, env,
							 dest, qc);
	else
		standard_ProcessUtility(pstmt, query, read_only_tree, context, params,
								env, dest, qc);

	if (commits_prepared && !had_extension)
	{
		AcceptInvalidationMessages();	/* it may have created the extension */
		changed = has_extension();
	}
	if (changed)
		wake_note_changed();
	if (queued)
		wake_note_queued(&everything);
	if (IsA(statement, CreatedbStmt) || is_about_templates(statement))
		wake_note_new_database();
}

/* DROP EXTENSION by whatever way, DROP OWNED and DROP SCHEMA CASCADE included. */
static void
object_access(ObjectAccessType access, Oid class, Oid object, int sub, void *arg)
{
	if (prev_object_access)
		prev_object_access(access, class, object, sub, arg);

	if (access == OAT_DROP && class == ExtensionRelationId &&
		object == get_extension_oid("rswebhook", true))
		wake_note_changed();
}

void
ddl_install_hooks(void)
{
	prev_process_utility = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
	prev_object_access = object_access_hook;
	object_access_hook = object_access;
}
