/*-------------------------------------------------------------------------
 *
 * asked.c
 *		What a session asks a worker.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "funcapi.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"
#include "utils/wait_event.h"

#include "base/clock.h"
#include "base/compat.h"
#include "shmem/asked.h"
#include "shmem/control.h"
#include "shmem/slots.h"

/* A worker that has not answered within this time is passed over. */
#define PATIENCE_US		(1 * USECS_PER_SEC)
#define LOOK_AGAIN_MS	1

/* ---------------------------------------------------------------------
 * The worker
 * ---------------------------------------------------------------------
 */

bool
asked(Question *question)
{
	WorkerSlot *slot = slots_mine();

	/* whoever asks sets the latch after the number */
	if (slot->question.number == slot->answered)
		return false;
	LWLockAcquire(&slot->lock, LW_SHARED);
	*question = slot->question;
	LWLockRelease(&slot->lock);
	return true;
}

void
asked_answer(const Question *question, const ShownRequest *requests, int count)
{
	WorkerSlot *slot = slots_mine();

	LWLockAcquire(&slot->lock, LW_EXCLUSIVE);
	memcpy(slot->shown, requests, count * sizeof(ShownRequest));
	slot->nshown = count;
	slot->answered = question->number;
	LWLockRelease(&slot->lock);
}

/* ---------------------------------------------------------------------
 * The session
 * ---------------------------------------------------------------------
 */

/* The slot of a share, locked; NULL: no worker is there. */
static WorkerSlot *
lock_slot(int share)
{
	WorkerSlot *slot;

	LWLockAcquire(&shmem_control->lock, LW_SHARED);
	slot = slots_find(MyDatabaseId);
	if (slot != NULL)
	{
		slot += share;
		LWLockAcquire(&slot->lock, LW_EXCLUSIVE);
		if (slot->worker == NULL)
		{
			LWLockRelease(&slot->lock);
			slot = NULL;
		}
	}
	LWLockRelease(&shmem_control->lock);
	return slot;
}

static void
wait_a_moment(void)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, LOOK_AGAIN_MS,
					 PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/*
 * Ask, once nobody else waits for an answer, or has one to take; who has for long is gone.  False: there is
 * no worker, or no turn.
 */
static bool
ask(int share, int64 event_id, int skip, uint32 *number)
{
	Instant		until = clock_now() + 2 * PATIENCE_US;

	for (;;)
	{
		WorkerSlot *slot = lock_slot(share);
		bool		free;

		if (slot == NULL)
			return false;
		free = (slot->question.number == slot->answered && slot->taken) ||
			clock_now() - slot->question.asked_at > PATIENCE_US;
		if (free)
		{
			*number = ++slot->question.number;
			slot->question.asked_at = clock_now();
			slot->question.event_id = event_id;
			slot->question.skip = skip;
			slot->taken = false;
			SetLatch(&slot->worker->procLatch);
		}
		LWLockRelease(&slot->lock);
		if (free || clock_now() > until)
			return free;
		wait_a_moment();
	}
}

/* How many there are in this page; -1: there is no answer. */
static int
await_answer(int share, uint32 number, int *pid, ShownRequest *requests)
{
	Instant		until = clock_now() + PATIENCE_US;

	while (clock_now() < until)
	{
		WorkerSlot *slot = lock_slot(share);
		int			count = -1;
		bool		over;

		if (slot == NULL)
			return -1;
		over = slot->question.number != number; /* somebody could not wait for us */
		if (!over && slot->answered == number)
		{
			count = slot->nshown;
			memcpy(requests, slot->shown, count * sizeof(ShownRequest));
			*pid = slot->worker->pid;
			slot->taken = true;
		}
		LWLockRelease(&slot->lock);
		if (over || count >= 0)
			return count;
		wait_a_moment();
	}
	return -1;
}

static void
show(ReturnSetInfo *rsinfo, int pid, const ShownRequest *request)
{
	Datum		values[10];
	bool		nulls[10] = {0};

	values[0] = Int32GetDatum(request->destination_id);
	values[1] = Int64GetDatum(request->event_id);
	values[2] = Int32GetDatum(request->attempt);
	values[3] = CStringGetTextDatum(request->phase);
	values[4] = TimestampTzGetDatum(request->started_at);
	nulls[5] = request->address[0] == '\0';
	values[5] = nulls[5] ? (Datum) 0 : CStringGetTextDatum(request->address);
	values[6] = Int32GetDatum(request->port);
	nulls[6] = request->port == 0;
	values[7] = Int64GetDatum(request->sent);
	values[8] = Int64GetDatum(request->received);
	values[9] = Int32GetDatum(pid);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

SQL_FUNCTION(rswebhook_requests);

/* The requests that are in flight, those of an event or all (null). */
Datum
rswebhook_requests(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	int64		event_id = PG_ARGISNULL(0) ? 0 : PG_GETARG_INT64(0);

	InitMaterializedSRF(fcinfo, 0);
	for (int share = 0; share < rswebhook_workers && shmem_control != NULL; share++)
	{
		ShownRequest requests[SHOWN_REQUESTS];
		int			count = SHOWN_REQUESTS;
		uint32		number;
		int			pid;

		for (int skip = 0; count == SHOWN_REQUESTS; skip += count)
		{
			if (!ask(share, event_id, skip, &number) ||
				(count = await_answer(share, number, &pid, requests)) < 0)
				break;
			for (int i = 0; i < count; i++)
				show(rsinfo, pid, &requests[i]);
		}
	}
	return (Datum) 0;
}
