/*-------------------------------------------------------------------------
 *
 * http_unasked.h
 *		What was said unasked.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_HTTP_UNASKED_H
#define RSWEBHOOK_HTTP_UNASKED_H

#include "http/transfer.h"

/*
 * The request is about to be sent, on a connection that was open before, or
 * that is new: has the other side said something already?  Over HTTP/2 only the end
 * of TLS counts.
 */
extern bool http_unasked_on_kept(Transfer *t);
extern bool http_unasked_on_new(const Transfer *t);

/*
 * An answer begins to come, on a connection that was open before.  True: it
 * was under way when the request went out, so it is not to that.
 */
extern bool http_unasked_crossed(Transfer *t);

/*
 * Something came on this socket of it while nobody had asked.  If it may be an answer,
 * look closely from now on; over TLS the end has words of its own.
 */
extern void http_unasked_heard(Connection *connection, int fd);

/* Is the end of TLS among what is to be read there, behind whatever comes first? */
extern bool http_unasked_is_end(int fd);

/* Is more to be read there than HTTP/2 has to say after an answer? */
extern bool http_unasked_is_much(int fd);

/* Over TLS, an answer is read even if the request cannot be sent to its end. */
extern void http_unasked_keep_listening(Connection *connection);

/* OpenSSL's SSL that the request is about to use; NULL: not to be had. */
extern void *http_unasked_tls(const Transfer *t);

#endif							/* RSWEBHOOK_HTTP_UNASKED_H */
