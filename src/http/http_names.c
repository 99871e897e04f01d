/*-------------------------------------------------------------------------
 *
 * http_names.c
 *		The HTTP room, its names: addresses by c-ares, on the room's own poller.
 *
 * libcurl would look names up in threads, which nothing bounds and nobody can
 * stop.  c-ares needs none: it reads resolv.conf and the hosts file, and asks
 * over two sockets a name server however many names are asked for.  libcurl is
 * handed the addresses (CURLOPT_RESOLVE).
 *
 * Each name is asked for once, whoever waits for it, and what is found is kept
 * as long as it says.  IPv6 and IPv4 are asked for apart, so that a name server
 * that is silent about one of them does not hold up the other (RFC 8305, 3).
 *
 * See http_private.h for the rules of the room.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include <ares.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "http/transfer.h"
#include "http/poller.h"

/* A name server has so long to answer, before the next one is asked; twice as
 * long in each further round. */
#define SERVER_TIMEOUT_MS	1000
#define ROUNDS				3

/*
 * From 1.31, c-ares begins with 250 ms where a server is quick as a rule, which
 * it is with what it has in its cache.
 */
#define ROUNDS_FROM_SHORT	6
#define C_ARES_1_31			0x011f00

/* All of a look-up, whatever the servers, rounds and search domains. */
#define LOOK_UP_US			(INT64_C(10) * 1000 * 1000)

/* For addresses of the other family, once there are some. */
#define OTHER_FAMILY_US		(50 * 1000)

/* An answer is kept so long, whatever it says. */
#define MIN_TTL_S			1
#define MAX_TTL_S			600

/* Addresses of one family that are used, and their text. */
#define MAX_ADDRESSES		16
#define FAMILY_SIZE			(MAX_ADDRESSES * (INET6_ADDRSTRLEN + 3))

/*
 * From 1.31, c-ares gives up all that it has asked on a socket when there is an
 * answer to any of it that cannot be read; ask so often again, after a moment.
 */
#define MAX_REPEATS			4
#define REPEAT_US			(100 * 1000)

/* Names that are remembered; a new one takes the place of the oldest. */
#define MAX_NAMES			1000

#define BUCKETS				256

/* Sockets of c-ares: one or two for each name server of each resolv.conf. */
#define MAX_SOCKETS			256
#define MAX_CHANNELS		8

typedef struct Channel
{
	struct Channel *next;
	ares_channel ares;
	int			lookups;		/* that have no answer yet */
} Channel;

typedef struct Family
{
	bool		asked;			/* and not answered */
	int			repeats;
	int64_t		again_us;		/* when to ask again, while asked; -1: no need */
	int			status;			/* of c-ares */
	char		addresses[FAMILY_SIZE]; /* separated by commas */
} Family;

typedef struct Name
{
	struct Name *next;			/* in its bucket */
	struct Name *younger;		/* in the order in which they came */
	struct Name *next_asked;
	bool		asking;			/* somebody waits for it */
	int64_t		give_up_us;		/* then, while asking */
	int64_t		settle_us;		/* likewise, with what there is; -1: no */
	int64_t		good_until_us;	/* 0: there are no addresses */
	int			ttl_s;
	Family		family[2];		/* IPv6, IPv4 */
	bool		v4_first;		/* there is no way to the IPv6 addresses */
	char		error[300];
	bool		lacking;
	char		host[];
} Name;

/* What c-ares hands back. */
typedef struct Lookup
{
	Name	   *name;
	Family	   *family;
	Channel    *channel;
} Lookup;

static Name *buckets[BUCKETS];
static Name *eldest = NULL;
static Name *youngest = NULL;
static int	nnames = 0;
static Name *asked = NULL;

/* The first one is for new look-ups, the others are of earlier resolv.confs. */
static Channel *channels = NULL;
static Channel *hosts = NULL;	/* for the hosts file alone */
static struct stat config;

