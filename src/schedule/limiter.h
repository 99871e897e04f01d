/*-------------------------------------------------------------------------
 *
 * limiter.h
 *		How many requests at once help a destination.
 *
 * Pure: it is told of answers, and has neither a clock nor a memory of its own.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_LIMITER_H
#define RSWEBHOOK_LIMITER_H

/* Requests that go to a destination of which nothing is known. */
#define LIMITER_START	4

/* What an answer says of how many are in flight. */
typedef enum LimiterSays
{
	LIMITER_SERVED,				/* in so long a time */
	LIMITER_TOO_MANY,			/* 429, or 503 */
	LIMITER_NO_ANSWER			/* its time was over */
} LimiterSays;

/* A mean of times, from when the limit has been what it is. */
typedef struct LimiterWindow
{
	int			skip;			/* answers to requests of before that come first */
	int			n;
	int			peak;			/* the most that were in flight; answers come together, and find ever less */
	int			nrefused;		/* beside them ... */
	int			nunanswered;	/* ... and these */
	double		sum;
	double		squares;
} LimiterWindow;

typedef enum LimiterPhase
{
	LIMITER_GROWS,				/* by one with each answer */
	LIMITER_SEARCHES,			/* by halves: where does it begin to be less? */
	LIMITER_STEADY
} LimiterPhase;

typedef struct Limiter
{
	double		limit;
	LimiterPhase phase;
	LimiterWindow window;
	int			round;			/* of LIMITER_GROWS: the limit when the window began */
	double		base;			/* the time of an answer while nothing queues; 0: not known */
	double		base_error;		/* as much may it be wrong */
	double		slow_limit;		/* the limit was lowered from there, 0: it was not, ... */
	double		slow_mean;		/* ... where an answer took so long */
	double		brim;			/* the limit that was too much last; 0: none was */
	int			patience;		/* how often in a row it was about that */
	int			nwindows;		/* since the last search ... */
	int			search_after;	/* ... which is to be again after so many */
} Limiter;

extern void limiter_init(Limiter *limiter);

/* So many may be in flight, if that is no more than the most. */
extern int	limiter_limit(const Limiter *limiter, int most);

/* An answer has come of a destination that has so many in flight, this one included. */
extern void limiter_note(Limiter *limiter, LimiterSays says, double took_us, int in_flight, int most);

#endif							/* RSWEBHOOK_LIMITER_H */
