/*-------------------------------------------------------------------------
 *
 * direct.h
 *		What the worker does for each event, without a statement.
 *
 * Each of these returns false, with nothing done, if it has to be a statement
 * after all; see rows.h.
 *
 * Core has ExecSimpleRelationInsert() and ExecSimpleRelationDelete(), by which
 * logical replication applies changes.  In its place they take a fifth more
 * time, 3 to 5 % of what an event costs the worker, and a quarter more WAL, and
 * the statement stays all the same: they see to row triggers, checks and
 * generated columns, but not to statement triggers, rules, defaults, other types
 * and partitions, and do not tell what a trigger has kept.  See
 * doc/internals/recording.md.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_DIRECT_H
#define RSWEBHOOK_DIRECT_H

#include "tables/values.h"

/* As queue_fetch(), but for that it returns 0 in that case. */
extern int	direct_fetch(const QueueRow **rows, int count, int64 budget,
						 void (*looking_at) (const QueueRow *row, int64 bytes),
						 StoredEvent *events);

extern bool direct_insert_deliveries(Outcome **outcomes, int count);

/*
 * Delete rows of the queue, if they are still those that were claimed, and set
 * their fates; without waiting for anybody who has them locked.
 */
extern bool direct_delete(Outcome **outcomes, int count);

#endif							/* RSWEBHOOK_DIRECT_H */
