/*-------------------------------------------------------------------------
 *
 * proxy.c
 *		The HTTP room, URLs of proxies: does libcurl read one as it was meant?
 *
 * A '/', '?' or '#' in a password ends the host for libcurl, which then connects
 * to the user's name, or quotes it all in its error.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include <stdbool.h>
#include <string.h>

#include "http/http_curl.h"
#include "http/proxy.h"

static const char bad_port[] = "The proxy's port is not a number from 1 to 65535.";

/* Has it such a part, which is not this one? */
static bool
has_part(CURLU *url, CURLUPart part, const char *but)
{
	char	   *text = NULL;
	bool		has = curl_url_get(url, part, &text, 0) == CURLUE_OK && text[0] != '\0' &&
		strcmp(text, but) != 0;

	curl_free(text);
	return has;
}

/* libcurl takes none whose codes stand for one. */
static bool
has_control_codes(CURLU *url, CURLUPart part)
{
	char	   *text = NULL;
	CURLUcode	code = curl_url_get(url, part, &text, CURLU_URLDECODE);

	curl_free(text);
	return code == CURLUE_URLDECODE;
}

const char *
proxy_problem(const char *proxy)
{
	CURLU	   *url = curl_url();
	const char *problem = NULL;

	if (url == NULL)
		return "There was no memory to read the proxy's URL.";
	switch (curl_url_set(url, CURLUPART_URL, proxy, CURLU_NON_SUPPORT_SCHEME))
	{
		case CURLUE_OK:
			if (has_part(url, CURLUPART_PATH, "/") || has_part(url, CURLUPART_QUERY, "") ||
				has_part(url, CURLUPART_FRAGMENT, ""))
				problem = "The proxy's URL has more than a host and a port.";
			else if (has_part(url, CURLUPART_PORT, "0") != has_part(url, CURLUPART_PORT, ""))
				problem = bad_port;
			else if (has_control_codes(url, CURLUPART_USER) || has_control_codes(url, CURLUPART_PASSWORD))
				problem = "The proxy's user or password has a control character.";
			break;
		case CURLUE_BAD_PORT_NUMBER:
			problem = bad_port;
			break;
		case CURLUE_OUT_OF_MEMORY:
			problem = "There was no memory to read the proxy's URL.";
			break;
		default:
			problem = "The proxy's URL is none.";
	}
	curl_url_cleanup(url);
	return problem;
}
