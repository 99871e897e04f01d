/*-------------------------------------------------------------------------
 *
 * http.c
 *		The HTTP room: many requests at once through libcurl's multi interface.
 *
 * The doors of http.h, and the cycle; transfer.h says what the room's other
 * files do and which rules hold for all of them.
 *
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

#include "http/http.h"
#include "http/http_answer.h"
#include "http/http_carry.h"
#include "http/http_ciphers.h"
#include "http/http_connection.h"
#include "http/http_curl.h"
#include "http/http_dns.h"
#include "http/http_fair.h"
#include "http/http_finish.h"
#include "http/http_hop.h"
#include "http/http_linger.h"
#include "http/http_lists.h"
#include "http/http_message.h"
#include "http/http_multi.h"
#include "http/http_names.h"
#include "http/http_pool.h"
#include "http/http_request.h"
#include "http/http_result.h"
#include "http/http_socket.h"
#include "http/http_time.h"
#include "http/http_untold.h"
#include "http/http_wait.h"
#include "http/http_watch.h"
#include "http/poller.h"
#include "http/reserve.h"
#include "http/transfer.h"

/* Rounds in one http_run(), so that the caller's other work gets its own time. */
#define MAX_ROUNDS			16

/* A look at how much memory there is holds for so long. */
#define ROOM_US				(100 * 1000)

static sigset_t all_signals;

/* When to look at the time of any in flight again, or earlier; -1: never. */
static int64_t look_by_us = -1;

/* Tags that there was not even memory for a Transfer. */
static uint64_t *starved = NULL;
static int	nstarved = 0;
static int	max_starved = 0;

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
 * They start
 * ---------------------------------------------------------------------
 */

/* The request is not tried at all: it never could be, or we lack something. */
static void
fail_early(Transfer *t, bool refused, const char *error)
{
	if (refused)
		http_answer_not_tried(t, true, error);
	else
		http_answer_lacking(t, error);
	http_lists_done(t, poller_clock());
}

/* Only what is wrong with a URL is not ours to mend. */
static void
fail_setup(Transfer *t)
{
	char		error[128];

	if (t->failed_option != NULL)
	{
		snprintf(error, sizeof(error), "%s: %s", t->failed_option, t->failed_why);
		t->answer.unsupported = t->setup != CURLE_OUT_OF_MEMORY;
		fail_early(t, false, error);
	}
	else if (t->setup == CURLE_OUT_OF_MEMORY)
		fail_early(t, false, http_no_memory);
	else
		fail_early(t, true, curl_easy_strerror(t->setup));
}

/* Hand a request to libcurl, on the connection that it has. */
static void
run(Transfer *t, int64_t now_us)
{
	CURLMcode	rc = CURLM_OK;

	http_request_connect(t, now_us);
	if (t->setup == CURLE_OK)
		rc = http_multi_add(t);
	if (t->setup == CURLE_OK && rc == CURLM_OK)
	{
		http_lists_move(&http_running, t);
		http_untold_running(t);
		return;
	}
	http_carry_release(t, now_us);
	if (t->setup != CURLE_OK)
		fail_setup(t);
	else
		fail_early(t, false, curl_multi_strerror(rc));
}

/* A new connection: first it needs addresses, then a descriptor. */
static void
run_on_new(Transfer *t, int64_t now_us)
{
	int			lacking = 0;

	switch (http_hop_resolve(t))
	{
		case NAME_FAILED:
			http_lists_done(t, now_us);
			return;
		case NAME_ASKED:
			http_wait_for_addresses(t);
			return;
		case NAME_KNOWN:
			break;
	}
	if (http_carry_open(t, &lacking))
		run(t, now_us);
	else if (t->setup != CURLE_OK)
		fail_setup(t);
	else
		fail_early(t, false, lacking == EMFILE ? "too many open files" : http_no_memory);
}

/*
 * The addresses that it had were of no use, but others of the name were still asked
 * for: it tries all when these are there, until its time is over.
 */
