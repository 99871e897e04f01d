/*-------------------------------------------------------------------------
 *
 * lack.c
 *		What the worker lacks to send with, said in the log, and what it cannot do
 *		with the tables; both are shown by rswebhook.workers().
 *
 * Descriptors, memory, threads, local ports, an option of libcurl's: where one is
 * missing, requests wait, and nobody is charged for it.  So this is the only place
 * where it shows.  A secret that is not to be had is said of its destination, and
 * rswebhook.status shows it as unusable.  Of an error in a transaction, only its
 * message is shown: details have rows in them.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"

#include "shmem/worker_slot.h"
#include "worker/alerts.h"
#include "worker/lack.h"
#include "worker/repeated.h"
#include "worker/stats.h"

/* Shortages that come and go are not said more often than this. */
#define SAY_AGAIN_US	(60 * USECS_PER_SEC)

/* Of each, with the NUL, so that there is room for all. */
#define LACK_SIZE		(SLOT_LACKS_SIZE / 4 - 2)

static char lacks[LACK_SIZE];	/* "": nothing */
static char undone[][LACK_SIZE] = {
	[UNDONE_CYCLE] = "",
	[UNDONE_OUTCOMES] = "",
	[UNDONE_STATES] = ""
};
static int64 waited;			/* requests, since it began */
static bool said;				/* that it began */
static Instant said_at;

/* Of what somebody's trigger says, too, there is one line. */
static void
make_line(char *text)
{
	for (; *text != '\0'; text++)
	{
		if ((unsigned char) *text < ' ')
			*text = ' ';
	}
}

static void
add_shown(char *shown, const char *what)
{
	if (what[0] == '\0')
		return;
	if (shown[0] != '\0')
		strlcat(shown, "; ", SLOT_LACKS_SIZE);
	strlcat(shown, what, SLOT_LACKS_SIZE);
}

static void
show(void)
{
	char		shown[SLOT_LACKS_SIZE] = "";

	for (int i = 0; i < lengthof(undone); i++)
		add_shown(shown, undone[i]);
	add_shown(shown, lacks);
	worker_slot_show_lacks(shown);
}

void
lack_note(const char *what, bool unsupported, Instant now)
{
	if (lacks[0] == '\0')
	{
		waited = 0;
		said = false;
	}
	waited++;
	if (strncmp(lacks, what, sizeof(lacks) - 1) != 0)
	{
		strlcpy(lacks, what, sizeof(lacks));
		show();
	}
	if (said || (said_at != 0 && now - said_at < SAY_AGAIN_US))
		return;
	ereport(LOG,
			(errmsg("rswebhook has to wait with requests: %s", what),
			 errdetail("This is no fault of their destinations: no attempt is counted, and they are sent once it is possible."),
			 unsupported ?
			 errhint("Look at which libcurl the server loads: it is to be the one that rswebhook was built with, or a later one, with all that this had.") :
			 errhint("Look at the limits of the server's processes (open files, memory, threads), and at the machine's memory and its local ports.")));
	said = true;
	said_at = now;
}

void
lack_over(void)
{
	if (lacks[0] == '\0')
		return;
	lacks[0] = '\0';
	show();
	if (said)
		ereport(LOG,
				(errmsg("rswebhook does not have to wait with requests any more"),
				 errdetail("Some were put back, " INT64_FORMAT " times in all.", waited)));
}

void
lack_note_undone(Undone what, const char *why)
{
	static const char *const words[] = {
		[UNDONE_CYCLE] = "the worker cannot go on",
		[UNDONE_OUTCOMES] = "outcomes cannot be recorded",
		[UNDONE_STATES] = "pauses and circuit breakers cannot be recorded"
	};
	char		text[LACK_SIZE + MAX_MULTIBYTE_CHAR_LEN] = "";

	if (why != NULL)
		snprintf(text, sizeof(text), "%s: %s", words[what], why);
	text[pg_mbcliplen(text, strlen(text), LACK_SIZE - 1)] = '\0';
	make_line(text);
	if (strcmp(text, undone[what]) == 0)
		return;
	strlcpy(undone[what], text, sizeof(undone[what]));
	show();
}

void
lack_note_secret(const Destination *destination, const char *why, Instant now)
{
	static Repeated unusable;

	alerts_note_secret(destination->id, why);
	if (!stats_note_unusable(destination->id, why, clock_wall(now)) ||
		!repeated_say(&unusable, destination->id, now))
		return;
	ereport(LOG,
			(errmsg("rswebhook cannot use destination \"%s\": %s", destination->name, why),
			 errdetail("Its id is %d. What is owed to it waits, and no attempt is counted.", destination->id),
			 errhint("It is looked at again within a minute, and at once when the server is reloaded or a destination is edited.")));
}

void
lack_secret_over(const Destination *destination, Instant now)
{
	static Repeated usable;

	alerts_note_secret(destination->id, NULL);
	if (stats_note_usable(destination->id) && repeated_say(&usable, destination->id, now))
		ereport(LOG,
				(errmsg("rswebhook can use destination \"%s\" again", destination->name)));
}
