/*-------------------------------------------------------------------------
 *
 * http_multi.c
 *		The HTTP room, libcurl's multi interface: what goes into it, what it wants,
 *		and what comes out.
 *
 * See transfer.h for the rules of the room.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "http/http_fair.h"
#include "http/http_multi.h"
#include "http/http_watch.h"
#include "http/poller.h"
#include "http/reserve.h"
#include "http/transfer.h"

#if POLLER_IN != CURL_POLL_IN || POLLER_OUT != CURL_POLL_OUT || \
	POLLER_IN != CURL_CSELECT_IN || POLLER_OUT != CURL_CSELECT_OUT
#error "the poller's and libcurl's events are expected to be the same bits"
#endif

/* Of a pool of libcurl's, in which we have one connection. */
#define MAX_IN_POOL			1000L

/* What is done in one round, so that the caller's other work gets its own. */
#define MAX_TIMER_TURNS		10

static CURLM *multi = NULL;

/* When libcurl wants to be called at the latest; -1: never. */
static int64_t curl_deadline_us = -1;

/* To hear of a socket's events. */
static int
on_interest(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	(void) easy;
	(void) arg;
	(void) socket_arg;
	poller_want(fd, what == CURL_POLL_REMOVE ? 0 : what);
	return 0;
}

/* To be called after so long. */
static int
on_timer(CURLM *unused, long timeout_ms, void *arg)
{
	(void) unused;
	(void) arg;
	if (timeout_ms < 0)
		curl_deadline_us = -1;
	else if (timeout_ms == 0)
		curl_deadline_us = 0;	/* with each request that is added */
	else
		curl_deadline_us = poller_clock() + (int64_t) timeout_ms * 1000;
	return 0;
}

bool
http_multi_open(void)
{
	CURLM	   *fresh = curl_multi_init();

	if (fresh == NULL ||
		curl_multi_setopt(fresh, CURLMOPT_SOCKETFUNCTION, on_interest) != CURLM_OK ||
		curl_multi_setopt(fresh, CURLMOPT_TIMERFUNCTION, on_timer) != CURLM_OK ||
		curl_multi_setopt(fresh, CURLMOPT_PIPELINING, (long) CURLPIPE_MULTIPLEX) != CURLM_OK ||
		curl_multi_setopt(fresh, CURLMOPT_MAXCONNECTS, MAX_IN_POOL) != CURLM_OK)
	{
		curl_multi_cleanup(fresh);
		return false;
	}
	multi = fresh;
	return true;
}

bool
http_multi_is_open(void)
{
	return multi != NULL;
}

/*
 * libcurl forgets half of what it was about to note, and may stumble over the other
 * half: no function of it is called any more.
 */
bool
http_multi_is_broken(void)
{
	return reserve_has_failed();
}

CURLMcode
http_multi_add(Transfer *t)
{
	CURLMcode	rc = http_multi_is_broken() ? CURLM_OUT_OF_MEMORY :
		curl_multi_add_handle(multi, t->easy);

	t->in_multi = rc == CURLM_OK;
	return rc;
}

void
http_multi_remove(Transfer *t)
{
	if (!http_multi_is_broken())
	{
		http_watch_begin();		/* TLS may read to its end */
		curl_multi_remove_handle(multi, t->easy);
		http_watch_end();
	}
	t->in_multi = false;
}

static void
act(int fd, int events)
{
	int			still_running;

	http_watch_begin();
	curl_multi_socket_action(multi, fd, events, &still_running);
	http_watch_end();
}

void
http_multi_event(int fd, int events)
{
	if (!http_multi_is_broken())
		act(fd, events);
}

/* No more than once if that took long: the sockets' turn comes first. */
void
http_multi_timer(void)
{
	int64_t		until_us = poller_clock() + HTTP_FAIR_LONG_US;

	for (int i = 0; i < MAX_TIMER_TURNS && !http_multi_is_broken() &&
		 curl_deadline_us >= 0 && curl_deadline_us <= poller_clock(); i++)
	{
		curl_deadline_us = -1;	/* it rings once; libcurl sets it anew */
		act(CURL_SOCKET_TIMEOUT, 0);
		if (poller_clock() >= until_us)
			break;
	}
}

int64_t
http_multi_next(void)
{
	return curl_deadline_us;
}

Transfer *
http_multi_ended(CURLcode *result)
{
	CURLMsg    *message;
	int			left;

	while (!http_multi_is_broken() && (message = curl_multi_info_read(multi, &left)) != NULL)
	{
		char	   *owner = NULL;

		if (message->msg != CURLMSG_DONE)
			continue;
		*result = message->data.result;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &owner);
		return (Transfer *) owner;
	}
	return NULL;
}
