/*-------------------------------------------------------------------------
 *
 * deliver.c
 *		From a queue row to its outcome: what the worker does with its rooms.
 *
 * Claim (schedule.c), fetch (queue.c), transform and render (transform.c,
 * request.c), send (http.c), decide (outcome.c), record (record.c).  Payloads
 * and requests live in a batch's memory context, which is reset when the batch
 * has been handed to the HTTP room; what is needed to make one request, in a
 * context that is reset after each; an attempt lives from its start to its
 * answer.
 *
 * An event whose request cannot be made, be it for want of memory, because it
 * takes too long, for a page that cannot be read or a mistake of ours, must not
 * stop others.
 * An error while a batch is prepared takes the event that it came with out of
 * it, and that is prepared by itself, later.  If it fails again, that counts as an
 * attempt of this event: it is tried again after a while, like any other, but by
 * itself, and given up in the end.  However many such events there are, others
 * have most of the worker's time.  But for want of memory it waits, with no attempt
 * counted, unless it takes a lot of that itself and has all there is.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "common/int.h"
#include "common/pg_prng.h"
#include "lib/ilist.h"
#include "miscadmin.h"
#include "postmaster/interrupt.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/inject.h"
#include "destination/values.h"
#include "destination/verdict.h"
#include "http/http.h"
#include "schedule/schedule.h"
#include "tables/queue.h"
#include "transform/values.h"
#include "worker/deliver.h"
#include "worker/lack.h"
#include "worker/lanes.h"
#include "worker/record.h"
#include "worker/render.h"
#include "worker/repeated.h"
#include "worker/session.h"
#include "worker/stats.h"
#include "worker/suspect.h"

int			rswebhook_response_body_limit = 4096;

/* Requests that are prepared in one transaction. */
#define BATCH	128

/*
 * A request is made in less than a millisecond, or in up to 200 of them for each
 * MB of an event that is written out six times as large and signed with many keys.
 * More than this of the processor means that something is wrong; and once a batch has
 * used that, others go on.
 */
#define RENDER_US			(1 * USECS_PER_SEC)
#define RENDER_US_A_MB		(1 * USECS_PER_SEC)
#define BATCH_US			(1 * USECS_PER_SEC)

/* An event whose request could not be made waits at least so long. */
#define SET_ASIDE_MIN_US	(1 * USECS_PER_SEC)

/*
 * After something that failed, the next event that is prepared by itself waits so
 * many times as long as that took, or so long if the process was stopped in it.
 */
#define TIME_OF_OTHERS	3
#define TIME_OF_OTHERS_MAX_US	(30 * USECS_PER_SEC)

/*
 * An event that takes no more memory than this is not the reason why there is not
 * enough.  One of the greatest default size takes less.
 */
#define ORDINARY_BYTES	(16 * 1024 * 1024)

/* For want of memory, nothing is prepared by itself for so long. */
#define LACK_US			(250 * 1000)

/*
 * Before an event is prepared of which workers have died, what is in flight has so
 * long to be answered: it would be sent again.
 */
#define QUIET_MAX_US	(1 * USECS_PER_SEC)

/*
 * Memory that the batch's context keeps when it is reset.  Giving it back to
 * the system only to fetch it again, page by page, was a good part of what a
 * cycle cost.
 */
#define BATCH_SIZES	(Size) (1024 * 1024), (Size) (1024 * 1024), (Size) ALLOCSET_DEFAULT_MAXSIZE

/* A request in flight. */
typedef struct Attempt
{
	QueueItem  *item;
	QueueRow	claimed;
	TimestampTz started_at;
	Instant		started;		/* the same */
	char	   *request;		/* for people; holds no secret */
	dlist_node	node;
} Attempt;

/* A claimed row on its way to the HTTP room. */
typedef struct Prepared
{
	bool		ready;			/* to be sent */
	Rendered	rendered;
	const Destination *destination;
} Prepared;

static MemoryContext batch_context;
static MemoryContext event_context; /* while its request is made */
static MemoryContext attempt_context;

static QueueItem *claimed[BATCH];
static Prepared prepared[BATCH];	/* [i] belongs to claimed[i] */
static int	nclaimed = 0;
static bool ready_to_start = false;

static QueueItem *singles[16];	/* claimed, to be prepared by themselves */
static int	nsingles = 0;
static bool single = false;		/* claimed[0] was one of these */
static Instant singles_from;	/* none of these is prepared before */

