/*-------------------------------------------------------------------------
 *
 * alerts.c
 *		What somebody is to be told of, on its way into rswebhook.alert.
 *
 * How many attempts at a destination have failed in a row is counted here, in memory; what was
 * told of it is in the table, and known here so that a good answer, of nearly all, costs
 * nothing.  All that a transaction has changed of that is taken back if it is not committed.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/ilist.h"
#include "nodes/pg_list.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/subtransaction.h"
#include "destination/cache.h"
#include "destination/verdict.h"
#include "worker/alerts.h"
#include "worker/repeated.h"

int			rswebhook_alert_failures = 10;
int			rswebhook_alert_interval = 5 * SECS_PER_MINUTE;
int			rswebhook_alert_queue_age = SECS_PER_HOUR;

/* A certificate that ends so soon is told of. */
#define CERTIFICATE_DAYS	14

/* No more wait for a table that cannot be written. */
#define MAX_WAITING		1000

/* What is known of a destination. */
typedef struct Known
{
	TransactionId version;		/* of the row by which it has failed */
	int			failures;		/* in a row */
	TimestampTz since;			/* of these; NO_TIME: there are none */
	bool		failing;		/* of which it was told */
	bool		backed_off;
	bool		secret;
	bool		certificate;
} Known;

typedef struct Watched
{
	int32		id;
	Known		known;
	Known		committed;		/* if touched: what it was before the transaction */
	bool		touched;
	bool		counted;		/* by alerts_load_attempts(), up to a good one */
	slist_node	node;			/* in touched_list */
	Alert		aborted;		/* by the transaction */
	Alert		expired;
} Watched;

static HTAB *watched;
static slist_head touched_list = SLIST_STATIC_INIT(touched_list);
static int	nknown = 0;			/* of watched: as a rule, there is none */
static MemoryContext context;	/* of the next two */
static List *added = NIL;		/* Alert *, by the transaction */
static List *lines = NIL;		/* for the log, once it is committed */
static bool failed = false;		/* added could not be written, and is to wait */
static int	nwritten = 0;		/* of waiting, by the transaction */

static MemoryContext waiting_context;
static List *waiting = NIL;		/* Alert * */
static Repeated unwritten;		/* errors, for the log */

void
alerts_init(void)
{
	HASHCTL		info = {.keysize = sizeof(int32), .entrysize = sizeof(Watched)};

	watched = hash_create("rswebhook alerts", 64, &info, HASH_ELEM | HASH_BLOBS);
	context = AllocSetContextCreate(TopMemoryContext, "rswebhook alerts", ALLOCSET_SMALL_SIZES);
	waiting_context = AllocSetContextCreate(TopMemoryContext, "rswebhook alerts that wait",
											ALLOCSET_SMALL_SIZES);
}

static Watched *
watch(int32 id)
{
	bool		found;
	Watched    *w = hash_search(watched, &id, HASH_ENTER, &found);

	if (!found)
	{
		memset(w, 0, sizeof(Watched));
		w->id = id;
		w->known.since = NO_TIME;
		nknown++;
	}
	return w;
}

/* To change what is known. */
static Watched *
touch(int32 id)
{
	Watched    *w = watch(id);

	if (w->touched)
		return w;
	w->touched = true;
	w->committed = w->known;
	w->aborted.count = w->expired.count = 0;
	slist_push_head(&touched_list, &w->node);
	return w;
}

static Alert *
copy_alert(const Alert *alert)
{
	Alert	   *copy = palloc(sizeof(Alert));

	*copy = *alert;
	if (alert->message != NULL)
		copy->message = pstrdup(alert->message);
	return copy;
}

/* ---------------------------------------------------------------------
 * With what is recorded
 * ---------------------------------------------------------------------
 */

static void
forget_added(void)
{
	MemoryContextReset(context);
	added = lines = NIL;
	failed = false;
	nwritten = 0;
}

void
alerts_begin(void)
{
	while (!slist_is_empty(&touched_list))
	{
		Watched    *w = slist_container(Watched, node, slist_pop_head_node(&touched_list));

		w->known = w->committed;
		w->touched = false;
	}
	forget_added();
}

void
alerts_add(const Alert *alert)
{
	MemoryContext caller = MemoryContextSwitchTo(context);

	added = lappend(added, copy_alert(alert));
	MemoryContextSwitchTo(caller);

	if (alert->kind == ALERT_BACKED_OFF && !alert->over)
		touch(alert->destination_id)->known.backed_off = true;
	else if (alert->kind == ALERT_RECOVERED || alert->kind == ALERT_DISABLED)
	{
		Known	   *known = &touch(alert->destination_id)->known;

		known->failing = known->backed_off = false;
		known->failures = 0;
		known->since = NO_TIME;
	}
}

