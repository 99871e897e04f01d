# Retention: a slot of the rings is emptied once its newest row is past the
# retention, but never while something in it is owed, and never at the price of
# a send that waits.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Session;
use Test::More;

my $receiver = new_receiver();
my $node = new_node('retention', conf => "log_min_messages = debug1\nlog_lock_waits = on\ndeadlock_timeout = '5 ms'\n");

add_destination($node, 'good', $receiver->url('/ok'));
add_destination($node, 'paused', $receiver->url('/ok'), { paused => 't' });

# The last slot is looked at last: not for what is to be seen, but as the sign
# that the others have been
my $current;
foreach my $days (7, 6, 5)
{
    query($node, "ALTER SYSTEM SET rswebhook.retention = '${days}d'");
    query($node, 'SELECT pg_reload_conf()');
    wait_for_query($node, 'SHOW rswebhook.retention', "${days}d");
    $current = query($node, 'SELECT rswebhook.ring_slot(now())');
    last if $current != 9;
}

send_event($node, { type => 'track', userId => 'a' }, 'good');
send_event($node, { type => 'track', userId => 'b' }, 'paused');
ok( wait_for_query($node, 'SELECT count(*) FROM rswebhook.delivery', '1'),
    'one event is delivered, the other is owed');

look_at_all_slots();
is(rows('event'), '2', 'young events stay');
is(rows('delivery'), '1', 'young deliveries stay');

query($node, q{
    UPDATE rswebhook.event SET created_at = now() - interval '15 days';
    UPDATE rswebhook.delivery SET started_at = now() - interval '15 days'});
look_at_all_slots();
is(rows('event'), '1', 'of a slot in which an event is owed that is kept, however old');
is(rows('delivery'), '0', 'old deliveries go');

# Nothing is owed, but somebody reads there, as pg_dump does for hours. The
# worker leaves the slot alone and goes on with its work.
query($node, q{SELECT rswebhook_cancel_all('paused')});
query($node, 'TRUNCATE rswebhook.delivery');
my $since = -s $node->logfile;
my $reader = $node->background_psql('postgres');
$reader->query_safe("BEGIN; SELECT count(*) FROM ONLY rswebhook.event_$current");
start_new_workers();
my ($status) = $node->psql('postgres',
    q{SET statement_timeout = '1 min'; SELECT rswebhook_send('{"type": "track", "userId": "c"}', 'good')});
is($status, 0, 'a send does not wait for the reader');
ok(wait_until_sent($node), 'deliveries go on beside a reader');
is(rows('event'), '2', 'what is being read is not emptied');

# Nor does that hold up other slots, or the other ring
query($node, qq{
    INSERT INTO rswebhook.event (id, slot, created_at, event)
    SELECT nextval('rswebhook.event_id_seq'), 9, now() - interval '1 year', '"mark"';
    UPDATE rswebhook.event SET created_at = now() - interval '15 days' WHERE slot = $current;
    UPDATE rswebhook.delivery SET started_at = now() - interval '15 days'});
start_new_workers();
ok(wait_for_query($node, 'SELECT count(*) FROM rswebhook.event_9', '0'), 'other slots are emptied beside a reader');
is(rows('delivery'), '0', 'so is the other ring');
is(rows('event'), '2', 'what is being read is still there');
ok(wait_for('the end of the round', sub { next_look() == 10 }), 'it is tried again soon');

# A lock that cannot be had is not waited for: whoever comes after us and may not wait,
# such as a worker of a parallel pg_dump, would find us in the queue
ok(wait_for('a second try', sub { looks() >= 2 }), 'again and again');
is(said(qr/still waiting for AccessExclusiveLock/, $since), '', 'without queueing for the lock');
$reader->query_safe('COMMIT');
$reader->quit;

query($node, q{UPDATE rswebhook.event SET created_at = now() - interval '15 days'});
$reader = Session->new($node);
$reader->query('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM rswebhook.destination');
look_at_all_slots();
is(rows('event'), '0', 'old events that are not owed go');
is($reader->query("SELECT count(*) FROM rswebhook.event_$current"), '0', 'also for older snapshots that have not read there');
$reader->close;

send_event($node, { type => 'track', userId => 'd' }, 'good');
ok(wait_until_sent($node), 'and sending goes on');

