/*-------------------------------------------------------------------------
 *
 * deliver.h
 *		From a queue row to its outcome: what the worker does with its rooms.
 *
 * deliver_prepare() needs the transaction of session_begin(), and may end it;
 * the others must be outside of one.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_DELIVER_H
#define RSWEBHOOK_DELIVER_H

#include "base/clock.h"

extern int	rswebhook_response_body_limit;	/* setting; bytes */

/* Once a process. */
extern void deliver_init(void);

/* Anything that may be sent?  Takes it from the scheduler. */
extern bool deliver_claim(Instant now);

/* When it may have to be asked again whatever happens; 0: never. */
extern Instant deliver_claim_at(Instant now);

/*
 * Turn what was claimed into requests; what cannot be sent is decided here.
 * False: an error had to do with one event, and ended the transaction.  What was
 * prepared before can be sent, the others are back in their places, and that
 * event is prepared by itself after the next batch.
 */
extern bool deliver_prepare(Instant now);

/* There was not enough memory for an event, which waits for it; 0: there was. */
extern Instant deliver_lacks_until(Instant now);

/* Send what was prepared. */
extern void deliver_start(void);

/* Take the answers that have arrived and decide what they mean; how many? */
extern int	deliver_answers(void);

/* An error has ended the transaction: what was claimed goes back. */
extern void deliver_reset(Instant now);

/* Before the worker leaves: requests in flight become outcomes, too. */
extern void deliver_give_up_in_flight(Instant now);

#endif							/* RSWEBHOOK_DELIVER_H */
