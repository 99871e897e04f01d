/*-------------------------------------------------------------------------
 *
 * http.c
 *		The HTTP room: many requests at once through libcurl's multi interface.
 *
 * The doors of http.h, the lists of requests and the loop; transfer.h says
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

#include "http/http.h"
#include "http/http_answer.h"
#include "http/http_carry.h"
#include "http/http_connection.h"
#include "http/http_curl.h"
#include "http/http_dns.h"
#include "http/http_hop.h"
#include "http/http_message.h"
#include "http/http_names.h"
#include "http/http_pool.h"
#include "http/http_redirect.h"
#include "http/http_request.h"
#include "http/http_result.h"
#include "http/http_socket.h"
#include "http/http_time.h"
#include "http/poller.h"
#include "http/transfer.h"

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
static sigset_t all_signals;

static TransferList starting;
static TransferList waiting;
static TransferList running;
static TransferList settling;
static TransferList done;
static TransferList spare;
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

/* Tags that there was not even memory for a Transfer. */
static uint64_t *starved = NULL;
static int	nstarved = 0;
static int	max_starved = 0;

/* ---------------------------------------------------------------------
 * Lists and signals
 * ---------------------------------------------------------------------
 */

static void
list_append(TransferList *list, Transfer *t)
{
	t->list = list;
	t->next = NULL;
	t->prev = list->last;
	if (list->last)
		list->last->next = t;
	else
		list->first = t;
	list->last = t;
}

static void
list_remove(Transfer *t)
{
	if (t->prev)
		t->prev->next = t->next;
	else
		t->list->first = t->next;
	if (t->next)
		t->next->prev = t->prev;
	else
		t->list->last = t->prev;
	t->list = NULL;
}

