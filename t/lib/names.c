/*-------------------------------------------------------------------------
 *
 * names.c
 *	  Preloaded into a server by a test: its names are the test's.
 *
 * The files that say how names are resolved are those of DIRECTORY, and what
 * goes to port 53 of 127.x.y.z goes to the port that the line "127.x.y.z PORT"
 * of DIRECTORY/ports gives, so that it takes no root to play a name server.
 *
 * The C library does not look here for what it calls itself, so getaddrinfo()
 * as a whole is replaced by one that does the same with those files: slowly,
 * one question after the other.  Who calls it, or starts a thread, is written
 * to DIRECTORY/notes, as "PID getaddrinfo NAME" and "PID thread".
 *
 * While DIRECTORY/lacking holds an errno, no socket for datagrams is to be had;
 * while DIRECTORY/lacking_tcp does, no name server can be connected to by TCP.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <resolv.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define NEXT(name) ((__typeof__(&name)) dlsym(RTLD_NEXT, #name))

/* glibc before 2.33 */
int			__xstat(int version, const char *path, struct stat *buf);
int			__xstat64(int version, const char *path, struct stat64 *buf);

static const char *
redirected(const char *path)
{
	if (path == NULL || strncmp(path, "/etc", 4) != 0)
		return path;
	if (strcmp(path, "/etc/resolv.conf") == 0)
		return DIRECTORY "/resolv.conf";
	if (strcmp(path, "/etc/hosts") == 0)
		return DIRECTORY "/hosts";
	if (strcmp(path, "/etc/nsswitch.conf") == 0)
		return DIRECTORY "/nsswitch.conf";
	return path;
}

static void
note(const char *what, const char *which)
{
	FILE	   *out = fopen(DIRECTORY "/notes", "ae");

	if (out)
	{
		fprintf(out, "%d %s %s\n", (int) getpid(), what, which);
		fclose(out);
	}
}

/* ---------------------------------------------------------------------
 * Files
 * ---------------------------------------------------------------------
 */

FILE *
fopen(const char *path, const char *mode)
{
	return NEXT(fopen) (redirected(path), mode);
}

FILE *
fopen64(const char *path, const char *mode)
{
	return NEXT(fopen64) (redirected(path), mode);
}

