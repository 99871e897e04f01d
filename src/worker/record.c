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

#include "nodes/pg_list.h"
#include "utils/memutils.h"

#include "destination/values.h"
#include "schedule/schedule.h"
#include "shmem/shmem.h"
#include "worker/lanes.h"
#include "worker/record.h"

/* A row that somebody has locked is looked at again after so long, then longer. */
#define BUSY_MIN_US		(200 * 1000)
#define BUSY_MAX_US		(1 * USECS_PER_SEC)

/* The pause after recording one has failed doubles from here. */
#define FAILED_MIN_US	(1 * USECS_PER_SEC)

static MemoryContext outcome_context;	/* their strings */
static Outcome *outcomes;
static int	noutcomes = 0;
static int	max_outcomes = 1024;
static int	nheld = 0;			/* of these */
static Instant busy_until = 0;	/* of these, the first of those whose rows are
								 * locked; 0: none */
static Instant suspects_until = 0;	/* the first of those that failed */

/* what record_outcomes() is about; as many places as outcomes has */
static Outcome **recording;
static int	nrecording = 0;

static List *pauses = NIL;		/* destinations that are to be paused */
static int	nsaved_pauses = 0;	/* the first of these, by record_states() */
static Lane *saved_breakers[64];
static int	nsaved_breakers = 0;

void
record_init(void)
{
	outcome_context = AllocSetContextCreate(TopMemoryContext, "rswebhook outcomes",
											ALLOCSET_DEFAULT_SIZES);
	outcomes = MemoryContextAlloc(TopMemoryContext, max_outcomes * sizeof(Outcome));
	recording = MemoryContextAlloc(TopMemoryContext, max_outcomes * sizeof(Outcome *));
}

char *
record_string(const char *data, size_t len)
{
	char	   *copy = MemoryContextAlloc(outcome_context, len + 1);

	memcpy(copy, data, len);
	copy[len] = '\0';
	return copy;
}

Outcome *
record_add(QueueItem *item, const QueueRow *row, const Verdict *verdict)
{
	Outcome    *outcome;

	if (noutcomes == max_outcomes)
	{
		outcomes = repalloc(outcomes, 2 * max_outcomes * sizeof(Outcome));
		recording = repalloc(recording, 2 * max_outcomes * sizeof(Outcome *));
		max_outcomes *= 2;
	}
	outcome = &outcomes[noutcomes++];
	memset(outcome, 0, sizeof(*outcome));
	outcome->item = item;
	outcome->claimed = *row;
	outcome->kind = verdict->kind;
	outcome->retry_at = clock_wall(verdict->retry_at);
	outcome->first_attempt_at = verdict->first_attempt_at;
	if (verdict->reason[0] != '\0')
		outcome->error = record_string(verdict->reason, strlen(verdict->reason));
	if (verdict->pause)
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		pauses = list_append_unique_int(pauses, row->destination_id);
		MemoryContextSwitchTo(old);
	}
	return outcome;
}

static void
free_string(char *string)
{
	if (string != NULL)
		pfree(string);
}

