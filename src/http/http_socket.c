/*-------------------------------------------------------------------------
 *
 * http_socket.c
 *		The HTTP room, its descriptors: how many there may be, whose they are,
 *		and which addresses they may go to.
 *
 * See transfer.h for the rules of the room.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef __linux__
#include <linux/sockios.h>
#include <linux/tcp.h>
#endif

#include "http/http_curl.h"
#include "http/http_linger.h"
#include "http/http_socket.h"
#include "http/http_watch.h"
#include "http/poller.h"
#include "http/reserve.h"
#include "http/transfer.h"

/* Of tcpi_state; the kernel's name for it is in no header that goes along. */
#define STATE_CLOSED		7

/*
 * So much of what came lies in the kernel, of which libcurl reads all at once: less than
 * what makes it come back for the rest by itself, whether it is that connection's turn or
 * not.  Nobody answers with more than that, as a rule.
 */
#define MOST_UNREAD		(128 * 1024)
#define MOST_OF_PROXY	(16 * 1024) /* of which it reads one byte after the other, at first */

/*
 * The last descriptors are nobody's but the server's: it is in more trouble if
 * it cannot open its own files than an event that has to wait.
 */
#define SPARE_DESCRIPTORS	32

/*
 * Sockets beside one for each request: for second addresses that are tried
 * before the first has failed, and for the resolver.
 */
#define EXTRA_SOCKETS(n)	((n) / 4 + 16)

/* Of so many sockets, those that second addresses may not take. */
#define FIRST_SOCKETS(n)	((n) / 5 * 4)

static HttpGuard guard = NULL;
static int	most_sockets = INT_MAX;
static int	nsockets = 0;

typedef struct Owner
{
	Connection *connection;
	ino_t		inode;			/* of the socket; 0: could not be told */
	int64_t		heard_us;		/* when something came on it last; 0: never */
} Owner;

/* Whose each socket is, by its number. */
static Owner *owners = NULL;
static int	owners_size = 0;

void
http_socket_init(HttpGuard the_guard)
{
	guard = the_guard;
}

/* ---------------------------------------------------------------------
 * How many
 * ---------------------------------------------------------------------
 */

static int
open_files_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > INT_MAX)
		return INT_MAX;
	return (int) limit.rlim_cur;
}

/* As far as an ordinary process may. */
static void
raise_open_files_limit(int wanted)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= (rlim_t) wanted)
		return;
	limit.rlim_cur = limit.rlim_max < (rlim_t) wanted ? limit.rlim_max : (rlim_t) wanted;
	(void) setrlimit(RLIMIT_NOFILE, &limit);
}

int
http_socket_room(int max_connections, int kept_descriptors)
{
	int			wanted = max_connections + EXTRA_SOCKETS(max_connections);
	int			limit;
	int			room;

	raise_open_files_limit(wanted + kept_descriptors);
	limit = open_files_limit();
	most_sockets = limit - kept_descriptors;
	if (most_sockets < limit / 4)
		most_sockets = limit / 4;	/* few are better than none */
	if (most_sockets > wanted)
		most_sockets = wanted;

	/* the inverse of wanted */
	room = most_sockets == wanted ? max_connections : (most_sockets - 16) / 5 * 4;
	return room > 1 ? room : 1;
}

int
http_sockets_open(void)
{
	return nsockets;
}

int
http_sockets_most(void)
{
	return most_sockets;
}

/* ---------------------------------------------------------------------
 * Whose
 * ---------------------------------------------------------------------
 */

Connection *
http_socket_owner(int fd)
{
	return fd >= 0 && fd < owners_size ? owners[fd].connection : NULL;
}

int
http_socket_used(const Transfer *t)
{
	const Connection *connection = t->connection;

	if (t->early_fd >= 0)
		return t->early_fd;
	if (connection->nsockets == 0)
		return -1;
	if (t->fd >= 0)
		return http_socket_owner(t->fd) == connection ? t->fd : -1;
	return connection->sockets[0];
}

