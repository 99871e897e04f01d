/*-------------------------------------------------------------------------
 *
 * http_fair.h
 *		Connections that keep libcurl busy wait for the others.
 *
 * What comes on a connection is read in one call until nothing is there, and who sends much
 * of it has the process to himself meanwhile.  No such call is without an end
 * (http_watch.c), but there may be many, on many connections.  So after a long one, the
 * pools that had such wait for as long as it took, and so do those that have not answered
 * yet: the process is half of its time there for those that do no such thing.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_HTTP_FAIR_H
#define RSWEBHOOK_HTTP_FAIR_H

#include "http/transfer.h"

/* Calls that work less are nothing unusual. */
#define HTTP_FAIR_LONG_US	(20 * 1000)

/*
 * Calls follow, one after the other; and one was made, on a connection of this pool (NULL:
 * not known).  Both return what poller_clock() says.
 */
extern int64_t http_fair_begin(void);
extern int64_t http_fair_called(Pool *pool);

/* Must the pool's connections wait now?  That is until then. */
extern bool http_fair_waits(const Pool *pool, int64_t now_us);
extern int64_t http_fair_until(void);

/* The pool has answered a request. */
extern void http_fair_answered(Pool *pool);

#endif							/* RSWEBHOOK_HTTP_FAIR_H */
