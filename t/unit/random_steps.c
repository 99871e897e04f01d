/*-------------------------------------------------------------------------
 *
 * random_steps.c
 *		Random steps of a scheduler, each judged by a few rules that know nothing of
 *		how it works: by what a row is, and by what came before.
 *
 * rooms: schedule/schedule.c schedule/next.c schedule/window.c schedule/order.c
 * rooms: schedule/reading.c schedule/items.c schedule/park.c schedule/parked.c
 * rooms: schedule/pace.c schedule/breaker.c schedule/trust.c schedule/places.c schedule/room.c destination/verdict.c
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include "steps.h"

#define RUN_STEPS	4000
#define RUN_USERS	12
#define MAX_OPEN	20			/* transactions that have not committed yet */

typedef struct Claimed
{
	QueueItem  *item;
	QueueRow	row;			/* as it was claimed */
	bool		decided;
	bool		final;			/* it is not to be tried again */
	bool		is_deferred;
	bool		edited;			/* its destination's row is another one since */
	Instant		retry_from;
	int			retry_clock;
} Claimed;

typedef struct Transaction
{
	int			destination;
	int64		first;
	int64		last;
} Transaction;

static Claimed claimed[1000];
static int	nclaimed;
static Transaction open_ones[MAX_OPEN];
static int	nopen;
static LanePolicy policies[NDESTS + 1];
static int	done[NDESTS + 1][RUN_STEPS * 4];	/* final outcomes of a row */
static int64 next_row;
static int	run_bound;
static int	run_places;
static int	nclocks;			/* so often the wall's clock was set */
static TimestampTz wall_most;	/* the latest that it has shown */
static const int windows[] = {LANE_ITEMS, 80, 30, 10};	/* so small that much is parked */
static int	in_row[NDESTS + 1]; /* retries, while others waited */
static int	nparked;			/* so often it was */
static int	ncut;				/* reads of lanes of which some were */
static int	ngone;				/* rows that were said to have gone */
static int	nfloors;			/* reads for where a queue begins */
static uint64 seed;
static char *broken;			/* the first rule that was */

static int
any(int n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (seed >> 11) % n;
}

static void
must(bool good, const char *rule, int destination, int64 id)
{
	if (!good && broken == NULL)
		broken = psprintf("%s: destination %d, event %lld", rule, destination, (long long) id);
}

static Claimed *
claim_of(int destination, int64 id)
{
	for (int i = 0; i < nclaimed; i++)
		if (claimed[i].row.destination_id == destination && claimed[i].row.event_id == id)
			return &claimed[i];
	return NULL;
}

static void
unclaim(Claimed *c)
{
	if (c->is_deferred)
		schedule_deferred_no_more(c->item, 100);
	*c = claimed[--nclaimed];
}

/* Which of a user's rows may not be waited for by a later one? */
static bool
holds_up_nobody(const TableRow *r, const TableRow *later, bool all_read)
{
	const Claimed *c = claim_of(r->row.destination_id, r->row.event_id);

	if (!r->exists || !r->visible)
		return true;
	if (c != NULL && c->final)
		return true;			/* or if it has been queued again meanwhile */
	if (r->row.deliver_after > clock_wall(t) || (r->row.deliver_after != NO_TIME && !all_read))
		return true;
	return !all_read && r->committed > later->committed;
}

/* While something waits that was never tried, retries leave it its part. */
static void
judge_share(QueueItem *item, const LanePolicy *policy)
{
	const QueueRow *row = schedule_row(item);
	Lane	   *lane = schedule_item_lane(item);
	int			nretries = 1;

	in_row[row->destination_id] = item->retry && lane->nready > lane->nretries ?
		in_row[row->destination_id] + 1 : 0;
	if (in_row[row->destination_id] == 0)
		return;
	for (int i = 0; i < nclaimed; i++)
		nretries += !claimed[i].decided && claimed[i].row.destination_id == row->destination_id &&
			claimed[i].item->retry;
	must(in_row[row->destination_id] <= 1, "retries come before what was never tried",
		 row->destination_id, row->event_id);
	must(nretries <= Max(1, policy->max_in_flight / 2), "retries take what others need",
		 row->destination_id, row->event_id);
}

