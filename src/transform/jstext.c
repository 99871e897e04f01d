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
#include "transform/json.h"

/*
 * Lower case by ranges of code points, from the Unicode 16 character data:
 * every stride-th one from first to last is delta below (or above) its lower
 * case.  A table of our own, because the result must not depend on the
 * database's locale or on the libraries that the server was built with.
 * U+0130 is missing: its lower case is two characters.
 */
typedef struct LowerRange
{
	pg_wchar	first;
	pg_wchar	last;
	int			delta;
	int			stride;
} LowerRange;

static const LowerRange lower_ranges[] = {
	{0x0041, 0x005A, 32, 1},
	{0x00C0, 0x00D6, 32, 1}, {0x00D8, 0x00DE, 32, 1}, {0x0100, 0x012E, 1, 2},
	{0x0132, 0x0136, 1, 2}, {0x0139, 0x0147, 1, 2}, {0x014A, 0x0176, 1, 2},
	{0x0178, 0x0178, -121, 1}, {0x0179, 0x017D, 1, 2}, {0x0181, 0x0181, 210, 1},
	{0x0182, 0x0184, 1, 2}, {0x0186, 0x0186, 206, 1}, {0x0187, 0x0187, 1, 1},
	{0x0189, 0x018A, 205, 1}, {0x018B, 0x018B, 1, 1}, {0x018E, 0x018E, 79, 1},
	{0x018F, 0x018F, 202, 1}, {0x0190, 0x0190, 203, 1}, {0x0191, 0x0191, 1, 1},
	{0x0193, 0x0193, 205, 1}, {0x0194, 0x0194, 207, 1},
	{0x0196, 0x0196, 211, 1}, {0x0197, 0x0197, 209, 1}, {0x0198, 0x0198, 1, 1},
	{0x019C, 0x019C, 211, 1}, {0x019D, 0x019D, 213, 1},
	{0x019F, 0x019F, 214, 1}, {0x01A0, 0x01A4, 1, 2}, {0x01A6, 0x01A6, 218, 1},
	{0x01A7, 0x01A7, 1, 1}, {0x01A9, 0x01A9, 218, 1}, {0x01AC, 0x01AC, 1, 1},
	{0x01AE, 0x01AE, 218, 1}, {0x01AF, 0x01AF, 1, 1}, {0x01B1, 0x01B2, 217, 1},
	{0x01B3, 0x01B5, 1, 2}, {0x01B7, 0x01B7, 219, 1}, {0x01B8, 0x01B8, 1, 1},
	{0x01BC, 0x01BC, 1, 1}, {0x01C4, 0x01C4, 2, 1}, {0x01C5, 0x01C5, 1, 1},
	{0x01C7, 0x01C7, 2, 1}, {0x01C8, 0x01C8, 1, 1}, {0x01CA, 0x01CA, 2, 1},
	{0x01CB, 0x01DB, 1, 2}, {0x01DE, 0x01EE, 1, 2}, {0x01F1, 0x01F1, 2, 1},
	{0x01F2, 0x01F4, 1, 2}, {0x01F6, 0x01F6, -97, 1}, {0x01F7, 0x01F7, -56, 1},
	{0x01F8, 0x021E, 1, 2}, {0x0220, 0x0220, -130, 1}, {0x0222, 0x0232, 1, 2},
	{0x023A, 0x023A, 10795, 1}, {0x023B, 0x023B, 1, 1},
	{0x023D, 0x023D, -163, 1}, {0x023E, 0x023E, 10792, 1},
	{0x0241, 0x0241, 1, 1}, {0x0243, 0x0243, -195, 1}, {0x0244, 0x0244, 69, 1},
	{0x0245, 0x0245, 71, 1}, {0x0246, 0x024E, 1, 2}, {0x0370, 0x0372, 1, 2},
	{0x0376, 0x0376, 1, 1}, {0x037F, 0x037F, 116, 1}, {0x0386, 0x0386, 38, 1},
	{0x0388, 0x038A, 37, 1}, {0x038C, 0x038C, 64, 1}, {0x038E, 0x038F, 63, 1},
	{0x0391, 0x03A1, 32, 1}, {0x03A3, 0x03AB, 32, 1}, {0x03CF, 0x03CF, 8, 1},
	{0x03D8, 0x03EE, 1, 2}, {0x03F4, 0x03F4, -60, 1}, {0x03F7, 0x03F7, 1, 1},
	{0x03F9, 0x03F9, -7, 1}, {0x03FA, 0x03FA, 1, 1}, {0x03FD, 0x03FF, -130, 1},
	{0x0400, 0x040F, 80, 1}, {0x0410, 0x042F, 32, 1}, {0x0460, 0x0480, 1, 2},
	{0x048A, 0x04BE, 1, 2}, {0x04C0, 0x04C0, 15, 1}, {0x04C1, 0x04CD, 1, 2},
	{0x04D0, 0x052E, 1, 2}, {0x0531, 0x0556, 48, 1}, {0x10A0, 0x10C5, 7264, 1},
	{0x10C7, 0x10C7, 7264, 1}, {0x10CD, 0x10CD, 7264, 1},
	{0x13A0, 0x13EF, 38864, 1}, {0x13F0, 0x13F5, 8, 1}, {0x1C89, 0x1C89, 1, 1},
	{0x1C90, 0x1CBA, -3008, 1}, {0x1CBD, 0x1CBF, -3008, 1},
	{0x1E00, 0x1E94, 1, 2}, {0x1E9E, 0x1E9E, -7615, 1}, {0x1EA0, 0x1EFE, 1, 2},
	{0x1F08, 0x1F0F, -8, 1}, {0x1F18, 0x1F1D, -8, 1}, {0x1F28, 0x1F2F, -8, 1},
	{0x1F38, 0x1F3F, -8, 1}, {0x1F48, 0x1F4D, -8, 1}, {0x1F59, 0x1F5F, -8, 2},
	{0x1F68, 0x1F6F, -8, 1}, {0x1F88, 0x1F8F, -8, 1}, {0x1F98, 0x1F9F, -8, 1},
	{0x1FA8, 0x1FAF, -8, 1}, {0x1FB8, 0x1FB9, -8, 1}, {0x1FBA, 0x1FBB, -74, 1},
	{0x1FBC, 0x1FBC, -9, 1}, {0x1FC8, 0x1FCB, -86, 1}, {0x1FCC, 0x1FCC, -9, 1},
	{0x1FD8, 0x1FD9, -8, 1}, {0x1FDA, 0x1FDB, -100, 1}, {0x1FE8, 0x1FE9, -8, 1},
	{0x1FEA, 0x1FEB, -112, 1}, {0x1FEC, 0x1FEC, -7, 1},
	{0x1FF8, 0x1FF9, -128, 1}, {0x1FFA, 0x1FFB, -126, 1},
	{0x1FFC, 0x1FFC, -9, 1}, {0x2126, 0x2126, -7517, 1},
	{0x212A, 0x212A, -8383, 1}, {0x212B, 0x212B, -8262, 1},
	{0x2132, 0x2132, 28, 1}, {0x2160, 0x216F, 16, 1}, {0x2183, 0x2183, 1, 1},
	{0x24B6, 0x24CF, 26, 1}, {0x2C00, 0x2C2F, 48, 1}, {0x2C60, 0x2C60, 1, 1},
	{0x2C62, 0x2C62, -10743, 1}, {0x2C63, 0x2C63, -3814, 1},
	{0x2C64, 0x2C64, -10727, 1}, {0x2C67, 0x2C6B, 1, 2},
	{0x2C6D, 0x2C6D, -10780, 1}, {0x2C6E, 0x2C6E, -10749, 1},
	{0x2C6F, 0x2C6F, -10783, 1}, {0x2C70, 0x2C70, -10782, 1},
	{0x2C72, 0x2C72, 1, 1}, {0x2C75, 0x2C75, 1, 1}, {0x2C7E, 0x2C7F, -10815, 1},
	{0x2C80, 0x2CE2, 1, 2}, {0x2CEB, 0x2CED, 1, 2}, {0x2CF2, 0x2CF2, 1, 1},
	{0xA640, 0xA66C, 1, 2}, {0xA680, 0xA69A, 1, 2}, {0xA722, 0xA72E, 1, 2},
	{0xA732, 0xA76E, 1, 2}, {0xA779, 0xA77B, 1, 2}, {0xA77D, 0xA77D, -35332, 1},
	{0xA77E, 0xA786, 1, 2}, {0xA78B, 0xA78B, 1, 1}, {0xA78D, 0xA78D, -42280, 1},
	{0xA790, 0xA792, 1, 2}, {0xA796, 0xA7A8, 1, 2}, {0xA7AA, 0xA7AA, -42308, 1},
	{0xA7AB, 0xA7AB, -42319, 1}, {0xA7AC, 0xA7AC, -42315, 1},
	{0xA7AD, 0xA7AD, -42305, 1}, {0xA7AE, 0xA7AE, -42308, 1},
	{0xA7B0, 0xA7B0, -42258, 1}, {0xA7B1, 0xA7B1, -42282, 1},
	{0xA7B2, 0xA7B2, -42261, 1}, {0xA7B3, 0xA7B3, 928, 1},
	{0xA7B4, 0xA7C2, 1, 2}, {0xA7C4, 0xA7C4, -48, 1},
	{0xA7C5, 0xA7C5, -42307, 1}, {0xA7C6, 0xA7C6, -35384, 1},
	{0xA7C7, 0xA7C9, 1, 2}, {0xA7CB, 0xA7CB, -42343, 1}, {0xA7CC, 0xA7CC, 1, 1},
	{0xA7D0, 0xA7D0, 1, 1}, {0xA7D6, 0xA7DA, 1, 2}, {0xA7DC, 0xA7DC, -42561, 1},
	{0xA7F5, 0xA7F5, 1, 1}, {0xFF21, 0xFF3A, 32, 1}, {0x10400, 0x10427, 40, 1},
	{0x104B0, 0x104D3, 40, 1}, {0x10570, 0x1057A, 39, 1},
	{0x1057C, 0x1058A, 39, 1}, {0x1058C, 0x10592, 39, 1},
	{0x10594, 0x10595, 39, 1}, {0x10C80, 0x10CB2, 64, 1},
	{0x10D50, 0x10D65, 32, 1}, {0x118A0, 0x118BF, 32, 1},
	{0x16E40, 0x16E5F, 32, 1}, {0x1E900, 0x1E921, 34, 1}
};

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

