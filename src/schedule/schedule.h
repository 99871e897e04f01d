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

#include "base/clock.h"
#include "destination/verdict.h"
#include "schedule/values.h"
#include "shmem/values.h"
#include "tables/values.h"

/*
 * Lanes are of destinations that this worker serves.  Where one has several workers,
 * rows of other parts are passed over, and of what it allows each has its part.
 */
extern void schedule_init(void);

/*
 * The bounds on this worker's requests in flight to destinations that answer, on
 * all its requests in flight, and on the bytes of their events, beside which there
 * may be one event that does not fit; may change at any time.
 */
extern void schedule_set_max_in_flight(int max_in_flight, int places, int64 max_bytes);

/* How much of events it makes sense to fetch. */
extern int64 schedule_free_bytes(void);

/* Items that are handed out and of which no outcome is known. */
extern int	schedule_in_flight(void);

/* ---- lanes: one a destination that has a configuration or is owed to ---- */
extern Lane *schedule_lane(int32 destination_id, Instant now);

/* With another version of its row, all that waits for a retry is due at once. */
extern void schedule_configure(Lane *lane, const LanePolicy *policy, Instant now);
extern void schedule_set_breaker(Lane *lane, const Breaker *breaker, Instant now);
extern int32 schedule_lane_id(const Lane *lane);

/* Somebody else has sent something there: its rate counts from then on. */
extern void schedule_lane_sent(Lane *lane, Instant last);
extern TransactionId schedule_lane_version(const Lane *lane);
extern int	schedule_lane_in_flight(const Lane *lane);
extern bool schedule_lane_halted(const Lane *lane);
extern const Breaker *schedule_lane_breaker(const Lane *lane);

/* A lane that has come up and is not configured yet; NULL: none. */
extern Lane *schedule_next_unconfigured(void);

/* The next lane whose breaker changed since it was last asked; NULL: none. */
extern Lane *schedule_next_changed_breaker(void);

/* Has it opened, or closed, here and since that was last asked? */
extern bool schedule_breaker_is_news(Lane *lane);

/* It could not be saved, and counts as changed again. */
extern void schedule_breaker_unsaved(Lane *lane);

/*
 * Somebody has changed the destination's row since a breaker has opened that is not
 * saved: it need not be, and the table's counts.
 */
extern void schedule_breaker_overruled(Lane *lane);

/*
 * The user's last answers were good, as an earlier worker has seen.  Whether the
 * destination lets requests hang is not known then, and such users do not wait until
 * it is.
 */
extern void schedule_trust(Lane *lane, int64 user);

/*
 * Whom this worker trusts, into users[MAX_TRUSTED], the most trusted one at the end; how
 * many.  And lanes of which that
 * has changed while it counts, and is to be saved; NULL: none; or could not be.
 */
extern int	schedule_lane_trusted(const Lane *lane, int64 *users);
extern Lane *schedule_next_unsaved_trust(void);
extern bool schedule_trust_unsaved(void);
extern void schedule_mark_trust_unsaved(Lane *lane);

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

/*
 * Before anything is read: where the rows of a destination begin.  When ids have
 * gone far beyond what has been looked at, that may be higher, up to an id above
 * which alone rows may still appear: the lane looks for it in the background, that
 * of the first of several workers, whosever the rows are.
 */
extern void schedule_start_at(const Floor *floor, Instant now);
extern bool schedule_floor_may_rise(const Lane *lane, int64 upto);
extern void schedule_look_for_floor(Lane *lane, int64 upto, Instant now);

/* Has it found one that is worth saving?  And what the table says then. */
extern bool schedule_floor_to_save(const Lane *lane, Floor *floor);
extern void schedule_floor_saved(Lane *lane, const Floor *floor);

/* ---- sending ---- */

/* The next row to send, counted as in flight from now on; NULL: none may go. */
extern QueueItem *schedule_next(Instant now);
extern const QueueRow *schedule_row(const QueueItem *item);
extern Lane *schedule_item_lane(const QueueItem *item);

/* The row is no longer what was read: it is this now; NULL: it has gone. */
extern void schedule_replace(QueueItem *item, const QueueRow *row, Instant now);

/*
 * The size of its event is known now.  False: there is no room for it, and it
 * has to be put back; it is not handed out again before there is.
 */
extern bool schedule_admit(QueueItem *item, int64 bytes);

/* How much of other large events is in flight? */
extern int64 schedule_bytes_beside(const QueueItem *item);

/* It was not sent after all, and shall be offered again. */
extern void schedule_put_back(QueueItem *item, Instant now);

/*
 * Likewise, not before that time, as its request could not be made together with
 * others'.  That is remembered of it until it has been sent.
 */
extern void schedule_put_off(QueueItem *item, Instant until, Instant now);
extern bool schedule_is_alone(const QueueItem *item);

/* It is put back, and its lane sends nothing before that time. */
extern void schedule_rest(QueueItem *item, Instant until, Instant now);

/* Its destination is gone: it cannot be put off. */
extern bool schedule_waits_for_nothing(const QueueItem *item);

/*
 * Likewise, as we lacked something for it.  The lane waits a moment before it
 * sends again, others do not.  own: what lacks is named by the destination, such
 * as a secret's file; it waits longer, until somebody sees to that.
 */
extern void schedule_lacked(QueueItem *item, bool own, Instant now);

/* How many lanes wait for what is not their own? */
extern int	schedule_lacking(void);

/* What lanes lack of their own may be there now. */
extern void schedule_look_again(Instant now);

/* The outcome is known; the item stays until it is recorded. */
extern void schedule_finished(QueueItem *item, const Verdict *verdict, Instant now);

/*
 * The outcome is recorded.  reread: the row was no longer the one that was
 * claimed, so whatever is there now has to be read.
 */
extern void schedule_recorded(QueueItem *item, bool reread, Instant now);

/*
 * The outcome, of so many bytes, cannot be recorded now, and will be tried again;
 * or it is not deferred for that any more.  A lane with many of these sends nothing.
 * True: that begins, or all of them are through and it had been so.
 */
extern bool schedule_deferred(QueueItem *item, int64 bytes);
extern bool schedule_deferred_no_more(QueueItem *item, int64 bytes);

/* Its lane sends nothing until something that is deferred has been recorded. */
extern void schedule_hold_back(QueueItem *item);

/* Is there something to read, of the queue or of a new lane's destination? */
extern bool schedule_wants_read(Instant now);

/* Has a breaker changed that is not saved? */
extern bool schedule_breaker_changed(void);

/* When time alone makes something possible next; 0: never. */
extern Instant schedule_wake_at(void);

#endif							/* RSWEBHOOK_SCHEDULE_H */
