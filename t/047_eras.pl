# clock.c and pace.c by themselves, without a server: how old something is whose
# time was stored before the clock was set, and how long a rate has to wait.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use File::Temp;
use RswebhookTest;
use Test::More;

my $dir = File::Temp->newdir('rswebhook_eras_XXXXXX', TMPDIR => 1);
my $src = source_dir() . '/src';
chomp(my $include = qx(pg_config --includedir-server));

write_file('clock_test.c', <<'END');
#include "base/clock.c"

#undef printf					/* the server's */

#define SECOND	USECS_PER_SEC
#define HOUR	(3600 * SECOND)
#define DAY		(24 * HOUR)

static Instant steady = 1000 * SECOND;
static int64 wall_ahead = 800 * DAY;
static SharedEras memory;
static int	said = 0;

/* What clock.c needs of the server. */
int64_t
poller_clock(void)
{
	return steady;
}

TimestampTz
GetCurrentTimestamp(void)
{
	return steady + wall_ahead;
}

static Eras written;
static ClockFile file = CLOCK_FILE_NONE;

ClockFile
clock_file_read(Eras *eras, Instant now)
{
	if (file != CLOCK_FILE_NONE)
		*eras = written;
	return file;
}

void
clock_file_write(const Eras *eras)
{
	written = *eras;
}

void
on_shmem_exit(pg_on_exit_callback function, Datum arg)
{
}

void *
ShmemInitStruct(const char *name, Size size, bool *found)
{
	*found = false;
	return &memory;
}

LWLockPadded *
GetNamedLWLockTranche(const char *name)
{
	static LWLockPadded lock;

	return &lock;
}

void
LWLockInitialize(LWLock *lock, int id)
{
}

bool
LWLockAcquire(LWLock *lock, LWLockMode mode)
{
	return true;
}

void
LWLockRelease(LWLock *lock)
{
}

bool
errstart(int level, const char *domain)
{
	said++;
	return false;
}

bool
errstart_cold(int level, const char *domain)
{
	return errstart(level, domain);
}

void
errfinish(const char *file, int line, const char *function)
{
}

int
errmsg(const char *format,...)
{
	return 0;
}

int
errdetail(const char *format,...)
{
	return 0;
}

static void
is(const char *what, int64 got, int64 least, int64 most)
{
	printf("%s %lld %lld %lld\n", what, (long long) got, (long long) least, (long long) most);
}

static void
begin(void)
{
	memset(&known, 0, sizeof(known));
	steady = 1000 * SECOND;
	wall_ahead = 800 * DAY;
	said = 0;
	file = CLOCK_FILE_NONE;
	known_changes = 0;
	clock_startup();
	clock_look();
}

/* Shared memory is made anew. */
static void
restart(void)
{
	memset(&known, 0, sizeof(known));
	memset(&memory, 0, sizeof(memory));
	known_changes = 0;
	file = CLOCK_FILE_THIS_BOOT;
	clock_startup();
	clock_look();
}

/*
 * So does the machine, which is down for a while; then its clock is off by so
 * much.  Returns what is to be added to an instant from before.
 */
static int64
reboot(int64 down, int64 off)
{
	int64		moved = 50 * SECOND - down - steady;

	steady = 50 * SECOND;
	wall_ahead += off - moved;
	memset(&known, 0, sizeof(known));
	memset(&memory, 0, sizeof(memory));
	known_changes = 0;
	file = CLOCK_FILE_OTHER_BOOT;
	clock_startup();
	clock_look();
	return moved;
}

/* So much time passes; then the clock is set, and later somebody looks. */
static void
set(int64 after, int64 by)
{
	steady += after;
	clock_look();
	steady += 2 * SECOND;
	wall_ahead += by;
	steady += 3 * SECOND;
	clock_look();
}

/* As another process that has the memory only. */
static void
become_another(void)
{
	memset(&known, 0, sizeof(known));
	known_changes = 0;
	clock_look();
}