static void
run_on_rest(Transfer *t, int64_t now_us)
{
	const char *lack;
	NameState	state = http_hop_rest(t, &lack);
	bool		late = t->deadline_us >= 0 && now_us >= t->deadline_us;

	if (state == NAME_ASKED && !late)
		http_wait_for_addresses(t);
	else if (state == NAME_KNOWN && !late)
		http_answer_begin(t);
	else
	{
		if (state == NAME_FAILED && t->missing >= 0 && t->name != NULL)
			http_names_distrust(t->name);
		if (lack != NULL)
			http_answer_lacking(t, lack);
		else
			http_result_judge(t, t->vain);
		http_lists_done(t, now_us);
	}
}

static void
look_at(Transfer *t, int64_t now_us)
{
	look_by_us = sooner(look_by_us, http_time_look(t, now_us));
}

/*
 * What is begun is to end as its receiver has it, so there must be memory for that; the
 * reserve is for those that are under way.
 */
static bool
lacks_memory(void)
{
	return http_multi_is_broken() || http_curl_lacks_memory() ||
		(reserve_is_low() && (http_running.first != NULL || http_settling.first != NULL));
}

/* Where there is not much memory, one at a time: then it is seen what that has left. */
static bool
has_room(bool first, int64_t now_us)
{
	static int	room = 0;
	static int64_t seen_us;

	if (first)
		return true;
	if (room == 0 || now_us - seen_us >= ROOM_US)
	{
		room = http_curl_room();
		seen_us = now_us;
	}
	if (room == 0)
		return false;
	room--;
	return true;
}

/* New requests, next hops, repeats, and those that have waited. */
static void
run_starting(void)
{
	bool		lacking = http_starting.first != NULL && lacks_memory();
	bool		first = true;

	while (http_starting.first != NULL)
	{
		Transfer   *t = http_starting.first;
		bool		alone = t->repeats >= HTTP_MAX_REPEATS;
		int64_t		now_us = poller_clock();

		look_at(t, now_us);
		if (lacking)
		{
			fail_early(t, false, http_no_memory);
			continue;
		}
		if (!has_room(first, now_us))
			break;
		first = false;
		if (t->setup != CURLE_OK)
			fail_setup(t);
		else if (t->vain != CURLE_OK)
			run_on_rest(t, now_us);
		else if (!alone && http_carry_take(t, now_us))
			run(t, now_us);
		else if (!alone && !t->patient && http_carry_is_opening(t))
			http_wait_for_connection(t, now_us);
		else
			run_on_new(t, now_us);
	}
}

/* ---------------------------------------------------------------------
 * The cycle
 * ---------------------------------------------------------------------
 */

/* Was the room away?  To be asked wherever it may have been, since libcurl does not. */
static void
look_at_all(int64_t now_us)
{
	const TransferList *lists[] = {&http_starting, &http_waiting, &http_running, &http_settling};

	if (look_by_us < 0 || now_us < look_by_us)
		return;
	look_by_us = -1;
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
	{
		for (Transfer *t = lists[i]->first; t != NULL; t = t->next)
			look_at(t, now_us);
	}
}

/* Take what has ended out of libcurl. */
static void
collect_finished(void)
{
	CURLcode	result;
	Transfer   *t;

	while ((t = http_multi_ended(&result)) != NULL)
	{
		Connection *shared = t->connection->ntransfers > 1 ? t->connection : NULL;
		long		connects = 0;

		curl_easy_getinfo(t->easy, CURLINFO_NUM_CONNECTS, &connects);
		t->worn = t->worn || connects > 0 || result != CURLE_OK;
		if (shared && http_result_blames_connection(result))
			http_untold_broken(shared, false);
		http_finish(t, result, poller_clock());
		if (shared)
			http_connection_spoke(shared);
		if (shared && (http_result_blames_connection(result) || result == CURLE_HTTP2_STREAM))
			http_untold_doubt(shared);
	}
	http_untold_lost(poller_clock());
}

