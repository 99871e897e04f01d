/*-------------------------------------------------------------------------
 *
 * wake.h
 *		What a commit tells the workers.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_WAKE_H
#define RSWEBHOOK_WAKE_H

#include "utils/snapshot.h"

#include "shmem/share.h"
#include "shmem/values.h"

/* _PG_init of any process: the transaction callbacks. */
extern void wake_register_callbacks(void);

/*
 * Remember that the current transaction queued these rows; the workers hear
 * of them when, and only when, it commits.  map: by which they are in these shares;
 * workers that have begun with another one are told as well.
 */
extern void wake_note_queued(const QueuedRange *range, ShareMap map);

/* Likewise, that it changed what the workers know of destinations and the like. */
extern void wake_note_changed(void);

/* At commit, have the launcher look at databases that it has not seen. */
extern void wake_note_new_database(void);

/* Settings of this database are others: its workers begin anew with these, at commit. */
extern void wake_note_settings(Oid database);

/*
 * Ids of this database that become visible when transaction xid commits,
 * which this backend is about to have happen.
 */
extern void wake_announce(TransactionId xid, const QueuedRange *range, ShareMap map);

/* The current transaction ends in PREPARE TRANSACTION. */
extern void wake_note_prepare(const char *gid);

/*
 * What was prepared as gid is not any more: tell the workers what it queued, if
 * it was committed.  Never fails.
 */
extern void wake_prepared_ended(const char *gid, bool committed);

/* ---- worker ---- */

/*
 * What a snapshot sees of this worker's share and worker_slot_take_ranges() has
 * not handed out, be it that the backend has not come round to telling; *count
 * says how many.  Good until the next call.
 */
extern const QueuedRange *wake_untold_ranges(Snapshot snapshot, int *count);

/* Before what was read is told to the world: it must be there after a crash. */
extern void wake_flush_commits(void);

/* ---- shmem.c ---- */

extern Size wake_size(void);
extern void wake_startup(void);

#endif							/* RSWEBHOOK_WAKE_H */
