/*-------------------------------------------------------------------------
 *
 * hold.c
 *		Keeping a database free of workers, for a command that needs it alone.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"

#include "shmem/control.h"
#include "shmem/hold.h"
#include "shmem/slots.h"

/* A worker that leaves when told to needs milliseconds; give up far later. */
#define HOLD_TIMEOUT_US				(10 * USECS_PER_SEC)

/* A worker that is stuck in a transaction hears signals only. */
#define HOLD_GRACE_US				(400 * 1000)

/*
 * The databases that the current transaction keeps free of workers.  Beyond
 * the maximum, a command fails as it does with any other session there.
 */
#define MAX_HELD	16
static struct
{
	Oid			database;
	bool		dropping;
	SubTransactionId owner;
}			held[MAX_HELD];
static int	nheld = 0;

static void release_last(bool committed);

/* What a subtransaction holds is its parent's, or nobody's. */
static void
subxact_callback(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
	{
		/* those of its children, which were later, have gone before */
		while (nheld > 0 && held[nheld - 1].owner == mine)
			release_last(false);
	}
	else if (event == SUBXACT_EVENT_COMMIT_SUB)
	{
		for (int i = 0; i < nheld; i++)
		{
			if (held[i].owner == mine)
				held[i].owner = parent;
		}
	}
}

void
hold_database(Oid database, bool dropping)
{
	Instant		since = clock_now();
	bool		signaled = false;
	static bool registered = false;
	WorkerSlot *first;

	if (shmem_control == NULL || nheld == MAX_HELD)
		return;
	for (int i = 0; i < nheld; i++)
	{
		if (held[i].database == database)
			return;
	}

	LWLockAcquire(&shmem_control->lock, LW_EXCLUSIVE);
	first = slots_claim(database, false);
	for (int share = 0; first != NULL && share < rswebhook_workers; share++)
		first[share].holds++;
	LWLockRelease(&shmem_control->lock);
	if (first == NULL)
		return;					/* all slots taken: no worker there, either */
	if (!registered)
		RegisterSubXactCallback(subxact_callback, NULL);
	registered = true;
	held[nheld].database = database;
	held[nheld].owner = GetCurrentSubTransactionId();
	held[nheld++].dropping = dropping;

	for (;;)
	{
		Instant		now = clock_now();
		bool		signals = !signaled &&
			now - since >= HOLD_GRACE_US;
		bool		gone = true;

		LWLockAcquire(&shmem_control->lock, LW_EXCLUSIVE);
		first = slots_find(database);	/* another one's workers may have its slots */
		for (int share = 0; first != NULL && share < rswebhook_workers; share++)
			gone &= slots_send_away(&first[share], signals);
		LWLockRelease(&shmem_control->lock);
		signaled |= signals;

		/* if one does not go, the command fails in its usual way */
		if (gone || now - since >= HOLD_TIMEOUT_US)
			return;

		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 5, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

static void
release_database(Oid database, bool dropped)
{
	WorkerSlot *first;

	LWLockAcquire(&shmem_control->lock, LW_EXCLUSIVE);
	first = slots_find(database);
	if (first != NULL && first->holds > 0)
	{
		for (int share = 0; share < rswebhook_workers; share++)
		{
			first[share].holds--;
			first[share].start_after = 0;
			if (dropped)
				first[share].wanted = false;
		}
		slots_free_if_unused(first);
		slots_wake_launcher();
	}
	LWLockRelease(&shmem_control->lock);
}

static void
release_last(bool committed)
{
	nheld--;
	release_database(held[nheld].database, committed && held[nheld].dropping);
}

void
hold_release(bool committed)
{
	while (nheld > 0)
		release_last(committed);
}
