# rswebhook.status shows what was counted: zeros before there is anything. What only
# workers know, it does not show without one.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Test::More;

my $receiver = new_receiver();
my $node = new_node('status');
my $counted = q{
    SELECT coalesce(string_agg(concat_ws(' ', destination || ':', in_flight, delivered, retried, aborted), ', '
                               ORDER BY destination), '')
    FROM rswebhook.status};
my $latest = q{
    SELECT string_agg(concat_ws(' ', destination || ':', latency_ms IS NOT NULL, last_delivered_at IS NOT NULL,
                                last_error IS NOT NULL, last_error_at IS NOT NULL), ', ' ORDER BY destination)
    FROM rswebhook.status};

add_destination($node, 'good', $receiver->url('/ok'));
add_destination($node, 'hangs', $receiver->url('/hang'), { timeout => '1 h' });
add_destination($node, 'refuses', $receiver->url('/status/400'));
ok(wait_for_query($node, $counted, 'good: 0 0 0 0, hangs: 0 0 0 0, refuses: 0 0 0 0'), 'zeros before anything is sent');
is(query($node, $latest), 'good: f f f f, hangs: f f f f, refuses: f f f f', 'there is no latest yet');

send_event($node, { type => 'track', userId => 'u' });
ok(wait_for_query($node, $counted, 'good: 0 1 0 0, hangs: 1 0 0 0, refuses: 0 0 0 1'), 'then what was counted');
is(query($node, $latest), 'good: t t f f, hangs: f f f f, refuses: f f t t', 'and the latest of each');

# Workers that have gone, and whose launcher cannot start others
my ($launcher) = query($node, q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'rswebhook launcher'});
kill 'STOP', $launcher;
kill 'TERM', split / /, worker_pids($node);
ok(wait_for('the end of the workers', sub { worker_pids($node) eq '' }), 'there is no worker');
is(query($node, $counted), 'good: 1 0 0, hangs: 0 1 0, refuses: 0 0 1', 'without one it is not known what is in flight');
is(query($node, $latest), 'good: f t f f, hangs: f f t t, refuses: f f t t', 'nor the moving average');
is( query($node, q{
        SELECT string_agg(concat_ws(' ', destination || ':', pending, retrying, oldest_pending IS NOT NULL, breaker,
                                    coalesce(worker_pid, 0), workers), ', ' ORDER BY destination)
        FROM rswebhook.status}),
    'good: 0 0 f closed 0 0, hangs: 1 0 t closed 0 0, refuses: 0 0 f closed 0 0', 'what is owed is shown all the same');
is(query($node, 'SELECT count(*) FROM rswebhook.workers() WHERE pid IS NULL AND max_in_flight IS NULL AND lacks IS NULL'),
    query($node, 'SHOW rswebhook.workers'), 'and that the workers are missing');

kill 'CONT', $launcher;
ok(wait_for_query($node, $counted, 'good: 0 1 0 0, hangs: 1 0 1 0, refuses: 0 0 0 1'), 'the next one goes on');

# What is deleted is not shown any more
query($node, q{DELETE FROM rswebhook.destination WHERE name <> 'good'});
ok(wait_for_query($node, 'SELECT count(*) FROM rswebhook.worker_stats()', '1'), 'nor counted');

done_testing();
