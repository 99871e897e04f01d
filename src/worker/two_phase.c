/*-------------------------------------------------------------------------
 *
 * two_phase.c
 *		COMMIT PREPARED of what nothing is known of.
 *
 * A prepared transaction keeps its locks until its end, also over a restart.  So
 * the locks on each of our tables are looked at; pg_locks would list those of all
 * tables, for each of many that are committed after a restart.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/twophase.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"

#include "shmem/prepared.h"
#include "shmem/share.h"
#include "shmem/wake.h"
#include "worker/two_phase.h"

/*
 * Which ids it queued is not known any more, and may have been before a restart:
 * the workers have to look from the start.
 */
static const QueuedRange everything = {0, ALL_SHARES, 1, PG_INT64_MAX, 0, true};

static TransactionId
find_prepared(const char *gid)
{
	static const char sql[] =
		"SELECT transaction FROM pg_catalog.pg_prepared_xact()"
		" WHERE gid OPERATOR(pg_catalog.=) $1"
		" AND dbid OPERATOR(pg_catalog.=) $2";
	Oid			types[] = {TEXTOID, OIDOID};
	Datum		values[] = {CStringGetTextDatum(gid), ObjectIdGetDatum(MyDatabaseId)};
	bool		null;

	if (SPI_execute_with_args(sql, lengthof(types), types, values, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not look for prepared transaction \"%s\"", gid);
	if (SPI_processed != 1)
		return InvalidTransactionId;
	return DatumGetTransactionId(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc,
											   1, &null));
}

/*
 * Is the holder of a lock that prepared transaction?  One from before a restart
 * is known by its own id, others by whose session they were: two may share that,
 * which only makes the workers look in vain.
 */
static bool
is_prepared_as(VirtualTransactionId holder, TransactionId xid)
{
	bool		others = false;	/* set only if it is so */

	if (VirtualTransactionIdIsRecoveredPreparedXact(holder))
		return TransactionIdEquals(holder.localTransactionId, xid);
	return TransactionIdEquals(TwoPhaseGetXidByVirtualXID(holder, &others), xid) || others;
}

/* May it have written to this table, or changed it? */
static bool
has_changed(Oid relid, TransactionId xid)
{
	LOCKTAG		tag;
	VirtualTransactionId *holders;
	int			count;
	bool		found = false;

	SET_LOCKTAG_RELATION(tag, MyDatabaseId, relid);
	/* what conflicts is all but the locks of who reads, also FOR UPDATE */
	holders = GetLockConflicts(&tag, ShareRowExclusiveLock, &count);
	for (int i = 0; i < count && !found; i++)
		found = is_prepared_as(holders[i], xid);
	pfree(holders);
	return found;
}

/*
 * May it have changed one of our tables?  unknown->queued: the queue, among them.
 */
static void
look_at_tables(TransactionId xid, Unknown *unknown)
{
	Relation	depend = table_open(DependRelationId, AccessShareLock);
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&keys[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(ExtensionRelationId));
	ScanKeyInit(&keys[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(get_extension_oid("rswebhook", false)));
	scan = systable_beginscan(depend, DependReferenceIndexId, true, NULL, lengthof(keys), keys);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend member = (Form_pg_depend) GETSTRUCT(tuple);
		char	   *name;
		char		kind;

		if (member->classid != RelationRelationId || member->deptype != DEPENDENCY_EXTENSION)
			continue;
		kind = get_rel_relkind(member->objid);
		if ((kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE) ||
			!has_changed(member->objid, xid))
			continue;
		unknown->changed = true;
		name = get_rel_name(member->objid);
		if (name != NULL && strcmp(name, "queue") == 0)
			unknown->queued = true;
	}
	systable_endscan(scan);
	table_close(depend, AccessShareLock);
}

/* Nothing here may keep somebody from committing, such as what they may read. */
static TransactionId
ask_catalog(const char *gid, Unknown *unknown)
{
	TransactionId xid;
	Oid			user;
	int			context;

	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(BOOTSTRAP_SUPERUSERID, context | SECURITY_LOCAL_USERID_CHANGE);
	SPI_connect();
	xid = find_prepared(gid);
	unknown->asked = TransactionIdIsValid(xid) && prepared_lacks(xid);
	if (unknown->asked && unknown->had_extension)
		look_at_tables(xid, unknown);
	SPI_finish();
	SetUserIdAndSecContext(user, context);
	return xid;
}

static bool
has_extension(void)
{
	return OidIsValid(get_extension_oid("rswebhook", true));
}

void
two_phase_before_commit(const char *gid, Unknown *unknown)
{
	TransactionId xid;

	if (prepared_will_end(gid) || !prepared_may_lack())
		return;
	unknown->had_extension = has_extension();
	xid = ask_catalog(gid, unknown);
	if (unknown->queued)
		wake_announce(xid, &everything, NO_SHARE_MAP);
}

void
two_phase_after_commit(const char *gid, const Unknown *unknown)
{
	bool		changed = unknown->changed;

	wake_prepared_ended(gid, true);
	if (unknown->asked && !unknown->had_extension)
	{
		AcceptInvalidationMessages();	/* it may have created the extension */
		changed = has_extension();
	}
	if (changed)
		wake_note_changed();
	if (unknown->queued)
		wake_note_queued(&everything, NO_SHARE_MAP);
}
