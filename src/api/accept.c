/*-------------------------------------------------------------------------
 *
 * accept.c
 *		What may be sent, when, in which order and to whom.
 *
 * What could never be delivered is refused while somebody is there to hear it.
 * Nothing is written here.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/detoast.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "api/accept.h"
#include "base/clock.h"
#include "base/encoding.h"
#include "destination/check.h"
#include "destination/directory.h"
#include "destination/fields.h"
#include "destination/nearest.h"
#include "destination/problem.h"
#include "transform/json.h"
#include "transform/request.h"

int			rswebhook_max_event_size = 1024 * 1024;

#define MAX_ORDERING_KEY	1024

/* ---------------------------------------------------------------------
 * What the event says
 * ---------------------------------------------------------------------
 */
static bool
event_value(Jsonb *event, const char *key, JsonbValue *value)
{
	return getKeyJsonValueFromContainer(&event->root, key, strlen(key), value) != NULL;
}

/* A user's id as text; false if there is none. */
static bool
user_text(Jsonb *event, const char *key, char **text, int *len)
{
	JsonbValue	value;

	if (!event_value(event, key, &value))
		return false;
	if (value.type == jbvString)
	{
		*text = value.val.string.val;
		*len = value.val.string.len;
		return *len > 0;
	}
	if (value.type == jbvNumeric)
	{
		*text = DatumGetCString(DirectFunctionCall1(numeric_out,
													NumericGetDatum(value.val.numeric)));
		*len = strlen(*text);
		return true;
	}
	return false;
}

static int64
ordering_hash(const char *key, int len)
{
	return (int64) DatumGetUInt64(hash_any_extended((const unsigned char *) key, len, 0));
}

/*
 * False if nothing has to stay in order: neither a key was given (an empty one
 * says so explicitly) nor does the event name a user.
 */
bool
accept_ordering_hash(Jsonb *event, const char *given, int64 *hash)
{
	char	   *text;
	int			len;

	if (given != NULL)
	{
		if (given[0] == '\0')
			return false;
		*hash = ordering_hash(given, strlen(given));
		return true;
	}
	if (!JB_ROOT_IS_OBJECT(event) ||
		(!user_text(event, "userId", &text, &len) &&
		 !user_text(event, "anonymousId", &text, &len)))
		return false;
	*hash = ordering_hash(text, len);
	return true;
}

/* Headers of its own that a request cannot have, whatever the destination. */
static bool
accept_headers(Jsonb *event, Refusal *refusal)
{
	char	   *why;

	if (request_own_headers_fit(event, &why))
		return true;
	(void) refusal_set(refusal, ERRCODE_INVALID_PARAMETER_VALUE, "event has a \"header\" that cannot be sent",
					   problem_sentence(why), "Correct the key \"header\" of the event, or leave it out.");
	refusal->detail_quotes = true;
	return false;
}

/* Refuse what could never be delivered, while somebody is there to hear it. */
Jsonb *
accept_event(Datum datum, Enrichment enrichment, TimestampTz now, Refusal *refusal)
{
	Size		size = toast_raw_datum_size(datum) - VARHDRSZ;
	Jsonb	   *event;
	JsonbValue	status;

	/* before it is decompressed */
	if (!accept_size(size, refusal))
		return NULL;

	event = DatumGetJsonbP(datum);
	if (!JB_ROOT_IS_OBJECT(event))
	{
		(void) refusal_set(refusal, ERRCODE_INVALID_PARAMETER_VALUE, "event is not a JSON object", NULL,
					  js_is_quoted_json(event) ? JSON_QUOTED_HINT :
					  "An event is an object such as {\"type\": \"track\", \"event\": \"Order Completed\", \"userId\": \"u1\"}.");
		return NULL;
	}
	if (event_value(event, "statusCode", &status) && js_truthy(&status))
	{
		(void) refusal_set(refusal, ERRCODE_INVALID_PARAMETER_VALUE, "event with a \"statusCode\" cannot be sent",
					  "To the transform, such an event is a finished result and not something to make a request of.",
					  "Remove the key \"statusCode\", or put it into \"properties\".");
		return NULL;
	}
	if (!accept_headers(event, refusal))
		return NULL;
	if (gateway_is_wanted(enrichment))
	{
		event = gateway_pass(event, now, refusal);
		if (event == NULL || !accept_size(VARSIZE(event) - VARHDRSZ, refusal))
			return NULL;
	}
	request_check_size(event);
	return event;
}

bool
accept_size(Size size, Refusal *refusal)
{
	return size <= (Size) rswebhook_max_event_size ||
		refusal_set(refusal, ERRCODE_PROGRAM_LIMIT_EXCEEDED, "event is too large",
			   psprintf("The event has %zu bytes; at most %d are allowed.", size, rswebhook_max_event_size),
			   "Send less, or raise rswebhook.max_event_size.");
}

/* It is stored with the event, beside which it has no bound of its own. */
bool
accept_ordering_key(const char *key, Refusal *refusal)
{
	return key == NULL || strlen(key) <= MAX_ORDERING_KEY ||
		refusal_set(refusal, ERRCODE_PROGRAM_LIMIT_EXCEEDED, "ordering_key is too long",
			   psprintf("It has %zu bytes; at most %d are allowed.", strlen(key), MAX_ORDERING_KEY),
			   "A hash of it keeps the same order.");
}

/* ---------------------------------------------------------------------
 * Who takes it
 * ---------------------------------------------------------------------
 */

