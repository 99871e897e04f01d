/*-------------------------------------------------------------------------
 *
 * http_answer.c
 *		The HTTP room, what comes back: heads, bodies, and what to make of them.
 *
 * Whatever the other side sends is bounded here in size, and turned into an
 * HttpAnswer.  See transfer.h for the rules of the room.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/rand.h>

#include "http/http_answer.h"
#include "http/http_curl.h"
#include "http/http_pool.h"
#include "http/http_socket.h"
#include "http/http_unasked.h"
#include "http/poller.h"
#include "http/transfer.h"

/* What an answer may cost us before we stop listening to it. */
#define MAX_HEAD_BYTES		(256 * 1024)
#define MAX_HEAD_LINES		1000
#define MAX_UNWANTED_BYTES	(64 * 1024)
#define MAX_ERROR_BYTES		512

/* Of heads that libcurl did not read. */
#define MAX_OVERHEARD_BYTES	(16 * 1024)

/* An event of that size goes out in one piece. */
#define SMALL_EVENT			8192
#define MAX_RETRY_AFTER_S	((int64_t) 366 * 24 * 60 * 60)

static const char long_header[] = "the answer has a header that is too long";

/* Nothing came yet, or nothing that counts after a redirect. */
void
http_answer_begin(Transfer *t)
{
	uint64_t	tag = t->answer.tag;

	free(t->answer.body);
	free(t->location);
	t->location = NULL;
	memset(&t->answer, 0, sizeof(t->answer));
	t->answer.tag = tag;
	t->answer.retry_after_s = -1;
	t->body_size = t->body_seen = t->head_bytes = 0;
	t->head_lines = 0;
	t->head_done = t->enough = t->again = false;
	t->opened = t->connected = t->early = t->barred = false;
	http_socket_drop_early(t);
	t->fd = -1;
	t->fault = NULL;
	t->lacking = t->overheard = 0;
	t->why[0] = t->curl_error[0] = '\0';
}

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

	if (isalpha((unsigned char) text[0]))
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
			if (!isdigit((unsigned char) *c))
				return -1;
			if (seconds < MAX_RETRY_AFTER_S)
				seconds = seconds * 10 + (*c - '0');
		}
	}

	if (negative || seconds < 0)
		return 0;
	return seconds < MAX_RETRY_AFTER_S ? seconds : MAX_RETRY_AFTER_S;
}

/* libcurl's word on the last status line, since it reads them its own way. */
static int
status_of(const Transfer *t)
{
	long		status = t->overheard;

	if (status == 0)
		curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
	return (int) status;
}

/* Is all of the request with the kernel? */
static bool
is_sent(const Transfer *t)
{
	long		request_size = 0;
	curl_off_t	uploaded = 0;

	curl_easy_getinfo(t->easy, CURLINFO_REQUEST_SIZE, &request_size);
	curl_easy_getinfo(t->easy, CURLINFO_SIZE_UPLOAD_T, &uploaded);
	return request_size > 0 && (size_t) uploaded >= t->body_len;
}

static bool
is_http2(const Transfer *t)
{
	long		version = 0;

	curl_easy_getinfo(t->easy, CURLINFO_HTTP_VERSION, &version);
	return version >= CURL_HTTP_VERSION_2_0;
}

static bool
is_success(int status)
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
		(!is_sent(t) || http_socket_arrival(t) != ARRIVED ||
		 (t->body == NULL && poller_wants_out(http_socket_used(t))));
}

/* A head is complete: that of the answer, unless it is an interim one. */
static bool
end_head(Transfer *t)
{
	int			status = status_of(t);

	if (status < 200 && status != 101)
	{
		t->answer.retry_after_s = -1;
		free(t->location);
		t->location = NULL;
		return true;
	}
	t->answer.status = status;
	t->head_done = true;
	if (t->connection->multiplexed)
	{
		if (!is_sent(t))
			http_upwards.answered_early(t);
	}
	else
	{
		t->early = is_success(status) && is_early(t);
		if (t->early)
			http_socket_keep_early(t);
	}

	/* What follows a 101 is another protocol, which we do not speak. */
	t->enough = status == 101;
	return !t->enough;
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

	if (len <= name_len || line[name_len] != ':' || strncasecmp(line, name, name_len) != 0)
		return NULL;
	while (value < end && isspace((unsigned char) *value))
		value++;
	while (end > value && isspace((unsigned char) end[-1]))
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
	if (t->location == NULL && t->hops_left > 0 && len > 0)
		t->location = strndup(value, len);
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
	t->head_bytes += len;
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
		!isdigit((unsigned char) line[10]) || !isdigit((unsigned char) line[11]) ||
		!isspace((unsigned char) line[12]))
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

