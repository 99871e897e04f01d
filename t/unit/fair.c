/*-------------------------------------------------------------------------
 *
 * fair.c
 *		Unit tests of who waits for whom when libcurl is kept busy.
 *
 * rooms: http/http_fair.c
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include "http/http_fair.h"
#include "http/http_watch.h"
#include "http/poller.h"

static int64_t now_us = 1000 * 1000;
static int64_t processor_us = 0;

int64_t
poller_clock(void)
{
	return now_us;
}

int64_t
http_watch_processor_us(void)
{
	return processor_us;
}

/* A call that takes so long, of which it works for so long. */
static void
call(Pool *pool, int took_ms, int worked_ms)
{
	now_us += took_ms * 1000;
	processor_us += worked_ms * 1000;
	(void) http_fair_called(pool);
}

static void
tests(void)
{
	Pool		flood = {0};
	Pool		fresh = {0};
	Pool		good = {0};

	http_fair_answered(&flood);
	http_fair_answered(&good);
	(void) http_fair_begin();

	call(&good, 1, 1);
	ok(!http_fair_waits(&flood, now_us) && !http_fair_waits(&fresh, now_us), "nobody waits after a short call");

	call(&flood, 90, 90);
	ok(http_fair_waits(&flood, now_us), "after a long one its pool waits");
	ok(http_fair_waits(&fresh, now_us), "one that has not answered yet does, too");
	ok(!http_fair_waits(&good, now_us), "others do not");
	is_between(http_fair_until() - now_us, 90 * 1000, 91 * 1000, "for as long as it took");
	for (int i = 0; i < 89; i++)
		call(&good, 1, 1);
	ok(http_fair_waits(&flood, now_us), "whatever the others do meanwhile");
	now_us = http_fair_until();
	ok(!http_fair_waits(&flood, now_us) && !http_fair_waits(&fresh, now_us), "and not longer");

	(void) http_fair_begin();
	call(&good, 3000, 1);
	ok(!http_fair_waits(&flood, now_us), "a call that waits for the processor is not long");

	(void) http_fair_begin();
	call(NULL, 20000, 20000);
	ok(http_fair_waits(&flood, now_us) && http_fair_waits(&fresh, now_us) && !http_fair_waits(&good, now_us),
	   "a long one of somebody has those wait that are known for such");
	ok(http_fair_until() - now_us == 500 * 1000, "not for ever");

	now_us += 61 * 1000 * 1000;
	(void) http_fair_begin();
	call(NULL, 30, 30);
	ok(!http_fair_waits(&flood, now_us), "after a minute, it is not known for it any more");
	ok(http_fair_waits(&fresh, now_us), "but who has not answered");
	http_fair_answered(&fresh);
	ok(!http_fair_waits(&fresh, now_us), "until it has");
}
