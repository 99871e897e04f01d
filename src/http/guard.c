/*-------------------------------------------------------------------------
 *
 * guard.c
 *		The network guard: which addresses may be connected to.
 *
 * See guard.h for the language of the lists and the rules of this room.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "http/ascii.h"
#include "http/guard.h"
#include "http/network.h"

static const char default_networks[] =
	"0.0.0.0/8,"				/* "this" host: reaches our own */
	"169.254.0.0/16,"			/* link-local, most metadata services */
	"100.100.100.200,"			/* metadata: Alibaba Cloud */
	"168.63.129.16,"			/* metadata: Azure's platform address */
	"192.0.0.192,"				/* metadata: Oracle Cloud */
	"224.0.0.0/4,"				/* multicast */
	"240.0.0.0/4,"				/* reserved, and broadcast */
	"::,"						/* unspecified: reaches our own host */
	"fd00:ec2::/32,"			/* metadata and other local services: AWS */
	"fd20:ce::254,"				/* metadata: Google Cloud */
	"fd00:c1::a9fe:a9fe,"		/* metadata: Oracle Cloud */
	"fd00:42::42,"				/* metadata: Scaleway */
	"fd00:a9fe:a9fe::1,"		/* metadata: others */
	"fe80::/10,"				/* link-local */
	"ff00::/8";					/* multicast */

/*
 * All but global unicast space, and of that what is in IANA's registries of
 * special-purpose addresses, though some of it can be reached globally: nobody
 * receives webhooks there.  The networks at the end have the rest of IPv6, where
 * nothing has been assigned.
 */
static const char strict_networks[] =
	"127.0.0.0/8,::1,"			/* loopback */
	"10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,"	/* private */
	"100.64.0.0/10,"			/* shared by carriers, and by overlays */
	"192.0.0.0/24,2001::/23,"	/* protocol assignments, Teredo among them */
	"192.0.2.0/24,198.51.100.0/24,203.0.113.0/24,"	/* documentation */
	"2001:db8::/32,3fff::/20,"	/* documentation */
	"192.31.196.0/24,192.175.48.0/24,2620:4f:8000::/48,"	/* AS112 */
	"192.52.193.0/24,"			/* multicast tunnels */
	"192.88.99.0/24,2002::/16," /* 6to4 */
	"198.18.0.0/15,"			/* benchmarks */
	"64:ff9b:1::/48,"			/* translators of a network's own */
	"100::/64,100:0:0:1::/64,"	/* discarded, dummy */
	"5f00::/16,"				/* segments of routes */
	"fc00::/7,fec0::/10,"		/* private */
	"::/3,4000::/2,8000::/1";

/*
 * IPv6 networks whose addresses hold an IPv4 address, and which bytes those
 * are.  It counts only if its first one is in the range: "::" and "::1" look
 * like compatible addresses, but are addresses in their own right.
 *
 * Translators of a network's own take 64:ff9b:1::/48 as it is, or a part of
 * it, and which bytes are the IPv4 address depends on the length of that part
 * (RFC 6052, 2.2).  Nobody tells us, so all of them are judged.  What is the
 * IPv4 address by a short prefix is mostly a part of the prefix by a long one,
 * so there only what can be a host's address counts.
 */
static const struct
{
	const char	prefix[16];
	int			bits;
	unsigned char at[4];
	unsigned char first_min;
	unsigned char first_max;
}			carriers[] =
{
	/* MAPPED, ::ffff:0:0/96 */
	{"\0\0\0\0\0\0\0\0\0\0\xff\xff", 96, {12, 13, 14, 15}, 0, 255},
	/* compatible, ::/96 */
	{"\0\0\0\0\0\0\0\0\0\0\0\0", 96, {12, 13, 14, 15}, 1, 255},
	/* translated, ::ffff:0:0:0/96 */
	{"\0\0\0\0\0\0\0\0\xff\xff\0\0", 96, {12, 13, 14, 15}, 0, 255},
	/* NAT64, 64:ff9b::/96 */
	{"\0\x64\xff\x9b\0\0\0\0\0\0\0\0", 96, {12, 13, 14, 15}, 0, 255},
	/* local NAT64, 64:ff9b:1::/48, by prefixes of 96, 64, 56 and 48 bits */
	{"\0\x64\xff\x9b\0\1", 48, {12, 13, 14, 15}, 1, 255},
	{"\0\x64\xff\x9b\0\1", 48, {9, 10, 11, 12}, 1, 223},
	{"\0\x64\xff\x9b\0\1", 48, {7, 9, 10, 11}, 1, 223},
	{"\0\x64\xff\x9b\0\1", 48, {6, 7, 9, 10}, 1, 223},
	/* 6to4, 2002::/16 */
	{"\x20\x02", 16, {2, 3, 4, 5}, 0, 255}
};

