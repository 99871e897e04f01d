/*-------------------------------------------------------------------------
 *
 * http_unasked.c
 *		The HTTP room, what was said unasked: is it to this request that an
 *		answer belongs?
 *
 * Over HTTP/1.1 nothing in an answer says what it is for, so it is for whatever
 * request is out on its connection.  What was written before that request came
 * must not be taken for its answer (RFC 9112, 9.2), and the only ways to tell
 * are to look just before the request goes out, and to ask the kernel whether
 * the other side had any of it when the answer came.  What is written between
 * the arrival of a request and its answer cannot be told from that answer, so a
 * receiver that has once spoken so gets one request a connection.
 *
 * See transfer.h for the rules of the room.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include <openssl/ssl.h>

#include "http/ascii.h"
#include "http/http_socket.h"
#include "http/http_unasked.h"
#include "http/poller.h"
#include "http/transfer.h"

/*
 * Each look costs a system call.  So after the first so many requests, and in a
 * flow of them, one of that age is good enough, and serves as many of those that
 * go out next; and an answer that takes so much longer than there and back is not
 * one that crossed the request.
 */
#define PROBATION			64
#define LOOKED_US			1000
#define LOOKED_AT_ONCE		64
#define IN_FLOW_US			(5 * 1000)
#define CROSSING_US			100

/*
 * TLS's records begin with their type and, in the last two bytes of the header, their
 * length.  From 1.3 an alert is in one of data: its two bytes, its type, and a tag of
 * 16 bytes at the most (RFC 8446, 5.1, 5.2 and 6).
 */
#define RECORD_HEADER		5
#define RECORD_ALERT		21
#define RECORD_DATA			23
#define HIDDEN_ALERT		(2 + 1 + 16)

/* So much of windows and pings is looked through for it, and there is no more of them. */
#define LOOKED_THROUGH		4096

/*
 * What comes unasked so soon after an answer can come as soon after the next
 * request, and then nothing tells that it is not the answer to that.
 */
#define SECOND_ANSWER_US	(20 * 1000)

static void
note(Connection *connection)
{
	connection->unasked = true;
	connection->pool->unasked = true;
	if (poller_clock() - connection->unused_since_us < SECOND_ANSWER_US)
		connection->pool->babbles = true;
}

static bool
is_alert(const unsigned char *header)
{
	return header[0] == RECORD_ALERT ||
		(header[0] == RECORD_DATA && (header[3] << 8 | header[4]) <= HIDDEN_ALERT);
}

/* What is to be read there says that the connection ends, and not more. */
static bool
begins_with_alert(int fd)
{
	unsigned char header[RECORD_HEADER];

	return recv(fd, header, sizeof(header), MSG_PEEK | MSG_DONTWAIT) == sizeof(header) &&
		is_alert(header);
}

bool
http_unasked_is_end(int fd)
{
	unsigned char bytes[LOOKED_THROUGH];
	ssize_t		n = recv(fd, bytes, sizeof(bytes), MSG_PEEK | MSG_DONTWAIT);

	for (ssize_t at = 0; at + RECORD_HEADER <= n;
		 at += RECORD_HEADER + (bytes[at + 3] << 8 | bytes[at + 4]))
	{
		if (is_alert(bytes + at))
			return true;
	}
	return false;
}

bool
http_unasked_is_much(int fd)
{
	unsigned char bytes[LOOKED_THROUGH];

	return recv(fd, bytes, sizeof(bytes), MSG_PEEK | MSG_DONTWAIT) == sizeof(bytes);
}

void
http_unasked_heard(Connection *connection, int fd)
{
	if ((connection->tls != NULL && SSL_has_pending(connection->tls)) ||
		(http_socket_state(fd) == SOCKET_SPOKE && !(connection->pool->tls && begins_with_alert(fd))))
		note(connection);
}

void *
http_unasked_tls(const Transfer *t)
{
	struct curl_tlssessioninfo *session = NULL;

	if (!t->pool->tls ||
		curl_easy_getinfo(t->easy, CURLINFO_TLS_SSL_PTR, &session) != CURLE_OK ||
		session == NULL || session->backend != CURLSSLBACKEND_OPENSSL)
		return NULL;
	return session->internals;
}

/* Does anybody wait for an answer on it, who has none yet? */
static bool
is_waited_for(const Connection *connection)
{
	if (connection->multiplexed)
		return connection->ntransfers > 0;
	return connection->users != NULL && !connection->users->head_done;
}

/* Something failed to be written, and what the other side said before is not all read. */
static bool
may_be_answered(const Connection *connection)
{
	return (errno == EPIPE || errno == ECONNRESET) && !connection->all_read &&
		is_waited_for(connection) && connection->tls != NULL &&
		!(SSL_get_shutdown(connection->tls) & SSL_SENT_SHUTDOWN);
}

/*
 * To libcurl, a request that cannot be sent is at its end.  The other side may
 * have answered before it reset the connection, so as long as there may be an
 * answer to read, let libcurl wait until it can write: it reads meanwhile.  Over
 * HTTP/2 it has more to say than requests, and some versions cannot wait with
 * that, so it has said it: nobody is there to hear it.
 */
