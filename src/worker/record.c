/*-------------------------------------------------------------------------
 *
 * record.c
 *		Outcomes on their way into the tables.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/memutils.h"

#include "base/encoding.h"
#include "destination/values.h"
#include "schedule/schedule.h"
#include "tables/queue_record.h"
#include "worker/alerts.h"
#include "worker/fold.h"
#include "worker/lanes.h"
#include "worker/owed.h"
#include "worker/record.h"
#include "worker/repeated.h"
#include "worker/states.h"
#include "worker/suspect.h"

/* A row that somebody has locked is looked at again after so long, then longer. */
#define BUSY_MIN_US		(200 * 1000)
#define BUSY_MAX_US		(1 * USECS_PER_SEC)

/* The pause after an outcome could not be recorded doubles from here. */
#define FAILED_MIN_US	(1 * USECS_PER_SEC)

/* What is recorded at once, as answers may be large: nobody is served meanwhile. */
#define MAX_GROUP_BYTES	(2 * 1024 * 1024)

typedef struct Unrecorded
{
	Outcome		outcome;
	QueueItem  *item;			/* NULL: it is recorded */
	Instant		deferred_until; /* 0: not tried yet */
	bool		failed;			/* and is tried alone */
	int			failures;		/* attempts to record it that failed */
	int			nbusy;			/* times that its row was locked */
	int64		deferred_bytes; /* what was told of it then */
} Unrecorded;

static MemoryContext outcome_context;	/* strings of outcomes */
static Unrecorded *outcomes;
static int	noutcomes = 0;
static int	max_outcomes = 1024;
static int	ndeferred = 0;		/* of outcomes */
static Instant busy_until = 0;	/* the first deferred_until of outcomes whose
								 * rows are locked; 0: none */
static Instant failed_until = 0;	/* likewise of those that failed */

/* what record_outcomes() is about; as many places as outcomes has */
static Unrecorded **recording;
static int	nrecording = 0;

/* the last that could not be recorded, since when none could be */
static bool last_failed = false;
static int32 last_failed_destination;
static int64 last_failed_key;

static char no_memory[] = "the reason is not known: out of memory";

void
record_init(void)
{
	outcome_context = AllocSetContextCreate(TopMemoryContext, "rswebhook outcomes",
											ALLOCSET_DEFAULT_SIZES);
	outcomes = MemoryContextAlloc(TopMemoryContext, max_outcomes * sizeof(Unrecorded));
	recording = MemoryContextAlloc(TopMemoryContext, max_outcomes * sizeof(Unrecorded *));
}

char *
record_string(const char *string)
{
	size_t		size = strlen(string) + 1;
	char	   *copy = MemoryContextAllocExtended(outcome_context, size, MCXT_ALLOC_NO_OOM);

	if (copy != NULL)
		memcpy(copy, string, size);
	return copy;
}

bool
record_room(int more)
{
	int			max = max_outcomes;
	Unrecorded *larger;
	Unrecorded **chosen;

	while (max < noutcomes + more)
		max *= 2;
	if (max == max_outcomes)
		return true;
	larger = MemoryContextAllocExtended(TopMemoryContext, max * sizeof(Unrecorded), MCXT_ALLOC_NO_OOM);
	chosen = MemoryContextAllocExtended(TopMemoryContext, max * sizeof(Unrecorded *), MCXT_ALLOC_NO_OOM);
	if (larger == NULL || chosen == NULL)
	{
		if (larger != NULL)
			pfree(larger);
		if (chosen != NULL)
			pfree(chosen);
		return false;
	}
	memcpy(larger, outcomes, noutcomes * sizeof(Unrecorded));
	pfree(outcomes);
	pfree(recording);
	outcomes = larger;
	recording = chosen;
	max_outcomes = max;
	return true;
}

