/*-------------------------------------------------------------------------
 *
 * trace.c
 *		The trace that an event belongs to.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"

#include "api/trace.h"
#include "base/traceparent.h"

char	   *rswebhook_traceparent = NULL;

static void
warn(const char *what)
{
	static TransactionId warned = InvalidTransactionId;

	if (warned == GetTopTransactionId())
		return;
	warned = GetTopTransactionId();
	ereport(WARNING,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s is malformed, and ignored", what),
			 errhint("A traceparent looks like \"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\".")));
}

const char *
trace_of(Jsonb *event)
{
	const char *set = rswebhook_traceparent;
	bool		malformed;

	if (traceparent_of_event(event, &malformed) != NULL)
		return NULL;
	if (malformed)
		warn("context.traceparent of the event");
	if (set == NULL || set[0] == '\0')
		return NULL;
	if (traceparent_is_valid(set, strlen(set)))
		return set;
	warn("rswebhook.traceparent");
	return NULL;
}
