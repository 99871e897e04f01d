/*-------------------------------------------------------------------------
 *
 * counters.c
 *		Live counters of destinations in shared memory: the workers write them,
 *		rswebhook.status shows them.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "funcapi.h"
#include "miscadmin.h"
#include "storage/shmem.h"
#include "utils/hsearch.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "base/clock.h"
#include "base/compat.h"
#include "base/encoding.h"
#include "shmem/control.h"
#include "shmem/counters.h"
#include "shmem/slots.h"

/* Destinations of the cluster that have counters, an entry a worker. */
#define MAX_TRACKED_DESTINATIONS	4096

typedef struct StatsKey
{
	Oid			database;
	int32		destination_id;
	int32		share;
} StatsKey;

typedef struct StatsEntry
{
	StatsKey	key;
	DestinationStats stats;
} StatsEntry;

static HTAB *stats_table = NULL;

static long
max_entries(void)
{
	return (long) MAX_TRACKED_DESTINATIONS * rswebhook_workers;
}

Size
counters_size(void)
{
	return hash_estimate_size(max_entries(), sizeof(StatsEntry));
}

/* The caller holds AddinShmemInitLock. */
void
counters_startup(void)
{
	HASHCTL		info = {0};

	info.keysize = sizeof(StatsKey);
	info.entrysize = sizeof(StatsEntry);
	stats_table = init_shared_hash("rswebhook destinations", max_entries(), &info,
								   HASH_ELEM | HASH_BLOBS);
}

void
counters_forget_mine(void)
{
	HASH_SEQ_STATUS scan;
	StatsEntry *entry;

	LWLockAcquire(&shmem_control->stats_lock, LW_EXCLUSIVE);
	hash_seq_init(&scan, stats_table);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		if (entry->key.database == MyDatabaseId &&
			entry->key.share == slots_my_share())
			hash_search(stats_table, &entry->key, HASH_REMOVE, NULL);
	}
	LWLockRelease(&shmem_control->stats_lock);
}

void
counters_publish(int32 destination_id, const DestinationStats *stats)
{
	StatsKey	key = {MyDatabaseId, destination_id, slots_my_share()};
	StatsEntry *entry;

	LWLockAcquire(&shmem_control->stats_lock, LW_EXCLUSIVE);
	entry = hash_search(stats_table, &key, HASH_ENTER_NULL, NULL);
	if (entry != NULL)			/* else: too many to keep counters of all */
		entry->stats = *stats;
	LWLockRelease(&shmem_control->stats_lock);
}

void
counters_forget(int32 destination_id)
{
	StatsKey	key = {MyDatabaseId, destination_id, slots_my_share()};

	LWLockAcquire(&shmem_control->stats_lock, LW_EXCLUSIVE);
	hash_search(stats_table, &key, HASH_REMOVE, NULL);
	LWLockRelease(&shmem_control->stats_lock);
}

static TimestampTz
sooner(TimestampTz a, TimestampTz b)
{
	return a == NO_TIME || (b != NO_TIME && b < a) ? b : a;
}

static void
add_owed(DestinationStats *sum, const DestinationStats *other)
{
	sum->nknown += other->owed.known && other->parts == sum->parts;
	sum->owed.pending += other->owed.pending;
	sum->owed.retrying += other->owed.retrying;
	sum->owed.scheduled += other->owed.scheduled;
	sum->owed.oldest = sooner(sum->owed.oldest, other->owed.oldest);
	sum->owed.next_retry_at = sooner(sum->owed.next_retry_at, other->owed.next_retry_at);
}

/* Add what another worker has counted of a destination. */
static void
add_up(DestinationStats *sum, const DestinationStats *other)
{
	int64		delivered = sum->delivered + other->delivered;

	add_owed(sum, other);
	sum->in_flight += other->in_flight;
	sum->in_flight_limit += other->in_flight_limit;
	sum->backed_off |= other->backed_off;
	if (delivered > 0)
		sum->latency_ms = (sum->latency_ms * sum->delivered +
						   other->latency_ms * other->delivered) / delivered;
	sum->delivered = delivered;
	if (other->problem_at > sum->problem_at)
	{
		sum->problem_at = other->problem_at;
		strlcpy(sum->problem, other->problem, sizeof(sum->problem));
	}
}

