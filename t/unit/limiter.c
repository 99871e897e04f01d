/*-------------------------------------------------------------------------
 *
 * limiter.c
 *		Unit tests of how many requests at once help a destination, against
 *		receivers that are simulated.
 *
 * rooms: schedule/limiter.c
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include <math.h>

#include "schedule/limiter.h"

#define MS			1000.0
#define SECOND		(1000 * MS)
#define MOST		256			/* max_in_flight */
#define NSEEDS		4
#define TIMEOUT		(10 * SECOND)

typedef enum Kind
{
	ANSWERS,					/* in the same time, however many there are */
	QUEUES,						/* beyond its capacity they wait for each other */
	SHARES,						/* likewise, all take longer */
	REFUSES,					/* 429 beyond it */
	COLLAPSES,					/* beyond it all take far longer, and it does less */
	HANGS						/* no answer beyond it */
} Kind;

typedef enum Noise
{
	EXACT,
	JITTER,						/* from 0.7 to 1.3 of the mean */
	SKEWED,						/* now and then far more */
	EXPONENTIAL
} Noise;

typedef struct Receiver
{
	Kind		kind;
	Noise		noise;
	int			capacity;		/* requests at once */
	double		latency;		/* while it has no more than these */
	double		distance;		/* the part of this that is spent on the way */
	double		flaky;			/* so many fail, however few there are */
	double		refusal;		/* what it takes to fail; 0: a millisecond */
	double		free_at[MOST];	/* of QUEUES, each of its servers */
} Receiver;

typedef struct Request
{
	double		taken_at;
	double		answer_at;
	bool		refused;
	bool		unanswered;
	uint32		number;			/* of limiter_take() */
} Request;

static Request requests[MOST];
static int	in_flight;
static double time_us;
static uint64 seed;

/* What was seen in some seconds. */
typedef struct Seen
{
	double		rate;			/* answers a second */
	double		latency;
	double		failed;			/* so many for each of these */
	int			lowest;			/* the limit */
	int			highest;
} Seen;

static double
uniform(void)
{
	seed = seed * UINT64CONST(6364136223846793005) + UINT64CONST(1442695040888963407);
	return ((seed >> 11) + 0.5) / UINT64CONST(9007199254740992);
}

static double
service(const Receiver *receiver)
{
	double		mean = receiver->latency - receiver->distance;

	switch (receiver->noise)
	{
		case JITTER:
			return mean * (0.7 + 0.6 * uniform());
		case SKEWED:
			return mean * exp(0.5 * sqrt(-2 * log(uniform())) * cos(2 * M_PI * uniform()) - 0.125);
		case EXPONENTIAL:
			return -mean * log(uniform());
		default:
			return mean;
	}
}

/* When one of its servers has done a request that is there at this time. */
static double
served_at(Receiver *receiver, double at, double takes)
{
	double	   *first = &receiver->free_at[0];

	for (int i = 1; i < receiver->capacity; i++)
		if (receiver->free_at[i] < *first)
			first = &receiver->free_at[i];
	return *first = Max(*first, at) + takes;
}

static void
take(Limiter *limiter, Receiver *receiver, int most)
{
	double		takes = service(receiver);
	double		load = Max(1, (in_flight + 1.0) / receiver->capacity);
	int			nserved = 0;
	Request    *request = &requests[in_flight];

	double		refusal = receiver->refusal > 0 ? receiver->refusal : MS;

	request->taken_at = time_us;
	request->unanswered = false;
	request->refused = uniform() < receiver->flaky;
	for (int i = 0; (receiver->kind == REFUSES || receiver->kind == HANGS) && i < in_flight; i++)
		nserved += !requests[i].refused && !requests[i].unanswered;
	request->refused |= receiver->kind == REFUSES && nserved >= receiver->capacity;
	request->unanswered = receiver->kind == HANGS && nserved >= receiver->capacity;
	if (request->refused)
		takes = refusal;
	else if (request->unanswered)
		takes = TIMEOUT;
	else if (receiver->kind == QUEUES)
		takes = served_at(receiver, time_us + receiver->distance / 2, takes) - receiver->distance / 2 - time_us;
	else if (receiver->kind == SHARES)
		takes *= load;
	else if (receiver->kind == COLLAPSES)
		takes *= load * load * load;
	request->answer_at = time_us + receiver->distance + takes;
	in_flight++;
	request->number = limiter_take(limiter, in_flight, most);
}

