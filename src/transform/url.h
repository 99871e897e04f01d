/*-------------------------------------------------------------------------
 *
 * url.h
 *		Which URLs can be sent to, and the final URL with its query.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_URL_H
#define RSWEBHOOK_URL_H

#include "lib/stringinfo.h"

#include "transform/values.h"

/*
 * NULL if it is an http or https URL, or a host with or without a port, or a list
 * of hosts or their ends with commas or blanks between them, that can be
 * configured, else the reason it cannot.  In the server encoding; a name of a host
 * that is not ASCII becomes so (see http/host.h), in a string of its own.
 */
extern const char *url_problem(const char **url);
extern const char *url_host_problem(const char **host);
extern const char *url_host_list_problem(const char **hosts);

/* The same for an event's endpoint. */
extern const char *url_endpoint_problem(JsonbValue *endpoint);

/* The host of a URL that can be configured, an IPv6 address in brackets. */
extern char *url_host(const char *url);

/*
 * NULL if an event's endpoint may be sent to with the credentials of the
 * destination that has this URL (NULL: it has none of its own), else why not.  All in the server encoding, with
 * hosts that have become ASCII.
 */
extern const char *url_origin_problem(const char *endpoint, int len, const char *url,
									  char **allowed_hosts, int nallowed_hosts);

/*
 * Append the URL to send to, and the same with the values of the endpoint's
 * own query masked.  All in UTF-8, the host in ASCII.  NULL, or why it cannot be.
 */
extern const char *url_build(const char *endpoint, int len, const NamedValues *params,
							 StringInfo url, StringInfo shown);

/* Appends a text as it is in a query. */
extern void url_form_encode(StringInfo out, const char *text, int len);

#endif							/* RSWEBHOOK_URL_H */
