/*-------------------------------------------------------------------------
 *
 * reading.pml
 *		Who learns of which rows, when, what is read again, and who goes first:
 *		one destination, one worker, and some transactions that queue rows.
 *
 * A line that begins with -- names the function that does in C what follows.
 * Each atomic or d_step is what nobody sees half done: it is under one lock, or
 * in one process' own memory.  README.md says what is left out, and which broken
 * variants (#if of what is not defined here) are checked as well.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */

/* ---- Sizes; scripts/model gives others for some of the checks ---- */

/* transactions, the rows that each queues, and for which of two users */
#ifndef ROWS_0
#define ROWS_0		2
#define ROWS_1		1
#define ROWS_2		1
#endif
#define ROWS		(ROWS_0 + ROWS_1 + ROWS_2)
#define MAX_ROWS	5
#define SENDERS		3

/* the first two transactions are for one user, unless each has its own */
#if EACH_ITS_USER
#define USER(tx)	(tx)
#define OF_USER(tx)	BIT(tx)
#else
#define USER(tx)	((tx) == 2 -> 2 : 0)
#define OF_USER(tx)	((tx) == 2 -> BIT(2) : BIT(0) | BIT(1))
#endif
#define USERS		3

/* which of them may be prepared first, as bits */
#ifndef TWO_PHASE
#define TWO_PHASE	2
#endif
/* which may roll back */
#ifndef ABORTS
#define ABORTS		0
#endif
#ifndef CRASHES
#define CRASHES		1
#endif
/* answers 500 that a user's events get; LASTING: without end */
#define LASTING		255
#ifndef FAILURES_0
#define FAILURES_0	1
#endif
#ifndef FAILURES_2
#define FAILURES_2	0
#endif
/* requests in flight at once */
#ifndef PLACES
#define PLACES		2
#endif
/*
 * Rows in memory: LANE_ITEMS in C; 0: any number.  With a bound, retries wait in the
 * table, for users of one event each.
 */
#ifndef WINDOW
#define WINDOW		0
#endif
/* rows of a user in memory: KEY_ITEMS in C */
#ifndef KEY_ITEMS
#define KEY_ITEMS	1
#endif

/* ---- Sets of small numbers ---- */

#define BIT(i)		(1 << (i))
#define IN(set, i)	(((set) >> (i)) & 1)
#define MIN(a, b)	((a) < (b) -> (a) : (b))
#define MAX(a, b)	((a) > (b) -> (a) : (b))

/* ---- The table, and the transactions ---- */

byte owner[MAX_ROWS + 1];		/* of a row: its transaction plus one; 0: none, or it is deleted */
byte attempted;					/* rows with attempts > 0 */
byte committed;					/* transactions that are visible */
byte prepared;					/* transactions that outlive the server */
byte lost;						/* sessions that the server's crash has ended */
byte first_id[SENDERS], last_id[SENDERS];	/* of each transaction: its QueuedRange */
byte before[SENDERS];			/* those visible when this one became so, and itself */

#define USER_OF(id)		USER(owner[id] - 1)
#define IS_OWED(id)		(owner[id] != 0 && IN(committed, owner[id] - 1))

/* ---- What the receiver has seen ---- */

byte delivered;					/* rows that it has answered 200, until that is recorded */
byte failures[USERS];			/* answers 500 to come */

/* ---- Shared memory ---- */

byte announced;					/* transactions: Commits */
bool attached;					/* WorkerSlot.worker */
bool woken;						/* WorkerSlot.woken */
#if WITH_LATCH
bool latch;						/* the worker's */
#define IS_LATCH_SET	latch
#define SET_LATCH		latch = latch || !woken
#define RESET_LATCH		latch = false
#else
#define IS_LATCH_SET	woken
#define SET_LATCH		skip
#define RESET_LATCH		skip
#endif
byte told_first, told_last;		/* WorkerSlot.ranges, as one; 0: none */

/* ---- The worker's memory ---- */

