/*-------------------------------------------------------------------------
 *
 * config.c
 *		RudderStack's Config, read once so that it can be used many times.
 *
 * What is wrong with it is only remembered here.  RudderStack asks nothing of
 * the config of an event that passes through, so it becomes an error once an
 * event needs it.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "transform/header.h"
#include "utils/builtins.h"

#include "base/compat.h"
#include "transform/config.h"
#include "transform/dynamic.h"
#include "transform/flatten.h"
#include "transform/json.h"
#include "transform/pairs.h"
#include "transform/values.h"

static const struct
{
	const char *name;
	MethodKind	kind;
}			methods[] = {
	{"POST", METHOD_BODY},
	{"PUT", METHOD_BODY},
	{"PATCH", METHOD_BODY},
	{"GET", METHOD_PARAMS},
	{"DELETE", METHOD_PARAMS},
};

const char *
config_method(const char *name)
{
	for (int i = 0; i < lengthof(methods); i++)
	{
		if (pg_strcasecmp(name, methods[i].name) == 0)
			return methods[i].name;
	}
	return NULL;
}

static void
set_method(TransformConfig *config, const JsonbValue *method)
{
	config->method = *method;
	config->method_kind = METHOD_OTHER;
	for (int i = 0; i < lengthof(methods); i++)
	{
		if (json_is_string(method, methods[i].name))
			config->method_kind = methods[i].kind;
	}
}

/* A header, or with NULL the removal of what an earlier source gives. */
static void
add_config_header(TransformConfig *config, const char *name, int name_len,
				  const JsonbValue *value)
{
	static const JsonbValue removal = {.type = jbvArray};
	int			lower_len;
	const char *lower = js_lower(name, name_len, &lower_len);

	named_values_add(&config->headers, lower, lower_len,
					 value != NULL ? value : &removal);
}

/* All headers are there: drop removals, which may have removed the default. */
static void
settle_config_headers(TransformConfig *config)
{
	NamedValues *headers = &config->headers;
	int			kept = 0;

	named_values_settle(headers);
	for (int i = 0; i < headers->count; i++)
	{
		NamedValue *header = &headers->items[i];

		if (json_key_is(header->name, header->name_len, "content-type"))
			config->sets_content_type = true;
		if (header->value.type != jbvArray)
			headers->items[kept++] = *header;
	}
	headers->count = kept;
}

/* Is a part of a Config's header a template? */
static bool
is_template(const JsonbValue *item, const char *part, Template *found)
{
	JsonbValue	string;

	return item != NULL && json_get(item, part, strlen(part), &string) && string.type == jbvString &&
		dynamic_template(string.val.string.val, string.val.string.len, found);
}

/*
 * One item of Config.headers; returns what is wrong with it, or NULL.  template: what
 * it was made of; NULL: it was there as it is.
 */
static const char *
read_header_item(TransformConfig *config, const JsonbValue *item, const JsonbValue *template)
{
	JsonbValue	from;
	JsonbValue	to;
	JsonbValue	name;
	Template	found;
	bool		has_value;
	NamedValue *header;

	if (item->type == jbvNull)
		return "It is null.";
	if (!json_get(item, "from", 4, &from) || from.type == jbvNull)
		return NULL;

	js_text(&from, &name, JSON_MOST_TEXT);
	if (js_blank(name.val.string.val, name.val.string.len))
		return NULL;
	if (from.type != jbvString)
		return "Its \"from\", the name of the header, is not a string.";

	has_value = json_get(item, "to", 2, &to);
	add_config_header(config, name.val.string.val, name.val.string.len, has_value ? &to : NULL);
	header = &config->headers.items[config->headers.count - 1];
	header->named_by_event = is_template(template, "from", &found);
	header->valued_by_event = is_template(template, "to", &found) &&
		!(has_value && dynamic_is_default(&to, &found));
	return NULL;
}