/* Keep the first response_limit bytes; false if there is no memory for them. */
static bool
keep_body(Transfer *t, const char *data, size_t len)
{
	HttpAnswer *answer = &t->answer;

	if (answer->body_len + len > t->body_size)
	{
		size_t		size = t->body_size ? t->body_size * 2 : 1024;
		char	   *more;

		if (size < answer->body_len + len)
			size = answer->body_len + len;
		more = realloc(answer->body, size);
		if (more == NULL)
			return false;
		answer->body = more;
		t->body_size = size;
	}
	memcpy(answer->body + answer->body_len, data, len);
	answer->body_len += len;
	return true;
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
	size_t		room = 0;

	(void) one;
	if (!t->answer.body_cut)
		room = t->response_limit - t->answer.body_len;
	t->body_seen += len;
	if (len > room || !keep_body(t, data, len))
	{
		if (room > 0 && len > room)
			(void) keep_body(t, data, room);
		t->answer.body_cut = true;
	}
	if (t->body_seen > t->response_limit &&
		t->body_seen - t->response_limit > MAX_UNWANTED_BYTES)
	{
		t->enough = true;
		return 0;
	}
	return len;
}

/* ---------------------------------------------------------------------
 * How far it came
 * ---------------------------------------------------------------------
 */

/* Bytes of it, or of what a proxy was asked for, went out. */
static bool
was_begun(const Transfer *t)
{
	long		request_size = 0;

	curl_easy_getinfo(t->easy, CURLINFO_REQUEST_SIZE, &request_size);
	return request_size > 0;
}

bool
http_answer_was_connected(const Transfer *t)
{
#if HTTP_TELLS_CONNECTED
	return t->connected;
#else
	return was_begun(t);
#endif
}

/* A proxy has not let it through to the receiver. */
static bool
waits_for_proxy(const Transfer *t)
{
	long		status = 0;

	curl_easy_getinfo(t->easy, CURLINFO_HTTP_CONNECTCODE, &status);
	return t->proxied && was_begun(t) && (status < 200 || status > 299);
}

/* Of a request that has no complete answer: by what happened to it. */
static HttpPhase
phase_reached(const Transfer *t, CURLcode result)
{
	curl_off_t	connected = 0;
	long		local_port = 0;

	if (t->head_bytes > 0 && status_of(t) > 0)
		return HTTP_PHASE_RECEIVE;
	if (http_answer_was_connected(t))
		return t->again || is_sent(t) ? HTTP_PHASE_WAIT : HTTP_PHASE_SEND;

	if (result == CURLE_COULDNT_RESOLVE_HOST || result == CURLE_COULDNT_RESOLVE_PROXY)
		return HTTP_PHASE_RESOLVE;
	if (result == CURLE_COULDNT_CONNECT || !t->opened || waits_for_proxy(t) ||
		strncasecmp(t->url, "https:", 6) != 0)
		return HTTP_PHASE_CONNECT;

	/* some versions note the time only when TLS is through, too */
	curl_easy_getinfo(t->easy, CURLINFO_CONNECT_TIME_T, &connected);
	curl_easy_getinfo(t->easy, CURLINFO_LOCAL_PORT, &local_port);
	return connected > 0 || local_port > 0 ? HTTP_PHASE_TLS : HTTP_PHASE_CONNECT;
}

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
	while (len > 0 && isspace((unsigned char) text[len - 1]))
		len--;
	error = malloc(name_len + len + 1);
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
http_answer_not_tried(Transfer *t, bool refused, const char *error)
{
	t->answer.phase = HTTP_PHASE_REFUSED;
	t->answer.refused = refused;
	t->answer.error = clean_error(HTTP_PHASE_REFUSED, error);
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
	{
		http_answer_lacking(t, error);
		return;
	}
	t->answer.phase = HTTP_PHASE_RESOLVE;
	t->answer.error = clean_error(HTTP_PHASE_RESOLVE, error);
}

/* ---------------------------------------------------------------------
 * What we lack
 * ---------------------------------------------------------------------
 */

/*
 * EADDRNOTAVAIL: all local ports to that address are taken; or we have no
 * address to go there from, as with IPv6 where there is none, which is no
 * passing lack of ours.  UDP has ports of its own, so it tells.
 */
static bool
lacks_ports(const Transfer *t)
{
	int			fd = socket(t->address.family, SOCK_DGRAM, 0);
	bool		reached;

	if (fd < 0)
		return false;
	reached = connect(fd, &t->address.addr, t->address.addrlen) == 0;
	close(fd);
	return reached;
}

