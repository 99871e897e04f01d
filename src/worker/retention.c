/*-------------------------------------------------------------------------
 *
 * retention.c
 *		When the rings' parts are looked at that may be past the retention, and what
 *		is known of messages for longer than it counts.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/clock.h"
#include "shmem/slots.h"
#include "tables/message.h"
#include "tables/queue_expire.h"
#include "tables/tables.h"
#include "worker/repeated.h"
#include "worker/retention.h"
#include "worker/session.h"

/*
 * How often parts are looked at that may be past the retention.  From then on
 * it takes an eighth of the retention until a part is written again, and in
 * that it has to be emptied: it is looked at several times, however short that
 * is.  Sooner if somebody who was reading was in the way: as readers are never waited
 * for, one of many tries has to come between two of them.
 */
#define EXPIRE_INTERVAL_US	(30 * 60 * USECS_PER_SEC)
#define EXPIRES_A_RETENTION	32
#define EXPIRE_RETRY_US		(10 * USECS_PER_SEC)

/* After a piece of a part that is not emptied at once comes a pause of so many times what it took. */
#define EXPIRE_PAUSES		4

static Instant next_expire = 0;
static int	expire_step = 0;	/* of EXPIRE_STEPS */
static bool expire_again = false;
static bool expire_more = false;	/* of the same part */

/* Errors of emptying parts, for the log. */
static Repeated unexpired;

/* Each part of each ring, and what is known of messages. */
#define EXPIRE_STEPS	(RINGS * RING_PARTS + 1)

/* Not by a clock that has been ahead for less than a day. */
static bool
forget_messages(void)
{
	return message_forget(clock_before(USECS_PER_DAY, clock_now()) + USECS_PER_DAY);
}

static void
expire_part(int step)
{
	if (!session_begin("looking for rows past the retention"))
		return;
	if (step < RINGS * RING_PARTS)
		expire_more = queue_expire(step / RING_PARTS, step % RING_PARTS, rswebhook_retention * USECS_PER_SEC);
	else
		expire_more = forget_messages();
	session_commit();
}

/* All parts have been looked at: when again? */
static int64
expire_interval(void)
{
	int64		interval = Min(EXPIRE_INTERVAL_US,
							   rswebhook_retention * USECS_PER_SEC / EXPIRES_A_RETENTION);

	if (expire_again)
		interval = Min(interval, EXPIRE_RETRY_US);
	expire_again = false;
	ereport(DEBUG1,
			(errmsg_internal("rswebhook has looked for rows past the retention, again in %d s",
							 (int) (interval / USECS_PER_SEC))));
	return interval;
}

/*
 * Look at one part of one ring a cycle, each in a transaction of its own, in the
 * database's first worker only.  If somebody reads there, or anything else is
 * in the way, that must hold up neither deliveries nor the other parts: the part
 * is looked at again later.
 */
void
retention_run(Instant now)
{
	ErrorData  *error;
	Instant		began = clock_now();

	if (session_extension_gone() || now < retention_due_at())
		return;
	expire_more = false;
	error = session_try(expire_part, expire_step);
	if (error != NULL && error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE)
		expire_again = true;
	else if (error != NULL)
		repeated_report(&unexpired, error);

	if (error == NULL && expire_more)
	{
		next_expire = clock_now();
		next_expire += (next_expire - began) * EXPIRE_PAUSES;
		return;
	}
	expire_step = (expire_step + 1) % EXPIRE_STEPS;
	next_expire = clock_now();
	if (expire_step == 0)
		next_expire += expire_interval();
}

Instant
retention_due_at(void)
{
	return slots_my_share() == 0 ? next_expire : INSTANT_NEVER;
}

void
retention_reload(void)
{
	next_expire = clock_now();
}
