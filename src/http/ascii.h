/*-------------------------------------------------------------------------
 *
 * ascii.h
 *		Letters, digits and blanks of ASCII, and nothing else.
 *
 * What <ctype.h> and strcasecmp() say depends on the database's LC_CTYPE: in
 * Turkish 'I' and 'i' are two letters, in Latin-1 bytes of UTF-8 are some.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_ASCII_H
#define RSWEBHOOK_ASCII_H

#include <stdbool.h>
#include <stddef.h>

static inline bool
ascii_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline bool
ascii_is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static inline bool
ascii_is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static inline char
ascii_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char) (c + ('a' - 'A')) : c;
}

/* Are the first so many bytes the same, or both strings, but for their case? */
static inline bool
ascii_begin_same(const char *a, const char *b, size_t len)
{
	for (size_t i = 0; i < len; i++)
	{
		if (ascii_lower(a[i]) != ascii_lower(b[i]))
			return false;
		if (a[i] == '\0')
			break;
	}
	return true;
}

static inline bool
ascii_same(const char *a, const char *b)
{
	return ascii_begin_same(a, b, (size_t) -1);
}

/* What a hexadecimal digit stands for; -1: it is none. */
static inline int
ascii_hex_value(char c)
{
	if (ascii_is_digit(c))
		return c - '0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

#endif							/* RSWEBHOOK_ASCII_H */
