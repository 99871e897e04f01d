# A hundred thousand events of one transaction, received by nginx: each
# arrives once, and the worker's memory does not grow with the backlog.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use Nginx;
use RswebhookTest;
use Test::More;
use Time::HiRes qw(time);

plan skip_all => 'needs nginx' unless defined Nginx::program();

my $count = $ENV{RSWEBHOOK_VOLUME} // 100_000;
my $nginx = Nginx->new(temp_dir('nginx'), listen => 'backlog=1024');
my $node = new_node('volume', conf => "shared_buffers = 64MB\nmax_wal_size = 2GB\n");

add_destination($node, 'nginx', $nginx->url('/volume'), { max_in_flight => 64 });
my $workers = worker_pids($node);
my $worker = worker_of($node, 'nginx');

my $start = time();
is(query($node, qq{
        SELECT count(rswebhook_send(jsonb_build_object(
            'type', 'track', 'event', 'Volume', 'userId', 'user-' || n % 1000,
            'messageId', 'volume-' || n, 'properties', jsonb_build_object('n', n)), 'nginx'))
        FROM generate_series(1, $count) AS n}),
    $count, 'all are queued');
note(sprintf 'queued in %.1f s', time() - $start);

# Memory of its own: pages of shared_buffers are shared with everybody.
my $largest = 0;
$start = time();
ok( wait_for('all to be delivered',
        sub {
            my $kb = (process_field($worker, 'RssAnon') // 0) + (process_field($worker, 'RssFile') // 0);
            $largest = $kb if $kb > $largest;
            return query($node, 'SELECT NOT EXISTS (SELECT FROM rswebhook.queue)') eq 't';
        }, undef, sub { $nginx->progress }),
    'nothing is owed any more');
my $seconds = time() - $start;
note(sprintf 'delivered in %.1f s, %.0f a second; worker at most %.1f MB',
    $seconds, $count / $seconds, $largest / 1024);
cmp_ok($largest, '<', 100 * 1024, 'the worker took less than 100 MB');
is(worker_pids($node), $workers, 'they are still the same workers');

$nginx->stop;
my (%times, $lines, %last_of_user, $out_of_order);
foreach my $request ($nginx->requests(qr/^volume-/))
{
    my ($n) = $request->{id} =~ /(\d+)/;
    $lines++;
    $times{$n}++ if $request->{status} == 200;
    $out_of_order++ if ($last_of_user{ $n % 1000 } // 0) >= $n;
    $last_of_user{ $n % 1000 } = $n;
}
is($lines, $count, 'as many requests as events');
is(scalar keys %times, $count, 'each event once');
is($out_of_order // 0, 0, 'each user\'s events in order');
is(query($node, q{SELECT count(*), count(DISTINCT event_id) FROM rswebhook.delivery
                  WHERE outcome = 'delivered'}),
    "$count|$count", 'each has its delivery row');

done_testing();
