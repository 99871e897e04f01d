/*-------------------------------------------------------------------------
 *
 * lanes.h
 *		From the destinations' configuration to what the scheduler needs of it.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_LANES_H
#define RSWEBHOOK_LANES_H

#include "destination/values.h"

#include "base/clock.h"


/*
 * Which destinations are this worker's?  That stays so until it leaves.  In a
 * transaction; false: there are workers that see it otherwise, and all leave.
 */
extern bool lanes_join(void);

/* This worker's part of what a destination is owed, -1: it has none; see share.h. */
extern int	lanes_part(int32 destination_id);

/* Of so many; is what this user is owed there for this worker? */
extern int	lanes_parts(int32 destination_id);
extern bool lanes_is_mine(int32 destination_id, int64 ordering_key);

/* A lane for each destination of its that is configured, or owed to. */
extern void lanes_make(Instant now);

/*
 * Take over the destinations as they are now, if they have changed, and
 * configure lanes that have come up; in the transaction of session_begin().
 * False: others are this worker's by now, and all leave.
 */
extern bool lanes_configure(Instant now);

/* Does this worker deliver at all: it may, and the database is no copy? */
extern bool lanes_delivering(void);

/* Is the database known to be one, as of the last transaction that looked? */
extern bool lanes_elsewhere(void);

/* Another worker has opened or closed breakers: take them over with that. */
extern void lanes_breakers_changed(void);

/* NULL: there is none, or it is not this worker's.  Good until lanes_configure() is called. */
extern const Destination *lanes_destination(int32 id);

/* Something is sent there now: its next worker has to know if it has a low rate. */
extern void lanes_note_sent(const Destination *destination, Instant now);

#endif							/* RSWEBHOOK_LANES_H */
