/*-------------------------------------------------------------------------
 *
 * deliver.c
 *		From a claim to a request that is started: the worker's batch.
 *
 * Claim (claim.c), fetch (queue.c), render (render.c), start (attempt.c).
 * Payloads and requests live in a batch's memory context, which is reset when
 * the batch has been handed to http/; what is needed to make one request, in a
 * context that is reset after each.  What is claimed for one request of several events
 * becomes an array as it is rendered (array.c), in the order of its ids.
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
#include "worker/array.h"
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
	int			first;			/* in the request of this one; its own is there, too */
	Rendered	rendered;
	const Destination *destination;
} Prepared;

static MemoryContext batch_context;
static MemoryContext event_context; /* while its request is made */

static Batch batch;
static Prepared prepared[MOST_CLAIMED];	/* [i] belongs to batch.claimed[i] */
static bool ready_to_start = false;

/* What is claimed for one request, and is being made */
static int	members[MAX_BATCH + 1];	/* of batch.claimed */
static int	array_of[MAX_BATCH + 1];	/* likewise: in which of the arrays */
static int	nmembers = 0;
static int	nunfit;				/* claimed for it, but to go later */
static int	dropped;			/* of batch.request: none of these goes; -1: there is none */
static uint32 first_request = 1;	/* the number of what is the first of the arrays */

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

/* From first on there was no room; a set that would go in part waits, unless it is all that there is. */
static void
put_back_unfetched(int first, Instant now)
{
	bool		cut = first > 0 && first < batch.nclaimed && batch.request[first] < first &&
		batch.request[first] > 0 && schedule_row(batch.claimed[first])->batch != 0;

	put_back_from(cut ? batch.request[first] : first, now);
}

static void
put_back(int index, Instant now)
{
	schedule_put_back(batch.claimed[index], now);
	batch.claimed[index] = NULL;
}

/* How much is kept of it: of what goes in an array that there is, its body. */
static Size
size_of(const Rendered *rendered)
{
	return nmembers > 0 ? rendered->wire.body_len : render_size(rendered);
}

static void
begin_arrays(void)
{
	first_request += MOST_ARRAYS;
	array_begin();
	nmembers = nunfit = 0;
}

/* It may not go with what it was claimed with. */
static void
put_back_unfit(int index, Instant now)
{
	nunfit++;
	put_back(index, now);
}

/* What is to go together waits until there is room for all, if there will be more than now. */
static void
put_back_unadmitted(int index, Instant now)
{
	bool		all = schedule_row(batch.claimed[index])->batch != 0 &&
		schedule_lane_in_flight(schedule_item_lane(batch.claimed[index])) > 1;

	put_back_unfit(index, now);
	if (!all)
		return;
	for (int i = nmembers - 1; i >= 0; i--)
		put_back(members[i], now);
	begin_arrays();
	dropped = batch.request[index];
}

/*
 * It goes in one of the arrays, or later: as there is no place for another one, or as
 * one of its user goes in another one.
 */
static void
take_in(int index, const Rendered *rendered, const RenderedPart *part, Instant now)
{
	QueueItem  *item = batch.claimed[index];
	int			most = array_count() == 0 ? 1 : 1 + schedule_places_left(schedule_item_lane(item));
	int			array = array_find(rendered, prepared[index].destination, most);

	if (array < 0 || !schedule_place(item, first_request + array))
	{
		put_back_unfit(index, now);
		return;
	}
	array_add(array, rendered, part, batch_context);
	members[nmembers] = index;
	array_of[nmembers++] = array;
}

/* Those of an array, as indexes and as items. */
static int
members_of(int array, int *indexes, QueueItem **items)
{
	int			count = 0;

	for (int i = 0; i < nmembers; i++)
	{
		if (array_of[i] != array || batch.claimed[members[i]] == NULL)
			continue;
		indexes[count] = members[i];
		items[count++] = batch.claimed[members[i]];
	}
	return count;
}

static void
finish_array(int array, Instant now)
{
	static QueueItem *items[MAX_BATCH + 1];
	static int	indexes[MAX_BATCH + 1];
	int			count = members_of(array, indexes, items);
	Prepared   *p = &prepared[indexes[0]];
	char	   *why;

	look_at(schedule_row(items[0]), 0);
	if (array_finish(array, p->destination, &p->rendered, &why))
	{
		lack_secret_over(p->destination, now);
		for (int i = 0; i < count; i++)
			prepared[indexes[i]].first = indexes[0];
		return;
	}
	for (int i = count - 1; i >= 0; i--)
	{
		attempt_put_back(items[i], p->destination, why, now);
		batch.claimed[indexes[i]] = NULL;
	}
}

