/*-------------------------------------------------------------------------
 *
 * http_time.h
 *		The time that a request may take.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_HTTP_TIME_H
#define RSWEBHOOK_HTTP_TIME_H

#include "http/transfer.h"

/* The attempt begins; libcurl has it from now on, once for each connection. */
extern void http_time_start(Transfer *t, const HttpRequest *request, int64_t now_us);
extern void http_time_run(Transfer *t, int64_t now_us);

/* It has less time from now on than it was started with, unless these are longer. */
extern void http_time_limit(Transfer *t, int connect_timeout_ms, int timeout_ms);

/*
 * Of one that libcurl has: has it taken too long?  Then what is to be said of
 * that, good until the next call.  NULL: no, ask again at look_at_us.
 */
extern const char *http_time_is_up(Transfer *t, int64_t now_us);

/*
 * Likewise: has it stalled?  Some receivers take no more streams before they
 * end a connection, and libcurl looks only at those that are in use.  Or is half
 * of its head lost?  That is looked at in a second, for those beside a lost answer.
 */
extern bool http_time_is_stalled(Transfer *t, int64_t now_us);
extern void http_time_look_soon(Transfer *t, int64_t now_us);

/*
 * In flight: look whether we were away, and give back what time that took; to be
 * called again by the time that it returns.
 */
extern int64_t http_time_look(Transfer *t, int64_t now_us);

#endif							/* RSWEBHOOK_HTTP_TIME_H */
