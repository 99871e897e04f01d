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

/*
 * Enqueue an event in the current transaction.  Needs no privilege of the
 * current user.  False: no destination takes it, and nothing was stored.
 */
extern bool send_event(Datum event, const SendOptions *options, int64 *id);

#endif							/* RSWEBHOOK_SEND_H */
