/*-------------------------------------------------------------------------
 *
 * owed.h
 *		How much is owed to each destination, for whoever asks.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_OWED_H
#define RSWEBHOOK_OWED_H

#include "base/clock.h"
#include "shmem/values.h"
#include "tables/values.h"

/* Once a process. */
extern void owed_init(void);

/* Destinations of this worker's may have come. */
extern void owed_add_all(void);

/* Commits have told of these; or of what has become of others, without their number. */
extern void owed_note_told(const QueuedRange *ranges, int count);

/* An outcome has been recorded, and its row is deleted or rescheduled. */
extern void owed_note_recorded(const Outcome *outcome);

/* Somebody may have changed rows and told nobody. */
extern void owed_doubt_all(void);

/* Count a piece, if any is to be. */
extern void owed_run(Instant now);
extern Instant owed_due_at(void);

#endif							/* RSWEBHOOK_OWED_H */
