/*-------------------------------------------------------------------------
 *
 * moment.h
 *		Moments as events have them: texts as ISO 8601 has them, with a zone.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_MOMENT_H
#define RSWEBHOOK_MOMENT_H

#include "datatype/timestamp.h"

typedef struct Moment
{
	int64		seconds;		/* since 1970 */
	int32		nanoseconds;	/* from 0 to 999999999 */
	int32		zone;			/* in which it is written, in seconds east of UTC */
} Moment;

/*
 * A date, or a date and a time, of ISO 8601's extended format; or as so many digits the seconds (10),
 * milliseconds (13), microseconds (16) or nanoseconds (19) since 1970.  Without a zone, it
 * is UTC.  False: it is none.
 */
extern bool moment_read(const char *text, int len, Moment *moment);

/* A time of the clock, in milliseconds and in UTC. */
extern Moment moment_of(TimestampTz time);

/* "2026-05-01T12:34:56.789Z", or with its zone as +05:30; cut off, not rounded. */
extern char *moment_text(const Moment *moment);

/*
 * When something took place by our clock, that was received then and which the sender,
 * whose clock may be wrong, had sent and had seen take place then.  When it was received, if that
 * is before the year 0 or after 9999.
 */
extern Moment moment_by_our_clock(const Moment *received, const Moment *sent, const Moment *original);

#endif							/* RSWEBHOOK_MOMENT_H */
