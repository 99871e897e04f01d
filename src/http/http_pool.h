/*-------------------------------------------------------------------------
 *
 * http_pool.h
 *		Which connections a request may use.
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

/* It may have lost its last connection. */
extern void http_pool_drop_if_empty(Pool *pool);

/* Whom it trusts, and its proxy, or NULL. */
extern bool http_pool_trusts_system(const Transfer *t);
extern const char *http_pool_proxy(const Transfer *t);

/*
 * HTTP/1.1 in place of HTTP/2, once in an attempt (true): as the receiver takes nothing
 * over HTTP/2, or as answers over it get lost on the way through libcurl; or always, as
 * the receiver has asked for it.  If it does not speak that, it is not.
 */
extern bool http_pool_try_http1(Transfer *t);
extern bool http_pool_lost_answer(Transfer *t);
extern bool http_pool_asks_for_http1(Transfer *t);
extern void http_pool_needs_http2(Transfer *t);
extern bool http_pool_speaks_http1(const Transfer *t);

/* It has a whole answer; taken: a success. */
extern void http_pool_was_answered(Transfer *t, bool taken, int64_t now_us);

/*
 * It was answered by this status, which is no success, or not at all (0): is that what
 * the receiver has to say of the event?
 */
extern bool http_pool_believes(Transfer *t, int status, int64_t now_us);

#endif							/* RSWEBHOOK_HTTP_POOL_H */
