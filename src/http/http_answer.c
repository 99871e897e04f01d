/*-------------------------------------------------------------------------
 *
 * http_answer.c
 *		The HTTP room, what comes back: heads and bodies, and what an answer says
 *		when there is none.
 *
 * Whatever the other side sends is bounded here in size, and turned into an
 * HttpAnswer; http_result.c says what that is worth.  See transfer.h for the
 * rules of the room.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "http/ascii.h"
#include "http/http_answer.h"
#include "http/http_certificate.h"
#include "http/http_coding.h"
#include "http/http_curl.h"
#include "http/http_pool.h"
#include "http/http_socket.h"
#include "http/http_unasked.h"
#include "http/http_watch.h"
#include "http/poller.h"
#include "http/reserve.h"
#include "http/transfer.h"

/* What an answer may cost us before we stop listening to it. */
#define MAX_HEAD_BYTES		(256 * 1024)
#define MAX_HEAD_LINES		1000
#define MAX_UNWANTED_BYTES	(64 * 1024)
#define MAX_ERROR_BYTES		512

/* Of what comes to nothing: packed, or between chunks. */
#define MAX_WIRE_BYTES		(1024 * 1024)

/* Of what a proxy says before there is a way, which libcurl reads one byte after the other. */
#define MAX_PROXY_BYTES		(32 * 1024)

/*
 * It is looked at how much that is at one of so many calls of libcurl's, each of which reads
 * no more than its buffer has.  To ask takes system calls, and most answers are over before.
 */
#define PROGRESS_EACH		64

/* Of heads that libcurl did not read. */
#define MAX_OVERHEARD_BYTES	(16 * 1024)

/* An event of that size goes out in one piece. */
#define SMALL_EVENT			8192
#define MAX_RETRY_AFTER_S	((int64_t) 366 * 24 * 60 * 60)

/* Nothing came yet, or nothing that counts after a redirect. */
void
http_answer_begin(Transfer *t)
{
	uint64_t	tag = t->answer.tag;

	free(t->answer.body);
	reserve_free(t->location);
	t->location = NULL;
	memset(&t->answer, 0, sizeof(t->answer));
	t->answer.tag = tag;
	t->answer.retry_after_s = -1;
	t->body_size = t->body_seen = t->head_bytes = t->interim_bytes = 0;
	t->head_lines = t->codings = 0;
	t->nprogress = 0;
	t->wire_from = -1;
	t->costly = t->http2 = t->flooded = false;
	t->head_done = t->enough = t->again = t->location_lost = false;
	t->opened = t->reached = t->connected = t->early = t->barred = false;
	t->told_http1 = false;
	http_socket_drop_early(t);
	t->fd = t->missing = -1;
	t->vain = CURLE_OK;
	t->fault = NULL;
	t->lacking = t->overheard = 0;
	t->why[0] = t->curl_error[0] = '\0';
}

/* ---------------------------------------------------------------------
 * Heads
 * ---------------------------------------------------------------------
 */

/*
 * Retry-After holds seconds or a date.  libcurl's date parser takes nearly
 * anything for a date, but those of HTTP all begin with the day's name.
 */
static int64_t
parse_retry_after(const char *value, size_t len)
{
	char		text[64];
	int64_t		seconds = 0;
	bool		negative = false;

	if (len == 0 || len >= sizeof(text))
		return -1;
	memcpy(text, value, len);
	text[len] = '\0';

	if (ascii_is_letter(text[0]))
	{
		time_t		date = curl_getdate(text, NULL);

		if (date == (time_t) -1)
			return -1;
		seconds = (int64_t) date - (int64_t) time(NULL);
	}
	else
	{
		const char *c = text;

		if (*c == '-')
		{
			negative = true;
			c++;
		}
		if (*c == '\0')
			return -1;
		for (; *c != '\0'; c++)
		{
			if (!ascii_is_digit(*c))
				return -1;
			if (seconds < MAX_RETRY_AFTER_S)
				seconds = seconds * 10 + (*c - '0');
		}
	}

	if (negative || seconds < 0)
		return 0;
	return seconds < MAX_RETRY_AFTER_S ? seconds : MAX_RETRY_AFTER_S;
}

