/*-------------------------------------------------------------------------
 *
 * http_time.c
 *		The HTTP room, the time that a request may take.
 *
 * libcurl's own limits are not used: it judges them before it reads what lies in
 * its sockets, and counts the time in which nobody could call it.  Here a limit
 * is judged by the time at which all sockets were asked what they hold, once that
 * has been read, and time that passes while the room cannot run (a lock, a standby,
 * a process that is stopped, in the middle of its work, too) is given back.
 *
 * That is known from looking at each request several times in the time that it
 * has: of what passes until a look that comes late, it is charged with what was to
 * pass, and with no more than half of what it has left.  So no look that is late
 * ends a request, and each one brings it nearer to its end.
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

/* While its connection is set up, other addresses of its name may come. */
#define SETTING_UP_US		(250 * 1000)

/* Looks at a request in the shortest of its limits, but no more often than that. */
#define LOOKS				16

/* Whoever is away for so many of them was not busy, but stopped or locked out. */
#define LONG_AWAY			4
#define LEAST_TICK_US		(10 * 1000)

/* What is not halved any more. */
#define LEAST_LEFT_US		1000

/* A request on a connection that was kept, and that nobody else used, is out by then. */
#define BEGIN_US			(1000 * 1000)

/* Its connection may have something of its own to say, but not so many bytes. */
#define LEAST_REQUEST		64

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
	t->connect_by_us = t->begin_by_us = -1;
	t->timeout_ms = request->timeout_ms;
	t->connect_timeout_ms = request->connect_timeout_ms;
	t->seen_us = now_us;
	t->lost_us = 0;

	/* where the whole attempt has less time, it is of no use */
	t->least_speed = request->low_speed_limit;
	t->low_speed_s = request->low_speed_time_s;
	if (request->timeout_ms > 0 &&
		request->timeout_ms <= (int64_t) request->low_speed_time_s * 1000)
		t->least_speed = 0;
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
	t->begin_by_us = t->written_before = -1;
	if (t->connection->multiplexed && t->connection->ntransfers == 1 && t->body_len > 0)
		t->begin_by_us = now_us + time_to_begin(t, now_us);
	t->waited_us = 0;
	t->slow_since_us = now_us;
	t->speed_at_us = now_us + speed_interval(t);
	t->moved = 0;
	t->away = false;
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

static void
note_connected(Transfer *t)
{
	if (t->in_multi && t->connect_by_us >= 0 && http_result_was_connected(t))
		t->connect_by_us = -1;
}

const char *
http_time_is_up(Transfer *t, int64_t now_us)
{
	static char text[128];
	long long	took_ms = (now_us - t->started_us) / 1000;

	note_connected(t);
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

/*
 * Has anything of it gone out?  Some versions of libcurl count what they only keep,
 * for a stream that the receiver does not let them open.
 */
static bool
has_begun(const Transfer *t)
{
	curl_off_t	sent = 0;
	int64_t		written = http_socket_sent(http_socket_used(t));
	int64_t		least = t->body_len < LEAST_REQUEST ? (int64_t) t->body_len : LEAST_REQUEST;

	curl_easy_getinfo(t->easy, CURLINFO_SIZE_UPLOAD_T, &sent);
	return sent > 0 && (written < 0 || t->written_before < 0 || written - t->written_before >= least);
}

bool
http_time_is_stalled(Transfer *t, int64_t now_us)
{
	if (t->begin_by_us < 0 || now_us < t->begin_by_us)
		return false;
	t->begin_by_us = -1;
	if (t->head_bytes > 0)
		return http_answer_head_is_lost(t);
	return t->body_len > 0 && !t->opened && http_result_was_connected(t) && !has_begun(t);
}

/* How much may pass until it is looked at again. */
static int64_t
tick(const Transfer *t)
{
	int64_t		limit_ms = t->timeout_ms > 0 ? t->timeout_ms : INT32_MAX;
	int64_t		tick_us;

	if ((!t->in_multi || t->connect_by_us >= 0) && t->connect_timeout_ms < limit_ms)
		limit_ms = t->connect_timeout_ms;
	if (t->least_speed > 0 && (int64_t) t->low_speed_s * 1000 < limit_ms)
		limit_ms = (int64_t) t->low_speed_s * 1000;
	tick_us = limit_ms * 1000 / LOOKS;
	return tick_us > LEAST_TICK_US ? tick_us : LEAST_TICK_US;
}

/* What it is charged with when it is looked at late. */
static int64_t
charge(const Transfer *t, int64_t tick_us)
{
	int64_t		until_us = t->in_multi ? sooner(t->deadline_us, t->connect_by_us) : t->deadline_us;
	int64_t		left_us = until_us - t->seen_us;

	if (until_us < 0)
		return tick_us;
	if (left_us > LEAST_LEFT_US)
		left_us /= 2;
	return left_us < 0 ? 0 : left_us < tick_us ? left_us : tick_us;
}

/* Move a time by so much, unless there is none. */
static void
move(int64_t *time_us, int64_t by_us)
{
	if (*time_us >= 0 && *time_us != INT64_MAX)
		*time_us += by_us;
}

/*
 * Of the time that has passed, what was not its own.  Where the process is busy all the time,
 * with others or with this one, every look is a little late: then it has a part of that
 * only, or its time would never be over.
 */
static int64_t
lost(Transfer *t, int64_t passed_us, int64_t tick_us)
{
	int64_t		lost_us = passed_us - charge(t, tick_us);
	int64_t		left_us = LOOKS / 4 * tick_us - t->lost_us;

	if (passed_us >= LONG_AWAY * tick_us)
		return lost_us;
	if (lost_us > left_us)
		lost_us = left_us > 0 ? left_us : 0;
	t->lost_us += lost_us;
	return lost_us;
}

static void
give_back(Transfer *t, int64_t passed_us, int64_t lost_us, int64_t now_us)
{
	move(&t->deadline_us, lost_us);
	move(&t->wait_until_us, lost_us);
	move(&t->waits_since_us, lost_us);
	if (!t->in_multi)
		return;
	t->away = true;
	move(&t->connect_by_us, lost_us);
	move(&t->begin_by_us, passed_us);	/* a second, which is less than some ticks */
	t->slow_since_us += lost_us;
	t->speed_at_us += lost_us;
	note_next_look(t, now_us);
	if (t->connect_by_us >= 0)
	{
		t->connecting_ms += lost_us / 1000 + 1;
		(void) curl_easy_setopt(t->easy, CURLOPT_CONNECTTIMEOUT_MS, (long) t->connecting_ms);
	}
}

/* What was given back stays so. */
static void
limit(int *limit_ms, int64_t *until_us, int ms)
{
	if (ms >= *limit_ms)
		return;
	if (*until_us >= 0)
	{
		*until_us -= (int64_t) (*limit_ms - ms) * 1000;
		if (*until_us < 0)
			*until_us = 0;
	}
	*limit_ms = ms;
}

void
http_time_limit(Transfer *t, int connect_timeout_ms, int timeout_ms)
{
	limit(&t->connect_timeout_ms, &t->connect_by_us, connect_timeout_ms);
	limit(&t->timeout_ms, &t->deadline_us, timeout_ms);
}

int64_t
http_time_look(Transfer *t, int64_t now_us)
{
	int64_t		passed_us = now_us - t->seen_us;
	int64_t		tick_us;

	note_connected(t);
	tick_us = tick(t);
	if (passed_us >= tick_us + HTTP_LATE_US)
		give_back(t, passed_us, lost(t, passed_us, tick_us), now_us);
	if (passed_us > 0)
		t->seen_us = now_us;
	return t->seen_us + tick_us;
}
