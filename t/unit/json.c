/*-------------------------------------------------------------------------
 *
 * json.c
 *		Unit tests of jsonb and JSON text as we write them, and of JavaScript's view
 *		of values.
 *
 * rooms: transform/jsonwrite.c transform/jsontext.c transform/jstext.c base/encoding.c
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include "lib/stringinfo.h"
#include "utils/json.h"
#include "utils/numeric.h"

#include "transform/json.h"

static void
value_of(const char *json, JsonbValue *value)
{
	Jsonb	   *root = jsonb(json);

	if (JB_ROOT_IS_SCALAR(root))
	{
		JsonbIterator *it = JsonbIteratorInit(&root->root);

		(void) JsonbIteratorNext(&it, value, true);
		(void) JsonbIteratorNext(&it, value, true);
	}
	else
		json_set_container(value, &root->root, VARSIZE(root) - VARHDRSZ);
}

static char *
text_of(const JsonbValue *value, NumberForm numbers)
{
	StringInfoData out;

	initStringInfo(&out);
	json_append(&out, value, numbers, JSON_MOST_TEXT);
	return out.data;
}

static char *
text_again(const char *json, NumberForm numbers)
{
	JsonbValue	value;

	value_of(json, &value);
	return text_of(&value, numbers);
}

static uint64 seed = UINT64CONST(0x9E3779B97F4A7C15);

static int
any(int n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (seed >> 11) % n;
}

/* ---------------------------------------------------------------------
 * Numbers
 * ---------------------------------------------------------------------
 */

static char *
digits(char first, int zeros)
{
	char	   *text = palloc(zeros + 2);

	text[0] = first;
	memset(text + 1, '0', zeros);
	text[zeros + 1] = '\0';
	return text;
}

