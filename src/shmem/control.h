/*-------------------------------------------------------------------------
 *
 * control.h
 *		What lies in shared memory, for the files of this folder.
 *
 * Each database has rswebhook.workers slots, one a share of its queue.
 *
 * Locking.  shmem_control->lock (LWLock) guards which slots belong to which database,
 * everything about a slot's life (wanted, starting, confirmed, holds) and the
 * launcher's latch.  slot->lock (LWLock) guards what a committing backend
 * touches, such as the ranges.  Either of them guards a slot's database and the
 * worker's PGPROC: whoever changes these takes both, shmem_control->lock first.
 * Latches are set while a lock that guards the PGPROC is held, so that the process
 * cannot leave in between.
 * stats_lock (LWLock) guards the tables of live counters and of filters' errors, the lock in wake.c the
 * commits under way, the one in prepared.c what prepared transactions will tell, the
 * one in changes.c which destinations have changed, and the one in clock.c how the
 * system's clock was set; no other lock is ever taken while one of these is held.
 *
 * Process-local things (descriptors, curl handles, pointers into a process'
 * memory) are never here.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_CONTROL_H
#define RSWEBHOOK_CONTROL_H

#include "port/atomics.h"
#include "storage/lwlock.h"
#include "storage/proc.h"

#include "base/clock.h"
#include "shmem/values.h"

/* A worker's place.  Those of a database lie side by side, by their shares. */
typedef struct WorkerSlot
{
	/* guarded by shmem_control->lock */
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
	PGPROC	   *worker;			/* NULL: none attached */
	bool		stop;			/* it is to leave */

	/* a ShareMap, that with which the worker has begun; changed under
	 * shmem_control->lock, and read without, as publish() says */
	pg_atomic_uint64 map;

	/* guarded by lock */
	LWLock		lock;
	bool		woken;			/* by a commit or another worker, since it last
								 * looked */
	bool		changed;		/* by more than events that were queued */
	bool		breakers;		/* another worker has changed some */
	int			nranges;
	QueuedRange ranges[SLOT_MAX_RANGES];
	int			nquiet;
	int32		quiet[SLOT_MAX_QUIET];
	bool		elsewhere;		/* the database is a copy, and delivers nothing */
	int			max_in_flight;	/* in force; 0: not known yet */
	char		lacks[SLOT_LACKS_SIZE];	/* "": nothing */
	Paced		paced[SLOT_MAX_PACED];	/* outlives the worker */
	Question	question;		/* see asked.h; its number is also read without */
	uint32		answered;		/* the number of the last one that was; so is this */
	bool		taken;			/* by whoever has asked */
	int			nshown;			/* the answer */
	ShownRequest shown[SHOWN_REQUESTS];
} WorkerSlot;

typedef struct Control
{
	LWLock		lock;
	LWLock		stats_lock;
	PGPROC	   *launcher;
	bool		scan;			/* new databases may have come */
	bool		turned_away;	/* so may the turn of those for which there was no slot */
	bool		crowded;		/* a database found no slots; the launcher knows */
	int			processes_wanted;	/* max_worker_processes with which all would have
								 * their workers; 0: none has been denied one. Read
								 * without the lock by who can as well be late */

	/* commits that may be visible before they are on disk; no lock */
	pg_atomic_uint32 async_under_way;
	pg_atomic_uint64 async_upto;	/* of those that have ended */

	WorkerSlot	slots[FLEXIBLE_ARRAY_MEMBER];
} Control;

extern Control *shmem_control;		/* NULL: not preloaded */

/* ---- slots.c ---- */

/* How many there are. */
extern int	slots_count(void);

/* The first slot of a database, or NULL; the caller holds shmem_control->lock. */
extern WorkerSlot *slots_find(Oid database);

/*
 * Likewise, taking free ones if there are none; NULL: all are taken.  Those that are
 * only held give way to a database that wants workers.
 */
extern WorkerSlot *slots_claim(Oid database, bool wanted);

/* The first slot of the same database. */
extern WorkerSlot *slots_first_of(WorkerSlot *slot);

/* What this database's workers were told and have not taken yet; palloc'd.  How many. */
extern int	slots_look_at_ranges(QueuedRange **ranges);

/* No worker, and nothing that it was told; the caller has both locks. */
extern void slots_clear(WorkerSlot *slot);

/* Give a database's slots back if nobody needs one; the caller holds shmem_control->lock. */
extern void slots_free_if_unused(WorkerSlot *first);

/*
 * Wait longer after each failure in a row, from a second to a minute; the
 * caller holds shmem_control->lock.
 */
extern int	slots_back_off(WorkerSlot *slot);

/* Wake the launcher; the caller holds shmem_control->lock. */
extern void slots_wake_launcher(void);

/*
 * The number of the first slot of a database, -1: it has none.  Without
 * shmem_control->lock, its slots may be another database's by the time they are
 * looked at.
 */
extern int	slots_number(Oid database);

/* Wake the worker of a slot; the caller holds the slot's lock. */
extern void slots_wake_worker(WorkerSlot *slot);

/*
 * Have the worker of a slot leave, if there is one; the caller holds
 * shmem_control->lock.  True: there is none, and none is being started.
 */
extern bool slots_send_away(WorkerSlot *slot, bool by_signal);

/* This worker's own; NULL: it is no worker. */
extern void slots_set_mine(WorkerSlot *slot);
extern WorkerSlot *slots_mine(void);

#endif							/* RSWEBHOOK_CONTROL_H */