/* All that go in them are known: they are made, and each has its place. */
static void
finish_arrays(Instant now)
{
	static QueueItem *items[MAX_BATCH + 1];
	static int	indexes[MAX_BATCH + 1];

	if (nmembers > 0 && schedule_row(batch.claimed[members[0]])->batch == 0)
		schedule_fitted(schedule_item_lane(batch.claimed[members[0]]), nmembers + nunfit, nmembers);
	for (int i = 0; i < array_count(); i++)
		finish_array(i, now);
	for (int i = 0; i < array_count(); i++)
	{
		int			count = members_of(i, indexes, items);

		if (count > 0)
			schedule_split(items, count, now);
		for (int k = 0; k < count; k++)
			prepared[indexes[k]].ready = true;
	}
	begin_arrays();
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
	RenderedPart part;
	bool		quick = true;
	bool		arrays;

	if (event == NULL && !stored->missing)
	{
		replace_row(index, now);
		return true;
	}
	p->first = index;
	p->destination = lanes_destination(row->destination_id);
	arrays = p->destination != NULL && p->destination->batch_size > 1;
	if ((arrays && schedule_is_behind(item)) || (!arrays && schedule_follows(item)))
	{
		put_back_unfit(index, now);
		return true;
	}
	if (event != NULL && !schedule_admit(item, VARSIZE(event)))
	{
		put_back_unadmitted(index, now);
		return true;
	}

	abort_reason = reason_to_abort(row, p->destination, stored->missing, now);
	if (abort_reason == NULL)
	{
		MemoryContext context = MemoryContextSwitchTo(event_context);

		INJECT_EVENT("rendering", row->event_id);
		result = arrays ? render_part(stored, row->event_id, p->destination, &p->rendered, &part, &why) :
			render_request(stored, row->event_id, p->destination, &p->rendered, &why);
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
	else if (size_of(&p->rendered) > VARSIZE(event) && !schedule_admit(item, size_of(&p->rendered)))
		put_back_unadmitted(index, now);
	else if (arrays)
		take_in(index, &p->rendered, &part, now);
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
	static const QueueRow *rows[MOST_CLAIMED];
	static StoredEvent events[MOST_CLAIMED];
	Instant		began;
	int64		used;			/* by clock_processor_us(), a system call */

	memset(prepared, 0, batch.nclaimed * sizeof(Prepared));
	for (int i = 0; i < batch.nclaimed; i++)
		rows[i] = schedule_row(batch.claimed[i]);
	put_back_unfetched(queue_fetch(rows, batch.nclaimed, schedule_free_bytes(), look_at,
								   events), now);
	began = clock_now();
	used = clock_processor_us();
	begin_arrays();
	dropped = -1;
	for (int i = 0; i < batch.nclaimed; i++)
	{
		bool		quick;

		if (batch.request[i] == i)
			finish_arrays(now);
		if (batch.request[i] == dropped)
		{
			put_back(i, now);
			continue;
		}
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
	finish_arrays(now);
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

/* What goes in the request of this one, the first of them, by id; how many? */
static int
take_request(int first, QueueItem **items)
{
	int			count = 0;

	for (int i = first; i < batch.nclaimed && batch.request[i] == batch.request[first]; i++)
	{
		if (batch.claimed[i] == NULL || prepared[i].first != first)
			continue;
		items[count++] = batch.claimed[i];
		batch.claimed[i] = NULL;
	}
	return count;
}

void
deliver_start(void)
{
	if (!ready_to_start)
		return;
	for (int i = 0; i < batch.nclaimed; i++)
	{
		QueueItem  *items[MAX_BATCH + 1];
		int			count;

		if (batch.claimed[i] == NULL)
			continue;
		stats_note_in_flight(schedule_row(batch.claimed[i])->destination_id,
							 schedule_lane_in_flight(schedule_item_lane(batch.claimed[i])));
		suspect_note(schedule_row(batch.claimed[i]));
		count = take_request(i, items);
		attempt_start(items, count, prepared[i].destination, &prepared[i].rendered);
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