/* The rules for what is handed out. */
static void
judge(QueueItem *item, bool all_read)
{
	const QueueRow *row = schedule_row(item);
	int			destination = row->destination_id;
	const LanePolicy *policy = &policies[destination];
	TableRow   *r = &table[destination][row->event_id];
	int			in_flight = 1;
	int			total = 1;

	must(claim_of(destination, row->event_id) == NULL, "handed out twice at a time", destination, row->event_id);
	must(is_mine(row), "another worker's", destination, row->event_id);
	must(r->visible, "not committed", destination, row->event_id);
	for (int i = 0; i < nclaimed; i++)
	{
		const Claimed *c = &claimed[i];
		bool		same = c->row.destination_id == destination;

		total += !c->decided;
		in_flight += same && !c->decided;
		if (same && policy->ordered && !policy->gone && row->has_key && c->row.has_key &&
			c->row.ordering_key == row->ordering_key)
			must(c->final, "two of a user at a time", destination, row->event_id);
	}
	must(total <= run_places, "more in flight than all may have", destination, row->event_id);
	judge_share(item, policy);
	if (policy->gone)
		return;

	must(!policy->halted, "its destination is halted", destination, row->event_id);
	must(in_flight <= Max(1, policy->max_in_flight / my_parts +
						  (my_part < policy->max_in_flight % my_parts)),
		 "more in flight than its destination may have", destination, row->event_id);
	must(row->deliver_after <= Max(wall_most, clock_wall(t)) || row->attempts > 0, "it is not due",
		 destination, row->event_id);
	must(r->retry_clock != nclocks || r->retry_from <= t, "it is not to be tried again yet",
		 destination, row->event_id);
	if (schedule_lane_breaker(schedule_lane(destination, t))->open)
		must(schedule_lane(destination, t)->probe == item &&
			 (schedule_lane_breaker(schedule_lane(destination, t))->next_probe_at <= t ||
			  trust_has(schedule_lane(destination, t), row)),
			 "its breaker is open", destination, row->event_id);
	if (!policy->ordered || !row->has_key)
		return;
	if (schedule_lane(destination, t)->unread_until > t)
		all_read = false;		/* it cannot be read at present */
	for (int64 id = lowest[destination]; id < row->event_id; id++)
	{
		const TableRow *before = &table[destination][id];

		if (before->row.has_key && before->row.ordering_key == row->ordering_key)
			must(holds_up_nobody(before, r, all_read), "it overtakes another one", destination, row->event_id);
	}
}

/* A row that is in the table, parked or not, is above what is said to be empty. */
static void
judge_floor(void)
{
	const Lane *lane = last_read.lane;

	for (int64 id = last_read.after_id + 1; id <= lane->floor_reached; id++)
	{
		const TableRow *r = &table[lane->destination_id][id];

		must(!r->exists || !r->visible, "its floor is too high", lane->destination_id, id);
	}
	nfloors++;
}

/* False: nothing is wanted. */
static bool
read_piece(void)
{
	piece_ids = any(3) == 0 ? 1 + any(30) : 0;
	if (!read_once())
		return false;
	ncut += last_read.cut && last_read.lane->nparked > 0;
	if (last_read.kind == READ_FLOOR)
		judge_floor();
	return true;
}

