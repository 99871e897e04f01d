# Whatever somebody does to our tables and to the server: the command ends at
# once, the worker lives or comes back, says little about it, and delivers.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Session;
use Test::More;

my $limit = 4;    # seconds on an idle machine; what is not to be waited for takes minutes
my $serial = 0;
my $receiver = new_receiver();
my $node = new_node('commands');
my %fast = (min_backoff => '20 ms', max_backoff => '100 ms', breaker_failures => 0);

add_destination($node, 'good', $receiver->url('/ok'), \%fast);
add_destination($node, 'slow', $receiver->url('/delay/20/ok'), { %fast, ordered => 'off', max_in_flight => 4 });
add_destination($node, 'hanging', $receiver->url('/hang'), { timeout => '30 min', low_speed_limit => 0 });
ok(deliver(), 'it delivers');
my $workers = worker_pids($node);

# Commands on our tables while requests are under way and rows wait
my @commands = (
    'TRUNCATE rswebhook.queue',
    'DELETE FROM rswebhook.queue',
    'TRUNCATE rswebhook.event',
    'TRUNCATE rswebhook.delivery, rswebhook.event, rswebhook.queue, rswebhook.breaker',
    'VACUUM FULL rswebhook.queue',
    'VACUUM FULL rswebhook.event_0, rswebhook.delivery_0',
    'CLUSTER rswebhook.queue USING queue_pkey',
    'REINDEX TABLE rswebhook.queue',
    'REINDEX SCHEMA rswebhook',
    'ANALYZE rswebhook.queue',
    'ALTER TABLE rswebhook.queue SET (fillfactor = 80)',
    'UPDATE rswebhook.queue SET retry_at = NULL',
    'UPDATE rswebhook.destination SET max_in_flight = max_in_flight',
    'ALTER EXTENSION rswebhook UPDATE',
    'SELECT pg_reload_conf() FROM generate_series(1, 100)',
    'CREATE TABLE other (); DROP TABLE other');
foreach my $command (@commands)
{
    many('slow', 60);
    send_to('hanging');
    quick($command);
    ok(deliver(), "after: $command");
}
is(worker_pids($node), $workers, 'they are still the same workers');
ok(wait_for_query($node, q{SELECT count(*) FROM rswebhook.queue JOIN rswebhook.destination ON id = destination_id WHERE name <> 'hanging'}, '0'),
    'everything left has been delivered or given up');

# An event whose payload somebody threw away is given up, and the row says why
query($node, q{SELECT rswebhook_pause('good')});
my $lost = send_to('good');
query($node, 'TRUNCATE rswebhook.event');
query($node, q{SELECT rswebhook_resume('good')});
ok(wait_for_query($node, "SELECT outcome FROM rswebhook.delivery WHERE event_id = $lost", 'aborted'),
    'an event without its payload is given up');

# A destination that goes while requests are under way
add_destination($node, 'brief', $receiver->url('/delay/50/ok'));
many('brief', 20);
quick(q{DELETE FROM rswebhook.destination WHERE name = 'brief'});
ok( wait_for_query($node, q{
        SELECT count(*) FROM rswebhook.queue
        WHERE destination_id NOT IN (SELECT id FROM rswebhook.destination)}, '0'),
    'what is owed to a deleted destination is given up');
ok(deliver(), 'after: DELETE of a destination');

# A lock on the queue holds deliveries up, and nothing else
my $session = Session->new($node);
my $log = -s $node->logfile;
my $since = time();
many('slow', 200);
$session->query('BEGIN; LOCK TABLE rswebhook.queue');
ok( wait_for('the worker to meet the lock', sub { errors_logged($node, $log) > 0 }), 'the worker does not wait for a lock for long');
pass_time(3);
cmp_ok(errors_logged($node, $log), '<=', workers_each() * (2 + time() - $since), 'a few lines in the log: ' . errors_logged($node, $log));
quick('SELECT 1 FROM rswebhook.destination');
$session->query('COMMIT');
ok(deliver(), 'after: LOCK TABLE');
is(worker_pids($node), $workers, 'they are still the same workers');

