# Who may do nothing with the extension, or little, stops nobody else: not with the locks
# that he can have, nor with the numbers that he can give.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Test::More;

my $receiver = new_receiver();
my $node = new_node('outsiders', conf => 'max_prepared_transactions = 10');

add_destination($node, 'shop', $receiver->url('/shop'));
query($node, q{CREATE ROLE nobody LOGIN; CREATE ROLE creator LOGIN CREATEDB; CREATE ROLE ops;
    SELECT rswebhook.grant_operator('ops')});
my $outsider = $node->background_psql('postgres', on_error_stop => 0);

# The extension itself can be locked by whoever has a function
foreach my $command ('ALTER FUNCTION pg_temp.f() DEPENDS ON EXTENSION rswebhook', 'DROP EXTENSION rswebhook', 'COMMENT ON EXTENSION rswebhook IS NULL')
{
    $outsider->query("SET ROLE nobody; CREATE OR REPLACE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'; BEGIN; $command");
    send_event($node, { type => 'track', userId => 'ann', event => $command }, 'shop');
    ok(wait_until_sent($node), "during $command, events are delivered");
    $outsider->query('ROLLBACK; RESET ROLE');
}
is($receiver->requests_to('/shop'), 3, 'all of them');

# and so it goes by its tables' locks when it is dropped meanwhile
query($node, q{CREATE DATABASE other}, 'postgres');
query($node, 'CREATE EXTENSION rswebhook', 'other');
add_destination($node, 'shop', $receiver->url('/other'), undef, 'other');
send_event($node, { type => 'track' }, 'shop', 'other');
ok(wait_until_sent($node, 'other'), 'another database');
query($node, 'DROP EXTENSION rswebhook CASCADE', 'other');
ok(wait_for_query($node, q{SELECT count(*) FROM pg_stat_activity WHERE datname = 'other' AND backend_type LIKE 'rswebhook%'}, '0'),
    'whose worker leaves with the extension');
query($node, 'CREATE EXTENSION rswebhook', 'other');

# A table's owner may lock it, and is not waited for by who looks at its triggers
query($node, q{GRANT CREATE ON SCHEMA public TO nobody; SET ROLE nobody; CREATE TABLE locked (id integer); CREATE TABLE free (id integer); RESET ROLE;
    CREATE TRIGGER s AFTER INSERT ON locked FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('shop', '', 'user_id=id');
    CREATE TRIGGER s AFTER INSERT ON free FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('shop', '', 'user_id=id');
    ALTER TABLE locked RENAME id TO number; ALTER TABLE free RENAME id TO number});
my $problems = q{SET statement_timeout = '60s'; SELECT string_agg("table" || ': ' || problem, ', ' ORDER BY "table"::text) FROM rswebhook.trigger_problems()};
my $of_free = qr/free: column "id" of relation "free" does not exist/;
$outsider->query('SET ROLE nobody; BEGIN; LOCK TABLE locked');
like(query($node, $problems), qr/^$of_free.*, locked: relation is locked, and was not looked at$/, 'a locked table is told of, and others are looked at');
$outsider->query('ROLLBACK; RESET ROLE');
like(query($node, $problems), qr/^$of_free.*, locked: column "id" of relation "locked" does not exist/, 'later it is looked at');
is(query($node, qq{BEGIN; $problems; SELECT count(*) FROM pg_locks WHERE relation = 'locked'::regclass; ROLLBACK}) =~ /^0$/m ? 1 : 0, 1, 'and no lock is left');
query($node, 'DROP TABLE locked, free');

# Ids at the ends of their range
my $log = -s $node->logfile;
query($node, q{SELECT rswebhook_pause('shop');
    SELECT rswebhook.notify_worker(NULL, a, b) FROM unnest(ARRAY[-9223372036854775808, -100, 0, 9223372036854775807]) a,
        unnest(ARRAY[-9223372036854775808, -1, 9223372036854775807]) b;
    INSERT INTO rswebhook.queue (destination_id, event_slot, event_id, queued_at)
        SELECT d.id, 0, n, now() FROM rswebhook.destination d,
            unnest(ARRAY[-9223372036854775808, -9223372036854775807, -5, 0, 9223372036854775806, 9223372036854775807]) n;
    SET ROLE ops;
    SELECT rswebhook_cancel_all('shop')});
query($node, q{INSERT INTO rswebhook.queue (destination_id, event_slot, event_id, queued_at)
        SELECT d.id, 0, n, now() FROM rswebhook.destination d, unnest(ARRAY[-9223372036854775807, -5, 0, 9223372036854775807]) n;
    SELECT rswebhook_resume('shop')});
send_event($node, { type => 'track', userId => 'ann' }, 'shop');
ok(wait_for('the event', sub { $receiver->requests_to('/shop') == 4 }), 'what is sent goes');
restart_workers();
ok(wait_until_sent($node), 'what has no payload is given up');
is(query($node, q{SELECT count(*), min(outcome) FROM rswebhook.delivery WHERE event_id IN (-9223372036854775807, -5, 0, 9223372036854775807) AND error ~ 'payload'}),
    '4|aborted', 'with a record');

# Databases that somebody keeps locked: others have their workers, and the server stops
$outsider->query('SET ROLE creator');
foreach my $n (1 .. 3)
{
    $outsider->query("CREATE DATABASE locked$n");
    $outsider->query("BEGIN; ALTER DATABASE locked$n RENAME TO renamed$n; PREPARE TRANSACTION 'p$n'");
}
$outsider->query('RESET ROLE');
query($node, 'CREATE DATABASE last');
query($node, 'CREATE EXTENSION rswebhook', 'last');
add_destination($node, 'shop', $receiver->url('/last'), { paused => 'true' }, 'last');
send_event($node, { type => 'track' }, 'shop', 'last');
query($node, q{UPDATE rswebhook.destination SET paused = false}, 'last');
$outsider->quit;
$node->stop('fast');
ok(1, 'the server stops');
$node->start;
foreach my $database (qw(postgres last))
{
    ok(wait_for_query($node, qq{SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = '$database' AND backend_type LIKE 'rswebhook worker%'}, 't'),
        "$database has its worker");
}
ok(wait_until_sent($node, 'last'), 'which delivers');
$node->stop('fast');
$node->start;
query($node, "ROLLBACK PREPARED 'p$_'") foreach 1 .. 3;
$node->stop;
done_testing();

sub restart_workers
{
    my $pid = worker_of($node, 'shop');

    query($node, "SELECT pg_terminate_backend($pid)");
    return wait_for('another worker', sub { my $now = worker_of($node, 'shop'); $now && $now ne $pid });
}
