/*-------------------------------------------------------------------------
 *
 * accept.h
 *		What may be sent, when, in which order and to whom.
 *
 * What is refused is told (refusal.h); an event that is so large that its request must be
 * written to know its size may also be an error.  Memory is of the current context.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_ACCEPT_H
#define RSWEBHOOK_ACCEPT_H

#include "datatype/timestamp.h"
#include "utils/jsonb.h"
#include "utils/uuid.h"

#include "api/gateway.h"
#include "api/refusal.h"
#include "api/sender.h"
#include "destination/directory.h"
#include "destination/named.h"

extern int	rswebhook_max_event_size;	/* setting; bytes of jsonb */

typedef struct SendOptions
{
	const char *destination;	/* NULL: every one whose filters let it through */
	const TimestampTz *deliver_after;	/* NULL: at once */
	const char *ordering_key;	/* NULL: the event's own; "": none */
	const Interval *expires_after;	/* NULL: the destination's own */
	const Interval *deduplicate;	/* likewise */
	Enrichment	enrich;
	bool		alert;			/* it is about ourselves */
} SendOptions;

/*
 * False or NULL: it was refused.  The event is as it is to be stored: the same, or with what
 * it lacks.
 */
extern Jsonb *accept_event(Datum datum, Enrichment enrichment, TimestampTz now, Refusal *refusal);
extern bool accept_size(Size size, Refusal *refusal);
extern bool accept_ordering_key(const char *key, Refusal *refusal);

/*
 * The key of the per-user order as rswebhook.queue holds it; given: the
 * ordering_key, or NULL.  False: it has none.
 */
extern bool accept_ordering_hash(Jsonb *event, const char *given, int64 *hash);

/* May this role send to what has the name?  dest: that; its id is 0 if there is none. */
extern bool accept_sender(const char *name, const Sender *sender, NamedDestination *dest, Refusal *refusal);

/* Who takes it: the one that accept_sender() has found, or all to which this role may send. */
extern Taker *accept_named(const char *name, const NamedDestination *dest, int *count, Refusal *refusal);
extern Taker *accept_takers(Jsonb *event, bool alert, const Sender *sender, int *count);

/* When it is sent, and of SendOptions, as rswebhook.queue has them; 0 for null. */
typedef struct Times
{
	TimestampTz now;
	TimestampTz deliver_after;
	TimestampTz expires_at;
} Times;

extern bool accept_times(const SendOptions *options, TimestampTz now, Times *times, Refusal *refusal);

/* An event that may be stored, and for whom. */
typedef struct Prepared
{
	Datum		event;			/* as it is stored */
	Jsonb	   *checked;		/* the same; NULL: it was refused, and the above is as it was given */
	bool		permitted;		/* its sender may send to what it names, if it names any */
	const char *ordering_key;
	Times		times;
	Taker	   *takers;
	int			count;			/* 0: it is not to be queued */
	bool		once;			/* some have it once in a while only: by its messageId */
	pg_uuid_t	message;		/* if so, a hash of that */
} Prepared;

#endif							/* RSWEBHOOK_ACCEPT_H */
