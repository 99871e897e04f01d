/*-------------------------------------------------------------------------
 *
 * rows.c
 *		Rows of our own tables, without a statement.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "nodes/primnodes.h"
#include "partitioning/partbounds.h"
#include "partitioning/partdesc.h"
#include "storage/lmgr.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/partcache.h"
#include "utils/relcache.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "tables/queue_gone.h"
#include "tables/rows.h"

/* ---------------------------------------------------------------------
 * What somebody may have made of our tables
 * ---------------------------------------------------------------------
 */
bool
rows_table_is_known(Relation rel, const Column *columns, int count)
{
	TupleDesc	desc = RelationGetDescr(rel);

	if (rel->rd_rel->relkind != RELKIND_RELATION || rel->rd_rel->relhassubclass ||
		desc->natts < count)
		return false;
	for (int i = 0; i < count; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (att->atttypid != columns[i].type || att->atttypmod != -1 ||
			att->attnotnull == columns[i].nullable ||
			strcmp(NameStr(att->attname), columns[i].name) != 0)
			return false;
	}
	return true;
}

/*
 * Policies are passed over by the owner of the table, unless they are forced; and that
 * rows are gone the workers need not hear of whoever does not delete them by a statement.
 */
bool
rows_table_is_passive(Relation rel)
{
	return queue_gone_is_all(rel->trigdesc) && rel->rd_rules == NULL &&
		!(rel->rd_rel->relrowsecurity && rel->rd_rel->relforcerowsecurity);
}

/* Columns beyond ours are null, and may be if they were dropped. */
static bool
columns_take_values(TupleDesc desc, int count)
{
	if (desc->constr != NULL && desc->constr->num_check > 0)
		return false;
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (i < count ? att->attidentity != '\0' || att->attgenerated != '\0' :
			!att->attisdropped)
			return false;
	}
	return true;
}

/* The tables that were asked about last, by their id. */
static struct
{
	Oid			table;			/* InvalidOid: none */
	bool		takes_rows;
	bool		knows_plain;
	bool		is_plain;		/* if it is known */
}			asked[32];

static void
forget_asked(Datum arg, Oid table)
{
	if (!OidIsValid(table))
		memset(asked, 0, sizeof(asked));
	else if (asked[table % lengthof(asked)].table == table)
		asked[table % lengthof(asked)].table = InvalidOid;
}

bool
rows_table_takes(Relation rel, const Column *columns, int count)
{
	static bool registered = false;
	Oid			table = RelationGetRelid(rel);
	int			place = table % lengthof(asked);

	if (!registered)
		CacheRegisterRelcacheCallback(forget_asked, (Datum) 0);
	registered = true;
	if (asked[place].table != table)
	{
		asked[place].table = table;
		asked[place].knows_plain = false;
		asked[place].takes_rows = rows_table_is_known(rel, columns, count) &&
			rows_table_is_passive(rel) && columns_take_values(RelationGetDescr(rel), count);
	}
	return asked[place].takes_rows;
}

/* NULL: it is no ring, as far as we know. */
static PartitionDesc
parts_of_ring(Relation parent)
{
	PartitionKey key = RelationGetPartitionKey(parent);

	if (key == NULL || key->strategy != PARTITION_STRATEGY_LIST ||
		key->partattrs[0] == 0 || key->parttypid[0] != INT2OID)
		return NULL;
	return RelationGetPartitionDesc(parent, true);
}

/*
 * The parent says, and not the partition's name: somebody may have taken one
 * out of the ring.
 */
Oid
rows_partition(Relation parent, int16 ring_part)
{
	PartitionDesc desc = parts_of_ring(parent);

	if (desc == NULL || desc->nparts == 0)
		return InvalidOid;
	for (int i = 0; i < desc->boundinfo->ndatums; i++)
	{
		if (DatumGetInt16(desc->boundinfo->datums[i][0]) == ring_part)
			return desc->oids[desc->boundinfo->indexes[i]];
	}
	return InvalidOid;
}

bool
rows_lacks_partition(Relation parent, int16 ring_part)
{
	PartitionDesc desc = parts_of_ring(parent);

	return desc != NULL && !OidIsValid(get_default_oid_from_partdesc(desc)) &&
		!OidIsValid(rows_partition(parent, ring_part));
}

/* ---------------------------------------------------------------------
 * Looking up by a primary key of two columns
 * ---------------------------------------------------------------------
 */
const KeyColumn rows_event_key[2] = {
	{EVENT_ID, INT8OID, F_INT8EQ},
	{EVENT_SLOT, INT2OID, F_INT2EQ}
};

