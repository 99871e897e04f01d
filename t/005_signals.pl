# Reload, shutdown, and the ends that nobody planned.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Test::More;

my $receiver = new_receiver();
my $node = new_node('signals', conf => "restart_after_crash = on\n");

add_destination($node, 'good', $receiver->url('/switch/good'));
add_destination($node, 'slow', $receiver->url('/delay/20/ok'), { ordered => 'off' });
add_destination($node, 'hanging', $receiver->url('/switch/hanging'),
    { timeout => '10 min', low_speed_limit => 0 });

# SIGHUP: the next request knows the new setting
ok(deliver('before'), 'an event is delivered');
is(request_of('before')->{headers}{'user-agent'}, 'RudderLabs', 'the default user-agent');
query($node, q{ALTER SYSTEM SET rswebhook.user_agent = 'Changed/1.0'});
$node->reload;
ok(wait_for_query($node, 'SHOW rswebhook.user_agent', 'Changed/1.0'), 'reloaded');
ok( wait_for('the worker to use it',
        sub {
            my $id = next_id('reload');
            deliver($id) && request_of($id)->{headers}{'user-agent'} eq 'Changed/1.0';
        }),
    'the worker uses the new setting');
my ($code, $out, $err) =
  $node->psql('postgres', q{ALTER SYSTEM SET rswebhook.user_agent = E'two\r\nlines'});
isnt($code, 0, 'a user-agent that is no header is refused');

# A fast stop does not wait for an answer, and the event is not lost
$receiver->switch('hanging', '/hang');
send_event($node, { type => 'track', userId => 'h', messageId => 'stuck' }, 'hanging');
ok(wait_for('the request', sub { request_of('stuck') }), 'a request hangs');
my $seconds = elapsed(sub { $node->stop('fast') });
cmp_ok($seconds, '<', at_once(5), sprintf 'fast stop while a request hangs: %.2f s', $seconds);
$receiver->switch('hanging', '/ok');
$node->start;
ok(wait_until_sent($node), 'after the restart it is delivered');
is(attempts_of('stuck'), 2, 'in a second attempt');

# pg_terminate_backend: the launcher starts another worker
my $old = worker_of($node, 'slow');
query($node, "SELECT pg_terminate_backend($old)");
ok(await_others($node, $old), 'a terminated worker is replaced');
ok(deliver('after-terminate'), 'and delivers');

# SIGKILL of the worker: the server restarts, everything committed arrives
my $count = 300;
query($node, qq{
    SELECT count(rswebhook_send(jsonb_build_object(
        'type', 'track', 'anonymousId', 'k' || n % 50, 'messageId', 'kill-' || n), 'slow'))
    FROM generate_series(1, $count) AS n});
ok(wait_for('some to arrive', sub { $receiver->requests_to('/delay') >= 40 }), 'deliveries run');
ok(kill_process($node, worker_of($node, 'slow')), 'the server comes back');
ok(wait_until_sent($node), 'nothing is owed any more');
my %arrived;
$arrived{ $_->{headers}{'webhook-id'} }++ foreach $receiver->requests_to('/delay');
is(scalar keys %arrived, $count, 'every event arrived');
my $twice = grep { $_ > 1 } values %arrived;
cmp_ok($twice, '<=', 256 + 32, "what was in flight or not yet recorded came twice: $twice");
is(query($node, q{
        SELECT count(*) FROM (
            SELECT event_id FROM rswebhook.delivery AS v
            JOIN rswebhook.destination AS d ON d.id = v.destination_id
            WHERE d.name = 'slow' AND v.outcome = 'delivered'
            GROUP BY event_id HAVING count(*) = 1) AS once}),
    $count, 'each is recorded as delivered exactly once');

# SIGKILL of the postmaster: worker and launcher do not outlive it
$receiver->switch('hanging', '/hang');
send_event($node, { type => 'track', userId => 'h', messageId => 'orphan' }, 'hanging');
ok(wait_for('the request', sub { request_of('orphan') }), 'a request hangs');
my @ours = split /\n/,
  query($node, q{SELECT pid FROM pg_stat_activity WHERE backend_type LIKE 'rswebhook%'});
cmp_ok(scalar @ours, '>=', 2, 'launcher and worker run');
$node->kill9;
ok(wait_for('both to end', sub { !grep { kill 0, $_ } @ours }),
    'nobody outlives the postmaster');
$receiver->switch('hanging', '/ok');
ok( wait_for('the server to start again',
        sub { $node->start(fail_ok => 1) }),
    'the server starts again');
ok(wait_until_sent($node), 'what was owed is delivered');
is(attempts_of('orphan'), 2, 'in a second attempt');

done_testing();

sub next_id
{
    my ($prefix) = @_;
    our $serial;

    return "$prefix-" . ++$serial;
}

sub deliver
{
    my ($id) = @_;

    send_event($node, { type => 'track', userId => 'u', messageId => $id }, 'good');
    return wait_for("the event $id", sub { request_of($id) });
}

sub request_of
{
    my ($id) = @_;

    return (grep { $_->{headers}{'webhook-id'} eq $id } $receiver->requests)[0];
}

sub attempts_of
{
    my ($id) = @_;

    return scalar grep { $_->{headers}{'webhook-id'} eq $id } $receiver->requests;
}