/* The first header whose place one takes that is named by the event. */
static const NamedValue *
find_displaced(const NamedValues *headers)
{
	for (int i = 0; i < headers->count; i++)
	{
		const NamedValue *given = &headers->items[i];

		CHECK_FOR_INTERRUPTS();
		for (int other = 0; !given->named_by_event && other < headers->count; other++)
		{
			const NamedValue *named = &headers->items[other];

			if (named->named_by_event &&
				header_names_alike(given->name, given->name_len, named->name, named->name_len))
			{
				NamedValue *displaced = palloc(sizeof(NamedValue));

				*displaced = *given;
				return displaced;
			}
		}
	}
	return NULL;
}

/* templates: what they were made of, item by item, or NULL */
static void
read_header_items(TransformConfig *config, const JsonbValue *headers, const JsonbValue *templates)
{
	JsonbIterator *it = JsonbIteratorInit(headers->val.binary.data);
	JsonbIteratorToken token;
	JsonbValue	item;
	int			position = 0;

	while ((token = JsonbIteratorNext(&it, &item, true)) != WJB_DONE)
	{
		const char *detail;

		if (token != WJB_ELEM)
			continue;
		CHECK_FOR_INTERRUPTS();

		position++;
		detail = read_header_item(config, &item, templates == NULL ? NULL :
								  getIthJsonbValueFromContainer(templates->val.binary.data, position - 1));
		if (detail != NULL)
		{
			config->bad_header = position;
			config->bad_header_detail = detail;
			return;
		}
	}
	if (templates != NULL)
		config->displaced = find_displaced(&config->headers);
	settle_config_headers(config);
}

/* A key of the Config's that is an array, or NULL. */
static const JsonbValue *
get_array(Jsonb *config, const char *key, JsonbValue *array)
{
	JsonbValue	root;

	json_set_container(&root, &config->root, VARSIZE(config) - VARHDRSZ);
	return json_get(&root, key, strlen(key), array) && json_is_array(array) ? array : NULL;
}

/* Of a Config, the URL and the method are there under these names. */
static void
read_url(TransformConfig *config, const JsonbValue *root, const char *url_key, const char *method_key)
{
	JsonbValue	value;

	config->url_needed = true;
	if (json_get(root, url_key, strlen(url_key), &value) && js_truthy(&value))
	{
		config->url_given = true;
		js_text(&value, &config->url, JSON_MOST_TEXT);
	}
	if (!json_get(root, method_key, strlen(method_key), &value) || value.type == jbvNull)
		json_set_string(&value, "POST", 4);
	set_method(config, &value);
}

/* templates: what it was made of, or NULL */
static void
read_config(TransformConfig *config, Jsonb *jsonb, Jsonb *templates)
{
	JsonbValue	root;
	JsonbValue	value;
	JsonbValue	made_of;

	config->templates = NULL;
	json_set_container(&root, &jsonb->root, VARSIZE(jsonb) - VARHDRSZ);
	if (!config->of_parts && config_mapped_is_http(jsonb))
	{
		read_url(config, &root, "apiUrl", "method");
		config->mapped = config_mapped_from_http(jsonb, templates);
		return;
	}
	read_url(config, &root, "webhookUrl", "webhookMethod");
	if (get_array(jsonb, "headers", &value) != NULL)
		read_header_items(config, &value, templates == NULL ? NULL : get_array(templates, "headers", &made_of));
	if (!config->of_parts || !config_mapped_is_part(&root))
		return;
	if (templates != NULL)
		json_set_container(&made_of, &templates->root, VARSIZE(templates) - VARHDRSZ);
	config->mapped = config_mapped_from_part(&root, templates != NULL ? &made_of : NULL);
}

TransformConfig *
transform_config_from_jsonb(Jsonb *jsonb)
{
	TransformConfig *config;

	if (!JB_ROOT_IS_OBJECT(jsonb))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("config is not a JSON object"),
				 js_is_quoted_json(jsonb) ? errhint(JSON_QUOTED_HINT) :
				 errhint("Pass a destination's configuration such as {\"webhookUrl\": \"https://example.com/hook\", \"webhookMethod\": \"POST\"}.")));

	config = palloc0(sizeof(TransformConfig));
	config->templates = jsonb;
	if (!dynamic_has_templates(jsonb))
		read_config(config, jsonb, NULL);
	return config;
}