static int64 payload_bytes;		/* of the event that is looked at; 0: not known */
static Instant lacks_until = 0; /* there was not enough memory for one */

static QueueItem *suspect;		/* claimed, but workers have died of its event */
static Instant suspect_from;	/* it is prepared then at the latest */

static dlist_head in_flight;	/* of Attempt */

void
deliver_init(void)
{
	batch_context = AllocSetContextCreate(TopMemoryContext, "rswebhook batch",
										  BATCH_SIZES);
	event_context = AllocSetContextCreate(TopMemoryContext, "rswebhook event",
										  ALLOCSET_DEFAULT_SIZES);
	attempt_context = AllocSetContextCreate(TopMemoryContext, "rswebhook attempts",
											ALLOCSET_DEFAULT_SIZES);
	/* should the worker die of one again, what others are owed is on its way */
	singles_from = clock_now() + SET_ASIDE_MIN_US;
	dlist_init(&in_flight);
}

/* ---------------------------------------------------------------------
 * Outcomes
 * ---------------------------------------------------------------------
 */

static void
finished(QueueItem *item, const Verdict *verdict, Instant now)
{
	Lane	   *lane = schedule_item_lane(item);

	schedule_finished(item, verdict, now);
	stats_note_in_flight(schedule_lane_id(lane), schedule_lane_in_flight(lane));
}

/* Give a claimed row up without a request. */
static void
abort_unsent(QueueItem *item, Instant now, const char *reason)
{
	QueueRow	row = *schedule_row(item);
	Verdict		verdict;
	Outcome    *outcome;

	verdict_abort(&verdict, reason);
	outcome = record_add(item, &row, &verdict);
	outcome->started_at = clock_wall(now);
	stats_note_outcome(row.destination_id, &verdict, 0, clock_wall(now));
	finished(item, &verdict, now);
}

/* What an attempt came to that started then. */
static void
decide(const HttpAnswer *answer, const Destination *destination, const QueueRow *row,
	   TimestampTz started_at, Instant now, Verdict *verdict)
{
	TimestampTz first_at = row->first_attempt_at != 0 ? row->first_attempt_at : started_at;

	verdict_decide(answer, destination, row->attempts + 1, clock_age(first_at, now),
				   now, pg_prng_double(&pg_global_prng_state), verdict);
	verdict->first_attempt_at = first_at;
}

/* Is it the destination that keeps a request from being made, or the event? */
typedef enum Blame
{
	BLAME_DESTINATION,
	BLAME_EVENT
} Blame;

/* An attempt that failed before it began. */
static void
fail_unsent(QueueItem *item, const Destination *destination, Instant now,
			Blame blame, char *reason)
{
	QueueRow	row = *schedule_row(item);
	HttpAnswer	answer = {.phase = HTTP_PHASE_REFUSED, .retry_after_s = -1, .error = reason};
	Verdict		verdict;
	Outcome    *outcome;

	decide(&answer, destination, &row, clock_wall(now), now, &verdict);
	if (blame == BLAME_EVENT)
	{
		verdict.signal = SIGNAL_UNSENT;
		if (verdict.kind == VERDICT_RETRY)
			verdict.retry_at = Max(verdict.retry_at, now + SET_ASIDE_MIN_US);
	}
	outcome = record_add(item, &row, &verdict);
	outcome->attempted = true;
	outcome->started_at = clock_wall(now);
	stats_note_outcome(row.destination_id, &verdict, 0, clock_wall(now));
	finished(item, &verdict, now);
}

static void
record_attempt(const Attempt *attempt, const HttpAnswer *answer,
			   const Verdict *verdict, Instant now)
{
	Outcome    *outcome = record_add(attempt->item, &attempt->claimed, verdict);

	outcome->attempted = true;
	outcome->started_at = attempt->started_at;
	outcome->duration_us = answer->duration_us;
	outcome->status = answer->status;
	outcome->request = record_string(attempt->request, strlen(attempt->request));
	if (answer->body_len > 0)
	{
		outcome->response_body = record_string(answer->body, answer->body_len);
		outcome->response_body_len = answer->body_len;
	}

	stats_note_outcome(attempt->claimed.destination_id, verdict,
					   answer->duration_us, clock_wall(now));
	finished(attempt->item, verdict, now);
}

static void
end_attempt(Attempt *attempt)
{
	dlist_delete(&attempt->node);
	pfree(attempt->request);
	pfree(attempt);
}

