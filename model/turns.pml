/*-------------------------------------------------------------------------
 *
 * turns.pml
 *		Turns that workers take with a destination which allows fewer requests than
 *		there are workers, and its breaker, which each of them knows for itself.
 *
 * Read reading.pml first.  Each worker has something to send at all times.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */

/* ---- Sizes ---- */

#ifndef WORKERS
#define WORKERS		3
#endif
/* max_in_flight of the destination */
#ifndef ALLOWED
#define ALLOWED		1
#endif
/* answers 500, each of which opens the breaker: breaker_failures is 1 */
#ifndef FAILURES
#define FAILURES	2
#endif
#ifndef CRASHES
#define CRASHES		1
#endif

#define BIT(i)		(1 << (i))
#define IN(set, i)	(((set) >> (i)) & 1)
#define ADD(set, i)	set = (set) | BIT(i)
#define TAKE(set, i)	set = (set) & ~BIT(i)
#define ALL			(BIT(WORKERS) - 1)
#define OTHERS(i)	(ALL & ~BIT(i))
#define COUNT(set)	(IN(set, 0) + IN(set, 1) + IN(set, 2))

/* ---- Shared memory: sets of workers ---- */

byte had;						/* WorkerSlot.turns_had */
byte wanted;					/* WorkerSlot.turns_wanted */
byte left;						/* WorkerSlot.turns: somebody has left a turn */
byte told;						/* WorkerSlot.breakers: another has changed */
#if OLDEST_FIRST
chan asked = [WORKERS] of { byte };	/* wanted, in the order in which they asked */
#endif

/* ---- The table of breakers ---- */

bool stored;					/* it is open */

/* ---- Each worker's memory ---- */

byte open;						/* Breaker.open */
byte due;						/* next_probe_at has come */
byte changed;					/* Lane.breaker_changed */
byte keeps;						/* Lane.keeps_turn */
mtype = { SENT, ANSWERED_200, ANSWERED_500 };
mtype flight[WORKERS];			/* 0: nothing */
byte probes;					/* Lane.probe */
mtype = { WAITS, LETS_OTHERS };
mtype waits[WORKERS];			/* Lane.waits_until: TURN_WAIT_US, TURN_LEFT_US; 0: it may try */

/* ---- What is only looked at ---- */

byte coming;					/* workers that go for a turn that was left */
byte unaware;					/* workers that do not know what the last probe has shown */
byte failures = FAILURES;
byte crashes = CRASHES;

#define IN_FLIGHT	((flight[0] != 0) + (flight[1] != 0) + (WORKERS > 2 && flight[WORKERS - 1] != 0))

/* -- schedule/pace.c: most_in_flight() */
#define MOST		(IN(open, me) -> 1 : ALLOWED)

/*
 * -- shmem/turns.c: turns_take()
 * -- shmem/turns.c: count_others()
 */
#if TURNS_NOT_COUNTED
#define MAY_HAVE	true
#elif OLDEST_FIRST
#define MAY_HAVE	(COUNT(had & OTHERS(me)) < MOST && (len(asked) == 0 || asked?[eval(me)]))
#else
#define MAY_HAVE	(COUNT(had & OTHERS(me)) < MOST)
#endif

/* -- schedule/pace.c: pace_allows() */
#define MAY_TRY		(flight[me] == 0 && (!IN(open, me) || IN(due, me)) && waits[me] == 0)

inline want()
{
#if OLDEST_FIRST
	if
	:: !IN(wanted, me) -> asked!me
	:: else
	fi;
#endif
	ADD(wanted, me)
}

inline want_no_more()
{
#if OLDEST_FIRST
	if
	:: IN(wanted, me) -> asked??eval(me)
	:: else
	fi;
#endif
	TAKE(wanted, me)
}

#if PROBE_LOOKS_FIRST
#define SEES_NEWS	(IN(open, me) && IN(told, me))
#else
#define SEES_NEWS	false
#endif

/*
 * -- schedule/pace.c: pace_take()
 * -- schedule/pace.c: take_turn()
 */
inline try()
{
	if
	:: MAY_TRY && MAY_HAVE && SEES_NEWS		/* and leaves the turn, as it has not taken it */
	:: MAY_TRY && MAY_HAVE && !SEES_NEWS ->
		ADD(had, me);
		want_no_more();
		flight[me] = SENT;
		if
		:: IN(open, me) ->
			/* nobody knows for himself alone what a probe has shown */
			assert((changed & OTHERS(me)) == 0);
#if KNOWING_PROBES
			assert(!IN(unaware, me));
#endif
			ADD(probes, me); TAKE(due, me)
		:: else
		fi;
		assert(IN_FLIGHT <= ALLOWED);
		assert(COUNT(probes) <= 1)
	:: MAY_TRY && !MAY_HAVE ->
		want();
		waits[me] = WAITS
	:: else
	fi
}

/*
 * -- schedule/pace.c: leave_turn()
 * -- shmem/turns.c: give_up()
 * Whoever leaves a turn while others want one lets them go first.
 */
inline leave_turn()
{
	TAKE(had, me);
	if
	:: wanted & OTHERS(me) ->
		left = left | (wanted & OTHERS(me));
#if !LEFT_AND_TAKEN_AGAIN
		want();
		waits[me] = LETS_OTHERS
#endif
	:: else
	fi
}

