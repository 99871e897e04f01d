/*-------------------------------------------------------------------------
 *
 * values.h
 *		The time to wait by; see clock.h.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_BASE_VALUES_H
#define RSWEBHOOK_BASE_VALUES_H

typedef int64 Instant;			/* microseconds; 0 stands for "none", as
								 * NO_TIME (clock.h) does for the wall's */

/* Later than any that is waited for; a wait can be added to it. */
#define INSTANT_NEVER	(PG_INT64_MAX / 2)

#endif							/* RSWEBHOOK_BASE_VALUES_H */