Outcome *
record_add(QueueItem *item, const QueueRow *row, const Verdict *verdict)
{
	Unrecorded *unrecorded;
	Outcome    *outcome;
	const Destination *destination;

	if (!record_room(1))
		elog(ERROR, "no room for an outcome");
	unrecorded = &outcomes[noutcomes++];
	memset(unrecorded, 0, sizeof(*unrecorded));
	unrecorded->item = item;
	outcome = &unrecorded->outcome;
	outcome->claimed = *row;
	outcome->kind = verdict->kind;
	outcome->retry_at = clock_wall(verdict->retry_at);
	outcome->first_attempt_at = verdict->first_attempt_at;
	if (verdict->reason[0] != '\0')
		outcome->error = record_string(verdict->reason);
	if (verdict->reason[0] != '\0' && outcome->error == NULL)
		outcome->error = no_memory;
	if ((verdict->pause || verdict->gone) && (destination = lanes_destination(row->destination_id)) != NULL)
	{
		if (verdict->pause)
			states_pause(destination->id, destination->version);
		if (verdict->gone && destination->disable_after_us > 0)
			states_disable(destination->id, destination->version, "it has answered that it is gone (HTTP status 410)");
	}
	return outcome;
}

static void
free_string(char *string)
{
	if (string != NULL && string != no_memory)
		pfree(string);
}

void
record_note_body_lost(Outcome *outcome, size_t len)
{
	char		size[40] = "";
	char		text[1024];
	char	   *error;

	if (len > 0)
		snprintf(size, sizeof(size), ", %zu bytes,", len);
	snprintf(text, sizeof(text), "%s%sthe answer's body%s is not recorded: out of memory",
			 outcome->error != NULL ? outcome->error : "", outcome->error != NULL ? "; " : "", size);
	error = record_string(text);
	if (error == NULL && outcome->error != NULL)
		return;
	free_string(outcome->error);
	outcome->error = error != NULL ? error : no_memory;
}

int
record_waiting(Instant *since)
{
	static Instant first_seen = 0;
	int			count = noutcomes - ndeferred;

	if (count == 0)
		first_seen = 0;
	else if (first_seen == 0)
		first_seen = clock_now();
	*since = first_seen;
	return count;
}

Instant
record_busy_until(void)
{
	return busy_until;
}

Instant
record_failed_until(void)
{
	return failed_until;
}

/* For the log. */
static const char *
destination_name(const Unrecorded *o)
{
	const Destination *d = lanes_destination(o->outcome.claimed.destination_id);

	return d != NULL ? d->name : "(deleted)";
}

/* Of memory that an outcome takes up until it is recorded. */
static int64
outcome_bytes(const Outcome *outcome)
{
	return sizeof(Unrecorded) + outcome->response_body_len +
		(outcome->error != NULL ? strlen(outcome->error) : 0) +
		(outcome->request != NULL ? strlen(outcome->request) : 0);
}

static void
defer(Unrecorded *o, Instant until)
{
	bool		deferred = o->deferred_until != 0;

	o->deferred_until = until;
	if (deferred)
		return;
	o->deferred_bytes = outcome_bytes(&o->outcome);
	if (!schedule_deferred(o->item, o->deferred_bytes))
		return;
	ereport(LOG,
			(errmsg("an rswebhook worker sends nothing more to destination \"%s\", since it cannot record what became of many deliveries",
					destination_name(o)),
			 errdetail("Somebody has their rows of rswebhook.queue locked, or recording them fails for the reason reported before."),
			 errhint("Look for transactions that have been open for long, and for triggers on the tables of rswebhook.")));
}

static void
defer_no_more(Unrecorded *o)
{
	if (o->deferred_until != 0 && schedule_deferred_no_more(o->item, o->deferred_bytes))
		ereport(LOG,
				(errmsg("the rswebhook worker has recorded what became of all its deliveries to destination \"%s\"",
						destination_name(o))));
	o->deferred_until = 0;
}