/* Nothing was sent, and nothing of it is charged to anybody. */
static void
put_back_lacking(Attempt *attempt, const HttpAnswer *answer, Instant now)
{
	lack_note(answer->error, now);
	schedule_lacked(attempt->item, now);
	stats_note_in_flight(attempt->claimed.destination_id,
						 schedule_lane_in_flight(schedule_item_lane(attempt->item)));
}

int
deliver_answers(void)
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
			put_back_lacking(attempt, &answer, now);
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
		record_attempt(attempt, &answer, &verdict, now);
		end_attempt(attempt);
		http_answer_free(&answer);
	}
	return count;
}

void
deliver_give_up_in_flight(Instant now)
{
	while (!dlist_is_empty(&in_flight))
	{
		Attempt    *attempt = dlist_head_element(Attempt, node, &in_flight);
		HttpAnswer	answer = {0};
		Verdict		verdict = {0};

		verdict.kind = VERDICT_RETRY;
		verdict.retry_at = now;
		verdict.first_attempt_at = attempt->claimed.first_attempt_at != 0 ?
			attempt->claimed.first_attempt_at : attempt->started_at;
		strlcpy(verdict.reason, "the worker was stopped before an answer came",
				sizeof(verdict.reason));
		answer.duration_us = now - attempt->started;
		http_cancel((uint64) (uintptr_t) attempt);
		record_attempt(attempt, &answer, &verdict, now);
		end_attempt(attempt);
	}
}

/* ---------------------------------------------------------------------
 * Requests
 * ---------------------------------------------------------------------
 */

/*
 * The request of this event could not be made, and it was nobody else's fault:
 * others go on, and it is tried again later.
 */
static void
set_aside(QueueItem *item, Instant now, const char *why)
{
	const Destination *destination = lanes_destination(schedule_row(item)->destination_id);
	char		reason[256];

	snprintf(reason, sizeof(reason), "the request could not be made: %s", why);
	if (destination != NULL)
		fail_unsent(item, destination, now, BLAME_EVENT, reason);
	else
		abort_unsent(item, now, "destination was deleted");
}

static void
claim(QueueItem *item)
{
	memset(&prepared[nclaimed], 0, sizeof(Prepared));
	claimed[nclaimed++] = item;
}

/* It is to be prepared by itself: soon, or when others have had their time. */
static void
claim_alone(QueueItem *item, Instant now)
{
	if (schedule_waits_for_nothing(item))
		claim(item);			/* it is only to be given up */
	else if (now < singles_from)
		schedule_put_off(item, singles_from, now);
	else if (nsingles == lengthof(singles))
		schedule_put_off(item, now + SET_ASIDE_MIN_US, now);
	else
		singles[nsingles++] = item;
}

/* Likewise, and when nothing else is in flight: workers have died of its event. */
static void
claim_suspect(QueueItem *item, Instant now)
{
	if (suspect != NULL)
		schedule_put_off(item, now + SET_ASIDE_MIN_US, now);
	else if (now < singles_from)
		schedule_put_off(item, singles_from, now);
	else
	{
		suspect = item;
		suspect_from = now + QUIET_MAX_US;
	}
}

/* Its request may have failed before, or a worker died of its event. */
static void
claim_warily(QueueItem *item, Instant now)
{
	switch (suspect_fate(schedule_row(item)))
	{
		case SUSPECT_NOT:
			if (schedule_is_alone(item))
				claim_alone(item, now);
			else
				claim(item);
			break;
		case SUSPECT_ALONE:
			if (schedule_waits_for_nothing(item))
				claim(item);
			else
				claim_suspect(item, now);
			break;
		case SUSPECT_ASIDE:
			set_aside(item, now, "the worker died of it twice");
			break;
		case SUSPECT_LOST:
			abort_unsent(item, now, "the worker died three times while it made the request");
			break;
	}
}

static void
claim_single(void)
{
	if (nclaimed > 0 || nsingles == 0)
		return;
	claim(singles[--nsingles]);
	single = true;
}

/*
 * Should the worker die of what it prepares next, what it has sent before and not
 * recorded is sent again.  In the time after a death it is recorded first.
 */
static bool
is_recorded(void)
{
	Instant		since;

	return record_waiting(&since) == 0;
}

static bool
claim_suspect_now(Instant now)
{
	if (nclaimed > 0 || !is_recorded() ||
		(!dlist_is_empty(&in_flight) && now < suspect_from))
		return nclaimed > 0;
	claim(suspect);
	suspect = NULL;
	single = true;
	return true;
}

