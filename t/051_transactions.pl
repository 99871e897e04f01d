# What does not commit is not sent, in whichever way it does not commit; what
# does is sent promptly, in whichever way it does.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Session;
use Test::More;

# What the worker was not told of, it finds when it looks for what somebody has
# edited by hand, every ten minutes
my $promptly = 4;    # seconds on an idle machine

# Without what counts the rows that are owed, for rswebhook.status: it reads them, too
my $conf = $ENV{RSWEBHOOK_INJECTED_CONF};
plan skip_all => 'needs a build with -DRSWEBHOOK_INJECTION' unless ($conf // '') ne '';
$ENV{RSWEBHOOK_CONF} = $conf;

my $receiver = new_receiver();
my $node = new_node('transactions',
    conf => "max_prepared_transactions = 310\ndeadlock_timeout = 50ms\n");
inject($node, 'counting error');

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
cmp_ok($seconds, '<', at_once($promptly), sprintf 'promptly: %.2f s', $seconds);

# A prepared transaction outlives a crash
query($node, join ';', map { ('BEGIN', sending("prepared-$_"), "PREPARE TRANSACTION '$_'") } 1 .. 300);
$node->stop('immediate');
$node->start;
query($node, q{COMMIT PREPARED 'late'});
ok(wait_for('the event', sub { arrived('prepared-late') }), 'COMMIT PREPARED after a crash');

# and so do many, whose end costs little more the more there are
SKIP:
{
    skip 'needs /proc', 2 unless -r '/proc/self/stat';
    my $session = Session->new($node);
    my $pid = $session->query('SELECT pg_backend_pid()');
    my $before = cpu_time($pid);
    $session->query("COMMIT PREPARED '$_'") foreach 1 .. 40;
    cmp_ok(cpu_time($pid) - $before, '<', 1, 'which takes no time');
    $session->query("ROLLBACK PREPARED '$_'") foreach 41 .. 300;
    ok(wait_for('the events', sub { @{[ grep { arrived("prepared-$_") } 1 .. 300 ]} == 40 }), 'of many, too');
    $session->close;
}

# COMMIT PREPARED of what queued nothing has nothing read again
add_destination($node, 'slow', $receiver->url('/ok'), { rate_limit => 0.5 });
query($node, q{CREATE TABLE other (n integer);
    SELECT count(rswebhook_send(jsonb_build_object('type', 'track', 'userId', 'slow',
        'messageId', 'slow-' || n), 'slow'))
    FROM generate_series(1, 3000) AS n});
my $read = entries_read($node);
query($node, qq{BEGIN; INSERT INTO other VALUES ($_); PREPARE TRANSACTION 'other'}),
  query($node, q{COMMIT PREPARED 'other'}) foreach 1 .. 5;
query($node, sending('after-other'));
ok(wait_for('the marker', sub { arrived('after-other') }), 'prepared transactions of others are committed');
cmp_ok(entries_read($node) - $read, '<', 3000, 'the backlog is not read again for them');
query($node, q{SELECT rswebhook_cancel_all('slow')});

# It does not even wake a worker
ok(wait_until_sent($node), 'nothing is owed');
my $switches = at_rest(worker_pids($node));
query($node, qq{BEGIN; SELECT FROM rswebhook.destination FOR SHARE; INSERT INTO other VALUES ($_); PREPARE TRANSACTION 'other'}),
  query($node, q{COMMIT PREPARED 'other'}) foreach 1 .. 20;
cmp_ok(at_rest(worker_pids($node)) - $switches, '<', 15, 'the workers sleep through COMMIT PREPARED of others');

# What it has to know is told: here, that a destination is not paused any more
query($node, q{SELECT rswebhook_pause('sink')});
query($node, sending('resumed'));
query($node, q{BEGIN; SELECT rswebhook_resume('sink'); PREPARE TRANSACTION 'resume'});
$seconds = elapsed(
    sub {
        query($node, q{COMMIT PREPARED 'resume'});
        ok(wait_for('the event', sub { arrived('resumed') }), 'COMMIT PREPARED resumes a destination');
    });
cmp_ok($seconds, '<', at_once($promptly), sprintf 'promptly: %.2f s', $seconds);

# Looking for that needs no rights of the user's, and no tables of ours
my $prepare = q{BEGIN; SELECT pg_current_xact_id(); PREPARE TRANSACTION 'other'};
query($node, q{CREATE ROLE nobody; REVOKE ALL ON pg_locks, pg_prepared_xacts FROM PUBLIC});
query($node, "SET SESSION AUTHORIZATION nobody; $prepare");
is(($node->psql('postgres', q{SET SESSION AUTHORIZATION nobody; COMMIT PREPARED 'other'}))[0],
    0, 'COMMIT PREPARED by a user who may read nothing');
query($node, "GRANT SELECT ON pg_locks, pg_prepared_xacts TO PUBLIC; $prepare");
query($node, q{ALTER TABLE rswebhook.queue RENAME TO elsewhere});
is(($node->psql('postgres', q{COMMIT PREPARED 'other'}))[0], 0, 'COMMIT PREPARED while our tables have other names');
query($node, q{ALTER TABLE rswebhook.elsewhere RENAME TO queue});

# COMMIT PREPARED in a database without the extension concerns nobody, unless it
# brings the extension
query($node, 'CREATE DATABASE plain');
query($node, q{BEGIN; CREATE TABLE t (); PREPARE TRANSACTION 'plain'}, 'plain');
query($node, q{COMMIT PREPARED 'plain'}, 'plain');
query($node, q{BEGIN; CREATE EXTENSION rswebhook; PREPARE TRANSACTION 'plain'}, 'plain');
query($node, q{COMMIT PREPARED 'plain'}, 'plain');
ok(await_workers($node, 'plain'), 'a prepared CREATE EXTENSION has a worker');

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

# While an asynchronous commit is under way, the worker flushes WAL up to its end
# before it sends, and that can be the end of a page.  ON COMMIT holds the commit
# up, and the event is one that nobody commits just then.
my @parties = map { Session->new($node) } 1, 2;
$parties[0]->query('SET synchronous_commit = off; CREATE TEMP TABLE held (n integer) ON COMMIT DELETE ROWS');
my $schema = query($node, q{SELECT relnamespace::regnamespace FROM pg_class WHERE relname = 'held'});
$parties[1]->query("BEGIN; LOCK TABLE $schema.held IN ACCESS SHARE MODE");
query($node, sending('due', q{, now() + interval '6 s'}));
$parties[0]->start('BEGIN; INSERT INTO held VALUES (1); ' . sending('held') . '; COMMIT');
ok(wait_for_query($node, q{SELECT count(*) FROM pg_locks WHERE NOT granted}, '1'), 'an asynchronous commit is under way');
# unless a background process has just added another one
ok(wait_for('a full page', sub { fill_page() }), 'the last record of WAL fills its page');
ok(wait_for('the event', sub { arrived('due') }), 'an event is sent');
ok(!$parties[0]->finished, 'the commit is still under way');
$parties[1]->query('COMMIT');
$parties[0]->finish;
$_->close foreach @parties;
ok(wait_for('the event', sub { arrived('held') }), 'the event of the commit, too');
is(times_logged($node, qr/flush request .* is not satisfied/), 0, 'no flush has failed');

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
    join(' ', sort(qw(after-deadlock after-other after-prepared async due handler held last prepared-kept prepared-late resumed),
            map({ "prepared-$_" } 1 .. 40),
            grep { $seen{$_} } qw(deadlock-1 deadlock-2))),
    'all in all, exactly what was committed arrived');

