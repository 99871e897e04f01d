/*-------------------------------------------------------------------------
 *
 * sink.h
 *		A table of ours while a sender writes rows to it.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_SINK_H
#define RSWEBHOOK_SINK_H

#include "tables/columns.h"
#include "tables/rows.h"

/* The tables that senders write to. */
typedef enum SinkTable
{
	SINK_EVENT, SINK_QUEUE, SINK_HOME, SINK_DELIVERY, SINK_ALERT, SINK_UNTALLIED
} SinkTable;

typedef struct Target Target;

typedef struct Sink
{
	Target	   *target;
	Relation	rel;
	bool		direct;			/* else by a statement */
	Writer		writer;			/* of a partition of rel, or of rel itself */
} Sink;

/* A row to be: columns without a value are null. */
#define SINK_MAX_COLUMNS	DELIVERY_COLUMNS
typedef struct NewRow
{
	Datum		values[SINK_MAX_COLUMNS];
	char		nulls[SINK_MAX_COLUMNS];	/* as SPI has them */
} NewRow;

/* Goes up whenever one of the tables, or the sequence, may have become another one. */
extern uint64 sink_changes(void);

/* Where ids of events come from. */
extern Oid	sink_event_sequence(void);

/* Only locks it. */
extern Relation sink_lock(SinkTable table);

/* Locks it; or a ring's partition for a part, without which it is an error. */
extern void sink_open(Sink *sink, SinkTable table);
extern void sink_open_part(Sink *sink, SinkTable table, int16 ring_part);

extern void sink_row_clear(NewRow *row);
extern void sink_row_set(NewRow *row, int column, Datum value);

/* kept: with others, at the latest when the sink is flushed. */
extern void sink_insert(Sink *sink, NewRow *row, bool kept);
extern void sink_flush(Sink *sink);

/* Flush it before: rows that are kept go. */
extern void sink_close(Sink *sink);

/* What is so rare that nothing is opened for it. */
extern void sink_insert_by_statement(SinkTable table, NewRow *row);

#endif							/* RSWEBHOOK_SINK_H */
