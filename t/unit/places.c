/*-------------------------------------------------------------------------
 *
 * places.c
 *		Unit tests of whose requests have which places.
 *
 * rooms: schedule/places.c
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include "schedule/lane.h"

#define NLANES		3100
#define EACH		40			/* items that a lane can have in flight here */
#define SECOND		USECS_PER_SEC
#define USUAL		256			/* max_in_flight, of ... */
#define ALL			(6 * USUAL) /* places */

static Lane lanes[NLANES];
static QueueItem items[NLANES][EACH];
static Instant t;
static bool verdict_timed_out = false;

static void
begin(int max_in_flight, int places)
{
	memset(lanes, 0, sizeof(lanes));
	for (int i = 0; i < NLANES; i++)
		for (int k = 0; k < EACH; k++)
			items[i][k].lane = &lanes[i];
	t = 1000 * SECOND;
	places_init();
	places_set(max_in_flight, places);
}

/* Lanes of which something is known. */
static void
answered(int first, int count)
{
	for (int i = first; i < first + count; i++)
		lanes[i].alive_at = t - 1;
}

static bool
take(int i)
{
	Lane	   *lane = &lanes[i];

	if (!places_has_free(places_line(lane)) || places_has_share(lane) || lane->in_flight >= EACH)
		return false;
	items[i][lane->in_flight].taken_at = t;
	places_take(&items[i][lane->in_flight++]);
	return true;
}

/* So many lanes have up to so many events each, and one goes after the other. */
static int
take_each(int first, int count, int each)
{
	int			ntaken = 0;

	for (int k = 0; k < each; k++)
		for (int i = first; i < first + count; i++)
			ntaken += lanes[i].in_flight < each && take(i);
	return ntaken;
}

/* The last one that was taken. */
static void
finish(int i, VerdictSignal signal)
{
	QueueItem  *item = &items[i][lanes[i].in_flight - 1];
	Verdict		verdict = {.kind = VERDICT_RETRY, .signal = signal, .timed_out = verdict_timed_out};

	places_note(item, &verdict, t);
	if (signal == SIGNAL_ALIVE)
		lanes[i].alive_at = t;
	places_leave(item);
	lanes[i].in_flight--;
}

static void
finish_each(int first, int count, VerdictSignal signal)
{
	for (int i = first; i < first + count; i++)
		while (lanes[i].in_flight > 0)
			finish(i, signal);
}

static int
give_up_late(void)
{
	int			count = 0;

	while (places_give_up_late(t) != NULL)
		count++;
	return count;
}

/* They are tried for the first time, and hang; then again and again. */
static void
new_ones_hang(int hanging)
{
	int			healthy = NLANES - 1;
	int			count;

	begin(USUAL, ALL);
	answered(healthy, 1);
	count = take_each(0, hanging, 3);
	is_between(count, Min(hanging, ALL - USUAL), Min(3 * hanging, ALL - USUAL), "new ones are tried");
	is_int(take_each(healthy, 1, EACH), EACH, "one that answers has its places beside them");
	finish_each(healthy, 1, SIGNAL_ALIVE);
	if (hanging < ALL - USUAL)
		ok(take(healthy - 1), "a new one is tried at once");
	else
		ok(!take(healthy - 1), "there are that many places");
	finish_each(healthy - 1, lanes[healthy - 1].in_flight, SIGNAL_ALIVE);

	for (int round = 0; round < 3; round++)
	{
		t += 10 * SECOND;
		finish_each(0, hanging, SIGNAL_FAILING);
		for (int i = 0; i < hanging; i++)
			lanes[i].hangs = true;	/* all of them have been tried by then */
		t += 10 * SECOND;
		is_between(take_each(0, hanging, 3), 1, ALL - USUAL, "those that hang are tried again");
		ok(take(healthy - 2), "a new one is tried at once, however many are known to hang");
		finish_each(healthy - 2, 1, SIGNAL_ALIVE);
		lanes[healthy - 2].alive_at = 0;
		is_int(take_each(healthy, 1, EACH), EACH, "one that answers goes on");
		finish_each(healthy, 1, SIGNAL_ALIVE);
	}
	t += 10 * SECOND;
	finish_each(0, NLANES, SIGNAL_ALIVE);
}

/* They have answered, and hang all at once. */
static void
good_ones_hang(int hanging)
{
	int			healthy = NLANES - 1;
	int			count;
	int			late = 0;

	begin(USUAL, ALL);
	answered(0, hanging);
	answered(healthy, 1);
	is_between(take_each(0, hanging, 3), Min(hanging, USUAL / 2), USUAL, "some are sent");
	is_int(give_up_late(), 0, "none is late yet");
	for (int round = 0; round < 10; round++)
	{
		t += SECOND / 4;
		late += count = give_up_late();
		is_between(places_late_at(), 0, 0, "all that are late, and have to, give up their places");
		take_each(0, hanging, 3);
	}
	is_between(late, 0, ALL, "as many as there are other places for");
	ok(places_line(&lanes[0]) == (late > 0 ? LINE_MORE : LINE_GOOD), "then they are known to hang");
	t += SECOND / 4;
	give_up_late();
	if (hanging <= 1000)
		is_between(take_each(healthy, 1, EACH), 32, EACH, "one that answers goes on");
	if (hanging <= 1000)
		ok(take(healthy - 1), "a new one is tried");
	finish_each(0, NLANES, SIGNAL_ALIVE);
}

