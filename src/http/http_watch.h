/*-------------------------------------------------------------------------
 *
 * http_watch.h
 *		Calls of libcurl that do not return, as the other side does not stop sending.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_HTTP_WATCH_H
#define RSWEBHOOK_HTTP_WATCH_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

/* In the thread that calls libcurl; without it, where there is no such timer, nothing is watched. */
extern void http_watch_init(void);

/* The signal that is not to be blocked in the calls; 0: there is none. */
extern int	http_watch_signal(void);

/* Around each call. */
extern void http_watch_begin(void);
extern void http_watch_end(void);

/* Something that means anything has come: the call gets on. */
extern void http_watch_heard(void);

/* A socket is libcurl's from now on, or not any more. */
extern void http_watch_socket(int fd, bool open);

/* It has been shut, for what was read from it without an end. */
extern bool http_watch_has_shut(int fd);

/* How much the calling thread has had of the processor; 0: not known. */
extern int64_t http_watch_processor_us(void);

/* How much has been read of what came on it, of a TCP socket; -1: not known. */
extern int64_t http_watch_read(int fd);

#endif							/* RSWEBHOOK_HTTP_WATCH_H */
