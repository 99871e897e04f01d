/*-------------------------------------------------------------------------
 *
 * http_connection.c
 *		The HTTP room, the lives of connections: how they begin, how long they are
 *		kept, and what ends them.
 *
 * An answer is the answer to a request only on a connection on which nothing
 * was said before it (RFC 9112, 9.2), so whatever comes on a connection that
 * nobody uses ends it at once, and each is looked at once more as a request is
 * about to go out (http_carry.c).  HTTP/2 names the request that an answer is
 * for, so there only the unused ones are of interest.
 *
 * See transfer.h for the rules of the room.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>

#include <openssl/ssl.h>

#include "http/http_connection.h"
#include "http/http_curl.h"
#include "http/http_pool.h"
#include "http/http_socket.h"
#include "http/http_unasked.h"
#include "http/poller.h"
#include "http/transfer.h"

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
 * answer without meaning anything.  When nobody has used it meanwhile, how much has
 * come is looked at.
 */
#define LAST_WORDS_US		(1000 * 1000)

/*
 * So long after something was heard, a connection of HTTP/2 is asked whether it is
 * over: libcurl tells that only those whom it calls.
 */
#define QUIET_US			(20 * 1000)

/* In the order in which they have joined. */
typedef struct ConnectionAges
{
	Connection *oldest;
	Connection *newest;
} ConnectionAges;

static ConnectionAges unused = {NULL, NULL};	/* that nobody uses */
static ConnectionAges just_used = {NULL, NULL}; /* nor these; over HTTP/2, and it may say its
												 * last words */
static ConnectionAges spoken = {NULL, NULL};	/* that are used, over HTTP/2, and heard */

/* Those of all pools that will have a socket, and have none yet. */
static int	nunopened = 0;

static int64_t lifetime_us = INT64_C(600) * 1000 * 1000;

/* ---------------------------------------------------------------------
 * Lists
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

static void
leave_ages(Connection *connection)
{
	ConnectionAges *ages = connection->aged;

	if (ages == NULL)
		return;
	connection->aged = NULL;
	if (connection->older)
		connection->older->newer = connection->newer;
	else
		ages->oldest = connection->newer;
	if (connection->newer)
		connection->newer->older = connection->older;
	else
		ages->newest = connection->older;
}

static void
join_ages(Connection *connection, ConnectionAges *ages)
{
	leave_ages(connection);
	connection->aged = ages;
	connection->newer = NULL;
	connection->older = ages->newest;
	if (ages->newest)
		ages->newest->newer = connection;
	else
		ages->oldest = connection;
	ages->newest = connection;
}

void
http_connection_set_unused(Connection *connection, bool is_unused)
{
	if (is_unused == (connection->aged == &unused || connection->aged == &just_used))
		return;
	if (is_unused)
	{
		connection->unused_since_us = poller_clock();
		join_ages(connection, connection->multiplexed ? &just_used : &unused);
	}
	else
		leave_ages(connection);
}

static Connection *
oldest_unused(void)
{
	return unused.oldest != NULL ? unused.oldest : just_used.oldest;
}

void
http_connection_spoke(Connection *connection)
{
	if (!connection->multiplexed || connection->ntransfers == 0)
		return;
	connection->spoke_us = poller_waited_at();
	join_ages(connection, &spoken);
}

Connection *
http_connection_quiet(int64_t now_us)
{
	Connection *connection = spoken.oldest;

	if (connection == NULL || now_us - connection->spoke_us < QUIET_US)
		return NULL;
	leave_ages(connection);
	return connection;
}

int64_t
http_connection_next_quiet(void)
{
	return spoken.oldest != NULL ? spoken.oldest->spoke_us + QUIET_US : -1;
}

void
http_connection_join(Connection *connection, Transfer *t)
{
	t->connection = connection;
	t->next_user = NULL;
	t->previous_user = connection->last_user;
	if (connection->last_user)
		connection->last_user->next_user = t;
	else
		connection->users = t;
	connection->last_user = t;
	connection->ntransfers++;
}

void
http_connection_leave(Transfer *t)
{
	Connection *connection = t->connection;

	t->connection = NULL;
	if (t->previous_user)
		t->previous_user->next_user = t->next_user;
	else
		connection->users = t->next_user;
	if (t->next_user)
		t->next_user->previous_user = t->previous_user;
	else
		connection->last_user = t->previous_user;
	connection->ntransfers--;
}

void
http_connection_settle(Connection *connection)
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

void
http_connection_set_unopened(Connection *connection, bool unopened)
{
	nunopened += unopened - connection->unopened;
	connection->unopened = unopened;
}

static void
on_opened(Connection *connection)
{
	http_connection_set_unopened(connection, false);
}

void
http_connection_init(void)
{
	http_upwards.opened = on_opened;
}

/* ---------------------------------------------------------------------
 * They begin
 * ---------------------------------------------------------------------
 */

/* Addresses are kept for those that a name leads to, sessions for TLS. */
static CURLSH *
make_share(Transfer *t)
{
	const struct
	{
		curl_lock_data data;
		bool		wanted;
		const char *option;
	}			kept[] = {
		{CURL_LOCK_DATA_CONNECT, true, "CURLSHOPT_SHARE of CURL_LOCK_DATA_CONNECT"},
		{CURL_LOCK_DATA_DNS, t->host != NULL || t->proxied, "CURLSHOPT_SHARE of CURL_LOCK_DATA_DNS"},
		{CURL_LOCK_DATA_SSL_SESSION, t->pool->tls, "CURLSHOPT_SHARE of CURL_LOCK_DATA_SSL_SESSION"}
	};
	CURLSH	   *share = curl_share_init();

	for (size_t i = 0; share != NULL && i < sizeof(kept) / sizeof(kept[0]); i++)
	{
		CURLSHcode	rc = kept[i].wanted ?
			curl_share_setopt(share, CURLSHOPT_SHARE, kept[i].data) : CURLSHE_OK;

		if (rc == CURLSHE_OK)
			continue;
		t->setup = rc == CURLSHE_NOMEM ? CURLE_OUT_OF_MEMORY : CURLE_UNKNOWN_OPTION;
		t->failed_option = kept[i].option;
		t->failed_why = curl_share_strerror(rc);
		(void) curl_share_cleanup(share);
		share = NULL;
	}
	return share;
}

