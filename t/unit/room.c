/*-------------------------------------------------------------------------
 *
 * room.c
 *		Unit tests of who gets room for large events, with many destinations that
 *		hang, were good, or are busy.
 *
 * room.c is part of it, so that what it counts is seen.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include "schedule/room.c"

#define MB			1000000
#define LANES		400
#define EACH		64

static Lane lanes[LANES];
static QueueItem items[LANES][EACH];
static Instant at;

static void
begin(void)
{
	memset(lanes, 0, sizeof(lanes));
	memset(items, 0, sizeof(items));
	total_bytes = taken[0] = taken[1] = taken[2] = 0;
	beside = NULL;
	at = USECS_PER_SEC;
	for (int i = 0; i < LANES; i++)
		for (int j = 0; j < EACH; j++)
			items[i][j].lane = &lanes[i];
	room_set(256, 64 * 1024 * 1024);
}

static void
was_alive(int first, int count)
{
	for (int i = first; i < first + count; i++)
		lanes[i].alive_at = 1;
}

/* Take as many as there is room for; how many that is. */
static int
take_all(int lane, int64 size)
{
	int			count = 0;

	for (int j = 0; j < EACH; j++)
	{
		if (items[lane][j].bytes == 0 && room_take(&items[lane][j], size, at))
		{
			items[lane][j].taken_at = at;
			count++;
		}
	}
	return count;
}

static void
finish(QueueItem *item, VerdictSignal signal)
{
	Lane	   *lane = item->lane;
	Verdict		verdict = {.signal = signal};

	if (item->bytes == 0)
		return;
	if (signal == SIGNAL_ALIVE)
	{
		lane->failing = 0;
		lane->alive_at = at;
	}
	else
		lane->failing++;
	room_note(item, &verdict, at);
	room_leave(item);
}

static void
finish_all(int lane, VerdictSignal signal)
{
	for (int j = 0; j < EACH; j++)
		finish(&items[lane][j], signal);
}

/* Get the lane as many in flight as it may have. */
static void
warm_up(int lane)
{
	for (int round = 0; round < 10; round++)
	{
		take_all(lane, MB);
		at += 10000;
		finish_all(lane, SIGNAL_ALIVE);
	}
}

/* A lane by itself. */
static void
a_lane_alone(void)
{
	begin();
	is_int(take_all(0, MB), 1, "a new lane has one");
	at += 10000;
	finish_all(0, SIGNAL_ALIVE);
	is_int(take_all(0, MB), 2, "then two");
	at += 10000;
	finish_all(0, SIGNAL_ALIVE);
	warm_up(0);
	is_int(take_all(0, MB), 25, "then half of the room");
	is_int(take_all(0, 1000), EACH - 25, "small ones take none");
	at += 10 * USECS_PER_SEC;
	finish_all(0, SIGNAL_FAILING);
	is_int(take_all(0, MB), 1, "after a time out one");
	is_int(total_bytes, MB, "nothing is lost");
}

/* A slow one has several. */
static void
a_slow_lane(void)
{
	begin();
	for (int round = 0; round < 10; round++)
	{
		take_all(0, MB);
		at += 3 * USECS_PER_SEC;
		finish_all(0, SIGNAL_ALIVE);
	}
	is_between(take_all(0, MB), 12, 17, "a slow lane has several");
}

/* Those that hang, for however long; a healthy one, and a new one. */
static void
hanging(void)
{
	for (int hanging = 20; hanging <= 300; hanging += 70)
	{
		begin();
		was_alive(LANES - 1, 1);
		for (int round = 0; round < 30; round++)
		{
			for (int i = 0; i < hanging; i++)
				take_all((i + 37 * round) % hanging, MB);	/* in turns */
			is_between(take_all(LANES - 1, MB), 1, EACH, "beside many that hang one");
			finish_all(LANES - 1, SIGNAL_ALIVE);
			at += 10 * USECS_PER_SEC;
			if (round == 20)
				is_int(take_all(LANES - 3, MB), 1, "a new one too");
			finish_all(LANES - 3, SIGNAL_ALIVE);
			for (int i = 0; i < hanging; i++)
				finish_all(i, SIGNAL_FAILING);
		}
	}
}

/* Some that were good, with many in flight, hang all at once beside them. */
static void
good_ones_that_hang(void)
{
	for (int good = 1; good <= 12; good++)
	{
		begin();
		was_alive(LANES - 1, 1);
		for (int i = 0; i < good; i++)
			warm_up(i);
		for (int i = 0; i < good; i++)
			take_all(i, MB);
		for (int round = 0; round < 5; round++)
		{
			at += USECS_PER_SEC;
			for (int i = 100; i < 300; i++)
				take_all(i, MB);
			for (int i = 0; i < good; i++)
				take_all(i, MB);
		}
		is_between(take_all(LANES - 1, MB), 1, EACH, "beside good ones that hang");
	}
}

/* Many that are busy: a slow and a new one get their turn, as they come first. */
static void
busy(void)
{
	int			count = 0;

	begin();
	for (int i = 0; i < 100; i++)
		warm_up(i);
	lanes[200].slow = true;
	for (int round = 0; round < 1000; round++)
	{
		int			slow = take_all(200, MB);
		int			fresh = take_all(201 + round % 50, MB);

		count += slow > 0 && fresh > 0;
		for (int i = 0; i < 100; i++)
			take_all((i + round) % 100, MB);
		at += 10000;
		for (int i = 0; i < 300; i++)
			if ((i + round) % 3 == 0 || i >= 200)
				finish(&items[i][round % EACH], SIGNAL_ALIVE), finish(&items[i][0], SIGNAL_ALIVE);
		finish_all(200, SIGNAL_FAILING);
		finish_all(201 + round % 50, SIGNAL_ALIVE);
		lanes[201 + round % 50].alive_at = 0;
	}
	is_between(count, 900, 1000, "beside busy ones");
	for (int i = 0; i < LANES; i++)
		finish_all(i, SIGNAL_ALIVE);
	is_int(total_bytes, 0, "nothing is lost");
	is_int(taken[0] | taken[1] | taken[2], 0, "of any repute");
}

/* The bound, but for one beside it. */
static void
bound(void)
{
	begin();
	was_alive(0, LANES);
	for (int i = 0; i < LANES; i++)
		take_all(i, i % 2 ? 30 * MB : MB);
	is_between(total_bytes, 40 * MB, max_bytes, "the bound");
	is_between(beside != NULL ? beside->bytes : 0, MB, 30 * MB, "one beside");
}

static void
tests(void)
{
	a_lane_alone();
	a_slow_lane();
	hanging();
	good_ones_that_hang();
	busy();
	bound();
}
