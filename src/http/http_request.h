/*-------------------------------------------------------------------------
 *
 * http_request.h
 *		What goes out.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_HTTP_REQUEST_H
#define RSWEBHOOK_HTTP_REQUEST_H

#include "http/transfer.h"

/* Learns what libcurl can do. */
extern void http_request_init(const curl_version_info_data *libcurl);

/* Make the handle; false: see setup and failed_option. */
extern bool http_request_open(Transfer *t);

/* Tell it of the request, whose copy has been made. */
extern void http_request_setup(Transfer *t, const HttpRequest *request);

/* The last options: the connection, and the time that is left. */
extern void http_request_connect(Transfer *t, int64_t now_us);

/*
 * A handle that can be used once more; false: no memory.  Then what differs from
 * one hop to the next; or the same request, for a new connection (false: no
 * memory).
 */
extern bool http_request_refresh(Transfer *t);
extern void http_request_hop(Transfer *t, bool same_origin);
extern bool http_request_repeat(Transfer *t);

#endif							/* RSWEBHOOK_HTTP_REQUEST_H */
