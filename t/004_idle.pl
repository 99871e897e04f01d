# A worker that waits, for work or for an answer, holds no transaction and no
# snapshot, and does nothing at all.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Test::More;

my $receiver = new_receiver();
my $node = new_node('idle', conf => "autovacuum = off\n");

add_destination($node, 'good', $receiver->url('/ok'));
add_destination($node, 'hanging', $receiver->url('/hang'),
    { timeout => '10 min', low_speed_limit => 0 });

ok(await_workers($node), 'the workers start');
holds_nothing('before any event');

send_event($node, { type => 'track', userId => 'a', messageId => 'first' }, 'good');
ok(wait_until_sent($node), 'an event is delivered');
holds_nothing('after an event');
does_nothing('with nothing to do');

send_event($node, { type => 'track', userId => 'a', messageId => 'stuck' }, 'hanging');
ok(wait_for('the request', sub { $receiver->requests_to('/hang') }), 'a request hangs');
holds_nothing('while a request hangs');
does_nothing('while a request hangs');

# Nothing keeps vacuum from removing what is dead
query($node, q{
    CREATE TABLE churn AS SELECT generate_series(1, 1000) AS n;
    DELETE FROM churn;});
my ($code, $out, $err) = $node->psql('postgres', 'VACUUM (VERBOSE) churn');
unlike($err, qr/[1-9]\d* (?:are )?dead (?:row versions|but not yet|tuples)/,
    'vacuum removes all dead rows while a request hangs');
is(query($node, q{SELECT pg_relation_size('churn')}), '0', 'the table is empty');

# Retries to come are waited for, not polled for
add_destination($node, 'later', $receiver->url('/status/500'),
    { min_backoff => '10 min', max_backoff => '10 min' });
send_event($node, { type => 'track', userId => 'b', messageId => 'again' }, 'later');
ok(wait_for('the request', sub { $receiver->requests_to('/status') }), 'an attempt fails');
ok(wait_for_query($node, q{SELECT count(*) FROM rswebhook.delivery WHERE outcome = 'retry'}, '1'),
    'it is to be tried again');
holds_nothing('while an event waits for its retry');
does_nothing('while an event waits for its retry');

# What is queued for a paused destination wakes nobody, and is not forgotten
query($node, q{UPDATE rswebhook.destination SET paused = true WHERE name = 'good'});
does_nothing('with a paused destination, while events are queued for it',
    sub { send_event($node, { type => 'track', userId => 'c' }, 'good') foreach 1 .. 50 });
is(query($node, q{SELECT count(*) FROM rswebhook.delivery WHERE outcome = 'delivered'}), '1', 'nothing is sent');
query($node, q{SELECT rswebhook_resume('good')});
ok(wait_for_query($node, q{SELECT count(*) FROM rswebhook.delivery WHERE outcome = 'delivered'}, '51'),
    'when it is resumed, they are sent');

done_testing();

sub holds_nothing
{
    my ($when) = @_;

    # What was just recorded may still be about to commit.
    ok( wait_for_query($node, q{
            SELECT count(*) > 0 AND bool_and(xact_start IS NULL AND backend_xmin IS NULL
                                             AND backend_xid IS NULL)
            FROM pg_stat_activity WHERE backend_type LIKE 'rswebhook%'}, 't'),
        "$when: no transaction, no snapshot");
    is(query($node, q{
            SELECT count(*) FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)
            WHERE a.backend_type LIKE 'rswebhook%' AND l.locktype <> 'advisory'}),
        '0', "$when: no lock but its own");
    is(query($node, q{
            SELECT DISTINCT state FROM pg_stat_activity
            WHERE datname = current_database() AND backend_type LIKE 'rswebhook%'}),
        'idle', "$when: shown as idle");
    return;
}

sub does_nothing
{
    my ($when, $meanwhile) = @_;
    my $pids = worker_pids($node);

  SKIP:
    {
        skip 'no /proc', 1
          unless defined process_field($pids, 'voluntary_ctxt_switches');
        # let what was just done come to its end
        my %before = map { $_ => at_rest($_) } split / /, $pids;
        $meanwhile->() if $meanwhile;
        pass_time(3);
        foreach my $pid (sort keys %before)
        {
            my $woken = process_field($pid, 'voluntary_ctxt_switches') - $before{$pid};
            cmp_ok($woken, '<=', 5, "$when: woken $woken times in 3 s");
        }
    }
    return;
}
