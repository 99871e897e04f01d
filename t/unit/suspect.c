/*-------------------------------------------------------------------------
 *
 * suspect.c
 *		Unit tests of what becomes of an event of which workers died, if the clock
 *		is set between that and what is done about it.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include "clocks.h"

#include "worker/suspect.c"

static Note file_of_note;
static QueueRow row;

static TimestampTz
wall(void)
{
	return clock_wall(steady);
}

/* An event, of which nobody has died yet. */
static void
queue(void)
{
	note = &file_of_note;
	memset(&file_of_note, 0, sizeof(file_of_note));
	row = (QueueRow) {.event_id = 7, .destination_id = 1, .queued_at = wall(), .retry_at = NO_TIME};
	nsuspects = 1;
	is_int(suspect_fate(&row), SUSPECT_NOT, "nobody has died of it");
}

/* So many workers die of it, a minute after each other. */
static void
die(int times)
{
	Payload		payload = payload_of(&row);

	for (int i = 0; i < times; i++)
	{
		steady += 60 * SECOND;
		count_against(&file_of_note, &payload);
	}
	steady += SECOND;
}

static void
set_aside(void)
{
	row.retry_at = wall() + 10 * SECOND;
	steady += 10 * SECOND;
}

static void
replay(void)
{
	row.queued_at = wall();
	row.retry_at = NO_TIME;
	steady += SECOND;
	is_int(suspect_fate(&row), SUSPECT_ALONE, "when it is queued again, it is begun with anew");
}

static void
one_after_the_other(int64 first, int64 then)
{
	begin();
	set(HOUR, first);
	queue();
	die(1);
	is_int(suspect_fate(&row), SUSPECT_ALONE, "after one death it goes by itself");
	set(0, then);
	is_int(suspect_fate(&row), SUSPECT_ALONE, "whatever the clock shows");
	die(1);
	is_int(suspect_fate(&row), SUSPECT_ASIDE, "after the second one it is set aside");
	set(0, first);
	is_int(suspect_fate(&row), SUSPECT_ASIDE, "whatever the clock shows");
	set_aside();
	is_int(suspect_fate(&row), SUSPECT_ALONE, "once");
	set(0, then);
	is_int(suspect_fate(&row), SUSPECT_ALONE, "whatever the clock shows");
	die(1);
	is_int(suspect_fate(&row), SUSPECT_LOST, "after the third one it is given up");
	set(0, first);
	is_int(suspect_fate(&row), SUSPECT_LOST, "whatever the clock shows");
	replay();
}

static void
tests(void)
{
	static const int64 by[] = {0, HOUR, -HOUR, 8 * HOUR, -8 * HOUR};

	emit_log_hook = note_said;
	for (int i = 0; i < lengthof(by); i++)
		one_after_the_other(by[i], -by[i]);
}
