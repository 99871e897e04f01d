/*-------------------------------------------------------------------------
 *
 * suspect.h
 *		Which event a worker is at, and which it died at.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_SUSPECT_H
#define RSWEBHOOK_SUSPECT_H

#include "nodes/pg_list.h"

#include "tables/values.h"

/*
 * Once a process that is connected to its database: if the process before it
 * died at an event, that is counted, and said in the log.
 */
extern void suspect_init(int share);

/* Whatever goes wrong from now on has to do with this row's event; NULL: with none. */
extern void suspect_note(const QueueRow *row);

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

/* It is not now, and has been put off; or it went well, or is given up. */
extern void suspect_put_off(const QueueRow *row);
extern void suspect_forget(const QueueRow *row);

/* Forget those that are owed no more; owed: who says so, NULL: none are. */
extern void suspect_review(bool (*owed) (int32 destination_id, int64 event_id,
										 TimestampTz queued_at));

/*
 * In the launcher: remove what is left of databases that are not among these,
 * and of workers beyond so many of one.
 */
extern void suspect_clean_up(const List *databases, int nshares);

#endif							/* RSWEBHOOK_SUSPECT_H */
