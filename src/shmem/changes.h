/*-------------------------------------------------------------------------
 *
 * changes.h
 *		Which destinations have changed, for whoever keeps what it has read of them.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_CHANGES_H
#define RSWEBHOOK_CHANGES_H

#include "utils/relcache.h"

/*
 * A row of rswebhook.destination was changed, by the current transaction; divided:
 * it has several workers, or had.  Whoever keeps it hears of that at commit, and
 * this session at once.
 */
extern void changes_note(Relation destinations, int32 id, bool divided);

/* Likewise, that any of them may have been. */
extern void changes_note_all(Relation destinations);

/* How far somebody has read; all zeros at the beginning. */
typedef struct ChangeReader
{
	uint64		position;
	uint64		resets;
} ChangeReader;

/* What may be different from what was read. */
typedef struct Changes
{
	bool		all;			/* whatever was read */
	bool		divided;		/* some that have several workers, or had */
	int			count;
	const int32 *ids;			/* some more than once; good until the next call */
	ChangeReader next;			/* the reader, once it has taken note of this */
} Changes;

/*
 * What is asked for before a snapshot is taken is seen by that.  What this
 * transaction has changed comes with each call, as it may be rolled back.
 */
extern void changes_look(const ChangeReader *reader, Changes *changes);

/* The table, as it is now; what is about another one is no change. */
extern void changes_set_table(Oid relid);

/* Grows whenever the table, and not only its rows, may be another one. */
extern uint64 changes_resets(void);

/* Count all as changed, for readers of this process. */
extern void changes_forget(void);

/* ---- shmem.c ---- */

extern Size changes_size(void);
extern void changes_startup(void);

#endif							/* RSWEBHOOK_CHANGES_H */
