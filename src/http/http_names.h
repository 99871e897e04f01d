/*-------------------------------------------------------------------------
 *
 * http_names.h
 *		The addresses of hosts.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_HTTP_NAMES_H
#define RSWEBHOOK_HTTP_NAMES_H

#include "http/transfer.h"

typedef enum NameState
{
	NAME_KNOWN,
	NAME_ASKED,					/* name_settled() comes later, perhaps twice */
	NAME_FAILED
} NameState;

/*
 * The addresses of a host, as CURLOPT_RESOLVE takes them, good until the next
 * call; or why there are none, and whether that is because we lack something.
 */
extern NameState http_names_find(const char *host, struct Name **name,
								 const char **addresses, const char **error,
								 bool *lacking);

/*
 * The family (0: IPv6, 1: IPv4) of which it has no address, and is not known to
 * have none; -1: there is none such.
 */
extern int	http_names_missing(const struct Name *name);

/*
 * What has become of that family: there are addresses of it; it is being asked for
 * still, and name_settled() comes; or neither, perhaps because we lack something,
 * and *missing is -1 if it is known that there are none.
 */
extern NameState http_names_rest(const char *host, struct Name **name, int *missing,
								 const char **lack);

/* What is known of it is not good enough to be used again. */
extern void http_names_distrust(struct Name *name);

extern bool http_names_init(void);

extern void http_names_run(int64_t now_us);
extern int64_t http_names_next(void);

#endif							/* RSWEBHOOK_HTTP_NAMES_H */
