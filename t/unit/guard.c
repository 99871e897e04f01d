/*-------------------------------------------------------------------------
 *
 * guard.c
 *		Unit tests of which addresses may be connected to.
 *
 * rooms: http/guard.c http/network.c
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "http/guard.h"

/* What is wrong with the bytes of an address, "" if nothing is. */
static const char *
judge_bytes(const unsigned char *bytes, int size)
{
	static char why[200];
	struct sockaddr_in in4 = {.sin_family = AF_INET};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};

	memcpy(size == 4 ? (void *) &in4.sin_addr : (void *) &in6.sin6_addr, bytes, size);
	strcpy(why, "nothing said");
	if (guard_allows(size == 4 ? (struct sockaddr *) &in4 : (struct sockaddr *) &in6,
					 why, sizeof(why)))
		return "";
	return why;
}

static const char *
judge(const char *address)
{
	unsigned char bytes[16];

	if (inet_pton(AF_INET, address, bytes) == 1)
		return judge_bytes(bytes, 4);
	if (inet_pton(AF_INET6, address, bytes) == 1)
		return judge_bytes(bytes, 16);
	return "no address";
}

static void
set_lists(const char *blocked, const char *allowed)
{
	guard_set_blocked(blocked);
	guard_set_allowed(allowed);
}

static void
is_free(const char *address)
{
	is_text(judge(address), "", psprintf("%s is free", address));
}

static void
is_in(const char *address, const char *network)
{
	is_text(judge(address), psprintf("address %s is in the blocked network %s", address, network),
			psprintf("%s is not", address));
}

static void
stands_for(const char *address, const char *carried, const char *network)
{
	is_text(judge(address),
			psprintf("address %s stands for %s, which is in the blocked network %s",
					 address, carried, network),
			psprintf("%s is not, for %s", address, carried));
}

/* ---------------------------------------------------------------------
 * The lists by name
 * ---------------------------------------------------------------------
 */

static const char *const default_networks[] = {
	"0.0.0.0/8", "169.254.0.0/16", "100.100.100.200/32", "168.63.129.16/32",
	"192.0.0.192/32", "224.0.0.0/4", "240.0.0.0/4",
	"::/128", "fd00:ec2::/32", "fd20:ce::254/128", "fd00:c1::a9fe:a9fe/128", "fd00:42::42/128",
	"fd00:a9fe:a9fe::1/128", "fe80::/10", "ff00::/8"
};

static const char *const strict_networks[] = {
	"127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16",
	"100.64.0.0/10", "fc00::/7", "fec0::/10", "64:ff9b:1::/48", "100::/64", "100:0:0:1::/64",
	"192.0.0.0/24", "198.18.0.0/15", "192.0.2.0/24", "198.51.100.0/24",
	"203.0.113.0/24", "2001::/23", "2001:db8::/32", "3fff::/20", "192.31.196.0/24",
	"192.175.48.0/24", "2620:4f:8000::/48", "192.52.193.0/24", "192.88.99.0/24", "2002::/16",
	"5f00::/16", "::/3", "4000::/2", "8000::/1"
};

static void
split(const char *network, unsigned char *bytes, int *size, int *bits)
{
	char	   *address = pstrdup(network);
	char	   *slash = strchr(address, '/');

	*slash = '\0';
	*bits = atoi(slash + 1);
	*size = inet_pton(AF_INET, address, bytes) == 1 ? 4 : 16;
	if (*size == 16 && inet_pton(AF_INET6, address, bytes) != 1)
		elog(ERROR, "no network: %s", network);
}

/* The next address or the one before; false: there is none. */
static bool
step(unsigned char *bytes, int size, int by)
{
	for (int i = size - 1; i >= 0; i--)
	{
		bytes[i] += by;
		if (bytes[i] != (by > 0 ? 0 : 255))
			return true;
	}
	return false;
}

