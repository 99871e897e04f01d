/*-------------------------------------------------------------------------
 *
 * shares.pml
 *		Who serves a user while the number of workers of its destination changes, and
 *		what the parts of a destination know of its breaker.
 *
 * Read reading.pml first.  There are two workers.  By the one map the user is the
 * first one's, by the other the second one's.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */

/* ---- Sizes ---- */

/* events of the user, each sent by a session of its own */
#ifndef EVENTS
#define EVENTS		1
#endif
/* of the map, to and fro */
#ifndef CHANGES
#define CHANGES		2
#endif
/* workers that end, for whatever reason, and are started again */
#ifndef ENDS
#define ENDS		1
#endif
/* of the server */
#ifndef CRASHES
#define CRASHES		0
#endif
/* requests of each part to the destination with the breaker */
#ifndef REQUESTS
#define REQUESTS	0
#endif

#define BIT(i)		(1 << (i))
#define IN(set, i)	(((set) >> (i)) & 1)
#define OTHER		(1 - me)

/* ---- The tables ---- */

bit map;						/* whose the user is, by rswebhook.destination */
byte visible;					/* events: rows of the queue that were committed ... */
byte done;						/* ... and that are deleted */
bool stored;					/* the breaker is open */

/* ---- Shared memory ---- */

bool attached[2];				/* WorkerSlot.worker */
bool stop[2];					/* WorkerSlot.stop */
byte joined[2];					/* WorkerSlot.map, plus one; 0: NO_SHARE_MAP */
byte told[2];					/* WorkerSlot.ranges: events */
bool changed[2];				/* WorkerSlot.changed */
bool news[2];					/* WorkerSlot.breakers */

/* ---- Each worker's memory ---- */

bit mine[2];					/* the map that it has begun with */
byte known[2];					/* events that it has read */
byte flight[2];					/* the event in flight, plus one; 0: none */

/* ---- What is only looked at ---- */

byte ends = ENDS;
byte crashes = CRASHES;
byte lost;						/* sessions that the server's crash has ended */

#define SERVES			(mine[me] == me)
#define OWED			(visible & ~done)
#define TO_SEND			(SERVES && flight[me] == 0 && (known[me] & OWED) != 0)

/* ---------------------------------------------------------------------
 * Workers
 * ---------------------------------------------------------------------
 */

inline clear(w)
{
	attached[w] = false; stop[w] = false; joined[w] = 0;
	told[w] = 0; changed[w] = false;
	mine[w] = 0; known[w] = 0; flight[w] = 0
}

/* -- shmem/worker_slot.c: worker_slot_disband() */
inline disband()
{
	stop[me] = true;
	stop[OTHER] = attached[OTHER]
}

/*
 * It may end between any two steps, and so may the server, of which each worker finds
 * that it is not attached any more.
 * -- shmem/worker_slot.c: detach_worker()
 */
inline step()
{
	if
	:: !attached[me] -> goto start
	:: attached[me] && ends > 0 -> ends--; clear(me); goto start
#if CRASHES
	:: attached[me] && crashes > 0 ->
		crashes--;
		lost = BIT(EVENTS) - 1;
		clear(0); clear(1);
		goto start
#endif
	:: attached[me]
	fi
}

proctype worker(bit me)
{
start:
	/*
	 * -- shmem/start.c: needs_start()
	 * -- shmem/start.c: somebody_leaves()
	 * -- shmem/worker_slot.c: worker_slot_attach()
	 */
end_start:
	atomic {
		!(attached[OTHER] && stop[OTHER]) -> attached[me] = true
	}

	/* -- worker/lanes.c: lanes_join() */
	atomic { step(); mine[me] = map }

	/* -- shmem/worker_slot.c: worker_slot_join() */
	atomic {
		step();
#if !NO_JOIN
		if
		:: joined[OTHER] != 0 && joined[OTHER] != mine[me] + 1 -> disband(); goto leave
		:: else
		fi;
#endif
		joined[me] = mine[me] + 1
	}

	/*
	 * All that is visible is read.
	 * -- worker/lanes.c: lanes_make()
	 */
	atomic { step(); known[me] = visible }

	/* -- worker/cycle.c: take_ranges() */
cycle:
	atomic {
		step();
		if
		:: stop[me] -> goto leave
		:: else
		fi;
		known[me] = known[me] | told[me];
		told[me] = 0;
		if
		:: changed[me] -> changed[me] = false
		:: else -> goto send
		fi
	}

	/* -- worker/lanes.c: lanes_configure() */
	atomic {
		step();
		if
		:: map != mine[me] ->
#if GOES_ON
			mine[me] = map; joined[me] = mine[me] + 1; known[me] = visible
#else
			disband(); goto leave
#endif
		:: else
		fi
	}

	/* -- worker/deliver.c: deliver_start() */
send:
	atomic {
		step();
		if
		:: TO_SEND ->
			flight[me] = (IN(known[me] & OWED, 0) -> 1 : 2);
			/* of a user, one worker has one in flight */
			assert(flight[OTHER] == 0)
		:: else
		fi
	}

	/* asleep, until it is woken or something is answered */
end_asleep:
	atomic {
		!attached[me] || stop[me] || told[me] != 0 || changed[me] || flight[me] != 0 || TO_SEND ->
		step();
		if
		:: flight[me] != 0 && !stop[me] ->
			/* -- worker/recording.c: record_some() */
			done = done | BIT(flight[me] - 1);
			flight[me] = 0
		:: else
		fi
	}
	goto cycle;

	/*
	 * What is in flight is answered and recorded, or given up.
	 * -- worker/worker.c: finish()
	 */
leave:
	atomic {
		step();
		if
		:: flight[me] != 0 -> done = done | BIT(flight[me] - 1)
		:: true
		fi;
		clear(me)
	}
	goto start
}

