/*-------------------------------------------------------------------------
 *
 * xmltext.c
 *		JSON as XML, as RudderStack's HTTP destination writes it.
 *
 * Written by hand, as RudderStack's rules about elements are its own and what is left is
 * five escapes and one rule about names.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"

#include "base/encoding.h"
#include "transform/json.h"
#include "transform/xmltext.h"

/* A member of an object, by the name of its element. */
typedef struct Member
{
	char	   *name;
	int			len;
	int			position;
	bool		hidden;			/* by a later one */
	JsonbValue	value;
} Member;

static void append_element(StringInfo out, const char *name, int name_len,
						   const JsonbValue *value, Size limit);

/* ---------------------------------------------------------------------
 * Names
 * ---------------------------------------------------------------------
 */

/* XML 1.0, NameStartChar above ASCII. */
static bool
begins_name(uint32 c)
{
	static const struct
	{
		uint32		first;
		uint32		last;
	}			ranges[] = {
		{0xC0, 0xD6}, {0xD8, 0xF6}, {0xF8, 0x2FF}, {0x370, 0x37D}, {0x37F, 0x1FFF},
		{0x200C, 0x200D}, {0x2070, 0x218F}, {0x2C00, 0x2FEF}, {0x3001, 0xD7FF},
		{0xF900, 0xFDCF}, {0xFDF0, 0xFFFD}, {0x10000, 0xEFFFF}
	};

	if (c < 0x80)
		return c == '_' || (json_is_alnum(c) && !(c >= '0' && c <= '9'));
	for (int i = 0; i < lengthof(ranges); i++)
	{
		if (c >= ranges[i].first && c <= ranges[i].last)
			return true;
	}
	return false;
}

/* NameChar: these may follow. */
static bool
is_in_name(uint32 c)
{
	return begins_name(c) || c == '-' || c == '.' || (c >= '0' && c <= '9') || c == 0xB7 ||
		(c >= 0x300 && c <= 0x36F) || (c >= 0x203F && c <= 0x2040);
}

const char *
xmltext_name_problem(const char *name, int len)
{
	const char *utf8 = name;
	const unsigned char *c;

	if (len == 0)
		return "it is empty";
	if (!encoding_to_utf8(&utf8, &len))
		return "it is not valid UTF-8";
	for (c = (const unsigned char *) utf8; c < (const unsigned char *) utf8 + len; c += pg_utf_mblen(c))
	{
		uint32		point = utf8_to_unicode(c);

		if (c == (const unsigned char *) utf8 && !begins_name(point))
			return "an element's name begins with a letter or an underscore";
		if (!is_in_name(point))
			return "an element's name has letters, digits, \"_\", \".\" and \"-\" only";
	}
	return NULL;
}

/*
 * The name of a member's element; *changed: it is not the member's.  A character that
 * JavaScript counts as two becomes two.
 */
static char *
element_name(const char *key, int len, int *name_len, bool *changed)
{
	char	   *name = palloc(len + 1);
	int			used = 0;
	int			width;

	for (int i = 0; i < len; i += width)
	{
		unsigned char c = key[i];

		width = c < 0x80 ? 1 : Min(pg_encoding_mblen(GetDatabaseEncoding(), key + i), len - i);
		if (json_is_alnum(c) || c == '_' || c == '.' || c == '-')
			name[used++] = c;
		else
		{
			name[used++] = '_';
			if (width == 4 && GetDatabaseEncoding() == PG_UTF8)
				name[used++] = '_';
			*changed = true;
		}
	}
	if (used == 0)
		name[used++] = '_';
	else if (begins_name((unsigned char) name[0]))
	{
		*name_len = used;
		return name;
	}
	name[0] = '_';
	*changed = true;
	*name_len = used;
	return name;
}

/* ---------------------------------------------------------------------
 * Text
 * ---------------------------------------------------------------------
 */

static void
append(StringInfo out, const char *text, Size limit)
{
	json_append_bytes(out, text, strlen(text), limit);
}

/* What stands for a character that cannot stand for itself; NULL: it can. */
static const char *
escape(const char *text)
{
	switch (*text)
	{
		case '&':
			return "&amp;";
		case '<':
			return "&lt;";
		case '>':
			return "&gt;";
		case '"':
			return "&quot;";
		case '\'':
			return "&apos;";
		case '\r':
			return "&#13;";		/* or it would be read as a line feed */
		case '\t':
		case '\n':
			return NULL;
	}
	if ((unsigned char) *text < ' ')
		return "&#xFFFD;";
	return NULL;
}

/* U+FFFE and U+FFFF are no characters of XML. */
static bool
is_no_character(const char *text, int len)
{
	return len >= 3 && (unsigned char) text[0] == 0xEF && (unsigned char) text[1] == 0xBF &&
		(unsigned char) text[2] >= 0xBE && GetDatabaseEncoding() == PG_UTF8;
}

