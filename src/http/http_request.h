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

#include "http/http_names.h"
#include "http/transfer.h"

/*
 * Initialization learns what libcurl can do.  Opening makes the handle, and
 * copying takes what must outlive http_start(); both are false if memory runs
 * out.  Following a redirect is false if the answer is none, or not one that
 * we follow: then it is the final answer.  Repeating prepares the same request
 * for a new connection.
 */
extern void http_request_init(const curl_version_info_data *libcurl);
extern bool http_request_open(Transfer *t);
extern bool http_request_copy(Transfer *t, const HttpRequest *request);
extern void http_request_setup(Transfer *t, const HttpRequest *request);
extern bool http_request_follow(Transfer *t);
extern bool http_request_repeat(Transfer *t);

/*
 * The addresses that it needs, or that it has to wait for them.  On failure
 * the request has its answer.
 */
extern NameState http_request_resolve(Transfer *t);

/* The last options: the connection, and the time that is left. */
extern void http_request_connect(Transfer *t, int64_t now_us);
extern void http_request_forget_names(Transfer *t);

#endif							/* RSWEBHOOK_HTTP_REQUEST_H */
