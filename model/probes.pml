/*-------------------------------------------------------------------------
 *
 * probes.pml
 *		Who is tried while new users whose events fail come for ever: one destination,
 *		one worker, and two users whose last answers were good.
 *
 * Read reading.pml first.  The first user's events are good as long as the destination
 * works, the second one's fail from now on, and so do those of the crowd, whose requests
 * may hang before they do (HANGS), unless it is the destination that does not work
 * (RECOVERS).  The crowd comes first wherever that is a matter of chance.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */

/* ---- Sizes ---- */

/* requests in flight at once */
#ifndef PLACES
#define PLACES		3
#endif
/* of them, for users who are trusted, while some hang: a quarter in C */
#define KEPT		1
/* failures that open the breaker; 0: there is none */
#ifndef FAILURES
#define FAILURES	2
#endif
/* of the worker */
#ifndef CRASHES
#define CRASHES		1
#endif
/* the time for a probe comes, sooner or later */
#ifndef TIME_PASSES
#define TIME_PASSES	1
#endif

#define BIT(i)		(1 << (i))
#define IN(set, i)	(((set) >> (i)) & 1)

/* ---- Users ---- */

#define GOOD		0
#define TURNS_BAD	1
#define CROWD		2			/* any of it */
#define NOBODY		3

byte owed;						/* users with an event that was never tried; the crowd has always one */

#if RECOVERS
bool works;
#define ANSWERS_WELL(u)	(works && (u) != TURNS_BAD)
#else
#define ANSWERS_WELL(u)	((u) == GOOD)
#endif

/* ---- The tables ---- */

byte stored;					/* rswebhook.trusted */
bool stored_open;				/* rswebhook.breaker */

/* ---- The worker's memory ---- */

byte flight[3];					/* requests in flight, by user, but the probe */
byte trusted = BIT(GOOD) | BIT(TURNS_BAD);	/* Lane.trusted */
bool hung;						/* Lane.hung_lately > 0 */
byte failing;					/* Lane.failing */
bool open;						/* Breaker.open */
bool due;						/* its next_probe_at has come */
byte probe = NOBODY;			/* whose Lane.probe is */
bool in_turn;					/* it was due when that was taken */
bool trusted_probed;			/* Lane.trusted_probed */
bool turn;						/* Lane.choices % 2 */

/* ---- What is only looked at ---- */

byte crashes = CRASHES;
byte vain;						/* probes out of turn that have failed, since it was opened */

#define IS_READY(u)		(IN(owed & trusted, u) && flight[u] == 0 && probe != u)
#define TRUSTED_READY	(IS_READY(GOOD) || IS_READY(TURNS_BAD))
#define IN_FLIGHT		(flight[0] + flight[1] + flight[2] + (probe != NOBODY))

/* -- schedule/pace.c: others_may_go() */
#if NO_PLACE_KEPT
#define OTHERS_MAY_GO	(IN_FLIGHT < PLACES)
#else
#define OTHERS_MAY_GO	(flight[CROWD] < PLACES - KEPT)
#endif

/* ---------------------------------------------------------------------
 * The worker
 * ---------------------------------------------------------------------
 */

/* -- schedule/pace.c: is_for_trusted() */
#define FOR_TRUSTED		(open -> (!due || !trusted_probed) : (!OTHERS_MAY_GO || turn))

/*
 * -- schedule/pace.c: pace_allows()
 * -- schedule/pace.c: has_room()
 */
#if TRUSTED_WAIT
#define PROBES_NOW		due
#elif TURN_KEPT
#define PROBES_NOW		(TRUSTED_READY || (due && (trusted == 0 || trusted_probed)))
#else
#define PROBES_NOW		(TRUSTED_READY || due)
#endif
#define KEEPS_PLACES	(hung && trusted != 0)
#define MAY_GO			(open -> (probe == NOBODY && PROBES_NOW) : \
						 (IN_FLIGHT < PLACES && (!KEEPS_PLACES || OTHERS_MAY_GO || TRUSTED_READY)))

/*
 * -- schedule/pace.c: pace_take()
 * A retry is the crowd's affair.
 */
inline take(u)
{
	if
	:: open ->
		/* one at a time, and out of turn only who is trusted */
		assert(probe == NOBODY && (due || IN(trusted, u)));
		probe = u; in_turn = due; trusted_probed = (u != CROWD)
	:: else -> flight[u]++
	fi;
	assert(IN_FLIGHT <= PLACES)
}

