/*-------------------------------------------------------------------------
 *
 * http_request.c
 *		The HTTP room, what goes out: a request becomes an easy handle.
 *
 * Redirects are followed here and not by libcurl, because libcurl takes all
 * headers but Authorization and Cookie along to a foreign host.  See
 * http_private.h for the rules of the room.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "http_private.h"
#include "poller.h"

/* Set an option unless an earlier one failed already. */
#define SETOPT(r, option, value) \
	do { \
		if ((r)->setup == CURLE_OK) \
			(r)->setup = curl_easy_setopt((r)->easy, option, value); \
	} while (0)

/* What is the same for all requests, so set once in a handle's life. */
static void
set_constants(Request *r)
{
	SETOPT(r, CURLOPT_PRIVATE, r);
	SETOPT(r, CURLOPT_ERRORBUFFER, r->curl_error);
	SETOPT(r, CURLOPT_NOSIGNAL, 1L);
	SETOPT(r, CURLOPT_HTTP_VERSION, http_version_wanted());
	SETOPT(r, CURLOPT_HTTP09_ALLOWED, 0L);
	SETOPT(r, CURLOPT_FOLLOWLOCATION, 0L);
	SETOPT(r, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	SETOPT(r, CURLOPT_ACCEPT_ENCODING, ""); /* all that it can unpack */
	SETOPT(r, CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	SETOPT(r, CURLOPT_SSL_VERIFYPEER, 1L);
	SETOPT(r, CURLOPT_SSL_VERIFYHOST, 2L);

#if LIBCURL_VERSION_NUM >= 0x075500
	SETOPT(r, CURLOPT_PROTOCOLS_STR, "http,https");
#else
	SETOPT(r, CURLOPT_PROTOCOLS, (long) (CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
#if LIBCURL_VERSION_NUM >= 0x075700
	/* Do not wait for a resolver thread that nobody needs any more. */
	SETOPT(r, CURLOPT_QUICK_EXIT, 1L);
#endif

	SETOPT(r, CURLOPT_OPENSOCKETFUNCTION, http_on_open_socket);
	SETOPT(r, CURLOPT_OPENSOCKETDATA, r);
	SETOPT(r, CURLOPT_CLOSESOCKETFUNCTION, http_on_close_socket);
	SETOPT(r, CURLOPT_CLOSESOCKETDATA, NULL);
#if LIBCURL_VERSION_NUM >= 0x075000
	SETOPT(r, CURLOPT_PREREQFUNCTION, http_on_connected);
	SETOPT(r, CURLOPT_PREREQDATA, r);
#endif
	SETOPT(r, CURLOPT_HEADERFUNCTION, http_on_header);
	SETOPT(r, CURLOPT_HEADERDATA, r);
	SETOPT(r, CURLOPT_WRITEFUNCTION, http_on_body);
	SETOPT(r, CURLOPT_WRITEDATA, r);
}

static struct curl_blob
pem_blob(const char *pem)
{
	struct curl_blob blob;

	blob.data = (void *) pem;
	blob.len = strlen(pem);
	blob.flags = CURL_BLOB_COPY;
	return blob;
}

/*
 * What the destination asks for, and holds for all hops.  The handle may come
 * from another destination, so each option is set whether wanted or not; but a
 * handle that has seen a certificate is not used again (see holds_secrets).
 */
static void
set_policy(Request *r, const HttpRequest *request)
{
	SETOPT(r, CURLOPT_CONNECTTIMEOUT_MS, (long) request->connect_timeout_ms);
	SETOPT(r, CURLOPT_LOW_SPEED_LIMIT, (long) request->low_speed_limit);
	SETOPT(r, CURLOPT_LOW_SPEED_TIME,
		   request->low_speed_limit > 0 ? (long) request->low_speed_time_s : 0L);

	/* Empty, not NULL, which would let the environment decide. */
	SETOPT(r, CURLOPT_PROXY, request->proxy ? request->proxy : "");
	SETOPT(r, CURLOPT_NOPROXY, request->no_proxy ? request->no_proxy : "");

	r->holds_secrets = (request->ca_cert != NULL || request->client_cert != NULL);
	if (request->ca_cert)
	{
#if LIBCURL_VERSION_NUM >= 0x074d00
		struct curl_blob blob = pem_blob(request->ca_cert);

		SETOPT(r, CURLOPT_CAINFO_BLOB, &blob);
		SETOPT(r, CURLOPT_CAPATH, NULL);	/* instead of the system's */
#else
		r->fault = "a CA certificate of its own needs libcurl 7.77 or later";
#endif
	}
	if (request->client_cert)
	{
		struct curl_blob cert = pem_blob(request->client_cert);
		struct curl_blob key = pem_blob(request->client_key ? request->client_key
										: request->client_cert);

		SETOPT(r, CURLOPT_SSLCERTTYPE, "PEM");
		SETOPT(r, CURLOPT_SSLCERT_BLOB, &cert);
		SETOPT(r, CURLOPT_SSLKEYTYPE, "PEM");
		SETOPT(r, CURLOPT_SSLKEY_BLOB, &key);
	}
}

/* libcurl takes 0 for no limit, so what is over already has a millisecond. */
static long
time_left_ms(const Request *r)
{
	int64_t		left_ms;

	if (r->deadline_us < 0)
		return 0;
	left_ms = (r->deadline_us - poller_clock() + 999) / 1000;
	return left_ms > 0 ? (long) left_ms : 1;
}

/* What differs from one hop to the next. */
static void
set_hop(Request *r)
{
	bool		post = strcmp(r->method, "POST") == 0;
	bool		get = strcmp(r->method, "GET") == 0;

	SETOPT(r, CURLOPT_URL, r->url);
	SETOPT(r, CURLOPT_HTTPHEADER, r->headers);

	if (r->body != NULL)
	{
		SETOPT(r, CURLOPT_POST, 1L);
		SETOPT(r, CURLOPT_POSTFIELDS, r->body);
		SETOPT(r, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) r->body_len);
	}
	else
	{
		SETOPT(r, CURLOPT_POSTFIELDS, NULL);
		SETOPT(r, CURLOPT_HTTPGET, 1L);
	}
	if (r->body != NULL ? post : get)
		SETOPT(r, CURLOPT_CUSTOMREQUEST, NULL);
	else
		SETOPT(r, CURLOPT_CUSTOMREQUEST, r->method);

	/*
	 * Over TLS it is worth waiting for a connection that is being set up: it
	 * may turn out to take many requests at once.
	 */
	SETOPT(r, CURLOPT_PIPEWAIT, strncasecmp(r->url, "https:", 6) == 0 ? 1L : 0L);

	SETOPT(r, CURLOPT_TIMEOUT_MS, time_left_ms(r));
}

bool
http_request_open(Request *r)
{
	r->easy = curl_easy_init();
	if (r->easy == NULL)
		return false;
	r->setup = CURLE_OK;
	set_constants(r);
	if (r->setup == CURLE_OK)
		return true;
	curl_easy_cleanup(r->easy);
	r->easy = NULL;
	return false;
}

void
http_request_setup(Request *r, const HttpRequest *request)
{
	r->setup = CURLE_OK;
	set_policy(r, request);
	set_hop(r);
}

/* Is this the line of the header called name?  "Name: v", "Name:" or "Name;". */
static bool
is_header(const char *line, const char *name)
{
	size_t		len = strlen(name);

	return strncasecmp(line, name, len) == 0 && (line[len] == ':' || line[len] == ';');
}

static bool
has_header(const struct curl_slist *lines, const char *name)
{
	for (; lines != NULL; lines = lines->next)
	{
		if (is_header(lines->data, name))
			return true;
	}
	return false;
}

static bool
add_line(struct curl_slist **lines, const char *line)
{
	struct curl_slist *longer = curl_slist_append(*lines, line);

	if (longer == NULL)
		return false;
	*lines = longer;
	return true;
}

static bool
add_header(struct curl_slist **lines, const HttpHeader *header)
{
	bool		empty = header->value[strspn(header->value, " \t")] == '\0';
	size_t		size = strlen(header->name) + strlen(header->value) + 3;
	char	   *line = malloc(size);
	bool		added;

	if (line == NULL)
		return false;

	/* libcurl takes "Name:" as the wish to send no such header at all. */
	if (empty)
		snprintf(line, size, "%s;", header->name);
	else
		snprintf(line, size, "%s: %s", header->name, header->value);
	added = add_line(lines, line);
	free(line);
	return added;
}

/*
 * Send what we were told to and nothing else: take out what libcurl would add
 * by itself.  Waiting for "100 Continue" costs a round trip or, with most
 * receivers, a second.
 */
static bool
silence_defaults(struct curl_slist **lines)
{
	static const char *const defaults[] = {"Accept", "Content-Type", "Expect"};

	for (size_t i = 0; i < sizeof(defaults) / sizeof(defaults[0]); i++)
	{
		char		line[32];

		if (has_header(*lines, defaults[i]))
			continue;
		snprintf(line, sizeof(line), "%s:", defaults[i]);
		if (!add_line(lines, line))
			return false;
	}
	return true;
}

bool
http_request_copy(Request *r, const HttpRequest *request)
{
	bool		wants_body = request->body != NULL ||
		strcmp(request->method, "POST") == 0 ||
		strcmp(request->method, "PUT") == 0 ||
		strcmp(request->method, "PATCH") == 0;

	r->method = strdup(request->method);
	r->url = strdup(request->url);
	if (r->method == NULL || r->url == NULL)
		return false;

	/* An empty body is one, too: it is sent as Content-Length: 0. */
	if (wants_body)
	{
		r->body_len = request->body ? request->body_len : 0;
		r->body = malloc(r->body_len + 1);
		if (r->body == NULL)
			return false;
		if (r->body_len > 0)
			memcpy(r->body, request->body, r->body_len);
		r->body[r->body_len] = '\0';
	}

	for (int i = 0; i < request->nheaders; i++)
	{
		if (!add_header(&r->headers, &request->headers[i]))
			return false;
	}
	return silence_defaults(&r->headers);
}

/* ---------------------------------------------------------------------
 * Redirects
 * ---------------------------------------------------------------------
 */

static bool
same_url_part(CURLU *a, CURLU *b, CURLUPart part)
{
	char	   *part_a = NULL;
	char	   *part_b = NULL;
	bool		same;

	same = curl_url_get(a, part, &part_a, CURLU_DEFAULT_PORT) == CURLUE_OK &&
		curl_url_get(b, part, &part_b, CURLU_DEFAULT_PORT) == CURLUE_OK &&
		strcasecmp(part_a, part_b) == 0;
	curl_free(part_a);
	curl_free(part_b);
	return same;
}

/*
 * Where the answer sends us, as an URL of curl_free()'s; NULL if that is not a
 * place to go to.
 */
static char *
redirect_target(Request *r, bool *same_origin)
{
	char	   *location = NULL;
	char	   *target = NULL;
	char	   *scheme = NULL;
	unsigned	flags = CURLU_URLENCODE;
	CURLU	   *from = curl_url();
	CURLU	   *to = curl_url();

#if LIBCURL_VERSION_NUM >= 0x074e00
	flags |= CURLU_ALLOW_SPACE;
#endif

	/* libcurl has made an absolute URL of it already */
	curl_easy_getinfo(r->easy, CURLINFO_REDIRECT_URL, &location);
	if (location != NULL && from != NULL && to != NULL &&
		curl_url_set(from, CURLUPART_URL, r->url, flags) == CURLUE_OK &&
		curl_url_set(to, CURLUPART_URL, location, flags) == CURLUE_OK &&
		curl_url_get(to, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
		(strcasecmp(scheme, "http") == 0 || strcasecmp(scheme, "https") == 0))
	{
		*same_origin = same_url_part(from, to, CURLUPART_SCHEME) &&
			same_url_part(from, to, CURLUPART_HOST) &&
			same_url_part(from, to, CURLUPART_PORT);
		if (!*same_origin)
		{
			curl_url_set(to, CURLUPART_USER, NULL, 0);
			curl_url_set(to, CURLUPART_PASSWORD, NULL, 0);
		}
		if (curl_url_get(to, CURLUPART_URL, &target, 0) != CURLUE_OK)
			target = NULL;
	}
	curl_free(scheme);
	curl_url_cleanup(from);
	curl_url_cleanup(to);
	return target;
}

/*
 * The headers for the next hop.  Any header may be a credential, whatever its
 * name, so only those that describe the message go to another origin.
 */
static bool
filter_headers(Request *r, bool same_origin, bool body_dropped)
{
	struct curl_slist *kept = NULL;

	for (struct curl_slist *line = r->headers; line != NULL; line = line->next)
	{
		bool		content_type = is_header(line->data, "Content-Type");

		if (content_type ? body_dropped :
			!same_origin && !is_header(line->data, "User-Agent") &&
			!is_header(line->data, "Accept"))
			continue;
		if (!add_line(&kept, line->data))
		{
			curl_slist_free_all(kept);
			return false;
		}
	}
	curl_slist_free_all(r->headers);
	r->headers = kept;
	return silence_defaults(&r->headers);
}

/* A handle that may be used for the next hop; false if there is no memory. */
static bool
refresh_handle(Request *r)
{
	CURL	   *fresh;

	if (http_handles_keep())
		return true;
	fresh = curl_easy_duphandle(r->easy);
	if (fresh == NULL)
		return false;
	curl_easy_cleanup(r->easy);
	r->easy = fresh;
	return true;
}

bool
http_request_follow(Request *r)
{
	int			status = r->answer.status;
	bool		becomes_get;
	bool		same_origin = false;
	char	   *target;
	char	   *url;
	char	   *get = NULL;

	if (r->hops_left <= 0 ||
		!(status == 301 || status == 302 || status == 303 || status == 307 || status == 308))
		return false;
	target = redirect_target(r, &same_origin);
	if (target == NULL)
		return false;

	becomes_get = (status == 303 && strcmp(r->method, "GET") != 0) ||
		((status == 301 || status == 302) && strcmp(r->method, "POST") == 0);
	url = strdup(target);
	curl_free(target);
	if (becomes_get)
		get = strdup("GET");
	if (url == NULL || (becomes_get && get == NULL) ||
		!filter_headers(r, same_origin, becomes_get) || !refresh_handle(r))
	{
		free(url);
		free(get);
		return false;
	}

	free(r->url);
	r->url = url;
	if (becomes_get)
	{
		free(r->method);
		r->method = get;
		free(r->body);
		r->body = NULL;
		r->body_len = 0;
	}
	r->hops_left--;
	http_answer_begin(r);
	if (!same_origin)
	{
		SETOPT(r, CURLOPT_SSLCERT_BLOB, NULL);
		SETOPT(r, CURLOPT_SSLKEY_BLOB, NULL);
	}
	set_hop(r);
	return true;
}
