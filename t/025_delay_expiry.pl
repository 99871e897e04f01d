# Events that are not to be sent before a time, and those that are not to be
# sent after one.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Test::More;

my $receiver = new_receiver();
my $node = new_node('delay');

#
# deliver_after
#
add_destination($node, 'delay', $receiver->url('/delayed'));
# late enough for the look at those that do not wait
my $at = query($node, q{SELECT clock_timestamp() + interval '5 s'});
query($node, qq{
    SELECT count(rswebhook_send(jsonb_build_object('type', 'track', 'messageId', 'same-' || n,
        'userId', 'u' || n % 50), 'delay', deliver_after => '$at'))
    FROM generate_series(1, 2000) AS n;
    SELECT count(rswebhook_send(jsonb_build_object('type', 'track', 'messageId', 'step-' || n,
        'userId', 'u' || n % 50), 'delay',
        deliver_after => timestamptz '$at' + (10 - n) * interval '100 ms'))
    FROM generate_series(1, 10) AS n;
    SELECT rswebhook_send('{"type": "track", "userId": "u1", "messageId": "now"}', 'delay');
    SELECT rswebhook_send('{"type": "track", "userId": "u1", "messageId": "past"}', 'delay',
                          deliver_after => now() - interval '1 day');
    SELECT rswebhook_send('{"type": "track", "userId": "u1", "messageId": "far"}', 'delay',
                          deliver_after => now() + interval '1 year')});
ok( wait_for_query($node, q{SELECT count(*) FROM rswebhook.delivery}, '2'),
    'those of the same user that have no time to wait for do not wait for the others');
ok(wait_for_query($node, q{SELECT count(*) FROM rswebhook.queue}, '1'), 'all others are sent in time');
ok(wait_for_query($node, q{SELECT pending, scheduled FROM rswebhook.status}, '1|1'), 'the view shows how many wait, once things are still');
is(query($node, q{
        SELECT count(*) FROM rswebhook.delivery AS v JOIN rswebhook.event AS e ON e.id = v.event_id
        WHERE e.event ->> 'messageId' LIKE 'same-%' AND v.started_at < '} . $at . q{'}),
    '0', 'none before its time');
# which all that are due at once put off
is(query($node, qq{
        SELECT count(*), bool_and(v.started_at - timestamptz '$at' - (10 - split_part(e.event ->> 'messageId', '-', 2)::int)
                        * interval '100 ms' BETWEEN '0 s' AND '3 s' + (SELECT max(started_at) - '$at' FROM rswebhook.delivery
                            JOIN rswebhook.event ON event.id = event_id WHERE event ->> 'messageId' LIKE 'same-%'))
        FROM rswebhook.delivery AS v JOIN rswebhook.event AS e ON e.id = v.event_id
        WHERE e.event ->> 'messageId' LIKE 'step-%'}),
    '10|t', 'each at its own');
