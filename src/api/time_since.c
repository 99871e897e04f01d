/*-------------------------------------------------------------------------
 *
 * time_since.c
 *		How long something has been waiting, for rswebhook.status, and in what order
 *		times were.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/compat.h"
#include "fmgr.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

SQL_FUNCTION(rswebhook_time_since);

Datum
rswebhook_time_since(PG_FUNCTION_ARGS)
{
	Interval   *result = palloc0(sizeof(Interval));

	clock_note();
	result->time = clock_age(PG_GETARG_TIMESTAMPTZ(0), clock_now());
	return DirectFunctionCall1(interval_justify_hours, IntervalPGetDatum(result));
}

SQL_FUNCTION(rswebhook_clock_order);

Datum
rswebhook_clock_order(PG_FUNCTION_ARGS)
{
	clock_note();
	PG_RETURN_INT32(clock_order(PG_GETARG_TIMESTAMPTZ(0), PG_GETARG_TIMESTAMPTZ(1)));
}
