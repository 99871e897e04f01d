/*-------------------------------------------------------------------------
 *
 * warn.h
 *		What is wrong with a webhook does not fail the application's write.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_WARN_H
#define RSWEBHOOK_WARN_H

#include "commands/trigger.h"

#include "api/refusal.h"
#include "api/send.h"

/* The values of the option on_error; "warn" unless told. */
extern const char *const warn_on_error_values[];

/*
 * A step that may fail, in a subtransaction, so it should not write unless it has to.
 * False: it has failed, and why.
 * A cancelled statement, a deadlock, and what the server lacks are errors all the same.
 */
extern bool warn_try(void (*step) (void *arg), void *arg, Refusal *refusal);

/* Before an event is prepared: what may have changed is not trusted any more. */
extern void warn_doubt(SendTrust *trust, TimestampTz now);

/*
 * Stores what was prepared.  False: it could not be, and why; or that is an error as it is.
 * trust: what is known of that so far, of this statement.
 */
extern bool warn_store(bool raises, SendTrust *trust, Sending *sending, const Prepared *prepared,
					   Refusal *refusal);

/*
 * An error, or a WARNING and a row of rswebhook.delivery: for the destination of that
 * name, NULL for all, with the event if there is one.  unknown: an error came before it was
 * known whether it may be sent there.  told: what whoever changes the
 * table hears instead of what is recorded.  Of many that a transaction has
 * of one trigger, only the first is warned of.
 */
extern void warn_refused(bool raises, const Trigger *trigger, const char *destination, Datum event,
						 const char *ordering_key, TimestampTz now, bool unknown,
						 const Refusal *refusal, const Refusal *told);

/* Only the WARNING, once a transaction. */
extern void warn_once(const Trigger *trigger, const Refusal *refusal);

#endif							/* RSWEBHOOK_WARN_H */
