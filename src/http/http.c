/*-------------------------------------------------------------------------
 *
 * http.c
 *		The HTTP room: many requests at once through libcurl's multi interface.
 *
 * The doors of http.h, the lists of requests and the loop; http_private.h says
 * what the room's other files do and which rules hold for all of them.
 *
 * - A request is in one of five lists: starting (until http_run() finds a
 *   connection for it), waiting (for its host's addresses, or for a connection
 *   that is being set up), running (libcurl has it), settling (it was answered
 *   before all of it had arrived), and done (until http_next() hands out its
 *   answer).  A sixth list keeps spare ones for their memory and handles.
 * - No thread is started, since names are not libcurl's affair (http_names.c).
 *   Should it start one all the same, that must never take a signal which is
 *   meant for the process, so all signals are blocked around its calls.
 * - Nothing is ever cleaned up as a whole: the process is about to end anyway.
 * - SIGPIPE is expected to be ignored, as PostgreSQL's processes do.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/transfer.h"
#include "http/poller.h"

#if POLLER_IN != CURL_POLL_IN || POLLER_OUT != CURL_POLL_OUT || \
	POLLER_IN != CURL_CSELECT_IN || POLLER_OUT != CURL_CSELECT_OUT
#error "the poller's and libcurl's events are expected to be the same bits"
#endif

/* Requests kept for reuse, and what each may hold but for its handle. */
#define MAX_SPARE			128
#define MAX_SPARE_BLOCK		(16 * 1024)

/*
 * How long to wait for a connection that another request sets up, which may
 * turn out to take many.
 */
#define PATIENCE_US			(1000 * 1000)

/*
 * How soon to look whether a request has arrived that was answered before; twice
 * as late each time.
 */
#define SETTLE_MIN_US		(2 * 1000)
#define SETTLE_MAX_US		(100 * 1000)

/* The caller comes back so late at least, or it does not matter. */
#define LATE_US				(50 * 1000)

/* Of a pool of libcurl's, in which we have one connection. */
#define MAX_IN_POOL			1000L

/* How often those that may have been forgotten are looked at. */
#define FORGOTTEN_US		(20 * 1000)

/*
 * What is done in one http_run() and in each of its rounds, so that the
 * caller's other work gets its own.
 */
#define MAX_ROUNDS			16
#define MAX_TIMER_TURNS		10

static CURLM *multi = NULL;
static long version_wanted = CURL_HTTP_VERSION_1_1;
static bool handles_keep = false;
static sigset_t all_signals;

static RequestList starting;
static RequestList waiting;
static RequestList running;
static RequestList settling;
static RequestList done;
static RequestList spare;
static int	nspare = 0;
static int	nin_flight = 0;

/* When libcurl wants to be called at the latest; -1: never. */
static int64_t curl_deadline_us = -1;

/* When the first of those that wait has waited enough, or earlier; -1: none. */
static int64_t patience_until_us = -1;

/* Likewise of those that settle. */
static int64_t settling_until_us = -1;

/* When to look for those that libcurl has forgotten; -1: never. */
static int64_t forgotten_us = -1;

/* When to ask whether the time of any that runs is up, or earlier; -1: never. */
static int64_t look_at_us = -1;

/* When the caller was to come back at the latest; -1: whenever it likes. */
static int64_t expected_us = -1;

/* Connections have ended under those that use them, or may have. */
static bool some_broken = false;
static bool some_deserted = false;

/* Tags that there was not even memory for a Request for. */
static uint64_t *starved = NULL;
static int	nstarved = 0;
static int	max_starved = 0;

/* ---------------------------------------------------------------------
 * Lists and signals
 * ---------------------------------------------------------------------
 */

static void
list_append(RequestList *list, Request *r)
{
	r->list = list;
	r->next = NULL;
	r->prev = list->last;
	if (list->last)
		list->last->next = r;
	else
		list->first = r;
	list->last = r;
}

static void
list_remove(Request *r)
{
	if (r->prev)
		r->prev->next = r->next;
	else
		r->list->first = r->next;
	if (r->next)
		r->next->prev = r->prev;
	else
		r->list->last = r->prev;
	r->list = NULL;
}

