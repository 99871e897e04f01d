/*-------------------------------------------------------------------------
 *
 * http_dns.c
 *		The HTTP room, the name servers: c-ares, as /etc/resolv.conf says, on the
 *		room's own poller; and what we lack to ask them.
 *
 * There is one channel of c-ares, which is opened anew when that file says
 * something else.  All that was asked by the old one is over then, and whoever
 * still waits asks again.
 *
 * See transfer.h for the rules of the room.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */

/* The old way to give c-ares functions for its sockets: all versions have it. */
#define CARES_NO_DEPRECATED

#include <ares.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "http/http_curl.h"
#include "http/http_dns.h"
#include "http/http_files.h"
#include "http/http_socket.h"
#include "http/poller.h"
#include "http/transfer.h"

/* A name server has so long to answer, before the next one is asked; twice as
 * long in each further round. */
#define SERVER_TIMEOUT_MS	1000
#define ROUNDS				3
#define LAST_TIMEOUT_MS		(SERVER_TIMEOUT_MS << (ROUNDS - 1))

/*
 * From 1.31, c-ares begins with 250 ms where a server is quick as a rule, which
 * it is with what it has in its cache.
 */
#define ROUNDS_FROM_SHORT	6
#define C_ARES_1_31			0x011f00

/* While resolv.conf changes all the time, the name servers have so long. */
#define KEEP_US				(100 * 1000)

/* Sockets of c-ares: one or two for each name server. */
#define MAX_SOCKETS			256

static ares_channel channel = NULL;
static HttpFile resolv_conf = {.path = "/etc/resolv.conf"};
static int	nasked = 0;			/* look-ups that have not ended */

static int	sockets[MAX_SOCKETS];
static int	nsockets = 0;

static const char *lack = NULL;
static int64_t lacked_us = -1;	/* when that was last so */

/* ---------------------------------------------------------------------
 * What we lack
 * ---------------------------------------------------------------------
 */

/* c-ares says of all of it that no name server could be contacted. */
static void
note(const char *what)
{
	lack = what;
	lacked_us = poller_clock();
}

bool
http_dns_note_lack(int error)
{
	if (error == EMFILE || error == ENFILE)
		note("too many open files");
	else if (error == ENOMEM || error == ENOBUFS)
		note(strerror(error));
	else
		return false;
	return true;
}

const char *
http_dns_lack_since(int64_t since_us)
{
	return lacked_us >= since_us ? lack : NULL;
}

/* ---------------------------------------------------------------------
 * Sockets
 * ---------------------------------------------------------------------
 */

static ares_socket_t
open_socket(int family, int type, int protocol, void *nobody)
{
	int			fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
	int			on = 1;

	(void) nobody;
	if (fd < 0)
	{
		(void) http_dns_note_lack(errno);
		return ARES_SOCKET_BAD;
	}

	/*
	 * It may have the number of one that libcurl has closed without a word, of
	 * which the poller still has another idea.
	 */
	http_socket_is_others(fd);
	if (type == SOCK_STREAM)
		(void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return fd;
}

static int
close_socket(ares_socket_t fd, void *nobody)
{
	(void) nobody;
	return close(fd);
}

bool
http_dns_is_reachable(const struct sockaddr *address, socklen_t len)
{
	int			fd = socket(address->sa_family, SOCK_DGRAM, 0);
	bool		reached;

	if (fd < 0)
		return errno != EAFNOSUPPORT;	/* that we lack one now says nothing */
	reached = connect(fd, address, len) == 0;
	close(fd);
	return reached;
}

/*
 * EADDRNOTAVAIL over IPv6 may say that we have no address to go there from,
 * which is no passing lack of ours.
 */
static int
connect_socket(ares_socket_t fd, const struct sockaddr *address, ares_socklen_t len,
			   void *nobody)
{
	int			rc = connect(fd, address, len);
	int			error = errno;

	(void) nobody;
	if (rc == 0)
		return rc;
	if (error == EAGAIN ||
		(error == EADDRNOTAVAIL && (address->sa_family == AF_INET ||
									http_dns_is_reachable(address, len))))
		note("no local port is free");
	else
		(void) http_dns_note_lack(error);
	errno = error;
	return rc;
}

static ares_ssize_t
receive(ares_socket_t fd, void *bytes, size_t len, int flags, struct sockaddr *from,
		ares_socklen_t *from_len, void *nobody)
{
	(void) nobody;
	return recvfrom(fd, bytes, len, flags, from, from_len);
}

/* c-ares gives up a name server whose datagram finds no room. */
static ares_ssize_t
send_all(ares_socket_t fd, const struct iovec *parts, int nparts, void *nobody)
{
	struct msghdr message = {.msg_iov = (struct iovec *) parts, .msg_iovlen = nparts};
	ssize_t		sent = sendmsg(fd, &message, MSG_NOSIGNAL);
	int			error = errno;
	int			type = SOCK_STREAM;
	socklen_t	len = sizeof(type);

	(void) nobody;
	if (sent >= 0)
		return sent;
	if (error == EAGAIN || error == EWOULDBLOCK)
	{
		(void) getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len);
		if (type == SOCK_DGRAM)
			(void) http_dns_note_lack(ENOBUFS);
	}
	else
		(void) http_dns_note_lack(error);
	errno = error;
	return sent;
}

