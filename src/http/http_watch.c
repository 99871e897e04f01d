/*-------------------------------------------------------------------------
 *
 * http_watch.c
 *		Calls of libcurl that do not return, as the other side does not stop sending.
 *
 * libcurl reads from a connection until nothing is there, and tells us only what means
 * something: frames of HTTP/2 without content never do.  Whoever sends these as fast as
 * they are read has the process to himself.  So a timer looks at calls that take long: the
 * socket that is read from meanwhile, of which there can be only one, is shut.
 *
 * The timer's signal comes in the midst of anything that libcurl does: its handler makes
 * system calls only, and knows the sockets from a table that nobody moves.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifdef __linux__
#include <linux/sockios.h>
#include <linux/tcp.h>
#endif

#include "http/http_watch.h"

/* A call that takes so long, or twice that, is looked at, and again after so long ... */
#define LONG_NS		(100 * 1000 * 1000L)
#define AGAIN_NS	(20 * 1000 * 1000L)

/* ... unless it has had less of the processor, as on a machine that is busy or stops ... */
#define WORKED_US	(50 * 1000)

/* ... or meanwhile got on, which it may do for so much of it ... */
#define ENDLESS_US	(1000 * 1000)

/* ... in which nobody has so much to read who sends an answer. */
#define MUCH_BYTES	(256 * 1024)

/* More descriptors are not watched. */
#define MOST_SOCKETS	(1024 * 1024)

typedef struct Watched
{
	volatile sig_atomic_t open;
	volatile sig_atomic_t shut;
	int64_t		read;			/* when a call was looked at; -1: it was not */
} Watched;

static Watched *sockets = NULL; /* by descriptor */
static int	nsockets = 0;
static volatile sig_atomic_t top = -1;	/* none above is open */

static volatile sig_atomic_t calling = false;
static volatile sig_atomic_t calls = 0; /* a count that wraps */
static volatile sig_atomic_t heard = 0; /* likewise */
static volatile sig_atomic_t armed = false;

int64_t
http_watch_read(int fd)
{
#if defined(__linux__) && defined(TCP_INFO)
	struct tcp_info info;
	socklen_t	len = sizeof(info);
	int			unread;

	memset(&info, 0, sizeof(info));
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 && ioctl(fd, SIOCINQ, &unread) == 0)
		return (int64_t) info.tcpi_bytes_received - unread;
#else
	(void) fd;
#endif
	return -1;
}

int64_t
http_watch_processor_us(void)
{
#ifdef CLOCK_THREAD_CPUTIME_ID
	struct timespec used;

	if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used) == 0)
		return (int64_t) used.tv_sec * 1000 * 1000 + used.tv_nsec / 1000;
#endif
	return 0;
}

void
http_watch_socket(int fd, bool open)
{
	if (fd >= nsockets)
		return;
	sockets[fd].open = false;
	sockets[fd].shut = false;
	sockets[fd].read = -1;
	sockets[fd].open = open;
	if (open && fd > top)
		top = fd;
}

bool
http_watch_has_shut(int fd)
{
	return fd >= 0 && fd < nsockets && sockets[fd].shut;
}

#if defined(__linux__) && defined(TCP_INFO) && defined(SIGEV_THREAD_ID)

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

static timer_t timer;
static int	signal_number = 0;
static sig_atomic_t seen = 0;	/* the call under way when the timer rang last ... */
static sig_atomic_t seen_heard = 0; /* ... and what had been heard by then ... */
static int	times = 0;			/* ... and so often in a row, having worked */
static int64_t began_at = 0;	/* the processor's time when it was seen first ... */
static int64_t worked_until = 0;	/* ... and when it last got on */

static void
arm(long ns)
{
	struct itimerspec when = {.it_value = {.tv_nsec = ns}};

	armed = timer_settime(timer, 0, &when, NULL) == 0;
}

/* Note how much has been read from each; or which one is read from: that one is shut. */
static void
look(bool again)
{
	for (int fd = 0; fd <= top; fd++)
	{
		int64_t		read;

		if (!sockets[fd].open)
			continue;
		read = http_watch_read(fd);
		if (again && read >= 0 && sockets[fd].read >= 0 && read - sockets[fd].read >= MUCH_BYTES)
		{
			sockets[fd].shut = true;
			(void) shutdown(fd, SHUT_RDWR);
		}
		if (!again)
			sockets[fd].read = read;
	}
}

static void
on_signal(int unused)
{
	int			saved = errno;

	(void) unused;
	armed = false;
	if (calling)
	{
		int64_t		used = http_watch_processor_us();

		if (seen != calls)
			began_at = used;
		if (seen != calls || (seen_heard != heard && used - began_at < ENDLESS_US))
		{
			times = 0;
			worked_until = used;
		}
		else if (used - worked_until >= WORKED_US)
			times++;
		seen = calls;
		seen_heard = heard;
		if (times > 0)
			look(times > 1);
		arm(times == 1 ? AGAIN_NS : LONG_NS);
	}
	errno = saved;
}

void
http_watch_init(void)
{
	struct rlimit limit;
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN + 4};
	int			most = MOST_SOCKETS;

	if (signal_number != 0)
		return;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_max < (rlim_t) most)
		most = (int) limit.rlim_max;
	event.sigev_notify_thread_id = (pid_t) syscall(SYS_gettid);
	sigfillset(&action.sa_mask);
	sockets = calloc(most, sizeof(Watched));	/* of which what is not used takes no memory */
	if (sockets == NULL || sigaction(event.sigev_signo, &action, NULL) != 0 ||
		timer_create(CLOCK_MONOTONIC, &event, &timer) != 0)
		return;
	nsockets = most;
	signal_number = event.sigev_signo;
}

int
http_watch_signal(void)
{
	return signal_number;
}

void
http_watch_begin(void)
{
	calls++;
	calling = true;
	if (!armed && signal_number != 0)
		arm(LONG_NS);
}

#else

void
http_watch_init(void)
{
}

int
http_watch_signal(void)
{
	return 0;
}

void
http_watch_begin(void)
{
	calls++;
}

#endif

void
http_watch_heard(void)
{
	heard++;
}

void
http_watch_end(void)
{
	calling = false;
}