static void
move_to(RequestList *list, Request *r)
{
	list_remove(r);
	list_append(list, r);
}

static void
block_signals(sigset_t *saved)
{
	pthread_sigmask(SIG_SETMASK, &all_signals, saved);
}

static void
restore_signals(const sigset_t *saved)
{
	pthread_sigmask(SIG_SETMASK, saved, NULL);
}

/* ---------------------------------------------------------------------
 * What libcurl wants
 * ---------------------------------------------------------------------
 */

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

/* ---------------------------------------------------------------------
 * The end of a request
 * ---------------------------------------------------------------------
 */

static void
move_to_done(Request *r, int64_t now_us)
{
	if (r->answer.lacking)
		http_pool_give_way();
	r->answer.duration_us = now_us - r->started_us;
	move_to(&done, r);
}

/* The request is not tried at all: it never could be, or we lack something. */
static void
fail_early(Request *r, bool refused, const char *error)
{
	if (refused)
		http_answer_not_tried(r, true, error);
	else
		http_answer_lacking(r, error);
	move_to_done(r, poller_clock());
}

static void
fail_setup(Request *r)
{
	char		error[128];

	if (r->setup == CURLE_URL_MALFORMAT || r->setup == CURLE_UNSUPPORTED_PROTOCOL)
		fail_early(r, true, curl_easy_strerror(r->setup));
	else if (r->failed_option == NULL)
		fail_early(r, false, curl_easy_strerror(r->setup));
	else
	{
		snprintf(error, sizeof(error), "%s: %s", r->failed_option,
				 curl_easy_strerror(r->setup));
		fail_early(r, false, error);
	}
}

/*
 * Forget a request, keeping its memory and its handle for another one.  The
 * handle is not reset: curl_easy_reset() does not tell when it runs out of
 * memory, and the handle is broken then.  So it still counts how often libcurl
 * had to repeat a request because a connection that was kept had been closed,
 * and gives up at the sixth time: one that had to connect at all is not kept.
 */
static void
recycle(Request *r)
{
	bool		keep = nspare < MAX_SPARE;
	bool		keep_handle = keep && handles_keep && !r->worn && !r->holds_secrets;
	bool		keep_block = keep && r->block_size <= MAX_SPARE_BLOCK;
	bool		keep_url = keep_block && r->target == NULL && r->parsed_url != NULL;
	Request		kept = {0};

	list_remove(r);
	nin_flight--;
	if (r->connection != NULL)
		http_pool_release(r, poller_clock());
	http_pool_leave(r);
	http_request_forget_names(r);
	http_socket_drop_early(r);
	if (keep_handle)
	{
		kept.easy = r->easy;
		kept.served = true;
	}
	else
		curl_easy_cleanup(r->easy);
	if (keep_block)
	{
		kept.block = r->block;
		kept.block_size = r->block_size;
	}
	else
		free(r->block);
	if (keep_url)				/* it is in the block, too, so it is not long */
	{
		kept.parsed = r->parsed;
		kept.parsed_url = r->parsed_url;
		kept.origin = r->origin;
		kept.host = r->host;
		kept.port = r->port;
	}
	else
	{
		curl_url_cleanup(r->parsed);
		free(r->parsed_url);
		free(r->origin);
	}
	curl_free(r->target);
	free(r->location);
	free(r->answer.body);
	if (r->answer.error != http_no_memory)
		free(r->answer.error);

	if (keep)
	{
		*r = kept;
		/* now and not when it is wanted: the old one's memory fits exactly */
		if (r->easy == NULL)
			(void) http_request_open(r);
		list_append(&spare, r);
		nspare++;
	}
	else
		free(r);
}

/* ---------------------------------------------------------------------
 * The loop
 * ---------------------------------------------------------------------
 */

