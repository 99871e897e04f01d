/*-------------------------------------------------------------------------
 *
 * http_untold.c
 *		The HTTP room, what libcurl does not tell: who has lost a connection, whom
 *		it has forgotten, and who has taken too long.
 *
 * See transfer.h for the rules of the room.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "http/http_carry.h"
#include "http/http_connection.h"
#include "http/http_curl.h"
#include "http/http_fair.h"
#include "http/http_finish.h"
#include "http/http_hop.h"
#include "http/http_lists.h"
#include "http/http_multi.h"
#include "http/http_pool.h"
#include "http/http_result.h"
#include "http/http_socket.h"
#include "http/http_time.h"
#include "http/http_untold.h"
#include "http/poller.h"
#include "http/transfer.h"

/* How often those that may have been forgotten are looked at. */
#define FORGOTTEN_US		(20 * 1000)

/* When to look for those that libcurl has forgotten; -1: never. */
static int64_t forgotten_us = -1;

/* When to ask whether the time of any that runs is up, or earlier; -1: never. */
static int64_t look_at_us = -1;

/* Connections have ended under those that use them, or may have. */
static bool some_broken = false;
static bool some_deserted = false;

/* How many sockets of it are closed again, as far as we were told. */
static int
closed_sockets(const Connection *connection)
{
	return connection->nopened - connection->nsockets;
}

void
http_untold_running(Transfer *t)
{
	look_at_us = sooner(look_at_us, t->look_at_us);
	t->closed_seen = closed_sockets(t->connection);
}

/* Have libcurl look after it as if something had come: it does when a pause ends. */
static void
nudge(Transfer *t)
{
	if (http_multi_is_broken())
		return;
	(void) curl_easy_pause(t->easy, CURLPAUSE_SEND);
	(void) curl_easy_pause(t->easy, CURLPAUSE_CONT);
}

/* ---------------------------------------------------------------------
 * Lost connections
 * ---------------------------------------------------------------------
 */

static void
note_deserted(Connection *connection)
{
	connection->deserted = true;
	some_deserted = true;
}

void
http_untold_broken(Connection *connection, bool unheard)
{
	some_broken |= http_connection_broken(connection, unheard);
}

/*
 * libcurl tells that a connection of HTTP/2 is over only to those whom it calls, and
 * some versions call one of them for what has come.  So one after the other is called,
 * as long as each finds its end; or its answer, which it may have already.
 */
void
http_untold_doubt(Connection *connection)
{
	Transfer   *t = connection->users;

	while (t != NULL && !(t->in_multi && t->connected))
		t = t->next_user;
	if (t == NULL)
		return;

	/* another one the next time */
	http_connection_leave(t);
	http_connection_join(connection, t);
	nudge(t);
	http_multi_timer();
}

/*
 * What ended it may have come in one with an answer, and with nothing behind it that
 * the socket would tell of.
 */
void
http_untold_quiet(int64_t now_us)
{
	Connection *connection;

	while ((connection = http_connection_quiet(now_us)) != NULL)
	{
		if (http_fair_waits(connection->pool, now_us))
			continue;			/* it is not quiet, but held */
		for (int i = 0; i < connection->nsockets; i++)
			http_multi_event(connection->sockets[i], POLLER_IN);
	}
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
	for (Transfer *t = http_running.first; t != NULL; t = t->next)
	{
		if (!t->connection->deserted || t->again)
			continue;
		nudge(t);
		if (t->pool->loses)
		{
			http_time_look_soon(t, now_us);
			look_at_us = sooner(look_at_us, t->look_at_us);
		}
	}
	for (Transfer *t = http_running.first; t != NULL; t = next)
	{
		next = t->next;
		t->connection->deserted = false;
		if (!t->again)
			continue;
		t->worn = true;
		http_finish(t, CURLE_RECV_ERROR, now_us);
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
	for (Transfer *t = http_running.first; t != NULL; t = next)
	{
		next = t->next;
		if (!t->connection->broken)
			continue;
		t->worn = true;
		http_finish(t, CURLE_RECV_ERROR, now_us);
	}
}

void
http_untold_lost(int64_t now_us)
{
	leave_deserted(now_us);
	end_companions(now_us);
}

/* ---------------------------------------------------------------------
 * Forgotten addresses
 * ---------------------------------------------------------------------
 */

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
void
http_untold_forgotten(int64_t now_us)
{
	if (forgotten_us < 0 || now_us < forgotten_us)
		return;
	forgotten_us = -1;
	for (Transfer *t = http_running.first; t != NULL; t = t->next)
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

/* ---------------------------------------------------------------------
 * Time
 * ---------------------------------------------------------------------
 */

/*
 * Others of its addresses have come while it tries those that came first: it tries
 * all, unless one has been reached (RFC 8305, 3).
 */
static bool
has_more_to_try(Transfer *t)
{
	const char *lack;

	return http_result_wants_rest(t, CURLE_OPERATION_TIMEDOUT) &&
		!http_sockets_reach(t->connection) && http_hop_rest(t, &lack) == NAME_KNOWN;
}

void
http_untold_late(int64_t now_us)
{
	Transfer   *next;

	if (look_at_us < 0 || now_us < look_at_us)
		return;
	look_at_us = -1;
	for (Transfer *t = http_running.first; t != NULL; t = next)
	{
		const char *late;

		next = t->next;
		if (http_time_is_stalled(t, now_us))
			http_carry_not_taken(t);
		late = http_time_is_up(t, now_us);
		if (late == NULL && !has_more_to_try(t))
		{
			look_at_us = sooner(look_at_us, t->look_at_us);
			continue;
		}
		http_carry_late(t);
		http_finish_at_once(t, CURLE_OPERATION_TIMEDOUT, late, now_us);
	}
}

void
http_untold_limited(void)
{
	look_at_us = 0;
}

int64_t
http_untold_next(void)
{
	return some_deserted ? 0 :
		sooner(http_connection_next_quiet(), sooner(look_at_us, forgotten_us));
}

void
http_untold_init(void)
{
	http_upwards.trying = look_for_forgotten;
	http_upwards.deserted = note_deserted;
}
