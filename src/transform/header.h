/*-------------------------------------------------------------------------
 *
 * header.h
 *		Are two names of headers the same?
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_HEADER_H
#define RSWEBHOOK_HEADER_H

#include "transform/json.h"

/* They are, whatever their case. */
static inline bool
header_names_equal(const char *a, int a_len, const char *b, int b_len)
{
	return a_len == b_len && pg_strncasecmp(a, b, a_len) == 0;
}

static inline char
header_name_char(char c)
{
	return json_is_alnum(c) ? pg_ascii_tolower((unsigned char) c) : '-';
}

/*
 * Likewise, to those who take "_" or "." for "-" as well, as much does that hands
 * headers on in variables (RFC 3875, 4.1.18).
 */
static inline bool
header_names_alike(const char *a, int a_len, const char *b, int b_len)
{
	if (a_len != b_len)
		return false;
	for (int i = 0; i < a_len; i++)
	{
		if (header_name_char(a[i]) != header_name_char(b[i]))
			return false;
	}
	return true;
}

#endif							/* RSWEBHOOK_HEADER_H */
