# An answer and a reset in one.  Whether that is an answer does not depend on which
# of the two is seen first: it is if the receiver had the whole event.  A refusal
# may come before; it is read although the rest of the event cannot be sent.
#
# A refusal or a redirect that does not end.  And what a set-up that never ends costs those behind it, and whose bytes count
# where a receiver is slow.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use Certificates;
use Child;
use IO::Socket::INET;
use Ledgers;
use NodeReceiver;
use RswebhookTest;
use Socket ();
use Test::More;

plan skip_all => 'libcurl before 7.80 does not tell when it is connected' unless libcurl_at_least(7, 80);
plan skip_all => 'no openssl' unless Certificates::program();
plan skip_all => NodeReceiver::missing() if NodeReceiver::missing();
plan skip_all => 'what was acknowledged is known on Linux only' if $^O ne 'linux';

my %hasty = (
    min_backoff => '20 ms',
    max_backoff => '50 ms',
    retry_after_factor => 0,
    retry_window => '0',
    min_attempts => 2,
    breaker_failures => 0,
    timeout => '60 s',
    connect_timeout => '60 s',
    max_redirects => 1);
my $large = 2_000_000;
our $each = 12;
my %expected;    # id => what becomes of it
my $certificates = Certificates->new(temp_dir('certificates'));
my $receiver = NodeReceiver->new(temp_dir('node'), $certificates, hasty => 1);
my $node = new_node('resets',
    conf => "rswebhook.max_event_size = 32MB\nrswebhook.max_request_size = 32MB\nrswebhook.max_in_flight_size = 1GB\n");
my $pids = worker_pids($node);

foreach my $scheme ('http', 'https')
{
    local $hasty{ca_cert} = $certificates->text('ca.pem') if $scheme eq 'https';

    # the whole event, the answer, a reset
    foreach my $size (1_000, 9_000, 200_000, 900_000)
    {
        expect("$scheme, $size bytes", $scheme, '/all/200/reset', $size, 'delivered 200 1');
    }
    expect("$scheme, in the URL", $scheme, '/all/200/reset', 9_000, 'delivered 200 1', method => 'GET');
    expect_kept("$scheme, on a kept connection", $scheme, 200_000, 'reset');
    expect_kept("$scheme, before the next request is taken", $scheme, 20_000, 'late');

    # the answer before that
    foreach my $n (0, 100_000)
    {
        foreach my $end ('reset', 'close')
        {
            expect("$scheme, 413 after $n, $end", $scheme, "/$n/413/$end", $large, 'aborted 413 1');
            expect("$scheme, 200 after $n, $end", $scheme, "/$n/200/$end", $large, 'retry 200 1, aborted 200 2');
        }
    }
    foreach my $size ($large, 900_000)
    {
        expect("$scheme, 413 without a length, $size bytes", $scheme, '/1000/413/close/unlimited', $size, 'aborted 413 1');
    }
    expect("$scheme, a redirect", $scheme, '/1000/307/reset', $large, 'delivered 200 1');

    # it has a head, and its body does not end
    foreach my $size (1_000, $large)
    {
        expect("$scheme, an endless redirect, $size bytes", $scheme, '/1000/307/keep/unlimited', $size, 'delivered 200 1');
    }
    expect_endless("$scheme, an endless $_", $scheme, $_, "aborted $_ 1") foreach 413, 500;
}
is(join("\n", disagreements($node, $receiver)), '', 'what is recorded is what was received');
expect_endless('an endless success', 'http', 200, 'aborted 200 1');
is(query($node, q{
        SELECT string_agg(DISTINCT concat_ws(' ', status, regexp_replace(v.error, '[:;].*', '')), ', ')
        FROM rswebhook.delivery AS v JOIN rswebhook.destination AS d ON d.id = v.destination_id
        WHERE name LIKE '%endless success' OR name LIKE '%endless 413' OR name LIKE '%endless 500'}),
    '200 receiving the answer, 413 HTTP status 413, 500 HTTP status 500', 'a refusal is one, and a success is none');

# The answer before the whole URL, which has the event
{
    my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 128) or die "could not listen: $@\n";
    setsockopt $listener, Socket::SOL_SOCKET(), Socket::SO_RCVBUF(), 4096;
    my $child = Child::start(sub { answer_at_once($listener) });

    expect('half a URL', undef, 'http://127.0.0.1:' . $listener->sockport . '/', 60_000,
        'retry 1, aborted 2', method => 'GET');
    Child::stop($child, 'TERM');
}

