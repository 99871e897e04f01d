/*-------------------------------------------------------------------------
 *
 * http_names.c
 *		The HTTP room, its names: who waits for which, and who is asked for them.
 *
 * libcurl would look names up in threads, which nothing bounds and nobody can
 * stop.  c-ares needs none (http_dns.c): it asks over a few sockets a name server
 * however many names are asked for.  libcurl is handed the addresses
 * (CURLOPT_RESOLVE).  The hosts file (http_files.c) comes first: what it says of a
 * name is all there is to it.
 *
 * Each name is asked for once (http_lookup.c), whoever waits for it, and what is
 * found is kept as long as it says (http_book.c).
 *
 * See transfer.h for the rules of the room.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <string.h>

#include "http/ascii.h"
#include "http/http_book.h"
#include "http/http_curl.h"
#include "http/http_dns.h"
#include "http/http_dns_socket.h"
#include "http/http_files.h"
#include "http/http_lookup.h"
#include "http/http_names.h"
#include "http/poller.h"
#include "http/reserve.h"
#include "http/transfer.h"

/* While names are waited for, the files are looked at so often. */
#define LOOK_AT_FILES_US	(1000 * 1000)

static int64_t seen_us = 0;		/* the last look at them */
static int64_t looked_us = 0;	/* at the files ... */
static unsigned looked_version = 0;	/* ... of which the hosts file was this */

bool
http_names_init(void)
{
	static bool done = false;

	done = done || ares_library_init_mem(ARES_LIB_INIT_ALL, reserve_malloc, reserve_free,
										 reserve_realloc) == ARES_SUCCESS;
	return done;
}

static void
keep_host(void *arg, const struct sockaddr *address, socklen_t len)
{
	http_book_keep_address(arg, address, len);
}

/*
 * What the hosts file says of a name is all there is to it: one family must not
 * come from there and the other from a name server, however late that answers.
 */
static bool
find_in_hosts(Name *name, int64_t now_us)
{
	if (!http_hosts_find(name->host, NULL, NULL))
		return false;
	for (int i = 0; i < 2; i++)
	{
		name->family[i].asked = false;
		name->family[i].status = ARES_ENODATA;
		http_book_forget_addresses(&name->family[i]);
	}
	name->good_until_us = 0;
	name->in_hosts = true;
	(void) http_hosts_find(name->host, keep_host, name);
	http_book_keep_ttl(name, MIN_TTL_S);
	http_lookup_settle(name, now_us);
	return true;
}

/* Has the hosts file another word on it now, whatever a name server has said? */
static bool
is_new_in_hosts(Name *name, int64_t now_us)
{
	unsigned	version = name->hosts_version;

	(void) http_hosts_look(now_us, &name->hosts_version);
	return name->hosts_version != version &&
		(name->in_hosts || http_hosts_find(name->host, NULL, NULL));
}

/* Somebody waits for it from now on. */
static void
start(Name *name, int64_t now_us)
{
	HttpFileState state = http_hosts_look(now_us, &name->hosts_version);
	int			error = errno;

	http_lookup_begin(name, now_us);
	if (find_in_hosts(name, now_us))
		return;
	if (name->hosts_version == 0 && state == HTTP_FILE_UNREADABLE && http_dns_note_lack(error))
	{
		name->family[0].asked = name->family[1].asked = false;
		http_lookup_settle(name, now_us);
	}
}

/* The hosts file says something new, perhaps of names that are waited for. */
static void
look_in_new_hosts(int64_t now_us)
{
	Name	   *next;

	for (Name *name = http_lookups(); name != NULL; name = next)
	{
		next = name->next_asked;
		(void) find_in_hosts(name, now_us);
	}
}

/* Until when nobody is to be asked, since a file is about to change; -1: now. */
static int64_t
look_at_files(int64_t now_us)
{
	unsigned	version;
	int64_t		until_us = -1;
	HttpFileState state;

	looked_us = now_us;
	state = http_hosts_look(now_us, &version);
	if (version != looked_version)
		look_in_new_hosts(now_us);
	looked_version = version;
	if (state == HTTP_FILE_LATER)
		until_us = http_hosts_again();
	state = http_dns_refresh(now_us);
	if (state == HTTP_FILE_CHANGED)
	{
		for (Name *name = http_lookups(); name != NULL; name = name->next_asked)
			http_lookup_anew(name, now_us);
	}
	else if (state == HTTP_FILE_LATER && http_dns_again() > until_us)
		until_us = http_dns_again();
	return until_us;
}