static void
numbers(void)
{
	static const struct
	{
		const char *given;
		const char *exact;
		const char *js;			/* NULL: the same */
	}			known[] = {
		{"0", "0", NULL}, {"-0", "0", NULL}, {"0.00", "0.00", "0"}, {"0e10", "0", NULL}, {"-0.0", "0.0", "0"},
		{"1", "1", NULL}, {"-1", "-1", NULL}, {"1.50", "1.50", "1.5"}, {"10", "10", NULL}, {"100.00", "100.00", "100"},
		{"9999", "9999", NULL}, {"10000", "10000", NULL}, {"99999999", "99999999", NULL}, {"100000000", "100000000", NULL},
		{"1234.5678", "1234.5678", NULL}, {"12345.67891", "12345.67891", NULL}, {"-0.5", "-0.5", NULL},
		{"0.1", "0.1", NULL}, {"0.01", "0.01", NULL}, {"0.001", "0.001", NULL}, {"0.0001", "0.0001", NULL},
		{"0.00001", "0.00001", NULL}, {"0.000001", "0.000001", NULL}, {"0.0000010", "0.0000010", "0.000001"},
		{"0.0000001", "0.0000001", "1e-7"}, {"0.00000123", "0.00000123", "0.00000123"},
		{"-1.50e-7", "-0.000000150", "-1.5e-7"}, {"0.0000000123", "0.0000000123", "1.23e-8"},
		{"1e20", "100000000000000000000", NULL}, {"123456789012345678901", "123456789012345678901", NULL},
		{"999999999999999999999", "999999999999999999999", NULL}, {"1e21", "1000000000000000000000", "1e+21"},
		{"-1.5e21", "-1500000000000000000000", "-1.5e+21"}, {"1e22", "10000000000000000000000", "1e+22"},
		{"123456789012345678901234567890", "123456789012345678901234567890", "1.2345678901234567890123456789e+29"},
		{"9007199254740993", "9007199254740993", NULL},
		{"0.1234567890123456789012345678901234567890", "0.1234567890123456789012345678901234567890",
		"0.123456789012345678901234567890123456789"},
		{"123456789.000000001", "123456789.000000001", NULL},
		{"1e100", "1e+100", NULL}, {"-1e99", "-1e+99", NULL}, {"1e-99", "1e-99", NULL}, {"-1e-98", "-1e-98", NULL},
		{"1e131071", "1e+131071", NULL}, {"-12.5e-1000", "-1.25e-999", NULL}, {"0e-200", "0", NULL},
		{"1e1000", "1e+1000", NULL}
	};
	StringInfoData out;

	for (int i = 0; i < lengthof(known); i++)
	{
		is_text(text_again(known[i].given, NUMBERS_EXACT), known[i].exact, psprintf("%s exactly", known[i].given));
		is_text(text_again(known[i].given, NUMBERS_JS), known[i].js ? known[i].js : known[i].exact,
				psprintf("%s in JavaScript", known[i].given));
	}

	/* up to a hundred characters it is plain */
	is_text(text_again("1e99", NUMBERS_EXACT), digits('1', 99), "a hundred digits");
	is_text(text_again("-1e98", NUMBERS_EXACT), psprintf("-%s", digits('1', 98)), "a sign is one of them");
	is_text(text_again("1e-98", NUMBERS_EXACT), psprintf("0.%s1", digits('0', 96)), "so is the point");

	/* any: what we write is the number, and exact as core writes it */
	initStringInfo(&out);
	for (int i = 0; i < 3000; i++)
	{
		char	   *given;
		char	   *js;
		const char *mantissa;
		Numeric		number;
		Numeric		again;
		bool		good;

		resetStringInfo(&out);
		if (any(3) == 0)
			appendStringInfoChar(&out, '-');
		for (int n = any(any(10) ? 30 : 90); n >= 0; n--)
			appendStringInfoChar(&out, '0' + (any(3) ? any(10) : 0));
		if (any(2))
		{
			appendStringInfoChar(&out, '.');
			for (int n = any(any(10) ? 30 : 90); n >= 0; n--)
				appendStringInfoChar(&out, '0' + (any(3) ? any(10) : 0));
		}
		given = pstrdup(out.data);
		number = DatumGetNumeric(DirectFunctionCall3(numeric_in, CStringGetDatum(given), 0, Int32GetDatum(-1)));
		resetStringInfo(&out);
		json_append_number(&out, number, NUMBERS_EXACT, JSON_MOST_TEXT);
		good = strlen(given) > 90 ||	/* then it may be shorter */
			strcmp(out.data, DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(number)))) == 0;

		resetStringInfo(&out);
		json_append_number(&out, number, NUMBERS_JS, JSON_MOST_TEXT);
		js = out.data;
		again = DatumGetNumeric(DirectFunctionCall3(numeric_in, CStringGetDatum(js), 0, Int32GetDatum(-1)));
		good = good && DatumGetBool(DirectFunctionCall2(numeric_eq, NumericGetDatum(number), NumericGetDatum(again)));

		/* no zeroes too many, and the exponent where JavaScript has it */
		mantissa = js[0] == '-' ? js + 1 : js;
		if (strchr(js, 'e') != NULL)
			good = good && mantissa[0] != '0' && (mantissa[1] == '.' || mantissa[1] == 'e') &&
				strstr(js, "0e") == NULL && (atoi(strchr(js, 'e') + 1) >= 21 || atoi(strchr(js, 'e') + 1) <= -7);
		else
			good = good && (mantissa[0] != '0' || mantissa[1] == '.' || mantissa[1] == '\0') &&
				(strchr(js, '.') == NULL ? strlen(mantissa) <= 21 : js[strlen(js) - 1] != '0') &&
				strncmp(mantissa, "0.000000", 8) != 0;
		if (!good)
		{
			is_text(js, given, "any number");
			return;
		}
	}
	ok(true, "any number");
}

/* ---------------------------------------------------------------------
 * Strings and containers
 * ---------------------------------------------------------------------
 */

static void
strings(void)
{
	char		text[40];
	StringInfoData core;
	JsonbValue	value;
	bool		good = true;

	is_text(text_again("\"a\\b\\f\\n\\r\\t\\\"\\\\/\\u0001\\u001f\\u007f\\u00e9\"", NUMBERS_EXACT),
			"\"a\\b\\f\\n\\r\\t\\\"\\\\/\\u0001\\u001f\x7f\xc3\xa9\"", "what is escaped, and what is not");
	json_set_string(&value, "a\0b", 3);
	is_text(text_of(&value, NUMBERS_EXACT), "\"a\\u0000b\"", "even a zero");
	json_set_string(&value, "\"\"", 0);
	is_text(text_of(&value, NUMBERS_EXACT), "\"\"", "nothing, of something");

	/* each character at each place among others, as core does it */
	initStringInfo(&core);
	for (int len = 1; len <= 26; len++)
		for (int at = 0; at < len; at++)
			for (int c = 1; c < 256; c++)
			{
				memset(text, len % 2 ? 'x' : ' ', len);
				text[at] = c;
				if (len > 3 && c % 5 == 0)
					text[(at + 3) % len] = '\x1f';
				text[len] = '\0';
				resetStringInfo(&core);
				escape_json(&core, text);
				json_set_string(&value, text, len);
				good = good && strcmp(text_of(&value, NUMBERS_EXACT), core.data) == 0;
			}
	ok(good, "each character at each place");
}