static void
add_good(int32 id)
{
	Watched    *w = hash_search(watched, &id, HASH_FIND, NULL);
	Alert		recovered = {.kind = ALERT_RECOVERED, .over = true, .destination_id = id};

	if (w == NULL)
		return;
	if (w->known.failing || w->known.backed_off)
		alerts_add(&recovered);
	else if (w->known.failures > 0)
	{
		w = touch(id);
		w->known.failures = 0;
		w->known.since = NO_TIME;
	}
}

/* Whoever edits a destination has it begin anew. */
static TimestampTz
add_failure(const Destination *destination, const Outcome *outcome)
{
	Known	   *known = &touch(destination->id)->known;
	Alert		failing = {
		.kind = ALERT_FAILING, .destination_id = destination->id, .count = 1,
		.event_id = outcome->claimed.event_id
	};
	char		message[400];

	if (known->since == NO_TIME)
		known->since = outcome->started_at;
	if (known->version != 0 && known->version != destination->version)
	{
		known->failures = 0;
		known->since = outcome->started_at;
	}
	known->version = destination->version;
	known->failures++;
	if (!known->failing && known->failures >= rswebhook_alert_failures)
	{
		known->failing = true;
		snprintf(message, sizeof(message), "%d attempts in a row have failed, the last one: %s",
				 known->failures, outcome->error != NULL ? outcome->error : "");
		failing.since = known->since;
		failing.message = message;
		alerts_add(&failing);
	}
	return known->failing ? known->since : NO_TIME;
}

/* Some of one transaction are one alert, of the last of them. */
static void
add_given_up(const Outcome *outcome)
{
	Watched    *w = touch(outcome->claimed.destination_id);
	bool		expired = outcome->error != NULL && strcmp(outcome->error, EXPIRED) == 0;
	Alert	   *alert = expired ? &w->expired : &w->aborted;

	*alert = (Alert) {
		.kind = expired ? ALERT_EXPIRED : ALERT_ABORTED,
		.destination_id = w->id,
		.count = alert->count + 1,
		.event_id = outcome->claimed.event_id,
		.message = outcome->error != NULL ? outcome->error : ""
	};
}

static void
add_certificate(int32 id, TimestampTz ends_at)
{
	Watched    *w = hash_search(watched, &id, HASH_FIND, NULL);
	bool		ending = ends_at - GetCurrentTimestamp() < CERTIFICATE_DAYS * USECS_PER_DAY;
	Alert		alert = {.kind = ALERT_CERTIFICATE, .over = !ending, .destination_id = id, .count = 1};

	if (ending == (w != NULL && w->known.certificate))
		return;
	touch(id)->known.certificate = ending;
	alert.message = psprintf("the receiver's certificate ends at %s", timestamptz_to_str(ends_at));
	alerts_add(&alert);
}

TimestampTz
alerts_add_outcome(const Outcome *outcome)
{
	int32		id = outcome->claimed.destination_id;
	const Destination *destination;

	if (outcome->fate == ROW_BUSY || outcome->stays)
		return NO_TIME;
	if (outcome->certificate_ends_s != 0)
		add_certificate(id, time_t_to_timestamptz((pg_time_t) outcome->certificate_ends_s));
	if (outcome->kind == VERDICT_DELIVERED || outcome->kind == VERDICT_SUNK)
	{
		if (nknown > 0)
			add_good(id);
		return NO_TIME;
	}
	if (outcome->kind == VERDICT_ABORTED && outcome->fate == ROW_DONE)
		add_given_up(outcome);
	destination = outcome->request != NULL ? destination_find(id) : NULL;
	return destination != NULL ? add_failure(destination, outcome) : NO_TIME;
}

void
alerts_add_line(const char *line)
{
	MemoryContext caller = MemoryContextSwitchTo(context);

	lines = lappend(lines, pstrdup(line));
	MemoryContextSwitchTo(caller);
}

static void
write_one(const Alert *alert)
{
	char	   *line = alert_write(alert);

	if (line != NULL)
		alerts_add_line(line);
}

/* In a subtransaction. */
static void
write_added(void *unused)
{
	ListCell   *lc;

	foreach(lc, added)
	{
		write_one(lfirst(lc));
	}
}

