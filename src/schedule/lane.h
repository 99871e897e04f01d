/*-------------------------------------------------------------------------
 *
 * lane.h
 *		What the parts of the scheduler share: window.c knows which rows of a lane
 *		are in memory, items.c each of them, park.c and parked.c which wait in the
 *		table, order.c their order, reading.c which are to be read, pace.c how many
 *		may be in flight, breaker.c whether a destination works, trust.c for
 *		whom it has of late, places.c how many
 *		of all lanes, room.c how much room large ones take up, and next.c which lane
 *		comes next.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_LANE_H
#define RSWEBHOOK_LANE_H

#include "lib/ilist.h"
#include "lib/pairingheap.h"
#include "utils/hsearch.h"

#include "base/clock.h"
#include "destination/verdict.h"
#include "schedule/values.h"
#include "tables/values.h"

#define LANE_ITEMS		50000	/* rows of a destination in memory; of what only
								 * waits, half as many */
#define LANE_LATE_ITEMS	50000	/* beside them, what is read late or is due: it
								 * must be known before what comes after it goes */
#define KEY_ITEMS		16		/* rows of a user in memory at the least */
#define KEY_ITEMS_ROOMY	256		/* while the lane has room for more */
#define LANE_RANGES		16		/* late ranges kept apart */
#define READ_ROWS		1000	/* rows of one read */
#define RANGE_IDS		10000	/* ids of each of which it is looked whether its row is gone */
#define SLOW_START		4		/* requests in flight before a first answer */
#define LANE_BLAMED		32		/* users whose failures are told from each other */
#define LANE_LATELY		100		/* good answers until a request that hung is forgotten */
#define DUE_NOW			DT_NOBEGIN	/* whatever the clock shows */

typedef struct KeyQueueKey
{
	int64		ordering_key;
	int32		destination_id;
	int32		padding;		/* keys are compared as bytes */
} KeyQueueKey;

/* How a parked row is found. */
typedef enum ParkedChain
{
	PARKED_BY_EVENT,
	PARKED_BY_USER,
	PARKED_CHAINS
} ParkedChain;

/*
 * A row that waits for its retry in the table.  Of its user, nothing else is in
 * memory but what will not be sent again.
 */
typedef struct Parked
{
	int64		event_id;
	int64		ordering_key;
	int64		later_from;		/* later rows of its user begin here; 0: none
								 * have been seen */
	Instant		ready_at;
	struct Parked *next[PARKED_CHAINS];
	pairingheap_node in_lane;
	int32		destination_id;
	bool		has_key : 1;	/* it blocks its user */
	bool		alone : 1;		/* as of an item */
	bool		found : 1;		/* while a read of it is taken in */
	bool		hastened : 1;	/* it is due before its retry_at */
	uint8		seen;			/* as of an item */
} Parked;

/* The events of one user for one destination. */
typedef struct KeyQueue
{
	KeyQueueKey id;
	Lane	   *lane;
	dlist_head	waiting;		/* items by event id, without the running ones */
	int			running;		/* items in flight, or waiting for their retry's
								 * record: one, unless they were taken before
								 * the destination became ordered */
	int			nitems;			/* with the running ones */
	bool		spilled;		/* rows from spilled_from on are not in memory */
	bool		hungry;			/* it wants them read again */
	int64		spilled_from;
	pairingheap_node in_hungry;
} KeyQueue;

typedef enum ItemState
{
	ITEM_WAITING,				/* behind others of its user */
	ITEM_TIMED,					/* until retry_at, in the heap */
	ITEM_READY,					/* in the lane's list */
	ITEM_IN_FLIGHT,
	ITEM_DECIDED				/* the outcome is not recorded yet */
} ItemState;

/* What is known of how long a destination keeps events; best first. */
typedef enum Repute
{
	REPUTE_GOOD,				/* it answers, and soon */
	REPUTE_NEW,					/* it has not answered anything yet */
	REPUTE_SLOW					/* or it hangs */
} Repute;

/* Lanes that can send wait in lines, by whose places there must be one free. */
typedef enum Line
{
	LINE_NONE,
	LINE_GOOD,
	LINE_NEW,
	LINE_SLOW,
	LINE_MORE,					/* either of these, beside those in flight */
	NLINES
} Line;