/* Forget those that are recorded, and count what is deferred. */
static void
compact(void)
{
	int			kept = 0;

	ndeferred = 0;
	busy_until = failed_until = 0;
	for (int i = 0; i < noutcomes; i++)
	{
		Unrecorded *o = &outcomes[i];
		Instant    *until = o->failed ? &failed_until : &busy_until;

		if (o->item == NULL)
			continue;
		if (o->deferred_until != 0)
		{
			ndeferred++;
			if (*until == 0 || o->deferred_until < *until)
				*until = o->deferred_until;
		}
		if (kept != i)
			outcomes[kept] = *o;
		kept++;
	}
	noutcomes = kept;
}

/* What has been given up; of many, some of each destination. */
static void
say_aborted(const Unrecorded *o)
{
	static Repeated aborted;
	const Outcome *outcome = &o->outcome;
	const char *why = outcome->error != NULL ? outcome->error : "";

	if (outcome->kind != VERDICT_ABORTED || outcome->fate != ROW_DONE ||
		!repeated_say(&aborted, outcome->claimed.destination_id, clock_now()))
		return;
	ereport(LOG,
			(errmsg("rswebhook has given up event " INT64_FORMAT " for destination \"%s\": %s",
					outcome->claimed.event_id, destination_name(o),
					TextDatumGetCString(encoding_readable(why, strlen(why)))),
			 errdetail("All that were given up are in rswebhook.delivery, as aborted; rswebhook_replay_all() sends those of a destination again.")));
}

/* What somebody is to be told of, in the same transaction. */
static void
add_alerts(const Outcome *outcome)
{
	TimestampTz since = alerts_add_outcome(outcome);
	const Destination *d = since == NO_TIME ? NULL : lanes_destination(outcome->claimed.destination_id);

	if (d != NULL && d->disable_after_us > 0 && clock_age(since, clock_now()) >= d->disable_after_us)
		states_disable(d->id, d->version, "there has been nothing but failures for as long as its disable_after says");
}

static void
record_chosen(void)
{
	Outcome   **chosen = palloc(sizeof(Outcome *) * Max(nrecording, 1));

	for (int i = 0; i < nrecording; i++)
		chosen[i] = &recording[i]->outcome;
	if (nrecording == 1)
		suspect_note_recording(&chosen[0]->claimed);
	alerts_begin();
	if (nrecording > 0)
	{
		queue_record(chosen, nrecording);
		fold_note();
	}
	for (int i = 0; i < nrecording; i++)
	{
		say_aborted(recording[i]);
		add_alerts(chosen[i]);
	}
	alerts_write();
	pfree(chosen);
}

/* How much a new one is unlike the last that failed, whose user or destination may be to blame. */
static int
unlikeness(const Unrecorded *o)
{
	return (o->outcome.claimed.destination_id != last_failed_destination) +
		(o->outcome.claimed.ordering_key != last_failed_key);
}

static void
choose_unlike(void)
{
	for (int i = 0; i < noutcomes; i++)
	{
		if (outcomes[i].deferred_until == 0 &&
			(nrecording == 0 || unlikeness(&outcomes[i]) > unlikeness(recording[0])))
			recording[0] = &outcomes[i];
		else
			continue;
		nrecording = 1;
	}
}

/* False: that would be too many bytes together. */
static bool
choose(Unrecorded *o, int64 *bytes)
{
	*bytes += outcome_bytes(&o->outcome);
	if (nrecording > 0 && *bytes > MAX_GROUP_BYTES)
		return false;
	recording[nrecording++] = o;
	return true;
}

/* New ones first: many may be deferred. */
int
record_outcomes(int limit, Instant now)
{
	int64		bytes = 0;
	bool		fits = true;

	nrecording = 0;
	if (limit == 1 && last_failed)
		choose_unlike();
	for (int i = 0; i < noutcomes && nrecording < limit && fits; i++)
	{
		if (outcomes[i].deferred_until == 0)
			fits = choose(&outcomes[i], &bytes);
	}
	for (int i = 0; i < noutcomes && nrecording < limit && ndeferred > 0 && fits; i++)
	{
		Unrecorded *o = &outcomes[i];

		if (o->deferred_until != 0 && o->deferred_until <= now && !o->failed)
			fits = choose(o, &bytes);
	}
	record_chosen();
	return nrecording;
}

