/*-------------------------------------------------------------------------
 *
 * http.h
 *		The HTTP room: many requests at once through libcurl's multi interface.
 *
 * This header and http.c know nothing of PostgreSQL: no palloc, no ereport,
 * no SPI, no interrupts.  Memory is malloc's and belongs to this room until
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

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sockaddr;

/* A header as it goes on the wire; strings are UTF-8 and NUL-terminated. */
typedef struct HttpHeader
{
	const char *name;
	const char *value;
} HttpHeader;

/*
 * What to send.  http_start() copies whatever must outlive the call, so the
 * strings stay the caller's.  Optional strings are NULL when not wanted.
 */
typedef struct HttpRequest
{
	const char *method;			/* "POST", "PUT", "PATCH", "GET", "DELETE" */
	const char *url;			/* http or https, with its query */
	const HttpHeader *headers;	/* in this order, none twice */
	int			nheaders;
	const char *body;			/* NULL: no body at all */
	size_t		body_len;		/* bytes */

	int			connect_timeout_ms;
	int			timeout_ms;		/* the whole attempt */
	int			low_speed_limit;	/* bytes a second; 0: no such rule */
	int			low_speed_time_s;
	int			max_redirects;	/* 0: do not follow */
	size_t		response_limit; /* decoded bytes of the answer to keep */

	const char *ca_cert;		/* PEM text; NULL: the system's */
	const char *client_cert;	/* PEM text */
	const char *client_key;		/* PEM text */
	const char *proxy;			/* URL; NULL: none (environment is ignored) */
	const char *no_proxy;

	uint64_t	owner;			/* connections are its own: no other's request is
								 * sent on them */
	uint64_t	tag;			/* handed back with the answer */
} HttpRequest;

/* Where an attempt ended. */
typedef enum HttpPhase
{
	HTTP_PHASE_REFUSED,			/* by us: guard, bad URL, no memory */
	HTTP_PHASE_RESOLVE,
	HTTP_PHASE_CONNECT,
	HTTP_PHASE_TLS,
	HTTP_PHASE_SEND,
	HTTP_PHASE_WAIT,			/* sent, no head of an answer yet */
	HTTP_PHASE_RECEIVE,			/* head arrived, body not complete */
	HTTP_PHASE_DONE
} HttpPhase;

typedef struct HttpAnswer
{
	uint64_t	tag;
	bool		answered;		/* a complete, final answer arrived */
	bool		refused;		/* not tried, and never could be: see error */
	bool		lacking;		/* we lacked what error says: no attempt was
								 * made of it */
	HttpPhase	phase;
	int			status;			/* 0: no status line arrived */
	int64_t		retry_after_s;	/* seconds from now; -1: none or nonsense */
	char	   *error;			/* NULL when answered; holds no secret */
	char	   *body;			/* first response_limit decoded bytes */
	size_t		body_len;
	bool		body_cut;		/* there was more */
	int64_t		duration_us;	/* from start to end */
} HttpAnswer;

/*
 * May this address be connected to?  Called for each connection on the
 * address of the socket about to be connected.  On refusal, writes the reason
 * ("address 169.254.169.254 is in the blocked network 169.254.0.0/16") into
 * why.  Must not throw, allocate by palloc, or block.
 */
typedef bool (*HttpGuard) (const struct sockaddr *addr, char *why, size_t why_size);

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

/* The next finished request, in order of completion; false: none. */
extern bool http_next(HttpAnswer *answer);
extern void http_answer_free(HttpAnswer *answer);

/* Requests started and not yet handed out by http_next(). */
extern int	http_in_flight(void);

/* Give up a request at once; no answer comes for it.  False: not found. */
extern bool http_cancel(uint64_t tag);

/* "libcurl/7.88.1 OpenSSL/3.0.19 ...", for the log and the status. */
extern const char *http_version(void);

#endif							/* RSWEBHOOK_HTTP_H */
