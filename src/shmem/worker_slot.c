/*-------------------------------------------------------------------------
 *
 * worker_slot.c
 *		A worker's own slot in shared memory: coming, going, and what it is told.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "funcapi.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "base/compat.h"
#include "shmem/control.h"
#include "shmem/counters.h"
#include "shmem/slots.h"
#include "shmem/worker_slot.h"

static WorkerSlot *my_slot = NULL;
static uint32 my_generation = 0;
static Instant attached_at = 0;
static bool found_nothing = false;

/*
 * There is nothing to do for us in this database, nor for those of its workers
 * that are not there.  But whoever created the extension anew, after this worker
 * had looked for it in vain, has woken it and counts on it; others that wake it
 * only have it look once more.  The caller holds shmem_control->lock.
 */
static void
want_no_more(void)
{
	WorkerSlot *first = slots_first_of(my_slot);

	if (my_slot->woken)
		return;
	for (WorkerSlot *slot = first; slot < first + rswebhook_workers; slot++)
	{
		if (slot == my_slot || (slot->worker == NULL && !slot->starting))
			slot->wanted = false;
	}
}

static void
detach_worker(int code, Datum arg)
{
	LWLockAcquire(&shmem_control->lock, LW_EXCLUSIVE);
	if (my_slot->generation == my_generation)
	{
		/* a worker that has lasted starts the back-off anew */
		if (clock_now() - attached_at >= 60 * USECS_PER_SEC)
			my_slot->crashes = 0;
		if (code != 0)
			slots_back_off(my_slot);
		LWLockAcquire(&my_slot->lock, LW_EXCLUSIVE);
		if (found_nothing)
			want_no_more();
		counters_forget_mine(); /* before there can be another worker */
		slots_clear(my_slot);
		LWLockRelease(&my_slot->lock);
		slots_free_if_unused(slots_first_of(my_slot));
		slots_wake_launcher();
	}
	LWLockRelease(&shmem_control->lock);
}

bool
worker_slot_attach(int slot_number, uint32 generation)
{
	WorkerSlot *slot = &shmem_control->slots[slot_number];
	bool		ok;

	LWLockAcquire(&shmem_control->lock, LW_EXCLUSIVE);
	ok = slot->generation == generation && slot->holds == 0 &&
		slot->worker == NULL;
	if (slot->generation == generation)
		slot->starting = false;
	if (ok)
	{
		LWLockAcquire(&slot->lock, LW_EXCLUSIVE);
		slots_clear(slot);
		slot->worker = MyProc;
		LWLockRelease(&slot->lock);
		my_slot = slot;
		slots_set_mine(slot);
		my_generation = generation;
		attached_at = clock_now();
	}
	LWLockRelease(&shmem_control->lock);

	/*
	 * Called before the database connection is made, so that this runs after
	 * the process has left the list of the database's processes: whoever
	 * waits in hold_database() can go ahead then.
	 */
	if (ok)
		on_shmem_exit(detach_worker, 0);
	return ok;
}

void
worker_slot_confirm(void)
{
	LWLockAcquire(&shmem_control->lock, LW_EXCLUSIVE);
	my_slot->confirmed = true;
	slots_wake_launcher();
	LWLockRelease(&shmem_control->lock);
}

/*
 * Somebody here has begun with another map than is in force: all leave, and when the
 * last one has, others begin (start.c).
 */
void
worker_slot_disband(void)
{
	WorkerSlot *first = slots_first_of(my_slot);

	LWLockAcquire(&shmem_control->lock, LW_EXCLUSIVE);
	for (WorkerSlot *slot = first; slot < first + rswebhook_workers; slot++)
		(void) slots_send_away(slot, true);
	LWLockRelease(&shmem_control->lock);
}

bool
worker_slot_join(ShareMap map)
{
	WorkerSlot *first = slots_first_of(my_slot);
	bool		same = true;

	LWLockAcquire(&shmem_control->lock, LW_EXCLUSIVE);
	for (WorkerSlot *slot = first; slot < first + rswebhook_workers; slot++)
	{
		ShareMap	theirs = pg_atomic_read_u64(&slot->map);

		same &= theirs == NO_SHARE_MAP || theirs == map;
	}
	if (same)
		pg_atomic_write_u64(&my_slot->map, map);
	LWLockRelease(&shmem_control->lock);
	if (!same)
		worker_slot_disband();
	return same;
}

void
worker_slot_mark_unwanted(void)
{
	found_nothing = true;
}

bool
worker_slot_told_to_stop(void)
{
	bool		stop;

	LWLockAcquire(&my_slot->lock, LW_SHARED);
	stop = my_slot->stop;
	LWLockRelease(&my_slot->lock);
	return stop;
}

bool
worker_slot_woken(void)
{
	bool		woken;

	LWLockAcquire(&my_slot->lock, LW_SHARED);
	woken = my_slot->woken;
	LWLockRelease(&my_slot->lock);
	return woken;
}

int
worker_slot_look_at_ranges(QueuedRange *ranges)
{
	int			count;

	LWLockAcquire(&my_slot->lock, LW_SHARED);
	count = my_slot->nranges;
	memcpy(ranges, my_slot->ranges, count * sizeof(QueuedRange));
	LWLockRelease(&my_slot->lock);
	return count;
}

bool
worker_slot_is_told(const QueuedRange *range, ShareMap map)
{
	return map != pg_atomic_read_u64(&my_slot->map) ||
		(range->shares & SHARE_BIT(slots_my_share())) != 0;
}

