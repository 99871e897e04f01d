/*-------------------------------------------------------------------------
 *
 * starve.c
 *	  Preloaded into a server by a test, which has malloc() fail there.
 *
 * FILE holds int64, which may change at any time: of how many pieces of memory one
 * is refused, at random, 0 for none; from which size on all are, likewise; and the
 * processes that this is about, the rest of them 0.  Only rswebhook, libcurl and
 * c-ares are refused any.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "refuse.h"

#define PROCESSES 32

static volatile const int64_t *starve;

/* Before any other process is forked from this one. */
__attribute__((constructor)) static void
map_file(void)
{
	int			fd = open(FILE, O_RDONLY | O_CLOEXEC);
	void	   *map = mmap(NULL, (2 + PROCESSES) * sizeof(*starve), PROT_READ, MAP_SHARED, fd, 0);

	if (fd < 0 || map == MAP_FAILED)
		abort();
	starve = map;
}

static int
is_meant(void)
{
	for (int i = 0; i < PROCESSES && starve[2 + i] != 0; i++)
	{
		if (starve[2 + i] == getpid())
			return 1;
	}
	return 0;
}

static int
is_refused(size_t size, void *caller)
{
	static uint32_t seed = 12345;
	Dl_info		info;

	if (starve == NULL || !is_meant())
		return 0;
	seed = seed * 1103515245 + 12345;
	if (!(starve[0] > 0 && (seed >> 8) % starve[0] == 0) &&
		!(starve[1] > 0 && size >= (size_t) starve[1]))
		return 0;
	if (dladdr(caller, &info) == 0 || info.dli_fname == NULL ||
		(strstr(info.dli_fname, "/rswebhook.so") == NULL &&
		 strstr(info.dli_fname, "libcurl") == NULL && strstr(info.dli_fname, "libcares") == NULL))
		return 0;
	errno = ENOMEM;
	return 1;
}
