/*-------------------------------------------------------------------------
 *
 * random_batches.c
 *		Batches by chance: users' events stay in order, whatever becomes of requests.
 *
 * rooms: schedule/schedule.c schedule/next.c schedule/window.c schedule/order.c
 * rooms: schedule/reading.c schedule/items.c schedule/park.c schedule/parked.c
 * rooms: schedule/sets.c schedule/company.c schedule/bundle.c
 * rooms: schedule/pace.c schedule/breaker.c schedule/trust.c schedule/places.c schedule/room.c destination/verdict.c
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#define MAX_IDS	20000
#include "steps.h"

#define NUSERS		12
#define NEVENTS		3000
#define NREQUESTS	100

typedef struct Request
{
	int			count;
	QueueItem  *items[1000];
	int64		batch;			/* of the set that it is; 0: it is new */
} Request;

static Request requests[NREQUESTS];
static int	nrequests;
static int	nwrong;
static int64 last_done[NUSERS];	/* of each user's, delivered or given up */
static bool is_done[MAX_IDS + 1];
static uint64 chance;

static uint32
any(uint32 n)
{
	chance = chance * UINT64CONST(6364136223846793005) + 1442695040888963407;
	return (uint32) (chance >> 33) % n;
}

static void
must(bool good, const char *what, int64 id)
{
	if (good || nwrong++ > 5)
		return;
	ok(false, what);
	printf("#   event %lld\n", (long long) id);
}

static int
by_id(const void *a, const void *b)
{
	int64		id_a = schedule_row(*(QueueItem *const *) a)->event_id;
	int64		id_b = schedule_row(*(QueueItem *const *) b)->event_id;

	return id_a < id_b ? -1 : id_a > id_b;
}

/* All earlier events of its user are over, or in this request. */
static void
judge(const Request *request, int i)
{
	const QueueRow *row = schedule_row(request->items[i]);

	must(!is_done[row->event_id], "it is sent again after its end", row->event_id);
	if (!row->has_key)
		return;
	for (int64 id = 1; id < row->event_id; id++)
	{
		const TableRow *r = &table[1][id];
		bool		with_it = false;

		if (!r->exists || !r->visible || is_done[id] || !r->row.has_key || r->row.ordering_key != row->ordering_key)
			continue;
		for (int k = 0; k < i; k++)
			with_it |= schedule_row(request->items[k])->event_id == id;
		must(with_it, "it overtakes one of its user", row->event_id);
	}
}

/* As deliver.c does it: in the order of ids, some go back, and some in requests of their own. */
static void
claim(void)
{
	static QueueItem *items[1000];
	static uint32 number = 1;
	QueueItem  *leader;
	int			count;
	int			kinds = any(3) == 0 ? 1 + any(3) : 1;
	int			first = nrequests;
	int			most;

	read_all();
	if (nrequests + 4 > NREQUESTS || (items[0] = leader = schedule_next(t)) == NULL)
		return;
	count = 1 + schedule_join(leader, items + 1, 999, t);
	qsort(items, count, sizeof(QueueItem *), by_id);
	number += 10;
	for (int i = 0; i < count; i++)
	{
		const QueueRow *row = schedule_row(items[i]);
		int			kind = row->event_id % kinds;
		TableRow   *r = &table[1][row->event_id];

		if (!r->exists)
		{
			schedule_replace(items[i], NULL, t);
			continue;
		}
		if (schedule_is_behind(items[i]) || any(40) == 0 ||
			!schedule_admit(items[i], any(50) == 0 ? 5000000 : 1000))
		{
			schedule_put_back(items[i], t);
			continue;
		}
		most = nrequests == first ? 1 : 1 + schedule_places_left(schedule_lane(1, t));
		while (kind >= nrequests - first && nrequests - first < most)
			requests[nrequests++] = (Request) {.batch = row->batch};
		if (kind >= nrequests - first || !schedule_place(items[i], number + kind))
		{
			schedule_put_back(items[i], t);
			continue;
		}
		requests[first + kind].items[requests[first + kind].count++] = items[i];
	}
	schedule_fitted(schedule_lane(1, t), count, 1 + any(count));
	for (int n = first; n < nrequests; n++)
	{
		if (requests[n].count == 0)
			requests[n--] = requests[--nrequests];
		else
			schedule_split(requests[n].items, requests[n].count, t);
	}
	for (int n = first; n < nrequests; n++)
	{
		int			nleaders = 0;

		for (int i = 0; i < requests[n].count; i++)
		{
			judge(&requests[n], i);
			nleaders += !schedule_follows(requests[n].items[i]);
		}
		must(nleaders == 1, "a request has one that leads", schedule_row(requests[n].items[0])->event_id);
	}
}

