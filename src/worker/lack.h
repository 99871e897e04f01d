/*-------------------------------------------------------------------------
 *
 * lack.h
 *		What the worker lacks to send with, said in the log, and what it cannot do
 *		with the tables; both are shown by rswebhook.workers().
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_LACK_H
#define RSWEBHOOK_LACK_H

#include "base/clock.h"
#include "destination/values.h"

/* A request was not sent for want of this; unsupported: which is an option of libcurl's. */
extern void lack_note(const char *what, bool unsupported, Instant now);

/*
 * A secret of this destination is not to be had, so that what is owed to it waits;
 * why is one line without it.  Or it is, if it was not.
 */
extern void lack_note_secret(const Destination *destination, const char *why, Instant now);
extern void lack_secret_over(const Destination *destination, Instant now);

/* Nothing waits for that any more, if anything did. */
extern void lack_over(void);

/* What is not done with the tables at present. */
typedef enum Undone
{
	UNDONE_CYCLE,				/* anything: nothing is read, say */
	UNDONE_OUTCOMES,			/* some are not recorded */
	UNDONE_STATES				/* likewise of pauses and circuit breakers */
} Undone;

/* Why; the caller logs what is an error.  NULL: it is done. */
extern void lack_note_undone(Undone what, const char *why);

#endif							/* RSWEBHOOK_LACK_H */