# Users' triggers on our tables: one that raises an error, one that takes ages
query($node, q{
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused by a trigger on %', TG_TABLE_NAME; END $$;
    CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(600); RETURN NULL; END $$;});
foreach my $on ('INSERT ON rswebhook.delivery', 'DELETE ON rswebhook.queue')
{
    $log = -s $node->logfile;
    $since = time();
    query($node, "CREATE TRIGGER mine AFTER $on FOR EACH STATEMENT EXECUTE FUNCTION refuse()");
    my $id = send_to('good');
    ok(wait_for('the error', sub { errors_logged($node, $log) > 1 }), "a trigger that raises an error: $on");
    cmp_ok(requests_of($id), '<=', 1, 'nothing is sent again and again');
    cmp_ok(errors_logged($node, $log), '<=', workers_each() * (2 + time() - $since), 'a few lines in the log: ' . errors_logged($node, $log));
    quick('DROP TRIGGER mine ON ' . ($on =~ /(\S+)$/)[0]);
    ok(deliver(), "after: the trigger is gone");
    is(worker_pids($node), $workers, 'they are still the same workers');
}

query($node, 'CREATE TRIGGER mine AFTER INSERT ON rswebhook.delivery FOR EACH STATEMENT EXECUTE FUNCTION dawdle()');
query($node, q{CREATE DATABASE other_database; });
send_to('good');
ok(wait_for_query($node, q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'rswebhook worker' AND wait_event = 'PgSleep'}, '1'),
    'a trigger that takes ages');
my $stuck = worker_of($node, 'good');
query($node, "SELECT pg_terminate_backend($stuck)");
ok(wait_for('it to end', sub { !kill 0, $stuck }), 'SIGTERM ends a worker in it');
ok(await_others($node, $stuck), 'another one comes');
my $seconds = elapsed(sub { $node->stop('fast') });
cmp_ok($seconds, '<', at_once($limit), sprintf 'fast stop: %.2f s', $seconds);
$node->start;
query($node, 'DROP TRIGGER mine ON rswebhook.delivery');
ok(deliver(), "after: the trigger is gone");

# DROP DATABASE, with a worker that is stuck in such a trigger
query($node, 'CREATE EXTENSION rswebhook', 'other_database');
add_destination($node, 'good', $receiver->url('/ok'), {}, 'other_database');
query($node, q{
    CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(600); RETURN NULL; END $$;
    CREATE TRIGGER mine AFTER INSERT ON rswebhook.delivery FOR EACH STATEMENT EXECUTE FUNCTION dawdle()}, 'other_database');
send_event($node, { type => 'track' }, 'good', 'other_database');
ok(wait_for_query($node, q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'rswebhook worker' AND wait_event = 'PgSleep'}, '1'),
    'a worker is stuck');
quick('DROP DATABASE other_database');

# pg_cancel_backend does no harm
$workers = worker_pids($node);
my $cancel = "SELECT pg_cancel_backend(pid::integer) FROM regexp_split_to_table('$workers', ' ') AS pid";
query($node, $cancel) foreach 1 .. 5;
many('slow', 100);
query($node, $cancel) foreach 1 .. 5;
ok(deliver(), 'after: pg_cancel_backend');
is(worker_pids($node), $workers, 'they are still the same workers');

