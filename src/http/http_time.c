/*-------------------------------------------------------------------------
 *
 * http_time.c
 *		The HTTP room, the time that a request may take.
 *
 * libcurl's own limits are not used: it judges them before it reads what lies in
 * its sockets, and counts the time in which nobody could call it.  Here a limit
 * is judged once all sockets have been read, and time in which the room was not
 * called although it had asked to be (a lock, a standby, a stopped process) is
 * given back.
 *
 * How long the room was away is known from when it had asked to be called, so
 * while a connection is set up, when answers need an answer of ours, it asks more
 * often.
 *
 * See transfer.h for the rules of the room.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>

#include "http/http_answer.h"
#include "http/http_result.h"
#include "http/http_socket.h"
#include "http/http_time.h"
#include "http/transfer.h"

/* How often to look at a request whose connection is being set up. */
#define SETTING_UP_US		(250 * 1000)

/*
 * A request whose time is over when the room comes back has so much more, once,
 * or as long as the room was away: it may need several steps yet.
 */
#define SPARED_US			(1000 * 1000)

/* A request on a connection that was kept, and that nobody else used, is out by then. */
#define BEGIN_US			(1000 * 1000)

/* libcurl takes the time to connect for what it tries each address for. */
#define CURL_LATER_MS		50

/* Looks at the speed in the time that it may be low. */
#define LOOKS_AT_SPEED		4

void
http_time_start(Transfer *t, const HttpRequest *request, int64_t now_us)
{
	t->started_us = now_us;
	t->deadline_us = -1;
	if (request->timeout_ms > 0)
		t->deadline_us = now_us + (int64_t) request->timeout_ms * 1000;
	t->connect_timeout_ms = request->connect_timeout_ms;

	/* where the whole attempt has less time, it is of no use */
	t->least_speed = request->low_speed_limit;
	t->low_speed_s = request->low_speed_time_s;
	if (request->timeout_ms > 0 &&
		request->timeout_ms <= (int64_t) request->low_speed_time_s * 1000)
		t->least_speed = 0;
	t->spared = false;
	t->waited_us = 0;
}

static int64_t
speed_interval(const Transfer *t)
{
	return (int64_t) t->low_speed_s * 1000000 / LOOKS_AT_SPEED;
}

static void
note_next_look(Transfer *t, int64_t now_us)
{
	t->look_at_us = t->deadline_us;
	if (t->connect_by_us >= 0)
		t->look_at_us = sooner(t->look_at_us, sooner(t->connect_by_us, now_us + SETTING_UP_US));
	if (t->least_speed > 0)
		t->look_at_us = sooner(t->look_at_us, t->speed_at_us);
	t->look_at_us = sooner(t->look_at_us, t->begin_by_us);
}

/* Half of its time is left for another connection, at least. */
static int64_t
time_to_begin(const Transfer *t, int64_t now_us)
{
	int64_t		half_us = (t->deadline_us - now_us) / 2;

	return t->deadline_us >= 0 && half_us < BEGIN_US ? half_us : BEGIN_US;
}

void
http_time_run(Transfer *t, int64_t now_us)
{
	t->connect_by_us = -1;
	t->connecting_ms = 0;
	if (!t->connection->known)
	{
		t->connect_by_us = now_us + (int64_t) t->connect_timeout_ms * 1000 - t->waited_us;
		if (t->deadline_us >= 0 && t->deadline_us < t->connect_by_us)
			t->connect_by_us = t->deadline_us > now_us ? t->deadline_us : now_us;
		t->connecting_ms = (t->connect_by_us - now_us) / 1000 + CURL_LATER_MS;
	}
	t->begin_by_us = -1;
	if (t->connection->multiplexed && t->connection->ntransfers == 1 && t->body_len > 0)
		t->begin_by_us = now_us + time_to_begin(t, now_us);
	t->waited_us = 0;
	t->slow_since_us = now_us;
	t->speed_at_us = now_us + speed_interval(t);
	t->moved = 0;
	note_next_look(t, now_us);
}

/*
 * Bytes of bodies.  What lies in our kernel has not moved yet; over HTTP/2 nobody
 * knows whose it is.
 */
static int64_t
moved(const Transfer *t)
{
	curl_off_t	sent = 0;
	curl_off_t	received = 0;
	int			unacknowledged = t->connection->multiplexed ? 0 :
		http_socket_unacknowledged(http_socket_used(t));

	curl_easy_getinfo(t->easy, CURLINFO_SIZE_UPLOAD_T, &sent);
	curl_easy_getinfo(t->easy, CURLINFO_SIZE_DOWNLOAD_T, &received);
	return sent + received - (unacknowledged > 0 ? unacknowledged : 0);
}