/* Until its name or its connection is there, but not longer than that. */
static void
wait_until(Request *r, int64_t until_us)
{
	if (r->deadline_us >= 0 && r->deadline_us < until_us)
		until_us = r->deadline_us;
	r->wait_until_us = until_us;
	if (patience_until_us < 0 || until_us < patience_until_us)
		patience_until_us = until_us;
	move_to(&waiting, r);
}

/* How many sockets of it are closed again, as far as we were told. */
static int
closed_sockets(const Connection *connection)
{
	return connection->nopened - connection->nsockets;
}

/* Hand a request to libcurl, on the connection that it has. */
static void
run(Request *r, int64_t now_us)
{
	CURLMcode	rc = CURLM_OK;

	http_request_connect(r, now_us);
	if (r->setup == CURLE_OK)
		rc = curl_multi_add_handle(multi, r->easy);
	if (r->setup == CURLE_OK && rc == CURLM_OK)
	{
		r->in_multi = true;
		look_at_us = sooner(look_at_us, r->look_at_us);
		move_to(&running, r);
		r->closed_seen = closed_sockets(r->connection);
		return;
	}
	http_pool_release(r, now_us);
	if (r->setup != CURLE_OK)
		fail_setup(r);
	else
		fail_early(r, false, curl_multi_strerror(rc));
}

/* A new connection: first it needs addresses, then a descriptor. */
static void
run_on_new(Request *r, int64_t now_us)
{
	int			lacking = 0;

	switch (http_request_resolve(r))
	{
		case NAME_FAILED:
			move_to_done(r, now_us);
			return;
		case NAME_ASKED:
			wait_until(r, INT64_MAX);
			return;
		case NAME_KNOWN:
			break;
	}
	if (http_pool_open(r, &lacking))
		run(r, now_us);
	else
		fail_early(r, false, lacking == EMFILE ? "too many open files" : http_no_memory);
}

/* Half of its time is left for trying, at least. */
static int64_t
patience(const Request *r, int64_t now_us)
{
	int64_t		half_us = (r->deadline_us - now_us) / 2;

	return r->deadline_us >= 0 && half_us < PATIENCE_US ? half_us : PATIENCE_US;
}

/* New requests, next hops, repeats, and those that have waited. */
static void
run_starting(void)
{
	int64_t		now_us = poller_clock();

	while (starting.first != NULL)
	{
		Request    *r = starting.first;
		bool		alone = r->repeats >= HTTP_MAX_REPEATS;

		if (r->setup != CURLE_OK)
			fail_setup(r);
		else if (!alone && http_pool_take(r, now_us))
			run(r, now_us);
		else if (!alone && !r->patient && http_pool_is_opening(r))
		{
			r->name = NULL;
			wait_until(r, now_us + patience(r, now_us));
		}
		else
			run_on_new(r, now_us);
	}
}

/* Nobody waits for longer than he wants. */
static void
end_patience(int64_t now_us)
{
	Request    *next;

	if (patience_until_us < 0 || now_us < patience_until_us)
		return;
	patience_until_us = -1;
	for (Request *r = waiting.first; r != NULL; r = next)
	{
		next = r->next;
		if (r->wait_until_us > now_us)
		{
			if (patience_until_us < 0 || r->wait_until_us < patience_until_us)
				patience_until_us = r->wait_until_us;
		}
		else if (r->name != NULL)
		{
			http_answer_unresolved(r, http_names_late(r->name), false);
			move_to_done(r, now_us);
		}
		else
		{
			r->patient = true;
			move_to(&starting, r);
		}
	}
}

void
http_name_settled(const struct Name *name, const char *error, bool lacking)
{
	Request    *next;

	for (Request *r = waiting.first; r != NULL; r = next)
	{
		next = r->next;
		if (r->name != name)
			continue;
		if (error == NULL)
		{
			move_to(&starting, r);
			continue;
		}
		http_answer_unresolved(r, error, lacking);
		move_to_done(r, poller_clock());
	}
}

void
http_pool_settled(struct Pool *pool, bool failed)
{
	Request    *next;

	for (Request *r = waiting.first; r != NULL; r = next)
	{
		next = r->next;
		if (r->name != NULL || r->pool != pool)
			continue;
		r->patient = failed;
		move_to(&starting, r);
	}
}

