/*-------------------------------------------------------------------------
 *
 * state_private.h
 *		What the files of shared memory share: state.c (slots, launcher, worker),
 *		wake.c (what a commit tells the worker), counters.c (live counters).
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_STATE_PRIVATE_H
#define RSWEBHOOK_STATE_PRIVATE_H

#include "state.h"

#include "port/atomics.h"
#include "storage/lwlock.h"

typedef struct DatabaseSlot
{
	/* guarded by control->lock */
	uint32		generation;		/* grows when the slot changes hands and at
								 * every start of a worker */
	bool		wanted;			/* there should be a worker */
	bool		starting;		/* the launcher started one, not attached yet */
	bool		confirmed;		/* the worker has found the extension */
	int			holds;			/* commands that need the database to itself */
	int			crashes;		/* in a row; reset when a worker lasts */
	TimestampTz start_after;

	/* guarded by both: read under either, written under both */
	Oid			database;		/* InvalidOid: free */

	/* guarded by lock */
	LWLock		lock;
	PGPROC	   *worker;			/* NULL: none attached */
	bool		stop;
	bool		woken;			/* by a commit, since the worker last looked */
	bool		changed;		/* and by more than events that were queued */
	int			nranges;
	QueuedRange ranges[STATE_MAX_RANGES];
	int			nquiet;
	int32		quiet[STATE_MAX_QUIET];
} DatabaseSlot;

typedef struct Control
{
	LWLock		lock;
	LWLock		stats_lock;
	PGPROC	   *launcher;
	bool		scan;			/* new databases may have come */
	bool		crowded;		/* a database found no slot; the launcher knows */

	/* commits that may be visible before they are on disk; no lock */
	pg_atomic_uint32 async_under_way;
	pg_atomic_uint64 async_upto;	/* of those that have ended */

	DatabaseSlot slots[FLEXIBLE_ARRAY_MEMBER];
} Control;

extern Control *control;		/* NULL: not preloaded */

/* ---- state.c ---- */

/* Wake the launcher; the caller holds control->lock. */
extern void state_wake_launcher(void);

/* The transaction that held a database has ended. */
extern void state_release_held(bool committed);

/* The worker's slot: what was queued since it last took that, left in place. */
extern int	state_look_at_ranges(QueuedRange *ranges);

/* ---- wake.c ---- */
extern Size commits_size(void);
extern void commits_startup(void);

/* ---- counters.c ---- */
extern Size counters_size(void);
extern void counters_startup(void);
extern void counters_forget_all(Oid database);

#endif							/* RSWEBHOOK_STATE_PRIVATE_H */
