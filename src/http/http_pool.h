/*-------------------------------------------------------------------------
 *
 * http_pool.h
 *		Connections: which are kept, and which one a request uses.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_HTTP_POOL_H
#define RSWEBHOOK_HTTP_POOL_H

#include "http/transfer.h"

/* Learns what libcurl does. */
extern void http_pool_init(const curl_version_info_data *libcurl);

/*
 * Find or make the pool of connections that a request may use; false if there
 * is no memory.  For a later hop: the same owner's to that hop's origin.
 */
extern bool http_pool_join(Transfer *t, const HttpRequest *request);
extern bool http_pool_join_hop(Transfer *t, bool same_origin);
extern void http_pool_leave(Transfer *t);

/* Use a connection that is open, and new enough; false: there is none. */
extern bool http_pool_take(Transfer *t, int64_t now_us);

/* Is one being set up that may turn out to take several requests? */
extern bool http_pool_is_opening(const Transfer *t);

/* Use a new one.  False with the errno of what we lack for it. */
extern bool http_pool_open(Transfer *t, int *lacking);

/* Close some that nobody has used for a while, since we lack what they hold. */
extern void http_pool_give_way(void);

/* Might libcurl use what is left of an earlier one in its place? */
extern bool http_pool_hides_remains(const Transfer *t);

/* The request does not use its connection any more. */
extern void http_pool_release(Transfer *t, int64_t now_us);

/* It was sent, and libcurl wants to do that again, on another connection. */
extern void http_pool_not_taken(Transfer *t);

/*
 * Answers over HTTP/2 get lost on the way through libcurl.  True: the receiver is
 * spoken to by HTTP/1.1 from now on.  If it does not do that, it is not.
 */
extern bool http_pool_give_up_http2(Transfer *t);
extern void http_pool_needs_http2(Transfer *t);
extern bool http_pool_speaks_http1(const Transfer *t);

/* It has an answer, and libcurl knows more of the connection. */
extern void http_pool_answered(Transfer *t);

/*
 * One of several requests failed as if the connection had, or the other side
 * has closed it.  It takes no more of them; true: it has indeed ended, for all
 * of them, and nothing is left to be read, or nobody who would (unheard).
 */
extern bool http_pool_broken(Connection *connection, bool unheard);

/* libcurl was told that it could write; it may have nothing that it may. */
extern void http_pool_could_write(Connection *connection, int fd);

/* Something came on a socket that nobody listens to; ended: or its end. */
extern void http_pool_unasked(int fd, bool ended);

/*
 * How long a connection may live, in microseconds; close those that were
 * unused for too long; when is the next one, -1: never.
 */
extern void http_pool_set_lifetime(int64_t lifetime_us);
extern void http_pool_expire(int64_t now_us);
extern int64_t http_pool_next_expiry(void);

/* Whom it trusts, and its proxy, or NULL. */
extern bool http_pool_trusts_system(const Transfer *t);
extern const char *http_pool_proxy(const Transfer *t);
extern const char *http_pool_no_proxy(const Transfer *t);

#endif							/* RSWEBHOOK_HTTP_POOL_H */