/* Has it been slow for too long? */
static bool
is_too_slow(Transfer *t, int64_t now_us)
{
	bool		connecting = t->connect_by_us >= 0;
	int64_t		bytes;

	if (t->least_speed == 0 || now_us < t->speed_at_us)
		return false;
	bytes = connecting ? 0 : moved(t);
	t->speed_at_us = now_us + speed_interval(t);
	if (connecting || (double) (bytes - t->moved) * LOOKS_AT_SPEED >=
		(double) t->least_speed * t->low_speed_s)
		t->slow_since_us = now_us;
	t->moved = bytes;
	return now_us - t->slow_since_us >= (int64_t) t->low_speed_s * 1000000;
}

const char *
http_time_is_up(Transfer *t, int64_t now_us)
{
	static char text[128];
	long long	took_ms = (now_us - t->started_us) / 1000;

	if (t->connect_by_us >= 0 && http_result_was_connected(t))
		t->connect_by_us = -1;
	if (t->connect_by_us >= 0 && now_us >= t->connect_by_us)
		snprintf(text, sizeof(text), "Connection timed out after %lld milliseconds", took_ms);
	else if (t->deadline_us >= 0 && now_us >= t->deadline_us)
		snprintf(text, sizeof(text),
				 "Operation timed out after %lld milliseconds with %zu bytes received",
				 took_ms, t->body_seen);
	else if (is_too_slow(t, now_us))
		snprintf(text, sizeof(text),
				 "Operation too slow. Less than %d bytes/sec transferred the last %d seconds",
				 t->least_speed, t->low_speed_s);
	else
	{
		note_next_look(t, now_us);
		return NULL;
	}
	return text;
}

void
http_time_look_soon(Transfer *t, int64_t now_us)
{
	t->begin_by_us = now_us + time_to_begin(t, now_us);
	note_next_look(t, now_us);
}

bool
http_time_is_stalled(Transfer *t, int64_t now_us)
{
	curl_off_t	sent = 0;

	if (t->begin_by_us < 0 || now_us < t->begin_by_us)
		return false;
	t->begin_by_us = -1;
	if (t->head_bytes > 0)
		return http_answer_head_is_lost(t);
	curl_easy_getinfo(t->easy, CURLINFO_SIZE_UPLOAD_T, &sent);
	return t->body_len > 0 && sent == 0 && !t->opened && http_result_was_connected(t);
}

/* Move a time by so much, unless there is none, and beyond another one. */
static void
move(int64_t *time_us, int64_t by_us, int64_t beyond_us)
{
	if (*time_us < 0 || *time_us == INT64_MAX)
		return;
	*time_us += by_us;
	if (*time_us < beyond_us)
		*time_us = beyond_us;
}

/* Would less than so much be left until then? */
static bool
leaves_less(int64_t time_us, int64_t now_us, int64_t than_us)
{
	return time_us >= 0 && time_us - now_us < than_us;
}

/*
 * Whatever had less than that left when we went away may need several steps yet:
 * all of those in flight, and not only the first, have as much once.
 */
void
http_time_give_back(Transfer *t, int64_t away_us, int64_t now_us)
{
	int64_t		lost_us = now_us - t->started_us < away_us ? now_us - t->started_us : away_us;
	int64_t		spare_us = lost_us < SPARED_US ? lost_us : SPARED_US;
	int64_t		beyond_us = 0;

	if (!t->spared && (leaves_less(t->deadline_us, now_us, spare_us - lost_us) ||
					   leaves_less(t->connect_by_us, now_us, spare_us - lost_us)))
	{
		beyond_us = now_us + spare_us;
		t->spared = true;
	}
	move(&t->deadline_us, lost_us, beyond_us);
	move(&t->wait_until_us, lost_us, beyond_us);
	move(&t->waits_since_us, lost_us, 0);
	if (!t->in_multi)
		return;
	move(&t->connect_by_us, lost_us, beyond_us);
	move(&t->begin_by_us, lost_us, 0);
	t->slow_since_us += lost_us;
	t->speed_at_us += lost_us;
	t->look_at_us = now_us;
	if (t->connect_by_us >= 0)
	{
		t->connecting_ms += lost_us / 1000 + 1 + (beyond_us > 0 ? (beyond_us - now_us) / 1000 : 0);
		(void) curl_easy_setopt(t->easy, CURLOPT_CONNECTTIMEOUT_MS, (long) t->connecting_ms);
	}
}
