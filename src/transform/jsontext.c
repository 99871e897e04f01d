/*-------------------------------------------------------------------------
 *
 * jsontext.c
 *		Writes values as JSON text.
 *
 * Text is bounded while it is written: as text, a value can take several times
 * the bytes that it has as jsonb.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

#include "base/encoding.h"
#include "transform/json.h"

void
json_too_large(Size limit)
{
	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("request would have more than %zu bytes", limit),
			 errdetail("As text, numbers and escaped characters can take several times the bytes of jsonb."),
			 errhint("Send less, or raise rswebhook.max_request_size.")));
}

/* Room for so many bytes more, or an error before any memory is taken. */
static inline void
make_room(StringInfo out, Size more, Size limit)
{
	if (unlikely(out->len + more > limit))
		json_too_large(limit);
	if (out->len + more >= (Size) out->maxlen)
		enlargeStringInfo(out, more);
}

static inline void
append_bytes(StringInfo out, const char *bytes, int len, Size limit)
{
	make_room(out, len, limit);
	memcpy(out->data + out->len, bytes, len);
	out->len += len;
	out->data[out->len] = '\0';
}

static inline void
append_char(StringInfo out, char c, Size limit)
{
	append_bytes(out, &c, 1, limit);
}

void
json_append_bytes(StringInfo out, const char *bytes, int len, Size limit)
{
	append_bytes(out, bytes, len, limit);
}

/* ---------------------------------------------------------------------
 * Numbers
 * ---------------------------------------------------------------------
 */

/*
 * A number whose plain form is longer than this is written in its shortest
 * exact form: a few bytes of jsonb can stand for a hundred thousand digits.
 */
#define MAX_PLAIN_NUMBER	100

typedef struct Decimal
{
	bool		negative;
	const char *digits;			/* without zeros at either end */
	int			ndigits;
	int			point;			/* so many of them precede the decimal point */
	int			scale;			/* decimals that the number was given with */
	char	   *memory;			/* of the digits, NULL: in space */
	char		space[64];
} Decimal;

static inline int
sent_field(const char *sent, int index)
{
	return (unsigned char) sent[2 * index] << 8 | (unsigned char) sent[2 * index + 1];
}

/* From the form that binary clients are sent, which is documented. */
static void
take_number_apart(Numeric number, Decimal *d)
{
	bytea	   *bytes = DatumGetByteaPP(DirectFunctionCall1(numeric_send,
															NumericGetDatum(number)));
	const char *sent = VARDATA_ANY(bytes);
	int			ngroups = sent_field(sent, 0);	/* of four digits each */
	char	   *from;
	char	   *to;

	d->memory = 4 * ngroups > (int) sizeof(d->space) ? palloc(4 * ngroups) : NULL;
	from = to = d->memory != NULL ? d->memory : d->space;
	d->point = 4 * ((int16) sent_field(sent, 1) + 1);
	d->negative = sent_field(sent, 2) != 0;
	d->scale = sent_field(sent, 3);
	for (int i = 0; i < ngroups; i++)
	{
		int			group = sent_field(sent, 4 + i);

		*to++ = '0' + group / 1000;
		*to++ = '0' + group / 100 % 10;
		*to++ = '0' + group / 10 % 10;
		*to++ = '0' + group % 10;
	}
	pfree(bytes);

	while (to > from && to[-1] == '0')
		to--;
	for (; from < to && *from == '0'; from++)
		d->point--;
	d->digits = from;
	d->ndigits = to - from;
	if (d->ndigits == 0)
		d->point = 0;
}

static int
plain_number_length(const Decimal *d, int scale)
{
	return d->negative + Max(d->point, 1) + (scale > 0 ? 1 + scale : 0);
}

static void
append_plain_number(StringInfo out, const Decimal *d, int scale, Size limit)
{
	char	   *to;

	make_room(out, plain_number_length(d, scale), limit);
	to = out->data + out->len;
	if (d->negative)
		*to++ = '-';
	if (d->point <= 0)
		*to++ = '0';
	for (int i = Min(d->point, 0); i < d->point + scale; i++)
	{
		if (i == d->point)
			*to++ = '.';
		*to++ = i >= 0 && i < d->ndigits ? d->digits[i] : '0';
	}
	*to = '\0';
	out->len = to - out->data;
}

/*
 * Significant digits with the decimal point where JavaScript puts it: plain
 * from 1e-6 up to 1e21, with an exponent beyond.
 */
