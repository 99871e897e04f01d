/*-------------------------------------------------------------------------
 *
 * http_certificate.h
 *		When a receiver's certificate ends.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_HTTP_CERTIFICATE_H
#define RSWEBHOOK_HTTP_CERTIFICATE_H

#include "http/transfer.h"

/* Have libcurl keep what certificates say, of connections that are set up; it may not be able to. */
extern void http_certificate_ask(Transfer *t);

/* In seconds since 1970; 0: none was seen, as on a connection that was kept. */
extern int64_t http_certificate_ends(const Transfer *t);

#endif							/* RSWEBHOOK_HTTP_CERTIFICATE_H */