mtype = {
	WAITING, TIMED, READY, IN_FLIGHT,	/* ItemState */
	ANSWERED_200, ANSWERED_500,			/* in flight for the worker still */
	DECIDED_DONE, DECIDED_RETRY,		/* ITEM_DECIDED, by its verdict */
	PARKED								/* known to wait in the table for its retry */
};

mtype item[MAX_ROWS + 1];		/* 0: not in memory */
byte cursor;					/* Lane.cursor */
bool more = true;				/* Lane.more */
byte late_after, late_upto;		/* Lane.ranges, as one; equal: none */
byte spilled_from[USERS];		/* KeyQueue.spilled_from; 0: not spilled */
bool hungry[USERS];				/* KeyQueue.hungry */
bool fed_hungry;				/* Lane.fed_hungry */
chan untried = [ROWS] of { byte };	/* Lane.ready, two lists: rows that were never sent */
chan retries = [ROWS] of { byte };	/* and rows that were */
bool retry_went = true;			/* nothing untried has gone since: Lane.fresh_in_row */
#if WINDOW
chan parked = [ROWS] of { byte };	/* rows that wait for their retry's time, by that */
byte due;						/* of these, those whose time has come: so many */
bool fed_retries;				/* the last read was for one of these */
#endif
byte snapshot;					/* transactions that it sees */
byte crashes = CRASHES;			/* to come */

/* Local variables of inlines, which are at 0 between any two steps, and in no state. */
hidden byte i, j, k, u, id, got, after, found;

/* Of a key: items in memory, and those that nobody of its user may pass */
#define HELD(id, user)		(item[id] != 0 && USER_OF(id) == (user))
#define WAITS(id)			(item[id] == WAITING || item[id] == TIMED || item[id] == READY)
#define IS_AWAY(id)			(item[id] == IN_FLIGHT || item[id] == ANSWERED_200 || item[id] == ANSWERED_500)
#if RELEASED_BEFORE_RECORDED
#define RUNS(id)			IS_AWAY(id)
#else
#define RUNS(id)			(IS_AWAY(id) || item[id] == DECIDED_RETRY)
#endif

/* ---------------------------------------------------------------------
 * Order: order.c
 * ---------------------------------------------------------------------
 */

/* -- schedule/order.c: order_withdraw() */
inline withdraw(w)
{
	if
	:: item[w] == READY && IN(attempted, w) -> retries??eval(w)
	:: item[w] == READY && !IN(attempted, w) -> untried??eval(w)
	:: else
	fi;
	item[w] = WAITING
}

/*
 * -- schedule/order.c: order_offer()
 * -- schedule/park.c: park_item()
 * A retry waits for its time, which for one that is read again may have come.
 */
inline offer(o)
{
	if
#if WINDOW && !RETRIES_FILL_WINDOW
	:: IN(attempted, o) -> item[o] = PARKED; parked!o
#else
	:: IN(attempted, o) -> item[o] = TIMED
#endif
	:: else -> item[o] = READY; untried!o
	fi
}

/*
 * -- schedule/order.c: order_promote()
 * Offers the first of a user, unless one is on its way; the others wait.
 */
inline promote(user)
{
	i = 1; found = false; got = 0;
	do
	:: i <= ROWS ->
		if
		:: HELD(i, user) && RUNS(i) -> found = true
		:: HELD(i, user) && WAITS(i) && got == 0 -> got = i
		:: else
		fi;
		i++
	:: else -> break
	od;
	if
	:: !found && got != 0 && item[got] == WAITING -> offer(got)
	:: else
	fi;
	i = 0; found = false; got = 0
}

inline count_items(user)
{
	i = 1; k = 0;
	do
	:: i <= ROWS ->
		if
		:: HELD(i, user) -> k++
		:: else
		fi;
		i++
	:: else -> break
	od;
	i = 0
}

/* -- schedule/order.c: order_check_hunger() */
inline check_hunger(user)
{
	count_items(user);
	if
	:: spilled_from[user] != 0 && k <= KEY_ITEMS / 2 -> hungry[user] = true
	:: else
	fi;
	k = 0
}

/* -- schedule/order.c: order_spill() */
inline spill(user, from)
{
	hungry[user] = false;
	spilled_from[user] = from
}

