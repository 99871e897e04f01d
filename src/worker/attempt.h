/*-------------------------------------------------------------------------
 *
 * attempt.h
 *		Requests in flight, and what becomes of events: every outcome is made here.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_ATTEMPT_H
#define RSWEBHOOK_ATTEMPT_H

#include "base/clock.h"
#include "destination/values.h"
#include "schedule/schedule.h"
#include "shmem/values.h"
#include "worker/render.h"

extern int	rswebhook_response_body_limit;	/* setting; bytes */

/* Once a process. */
extern void attempt_init(void);

/* Send the request of a claimed item. */
extern void attempt_start(QueueItem *item, const Destination *d,
						  const Rendered *rendered);

/* Is any request in flight? */
extern bool attempt_in_flight(void);

/*
 * The requests in flight, of an event or of all (0), without the first ones, in the order in
 * which they began; at most so many.  tags: what http_look() knows them by.  The rest of
 * the rows is the caller's.
 */
extern int	attempt_list(int64 event_id, int skip, ShownRequest *shown, uint64 *tags, int most);

/* Take the answers that have arrived and decide what they mean; how many? */
extern int	attempt_answers(void);

/* Before the worker leaves: requests in flight become outcomes, too. */
extern void attempt_give_up_all(Instant now);

/* Give a claimed item up without a request. */
extern void attempt_abort_unsent(QueueItem *item, Instant now, const char *reason);

/* A secret of the destination is not to be had: its events wait. */
extern void attempt_put_back(QueueItem *item, const Destination *destination,
							 const char *why, Instant now);

/*
 * The request of this event could not be made, and that was nobody else's fault:
 * others go on, and it is tried again later.
 */
extern void attempt_set_aside(QueueItem *item, Instant now, const char *failed,
							  const char *why);

#endif							/* RSWEBHOOK_ATTEMPT_H */
