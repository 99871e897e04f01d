/*-------------------------------------------------------------------------
 *
 * pathquery.c
 *		A jsonpath of a destination, and what it may take of the processor.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>

#include "executor/executor.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/execnodes.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/timeout.h"

#include "base/clock.h"
#include "base/messages.h"
#include "transform/pathload.h"
#include "transform/pathquery.h"

char *
pathquery_text(JsonPath *path)
{
	return DatumGetCString(DirectFunctionCall1(jsonpath_out, PointerGetDatum(path)));
}

/* ---------------------------------------------------------------------
 * Time
 * ---------------------------------------------------------------------
 */

/* The processor's time is looked at so many times while there is any left. */
#define LOOKS			5

static TimeoutId step_timeout = MAX_TIMEOUTS;	/* not registered yet */
static volatile int64 ends_at;	/* of the processor's time, in microseconds */
static volatile bool is_over;
static int	limit_ms;			/* so much there is */
static int64 took_us;

/*
 * A cancel of somebody else's comes by a signal, and ours does not: nothing else tells
 * them apart.
 */
static struct sigaction on_cancel;
static volatile bool is_cancelled;

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

/* In a signal handler. */
static void
note_cancel(int signo, siginfo_t *info, void *context)
{
	is_cancelled = true;
	if (on_cancel.sa_flags & SA_SIGINFO)
		on_cancel.sa_sigaction(signo, info, context);
	else if (on_cancel.sa_handler != SIG_IGN && on_cancel.sa_handler != SIG_DFL)
		on_cancel.sa_handler(signo);
}

static void
listen_to_cancels(void)
{
	struct sigaction action;

	is_cancelled = false;
	(void) sigaction(SIGINT, NULL, &on_cancel);
	action = on_cancel;
	action.sa_flags |= SA_SIGINFO;
	action.sa_sigaction = note_cancel;
	(void) sigaction(SIGINT, &action, NULL);
}

static void
begin_time(void)
{
	const EnableTimeoutParams step = {.id = step_timeout, .type = TMPARAM_EVERY, .delay_ms = limit_ms / LOOKS};

	listen_to_cancels();
	is_over = false;
	ends_at = clock_processor_us() + limit_ms * INT64CONST(1000);
	enable_timeouts(&step, 1);
}

/* A cancel that has not been seen may be ours alone, and was for nothing then. */
static void
end_time(void)
{
	disable_timeout(step_timeout, false);
	took_us = clock_processor_us() - (ends_at - limit_ms * INT64CONST(1000));
	if (is_over)
		QueryCancelPending = false;
	if (is_over && is_cancelled)
		QueryCancelPending = InterruptPending = true;
	(void) sigaction(SIGINT, &on_cancel, NULL);
}

void
pathquery_run(void (*step) (void *arg), void *arg, int ms)
{
	limit_ms = ms;
	if (step_timeout == MAX_TIMEOUTS)
		step_timeout = RegisterTimeout(USER_TIMEOUT, look_at_time);
	begin_time();
	PG_TRY();
	{
		step(arg);
	}
	PG_CATCH();
	{
		end_time();
		if (is_over && !is_cancelled && geterrcode() == ERRCODE_QUERY_CANCELED)
		{
			FlushErrorState();
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("it took more than %d ms of the processor", limit_ms)));
		}
		PG_RE_THROW();
	}
	PG_END_TRY();
	end_time();
}

