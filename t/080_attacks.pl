# What receivers did that nobody had thought of: answers before the request
# through proxies and TLS, heads that look like a lack of ours, windows that never
# open, streams that end with their answer.

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
use Test::More;

my $receiver = new_receiver();
my $node = new_node('attacks', conf => "rswebhook.max_in_flight_size = 1GB\n");
my $pids = worker_pids($node);
my %hasty = (
    min_backoff => '20 ms',
    max_backoff => '50 ms',
    retry_window => '0',
    min_attempts => 2,
    breaker_failures => 0,
    timeout => '30 s');

#
# A SOCKS proxy whose word comes with the bytes of an answer
#
my $socks = serve(
    sub {
        my ($client) = @_;

        sysread $client, my $greeting, 100;
        syswrite $client, "\5\0";
        sysread $client, my $request, 300;
        syswrite $client, "\5\0\0\1\0\0\0\0\0\0HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        sysread $client, my $rest, 1;
    });
add_destination($node, 'socks', 'http://127.0.0.1:9/', { %hasty, proxy => "socks5://127.0.0.1:$socks" });
my $early = send_event($node, { type => 'track' }, 'socks');
ok(wait_until_sent($node), 'an answer before the request');
SKIP:
{
    skip 'libcurl before 7.80 does not ask before it sends', 1 unless libcurl_at_least(7, 80);
    is(outcomes($node, $early), 'retry 1, aborted 2', 'is none');
}

#
# A status line that is too long is the receiver's affair
#
my $long = serve(
    sub {
        my ($client) = @_;

        sysread $client, my $request, 65536;
        syswrite $client, 'HTTP/1.1 503 ' . 'a' x 120_000 . "\r\n\r\n";
        sysread $client, my $rest, 1;
    });
add_destination($node, 'long', "http://127.0.0.1:$long/", \%hasty);
my $endless = send_event($node, { type => 'track' }, 'long');
ok(wait_until_sent($node), 'a status line without an end');
like(outcomes($node, $endless), qr/^retry( 503)? 1, aborted( 503)? 2$/, 'is an attempt, and no lack of ours');
is(query($node, 'SELECT count(lacks) FROM rswebhook.workers()'), '0', 'nothing is said to be lacking');

#
# A host that libcurl would take for an instruction
#
add_destination($node, 'minus', 'http://-x.test/', \%hasty);
my $minus = send_event($node, { type => 'track' }, 'minus');
ok(wait_until_sent($node), 'no name of a host');
like(query($node, "SELECT error FROM rswebhook.delivery WHERE event_id = $minus AND attempt = 1"),
    qr/^resolving the name: /, 'is not looked up');
is(largest($pids, 'Threads'), 1, 'nor is a thread started for it');

SKIP:
{
    skip 'libcurl before 7.80 is not asked to speak HTTP/2', 1 unless libcurl_at_least(7, 80);
    skip 'no openssl', 1 unless Certificates::program();
    skip NodeReceiver::missing(), 1 if NodeReceiver::missing();

    my $certificates = Certificates->new(temp_dir('certificates'));
    my $h2 = NodeReceiver->new(temp_dir('node'), $certificates);
    $hasty{ca_cert} = $certificates->text('ca.pem');

    #
    # A window that never opens: the worker sleeps meanwhile
    #
    add_destination($node, 'window', $h2->url(''), { %hasty, timeout => '1 h', low_speed_limit => 0 });
    send_all($node, [ 'window', 'window-1', $h2->url('/early/0/hang'), undef, 900_000 ]);
    ok(wait_for('the request', sub { grep { $_->{headers}{'webhook-id'} eq 'window-1' } $h2->requests }), 'a window that stays closed');
    pass_time(0.5);
    my $before = cpu_time($pids);
    pass_time(3);
    my $used = cpu_time($pids) - $before;
    cmp_ok($used, '<', 0.3, sprintf 'costs no time (%.2f s in 3 s)', $used);
    query($node, q{SELECT rswebhook_cancel_all('window')});

    #
    # Streams that end in the same packet as their answer
    #
    my $raw = raw_receiver($certificates);
    add_destination($node, 'ends', "https://127.0.0.1:$raw/", { %hasty, ordered => 0 });
    send_all($node, map { [ 'ends', "ends-$_", "https://127.0.0.1:$raw/" ] } 1 .. 8);
    ok(wait_until_sent($node), 'streams that end with their answer');
    my %recorded = attempts($node);
    is(join("\n", grep { $recorded{$_} ne 'delivered 200 1' } map { "ends-$_" } 1 .. 8), '', 'are answered all the same');
}
is(worker_pids($node), $pids, 'the workers are the same');