/* Its first and its last address are in it, those beside it are not. */
static void
has_bounds(const char *network)
{
	unsigned char first[16];
	unsigned char last[16];
	int			size;
	int			bits;
	const char *in_it = psprintf("is in the blocked network %s", network);
	const char *for_it = psprintf("which is in the blocked network %s", network);

	split(network, first, &size, &bits);
	memcpy(last, first, sizeof(last));
	for (int i = bits; i < size * 8; i++)
		last[i / 8] |= 0x80 >> (i % 8);

	/* that of a wide one may be something else as well, which is named */
	ok(strstr(judge_bytes(first, size), bits > 16 || size == 4 ? in_it : "blocked") != NULL,
	   psprintf("the first of %s", network));
	ok(judge_bytes(last, size)[0] != '\0', psprintf("the last of %s", network));
	if (step(first, size, -1))
		ok(strstr(judge_bytes(first, size), in_it) == NULL, psprintf("before %s", network));
	if (step(last, size, 1))
		ok(strstr(judge_bytes(last, size), in_it) == NULL, psprintf("behind %s", network));

	/* and so in IPv6 */
	if (size == 4)
	{
		static const unsigned char heads[][12] = {
			{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff},
			{0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0},
			{0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0}
		};
		unsigned char carrier[16];

		split(network, first, &size, &bits);
		for (int i = 0; i < lengthof(heads); i++)
		{
			memcpy(carrier, heads[i], 12);
			memcpy(carrier + 12, first, 4);
			ok(strstr(judge_bytes(carrier, 16), for_it) != NULL, psprintf("%s carried", network));
		}
		memset(carrier, 0, sizeof(carrier));
		carrier[0] = 0x20;
		carrier[1] = 0x02;
		memcpy(carrier + 2, first, 4);
		ok(strstr(judge_bytes(carrier, 16), for_it) != NULL, psprintf("%s by 6to4", network));
	}
}

static void
named_lists(void)
{
	static const char *const anywhere[] = {
		"1.0.0.0", "8.8.8.8", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0",
		"169.253.255.255", "169.255.0.0", "192.0.1.0", "223.255.255.255",
		"2000::", "2001:4860:4860::8888", "2a00::1", "2001:db7:ffff::", "64:ff9b::8.8.8.8", "2003::1",
		"2001:200::", "3ffe::1", "3fff:1000::"
	};
	static const char *const inside[] = {
		"fbff::1", "1::", "::ffff:8.8.8.8", "::8.8.8.8", "::ffff:0:8.8.8.8", "2002:808:808::",
		"64:ff9b:2::a9fe:1", "64:ff9b::1:808:808", "64:ff9a:ffff:ffff:ffff:ffff:808:808", "fd00:42::43",
		"127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "::1", "fc00::1",
		"fd00::1", "fec0::1", "64:ff9b:1::808:808", "::ffff:127.0.0.1", "2001:db8::1"
	};

	/* before anything is set */
	is_in("169.254.169.254", "169.254.0.0/16");
	is_free("127.0.0.1");

	for (int i = 0; i < lengthof(default_networks); i++)
		has_bounds(default_networks[i]);
	for (int i = 0; i < lengthof(anywhere); i++)
		is_free(anywhere[i]);
	for (int i = 0; i < lengthof(inside); i++)
		is_free(inside[i]);

	set_lists("strict", "");
	for (int i = 0; i < lengthof(default_networks); i++)
	{
		/* where a network of strict is the first that has it, that is named */
		ok(judge(pnstrdup(default_networks[i], strcspn(default_networks[i], "/")))[0] != '\0',
		   psprintf("%s is in strict, too", default_networks[i]));
	}
	for (int i = 0; i < lengthof(strict_networks); i++)
		has_bounds(strict_networks[i]);
	for (int i = 0; i < lengthof(anywhere); i++)
		is_free(anywhere[i]);
	for (int i = 0; i < lengthof(inside); i++)
		ok(judge(inside[i])[0] != '\0', psprintf("%s is in strict", inside[i]));

	set_lists("", "");
	is_free("169.254.169.254");
	is_free("::");
}

/*
 * What IANA's registries of special-purpose addresses had in October 2025, and the
 * parts of IPv6 of which its registry of the address space says that they are not
 * global unicast.
 */
