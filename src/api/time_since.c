/*-------------------------------------------------------------------------
 *
 * time_since.c
 *		The clocks for SQL: how long something has been waiting, in what order times
 *		were, and a sleep that goes by no clock that is set.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "base/clock.h"
#include "base/compat.h"
#include "destination/fields.h"

#define LONGEST_NAP		10		/* seconds */

SQL_FUNCTION(rswebhook_time_since);

Datum
rswebhook_time_since(PG_FUNCTION_ARGS)
{
	Interval   *result = palloc0(sizeof(Interval));

	clock_note();
	result->time = clock_age(PG_GETARG_TIMESTAMPTZ(0), clock_now());
	return DirectFunctionCall1(interval_justify_hours, IntervalPGetDatum(result));
}

/* What a timestamptz may be. */
static TimestampTz
shown(TimestampTz at)
{
	return Min(Max(at, MIN_TIMESTAMP), END_TIMESTAMP - 1);
}

SQL_FUNCTION(rswebhook_clock_before);

Datum
rswebhook_clock_before(PG_FUNCTION_ARGS)
{
	clock_note();
	PG_RETURN_TIMESTAMPTZ(shown(clock_before(destination_window(PG_GETARG_INTERVAL_P(0)), clock_now())));
}

SQL_FUNCTION(rswebhook_clock_latest);

Datum
rswebhook_clock_latest(PG_FUNCTION_ARGS)
{
	clock_note();
	PG_RETURN_TIMESTAMPTZ(shown(clock_latest(destination_window(PG_GETARG_INTERVAL_P(0)), clock_now())));
}

SQL_FUNCTION(rswebhook_nap);

Datum
rswebhook_nap(PG_FUNCTION_ARGS)
{
	double		seconds = Min(Max(PG_GETARG_FLOAT8(0), 0), LONGEST_NAP);
	Instant		until = clock_now() + (Instant) (seconds * USECS_PER_SEC);
	Instant		left;

	while ((left = until - clock_now()) > 0)
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, (long) (left / 1000 + 1),
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
	PG_RETURN_VOID();
}

SQL_FUNCTION(rswebhook_clock_order);

Datum
rswebhook_clock_order(PG_FUNCTION_ARGS)
{
	clock_note();
	PG_RETURN_INT32(clock_order(PG_GETARG_TIMESTAMPTZ(0), PG_GETARG_TIMESTAMPTZ(1)));
}
