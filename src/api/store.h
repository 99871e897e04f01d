/*-------------------------------------------------------------------------
 *
 * store.h
 *		The rows of an event, and its id.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_STORE_H
#define RSWEBHOOK_STORE_H

#include "api/accept.h"

/*
 * Store an event that was accepted, queue it for these destinations, and have
 * its commit wake their workers.  Returns its id.
 */
extern int64 store_event(Datum datum, Jsonb *event, const SendOptions *options,
						 const Taker *takers, int count);

#endif							/* RSWEBHOOK_STORE_H */