/* A value with all that there is, as compact text. */
static void
random_json(StringInfo out, int depth)
{
	int			kind = any(depth > 0 ? 9 : 6);
	int			count = any(10) ? any(5) : any(100);

	if (kind < 6)
	{
		static const char *const scalars[] = {"null", "true", "false", "\"\"", "\"x\\ny\"", "-1.50"};

		if (any(3) == 0)
			appendStringInfo(out, "%d", any(100000));
		else
			appendStringInfoString(out, scalars[kind]);
		return;
	}
	appendStringInfoChar(out, kind == 6 ? '[' : '{');
	for (int i = 0; i < count; i++)
	{
		if (i > 0)
			appendStringInfoChar(out, ',');
		/* keys in jsonb's order */
		if (kind != 6)
			appendStringInfo(out, "\"%.*s%03d\":", i / 30, "kkkkkkkk", i);
		random_json(out, depth - 1);
	}
	appendStringInfoChar(out, kind == 6 ? ']' : '}');
}

/* The keys and values of an object, one by one; nested ones too if deep. */
static void
take_apart(JsonbContainer *container, JsonbValue *object, bool deep)
{
	int			count = JsonContainerSize(container);
	JsonbPair  *pairs = palloc0((count + 1) * sizeof(JsonbPair));
	JsonbIterator *it = JsonbIteratorInit(container);
	JsonbValue	ignored;

	(void) JsonbIteratorNext(&it, &ignored, true);
	for (int i = 0; i < count; i++)
	{
		(void) JsonbIteratorNext(&it, &pairs[i].key, true);
		(void) JsonbIteratorNext(&it, &pairs[i].value, true);
		if (deep && json_is_object(&pairs[i].value))
			take_apart(pairs[i].value.val.binary.data, &pairs[i].value, any(2));
	}
	json_set_object(object, pairs, count);
}

static void
containers(void)
{
	StringInfoData json;
	Jsonb	   *core;
	bool		text_good = true;
	bool		objects_good = true;
	bool		jsonb_good = true;

	is_text(text_again("{\"b\": [1, {}, [], \"x\", null, true, false], \"a\": {\"c\": 1.0}}", NUMBERS_EXACT),
			"{\"a\":{\"c\":1.0},\"b\":[1,{},[],\"x\",null,true,false]}", "compact text");
	is_text(text_again("[1.0, {\"a\": 1e30}]", NUMBERS_JS), "[1,{\"a\":1e+30}]", "as JavaScript");
	is_text(text_again("{}", NUMBERS_EXACT), "{}", "an empty object");
	is_text(text_again("[]", NUMBERS_EXACT), "[]", "an empty array");

	initStringInfo(&json);
	for (int i = 0; i < 2000; i++)
	{
		JsonbValue	value;
		JsonbValue	object;
		Jsonb	   *written;

		resetStringInfo(&json);
		random_json(&json, 4);
		text_good = text_good && strcmp(text_again(json.data, NUMBERS_EXACT), json.data) == 0;
		if (json.data[0] != '{')
			continue;
		core = jsonb(json.data);

		/* a container by itself, and put together of its parts, is core's byte by byte */
		value_of(json.data, &value);
		written = json_write(&value);
		jsonb_good = jsonb_good && VARSIZE(written) == VARSIZE(core) && memcmp(written, core, VARSIZE(core)) == 0;
		for (int deep = 0; deep < 2; deep++)
		{
			take_apart(&core->root, &object, deep);
			written = json_write(&object);
			jsonb_good = jsonb_good && VARSIZE(written) == VARSIZE(core) &&
				memcmp(written, core, VARSIZE(core)) == 0;
			objects_good = objects_good && strcmp(text_of(&object, NUMBERS_EXACT), json.data) == 0;
		}
	}
	ok(text_good, "any value as text");
	ok(objects_good, "also of objects that are not jsonb yet");
	ok(jsonb_good, "any object as jsonb");

	/* a root that is a scalar has no brackets */
	{
		JsonbValue	value;

		core = jsonb("\"x\"");
		json_set_container(&value, &core->root, VARSIZE(core) - VARHDRSZ);
		is_text(text_of(&value, NUMBERS_EXACT), "\"x\"", "a scalar as a root");
	}
}

