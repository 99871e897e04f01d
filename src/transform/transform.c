/*-------------------------------------------------------------------------
 *
 * transform.c
 *		Event and config become the request that RudderStack would send.
 *
 * Pure: reads no table, no setting and no clock.  Works on jsonb as it lies
 * in memory; what the request takes over from the event is pointed to, not
 * copied.  One pass over the event's top level finds all that matters.
 *
 * Terms, as in JavaScript: a value is "nullish" if it is absent or null, and
 * "truthy" if it is none of null, false, 0 and "".
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"

#include "transform/config.h"
#include "transform/dynamic.h"
#include "transform/enrich.h"
#include "transform/flatten.h"
#include "transform/json.h"
#include "transform/mapped_request.h"
#include "transform/pairs.h"
#include "transform/transform.h"
#include "transform/values.h"

/* The top-level keys of an event that mean something. */
typedef enum Field
{
	FIELD_TYPE,
	FIELD_CHANNEL,
	FIELD_ANONYMOUS_ID,
	FIELD_STATUS_CODE,
	FIELD_HEADER,
	FIELD_FULL_PATH,
	FIELD_APPEND_PATH,
	FIELD_CONTEXT,
	FIELD_REQUEST_IP,
	FIELD_PROPERTIES,
	FIELD_TRAITS,
	FIELD_CONTEXT_TRAITS,		/* a key with a dot in it */
	FIELD_INTEGRATIONS,
	FIELD_INTEGRATIONS_WEBHOOK, /* four keys with a dot in them, spelt as in */
	FIELD_INTEGRATIONS_LAST = FIELD_INTEGRATIONS_WEBHOOK + 3,	/* integration_names */
	FIELD_UNSENT,				/* constructor, prototype */
	FIELD_COUNT,
	FIELD_OTHER = FIELD_COUNT
} Field;

static const char *const integration_names[] = {
	"webhook", "Webhook", "WebHook", "WEBHOOK"
};

/* An event taken apart. */
typedef struct EventParts
{
	JsonbContainer *root;
	JsonbPair  *pairs;			/* with room for three more */
	Field	   *fields;			/* which field each pair is */
	int			npairs;
	const JsonbValue *field[FIELD_COUNT];	/* NULL: absent */
} EventParts;

static const JsonbValue null_value = {.type = jbvNull};

static inline bool
is_nullish(const JsonbValue *value)
{
	return value == NULL || value->type == jbvNull;
}

static inline bool
is_truthy(const JsonbValue *value)
{
	return value != NULL && js_truthy(value);
}

/* Upstream's idea of a value worth taking: truthy, or false, or 0. */
static inline bool
is_usable(const JsonbValue *value)
{
	return !is_nullish(value) &&
		!(value->type == jbvString && value->val.string.len == 0);
}

/* ---------------------------------------------------------------------
 * Event
 * ---------------------------------------------------------------------
 */

/* Which field a top-level key is. */
static Field
classify(const char *key, int len)
{
#define IF_KEY(literal, field) \
	if (memcmp(key, literal, sizeof(literal) - 1) == 0) return field

	switch (len)
	{
		case 4:
			IF_KEY("type", FIELD_TYPE);
			break;
		case 6:
			IF_KEY("traits", FIELD_TRAITS);
			IF_KEY("header", FIELD_HEADER);
			break;
		case 7:
			IF_KEY("context", FIELD_CONTEXT);
			IF_KEY("channel", FIELD_CHANNEL);
			break;
		case 8:
			IF_KEY("fullPath", FIELD_FULL_PATH);
			break;
		case 9:
			IF_KEY("prototype", FIELD_UNSENT);
			break;
		case 10:
			IF_KEY("properties", FIELD_PROPERTIES);
			IF_KEY("request_ip", FIELD_REQUEST_IP);
			IF_KEY("appendPath", FIELD_APPEND_PATH);
			IF_KEY("statusCode", FIELD_STATUS_CODE);
			break;
		case 11:
			IF_KEY("anonymousId", FIELD_ANONYMOUS_ID);
			IF_KEY("constructor", FIELD_UNSENT);
			break;
		case 12:
			IF_KEY("integrations", FIELD_INTEGRATIONS);
			break;
		case 14:
			IF_KEY("context.traits", FIELD_CONTEXT_TRAITS);
			break;
		case 20:
			if (memcmp(key, "integrations.", 13) == 0)
			{
				for (int i = 0; i < lengthof(integration_names); i++)
				{
					if (memcmp(key + 13, integration_names[i], 7) == 0)
						return FIELD_INTEGRATIONS_WEBHOOK + i;
				}
			}
			break;
	}
	return FIELD_OTHER;
#undef IF_KEY
}

