/*-------------------------------------------------------------------------
 *
 * next.c
 *		Which lane is next: to send, to be read, or to be looked at.
 *
 * Every step costs the same whatever the number of lanes, the backlog or the
 * history: lanes that can send are in a list and go to its end with each
 * request, and lanes that wait for a time (rate, breaker, deliver_after) are in
 * a heap.  There is a list for each kind of place that they need, a line, so that
 * those for which none is free are passed over together.  Only lanes that could
 * send if there were room for their event are passed over one by one each time.
 *
 * next_settle() is where all conditions of a lane meet: after any change it
 * puts the lane into its line, the heap and the list of readers, or takes it
 * out.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "schedule/lane.h"

/* A lane that walks over dead rows has one of so many reads, if others want them. */
#define WALKING_EACH	8

/* What nobody waits for is read in so small a part of the time, and of the reads. */
#define IDLY_PART		20
#define IDLY_EACH		64

/* How late a deliver_after may be noticed at which the clock was set. */
#define DUE_LOOK_US		(60 * USECS_PER_SEC)

static dlist_head lines[NLINES];	/* lanes that can send */
static uint64 last_since;
static dlist_head readers[NREADS];
static int	nreads;				/* that were asked for */
static Instant idles_from;		/* before that, nobody reads idly; 0: it has come */
static pairingheap *lane_timers;

/* Earliest first: the pairing heap hands out the largest. */
static int
later_lane(const pairingheap_node *a, const pairingheap_node *b, void *arg)
{
	Instant		ta = pairingheap_const_container(Lane, timer_node, a)->wake_at;
	Instant		tb = pairingheap_const_container(Lane, timer_node, b)->wake_at;

	return ta < tb ? 1 : ta > tb ? -1 : 0;
}

void
next_init(void)
{
	for (int line = 0; line < NLINES; line++)
		dlist_init(&lines[line]);
	for (int i = 0; i < NREADS; i++)
		dlist_init(&readers[i]);
	nreads = 0;
	idles_from = 0;
	lane_timers = pairingheap_allocate(later_lane, NULL);
}

/*
 * When to look whether the time has come that the wall's clock is to show.  That
 * clock may be set while nothing else happens.
 */
static Instant
next_look(const Lane *lane, Instant now)
{
	Instant		at = now + DUE_LOOK_US;

	if (lane->in_timers && lane->wake_at > now)
		at = Min(at, lane->wake_at);	/* the timer need not be moved each time */
	return Min(at, clock_when(lane->next_due));
}

static void
go_to_end(Lane *lane, Line line)
{
	if (lane->line != LINE_NONE)
		dlist_delete(&lane->line_node);
	if (line != LINE_NONE)
		dlist_push_tail(&lines[line], &lane->line_node);
	lane->line = line;
	lane->since = ++last_since;
}

/*
 * Put the lane where it belongs now.  Whatever it waits for lies ahead
 * afterwards: next_run_timers() relies on it.
 */
void
next_settle(Lane *lane, Instant now)
{
	Instant		when = 0;
	Line		line = pace_allows(lane, now, &when) ? places_line(lane) : LINE_NONE;
	Reads		reads = reading_wants(lane, now);

	if (line != lane->line)
		go_to_end(lane, line);
	if (reads != lane->reads)
	{
		if (lane->reads != READS_NOTHING)
			dlist_delete(&lane->reader_node);
		if (reads != READS_NOTHING)
			dlist_push_tail(&readers[reads], &lane->reader_node);
		lane->reads = reads;
	}

	if (lane->next_due > clock_wall(now) && (when == 0 || next_look(lane, now) < when))
		when = next_look(lane, now);
	if (parked_next(lane) > now && (when == 0 || parked_next(lane) < when))
		when = parked_next(lane);
	if (lane->unread_until > now && (when == 0 || lane->unread_until < when))
		when = lane->unread_until;
	if (when != 0)
		when = Max(when, now + 1);
	if (lane->policy.halted)
		when = 0;
	if (lane->in_timers && lane->wake_at != when)
	{
		pairingheap_remove(lane_timers, &lane->timer_node);
		lane->in_timers = false;
	}
	if (when != 0 && !lane->in_timers)
	{
		lane->wake_at = when;
		pairingheap_add(lane_timers, &lane->timer_node);
		lane->in_timers = true;
	}
}