static int	sockets[MAX_SOCKETS];
static int	nsockets = 0;

/* The list of addresses that was handed out last. */
static char found[2 * FAMILY_SIZE];

/* ---------------------------------------------------------------------
 * c-ares
 * ---------------------------------------------------------------------
 */

static void
on_socket(void *arg, ares_socket_t fd, int readable, int writable)
{
	int			i;

	(void) arg;
	for (i = 0; i < nsockets && sockets[i] != fd; i++)
		;
	if (readable || writable)
	{
		if (i == MAX_SOCKETS)
			return;				/* what nobody would read is not waited for */
		if (i == nsockets)
			sockets[nsockets++] = fd;
	}
	else if (i < nsockets)
		sockets[i] = sockets[--nsockets];
	poller_want(fd, (readable ? POLLER_IN : 0) | (writable ? POLLER_OUT : 0));
}

/*
 * It may have the number of one that libcurl has closed without a word, of which
 * the poller still has another idea.
 */
static int
on_new_socket(ares_socket_t fd, int type, void *arg)
{
	(void) type;
	(void) arg;
	http_socket_is_others(fd);
	return ARES_SUCCESS;
}

bool
http_names_init(void)
{
	static bool done = false;

	done = done || ares_library_init(ARES_LIB_INIT_ALL) == ARES_SUCCESS;
	return done;
}

/* lookups: as ARES_OPT_LOOKUPS has it, "f" for the hosts file, "b" for servers. */
static Channel *
open_channel(char *lookups)
{
	struct ares_options options;
	int			mask = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB |
		ARES_OPT_LOOKUPS;
	Channel    *fresh = calloc(1, sizeof(Channel));
	int			version = 0;

	if (fresh == NULL)
		return NULL;
	memset(&options, 0, sizeof(options));
	options.timeout = SERVER_TIMEOUT_MS;
	(void) ares_version(&version);
	options.tries = version >= C_ARES_1_31 ? ROUNDS_FROM_SHORT : ROUNDS;
	options.sock_state_cb = on_socket;
	options.lookups = lookups;
#ifdef ARES_OPT_QUERY_CACHE
	mask |= ARES_OPT_QUERY_CACHE;
	options.qcache_max_ttl = 0; /* we have a memory of our own */
#endif
	if (ares_init_options(&fresh->ares, &options, mask) == ARES_SUCCESS)
	{
		ares_set_socket_configure_callback(fresh->ares, on_new_socket, NULL);
		return fresh;
	}
	free(fresh);
	return NULL;
}

/* Those whose resolv.conf has changed end with their last look-up. */
static void
close_old_channels(void)
{
	Channel   **link = channels != NULL ? &channels->next : &channels;

	while (*link != NULL)
	{
		Channel    *old = *link;

		if (old->lookups > 0)
		{
			link = &old->next;
			continue;
		}
		*link = old->next;
		ares_destroy(old->ares);
		free(old);
	}
}

static bool
same_file(const struct stat *a, const struct stat *b)
{
	return a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
		a->st_mtim.tv_nsec == b->st_mtim.tv_nsec && a->st_size == b->st_size &&
		a->st_ino == b->st_ino && a->st_dev == b->st_dev;
}

/*
 * Without a resolv.conf there is a name server on this machine; but c-ares takes
 * one that it cannot open at the moment for none.
 */