/* libcurl has no more to do with it. */
static void
take_out(Request *r)
{
	curl_multi_remove_handle(multi, r->easy);
	r->in_multi = false;
}

/* The request is over: release its connection, and find out what that means. */
static void
conclude(Request *r, CURLcode result, bool repeat, int64_t now_us)
{
	if (r->head_done && !repeat)
		http_pool_answered(r);
	http_pool_release(r, now_us);
	if (repeat ? http_request_repeat(r) :
		http_answer_is_whole(r, result) && http_request_follow(r))
		move_to(&starting, r);
	else
	{
		http_answer_judge(r, result);
		move_to_done(r, now_us);
	}
}

void
http_look_soon(Request *r)
{
	r->settling_us = r->settling_us == 0 ? SETTLE_MIN_US :
		r->settling_us < SETTLE_MAX_US ? r->settling_us * 2 : SETTLE_MAX_US;
	r->wait_until_us = poller_clock() + (r->in_multi ? SETTLE_MAX_US : r->settling_us);
	if (settling_until_us < 0 || r->wait_until_us < settling_until_us)
		settling_until_us = r->wait_until_us;
	move_to(&settling, r);
}

/*
 * It has a success for an answer.  If the connection ends before the request
 * has arrived, it is none (http_answer.c says why).
 */
static void
settle_early(Request *r, int64_t now_us)
{
	switch (http_socket_arrival(r))
	{
		case ARRIVING:
			if (r->deadline_us < 0 || now_us < r->deadline_us)
			{
				http_look_soon(r);
				return;
			}
			/* FALLTHROUGH */
		case ARRIVES_NEVER:
			http_answer_refute(r);
			break;
		case ARRIVED:
			break;
	}
	conclude(r, CURLE_OK, false, now_us);
}

static void
settle_those_due(int64_t now_us)
{
	Request    *next;
	Request    *r;

	if (settling_until_us < 0 || now_us < settling_until_us)
		return;
	settling_until_us = -1;
	r = settling.first;
	settling.first = settling.last = NULL;
	for (; r != NULL; r = next)
	{
		next = r->next;
		list_append(&settling, r);
		if (r->wait_until_us <= now_us && r->in_multi)
		{
			/* over HTTP/2 the head is the answer, and the rest should have come */
			take_out(r);
			r->worn = true;
			conclude(r, CURLE_HTTP2_STREAM, false, now_us);
		}
		else if (r->wait_until_us <= now_us)
			settle_early(r, now_us);
		else if (settling_until_us < 0 || r->wait_until_us < settling_until_us)
			settling_until_us = r->wait_until_us;
	}
}

/* libcurl is through with a request. */
static void
finish(Request *r, CURLcode result, int64_t now_us)
{
	bool		repeat = http_answer_wants_repeat(r, result, now_us);

	take_out(r);
	if (!repeat && http_answer_is_early(r, result))
		settle_early(r, now_us);
	else
		conclude(r, result, repeat, now_us);
}

/*
 * Connections have ended under several requests, of which some versions of
 * libcurl tell only some.
 */
static void
end_companions(int64_t now_us)
{
	Request    *next;

	if (!some_broken)
		return;
	some_broken = false;
	for (Request *r = running.first; r != NULL; r = next)
	{
		next = r->next;
		if (!r->connection->broken)
			continue;
		r->worn = true;
		finish(r, CURLE_RECV_ERROR, now_us);
	}
}

/* Take what has ended out of libcurl. */
static void
collect_finished(void)
{
	int64_t		now_us = poller_clock();
	CURLMsg    *message;
	int			left;

	while ((message = curl_multi_info_read(multi, &left)) != NULL)
	{
		CURLcode	result = message->data.result;
		char	   *owner = NULL;
		long		connects = 0;
		Request    *r;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &owner);
		r = (Request *) owner;
		curl_easy_getinfo(r->easy, CURLINFO_NUM_CONNECTS, &connects);
		r->worn = r->worn || connects > 0 || result != CURLE_OK;
		if (r->connection->ntransfers > 1 && http_answer_blames_connection(result))
			some_broken |= http_pool_broken(r->connection, false);
		finish(r, result, now_us);
	}
	end_companions(now_us);
}

