# One event that is owed for long keeps nobody else's: the others of its part of the
# ring go once they are past the retention, however large it is and whoever reads;
# and what is owed to a destination that is paused or disabled expires.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Test::More;

my $receiver = new_receiver();
my $node = new_node('pinned', conf => "log_min_messages = debug1\nmax_prepared_transactions = 5\n");
my $many = 5000;

add_destination($node, 'good', $receiver->url('/ok'));
add_destination($node, 'paused', $receiver->url('/ok'), { paused => 't' });
add_destination($node, 'disabled', $receiver->url('/ok'));

# ---------------------------------------------------------------------
# Events of a month ago, one of which is owed; and one more that was sent today, as
# the ring has turned
# ---------------------------------------------------------------------
my $slot = query($node, 'SELECT rswebhook.ring_slot(now())');
my $owed = send_event($node, { type => 'track' }, 'paused');
query($node, qq{
    INSERT INTO rswebhook.event (id, slot, created_at, event)
        SELECT nextval('rswebhook.event_id_seq'), $slot, now(), '{"type": "track"}' FROM generate_series(2, $many);
    UPDATE rswebhook.event SET created_at = now() - interval '30 days'});
my $old = query($node, 'SELECT max(id) FROM rswebhook.event');
my ($first_replayed, $second_replayed) = ($owed + 7, $owed + $many / 2);
send_event($node, { type => 'track' }, 'paused');
send_event($node, { type => 'track' }, 'good');
ok(wait_until_sent_to('good'), 'an event of today');
is(query($node, 'SELECT oldest_slot, date_trunc(\'day\', oldest_event) FROM rswebhook.status WHERE destination = \'good\''),
    "$slot|30 days", 'the status shows the oldest part');

# One is being replayed, and so is another by a transaction that is prepared; somebody reads
my $replaying = $node->background_psql('postgres');
$replaying->query_safe(qq{BEGIN; SELECT rswebhook_replay($first_replayed, 'paused')});
query($node, qq{BEGIN; SELECT rswebhook_replay($second_replayed, 'paused'); PREPARE TRANSACTION 'replay'});
my $reader = $node->background_psql('postgres');
$reader->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM rswebhook.event');

my $log = -s $node->logfile;
start_new_workers();
ok(wait_for_query($node, "SELECT count(*) FROM rswebhook.event WHERE id <= $old", 3), 'events that are not owed go');
is(query($node, qq{SELECT string_agg(id::text, ' ' ORDER BY id) FROM rswebhook.event WHERE id <= $old}),
    "$owed $first_replayed $second_replayed", 'that which is owed stays, and so do those that are being replayed');
is(query($node, "SELECT count(*) FROM rswebhook.event WHERE id > $old"), 2, 'and those of today');
is($reader->query_safe('SELECT count(*) FROM rswebhook.event'), $many + 2, 'who reads sees what there was');
$reader->query_safe('COMMIT');
$reader->quit;
$replaying->query_safe('COMMIT');
$replaying->quit;
query($node, q{COMMIT PREPARED 'replay'});

ok(wait_for('the log', sub { logged($node, $log) =~ /DETAIL: +The oldest/ }), 'the log says what keeps it');
like(logged($node, $log), qr/rswebhook deleted @{[$many - 3]} events from "?rswebhook\.event_$slot"?/, 'and what went');
like(logged($node, $log), qr/rswebhook keeps events in "rswebhook\.event_$slot" that are past the retention, since they are owed to 1 destination\b/,
    'in which part');
like(logged($node, $log), qr/is owed to destination "paused", which is paused\./, 'and why');
my $rounds = rounds();
foreach (1 .. 3)
{
    $node->reload;
    last unless ok(wait_for('a round', sub { rounds() > $rounds }), 'it is looked again');
    $rounds = rounds();
}
is(scalar(() = logged($node, $log) =~ /rswebhook keeps events/g), 1, 'it is not said each time');

# What was replayed can be sent
query($node, q{SELECT rswebhook_resume('paused')});
ok(wait_until_sent_to('paused'), 'all that is owed is sent');
is(query($node, qq{SELECT count(*) FROM rswebhook.delivery WHERE event_id <= $old AND outcome = 'delivered'}), 3,
    'with what it is about');
start_new_workers();
ok(wait_for_query($node, "SELECT count(*) FROM rswebhook.event WHERE id <= $old", 0), 'then the last ones go');

# ---------------------------------------------------------------------
# Expiry at rest
# ---------------------------------------------------------------------
query($node, q{SELECT rswebhook_pause('paused')});
query($node, qq{SELECT count(rswebhook_send(jsonb_build_object('type', 'track', 'userId', 'u' || n % 100), d.name))
    FROM generate_series(1, $many) n, (VALUES ('paused'), ('disabled')) AS d (name)
    WHERE rswebhook_pause(d.name) IS NOT NULL});
query($node, q{SELECT rswebhook_send('{"type": "track"}', d, expires_after => '1 day') FROM unnest(ARRAY['paused', 'disabled']) d;
    UPDATE rswebhook.queue SET queued_at = queued_at - interval '2 hours';
    UPDATE rswebhook.destination SET expires_after = '1 hour' WHERE name IN ('paused', 'disabled');
    UPDATE rswebhook.destination SET enabled = false, paused = false WHERE name = 'disabled'});
my $locker = $node->background_psql('postgres');
$locker->query_safe(q{BEGIN; SELECT FROM rswebhook.queue ORDER BY event_id LIMIT 1 FOR UPDATE});
$node->reload;
ok(wait_for_query($node, 'SELECT count(*) FROM rswebhook.queue', 3), 'they expire in a pause, and while they are disabled');
is(query($node, q{SELECT count(*), min(outcome), max(outcome), min(error), max(attempt) FROM rswebhook.delivery WHERE error ~ 'expired'}),
    2 * $many - 1 . '|aborted|aborted|the event expired before it could be delivered|0', 'recorded as any that expire');
is(query($node, q{SELECT sum(aborted) FROM rswebhook.status}), 2 * $many - 1, 'and counted');
$locker->query_safe('COMMIT');
$locker->quit;
$node->reload;
ok(wait_for_query($node, 'SELECT count(*) FROM rswebhook.queue', 2), 'so does one that somebody had locked');
send_event($node, { type => 'track', userId => 'u1' }, 'paused');
query($node, q{SELECT rswebhook_resume('paused')});
ok(wait_until_sent_to('paused'), 'what has not expired is sent afterwards');

done_testing();

sub wait_until_sent_to
{
    my ($name) = @_;

    return wait_for_query($node,
        qq{SELECT count(*) FROM rswebhook.queue WHERE destination_id = rswebhook.destination_id('$name')}, 0);
}

sub rounds
{
    return times_logged($node, qr/looked for rows past the retention/);
}

sub start_new_workers
{
    my $old = worker_pids($node);

    query($node, "SELECT pg_terminate_backend(pid::integer) FROM regexp_split_to_table('$old', ' ') AS pid");
    return await_others($node, $old);
}