static void
take_apart(Jsonb *event, EventParts *parts)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	key;
	Size		room = JB_ROOT_COUNT(event) + 3;

	memset(parts, 0, sizeof(EventParts));
	parts->root = &event->root;
	parts->pairs = palloc_extended(room * sizeof(JsonbPair), MCXT_ALLOC_HUGE);
	parts->fields = palloc_extended(room * sizeof(Field), MCXT_ALLOC_HUGE);

	it = JsonbIteratorInit(parts->root);
	while ((token = JsonbIteratorNext(&it, &key, true)) != WJB_DONE)
	{
		JsonbPair  *pair = &parts->pairs[parts->npairs];
		Field		field;

		if (token != WJB_KEY)
			continue;
		CHECK_FOR_INTERRUPTS();

		pair->key = key;
		(void) JsonbIteratorNext(&it, &pair->value, true);
		field = classify(key.val.string.val, key.val.string.len);
		parts->fields[parts->npairs++] = field;
		if (field != FIELD_OTHER)
			parts->field[field] = &pair->value;
	}
}

/*
 * The value at a dotted path from the event's root.  A key that contains the
 * dots itself wins over nesting; below the root, nesting wins over such keys.
 */
static bool
get_path(const EventParts *parts, const char *path, JsonbValue *found)
{
	JsonbValue	at;

	json_set_container(&at, parts->root, 0);
	if (json_get(&at, path, strlen(path), found))
		return true;

	for (;;)
	{
		const char *dot = strchr(path, '.');

		while (dot != NULL && !json_get(&at, path, dot - path, found))
			dot = strchr(dot + 1, '.');
		if (dot == NULL)
			return json_get(&at, path, strlen(path), found);
		at = *found;
		path = dot + 1;
	}
}

/*
 * Events that a warehouse sync sends carry the moment of the change in one of
 * several places.  True with the timestamp that such an event is to have.
 */
static bool
find_sync_timestamp(const EventParts *parts, JsonbValue *timestamp)
{
	static const char *const identify_paths[] = {
		"context.timestamp", "context.traits.timestamp", "traits.timestamp",
		"timestamp", "originalTimestamp", NULL
	};
	static const char *const track_paths[] = {
		"properties.timestamp", "timestamp", "originalTimestamp", NULL
	};
	const char *const *path;
	JsonbValue	mapped;

	if (!json_is_string(parts->field[FIELD_CHANNEL], "sources"))
		return false;
	if (json_is_string(parts->field[FIELD_TYPE], "identify"))
		path = identify_paths;
	else if (json_is_string(parts->field[FIELD_TYPE], "track"))
		path = track_paths;
	else
		return false;
	if (get_path(parts, "context.mappedToDestination", &mapped) && js_truthy(&mapped))
		return false;

	for (; *path != NULL; path++)
	{
		if (get_path(parts, *path, timestamp) && is_usable(timestamp))
			return true;
	}
	*timestamp = null_value;
	return true;
}

/* ---------------------------------------------------------------------
 * The parts of the request
 * ---------------------------------------------------------------------
 */

/* The event's own settings for us: the first truthy spelling of "webhook". */
static const JsonbValue *
find_integration(const EventParts *parts, JsonbValue *found)
{
	for (int i = 0; i < lengthof(integration_names); i++)
	{
		const JsonbValue *dotted = parts->field[FIELD_INTEGRATIONS_WEBHOOK + i];

		if (dotted != NULL)
		{
			if (js_truthy(dotted))
				return dotted;
		}
		else if (json_get(parts->field[FIELD_INTEGRATIONS], integration_names[i], 7,
						 found) && js_truthy(found))
			return found;
	}
	return NULL;
}

static void
build_endpoint(const EventParts *parts, const TransformConfig *config,
			   Size limit, JsonbValue *endpoint)
{
	const JsonbValue *base = parts->field[FIELD_FULL_PATH];
	const JsonbValue *suffix = parts->field[FIELD_APPEND_PATH];
	const JsonbValue *integration;
	JsonbValue	found;
	JsonbValue	own_base;
	JsonbValue	own_suffix;
	StringInfoData text;

	integration = find_integration(parts, &found);
	if (is_nullish(base) && json_get(integration, "fullPath", 8, &own_base))
		base = &own_base;
	if (is_nullish(base))
		base = &config->url;
	if (is_nullish(suffix) && json_get(integration, "appendPath", 10, &own_suffix))
		suffix = &own_suffix;

	if (is_nullish(suffix))
		js_text(base, endpoint, limit);
	else
	{
		initStringInfo(&text);
		js_append_text(&text, base, limit);
		js_append_text(&text, suffix, limit);
		json_set_string(endpoint, text.data, text.len);
	}
}

