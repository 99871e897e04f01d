# What never arrived is what a receiver's ledger lacks, what is said of an event is so, and it all adds
# up, after all kinds of failures.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Test::More;

my $receiver = new_receiver();
my $node = new_node('looking');

# Each fails in its own way, but for the first
my %path = (good => '/good', flaky => '/first/2/503/x', bad => '/status/404/bad', late => '/late', stuck => '/status/503/x');
add_destination($node, $_, $receiver->url($path{$_}),
    { min_backoff => '10 ms', max_backoff => '20 ms', breaker_failures => '0', retry_window => '365 days' }) foreach sort keys %path;
query($node, q{UPDATE rswebhook.destination SET paused = true WHERE name = 'late'});
query($node, q{CALL rswebhook.index_events('message_id')});

query($node, qq{SELECT count(rswebhook_send(format('{"messageId": "m%s", "userId": "u%s"}', n, n % 7)::jsonb)) FROM generate_series(1, 40) n});
ok(wait_for_query($node, q{SELECT count(*) FROM rswebhook.queue q JOIN rswebhook.destination d ON d.id = q.destination_id
    WHERE d.name IN ('good', 'flaky', 'bad') OR (d.name = 'stuck' AND q.attempts = 0 AND q.event_id <= 7)}, '0'), 'all that can be is over');
is(query($node, q{SELECT rswebhook_cancel_all('late', user_id => 'u3')}), '6', 'some are cancelled');

# The ledger
my %arrived;
foreach my $request ($receiver->requests)
{
    my ($name) = grep { $path{$_} eq $request->{target} } keys %path;
    my ($message) = $request->{body} =~ /"messageId": ?"(m\d+)"/;

    $arrived{"$name $message"} = 1 if $request->{accepted};
}
my $lacking = join "\n", sort grep { !$arrived{$_} } map { my $name = $_; map { "$name m$_" } 1 .. 40 } keys %path;
my $undelivered = q{SELECT u.destination || ' ' || (e.event ->> 'messageId') FROM rswebhook.undelivered u JOIN rswebhook.event e ON e.id = u.event_id};
is(join("\n", sort split /\n/, query($node, $undelivered)), $lacking, 'what is undelivered is what the receiver has not got');
is(query($node, 'SELECT * FROM rswebhook.balance()'),
    "bad|40|0|40|0|0|0|0|0|0\nflaky|40|40|0|0|0|0|0|0|0\ngood|40|40|0|0|0|0|0|0|0\nlate|40|0|0|0|6|0|0|34|0\nstuck|40|0|0|0|0|0|0|40|0", 'it adds up');
is(query($node, q{SELECT count(*), count(DISTINCT event ->> 'messageId') FROM rswebhook.failed}), '40|40', 'those that failed, with their events');
is(query($node, q{SELECT state || ' ' || attempts || ' ' || coalesce(status, 0) FROM rswebhook.find(message_id => 'm5') WHERE destination <> 'stuck' ORDER BY destination}),
    "aborted 1 404\ndelivered 3 200\ndelivered 1 200\nowed 0 0", 'found by its id');

