/*-------------------------------------------------------------------------
 *
 * encoding.c
 *		Bytes from outside as text that every database can hold, and the
 *		database's text as UTF-8.
 *
 * An answer may be Latin-1, hold NUL bytes or end in the middle of a
 * character; what it said must be recorded all the same.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "base/encoding.h"

/* Bytes of the valid character at s, 0 if there is none. */
static int
valid_character(const unsigned char *s, size_t left)
{
	int			length;

	if (*s < 0x80)
		return *s != '\0';
	if (GetDatabaseEncoding() != PG_UTF8)
		return 0;
	length = pg_utf_mblen(s);
	return (size_t) length <= left && pg_utf8_islegal(s, length) ? length : 0;
}

Datum
encoding_readable(const char *bytes, size_t len)
{
	StringInfoData out;
	size_t		i = 0;
	Datum		result;

	initStringInfo(&out);
	while (i < len)
	{
		size_t		valid = i;
		int			length;

		while (valid < len && (length = valid_character((const unsigned char *) bytes + valid,
														len - valid)) > 0)
			valid += length;
		appendBinaryStringInfo(&out, bytes + i, valid - i);
		i = valid;
		if (i < len)
			appendStringInfo(&out, "\\x%02x", (unsigned char) bytes[i++]);
	}
	result = PointerGetDatum(cstring_to_text_with_len(out.data, out.len));
	pfree(out.data);
	return result;
}

#define MAX_QUOTED	100

char *
encoding_quotable(const char *text, int len)
{
	if (len <= MAX_QUOTED)
		return pnstrdup(text, len);
	return psprintf("%.*s...", pg_mbcliplen(text, len, MAX_QUOTED), text);
}

bool
encoding_is_ascii(const char *string, int len)
{
	for (int i = 0; i < len; i++)
	{
		if (IS_HIGHBIT_SET(string[i]))
			return false;
	}
	return true;
}

bool
encoding_to_utf8(const char **string, int *len)
{
	if (GetDatabaseEncoding() == PG_UTF8 || encoding_is_ascii(*string, *len))
		return true;
	if (GetDatabaseEncoding() == PG_SQL_ASCII)
		return pg_verify_mbstr(PG_UTF8, *string, *len, true);

	*string = pg_server_to_any(*string, *len, PG_UTF8);
	*len = strlen(*string);
	return true;
}

const char *
encoding_from_utf8(const char *utf8, int len)
{
	if (GetDatabaseEncoding() == PG_UTF8 || encoding_is_ascii(utf8, len))
		return utf8;
	return pg_any_to_server(utf8, len, PG_UTF8);
}
