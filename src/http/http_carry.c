/*-------------------------------------------------------------------------
 *
 * http_carry.c
 *		The HTTP room, which connection carries a request: from when that takes it
 *		until it is released.
 *
 * See transfer.h for the rules of the room.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include <openssl/ssl.h>

#include "http/http_carry.h"
#include "http/http_connection.h"
#include "http/http_curl.h"
#include "http/http_pool.h"
#include "http/http_socket.h"
#include "http/http_unasked.h"
#include "http/poller.h"
#include "http/transfer.h"

/* What comes so soon after an answer came with it. */
#define SAME_BREATH_US		(20 * 1000)

/* From 8.22, libcurl looks at an unused connection once a second at most. */
#define LOOKS_EVERY_US		(1000 * 1000)
static bool looks_rarely = false;

/* ---------------------------------------------------------------------
 * It takes one
 * ---------------------------------------------------------------------
 */

static void
use(Transfer *t, Connection *connection)
{
	connection->ncarried++;
	connection->quiet_us = 0;
	http_connection_set_unused(connection, false);
	http_connection_join(connection, t);
	http_connection_settle(connection);

	/* what ends it may have come meanwhile, and been read for nobody */
	if (connection->ntransfers == 1)
		http_connection_spoke(connection);
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

	return looks_rarely && connection->ntransfers == 0 && connection->multiplexed &&
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
	return connection->nsockets > 0 && !http_connection_is_old(connection, now_us) &&
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
			(http_pool_speaks_http1(t) ? connection->multiplexed : connection->guessed))
			continue;
		if (is_good(connection, now_us))
		{
			use(t, connection);
			return true;
		}
		connection->ended = true;
		http_connection_settle(connection);
		if (connection->ntransfers == 0)
			http_connection_retire(connection);
	}
	return false;
}

bool
http_carry_take(Transfer *t, int64_t now_us)
{
	return take_from(t->pool->shared, t, now_us) || take_from(t->pool->unused, t, now_us);
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
http_carry_open(Transfer *t, int *lacking)
{
	Pool	   *pool = t->pool;
	Connection *connection;

	/* that may take the spare one */
	if (!http_connection_has_room())
	{
		*lacking = EMFILE;
		return false;
	}
	connection = pool->spare;
	if (connection != NULL && !is_usable_spare(connection))
	{
		http_connection_discard(connection);
		connection = NULL;
	}
	pool->spare = NULL;
	if (connection == NULL)
		connection = http_connection_make(t);
	if (connection == NULL)
	{
		*lacking = ENOMEM;
		return false;
	}

	/* reading what is left of HTTP/2 would spoil the TLS session */
	connection->remains = connection->nsockets > 0 && connection->multiplexed;
	connection->most = 1;
	connection->ncarried = 0;
	connection->multiplexed = connection->agreed = false;
	connection->unnamed = connection->guessed = false;
	connection->opened_us = poller_clock();
	http_connection_set_unopened(connection, true);
	pool->opening++;
	use(t, connection);
	return true;
}

bool
http_carry_hides_remains(const Transfer *t)
{
	return !t->connection->known && t->connection->remains;
}

bool
http_carry_is_opening(const Transfer *t)
{
	return t->pool->tls && t->pool->opening > 0 && !t->pool->single && !http_pool_speaks_http1(t) &&
		http_version_wanted() != CURL_HTTP_VERSION_1_1;
}

/* ---------------------------------------------------------------------
 * It lets go of it
 * ---------------------------------------------------------------------
 */

/* It is connected, or is found not to be. */
static void
became_known(Connection *connection, bool failed)
{
	http_connection_set_unopened(connection, false);
	connection->pool->opening--;
	http_upwards.pool_settled(connection->pool, failed);
}

void
http_carry_release(Transfer *t, int64_t now_us)
{
	Connection *connection = t->connection;

	if (connection == NULL)
		return;
	http_connection_leave(t);
	(void) curl_easy_setopt(t->easy, CURLOPT_SHARE, NULL);
	if (!connection->known && !connection->ended)
	{
		connection->ended = true;
		became_known(connection, true);
	}
	if (connection->nsockets == 0 || http_connection_is_old(connection, now_us) ||
		(connection->pool->babbles && !connection->multiplexed))
		connection->ended = true;
	http_connection_settle(connection);
	if (connection->ntransfers > 0)
		return;
	if (connection->ended)
		http_connection_retire(connection);
	else
		http_connection_set_unused(connection, true);
}

/* ---------------------------------------------------------------------
 * Just before it goes out
 * ---------------------------------------------------------------------
 */

#if HTTP_TELLS_CONNECTED

/* What it speaks, as TLS says. */
static void
note_protocol(Connection *connection, SSL *tls)
{
	const unsigned char *protocol = NULL;
	unsigned int len = 0;

	if (tls != NULL)
		SSL_get0_alpn_selected(tls, &protocol, &len);
	connection->unnamed = tls != NULL && len == 0;
	connection->multiplexed = len == 2 && memcmp(protocol, "h2", 2) == 0;
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
		connection->agreed = connection->tls != NULL;
		note_protocol(connection, http_unasked_tls(t));
		connection->most = connection->multiplexed ? t->pool->most_streams : 1;
		connection->ended = t->repeats >= HTTP_MAX_REPEATS; /* for others */
		t->pool->single = !connection->multiplexed;
		became_known(connection, false);
		http_connection_settle(connection);
	}
	else if (connection->multiplexed && connection->ntransfers > 1)
	{
		/* the receiver takes no more, so libcurl had to open another one */
		connection->most = connection->ntransfers;
		t->pool->most_streams = connection->ntransfers - 1;
		http_connection_settle(connection);
	}
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
	{
		bool		sound = connected_anew(t);

		t->http2 = t->connection->multiplexed;
		return sound;
	}
	t->http2 = t->connection->multiplexed;
	if (t->begin_by_us >= 0)
		t->written_before = http_socket_sent(t->fd);
	t->again = http_unasked_on_kept(t);
	if (t->again)
		t->connection->ended = true;
	return !t->again;
}