static void
append_shortest_number(StringInfo out, const Decimal *d, Size limit)
{
	char		exponent[16];
	int			len;

	if (d->ndigits == 0 || (d->point <= 21 && d->point > -6))
	{
		append_plain_number(out, d, Max(d->ndigits - d->point, 0), limit);
		return;
	}
	len = snprintf(exponent, sizeof(exponent), "e%+d", d->point - 1);
	make_room(out, d->negative + d->ndigits + (d->ndigits > 1) + len, limit);
	if (d->negative)
		appendStringInfoCharMacro(out, '-');
	appendStringInfoCharMacro(out, d->digits[0]);
	if (d->ndigits > 1)
		appendStringInfoCharMacro(out, '.');
	appendBinaryStringInfo(out, d->digits + 1, d->ndigits - 1);
	appendBinaryStringInfo(out, exponent, len);
}

void
json_append_number(StringInfo out, Numeric number, NumberForm numbers, Size limit)
{
	Decimal		d;

	take_number_apart(number, &d);
	if (numbers == NUMBERS_JS || plain_number_length(&d, d.scale) > MAX_PLAIN_NUMBER)
		append_shortest_number(out, &d, limit);
	else
		append_plain_number(out, &d, d.scale, limit);
	if (d.memory != NULL)
		pfree(d.memory);
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
any_to_escape(uint64 word)
{
	uint64		quote = word ^ EACH_BYTE('"');
	uint64		backslash = word ^ EACH_BYTE('\\');

	return (((word - EACH_BYTE(' ')) & ~word) |
			((quote - EACH_BYTE(1)) & ~quote) |
			((backslash - EACH_BYTE(1)) & ~backslash)) & EACH_BYTE(0x80);
}

static inline uint64
eight_bytes(const char *bytes)
{
	uint64		word;

	memcpy(&word, bytes, sizeof(word));
	return word;
}

static inline uint64
four_bytes(const char *bytes)
{
	uint32		word;

	memcpy(&word, bytes, sizeof(word));
	return word;
}

static inline bool
is_to_escape(unsigned char c)
{
	return c < ' ' || c == '"' || c == '\\';
}

/*
 * Can a string stand in quotes as it is?  The last bytes are looked at together
 * with some before them, that were looked at already: most strings are short.
 */
static inline bool
is_plain(const char *string, int len)
{
	if (len >= 8)
	{
		for (int i = 0; i < len - 8; i += 8)
		{
			if (any_to_escape(eight_bytes(string + i)))
				return false;
		}
		return !any_to_escape(eight_bytes(string + len - 8));
	}
	if (len >= 4)
		return !any_to_escape(four_bytes(string) << 32 | four_bytes(string + len - 4));
	for (int i = 0; i < len; i++)
	{
		if (is_to_escape(string[i]))
			return false;
	}
	return true;
}

/* How far a string can stand in quotes as it is. */
static int
plain_length(const char *string, int len)
{
	int			i = 0;

	while (i + 8 <= len && !any_to_escape(eight_bytes(string + i)))
		i += 8;
	while (i < len && !is_to_escape(string[i]))
		i++;
	return i;
}

/* A character that cannot stand in quotes as it is. */
static void
append_escaped(StringInfo out, unsigned char c, Size limit)
{
	static const char hex[] = "0123456789abcdef";
	static const char letters[] = "\b\f\n\r\t\"\\", names[] = "bfnrt\"\\";
	const char *found = c != '\0' ? strchr(letters, c) : NULL;
	char		escape[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 0x0F]};

	if (found != NULL)
		escape[1] = names[found - letters];
	append_bytes(out, escape, found != NULL ? 2 : 6, limit);
}

static void
append_escaping(StringInfo out, const char *string, int len, Size limit)
{
	int			plain;

	append_char(out, '"', limit);
	for (int at = 0; at < len;)
	{
		plain = plain_length(string + at, len - at);
		append_bytes(out, string + at, plain, limit);
		at += plain;
		if (at < len)
			append_escaped(out, string[at++], limit);
	}
	append_char(out, '"', limit);
}

/* Nearly always there is nothing to escape, so that is done in one step. */
static inline void
append_quoted(StringInfo out, const char *string, int len, Size limit)
{
	char	   *to;

	if (unlikely(!is_plain(string, len)))
	{
		append_escaping(out, string, len, limit);
		return;
	}
	make_room(out, len + 2, limit);
	to = out->data + out->len;
	*to++ = '"';
	memcpy(to, string, len);
	to += len;
	*to++ = '"';
	*to = '\0';
	out->len = to - out->data;
}

/* The key of a pair, with what stands before and behind it. */
static void
append_key(StringInfo out, bool first, const char *key, int len, Size limit)
{
	char	   *to;

	if (unlikely(!is_plain(key, len)))
	{
		if (!first)
			append_char(out, ',', limit);
		append_escaping(out, key, len, limit);
		append_char(out, ':', limit);
		return;
	}
	make_room(out, len + (first ? 3 : 4), limit);
	to = out->data + out->len;
	if (!first)
		*to++ = ',';
	*to++ = '"';
	memcpy(to, key, len);
	to += len;
	*to++ = '"';
	*to++ = ':';
	*to = '\0';
	out->len = to - out->data;
}

