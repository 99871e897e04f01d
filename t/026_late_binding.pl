# URL, headers and policy are those of the moment of the attempt; the queue
# outlives whatever is done to its destination.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Test::More;

my $receiver = new_receiver();
my $node = new_node('binding', conf => "wal_level = logical\nmax_wal_senders = 4\n");
my %later = (min_backoff => '1 s', max_backoff => '1 s', breaker_failures => 0, max_in_flight => 100);
my $sent = 0;

#
# Nobody waits for a time-out that was too long
#
add_destination($node, 'hangs', $receiver->url('/hang'), { timeout => '1 h', connect_timeout => '1 h', low_speed_time => '1 h', max_in_flight => 3 });
send_many('hangs', 5);
ok(wait_for_query($node, q{SELECT in_flight FROM rswebhook.status WHERE destination = 'hangs'}, '3'), 'requests hang');
query($node, q{UPDATE rswebhook.destination SET timeout = '2 h'::interval - '1 h'::interval WHERE name = 'hangs'});
query($node, q{UPDATE rswebhook.destination SET timeout = '300 ms' WHERE name = 'hangs'});
ok( wait_for_query($node, q{
        SELECT count(DISTINCT event_id) || ' ' || string_agg(DISTINCT regexp_replace(error, '[0-9]+ milli.*', ''), ' ') FROM rswebhook.delivery},
        '5 waiting for an answer: Operation timed out after '), 'a shorter time-out holds for these, too');
query($node, q{SELECT rswebhook_pause('hangs')});
query($node, 'TRUNCATE rswebhook.queue');

#
# A thousand retries wait; the URL changes.  They wait for long enough that a busy
# machine makes all first attempts before the first retry, which would go first.
#
add_destination($node, 'moves', $receiver->url('/status/500/old'),
    { %later, min_backoff => '15 s', max_backoff => '15 s', headers => '{"x-token": "old"}' });
send_many('moves', 1000);
ok( wait_for_query($node, q{SELECT count(*) FROM rswebhook.queue WHERE attempts > 0}, '1000'),
    'a thousand wait for their retry');
my $url = $receiver->url('/new');
query($node, qq{
    UPDATE rswebhook.destination SET url = '$url', method = 'PUT', headers = '{"x-token": "new"}'
    WHERE name = 'moves'});
my $before = $receiver->requests_to('/status/500/old');
ok(wait_until_sent($node), 'they are delivered');
my @moved = $receiver->requests_to('/new');
is(scalar @moved, 1000, 'to the new URL');
is((grep { $_->{headers}{'x-token'} ne 'new' || $_->{method} ne 'PUT' } @moved) + 0, 0,
    'with the new headers and the new method');

# What was under way when it changed may still go to the old one.
cmp_ok($receiver->requests_to('/status/500/old') - $before, '<=', 100, 'and no more to the old one');

#
# Policy, too
#
add_destination($node, 'policy', $receiver->url('/status/500/policy'),
    { %later, min_backoff => '100 ms', max_backoff => '100 ms', retry_window => '1 h' });
send_many('policy', 3);
ok(wait_for_query($node, q{SELECT min(attempts) >= 2 FROM rswebhook.queue}, 't'), 'some are tried again and again');
query($node, q{
    UPDATE rswebhook.destination SET retry_window = '0', min_attempts = 1 WHERE name = 'policy'});
ok(wait_until_sent($node), 'until the policy changes');
is(query($node, q{SELECT count(*) FROM rswebhook.delivery WHERE outcome = 'aborted'}), '3', 'they are given up');