done_testing();

# Have the last record of WAL end with its page: the next one then starts behind
# the header of the next page, which is longer in a segment's first one.  A
# message of more than 255 bytes takes 54 beside its text.
sub fill_page
{
    query($node, q{
        DO $$
        DECLARE
            size integer := current_setting('wal_block_size');
            used integer;
        BEGIN
            FOR i IN 1 .. 100 LOOP
                used := (pg_current_wal_insert_lsn() - '0/0') % size;
                EXIT WHEN used IN (24, 40);
                PERFORM pg_logical_emit_message(false, '', repeat('x',
                    CASE WHEN size - used > 400 THEN size - used - 54 ELSE 400 END));
            END LOOP;
        END
        $$});
    return query($node, q{
        SELECT (pg_current_wal_insert_lsn() - '0/0') % current_setting('wal_block_size')::integer IN (24, 40)}) eq 't';
}

# Arguments that follow the destination come with their comma.
sub sending
{
    my ($id, $more) = @_;

    $more //= '';
    return qq{SELECT rswebhook_send('{"type": "track", "userId": "u", "messageId": "$id"}', 'sink'$more)};
}

sub arrived
{
    my ($id) = @_;

    return scalar grep { $_->{headers}{'webhook-id'} eq $id } $receiver->requests;
}
