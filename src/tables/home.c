/*-------------------------------------------------------------------------
 *
 * home.c
 *		Is this the database that delivers, or a copy of it?
 *
 * Senders and workers ask until it is at home, and whoever looks at the status
 * once for each destination: so the table is read without a statement.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/sysattr.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_database.h"
#include "commands/dbcommands.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "tables/columns.h"
#include "tables/home.h"
#include "tables/rows.h"
#include "tables/tables.h"

int			rswebhook_enabled = DELIVERY_ON;

/* Is this row another database's?  In words, or NULL. */
static const char *
difference(TupleTableSlot *slot)
{
	bool		null;
	int64		system = DatumGetInt64(slot_getattr(slot, HOME_SYSTEM_IDENTIFIER + 1, &null));
	Oid			database = DatumGetObjectId(slot_getattr(slot, HOME_DATABASE_OID + 1, &null));
	Datum		name = slot_getattr(slot, HOME_CLUSTER_NAME + 1, &null);

	if (system != (int64) GetSystemIdentifier() || database != MyDatabaseId)
		return psprintf("rswebhook.home has system identifier " INT64_FORMAT " and database %u; here they are " INT64_FORMAT " and %u.",
						system, database, (int64) GetSystemIdentifier(), MyDatabaseId);
	if (!null && strcmp(TextDatumGetCString(name), cluster_name) != 0)
		return psprintf("rswebhook.home has cluster_name \"%s\"; here it is \"%s\".",
						TextDatumGetCString(name), cluster_name);
	return NULL;
}

static bool
is_our_own(TupleTableSlot *slot)
{
	bool		null;
	Datum		xmin = slot_getsysattr(slot, MinTransactionIdAttributeNumber, &null);

	return TransactionIdIsCurrentTransactionId(DatumGetTransactionId(xmin));
}

/* No worker is there, since it would be in the way of whoever copies it. */
static bool
is_template(void)
{
	HeapTuple	tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(MyDatabaseId));
	bool		template = HeapTupleIsValid(tuple) &&
		((Form_pg_database) GETSTRUCT(tuple))->datistemplate;

	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	return template;
}

/* With several rows, as where replication has added another's, all must be ours. */
static Home
look(const char **why)
{
	Relation	rel = table_open(tables_relation("home"), AccessShareLock);
	Snapshot	snapshot;
	TupleTableSlot *slot;
	TableScanDesc scan;
	Home		home = HOME_UNKNOWN;

	if (!rows_table_is_known(rel, columns_of_home, HOME_COLUMNS))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("columns of relation \"rswebhook.home\" are not as they have to be"),
				 errdetail("They, or the table itself, have been altered."),
				 errhint("Give them the names and types that they had after CREATE EXTENSION.")));
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	slot = table_slot_create(rel, NULL);
	scan = begin_table_scan(rel, snapshot);
	while (home != HOME_ELSEWHERE && table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		*why = difference(slot);
		home = *why != NULL ? HOME_ELSEWHERE : is_our_own(slot) ? HOME_HERE_SO_FAR : HOME_HERE;
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	UnregisterSnapshot(snapshot);
	table_close(rel, NoLock);
	if (home == HOME_HERE && is_template())
	{
		*why = "No worker comes to a template, where it would be in the way of whoever copies it.";
		home = HOME_ELSEWHERE;
	}
	return home;
}

Home
home_look(void)
{
	const char *why;

	return look(&why);
}

void
home_report_elsewhere(int level)
{
	const char *why;
	bool		template = is_template();

	if (look(&why) != HOME_ELSEWHERE)
		return;					/* adopted meanwhile */
	ereport(level,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("rswebhook delivers nothing from database \"%s\", which is a %s",
					get_database_name(MyDatabaseId), template ? "template" : "copy of another one"),
			 errdetail("%s", why),
			 template ? errhint("What is sent is kept, and copied. If this database shall deliver it, ALTER DATABASE ... IS_TEMPLATE false.") :
			 errhint("What is sent is kept. If this database shall deliver what is in its queue, and no other one does, call rswebhook_adopt() there.")));
}

SQL_FUNCTION(rswebhook_is_home);

Datum
rswebhook_is_home(PG_FUNCTION_ARGS)
{
	Home		home = home_look();

	if (home == HOME_UNKNOWN)
		PG_RETURN_NULL();
	PG_RETURN_BOOL(home != HOME_ELSEWHERE);
}
