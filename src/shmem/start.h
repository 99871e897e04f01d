/*-------------------------------------------------------------------------
 *
 * start.h
 *		The launcher's side of the slots: which worker is to be started.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_START_H
#define RSWEBHOOK_START_H

#include "base/clock.h"

extern void start_attach_launcher(void);

/*
 * Are all databases to be looked for?  *again: also those that have been looked at,
 * since there was no slot for one of them.
 */
extern bool start_take_scan_request(bool *again);

/* A slot that needs a worker now, marked as starting; false: none. */
extern bool start_next(int *slot, Oid *database, uint32 *generation);

/*
 * The process that was started has ended, or could not be started.  One that
 * had attached has told its slot by itself; this is for those that had not.
 */
extern void start_worker_gone(int slot, uint32 generation);

/* Nor could it be started now, and that is no failure: it is looked at again, soon. */
extern void start_soon(int slot, uint32 generation);

/*
 * So many of its database have failed one after the other, of these shares, which are
 * started later, in so many seconds.  0: the slot's is none of them, or has waited.
 */
extern int	start_put_off(int slot, uint32 generation, uint32 shares, int failures);

/*
 * Have the workers of a database that is a copy, and delivers nothing, leave for one
 * that may; whoever sends there has them looked for again.  False: there is none.
 */
extern bool start_make_room(void);

/* None needs to be started there ever again. */
extern void start_database_gone(int slot, uint32 generation);

/* Databases wait for a slot, or do so no more. */
extern void start_set_crowded(bool crowded);

/* PostgreSQL has denied one that is wanted: with so many max_worker_processes it would not; 0: it has not. */
extern void start_set_denied(int processes_wanted);

/* Workers that are wanted and neither there nor being started, of databases that have slots. */
extern int	start_missing(void);

/* Databases that should have workers and have none at all; as many as there is room for. */
extern int	start_forsaken(Oid *databases, int most);

/* Workers that have not said yet whether their database has the extension. */
extern int	start_looking(void);

/* When start_next() will have something that waits; 0: never. */
extern Instant start_next_at(void);

#endif							/* RSWEBHOOK_START_H */
