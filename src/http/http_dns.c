/*-------------------------------------------------------------------------
 *
 * http_dns.c
 *		The HTTP room, the name servers: c-ares, as /etc/resolv.conf says, on the
 *		room's own poller.
 *
 * There is one channel of c-ares for quick answers, which asks one name server
 * after the other.  From 1.29, c-ares does not hear an answer that comes after the
 * next one was asked, and from 1.31 it soon asks the next one where it has seen
 * quick answers.  So for those that take their time there are patient channels, one
 * for each name server, which are there while somebody waits for them.
 *
 * Before 1.20, c-ares takes a connection by TCP that fails for a failure of all that
 * it has asked that name server.  So there what has been truncated is asked for by
 * TCP in channels of its own, which are there likewise.
 *
 * All are opened anew when that file says something else.  All that was asked by
 * the old ones is over then, and whoever still waits asks again.
 *
 * See transfer.h for the rules of the room.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */

/* The old way to name its servers: all versions have it. */
#define CARES_NO_DEPRECATED

#include <ares.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "http/http_curl.h"
#include "http/http_dns.h"
#include "http/http_dns_socket.h"
#include "http/http_files.h"
#include "http/http_search.h"
#include "http/poller.h"
#include "http/transfer.h"

/* A name server has so long to answer, before the next one is asked; twice as
 * long in each further round. */
#define SERVER_TIMEOUT_MS	1000
#define ROUNDS				3
#define LAST_TIMEOUT_MS		(SERVER_TIMEOUT_MS << (ROUNDS - 1))

/*
 * From 1.31, c-ares begins with 250 ms where a server is quick as a rule, which
 * it is with what it has in its cache.
 */
#define ROUNDS_FROM_SHORT	6

/*
 * What is asked patiently has so long.  A server beyond these is asked quickly only.
 * After a few answers c-ares thinks that it knows how long a server takes at most:
 * a patient channel that has had one is not asked again, but another, while what it
 * has asked goes on.
 */
#define PATIENT_TIMEOUT_MS	8500
#define PATIENT_SERVERS		3
#define ALL_SERVERS			(-1)

/* Questions by TCP that share no connection, for each server and for all of them. */
#define TCP_CHANNELS		8

/* While resolv.conf changes all the time, the name servers have so long. */
#define KEEP_US				(100 * 1000)

/* Sockets of c-ares: a few for each name server and channel. */
#define MAX_SOCKETS			256

typedef struct Channel
{
	ares_channel ares;			/* NULL: not open */
	int			nasked;			/* look-ups that have not ended */
	bool		has_answered;
} Channel;

/* What c-ares hands back. */
typedef struct Question
{
	Channel    *channel;
	int			server;
	bool		by_tcp;
	int			family;
	unsigned	round;
	HttpDnsCallback *callback;
	void	   *arg;
	int64_t		asked_us;
	char		name[];
} Question;

typedef struct Socket
{
	int			fd;
	Channel    *channel;
} Socket;

static Channel quick;
static Channel patient[PATIENT_SERVERS][2];
static Channel tcp[1 + PATIENT_SERVERS][TCP_CHANNELS];	/* all servers; each of them */

static HttpFile resolv_conf = {.path = "/etc/resolv.conf"};
static int	nservers = 0;		/* that are there */

static Socket sockets[MAX_SOCKETS];
static int	nsockets = 0;

/* ---------------------------------------------------------------------
 * Sockets
 * ---------------------------------------------------------------------
 */

static void
on_socket(void *arg, ares_socket_t fd, int readable, int writable)
{
	int			i;

	for (i = 0; i < nsockets && sockets[i].fd != fd; i++)
		;
	if (readable || writable)
	{
		if (i == MAX_SOCKETS)
			return;				/* what nobody would read is not waited for */
		if (i == nsockets)
			sockets[nsockets++] = (Socket) {fd, arg};
	}
	else if (i < nsockets)
		sockets[i] = sockets[--nsockets];
	poller_want(fd, (readable ? POLLER_IN : 0) | (writable ? POLLER_OUT : 0));
}

