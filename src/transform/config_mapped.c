/*-------------------------------------------------------------------------
 *
 * config_mapped.c
 *		Of a Config, what makes requests by mappings alone, as RudderStack's HTTP
 *		destination does.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/base64.h"
#include "base/compat.h"
#include "base/encoding.h"
#include "transform/config_mapped.h"
#include "transform/json.h"
#include "transform/xmltext.h"

/* Of what is made of our columns, a member that is there if it makes requests by mappings. */
#define FORMAT_KEY	"format"

/* The formats there are: RudderStack's names and ours. */
static const struct
{
	const char *upstream;
	const char *own;
	BodyFormat	format;
}			formats[] = {
	{"JSON", "json", BODY_JSON},
	{"FORM", "form", BODY_FORM},
	{"XML", "xml", BODY_XML}
};

/* The lists: RudderStack's keys and our columns. */
static const struct
{
	const char *upstream;
	const char *own;
}			keys[MAPPING_LISTS] = {
	[MAPPING_HEADERS] = {"headers", "header_mapping"},
	[MAPPING_QUERY] = {"queryParams", "query_mapping"},
	[MAPPING_PATH] = {"pathParams", "path_parts"},
	[MAPPING_BODY] = {"propertiesMapping", "body_mapping"}
};

/* The first problem counts. */
static void
add_problem(ConfigMapped *mapped, const char *problem, const char *hint)
{
	if (mapped->problem != NULL)
		return;
	mapped->problem = problem;
	mapped->hint = hint;
}

static void
read_list(ConfigMapped *mapped, const JsonbValue *config, const JsonbValue *templates,
		  const char *key, MappingList which)
{
	JsonbValue	list;
	JsonbValue	made_of;
	bool		has_templates = json_get(templates, key, strlen(key), &made_of);
	MappingProblem problem;

	if (!json_get(config, key, strlen(key), &list) || !js_truthy(&list))
		return;
	if (mapping_read_list(&list, has_templates ? &made_of : NULL, which, &mapped->lists[which], &problem))
		return;
	if (problem.position > 0)
		add_problem(mapped, psprintf("item %d of \"%s\": %s", problem.position, key, problem.detail), problem.hint);
	else
		add_problem(mapped, psprintf("\"%s\": %s", key, problem.detail), problem.hint);
}

static void
read_root(ConfigMapped *mapped, const JsonbValue *config, const char *key)
{
	JsonbValue	root;
	JsonbValue	text;
	const char *why;

	mapped->xml_root = XMLTEXT_ROOT;
	if (!json_get(config, key, strlen(key), &root) || root.type == jbvNull)
		return;
	js_text(&root, &text, JSON_MOST_TEXT);
	mapped->xml_root = pnstrdup(text.val.string.val, text.val.string.len);
	why = mapped->format == BODY_XML ? xmltext_name_problem(text.val.string.val, text.val.string.len) : NULL;
	if (why != NULL)
		add_problem(mapped, psprintf("\"%s\" cannot be an element's name: %s", key, why),
					"Use a name such as \"order\", or none for \"" XMLTEXT_ROOT "\".");
}

/* ---------------------------------------------------------------------
 * RudderStack's Config
 * ---------------------------------------------------------------------
 */

bool
config_mapped_is_http(Jsonb *config)
{
	JsonbValue	value;

	return getKeyJsonValueFromContainer(&config->root, "apiUrl", 6, &value) != NULL;
}

/* Text of a key; NULL: there is none, or what JavaScript takes for nothing. */
static char *
text_of(const JsonbValue *config, const char *key)
{
	JsonbValue	value;
	JsonbValue	text;

	if (!json_get(config, key, strlen(key), &value) || !js_truthy(&value))
		return NULL;
	js_text(&value, &text, JSON_MOST_TEXT);
	return pnstrdup(text.val.string.val, text.val.string.len);
}

static char *
needed(ConfigMapped *mapped, const JsonbValue *config, const char *key, const char *auth)
{
	char	   *text = text_of(config, key);

	if (text == NULL)
		add_problem(mapped, psprintf("auth \"%s\" needs \"%s\", which is missing, null or empty", auth, key), NULL);
	return text;
}

static void
set_auth(ConfigMapped *mapped, const char *name, const char *value)
{
	mapped->has_auth = true;
	mapped->auth = (NamedValue) {.name = name, .name_len = strlen(name)};
	json_set_string(&mapped->auth.value, value, strlen(value));
}

/* Name and password are UTF-8 in the base64. */
static void
set_basic_auth(ConfigMapped *mapped, const char *username, const char *password)
{
	const char *pair = psprintf("%s:%s", username, password != NULL ? password : "");
	int			len = strlen(pair);

	if (encoding_to_utf8(&pair, &len))
		set_auth(mapped, "Authorization", psprintf("Basic %s", base64_encode(pair, len)));
	else
		add_problem(mapped, "user name and password are not valid UTF-8", NULL);
}