/* -- schedule/order.c: order_feed() */
inline feed(upto, all)
{
	j = 0;
	do
	:: j < USERS && hungry[j] && spilled_from[j] > after && (all || spilled_from[j] <= upto) ->
		spill(j, upto + 1);
		if
		:: all -> spilled_from[j] = 0
		:: else
		fi;
		check_hunger(j);
		j++
	:: j < USERS && !(hungry[j] && spilled_from[j] > after && (all || spilled_from[j] <= upto)) -> j++
	:: else -> break
	od;
	j = 0
}

/* ---------------------------------------------------------------------
 * The window: window.c
 * ---------------------------------------------------------------------
 */

/* Whatever a key has less in memory, it may be hungry then. */
inline free_item(f)
{
	item[f] = 0;
	check_hunger(USER_OF(f))
}

/*
 * -- schedule/window.c: key_has_room()
 * found: it may be kept.
 */
inline has_room(r, from_hungry)
{
	u = USER_OF(r);
	count_items(u);
	i = ROWS; got = 0;
	do
	:: i >= 1 && got == 0 ->
		if
		:: HELD(i, u) && WAITS(i) -> got = i	/* the last that waits */
		:: else
		fi;
		i--
	:: else -> break
	od;
	i = 0;
	if
	:: spilled_from[u] != 0 && r >= spilled_from[u] &&
	   !(from_hungry && hungry[u] && spilled_from[u] > after) -> found = false
	:: else ->
		if
		:: k < KEY_ITEMS || got == 0 -> found = true
		:: else ->
			if
			:: got < r -> spill(u, r); found = false
#if LATE_ROW_WITHOUT_ROOM
			:: else -> found = false
#else
			:: else ->
				spill(u, got);
				withdraw(got);
				free_item(got);
				found = true
#endif
			fi
		fi
	fi;
	k = 0; got = 0
}

/*
 * -- schedule/window.c: add_row()
 * -- schedule/order.c: order_insert()
 */
inline add_row(r, from_hungry)
{
	if
	:: item[r] == 0 ->
		has_room(r, from_hungry);
		if
		:: found ->
			found = false;
			/* whoever was on offer is not first any more */
			i = r + 1;
			do
			:: i <= ROWS ->
				if
				:: HELD(i, u) && (item[i] == READY || item[i] == TIMED) -> withdraw(i)
				:: else
				fi;
				i++
			:: else -> break
			od;
			item[r] = WAITING;
			promote(u)
		:: else
		fi;
		u = 0
	:: else
	fi
}

/* ---------------------------------------------------------------------
 * Reading: reading.c
 * ---------------------------------------------------------------------
 */

/*
 * -- schedule/reading.c: reading_note_range()
 * -- schedule/reading.c: add_late_range()
 * There is one range (LANE_RANGES is 1), so that each is joined with the last one,
 * and the gap is read with it.
 */
inline note_range(first, last)
{
	if
	:: last > cursor -> more = true
	:: else
	fi;
	if
	:: first != 0 && first <= MIN(last, cursor) ->
		if
		:: late_after == late_upto ->
			late_after = first - 1;
			late_upto = MIN(last, cursor)
		:: else ->
			late_after = MIN(late_after, first - 1);
			late_upto = MAX(late_upto, MIN(last, cursor))
		fi
	:: else
	fi
}

/*
 * -- schedule/reading.c: wants_more()
 * Retries that are ready do not keep it from reading ahead.
 */
#if RETRIES_COUNT_AS_READY
#define WANTS_MORE	(more && len(untried) + len(retries) == 0)
#else
#define WANTS_MORE	(more && len(untried) == 0)
#endif

#define HAS_LATE	(late_after != late_upto)

/* a user of one row never is */
#define IS_HUNGRY	(hungry[0] || hungry[2])

