/*-------------------------------------------------------------------------
 *
 * event.c
 *		The event that a changed row becomes.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "pgtime.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "api/event.h"
#include "base/compat.h"

/* ---------------------------------------------------------------------
 * Pieces
 * ---------------------------------------------------------------------
 */
static void
push_key(JsonbInState *state, const char *key)
{
	JsonbValue	value;

	value.type = jbvString;
	value.val.string.val = unconstify(char *, key);
	value.val.string.len = strlen(key);
	pushJsonbValue(state, WJB_KEY, &value);
}

static void
push_null(JsonbInState *state, const char *key)
{
	JsonbValue	value = {.type = jbvNull};

	push_key(state, key);
	pushJsonbValue(state, WJB_VALUE, &value);
}

/* A pair of a key and a string; none if the string is NULL. */
static void
push_string(JsonbInState *state, const char *key, const char *string)
{
	JsonbValue	value;

	if (string == NULL)
		return;
	push_key(state, key);
	value.type = jbvString;
	value.val.string.val = unconstify(char *, string);
	value.val.string.len = strlen(string);
	pushJsonbValue(state, WJB_VALUE, &value);
}

static void
push_number(JsonbInState *state, const char *key, int number)
{
	JsonbValue	value = {.type = jbvNumeric, .val.numeric = int64_to_numeric(number)};

	push_key(state, key);
	pushJsonbValue(state, WJB_VALUE, &value);
}

static void
push_old(JsonbInState *state, const char *key, const RowJson *rows, const ChangedRow *row)
{
	if (row->operation == OPERATION_INSERT || row->unpaired)
	{
		push_null(state, key);
		return;
	}
	push_key(state, key);
	rowjson_push(state, rows, row->old_values, row->old_nulls);
}

static void
push_new(JsonbInState *state, const char *key, const RowJson *rows, const ChangedRow *row)
{
	if (row->operation == OPERATION_DELETE)
	{
		push_null(state, key);
		return;
	}
	push_key(state, key);
	rowjson_push(state, rows, row->new_values, row->new_nulls);
}

/* "2026-05-01T12:34:56.789Z"; good until another one is asked for. */
static const char *
iso_timestamp(TimestampTz at)
{
	static TimestampTz last = 0;
	static char text[32];
	struct pg_tm tm;
	fsec_t		fsec;

	if (at == last)
		return text;			/* the rows of a statement have one in common */
	/* without a zone to convert to, the fields are UTC's */
	if (timestamp2tm(at, NULL, &tm, &fsec, NULL, NULL) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("timestamp out of range")));
	snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ",
			 tm.tm_year, tm.tm_mon, tm.tm_mday,
			 tm.tm_hour, tm.tm_min, tm.tm_sec, (int) (fsec / 1000));
	last = at;
	return text;
}

