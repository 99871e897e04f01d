/*-------------------------------------------------------------------------
 *
 * http_pool.c
 *		The HTTP room, its pools: which connections a request may use, and what
 *		is known of them all.
 *
 * A pool holds the connections of one owner (a destination) to one origin, with
 * one set of credentials: whatever belongs to a connection is the same for all
 * requests that use it, and no destination waits for another one's.
 *
 * See transfer.h for the rules of the room.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "http/http_curl.h"
#include "http/http_pool.h"
#include "http/no_proxy.h"
#include "http/poller.h"
#include "http/transfer.h"

/*
 * Requests on one HTTP/2 connection: RFC 9113 recommends that receivers take no
 * fewer.  If they do, libcurl opens another connection, and we learn of it.
 */
#define MAX_STREAMS			100

/*
 * A receiver that takes nothing over HTTP/2 may do so for a moment, and not serve
 * HTTP/1.1 at all: what it says there is its last word if it has taken nothing for so
 * long, and has been asked, or has taken something by HTTP/1.1, within the second.
 */
#define DOUBT_US			(60 * INT64_C(1000000))
#define VAIN_US				(600 * INT64_C(1000000))

/* One that has taken something so is asked so first for a while, and then by HTTP/2 again. */
#define GUESS_US			(60 * INT64_C(1000000))

#define BUCKETS				1024

static Pool *buckets[BUCKETS];

/* Before 8.2 libcurl loses answers to streams that are reset with them. */
static bool loses_answers = false;

void
http_pool_init(const curl_version_info_data *libcurl)
{
	loses_answers = libcurl->version_num < 0x080200;
}

/* Of what differs as a rule: one owner's other settings seldom do. */
static uint32_t
hash_of(const Pool *key)
{
	uint32_t	hash = 2166136261u ^ (uint32_t) (key->owner ^ (key->owner >> 32));

	for (const char *c = key->origin; *c != '\0'; c++)
		hash = (hash ^ (unsigned char) *c) * 16777619u;
	return hash;
}

static bool
same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool
same_key(const Pool *a, const Pool *b)
{
	return a->hash == b->hash && a->owner == b->owner &&
		same_text(a->origin, b->origin) && same_text(a->ca_cert, b->ca_cert) &&
		same_text(a->client_cert, b->client_cert) &&
		same_text(a->client_key, b->client_key) &&
		same_text(a->proxy, b->proxy) && same_text(a->no_proxy, b->no_proxy);
}

static void
free_pool(Pool *pool)
{
	free(pool->origin);
	free(pool->ca_cert);
	free(pool->client_cert);
	free(pool->client_key);
	free(pool->proxy);
	free(pool->no_proxy);
	free(pool);
}

static bool
copy_text(char **copy, const char *text)
{
	*copy = text != NULL ? strdup(text) : NULL;
	return *copy != NULL || text == NULL;
}

static bool
goes_by_proxy(const Pool *key)
{
	const char *host = strstr(key->origin, "://") + 3;
	size_t		len = strcspn(host, host[0] == '[' ? "]" : ":");

	return key->proxy != NULL && key->proxy[0] != '\0' &&
		!no_proxy_names(key->no_proxy, host, host[0] == '[' ? len + 1 : len);
}

static Pool *
make_pool(const Pool *key)
{
	Pool	   *pool = calloc(1, sizeof(Pool));

	if (pool == NULL)
		return NULL;
	pool->hash = key->hash;
	pool->owner = key->owner;
	if (!copy_text(&pool->origin, key->origin) ||
		!copy_text(&pool->ca_cert, key->ca_cert) ||
		!copy_text(&pool->client_cert, key->client_cert) ||
		!copy_text(&pool->client_key, key->client_key) ||
		!copy_text(&pool->proxy, key->proxy) ||
		!copy_text(&pool->no_proxy, key->no_proxy))
	{
		free_pool(pool);
		return NULL;
	}
	pool->tls = strncmp(key->origin, "https:", 6) == 0;
	pool->proxied = goes_by_proxy(key);
	pool->most_streams = MAX_STREAMS;
	return pool;
}

/* The pool with this key, whose hash is still to be made; NULL: no memory. */
static Pool *
find_pool(Pool *key)
{
	Pool	  **bucket;
	Pool	   *pool;

	key->hash = hash_of(key);
	bucket = &buckets[(key->hash ^ (key->hash >> 16)) % BUCKETS];
	for (pool = *bucket; pool != NULL; pool = pool->next)
	{
		if (same_key(pool, key))
			return pool;
	}
	pool = make_pool(key);
	if (pool != NULL)
	{
		pool->next = *bucket;
		*bucket = pool;
	}
	return pool;
}