/* An error comes before anything longer than the limit is there. */
static void
limits(void)
{
	static const char *const known[] = {
		"null", "true", "false", "\"\"", "\"abc\"", "\"a\\nb\\u0001c\"", "1.50", "-12345", "1e30", "1e-30",
		"1.5e-30", "-1e300", "-1.2345e300", "0.5", "[]", "{}", "[1,[2,\"x\"],{}]", "{\"a\":1,\"b\":{\"c\":[true,null]}}"
	};
	Jsonb	   *large;
	JsonbValue	value;
	JsonbValue	object;
	StringInfoData out;
	char	   *text = palloc(1000000);

	for (int i = 0; i < lengthof(known); i++)
		for (int form = NUMBERS_EXACT; form <= NUMBERS_JS; form++)
		{
			int			len = strlen(text_again(known[i], form));

			value_of(known[i], &value);
			for (int limit = 0; limit <= len; limit++)
			{
				StringInfoData bounded;

				initStringInfo(&bounded);
				if (limit == len)
				{
					json_append(&bounded, &value, form, limit);
					is_int(bounded.len, len, psprintf("%s fits", known[i]));
				}
				else
					throws(json_append(&bounded, &value, form, limit), ERRCODE_PROGRAM_LIMIT_EXCEEDED,
						   psprintf("%s does not fit into %d", known[i], limit));
			}
		}

	/* of parts, too */
	large = jsonb("{\"a\": 1, \"b\": 2}");
	take_apart(&large->root, &object, false);
	for (int limit = 0; limit < 13; limit++)
	{
		initStringInfo(&out);
		throws(json_append(&out, &object, NUMBERS_EXACT, limit), ERRCODE_PROGRAM_LIMIT_EXCEEDED,
			   "an object that does not fit");
	}
	initStringInfo(&out);
	json_append(&out, &object, NUMBERS_EXACT, 13);
	is_text(out.data, "{\"a\":1,\"b\":2}", "one that does");

	memset(text, 'x', 1000000);
	json_set_string(&value, text, 1000000);
	initStringInfo(&out);
	throws(json_append(&out, &value, NUMBERS_EXACT, 1000), ERRCODE_PROGRAM_LIMIT_EXCEEDED, "a long string");
	ok(out.maxlen < 10000, "takes no memory");
	throws(json_append_bytes(&out, text, 1000000, 1000), ERRCODE_PROGRAM_LIMIT_EXCEEDED, "nor do bytes");
	ok(out.maxlen < 10000, "of any kind");
	json_append_bytes(&out, text, 1000, 1000);
	is_int(out.len, 1000, "up to the limit");
	throws(json_append_bytes(&out, "y", 1, 1000), ERRCODE_PROGRAM_LIMIT_EXCEEDED, "with what is there before");
	throws(js_append_text(&out, &value, 2000), ERRCODE_PROGRAM_LIMIT_EXCEEDED, "JavaScript's text is bounded, too");
	throws(json_too_large(7), ERRCODE_PROGRAM_LIMIT_EXCEEDED, "or whatever else is");
}

