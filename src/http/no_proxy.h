/*-------------------------------------------------------------------------
 *
 * no_proxy.h
 *		Which hosts are reached without the proxy.  Pure.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_NO_PROXY_H
#define RSWEBHOOK_NO_PROXY_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Does the list, which may be NULL, name the host?  Its elements, between commas
 * and blanks, are "*", which is all hosts, domains, which are all in them as well,
 * addresses and networks.  host as in a URL, with an IPv6 address in brackets.
 */
extern bool no_proxy_names(const char *list, const char *host, size_t host_len);

#endif							/* RSWEBHOOK_NO_PROXY_H */
