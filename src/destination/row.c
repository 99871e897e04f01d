/*-------------------------------------------------------------------------
 *
 * row.c
 *		A row of rswebhook.destination becomes a Destination.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "base/compat.h"
#include "base/inject.h"
#include "destination/auth.h"
#include "destination/check.h"
#include "destination/check_json.h"
#include "destination/check_mapping.h"
#include "destination/fields.h"
#include "destination/problem.h"
#include "destination/row.h"
#include "destination/secret.h"
#include "transform/config.h"
#include "transform/dynamic.h"
#include "transform/json.h"
#include "transform/url_shown.h"

/* The value of the header that authenticates, as far as the row knows it. */
static const char *
known_auth_value(const DestinationAuth *auth)
{
	const char *value = NULL;

	if (auth->secret->source == SECRET_LITERAL)
		value = auth_header_value(auth, auth->secret->text);
	return value != NULL ? value : SHOWN_MASK;
}

/* What the event says of it is no secret; the default may be. */
static void
mask_header(JsonbValue *value)
{
	Template	found;
	const char *masked = SHOWN_MASK;

	if (value->type == jbvString && dynamic_template(value->val.string.val, value->val.string.len, &found))
		masked = dynamic_with_fallback(&found, SHOWN_MASK);
	json_set_string(value, masked, strlen(masked));
}

static char *
mask_url(const char *url)
{
	Template	found;

	return dynamic_template(url, strlen(url), &found) ?
		dynamic_with_fallback(&found, url_masked(dynamic_fallback(&found))) : url_masked(url);
}

/* All headers of a destination, with or without their values. */
static Jsonb *
all_headers(const DestinationAuth *auth, const Jsonb *headers, bool masked)
{
	JsonbInState state = {0};
	JsonbIterator *it = JsonbIteratorInit(unconstify(JsonbContainer *, &headers->root));
	JsonbIteratorToken token;
	JsonbValue	key;
	JsonbValue	value;
	const char *text;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	while ((token = JsonbIteratorNext(&it, &key, true)) != WJB_DONE)
	{
		if (token != WJB_KEY)
			continue;
		(void) JsonbIteratorNext(&it, &value, true);
		if (masked)
			mask_header(&value);
		pushJsonbValue(&state, WJB_KEY, &key);
		pushJsonbValue(&state, WJB_VALUE, &value);
	}
	if (auth->header != NULL)
	{
		text = masked ? SHOWN_MASK : known_auth_value(auth);
		json_set_string(&key, auth->header, strlen(auth->header));
		json_set_string(&value, text, strlen(text));
		pushJsonbValue(&state, WJB_KEY, &key);
		pushJsonbValue(&state, WJB_VALUE, &value);
	}
	pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	return JsonbValueToJsonb(state.result);
}

static Jsonb *
empty_object(void)
{
	JsonbInState state = {0};

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	return JsonbValueToJsonb(state.result);
}

/* The literals of a list of {to, from}; paths say nothing that is secret. */
static Jsonb *
mask_literals(Jsonb *list)
{
	JsonbInState state = {0};
	JsonbIterator *it = JsonbIteratorInit(&list->root);
	JsonbIteratorToken token;
	JsonbValue	value;
	bool		is_from = false;

	while ((token = JsonbIteratorNext(&it, &value, false)) != WJB_DONE)
	{
		if (token == WJB_VALUE && is_from && value.type == jbvString && mapping_is_literal(&value))
			mask_header(&value);
		is_from = token == WJB_KEY && json_is_string(&value, "from");
		pushJsonbValue(&state, token, token < WJB_BEGIN_ARRAY ? &value : NULL);
	}
	return JsonbValueToJsonb(state.result);
}

/* The configs for the wire and for people. */
static void
make_configs(Destination *dest, const DestinationFields *fields)
{
	const Jsonb *headers = fields->headers != NULL ? fields->headers : empty_object();
	MappedParts parts = {.format = fields->format, .xml_root = fields->xml_root};
	bool		mapped = destination_is_mapped(fields);

	memcpy(parts.lists, fields->mapping, sizeof(parts.lists));
	dest->config = transform_config_from_parts(dest->url, dest->method,
											   all_headers(&dest->auth, headers, false),
											   mapped ? &parts : NULL);
	for (int which = 0; which < MAPPING_LISTS; which++)
	{
		if (parts.lists[which] != NULL && which != MAPPING_PATH)
			parts.lists[which] = mask_literals(parts.lists[which]);
	}
	dest->masked_config = transform_config_from_parts(mask_url(dest->url), dest->method,
													  all_headers(&dest->auth, headers, true),
													  mapped ? &parts : NULL);
}