int
worker_slot_take_ranges(QueuedRange *ranges, News *news)
{
	int			count;

	LWLockAcquire(&my_slot->lock, LW_EXCLUSIVE);
	count = my_slot->nranges;
	memcpy(ranges, my_slot->ranges, count * sizeof(QueuedRange));
	*news = (News) {my_slot->changed, my_slot->breakers};
	my_slot->nranges = 0;
	my_slot->woken = false;
	my_slot->changed = false;
	my_slot->breakers = false;
	LWLockRelease(&my_slot->lock);
	return count;
}

void
worker_slot_tell_others(const News *news)
{
	WorkerSlot *first = slots_first_of(my_slot);

	for (WorkerSlot *slot = first; slot < first + rswebhook_workers; slot++)
	{
		if (slot == my_slot)
			continue;
		LWLockAcquire(&slot->lock, LW_EXCLUSIVE);
		slot->changed |= news->changed;
		slot->breakers |= news->breakers;
		slots_wake_worker(slot);
		LWLockRelease(&slot->lock);
	}
}

void
worker_slot_note_sent(int32 destination_id, Instant now)
{
	Paced	   *place = &my_slot->paced[0];

	LWLockAcquire(&my_slot->lock, LW_EXCLUSIVE);
	for (int i = 0; i < SLOT_MAX_PACED && place->destination_id != destination_id; i++)
	{
		Paced	   *other = &my_slot->paced[i];

		if (other->destination_id == destination_id || other->last < place->last)
			place = other;
	}
	*place = (Paced) {destination_id, now};
	LWLockRelease(&my_slot->lock);
}

Instant
worker_slot_last_sent(int32 destination_id)
{
	WorkerSlot *first = slots_first_of(my_slot);
	Instant		last = 0;

	for (WorkerSlot *slot = first; slot < first + rswebhook_workers; slot++)
	{
		LWLockAcquire(&slot->lock, LW_SHARED);
		for (int i = 0; i < SLOT_MAX_PACED; i++)
		{
			if (slot->paced[i].destination_id == destination_id)
				last = Max(last, slot->paced[i].last);
		}
		LWLockRelease(&slot->lock);
	}
	return last;
}

void
worker_slot_set_quiet(const int32 *destination_ids, int count)
{
	LWLockAcquire(&my_slot->lock, LW_EXCLUSIVE);
	my_slot->nquiet = Min(count, SLOT_MAX_QUIET);
	memcpy(my_slot->quiet, destination_ids, my_slot->nquiet * sizeof(int32));
	if (my_slot->nranges > 0)
		my_slot->woken = true;	/* some of it may be quiet no more */
	LWLockRelease(&my_slot->lock);
}

void
worker_slot_set_elsewhere(bool elsewhere)
{
	LWLockAcquire(&my_slot->lock, LW_EXCLUSIVE);
	my_slot->elsewhere = elsewhere;
	LWLockRelease(&my_slot->lock);
}

void
worker_slot_show_max_in_flight(int max_in_flight)
{
	LWLockAcquire(&my_slot->lock, LW_EXCLUSIVE);
	my_slot->max_in_flight = max_in_flight;
	LWLockRelease(&my_slot->lock);
}

void
worker_slot_show_lacks(const char *lacks)
{
	LWLockAcquire(&my_slot->lock, LW_EXCLUSIVE);
	strlcpy(my_slot->lacks, lacks, sizeof(my_slot->lacks));
	LWLockRelease(&my_slot->lock);
}

/* Who has a share of this database's queue, as shown to people. */
typedef struct ShownWorker
{
	int			pid;			/* 0: nobody has */
	int			max_in_flight;
	char		lacks[SLOT_LACKS_SIZE];
} ShownWorker;

static void
look_at_share(int share, ShownWorker *shown)
{
	WorkerSlot *first;

	memset(shown, 0, sizeof(*shown));
	if (shmem_control == NULL)
		return;
	LWLockAcquire(&shmem_control->lock, LW_SHARED);
	first = slots_find(MyDatabaseId);
	if (first != NULL)
	{
		WorkerSlot *slot = &first[share];

		LWLockAcquire(&slot->lock, LW_SHARED);
		if (slot->worker != NULL)
			shown->pid = slot->worker->pid;
		shown->max_in_flight = slot->max_in_flight;
		strlcpy(shown->lacks, slot->lacks, sizeof(shown->lacks));
		LWLockRelease(&slot->lock);
	}
	LWLockRelease(&shmem_control->lock);
}

SQL_FUNCTION(rswebhook_worker_pid);

/* The first worker of this database; null: there is none. */
Datum
rswebhook_worker_pid(PG_FUNCTION_ARGS)
{
	ShownWorker shown;

	look_at_share(0, &shown);
	if (shown.pid == 0)
		PG_RETURN_NULL();
	PG_RETURN_INT32(shown.pid);
}

SQL_FUNCTION(rswebhook_list_workers);

/* The workers that this database should have, and the processes that are there. */
Datum
rswebhook_list_workers(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	for (int share = 0; share < rswebhook_workers; share++)
	{
		ShownWorker shown;
		Datum		values[4];
		bool		nulls[4] = {false};

		look_at_share(share, &shown);
		values[0] = Int32GetDatum(share + 1);
		values[1] = Int32GetDatum(shown.pid);
		nulls[1] = shown.pid == 0;
		values[2] = Int32GetDatum(shown.max_in_flight);
		nulls[2] = shown.max_in_flight == 0;
		nulls[3] = shown.lacks[0] == '\0';
		values[3] = nulls[3] ? (Datum) 0 : CStringGetTextDatum(shown.lacks);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
