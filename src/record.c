/*-------------------------------------------------------------------------
 *
 * record.c
 *		Outcomes on their way into the tables.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "record.h"

#include "schedule.h"
#include "state.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* A row that somebody has locked is looked at again after so long. */
#define BUSY_RETRY_US	(200 * 1000)

/* Each that is held would be sent again after a crash. */
#define MAX_HELD		1000

static MemoryContext outcome_context;	/* their strings */
static Outcome *outcomes;
static int	noutcomes = 0;
static int	max_outcomes = 1024;
static int	nheld = 0;			/* of these */
static TimestampTz held_until = 0;	/* the first of these; 0: none */

/* what record_outcomes() is about; as many places as outcomes has */
static Outcome **recording;
static int	nrecording = 0;

static List *pauses = NIL;		/* destinations that are to be paused */
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
	outcome->retry_at = verdict->retry_at;
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
record_waiting(TimestampTz *since)
{
	static TimestampTz first_seen = 0;
	int			count = noutcomes - nheld;

	if (count == 0)
		first_seen = 0;
	else if (first_seen == 0)
		first_seen = GetCurrentTimestamp();
	*since = first_seen;
	return count;
}

TimestampTz
record_held_until(void)
{
	return held_until;
}

bool
record_is_stuck(void)
{
	return nheld >= MAX_HELD;
}

static void
say_whether_stuck(void)
{
	static bool said = false;

	if (record_is_stuck() && !said)
		ereport(LOG,
				(errmsg("an rswebhook worker sends nothing more, since it cannot record what became of %d deliveries",
						nheld),
				 errdetail("Somebody has their rows of rswebhook.queue locked, or recording them fails for the reason reported before."),
				 errhint("Look for transactions that have been open for long, and for triggers on the tables of rswebhook.")));
	else if (said && nheld == 0)
		ereport(LOG,
				(errmsg("the rswebhook worker has recorded what became of all its deliveries")));
	said = nheld == 0 ? false : said || record_is_stuck();
}

/* Forget those that are recorded, and count what is held. */
static void
compact(void)
{
	int			kept = 0;

	nheld = 0;
	held_until = 0;
	for (int i = 0; i < noutcomes; i++)
	{
		Outcome    *o = &outcomes[i];

		if (o->item == NULL)
			continue;
		if (o->hold_until != 0)
		{
			nheld++;
			if (held_until == 0 || o->hold_until < held_until)
				held_until = o->hold_until;
		}
		if (kept != i)
			outcomes[kept] = *o;
		kept++;
	}
	noutcomes = kept;
	say_whether_stuck();
}

int
record_outcomes(int limit, TimestampTz now)
{
	nrecording = 0;
	for (int i = 0; i < noutcomes && nrecording < limit; i++)
	{
		if (outcomes[i].hold_until <= now)
			recording[nrecording++] = &outcomes[i];
	}
	if (nrecording > 0)
		queue_record(recording, nrecording);
	return nrecording;
}

void
record_committed(TimestampTz now)
{
	for (int i = 0; i < nrecording; i++)
	{
		Outcome    *o = recording[i];

		if (o->fate == ROW_BUSY)
		{
			o->hold_until = now + BUSY_RETRY_US;
			continue;
		}
		schedule_recorded(o->item, o->fate == ROW_GONE, now);
		free_string(o->error);
		free_string(o->request);
		free_string(o->response_body);
		o->item = NULL;
	}
	nrecording = 0;
	compact();
}

void
record_failed(TimestampTz hold_until)
{
	for (int i = 0; i < nrecording; i++)
	{
		if (hold_until != 0)
			recording[i]->hold_until = hold_until;
	}
	nrecording = 0;
	compact();
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
record_states(void)
{
	ListCell   *lc;
	Lane	   *lane;

	foreach(lc, pauses)
	{
		queue_pause(lfirst_int(lc));
	}
	nsaved_breakers = 0;
	while (nsaved_breakers < lengthof(saved_breakers) &&
		   (lane = schedule_next_changed_breaker()) != NULL)
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
		schedule_breaker_saved(saved_breakers[i], GetCurrentTimestamp());
	list_free(pauses);
	pauses = NIL;
	nsaved_breakers = 0;
}

void
record_states_failed(void)
{
	for (int i = 0; i < nsaved_breakers; i++)
		schedule_breaker_unsaved(saved_breakers[i]);
	nsaved_breakers = 0;
}