/* A request that is over at once, while so many are in flight. */
static void
tell(Limiter *limiter, LimiterSays says, double took_us, int in_flight, int most)
{
	limiter_note(limiter, limiter_take(limiter, in_flight, most), says, took_us, most);
}

static void
answer(Limiter *limiter, int most, Seen *seen)
{
	Request    *first = &requests[0];

	for (int i = 1; i < in_flight; i++)
		if (requests[i].answer_at < first->answer_at)
			first = &requests[i];
	time_us = first->answer_at;
	limiter_note(limiter, first->number, first->refused ? LIMITER_FAILED : first->unanswered ? LIMITER_HUNG : LIMITER_SERVED, time_us - first->taken_at, most);
	if (first->refused || first->unanswered)
		seen->failed++;
	else
	{
		seen->rate++;
		seen->latency += time_us - first->taken_at;
	}
	*first = requests[--in_flight];
	seen->lowest = Min(seen->lowest, limiter_limit(limiter, most));
	seen->highest = Max(seen->highest, limiter_limit(limiter, most));
}

/* There is always something to send. */
static Seen
watch(Limiter *limiter, Receiver *receiver, double seconds, int most)
{
	Seen		seen = {.lowest = MOST};
	double		begin = time_us;

	while (time_us < begin + seconds * SECOND)
	{
		while (in_flight < limiter_limit(limiter, most))
			take(limiter, receiver, most);
		answer(limiter, most, &seen);
	}
	seen.latency /= seen.rate;
	seen.failed /= seen.rate;
	seen.rate /= (time_us - begin) / SECOND;
	return seen;
}

static void
begin(Limiter *limiter, int n)
{
	memset(limiter, 0, sizeof(*limiter));
	limiter_init(limiter);
	in_flight = 0;
	time_us = 0;
	seed = 7919 * n + 13;
	for (int i = 0; i < 5; i++)
		(void) uniform();
}

/*
 * After some seconds it gets as much as there is, and what it asks for does not wait: for
 * each seed, or by the mean of all.
 */
static void
finds(Receiver model, double warm_up, double least, bool each, const char *name)
{
	double		capacity = model.capacity / model.latency * SECOND;
	double		rate = 0;
	double		worst = 1;
	double		latency = 0;
	double		slowest = 0;

	if (model.kind == ANSWERS)
		capacity = MOST / model.latency * SECOND * (1 - model.flaky);
	else if (model.kind == QUEUES)
		capacity = Min(MOST / model.latency, model.capacity / (model.latency - model.distance)) * SECOND;
	for (int n = 0; n < NSEEDS; n++)
	{
		Receiver	receiver = model;
		Limiter		limiter;
		Seen		seen;

		begin(&limiter, n);
		(void) watch(&limiter, &receiver, warm_up, MOST);
		seen = watch(&limiter, &receiver, Max(5, 20000 / capacity), MOST);
		rate += seen.rate / capacity / NSEEDS;
		latency += seen.latency / model.latency / NSEEDS;
		worst = Min(worst, seen.rate / capacity);
		slowest = Max(slowest, seen.latency / model.latency);
	}
	if (!ok((each ? worst : rate) >= least && (each ? slowest : latency) <= 1.5, name))
		printf("#   kind %d, capacity %d, noise %d: rate %.2f, at the worst %.2f; latency %.2f, %.2f\n",
			   model.kind, model.capacity, model.noise, rate, worst, latency, slowest);
}

/* So many answers of each that it has at once, which are few a second with a few at once. */
#define SOON(capacity)	(5 + 15.0 / (capacity))
#define NOISY(capacity)	(5 + 75.0 / (capacity))

