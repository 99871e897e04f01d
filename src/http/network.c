/*-------------------------------------------------------------------------
 *
 * network.c
 *		Networks of addresses, as text.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include <arpa/inet.h>
#include <string.h>

#include "http/ascii.h"
#include "http/network.h"

bool
network_same_bits(const void *a, const void *b, int bits)
{
	const unsigned char *bytes_a = a;
	const unsigned char *bytes_b = b;
	int			whole = bits / 8;
	int			rest = bits % 8;

	if (memcmp(bytes_a, bytes_b, whole) != 0)
		return false;
	return rest == 0 || ((bytes_a[whole] ^ bytes_b[whole]) >> (8 - rest)) == 0;
}

bool
network_parse(const char *text, size_t len, Network *network)
{
	const char *slash = memchr(text, '/', len);
	size_t		address_len = slash != NULL ? (size_t) (slash - text) : len;
	char		address[INET6_ADDRSTRLEN];
	int			bits = 0;

	memset(network, 0, sizeof(*network));
	if (address_len >= sizeof(address))
		return false;
	memcpy(address, text, address_len);
	address[address_len] = '\0';
	if (inet_pton(AF_INET, address, network->address) == 1)
		network->size = 4;
	else if (inet_pton(AF_INET6, address, network->address) == 1)
		network->size = 16;
	else
		return false;

	network->bits = network->size * 8;
	if (slash == NULL)
		return true;
	if (++slash == text + len)
		return false;
	for (; slash < text + len; slash++)
	{
		if (!ascii_is_digit(*slash))
			return false;
		bits = bits * 10 + (*slash - '0');
		if (bits > network->bits)
			return false;
	}
	network->bits = bits;
	return true;
}
