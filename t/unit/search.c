/*-------------------------------------------------------------------------
 *
 * search.c
 *		Unit tests of the names that a host may be short for.
 *
 * rooms: http/http_search.c
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include "http/http_search.h"

/* All names that a host may be, in their order, as a resolv.conf says. */
static void
names(const char *text, const char *host, const char *expected)
{
	StringInfoData out;
	char		name[SEARCH_NAME_SIZE];

	http_search_read(text, strlen(text));
	initStringInfo(&out);
	for (int place = 0; http_search_name(host, place, name); place++)
		appendStringInfo(&out, "%s%s", place > 0 ? " " : "", name);
	is_text(out.data, expected, psprintf("%s, \"%s\"", host, text));
}

static void
tests(void)
{
	const char *too_long = psprintf("search %0300d b", 0);

	unsetenv("LOCALDOMAIN");
	unsetenv("RES_OPTIONS");
	names("search a b.c\n", "x", "x.a. x.b.c. x.");
	names("search a b.c\n", "x.y", "x.y. x.y.a. x.y.b.c.");
	names("search a b.c\n", "x.y.", "x.y.");
	names("search a\n", "x.onion", "x.onion.");
	names("search a\noptions ndots:2", "x.y", "x.y.a. x.y.");
	names("options rotate ndots:0\nsearch a", "x", "x. x.a.");
	names("options ndots:99\nsearch a", "1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16",
		  "1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16. 1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16.a.");
	names("search a\nsearch b\n", "x", "x.b. x.");
	names("search a\ndomain b c\n", "x", "x.b. x.");
	names("search\ta., b # c\n;search d\n#search e\nsearched f", "x", "x.a. x.b. x.");
	names("search .", "x", "x. x.");
	names("search", "x", "x.");
	names(too_long, "x", "x.b. x.");
	setenv("LOCALDOMAIN", "l m", 1);
	setenv("RES_OPTIONS", "ndots:3", 1);
	names("search a\noptions ndots:2", "x.y.z", "x.y.z.l. x.y.z.m. x.y.z.");
	unsetenv("LOCALDOMAIN");
	unsetenv("RES_OPTIONS");
}