bool
deliver_claim(Instant now)
{
	QueueItem  *item;

	if (suspect != NULL)
		return claim_suspect_now(now);
	if (nclaimed == 0 && suspect_wary() && !is_recorded())
		return false;
	claim_single();
	while (!single && suspect == NULL && nclaimed < BATCH &&
		   (item = schedule_next(now)) != NULL)
		claim_warily(item, now);
	claim_single();
	return nclaimed > 0;
}

Instant
deliver_claim_at(Instant now)
{
	return suspect != NULL && suspect_from > now ? suspect_from : 0;
}

/* Errors that tell of the event itself, and will be the same at each attempt. */
static bool
is_of_event(int sqlerrcode)
{
	return sqlerrcode == ERRCODE_PROGRAM_LIMIT_EXCEEDED ||
		ERRCODE_TO_CATEGORY(sqlerrcode) == ERRCODE_DATA_EXCEPTION;
}

/* Of the processor, to prepare an event of this size. */
static int64
time_for(int64 bytes)
{
	return RENDER_US + bytes * RENDER_US_A_MB / (1024 * 1024);
}

/* An event is about to be fetched; once more when its size is known. */
static void
look_at(const QueueRow *row, int64 bytes)
{
	suspect_note(row);
	payload_bytes = bytes;
	if (row != NULL)
		session_limit_rest(time_for(bytes));
}

/* Errors that may have to do with the one event that was looked at. */
static bool
may_be_of_one(int sqlerrcode)
{
	switch (ERRCODE_TO_CATEGORY(sqlerrcode))
	{
		case ERRCODE_DATA_EXCEPTION:
		case ERRCODE_PROGRAM_LIMIT_EXCEEDED:
		case ERRCODE_EXTERNAL_ROUTINE_EXCEPTION:
		case ERRCODE_SYSTEM_ERROR:
		case ERRCODE_INTERNAL_ERROR:
			return true;
		default:
			return sqlerrcode == ERRCODE_OUT_OF_MEMORY ||
				sqlerrcode == ERRCODE_QUERY_CANCELED;
	}
}

/* A claimed row that is no longer what was read: what is it now? */
static void
replace_row(int index, Instant now)
{
	QueueItem  *item = claimed[index];
	const QueueRow *was = schedule_row(item);
	ReadRequest request = {
		.kind = READ_RANGE,
		.lane = schedule_item_lane(item),
		.destination_id = was->destination_id,
		.after_id = was->event_id - 1,
		.upto_id = was->event_id,
		.limit = 1
	};
	QueueRow   *rows;
	int			count = queue_read(&request, &rows);

	claimed[index] = NULL;
	schedule_replace(item, count > 0 ? rows : NULL, now);
	pfree(rows);
}

/* It counts how long the event has waited, and not what the clock shows. */
static bool
has_expired(const QueueRow *row, const Destination *destination, Instant now)
{
	int64		lifetime = destination->expires_after_us;

	if (row->expires_at != 0 && pg_sub_s64_overflow(row->expires_at, row->queued_at, &lifetime))
		return row->expires_at < row->queued_at;	/* infinite, by hand */
	return (row->expires_at != 0 || lifetime > 0) &&
		clock_age(row->queued_at, now) >= lifetime;
}

/* NULL if the row may be sent now, else why it is given up. */
static const char *
reason_to_abort(const QueueRow *row, const Destination *destination,
				bool payload_missing, Instant now)
{
	if (destination == NULL)
		return "destination was deleted";
	if (payload_missing)
		return "the event's payload is no longer in rswebhook.event";
	if (has_expired(row, destination, now))
		return "the event expired before it could be delivered";
	return NULL;
}

/* There was no room for the payloads of these, or no time. */
static void
put_back_from(int first, Instant now)
{
	while (nclaimed > first)
		schedule_put_back(claimed[--nclaimed], now);
}

