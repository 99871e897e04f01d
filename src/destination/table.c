/*-------------------------------------------------------------------------
 *
 * table.c
 *		Rows of rswebhook.destination: all, or one by its index.
 *
 * Snapshots are taken here, and are newer than what has been heard of changes: the
 * statement's could be older, and what it sees would then be kept for good.  So
 * configuration is always the newest, in a REPEATABLE READ transaction too.
 *
 * An index that somebody has dropped is not needed, but then all rows are read.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relscan.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_index.h"
#include "catalog/pg_opfamily.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "base/subtransaction.h"
#include "destination/fields.h"
#include "destination/row.h"
#include "destination/table.h"
#include "tables/tables.h"

/* What is known of the table until it may be another one. */
static struct
{
	Oid			relid;
	uint64		as_of;			/* changes_resets() */
	DestinationColumns columns;
	Oid			by_id;			/* indexes; InvalidOid: none of use */
	Oid			by_name;
	Oid			divided;
}			known;

void
destination_look(const ChangeReader *reader, Changes *changes)
{
	if (!OidIsValid(known.relid))
	{
		known.relid = tables_relation("destination");
		changes_set_table(known.relid);
	}
	changes_look(reader, changes);
}

/* ---------------------------------------------------------------------
 * The table and its indexes
 * ---------------------------------------------------------------------
 */

/* An index on all rows, or with the condition that the script has given it. */
static bool
has_condition(Relation index, const char *wanted)
{
	HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(RelationGetRelid(index)));
	bool		isnull = false;
	bool		has = false;
	Datum		condition;

	if (!HeapTupleIsValid(tuple))
		return false;
	condition = SysCacheGetAttr(INDEXRELID, tuple, Anum_pg_index_indpred, &isnull);
	if (isnull || wanted == NULL)
		has = isnull && wanted == NULL;
	else
	{
		condition = DirectFunctionCall2(pg_get_expr, condition,
										ObjectIdGetDatum(index->rd_index->indrelid));
		has = strcmp(TextDatumGetCString(condition), wanted) == 0;
	}
	ReleaseSysCache(tuple);
	return has;
}

static bool
is_by(Relation index, Form_pg_attribute column, Oid opfamily)
{
	Form_pg_index form = index->rd_index;

	return form->indisvalid && form->indisready && form->indislive && !form->indcheckxmin &&
		form->indnkeyatts == 1 && form->indkey.values[0] == column->attnum &&
		index->rd_opfamily[0] == opfamily &&
		index->rd_indcollation[0] == column->attcollation;
}

/* An index by one column; InvalidOid: there is none that all processes can use. */
static Oid
find_index(Relation rel, AttrNumber column, Oid opfamily, const char *condition)
{
	List	   *indexes = RelationGetIndexList(rel);
	Oid			found = InvalidOid;
	ListCell   *cell;

	foreach(cell, indexes)
	{
		Relation	index = index_open(lfirst_oid(cell), AccessShareLock);

		if (is_by(index, TupleDescAttr(RelationGetDescr(rel), column - 1), opfamily) &&
			has_condition(index, condition))
			found = RelationGetRelid(index);
		index_close(index, AccessShareLock);
		if (OidIsValid(found))
			break;
	}
	list_free(indexes);
	return found;
}

/* Not heard of while it is looked up, as the table is locked. */
static void
look_at_table(Relation rel)
{
	TupleDesc	desc = RelationGetDescr(rel);
	uint64		as_of = changes_resets();

	if (known.as_of == as_of && known.relid == RelationGetRelid(rel))
		return;
	destination_columns_check(desc);
	known.columns = (DestinationColumns)
	{
		.id = SPI_fnumber(desc, "id"),
		.name = SPI_fnumber(desc, "name"),
		.enabled = SPI_fnumber(desc, "enabled"),
		.types = SPI_fnumber(desc, "types"),
		.events = SPI_fnumber(desc, "events"),
		.excluded_events = SPI_fnumber(desc, "excluded_events"),
		.filter = SPI_fnumber(desc, "filter"),
		.consent = SPI_fnumber(desc, "consent"),
		.workers = SPI_fnumber(desc, "workers"),
		.deduplicate = SPI_fnumber(desc, "deduplicate")
	};
	known.by_id = find_index(rel, known.columns.id, INTEGER_BTREE_FAM_OID, NULL);
	known.by_name = find_index(rel, known.columns.name, TEXT_BTREE_FAM_OID, NULL);
	known.divided = find_index(rel, known.columns.id, INTEGER_BTREE_FAM_OID, "(workers > 1)");
	known.relid = RelationGetRelid(rel);
	known.as_of = as_of;
}

void
destination_table_open(DestinationTable *table)
{
	Oid			relid = tables_relation("destination");

	changes_set_table(relid);
	table->rel = table_open(relid, AccessShareLock);
	look_at_table(table->rel);
	table->columns = known.columns;
	table->scan = NULL;
	table->context = CurrentMemoryContext;
	table->snapshot = RegisterSnapshot(IsInParallelMode() ? GetActiveSnapshot() : GetLatestSnapshot());
}

static void
end_scan(DestinationTable *table)
{
	if (table->scan != NULL)
		systable_endscan(table->scan);
	table->scan = NULL;
}

void
destination_table_close(DestinationTable *table)
{
	end_scan(table);
	UnregisterSnapshot(table->snapshot);
	table_close(table->rel, AccessShareLock);
}

/* ---------------------------------------------------------------------
 * Rows
 * ---------------------------------------------------------------------
 */
static void
begin_scan(DestinationTable *table, Oid index, ScanKey key)
{
	MemoryContext caller = MemoryContextSwitchTo(table->context);

	end_scan(table);
	table->scan = systable_beginscan(table->rel, index, OidIsValid(index), table->snapshot,
									 key != NULL ? 1 : 0, key);
	MemoryContextSwitchTo(caller);
}

