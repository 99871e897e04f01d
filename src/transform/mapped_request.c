/*-------------------------------------------------------------------------
 *
 * mapped_request.c
 *		Event and mappings become the request that RudderStack's HTTP destination would
 *		send.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/fmgrprotos.h"

#include "base/compat.h"
#include "base/encoding.h"
#include "transform/flatten.h"
#include "transform/json.h"
#include "transform/mapped.h"
#include "transform/mapped_request.h"

/* What is made of what, and where it goes. */
typedef struct Making
{
	MappedMaking mapped;
	MappingList list;			/* which one's turn it is */
	const TransformConfig *config;
	Transformed *result;
} Making;

static const char *const content_types[] = {
	[BODY_JSON] = "application/json",
	[BODY_FORM] = "application/x-www-form-urlencoded",
	[BODY_XML] = "application/xml",
	[BODY_UNKNOWN] = "application/json"
};

static void
add_text(NamedValues *headers, const char *name, const char *text)
{
	JsonbValue	value;

	json_set_string(&value, text, strlen(text));
	named_values_add(headers, name, strlen(name), &value);
}

/* Does a destination say what is there, in whole or in part? */
static bool
has_literal(const Mappings *mappings, const JsonbValue *name)
{
	for (int i = 0; i < mappings->count; i++)
	{
		const Mapping *mapping = &mappings->items[i];
		const MappingPart *first = mapping->parts;

		if (mapping->npieces == 0 && !mapping->by_event &&
			(mapping->nparts == 0 ||
			 (first->len == name->val.string.len && memcmp(first->name, name->val.string.val, first->len) == 0)))
			return true;
	}
	return false;
}

static const char *
kind_of(const JsonbValue *value)
{
	return value->type == jbvNumeric ? "a number" : value->type == jbvBool ? "a boolean" :
		json_is_array(value) ? "an array" : "an object";
}

static void
add_mapped_header(const Making *making, const Mappings *mappings, const JsonbValue *name,
				  const JsonbValue *value)
{
	NamedValues *headers = &making->result->headers;
	const char *as_sent = name->val.string.val;
	int			len = name->val.string.len;

	if (value->type != jbvString)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("header \"%s\" is not a string but %s",
						encoding_quotable(as_sent, len), kind_of(value))));
	if (!making->config->mapped->fixed_type)
		as_sent = js_lower(as_sent, len, &len);
	named_values_add(headers, as_sent, len, value);
	headers->items[headers->count - 1].valued_by_event = !has_literal(mappings, name);
	/* which of the templates have made what is not known here */
	headers->items[headers->count - 1].named_by_event = making->config->of_templates;
}

static void
add_param(const Making *making, const Mappings *mappings, const JsonbValue *name, const JsonbValue *value)
{
	NamedValues *params = &making->result->params;

	named_values_add(params, name->val.string.val, name->val.string.len, value);
	params->items[params->count - 1].is_own = has_literal(mappings, name);
}

/* Each member of what the list for the query makes; nulls are none. */
static void
add_params(Making *making)
{
	const Mappings *mappings = &making->config->mapped->lists[MAPPING_QUERY];
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	name;
	JsonbValue	value;

	if (mappings->count == 0)
		return;
	it = JsonbIteratorInit(&mapped_object(&making->mapped, mappings)->root);
	while ((token = JsonbIteratorNext(&it, &name, true)) != WJB_DONE)
	{
		if (token != WJB_KEY)
			continue;
		CHECK_FOR_INTERRUPTS();
		(void) JsonbIteratorNext(&it, &value, true);
		if (value.type != jbvNull)
			add_param(making, mappings, &name, &value);
	}
}

/* Those of the list, in its order: of names that differ in case, the later counts. */
static void
add_mapped_headers(Making *making)
{
	const Mappings *mappings = &making->config->mapped->lists[MAPPING_HEADERS];
	Jsonb	   *made;
	JsonbValue	object;

	if (mappings->count == 0)
		return;
	made = mapped_object(&making->mapped, mappings);
	json_set_container(&object, &made->root, VARSIZE(made) - VARHDRSZ);
	for (int i = 0; i < mappings->count; i++)
	{
		const MappingPart *part = mapping_header(&mappings->items[i]);
		JsonbValue	name;
		JsonbValue	value;
		bool		again = false;

		for (int j = 0; j < i && !again; j++)
		{
			const MappingPart *other = mapping_header(&mappings->items[j]);

			again = other->len == part->len && memcmp(other->name, part->name, part->len) == 0;
		}
		json_set_string(&name, part->name, part->len);
		if (!again && json_get(&object, part->name, part->len, &value) && value.type != jbvNull)
			add_mapped_header(making, mappings, &name, &value);
	}
}