static void
disown(int fd)
{
	Connection *connection = http_socket_owner(fd);

	if (connection == NULL)
		return;
	http_watch_socket(fd, false);
	owners[fd].connection = NULL;
	nsockets--;
	if (connection->tls_socket == fd)
		connection->tls = NULL;
	for (int i = 0; i < connection->nsockets; i++)
	{
		if (connection->sockets[i] == fd)
			connection->sockets[i--] = connection->sockets[--connection->nsockets];
	}
}

/* The inode of what the descriptor stands for; 0: it is no socket. */
static ino_t
socket_inode(int fd)
{
	struct stat status;

	return fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode) ? status.st_ino : 0;
}

/*
 * The descriptor may still be another connection's here: libcurl 7.88 tells
 * nobody that it has closed a socket that was never connected.
 */
static bool
own(Connection *connection, int fd)
{
	disown(fd);
	if (fd >= owners_size)
	{
		int			size = fd < 64 ? 128 : fd * 2;
		Owner	   *more = reserve_realloc(owners, size * sizeof(Owner));

		if (more == NULL)
			return false;
		memset(more + owners_size, 0, (size - owners_size) * sizeof(Owner));
		owners = more;
		owners_size = size;
	}
	owners[fd].connection = connection;
	owners[fd].inode = socket_inode(fd);
	owners[fd].heard_us = 0;
	http_watch_socket(fd, true);
	connection->nopened++;
	connection->sockets[connection->nsockets++] = fd;
	nsockets++;
	return true;
}

void
http_sockets_disown_closed(Connection *connection)
{
	for (int i = connection->nsockets - 1; i >= 0; i--)
	{
		int			fd = connection->sockets[i];
		ino_t		inode = socket_inode(fd);

		if (inode == 0 || inode != owners[fd].inode)
			disown(fd);
	}
}

void
http_socket_is_others(int fd)
{
	disown(fd);
	poller_socket_closed(fd);
}

void
http_sockets_disown(Connection *connection)
{
	while (connection->nsockets > 0)
		disown(connection->sockets[0]);
}

bool
http_sockets_reach(const Connection *connection)
{
	for (int i = 0; i < connection->nsockets; i++)
	{
		struct sockaddr_storage peer;
		socklen_t	len = sizeof(peer);

		if (getpeername(connection->sockets[i], (struct sockaddr *) &peer, &len) == 0)
			return true;
	}
	return false;
}

/* ---------------------------------------------------------------------
 * libcurl's callbacks
 * ---------------------------------------------------------------------
 */

/* A socket, or CURL_SOCKET_BAD with *lacking if it is our fault. */
static int
open_socket(const struct curl_sockaddr *address, int unread, int *lacking)
{
	int			limit = open_files_limit();
	int			fd;

	if (nsockets >= most_sockets)
	{
		*lacking = EMFILE;
		return CURL_SOCKET_BAD;
	}
	fd = socket(address->family, address->socktype, address->protocol);
	if (fd < 0)
	{
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
			*lacking = errno;
		return CURL_SOCKET_BAD;
	}

	/* descriptors are given out from below, so its number tells */
	if (fd >= limit - SPARE_DESCRIPTORS)
	{
		close(fd);
		*lacking = EMFILE;
		return CURL_SOCKET_BAD;
	}
	(void) fcntl(fd, F_SETFD, FD_CLOEXEC);
	(void) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &unread, sizeof(unread));
	return fd;
}

/* libcurl would: whether it has had its answer already or not. */
static void
is_sent_again(Transfer *t)
{
	if (t->head_done)
		t->enough = true;
	else
		http_upwards.not_taken(t);
}

