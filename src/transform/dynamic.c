/*-------------------------------------------------------------------------
 *
 * dynamic.c
 *		Dynamic config: "{{ path || default }}" in place of a string of a Config.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "base/compat.h"
#include "transform/dynamic.h"
#include "transform/json.h"

/* ---------------------------------------------------------------------
 * Templates
 * ---------------------------------------------------------------------
 */

/* The rest is behind "||"; NULL: there is none. */
static const char *
find_bars(const char *text, int len)
{
	for (int i = 0; i + 1 < len; i++)
	{
		if (text[i] == '|' && text[i + 1] == '|')
			return text + i;
	}
	return NULL;
}

/* Names of letters, digits and underscores, the first of which is no digit, with dots between. */
static bool
is_path(const char *path, int len)
{
	bool		begins = true;

	for (int i = 0; i < len; i++)
	{
		char		c = path[i];
		bool		is_digit = c >= '0' && c <= '9';

		if (c == '.' ? begins : c != '_' && (!json_is_alnum(c) || (begins && is_digit)))
			return false;
		begins = c == '.';
	}
	return !begins;
}

bool
dynamic_template(const char *string, int len, Template *found)
{
	const char *bars;

	js_trim(&string, &len);
	if (len < 4 || memcmp(string, "{{", 2) != 0 || memcmp(string + len - 2, "}}", 2) != 0)
		return false;
	string += 2;
	len -= 4;
	bars = find_bars(string, len);
	if (bars == NULL)
		return false;
	found->path = string;
	found->path_len = bars - string;
	js_trim(&found->path, &found->path_len);
	found->fallback = bars + 2;
	found->fallback_len = string + len - found->fallback;
	return is_path(found->path, found->path_len);
}

char *
dynamic_fallback(const Template *found)
{
	const char *given = found->fallback;
	int			given_len = found->fallback_len;
	char	   *unquoted;
	const char *trimmed;
	int			len = 0;

	js_trim(&given, &given_len);
	trimmed = unquoted = palloc(given_len + 1);
	for (int i = 0; i < given_len; i++)
	{
		if (given[i] != '"')
			unquoted[len++] = given[i];
	}
	js_trim(&trimmed, &len);
	return pnstrdup(trimmed, len);
}

char *
dynamic_with_fallback(const Template *found, const char *fallback)
{
	return psprintf("{{ %.*s || %s }}", found->path_len, found->path, fallback);
}

bool
dynamic_is_default(const JsonbValue *value, const Template *found)
{
	return json_is_string(value, dynamic_fallback(found));
}

bool
dynamic_has_templates(Jsonb *config)
{
	JsonbIterator *it = JsonbIteratorInit(&config->root);
	JsonbIteratorToken token;
	JsonbValue	value;
	Template	found;

	while ((token = JsonbIteratorNext(&it, &value, false)) != WJB_DONE)
	{
		CHECK_FOR_INTERRUPTS();
		if ((token == WJB_VALUE || token == WJB_ELEM) && value.type == jbvString &&
			dynamic_template(value.val.string.val, value.val.string.len, &found))
			return true;
	}
	return false;
}

/* ---------------------------------------------------------------------
 * The event's values
 * ---------------------------------------------------------------------
 */

/* How a value was found. */
typedef enum Finding
{
	NOT_FOUND,
	NESTED,						/* name by name */
	JOINED,						/* some names together are one key, with the dots in it */
	LENGTH						/* of an array, which JavaScript has as a name in it */
} Finding;

/* At each name, the shortest key that begins there. */
static Finding
find_value(const JsonbValue *event, const char *path, int len, JsonbValue *value)
{
	const char *end = path + len;
	Finding		finding = NESTED;

	*value = *event;
	for (;;)
	{
		JsonbValue	at = *value;
		const char *dot = memchr(path, '.', end - path);
		const char *key_end = dot != NULL ? dot : end;

		if (json_is_array(&at) && json_key_is(path, key_end - path, "length"))
			return key_end == end ? LENGTH : NOT_FOUND;
		while (!json_get(&at, path, key_end - path, value))
		{
			if (key_end == end)
				return NOT_FOUND;
			dot = memchr(key_end + 1, '.', end - key_end - 1);
			key_end = dot != NULL ? dot : end;
			finding = JOINED;
		}
		if (key_end == end)
			return finding;
		path = key_end + 1;
	}
}

