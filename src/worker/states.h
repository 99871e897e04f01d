/*-------------------------------------------------------------------------
 *
 * states.h
 *		What answers say of destinations, on its way into the tables.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_STATES_H
#define RSWEBHOOK_STATES_H

#include "schedule/schedule.h"

/*
 * Circuit breakers, and destinations that an answer pauses or disables.  These rows may be
 * locked by whoever edits a destination, so they have a transaction of their
 * own, which does not wait for long: states_save() needs that of session_begin(),
 * the others must be outside of one.
 */

/* So many destinations are known: for pauses of them all there is room then. */
extern void states_make_room(int ndestinations);

/*
 * A destination is to be paused, since an answer was judged by this version of its
 * row.  Once somebody has changed that, it is not.
 */
extern void states_pause(int32 destination_id, TransactionId version);

/* Likewise, to be disabled; why: for whoever is told. */
extern void states_disable(int32 destination_id, TransactionId version, const char *why);

/* Is a destination to be paused, or disabled, that is not yet so in its row? */
extern bool states_pauses(int32 destination_id, TransactionId version);

/* Is there anything to save? */
extern bool states_changed(void);

/* So many of them at the most; those that failed, and their kind, come last the next time. */
extern void states_save(int limit);
extern void states_committed(void);
extern void states_failed(void);

#endif							/* RSWEBHOOK_STATES_H */