static const struct ares_socket_functions functions = {
	open_socket, close_socket, connect_socket, receive, send_all
};

static void
on_socket(void *arg, ares_socket_t fd, int readable, int writable)
{
	int			i;

	(void) arg;
	for (i = 0; i < nsockets && sockets[i] != fd; i++)
		;
	if (readable || writable)
	{
		if (i == MAX_SOCKETS)
			return;				/* what nobody would read is not waited for */
		if (i == nsockets)
			sockets[nsockets++] = fd;
	}
	else if (i < nsockets)
		sockets[i] = sockets[--nsockets];
	poller_want(fd, (readable ? POLLER_IN : 0) | (writable ? POLLER_OUT : 0));
}

/* ---------------------------------------------------------------------
 * The channel
 * ---------------------------------------------------------------------
 */

static bool
open_channel(ares_channel *fresh)
{
	static char servers_only[] = "b";
	struct ares_options options;
	int			mask = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB |
		ARES_OPT_LOOKUPS;
	int			version = 0;

	memset(&options, 0, sizeof(options));
	options.timeout = SERVER_TIMEOUT_MS;
	(void) ares_version(&version);
	options.tries = version >= C_ARES_1_31 ? ROUNDS_FROM_SHORT : ROUNDS;
	options.sock_state_cb = on_socket;
	options.lookups = servers_only;
#ifdef ARES_OPT_QUERY_CACHE
	mask |= ARES_OPT_QUERY_CACHE;
	options.qcache_max_ttl = 0; /* we have a memory of our own */
#endif
#ifdef ARES_OPT_MAXTIMEOUTMS
	mask |= ARES_OPT_MAXTIMEOUTMS;
	options.maxtimeout = LAST_TIMEOUT_MS;
#endif
	if (ares_init_options(fresh, &options, mask) != ARES_SUCCESS)
		return false;
	ares_set_socket_functions(*fresh, &functions, NULL);
	return true;
}

/*
 * Without a resolv.conf there is a name server on this machine; but c-ares takes
 * one that it cannot open at the moment for none.
 */
HttpFileState
http_dns_refresh(int64_t now_us)
{
	char	   *text;
	size_t		size;
	ares_channel fresh;
	HttpFileState state = http_file_look(&resolv_conf, now_us, &text, &size);

	if (state == HTTP_FILE_UNREADABLE)
	{
		if (channel != NULL)
			return HTTP_FILE_SAME;
		if (!http_dns_note_lack(errno))
			note("/etc/resolv.conf cannot be read");
		return state;
	}
	if (state != HTTP_FILE_CHANGED)
		return state;
	free(text);
	if (!open_channel(&fresh))
	{
		resolv_conf.known = false;
		if (channel != NULL)
			return HTTP_FILE_SAME;
		note(http_no_memory);
		return HTTP_FILE_UNREADABLE;
	}
	resolv_conf.again_us = poller_clock() + KEEP_US;
	if (!http_file_is_same(&resolv_conf))
		resolv_conf.known = false;	/* c-ares has read another one */
	if (channel != NULL)
		ares_destroy(channel);
	channel = fresh;
	return state;
}

int64_t
http_dns_again(void)
{
	return resolv_conf.again_us;
}

bool
http_dns_is_open(void)
{
	return channel != NULL;
}

void
http_dns_ask(const char *host, int family, ares_addrinfo_callback callback, void *arg)
{
	struct ares_addrinfo_hints hints;

	memset(&hints, 0, sizeof(hints));
	hints.ai_family = family;
	hints.ai_socktype = SOCK_STREAM;
	hints.ai_flags = ARES_AI_NOSORT;
	nasked++;
	ares_getaddrinfo(channel, host, NULL, &hints, callback, arg);
}

void
http_dns_ended(void)
{
	nasked--;
}

bool
http_dns_event(int fd, int events)
{
	for (int i = 0; i < nsockets; i++)
	{
		if (sockets[i] != fd)
			continue;
		ares_process_fd(channel, (events & POLLER_IN) ? fd : ARES_SOCKET_BAD,
						(events & POLLER_OUT) ? fd : ARES_SOCKET_BAD);
		return true;
	}
	return false;
}

void
http_dns_run(void)
{
	if (nasked > 0)
		ares_process_fd(channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

/* When c-ares wants to ask again, or wants to give up. */
int64_t
http_dns_next(void)
{
	struct timeval wait;

	if (nasked == 0 || ares_timeout(channel, NULL, &wait) == NULL)
		return -1;
	return poller_clock() + (int64_t) wait.tv_sec * 1000000 + wait.tv_usec;
}