#if WINDOW
#define IS_KEPT(n)		(item[n] != 0 && item[n] != PARKED)
#define IS_FULL			(IS_KEPT(1) + IS_KEPT(2) + IS_KEPT(3) + IS_KEPT(4) + IS_KEPT(5) >= WINDOW)
#define WANTS_RETRIES	(due > 0 && len(retries) == 0)
#if RETRIES_READ_FIRST
#define IS_RETRY_NEXT	WANTS_RETRIES
#else
#define IS_RETRY_NEXT	(WANTS_RETRIES && !(fed_retries && WANTS_MORE))
#endif
#else
#define IS_FULL			false
#define WANTS_RETRIES	false
#endif

/* -- schedule/reading.c: reading_wants() */
#define WANTS_READ	(HAS_LATE || (!IS_FULL && (IS_HUNGRY || WANTS_MORE || WANTS_RETRIES)))

/* The first row that the snapshot sees of those after one up to another; 0: none. */
inline look_for(upto)
{
	i = after + 1; got = 0;
	do
	:: i <= upto && got == 0 ->
		if
		:: owner[i] != 0 && IN(snapshot, owner[i] - 1) -> got = i
		:: else
		fi;
		i++
	:: else -> break
	od;
	id = got;
	i = 0; got = 0
}

#if AHEAD_BEFORE_LATE
#define LATE_IS_FIRST	(HAS_LATE && !WANTS_MORE)
#else
#define LATE_IS_FIRST	HAS_LATE
#endif

/*
 * -- schedule/reading.c: reading_next()
 * -- schedule/window.c: window_rows_read()
 * -- schedule/window.c: retries_read()
 * A read has a limit of one row; that it finds none means that there are no more.
 */
inline read_once()
{
	if
	:: LATE_IS_FIRST ->		/* READ_RANGE */
		after = late_after;
		look_for(late_upto);
		if
		:: id == 0 -> late_after = 0; late_upto = 0
		:: else ->
			add_row(id, false);
			late_after = id;
			if
			:: late_after == late_upto -> late_after = 0; late_upto = 0
			:: else
			fi
		fi
#if WINDOW
	:: !LATE_IS_FIRST && IS_RETRY_NEXT ->
		parked?id;
		due--;
		fed_retries = true;
		item[id] = READY;
		retries!id
	:: !LATE_IS_FIRST && !IS_RETRY_NEXT ->
		fed_retries = false;
#else
	:: else ->
#endif
		if
		:: IS_HUNGRY && !(fed_hungry && WANTS_MORE) ->		/* READ_HUNGRY */
			after = (hungry[0] && (!hungry[2] || spilled_from[0] < spilled_from[2]) ->
				spilled_from[0] : spilled_from[2]) - 1;
			look_for(cursor);
			fed_hungry = true;
			if
			:: id == 0 -> feed(after, true)
			:: else -> add_row(id, true); feed(id, false)
			fi
		:: else ->		/* READ_AHEAD */
			after = cursor;
			look_for(ROWS);
			fed_hungry = false;
			if
			:: id == 0 -> more = false
			:: else -> cursor = id; add_row(id, false)
			fi
		fi
	fi;
	after = 0; id = 0
}

/* ---------------------------------------------------------------------
 * Sending
 * ---------------------------------------------------------------------
 */

inline count_in_flight()
{
	i = 1; k = 0;
	do
	:: i <= ROWS ->
		if
		:: IS_AWAY(i) -> k++
		:: else
		fi;
		i++
	:: else -> break
	od;
	i = 0
}

/*
 * No event overtakes an earlier one of its user that became visible with it, or
 * before.
 */
inline check_order(c)
{
	i = 1;
	do
	:: i < c ->
		assert(owner[i] == 0 || USER_OF(i) != USER_OF(c) ||
			   !IN(before[owner[c] - 1], owner[i] - 1) || IN(delivered, i));
		i++
	:: else -> break
	od;
	i = 0
}

#if RETRIES_ALWAYS_FIRST
#define RETRY_IS_NEXT	(len(retries) > 0)
#else
#define IS_AGAIN(n)		(IS_AWAY(n) && IN(attempted, n))
#define RETRIES_AWAY	(IS_AGAIN(1) + IS_AGAIN(2) + IS_AGAIN(3) + IS_AGAIN(4) + IS_AGAIN(5))
#define RETRY_IS_NEXT	(len(retries) > 0 && (len(untried) == 0 || \
						 (!retry_went && RETRIES_AWAY < MAX(1, PLACES / 2))))
