/*-------------------------------------------------------------------------
 *
 * http_redirect.h
 *		Redirects.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_HTTP_REDIRECT_H
#define RSWEBHOOK_HTTP_REDIRECT_H

#include "http/transfer.h"

/*
 * Prepare the next hop.  False: the answer is no redirect, or not one that we
 * follow; then it is the final answer.
 */
extern bool http_redirect_follow(Transfer *t);

#endif							/* RSWEBHOOK_HTTP_REDIRECT_H */
