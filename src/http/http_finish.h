/*-------------------------------------------------------------------------
 *
 * http_finish.h
 *		The end of a request.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_HTTP_FINISH_H
#define RSWEBHOOK_HTTP_FINISH_H

#include "http/transfer.h"

extern void http_finish_init(void);

/* libcurl is through with it; or is not, but this is its result (error may be NULL). */
extern void http_finish(Transfer *t, CURLcode result, int64_t now_us);
extern void http_finish_at_once(Transfer *t, CURLcode result, const char *error,
								int64_t now_us);

/*
 * Look at those that were answered before all of them had arrived; when is that
 * to be done, -1: never.
 */
extern void http_finish_settling(int64_t now_us);
extern int64_t http_finish_next(void);

#endif							/* RSWEBHOOK_HTTP_FINISH_H */
