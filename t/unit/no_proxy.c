/*-------------------------------------------------------------------------
 *
 * no_proxy.c
 *		Unit tests of which hosts are reached without the proxy.
 *
 * rooms: http/no_proxy.c http/network.c
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include "http/no_proxy.h"

/* A list, and hosts that it names and does not name, each with a blank behind it. */
typedef struct Case
{
	const char *list;
	const char *named;
	const char *others;
} Case;

static const Case cases[] = {
	{NULL, "", "a.test 127.0.0.1 [::1] "},
	{"", "", "a.test 127.0.0.1 [::1] "},
	{" ,, ", "", "a.test 127.0.0.1 [::1] "},
	{"*", "a.test 127.0.0.1 [::1] ", ""},
	{"x.test, *", "a.test 127.0.0.1 [::1] ", ""},
	{"a.test", "a.test A.Test a.test. b.a.test ", "ba.test a.tes a.test.b "},
	{".a.test", "a.test b.a.test ", "ba.test "},
	{"*.a.test.", "a.test b.a.test ", "ba.test *.b.test "},
	{"x.test\ty.test,z.test", "x.test y.test z.test ", "a.test "},
	{"a.test:80,*a.test,.,..,*.", "", "a.test b.a.test "},
	{"127.0.0.1", "127.0.0.1 ", "127.0.0.11 7.0.0.1 1.127.0.0.1 a127.0.0.1 "},
	{"0.0.1,1", "", "127.0.0.1 "},
	{"10.0.0.0/8", "10.0.0.1 10.255.255.255 ", "11.0.0.1 [::a00:1] a.10.0.0.0/8 "},
	{"10.1.2.3/8,0.0.0.0/33", "10.0.0.1 ", "11.0.0.1 "},
	{"0.0.0.0/0", "10.0.0.1 127.0.0.1 ", "[::1] a.test "},
	{"192.168.1.128/25", "192.168.1.128 192.168.1.255 ", "192.168.1.127 "},
	{"::1", "[::1] [0:0:0:0:0:0:0:1] ", "[::2] 127.0.0.1 "},
	{"[::1],0:0:0:0:0:0:0:2", "[::1] [::2] ", "[::3] "},
	{"fd00::/8", "[fd00::1] [FD12::] ", "[fc00::1] [fe80::1] "},
	{"[fe80::]/10", "[fe80::1] [fe80::1%eth0] [febf::1] ", "[fec0::1] "},
	{"[::1/128]", "[::1] ", "[::2] "},
	{"::/0", "[::1] [2001:db8::1] ", "127.0.0.1 "},
	{"::/129,::/,::/x,::/-1,/8,1.2.3.4/", "", "[::1] 1.2.3.4 "},
	{"fd00::/8fd00::/8fd00::/8fd00::/8fd00::/8fd00::/8fd00::/8fd00::/8fd00::/8", "", "[fd00::1] "}
};

static void
each(const char *list, const char *hosts, bool expected)
{
	while (*hosts != '\0')
	{
		size_t		len = strcspn(hosts, " ");

		ok(no_proxy_names(list, hosts, len) == expected,
		   psprintf("\"%s\" %s %.*s", list ? list : "NULL", expected ? "names" : "does not name", (int) len, hosts));
		hosts += len + 1;
	}
}

static void
tests(void)
{
	for (int i = 0; i < lengthof(cases); i++)
	{
		each(cases[i].list, cases[i].named, true);
		each(cases[i].list, cases[i].others, false);
	}
}
