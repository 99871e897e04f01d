/*-------------------------------------------------------------------------
 *
 * http_wait.c
 *		The HTTP room, those that wait: for addresses, or for a connection that
 *		another request sets up.
 *
 * See transfer.h for the rules of the room.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "http/http_answer.h"
#include "http/http_curl.h"
#include "http/http_lists.h"
#include "http/http_lookup.h"
#include "http/http_names.h"
#include "http/http_time.h"
#include "http/http_wait.h"
#include "http/poller.h"
#include "http/transfer.h"

/*
 * How long to wait for a connection that another request sets up, which may
 * turn out to take many.
 */
#define PATIENCE_US			(1000 * 1000)

/* When the first of those that wait has waited enough, or earlier; -1: none. */
static int64_t patience_until_us = -1;

/* Until its name or its connection is there, but not longer than that. */
static void
wait_until(Transfer *t, int64_t until_us)
{
	if (t->deadline_us >= 0 && t->deadline_us < until_us)
		until_us = t->deadline_us;
	t->wait_until_us = until_us;
	if (patience_until_us < 0 || until_us < patience_until_us)
		patience_until_us = until_us;
	http_lists_move(&http_waiting, t);
}

void
http_wait_for_addresses(Transfer *t)
{
	wait_until(t, INT64_MAX);
}

/*
 * How long it may wait for others' connections, in all.  That is part of its
 * connect_timeout, of which half is left for trying at least.
 */
static int64_t
patience(const Transfer *t)
{
	int64_t		half_us = (int64_t) t->connect_timeout_ms * 1000 / 2;

	return half_us < PATIENCE_US ? half_us : PATIENCE_US;
}

/* Half of all its time is left then, too. */
static int64_t
patient_until(const Transfer *t, int64_t now_us)
{
	int64_t		half_us = (t->deadline_us - now_us) / 2;
	int64_t		left_us = patience(t) - t->waited_us;

	return now_us + (t->deadline_us >= 0 && half_us < left_us ? half_us : left_us);
}

void
http_wait_for_connection(Transfer *t, int64_t now_us)
{
	t->name = NULL;
	t->waits_since_us = now_us;
	wait_until(t, patient_until(t, now_us));
}

/* It has waited for a connection, and goes on. */
static void
end_waiting(Transfer *t, bool patient)
{
	int64_t		now_us = poller_clock();

	(void) http_time_look(t, now_us);
	t->waited_us += now_us - t->waits_since_us;
	if (t->waited_us > patience(t))
		t->waited_us = patience(t);
	t->patient = patient;
	http_lists_move(&http_starting, t);
}

void
http_wait_end(int64_t now_us)
{
	Transfer   *next;

	if (patience_until_us < 0 || now_us < patience_until_us)
		return;
	patience_until_us = -1;
	for (Transfer *t = http_waiting.first; t != NULL; t = next)
	{
		bool		lacking;

		next = t->next;
		if (t->wait_until_us > now_us)
		{
			if (patience_until_us < 0 || t->wait_until_us < patience_until_us)
				patience_until_us = t->wait_until_us;
		}
		else if (t->vain != CURLE_OK)
			http_lists_move(&http_starting, t);
		else if (t->name != NULL)
		{
			const char *late = http_lookup_late(t->name, &lacking);

			http_answer_unresolved(t, late, lacking);
			http_lists_done(t, now_us);
		}
		else
			end_waiting(t, true);
	}
}

int64_t
http_wait_next(void)
{
	return patience_until_us;
}

static void
on_name_settled(const struct Name *name, const char *error, bool lacking)
{
	Transfer   *next;

	for (Transfer *t = http_waiting.first; t != NULL; t = next)
	{
		next = t->next;
		if (t->name != name)
			continue;
		if (error == NULL || t->vain != CURLE_OK)
		{
			http_lists_move(&http_starting, t);
			continue;
		}
		http_answer_unresolved(t, error, lacking);
		http_lists_done(t, poller_clock());
	}
}

static void
on_pool_settled(struct Pool *pool, bool failed)
{
	Transfer   *next;

	for (Transfer *t = http_waiting.first; t != NULL; t = next)
	{
		next = t->next;
		if (t->name != NULL || t->pool != pool)
			continue;
		end_waiting(t, failed);
	}
}

void
http_wait_init(void)
{
	http_upwards.name_settled = on_name_settled;
	http_upwards.pool_settled = on_pool_settled;
}
