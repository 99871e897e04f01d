/*-------------------------------------------------------------------------
 *
 * watch.c
 *		What is to be told of and nobody records: looked for now and then.
 *
 * That an event is owed for long, that workers are missing, that a setting does not fit; what
 * senders have noted; and what has come again since it was told.  The first of the database's
 * workers that are there looks, within a minute of whatever happens, and else when all is
 * looked at again.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "base/clock.h"
#include "shmem/slots.h"
#include "tables/alert.h"
#include "worker/alerts.h"
#include "worker/lanes.h"
#include "worker/repeated.h"
#include "worker/session.h"
#include "worker/watch.h"

#define LOOK_US			(60 * USECS_PER_SEC)
#define QUIET_LOOK_US	(10 * 60 * USECS_PER_SEC)
#define SOON_US			(1 * USECS_PER_SEC)

/* After a look comes a pause of so many times what it took. */
#define LOOK_PAUSES		9

/* What could not be written is tried again after so long. */
#define RETRY_US		(5 * USECS_PER_SEC)

/* Alerts of one transaction. */
#define WRITTEN_AT_ONCE	100

static Instant next_look = 0;
static Instant looked_at = 0;
static Instant next_write = 0;	/* not before */
static bool news = true;		/* since the last look */
static bool some_untold = false;
static int	missing_before = 0;
static char room_problem[200] = "";
static char settings_said[400] = "?";	/* nothing yet */

/* Errors in this, for the log. */
static Repeated failures;

/* No longer than it takes for what has come again to be told. */
static Instant
interval(void)
{
	return Min(LOOK_US, rswebhook_alert_interval * USECS_PER_SEC);
}

/* Of all databases together. */
static void
look_at_settings(void)
{
	char		text[sizeof(settings_said)];
	int			wanted = slots_processes_wanted();

	strlcpy(text, room_problem, sizeof(text));
	if (wanted > 0)
		snprintf(text + strlen(text), sizeof(text) - strlen(text),
				 "%smax_worker_processes is %d, but with all workers there would be %d processes",
				 text[0] != '\0' ? "; " : "", max_worker_processes, wanted);
	if (strcmp(text, settings_said) == 0)
		return;
	strlcpy(settings_said, text, sizeof(settings_said));
	alerts_note_settings(text[0] != '\0' ? text : NULL);
}

/* A worker that comes anew is not there for a moment: that counts the second time. */
static void
look(int unused)
{
	Workers		workers;
	char	  **lines;
	int			count;

	if (!session_begin("looking for what is to be told"))
		return;
	session_wait_little();
	alerts_begin();
	workers = alert_workers();
	if (workers.first)
	{
		lines = alert_look(workers.missing == 0 || missing_before > 0 ? workers.missing : -1, &count);
		for (int i = 0; i < count; i++)
			alerts_add_line(lines[i]);
	}
	alerts_load();
	session_commit();
	alerts_committed();
	some_untold = workers.untold;
	missing_before = workers.missing;
	if (workers.first)
		look_at_settings();
}

static void
load(int unused)
{
	if (!session_begin("looking for what was told"))
		return;
	session_wait_little();
	alerts_load();
	alerts_load_attempts();
	session_commit();
}

static void
write_waiting(int limit)
{
	if (!session_begin("writing alerts"))
		return;
	session_wait_little();
	alerts_begin();
	alerts_write_waiting(limit);
	session_commit();
	alerts_committed();
}

/* False: it has failed. */
static bool
do_it(void (*work) (int limit), int limit)
{
	ErrorData  *error = session_extension_gone() ? NULL : session_try(work, limit);

	if (error != NULL)
		repeated_report(&failures, error);
	return error == NULL;
}

void
watch_begin(void)
{
	(void) do_it(load, 0);
	looked_at = clock_now();
	next_look = looked_at + interval();
}

/* The first of several that cannot be written must not hold up the others for ever. */
static void
write_all_waiting(void)
{
	int			limit = WRITTEN_AT_ONCE;

	while (alerts_waiting() && !session_extension_gone())
	{
		if (do_it(write_waiting, limit))
			continue;
		next_write = clock_now() + RETRY_US;
		return;
	}
	next_write = 0;
}

void
watch_run(Instant now)
{
	Instant		began = clock_now();

	if (session_extension_gone() || lanes_elsewhere())
		return;
	if (now >= next_look)
	{
		bool		busy = news || some_untold || rswebhook_workers > 1;

		news = false;
		(void) do_it(look, 0);
		looked_at = clock_now();
		next_look = looked_at + (busy || some_untold ? interval() : QUIET_LOOK_US);
		next_look = Max(next_look, looked_at + (looked_at - began) * LOOK_PAUSES);
	}
	if (alerts_waiting() && clock_now() >= next_write)
		write_all_waiting();
}

Instant
watch_due_at(void)
{
	if (lanes_elsewhere())
		return INSTANT_NEVER;
	return alerts_waiting() ? Min(next_look, next_write) : next_look;
}

void
watch_note_news(Instant now, bool soon)
{
	news = true;
	next_look = Min(next_look, soon ? Max(now, looked_at + SOON_US) : now + interval());
}

void
watch_note_room(const char *problem)
{
	strlcpy(room_problem, problem != NULL ? problem : "", sizeof(room_problem));
	watch_note_news(clock_now(), true);
}
