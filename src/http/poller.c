/*-------------------------------------------------------------------------
 *
 * poller.c
 *		One descriptor that tells when any of many sockets, or a timer, is due.
 *
 * See poller.h for the rules.  No PostgreSQL and no libcurl in here.
 *
 * A kept connection stays registered while nobody uses it (see settle_one): most
 * of the time its next request comes before anything else happens to it, and
 * then no system call was needed at all.  Should it speak while nobody listens,
 * poller_wait() takes it out and says so.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/epoll.h>
#include <sys/timerfd.h>
#else
#include <sys/types.h>
#include <sys/event.h>
#endif

#include "http/poller.h"
#include "http/reserve.h"

/* Beside the two of poller.h: only what has come since. */
#define POLLER_EDGE	4

/* What we know of one descriptor; the table is indexed by its number. */
typedef struct Watch
{
	unsigned char wanted;		/* what libcurl wants to hear of */
	unsigned char applied;		/* what the kernel was told */
	bool		owned;			/* we see its opening and closing */
	bool		ended;			/* nothing of it is of interest any more */
	bool		spoke;			/* while nobody listened, and it may */
	int64_t		delayed_until;	/* not told that it can be written; 0: it is */
	bool		held;			/* not told of anything, until held_until */
	bool		listed;			/* is in changed[] */
} Watch;

static int	poll_fd = -1;

static Watch *watches = NULL;
static int *changed = NULL;		/* as many places as watches has */
static int	watches_size = 0;
static int	nchanged = 0;

/* With the time that the machine sleeps, where there is one that has it. */
#ifdef __linux__
#define STEADY_CLOCK	CLOCK_BOOTTIME
#else
#define STEADY_CLOCK	CLOCK_MONOTONIC
#endif

/* The descriptors that are delayed, of which there are few. */
#define MAX_DELAYED	64
static int	delayed[MAX_DELAYED];
static int	ndelayed = 0;

/* When those that are held are told of again. */
static int64_t held_until = 0;
static int	nheld = 0;

static int64_t waited_at = 0;	/* the last look at what is due */
static int64_t armed_for = -1;	/* when the kernel's timer fires; -1: it is off */

/* The kernel's side, one set of three for each kind of it. */
static bool kernel_open(void);
static bool kernel_watch(int fd, int before, int events);
static bool kernel_arm(int64_t time_us);

