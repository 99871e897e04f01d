/*-------------------------------------------------------------------------
 *
 * mask.c
 *		Secrets in what a receiver says are made unreadable.
 *
 * Pure.  A text is read character by character.  What begins an escape can be read
 * in two ways, as what it is and as what it stands for, and a backslash in three; a
 * secret may have such a character itself.  Patterns are kept by the character that
 * they begin with, so that most of a text is looked at once.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"

#include "destination/mask.h"
#include "http/ascii.h"
#include "transform/values.h"

/* As many secrets, and each in as many forms, are looked for: more mask all. */
#define MAX_SECRETS		256
#define FORMS			4
#define MAX_PATTERNS	(MAX_SECRETS * FORMS)

/* Characters that are compared, before a text counts as made to take time. */
#define STEPS_A_BYTE	64
#define STEPS_AT_LEAST	(64 * 1024)

/* No escape of one character is longer. */
#define LONGEST_ESCAPE	16

/* Backslashes before a character, in JSON in JSON in JSON. */
#define MAX_BACKSLASHES	7

/* What is kept apart by its first character: all of ASCII, and the rest together. */
#define BUCKETS			129

typedef struct Pattern
{
	const unsigned char *secret;
	int			len;
	int			first_bit;		/* of base64: where it begins in the secret; -1: as it is */
	int16		next;			/* with the same first character; -1: none */
} Pattern;

typedef struct Masking
{
	const unsigned char *end;	/* of the text */
	bool		cut;
	int64		steps_left;
	int			npatterns;
	int16		first[BUCKETS];
	Pattern		patterns[MAX_PATTERNS];
} Masking;

/* What of a text is read as what it stands for. */
typedef enum Escapes
{
	ESCAPES_NONE,
	ESCAPES_FOREIGN,			/* all but backslashes, which a secret has when it is in JSON */
	ESCAPES_ALL
} Escapes;

/* A way to read what stands somewhere. */
typedef struct Reading
{
	uint32		point;
	int			len;
} Reading;

#define MAX_READINGS	3

/* ---------------------------------------------------------------------
 * Reading
 * ---------------------------------------------------------------------
 */

/* A character as it is.  What is not UTF-8 is taken for Latin-1. */
static Reading
plain(const unsigned char *s, const unsigned char *end)
{
	int			len;

	if (*s >= 0x80 && (len = pg_utf_mblen(s)) <= end - s && pg_utf8_islegal(s, len))
		return (Reading) {utf8_to_unicode(s), len};
	return (Reading) {*s, 1};
}

static bool
hex(const unsigned char *s, const unsigned char *end, int ndigits, uint32 *value)
{
	if (end - s < ndigits)
		return false;
	*value = 0;
	for (int i = 0; i < ndigits; i++)
	{
		int			digit = ascii_hex_value((char) s[i]);

		if (digit < 0)
			return false;
		*value = *value * 16 + digit;
	}
	return true;
}

/* %C3%A9 */
static Reading
percent(const unsigned char *s, const unsigned char *end)
{
	unsigned char bytes[4];
	int			nbytes = 0;
	uint32		value;
	Reading		reading = {0};

	while (nbytes < 4 && end - s > 3 * nbytes && s[3 * nbytes] == '%' &&
		   hex(s + 3 * nbytes + 1, end, 2, &value))
		bytes[nbytes++] = value;
	if (nbytes > 0)
		reading = plain(bytes, bytes + nbytes);
	reading.len *= 3;
	return reading;
}

/* \", \n, \u00e9, \ud83d\ude00; with more backslashes where JSON is in JSON. */
static Reading
backslash(const unsigned char *s, const unsigned char *end, int nbackslashes)
{
	static const char controls[] = "bfnrt";
	const char *control;
	const unsigned char *c = s + nbackslashes;
	const unsigned char *low = c + 5 + nbackslashes;
	uint32		value;
	uint32		rest;

	if (c >= end)
		return (Reading) {0};
	if (*c == 'u' && hex(c + 1, end, 4, &value))
	{
		if (is_utf16_surrogate_first(value) && low < end && low[-1] == '\\' && *low == 'u' &&
			hex(low + 1, end, 4, &rest) && is_utf16_surrogate_second(rest))
			return (Reading) {surrogate_pair_to_codepoint(value, rest), low + 5 - s};
		return (Reading) {value, nbackslashes + 5};
	}
	if (*c == 'x' && hex(c + 1, end, 2, &value))
		return (Reading) {value, nbackslashes + 3};
	if (*c != '\0' && (control = strchr(controls, *c)) != NULL)
		return (Reading) {"\b\f\n\r\t"[control - controls], nbackslashes + 1};
	if (*c == '"' || *c == '\'' || *c == '/')
		return (Reading) {*c, nbackslashes + 1};
	return (Reading) {0};
}

