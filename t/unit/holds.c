/*-------------------------------------------------------------------------
 *
 * holds.c
 *		Unit tests of the poller's sockets of which nothing is told for a while.
 *
 * rooms: http/poller.c http/reserve.c
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include <sys/socket.h>
#include <unistd.h>

#include "http/poller.h"

/* A socket on which there is something to be read, and libcurl wants to. */
static int
spoken_to(int *other)
{
	int			pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0 || write(pair[1], "x", 1) != 1)
		return -1;
	*other = pair[1];
	poller_socket_opened(pair[0]);
	poller_want(pair[0], POLLER_IN);
	poller_settle();
	return pair[0];
}

static int
told(int fd)
{
	PollerEvent events[8];
	bool		more;
	int			count = 0;
	int			nevents = poller_wait(events, lengthof(events), &more);

	for (int i = 0; i < nevents; i++)
		count += events[i].fd == fd && events[i].events == POLLER_IN;
	poller_settle();
	return count;
}

static void
tests(void)
{
	int			a_other;
	int			b_other;
	int			a;
	int			b;
	int64_t		far = poller_clock() + INT64CONST(3600) * 1000 * 1000;

	ok(poller_open(), "it opens");
	a = spoken_to(&a_other);
	b = spoken_to(&b_other);
	ok(told(a) == 1 && told(b) == 1, "both are told of");
	ok(poller_delayed_until() == -1, "nothing is held");

	poller_hold(a, far);
	poller_settle();
	ok(told(a) == 0 && told(b) == 1, "what is held is not");
	ok(poller_delayed_until() == far, "the poller knows until when");
	poller_want(a, 0);
	poller_want(a, POLLER_IN);
	poller_settle();
	ok(told(a) == 0, "whatever is wanted of it");

	poller_hold(b, poller_clock());
	poller_settle();
	(void) told(a);
	ok(told(a) == 1 && told(b) == 1, "all are told of again when the time has come");
	ok(poller_delayed_until() == -1, "and nothing is held any more");

	poller_hold(a, far);
	poller_settle();
	poller_socket_closed(a);
	close(a);
	a = spoken_to(&b_other);
	ok(told(a) == 1, "a new socket by the same number is not held");
	ok(poller_delayed_until() == -1, "nor is anything");
}