int
http_answer_status(const Transfer *t)
{
	long		status = t->overheard;

	if (status == 0)
		curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
	return (int) status;
}

bool
http_answer_is_sent(const Transfer *t)
{
	long		request_size = 0;
	curl_off_t	uploaded = 0;

	curl_easy_getinfo(t->easy, CURLINFO_REQUEST_SIZE, &request_size);
	curl_easy_getinfo(t->easy, CURLINFO_SIZE_UPLOAD_T, &uploaded);
	return request_size > 0 && (size_t) uploaded >= t->body_len;
}

bool
http_answer_is_success(int status)
{
	return status >= 200 && status <= 299;
}

/*
 * Was it answered before all of it had arrived?  Of a URL, which holds the event
 * where there is no body, libcurl does not tell how much it has sent.
 */
static bool
is_early(const Transfer *t)
{
	size_t		size = t->body != NULL ? t->body_len : strlen(t->url);

	return size > SMALL_EVENT &&
		(!http_answer_is_sent(t) || http_socket_arrival(t) != ARRIVED ||
		 (t->body == NULL && poller_wants_out(http_socket_used(t))));
}

/*
 * Where to is in the head.  The rest is only read for the sake of the connection,
 * if it comes soon.
 */
static bool
leads_elsewhere(const Transfer *t)
{
	return t->answer.status >= 300 && t->answer.status <= 399 && t->location != NULL;
}

/* A head is complete: that of the answer, unless it is an interim one. */
static bool
end_head(Transfer *t)
{
	int			status = http_answer_status(t);

	if (status < 200 && status != 101)
	{
		t->codings = 0;
		t->costly = false;
		t->answer.retry_after_s = -1;
		reserve_free(t->location);
		t->location = NULL;
		if (t->connection->multiplexed)
			t->interim_bytes = t->head_bytes;
		return true;
	}
	t->answer.status = status;
	t->head_done = true;
	if (t->opened)
		t->answer.certificate_ends_s = http_certificate_ends(t);
	if (leads_elsewhere(t))
	{
		t->enough = true;
		http_upwards.answered_early(t);
	}
	else if (t->connection->multiplexed)
	{
		if (!http_answer_is_sent(t))
			http_upwards.answered_early(t);
	}
	else
	{
		t->early = http_answer_is_success(status) && is_early(t);
		if (t->early)
			http_socket_keep_early(t);
	}

	/* What follows a 101 is another protocol, which we do not speak. */
	if (status == 101 || !http_coding_is_cheap(t))
	{
		t->answer.body_cut = status != 101;
		t->enough = true;
		return false;
	}
	return true;
}

/* Half of one is handed over, too, when the connection ends there. */
static bool
is_empty_line(const char *line, size_t len)
{
	return (len == 1 && line[0] == '\n') || (len == 2 && line[0] == '\r' && line[1] == '\n');
}

/* The value of the header called name, if this is one, and its length. */
static const char *
header_value(const char *line, size_t len, const char *name, size_t *value_len)
{
	size_t		name_len = strlen(name);
	const char *value = line + name_len + 1;
	const char *end = line + len;

	if (len <= name_len || line[name_len] != ':' || !ascii_begin_same(line, name, name_len))
		return NULL;
	while (value < end && ascii_is_space(*value))
		value++;
	while (end > value && ascii_is_space(end[-1]))
		end--;
	*value_len = end - value;
	return value;
}

/*
 * libcurl's own idea of where a redirect leads is lost when it comes before the
 * request was sent whole.
 */
static void
note_location(Transfer *t, const char *value, size_t len)
{
	if (t->location != NULL || t->hops_left <= 0 || len == 0)
		return;
	t->location = reserve_strndup(value, len);
	t->location_lost = t->location == NULL;
}