#endif

/*
 * -- worker/deliver.c: deliver_claim()
 * -- schedule/next.c: next_to_send()
 * -- schedule/pace.c: pace_choice()
 * -- schedule/order.c: order_ready()
 * -- schedule/window.c: window_take()
 * While something untried waits, at most every second request is a retry, and half
 * of those in flight are.
 */
inline claim()
{
	count_in_flight();
	do
	:: k < PLACES && (len(untried) + len(retries) > 0) ->
		if
		:: RETRY_IS_NEXT -> retries?id; retry_went = true
		:: else -> untried?id; retry_went = false
		fi;
		check_order(id);
		item[id] = IN_FLIGHT;
		id = 0;
		k++
	:: else -> break
	od;
	k = 0
}

/*
 * -- worker/attempt.c: attempt_answers()
 * -- schedule/schedule.c: schedule_finished()
 * The user's next one may go, unless this one is to be tried again.
 */
inline take_answers()
{
	j = 1;
	do
	:: j <= ROWS ->
		if
		:: item[j] == ANSWERED_200 -> item[j] = DECIDED_DONE; promote(USER_OF(j))
		:: item[j] == ANSWERED_500 -> item[j] = DECIDED_RETRY; promote(USER_OF(j))
		:: else
		fi;
		j++
	:: else -> break
	od;
	j = 0
}

/*
 * -- worker/recording.c: recording_run()
 * -- schedule/schedule.c: schedule_recorded()
 */
inline record()
{
	j = 1;
	do
	:: j <= ROWS ->
		if
		:: item[j] == DECIDED_DONE ->
			/* the row is deleted */
			free_item(j);
			owner[j] = 0;
			attempted = attempted & ~BIT(j);
			delivered = delivered & ~BIT(j)
		:: item[j] == DECIDED_RETRY ->		/* -- schedule/window.c: window_return() */
			attempted = attempted | BIT(j);
			u = USER_OF(j);
			i = j + 1;
			do
			:: i <= ROWS ->
				if
				:: HELD(i, u) && (item[i] == READY || item[i] == TIMED) -> withdraw(i)
				:: else
				fi;
				i++
			:: else -> break
			od;
			item[j] = WAITING;
			promote(u);
			u = 0
		:: else
		fi;
		j++
	:: else -> break
	od;
	j = 0
}

/* ---------------------------------------------------------------------
 * The worker
 * ---------------------------------------------------------------------
 */

#define HAS_ANSWER(n)	(item[n] == ANSWERED_200 || item[n] == ANSWERED_500)
#define HAS_ANSWERS		(HAS_ANSWER(1) || HAS_ANSWER(2) || HAS_ANSWER(3) || HAS_ANSWER(4) || HAS_ANSWER(5))
#define IN_FLIGHT_NOW	(IS_AWAY(1) + IS_AWAY(2) + IS_AWAY(3) + IS_AWAY(4) + IS_AWAY(5))
#define CAN_CLAIM		(IN_FLIGHT_NOW < PLACES && (len(untried) + len(retries) > 0))

/* -- shmem/slots.c: slots_clear() */
inline clear_slot()
{
	attached = false;
	woken = false;
	told_first = 0;
	told_last = 0
}

inline forget_memory()
{
	i = 1;
	do
	:: i <= ROWS -> item[i] = 0; i++
	:: else -> break
	od;
	i = 0;
	do
	:: len(untried) > 0 -> untried?_
	:: len(untried) == 0 && len(retries) > 0 -> retries?_
	:: len(untried) + len(retries) == 0 -> break
	od;
	spilled_from[0] = 0; spilled_from[2] = 0;
	hungry[0] = false; hungry[2] = false;
	late_after = 0; late_upto = 0;
	fed_hungry = false; retry_went = true;
#if WINDOW
	do
	:: len(parked) > 0 -> parked?_
	:: len(parked) == 0 -> break
	od;
	due = 0; fed_retries = false;
#endif
	snapshot = 0; RESET_LATCH;
#if !CURSOR_OUTLIVES_WORKER
	cursor = 0;
#endif
	more = true
}

