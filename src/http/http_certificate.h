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

/*
 * The one that the receiver has shown on the connection that the request uses, while it
 * does.  In seconds since 1970; 0: not known.
 */
extern int64_t http_certificate_ends(const Transfer *t);

#endif							/* RSWEBHOOK_HTTP_CERTIFICATE_H */