/* While some wait, the others wait behind them. */
void
alerts_write(void)
{
	slist_iter	iter;
	ErrorData  *error;

	slist_foreach(iter, &touched_list)
	{
		const Watched *w = slist_container(Watched, node, iter.cur);

		if (w->aborted.count > 0)
			alerts_add(&w->aborted);
		if (w->expired.count > 0)
			alerts_add(&w->expired);
	}
	if (added == NIL)
		return;
	failed = waiting != NIL;
	if (failed)
		return;
	error = subtransaction_try(write_added, NULL);
	if (error == NULL)
		return;
	if (ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
		ReThrowError(error);
	repeated_report(&unwritten, error);
	lines = NIL;
	failed = true;
}

void
alerts_committed(void)
{
	ListCell   *lc;

	while (!slist_is_empty(&touched_list))
		slist_container(Watched, node, slist_pop_head_node(&touched_list))->touched = false;
	if (failed)
	{
		foreach(lc, added)
		{
			alerts_note(lfirst(lc));
		}
	}
	foreach(lc, lines)
	{
		ereport(LOG,
				(errmsg("rswebhook alert: %s", (char *) lfirst(lc))));
	}
	if (nwritten > 0)
		waiting = list_delete_first_n(waiting, nwritten);
	if (nwritten > 0 && waiting == NIL)
		MemoryContextReset(waiting_context);
	if (added != NIL || lines != NIL || nwritten > 0)
		forget_added();
}

/* ---------------------------------------------------------------------
 * By itself
 * ---------------------------------------------------------------------
 */

void
alerts_note(const Alert *alert)
{
	static Repeated lost;
	MemoryContext caller;

	if (list_length(waiting) >= MAX_WAITING)
	{
		if (repeated_say(&lost, 0, clock_now()))
			ereport(LOG,
					(errmsg("rswebhook cannot write alerts, and keeps no more than %d in memory", MAX_WAITING),
					 errhint("Look for what is wrong with rswebhook.alert, as reported before.")));
		return;
	}
	caller = MemoryContextSwitchTo(waiting_context);
	waiting = lappend(waiting, copy_alert(alert));
	MemoryContextSwitchTo(caller);
}

void
alerts_note_secret(int32 destination_id, const char *why)
{
	Watched    *w = nknown == 0 ? NULL : hash_search(watched, &destination_id, HASH_FIND, NULL);
	Alert		alert = {
		.kind = ALERT_SECRET, .over = why == NULL, .destination_id = destination_id, .count = 1, .message = why
	};

	if ((w != NULL && w->known.secret) == (why != NULL))
		return;
	watch(destination_id)->known.secret = why != NULL;
	alerts_note(&alert);
}

/* Another one takes the place of the one that is there. */
void
alerts_note_settings(const char *why)
{
	Alert		alert = {.kind = ALERT_SETTINGS, .over = true, .count = 1, .message = why};

	alerts_note(&alert);
	alert.over = false;
	if (why != NULL)
		alerts_note(&alert);
}

bool
alerts_waiting(void)
{
	return waiting != NIL;
}

/* An error leaves all where they are. */
void
alerts_write_waiting(int limit)
{
	while (nwritten < Min(limit, list_length(waiting)))
		write_one(list_nth(waiting, nwritten++));
}

/* ---------------------------------------------------------------------
 * As the tables have it
 * ---------------------------------------------------------------------
 */

/* And all of what is gone. */
static void
forget_told(void)
{
	HASH_SEQ_STATUS status;
	Watched    *w;

	hash_seq_init(&status, watched);
	while ((w = hash_seq_search(&status)) != NULL)
	{
		w->known.failing = w->known.backed_off = w->known.secret = w->known.certificate = false;
		if (w->touched || destination_find(w->id) != NULL)
			continue;
		(void) hash_search(watched, &w->id, HASH_REMOVE, NULL);
		nknown--;
	}
}

void
alerts_load(void)
{
	OpenAlert  *alerts;
	int			count = alert_load(&alerts);

	forget_told();
	for (int i = 0; i < count; i++)
	{
		Known	   *known;

		if (destination_find(alerts[i].destination_id) == NULL)
			continue;
		known = &watch(alerts[i].destination_id)->known;
		known->backed_off |= alerts[i].kind == ALERT_BACKED_OFF;
		known->secret |= alerts[i].kind == ALERT_SECRET;
		known->certificate |= alerts[i].kind == ALERT_CERTIFICATE;
		if (alerts[i].kind != ALERT_FAILING)
			continue;
		known->failing = true;
		if (known->since == NO_TIME)
			known->since = alerts[i].since;
		known->failures = Max(known->failures, rswebhook_alert_failures);
	}
}

void
alerts_load_attempts(void)
{
	LatestAttempt *attempts;
	int			count = alert_load_attempts(&attempts);

	/* from the last to the first: a good one ends what is counted */
	for (int i = 0; i < count; i++)
	{
		int32		id = attempts[i].destination_id;
		Watched    *w = destination_find(id) == NULL ? NULL : watch(id);

		if (w == NULL || w->counted || w->known.failing)
			continue;
		w->counted = attempts[i].good;
		if (w->counted)
			continue;
		w->known.failures++;
	}
}