/*
 * The worker dies; or any process does by a signal, for which the server starts
 * anew, and every session has ended.
 */
inline die()
{
	crashes--;
	if
	:: true
	:: true -> lost = BIT(0) | BIT(1) | BIT(2); announced = 0
	fi;
	goto exit
}

#if CRASHES
inline may_die()
{
	if
	:: crashes > 0 -> die()
	:: true
	fi
}
#else
inline may_die() { skip }
#endif

/*
 * -- tables/tables.c: tables_lock_and_look()
 * Waiting for the table's lock, it may take the latch for its own.
 */
inline take_snapshot()
{
	atomic {
#if WITH_LATCH
		if
		:: latch -> latch = false
		:: true
		fi;
#endif
		snapshot = committed
	}
}

/*
 * -- worker/cycle.c: note_untold_ranges()
 * -- shmem/wake.c: wake_untold_ranges()
 * seen: transactions of which the snapshot says that they are over.
 */
inline look_at_announcements(seen)
{
	d_step {
		j = 0;
		do
		:: j < SENDERS ->
			if
			:: IN(announced, j) && IN(seen, j) -> note_range(first_id[j], last_id[j])
			:: else
			fi;
			j++
		:: else -> break
		od;
		j = 0
	}
}

/* -- shmem/worker_slot.c: worker_slot_look_at_ranges() */
inline look_at_slot()
{
	note_range(told_first, told_last)
}

/*
 * What only the worker sees is one step with what comes before it, but for where it
 * may die.
 */
active proctype worker()
{
	bool look = true;

start:
	/*
	 * -- shmem/slots.c: slots_want_workers()
	 * -- worker/launcher.c: start_worker()
	 * -- shmem/worker_slot.c: worker_slot_attach()
	 */
	atomic {
		look = true;
#if !ATTACHED_LATE
		attached = true
#endif
	}

	/* -- worker/worker.c: run() */
cycle:
	/*
	 * -- worker/attempt.c: attempt_answers()
	 * -- worker/cycle.c: take_ranges()
	 * -- shmem/worker_slot.c: worker_slot_take_ranges()
	 * What is ready goes before anything is read.
	 */
	atomic {
		may_die();
		skip;
		d_step {
			take_answers();
			note_range(told_first, told_last);
			told_first = 0; told_last = 0; woken = false;
			if
			:: !look -> claim()
			:: else
			fi
		}
		if
		:: look || WANTS_READ
		:: else -> goto recording
		fi
	}

	/* -- worker/cycle.c: read_and_start() */
#if LOOKED_BEFORE_SNAPSHOT
	look_at_announcements(committed);
	d_step { look_at_slot() }
	take_snapshot();
#elif SLOT_BEFORE_ANNOUNCEMENTS
	take_snapshot();
	d_step { look_at_slot() }
	look_at_announcements(snapshot);
#else
	take_snapshot();
	look_at_announcements(snapshot);
#endif

	/*
	 * -- worker/cycle.c: read_queue()
	 * -- worker/deliver.c: deliver_start()
	 * Some reads in one transaction; then what may go is sent.
	 */
	atomic {
#if !LOOKED_BEFORE_SNAPSHOT && !SLOT_BEFORE_ANNOUNCEMENTS
		d_step { look_at_slot() }
#endif
		do
		:: WANTS_READ ->
			d_step { read_once() }
			if
			:: true -> break
			:: true
			fi
		:: !WANTS_READ -> break
		od;
		skip;
		d_step {
			claim();
			retry_went = retry_went && len(untried) > 0;
			fed_hungry = fed_hungry && IS_HUNGRY;
			snapshot = 0;
			look = false;
#if ATTACHED_LATE
			attached = true
#endif
		}
		may_die();

recording:
		skip;
		d_step { record() };

		/*
		 * -- worker/cycle.c: cycle_time_to_wait()
		 * -- shmem/worker_slot.c: worker_slot_woken()
		 */
		if
#if WOKEN_NOT_ASKED
		:: WANTS_READ || CAN_CLAIM -> goto cycle
#else
		:: woken || WANTS_READ || CAN_CLAIM -> goto cycle
#endif
		:: else
		fi
	}

	/* asleep, until something comes, or a time; then ResetLatch() */
end:
	atomic {
		if
		:: IS_LATCH_SET || CAN_CLAIM || HAS_ANSWERS || WANTS_RETRIES -> RESET_LATCH
#if CRASHES
		:: crashes > 0 -> die()
#endif
		fi;
		goto cycle
	}

exit:
	/* -- shmem/worker_slot.c: detach_worker() */
	atomic {
		clear_slot();
		forget_memory()
	}
	goto start
}

