/*-------------------------------------------------------------------------
 *
 * row.h
 *		A row of rswebhook.destination becomes a Destination.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_ROW_H
#define RSWEBHOOK_ROW_H

#include "access/htup.h"
#include "access/tupdesc.h"

#include "destination/values.h"

/*
 * Fills what was all zeros, in the current memory context.  If the row came past
 * the checks, and cannot be used, its problem says why.  Which it is, and what
 * becomes of requests in flight, comes first, to be there if the rest is an error.
 */
extern void destination_read(Destination *dest, HeapTuple tuple, TupleDesc desc);

#endif							/* RSWEBHOOK_ROW_H */