#define MAPPED		0
#define NAT64		3
#define ANY			(-1)
#define NCARRIERS	((int) (sizeof(carriers) / sizeof(carriers[0])))

static GuardList blocked;
static GuardList allowed;
static bool blocked_set = false;

/* Does an IPv6 address stand for an IPv4 address by that entry? */
static bool
carried_address(const unsigned char *address, int carrier, unsigned char *carried)
{
	if (!network_same_bits(address, carriers[carrier].prefix, carriers[carrier].bits))
		return false;
	for (int i = 0; i < 4; i++)
		carried[i] = address[carriers[carrier].at[i]];
	return carried[0] >= carriers[carrier].first_min &&
		carried[0] <= carriers[carrier].first_max;
}

static void
print_address(const unsigned char *address, int size, char *text, size_t text_size)
{
	if (inet_ntop(size == 4 ? AF_INET : AF_INET6, address, text, text_size) == NULL)
		snprintf(text, text_size, "?");
}

/* ---------------------------------------------------------------------
 * Reading a list
 * ---------------------------------------------------------------------
 */

/* One address or network, NUL-terminated. */
static bool
parse_network(const char *element, GuardNetwork *network, char *why, size_t why_size)
{
	static const unsigned char zero[16];
	Network		parsed;
	unsigned char host[16];
	int			rest;

	memset(network, 0, sizeof(*network));
	if (!network_parse(element, strlen(element), &parsed))
	{
		snprintf(why, why_size,
				 "\"%.60s\" is not an address, a network such as 10.0.0.0/8, \"default\" or \"strict\".",
				 element);
		return false;
	}

	/* As with type cidr: bits beyond the prefix are more likely a mistake. */
	memcpy(host, parsed.address, sizeof(host));
	memset(host, 0, parsed.bits / 8);
	rest = parsed.bits % 8;
	if (rest != 0)
		host[parsed.bits / 8] &= 0xff >> rest;
	if (memcmp(host, zero, parsed.size) != 0)
	{
		snprintf(why, why_size, "Network \"%.60s\" has bits set to the right of its prefix.",
				 element);
		return false;
	}
	memcpy(network->address, parsed.address, sizeof(network->address));
	network->size = parsed.size;
	network->bits = parsed.bits;

	/* A mapped address is the IPv4 address in all but its spelling. */
	if (network->size == 16 && network->bits >= carriers[MAPPED].bits &&
		network_same_bits(network->address, carriers[MAPPED].prefix, carriers[MAPPED].bits))
	{
		memmove(network->address, network->address + carriers[MAPPED].at[0], 4);
		memset(network->address + 4, 0, 12);
		network->size = 4;
		network->bits -= carriers[MAPPED].bits;
	}
	return true;
}

static bool parse_elements(const char *list, GuardList *out, char *why, size_t why_size);

static bool
parse_strict(GuardList *out, char *why, size_t why_size)
{
	int			first = out->count;

	if (!parse_elements(default_networks, out, why, why_size) ||
		!parse_elements(strict_networks, out, why, why_size))
		return false;
	for (int i = first; i < out->count; i++)
		out->networks[i].strict = true;
	return true;
}

/* One element of a list, trimmed. */
static bool
parse_element(const char *start, size_t len, GuardList *out, char *why, size_t why_size)
{
	char		element[80];

	if (len >= sizeof(element))
	{
		snprintf(why, why_size, "\"%.60s...\" is too long for a network.", start);
		return false;
	}
	memcpy(element, start, len);
	element[len] = '\0';

	if (len == 0)
	{
		snprintf(why, why_size, "There is an empty element between two commas.");
		return false;
	}
	if (ascii_same(element, "default"))
		return parse_elements(default_networks, out, why, why_size);
	if (ascii_same(element, "strict"))
		return parse_strict(out, why, why_size);
	if (out->count >= GUARD_MAX_NETWORKS)
	{
		snprintf(why, why_size, "A list can have at most %d networks.", GUARD_MAX_NETWORKS);
		return false;
	}
	if (!parse_network(element, &out->networks[out->count], why, why_size))
		return false;
	out->count++;
	return true;
}

static bool
parse_elements(const char *list, GuardList *out, char *why, size_t why_size)
{
	static const char blanks[] = " \t\r\n";

	for (;;)
	{
		size_t		len;
		size_t		trimmed;

		list += strspn(list, blanks);
		len = strcspn(list, ",");
		trimmed = len;
		while (trimmed > 0 && strchr(blanks, list[trimmed - 1]) != NULL)
			trimmed--;
		if (!parse_element(list, trimmed, out, why, why_size))
			return false;
		if (list[len] == '\0')
			return true;
		list += len + 1;
	}
}