void
xmltext_escape(StringInfo out, const char *text, int len, Size limit)
{
	int			begin = 0;

	for (int i = 0; i < len; i++)
	{
		bool		none = is_no_character(text + i, len - i);
		const char *instead = none ? "&#xFFFD;" : escape(text + i);

		if (instead == NULL)
			continue;
		json_append_bytes(out, text + begin, i - begin, limit);
		append(out, instead, limit);
		if (none)
			i += 2;
		begin = i + 1;
	}
	json_append_bytes(out, text + begin, len - begin, limit);
}

/* ---------------------------------------------------------------------
 * Elements
 * ---------------------------------------------------------------------
 */

static int
member_cmp(const void *a, const void *b)
{
	const Member *left = a;
	const Member *right = b;
	int			cmp = json_key_cmp(left->name, left->len, right->name, right->len);

	return cmp != 0 ? cmp : left->position - right->position;
}

static int
position_cmp(const void *a, const void *b)
{
	return ((const Member *) a)->position - ((const Member *) b)->position;
}

static void
hide_earlier(Member *members, int count)
{
	qsort(members, count, sizeof(Member), member_cmp);
	for (int i = 0; i + 1 < count; i++)
		members[i].hidden = members[i].len == members[i + 1].len &&
			memcmp(members[i].name, members[i + 1].name, members[i].len) == 0;
	qsort(members, count, sizeof(Member), position_cmp);
}

static void
append_members(StringInfo out, JsonbContainer *object, Size limit)
{
	JsonbIterator *it = JsonbIteratorInit(object);
	JsonbIteratorToken token;
	JsonbValue	key;
	Member	   *members = palloc_extended(Max(JsonContainerSize(object), 1) * sizeof(Member),
										  MCXT_ALLOC_HUGE);
	int			count = 0;
	bool		changed = false;

	while ((token = JsonbIteratorNext(&it, &key, true)) != WJB_DONE)
	{
		Member	   *member = &members[count];

		if (token != WJB_KEY)
			continue;
		CHECK_FOR_INTERRUPTS();
		member->name = element_name(key.val.string.val, key.val.string.len, &member->len, &changed);
		member->position = count++;
		member->hidden = false;
		(void) JsonbIteratorNext(&it, &member->value, true);
	}
	if (changed)
		hide_earlier(members, count);
	for (int i = 0; i < count; i++)
	{
		if (!members[i].hidden)
			append_element(out, members[i].name, members[i].len, &members[i].value, limit);
		pfree(members[i].name);
	}
	pfree(members);
}

/* An array within an array: its elements have numbers for names. */
static void
append_numbered(StringInfo out, JsonbContainer *array, Size limit)
{
	JsonbIterator *it = JsonbIteratorInit(array);
	JsonbIteratorToken token;
	JsonbValue	value;
	char		name[16];
	int			count = 0;

	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		if (token != WJB_ELEM)
			continue;
		append_element(out, name, snprintf(name, sizeof(name), "_%d", count++), &value, limit);
	}
}

static void
append_content(StringInfo out, const JsonbValue *value, Size limit)
{
	switch (value->type)
	{
		case jbvString:
			xmltext_escape(out, value->val.string.val, value->val.string.len, limit);
			break;
		case jbvNumeric:
			json_append_number(out, value->val.numeric, NUMBERS_JS, limit);
			break;
		case jbvBool:
			append(out, value->val.boolean ? "true" : "false", limit);
			break;
		case jbvBinary:
			if (json_is_array(value))
				append_numbered(out, value->val.binary.data, limit);
			else
				append_members(out, value->val.binary.data, limit);
			break;
		default:
			break;
	}
}

static void
append_tag(StringInfo out, const char *before, const char *name, int len, const char *after, Size limit)
{
	append(out, before, limit);
	json_append_bytes(out, name, len, limit);
	append(out, after, limit);
}

static void
append_one(StringInfo out, const char *name, int name_len, const JsonbValue *value, Size limit)
{
	int			content;

	append_tag(out, "<", name, name_len, ">", limit);
	content = out->len;
	append_content(out, value, limit);
	if (out->len > content)
		append_tag(out, "</", name, name_len, ">", limit);
	else
	{
		out->len--;
		append(out, "/>", limit);
	}
}

static void
append_element(StringInfo out, const char *name, int name_len, const JsonbValue *value, Size limit)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	element;

	check_stack_depth();
	CHECK_FOR_INTERRUPTS();
	if (value->type == jbvNull)
		return;
	if (!json_is_array(value))
	{
		append_one(out, name, name_len, value, limit);
		return;
	}
	it = JsonbIteratorInit(value->val.binary.data);
	while ((token = JsonbIteratorNext(&it, &element, true)) != WJB_DONE)
	{
		CHECK_FOR_INTERRUPTS();
		if (token == WJB_ELEM && element.type != jbvNull)
			append_one(out, name, name_len, &element, limit);
	}
}

void
xmltext_append(StringInfo out, const JsonbValue *object, const char *root, Size limit)
{
	append(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>", limit);
	append_one(out, root, strlen(root), object, limit);
}
