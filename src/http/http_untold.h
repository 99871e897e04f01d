/*-------------------------------------------------------------------------
 *
 * http_untold.h
 *		What libcurl does not tell.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_HTTP_UNTOLD_H
#define RSWEBHOOK_HTTP_UNTOLD_H

#include "http/transfer.h"

extern void http_untold_init(void);

/* libcurl has it from now on. */
extern void http_untold_running(Transfer *t);

/* See http_connection_broken(): it may have ended under those that use it. */
extern void http_untold_broken(Connection *connection, bool unheard);

/*
 * One of several requests on it has ended as if it were over: look whether it is for
 * another one.  The same where nothing was heard for a moment after something was.
 */
extern void http_untold_doubt(Connection *connection);
extern void http_untold_quiet(int64_t now_us);

/* End those that have lost their connection. */
extern void http_untold_lost(int64_t now_us);

/* Wake those that libcurl may have forgotten. */
extern void http_untold_forgotten(int64_t now_us);

/* End those that have taken too long, though all that has come for them is read. */
extern void http_untold_late(int64_t now_us);

/* Some have less time than they had. */
extern void http_untold_limited(void);

/* When any of that is to be done; -1: never. */
extern int64_t http_untold_next(void);

#endif							/* RSWEBHOOK_HTTP_UNTOLD_H */