/* Does the character have a case: is it, or has it, a lower-case form? */
static bool
is_cased(pg_wchar c)
{
	if (lower_char(c) != c || c == CAPITAL_I_WITH_DOT || c == SMALL_FINAL_SIGMA)
		return true;
	for (int i = 0; i < lengthof(lower_ranges); i++)
	{
		pg_wchar	upper = c - lower_ranges[i].delta;

		if (upper >= lower_ranges[i].first && upper <= lower_ranges[i].last &&
			(upper - lower_ranges[i].first) % lower_ranges[i].stride == 0)
			return true;
	}
	return false;
}

/* Marks and punctuation inside a word, which have no say in where it ends. */
static bool
is_inside_word(pg_wchar c)
{
	return c == '\'' || c == '.' || c == ':' || c == '^' || c == '`' ||
		c == 0xA8 || c == 0xAD || c == 0xAF || c == 0xB4 || c == 0xB7 || c == 0xB8 ||
		(c >= 0x02B0 && c <= 0x036F) || (c >= 0x0483 && c <= 0x0489) ||
		(c >= 0x200B && c <= 0x200F) || c == 0x2018 || c == 0x2019 ||
		(c >= 0x20D0 && c <= 0x20F0) || (c >= 0xFE00 && c <= 0xFE0F) || c == 0xFEFF;
}

/* A capital sigma at the end of a word of more than one letter. */
static bool
is_final_sigma(const pg_wchar *chars, int nchars, int at)
{
	int			before = at - 1;
	int			after = at + 1;

	while (before >= 0 && is_inside_word(chars[before]))
		before--;
	while (after < nchars && is_inside_word(chars[after]))
		after++;
	return before >= 0 && is_cased(chars[before]) &&
		(after == nchars || !is_cased(chars[after]));
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