void
http_look_for_forgotten(void)
{
	if (forgotten_us < 0)
		forgotten_us = poller_clock() + FORGOTTEN_US;
}

/* Have libcurl look after it as if something had come: it does when a pause ends. */
static void
nudge(Request *r)
{
	(void) curl_easy_pause(r->easy, CURLPAUSE_SEND);
	(void) curl_easy_pause(r->easy, CURLPAUSE_CONT);
}

void
http_connection_deserted(Connection *connection)
{
	connection->deserted = true;
	some_deserted = true;
}

/* Those who are still there may wait for what nobody reads any more. */
static void
nudge_deserted(void)
{
	if (!some_deserted)
		return;
	some_deserted = false;
	for (Request *r = running.first; r != NULL; r = r->next)
	{
		if (r->connection->deserted)
			nudge(r);
	}
	for (Request *r = running.first; r != NULL; r = r->next)
		r->connection->deserted = false;
}

/*
 * libcurl 7.88, when one address of several has failed, means to try the next one
 * when it is called again, but asks nobody to call it.  So it may be with each
 * request that is not out yet, also on a connection that was open before: libcurl
 * sets up another one where that has ended, or takes no more streams.
 */
static void
wake_forgotten(int64_t now_us)
{
	if (forgotten_us < 0 || now_us < forgotten_us)
		return;
	forgotten_us = -1;
	for (Request *r = running.first; r != NULL; r = r->next)
	{
		bool		connected = http_answer_was_connected(r);
		int			closed;

		if (!r->pool->choice || r->head_bytes > 0)
			continue;
		http_sockets_disown_closed(r->connection);
		if (connected && r->connection->nsockets > 0)
			continue;
		forgotten_us = now_us + FORGOTTEN_US;
		closed = closed_sockets(r->connection);
		if (closed == r->closed_seen &&
			(r->connection->nsockets > 0 || !(r->opened || connected)))
			continue;
		r->closed_seen = closed;
		nudge(r);
	}
}

/* Those that have taken too long, though all that has come for them is read. */
static void
end_those_late(int64_t now_us)
{
	Request    *next;

	if (look_at_us < 0 || now_us < look_at_us)
		return;
	look_at_us = -1;
	for (Request *r = running.first; r != NULL; r = next)
	{
		const char *late = http_time_is_up(r, now_us);

		next = r->next;
		if (late == NULL)
		{
			look_at_us = sooner(look_at_us, r->look_at_us);
			continue;
		}
		r->worn = true;
		take_out(r);
		snprintf(r->curl_error, sizeof(r->curl_error), "%s", late);
		conclude(r, CURLE_OPERATION_TIMEDOUT, false, now_us);
	}
}

/* When there is something to be done without an event; -1: never. */
static int64_t
next_due(void)
{
	if (starting.first != NULL || some_deserted)
		return 0;
	return sooner(sooner(sooner(sooner(curl_deadline_us, look_at_us), patience_until_us),
						 sooner(settling_until_us, poller_held_until())),
				  sooner(sooner(http_names_next(), http_pool_next_expiry()),
						 forgotten_us));
}

static bool
is_due(int64_t when_us)
{
	return when_us >= 0 && when_us <= poller_clock();
}

/* Before anybody waits for the poller: it must know all that we wait for. */
static void
settle(void)
{
	int64_t		now_us = poller_clock();

	poller_settle();
	expected_us = next_due();
	poller_wake_at(expected_us);
	if (expected_us >= 0 && expected_us < now_us)
		expected_us = now_us;
}

/* The caller was away for longer than it was asked to: that is nobody's time. */
static void
give_back(void)
{
	const RequestList *lists[] = {&starting, &waiting, &running, &settling};
	int64_t		now_us = poller_clock();
	int64_t		away_us = now_us - expected_us;

	if (expected_us < 0 || away_us < LATE_US)
		return;
	http_names_give_back(away_us);
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
	{
		for (Request *r = lists[i]->first; r != NULL; r = r->next)
			http_time_give_back(r, away_us, now_us);
	}
}

