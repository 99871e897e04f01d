/*-------------------------------------------------------------------------
 *
 * http_curl.h
 *		What stands below all other files of this folder.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_HTTP_CURL_H
#define RSWEBHOOK_HTTP_CURL_H

#include "http/transfer.h"

/*
 * What those below tell those above, which set it: who waits for what happens
 * here, and what it means, is their affair.
 */
typedef struct HttpUpwards
{
	/*
	 * http_untold.c: one of several addresses is tried; libcurl may forget the
	 * next one.
	 */
	void		(*trying) (void);

	/*
	 * http_untold.c: libcurl was about to send a request again, on another
	 * connection: because its stream was refused, or because its connection is
	 * over, of which it may tell no other.
	 */
	void		(*deserted) (Connection *connection);

	/*
	 * http_finish.c: it was answered before all of it had arrived, or is to go
	 * elsewhere: look soon what becomes of that, whether or not libcurl is through
	 * with it.
	 */
	void		(*answered_early) (Transfer *t);

	/*
	 * http_wait.c: those that wait for this name, or for a connection of this pool,
	 * may go on; or, with an error, not.
	 */
	void		(*name_settled) (const struct Name *name, const char *error, bool lacking);
	void		(*pool_settled) (Pool *pool, bool failed);

	/* http_connection.c: a connection has its socket */
	void		(*opened) (Connection *connection);

	/*
	 * http_carry.c: it is about to be sent, from this port of ours.  False: not on
	 * this connection.
	 */
	bool		(*connected) (Transfer *t, int local_port);

	/*
	 * http_carry.c: the receiver has not taken it, and libcurl would send it
	 * again.
	 */
	void		(*not_taken) (Transfer *t);
} HttpUpwards;

extern HttpUpwards http_upwards;

/* The error of last resort: static, so never freed. */
extern char http_no_memory[];
extern const char http_sends_endlessly[];

/* After GOAWAY or REFUSED_STREAM, of which libcurl does not tell more. */
extern const char http_not_taken[];

/* False: it cannot be used. */
extern bool http_curl_open(void);

/*
 * Is there no memory for a request now, beside what libcurl has in reserve?  For how
 * many is there a lot of it?
 */
extern bool http_curl_lacks_memory(void);
extern int	http_curl_room(void);

extern void http_curl_init(const curl_version_info_data *info);

/* May a connection speak HTTP/2?  May a handle serve a second request? */
extern long http_version_wanted(void);
extern bool http_handles_keep(void);

#endif							/* RSWEBHOOK_HTTP_CURL_H */