/* Which of a lane's ready items. */
typedef enum Choice
{
	CHOOSE_OLDEST,				/* of those that were never tried */
	CHOOSE_NEWEST,				/* likewise */
	CHOOSE_ANY,					/* likewise: not the same one each time */
	CHOOSE_RETRY
} Choice;

/* How urgent it is to read for a lane; most first. */
typedef enum Reads
{
	READS_SOON,
	READS_WALKING,				/* the last read was cut, perhaps by dead rows */
	READS_IDLY,					/* only what nobody waits for */
	NREADS,
	READS_NOTHING
} Reads;

typedef struct QueueItemId
{
	int64		event_id;
	int32		destination_id;
	int32		padding;
} QueueItemId;

struct QueueItem
{
	QueueItemId id;
	QueueRow	row;
	Lane	   *lane;
	KeyQueue   *key;			/* NULL: unordered */
	ItemState	state;
	VerdictKind verdict;		/* of ITEM_DECIDED */
	Instant		ready_at;		/* row.retry_at, within bounds */
	bool		early;			/* its row.deliver_after had not come when its
								 * destination was gone */
	Instant		taken_at;		/* of ITEM_IN_FLIGHT */
	int64		bytes;			/* likewise: the room that it takes up */
	int64		size;			/* of its event, if there was no room for it */
	Repute		repute;			/* of ITEM_IN_FLIGHT: whose place it has */
	bool		alone;			/* its request could not be made with others' */
	uint8		seen;			/* in which of its lane's sweeps its row was there */
	bool		retry;			/* of ITEM_READY and ITEM_IN_FLIGHT: it was tried
								 * before */
	dlist_node	in_key;
	dlist_node	in_ready;
	bool		as_trusted;		/* of ITEM_IN_FLIGHT: counted in its lane's */
	bool		feels;			/* likewise: it went beside all that are allowed ... */
	bool		in_quarter;		/* ... and those that are kept for trusted users */
	bool		trusted;		/* of ITEM_READY: in its lane's list of such */
	dlist_node	in_trusted;
	dlist_node	in_flying;		/* of ITEM_IN_FLIGHT */
	dlist_node	in_good;		/* if it has one of REPUTE_GOOD */
	pairingheap_node in_timers;
	dlist_node	in_timed;		/* of ITEM_TIMED, likewise */
};

typedef struct Range
{
	int64		after;			/* read up to here */
	int64		upto;
	bool		gone;			/* rows of it may have been deleted */
} Range;

struct Lane
{
	int32		destination_id;
	bool		configured;
	LanePolicy	policy;

	/* the window */
	int			nitems;
	int			nready;
	int			nretries;		/* of these, tried before */
	dlist_head	ready[2];		/* those that were never tried, and retries */
	dlist_head	ready_trusted;	/* of the former, those of users that were trusted when
								 * they became ready, or have been seen to be since */
	bool		trust_grew;		/* others may be of these, too */
	Instant		sought_at;		/* when such were sought last */
	uint32		picks;			/* of CHOOSE_ANY */
	dlist_head	timed;			/* those that wait for their time */
	pairingheap parked;			/* by ready_at */
	int			nparked;
	int			nparked_seen;	/* of these, in this sweep */

	/* reading */
	int64		cursor;			/* all visible rows up to here have been read */
	bool		more;			/* there may be rows beyond it */
	int			nranges;
	Range		ranges[LANE_RANGES];
	pairingheap hungry;			/* keys, by spilled_from */
	bool		fed_hungry;		/* the last read was theirs, the next is not */
	bool		fed_retries;	/* likewise of parked rows */
	int			barren;			/* reads in a row that brought nothing to send */
	bool		walks;			/* the last read was cut */
	bool		sweeps;			/* all is to be read again, from ... */
	Range		sweep;			/* ... there up to where the cursor was */
	uint8		sweep_number;	/* of this one, or the last */
	bool		sweeps_again;	/* rows have gone that it had come past */
	Floor		floor;			/* as the table has it */
	int64		floor_reached;	/* nothing is left up to here ... */
	int64		floor_goal;		/* ... and that is to be seen up to here */
	int64		floor_looked;	/* it has been, whatever there is */
	bool		hastens;		/* retries that are still to be read ahead are due at
								 * once: they were to wait for what has changed since */
	bool		hastening;		/* such are being taken in */
	TimestampTz due_after;		/* deliver_after up to here has been seen to */
	int64		due_after_id;
	TimestampTz next_due;		/* NO_TIME: no row waits for its deliver_after;
								 * DUE_NOW: look which one does */
	int64		unread_us;		/* the pause while its rows cannot be read; 0:
								 * they can */
	Instant		unread_until;	/* its end */
	Instant		hastened_at;	/* what was taken before, and is to be tried again,
								 * is due at once */

