/*-------------------------------------------------------------------------
 *
 * lanes.h
 *		From the destinations' configuration to what the scheduler needs of it.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_CONFIGURE_H
#define RSWEBHOOK_CONFIGURE_H

#include "destination/values.h"

#include "base/clock.h"

extern bool rswebhook_enabled;	/* setting: the workers deliver */

/* Once a process. */
extern void configure_init(void);

/*
 * Take over the destinations as they are now, if they have changed, and
 * configure lanes that have come up; in the transaction of session_begin().
 */
extern void configure_lanes(Instant now);

/* Another worker has opened or closed breakers: take them over with that. */
extern void configure_breakers_changed(void);

/* NULL: there is none of that id.  Good until configure_lanes() is called. */
extern const Destination *configured_destination(int32 id);

#endif							/* RSWEBHOOK_CONFIGURE_H */