int64
pathquery_took_us(void)
{
	return took_us;
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

/*
 * A time is read without a look at the clock, and for each field of its template all that
 * is left of the text is copied: so many bytes of both take some 100 ms.
 */
#define MAX_TEMPLATE_WORK	100e6

static bool
reads_long_times(const PathFindings *findings, Jsonb *event)
{
	double		template = findings->template_bytes;

	return (findings->writes_texts || template * VARSIZE(event) > MAX_TEMPLATE_WORK) &&
		template * pathload_of_longest(&event->root, findings->writes_texts).string_bytes > MAX_TEMPLATE_WORK;
}

char *
pathquery_why_not(JsonPath *path, const PathFindings *findings, Jsonb *value)
{
	if (findings->compares_deep)
		return pstrdup("it compares two paths, of which one has a \".**\"");
	if (findings->nproducts > PATHQUERY_MAX_PRODUCTS)
		return psprintf("it has more than %d multiplications and divisions", PATHQUERY_MAX_PRODUCTS);
	if (findings->nproducts > 0 && has_long_number(value))
		return pstrdup("it multiplies or divides, and the event has a number of some 2,000 digits or more");
	if (reads_long_times(findings, value))
		return psprintf("it reads a time by a template of %d bytes, and the event has a text that is too long for that",
						findings->template_bytes);
	return findings->compares ? pathwork_why_not(path, value) : NULL;
}

/* ---------------------------------------------------------------------
 * Asking
 * ---------------------------------------------------------------------
 */

/* A jsonpath of ours has no variables: an empty object, which is asked for each element of a list. */
static Datum
no_variables(void)
{
	static Jsonb empty;

	SET_VARSIZE(&empty, sizeof(empty));
	empty.root.header = JB_FOBJECT;
	return JsonbPGetDatum(&empty);
}

/* Not with a time zone: what it says must not depend on who sends. */
void
pathquery_ask(JsonPath *path, Jsonb *value, bool silent,
			  void (*take) (Jsonb *found, void *arg), void *arg)
{
	LOCAL_FCINFO(call, 4);
	FmgrInfo	function;
	ReturnSetInfo set = {.type = T_ReturnSetInfo};

	/* one at a time: all of them may be much more than the event itself */
	set.econtext = CreateStandaloneExprContext();
	set.allowedModes = set.returnMode = SFRM_ValuePerCall;
	fmgr_info(F_JSONB_PATH_QUERY, &function);
	InitFunctionCallInfoData(*call, &function, 4, InvalidOid, NULL, (fmNodePtr) &set);
	call->args[0] = (NullableDatum) {JsonbPGetDatum(value), false};
	call->args[1] = (NullableDatum) {PointerGetDatum(path), false};
	call->args[2] = (NullableDatum) {no_variables(), false};
	call->args[3] = (NullableDatum) {BoolGetDatum(silent), false};
	for (;;)
	{
		Datum		found;

		CHECK_FOR_INTERRUPTS();
		call->isnull = false;
		set.isDone = ExprSingleResult;
		found = FunctionCallInvoke(call);
		if (set.isDone != ExprMultipleResult)
			break;
		take(DatumGetJsonbP(found), arg);
	}
	FreeExprContext(set.econtext, true);
}

/* Nothing but memory is taken, so that there is nothing for a subtransaction to give back. */
char *
pathquery_try(void (*step) (void *arg), void *arg)
{
	MemoryContext context = CurrentMemoryContext;
	uint32		holdoff = InterruptHoldoffCount;
	ErrorData  *volatile error = NULL;

	PG_TRY();
	{
		step(arg);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		switch (ERRCODE_TO_CATEGORY(geterrcode()))
		{
			case ERRCODE_DATA_EXCEPTION:
			case ERRCODE_SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION:
			case ERRCODE_PROGRAM_LIMIT_EXCEEDED:
			case ERRCODE_FEATURE_NOT_SUPPORTED:
				break;
			default:
				PG_RE_THROW();
		}
		error = CopyErrorData();
		FlushErrorState();
		InterruptHoldoffCount = holdoff;
	}
	PG_END_TRY();
	return error != NULL ? error->message : NULL;
}

typedef struct Parsing
{
	const char *text;
	JsonPath   *path;
} Parsing;

static void
parse(void *arg)
{
	Parsing    *parsing = arg;

	parsing->path = DatumGetJsonPathP(DirectFunctionCall1(jsonpath_in, CStringGetDatum(parsing->text)));
}

char *
pathquery_parse(const char *text, JsonPath **path)
{
	Parsing		parsing = {text, NULL};
	char	   *message = pathquery_try(parse, &parsing);

	*path = parsing.path;
	return message;
}

char *
pathquery_without_values(char *message, const char *path)
{
	char	   *first = strchr(message, '"');
	char	   *last = strrchr(message, '"');

	if (!messages_are_english())
		return pstrdup("***");
	if (first == last || strstr(path, pnstrdup(first + 1, last - first - 1)) != NULL)
		return message;
	return psprintf("%.*s\"***\"%s", (int) (first - message), message, last + 1);
}
