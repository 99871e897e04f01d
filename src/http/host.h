/*-------------------------------------------------------------------------
 *
 * host.h
 *		Names of hosts, as they are compared, resolved, shown and sent: ASCII.
 *
 * An internationalized name becomes its A-labels here (they begin with "xn--"), so
 * that nobody else does it: libcurl would take the bytes to be in the encoding of
 * the process's locale.
 *
 * Pure: no PostgreSQL, no locale, and no memory that is left to the caller.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_HOST_H
#define RSWEBHOOK_HOST_H

#include <stdbool.h>
#include <stddef.h>

/* 253 bytes, a dot that ends them, and a NUL. */
#define HOST_SIZE	255

/*
 * The name, which is UTF-8, in ASCII and lower case.  NULL; or what is wrong with
 * it, to follow "the host", or host_no_memory.  A name of ASCII only is what it
 * is: what stands behind its "xn--" is not looked at.
 */
extern const char *host_to_ascii(const char *host, size_t len, char ascii[HOST_SIZE]);

extern const char host_no_memory[];

#endif							/* RSWEBHOOK_HOST_H */
