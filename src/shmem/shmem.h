/*-------------------------------------------------------------------------
 *
 * shmem.h
 *		Shared memory: one slot a worker, wake-ups, live counters.
 *
 * Each database has rswebhook.workers slots, one a share of its queue.
 *
 * Locking.  control->lock (LWLock) guards which slots belong to which database,
 * everything about a slot's life (wanted, starting, confirmed, holds) and the
 * launcher's latch.  slot->lock (LWLock) guards what a committing backend
 * touches: the worker's PGPROC and the ranges.  Whoever changes a slot's
 * database takes both, control->lock first.  Latches are set while the lock
 * that guards the PGPROC is held, so that the process cannot leave in between.
 * stats_lock (LWLock) guards the table of live counters, turns_lock (LWLock) who
 * has which destination's turn, the lock in wake.c the commits under way, and the
 * one in clock.c how the system's clock was set; no other lock is ever taken while
 * one of these is held.
 *
 * Process-local things (descriptors, curl handles, pointers into a process'
 * memory) are never here.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_STATE_H
#define RSWEBHOOK_STATE_H

#include "base/clock.h"
#include "shmem/values.h"

#include "storage/proc.h"
#include "utils/snapshot.h"

/* settings */
extern int	rswebhook_max_databases;
extern int	rswebhook_workers;	/* of each database; see share.h */

extern void state_init(void);	/* from _PG_init while preloading */
extern bool state_available(void);	/* false: not preloaded */

/*
 * Remember that the current transaction queued these rows; the workers hear
 * of them when, and only when, it commits.
 */
extern void state_note_queued(const QueuedRange *range);

/* Likewise, that it changed what the workers know of destinations and the like. */
extern void state_note_changed(void);

/* WARNING with a hint, once a session, if nothing will be delivered. */
extern void state_warn_unavailable(void);

/* _PG_init of any process: the transaction callbacks. */
extern void state_register_callbacks(void);

/* ---- any backend ---- */

/*
 * Have the launcher start (or look at) this database's workers.  False: every
 * slot is taken; the launcher looks again once some are free.
 */
extern bool state_want_workers(Oid database);

/* At commit, have the launcher look at databases that it has not seen. */
extern void state_note_new_database(void);

/*
 * Ids of this database that become visible when transaction xid commits,
 * which this backend is about to have happen.
 */
extern void state_announce(TransactionId xid, const QueuedRange *range);

/*
 * Keep a database free of workers until the transaction ends; waits,
 * interruptibly, until the present ones have gone.  dropping: if the
 * transaction commits, the database is no more.
 */
extern void state_hold_database(Oid database, bool dropping);

/* ---- launcher ---- */

extern void state_attach_launcher(void);
extern bool state_take_scan_request(void);

/* A slot that needs a worker now, marked as starting; false: none. */
extern bool state_next_to_start(int *slot, Oid *database, uint32 *generation);

/*
 * The process that was started has ended, or could not be started.  One that
 * had attached has told its slot by itself; this is for those that had not.
 */
extern void state_worker_gone(int slot, uint32 generation);

/* None needs to be started there ever again. */
extern void state_database_gone(int slot, uint32 generation);

/* Databases wait for a slot, or do so no more. */
extern void state_set_crowded(bool crowded);

/* Workers that have not said yet whether their database has the extension. */
extern int	state_looking(void);

/* When state_next_to_start() will have something that waits; 0: never. */
extern Instant state_next_start_at(void);

/* ---- worker ---- */

/* False: somebody holds the database; leave at once. */
extern bool state_attach_worker(int slot, uint32 generation);

/* Which of this database's workers this one is. */
extern int	state_my_share(void);

/* The worker has found the extension and stays. */
extern void state_confirm_worker(void);

/*
 * The worker has found that there is nothing to do for it here, and leaves.
 * If somebody wakes it before it is gone, another one will look again.
 */
extern void state_mark_unwanted(void);

/* Somebody wants this worker to leave. */
extern bool state_told_to_stop(void);

/*
 * Has a transaction committed since state_take_ranges() that queued something,
 * or that changed what the worker has to know?  The latch is set once for all
 * that do, so this has to be asked before a wait.
 */
extern bool state_woken(void);

/*
 * What was queued since the last call, into *ranges (the caller's array of
 * STATE_MAX_RANGES); returns how many.  And what else there is to know.
 */
#define STATE_MAX_RANGES	256

typedef struct News
{
	bool		changed;		/* such as a destination that is another one now */
	bool		breakers;		/* another worker has opened or closed some */
	bool		turns;			/* another worker has left somebody a turn */
} News;

extern int	state_take_ranges(QueuedRange *ranges, News *news);

/* Tell the database's other workers. */
extern void state_tell_others(const News *news);

/*
 * What a snapshot sees of this worker's share and state_take_ranges() has not handed
 * out, be it that the backend has not come round to telling; *count says how
 * many.  Good until the next call.
 */
extern const QueuedRange *state_untold_ranges(Snapshot snapshot, int *count);

/*
 * Destinations of which nothing can be sent whatever is queued, as when they
 * are paused: that wakes nobody.  What was queued is there when it is looked
 * for again, which the worker does at once.  Beyond the maximum, destinations
 * are simply not quiet.
 */
#define STATE_MAX_QUIET		64
extern void state_set_quiet(const int32 *destination_ids, int count);

/* What rswebhook.workers() shows of this worker; lacks: NULL: nothing. */
#define STATE_LACKS_SIZE	64
extern void state_show_max_in_flight(int max_in_flight);
extern void state_show_lacks(const char *lacks);

/*
 * Turns of this database's workers, of which a destination allows so many; see
 * Turns in schedule.h.
 */
extern bool state_take_turn(int32 destination_id, int most);
extern bool state_leave_turn(int32 destination_id);
extern void state_withdraw_turn(int32 destination_id);

/* Before what was read is told to the world: it must be there after a crash. */
extern void state_flush_commits(void);

/* ---- live counters: workers write them, rswebhook.status shows them ---- */
typedef struct DestinationStats
{
	int32		in_flight;
	int64		delivered;
	int64		retried;
	int64		aborted;
	double		latency_ms;		/* moving average of delivered requests */
	TimestampTz last_delivered_at;	/* 0: never */
	TimestampTz last_error_at;	/* 0: never */
	char		last_error[200];
} DestinationStats;

extern void state_publish_stats(int32 destination_id, const DestinationStats *stats);
extern void state_forget_stats(int32 destination_id);

#endif							/* RSWEBHOOK_STATE_H */
