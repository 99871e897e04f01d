/*-------------------------------------------------------------------------
 *
 * floors.c
 *		Where each destination's queue begins, for the next worker.
 *
 * A worker that starts reads from the lowest id on.  While somebody holds an old
 * snapshot, all rows that were delivered since are still there, dead, and their
 * index entries with them.  So it is saved up to which id nothing is left.
 *
 * That must hold after a crash, when nobody tells any more of what has committed
 * late.  So it is not gone by what was told: at some moment the highest id that
 * was drawn is noted, and the next transaction's id.  A transaction has its own
 * id before it draws any for events, so once none is running that has a lower one
 * than that, prepared ones included, no row can appear any more up to the id that
 * was noted.  Only after that is it looked, under newer snapshots, where the first
 * row is (READ_FLOOR).
 *
 * That is the affair of the destination's worker, or of the first of several.
 *
 * But rswebhook_replay() brings back rows with any ids.  It says so in the table
 * that has the floors, in the same transaction, and its row there counts as soon
 * as the replayed ones can be seen.  Rows that somebody inserts by hand are found
 * by the sweep, as ever.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "storage/procarray.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "schedule/schedule.h"
#include "shmem/slots.h"
#include "tables/queue_states.h"
#include "tables/tables.h"
#include "worker/floors.h"
#include "worker/lanes.h"
#include "worker/repeated.h"
#include "worker/session.h"

/* How often it is looked whether there is anything to do, while the worker is up. */
#define FLOORS_INTERVAL_US	(2 * USECS_PER_SEC)

/* While somebody's transaction stays open, the pause doubles from that to this. */
#define FLOORS_PAUSE_US		(5 * 60 * USECS_PER_SEC)

static Instant next_look = 0;
static int64 pause_us = FLOORS_INTERVAL_US;
static bool waits = false;		/* for transactions to end, or lanes to have looked */

/* What was noted; 0: nothing is. */
static int64 noted_id = 0;
static uint64 noted_xid;

/* Errors in this, for the log. */
static Repeated failures;

static void
load(int unused)
{
	Floor	   *floors;
	int			count;
	int64		last_id;
	Instant		now = clock_now();

	if (!session_begin("looking where the queue begins"))
		return;
	last_id = queue_last_id();
	count = queue_load_floors(&floors);
	for (int i = 0; i < count; i++)
	{
		/* beyond the ids of all events: they have begun anew */
		if (floors[i].after_id > 0 && floors[i].after_id <= last_id &&
			lanes_part(floors[i].destination_id) >= 0)
			schedule_start_at(&floors[i], now);
	}
	session_commit();
}

void
floors_load(void)
{
	ErrorData  *error = session_try(load, 0);

	if (error != NULL)
		repeated_report(&failures, error);
}

/* Up to which id may no row appear any more?  Asked again and again. */
static int64
settled_id(void)
{
	TransactionId oldest_xid = get_oldest_active_xid();
	uint64		next = U64FromFullTransactionId(ReadNextFullTransactionId());
	uint64		oldest = next - (uint32) ((uint32) next - oldest_xid);
	int64		settled = 0;

	if (noted_id != 0 && oldest >= noted_xid)
	{
		settled = noted_id;
		noted_id = 0;
	}
	if (noted_id == 0)
	{
		noted_id = queue_last_id();
		noted_xid = U64FromFullTransactionId(ReadNextFullTransactionId());
	}
	return settled;
}

typedef struct Look
{
	int64		settled;
	Instant		now;
	bool		waits;
} Look;

static void
save_and_look(Lane *lane, void *arg)
{
	Look	   *look = arg;
	Floor		floor;

	if (schedule_floor_to_save(lane, &floor))
	{
		queue_save_floor(&floor);
		schedule_floor_saved(lane, &floor);
	}
	if (look->settled > 0)
		schedule_look_for_floor(lane, look->settled, look->now);
	look->waits |= schedule_floor_may_rise(lane, noted_id);
}

static void
look_at_lanes(int unused)
{
	Look		look = {.now = clock_now()};

	if (!session_begin("looking where the queue begins"))
		return;
	look.settled = settled_id();
	tables_lock_and_look("floor");
	schedule_each_lane(save_and_look, &look);
	session_commit();
	pause_us = look.settled > 0 ? FLOORS_INTERVAL_US : Min(pause_us * 2, FLOORS_PAUSE_US);
	waits = look.waits;
}

/* Many events may have been replayed one by one. */
static void
tidy(int unused)
{
	Floor	   *floors;
	int			count;

	if (!session_begin("looking where the queue begins"))
		return;
	if (slots_my_share() == 0)
		queue_forget_floors();
	count = queue_load_floors(&floors);
	for (int i = 0; i < count; i++)
	{
		if (floors[i].nrows > 1 && lanes_part(floors[i].destination_id) == 0)
		{
			queue_save_floor(&floors[i]);
			schedule_floor_saved(schedule_lane(floors[i].destination_id, clock_now()), &floors[i]);
		}
	}
	session_commit();
}

void
floors_tidy(void)
{
	ErrorData  *error = NULL;

	if (!session_extension_gone())
		error = session_try(tidy, 0);
	if (error != NULL)
		repeated_report(&failures, error);
}

/* If anything is in the way, that holds up neither deliveries nor anything else. */
void
floors_run(Instant now)
{
	ErrorData  *error;

	if (now < next_look || session_extension_gone())
		return;
	error = session_try(look_at_lanes, 0);
	if (error != NULL)
	{
		repeated_report(&failures, error);
		noted_id = 0;
		waits = false;
		pause_us = FLOORS_PAUSE_US;
	}
	next_look = now + pause_us;
}

Instant
floors_due_at(void)
{
	return waits ? next_look : INSTANT_NEVER;
}
