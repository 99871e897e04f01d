/*-------------------------------------------------------------------------
 *
 * wake.c
 *		What a commit tells the workers.
 *
 * A committing backend tells each worker which ids of its share may have become
 * visible, for which destination.  That makes a worker's read-ahead exact: ids
 * commit out of order, and a transaction that commits late would otherwise have
 * to be found by reading again what lies behind the cursor.  A session may know of
 * another map (share.h) than the workers: then it tells all of them, and each
 * passes over what is not its own.
 *
 * The backend tells that a moment after its rows have become visible.  In that
 * moment a worker may see some of them beyond its cursor, while others of the
 * same user, with lower ids, lie behind it.  So a backend also announces what
 * it is about to commit, and a worker, before it reads, looks for
 * announcements of transactions that its snapshot sees.
 *
 * What a transaction that is prepared will have to tell is kept in prepared.c.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "miscadmin.h"
#include "replication/logicalworker.h"
#include "replication/walsender.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

#include "base/clock.h"
#include "base/inject.h"
#include "shmem/control.h"
#include "shmem/hold.h"
#include "shmem/prepared.h"
#include "shmem/share.h"
#include "shmem/slots.h"
#include "shmem/wake.h"
#include "shmem/worker_slot.h"

/* A transaction that is about to commit, or has and was not told of yet. */
typedef struct Announcement
{
	Oid			database;
	TransactionId xid;
	QueuedRange range;
	ShareMap	map;			/* of its shares */
} Announcement;

typedef struct Commits
{
	LWLock		lock;
	int			count;
	Announcement announced[FLEXIBLE_ARRAY_MEMBER];
} Commits;

static Commits *commits = NULL;

/* what the current transaction queued */
static QueuedRange pending[MAX_PENDING_RANGES];
static int	npending = 0;
static ShareMap pending_map;	/* of their shares; NO_SHARE_MAP: they are of several */
static bool publishes = false;	/* it has committed, and the workers hear soon */

static bool pending_change = false; /* of what the workers have to know */
static TransactionId announced_xid = InvalidTransactionId;

static bool pending_new_database = false;
static Oid	pending_settings[8];	/* of these databases; of the last one: of all */
static int	npending_settings = 0;
static bool commits_async = false;
static char prepares_as[GIDSIZE];	/* the gid, if it ends in a command's PREPARE */

/* ---------------------------------------------------------------------
 * Announcements
 * ---------------------------------------------------------------------
 */

/*
 * Every process that commits for users, walsenders for logical replication
 * included: they run SQL as well.  Each announces one transaction at a time.
 */
static int
max_commits(void)
{
	return MaxConnections + max_worker_processes + max_wal_senders;
}

Size
wake_size(void)
{
	return add_size(offsetof(Commits, announced),
					mul_size(max_commits(), sizeof(Announcement)));
}

void
wake_startup(void)
{
	bool		found;

	commits = ShmemInitStruct("rswebhook commits", wake_size(), &found);
	if (!found)
	{
		LWLockInitialize(&commits->lock, GetNamedLWLockTranche("rswebhook")->lock.tranche);
		commits->count = 0;
	}
}

void
wake_announce(TransactionId xid, const QueuedRange *range, ShareMap map)
{
	if (commits == NULL || !TransactionIdIsValid(xid))
		return;
	LWLockAcquire(&commits->lock, LW_EXCLUSIVE);
	Assert(commits->count < max_commits());
	if (commits->count < max_commits())
		commits->announced[commits->count++] = (Announcement) {MyDatabaseId, xid, *range, map};
	LWLockRelease(&commits->lock);
	announced_xid = xid;
}

/* The transaction has failed, or the workers have been told. */
static void
withdraw_announcement(void)
{
	if (!TransactionIdIsValid(announced_xid))
		return;
	LWLockAcquire(&commits->lock, LW_EXCLUSIVE);
	for (int i = 0; i < commits->count; i++)
	{
		if (commits->announced[i].xid == announced_xid)
		{
			commits->announced[i] = commits->announced[--commits->count];
			break;
		}
	}
	LWLockRelease(&commits->lock);
	announced_xid = InvalidTransactionId;
}

