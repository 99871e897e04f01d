# Names that are hard: several addresses of which only the last one is well,
# aliases that lead elsewhere, servers that are silent for longer than anybody
# waits, and a resolver whose sockets have numbers that were libcurl's.

use strict;
use warnings;

use Errno;
use FindBin;
use lib "$FindBin::RealBin/lib";

use IO::Socket::INET;
use Names;
use RswebhookTest;
use Test::More;

my $dir = temp_dir('names');
my $names = Names->new($dir) or plan skip_all => 'no compiler, or not glibc';
my ($server, $other) = map { $names->server($_) } '127.0.0.1', '127.0.0.2';
$names->resolv_conf('nameserver 127.0.0.1');
my $here = new_receiver();
my $port = $here->port;
my $there = new_receiver('--address', '127.0.0.2', '--port', $port);
my $node = new_node('addresses', start => 0);
$names->start($node);
query($node, 'CREATE EXTENSION rswebhook');
my $pid = worker_pid($node);
my %once = (
    ordered => 0,
    retry_window => '0',
    min_attempts => 1,
    breaker_failures => 0,
    connect_timeout => '8 s',
    timeout => '60 s');

# Nobody accepts there, and its queue is full
my @full = map { IO::Socket::INET->new(LocalAddr => $_, LocalPort => $port, Listen => 1) } map { "127.0.7.$_" } 1, 2;
my @waiting = map
{
    my $address = $_->sockhost;
    map { IO::Socket::INET->new(PeerAddr => $address, PeerPort => $port, Blocking => 0) } 1 .. 4;
} @full;

test_several();
test_numbers();
test_alias();
test_silence();
test_lacking();
is(worker_pid($node), $pid, 'the worker is the same');
$node->stop('fast');
unlike(log_of(), qr/has to wait with requests: .*(?:resolv|no_memory|out of memory)/, 'nothing else was said to be lacking');

done_testing();

# The outcome of another event for it, and why
sub attempt
{
    my ($destination) = @_;
    my $id = send_event($node, { type => 'track', userId => 'u' }, $destination);

    wait_for_query($node, "SELECT count(*) > 0 FROM rswebhook.delivery WHERE event_id = $id", 't', 60);
    return query($node, "SELECT concat_ws(' | ', outcome, error) FROM rswebhook.delivery WHERE event_id = $id ORDER BY attempt LIMIT 1");
}

sub log_of
{
    open my $in, '<', $node->logfile or die "could not read the log: $!\n";
    local $/;
    return scalar <$in>;
}

# Of which libcurl 7.88 forgets to try the next one
sub test_several
{
    my @refused = map { "127.0.5.$_" } 1 .. 6;
    my @hangs = map { $_->sockhost } @full;
    my @cases = (
        [ 'refused', @refused ],
        [ 'hangs', $hangs[0] ],
        [ 'hang', @hangs ],
        [ 'mixed', $hangs[0], @refused[ 0, 1 ] ],
        [ 'turned', @refused[ 0, 1 ], $hangs[0] ]);

    foreach my $case (@cases)
    {
        my ($name, @addresses) = @$case;

        $server->set("$name.test", A => [ @addresses, '127.0.0.1' ]);
        add_destination($node, $name, "http://$name.test:$port/last/ok", \%once);
        is(attempt($name), 'delivered', "the last one of several: $name");
    }
    return;
}

# libcurl 7.88 closes a socket that was never connected without a word, and what
# the poller knew of its number was not true of the resolver's socket
sub test_numbers
{
    $server->set('gone.test', rcode => 'NXDOMAIN');
    $server->set('brief.test', A => ['127.0.0.1'], ttl => 1);
    add_destination($node, 'gone', 'http://gone.test/', \%once);
    add_destination($node, 'brief', "http://brief.test:$port/last/ok", \%once);
    add_destination($node, 'hole', 'http://' . $full[0]->sockhost . ":$port/", { %once, connect_timeout => '200 ms' });

    foreach (1 .. 3)
    {
        attempt($_) foreach qw(brief gone gone hole gone);
        pass_time(1.1);
        like(attempt('gone'), qr/resolving the name: .*not found/, 'a name that is not there is told at once');
        is(attempt('brief'), 'delivered', 'and one that is there is found');
    }
    return;
}

# An alias is good for as long as it says, whatever it leads to
sub test_alias
{
    $server->set('one.test', A => ['127.0.0.1'], ttl => 300);
    $server->set('two.test', A => ['127.0.0.2'], ttl => 300);
    $server->set('alias.test', cname => 'one.test', ttl => 1);
    add_destination($node, 'alias', "http://alias.test:$port/last/alias", \%once);
    is(attempt('alias'), 'delivered', 'an alias');
    is(scalar(() = $there->requests), 0, 'leads here');
    $server->set('alias.test', cname => 'two.test', ttl => 1);
    ok(wait_for('the alias to lead elsewhere', sub { attempt('alias'); scalar(() = $there->requests) > 0 }), 'and then there');
    return;
}

# The look-up's own limit ends it: an attempt like any other
sub test_silence
{
    $_->set('silent.test', silent => 1) foreach $server, $other;
    foreach my $servers ([$server], [ $server, $other ])
    {
        my $name = 'silent' . @$servers;

        $names->resolv_conf(map { "nameserver 127.0.0.$_" } 1 .. @$servers);
        add_destination($node, $name, "http://silent.test:$port/", \%once);
        like(attempt($name), qr/^aborted \| resolving the name: .*timed out/, 'silent servers: ' . @$servers);
        is(query($node, 'SELECT count(lacks) FROM rswebhook.workers()'), '0', 'nothing is lacking');
    }
    $names->resolv_conf('nameserver 127.0.0.1');
    return;
}

# What the resolver's own socket lacks is charged to nobody
sub test_lacking
{
    foreach my $errno (qw(EMFILE ENFILE ENOBUFS ENOMEM))
    {
        my $name = lc $errno;
        my $number = Errno->can($errno)->();

        $server->set("$name.test", A => ['127.0.0.1']);
        add_destination($node, $name, "http://$name.test:$port/last/ok", \%once);
        $names->write('lacking', $number);
        my $id = send_event($node, { type => 'track' }, $name);
        ok(wait_for_query($node, 'SELECT count(lacks) FROM rswebhook.workers()', '1'), "$errno is said to be lacking");
        unlike(query($node, 'SELECT max(lacks) FROM rswebhook.workers()'), qr/resolv/, 'as what it is');
        $names->write('lacking', 0);
        ok(wait_until_sent($node), 'sent then');
        is(outcomes($node, $id), 'delivered 200 1', 'by the first attempt');
    }
    return;
}
