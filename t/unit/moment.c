/*-------------------------------------------------------------------------
 *
 * moment.c
 *		Unit tests of moments as events have them.
 *
 * rooms: transform/moment.c
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include "utils/timestamp.h"

#include "transform/moment.h"

/* What is read of a text, written again; NULL: nothing. */
static char *
again(const char *text)
{
	Moment		moment;

	return moment_read(text, strlen(text), &moment) ? moment_text(&moment) : NULL;
}

static void
test_reading(void)
{
	static const char *const cases[][2] = {
		{"2020-01-01T00:00:00Z", "2020-01-01T00:00:00.000Z"},
		{"2020-01-01", "2020-01-01T00:00:00.000Z"},
		{"2020-01-01T05:30", "2020-01-01T05:30:00.000Z"},
		{"2020-01-01 05:30:15", "2020-01-01T05:30:15.000Z"},
		{"2020-01-01t05:30:15z", "2020-01-01T05:30:15.000Z"},
		{"2020-01-01T05:30:00+05:30", "2020-01-01T05:30:00.000+05:30"},
		{"2020-01-01T05:30:00-0330", "2020-01-01T05:30:00.000-03:30"},
		{"2020-01-01 05:30:00+02", "2020-01-01T05:30:00.000+02:00"},
		{"2020-01-01 05:30:00 +02:00", "2020-01-01T05:30:00.000+02:00"},
		{"2020-01-01T05:30:00+00:00", "2020-01-01T05:30:00.000Z"},
		{"2020-01-01T05:30:00-00:00", "2020-01-01T05:30:00.000Z"},
		{"2020-01-01T00:30:00+14:00", "2020-01-01T00:30:00.000+14:00"},
		{"2020-12-31T23:30:00-23:59", "2020-12-31T23:30:00.000-23:59"},
		/* cut off, not rounded */
		{"2020-01-01T00:00:00.1Z", "2020-01-01T00:00:00.100Z"},
		{"2020-01-01T00:00:00.9999Z", "2020-01-01T00:00:00.999Z"},
		{"2020-01-01T00:00:00,123456789012345678901Z", "2020-01-01T00:00:00.123Z"},
		{"1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z"},
		{"0000-01-01T00:00:00Z", "0000-01-01T00:00:00.000Z"},
		{"9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"},
		{"2020-02-29", "2020-02-29T00:00:00.000Z"},
		{"2000-02-29", "2000-02-29T00:00:00.000Z"},
		{"1600000000", "2020-09-13T12:26:40.000Z"},
		{"1600000000123", "2020-09-13T12:26:40.123Z"},
		{"1600000000123456", "2020-09-13T12:26:40.123Z"},
		{"1600000000123456789", "2020-09-13T12:26:40.123Z"},
		{"9999999999999999999", "2286-11-20T17:46:39.999Z"}
	};
	static const char *const none[] = {
		"", " ", "now", "today", "infinity", "epoch", "yesterday", "2020", "202001", "20200101", "160000000",
		"16000000001", "2020-1-1", "2020-13-01", "2020-00-01", "2020-01-00", "2020-01-32", "2021-02-29",
		"1900-02-29", "2020-01-01T", "2020-01-01T24:00:00Z", "2020-01-01T00:60:00Z", "2020-01-01T00:00:60Z",
		"2020-01-01T00", "2020-01-01T00:", "2020-01-01T00:00:", "2020-01-01T00:00:00.", "2020-01-01T00:00:00.Z",
		"2020-01-01T00:00:00+", "2020-01-01T00:00:00+5", "2020-01-01T00:00:00+05:", "2020-01-01T00:00:00+05:3",
		"2020-01-01T00:00:00+24:00", "2020-01-01T00:00:00+05:60", "2020-01-01T00:00:00Zx", "2020-01-01T00:00:00ZZ",
		"2020-01-01T00:00:00 ", "2020-01-01 ", " 2020-01-01", "2020-01-01T00:00:00 UTC", "2020-01-01Z",
		"12020-01-01", "-2020-01-01", "+2020-01-01", "10/12/2020", "May 8, 2009", "2020-01-01T00:00:00\n"
	};

	for (int i = 0; i < lengthof(cases); i++)
		is_text(again(cases[i][0]), cases[i][1], cases[i][0]);
	for (int i = 0; i < lengthof(none); i++)
		is_text(again(none[i]), NULL, psprintf("none: \"%s\"", none[i]));
}