static void
plain_texts(void)
{
	static const struct
	{
		const char *given;
		const char *expected;
	}			known[] = {
		{"null", ""}, {"\"\"", ""}, {"\"a\\nb\"", "a\nb"}, {"true", "true"}, {"1.50", "1.50"}, {"1e100", "1e+100"},
		{"{\"b\": \"x\", \"a\": [1.0]}", "{\"a\":[1.0],\"b\":\"x\"}"}, {"[]", "[]"}
	};
	JsonbValue	value;
	const char *text;
	int			len;

	for (int i = 0; i < lengthof(known); i++)
	{
		value_of(known[i].given, &value);
		text = json_plain_text(&value, &len, 1000);
		is_text(pnstrdup(text, len), known[i].expected, psprintf("%s where only text can go", known[i].given));
	}
	value_of("\"longer\"", &value);
	is_int(json_plain_text(&value, &len, 2) == value.val.string.val && len == 6, 1, "a string as it is, however long");
	value_of("[\"longer\"]", &value);
	throws(json_plain_text(&value, &len, 9), ERRCODE_PROGRAM_LIMIT_EXCEEDED, "other values up to the limit");
	is_text(json_plain_text(&value, &len, 10), "[\"longer\"]", "and no less");

	SetDatabaseEncoding(PG_SQL_ASCII);
	json_set_string(&value, "\xc3\xa9", 2);
	text = json_plain_text(&value, &len, 1000);
	ok(text != NULL && len == 2, "UTF-8 in a database without an encoding");
	json_set_string(&value, "\xe9", 1);
	ok(json_plain_text(&value, &len, 1000) == NULL, "and what is none");
	SetDatabaseEncoding(PG_UTF8);
}

/* ---------------------------------------------------------------------
 * JavaScript's view
 * ---------------------------------------------------------------------
 */

static void
js_values(void)
{
	static const struct
	{
		const char *given;
		bool		truthy;
		const char *text;
	}			known[] = {
		{"null", false, "null"}, {"true", true, "true"}, {"false", false, "false"}, {"\"\"", false, ""},
		{"\" \"", true, " "}, {"\"0\"", true, "0"}, {"0", false, "0"}, {"-0", false, "0"}, {"0.00", false, "0"},
		{"0.001", true, "0.001"}, {"-1", true, "-1"}, {"1.50", true, "1.5"}, {"1e21", true, "1e+21"}, {"1e-7", true, "1e-7"},
		{"[]", true, ""}, {"{}", true, "[object Object]"}, {"[null]", true, ""}, {"[null, null]", true, ","},
		{"[[], [[]], 1]", true, ",,1"}, {"{\"a\": 1}", true, "[object Object]"},
		{"[1, [2.0, [3, 4]], null, {\"a\": 1}, \"x,y\", true, [null, \"\"]]", true, "1,2,3,4,,[object Object],x,y,true,,"},
		{"\"a\\\"b\"", true, "a\"b"}
	};
	JsonbValue	value;
	JsonbValue	text;

	for (int i = 0; i < lengthof(known); i++)
	{
		value_of(known[i].given, &value);
		is_int(js_truthy(&value), known[i].truthy, psprintf("whether %s is true", known[i].given));
		js_text(&value, &text, 1000);
		is_int(text.type, jbvString, "its text is a string");
		is_text(pnstrdup(text.val.string.val, text.val.string.len), known[i].text,
				psprintf("the text of %s", known[i].given));
	}
	value_of("\"longer\"", &value);
	js_text(&value, &text, 1);
	ok(text.val.string.val == value.val.string.val, "a string is its own text");
	value_of("[12, 34]", &value);
	throws(js_text(&value, &text, 4), ERRCODE_PROGRAM_LIMIT_EXCEEDED, "other text is bounded");
	js_text(&value, &text, 5);
	is_int(text.val.string.len, 5, "up to the limit");
	json_set_object(&value, NULL, 0);
	ok(js_truthy(&value), "an object that is not jsonb yet is true");
	js_text(&value, &text, 1000);
	is_int(text.val.string.len, 15, "and has the text of one");
}

static bool
is_blank_in_js(pg_wchar c)
{
	static const pg_wchar blanks[] = {
		0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0x20, 0xA0, 0x1680, 0x2000, 0x2001, 0x2002, 0x2003, 0x2004, 0x2005,
		0x2006, 0x2007, 0x2008, 0x2009, 0x200A, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000, 0xFEFF
	};

	for (int i = 0; i < lengthof(blanks); i++)
		if (blanks[i] == c)
			return true;
	return false;
}

static int
utf8(pg_wchar c, char *to)
{
	unicode_to_utf8(c, (unsigned char *) to);
	return pg_utf_mblen((unsigned char *) to);
}