/* Told the same whether there is one of this name: it may be somebody else's. */
static bool
refuse_to_sender(const char *name, const Sender *sender, bool nameless, Refusal *refusal)
{
	(void) refusal_set(refusal, ERRCODE_INSUFFICIENT_PRIVILEGE,
				  psprintf("permission denied for destination \"%s\"", encoding_quotable(name, strlen(name))),
				  psprintf("Role \"%s\" may send only to the destinations that it was granted.",
						   GetUserNameFromId(sender->role, false)),
				  "The owner of the extension grants them with rswebhook_grant_send().");
	refusal->denied = true;
	refusal->nameless = nameless;
	return false;
}

bool
accept_sender(const char *name, const Sender *sender, NamedDestination *dest, Refusal *refusal)
{
	if (!destination_named(name, dest))
		*dest = (NamedDestination) {0};
	return sender->everywhere || (dest->id != 0 && sender_may_send(sender, dest->id)) ||
		refuse_to_sender(name, sender, dest->id == 0, refusal);
}

/* An order, not an offer: filters have no say. */
Taker *
accept_named(const char *name, const NamedDestination *dest, int *count, Refusal *refusal)
{
	Taker	   *chosen = palloc(sizeof(Taker));

	*count = 0;
	if (dest->id == 0)
	{
		(void) refusal_set(refusal, ERRCODE_UNDEFINED_OBJECT,
					  psprintf("destination \"%s\" does not exist", encoding_quotable(name, strlen(name))),
					  NULL, nearest_destination_hint(name, NEAREST_OTHERWISE));
		return NULL;
	}
	if (dest->problem != NULL)
	{
		(void) refusal_set(refusal, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
					  psprintf("destination \"%s\" cannot be used", name),
					  dest->problem, "Correct the row of rswebhook.destination.");
		return NULL;
	}
	*chosen = (Taker) {dest->id, dest->parts, dest->once_us, 0};
	*count = 1;
	return chosen;
}

Taker *
accept_takers(Jsonb *event, bool alert, const Sender *sender, int *count)
{
	Taker	   *takers = destination_takers(event, alert, count);
	int			ntakers = *count;

	if (sender->everywhere)
		return takers;
	*count = 0;
	for (int i = 0; i < ntakers; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (sender_may_send(sender, takers[i].destination_id))
			takers[(*count)++] = takers[i];
	}
	return takers;
}

/* ---------------------------------------------------------------------
 * When
 * ---------------------------------------------------------------------
 */

static TimestampTz
a_year_after(TimestampTz now)
{
	Interval	year = {.month = MONTHS_PER_YEAR};

	return DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval, TimestampTzGetDatum(now),
												   PointerGetDatum(&year)));
}

/* deliver_after, or NO_TIME if it is no later than now. */
static bool
accept_delivery_time(const TimestampTz *deliver_after, TimestampTz now, TimestampTz *at, Refusal *refusal)
{
	*at = NO_TIME;
	if (deliver_after == NULL || *deliver_after <= now)
		return true;
	if (TIMESTAMP_NOT_FINITE(*deliver_after))
		return refusal_set(refusal, ERRCODE_INVALID_PARAMETER_VALUE, "deliver_after must be finite", NULL,
					  "Pause the destination to have events wait for an unknown time.");
	if (*deliver_after > a_year_after(now))
	{
		const char *value = pstrdup(timestamptz_to_str(*deliver_after));

		return refusal_set_quoting(refusal, ERRCODE_INVALID_PARAMETER_VALUE,
					  psprintf("deliver_after is out of range: \"%s\"", value), value,
					  "It must not be more than a year from now: so long the payload is kept.",
					  "Send the event when its time is nearer.");
	}
	*at = *deliver_after;
	return true;
}

/* When the event is not worth delivering any more; NO_TIME: the destination knows. */
static bool
accept_expiry_time(const Interval *expires_after, TimestampTz now, TimestampTz deliver_after,
				   TimestampTz *at, Refusal *refusal)
{
	*at = NO_TIME;
	if (expires_after == NULL)
		return true;
	if (!(fabs(fields_interval_us(expires_after)) <= MAX_LIFETIME_US))
	{
		const char *value = DatumGetCString(DirectFunctionCall1(interval_out, PointerGetDatum(expires_after)));

		return refusal_set_quoting(refusal, ERRCODE_INVALID_PARAMETER_VALUE,
					  psprintf("expires_after is out of range: \"%s\"", value), value,
					  "It must be greater than 0 and at most 36500 days.",
					  "Leave it out for an event that does not expire.");
	}
	*at = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval, TimestampTzGetDatum(now),
												  PointerGetDatum(expires_after)));
	if (*at <= now)
		return refusal_set(refusal, ERRCODE_INVALID_PARAMETER_VALUE, "expires_after must be greater than zero",
					  NULL, NULL);
	if (*at <= deliver_after)
		return refusal_set(refusal, ERRCODE_INVALID_PARAMETER_VALUE, "event would expire before it may be delivered",
					  "expires_after counts from now, and ends before deliver_after.",
					  "Give a longer expires_after.");
	return true;
}

bool
accept_times(const SendOptions *options, TimestampTz now, Times *times, Refusal *refusal)
{
	times->now = now;
	return accept_delivery_time(options->deliver_after, now, &times->deliver_after, refusal) &&
		accept_expiry_time(options->expires_after, now, times->deliver_after, &times->expires_at, refusal);
}
