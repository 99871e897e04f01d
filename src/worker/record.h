/*-------------------------------------------------------------------------
 *
 * record.h
 *		Outcomes on their way into the tables.
 *
 * An outcome waits here until it is recorded, a moment as a rule.  What cannot
 * be recorded now, because somebody else has its row of the queue locked or
 * because recording it fails, is deferred and tried again later, while everything
 * else goes on; its destination only sends nothing more once many are deferred.
 *
 * record_outcomes() needs the transaction of session_begin(); the others must be
 * outside of one.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_RECORD_H
#define RSWEBHOOK_RECORD_H

#include "destination/verdict.h"
#include "schedule/schedule.h"
#include "tables/values.h"

/* Once a process. */
extern void record_init(void);

/*
 * Is there room for so many outcomes more?  Whoever claims an item asks for that
 * of all that are claimed or in flight; then record_add() needs no memory.
 */
extern bool record_room(int more);

/*
 * An outcome that is to be recorded.  The caller fills in the rest, and its
 * strings, before anything else is called here: record_string() makes one, NULL
 * if there is no memory for it.
 */
extern Outcome *record_add(QueueItem *item, const QueueRow *row, const Verdict *verdict);
extern char *record_string(const char *string);

/* Its answer's body, of so many bytes or of unknown length (0), is not in it. */
extern void record_note_body_lost(Outcome *outcome, size_t len);

/* Outcomes that have not been tried yet, and since when the oldest waits. */
extern int	record_waiting(Instant *since);

/*
 * Of those that are deferred because somebody has their rows locked, when the next
 * is to be tried, and likewise of those that failed; 0: there is none.
 */
extern Instant record_busy_until(void);
extern Instant record_failed_until(void);

/*
 * Record some that are new, or deferred no longer; or, one at a time, those that
 * failed.  Returns how many were tried.  After the commit, record_committed()
 * tells the scheduler of them.  If there was none, because of an error, they wait
 * as before; or, if it is for them that it failed, until they are tried again
 * alone, within these bounds.
 */
extern int	record_outcomes(int limit, Instant now);
extern int	record_one_failed(Instant now);
extern void record_committed(Instant now);
extern void record_not_committed(void);
extern int32 record_failed(Instant now, int64 shortest_us, int64 longest_us);

/*
 * Nothing of this destination can be recorded, as it seems: what has not been tried
 * counts as failed, and nothing more is sent to it until something is recorded.
 */
extern void record_hold_back(int32 destination_id, Instant now);

/*
 * Likewise of an outcome that was tried alone, if its answer's body may have been
 * too much: it is tried again at once, without that, and its row will say so.  If
 * there was no memory to begin with, that goes for any.  False: there is no body.
 */
extern bool record_leave_out_body(void);

#endif							/* RSWEBHOOK_RECORD_H */
