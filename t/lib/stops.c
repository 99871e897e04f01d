/*-------------------------------------------------------------------------
 *
 * stops.c
 *	  Preloaded into a server by a test, which stops it in the middle of its work.
 *
 * FILE names a call and a number, such as "send 3": the third such call on a
 * socket of the network, counted from when the file is there, takes the file away
 * and stops the process, as SIGSTOP does, before it returns.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int
is_network(int fd)
{
	struct sockaddr_storage address;
	socklen_t	len = sizeof(address);

	return getsockname(fd, (struct sockaddr *) &address, &len) == 0 &&
		(address.ss_family == AF_INET || address.ss_family == AF_INET6);
}

static void
may_stop(const char *call, int fd)
{
	static int	count = 0;
	int			saved_errno = errno;
	FILE	   *file = fopen(FILE_NAME, "r");
	char		named[16] = "";
	int			number = 0;

	if (file != NULL)
	{
		if (fscanf(file, "%15s %d", named, &number) != 2)
			named[0] = '\0';
		fclose(file);
	}
	if (strcmp(named, call) == 0 && is_network(fd) && ++count >= number)
	{
		count = 0;
		(void) unlink(FILE_NAME);
		(void) raise(SIGSTOP);
	}
	errno = saved_errno;
}

ssize_t
send(int fd, const void *data, size_t len, int flags)
{
	static ssize_t (*next) (int, const void *, size_t, int) = NULL;
	ssize_t		result;

	if (next == NULL)
		next = (ssize_t (*) (int, const void *, size_t, int)) dlsym(RTLD_NEXT, "send");
	result = next(fd, data, len, flags);
	may_stop("send", fd);
	return result;
}

ssize_t
recv(int fd, void *data, size_t len, int flags)
{
	static ssize_t (*next) (int, void *, size_t, int) = NULL;
	ssize_t		result;

	if (next == NULL)
		next = (ssize_t (*) (int, void *, size_t, int)) dlsym(RTLD_NEXT, "recv");
	result = next(fd, data, len, flags);
	may_stop("recv", fd);
	return result;
}

int
connect(int fd, const struct sockaddr *address, socklen_t len)
{
	static int	(*next) (int, const struct sockaddr *, socklen_t) = NULL;
	int			result;

	if (next == NULL)
		next = (int (*) (int, const struct sockaddr *, socklen_t)) dlsym(RTLD_NEXT, "connect");
	result = next(fd, address, len);
	may_stop("connect", fd);
	return result;
}
