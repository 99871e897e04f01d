# Very many are replayed in pieces that commit by themselves, while others are delivered; if that is
# cancelled, or the server dies, what was done stays done, the same call goes on, and it all adds up.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Session;
use Test::More;

my $count = 3000;
my $receiver = new_receiver();
my $node = new_node('pieces', conf => "restart_after_crash = on\n");

add_destination($node, 'bad', $receiver->url('/status/404/bad'), { max_in_flight => '100' });
add_destination($node, 'good', $receiver->url('/good'));
query($node, qq{SELECT count(rswebhook_send(format('{"messageId": "m%s", "userId": "u%s", "event": "e%s"}', n, n % 50, n % 2)::jsonb, 'bad')) FROM generate_series(1, $count) n});
ok(wait_until_sent($node), 'all have failed');
is(query($node, q{SELECT aborted, owed FROM rswebhook.balance() WHERE destination = 'bad'}), "$count|0", 'they are given up');
query($node, q{UPDATE rswebhook.destination SET url = replace(url, '/status/404', '') WHERE name = 'bad'});

my $progress = q{SELECT done FROM rswebhook.progress ORDER BY started_at DESC LIMIT 1};
my $replay = q{CALL rswebhook_replay_in_pieces('bad', piece => 5, per_second => 10)};
my $replaying = sub {
    my $session = Session->new($node);
    my $before = query($node, 'SELECT count(*) FROM rswebhook.progress');

    $session->start("SET application_name = 'replaying'; $replay");
    ok(wait_for_query($node, qq{SELECT count(*) > $before AND coalesce(($progress), 0) > 10 FROM rswebhook.progress}, 't'), 'it is at work');
    return $session;
};

# Others go meanwhile, and see what is done
my $session = $replaying->();
my $sent = send_event($node, { type => 'track', messageId => 'beside' }, 'good');
ok(wait_for('the event', sub { scalar $receiver->requests_to('/good') }), 'another event goes');
is(query($node, qq{SELECT ($progress) < $count, (SELECT count(*) FROM pg_stat_activity WHERE application_name = 'replaying' AND state = 'active')}), 't|1', 'while it is at work');
cmp_ok(query($node, q{SELECT max(now() - xact_start) < interval '5 s' FROM pg_stat_activity WHERE application_name = 'replaying'}), 'eq', 't', 'in short transactions');
ok(!$session->finished, 'it has not ended');

# Cancelled
query($node, q{SELECT pg_cancel_backend(pid) FROM rswebhook.progress WHERE ended_at IS NULL});
ok(!eval { $session->finish; 1 }, 'it is cancelled');
$session->close;
my $done = query($node, $progress);
cmp_ok($done, '<', $count, 'before its end');
is(query($node, q{SELECT count(*) FROM rswebhook.progress WHERE ended_at IS NOT NULL}), '0', 'as the progress says');

# Dead, in the middle of it
$session = $replaying->();
kill_process($node, worker_of($node, 'bad'));
eval { $session->finish };
ok(wait_for('the server', sub { ($node->psql('postgres', 'SELECT 1'))[0] == 0 }), 'the server is there again');
await_workers($node);
eval { $session->close };
$done += query($node, $progress);
cmp_ok($done, '<', $count, 'something is left');

# To the end
query($node, q{CALL rswebhook_replay_in_pieces('bad')});
is($done + query($node, $progress), $count, 'the rest, and none twice');
ok(wait_until_sent($node), 'all are sent');
is(query($node, 'SELECT * FROM rswebhook.balance()'), "bad|$count|$count|0|0|0|0|0|0|0\ngood|1|1|0|0|0|0|0|0|0", 'it adds up');
is(query($node, 'SELECT count(*) FROM rswebhook.undelivered'), '0', 'nothing is undelivered');
my %arrived = map { $_->{body} =~ /"messageId": ?"(m\d+)"/ ? ($1 => 1) : () } grep { $_->{accepted} } $receiver->requests_to('/bad');
is(scalar(keys %arrived), $count, 'and the receiver has them all');

# Cancelling likewise
query($node, q{SELECT rswebhook_pause('bad'); SELECT rswebhook_replay_all('bad', outcome => 'delivered')});
query($node, q{CALL rswebhook_cancel_in_pieces('bad', event_name => 'e1', piece => 100)});
is(query($node, qq{SELECT ($progress), count(*) FROM rswebhook.queue}), join('|', $count / 2, $count / 2), 'some of many are cancelled in pieces');
is(query($node, q{SELECT cancelled, owed, unaccounted FROM rswebhook.balance() WHERE destination = 'bad'}), join('|', $count / 2, $count / 2, 0), 'and accounted for');

$node->stop;
done_testing();
