/*-------------------------------------------------------------------------
 *
 * http_socket.h
 *		Descriptors: how many there may be, whose they are, and how they are.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_HTTP_SOCKET_H
#define RSWEBHOOK_HTTP_SOCKET_H

#include "http/transfer.h"

/* See http_room(). */
extern int	http_socket_room(int max_connections, int kept_descriptors);

/* Sockets that are open, and how many there may be. */
extern int	http_sockets_open(void);
extern int	http_sockets_most(void);
extern void http_socket_init(HttpGuard guard);

/* libcurl's callbacks */
extern curl_socket_t http_on_open_socket(void *request, curlsocktype purpose,
										 struct curl_sockaddr *address);
extern int	http_on_close_socket(void *nobody, curl_socket_t fd);
#if HTTP_TELLS_CONNECTED
extern int	http_on_connected(void *request, char *remote_ip, char *local_ip,
							  int remote_port, int local_port);
#endif

/* Whose it is; NULL: nobody's that we know. */
extern Connection *http_socket_owner(int fd);

/* The one that a request went out on, or our own end of it; -1: it is closed. */
extern int	http_socket_used(const Transfer *t);

/* Is one of its sockets connected?  No TLS is asked for. */
extern bool http_sockets_reach(const Connection *connection);

/*
 * Forget those of its sockets that libcurl has closed without a word: their
 * numbers may be those of the server's own files by now.
 */
extern void http_sockets_disown_closed(Connection *connection);

/* Neither libcurl nor the poller knows it, whatever was said of its number. */
extern void http_socket_is_others(int fd);

/* Forget whose the connection's sockets are. */
extern void http_sockets_disown(Connection *connection);

/*
 * End the connection as the other side sees it; libcurl finds that out.  For a
 * socket that http_sockets_disown_closed() has just left.
 */
extern void http_socket_shut(int fd);

typedef enum SocketState
{
	SOCKET_QUIET,				/* nothing to be read */
	SOCKET_SPOKE,				/* bytes */
	SOCKET_GONE					/* closed by the other side, or broken */
} SocketState;

extern SocketState http_socket_state(int fd);

/* Something has come on it.  Has nothing come since then, whatever it may be? */
extern void http_socket_was_heard(int fd);
extern bool http_socket_is_silent(int fd, int64_t since_us);

/* Bytes that the other side has not acknowledged; -1: that cannot be known. */
extern int	http_socket_unacknowledged(int fd);

typedef enum Arrival
{
	ARRIVED,					/* the other side's system has all of it */
	ARRIVING,
	ARRIVES_NEVER				/* the connection has ended */
} Arrival;

/* Has all of the request arrived, as far as that can be known? */
extern Arrival http_socket_arrival(const Transfer *t);

/* Keep an eye on its socket, whatever libcurl does; and not any more. */
extern void http_socket_keep_early(Transfer *t);
extern void http_socket_drop_early(Transfer *t);

/* Bytes that were handed to it in all; -1: that cannot be known. */
extern int64_t http_socket_sent(int fd);

/* How long a byte takes there and back, in microseconds. */
extern int64_t http_socket_round_trip(int fd);

/* Where the other side has not stopped sending, before a head: that is the reason, and it is not asked again at once. */
extern void http_socket_judge_flood(Transfer *t);

#endif							/* RSWEBHOOK_HTTP_SOCKET_H */
