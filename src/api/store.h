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
 * Store events that were accepted, queue each for its destinations, and have the
 * commit wake their workers.  Between begin and end nothing else is done to our
 * tables; after an error, no end is needed.  All memory goes to the current context,
 * which the caller throws away.
 */
typedef struct Store Store;

/* many: there will be several, which are written together. */
extern Store *store_begin(TimestampTz now, bool many);
extern void store_end(Store *store);

/*
 * What stays open of a store for the next one is closed: before a command, which may
 * alter or drop it.  Nothing happens while it is in use.
 */
extern void store_close_lasting(void);

/* A command begins that may come to our tables itself, and ends, or fails; then none stays open. */
extern void store_begin_command(void);
extern void store_end_command(void);

/* Once a process, before the first store. */
extern void store_register_callbacks(void);

/*
 * Would all be written without a statement, and is there nothing that can fail it: no
 * trigger, check, index or id of somebody else's?  An error: it would be one anyway.
 */
extern bool store_is_plain(TimestampTz now);

/* Returns its id, or that of the one that all its takers had before. */
extern int64 store_add(Store *store, const Prepared *prepared);

/*
 * A row of rswebhook.delivery for what was not even queued.  0: there is no event, or
 * no such destination.
 */
extern void store_refused(int64 event_id, int32 destination_id, TimestampTz now, const char *reason);

/* Of which somebody is to be told. */
extern void store_alert_refused(int64 event_id, int32 destination_id);

#endif							/* RSWEBHOOK_STORE_H */
