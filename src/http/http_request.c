/*-------------------------------------------------------------------------
 *
 * http_request.c
 *		The HTTP room, what goes out: a request becomes an easy handle.
 *
 * Redirects are followed here and not by libcurl, because libcurl takes all
 * headers but Authorization and Cookie along to a foreign host.  See
 * transfer.h for the rules of the room.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "http/transfer.h"
#include "http/poller.h"

/* Set an option unless an earlier one failed already. */
#define SETOPT(r, option, value) \
	do { \
		if ((r)->setup == CURLE_OK && \
			((r)->setup = curl_easy_setopt((r)->easy, option, value)) != CURLE_OK) \
			(r)->failed_option = #option; \
	} while (0)

/* The same for what is the default: a fresh handle need not be told. */
#define SETOPT_DEFAULT(r, option, value) \
	do { \
		if ((r)->served) \
			SETOPT(r, option, value); \
	} while (0)

#define ACCEPT_ENCODING		"Accept-Encoding: "

/* When a changed file of certificates is read again. */
#define CA_FILE_S			600L

/* libcurl's, for a proxy that names none. */
#define PROXY_PORT			1080
#define HTTPS_PROXY_PORT	443

/*
 * The lines that we send unless we were told to send such a header.  Most keep
 * libcurl from sending one of its own, since we send what we were told to and
 * nothing else; waiting for "100 Continue" would cost a round trip or, with
 * most receivers, a second.  The last one asks for all that libcurl can unpack,
 * which it would compose for each request.
 */
static struct
{
	const char *name;
	char		line[64];
}			own_lines[HTTP_OWN_LINES] = {
	{"Accept", "Accept:"},
	{"Content-Type", "Content-Type:"},
	{"Expect", "Expect:"},
	{"Accept-Encoding", ACCEPT_ENCODING}
};

/* All that the system trusts is in one file, which libcurl reads once. */
static bool one_ca_file = false;

void
http_request_init(const curl_version_info_data *libcurl)
{
	/* with a directory beside it, it would be read for each connection */
	one_ca_file = libcurl->cainfo != NULL && access(libcurl->cainfo, R_OK) == 0;
	snprintf(own_lines[HTTP_OWN_LINES - 1].line, sizeof(own_lines[0].line),
			 ACCEPT_ENCODING "%s%s%s",
			 (libcurl->features & CURL_VERSION_LIBZ) ? "deflate, gzip" : "identity",
			 (libcurl->features & CURL_VERSION_BROTLI) ? ", br" : "",
			 (libcurl->features & CURL_VERSION_ZSTD) ? ", zstd" : "");
}

/*
 * What is the same for all requests, so set once in a handle's life.  libcurl's
 * defaults are what we want otherwise: certificates and their names are
 * verified, no redirect is followed, and HTTP/0.9 is no answer.
 */
