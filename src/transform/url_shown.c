/*-------------------------------------------------------------------------
 *
 * url_shown.c
 *		URLs as they are shown: without what may be a secret.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"

#include "transform/url_shown.h"

/*
 * The next piece of a query that begins with its '?' or '&', as it is shown: its
 * key, of which key_len bytes come first, and a mask.  What has no '=' may as well
 * be the value of something.  Moves on to the next piece.
 */
static const char *
masked_pair(const char **query, int *key_len)
{
	const char *pair = *query;
	int			len = 1 + strcspn(pair + 1, "&#");
	const char *equals = memchr(pair, '=', len);

	*query += len;
	*key_len = equals != NULL ? equals - pair + 1 : 1;
	return len == 1 ? "" : SHOWN_MASK;
}

char *
url_masked(const char *url)
{
	StringInfoData masked;
	const char *query = url + strcspn(url, "?#");

	initStringInfo(&masked);
	appendBinaryStringInfo(&masked, url, query - url);
	while (*query != '\0' && *query != '#')
	{
		const char *pair = query;
		int			key_len;
		const char *mask = masked_pair(&query, &key_len);

		appendBinaryStringInfo(&masked, pair, key_len);
		appendStringInfoString(&masked, mask);
	}
	return masked.data;
}

static char *
show_bytes(char *to, const char *end, const char *bytes, int len)
{
	for (int i = 0; i < len && to < end; i++)
		*to++ = bytes[i] > ' ' && bytes[i] <= '~' ? bytes[i] : '?';
	return to;
}

void
url_show_foreign(const char *url, char shown[MAX_SHOWN + 1])
{
	char	   *to = shown;
	char	   *end = shown + MAX_SHOWN;
	const char *authority = strstr(url, "://");
	const char *query = url + strcspn(url, "?#");

	if (authority != NULL)
	{
		int			len = strcspn(authority += strlen("://"), "/?#");

		to = show_bytes(to, end, url, authority - url);
		for (int i = 0; i < len; i++)
		{
			if (authority[i] == '@')
				url = authority + i + 1;
		}
		url = Max(url, authority);
	}
	to = show_bytes(to, end, url, query - url);
	while (*query != '\0' && *query != '#')
	{
		const char *pair = query;
		int			key_len;
		const char *mask = masked_pair(&query, &key_len);

		to = show_bytes(to, end, pair, key_len);
		to = show_bytes(to, end, mask, strlen(mask));
	}
	*to = '\0';
	if (to == end)
		strlcpy(end - strlen("..."), "...", sizeof("..."));
}