static bool
can_read_config(void)
{
	int			fd = open("/etc/resolv.conf", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT;
	close(fd);
	return true;
}

static int
nchannels(void)
{
	int			n = 0;

	for (Channel *of = channels; of != NULL; of = of->next)
		n++;
	return n;
}

/* The channel for new look-ups, NULL if there is none to be had. */
static Channel *
current_channel(void)
{
	struct stat current;
	Channel    *fresh;

	close_old_channels();
	memset(&current, 0, sizeof(current));
	(void) stat("/etc/resolv.conf", &current);
	if (channels != NULL && same_file(&current, &config))
		return channels;
	if (nchannels() >= MAX_CHANNELS)
		return channels;		/* until look-ups of earlier ones have ended */
	fresh = can_read_config() ? open_channel("b") : NULL;
	if (fresh != NULL)
	{
		config = current;
		fresh->next = channels;
		channels = fresh;
	}
	return channels;
}

/* ---------------------------------------------------------------------
 * Names
 * ---------------------------------------------------------------------
 */

static Name **
bucket_of(const char *host)
{
	unsigned	hash = 2166136261u;

	for (; *host != '\0'; host++)
		hash = (hash ^ (unsigned char) *host) * 16777619u;
	return &buckets[(hash ^ (hash >> 16)) % BUCKETS];
}

static bool
is_asked(const Name *name)
{
	return name->asking || name->family[0].asked || name->family[1].asked;
}

static void
add_youngest(Name *name)
{
	name->younger = NULL;
	if (youngest != NULL)
		youngest->younger = name;
	else
		eldest = name;
	youngest = name;
}

/* Forget the eldest one, unless it is asked for: then it counts as new. */
static void
forget_eldest(void)
{
	Name	   *name = eldest;
	Name	  **link;

	eldest = name->younger;
	if (eldest == NULL)
		youngest = NULL;
	if (is_asked(name))
	{
		add_youngest(name);
		return;
	}
	link = bucket_of(name->host);
	while (*link != NULL && *link != name)
		link = &(*link)->next;
	if (*link != NULL)
		*link = name->next;
	free(name);
	nnames--;
}

static Name *
find_name(const char *host)
{
	Name	  **bucket = bucket_of(host);
	Name	   *name;
	size_t		size = strlen(host) + 1;

	for (name = *bucket; name != NULL; name = name->next)
	{
		if (strcmp(name->host, host) == 0)
			return name;
	}
	if (nnames >= MAX_NAMES)
		forget_eldest();
	name = calloc(1, sizeof(Name) + size);
	if (name == NULL)
		return NULL;
	memcpy(name->host, host, size);
	name->family[0].again_us = name->family[1].again_us = -1;
	name->next = *bucket;
	*bucket = name;
	add_youngest(name);
	nnames++;
	return name;
}

static bool
has_addresses(const Name *name)
{
	return name->family[0].addresses[0] != '\0' || name->family[1].addresses[0] != '\0';
}

const char *
http_names_late(const Name *name)
{
	static char text[300];

	snprintf(text, sizeof(text), "Could not resolve host: %.200s (timed out)", name->host);
	return text;
}

/*
 * What we lack, so that no name server could be asked; NULL: nothing.  Anybody's
 * port will do: UDP sends nothing to connect.
 */
static const char *
lacked(void)
{
	struct sockaddr_in nobody = {.sin_family = AF_INET, .sin_port = htons(53)};
	int			fd = socket(AF_INET, SOCK_DGRAM, 0);
	bool		port;

	if (fd < 0)
	{
		if (errno == EMFILE || errno == ENFILE)
			return "too many open files";
		return errno == ENOMEM || errno == ENOBUFS ? strerror(errno) : NULL;
	}
	nobody.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	port = connect(fd, (struct sockaddr *) &nobody, sizeof(nobody)) == 0 ||
		(errno != EAGAIN && errno != EADDRNOTAVAIL);
	close(fd);
	return port ? NULL : "no local port is free";
}

/* Whoever waits for it goes on, with what there is. */
static void
settle(Name *name, int64_t now_us)
{
	int			status = name->family[1].status;
	const char *lack;

	if (!name->asking)
		return;
	name->asking = false;
	for (int i = 0; i < 2; i++)
	{
		/* nobody is asked now */
		if (name->family[i].again_us >= 0)
			name->family[i].asked = false;
		name->family[i].again_us = -1;
	}
	for (Name **link = &asked; *link != NULL; link = &(*link)->next_asked)
	{
		if (*link == name)
		{
			*link = name->next_asked;
			break;
		}
	}
	if (has_addresses(name))
		name->good_until_us = now_us + (int64_t) name->ttl_s * 1000000;
	else
	{
		name->good_until_us = 0;
		if (status == ARES_SUCCESS || status == ARES_ENODATA)
			status = name->family[0].status;
		if (status == ARES_SUCCESS)
			status = ARES_ENODATA;
		lack = lacked();
		if (lack == NULL && status == ARES_ENOMEM)
			lack = channels != NULL ? http_no_memory : "/etc/resolv.conf cannot be read";
		name->lacking = lack != NULL;
		if (lack != NULL)
			snprintf(name->error, sizeof(name->error), "%s", lack);
		else if (now_us >= name->give_up_us || status == ARES_ETIMEOUT)
			snprintf(name->error, sizeof(name->error), "%s", http_names_late(name));
		else
			snprintf(name->error, sizeof(name->error),
					 "Could not resolve host: %.200s (%s)", name->host, ares_strerror(status));
	}
	http_name_settled(name, name->good_until_us > 0 ? NULL : name->error, name->lacking);
}

/* Is there a way to it?  UDP sends nothing to find that out. */
static bool
is_reachable(const struct sockaddr *address, socklen_t len)
{
	int			fd = socket(address->sa_family, SOCK_DGRAM, 0);
	bool		reached;

	if (fd < 0)
		return errno != EAFNOSUPPORT;	/* that we lack one now says nothing */
	reached = connect(fd, address, len) == 0;
	close(fd);
	return reached;
}

static void
keep_address(Family *family, const struct sockaddr *address)
{
	size_t		used = strlen(family->addresses);
	char		text[INET6_ADDRSTRLEN];
	bool		is_v6 = address->sa_family == AF_INET6;
	const void *bytes = is_v6 ?
		(const void *) &((const struct sockaddr_in6 *) address)->sin6_addr :
		(const void *) &((const struct sockaddr_in *) address)->sin_addr;

	if (inet_ntop(address->sa_family, bytes, text, sizeof(text)) == NULL ||
		sizeof(family->addresses) - used <= strlen(text) + 3)
		return;
	snprintf(family->addresses + used, sizeof(family->addresses) - used,
			 is_v6 ? "%s[%s]" : "%s%s", used > 0 ? "," : "", text);
}

static void
keep_ttl(Name *name, int ttl_s)
{
	if (ttl_s < name->ttl_s)
		name->ttl_s = ttl_s > MIN_TTL_S ? ttl_s : MIN_TTL_S;
}

/* The addresses of either family; how many? */
static int
keep_addresses(Name *name, const struct ares_addrinfo *result)
{
	int			count = 0;

	for (const struct ares_addrinfo_cname *alias = result->cnames; alias != NULL; alias = alias->next)
		keep_ttl(name, alias->ttl);
	for (const struct ares_addrinfo_node *node = result->nodes;
		 node != NULL && count < 2 * MAX_ADDRESSES; node = node->ai_next)
	{
		bool		is_v6 = node->ai_family == AF_INET6;
		Family	   *family = &name->family[is_v6 ? 0 : 1];

		if (!is_v6 && node->ai_family != AF_INET)
			continue;
		if (is_v6 && family->addresses[0] == '\0')
			name->v4_first = !is_reachable(node->ai_addr, node->ai_addrlen);
		keep_address(family, node->ai_addr);
		keep_ttl(name, node->ai_ttl);
		count++;
	}
	return count;
}

static void
on_found(void *arg, int status, int timeouts, struct ares_addrinfo *result)
{
	Lookup	   *lookup = arg;
	Name	   *name = lookup->name;
	Family	   *family = lookup->family;

	(void) timeouts;
	lookup->channel->lookups--;
	free(lookup);
	if (status == ARES_EBADRESP && name->asking && family->repeats++ < MAX_REPEATS)
	{
		family->again_us = poller_clock() + REPEAT_US;
		return;
	}
	family->asked = false;
	family->status = status;
	family->addresses[0] = '\0';
	if (status == ARES_SUCCESS)
	{
		(void) keep_addresses(name, result);
		ares_freeaddrinfo(result);
	}

	/* it may come late, and be good for less long */
	if (!name->asking && name->good_until_us > 0)
	{
		int64_t		until_us = poller_clock() + (int64_t) name->ttl_s * 1000000;

		if (until_us < name->good_until_us)
			name->good_until_us = until_us;
	}
	if (!name->family[0].asked && !name->family[1].asked)
		settle(name, poller_clock());
	else if (family->addresses[0] != '\0')
		name->settle_us = poller_clock() + OTHER_FAMILY_US;
}

static void
on_host(void *arg, int status, int timeouts, struct ares_addrinfo *result)
{
	Name	   *name = arg;

	(void) timeouts;
	if (status != ARES_SUCCESS)
		return;
	(void) keep_addresses(name, result);
	ares_freeaddrinfo(result);
}

/*
 * What the hosts file says of a name is all there is to it: one family must not
 * come from there and the other from a name server.
 */
static bool
find_in_hosts(Name *name)
{
	struct ares_addrinfo_hints hints;

	if (hosts == NULL && (hosts = open_channel("f")) == NULL)
		return false;
	memset(&hints, 0, sizeof(hints));
	hints.ai_family = AF_UNSPEC;
	hints.ai_socktype = SOCK_STREAM;
	hints.ai_flags = ARES_AI_NOSORT;
	ares_getaddrinfo(hosts->ares, name->host, NULL, &hints, on_host, name);
	return has_addresses(name);
}

static void
ask(Name *name, Channel *by, int which)
{
	struct ares_addrinfo_hints hints;
	Lookup	   *lookup = malloc(sizeof(Lookup));

	memset(&hints, 0, sizeof(hints));
	hints.ai_family = which == 0 ? AF_INET6 : AF_INET;
	hints.ai_socktype = SOCK_STREAM;
	hints.ai_flags = ARES_AI_NOSORT;
	name->family[which].again_us = -1;
	if (lookup == NULL)
	{
		name->family[which].status = ARES_ENOMEM;
		name->family[which].asked = false;
		return;
	}
	lookup->name = name;
	lookup->family = &name->family[which];
	lookup->channel = by;
	by->lookups++;
	ares_getaddrinfo(by->ares, name->host, NULL, &hints, on_found, lookup);
}

/*
 * Somebody waits for it from now on.  A family that is being asked for still,
 * for those who have given up on it or went on without it, is not asked twice.
 */
static void
start(Name *name, int64_t now_us)
{
	Channel    *by = current_channel();
	bool		wanted[2];
	bool		found_here;

	name->asking = true;
	name->next_asked = asked;
	asked = name;
	name->give_up_us = now_us + LOOK_UP_US;
	name->settle_us = -1;
	name->ttl_s = MAX_TTL_S;
	for (int i = 0; i < 2; i++)
	{
		wanted[i] = !name->family[i].asked;
		if (!wanted[i])
			continue;
		name->family[i].status = by == NULL ? ARES_ENOMEM : ARES_ETIMEOUT;
		name->family[i].repeats = 0;
		name->family[i].again_us = -1;
		name->family[i].addresses[0] = '\0';
	}
	found_here = wanted[0] && wanted[1] && find_in_hosts(name);

	/* both, or the first one's answer would be taken for all there is */
	for (int i = 0; i < 2; i++)
		name->family[i].asked |= wanted[i] && by != NULL && !found_here;
	for (int i = 0; i < 2; i++)
	{
		if (wanted[i] && name->family[i].asked)
			ask(name, by, i);
	}
	if (!name->family[0].asked && !name->family[1].asked)
		settle(name, now_us);
}

/* Names that are this machine's, whatever a name server says (RFC 6761, 6.3). */
static bool
is_localhost(const char *host)
{
	static const char localhost[] = "localhost";
	size_t		len = strlen(host);
	size_t		own_len = sizeof(localhost) - 1;

	if (len > 0 && host[len - 1] == '.')
		len--;
	return len >= own_len && strncasecmp(host + len - own_len, localhost, own_len) == 0 &&
		(len == own_len || host[len - own_len - 1] == '.');
}

NameState
http_names_find(const char *host, Name **name, const char **addresses,
				const char **error, bool *lacking)
{
	int64_t		now_us = poller_clock();
	Name	   *known;

	*lacking = false;
	if (is_localhost(host))
	{
		*addresses = "[::1],127.0.0.1";
		return NAME_KNOWN;
	}
	known = find_name(host);
	*name = known;
	if (known == NULL)
	{
		*error = http_no_memory;
		*lacking = true;
		return NAME_FAILED;
	}
	if (known->good_until_us <= now_us && !known->asking)
		start(known, now_us);
	if (known->asking)
		return NAME_ASKED;
	if (known->good_until_us > 0)
	{
		const char *first = known->family[known->v4_first ? 1 : 0].addresses;
		const char *second = known->family[known->v4_first ? 0 : 1].addresses;

		snprintf(found, sizeof(found), "%s%s%s", first,
				 first[0] != '\0' && second[0] != '\0' ? "," : "", second);
		*addresses = found;
		return NAME_KNOWN;
	}
	*error = known->error;
	*lacking = known->lacking;
	return NAME_FAILED;
}

/* ---------------------------------------------------------------------
 * The loop's part
 * ---------------------------------------------------------------------
 */

static void
process(ares_socket_t readable, ares_socket_t writable)
{
	for (Channel *of = channels; of != NULL; of = of->next)
	{
		if (of->lookups > 0)
			ares_process_fd(of->ares, readable, writable);
	}
}

bool
http_names_event(int fd, int events)
{
	for (int i = 0; i < nsockets; i++)
	{
		if (sockets[i] != fd)
			continue;
		process((events & POLLER_IN) ? fd : ARES_SOCKET_BAD,
				(events & POLLER_OUT) ? fd : ARES_SOCKET_BAD);
		return true;
	}
	return false;
}

void
http_names_run(int64_t now_us)
{
	Name	   *next;

	process(ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	for (Name *name = asked; name != NULL; name = next)
	{
		next = name->next_asked;
		for (int i = 0; i < 2; i++)
		{
			if (name->family[i].again_us >= 0 && now_us >= name->family[i].again_us &&
				channels != NULL)
				ask(name, channels, i);
		}
		if (now_us >= name->give_up_us || (name->settle_us >= 0 && now_us >= name->settle_us))
			settle(name, now_us);
	}
}

void
http_names_give_back(int64_t away_us)
{
	for (Name *name = asked; name != NULL; name = name->next_asked)
	{
		name->give_up_us += away_us;
		if (name->settle_us >= 0)
			name->settle_us += away_us;
	}
}

/* When c-ares wants to ask again, or wants to give up. */
static int64_t
channel_timeout(Channel *of)
{
	struct timeval wait;

	if (of->lookups == 0 || ares_timeout(of->ares, NULL, &wait) == NULL)
		return -1;
	return poller_clock() + (int64_t) wait.tv_sec * 1000000 + wait.tv_usec;
}

int64_t
http_names_next(void)
{
	int64_t		when = -1;

	for (Channel *of = channels; of != NULL; of = of->next)
		when = sooner(when, channel_timeout(of));
	for (Name *name = asked; name != NULL; name = name->next_asked)
	{
		when = sooner(when, sooner(name->give_up_us, name->settle_us));
		when = sooner(when, sooner(name->family[0].again_us, name->family[1].again_us));
	}
	return when;
}