	/* pace */
	int			in_flight;
	dlist_head	flying;			/* these, as they were taken */
	Instant		felt_at;		/* when the last one was that is not as_trusted */
	bool		feels;			/* for somebody good, beside those that hang, perhaps */
	bool		feeling;		/* the item that was chosen last would */
	int			nin_quarter;	/* in flight */
	Instant		quarter_from;	/* before that, no other is to be */
	int			allowed;		/* in flight; grows to max_in_flight with good
								 * answers */
	int			retries_in_flight;
	int			trusted_in_flight;	/* taken as such, while some had hung lately */
	int			hung_lately;	/* so many good answers until that is over ... */
	Instant		hangs_until;	/* ... from then on */
	uint32		choices;		/* made meanwhile */
	bool		newest_next;	/* of those that were never tried, if some hang or fail */
	uint32		fresh_in_row;	/* taken since the last retry was */
	int			failing;		/* users in a row with bad signals, and probes */
	int			nblamed;		/* of these, the last LANE_BLAMED ... */
	int64		blamed[LANE_BLAMED];	/* ... are known */
	int			ntrusted;		/* users whose last answers were good ... */
	int			nproven;		/* ... more than once: these are at the end */
	int64		trusted[MAX_TRUSTED];
	bool		trust_changed;	/* others than in the table, perhaps ... */
	bool		trust_unsaved;	/* ... which is to be saved */
	dlist_node	trust_node;
	int			caution;		/* the breaker opens at so many times the threshold, as a
								 * power of two */
	Instant		alive_at;		/* the last good one */
	bool		hangs;			/* it has kept a request long, and nothing good
								 * has come of any since */
	double		tokens;
	Instant		tokens_at;
	Breaker		breaker;
	bool		breaker_changed;	/* and is not saved */
	bool		breaker_told;	/* it is open, as was last asked, or the table has it */
	dlist_node	changed_node;
	QueueItem  *probe;			/* the one request that an open breaker lets by */
	int			nprobes;		/* that were in vain, in their turn */
	bool		trusted_probed; /* the last one was of a user that was trusted */
	int64		lacks_us;		/* the pause between requests while we lack
								 * something for them; 0: we do not */
	bool		lacks_own;		/* that is something which its destination names */
	Instant lacks_until;	/* its end */
	Instant rests_until;		/* see schedule_rest() */
	Instant lacked_at;		/* when something was lacking last */
	int			deferred;		/* outcomes that cannot be recorded now */
	int64		deferred_bytes; /* of these */
	bool		stuck;			/* it had too many of these, and still has some */
	bool		held_back;		/* none could be recorded, as it seems */

	/* room */
	int64		bytes;			/* that its large events in flight take up */
	int64		allowed_bytes;	/* so many, or a single event */
	Repute		repute;			/* for these, when it was last looked at */
	bool		slow;			/* it has kept a large event long, and answered
								 * none soon since */
	Instant		moved_at;		/* when it began to have any in flight, or last
								 * answered one */

	/* where next.c has put it */
	Line		line;			/* LINE_NONE: it cannot send */
	uint64		since;			/* when it went to the end of the line, as a count */
	Reads		reads;			/* the list of readers that it is in */
	bool		in_timers;
	Instant		wake_at;
	dlist_node	line_node;
	dlist_node	reader_node;
	pairingheap_node timer_node;
};

extern int	items_most;		/* LANE_ITEMS; unit tests have fewer ... */
extern int	window_range_ids;	/* ... and of these RANGE_IDS */

static inline bool
lane_is_ordered(const Lane *lane)
{
	return lane->policy.ordered && !lane->policy.gone;
}

/* No more of what only waits is kept in memory. */
static inline bool
lane_is_half_full(const Lane *lane)
{
	return lane->nitems >= items_most / 2;
}