/* ---------------------------------------------------------------------
 * Channels
 * ---------------------------------------------------------------------
 */

static int
count_servers(ares_channel ares)
{
	struct ares_addr_port_node *servers = NULL;
	int			count = 0;

	if (ares_get_servers_ports(ares, &servers) == ARES_SUCCESS)
	{
		for (struct ares_addr_port_node *server = servers; server != NULL; server = server->next)
			count++;
	}
	ares_free_data(servers);
	return count;
}

static bool
keep_server(ares_channel ares, int which)
{
	struct ares_addr_port_node *servers = NULL;
	struct ares_addr_port_node *server;
	bool		kept = false;

	if (ares_get_servers_ports(ares, &servers) != ARES_SUCCESS)
		return false;
	for (server = servers; server != NULL && which > 0; which--)
		server = server->next;
	if (server != NULL)
	{
		struct ares_addr_port_node alone = *server;

		/* the interface of a link-local one would be lost */
		alone.next = NULL;
		kept = servers->next == NULL || ares_set_servers_ports(ares, &alone) == ARES_SUCCESS;
	}
	ares_free_data(servers);
	return kept;
}

/* For what follows in that channel, which may still be an earlier one. */
static bool
open_channel(Channel *channel, int server, bool by_tcp, ares_channel *fresh)
{
	static char servers_only[] = "b";
	struct ares_options options;
	int			mask = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB |
		ARES_OPT_LOOKUPS | ARES_OPT_DOMAINS;
	bool		quickly = server == ALL_SERVERS && !by_tcp;

	memset(&options, 0, sizeof(options));
	options.timeout = quickly ? SERVER_TIMEOUT_MS : PATIENT_TIMEOUT_MS;
	options.tries = server != ALL_SERVERS && !by_tcp ? 1 :
		http_dns_version() >= C_ARES_1_31 ? ROUNDS_FROM_SHORT : ROUNDS;
	options.sock_state_cb = on_socket;
	options.sock_state_cb_data = channel;
	options.lookups = servers_only;

	/* before 1.18, a dot at the end of a name does not keep c-ares from searching */
	options.ndomains = 0;
	if (by_tcp)
	{
		mask |= ARES_OPT_FLAGS;
		options.flags = ARES_FLAG_USEVC;
	}
#ifdef ARES_OPT_QUERY_CACHE
	mask |= ARES_OPT_QUERY_CACHE;
	options.qcache_max_ttl = 0; /* we have a memory of our own */
#endif
#ifdef ARES_OPT_MAXTIMEOUTMS
	mask |= ARES_OPT_MAXTIMEOUTMS;
	options.maxtimeout = quickly ? LAST_TIMEOUT_MS : PATIENT_TIMEOUT_MS;
#endif
	if (ares_init_options(fresh, &options, mask) != ARES_SUCCESS)
		return false;
	ares_set_socket_functions(*fresh, &http_dns_functions, NULL);
	if (server == ALL_SERVERS || keep_server(*fresh, server))
		return true;
	ares_destroy(*fresh);
	return false;
}

static void
close_channel(Channel *channel)
{
	if (channel->ares != NULL)
		ares_destroy(channel->ares);
	channel->ares = NULL;
	channel->has_answered = false;
}

/* The channels that are there while somebody waits; NULL: there are no more. */
static Channel *
passing(int i)
{
	int			npatient = 2 * PATIENT_SERVERS;
	int			ntcp = (1 + PATIENT_SERVERS) * TCP_CHANNELS;

	if (i < npatient)
		return &patient[i / 2][i % 2];
	i -= npatient;
	return i < ntcp ? &tcp[i / TCP_CHANNELS][i % TCP_CHANNELS] : NULL;
}

/*
 * Without a resolv.conf there is a name server on this machine; but c-ares takes
 * one that it cannot open at the moment for none.
 */
