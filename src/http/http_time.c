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
http_time_start(Request *r, const HttpRequest *request, int64_t now_us)
{
	r->started_us = now_us;
	r->deadline_us = -1;
	if (request->timeout_ms > 0)
		r->deadline_us = now_us + (int64_t) request->timeout_ms * 1000;
	r->connect_timeout_ms = request->connect_timeout_ms;

	/* where the whole attempt has less time, it is of no use */
	r->least_speed = request->low_speed_limit;
	r->low_speed_s = request->low_speed_time_s;
	if (request->timeout_ms > 0 &&
		request->timeout_ms <= (int64_t) request->low_speed_time_s * 1000)
		r->least_speed = 0;
	r->spared = false;
	r->waited_us = 0;
}

static int64_t
speed_interval(const Request *r)
{
	return (int64_t) r->low_speed_s * 1000000 / LOOKS_AT_SPEED;
}

static void
note_next_look(Request *r, int64_t now_us)
{
	r->look_at_us = r->deadline_us;
	if (r->connect_by_us >= 0)
		r->look_at_us = sooner(r->look_at_us, sooner(r->connect_by_us, now_us + SETTING_UP_US));
	if (r->least_speed > 0)
		r->look_at_us = sooner(r->look_at_us, r->speed_at_us);
	r->look_at_us = sooner(r->look_at_us, r->begin_by_us);
}

/* Half of its time is left for another connection, at least. */
static int64_t
time_to_begin(const Request *r, int64_t now_us)
{
	int64_t		half_us = (r->deadline_us - now_us) / 2;

	return r->deadline_us >= 0 && half_us < BEGIN_US ? half_us : BEGIN_US;
}

void
http_time_run(Request *r, int64_t now_us)
{
	r->connect_by_us = -1;
	r->connecting_ms = 0;
	if (!r->connection->known)
	{
		r->connect_by_us = now_us + (int64_t) r->connect_timeout_ms * 1000 - r->waited_us;
		if (r->deadline_us >= 0 && r->deadline_us < r->connect_by_us)
			r->connect_by_us = r->deadline_us > now_us ? r->deadline_us : now_us;
		r->connecting_ms = (r->connect_by_us - now_us) / 1000 + CURL_LATER_MS;
	}
	r->begin_by_us = -1;
	if (r->connection->multiplexed && r->connection->ntransfers == 1 && r->body_len > 0)
		r->begin_by_us = now_us + time_to_begin(r, now_us);
	r->waited_us = 0;
	r->slow_since_us = now_us;
	r->speed_at_us = now_us + speed_interval(r);
	r->moved = 0;
	note_next_look(r, now_us);
}

/*
 * Bytes of bodies.  What lies in our kernel has not moved yet; over HTTP/2 nobody
 * knows whose it is.
 */
static int64_t
moved(const Request *r)
{
	curl_off_t	sent = 0;
	curl_off_t	received = 0;
	int			unacknowledged = r->connection->multiplexed ? 0 :
		http_socket_unacknowledged(http_socket_used(r));

	curl_easy_getinfo(r->easy, CURLINFO_SIZE_UPLOAD_T, &sent);
	curl_easy_getinfo(r->easy, CURLINFO_SIZE_DOWNLOAD_T, &received);
	return sent + received - (unacknowledged > 0 ? unacknowledged : 0);
}

/* Has it been slow for too long? */
static bool
is_too_slow(Request *r, int64_t now_us)
{
	bool		connecting = r->connect_by_us >= 0;
	int64_t		bytes;

	if (r->least_speed == 0 || now_us < r->speed_at_us)
		return false;
	bytes = connecting ? 0 : moved(r);
	r->speed_at_us = now_us + speed_interval(r);
	if (connecting || (double) (bytes - r->moved) * LOOKS_AT_SPEED >=
		(double) r->least_speed * r->low_speed_s)
		r->slow_since_us = now_us;
	r->moved = bytes;
	return now_us - r->slow_since_us >= (int64_t) r->low_speed_s * 1000000;
}

const char *
http_time_is_up(Request *r, int64_t now_us)
{
	static char text[128];
	long long	took_ms = (now_us - r->started_us) / 1000;

	if (r->connect_by_us >= 0 && http_answer_was_connected(r))
		r->connect_by_us = -1;
	if (r->connect_by_us >= 0 && now_us >= r->connect_by_us)
		snprintf(text, sizeof(text), "Connection timed out after %lld milliseconds", took_ms);
	else if (r->deadline_us >= 0 && now_us >= r->deadline_us)
		snprintf(text, sizeof(text),
				 "Operation timed out after %lld milliseconds with %zu bytes received",
				 took_ms, r->body_seen);
	else if (is_too_slow(r, now_us))
		snprintf(text, sizeof(text),
				 "Operation too slow. Less than %d bytes/sec transferred the last %d seconds",
				 r->least_speed, r->low_speed_s);
	else
	{
		note_next_look(r, now_us);
		return NULL;
	}
	return text;
}

void
http_time_look_soon(Request *r, int64_t now_us)
{
	r->begin_by_us = now_us + time_to_begin(r, now_us);
	note_next_look(r, now_us);
}

bool
http_time_is_held(Request *r, int64_t now_us)
{
	curl_off_t	sent = 0;

	if (r->begin_by_us < 0 || now_us < r->begin_by_us)
		return false;
	r->begin_by_us = -1;
	if (r->head_bytes > 0)
		return http_answer_head_is_lost(r);
	curl_easy_getinfo(r->easy, CURLINFO_SIZE_UPLOAD_T, &sent);
	return r->body_len > 0 && sent == 0 && !r->opened && http_answer_was_connected(r);
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

void
http_time_give_back(Request *r, int64_t away_us, int64_t now_us)
{
	int64_t		lost_us = now_us - r->started_us < away_us ? now_us - r->started_us : away_us;
	bool		over = (r->deadline_us >= 0 && r->deadline_us + lost_us <= now_us) ||
		(r->connect_by_us >= 0 && r->connect_by_us + lost_us <= now_us);
	int64_t		beyond_us = 0;

	if (over && !r->spared)
	{
		beyond_us = now_us + (lost_us < SPARED_US ? lost_us : SPARED_US);
		r->spared = true;
	}
	move(&r->deadline_us, lost_us, beyond_us);
	move(&r->wait_until_us, lost_us, beyond_us);
	move(&r->waits_since_us, lost_us, 0);
	if (!r->in_multi)
		return;
	move(&r->connect_by_us, lost_us, beyond_us);
	move(&r->begin_by_us, lost_us, 0);
	r->slow_since_us += lost_us;
	r->speed_at_us += lost_us;
	r->look_at_us = now_us;
	if (r->connect_by_us >= 0)
	{
		r->connecting_ms += lost_us / 1000 + 1 + (beyond_us > 0 ? (beyond_us - now_us) / 1000 : 0);
		(void) curl_easy_setopt(r->easy, CURLOPT_CONNECTTIMEOUT_MS, (long) r->connecting_ms);
	}
}
