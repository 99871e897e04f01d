/*-------------------------------------------------------------------------
 *
 * guess.c
 *		Unit tests of HTTP/1.1 that a receiver has not asked for: how long it is
 *		spoken, and when what is refused by it is believed.
 *
 * rooms: http/http_pool.c http/no_proxy.c
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include "http/http_curl.h"
#include "http/http_pool.h"
#include "http/poller.h"

#define SECOND	INT64_C(1000000)

HttpUpwards http_upwards;

static int64_t now_us = 1000 * SECOND;
static Pool pool;
static int	vain;				/* requests of HTTP/2 that were not taken */

int64_t
poller_clock(void)
{
	return now_us;
}

static void
begin(void)
{
	memset(&pool, 0, sizeof(pool));
	vain = 0;
}

/* Is an answer by HTTP/1.1 believed? */
static bool
end(Transfer *t, int status)
{
	bool		taken = status >= 200 && status <= 299;

	if (status != 0)
		http_pool_was_answered(t, taken, now_us);
	return taken || http_pool_believes(t, status, now_us);
}

/*
 * A receiver takes nothing over HTTP/2, but this by HTTP/1.1; tried: what it is asked
 * was asked before.  Is its answer believed?
 */
static bool
ask(bool tried, int status)
{
	Transfer	t = {.pool = &pool,.tried = tried};

	if (!http_pool_speaks_http1(&t))
	{
		vain++;
		(void) http_pool_try_http1(&t);
	}
	t.guessed = !pool.http1_asked;
	return end(&t, status);
}

/* It answers so over HTTP/2. */
static void
ask_over_http2(int status)
{
	Transfer	t = {.pool = &pool,.http2 = true};

	(void) end(&t, status);
}

/* A refused event is asked for again and again: how long until that is believed? */
static int
seconds_until_believed(int status, int pause, bool others)
{
	int64_t		since = now_us;
	bool		tried = false;

	while (!ask(tried, status) && now_us - since < 10000 * SECOND)
	{
		tried = true;
		for (int i = 0; i < pause; i++)
		{
			now_us += SECOND;
			if (others)
				(void) ask(false, 200);
		}
	}
	return (int) ((now_us - since) / SECOND);
}

static void
test_believed(void)
{
	begin();
	is_int(seconds_until_believed(410, 5, false), 60, "a refusal is believed after a minute");
	is_int(seconds_until_believed(404, 5, false), 0, "and from then on");
	begin();
	is_int(seconds_until_believed(410, 3, true), 60, "also if others are taken meanwhile");
	is_int(seconds_until_believed(505, 3, true), 0, "and then at once");
	for (int i = 0; i < 2000; i++)
	{
		now_us += SECOND;
		(void) ask(false, 200);
	}
	is_int(seconds_until_believed(403, 3, true), 0, "however long others were taken");
	begin();
	ok(ask(false, 503) && ask(false, 429), "what is no refusal is believed at once");
	ok(ask(false, 0), "and so is that there was no answer");
}

static void
test_doubted(void)
{
	begin();
	ok(!ask(false, 410), "a refusal is doubted");
	now_us += 59 * SECOND;
	ok(!ask(true, 410), "for a minute");
	ask_over_http2(503);
	now_us += 2 * SECOND;
	ok(!ask(true, 410), "which begins anew when HTTP/2 is answered");
	now_us += 601 * SECOND;
	ok(!ask(true, 410), "or was not tried for ten minutes");
	now_us += 599 * SECOND;
	ok(ask(true, 410), "but not before");
}

static void
test_spoken(void)
{
	begin();
	ok(ask(false, 200), "one is taken");
	is_int(vain, 1, "after HTTP/2 was tried");
	(void) ask(false, 410);
	(void) ask(false, 200);
	is_int(vain, 1, "others go by HTTP/1.1, also when one was refused");
	(void) ask(true, 410);
	is_int(vain, 2, "which HTTP/2 is tried for once more");
	(void) ask(false, 200);
	is_int(vain, 2, "and for no other");
	ask_over_http2(410);
	(void) ask(false, 200);
	is_int(vain, 3, "HTTP/2 comes first again when it is answered");
	(void) ask(false, 0);
	(void) ask(false, 200);
	is_int(vain, 4, "or HTTP/1.1 is not");
	now_us += 61 * SECOND;
	(void) ask(false, 200);
	is_int(vain, 5, "or nothing was taken for a minute");

	/* as what it took would be sent again */
	pool.loses = true;
	(void) ask(false, 200);
	now_us += 3600 * SECOND;
	ask_over_http2(200);
	(void) ask(true, 410);
	is_int(vain, 5, "but not where answers over HTTP/2 were lost");
}

static void
tests(void)
{
	test_believed();
	test_doubted();
	test_spoken();
}
