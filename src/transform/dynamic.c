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

#include "common/hashfn.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/hsearch.h"

#include "base/compat.h"
#include "transform/dynamic.h"
#include "transform/json.h"
#include "transform/pairs.h"

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
 * What is taken out of the event
 *
 * The event stays as it is until all templates are resolved, and then what they have
 * taken is left out at once; until then, whoever looks at the event passes it by.
 * ---------------------------------------------------------------------
 */

/* Names with dots between; the first member of TakenPath. */
typedef struct Path
{
	const char *names;
	int			len;
} Path;

/* One that was taken, or one on the way to such. */
typedef struct TakenPath
{
	Path		path;
	bool		is_taken;
} TakenPath;

typedef struct Taking
{
	JsonbValue	event;			/* the whole of it, as it was given */
	HTAB	   *paths;			/* TakenPath; NULL: nothing was taken so far */
} Taking;

static uint32
hash_path(const void *key, Size size)
{
	const Path *path = key;

	return hash_bytes((const unsigned char *) path->names, path->len);
}

/* 0: they are the same. */
static int
compare_paths(const void *a, const void *b, Size size)
{
	const Path *left = a;
	const Path *right = b;

	return left->len != right->len || memcmp(left->names, right->names, left->len) != 0;
}

static const TakenPath *
find_taken(const Taking *taking, const char *names, int len)
{
	Path		path = {names, len};

	return taking->paths == NULL ? NULL : hash_search(taking->paths, &path, HASH_FIND, NULL);
}

static bool
is_taken(const Taking *taking, const char *names, int len)
{
	const TakenPath *taken = find_taken(taking, names, len);

	return taken != NULL && taken->is_taken;
}

/* The path, which lasts as long as the Config, and all on the way to it. */
static void
take(Taking *taking, const char *names, int len)
{
	HASHCTL		control = {
		.keysize = sizeof(Path), .entrysize = sizeof(TakenPath), .hash = hash_path,
		.match = compare_paths, .hcxt = CurrentMemoryContext
	};

	if (taking->paths == NULL)
		taking->paths = hash_create("rswebhook taken paths", 16, &control,
									HASH_ELEM | HASH_FUNCTION | HASH_COMPARE | HASH_CONTEXT);
	for (int i = 1; i <= len; i++)
	{
		if (i == len || names[i] == '.')
		{
			Path		path = {names, i};
			bool		found;
			TakenPath  *taken = hash_search(taking->paths, &path, HASH_ENTER, &found);

			taken->is_taken = (found && taken->is_taken) || i == len;
		}
	}
}

/* An object without what was taken of it; at: the names that lead to it, which come back. */
static void
leave_out(const Taking *taking, const JsonbValue *object, StringInfo at, JsonbValue *left)
{
	int			npairs;
	JsonbPair  *pairs = pairs_of(object->val.binary.data, 0, &npairs);
	int			kept = 0;
	int			at_len = at->len;

	check_stack_depth();
	for (int i = 0; i < npairs; i++)
	{
		const JsonbValue *key = &pairs[i].key;
		const TakenPath *taken = NULL;

		CHECK_FOR_INTERRUPTS();
		/* names of templates have no dots */
		if (memchr(key->val.string.val, '.', key->val.string.len) == NULL)
		{
			if (at_len > 0)
				appendStringInfoChar(at, '.');
			appendBinaryStringInfo(at, key->val.string.val, key->val.string.len);
			taken = find_taken(taking, at->data, at->len);
		}
		if (taken == NULL || !taken->is_taken)
		{
			pairs[kept] = pairs[i];
			if (taken != NULL && json_is_object(&pairs[i].value))
				leave_out(taking, &pairs[i].value, at, &pairs[kept].value);
			kept++;
		}
		at->len = at_len;
	}
	json_set_object(left, pairs, kept);
}

