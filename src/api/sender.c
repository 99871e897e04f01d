/*-------------------------------------------------------------------------
 *
 * sender.c
 *		Where a role may send to.
 *
 * Two things are in the catalogs, as GRANTs, so that they are dumped, restored,
 * renamed and dropped with roles: EXECUTE on the functions that send, and on
 * rswebhook.sends_as_granted(), which does nothing but mark the roles that have the
 * former for some destinations only.  For which, is in rswebhook.sender.  So a role
 * whose rows are lost there may send nowhere, and not everywhere; and one that has the
 * mark only has tables that send nowhere.
 *
 * Whether a role may send everywhere, as nearly all do, is known without a look at a
 * table.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "api/sender.h"
#include "tables/tables.h"

/* Who was found to send everywhere, until a function's or a role's rights change. */
static struct
{
	Oid			function;
	Oid			role;
}			known[8];
static int	next_known = 0;
static uint64 changes = 0;
static Oid	table = InvalidOid;		/* rswebhook.sender, as it was found last */

static void
forget(Datum arg, int cacheid, uint32 hashvalue)
{
	memset(known, 0, sizeof(known));
	changes++;
}

static void
relcache_callback(Datum arg, Oid relid)
{
	if (relid == table || relid == InvalidOid)
		changes++;
}

uint64
sender_changes(void)
{
	return changes;
}

static bool
is_known(Oid function, Oid role)
{
	static bool registered = false;

	if (!registered)
	{
		CacheRegisterSyscacheCallback(PROCOID, forget, (Datum) 0);
		CacheRegisterSyscacheCallback(NAMESPACEOID, forget, (Datum) 0);	/* where the mark is */
		CacheRegisterSyscacheCallback(AUTHOID, forget, (Datum) 0);
		CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, forget, (Datum) 0);
		CacheRegisterSyscacheCallback(DATABASEOID, forget, (Datum) 0);	/* whose owner is pg_database_owner */
		CacheRegisterRelcacheCallback(relcache_callback, (Datum) 0);
		registered = true;
	}
	for (int i = 0; i < lengthof(known); i++)
	{
		if (known[i].function == function && known[i].role == role)
			return true;
	}
	return false;
}

/* ---------------------------------------------------------------------
 * Who
 * ---------------------------------------------------------------------
 */

/* A function's rights, as they are written down; NULL: those of any function. */
static Acl *
acl_of(HeapTuple function)
{
	bool		isnull;
	Datum		acl = SysCacheGetAttr(PROCOID, function, Anum_pg_proc_proacl, &isnull);

	return isnull ? NULL : DatumGetAclPCopy(acl);
}

/* Of the mark; NULL: nobody has it. */
static Acl *
marked(void)
{
	HeapTuple	tuple = SearchSysCache3(PROCNAMEARGSNSP, CStringGetDatum("sends_as_granted"),
										PointerGetDatum(buildoidvector(NULL, 0)),
										ObjectIdGetDatum(get_namespace_oid("rswebhook", true)));
	Acl		   *acl = HeapTupleIsValid(tuple) ? acl_of(tuple) : NULL;

	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	return acl;
}

static bool
executes(const AclItem *item)
{
	return (ACLITEM_GET_PRIVS(*item) & ACL_EXECUTE) != 0;
}

static bool
is_marked(Acl *marks, Oid role)
{
	for (int i = 0; marks != NULL && i < ACL_NUM(marks); i++)
	{
		if (executes(&ACL_DAT(marks)[i]) && ACL_DAT(marks)[i].ai_grantee == role)
			return true;
	}
	return false;
}

/* Has it, or a role whose rights it has, the mark? */
static bool
is_bound(Oid role, Acl *marks)
{
	for (int i = 0; marks != NULL && i < ACL_NUM(marks); i++)
	{
		const AclItem *item = &ACL_DAT(marks)[i];

		if (executes(item) && item->ai_grantee != ACL_ID_PUBLIC && has_privs_of_role(role, item->ai_grantee))
			return true;
	}
	return false;
}