/*
 * Headers come first, and what is made of a destination's columns is looked at as the Config
 * that they may have been imported from.
 */
const char *const *
transform_config_order(const TransformConfig *config)
{
	static const char *const of_webhook[] = {NULL};
	static const char *const of_http[] = {"headers", NULL};
	static const char *const of_columns[] = {
		"headers", "header_mapping", "webhookUrl", "webhookMethod", "path_parts", "query_mapping", "body_mapping", NULL
	};

	if (config->of_parts)
		return of_columns;
	return config_mapped_is_http(config->templates) ? of_http : of_webhook;
}

TransformConfig *
transform_config_resolved(Jsonb *jsonb, const TransformConfig *templates)
{
	TransformConfig *config = palloc0(sizeof(TransformConfig));

	config->of_parts = templates->of_parts;
	config->of_templates = true;
	read_config(config, jsonb, templates->templates);
	return config;
}

/* As RudderStack's array of {from, to}; headers: an object, or NULL. */
static void
header_items(Jsonb *headers, JsonbValue *items)
{
	int			count = 0;
	JsonbPair  *given = headers == NULL ? NULL : pairs_of(&headers->root, 0, &count);
	JsonbPair  *pairs = palloc(Max(count, 1) * 2 * sizeof(JsonbPair));

	items->type = jbvArray;
	items->val.array.rawScalar = false;
	items->val.array.nElems = count;
	items->val.array.elems = palloc(Max(count, 1) * sizeof(JsonbValue));
	for (int i = 0; i < count; i++)
	{
		JsonbPair  *item = &pairs[2 * i];

		/* jsonb's order: by length, then bytes */
		json_set_string(&item[0].key, "to", 2);
		item[0].value = given[i].value;
		json_set_string(&item[1].key, "from", 4);
		item[1].value = given[i].key;
		json_set_object(&items->val.array.elems[i], item, 2);
	}
}

/* The parts as a Config. */
static Jsonb *
config_of_parts(const char *url, const char *method, Jsonb *headers, const MappedParts *mapped)
{
	JsonbPair	pairs[3 + MAX_MAPPED_PAIRS];
	JsonbPair  *pair = pairs;
	JsonbValue	config;
	int			count;

	json_set_string(&pair->key, "headers", 7);
	header_items(headers, &pair++->value);
	json_set_string(&pair->key, "webhookUrl", 10);
	json_set_string(&pair++->value, url, strlen(url));
	json_set_string(&pair->key, "webhookMethod", 13);
	json_set_string(&pair++->value, method, strlen(method));
	count = pair - pairs;
	if (mapped != NULL)
		count += config_mapped_pairs(mapped, pair);
	for (int i = 0; i < count; i++)
		pairs[i].order = i;
	pairs_sort(pairs, &count);
	json_set_object(&config, pairs, count);
	return json_write(&config);
}

TransformConfig *
transform_config_from_parts(const char *url, const char *method, Jsonb *headers,
							const MappedParts *mapped)
{
	TransformConfig *config = palloc0(sizeof(TransformConfig));
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	name;
	JsonbValue	value;

	config->of_parts = true;
	if (url != NULL)
	{
		Jsonb	   *whole = config_of_parts(url, method, headers, mapped);

		if (dynamic_has_templates(whole))
		{
			config->templates = whole;
			return config;
		}
		json_set_container(&value, &whole->root, VARSIZE(whole) - VARHDRSZ);
		if (mapped != NULL)
			config->mapped = config_mapped_from_part(&value, NULL);
		else
			pfree(whole);
	}
	config->url_given = url != NULL;
	json_set_string(&config->url, url != NULL ? pstrdup(url) : "",
					url != NULL ? strlen(url) : 0);
	json_set_string(&value, pstrdup(method), strlen(method));
	set_method(config, &value);

	if (headers != NULL && JB_ROOT_IS_OBJECT(headers))
	{
		Jsonb	   *copy = palloc(VARSIZE(headers));

		memcpy(copy, headers, VARSIZE(headers));
		it = JsonbIteratorInit(&copy->root);
		while ((token = JsonbIteratorNext(&it, &name, true)) != WJB_DONE)
		{
			if (token != WJB_KEY)
				continue;
			(void) JsonbIteratorNext(&it, &value, true);
			add_config_header(config, name.val.string.val, name.val.string.len,
							  &value);
		}
		settle_config_headers(config);
	}
	return config;
}