size_t
http_on_header(char *line, size_t one, size_t len, void *arg)
{
	Transfer   *t = arg;
	const char *value;
	size_t		value_len;

	(void) one;
	if (t->head_bytes == 0 && !t->opened && http_unasked_crossed(t))
	{
		t->again = true;
		return 0;
	}
	if (t->head_bytes == 0)
		http_socket_was_heard(http_socket_used(t)); /* libcurl may read unasked */
	t->head_bytes += len;
	http_watch_heard();
	if (t->head_bytes > MAX_HEAD_BYTES || ++t->head_lines > MAX_HEAD_LINES)
	{
		t->fault = "the answer has too many or too long headers";
		return 0;
	}
	if (t->head_done)
		return len;				/* a trailer */

	if ((value = header_value(line, len, "Retry-After", &value_len)) != NULL)
	{
		if (t->answer.retry_after_s < 0)
			t->answer.retry_after_s = parse_retry_after(value, value_len);
	}
	else if ((value = header_value(line, len, "Location", &value_len)) != NULL)
		note_location(t, value, value_len);
	else if ((value = header_value(line, len, "Content-Encoding", &value_len)) != NULL ||
			 (value = header_value(line, len, "Transfer-Encoding", &value_len)) != NULL)
		http_coding_note(t, value, value_len);
	else if (is_empty_line(line, len) && !end_head(t))
		return 0;
	return len;
}

/* Of a line that libcurl would take for a status; 0: it would not. */
static int
status_in(const char *line, size_t len)
{
	if (len < 13 || strncmp(line, "HTTP/1.", 7) != 0 || (line[7] != '0' && line[7] != '1') ||
		line[8] != ' ' || line[9] < '1' || line[9] > '9' ||
		!ascii_is_digit(line[10]) || !ascii_is_digit(line[11]) ||
		!ascii_is_space(line[12]))
		return 0;
	return (line[9] - '0') * 100 + (line[10] - '0') * 10 + line[11] - '0';
}

void
http_answer_overhear(Transfer *t)
{
	char		heads[MAX_OVERHEARD_BYTES];
	size_t		size = 0;
	ssize_t		got;
	bool		begins = true;
	size_t		len;

	if (t->early_fd < 0 || t->head_bytes > 0)
		return;
	while (size < sizeof(heads) &&
		   (got = recv(t->early_fd, heads + size, sizeof(heads) - size, MSG_DONTWAIT)) > 0)
		size += got;
	for (char *line = heads, *end; !t->head_done; line = end, size -= len)
	{
		end = memchr(line, '\n', size);
		if (end == NULL)
			return;
		len = ++end - line;
		if (begins && (t->overheard = status_in(line, len)) == 0)
			return;
		begins = is_empty_line(line, len);
		if (http_on_header(line, 1, len, t) != len)
			return;
	}
	t->answer.body_cut = true;
}

bool
http_answer_head_is_lost(const Transfer *t)
{
	return t->head_bytes > t->interim_bytes && !t->head_done && t->connection->multiplexed &&
		t->pool->loses;
}

/* ---------------------------------------------------------------------
 * Bodies
 * ---------------------------------------------------------------------
 */

void
http_answer_lose_body(Transfer *t, size_t len)
{
	HttpAnswer *answer = &t->answer;

	free(answer->body);
	answer->body = NULL;
	answer->body_len = t->body_size = 0;
	answer->body_lost = true;
	answer->lost_len = len;
}

/* False: there is no memory for it. */
static bool
make_room(Transfer *t, size_t len)
{
	HttpAnswer *answer = &t->answer;
	size_t		size = t->body_size ? t->body_size * 2 : 1024;
	char	   *more;

	if (answer->body_len + len <= t->body_size)
		return true;
	if (size < answer->body_len + len)
		size = answer->body_len + len;
	more = realloc(answer->body, size);
	if (more == NULL)
		return false;
	answer->body = more;
	t->body_size = size;
	return true;
}

/* No part of a body passes for the whole: what is not kept is counted. */
static void
keep_body(Transfer *t, const char *data, size_t len)
{
	HttpAnswer *answer = &t->answer;

	if (answer->body_lost || !make_room(t, len))
	{
		http_answer_lose_body(t, answer->lost_len + answer->body_len + len);
		return;
	}
	memcpy(answer->body + answer->body_len, data, len);
	answer->body_len += len;
}

/*
 * After the bytes to keep we read on for a while, since a connection can only
 * be used again when its answer was read to the end.  Whoever goes on beyond
 * that, an endless stream or a small body that unpacks to gigabytes, is
 * stopped, and judged by the status that it sent.
 */
