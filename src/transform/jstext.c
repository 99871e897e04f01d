/*-------------------------------------------------------------------------
 *
 * jstext.c
 *		JavaScript's view of JSON values: truth, text, white space, case.
 *
 * RudderStack's rules lean on these, so they are part of the contract.  The
 * one difference: numbers are exact and are never rounded to a double.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

#include "base/encoding.h"
#include "transform/case_table.h"
#include "transform/json.h"

#define CAPITAL_I_WITH_DOT	0x0130
#define CAPITAL_SIGMA		0x03A3
#define SMALL_FINAL_SIGMA	0x03C2
#define COMBINING_DOT_ABOVE 0x0307

bool
js_truthy(const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvNull:
			return false;
		case jbvBool:
			return value->val.boolean;
		case jbvString:
			return value->val.string.len > 0;
		case jbvNumeric:
			{
				Datum		zero = DirectFunctionCall1(int4_numeric, Int32GetDatum(0));

				return DatumGetInt32(DirectFunctionCall2(numeric_cmp,
														 NumericGetDatum(value->val.numeric),
														 zero)) != 0;
			}
		default:
			return true;
	}
}

void
js_append_text(StringInfo out, const JsonbValue *value, Size limit)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	element;
	bool		first = true;

	check_stack_depth();

	if (value->type == jbvString)
		json_append_bytes(out, value->val.string.val, value->val.string.len, limit);
	else if (IsAJsonbScalar(value))
		json_append(out, value, NUMBERS_JS, limit);
	else if (!json_is_array(value))
		json_append_bytes(out, "[object Object]", 15, limit);
	else
	{
		it = JsonbIteratorInit(value->val.binary.data);
		while ((token = JsonbIteratorNext(&it, &element, true)) != WJB_DONE)
		{
			CHECK_FOR_INTERRUPTS();
			if (token != WJB_ELEM)
				continue;
			if (!first)
				json_append_bytes(out, ",", 1, limit);
			first = false;
			if (element.type != jbvNull)
				js_append_text(out, &element, limit);
		}
	}
}

void
js_text(const JsonbValue *value, JsonbValue *text, Size limit)
{
	StringInfoData out;

	if (value->type == jbvString)
	{
		*text = *value;
		return;
	}
	initStringInfo(&out);
	js_append_text(&out, value, limit);
	json_set_string(text, out.data, out.len);
}

/* ---------------------------------------------------------------------
 * Characters
 * ---------------------------------------------------------------------
 */

