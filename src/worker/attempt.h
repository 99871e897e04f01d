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
#include "worker/render.h"

extern int	rswebhook_response_body_limit;	/* setting; bytes */

/* Once a process. */
extern void attempt_init(void);

/* Send the request of a claimed item. */
extern void attempt_start(QueueItem *item, const Destination *d,
						  const Rendered *rendered);

/* Is any request in flight? */
extern bool attempt_in_flight(void);

/* Take the answers that have arrived and decide what they mean; how many? */
extern int	attempt_answers(void);

/* Before the worker leaves: requests in flight become outcomes, too. */
extern void attempt_give_up_all(Instant now);

/* Is it the destination that keeps a request from being made, or the event? */
typedef enum Blame
{
	BLAME_DESTINATION,
	BLAME_EVENT
} Blame;

/* Give a claimed item up without a request. */
extern void attempt_abort_unsent(QueueItem *item, Instant now, const char *reason);

/* An attempt that failed before it began. */
extern void attempt_fail_unsent(QueueItem *item, const Destination *destination,
								Instant now, Blame blame, char *reason);

/*
 * The request of this event could not be made, and that was nobody else's fault:
 * others go on, and it is tried again later.
 */
extern void attempt_set_aside(QueueItem *item, Instant now, const char *failed,
							  const char *why);

#endif							/* RSWEBHOOK_ATTEMPT_H */