/* Fills in what follows from a function's rights. */
static void
read_rights(Sender *sender, Acl *acl, Acl *marks)
{
	sender->granted = palloc(Max(ACL_NUM(acl), 1) * sizeof(Oid));
	for (int i = 0; i < ACL_NUM(acl) && !sender->everywhere; i++)
	{
		const AclItem *item = &ACL_DAT(acl)[i];

		if (!executes(item) ||
			(item->ai_grantee != ACL_ID_PUBLIC && !has_privs_of_role(sender->role, item->ai_grantee)))
			continue;
		if (is_marked(marks, item->ai_grantee))
			sender->granted[sender->ngranted++] = item->ai_grantee;
		else
			sender->everywhere = true;
	}
	if (sender->ngranted == 0 && !is_bound(sender->role, marks))
		sender->everywhere = true;
}

Sender
sender_of(Oid function, Oid role)
{
	Sender		sender = {.function = function, .role = role};
	HeapTuple	tuple;
	Acl		   *acl;
	uint64		seen;

	if (is_known(function, role))
	{
		sender.everywhere = true;
		return sender;
	}
	seen = changes;
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", function);
	acl = acl_of(tuple);
	sender.everywhere = acl == NULL || has_privs_of_role(role, ((Form_pg_proc) GETSTRUCT(tuple))->proowner);
	ReleaseSysCache(tuple);
	if (!sender.everywhere)
		read_rights(&sender, acl, marked());
	if (sender.everywhere && seen == changes)
	{
		known[next_known].function = function;
		known[next_known].role = role;
		next_known = (next_known + 1) % lengthof(known);
	}
	return sender;
}

/* ---------------------------------------------------------------------
 * Where
 * ---------------------------------------------------------------------
 */

/* The table's key, if it is still the one by these two; InvalidOid: all rows are read. */
static Oid
key_of(Relation rel, AttrNumber role, AttrNumber destination_id)
{
	Relation	index;
	bool		by_both;

	list_free(RelationGetIndexList(rel));
	if (!OidIsValid(rel->rd_pkindex))
		return InvalidOid;
	index = index_open(rel->rd_pkindex, AccessShareLock);
	by_both = index->rd_index->indnkeyatts == 2 && index->rd_index->indkey.values[0] == role &&
		index->rd_index->indkey.values[1] == destination_id;
	index_close(index, AccessShareLock);
	return by_both ? rel->rd_pkindex : InvalidOid;
}

static bool
has_row(Relation rel, Snapshot snapshot, Oid role, int32 destination_id)
{
	TupleDesc	desc = RelationGetDescr(rel);
	AttrNumber	role_column = SPI_fnumber(desc, "role");
	AttrNumber	destination_column = SPI_fnumber(desc, "destination_id");
	Oid			index;
	ScanKeyData keys[2];
	SysScanDesc scan;
	bool		found;

	if (role_column <= 0 || destination_column <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("relation \"rswebhook.sender\" lacks one of the columns \"role\" and \"destination_id\""),
				 errhint("If it was renamed, rename it back with ALTER TABLE rswebhook.sender RENAME COLUMN.")));
	if (SPI_gettypeid(desc, role_column) != REGROLEOID || SPI_gettypeid(desc, destination_column) != INT4OID)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("columns of relation \"rswebhook.sender\" are not as they have to be"),
				 errdetail("\"role\" is of type regrole, and \"destination_id\" of type integer."),
				 errhint("Change them back with ALTER TABLE rswebhook.sender ALTER COLUMN ... TYPE.")));
	index = key_of(rel, role_column, destination_column);
	ScanKeyInit(&keys[0], role_column, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(role));
	ScanKeyInit(&keys[1], destination_column, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(destination_id));
	scan = systable_beginscan(rel, index, OidIsValid(index), snapshot, 2, keys);
	found = HeapTupleIsValid(systable_getnext(scan));
	systable_endscan(scan);
	return found;
}

bool
sender_may_send(const Sender *sender, int32 destination_id)
{
	Relation	rel;
	Snapshot	snapshot;
	bool		may = false;

	if (sender->everywhere)
		return true;
	table = tables_relation("sender");
	rel = table_open(table, AccessShareLock);
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	for (int i = 0; i < sender->ngranted && !may; i++)
		may = has_row(rel, snapshot, sender->granted[i], destination_id);
	UnregisterSnapshot(snapshot);
	table_close(rel, AccessShareLock);
	return may;
}