# The newest event need not have the highest id: somebody may have set the
# sequence back, or have put events in their place by hand.
query($node, q{UPDATE rswebhook.event SET created_at = now() - interval '15 days'});
query($node, 'ALTER SEQUENCE rswebhook.event_id_seq RESTART');
my $young = send_event($node, { type => 'track', userId => 'e' }, 'good');
ok(wait_until_sent($node), 'an event after the sequence was set back');
look_at_all_slots();
is(query($node, "SELECT count(*) FROM rswebhook.event WHERE id = $young"), '1', 'a young event stays, whatever its id');
query($node, qq{
    UPDATE rswebhook.event SET created_at = now() - interval '15 days';
    INSERT INTO rswebhook.event (id, slot, created_at, event) SELECT min(id) - 1, $current, now(), '{}' FROM rswebhook.event});
my $kept = rows('event');
look_at_all_slots();
is(rows('event'), $kept, 'even if the sequence has nothing to do with it');

# Nor need its time be of our type.
query($node, q{
    ALTER TABLE rswebhook.event ALTER created_at TYPE date;
    ALTER TABLE rswebhook.delivery ALTER started_at TYPE date;
    UPDATE rswebhook.delivery SET started_at = now()});
my $kept_deliveries = rows('delivery');
look_at_all_slots();
is(rows('event'), $kept, 'one with a date stays');
cmp_ok($kept_deliveries, '>', 0, 'there are deliveries');
is(rows('delivery'), $kept_deliveries, 'and so do they');
query($node, q{
    ALTER TABLE rswebhook.event ALTER created_at TYPE timestamptz;
    ALTER TABLE rswebhook.delivery ALTER started_at TYPE timestamptz});

# What somebody has taken out of a ring, perhaps to keep it, is his
query($node, qq{
    UPDATE rswebhook.event SET created_at = now() - interval '15 days';
    UPDATE rswebhook.delivery SET started_at = now() - interval '15 days';
    ALTER TABLE rswebhook.event DETACH PARTITION rswebhook.event_$current;
    ALTER TABLE rswebhook.delivery DETACH PARTITION rswebhook.delivery_$current});
my $log = -s $node->logfile;
my @archive = (rows('event'), rows('delivery'));
cmp_ok($archive[$_], '>', 0, 'there are rows') foreach 0, 1;
look_at_all_slots();
is_deeply([ rows('event'), rows('delivery') ], \@archive, 'partitions that are none any more keep theirs');
query($node, qq{
    ALTER TABLE rswebhook.event ATTACH PARTITION rswebhook.event_$current FOR VALUES IN ($current);
    ALTER TABLE rswebhook.delivery ATTACH PARTITION rswebhook.delivery_$current FOR VALUES IN ($current)});
look_at_all_slots();
is(rows('event') + rows('delivery'), 0, 'until they are partitions again');
is(said(qr/ERROR/, $log), '', 'and there is no error about that');

# A slot can be emptied in an eighth of the retention: in that, it is looked at
# more than once. Whoever changes the retention sees that at once.
cmp_ok(next_look(), '==', 30 * 60, 'slots are looked at twice an hour');
query($node, q{ALTER SYSTEM SET rswebhook.retention = '1h'});
query($node, q{SELECT pg_reload_conf()});
ok(wait_for('a look', sub { next_look() < 30 * 60 }), 'a new retention is regarded at once');
cmp_ok(next_look(), '<', 3600 / 8 / 3, 'and more often if it is short');

done_testing();

sub rows
{
    my ($table) = @_;

    return query($node, "SELECT count(*) FROM rswebhook.${table}_$current");
}

# What the log has said like that since then
sub said
{
    my ($what, $from) = @_;

    return join '', grep { /$what/ } split /^/, logged($node, $from);
}

# In how many seconds the worker would look at the slots again, each time
sub all_looks
{
    return said(qr/past the retention, again in/, 0) =~ /again in (\d+) s/g;
}

sub next_look
{
    return (all_looks())[-1] // 0;
}

# Since somebody was in the way
sub looks
{
    return scalar grep { $_ == 10 } all_looks();
}

# The first worker looks at the slots when it starts, and then every half hour.
sub start_new_workers
{
    my $old = worker_pids($node);

    query($node, "SELECT pg_terminate_backend(pid::integer) FROM regexp_split_to_table('$old', ' ') AS pid");
    return await_others($node, $old);
}

# It goes through them in order: it has seen all when the first and the last
# have lost a row that is long past.
sub look_at_all_slots
{
    my $marks = 'slot IN (0, 9) AND event = \'"mark"\'';

    query($node, qq{
        INSERT INTO rswebhook.event (id, slot, created_at, event)
        SELECT nextval('rswebhook.event_id_seq'), slot, now() - interval '1 year', '"mark"'
        FROM unnest(ARRAY[0, 9]) AS slot WHERE slot <> $current});
    start_new_workers();
    ok( wait_for_query($node,
            qq{SELECT count(*) FROM rswebhook.event WHERE $marks}, '0'),
        'all slots are looked at');
    return;
}