#
# Paused, disabled, renamed
#
add_destination($node, 'halts', $receiver->url('/halts'));
foreach my $way (
    [ 'paused', q{SELECT rswebhook_pause('halts')}, q{SELECT rswebhook_resume('halts')} ],
    [ 'disabled', q{UPDATE rswebhook.destination SET enabled = false WHERE name = 'halts'},
        q{UPDATE rswebhook.destination SET enabled = true WHERE name = 'halts'} ])
{
    my ($state, $halt, $go_on) = @$way;
    my $arrived = $receiver->requests_to('/halts');

    # sent before, but not visible before
    query($node, 'BEGIN; ' . sending('halts', 100) . "; $halt; COMMIT");
    is(query($node, q{SELECT state FROM rswebhook.status WHERE destination = 'halts'}), $state, "$state: the view says so");
    # something else is delivered meanwhile
    send_many('moves', 10);
    ok( wait_for_query($node, q{SELECT pending FROM rswebhook.status WHERE destination = 'moves'}, '0'),
        "$state: others go on");
    is($receiver->requests_to('/halts') + 0, $arrived + 0, "$state: nothing is sent");
    is(query($node, q{SELECT pending FROM rswebhook.status WHERE destination = 'halts'}), '100', "$state: the queue is kept");
    if ($state eq 'paused')
    {
        $node->restart;
        ok(await_workers($node), 'a restart');
        query($node, q{UPDATE rswebhook.destination SET name = 'renamed' WHERE name = 'halts'});
        query($node, q{UPDATE rswebhook.destination SET name = 'halts' WHERE name = 'renamed'});
        is($receiver->requests_to('/halts') + 0, $arrived + 0, 'a new name and a restart change nothing');
    }
    query($node, $go_on);
    ok( wait_for_query($node, q{SELECT pending FROM rswebhook.status WHERE destination = 'halts'}, '0'),
        "$state: it goes on");
    is($receiver->requests_to('/halts') - $arrived, 100, "$state: all are delivered");
}

query($node, q{UPDATE rswebhook.destination SET name = 'renamed', paused = true WHERE name = 'halts'});
send_many('renamed', 10);
query($node, q{UPDATE rswebhook.destination SET name = 'again' WHERE name = 'renamed'});
query($node, q{SELECT rswebhook_resume('again')});
ok( wait_for_query($node, q{SELECT pending FROM rswebhook.status WHERE destination = 'again'}, '0'),
    'a destination with a new name is the same one');

#
# Deleted: what it was owed is given up, and that is written down.
#
add_destination($node, 'goes', $receiver->url('/status/500/goes'), { %later, min_backoff => '1 h', max_backoff => '1 h' });
send_many('goes', 300);
ok( wait_for_query($node, q{SELECT count(*) FROM rswebhook.queue WHERE attempts > 0}, '300'),
    'three hundred are owed to a destination');
query($node, q{
    SELECT rswebhook_send('{"type": "track", "userId": "u", "messageId": "much-later"}', 'goes',
                          deliver_after => now() + interval '1 year')});
my $id = query($node, q{DELETE FROM rswebhook.destination WHERE name = 'goes' RETURNING id});
ok(wait_until_sent($node), 'nothing is owed when it is deleted');
is(query($node, qq{
        SELECT count(*), count(DISTINCT event_id), min(attempt), max(attempt)
        FROM rswebhook.delivery WHERE outcome = 'aborted' AND error = 'destination was deleted' AND destination_id = $id}),
    '301|301|0|1', 'each has a row that says so');

# Even when it was paused, or is owed something by a transaction that commits later
query($node, qq{
    BEGIN;
    INSERT INTO rswebhook.destination (name, url, paused) VALUES ('brief', 'http://127.0.0.1/', true);
    SELECT rswebhook_send('{"type": "track", "userId": "u", "messageId": "brief"}', 'brief');
    DELETE FROM rswebhook.destination WHERE name = 'brief';
    COMMIT});
ok(wait_until_sent($node), 'a destination that was gone at once');
is(query($node, q{
        SELECT v.outcome, v.error FROM rswebhook.delivery AS v JOIN rswebhook.event AS e ON e.id = v.event_id
        WHERE e.event ->> 'messageId' = 'brief'}),
    'aborted|destination was deleted', 'leaves a row, too');