bool
transform_config_takes_time(const TransformConfig *config)
{
	return config->templates != NULL ||
		(config->mapped != NULL && config_mapped_takes_time(config->mapped));
}

bool
transform_config_is_good(const TransformConfig *config, ConfigProblem *problem)
{
	if (config->url_needed && !config->url_given)
		*problem = (ConfigProblem) {
			config->mapped != NULL ? "config has no \"apiUrl\"" : "config has no \"webhookUrl\"",
			"The URL to send to is missing, null or empty.",
			config->mapped != NULL ? "Add \"apiUrl\": \"https://...\" to the config." :
			"Add \"webhookUrl\": \"https://...\" to the config."
		};
	else if (config->mapped != NULL && config->mapped->problem != NULL)
		*problem = (ConfigProblem) {
			"config cannot be used", config->mapped->problem, config->mapped->hint
		};
	else if (config->bad_header > 0)
		*problem = (ConfigProblem) {
			psprintf("item %d of \"headers\" in the config is not a header", config->bad_header),
			config->bad_header_detail,
			"Each item is an object such as {\"from\": \"x-api-key\", \"to\": \"value\"}."
		};
	else
		return true;
	return false;
}

void
transform_config_check(const TransformConfig *config)
{
	ConfigProblem problem;

	if (!transform_config_is_good(config, &problem))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg_internal("%s", problem.message),
				 errdetail_internal("%s", problem.detail),
				 problem.hint != NULL ? errhint("%s", problem.hint) : 0));
}

/* What of a value lies elsewhere. */
static void
pack_value(Packing *packing, JsonbValue *to, const JsonbValue *value)
{
	JsonbValue	copy = *value;

	switch (value->type)
	{
		case jbvString:
			copy.val.string.val = pack(packing, value->val.string.val, value->val.string.len);
			break;
		case jbvNumeric:
			copy.val.numeric = pack(packing, value->val.numeric, VARSIZE_ANY(value->val.numeric));
			break;
		case jbvBinary:
			copy.val.binary.data = pack(packing, value->val.binary.data, value->val.binary.len);
			break;
		default:
			break;
	}
	if (to != NULL)
		*to = copy;
}

TransformConfig *
transform_config_pack(Packing *packing, const TransformConfig *config)
{
	TransformConfig *to = pack(packing, config, sizeof(TransformConfig));
	NamedValue *items = pack(packing, config->headers.items,
							 config->headers.count * sizeof(NamedValue));
	ConfigMapped *mapped = config_mapped_pack(packing, config->mapped);

	pack_value(packing, to != NULL ? &to->url : NULL, &config->url);
	pack_value(packing, to != NULL ? &to->method : NULL, &config->method);
	for (int i = 0; i < config->headers.count; i++)
	{
		const NamedValue *item = &config->headers.items[i];
		const char *name = pack(packing, item->name, item->name_len);

		pack_value(packing, items != NULL ? &items[i].value : NULL, &item->value);
		if (items != NULL)
			items[i].name = name;
	}
	if (config->templates != NULL)
	{
		Jsonb	   *templates = pack(packing, config->templates, VARSIZE(config->templates));

		if (to != NULL)
			to->templates = templates;
	}
	if (to != NULL)
	{
		to->headers.items = items;
		to->mapped = mapped;
		to->headers.size = config->headers.count;
	}
	return to;
}
