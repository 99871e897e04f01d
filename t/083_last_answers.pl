# The answer and the end of the connection in one: a receiver that has read the
# whole event, says 200 and closes, as with "Connection: close", HTTP/1.0,
# keepalive_timeout 0 or a reload.  Whatever the event's size, that is delivered.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use Certificates;
use Ledgers;
use Nginx;
use NodeReceiver;
use RswebhookTest;
use Test::More;

my %hasty = (
    min_backoff => '20 ms',
    max_backoff => '50 ms',
    retry_window => '0',
    min_attempts => 3,
    breaker_failures => 0,
    timeout => '10 s',
    ordered => 0);
my @sizes = (1_000, 20_000, 200_000, 900_000);
my $each = 5;
my $receiver = new_receiver();
my $node = new_node('last_answers', conf => "rswebhook.max_event_size = 32MB\nrswebhook.max_request_size = 32MB\nrswebhook.max_in_flight_size = 1GB\n");
my $pids = worker_pids($node);
my %expected;

my $whole = escaped("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
my $old = escaped("HTTP/1.0 200 OK\r\n\r\nok");
send_sizes('close', $receiver->url('/last/ok'));
send_sizes('unsaid', $receiver->url("/raw/close/$whole"));
send_sizes('half', $receiver->url("/raw/shut/$whole"));
send_sizes('http10', $receiver->url("/raw/close/$old"));

SKIP:
{
    skip 'no nginx', 1 unless defined Nginx::program();

    my $nginx = Nginx->new(
        temp_dir('nginx'),
        server => 'keepalive_timeout 0;',
        root => 'proxy_pass http://127.0.0.1:' . $receiver->port . ';');
    send_sizes('nginx', $nginx->url('/ok'));
}

SKIP:
{
    skip 'libcurl before 7.77 takes no CA of its own', 1 unless libcurl_at_least(7, 77);
    skip 'no openssl', 1 unless Certificates::program();
    skip NodeReceiver::missing(), 1 if NodeReceiver::missing();

    my $certificates = Certificates->new(temp_dir('certificates'));
    my $relay = NodeReceiver->new(temp_dir('node'), $certificates, relay => [$receiver]);
    $hasty{ca_cert} = $certificates->text('ca.pem');
    send_sizes('tls', 'https://127.0.0.1:' . $relay->relay_port(0) . '/last/ok');
}

my %recorded = attempts($node);
is(join("\n", map { "$_: $recorded{$_}" } grep { $recorded{$_} ne 'delivered 200 1' } sort keys %expected),
    '', 'each is delivered by its first attempt');
is(join("\n", disagreements($node, $receiver)), '', 'what is recorded is what was received');

# An answer that comes before the event, on a connection that ends with it, is no success
my $early = escaped("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
add_destination($node, 'early', $receiver->url('/'), \%hasty);
send_all($node, map { [ 'early', "early-$_", $receiver->url("/early/100000/raw/close/$early"), undef, 8_000_000 ] } 1 .. $each);
ok(wait_until_sent($node), 'an answer to a part of the event');
%recorded = attempts($node);
is(join("\n", grep { $recorded{"early-$_"} =~ /^delivered/ } 1 .. $each), '', 'is no success');
is(worker_pids($node), $pids, 'the workers are the same');

done_testing();

# Events of all sizes there, while nothing else is sent
sub send_sizes
{
    my ($name, $url) = @_;

    delete local $hasty{ca_cert} if $url !~ /^https/;
    add_destination($node, $name, $url, \%hasty);
    foreach my $size (@sizes)
    {
        my @ids = map { "$name-$size-$_" } 1 .. $each;

        @expected{@ids} = ();
        send_all($node, map { [ $name, $_, $url, undef, $size ] } @ids);
        ok(wait_until_sent($node), "$name: $size bytes");
    }
    return;
}
