/*-------------------------------------------------------------------------
 *
 * prepared.c
 *		What prepared transactions will have to tell, once they are committed.
 *
 * PREPARE TRANSACTION ends what the backend knows of its transaction, and some
 * other session commits it, perhaps after a restart.  So what it queued is kept
 * here by its gid.  While COMMIT PREPARED is run, what is kept stands for the
 * announcement that other commits make (wake.c).
 *
 * Transactions of which nothing is kept although they may concern us are known
 * by their ids: they are from before the server's start, or came when there was
 * no room, and so have ids below unknown_before.  There are none any more once
 * no id below it is running.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/twophase.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/procarray.h"
#include "storage/shmem.h"
#include "utils/snapmgr.h"

#include "base/clock.h"
#include "base/compat.h"
#include "shmem/control.h"
#include "shmem/prepared.h"
#include "shmem/share.h"
#include "shmem/slots.h"
#include "shmem/worker_slot.h"

/* So many are kept at the most; each takes about a kilobyte. */
#define MAX_PREPARED	1024

/*
 * Whoever ends a transaction tells what is kept of it, and forgets it.  If he has
 * failed right between, the workers find it, and it is forgotten after so long.
 */
#define LEFT_BEHIND_US	(60 * USECS_PER_SEC)

typedef struct Prepared
{
	uint32		hash;			/* of the gid */
	Oid			database;
	bool		ending;			/* the workers look for it in their snapshots */
	uint32		seen;			/* shares whose workers have found it there */
	Instant		seen_at;		/* when the first one has */
	PreparedNews news;
	char		gid[GIDSIZE];	/* "": not known */
} Prepared;

typedef struct PreparedTable
{
	LWLock		lock;
	int			count;
	int			nending;
	uint64		unknown_before; /* a full transaction id; 0: not set yet */
	Prepared	kept[FLEXIBLE_ARRAY_MEMBER];
} PreparedTable;

static PreparedTable *table = NULL;

static int
max_prepared(void)
{
	return Min(max_prepared_xacts, MAX_PREPARED);
}

Size
prepared_size(void)
{
	return add_size(offsetof(PreparedTable, kept), mul_size(max_prepared(), sizeof(Prepared)));
}

void
prepared_startup(void)
{
	bool		found;

	table = ShmemInitStruct("rswebhook prepared transactions", prepared_size(), &found);
	if (found)
		return;
	LWLockInitialize(&table->lock, GetNamedLWLockTranche("rswebhook")->lock.tranche);
	table->count = 0;
	table->nending = 0;
	table->unknown_before = 0;
}

/* ---------------------------------------------------------------------
 * Those of which nothing is kept
 * ---------------------------------------------------------------------
 */

static uint64
next_full_xid(void)
{
	return U64FromFullTransactionId(ReadNextFullTransactionId());
}

/* The id nearest below the next one that ends so. */
static uint64
full_xid(TransactionId xid)
{
	uint64		next = next_full_xid();

	return next - (uint32) ((uint32) next - xid);
}

void
prepared_note_start(void)
{
	LWLockAcquire(&table->lock, LW_EXCLUSIVE);
	if (table->unknown_before == 0)
		table->unknown_before = next_full_xid();
	LWLockRelease(&table->lock);
}

bool
prepared_may_lack(void)
{
	static uint64 none_before = 0;	/* that was asked for last */
	uint64		before;

	LWLockAcquire(&table->lock, LW_SHARED);
	before = table->unknown_before;
	LWLockRelease(&table->lock);
	if (before != 0 && before == none_before)
		return false;
	if (before == 0)
		prepared_note_start();
	else if (full_xid(get_oldest_active_xid()) >= before)
	{
		none_before = before;
		return false;
	}
	return true;
}

bool
prepared_lacks(TransactionId xid)
{
	bool		lacks;

	LWLockAcquire(&table->lock, LW_SHARED);
	lacks = full_xid(xid) < table->unknown_before;
	LWLockRelease(&table->lock);
	return lacks;
}

/* ---------------------------------------------------------------------
 * Those that are kept
 * ---------------------------------------------------------------------
 */

static uint32
hash_of(const char *gid)
{
	return DatumGetUInt32(hash_any((const unsigned char *) gid, strlen(gid)));
}

