/*-------------------------------------------------------------------------
 *
 * control.h
 *		What the files of shared memory share: state.c (slots, as backends and
 *		the launcher see them), slot.c (a worker's own), wake.c (what a commit
 *		tells the workers), turns.c (turns of workers), counters.c (live
 *		counters).
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_STATE_PRIVATE_H
#define RSWEBHOOK_STATE_PRIVATE_H

#include "shmem/shmem.h"

#include "port/atomics.h"
#include "storage/lwlock.h"

/* Destinations; those that find no place in it have to wait a little. */
#define STATE_MAX_TURNS	256
typedef struct TurnSet
{
	int			count;
	int32		destinations[STATE_MAX_TURNS];
} TurnSet;

/* A worker's place.  Those of a database lie side by side, by their shares. */
typedef struct WorkerSlot
{
	/* guarded by control->lock */
	uint32		generation;		/* grows when the slot changes hands and at
								 * every start of a worker */
	bool		wanted;			/* there should be a worker */
	bool		starting;		/* the launcher started one, not attached yet */
	bool		confirmed;		/* the worker has found the extension */
	int			holds;			/* commands that need the database to itself */
	int			crashes;		/* in a row; reset when a worker lasts */
	Instant		start_after;

	/* guarded by both: read under either, written under both */
	Oid			database;		/* InvalidOid: free */

	/* guarded by lock */
	LWLock		lock;
	PGPROC	   *worker;			/* NULL: none attached */
	bool		stop;
	bool		woken;			/* by a commit or another worker, since it last
								 * looked */
	bool		changed;		/* by more than events that were queued */
	bool		breakers;		/* another worker has changed some */
	bool		turns;			/* another worker has left somebody a turn */
	int			nranges;
	QueuedRange ranges[STATE_MAX_RANGES];
	int			nquiet;
	int32		quiet[STATE_MAX_QUIET];
	int			max_in_flight;	/* in force; 0: not known yet */
	char		lacks[STATE_LACKS_SIZE];	/* "": nothing */

	/* guarded by control->turns_lock */
	TurnSet		turns_had;
	TurnSet		turns_wanted;
} WorkerSlot;

typedef struct Control
{
	LWLock		lock;
	LWLock		stats_lock;
	LWLock		turns_lock;
	PGPROC	   *launcher;
	bool		scan;			/* new databases may have come */
	bool		crowded;		/* a database found no slots; the launcher knows */

	/* commits that may be visible before they are on disk; no lock */
	pg_atomic_uint32 async_under_way;
	pg_atomic_uint64 async_upto;	/* of those that have ended */

	WorkerSlot	slots[FLEXIBLE_ARRAY_MEMBER];
} Control;

extern Control *control;		/* NULL: not preloaded */

/* ---- state.c ---- */

/* The first slot of a database, or NULL; the caller holds control->lock. */
extern WorkerSlot *state_find_slots(Oid database);

/* The first slot of the same database, and which one of these it is. */
extern WorkerSlot *state_first_of(WorkerSlot *slot);
extern int	state_share_of(const WorkerSlot *slot);

/* No worker, and nothing that it was told; the caller has the slot's lock. */
extern void state_clear_slot(WorkerSlot *slot);

/* Give a database's slots back if nobody needs one; the caller holds control->lock. */
extern void state_free_if_unused(WorkerSlot *first);

/*
 * Wait longer after each failure in a row, from a second to a minute; the
 * caller holds control->lock.
 */
extern void state_back_off(WorkerSlot *slot);

/* Wake the launcher; the caller holds control->lock. */
extern void state_wake_launcher(void);

/*
 * The number of the first slot of a database, -1: it has none.  Without
 * control->lock, its slots may be another database's by the time they are
 * looked at.
 */
extern int	state_first_slot(Oid database);

/* Wake the worker of a slot; the caller holds the slot's lock. */
extern void state_wake_worker(WorkerSlot *slot);

/* The transaction that held a database has ended. */
extern void state_release_held(bool committed);

/* ---- slot.c ---- */

/* This worker's. */
extern WorkerSlot *state_my_slot(void);

/* The worker's slot: what was queued since it last took that, left in place. */
extern int	state_look_at_ranges(QueuedRange *ranges);

/* ---- wake.c ---- */
extern Size commits_size(void);
extern void commits_startup(void);

/* ---- counters.c ---- */
extern Size counters_size(void);
extern void counters_startup(void);

/* A worker that leaves takes along what it has counted. */
extern void counters_forget_mine(void);

#endif							/* RSWEBHOOK_STATE_PRIVATE_H */
