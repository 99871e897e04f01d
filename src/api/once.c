/*-------------------------------------------------------------------------
 *
 * once.c
 *		A message is sent to a destination once in a while only.
 *
 * It is known again by its messageId, as a receiver would know it.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "api/once.h"
#include "destination/fields.h"
#include "destination/values.h"
#include "tables/message.h"

static bool
check_range(const Interval *asked, Refusal *refusal)
{
	double		us = fields_interval_us(asked);

	return (us >= 0 && us <= MAX_WINDOW_US) ||
		refusal_set(refusal, ERRCODE_INVALID_PARAMETER_VALUE,
					psprintf("deduplicate is out of range: \"%s\"",
							 DatumGetCString(DirectFunctionCall1(interval_out, IntervalPGetDatum(asked)))),
					"It must be from 0 to 365 days.", "Leave it out for what the destination says.");
}

/* A string that is not empty. */
static bool
read_message_id(Prepared *prepared)
{
	JsonbValue	id;

	if (getKeyJsonValueFromContainer(&prepared->checked->root, "messageId", strlen("messageId"), &id) == NULL ||
		id.type != jbvString || id.val.string.len == 0)
		return false;
	prepared->message = message_hash(id.val.string.val, id.val.string.len);
	return true;
}

bool
once_prepare(const Interval *asked, Prepared *prepared, Refusal *refusal)
{
	bool		wanted = false;

	if (asked != NULL && !check_range(asked, refusal))
		return false;
	for (int i = 0; i < prepared->count; i++)
	{
		Taker	   *taker = &prepared->takers[i];

		taker->kept_us = taker->once_us;
		if (asked != NULL)
			taker->once_us = (int64) fields_interval_us(asked);
		taker->kept_us = Max(taker->kept_us, taker->once_us);
		wanted |= taker->once_us > 0;
	}
	prepared->once = wanted && read_message_id(prepared);
	return asked == NULL || !wanted || prepared->once ||
		refusal_set(refusal, ERRCODE_INVALID_PARAMETER_VALUE, "event without a \"messageId\" cannot be deduplicated",
					"Events are the same if they have the same messageId, a string.",
					"Give the event a messageId, or leave out deduplicate.");
}

Taker *
once_takers(const Prepared *prepared, int64 event_id, int *count, int64 *first)
{
	Taker	   *takers = palloc_extended(prepared->count * sizeof(Taker), MCXT_ALLOC_HUGE);

	*count = 0;
	*first = PG_INT64_MAX;
	for (int i = 0; i < prepared->count; i++)
	{
		const Taker *taker = &prepared->takers[i];
		int64		earlier;

		CHECK_FOR_INTERRUPTS();
		if (taker->once_us == 0 ||
			message_is_first(taker->destination_id, &prepared->message, event_id,
							 taker->once_us, taker->kept_us, &earlier))
			takers[(*count)++] = *taker;
		else
			*first = Min(*first, earlier);
	}
	return takers;
}