done_testing();

# A server of one connection at a time, in a process of its own; its port.
sub serve
{
    my ($code) = @_;
    my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 16)
      or die "could not listen: $@\n";

    Child::serve($listener, $code);
    return $listener->sockport;
}

# HTTP/2 by hand: HEADERS and RST_STREAM in one write; over HTTP/1.1 a plain 200.
sub raw_receiver
{
    my ($certificates) = @_;
    my $dir = temp_dir('raw');

    open my $out, '>', "$dir/raw.js" or die "could not write: $!\n";
    print $out <<'END';
const tls = require('tls'), fs = require('fs');
const [, , portFile, cert, key] = process.argv, parent = process.ppid;
setInterval(() => process.ppid === parent || process.exit(0), 500);
function frame(type, flags, stream, payload) {
    const head = Buffer.alloc(9);
    head.writeUIntBE(payload.length, 0, 3);
    head[3] = type;
    head[4] = flags;
    head.writeUInt32BE(stream, 5);
    return Buffer.concat([head, payload]);
}
const PREFACE = 24, HEADERS = 1, RST = 3, SETTINGS = 4, END_STREAM = 1, END_HEADERS = 4;
const options = { cert: fs.readFileSync(cert), key: fs.readFileSync(key), ALPNProtocols: ['h2', 'http/1.1'] };
const server = tls.createServer(options, (socket) => {
    let input = Buffer.alloc(0);
    let skip = PREFACE;
    socket.on('error', () => { });
    if (socket.alpnProtocol !== 'h2') {
        socket.on('data', (data) => { if (data.toString().endsWith('}')) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'); });
        return;
    }
    socket.write(frame(SETTINGS, 0, 0, Buffer.alloc(0)));
    socket.on('data', (data) => {
        input = Buffer.concat([input, data]);
        if (input.length < skip) return;
        input = input.subarray(skip);
        skip = 0;
        while (input.length >= 9 && input.length >= 9 + input.readUIntBE(0, 3)) {
            const length = input.readUIntBE(0, 3), type = input[3], flags = input[4];
            const stream = input.readUInt32BE(5) & 0x7fffffff;
            input = input.subarray(9 + length);
            if (type === SETTINGS && !(flags & 1)) socket.write(frame(SETTINGS, 1, 0, Buffer.alloc(0)));
            if (type <= HEADERS && flags & END_STREAM)
                socket.write(Buffer.concat([
                    frame(HEADERS, END_HEADERS, stream, Buffer.from('88', 'hex')),
                    frame(RST, 0, stream, Buffer.alloc(4))]));
        }
    });
});
server.listen(0, '127.0.0.1', () => {
    fs.writeFileSync(portFile + '.new', String(server.address().port));
    fs.renameSync(portFile + '.new', portFile);
});
END
    close $out or die "could not write: $!\n";
    my @command = ('node', "$dir/raw.js", "$dir/port", $certificates->file('server.pem'), $certificates->file('server.key'));
    Child::start(sub { exec @command or die "could not run node: $!\n" });
    wait_for('the receiver', sub { -e "$dir/port" }) or die "no receiver\n";
    open my $in, '<', "$dir/port" or die "could not read: $!\n";
    my $port = <$in>;
    return $port;
}
