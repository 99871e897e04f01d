/*-------------------------------------------------------------------------
 *
 * request.h
 *		The request value: its jsonb form for people, its wire form for libcurl.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_REQUEST_H
#define RSWEBHOOK_REQUEST_H

#include "transform/values.h"

/* Headers of a destination, and of a request with what its event adds. */
#define MAX_HEADERS		200

/*
 * Bytes of their names and values: no receiver takes as much.  What a
 * destination sets leaves room for what each request has.
 */
#define MAX_HEADER_BYTES		65536
#define MAX_SET_HEADER_BYTES	(MAX_HEADER_BYTES - 2048)
#define MAX_USER_AGENT			1024

/* settings */
extern int	rswebhook_max_request_size; /* bytes of a body, and of all else that
										 * is written for a request */
extern char *rswebhook_user_agent;

/* RudderStack's output form, for people. */
extern Jsonb *request_to_jsonb(const Transformed *transformed);

/*
 * The wire form.  False with *why (one line, no secret) if the request cannot
 * be sent: a passthrough event, a method outside the five, a URL that is not
 * http(s), a header name or value that HTTP does not allow, too much of
 * anything.
 */
extern bool request_to_wire(const Transformed *transformed, WireRequest *wire,
							char **why);

/* Likewise, for people. */
extern Jsonb *request_wire_to_jsonb(const WireRequest *wire);

/* An error if no request with the event in its body could be sent. */
extern void request_check_size(Jsonb *event);

/*
 * Can what an event has in its own "header" be sent, whatever else it is sent with?  False
 * with *why, as above.
 */
extern bool request_own_headers_fit(Jsonb *event, char **why);

/*
 * Is a header's value the destination's, and its name what the event chooses?  Then the
 * name says nothing of it.
 */
extern bool request_is_own_value(const NamedValue *header);

/* One of our own headers, whose names nobody else may use: webhook-id, ... */
extern void request_add_header(WireRequest *wire, const char *name, const char *value);

/* NULL if the header may be configured, else the reason it may not. */
extern const char *request_header_name_problem(const char *name, int len);
extern const char *request_header_value_problem(const char *value, int len);

#endif							/* RSWEBHOOK_REQUEST_H */
