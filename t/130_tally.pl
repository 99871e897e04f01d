# What rswebhook.status counts is what was recorded: of each outcome, by workers and by
# sessions, over restarts and crashes, of the last minute and ever.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Test::More;

my $receiver = new_receiver();
my $node = new_node('tally', conf => "rswebhook.workers = 2\nrestart_after_crash = on\n");

# What differs between the status, or its last minute or day, and the rows of what was recorded
my $counts = q{SELECT d.id, sum(CASE WHEN l.outcome = 'delivered' THEN 1 ELSE 0 END) AS delivered,
        count(*) FILTER (WHERE l.outcome = 'retry') AS retried, count(*) FILTER (WHERE l.outcome = 'aborted') AS aborted,
        count(*) FILTER (WHERE l.outcome = 'cancelled') AS cancelled, count(*) FILTER (WHERE l.outcome = 'refused') AS refused,
        count(*) FILTER (WHERE l.outcome = 'sunk') AS sunk, count(*) FILTER (WHERE l.error LIKE '%expired%') AS expired
    FROM rswebhook.destination d LEFT JOIN rswebhook.delivery l ON l.destination_id = d.id GROUP BY d.id};
my $differs = qq{SELECT coalesce(string_agg(s::text || c::text, E'\\n'), '') FROM rswebhook.status s JOIN ($counts) c ON c.id = s.destination_id
    WHERE (s.delivered, s.retried, s.aborted, s.cancelled, s.refused, s.sunk, s.expired) IS DISTINCT FROM
          (c.delivered, c.retried, c.aborted, c.cancelled, c.refused, c.sunk, c.expired)
       OR (s.delivered_day, s.retried_day, s.aborted_day, s.cancelled_day, s.refused_day) IS DISTINCT FROM
          (c.delivered, c.retried, c.aborted, c.cancelled, c.refused)};

sub agrees
{
    my ($name) = @_;

    return is(query($node, $differs), '', $name);
}

sub number
{
    my ($column, $destination) = @_;

    return query($node, "SELECT $column FROM rswebhook.status WHERE destination = '$destination'");
}

sub folded
{
    my ($name) = @_;

    return ok(wait_for_query($node, 'SELECT count(*) FROM rswebhook.untallied', '0'), $name);
}

add_destination($node, 'good', $receiver->url('/ok'));
add_destination($node, 'parts', $receiver->url('/flaky/30/500,reset/x'), { workers => 2, min_backoff => '10 ms', max_backoff => '50 ms', retry_window => '1 h', min_attempts => 1000, breaker_failures => 0 });
add_destination($node, 'fails', $receiver->url('/status/500'), { min_backoff => '10 ms', max_backoff => '10 ms', retry_window => '0', breaker_failures => 0 });
add_destination($node, 'no', $receiver->url('/status/400'));
add_destination($node, 'paused', $receiver->url('/ok'), { paused => 'true' });
is(query($node, q{SELECT DISTINCT concat_ws(' ', delivered, retried, aborted, cancelled, refused, expired, sunk, delivered_minute,
        coalesce(latency_p99, -1), last_delivered_at IS NULL, last_error IS NULL) FROM rswebhook.status}),
    '0 0 0 0 0 0 0 0 -1 t t', 'zeros before anything is sent');
await_workers($node);

# ---------------------------------------------------------------------
# Each outcome
# ---------------------------------------------------------------------
query($node, qq{SELECT rswebhook_send(jsonb_build_object('type', 'track', 'userId', 'u' || n % 20), d)
    FROM generate_series(1, 60) n, unnest(ARRAY['good', 'parts', 'fails', 'no', 'paused']) d});
query($node, q{
    CREATE TABLE orders (id integer, dest text);
    CREATE TRIGGER send AFTER INSERT ON orders FOR EACH ROW
        EXECUTE FUNCTION rswebhook_trigger('', 'Order', 'destination_column=dest');
    INSERT INTO orders SELECT n, 'nowhere' FROM generate_series(1, 3) n;
    INSERT INTO orders VALUES (4, 'good')});
my $of_others = query($node, q{SELECT count(*) FROM rswebhook.queue q JOIN rswebhook.destination d ON d.id = q.destination_id WHERE d.name <> 'paused'});
ok(wait_for_query($node, q{SELECT count(*) FROM rswebhook.queue q JOIN rswebhook.destination d ON d.id = q.destination_id WHERE d.name <> 'paused'}, '0'),
    'all is through');
agrees('the status counts what was recorded');
is(number('delivered', 'good'), '61', 'delivered');
is(number('delivered_minute', 'good') . number('delivered_hour', 'good'), '6161', 'of late');
is(number('aborted', 'no'), '60', 'given up');
cmp_ok(number('retried', 'fails'), '>=', 120, 'tried again');
cmp_ok(number('latency_p50', 'good'), '>', 0, 'there is a median');
is(query($node, q{SELECT latency_p50 <= latency_p95 AND latency_p95 <= latency_p99 FROM rswebhook.status WHERE destination = 'good'}), 't', 'and more');
is(number(q{concat_ws('|', last_error, last_error_at IS NOT NULL, last_delivered_at IS NULL)}, 'no'), 'HTTP status 400|t|t', 'the last error');
is(query($node, q{SELECT s.refused FROM rswebhook.tallies() t, rswebhook.tally_show(t.counts, now()) s WHERE t.destination_id = 0}),
    query($node, q{SELECT count(*) FROM rswebhook.delivery WHERE destination_id = 0}), 'what was refused for a name that none has');

