/*-------------------------------------------------------------------------
 *
 * http_multi.h
 *		libcurl's multi interface.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_HTTP_MULTI_H
#define RSWEBHOOK_HTTP_MULTI_H

#include "http/transfer.h"

extern bool http_multi_open(void);
extern bool http_multi_is_open(void);

/* There was no memory left for it, so that it cannot go on. */
extern bool http_multi_is_broken(void);

/* libcurl has to do with it, and no more. */
extern CURLMcode http_multi_add(Transfer *t);
extern void http_multi_remove(Transfer *t);

/* Something has come, or can go; the time is there; when will it be, -1: never. */
extern void http_multi_event(int fd, int events);
extern void http_multi_timer(void);
extern int64_t http_multi_next(void);

/* The next one that libcurl is through with, and how that went; NULL: none. */
extern Transfer *http_multi_ended(CURLcode *result);

#endif							/* RSWEBHOOK_HTTP_MULTI_H */
