# What waits for its retry is tried at once when its destination has been corrected or
# resumed, or when somebody asks for it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Test::More;

my $receiver = new_receiver();
my $node = new_node('try_now');
my %patient = (min_backoff => '1 h', max_backoff => '1 h', breaker_failures => 0);

# Sends so many events, each of a user, until all have failed once.
sub failed
{
    my ($name, $count) = @_;
    my @ids = map { send_event($node, { type => 'track', userId => "$name $_", event => 'Tried' }, $name) } 1 .. $count;

    ok( wait_for_query($node, qq{SELECT count(*) FROM rswebhook.queue
            WHERE retry_at > now() + interval '30 min' AND destination_id = rswebhook.destination_id('$name')}, $count),
        "$name: all wait for an hour");
    return @ids;
}

# The row is edited
my $refused = 'http://127.0.0.1:' . refusing_port() . '/';
add_destination($node, 'moved', $refused, \%patient);
my @moved = failed('moved', 5);
query($node, "UPDATE rswebhook.destination SET url = '" . $receiver->url('/moved') . "' WHERE name = 'moved'");
ok(wait_until_sent($node), 'with the right URL all are delivered');
is(outcomes($node, $moved[0]), 'retry 1, delivered 200 2', 'by their second attempts');

add_destination($node, 'secret', $receiver->url('/switch/secret'), { %patient, status_outcomes => '{"401": "retry"}' });
$receiver->switch('secret', '/status/401');
failed('secret', 1);
$receiver->switch('secret', '/ok');
query($node, q{UPDATE rswebhook.destination SET auth_type = 'bearer', auth_token = 'right' WHERE name = 'secret'});
ok(wait_until_sent($node), 'likewise with another secret');

add_destination($node, 'policy', $receiver->url('/status/500'), \%patient);
my ($policy) = failed('policy', 1);
query($node, q{UPDATE rswebhook.destination SET status_outcomes = '{"500": "delivered"}' WHERE name = 'policy'});
ok(wait_until_sent($node), 'or another policy');
is(outcomes($node, $policy), 'retry 500 1, delivered 500 2', 'which is what counts then');

# An answer of before does not count, nor does the pause that it asks for
add_destination($node, 'late', $receiver->url('/until/late/status/500'), { %patient, timeout => '10 min' });
my $late = send_event($node, { type => 'track', userId => 'late', event => 'Tried' }, 'late');
ok(wait_for('the request', sub { query($node, q{SELECT in_flight FROM rswebhook.status WHERE destination = 'late'}) eq '1' }),
    'one is in flight');
query($node, "UPDATE rswebhook.destination SET url = '" . $receiver->url('/late') . "' WHERE name = 'late'");
add_destination($node, 'seen', $receiver->url('/seen'));
send_event($node, { type => 'track', event => 'Seen' }, 'seen');
ok(wait_for_query($node, q{SELECT pending FROM rswebhook.status WHERE destination = 'seen'}, '0'),
    'the worker has seen the change');
$receiver->switch('late', '/ok');
ok(wait_until_sent($node), 'what was in flight is tried again at once');
is(outcomes($node, $late), 'retry 500 1, delivered 200 2', 'at the new URL');

# Nothing is edited, but the receiver works again
foreach my $way ([ 'resumed', q{SELECT rswebhook_resume('resumed')} ], [ 'retried', q{SELECT rswebhook_retry('retried')} ])
{
    my ($name, $sql) = @$way;

    add_destination($node, $name, $receiver->url("/switch/$name"), { %patient, breaker_failures => 3 });
    $receiver->switch($name, '/status/500');
    send_event($node, { type => 'track', userId => "$name $_", event => 'Tried' }, $name) foreach 1 .. 20;
    ok(wait_for_query($node, qq{SELECT breaker, retrying > 0 FROM rswebhook.status WHERE destination = '$name'}, 'open|t'),
        "$name: it is backed off");
    $receiver->switch($name, '/ok');
    query($node, $sql);
    ok(wait_until_sent($node), "$name: all are delivered");
}

# One event
add_destination($node, 'one', $receiver->url('/switch/one'), \%patient);
$receiver->switch('one', '/status/500');
my ($first, $second) = failed('one', 2);
is(query($node, "SELECT rswebhook_retry($second), rswebhook_retry($second, 'moved')"), '1|0', 'one event is tried again');
ok(wait_for('its second attempt', sub { outcomes($node, $second) eq 'retry 500 1, retry 500 2' }), 'which fails');
is(outcomes($node, $first), 'retry 500 1', 'the other one waits');
$receiver->switch('one', '/ok');
is(query($node, q{SELECT rswebhook_retry('one')}), '2', 'both wait for an hour');
ok(wait_until_sent($node), 'and are delivered at once');

is(errors_logged($node), 0, 'no worker has had an error');

$node->stop;
done_testing();
