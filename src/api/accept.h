/*-------------------------------------------------------------------------
 *
 * accept.h
 *		What may be sent, when, in which order and to whom.
 *
 * What is refused is an error.  Memory is of the current context.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_ACCEPT_H
#define RSWEBHOOK_ACCEPT_H

#include "datatype/timestamp.h"
#include "utils/jsonb.h"

#include "destination/directory.h"

extern int	rswebhook_max_event_size;	/* setting; bytes of jsonb */

typedef struct SendOptions
{
	const char *destination;	/* NULL: every one whose filters let it through */
	const TimestampTz *deliver_after;	/* NULL: at once */
	const char *ordering_key;	/* NULL: the event's own; "": none */
	const Interval *expires_after;	/* NULL: the destination's own */
} SendOptions;

extern Jsonb *accept_event(Datum datum);

extern void accept_ordering_key(const char *key);

/*
 * The key of the per-user order as rswebhook.queue holds it; given: the
 * ordering_key, or NULL.  False: it has none.
 */
extern bool accept_ordering_hash(Jsonb *event, const char *given, int64 *hash);

/* Those whose filters let it through, or the one that is named. */
extern Taker *accept_by_filters(Jsonb *event, int *count);
extern Taker *accept_by_name(const char *name, int *count);

/* Of SendOptions, as rswebhook.queue has them; 0 for null. */
extern TimestampTz accept_delivery_time(const TimestampTz *deliver_after, TimestampTz now);
extern TimestampTz accept_expiry_time(const Interval *expires_after,
									  TimestampTz deliver_after, TimestampTz now);

#endif							/* RSWEBHOOK_ACCEPT_H */
