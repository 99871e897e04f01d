/*-------------------------------------------------------------------------
 *
 * inject.c
 *		Places at which a test can stop a process, or have it fail.
 *
 * Only with -DRSWEBHOOK_INJECTION, which no release is built with.  The file
 * rswebhook.inject in the data directory names a place, and may say after it
 * what to do there, or a process' id, and after that ids of events.  A process
 * that comes by, or only that one, with any event, or only those, writes a
 * line to the log and waits until the file is gone ("stop", or nothing), raises
 * an error ("error"), is out of memory ("memory") or dies ("crash").
 *
 * A file rather than a setting: it works in the middle of a transaction, takes
 * no reload, and a test can take it away while the server is down.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/inject.h"

#ifdef RSWEBHOOK_INJECTION

#include <signal.h>

#include "fmgr.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/fd.h"
#include "storage/latch.h"

#define INJECT_FILE		"rswebhook.inject"

/* Does the file name this place, and what is to be done there? */
static bool
is_wanted(const char *place, int64 event_id, char *action)
{
	FILE	   *file = AllocateFile(INJECT_FILE, "r");
	char		named[64] = "";
	long long	event = 0;
	bool		found;

	action[0] = '\0';
	if (file == NULL)
		return false;
	if (fscanf(file, "%63s %63s %lld", named, action, &event) < 1)
		named[0] = '\0';
	do
		found = event == 0 || event == event_id;
	while (!found && fscanf(file, "%lld", &event) == 1);
	FreeFile(file);
	return found && strcmp(named, place) == 0 &&
		(atoi(action) == 0 || atoi(action) == MyProcPid);
}

void
inject_here(const char *place, int64 event_id)
{
	char		action[64];

	if (!is_wanted(place, event_id, action))
		return;
	if (strcmp(action, "error") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
				 errmsg("rswebhook fails at \"%s\", as it was told", place)));
	if (strcmp(action, "memory") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory"),
				 errdetail("rswebhook has none at \"%s\", as it was told.", place)));
	if (strcmp(action, "crash") == 0)
	{
		(void) signal(SIGSEGV, SIG_DFL);	/* a sanitizer has its own handler */
		(void) kill(MyProcPid, SIGSEGV);
	}

	ereport(LOG, (errmsg("rswebhook stops at \"%s\"", place)));
	while (is_wanted(place, event_id, action) && !ShutdownRequestPending)
	{
		CHECK_FOR_INTERRUPTS();
		if (event_id != 0)
			continue;			/* what takes long with an event computes */
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 10, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
	CHECK_FOR_INTERRUPTS();
	SetLatch(MyLatch);			/* whatever it was set for is still to be done */
}

#endif							/* RSWEBHOOK_INJECTION */
