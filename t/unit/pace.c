/*-------------------------------------------------------------------------
 *
 * pace.c
 *		Unit tests of how long a rate has to wait, and of stored breakers.
 *
 * rooms: schedule/pace.c schedule/places.c schedule/room.c destination/verdict.c
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include <math.h>

#include "schedule/lane.h"

/* What pace.c needs of others. */
TimestampTz
clock_wall(Instant at)
{
	return at;
}

static bool
take(int32 destination_id, int most)
{
	return true;
}

static bool
leave(int32 destination_id)
{
	return false;
}

static void
withdraw(int32 destination_id)
{
}

static void
rates_wait(void)
{
	static const Turns turns = {take, leave, withdraw};
	static const double rates[] = {1e-300, 1e-13, 1e-6, 1e-3, 1, 1e3, 1e6};
	static const int64 rest[] = {0, 1, 1000, USECS_PER_DAY};

	for (int nshares = 1; nshares <= 32; nshares += 31)
	{
		pace_init(0, nshares, &turns);
		pace_set_max_in_flight(100, 500, 1024 * 1024);
		for (int i = 0; i < lengthof(rates); i++)
		{
			Lane		lane = {0};
			QueueItem	item = {.lane = &lane};
			Instant		now = USECS_PER_SEC;
			Instant		begun = 0;
			int			sent = 0;
			int			looks = 0;
			Instant		shortest = PG_INT64_MAX;
			Instant		longest = 0;

			pace_init_lane(&lane, now);
			lane.nready = 1;
			lane.policy.max_in_flight = 32;
			lane.policy.rate_limit = rates[i];
			lane.configured = true;

			/* as the scheduler does it, which wakes up a little late now and then */
			while (sent < 100 && looks < 1000)
			{
				Instant		when = 0;

				looks++;
				if (pace_allows(&lane, now, &when))
				{
					if (!pace_take(&item, now))
						break;
					pace_leave(&item, now);
					if (sent++ == 1)
						begun = now;
					continue;
				}
				shortest = Min(shortest, when - now);
				longest = Max(longest, when - now);
				now = when + rest[looks % lengthof(rest)] % Max((int64) (1e6 / Max(rates[i], 1e-6)), 1);
			}
			is_between(shortest, 1, PG_INT64_MAX, "a rate waits for a time that comes");
			is_between(longest, 0, USECS_PER_DAY + 1, "and not for ever");
			is_between(sent, rates[i] < 1e-6 ? 1 : rates[i] < 1e-3 ? 2 : 100, 100,
					   "what may be sent is");
			if (rates[i] >= 1e-3)
				is_between(rint((double) (now - begun) * rates[i] / nshares / 1e6),
						   rates[i] / nshares <= 10 ? 97 : 0, 200, "at that rate");
		}
	}
}

/* Of which the table had nonsense. */
static void
stored_breakers(void)
{
	for (int i = 0; i < 3; i++)
	{
		Lane		lane = {.configured = true, .policy = {.max_in_flight = 1, .breaker_failures = 1,
		.max_backoff_us = USECS_PER_SEC}};
		Breaker		stored = {.opened_at = 1, .failures = i == 0 ? PG_INT32_MIN : PG_INT32_MAX,
		.next_probe_at = i == 2 ? 1 : INSTANT_NEVER};
		Instant		now = 10 * USECS_PER_SEC;
		Instant		when = 0;

		lane.nready = 1;
		pace_set_breaker(&lane, &stored, now);
		is_between(pace_allows(&lane, now, &when) ? 1 : when - now, 1, USECS_PER_SEC,
				   "a breaker is bounded");
		is_between(lane.failing, 0, PG_INT32_MAX, "its count too");
	}
}

static void
tests(void)
{
	rates_wait();
	stored_breakers();
}
