/*-------------------------------------------------------------------------
 *
 * limiter.c
 *		How many requests at once help a destination.
 *
 * It climbs to where the power is greatest, which is answers a second divided by what
 * one takes, or nearly so: every now and then another limit is tried for a window,
 * and becomes the limit if it has shown more.  By Little's law answers a second are
 * what is in flight divided by what an answer takes, so times are all that it looks at,
 * and what fails, which is added to them.  What fails as often with fewer in flight is
 * the same in both, and so moves nothing.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "schedule/limiter.h"

/* What is answered within this time is not slow; much of it may be our own. */
#define SOON_US			10000.0

/* A destination that takes so long for its first requests is tried with less, and not with more. */
#define FIRST_LONG_US	1000000.0

/* With so many times the requests in flight, an answer may take as much longer to this power. */
#define BEARABLE		0.6

/* How far away probes are. */
static const double steps[] = {2, 1.5, 1.25, 1.12};
#define LAST_STEP		(lengthof(steps) - 1)

/* The most windows between two probes. */
#define MAX_REST		16
#define MAX_REST_FAILED	64		/* after one that was refused, as that has cost events an attempt */

/*
 * A window is as many requests as may be in flight, and so many; up to many, if it takes
 * these for what is between two limits to be so many times the standard error.
 */
#define FEW				16
#define MANY			512
#define SURE			5.0

/* It is over when so small a part is missing, which may hang; or after so many times as many others. */
#define MISSING_PART	8
#define OTHERS			4
#define FIRST_OTHERS	1.5

/* The first windows are of few: what is not worse by so many standard errors is none the worse. */
#define FIRST_DOUBT		0.5

/* A limit has other times than it had if they differ by so much, and so many standard errors. */
#define CHANGED			0.4
#define CHANGED_DOUBT	3

/* A request that fails costs as much as so many that are served: its event is kept, and it is made again. */
#define FAILURE			2

void
limiter_init(Limiter *limiter)
{
	memset(limiter, 0, sizeof(*limiter));
	limiter->limit = LIMITER_START;
	limiter->starting = limiter->up = true;
	limiter->spread = 1;
}

void
limiter_reset(Limiter *limiter)
{
	uint32		number = limiter->number;

	limiter_init(limiter);
	limiter->number = number;
}

static int
tried(const Limiter *limiter)
{
	return limiter->probe > 0 ? limiter->probe : limiter->limit;
}

int
limiter_limit(const Limiter *limiter, int most)
{
	return Max(1, Min(tried(limiter) + limiter->nhung, most));
}

/* ---------------------------------------------------------------------
 * Windows
 * ---------------------------------------------------------------------
 */

/* The limit itself, if there is none. */
static int
next_probe(const Limiter *limiter, int most)
{
	int			limit = limiter->limit;
	double		step = steps[limiter->step];

	if (limiter->up)
		return Max(limit, Min(most, Max(limit + 1, (int) rint(limit * step))));
	return Max(1, Min(limit - 1, (int) rint(limit / step)));
}

static void
begin_window(Limiter *limiter, int most)
{
	LimiterWindow *window = &limiter->window;
	int			limit = tried(limiter);
	int			other = limiter->probe > 0 ? limiter->limit : next_probe(limiter, most);
	double		apart = fabs(log((double) other / limit)) / SURE;

	memset(window, 0, sizeof(*window));
	limiter->number = Max(limiter->number + 1, 1);
	if (limiter->starting)
		window->size = Max(LIMITER_START, limit / 2);	/* the others are still on their way */
	else if (limiter->halved_from > 0)
		window->size = Max(FEW, limit);
	else
		window->size = Max(0, limit - other) + Max(Max(FEW, limit), other == limit ? 0 : (int) Min(MANY, limiter->spread / (apart * apart)));
}

uint32
limiter_take(Limiter *limiter, int in_flight, int most)
{
	LimiterWindow *window = &limiter->window;

	if (window->size == 0)
		begin_window(limiter, most);
	window->peak = Max(window->peak, in_flight);
	if (window->taken == window->size)
		return 0;
	window->taken++;
	return limiter->number;
}

/* In times of what an answer takes, if of so many some fail; and the variance of that, in these squares. */
static double
with_failures(int nfailed, int size)
{
	return 1 + FAILURE * (double) nfailed / (size - nfailed);
}

static double
failures_spread(int nfailed, int size)
{
	double		odds = (double) nfailed / (size - nfailed);

	return odds * pow(FAILURE * (1 + odds) / with_failures(nfailed, size), 2);
}

