/*-------------------------------------------------------------------------
 *
 * values.h
 *		Requests and answers, as they come into this folder and leave it.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_HTTP_VALUES_H
#define RSWEBHOOK_HTTP_VALUES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sockaddr;

/* A header as it goes on the wire; strings are UTF-8 and NUL-terminated. */
typedef struct HttpHeader
{
	const char *name;
	const char *value;
	bool		stays;			/* with its origin, whatever its name */
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
	bool		event_in_query; /* with a body as well; without one, it always is */
	bool		tried;			/* this is not its first attempt */

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
	bool		unsupported;	/* that is an option, which libcurl refused */
	bool		timed_out;		/* its time was over before it was answered */
	bool		ran_out;		/* we had no memory to go on, and it may have arrived */
	HttpPhase	phase;
	int			status;			/* 0: no status line arrived */
	int64_t		retry_after_s;	/* seconds from now; -1: none or nonsense */
	char	   *error;			/* NULL when answered; holds no secret */
	const char *unfollowed;		/* static: why a redirect that is allowed was not
								 * followed; NULL: it is none, or was */
	char	   *called;			/* the URL that answered, if a redirect led there;
								 * whatever a receiver makes of one, in UTF-8 */
	char	   *body;			/* first response_limit decoded bytes */
	size_t		body_len;
	bool		body_cut;		/* there was more */
	bool		body_lost;		/* there was no memory for it */
	size_t		lost_len;		/* its length then; 0: not known */
	int64_t		duration_us;	/* from start to end */
	int64_t		waited_us;		/* of that, from the request to the first byte of its answer; 0: not known */
	int64_t		certificate_ends_s; /* since 1970, the receiver's, if a connection was set up; 0: not known */
} HttpAnswer;

/* How far a request in flight has come. */
typedef struct HttpLook
{
	HttpPhase	phase;			/* that it is in; HTTP_PHASE_DONE: none any more */
	char		address[48];	/* "": none yet */
	int			port;
	int64_t		sent;			/* bytes, with heads */
	int64_t		received;
} HttpLook;

/*
 * May this address be connected to?  Called for each connection on the
 * address of the socket about to be connected.  On refusal, writes the reason
 * ("address 169.254.169.254 is in the blocked network 169.254.0.0/16") into
 * why.  Must not throw, allocate by palloc, or block.
 */
typedef bool (*HttpGuard) (const struct sockaddr *addr, char *why, size_t why_size);

#endif							/* RSWEBHOOK_HTTP_VALUES_H */
