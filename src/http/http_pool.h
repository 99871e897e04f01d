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

/* May answers over HTTP/2 get lost on the way through libcurl? */
extern bool http_pool_loses_answers(void);

/*
 * They do, or the receiver does not take what comes over HTTP/2.  True: it is spoken
 * to by HTTP/1.1 from now on.  If it does not do that, it is not.
 */
extern bool http_pool_give_up_http2(Transfer *t);
extern void http_pool_needs_http2(Transfer *t);
extern bool http_pool_speaks_http1(const Transfer *t);

#endif							/* RSWEBHOOK_HTTP_POOL_H */