static void
make_headers(Making *making)
{
	const ConfigMapped *mapped = making->config->mapped;
	Transformed *result = making->result;
	NamedValues *headers = &result->headers;
	const NamedValues *given = &making->config->headers;

	making->list = MAPPING_HEADERS;
	if (!mapped->fixed_type && !making->config->sets_content_type)
		add_text(headers, "content-type", content_types[mapped->format]);
	if (mapped->has_auth)
		named_values_add(headers, mapped->auth.name, mapped->auth.name_len, &mapped->auth.value);
	for (int i = 0; i < given->count; i++)
	{
		named_values_add(headers, given->items[i].name, given->items[i].name_len, &given->items[i].value);
		headers->items[headers->count - 1].named_by_event = given->items[i].named_by_event;
		headers->items[headers->count - 1].valued_by_event = given->items[i].valued_by_event;
	}
	add_mapped_headers(making);
	if (mapped->fixed_type)
		add_text(headers, "Content-Type", content_types[mapped->format]);
	result->nconfigured = headers->count;
	result->displaced = making->config->displaced;
}

/* In the path of an URL, what follows its scheme, a run of slashes becomes one; behind a colon, two. */
static void
append_single_slashes(StringInfo out, const char *text, int len, Size limit)
{
	for (int i = 0; i < len; i++)
	{
		bool		doubles = text[i] == '/' && out->len > 0 && out->data[out->len - 1] == '/';

		if (!doubles || (out->len > 1 && out->data[out->len - 2] == ':'))
			json_append_bytes(out, text + i, 1, limit);
	}
}

/* The parts go behind the path, and before a query. */
static void
make_endpoint(Making *making)
{
	const Mappings *parts = &making->config->mapped->lists[MAPPING_PATH];
	const JsonbValue *url = &making->config->url;
	JsonbValue *endpoint = &making->result->endpoint;
	Size		limit = making->mapped.limit;
	const char *text = pnstrdup(url->val.string.val, url->val.string.len);
	const char *scheme = strstr(text, "://");
	int			path_end = strcspn(text, "?#");
	int			host = scheme != NULL && scheme - text < path_end ? scheme - text + 3 : 0;
	StringInfoData out;
	StringInfoData added;

	*endpoint = *url;
	if (parts->items == NULL)
		return;
	making->list = MAPPING_PATH;
	initStringInfo(&out);
	initStringInfo(&added);
	mapped_path(&making->mapped, parts, &added);
	json_append_bytes(&out, text, host, limit);
	append_single_slashes(&out, text + host, path_end - host, limit);
	append_single_slashes(&out, added.data, added.len, limit);
	json_append_bytes(&out, text + path_end, url->val.string.len - path_end, limit);
	json_set_string(endpoint, out.data, out.len);
}

static void
make_body(Making *making)
{
	const ConfigMapped *mapped = making->config->mapped;
	Transformed *result = making->result;
	Jsonb	   *body = making->mapped.event;

	making->list = MAPPING_BODY;
	if (!mapped->whole_event)
		body = mapped_object(&making->mapped, &mapped->lists[MAPPING_BODY]);
	/* 18 asks whether it is to be done in arrays, too */
	body = DatumGetJsonbP(DirectFunctionCall2(jsonb_strip_nulls, JsonbPGetDatum(body), BoolGetDatum(false)));
	json_set_container(&result->body, &body->root, VARSIZE(body) - VARHDRSZ);
	result->has_body = JB_ROOT_COUNT(body) > 0;
	result->format = mapped->format;
	result->xml_root = mapped->xml_root;
}

static void
make_all(void *arg)
{
	Making	   *making = arg;

	make_headers(making);
	making->list = MAPPING_QUERY;
	add_params(making);
	make_endpoint(making);
	make_body(making);
}

static void
make_in_time(void *arg)
{
	pathquery_run(make_all, arg, PATHQUERY_MS);
}

/* Which mapping it is, as people wrote it; a literal may be a secret. */
static char *
describe(const Making *making)
{
	static const char *const parts[] = {
		[MAPPING_HEADERS] = "a header",
		[MAPPING_QUERY] = "the query",
		[MAPPING_PATH] = "the path",
		[MAPPING_BODY] = "the body"
	};
	const Mapping *current = making->mapped.current;
	const char *from;

	if (current == NULL)
		return psprintf("%s cannot be made", parts[making->list]);
	from = current->npieces > 0 ? psprintf(" of \"%s\"", encoding_quotable(current->from, strlen(current->from))) : "";
	if (current->to == NULL)
		return psprintf("a part of %s cannot be made%s", parts[making->list], from);
	return psprintf("\"%s\" of %s cannot be made%s", encoding_quotable(current->to, strlen(current->to)),
					parts[making->list], from);
}

void
mapped_request(Jsonb *event, const TransformConfig *config, Size limit, Transformed *result)
{
	Making		making = {.mapped = {.event = event, .limit = limit}, .config = config, .result = result};
	bool		takes_time = config_mapped_takes_time(config->mapped);
	char	   *message;

	result->mapped = config->mapped;
	result->method = config->method;
	result->is_sendable = config->method_kind != METHOD_OTHER && config->mapped->format != BODY_UNKNOWN;
	result->headers.limit = result->params.limit = limit;
	json_set_string(&result->user_id, "", 0);
	message = pathquery_try(takes_time ? make_in_time : make_all, &making);
	result->paths_us = takes_time ? pathquery_took_us() : 0;
	if (message == NULL)
		return;
	if (making.mapped.current != NULL && making.mapped.current->npieces > 0)
		message = pathquery_without_values(message, making.mapped.current->from);
	result->problem = psprintf("%s: %s", describe(&making), message);
}