static char *
new_id(void)
{
	Datum		uuid = DirectFunctionCall1(gen_random_uuid, (Datum) 0);

	return DatumGetCString(DirectFunctionCall1(uuid_out, uuid));
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

static void
push_context(JsonbInState *state, const EventForm *form, const RowJson *rows, const ChangedRow *row)
{
	static const char *const operations[] = {"insert", "update", "delete"};

	push_key(state, "context");
	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	push_key(state, "table");
	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	push_string(state, "name", form->table);
	push_string(state, "schema", form->schema);
	push_string(state, "operation", operations[row->operation]);
	push_string(state, "partition", form->partition);
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
	push_key(state, "library");
	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	push_string(state, "name", "rswebhook");
	push_string(state, "version", RSWEBHOOK_VERSION);
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
	if (form->with_previous && row->operation == OPERATION_UPDATE && !row->unpaired)
		push_old(state, "previous", rows, row);
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

/* A track event's name. */
static const char *
event_name(const EventForm *form, const ChangedRow *row)
{
	static const char *const operations[] = {"insert", "update", "delete"};

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
push_row(JsonbInState *state, const char *key, const RowJson *rows, const ChangedRow *row)
{
	if (row->operation == OPERATION_DELETE)
		push_old(state, key, rows, row);
	else
		push_new(state, key, rows, row);
}

/* In the order in which jsonb has keys, so that nothing has to be sorted. */
static void
push_rudderstack(JsonbInState *state, const EventForm *form, const RowJson *rows, const ChangedRow *row,
				 const EventIds *ids, TimestampTz now)
{
	const char *at = iso_timestamp(now);
	bool		traits = has_traits(form->type, row->operation);

	push_string(state, "name", page_name(form));
	push_string(state, "type", form->type);
	push_string(state, "event", event_name(form, row));
	push_string(state, "sentAt", at);
	if (traits)
		push_row(state, "traits", rows, row);
	push_string(state, "userId", ids->user);
	push_string(state, "channel", "server");
	push_context(state, form, rows, row);
	push_string(state, "groupId", ids->group);
	push_string(state, "messageId", new_id());
	push_string(state, "previousId", ids->previous);
	if (!traits)
		push_row(state, "properties", rows, row);
	push_string(state, "anonymousId", ids->anonymous);
	push_string(state, "originalTimestamp", at);
}

static const char *const capital_operations[] = {"INSERT", "UPDATE", "DELETE"};

/* As Supabase's database webhooks send it. */
static void
push_supabase(JsonbInState *state, const EventForm *form, const RowJson *rows, const ChangedRow *row)
{
	push_string(state, "type", capital_operations[row->operation]);
	push_string(state, "table", form->table);
	push_string(state, "schema", form->schema);
	push_new(state, "record", rows, row);
	push_old(state, "old_record", rows, row);
}

/* As Hasura's event triggers send it. */
static void
push_hasura(JsonbInState *state, const EventForm *form, const RowJson *rows, const ChangedRow *row,
			TimestampTz now)
{
	push_string(state, "id", new_id());
	push_string(state, "created_at", iso_timestamp(now));
	push_key(state, "trigger");
	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	push_string(state, "name", form->trigger);
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
	push_key(state, "table");
	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	push_string(state, "schema", form->schema);
	push_string(state, "name", form->table);
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
	push_key(state, "event");
	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	push_string(state, "op", capital_operations[row->operation]);
	push_null(state, "session_variables");
	push_null(state, "trace_context");
	push_key(state, "data");
	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	push_old(state, "old", rows, row);
	push_new(state, "new", rows, row);
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
	push_key(state, "delivery_info");
	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	push_number(state, "current_retry", 0);
	push_number(state, "max_retries", 0);
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

Datum
event_of_row(const EventForm *form, const RowJson *rows, const ChangedRow *row, const EventIds *ids,
			 TimestampTz now)
{
	JsonbInState state = {0};

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	switch (form->shape)
	{
		case SHAPE_RUDDERSTACK:
			push_rudderstack(&state, form, rows, row, ids, now);
			break;
		case SHAPE_SUPABASE:
			push_supabase(&state, form, rows, row);
			break;
		case SHAPE_HASURA:
			push_hasura(&state, form, rows, row, now);
			break;
	}
	pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	return JsonbPGetDatum(JsonbValueToJsonb(state.result));
}

Datum
event_of_parts(const char *type, const char *name, const char *message_id, const char *user,
			   Jsonb *payload, TimestampTz now)
{
	const char *at = iso_timestamp(now);
	bool		page = strcmp(type, "page") == 0 || strcmp(type, "screen") == 0;
	JsonbInState state = {0};

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_string(&state, "type", type);
	push_string(&state, page ? "name" : "event", name);
	push_string(&state, "messageId", message_id != NULL ? message_id : new_id());
	push_string(&state, "userId", user);
	push_string(&state, "channel", "server");
	push_string(&state, "originalTimestamp", at);
	push_string(&state, "sentAt", at);
	if (payload != NULL)
	{
		JsonbValue	value;

		JsonbToJsonbValue(payload, &value);
		push_key(&state, has_traits(type, OPERATION_INSERT) ? "traits" : "properties");
		pushJsonbValue(&state, WJB_VALUE, &value);
	}
	pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	return JsonbPGetDatum(JsonbValueToJsonb(state.result));
}
