# What an operator reads in the log, and whoever sends or drops something is warned of: workers
# that come, go or cannot come, destinations that are backed off, events that are given up.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Test::More;

my $receiver = new_receiver();

# Beside the launcher and PostgreSQL's own there is room for one worker
my $node = new_node('said', conf => "max_worker_processes = 3\nrswebhook.workers = 1\n");

# What psql says of statements.
sub said
{
    my ($database, $sql) = @_;
    my ($status, undef, $err) = $node->psql($database, $sql, on_error_stop => 0);

    return $err;
}

ok(wait_for('the start', sub { times_logged($node, qr/LOG:  rswebhook worker for database "postgres" has started/) == 1 }),
    'that a worker has started is logged');

#
# Events that are given up, some of them
#
add_destination($node, 'refuses', $receiver->url('/status/404'));
send_event($node, { type => 'track', userId => "u$_", event => 'Tried' }, 'refuses') foreach 1 .. 50;
ok(wait_until_sent($node), 'all are given up');
my $given_up = qr/LOG:  rswebhook has given up event \d+ for destination "refuses": HTTP status 404/;
ok(wait_for('the log', sub { times_logged($node, $given_up) > 0 }), 'which is logged');
cmp_ok(times_logged($node, $given_up), '<=', 4, 'a few times a minute');

#
# A destination that is backed off, and no more
#
$receiver->switch('down', '/status/503');
add_destination($node, 'down', $receiver->url('/switch/down'),
    { min_backoff => '100 ms', max_backoff => '200 ms', breaker_failures => 3 });
send_event($node, { type => 'track', userId => "u$_", event => 'Tried' }, 'down') foreach 1 .. 20;
my $backs_off = qr/LOG:  rswebhook backs off destination "down" as a whole: HTTP status 503/;
ok(wait_for('the log', sub { times_logged($node, $backs_off) > 0 }), 'that it is backed off is logged');
ok(wait_for('probes', sub { query($node, q{SELECT failures FROM rswebhook.breaker}) > 6 }), 'it is probed in vain');
is(times_logged($node, $backs_off), 1, 'which is not said again');
is(times_logged($node, qr/backs off destination "down" no more/), 0, 'as it goes on');
$receiver->switch('down', '/ok');
ok(wait_until_sent($node), 'it works again');
ok(wait_for('the log', sub { times_logged($node, qr/LOG:  rswebhook backs off destination "down" no more/) == 1 }),
    'which is logged as well');

#
# What is owed is lost
#
query($node, q{SELECT rswebhook_pause('down'); SELECT rswebhook_pause('refuses')});
query($node, q{SELECT rswebhook_send('{"type": "track"}', name) FROM rswebhook.destination, generate_series(1, 3)});
like(said('postgres', 'BEGIN; DROP EXTENSION rswebhook; ROLLBACK'),
    qr/WARNING:  6 deliveries that are owed will not take place, as rswebhook is dropped/, 'DROP EXTENSION says how many are owed');
like(said('postgres', 'BEGIN; DROP SCHEMA public CASCADE; ROLLBACK'), qr/WARNING:  6 deliveries/, 'so does DROP SCHEMA');
like(said('postgres', q{BEGIN; DELETE FROM rswebhook.destination WHERE name = 'down'; ROLLBACK}),
    qr/WARNING:  3 events that are owed to destination "down" will be aborted/, 'and a destination that is deleted');
is(query($node, 'SELECT count(*) FROM rswebhook.queue'), '6', 'all are there still');
query($node, 'DELETE FROM rswebhook.queue');
is(said('postgres', 'BEGIN; DROP EXTENSION rswebhook; ROLLBACK'), '', 'nothing is said if nothing is owed');

#
# More databases than there can be workers
#
foreach my $database ('second', 'third')
{
    query($node, "CREATE DATABASE $database");
    query($node, 'CREATE EXTENSION rswebhook', $database);
    add_destination($node, 'works', $receiver->url("/$database"), {}, $database);
}
ok(wait_for('the log', sub { times_logged($node, qr/rswebhook cannot start a worker for database \d+: no background worker slot is free/) > 0 }),
    'that there can be no more workers is logged');
like(logged($node), qr/max_worker_processes is 3\. Each database with rswebhook needs 1.*?Set max_worker_processes to [45],/s,
    'with how many there would have to be');
my $warning = qr/WARNING:  rswebhook has no worker for this database.*max_worker_processes is 3\..*Set max_worker_processes to (\d+),/s;
ok(wait_for('the warning', sub { said('third', q{SELECT rswebhook_send('{"type": "track"}', 'works')}) =~ $warning }), 'and whoever sends there is warned');
my ($wanted) = said('third', q{SELECT rswebhook_send('{"type": "track"}', 'works'); SELECT rswebhook_send('{"type": "track"}', 'works')}) =~ $warning;
is($wanted, 5, 'with the number as well');
is(scalar(() = said('third', q{SELECT rswebhook_send('{"type": "track"}', 'works'); SELECT rswebhook_send('{"type": "track"}', 'works')}) =~ /WARNING/g),
    1, 'once a session');
is(query($node, 'SELECT state FROM rswebhook.status', 'third'), 'no worker', 'the state says so, too');
is(said('postgres', q{SELECT rswebhook_send('{"type": "track"}', 'refuses')}), '', 'nothing is said where there is a worker');
$node->append_conf('postgresql.conf', "max_worker_processes = $wanted\n");
$node->restart;
ok(wait_until_sent($node, $_), "$_: with so many, all is delivered") foreach 'second', 'third';
is(query($node, 'SELECT state FROM rswebhook.status', 'third'), 'active', 'and the state says so');
is(said('third', q{SELECT rswebhook_send('{"type": "track"}', 'works')}), '', 'nobody is warned any more');

#
# The end
#
query($node, 'DROP EXTENSION rswebhook', 'second');
ok(wait_for('the end', sub { times_logged($node, qr/LOG:  rswebhook worker for database "second" ends\n.*DETAIL:  The extension was dropped there/) == 1 }),
    'that a worker ends is logged');
my $log = -s $node->logfile;
$node->stop;
like(logged($node, $log), qr/LOG:  rswebhook worker for database "third" ends/, 'also at a shutdown');

done_testing();
