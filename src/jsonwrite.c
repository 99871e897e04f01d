/*-------------------------------------------------------------------------
 *
 * jsonwrite.c
 *		Writes values as jsonb, and as JSON text.
 *
 * Core's pushJsonbValue() takes containers apart and builds them up again key
 * by key.  All that a transform changes is the top of a tree, so the writer
 * here copies what lies below as it is: everything inside a container is
 * relative to the container's own start, which only has to be aligned.  The
 * format is described in utils/jsonb.h; it is what lies on disk, so it is the
 * same in every version.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "json.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

/* Most bytes that a value can take, with the padding in front of it. */
static Size
space_needed(const JsonbValue *value)
{
	const JsonbPair *pair;
	Size		size;

	switch (value->type)
	{
		case jbvNull:
		case jbvBool:
			return 0;
		case jbvString:
			return value->val.string.len;
		case jbvNumeric:
			return VARSIZE_ANY(value->val.numeric) + sizeof(int32);
		case jbvBinary:
			return value->val.binary.len + sizeof(int32);
		case jbvObject:
			size = sizeof(int32) + offsetof(JsonbContainer, children);
			pair = value->val.object.pairs;
			for (int i = 0; i < value->val.object.nPairs; i++, pair++)
				size += 2 * sizeof(JEntry) + pair->key.val.string.len +
					space_needed(&pair->value);
			return size;
		default:
			elog(ERROR, "unexpected jsonb value type: %d", (int) value->type);
	}
	return 0;					/* keep compiler quiet */
}

static inline char *
copy_bytes(char *to, const void *from, Size len)
{
	memcpy(to, from, len);
	return to + len;
}

/* Zeroes up to the next boundary; datums start on one, so pointers can tell. */
static inline char *
pad(char *to)
{
	while ((uintptr_t) to % sizeof(int32) != 0)
		*to++ = 0;
	return to;
}

static char *write_object(char *to, const JsonbValue *object);

/* Write a value, return the end of it and say what kind of entry it is. */
static inline char *
write_value(char *to, const JsonbValue *value, JEntry *kind)
{
	switch (value->type)
	{
		case jbvNull:
			*kind = JENTRY_ISNULL;
			return to;
		case jbvBool:
			*kind = value->val.boolean ? JENTRY_ISBOOL_TRUE : JENTRY_ISBOOL_FALSE;
			return to;
		case jbvString:
			*kind = JENTRY_ISSTRING;
			return copy_bytes(to, value->val.string.val, value->val.string.len);
		case jbvNumeric:
			*kind = JENTRY_ISNUMERIC;
			return copy_bytes(pad(to), value->val.numeric,
							  VARSIZE_ANY(value->val.numeric));
		case jbvBinary:
			*kind = JENTRY_ISCONTAINER;
			return copy_bytes(pad(to), value->val.binary.data,
							  value->val.binary.len);
		default:
			*kind = JENTRY_ISCONTAINER;
			return write_object(to, value);
	}
}

/* Entries hold their length, but every so often their end's offset. */
static inline JEntry
make_entry(int index, JEntry kind, Size len, Size end)
{
	if (end > JENTRY_OFFLENMASK)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("request is too large for jsonb"),
				 errdetail("An object in it would be larger than %u bytes.",
						   (unsigned) JENTRY_OFFLENMASK)));
	if (index % JB_OFFSET_STRIDE == 0)
		return kind | (JEntry) end | JENTRY_HAS_OFF;
	return kind | (JEntry) len;
}

static char *
write_object(char *to, const JsonbValue *object)
{
	const JsonbPair *pairs = object->val.object.pairs;
	int			npairs = object->val.object.nPairs;
	JsonbContainer *container = (JsonbContainer *) pad(to);
	char	   *start = (char *) &container->children[2 * (Size) npairs];
	char	   *end;

	container->header = npairs | JB_FOBJECT;

	to = start;
	for (int i = 0; i < npairs; i++)
	{
		const JsonbValue *key = &pairs[i].key;

		to = copy_bytes(to, key->val.string.val, key->val.string.len);
		container->children[i] = make_entry(i, JENTRY_ISSTRING,
											key->val.string.len, to - start);
	}

	for (int i = 0; i < npairs; i++)
	{
		JEntry		kind;

		CHECK_FOR_INTERRUPTS();
		end = write_value(to, &pairs[i].value, &kind);
		container->children[npairs + i] = make_entry(npairs + i, kind,
													 end - to, end - start);
		to = end;
	}
	return to;
}

