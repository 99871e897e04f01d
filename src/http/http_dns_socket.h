/*-------------------------------------------------------------------------
 *
 * http_dns_socket.h
 *		The sockets that http_dns.c asks name servers by, and what we lack for them.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_HTTP_DNS_SOCKET_H
#define RSWEBHOOK_HTTP_DNS_SOCKET_H

#include <ares.h>

#include "http/transfer.h"

#define C_ARES_1_20			0x011400
#define C_ARES_1_31			0x011f00

/* Of the library that is there. */
extern int	http_dns_version(void);

extern const struct ares_socket_functions http_dns_functions;

/* If c-ares says that a question was not understood: is the answer a truncated one? */
extern bool http_dns_was_truncated(void);

/*
 * What ended a look-up, whose callback this is: before 1.20, c-ares says of a name
 * server that fails or refuses that it could not be contacted.
 */
extern int	http_dns_status(int status);

/* c-ares says of all that we lack that no name server could be contacted. */
extern void http_dns_note(const char *what);

/* What there was none of since then, so that a look-up may have failed; or NULL. */
extern const char *http_dns_lack_since(int64_t since_us);

/* Is this error such a lack? */
extern bool http_dns_note_lack(int error);

/*
 * Have we an address to go there from, as far as can be known now?  UDP sends nothing
 * to find that out.
 */
extern bool http_dns_is_reachable(const struct sockaddr *address, socklen_t len);

#endif							/* RSWEBHOOK_HTTP_DNS_SOCKET_H */
