/*-------------------------------------------------------------------------
 *
 * queue_record.h
 *		What became of events: delivery rows, and the end or the next attempt of
 *		the queue's rows.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_QUEUE_RECORD_H
#define RSWEBHOOK_QUEUE_RECORD_H

#include "tables/values.h"

/*
 * Record outcomes: delivery rows, and the queue's rows deleted or rescheduled
 * if they are still those that were claimed; sets the fate of each.  Waits for
 * nobody who has locked rows of the queue.
 */
extern void queue_record(Outcome **outcomes, int count);

/* Has somebody locked one of the tables that this takes? */
extern bool queue_is_locked(void);

#endif							/* RSWEBHOOK_QUEUE_RECORD_H */
