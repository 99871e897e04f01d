/*-------------------------------------------------------------------------
 *
 * http_dns.h
 *		What http_names.c asks name servers with.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_HTTP_DNS_H
#define RSWEBHOOK_HTTP_DNS_H

#include <ares.h>

#include "http/http_files.h"

/*
 * Does resolv.conf say something new?  CHANGED: all that was asked has ended, with
 * ARES_EDESTRUCTION, and may be asked again.  LATER: nothing is to be asked before
 * http_dns_again().
 */
extern HttpFileState http_dns_refresh(int64_t now_us);
extern int64_t http_dns_again(void);

/* What is asked for: a whole name, with a dot at its end, of which there is no search. */
typedef struct HttpDnsWanted
{
	const char *name;
	int			family;
	unsigned	round;			/* the asker's own */
} HttpDnsWanted;

/*
 * What was found, as long as the function runs, if the status is ARES_SUCCESS; and
 * since when it was asked for, in which round, and whether patiently.
 */
typedef struct HttpDnsAnswer
{
	int			status;
	const struct ares_addrinfo *found;
	int64_t		asked_us;
	unsigned	round;
	bool		patiently;
} HttpDnsAnswer;

typedef void HttpDnsCallback(void *arg, const HttpDnsAnswer *answer);

/*
 * Asks one name server after the other, each for a short time.  *asked is one more
 * then, and the callback comes once, perhaps before this returns.  False: it does not
 * come, for lack of memory or because resolv.conf could never be read.
 */
extern bool http_dns_ask(const HttpDnsWanted *wanted, int *asked, HttpDnsCallback *callback,
						 void *arg);

/* Asks all at once, and waits long; the callback comes for each that could be asked. */
extern void http_dns_ask_patiently(const HttpDnsWanted *wanted, int *asked,
								   HttpDnsCallback *callback, void *arg);

/* Does it say what is or is not there, so that nobody else need be heard? */
extern bool http_dns_is_answer(int status);

/* Is it an answer that c-ares can do nothing with, and asks no other server for? */
extern bool http_dns_is_useless(int status);

/* What is due; and when something is, -1: nothing. */
extern void http_dns_run(void);
extern int64_t http_dns_next(void);

/* Is this descriptor one of the resolver's?  It does what it can. */
extern bool http_dns_event(int fd, int events);

#endif							/* RSWEBHOOK_HTTP_DNS_H */
