/*-------------------------------------------------------------------------
 *
 * tally.h
 *		How many events came to what, of each destination: of late, and ever.
 *
 * What is recorded is noted in the same transaction, a row of rswebhook.untallied
 * for many outcomes.  Now and then these are added to rswebhook.tally, which has a
 * row a destination.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_TALLY_H
#define RSWEBHOOK_TALLY_H

#include "tables/values.h"

/* Some that are being recorded. */
extern void tally_note(Outcome **outcomes, int count);

/*
 * Add up to so many rows to the tally; returns how many, -1: somebody else does so
 * now.
 */
extern int	tally_fold(int limit);

#endif							/* RSWEBHOOK_TALLY_H */
