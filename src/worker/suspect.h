/*-------------------------------------------------------------------------
 *
 * suspect.h
 *		Which event a worker is at, and of which workers died.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_SUSPECT_H
#define RSWEBHOOK_SUSPECT_H

#include "nodes/pg_list.h"

#include "base/clock.h"
#include "tables/values.h"

/*
 * In the launcher, before a worker is started for that share: those that have
 * died since the last one are counted, and said in the log.  How many have died
 * in a row, of this database, and of which shares?
 */
extern int	suspect_count_deaths(Oid database, int share, uint32 *shares);

/* Once a worker, before it does anything that it might die of. */
extern void suspect_init(Oid database, int share);

/* Whatever goes wrong from now on has to do with this row's event; NULL: with none. */
extern void suspect_note(const QueueRow *row);
extern void suspect_note_recording(const QueueRow *row);

/* Has it to do with this one at present? */
extern bool suspect_is(const QueueRow *row);

/* What is to become of an event, by the deaths that it is suspected of. */
typedef enum SuspectFate
{
	SUSPECT_NOT,				/* nearly always */
	SUSPECT_ALONE,				/* prepare it by itself, when others have gone */
	SUSPECT_ASIDE,				/* not now: see to it once more, later */
	SUSPECT_LOST				/* give it up */
} SuspectFate;

extern SuspectFate suspect_fate(const QueueRow *row);

/* What the workers did with a suspect when they died. */
typedef enum SuspectStep
{
	STEP_MADE,					/* its request was made or started */
	STEP_RECORDED,				/* that had been sent: its outcome was recorded */
	STEP_EITHER					/* once this, once that */
} SuspectStep;

extern SuspectStep suspect_step(const QueueRow *row);

/*
 * Workers have died lately: what was sent is recorded before anything else is
 * prepared; and, if they did so again or it is not known of what, one by one.
 */
extern bool suspect_wary(void);
extern bool suspect_very_wary(void);

/* Now and then: forget those that are owed no more; owed: who says so, NULL: none are. */
extern bool suspect_review_is_due(Instant now);
extern void suspect_review(bool (*owed) (int64 event_id, int16 ring_part));

/* In the launcher: remove what is left of databases that are not among these. */
extern void suspect_clean_up(const List *databases);

#endif							/* RSWEBHOOK_SUSPECT_H */
