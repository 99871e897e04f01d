/*-------------------------------------------------------------------------
 *
 * http_hop.c
 *		The HTTP room, where a hop goes: its URL, taken apart, and the addresses
 *		that it needs, which may be a proxy's.
 *
 * See transfer.h for the rules of the room.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/ascii.h"
#include "http/http_answer.h"
#include "http/http_curl.h"
#include "http/http_hop.h"
#include "http/http_names.h"
#include "http/http_pool.h"
#include "http/reserve.h"
#include "http/transfer.h"

/* libcurl's, for a proxy that names none. */
#define PROXY_PORT			1080
#define HTTPS_PROXY_PORT	443

static bool
is_address(const char *host)
{
	unsigned char bytes[16];

	return host[0] == '[' || inet_pton(AF_INET, host, bytes) == 1;
}

/* libcurl converts the rest by the process's locale, so it gets nothing of that. */
static bool
is_ascii(const char *text)
{
	for (; *text != '\0'; text++)
	{
		if (*text & 0x80)
			return false;
	}
	return true;
}

/* The parts of the URL that connections depend on; false: no memory. */
static bool
note_origin(Transfer *t)
{
	char	   *scheme = NULL;
	char	   *host = NULL;
	char	   *zone = NULL;
	char	   *port = NULL;
	size_t		size = 0;

	free(t->origin);
	t->origin = t->host = NULL;
	(void) curl_url_get(t->parsed, CURLUPART_HOST, &host, 0);
	(void) curl_url_get(t->parsed, CURLUPART_ZONEID, &zone, 0);
	if (host != NULL &&
		curl_url_get(t->parsed, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
		curl_url_get(t->parsed, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK)
	{
		size = strlen(scheme) + strlen(host) + strlen(port) + strlen(zone ? zone : "") + 6;
		t->origin = malloc(size + strlen(host) + 1);
	}
	if (t->origin != NULL)
	{
		snprintf(t->origin, size, "%s://%s%s%s:%s", scheme, host,
				 zone ? "%" : "", zone ? zone : "", port);
		for (char *c = t->origin; *c != '\0'; c++)
			*c = ascii_lower(*c);
		t->port = atoi(port);
		if (!is_address(host))
		{
			t->host = t->origin + size;
			memcpy(t->host, host, strlen(host) + 1);
			for (char *c = t->host; *c != '\0'; c++)
				*c = ascii_lower(*c);
		}
	}
	curl_free(scheme);
	curl_free(host);
	curl_free(zone);
	curl_free(port);
	return t->origin != NULL;
}

/*
 * libcurl parses, assembles and takes apart again what it is not given parsed,
 * so that is done here, unless it is the URL of the last request.  The scheme is
 * looked at here, too, because CURLOPT_PROTOCOLS_STR would have libcurl read a
 * list of names for each handle.
 */
CURLcode
http_hop_parse(Transfer *t)
{
	if (t->parsed_url != NULL && strcmp(t->parsed_url, t->url) == 0)
		return CURLE_OK;
	free(t->parsed_url);
	t->parsed_url = NULL;

	if (!ascii_begin_same(t->url, "http://", 7) && !ascii_begin_same(t->url, "https://", 8))
		return CURLE_UNSUPPORTED_PROTOCOL;
	if (t->parsed == NULL)
		t->parsed = curl_url();
	if (t->parsed == NULL)
		return CURLE_OUT_OF_MEMORY;
	switch (curl_url_set(t->parsed, CURLUPART_URL, t->url, CURLU_PATH_AS_IS))
	{
		case CURLUE_OK:
			break;
		case CURLUE_OUT_OF_MEMORY:
			return CURLE_OUT_OF_MEMORY;
		default:
			return CURLE_URL_MALFORMAT;
	}
	if (!note_origin(t))
		return CURLE_OUT_OF_MEMORY;
	if (!is_ascii(t->origin))
		return CURLE_URL_MALFORMAT;
	t->parsed_url = strdup(t->url);
	return t->parsed_url != NULL ? CURLE_OK : CURLE_OUT_OF_MEMORY;
}

/* ---------------------------------------------------------------------
 * Names
 * ---------------------------------------------------------------------
 */

/* Anything else might be an instruction to libcurl, where its addresses are. */
static bool
is_host_name(const char *host)
{
	if (*host == '-')
		return false;
	for (; *host != '\0'; host++)
	{
		if (!ascii_is_letter(*host) && !ascii_is_digit(*host) &&
			*host != '-' && *host != '.' && *host != '_')
			return false;
	}
	return true;
}

/*
 * Put a host's addresses where libcurl finds them; for those that are to be
 * resolved, whether or not they are connected to.
 */
static NameState
resolve(Transfer *t, const char *host, int port, bool connected_to)
{
	struct curl_slist *node = &t->resolved[t->resolved[0].data != NULL ? 1 : 0];
	const char *addresses = NULL;
	const char *error = NULL;
	bool		lacking = false;
	NameState	state;
	size_t		size;

	if (!is_host_name(host))
	{
		http_answer_unresolved(t, "Could not resolve host: that is no name of a host", false);
		return NAME_FAILED;
	}
	state = http_names_find(host, &t->name, &addresses, &error, &lacking);
	if (state == NAME_FAILED)
		http_answer_unresolved(t, error, lacking);
	if (state != NAME_KNOWN)
		return state;

	size = strlen(host) + strlen(addresses) + 16;
	node->data = malloc(size);
	if (node->data == NULL)
	{
		http_answer_unresolved(t, http_no_memory, true);
		return NAME_FAILED;
	}
	if (connected_to && t->name != NULL)
		t->missing = http_names_missing(t->name);
	t->pool->choice |= strchr(addresses, ',') != NULL;
	snprintf(node->data, size, "%s:%d:%s", host, port, addresses);
	node->next = NULL;
	if (node != &t->resolved[0])
		t->resolved[0].next = node;
	return NAME_KNOWN;
}

/* The same for the proxy; *host_too: it leaves the host to us. */
static NameState
resolve_proxy(Transfer *t, const char *proxy, bool *host_too)
{
	NameState	state = NAME_KNOWN;
	CURLU	   *parsed = curl_url();
	char	   *scheme = NULL;
	char	   *host = NULL;
	char	   *port = NULL;

	*host_too = false;
	if (parsed == NULL)
	{
		http_answer_unresolved(t, http_no_memory, true);
		return NAME_FAILED;
	}
	if (curl_url_set(parsed, CURLUPART_URL, proxy,
					 CURLU_NON_SUPPORT_SCHEME | CURLU_GUESS_SCHEME) == CURLUE_OK &&
		curl_url_get(parsed, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
		curl_url_get(parsed, CURLUPART_HOST, &host, 0) == CURLUE_OK)
	{
		int			number = ascii_same(scheme, "https") ? HTTPS_PROXY_PORT : PROXY_PORT;

		if (curl_url_get(parsed, CURLUPART_PORT, &port, 0) == CURLUE_OK)
			number = atoi(port);
		*host_too = ascii_same(scheme, "socks4") || ascii_same(scheme, "socks5");
		if (!is_address(host))
			state = resolve(t, host, number, true);
	}
	curl_free(scheme);
	curl_free(host);
	curl_free(port);
	curl_url_cleanup(parsed);
	if (state == NAME_KNOWN && reserve_has_failed())
	{
		http_answer_unresolved(t, http_no_memory, true);
		return NAME_FAILED;
	}
	return state;
}

void
http_hop_forget_names(Transfer *t)
{
	for (int i = 0; i < 2; i++)
	{
		free(t->resolved[i].data);
		t->resolved[i].data = NULL;
		t->resolved[i].next = NULL;
	}
}

NameState
http_hop_resolve(Transfer *t)
{
	NameState	state = NAME_KNOWN;
	bool		host_too = true;

	http_hop_forget_names(t);
	t->missing = -1;
	if (t->proxied)
		state = resolve_proxy(t, http_pool_proxy(t), &host_too);
	if (state == NAME_KNOWN && host_too && t->host != NULL)
		state = resolve(t, t->host, t->port, !t->proxied);
	return state;
}

NameState
http_hop_rest(Transfer *t, const char **lack)
{
	char	   *host = t->resolved[0].data;	/* and what it has of it */
	char	   *end = strchr(host, ':');
	NameState	state;

	*end = '\0';
	state = http_names_rest(host, &t->name, &t->missing, lack);
	*end = ':';
	return state;
}