/* The next one of this database from there on; the caller holds the lock. */
static Prepared *
find(Prepared *from, const char *gid)
{
	uint32		hash = hash_of(gid);

	for (Prepared *p = from; p < table->kept + table->count; p++)
	{
		if (p->hash == hash && p->database == MyDatabaseId && strcmp(p->gid, gid) == 0)
			return p;
	}
	return NULL;
}

static void
set_ending(Prepared *p)
{
	if (!p->ending)
		table->nending++;
	p->ending = true;
}

/* The last one comes into its place. */
static void
forget(Prepared *p)
{
	if (p->ending)
		table->nending--;
	*p = table->kept[--table->count];
}

/* Without a name nobody will say when it is about to end. */
void
prepared_keep(const char *gid, const PreparedNews *news)
{
	Prepared   *p;

	LWLockAcquire(&table->lock, LW_EXCLUSIVE);
	if (table->count == max_prepared())
		table->unknown_before = Max(table->unknown_before, full_xid(news->xid) + 1);
	else
	{
		p = &table->kept[table->count++];
		p->database = MyDatabaseId;
		p->ending = false;
		p->seen = 0;
		p->seen_at = 0;
		p->news = *news;
		strlcpy(p->gid, gid == NULL ? "" : gid, sizeof(p->gid));
		p->hash = hash_of(p->gid);
		if (gid == NULL)
			set_ending(p);
	}
	LWLockRelease(&table->lock);
}

bool
prepared_will_end(const char *gid)
{
	Prepared   *p;

	LWLockAcquire(&table->lock, LW_EXCLUSIVE);
	p = find(table->kept, gid);
	if (p != NULL)
		set_ending(p);
	LWLockRelease(&table->lock);
	return p != NULL;
}

/* The name may be another transaction's already, which is still prepared. */
bool
prepared_next_ended(const char *gid, PreparedNews *news)
{
	const char *name = gid == NULL ? "" : gid;
	Prepared   *p;

	LWLockAcquire(&table->lock, LW_SHARED);
	p = find(table->kept, name);
	while (p != NULL && TransactionIdIsInProgress(p->news.xid))
		p = find(p + 1, name);
	if (p != NULL)
		*news = p->news;
	LWLockRelease(&table->lock);
	return p != NULL;
}

void
prepared_forget(TransactionId xid)
{
	LWLockAcquire(&table->lock, LW_EXCLUSIVE);
	for (Prepared *p = table->kept; p < table->kept + table->count; p++)
	{
		if (p->news.xid == xid)
		{
			forget(p);
			break;
		}
	}
	LWLockRelease(&table->lock);
}

/* ---------------------------------------------------------------------
 * What a worker finds by its snapshot
 * ---------------------------------------------------------------------
 */

static int
add_ranges(const PreparedNews *news, QueuedRange *ranges, int count, int most)
{
	for (int i = 0; i < news->nranges; i++)
	{
		const QueuedRange *range = &news->ranges[i];

		if (!worker_slot_is_told(range, news->map))
			continue;
		if (count < most)
			ranges[count++] = *range;
		else
			range_widen(&ranges[count - 1], range);
	}
	return count;
}

/* Have all workers had it, and does whoever ended it not come back to it? */
static bool
is_left_behind(const Prepared *p)
{
	for (int share = 0; share < rswebhook_workers; share++)
	{
		if ((p->seen & SHARE_BIT(share)) == 0)
			return false;
	}
	return clock_now() - p->seen_at >= LEFT_BEHIND_US;
}

int
prepared_untold(Snapshot snapshot, QueuedRange *ranges, int most)
{
	uint32		me = SHARE_BIT(slots_my_share());
	int			count = 0;
	bool		any;

	LWLockAcquire(&table->lock, LW_SHARED);
	any = table->nending > 0;
	LWLockRelease(&table->lock);
	if (!any)
		return 0;				/* nearly always */

	LWLockAcquire(&table->lock, LW_EXCLUSIVE);
	for (int i = table->count - 1; i >= 0; i--)
	{
		Prepared   *p = &table->kept[i];

		if (!p->ending || p->database != MyDatabaseId ||
			XidInMVCCSnapshot(p->news.xid, snapshot))
			continue;
		if ((p->seen & me) == 0)
			count = add_ranges(&p->news, ranges, count, most);
		p->seen |= me;
		if (p->seen_at == 0)
			p->seen_at = clock_now();
		if (is_left_behind(p))
			forget(p);
	}
	LWLockRelease(&table->lock);
	return count;
}
