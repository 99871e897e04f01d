# HTTP/2 by hand: what no library of a receiver would say.  After a connection
# error none of its streams is waited for, and a redirect is followed although it
# comes before the event was read.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use Certificates;
use Http2;
use Ledgers;
use RswebhookTest;
use Test::More;

plan skip_all => Http2::missing() if Http2::missing();

my $certificates = Certificates->new(temp_dir('certificates'));
my $receiver = new_receiver();
my $node = new_node('http2_frames', conf => "rswebhook.max_in_flight_size = 1GB\n");
my $pids = worker_pids($node);
# Much longer than the test may wait
my %hasty = (Http2::hasty($certificates), ordered => 0, timeout => '300 s');
foreach my $frame (qw(window-0 window-overflow headers-even data-0 ping-short settings-odd goaway-short rst-idle push))
{
    my (undef, $url) = Http2::by_hand($certificates, 'broken', $frame);

    add_destination($node, $frame, $url, \%hasty);
    send_all($node, map { [ $frame, "$frame-$_", $url ] } 1 .. 3);
    ok(wait_until_sent($node), "$frame: nothing is waited for");
}
my %recorded = attempts($node);
# the one for which the connection was set up may have failed with it
is(join("\n", map { "$_: $recorded{$_}" } grep { $recorded{$_} !~ /^(?:retry 1, )?delivered 200/ } sort keys %recorded),
    '', 'all of it is delivered on another connection');

my (undef, $there) = Http2::told($certificates, {});
my (undef, $url) = Http2::by_hand($certificates, 'redirect', $there);
add_destination($node, 'redirect', $url, { %hasty, max_redirects => 3 });
foreach my $size (10, 900_000)
{
    send_all($node, map { [ 'redirect', "redirect-$size-$_", $url, undef, $size ] } 1 .. 20);
    ok(wait_until_sent($node), "redirects of $size bytes");
}
%recorded = attempts($node);
is(join("\n", map { "$_: $recorded{$_}" } grep { /^redirect/ && $recorded{$_} ne 'delivered 200 1' } sort keys %recorded),
    '', 'are followed');
is(worker_pids($node), $pids, 'the workers are the same');

done_testing();
