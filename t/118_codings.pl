# What an answer's body is packed with, and what a status line says of HTTP, are the
# receiver's words, and cost nobody but itself.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use Certificates;
use Http2;
use IO::Compress::Deflate ();
use IO::Compress::Gzip ();
use Ledgers;
use RswebhookTest;
use Test::More;

my $receiver = new_receiver();
my $node = new_node('codings');
my $url = $receiver->url('');

add_destination($node, 'packed', $url, { ordered => 0, min_attempts => 1, retry_window => '0' });
add_destination($node, 'neighbour', $url);

my $brotli = "\x0b\x02\x80hello\x03";
my %body = (
    'gzip' => gzip('hello'),
    'x-gzip' => gzip('hello'),
    'deflate' => deflate('hello'),
    'GZIP , identity' => gzip('hello'),
    'identity' => 'hello',
    # what is behind the first one is no reason not to take the status
    "gzip\r\nX-Members: 2" => gzip('hel') . gzip('lo'),
    "gzip\r\nX-Padded: 1" => gzip('hello') . "\0" x 4,
    "deflate\r\nX-Padded: 1" => deflate('hello') . 'rubbish',
    # of which a few bytes may unpack to gigabytes of nothing, or want megabytes for it
    'gzip, gzip' => gzip(gzip('hello')),
    'deflate, x-gzip' => gzip(deflate('hello')),
    "gzip\r\nContent-Encoding: gzip" => gzip(gzip('hello')),
    'br' => $brotli,
    'gzip, br' => $brotli);
my %packed;
foreach my $coding (sort keys %body)
{
    foreach my $status (200, 410)
    {
        my $id = "$coding-$status" =~ s/\W+/-/gr;

        $packed{$id} = $coding;
        send_all($node, [ 'packed', $id, "$url/raw/close/" . escaped(answer($status, $coding, $body{$coding})) ]);
    }
}
ok(wait_until_sent($node), 'answers that are packed');
my %recorded = attempts($node);
is($recorded{$_}, /200$/ ? 'delivered 200 1' : 'aborted 410 1', "$_: the status counts") foreach sort keys %packed;
is(kept(), join(', ', sort grep { $packed{$_} =~ /^(?:(?:x-)?gzip|deflate|identity|GZIP , identity)(?:\r\nX-Padded: 1)?$/ } keys %packed),
    'and one coding that is cheap is unpacked');
is(join(', ', sort keys %{ { map { $_->{headers}{'accept-encoding'} => 1 } $receiver->requests } }), 'deflate, gzip', 'no other is asked for');

# A kilobyte of four codings that unpacks to nothing, 400 MB of it
my $bomb = bomb(400_000_000);
cmp_ok(length $bomb, '<', 4000, 'a bomb is small');
my $pids = worker_pids($node);
my $before = cpu_ticks($pids);
send_all($node, map { [ 'packed', "bomb-$_", "$url/raw/close/" . escaped(answer(200, 'gzip, gzip, gzip, gzip', $bomb)) ] } 1 .. 20);
send_all($node, [ 'neighbour', 'neighbour', "$url/ok" ]);
ok(wait_until_sent($node), 'bombs');
%recorded = attempts($node);
is(join(', ', map { "$_: $recorded{$_}" } grep { /^bomb|^neigh/ && $recorded{$_} ne 'delivered 200 1' } sort keys %recorded),
    '', 'bombs are answers');
# unpacked, each takes longer than all of them together are given here
cmp_ok(cpu_ticks($pids) - $before, '<', 100, 'and cost next to nothing');

test_http2();

# HTTP/2's rule, by which a head is enough, is not for who only writes that name
send_all($node, [ 'packed', 'text', "$url/raw/close/" . escaped("HTTP/2 200 OK\r\nContent-Length: 100\r\n\r\nhalf of it") ]);
ok(wait_until_sent($node), 'a status line that says HTTP/2');
%recorded = attempts($node);
like($recorded{text}, qr/^aborted (?:200 )?1$/, 'an answer that breaks off is none, over HTTP/1.1');

done_testing();

# Over HTTP/2 it is the stream that ends, and not its connection
sub test_http2
{
    SKIP:
    {
        skip Http2::missing(), 4 if Http2::missing();
        my $certificates = Certificates->new(temp_dir('certificates'));
        my ($file, $told) = Http2::told($certificates, { coding => 'br' });

        add_destination($node, 'streams', $told, { Http2::hasty($certificates), max_in_flight => 8 });
        send_all($node, [ 'streams', 'stream_first', $told ]);
        ok(wait_until_sent($node), 'one over HTTP/2');
        send_all($node, map { [ 'streams', "stream_$_", $told ] } 1 .. 60);
        ok(wait_until_sent($node), 'and others');
        %recorded = attempts($node);
        is(join(', ', map { "$_: $recorded{$_}" } grep { /^stream/ && $recorded{$_} ne 'delivered 200 1' } sort keys %recorded), '', 'the status counts over HTTP/2');
        open my $in, '<', "$file.connected" or die "could not read \"$file.connected\": $!\n";
        is(scalar(() = <$in>), 1, 'and the connection goes on');
    }
    return;
}

sub gzip
{
    my ($data) = @_;

    IO::Compress::Gzip::gzip(\$data, \my $packed, -Minimal => 1) or die "could not pack\n";
    return $packed;
}

sub deflate
{
    my ($data) = @_;

    IO::Compress::Deflate::deflate(\$data, \my $packed) or die "could not pack\n";
    return $packed;
}

# Nothing, in so many bytes of empty blocks, packed three times more
sub bomb
{
    my ($size) = @_;
    my $out;
    my $gzip = IO::Compress::Gzip->new(\$out, -Minimal => 1);
    my $blocks = "\x00\x00\x00\xff\xff" x 200_000;

    $gzip->print("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff");
    $gzip->print($blocks) foreach 1 .. $size / length $blocks;
    $gzip->print("\x01\x00\x00\xff\xff" . "\x00" x 8);
    $gzip->close;
    return gzip(gzip($out));
}

sub answer
{
    my ($status, $coding, $body) = @_;

    return "HTTP/1.1 $status Whatever\r\nContent-Encoding: $coding\r\nContent-Length: @{[ length $body ]}\r\n\r\n$body";
}

# Whose bodies were kept, unpacked
sub kept
{
    return query($node, q{
        SELECT string_agg(e.event->>'messageId', ', ' ORDER BY e.event->>'messageId' COLLATE "C")
        FROM rswebhook.delivery AS v JOIN rswebhook.event AS e ON e.id = v.event_id
        WHERE v.response_body = 'hello'});
}

# Of the processor, a hundredth of a second each
sub cpu_ticks
{
    my ($pids) = @_;
    my $ticks = 0;

    foreach my $pid (split ' ', $pids)
    {
        open my $in, '<', "/proc/$pid/stat" or die "could not read of process $pid: $!\n";
        my @fields = split ' ', <$in> =~ s/.*\)//r;
        $ticks += $fields[11] + $fields[12];
    }
    return $ticks;
}