/*
 * The event's own headers: strings as they are, all else as JSON text, for
 * which scratch is used.
 */
static void
add_event_header(NamedValues *headers, const char *name, int name_len,
				 const JsonbValue *value, StringInfo scratch)
{
	JsonbValue	string;

	if (value->type == jbvString)
	{
		named_values_add(headers, name, name_len, value);
		return;
	}
	resetStringInfo(scratch);
	json_append(scratch, value, NUMBERS_JS, headers->limit);
	headers->bytes += scratch->len;
	json_set_string(&string, pnstrdup(scratch->data, scratch->len), scratch->len);
	named_values_add(headers, name, name_len, &string);
}

static void
add_config_headers(NamedValues *headers, const TransformConfig *config)
{
	for (int i = 0; i < config->headers.count; i++)
	{
		const NamedValue *header = &config->headers.items[i];
		NamedValue *added;

		named_values_add(headers, header->name, header->name_len, &header->value);
		added = &headers->items[headers->count - 1];
		added->named_by_event = header->named_by_event;
		added->valued_by_event = header->valued_by_event;
	}
}

/* own: the event's "header", or NULL */
static void
add_own_headers(NamedValues *headers, const JsonbValue *own)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	name;
	JsonbValue	value;
	int			index = 0;
	StringInfoData scratch;

	if (own == NULL || own->type != jbvBinary)
		return;
	initStringInfo(&scratch);
	it = JsonbIteratorInit(own->val.binary.data);
	while ((token = JsonbIteratorNext(&it, &name, true)) != WJB_DONE)
	{
		CHECK_FOR_INTERRUPTS();
		if (token == WJB_KEY)
		{
			(void) JsonbIteratorNext(&it, &value, true);
			add_event_header(headers, name.val.string.val, name.val.string.len,
							 &value, &scratch);
		}
		else if (token == WJB_ELEM)
		{
			/* an array's keys are its indexes */
			char	   *position = psprintf("%d", index++);

			add_event_header(headers, position, strlen(position), &name, &scratch);
		}
	}
	pfree(scratch.data);
}

static void
build_headers(const EventParts *parts, const TransformConfig *config,
			  Size limit, Transformed *result)
{
	NamedValues *headers = &result->headers;
	JsonbValue	value;

	headers->limit = limit;
	if (config->method_kind == METHOD_BODY && !config->sets_content_type)
	{
		json_set_string(&value, "application/json", 16);
		named_values_add(headers, "content-type", 12, &value);
	}

	add_config_headers(headers, config);
	result->nconfigured = headers->count;
	result->displaced = config->displaced;
	add_own_headers(headers, parts->field[FIELD_HEADER]);
}

static void
build_params(const EventParts *parts, NamedValues *params)
{
	const JsonbValue *source = parts->field[FIELD_PROPERTIES];
	JsonbValue	nested;

	if (json_is_string(parts->field[FIELD_TYPE], "identify"))
	{
		source = parts->field[FIELD_TRAITS];
		if (!is_usable(source))
		{
			source = parts->field[FIELD_CONTEXT_TRAITS];
			if (source == NULL &&
				json_get(parts->field[FIELD_CONTEXT], "traits", 6, &nested))
				source = &nested;
		}
		if (!is_usable(source))
			source = &null_value;
	}
	if (source != NULL)
		flatten_value(source, params);
}

/* Is a top-level key of the event sent? */
static inline bool
is_sent(Field field, const JsonbValue *value)
{
	switch (field)
	{
		case FIELD_FULL_PATH:
		case FIELD_APPEND_PATH:
		case FIELD_HEADER:
		case FIELD_UNSENT:
			return false;
		default:
			return value->type != jbvNull;
	}
}

/* Reuses the parts' pairs, so the fields are gone afterwards. */
static void
build_body(EventParts *parts, const JsonbValue *timestamp, JsonbValue *body)
{
	JsonbPair  *pairs = parts->pairs;
	JsonbValue	context;
	bool		new_context = enrich_context(parts->field[FIELD_CONTEXT],
											 parts->field[FIELD_REQUEST_IP], &context);
	int			npairs = 0;

	for (int i = 0; i < parts->npairs; i++)
	{
		/* a new timestamp may be null, so it replaces the old one here */
		if (timestamp != NULL && parts->fields[i] == FIELD_OTHER &&
			json_key_is(pairs[i].key.val.string.val, pairs[i].key.val.string.len, "timestamp"))
			continue;
		if (!is_sent(parts->fields[i], &pairs[i].value))
			continue;
		if (npairs < i)
			pairs[npairs] = pairs[i];
		npairs++;
	}
	if (timestamp != NULL && timestamp->type != jbvNull)
		pairs_put(pairs, &npairs, "timestamp", timestamp);
	if (new_context)
		pairs_put(pairs, &npairs, "context", &context);
	json_set_object(body, pairs, npairs);
}

