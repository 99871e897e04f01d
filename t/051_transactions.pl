# What does not commit is not sent, in whichever way it does not commit; what
# does is sent promptly, in whichever way it does.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Session;
use Test::More;

my $receiver = new_receiver();
my $node = new_node('transactions',
    conf => "max_prepared_transactions = 10\ndeadlock_timeout = 50ms\n");

add_destination($node, 'sink', $receiver->url('/ok'));
query($node, q{CREATE TABLE accounts (id integer PRIMARY KEY, n integer);
               INSERT INTO accounts VALUES (1, 0), (2, 0)});

# Two-phase commit: nothing before the second phase
query($node, 'BEGIN; ' . sending('prepared-kept') . q{; PREPARE TRANSACTION 'kept'});
query($node, 'BEGIN; ' . sending('prepared-gone') . q{; PREPARE TRANSACTION 'gone'});
query($node, 'BEGIN; ' . sending('prepared-late') . q{; PREPARE TRANSACTION 'late'});
query($node, sending('after-prepared'));
ok(wait_for('the marker', sub { arrived('after-prepared') }), 'a later event arrives');
ok(!arrived("prepared-$_"), "nothing of the prepared transaction \"$_\" is sent")
  foreach qw(kept gone late);
query($node, q{ROLLBACK PREPARED 'gone'});
my $seconds = elapsed(
    sub {
        query($node, q{COMMIT PREPARED 'kept'});
        ok(wait_for('the event', sub { arrived('prepared-kept') }), 'COMMIT PREPARED sends it');
    });
cmp_ok($seconds, '<', 4, sprintf 'promptly: %.2f s', $seconds);

# A prepared transaction outlives a crash
$node->stop('immediate');
$node->start;
query($node, q{COMMIT PREPARED 'late'});
ok(wait_for('the event', sub { arrived('prepared-late') }), 'COMMIT PREPARED after a crash');

# COMMIT PREPARED of what queued nothing has nothing read again
add_destination($node, 'slow', $receiver->url('/ok'), { rate_limit => 0.5 });
query($node, q{CREATE TABLE other (n integer);
    SELECT count(rswebhook_send(jsonb_build_object('type', 'track', 'userId', 'slow',
        'messageId', 'slow-' || n), 'slow'))
    FROM generate_series(1, 3000) AS n});
my $read = reads();
query($node, qq{BEGIN; INSERT INTO other VALUES ($_); PREPARE TRANSACTION 'other'}),
  query($node, q{COMMIT PREPARED 'other'}) foreach 1 .. 5;
query($node, sending('after-other'));
ok(wait_for('the marker', sub { arrived('after-other') }), 'prepared transactions of others are committed');
cmp_ok(reads() - $read, '<', 3000, 'the backlog is not read again for them');
query($node, q{SELECT rswebhook_cancel('slow')});

# COMMIT PREPARED in a database without the extension concerns nobody
query($node, 'CREATE DATABASE plain');
query($node, q{BEGIN; CREATE TABLE t (); PREPARE TRANSACTION 'plain'}, 'plain');
query($node, q{COMMIT PREPARED 'plain'}, 'plain');

# A deadlock's victim is not sent, the survivor is
my @sessions = map { Session->new($node) } 1, 2;
foreach my $i (0, 1)
{
    my $own = $i + 1;
    $sessions[$i]->query('BEGIN; ' . sending("deadlock-$own")
          . "; UPDATE accounts SET n = n + 1 WHERE id = $own");
}
my @children;
foreach my $i (0, 1)
{
    my $other = 2 - $i;
    $sessions[$i]->{in} .= "UPDATE accounts SET n = n + 1 WHERE id = $other;\nCOMMIT;\n\\echo over\n";
}
$_->{out} = '' foreach @sessions;
foreach my $session (@sessions)
{
    $session->{psql}->pump_nb;
}
ok( wait_for('the deadlock to be resolved',
        sub {
            $_->{psql}->pump_nb foreach @sessions;
            2 == grep { $_->{out} =~ /^over$/m } @sessions;
        }),
    'a deadlock has its victim');