/* Decide what cannot be sent, put back what has no room, and keep the rest. */
static void
prepare_one(int index, Jsonb *event, bool missing, Instant now)
{
	QueueItem  *item = claimed[index];
	const QueueRow *row = schedule_row(item);
	Prepared   *p = &prepared[index];
	const char *abort_reason;
	char	   *why = NULL;
	RenderResult result = RENDER_OK;

	if (event == NULL && !missing)
	{
		replace_row(index, now);
		return;
	}
	if (event != NULL && !schedule_admit(item, VARSIZE(event)))
	{
		claimed[index] = NULL;
		schedule_put_back(item, now);
		return;
	}

	p->destination = lanes_destination(row->destination_id);
	abort_reason = reason_to_abort(row, p->destination, missing, now);
	if (abort_reason == NULL)
	{
		MemoryContext context = MemoryContextSwitchTo(event_context);

		INJECT_EVENT("rendering", row->event_id);
		result = render_request(event, row->event_id, p->destination, &p->rendered, &why);
		MemoryContextSwitchTo(context);
	}
	if (result == RENDER_REFUSED)
		abort_reason = why;

	if (abort_reason != NULL || result == RENDER_NOT_NOW)
	{
		claimed[index] = NULL;
		if (abort_reason != NULL)
			abort_unsent(item, now, abort_reason);
		else
			fail_unsent(item, p->destination, now, BLAME_DESTINATION, why);
	}
	else if (render_size(&p->rendered) > VARSIZE(event) &&
			 !schedule_admit(item, render_size(&p->rendered)))
	{
		claimed[index] = NULL;
		schedule_put_back(item, now);
	}
	else
	{
		render_copy(&p->rendered);
		p->ready = true;
	}
	MemoryContextReset(event_context);
}

static void
prepare(Instant now)
{
	const QueueRow *rows[BATCH];
	Jsonb	   *events[BATCH];
	bool		missing[BATCH];
	int64		began;			/* by what the processor has done */

	for (int i = 0; i < nclaimed; i++)
		rows[i] = schedule_row(claimed[i]);
	put_back_from(queue_fetch(rows, nclaimed, schedule_free_bytes(), look_at,
							  events, missing), now);
	began = session_processor_us();
	for (int i = 0; i < nclaimed; i++)
	{
		if (session_processor_us() - began >= BATCH_US)
		{
			put_back_from(i, now);
			break;
		}
		look_at(schedule_row(claimed[i]), events[i] != NULL ? VARSIZE(events[i]) : 0);
		CHECK_FOR_INTERRUPTS();
		prepare_one(i, events[i], missing[i], now);
		if (events[i] != NULL)
			pfree(events[i]);	/* before the next one takes memory */
	}
	CHECK_FOR_INTERRUPTS();		/* the limit is on these, not on what follows */
	suspect_note(NULL);
}

/* The claimed event that an error has to do with, -1: with none. */
static int
find_noted(int sqlerrcode)
{
	if (ShutdownRequestPending || !may_be_of_one(sqlerrcode))
		return -1;
	for (int i = 0; i < nclaimed; i++)
	{
		if (claimed[i] != NULL && suspect_is(schedule_row(claimed[i])))
			return i;
	}
	return -1;
}

/*
 * Memory that the worker lacks is nobody's fault, unless an event takes a lot of
 * it, and no other large one any.
 */
static bool
is_to_blame(const QueueItem *item, int64 bytes, int sqlerrcode)
{
	return sqlerrcode != ERRCODE_OUT_OF_MEMORY || schedule_waits_for_nothing(item) ||
		(bytes > ORDINARY_BYTES && schedule_bytes_beside(item) == 0);
}

static void
wait_for_memory(QueueItem *item, const char *why, Instant now)
{
	char		what[100];

	snprintf(what, sizeof(what), "making a request: %s", why);
	lack_note(what, now);
	singles_from = Max(singles_from, now + LACK_US);
	schedule_put_off(item, Max(singles_from, now + SET_ASIDE_MIN_US), now);
	lacks_until = Max(singles_from, now + SET_ASIDE_MIN_US) + SET_ASIDE_MIN_US;
}

Instant
deliver_lacks_until(Instant now)
{
	return lacks_until > now ? lacks_until : 0;
}

/*
 * Take one event out of the batch whose preparation began then, and put back those
 * that were to come after it.  bytes: of memory that it took.
 */
