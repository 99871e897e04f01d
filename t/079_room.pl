# room.c by itself, without a server: who gets room for large events, with many
# destinations that hang, were good, or are busy.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use File::Temp;
use RswebhookTest;
use Test::More;

my $dir = File::Temp->newdir('rswebhook_room_XXXXXX', TMPDIR => 1);
my $src = source_dir() . '/src';
chomp(my $include = qx(pg_config --includedir-server));

open my $out, '>', "$dir/room_test.c" or die "could not write: $!\n";
print $out <<'END';
#include "schedule/room.c"

#undef printf					/* the server's */

#define MB			1000000
#define LANES		400
#define EACH		64

static Lane lanes[LANES];
static QueueItem items[LANES][EACH];
static TimestampTz now;

static void
begin(void)
{
	memset(lanes, 0, sizeof(lanes));
	memset(items, 0, sizeof(items));
	total_bytes = held[0] = held[1] = held[2] = 0;
	beside = NULL;
	now = USECS_PER_SEC;
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
		if (items[lane][j].bytes == 0 && room_take(&items[lane][j], size, now))
		{
			items[lane][j].taken_at = now;
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
		lane->alive_at = now;
	}
	else
		lane->failing++;
	room_note(item, &verdict, now);
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
		now += 10000;
		finish_all(lane, SIGNAL_ALIVE);
	}
}

static void
is(const char *what, int64 got, int64 least, int64 most)
{
	printf("%s %lld %lld %lld\n", what, (long long) got, (long long) least, (long long) most);
}

int
main(void)
{
	int			count;

	/* a lane by itself */
	begin();
	is("a-new-lane-has-one", take_all(0, MB), 1, 1);
	now += 10000;
	finish_all(0, SIGNAL_ALIVE);
	is("then-two", take_all(0, MB), 2, 2);
	now += 10000;
	finish_all(0, SIGNAL_ALIVE);
	warm_up(0);
	is("then-half-of-the-room", take_all(0, MB), 25, 25);
	is("small-ones-take-none", take_all(0, 1000), EACH - 25, EACH - 25);
	now += 10 * USECS_PER_SEC;
	finish_all(0, SIGNAL_FAILING);
	is("after-a-time-out-one", take_all(0, MB), 1, 1);
	is("nothing-is-lost", total_bytes, MB, MB);

	/* a slow one has several */
	begin();
	for (int round = 0; round < 10; round++)
	{
		take_all(0, MB);
		now += 3 * USECS_PER_SEC;
		finish_all(0, SIGNAL_ALIVE);
	}
	is("a-slow-lane-has-several", take_all(0, MB), 12, 17);

	/* those that hang, for however long; a healthy one, and a new one */
	for (int hanging = 20; hanging <= 300; hanging += 70)
	{
		begin();
		was_alive(LANES - 1, 1);
		for (int round = 0; round < 30; round++)
		{
			for (int i = 0; i < hanging; i++)
				take_all((i + 37 * round) % hanging, MB);	/* in turns */
			is("beside-many-that-hang-one", take_all(LANES - 1, MB), 1, EACH);
			finish_all(LANES - 1, SIGNAL_ALIVE);
			now += 10 * USECS_PER_SEC;
			if (round == 20)
				is("a-new-one-too", take_all(LANES - 3, MB), 1, 1);
			finish_all(LANES - 3, SIGNAL_ALIVE);
			for (int i = 0; i < hanging; i++)
				finish_all(i, SIGNAL_FAILING);
		}
	}

	/* some that were good, with many in flight, hang all at once beside them */
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
			now += USECS_PER_SEC;
			for (int i = 100; i < 300; i++)
				take_all(i, MB);
			for (int i = 0; i < good; i++)
				take_all(i, MB);
		}
		is("beside-good-ones-that-hang", take_all(LANES - 1, MB), 1, EACH);
	}

	/* many that are busy: a slow and a new one get their turn, as they come first */
	begin();
	for (int i = 0; i < 100; i++)
		warm_up(i);
	count = 0;
	lanes[200].slow = true;
	for (int round = 0; round < 1000; round++)
	{
		int			slow = take_all(200, MB);
		int			fresh = take_all(201 + round % 50, MB);

		count += slow > 0 && fresh > 0;
		for (int i = 0; i < 100; i++)
			take_all((i + round) % 100, MB);
		now += 10000;
		for (int i = 0; i < 300; i++)
			if ((i + round) % 3 == 0 || i >= 200)
				finish(&items[i][round % EACH], SIGNAL_ALIVE), finish(&items[i][0], SIGNAL_ALIVE);
		finish_all(200, SIGNAL_FAILING);
		finish_all(201 + round % 50, SIGNAL_ALIVE);
		lanes[201 + round % 50].alive_at = 0;
	}
	is("beside-busy-ones", count, 900, 1000);
	for (int i = 0; i < LANES; i++)
		finish_all(i, SIGNAL_ALIVE);
	is("nothing-is-lost", total_bytes, 0, 0);
	is("of-any-repute", held[0] | held[1] | held[2], 0, 0);

	/* the bound, but for one beside it */
	begin();
	was_alive(0, LANES);
	for (int i = 0; i < LANES; i++)
		take_all(i, i % 2 ? 30 * MB : MB);
	is("the-bound", total_bytes, 40 * MB, max_bytes);
	is("one-beside", beside != NULL ? beside->bytes : 0, MB, 30 * MB);
	return 0;
}
END
close $out or die "could not write: $!\n";

my $ok = system("cc -std=gnu11 -O1 -o $dir/room_test -I$src -I$include $dir/room_test.c 2>$dir/errors") == 0;
diag(slurp("$dir/errors")) unless $ok;
ok($ok, 'it builds by itself') or BAIL_OUT('no test program');
foreach (qx($dir/room_test))
{
    my ($what, $got, $least, $most) = split ' ';

    ok($got >= $least && $got <= $most, $what =~ tr/-/ /r) or diag("$got is not from $least to $most");
}
is($?, 0, 'the program has come to its end');

done_testing();

sub slurp
{
    my ($file) = @_;

    open my $in, '<', $file or return '';
    local $/;
    return <$in>;
}