void
next_run_timers(Instant now)
{
	Lane	   *timed;

	if (idles_from <= now)
		idles_from = 0;
	while ((timed = order_offer_timed(now)) != NULL)
		next_settle(timed, now);
	while ((timed = places_give_up_late(now)) != NULL)
		next_settle(timed, now);
	while (!pairingheap_is_empty(lane_timers))
	{
		Lane	   *lane = pairingheap_container(Lane, timer_node,
												 pairingheap_first(lane_timers));

		if (lane->wake_at > now)
			break;
		next_settle(lane, now);
	}
}

void
next_forget_lane(Lane *lane)
{
	if (lane->line != LINE_NONE)
		dlist_delete(&lane->line_node);
	if (lane->reads != READS_NOTHING)
		dlist_delete(&lane->reader_node);
	if (lane->in_timers)
		pairingheap_remove(lane_timers, &lane->timer_node);
}

/* Is it time for what nobody waits for, even of a lane that wants other rows? */
static bool
may_idle(Instant now)
{
	return now >= idles_from && nreads % IDLY_EACH == IDLY_EACH - 1;
}

/* Whose turn it is to read; READS_NOTHING: nobody's. */
static Reads
who_reads(Instant now)
{
	bool		soon = !dlist_is_empty(&readers[READS_SOON]);
	bool		walking = !dlist_is_empty(&readers[READS_WALKING]);
	bool		idly = !dlist_is_empty(&readers[READS_IDLY]) && now >= idles_from;

	if (idly && (may_idle(now) || !(soon || walking)))
		return READS_IDLY;
	if (walking && (nreads % WALKING_EACH == WALKING_EACH - 1 || !soon))
		return READS_WALKING;
	return soon ? READS_SOON : READS_NOTHING;
}

Lane *
next_to_read(Instant now, bool *idly)
{
	Reads		reads = who_reads(now);
	Lane	   *lane;

	if (reads == READS_NOTHING)
		return NULL;
	*idly = reads == READS_IDLY || may_idle(now);
	nreads++;
	lane = dlist_container(Lane, reader_node, dlist_pop_head_node(&readers[reads]));
	lane->reads = READS_NOTHING;	/* schedule_rows_read() settles that again */
	return lane;
}

bool
next_wants_read(Instant now)
{
	return who_reads(now) != READS_NOTHING;
}

void
next_has_idled(int64 took_us, Instant now)
{
	idles_from = now + took_us * IDLY_PART;
}

void
next_move_back(Lane *lane)
{
	if (lane->line != LINE_NONE)
		go_to_end(lane, lane->line);
}

/*
 * The lane that has waited longest of those where each line has got to, and on
 * to the next one of its line; NULL: there is none left.
 */
static Lane *
first_of(dlist_node **at)
{
	Lane	   *first = NULL;

	for (int line = 0; line < NLINES; line++)
	{
		Lane	   *lane = at[line] == NULL ? NULL : dlist_container(Lane, line_node, at[line]);

		if (lane != NULL && (first == NULL || lane->since < first->since))
			first = lane;
	}
	if (first != NULL)
		at[first->line] = dlist_has_next(&lines[first->line], &first->line_node) ?
			dlist_next_node(&lines[first->line], &first->line_node) : NULL;
	return first;
}

/*
 * One lane after the other.  Those that are passed over for lack of room keep their
 * place, and so come before all that have sent since when there is room again.
 */
QueueItem *
next_to_send(Instant now)
{
	dlist_node *at[NLINES];
	Lane	   *lane;

	next_run_timers(now);
	for (int line = 0; line < NLINES; line++)
		at[line] = dlist_is_empty(&lines[line]) || !places_has_free(line) ? NULL :
			dlist_head_node(&lines[line]);
	while ((lane = first_of(at)) != NULL)
	{
		QueueItem  *item = pace_choose(lane, now);

		if (!pace_take(item, now))
			continue;
		next_move_back(lane);
		window_take(item);
		next_settle(lane, now);
		return item;
	}
	return NULL;
}

Instant
next_wake_at(void)
{
	Instant		when = order_next_retry();
	Instant		late = dlist_is_empty(&lines[LINE_GOOD]) ? 0 : places_late_at();

	if (late != 0 && (when == 0 || late < when))
		when = late;
	if (idles_from != 0 && !dlist_is_empty(&readers[READS_IDLY]) && (when == 0 || idles_from < when))
		when = idles_from;
	if (!pairingheap_is_empty(lane_timers))
	{
		Lane	   *lane = pairingheap_container(Lane, timer_node,
												 pairingheap_first(lane_timers));

		if (when == 0 || lane->wake_at < when)
			when = lane->wake_at;
	}
	return when;
}