int
record_waiting(Instant *since)
{
	static Instant first_seen = 0;
	int			count = noutcomes - nheld;

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
record_suspects_until(void)
{
	return suspects_until;
}

/* For the log. */
static const char *
destination_name(const Outcome *o)
{
	const Destination *d = configured_destination(o->claimed.destination_id);

	return d != NULL ? d->name : "(deleted)";
}

static void
hold(Outcome *o, Instant until)
{
	bool		held = o->hold_until != 0;

	o->hold_until = until;
	if (held || !schedule_held(o->item))
		return;
	ereport(LOG,
			(errmsg("an rswebhook worker sends nothing more to destination \"%s\", since it cannot record what became of many deliveries",
					destination_name(o)),
			 errdetail("Somebody has their rows of rswebhook.queue locked, or recording them fails for the reason reported before."),
			 errhint("Look for transactions that have been open for long, and for triggers on the tables of rswebhook.")));
}

static void
hold_no_more(Outcome *o)
{
	if (o->hold_until != 0 && schedule_held_no_more(o->item))
		ereport(LOG,
				(errmsg("the rswebhook worker has recorded what became of all its deliveries to destination \"%s\"",
						destination_name(o))));
	o->hold_until = 0;
}

/* Forget those that are recorded, and count what is held. */
static void
compact(void)
{
	int			kept = 0;

	nheld = 0;
	busy_until = suspects_until = 0;
	for (int i = 0; i < noutcomes; i++)
	{
		Outcome    *o = &outcomes[i];
		Instant    *until = o->suspect ? &suspects_until : &busy_until;

		if (o->item == NULL)
			continue;
		if (o->hold_until != 0)
		{
			nheld++;
			if (*until == 0 || o->hold_until < *until)
				*until = o->hold_until;
		}
		if (kept != i)
			outcomes[kept] = *o;
		kept++;
	}
	noutcomes = kept;
}

/* New ones first: many may be held. */
int
record_outcomes(int limit, Instant now)
{
	nrecording = 0;
	for (int i = 0; i < noutcomes && nrecording < limit; i++)
	{
		if (outcomes[i].hold_until == 0)
			recording[nrecording++] = &outcomes[i];
	}
	for (int i = 0; i < noutcomes && nrecording < limit && nheld > 0; i++)
	{
		Outcome    *o = &outcomes[i];

		if (o->hold_until != 0 && o->hold_until <= now && !o->suspect)
			recording[nrecording++] = o;
	}
	if (nrecording > 0)
		queue_record(recording, nrecording);
	return nrecording;
}

int
record_suspect(Instant now)
{
	nrecording = 0;
	for (int i = 0; i < noutcomes && nrecording == 0; i++)
	{
		if (outcomes[i].suspect && outcomes[i].hold_until <= now)
			recording[nrecording++] = &outcomes[i];
	}
	if (nrecording > 0)
		queue_record(recording, nrecording);
	return nrecording;
}

/*
 * One that had failed is recorded, so whatever the reason was may be gone for its
 * destination's others, too: they are tried now, each by itself still.  Should
 * one fail, it waits for longer than before.
 */
static void
hurry_suspects(int32 destination_id, Instant now)
{
	for (int i = 0; i < noutcomes; i++)
	{
		Outcome    *o = &outcomes[i];

		if (o->item != NULL && o->suspect && o->claimed.destination_id == destination_id)
			o->hold_until = Min(o->hold_until, now);
	}
}

void
record_committed(Instant now)
{
	int32		acquitted = 0;	/* whose suspect it was */

	for (int i = 0; i < nrecording; i++)
	{
		Outcome    *o = recording[i];

		if (o->fate == ROW_BUSY)
		{
			o->suspect = false;
			hold(o, now + Min(BUSY_MIN_US << Min(o->nbusy, 10), BUSY_MAX_US));
			o->nbusy++;
			continue;
		}
		if (o->suspect)
			acquitted = o->claimed.destination_id;
		hold_no_more(o);
		schedule_recorded(o->item, o->fate == ROW_GONE, now);
		free_string(o->error);
		free_string(o->request);
		free_string(o->response_body);
		o->item = NULL;
	}
	nrecording = 0;
	if (acquitted != 0)
		hurry_suspects(acquitted, now);
	compact();
}

void
record_not_committed(void)
{
	nrecording = 0;
}

int32
record_failed(Instant now, int64 shortest_us, int64 longest_us)
{
	int32		whose = nrecording > 0 ? recording[0]->claimed.destination_id : 0;

	for (int i = 0; i < nrecording; i++)
	{
		Outcome    *o = recording[i];

		int64		pause_us = Max(FAILED_MIN_US, shortest_us);

		o->suspect = true;
		hold(o, now + Min(pause_us << Min(o->failures, 10), longest_us));
		o->failures++;
	}
	nrecording = 0;
	compact();
	return whose;
}

/* ---------------------------------------------------------------------
 * States of destinations
 * ---------------------------------------------------------------------
 */

bool
record_states_changed(void)
{
	return pauses != NIL || schedule_breaker_changed();
}

bool
record_pauses(int32 destination_id)
{
	return list_member_int(pauses, destination_id);
}

void
record_states(int limit)
{
	ListCell   *lc;
	Lane	   *lane;

	nsaved_pauses = nsaved_breakers = 0;
	foreach(lc, pauses)
	{
		if (nsaved_pauses == limit)
			return;
		nsaved_pauses++;
		queue_pause(lfirst_int(lc));
	}
	limit = Min(limit - nsaved_pauses, lengthof(saved_breakers));
	while (nsaved_breakers < limit && (lane = schedule_next_changed_breaker()) != NULL)
	{
		saved_breakers[nsaved_breakers++] = lane;
		queue_save_breaker(schedule_lane_id(lane), schedule_lane_breaker(lane));
	}
}

void
record_states_committed(void)
{
	if (nsaved_breakers > 0)
		state_tell_others(&(News) {.breakers = true});
	for (int i = 0; i < nsaved_breakers; i++)
		schedule_breaker_saved(saved_breakers[i], clock_now());
	pauses = list_delete_first_n(pauses, nsaved_pauses);
	nsaved_pauses = nsaved_breakers = 0;
}

void
record_states_failed(void)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

	for (int i = 0; i < nsaved_breakers; i++)
		schedule_breaker_unsaved(saved_breakers[i]);
	for (; nsaved_pauses > 0; nsaved_pauses--)
	{
		int32		id = linitial_int(pauses);

		pauses = lappend_int(list_delete_first(pauses), id);
	}
	MemoryContextSwitchTo(old);
	nsaved_breakers = 0;
}
