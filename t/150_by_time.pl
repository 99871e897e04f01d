# Events of a time are found, and counted, by what the clock showed, however often it was set since.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use Clock;
use RswebhookTest;
use Test::More;

my $clock = Clock->new(temp_dir('clock'), source_dir() . '/t/lib/wall.c') or plan(skip_all => $@);
my $receiver = new_receiver();
my $node = new_node('times', start => 0, conf => "rswebhook.retention = '365d'\n");
my $hour = 3600;
my $sent = 0;

$clock->start($node);
query($node, 'CREATE EXTENSION rswebhook');
await_workers($node);
add_destination($node, 'ok', $receiver->url('/ok'));
add_destination($node, 'later', $receiver->url('/ok'), { paused => 't' });

# All agree at first, and after each step: half an hour ahead for a while, back for good, decades for a moment
foreach my $ahead (0, $hour / 2, 0, $hour / 2 + 30, -$hour, -$hour - 90, 20 * 365 * 24 * $hour, -2 * $hour, 0)
{
    $clock->set($ahead);
    query($node, q{SELECT rswebhook_send('{}'), pg_sleep(0.01) FROM generate_series(1, 5)});
    $sent += 5;
    agree("$ahead s ahead");
}
is(query($node, 'SELECT committed FROM rswebhook.balance() ORDER BY 1'), "$sent\n$sent", 'in all');

# In another session, and after a restart, as the server remembers
$node->stop;
$clock->start($node);
agree('after a restart');

$node->stop;
done_testing();

# ---------------------------------------------------------------------

# From or to each time in which something was sent, and between some of them, there is what is stored of it
sub agree
{
    my ($name) = @_;

    is(query($node, q{
        WITH times AS (SELECT (id - 1) / 5 AS n, (array_agg(created_at ORDER BY id))[3] AS at FROM rswebhook.event GROUP BY 1
                       UNION ALL SELECT NULL, NULL),
        stored AS MATERIALIZED (
            SELECT f.at AS since, u.at AS until,
                   (SELECT count(*) FROM rswebhook.event e WHERE (e.created_at < f.at OR e.created_at >= u.at) IS NOT TRUE) AS events
            FROM times f, times u WHERE f.n IS NULL OR u.n IS NULL OR (f.at < u.at AND (f.n + u.n) % 3 = 1)),
        counted AS (
            SELECT s.*, (SELECT count(DISTINCT f.event_id) FROM rswebhook.find(since => s.since, until => s.until, max_events => 1000) f) AS found,
                   (SELECT string_agg(b.committed::text, ' ') FROM rswebhook.balance(s.since, s.until) b) AS committed
            FROM stored s)
        SELECT count(*), string_agg(c::text, E'\n') FROM counted c WHERE found <> events OR committed <> concat_ws(' ', events, events)}),
        '0|', $name);
    return;
}
