/*-------------------------------------------------------------------------
 *
 * worker_slot.h
 *		A worker's own slot in shared memory: coming, going, and what it is told.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_WORKER_SLOT_H
#define RSWEBHOOK_WORKER_SLOT_H

#include "shmem/share.h"
#include "shmem/values.h"

/* False: somebody holds the database; leave at once. */
extern bool worker_slot_attach(int slot, uint32 generation);

/* The worker has found the extension and stays. */
extern void worker_slot_confirm(void);

/*
 * Before it has anything to do with the queue: the map that the worker has found.
 * False: others have begun with another one, and all have to leave.
 */
extern bool worker_slot_join(ShareMap map);

/* The map is another one than that: all of the database's workers leave. */
extern void worker_slot_disband(void);

/*
 * The worker has found that there is nothing to do for it here, and leaves.
 * If somebody wakes it before it is gone, another one will look again.
 */
extern void worker_slot_mark_unwanted(void);

/* Somebody wants this worker to leave. */
extern bool worker_slot_told_to_stop(void);

/*
 * Has a transaction committed since worker_slot_take_ranges() that queued
 * something, or that changed what the worker has to know?  The latch is set once
 * for all that do, so this has to be asked before a wait.
 */
extern bool worker_slot_woken(void);

/*
 * What was queued since the last call, into *ranges (the caller's array of
 * SLOT_MAX_RANGES); returns how many.  And what else there is to know.
 */
extern int	worker_slot_take_ranges(QueuedRange *ranges, News *news);

/* The same, left in place. */
extern int	worker_slot_look_at_ranges(QueuedRange *ranges);

/* Would it be told of a range whose shares are by that map? */
extern bool worker_slot_is_told(const QueuedRange *range, ShareMap map);

/* Tell the database's other workers. */
extern void worker_slot_tell_others(const News *news);

/*
 * Destinations of which nothing can be sent whatever is queued, as when they
 * are paused: that wakes nobody.  What was queued is there when it is looked
 * for again, which the worker does at once.  Beyond the maximum, destinations
 * are simply not quiet.
 */
extern void worker_slot_set_quiet(const int32 *destination_ids, int count);

/*
 * When something was last sent to a destination with a low rate, which whoever
 * serves it next has to know.  0: nobody knows.  Beyond the maximum the one that was
 * sent to longest ago is forgotten.
 */
extern void worker_slot_note_sent(int32 destination_id, Instant now);
extern Instant worker_slot_last_sent(int32 destination_id);

/* Is the database a copy, so that this worker may leave for another one's? */
extern void worker_slot_set_elsewhere(bool elsewhere);

/* What rswebhook.workers() shows of this worker; lacks: "": nothing. */
extern void worker_slot_show_max_in_flight(int max_in_flight);
extern void worker_slot_show_lacks(const char *lacks);

#endif							/* RSWEBHOOK_WORKER_SLOT_H */