# Why not yet
my $id = query($node, q{SELECT DISTINCT event_id FROM rswebhook.find(message_id => 'm12')});
my $behind = query($node, q{SELECT DISTINCT event_id FROM rswebhook.find(message_id => 'm5')});
my $why = sub {
    my ($destination, $event) = @_;
    return query($node, sprintf q{SELECT state || ': ' || why FROM rswebhook_explain(%s) WHERE destination = '%s'}, $event // $id, $destination);
};
like($why->('good'), qr/^delivered: delivered at .* with status 200, in [\d.]+ ms$/, 'delivered');
like($why->('bad'), qr/^aborted: given up at .*: HTTP status 404.*; SELECT rswebhook_replay\($id, 'bad'\)$/, 'aborted');
like($why->('late'), qr/^paused: /, 'paused');
like($why->('stuck'), qr/^behind: behind event $behind of the same user, owed since /, 'behind an earlier one');
query($node, q{UPDATE rswebhook.destination SET min_backoff = '1 h', max_backoff = '1 h' WHERE name = 'stuck'});
ok(wait_for_query($node, q{SELECT count(*) FROM rswebhook_explain((SELECT min(event_id) FROM rswebhook.queue)) WHERE destination = 'stuck' AND state = 'retrying'}, '1'), 'one waits for its retry');
like($why->('stuck', query($node, 'SELECT min(event_id) FROM rswebhook.queue')), qr/^retrying: next attempt at .*, attempt \d+, after HTTP status 503/, 'as it says');
my $later = query($node, q{SELECT rswebhook_send('{}', 'good', deliver_after => now() + interval '1 day')});
like($why->('good', $later), qr/^scheduled: to be delivered at /, 'scheduled');
query($node, q{INSERT INTO rswebhook.breaker SELECT id, 16, now(), now() + interval '1 min', 'connection refused' FROM rswebhook.destination WHERE name = 'stuck'});
like($why->('stuck'), qr/^backed off: the destination is backed off since .* after 16 failures: connection refused; the next probe is at /, 'backed off');
query($node, q{UPDATE rswebhook.destination SET rate_limit = 0.001, paused = false, url = replace(url, '/late', '/slow') WHERE name = 'late'});
ok(wait_for_query($node, q{SELECT count(*) FROM rswebhook.delivery WHERE request LIKE '%/slow%' AND outcome = 'delivered'}, '1'), 'one goes');
like($why->('late', query($node, q{SELECT max(event_id) FROM rswebhook.queue q JOIN rswebhook.destination d ON d.id = q.destination_id WHERE d.name = 'late' AND ordering_key IS NOT NULL})),
    qr/^(?:behind|rate limited): /, 'the others wait for it');
my $free = query($node, q{SELECT rswebhook_send('{}', 'late')});
like($why->('late', $free), qr/^rate limited: 3\d events that are owed to the destination are before it, at 0.001 a second$/, 'for its rate');
query($node, 'ALTER SYSTEM SET rswebhook.enabled = off');
query($node, 'SELECT pg_reload_conf()');
ok(wait_for_query($node, "SELECT state FROM rswebhook_explain($free)", 'off'), 'turned off');
query($node, 'ALTER SYSTEM RESET rswebhook.enabled');
query($node, 'SELECT pg_reload_conf()');

# A test through the real path, and a failing one
is(query($node, q{CALL rswebhook_test('good')}) =~ s/^\d+\|(\w+\|\d+)\|.*$/$1/r, 'delivered|200', 'a test event is delivered');
is(query($node, q{CALL rswebhook_test('bad', '{"messageId": "tried"}')}) =~ s/^\d+\|(\w+\|\d+)\|.*$/$1/rs, 'aborted|404', 'or says what is wrong');

# Replayed in pieces: delivered once each, while others are sent
query($node, q{UPDATE rswebhook.destination SET url = replace(url, '/status/404', '') WHERE name = 'bad'});
query($node, q{CALL rswebhook_replay_in_pieces('bad', piece => 7)});
ok(wait_for_query($node, q{SELECT delivered, owed FROM rswebhook.balance() WHERE destination = 'bad'}, '41|0'), 'what was replayed is delivered');
is(query($node, q{SELECT done, ended_at IS NOT NULL FROM rswebhook.progress}), '41|t', 'as the progress says');
is(query($node, q{SELECT count(*) FROM rswebhook.failed WHERE destination = 'bad'}), '0', 'nothing has failed any more');
my %times;
$times{ $_->{body} =~ /"messageId": ?"(\w+)"/ ? $1 : '?' }++ foreach grep { $_->{accepted} } $receiver->requests_to('/bad');
is(join(' ', sort { $a <=> $b } values %times), join(' ', (1) x 41), 'each once');

$node->stop;
done_testing();