/* -- shmem/slots.c: slots_clear() */
inline die()
{
	crashes--;
#if !TURN_OUTLIVES_WORKER
	TAKE(had, me);
#endif
	want_no_more();
	TAKE(left, me); TAKE(told, me); TAKE(coming, me);
	TAKE(open, me); TAKE(due, me); TAKE(changed, me); TAKE(keeps, me); TAKE(probes, me);
	flight[me] = 0;
	waits[me] = 0;
	if
	:: goto start
	:: goto gone
	fi
}

/* The first of them lives, where it is asked what becomes of it. */
#if NOBODY_WAITS_FOR_EVER
#define MAY_DIE		(crashes > 0 && me != 0)
#else
#define MAY_DIE		(crashes > 0)
#endif

/* They come at once, unless something keeps them: so others' times are up later. */
#define OTHERS_CAME		(((left | coming) & OTHERS(me)) == 0)

proctype worker(byte me)
{
start:
	/* -- worker/lanes.c: load_breakers() */
	atomic {
		if
		:: stored -> ADD(open, me)
		:: else
		fi;
		TAKE(unaware, me)
	}

	/*
	 * -- worker/attempt.c: attempt_answers()
	 * -- schedule/pace.c: pace_finished()
	 * A turn is kept until what its probe has shown is saved.
	 */
cycle:
	atomic {
#if CRASHES
		if
		:: MAY_DIE -> die()
		:: true
		fi;
#endif
		if
		:: flight[me] == ANSWERED_500 && (IN(probes, me) || !IN(open, me)) ->
			ADD(open, me); TAKE(due, me); ADD(changed, me)
		:: flight[me] == ANSWERED_200 && IN(open, me) ->
			TAKE(open, me); TAKE(due, me); ADD(changed, me)
		:: else
		fi;
		if
		:: flight[me] == ANSWERED_200 || flight[me] == ANSWERED_500 ->
			flight[me] = 0;
			TAKE(probes, me);
#if !TURN_NOT_KEPT
			keeps = (IN(changed, me) -> keeps | BIT(me) : keeps & ~BIT(me));
#endif
			if
			:: !IN(keeps, me) -> leave_turn()
			:: else
			fi
		:: else
		fi;

		/*
		 * -- worker/cycle.c: take_ranges()
		 * -- schedule/schedule.c: try_turn()
		 * A breaker that has changed is looked at before anything is claimed.
		 */
		if
		:: IN(left, me) -> waits[me] = 0; ADD(coming, me)
		:: else
		fi;
		TAKE(left, me);
		if
		:: IN(told, me) && !IN(changed, me) ->
			/* -- schedule/schedule.c: schedule_set_breaker() */
			open = (stored -> open | BIT(me) : open & ~BIT(me));
			TAKE(due, me);
			TAKE(unaware, me)
		:: else
		fi;
		TAKE(told, me)
	}

	/* -- worker/deliver.c: deliver_claim() */
	atomic {
		try();
		TAKE(coming, me);
		if
		:: IN(changed, me)
		:: else -> goto end
		fi
	}

	/*
	 * -- worker/states.c: states_save()
	 * -- worker/states.c: states_committed()
	 * -- schedule/pace.c: pace_breaker_saved()
	 * Others are told before the turn is left.
	 */
	atomic {
		stored = IN(open, me);
		TAKE(changed, me);
		unaware = OTHERS(me)
	}
	atomic { told = told | OTHERS(me) }
	atomic {
		if
		:: IN(keeps, me) && flight[me] == 0 -> TAKE(keeps, me); leave_turn()
		:: else -> TAKE(keeps, me)
		fi
	}

	/*
	 * asleep, until it is woken, something is answered, or a time has come
	 * -- shmem/worker_slot.c: worker_slot_tell_others()
	 */
end:
	atomic {
		if
		:: IN(left | told, me) || flight[me] == ANSWERED_200 || flight[me] == ANSWERED_500
		:: MAY_TRY
#if !NO_TIME_LIMIT
		:: waits[me] == WAITS -> waits[me] = 0
#endif
		:: waits[me] == LETS_OTHERS && OTHERS_CAME -> waits[me] = 0
		:: IN(open, me) && !IN(due, me) && flight[me] == 0 -> ADD(due, me)
#if CRASHES
		:: MAY_DIE -> die()
#endif
		fi;
		goto cycle
	}

	/* it is not started again, or has nothing to send */
gone:
end_gone:
	false
}

/* The destination, one of whom for each worker, as each answer comes some time. */
proctype receiver(byte me)
{
end:
	do
	::	atomic {
			flight[me] == SENT ->
			if
			:: failures > 0 -> failures--; flight[me] = ANSWERED_500
			:: true -> flight[me] = ANSWERED_200
			fi
		}
	od
}

#if NOBODY_WAITS_FOR_EVER
/* The first of them sends again and again. */
ltl each_has_its_turn { [] <> (flight[0] != 0) }
#endif

init {
	atomic {
		run worker(0); run receiver(0);
		run worker(1); run receiver(1);
#if WORKERS > 2
		run worker(2); run receiver(2)
#endif
	}
}
