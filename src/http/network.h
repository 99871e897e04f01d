/*-------------------------------------------------------------------------
 *
 * network.h
 *		Networks of addresses, as text: "10.0.0.0/8", "::1".  Pure.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_NETWORK_H
#define RSWEBHOOK_NETWORK_H

#include <stdbool.h>
#include <stddef.h>

typedef struct Network
{
	unsigned char address[16];	/* network order; IPv4 uses the first four */
	unsigned char size;			/* bytes of it in use: 4 or 16 */
	unsigned char bits;			/* length of the prefix */
} Network;

/* An address, or one and the length of a prefix; false: it is neither. */
extern bool network_parse(const char *text, size_t len, Network *network);

/* Are so many bits of two addresses the same? */
extern bool network_same_bits(const void *a, const void *b, int bits);

#endif							/* RSWEBHOOK_NETWORK_H */
