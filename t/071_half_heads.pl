# An answer counts when its head is whole, and when it is the answer to a whole
# request: what comes before the blank line is none, whatever it says.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use Certificates;
use Ledgers;
use NodeReceiver;
use RswebhookTest;
use Test::More;

my %hasty = (
    min_backoff => '10 ms',
    max_backoff => '10 ms',
    retry_after_factor => 0,
    retry_window => '0',
    min_attempts => 2,
    breaker_failures => 0,
    max_in_flight => 16,
    timeout => '30 s');
my $large = 900_000;
my $repeats = 3;
my $end = "Content-Length: 0\r\n\r\n";

# name => [bytes, what becomes of it at first]
my %whole = (
    'no reason' => [ "HTTP/1.1 200\r\n$end", 'delivered 200' ],
    'newlines only' => [ "HTTP/1.1 200 OK\nContent-Length: 0\n\n", 'delivered 200' ],
    'no length' => [ "HTTP/1.1 200 OK\r\n\r\n", 'delivered 200' ],
    'HTTP/1.0' => [ "HTTP/1.0 200 OK\r\n\r\nok", 'delivered 200' ],
    'after a 103' => [ "HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n$end", 'delivered 200' ],
    'a header like a 200' => [ "HTTP/1.1 503 No\r\nHTTP/1.1 200: y\r\n$end", 'retry 503' ],
    'a header like a 410' => [ "HTTP/1.1 200 OK\r\nHTTP/1.1 410: y\r\n$end", 'delivered 200' ],
    'a header like HTTP/2' => [ "HTTP/1.1 503 No\r\nHTTP/2 200: y\r\n$end", 'retry 503' ],
    'a header like a 200, and no end' => [ "HTTP/1.1 503 No\r\nHTTP/1.1 200: y\r\n", 'retry' ],
    'a 103 with a header like a 200' => [ "HTTP/1.1 103 Early\r\nHTTP/1.1 200: y\r\n\r\n", 'retry' ],
    'a trailer like a 410' =>
      [ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nHTTP/1.1 410: y\r\n\r\n", 'delivered 200' ],
    'a trailer like a 200' =>
      [ "HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nHTTP/1.1 200: y\r\n\r\n", 'retry 503' ],
    '103 only' => [ "HTTP/1.1 103 Early\r\nLink: x\r\n\r\n", 'retry' ],
    '100 and half a 200' => [ "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nServer: x\r\n", 'retry' ],
    'half a header' => [ "HTTP/1.1 200 OK\r\nServer: x\r\nContent-Le", 'retry' ],
    '410 and half a header' => [ "HTTP/1.1 410 Gone\r\nServer: x\r\nContent-Le", 'retry' ],
    'a status line' => [ "HTTP/1.1 200 OK\r\n", 'retry' ],
    'a 410 status line' => [ "HTTP/1.1 410 Gone\r\n", 'retry' ]);

# Cut at every byte
my %cut;
foreach my $head ("HTTP/1.1 200 OK\r\nServer: x\r\n$end", "HTTP/1.1 410 Gone\r\n$end", "HTTP/1.1 200 OK\r\n\r\n")
{
    foreach my $at (1 .. length($head) - 1)
    {
        my $bytes = substr($head, 0, $at);
        $cut{"cut $at of " . ($head =~ s/\s+/ /gr)} = [ $bytes, 'retry' ];
    }
}

# Answers to what was not sent whole: no success, ever, and the same each time.
# name => [words, outcomes that may be]; an end may overtake a refusal
my %early = (
    map({
            my ($bytes, $gone) = map { escaped("HTTP/1.1 $_\r\nConnection: close\r\n$end") } '200 OK', '413 Too Large';
            my $n = $_;
            (
                "200 after $n, close" => [ "early/$n/raw/close/$bytes", qr/^retry( 200)? 1, aborted/ ],
                "200 after $n, shut" => [ "early/$n/raw/shut/$bytes", qr/^retry( 200)? 1, aborted/ ],
                "200 after $n, reset" => [ "early/$n/raw/reset/$bytes", qr/^retry( 200)? 1, aborted/ ],
                "413 after $n, close" => [ "early/$n/raw/close/$gone", qr/^(retry( 413)? 1, aborted|aborted 413 1$)/ ],
                "413 after $n, shut" => [ "early/$n/raw/shut/$gone", qr/^aborted 413 1$/ ],
                "413 after $n, kept" => [ "early/$n/raw/keep/$gone", qr/^aborted 413 1$/ ],
                "413 after $n, reset" => [ "early/$n/raw/reset/$gone", qr/^(retry( 413)? 1, aborted|aborted 413 1$)/ ])
        } 0, 100_000));

my $receiver = new_receiver();
my $node = new_node('heads', conf => "rswebhook.max_event_size = 32MB\nrswebhook.max_request_size = 32MB\n");
my $pids = worker_pids($node);

test_heads('http', $receiver->url(''), 'close', 'shut', 'reset');
test_early('http', $receiver->url(''));

SKIP:
{
    skip 'libcurl before 7.77 takes no CA of its own', 1 unless libcurl_at_least(7, 77);
    skip 'no openssl', 1 unless Certificates::program();
    skip NodeReceiver::missing(), 1 if NodeReceiver::missing();

    my $certificates = Certificates->new(temp_dir('certificates'));
    my $relay = NodeReceiver->new(temp_dir('node'), $certificates, relay => [$receiver], rude_relay => [$receiver]);

    $hasty{ca_cert} = $certificates->text('ca.pem');
    test_heads('https', 'https://127.0.0.1:' . $relay->relay_port(0), 'close', 'reset');
    test_heads('https-rude', 'https://127.0.0.1:' . $relay->relay_port(1), 'close');
    ($large, $repeats) = (16_000_000, 1);    # the relay has buffers, too
    test_early('https', 'https://127.0.0.1:' . $relay->relay_port(1));
}
my @disagreements = grep { !/two-blanks|https-rude_close_(no-length|HTTP-1-0)/ } disagreements($node, $receiver);
is(scalar @disagreements, 0, 'what is recorded is what was received');
diag($_) foreach grep { defined } @disagreements[ 0 .. 29 ];
is(worker_pids($node), $pids, 'the workers are the same');

done_testing();

sub test_heads
{
    my ($protocol, $url, @ends) = @_;
    my %expected;
    my @events;

    add_destination($node, $protocol, $url, \%hasty);
    foreach my $name (sort(keys %whole), sort(keys %cut))
    {
        my ($bytes, $becomes) = @{ $whole{$name} // $cut{$name} };

        foreach my $how ($becomes eq 'retry' ? @ends : 'close')
        {
            my $id = name_of($protocol, $how, $name);

            $expected{$id} = [ "$name, $how", $becomes ];
            push @events, [ $protocol, $id, "$url/raw/$how/" . escaped($bytes) ];
        }
    }
    send_all($node, @events);
    ok(wait_until_sent($node), "$protocol: nothing is owed any more");

    my %recorded = attempts($node);
    # not all versions of libcurl take this for a status line
    my $two_blanks = name_of($protocol, 'close', 'two blanks');
    send_all($node, [ $protocol, $two_blanks, "$url/raw/close/" . escaped("HTTP/1.1  200 OK\r\n$end") ]);
    ok(wait_until_sent($node), "$protocol: nothing is owed any more");
    like({ attempts($node) }->{$two_blanks}, qr/^(delivered 200 1|retry 1, aborted 2)$/, "$protocol: two blanks");

    # without close_notify, some take the end of a body without a length for a cut
    if ($protocol eq 'https-rude')
    {
        $expected{ name_of($protocol, 'close', $_) }[1] = qr/(?:delivered|retry) 200/ foreach 'no length', 'HTTP/1.0';
    }

    # of half a head we may have read the status, which is none
    my @wrong = map { "$expected{$_}[0]: $recorded{$_}, not $expected{$_}[1]" }
      grep { ($recorded{$_} // '') !~ ($expected{$_}[1] eq 'retry' ? qr/^retry( \d+)? 1,/ : qr/^$expected{$_}[1] 1\b/) }
      sort keys %expected;
    is(scalar @wrong, 0, "$protocol: no answer but in a whole head");
    diag($_) foreach grep { defined } @wrong[ 0 .. 29 ];
    return;
}

sub test_early
{
    my ($protocol, $url) = @_;
    # with TLS in front, an end of what the receiver writes does not stop what
    # it is written: all of it is taken
    my @names = grep { $protocol eq 'http' || !/^200.*shut$/ } sort keys %early;
    my @ids = map { my $n = $_; map { [ $_, name_of("$protocol-early", $_, $n) ] } @names } 1 .. $repeats;

    add_destination($node, "$protocol-early", $url, \%hasty);
    send_all($node, map { [ "$protocol-early", $_->[1], "$url/$early{$_->[0]}[0]", $_->[1], $large ] } @ids);
    ok(wait_until_sent($node), "$protocol, early: nothing is owed any more");

    my %recorded = attempts($node);
    my @wrong = map { "$_->[1]: $recorded{$_->[1]}" } grep { ($recorded{ $_->[1] } // '') !~ $early{ $_->[0] }[1] } @ids;
    is(join("\n", @wrong), '', "$protocol: no answer to half a request but a refusal");
    return;
}

sub name_of
{
    return join '_', map { s/\W+/-/gr } @_;
}
