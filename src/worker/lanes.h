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

extern bool rswebhook_enabled;	/* setting: the workers deliver */

/* Once a process. */
extern void lanes_init(void);

/*
 * Take over the destinations as they are now, if they have changed, and
 * configure lanes that have come up; in the transaction of session_begin().
 */
extern void lanes_configure(Instant now);

/* Another worker has opened or closed breakers: take them over with that. */
extern void lanes_breakers_changed(void);

/* NULL: there is none of that id.  Good until lanes_configure() is called. */
extern const Destination *lanes_destination(int32 id);

#endif							/* RSWEBHOOK_LANES_H */
