/*-------------------------------------------------------------------------
 *
 * rows.h
 *		Rows of our own tables, without a statement.
 *
 * Where every microsecond counts, rows are read, written and deleted through
 * the table's and the indexes' access methods.  That is right only as long as
 * nothing but storing the row belongs to it: the callers ask first, and leave
 * it to a statement if somebody has added triggers, rules, policies, checks or
 * columns, or has put something else in the place of a table.  That goes for
 * rswebhook.event, queue and delivery alike, be it a sender that writes or a
 * worker.
 *
 * Locks are kept until the transaction ends, as a statement's are.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_ROWS_H
#define RSWEBHOOK_ROWS_H

#include "access/genam.h"
#include "executor/tuptable.h"
#include "nodes/execnodes.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/snapshot.h"

#include "tables/columns.h"

/* ---------------------------------------------------------------------
 * What somebody may have made of our tables
 * ---------------------------------------------------------------------
 */
/* Is it an ordinary table that begins with these columns? */
extern bool rows_table_is_known(Relation rel, const Column *columns, int count);

/* Does nothing happen but the change itself, as far as we do not see to it, when its rows are changed? */
extern bool rows_table_is_passive(Relation rel);

/*
 * Is all that an INSERT of a row with these columns does to store it?  The
 * answer is remembered until the table is another one.
 */
extern bool rows_table_takes(Relation rel, const Column *columns, int count);

typedef struct KeyColumn
{
	int			column;			/* from 0 */
	Oid			type;
	RegProcedure equal;
} KeyColumn;

/*
 * And can nothing of that fail it, but what fails any?  So there are no indexes besides
 * one of this primary key but such that take every row.  Remembered likewise.
 */
extern bool rows_table_is_plain(Relation rel, const Column *columns, int count, const KeyColumn *key);

/* The partition for a part of a ring; InvalidOid: none, or who knows. */
extern Oid	rows_partition(Relation parent, int16 ring_part);

/* Is it certain that there is no partition for them? */
extern bool rows_lacks_partition(Relation parent, int16 ring_part);

/* ---------------------------------------------------------------------
 * Looking up by a primary key of two columns
 * ---------------------------------------------------------------------
 */
typedef struct KeyLookup
{
	Relation	rel;
	Relation	index;
	IndexScanDesc scan;			/* NULL before the first look-up */
	const KeyColumn *key;
} KeyLookup;

/* Our primary keys. */
extern const KeyColumn rows_event_key[2];
extern const KeyColumn rows_queue_key[2];
extern const KeyColumn rows_message_key[2];

/* False, with nothing to close, if there is no index of such a key. */
extern bool key_lookup_open(KeyLookup *lookup, Relation rel, const KeyColumn *key);
extern bool key_lookup_find(KeyLookup *lookup, Snapshot snapshot,
							Datum first, Datum second, TupleTableSlot *slot);
extern void key_lookup_close(KeyLookup *lookup);

/*
 * The highest value of the key's first column, a bigint, of any row whether
 * committed or not.  False: there is none, or it cannot be had at once.  Keeps no lock.
 */
extern bool rows_highest_key_of(Relation rel, const KeyColumn *key, int64 *value);
extern bool rows_highest_key(Oid table, const KeyColumn *key, int64 *value);

/* ---------------------------------------------------------------------
 * Inserting
 * ---------------------------------------------------------------------
 */

/* Rows that are inserted together. */
#define WRITER_ROWS	64

typedef struct Writer
{
	Relation	rel;
	ResourceOwner owner;		/* of what is open */
	EState	   *estate;
	ResultRelInfo *info;
	int			nrows;			/* kept so far */
	TupleTableSlot *slots[WRITER_ROWS]; /* the first after those: being made */
} Writer;

/*
 * The relation is open and locked, and will be closed with the writer, which is closed
 * under the resource owner, and before the memory context goes, under which it was opened.
 */
extern void writer_open(Writer *writer, Relation rel);

/* All columns as null; the caller fills in what has a value. */
extern void writer_start_row(Writer *writer);
extern void writer_set(Writer *writer, int column, Datum value);

/* Insert the row at once, or ... */
extern void writer_insert_row(Writer *writer);

/*
 * ... copy it, and insert it with others.  Values of such rows may be made in
 * the memory context that writer_row_context() returns: it is reset with each
 * row.
 */
extern MemoryContext writer_row_context(Writer *writer);
extern void writer_keep_row(Writer *writer);
extern void writer_flush(Writer *writer);
extern void writer_close(Writer *writer);

#endif							/* RSWEBHOOK_ROWS_H */
