/*-------------------------------------------------------------------------
 *
 * attempt.c
 *		Requests in flight, and what becomes of events: every outcome is made here.
 *
 * An attempt lives from its start to its answer.  An event whose request could
 * not be made has an outcome as well: it is given up, or that counts as an attempt.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/pg_prng.h"
#include "lib/ilist.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "destination/mask.h"
#include "destination/values.h"
#include "destination/verdict.h"
#include "http/http.h"
#include "schedule/schedule.h"
#include "tables/home.h"
#include "transform/url_shown.h"
#include "transform/values.h"
#include "worker/attempt.h"
#include "worker/lack.h"
#include "worker/lanes.h"
#include "worker/record.h"
#include "worker/render.h"
#include "worker/stats.h"

int			rswebhook_response_body_limit = 4096;

/* An event whose request could not be made waits at least so long. */
#define SET_ASIDE_MIN_US	(1 * USECS_PER_SEC)

/* A request in flight. */
typedef struct Attempt
{
	QueueItem  *item;
	QueueRow	claimed;
	TimestampTz started_at;
	Instant		started;		/* started_at, by the clock that is never set */
	char	   *request;		/* for people; holds no secret */
	char		traceparent[TRACEPARENT_SIZE];
	dlist_node	node;
	char		known[FLEXIBLE_ARRAY_MEMBER];	/* secrets that may come back */
} Attempt;

static MemoryContext attempt_context;
static dlist_head in_flight;	/* of Attempt */

void
attempt_init(void)
{
	attempt_context = AllocSetContextCreate(TopMemoryContext, "rswebhook attempts",
											ALLOCSET_DEFAULT_SIZES);
	dlist_init(&in_flight);
}

bool
attempt_in_flight(void)
{
	return !dlist_is_empty(&in_flight);
}

int
attempt_list(int64 event_id, int skip, ShownRequest *shown, uint64 *tags, int most)
{
	dlist_iter	iter;
	int			count = 0;

	dlist_foreach(iter, &in_flight)
	{
		const Attempt *attempt = dlist_container(Attempt, node, iter.cur);

		if (count == most)
			break;
		if ((event_id != 0 && attempt->claimed.event_id != event_id) || skip-- > 0)
			continue;
		shown[count].destination_id = attempt->claimed.destination_id;
		shown[count].event_id = attempt->claimed.event_id;
		shown[count].attempt = queue_row_next_attempt(&attempt->claimed);
		shown[count].started_at = attempt->started_at;
		tags[count++] = (uint64) (uintptr_t) attempt;
	}
	return count;
}

static void
finished(QueueItem *item, const Verdict *verdict, Instant now)
{
	Lane	   *lane = schedule_item_lane(item);

	schedule_finished(item, verdict, now);
	stats_note_in_flight(schedule_lane_id(lane), schedule_lane_in_flight(lane));
}

/* What came of an attempt that had started at started_at. */
static void
decide(const HttpAnswer *answer, const Destination *destination, const QueueRow *row,
	   TimestampTz started_at, Instant now, Verdict *verdict)
{
	TimestampTz first_at = row->first_attempt_at != NO_TIME ? row->first_attempt_at : started_at;

	verdict_decide(answer, destination, queue_row_next_attempt(row), clock_age(first_at, now),
				   now, pg_prng_double(&pg_global_prng_state), verdict);
	verdict->first_attempt_at = first_at;
}

/* ---------------------------------------------------------------------
 * What was not sent
 * ---------------------------------------------------------------------
 */

void
attempt_abort_unsent(QueueItem *item, Instant now, const char *reason)
{
	QueueRow	row = *schedule_row(item);
	Verdict		verdict;
	Outcome    *outcome;

	verdict_abort(&verdict, reason);
	outcome = record_add(item, &row, &verdict);
	outcome->started_at = clock_wall(now);
	finished(item, &verdict, now);
}

/* That counts as an attempt of the event's, whatever others do. */
static void
fail_unsent(QueueItem *item, const Destination *destination, Instant now, char *reason)
{
	QueueRow	row = *schedule_row(item);
	HttpAnswer	answer = {.phase = HTTP_PHASE_REFUSED, .retry_after_s = -1, .error = reason};
	Verdict		verdict;
	Outcome    *outcome;

	decide(&answer, destination, &row, clock_wall(now), now, &verdict);
	verdict.signal = SIGNAL_UNSENT;
	if (verdict.kind == VERDICT_RETRY)
		verdict.retry_at = Max(verdict.retry_at, now + SET_ASIDE_MIN_US);
	outcome = record_add(item, &row, &verdict);
	outcome->attempted = true;
	outcome->started_at = clock_wall(now);
	finished(item, &verdict, now);
}

