/*-------------------------------------------------------------------------
 *
 * http_result.c
 *		The HTTP room, what a request came to: how far it got, whether it is to be
 *		sent again, and what libcurl's result and an answer are worth together.
 *
 * See transfer.h for the rules of the room.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <string.h>

#include <openssl/rand.h>

#include "http/ascii.h"
#include "http/http_answer.h"
#include "http/http_curl.h"
#include "http/http_dns_socket.h"
#include "http/http_fair.h"
#include "http/http_pool.h"
#include "http/http_result.h"
#include "http/http_socket.h"
#include "http/poller.h"
#include "http/transfer.h"

static const char long_header[] = "the answer has a header that is too long";

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

/* What it took to get a connection is no affair of who answers, and may be ours. */
static int64_t
waited(const Transfer *t)
{
	curl_off_t	asked = 0;
	curl_off_t	answered = 0;

	curl_easy_getinfo(t->easy, CURLINFO_PRETRANSFER_TIME_T, &asked);
	curl_easy_getinfo(t->easy, CURLINFO_STARTTRANSFER_TIME_T, &answered);
	return answered > asked ? answered - asked : 0;
}

bool
http_result_was_connected(const Transfer *t)
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

/* As TLS fails, or with the time that it takes. */
static bool
may_be_of_tls(CURLcode result)
{
	switch (result)
	{
		case CURLE_SSL_CONNECT_ERROR:
		case CURLE_SSL_CERTPROBLEM:
		case CURLE_SSL_CIPHER:
		case CURLE_PEER_FAILED_VERIFICATION:
		case CURLE_SSL_CACERT_BADFILE:
		case CURLE_SSL_INVALIDCERTSTATUS:
		case CURLE_OPERATION_TIMEDOUT:
			return true;
		default:
			return false;
	}
}

/* The proxy's answer, whatever its status, has not come to its end. */
static bool
failed_at_proxy(const Transfer *t, CURLcode result)
{
	return t->proxied && !may_be_of_tls(result);
}

/* Of a request that has no complete answer: by what happened to it. */
static HttpPhase
phase_reached(const Transfer *t, CURLcode result)
{
	curl_off_t	connected = 0;
	long		local_port = 0;

	if (t->head_bytes > 0 && http_answer_status(t) >= 200)
		return HTTP_PHASE_RECEIVE;
	if (http_result_was_connected(t))
		return t->again || http_answer_is_sent(t) ? HTTP_PHASE_WAIT : HTTP_PHASE_SEND;

	if (result == CURLE_COULDNT_RESOLVE_HOST || result == CURLE_COULDNT_RESOLVE_PROXY)
		return HTTP_PHASE_RESOLVE;
	if (result == CURLE_COULDNT_CONNECT || !t->opened || waits_for_proxy(t) ||
		failed_at_proxy(t, result) || !ascii_begin_same(t->url, "https:", 6))
		return HTTP_PHASE_CONNECT;

	/* some versions know a local port before there is a connection ... */
	if (result == CURLE_OPERATION_TIMEDOUT)
		return t->reached ? HTTP_PHASE_TLS : HTTP_PHASE_CONNECT;

	/* ... and some note the time only when TLS is through, too */
	curl_easy_getinfo(t->easy, CURLINFO_CONNECT_TIME_T, &connected);
	curl_easy_getinfo(t->easy, CURLINFO_LOCAL_PORT, &local_port);
	return connected > 0 || local_port > 0 ? HTTP_PHASE_TLS : HTTP_PHASE_CONNECT;
}

HttpPhase
http_result_phase(const Transfer *t)
{
	return phase_reached(t, CURLE_OK);
}

/* ---------------------------------------------------------------------
 * What we lack
 * ---------------------------------------------------------------------
 */

/*
 * libcurl has no result of its own for memory that TLS or HTTP/2 asked for, and the
 * one for its own is also what a header is that is longer than it takes: once the
 * request was connected, only a look at what there is can tell.
 */
static bool
ran_out(const Transfer *t, CURLcode result)
{
	switch (result)
	{
		case CURLE_OUT_OF_MEMORY:
			return !(http_result_was_connected(t) || was_begun(t)) || http_curl_lacks_memory();
		case CURLE_SSL_CONNECT_ERROR:
		case CURLE_SSL_CERTPROBLEM:
		case CURLE_PEER_FAILED_VERIFICATION:
		case CURLE_SEND_ERROR:
		case CURLE_RECV_ERROR:
		case CURLE_HTTP2:
		case CURLE_HTTP2_STREAM:
			return http_curl_lacks_memory();
		default:
			return false;
	}
}

