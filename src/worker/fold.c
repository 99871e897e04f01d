/*-------------------------------------------------------------------------
 *
 * fold.c
 *		When what was recorded is added to rswebhook.tally.
 *
 * Each transaction that records adds a row to rswebhook.untallied, and whoever looks
 * adds these up.  So that they stay few, each worker that has recorded something takes
 * those that there are, whoever's, after FOLD_INTERVAL_US; with very many
 * destinations that takes long, and it does so less often.
 *
 * If anything is in the way, that holds up neither deliveries nor anything else.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "tables/tally.h"
#include "worker/fold.h"
#include "worker/repeated.h"
#include "worker/session.h"

#define FOLD_INTERVAL_US	(5 * USECS_PER_SEC)
#define FOLD_RETRY_US		(60 * USECS_PER_SEC)

/* No more than one part in so many of the time. */
#define FOLD_PART			200

/* Rows of one transaction. */
#define FOLD_ROWS			1000

static bool noted = true;		/* by an earlier worker */
static Instant next_fold = 0;
static int	folded;				/* rows */

/* Errors in this, for the log. */
static Repeated failures;

static void
fold(int unused)
{
	if (!session_begin("adding up what was recorded"))
		return;
	session_wait_little();
	folded = tally_fold(FOLD_ROWS);
	session_commit();
}

void
fold_note(void)
{
	if (!noted)
		next_fold = Max(next_fold, clock_now() + FOLD_INTERVAL_US);
	noted = true;
}

void
fold_run(Instant now)
{
	Instant		began = clock_now();
	ErrorData  *error;

	if (!noted || now < next_fold || session_extension_gone())
		return;
	folded = 0;
	error = session_try(fold, 0);
	if (error != NULL)
		repeated_report(&failures, error);
	next_fold = clock_now();
	next_fold += error != NULL ? FOLD_RETRY_US :
		Max(folded == FOLD_ROWS ? 0 : FOLD_INTERVAL_US, (next_fold - began) * FOLD_PART);
	noted = error != NULL || folded < 0 || folded == FOLD_ROWS;
}

Instant
fold_due_at(void)
{
	return noted ? next_fold : INSTANT_NEVER;
}
