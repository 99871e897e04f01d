/*-------------------------------------------------------------------------
 *
 * wall.c
 *	  Preloaded into a server by a test, which sets the server's clock.
 *
 * FILE holds two int64, which may change at any time: the seconds by which the
 * time of day is ahead, and those for which the machine has slept, 0 if they are
 * not there.  Clocks that stop meanwhile and that nobody can set are left alone.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>

static volatile const int64_t *ahead;
#define slept	(ahead[1])

/* Before any other process is forked from this one. */
__attribute__((constructor)) static void
map_file(void)
{
	int			fd = open(FILE, O_RDONLY | O_CLOEXEC);
	void	   *map = mmap(NULL, 2 * sizeof(*ahead), PROT_READ, MAP_SHARED, fd, 0);

	if (fd < 0 || map == MAP_FAILED)
		abort();
	ahead = map;
}

int
clock_gettime(clockid_t clock, struct timespec *ts)
{
	static int	(*next) (clockid_t, struct timespec *) = NULL;
	int			result;

	if (next == NULL)
		next = (int (*) (clockid_t, struct timespec *)) dlsym(RTLD_NEXT, "clock_gettime");
	result = next(clock, ts);
	if (result != 0 || ahead == NULL)
		return result;
	if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)
		ts->tv_sec += *ahead + slept;
	else if (clock == CLOCK_BOOTTIME)
		ts->tv_sec += slept;
	return result;
}

/* The kernel's has not slept. */
int
timerfd_settime(int fd, int flags, const struct itimerspec *new, struct itimerspec *old)
{
	static int	(*next) (int, int, const struct itimerspec *, struct itimerspec *) = NULL;
	struct itimerspec spec = *new;

	if (next == NULL)
		next = (int (*) (int, int, const struct itimerspec *, struct itimerspec *)) dlsym(RTLD_NEXT, "timerfd_settime");
	if ((flags & TFD_TIMER_ABSTIME) && spec.it_value.tv_sec > slept)
		spec.it_value.tv_sec -= slept;
	return next(fd, flags, &spec, old);
}

int
gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
	struct timespec ts;

	(void) zone;
	if (clock_gettime(CLOCK_REALTIME, &ts) != 0)
		return -1;
	tv->tv_sec = ts.tv_sec;
	tv->tv_usec = ts.tv_nsec / 1000;
	return 0;
}

time_t
time(time_t *result)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	if (result != NULL)
		*result = ts.tv_sec;
	return ts.tv_sec;
}