HttpFileState
http_dns_refresh(int64_t now_us)
{
	char	   *text;
	size_t		size;
	ares_channel fresh;
	HttpFileState state = http_file_look(&resolv_conf, now_us, &text, &size);

	if (state == HTTP_FILE_UNREADABLE)
	{
		if (quick.ares != NULL)
			return HTTP_FILE_SAME;
		if (!http_dns_note_lack(errno))
			http_dns_note("/etc/resolv.conf cannot be read");
		return state;
	}
	if (state != HTTP_FILE_CHANGED)
		return state;
	if (!open_channel(&quick, ALL_SERVERS, false, &fresh))
	{
		free(text);
		resolv_conf.known = false;
		if (quick.ares != NULL)
			return HTTP_FILE_SAME;
		http_dns_note(http_no_memory);
		return HTTP_FILE_UNREADABLE;
	}
	http_search_read(text, size);
	free(text);
	resolv_conf.again_us = poller_clock() + KEEP_US;
	if (!http_file_is_same(&resolv_conf))
		resolv_conf.known = false;	/* c-ares has read another one */
	close_channel(&quick);
	for (int i = 0; passing(i) != NULL; i++)
		close_channel(passing(i));
	quick.ares = fresh;
	nservers = count_servers(fresh);
	return state;
}

int64_t
http_dns_again(void)
{
	return resolv_conf.again_us;
}

/* It must read what the quick one has read; if that has changed, all begins anew soon. */
static bool
open_passing(Channel *channel, int server, bool by_tcp)
{
	HttpFile	again = {.path = resolv_conf.path};
	char	   *text;
	size_t		size;

	if (!http_file_is_same(&resolv_conf))
		return false;
	if (http_file_look(&again, 0, &text, &size) == HTTP_FILE_UNREADABLE)
	{
		(void) http_dns_note_lack(errno);
		return false;
	}
	free(text);
	if (!open_channel(channel, server, by_tcp, &channel->ares))
	{
		channel->ares = NULL;
		http_dns_note(http_no_memory);
		return false;
	}
	if (http_file_is_same(&resolv_conf))
		return true;
	close_channel(channel);
	return false;
}

/* NULL: it cannot be asked patiently now. */
static Channel *
patient_channel(int server)
{
	Channel    *both = patient[server];

	for (int i = 0; i < 2; i++)
	{
		if (both[i].ares != NULL && !both[i].has_answered)
			return &both[i];
	}
	for (int i = 0; i < 2; i++)
	{
		if (both[i].ares == NULL && open_passing(&both[i], server, false))
			return &both[i];
	}
	return both[0].ares != NULL ? &both[0] : both[1].ares != NULL ? &both[1] : NULL;
}

/* One that nobody else asks, as long as there is one; NULL: none can be opened now. */
static Channel *
tcp_channel(int server)
{
	Channel    *all = tcp[1 + server];
	Channel    *least = all;

	for (int i = 1; i < TCP_CHANNELS; i++)
	{
		if (all[i].nasked < least->nasked)
			least = &all[i];
	}
	return least->ares != NULL || open_passing(least, server, true) ? least : NULL;
}

/* ---------------------------------------------------------------------
 * Questions
 * ---------------------------------------------------------------------
 */

bool
http_dns_is_answer(int status)
{
	return status == ARES_SUCCESS || status == ARES_ENODATA || status == ARES_ENOTFOUND;
}

bool
http_dns_is_useless(int status)
{
	return status == ARES_EFORMERR || (status == ARES_EBADRESP && http_dns_version() < C_ARES_1_31);
}

static void on_answer(void *arg, int status, int timeouts, struct ares_addrinfo *found);

static void
ask_channel(Channel *channel, Question *question)
{
	struct ares_addrinfo_hints hints;

	question->channel = channel;
	channel->nasked++;
	memset(&hints, 0, sizeof(hints));
	hints.ai_family = question->family;
	hints.ai_socktype = SOCK_STREAM;
	hints.ai_flags = ARES_AI_NOSORT;
	ares_getaddrinfo(channel->ares, question->name, NULL, &hints, on_answer, question);
}

