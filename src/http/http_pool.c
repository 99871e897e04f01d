/*-------------------------------------------------------------------------
 *
 * http_pool.c
 *		The HTTP room, its connections: which are kept, for whom, how long, and
 *		which of them a request uses.
 *
 * A pool holds the connections of one owner (a destination) to one origin, with
 * one set of credentials: whatever belongs to a connection is the same for all
 * requests that use it, and no destination waits for another one's.
 *
 * An answer is the answer to a request only on a connection on which nothing
 * was said before it (RFC 9112, 9.2), so whatever comes on a connection that
 * nobody uses ends it at once, and each is looked at once more as a request is
 * about to go out.  HTTP/2 names the request that an answer is for, so there
 * only the unused ones are of interest.
 *
 * See transfer.h for the rules of the room.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include <openssl/ssl.h>

#include "http/http_curl.h"
#include "http/http_pool.h"
#include "http/http_socket.h"
#include "http/http_unasked.h"
#include "http/poller.h"
#include "http/transfer.h"

/*
 * Requests on one HTTP/2 connection: RFC 9113 recommends that receivers take no
 * fewer.  If they do, libcurl opens another connection, and we learn of it.
 */
#define MAX_STREAMS			100

/* A connection that is ready for writing in vain so often need not be asked. */
#define VAIN_WRITES			4

/*
 * Connections that are closed for lack of what they hold.  One that was used of
 * late lets its destination go on, so it is kept.
 */
#define GIVEN_AT_ONCE		8
#define GIVEN_AFTER_US		(10 * 1000 * 1000)

/* How long a connection is kept while nobody uses it. */
#define MAX_UNUSED_US		(INT64_C(110) * 1000 * 1000)

/*
 * Windows, acknowledgements and pings of HTTP/2 may come so long after the last
 * answer without meaning anything.
 */
#define LAST_WORDS_US		(1000 * 1000)

/* What comes so soon after an answer came with it. */
#define SAME_BREATH_US		(20 * 1000)

#define BUCKETS				1024

static Pool *buckets[BUCKETS];

static Connection *oldest = NULL;	/* of those that nobody uses */
static Connection *newest = NULL;

static int64_t lifetime_us = INT64_C(600) * 1000 * 1000;

/* From 8.22, libcurl looks at an unused connection once a second at most. */
#define LOOKS_EVERY_US		(1000 * 1000)
static bool looks_rarely = false;

/* Before 8.2 it loses answers to streams that are reset with them. */
static bool loses_answers = false;

static void retire(Connection *connection);

/* ---------------------------------------------------------------------
 * Pools
 * ---------------------------------------------------------------------
 */

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

static void
drop_pool_if_empty(Pool *pool)
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
	drop_pool_if_empty(pool);
}

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

const char *
http_pool_no_proxy(const Transfer *t)
{
	return t->pool->no_proxy;
}

/* ---------------------------------------------------------------------
 * Lists of connections
 * ---------------------------------------------------------------------
 */

static void
unlist(Connection *connection)
{
	if (connection->listed == NULL)
		return;
	if (connection->prev)
		connection->prev->next = connection->next;
	else
		*connection->listed = connection->next;
	if (connection->next)
		connection->next->prev = connection->prev;
	connection->listed = NULL;
}

static void
list_first(Connection **list, Connection *connection)
{
	connection->listed = list;
	connection->prev = NULL;
	connection->next = *list;
	if (*list)
		(*list)->prev = connection;
	*list = connection;
}

/* Nobody uses it from now on, or somebody does. */
static void
set_unused(Connection *connection, bool unused)
{
	if (connection->unused == unused)
		return;
	connection->unused = unused;
	if (unused)
	{
		connection->unused_since_us = poller_clock();
		connection->newer = NULL;
		connection->older = newest;
		if (newest)
			newest->newer = connection;
		else
			oldest = connection;
		newest = connection;
		return;
	}
	if (connection->older)
		connection->older->newer = connection->newer;
	else
		oldest = connection->newer;
	if (connection->newer)
		connection->newer->older = connection->older;
	else
		newest = connection->older;
}