/* NULL: nothing, so that it was an attempt. */
static const char *
lacked(const Transfer *t, CURLcode result)
{
	long		os_errno = 0;

	/* the only address that answers may be one that there was no socket for */
	if (t->lacking != 0 && phase_reached(t, result) == HTTP_PHASE_CONNECT)
		return t->lacking == EMFILE ? "too many open files" : strerror(t->lacking);
	switch (result)
	{
		case CURLE_OUT_OF_MEMORY:
			/* what a receiver can cause is not ours: that is what a long header is */
			return http_answer_was_connected(t) || was_begun(t) ? NULL : http_no_memory;
		case CURLE_FAILED_INIT:
		case CURLE_SSL_ENGINE_NOTFOUND:
		case CURLE_SSL_ENGINE_SETFAILED:
		case CURLE_SSL_ENGINE_INITFAILED:
			return curl_easy_strerror(result);
		case CURLE_SSL_CACERT_BADFILE:
			return http_pool_trusts_system(t) ? "the system's CA certificates cannot be read" : NULL;
		case CURLE_SSL_CONNECT_ERROR:
			return RAND_status() != 1 ? "no entropy for TLS" : NULL;
		case CURLE_COULDNT_CONNECT:
		case CURLE_SEND_ERROR:
		case CURLE_RECV_ERROR:
			break;
		default:
			return NULL;
	}
	curl_easy_getinfo(t->easy, CURLINFO_OS_ERRNO, &os_errno);
	switch (os_errno)
	{
		case EMFILE:
		case ENFILE:
			return "too many open files";
		case ENOMEM:
		case ENOBUFS:
			return strerror((int) os_errno);
		case EADDRNOTAVAIL:
			return lacks_ports(t) ? "no local port is free" : NULL;
		default:
			return NULL;
	}
}

/* ---------------------------------------------------------------------
 * The end
 * ---------------------------------------------------------------------
 */

bool
http_answer_blames_connection(CURLcode result)
{
	return result == CURLE_SEND_ERROR || result == CURLE_RECV_ERROR ||
		result == CURLE_GOT_NOTHING || result == CURLE_PARTIAL_FILE ||
		result == CURLE_HTTP2;
}

/*
 * Over HTTP/2, some versions of libcurl lose an answer when the stream is reset
 * together with it, or when another request on that connection reads it.
 */
static bool
may_be_lost(Transfer *t, CURLcode result)
{
	return (result == CURLE_HTTP2_STREAM || result == CURLE_GOT_NOTHING) &&
		(t->repeats < HTTP_MAX_REPEATS || http_pool_give_up_http2(t));
}

/*
 * Over HTTP/2, these versions also lose a head that is longer than their buffer,
 * or half of it, and take what is left for HTTP/0.9.
 */
static bool
head_is_lost(const Transfer *t, CURLcode result)
{
	return result == CURLE_UNSUPPORTED_PROTOCOL && t->connection->multiplexed;
}

bool
http_answer_head_is_lost(const Transfer *t)
{
	return t->head_bytes > 0 && !t->head_done && t->connection->multiplexed &&
		http_pool_speaks_http1(t);
}

/* The receiver does not speak HTTP/1.1, which it was spoken to by for our sake. */
static bool
needs_http2(const Transfer *t, CURLcode result)
{
	return result == CURLE_SSL_CONNECT_ERROR && t->http1 && !http_answer_was_connected(t);
}

bool
http_answer_wants_repeat(Transfer *t, CURLcode result, int64_t now_us)
{
	if (t->deadline_us >= 0 && now_us >= t->deadline_us)
		return false;
	if (t->again)
		return t->fault == NULL || t->repeats < HTTP_MAX_REPEATS;
	if (t->barred || t->fault != NULL || t->head_bytes > 0)
		return false;
	if (head_is_lost(t, result))
	{
		if (http_pool_give_up_http2(t))
			return true;
		t->fault = long_header;
		return false;
	}
	if (needs_http2(t, result))
	{
		http_pool_needs_http2(t);
		return true;
	}
	if (t->opened && t->connection->ncarried == 1)
		return t->connection->multiplexed &&
			(may_be_lost(t, result) || (result == CURLE_HTTP2 && t->repeats < HTTP_MAX_REPEATS));
	return http_answer_blames_connection(result) || result == CURLE_HTTP2_STREAM;
}