int64_t
poller_clock(void)
{
	struct timespec now;

	clock_gettime(STEADY_CLOCK, &now);
	return (int64_t) now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t
poller_waited_at(void)
{
	return waited_at;
}

bool
poller_open(void)
{
	return kernel_open();
}

int
poller_fd(void)
{
	return poll_fd;
}

/* The entry of a descriptor, or NULL if there is no memory for it. */
static Watch *
watch_of(int fd)
{
	if (fd < 0)
		return NULL;
	if (fd >= watches_size)
	{
		int			size = fd < 64 ? 128 : fd * 2;
		Watch	   *more_watches;
		int		   *more_changed;

		more_watches = reserve_realloc(watches, size * sizeof(Watch));
		if (more_watches == NULL)
			return NULL;
		watches = more_watches;
		more_changed = reserve_realloc(changed, size * sizeof(int));
		if (more_changed == NULL)
			return NULL;
		changed = more_changed;
		memset(watches + watches_size, 0, (size - watches_size) * sizeof(Watch));
		watches_size = size;
	}
	return &watches[fd];
}

/*
 * A new file behind this number: whatever we knew of the old one is void, and
 * the kernel forgot it when it was closed.  A place in changed[] stays good.
 */
static void
reset_watch(int fd, bool owned)
{
	Watch	   *watch = watch_of(fd);

	if (watch == NULL)
		return;
	watch->wanted = 0;
	watch->applied = 0;
	watch->owned = owned;
	watch->ended = false;
	watch->spoke = false;
	watch->delayed_until = 0;
	nheld -= watch->held;
	watch->held = false;
}

void
poller_socket_opened(int fd)
{
	reset_watch(fd, true);
}

void
poller_socket_closed(int fd)
{
	reset_watch(fd, false);
}

void
poller_socket_ended(int fd)
{
	Watch	   *watch = watch_of(fd);

	if (watch == NULL)
		return;
	if (watch->applied != 0)
		kernel_watch(fd, watch->applied, 0);
	watch->wanted = watch->applied = 0;
	watch->ended = true;
}

static void
change(int fd)
{
	if (watches[fd].listed)
		return;
	watches[fd].listed = true;
	changed[nchanged++] = fd;
}

void
poller_delay_out(int fd, int64_t until_us)
{
	Watch	   *watch = watch_of(fd);

	if (watch == NULL || ndelayed == MAX_DELAYED)
		return;
	if (watch->delayed_until == 0)
		delayed[ndelayed++] = fd;
	watch->delayed_until = until_us;
	change(fd);
}

void
poller_hold(int fd, int64_t until_us)
{
	Watch	   *watch = watch_of(fd);

	if (watch == NULL || !watch->owned)
		return;
	nheld += !watch->held;
	watch->held = true;
	held_until = until_us;
	change(fd);
}

static void
end_holds(int64_t now_us)
{
	if (nheld == 0 || now_us < held_until)
		return;
	for (int fd = 0; fd < watches_size; fd++)
	{
		if (!watches[fd].held)
			continue;
		watches[fd].held = false;
		change(fd);
	}
	nheld = 0;
}

int64_t
poller_delayed_until(void)
{
	int64_t		first = nheld > 0 ? held_until : -1;

	for (int i = 0; i < ndelayed; i++)
	{
		int64_t		until = watches[delayed[i]].delayed_until;

		if (first < 0 || until < first)
			first = until;
	}
	return first;
}

/* Those whose time has come; their interest is passed on with the others'. */
static void
end_delays(int64_t now_us)
{
	for (int i = 0; i < ndelayed; i++)
	{
		Watch	   *watch = &watches[delayed[i]];

		if (watch->delayed_until > now_us)
			continue;
		watch->delayed_until = 0;
		change(delayed[i]);
		delayed[i--] = delayed[--ndelayed];
	}
}

void
poller_socket_may_speak(int fd)
{
	Watch	   *watch = watch_of(fd);

	if (watch == NULL)
		return;
	watch->spoke = true;
	change(fd);
}

void
poller_want(int fd, int events)
{
	Watch	   *watch = watch_of(fd);

	if (watch == NULL)
		return;
	watch->wanted = events;
	if (events != 0)
		watch->spoke = false;
	if (!watch->owned)
	{
		/* It may be another file than the last time: apply what is said. */
		watch->applied = kernel_watch(fd, watch->applied, events) ? events : 0;
	}
	else
		change(fd);
}

bool
poller_wants_out(int fd)
{
	const Watch *watch = watch_of(fd);

	return watch != NULL && (watch->wanted & POLLER_OUT) != 0;
}

static void
settle_one(int fd)
{
	Watch	   *watch = &watches[fd];
	int			events = watch->wanted;

	if (watch->delayed_until != 0 && (events & POLLER_OUT))
		events = POLLER_IN;
	if (events == 0)
		events = watch->spoke ? POLLER_IN | POLLER_EDGE : POLLER_IN;
	if (watch->held)
		events = 0;
	watch->listed = false;
	if (!watch->owned || watch->ended || events == watch->applied)
		return;
	watch->applied = kernel_watch(fd, watch->applied, events) ? events : 0;
}

void
poller_settle(void)
{
	for (int i = 0; i < nchanged; i++)
		settle_one(changed[i]);
	nchanged = 0;
}

/*
 * The timer is left alone when it fires early enough anyway: deadlines move
 * later with every request that ends, and waking once too often is cheaper
 * than moving the timer each time.
 */
void
poller_wake_at(int64_t time_us)
{
	if (time_us < 0 || (armed_for >= 0 && armed_for <= time_us))
		return;
	if (kernel_arm(time_us))
		armed_for = time_us;
}

/* Reduce an event to what is wanted; false if it is nobody's affair. */
static bool
wanted_event(int fd, int events, bool failed, bool ended, PollerEvent *event)
{
	Watch	   *watch = watch_of(fd);

	if (watch == NULL)
		return false;
	event->fd = fd;
	event->ended = failed || ended;
	if (watch->wanted == 0)
	{
		if (!watch->spoke)
		{
			kernel_watch(fd, POLLER_IN | POLLER_OUT, 0);
			watch->applied = 0;
		}
		event->events = 0;
		return watch->owned && !watch->ended && (event->ended || (events & POLLER_IN) != 0);
	}

	if (watch->delayed_until != 0 && (events & POLLER_IN))
		watch->delayed_until = 1;	/* its time has come */

	/* An error shows itself to whatever is tried next, so let all be tried. */
	event->events = failed ? watch->wanted : (events & watch->wanted);
	return event->events != 0;
}

#ifdef __linux__

static int	timer_fd = -1;

static bool
kernel_open(void)
{
	struct epoll_event event = {.events = EPOLLIN};

	poll_fd = epoll_create1(EPOLL_CLOEXEC);
	timer_fd = timerfd_create(STEADY_CLOCK, TFD_CLOEXEC | TFD_NONBLOCK);
	event.data.fd = timer_fd;
	if (poll_fd >= 0 && timer_fd >= 0 &&
		epoll_ctl(poll_fd, EPOLL_CTL_ADD, timer_fd, &event) == 0)
		return true;

	if (poll_fd >= 0)
		close(poll_fd);
	if (timer_fd >= 0)
		close(timer_fd);
	poll_fd = timer_fd = -1;
	return false;
}

static bool
kernel_watch(int fd, int before, int events)
{
	struct epoll_event event = {0};

	event.data.fd = fd;
	if (events & POLLER_IN)
		event.events |= EPOLLIN | EPOLLRDHUP;
	if (events & POLLER_EDGE)
		event.events |= EPOLLET;
	if (events & POLLER_OUT)
		event.events |= EPOLLOUT;

	/* "before" is a guess where the file may have changed: try both ways. */
	if (events == 0)
		return epoll_ctl(poll_fd, EPOLL_CTL_DEL, fd, &event) == 0;
	if (before == 0)
		return epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ||
			(errno == EEXIST && epoll_ctl(poll_fd, EPOLL_CTL_MOD, fd, &event) == 0);
	return epoll_ctl(poll_fd, EPOLL_CTL_MOD, fd, &event) == 0 ||
		(errno == ENOENT && epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event) == 0);
}