static void
append_bool(StringInfo out, bool value, Size limit)
{
	if (value)
		append_bytes(out, "true", 4, limit);
	else
		append_bytes(out, "false", 5, limit);
}

static void
append_scalar(StringInfo out, const JsonbValue *value, NumberForm numbers, Size limit)
{
	switch (value->type)
	{
		case jbvNull:
			append_bytes(out, "null", 4, limit);
			break;
		case jbvBool:
			append_bool(out, value->val.boolean, limit);
			break;
		case jbvString:
			append_quoted(out, value->val.string.val, value->val.string.len, limit);
			break;
		case jbvNumeric:
			json_append_number(out, value->val.numeric, numbers, limit);
			break;
		default:
			elog(ERROR, "unexpected jsonb value type: %d", (int) value->type);
	}
}

static void append_container(StringInfo out, const JsonbContainer *container,
							 NumberForm numbers, Size limit);

/* An entry of a container whose contents begin at base: len bytes from offset on. */
static inline void
append_entry(StringInfo out, JEntry entry, const char *base, uint32 offset, uint32 len,
			 NumberForm numbers, Size limit)
{
	const char *aligned = base + INTALIGN(offset);

	if (JBE_ISSTRING(entry))
		append_quoted(out, base + offset, len, limit);
	else if (JBE_ISNUMERIC(entry))
		json_append_number(out, (Numeric) aligned, numbers, limit);
	else if (JBE_ISCONTAINER(entry))
		append_container(out, (const JsonbContainer *) aligned, numbers, limit);
	else if (JBE_ISNULL(entry))
		append_bytes(out, "null", 4, limit);
	else
		append_bool(out, JBE_ISBOOL_TRUE(entry), limit);
}

/*
 * A whole tree in the on-disk form, read as it lies: core's iterator allocates
 * for each level, and that is what most of the time went into.
 */
static void
append_container(StringInfo out, const JsonbContainer *container, NumberForm numbers,
				 Size limit)
{
	int			count = JsonContainerSize(container);
	bool		is_object = JsonContainerIsObject(container);
	bool		is_scalar = JsonContainerIsScalar(container);
	int			values = is_object ? count : 0; /* where they begin */
	const char *base = (const char *) &container->children[values + count];
	uint32		key_offset = 0;
	uint32		offset = getJsonbOffset(container, values);
	uint32		start;

	check_stack_depth();
	if (!is_scalar)
		append_char(out, is_object ? '{' : '[', limit);
	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (is_object)
		{
			const char *key = base + key_offset;

			JBE_ADVANCE_OFFSET(key_offset, container->children[i]);
			append_key(out, i == 0, key, base + key_offset - key, limit);
		}
		else if (i > 0)
			append_char(out, ',', limit);
		start = offset;
		JBE_ADVANCE_OFFSET(offset, container->children[values + i]);
		append_entry(out, container->children[values + i], base, start, offset - start, numbers, limit);
	}
	if (!is_scalar)
		append_char(out, is_object ? '}' : ']', limit);
}

void
json_append(StringInfo out, const JsonbValue *value, NumberForm numbers, Size limit)
{
	if (value->type == jbvBinary)
		append_container(out, value->val.binary.data, numbers, limit);
	else if (value->type == jbvObject)
	{
		const JsonbPair *pairs = value->val.object.pairs;

		append_char(out, '{', limit);
		for (int i = 0; i < value->val.object.nPairs; i++)
		{
			CHECK_FOR_INTERRUPTS();
			append_key(out, i == 0, pairs[i].key.val.string.val, pairs[i].key.val.string.len, limit);
			json_append(out, &pairs[i].value, numbers, limit);
		}
		append_char(out, '}', limit);
	}
	else
		append_scalar(out, value, numbers, limit);
}

/* Room for text, to begin with. */
#define MIN_TEXT	1023

const char *
json_plain_text(const JsonbValue *value, int *len, Size limit)
{
	const char *text = "";
	StringInfoData buffer;

	*len = 0;
	if (value->type == jbvString)
	{
		text = value->val.string.val;
		*len = value->val.string.len;
	}
	else if (value->type != jbvNull)
	{
		/* jsonb and its text take about the same space */
		buffer.maxlen = Max(Min(json_space(value), limit), MIN_TEXT) + 1;
		buffer.data = palloc(buffer.maxlen);
		resetStringInfo(&buffer);
		json_append(&buffer, value, NUMBERS_EXACT, limit);
		text = buffer.data;
		*len = buffer.len;
		if (IsAJsonbScalar(value))
		{
			/* there may be many of them */
			text = pnstrdup(buffer.data, buffer.len);
			pfree(buffer.data);
		}
	}
	return encoding_to_utf8(&text, len) ? text : NULL;
}