static void
set_constants(Request *r)
{
	SETOPT(r, CURLOPT_PRIVATE, r);
	SETOPT(r, CURLOPT_ERRORBUFFER, r->curl_error);
	SETOPT(r, CURLOPT_NOSIGNAL, 1L);
	if (http_version_wanted() != CURL_HTTP_VERSION_2TLS)
		SETOPT(r, CURLOPT_HTTP_VERSION, http_version_wanted());
	SETOPT(r, CURLOPT_ACCEPT_ENCODING,
		   own_lines[HTTP_OWN_LINES - 1].line + strlen(ACCEPT_ENCODING));
	SETOPT(r, CURLOPT_OPENSOCKETFUNCTION, http_on_open_socket);
	SETOPT(r, CURLOPT_OPENSOCKETDATA, r);
	SETOPT(r, CURLOPT_CLOSESOCKETFUNCTION, http_on_close_socket);
#if HTTP_TELLS_CONNECTED
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
	/* Empty, not NULL, which would let the environment decide. */
	r->proxied = request->proxy != NULL && request->proxy[0] != '\0';
	SETOPT(r, CURLOPT_PROXY, request->proxy ? request->proxy : "");
	SETOPT(r, CURLOPT_NOPROXY, request->no_proxy ? request->no_proxy : "");
	if (r->proxied)
		SETOPT(r, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);

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
	else if (one_ca_file)
	{
		SETOPT(r, CURLOPT_CAPATH, NULL);
#if LIBCURL_VERSION_NUM >= 0x075700
		SETOPT(r, CURLOPT_CA_CACHE_TIMEOUT, CA_FILE_S);
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

static bool
is_address(const char *host)
{
	unsigned char bytes[16];

	return host[0] == '[' || inet_pton(AF_INET, host, bytes) == 1;
}

/* The parts of the URL that connections depend on; false: no memory. */
static bool
note_origin(Request *r)
{
	unsigned	flags = 0;
	char	   *scheme = NULL;
	char	   *host = NULL;
	char	   *zone = NULL;
	char	   *port = NULL;
	size_t		size = 0;

	free(r->origin);
	r->origin = r->host = NULL;
#ifdef CURLU_PUNYCODE
	flags = CURLU_PUNYCODE;
#endif
	if (curl_url_get(r->parsed, CURLUPART_HOST, &host, flags) != CURLUE_OK)
		(void) curl_url_get(r->parsed, CURLUPART_HOST, &host, 0);
	(void) curl_url_get(r->parsed, CURLUPART_ZONEID, &zone, 0);
	if (host != NULL &&
		curl_url_get(r->parsed, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
		curl_url_get(r->parsed, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK)
	{
		size = strlen(scheme) + strlen(host) + strlen(port) + strlen(zone ? zone : "") + 6;
		r->origin = malloc(size + strlen(host) + 1);
	}
	if (r->origin != NULL)
	{
		snprintf(r->origin, size, "%s://%s%s%s:%s", scheme, host,
				 zone ? "%" : "", zone ? zone : "", port);
		for (char *c = r->origin; *c != '\0'; c++)
			*c = tolower((unsigned char) *c);
		r->port = atoi(port);
		if (!is_address(host))
		{
			r->host = r->origin + size;
			memcpy(r->host, host, strlen(host) + 1);
			for (char *c = r->host; *c != '\0'; c++)
				*c = tolower((unsigned char) *c);
		}
	}
	curl_free(scheme);
	curl_free(host);
	curl_free(zone);
	curl_free(port);
	return r->origin != NULL;
}

/*
 * Parse the URL, unless it is that of the last request or hop: libcurl parses,
 * assembles and takes apart again what it is not given parsed.  The scheme is
 * looked at here, too, because CURLOPT_PROTOCOLS_STR would have libcurl read a
 * list of names for each handle.
 */
static CURLcode
parse_url(Request *r)
{
	if (r->parsed_url != NULL && strcmp(r->parsed_url, r->url) == 0)
		return CURLE_OK;
	free(r->parsed_url);
	r->parsed_url = NULL;

	if (strncasecmp(r->url, "http://", 7) != 0 && strncasecmp(r->url, "https://", 8) != 0)
		return CURLE_UNSUPPORTED_PROTOCOL;
	if (r->parsed == NULL)
		r->parsed = curl_url();
	if (r->parsed == NULL)
		return CURLE_OUT_OF_MEMORY;
	switch (curl_url_set(r->parsed, CURLUPART_URL, r->url, 0))
	{
		case CURLUE_OK:
			break;
		case CURLUE_OUT_OF_MEMORY:
			return CURLE_OUT_OF_MEMORY;
		default:
			return CURLE_URL_MALFORMAT;
	}
	if (!note_origin(r))
		return CURLE_OUT_OF_MEMORY;
	r->parsed_url = strdup(r->url);
	return r->parsed_url != NULL ? CURLE_OK : CURLE_OUT_OF_MEMORY;
}

/* What differs from one hop to the next. */
static void
set_hop(Request *r)
{
	bool		post = strcmp(r->method, "POST") == 0;
	bool		get = strcmp(r->method, "GET") == 0;

	if (r->setup == CURLE_OK)
		r->setup = parse_url(r);
	if (strncasecmp(r->url, "https:", 6) == 0)
		SETOPT(r, CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	/* libcurl's copy of a parsed address has lost its zone in some versions */
	SETOPT(r, CURLOPT_CURLU, strchr(r->url, '[') == NULL ? r->parsed : NULL);
	SETOPT(r, CURLOPT_URL, r->url); /* or it is assembled from the other */
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
		SETOPT_DEFAULT(r, CURLOPT_CUSTOMREQUEST, NULL);
	else
		SETOPT(r, CURLOPT_CUSTOMREQUEST, r->method);
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
	r->failed_option = NULL;
	set_policy(r, request);
	set_hop(r);
	if (r->setup == CURLE_OK && !http_pool_join(r, request))
		r->setup = CURLE_OUT_OF_MEMORY;
}

/* ---------------------------------------------------------------------
 * Where it goes
 * ---------------------------------------------------------------------
 */

/*
 * Does no_proxy, as libcurl understands it, name this host?  Addresses need no
 * look-up either way.
 */
static bool
bypasses_proxy(const char *host, const char *no_proxy)
{
	size_t		host_len = strlen(host);

	if (no_proxy == NULL)
		return false;
	if (strcmp(no_proxy, "*") == 0)
		return true;
	while (host_len > 0 && host[host_len - 1] == '.')
		host_len--;
	for (;;)
	{
		size_t		len;

		no_proxy += strspn(no_proxy, ", \t");
		len = strcspn(no_proxy, ", \t");
		if (len == 0)
			return false;
		while (len > 0 && *no_proxy == '.')
		{
			no_proxy++;
			len--;
		}
		if (len > 0 && no_proxy[len - 1] == '.')
			len--;
		if (len > 0 && len <= host_len &&
			strncasecmp(host + host_len - len, no_proxy, len) == 0 &&
			(len == host_len || host[host_len - len - 1] == '.'))
			return true;
		no_proxy += strcspn(no_proxy, ", \t");
	}
}

/* Anything else might be an instruction to libcurl, where its addresses are. */
static bool
is_host_name(const char *host)
{
	if (*host == '-')
		return false;
	for (; *host != '\0'; host++)
	{
		unsigned char c = *host;

		if (c < 0x80 && !isalnum(c) && c != '-' && c != '.' && c != '_')
			return false;
	}
	return true;
}

/*
 * Put a host's addresses where libcurl finds them; for those that are to be
 * resolved.
 */
static NameState
resolve(Request *r, const char *host, int port)
{
	struct curl_slist *node = &r->resolved[r->resolved[0].data != NULL ? 1 : 0];
	const char *addresses = NULL;
	const char *error = NULL;
	bool		lacking = false;
	NameState	state;
	size_t		size;

	if (!is_host_name(host))
	{
		http_answer_unresolved(r, "Could not resolve host: that is no name of a host", false);
		return NAME_FAILED;
	}
	state = http_names_find(host, &r->name, &addresses, &error, &lacking);
	if (state == NAME_FAILED)
		http_answer_unresolved(r, error, lacking);
	if (state != NAME_KNOWN)
		return state;

	size = strlen(host) + strlen(addresses) + 16;
	node->data = malloc(size);
	if (node->data == NULL)
	{
		http_answer_unresolved(r, http_no_memory, true);
		return NAME_FAILED;
	}
	r->pool->choice |= strchr(addresses, ',') != NULL;
	snprintf(node->data, size, "%s:%d:%s", host, port, addresses);
	node->next = NULL;
	if (node != &r->resolved[0])
		r->resolved[0].next = node;
	return NAME_KNOWN;
}

/* The same for the proxy; *host_too: it leaves the host to us. */
static NameState
resolve_proxy(Request *r, const char *proxy, bool *host_too)
{
	NameState	state = NAME_KNOWN;
	CURLU	   *parsed = curl_url();
	char	   *scheme = NULL;
	char	   *host = NULL;
	char	   *port = NULL;

	*host_too = false;
	if (parsed == NULL)
	{
		http_answer_unresolved(r, http_no_memory, true);
		return NAME_FAILED;
	}
	if (curl_url_set(parsed, CURLUPART_URL, proxy,
					 CURLU_NON_SUPPORT_SCHEME | CURLU_GUESS_SCHEME) == CURLUE_OK &&
		curl_url_get(parsed, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
		curl_url_get(parsed, CURLUPART_HOST, &host, 0) == CURLUE_OK)
	{
		int			number = strcasecmp(scheme, "https") == 0 ? HTTPS_PROXY_PORT : PROXY_PORT;

		if (curl_url_get(parsed, CURLUPART_PORT, &port, 0) == CURLUE_OK)
			number = atoi(port);
		*host_too = strcasecmp(scheme, "socks4") == 0 || strcasecmp(scheme, "socks5") == 0;
		if (!is_address(host))
			state = resolve(r, host, number);
	}
	curl_free(scheme);
	curl_free(host);
	curl_free(port);
	curl_url_cleanup(parsed);
	return state;
}

void
http_request_forget_names(Request *r)
{
	for (int i = 0; i < 2; i++)
	{
		free(r->resolved[i].data);
		r->resolved[i].data = NULL;
		r->resolved[i].next = NULL;
	}
}

NameState
http_request_resolve(Request *r)
{
	NameState	state = NAME_KNOWN;
	bool		host_too = true;

	http_request_forget_names(r);
	if (r->proxied &&
		!(r->host != NULL && bypasses_proxy(r->host, http_pool_no_proxy(r))))
		state = resolve_proxy(r, http_pool_proxy(r), &host_too);
	if (state == NAME_KNOWN && host_too && r->host != NULL)
		state = resolve(r, r->host, r->port);
	return state;
}

void
http_request_connect(Request *r, int64_t now_us)
{
	SETOPT(r, CURLOPT_SHARE, r->connection->share);
	if (http_pool_hides_remains(r))
		SETOPT(r, CURLOPT_FRESH_CONNECT, 1L);
	else
		SETOPT_DEFAULT(r, CURLOPT_FRESH_CONNECT, 0L);
	http_time_run(r, now_us);
	if (r->connecting_ms > 0)
		SETOPT(r, CURLOPT_CONNECTTIMEOUT_MS, (long) r->connecting_ms);
	else
		SETOPT_DEFAULT(r, CURLOPT_CONNECTTIMEOUT_MS, 0L);
	r->http1 = http_pool_speaks_http1(r);
	if (r->http1)
		SETOPT(r, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
	else
		SETOPT_DEFAULT(r, CURLOPT_HTTP_VERSION, http_version_wanted());
	if (r->resolved[0].data != NULL)
		SETOPT(r, CURLOPT_RESOLVE, &r->resolved[0]);
	else
		SETOPT_DEFAULT(r, CURLOPT_RESOLVE, NULL);
	r->served = true;
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

static void
add_own_lines(Request *r)
{
	for (int i = 0; i < HTTP_OWN_LINES; i++)
	{
		if (has_header(r->headers, own_lines[i].name))
			continue;
		r->own_lines[i].data = own_lines[i].line;
		r->own_lines[i].next = r->headers;
		r->headers = &r->own_lines[i];
	}
}

/* A block of that size at least, whose content is void; false: no memory. */
static bool
make_room(Request *r, size_t size)
{
	if (size <= r->block_size)
		return true;
	free(r->block);
	r->block_size = 0;
	size = (size | 1023) + 1;	/* the next one may be a little longer */
	r->block = malloc(size);
	if (r->block == NULL)
		return false;
	r->block_size = size;
	return true;
}

/* Put len bytes and a NUL at *place, which moves on; what was put. */
static char *
put(char **place, const char *data, size_t len)
{
	char	   *start = *place;

	if (len > 0)
		memcpy(start, data, len);
	start[len] = '\0';
	*place = start + len + 1;
	return start;
}

/* The same with a header's line, for which its size and two bytes are enough. */
static char *
put_header(char **place, const HttpHeader *header)
{
	char	   *line = put(place, header->name, strlen(header->name));
	const char *value = header->value;

	/* libcurl takes "Name:" as the wish to send no such header at all. */
	if (value[strspn(value, " \t")] == '\0')
	{
		(*place)[-1] = ';';
		(void) put(place, "", 0);
	}
	else
	{
		(*place)[-1] = ':';
		*(*place)++ = ' ';
		(void) put(place, value, strlen(value));
	}
	return line;
}

bool
http_request_copy(Request *r, const HttpRequest *request)
{
	bool		wants_body = request->body != NULL ||
		strcmp(request->method, "POST") == 0 ||
		strcmp(request->method, "PUT") == 0 ||
		strcmp(request->method, "PATCH") == 0;
	size_t		body_len = request->body ? request->body_len : 0;
	size_t		method_len = strlen(request->method);
	size_t		url_len = strlen(request->url);
	size_t		size = method_len + url_len + body_len + 3;
	struct curl_slist *nodes;
	char	   *place;

	for (int i = 0; i < request->nheaders; i++)
		size += sizeof(struct curl_slist) + strlen(request->headers[i].name) +
			strlen(request->headers[i].value) + 3;
	if (!make_room(r, size))
		return false;
	nodes = (void *) r->block;
	place = r->block + request->nheaders * sizeof(struct curl_slist);

	for (int i = request->nheaders - 1; i >= 0; i--)
	{
		nodes[i].data = put_header(&place, &request->headers[i]);
		nodes[i].next = r->headers;
		r->headers = &nodes[i];
	}
	add_own_lines(r);

	r->method = put(&place, request->method, method_len);
	r->url = put(&place, request->url, url_len);

	/* An empty body is one, too: it is sent as Content-Length: 0. */
	if (wants_body)
	{
		r->body = put(&place, request->body, body_len);
		r->body_len = body_len;
	}
	return true;
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

/* Without a body, the event is in the query, and has to go along. */
static bool
keeps_query(CURLU *from, CURLU *to)
{
	char	   *wanted = NULL;
	char	   *got = NULL;
	bool		kept;

	if (curl_url_get(from, CURLUPART_QUERY, &wanted, 0) != CURLUE_OK)
		return true;
	kept = curl_url_get(to, CURLUPART_QUERY, &got, 0) == CURLUE_OK &&
		strcmp(wanted, got) == 0;
	curl_free(wanted);
	curl_free(got);
	return kept;
}

/*
 * Where the answer sends us, as an URL of curl_free()'s; NULL if that is not a
 * place to take the event to.
 */
static char *
redirect_target(Request *r, bool *same_origin)
{
	char	   *target = NULL;
	char	   *scheme = NULL;
	unsigned	flags = CURLU_URLENCODE;
	CURLU	   *from = curl_url();
	CURLU	   *to = curl_url();

#if LIBCURL_VERSION_NUM >= 0x074e00
	flags |= CURLU_ALLOW_SPACE;
#endif

	/* it may be relative to where we are */
	if (r->location != NULL && from != NULL && to != NULL &&
		curl_url_set(from, CURLUPART_URL, r->url, flags) == CURLUE_OK &&
		curl_url_set(to, CURLUPART_URL, r->url, flags) == CURLUE_OK &&
		curl_url_set(to, CURLUPART_URL, r->location, flags) == CURLUE_OK &&
		curl_url_get(to, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
		(strcasecmp(scheme, "http") == 0 || strcasecmp(scheme, "https") == 0) &&
		(r->body != NULL || keeps_query(from, to)))
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
static void
filter_headers(Request *r, bool same_origin)
{
	struct curl_slist **link = &r->headers;

	while (*link != NULL)
	{
		const char *line = (*link)->data;

		if (!same_origin && !is_header(line, "Content-Type") &&
			!is_header(line, "User-Agent") && !is_header(line, "Accept") &&
			!is_header(line, "webhook-id"))
			*link = (*link)->next;
		else
			link = &(*link)->next;
	}
	add_own_lines(r);
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

/*
 * The event goes along to where it is sent, whatever browsers make of the older
 * statuses: a success for a request without it is none.  303 leads to something
 * else, which can be had by GET.
 */
static bool
is_followed(const Request *r)
{
	switch (r->answer.status)
	{
		case 301:
		case 302:
		case 307:
		case 308:
			return r->hops_left > 0;
		case 303:
			return r->hops_left > 0 && strcmp(r->method, "GET") == 0;
		default:
			return false;
	}
}

bool
http_request_follow(Request *r)
{
	bool		same_origin = false;
	char	   *target;

	if (!is_followed(r))
		return false;
	target = redirect_target(r, &same_origin);
	if (target == NULL)
		return false;
	if (!refresh_handle(r))
	{
		curl_free(target);
		return false;
	}
	filter_headers(r, same_origin);
	curl_free(r->target);
	r->target = target;
	r->url = target;
	r->hops_left--;
	r->repeats = 0;
	r->not_before_us = 0;
	r->patient = false;
	http_answer_begin(r);
	if (!same_origin)
	{
		SETOPT(r, CURLOPT_SSLCERT_BLOB, NULL);
		SETOPT(r, CURLOPT_SSLKEY_BLOB, NULL);
	}
	set_hop(r);
	if (r->setup == CURLE_OK && !http_pool_join_hop(r, same_origin))
		r->setup = CURLE_OUT_OF_MEMORY;
	return true;
}

bool
http_request_repeat(Request *r)
{
	if (r->head_lines > 0 && !refresh_handle(r))
		return false;
	http_answer_begin(r);
	r->repeats++;
	r->not_before_us = poller_clock();
	return true;
}
