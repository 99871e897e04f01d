/*-------------------------------------------------------------------------
 *
 * receiver.c
 *		A receiver that knows to the nanosecond when a request arrived.
 *
 *	receiver LOG [MS]
 *
 * Listens on a port of 127.0.0.1 that it prints, answers every request with
 * 200, after so many milliseconds, as one that is far away, and writes the messageId of its body and when the last byte of the
 * request was read (nanoseconds of the real time clock) to LOG.  A request for
 * a path that starts with /hang is never answered, and not written down.
 * /_count tells how many requests were written down, which are then in LOG.
 *
 * One thread, epoll, HTTP/1.1 with keep-alive and Content-Length: what the
 * benchmarks need and no more.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BUFFER_SIZE		(64 * 1024)
#define MAX_EVENTS		64

typedef struct Connection
{
	int			fd;				/* -1: closed */
	size_t		used;
	int			nowed;			/* answers whose time has not come */
	char		buffer[BUFFER_SIZE];
} Connection;

/* Answers that are to come, in the order of their time. */
typedef struct Owed
{
	Connection *connection;
	int64_t		at_ns;
	struct Owed *next;
} Owed;

static FILE *log_file;
static long count = 0;
static int64_t delay_ns = 0;
static Owed *first_owed = NULL;
static Owed **last_owed = &first_owed;

static void
fail(const char *what)
{
	perror(what);
	exit(1);
}

static int64_t
now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t) now.tv_sec * 1000000000 + now.tv_nsec;
}

static void
answer(Connection *c, const char *body)
{
	char		text[256];
	int			len = snprintf(text, sizeof(text),
							   "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s",
							   strlen(body), body);

	/* so short that it always fits into the socket's buffer */
	if (send(c->fd, text, len, MSG_NOSIGNAL) != len)
		shutdown(c->fd, SHUT_RDWR);
}

static void
answer_later(Connection *c)
{
	Owed	   *owed = malloc(sizeof(Owed));

	if (owed == NULL)
		fail("malloc");
	*owed = (Owed) {c, now_ns() + delay_ns, NULL};
	c->nowed++;
	*last_owed = owed;
	last_owed = &owed->next;
}

static void
drop(Connection *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	if (c->nowed == 0)
		free(c);
}

/* Those whose time has come; returns the milliseconds until the next one, -1: there is none. */
static int
answer_owed(void)
{
	while (first_owed != NULL)
	{
		Owed	   *owed = first_owed;
		Connection *c = owed->connection;
		int64_t		left_ns = owed->at_ns - now_ns();

		if (left_ns > 0)
			return (int) ((left_ns + 999999) / 1000000);
		first_owed = owed->next;
		if (first_owed == NULL)
			last_owed = &first_owed;
		free(owed);
		c->nowed--;
		if (c->fd >= 0)
			answer(c, "");
		else
			drop(c);
	}
	return -1;
}

static void
write_down(const char *body, size_t len)
{
	static const char name[] = "\"messageId\":";
	const char *start = memmem(body, len, name, strlen(name));
	const char *end = body + len;
	const char *close = NULL;

	if (start != NULL)
	{
		start += strlen(name);
		start = memchr(start, '"', end - start);
	}
	if (start != NULL)
	{
		start++;
		close = memchr(start, '"', end - start);
	}
	if (close != NULL)
		fprintf(log_file, "%.*s\t%lld\n", (int) (close - start), start,
				(long long) now_ns());
	count++;
}

static size_t
content_length(const char *head, size_t len)
{
	static const char name[] = "\r\ncontent-length:";

	for (size_t i = 0; i + strlen(name) < len; i++)
	{
		if (head[i] == '\r' && strncasecmp(head + i, name, strlen(name)) == 0)
			return strtoul(head + i + strlen(name), NULL, 10);
	}
	return 0;
}

/* All requests that are complete in the buffer; false: close the connection. */
static bool
take_requests(Connection *c)
{
	size_t		at = 0;

	for (;;)
	{
		char	   *request = c->buffer + at;
		char	   *end = memmem(request, c->used - at, "\r\n\r\n", 4);
		char	   *path;
		size_t		body;

		if (end == NULL)
			break;
		body = content_length(request, end + 2 - request);
		end += 4;
		if (body > BUFFER_SIZE)
			return false;
		if ((size_t) (c->buffer + c->used - end) < body)
			break;

		path = memchr(request, ' ', end - request);
		if (path == NULL)
			return false;
		path++;
		if (strncmp(path, "/_count ", 8) == 0)
		{
			char		number[32];

			fflush(log_file);
			snprintf(number, sizeof(number), "%ld", count);
			answer(c, number);
		}
		else if (strncmp(path, "/hang", 5) != 0)
		{
			write_down(end, body);
			if (delay_ns > 0)
				answer_later(c);
			else
				answer(c, "");
		}
		at = end + body - c->buffer;
	}
	memmove(c->buffer, c->buffer + at, c->used - at);
	c->used -= at;
	return c->used < BUFFER_SIZE;
}

static void
serve(Connection *c)
{
	ssize_t		got = recv(c->fd, c->buffer + c->used, BUFFER_SIZE - c->used, 0);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got > 0)
	{
		c->used += got;
		if (take_requests(c))
			return;
	}
	drop(c);
}

/* All that are waiting, or requests of others would keep them from it. */
static void
accept_all(int listener, int epoll)
{
	for (;;)
	{
		int			on = 1;
		int			fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
		Connection *c;
		struct epoll_event event = {.events = EPOLLIN};

		if (fd < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (fd < 0 && errno == ECONNABORTED)
			continue;
		if (fd < 0 || (c = malloc(sizeof(Connection))) == NULL)
			fail("accept");		/* a figure without these would be of no use */
		c->used = 0;
		c->nowed = 0;
		c->fd = fd;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		event.data.ptr = c;
		if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0)
			fail("epoll");
	}
}

int
main(int argc, char **argv)
{
	struct sockaddr_in address = {0};
	socklen_t	len = sizeof(address);
	int			listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	int			epoll = epoll_create1(0);
	struct epoll_event event = {0};
	struct rlimit files;

	/* a connection is a file */
	if (getrlimit(RLIMIT_NOFILE, &files) == 0)
	{
		files.rlim_cur = files.rlim_max;
		(void) setrlimit(RLIMIT_NOFILE, &files);
	}
	if (argc < 2 || argc > 3 || (log_file = fopen(argv[1], "w")) == NULL)
		fail("receiver LOG [MS]");
	if (argc == 3)
		delay_ns = atol(argv[2]) * 1000000;
	address.sin_family = AF_INET;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (listener < 0 || epoll < 0 ||
		bind(listener, (struct sockaddr *) &address, len) != 0 ||
		listen(listener, 4096) != 0 ||
		getsockname(listener, (struct sockaddr *) &address, &len) != 0)
		fail("cannot listen");
	printf("%d\n", ntohs(address.sin_port));
	fflush(stdout);

	event.events = EPOLLIN;		/* data.ptr NULL: the listener */
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) != 0)
		fail("epoll");
	for (;;)
	{
		struct epoll_event events[MAX_EVENTS];
		int			n = epoll_wait(epoll, events, MAX_EVENTS, answer_owed());

		for (int i = 0; i < n; i++)
		{
			Connection *c = events[i].data.ptr;

			if (c != NULL)
				serve(c);
			else
				accept_all(listener, epoll);
		}
	}
}
