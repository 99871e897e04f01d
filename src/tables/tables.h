/*-------------------------------------------------------------------------
 *
 * tables.h
 *		Where our tables are, which part of a ring is a moment's, and the words
 *		of a column.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_TABLES_H
#define RSWEBHOOK_TABLES_H

#include "datatype/timestamp.h"

#include "tables/values.h"

extern int	rswebhook_retention;	/* setting; seconds */

/* Oid of one of the extension's tables or sequences in schema rswebhook. */
extern Oid	tables_relation(const char *name);

/* Likewise; InvalidOid: it is not there, or has another name now. */
extern Oid	tables_find(const char *name);

/*
 * A command that rewrites a table, as ALTER TABLE does, leaves nothing there for
 * snapshots that are older than it.  So a table is locked first, and looked at
 * afterwards under a new snapshot: absence under an older one proves nothing.
 */
extern void tables_look_again(void);

/* Both at once, for a table of ours that is to be read. */
extern void tables_lock_and_look(const char *table);

/*
 * The part of a ring for a moment, which rows have in "slot" or "event_slot"; see
 * rswebhook--1.0.sql.
 */
#define RING_PARTS	10
extern int16 tables_ring_part(TimestampTz at);

/* "delivered", "retry", "aborted", "pause", as in tables and settings. */
extern const char *tables_outcome_name(VerdictKind kind);
extern bool tables_outcome_by_name(const char *name, VerdictKind *kind);

#endif							/* RSWEBHOOK_TABLES_H */