/* If it cannot be asked: whether that is because there are other name servers. */
static int
ask_by_tcp(Question *question)
{
	Channel    *channel = tcp_channel(question->server);

	if (channel == NULL)
		return http_file_is_same(&resolv_conf) ? ARES_ECONNREFUSED : ARES_EDESTRUCTION;
	question->by_tcp = true;
	ask_channel(channel, question);
	return ARES_SUCCESS;
}

static void
on_answer(void *arg, int status, int timeouts, struct ares_addrinfo *found)
{
	Question   *question = arg;
	HttpDnsAnswer answer;

	(void) timeouts;
	question->channel->nasked--;
	if (status == ARES_EFORMERR && http_dns_was_truncated() && !question->by_tcp)
	{
		status = ask_by_tcp(question);
		if (status == ARES_SUCCESS)
			return;
	}
	answer = (HttpDnsAnswer) {
		.status = http_dns_status(status), .found = found, .asked_us = question->asked_us,
		.round = question->round, .patiently = question->server != ALL_SERVERS
	};
	if (http_dns_is_answer(answer.status))
		question->channel->has_answered = true;
	question->callback(question->arg, &answer);
	free(question);
	if (answer.status == ARES_SUCCESS)
		ares_freeaddrinfo(found);
}

static bool
ask(Channel *channel, int server, const HttpDnsWanted *wanted, int *asked,
	HttpDnsCallback *callback, void *arg)
{
	size_t		size = strlen(wanted->name) + 1;
	Question   *question = malloc(sizeof(Question) + size);

	if (question == NULL)
		return false;
	*question = (Question) {
		.server = server, .family = wanted->family, .round = wanted->round,
		.callback = callback, .arg = arg, .asked_us = poller_clock()
	};
	memcpy(question->name, wanted->name, size);
	(*asked)++;
	ask_channel(channel, question);
	return true;
}

bool
http_dns_ask(const HttpDnsWanted *wanted, int *asked, HttpDnsCallback *callback, void *arg)
{
	return quick.ares != NULL && ask(&quick, ALL_SERVERS, wanted, asked, callback, arg);
}

void
http_dns_ask_patiently(const HttpDnsWanted *wanted, int *asked, HttpDnsCallback *callback,
					   void *arg)
{
	for (int server = 0; server < nservers && server < PATIENT_SERVERS; server++)
	{
		Channel    *channel = patient_channel(server);

		if (channel != NULL && !ask(channel, server, wanted, asked, callback, arg))
			http_dns_note(http_no_memory);
	}
}

/* ---------------------------------------------------------------------
 * What is due
 * ---------------------------------------------------------------------
 */

bool
http_dns_event(int fd, int events)
{
	for (int i = 0; i < nsockets; i++)
	{
		if (sockets[i].fd != fd)
			continue;
		ares_process_fd(sockets[i].channel->ares, (events & POLLER_IN) ? fd : ARES_SOCKET_BAD,
						(events & POLLER_OUT) ? fd : ARES_SOCKET_BAD);
		return true;
	}
	return false;
}

static void
run(const Channel *channel)
{
	if (channel->nasked > 0)
		ares_process_fd(channel->ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

void
http_dns_run(void)
{
	run(&quick);
	for (int i = 0; passing(i) != NULL; i++)
	{
		Channel    *channel = passing(i);

		run(channel);
		if (channel->nasked == 0)
			close_channel(channel);
	}
}

/* When c-ares wants to ask again, or wants to give up. */
static int64_t
next(const Channel *channel)
{
	struct timeval wait;

	if (channel->nasked == 0 || ares_timeout(channel->ares, NULL, &wait) == NULL)
		return -1;
	return poller_clock() + (int64_t) wait.tv_sec * 1000000 + wait.tv_usec;
}

int64_t
http_dns_next(void)
{
	int64_t		when = next(&quick);

	for (int i = 0; passing(i) != NULL; i++)
		when = sooner(when, next(passing(i)));
	return when;
}
