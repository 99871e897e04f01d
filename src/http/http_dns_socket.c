/*-------------------------------------------------------------------------
 *
 * http_dns_socket.c
 *		The HTTP room, the name servers: the sockets of c-ares, what we lack for
 *		them, and what it is told of what comes by them.
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
#include <arpa/nameser.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "http/http_dns_answer.h"
#include "http/http_dns_socket.h"
#include "http/http_socket.h"
#include "http/poller.h"
#include "http/transfer.h"

static const char *lack = NULL;
static int64_t lacked_us = -1;	/* when that was last so */

static bool truncated = false;	/* the last datagram was, and is told otherwise */
static int	failure = ARES_SUCCESS; /* if nothing was done since it came */

/* ---------------------------------------------------------------------
 * What we lack
 * ---------------------------------------------------------------------
 */

/* c-ares says of all of it that no name server could be contacted. */
void
http_dns_note(const char *what)
{
	lack = what;
	lacked_us = poller_clock();
}

/* NULL: it is none. */
static const char *
name_of_lack(int error)
{
	if (error == EMFILE || error == ENFILE)
		return "too many open files";
	return error == ENOMEM || error == ENOBUFS ? strerror(error) : NULL;
}

bool
http_dns_note_lack(int error)
{
	const char *what = name_of_lack(error);

	if (what != NULL)
		http_dns_note(what);
	return what != NULL;
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
	failure = ARES_SUCCESS;
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
	bool		reached = fd >= 0 && connect(fd, address, len) == 0;
	int			error = errno;

	if (fd >= 0)
		close(fd);

	/* that we lack something now says nothing, nor that all ports of UDP are taken */
	return reached || error == EAGAIN || name_of_lack(error) != NULL;
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
		http_dns_note("no local port is free");
	else
		(void) http_dns_note_lack(error);
	errno = error;
	return rc;
}

int
http_dns_version(void)
{
	int			number = 0;

	(void) ares_version(&number);
	return number;
}

/*
 * A c-ares that must not ask by TCP is told that the question was not understood,
 * which ends that look-up, and no other.  What is longer than it may be counts as
 * truncated there, too.
 */
static ares_ssize_t
hide_truncation(unsigned char *answer, ares_ssize_t len)
{
	const unsigned char tc = 0x02;
	const unsigned char rcode = 0x0f;

	truncated = http_dns_version() < C_ARES_1_20 && len >= NS_HFIXEDSZ &&
		((answer[2] & tc) != 0 || len > NS_PACKETSZ);
	if (!truncated)
		return len;
	answer[2] &= ~tc;
	answer[3] = (answer[3] & ~rcode) | ns_r_formerr;
	return len > NS_PACKETSZ ? NS_PACKETSZ : len;
}

bool
http_dns_was_truncated(void)
{
	return truncated;
}

static int
failure_of(const unsigned char *answer)
{
	switch (answer[3] & 0x0f)
	{
		case ns_r_servfail:
			return ARES_ESERVFAIL;
		case ns_r_notimpl:
			return ARES_ENOTIMP;
		case ns_r_refused:
			return ARES_EREFUSED;
		default:
			return ARES_SUCCESS;
	}
}

int
http_dns_status(int status)
{
	return status == ARES_ECONNREFUSED && failure != ARES_SUCCESS &&
		http_dns_version() < C_ARES_1_20 ? failure : status;
}

/* Only what comes by UDP comes from somewhere. */
static ares_ssize_t
receive(ares_socket_t fd, void *bytes, size_t len, int flags, struct sockaddr *from,
		ares_socklen_t *from_len, void *nobody)
{
	ares_ssize_t got = recvfrom(fd, bytes, len, flags, from, from_len);

	(void) nobody;
	failure = ARES_SUCCESS;
	if (from == NULL || got <= 0)
		return got;
	got = (ares_ssize_t) http_dns_answer_came(fd, bytes, (size_t) got, len);
	if (got >= NS_HFIXEDSZ)
		failure = failure_of(bytes);
	return hide_truncation(bytes, got);
}

static bool
is_datagram(ares_socket_t fd)
{
	int			type = SOCK_STREAM;
	socklen_t	len = sizeof(type);

	(void) getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len);
	return type == SOCK_DGRAM;
}

/* c-ares gives up a name server whose datagram finds no room. */
static ares_ssize_t
send_all(ares_socket_t fd, const struct iovec *parts, int nparts, void *nobody)
{
	struct msghdr message = {.msg_iov = (struct iovec *) parts, .msg_iovlen = nparts};
	ssize_t		sent = sendmsg(fd, &message, MSG_NOSIGNAL);
	int			error = errno;

	(void) nobody;
	failure = ARES_SUCCESS;
	if (sent >= 0)
	{
		if (nparts == 1 && is_datagram(fd))
			http_dns_answer_asked(fd, parts[0].iov_base, parts[0].iov_len);
		return sent;
	}
	if (error == EAGAIN || error == EWOULDBLOCK)
	{
		if (is_datagram(fd))
			(void) http_dns_note_lack(ENOBUFS);
	}
	else
		(void) http_dns_note_lack(error);
	errno = error;
	return sent;
}

const struct ares_socket_functions http_dns_functions = {
	open_socket, close_socket, connect_socket, receive, send_all
};