# DROP EXTENSION by whichever way, and a new one at once, in one go or not
foreach my $way ('DROP EXTENSION rswebhook',
    'BEGIN; DROP EXTENSION rswebhook; CREATE EXTENSION rswebhook; COMMIT')
{
    many('slow', 60);
    send_to('hanging');
    quick($way);
    quick('CREATE EXTENSION IF NOT EXISTS rswebhook');
    add_destination($node, 'good', $receiver->url('/ok'), \%fast);
    add_destination($node, 'slow', $receiver->url('/delay/20/ok'), { %fast, ordered => 'off', max_in_flight => 4 });
    add_destination($node, 'hanging', $receiver->url('/hang'), { timeout => '30 min', low_speed_limit => 0 });
    ok(deliver(), "after: $way");
    is(query($node, q{SELECT count(*) FROM rswebhook.delivery WHERE event_id NOT IN (SELECT id FROM rswebhook.event)}),
        '0', 'nothing of the old extension is in the new one\'s history');
}
foreach my $round (1 .. 20)
{
    query($node, 'DROP EXTENSION rswebhook');
    query($node, 'CREATE EXTENSION rswebhook');
}
add_destination($node, 'good', $receiver->url('/ok'), \%fast);
add_destination($node, 'hanging', $receiver->url('/hang'), { timeout => '30 min', low_speed_limit => 0 });
ok(deliver(), 'after: twenty times DROP and CREATE EXTENSION');
ok(await_workers($node), 'with its workers');
is(query($node, q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'rswebhook worker'}), workers_each(), 'and no more');

# Shutdown in each way, with requests that hang
foreach my $mode (qw(smart fast))
{
    my $id = send_to('hanging');
    ok(wait_for('the request', sub { requests_of($id) > 0 }), 'a request hangs');
    Session->let_go($node);
    $seconds = elapsed(sub { $node->stop($mode) });
    cmp_ok($seconds, '<', at_once($limit), sprintf '%s stop: %.2f s', $mode, $seconds);
    $node->start;
    ok(deliver(), "after: $mode stop");
}

# What a trigger sets for the session is over with its transaction
add_destination($node, 'again', $receiver->url('/first/1/503/again'), { min_backoff => '50 ms', max_backoff => '100 ms' });
query($node, q{
    CREATE FUNCTION sets() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN PERFORM set_config('default_transaction_read_only', 'on', false), set_config('statement_timeout', '1 ms', false); RETURN NULL; END $$;
    CREATE TRIGGER sets AFTER INSERT ON rswebhook.delivery FOR EACH ROW EXECUTE FUNCTION sets()});
many('again', 1);
ok(wait_for_query($node, q{SELECT count(*) FROM rswebhook.queue q JOIN rswebhook.destination d ON d.id = q.destination_id WHERE d.name = 'again'}, '0'),
    'a trigger changes settings');
query($node, 'DROP TRIGGER sets ON rswebhook.delivery; DROP FUNCTION sets');
many('again', 3);
ok(wait_for_query($node, q{SELECT count(*) FROM rswebhook.queue q JOIN rswebhook.destination d ON d.id = q.destination_id WHERE d.name = 'again'}, '0'),
    'of which later transactions know nothing');

done_testing();

sub quick
{
    my ($sql) = @_;
    my $seconds = elapsed(sub { query($node, $sql) });

    cmp_ok($seconds, '<', at_once($limit), sprintf '%s: %.2f s', $sql, $seconds);
    return;
}

# Returns the event's id.
sub send_to
{
    my ($destination) = @_;
    my $n = ++$serial;

    our %name;
    my $id = send_event($node, { type => 'track', anonymousId => "a$n", messageId => "m$n" }, $destination);
    $name{$id} = "m$n";
    return $id;
}

sub many
{
    my ($destination, $count) = @_;

    query($node, qq{
        SELECT count(rswebhook_send('{"type": "track"}', '$destination')) FROM generate_series(1, $count)});
    return;
}

sub deliver
{
    my $id = send_to('good');

    return wait_for("the event $id", sub { requests_of($id) > 0 });
}

sub requests_of
{
    my ($id) = @_;

    our %name;
    return scalar grep { ($_->{headers}{'webhook-id'} // '') eq $name{$id} } $receiver->requests;
}