static bool
kernel_arm(int64_t time_us)
{
	struct itimerspec spec = {{0, 0}, {0, 0}};

	/* All zero would switch the timer off. */
	spec.it_value.tv_sec = time_us / 1000000;
	spec.it_value.tv_nsec = (time_us % 1000000) * 1000 + 1;
	return timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &spec, NULL) == 0;
}

int
poller_wait(PollerEvent *events, int max, bool *more)
{
	struct epoll_event due[128];
	int			ndue;
	int			n = 0;

	waited_at = poller_clock();
	end_delays(waited_at);
	end_holds(waited_at);
	max = max < 128 ? max : 128;
	ndue = epoll_wait(poll_fd, due, max, 0);
	*more = ndue == max;
	for (int i = 0; i < ndue; i++)
	{
		if (due[i].data.fd == timer_fd)
		{
			uint64_t	expirations;

			if (read(timer_fd, &expirations, sizeof(expirations)) > 0)
				armed_for = -1;
		}
		else if (wanted_event(due[i].data.fd,
							  ((due[i].events & EPOLLIN) ? POLLER_IN : 0) |
							  ((due[i].events & EPOLLOUT) ? POLLER_OUT : 0),
							  (due[i].events & (EPOLLERR | EPOLLHUP)) != 0,
							  (due[i].events & EPOLLRDHUP) != 0,
							  &events[n]))
			n++;
	}
	return n;
}

#else							/* kqueue */

static bool
kernel_open(void)
{
	poll_fd = kqueue();
	if (poll_fd < 0)
		return false;
	(void) fcntl(poll_fd, F_SETFD, FD_CLOEXEC);
	return true;
}

/* Adding twice and deleting what is not there are both harmless. */
static bool
kernel_filter(int fd, int filter, bool on, bool edge)
{
	struct kevent change;

	EV_SET(&change, fd, filter, on ? EV_ADD | (edge ? EV_CLEAR : 0) : EV_DELETE, 0, 0, NULL);
	return kevent(poll_fd, &change, 1, NULL, 0, NULL) == 0 || !on;
}

static bool
kernel_watch(int fd, int before, int events)
{
	bool		read_ok = true;
	bool		write_ok = true;

	/* how a filter was added cannot be changed later */
	if ((before & POLLER_IN) && ((before ^ events) & POLLER_EDGE))
		(void) kernel_filter(fd, EVFILT_READ, false, false);
	if ((before | events) & POLLER_IN)
		read_ok = kernel_filter(fd, EVFILT_READ, (events & POLLER_IN) != 0,
								(events & POLLER_EDGE) != 0);
	if ((before | events) & POLLER_OUT)
		write_ok = kernel_filter(fd, EVFILT_WRITE, (events & POLLER_OUT) != 0, false);
	return read_ok && write_ok;
}

static bool
kernel_arm(int64_t time_us)
{
	struct kevent change;
	int64_t		from_now_ms = (time_us - poller_clock() + 999) / 1000;

	EV_SET(&change, 1, EVFILT_TIMER, EV_ADD | EV_ONESHOT, 0,
		   from_now_ms > 0 ? from_now_ms : 1, NULL);
	return kevent(poll_fd, &change, 1, NULL, 0, NULL) == 0;
}

int
poller_wait(PollerEvent *events, int max, bool *more)
{
	static const struct timespec no_time = {0, 0};
	struct kevent due[128];
	int			ndue;
	int			n = 0;

	waited_at = poller_clock();
	end_delays(waited_at);
	end_holds(waited_at);
	max = max < 128 ? max : 128;
	ndue = kevent(poll_fd, NULL, 0, due, max, &no_time);
	*more = ndue == max;
	for (int i = 0; i < ndue; i++)
	{
		if (due[i].filter == EVFILT_TIMER)
			armed_for = -1;
		else if (wanted_event((int) due[i].ident,
							  due[i].filter == EVFILT_READ ? POLLER_IN : POLLER_OUT,
							  (due[i].flags & (EV_EOF | EV_ERROR)) != 0,
							  false, &events[n]))
			n++;
	}
	return n;
}

#endif							/* __linux__ */