static void
registries(void)
{
	static const char *const special[] = {
		"0.0.0.0/8", "0.0.0.0/32", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
		"172.16.0.0/12", "192.0.0.0/24", "192.0.0.0/29", "192.0.0.8/32", "192.0.0.9/32",
		"192.0.0.10/32", "192.0.0.170/32", "192.0.0.171/32", "192.0.2.0/24", "192.31.196.0/24",
		"192.52.193.0/24", "192.88.99.0/24", "192.88.99.2/32", "192.168.0.0/16", "192.175.48.0/24",
		"198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4", "255.255.255.255/32",

		"::1/128", "::/128", "::ffff:0:0/96", "64:ff9b:1::/48", "100::/64", "100:0:0:1::/64",
		"2001::/23", "2001::/32", "2001:1::1/128", "2001:1::2/128", "2001:1::3/128", "2001:2::/48",
		"2001:3::/32", "2001:4:112::/48", "2001:10::/28", "2001:20::/28", "2001:30::/28",
		"2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20", "5f00::/16", "fc00::/7",
		"fe80::/10",

		"224.0.0.0/4", "100::/8", "200::/7", "400::/6", "800::/5", "1000::/4", "4000::/3",
		"6000::/3", "8000::/3", "a000::/3", "c000::/3", "e000::/4", "f000::/5", "f800::/6",
		"fe00::/9", "fec0::/10", "ff00::/8"
	};

	set_lists("strict", "");
	for (int i = 0; i < lengthof(special); i++)
	{
		unsigned char first[16];
		unsigned char last[16];
		unsigned char middle[16];
		int			size;
		int			bits;

		split(special[i], first, &size, &bits);
		memcpy(last, first, sizeof(last));
		for (int bit = bits; bit < size * 8; bit++)
			last[bit / 8] |= 0x80 >> (bit % 8);
		for (int byte = 0; byte < 16; byte++)
			middle[byte] = first[byte] | (last[byte] & 0x5A);
		ok(judge_bytes(first, size)[0] != '\0', psprintf("strict has the first of %s", special[i]));
		ok(judge_bytes(last, size)[0] != '\0', psprintf("strict has the last of %s", special[i]));
		ok(judge_bytes(middle, size)[0] != '\0', psprintf("strict has one within %s", special[i]));
	}

	/* where a translator leads is judged by that */
	is_free("64:ff9b::808:808");
	stands_for("64:ff9b::7f00:1", "127.0.0.1", "127.0.0.0/8");
	stands_for("64:ff9b::c058:6302", "192.88.99.2", "192.88.99.0/24");

	/* but not by who blocks it, too */
	set_lists("strict, 64:ff9b::/96", "");
	is_in("64:ff9b::808:808", "64:ff9b::/96");
	set_lists("strict, ::/0", "");
	is_in("64:ff9b::808:808", "::/0");
	set_lists("::/0, strict", "");
	is_in("64:ff9b::808:808", "::/0");
}

/* ---------------------------------------------------------------------
 * IPv4 in IPv6
 * ---------------------------------------------------------------------
 */