void
destination_table_all(DestinationTable *table)
{
	begin_scan(table, InvalidOid, NULL);
}

void
destination_table_divided(DestinationTable *table)
{
	begin_scan(table, known.divided, NULL);
}

int
destination_table_rows(const DestinationTable *table)
{
	return (int) Min(Max(table->rel->rd_rel->reltuples, 0), 1e6);
}

HeapTuple
destination_table_next(DestinationTable *table)
{
	MemoryContext caller = MemoryContextSwitchTo(table->context);
	HeapTuple	tuple;

	CHECK_FOR_INTERRUPTS();
	tuple = systable_getnext(table->scan);
	MemoryContextSwitchTo(caller);
	return tuple;
}

HeapTuple
destination_table_by_id(DestinationTable *table, int32 id)
{
	ScanKeyData key;

	ScanKeyInit(&key, table->columns.id, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(id));
	begin_scan(table, known.by_id, &key);
	return destination_table_next(table);
}

HeapTuple
destination_table_by_name(DestinationTable *table, const char *name)
{
	TupleDesc	desc = RelationGetDescr(table->rel);
	ScanKeyData key;
	HeapTuple	tuple;

	ScanKeyEntryInitialize(&key, 0, table->columns.name, BTEqualStrategyNumber, InvalidOid,
						   TupleDescAttr(desc, table->columns.name - 1)->attcollation,
						   F_TEXTEQ, CStringGetTextDatum(name));
	begin_scan(table, known.by_name, &key);
	while ((tuple = destination_table_next(table)) != NULL)
	{
		bool		isnull;
		Datum		value = heap_getattr(tuple, table->columns.name, desc, &isnull);

		/* to a collation of somebody's, others may be equal as well */
		if (!isnull && strcmp(TextDatumGetCString(value), name) == 0)
			return tuple;
	}
	return NULL;
}

int32
destination_id_in_any(const char *name)
{
	Relation	rel = table_open(tables_relation("destination"), AccessShareLock);
	TupleDesc	desc = RelationGetDescr(rel);
	AttrNumber	id_column = SPI_fnumber(desc, "id");
	AttrNumber	name_column = SPI_fnumber(desc, "name");
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, snapshot, 0, NULL);
	int32		id = 0;
	HeapTuple	tuple;

	while (id == 0 && id_column > 0 && SPI_gettypeid(desc, id_column) == INT4OID && name_column > 0 &&
		   HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		char	   *value = SPI_getvalue(tuple, desc, name_column);
		bool		isnull;

		CHECK_FOR_INTERRUPTS();
		if (value != NULL && strcmp(value, name) == 0)
			id = DatumGetInt32(heap_getattr(tuple, id_column, desc, &isnull));
		if (value != NULL)
			pfree(value);
	}
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(rel, AccessShareLock);
	return id;
}

void
destination_table_columns(DestinationTable *table, int count, Datum **values, bool **nulls)
{
	slot_getsomeattrs(table->scan->slot, count);
	*values = table->scan->slot->tts_values;
	*nulls = table->scan->slot->tts_isnull;
}

int32
destination_table_int(const DestinationTable *table, HeapTuple tuple, AttrNumber column)
{
	bool		isnull;
	Datum		value = heap_getattr(tuple, column, RelationGetDescr(table->rel), &isnull);

	return isnull ? 0 : DatumGetInt32(value);
}

RowVersion
destination_row_version(HeapTuple tuple)
{
	return (RowVersion) {HeapTupleHeaderGetRawXmin(tuple->t_data), tuple->t_self};
}

bool
destination_row_is(HeapTuple tuple, const RowVersion *version)
{
	return HeapTupleHeaderGetRawXmin(tuple->t_data) == version->xmin &&
		ItemPointerEquals(&tuple->t_self, unconstify(ItemPointerData *, &version->at));
}

/* ---------------------------------------------------------------------
 * What may fail
 * ---------------------------------------------------------------------
 */

typedef struct Attempt
{
	DestinationPart part;
	HeapTuple	tuple;
	TupleDesc	desc;
	void	   *arg;
} Attempt;

static void
attempt_part(void *arg)
{
	const Attempt *attempt = arg;

	attempt->part(attempt->tuple, attempt->desc, attempt->arg);
}

/* The error's message, or NULL. */
static char *
try_part(DestinationPart part, HeapTuple tuple, TupleDesc desc, void *arg, bool lack_is_its_own)
{
	Attempt		attempt = {part, tuple, desc, arg};
	ErrorData  *error = NULL;

	/* where there are no subtransactions, an error is one */
	if (IsInParallelMode())
		attempt_part(&attempt);
	else
		error = subtransaction_try(attempt_part, &attempt);
	if (error == NULL)
		return NULL;
	if (subtransaction_is_about_all(error->sqlerrcode) ||
		(!lack_is_its_own && subtransaction_is_lack(error->sqlerrcode)))
		ReThrowError(error);
	return error->message;
}

char *
destination_try(DestinationPart part, HeapTuple tuple, TupleDesc desc, void *arg)
{
	return try_part(part, tuple, desc, arg, false);
}

static void
read_all_of_row(HeapTuple tuple, TupleDesc desc, void *arg)
{
	destination_read(arg, tuple, desc);
}

Destination *
destination_read_row(HeapTuple tuple, TupleDesc desc, bool *unreadable)
{
	Destination *dest = palloc0(sizeof(Destination));
	char	   *message = try_part(read_all_of_row, tuple, desc, dest, true);

	*unreadable = message != NULL;
	if (*unreadable)
		dest->problem = psprintf("The row cannot be read: %s", message);
	return dest;
}
