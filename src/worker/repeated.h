/*-------------------------------------------------------------------------
 *
 * repeated.h
 *		What would be said in the log again and again.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_REPEATED_H
#define RSWEBHOOK_REPEATED_H

#include "base/clock.h"

/* One for each place that says something; zeroes at first. */
typedef struct Repeated
{
	Instant		since;			/* the minute that is counted began */
	int			said;			/* in it */
	int			kind;			/* of the last that was said */
	int			said_of_kind;	/* one after the other */
	int64		unsaid;			/* since then */
} Repeated;

/*
 * May this be said?  kind is an SQLSTATE, say: of each, a few a minute may be.
 * How many were not is said before the next one that is.
 */
extern bool repeated_say(Repeated *what, int kind, Instant now);

/*
 * An error to the log, always or if it may be said, and go on; its message is its
 * kind.  The same of the error that a PG_CATCH has caught.
 */
extern void repeated_report_always(ErrorData *error);
extern void repeated_report(Repeated *what, ErrorData *error);
extern void repeated_emit(Repeated *what, Instant now);

#endif							/* RSWEBHOOK_REPEATED_H */
