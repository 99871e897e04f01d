/*-------------------------------------------------------------------------
 *
 * http_book.h
 *		The names that http_lookup.c has asked for, and what it found.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_HTTP_BOOK_H
#define RSWEBHOOK_HTTP_BOOK_H

#include <ares.h>
#include <netinet/in.h>

#include "http/http_search.h"
#include "http/transfer.h"

/* An answer is kept so long, whatever it says. */
#define MIN_TTL_S			1
#define MAX_TTL_S			600

/* Addresses of one family that are used, and their text. */
#define MAX_ADDRESSES		16
#define FAMILY_SIZE			(MAX_ADDRESSES * (INET6_ADDRSTRLEN + 3))

typedef struct Family
{
	struct Name *name;
	bool		asked;			/* and not answered */
	int			lookups;		/* quick ones that have not ended, answered or not */
	int64_t		began_us;		/* the last of them */
	int			patient;		/* likewise, patient ones; and when to ask these ... */
	int64_t		patient_us;		/* ... if there is no answer; -1: no need */
	int			stale;			/* of both, those of earlier rounds */
	int			repeats;
	int64_t		again_us;		/* when to ask again, while asked; -1: no need */
	int			status;			/* of c-ares */
	int			naddresses;
	char		addresses[FAMILY_SIZE]; /* separated by commas */
} Family;

typedef struct Name
{
	struct Name *next;			/* in its bucket */
	struct Name *younger;		/* in the order in which they came */
	struct Name *next_asked;
	bool		asking;			/* it is being looked up ... */
	int64_t		asked_us;		/* ... since then */
	int64_t		give_up_us;		/* then, while asking */
	int64_t		settle_us;		/* likewise, use what there is; -1: no */
	int64_t		good_until_us;	/* 0: there are no addresses (yet, while asking) */
	int			ttl_s;
	unsigned	round;			/* another one for each name that is asked for ... */
	char		whole[SEARCH_NAME_SIZE];	/* ... which is this one ... */
	int			place;			/* ... in the search, while nothing is found */
	int64_t		move_us;		/* when to go on to the next one; 0: at once; -1: no */
	bool		exists;			/* one of those before this, without addresses */
	Family		family[2];		/* IPv6, IPv4 */
	bool		v4_first;		/* there is no way to the IPv6 addresses */
	bool		in_hosts;		/* that is where its addresses are from */
	unsigned	hosts_version;	/* in which it was looked for last */
	char		error[300];
	bool		lacking;
	char		host[];
} Name;

/* That of the host, which may be new; NULL: no memory.  One may be forgotten for it. */
extern Name *http_book_find(const char *host);

/* What is found is good for no longer than that, but for MIN_TTL_S at least. */
extern void http_book_keep_ttl(Name *name, int ttl_s);

extern void http_book_forget_addresses(Family *family);
extern void http_book_keep_address(Name *name, const struct sockaddr *address, socklen_t len);
extern void http_book_keep_answer(Name *name, const struct ares_addrinfo *result);
extern bool http_book_has_addresses(const Name *name);

/* As CURLOPT_RESOLVE takes them, good until the next call. */
extern const char *http_book_addresses(const Name *name);

#endif							/* RSWEBHOOK_HTTP_BOOK_H */