void
http_pool_drop_if_empty(Pool *pool)
{
	Pool	  **link = &buckets[(pool->hash ^ (pool->hash >> 16)) % BUCKETS];

	if (pool->nrequests > 0 || pool->nconnections > 0)
		return;
	while (*link != pool)
		link = &(*link)->next;
	*link = pool->next;
	free_pool(pool);
}

static bool
join(Transfer *t, Pool *key)
{
	Pool	   *pool = find_pool(key);

	if (pool == NULL)
		return false;
	pool->nrequests++;
	http_pool_leave(t);
	t->pool = pool;
	t->proxied = pool->proxied;
	return true;
}

bool
http_pool_join(Transfer *t, const HttpRequest *request)
{
	Pool		key = {
		.owner = request->owner,
		.origin = t->origin,
		.ca_cert = (char *) request->ca_cert,
		.client_cert = (char *) request->client_cert,
		.client_key = (char *) request->client_key,
		.proxy = (char *) request->proxy,
		.no_proxy = (char *) request->no_proxy
	};

	return join(t, &key);
}

bool
http_pool_join_hop(Transfer *t, bool same_origin)
{
	Pool		key = *t->pool;

	key.origin = t->origin;
	if (!same_origin)
		key.client_cert = key.client_key = NULL;
	return join(t, &key);
}

void
http_pool_leave(Transfer *t)
{
	Pool	   *pool = t->pool;

	if (pool == NULL)
		return;
	t->pool = NULL;
	pool->nrequests--;
	http_pool_drop_if_empty(pool);
}

/* ---------------------------------------------------------------------
 * What its connections have in common
 * ---------------------------------------------------------------------
 */

bool
http_pool_trusts_system(const Transfer *t)
{
	return t->pool->ca_cert == NULL;
}

const char *
http_pool_proxy(const Transfer *t)
{
	return t->pool->proxy;
}

bool
http_pool_try_http1(Transfer *t)
{
	Pool	   *pool = t->pool;
	int64_t		now_us = poller_clock();

	if (t->gave_up)
		return false;
	t->gave_up = t->wants_http1 = true;
	if (pool->vain_us == 0 || now_us > pool->vain_until_us)
		pool->vain_us = now_us;
	pool->vain_until_us = now_us + VAIN_US;
	return true;
}

bool
http_pool_lost_answer(Transfer *t)
{
	if (!loses_answers || !http_pool_try_http1(t))
		return false;
	t->pool->loses = true;
	http_upwards.deserted(t->connection);
	return true;
}

bool
http_pool_asks_for_http1(Transfer *t)
{
	bool		first = !t->gave_up;

	t->gave_up = t->wants_http1 = true;
	t->pool->http1_asked = true;
	return first;
}

void
http_pool_needs_http2(Transfer *t)
{
	t->wants_http1 = false;
	t->pool->http1_asked = false;
	t->pool->http1_until_us = 0;
}

/* What was refused so may have been for HTTP/1.1's sake, so HTTP/2 comes first again. */
static bool
begins_by_http1(const Transfer *t)
{
	return (!t->tried || t->pool->loses) && poller_clock() < t->pool->http1_until_us;
}

bool
http_pool_speaks_http1(const Transfer *t)
{
	return t->pool->http1_asked || t->wants_http1 || begins_by_http1(t);
}

/* May that be what is said of HTTP/1.1, and not of the event? */
static bool
is_doubtful(int status)
{
	return status == 505 || (status < 500 && status != 408 && status != 429);
}

/* Where answers were lost, trying HTTP/2 again would send events twice. */
void
http_pool_was_answered(Transfer *t, bool taken, int64_t now_us)
{
	Pool	   *pool = t->pool;

	if (t->http2)
	{
		pool->vain_us = 0;
		if (!pool->loses)
			pool->http1_until_us = 0;
	}
	else if (t->guessed && taken)
	{
		pool->http1_until_us = pool->loses ? INT64_MAX : now_us + GUESS_US;
		pool->vain_until_us = now_us + VAIN_US;
	}
}

bool
http_pool_believes(Transfer *t, int status, int64_t now_us)
{
	Pool	   *pool = t->pool;

	if (t->guessed && status == 0)
		pool->http1_until_us = 0;
	if (!t->guessed || status == 0 || !is_doubtful(status))
		return true;
	return pool->vain_us != 0 && now_us <= pool->vain_until_us &&
		now_us - pool->vain_us >= DOUBT_US;
}
