/*-------------------------------------------------------------------------
 *
 * unit.h
 *		What the unit tests in C share.
 *
 * A test is a library that is loaded ahead of the server's program and does its
 * work before main(): so the rooms that it is about find all that they need of
 * PostgreSQL, from palloc() to jsonb, and no server ever starts.  Its first
 * comment names the sources of the rooms after "rooms:"; scripts/check builds
 * it with these and runs it.  What a room asks of others that are not named is
 * the test's own; a test that looks into a room includes its source instead.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_UNIT_H
#define RSWEBHOOK_UNIT_H

#include "postgres.h"

#include <unistd.h>

#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"

#undef printf					/* the server's */
#include <stdio.h>

static int	unit_tests = 0;
static int	unit_failed = 0;

static inline bool
ok(bool good, const char *name)
{
	printf("%sok %d - %s\n", good ? "" : "not ", ++unit_tests, name);
	unit_failed += !good;
	return good;
}

static inline void
is_int(int64 got, int64 expected, const char *name)
{
	if (!ok(got == expected, name))
		printf("#   got %lld, expected %lld\n", (long long) got, (long long) expected);
}

static inline void
is_between(int64 got, int64 least, int64 most, const char *name)
{
	if (!ok(got >= least && got <= most, name))
		printf("#   got %lld, expected %lld to %lld\n", (long long) got,
			   (long long) least, (long long) most);
}

static inline void
is_text(const char *got, const char *expected, const char *name)
{
	if (!ok(got == expected || (got != NULL && expected != NULL && strcmp(got, expected) == 0), name))
		printf("#   got %s, expected %s\n", got ? got : "NULL", expected ? expected : "NULL");
}

/* The error that the statement raises. */
#define throws(statement, sqlerrcode, name) \
	do { \
		MemoryContext unit_context = CurrentMemoryContext; \
		volatile int unit_code = 0; \
		PG_TRY(); \
		{ \
			statement; \
		} \
		PG_CATCH(); \
		{ \
			MemoryContextSwitchTo(unit_context); \
			unit_code = geterrcode(); \
			FlushErrorState(); \
		} \
		PG_END_TRY(); \
		is_int(unit_code, sqlerrcode, name); \
	} while (0)

/* The text of a jsonb. */
static inline Jsonb *
jsonb(const char *text)
{
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));
}

static inline char *
jsonb_text(Jsonb *value)
{
	return DatumGetCString(DirectFunctionCall1(jsonb_out, JsonbPGetDatum(value)));
}

/* The tests themselves, each file's own. */
static void tests(void);

static void __attribute__((constructor))
run_tests(void)
{
	MemoryContextInit();
	SetDatabaseEncoding(PG_UTF8);
	PG_TRY();
	{
		tests();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(TopMemoryContext);
		printf("not ok %d - an error: %s\n", ++unit_tests, CopyErrorData()->message);
		unit_failed++;
	}
	PG_END_TRY();
	printf("1..%d\n", unit_tests);
	fflush(stdout);
	_exit(unit_failed > 0);
}

#endif							/* RSWEBHOOK_UNIT_H */