/* The guard looks at what is really connected to, whatever name led there. */
curl_socket_t
http_on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	Transfer   *t = arg;
	Connection *connection = t->connection;
	int			fd;

	(void) purpose;
	if (t->connected)
	{
		is_sent_again(t);
		return CURL_SOCKET_BAD;
	}
	http_socket_drop_early(t);	/* libcurl sends it again on its own */
	if (guard != NULL && !guard(&address->addr, t->why, sizeof(t->why)))
	{
		t->barred = true;
		return CURL_SOCKET_BAD;
	}
	if (connection == NULL)
		return CURL_SOCKET_BAD; /* not while it is one of ours */
	if (connection->nsockets >= HTTP_MAX_SOCKETS)
	{
		/* libcurl wants one for each request of a connection that has ended */
		if (!t->opened && connection->ntransfers > 1)
			http_upwards.not_taken(t);
		return CURL_SOCKET_BAD;
	}
	if (connection->nsockets > 0 && nsockets >= FIRST_SOCKETS(most_sockets))
	{
		t->lacking = EMFILE;
		return CURL_SOCKET_BAD;
	}

	t->address = *address;
	fd = open_socket(address, t->proxied ? MOST_OF_PROXY : MOST_UNREAD, &t->lacking);
	if (fd < 0)
		return CURL_SOCKET_BAD;
	if (!own(connection, fd))
	{
		close(fd);
		t->lacking = ENOMEM;
		return CURL_SOCKET_BAD;
	}
	http_upwards.opened(connection);
	if (t->pool->choice)
		http_upwards.trying();
	poller_socket_opened(fd);
	t->opened = true;
	return fd;
}

void
http_socket_judge_flood(Transfer *t)
{
	const Connection *connection = t->connection;

	for (int i = 0; connection != NULL && i < connection->nsockets; i++)
		t->flooded |= http_watch_has_shut(connection->sockets[i]);
	if (t->flooded && !t->head_done && t->fault == NULL)
		t->fault = http_sends_endlessly;
}

/* Called for connections that outlive their request: arg is nobody's. */
int
http_on_close_socket(void *arg, curl_socket_t fd)
{
	Connection *connection = http_socket_owner(fd);
	Transfer   *t = connection != NULL ? connection->users : NULL;

	(void) arg;
	if (http_watch_has_shut(fd))
	{
		for (Transfer *user = t; user != NULL; user = user->next_user)
			user->flooded = true;
	}
	if (t != NULL && t->fd == fd && t->connected && t->head_bytes == 0 && !t->pool->tls)
		http_socket_keep_early(t);	/* see http_answer_overhear() */
	if (t != NULL && t->early_fd >= 0)
		poller_socket_ended(fd);	/* the kernel does not forget it with this */
	if (connection != NULL && connection->unasked)
		http_linger(fd, connection->unused_since_us);
	disown(fd);
	poller_socket_closed(fd);
	return close(fd);
}

#if HTTP_TELLS_CONNECTED

/*
 * A connection is about to be used, perhaps one that was opened before the
 * guard's lists were changed: ask again.  That is then not used any more, and all
 * addresses are asked about for another one.
 */
static bool
is_barred(Transfer *t, const char *remote_ip)
{
	union
	{
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	}			address;

	memset(&address, 0, sizeof(address));
	if (inet_pton(AF_INET, remote_ip, &address.v4.sin_addr) == 1)
		address.v4.sin_family = AF_INET;
	else if (inet_pton(AF_INET6, remote_ip, &address.v6.sin6_addr) == 1)
		address.v6.sin6_family = AF_INET6;
	else
		return false;			/* its opening was looked at */
	return guard != NULL && !guard(&address.any, t->why, sizeof(t->why));
}

int
http_on_connected(void *arg, char *remote_ip, char *local_ip, int remote_port, int local_port)
{
	Transfer   *t = arg;

	(void) local_ip;
	(void) remote_port;
	if (is_barred(t, remote_ip))
	{
		t->again = !t->opened;
		t->barred = t->opened;
		t->opened = false;
		t->connection->ended = true;
		return CURL_PREREQFUNC_ABORT;
	}
	if (t->connected)
	{
		is_sent_again(t);
		return CURL_PREREQFUNC_ABORT;
	}
	if (t->again || !http_upwards.connected(t, local_port))
		return CURL_PREREQFUNC_ABORT;
	t->connected = true;
	return CURL_PREREQFUNC_OK;
}

