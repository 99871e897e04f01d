/*-------------------------------------------------------------------------
 *
 * queue.h
 *		What the worker reads: whom something is owed, rows of the queue, payloads.
 *
 * This, and what is in the headers that begin with queue_, happens between
 * session_begin() and session_commit(): one short transaction, as the
 * extension's owner in a security-restricted context.  Nothing here waits for
 * the network.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_QUEUE_H
#define RSWEBHOOK_QUEUE_H

#include "nodes/pg_list.h"
#include "utils/jsonb.h"

#include "tables/values.h"

/*
 * Destinations that are owed something, whether configured or not, and perhaps
 * some that were.
 */
extern List *queue_owed_destinations(void);
extern Datum queue_owed_array(void);

/* Is anybody owed this event? */
extern bool queue_owes(int64 event_id, int16 ring_part);

/*
 * Answer a read request, or the beginning of it: rows that are dead, but not for
 * everybody's snapshot, may be any number.  The rows are good until
 * session_commit().  Returns how many.
 */
extern int	queue_read(ReadRequest *request, QueueRow **rows);

/*
 * The events of rows that are about to be sent, with their payloads in the current
 * memory context.  Ends early once there are more than budget bytes of these;
 * returns how many rows were looked at.
 * looking_at is called with each row before its payload is read, and again once
 * the size of that is known, if it is before it is there; with NULL at the end.
 */
extern int	queue_fetch(const QueueRow **rows, int count, int64 budget,
						void (*looking_at) (const QueueRow *row, int64 bytes),
						StoredEvent *events);

#endif							/* RSWEBHOOK_QUEUE_H */
