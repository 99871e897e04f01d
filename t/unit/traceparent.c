/*-------------------------------------------------------------------------
 *
 * traceparent.c
 *		Unit tests of what a traceparent is, and of how it goes on.
 *
 * rooms: base/traceparent.c
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include "base/traceparent.h"

#define TRACE	"4bf92f3577b34da6a3ce929d0e0e4736"
#define SPAN	"00f067aa0ba902b7"

static const struct
{
	const char *text;
	bool		valid;
}			cases[] = {
	{"00-" TRACE "-" SPAN "-01", true},
	{"00-" TRACE "-" SPAN "-00", true},
	{"00-" TRACE "-" SPAN "-ff", true},
	{"cc-" TRACE "-" SPAN "-01", true},
	{"cc-" TRACE "-" SPAN "-01-what-comes-later", true},
	{"cc-" TRACE "-" SPAN "-01.what", false},
	{"00-" TRACE "-" SPAN "-01-more", false},
	{"00-" TRACE "-" SPAN "-01 ", false},
	{"ff-" TRACE "-" SPAN "-01", false},
	{"00-4BF92F3577B34DA6A3CE929D0E0E4736-" SPAN "-01", false},
	{"00-00000000000000000000000000000000-" SPAN "-01", false},
	{"00-" TRACE "-0000000000000000-01", false},
	{"00_" TRACE "-" SPAN "-01", false},
	{"00-" TRACE "_" SPAN "-01", false},
	{"00-" TRACE "-" SPAN "_01", false},
	{"00-" TRACE "-" SPAN "-0g", false},
	{"0g-" TRACE "-" SPAN "-01", false},
	{"00-" TRACE "-" SPAN "-0", false},
	{"00-" TRACE "-" SPAN, false},
	{"", false},
};

static void
test_valid(void)
{
	for (int i = 0; i < lengthof(cases); i++)
		ok(traceparent_is_valid(cases[i].text, strlen(cases[i].text)) == cases[i].valid,
		   psprintf("\"%s\" is %s", cases[i].text, cases[i].valid ? "one" : "none"));
}

static void
test_child(void)
{
	char		child[TRACEPARENT_SIZE];

	traceparent_child("00-" TRACE "-" SPAN "-01", 0x123, child);
	is_text(child, "00-" TRACE "-0000000000000123-01", "the same trace, another span");
	traceparent_child("cc-" TRACE "-" SPAN "-fe-more", PG_UINT64_MAX, child);
	is_text(child, "00-" TRACE "-ffffffffffffffff-02", "of a later version what is known");
	traceparent_child("00-" TRACE "-" SPAN "-00", 0, child);
	is_text(child, "00-" TRACE "-0000000000000001-00", "no span is 0");
}

static void
tests(void)
{
	test_valid();
	test_child();
}