static double
row_number(const Row *row, const char *column)
{
	return destination_number(row->tuple, row->desc, column);
}

static char **
string_list(ArrayType *array, int *count)
{
	Datum	   *elements;
	char	  **list;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, NULL, count);
	list = palloc(Max(*count, 1) * sizeof(char *));
	for (int i = 0; i < *count; i++)
		list[i] = TextDatumGetCString(elements[i]);
	return list;
}

/* A secret that has passed the check, or NULL. */
static Secret *
read_secret(const char *text)
{
	const char *problem;

	return text != NULL ? secret_from_text(text, &problem) : NULL;
}

/* What is of a fixed size, and there whatever is wrong with the rest. */
static void
read_fixed(Destination *dest, const Row *row)
{
	dest->id = fields_int(row, "id");
	dest->version = HeapTupleHeaderGetRawXmin(row->tuple->t_data);
	dest->name = dest->url = "";
	dest->method = "POST";
	dest->enabled = fields_bool(row, "enabled");
	dest->paused = fields_bool(row, "paused");
	dest->ordered = fields_bool(row, "ordered");
	dest->max_in_flight = (int) row_number(row, "max_in_flight");
	dest->rate_limit = row_number(row, "rate_limit");
	dest->workers = (int) row_number(row, "workers");

	dest->connect_timeout_ms = (int) (row_number(row, "connect_timeout") / 1e3);
	dest->timeout_ms = (int) (row_number(row, "timeout") / 1e3);
	dest->low_speed_limit = (int) row_number(row, "low_speed_limit");
	dest->low_speed_time_s = (int) (row_number(row, "low_speed_time") / 1e6);
	dest->max_redirects = (int) row_number(row, "max_redirects");

	dest->min_backoff_us = (int64) row_number(row, "min_backoff");
	dest->max_backoff_us = (int64) row_number(row, "max_backoff");
	dest->retry_after_factor = row_number(row, "retry_after_factor");
	dest->retry_window_us = (int64) row_number(row, "retry_window");
	dest->min_attempts = (int) row_number(row, "min_attempts");
	dest->breaker_failures = (int) row_number(row, "breaker_failures");
	dest->expires_after_us = (int64) row_number(row, "expires_after");
	dest->once_us = (int64) row_number(row, "deduplicate");
	dest->disable_after_us = (int64) row_number(row, "disable_after");
}

void
destination_read(Destination *dest, HeapTuple tuple, TupleDesc desc)
{
	const Row	the_row = {tuple, desc};
	const Row  *row = &the_row;
	DestinationFields fields;
	FieldProblem problem;
	char	   *name;

	read_fixed(dest, row);

	/* from here on values may have to be fetched and decompressed */
	name = fields_text(row, "name");
	if (name != NULL)
		dest->name = name;
	INJECT_EVENT("destination", dest->id);

	if (!destination_nulls_check(row->tuple, row->desc, &problem) ||
		!destination_ranges_check(row->tuple, row->desc, &problem) ||
		!destination_fields_check(row->tuple, row->desc, &fields, &problem))
	{
		dest->problem = psprintf("Column \"%s\" is invalid: %s",
								 problem.column, problem.detail);
		return;
	}

	dest->url = fields.url;
	dest->origin = destination_origin(fields.url);
	dest->method = fields.method;
	dest->ca_cert = fields.ca_cert;
	dest->no_proxy = fields.no_proxy;
	dest->client_cert = read_secret(fields.client_cert);
	dest->client_key = read_secret(fields.client_key);
	dest->proxy = read_secret(fields.proxy);
	auth_read(&fields, &dest->auth);
	dest->event_auth_headers = fields_bool(row, "event_auth_headers");
	make_configs(dest, &fields);
	if (fields.allowed_hosts)
		dest->allowed_hosts = string_list(fields.allowed_hosts, &dest->nallowed_hosts);
	if (fields.signing_secrets)
		destination_secrets_read(fields.signing_secrets, &dest->signing_secrets,
								 &dest->nsigning_secrets);
	if (fields.status_outcomes)
		destination_outcomes_read(fields.status_outcomes, &dest->status_outcomes,
								  &dest->nstatus_outcomes);
}
