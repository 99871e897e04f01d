/*-------------------------------------------------------------------------
 *
 * stats.h
 *		The worker's live counters of its destinations.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_STATS_H
#define RSWEBHOOK_STATS_H

#include "shmem/counters.h"

extern void stats_init(void);

/* There is something to show, if only zeros, of a destination. */
extern void stats_note_known(int32 destination_id);
extern void stats_note_in_flight(int32 destination_id, int in_flight, int limit);
extern void stats_note_backed_off(int32 destination_id, bool backed_off);
extern void stats_note_delivered(int32 destination_id, int64 duration_us);

/* In this worker's part of so many.  False: it is not known any more. */
extern bool stats_note_owed(int32 destination_id, int parts, const Owed *owed);

/*
 * Nothing can be sent to it at present, and why; or there is nothing to be said
 * against it.  True: that is new.
 */
extern bool stats_note_unusable(int32 destination_id, const char *why, TimestampTz now);
extern bool stats_note_usable(int32 destination_id);
extern void stats_forget(int32 destination_id);

/* Show in shared memory what has changed since the last call. */
extern void stats_publish(void);

#endif							/* RSWEBHOOK_STATS_H */