int
record_one_failed(Instant now)
{
	nrecording = 0;
	for (int i = 0; i < noutcomes && nrecording == 0; i++)
	{
		if (outcomes[i].failed && outcomes[i].deferred_until <= now)
			recording[nrecording++] = &outcomes[i];
	}
	record_chosen();
	return nrecording;
}

/*
 * One that failed is recorded, so whatever the reason was may be gone for its
 * destination's others, too: they are tried now, each by itself still.  One that fails
 * again waits for longer than before.
 */
static void
hurry_failed(int32 destination_id, Instant now)
{
	for (int i = 0; i < noutcomes; i++)
	{
		Unrecorded *o = &outcomes[i];

		if (o->item != NULL && o->failed && o->outcome.claimed.destination_id == destination_id)
			o->deferred_until = Min(o->deferred_until, now);
	}
}

void
record_committed(Instant now)
{
	int32		cleared = 0;	/* whose outcome that had failed is recorded */

	suspect_note(NULL);
	alerts_committed();
	for (int i = 0; i < nrecording; i++)
	{
		Unrecorded *o = recording[i];

		if (o->outcome.fate == ROW_BUSY)
		{
			o->failed = false;
			defer(o, now + Min(BUSY_MIN_US << Min(o->nbusy, 10), BUSY_MAX_US));
			o->nbusy++;
			continue;
		}
		if (o->failed)
			cleared = o->outcome.claimed.destination_id;
		defer_no_more(o);
		if (o->outcome.fate == ROW_DONE)
			owed_note_recorded(&o->outcome);
		schedule_recorded(o->item, o->outcome.fate == ROW_GONE, now);
		free_string(o->outcome.error);
		free_string(o->outcome.request);
		free(o->outcome.response_body);
		o->item = NULL;
	}
	last_failed &= nrecording == 0;
	nrecording = 0;
	if (cleared != 0)
		hurry_failed(cleared, now);
	compact();
}

void
record_not_committed(void)
{
	suspect_note(NULL);
	nrecording = 0;
}

int32
record_failed(Instant now, int64 shortest_us, int64 longest_us)
{
	int32		whose = nrecording > 0 ? recording[0]->outcome.claimed.destination_id : 0;

	suspect_note(NULL);
	for (int i = 0; i < nrecording; i++)
	{
		Unrecorded *o = recording[i];

		int64		pause_us = Max(FAILED_MIN_US, shortest_us);

		o->failed = true;
		defer(o, now + Min(pause_us << Min(o->failures, 10), longest_us));
		o->failures++;
		last_failed = true;
		last_failed_destination = whose;
		last_failed_key = o->outcome.claimed.ordering_key;
	}
	nrecording = 0;
	compact();
	return whose;
}

void
record_hold_back(int32 destination_id, Instant now)
{
	for (int i = 0; i < noutcomes; i++)
	{
		Unrecorded *o = &outcomes[i];

		if (o->outcome.claimed.destination_id != destination_id)
			continue;
		schedule_hold_back(o->item);
		if (o->deferred_until != 0)
			continue;
		o->failed = true;
		defer(o, now + FAILED_MIN_US);
	}
	compact();
}

/* The outcome that was tried alone; or, if that was not even begun, one with a body. */
static Outcome *
heavy_outcome(void)
{
	if (nrecording > 0)
		return recording[0]->outcome.response_body != NULL ? &recording[0]->outcome : NULL;
	for (int i = 0; i < noutcomes; i++)
	{
		if (outcomes[i].outcome.response_body != NULL)
			return &outcomes[i].outcome;
	}
	return NULL;
}

bool
record_leave_out_body(void)
{
	Outcome    *outcome = heavy_outcome();
	size_t		len;

	if (outcome == NULL)
		return false;
	len = outcome->response_body_len;
	free(outcome->response_body);
	outcome->response_body = NULL;
	outcome->response_body_len = 0;
	record_note_body_lost(outcome, len);
	record_not_committed();
	return true;
}