Jsonb *
json_write(const JsonbValue *object)
{
	Size		space = VARHDRSZ + space_needed(object);
	Jsonb	   *jsonb;
	char	   *end;

	/* A datum cannot be as large as memory; write_object() says it nicely. */
	jsonb = palloc_extended(space, MCXT_ALLOC_HUGE);

	if (object->type == jbvObject)
		end = write_object((char *) &jsonb->root, object);
	else
		end = copy_bytes((char *) &jsonb->root, object->val.binary.data,
						 object->val.binary.len);
	SET_VARSIZE(jsonb, end - (char *) jsonb);
	return jsonb;
}

/* ---------------------------------------------------------------------
 * JSON text
 * ---------------------------------------------------------------------
 */

#define EACH_BYTE(c)	(UINT64CONST(0x0101010101010101) * (c))

/*
 * Is one of eight bytes a control character, a quote or a backslash?  A byte
 * is less than n if subtracting n borrows into a high bit that was not set; it
 * is c if it is less than 1 once c has been taken out of it.  A borrow from a
 * byte that is one can only add another.
 */
static inline bool
any_to_escape(const char *bytes)
{
	uint64		word;
	uint64		quote;
	uint64		backslash;

	memcpy(&word, bytes, sizeof(word));
	quote = word ^ EACH_BYTE('"');
	backslash = word ^ EACH_BYTE('\\');
	return (((word - EACH_BYTE(' ')) & ~word) |
			((quote - EACH_BYTE(1)) & ~quote) |
			((backslash - EACH_BYTE(1)) & ~backslash)) & EACH_BYTE(0x80);
}

/* How far a string can stand in quotes as it is. */
static inline int
plain_length(const char *string, int len)
{
	int			i = 0;

	while (i + (int) sizeof(uint64) <= len && !any_to_escape(string + i))
		i += sizeof(uint64);
	while (i < len && (unsigned char) string[i] >= ' ' &&
		   string[i] != '"' && string[i] != '\\')
		i++;
	return i;
}

static void
append_escaped(StringInfo out, char c)
{
	switch (c)
	{
		case '"':
		case '\\':
			appendStringInfoChar(out, '\\');
			appendStringInfoChar(out, c);
			break;
		case '\b':
			appendStringInfoString(out, "\\b");
			break;
		case '\f':
			appendStringInfoString(out, "\\f");
			break;
		case '\n':
			appendStringInfoString(out, "\\n");
			break;
		case '\r':
			appendStringInfoString(out, "\\r");
			break;
		case '\t':
			appendStringInfoString(out, "\\t");
			break;
		default:
			appendStringInfo(out, "\\u%04x", (unsigned char) c);
			break;
	}
}

/* Nearly always there is nothing to escape, so that is done in one step. */
static void
append_quoted(StringInfo out, const char *string, int len)
{
	int			plain = plain_length(string, len);
	char	   *to;

	enlargeStringInfo(out, plain + 2);
	to = out->data + out->len;
	*to++ = '"';
	memcpy(to, string, plain);
	to += plain;
	if (likely(plain == len))
		*to++ = '"';
	*to = '\0';
	out->len = to - out->data;
	if (likely(plain == len))
		return;

	for (int at = plain; at < len; at += plain)
	{
		append_escaped(out, string[at++]);
		plain = plain_length(string + at, len - at);
		appendBinaryStringInfo(out, string + at, plain);
	}
	appendStringInfoChar(out, '"');
}

static void
append_numeric(StringInfo out, Numeric number, NumberForm numbers)
{
	if (numbers == NUMBERS_JS)
		js_append_number(out, number);
	else
		appendStringInfoString(out, DatumGetCString(DirectFunctionCall1(numeric_out,
																		NumericGetDatum(number))));
}

