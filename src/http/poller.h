/*-------------------------------------------------------------------------
 *
 * poller.h
 *		One descriptor that tells when any of many sockets, or a timer, is due.
 *
 * That is epoll with a timerfd inside it on Linux, kqueue elsewhere.  Like the
 * rest of this folder it knows nothing of PostgreSQL, and neither does it of
 * libcurl.
 *
 * Changes of interest are remembered and handed to the kernel together by
 * poller_settle(), because libcurl drops and renews its interest in the same
 * socket with each request on a kept connection.  That is only safe where we
 * are told of each open and close, since a closed descriptor leaves the
 * kernel's set by itself and its number comes back as another socket.  Other
 * descriptors (the resolver's) are passed on at once.
 *
 * A socket that nobody wants to hear of is a kept connection's, and whatever
 * comes on it is reported once, as an event that was not asked for.
 *
 * Running out of memory or of kernel resources loses events, never the
 * process: the transfer concerned ends by its own timeout.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_POLLER_H
#define RSWEBHOOK_POLLER_H

#include <stdbool.h>
#include <stdint.h>

#define POLLER_IN	1
#define POLLER_OUT	2

typedef struct PollerEvent
{
	int			fd;
	int			events;			/* POLLER_IN, POLLER_OUT or both; 0: something came
								 * that nobody had asked for */
	bool		ended;			/* the other side has closed it */
} PollerEvent;

/*
 * Microseconds since the machine started, by a clock that nobody sets and that
 * goes on while the machine sleeps: the one of poller_wake_at().
 */
extern int64_t poller_clock(void);

/* Set up once a process; false with errno on failure. */
extern bool poller_open(void);

/* Readable when poller_wait() would return something, or a timer is due. */
extern int	poller_fd(void);

/* We opened, or are about to close, this socket. */
extern void poller_socket_opened(int fd);
extern void poller_socket_closed(int fd);

/* Nothing that comes on this socket is of interest to anybody. */
extern void poller_socket_ended(int fd);

/*
 * What has come unasked may stay unread: report what comes after it, and again
 * until somebody wants to hear of the socket.
 */
extern void poller_socket_may_speak(int fd);

/*
 * Until then, say nothing of it; all that are held, are until the same time.  Or do not
 * say that it can be written, until it can be read at the latest.  The first of such
 * times; -1: none.
 */
extern void poller_hold(int fd, int64_t until_us);
extern void poller_delay_out(int fd, int64_t until_us);
extern int64_t poller_delayed_until(void);

/* Wait for these events from now on; 0: for none. */
extern void poller_want(int fd, int events);
extern bool poller_wants_out(int fd);

/* Hand all remembered interest to the kernel; call before anybody waits. */
extern void poller_settle(void);

/* Become readable at this time (0: now) or a little before; -1: not by time. */
extern void poller_wake_at(int64_t time_us);

/*
 * What is due now, without waiting; the number of events filled in.  *more: there
 * may be others.  And when that was asked last.
 */
extern int	poller_wait(PollerEvent *events, int max, bool *more);
extern int64_t poller_waited_at(void);

#endif							/* RSWEBHOOK_POLLER_H */