/* ---------------------------------------------------------------------
 * Sessions
 * ---------------------------------------------------------------------
 */

/*
 * -- shmem/wake.c: publish()
 * -- shmem/wake.c: tell()
 * The slot's map is looked at without a lock.
 */
inline tell(w)
{
	atomic {
		if
		:: IN(lost, me) -> goto over
		:: else
		fi;
#if NO_MAP_SENT
		its = (by == w)
#else
		its = (by == w || joined[w] != by + 1)
#endif
	}
	atomic {
		if
		:: !IN(lost, me) && its && attached[w] -> told[w] = told[w] | BIT(me)
		:: else
		fi
	}
}

/* One that has read the destinations at some time. */
proctype sender(bit me)
{
	bit by;
	bool its;

	/* -- destination/map.c: destination_map() */
	by = map;

	/* -- api/store.c: note_queued() */
	atomic {
		if
		:: IN(lost, me) -> goto over
		:: else -> visible = visible | BIT(me)
		fi
	}
	tell(0);
	tell(1);
over:
	skip
}

/*
 * UPDATE, by a session that outlives the server as if it had done it anew.
 * -- destination/triggers.c: rswebhook_destination_changed()
 */
proctype change()
{
	byte left = CHANGES;

	do
	:: left > 0 ->
		atomic { map = 1 - map; left-- }
#if !NO_TRIGGERS
		changed[0] = attached[0];
		changed[1] = attached[1]
#endif
	:: else -> break
	od
}

/* ---------------------------------------------------------------------
 * A breaker
 * ---------------------------------------------------------------------
 */

bool open[2];					/* Breaker.open */
bool unsaved[2];				/* Lane.breaker_changed */
byte requests[2];				/* to come */

/* A part of the destination, with one answer after the other. */
proctype part(bit me)
{
	/*
	 * -- worker/cycle.c: take_ranges()
	 * -- worker/lanes.c: load_breakers()
	 * -- schedule/breaker.c: breaker_set()
	 */
cycle:
	news[me] = false;
	atomic {
		if
		:: !unsaved[me] -> open[me] = stored
		:: else
		fi
	}

	/*
	 * One that is open lets a probe by when its time has come.
	 * -- schedule/breaker.c: breaker_note_failure()
	 * -- schedule/breaker.c: breaker_note_alive()
	 */
	atomic {
		if
		:: requests[me] > 0 ->
			requests[me]--;
			if
			:: !open[me] -> open[me] = true; unsaved[me] = true
			:: open[me] -> unsaved[me] = true	/* the next probe is later */
			:: open[me] -> open[me] = false; unsaved[me] = true
			:: true
			fi
		:: else
		fi
	}
	if
	:: unsaved[me] ->
		/*
		 * -- worker/states.c: states_save()
		 * -- worker/states.c: states_committed()
		 * -- shmem/worker_slot.c: worker_slot_tell_others()
		 */
#if TOLD_BEFORE_SAVED
		news[OTHER] = true;
#endif
		atomic { stored = open[me]; unsaved[me] = false };
#if !TOLD_BEFORE_SAVED && !BREAKER_NOT_TOLD
		news[OTHER] = true
#endif
	:: else
	fi;
end_asleep:
	if
	:: news[me] || requests[me] > 0
	fi;
	goto cycle
}

/* ---------------------------------------------------------------------
 * What must be when nothing is left to happen
 * ---------------------------------------------------------------------
 */
active proctype quiet()
{
	timeout ->
	/* no event is unknown to whoever serves it */
	assert(OWED == 0);
#if EVENTS && !NO_TRIGGERS
	/* nor is the map to anybody */
	assert(joined[0] == map + 1 && joined[1] == map + 1);
#endif
	/* a breaker that one part has closed keeps no other from trying */
	assert(open[0] == stored && open[1] == stored);
end:
	false
}

init {
	atomic {
#if EVENTS
		run worker(0);
		run worker(1);
		run change();
		run sender(0);
#endif
#if EVENTS > 1
		run sender(1);
#endif
#if REQUESTS
		requests[0] = REQUESTS;
		requests[1] = REQUESTS;
		run part(0);
		run part(1);
#endif
		skip
	}
}