int
main(void)
{
	TimestampTz first;
	TimestampTz second;
	Instant		first_at;
	Instant		second_at;
	int64		moved;

	/* nobody sets it */
	begin();
	first = GetCurrentTimestamp();
	first_at = steady;
	is("there-and-back", clock_when(clock_wall(steady + DAY)) - steady, DAY, DAY);
	steady += 5 * HOUR;
	is("nothing-to-say", clock_look(), 0, 0);
	is("an-age", clock_age(first, steady), 5 * HOUR, 5 * HOUR);
	is("of-what-was-before-us", clock_age(first - 30 * DAY, steady), 30 * DAY + 5 * HOUR, 30 * DAY + 5 * HOUR);
	is("of-what-will-be", clock_age(clock_wall(steady) + HOUR, steady), 0, 0);
	wall_ahead += 4 * SECOND;
	is("a-little-is-no-jump", clock_look(), 0, 0);
	is("and-is-followed", clock_wall(steady) - GetCurrentTimestamp(), 0, 0);

	/* ahead by eight hours, for a while, and right again */
	begin();
	first = GetCurrentTimestamp();
	first_at = steady;
	set(HOUR, 8 * HOUR);
	is("it-is-said", said, 1, 1);
	is("once", clock_look(), 0, 0);
	is("no-older-than-before", clock_age(first, steady), steady - first_at, steady - first_at);
	is("nothing-is-past-it", clock_before(DAY, steady), first_at + 800 * DAY - DAY + HOUR,
	   first_at + 800 * DAY - DAY + HOUR + 5 * SECOND);
	second = GetCurrentTimestamp();
	second_at = steady;
	become_another();
	is("others-know-it", said, 1, 1);
	is("just-as-well", clock_age(first, steady), steady - first_at, steady - first_at);
	is("what-it-shows-is-not-past", clock_is_past(clock_wall(steady), DAY, steady), 0, 0);
	is("its-latest", clock_latest(DAY, steady) - clock_wall(steady), 0, 0);
	steady += 10 * SECOND;
	set(0, -8 * HOUR);
	is("what-it-showed-is-not-past", clock_is_past(second, DAY, steady), 0, 0);
	is("its-latest-time-was-then", clock_latest(DAY, steady) - second, 10 * SECOND, 20 * SECOND);
	steady += DAY + 9 * HOUR;
	is("a-day-after-it-was-shown-again-it-is", clock_is_past(second, DAY, steady), 1, 1);
	is("the-latest-is-now", clock_latest(DAY, steady) - clock_wall(steady), 0, 0);
	is("what-it-never-showed-is-not", clock_is_past(second + 3 * DAY, DAY, steady), 0, 0);
	steady -= DAY + 9 * HOUR;
	is("the-end-is-said", said, 2, 2);
	is("the-old-one", clock_age(first, steady), steady - first_at, steady - first_at);
	is("the-one-of-then", clock_age(second, steady), steady - second_at, steady - second_at);
	is("still-nothing-is-past", clock_before(DAY, steady), PG_INT64_MIN, clock_wall(steady) - DAY);
	steady += 100 * HOUR;
	is("the-old-one-later", clock_age(first, steady), steady - first_at, steady - first_at);
	is("and-retention-goes-on", clock_before(DAY, steady), clock_wall(steady) - DAY, clock_wall(steady) - DAY);

	/* ahead for good */
	begin();
	first = GetCurrentTimestamp();
	first_at = steady;
	set(HOUR, 8 * HOUR);
	second = GetCurrentTimestamp();
	second_at = steady;
	for (int hours = 0; hours < 30; hours++)
	{
		is("ahead-for-good", clock_age(first, steady), steady - first_at, steady - first_at);
		is("and-since", clock_age(second, steady), steady - second_at, steady - second_at);
		is("what-is-past", clock_before(12 * HOUR, steady) <= clock_wall(steady) - 12 * HOUR, 1, 1);
		steady += HOUR;
	}
	is("in-the-end-as-ever", clock_before(12 * HOUR, steady), clock_wall(steady) - 12 * HOUR, clock_wall(steady) - 12 * HOUR);

	/* back by an hour: the hour comes twice, and nothing is made older for that */
	begin();
	first = GetCurrentTimestamp();
	first_at = steady;
	set(2 * HOUR, -HOUR);
	second = GetCurrentTimestamp();
	second_at = steady;
	for (int minutes = 0; minutes < 600; minutes += 20)
	{
		is("not-older", clock_age(first, steady), steady - first_at - HOUR, steady - first_at);
		is("exact", clock_age(second, steady), steady - second_at, steady - second_at);
		is("nothing-more-is-past", clock_before(DAY, steady), PG_INT64_MIN, clock_wall(steady) - DAY);
		steady += 20 * 60 * SECOND;
	}

	/* again and again, more often than is kept */
	begin();
	first = GetCurrentTimestamp();
	first_at = steady;
	for (int i = 0; i < 100; i++)
	{
		set(60 * SECOND, (i % 2 ? -1 : 1) * (i + 1) * HOUR);
		second = GetCurrentTimestamp();
		second_at = steady;
		is("whatever-happens-not-older", clock_age(first, steady), 0, steady - first_at);
		is("whatever-happens-exact", clock_age(second, steady), 0, 0);
		is("whatever-happens-kept", clock_before(DAY, steady) <= clock_wall(steady) - DAY, 1, 1);
	}
	is("so-many-are-kept", memory.known.count, MAX_ERAS, MAX_ERAS);

	/* back by two hours for a moment, which a worker sees by what others know of it only */
	begin();
	first = GetCurrentTimestamp();
	first_at = steady;
	steady += 30 * SECOND;
	{
		Eras		mine = known;
		uint32		mine_changes = known_changes;

		set(DAY, -2 * HOUR);
		second = GetCurrentTimestamp();
		second_at = steady;
		set(SECOND, 2 * HOUR);
		known = mine;
		known_changes = mine_changes;
	}
	is("the-end-has-come-by-itself", clock_age(second, steady), steady - second_at, steady - second_at);
	is("and-is-news", clock_look(), 1, 1);
	is("once-again", clock_look(), 0, 0);
	is("which-others-said", said, 2, 2);

	/* which outlasts shared memory */
	for (int i = 0; i < 3; i++)
	{
		steady += HOUR;
		restart();
		is("as-old-after-a-restart", clock_age(second, steady), steady - second_at, steady - second_at);
		is("also-the-first-one", clock_age(first, steady), steady - first_at, steady - first_at);
		is("nothing-is-past-then", clock_before(DAY, steady) <= second, 1, 1);
	}
	is("nothing-was-said", said, 2, 2);
	steady += HOUR;
	wall_ahead += HOUR;
	restart();
	is("set-meanwhile", said, 3, 3);
	is("and-nothing-is-older", clock_age(second, steady), steady - second_at, steady - second_at);

	/* and the machine's restart */
	for (int down = 1; down <= 100; down += 33)
	{
		for (int lasted = 0; lasted < 2; lasted++)
		{
			begin();
			first = GetCurrentTimestamp();
			first_at = steady;
			set(DAY, -2 * HOUR);
			second = GetCurrentTimestamp();
			second_at = steady;
			set(SECOND, 2 * HOUR);
			steady += lasted * 2 * DAY;
			look_for_the_last_time(0, 0);
			second_at += reboot(down * HOUR, 0);
			is("a-machine-has-restarted", clock_age(second, steady), steady - second_at, steady - second_at);
			is("there-is-nothing-to-say", said, 2, 2);
		}

		/* in the wrong time: it was as short as it may have been */
		begin();
		first = GetCurrentTimestamp();
		first_at = steady;
		set(DAY, -2 * HOUR);
		second = GetCurrentTimestamp();
		second_at = steady;
		look_for_the_last_time(0, 0);
		moved = reboot(down * HOUR, 2 * HOUR);
		is("right-again-after-a-restart", clock_age(second, steady), steady - second_at - moved, steady - second_at - moved);
		is("no-older-for-that", clock_age(first, steady), DAY, steady - first_at - moved);
		is("which-is-said", said, 2, 2);

		/* it begins with a time that has been, and is told the right one later */
		begin();
		first = GetCurrentTimestamp();
		first_at = steady;
		steady += DAY;
		look_for_the_last_time(0, 0);
		first_at += reboot(down * HOUR, -200 * HOUR);
		is("of-a-clock-that-stood-still", clock_age(first, steady), 0, steady - first_at);
		set(SECOND, 200 * HOUR);
		is("and-goes-right-again", clock_age(first, steady), DAY, steady - first_at);
	}

	/* times that are none */
	begin();
	is("infinity-is-ahead", clock_when(DT_NOEND), INSTANT_NEVER, INSTANT_NEVER);
	is("the-year-250000", clock_when(INT64CONST(7800000000000000000)), INSTANT_NEVER, INSTANT_NEVER);
	is("infinitely-long-ago", clock_when(DT_NOBEGIN), 1, 1);
	is("its-age", clock_age(DT_NOBEGIN, steady), INSTANT_NEVER, PG_INT64_MAX);
	is("the-other-age", clock_age(DT_NOEND, steady), 0, 0);
	return 0;
}
END