static void
capacities(void)
{
	static const int all[] = {1, 2, 3, 4, 8, 16, 32, 64, 100, 256};

	for (int i = 0; i < lengthof(all); i++)
	{
		int			capacity = all[i];
		Receiver	r = {.capacity = capacity, .latency = 50 * MS};

		for (r.noise = EXACT; r.noise <= SKEWED; r.noise++)
		{
			double		warm_up = r.noise == SKEWED ? NOISY(capacity) : SOON(capacity);

			r.kind = QUEUES;
			finds(r, warm_up, 0.9, true, "one that has so many places");
			r.kind = SHARES;
			finds(r, warm_up, 0.9, true, "one that gets slower");
			r.kind = REFUSES;
			finds(r, warm_up, 0.9, r.noise < SKEWED, "one that refuses what is too much");
			r.kind = COLLAPSES;
			if (capacity > 1)
				finds(r, warm_up, 0.9, r.noise < SKEWED, "one that collapses");
			r.kind = HANGS;
			if (r.noise < SKEWED && capacity > 1)
				finds(r, warm_up, 0.6, false, "one that leaves what is too much without an answer");
		}
		r.noise = EXPONENTIAL;
		r.kind = QUEUES;
		finds(r, NOISY(capacity), 0.9, false, "one whose answers take this time or that");
		r.kind = SHARES;
		if (capacity > 1)
			finds(r, NOISY(capacity), 0.9, false, "that, and gets slower");
		r.kind = REFUSES;
		finds(r, NOISY(capacity), 0.9, false, "or refuses");
		r.kind = COLLAPSES;
		if (capacity >= 8)
			finds(r, NOISY(capacity), 0.85, false, "or collapses");
	}
}

/* Some fail whatever is in flight: as soon as an answer comes, where it has an end at once. */
static void
flaky(void)
{
	static const double parts[] = {0.067, 0.2};
	Receiver	r = {.capacity = 32, .latency = 50 * MS};

	for (int i = 0; i < lengthof(parts); i++)
	{
		r.flaky = parts[i];
		for (r.noise = EXACT; r.noise <= EXPONENTIAL; r.noise++)
		{
			r.kind = ANSWERS;
			r.refusal = r.latency;
			finds(r, r.noise < EXPONENTIAL ? 8 : 25, 0.85, false, "one that is flaky, and has no end");
			r.refusal = MS;
			r.kind = QUEUES;
			finds(r, 8, 0.88, false, "one that is flaky, and queues");
			r.kind = SHARES;
			if (r.noise < EXPONENTIAL)
				finds(r, 8, 0.88, false, "or gets slower");
			r.kind = REFUSES;
			finds(r, 8, 0.85, false, "or refuses");
		}
	}
}

static void
distances(void)
{
	static const int all[] = {4, 16, 64, 256};
	Receiver	r = {.kind = ANSWERS, .capacity = MOST, .latency = 50 * MS};

	for (r.noise = EXACT; r.noise <= EXPONENTIAL; r.noise++)
	{
		r.latency = 50 * MS;
		finds(r, 5, 0.9, r.noise < EXPONENTIAL, "one that is far away, and has no end");
		r.latency = 200 * MS;
		finds(r, 15, 0.9, r.noise < EXPONENTIAL, "farther");
	}
	for (int i = 0; i < lengthof(all); i++)
	{
		Receiver	far = {.kind = QUEUES, .capacity = all[i], .latency = 200 * MS, .distance = 150 * MS};

		for (far.noise = EXACT; far.noise <= SKEWED; far.noise++)
			finds(far, 5 + (far.noise < SKEWED ? SOON(all[i]) : NOISY(all[i])), 0.9, far.noise < SKEWED, "far, with so many places");
	}
}