# Those behind a set-up that never ends have no more time than it had
{
    my $silent = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 128) or die "could not listen: $@\n";
    my $url = 'https://127.0.0.1:' . $silent->sockport . '/';

    add_destination($node, 'silent', $url, { %hasty, min_attempts => 1, connect_timeout => '4 s' });
    send_all($node, map { [ 'silent', "silent-$_", $url ] } 1 .. 5);
    ok(wait_until_sent($node), 'nobody speaks TLS');
    my ($row) = query_rows($node, q{
        SELECT count(*) AS n, extract(epoch FROM max(duration) - min(duration)) AS apart
        FROM rswebhook.delivery AS d JOIN rswebhook.event AS e ON e.id = d.event_id
        WHERE e.event->>'messageId' LIKE 'silent-%' AND d.attempt = 1 AND duration >= '3.9 s'});
    is($row->{n}, 5, 'all have tried');
    # or they had as long as it, after they had waited for it for a second
    cmp_ok($row->{apart}, '<', 0.9, 'and took as long as the first');
}

# What the receiver takes keeps an event alive, and not what lies in our kernel
{
    my $url = $receiver->hasty_url('http', '/all/200/keep/500000');

    add_destination($node, 'slow', $url, { %hasty, min_attempts => 1, low_speed_limit => 1, low_speed_time => '3 s' });
    send_all($node, [ 'slow', 'slow', $url, undef, 6_000_000 ]);
    ok(wait_until_sent($node), 'a slow receiver');
    $expected{slow} = 'delivered 200 1';
}
my %recorded = attempts($node);

# that its answer is no success is sure, that it is read before the reset is not
s/ 200\b//g foreach @recorded{ grep { /^half-a-URL/ } keys %recorded };
is(join("\n", map { "$_: $recorded{$_}, not $expected{$_}" } grep { $recorded{$_} ne $expected{$_} } sort keys %expected),
    '', 'the same becomes of each, each time');
is(worker_pids($node), $pids, 'the workers are the same');

done_testing();

# Each of some events comes to that.
sub expect
{
    my ($name, $scheme, $path, $size, $becomes, %option) = @_;
    my $url = defined $scheme ? $receiver->hasty_url($scheme, $path) : $path;
    my @ids = map { id_of($name, $_) } 1 .. $each;

    @expected{@ids} = ($becomes) x @ids;
    add_destination($node, $name, $url, { %hasty, %option });
    send_all($node, map { [ $name, $_, $url, undef, $size ] } @ids);
    ok(wait_until_sent($node), "$name: nothing is owed any more");
    return;
}

# Each has the head of an answer, and then nothing until its time is over.
sub expect_endless
{
    my ($name, $scheme, $status, $becomes) = @_;
    local $each = 3;

    expect($name, $scheme, "/all/$status/keep/unlimited", 1_000, $becomes, timeout => '1 s', min_attempts => 1);
    return;
}

# The reset comes after some requests on the same connection, and under the next
# one, which is sent on another.
sub expect_kept
{
    my ($name, $scheme, $size, $end) = @_;
    my $url = $receiver->hasty_url($scheme, '');
    my @ends = map { $_ % 4 ? 'keep' : $end } 1 .. $each;

    @expected{ map { id_of($name, $_) } 1 .. $each } = ('delivered 200 1') x $each;
    add_destination($node, $name, $url, { %hasty, max_in_flight => 1 });
    send_all($node, map { [ $name, id_of($name, $_), "$url/all/200/$ends[ $_ - 1 ]", 'one', $size ] } 1 .. $each);
    ok(wait_until_sent($node), "$name: nothing is owed any more");
    return;
}

sub id_of
{
    return join '_', map { s/\W+/-/gr } @_;
}

# 200, and a reset, after the first bytes.
sub answer_at_once
{
    my ($listener) = @_;

    while (my $socket = $listener->accept())
    {
        sysread $socket, my $bytes, 1000;
        syswrite $socket, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        setsockopt $socket, Socket::SOL_SOCKET(), Socket::SO_LINGER(), pack('ii', 1, 0);
        close $socket;
    }
    return;
}
