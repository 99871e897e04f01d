/*-------------------------------------------------------------------------
 *
 * enrich.c
 *		What RudderStack's gateway and processor add to an event.
 *
 * Where these overwrite what an event says itself (rudderId, receivedAt, and in a batch
 * the request_ip), it is kept here.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/md5.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/uuid.h"

#include "base/encoding.h"
#include "transform/enrich.h"
#include "transform/json.h"
#include "transform/moment.h"
#include "transform/pairs.h"
#include "transform/visible.h"

/* An event that is being enriched. */
typedef struct Enriching
{
	JsonbValue	given;			/* the event itself */
	JsonbPair  *pairs;			/* with room for NEW_KEYS more */
	int			npairs;
} Enriching;

/* messageId, rudderId, four times, request_ip, context */
#define NEW_KEYS	8

static bool
given_value(const Enriching *event, const char *key, JsonbValue *value)
{
	return json_get(&event->given, key, strlen(key), value);
}

static void
put_string(Enriching *event, const char *key, const char *string)
{
	JsonbValue	value;

	json_set_string(&value, string, strlen(string));
	pairs_put(event->pairs, &event->npairs, key, &value);
}

/* ---------------------------------------------------------------------
 * Who and what
 * ---------------------------------------------------------------------
 */

/* What identifies somebody, whatever its type; in UTF-8, empty if there is nothing. */
static const char *
identity(const JsonbValue *event, const char *key, int *len)
{
	JsonbValue	value;
	StringInfoData text;
	const char *identity;

	*len = 0;
	if (!json_get(event, key, strlen(key), &value) || value.type == jbvNull)
		return "";
	if (value.type == jbvString)
	{
		identity = value.val.string.val;
		*len = value.val.string.len;
	}
	else
	{
		initStringInfo(&text);
		json_append(&text, &value, NUMBERS_JS, JSON_MOST_TEXT);
		identity = text.data;
		*len = text.len;
	}
	(void) visible_text(&identity, len);
	return identity;
}

bool
enrich_is_accepted(Jsonb *event)
{
	JsonbValue	root;
	JsonbValue	type;
	int			user_len;
	int			anonymous_len;

	json_set_container(&root, &event->root, VARSIZE(event) - VARHDRSZ);
	if (json_get(&root, "type", 4, &type) && (json_is_string(&type, "extract") || json_is_string(&type, "rETL")))
		return true;
	(void) identity(&root, "userId", &user_len);
	(void) identity(&root, "anonymousId", &anonymous_len);
	return user_len > 0 || anonymous_len > 0;
}

static bool
is_blank(const JsonbValue *string)
{
	const char *text = string->val.string.val;
	int			len = string->val.string.len;

	(void) visible_text(&text, &len);
	return len == 0;
}

/* Without what is invisible in it; a new one instead of nothing. */
static void
put_message_id(Enriching *event, const Arrival *arrival)
{
	JsonbValue	value;
	const char *text = "";
	int			len = 0;
	bool		is_utf8 = true;

	if (given_value(event, "messageId", &value) && value.type == jbvString)
	{
		text = value.val.string.val;
		len = value.val.string.len;
		is_utf8 = visible_text(&text, &len);
		text = pnstrdup(text, len);
	}
	put_string(event, "messageId", len == 0 ? arrival->new_id() : is_utf8 ? encoding_from_utf8(text, len) : text);
}

