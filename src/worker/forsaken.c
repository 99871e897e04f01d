/*-------------------------------------------------------------------------
 *
 * forsaken.c
 *		Databases in which no worker has been for a while: the launcher says so.
 *
 * Nobody can write a row of rswebhook.alert there, nor tell by NOTIFY; so what is told is a
 * line of the log that begins as all alerts do, once, and another when it is over.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/dbcommands.h"
#include "nodes/pg_list.h"
#include "utils/memutils.h"

#include "shmem/slots.h"
#include "shmem/start.h"
#include "worker/forsaken.h"

/* A worker that comes anew is not there for a moment. */
#define TOLD_AFTER_US	(60 * USECS_PER_SEC)

typedef struct Forsaken
{
	Oid			database;
	Instant		since;
	bool		told;
} Forsaken;

static List *forsaken = NIL;	/* of Forsaken */

/* It may have been dropped meanwhile. */
static void
tell(const Forsaken *one, bool over)
{
	char	   *name;

	StartTransactionCommand();
	name = get_database_name(one->database);
	if (name != NULL && over)
		ereport(LOG,
				(errmsg("rswebhook has a worker for database \"%s\" again", name)));
	else if (name != NULL)
		ereport(LOG,
				(errmsg("rswebhook alert: workers missing: database \"%s\" has had no worker for %d s, and what is owed there waits",
						name, (int) ((clock_now() - one->since) / USECS_PER_SEC)),
				 errhint("The lines before this say why, if one could not be started or has failed.")));
	CommitTransactionCommand();
}

static bool
is_among(Oid database, const Oid *databases, int count)
{
	for (int i = 0; i < count; i++)
	{
		if (databases[i] == database)
			return true;
	}
	return false;
}

static void
note(Oid database, MemoryContext context)
{
	ListCell   *lc;
	Forsaken   *one;
	MemoryContext caller;

	foreach(lc, forsaken)
	{
		if (((Forsaken *) lfirst(lc))->database == database)
			return;
	}
	caller = MemoryContextSwitchTo(context);
	one = palloc0(sizeof(Forsaken));
	one->database = database;
	one->since = clock_now();
	forsaken = lappend(forsaken, one);
	MemoryContextSwitchTo(caller);
}

void
forsaken_look(MemoryContext context)
{
	Oid		   *databases = palloc(sizeof(Oid) * rswebhook_max_databases);
	int			count = start_forsaken(databases, rswebhook_max_databases);
	ListCell   *lc;

	for (int i = 0; i < count; i++)
		note(databases[i], context);
	foreach(lc, forsaken)
	{
		Forsaken   *one = lfirst(lc);

		if (!is_among(one->database, databases, count))
		{
			if (one->told)
				tell(one, true);
			pfree(one);
			forsaken = foreach_delete_current(forsaken, lc);
		}
		else if (!one->told && clock_now() - one->since >= TOLD_AFTER_US)
		{
			one->told = true;
			tell(one, false);
		}
	}
	pfree(databases);
	MemoryContextSwitchTo(context);
}

Instant
forsaken_due_at(void)
{
	Instant		next = 0;
	ListCell   *lc;

	foreach(lc, forsaken)
	{
		const Forsaken *one = lfirst(lc);

		if (!one->told && (next == 0 || one->since + TOLD_AFTER_US < next))
			next = one->since + TOLD_AFTER_US;
	}
	return next;
}