/* Nearly nothing is served, so that nothing can be compared; unless that is the same with a single one. */
static bool
most_fail(const Limiter *limiter)
{
	const LimiterWindow *window = &limiter->window;

	return !limiter->bad_weather &&
		(2 * window->nfailed > window->size ||
		 (window->nhung == window->size && window->nothers == 0 && tried(limiter) > LIMITER_START));
}

/* Of a window that is over, in which some were served.  What is missing has been in flight as well. */
static LimiterCost
window_cost(Limiter *limiter)
{
	const LimiterWindow *window = &limiter->window;
	int			n = window->nserved;
	int			missing = window->size - n - window->nfailed;
	double		mean = window->sum / n;
	double		spread = Max(window->squares / n / (mean * mean) - 1, 0.0001);
	LimiterCost cost;

	spread += failures_spread(window->nfailed, window->size);
	limiter->spread = (limiter->spread + spread) / 2;
	cost.time = Max(mean, SOON_US) * window->size / (window->size - missing);
	cost.mean = cost.time * with_failures(window->nfailed, window->size);
	cost.variance = limiter->spread / n;
	return cost;
}

/* ---------------------------------------------------------------------
 * From one limit to the next
 * ---------------------------------------------------------------------
 */

/* Fewer make nothing better that is there soon, unless some fail. */
static bool
may_be_better_with_fewer(const Limiter *limiter)
{
	return limiter->cost.time >= 2 * SOON_US || limiter->cost.mean > limiter->cost.time;
}

/* The next window is of another limit, or of this one. */
static void
go_on(Limiter *limiter, int most)
{
	limiter->probe = 0;
	limiter->starting &= limiter->limit < most;
	if (limiter->rest > 0)
		limiter->rest--;
	else if (limiter->cost.mean > 0)
	{
		int			probe = next_probe(limiter, most);

		if (probe == limiter->limit || (!limiter->up && !may_be_better_with_fewer(limiter)))
		{
			limiter->up = !limiter->up;
			probe = next_probe(limiter, most);
		}
		if (probe > limiter->limit || (probe < limiter->limit && may_be_better_with_fewer(limiter)))
			limiter->probe = probe;
	}
	begin_window(limiter, most);
}

static void
rest(Limiter *limiter, int nwindows, int longest)
{
	limiter->rest = Min(nwindows, longest);
	limiter->next_rest = Min(2 * nwindows, longest);
}

static void
accept_probe(Limiter *limiter, LimiterCost cost)
{
	limiter->starting &= limiter->up;
	limiter->limit = limiter->probe;
	if (limiter->nworse < 0)
		limiter->step = Max(limiter->step - 1, 0);
	limiter->nworse = -1;
	limiter->cost = cost;
	if (limiter->step > 0)
		limiter->cost.mean = 0; /* it was chosen, since this was low: perhaps by chance */
	rest(limiter, 0, MAX_REST);
}

static void
reject_probe(Limiter *limiter, bool failed)
{
	if (limiter->starting && limiter->up)
	{
		/* known by a few only: once more, with as many as it takes */
		limiter->starting = false;
		limiter->cost.mean = 0;
		limiter->nworse = 0;
		return;
	}
	/* where it came from was no better, either */
	limiter->nworse = limiter->nworse < 0 ? 2 : limiter->nworse + 1;
	limiter->up = !limiter->up;
	if (limiter->step == LAST_STEP)
		rest(limiter, Max(limiter->next_rest, 1), failed ? MAX_REST_FAILED : MAX_REST);
	else if (limiter->nworse == 2)
	{
		limiter->step++;
		limiter->nworse = 0;
		limiter->rest = 1;		/* what is finer is to be known better */
	}
}

/* What an answer may cost with a probe, in times of what it costs. */
static double
bearable(const Limiter *limiter)
{
	return pow((double) limiter->probe / limiter->limit, BEARABLE);
}

static void
judge_probe(Limiter *limiter, LimiterCost cost)
{
	double		doubt = sqrt(cost.variance + limiter->cost.variance);
	double		more = cost.mean / limiter->cost.mean;

	if (limiter->starting && limiter->up)
		more /= exp(FIRST_DOUBT * doubt);
	if (more < bearable(limiter))
		accept_probe(limiter, cost);
	else
		reject_probe(limiter, cost.mean > cost.time);
}

