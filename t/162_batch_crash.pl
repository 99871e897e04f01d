# Whoever dies with batches in flight: what was committed arrives, in order and recorded once, and
# what has failed as a batch is tried again as that, by the next worker, too.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use JSON::PP;
use Ledgers;
use Load;
use RswebhookTest;
use Test::More;

my $rounds = $ENV{RSWEBHOOK_ROUNDS} // 1;
my $in_flight = 8;
my $size = 25;
my $receiver = new_receiver();
my $node = new_node('batch_crash', conf => "restart_after_crash = on\nmax_connections = 20\n");

# A batch that has failed, and one that is in flight
add_destination($node, 'held', $receiver->url('/with/"a1"/503/until/go/held') =~ s/"/%22/gr,
    { batch_size => 10, min_backoff => '1 h', max_backoff => '1 h', breaker_failures => 0 });
send_users('held', 'a', 5);
ok(wait_for_query($node, 'SELECT count(*) FROM rswebhook.queue WHERE attempts = 1', '5'), 'a batch fails');
send_users('held', 'b', 5);
ok(wait_for('the other one', sub { $receiver->requests == 2 }), 'another one is in flight');
kill_process($node, worker_of($node, 'held'));
await_workers($node);
ok(wait_for('it again', sub { $receiver->requests >= 3 }), 'after the worker has died, that is sent again');
query($node, q{SELECT rswebhook_retry('held')});
ok(wait_for('the first one again', sub { $receiver->requests >= 4 }), 'the one that has failed, too');
my @requests = $receiver->requests;
is(join(' ', sort map { "$_->{headers}{'webhook-id'} $_->{body}" } @requests[ 2, 3 ]),
    join(' ', sort map { "$_->{headers}{'webhook-id'} $_->{body}" } @requests[ 0, 1 ]), 'as the same batches');
$receiver->switch('go', '/ok');
query($node, 'TRUNCATE rswebhook.queue');

# Under load
add_destination($node, 'sink', $receiver->url('/jitter/20/flaky/10/500,reset,close,400,413'),
    { min_backoff => '20 ms', max_backoff => '200 ms', breaker_failures => 0, batch_size => $size, max_in_flight => $in_flight,
        status_outcomes => '{"400": "retry", "413": "retry"}' });
my %ways = (
    'SIGKILL of the worker' => sub { kill_process($node, $_) foreach grep { defined } worker_of($node, 'sink') },
    'immediate stop' => sub { $node->stop('immediate'); $node->start },
    'fast restart' => sub { $node->restart },
    'SIGTERM of the worker' => sub { kill 'TERM', split / /, worker_pids($node) });
my $first = $receiver->requests;
my $load = Load->new($node);
foreach my $round (1 .. $rounds)
{
    foreach my $way (sort keys %ways)
    {
        my $before = $receiver->requests;
        ok(wait_for('deliveries', sub { $receiver->requests > $before + 20 }), "deliveries run before: $way");
        pass_time(rand 0.5);
        $ways{$way}->();
        ok(wait_for('the server', sub { is_there($node) }), "the server is there after: $way");
    }
}
$load->stop;
ok(wait_until_sent($node), 'nothing is owed any more');

@requests = $receiver->requests;
my @batches = @requests[ $first .. $#requests ];
my @kept = split /\n/, query($node, q{SELECT event ->> 'messageId' FROM rswebhook.event WHERE event ->> 'event' = 'Load'});
my $result = $load->judge(\@kept, single_events(@batches));
note(join ', ', map { "$_: $result->{$_}" } sort keys %$result);
cmp_ok($result->{kept}, '>', 100 * $rounds, 'there was something to lose');
cmp_ok(scalar @batches, '<', $result->{kept}, "in batches: $result->{kept} in " . @batches);
is($result->{lost}, 0, 'nothing is lost');
is($result->{ghosts}, 0, 'nothing arrived that was not committed');
is($result->{reordered}, 0, 'first deliveries are in order, user by user');
my $deaths = $rounds * keys %ways;
cmp_ok($result->{repeated}, '<=', $deaths * ($in_flight + 20) * $size,
    "what was in flight or not yet recorded came twice: $result->{repeated}");
is(query($node, q{
        SELECT count(*) FROM (
            SELECT FROM rswebhook.event AS e LEFT JOIN rswebhook.delivery AS d
            ON d.event_id = e.id AND d.outcome = 'delivered'
            WHERE e.event ->> 'event' = 'Load'
            GROUP BY e.id HAVING count(d) <> 1) AS wrong}),
    '0', 'each is recorded as delivered once');

# The same id is never of other events
my %body;
push @{ $body{ $_->{headers}{'webhook-id'} }{ $_->{body} } }, 1 foreach @batches;
is(scalar(grep { keys %{ $body{$_} } > 1 } keys %body), 0, 'no id is of two batches');

done_testing();

sub send_users
{
    my ($destination, $prefix, $count) = @_;

    query($node, qq{SELECT count(rswebhook_send(jsonb_build_object('type', 'track', 'messageId', '$prefix' || n, 'userId', '$prefix' || n),
        '$destination')) FROM generate_series(1, $count) AS n});
    return;
}

# As if each event of a batch had come by itself.
sub single_events
{
    my (@batches) = @_;
    my $json = JSON::PP->new->canonical;

    return map {
        my $batch = $_;
        map { { %$batch, headers => { 'webhook-id' => $_->{messageId} }, body => $json->encode($_) } } events_in($batch)
    } @batches;
}