static void
read_auth(ConfigMapped *mapped, const JsonbValue *config)
{
	JsonbValue	auth;

	if (!json_get(config, "auth", 4, &auth))
		return;
	if (json_is_string(&auth, "basicAuth"))
	{
		char	   *username = needed(mapped, config, "username", "basicAuth");

		if (username != NULL)
			set_basic_auth(mapped, username, text_of(config, "password"));
	}
	else if (json_is_string(&auth, "bearerTokenAuth"))
	{
		char	   *token = needed(mapped, config, "bearerToken", "bearerTokenAuth");

		if (token != NULL)
			set_auth(mapped, "Authorization", psprintf("Bearer %s", token));
	}
	else if (json_is_string(&auth, "apiKeyAuth"))
	{
		char	   *name = needed(mapped, config, "apiKeyName", "apiKeyAuth");
		char	   *key = needed(mapped, config, "apiKeyValue", "apiKeyAuth");

		if (name != NULL && key != NULL)
			set_auth(mapped, name, key);
	}
}

static BodyFormat
read_format(const JsonbValue *config)
{
	JsonbValue	format;

	if (!json_get(config, "format", 6, &format) || format.type == jbvNull)
		return BODY_JSON;
	for (int i = 0; i < lengthof(formats); i++)
	{
		if (json_is_string(&format, formats[i].upstream))
			return formats[i].format;
	}
	return BODY_UNKNOWN;
}

ConfigMapped *
config_mapped_from_http(Jsonb *config, Jsonb *templates)
{
	ConfigMapped *mapped = palloc0(sizeof(ConfigMapped));
	JsonbValue	root;
	JsonbValue	made_of;
	JsonbValue	value;

	json_set_container(&root, &config->root, VARSIZE(config) - VARHDRSZ);
	if (templates != NULL)
		json_set_container(&made_of, &templates->root, VARSIZE(templates) - VARHDRSZ);
	mapped->fixed_type = true;
	read_auth(mapped, &root);
	mapped->format = read_format(&root);
	mapped->whole_event = json_get(&root, "isDefaultMapping", 16, &value) && js_truthy(&value);
	for (int which = 0; which < MAPPING_LISTS; which++)
	{
		const char *key = keys[which].upstream;

		if (which == MAPPING_BODY && mapped->whole_event)
			continue;
		/* as there, a path that is no array is none */
		if (which == MAPPING_PATH && json_get(&root, key, strlen(key), &value) && !json_is_array(&value))
			continue;
		read_list(mapped, &root, templates != NULL ? &made_of : NULL, key, which);
	}
	read_root(mapped, &root, "xmlRootKey");
	return mapped;
}

/* ---------------------------------------------------------------------
 * Our columns
 * ---------------------------------------------------------------------
 */

int
config_mapped_pairs(const MappedParts *parts, JsonbPair *pairs)
{
	JsonbPair  *pair = pairs;

	for (int which = 0; which < MAPPING_LISTS; which++)
	{
		Jsonb	   *given = parts->lists[which];

		if (given == NULL)
			continue;
		json_set_string(&pair->key, keys[which].own, strlen(keys[which].own));
		json_set_container(&pair++->value, &given->root, VARSIZE(given) - VARHDRSZ);
	}
	json_set_string(&pair->key, FORMAT_KEY, strlen(FORMAT_KEY));
	json_set_string(&pair++->value, parts->format, strlen(parts->format));
	if (parts->xml_root != NULL)
	{
		json_set_string(&pair->key, "xml_root", 8);
		json_set_string(&pair++->value, parts->xml_root, strlen(parts->xml_root));
	}
	return pair - pairs;
}

bool
config_mapped_is_part(const JsonbValue *config)
{
	JsonbValue	format;

	return json_get(config, FORMAT_KEY, strlen(FORMAT_KEY), &format);
}

ConfigMapped *
config_mapped_from_part(const JsonbValue *config, const JsonbValue *templates)
{
	ConfigMapped *mapped = palloc0(sizeof(ConfigMapped));
	JsonbValue	format;

	for (int which = 0; which < MAPPING_LISTS; which++)
		read_list(mapped, config, templates, keys[which].own, which);
	mapped->whole_event = mapped->lists[MAPPING_BODY].items == NULL;
	for (int i = 0; json_get(config, FORMAT_KEY, strlen(FORMAT_KEY), &format) && i < lengthof(formats); i++)
	{
		if (json_is_string(&format, formats[i].own))
			mapped->format = formats[i].format;
	}
	read_root(mapped, config, "xml_root");
	return mapped;
}

/* A destination's: one of RudderStack's is not kept. */
bool
config_mapped_takes_time(const ConfigMapped *mapped)
{
	for (int which = 0; which < MAPPING_LISTS; which++)
	{
		if (mapped->lists[which].takes_time)
			return true;
	}
	return false;
}

ConfigMapped *
config_mapped_pack(Packing *packing, const ConfigMapped *mapped)
{
	ConfigMapped *to;
	ConfigMapped copy;

	if (mapped == NULL)
		return NULL;
	to = pack(packing, mapped, sizeof(ConfigMapped));
	copy = *mapped;
	copy.xml_root = pack_string(packing, mapped->xml_root);
	copy.problem = pack_string(packing, mapped->problem);
	copy.hint = pack_string(packing, mapped->hint);
	for (int which = 0; which < MAPPING_LISTS; which++)
		mapping_pack(packing, &copy.lists[which], &mapped->lists[which]);
	if (to != NULL)
		*to = copy;
	return to;
}