/* The proxy speaks, and not the receiver; with TLS only libcurl hears it. */
static bool
proxy_refused(const Transfer *t)
{
	long		status = t->answer.status;

	if (!t->proxied)
		return false;
	if (!t->head_done)
		curl_easy_getinfo(t->easy, CURLINFO_HTTP_CONNECTCODE, &status);
	return status == 407;
}

/*
 * Is the head that came all there is to know, whatever became of the rest?
 *
 * Over HTTP/2 an answer names its request, and a receiver that does not need
 * the rest of that answers and then resets the stream (RFC 9113, 8.1).  It may
 * also leave it at that, and then libcurl does not tell whether the answer has
 * ended; so neither does it matter when the time is up after the head.  Over
 * HTTP/1.1 one that is no success may come as early, and how much was sent by
 * then is a matter of chance; a success means that the receiver has the event.
 */
static bool
head_is_enough(const Transfer *t, CURLcode result)
{
	if (t->enough)
		return true;
	if (result == CURLE_OK || !t->head_done)
		return false;
	if (is_http2(t))
		return http_answer_blames_connection(result) || result == CURLE_HTTP2_STREAM ||
			result == CURLE_OPERATION_TIMEDOUT;
	return http_answer_blames_connection(result) && !is_success(t->answer.status);
}

bool
http_answer_is_whole(const Transfer *t, CURLcode result)
{
	return (result == CURLE_OK && t->head_done) || head_is_enough(t, result);
}

bool
http_answer_is_early(const Transfer *t, CURLcode result)
{
	return t->early && is_sent(t) &&
		(result == CURLE_OK || result == CURLE_BAD_CONTENT_ENCODING || t->enough);
}

void
http_answer_refute(Transfer *t)
{
	if (t->fault == NULL)
		t->fault = "the answer came before the request was sent";
}

/* A success for what was not sent is none. */
static bool
is_premature(const Transfer *t)
{
	return t->head_done && is_success(t->answer.status) && !is_sent(t) && !is_http2(t);
}

/*
 * A body that cannot be unpacked does not take back the status: asking again
 * would deliver the event twice for the sake of a courtesy.  Some ways to pack
 * one are refused as soon as they are named, before the head is complete.
 */
static void
accept_undecodable(Transfer *t)
{
	int			status = status_of(t);

	if (status < 200)
		return;
	t->answer.status = status;
	t->answer.body_cut = true;
	t->head_done = t->enough = true;
}

static const char *
error_of(const Transfer *t, CURLcode result)
{
	if (t->fault)
		return t->fault;
	if (result == CURLE_OK)
		return "the connection ended before a final answer";
	if (result == CURLE_OUT_OF_MEMORY)
		return long_header;
	if (result == CURLE_HTTP2 && t->curl_error[0] == '\0')
		return http_not_taken;
	return t->curl_error[0] != '\0' ? t->curl_error : curl_easy_strerror(result);
}

void
http_answer_judge(Transfer *t, CURLcode result)
{
	HttpAnswer *answer = &t->answer;
	const char *lack;
	bool		refused;
	long		request_size = 0;

	if (result == CURLE_BAD_CONTENT_ENCODING)
		accept_undecodable(t);
	refused = proxy_refused(t);
	if (refused)
	{
		answer->status = 0;
		t->fault = "the proxy wants other credentials (HTTP status 407)";
	}
	else if (is_premature(t) || (t->early && result == CURLE_SEND_ERROR))
		http_answer_refute(t);

	if (t->fault == NULL && http_answer_is_whole(t, result))
	{
		answer->answered = true;
		answer->body_cut |= result != CURLE_OK;
		answer->phase = HTTP_PHASE_DONE;
		return;
	}

	lack = t->fault == NULL && !t->barred ? lacked(t, result) : NULL;
	if (lack != NULL)
	{
		http_answer_lacking(t, lack);
		return;
	}

	/* libcurl has the same errors for a bad URL and for a bad answer. */
	curl_easy_getinfo(t->easy, CURLINFO_REQUEST_SIZE, &request_size);

	/* Another address of the same name may have been allowed, and failed. */
	if (t->barred && !t->opened && !t->head_done)
		http_answer_not_tried(t, true, t->why);
	else if (request_size == 0 &&
			 (result == CURLE_URL_MALFORMAT || result == CURLE_UNSUPPORTED_PROTOCOL))
		http_answer_not_tried(t, true, error_of(t, result));
	else
	{
		answer->phase = phase_reached(t, result);
		if (answer->status == 0 && answer->phase == HTTP_PHASE_RECEIVE && !refused &&
			status_of(t) >= 200)
			answer->status = status_of(t);	/* of half a head, to be seen */
		answer->error = clean_error(answer->phase, error_of(t, result));
	}
}
