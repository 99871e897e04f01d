/*-------------------------------------------------------------------------
 *
 * http_linger.c
 *		The HTTP room, how a connection ends on which something came unasked.
 *
 * A receiver that answers twice may have been asked more than it has read: the
 * second answer came when the next request lay in its socket already, and was
 * taken for the answer to that.  To close a socket with something unread in it is
 * to reset the connection, and a receiver whose answer meets a reset drops what it
 * has not read.  So for a moment only our side is closed: the receiver finds all
 * requests, and then the end.
 *
 * See transfer.h for the rules of the room.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/http_linger.h"
#include "http/poller.h"

/* So long after its last answer, whatever was sent has been read. */
#define LINGER_US		(2 * 1000 * 1000)

/* When there are more, the oldest one is closed. */
#define MAX_LINGERING	16

typedef struct Lingering
{
	int			fd;
	int64_t		until_us;
} Lingering;

static Lingering lingering[MAX_LINGERING];	/* in the order of their time */
static int	nlingering = 0;

static void
close_first(void)
{
	close(lingering[0].fd);
	nlingering--;
	for (int i = 0; i < nlingering; i++)
		lingering[i] = lingering[i + 1];
}

void
http_linger(int fd, int64_t answered_us)
{
	int64_t		now_us = poller_clock();
	int			copy;

	if (now_us - answered_us >= LINGER_US)
		return;
	if (nlingering == MAX_LINGERING)
		close_first();
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (copy < 0)
		return;
	poller_socket_ended(fd);	/* the kernel does not forget it when it is closed */
	(void) shutdown(copy, SHUT_WR);
	lingering[nlingering++] = (Lingering) {.fd = copy, .until_us = now_us + LINGER_US};
}

void
http_linger_expire(int64_t now_us)
{
	while (nlingering > 0 && lingering[0].until_us <= now_us)
		close_first();
}

int64_t
http_linger_next(void)
{
	return nlingering > 0 ? lingering[0].until_us : -1;
}
