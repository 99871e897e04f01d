# HTTP/2 by hand: what no library of a receiver would say.  After a connection
# error, or once TLS is over, none of its streams is waited for and none goes out,
# and a redirect is followed although it comes before the event was read.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use Certificates;
use Http2;
use JSON::PP;
use Ledgers;
use RswebhookTest;
use Test::More;

plan skip_all => Http2::missing() if Http2::missing();

my $certificates = Certificates->new(temp_dir('certificates'));
my $node = new_node('http2_frames', conf => "rswebhook.max_in_flight_size = 1GB\n");
my $pids = worker_pids($node);
# Much longer than the test may wait
my %hasty = (Http2::hasty($certificates), ordered => 0, timeout => '300 s', connect_timeout => '300 s');
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

# Over for all that use it, by what TLS or our own HTTP/2 says, with an answer or
# without, while its socket stays open: each is sent again at once
my %told;
foreach my $requests (2, 4)
{
    my %over = (at => $requests, events => $requests, warm => 1);

    foreach my $answers (0, 1)
    {
        $told{"notify-$requests-$answers"} = { %over, answers => $answers, end => 'notify' };
        $told{"goaway-$requests-$answers"} = { %over, answers => $answers, end => 'notify', code => 0, takes => $requests };
        $told{"failure-$requests-$answers"} = { %over, answers => $answers, end => 'notify', code => 2, takes => $requests };
        $told{"cold-$requests-$answers"} = { %over, answers => $answers, end => 'notify', warm => 0 };
        $told{"tls12-$requests-$answers"} = { %over, answers => $answers, end => 'notify', tls => 'TLSv1.2' };
        $told{"garbage-$requests-$answers"} = { %over, answers => $answers, end => 'garbage' };
        $told{"large-$requests-$answers"} = { %over, answers => $answers, end => 'notify', early => JSON::PP::true, size => 900_000 };
        $told{"$_-$requests-$answers"} = { %over, answers => $answers, frame => $_ }
          foreach qw(window-0 data-idle ping-byte settings-range settings-ack rst-idle text);
    }
    # nothing but heads
    $told{"endless-$requests"} = { at => $requests, events => $requests, end => 'notify', endless => JSON::PP::true };
}
my @names = sort keys %told;
my ($file, @urls) = Http2::told($certificates, map { $told{$_} } @names);
my %url;
@url{@names} = @urls;
add_destination($node, $_, $url{$_}, { %hasty, max_in_flight => 32 }) foreach @names;
send_all($node, map { [ $_, "over-$_-warm", $url{$_} ] } grep { $told{$_}{warm} } @names);
ok(wait_until_sent($node), 'the first ones');
send_all($node, map { my $name = $_; map { [ $name, "over-$name-$_", $url{$name}, undef, $told{$name}{size} ] } 1 .. $told{$name}{events} } @names);
ok(wait_until_sent($node), 'a connection is over, and its socket open: nothing is waited for');
%recorded = attempts($node);
is(join("\n", map { "$_: $recorded{$_}" } grep { /^over-/ && $recorded{$_} ne 'delivered 200 1' } sort keys %recorded),
    '', 'each is delivered by its first attempt')
  or diag(query($node, 'SELECT error, count(*), max(duration) FROM rswebhook.delivery WHERE error IS NOT NULL GROUP BY error'));

# Over while nobody uses it, soon after an answer, while its socket stays open: the
# next event goes out on another one, and it is closed whether or not there is one
my %idle = map { ("frame-$_" => { after => 50, frame => $_ }) } qw(window-0 data-idle settings-ack text);
$idle{garbage} = { after => 50, end => 'garbage' };
# Nothing is wrong with it, and nobody would read it
$idle{"much-$_"} = { after => 500, frame => 'much' } foreach qw(next none);
foreach my $tls (qw(TLSv1.2 TLSv1.3))
{
    my $name = lc($tls =~ tr/.//dr);
    my %notify = (end => 'notify', tls => $tls);

    foreach my $ms (3, 50, 500)
    {
        $idle{"$name-$ms-$_"} = { %notify, after => $ms } foreach qw(next none);
    }
    $idle{"$name-ping-$_"} = { %notify, after => 50, frame => 'ping' } foreach qw(next none);
}
@names = sort keys %idle;
($file, @urls) = Http2::told($certificates, map { { at => 1, %{ $idle{$_} } } } @names);
@url{@names} = @urls;
add_destination($node, "idle-$_", $url{$_}, \%hasty) foreach @names;
send_all($node, map { [ "idle-$_", "idle-$_-1", $url{$_} ] } @names);
my %said;
ok( wait_for(
        'what comes after the answers',
        sub {
            my @new = grep { !$said{$_}++ } map { $names[$_] } lines("$file.said");
            my @events = map { [ "idle-$_", "idle-$_-2", $url{$_} ] } grep { !/none$/ } @new;
            send_all($node, @events) if @events;
            return keys %said == @names;
        }),
    'what comes after the answers');
ok(wait_until_sent($node), 'it is over before the next event: nothing is waited for');
%recorded = attempts($node);
is(join("\n", map { "$_: $recorded{$_}" } grep { /^idle-/ && $recorded{$_} ne 'delivered 200 1' } sort keys %recorded),
    '', 'which is delivered by its first attempt');
my @open;
wait_for(
    'connections that are over to be closed',
    sub {
        my %left = map { /^(\d+) 1$/ ? ($names[$1] => 1) : () } lines("$file.left");
        # what comes so soon may be read with the answer, and found by the next request
        @open = grep { /^tls|^much-none/ && !/-3-none$/ && !$left{$_} } @names;
        return !@open;
    },
    30);
is("@open", '', 'connections that are over are closed');

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

sub lines
{
    my ($name) = @_;

    open my $in, '<', $name or die "could not read \"$name\": $!\n";
    chomp(my @lines = <$in>);
    return @lines;
}