/* &amp;, &#38;, &#x26; */
static Reading
entity(const unsigned char *s, const unsigned char *end)
{
	static const struct
	{
		const char *name;
		char		is;
	}			names[] = {
		{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}
	};
	const unsigned char *semicolon = memchr(s, ';', Min(end - s, LONGEST_ESCAPE));
	Reading		reading = {0};
	int			digits;

	if (semicolon == NULL)
		return reading;
	for (int i = 0; i < lengthof(names); i++)
	{
		int			len = strlen(names[i].name);

		if (len == semicolon - s + 1 && memcmp(s, names[i].name, len) == 0)
			return (Reading) {names[i].is, len};
	}
	if (s[1] != '#')
		return reading;
	reading.len = semicolon - s + 1;
	digits = reading.len - 3;
	if (s[2] == 'x' || s[2] == 'X')
		return digits - 1 <= 6 && hex(s + 3, end, digits - 1, &reading.point) ? reading : (Reading) {0};
	for (int i = 0; i < digits; i++)
	{
		if (s[2 + i] < '0' || s[2 + i] > '9' || i >= 7)
			return (Reading) {0};
		reading.point = reading.point * 10 + (s[2 + i] - '0');
	}
	return reading;
}

static void
add_reading(Reading *readings, int *count, Reading reading)
{
	if (reading.len > 0)
		readings[(*count)++] = reading;
}

/* How can what stands there be read?  Escapes come first. */
static int
ways_to_read(const unsigned char *s, const unsigned char *end, Reading readings[MAX_READINGS])
{
	int			count = 0;
	int			nbackslashes = 1;

	switch (*s)
	{
		case '%':
			add_reading(readings, &count, percent(s, end));
			break;
		case '+':
			add_reading(readings, &count, (Reading) {' ', 1});
			break;
		case '-':				/* of base64 for URLs */
			add_reading(readings, &count, (Reading) {'+', 1});
			break;
		case '_':
			add_reading(readings, &count, (Reading) {'/', 1});
			break;
		case '&':
			add_reading(readings, &count, entity(s, end));
			break;
		case '\\':
			while (nbackslashes < MAX_BACKSLASHES && s + nbackslashes < end &&
				   s[nbackslashes] == '\\')
				nbackslashes++;
			add_reading(readings, &count, backslash(s, end, nbackslashes));
			if (nbackslashes > 1)
				add_reading(readings, &count, (Reading) {'\\', 2});
			break;
	}
	add_reading(readings, &count, plain(s, end));
	return count;
}

/* ---------------------------------------------------------------------
 * Patterns
 * ---------------------------------------------------------------------
 */

