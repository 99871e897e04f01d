/*-------------------------------------------------------------------------
 *
 * shmem.c
 *		Shared memory as a whole: asked for, and set up.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/shmem.h"

#include "base/clock.h"
#include "base/compat.h"
#include "shmem/changes.h"
#include "shmem/control.h"
#include "shmem/counters.h"
#include "shmem/filter_errors.h"
#include "shmem/prepared.h"
#include "shmem/share.h"
#include "shmem/shmem.h"
#include "shmem/slots.h"
#include "shmem/wake.h"

static shmem_startup_hook_type prev_shmem_startup_hook = NULL;
static shmem_request_hook_type prev_shmem_request_hook = NULL;

static Size
control_size(void)
{
	return add_size(offsetof(Control, slots), mul_size(slots_count(), sizeof(WorkerSlot)));
}

static void
request_memory(void)
{
	if (prev_shmem_request_hook)
		prev_shmem_request_hook();
	RequestAddinShmemSpace(control_size());
	RequestAddinShmemSpace(wake_size());
	RequestAddinShmemSpace(prepared_size());
	RequestAddinShmemSpace(changes_size());
	RequestAddinShmemSpace(counters_size());
	RequestAddinShmemSpace(filter_errors_size());
	RequestAddinShmemSpace(clock_size());
	RequestNamedLWLockTranche("rswebhook", 1);
}

static void
startup(void)
{
	bool		found;

	if (prev_shmem_startup_hook)
		prev_shmem_startup_hook();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);

	shmem_control = ShmemInitStruct("rswebhook", control_size(), &found);
	if (!found)
	{
		int			tranche = GetNamedLWLockTranche("rswebhook")->lock.tranche;

		memset(shmem_control, 0, control_size());
		LWLockInitialize(&shmem_control->lock, tranche);
		LWLockInitialize(&shmem_control->stats_lock, tranche);
		for (int i = 0; i < slots_count(); i++)
		{
			LWLockInitialize(&shmem_control->slots[i].lock, tranche);
			pg_atomic_init_u64(&shmem_control->slots[i].map, NO_SHARE_MAP);
		}
		pg_atomic_init_u32(&shmem_control->async_under_way, 0);
		pg_atomic_init_u64(&shmem_control->async_upto, 0);
	}

	wake_startup();
	prepared_startup();
	changes_startup();
	counters_startup();
	filter_errors_startup();
	clock_startup();
	LWLockRelease(AddinShmemInitLock);
}

void
shmem_init(void)
{
	prev_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = startup;
	prev_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = request_memory;
}
