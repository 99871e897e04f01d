/*-------------------------------------------------------------------------
 *
 * http_hop.h
 *		Where a hop goes.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_HTTP_HOP_H
#define RSWEBHOOK_HTTP_HOP_H

#include "http/http_names.h"
#include "http/transfer.h"

/* Take its URL apart, unless that is known from the last one. */
extern CURLcode http_hop_parse(Transfer *t);

/*
 * The addresses that it needs, or that it has to wait for them.  On failure
 * the request has its answer.
 */
extern NameState http_hop_resolve(Transfer *t);
extern void http_hop_forget_names(Transfer *t);

/* When what it was given has failed: is there more by now, or may there be? */
extern NameState http_hop_rest(Transfer *t, const char **lack);

#endif							/* RSWEBHOOK_HTTP_HOP_H */
