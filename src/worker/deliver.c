/*-------------------------------------------------------------------------
 *
 * deliver.c
 *		From a claim to a request that is started: the worker's batch.
 *
 * Claim (claim.c), fetch (queue.c), render (render.c), start (attempt.c).
 * Payloads and requests live in a batch's memory context, which is reset when
 * the batch has been handed to http/; what is needed to make one request, in a
 * context that is reset after each.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "postmaster/interrupt.h"
#include "utils/memutils.h"

#include "base/clock.h"
#include "base/inject.h"
#include "destination/values.h"
#include "destination/verdict.h"
#include "schedule/schedule.h"
#include "tables/queue.h"
#include "worker/attempt.h"
#include "worker/claim.h"
#include "worker/deliver.h"
#include "worker/expiry.h"
#include "worker/lack.h"
#include "worker/lanes.h"
#include "worker/render.h"
#include "worker/repeated.h"
#include "worker/session.h"
#include "worker/stats.h"
#include "worker/suspect.h"

/*
 * A request is made in less than a millisecond, or in up to 200 of them for each
 * MB of an event that is written out six times as large and signed with many keys.
 * More of the processor's time means that something is wrong; and a batch that has
 * used BATCH_US is ended, so that others go on.
 */
#define RENDER_US			(1 * USECS_PER_SEC)
#define RENDER_US_A_MB		(1 * USECS_PER_SEC)
#define BATCH_US			(1 * USECS_PER_SEC)

/*
 * Memory that the batch's context keeps when it is reset.  Giving it back to
 * the system only to fetch it again, page by page, was a good part of what a
 * cycle cost.
 */
#define BATCH_SIZES	(Size) (1024 * 1024), (Size) (1024 * 1024), (Size) ALLOCSET_DEFAULT_MAXSIZE

/* A claimed row on its way to the requests in flight. */
typedef struct Prepared
{
	bool		ready;			/* to be sent */
	Rendered	rendered;
	const Destination *destination;
} Prepared;

static MemoryContext batch_context;
static MemoryContext event_context; /* while its request is made */

static Batch batch;
static Prepared prepared[BATCH];	/* [i] belongs to batch.claimed[i] */
static bool ready_to_start = false;

static int64 payload_bytes;		/* of the event that is looked at; 0: not known */

void
deliver_init(void)
{
	batch_context = AllocSetContextCreate(TopMemoryContext, "rswebhook batch",
										  BATCH_SIZES);
	event_context = AllocSetContextCreate(TopMemoryContext, "rswebhook event",
										  ALLOCSET_DEFAULT_SIZES);
	claim_init();
	attempt_init();
}

bool
deliver_claim(Instant now)
{
	return claim_next(&batch, now);
}

/* The processor's time that preparing an event of this size may take. */
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

/* A claimed row that is no longer what was read: what is it now? */
static void
replace_row(int index, Instant now)
{
	QueueItem  *item = batch.claimed[index];
	const QueueRow *was = schedule_row(item);
	ReadRequest request = {
		.kind = READ_RANGE,
		.lane = schedule_item_lane(item),
		.destination_id = was->destination_id,
		.after_id = id_before(was->event_id),
		.upto_id = was->event_id,
		.limit = 1
	};
	QueueRow   *rows;
	int			count = queue_read(&request, &rows);

	batch.claimed[index] = NULL;
	schedule_replace(item, count > 0 ? rows : NULL, now);
	pfree(rows);
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
	if (expiry_is_over(row, destination, now))
		return EXPIRED;
	return NULL;
}

/* From first on there was no room for payloads, or no time. */
static void
put_back_from(int first, Instant now)
{
	while (batch.nclaimed > first)
		schedule_put_back(batch.claimed[--batch.nclaimed], now);
}

/*
 * Decide what cannot be sent, put back what has no room, and keep the rest.  False: it has
 * taken long, and what is ready is to be sent.
 */
static bool
prepare_one(int index, const StoredEvent *stored, Instant now)
{
	QueueItem  *item = batch.claimed[index];
	Jsonb	   *event = stored->event;
	const QueueRow *row = schedule_row(item);
	Prepared   *p = &prepared[index];
	const char *abort_reason;
	char	   *why = NULL;
	RenderResult result = RENDER_OK;
	bool		quick = true;

	if (event == NULL && !stored->missing)
	{
		replace_row(index, now);
		return true;
	}
	if (event != NULL && !schedule_admit(item, VARSIZE(event)))
	{
		batch.claimed[index] = NULL;
		schedule_put_back(item, now);
		return true;
	}

	p->destination = lanes_destination(row->destination_id);
	abort_reason = reason_to_abort(row, p->destination, stored->missing, now);
	if (abort_reason == NULL)
	{
		MemoryContext context = MemoryContextSwitchTo(event_context);

		INJECT_EVENT("rendering", row->event_id);
		result = render_request(stored, row->event_id, p->destination, &p->rendered, &why);
		MemoryContextSwitchTo(context);
		quick = !claim_took_long(p->destination, p->rendered.paths_us, clock_now());
	}
	if (result == RENDER_REFUSED)
		abort_reason = why;

	if (abort_reason != NULL || result == RENDER_NOT_NOW)
	{
		batch.claimed[index] = NULL;
		if (abort_reason != NULL)
			attempt_abort_unsent(item, now, abort_reason);
		else
			attempt_put_back(item, p->destination, why, now);
	}
	else if (render_size(&p->rendered) > VARSIZE(event) &&
			 !schedule_admit(item, render_size(&p->rendered)))
	{
		batch.claimed[index] = NULL;
		schedule_put_back(item, now);
	}
	else
	{
		lack_secret_over(p->destination, now);
		render_copy(&p->rendered);
		p->ready = true;
	}
	MemoryContextReset(event_context);
	return quick;
}