/* What was known counts half as much as what is new. */
static void
learn_cost(Limiter *limiter, LimiterCost cost)
{
	LimiterCost *known = &limiter->cost;
	double		more = known->mean > 0 ? log(cost.mean / known->mean) : 0;
	double		part = 2 * known->variance / (2 * known->variance + cost.variance);

	if (known->mean == 0)
	{
		*known = cost;
		if (limiter->starting)
			limiter->up = cost.mean < FIRST_LONG_US;
	}
	else if (fabs(more) > CHANGED && fabs(more) > CHANGED_DOUBT * sqrt(known->variance + cost.variance))
	{
		*known = cost;
		limiter->up = more < 0;
		limiter->step = limiter->nworse = 0;
		rest(limiter, 0, MAX_REST);
	}
	else
	{
		known->mean += part * (cost.mean - known->mean);
		known->time += part * (cost.time - known->time);
		known->variance = part * cost.variance;
	}
}

/*
 * Most of a window have failed: half as many, without comparing, until that is over.  If it is
 * the same with a single one, it was not for so many.
 */
static void
halve(Limiter *limiter)
{
	if (limiter->halved_from == 0)
		limiter->halved_from = limiter->limit;
	limiter->bad_weather = limiter->limit == 1;
	limiter->limit = limiter->bad_weather ? limiter->halved_from : limiter->limit / 2;
	if (limiter->bad_weather)
		limiter->halved_from = 0;
	limiter->starting = false;
	limiter->cost.mean = 0;
	limiter->up = true;
	limiter->step = limiter->nworse = 0;
	rest(limiter, 0, MAX_REST);
}

/* A part of those that are missing is only late; if others have come in the meantime, they hang. */
static bool
is_over(Limiter *limiter)
{
	const LimiterWindow *window = &limiter->window;
	int			missing = window->size - window->nserved - window->nfailed - window->nhung;

	if (window->size == 0 || window->taken < window->size)
		return false;
	if (missing <= window->size / MISSING_PART)
		return true;
	if (window->nothers < (int) ((limiter->starting ? FIRST_OTHERS : OTHERS) * window->size))
		return false;
	limiter->nhung += missing;
	limiter->hung_number = limiter->number;
	return true;
}

/* Can a probe not be any better, even if all the others were there at once? */
static bool
is_hopeless(const Limiter *limiter)
{
	const LimiterWindow *window = &limiter->window;
	double		most;

	if (limiter->probe == 0)
		return false;
	if (most_fail(limiter))
		return true;
	most = limiter->cost.mean * bearable(limiter);
	return !limiter->starting &&
		(window->sum > window->size * most ||
		 /* with more in flight they take no less time */
		 (limiter->probe > limiter->limit && window->nfailed > 0 && window->nfailed < window->size &&
		  limiter->cost.time * with_failures(window->nfailed, window->size) > most));
}

void
limiter_note(Limiter *limiter, uint32 number, LimiterSays says, double took_us, int most)
{
	LimiterWindow *window = &limiter->window;
	bool		of_window = number > 0 && number == limiter->number;
	bool		was_tried = window->peak >= limiter_limit(limiter, most);

	if (limiter->nhung > 0 && number > 0 && number <= limiter->hung_number)
	{
		limiter->nhung--;
		return;
	}
	if (tried(limiter) > most)
	{
		limiter->limit = Min(limiter->limit, most);
		limiter->cost.mean = 0;
		go_on(limiter, most);
		return;
	}
	if (says == LIMITER_SERVED && of_window)
	{
		window->nserved++;
		window->sum += took_us;
		window->squares += took_us * took_us;
	}
	else if (says == LIMITER_SERVED)
		window->nothers++;
	else if (says == LIMITER_FAILED && of_window)
		window->nfailed++;
	else if (says == LIMITER_HUNG && of_window)
		window->nhung++;
	else if (says == LIMITER_NOTHING && of_window)
		window->taken--;		/* another one in its place */

	if (is_hopeless(limiter))
	{
		reject_probe(limiter, window->nfailed > 0);
		go_on(limiter, most);
	}
	else if (limiter->probe == 0 && most_fail(limiter))
	{
		halve(limiter);
		go_on(limiter, most);
	}
	else if (is_over(limiter))
	{
		limiter->halved_from = 0;
		limiter->bad_weather &= window->nfailed > window->nserved;
		if (!was_tried)
			limiter->rest = Max(limiter->rest, 1);	/* as many were not in flight */
		else if (limiter->probe > 0 && window->nserved > 0)
			judge_probe(limiter, window_cost(limiter));
		else if (limiter->probe > 0)
			reject_probe(limiter, window->nfailed > 0);
		else if (window->nserved > 0)
			learn_cost(limiter, window_cost(limiter));
		go_on(limiter, most);
	}
}