/*
 * What all workers have counted of a destination, if the entry is the first
 * one of it; the caller holds stats_lock.
 */
static bool
collect(const StatsEntry *first, DestinationStats *sum)
{
	StatsKey	key = first->key;

	*sum = first->stats;
	sum->nknown = sum->owed.known;
	for (key.share = 0; key.share < rswebhook_workers; key.share++)
	{
		StatsEntry *entry = key.share == first->key.share ? NULL :
			hash_search(stats_table, &key, HASH_FIND, NULL);

		if (entry == NULL)
			continue;
		if (key.share < first->key.share)
			return false;
		add_up(sum, &entry->stats);
	}
	return true;
}

/* Copies of what all workers have counted of this database's destinations. */
static StatsEntry *
copy_entries(int *count)
{
	HASH_SEQ_STATUS scan;
	StatsEntry *entry;
	StatsEntry *copies;

	*count = 0;
	LWLockAcquire(&shmem_control->stats_lock, LW_SHARED);
	copies = palloc(sizeof(StatsEntry) * Max(hash_get_num_entries(stats_table), 1));
	hash_seq_init(&scan, stats_table);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		StatsEntry *copy = &copies[*count];

		if (entry->key.database != MyDatabaseId || !collect(entry, &copy->stats))
			continue;
		copy->key = entry->key;
		(*count)++;
	}
	LWLockRelease(&shmem_control->stats_lock);
	return copies;
}

/* What was told of since, and no worker has heard yet. */
static void
add_told(StatsEntry *entries, int count)
{
	QueuedRange *ranges;
	int			nranges = slots_look_at_ranges(&ranges);

	for (int i = 0; i < nranges; i++)
	{
		for (int j = 0; j < count; j++)
		{
			Owed	   *owed = &entries[j].stats.owed;

			if (ranges[i].destination_id != entries[j].key.destination_id)
				continue;
			if (owed->oldest == NO_TIME)
				owed->oldest = GetCurrentTimestamp();
			owed->pending += ranges[i].rows;
		}
	}
}

SQL_FUNCTION(rswebhook_worker_stats);

/* The live counters of this database's destinations. */
Datum
rswebhook_worker_stats(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	StatsEntry *entries;
	int			count;

	InitMaterializedSRF(fcinfo, 0);
	if (shmem_control == NULL)
		return (Datum) 0;

	entries = copy_entries(&count);
	add_told(entries, count);
	for (int i = 0; i < count; i++)
	{
		const DestinationStats *stats = &entries[i].stats;
		const Owed *owed = &stats->owed;
		Datum		values[12];
		bool		nulls[12] = {0};

		CHECK_FOR_INTERRUPTS();
		values[0] = Int32GetDatum(entries[i].key.destination_id);
		values[1] = Int32GetDatum(stats->in_flight);
		values[2] = Int32GetDatum(stats->in_flight_limit);
		nulls[2] = stats->in_flight_limit == 0;
		values[3] = Float8GetDatum(stats->latency_ms);
		nulls[3] = stats->delivered == 0;
		nulls[4] = nulls[5] = stats->problem_at == NO_TIME;
		if (!nulls[4])			/* cut anywhere, in the middle of a character, too */
			values[4] = encoding_readable(stats->problem, strlen(stats->problem));
		values[5] = TimestampTzGetDatum(stats->problem_at);
		nulls[6] = nulls[7] = nulls[8] = stats->nknown != stats->parts;
		values[6] = Int64GetDatum(owed->pending);
		values[7] = Int64GetDatum(owed->retrying);
		values[8] = Int64GetDatum(owed->scheduled);
		nulls[9] = owed->oldest == NO_TIME;
		values[9] = TimestampTzGetDatum(owed->oldest);
		nulls[10] = owed->next_retry_at == NO_TIME;
		values[10] = TimestampTzGetDatum(owed->next_retry_at);
		values[11] = BoolGetDatum(stats->backed_off);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
