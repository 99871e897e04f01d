/*-------------------------------------------------------------------------
 *
 * tally_counts.c
 *		The numbers of a tally, which is an array of them, so that it costs one short
 *		row.
 *
 * First what came of all events ever, then how many deliveries took how long, then
 * rings: of the time that a ring is for it has so many pieces and one more, which is
 * under way, each with its columns, and before them the number of the newest one,
 * counted from 2000 on.
 *
 * Pure: no SQL, and no clock of its own.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "utils/timestamp.h"

#include "tables/tally_counts.h"

#define PIECES		13

typedef struct Ring
{
	int64		piece_us;
	int			pieces;
	int			columns;
	int			first;			/* of its numbers in the tally */
} Ring;

#define WINDOW(number)	(TALLY_EVER + TALLY_BUCKETS + (number) * (1 + PIECES * TALLY_LATELY))

static const Ring rings[] = {
	{5 * USECS_PER_SEC, PIECES, TALLY_LATELY, WINDOW(0)},
	{5 * 60 * USECS_PER_SEC, PIECES, TALLY_LATELY, WINDOW(1)},
	{2 * 3600 * USECS_PER_SEC, PIECES, TALLY_LATELY, WINDOW(2)},
	{30 * 60 * USECS_PER_SEC, 3, TALLY_BUCKETS, WINDOW(3)}
};

#define LATENCIES	(&rings[3])

StaticAssertDecl(WINDOW(3) + 1 + 3 * TALLY_BUCKETS == TALLY_COUNTS, "numbers of a tally");

/* Somebody may have written any number. */
static void
add(int64 *count, int64 n)
{
	*count = (int64) ((uint64) *count + (uint64) n);
}

static int64 *
piece(int64 *counts, const Ring *ring, int64 number)
{
	return counts + ring->first + 1 + (number % ring->pieces) * ring->columns;
}

/* What lies ahead of now was counted while the clock was ahead. */
static void
ring_add(int64 *counts, const Ring *ring, TimestampTz now, TimestampTz at, int column, int64 n)
{
	int64	   *newest = &counts[ring->first];
	int64		number = Max(Min(at, now), 0) / ring->piece_us;

	if (*newest < 0 || *newest > Max(now, 0) / ring->piece_us)
		*newest = 0;
	if (number - *newest >= ring->pieces)
		*newest = number - ring->pieces;
	while (*newest < number)
		memset(piece(counts, ring, ++*newest), 0, ring->columns * sizeof(int64));
	if (*newest - number < ring->pieces)
		add(&piece(counts, ring, number)[column], n);
}

static int64
ring_sum(const int64 *counts, const Ring *ring, int column, TimestampTz now)
{
	int64		last = Max(now, 0) / ring->piece_us;
	int64		newest = counts[ring->first];
	int64		sum = 0;

	for (int64 number = Max(last - ring->pieces + 1, 0); number <= Min(last, newest); number++)
	{
		if (newest - number < ring->pieces)
			add(&sum, piece(unconstify(int64 *, counts), ring, number)[column]);
	}
	return sum;
}

void
tally_add(int64 *counts, TimestampTz now, TimestampTz at, int what, int64 n)
{
	int			column = what >= 0 ? 0 : what == TALLY_EXPIRED ? -TALLY_ABORTED : -what;
	int			bucket = Min(what, TALLY_BUCKETS - 1);

	if (column >= TALLY_EVER)
		return;					/* by hand */
	add(&counts[column], n);
	if (what == TALLY_EXPIRED)
		add(&counts[-what], n);
	for (int i = 0; i < 3 && column < TALLY_LATELY; i++)
		ring_add(counts, &rings[i], now, at, column, n);
	if (what >= 0)
	{
		add(&counts[TALLY_EVER + bucket], n);
		ring_add(counts, LATENCIES, now, at, bucket, n);
	}
}

int64
tally_lately(const int64 *counts, int window, int column, TimestampTz now)
{
	return ring_sum(counts, &rings[window], column, now);
}

int64
tally_latency(const int64 *counts, int bucket, TimestampTz now)
{
	return ring_sum(counts, LATENCIES, bucket, now);
}

static double
bucket_ms(int bucket)
{
	return TALLY_SHORTEST_US / 1000.0 * pow(2, bucket / 2.0);
}

/* Within a bucket, as if those in it were spread evenly. */
double
tally_quantile(const int64 *counts, double part, TimestampTz now)
{
	double		sums[TALLY_BUCKETS];
	double		all = 0;
	double		before = 0;

	for (int i = 0; i < TALLY_BUCKETS; i++)
		all += sums[i] = (double) tally_latency(counts, i, now);
	for (int i = 0; i < TALLY_BUCKETS && all > 0; i++)
	{
		double		shortest = i == 0 ? 0 : bucket_ms(i - 1);

		if (sums[i] > 0 && before + sums[i] >= part * all)
			return shortest + (bucket_ms(i) - shortest) * (part * all - before) / sums[i];
		before += sums[i];
	}
	return -1;
}

int
tally_bucket(int64 duration_us)
{
	static double bounds_us[TALLY_BUCKETS];
	int			bucket = 0;

	for (int i = 0; i < TALLY_BUCKETS && bounds_us[0] == 0; i++)
		bounds_us[TALLY_BUCKETS - 1 - i] = bucket_ms(TALLY_BUCKETS - 1 - i) * 1000.0;
	while (bucket < TALLY_BUCKETS - 1 && (double) duration_us > bounds_us[bucket])
		bucket++;
	return bucket;
}