const KeyColumn rows_message_key[2] = {
	{MESSAGE_DESTINATION_ID, INT4OID, F_INT4EQ},
	{MESSAGE_HASH, UUIDOID, F_UUID_EQ}
};

const KeyColumn rows_queue_key[2] = {
	{QUEUE_DESTINATION_ID, INT4OID, F_INT4EQ},
	{QUEUE_EVENT_ID, INT8OID, F_INT8EQ}
};

static bool
index_is_usable(Relation index, const KeyColumn *key)
{
	Form_pg_index form = index->rd_index;

	/* one that old snapshots must not use is for the planner to judge */
	if (index->rd_rel->relam != BTREE_AM_OID || !form->indisvalid ||
		form->indcheckxmin || form->indnkeyatts != 2)
		return false;
	for (int i = 0; i < 2; i++)
	{
		if (form->indkey.values[i] != key[i].column + 1 ||
			index->rd_opcintype[i] != key[i].type)
			return false;
	}
	return true;
}

/* A row is found by IS [NOT] NULL of columns, which fails nobody. */
static bool
predicate_is_plain(Relation index)
{
	ListCell   *lc;

	foreach(lc, RelationGetIndexPredicate(index))
	{
		NullTest   *test = lfirst(lc);

		if (!IsA(test, NullTest) || !IsA(test->arg, Var))
			return false;
	}
	return true;
}

/* Columns of a fixed length always fit into an entry, and PostgreSQL's own order is no error. */
static bool
index_takes_all(Relation index, const KeyColumn *key)
{
	Form_pg_index form = index->rd_index;

	if (index->rd_rel->relam != BTREE_AM_OID || form->indisexclusion ||
		(form->indisunique && !(form->indisprimary && index_is_usable(index, key))))
		return false;
	for (int i = 0; i < form->indnatts; i++)
	{
		if (form->indkey.values[i] <= 0 || TupleDescAttr(RelationGetDescr(index), i)->attlen <= 0 ||
			(i < form->indnkeyatts && index->rd_opfamily[i] >= FirstNormalObjectId))
			return false;
	}
	return predicate_is_plain(index);
}

static bool
indexes_take_all(Relation rel, const KeyColumn *key)
{
	List	   *indexes = RelationGetIndexList(rel);
	bool		take_all = OidIsValid(primary_key_of(rel));
	ListCell   *lc;

	foreach(lc, indexes)
	{
		Relation	index;

		if (!take_all)
			break;
		index = index_open(lfirst_oid(lc), AccessShareLock);
		take_all = index_takes_all(index, key);
		index_close(index, AccessShareLock);
	}
	list_free(indexes);
	return take_all;
}

bool
rows_table_is_plain(Relation rel, const Column *columns, int count, const KeyColumn *key)
{
	Oid			table = RelationGetRelid(rel);
	int			place = table % lengthof(asked);
	bool		is_plain;

	if (!rows_table_takes(rel, columns, count))
		return false;
	if (asked[place].table == table && asked[place].knows_plain)
		return asked[place].is_plain;
	is_plain = rel->rd_rel->relam == HEAP_TABLE_AM_OID && indexes_take_all(rel, key);
	if (asked[place].table == table)
	{
		asked[place].knows_plain = true;
		asked[place].is_plain = is_plain;
	}
	return is_plain;
}

bool
key_lookup_open(KeyLookup *lookup, Relation rel, const KeyColumn *key)
{
	Oid			index = primary_key_of(rel);

	if (!OidIsValid(index))
		return false;
	lookup->rel = rel;
	lookup->index = index_open(index, AccessShareLock);
	lookup->scan = NULL;
	lookup->key = key;
	if (index_is_usable(lookup->index, key))
		return true;
	index_close(lookup->index, NoLock);
	return false;
}

bool
key_lookup_find(KeyLookup *lookup, Snapshot snapshot, Datum first, Datum second,
				TupleTableSlot *slot)
{
	ScanKeyData keys[2];

	if (lookup->scan == NULL)
		lookup->scan = begin_index_scan(lookup->rel, lookup->index, snapshot, 2);
	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, lookup->key[0].equal, first);
	ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, lookup->key[1].equal, second);
	index_rescan(lookup->scan, keys, 2, NULL, 0);
	return index_getnext_slot(lookup->scan, ForwardScanDirection, slot);
}

void
key_lookup_close(KeyLookup *lookup)
{
	if (lookup->scan != NULL)
		index_endscan(lookup->scan);
	index_close(lookup->index, NoLock);
}

