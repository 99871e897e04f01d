/*-------------------------------------------------------------------------
 *
 * tally.c
 *		Unit tests of how many events came to what, of late and ever.
 *
 * rooms: tables/tally_counts.c
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include "utils/timestamp.h"

#include "tables/tally_counts.h"

#define SECOND	USECS_PER_SEC
#define HOUR	(3600 * SECOND)

/* Some day, at the beginning of a piece of each ring. */
#define NOON	(INT64CONST(9000) * 24 * HOUR + 12 * HOUR)

static int64 counts[TALLY_COUNTS];

static void
begin(void)
{
	memset(counts, 0, sizeof(counts));
}

static void
test_windows(void)
{
	static const int64 lengths[] = {60 * SECOND, HOUR, 24 * HOUR};

	for (int window = 0; window < 3; window++)
	{
		int64		length = lengths[window];

		begin();
		tally_add(counts, NOON, NOON, TALLY_RETRIED, 3);
		is_int(tally_lately(counts, window, -TALLY_RETRIED, NOON), 3, "what is new counts");
		is_int(tally_lately(counts, window, -TALLY_RETRIED, NOON + length), 3, "and until the window has passed");
		is_int(tally_lately(counts, window, -TALLY_RETRIED, NOON + length + length / 12), 0,
			   "and a twelfth after that no more");
		is_int(tally_lately(counts, window, 0, NOON), 0, "nor as anything else");
		is_int(counts[-TALLY_RETRIED], 3, "but as what came ever");
	}
}

/* Against all that happened, kept as it is. */
static void
test_steps(void)
{
	static TimestampTz at[2000];
	TimestampTz now = NOON;
	uint32		seed = 1;
	int			wrong = 0;

	begin();
	for (int i = 0; i < lengthof(at); i++)
	{
		TimestampTz begin_of_window;
		int			sum = 0;

		seed = seed * 1103515245 + 12345;
		now += (seed >> 16) % (7 * SECOND);
		if (seed % 97 == 0)
			now += 90 * SECOND;
		/* what is added up late */
		at[i] = now - (seed >> 8) % (30 * SECOND);
		tally_add(counts, now, at[i], TALLY_ABORTED, 1);
		begin_of_window = (now / (5 * SECOND) - 12) * 5 * SECOND;
		for (int j = 0; j <= i; j++)
			sum += at[j] >= begin_of_window;
		wrong += tally_lately(counts, 0, -TALLY_ABORTED, now) != sum;
	}
	is_int(wrong, 0, "a minute is the last twelve pieces and the one that is under way");
	is_int(counts[-TALLY_ABORTED], lengthof(at), "and ever is ever");
}

static void
test_clock(void)
{
	begin();
	tally_add(counts, NOON + 48 * HOUR, NOON + 48 * HOUR, TALLY_REFUSED, 5);
	is_int(tally_lately(counts, 2, -TALLY_REFUSED, NOON), 0, "what lies ahead does not count");
	tally_add(counts, NOON, NOON, TALLY_REFUSED, 1);
	is_int(tally_lately(counts, 2, -TALLY_REFUSED, NOON), 1, "once the clock is set back, only what comes then");
	is_int(tally_lately(counts, 2, -TALLY_REFUSED, NOON + 48 * HOUR), 0, "and not when that time comes");
	tally_add(counts, NOON, NOON - 23 * HOUR, TALLY_REFUSED, 1);
	is_int(tally_lately(counts, 2, -TALLY_REFUSED, NOON), 2, "what is added up very late");
	is_int(tally_lately(counts, 1, -TALLY_REFUSED, NOON), 1, "where it still belongs");
	is_int(counts[-TALLY_REFUSED], 7, "and all of it ever");
	tally_add(counts, NOON, PG_INT64_MIN, TALLY_REFUSED, 1);
	tally_add(counts, PG_INT64_MIN, PG_INT64_MAX, TALLY_REFUSED, 1);
	is_int(counts[-TALLY_REFUSED], 9, "no time is too far away");
	for (int i = 0; i < TALLY_COUNTS; i++)
		counts[i] = i % 2 ? PG_INT64_MIN : PG_INT64_MAX;
	tally_add(counts, NOON, NOON, 7, PG_INT64_MAX);
	tally_add(counts, NOON, NOON, 30000, PG_INT64_MAX);
	tally_add(counts, NOON, NOON, -30000, PG_INT64_MAX);
	(void) tally_lately(counts, 0, 0, NOON);
	(void) tally_quantile(counts, 0.5, NOON);
	ok(true, "whatever numbers somebody has written");
}

static void
test_kinds(void)
{
	begin();
	tally_add(counts, NOON, NOON, TALLY_EXPIRED, 2);
	tally_add(counts, NOON, NOON, TALLY_ABORTED, 1);
	is_int(counts[-TALLY_ABORTED], 3, "what has expired was given up");
	is_int(counts[-TALLY_EXPIRED], 2, "and counts by itself");
	is_int(tally_lately(counts, 0, -TALLY_ABORTED, NOON), 3, "of late, too");
	tally_add(counts, NOON, NOON, TALLY_SUNK, 4);
	is_int(counts[-TALLY_SUNK], 4, "a sink's");
}

static void
test_latency(void)
{
	is_int(tally_bucket(0), 0, "no time is in the first bucket");
	is_int(tally_bucket(100), 0, "and so is its bound");
	is_int(tally_bucket(101), 1, "not what is more");
	is_int(tally_bucket(200), 2, "twice as long is two further on");
	is_int(tally_bucket(PG_INT64_MAX), TALLY_BUCKETS - 1, "what takes longest is in the last one");

	begin();
	ok(tally_quantile(counts, 0.5, NOON) < 0, "of nothing there is no median");
	for (int i = 1; i <= 1000; i++)
		tally_add(counts, NOON, NOON, tally_bucket(i * 1000), 1);	/* 1 ms to a second */
	is_between((int64) tally_quantile(counts, 0.5, NOON), 450, 550, "the median");
	is_between((int64) tally_quantile(counts, 0.95, NOON), 820, 1160, "most of them");
	is_between((int64) tally_quantile(counts, 0.99, NOON), 820, 1160, "nearly all");
	ok(tally_quantile(counts, 0.5, NOON + HOUR) > 0, "for an hour");
	ok(tally_quantile(counts, 0.5, NOON + 2 * HOUR) < 0, "not for two");
	is_int(counts[0], 1000, "they are delivered");
}

static void
tests(void)
{
	test_windows();
	test_steps();
	test_clock();
	test_kinds();
	test_latency();
}