is(query($node, q{SELECT rswebhook_cancel(min(event_id), 'paused') FROM rswebhook.queue}), '1', 'one is cancelled');
is(query($node, q{SELECT rswebhook_cancel_all('paused', user_id => 'u1')}), '2', 'and more');
query($node, q{BEGIN; SELECT rswebhook_cancel_all('paused'); ROLLBACK});
query($node, q{CALL rswebhook_cancel_in_pieces('paused', user_id => 'u2', piece => 7)});
agrees('what was cancelled counts, and what was rolled back does not');
is(number('cancelled', 'paused'), '6', 'so many');
query($node, q{UPDATE rswebhook.queue SET expires_at = queued_at WHERE event_id IN (SELECT event_id FROM rswebhook.queue ORDER BY 1 LIMIT 5)});
$node->reload;
ok(wait_for_query($node, q{SELECT expired FROM rswebhook.status WHERE destination = 'paused'}, '5'), 'what has expired at rest');
agrees('counts as well');
query($node, q{SELECT rswebhook_replay_all('no')});
ok(wait_for_query($node, q{SELECT aborted FROM rswebhook.status WHERE destination = 'no'}, '120'), 'and what is replayed counts again');

# ---------------------------------------------------------------------
# Adding up
# ---------------------------------------------------------------------
folded('what was recorded is added up');
agrees('that changes nothing');
my $before = query($node, q{SELECT string_agg(concat_ws(' ', destination, delivered, retried, aborted, cancelled, latency_p95, last_error), ',' ORDER BY destination) FROM rswebhook.status});
$node->restart;
await_workers($node);
is(query($node, q{SELECT string_agg(concat_ws(' ', destination, delivered, retried, aborted, cancelled, latency_p95, last_error), ',' ORDER BY destination) FROM rswebhook.status}),
    $before, 'nor does a restart');
my $dump = $node->backup_dir . '/dump.sql';
mkdir $node->backup_dir;
$node->command_ok([ 'pg_dump', '-f', $dump, $node->connstr('postgres') ], 'a dump');
query($node, 'CREATE DATABASE restored');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, $node->connstr('restored') ], 'that is restored');
is(query($node, q{SELECT delivered FROM rswebhook.status WHERE destination = 'good'}, 'restored'), '61', 'has what was counted');
query($node, 'DROP DATABASE restored');

# ---------------------------------------------------------------------
# Crashes
# ---------------------------------------------------------------------
foreach my $round (1 .. 3)
{
    query($node, q{SELECT rswebhook_send(jsonb_build_object('type', 'track', 'userId', 'u' || n % 50), d)
        FROM generate_series(1, 400) n, unnest(ARRAY['good', 'parts']) d});
    my $had = query($node, 'SELECT count(*) FROM rswebhook.delivery');
    wait_for('some to be recorded', sub { query($node, 'SELECT count(*) FROM rswebhook.delivery') >= $had + 50 * $round });
    ok(kill_process($node, (split / /, worker_pids($node))[$round % 2]), 'a worker is killed');
    agrees('what was recorded is counted, and nothing else');
}
query($node, q{SELECT rswebhook_resume('paused')});
ok(wait_until_sent($node), 'all is sent in the end');
agrees('and counted');
is(query($node, q{
        SELECT coalesce(string_agg(b::text || s::text, ','), '') FROM rswebhook.balance() b JOIN rswebhook.status s ON s.destination = b.destination
        WHERE (b.owed, b.refused, b.cancelled, b.expired) IS DISTINCT FROM (s.pending, s.refused, s.cancelled, s.expired)
           OR b.committed <> s.delivered + s.aborted + s.cancelled + s.refused + s.pending - CASE s.destination WHEN 'no' THEN 60 ELSE 0 END}),
    '', 'as the balance has it, but for what was replayed');

# ---------------------------------------------------------------------
# A sink, destinations that go, and other sessions' locks
# ---------------------------------------------------------------------
query($node, 'ALTER DATABASE postgres SET rswebhook.enabled = sink');
query($node, q{SELECT rswebhook_send('{"type": "track"}', 'good') FROM generate_series(1, 5)});
ok(wait_for_query($node, q{SELECT sunk FROM rswebhook.status WHERE destination = 'good'}, '5'), 'a sink');
query($node, 'ALTER DATABASE postgres RESET rswebhook.enabled');
agrees('is counted by itself');
folded('what was recorded is added up');
query($node, q{DELETE FROM rswebhook.destination WHERE name = 'no'});
is(query($node, q{SELECT count(*) FROM rswebhook.tally t WHERE NOT EXISTS (SELECT FROM rswebhook.destination d WHERE d.id = t.destination_id) AND t.destination_id <> 0}),
    '0', 'what is gone is counted no more');
my $holder = $node->background_psql('postgres');
$holder->query_safe('BEGIN; LOCK TABLE rswebhook.tally IN SHARE MODE');
query($node, q{SELECT rswebhook_send('{"type": "track"}', 'good')});
ok(wait_until_sent($node), 'a lock on the sums holds up nothing');
is(number('delivered', 'good'), query($node, q{SELECT count(*) FROM rswebhook.delivery l JOIN rswebhook.destination d ON d.id = l.destination_id WHERE d.name = 'good' AND outcome = 'delivered'}),
    'and they are right');
$holder->query_safe('COMMIT');
$holder->quit;
query($node, q{CREATE ROLE looks; GRANT pg_monitor TO looks});
is(query($node, q{SET ROLE looks; SELECT count(*) FROM rswebhook.status WHERE delivered > 0}), '3', 'pg_monitor looks');

$node->stop;
done_testing();