bool
guard_parse(const char *list, GuardList *out, char *why, size_t why_size)
{
	memset(out, 0, sizeof(*out));
	if (list == NULL || list[strspn(list, " \t\r\n")] == '\0')
		return true;
	return parse_elements(list, out, why, why_size);
}

/* ---------------------------------------------------------------------
 * Judging an address
 * ---------------------------------------------------------------------
 */

static bool
replace_list(GuardList *target, const char *list)
{
	GuardList	parsed;
	char		why[160];

	if (!guard_parse(list, &parsed, why, sizeof(why)))
		return false;
	*target = parsed;
	return true;
}

void
guard_set_blocked(const char *list)
{
	if (replace_list(&blocked, list))
		blocked_set = true;
}

void
guard_set_allowed(const char *list)
{
	(void) replace_list(&allowed, list);
}

/*
 * The first network of the list with this address in it, and more bits than so
 * many; or NULL.  Where there is no IPv4, all of it is in 64:ff9b::/96, so there
 * "strict" leaves the word to that of IPv4.
 */
static const GuardNetwork *
find_network(const GuardList *list, const unsigned char *address, int size, int bits)
{
	bool		nat64 = size == 16 &&
		network_same_bits(address, carriers[NAT64].prefix, carriers[NAT64].bits);

	for (int i = 0; i < list->count; i++)
	{
		const GuardNetwork *network = &list->networks[i];

		if (network->size == size && network->bits > bits &&
			network_same_bits(address, network->address, network->bits) &&
			!(nat64 && network->strict && network->bits < carriers[NAT64].bits))
			return network;
	}
	return NULL;
}

/*
 * The network that blocks one of the IPv4 addresses that an IPv6 address may
 * stand for, and that one; or NULL.  *excepted: none is blocked, and one is
 * allowed.  That an IPv6 network is allowed says nothing about them, unless it is
 * so narrow that it says which they are.
 */
static const GuardNetwork *
judge_carried(const unsigned char *address, unsigned char *carried, bool *excepted)
{
	*excepted = false;
	for (int i = 0; i < NCARRIERS; i++)
	{
		const GuardNetwork *network;

		if (!carried_address(address, i, carried))
			continue;
		if (find_network(&allowed, carried, 4, ANY) != NULL)
			*excepted = true;
		else if (find_network(&allowed, address, 16, 8 * carriers[i].at[0]) != NULL)
			continue;
		else if ((network = find_network(&blocked, carried, 4, ANY)) != NULL)
		{
			*excepted = false;
			return network;
		}
	}
	return NULL;
}

bool
guard_allows(const struct sockaddr *address, char *why, size_t why_size)
{
	const unsigned char *bytes;
	unsigned char carried[4];
	const GuardNetwork *network;
	const GuardNetwork *carried_network = NULL;
	bool		excepted = false;
	char		address_text[INET6_ADDRSTRLEN];
	char		network_text[INET6_ADDRSTRLEN];
	int			size;

	if (!blocked_set)
		guard_set_blocked("default");

	if (address->sa_family == AF_INET)
	{
		bytes = (const unsigned char *) &((const struct sockaddr_in *) address)->sin_addr;
		size = 4;
	}
	else if (address->sa_family == AF_INET6)
	{
		bytes = (const unsigned char *) &((const struct sockaddr_in6 *) address)->sin6_addr;
		size = 16;
		carried_network = judge_carried(bytes, carried, &excepted);
	}
	else
	{
		snprintf(why, why_size, "address family %d is neither IPv4 nor IPv6",
				 (int) address->sa_family);
		return false;
	}

	if (carried_network == NULL &&
		(excepted || find_network(&allowed, bytes, size, ANY) != NULL))
		return true;
	network = find_network(&blocked, bytes, size, ANY);
	if (network == NULL && carried_network == NULL)
		return true;

	print_address(bytes, size, address_text, sizeof(address_text));
	if (carried_network != NULL)
	{
		char		carried_text[INET6_ADDRSTRLEN];

		print_address(carried, 4, carried_text, sizeof(carried_text));
		print_address(carried_network->address, 4, network_text, sizeof(network_text));
		snprintf(why, why_size, "address %s stands for %s, which is in the blocked network %s/%d",
				 address_text, carried_text, network_text, carried_network->bits);
	}
	else
	{
		print_address(network->address, network->size, network_text, sizeof(network_text));
		snprintf(why, why_size, "address %s is in the blocked network %s/%d",
				 address_text, network_text, network->bits);
	}
	return false;
}