static long
on_tls_io(BIO *bio, int operation, const char *data, size_t len, int argi, long argl,
		  int result, size_t *processed)
{
	Connection *connection;

	(void) data;
	(void) argi;
	(void) argl;
	if (result > 0 || BIO_should_retry(bio))
		return result;
	connection = http_socket_owner((int) (intptr_t) BIO_get_callback_arg(bio));
	if (connection == NULL)
		return result;
	if (operation == (BIO_CB_READ | BIO_CB_RETURN))
		connection->all_read = true;
	else if (operation == (BIO_CB_WRITE | BIO_CB_RETURN) && may_be_answered(connection))
	{
		if (connection->multiplexed)
		{
			*processed = len;
			return 1;
		}
		BIO_set_retry_write(bio);
	}
	return result;
}

void
http_unasked_keep_listening(Connection *connection)
{
	BIO		   *bio = connection->tls != NULL ? SSL_get_wbio(connection->tls) : NULL;

	if (bio == NULL)
		return;
	connection->all_read = false;

	/* what follows an answer stays in the socket, where it can be looked at */
	SSL_set_read_ahead(connection->tls, 0);

	/* libcurl may keep it for longer than we keep the connection */
	BIO_set_callback_arg(bio, (char *) (intptr_t) connection->tls_socket);
	BIO_set_callback_ex(bio, on_tls_io);
}

static bool
looks_closely(const Pool *pool)
{
	return pool->unasked || pool->probation < PROBATION;
}

/* It has a kept connection, and libcurl has not come to it yet. */
static bool
is_to_go_out(const Transfer *t)
{
	return t->in_multi && !t->connected && !t->opened && t->connection->known &&
		!t->connection->multiplexed && t->connection->nsockets == 1;
}

/* At this one's connection, and those of the requests that libcurl takes up after it. */
static void
look_ahead(const Transfer *t)
{
	Connection *connections[LOOKED_AT_ONCE];
	struct pollfd sockets[LOOKED_AT_ONCE];
	int			n = 0;

	for (; t != NULL && n < LOOKED_AT_ONCE; t = t->next)
	{
		if (!is_to_go_out(t))
			continue;
		connections[n] = t->connection;
		sockets[n].fd = t->connection->sockets[0];
		sockets[n++].events = POLLIN;
	}
	if (poll(sockets, n, 0) < 0)
		n = 0;
	for (int i = 0; i < n; i++)
		connections[i]->quiet_us = sockets[i].revents == 0 ? poller_clock() : 0;
}

/* Is anything to be read on it, here or in OpenSSL's buffers? */
static bool
has_spoken(const Transfer *t)
{
	const Connection *connection = t->connection;
	SSL		   *tls = http_unasked_tls(t);

	if (tls != NULL && SSL_has_pending(tls))
		return true;
	if (!looks_closely(t->pool) && connection->nsockets == 1 &&
		t->connected_us - connection->unused_since_us < IN_FLOW_US)
	{
		if (t->connected_us - connection->quiet_us >= LOOKED_US)
			look_ahead(t);
		if (t->connected_us - connection->quiet_us < LOOKED_US)
			return false;
	}
	return http_socket_state(t->fd) != SOCKET_QUIET;
}

/* Some versions of libcurl read the end of TLS there as if it were nothing. */
static bool
is_over(const Transfer *t)
{
	SSL		   *tls = http_unasked_tls(t);

	return tls != NULL && (SSL_get_shutdown(tls) & SSL_RECEIVED_SHUTDOWN);
}

bool
http_unasked_on_kept(Transfer *t)
{
	if (t->connection->multiplexed)
		return is_over(t);
	if (!has_spoken(t))
	{
		if (t->pool->probation < PROBATION)
			t->pool->probation++;
		return false;
	}
	http_unasked_heard(t->connection, t->fd);
	return true;
}

/*
 * What is there to be read on a new connection was said before the request; but
 * TLS 1.3, to the receiver or to a proxy, hands out tickets then.
 */
bool
http_unasked_on_new(const Transfer *t)
{
	SSL		   *tls = http_unasked_tls(t);

	if (t->pool->tls)
		return tls != NULL && SSL_version(tls) < TLS1_3_VERSION && !t->connection->multiplexed &&
			(SSL_has_pending(tls) ||
			 (http_socket_state(t->fd) == SOCKET_SPOKE && !begins_with_alert(t->fd)));
	if (t->proxied && ascii_begin_same(t->pool->proxy, "https:", 6))
		return false;
	return http_socket_state(t->fd) == SOCKET_SPOKE;
}

/*
 * Not one byte of the request was acknowledged as the answer came: that was
 * written before the request arrived.
 */
bool
http_unasked_crossed(Transfer *t)
{
	Connection *connection = t->connection;
	long		request_size = 0;
	curl_off_t	uploaded = 0;

	if (connection->multiplexed)
		return false;
	if (!looks_closely(t->pool) && t->connected && t->overheard == 0 &&
		poller_clock() - t->connected_us > 2 * connection->round_trip_us + CROSSING_US)
		return false;
	curl_easy_getinfo(t->easy, CURLINFO_REQUEST_SIZE, &request_size);
	curl_easy_getinfo(t->easy, CURLINFO_SIZE_UPLOAD_T, &uploaded);
	if (request_size <= 0 || http_socket_unacknowledged(http_socket_used(t)) <
		(uploaded > request_size ? uploaded : request_size))
		return false;
	note(connection);
	return true;
}