/* Of prepared transactions that have just ended; the last one covers the others. */
#define MAX_PREPARED_RANGES	64

/*
 * A backend tells before it withdraws, so looking at what is announced first
 * misses nothing.
 */
const QueuedRange *
wake_untold_ranges(Snapshot snapshot, int *count)
{
	static QueuedRange *ranges = NULL;
	int			n = 0;

	if (ranges == NULL)
		ranges = MemoryContextAlloc(TopMemoryContext,
									(max_commits() + MAX_PREPARED_RANGES + SLOT_MAX_RANGES) *
									sizeof(QueuedRange));

	LWLockAcquire(&commits->lock, LW_SHARED);
	for (int i = 0; i < commits->count; i++)
	{
		const Announcement *a = &commits->announced[i];

		if (a->database == MyDatabaseId &&
			worker_slot_is_told(&a->range, a->map) &&
			!XidInMVCCSnapshot(a->xid, snapshot))
			ranges[n++] = a->range;
	}
	LWLockRelease(&commits->lock);

	n += prepared_untold(snapshot, ranges + n, MAX_PREPARED_RANGES);
	*count = n + worker_slot_look_at_ranges(ranges + n);
	return ranges;
}

/* ---------------------------------------------------------------------
 * What a transaction queues
 * ---------------------------------------------------------------------
 */

void
wake_note_queued(const QueuedRange *range, ShareMap map)
{
	if (shmem_control == NULL || range->first_id > range->last_id)
		return;
	if (npending == 0)
	{
		clock_note();
		pending_map = map;
	}
	else if (pending_map != map)
		pending_map = NO_SHARE_MAP;

	/* what is looked for is nearly always in the last range, or next to it */
	for (int i = npending - 1; i >= 0; i--)
	{
		if (pending[i].destination_id == range->destination_id)
		{
			range_widen(&pending[i], range);
			return;
		}
	}
	/* if they are too many to name, the last one stands for all destinations */
	if (npending < MAX_PENDING_RANGES)
		pending[npending++] = *range;
	else
		range_widen(&pending[npending - 1], range);
}

void
wake_note_changed(void)
{
	pending_change = shmem_control != NULL;
}

/* Is it below the other one, or not far above? */
static bool
is_near(int64 id, int64 other)
{
	return id <= other || (uint64) id - (uint64) other <= 100;
}

/*
 * Add to a worker's ranges.  Neighbouring sends to one destination become
 * one range, unless ids of a transaction that is still open may lie between
 * them: that only makes the worker look where nothing is.
 */
static void
push_range(WorkerSlot *slot, const QueuedRange *range)
{
	for (int i = slot->nranges - 1; i >= Max(0, slot->nranges - 8); i--)
	{
		QueuedRange *last = &slot->ranges[i];

		if (last->destination_id == range->destination_id &&
			is_near(range->first_id, last->last_id) && is_near(last->first_id, range->last_id))
		{
			range_widen(last, range);
			return;
		}
	}
	if (slot->nranges < SLOT_MAX_RANGES)
		slot->ranges[slot->nranges++] = *range;
	else
		range_widen(&slot->ranges[slot->nranges - 1], range);
}

/* One range for all that the transaction queued. */
static void
announce_pending(void)
{
	QueuedRange all = pending[0];

	for (int i = 1; i < npending; i++)
		range_widen(&all, &pending[i]);
	wake_announce(GetTopTransactionIdIfAny(), &all, pending_map);
}

static bool
is_quiet(const WorkerSlot *slot, int32 destination_id)
{
	for (int i = 0; i < slot->nquiet; i++)
	{
		if (slot->quiet[i] == destination_id)
			return true;
	}
	return false;
}

/*
 * Tell a worker what a transaction queued in its shares; false: it is not there.  How many rows
 * of those are its own is known if all of them are.  What is quiet can wait, unless it
 * would have to be counted.
 */