static void
carriers(void)
{
	set_lists("192.0.2.0/24", "");
	stands_for("::ffff:192.0.2.33", "192.0.2.33", "192.0.2.0/24");
	stands_for("::192.0.2.33", "192.0.2.33", "192.0.2.0/24");
	stands_for("::ffff:0:c000:221", "192.0.2.33", "192.0.2.0/24");
	stands_for("64:ff9b::c000:221", "192.0.2.33", "192.0.2.0/24");
	stands_for("2002:c000:221::", "192.0.2.33", "192.0.2.0/24");
	stands_for("2002:c000:221:ffff:ffff:ffff:ffff:ffff", "192.0.2.33", "192.0.2.0/24");

	/* the examples of RFC 6052, in the network of local translators */
	stands_for("64:ff9b:1:344::c000:221", "192.0.2.33", "192.0.2.0/24");
	stands_for("64:ff9b:1:344:c0:2:2100:0", "192.0.2.33", "192.0.2.0/24");
	stands_for("64:ff9b:1:3c0:0:221::", "192.0.2.33", "192.0.2.0/24");
	stands_for("64:ff9b:1:c000:2:2100::", "192.0.2.33", "192.0.2.0/24");
	stands_for("64:ff9b:1:c000:ff02:21ff:ffff:ffff", "192.0.2.33", "192.0.2.0/24");

	/* not by one bit */
	is_free("::ffff:192.0.3.33");
	is_free("::fffe:192.0.2.33");
	is_free("::1:ffff:c000:221");
	is_free("::fffe:0:c000:221");
	is_free("64:ff9a::c000:221");
	is_free("64:ff9b::1:0:c000:221");
	is_free("64:ff9b::1:c000:221");
	is_free("::1:c000:221");
	is_free("64:ff9b:0:1::c000:221");
	is_free("2003:c000:221::");
	is_free("2002:0:c000:221::");
	is_free("64:ff9b:2:c000:2:2100::");
	is_free("64:ff9b:3::c000:221");

	/* what can be no host's address is none by short prefixes of our own ... */
	set_lists("0.0.0.0/8, 223.0.0.0/8, 224.0.0.0/3", "");
	is_free("64:ff9b:1:0:e0:102:300:0");
	is_free("64:ff9b:1:e0:1:203::");
	is_free("64:ff9b:1:e001:2:300::");
	is_free("64:ff9b:1::");
	stands_for("64:ff9b:1:0:df:102:300:0", "223.1.2.3", "223.0.0.0/8");
	stands_for("64:ff9b:1:df:1:203::", "223.1.2.3", "223.0.0.0/8");
	stands_for("64:ff9b:1:df01:2:300::", "223.1.2.3", "223.0.0.0/8");
	stands_for("64:ff9b:1::ff01:203", "255.1.2.3", "224.0.0.0/3");

	/* ... and "::1" is not 0.0.0.1, but that is by any other way */
	is_free("::1");
	is_free("::");
	is_free("::0.1.2.3");
	stands_for("::ffff:0.1.2.3", "0.1.2.3", "0.0.0.0/8");
	stands_for("::ffff:0:1:203", "0.1.2.3", "0.0.0.0/8");
	stands_for("64:ff9b::1:203", "0.1.2.3", "0.0.0.0/8");
	stands_for("2002:1:203::", "0.1.2.3", "0.0.0.0/8");
	stands_for("::ffff:255.255.255.255", "255.255.255.255", "224.0.0.0/3");
	stands_for("::255.255.255.255", "255.255.255.255", "224.0.0.0/3");

	set_lists("1.0.0.0/8", "");
	stands_for("::1.0.0.0", "1.0.0.0", "1.0.0.0/8");

	/* as itself */
	set_lists("64:ff9b::/96, 2002::/16", "");
	is_in("64:ff9b::808:808", "64:ff9b::/96");
	is_in("2002:808:808::", "2002::/16");
	is_free("8.8.8.8");
}