/* ---------------------------------------------------------------------
 * Those who send
 * ---------------------------------------------------------------------
 */

/* -- shmem/wake.c: wake_announce() */
inline announce()
{
	announced = announced | BIT(me)
}

/* -- shmem/wake.c: withdraw_announcement() */
inline withdraw_announcement()
{
	announced = announced & ~BIT(me)
}

/*
 * -- shmem/wake.c: tell()
 * -- shmem/wake.c: push_range()
 * -- shmem/slots.c: slots_wake_worker()
 */
inline tell()
{
	if
	:: attached ->
		told_first = (told_first == 0 -> first_id[me] : MIN(told_first, first_id[me]));
		told_last = MAX(told_last, last_id[me]);
		SET_LATCH;
		woken = true
	:: else			/* the worker that is started reads all that is visible */
	fi
}

inline commit()
{
	committed = committed | BIT(me);
	before[me] = committed & OF_USER(me)
}

#define IS_LOST		IN(lost, me)

/*
 * A session with its transaction, whose rows are there: what is not committed
 * nobody sees, so it is no matter when they were queued, but in which order.
 */
proctype sender(byte me)
{
	/*
	 * -- shmem/wake.c: xact_callback()
	 * -- shmem/wake.c: announce_pending()
	 */
	atomic {
		if
		:: IS_LOST -> goto done
		:: else
		fi;
		if
		:: IN(ABORTS, me) -> goto done
		:: IN(TWO_PHASE, me) ->
			/*
			 * -- shmem/prepared.c: prepared_keep()
			 * By its gid; a crash has that forgotten, not the rows.
			 */
			prepared = prepared | BIT(me);
			goto commit_prepared
		:: true
		fi;
#if !NO_ANNOUNCEMENT
		announce()
#endif
	}
	goto visible;

	/*
	 * In whatever session.  What was kept is announced; after a restart it is not
	 * known any more, and everything is.
	 * -- worker/two_phase.c: two_phase_before_commit()
	 */
commit_prepared:
	atomic {
		if
#if UNKNOWN_NOT_TOLD
		:: IS_LOST -> first_id[me] = 0; last_id[me] = 0
#else
		:: IS_LOST -> first_id[me] = 1; last_id[me] = ROWS
#endif
		:: else
		fi;
		lost = lost & ~BIT(me);
#if !NO_ANNOUNCEMENT
		announce()
#endif
	}

	/* ProcArrayEndTransaction(), or ProcArrayRemove() of one that was prepared */
visible:
	atomic {
		if
		:: IS_LOST && IN(prepared, me) -> goto commit_prepared
		:: IS_LOST -> goto done
		:: else
		fi;
#if TOLD_BEFORE_VISIBLE
		tell()
	}
	atomic {
		if
		:: IS_LOST && IN(prepared, me) -> goto commit_prepared
		:: IS_LOST -> goto done
		:: else
		fi;
#endif
		commit();
#if PREPARED_NOT_TOLD
		if
		:: IN(prepared, me) -> withdraw_announcement(); goto done
		:: else
		fi;
#endif
		prepared = prepared & ~BIT(me)
	}

	/*
	 * -- shmem/wake.c: release_callback()
	 * A crash of the server has all this forgotten, and the worker as well.
	 */
#if WITHDRAWN_BEFORE_TOLD
	atomic {
		if
		:: IS_LOST -> goto done
		:: else -> withdraw_announcement()
		fi
	}
#endif
	atomic {
		if
		:: IS_LOST -> goto done
		:: else
		fi;
#if !TOLD_BEFORE_VISIBLE
		tell()
#endif
	}
	atomic {
		if
		:: IS_LOST
		:: else -> withdraw_announcement()
		fi;
done:
		first_id[me] = 0;
		last_id[me] = 0
	}
end:
	false
}