Connection *
http_connection_make(Transfer *t)
{
	Pool	   *pool = t->pool;
	Connection *connection = calloc(1, sizeof(Connection));

	if (connection == NULL)
		return NULL;
	connection->share = make_share(t);
	if (connection->share == NULL)
	{
		free(connection);
		return NULL;
	}
	connection->pool = pool;
	pool->nconnections++;
	return connection;
}

/* ---------------------------------------------------------------------
 * They end
 * ---------------------------------------------------------------------
 */

void
http_connection_discard(Connection *connection)
{
	Pool	   *pool = connection->pool;

	unlist(connection);
	leave_ages(connection);
	if (pool->spare == connection)
		pool->spare = NULL;
	(void) curl_share_cleanup(connection->share);
	http_sockets_disown(connection);
	free(connection);
	pool->nconnections--;
	http_pool_drop_if_empty(pool);
}

/*
 * It has ended, and nobody uses it.  One of each pool is kept for the TLS
 * sessions in its cache, which the next connection resumes; to the other side
 * it has ended all the same.
 */
void
http_connection_retire(Connection *connection)
{
	Pool	   *pool = connection->pool;

	if (!(pool->tls || pool->babbles) || pool->spare != NULL || !connection->known)
	{
		http_connection_discard(connection);
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
	connection->unasked = false;
	pool->spare = connection;
	if (connection->aged == &just_used)
		join_ages(connection, &unused);
	http_connection_set_unused(connection, true);
}

bool
http_connection_has_room(void)
{
	while (http_sockets_open() + nunopened >= http_sockets_most())
	{
		Connection *oldest = oldest_unused();

		if (oldest == NULL)
			return false;
		http_connection_discard(oldest);
	}
	return true;
}

void
http_connection_give_way(void)
{
	int64_t		before_us = poller_clock() - GIVEN_AFTER_US;

	for (int i = 0; i < GIVEN_AT_ONCE && unused.oldest != NULL &&
		 unused.oldest->unused_since_us <= before_us; i++)
		http_connection_discard(unused.oldest);
}

bool
http_connection_broken(Connection *connection, bool unheard)
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
 * farewell as a rule, and never worth keeping the connection for; nor is it once
 * TLS is over.
 */
void
http_connection_unasked(int fd, bool ended)
{
	Connection *connection = http_socket_owner(fd);

	if (connection == NULL || connection->pool->spare == connection)
		return;
	if (connection->ntransfers > 0 ||
		(connection->multiplexed && !ended &&
		 poller_clock() - connection->unused_since_us < LAST_WORDS_US &&
		 !http_unasked_is_end(fd)))
	{
		poller_socket_may_speak(fd);
		return;
	}
	if (!connection->multiplexed)
		http_unasked_heard(connection, fd);
	connection->ended = true;
	http_connection_retire(connection);
}

/*
 * Some versions of libcurl want to write while the receiver of an HTTP/2 stream
 * lets them write nothing, which would have us run in circles until it does.
 */
void
http_connection_could_write(Connection *connection, int fd)
{
	int64_t		sent;
	int			doublings;

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
	doublings = connection->vain_writes - VAIN_WRITES;
	poller_delay_out(fd, poller_clock() + (doublings < 6 ? 1000 << doublings : 64000));
}

/* ---------------------------------------------------------------------
 * Their time
 * ---------------------------------------------------------------------
 */

void
http_connection_set_lifetime(int64_t the_lifetime_us)
{
	lifetime_us = the_lifetime_us;
}

bool
http_connection_is_old(const Connection *connection, int64_t now_us)
{
	return now_us - connection->opened_us >= lifetime_us;
}

/* What is unused is not needed any more when its life would be over, either. */
static int64_t
unused_limit(void)
{
	return lifetime_us < MAX_UNUSED_US ? lifetime_us : MAX_UNUSED_US;
}

/* What is not read tells of nothing more once it fills the socket, not even of its end. */
static bool
says_much(const Connection *connection)
{
	for (int i = 0; i < connection->nsockets; i++)
	{
		if (http_unasked_is_much(connection->sockets[i]))
			return true;
	}
	return false;
}

void
http_connection_expire(int64_t now_us)
{
	while (just_used.oldest != NULL &&
		   now_us - just_used.oldest->unused_since_us >= LAST_WORDS_US)
	{
		Connection *connection = just_used.oldest;

		join_ages(connection, &unused);
		if (!says_much(connection))
			continue;
		connection->ended = true;
		http_connection_retire(connection);
	}
	while (unused.oldest != NULL && now_us - unused.oldest->unused_since_us >= unused_limit())
		http_connection_discard(unused.oldest);
}

int64_t
http_connection_next_expiry(void)
{
	return sooner(unused.oldest != NULL ? unused.oldest->unused_since_us + unused_limit() : -1,
				  just_used.oldest != NULL ? just_used.oldest->unused_since_us + LAST_WORDS_US : -1);
}
