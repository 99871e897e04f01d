# doc/testing.md: what it says of sinks, rolled back tests, waiting, beginning anew and copies is so.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use JSON::PP;
use PostgreSQL::Test::Utils ();
use RswebhookTest;
use Test::More;

my $json = JSON::PP->new->utf8->allow_nonref->canonical;
my $receiver = new_receiver();
my $node = new_node('testing', extension => 0);
my $page = PostgreSQL::Test::Utils::slurp_file(source_dir() . '/doc/testing.md');
my ($server, $database, $sunk, $rolled_back, $wait, $soon, $anew, $all_anew, $copy, $copy_sink, $adopt) = $page =~ /^```sql\n(.*?)^```$/gms;
my $event = q{'{"type": "track", "event": "Order Placed", "userId": "ann"}'::jsonb};

query($node, 'CREATE DATABASE app_test');
test(q{CREATE EXTENSION rswebhook; INSERT INTO rswebhook.destination (name, url) VALUES ('shop', '} . $receiver->url('/shop') . q{')});

# A template in which nothing was sent
query($node, 'CREATE DATABASE clean TEMPLATE app_test');
query($node, "SELECT rswebhook_send($event, 'shop')", 'clean');
ok(wait_until_sent($node, 'clean'), 'a copy of a database in which nothing was sent delivers');
is(scalar($receiver->new_requests), 1, 'at once');
query($node, 'DROP DATABASE clean');

# A sink
test($database);
test("SELECT rswebhook_send($event, 'shop')");
is(test_error($wait), '', 'waiting for a sink');
my ($name, $destination, $request, $body) = split /\|/, test($sunk);
is("$name $destination $request", 'Order Placed shop POST ' . $receiver->url('/shop'), 'what would have been sent');
is_deeply($json->decode($body)->{userId}, 'ann', 'with its body');
is(scalar($receiver->new_requests), 0, 'and was not');
query($node, 'ALTER DATABASE app_test RESET rswebhook.enabled');
query($node, $server);
test("SELECT rswebhook_send($event, 'shop')");
is(test_error($wait), '', 'waiting for the sink of a server');
is(test(q{SELECT count(*) FROM rswebhook.delivery WHERE outcome = 'sunk'}), 2, 'which has all');
query($node, 'ALTER SYSTEM RESET rswebhook.enabled; SELECT pg_reload_conf()');
ok(wait_for_query($node, 'SELECT state FROM rswebhook.status', 'active', undef, 'app_test'), 'it is none any more');

# Tests that roll back
my ($id, $own) = split /\n/, test($rolled_back);
is($json->decode($own)->{event}, 'Order Placed', 'a test sees its own event');
is(test("SELECT count(*) FROM rswebhook.event WHERE id = $id"), 0, 'which is not sent');

# Waiting
test("SELECT rswebhook_send($event, 'shop')");
is(test_error($wait), '', 'it ends when all is sent');
is(scalar($receiver->new_requests), 1, 'which it is');
test(q{SELECT rswebhook_pause('shop')});
test("SELECT rswebhook_send($event, 'shop')");
like(test_error($wait =~ s/1000/50/r), qr/still owed/, 'and is an error if that takes too long');
test(q{SELECT rswebhook_resume('shop')});
is(test_error($wait), '', 'not otherwise');

# Beginning anew, with one that waits for its retry, and its user's next
$receiver->switch('shop', '/status/500');
test($soon =~ s/min_attempts = 3/min_attempts = 3, url = '@{[ $receiver->url('\/switch\/shop') ]}'/r);
test("SELECT rswebhook_send($event, 'shop')");
is(test_error($wait), '', 'what fails is given up soon');
is(test(q{SELECT outcome || attempt FROM rswebhook.delivery ORDER BY started_at DESC LIMIT 1}), 'aborted3', 'after three attempts');
test(q{UPDATE rswebhook.destination SET min_backoff = '1 h', max_backoff = '1 h', retry_window = '3 h'});
test("SELECT rswebhook_send($event, 'shop')");
ok(wait_for_query($node, q{SELECT outcome FROM rswebhook.delivery ORDER BY started_at DESC LIMIT 1}, 'retry', undef, 'app_test'), 'one waits for long');
test($anew);
is(test('SELECT (SELECT count(*) FROM rswebhook.event) + (SELECT count(*) FROM rswebhook.queue) + (SELECT count(*) FROM rswebhook.delivery)'), 0, 'nothing is left');
is(test('SELECT count(*) FROM rswebhook.destination'), 1, 'but the destination');
$receiver->switch('shop', '/ok');
$receiver->new_requests;
test("SELECT rswebhook_send($event, 'shop')");
is(test_error($wait), '', 'the next event of that user does not wait');
is(scalar($receiver->new_requests), 1, 'but is sent');
test($all_anew);
test(q{INSERT INTO rswebhook.destination (name, url) VALUES ('shop', '} . $receiver->url('/shop') . q{')});
is(test('SELECT id FROM rswebhook.destination'), 1, 'the numbers of destinations, too');
test("SELECT rswebhook_send($event, 'shop')");
is(test_error($wait), '', 'and events are sent');
is(scalar($receiver->new_requests), 1, 'to them');

# Copies
test(q{CREATE ROLE app; SELECT rswebhook.grant_sender('app')});
foreach my $way ([ $copy_sink, 'sunk', 0 ], [ $adopt, 'delivered', 1 ])
{
    my ($line, $outcome, $requests) = @$way;

    query($node, $copy);
    is(query($node, 'SELECT state FROM rswebhook.status', 'app_test_1'), 'not adopted', 'a copy is known as one');
    my (undef, undef, $warning) = $node->psql('app_test_1', "SET ROLE app; SELECT rswebhook_send($event, 'shop')");
    like($warning, qr/WARNING/, 'and says so to whoever sends, whose grants are there');
    query($node, $line, 'app_test_1');
    is(($node->psql('app_test_1', $wait))[2], '', 'with one line it goes on');
    is(query($node, 'SELECT outcome FROM rswebhook.delivery ORDER BY started_at DESC LIMIT 1', 'app_test_1'), $outcome, "as it says: $outcome");
    is(scalar($receiver->new_requests), $requests, 'at the receiver, too');
    query($node, 'DROP DATABASE app_test_1');
}
test("SELECT rswebhook_send($event, 'shop')");
is(test_error($wait), '', 'the template goes on');

$node->stop;
done_testing();

sub test
{
    my ($sql) = @_;

    return query($node, $sql, 'app_test');
}

sub test_error
{
    my ($sql) = @_;

    return ($node->psql('app_test', $sql))[2];
}