static void
outcomes(void)
{
	begin(USUAL, ALL);
	ok(places_line(&lanes[0]) == LINE_NEW, "it has not answered yet");
	take(0);
	ok(places_line(&lanes[0]) == LINE_MORE, "it is waited for");
	t += SECOND / 10;
	finish(0, SIGNAL_FAILING);
	ok(places_line(&lanes[0]) == LINE_NEW, "what fails soon keeps nothing from others");
	take(0);
	t += SECOND;
	finish(0, SIGNAL_UNSENT);
	ok(places_line(&lanes[0]) == LINE_NEW, "what was not sent tells nothing");
	take(0);
	t += SECOND;
	finish(0, SIGNAL_FAILING);
	ok(places_line(&lanes[0]) == LINE_SLOW, "it hangs");
	take(0);
	t += SECOND / 10;
	finish(0, SIGNAL_FAILING);
	ok(places_line(&lanes[0]) == LINE_NEW, "it fails, but soon");
	take(0);
	t += SECOND / 10;
	verdict_timed_out = true;
	finish(0, SIGNAL_FAILING);
	verdict_timed_out = false;
	ok(places_line(&lanes[0]) == LINE_SLOW, "it hangs, however little time it has");
	take(0);
	t += SECOND;
	finish(0, SIGNAL_ALIVE);
	ok(places_line(&lanes[0]) == LINE_GOOD, "an answer is one, however late");
	take(0);
	take(0);
	t += SECOND;
	finish(0, SIGNAL_ALIVE);
	finish(0, SIGNAL_FAILING);
	ok(places_line(&lanes[0]) == LINE_GOOD, "it answers others meanwhile");
	lanes[0].hangs = true;
	lanes[0].policy.gone = true;
	ok(places_line(&lanes[0]) == LINE_GOOD, "what is only given up needs no place");
}

/* With as few as there may be, each kind has a place some time. */
static void
few_places(void)
{
	for (int places = 1; places <= 40; places++)
		for (int asked = 1; asked <= 40; asked += 3)
		{
			int			count;

			begin(asked, places);
			answered(0, 100);
			count = take_each(0, 100, 1);
			if (count != Min(asked, places))
				ok(false, "those that answer have the places that there are");
			finish_each(0, 100, SIGNAL_ALIVE);
			count = take_each(100, 100, 2);
			if (count < 1 || count > places)
				ok(false, "so have new ones");
			if (places >= 4 && !take(0))
				ok(false, "but a few for those that answer");
			finish_each(0, 1, SIGNAL_ALIVE);
			t += SECOND;
			finish_each(100, 100, SIGNAL_FAILING);
			for (int i = 100; i < 200; i++)
				lanes[i].hangs = true;
			count = take_each(100, 100, 2);
			if (count < 1 || count > places)
				ok(false, "and those that hang");
			if (places >= 8 && !take(200))
				ok(false, "which leave one to new ones");
			finish_each(100, 101, SIGNAL_ALIVE);
		}
	ok(true, "few places");
}

/* Nine that answered hang all at once, each with as many as it may have; settings are as by default. */
static void
nine_hang(void)
{
	static QueueItem hung[9][256];
	int			nhung = 0;
	int			late = 0;
	int			n;

	memset(hung, 0, sizeof(hung));
	begin(1000, 1000 + 1280);
	answered(0, 10);
	for (int k = 0; k < lengthof(hung[0]); k++)
	{
		for (int i = 0; i < lengthof(hung); i++)
		{
			if (!places_has_free(places_line(&lanes[i])) || places_has_share(&lanes[i]))
				continue;
			hung[i][k].lane = &lanes[i];
			hung[i][k].taken_at = t;
			lanes[i].in_flight++;
			places_take(&hung[i][k]);
			nhung++;
		}
	}
	is_between(nhung, 900, 999, "nine that hang have nearly all");
	n = take_each(9, 1, EACH);
	is_between(n, 8, EACH, "and one that answers goes at once, with several");
	while (lanes[9].in_flight > 0)
		finish(9, SIGNAL_ALIVE);
	t += SECOND / 4;
	while (places_give_up_late(t) != NULL)
		late++;
	is_between(late, 450, nhung, "after a quarter of a second they have given up theirs");
	is_int(take_each(9, 1, EACH), EACH, "and it has as many as it wants");
	for (int i = 0; i < lengthof(hung); i++)
		ok(!places_has_free(places_line(&lanes[i])) || lanes[i].hangs, "they are known to hang");
}

static void
tests(void)
{
	static const int hanging[] = {1, 150, 300, 1000, 1279, 1280, 3000};

	for (int i = 0; i < lengthof(hanging); i++)
	{
		new_ones_hang(hanging[i]);
		good_ones_hang(hanging[i]);
	}
	outcomes();
	few_places();
	nine_hang();
}
