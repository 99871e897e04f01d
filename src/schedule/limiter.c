/*-------------------------------------------------------------------------
 *
 * limiter.c
 *		How many requests at once help a destination.
 *
 * It climbs to where the power is greatest, which is answers a second divided by what
 * one takes, or nearly so: every now and then another limit is tried for a window,
 * and becomes the limit if it has shown more.  By Little's law answers a second are
 * what is in flight divided by what an answer takes, so times are all that it looks at.
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
#define LONG_US			1000000.0

/* With so many times the requests in flight, an answer may take as much longer to this power. */
#define BEARABLE		0.6

/* How far away probes are. */
static const double steps[] = {2, 1.5, 1.25, 1.12};
#define LAST_STEP		(lengthof(steps) - 1)

/* The most windows between two probes. */
#define MAX_REST		16

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

/* Answers of one user may ask for less, or be missing: it takes as many, and such a part of all. */
#define FEW_REFUSED		2
#define REFUSED_PART	20
#define FEW_UNANSWERED	4
#define UNANSWERED_PART	4

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
	else
		window->size = Max(Max(FEW, limit), other == limit ? 0 : (int) Min(MANY, limiter->spread / (apart * apart)));
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

/* What is missing has been in flight as well. */
static LimiterTime
window_time(Limiter *limiter)
{
	const LimiterWindow *window = &limiter->window;
	double		mean = window->sum / window->nserved;
	double		spread = Max(window->squares / window->nserved / (mean * mean) - 1, 0.0001);

	limiter->spread = (limiter->spread + spread) / 2;
	return (LimiterTime) {Max(mean, SOON_US) * window->size / window->nserved, limiter->spread / window->nserved};
}

/* ---------------------------------------------------------------------
 * From one limit to the next
 * ---------------------------------------------------------------------
 */

/* The next window is of another limit, or of this one. */
static void
go_on(Limiter *limiter, int most)
{
	limiter->probe = 0;
	limiter->starting &= limiter->limit < most;
	if (limiter->rest > 0)
		limiter->rest--;
	else if (limiter->time.mean > 0)
	{
		int			probe = next_probe(limiter, most);

		/* what is there soon is not made any better by less */
		if (probe == limiter->limit || (!limiter->up && limiter->time.mean < 2 * SOON_US))
		{
			limiter->up = !limiter->up;
			probe = next_probe(limiter, most);
		}
		if (probe > limiter->limit || (probe < limiter->limit && limiter->time.mean >= 2 * SOON_US))
			limiter->probe = probe;
	}
	begin_window(limiter, most);
}

static void
rest(Limiter *limiter, int nwindows)
{
	limiter->rest = nwindows;
	limiter->next_rest = Min(2 * nwindows, MAX_REST);
}

static void
accept_probe(Limiter *limiter, LimiterTime time)
{
	limiter->starting &= limiter->up;
	limiter->limit = limiter->probe;
	if (limiter->nfailed < 0)
		limiter->step = Max(limiter->step - 1, 0);
	limiter->nfailed = -1;
	limiter->time = time;
	if (limiter->step > 0)
		limiter->time.mean = 0; /* it was chosen, since this was low: perhaps by chance */
	rest(limiter, 0);
}

static void
reject_probe(Limiter *limiter)
{
	if (limiter->starting && limiter->up)
	{
		limiter->starting = false;
		limiter->time.mean = 0; /* known by a few only */
		limiter->nfailed = 0;
	}
	/* where it came from was no better, either */
	limiter->nfailed = limiter->nfailed < 0 ? 2 : limiter->nfailed + 1;
	limiter->up = !limiter->up;
	if (limiter->step == LAST_STEP)
		rest(limiter, Max(limiter->next_rest, 1));
	else if (limiter->nfailed == 2)
	{
		limiter->step++;
		limiter->nfailed = 0;
		limiter->rest = 1;		/* what is finer is to be known better */
	}
}