static mode_t
mode_of(int flags, va_list arguments)
{
	return flags & (O_CREAT | __O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
}

#define REPLACE_OPEN(name) \
int \
name(const char *path, int flags,...) \
{ \
	va_list		arguments; \
	mode_t		mode; \
	\
	va_start(arguments, flags); \
	mode = mode_of(flags, arguments); \
	va_end(arguments); \
	return NEXT(name) (redirected(path), flags, mode); \
}

#define REPLACE_OPENAT(name) \
int \
name(int dir, const char *path, int flags,...) \
{ \
	va_list		arguments; \
	mode_t		mode; \
	\
	va_start(arguments, flags); \
	mode = mode_of(flags, arguments); \
	va_end(arguments); \
	return NEXT(name) (dir, redirected(path), flags, mode); \
}

REPLACE_OPEN(open)
REPLACE_OPEN(open64)
REPLACE_OPENAT(openat)
REPLACE_OPENAT(openat64)

int
stat(const char *path, struct stat *buf)
{
	return NEXT(stat) (redirected(path), buf);
}

int
stat64(const char *path, struct stat64 *buf)
{
	return NEXT(stat64) (redirected(path), buf);
}

int
lstat(const char *path, struct stat *buf)
{
	return NEXT(lstat) (redirected(path), buf);
}

int
fstatat(int dir, const char *path, struct stat *buf, int flags)
{
	return NEXT(fstatat) (dir, redirected(path), buf, flags);
}

int
statx(int dir, const char *path, int flags, unsigned int mask, struct statx *buf)
{
	return NEXT(statx) (dir, redirected(path), flags, mask, buf);
}

int
__xstat(int version, const char *path, struct stat *buf)
{
	return NEXT(__xstat) (version, redirected(path), buf);
}

int
__xstat64(int version, const char *path, struct stat64 *buf)
{
	return NEXT(__xstat64) (version, redirected(path), buf);
}

int
access(const char *path, int mode)
{
	return NEXT(access) (redirected(path), mode);
}

/* who watches a file watches its directory, too */
int
inotify_add_watch(int fd, const char *path, uint32_t mask)
{
	if (strcmp(path, "/etc") == 0 || strcmp(path, "/etc/") == 0)
		path = DIRECTORY;
	return NEXT(inotify_add_watch) (fd, redirected(path), mask);
}

/* ---------------------------------------------------------------------
 * Sockets
 * ---------------------------------------------------------------------
 */

/* The port that plays port 53 of that address; 53 if none does */
static in_port_t
port_of(struct in_addr address)
{
	FILE	   *in = fopen(DIRECTORY "/ports", "re");
	char		line[100];
	char		name[INET_ADDRSTRLEN];
	in_port_t	port = NAMESERVER_PORT;

	inet_ntop(AF_INET, &address, name, sizeof(name));
	while (in && fgets(line, sizeof(line), in))
	{
		char	   *blank = strchr(line, ' ');

		if (!blank)
			continue;
		*blank = '\0';
		if (strcmp(line, name) == 0)
			port = atoi(blank + 1);
	}
	if (in)
		fclose(in);
	return htons(port);
}

/* 0: there is none */
static int
number_in(const char *path)
{
	char		text[20] = "";
	int			file = NEXT(open) (path, O_RDONLY | O_CLOEXEC);

	if (file < 0)
		return 0;
	if (read(file, text, sizeof(text) - 1) < 0)
		text[0] = '\0';
	close(file);
	return atoi(text);
}

static const struct sockaddr *
there(const struct sockaddr *address, socklen_t len, struct sockaddr_in *changed)
{
	if (!address || len != sizeof(*changed) || address->sa_family != AF_INET)
		return address;
	memcpy(changed, address, sizeof(*changed));
	if (changed->sin_port != htons(NAMESERVER_PORT) ||
		ntohl(changed->sin_addr.s_addr) >> 24 != IN_LOOPBACKNET)
		return address;
	changed->sin_port = port_of(changed->sin_addr);
	return (struct sockaddr *) changed;
}

int
socket(int family, int type, int protocol)
{
	int			number = (type & 0xf) == SOCK_DGRAM ? number_in(DIRECTORY "/lacking") : 0;

	if (number == 0)
		return NEXT(socket) (family, type, protocol);
	errno = number;
	return -1;
}

int
connect(int fd, __CONST_SOCKADDR_ARG address, socklen_t len)
{
	struct sockaddr_in changed;
	const struct sockaddr *to = there(address.__sockaddr__, len, &changed);
	int			type = 0;
	socklen_t	size = sizeof(type);
	int			number = to != address.__sockaddr__ ? number_in(DIRECTORY "/lacking_tcp") : 0;

	getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size);
	if (number == 0 || type != SOCK_STREAM)
		return NEXT(connect) (fd, to, len);
	errno = number;
	return -1;
}

ssize_t
sendto(int fd, const void *bytes, size_t n, int flags, __CONST_SOCKADDR_ARG address, socklen_t len)
{
	struct sockaddr_in changed;

	return NEXT(sendto) (fd, bytes, n, flags, there(address.__sockaddr__, len, &changed), len);
}

ssize_t
sendmsg(int fd, const struct msghdr *message, int flags)
{
	struct sockaddr_in changed;
	struct msghdr copy = *message;

	copy.msg_name = (void *) there(message->msg_name, message->msg_namelen, &changed);
	return NEXT(sendmsg) (fd, &copy, flags);
}

/* c-ares looks whether an answer comes from where it asked, and its port */
ssize_t
recvfrom(int fd, void *bytes, size_t n, int flags, __SOCKADDR_ARG address, socklen_t *len)
{
	ssize_t		got = NEXT(recvfrom) (fd, bytes, n, flags, address, len);
	struct sockaddr_in *from = address.__sockaddr_in__;

	if (got >= 0 && from && from->sin_family == AF_INET &&
		ntohl(from->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET &&
		from->sin_port == port_of(from->sin_addr))
		from->sin_port = htons(NAMESERVER_PORT);
	return got;
}

/* ---------------------------------------------------------------------
 * Threads, and what libcurl starts them for
 * ---------------------------------------------------------------------
 */

int
pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
			   void *(*routine) (void *), void *argument)
{
	note("thread", "");
	return NEXT(pthread_create) (thread, attributes, routine, argument);
}

