/*-------------------------------------------------------------------------
 *
 * receiver.c
 *		A receiver that knows to the nanosecond when a request arrived.
 *
 *	receiver LOG
 *
 * Listens on a port of 127.0.0.1 that it prints, answers every request with
 * 200, and writes the messageId of its body and when the last byte of the
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
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BUFFER_SIZE		(64 * 1024)
#define MAX_EVENTS		64

typedef struct Connection
{
	int			fd;
	size_t		used;
	char		buffer[BUFFER_SIZE];
} Connection;

static FILE *log_file;
static long count = 0;

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
	close(c->fd);
	free(c);
}

int
main(int argc, char **argv)
{
	struct sockaddr_in address = {0};
	socklen_t	len = sizeof(address);
	int			listener = socket(AF_INET, SOCK_STREAM, 0);
	int			epoll = epoll_create1(0);
	struct epoll_event event = {0};

	if (argc != 2 || (log_file = fopen(argv[1], "w")) == NULL)
		fail("receiver LOG");
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
		int			n = epoll_wait(epoll, events, MAX_EVENTS, -1);

		for (int i = 0; i < n; i++)
		{
			Connection *c = events[i].data.ptr;
			int			on = 1;

			if (c != NULL)
			{
				serve(c);
				continue;
			}
			c = malloc(sizeof(Connection));
			if (c == NULL)
				fail("malloc");
			c->used = 0;
			c->fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
			if (c->fd < 0)
			{
				free(c);
				continue;
			}
			setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
			event.events = EPOLLIN;
			event.data.ptr = c;
			if (epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event) != 0)
				fail("epoll");
		}
	}
}