static void
move_to(TransferList *list, Transfer *t)
{
	list_remove(t);
	list_append(list, t);
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
move_to_done(Transfer *t, int64_t now_us)
{
	if (t->answer.lacking)
		http_connection_give_way();
	t->answer.duration_us = now_us - t->started_us;
	move_to(&done, t);
}

/* The request is not tried at all: it never could be, or we lack something. */
static void
fail_early(Transfer *t, bool refused, const char *error)
{
	if (refused)
		http_answer_not_tried(t, true, error);
	else
		http_answer_lacking(t, error);
	move_to_done(t, poller_clock());
}

static void
fail_setup(Transfer *t)
{
	char		error[128];

	if (t->setup == CURLE_URL_MALFORMAT || t->setup == CURLE_UNSUPPORTED_PROTOCOL)
		fail_early(t, true, curl_easy_strerror(t->setup));
	else if (t->failed_option == NULL)
		fail_early(t, false, curl_easy_strerror(t->setup));
	else
	{
		snprintf(error, sizeof(error), "%s: %s", t->failed_option,
				 curl_easy_strerror(t->setup));
		fail_early(t, false, error);
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
recycle(Transfer *t)
{
	bool		keep = nspare < MAX_SPARE;
	bool		keep_handle = keep && http_handles_keep() && !t->worn && !t->holds_secrets;
	bool		keep_block = keep && t->block_size <= MAX_SPARE_BLOCK;
	bool		keep_url = keep_block && t->target == NULL && t->parsed_url != NULL;
	Transfer		kept = {0};

	list_remove(t);
	nin_flight--;
	if (t->connection != NULL)
		http_carry_release(t, poller_clock());
	http_pool_leave(t);
	http_hop_forget_names(t);
	http_socket_drop_early(t);
	if (keep_handle)
	{
		kept.easy = t->easy;
		kept.served = true;
	}
	else
		curl_easy_cleanup(t->easy);
	if (keep_block)
	{
		kept.block = t->block;
		kept.block_size = t->block_size;
	}
	else
		free(t->block);
	if (keep_url)				/* it is in the block, too, so it is not long */
	{
		kept.parsed = t->parsed;
		kept.parsed_url = t->parsed_url;
		kept.origin = t->origin;
		kept.host = t->host;
		kept.port = t->port;
	}
	else
	{
		curl_url_cleanup(t->parsed);
		free(t->parsed_url);
		free(t->origin);
	}
	curl_free(t->target);
	free(t->location);
	free(t->answer.body);
	if (t->answer.error != http_no_memory)
		free(t->answer.error);

	if (keep)
	{
		*t = kept;
		/* now and not when it is wanted: the old one's memory fits exactly */
		if (t->easy == NULL)
			(void) http_request_open(t);
		list_append(&spare, t);
		nspare++;
	}
	else
		free(t);
}

/* ---------------------------------------------------------------------
 * The loop
 * ---------------------------------------------------------------------
 */

/* Until its name or its connection is there, but not longer than that. */
static void
wait_until(Transfer *t, int64_t until_us)
{
	if (t->deadline_us >= 0 && t->deadline_us < until_us)
		until_us = t->deadline_us;
	t->wait_until_us = until_us;
	if (patience_until_us < 0 || until_us < patience_until_us)
		patience_until_us = until_us;
	move_to(&waiting, t);
}

/* How many sockets of it are closed again, as far as we were told. */
static int
closed_sockets(const Connection *connection)
{
	return connection->nopened - connection->nsockets;
}

/* Hand a request to libcurl, on the connection that it has. */
static void
run(Transfer *t, int64_t now_us)
{
	CURLMcode	rc = CURLM_OK;

	http_request_connect(t, now_us);
	if (t->setup == CURLE_OK)
		rc = curl_multi_add_handle(multi, t->easy);
	if (t->setup == CURLE_OK && rc == CURLM_OK)
	{
		t->in_multi = true;
		look_at_us = sooner(look_at_us, t->look_at_us);
		move_to(&running, t);
		t->closed_seen = closed_sockets(t->connection);
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
			move_to_done(t, now_us);
			return;
		case NAME_ASKED:
			wait_until(t, INT64_MAX);
			return;
		case NAME_KNOWN:
			break;
	}
	if (http_carry_open(t, &lacking))
		run(t, now_us);
	else
		fail_early(t, false, lacking == EMFILE ? "too many open files" : http_no_memory);
}

/*
 * How long it may wait for others' connections, in all.  That is part of its
 * connect_timeout, of which half is left for trying at least.
 */
static int64_t
patience(const Transfer *t)
{
	int64_t		half_us = (int64_t) t->connect_timeout_ms * 1000 / 2;

	return half_us < PATIENCE_US ? half_us : PATIENCE_US;
}

/* Half of all its time is left then, too. */
static int64_t
patient_until(const Transfer *t, int64_t now_us)
{
	int64_t		half_us = (t->deadline_us - now_us) / 2;
	int64_t		left_us = patience(t) - t->waited_us;

	return now_us + (t->deadline_us >= 0 && half_us < left_us ? half_us : left_us);
}

/* It has waited for a connection, and goes on. */
static void
end_waiting(Transfer *t, bool patient)
{
	t->waited_us += poller_clock() - t->waits_since_us;
	if (t->waited_us > patience(t))
		t->waited_us = patience(t);
	t->patient = patient;
	move_to(&starting, t);
}

/* New requests, next hops, repeats, and those that have waited. */
static void
run_starting(void)
{
	int64_t		now_us = poller_clock();

	while (starting.first != NULL)
	{
		Transfer   *t = starting.first;
		bool		alone = t->repeats >= HTTP_MAX_REPEATS;

		if (t->setup != CURLE_OK)
			fail_setup(t);
		else if (!alone && http_carry_take(t, now_us))
			run(t, now_us);
		else if (!alone && !t->patient && http_carry_is_opening(t))
		{
			t->name = NULL;
			t->waits_since_us = now_us;
			wait_until(t, patient_until(t, now_us));
		}
		else
			run_on_new(t, now_us);
	}
}

/* Nobody waits for longer than he wants. */
static void
end_patience(int64_t now_us)
{
	Transfer   *next;

	if (patience_until_us < 0 || now_us < patience_until_us)
		return;
	patience_until_us = -1;
	for (Transfer *t = waiting.first; t != NULL; t = next)
	{
		bool		lacking;

		next = t->next;
		if (t->wait_until_us > now_us)
		{
			if (patience_until_us < 0 || t->wait_until_us < patience_until_us)
				patience_until_us = t->wait_until_us;
		}
		else if (t->name != NULL)
		{
			const char *late = http_names_late(t->name, &lacking);

			http_answer_unresolved(t, late, lacking);
			move_to_done(t, now_us);
		}
		else
			end_waiting(t, true);
	}
}

static void
on_name_settled(const struct Name *name, const char *error, bool lacking)
{
	Transfer   *next;

	for (Transfer *t = waiting.first; t != NULL; t = next)
	{
		next = t->next;
		if (t->name != name)
			continue;
		if (error == NULL)
		{
			move_to(&starting, t);
			continue;
		}
		http_answer_unresolved(t, error, lacking);
		move_to_done(t, poller_clock());
	}
}

static void
on_pool_settled(struct Pool *pool, bool failed)
{
	Transfer   *next;

	for (Transfer *t = waiting.first; t != NULL; t = next)
	{
		next = t->next;
		if (t->name != NULL || t->pool != pool)
			continue;
		end_waiting(t, failed);
	}
}

/* libcurl has no more to do with it. */
static void
take_out(Transfer *t)
{
	curl_multi_remove_handle(multi, t->easy);
	t->in_multi = false;
}

/* The request is over: release its connection, and find out what that means. */
static void
conclude(Transfer *t, CURLcode result, bool repeat, int64_t now_us)
{
	if (t->head_done && !repeat)
		http_carry_answered(t);
	http_carry_release(t, now_us);
	if (repeat ? http_request_repeat(t) :
		http_result_is_whole(t, result) && http_redirect_follow(t))
		move_to(&starting, t);
	else
	{
		http_result_judge(t, result);
		move_to_done(t, now_us);
	}
}

static void
look_soon(Transfer *t)
{
	t->settling_us = t->settling_us == 0 ? SETTLE_MIN_US :
		t->settling_us < SETTLE_MAX_US ? t->settling_us * 2 : SETTLE_MAX_US;
	t->wait_until_us = poller_clock() + (t->in_multi ? SETTLE_MAX_US : t->settling_us);
	if (settling_until_us < 0 || t->wait_until_us < settling_until_us)
		settling_until_us = t->wait_until_us;
	move_to(&settling, t);
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

static void
settle_those_due(int64_t now_us)
{
	Transfer   *next;
	Transfer   *t;

	if (settling_until_us < 0 || now_us < settling_until_us)
		return;
	settling_until_us = -1;
	t = settling.first;
	settling.first = settling.last = NULL;
	for (; t != NULL; t = next)
	{
		next = t->next;
		list_append(&settling, t);
		if (t->wait_until_us <= now_us && t->in_multi)
		{
			/* over HTTP/2 the head is the answer, and the rest should have come */
			take_out(t);
			t->worn = true;
			conclude(t, CURLE_HTTP2_STREAM, false, now_us);
		}
		else if (t->wait_until_us <= now_us)
			settle_early(t, now_us);
		else if (settling_until_us < 0 || t->wait_until_us < settling_until_us)
			settling_until_us = t->wait_until_us;
	}
}

/* libcurl is through with a request. */
static void
finish(Transfer *t, CURLcode result, int64_t now_us)
{
	bool		repeat;

	if (http_result_blames_connection(result))
		http_answer_overhear(t);
	repeat = http_result_wants_repeat(t, result, now_us);
	take_out(t);
	if (!repeat && http_result_is_early(t, result))
		settle_early(t, now_us);
	else
		conclude(t, result, repeat, now_us);
}

/* Have libcurl look after it as if something had come: it does when a pause ends. */
static void
nudge(Transfer *t)
{
	(void) curl_easy_pause(t->easy, CURLPAUSE_SEND);
	(void) curl_easy_pause(t->easy, CURLPAUSE_CONT);
}

static void
note_deserted(Connection *connection)
{
	connection->deserted = true;
	some_deserted = true;
}

/*
 * Those that libcurl would have sent again are ours to repeat; those who are
 * still there may wait for what nobody reads any more.
 */
static void
leave_deserted(int64_t now_us)
{
	Transfer   *next;

	if (!some_deserted)
		return;
	some_deserted = false;
	for (Transfer *t = running.first; t != NULL; t = t->next)
	{
		if (!t->connection->deserted || t->again)
			continue;
		nudge(t);
		if (http_pool_speaks_http1(t))
		{
			http_time_look_soon(t, now_us);
			look_at_us = sooner(look_at_us, t->look_at_us);
		}
	}
	for (Transfer *t = running.first; t != NULL; t = next)
	{
		next = t->next;
		t->connection->deserted = false;
		if (!t->again)
			continue;
		t->worn = true;
		finish(t, CURLE_RECV_ERROR, now_us);
	}
}

/*
 * Connections have ended under several requests, of which some versions of
 * libcurl tell only some.
 */
static void
end_companions(int64_t now_us)
{
	Transfer   *next;

	if (!some_broken)
		return;
	some_broken = false;
	for (Transfer *t = running.first; t != NULL; t = next)
	{
		next = t->next;
		if (!t->connection->broken)
			continue;
		t->worn = true;
		finish(t, CURLE_RECV_ERROR, now_us);
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
		Transfer   *t;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &owner);
		t = (Transfer *) owner;
		curl_easy_getinfo(t->easy, CURLINFO_NUM_CONNECTS, &connects);
		t->worn = t->worn || connects > 0 || result != CURLE_OK;
		if (t->connection->ntransfers > 1 && http_result_blames_connection(result))
			some_broken |= http_connection_broken(t->connection, false);
		finish(t, result, now_us);
	}
	leave_deserted(now_us);
	end_companions(now_us);
}

static void
look_for_forgotten(void)
{
	if (forgotten_us < 0)
		forgotten_us = poller_clock() + FORGOTTEN_US;
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
	for (Transfer *t = running.first; t != NULL; t = t->next)
	{
		bool		connected = http_result_was_connected(t);
		int			closed;

		if (!t->pool->choice || t->head_bytes > 0)
			continue;
		http_sockets_disown_closed(t->connection);
		if (connected && t->connection->nsockets > 0)
			continue;
		forgotten_us = now_us + FORGOTTEN_US;
		closed = closed_sockets(t->connection);
		if (closed == t->closed_seen &&
			(t->connection->nsockets > 0 || !(t->opened || connected)))
			continue;
		t->closed_seen = closed;
		nudge(t);
	}
}

/* Those that have taken too long, though all that has come for them is read. */
static void
end_those_late(int64_t now_us)
{
	Transfer   *next;

	if (look_at_us < 0 || now_us < look_at_us)
		return;
	look_at_us = -1;
	for (Transfer *t = running.first; t != NULL; t = next)
	{
		const char *late;

		next = t->next;
		if (http_time_is_held(t, now_us))
			http_carry_not_taken(t);
		late = http_time_is_up(t, now_us);
		if (late == NULL)
		{
			look_at_us = sooner(look_at_us, t->look_at_us);
			continue;
		}
		t->worn = true;
		take_out(t);
		snprintf(t->curl_error, sizeof(t->curl_error), "%s", late);
		conclude(t, CURLE_OPERATION_TIMEDOUT, false, now_us);
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
				  sooner(sooner(http_names_next(), http_connection_next_expiry()),
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
	const TransferList *lists[] = {&starting, &waiting, &running, &settling};
	int64_t		now_us = poller_clock();
	int64_t		away_us = now_us - expected_us;

	if (expected_us < 0 || away_us < LATE_US)
		return;
	http_names_give_back(away_us);
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
	{
		for (Transfer *t = lists[i]->first; t != NULL; t = t->next)
			http_time_give_back(t, away_us, now_us);
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

	if (http_dns_event(event->fd, event->events))
		return;
	if (event->events == 0)
		http_connection_unasked(event->fd, event->ended);
	else
		curl_multi_socket_action(multi, event->fd, event->events, &still_running);
	connection = http_socket_owner(event->fd);
	if (connection == NULL)
		return;
	if (event->events == POLLER_OUT)
		http_connection_could_write(connection, event->fd);
	if (event->ended && connection->multiplexed)
		some_broken |= http_connection_broken(connection, event->events == 0);
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
	http_connection_expire(now_us);
	end_patience(now_us);
	settle_those_due(now_us);
	run_starting();
	wake_forgotten(now_us);
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
	http_curl_init(info);
	http_upwards.trying = look_for_forgotten;
	http_upwards.deserted = note_deserted;
	http_upwards.answered_early = look_soon;
	http_upwards.name_settled = on_name_settled;
	http_upwards.pool_settled = on_pool_settled;
	http_message_init(info);
	http_request_init(info);
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

int
http_room(int max_connections, int kept_descriptors)
{
	return http_socket_room(max_connections, kept_descriptors);
}

bool
http_init(HttpGuard guard, int max_connections, int64_t lifetime_ms, const char **error)
{
	if (multi == NULL && !set_up(error))
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

/* A fresh or reused Transfer in the starting list, or NULL. */
static Transfer *
new_request(void)
{
	Transfer   *t = spare.last; /* its memory is still in the caches */

	if (t != NULL)
	{
		list_remove(t);
		nspare--;
	}
	else
		t = calloc(1, sizeof(*t));
	if (t == NULL)
		return NULL;
	t->early_fd = -1;
	nin_flight++;
	list_append(&starting, t);
	return t;
}

void
http_start(const HttpRequest *request)
{
	Transfer   *t = new_request();

	if (t == NULL)
	{
		if (nstarved < max_starved)
			starved[nstarved++] = request->tag;
		return;
	}

	http_time_start(t, request, poller_clock());
	t->response_limit = request->response_limit;
	t->hops_left = request->max_redirects;
	http_answer_begin(t);
	t->answer.tag = request->tag;

	if ((t->easy == NULL && !http_request_open(t)) || !http_message_copy(t, request))
		fail_early(t, false, http_no_memory);
	else
	{
		http_request_setup(t, request);
		if (t->fault)
		{
			http_answer_not_tried(t, false, t->fault);
			move_to_done(t, poller_clock());
		}
	}
}

bool
http_next(HttpAnswer *answer)
{
	Transfer   *t = done.first;

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
	recycle(t);
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

static Transfer *
find_in(const TransferList *list, uint64_t tag)
{
	Transfer   *t = list->first;

	while (t != NULL && t->answer.tag != tag)
		t = t->next;
	return t;
}

bool
http_cancel(uint64_t tag)
{
	Transfer   *t = find_in(&running, tag);
	sigset_t	saved;

	if (t == NULL)
		t = find_in(&starting, tag);
	if (t == NULL)
		t = find_in(&waiting, tag);
	if (t == NULL)
		t = find_in(&settling, tag);
	if (t == NULL)
		t = find_in(&done, tag);
	if (t == NULL)
		return false;

	block_signals(&saved);
	if (t->in_multi)
	{
		t->worn = true;
		take_out(t);
	}
	recycle(t);
	restore_signals(&saved);
	settle();
	return true;
}

const char *
http_version(void)
{
	return curl_version();
}
