/*-------------------------------------------------------------------------
 *
 * limiter.c
 *		How many requests at once help a destination.
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

/* A mean is known when its standard error is such a part of it, or after so many. */
#define FEW				16
#define MANY			128
#define EXACTLY			0.08

/* Answers of one user may ask for less, or be missing: it takes as many, and such a part of all. */
#define FEW_REFUSED		2
#define REFUSED_PART	20
#define FEW_UNANSWERED	4
#define UNANSWERED_PART	4

/* Times the base: up to here it may grow, beyond that and all doubt it shrinks. */
#define MAY_GROW		1.1
#define TOO_SLOW		1.15
#define DOUBT			2
#define AFTER_TOO_SLOW	1.02

/* A step beyond what was too much last, and one below that. */
#define STEP			0.25
#define STEP_BELOW		0.5
#define MAX_PATIENCE	3

/* The base is learnt anew after so many windows, twice as many each time. */
#define SEARCH_FIRST	4
#define SEARCH_LAST		128

void
limiter_init(Limiter *limiter)
{
	memset(limiter, 0, sizeof(*limiter));
	limiter->limit = limiter->round = LIMITER_START;
	limiter->search_after = SEARCH_FIRST;
}

int
limiter_limit(const Limiter *limiter, int most)
{
	return (int) Max(1, Min(limiter->limit, most));
}

static double
window_mean(const LimiterWindow *window)
{
	return window->sum / window->n;
}

static double
window_error(const LimiterWindow *window)
{
	double		mean = window_mean(window);

	return sqrt(Max(0, window->squares / window->n - mean * mean) / window->n);
}

static void
begin_window(Limiter *limiter, int skip)
{
	memset(&limiter->window, 0, sizeof(limiter->window));
	limiter->window.skip = skip;
}

/* What is in flight from before comes first; of more than there may be now, the longest last. */
static void
set_limit(Limiter *limiter, double limit, int in_flight)
{
	int			before = (int) limiter->limit;
	int			after = (int) Max(1, limit);

	limiter->limit = Max(1, limit);
	begin_window(limiter, after == before ? 0 : after < before ? 2 * in_flight : after);
}

/* Less in flight, as so many are too much; all else follows from what that brings. */
static void
shrink(Limiter *limiter, double part, int in_flight)
{
	double		was = limiter->limit;

	if (limiter->brim > 0 && was > 0.8 * limiter->brim && was < 1.25 * limiter->brim)
		limiter->patience = Min(limiter->patience + 1, MAX_PATIENCE);
	else
		limiter->patience = 0;
	limiter->brim = was;
	set_limit(limiter, Min(was * part, Max(was - 1, 1)), in_flight);
}

static void
search_from(Limiter *limiter, double limit, int in_flight)
{
	limiter->phase = LIMITER_SEARCHES;
	limiter->slow_limit = limiter->slow_mean = 0;
	limiter->nwindows = 0;
	set_limit(limiter, limit, in_flight);
	limiter->window.skip = in_flight;
}

/* Is it slower than what it takes while nothing queues, beyond doubt? */
static bool
is_too_slow(const Limiter *limiter, double mean, double error)
{
	return mean - TOO_SLOW * limiter->base > DOUBT * hypot(error, TOO_SLOW * limiter->base_error);
}

static void
set_base(Limiter *limiter, double mean, double error)
{
	limiter->base = mean;
	limiter->base_error = error;
}

/*
 * Each answer lets one more go, so that there are twice as many with each round.  The first
 * ones to come are the soonest, so what a round takes is a hint only.
 */
static void
grow(Limiter *limiter, double mean, double error, int in_flight, int most)
{
	if (limiter->base == 0 || (mean < limiter->base && limiter->brim == 0))
		set_base(limiter, mean, error);
	if (is_too_slow(limiter, mean, error))
		search_from(limiter, limiter->round, in_flight);
	else if (limiter->limit >= most && mean > SOON_US)
		search_from(limiter, most, in_flight);
	else
	{
		if (limiter->limit >= most)
			limiter->phase = LIMITER_STEADY;
		limiter->round = (int) limiter->limit;
		begin_window(limiter, 0);
	}
}

/*
 * With half of it in flight, is an answer there in half of the time?  Then it was too
 * much, and so may this be.  Otherwise this is what it takes while nothing queues.
 */
static void
search(Limiter *limiter, double mean, double error, int in_flight, int most)
{
	double		limit = (int) limiter->limit;
	double		from = limiter->slow_limit;

	set_base(limiter, mean, error);
	if (from > 0 && mean > limiter->slow_mean * sqrt(limit / from))
		limit = from;
	else if (limit > 1)
	{
		limiter->slow_limit = limit;
		limiter->slow_mean = mean;
		set_limit(limiter, ((int) limit + 1) / 2, in_flight);
		return;
	}
	limiter->phase = LIMITER_STEADY;
	limiter->slow_limit = 0;
	set_limit(limiter, limit, in_flight);
}

