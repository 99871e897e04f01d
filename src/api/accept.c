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
#include "destination/named.h"
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

/* Refuse what could never be delivered, while somebody is there to hear it. */
Jsonb *
accept_event(Datum datum)
{
	Size		size = toast_raw_datum_size(datum) - VARHDRSZ;
	Jsonb	   *event;
	JsonbValue	status;

	/* before it is decompressed */
	if (size > (Size) rswebhook_max_event_size)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("event is too large"),
				 errdetail("The event has %zu bytes; at most %d are allowed.",
						   size, rswebhook_max_event_size),
				 errhint("Send less, or raise rswebhook.max_event_size.")));

	event = DatumGetJsonbP(datum);
	if (!JB_ROOT_IS_OBJECT(event))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("event is not a JSON object"),
				 errhint("An event is an object such as {\"type\": \"track\", \"event\": \"Order Completed\", \"userId\": \"u1\"}.")));
	if (event_value(event, "statusCode", &status) && js_truthy(&status))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("event with a \"statusCode\" cannot be sent"),
				 errdetail("To the transform, such an event is a finished result and not something to make a request of."),
				 errhint("Remove the key \"statusCode\", or put it into \"properties\".")));
	request_check_size(event);
	return event;
}

/* It is stored with the event, beside which it has no bound of its own. */
void
accept_ordering_key(const char *key)
{
	if (key != NULL && strlen(key) > MAX_ORDERING_KEY)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("ordering_key is too long"),
				 errdetail("It has %zu bytes; at most %d are allowed.",
						   strlen(key), MAX_ORDERING_KEY),
				 errhint("A hash of it keeps the same order.")));
}

/* ---------------------------------------------------------------------
 * Who takes it
 * ---------------------------------------------------------------------
 */

/*
 * RudderStack's gate: the event's own say in who receives it.  "Webhook" is
 * the display name of the kind of destination, and its case matters.
 */
static bool
integrations_allow(Jsonb *event)
{
	JsonbValue	integrations;
	JsonbValue	value;
	JsonbContainer *container;
	bool		all = true;

	if (!event_value(event, "integrations", &integrations))
		return true;
	if (integrations.type != jbvBinary ||
		!JsonContainerIsObject(integrations.val.binary.data))
		return false;
	container = integrations.val.binary.data;

	if (getKeyJsonValueFromContainer(container, "All", 3, &value))
	{
		if (value.type != jbvBool)
			return false;
		all = value.val.boolean;
	}
	if (getKeyJsonValueFromContainer(container, "Webhook", 7, &value))
	{
		if (value.type == jbvBool)
			return value.val.boolean;
		if (value.type == jbvBinary && JsonContainerIsObject(value.val.binary.data))
			return true;
	}
	return all;
}

/* The text of a string; NULL if there is none, or of another type. */
static char *
string_of_event(Jsonb *event, const char *key)
{
	JsonbValue	value;

	if (!event_value(event, key, &value) || value.type != jbvString)
		return NULL;
	return pnstrdup(value.val.string.val, value.val.string.len);
}

/* All destinations that take the event on their own account. */
Taker *
accept_by_filters(Jsonb *event, int *count)
{
	char	   *type;
	char	   *name;

	*count = 0;
	if (!integrations_allow(event))
		return NULL;

	type = string_of_event(event, "type");
	if (type != NULL)
		type = destination_fold_type(type, strlen(type));
	name = string_of_event(event, "event");

	return destination_takers(type, name, count);
}

/* An order, not an offer: filters have no say. */
Taker *
accept_by_name(const char *name, int *count)
{
	NamedDestination dest;
	Taker	   *chosen = palloc(sizeof(Taker));

	if (!destination_named(name, &dest))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("destination \"%s\" does not exist",
						encoding_quotable(name, strlen(name))),
				 errhint("Destinations are rows of rswebhook.destination.")));
	if (dest.problem != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("destination \"%s\" cannot be used", name),
				 errdetail_internal("%s", dest.problem),
				 errhint("Correct the row of rswebhook.destination.")));
	if (!dest.enabled)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("destination \"%s\" is disabled", name),
				 errhint("UPDATE rswebhook.destination SET enabled = true for it; set paused instead to have events wait.")));
	*chosen = (Taker) {dest.id, dest.parts};
	*count = 1;
	return chosen;
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
TimestampTz
accept_delivery_time(const TimestampTz *deliver_after, TimestampTz now)
{
	if (deliver_after == NULL || *deliver_after <= now)
		return NO_TIME;
	if (TIMESTAMP_NOT_FINITE(*deliver_after))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("deliver_after must be finite"),
				 errhint("Pause the destination to have events wait for an unknown time.")));
	if (*deliver_after > a_year_after(now))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("deliver_after is out of range: \"%s\"", timestamptz_to_str(*deliver_after)),
				 errdetail("It must not be more than a year from now: so long the payload is kept."),
				 errhint("Send the event when its time is nearer.")));
	return *deliver_after;
}

/* When the event is not worth delivering any more; NO_TIME: the destination knows. */
TimestampTz
accept_expiry_time(const Interval *expires_after, TimestampTz deliver_after, TimestampTz now)
{
	TimestampTz expires_at;

	if (expires_after == NULL)
		return NO_TIME;
	if (!(fabs(fields_interval_us(expires_after)) <= MAX_LIFETIME_US))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("expires_after is out of range: \"%s\"",
						DatumGetCString(DirectFunctionCall1(interval_out,
															PointerGetDatum(expires_after)))),
				 errdetail("It must be greater than 0 and at most 36500 days."),
				 errhint("Leave it out for an event that does not expire.")));
	expires_at = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval,
														 TimestampTzGetDatum(now),
														 PointerGetDatum(expires_after)));
	if (expires_at <= now)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("expires_after must be greater than zero")));
	if (expires_at <= deliver_after)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("event would expire before it may be delivered"),
				 errdetail("expires_after counts from now, and ends before deliver_after."),
				 errhint("Give a longer expires_after.")));
	return expires_at;
}