#
# Changes that fire no ordinary trigger
#
add_destination($node, 'replica', $receiver->url('/replica/old'));
send_many('replica', 1);
ok(wait_until_sent($node), 'a destination is known');
my $new_url = $receiver->url('/replica/new');
foreach my $case (
    [ 'UPDATE', "UPDATE rswebhook.destination SET url = '$new_url' WHERE name = 'replica'" ],
    [ 'DELETE', q(DELETE FROM rswebhook.destination WHERE name = 'replica') ],
    [ 'INSERT', "INSERT INTO rswebhook.destination (name, url) VALUES ('replica', '$new_url')" ],
    [ 'TRUNCATE', 'TRUNCATE rswebhook.destination' ])
{
    my ($command, $sql) = @$case;
    my $old = $receiver->requests_to('/replica/old');
    my $new = $receiver->requests_to('/replica/new');

    $sql = "BEGIN; SET LOCAL session_replication_role = replica; $sql; COMMIT";
    if ($command eq 'DELETE' || $command eq 'TRUNCATE')
    {
        my (undef, undef, $error) = $node->psql('postgres', join('; ', sending('replica', 1), $sql, sending('replica', 1)));
        like($error, qr/destination "replica" does not exist/, "session_replication_role = replica: $command is known to a sender");
        ok(wait_until_sent($node), 'and to the worker');
        next;
    }
    query($node, $sql);
    send_many('replica', 1);
    ok(wait_until_sent($node), "session_replication_role = replica: after $command");
    is($receiver->requests_to('/replica/old') - $old, 0, 'nothing goes to the old URL');
    is($receiver->requests_to('/replica/new') - $new, 1, 'but to the new one');
}

# Logical replication, which is another such session, fires triggers for rows only
query($node, 'CREATE DATABASE subscriber');
query($node, 'CREATE EXTENSION rswebhook', 'subscriber');
query($node, q{
    CREATE PUBLICATION p FOR TABLE rswebhook.destination;
    SELECT pg_create_logical_replication_slot('p', 'pgoutput')});
query($node, "CREATE SUBSCRIPTION s CONNECTION '" . $node->connstr('postgres') =~ s/'/''/gr
      . q{' PUBLICATION p WITH (create_slot = false, slot_name = 'p', copy_data = false)}, 'subscriber');
add_destination($node, 'published', $receiver->url('/published/old'));
my $published = q{SELECT count(rswebhook_send('{"type": "track"}', name)) FROM rswebhook.destination};
ok(wait_for_query($node, $published, '1', undef, 'subscriber'), 'a destination is replicated');
ok(wait_until_sent($node, 'subscriber'), 'and known');
my $published_url = $receiver->url('/published/new');
query($node, "UPDATE rswebhook.destination SET url = '$published_url'");
ok( wait_for_query($node, q{SELECT count(*) FROM rswebhook.destination WHERE url LIKE '%new'}, '1', undef, 'subscriber'),
    'its new URL, too');
my $to_old = $receiver->requests_to('/published/old');
query($node, $published, 'subscriber');
ok(wait_until_sent($node, 'subscriber'), 'the worker sends');
is($receiver->requests_to('/published/old') - $to_old, 0, 'not to the old URL');
is($receiver->requests_to('/published/new') + 0, 1, 'but to the new one');
query($node, 'DROP SUBSCRIPTION s', 'subscriber');

done_testing();

sub send_many
{
    query($node, sending(@_));
    return;
}

sub sending
{
    my ($destination, $number) = @_;
    my $first = $sent + 1;

    $sent += $number;
    return qq{
        SELECT count(rswebhook_send(jsonb_build_object('type', 'track', 'messageId', 'late-' || n,
            'userId', 'u' || n), '$destination'))
        FROM generate_series($first, $sent) AS n};
}