void
attempt_set_aside(QueueItem *item, Instant now, const char *failed, const char *why)
{
	const Destination *destination = lanes_destination(schedule_row(item)->destination_id);
	char		reason[256];

	snprintf(reason, sizeof(reason), "%s: %s", failed, why);
	if (destination != NULL)
		fail_unsent(item, destination, now, reason);
	else
		attempt_abort_unsent(item, now, "destination was deleted");
}

/* We lacked something to send it with: nobody is charged with an attempt. */
static void
put_back(QueueItem *item, bool own, Instant now)
{
	int32		destination_id = schedule_row(item)->destination_id;
	Lane	   *lane = schedule_item_lane(item);

	schedule_lacked(item, own, now);
	stats_note_in_flight(destination_id, schedule_lane_in_flight(lane));
}

void
attempt_put_back(QueueItem *item, const Destination *destination, const char *why, Instant now)
{
	lack_note_secret(destination, why, now);
	put_back(item, true, now);
}

static void
put_back_lacking(QueueItem *item, const char *what, bool unsupported, Instant now)
{
	lack_note(what, unsupported, now);
	put_back(item, false, now);
}

/* ---------------------------------------------------------------------
 * What is sent, and its answers
 *
 * From when a request is started until what became of it is with record.c nothing
 * needs memory, so that no answer is lost for want of it.
 * ---------------------------------------------------------------------
 */

/* It would have been sent, and taken: that counts as an attempt, with its request for people. */
static void
sink(QueueItem *item, char *shown)
{
	QueueRow	row = *schedule_row(item);
	Instant		now = clock_now();
	Verdict		verdict = {.kind = VERDICT_SUNK, .signal = SIGNAL_ALIVE};
	Outcome    *outcome = record_add(item, &row, &verdict);

	outcome->attempted = true;
	outcome->started_at = clock_wall(now);
	outcome->request = shown;
	finished(item, &verdict, now);
}

void
attempt_start(QueueItem *item, const Destination *d, const Rendered *rendered)
{
	const WireRequest *wire = &rendered->wire;
	Attempt    *attempt = MemoryContextAllocExtended(attempt_context,
													 offsetof(Attempt, known) + rendered->known_len + 1,
													 MCXT_ALLOC_NO_OOM);
	char	   *shown = record_string(wire->shown);
	HttpRequest request = {0};

	if (attempt == NULL || shown == NULL)
	{
		if (attempt != NULL)
			pfree(attempt);
		if (shown != NULL)
			pfree(shown);
		put_back_lacking(item, "starting a request: out of memory", false, clock_now());
		return;
	}
	if (rswebhook_enabled == DELIVERY_SINK)
	{
		pfree(attempt);
		sink(item, shown);
		return;
	}
	attempt->item = item;
	attempt->claimed = *schedule_row(item);
	attempt->started_at = GetCurrentTimestamp();
	attempt->started = clock_now();
	attempt->request = shown;
	strlcpy(attempt->traceparent, rendered->traceparent, sizeof(attempt->traceparent));
	memcpy(attempt->known, rendered->known != NULL ? rendered->known : "", rendered->known_len + 1);
	dlist_push_tail(&in_flight, &attempt->node);
	lanes_note_sent(d, attempt->started);

	request.method = wire->method;
	request.url = wire->url;
	request.headers = wire->headers;
	request.nheaders = wire->nheaders;
	request.body = wire->body;
	request.body_len = wire->body_len;
	request.event_in_query = wire->event_in_query;
	request.tried = attempt->claimed.attempts > 0;
	request.connect_timeout_ms = d->connect_timeout_ms;
	request.timeout_ms = d->timeout_ms;
	request.low_speed_limit = d->low_speed_limit;
	request.low_speed_time_s = d->low_speed_time_s;
	request.max_redirects = d->max_redirects;
	request.response_limit = rswebhook_response_body_limit;
	request.ca_cert = d->ca_cert;
	request.client_cert = rendered->client_cert;
	request.client_key = rendered->client_key;
	request.proxy = rendered->proxy;
	request.no_proxy = d->no_proxy;
	request.owner = (uint64) d->id;
	request.tag = (uint64) (uintptr_t) attempt;
	http_start(&request);
}

