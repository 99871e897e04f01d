/*-------------------------------------------------------------------------
 *
 * trusted.c
 *		Users whose last answers were good, for the next worker.
 *
 * Among many users whose events fail or hang, the scheduler finds those that are good
 * by what it knows of them (schedule/trust.c).  A worker that begins anew would know
 * none, and the good ones would wait with all others, perhaps for hours: so they are
 * saved while that counts.  What was not saved before a crash is a few seconds'.
 *
 * If anything is in the way, that holds up neither deliveries nor anything else.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "schedule/schedule.h"
#include "shmem/slots.h"
#include "tables/queue_states.h"
#include "worker/lanes.h"
#include "worker/repeated.h"
#include "worker/session.h"
#include "worker/trusted.h"

/* After something was saved, the next change waits so long; after an error, so long. */
#define SAVE_INTERVAL_US	(10 * USECS_PER_SEC)
#define SAVE_RETRY_US		(60 * USECS_PER_SEC)

static Instant next_save = 0;	/* not before */
static Lane *saving[64];		/* in one transaction */
static int	nsaving = 0;

/* Errors in this, for the log. */
static Repeated failures;

static void
load(int unused)
{
	TrustedUser *stored;
	int			count;
	Instant		now = clock_now();

	if (!session_begin("looking for users whose events were good"))
		return;
	session_wait_little();
	count = queue_load_trusted(&stored);
	for (int i = 0; i < count; i++)
	{
		const TrustedUser *user = &stored[i];

		if (lanes_is_mine(user->destination_id, user->ordering_key))
			schedule_trust(schedule_lane(user->destination_id, now), user->ordering_key);
	}
	session_commit();
}

static void
save(int unused)
{
	Lane	   *lane;

	if (!session_begin("saving whose events were good"))
		return;
	session_wait_little();
	while (nsaving < lengthof(saving) && (lane = schedule_next_unsaved_trust()) != NULL)
	{
		int32		id = schedule_lane_id(lane);
		int64		users[MAX_TRUSTED];
		int			count = schedule_lane_trusted(lane, users);

		saving[nsaving++] = lane;
		queue_save_trusted(id, lanes_parts(id), lanes_part(id), users, count);
	}
	session_commit();
}

static void
tidy(int unused)
{
	if (!session_begin("forgetting whose events were good"))
		return;
	session_wait_little();
	queue_forget_trusted(rswebhook_workers);
	session_commit();
}

/* False: it has failed. */
static bool
do_it(void (*work) (int unused))
{
	ErrorData  *error = session_extension_gone() ? NULL : session_try(work, 0);

	if (error != NULL)
		repeated_report(&failures, error);
	return error == NULL;
}

void
trusted_load(void)
{
	(void) do_it(load);
}

void
trusted_tidy(void)
{
	if (slots_my_share() == 0)
		(void) do_it(tidy);
}

void
trusted_finish(void)
{
	next_save = 0;
	trusted_run(clock_now());
}

void
trusted_run(Instant now)
{
	if (!schedule_trust_unsaved() || now < next_save)
		return;
	next_save = now + SAVE_INTERVAL_US;
	while (schedule_trust_unsaved() && !session_extension_gone())
	{
		nsaving = 0;
		if (do_it(save))
			continue;
		while (nsaving > 0)
			schedule_mark_trust_unsaved(saving[--nsaving]);
		next_save = now + SAVE_RETRY_US;
		break;
	}
}

Instant
trusted_due_at(void)
{
	return schedule_trust_unsaved() ? next_save : INSTANT_NEVER;
}
