# Connections that are never set up: libcurl 7.88 closes their sockets and tells
# nobody, and the next socket has the same number.  None of them is counted as
# open for ever, and none is taken for another connection's.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use IO::Socket::INET;
use RswebhookTest;
use Test::More;

my $receiver = new_receiver();
my $node = new_node('never_connected', conf => "rswebhook.max_in_flight = 8\n");
my $pids = worker_pids($node);

# takes no connection any more: what would be the next one hangs
my $full = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1) or die "could not listen: $!\n";
my @waiting = map { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $full->sockport, Blocking => 0) } 1 .. 4;

my %once = (ordered => 0, retry_window => '0', min_attempts => 1, breaker_failures => 0);
add_destination($node, 'full', 'http://127.0.0.1:' . $full->sockport . '/', { %once, connect_timeout => '50 ms', max_in_flight => 4 });
# each takes a new connection
add_destination($node, 'short', $receiver->url('/then-close/0.01/ok'), \%once);

# many more than there may be sockets at once
my ($failures, $others) = (200, 600);
query($node, qq{
    SELECT count(rswebhook_send('{"type": "track", "userId": "u"}', CASE WHEN n % 4 = 0 THEN 'full' ELSE 'short' END))
    FROM generate_series(1, $failures + $others) AS n});
ok(wait_until_sent($node), 'nothing is owed any more');
is(ended('full'), "aborted connecting $failures", 'no connection was made to the one');
is(ended('short'), "delivered $others", 'the other one has got all, at the first attempt');
is(query($node, q{SELECT count(*) FROM rswebhook.workers() WHERE lacks IS NOT NULL}), 0, 'nothing is lacking');
is(times_logged($node, qr/rswebhook has to wait with requests/), 0, 'nor was it');
is(worker_pids($node), $pids, 'the workers are the same');

# in one turn: those that are overdue as it looks at them, and new ones
query($node, q{UPDATE rswebhook.destination SET connect_timeout = '20 ms', timeout = '20 ms' WHERE name = 'full'});
foreach (1 .. 10)
{
    query($node, q{
        SELECT count(rswebhook_send('{"type": "track", "userId": "u"}', CASE WHEN n % 2 = 0 THEN 'full' ELSE 'short' END))
        FROM generate_series(1, 40) AS n});
    kill 'STOP', split / /, $pids;
    pass_time(0.05);
    kill 'CONT', split / /, $pids;
}
ok(wait_until_sent($node), 'workers that were stopped go on');
is(query($node, q{SELECT count(*) FROM rswebhook.workers() WHERE lacks IS NOT NULL}), 0, 'and lack nothing');
is(worker_pids($node), $pids, 'they are the same');
$node->stop('fast');

done_testing();

sub ended
{
    my ($name) = @_;

    return query($node, qq{
        SELECT string_agg(line, ', ') FROM (
            SELECT concat_ws(' ', outcome, split_part(error, ':', 1), count(*)) AS line
            FROM rswebhook.delivery WHERE destination_id = rswebhook.destination_id('$name')
            GROUP BY outcome, split_part(error, ':', 1) ORDER BY 1) AS lines});
}