/* When there is something to be done without an event; -1: never. */
static int64_t
next_due(void)
{
	if (http_starting.first != NULL)
		return 0;
	return sooner(sooner(sooner(http_multi_next(), http_untold_next()),
						 sooner(http_wait_next(), http_finish_next())),
				  sooner(sooner(sooner(http_names_next(), http_connection_next_expiry()),
								sooner(http_linger_next(), poller_delayed_until())),
						 look_by_us));
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
	poller_settle();
	poller_wake_at(next_due());
}

/*
 * libcurl hears first that a connection has ended, and may have the rest of an
 * answer to read; some versions do not tell all that use it.
 */
static void
take_event(const PollerEvent *event)
{
	Connection *connection;

	if (http_dns_event(event->fd, event->events))
		return;
	if (event->events == 0)
		http_connection_unasked(event->fd, event->ended);
	else
		http_multi_event(event->fd, event->events);
	connection = http_socket_owner(event->fd);
	if (connection == NULL)
		return;
	if (event->events == POLLER_OUT)
		http_connection_could_write(connection, event->fd);
	else
	{
		http_socket_was_heard(event->fd);
		http_connection_spoke(connection);
	}
	if (event->ended && connection->multiplexed)
		http_untold_broken(connection, event->events == 0);
}

/* But for those that have to wait. */
static void
take_events(const PollerEvent *events, int nevents)
{
	int64_t		now_us = http_fair_begin();

	for (int i = 0; i < nevents; i++)
	{
		const Connection *connection = http_socket_owner(events[i].fd);

		look_at_all(now_us);
		if (connection != NULL && http_fair_waits(connection->pool, now_us))
		{
			poller_hold(events[i].fd, http_fair_until());
			continue;
		}
		take_event(&events[i]);
		connection = http_socket_owner(events[i].fd);
		now_us = http_fair_called(connection != NULL ? connection->pool : NULL);
	}
}

/*
 * What is due now; true: there is more.  Nobody's time is up as long as there
 * are sockets that have not been looked at, and then by when that began: what has
 * come since, perhaps while the process was stopped, is not read yet.
 */
static bool
run_once(void)
{
	PollerEvent events[128];
	bool		more;
	int			nevents = poller_wait(events, 128, &more);
	int64_t		now_us = poller_waited_at();

	look_at_all(now_us);
	if (nevents == 0 && !is_due(next_due()))
		return false;
	take_events(events, nevents);
	if (http_multi_is_broken())
		return false;
	if (more)
	{
		http_names_run(now_us);
		run_starting();
		collect_finished();
		return true;
	}
	http_names_run(now_us);
	http_connection_expire(now_us);
	http_linger_expire(now_us);
	http_wait_end(now_us);
	http_finish_settling(now_us);
	run_starting();
	http_untold_forgotten(now_us);
	http_untold_quiet(now_us);
	look_at_all(http_fair_begin());
	http_multi_timer();
	(void) http_fair_called(NULL);
	if (http_multi_is_broken())
		return false;
	collect_finished();
	http_untold_late(now_us);
	return http_starting.first != NULL;
}

/* libcurl is not to be used any more, but it has nothing of these. */
static void
spare_unsent(void)
{
	TransferList *lists[] = {&http_starting, &http_waiting};

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
	{
		while (lists[i]->first != NULL)
			fail_early(lists[i]->first, false, http_no_memory);
	}
}

bool
http_is_broken(void)
{
	return http_multi_is_broken();
}