/* ---------------------------------------------------------------------
 * The doors
 * ---------------------------------------------------------------------
 */

/* Names that are this machine's, whatever a name server says (RFC 6761, 6.3). */
static bool
is_localhost(const char *host)
{
	static const char localhost[] = "localhost";
	size_t		len = strlen(host);
	size_t		own_len = sizeof(localhost) - 1;

	if (len > 0 && host[len - 1] == '.')
		len--;
	return len >= own_len && ascii_begin_same(host + len - own_len, localhost, own_len) &&
		(len == own_len || host[len - own_len - 1] == '.');
}

NameState
http_names_find(const char *host, Name **name, const char **addresses,
				const char **error, bool *lacking)
{
	int64_t		now_us = poller_clock();
	Name	   *known;

	*lacking = false;
	*name = NULL;
	if (is_localhost(host))
	{
		*addresses = "[::1],127.0.0.1";
		return NAME_KNOWN;
	}
	known = http_book_find(host);
	*name = known;
	if (known == NULL)
	{
		*error = http_no_memory;
		*lacking = true;
		return NAME_FAILED;
	}
	if (known->asking && known->good_until_us == 0)
		return NAME_ASKED;
	if (known->good_until_us <= now_us || is_new_in_hosts(known, now_us))
		start(known, now_us);
	if (known->good_until_us > 0)
	{
		*addresses = http_book_addresses(known);
		return NAME_KNOWN;
	}
	if (known->asking)
		return NAME_ASKED;
	*error = known->error;
	*lacking = known->lacking;
	return NAME_FAILED;
}

static bool
is_missing(const Family *family)
{
	return family->naddresses == 0 &&
		(family->asked || (family->status != ARES_ENODATA && family->status != ARES_ENOTFOUND));
}

int
http_names_missing(const Name *name)
{
	return is_missing(&name->family[0]) ? 0 : is_missing(&name->family[1]) ? 1 : -1;
}

NameState
http_names_rest(const char *host, Name **name, int *missing, const char **lack)
{
	Name	   *known = http_book_find(host);
	const Family *family;

	*name = known;
	*lack = http_no_memory;
	if (known == NULL)
		return NAME_FAILED;
	*lack = NULL;
	family = &known->family[*missing];
	if (family->naddresses > 0)
		return NAME_KNOWN;
	if (is_missing(family))
		*lack = http_dns_lack_since(known->asked_us);
	else
		*missing = -1;
	return known->asking && family->asked ? NAME_ASKED : NAME_FAILED;
}

void
http_names_distrust(Name *name)
{
	if (!name->asking)
		name->good_until_us = 0;
}

/* Time in which we were away is not theirs; they are looked at with the files. */
static void
give_back(int64_t now_us)
{
	int64_t		away_us = now_us - seen_us - LOOK_AT_FILES_US;

	seen_us = now_us;
	if (away_us < HTTP_LATE_US)
		return;
	for (Name *name = http_lookups(); name != NULL; name = name->next_asked)
		http_lookup_put_off(name, away_us);
}

void
http_names_run(int64_t now_us)
{
	Name	   *next;
	bool		look = http_lookups() != NULL && now_us >= looked_us + LOOK_AT_FILES_US;
	int64_t		until_us;

	give_back(now_us);
	http_dns_run();
	for (Name *name = http_lookups(); name != NULL; name = name->next_asked)
		look = http_lookup_search_on(name, now_us) || look;
	until_us = look ? look_at_files(now_us) : -1;
	for (Name *name = http_lookups(); name != NULL; name = next)
	{
		next = name->next_asked;
		http_lookup_run(name, now_us, until_us);
	}
}

int64_t
http_names_next(void)
{
	int64_t		when = http_dns_next();

	if (http_lookups() != NULL)
		when = sooner(when, looked_us + LOOK_AT_FILES_US);
	for (Name *name = http_lookups(); name != NULL; name = name->next_asked)
		when = sooner(when, http_lookup_next(name));
	return when;
}
