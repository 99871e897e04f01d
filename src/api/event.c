/*-------------------------------------------------------------------------
 *
 * event.c
 *		The event that a changed row becomes.
 *
 * In all that follows, keys are added in the order in which jsonb has them (object.h).
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "pgtime.h"
#include "utils/builtins.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "api/event.h"
#include "api/object.h"

/* ---------------------------------------------------------------------
 * Pieces
 * ---------------------------------------------------------------------
 */
static void
add_null(JsonbValue *object, const char *key)
{
	object_add(object, key, strlen(key))->type = jbvNull;
}

/* A pair of a key and a string; none if the string is NULL. */
static void
add_string(JsonbValue *object, const char *key, const char *string)
{
	if (string != NULL)
		object_set_string(object_add(object, key, strlen(key)), string, strlen(string));
}

static void
add_zero(JsonbValue *object, const char *key)
{
	JsonbValue *value = object_add(object, key, strlen(key));

	value->type = jbvNumeric;
	value->val.numeric = int64_to_numeric(0);
}

static JsonbValue *
add_object(JsonbValue *object, const char *key, int max_pairs)
{
	JsonbValue *value = object_add(object, key, strlen(key));

	object_begin(value, max_pairs);
	return value;
}

static void
add_old(JsonbValue *object, const char *key, const RowJson *rows, const ChangedRow *row)
{
	if (row->operation == OPERATION_INSERT || row->unpaired)
		add_null(object, key);
	else
		rowjson_object(object_add(object, key, strlen(key)), rows, row->old_values, row->old_nulls);
}

static void
add_new(JsonbValue *object, const char *key, const RowJson *rows, const ChangedRow *row)
{
	if (row->operation == OPERATION_DELETE)
		add_null(object, key);
	else
		rowjson_object(object_add(object, key, strlen(key)), rows, row->new_values, row->new_nulls);
}

/* "2026-05-01T12:34:56.789Z"; good until another one is asked for. */
static const char *
iso_timestamp(TimestampTz at)
{
	static char text[32];		/* of this second, without its milliseconds */
	static int64 text_of = PG_INT64_MIN;
	int64		second = at / USECS_PER_SEC - (at % USECS_PER_SEC < 0);
	int			millis = (int) ((at - second * USECS_PER_SEC) / 1000);
	char	   *digits;

	if (second != text_of)
	{
		struct pg_tm tm;
		fsec_t		fsec;

		/* without a zone to convert to, the fields are UTC's */
		if (timestamp2tm(at, NULL, &tm, &fsec, NULL, NULL) != 0)
			ereport(ERROR,
					(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
					 errmsg("timestamp out of range")));
		snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d.000Z",
				 tm.tm_year, tm.tm_mon, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
		text_of = second;
	}
	digits = text + strlen(text) - strlen("000Z");
	digits[0] = '0' + millis / 100;
	digits[1] = '0' + millis / 10 % 10;
	digits[2] = '0' + millis % 10;
	return text;
}

/* Asked for by the block: what that takes hardly depends on how many there are. */
static const uint8 *
random_bytes(void)
{
	static uint8 bytes[32][UUID_LEN];
	static int	left = 0;

	if (left == 0)
	{
		if (!pg_strong_random(bytes, sizeof(bytes)))
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR),
					 errmsg("could not generate random values")));
		left = lengthof(bytes);
	}
	return bytes[--left];
}

char *
event_new_id(void)
{
	static const char digits[] = "0123456789abcdef";
	const uint8 *bytes = random_bytes();
	char	   *text = palloc(2 * UUID_LEN + 4 + 1);
	char	   *end = text;

	for (int i = 0; i < UUID_LEN; i++)
	{
		uint8		byte = i == 6 ? (bytes[i] & 0x0f) | 0x40 : i == 8 ? (bytes[i] & 0x3f) | 0x80 : bytes[i];

		if (i == 4 || i == 6 || i == 8 || i == 10)
			*end++ = '-';
		*end++ = digits[byte >> 4];
		*end++ = digits[byte & 0x0f];
	}
	*end = '\0';
	return text;
}

/* ---------------------------------------------------------------------
 * Shapes
 * ---------------------------------------------------------------------
 */
EventShape
event_shape(const char *word)
{
	return strcmp(word, "supabase") == 0 ? SHAPE_SUPABASE :
		strcmp(word, "hasura") == 0 ? SHAPE_HASURA : SHAPE_RUDDERSTACK;
}

bool
event_has_user(const EventForm *form)
{
	return form->shape == SHAPE_RUDDERSTACK;
}

bool
event_has_old(const EventForm *form)
{
	return form->shape != SHAPE_RUDDERSTACK || form->with_previous;
}

bool
event_is_of_type(const EventForm *form, const char *type)
{
	return strcmp(form->type, type) == 0;
}

static const char *const operations[] = {"insert", "update", "delete"};

static void
add_context(JsonbValue *event, const EventForm *form, const RowJson *rows, const ChangedRow *row)
{
	JsonbValue *context = add_object(event, "context", 3);
	JsonbValue *table = add_object(context, "table", 4);
	JsonbValue *library;

	add_string(table, "name", form->table);
	add_string(table, "schema", form->schema);
	add_string(table, "operation", operations[row->operation]);
	add_string(table, "partition", form->partition);
	library = add_object(context, "library", 2);
	add_string(library, "name", "rswebhook");
	add_string(library, "version", RSWEBHOOK_VERSION);
	if (form->with_previous && row->operation == OPERATION_UPDATE && !row->unpaired)
		add_old(context, "previous", rows, row);
}