/*
 * Of HTTP_1_1_REQUIRED (RFC 9113, 7) libcurl tells by a word in the error that it has
 * got over; unless that was the first stream of its connection, or an interim answer
 * came before.  Then it has not noted that it sends the request again, as it does for
 * any other reason, and complains in another error that there was no answer.
 */
static bool
is_told_http1(const Transfer *t)
{
	return t->curl_error[0] != '\0' &&
		(strstr(t->curl_error, "HTTP_1_1_REQUIRED") != NULL ||
		 strcmp(t->curl_error, "Empty reply from server") == 0);
}

/* libcurl from 8.19 on forgets that error before it opens another connection. */
void
http_carry_hear(Transfer *t)
{
	t->told_http1 |= is_told_http1(t);
}

static void
on_not_taken(Transfer *t)
{
	bool		at_once = t->connection->multiplexed &&
		(t->told_http1 || is_told_http1(t)) && http_pool_asks_for_http1(t);

	http_carry_not_taken(t);
	if (at_once)
		t->fault = NULL;		/* however often it was repeated */
}

#endif							/* HTTP_TELLS_CONNECTED */

/* ---------------------------------------------------------------------
 * And after
 * ---------------------------------------------------------------------
 */

void
http_carry_not_taken(Transfer *t)
{
	t->again = true;
	t->fault = http_not_taken;
	t->connection->ended = true;
	http_connection_settle(t->connection);
	http_upwards.deserted(t->connection);
}

/*
 * What a load balancer has left hanging, or a router has forgotten, stays silent for
 * all that go out on it; a receiver that hangs in one request answers others there.
 * Over HTTP/1.1 it ends with the request.
 */
void
http_carry_late(const Transfer *t)
{
	Connection *connection = t->connection;

	if (!t->connected || !connection->multiplexed ||
		!http_socket_is_silent(http_socket_used(t), t->connected_us))
		return;
	connection->ended = true;
	http_connection_settle(connection);
}

void
http_carry_answered(Transfer *t)
{
	Connection *connection = t->connection;
	long		version = 0;

	if (!connection->known)
	{
		connection->known = true;
		became_known(connection, false);
	}
	if (!t->pool->tls || connection->multiplexed || connection->agreed)
		return;					/* a status line may say anything */
	curl_easy_getinfo(t->easy, CURLINFO_HTTP_VERSION, &version);
	if (version >= CURL_HTTP_VERSION_2_0)
	{
		connection->multiplexed = t->http2 = true;
		connection->most = t->pool->most_streams;
		t->pool->single = false;
	}
}

void
http_carry_init(const curl_version_info_data *libcurl)
{
	looks_rarely = libcurl->version_num >= 0x081600;
#if HTTP_TELLS_CONNECTED
	http_upwards.connected = on_connected;
	http_upwards.not_taken = on_not_taken;
#endif
}
