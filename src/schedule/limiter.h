/*-------------------------------------------------------------------------
 *
 * limiter.h
 *		How many requests at once help a destination.
 *
 * Pure: it is told of requests and answers, and has neither a clock nor a memory of its own.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_LIMITER_H
#define RSWEBHOOK_LIMITER_H

/* Requests that go to a destination of which nothing is known. */
#define LIMITER_START	4

/* What became of a request says this of how many are in flight. */
typedef enum LimiterSays
{
	LIMITER_SERVED,				/* in so long a time */
	LIMITER_FAILED,				/* refused, or answered as badly */
	LIMITER_HUNG,				/* nothing, for long */
	LIMITER_NOTHING				/* anything else */
} LimiterSays;

/* Requests that began in a row, under one limit, and what became of them. */
typedef struct LimiterWindow
{
	int			size;			/* 0: it has not begun */
	int			taken;			/* of these */
	int			nserved;		/* likewise, ... */
	int			nfailed;
	int			nhung;
	double		sum;			/* ... what those that were served took */
	double		squares;
	int			nothers;		/* served meanwhile */
	int			peak;			/* the most that were in flight when one began */
} LimiterWindow;

/* What a good answer costs: what it takes, and what failed for it. */
typedef struct LimiterCost
{
	double		mean;			/* 0: not known */
	double		variance;		/* of this mean, with that as the unit */
	double		time;			/* what it takes */
} LimiterCost;

typedef struct Limiter
{
	int			limit;			/* the best that is known */
	LimiterCost cost;			/* of an answer with that */
	double		spread;			/* variance of a single one, with the mean as the unit */

	int			probe;			/* another limit that is being tried; 0: none is */
	bool		up;				/* the next probe is of more */
	bool		starting;		/* nothing has been too much yet */
	int			step;			/* how far away the next probe is */
	int			nworse;			/* probes so far away, in a row; -1: the last one was better */
	int			halved_from;	/* most have failed with that, and ever less; 0: they do not */
	bool		bad_weather;	/* most fail, and would if there was only one */
	int			rest;			/* windows before the next probe ... */
	int			next_rest;		/* ... and before the one after that, if it is no better */

	uint32		number;			/* of the window */
	LimiterWindow window;
	int			nhung;			/* of former windows, which have places besides the limit */
	uint32		hung_number;	/* the last one of these windows */
} Limiter;

extern void limiter_init(Limiter *limiter);

/* All begins anew, while some may be in flight. */
extern void limiter_reset(Limiter *limiter);

/* So many may be in flight, if that is no more than the most. */
extern int	limiter_limit(const Limiter *limiter, int most);

/* A request begins, and is one of so many in flight; limiter_note() wants what is returned. */
extern uint32 limiter_take(Limiter *limiter, int in_flight, int most);

/* And it is over. */
extern void limiter_note(Limiter *limiter, uint32 number, LimiterSays says, double took_us, int most);

#endif							/* RSWEBHOOK_LIMITER_H */