/* NULL: nothing, so that it was an attempt.  starved: it ran out of memory. */
static const char *
lacked(const Transfer *t, CURLcode result, bool starved)
{
	long		os_errno = 0;

	/* the only address that answers may be one that there was no socket for */
	if (t->lacking != 0 && phase_reached(t, result) == HTTP_PHASE_CONNECT)
		return t->lacking == EMFILE ? "too many open files" : strerror(t->lacking);
	if (starved && !http_answer_is_sent(t))
		return http_no_memory;
	switch (result)
	{
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

			/*
			 * All local ports to that address are taken; or we have no address to go
			 * there from, as with IPv6 where there is none, which is no passing lack
			 * of ours.
			 */
			return http_dns_is_reachable(&t->address.addr, t->address.addrlen) ?
				"no local port is free" : NULL;
		default:
			return NULL;
	}
}

/* ---------------------------------------------------------------------
 * Once more
 * ---------------------------------------------------------------------
 */

CURLcode
http_result_of(const Transfer *t, CURLcode result)
{
	bool		ours = t->enough || t->again || t->fault != NULL;

	return result == CURLE_WRITE_ERROR && t->head_done && t->codings > 0 && !ours ?
		CURLE_BAD_CONTENT_ENCODING : result;
}

bool
http_result_blames_connection(CURLcode result)
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
		(t->repeats < HTTP_MAX_REPEATS ||
		 http_pool_lost_answer(t));
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

/*
 * The receiver does not speak HTTP/1.1, which it was spoken to by for our sake:
 * there is no connection, what comes on it is HTTP/2 all the same, or it ends without a
 * byte, and TLS has not said that it does.
 */
static bool
needs_http2(const Transfer *t, CURLcode result)
{
	return t->http1 && (result == CURLE_UNSUPPORTED_PROTOCOL ||
						(result == CURLE_SSL_CONNECT_ERROR && !http_result_was_connected(t)) ||
						(t->opened && t->connection->unnamed &&
						 http_result_blames_connection(result)));
}

/* Its stream was, after an interim answer: then libcurl does not send it again. */
static bool
was_refused(const Transfer *t, CURLcode result)
{
	return t->http2 && t->interim_bytes > 0 && result == CURLE_RECV_ERROR &&
		t->curl_error[0] == '\0';
}

/*
 * A receiver that takes nothing over HTTP/2 may have said that it wants HTTP/1.1 as it
 * ended the connection, of which libcurl does not tell.
 */
static bool
may_take_http1(Transfer *t)
{
	return t->connection->multiplexed && http_pool_try_http1(t);
}

/* libcurl from 8.19 on resets what a GOAWAY has not taken, and tells of that. */
static bool
was_given_up(const Transfer *t, CURLcode result)
{
	return t->http2 && result == CURLE_HTTP2_STREAM &&
		strstr(t->curl_error, " reset by curl ") != NULL;
}

bool
http_result_wants_repeat(Transfer *t, CURLcode result, int64_t now_us)
{
	http_socket_judge_flood(t);
	if (t->deadline_us >= 0 && now_us >= t->deadline_us)
		return false;
	if (t->again)
		return t->fault == NULL || t->repeats < HTTP_MAX_REPEATS || may_take_http1(t);
	if (t->barred || t->fault != NULL || t->head_bytes > t->interim_bytes)
		return false;
	if (result == CURLE_OPERATION_TIMEDOUT && t->away && t->connect_by_us > now_us)
		return true;			/* libcurl counts the time that we were away */
	if (head_is_lost(t, result))
	{
		if (http_pool_lost_answer(t))
			return true;
		t->fault = long_header;
		return false;
	}
	if (needs_http2(t, result) && t->repeats < HTTP_MAX_TURNS)
	{
		http_pool_needs_http2(t);
		return true;
	}
	if (t->opened && t->connection->ncarried == 1)
		return t->connection->multiplexed &&
			(may_be_lost(t, result) ||
			 ((result == CURLE_HTTP2 || was_refused(t, result)) &&
			  (t->repeats < HTTP_MAX_REPEATS || may_take_http1(t))));
	return http_result_blames_connection(result) || result == CURLE_HTTP2_STREAM;
}

bool
http_result_wants_rest(const Transfer *t, CURLcode result)
{
	return t->missing >= 0 && t->fault == NULL && !was_begun(t) &&
		(result == CURLE_COULDNT_CONNECT || result == CURLE_OPERATION_TIMEDOUT) &&
		phase_reached(t, result) == HTTP_PHASE_CONNECT;
}

/* ---------------------------------------------------------------------
 * The end
 * ---------------------------------------------------------------------
 */

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
 * HTTP/1.1 a refusal may come as early, and how much was sent by then is a matter
 * of chance; nor does the rest of it change what it says.  A success means that
 * the receiver has the event, and one that breaks off is how HTTP/1.1 says that
 * something went wrong after the head.
 */
static bool
head_is_enough(const Transfer *t, CURLcode result)
{
	bool		over = http_result_blames_connection(result) ||
		result == CURLE_OPERATION_TIMEDOUT;

	if (t->enough)
		return true;
	if (result == CURLE_OK || !t->head_done)
		return false;
	if (t->http2)
		return over || result == CURLE_HTTP2_STREAM;
	return over && !http_answer_is_success(t->answer.status);
}

bool
http_result_is_whole(const Transfer *t, CURLcode result)
{
	return (result == CURLE_OK && t->head_done) || head_is_enough(t, result);
}

