/*-------------------------------------------------------------------------
 *
 * host.c
 *		Names of hosts, as they are compared, resolved, shown and sent: ASCII.
 *
 * Names are mapped as browsers do it (UTS #46, not transitional) and checked by
 * libidn2 as IDNA2008 asks for.  That also refuses symbols and emoji, which
 * browsers, libcurl and some registries take; libidn2 lets them through if it is
 * told to map transitionally.  So that is the second try, and for those only: it
 * does not look at directions and joiners, and makes "ss" of a sharp s, which is
 * another host.  See host.h.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include <idn2.h>
#include <stdint.h>
#include <string.h>

#include "http/ascii.h"
#include "http/host.h"

#define MAX_LABEL	63
#define MAX_NAME	253

/* No name that fits has more: a character is one byte of the result at least. */
#define MAX_GIVEN	(4 * MAX_NAME)

const char	host_no_memory[] = "cannot be converted: out of memory";

static const char too_long[] = "is longer than 253 bytes";
static const char long_label[] = "has a label that is longer than 63 bytes";

static bool
is_ascii(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
	{
		if (text[i] & 0x80)
			return false;
	}
	return true;
}

/* Of what is ASCII in it; underscores are in names of containers and services. */
static bool
has_bad_character(const char *host, size_t len)
{
	for (size_t i = 0; i < len; i++)
	{
		char		c = host[i];

		if (!(c & 0x80) && !ascii_is_letter(c) && !ascii_is_digit(c) &&
			c != '-' && c != '.' && c != '_')
			return true;
	}
	return false;
}

/* What is wrong with a name of ASCII, which may end in a dot. */
static const char *
problem(const char *host, size_t len)
{
	size_t		label = 0;

	if (has_bad_character(host, len))
		return "has a character that is not allowed in one";
	if (len > 1 && host[len - 1] == '.')
		len--;
	if (len > MAX_NAME)
		return too_long;
	for (size_t i = 0; i <= len; i++)
	{
		if (i < len && host[i] != '.')
			label++;
		else if (label == 0)
			return "has an empty label";
		else if (label > MAX_LABEL)
			return long_label;
		else
			label = 0;
	}
	return NULL;
}

/* Characters that transitional mapping takes for others, or takes away. */
static bool
is_mapped_otherwise(const char *host)
{
	static const char *const deviations[] = {
		"\xc3\x9f", "\xe1\xba\x9e", /* sharp s, small and capital */
		"\xcf\x82",				/* final sigma */
		"\xe2\x80\x8c", "\xe2\x80\x8d"	/* joiners */
	};

	for (size_t i = 0; i < sizeof(deviations) / sizeof(deviations[0]); i++)
	{
		if (strstr(host, deviations[i]) != NULL)
			return true;
	}
	return false;
}

/* Does it have letters that may be written from right to left? */
static bool
may_mix_directions(const char *host)
{
	for (const unsigned char *c = (const unsigned char *) host; *c != '\0'; c++)
	{
		if ((c[0] == 0xD6 && c[1] >= 0x90) || (c[0] >= 0xD7 && c[0] <= 0xDF) ||
			(c[0] == 0xE0 && c[1] >= 0xA0 && c[1] <= 0xA3) ||
			(c[0] == 0xEF && c[1] >= 0xAC && c[1] != 0xB8 && c[1] <= 0xBB) ||
			(c[0] == 0xF0 && (c[1] == 0x90 || c[1] == 0x9E) && c[2] >= 0xA0))
			return true;
	}
	return false;
}

/* libidn2's own words are in the language of LC_MESSAGES. */
static const char *
reason(int rc)
{
	switch (rc)
	{
		case IDN2_MALLOC:
			return host_no_memory;
		case IDN2_ENCODING_ERROR:
			return "is not valid UTF-8";
		case IDN2_TOO_BIG_DOMAIN:
			return too_long;
		case IDN2_TOO_BIG_LABEL:
		case IDN2_PUNYCODE_BIG_OUTPUT:
			return long_label;
		case IDN2_BIDI:
			return "mixes directions of writing in a way that is not allowed";
		case IDN2_CONTEXTJ:
		case IDN2_CONTEXTJ_NO_RULE:
			return "has a joiner where none is allowed";
		case IDN2_2HYPHEN:
		case IDN2_HYPHEN_STARTEND:
			return "has hyphens where none are allowed";
		case IDN2_INVALID_ALABEL:
		case IDN2_PUNYCODE_BAD_INPUT:
		case IDN2_PUNYCODE_OVERFLOW:
			return "has a label that begins with \"xn--\" and is none of that kind";
		default:
			return "has a character that is not allowed in one";
	}
}

/* What libidn2 made is in *mapped, to be freed; NULL, or what is wrong. */
static const char *
map(const char *host, char **mapped)
{
	uint8_t    *found = NULL;
	int			rc;

	rc = idn2_lookup_u8((const uint8_t *) host, &found,
						IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
	if (rc == IDN2_DISALLOWED && !is_mapped_otherwise(host) && !may_mix_directions(host))
		rc = idn2_lookup_u8((const uint8_t *) host, &found,
							IDN2_NFC_INPUT | IDN2_TRANSITIONAL);
	*mapped = rc == IDN2_OK ? (char *) found : NULL;
	return rc == IDN2_OK ? NULL : reason(rc);
}

const char *
host_to_ascii(const char *host, size_t len, char ascii[HOST_SIZE])
{
	char		given[MAX_GIVEN + 1];
	char	   *mapped = NULL;
	const char *name = host;
	const char *why = NULL;

	if (!is_ascii(host, len))
	{
		if (has_bad_character(host, len))
			return "has a character that is not allowed in one";
		if (len > MAX_GIVEN)
			return too_long;
		memcpy(given, host, len);
		given[len] = '\0';
		why = map(given, &mapped);
		name = mapped;
		len = mapped != NULL ? strlen(mapped) : 0;
	}

	/* one character can stand for several, be they dots or slashes */
	if (why == NULL)
		why = problem(name, len);
	for (size_t i = 0; why == NULL && i <= len; i++)
		ascii[i] = i < len ? ascii_lower(name[i]) : '\0';
	idn2_free(mapped);
	return why;
}
