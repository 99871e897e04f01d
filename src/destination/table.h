/*-------------------------------------------------------------------------
 *
 * table.h
 *		Rows of rswebhook.destination: all, or one by its index.
 *
 * They are read straight from the table: no privilege of the current user, no
 * search_path and no plan is involved.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_DESTINATION_TABLE_H
#define RSWEBHOOK_DESTINATION_TABLE_H

#include "access/genam.h"
#include "utils/rel.h"
#include "utils/snapshot.h"

#include "base/clock.h"
#include "destination/values.h"
#include "shmem/changes.h"

/* What may have changed since the reader took note; see changes.h. */
extern void destination_look(const ChangeReader *reader, Changes *changes);

/* Columns that are asked for without all the others. */
typedef struct DestinationColumns
{
	AttrNumber	id;
	AttrNumber	name;
	AttrNumber	enabled;
	AttrNumber	types;
	AttrNumber	events;
	AttrNumber	excluded_events;
	AttrNumber	filter;
	AttrNumber	consent;
	AttrNumber	workers;
	AttrNumber	deduplicate;
} DestinationColumns;

/*
 * The table, and a snapshot that is newer than all that destination_look() has
 * told of; in parallel mode, where none can be taken, the statement's.
 */
typedef struct DestinationTable
{
	Relation	rel;
	Snapshot	snapshot;
	DestinationColumns columns;
	SysScanDesc scan;			/* NULL: none */
	MemoryContext context;		/* its memory: that of the opening */
} DestinationTable;

extern void destination_table_open(DestinationTable *table);
extern void destination_table_close(DestinationTable *table);

/*
 * Rows that come one by one, until NULL; a tuple is good until the next one.  Those
 * that are divided have a column "workers" greater than 1; there may be others among
 * them.
 */
extern void destination_table_all(DestinationTable *table);
extern void destination_table_divided(DestinationTable *table);
extern HeapTuple destination_table_next(DestinationTable *table);

/* How many there may be, as far as that is known; 0: it is not. */
extern int	destination_table_rows(const DestinationTable *table);

/* The first columns of the row that was returned last. */
extern void destination_table_columns(DestinationTable *table, int count,
									  Datum **values, bool **nulls);

/* The row, or NULL; good until the next call. */
extern HeapTuple destination_table_by_id(DestinationTable *table, int32 id);
extern HeapTuple destination_table_by_name(DestinationTable *table, const char *name);

/*
 * The id of the one of this name in a table of which other columns may not be as they have
 * to be; 0: there is none, or that cannot be told.  Reads all rows.
 */
extern int32 destination_id_in_any(const char *name);

extern int32 destination_table_int(const DestinationTable *table, HeapTuple tuple, AttrNumber column);

/* Which row this is, and which version of it: another one after any change. */
typedef struct RowVersion
{
	TransactionId xmin;
	ItemPointerData at;
} RowVersion;

extern RowVersion destination_row_version(HeapTuple tuple);
extern bool destination_row_is(HeapTuple tuple, const RowVersion *version);

/* A part of a reading that may fail for one row only. */
typedef void (*DestinationPart) (HeapTuple tuple, TupleDesc desc, void *arg);

/*
 * If it fails (a part of the row is damaged, say), that is this destination's matter
 * alone: the error's message is returned, else NULL.  What would be so with any other
 * row, or is for want of memory, is an error all the same.
 */
extern char *destination_try(DestinationPart part, HeapTuple tuple, TupleDesc desc, void *arg);

/* All of a row, in the current memory context; *unreadable: try again later. */
extern Destination *destination_read_row(HeapTuple tuple, TupleDesc desc, bool *unreadable);

/* When to try again what could not be read: memory may be there by then. */
#define DESTINATION_AGAIN_US	(20 * USECS_PER_SEC)

#endif							/* RSWEBHOOK_DESTINATION_TABLE_H */