static void
append_scalar(StringInfo out, const JsonbValue *value, NumberForm numbers)
{
	switch (value->type)
	{
		case jbvNull:
			appendStringInfoString(out, "null");
			break;
		case jbvBool:
			appendStringInfoString(out, value->val.boolean ? "true" : "false");
			break;
		case jbvString:
			append_quoted(out, value->val.string.val, value->val.string.len);
			break;
		case jbvNumeric:
			append_numeric(out, value->val.numeric, numbers);
			break;
		default:
			elog(ERROR, "unexpected jsonb value type: %d", (int) value->type);
	}
}

static void append_container(StringInfo out, const JsonbContainer *container,
							 NumberForm numbers);

/* The entry of a container whose contents begin at base, offset bytes in. */
static void
append_entry(StringInfo out, const JsonbContainer *container, int index,
			 const char *base, uint32 offset, NumberForm numbers)
{
	JEntry		entry = container->children[index];
	const char *aligned = base + INTALIGN(offset);

	if (JBE_ISSTRING(entry))
		append_quoted(out, base + offset, getJsonbLength(container, index));
	else if (JBE_ISNUMERIC(entry))
		append_numeric(out, (Numeric) aligned, numbers);
	else if (JBE_ISCONTAINER(entry))
		append_container(out, (const JsonbContainer *) aligned, numbers);
	else if (JBE_ISNULL(entry))
		appendStringInfoString(out, "null");
	else
		appendStringInfoString(out, JBE_ISBOOL_TRUE(entry) ? "true" : "false");
}

/*
 * A whole tree in the on-disk form, read as it lies: core's iterator allocates
 * for each level, and that is what most of the time went into.
 */
static void
append_container(StringInfo out, const JsonbContainer *container, NumberForm numbers)
{
	int			count = JsonContainerSize(container);
	bool		is_object = JsonContainerIsObject(container);
	bool		is_scalar = JsonContainerIsScalar(container);
	int			values = is_object ? count : 0; /* where they begin */
	const char *base = (const char *) &container->children[values + count];
	uint32		key_offset = 0;
	uint32		offset = getJsonbOffset(container, values);

	check_stack_depth();
	CHECK_FOR_INTERRUPTS();
	if (!is_scalar)
		appendStringInfoCharMacro(out, is_object ? '{' : '[');
	for (int i = 0; i < count; i++)
	{
		if (i > 0)
			appendStringInfoCharMacro(out, ',');
		if (is_object)
		{
			append_quoted(out, base + key_offset, getJsonbLength(container, i));
			appendStringInfoCharMacro(out, ':');
			JBE_ADVANCE_OFFSET(key_offset, container->children[i]);
		}
		append_entry(out, container, values + i, base, offset, numbers);
		JBE_ADVANCE_OFFSET(offset, container->children[values + i]);
	}
	if (!is_scalar)
		appendStringInfoCharMacro(out, is_object ? '}' : ']');
}

void
json_append(StringInfo out, const JsonbValue *value, NumberForm numbers)
{
	if (value->type == jbvBinary)
		append_container(out, value->val.binary.data, numbers);
	else if (value->type == jbvObject)
	{
		const JsonbPair *pairs = value->val.object.pairs;

		appendStringInfoChar(out, '{');
		for (int i = 0; i < value->val.object.nPairs; i++)
		{
			if (i > 0)
				appendStringInfoChar(out, ',');
			append_quoted(out, pairs[i].key.val.string.val,
						  pairs[i].key.val.string.len);
			appendStringInfoChar(out, ':');
			json_append(out, &pairs[i].value, numbers);
		}
		appendStringInfoChar(out, '}');
	}
	else
		append_scalar(out, value, numbers);
}

const char *
json_plain_text(const JsonbValue *value, int *len)
{
	const char *text;
	StringInfoData buffer;

	if (value->type == jbvString)
	{
		text = value->val.string.val;
		*len = value->val.string.len;
	}
	else
	{
		/* jsonb and its text take about the same space */
		initStringInfo(&buffer);
		if (value->type == jbvBinary)
			enlargeStringInfo(&buffer, value->val.binary.len);
		if (value->type != jbvNull)
			json_append(&buffer, value, NUMBERS_EXACT);
		text = buffer.data;
		*len = buffer.len;
	}
	return json_to_utf8(&text, len) ? text : NULL;
}
