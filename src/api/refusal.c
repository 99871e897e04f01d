/*-------------------------------------------------------------------------
 *
 * refusal.c
 *		Why something is not sent: an error of its sender, or what a trigger warns of.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"

#include "api/refusal.h"

bool
refusal_set(Refusal *refusal, int sqlerrcode, const char *message, const char *detail, const char *hint)
{
	*refusal = (Refusal) {
		.sqlerrcode = sqlerrcode, .message = message, .detail = detail, .hint = hint
	};
	return false;
}

bool
refusal_set_quoting(Refusal *refusal, int sqlerrcode, const char *message, const char *value,
					const char *detail, const char *hint)
{
	(void) refusal_set(refusal, sqlerrcode, message, detail, hint);
	refusal->value = value;
	return false;
}

char *
refusal_quoted(const char *name)
{
	StringInfoData quoted;

	initStringInfo(&quoted);
	appendStringInfoChar(&quoted, '"');
	for (const char *c = name; *c != '\0'; c++)
		appendStringInfo(&quoted, *c == '"' ? "\"%c" : "%c", *c);
	appendStringInfoChar(&quoted, '"');
	return quoted.data;
}

void
refusal_report(const Refusal *refusal, int elevel, const char *where)
{
	ereport(elevel,
			(errcode(refusal->sqlerrcode),
			 errmsg_internal("%s", refusal->message),
			 refusal->detail != NULL ? errdetail_internal("%s", refusal->detail) : 0,
			 refusal->hint != NULL ? errhint("%s", refusal->hint) : 0,
			 where != NULL ? errcontext("%s", where) : 0));
}