/* In how many round trips is all in use that may be? */
static void
starts(void)
{
	Receiver	r = {.kind = ANSWERS, .latency = 50 * MS};
	Limiter		limiter;
	Seen		seen = {0};

	begin(&limiter, 1);
	is_int(limiter_limit(&limiter, MOST), 4, "it starts with four");
	is_int(limiter_limit(&limiter, 3), 3, "or what there may be");
	while (limiter_limit(&limiter, MOST) < MOST && time_us < 10 * SECOND)
	{
		while (in_flight < limiter_limit(&limiter, MOST))
			take(&limiter, &r, MOST);
		answer(&limiter, MOST, &seen);
	}
	is_between(time_us / r.latency, 6, 7, "and doubles with each round trip");
}

/* Answers come together, and are seen to before anything is sent again. */
static void
come_together(void)
{
	Limiter		limiter;
	int			nrounds = 0;

	begin(&limiter, 1);
	for (; nrounds < 100 && limiter_limit(&limiter, MOST) < MOST; nrounds++)
	{
		for (int n = limiter_limit(&limiter, MOST); n > 0; n--)
			tell(&limiter, LIMITER_SERVED, 50 * MS, n, MOST);
	}
	is_between(nrounds, 6, 7, "those that come together count as well");
	limiter.limit = 9;
	limiter.probe = 0;
	for (nrounds = 0; nrounds < 100 && limiter_limit(&limiter, MOST) < MOST; nrounds++)
	{
		for (int n = limiter_limit(&limiter, MOST); n > 0; n--)
			tell(&limiter, LIMITER_SERVED, 50 * MS, n, MOST);
	}
	is_between(nrounds, 5, 30, "later, too");
}

/* A receiver that has few requests to answer shows nothing of how many it bears. */
static void
uses_few(void)
{
	Receiver	r = {.kind = ANSWERS, .latency = 50 * MS};
	Limiter		limiter;
	Seen		seen = {0};

	begin(&limiter, 1);
	for (int i = 0; i < 10000; i++)
	{
		while (in_flight < 3)
			take(&limiter, &r, MOST);
		answer(&limiter, MOST, &seen);
	}
	is_between(limiter_limit(&limiter, MOST), 4, 8, "what is not used does not grow");
}

/* It is slower by itself, whatever is sent; or faster; or bears more or less than it did. */
static void
changes(void)
{
	Receiver	r = {.kind = ANSWERS, .capacity = MOST, .latency = 50 * MS};
	Limiter		limiter;
	Seen		seen;

	begin(&limiter, 1);
	(void) watch(&limiter, &r, 5, MOST);
	r.latency = 120 * MS;
	(void) watch(&limiter, &r, 5, MOST);
	seen = watch(&limiter, &r, 20, MOST);
	is_between(seen.rate, 0.9 * MOST / 0.12, MOST / 0.12, "one that is slower by itself gets as much");
	r.latency = 30 * MS;
	(void) watch(&limiter, &r, 5, MOST);
	seen = watch(&limiter, &r, 20, MOST);
	is_between(seen.rate, 0.9 * MOST / 0.03, MOST / 0.03, "and so if it is fast again");

	begin(&limiter, 1);
	r = (Receiver) {.kind = QUEUES, .capacity = 100, .latency = 50 * MS};
	(void) watch(&limiter, &r, 10, MOST);
	r.capacity = 40;
	(void) watch(&limiter, &r, 10, MOST);
	seen = watch(&limiter, &r, 20, MOST);
	is_between(seen.rate, 0.9 * 40 / 0.05, 41 / 0.05, "one that bears less than before");
	is_between(seen.latency, 50 * MS, 75 * MS, "does not let them wait");
	for (int i = 40; i < 150; i++)
		r.free_at[i] = time_us;
	r.capacity = 150;
	(void) watch(&limiter, &r, 15, MOST);
	seen = watch(&limiter, &r, 20, MOST);
	is_between(seen.rate, 0.9 * 150 / 0.05, 151 / 0.05, "and more again");
}

