# HTTP/2 by hand: what no library of a receiver would say.  After a connection
# error none of its streams is waited for, and a redirect is followed although it
# comes before the event was read.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use Certificates;
use Ledgers;
use NodeReceiver;
use POSIX ();
use RswebhookTest;
use Test::More;

plan skip_all => 'libcurl before 7.80 is not asked to speak HTTP/2' unless libcurl_at_least(7, 80);
plan skip_all => 'no openssl' unless Certificates::program();
plan skip_all => NodeReceiver::missing() if NodeReceiver::missing();

my @children;
my $certificates = Certificates->new(temp_dir('certificates'));
my $receiver = new_receiver();
my $node = new_node('http2_frames', conf => "rswebhook.max_in_flight_size = 1GB\n");
my $pid = worker_pid($node);
my %hasty = (
    ca_cert => $certificates->text('ca.pem'),
    min_backoff => '20 ms',
    max_backoff => '50 ms',
    retry_window => '0',
    min_attempts => 2,
    breaker_failures => 0,
    ordered => 0);

# Much longer than the test may wait
$hasty{timeout} = '300 s';
foreach my $frame (qw(window-0 window-overflow headers-even data-0 ping-short settings-odd goaway-short rst-idle push))
{
    my $url = by_hand('broken', $frame);

    add_destination($node, $frame, $url, \%hasty);
    send_all($node, map { [ $frame, "$frame-$_", $url ] } 1 .. 3);
    ok(wait_until_sent($node), "$frame: nothing is waited for");
}
my %recorded = attempts($node);
# the one for which the connection was set up may have failed with it
is(join("\n", map { "$_: $recorded{$_}" } grep { $recorded{$_} !~ /^(?:retry 1, )?delivered 200/ } sort keys %recorded),
    '', 'all of it is delivered on another connection');

my $url = by_hand('redirect', $receiver->url('/ok'));
add_destination($node, 'redirect', $url, { %hasty, max_redirects => 3 });
foreach my $size (10, 900_000)
{
    send_all($node, map { [ 'redirect', "redirect-$size-$_", $url, undef, $size ] } 1 .. 20);
    ok(wait_until_sent($node), "redirects of $size bytes");
}
%recorded = attempts($node);
is(join("\n", map { "$_: $recorded{$_}" } grep { /^redirect/ && $recorded{$_} ne 'delivered 200 1' } sort keys %recorded),
    '', 'are followed');
is(worker_pid($node), $pid, 'the worker is the same');

done_testing();

# A receiver of t/lib/frames.js; its URL.
sub by_hand
{
    my ($mode, $argument) = @_;
    my $dir = temp_dir('frames');
    my $child = fork() // die "could not fork: $!\n";

    if ($child == 0)
    {
        exec 'node', "$FindBin::RealBin/lib/frames.js", $mode, $argument, "$dir/port",
          $certificates->file('server.pem'), $certificates->file('server.key')
          or POSIX::_exit(127);
    }
    push @children, $child;
    wait_for('the receiver', sub { -e "$dir/port" }) or die "the receiver did not start\n";
    open my $in, '<', "$dir/port" or die "could not read \"$dir/port\": $!\n";
    return 'https://127.0.0.1:' . <$in> . '/';
}

END
{
    my $status = $?;

    foreach (@children)
    {
        kill 'TERM', $_;
        waitpid $_, 0;
    }
    $? = $status;
}
