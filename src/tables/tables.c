/*-------------------------------------------------------------------------
 *
 * tables.c
 *		Where our tables are, which part of a ring is a moment's, and the words
 *		of a column.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_inherits.h"
#include "commands/extension.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/clock.h"
#include "tables/tables.h"

int			rswebhook_retention = 7 * SECS_PER_DAY;

Oid
tables_find(const char *name)
{
	Oid			namespace = get_namespace_oid("rswebhook", true);

	return OidIsValid(namespace) ? get_relname_relid(name, namespace) : InvalidOid;
}

Oid
tables_relation(const char *name)
{
	Oid			relid = tables_find(name);

	if (!OidIsValid(relid) && !OidIsValid(get_extension_oid("rswebhook", true)))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation \"rswebhook.%s\" does not exist", name),
				 errdetail("The extension rswebhook is not in this database."),
				 errhint("Run CREATE EXTENSION rswebhook in this database.")));
	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation \"rswebhook.%s\" does not exist", name),
				 errdetail("It, or its schema, has another name now, or it is in another schema."),
				 errhint("Rename it back, or move it back with SET SCHEMA rswebhook; \"\\dx+ rswebhook\" in psql shows what it is called now.")));
	return relid;
}

void
tables_look_again(void)
{
	PopActiveSnapshot();
	PushActiveSnapshot(GetTransactionSnapshot());
}

void
tables_lock_and_look(const char *table)
{
	Relation	rel = table_open(tables_relation(table), AccessShareLock);

	if (rel->rd_rel->relhassubclass)
		(void) find_all_inheritors(RelationGetRelid(rel), AccessShareLock, NULL);
	table_close(rel, NoLock);
	tables_look_again();
}

int16
tables_ring_part(TimestampTz at)
{
	int64		span = Max(rswebhook_retention / 8, 1);

	/* times before 1970 only come by a wrong clock, but need a part as well */
	return (int16) (Max(clock_unix_seconds(at), 0) / span % RING_PARTS);
}

static const char *const outcome_names[] = {
	[VERDICT_DELIVERED] = "delivered",
	[VERDICT_RETRY] = "retry",
	[VERDICT_ABORTED] = "aborted",
	[VERDICT_PAUSE] = "pause",
	[VERDICT_REFUSED] = "refused",
	[VERDICT_SUNK] = "sunk",
};

const char *
tables_outcome_name(VerdictKind kind)
{
	return outcome_names[kind];
}

bool
tables_outcome_by_name(const char *name, VerdictKind *kind)
{
	for (int i = 0; i <= VERDICT_PAUSE; i++)
	{
		if (strcmp(outcome_names[i], name) == 0)
		{
			*kind = (VerdictKind) i;
			return true;
		}
	}
	return false;
}