bool
rows_highest_key_of(Relation rel, const KeyColumn *key, int64 *value)
{
	KeyLookup	lookup;
	bool		found = false;

	if (rel->rd_rel->relkind == RELKIND_RELATION && key_lookup_open(&lookup, rel, key))
	{
		TupleTableSlot *slot = table_slot_create(rel, NULL);
		bool		null;

		lookup.scan = begin_index_scan(rel, lookup.index, SnapshotAny, 0);
		index_rescan(lookup.scan, NULL, 0, NULL, 0);
		found = index_getnext_slot(lookup.scan, BackwardScanDirection, slot);
		if (found)
			*value = DatumGetInt64(slot_getattr(slot, key[0].column + 1, &null));
		index_endscan(lookup.scan);
		index_close(lookup.index, AccessShareLock);
		ExecDropSingleTupleTableSlot(slot);
	}
	return found;
}

bool
rows_highest_key(Oid table, const KeyColumn *key, int64 *value)
{
	Relation	rel;
	bool		found;

	if (!ConditionalLockRelationOid(table, AccessShareLock))
		return false;
	rel = table_open(table, NoLock);
	found = rows_highest_key_of(rel, key, value);
	table_close(rel, AccessShareLock);
	return found;
}

/* ---------------------------------------------------------------------
 * Inserting
 * ---------------------------------------------------------------------
 */
void
writer_open(Writer *writer, Relation rel)
{
	memset(writer, 0, sizeof(*writer));
	writer->rel = rel;
	writer->owner = CurrentResourceOwner;
	writer->estate = CreateExecutorState();
	writer->info = makeNode(ResultRelInfo);
	InitResultRelInfo(writer->info, rel, 0, NULL, 0);
	ExecOpenIndices(writer->info, false);
}

void
writer_start_row(Writer *writer)
{
	int			natts = RelationGetDescr(writer->rel)->natts;
	TupleTableSlot *slot = writer->slots[writer->nrows];

	if (slot == NULL)
	{
		/* it must outlive the row */
		MemoryContext old = MemoryContextSwitchTo(writer->estate->es_query_cxt);
		ResourceOwner caller = CurrentResourceOwner;

		CurrentResourceOwner = writer->owner;
		slot = writer->slots[writer->nrows] = table_slot_create(writer->rel, NULL);
		CurrentResourceOwner = caller;
		MemoryContextSwitchTo(old);
	}
	for (int i = 0; i < natts; i++)
	{
		slot->tts_values[i] = (Datum) 0;
		slot->tts_isnull[i] = true;
	}
}

void
writer_set(Writer *writer, int column, Datum value)
{
	TupleTableSlot *slot = writer->slots[writer->nrows];

	slot->tts_values[column] = value;
	slot->tts_isnull[column] = false;
}

static void
insert_index_entries(Writer *writer, TupleTableSlot *slot)
{
	if (writer->info->ri_NumIndices > 0)
		insert_index_tuples(writer->info, slot, writer->estate);
	ResetPerTupleExprContext(writer->estate);
}

void
writer_insert_row(Writer *writer)
{
	TupleTableSlot *slot = writer->slots[writer->nrows];

	ExecStoreVirtualTuple(slot);
	table_tuple_insert(writer->rel, slot, GetCurrentCommandId(true), 0, NULL);
	insert_index_entries(writer, slot);
	ExecClearTuple(slot);		/* it may be large, and the writer may stay open */
}

MemoryContext
writer_row_context(Writer *writer)
{
	return GetPerTupleMemoryContext(writer->estate);
}

void
writer_keep_row(Writer *writer)
{
	TupleTableSlot *slot = writer->slots[writer->nrows];

	ExecStoreVirtualTuple(slot);
	ExecMaterializeSlot(slot);
	ResetPerTupleExprContext(writer->estate);
	if (++writer->nrows == WRITER_ROWS)
		writer_flush(writer);
}

void
writer_flush(Writer *writer)
{
	MemoryContext old;

	if (writer->nrows == 0)
		return;

	/* what is too long for a row is compressed and cut up in there */
	old = MemoryContextSwitchTo(writer_row_context(writer));
	table_multi_insert(writer->rel, writer->slots, writer->nrows,
					   GetCurrentCommandId(true), 0, NULL);
	MemoryContextSwitchTo(old);
	for (int i = 0; i < writer->nrows; i++)
	{
		CHECK_FOR_INTERRUPTS();
		insert_index_entries(writer, writer->slots[i]);
		ExecClearTuple(writer->slots[i]);
	}
	writer->nrows = 0;
}

void
writer_close(Writer *writer)
{
	for (int i = 0; i < WRITER_ROWS && writer->slots[i] != NULL; i++)
		ExecDropSingleTupleTableSlot(writer->slots[i]);
	ExecCloseIndices(writer->info);
	FreeExecutorState(writer->estate);
	table_close(writer->rel, NoLock);
}