write_file('pace_test.c', <<'END');
#include "postgres.h"

#include "schedule/lane.h"

#include <stdio.h>

#undef printf					/* the server's */

/* What pace.c needs of others, besides room.c and verdict.c. */
TimestampTz
clock_wall(Instant at)
{
	return at;
}

size_t
strlcpy(char *to, const char *from, size_t size)
{
	return 0;
}

int
pg_snprintf(char *to, size_t size, const char *format,...)
{
	return 0;
}

static bool
withdraw_or_take(int32 destination_id, int most)
{
	return true;
}

static bool
leave(int32 destination_id)
{
	return false;
}

static void
withdraw(int32 destination_id)
{
}

static void
is(const char *what, double got, double least, double most)
{
	printf("%s %.0f %.0f %.0f\n", what, got, least, most);
}

int
main(void)
{
	static const Turns turns = {withdraw_or_take, leave, withdraw};
	static const double rates[] = {1e-300, 1e-13, 1e-6, 1e-3, 1, 1e3, 1e6};
	static const int64 rest[] = {0, 1, 1000, USECS_PER_DAY};

	for (int nshares = 1; nshares <= 32; nshares += 31)
	{
		pace_init(0, nshares, &turns);
		pace_set_max_in_flight(100, 1024 * 1024);
		for (int i = 0; i < lengthof(rates); i++)
		{
			Lane		lane = {0};
			QueueItem	item = {.lane = &lane};
			Instant		now = USECS_PER_SEC;
			Instant		begun = 0;
			int			sent = 0;
			int			looks = 0;
			Instant		shortest = PG_INT64_MAX;
			Instant		longest = 0;

			pace_init_lane(&lane, now);
			lane.nready = 1;
			lane.policy.max_in_flight = 32;
			lane.policy.rate_limit = rates[i];
			lane.configured = true;

			/* as the scheduler does it, which wakes up a little late now and then */
			while (sent < 100 && looks < 1000)
			{
				Instant		when = 0;

				looks++;
				if (pace_allows(&lane, now, &when))
				{
					if (!pace_take(&item, now))
						break;
					pace_leave(&item, now);
					if (sent++ == 1)
						begun = now;
					continue;
				}
				shortest = Min(shortest, when - now);
				longest = Max(longest, when - now);
				now = when + rest[looks % lengthof(rest)] % Max((int64) (1e6 / Max(rates[i], 1e-6)), 1);
			}
			is("a-rate-waits-for-a-time-that-comes", shortest, 1, PG_INT64_MAX);
			is("and-not-for-ever", longest, 0, USECS_PER_DAY + 1);
			is("what-may-be-sent-is", sent, rates[i] < 1e-6 ? 1 : rates[i] < 1e-3 ? 2 : 100, 100);
			if (rates[i] >= 1e-3)
				is("at-that-rate", (double) (now - begun) * rates[i] / nshares / 1e6,
				   rates[i] / nshares <= 10 ? 97 : 0, 200);
		}
	}

	/* a breaker of which the table had nonsense */
	for (int i = 0; i < 3; i++)
	{
		Lane		lane = {.configured = true, .policy = {.max_in_flight = 1, .breaker_failures = 1,
		.max_backoff_us = USECS_PER_SEC}};
		Breaker		stored = {.opened_at = 1, .failures = i == 0 ? PG_INT32_MIN : PG_INT32_MAX,
		.next_probe_at = i == 2 ? 1 : INSTANT_NEVER};
		Instant		now = 10 * USECS_PER_SEC;
		Instant		when = 0;

		lane.nready = 1;
		pace_set_breaker(&lane, &stored, now);
		is("a-breaker-is-bounded", pace_allows(&lane, now, &when) ? 1 : when - now, 1, USECS_PER_SEC);
		is("its-count-too", lane.failing, 0, PG_INT32_MAX);
	}
	return 0;
}
END

run_program('clock_test', 'clock_test.c');
run_program('pace_test', 'pace_test.c', "$src/schedule/pace.c", "$src/schedule/room.c", "$src/destination/verdict.c");
done_testing();

sub write_file
{
    my ($name, $text) = @_;

    open my $out, '>', "$dir/$name" or die "could not write: $!\n";
    print $out $text;
    close $out or die "could not write: $!\n";
    return;
}

sub run_program
{
    my ($name, $main, @others) = @_;

    my $ok = system("cc -std=gnu11 -O1 -o $dir/$name -I$src -I$include $dir/$main @others -lm 2>$dir/errors") == 0;
    diag(slurp("$dir/errors")) unless $ok;
    ok($ok, "$name builds by itself") or BAIL_OUT('no test program');
    foreach (qx(timeout 60 $dir/$name))
    {
        my ($what, $got, $least, $most) = split ' ';

        ok($got >= $least && $got <= $most, $what =~ tr/-/ /r) or diag("$got is not from $least to $most");
    }
    is($?, 0, "$name has come to its end");
    return;
}

sub slurp
{
    my ($file) = @_;

    open my $in, '<', $file or return '';
    local $/;
    return <$in>;
}