size_t
http_on_body(char *data, size_t one, size_t len, void *arg)
{
	Transfer   *t = arg;
	size_t		room = t->response_limit - t->answer.body_len - t->answer.lost_len;
	size_t		kept = len < room ? len : room;

	(void) one;
	t->body_seen += len;
	http_watch_heard();
	if (kept > 0)
		keep_body(t, data, kept);
	t->answer.body_cut |= len > kept;
	if (t->body_seen > t->response_limit &&
		t->body_seen - t->response_limit > MAX_UNWANTED_BYTES)
	{
		t->enough = true;
		return 0;
	}
	return len;
}

/* How much has come for it since that was looked at first; of several requests, none is known. */
static bool
has_too_much(Transfer *t)
{
	int64_t		read;

	if (++t->nprogress % PROGRESS_EACH != 0 || t->connection == NULL || t->connection->multiplexed)
		return false;
	read = http_watch_read(http_socket_used(t));
	if (read < 0)
		return false;
	if (t->proxied && !t->connected && t->connect_by_us >= 0)
		return read > MAX_PROXY_BYTES;
	if (t->wire_from < 0 || t->wire_from > read)
		t->wire_from = read;
	return (uint64_t) (read - t->wire_from) > MAX_WIRE_BYTES + (uint64_t) t->response_limit;
}

/*
 * What unpacks to nothing, is no part of a body or of an answer, or comes from a proxy that
 * refuses, is bounded as well.
 */
bool
http_answer_goes_on(Transfer *t, curl_off_t packed)
{
	if (packed <= (curl_off_t) (t->response_limit + 2 * MAX_UNWANTED_BYTES) && !has_too_much(t))
		return true;
	if (t->head_done)
		t->enough = true;
	else if (t->fault == NULL)
		t->fault = http_sends_endlessly;
	return false;
}

/* ---------------------------------------------------------------------
 * No answer, and why
 * ---------------------------------------------------------------------
 */

/* How far it came, for people. */
static const char *
phase_name(HttpPhase phase)
{
	switch (phase)
	{
		case HTTP_PHASE_REFUSED:
		case HTTP_PHASE_DONE:
			break;
		case HTTP_PHASE_RESOLVE:
			return "resolving the name: ";
		case HTTP_PHASE_CONNECT:
			return "connecting: ";
		case HTTP_PHASE_TLS:
			return "TLS handshake: ";
		case HTTP_PHASE_SEND:
			return "sending: ";
		case HTTP_PHASE_WAIT:
			return "waiting for an answer: ";
		case HTTP_PHASE_RECEIVE:
			return "receiving the answer: ";
	}
	return "";
}

/* One line of printable ASCII, whatever the other side put into it. */
static char *
clean_error(HttpPhase phase, const char *text)
{
	const char *name = phase_name(phase);
	size_t		name_len = strlen(name);
	size_t		len = strlen(text);
	char	   *error;

	if (len > MAX_ERROR_BYTES)
		len = MAX_ERROR_BYTES;
	while (len > 0 && ascii_is_space(text[len - 1]))
		len--;
	error = reserve_malloc(name_len + len + 1);
	if (error == NULL)
		return http_no_memory;
	memcpy(error, name, name_len);
	for (size_t i = 0; i < len; i++)
	{
		unsigned char c = text[i];

		error[name_len + i] = c < ' ' ? ' ' : (c > '~' ? '?' : c);
	}
	error[name_len + len] = '\0';
	return error;
}

void
http_answer_failed(Transfer *t, HttpPhase phase, const char *error)
{
	t->answer.phase = phase;
	t->answer.error = clean_error(phase, error);
}

void
http_answer_not_tried(Transfer *t, bool refused, const char *error)
{
	t->answer.refused = refused;
	http_answer_failed(t, HTTP_PHASE_REFUSED, error);
}

void
http_answer_lacking(Transfer *t, const char *error)
{
	http_answer_not_tried(t, false, error);
	t->answer.lacking = true;
}

void
http_answer_unresolved(Transfer *t, const char *error, bool lacking)
{
	if (lacking)
		http_answer_lacking(t, error);
	else
		http_answer_failed(t, HTTP_PHASE_RESOLVE, error);
}