#endif

/* ---------------------------------------------------------------------
 * What they hold
 * ---------------------------------------------------------------------
 */

void
http_socket_was_heard(int fd)
{
	if (http_socket_owner(fd) != NULL)
		owners[fd].heard_us = poller_waited_at();
}

bool
http_socket_is_silent(int fd, int64_t since_us)
{
	return http_socket_owner(fd) != NULL && owners[fd].heard_us < since_us;
}

SocketState
http_socket_state(int fd)
{
	char		byte;
	ssize_t		got = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	if (got > 0)
		return SOCKET_SPOKE;
	if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
		return SOCKET_QUIET;
	return SOCKET_GONE;
}

/* The other side has reset it, with what was under way and is to be read. */
static bool
is_reset(int fd)
{
#if defined(__linux__) && defined(TCP_INFO)
	struct tcp_info info;
	socklen_t	len = sizeof(info);

	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 &&
		info.tcpi_state == STATE_CLOSED;
#else
	(void) fd;
	return false;
#endif
}

void
http_socket_keep_early(Transfer *t)
{
	int			fd = http_socket_used(t);

	if (fd >= 0 && t->early_fd < 0)
		t->early_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

void
http_socket_drop_early(Transfer *t)
{
	if (t->early_fd >= 0)
		close(t->early_fd);
	t->early_fd = -1;
}

int
http_socket_unacknowledged(int fd)
{
#if defined(SIOCOUTQ)
	int			bytes;

	if (ioctl(fd, SIOCOUTQ, &bytes) == 0)
		return bytes;
#else
	(void) fd;
#endif
	return -1;
}

Arrival
http_socket_arrival(const Transfer *t)
{
	int			fd = http_socket_used(t);

	if (fd < 0)
		return ARRIVES_NEVER;
	if (http_socket_unacknowledged(fd) <= 0)
		return ARRIVED;
	if (!is_reset(fd))
		return ARRIVING;

	/* what was acknowledged before a reset is still known, and may be more by now */
	return http_socket_unacknowledged(fd) > 0 ? ARRIVES_NEVER : ARRIVED;
}

int64_t
http_socket_sent(int fd)
{
#if defined(__linux__) && defined(TCP_INFO)
	struct tcp_info info;
	socklen_t	len = sizeof(info);
	int			unacknowledged = http_socket_unacknowledged(fd);

	memset(&info, 0, sizeof(info));
	if (unacknowledged >= 0 && getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0)
		return (int64_t) info.tcpi_bytes_acked + unacknowledged;
#else
	(void) fd;
#endif
	return -1;
}

int64_t
http_socket_round_trip(int fd)
{
#if defined(__linux__) && defined(TCP_INFO)
	struct tcp_info info;
	socklen_t	len = sizeof(info);

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0)
		return info.tcpi_rtt;
#else
	(void) fd;
#endif
	return 1000 * 1000;
}

/* A socket that has been closed by the other side; -1: none to be had. */
static int
dead_socket(void)
{
	static int	dead = -1;
	int			pair[2];

	if (dead < 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0)
	{
		close(pair[1]);
		dead = pair[0];
		(void) fcntl(dead, F_SETFD, FD_CLOEXEC);
	}
	return dead;
}

/*
 * Only libcurl may close what is libcurl's, and does so when it needs another
 * connection.  Until then, a dead socket stands behind the number.
 */
void
http_socket_shut(int fd)
{
	int			dead = dead_socket();

	if (owners[fd].connection->unasked)
		http_linger(fd, owners[fd].connection->unused_since_us);
	poller_socket_ended(fd);
	if (dead >= 0 && dup2(dead, fd) == fd)
	{
		(void) fcntl(fd, F_SETFD, FD_CLOEXEC);
		owners[fd].inode = socket_inode(fd);
	}
	else
		(void) shutdown(fd, SHUT_RDWR);
}
