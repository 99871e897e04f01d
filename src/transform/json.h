/*-------------------------------------------------------------------------
 *
 * json.h
 *		What the transform needs of JSON beyond core's own doors: a fast jsonb
 *		writer, and JavaScript's view of JSON values, because RudderStack's
 *		rules are written in it.
 *
 * Strings inside JsonbValues are in the server encoding and need not end in a
 * NUL.  Containers may be in either form, on-disk (jbvBinary) or a jbvObject
 * whose pairs are unique and in jsonb order; arrays are on-disk but where
 * json_write() takes them.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_JSON_H
#define RSWEBHOOK_JSON_H

#include "lib/stringinfo.h"
#include "utils/jsonb.h"

#include "base/compat.h"

/* ---------------------------------------------------------------------
 * jsonwrite.c: values to jsonb
 * ---------------------------------------------------------------------
 */

/* The order in which jsonb keeps the keys of an object: by length, then bytes. */
static inline int
json_key_cmp(const char *a, int a_len, const char *b, int b_len)
{
	if (a_len != b_len)
		return a_len < b_len ? -1 : 1;
	return memcmp(a, b, a_len);
}

static inline bool
json_is_alnum(unsigned char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static inline void
json_set_string(JsonbValue *value, const char *string, int len)
{
	value->type = jbvString;
	value->val.string.val = unconstify(char *, string);
	value->val.string.len = len;
}

static inline void
json_set_object(JsonbValue *value, JsonbPair *pairs, int npairs)
{
	value->type = jbvObject;
	value->val.object.pairs = pairs;
	value->val.object.nPairs = npairs;
}

static inline void
json_set_array(JsonbValue *value, JsonbValue *elements, int count)
{
	value->type = jbvArray;
	value->val.array.elems = elements;
	value->val.array.nElems = count;
	value->val.array.rawScalar = false;
}

static inline void
json_set_container(JsonbValue *value, JsonbContainer *container, int len)
{
	value->type = jbvBinary;
	value->val.binary.data = container;
	value->val.binary.len = len;
}

/* Is it an object or array in the on-disk form? */
static inline bool
json_is_object(const JsonbValue *value)
{
	return value->type == jbvBinary && JsonContainerIsObject(value->val.binary.data);
}

static inline bool
json_is_array(const JsonbValue *value)
{
	return value->type == jbvBinary && JsonContainerIsArray(value->val.binary.data);
}

static inline bool
json_key_is(const char *key, int len, const char *literal)
{
	return len == (int) strlen(literal) && memcmp(key, literal, len) == 0;
}

/* Is it there, and this string? */
static inline bool
json_is_string(const JsonbValue *value, const char *literal)
{
	return value != NULL && value->type == jbvString &&
		json_key_is(value->val.string.val, value->val.string.len, literal);
}

/* A key of a value that may be anything or absent; false if it is not there. */
static inline bool
json_get(const JsonbValue *value, const char *key, int key_len, JsonbValue *found)
{
	return value != NULL && json_is_object(value) &&
		getKeyJsonValueFromContainer(value->val.binary.data, key, key_len, found) != NULL;
}

/* An object or an array, in either form as all that is in it, as a jsonb datum. */
extern Jsonb *json_write(const JsonbValue *value);

/* Most bytes that any value can take in it, with the padding in front of it. */
extern Size json_space(const JsonbValue *value);

/* ---------------------------------------------------------------------
 * jsontext.c: values to JSON text
 * ---------------------------------------------------------------------
 */

/* How numbers become text; never rounded. */
typedef enum NumberForm
{
	NUMBERS_EXACT,				/* as jsonb prints them: 1.50; as JavaScript does
								 * if that would be longer than 100 characters */
	NUMBERS_JS					/* as JavaScript does: 1.5, 1e+21 */
} NumberForm;

/* What no text is longer than that is only to be seen: a jsonb holds no more. */
#define JSON_MOST_TEXT	((Size) JENTRY_OFFLENMASK)

/*
 * Whatever appends here raises an error before the text in out is longer than
 * limit bytes, and before memory for that is taken.
 */
pg_noreturn extern void json_too_large(Size limit);
extern void json_append_bytes(StringInfo out, const char *bytes, int len, Size limit);
extern void json_append_number(StringInfo out, Numeric number, NumberForm numbers,
							   Size limit);

/* Any value as compact JSON text. */
extern void json_append(StringInfo out, const JsonbValue *value, NumberForm numbers,
						Size limit);

/*
 * Text of a value where only text can go, in UTF-8: a string as it is, however
 * long, null as nothing, all else as JSON text.  NULL where encoding_to_utf8() would
 * say false.
 */
extern const char *json_plain_text(const JsonbValue *value, int *len, Size limit);

/* ---------------------------------------------------------------------
 * jstext.c: JavaScript's view of values
 * ---------------------------------------------------------------------
 */
extern bool js_truthy(const JsonbValue *value);

/* String(value): arrays joined by commas, objects as "[object Object]". */
extern void js_append_text(StringInfo out, const JsonbValue *value, Size limit);

/* The same as a jbvString; a string is returned as it is. */
extern void js_text(const JsonbValue *value, JsonbValue *text, Size limit);

/* Only white space, or nothing at all? */
extern bool js_blank(const char *string, int len);

/* trim(); of encodings other than UTF-8, ASCII's white space only. */
extern void js_trim(const char **string, int *len);

/* toLowerCase(), whatever the locale and encoding of the database. */
extern const char *js_lower(const char *string, int len, int *lower_len);

/*
 * Is the whole a string in which JSON of an object or an array stands, as some drivers make one
 * of what is JSON already?  To be the hint then, JSON_QUOTED_HINT.
 */
extern bool js_is_quoted_json(Jsonb *jsonb);

#define JSON_QUOTED_HINT	"It is a string that holds JSON, as some drivers make of a parameter that is JSON already: pass it as text and cast that, $1::text::jsonb, or take the string's contents, (value #>> '{}')::jsonb."

#endif							/* RSWEBHOOK_JSON_H */
