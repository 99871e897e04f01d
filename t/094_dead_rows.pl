# Rows that were delivered while somebody holds an old snapshot stay, dead: whatever
# begins to read at the front of the queue must not walk over all of them, and what
# has to must not hold up the others.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Session;
use Test::More;

my $dead = $ENV{RSWEBHOOK_DEAD} // 400_000;
my $lag = 60_000;    # where the queue begins is saved each 50,000 ids
my $receiver = new_receiver();
my $node = new_node('dead', conf => "max_wal_size = 4GB\nmax_prepared_transactions = 10\nautovacuum = off\n");

add_destination($node, $_, $receiver->url('/ok')) foreach qw(one other);
sent('first', 'one');
ok(wait_until_sent($node), 'it delivers');

# As if they had been delivered one after the other
my $holder = Session->new($node);
$holder->query('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM rswebhook.queue');
query($node, qq{
    INSERT INTO rswebhook.queue (destination_id, event_slot, event_id, queued_at)
        SELECT (SELECT id FROM rswebhook.destination WHERE name = 'one'), 0, n, now()
        FROM generate_series(nextval('rswebhook.event_id_seq') + 1, $dead) AS n;
    DELETE FROM rswebhook.queue;
    SELECT setval('rswebhook.event_id_seq', $dead + 1)});
is($holder->query('SELECT count(*) FROM rswebhook.queue'), '0', "there are $dead dead rows");

#
# Where the queue begins is found, and kept
#
sent('after', 'one');
ok(wait_until_sent($node), 'it goes on');
my $floor = wait_for_floor(sub { $_[0] > $dead - $lag });
cmp_ok($floor, '<=', query($node, 'SELECT max(id) FROM rswebhook.event'), 'it is known where the queue begins');

my $read = entries_read($node);
query($node, q{SELECT rswebhook_pause('one')});
sent('paused', 'one');
query($node, q{SELECT rswebhook_resume('one')});
arrives('paused', 'a destination goes on');
query($node, 'BEGIN; ' . sending('prepared', 'one') . q{; PREPARE TRANSACTION 'one'; COMMIT PREPARED 'one'});
arrives('prepared', 'a prepared transaction is committed');
cmp_ok(entries_read($node) - $read, '<', $dead / 2, 'dead rows are not read for that');

# A restart, with a row that nobody told of below: the sweep finds it
query($node, q{
    INSERT INTO rswebhook.queue (destination_id, event_slot, event_id, queued_at)
        SELECT (SELECT id FROM rswebhook.destination WHERE name = 'one'), e.slot, e.id, now()
        FROM rswebhook.event AS e WHERE e.event ->> 'messageId' = 'first'});
sent('waits', 'one', q{now() + interval '1 day'});
$node->stop('immediate');
$node->start;
sent('restarted', 'one');
arrives('restarted', 'after a crash');
ok(wait_for('the first one', sub { arrived('first') == 2 }), 'what somebody has made by hand is found');

#
# Replayed events, of which a worker that starts has to know
#
my $id = query($node, q{SELECT id FROM rswebhook.event WHERE event ->> 'messageId' = 'first'});
query($node, qq{SELECT rswebhook_pause('one'); SELECT rswebhook_replay($id, 'one')});
is(lowest(), $id - 1, 'a replayed event is where the queue begins');
$node->restart;
query($node, q{SELECT rswebhook_resume('one')});
ok(wait_for('the first one', sub { arrived('first') == 3 }), 'and is sent after a restart');
wait_for_floor(sub { $_[0] > $dead - $lag });
pass('then the queue begins later again');
cmp_ok($floor, '<', query($node, q{SELECT event_id FROM rswebhook.queue}), 'but not beyond what waits');
query($node, q{SELECT rswebhook_cancel_all('one')});

# One that commits late: as long as it is open, the queue does not begin beyond it
my $late = Session->new($node);
$late->query('BEGIN; ' . sending('late', 'one'));
query($node, "SELECT setval('rswebhook.event_id_seq', 2 * $dead)");
sent('beyond', 'one');
arrives('beyond', 'others are delivered');
$late->query('COMMIT');
arrives('late', 'what has waited is, too');
ok($floor < 2 * $dead - 1, 'and was not passed');
wait_for_floor(sub { $_[0] > 2 * $dead - $lag });
pass('afterwards the queue begins beyond it');

# Ids that begin anew: all is read
query($node, q{TRUNCATE rswebhook.queue, rswebhook.event, rswebhook.delivery;
    SELECT setval('rswebhook.event_id_seq', 1, false)});
$node->restart;
sent('anew', 'one');
arrives('anew', 'ids begin anew');

# Without the table it goes on
query($node, 'ALTER TABLE rswebhook.floor RENAME TO elsewhere');
$node->restart;
sent('without', 'one');
arrives('without', 'nobody knows where the queue begins');

done_testing();

sub sending
{
    my ($id, $destination, $after) = @_;

    return qq{SELECT rswebhook_send('{"type": "track", "userId": "$id", "messageId": "$id"}', '$destination'}
      . (defined $after ? ", $after)" : ')');
}

sub sent
{
    query($node, sending(@_));
    return;
}

sub arrived
{
    my ($id) = @_;

    return scalar grep { $_->{headers}{'webhook-id'} eq $id } $receiver->requests;
}

sub arrives
{
    my ($id, $what) = @_;

    ok(wait_for("event $id", sub { arrived($id) }), $what);
    return;
}

sub lowest
{
    return query($node, q{
        SELECT coalesce(min(f.after_id), 0) FROM rswebhook.floor AS f
        JOIN rswebhook.destination AS d ON d.id = f.destination_id WHERE d.name = 'one'});
}

# It is looked for now and then while something is delivered
sub wait_for_floor
{
    my ($is_so) = @_;
    my $n = 0;

    $floor = 0;
    wait_for('the queue to begin later', sub {
            sent('step-' . $n++, 'one');
            pass_time(0.5);
            $floor = lowest();
            return $is_so->($floor);
        }) or die "it begins at $floor\n";
    return $floor;
}