/* False: nothing may go. */
static bool
claim(bool all_read)
{
	QueueItem  *item;

	for (int i = 0; read_piece() && all_read; i++)
	{
		if (i == 10000)
			elog(ERROR, "reads of kind %d come to no end", last_read.kind);
	}
	item = schedule_next(t);
	if (item == NULL)
	{
		must(schedule_wake_at() == 0 || schedule_wake_at() > t, "it waits for what has come", 0, schedule_wake_at());
		return false;
	}
	judge(item, all_read);

	/* the row is fetched, and is perhaps not what was read */
	{
		QueueRow	row = *schedule_row(item);
		TableRow   *r = &table[row.destination_id][row.event_id];

		if (!r->exists || r->row.queued_at != row.queued_at || r->row.attempts != row.attempts)
			schedule_replace(item, r->exists ? &r->row : NULL, t);
		else if (any(8) == 0)
		{
			switch (any(4))
			{
				case 0:
					schedule_put_back(item, t);
					break;
				case 1:
					schedule_lacked(item, any(2) == 0, t);
					break;
				case 2:
					if (!schedule_waits_for_nothing(item))
					{
						schedule_put_off(item, t + any(SECOND), t);
						break;
					}
					/* FALLTHROUGH */
				default:
					if (!schedule_admit(item, 1000000 * any(40)))
						schedule_put_back(item, t);
					else
						claimed[nclaimed++] = (Claimed) {item, row};
					break;
			}
		}
		else
			claimed[nclaimed++] = (Claimed) {item, row};
	}
	return true;
}

static void
decide(Claimed *c)
{
	int			luck = any(10);
	bool		gone = policies[c->row.destination_id].gone;
	VerdictKind kind = gone || luck < 6 ? VERDICT_DELIVERED : luck < 9 ? VERDICT_RETRY : VERDICT_ABORTED;
	VerdictSignal signal = gone ? SIGNAL_NONE : kind == VERDICT_DELIVERED ? SIGNAL_ALIVE :
		any(6) ? SIGNAL_FAILING : (VerdictSignal) any(2);

	c->retry_from = t + (any(4) == 0 ? 0 : any(5 * SECOND));
	c->retry_clock = nclocks;
	finish(c->item, kind, signal, c->retry_from - t);
	c->decided = true;
	c->final = kind != VERDICT_RETRY;
	if (any(10) == 0)
	{
		schedule_deferred(c->item, 100);
		c->is_deferred = true;
	}
}

/* As queue_record() does: what is not the claimed row any more stays. */
static void
record_claimed(Claimed *c)
{
	const QueueRow *now = schedule_row(c->item);
	TableRow   *r = &table[c->row.destination_id][c->row.event_id];
	QueueItem  *item = c->item;
	bool		same = r->exists && r->row.queued_at == c->row.queued_at && r->row.attempts == c->row.attempts;

	if (same && c->final)
	{
		r->exists = false;
		done[c->row.destination_id][c->row.event_id]++;
	}
	else if (same)
	{
		r->row.attempts = now->attempts;
		r->row.retry_at = now->retry_at;
		r->row.first_attempt_at = now->first_attempt_at;
		r->retry_from = c->edited ? 0 : c->retry_from;
		r->retry_clock = c->retry_clock;
	}
	else if (c->final)
		r->committed = ++ncommits;	/* queued again, which is told of only now */
	unclaim(c);
	schedule_recorded(item, !same, t);
}

static void
begin_transaction(void)
{
	Transaction *x = &open_ones[nopen];

	if (nopen == MAX_OPEN)
		return;
	x->destination = 1 + any(NDESTS);
	x->first = next_row;
	x->last = next_row + any(any(10) == 0 ? 40 : 4);
	if (x->last >= RUN_STEPS * 4)
		return;
	for (int64 id = x->first; id <= x->last; id++)
	{
		TableRow   *r = insert(x->destination, id, any(8) == 0 ? NO_KEY : any(RUN_USERS));

		if (any(6) == 0)
			r->row.deliver_after = clock_wall(t + any(10 * SECOND));
	}
	next_row = x->last + 1;
	nopen++;
}

static void
commit_any(void)
{
	int			i = any(nopen);

	commit(open_ones[i].destination, open_ones[i].first, open_ones[i].last);
	open_ones[i] = open_ones[--nopen];
}