/* A UUID of version 4 in form, which is a hash of the two ids. */
static bool
put_rudder_id(Enriching *event, const char **why)
{
	JsonbValue	value;
	pg_uuid_t	uuid;
	StringInfoData ids;
	const char *id;
	const char *problem;
	int			len;

	if (given_value(event, "rudderId", &value) && value.type == jbvString && !is_blank(&value))
		return true;
	initStringInfo(&ids);
	id = identity(&event->given, "userId", &len);
	appendBinaryStringInfo(&ids, id, len);
	appendStringInfoChar(&ids, ':');
	id = identity(&event->given, "anonymousId", &len);
	appendBinaryStringInfo(&ids, id, len);
	if (!pg_md5_binary(ids.data, ids.len, uuid.data, &problem))
	{
		*why = psprintf("could not compute its rudderId, an MD5 hash: %s", problem);
		return false;
	}
	uuid.data[6] = (uuid.data[6] & 0x0F) | 0x40;
	uuid.data[8] = (uuid.data[8] & 0x3F) | 0x80;
	put_string(event, "rudderId", DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&uuid))));
	return true;
}

/* ---------------------------------------------------------------------
 * When
 * ---------------------------------------------------------------------
 */
static bool
given_moment(const Enriching *event, const char *key, Moment *moment)
{
	JsonbValue	value;

	return given_value(event, key, &value) && value.type == jbvString &&
		moment_read(value.val.string.val, value.val.string.len, moment);
}

static void
put_times(Enriching *event, TimestampTz at)
{
	Moment		received;
	Moment		original;
	Moment		sent;
	Moment		moment;

	if (!given_moment(event, "receivedAt", &received))
		received = moment_of(at);
	if (!given_moment(event, "originalTimestamp", &original))
		original = received;
	if (!given_moment(event, "sentAt", &sent))
		sent = received;
	if (!given_moment(event, "timestamp", &moment))
		moment = moment_by_our_clock(&received, &sent, &original);
	put_string(event, "receivedAt", moment_text(&received));
	put_string(event, "originalTimestamp", moment_text(&original));
	put_string(event, "sentAt", moment_text(&sent));
	put_string(event, "timestamp", moment_text(&moment));
}

/* ---------------------------------------------------------------------
 * Where from
 * ---------------------------------------------------------------------
 */
bool
enrich_context(const JsonbValue *given, const JsonbValue *ip, JsonbValue *context)
{
	bool		is_object = given != NULL && json_is_object(given);
	JsonbPair  *pairs;
	JsonbValue	own;
	int			npairs = 0;

	if (ip == NULL || !js_truthy(ip))
		return false;
	if (!is_object && given != NULL && js_truthy(given))
		return false;
	if (json_get(given, "ip", 2, &own) && own.type != jbvNull)
		return false;
	pairs = is_object ? pairs_of(given->val.binary.data, 1, &npairs) : palloc(sizeof(JsonbPair));
	pairs_put(pairs, &npairs, "ip", ip);
	json_set_object(context, pairs, npairs);
	return true;
}

/* An address that is no string is none, and not for us to replace. */
static void
put_address(Enriching *event, const char *from)
{
	JsonbValue	address;
	JsonbValue	given;
	JsonbValue	context;
	bool		is_given = given_value(event, "request_ip", &address);

	if (!is_given && from == NULL)
		return;
	if (!is_given)
		json_set_string(&address, from, strlen(from));
	else if (address.type != jbvString)
		json_set_string(&address, "", 0);
	pairs_put(event->pairs, &event->npairs, "request_ip", &address);
	if (enrich_context(given_value(event, "context", &given) ? &given : NULL, &address, &context))
		pairs_put(event->pairs, &event->npairs, "context", &context);
}

Jsonb *
enrich_event(Jsonb *event, const Arrival *arrival, const char **why)
{
	Enriching	enriching;
	JsonbValue	object;

	json_set_container(&enriching.given, &event->root, VARSIZE(event) - VARHDRSZ);
	enriching.pairs = pairs_of(&event->root, NEW_KEYS, &enriching.npairs);
	put_message_id(&enriching, arrival);
	if (!put_rudder_id(&enriching, why))
		return NULL;
	put_times(&enriching, arrival->at);
	put_address(&enriching, arrival->from);
	json_set_object(&object, enriching.pairs, enriching.npairs);
	return json_write(&object);
}
