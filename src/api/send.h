/*-------------------------------------------------------------------------
 *
 * send.h
 *		Enqueueing, in the caller's transaction.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_SEND_H
#define RSWEBHOOK_SEND_H

#include "datatype/timestamp.h"

extern int	rswebhook_max_event_size;	/* setting; bytes of jsonb */

typedef struct SendOptions
{
	const char *destination;	/* NULL: every one whose filters let it through */
	const TimestampTz *deliver_after;	/* NULL: at once */
	const char *ordering_key;	/* NULL: the event's own; "": none */
	const Interval *expires_after;	/* NULL: the destination's own */
} SendOptions;

/*
 * Enqueue an event in the current transaction.  Needs no privilege of the
 * current user.  False: no destination takes it, and nothing was stored.
 */
extern bool send_event(Datum event, const SendOptions *options, int64 *id);

/* The key of the per-user order as rswebhook.queue holds it. */
extern int64 ordering_hash(const char *key, int len);

#endif							/* RSWEBHOOK_SEND_H */