/*
 * libcurl hears first that a connection has ended, and may have the rest of an
 * answer to read; some versions do not tell all that use it.
 */
static void
take_event(const PollerEvent *event)
{
	Connection *connection;
	int			still_running;

	if (http_names_event(event->fd, event->events))
		return;
	if (event->events == 0)
		http_pool_unasked(event->fd, event->ended);
	else
		curl_multi_socket_action(multi, event->fd, event->events, &still_running);
	connection = http_socket_owner(event->fd);
	if (connection == NULL)
		return;
	if (event->events == POLLER_OUT)
		http_pool_could_write(connection, event->fd);
	if (event->ended && connection->multiplexed)
		some_broken |= http_pool_broken(connection, event->events == 0);
}

/*
 * What is due now; true: there is more.  Nobody's time is up as long as there
 * are sockets that have not been looked at.
 */
static bool
run_once(void)
{
	PollerEvent events[128];
	bool		more;
	int			nevents = poller_wait(events, 128, &more);
	int64_t		now_us;
	int			still_running;

	if (nevents == 0 && !is_due(next_due()))
		return false;
	for (int i = 0; i < nevents; i++)
		take_event(&events[i]);
	now_us = poller_clock();
	if (more)
	{
		http_names_run(now_us);
		run_starting();
		collect_finished();
		return true;
	}
	http_names_run(now_us);
	http_pool_expire(now_us);
	end_patience(now_us);
	settle_those_due(now_us);
	run_starting();
	wake_forgotten(now_us);
	nudge_deserted();
	for (int i = 0; i < MAX_TIMER_TURNS && is_due(curl_deadline_us); i++)
	{
		curl_deadline_us = -1;	/* it rings once; libcurl sets it anew */
		curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &still_running);
	}
	collect_finished();
	end_those_late(now_us);
	return starting.first != NULL;
}

void
http_run(void)
{
	sigset_t	saved;

	if (multi == NULL)
		return;
	block_signals(&saved);
	give_back();
	for (int i = 0; i < MAX_ROUNDS && run_once(); i++)
		poller_settle();
	restore_signals(&saved);
	settle();
}

/* ---------------------------------------------------------------------
 * The doors
 * ---------------------------------------------------------------------
 */

static bool
set_up(const char **error)
{
	const curl_version_info_data *info;
	CURLM	   *fresh;

	sigfillset(&all_signals);
	if (curl_global_init(CURL_GLOBAL_ALL) != CURLE_OK)
	{
		*error = "could not initialize libcurl";
		return false;
	}
	info = curl_version_info(CURLVERSION_NOW);
	/* several requests on a connection only where we see which one that is */
	if ((info->features & CURL_VERSION_HTTP2) && HTTP_TELLS_CONNECTED)
		version_wanted = CURL_HTTP_VERSION_2TLS;
	http_request_init(info);
	http_pool_init(info);
	if (!http_names_init())
	{
		*error = "could not initialize c-ares";
		return false;
	}

	/*
	 * From 7.83 to 8.1, a handle that is used again keeps a pointer to the
	 * last header of its last answer, which is freed, and appends to it if an
	 * answer's first header begins with a blank.
	 */
	handles_keep = info->version_num < 0x075300 || info->version_num >= 0x080200;

	if (poller_fd() < 0 && !poller_open())
	{
		*error = "could not create an epoll or kqueue descriptor";
		return false;
	}

	fresh = curl_multi_init();
	if (fresh == NULL ||
		curl_multi_setopt(fresh, CURLMOPT_SOCKETFUNCTION, on_interest) != CURLM_OK ||
		curl_multi_setopt(fresh, CURLMOPT_TIMERFUNCTION, on_timer) != CURLM_OK ||
		curl_multi_setopt(fresh, CURLMOPT_PIPELINING, (long) CURLPIPE_MULTIPLEX) != CURLM_OK ||
		curl_multi_setopt(fresh, CURLMOPT_MAXCONNECTS, MAX_IN_POOL) != CURLM_OK)
	{
		curl_multi_cleanup(fresh);
		*error = "could not set up libcurl's multi interface";
		return false;
	}
	multi = fresh;
	return true;
}

