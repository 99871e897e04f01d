# Alerts are recorded with what they are about: whatever dies in between, each event that is given up counts once,
# a destination that fails is one row, and events about that are sent as often as somebody was to be told.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use JSON::PP;
use RswebhookTest;
use Test::More;

my $users = 40;
my $receiver = new_receiver();
my $node = new_node('alerts_crash',
    conf => "restart_after_crash = on\nrswebhook.alert_failures = 20\nrswebhook.alert_interval = '1d'\n");
my %fast = (min_backoff => '10 ms', max_backoff => '50 ms', retry_window => '1 h', breaker_failures => 0);

add_destination($node, 'pager', $receiver->url('/pager'), { types => '{rswebhook.alert}' });
add_destination($node, 'refuses', $receiver->url('/jitter/10/status/404'));
$receiver->switch('down', '/status/503');
add_destination($node, 'down', $receiver->url('/switch/down'), { %fast });

my $sent = 0;
foreach my $round (1 .. 3)
{
    query($node, qq{
        SELECT rswebhook_send(format('{"type": "track", "userId": "u%s"}', n)::jsonb, d)
        FROM generate_series(1, 4 * $users) n, unnest('{refuses}'::text[]) d});
    query($node, qq{SELECT rswebhook_send('{"type": "track", "userId": "u$round"}', 'down')});
    $sent += 4 * $users;
    ok(wait_for_query($node, qq{
            SELECT count(*) > $sent - 3 * $users FROM rswebhook.delivery WHERE outcome = 'aborted'}, 't'), "some are given up: $round");
    kill_process($node, $_) foreach grep { defined } worker_of($node, 'refuses');
    ok(wait_for('the server', sub { is_there($node) }), "the server is there: $round");
}
ok(wait_for_query($node, q{SELECT count(*) FROM rswebhook.queue q JOIN rswebhook.destination d ON d.id = q.destination_id WHERE d.name = 'refuses'}, '0'),
    'all are given up');
is(query($node, q{
    SELECT count(*), sum(count) = (SELECT count(*) FROM rswebhook.delivery WHERE outcome = 'aborted') FROM rswebhook.alert WHERE kind = 'event aborted'}),
    '1|t', 'one row has counted each once');
cmp_ok(query($node, q{SELECT count(*) FROM rswebhook.delivery WHERE outcome = 'aborted'}), '>=', $sent, 'as many as were sent');

ok(wait_for_query($node, q{SELECT count(*) FROM rswebhook.alert WHERE kind = 'destination failing' AND destination = 'down' AND open}, '1'), 'a destination fails');
kill_process($node, $_) foreach grep { defined } worker_of($node, 'down');
my $attempts = query($node, q{SELECT count(*) FROM rswebhook.delivery WHERE status = 503});
ok(wait_for_query($node, qq{SELECT count(*) > $attempts + 30 FROM rswebhook.delivery WHERE status = 503}, 't'), 'it goes on to fail');
is(query($node, q{SELECT count(*), sum(count) FROM rswebhook.alert WHERE kind = 'destination failing' AND destination = 'down'}), '1|1', 'which is not told again');
kill_process($node, $_) foreach grep { defined } worker_of($node, 'down');
$receiver->switch('down', '/ok');
ok(wait_until_sent($node), 'it recovers');
is(query($node, q{SELECT kind || ' ' || count || ' ' || open FROM rswebhook.alert WHERE destination = 'down' ORDER BY id}),
    "destination failing 1 false\ndestination recovered 1 false", 'after a crash as well');

my %told = map { $_->{headers}{'webhook-id'} => decode_json($_->{body})->{properties} } $receiver->requests_to('/pager');
is(join(', ', sort map { "$_->{destination} $_->{kind}" } values %told),
    'down destination failing, down destination recovered, refuses destination failing, refuses event aborted',
    'each was told by one event');

done_testing();