/* Somebody cancels a row, or queues it again. */
static void
interfere(void)
{
	int			destination = 1 + any(NDESTS);
	int64		id = 1 + any(next_row);
	TableRow   *r = &table[destination][id];
	static TimestampTz stamp = 1;

	if (!r->visible || !r->exists)
		return;
	r->exists = false;
	if (any(2) == 0)
	{
		r->exists = true;
		r->row.queued_at = stamp++;
		r->row.attempts = 0;
		r->row.retry_at = r->row.deliver_after = NO_TIME;
		r->retry_from = 0;
		r->committed = ++ncommits;
	}
	else
		done[destination][id]++;	/* nobody owes it any more */
	if (any(2) == 0)
	{
		ngone++;
		commit_gone(destination, Max(1, id - any(40)), id + any(40));
	}
	else if (r->exists || any(2) == 0)
		commit(destination, id, id);
}

/* Up to which id no row can appear any more, but for one that is queued again. */
static int64
settled_id(void)
{
	int64		id = next_row;

	for (int i = 0; i < nopen; i++)
		id = Min(id, open_ones[i].first);
	return id - 1;
}

/* Its row is another one: what waits for its retry, or will, may go from here on. */
static void
edited(int destination)
{
	policies[destination].version++;
	for (int64 id = lowest[destination]; id <= highest; id++)
		table[destination][id].retry_from = 0;
	for (int i = 0; i < nclaimed; i++)
	{
		if (claimed[i].row.destination_id == destination)
			claimed[i].edited = true;
	}
}

static void
reconfigure_any(void)
{
	int			destination = 1 + any(NDESTS);
	LanePolicy *policy = &policies[destination];

	switch (any(8))
	{
		case 0:
			policy->ordered = any(3) > 0;
			break;
		case 1:
			policy->halted = any(4) == 0;
			break;
		case 2:
			policy->max_in_flight = 1 + any(8);
			break;
		case 3:
			policy->rate_limit = any(3) == 0 ? 1 + any(100) : 0;
			break;
		case 4:
			policy->breaker_failures = any(2) * 4;
			break;
		case 5:
			policy->gone = any(8) == 0;
			break;
		case 6:
			schedule_lane(destination, t)->floor_reached = 0;
			schedule_lane(destination, t)->floor_goal = settled_id();
			schedule_settle_all(t);
			return;
		default:
			schedule_reread(schedule_lane(destination, t), t);
			return;
	}
	if (any(2) == 0)
		edited(destination);
	configure(destination, policy);
}

static void
save_breakers(bool well)
{
	Lane	   *lane;

	while ((lane = schedule_next_changed_breaker()) != NULL)
	{
		if (!well)
		{
			schedule_breaker_unsaved(lane);
			return;
		}
	}
}

static void
step_at_random(void)
{
	int			what = any(100);
	ReadRequest request;

	if (what < 40)
		claim(any(4) > 0);
	else if (what < 58 && nclaimed > 0)
	{
		Claimed    *c = &claimed[any(nclaimed)];

		if (!c->decided)
			decide(c);
		else
			record_claimed(c);
	}
	else if (what < 72)
		begin_transaction();
	else if (what < 84 && nopen > 0)
		commit_any();
	else if (what < 88)
		t += any(10) ? any(SECOND / 5) : any(30 * SECOND);
	else if (what < 91)
		interfere();
	else if (what < 93)
		reconfigure_any();
	else if (what < 95)
		save_breakers(any(3) > 0);
	else if (what < 97 && schedule_wants_read(t) && schedule_next_read(t, &request))
	{
		schedule_settle_all(t);
		if (any(2))
			schedule_read_failed(request.lane, t);
	}
	else if (what < 99)
	{
		run_bound = 4 + any(60);
		run_places = run_bound * (1 + run_bound % 5);
		schedule_set_max_in_flight(run_bound, run_places, 64 * 1024 * 1024);
	}
	else
	{
		/* somebody sets the clock; the worker looks at it in each cycle */
		wall_most = Max(wall_most, clock_wall(t));
		nclocks++;
		wall_ahead += any(2) ? any(20 * SECOND) : -any(20 * SECOND);
		schedule_settle_all(t);
	}
}

