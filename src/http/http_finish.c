/*-------------------------------------------------------------------------
 *
 * http_finish.c
 *		The HTTP room, the end of a request: it is followed, repeated or judged, or
 *		it is yet to be seen whether it has arrived.
 *
 * See transfer.h for the rules of the room.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>

#include "http/http_answer.h"
#include "http/http_carry.h"
#include "http/http_curl.h"
#include "http/http_finish.h"
#include "http/http_lists.h"
#include "http/http_multi.h"
#include "http/http_redirect.h"
#include "http/http_request.h"
#include "http/http_result.h"
#include "http/http_socket.h"
#include "http/http_time.h"
#include "http/poller.h"
#include "http/transfer.h"

/*
 * How soon to look whether a request has arrived that was answered before; twice
 * as late each time.
 */
#define SETTLE_MIN_US		(2 * 1000)
#define SETTLE_MAX_US		(100 * 1000)

/* When to look at the first of those that settle, or earlier; -1: never. */
static int64_t settling_until_us = -1;

/* The request is over: release its connection, and find out what that means. */
static void
conclude(Transfer *t, CURLcode result, bool repeat, int64_t now_us)
{
	if (t->head_done && !repeat)
		http_carry_answered(t);
	http_carry_release(t, now_us);
	if (repeat && !http_request_repeat(t))
	{
		http_answer_lacking(t, http_no_memory);
		http_lists_done(t, now_us);
	}
	else if (repeat || (http_result_is_whole(t, result) && http_redirect_follow(t)))
		http_lists_move(&http_starting, t);
	else if (http_result_wants_rest(t, result))
	{
		t->vain = result;
		http_lists_move(&http_starting, t);
	}
	else if (!http_multi_is_broken())
	{
		http_result_judge(t, result);
		http_lists_done(t, now_us);
	}
}

void
http_finish_at_once(Transfer *t, CURLcode result, const char *error, int64_t now_us)
{
	t->worn = true;
	t->reached = http_sockets_reach(t->connection);
	http_multi_remove(t);
	if (error != NULL)
		snprintf(t->curl_error, sizeof(t->curl_error), "%s", error);
	conclude(t, result, false, now_us);
}

static void
look_soon(Transfer *t)
{
	t->settling_us = t->settling_us == 0 ? SETTLE_MIN_US :
		t->settling_us < SETTLE_MAX_US ? t->settling_us * 2 : SETTLE_MAX_US;
	t->wait_until_us = poller_clock() + (t->in_multi ? SETTLE_MAX_US : t->settling_us);
	if (settling_until_us < 0 || t->wait_until_us < settling_until_us)
		settling_until_us = t->wait_until_us;
	http_lists_move(&http_settling, t);
}

/*
 * It has a success for an answer.  If the connection ends before the request
 * has arrived, it is none (http_result.c says why).
 */
static void
settle_early(Transfer *t, int64_t now_us)
{
	Arrival		arrival = http_socket_arrival(t);

	if (arrival == ARRIVING && (t->deadline_us < 0 || now_us < t->deadline_us))
	{
		look_soon(t);
		return;
	}
	if (arrival != ARRIVED)
		http_result_refute(t);
	conclude(t, CURLE_OK, false, now_us);
}

void
http_finish_settling(int64_t now_us)
{
	Transfer   *next;
	Transfer   *t;

	if (settling_until_us < 0 || now_us < settling_until_us)
		return;
	settling_until_us = -1;
	t = http_settling.first;
	http_settling.first = http_settling.last = NULL;
	for (; t != NULL; t = next)
	{
		next = t->next;
		http_lists_append(&http_settling, t);
		/* the head is the answer, and the rest should have come */
		if (t->wait_until_us <= now_us && t->in_multi)
			http_finish_at_once(t, CURLE_HTTP2_STREAM, NULL, now_us);
		else if (t->wait_until_us <= now_us)
			settle_early(t, now_us);
		else if (settling_until_us < 0 || t->wait_until_us < settling_until_us)
			settling_until_us = t->wait_until_us;
	}
}

int64_t
http_finish_next(void)
{
	return settling_until_us;
}

void
http_finish(Transfer *t, CURLcode result, int64_t now_us)
{
	bool		repeat;

	result = http_result_of(t, result);
	(void) http_time_look(t, now_us);
	if (http_result_blames_connection(result))
		http_answer_overhear(t);
	http_result_spare_body(t, result);
	repeat = http_result_wants_repeat(t, result, now_us);
	http_multi_remove(t);
	if (!repeat && http_result_is_early(t, result))
		settle_early(t, now_us);
	else
		conclude(t, result, repeat, now_us);
}

void
http_finish_init(void)
{
	http_upwards.answered_early = look_soon;
}
