/*-------------------------------------------------------------------------
 *
 * filter_path.c
 *		The jsonpath of a filter, within bounds.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <time.h>

#include "fmgr.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/timeout.h"

#include "base/compat.h"
#include "destination/filter_path.h"
#include "destination/table.h"

/* How often the processor's time is looked at. */
#define STEP_MS			20

/* An event with more values is too large to compare two paths of it. */
#define MAX_COMPARED	4000

/* One of so many bytes has no more values than that. */
#define FEW_VALUES		(4 * MAX_COMPARED)

/* ---------------------------------------------------------------------
 * What a path does
 * ---------------------------------------------------------------------
 */
typedef struct Findings
{
	bool		compares;		/* a path with another one */
	bool		compares_deep;	/* of which one has a .** */
} Findings;

static void look_at_item(JsonPathItem *item, Findings *findings);

/* Can an operand be several values? */
static bool
is_path(const JsonPathItem *operand)
{
	return operand->type == jpiRoot || operand->type == jpiCurrent;
}

static bool
is_deep(JsonPathItem *operand)
{
	JsonPathItem item = *operand;
	JsonPathItem next;

	while (item.type != jpiAny && jspGetNext(&item, &next))
		item = next;
	return item.type == jpiAny;
}

static void
look_at_operands(JsonPathItem *item, bool compared, Findings *findings)
{
	JsonPathItem left;
	JsonPathItem right;

	jspGetLeftArg(item, &left);
	jspGetRightArg(item, &right);
	if (compared && is_path(&left) && is_path(&right))
	{
		findings->compares = true;
		findings->compares_deep |= is_deep(&left) || is_deep(&right);
	}
	look_at_item(&left, findings);
	look_at_item(&right, findings);
}

static void
look_at_subscripts(JsonPathItem *item, Findings *findings)
{
	for (int i = 0; i < item->content.array.nelems; i++)
	{
		JsonPathItem from;
		JsonPathItem to;

		if (jspGetArraySubscript(item, &from, &to, i))
			look_at_item(&to, findings);
		look_at_item(&from, findings);
	}
}

/* With all that it is made of, and what follows it. */
static void
look_at_item(JsonPathItem *item, Findings *findings)
{
	JsonPathItem part;

	check_stack_depth();
	switch (item->type)
	{
		case jpiEqual:
		case jpiNotEqual:
		case jpiLess:
		case jpiGreater:
		case jpiLessOrEqual:
		case jpiGreaterOrEqual:
		case jpiStartsWith:
			look_at_operands(item, true, findings);
			break;
		case jpiAnd:
		case jpiOr:
		case jpiAdd:
		case jpiSub:
		case jpiMul:
		case jpiDiv:
		case jpiMod:
			look_at_operands(item, false, findings);
			break;
		case jpiNot:
		case jpiIsUnknown:
		case jpiPlus:
		case jpiMinus:
		case jpiFilter:
		case jpiExists:
			jspGetArg(item, &part);
			look_at_item(&part, findings);
			break;
		case jpiLikeRegex:
			jspInitByBuffer(&part, item->base, item->content.like_regex.expr);
			look_at_item(&part, findings);
			break;
		case jpiIndexArray:
			look_at_subscripts(item, findings);
			break;
		default:
			break;
	}
	if (jspGetNext(item, &part))
		look_at_item(&part, findings);
}

static Findings
look_at_path(JsonPath *path)
{
	Findings	findings = {0};
	JsonPathItem item;

	jspInit(&item, path);
	look_at_item(&item, &findings);
	return findings;
}

static char *
path_text(JsonPath *path)
{
	return DatumGetCString(DirectFunctionCall1(jsonpath_out, PointerGetDatum(path)));
}

bool
destination_path_check(JsonPath *path, FieldProblem *problem)
{
	if (!look_at_path(path).compares_deep)
		return true;
	return problem_set(problem, "filter",
					   path_text(path),
					   "It compares two paths, of which one has a \".**\".",
					   "Name the keys instead, or compare with a value.");
}

/* ---------------------------------------------------------------------
 * Asking it
 * ---------------------------------------------------------------------
 */
static TimeoutId step_timeout = MAX_TIMEOUTS;	/* not registered yet */
static volatile int64 ends_at;	/* of the processor's time, in microseconds */
static volatile bool is_over;

/* Also in a signal handler. */
static int64
processor_us(void)
{
	struct timespec used;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	return used.tv_sec * USECS_PER_SEC + used.tv_nsec / 1000;
}

static void
look_at_time(void)
{
	if (processor_us() < ends_at)
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
	ends_at = processor_us() + FILTER_PATH_MS * INT64CONST(1000);
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
					 errmsg("it took more than %d ms of the processor", FILTER_PATH_MS)));
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

/* NULL: it can be asked. */
static char *
why_not(JsonPath *path, Jsonb *event)
{
	Findings	findings = look_at_path(path);

	if (findings.compares_deep)
		return "it compares two paths, of which one has a \".**\"";
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

	if (first == last || strstr(path_text(path), pnstrdup(first + 1, last - first - 1)) != NULL)
		return message;
	return psprintf("%.*s\"***\"%s", (int) (first - message), message, last + 1);
}

bool
filter_path_takes(JsonPath *path, Jsonb *event, char **error)
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
