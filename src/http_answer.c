/*-------------------------------------------------------------------------
 *
 * http_answer.c
 *		The HTTP room, what comes back: heads, bodies, and what to make of them.
 *
 * Whatever the other side sends is bounded here in size, and turned into an
 * HttpAnswer.  See http_private.h for the rules of the room.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "http_private.h"

/* What an answer may cost us before we stop listening to it. */
#define MAX_HEAD_BYTES		(256 * 1024)
#define MAX_HEAD_LINES		1000
#define MAX_UNWANTED_BYTES	(64 * 1024)
#define MAX_ERROR_BYTES		512
#define MAX_RETRY_AFTER_S	((int64_t) 366 * 24 * 60 * 60)

char http_no_memory[] = "out of memory";

/* Nothing came yet, or nothing that counts after a redirect. */
void
http_answer_begin(Request *r)
{
	uint64_t	tag = r->answer.tag;

	free(r->answer.body);
	memset(&r->answer, 0, sizeof(r->answer));
	r->answer.tag = tag;
	r->answer.retry_after_s = -1;
	r->body_size = r->body_seen = r->head_bytes = 0;
	r->head_lines = 0;
	r->head_done = r->enough = r->opened = r->crowded = r->barred = false;
	r->why[0] = r->curl_error[0] = '\0';
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

/* "HTTP/1.1 200 OK" or "HTTP/2 200" begins a head, final or not. */
static void
begin_head(Request *r, const char *line, size_t len)
{
	const char *space = memchr(line, ' ', len);
	int			status = 0;

	r->answer.retry_after_s = -1;
	if (space == NULL)
		return;
	for (const char *c = space + 1; c < line + len && c <= space + 3; c++)
	{
		if (!isdigit((unsigned char) *c))
			break;
		status = status * 10 + (*c - '0');
	}
	if (status >= 200 || status == 101)
		r->answer.status = status;
}

size_t
http_on_header(char *line, size_t one, size_t len, void *arg)
{
	static const char retry_after[] = "retry-after:";
	const size_t name_len = sizeof(retry_after) - 1;
	Request    *r = arg;

	(void) one;
	r->head_bytes += len;
	if (r->head_bytes > MAX_HEAD_BYTES || ++r->head_lines > MAX_HEAD_LINES)
	{
		r->fault = "the answer has too many or too long headers";
		return 0;
	}
	if (r->head_done)
		return len;				/* a trailer */

	if (len >= 5 && memcmp(line, "HTTP/", 5) == 0)
		begin_head(r, line, len);
	else if (len > name_len && strncasecmp(line, retry_after, name_len) == 0)
	{
		const char *value = line + name_len;
		const char *end = line + len;

		while (value < end && isspace((unsigned char) *value))
			value++;
		while (end > value && isspace((unsigned char) end[-1]))
			end--;
		if (r->answer.retry_after_s < 0)
			r->answer.retry_after_s = parse_retry_after(value, end - value);
	}
	else if (line[0] == '\r' || line[0] == '\n')
	{
		r->head_done = (r->answer.status != 0);

		/* What follows a 101 is another protocol, which we do not speak. */
		if (r->answer.status == 101)
		{
			r->enough = true;
			return 0;
		}
	}
	return len;
}

/* Keep the first response_limit bytes; false if there is no memory for them. */
static bool
keep_body(Request *r, const char *data, size_t len)
{
	HttpAnswer *answer = &r->answer;

	if (answer->body_len + len > r->body_size)
	{
		size_t		size = r->body_size ? r->body_size * 2 : 1024;
		char	   *more;

		if (size < answer->body_len + len)
			size = answer->body_len + len;
		more = realloc(answer->body, size);
		if (more == NULL)
			return false;
		answer->body = more;
		r->body_size = size;
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
	Request    *r = arg;
	size_t		room = 0;

	(void) one;
	if (!r->answer.body_cut)
		room = r->response_limit - r->answer.body_len;
	r->body_seen += len;
	if (len > room || !keep_body(r, data, len))
	{
		if (room > 0 && len > room)
			(void) keep_body(r, data, room);
		r->answer.body_cut = true;
	}
	if (r->body_seen > r->response_limit &&
		r->body_seen - r->response_limit > MAX_UNWANTED_BYTES)
	{
		r->enough = true;
		return 0;
	}
	return len;
}

/* How far a request came that has no complete answer. */
static HttpPhase
phase_reached(Request *r, CURLcode result)
{
	curl_off_t	resolved = 0;
	curl_off_t	connected = 0;
	long		local_port = 0;
	curl_off_t	secured = 0;
	curl_off_t	uploaded = 0;
	long		request_size = 0;

	if (r->answer.status != 0)
		return HTTP_PHASE_RECEIVE;
	switch (result)
	{
		case CURLE_COULDNT_RESOLVE_HOST:
		case CURLE_COULDNT_RESOLVE_PROXY:
			return HTTP_PHASE_RESOLVE;
		case CURLE_COULDNT_CONNECT:
			return HTTP_PHASE_CONNECT;
		case CURLE_SSL_CONNECT_ERROR:
		case CURLE_SSL_CERTPROBLEM:
		case CURLE_SSL_CIPHER:
		case CURLE_SSL_CACERT_BADFILE:
		case CURLE_SSL_ISSUER_ERROR:
		case CURLE_SSL_CRL_BADFILE:
		case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
		case CURLE_SSL_INVALIDCERTSTATUS:
		case CURLE_PEER_FAILED_VERIFICATION:
			return HTTP_PHASE_TLS;
		default:
			break;
	}

	curl_easy_getinfo(r->easy, CURLINFO_REQUEST_SIZE, &request_size);
	curl_easy_getinfo(r->easy, CURLINFO_SIZE_UPLOAD_T, &uploaded);
	if (request_size > 0)
		return (size_t) uploaded < r->body_len ? HTTP_PHASE_SEND : HTTP_PHASE_WAIT;

	curl_easy_getinfo(r->easy, CURLINFO_APPCONNECT_TIME_T, &secured);
	curl_easy_getinfo(r->easy, CURLINFO_CONNECT_TIME_T, &connected);
	curl_easy_getinfo(r->easy, CURLINFO_LOCAL_PORT, &local_port);
	curl_easy_getinfo(r->easy, CURLINFO_NAMELOOKUP_TIME_T, &resolved);
	if (secured > 0)
		return HTTP_PHASE_SEND;

	/* some versions note the time only when TLS is through, too */
	if (connected > 0 || local_port > 0)
		return strncasecmp(r->url, "https:", 6) == 0 ? HTTP_PHASE_TLS : HTTP_PHASE_SEND;
	return resolved > 0 ? HTTP_PHASE_CONNECT : HTTP_PHASE_RESOLVE;
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
http_answer_not_tried(Request *r, bool refused, const char *error)
{
	r->answer.phase = HTTP_PHASE_REFUSED;
	r->answer.refused = refused;
	r->answer.error = clean_error(HTTP_PHASE_REFUSED, error);
}

void
http_answer_judge(Request *r, CURLcode result)
{
	HttpAnswer *answer = &r->answer;
	const char *error = r->curl_error;
	long		request_size = 0;

	/*
	 * A body that cannot be unpacked does not take back the status: asking
	 * again would deliver the event twice for the sake of a courtesy.
	 */
	if (result == CURLE_BAD_CONTENT_ENCODING && r->head_done)
	{
		answer->body_cut = true;
		r->enough = true;
	}
	if (answer->status == 101)
		r->enough = true;

	if (r->fault == NULL && (r->enough || (result == CURLE_OK && answer->status != 0)))
	{
		answer->answered = true;
		answer->phase = HTTP_PHASE_DONE;
		return;
	}

	if (r->fault)
		error = r->fault;
	else if (r->crowded && !r->opened)
		error = "too many open files";
	else if (result == CURLE_OK)
		error = "the connection ended before a final answer";
	else if (result == CURLE_OUT_OF_MEMORY && r->head_lines > 0 && !r->head_done)
		error = "the answer has a header that is too long";
	else if (error[0] == '\0')
		error = curl_easy_strerror(result);

	/* libcurl has the same errors for a bad URL and for a bad answer. */
	curl_easy_getinfo(r->easy, CURLINFO_REQUEST_SIZE, &request_size);

	/* Another address of the same name may have been allowed, and failed. */
	if (r->barred && !r->opened && answer->status == 0)
		http_answer_not_tried(r, true, r->why);
	else if (request_size == 0 &&
			 (result == CURLE_URL_MALFORMAT || result == CURLE_UNSUPPORTED_PROTOCOL))
		http_answer_not_tried(r, true, error);
	else
	{
		answer->phase = phase_reached(r, result);
		answer->error = clean_error(answer->phase, error);
	}
}