static bool
is_js_space(pg_wchar c)
{
	return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0xA0 || c == 0x1680 ||
		(c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 ||
		c == 0x202F || c == 0x205F || c == 0x3000 || c == 0xFEFF;
}

bool
js_blank(const char *string, int len)
{
	if (!encoding_to_utf8(&string, &len))
		return false;			/* white space would be valid UTF-8 */
	for (const char *c = string; c < string + len; c += pg_encoding_mblen(PG_UTF8, c))
	{
		if (!is_js_space(utf8_to_unicode((const unsigned char *) c)))
			return false;
	}
	return true;
}

/* The white space that begins or, from its end, ends a text, in bytes; 0: none does. */
static int
space_at(const char *c, int len)
{
	int			char_len = 1;

	if (len == 0)
		return 0;
	if (IS_HIGHBIT_SET(*c))
	{
		if (GetDatabaseEncoding() != PG_UTF8)
			return 0;
		char_len = Min(pg_utf_mblen((const unsigned char *) c), len);
		return is_js_space(utf8_to_unicode((const unsigned char *) c)) ? char_len : 0;
	}
	return is_js_space((unsigned char) *c) ? char_len : 0;
}

static int
last_char(const char *string, int len)
{
	int			at = len - 1;

	while (at > 0 && GetDatabaseEncoding() == PG_UTF8 && ((unsigned char) string[at] & 0xC0) == 0x80)
		at--;
	return at;
}

void
js_trim(const char **string, int *len)
{
	int			space;

	while ((space = space_at(*string, *len)) > 0)
	{
		*string += space;
		*len -= space;
	}
	while (*len > 0)
	{
		int			at = last_char(*string, *len);

		if (space_at(*string + at, *len - at) == 0)
			break;
		*len = at;
	}
}

/*
 * The tables are our own, because the result must not depend on the database's
 * locale or on the libraries that the server was built with.
 */
static pg_wchar
lower_char(pg_wchar c)
{
	int			low = 0;
	int			high = lengthof(lower_ranges) - 1;

	while (low <= high)
	{
		int			middle = (low + high) / 2;
		const LowerRange *range = &lower_ranges[middle];

		if (c < range->first)
			high = middle - 1;
		else if (c > range->last)
			low = middle + 1;
		else
			return (c - range->first) % range->stride == 0 ? c + range->delta : c;
	}
	return c;
}

static bool
is_in(const CharRange *ranges, int count, pg_wchar c)
{
	int			low = 0;
	int			high = count - 1;

	while (low <= high)
	{
		int			middle = (low + high) / 2;

		if (c < ranges[middle].first)
			high = middle - 1;
		else if (c > ranges[middle].last)
			low = middle + 1;
		else
			return true;
	}
	return false;
}

/* Of upper, lower or title case, whether or not it has another one. */
static bool
is_letter(pg_wchar c)
{
	return is_in(letter_ranges, lengthof(letter_ranges), c);
}

/* Marks and punctuation inside a word, which have no say in where it ends. */
static bool
is_ignorable(pg_wchar c)
{
	return is_in(ignorable_ranges, lengthof(ignorable_ranges), c);
}

/* A capital sigma at the end of a word of more than one letter. */
static bool
is_final_sigma(const pg_wchar *chars, int nchars, int at)
{
	int			before = at - 1;
	int			after = at + 1;

	while (before >= 0 && is_ignorable(chars[before]))
		before--;
	while (after < nchars && is_ignorable(chars[after]))
		after++;
	return before >= 0 && is_letter(chars[before]) &&
		(after == nchars || !is_letter(chars[after]));
}

static char *
lower_utf8(const char *utf8, int len, int *lower_len)
{
	pg_wchar   *chars = palloc(sizeof(pg_wchar) * len);
	int			nchars = 0;
	char	   *lower;
	char	   *to;

	for (const char *c = utf8; c < utf8 + len; c += pg_encoding_mblen(PG_UTF8, c))
		chars[nchars++] = utf8_to_unicode((const unsigned char *) c);

	/* no character takes more than four bytes, and one becomes two of them */
	to = lower = palloc(4 * (Size) len + 1);
	for (int i = 0; i < nchars; i++)
	{
		pg_wchar	c = lower_char(chars[i]);

		CHECK_FOR_INTERRUPTS();
		if (c == CAPITAL_I_WITH_DOT)
			c = 'i';
		else if (chars[i] == CAPITAL_SIGMA && is_final_sigma(chars, nchars, i))
			c = SMALL_FINAL_SIGMA;

		unicode_to_utf8(c, (unsigned char *) to);
		to += pg_encoding_mblen(PG_UTF8, to);
		if (chars[i] == CAPITAL_I_WITH_DOT)
		{
			unicode_to_utf8(COMBINING_DOT_ABOVE, (unsigned char *) to);
			to += pg_encoding_mblen(PG_UTF8, to);
		}
	}
	*to = '\0';
	*lower_len = to - lower;
	pfree(chars);
	return lower;
}

const char *
js_lower(const char *string, int len, int *lower_len)
{
	const char *utf8 = string;
	int			utf8_len = len;
	char	   *lower;

	if (encoding_to_utf8(&utf8, &utf8_len) && !encoding_is_ascii(utf8, utf8_len))
	{
		const char *result;

		lower = lower_utf8(utf8, utf8_len, lower_len);
		result = encoding_from_utf8(lower, *lower_len);
		*lower_len = strlen(result);
		return result;
	}

	/* ASCII, or bytes of an unknown encoding of which only ASCII is sure */
	lower = palloc(len + 1);
	for (int i = 0; i < len; i++)
		lower[i] = IS_HIGHBIT_SET(string[i]) ? string[i] :
			pg_ascii_tolower((unsigned char) string[i]);
	lower[len] = '\0';
	*lower_len = len;
	return lower;
}

bool
js_is_quoted_json(Jsonb *jsonb)
{
	JsonbValue	value;
	int			i = 0;

	if (!JB_ROOT_IS_SCALAR(jsonb) || !JsonbExtractScalar(&jsonb->root, &value) || value.type != jbvString)
		return false;
	while (i < value.val.string.len && strchr(" \t\r\n", value.val.string.val[i]) != NULL)
		i++;
	return i < value.val.string.len && (value.val.string.val[i] == '{' || value.val.string.val[i] == '[');
}
