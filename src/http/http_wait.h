/*-------------------------------------------------------------------------
 *
 * http_wait.h
 *		Those that wait for addresses or for a connection.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_HTTP_WAIT_H
#define RSWEBHOOK_HTTP_WAIT_H

#include "http/transfer.h"

extern void http_wait_init(void);

/* Until its name has addresses, or others' connection is there, but not for too long. */
extern void http_wait_for_addresses(Transfer *t);
extern void http_wait_for_connection(Transfer *t, int64_t now_us);

/*
 * Nobody waits for longer than he wants; when has the first one waited enough, or
 * earlier, -1: never.
 */
extern void http_wait_end(int64_t now_us);
extern int64_t http_wait_next(void);

#endif							/* RSWEBHOOK_HTTP_WAIT_H */
