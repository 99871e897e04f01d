/*-------------------------------------------------------------------------
 *
 * http_search.c
 *		The HTTP room, the search list: the names that a host may be short for.
 *
 * c-ares would search for the addresses of each family by themselves, and may find
 * those of one under one name and those of the other under another one, which is
 * somebody else's.  So it is asked for whole names only.
 *
 * See transfer.h for the rules of the room.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "http/ascii.h"
#include "http/http_search.h"

/* What more there are is not looked at. */
#define MAX_DOMAINS			32

#define DEFAULT_NDOTS		1
#define MAX_NDOTS			15

/* Longer words are no domains. */
#define MAX_WORD			256

static char domains[MAX_DOMAINS][MAX_WORD];
static int	ndomains = 0;
static int	ndots = DEFAULT_NDOTS;

/* ---------------------------------------------------------------------
 * resolv.conf
 * ---------------------------------------------------------------------
 */

/* The next word before the end, which moves on behind it; false: there is none. */
static bool
next_word(const char **at, const char *end, char word[MAX_WORD])
{
	const char *begin;
	size_t		len;

	do
	{
		while (*at < end && (ascii_is_space(**at) || **at == ','))
			(*at)++;
		begin = *at;
		while (*at < end && !ascii_is_space(**at) && **at != ',')
			(*at)++;
		len = (size_t) (*at - begin);
	} while (len >= MAX_WORD);
	memcpy(word, begin, len);
	word[len] = '\0';
	return len > 0;
}

static void
read_domains(const char *at, const char *end, int max)
{
	ndomains = 0;
	while (ndomains < max && next_word(&at, end, domains[ndomains]))
	{
		char	   *domain = domains[ndomains++];
		size_t		len = strlen(domain);

		/* the root's is empty then */
		if (domain[len - 1] == '.')
			domain[len - 1] = '\0';
	}
}

static void
read_options(const char *at, const char *end)
{
	static const char key[] = "ndots:";
	size_t		key_len = sizeof(key) - 1;
	char		word[MAX_WORD];

	while (next_word(&at, end, word))
	{
		if (strncmp(word, key, key_len) == 0 && ascii_is_digit(word[key_len]))
		{
			long		number = strtol(word + key_len, NULL, 10);

			ndots = number < MAX_NDOTS ? (int) number : MAX_NDOTS;
		}
	}
}

static void
read_line(const char *at, const char *end)
{
	char		key[MAX_WORD];

	for (const char *c = at; c < end; c++)
	{
		if (*c == '#' || *c == ';')
			end = c;
	}
	if (!next_word(&at, end, key))
		return;
	if (strcmp(key, "search") == 0)
		read_domains(at, end, MAX_DOMAINS);
	else if (strcmp(key, "domain") == 0)
		read_domains(at, end, 1);
	else if (strcmp(key, "options") == 0)
		read_options(at, end);
}

/* Of this machine, which counts where there is no word of any. */
static void
read_own_domain(void)
{
	char		host[MAX_WORD];
	const char *dot;

	if (gethostname(host, sizeof(host)) != 0)
		return;
	host[sizeof(host) - 1] = '\0';
	dot = strchr(host, '.');
	if (dot != NULL)
		read_domains(dot + 1, dot + strlen(dot), 1);
}

void
http_search_read(const char *text, size_t size)
{
	const char *end = text + size;
	const char *local = getenv("LOCALDOMAIN");
	const char *options = getenv("RES_OPTIONS");

	ndots = DEFAULT_NDOTS;
	ndomains = 0;
	read_own_domain();
	while (text < end)
	{
		const char *line_end = memchr(text, '\n', (size_t) (end - text));

		if (line_end == NULL)
			line_end = end;
		read_line(text, line_end);
		text = line_end + 1;
	}
	if (local != NULL)
		read_domains(local, local + strlen(local), MAX_DOMAINS);
	if (options != NULL)
		read_options(options, options + strlen(options));
}

/* ---------------------------------------------------------------------
 * Names
 * ---------------------------------------------------------------------
 */

/* Nor is there any in the domain name system below onion (RFC 7686). */
static bool
is_whole(const char *host, size_t len)
{
	static const char onion[] = ".onion";
	size_t		onion_len = sizeof(onion) - 1;

	return (len > 0 && host[len - 1] == '.') ||
		(len >= onion_len && ascii_same(host + len - onion_len, onion));
}

static bool
has_enough_dots(const char *host)
{
	int			dots = 0;

	for (; *host != '\0'; host++)
		dots += *host == '.';
	return dots >= ndots;
}

bool
http_search_name(const char *host, int place, char name[SEARCH_NAME_SIZE])
{
	size_t		len = strlen(host);
	bool		is_first = is_whole(host, len) || has_enough_dots(host);

	if (place == (is_first ? 0 : ndomains))
	{
		snprintf(name, SEARCH_NAME_SIZE, "%s%s", host, len > 0 && host[len - 1] == '.' ? "" : ".");
		return true;
	}
	if (is_first)
		place--;
	if (place < 0 || place >= ndomains || is_whole(host, len))
		return false;
	snprintf(name, SEARCH_NAME_SIZE, "%s.%s%s", host, domains[place],
			 domains[place][0] != '\0' ? "." : "");
	return true;
}
