/*-------------------------------------------------------------------------
 *
 * http_linger.h
 *		Sockets that are closed, but not to the other side's writing yet.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_HTTP_LINGER_H
#define RSWEBHOOK_HTTP_LINGER_H

#include <stdint.h>

/*
 * This socket of a connection that was last answered at that time is about to be
 * closed, with something unread in it.
 */
extern void http_linger(int fd, int64_t answered_us);

/* Close those whose time is over; when is the next one, -1: never. */
extern void http_linger_expire(int64_t now_us);
extern int64_t http_linger_next(void);

#endif							/* RSWEBHOOK_HTTP_LINGER_H */
