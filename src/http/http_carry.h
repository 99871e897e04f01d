/*-------------------------------------------------------------------------
 *
 * http_carry.h
 *		Which connection carries a request.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_HTTP_CARRY_H
#define RSWEBHOOK_HTTP_CARRY_H

#include "http/transfer.h"

/* Learns what libcurl does. */
extern void http_carry_init(const curl_version_info_data *libcurl);

/* Use a connection that is open, and new enough; false: there is none. */
extern bool http_carry_take(Transfer *t, int64_t now_us);

/* Is one being set up that may turn out to take several requests? */
extern bool http_carry_is_opening(const Transfer *t);

/* Use a new one.  False with the errno of what we lack for it, or see setup. */
extern bool http_carry_open(Transfer *t, int *lacking);

/* Might libcurl use what is left of an earlier one in its place? */
extern bool http_carry_hides_remains(const Transfer *t);

/* The request does not use its connection any more. */
extern void http_carry_release(Transfer *t, int64_t now_us);

/* It was sent, and libcurl wants to do that again, on another connection. */
extern void http_carry_not_taken(Transfer *t);

/* Its time is up, and its connection may be why. */
extern void http_carry_late(const Transfer *t);

#if HTTP_TELLS_CONNECTED

/* Before libcurl forgets what has gone wrong. */
extern void http_carry_hear(Transfer *t);
#endif

/* It has an answer, and libcurl knows more of the connection. */
extern void http_carry_answered(Transfer *t);

#endif							/* RSWEBHOOK_HTTP_CARRY_H */