/* A track event's name. */
static const char *
event_name(const EventForm *form, const ChangedRow *row)
{
	if (!event_is_of_type(form, "track"))
		return NULL;
	return form->name != NULL ? form->name : psprintf("%s %s", form->table, operations[row->operation]);
}

/* A page's. */
static const char *
page_name(const EventForm *form)
{
	if (!event_is_of_type(form, "page") && !event_is_of_type(form, "screen"))
		return NULL;
	return form->name != NULL ? form->name : form->table;
}

/* What is deleted is nobody's trait any more. */
static bool
has_traits(const char *type, TriggerOperation operation)
{
	return (strcmp(type, "identify") == 0 || strcmp(type, "group") == 0) && operation != OPERATION_DELETE;
}

static void
add_row(JsonbValue *object, const char *key, const RowJson *rows, const ChangedRow *row)
{
	if (row->operation == OPERATION_DELETE)
		add_old(object, key, rows, row);
	else
		add_new(object, key, rows, row);
}

static void
add_rudderstack(JsonbValue *event, const EventForm *form, const RowJson *rows, const ChangedRow *row,
				const EventIds *ids, TimestampTz now)
{
	const char *at = iso_timestamp(now);
	bool		traits = has_traits(form->type, row->operation);

	add_string(event, "name", page_name(form));
	add_string(event, "type", form->type);
	add_string(event, "event", event_name(form, row));
	add_string(event, "sentAt", at);
	if (traits)
		add_row(event, "traits", rows, row);
	add_string(event, "userId", ids->user);
	add_string(event, "channel", "server");
	add_context(event, form, rows, row);
	add_string(event, "groupId", ids->group);
	add_string(event, "messageId", event_new_id());
	add_string(event, "previousId", ids->previous);
	if (!traits)
		add_row(event, "properties", rows, row);
	add_string(event, "anonymousId", ids->anonymous);
	add_string(event, "originalTimestamp", at);
}

static const char *const capital_operations[] = {"INSERT", "UPDATE", "DELETE"};

/* As Supabase's database webhooks send it. */
static void
add_supabase(JsonbValue *event, const EventForm *form, const RowJson *rows, const ChangedRow *row)
{
	add_string(event, "type", capital_operations[row->operation]);
	add_string(event, "table", form->table);
	add_new(event, "record", rows, row);
	add_string(event, "schema", form->schema);
	add_old(event, "old_record", rows, row);
}

/* As Hasura's event triggers send it. */
static void
add_hasura(JsonbValue *event, const EventForm *form, const RowJson *rows, const ChangedRow *row,
		   TimestampTz now)
{
	JsonbValue *inner;
	JsonbValue *data;

	add_string(event, "id", event_new_id());
	inner = add_object(event, "event", 4);
	add_string(inner, "op", capital_operations[row->operation]);
	data = add_object(inner, "data", 2);
	add_new(data, "new", rows, row);
	add_old(data, "old", rows, row);
	add_null(inner, "trace_context");
	add_null(inner, "session_variables");
	inner = add_object(event, "table", 2);
	add_string(inner, "name", form->table);
	add_string(inner, "schema", form->schema);
	add_string(add_object(event, "trigger", 1), "name", form->trigger);
	add_string(event, "created_at", iso_timestamp(now));
	inner = add_object(event, "delivery_info", 2);
	add_zero(inner, "max_retries");
	add_zero(inner, "current_retry");
}

/* An event has no more keys than these. */
#define MAX_KEYS	16

Datum
event_of_row(const EventForm *form, const RowJson *rows, const ChangedRow *row, const EventIds *ids,
			 TimestampTz now)
{
	JsonbValue	event;

	object_begin(&event, MAX_KEYS);
	switch (form->shape)
	{
		case SHAPE_RUDDERSTACK:
			add_rudderstack(&event, form, rows, row, ids, now);
			break;
		case SHAPE_SUPABASE:
			add_supabase(&event, form, rows, row);
			break;
		case SHAPE_HASURA:
			add_hasura(&event, form, rows, row, now);
			break;
	}
	return JsonbPGetDatum(JsonbValueToJsonb(&event));
}

Datum
event_of_parts(const char *type, const char *name, const char *message_id, const char *user,
			   Jsonb *payload, TimestampTz now)
{
	const char *at = iso_timestamp(now);
	bool		page = strcmp(type, "page") == 0 || strcmp(type, "screen") == 0;
	bool		traits = has_traits(type, OPERATION_INSERT);
	JsonbValue	event;

	object_begin(&event, MAX_KEYS);
	add_string(&event, "name", page ? name : NULL);
	add_string(&event, "type", type);
	add_string(&event, "event", page ? NULL : name);
	add_string(&event, "sentAt", at);
	if (payload != NULL && traits)
		object_set_jsonb(object_add(&event, "traits", strlen("traits")), payload);
	add_string(&event, "userId", user);
	add_string(&event, "channel", "server");
	add_string(&event, "messageId", message_id != NULL ? message_id : event_new_id());
	if (payload != NULL && !traits)
		object_set_jsonb(object_add(&event, "properties", strlen("properties")), payload);
	add_string(&event, "originalTimestamp", at);
	return JsonbPGetDatum(JsonbValueToJsonb(&event));
}