static bool
tell(WorkerSlot *slot, uint32 shares, const QueuedRange *ranges, int count, bool changed)
{
	bool		wakes = changed;
	bool		told = false;

	LWLockAcquire(&slot->lock, LW_EXCLUSIVE);
	if (slot->database == MyDatabaseId && slot->worker != NULL)
	{
		for (int i = 0; i < count; i++)
		{
			QueuedRange range = ranges[i];

			if ((range.shares & shares) == 0)
				continue;
			if (range.shares != shares)
				range.rows = 0;
			wakes |= !is_quiet(slot, range.destination_id) || range.rows == 0 ||
				slot->nranges == SLOT_MAX_RANGES;
			push_range(slot, &range);
		}
		slot->changed |= changed;
		if (wakes)
			slots_wake_worker(slot);
		told = true;
	}
	LWLockRelease(&slot->lock);
	return told;
}

/*
 * After commit: nothing here may fail.
 *
 * A slot's map is looked at without a lock.  If its worker goes meanwhile, the next
 * one attaches later, and sees all that was committed by now.
 */
static void
publish(const QueuedRange *ranges, int count, ShareMap map, bool changed)
{
	static int	hint = 0;		/* the first slot of this database, most likely */
	uint32		shares = changed ? ALL_SHARES : 0;
	bool		all_told = true;

	if (shmem_control->slots[hint].database != MyDatabaseId)
		hint = slots_number(MyDatabaseId);
	for (int i = 0; i < count; i++)
		shares |= ranges[i].shares;
	for (int share = 0; share < rswebhook_workers && hint >= 0; share++)
	{
		WorkerSlot *slot = &shmem_control->slots[hint + share];
		uint32		its = pg_atomic_read_u64(&slot->map) == map ? SHARE_BIT(share) : ALL_SHARES;

		if ((shares & its) != 0 && !tell(slot, its, ranges, count, changed))
			all_told &= (shares & SHARE_BIT(share)) == 0;
	}

	/* a worker that starts reads everything that is visible by then */
	if (!all_told || hint < 0)
		(void) slots_want_workers(MyDatabaseId);
	hint = Max(hint, 0);
}

/*
 * With synchronous_commit off, a transaction is visible before it is on disk,
 * and a crash may undo it: what it queued must not have been sent by then.  So
 * workers are told, before such a transaction becomes visible, that they have
 * to see to the disk themselves; and afterwards, up to where.
 */
static void
begin_async_commit(void)
{
	commits_async = true;
	pg_atomic_fetch_add_u32(&shmem_control->async_under_way, 1);
}

static void
end_async_commit(bool committed)
{
	uint64		upto = pg_atomic_read_u64(&shmem_control->async_upto);

	commits_async = false;
	while (committed && upto < XactLastCommitEnd &&
		   !pg_atomic_compare_exchange_u64(&shmem_control->async_upto, &upto, XactLastCommitEnd))
		;
	pg_atomic_fetch_sub_u32(&shmem_control->async_under_way, 1);
}

/*
 * The end of the last record in WAL.  What PostgreSQL tells is where the next
 * one will start: if the last one filled its page, that is behind the header of
 * a page that is not there yet, and a flush up to there fails.  No record ends
 * right behind a header, so that stepping back is never wrong.
 */
static XLogRecPtr
end_of_wal(void)
{
	XLogRecPtr	next = GetXLogInsertRecPtr();

	if (XLogSegmentOffset(next, wal_segment_size) == SizeOfXLogLongPHD)
		return next - SizeOfXLogLongPHD;
	if (next % XLOG_BLCKSZ == SizeOfXLogShortPHD)
		return next - SizeOfXLogShortPHD;
	return next;
}

void
wake_flush_commits(void)
{
	if (pg_atomic_read_u32(&shmem_control->async_under_way) > 0)
		XLogFlush(end_of_wal());
	else
	{
		pg_read_barrier();
		XLogFlush(pg_atomic_read_u64(&shmem_control->async_upto));
	}
}

void
wake_note_new_database(void)
{
	pending_new_database = true;
}

void
wake_note_settings(Oid database)
{
	if (npending_settings < lengthof(pending_settings))
		pending_settings[npending_settings++] = database;
	else
		pending_settings[lengthof(pending_settings) - 1] = InvalidOid;
}

