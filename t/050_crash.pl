# Kill whatever runs, again and again under load: what was committed arrives,
# nothing else does, in order, and little of it twice.
#
# RSWEBHOOK_ROUNDS: how often each way to die has its turn (1).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use Load;
use RswebhookTest;
use Test::More;

my $rounds = $ENV{RSWEBHOOK_ROUNDS} // 1;
my $in_flight = 64;
my $receiver = new_receiver();
my $node = new_node('crash',
    conf => "restart_after_crash = on\nrswebhook.max_in_flight = $in_flight\nmax_connections = 20\n");

add_destination($node, 'sink', $receiver->url('/jitter/20/flaky/3/500,reset,close'),
    { min_backoff => '20 ms', max_backoff => '200 ms', breaker_failures => 0 });

my %ways = (
    'SIGKILL of the worker' => sub { kill_process($node, $_) foreach grep { defined } worker_of($node, 'sink') },
    'SIGKILL of the launcher' => sub { kill_one("rswebhook launcher") },
    'SIGKILL of a client\'s backend' => sub { kill_one('client backend') },
    'SIGKILL of the postmaster' => sub { kill_postmaster() },
    'immediate stop' => sub { $node->stop('immediate'); $node->start },
    'fast restart' => sub { $node->restart },
    'SIGTERM of the worker' => sub { kill 'TERM', split / /, worker_pids($node) });

my $load = Load->new($node);
foreach my $round (1 .. $rounds)
{
    foreach my $way (sort keys %ways)
    {
        my $before = $receiver->requests;
        ok(wait_for('deliveries', sub { $receiver->requests > $before + 20 }),
            "deliveries run before: $way");
        pass_time(rand 0.5);
        $ways{$way}->();
        ok(wait_for('the server', sub { is_there($node) }),
            "the server is there after: $way");
    }
}
$load->stop;
ok(wait_until_sent($node), 'nothing is owed any more');

my @kept = split /\n/, query($node, q{SELECT event ->> 'messageId' FROM rswebhook.event});
my $result = $load->judge(\@kept, $receiver->requests);
note(join ', ', map { "$_: $result->{$_}" } sort keys %$result);
cmp_ok($result->{kept}, '>', 100 * $rounds, 'there was something to lose');
is($result->{lost}, 0, 'nothing is lost');
is($result->{ghosts}, 0, 'nothing arrived that was not committed');
is($result->{reordered}, 0, 'first deliveries are in order, user by user');

# In flight, and decided in the milliseconds before.
my $deaths = $rounds * (keys(%ways) - 2);
cmp_ok($result->{repeated}, '<=', $deaths * ($in_flight + 20),
    "what was in flight or not yet recorded came twice: $result->{repeated}");
is(query($node, q{
        SELECT count(*) FROM (
            SELECT FROM rswebhook.event AS e LEFT JOIN rswebhook.delivery AS d
            ON d.event_id = e.id AND d.outcome = 'delivered'
            GROUP BY e.id HAVING count(d) <> 1) AS wrong}),
    '0', 'each is recorded as delivered once');

done_testing();

sub kill_one
{
    my ($type) = @_;
    my ($code, $pid) = $node->psql('template1', qq{
        SELECT pid FROM pg_stat_activity
        WHERE backend_type = '$type' AND pid <> pg_backend_pid() AND datname IS DISTINCT FROM 'template1'
        LIMIT 1});

    kill_process($node, $pid) if $code == 0 && $pid =~ /^\d+$/;
    return;
}

# Its children notice, but must have let go of the shared memory before another
# server can start.
sub kill_postmaster
{
    my $pid = query($node, "SELECT split_part(pg_read_file('postmaster.pid'), chr(10), 1)");
    my @children = grep { (process_field($_, 'PPid') // 0) == $pid } map { m{(\d+)} } glob '/proc/[0-9]*';

    $node->kill9;
    wait_for('all processes to end', sub { !grep { kill 0, $_ } @children });
    $node->start;
    return;
}