active proctype sends()
{
	do
	::	atomic {
			MAY_GO ->
			/* -- schedule/pace.c: pace_choose() */
			if
			:: (open || hung) && TRUSTED_READY && FOR_TRUSTED ->
				if
				:: IS_READY(GOOD) -> take(GOOD)
				:: IS_READY(TURNS_BAD) -> take(TURNS_BAD)
				fi
			:: else -> take(CROWD)
			fi;
			turn = !turn
		}
	od
}

/*
 * -- schedule/breaker.c: breaker_note_failure()
 * -- schedule/trust.c: trust_note_bad()
 */
inline failed(u, probed)
{
#if HANGS
	hung = true;				/* it has taken its time */
#endif
	if
	:: open && probed && !in_turn ->
		vain++;
		/* each of those that are trusted once */
		assert(vain <= 2)
	:: open && probed && in_turn -> due = false
	:: !open && FAILURES > 0 ->
		failing++;
		if
		:: failing >= FAILURES -> open = true; due = false; vain = 0
		:: else
		fi
	:: else
	fi;
#if !TRUST_KEPT
	if
	:: u != CROWD -> trusted = trusted & ~BIT(u)
	:: else
	fi
#endif
}

/*
 * -- schedule/breaker.c: breaker_note_alive()
 * -- schedule/trust.c: trust_note_good()
 */
inline succeeded(u)
{
	if
	:: u != CROWD -> trusted = trusted | BIT(u)
	:: else
	fi;
	failing = 0; open = false; due = false; trusted_probed = false; vain = 0
}

/*
 * The destination answers which it likes.
 * -- schedule/pace.c: pace_finished()
 */
inline answered(u, probed)
{
	if
	:: probed -> probe = NOBODY
	:: else -> flight[u]--
	fi;
	if
	:: u != CROWD -> owed = owed & ~BIT(u)
	:: else
	fi;
	if
	:: ANSWERS_WELL(u) -> succeeded(u)
	:: else -> failed(u, probed)
	fi
}

active proctype answers()
{
	do
	:: atomic { flight[TURNS_BAD] > 0 -> answered(TURNS_BAD, false) }
#if HANGS
	/* from when that is known, their time is not over as long as the model lasts */
	:: atomic { flight[CROWD] > 0 && !hung -> answered(CROWD, false) }
#else
	:: atomic { flight[CROWD] > 0 -> answered(CROWD, false) }
#endif
	od
}

active proctype answers_good()
{
	do
	:: atomic { flight[GOOD] > 0 -> answered(GOOD, false) }
	od
}

active proctype answers_probe()
{
	do
	:: atomic { probe == GOOD -> answered(GOOD, true) }
	:: atomic { probe == TURNS_BAD -> answered(TURNS_BAD, true) }
	:: atomic { probe == CROWD -> answered(CROWD, true) }
	od
}

/*
 * -- worker/states.c: states_save()
 * -- worker/trusted.c: trusted_run()
 */
active proctype saves()
{
end:
	do
	:: d_step { stored_open != open -> stored_open = open }
	:: d_step { (open || hung) && stored != trusted -> stored = trusted }
	od
}

/*
 * What is not saved yet is some seconds', and left out: then it is as if the users had
 * never been known.
 * -- worker/trusted.c: trusted_load()
 * -- schedule/schedule.c: schedule_trust()
 */
active proctype dies()
{
end:
	do
	::	d_step {
			crashes > 0 && stored == trusted && stored_open == open ->
			crashes--;
			flight[0] = 0; flight[1] = 0; flight[2] = 0;
			failing = 0; probe = NOBODY; in_turn = false; trusted_probed = false; turn = false;
			open = stored_open; due = false; vain = 0;
#if TRUST_NOT_SAVED
			trusted = 0;
#else
			trusted = stored;
#endif
			hung = (trusted != 0)
		}
	od
}

/* ---------------------------------------------------------------------
 * Others
 * ---------------------------------------------------------------------
 */

#if TIME_PASSES
active proctype clock()
{
end:
	do
	:: d_step { open && !due -> due = true }
	od
}
#endif

active proctype sender()
{
end:
	do
	:: d_step { !IN(owed, GOOD) -> owed = owed | BIT(GOOD) }
	:: d_step { !IN(owed, TURNS_BAD) -> owed = owed | BIT(TURNS_BAD) }
#if RECOVERS
	:: break	/* nothing more of theirs comes */
#endif
	od
#if RECOVERS
	;
	works = true
#endif
}

#if RECOVERS
/* A destination that works again is noticed. */
ltl recovery_is_noticed { [] ((open && works) -> <> !open) }
#else
/* However many others fail, or hang, the good user's events go. */
ltl good_ones_go { [] (IN(owed, GOOD) -> <> !IN(owed, GOOD)) }
#endif