static void
exceptions(void)
{
	set_lists("strict", "10.1.0.0/16, 169.254.1.10, fd00::/8, 127.0.0.1");
	is_free("10.1.2.3");
	is_in("10.2.2.3", "10.0.0.0/8");
	is_free("127.0.0.1");
	is_in("127.0.0.2", "127.0.0.0/8");
	is_free("fd00:ec2::254");
	is_in("fc00::1", "fc00::/7");
	is_free("::ffff:10.1.2.3");
	is_free("64:ff9b::a01:203");
	is_free("2002:a01:203::");
	is_free("64:ff9b:1::a01:203");
	stands_for("::ffff:10.2.2.3", "10.2.2.3", "10.0.0.0/8");

	/* of several that it may stand for, all have to be allowed */
	is_free("64:ff9b:1:0:a9:fe01:a01:1");
	stands_for("64:ff9b:1:0:a9:fe02:a01:1", "169.254.2.10", "169.254.0.0/16");
	stands_for("64:ff9b:1:0:a9:fe01:a02:1", "10.2.0.1", "10.0.0.0/8");

	/* an IPv6 network as such says nothing of what a translator leads to ... */
	set_lists("default, 64:ff9b::/96", "64:ff9b::/96");
	is_free("64:ff9b::808:808");
	is_free("64:ff9b::a00:1");
	stands_for("64:ff9b::a9fe:a9fe", "169.254.169.254", "169.254.0.0/16");
	stands_for("64:ff9b::6464:64c8", "100.100.100.200", "100.100.100.200/32");
	stands_for("64:ff9b::a83f:8110", "168.63.129.16", "168.63.129.16/32");
	stands_for("64:ff9b::c000:c0", "192.0.0.192", "192.0.0.192/32");
	is_in("169.254.169.254", "169.254.0.0/16");
	set_lists("strict", "64:ff9b::/96, 64:ff9b:1::/48, 2002::/16, ::/96, ::ffff:0:0:0/96");
	stands_for("64:ff9b::a9fe:a9fe", "169.254.169.254", "169.254.0.0/16");
	stands_for("64:ff9b:1::a9fe:a9fe", "169.254.169.254", "169.254.0.0/16");
	stands_for("64:ff9b:1:a9fe:a9:fe00::", "169.254.0.0", "169.254.0.0/16");
	stands_for("2002:a9fe:a9fe::1", "169.254.169.254", "169.254.0.0/16");
	stands_for("::169.254.169.254", "169.254.169.254", "169.254.0.0/16");
	stands_for("::ffff:0:a9fe:a9fe", "169.254.169.254", "169.254.0.0/16");
	stands_for("::ffff:169.254.169.254", "169.254.169.254", "169.254.0.0/16");
	is_free("64:ff9b:1::808:808");
	is_free("2002:808:808::1");
	is_free("::8.8.8.8");
	set_lists("default", "::/0");
	stands_for("64:ff9b::a9fe:a9fe", "169.254.169.254", "169.254.0.0/16");
	is_free("fd00:42::42");

	/* ... unless it says which that is */
	set_lists("strict", "64:ff9b::a9fe:a9fe, 64:ff9b::a01:0/112, 2002:a9fe::/32, 64:ff9b:1:a9fe::/96");
	is_free("64:ff9b::a9fe:a9fe");
	stands_for("64:ff9b::a9fe:a9fd", "169.254.169.253", "169.254.0.0/16");
	is_free("64:ff9b::a01:203");
	stands_for("64:ff9b::a02:203", "10.2.2.3", "10.0.0.0/8");
	is_free("2002:a9fe:a9fe::1");
	is_free("64:ff9b:1:a9fe::808:808");
	stands_for("64:ff9b:1:a9fe::a9fe:a9fe", "169.254.169.254", "169.254.0.0/16");

	/* "strict" may be allowed, too, and everything be blocked */
	set_lists("0.0.0.0/0, ::/0", "strict");
	is_free("169.254.169.254");
	is_free("10.0.0.1");
	is_in("8.8.8.8", "0.0.0.0/0");
	is_in("2a00::1", "::/0");
	set_lists("0.0.0.0/0, ::/0", "");
	stands_for("::ffff:8.8.8.8", "8.8.8.8", "0.0.0.0/0");
	set_lists("::/0", "");
	is_in("::ffff:8.8.8.8", "::/0");
	is_free("8.8.8.8");
}

/* ---------------------------------------------------------------------
 * Lists as text
 * ---------------------------------------------------------------------
 */

static char *
repeated(const char *what, int times)
{
	StringInfoData out;

	initStringInfo(&out);
	for (int i = 0; i < times; i++)
		appendStringInfoString(&out, what);
	return out.data;
}

static void
is_bad(const char *list, const char *expected)
{
	GuardList	parsed;
	char		why[160] = "nothing said";

	ok(!guard_parse(list, &parsed, why, sizeof(why)), psprintf("\"%.40s\" is refused", list));
	is_text(why, expected, psprintf("why \"%.40s\" is", list));
}

static void
is_no_network(const char *list)
{
	is_bad(list, psprintf("\"%s\" is not an address, a network such as 10.0.0.0/8, \"default\" or \"strict\".",
						  list));
}

static int
parsed_count(const char *list)
{
	GuardList	parsed;
	char		why[160];

	parsed.count = -1;
	return guard_parse(list, &parsed, why, sizeof(why)) ? parsed.count : -2;
}

