/*-------------------------------------------------------------------------
 *
 * http_fair.c
 *		Connections that keep libcurl busy wait for the others.
 *
 * See transfer.h for the rules of the room.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "http/http_fair.h"
#include "http/http_watch.h"
#include "http/poller.h"

/* Nobody waits for longer after one call. */
#define MOST_US			(500 * 1000)

/* A pool that had a long one is known for it for so long. */
#define REMEMBERED_US	(60 * 1000 * 1000)

static int64_t began_us;		/* the call that is made now */
static int64_t worked_until_us; /* the processor's time at one before that */
static int64_t until_us = 0;

int64_t
http_fair_begin(void)
{
	worked_until_us = http_watch_processor_us();
	began_us = poller_clock();
	return began_us;
}

int64_t
http_fair_called(Pool *pool)
{
	int64_t		now_us = poller_clock();
	int64_t		worked_us = 0;

	/* it takes longer on a busy machine without working more, and to ask takes a system call */
	if (now_us - began_us >= HTTP_FAIR_LONG_US)
	{
		worked_us = http_watch_processor_us() - worked_until_us;
		worked_until_us += worked_us;
	}
	if (worked_us >= HTTP_FAIR_LONG_US)
	{
		until_us = now_us + (worked_us < MOST_US ? worked_us : MOST_US);
		if (pool != NULL)
			pool->busy_until_us = now_us + REMEMBERED_US;
	}
	began_us = now_us;
	return now_us;
}

bool
http_fair_waits(const Pool *pool, int64_t now_us)
{
	return now_us < until_us && (now_us < pool->busy_until_us || !pool->answered);
}

int64_t
http_fair_until(void)
{
	return until_us;
}

void
http_fair_answered(Pool *pool)
{
	pool->answered = true;
}