/* The body of an answer, in no more memory than it needs; NULL: there is none. */
static char *
take_body(HttpAnswer *answer)
{
	char	   *body = answer->body;
	char	   *fitting;

	if (answer->body_len == 0)
		return NULL;
	answer->body = NULL;
	fitting = realloc(body, answer->body_len);
	if (fitting != NULL)
		body = fitting;
	return body;
}

/* What was called in the end; where there is no memory for it, in the beginning. */
static void
note_called(Attempt *attempt, char *called)
{
	char		url[MAX_SHOWN + 1];
	char		both[3 * MAX_SHOWN];
	char	   *longer;

	mask_string(called, strlen(called) + 1, attempt->known);
	url_show_foreign(called, url);
	/* its bytes are those of the server's encoding */
	if (snprintf(both, sizeof(both), "%s -> %s", attempt->request, url) >= (int) sizeof(both) ||
		(longer = record_string(both)) == NULL)
		return;
	pfree(attempt->request);
	attempt->request = longer;
}

/* What a receiver says may be the secrets that it was sent. */
static void
mask_answer(const Attempt *attempt, HttpAnswer *answer, Verdict *verdict)
{
	answer->body_len = mask_secrets(answer->body, answer->body_len,
									answer->body_cut || !answer->answered, attempt->known);
	mask_string(verdict->reason, sizeof(verdict->reason) - 1, attempt->known);
}

/* The request's and the answer's strings are the outcome's then. */
static Outcome *
record_attempt(Attempt *attempt, HttpAnswer *answer, const Verdict *verdict, Instant now)
{
	Outcome    *outcome = record_add(attempt->item, &attempt->claimed, verdict);

	outcome->attempted = true;
	outcome->started_at = attempt->started_at;
	outcome->duration_us = answer->duration_us;
	outcome->status = answer->status;
	outcome->certificate_ends_s = answer->certificate_ends_s;
	if (answer->called != NULL)
		note_called(attempt, answer->called);
	outcome->request = attempt->request;
	attempt->request = NULL;
	strlcpy(outcome->traceparent, attempt->traceparent, sizeof(outcome->traceparent));
	outcome->response_body = take_body(answer);
	outcome->response_body_len = answer->body_len;
	if (answer->body_lost)
		record_note_body_lost(outcome, answer->lost_len);

	if (verdict->kind == VERDICT_DELIVERED)
		stats_note_delivered(attempt->claimed.destination_id, answer->duration_us);
	finished(attempt->item, verdict, now);
	return outcome;
}

static void
end_attempt(Attempt *attempt)
{
	dlist_delete(&attempt->node);
	if (attempt->request != NULL)
		pfree(attempt->request);
	pfree(attempt);
}

int
attempt_answers(void)
{
	HttpAnswer	answer;
	Instant		now = 0;
	int			count = 0;

	while (http_next(&answer))
	{
		Attempt    *attempt = (Attempt *) (uintptr_t) answer.tag;
		const Destination *destination = lanes_destination(attempt->claimed.destination_id);
		Verdict		verdict;

		if (now == 0)
			now = clock_now();
		count++;
		if (answer.lacking)
		{
			put_back_lacking(attempt->item, answer.error, answer.unsupported, now);
			end_attempt(attempt);
			http_answer_free(&answer);
			continue;
		}

		if (destination != NULL)
			decide(&answer, destination, &attempt->claimed, attempt->started_at, now,
				   &verdict);
		else
		{
			/* deleted meanwhile: what was delivered was delivered */
			verdict_abort(&verdict, "destination was deleted");
			if (answer.answered && answer.status >= 200 && answer.status <= 299)
			{
				verdict.kind = VERDICT_DELIVERED;
				verdict.reason[0] = '\0';
			}
		}
		mask_answer(attempt, &answer, &verdict);
		record_attempt(attempt, &answer, &verdict, now);
		end_attempt(attempt);
		http_answer_free(&answer);
	}
	return count;
}

void
attempt_give_up_all(Instant now)
{
	while (!dlist_is_empty(&in_flight))
	{
		Attempt    *attempt = dlist_head_element(Attempt, node, &in_flight);
		HttpAnswer	answer = {0};
		Verdict		verdict = {.signal = SIGNAL_UNSENT};	/* it makes no breaker's pause longer */

		verdict.kind = VERDICT_RETRY;
		verdict.retry_at = now;
		strlcpy(verdict.reason, "the worker was stopped before an answer came",
				sizeof(verdict.reason));
		answer.duration_us = now - attempt->started;
		http_cancel((uint64) (uintptr_t) attempt);
		record_attempt(attempt, &answer, &verdict, now)->stays = true;
		end_attempt(attempt);
	}
}
