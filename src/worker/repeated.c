/*-------------------------------------------------------------------------
 *
 * repeated.c
 *		What would be said in the log again and again.
 *
 * Thousands of events may have the same fault, and each is tried again every
 * few seconds.  Nothing is lost if the log does not have them all: what became
 * of an event is in its row.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "utils/timestamp.h"

#include "worker/repeated.h"
#include "worker/session.h"

/* In a minute, of one kind, and of all of several together. */
#define COUNTED_US		(60 * USECS_PER_SEC)
#define MOST_OF_KIND	2
#define MOST			30

bool
repeated_say(Repeated *what, int kind, Instant now)
{
	if (what->since == 0 || now - what->since >= COUNTED_US)
	{
		what->since = now;
		what->said = what->said_of_kind = 0;
	}
	if (kind != what->kind)
		what->said_of_kind = 0;
	if (what->said >= MOST || what->said_of_kind >= MOST_OF_KIND)
	{
		what->unsaid++;
		return false;
	}
	if (what->unsaid > 0)
		ereport(LOG,
				(errmsg("rswebhook has not logged " INT64_FORMAT " more errors at the same place as the next one",
						what->unsaid)));
	what->kind = kind;
	what->said++;
	what->said_of_kind++;
	what->unsaid = 0;
	return true;
}

/* The detail of a constraint has the row in it, and with that perhaps secrets. */
void
repeated_report_always(ErrorData *error)
{
	MemoryContext context = CurrentMemoryContext;

	if (ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION)
		error->detail = NULL;
	PG_TRY();
	{
		ReThrowError(error);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		EmitErrorReport();
		FlushErrorState();
	}
	PG_END_TRY();
}

/* What is said of one column, say, does not keep another from being named. */
static int
kind_of(const ErrorData *error)
{
	return (int) hash_bytes((const unsigned char *) error->message, strlen(error->message));
}

void
repeated_emit(Repeated *what, Instant now)
{
	ErrorData  *error = session_error();

	if (!repeated_say(what, kind_of(error), now))
		return;
	if (ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION)
		repeated_report_always(error);
	else
		EmitErrorReport();
}

void
repeated_report(Repeated *what, ErrorData *error)
{
	if (repeated_say(what, kind_of(error), clock_now()))
		repeated_report_always(error);
}
