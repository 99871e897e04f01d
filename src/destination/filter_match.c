/*-------------------------------------------------------------------------
 *
 * filter_match.c
 *		The jsonpath of a filter is asked, within bounds.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"

#include "base/compat.h"
#include "base/inject.h"
#include "destination/filter_match.h"
#include "destination/table.h"
#include "transform/pathquery.h"

typedef struct PathMatch
{
	JsonPath   *path;
	Jsonb	   *event;
	int			ms;
	bool		matches;
} PathMatch;

static void
ask(void *arg)
{
	PathMatch  *match = arg;
	PathFindings findings = pathlook_at(match->path);
	char	   *why_not = pathquery_why_not(match->path, &findings, match->event);
	LOCAL_FCINFO(call, 4);
	Datum		result;

	INJECT("filter");
	if (why_not != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg_internal("%s", why_not)));

	/* not with a time zone: what it says must not depend on who sends */
	InitFunctionCallInfoData(*call, NULL, 4, InvalidOid, NULL, NULL);
	call->args[0] = (NullableDatum) {JsonbPGetDatum(match->event), false};
	call->args[1] = (NullableDatum) {PointerGetDatum(match->path), false};
	call->args[2] = (NullableDatum) {DirectFunctionCall1(jsonb_in, CStringGetDatum("{}")), false};
	call->args[3] = (NullableDatum) {BoolGetDatum(false), false};
	result = jsonb_path_match(call);
	match->matches = !call->isnull && DatumGetBool(result);
}

static void
match_path(HeapTuple tuple, TupleDesc desc, void *arg)
{
	PathMatch  *match = arg;

	pathquery_run(ask, match, match->ms);
}

bool
filter_match(JsonPath *path, Jsonb *event, int ms, int64 *took_us, char **error)
{
	PathMatch	match = {path, event, ms, false};
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext own = AllocSetContextCreate(caller, "rswebhook jsonpath", ALLOCSET_DEFAULT_SIZES);
	char	   *message;

	MemoryContextSwitchTo(own);
	message = destination_try(match_path, NULL, NULL, &match);
	*took_us = pathquery_took_us();
	if (message != NULL)
		message = pathquery_without_values(message, pathquery_text(path));
	MemoryContextSwitchTo(caller);
	if (message != NULL)
		*error = pstrdup(message);
	MemoryContextDelete(own);
	return message == NULL && match.matches;
}