static void
take_out(int index, const ErrorData *error, int64 bytes, Instant began)
{
	static Repeated unmade;
	QueueItem  *item = claimed[index];
	const QueueRow *row = schedule_row(item);
	Instant		now = clock_now();

	claimed[index] = NULL;
	for (int i = nclaimed - 1; i >= 0; i--)
	{
		if (claimed[i] == NULL || prepared[i].ready)
			continue;
		schedule_put_back(claimed[i], now);
		claimed[i] = NULL;
	}
	if (is_of_event(error->sqlerrcode))
	{
		abort_unsent(item, now, error->message);
		return;
	}

	if (repeated_say(&unmade, error->sqlerrcode, now))
		ereport(LOG,
				(errcode(error->sqlerrcode),
				 errmsg("rswebhook could not make the request for event " INT64_FORMAT " to destination %d: %s",
						row->event_id, row->destination_id, error->message),
				 error->detail != NULL ? errdetail_internal("%s", error->detail) : 0,
				 single ? errhint("It is tried again later; others go on meanwhile.") :
				 errhint("It is tried again by itself.")));

	singles_from = now + Min(TIME_OF_OTHERS * (now - began), TIME_OF_OTHERS_MAX_US);
	while (nsingles > 0)
		schedule_put_off(singles[--nsingles], singles_from, now);
	if (!single && !schedule_waits_for_nothing(item))
		schedule_put_off(item, singles_from, now);
	else if (is_to_blame(item, bytes, error->sqlerrcode))
		set_aside(item, now, error->message);
	else
		wait_for_memory(item, error->message, now);
}

bool
deliver_prepare(Instant now)
{
	MemoryContext old = MemoryContextSwitchTo(batch_context);
	Instant		began = clock_now();
	volatile bool done = false;

	PG_TRY();
	{
		prepare(now);
		MemoryContextSwitchTo(old);
		done = true;
	}
	PG_CATCH();
	{
		int			index = find_noted(geterrcode());
		int64		bytes = payload_bytes + MemoryContextMemAllocated(event_context, true);
		ErrorData  *error;

		suspect_note(NULL);
		if (index < 0)
			PG_RE_THROW();
		HOLD_INTERRUPTS();
		MemoryContextReset(event_context);	/* it may have taken all there is */
		MemoryContextSwitchTo(batch_context);
		error = CopyErrorData();
		FlushErrorState();
		session_abort();
		take_out(index, error, bytes, began);
		MemoryContextSwitchTo(TopMemoryContext);	/* the old one was the transaction's */
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	ready_to_start = true;
	return done;
}

static void
start_request(QueueItem *item, const Prepared *p)
{
	const Destination *d = p->destination;
	const WireRequest *wire = &p->rendered.wire;
	MemoryContext old = MemoryContextSwitchTo(attempt_context);
	Attempt    *attempt = palloc(sizeof(Attempt));
	HttpRequest request = {0};

	attempt->item = item;
	attempt->claimed = *schedule_row(item);
	attempt->started_at = GetCurrentTimestamp();
	attempt->started = clock_now();
	attempt->request = pstrdup(wire->shown);
	dlist_push_tail(&in_flight, &attempt->node);
	MemoryContextSwitchTo(old);

	request.method = wire->method;
	request.url = wire->url;
	request.headers = wire->headers;
	request.nheaders = wire->nheaders;
	request.body = wire->body;
	request.body_len = wire->body_len;
	request.connect_timeout_ms = d->connect_timeout_ms;
	request.timeout_ms = d->timeout_ms;
	request.low_speed_limit = d->low_speed_limit;
	request.low_speed_time_s = d->low_speed_time_s;
	request.max_redirects = d->max_redirects;
	request.response_limit = rswebhook_response_body_limit;
	request.ca_cert = d->ca_cert;
	request.client_cert = p->rendered.client_cert;
	request.client_key = p->rendered.client_key;
	request.proxy = p->rendered.proxy;
	request.no_proxy = d->no_proxy;
	request.owner = (uint64) d->id;
	request.tag = (uint64) (uintptr_t) attempt;
	http_start(&request);
}

static void
forget_batch(void)
{
	nclaimed = 0;
	single = false;
	ready_to_start = false;
	MemoryContextReset(event_context);
	MemoryContextReset(batch_context);
}

void
deliver_start(void)
{
	if (!ready_to_start)
		return;
	for (int i = 0; i < nclaimed; i++)
	{
		if (claimed[i] == NULL)
			continue;
		stats_note_in_flight(schedule_row(claimed[i])->destination_id,
							 schedule_lane_in_flight(schedule_item_lane(claimed[i])));
		suspect_note(schedule_row(claimed[i]));
		start_request(claimed[i], &prepared[i]);
		claimed[i] = NULL;
	}
	suspect_note(NULL);
	forget_batch();
}

void
deliver_reset(Instant now)
{
	for (int i = 0; i < nclaimed; i++)
	{
		if (claimed[i] != NULL)
			schedule_put_back(claimed[i], now);
	}
	while (nsingles > 0)
		schedule_put_back(singles[--nsingles], now);
	if (suspect != NULL)
		schedule_put_back(suspect, now);
	suspect = NULL;
	suspect_note(NULL);
	forget_batch();
}