static void
blanks(void)
{
	pg_wchar	wrong = 0;
	char		text[8];

	for (pg_wchar c = 1; c <= 0x10FFFF && wrong == 0; c++)
		if (!(c >= 0xD800 && c <= 0xDFFF) && js_blank(text, utf8(c, text)) != is_blank_in_js(c))
			wrong = c;
	is_int(wrong, 0, "each character that is white space");
	ok(js_blank("", 0), "nothing is blank");
	ok(js_blank(" \t\xe3\x80\x80\n", 6), "several blanks");
	ok(!js_blank(" \t\xe3\x80\x80\nx", 7), "but not if there is something else");
	ok(!js_blank("x   ", 4), "wherever that is");
	ok(js_blank(" x", 1), "what is behind its length does not count");
	SetDatabaseEncoding(PG_SQL_ASCII);
	ok(!js_blank(" \xa0", 2), "what is no UTF-8 is something");
	ok(js_blank(" \xc2\xa0", 3), "where there is no encoding, UTF-8 is what it is");
	SetDatabaseEncoding(PG_UTF8);
}

static char *
lowered(const char *text)
{
	int			len;
	const char *result = js_lower(text, strlen(text), &len);

	if (strlen(result) != len)
		return psprintf("%d bytes of %s", len, result);
	return pstrdup(result);
}

static void
lower_case(void)
{
	static const struct
	{
		const char *given;
		const char *expected;
	}			known[] = {
		{"", ""}, {"ABC xyz 012 [\\]^_`{}@", "abc xyz 012 [\\]^_`{}@"}, {"ÀÉÎÕÜÞ×Ÿ", "àéîõüþ×ÿ"}, {"ДЖЯ", "джя"},
		{"ẞß", "ßß"}, {"\xe2\x84\xaa\xe2\x84\xab\xe2\x84\xa6", "kåω"}, {"ⅫⒶ", "ⅻⓐ"}, {"ǄǅǊ", "ǆǆǌ"}, {"ᲐᎠ", "აꭰ"},
		{"𐐀𞤀", "𐐨𞤢"}, {"ＡＺ", "ａｚ"}, {"日本語", "日本語"}, {"ŉǰΐ", "ŉǰΐ"},
		{"İ", "i\xcc\x87"}, {"Iı", "iı"}, {"AİB", "ai\xcc\x87""b"},

		/* a sigma that ends a word */
		{"Σ", "σ"}, {"ΣΑ", "σα"}, {"ΑΣ", "ας"}, {"ΑΣ Β", "ας β"}, {"Α Σ", "α σ"}, {"ΑΣΒ", "ασβ"}, {"ΑΣΣ", "ασς"},
		{"ΑΣ.Β", "ασ.β"}, {"Α.Σ", "α.ς"}, {"Α.Σ.", "α.ς."}, {".Σ", ".σ"}, {"ΑΣ'", "ας'"}, {"Α\xcc\x81Σ\xcc\x81", "α\xcc\x81ς\xcc\x81"},
		{"ΑΣ1", "ας1"}, {"1Σ", "1σ"}, {"aΣ", "aς"}, {"AΣb", "aσb"}, {"ΑΣ,Β", "ας,β"}, {"ςΣ", "ςς"}, {"日Σ", "日σ"},
		{"ΑΣ\xe2\x80\x8b", "ας\xe2\x80\x8b"}, {"İΣ", "i\xcc\x87ς"}, {"ΑΣİ", "ασi\xcc\x87"},
		{"ὒΣ", "ὒς"}, {"ΑΣὒ", "ασὒ"}, {"ªΣ", "ªς"}, {"ʰΣ", "ʰσ"}, {"aʰΣ", "aʰς"}, {"ΐΣ", "ΐς"}, {"ĸΣ", "ĸς"}, {"𝐀Σ", "𝐀ς"},
		{"Α\xd6\xb0Σ", "α\xd6\xb0ς"}, {"ΑΣ\xd6\xb0Β", "ασ\xd6\xb0β"}
	};
	int			len;
	int			changed = 0;
	uint64		hash = 0;
	bool		single = true;
	char		text[8];

	for (int i = 0; i < lengthof(known); i++)
		is_text(lowered(known[i].given), known[i].expected, psprintf("\"%s\" in lower case", known[i].given));
	is_text(pnstrdup(js_lower("ABC", 2, &len), 2), "ab", "what is behind its length does not count");
	is_int(len, 2, "nor is it there");

	/* all others, each by itself, as JavaScript's toLowerCase() has them with Unicode 17 */
	for (pg_wchar c = 1; c <= 0x10FFFF; c++)
	{
		const char *result;
		pg_wchar	to;

		if ((c >= 0xD800 && c <= 0xDFFF) || c == 0x130 || c == 0x3A3)
			continue;
		result = js_lower(text, utf8(c, text), &len);
		to = utf8_to_unicode((const unsigned char *) result);
		single = single && len == pg_utf_mblen((const unsigned char *) result) && result[len] == '\0';
		if (to != c)
		{
			changed++;
			hash = hash * 1000003 + (uint64) c * 31 + to;
		}
		pfree(unconstify(char *, result));
	}
	ok(single, "one character becomes one");
	is_int(changed, 1486, "so many have a lower case");
	is_int(hash, INT64CONST(-1300156575648625198), "which is that");

	SetDatabaseEncoding(PG_SQL_ASCII);
	is_text(lowered("A\xc9Z"), "a\xc9z", "of unknown bytes only ASCII is sure");
	is_text(lowered("A\xc3\x89Z"), "a\xc3\xa9z", "of UTF-8 all is known");
	SetDatabaseEncoding(PG_UTF8);
}