/* As resolv.conf says; the search list stays in text */
static void
configure(res_state state, char *text, size_t size)
{
	FILE	   *in = fopen("/etc/resolv.conf", "re");
	char	   *rest = text;
	char	   *line;
	int			searches = 0;

	text[in ? fread(text, 1, size - 1, in) : 0] = '\0';
	if (in)
		fclose(in);

	state->nscount = 0;
	while ((line = strsep(&rest, "\n")) != NULL)
	{
		char	   *key = strsep(&line, " ");
		char	   *word;

		while ((word = strsep(&line, " ")) != NULL)
		{
			struct sockaddr_in *server = &state->nsaddr_list[state->nscount];

			if (strcmp(key, "nameserver") == 0 && state->nscount < MAXNS &&
				inet_pton(AF_INET, word, &server->sin_addr) == 1)
			{
				server->sin_family = AF_INET;
				server->sin_port = port_of(server->sin_addr);
				state->nscount++;
			}
			else if (strcmp(key, "search") == 0 && searches < MAXDNSRCH)
				state->dnsrch[searches++] = word;
			else if (strcmp(key, "options") == 0 && strncmp(word, "ndots:", 6) == 0)
				state->ndots = atoi(word + 6);
		}
	}
	state->dnsrch[searches] = NULL;
}

typedef struct
{
	const char *service;
	const struct addrinfo *hints;
	struct addrinfo **end;
} Found;

static void
found(Found *list, const char *address)
{
	struct addrinfo numeric = {.ai_flags = AI_NUMERICHOST};

	numeric.ai_socktype = list->hints ? list->hints->ai_socktype : 0;
	if (NEXT(getaddrinfo) (address, list->service, &numeric, list->end) == 0)
		while (*list->end)
			list->end = &(*list->end)->ai_next;
}

static void
look_in_hosts(Found *list, const char *host)
{
	FILE	   *in = fopen("/etc/hosts", "re");
	char		line[1000];

	while (in && fgets(line, sizeof(line), in))
	{
		char	   *rest = line;
		char	   *address = strsep(&rest, " ");
		char	   *name;

		while ((name = strsep(&rest, " \n")) != NULL)
			if (strcasecmp(name, host) == 0)
				found(list, address);
	}
	if (in)
		fclose(in);
}

/* Says what getaddrinfo() would */
static int
ask(res_state state, Found *list, const char *host, int type, int family)
{
	static __thread unsigned char answer[65536];
	char		address[INET6_ADDRSTRLEN];
	ns_msg		message;
	ns_rr		record;
	int			len = res_nsearch(state, host, ns_c_in, type, answer, sizeof(answer));

	if (len < 0)
		return state->res_h_errno == TRY_AGAIN ? EAI_AGAIN : EAI_NONAME;
	if (ns_initparse(answer, len, &message) != 0)
		return EAI_FAIL;
	for (int i = 0; i < ns_msg_count(message, ns_s_an); i++)
		if (ns_parserr(&message, ns_s_an, i, &record) == 0 && (int) ns_rr_type(record) == type)
			found(list, inet_ntop(family, ns_rr_rdata(record), address, sizeof(address)));
	return EAI_NONAME;
}

int
getaddrinfo(const char *host, const char *service,
			const struct addrinfo *hints, struct addrinfo **result)
{
	Found		list = {service, hints, result};
	struct __res_state state = {0};
	char		text[10000];
	int			of_a,
				of_aaaa;

	/* numeric, or the server's own */
	if (!host || (hints && (hints->ai_flags & (AI_NUMERICHOST | AI_PASSIVE))) ||
		strspn(host, "0123456789.") == strlen(host) || strchr(host, ':'))
		return NEXT(getaddrinfo) (host, service, hints, result);

	note("getaddrinfo", host);
	*result = NULL;
	look_in_hosts(&list, host);
	if (*result)
		return 0;
	if (res_ninit(&state) != 0)
		return EAI_SYSTEM;
	configure(&state, text, sizeof(text));
	of_a = ask(&state, &list, host, ns_t_a, AF_INET);
	of_aaaa = ask(&state, &list, host, ns_t_aaaa, AF_INET6);
	res_nclose(&state);
	if (*result)
		return 0;
	return of_a == EAI_AGAIN || of_aaaa == EAI_AGAIN ? EAI_AGAIN : EAI_NONAME;
}