bool
http_init(HttpGuard guard, int max_connections, int64_t lifetime_ms, const char **error)
{
	if (multi == NULL && !set_up(error))
		return false;
	http_socket_init(guard);
	http_pool_set_lifetime(lifetime_ms * 1000);

	/* Memory put by for the time when there is none. */
	if (max_connections > max_starved)
	{
		uint64_t   *longer = realloc(starved, max_connections * sizeof(*starved));

		if (longer == NULL)
		{
			*error = http_no_memory;
			return false;
		}
		starved = longer;
		max_starved = max_connections;
	}
	return true;
}

long
http_version_wanted(void)
{
	return version_wanted;
}

bool
http_handles_keep(void)
{
	return handles_keep;
}

int
http_fd(void)
{
	return poller_fd();
}

void
http_wake_at(int64_t time_us)
{
	if (multi != NULL)
		poller_wake_at(time_us);
}

/* A fresh or reused Request in the starting list, or NULL. */
static Request *
new_request(void)
{
	Request    *r = spare.last; /* its memory is still in the caches */

	if (r != NULL)
	{
		list_remove(r);
		nspare--;
	}
	else
		r = calloc(1, sizeof(*r));
	if (r == NULL)
		return NULL;
	r->early_fd = -1;
	nin_flight++;
	list_append(&starting, r);
	return r;
}

void
http_start(const HttpRequest *request)
{
	Request    *r = new_request();

	if (r == NULL)
	{
		if (nstarved < max_starved)
			starved[nstarved++] = request->tag;
		return;
	}

	http_time_start(r, request, poller_clock());
	r->response_limit = request->response_limit;
	r->hops_left = request->max_redirects;
	http_answer_begin(r);
	r->answer.tag = request->tag;

	if ((r->easy == NULL && !http_request_open(r)) || !http_request_copy(r, request))
		fail_early(r, false, http_no_memory);
	else
	{
		http_request_setup(r, request);
		if (r->fault)
		{
			http_answer_not_tried(r, false, r->fault);
			move_to_done(r, poller_clock());
		}
	}
}

bool
http_next(HttpAnswer *answer)
{
	Request    *r = done.first;

	if (nstarved > 0)
	{
		memset(answer, 0, sizeof(*answer));
		answer->tag = starved[--nstarved];
		answer->phase = HTTP_PHASE_REFUSED;
		answer->lacking = true;
		answer->retry_after_s = -1;
		answer->error = http_no_memory;
		return true;
	}
	if (r == NULL)
		return false;
	*answer = r->answer;
	memset(&r->answer, 0, sizeof(r->answer));
	recycle(r);
	return true;
}

void
http_answer_free(HttpAnswer *answer)
{
	free(answer->body);
	if (answer->error != http_no_memory)
		free(answer->error);
	answer->body = NULL;
	answer->error = NULL;
}

int
http_in_flight(void)
{
	return nin_flight + nstarved;
}

static Request *
find_in(const RequestList *list, uint64_t tag)
{
	Request    *r = list->first;

	while (r != NULL && r->answer.tag != tag)
		r = r->next;
	return r;
}

bool
http_cancel(uint64_t tag)
{
	Request    *r = find_in(&running, tag);
	sigset_t	saved;

	if (r == NULL)
		r = find_in(&starting, tag);
	if (r == NULL)
		r = find_in(&waiting, tag);
	if (r == NULL)
		r = find_in(&settling, tag);
	if (r == NULL)
		r = find_in(&done, tag);
	if (r == NULL)
		return false;

	block_signals(&saved);
	if (r->in_multi)
	{
		r->worn = true;
		take_out(r);
	}
	recycle(r);
	restore_signals(&saved);
	settle();
	return true;
}

const char *
http_version(void)
{
	return curl_version();
}