/* What stands beside a capital sigma: does it become a final one? */
static bool
is_final(const char *before, const char *after)
{
	char		text[32];
	int			len;
	char	   *result;
	bool		is;

	snprintf(text, sizeof(text), "%sΣ%s", before, after);
	result = unconstify(char *, js_lower(text, strlen(text), &len));
	is = strstr(result, "ς") != NULL;
	pfree(result);
	return is;
}

#define LAST_CHARACTER	0x10FFFF

typedef enum Beside
{
	NOTHING,
	LETTER,
	IGNORABLE
} Beside;

static Beside beside[LAST_CHARACTER + 1];

/* Each character beside a sigma, as JavaScript's toLowerCase() has it with Unicode 17. */
static void
sigmas(void)
{
	int			count = 0;
	uint64		hash = 0;

	for (pg_wchar c = 1; c <= LAST_CHARACTER; c++)
	{
		char		text[8] = "";
		char		inside[8] = "a";
		bool		begins;
		bool		ends;
		bool		goes_on;

		if ((c >= 0xD800 && c <= 0xDFFF) || c == 0x3C2)
			continue;
		text[utf8(c, text)] = '\0';
		strcat(inside, text);
		begins = is_final(text, "");
		ends = is_final("a", text);
		goes_on = is_final(inside, "");
		beside[c] = begins ? LETTER : goes_on ? IGNORABLE : NOTHING;
		if (beside[c] != NOTHING)
		{
			count++;
			hash = hash * 1000003 + c * 8 + begins * 4 + ends * 2 + goes_on;
		}
	}
	is_int(count, 7157, "so many are letters, or marks that a word may have");
	is_int(hash, INT64CONST(3864423918019601555), "which are these");
}

/* The same by Perl's tables, as far as they go: some character is younger than these. */
static void
sigmas_in_perl(void)
{
	FILE	   *perl;
	char		line[64];
	int			count = 0;
	int			differ = 0;

	unsetenv("LD_PRELOAD");		/* this test */
	perl = popen("perl -e '"
				 "foreach my $c (1 .. 0x10FFFF) {"
				 "  next if $c >= 0xD800 && $c <= 0xDFFF;"
				 "  my $s = chr $c;"
				 "  next if $s =~ /\\p{Unassigned}/;"
				 "  print $c, $s =~ /\\p{Case_Ignorable}/ ? \" 2\\n\" : $s =~ /\\p{Cased}/ ? \" 1\\n\" : \" 0\\n\";"
				 "}'", "r");
	while (perl != NULL && fgets(line, sizeof(line), perl) != NULL)
	{
		pg_wchar	c = strtoul(line, NULL, 10);

		count++;
		if (c == 0x295 || c == 0x1171E || c == 0x3C2)
			continue;			/* Unicode 15 and 16 have changed the first two */
		if (beside[c] != (Beside) atoi(strchr(line, ' ')) && differ++ < 10)
			printf("#   U+%04X: %d\n", c, beside[c]);
	}
	is_int(perl != NULL ? pclose(perl) : -1, 0, "perl says what it knows");
	is_between(count, 200000, LAST_CHARACTER, "of all characters");
	is_int(differ, 0, "and it is the same");
}

static void
tests(void)
{
	numbers();
	strings();
	containers();
	limits();
	plain_texts();
	js_values();
	blanks();
	lower_case();
	sigmas();
	sigmas_in_perl();
}