/* What is left of the object at a path, "" for the event itself, as a value of its own. */
static Jsonb *
rest_of(const Taking *taking, const JsonbValue *object, const char *names, int len)
{
	StringInfoData at;
	JsonbValue	left;

	initStringInfo(&at);
	appendBinaryStringInfo(&at, names, len);
	leave_out(taking, object, &at, &left);
	return json_write(&left);
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

/* At each name, the shortest key that begins there; of what was taken, nothing is there. */
static Finding
find_value(const Taking *taking, const char *names, int len, JsonbValue *value)
{
	const char *path = names;
	const char *end = path + len;
	Finding		finding = NESTED;

	*value = taking->event;
	for (;;)
	{
		JsonbValue	at = *value;
		const char *dot = memchr(path, '.', end - path);
		const char *key_end = dot != NULL ? dot : end;
		bool		taken = finding == NESTED && is_taken(taking, names, key_end - names);

		if (json_is_array(&at) && json_key_is(path, key_end - path, "length"))
			return key_end == end ? LENGTH : NOT_FOUND;
		while (taken || !json_get(&at, path, key_end - path, value))
		{
			if (key_end == end)
				return NOT_FOUND;
			dot = memchr(key_end + 1, '.', end - key_end - 1);
			key_end = dot != NULL ? dot : end;
			finding = JOINED;
			taken = false;
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

/* Puts what a template stands for in its place. */
static const char *
resolve_string(JsonbValue *string, Taking *taking)
{
	Template	found;
	JsonbValue	value;
	Finding		finding = NOT_FOUND;
	const char *path;
	char	   *fallback;
	int			len;

	if (!dynamic_template(string->val.string.val, string->val.string.len, &found))
		return NULL;
	path = path_in_event(&found, &len);
	if (path != NULL)
		finding = find_value(taking, path, len, &value);
	if (finding == NESTED && json_is_object(&value) && find_taken(taking, path, len) != NULL)
	{
		Jsonb	   *rest = rest_of(taking, &value, path, len);

		json_set_container(&value, &rest->root, VARSIZE(rest) - VARHDRSZ);
	}
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
		take(taking, path, len);
	*string = value;
	return NULL;
}

/* A value, with what its templates stand for. */
static const char *
push_resolved(JsonbInState *state, JsonbValue *value, Taking *taking)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	inner;
	const char *problem = NULL;

	if (value->type != jbvBinary)
	{
		if (value->type == jbvString)
			problem = resolve_string(value, taking);
		if (problem == NULL)
			pushJsonbValue(state, WJB_VALUE, value);
		return problem;
	}
	it = JsonbIteratorInit(value->val.binary.data);
	while ((token = JsonbIteratorNext(&it, &inner, false)) != WJB_DONE)
	{
		CHECK_FOR_INTERRUPTS();
		if ((token == WJB_VALUE || token == WJB_ELEM) && inner.type == jbvString &&
			(problem = resolve_string(&inner, taking)) != NULL)
			return problem;
		pushJsonbValue(state, token, token < WJB_BEGIN_ARRAY ? &inner : NULL);
	}
	return NULL;
}

static bool
is_among(const JsonbValue *key, const char *const *names)
{
	for (; *names != NULL; names++)
	{
		if (json_is_string(key, *names))
			return true;
	}
	return false;
}

/* A member of the Config that is being made. */
static const char *
push_member(JsonbInState *state, JsonbPair *pair, Taking *taking)
{
	CHECK_FOR_INTERRUPTS();
	pushJsonbValue(state, WJB_KEY, &pair->key);
	return push_resolved(state, &pair->value, taking);
}

const char *
dynamic_resolve(Jsonb *config, const char *const *first, Jsonb **event, Jsonb **resolved)
{
	Taking		taking = {.paths = NULL};
	JsonbInState state = {0};
	int			npairs;
	JsonbPair  *pairs = pairs_of(&config->root, 0, &npairs);
	const char *problem = NULL;

	json_set_container(&taking.event, &(*event)->root, VARSIZE(*event) - VARHDRSZ);
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (const char *const *name = first; problem == NULL && *name != NULL; name++)
	{
		for (int i = 0; problem == NULL && i < npairs; i++)
		{
			if (json_is_string(&pairs[i].key, *name))
				problem = push_member(&state, &pairs[i], &taking);
		}
	}
	for (int i = 0; problem == NULL && i < npairs; i++)
	{
		if (!is_among(&pairs[i].key, first))
			problem = push_member(&state, &pairs[i], &taking);
	}
	if (problem != NULL)
		return problem;
	pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	*resolved = JsonbValueToJsonb(state.result);
	if (taking.paths != NULL)
		*event = rest_of(&taking, &taking.event, "", 0);
	return NULL;
}