my (%last, $out_of_order);
foreach (grep { $_->{headers}{'webhook-id'} =~ /^same-/ } $receiver->requests)
{
    my ($n) = $_->{headers}{'webhook-id'} =~ /(\d+)/;

    $out_of_order++ if ($last{ $n % 50 } // 0) > $n;
    $last{ $n % 50 } = $n;
}
is($out_of_order // 0, 0, 'those of one time keep their order');

# The worker is not there when the time comes, or comes later
$at = query($node, q{SELECT clock_timestamp() + interval '1 s'});
query($node, qq{
    SELECT count(rswebhook_send(jsonb_build_object('type', 'track', 'messageId', 'down-' || n,
        'userId', 'u' || n % 50), 'delay', deliver_after => '$at'::timestamptz + n % 2 * interval '2 s'))
    FROM generate_series(1, 1000) AS n});
$node->stop;
pass_time(1);
$node->start;
ok(wait_for_query($node, q{SELECT count(*) FROM rswebhook.queue}, '1'), 'a restart forgets none');
is(query($node, qq{
        SELECT count(*), bool_and(v.started_at >= timestamptz '$at' + split_part(e.event ->> 'messageId', '-', 2)::int % 2 * interval '2 s')
        FROM rswebhook.delivery AS v JOIN rswebhook.event AS e ON e.id = v.event_id
        WHERE e.event ->> 'messageId' LIKE 'down-%'}),
    '1000|t', 'none before its time');

# A nearer time that is named later
query($node, q{
    SELECT rswebhook_send('{"type": "track", "userId": "u", "messageId": "near"}', 'delay',
                          deliver_after => now() + interval '300 ms')});
ok(wait_for_query($node, q{SELECT count(*) FROM rswebhook.queue}, '1'), 'a nearer time comes first');
query($node, 'DELETE FROM rswebhook.queue');

# One that is due does not overtake what its user was owed before and has not
# been read yet, in a backlog that takes longer
add_destination($node, 'slow', $receiver->url('/slow'), { rate_limit => 60, max_in_flight => 1 });
query($node, q{
    SELECT rswebhook_send('{"type": "track", "userId": "other", "messageId": "slow-due"}', 'slow',
                          deliver_after => now() + interval '300 ms');
    SELECT count(rswebhook_send(jsonb_build_object('type', 'track', 'messageId', 'slow-' || n,
        'userId', 'b' || n), 'slow')) FROM generate_series(1, 200) AS n;
    SELECT rswebhook_send('{"type": "track", "userId": "x", "messageId": "slow-first"}', 'slow');
    SELECT rswebhook_send('{"type": "track", "userId": "x", "messageId": "slow-second"}', 'slow',
                          deliver_after => now() + interval '400 ms')});
ok(wait_until_sent($node), 'a backlog with some that are delayed is sent');
my @slow = map { $_->{headers}{'webhook-id'} } $receiver->requests_to('/slow');
is("@{[grep { /^slow-(first|second)$/ } @slow]}", 'slow-first slow-second',
    'none overtakes those of its user that it was sent after');
isnt($slow[-1], 'slow-due', 'a time is kept to though there is a backlog');

#
# expires_after
#
my %slow = (min_backoff => '300 ms', max_backoff => '300 ms', breaker_failures => 0);
my $sql = q{SELECT rswebhook_send('{"type": "track", "userId": "%s", "messageId": "%s"}', '%s', expires_after => %s)};
add_destination($node, 'fails', $receiver->url('/status/500'), \%slow);
add_destination($node, 'perishable', $receiver->url('/status/500'), { %slow, expires_after => '3 s' });
my $own = query($node, sprintf $sql, 'a', 'own', 'fails', q{'3 s'});
my $theirs = query($node, sprintf $sql, 'a', 'theirs', 'perishable', 'NULL');
my $longer = query($node, sprintf $sql, 'b', 'longer', 'perishable', q{'1 h'});
foreach my $case ([ $own, 'of the event' ], [ $theirs, 'of the destination' ])
{
    my ($id, $what) = @$case;

    ok( wait_for_query($node, qq{
            SELECT outcome, error, started_at >= (SELECT created_at FROM rswebhook.event WHERE id = $id) + interval '3 s'
            FROM rswebhook.delivery WHERE event_id = $id AND outcome <> 'retry'},
            'aborted|the event expired before it could be delivered|t'),
        "expires_after $what");
    is(query($node, qq{SELECT count(*) BETWEEN 2 AND 14 FROM rswebhook.delivery WHERE event_id = $id}),
        't', "expires_after $what: it was tried until then");
}
is(query($node, qq{SELECT count(*) FROM rswebhook.queue WHERE event_id = $longer}), '1',
    'the event\'s own comes before the destination\'s');

# What expires while it waits behind another one, or while the destination is paused
add_destination($node, 'paused', $receiver->url('/late'), { %slow, paused => 'true' });
query($node, sprintf $sql, 'a', 'expired', 'paused', q{'100 ms'});
query($node, sprintf $sql, 'a', 'fresh', 'paused', 'NULL');
pass_time(0.2);
query($node, q{SELECT rswebhook_resume('paused')});
ok( wait_for_query($node, q{
        SELECT string_agg(outcome, ' ' ORDER BY event_id) FROM rswebhook.delivery
        WHERE destination_id = (SELECT id FROM rswebhook.destination WHERE name = 'paused')},
        'aborted delivered'),
    'an event that expires in a pause is not sent, the next one is');

done_testing();