/* What an answer may take with a probe, in times of what it takes. */
static double
bearable(const Limiter *limiter)
{
	return pow((double) limiter->probe / limiter->limit, BEARABLE);
}

static void
judge_probe(Limiter *limiter, LimiterTime time)
{
	double		doubt = sqrt(time.variance + limiter->time.variance);
	double		longer = time.mean / limiter->time.mean;

	if (limiter->starting && limiter->up)
		longer /= exp(FIRST_DOUBT * doubt);
	if (longer < bearable(limiter))
		accept_probe(limiter, time);
	else
		reject_probe(limiter);
}

/* What was known counts half as much as what is new. */
static void
learn_time(Limiter *limiter, LimiterTime time)
{
	LimiterTime *known = &limiter->time;
	double		longer = known->mean > 0 ? log(time.mean / known->mean) : 0;
	double		part = 2 * known->variance / (2 * known->variance + time.variance);

	if (known->mean == 0)
	{
		*known = time;
		if (limiter->starting)
			limiter->up = time.mean < LONG_US;
	}
	else if (fabs(longer) > CHANGED && fabs(longer) > CHANGED_DOUBT * sqrt(known->variance + time.variance))
	{
		*known = time;
		limiter->up = longer < 0;
		limiter->step = limiter->nfailed = 0;
		rest(limiter, 0);
	}
	else
	{
		known->mean += part * (time.mean - known->mean);
		known->variance = part * time.variance;
	}
}

/* So many are too much, by what the destination has said. */
static void
lower(Limiter *limiter, int limit, int nwindows, int most)
{
	if (limiter->probe > 0)
		reject_probe(limiter);
	else
	{
		limiter->limit = Max(1, Min(limit, limiter->limit - 1));
		limiter->time.mean = 0;
		limiter->starting = false;
		limiter->step = LAST_STEP;
		rest(limiter, nwindows);
	}
	limiter->up = true;
	go_on(limiter, most);
}

/* A part of those that are missing is only late; if others have come in the meantime, they hang. */
static bool
is_over(Limiter *limiter)
{
	const LimiterWindow *window = &limiter->window;
	int			missing = window->size - window->nserved;

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
	return limiter->probe > 0 && !limiter->starting &&
		limiter->window.sum > limiter->window.size * limiter->time.mean * bearable(limiter);
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
		limiter->time.mean = 0;
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
	else if (of_window)
		window->taken--;		/* another one in its place */
	window->nrefused += says == LIMITER_TOO_MANY && of_window;
	window->nunanswered += says == LIMITER_NO_ANSWER;

	if (says == LIMITER_TOO_MANY)
	{
		if (window->nrefused >= FEW_REFUSED && window->nrefused * REFUSED_PART > window->nserved)
			lower(limiter, (int) (limiter->limit * (limiter->starting ? 0.5 : 0.9)), Max(limiter->next_rest, 1), most);
	}
	else if (says == LIMITER_NO_ANSWER)
	{
		int			n = window->nunanswered;

		/* what hung had a place that was of no use: one for each */
		if (n >= FEW_UNANSWERED && n * UNANSWERED_PART > window->nserved + window->nothers)
		{
			lower(limiter, limiter->limit - 1, MAX_REST, most);
			limiter->window.nunanswered = n;
		}
	}
	else if (is_hopeless(limiter))
	{
		reject_probe(limiter);
		go_on(limiter, most);
	}
	else if (is_over(limiter))
	{
		if (!was_tried)
			limiter->rest = Max(limiter->rest, 1);	/* as many were not in flight */
		else if (limiter->probe > 0 && window->nserved > 0)
			judge_probe(limiter, window_time(limiter));
		else if (limiter->probe > 0)
			reject_probe(limiter);
		else if (window->nserved > 0)
			learn_time(limiter, window_time(limiter));
		go_on(limiter, most);
	}
}
