/*-------------------------------------------------------------------------
 *
 * http_connection.h
 *		The lives of connections.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_HTTP_CONNECTION_H
#define RSWEBHOOK_HTTP_CONNECTION_H

#include "http/transfer.h"

extern void http_connection_init(void);

/* A new one of its pool; NULL: no memory, or see setup and failed_option. */
extern Connection *http_connection_make(Transfer *t);

/* Room for another socket, if need be by closing what nobody uses. */
extern bool http_connection_has_room(void);

/* Will it have a socket, and has none yet? */
extern void http_connection_set_unopened(Connection *connection, bool unopened);

/* Nobody uses it from now on, or somebody does. */
extern void http_connection_set_unused(Connection *connection, bool unused);

/* A request uses it from now on; and not any more. */
extern void http_connection_join(Connection *connection, Transfer *t);
extern void http_connection_leave(Transfer *t);

/*
 * Something came on one that is used, one of several requests on it has ended, or the
 * first one has begun.  One of which nothing was heard for a moment since then; when is
 * the next one, -1: never.
 */
extern void http_connection_spoke(Connection *connection);
extern Connection *http_connection_quiet(int64_t now_us);
extern int64_t http_connection_next_quiet(void);

/* Into the list where it belongs after any change. */
extern void http_connection_settle(Connection *connection);

/* It has ended, and nobody uses it; or with its cache, libcurl closes it at once. */
extern void http_connection_retire(Connection *connection);
extern void http_connection_discard(Connection *connection);

/* Close some that nobody has used for a while, since we lack what they hold. */
extern void http_connection_give_way(void);

/*
 * One of several requests failed as if the connection had, or the other side
 * has closed it.  It takes no more of them; true: it has indeed ended, for all
 * of them, and nothing is left to be read, or nobody who would (unheard).
 */
extern bool http_connection_broken(Connection *connection, bool unheard);

/* libcurl was told that it could write; it may have nothing that it may. */
extern void http_connection_could_write(Connection *connection, int fd);

/* Something came on a socket that nobody listens to; ended: or its end. */
extern void http_connection_unasked(int fd, bool ended);

/*
 * How long one may live, in microseconds; is this one as old?  Close those that were
 * unused for too long; when is the next one, -1: never.
 */
extern void http_connection_set_lifetime(int64_t lifetime_us);
extern bool http_connection_is_old(const Connection *connection, int64_t now_us);
extern void http_connection_expire(int64_t now_us);
extern int64_t http_connection_next_expiry(void);

#endif							/* RSWEBHOOK_HTTP_CONNECTION_H */
