/*-------------------------------------------------------------------------
 *
 * schedule.h
 *		What may go next: windows, order per user, pace and back-off.
 *
 * Pure: no SQL, no socket, no clock of its own.  The worker feeds it rows that
 * it has read, asks what to read and what to send, and tells it what came of
 * that.  What it waits for are Instants; times of rows are TimestampTz, as the
 * tables have them (clock.h).  0 stands for "none".
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_SCHEDULE_H
#define RSWEBHOOK_SCHEDULE_H

#include "rswebhook.h"

#include "clock.h"
#include "lib/ilist.h"
#include "lib/pairingheap.h"
#include "outcome.h"
#include "storage/itemptr.h"

/* A row of rswebhook.queue, without the payload. */
typedef struct QueueRow
{
	int32		destination_id;
	int32		attempts;		/* made so far */
	int64		event_id;
	int64		ordering_key;
	TimestampTz queued_at;		/* with attempts, tells a row from a later one
								 * of the same event */
	TimestampTz deliver_after;
	TimestampTz expires_at;
	TimestampTz first_attempt_at;
	TimestampTz retry_at;
	int16		event_slot;
	bool		has_key;
	ItemPointerData tid;		/* where it was read; it may have moved */
} QueueRow;

typedef struct Lane Lane;
typedef struct QueueItem QueueItem;

/* What a lane needs to know of its destination. */
typedef struct LanePolicy
{
	bool		gone;			/* no such destination (any more) */
	bool		halted;			/* disabled or paused */
	bool		ordered;
	int			max_in_flight;
	double		rate_limit;		/* events a second; 0: none */
	int			breaker_failures;	/* 0: no breaker */
	int64		min_backoff_us;
	int64		max_backoff_us;
	int64		max_wait_us;	/* the longest from an attempt to the next */
} LanePolicy;

/* The circuit breaker; closed while opened_at is 0. */
typedef struct Breaker
{
	int			failures;		/* in a row */
	TimestampTz opened_at;
	Instant		next_probe_at;
	char		reason[200];
} Breaker;

/* Which rows the scheduler wants read. */
typedef enum ReadKind
{
	READ_AHEAD,					/* beyond the cursor */
	READ_RANGE,					/* ids that committed late */
	READ_HUNGRY,				/* rows of users that were not kept in memory */
	READ_DUE					/* deliver_after has come */
} ReadKind;

typedef struct ReadRequest
{
	ReadKind	kind;
	Lane	   *lane;
	int32		destination_id;
	int64		after_id;		/* event_id > after_id ... */
	int64		upto_id;		/* ... and <= upto_id, in this order */
	TimestampTz due_after;		/* READ_DUE: (deliver_after, event_id) >
								 * (due_after, after_id), in this order */
	int			limit;
} ReadRequest;

/*
 * Where a destination allows fewer requests in flight than there are workers,
 * or one because its breaker is open, they take turns with it.
 *
 * take: one of so many turns; false: others have them all, and tell when they
 * leave one.  leave: this worker's turn is over; true: others wait for one, so
 * it does, too.  withdraw: it does not wait for one any more.
 */
typedef struct Turns
{
	bool		(*take) (int32 destination_id, int most);
	bool		(*leave) (int32 destination_id);
	void		(*withdraw) (int32 destination_id);
} Turns;

/*
 * This worker's share of the queue, of so many.  Rows of other shares are
 * passed over, and of what a destination allows it has an equal part.
 */
extern void schedule_init(int share, int nshares, const Turns *turns);

/* Another worker has left a turn that somebody waits for. */
extern void schedule_turns_left(Instant now);

/*
 * The bounds on this worker's requests in flight and on the bytes of their
 * events, beside which there may be one event that does not fit; may change at
 * any time.
 */
extern void schedule_set_max_in_flight(int max_in_flight, int64 max_bytes);

/* How much of events it makes sense to fetch. */
extern int64 schedule_free_bytes(void);

/* ---- lanes: one a destination that has a configuration or is owed to ---- */
extern Lane *schedule_lane(int32 destination_id, Instant now);
extern void schedule_configure(Lane *lane, const LanePolicy *policy, Instant now);
extern void schedule_set_breaker(Lane *lane, const Breaker *breaker, Instant now);
extern int32 schedule_lane_id(const Lane *lane);
extern int	schedule_lane_in_flight(const Lane *lane);
extern bool schedule_lane_halted(const Lane *lane);
extern const Breaker *schedule_lane_breaker(const Lane *lane);

