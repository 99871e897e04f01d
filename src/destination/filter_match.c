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
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/timeout.h"

#include "base/clock.h"
#include "base/compat.h"
#include "destination/filter_match.h"
#include "destination/filter_path.h"
#include "destination/table.h"

/* How often the processor's time is looked at. */
#define STEP_MS			20

/* An event with more values is too large to compare two paths of it. */
#define MAX_COMPARED	4000

/* One of so many bytes has no more values than that. */
#define FEW_VALUES		(4 * MAX_COMPARED)

static TimeoutId step_timeout = MAX_TIMEOUTS;	/* not registered yet */
static volatile int64 ends_at;	/* of the processor's time, in microseconds */
static volatile bool is_over;

/* Also in a signal handler. */
static void
look_at_time(void)
{
	if (clock_processor_us() < ends_at)
		return;
	is_over = true;
	InterruptPending = true;
	QueryCancelPending = true;
	SetLatch(MyLatch);
}

static void
begin_time(void)
{
	const EnableTimeoutParams step = {.id = step_timeout, .type = TMPARAM_EVERY, .delay_ms = STEP_MS};

	is_over = false;
	ends_at = clock_processor_us() + FILTER_MATCH_MS * INT64CONST(1000);
	enable_timeouts(&step, 1);
}

/* A cancel that has not been seen may be ours, and was for nothing then. */
static void
end_time(void)
{
	disable_timeout(step_timeout, false);
	if (is_over)
		QueryCancelPending = false;
}

typedef struct PathMatch
{
	JsonPath   *path;
	Jsonb	   *event;
	bool		matches;
} PathMatch;

/* Not with a time zone: what it says must not depend on who sends. */
static void
match_path(HeapTuple tuple, TupleDesc desc, void *arg)
{
	PathMatch  *match = arg;
	LOCAL_FCINFO(call, 4);
	Datum		result;

	InitFunctionCallInfoData(*call, NULL, 4, InvalidOid, NULL, NULL);
	call->args[0] = (NullableDatum) {JsonbPGetDatum(match->event), false};
	call->args[1] = (NullableDatum) {PointerGetDatum(match->path), false};
	call->args[2] = (NullableDatum) {DirectFunctionCall1(jsonb_in, CStringGetDatum("{}")), false};
	call->args[3] = (NullableDatum) {BoolGetDatum(false), false};

	begin_time();
	PG_TRY();
	{
		result = jsonb_path_match(call);
		match->matches = !call->isnull && DatumGetBool(result);
	}
	PG_CATCH();
	{
		end_time();
		if (is_over && geterrcode() == ERRCODE_QUERY_CANCELED)
		{
			FlushErrorState();
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("it took more than %d ms of the processor", FILTER_MATCH_MS)));
		}
		PG_RE_THROW();
	}
	PG_END_TRY();
	end_time();
}

static bool
has_many_values(Jsonb *event)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	value;
	int			count = 0;

	if (VARSIZE(event) <= FEW_VALUES)
		return false;
	it = JsonbIteratorInit(&event->root);
	while (count <= MAX_COMPARED && (token = JsonbIteratorNext(&it, &value, false)) != WJB_DONE)
		count += token == WJB_VALUE || token == WJB_ELEM;
	return count > MAX_COMPARED;
}

/* A number of so many bytes has some 2,000 digits. */
#define LONG_NUMBER		1024

static bool
has_long_number(Jsonb *event)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	value;

	if (VARSIZE(event) <= LONG_NUMBER)
		return false;
	it = JsonbIteratorInit(&event->root);
	while ((token = JsonbIteratorNext(&it, &value, false)) != WJB_DONE)
	{
		if ((token == WJB_VALUE || token == WJB_ELEM) && value.type == jbvNumeric &&
			VARSIZE_ANY(value.val.numeric) > LONG_NUMBER)
			return true;
	}
	return false;
}

/* NULL: it can be asked. */
static char *
why_not(JsonPath *path, Jsonb *event)
{
	FilterFindings findings = filter_path_look(path);

	if (findings.compares_deep)
		return "it compares two paths, of which one has a \".**\"";
	if (findings.nproducts > FILTER_MAX_PRODUCTS)
		return psprintf("it has more than %d multiplications and divisions", FILTER_MAX_PRODUCTS);
	if (findings.nproducts > 0 && has_long_number(event))
		return "it multiplies or divides, and the event has a number of some 2,000 digits or more";
	if (findings.compares && has_many_values(event))
		return psprintf("it compares two paths, and the event has more than %d values", MAX_COMPARED);
	return NULL;
}

/*
 * An error's message without what it quotes of the event: who may read the status may not
 * read that.
 */
static char *
without_values(char *message, JsonPath *path)
{
	char	   *first = strchr(message, '"');
	char	   *last = strrchr(message, '"');

	if (first == last || strstr(filter_path_text(path), pnstrdup(first + 1, last - first - 1)) != NULL)
		return message;
	return psprintf("%.*s\"***\"%s", (int) (first - message), message, last + 1);
}

bool
filter_match(JsonPath *path, Jsonb *event, char **error)
{
	PathMatch	match = {path, event, false};
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext own = AllocSetContextCreate(caller, "rswebhook jsonpath", ALLOCSET_DEFAULT_SIZES);
	char	   *message;

	if (step_timeout == MAX_TIMEOUTS)
		step_timeout = RegisterTimeout(USER_TIMEOUT, look_at_time);
	MemoryContextSwitchTo(own);
	message = why_not(path, event);
	if (message == NULL)
	{
		message = destination_try(match_path, NULL, NULL, &match);
		if (message != NULL)
			message = without_values(message, path);
	}
	MemoryContextSwitchTo(caller);
	if (message != NULL)
		*error = pstrdup(message);
	MemoryContextDelete(own);
	return message == NULL && match.matches;
}
