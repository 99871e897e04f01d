/*-------------------------------------------------------------------------
 *
 * http.h
 *		The HTTP room: many requests at once through libcurl's multi interface.
 *
 * Nothing in this folder knows of PostgreSQL: no palloc, no ereport, no SPI,
 * no interrupts.  Memory is malloc's and belongs to this room until
 * an answer is handed out; an answer belongs to the caller until
 * http_answer_free().  Nothing here blocks: the caller waits for http_fd() to
 * become readable in a wait of its own and then calls http_run().
 *
 * Not thread safe, and there is one instance a process.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_HTTP_H
#define RSWEBHOOK_HTTP_H

#include "http/values.h"

/*
 * How many requests may be in flight at once, of so many that are asked for:
 * each takes a socket.  Raises RLIMIT_NOFILE as far as it may, and leaves so
 * many descriptors to the rest of the process, but takes a quarter of all if
 * there are not enough.  To be called before http_init().
 */
extern int	http_room(int max_connections, int kept_descriptors);

/*
 * Set up; false with *error (static text) on failure.  At most max_connections
 * requests may be in flight, and no connection is used for longer than
 * lifetime_ms; to change these or the guard call it again.
 */
extern bool http_init(HttpGuard guard, int max_connections, int64_t lifetime_ms,
					  const char **error);

/*
 * Readable when http_run() has work, timers included, but for what was started
 * since it was last called: that is not worth a system call.  Never changes.
 */
extern int	http_fd(void);

/* Be readable then as well: a wait's time-out stops while the machine sleeps. */
extern void http_wake_at(int64_t time_us);

/*
 * Start a request, which goes out with the next http_run(): call that before
 * waiting.  Never fails visibly: whatever goes wrong comes back as an answer
 * from http_next().
 */
extern void http_start(const HttpRequest *request);

/*
 * Let libcurl do what it can without waiting.  A caller that comes late, after
 * http_fd() has long been readable for want of time, takes that time from no
 * request: each has so much more.
 */
extern void http_run(void);

/*
 * True: there was not even memory left for what libcurl needs to go on.  It is of no
 * use any more: what was not sent has come back, nothing else will, and this process
 * is to end.
 */
extern bool http_is_broken(void);

/* The next finished request, in order of completion; false: none. */
extern bool http_next(HttpAnswer *answer);

/* The body is malloc's, and may be kept: the caller has taken it if it is NULL then. */
extern void http_answer_free(HttpAnswer *answer);

/* Requests started and not yet handed out by http_next(). */
extern int	http_in_flight(void);

/*
 * The owner's requests in flight have less time, if they were started with longer limits;
 * what they have had of it counts.
 */
extern void http_limit(uint64_t owner, int connect_timeout_ms, int timeout_ms);

/* How far has it come? */
extern void http_look(uint64_t tag, HttpLook *look);

/* Give up a request at once; no answer comes for it.  False: not found. */
extern bool http_cancel(uint64_t tag);

#endif							/* RSWEBHOOK_HTTP_H */