static void
lists(void)
{
	static const char *const no_networks[] = {
		"example.com", "10.0.0", "10", "1.2.3.4.5", "256.0.0.1", "010.0.0.1", "0x7f.0.0.1",
		"10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/ 8", "10.0.0.0 /8",
		"10.0.0.0/8x", "10.0.0.0/8/8", "10.0.0.0/99999999999999999999", "10.0.0.0/255.0.0.0",
		"/8", "/", "::/129", ":::", "[::1]", "fe80::1%eth0", "::ffff:10.0.0.0/129",
		"10.0.0.0;8.8.8.8", "10.0.0.0 8.8.8.8", "defaults", "*", "-"
	};
	GuardList	parsed;
	char		why[160];
	char		small[8];

	for (int i = 0; i < lengthof(no_networks); i++)
		is_no_network(no_networks[i]);
	is_bad("10.0.0.1/8", "Network \"10.0.0.1/8\" has bits set to the right of its prefix.");
	is_bad("10.128.0.0/8", "Network \"10.128.0.0/8\" has bits set to the right of its prefix.");
	is_bad("172.24.0.0/12", "Network \"172.24.0.0/12\" has bits set to the right of its prefix.");
	is_bad("0.0.0.1/0", "Network \"0.0.0.1/0\" has bits set to the right of its prefix.");
	is_bad("fe80::1/10", "Network \"fe80::1/10\" has bits set to the right of its prefix.");
	is_bad("::ffff:0.0.0.0/95", "Network \"::ffff:0.0.0.0/95\" has bits set to the right of its prefix.");
	is_int(parsed_count("172.16.0.0/12"), 1, "bits up to the prefix may be set");

	is_bad(",", "There is an empty element between two commas.");
	is_bad("10.0.0.0/8,", "There is an empty element between two commas.");
	is_bad("10.0.0.0/8, \t,::1", "There is an empty element between two commas.");
	is_bad(repeated("1", 79),
		   psprintf("\"%s\" is not an address, a network such as 10.0.0.0/8, \"default\" or \"strict\".",
					repeated("1", 60)));
	is_bad(repeated("1", 80), psprintf("\"%s...\" is too long for a network.", repeated("1", 60)));
	is_bad(psprintf("1.1.1.1%s", repeated(",1.1.1.1", 256)), "A list can have at most 256 networks.");
	is_bad(psprintf("default%s", repeated(",1.1.1.1", 245)), "A list can have at most 256 networks.");
	is_bad(psprintf("%sdefault", repeated("1.1.1.1,", 245)), "A list can have at most 256 networks.");
	is_int(parsed_count(psprintf("1.1.1.1%s", repeated(",1.1.1.1", 255))), 256, "so many are allowed");

	is_int(parsed_count(NULL), 0, "no list");
	is_int(parsed_count(""), 0, "an empty one");
	is_int(parsed_count(" \t\r\n"), 0, "one of blanks");
	is_int(parsed_count("default"), lengthof(default_networks), "default");
	is_int(parsed_count("DeFault"), lengthof(default_networks), "default in capitals");
	is_int(parsed_count("strict"), lengthof(default_networks) + lengthof(strict_networks), "strict");
	is_int(parsed_count(" Strict ,\t10.0.0.0/08\r\n, ::1 "),
		   lengthof(default_networks) + lengthof(strict_networks) + 2, "blanks do not count");

	/* mapped networks are those of IPv4, others are not */
	ok(guard_parse("::ffff:10.0.0.0/104, ::ffff:0:0/96, ::ffff:1.2.3.4, ::fffe:0:0/95",
				   &parsed, why, sizeof(why)),
	   "mapped networks");
	is_int(parsed.networks[0].size * 1000 + parsed.networks[0].bits, 4008, "a mapped network");
	is_int(parsed.networks[0].address[0], 10, "its address");
	is_int(parsed.networks[1].size * 1000 + parsed.networks[1].bits, 4000, "all of them");
	is_int(parsed.networks[2].size * 1000 + parsed.networks[2].bits, 4032, "a mapped address");
	is_int(parsed.networks[3].size * 1000 + parsed.networks[3].bits, 16095, "what has others, too");
	set_lists("::ffff:10.0.0.0/104", "");
	is_in("10.9.9.9", "10.0.0.0/8");
	is_free("11.0.0.0");

	/* a bad list changes nothing */
	set_lists("10.0.0.0/8", "10.1.0.0/16");
	set_lists("10.0.0.0/8, 10.0.0.1/8", "nonsense");
	is_in("10.0.0.1", "10.0.0.0/8");
	is_free("10.1.0.1");
	is_free("8.8.8.8");

	/* a reason has only so much room */
	memset(small, 'x', sizeof(small));
	ok(!guard_parse("nonsense", &parsed, small, sizeof(small) - 1), "a reason without room");
	is_text(small, "\"nonse", "is cut");
	is_int(small[7], 'x', "and no longer");
}

static void
other_families(void)
{
	struct sockaddr address = {.sa_family = AF_UNIX};
	char		why[100] = "";

	set_lists("", "");
	ok(!guard_allows(&address, why, sizeof(why)), "a socket of another family");
	is_text(why, "address family 1 is neither IPv4 nor IPv6", "why it is not");
}

static void
tests(void)
{
	named_lists();
	registries();
	carriers();
	exceptions();
	lists();
	other_families();
}