query($node, sending('after-deadlock'));
ok(wait_for('the marker', sub { arrived('after-deadlock') }), 'a later event arrives');
is(scalar(grep { arrived("deadlock-$_") } 1, 2), 1, 'the survivor\'s event only is sent');
is(query($node, q{SELECT count(*) FROM rswebhook.event WHERE event ->> 'messageId' LIKE 'deadlock-%'}),
    '1', 'and only it is kept');
$_->close foreach @sessions;

# Timeouts and cancelled statements
my ($code, $out, $err) = $node->psql('postgres',
    q{SET statement_timeout = '100ms'; } . sending('timeout') . q{, pg_sleep(10)});
isnt($code, 0, 'statement_timeout ends the sender');
like($err, qr/statement timeout/, 'with its error');
($code, $out, $err) = $node->psql('postgres', sending('divided') . ' / 0');
isnt($code, 0, 'an error in the same statement');
query($node, q{
    DO $$
    BEGIN
        PERFORM rswebhook_send('{"type": "track", "userId": "u", "messageId": "trapped"}', 'sink');
        RAISE 'enough';
    EXCEPTION WHEN OTHERS THEN
        PERFORM rswebhook_send('{"type": "track", "userId": "u", "messageId": "handler"}', 'sink');
    END
    $$});
ok(wait_for('the handler\'s event', sub { arrived('handler') }), 'an exception handler\'s event is sent');
ok(!arrived($_), "not: $_") foreach qw(timeout divided trapped prepared-gone);

# A commit that fails at its very end: a deferred constraint
($code, $out, $err) = $node->psql('postgres', q{
    CREATE TABLE parent (id integer PRIMARY KEY);
    CREATE TABLE child (id integer REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
    BEGIN; INSERT INTO child VALUES (1); } . sending('deferred') . '; COMMIT');
isnt($code, 0, 'a deferred constraint fails the commit');
query($node, sending('last'));
ok(wait_for('the marker', sub { arrived('last') }), 'a later event arrives');
ok(!arrived('deferred'), 'its event is not sent');

# synchronous_commit off: delivered all the same, and what is sent is on disk
# first, so that the crash that follows at once does not undo it. No answer, so
# that no record of the attempt is flushed and the event with it.
add_destination($node, 'unanswered', $receiver->url('/first/1/hang'));
query($node, q{ALTER SYSTEM SET wal_writer_delay = '10s'});
$node->restart;
my $session = Session->new($node);
$session->query('SET synchronous_commit = off; ' . (sending('async') =~ s/'sink'/'unanswered'/r));
ok(wait_for('the event', sub { arrived('async') }), 'an event of an asynchronous commit arrives');
$node->stop('immediate');
eval { $session->close };
$node->start;
is(query($node, q{SELECT count(*) FROM rswebhook.event WHERE event ->> 'messageId' = 'async'}),
    '1', 'after a crash right then it is still there');
ok(wait_until_sent($node), 'nothing is owed any more');

my %seen;
$seen{ $_->{headers}{'webhook-id'} }++ foreach $receiver->requests;
is(join(' ', grep { !/^slow/ } sort keys %seen),
    join(' ', sort(qw(after-deadlock after-other after-prepared async handler last prepared-kept prepared-late),
            grep { $seen{$_} } qw(deadlock-1 deadlock-2))),
    'all in all, exactly what was committed arrived');

done_testing();

# Entries of the queue's index that were read until now, once that stands still
sub reads
{
    my $last = -1;

    wait_for('the statistics', sub {
            my $now = query($node, q{SELECT idx_tup_read FROM pg_stat_user_indexes
                WHERE indexrelid = 'rswebhook.queue_pkey'::regclass});
            my $same = $now == $last;

            $last = $now;
            pass_time(1.2) if !$same;
            return $same;
        });
    return $last;
}

sub sending
{
    my ($id) = @_;

    return qq{SELECT rswebhook_send('{"type": "track", "userId": "u", "messageId": "$id"}', 'sink')};
}

sub arrived
{
    my ($id) = @_;

    return scalar grep { $_->{headers}{'webhook-id'} eq $id } $receiver->requests;
}
