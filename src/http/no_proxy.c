/*-------------------------------------------------------------------------
 *
 * no_proxy.c
 *		Which hosts are reached without the proxy.
 *
 * libcurl's own reading of such a list depends on its version, and none of them
 * knows a network of IPv6: what is not known there goes to the proxy, credentials
 * and all.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "http/ascii.h"
#include "http/network.h"
#include "http/no_proxy.h"

/* The address of a host that is one, without its zone. */
static bool
host_address(const char *host, size_t len, Network *address)
{
	const char *zone;

	if (len > 1 && host[0] == '[')
	{
		host++;
		len--;
		if (host[len - 1] == ']')
			len--;
		zone = memchr(host, '%', len);
		if (zone != NULL)
			len = zone - host;
	}
	return network_parse(host, len, address) && address->bits == address->size * 8;
}

/* Is the address in this element, with or without brackets around its address? */
static bool
has_address(const char *element, size_t len, const Network *address)
{
	char		bare[64];
	size_t		bare_len = 0;
	Network		network;

	for (size_t i = 0; i < len; i++)
	{
		if (element[i] == '[' || element[i] == ']')
			continue;
		if (bare_len == sizeof(bare))
			return false;
		bare[bare_len++] = element[i];
	}
	return network_parse(bare, bare_len, &network) && network.size == address->size &&
		network_same_bits(network.address, address->address, network.bits);
}

static bool
has_name(const char *element, size_t len, const char *host, size_t host_len)
{
	Network		network;

	if (network_parse(element, len, &network))
		return false;
	if (len > 1 && element[0] == '*' && element[1] == '.')
	{
		element++;
		len--;
	}
	while (len > 0 && *element == '.')
	{
		element++;
		len--;
	}
	if (len > 0 && element[len - 1] == '.')
		len--;
	return len > 0 && len <= host_len &&
		ascii_begin_same(host + host_len - len, element, len) &&
		(len == host_len || host[host_len - len - 1] == '.');
}

bool
no_proxy_names(const char *list, const char *host, size_t host_len)
{
	static const char separators[] = ", \t\r\n";
	Network		address;
	bool		is_address = host_address(host, host_len, &address);

	if (list == NULL)
		return false;
	while (host_len > 0 && host[host_len - 1] == '.')
		host_len--;
	for (;;)
	{
		size_t		len;

		list += strspn(list, separators);
		len = strcspn(list, separators);
		if (len == 0)
			return false;
		if (len == 1 && *list == '*')
			return true;
		if (is_address ? has_address(list, len, &address) : has_name(list, len, host, host_len))
			return true;
		list += len;
	}
}