/* The next character of a pattern, *at on; false: it has ended. */
static bool
next_wanted(const Pattern *p, int *at, uint32 *point)
{
	static const unsigned char base64[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	if (p->first_bit < 0)
	{
		Reading		reading;

		if (*at >= p->len)
			return false;
		reading = plain(p->secret + *at, p->secret + p->len);
		*point = reading.point;
		*at += reading.len;
	}
	else
	{
		int			bit = p->first_bit + 6 * *at;
		const unsigned char *byte = p->secret + bit / 8;

		if (bit + 6 > 8 * p->len)
			return false;
		*point = base64[((byte[0] << 8 | byte[1]) >> (10 - bit % 8)) & 63];
		(*at)++;
	}
	return true;
}

static int
bucket(uint32 point)
{
	return Min(point, BUCKETS - 1);
}

static void
add_pattern(Masking *m, const char *secret, int len, int first_bit)
{
	Pattern    *p = &m->patterns[m->npatterns];
	uint32		wanted = 0;
	int			at = 0;

	p->secret = (const unsigned char *) secret;
	p->len = len;
	p->first_bit = first_bit;
	(void) next_wanted(p, &at, &wanted);
	p->next = m->first[bucket(wanted)];
	m->first[bucket(wanted)] = m->npatterns++;
}

/* False: they are too many. */
static bool
add_patterns(Masking *m, const char *secrets)
{
	memset(m->first, -1, sizeof(m->first));
	for (const char *secret = secrets; *secret != '\0'; secret += strlen(secret) + 1)
	{
		int			len = strlen(secret);

		if (len < MASK_MIN_BYTES)
			continue;
		if (m->npatterns + FORMS > MAX_PATTERNS)
			return false;
		add_pattern(m, secret, len, -1);
		/* with none, one or two bytes before it */
		add_pattern(m, secret, len, 0);
		add_pattern(m, secret, len, 4);
		add_pattern(m, secret, len, 2);
	}
	return true;
}

/* ---------------------------------------------------------------------
 * Masking
 * ---------------------------------------------------------------------
 */

/* A text may have been cut within a character. */
static bool
may_go_on(const Masking *m, const unsigned char *s)
{
	return m->cut && m->end - s < LONGEST_ESCAPE && (*s >= 0x80 || *s == '%' || *s == '&' || *s == '\\');
}

/* How many bytes the last bits of a secret take, which are not a character of their own. */
static int
rest_of_base64(const Masking *m, const Pattern *p, const unsigned char *s)
{
	static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_";
	bool		has_rest = p->first_bit >= 0 && (8 * p->len - p->first_bit) % 6 != 0;
	int			len = 0;

	if (has_rest && s < m->end && *s != '\0' && strchr(base64, *s) != NULL)
		len++;
	if (len == 0)
		return 0;
	for (int i = 0; i < 2 && s + len < m->end; i++)
	{
		Reading		reading = s[len] == '%' ? percent(s + len, m->end) : plain(s + len, m->end);

		if (reading.point != '=')
			break;
		len += reading.len;
	}
	return len;
}

/*
 * Does the pattern stand there, with its characters as they are or with escapes?
 * Returns how many bytes it has, 0: it does not.
 */
static size_t
match(Masking *m, const Pattern *p, const unsigned char *start, Escapes escapes)
{
	const unsigned char *s = start;
	uint32		wanted;
	int			at = 0;

	while (next_wanted(p, &at, &wanted))
	{
		Reading		readings[MAX_READINGS];
		int			count = 1;
		int			i = 0;

		if (s >= m->end)
			return m->cut ? s - start : 0;
		if (m->steps_left-- <= 0)
			return 0;
		if (escapes == ESCAPES_ALL || (escapes == ESCAPES_FOREIGN && *s != '\\'))
			count = ways_to_read(s, m->end, readings);
		else
			readings[0] = plain(s, m->end);
		while (i < count && readings[i].point != wanted)
			i++;
		if (i == count)
			return s > start && may_go_on(m, s) ? m->end - start : 0;
		s += readings[i].len;
		/* UTF-16 has ASCII with NULs in between */
		for (int nul = 0; nul < 3 && s < m->end && *s == '\0'; nul++)
			s++;
	}
	return s + rest_of_base64(m, p, s) - start;
}

/* How many bytes of secrets stand there, at the most? */
static size_t
longest_match(Masking *m, const unsigned char *s)
{
	Reading		readings[MAX_READINGS];
	int			count = ways_to_read(s, m->end, readings);
	size_t		longest = 0;

	for (int i = 0; i < count; i++)
	{
		int			next = m->first[bucket(readings[i].point)];

		for (; next >= 0; next = m->patterns[next].next)
		{
			for (Escapes escapes = ESCAPES_NONE; escapes <= ESCAPES_ALL; escapes++)
				longest = Max(longest, match(m, &m->patterns[next], s, escapes));
		}
	}
	return longest;
}

/* What has been read of the text may be written over, and no more. */
static size_t
put_mask(char *text, size_t used, size_t upto)
{
	for (const char *c = SHOWN_MASK; *c != '\0' && used < upto; c++)
		text[used++] = *c;
	return used;
}

size_t
mask_secrets(char *text, size_t len, bool cut, const char *secrets)
{
	Masking		m;
	size_t		used = 0;
	size_t		masked_to = 0;	/* secrets stand there up to here ... */
	bool		masking = false;	/* ... and the mask is still to come */

	if (secrets == NULL || secrets[0] == '\0' || len == 0)
		return len;
	m.end = (unsigned char *) text + len;
	m.cut = cut;
	m.steps_left = STEPS_AT_LEAST + (int64) len * STEPS_A_BYTE;
	m.npatterns = 0;
	if (!add_patterns(&m, secrets))
		return put_mask(text, 0, len);

	/* bounded by the steps; an interrupt would lose the answer that this is of */
	for (size_t i = 0; i < len; i++)
	{
		size_t		matched = longest_match(&m, (unsigned char *) text + i);

		if (m.steps_left <= 0)
			return put_mask(text, used, len);
		if (matched > 0)
		{
			masking = true;
			masked_to = Max(masked_to, i + matched);
		}
		else if (masking && i >= masked_to)
		{
			masking = false;
			used = put_mask(text, used, i);
		}
		if (!masking)
			text[used++] = text[i];
	}
	return masking ? put_mask(text, used, len) : used;
}

void
mask_string(char *text, size_t most, const char *secrets)
{
	size_t		len = strlen(text);

	text[mask_secrets(text, len, len >= most, secrets)] = '\0';
}