/* What is answered within milliseconds is not slow, however much less it was before. */
static void
soon_is_soon(void)
{
	Receiver	r = {.kind = QUEUES, .capacity = 8, .latency = MS / 4};
	Limiter		limiter;

	begin(&limiter, 1);
	(void) watch(&limiter, &r, 5, MOST);
	is_int(limiter_limit(&limiter, MOST), MOST, "a queue of some milliseconds is none");
}

/* So many of a hundred fail, whatever is in flight, when all that may be is answered in rounds. */
static void
rounds(Limiter *limiter, int nrounds, int percent)
{
	while (nrounds-- > 0)
	{
		int			n = limiter_limit(limiter, MOST);
		uint32		numbers[MOST];

		for (int i = 0; i < n; i++)
			numbers[i] = limiter_take(limiter, i + 1, MOST);
		for (int i = 0; i < n; i++)
			limiter_note(limiter, numbers[i], uniform() * 100 < percent ? LIMITER_FAILED : LIMITER_SERVED, 50 * MS, MOST);
	}
}

/* What fails as often with fewer in flight is no reason for these. */
static void
weather(void)
{
	static const int percents[] = {0, 2, 7, 20, 40, 70, 90, 100};

	for (int i = 0; i < lengthof(percents); i++)
	{
		int			slow = 0;

		for (int n = 0; n < NSEEDS; n++)
		{
			Limiter		limiter;

			begin(&limiter, n);
			rounds(&limiter, 100, 0);
			for (int k = 0; k < 200; k++)
			{
				rounds(&limiter, 1, percents[i]);
				slow += k >= 100 && limiter_limit(&limiter, MOST) < MOST / 2;
			}
		}
		if (!ok(slow <= NSEEDS * 100 / 4, "however many fail anyway, all go that may"))
			printf("#   %d of a hundred fail: %d of %d rounds with few\n", percents[i], slow, NSEEDS * 100);
	}
}

/* It serves fewer than it did, and refuses all others at once: how many are refused until that is known? */
static void
serves_fewer(void)
{
	Receiver	r = {.kind = REFUSES, .capacity = 200, .latency = 50 * MS};
	Limiter		limiter;
	Seen		seen;

	begin(&limiter, 1);
	(void) watch(&limiter, &r, 5, MOST);
	r.capacity = 20;
	seen = watch(&limiter, &r, 1, MOST);
	is_between(seen.failed * seen.rate, 0, 2000, "it is soon known that it serves fewer");
	seen = watch(&limiter, &r, 5, MOST);
	is_between(seen.rate, 0.85 * 20 / 0.05, 20 / 0.05, "and all of these go");
	seen = watch(&limiter, &r, 20, MOST);
	is_between(seen.rate, 0.9 * 20 / 0.05, 20 / 0.05, "for as long as it is so");
	is_between(100 * seen.failed, 0, 3, "and next to none is refused");
	r.capacity = 200;
	(void) watch(&limiter, &r, 20, MOST);
	seen = watch(&limiter, &r, 20, MOST);
	is_between(seen.rate, 0.9 * 200 / 0.05, 200 / 0.05, "and that it serves more again");
}

/* Whatever comes, and however the most changes, it is within bounds. */
static void
anything(void)
{
	Limiter		limiter;
	bool		good = true;

	begin(&limiter, 1);
	for (int i = 0; i < 1000000; i++)
	{
		int			most = i % 10000 < 5000 ? 1 + i / 10000 * 7 : 10000;
		int			limit = limiter_limit(&limiter, most);

		good &= limit >= 1 && limit <= most && limiter.limit >= 1 && !isnan(limiter.cost.mean);
		tell(&limiter, uniform() < 0.02 ? LIMITER_FAILED : uniform() < 0.02 ? LIMITER_FAILED : LIMITER_SERVED,
					 uniform() < 0.1 ? 0 : 1e6 * uniform() * uniform(), 1 + uniform() * 2 * limit, most);
	}
	ok(good, "it is always something that may be");
}

static void
tests(void)
{
	starts();
	come_together();
	uses_few();
	soon_is_soon();
	weather();
	serves_fewer();
	changes();
	anything();
	distances();
	flaky();
	capacities();
}