/* Of items, or of keys. */
static inline HTAB *
lane_make_table(MemoryContext context, const char *name, Size keysize, Size entrysize)
{
	HASHCTL		info = {0};

	info.keysize = keysize;
	info.entrysize = entrysize;
	info.hcxt = context;
	return hash_create(name, 256, &info, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/* ---- pace.c ---- */
extern void pace_init(void);
extern void pace_init_lane(Lane *lane, Instant now);
extern void pace_forget_lane(Lane *lane);

/* See schedule_set_max_in_flight(). */
extern void pace_set_max_in_flight(int n, int places, int64 bytes);

/* See schedule_lacking(). */
extern int	pace_lacking(void);

/* See schedule_configure(). */
extern void pace_look_again(Lane *lane);

/* See schedule_deferred(). */
extern bool pace_deferred(QueueItem *item, int64 bytes);
extern bool pace_deferred_no_more(QueueItem *item, int64 bytes);

/*
 * May the lane send one of its ready items?  If only time is in the way,
 * *when tells until when.
 */
extern bool pace_allows(Lane *lane, Instant now, Instant *when);

/*
 * Of a lane that may send: what is next, if it is there?  Retries never take more
 * than their part while there is something that was never tried.
 */
extern Choice pace_choice(const Lane *lane);

/*
 * Is somebody good to be looked for beyond what is ready: do places stand empty for users
 * that are trusted, or have none of these been good?
 */
extern bool pace_wants_news(const Lane *lane);

/* The one to take of a lane that is allowed to send. */
extern QueueItem *pace_choose(Lane *lane, Instant now);

/*
 * Count an item of a lane that may send, and for which there is a place, as in
 * flight.  False: there is no room for it.
 */
extern bool pace_take(QueueItem *item, Instant now);

/* Its size is known now; false: there is no room for that. */
extern bool pace_admit(QueueItem *item, int64 bytes);

/*
 * It is not in flight any more: its row has gone, it was not sent after all, or
 * it has an outcome.
 */
extern void pace_leave(QueueItem *item);
extern void pace_take_back(QueueItem *item);
extern void pace_lacked(QueueItem *item, bool own, Instant now);
extern void pace_finished(QueueItem *item, const Verdict *verdict, Instant now);

/* ---- breaker.c ---- */
extern void breaker_init(void);

/* A bad signal has come of the item; probed: it was its lane's probe. */
extern void breaker_note_failure(QueueItem *item, bool probed, const Verdict *verdict, Instant now);

/* The destination works; or it is to have no breaker. */
extern void breaker_note_alive(Lane *lane, Instant now);
extern void breaker_close(Lane *lane);

/* The next probe is no further away than the destination's longest back-off; or than that. */
extern void breaker_bound(Lane *lane, Instant now);
extern void breaker_hasten(Lane *lane, Instant at);

/* False: the lane's breaker stays as it is. */
extern bool breaker_set(Lane *lane, const Breaker *breaker, Instant now);

/* See schedule_breaker_overruled(); and of a lane that goes. */
extern void breaker_overruled(Lane *lane);
extern void breaker_forget(Lane *lane);

/* Breakers that have changed; see schedule_next_changed_breaker(). */
extern Lane *breaker_next_changed(void);
extern bool breaker_has_changed(void);
extern void breaker_mark_changed(Lane *lane);

/* See schedule_breaker_is_news(). */
extern bool breaker_is_news(Lane *lane);

/* ---- trust.c ---- */
extern void trust_init(void);

/* Was the last answer to an event of its user a good one, as far as is known? */
extern bool trust_has(const Lane *lane, const QueueRow *row);

/* A good answer has come; or a bad one: was its user trusted until now? */
extern void trust_note_good(Lane *lane, const QueueRow *row);
extern bool trust_note_bad(Lane *lane, const QueueRow *row);

/* The user was good more than once. */
extern void trust_add_proven(Lane *lane, int64 user);

/* After an answer: who is trusted is to be saved, if that counts now. */
extern void trust_settle(Lane *lane);

/* Lanes of which that is so; see schedule_next_unsaved_trust(); and of a lane that goes. */
extern Lane *trust_next_unsaved(void);
extern bool trust_is_unsaved(void);
extern void trust_mark_unsaved(Lane *lane);
extern void trust_forget(Lane *lane);

/* ---- places.c ---- */
extern void places_init(void);
extern void places_set(int max_in_flight, int places);

/* Where the lane waits if it can send; is there a place for those who do? */
extern Line places_line(const Lane *lane);
extern bool places_has_free(Line line);

/* It has as many as it leaves to others. */
extern bool places_has_share(const Lane *lane);

extern void places_take(QueueItem *item);
extern void places_leave(QueueItem *item);

/* Requests in flight, of all lanes together. */
extern int	places_in_flight(void);

/* A lane whose request has given up its place just now; NULL: none has to. */
extern Lane *places_give_up_late(Instant now);

/* When the next one may have to; 0: never. */
extern Instant places_late_at(void);

/* Before it leaves: its outcome is known. */
extern void places_note(const QueueItem *item, const Verdict *verdict, Instant now);

/* ---- room.c ---- */

/* So many requests may be in flight, and so much of their events. */
extern void room_set(int requests, int64 bytes);
extern int64 room_free_bytes(void);

/* False: there is none for an event of this size now. */
extern bool room_take(QueueItem *item, int64 bytes, Instant now);
extern void room_leave(QueueItem *item);

/* What all others take up. */
extern int64 room_beside(const QueueItem *item);

/* Before it leaves: its outcome is known. */
extern void room_note(QueueItem *item, const Verdict *verdict, Instant now);

/* ---- reading.c ---- */

/* Rows first_id to last_id have become visible; gone: or some of them were deleted. */
extern void reading_note_range(Lane *lane, int64 first_id, int64 last_id, bool gone);

/*
 * Read all again, in the background; if that is under way, it goes on.  Or rows have gone,
 * who knows which: likewise, if others may wait behind them, and once more after it.
 */
extern void reading_sweep(Lane *lane);
extern void reading_sweep_gone(Lane *lane);

/* It has come to its end, and what it has not seen is forgotten. */
extern void reading_swept(Lane *lane);

/* Is there anything to read, and what first?  idly: what nobody waits for. */
extern Reads reading_wants(const Lane *lane, Instant now);
extern void reading_next(Lane *lane, bool idly, Instant now, ReadRequest *request);

/* ---- parked.c ---- */
extern void parked_init(MemoryContext context);
extern void parked_init_lane(Lane *lane);

/* NULL: there is no room.  It may block its user then. */
extern Parked *parked_add(Lane *lane, int64 event_id, Instant ready_at);
extern void parked_block(Parked *parked, int64 ordering_key, int64 later_from);
extern void parked_remove(Lane *lane, Parked *parked);
extern void parked_forget_lane(Lane *lane);

/* It is due then, unless it is sooner; or all that the lane has are. */
extern void parked_hasten(Lane *lane, Parked *parked, Instant ready_at);
extern void parked_hasten_all(Lane *lane, Instant ready_at);

/* A sweep has seen its row; or call f, which may forget it, for each of which it has not, up to there. */
extern void parked_note_seen(Lane *lane, Parked *parked);
extern void parked_each_unseen(Lane *lane, int64 upto, void (*f) (Lane *lane, Parked *parked));

/* The parked row of an event, and that of a user; NULL: none is. */
extern Parked *parked_event(const Lane *lane, int64 event_id);
extern Parked *parked_user(const Lane *lane, int64 ordering_key);

/* When the first is due, 0: there are none; and which are due, the first ones first. */
extern Instant parked_next(const Lane *lane);
extern bool parked_are_due(const Lane *lane, Instant now);
extern int	parked_due(Lane *lane, Instant now, int64 *ids, int most);

/* ---- order.c ---- */
extern void order_init(MemoryContext context);
extern void order_init_lane(Lane *lane);

/*
 * Offer an item for sending, or take it out of wherever it waits; it is the
 * caller's then.
 */
extern void order_offer(QueueItem *item, Instant now);
extern void order_withdraw(QueueItem *item);

/* A ready item of a lane that has any, which is as is wanted if there is one. */
extern QueueItem *order_ready(Lane *lane, Choice choice);

/* One that is ready, of a user that is trusted (trust_has()); NULL: none is known. */
extern QueueItem *order_trusted(Lane *lane, Instant now);

/* Offer the first item whose retry has come; returns its lane, NULL: none has. */
extern Lane *order_offer_timed(Instant now);
extern Instant order_next_retry(void);

/* A user's key, NULL: there is none; or it is made then. */
extern KeyQueue *order_find(const Lane *lane, int64 ordering_key);
extern KeyQueue *order_key(Lane *lane, int64 ordering_key);
extern void order_forget_key(KeyQueue *key);

/* An item takes its place among those of its key. */
extern void order_insert(KeyQueue *key, QueueItem *item, Instant now);

/* Offer the first item of a key, if none of the key is on its way. */
extern void order_promote(KeyQueue *key, Instant now);

/* From there on, all rows of the key are in the table only. */
extern void order_spill(KeyQueue *key, int64 spilled_from);
extern void order_check_hunger(KeyQueue *key);

/* Likewise of a user, if it has a key of which nothing is in memory. */
extern void order_check_hunger_of(Lane *lane, int64 ordering_key);

/* It is for somebody else to know which rows of the key are in the table. */
extern void order_unspill(KeyQueue *key);

/* A read for hungry keys has seen these rows. */
extern void order_feed(Lane *lane, int64 after, int64 upto, bool all);

/*
 * Of a lane that is read again: forget which rows were left in the table, and
 * all keys but those that have items on their way.
 */
extern void order_forget_spilled(Lane *lane);

/* ---- items.c ---- */
extern void items_init(MemoryContext context);
extern int	items_count(void);	/* of all lanes */
extern QueueItem *items_add(Lane *lane, const QueueRow *row, KeyQueue *key, Instant now);
extern QueueItem *items_find(const Lane *lane, int64 event_id);

/* Unless it is on its way: what became of its row is seen when it is recorded. */
extern QueueItem *items_find_waiting(const Lane *lane, int64 event_id);

/* Its row is this now; and when such a row may go. */
extern void items_set_row(QueueItem *item, const QueueRow *row, Instant now);
extern Instant items_ready_at(const Lane *lane, const QueueRow *row, Instant now);

/* Forget one that was taken, or take one that waits out of its lists and forget it. */
extern void items_free(QueueItem *item);
extern void items_discard(QueueItem *item, Instant now);

/* Call f for each of the lane's, which it may forget. */
extern void items_each(const Lane *lane, void (*f) (QueueItem *item, Instant now), Instant now);

/* ---- park.c ---- */

/*
 * If an item that is in no list has to wait, park it, with all that its key has behind
 * it.  False: it is kept.  fed: all that precedes it has been read.
 */
extern bool park_item(QueueItem *item, bool fed, Instant now);

/* Likewise a row of which nothing is in memory, nor of its user. */
extern bool park_row(Lane *lane, const QueueRow *row, Instant now);

/* Is the row parked, or its user blocked by another one that is? */
extern bool park_holds_back(Lane *lane, const QueueRow *row, Instant now);

/*
 * It is not parked any more: it comes in; or it is not there, or another user's, so
 * that the later ones may come.
 */
extern void park_release(Lane *lane, Parked *parked);
extern void park_forget(Lane *lane, Parked *parked);

/* ---- window.c ---- */
extern void window_init(MemoryContext context);
extern void window_init_lane(Lane *lane);

/* A ready item is taken out for sending. */
extern void window_take(QueueItem *item);

/* Its user's next one may go. */
extern void window_release_key(QueueItem *item, Instant now);

/* Back to the place that it was taken from; the item may be gone afterwards. */
extern void window_return(QueueItem *item, Instant now);

/* Rows that were read come in; see schedule_rows_read(). */
extern void window_rows_read(const ReadRequest *request, const QueueRow *rows,
							 int nrows, Instant now);

/* Forget what waits, to read it again under other rules. */
extern void window_forget_waiting(Lane *lane, Instant now);

/* All that waits for its retry is due now, be it in memory or not. */
extern void window_hasten(Lane *lane, Instant now);

/* ---- next.c ---- */
extern void next_init(void);

/* After any change of a lane: put it where it belongs now. */
extern void next_settle(Lane *lane, Instant now);
extern void next_forget_lane(Lane *lane);

/* Whoever waited for a time that has come; and when that is next, 0: never. */
extern void next_run_timers(Instant now);
extern Instant next_wake_at(void);

/* The lane that reads next, taken out of its list; NULL: none.  See reading_next(). */
extern Lane *next_to_read(Instant now, bool *idly);
extern bool next_wants_read(Instant now);

/* It has read idly, and that took so long. */
extern void next_has_idled(int64 took_us, Instant now);

/* See schedule_next(). */
extern QueueItem *next_to_send(Instant now);

/* It goes behind all others that can send. */
extern void next_move_back(Lane *lane);

#endif							/* RSWEBHOOK_LANE_H */