bool
http_result_is_early(const Transfer *t, CURLcode result)
{
	return t->early && http_answer_is_sent(t) &&
		(result == CURLE_OK || result == CURLE_BAD_CONTENT_ENCODING || t->enough);
}

/* A success for what was not sent is none, but over HTTP/2; see head_is_enough(). */
static bool
is_premature(const Transfer *t)
{
	return t->head_done && http_answer_is_success(t->answer.status) &&
		!http_answer_is_sent(t) && !t->http2;
}

void
http_result_spare_body(Transfer *t, CURLcode result)
{
	if (t->head_done && (result == CURLE_BAD_CONTENT_ENCODING ||
						 (result == CURLE_OUT_OF_MEMORY && !is_premature(t))) &&
		http_curl_lacks_memory())
	{
		http_answer_lose_body(t, 0);
		t->enough = true;
	}
}

void
http_result_refute(Transfer *t)
{
	if (t->fault == NULL)
		t->fault = "the answer came before the request was sent";
}

/*
 * A body that cannot be unpacked does not take back the status: asking again
 * would deliver the event twice for the sake of a courtesy.  Some ways to pack
 * one are refused as soon as they are named, before the head is complete.
 */
static void
accept_undecodable(Transfer *t)
{
	int			status = http_answer_status(t);

	if (status < 200)
		return;
	t->answer.status = status;
	t->answer.body_cut = true;
	t->head_done = t->enough = true;
}

/*
 * libcurl asks for the other side's address when a connection is there, and keeps it
 * for the reason if that is reset by then.
 */
static bool
was_reset_at_once(const Transfer *t)
{
	static const char failed[] = "getpeername() failed";

	return strncmp(t->curl_error, failed, sizeof(failed) - 1) == 0;
}

static const char *
error_of(const Transfer *t, CURLcode result, bool starved)
{
	if (t->fault)
		return t->fault;
	if (result == CURLE_OK)
		return "the connection ended before a final answer";
	if (starved)
		return http_no_memory;
	if (result == CURLE_OUT_OF_MEMORY)
		return long_header;
	if (was_reset_at_once(t))
		return "the connection was reset";
	if ((result == CURLE_HTTP2 && t->curl_error[0] == '\0') || was_refused(t, result) ||
		was_given_up(t, result))
		return http_not_taken;
	return t->curl_error[0] != '\0' ? t->curl_error : curl_easy_strerror(result);
}

/* What its status (0: none) says of HTTP/1.1, if that was not asked for, is no answer. */
static void
heed(Transfer *t, int status)
{
	bool		taken = http_answer_is_success(status);
	int64_t		now_us = poller_clock();

	if (status != 0)
	{
		http_pool_was_answered(t, taken, now_us);
		http_fair_answered(t->pool);
	}
	if (!taken && !http_pool_believes(t, status, now_us))
		t->fault = http_not_taken;
}

void
http_result_judge(Transfer *t, CURLcode result)
{
	HttpAnswer *answer = &t->answer;
	bool		starved = ran_out(t, result);
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
	else if ((is_premature(t) && !starved) || (t->early && result == CURLE_SEND_ERROR))
		http_result_refute(t);

	answer->timed_out = result == CURLE_OPERATION_TIMEDOUT;
	if (t->fault == NULL)
		heed(t, http_result_is_whole(t, result) ? answer->status : 0);
	if (t->fault == NULL && http_result_is_whole(t, result))
	{
		answer->timed_out = false;
		answer->answered = true;
		answer->waited_us = waited(t);
		answer->body_cut |= result != CURLE_OK;
		answer->phase = HTTP_PHASE_DONE;
		return;
	}

	lack = t->fault == NULL && !t->barred ? lacked(t, result, starved) : NULL;
	if (lack != NULL)
	{
		http_answer_lacking(t, lack);
		return;
	}

	/* libcurl has the same errors for a bad URL and for a bad answer. */
	curl_easy_getinfo(t->easy, CURLINFO_REQUEST_SIZE, &request_size);

	/*
	 * Another address of the same name may have been allowed, and failed; or may be,
	 * once it is known.
	 */
	if (t->barred && !t->opened && !t->head_done)
		http_answer_not_tried(t, t->missing < 0, t->why);
	else if (request_size == 0 &&
			 (result == CURLE_URL_MALFORMAT || result == CURLE_UNSUPPORTED_PROTOCOL))
		http_answer_not_tried(t, true, error_of(t, result, starved));
	else
	{
		HttpPhase	phase = phase_reached(t, result);

		if (refused && phase == HTTP_PHASE_RECEIVE)
			phase = HTTP_PHASE_WAIT;	/* of the receiver nothing came */
		else if (answer->status == 0 && phase == HTTP_PHASE_RECEIVE)
			answer->status = http_answer_status(t);	/* of half a head, to be seen */
		answer->ran_out = t->fault == NULL && starved;
		http_answer_failed(t, phase, error_of(t, result, starved));
	}
}
