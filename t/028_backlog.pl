# A large backlog that cannot be delivered costs the worker neither memory nor
# time, and none of it is lost.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use Nginx;
use RswebhookTest;
use Test::More;
use Time::HiRes qw(time);

plan skip_all => 'needs nginx' unless defined Nginx::program();

my $count = $ENV{RSWEBHOOK_BACKLOG} // 100_000;
my $nginx = Nginx->new(temp_dir('nginx'));
my $receiver = new_receiver();
my $node = new_node('backlog',
    conf => "shared_buffers = 128MB\nmax_wal_size = 4GB\nautovacuum = off\n");

my %patient = (min_backoff => '1 s', max_backoff => '1 h');
add_destination($node, 'good', $nginx->url('/good'));
add_destination($node, 'dead', 'http://127.0.0.1:' . refusing_port() . '/', \%patient);

# Each event fails, without a breaker, and is to be tried again much later
add_destination($node, 'failing', $receiver->url('/status/500'),
    { %patient, min_backoff => '1 h', breaker_failures => 0 });
my $workers = worker_pids($node);

# One in twenty is one user's, the others of many
query($node, qq{
    SELECT count(rswebhook_send(jsonb_build_object('type', 'track', 'messageId', 'backlog-' || n,
        'userId', CASE WHEN n % 20 = 0 THEN 'one' ELSE 'u' || n % 10000 END), '$_->[0]'))
    FROM generate_series(1, $_->[1]) AS n}) foreach [ 'dead', $count ], [ 'failing', $count / 10 ];
ok( wait_for_query($node, q{SELECT breaker FROM rswebhook.status WHERE destination = 'dead'}, 'open'),
    'one destination is dead');
ok( wait_for_query($node, q{
        SELECT count(*) >= 9501 FROM rswebhook.queue WHERE attempts > 0
        AND destination_id = (SELECT id FROM rswebhook.destination WHERE name = 'failing')}, 't'),
    'the other one fails for each of its users');

my $largest = largest($workers, 'RssAnon');
# once what was recorded last is done with
my $cpu;
foreach (1 .. 5)
{
    my $before = cpu_time($workers);
    pass_time(2);
    $cpu = cpu_time($workers) - $before;
    last if $cpu < 0.2;
}
cmp_ok($cpu, '<', 0.2, "waiting costs next to nothing ($cpu s in 2 s)");

query($node, q{
    SELECT count(rswebhook_send(jsonb_build_object('type', 'track', 'messageId', 'good-' || n,
        'userId', 'u' || n), 'good'))
    FROM generate_series(1, 1000) AS n});
ok( wait_for_query($node, q{
        SELECT NOT EXISTS (SELECT FROM rswebhook.queue AS q WHERE q.destination_id =
            (SELECT d.id FROM rswebhook.destination AS d WHERE d.name = 'good'))}, 't'),
    'another one gets its events');

# When it is up again, all arrive
my $url = $nginx->url('/dead');
my $start = time();
query($node, qq{
    UPDATE rswebhook.destination SET url = '$url' WHERE name = 'dead';
    SELECT rswebhook_resume('dead')});
ok( wait_for('all to be delivered',
        sub {
            my $kb = largest($workers, 'RssAnon');
            $largest = $kb if $kb > $largest;
            return query($node, q{
                SELECT NOT EXISTS (SELECT FROM rswebhook.queue AS q WHERE q.destination_id =
                    (SELECT d.id FROM rswebhook.destination AS d WHERE d.name = 'dead'))}) eq 't';
        }, undef, sub { $nginx->progress }),
    'all are delivered when it is up again');
note(sprintf '%.0f a second, worker at most %.1f MB', $count / (time() - $start), $largest / 1024);
# sanitizers keep what was freed
my $bound = $ENV{RSWEBHOOK_SANITIZED} ? 180 : 60;
cmp_ok($largest, '<', $bound * 1024, "no worker took more than $bound MB");
is(worker_pids($node), $workers, 'they are still the same workers');

$nginx->stop;
my (%times, %last, $out_of_order);
foreach my $request ($nginx->requests(qr/^backlog-/))
{
    my ($n) = $request->{id} =~ /(\d+)/;
    my $user = $n % 20 == 0 ? 'one' : $n % 10000;

    $times{$n}++;
    $out_of_order++ if ($last{$user} // 0) > $n;
    $last{$user} = $n;
}
is(scalar keys %times, $count, 'each has arrived');
is((grep { $_ > 1 } values %times) + 0, 0, 'once');
is($out_of_order // 0, 0, 'each user\'s in order');

done_testing();
