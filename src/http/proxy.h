/*-------------------------------------------------------------------------
 *
 * proxy.h
 *		URLs of proxies.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_PROXY_H
#define RSWEBHOOK_PROXY_H

/*
 * NULL if libcurl will take it for the proxy that it looks like, else why not, as a
 * sentence without a secret.
 */
extern const char *proxy_problem(const char *proxy);

#endif							/* RSWEBHOOK_PROXY_H */
