/*-------------------------------------------------------------------------
 *
 * http_message.h
 *		What is sent.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_HTTP_MESSAGE_H
#define RSWEBHOOK_HTTP_MESSAGE_H

#include "http/transfer.h"

/* Learns whether libcurl can unpack what we ask for; which is, as Accept-Encoding says it. */
extern void http_message_init(const curl_version_info_data *libcurl);
extern const char *http_message_encodings(void);

/* Take what must outlive http_start(); false: no memory. */
extern bool http_message_copy(Transfer *t, const HttpRequest *request);

/* Leave the headers that the next hop is to have. */
extern void http_message_filter(Transfer *t, bool same_origin);

#endif							/* RSWEBHOOK_HTTP_MESSAGE_H */