/* What upstream makes of an id for its own bookkeeping. */
static void
build_user_id(const JsonbValue *id, JsonbValue *user_id, Size limit)
{
	if (is_truthy(id))
		js_text(id, user_id, limit);
	else
		json_set_string(user_id, "", 0);
}

/* The event is the output, but for a userId that is always there and text. */
static void
pass_through(EventParts *parts, const JsonbValue *timestamp, Size limit,
			 Transformed *result)
{
	JsonbValue	id;

	build_user_id(get_path(parts, "userId", &id) ? &id : NULL, &result->user_id,
				  limit);
	if (timestamp != NULL)
		pairs_put(parts->pairs, &parts->npairs, "timestamp", timestamp);
	pairs_put(parts->pairs, &parts->npairs, "userId", &result->user_id);
	json_set_object(&result->body, parts->pairs, parts->npairs);
	result->passthrough = true;
}

/* The same, with a timestamp that is not its own. */
static Jsonb *
event_at(EventParts *parts, const JsonbValue *timestamp)
{
	JsonbValue	object;

	pairs_put(parts->pairs, &parts->npairs, "timestamp", timestamp);
	json_set_object(&object, parts->pairs, parts->npairs);
	return json_write(&object);
}

void
transform_event(Jsonb *event, const TransformConfig *config, Size limit,
				Transformed *result)
{
	EventParts	parts;
	JsonbValue	sync_timestamp;
	JsonbValue *timestamp;		/* NULL: the event keeps its own */
	bool		dynamic = false;
	ConfigProblem problem;

	if (!JB_ROOT_IS_OBJECT(event))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("event is not a JSON object"),
				 js_is_quoted_json(event) ? errhint(JSON_QUOTED_HINT) :
				 errhint("An event is an object such as {\"type\": \"track\", \"userId\": \"u1\", \"event\": \"Signed up\", \"properties\": {}}.")));

	memset(result, 0, sizeof(Transformed));
	if (config->templates != NULL)
	{
		Jsonb	   *resolved;

		/* upstream sets it before templates see the event, or take the channel out of it */
		take_apart(event, &parts);
		if (find_sync_timestamp(&parts, &sync_timestamp))
			event = event_at(&parts, &sync_timestamp);
		result->problem = dynamic_resolve(config->templates, transform_config_order(config), &event, &resolved);
		if (result->problem != NULL)
			return;
		config = transform_config_resolved(resolved, config);
		dynamic = true;
	}
	take_apart(event, &parts);
	timestamp = !dynamic && find_sync_timestamp(&parts, &sync_timestamp) ? &sync_timestamp : NULL;

	if (config->mapped == NULL && is_truthy(parts.field[FIELD_STATUS_CODE]))
	{
		pass_through(&parts, timestamp, limit, result);
		return;
	}

	/* of what an event has made of it, the event hears */
	if (dynamic && !transform_config_is_good(config, &problem))
	{
		result->problem = psprintf("%s: %s", problem.message, problem.detail);
		return;
	}
	transform_config_check(config);
	if (config->mapped != NULL)
	{
		mapped_request(timestamp != NULL ? event_at(&parts, timestamp) : event, config, limit, result);
		return;
	}
	result->method = config->method;
	build_headers(&parts, config, limit, result);
	build_endpoint(&parts, config, limit, &result->endpoint);
	/* the anonymous id, never the user's: upstream has it so */
	build_user_id(parts.field[FIELD_ANONYMOUS_ID], &result->user_id, limit);

	result->is_sendable = config->method_kind != METHOD_OTHER;
	result->has_body = config->method_kind == METHOD_BODY;
	result->params.limit = limit;
	if (config->method_kind == METHOD_PARAMS)
		build_params(&parts, &result->params);
	if (result->has_body)
		build_body(&parts, timestamp, &result->body);
}

void
transform_own_headers(Jsonb *event, NamedValues *headers)
{
	JsonbValue	root;
	JsonbValue	own;

	json_set_container(&root, &event->root, VARSIZE(event) - VARHDRSZ);
	headers->limit = JSON_MOST_TEXT;
	if (json_get(&root, "header", 6, &own))
		add_own_headers(headers, &own);
}

void
transform_check(const Transformed *result)
{
	if (result->problem != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("config cannot be used with this event: %s", result->problem)));
}

void
transform_body(Jsonb *event, JsonbValue *body)
{
	EventParts	parts;
	JsonbValue	timestamp;
	bool		synced;

	take_apart(event, &parts);
	synced = find_sync_timestamp(&parts, &timestamp);
	build_body(&parts, synced ? &timestamp : NULL, body);
}