/* A lane that has come up and is not configured yet; NULL: none. */
extern Lane *schedule_next_unconfigured(void);

/* The next lane whose breaker changed since it was last asked; NULL: none. */
extern Lane *schedule_next_changed_breaker(void);

/*
 * Its breaker is saved, and the other workers know; or it could not be, and
 * counts as changed again.
 */
extern void schedule_breaker_saved(Lane *lane, Instant now);
extern void schedule_breaker_unsaved(Lane *lane);

/* Read everything of this lane again, from the start. */
extern void schedule_reread(Lane *lane, Instant now);

/* Call f for each lane, which may be removed by it with schedule_remove(). */
extern void schedule_each_lane(void (*f) (Lane *lane, void *arg), void *arg);

/* Forget a lane that has nothing in memory; false if it has. */
extern bool schedule_remove(Lane *lane);

/* ---- reading ahead ---- */

/* Rows of a destination (0: of all) have become visible. */
extern void schedule_note_range(const QueuedRange *range, Instant now);
extern bool schedule_next_read(Instant now, ReadRequest *request);

/*
 * Reading failed: everything that was wanted is wanted still.  If it is this
 * lane that cannot be read, it waits before the next try, longer each time.
 */
extern void schedule_settle_all(Instant now);
extern void schedule_read_failed(Lane *lane, Instant now);
extern void schedule_rows_read(const ReadRequest *request, const QueueRow *rows,
							   int nrows, Instant now);

/* ---- sending ---- */

/* The next row to send, counted as in flight from now on; NULL: none may go. */
extern QueueItem *schedule_next(Instant now);
extern const QueueRow *schedule_row(const QueueItem *item);
extern Lane *schedule_item_lane(const QueueItem *item);

/* Is it this worker's? */
extern bool schedule_is_mine(const QueueRow *row);

/* The row is no longer what was read: it is this now; NULL: it has gone. */
extern void schedule_replace(QueueItem *item, const QueueRow *row, Instant now);

/*
 * The size of its event is known now.  False: there is no room for it, and it
 * has to be put back; it is not handed out again before there is.
 */
extern bool schedule_admit(QueueItem *item, int64 bytes);

/* It was not sent after all, and shall be offered again. */
extern void schedule_put_back(QueueItem *item, Instant now);

/*
 * Likewise, not before that time, as its request could not be made together with
 * others'.  That is remembered of it until it has been sent.
 */
extern void schedule_put_off(QueueItem *item, Instant until, Instant now);
extern bool schedule_is_alone(const QueueItem *item);

/* Its destination is gone: it cannot be put off. */
extern bool schedule_waits_for_nothing(const QueueItem *item);

/*
 * Likewise, as we lacked something for it that has nothing to do with its
 * destination.  The lane waits a moment before it sends again, others do not.
 */
extern void schedule_lacked(QueueItem *item, Instant now);

/* How many lanes wait because of that? */
extern int	schedule_lacking(void);

/* The outcome is known; the item stays until it is recorded. */
extern void schedule_finished(QueueItem *item, const Verdict *verdict, Instant now);

/*
 * The outcome is recorded.  reread: the row was no longer the one that was
 * claimed, so whatever is there now has to be read.
 */
extern void schedule_recorded(QueueItem *item, bool reread, Instant now);

/*
 * The outcome cannot be recorded now, and will be tried again; or it is not held
 * for that any more.  A lane with many of these sends nothing.  True: that
 * begins, or all of them are through and it had been so.
 */
extern bool schedule_held(QueueItem *item);
extern bool schedule_held_no_more(QueueItem *item);

/* Is there something to read, of the queue or of a new lane's destination? */
extern bool schedule_wants_read(Instant now);

/* Has a breaker changed that is not saved? */
extern bool schedule_breaker_changed(void);

/* When time alone makes something possible next; 0: never. */
extern Instant schedule_wake_at(void);

#endif							/* RSWEBHOOK_SCHEDULE_H */