/* A worker has those of its start. */
static void
apply_settings(bool committed)
{
	for (int i = 0; i < npending_settings && committed; i++)
		slots_begin_anew(pending_settings[i]);
	npending_settings = 0;
}

static void
request_scan(void)
{
	LWLockAcquire(&shmem_control->lock, LW_EXCLUSIVE);
	shmem_control->scan = true;
	slots_wake_launcher();
	LWLockRelease(&shmem_control->lock);
}

/* ---------------------------------------------------------------------
 * Prepared transactions
 * ---------------------------------------------------------------------
 */

void
wake_note_prepare(const char *gid)
{
	strlcpy(prepares_as, gid, sizeof(prepares_as));
}

/* The transaction is prepared, and this session knows of it no longer. */
static void
keep_pending(void)
{
	PreparedNews news = {
		.xid = GetTopTransactionIdIfAny(),
		.changed = pending_change,
		.new_database = pending_new_database,
		.map = pending_map,
		.nranges = npending
	};

	memcpy(news.ranges, pending, npending * sizeof(QueuedRange));
	prepared_keep(prepares_as[0] == '\0' ? NULL : prepares_as, &news);
}

/*
 * It is visible, and its invalidation messages are sent: nothing here may fail,
 * and nothing of it depends on what becomes of our own transaction.
 */
void
wake_prepared_ended(const char *gid, bool committed)
{
	PreparedNews news;

	while (prepared_next_ended(gid, &news))
	{
		INJECT("committed");
		if (committed && (news.nranges > 0 || news.changed))
			publish(news.ranges, news.nranges, news.map, news.changed);
		if (committed && news.new_database)
			request_scan();
		prepared_forget(news.xid);
	}
}

/*
 * Logical replication commits prepared transactions without a command, and then
 * the transaction in which it did that.
 */
static void
look_for_replicated(void)
{
	if (IsLogicalWorker())
		wake_prepared_ended(NULL, true);
}

/* How many rows of what was queued have gone with it is not known. */
static void
subxact_callback(SubXactEvent event, SubTransactionId id, SubTransactionId parent, void *arg)
{
	for (int i = 0; i < npending && event == SUBXACT_EVENT_ABORT_SUB; i++)
		pending[i].rows = 0;
}

/* But for the first case nothing here may fail: the transaction has ended. */
static void
xact_callback(XactEvent event, void *arg)
{
	bool		committed = event == XACT_EVENT_COMMIT;

	if (event == XACT_EVENT_PRE_COMMIT && npending > 0)
	{
		announce_pending();
		if (synchronous_commit == SYNCHRONOUS_COMMIT_OFF)
			begin_async_commit();
	}

	if (!committed && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE)
		return;

	if (commits_async)
		end_async_commit(committed);
	if (committed)
		publishes = npending > 0 || pending_change;
	else
	{
		if (event == XACT_EVENT_PREPARE &&
			(npending > 0 || pending_change || pending_new_database) && shmem_control != NULL)
			keep_pending();
		npending = 0;
		pending_change = false;
		withdraw_announcement();
	}
	if (pending_new_database && committed)
		request_scan();
	pending_new_database = false;
	apply_settings(committed);
	prepares_as[0] = '\0';
	hold_release(committed);
}

/*
 * Workers are told last of all, when this transaction's invalidation messages
 * have been sent: they would not hear of a destination's change by looking
 * before that, and nothing would make them look again.
 */
static void
release_callback(ResourceReleasePhase phase, bool committed, bool top_level, void *arg)
{
	if (!top_level || phase != RESOURCE_RELEASE_AFTER_LOCKS)
		return;
	if (publishes)
	{
		INJECT("committed");
		publishes = false;
		publish(pending, npending, pending_map, pending_change);
		npending = 0;
		pending_change = false;
	}
	withdraw_announcement();
	if (committed && shmem_control != NULL)
		look_for_replicated();
}

void
wake_register_callbacks(void)
{
	RegisterResourceReleaseCallback(release_callback, NULL);
	RegisterXactCallback(xact_callback, NULL);
	RegisterSubXactCallback(subxact_callback, NULL);
}