/* All of it ends, with destinations that are there and answer. */
static bool
comes_to_an_end(void)
{
	run_bound = run_places = 64;
	schedule_set_max_in_flight(run_bound, run_places, 64 * 1024 * 1024);
	while (nopen > 0)
		commit_any();
	for (int i = 1; i <= NDESTS; i++)
	{
		policies[i].halted = policies[i].gone = false;
		policies[i].rate_limit = 0;
		configure(i, &policies[i]);
	}
	for (int round = 0; round < 100000 && broken == NULL; round++)
	{
		save_breakers(true);
		if (claim(true))
			continue;
		if (nclaimed > 0)
		{
			Claimed    *c = &claimed[any(nclaimed)];

			if (!c->decided)
			{
				finish(c->item, VERDICT_DELIVERED, SIGNAL_ALIVE, 0);
				c->decided = c->final = true;
			}
			record_claimed(c);
		}
		else if (!schedule_wants_read(t) && schedule_wake_at() == 0)
			return true;
		else
			t = Max(t, schedule_wake_at());
	}
	return false;
}

static void
random_run(int number)
{
	int64		steps = 0;
	int			lost = 0;
	int			twice = 0;
	bool		all = true;

	seed = UINT64CONST(0x9E3779B97F4A7C15) * (number + 1);
	run_bound = run_places = 40;
	nclaimed = nopen = 0;
	items_most = windows[number % lengthof(windows)];
	window_range_ids = number % 4 == 0 ? RANGE_IDS : 20;
	wall_begin = wall_begins[number % lengthof(wall_begins)] - number % 200 * SECOND;
	wall_most = PG_INT64_MIN;
	next_row = 1;
	memset(done, 0, sizeof(done));
	memset(in_row, 0, sizeof(in_row));
	broken = NULL;
	begin_as(number % (1 + number % 3), 1 + number % 3, NULL);
	schedule_set_max_in_flight(run_bound, run_places, 64 * 1024 * 1024);
	for (int i = 1; i <= NDESTS; i++)
	{
		policies[i] = usual;
		policies[i].ordered = i % 3 > 0;
		policies[i].max_in_flight = i * 2;
		policies[i].breaker_failures = i == 2 ? 3 : 0;
		configure(i, &policies[i]);
	}
	while (steps < RUN_STEPS && broken == NULL)
	{
		step_at_random();
		steps++;
		for (int i = 1; i <= NDESTS; i++)
			nparked += schedule_lane(i, t)->nparked > 0;
	}
	ok(comes_to_an_end(), psprintf("run %d comes to an end", number));
	if (!ok(broken == NULL, "and breaks no rule"))
		printf("#   after %lld steps: %s\n", (long long) steps, broken);

	/* every row that was committed for us has been handed out to its end, once */
	for (int i = 1; i <= NDESTS; i++)
		for (int64 id = 1; id < next_row; id++)
			if (table[i][id].visible && is_mine(&table[i][id].row))
			{
				lost += done[i][id] < 1 || table[i][id].exists;
				twice += done[i][id] > 1;
			}
	is_int(lost, 0, "no row is left or lost");
	is_int(twice, 0, "and none goes twice");
	is_int(schedule_free_bytes(), 64 * 1024 * 1024, "nothing takes up room");
	for (int i = 1; i <= NDESTS; i++)
	{
		is_int(schedule_lane_in_flight(schedule_lane(i, t)), 0, "nothing is in flight");
		is_int(schedule_lane(i, t)->nitems + schedule_lane(i, t)->nparked, 0, "nothing is in memory");
	}
	schedule_each_lane(remove_lane, &all);
	ok(all, "lanes are not needed any more");
}

static void
tests(void)
{
	for (int number = 0; number < 300 && broken == NULL; number++)
		random_run(number);
	ok(nparked > 100000, "rows were parked");
	ok(ncut > 1000, "and reads cut meanwhile");
	ok(nfloors > 1000, "where queues begin was looked for");
	ok(ngone > 1000, "and rows were said to have gone");
}
