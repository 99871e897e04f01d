/*-------------------------------------------------------------------------
 *
 * http_request.c
 *		The HTTP room, what goes out: a request becomes an easy handle.
 *
 * See transfer.h for the rules of the room.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>
#include <unistd.h>

#include "http/ascii.h"
#include "http/http_answer.h"
#include "http/http_carry.h"
#include "http/http_ciphers.h"
#include "http/http_curl.h"
#include "http/http_hop.h"
#include "http/http_message.h"
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
		{ \
			(t)->failed_option = #option; \
			(t)->failed_why = curl_easy_strerror((t)->setup); \
		} \
	} while (0)

/* The same for what is the default: a fresh handle need not be told. */
#define SETOPT_DEFAULT(t, option, value) \
	do { \
		if ((t)->served) \
			SETOPT(t, option, value); \
	} while (0)

/* When a changed file of certificates is read again. */
#define CA_FILE_S			600L

/* What went wrong is to be heard before a request is sent again; see on_progress(). */
static bool forgets_errors = false;

/* All that the system trusts is in one file, which libcurl reads once. */
static bool one_ca_file = false;

void
http_request_init(const curl_version_info_data *libcurl)
{
	forgets_errors = libcurl->version_num >= 0x081300;

	/* with a directory beside it, it would be read for each connection */
	one_ca_file = libcurl->cainfo != NULL && access(libcurl->cainfo, R_OK) == 0;
}

/* ---------------------------------------------------------------------
 * A handle, and a request in it
 * ---------------------------------------------------------------------
 */

/* libcurl's: something has come, or has gone wrong. */
static int
on_progress(void *arg, curl_off_t to_come, curl_off_t packed, curl_off_t to_send, curl_off_t sent)
{
	(void) to_come;
	(void) to_send;
	(void) sent;
#if HTTP_TELLS_CONNECTED
	if (forgets_errors && http_version_wanted() == CURL_HTTP_VERSION_2TLS)
		http_carry_hear(arg);
#endif
	return http_answer_goes_on(arg, packed) ? 0 : 1;
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
	SETOPT(t, CURLOPT_PATH_AS_IS, 1L);
	if (http_version_wanted() != CURL_HTTP_VERSION_2TLS)
		SETOPT(t, CURLOPT_HTTP_VERSION, http_version_wanted());
	SETOPT(t, CURLOPT_ACCEPT_ENCODING, http_message_encodings());
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
	SETOPT(t, CURLOPT_NOPROGRESS, 0L);
	SETOPT(t, CURLOPT_XFERINFOFUNCTION, on_progress);
	SETOPT(t, CURLOPT_XFERINFODATA, t);
}

bool
http_request_open(Transfer *t)
{
	t->easy = curl_easy_init();
	t->setup = t->easy != NULL ? CURLE_OK : CURLE_OUT_OF_MEMORY;
	t->failed_option = NULL;
	set_constants(t);
	if (t->setup == CURLE_OK)
		return true;
	curl_easy_cleanup(t->easy);
	t->easy = NULL;
	return false;
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
	SETOPT(t, CURLOPT_PROXY, request->proxy ? request->proxy : "");
	if (request->proxy != NULL)
	{
		SETOPT(t, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
		SETOPT(t, CURLOPT_PROXY_SSL_CIPHER_LIST, http_ciphers());
	}

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

/* What differs from one hop to the next. */
static void
set_hop(Transfer *t)
{
	bool		post = strcmp(t->method, "POST") == 0;
	bool		get = strcmp(t->method, "GET") == 0;

	if (t->setup == CURLE_OK)
		t->setup = http_hop_parse(t);
	if (ascii_begin_same(t->url, "https:", 6))
	{
		SETOPT(t, CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
		SETOPT(t, CURLOPT_SSL_CIPHER_LIST, http_ciphers());
	}
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

void
http_request_setup(Transfer *t, const HttpRequest *request)
{
	t->setup = CURLE_OK;
	t->failed_option = NULL;
	t->proxied = false;
	set_policy(t, request);
	set_hop(t);
	if (t->setup == CURLE_OK && !http_pool_join(t, request))
		t->setup = CURLE_OUT_OF_MEMORY;
}

/* ---------------------------------------------------------------------
 * On its way
 * ---------------------------------------------------------------------
 */

void
http_request_connect(Transfer *t, int64_t now_us)
{
	SETOPT(t, CURLOPT_SHARE, t->connection->share);
	SETOPT(t, CURLOPT_NOPROXY, t->proxied ? "" : "*");
	if (http_carry_hides_remains(t))
		SETOPT(t, CURLOPT_FRESH_CONNECT, 1L);
	else
		SETOPT_DEFAULT(t, CURLOPT_FRESH_CONNECT, 0L);
	http_time_run(t, now_us);
	if (t->connecting_ms > 0)
		SETOPT(t, CURLOPT_CONNECTTIMEOUT_MS, (long) t->connecting_ms);
	else
		SETOPT_DEFAULT(t, CURLOPT_CONNECTTIMEOUT_MS, 0L);
	t->http1 = http_pool_speaks_http1(t);
	t->connection->guessed |= t->http1 && !t->pool->http1_asked;
	t->guessed = t->connection->guessed && !t->pool->http1_asked;
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

bool
http_request_refresh(Transfer *t)
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

void
http_request_hop(Transfer *t, bool same_origin)
{
	if (!same_origin)
	{
		SETOPT(t, CURLOPT_SSLCERT_BLOB, NULL);
		SETOPT(t, CURLOPT_SSLKEY_BLOB, NULL);
	}
	set_hop(t);
	if (t->setup == CURLE_OK && !http_pool_join_hop(t, same_origin))
		t->setup = CURLE_OUT_OF_MEMORY;
}

bool
http_request_repeat(Transfer *t)
{
	if (t->head_lines > 0 && !http_request_refresh(t))
		return false;
	http_answer_begin(t);
	t->repeats++;
	t->not_before_us = poller_clock();
	return true;
}