/* Whatever is cut off, nothing behind its end is read. */
static void
test_ends(void)
{
	static const char whole[] = "2020-01-01T05:30:00.123+05:30";
	int			good = 0;

	for (int len = 0; len <= strlen(whole); len++)
	{
		char	   *exact = malloc(Max(len, 1));
		Moment		moment;

		memcpy(exact, whole, len);
		good += moment_read(exact, len, &moment);
		free(exact);
	}
	/* the date, hours and minutes, seconds, three times a fraction, hours of the zone, all of it */
	is_int(good, 8, "parts of a time that are one");
}

static void
test_clock(void)
{
	Moment		moment = moment_of(0);

	is_text(moment_text(&moment), "2000-01-01T00:00:00.000Z", "the clock's beginning");
	moment = moment_of(INT64CONST(1500));
	is_int(moment.nanoseconds, 1000000, "milliseconds are cut off");
	moment = moment_of(-1);
	is_text(moment_text(&moment), "1999-12-31T23:59:59.999Z", "before that");
	moment = moment_of((UNIX_EPOCH_JDATE - POSTGRES_EPOCH_JDATE) * USECS_PER_DAY - 1);
	is_text(moment_text(&moment), "1969-12-31T23:59:59.999Z", "before 1970");
}

static char *
ours(const char *received, const char *sent, const char *original)
{
	Moment		moments[3];

	if (!moment_read(received, strlen(received), &moments[0]) || !moment_read(sent, strlen(sent), &moments[1]) ||
		!moment_read(original, strlen(original), &moments[2]))
		return NULL;
	moments[0] = moment_by_our_clock(&moments[0], &moments[1], &moments[2]);
	return moment_text(&moments[0]);
}

static void
test_skew(void)
{
	is_text(ours("2026-01-01T12:01:00Z", "2026-01-01T12:00:05Z", "2026-01-01T12:00:00Z"),
			"2026-01-01T12:00:55.000Z", "as long before it was received as before it was sent");
	is_text(ours("2026-01-01T12:01:00Z", "2026-01-01T17:30:05+05:30", "2026-01-01T12:00:00Z"),
			"2026-01-01T12:00:55.000Z", "in other zones");
	is_text(ours("2026-01-01T12:01:00Z", "2026-01-01T12:00:00Z", "2026-01-01T12:00:05Z"),
			"2026-01-01T12:01:05.000Z", "sent before it took place");
	is_text(ours("2026-01-01T12:01:00Z", "2026-01-01T12:00:00.0000001Z", "2026-01-01T12:00:00Z"),
			"2026-01-01T12:00:59.999Z", "by 100 nanoseconds");
	is_text(ours("2026-01-01T12:01:00Z", "2026-01-01T12:00:00Z", "2026-01-01T12:00:00.0000001Z"),
			"2026-01-01T12:01:00.000Z", "by 100 nanoseconds the other way");
	is_text(ours("2026-01-01T00:00:00.001Z", "2026-01-01T00:00:00.002Z", "2026-01-01T00:00:00Z"),
			"2025-12-31T23:59:59.999Z", "into the year before");
	is_text(ours("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
			"1733-09-22T00:12:43.145Z", "no more than 292 years");
	is_text(ours("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", "9999-12-31T00:00:00Z"),
			"2318-04-12T23:47:16.854Z", "likewise the other way");
	is_text(ours("9999-01-01T00:00:00Z", "2026-01-01T00:00:00Z", "9999-12-31T00:00:00Z"),
			"9999-01-01T00:00:00.000Z", "no year of five digits");
	is_text(ours("9999-12-31T23:59:58Z", "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"),
			"9999-12-31T23:59:59.000Z", "the last second of those with four");
	is_text(ours("9999-12-31T23:59:59+01:00", "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"),
			"9999-12-31T23:59:59.000+01:00", "in its own zone");
	is_text(ours("0001-01-01T00:00:00Z", "9999-12-31T00:00:00Z", "2026-01-01T00:00:00Z"),
			"0001-01-01T00:00:00.000Z", "no year before 0");
}

static void
tests(void)
{
	test_reading();
	test_ends();
	test_clock();
	test_skew();
}
