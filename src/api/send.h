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

#include "api/accept.h"
#include "api/store.h"

/*
 * Enqueue events in the current transaction; needs no privilege of the current user.
 * Between begin and end there may be many, each in memory of its own.
 */
typedef struct Sending
{
	TimestampTz now;
	Sender		sender;
	bool		many;			/* there are several events */
	Store	   *store;			/* NULL: nothing was stored yet */
	MemoryContext context;		/* of the caller */
	MemoryContext each;			/* for what one event takes; the caller resets it */
} Sending;

/* what: the function, for errors; by whom */
extern void send_begin(Sending *sending, const char *what, Oid function, Oid role, bool many);

/* Reads only.  In the current memory context.  False: it was refused. */
extern bool send_prepare(const Sending *sending, Datum event, const SendOptions *options,
						 Prepared *prepared, Refusal *refusal);

/* Returns the event's id (store_add()); 0: no destination takes it, and nothing was stored. */
extern int64 send_store(Sending *sending, const Prepared *prepared);
extern void send_end(Sending *sending);

/*
 * For triggers that must not fail, what is known of a statement's sends.  Plain: prepare
 * has gone well before, and all is written without a statement of which somebody's triggers
 * are part.
 */
typedef enum SendTrustLevel
{
	SEND_UNTRIED,
	SEND_PLAIN,
	SEND_MAY_FAIL
} SendTrustLevel;

/* Good as long as these are the same. */
typedef struct SendTrust
{
	SendTrustLevel level;
	uint64		changes;		/* of our tables */
	int16		ring_part;
} SendTrust;

#endif							/* RSWEBHOOK_SEND_H */
