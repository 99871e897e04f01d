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

#include "http/http_answer.h"
#include "http/http_curl.h"
#include "http/http_names.h"
#include "http/http_pool.h"
#include "http/http_request.h"
#include "http/http_socket.h"
#include "http/http_time.h"
#include "http/poller.h"
#include "http/transfer.h"

/* Set an option unless an earlier one failed already. */
#define SETOPT(t, option, value) \
	do { \
		if ((t)->setup == CURLE_OK && \
			((t)->setup = curl_easy_setopt((t)->easy, option, value)) != CURLE_OK) \
			(t)->failed_option = #option; \
	} while (0)

/* The same for what is the default: a fresh handle need not be told. */
#define SETOPT_DEFAULT(t, option, value) \
	do { \
		if ((t)->served) \
			SETOPT(t, option, value); \
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
set_constants(Transfer *t)
{
	SETOPT(t, CURLOPT_PRIVATE, t);
	SETOPT(t, CURLOPT_ERRORBUFFER, t->curl_error);
	SETOPT(t, CURLOPT_NOSIGNAL, 1L);
	if (http_version_wanted() != CURL_HTTP_VERSION_2TLS)
		SETOPT(t, CURLOPT_HTTP_VERSION, http_version_wanted());
	SETOPT(t, CURLOPT_ACCEPT_ENCODING,
		   own_lines[HTTP_OWN_LINES - 1].line + strlen(ACCEPT_ENCODING));
	SETOPT(t, CURLOPT_OPENSOCKETFUNCTION, http_on_open_socket);
	SETOPT(t, CURLOPT_OPENSOCKETDATA, t);
	SETOPT(t, CURLOPT_CLOSESOCKETFUNCTION, http_on_close_socket);
#if HTTP_TELLS_CONNECTED
	SETOPT(t, CURLOPT_PREREQFUNCTION, http_on_connected);
	SETOPT(t, CURLOPT_PREREQDATA, t);
#endif
	SETOPT(t, CURLOPT_HEADERFUNCTION, http_on_header);
	SETOPT(t, CURLOPT_HEADERDATA, t);
	SETOPT(t, CURLOPT_WRITEFUNCTION, http_on_body);
	SETOPT(t, CURLOPT_WRITEDATA, t);
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
set_policy(Transfer *t, const HttpRequest *request)
{
	/* Empty, not NULL, which would let the environment decide. */
	t->proxied = request->proxy != NULL && request->proxy[0] != '\0';
	SETOPT(t, CURLOPT_PROXY, request->proxy ? request->proxy : "");
	SETOPT(t, CURLOPT_NOPROXY, request->no_proxy ? request->no_proxy : "");
	if (t->proxied)
		SETOPT(t, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);

	t->holds_secrets = (request->ca_cert != NULL || request->client_cert != NULL);
	if (request->ca_cert)
	{
#if LIBCURL_VERSION_NUM >= 0x074d00
		struct curl_blob blob = pem_blob(request->ca_cert);

		SETOPT(t, CURLOPT_CAINFO_BLOB, &blob);
		SETOPT(t, CURLOPT_CAPATH, NULL);	/* instead of the system's */
#else
		t->fault = "a CA certificate of its own needs libcurl 7.77 or later";
#endif
	}
	else if (one_ca_file)
	{
		SETOPT(t, CURLOPT_CAPATH, NULL);
#if LIBCURL_VERSION_NUM >= 0x075700
		SETOPT(t, CURLOPT_CA_CACHE_TIMEOUT, CA_FILE_S);
#endif
	}
	if (request->client_cert)
	{
		struct curl_blob cert = pem_blob(request->client_cert);
		struct curl_blob key = pem_blob(request->client_key ? request->client_key
										: request->client_cert);

		SETOPT(t, CURLOPT_SSLCERTTYPE, "PEM");
		SETOPT(t, CURLOPT_SSLCERT_BLOB, &cert);
		SETOPT(t, CURLOPT_SSLKEYTYPE, "PEM");
		SETOPT(t, CURLOPT_SSLKEY_BLOB, &key);
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
note_origin(Transfer *t)
{
	unsigned	flags = 0;
	char	   *scheme = NULL;
	char	   *host = NULL;
	char	   *zone = NULL;
	char	   *port = NULL;
	size_t		size = 0;

	free(t->origin);
	t->origin = t->host = NULL;
#ifdef CURLU_PUNYCODE
	flags = CURLU_PUNYCODE;
#endif
	if (curl_url_get(t->parsed, CURLUPART_HOST, &host, flags) != CURLUE_OK)
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
			*c = tolower((unsigned char) *c);
		t->port = atoi(port);
		if (!is_address(host))
		{
			t->host = t->origin + size;
			memcpy(t->host, host, strlen(host) + 1);
			for (char *c = t->host; *c != '\0'; c++)
				*c = tolower((unsigned char) *c);
		}
	}
	curl_free(scheme);
	curl_free(host);
	curl_free(zone);
	curl_free(port);
	return t->origin != NULL;
}

/*
 * Parse the URL, unless it is that of the last request or hop: libcurl parses,
 * assembles and takes apart again what it is not given parsed.  The scheme is
 * looked at here, too, because CURLOPT_PROTOCOLS_STR would have libcurl read a
 * list of names for each handle.
 */
static CURLcode
parse_url(Transfer *t)
{
	if (t->parsed_url != NULL && strcmp(t->parsed_url, t->url) == 0)
		return CURLE_OK;
	free(t->parsed_url);
	t->parsed_url = NULL;

	if (strncasecmp(t->url, "http://", 7) != 0 && strncasecmp(t->url, "https://", 8) != 0)
		return CURLE_UNSUPPORTED_PROTOCOL;
	if (t->parsed == NULL)
		t->parsed = curl_url();
	if (t->parsed == NULL)
		return CURLE_OUT_OF_MEMORY;
	switch (curl_url_set(t->parsed, CURLUPART_URL, t->url, 0))
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
	t->parsed_url = strdup(t->url);
	return t->parsed_url != NULL ? CURLE_OK : CURLE_OUT_OF_MEMORY;
}

/* What differs from one hop to the next. */
static void
set_hop(Transfer *t)
{
	bool		post = strcmp(t->method, "POST") == 0;
	bool		get = strcmp(t->method, "GET") == 0;

	if (t->setup == CURLE_OK)
		t->setup = parse_url(t);
	if (strncasecmp(t->url, "https:", 6) == 0)
		SETOPT(t, CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	/* libcurl's copy of a parsed address has lost its zone in some versions */
	SETOPT(t, CURLOPT_CURLU, strchr(t->url, '[') == NULL ? t->parsed : NULL);
	SETOPT(t, CURLOPT_URL, t->url); /* or it is assembled from the other */
	SETOPT(t, CURLOPT_HTTPHEADER, t->headers);

	if (t->body != NULL)
	{
		SETOPT(t, CURLOPT_POST, 1L);
		SETOPT(t, CURLOPT_POSTFIELDS, t->body);
		SETOPT(t, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) t->body_len);
	}
	else
	{
		SETOPT(t, CURLOPT_POSTFIELDS, NULL);
		SETOPT(t, CURLOPT_HTTPGET, 1L);
	}
	if (t->body != NULL ? post : get)
		SETOPT_DEFAULT(t, CURLOPT_CUSTOMREQUEST, NULL);
	else
		SETOPT(t, CURLOPT_CUSTOMREQUEST, t->method);
}

bool
http_request_open(Transfer *t)
{
	t->easy = curl_easy_init();
	if (t->easy == NULL)
		return false;
	t->setup = CURLE_OK;
	set_constants(t);
	if (t->setup == CURLE_OK)
		return true;
	curl_easy_cleanup(t->easy);
	t->easy = NULL;
	return false;
}

void
http_request_setup(Transfer *t, const HttpRequest *request)
{
	t->setup = CURLE_OK;
	t->failed_option = NULL;
	set_policy(t, request);
	set_hop(t);
	if (t->setup == CURLE_OK && !http_pool_join(t, request))
		t->setup = CURLE_OUT_OF_MEMORY;
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
resolve(Transfer *t, const char *host, int port)
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
		int			number = strcasecmp(scheme, "https") == 0 ? HTTPS_PROXY_PORT : PROXY_PORT;

		if (curl_url_get(parsed, CURLUPART_PORT, &port, 0) == CURLUE_OK)
			number = atoi(port);
		*host_too = strcasecmp(scheme, "socks4") == 0 || strcasecmp(scheme, "socks5") == 0;
		if (!is_address(host))
			state = resolve(t, host, number);
	}
	curl_free(scheme);
	curl_free(host);
	curl_free(port);
	curl_url_cleanup(parsed);
	return state;
}

void
http_request_forget_names(Transfer *t)
{
	for (int i = 0; i < 2; i++)
	{
		free(t->resolved[i].data);
		t->resolved[i].data = NULL;
		t->resolved[i].next = NULL;
	}
}

NameState
http_request_resolve(Transfer *t)
{
	NameState	state = NAME_KNOWN;
	bool		host_too = true;

	http_request_forget_names(t);
	if (t->proxied &&
		!(t->host != NULL && bypasses_proxy(t->host, http_pool_no_proxy(t))))
		state = resolve_proxy(t, http_pool_proxy(t), &host_too);
	if (state == NAME_KNOWN && host_too && t->host != NULL)
		state = resolve(t, t->host, t->port);
	return state;
}

void
http_request_connect(Transfer *t, int64_t now_us)
{
	SETOPT(t, CURLOPT_SHARE, t->connection->share);
	if (http_pool_hides_remains(t))
		SETOPT(t, CURLOPT_FRESH_CONNECT, 1L);
	else
		SETOPT_DEFAULT(t, CURLOPT_FRESH_CONNECT, 0L);
	http_time_run(t, now_us);
	if (t->connecting_ms > 0)
		SETOPT(t, CURLOPT_CONNECTTIMEOUT_MS, (long) t->connecting_ms);
	else
		SETOPT_DEFAULT(t, CURLOPT_CONNECTTIMEOUT_MS, 0L);
	t->http1 = http_pool_speaks_http1(t);
	if (t->http1)
		SETOPT(t, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
	else
		SETOPT_DEFAULT(t, CURLOPT_HTTP_VERSION, http_version_wanted());
	if (t->resolved[0].data != NULL)
		SETOPT(t, CURLOPT_RESOLVE, &t->resolved[0]);
	else
		SETOPT_DEFAULT(t, CURLOPT_RESOLVE, NULL);
	t->served = true;
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
add_own_lines(Transfer *t)
{
	for (int i = 0; i < HTTP_OWN_LINES; i++)
	{
		if (has_header(t->headers, own_lines[i].name))
			continue;
		t->own_lines[i].data = own_lines[i].line;
		t->own_lines[i].next = t->headers;
		t->headers = &t->own_lines[i];
	}
}

/* A block of that size at least, whose content is void; false: no memory. */
static bool
make_room(Transfer *t, size_t size)
{
	if (size <= t->block_size)
		return true;
	free(t->block);
	t->block_size = 0;
	size = (size | 1023) + 1;	/* the next one may be a little longer */
	t->block = malloc(size);
	if (t->block == NULL)
		return false;
	t->block_size = size;
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
http_request_copy(Transfer *t, const HttpRequest *request)
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
	if (!make_room(t, size))
		return false;
	nodes = (void *) t->block;
	place = t->block + request->nheaders * sizeof(struct curl_slist);

	for (int i = request->nheaders - 1; i >= 0; i--)
	{
		nodes[i].data = put_header(&place, &request->headers[i]);
		nodes[i].next = t->headers;
		t->headers = &nodes[i];
	}
	add_own_lines(t);

	t->method = put(&place, request->method, method_len);
	t->url = put(&place, request->url, url_len);

	/* An empty body is one, too: it is sent as Content-Length: 0. */
	if (wants_body)
	{
		t->body = put(&place, request->body, body_len);
		t->body_len = body_len;
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
redirect_target(Transfer *t, bool *same_origin)
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
	if (t->location != NULL && from != NULL && to != NULL &&
		curl_url_set(from, CURLUPART_URL, t->url, flags) == CURLUE_OK &&
		curl_url_set(to, CURLUPART_URL, t->url, flags) == CURLUE_OK &&
		curl_url_set(to, CURLUPART_URL, t->location, flags) == CURLUE_OK &&
		curl_url_get(to, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
		(strcasecmp(scheme, "http") == 0 || strcasecmp(scheme, "https") == 0) &&
		(t->body != NULL || keeps_query(from, to)))
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
filter_headers(Transfer *t, bool same_origin)
{
	struct curl_slist **link = &t->headers;

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
	add_own_lines(t);
}

/* A handle that may be used for the next hop; false if there is no memory. */
static bool
refresh_handle(Transfer *t)
{
	CURL	   *fresh;

	if (http_handles_keep())
		return true;
	fresh = curl_easy_duphandle(t->easy);
	if (fresh == NULL)
		return false;
	curl_easy_cleanup(t->easy);
	t->easy = fresh;
	return true;
}

/*
 * The event goes along to where it is sent, whatever browsers make of the older
 * statuses: a success for a request without it is none.  303 leads to something
 * else, which can be had by GET.
 */
static bool
is_followed(const Transfer *t)
{
	switch (t->answer.status)
	{
		case 301:
		case 302:
		case 307:
		case 308:
			return t->hops_left > 0;
		case 303:
			return t->hops_left > 0 && strcmp(t->method, "GET") == 0;
		default:
			return false;
	}
}

bool
http_request_follow(Transfer *t)
{
	bool		same_origin = false;
	char	   *target;

	if (!is_followed(t))
		return false;
	target = redirect_target(t, &same_origin);
	if (target == NULL)
		return false;
	if (!refresh_handle(t))
	{
		curl_free(target);
		return false;
	}
	filter_headers(t, same_origin);
	curl_free(t->target);
	t->target = target;
	t->url = target;
	t->hops_left--;
	t->repeats = 0;
	t->not_before_us = 0;
	t->patient = false;
	http_answer_begin(t);
	if (!same_origin)
	{
		SETOPT(t, CURLOPT_SSLCERT_BLOB, NULL);
		SETOPT(t, CURLOPT_SSLKEY_BLOB, NULL);
	}
	set_hop(t);
	if (t->setup == CURLE_OK && !http_pool_join_hop(t, same_origin))
		t->setup = CURLE_OUT_OF_MEMORY;
	return true;
}

bool
http_request_repeat(Transfer *t)
{
	if (t->head_lines > 0 && !refresh_handle(t))
		return false;
	http_answer_begin(t);
	t->repeats++;
	t->not_before_us = poller_clock();
	return true;
}