/* Where it belongs after any change. */
static void
settle(Connection *connection)
{
	Pool	   *pool = connection->pool;

	unlist(connection);
	if (connection->ended || !connection->known)
		return;
	if (connection->ntransfers == 0)
		list_first(&pool->unused, connection);
	else if (connection->ntransfers < connection->most)
		list_first(&pool->shared, connection);
}

/* ---------------------------------------------------------------------
 * Their lives
 * ---------------------------------------------------------------------
 */

/* With its cache, libcurl closes it at once. */
static void
discard(Connection *connection)
{
	Pool	   *pool = connection->pool;

	unlist(connection);
	set_unused(connection, false);
	if (pool->spare == connection)
		pool->spare = NULL;
	(void) curl_share_cleanup(connection->share);
	http_sockets_disown(connection);
	free(connection);
	pool->nconnections--;
	drop_pool_if_empty(pool);
}

/*
 * It has ended, and nobody uses it.  One of each pool is kept for the TLS
 * sessions in its cache, which the next connection resumes; to the other side
 * it has ended all the same.
 */
static void
retire(Connection *connection)
{
	Pool	   *pool = connection->pool;

	if (!(pool->tls || pool->babbles) || pool->spare != NULL || !connection->known)
	{
		discard(connection);
		return;
	}

	/* a session whose connection was cut off is not resumed */
	if (connection->tls != NULL)
		SSL_set_shutdown(connection->tls, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	connection->tls = NULL;
	http_sockets_disown_closed(connection);
	for (int i = 0; i < connection->nsockets; i++)
		http_socket_shut(connection->sockets[i]);
	unlist(connection);
	connection->known = connection->ended = connection->broken = false;
	pool->spare = connection;
	set_unused(connection, true);
}

static CURLSH *
make_share(bool tls, bool named)
{
	CURLSH	   *share = curl_share_init();

	if (share == NULL)
		return NULL;
	if (curl_share_setopt(share, CURLSHOPT_SHARE, CURL_LOCK_DATA_CONNECT) == CURLSHE_OK &&
		(!named ||
		 curl_share_setopt(share, CURLSHOPT_SHARE, CURL_LOCK_DATA_DNS) == CURLSHE_OK) &&
		(!tls ||
		 curl_share_setopt(share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION) == CURLSHE_OK))
		return share;
	(void) curl_share_cleanup(share);
	return NULL;
}

/* Connections of all pools that will have a socket, and have none yet. */
static int	nunopened = 0;

/* Room for another socket, if need be by closing what nobody uses. */
static bool
make_room(void)
{
	while (http_sockets_open() + nunopened >= http_sockets_most())
	{
		if (oldest == NULL)
			return false;
		discard(oldest);
	}
	return true;
}

static void
use(Transfer *t, Connection *connection)
{
	connection->ntransfers++;
	connection->ncarried++;
	connection->user = t;
	set_unused(connection, false);
	t->connection = connection;
	settle(connection);
}

static void
set_unopened(Connection *connection, bool unopened)
{
	nunopened += unopened - connection->unopened;
	connection->unopened = unopened;
}

static void
on_opened(Connection *connection)
{
	set_unopened(connection, false);
}

void
http_pool_give_way(void)
{
	int64_t		before_us = poller_clock() - GIVEN_AFTER_US;

	for (int i = 0; i < GIVEN_AT_ONCE && oldest != NULL && oldest->unused_since_us <= before_us; i++)
		discard(oldest);
}

/*
 * libcurl has to find out that what is left there has ended, and there may not
 * be too much of that.
 */
static bool
is_usable_spare(const Connection *spare)
{
	if (looks_rarely && poller_clock() - spare->unused_since_us < LOOKS_EVERY_US)
		return false;
	return spare->nsockets <= HTTP_MAX_SOCKETS / 2;
}

bool
http_pool_open(Transfer *t, int *lacking)
{
	Pool	   *pool = t->pool;
	Connection *connection;

	/* make_room() may take the spare one */
	if (!make_room())
	{
		*lacking = EMFILE;
		return false;
	}
	connection = pool->spare;
	if (connection != NULL && !is_usable_spare(connection))
	{
		discard(connection);
		connection = NULL;
	}
	pool->spare = NULL;
	if (connection == NULL)
	{
		connection = calloc(1, sizeof(Connection));
		if (connection != NULL && (connection->share = make_share(pool->tls, t->host != NULL || t->proxied)) == NULL)
		{
			free(connection);
			connection = NULL;
		}
		if (connection == NULL)
		{
			*lacking = ENOMEM;
			return false;
		}
		connection->pool = pool;
		pool->nconnections++;
	}

	/* reading what is left of HTTP/2 would spoil the TLS session */
	connection->remains = connection->nsockets > 0 && connection->multiplexed;
	connection->most = 1;
	connection->ncarried = 0;
	connection->multiplexed = false;
	connection->opened_us = poller_clock();
	set_unopened(connection, true);
	pool->opening++;
	use(t, connection);
	return true;
}

bool
http_pool_hides_remains(const Transfer *t)
{
	return !t->connection->known && t->connection->remains;
}

bool
http_pool_is_opening(const Transfer *t)
{
	return t->pool->tls && t->pool->opening > 0 && !t->pool->single && !t->pool->http1 &&
		http_version_wanted() != CURL_HTTP_VERSION_1_1;
}

static bool
is_quiet(const Connection *connection)
{
	for (int i = 0; i < connection->nsockets; i++)
	{
		if (http_socket_state(connection->sockets[i]) != SOCKET_QUIET)
			return false;
	}
	return true;
}

/*
 * May HTTP/2 have said goodbye where libcurl will not look before the next
 * request?  What it reads after that request is too late.
 */
static bool
may_have_left(const Connection *connection, int64_t now_us)
{
	int64_t		unused_us = now_us - connection->unused_since_us;

	return looks_rarely && connection->unused && connection->multiplexed &&
		unused_us > SAME_BREATH_US && unused_us < LOOKS_EVERY_US &&
		!is_quiet(connection);
}

/* May it be used?  If not now, it never may again. */
static bool
is_good(const Connection *connection, int64_t now_us)
{
#if !HTTP_TELLS_CONNECTED
	if (!is_quiet(connection))
		return false;
#endif
	return connection->nsockets > 0 && now_us - connection->opened_us < lifetime_us &&
		!may_have_left(connection, now_us);
}

static bool
take_from(Connection *list, Transfer *t, int64_t now_us)
{
	while (list != NULL)
	{
		Connection *connection = list;

		list = connection->next;
		if (connection->opened_us < t->not_before_us ||
			(t->pool->http1 && connection->multiplexed))
			continue;
		if (is_good(connection, now_us))
		{
			use(t, connection);
			return true;
		}
		connection->ended = true;
		settle(connection);
		if (connection->ntransfers == 0)
			retire(connection);
	}
	return false;
}

bool
http_pool_take(Transfer *t, int64_t now_us)
{
	return take_from(t->pool->shared, t, now_us) || take_from(t->pool->unused, t, now_us);
}

/* It is connected, or is found not to be. */
static void
became_known(Connection *connection, bool failed)
{
	set_unopened(connection, false);
	connection->pool->opening--;
	http_upwards.pool_settled(connection->pool, failed);
}

void
http_pool_release(Transfer *t, int64_t now_us)
{
	Connection *connection = t->connection;

	if (connection == NULL)
		return;
	t->connection = NULL;
	if (connection->user == t)
		connection->user = NULL;
	(void) curl_easy_setopt(t->easy, CURLOPT_SHARE, NULL);
	connection->ntransfers--;
	if (!connection->known && !connection->ended)
	{
		connection->ended = true;
		became_known(connection, true);
	}
	if (connection->nsockets == 0 || now_us - connection->opened_us >= lifetime_us ||
		(connection->pool->babbles && !connection->multiplexed))
		connection->ended = true;
	settle(connection);
	if (connection->ntransfers > 0)
		return;
	if (connection->ended)
		retire(connection);
	else
		set_unused(connection, true);
}

/* ---------------------------------------------------------------------
 * Just before a request goes out
 * ---------------------------------------------------------------------
 */

#if HTTP_TELLS_CONNECTED

static bool
speaks_http2(const Transfer *t)
{
	SSL		   *tls = http_unasked_tls(t);
	const unsigned char *protocol = NULL;
	unsigned int len = 0;

	if (tls != NULL)
		SSL_get0_alpn_selected(tls, &protocol, &len);
	return len == 2 && memcmp(protocol, "h2", 2) == 0;
}

static int
local_port_of(int fd)
{
	union
	{
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	}			address;
	socklen_t	len = sizeof(address);

	if (getsockname(fd, &address.any, &len) != 0)
		return -1;
	if (address.any.sa_family == AF_INET)
		return ntohs(address.v4.sin_port);
	return address.any.sa_family == AF_INET6 ? ntohs(address.v6.sin6_port) : -1;
}

/* There are others while libcurl says goodbye on an earlier one. */
static int
socket_of(const Connection *connection, int local_port)
{
	if (connection->nsockets == 1)
		return connection->sockets[0];
	for (int i = 0; i < connection->nsockets; i++)
	{
		if (local_port_of(connection->sockets[i]) == local_port)
			return connection->sockets[i];
	}
	return -1;
}

static bool
connected_anew(Transfer *t)
{
	Connection *connection = t->connection;

	connection->opened_us = t->connected_us;
	connection->round_trip_us = http_socket_round_trip(t->fd);
	connection->tls = t->fd >= 0 ? http_unasked_tls(t) : NULL;
	connection->tls_socket = t->fd;
	if (!connection->known)
	{
		connection->known = true;
		connection->multiplexed = speaks_http2(t);
		connection->most = connection->multiplexed ? t->pool->most_streams : 1;
		connection->ended = t->repeats >= HTTP_MAX_REPEATS; /* for others */
		t->pool->single = !connection->multiplexed;
		became_known(connection, false);
		settle(connection);
	}
	else if (connection->multiplexed && connection->ntransfers > 1)
	{
		/* the receiver takes no more, so libcurl had to open another one */
		connection->most = connection->ntransfers;
		t->pool->most_streams = connection->ntransfers - 1;
		settle(connection);
	}
	if (!connection->multiplexed)
		http_unasked_keep_listening(connection);
	if (http_unasked_on_new(t))
	{
		t->fault = "the receiver answered before it was asked";
		return false;
	}
	return true;
}

static bool
on_connected(Transfer *t, int local_port)
{
	t->connected_us = poller_clock();
	if (t->opened && t->connection->nsockets > 1)
		http_sockets_disown_closed(t->connection);
	t->fd = socket_of(t->connection, local_port);
	if (t->opened)
		return connected_anew(t);
	t->again = http_unasked_on_kept(t);
	return !t->again;
}

#endif							/* HTTP_TELLS_CONNECTED */

void
http_pool_not_taken(Transfer *t)
{
	t->again = true;
	t->fault = http_not_taken;
	t->connection->ended = true;
	settle(t->connection);
	http_upwards.deserted(t->connection);
}

bool
http_pool_give_up_http2(Transfer *t)
{
	Pool	   *pool = t->pool;

	if (!loses_answers || pool->http2_only)
		return false;
	pool->http1 = true;
	http_upwards.deserted(t->connection);
	return true;
}

void
http_pool_needs_http2(Transfer *t)
{
	t->pool->http1 = false;
	t->pool->http2_only = true;
}

bool
http_pool_speaks_http1(const Transfer *t)
{
	return t->pool->http1;
}

void
http_pool_answered(Transfer *t)
{
	Connection *connection = t->connection;
	long		version = 0;

	if (!connection->known)
	{
		connection->known = true;
		became_known(connection, false);
	}
	if (!t->pool->tls || connection->multiplexed)
		return;
	curl_easy_getinfo(t->easy, CURLINFO_HTTP_VERSION, &version);
	if (version >= CURL_HTTP_VERSION_2_0)
	{
		connection->multiplexed = true;
		connection->most = t->pool->most_streams;
		t->pool->single = false;
	}
}

/* ---------------------------------------------------------------------
 * Their ends
 * ---------------------------------------------------------------------
 */

bool
http_pool_broken(Connection *connection, bool unheard)
{
	connection->ended = true;
	unlist(connection);
	for (int i = 0; i < connection->nsockets && !unheard; i++)
	{
		if (http_socket_state(connection->sockets[i]) != SOCKET_GONE)
			return false;
	}
	connection->broken = connection->ntransfers > 0;
	return true;
}

/*
 * What comes over HTTP/2 says itself what it belongs to, and libcurl reads it
 * before the next request.  Later than a moment after the last answer it is a
 * farewell as a rule, and never worth keeping the connection for.
 */
void
http_pool_unasked(int fd, bool ended)
{
	Connection *connection = http_socket_owner(fd);

	if (connection == NULL || connection->pool->spare == connection)
		return;
	if (connection->ntransfers > 0 ||
		(connection->multiplexed && !ended &&
		 poller_clock() - connection->unused_since_us < LAST_WORDS_US))
	{
		poller_socket_may_speak(fd);
		return;
	}
	if (!connection->multiplexed && http_socket_state(fd) == SOCKET_SPOKE)
		http_unasked_note(connection);
	connection->ended = true;
	retire(connection);
}

/*
 * Some versions of libcurl want to write while the receiver of an HTTP/2 stream
 * lets them write nothing, which would have us run in circles until it does.
 */
void
http_pool_could_write(Connection *connection, int fd)
{
	int64_t		sent;
	int			hold_ms;

	if (!connection->multiplexed)
		return;
	sent = http_socket_sent(fd);
	if (sent < 0 || sent != connection->written)
	{
		connection->written = sent;
		connection->vain_writes = 0;
		return;
	}
	if (++connection->vain_writes <= VAIN_WRITES)
		return;
	hold_ms = connection->vain_writes - VAIN_WRITES < 6 ? 1 << (connection->vain_writes - VAIN_WRITES) : 64;
	poller_hold_out(fd, poller_clock() + hold_ms * 1000);
}

void
http_pool_init(const curl_version_info_data *libcurl)
{
	looks_rarely = libcurl->version_num >= 0x081600;
	loses_answers = libcurl->version_num < 0x080200;
	http_upwards.opened = on_opened;
	http_upwards.connected = on_connected;
	http_upwards.not_taken = http_pool_not_taken;
}

void
http_pool_set_lifetime(int64_t the_lifetime_us)
{
	lifetime_us = the_lifetime_us;
}

/* What is unused is not needed any more when its life would be over, either. */
static int64_t
unused_limit(void)
{
	return lifetime_us < MAX_UNUSED_US ? lifetime_us : MAX_UNUSED_US;
}

void
http_pool_expire(int64_t now_us)
{
	while (oldest != NULL && now_us - oldest->unused_since_us >= unused_limit())
		discard(oldest);
}

int64_t
http_pool_next_expiry(void)
{
	return oldest != NULL ? oldest->unused_since_us + unused_limit() : -1;
}