static void
prepare(Instant now)
{
	const QueueRow *rows[BATCH];
	StoredEvent events[BATCH];
	Instant		began;
	int64		used;			/* by clock_processor_us(), a system call */

	memset(prepared, 0, batch.nclaimed * sizeof(Prepared));
	for (int i = 0; i < batch.nclaimed; i++)
		rows[i] = schedule_row(batch.claimed[i]);
	put_back_from(queue_fetch(rows, batch.nclaimed, schedule_free_bytes(), look_at,
							  events), now);
	began = clock_now();
	used = clock_processor_us();
	for (int i = 0; i < batch.nclaimed; i++)
	{
		bool		quick;

		if (clock_now() - began >= BATCH_US && clock_processor_us() - used >= BATCH_US)
		{
			put_back_from(i, now);
			break;
		}
		look_at(schedule_row(batch.claimed[i]), events[i].event != NULL ? VARSIZE(events[i].event) : 0);
		CHECK_FOR_INTERRUPTS();
		quick = prepare_one(i, &events[i], now);
		if (events[i].event != NULL)
			pfree(events[i].event); /* before the next one takes memory */
		if (!quick)
		{
			put_back_from(i + 1, now);
			break;
		}
	}
	CHECK_FOR_INTERRUPTS();		/* the limit is on events, not on what follows */
	suspect_note(NULL);
}

/* Errors that tell of the event itself, and will come again at each attempt. */
static bool
is_of_event(int sqlerrcode)
{
	return sqlerrcode == ERRCODE_PROGRAM_LIMIT_EXCEEDED ||
		ERRCODE_TO_CATEGORY(sqlerrcode) == ERRCODE_DATA_EXCEPTION;
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

/* The claimed event that an error has to do with, -1: with none. */
static int
find_noted(int sqlerrcode)
{
	if (ShutdownRequestPending || !may_be_of_one(sqlerrcode))
		return -1;
	for (int i = 0; i < batch.nclaimed; i++)
	{
		if (batch.claimed[i] != NULL && suspect_is(schedule_row(batch.claimed[i])))
			return i;
	}
	return -1;
}

/*
 * Take one event out of the batch, and put back those that were to come after it.
 * bytes: of memory that it took; began: when the preparation of the batch did.
 */
static void
take_out(int index, const ErrorData *error, int64 bytes, Instant began)
{
	static Repeated unmade;
	QueueItem  *item = batch.claimed[index];
	const QueueRow *row = schedule_row(item);
	Instant		now = clock_now();

	batch.claimed[index] = NULL;
	for (int i = batch.nclaimed - 1; i >= 0; i--)
	{
		if (batch.claimed[i] == NULL || prepared[i].ready)
			continue;
		schedule_put_back(batch.claimed[i], now);
		batch.claimed[i] = NULL;
	}
	if (is_of_event(error->sqlerrcode))
	{
		attempt_abort_unsent(item, now, error->message);
		return;
	}

	if (repeated_say(&unmade, error->sqlerrcode, now))
		ereport(LOG,
				(errcode(error->sqlerrcode),
				 errmsg("rswebhook could not make the request for event " INT64_FORMAT " to destination %d: %s",
						row->event_id, row->destination_id, error->message),
				 error->detail != NULL ? errdetail_internal("%s", error->detail) : 0,
				 batch.single ? errhint("It is tried again later; others go on meanwhile.") :
				 errhint("It is tried again by itself.")));

	claim_failed(item, batch.single, error, bytes, began, now);
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
		MemoryContextReset(event_context);	/* the event may have taken all memory */
		session_abort();
		MemoryContextSwitchTo(batch_context);
		error = session_error();
		FlushErrorState();
		take_out(index, error, bytes, began);
		MemoryContextSwitchTo(TopMemoryContext);	/* the old one was the transaction's */
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	ready_to_start = true;
	return done;
}

static void
forget_batch(void)
{
	batch.nclaimed = 0;
	batch.single = batch.slow = false;
	ready_to_start = false;
	MemoryContextReset(event_context);
	MemoryContextReset(batch_context);
}

void
deliver_start(void)
{
	if (!ready_to_start)
		return;
	for (int i = 0; i < batch.nclaimed; i++)
	{
		if (batch.claimed[i] == NULL)
			continue;
		stats_note_in_flight(schedule_row(batch.claimed[i])->destination_id,
							 schedule_lane_in_flight(schedule_item_lane(batch.claimed[i])));
		suspect_note(schedule_row(batch.claimed[i]));
		attempt_start(batch.claimed[i], prepared[i].destination, &prepared[i].rendered);
		batch.claimed[i] = NULL;
	}
	suspect_note(NULL);
	forget_batch();
}

void
deliver_reset(Instant now)
{
	for (int i = 0; i < batch.nclaimed; i++)
	{
		if (batch.claimed[i] != NULL)
			schedule_put_back(batch.claimed[i], now);
	}
	claim_reset(now);
	suspect_note(NULL);
	forget_batch();
}
