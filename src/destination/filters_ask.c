/*-------------------------------------------------------------------------
 *
 * filters_ask.c
 *		Which destinations' filters take an event, in the time that all have together.
 *
 * Each jsonpath has PATHQUERY_MS, and there may be one for each destination.  So that no
 * number of them holds up whoever sends, or the worker that tells of ourselves, those that
 * take long have a time that is the same for one as for a thousand, and are asked last.
 * What is quick never waits for them.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "base/clock.h"
#include "destination/filters_ask.h"
#include "shmem/filter_errors.h"
#include "transform/pathquery.h"

/* More of the processor is long. */
#define QUICK_MS	10

/* What those that take long have of it, for an event. */
#define TOGETHER_MS	1000

/*
 * The worker, which asks for events about ourselves, sends nothing meanwhile.  So they have less there, and
 * after them others have so many times as long, but at most so long.
 */
#define TOGETHER_OF_ALERT_MS	300
#define TIME_OF_OTHERS	3
#define TIME_OF_OTHERS_MAX_US	(30 * USECS_PER_SEC)

static Instant slow_from = 0;	/* for events about ourselves, they are not asked before */
static unsigned int turn = 0;	/* which of them is the first */

typedef struct Asking
{
	const FilteredEvent *event;
	int32	   *ids;			/* of those whose filters take it */
	int			count;
	int			size;
	SharedFilter **later;		/* not known to be quick; NULL: asked by now */
	int			nlater;
	int			later_size;
	int64		slow_us;		/* that those which take long have had */
} Asking;

static void
add_takers(Asking *asking, const SharedFilter *shared)
{
	if (asking->count + shared->nids > asking->size)
	{
		asking->size = Max(asking->count + shared->nids, 2 * asking->size);
		asking->ids = asking->ids == NULL ?
			palloc_extended(asking->size * sizeof(int32), MCXT_ALLOC_HUGE) :
			repalloc_huge(asking->ids, asking->size * sizeof(int32));
	}
	memcpy(&asking->ids[asking->count], shared->ids, shared->nids * sizeof(int32));
	asking->count += shared->nids;
}

static void
put_off(Asking *asking, SharedFilter *shared)
{
	if (asking->nlater == asking->later_size)
	{
		asking->later_size = Max(16, 2 * asking->later_size);
		asking->later = asking->later == NULL ?
			palloc(asking->later_size * sizeof(SharedFilter *)) :
			repalloc_huge(asking->later, asking->later_size * sizeof(SharedFilter *));
	}
	asking->later[asking->nlater++] = shared;
}

static void
note_error(const SharedFilter *shared, const char *error)
{
	for (int i = 0; i < shared->nids; i++)
		filter_errors_note(shared->ids[i], error);
}

/* False: it takes longer than that, and longer may be given to it. */
static bool
ask_path(Asking *asking, SharedFilter *shared, int ms)
{
	char	   *error = NULL;
	int64		took_us;
	bool		matches = filter_path_matches(shared->filter, asking->event, ms, &took_us, &error);

	shared->pace = took_us < QUICK_MS * 1000 ? FILTER_QUICK : FILTER_SLOW;
	/* a sender has to find out anyway which are quick: that takes nothing of the time of those that are not */
	if (shared->pace == FILTER_SLOW && (ms == PATHQUERY_MS || asking->event->alert))
		asking->slow_us += took_us;
	if (error != NULL && shared->pace == FILTER_SLOW && ms < PATHQUERY_MS)
		return false;
	if (error != NULL)
		note_error(shared, error);
	if (matches)
		add_takers(asking, shared);
	return true;
}

static void
ask_filter(SharedFilter *shared, void *arg)
{
	Asking	   *asking = arg;

	if (!filter_may_take(shared->filter, asking->event))
		return;
	if (!filter_has_path(shared->filter))
		add_takers(asking, shared);
	else if (shared->pace != FILTER_QUICK || !ask_path(asking, shared, QUICK_MS))
		put_off(asking, shared);
}

static int
ms_together(const Asking *asking)
{
	return asking->event->alert ? TOGETHER_OF_ALERT_MS : TOGETHER_MS;
}

static bool
is_time_left(const Asking *asking)
{
	return asking->slow_us < ms_together(asking) * 1000;
}

/*
 * Those of which nothing is known.  Once they have been asked it is, so that a sender does that
 * whatever it takes; the worker, as far as there is time.
 */
static void
ask_unknown(Asking *asking)
{
	for (int i = 0; i < asking->nlater; i++)
	{
		SharedFilter *shared = asking->later[i];

		CHECK_FOR_INTERRUPTS();
		if (shared->pace == FILTER_UNKNOWN && (!asking->event->alert || is_time_left(asking)) &&
			ask_path(asking, shared, QUICK_MS))
			asking->later[i] = NULL;
	}
}

/* In turns, so that all are asked where all cannot be asked of each event. */
static void
ask_slow(Asking *asking)
{
	bool		is_their_time = !asking->event->alert || clock_now() >= slow_from;
	unsigned int first = turn;

	for (int i = 0; i < asking->nlater; i++)
	{
		SharedFilter *shared = asking->later[(first + i) % asking->nlater];

		CHECK_FOR_INTERRUPTS();
		if (shared == NULL)
			continue;
		if (is_their_time && is_time_left(asking))
		{
			(void) ask_path(asking, shared, PATHQUERY_MS);
			turn++;
		}
		else
			note_error(shared, psprintf("it was not asked: those that take more than %d ms of the processor have %d ms together",
										QUICK_MS, ms_together(asking)));
	}
}

int32 *
filters_takers(Filters *filters, const FilteredEvent *event, int *count)
{
	Asking		asking = {.event = event};

	filters_ask(filters, event, ask_filter, &asking);
	ask_unknown(&asking);
	ask_slow(&asking);
	if (event->alert && asking.slow_us > 0)
		slow_from = Max(slow_from, clock_now() + Min(TIME_OF_OTHERS * asking.slow_us, TIME_OF_OTHERS_MAX_US));
	*count = asking.count;
	return asking.ids;
}