void
http_run(void)
{
	sigset_t	saved;

	if (!http_multi_is_open())
		return;
	block_signals(&saved);
	for (int i = 0; i < MAX_ROUNDS && !http_multi_is_broken() && run_once(); i++)
		poller_settle();
	if (http_multi_is_broken())
		spare_unsent();
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

	http_watch_init();
	sigfillset(&all_signals);
	if (http_watch_signal() != 0)
		sigdelset(&all_signals, http_watch_signal());
	if (!http_curl_open())
	{
		*error = "could not initialize libcurl";
		return false;
	}
	info = curl_version_info(CURLVERSION_NOW);
	http_curl_init(info);
	http_wait_init();
	http_finish_init();
	http_untold_init();
	http_message_init(info);
	http_request_init(info);
	http_ciphers_init(info);
	http_pool_init(info);
	http_connection_init();
	http_carry_init(info);
	if (!http_names_init())
	{
		*error = "could not initialize c-ares";
		return false;
	}

	if (poller_fd() < 0 && !poller_open())
	{
		*error = "could not create an epoll or kqueue descriptor";
		return false;
	}

	if (!http_multi_open())
	{
		*error = "could not set up libcurl's multi interface";
		return false;
	}
	return true;
}

int
http_room(int max_connections, int kept_descriptors)
{
	return http_socket_room(max_connections, kept_descriptors);
}

bool
http_init(HttpGuard guard, int max_connections, int64_t lifetime_ms, const char **error)
{
	if (!http_multi_is_open() && !set_up(error))
		return false;
	http_socket_init(guard);
	http_connection_set_lifetime(lifetime_ms * 1000);

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

int
http_fd(void)
{
	return poller_fd();
}

void
http_wake_at(int64_t time_us)
{
	if (http_multi_is_open())
		poller_wake_at(time_us);
}

void
http_start(const HttpRequest *request)
{
	Transfer   *t = http_lists_new();
	bool		lacking;

	if (t == NULL)
	{
		if (nstarved < max_starved)
			starved[nstarved++] = request->tag;
		return;
	}

	http_time_start(t, request, poller_clock());
	look_at(t, t->started_us);
	t->response_limit = request->response_limit;
	t->tried = request->tried;
	t->max_redirects = t->hops_left = request->max_redirects;
	http_answer_begin(t);
	t->answer.tag = request->tag;

	lacking = lacks_memory();
	if (!lacking && t->easy == NULL && !http_request_open(t))
		fail_setup(t);
	else if (lacking || !http_message_copy(t, request))
		fail_early(t, false, http_no_memory);
	else
	{
		http_request_setup(t, request);
		if (t->fault)
		{
			http_answer_not_tried(t, false, t->fault);
			http_lists_done(t, poller_clock());
		}
	}
}

bool
http_next(HttpAnswer *answer)
{
	Transfer   *t = http_done.first;

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
	if (t == NULL)
		return false;
	*answer = t->answer;
	memset(&t->answer, 0, sizeof(t->answer));
	answer->called = t->target;
	t->target = NULL;
	http_lists_recycle(t);
	return true;
}

void
http_answer_free(HttpAnswer *answer)
{
	free(answer->body);
	curl_free(answer->called);
	if (answer->error != http_no_memory)
		reserve_free(answer->error);
	answer->body = NULL;
	answer->called = NULL;
	answer->error = NULL;
}

int
http_in_flight(void)
{
	return http_lists_count() + nstarved;
}

void
http_limit(uint64_t owner, int connect_timeout_ms, int timeout_ms)
{
	const TransferList *lists[] = {&http_starting, &http_waiting, &http_running};
	int64_t		now_us = poller_clock();

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
	{
		for (Transfer *t = lists[i]->first; t != NULL; t = t->next)
		{
			if (t->pool == NULL || t->pool->owner != owner)
				continue;
			look_at(t, now_us);
			http_time_limit(t, connect_timeout_ms, timeout_ms);
			look_at(t, now_us);
		}
	}
	http_untold_limited();
	settle();
}

bool
http_cancel(uint64_t tag)
{
	Transfer   *t = http_lists_find(tag);
	sigset_t	saved;

	if (t == NULL || http_multi_is_broken())
		return false;

	block_signals(&saved);
	if (t->in_multi)
	{
		t->worn = true;
		http_multi_remove(t);
	}
	http_lists_recycle(t);
	restore_signals(&saved);
	settle();
	return true;
}
