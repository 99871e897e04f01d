/*-------------------------------------------------------------------------
 *
 * piece.h
 *		Reading the queue's index in pieces that take little time, whatever is dead.
 *
 * Deleted rows that some old snapshot may still see stay, and so do their index
 * entries: there may be millions between one row and the next.  A statement has
 * to walk over all of them; here it is known how far a walk has come.
 *
 * Each of these returns false, with nothing done, if it has to be a statement
 * after all; see rows.h.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_PIECE_H
#define RSWEBHOOK_PIECE_H

#include "nodes/pg_list.h"

#include "tables/values.h"

/* A piece takes about so long. */
#define PIECE_US	5000

/* See queue_read(); of all kinds of requests but READ_DUE. */
extern bool piece_read(ReadRequest *request, QueueRow *rows, int *count);

/*
 * Up to which id a few entries behind another one come, dead ones included, in a
 * partition of events.  False: there are none, or it has no key of ours.
 */
extern bool piece_of_ids(Oid partition, int64 after_id, int64 *upto_id);

/* Destinations of all rows, dead ones included: one descent in the index for each. */
extern bool piece_destinations(List **ids);

#endif							/* RSWEBHOOK_PIECE_H */