/* "", [] and {} are none, and what has nothing but these. */
static bool
is_something(const JsonbValue *value)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	inner;

	if (value->type == jbvString)
		return value->val.string.len > 0;
	if (value->type != jbvBinary)
		return true;
	it = JsonbIteratorInit(value->val.binary.data);
	while ((token = JsonbIteratorNext(&it, &inner, false)) != WJB_DONE)
	{
		CHECK_FOR_INTERRUPTS();
		if ((token == WJB_VALUE || token == WJB_ELEM) &&
			(inner.type != jbvString || inner.val.string.len > 0))
			return true;
	}
	return false;
}

static Jsonb *
take_out(Jsonb *event, const char *path, int len)
{
	Datum	   *names = palloc((len / 2 + 1) * sizeof(Datum));
	const char *end = path + len;
	int			count = 0;
	ArrayType  *array;

	for (const char *next = path; next != NULL; path = next)
	{
		const char *dot = memchr(path, '.', end - path);

		names[count++] = PointerGetDatum(cstring_to_text_with_len(path, (dot != NULL ? dot : end) - path));
		next = dot != NULL ? dot + 1 : NULL;
	}
	array = construct_array(names, count, TEXTOID, -1, false, TYPALIGN_INT);
	return DatumGetJsonbP(DirectFunctionCall2(jsonb_delete_path, JsonbPGetDatum(event), PointerGetDatum(array)));
}

/* ---------------------------------------------------------------------
 * A Config
 * ---------------------------------------------------------------------
 */

/* The path within the event; NULL: it leads elsewhere, where nothing is. */
static const char *
path_in_event(const Template *found, int *len)
{
	static const char *const roots[] = {"event.", "message."};

	for (int i = 0; i < lengthof(roots); i++)
	{
		int			root_len = strlen(roots[i]);

		if (found->path_len > root_len && memcmp(found->path, roots[i], root_len) == 0)
		{
			*len = found->path_len - root_len;
			return found->path + root_len;
		}
	}
	return NULL;
}

/* Into memory of its own. */
static void
copy_value(JsonbValue *value)
{
	Jsonb	   *copy;

	if (value->type == jbvString)
		value->val.string.val = pnstrdup(value->val.string.val, value->val.string.len);
	else if (value->type == jbvNumeric)
		value->val.numeric = DatumGetNumericCopy(NumericGetDatum(value->val.numeric));
	else if (value->type == jbvBinary)
	{
		copy = JsonbValueToJsonb(value);
		json_set_container(value, &copy->root, VARSIZE(copy) - VARHDRSZ);
	}
}

/* Puts what a template stands for in its place. */
static const char *
resolve_string(JsonbValue *string, Jsonb *original, Jsonb **event)
{
	Template	found;
	JsonbValue	root;
	JsonbValue	value;
	Finding		finding = NOT_FOUND;
	const char *path;
	char	   *fallback;
	int			len;

	if (!dynamic_template(string->val.string.val, string->val.string.len, &found))
		return NULL;
	path = path_in_event(&found, &len);
	json_set_container(&root, &(*event)->root, VARSIZE(*event) - VARHDRSZ);
	if (path != NULL)
		finding = find_value(&root, path, len, &value);
	if (finding == LENGTH || (finding == JOINED && value.type != jbvNull && is_something(&value)))
		return psprintf("\"%.*s\" is a path to something that cannot be taken out of the event",
						found.path_len, found.path);
	if (finding == NOT_FOUND || value.type == jbvNull)
	{
		fallback = dynamic_fallback(&found);
		json_set_string(string, fallback, strlen(fallback));
		return NULL;
	}
	if (is_something(&value))
	{
		Jsonb	   *rest;

		copy_value(&value);
		rest = take_out(*event, path, len);
		if (*event != original)
			pfree(*event);		/* there may be many templates, and large events */
		*event = rest;
	}
	*string = value;
	return NULL;
}

const char *
dynamic_resolve(Jsonb *config, Jsonb **event, Jsonb **resolved)
{
	JsonbIterator *it = JsonbIteratorInit(&config->root);
	Jsonb	   *original = *event;
	JsonbInState state = {0};
	JsonbIteratorToken token;
	JsonbValue	value;
	const char *problem;

	while ((token = JsonbIteratorNext(&it, &value, false)) != WJB_DONE)
	{
		CHECK_FOR_INTERRUPTS();
		if ((token == WJB_VALUE || token == WJB_ELEM) && value.type == jbvString &&
			(problem = resolve_string(&value, original, event)) != NULL)
			return problem;
		pushJsonbValue(&state, token, token < WJB_BEGIN_ARRAY ? &value : NULL);
	}
	*resolved = JsonbValueToJsonb(state.result);
	return NULL;
}