static void
steady(Limiter *limiter, double mean, double error, int in_flight, int most)
{
	double		limit = limiter->limit;
	double		ratio;
	double		step;

	if (limiter->base == 0 || limit < 2)
		set_base(limiter, mean, error);
	else if (mean < 0.9 * limiter->base)
		set_base(limiter, (mean + limiter->base) / 2, error);
	ratio = mean / limiter->base;

	/* if less in flight has not made it faster, it was not for that */
	if (limiter->slow_limit > 0 && limit <= 0.75 * limiter->slow_limit &&
		mean > limiter->slow_mean * sqrt(limit / limiter->slow_limit))
	{
		set_base(limiter, mean, error);
		limit = limiter->slow_limit;
		limiter->slow_limit = limiter->brim = limiter->patience = 0;
		set_limit(limiter, limit, in_flight);
		return;
	}
	if (is_too_slow(limiter, mean, error))
	{
		if (limiter->slow_limit == 0)
		{
			limiter->slow_limit = limit;
			limiter->slow_mean = mean;
		}
		shrink(limiter, Max(AFTER_TOO_SLOW / ratio, 0.5), in_flight);
		return;
	}
	limiter->slow_limit = 0;
	if (++limiter->nwindows >= limiter->search_after && limit >= 2 && mean > SOON_US)
	{
		limiter->search_after = Min(2 * limiter->search_after, SEARCH_LAST);
		search_from(limiter, limit, in_flight);
		search(limiter, mean, error, in_flight, most);
		return;
	}
	if (limit > 1.25 * limiter->brim)
		limiter->brim = limiter->patience = 0;	/* it was not too much, then */
	if (ratio < MAY_GROW && limit < most)
	{
		step = 1 + (limiter->brim > 0 ? STEP / (1 << limiter->patience) : STEP_BELOW);
		if (limit * step < 0.95 * limiter->brim)
			step = Min(1 + STEP_BELOW, 0.95 * limiter->brim / limit);
		limit = Min(limit * step, most);
	}
	set_limit(limiter, limit, in_flight);
}

/* Is the mean known well enough? */
static bool
is_known(const Limiter *limiter)
{
	const LimiterWindow *window = &limiter->window;
	int			least = Max(FEW, (int) limiter->limit);

	return window->n >= least &&
		(window->n >= MANY || window_error(window) <= EXACTLY * window_mean(window));
}

void
limiter_note(Limiter *limiter, LimiterSays says, double took_us, int in_flight, int most)
{
	LimiterWindow *window = &limiter->window;
	bool		starting = limiter->phase == LIMITER_GROWS;
	double		mean;
	double		error;

	if (limiter->limit > most)
		set_limit(limiter, most, in_flight);
	if (window->skip > 0)
	{
		window->skip--;
		return;
	}
	window->nrefused += says == LIMITER_TOO_MANY;
	window->nunanswered += says == LIMITER_NO_ANSWER;
	if (says != LIMITER_SERVED)
	{
		bool		refused = window->nrefused >= FEW_REFUSED && window->nrefused * REFUSED_PART > window->n;
		bool		unanswered = window->nunanswered >= FEW_UNANSWERED && window->nunanswered * UNANSWERED_PART > window->n;

		if (!refused && !unanswered)
			return;
		limiter->phase = LIMITER_STEADY;
		limiter->slow_limit = 0;
		shrink(limiter, starting || unanswered ? 0.5 : 0.9, in_flight);
		return;
	}

	window->n++;
	window->peak = Max(window->peak, in_flight);
	window->sum += took_us;
	window->squares += took_us * took_us;
	if (starting && 2 * window->peak >= limiter->limit)
		limiter->limit = Min(limiter->limit + 1, most);
	if (starting ? window->n < limiter->round : !is_known(limiter))
		return;
	mean = Max(window_mean(window), SOON_US);
	error = window_error(window);
	if (!starting && window->peak < limiter_limit(limiter, most))
	{
		/* how many may be in flight has not been tried */
		if (mean < limiter->base)
			set_base(limiter, mean, error);
		begin_window(limiter, 0);
	}
	else if (starting)
		grow(limiter, mean, error, in_flight, most);
	else if (limiter->phase == LIMITER_SEARCHES)
		search(limiter, mean, error, in_flight, most);
	else
		steady(limiter, mean, error, in_flight, most);
}