/* ---------------------------------------------------------------------
 * What else happens
 * ---------------------------------------------------------------------
 */

/* The destination: which of those in flight it answers next, and how, is its affair. */
active proctype receiver()
{
	byte r;

end:
	do
	::	atomic {
			if
			:: item[1] == IN_FLIGHT -> r = 1
			:: item[2] == IN_FLIGHT -> r = 2
			:: item[3] == IN_FLIGHT -> r = 3
			:: item[4] == IN_FLIGHT -> r = 4
			:: item[5] == IN_FLIGHT -> r = 5
			fi;
			if
			:: failures[USER_OF(r)] == LASTING -> item[r] = ANSWERED_500
			:: failures[USER_OF(r)] > 0 && failures[USER_OF(r)] != LASTING ->
				item[r] = ANSWERED_500;
				failures[USER_OF(r)]--
			:: failures[USER_OF(r)] != LASTING ->
				item[r] = ANSWERED_200;
				delivered = delivered | BIT(r)
			fi;
			r = 0
		}
	od
}

#define IS_TIMED		(item[1] == TIMED || item[2] == TIMED || item[3] == TIMED || \
						 item[4] == TIMED || item[5] == TIMED)

/*
 * Retries' times come, together, sooner or later.
 * -- schedule/order.c: order_offer_timed()
 */
active proctype clock()
{
end:
	do
	::	d_step {
			IS_TIMED ->
			i = 1;
			do
			:: i <= ROWS ->
				if
				:: item[i] == TIMED -> item[i] = READY; retries!i
				:: else
				fi;
				i++
			:: else -> break
			od;
			i = 0
		}
#if WINDOW
	::	d_step { due < len(parked) -> due = len(parked) }
#endif
	od
}

#if FAILURES_0 != LASTING

/* Nothing is left to happen, so nothing may be left to be sent. */
active proctype quiet()
{
	timeout ->
	assert(!IS_OWED(1) && !IS_OWED(2) && !IS_OWED(3) && !IS_OWED(4) && !IS_OWED(5));
end:
	false
}

#else

/* However long the events of others fail, those of the last user are delivered. */
#define IS_GOOD(id)		(owner[id] == 2 + 1)
#define OWES_GOOD		(IN(committed, 2) && \
						 (IS_GOOD(1) || IS_GOOD(2) || IS_GOOD(3) || IS_GOOD(4) || IS_GOOD(5)))
ltl good_ones_go { [] (OWES_GOOD -> <> !OWES_GOOD) }

#endif

/* The ids of the rows, drawn in any order. */
inline queue_row(tx)
{
	id++;
	owner[id] = tx + 1;
	first_id[tx] = (first_id[tx] == 0 -> id : first_id[tx]);
	last_id[tx] = id;
	left[tx]--
}

init {
	byte left[SENDERS];

	atomic {
		failures[0] = FAILURES_0;
		failures[1] = FAILURES_0;
		failures[2] = FAILURES_2;
		left[0] = ROWS_0; left[1] = ROWS_1; left[2] = ROWS_2;
		do
		:: left[0] > 0 -> queue_row(0)
		:: left[1] > 0 -> queue_row(1)
		:: left[2] > 0 -> queue_row(2)
		:: left[0] + left[1] + left[2] == 0 -> break
		od;
		id = 0;
#if FAILURES_0 == LASTING
		/* theirs were there before */
		committed = BIT(0) | BIT(1);
		before[0] = committed & OF_USER(0);
		before[1] = committed & OF_USER(1);
#else
		run sender(0);
		run sender(1);
#endif
#if ROWS_2
		run sender(2);
#endif
		skip
	}
}