static void
finish_request(int n)
{
	Request    *request = &requests[n];
	int			luck = any(10);
	VerdictKind kind = luck < 6 ? VERDICT_DELIVERED : luck < 9 ? VERDICT_RETRY : VERDICT_ABORTED;
	bool		halved = kind == VERDICT_RETRY && any(3) == 0 && request->count > 1;
	int64		batch = 1 + any(1000000000);
	int64		wait = halved || any(3) == 0 ? 0 : any(SECOND);

	for (int leaders = 0; leaders <= 1; leaders++)
	{
		for (int i = request->count - 1; i >= 0; i--)
		{
			QueueItem  *item = request->items[i];
			Verdict		verdict = {.kind = kind, .retry_at = t + wait, .first_attempt_at = clock_wall(t),
				.signal = kind == VERDICT_DELIVERED ? SIGNAL_ALIVE : (VerdictSignal) any(4),
				.batch = halved && i >= request->count / 2 ? batch + 1 : batch};

			if (item->state == ITEM_IN_FLIGHT && schedule_follows(item) == (leaders == 0))
				schedule_finished(item, &verdict, t);
		}
	}
	for (int i = 0; i < request->count; i++)
	{
		const QueueRow *row = schedule_row(request->items[i]);

		if (kind != VERDICT_RETRY)
			is_done[row->event_id] = true;
		if (kind != VERDICT_RETRY && row->has_key)
		{
			must(last_done[row->ordering_key] < row->event_id, "out of order", row->event_id);
			last_done[row->ordering_key] = row->event_id;
		}
		taken[ntaken++] = request->items[i];
	}
	*request = requests[--nrequests];
}

static void
record_some(int count)
{
	while (count-- > 0 && ntaken > 0)
	{
		QueueItem  *item = taken[any(ntaken)];

		if (any(20) == 0)
		{
			schedule_deferred(item, 100, t);
			schedule_deferred_no_more(item, 100);
		}
		record(item);
	}
}

static void
run(uint64 seed)
{
	LanePolicy	policy = usual;
	int			nqueued = 0;

	chance = seed * 7919 + 1;
	nrequests = ntaken = 0;
	memset(last_done, 0, sizeof(last_done));
	memset(is_done, 0, sizeof(is_done));
	policy.batch_size = 2 + any(30);
	policy.ordered = true;
	policy.breaker_failures = any(2) * 5;
	policy.batch_wait_us = any(2) * SECOND;
	policy.rate_limit = any(3) == 0 ? 500 : 0;
	begin(&policy);
	for (int step = 0; step < 20000 && (nqueued < NEVENTS || nrows_left() > 0); step++)
	{
		if (nqueued < NEVENTS && any(3) == 0)
		{
			int			more = 1 + any(20);

			for (int i = 1; i <= more; i++)
				insert(1, nqueued + i, any(6) == 0 ? NO_KEY : (int64) any(NUSERS));
			commit(1, nqueued + 1, nqueued + more);
			nqueued += more;
		}
		claim();
		if (nrequests > 0 && any(2) == 0)
			finish_request(any(nrequests));
		if (any(2) == 0)
			record_some(1 + any(30));
		if (any(100) == 0 && nqueued > 0)
		{
			int64		id = 1 + any(nqueued);

			if (table[1][id].exists && items_find_waiting(schedule_lane(1, t), id) != NULL)
			{
				is_done[id] = true;
				delete_row(1, id);
			}
		}
		if (any(200) == 0)
		{
			policy.batch_size = any(4) == 0 ? 1 : 2 + any(30);
			policy.version++;
			configure(1, &policy);
		}
		t += any(20) == 0 ? SECOND : any(20000);
	}
	is_int(nrows_left(), 0, "all events come to an end");
	while (nrequests > 0)
		finish_request(0);
	record_some(ntaken);
	is_int(schedule_in_flight(), 0, "nothing is in flight");
	end();
}

static void
tests(void)
{
	for (uint64 seed = 1; seed <= 20; seed++)
		run(seed);
	is_int(nwrong, 0, "all is in order");
}
