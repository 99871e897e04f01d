# Names that are hard: several addresses of which only the last one is well, or of
# which that comes last, aliases that lead elsewhere, servers that are silent for longer than anybody
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
my $pids = await_workers($node);
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
test_late();
test_missing();
test_guarded();
test_numbers();
test_alias();
test_silence();
test_lacking();
is(worker_pids($node), $pids, 'the workers are the same');
$node->stop('fast');
unlike(logged($node), qr/has to wait with requests: .*(?:resolv|no_memory|out of memory)/, 'nothing else was said to be lacking');

done_testing();

# The outcome of another event for it, and why
sub attempt
{
    my ($destination) = @_;
    my $id = send_event($node, { type => 'track', userId => 'u' }, $destination);

    wait_for_query($node, "SELECT count(*) > 0 FROM rswebhook.delivery WHERE event_id = $id", 't', 60);
    return query($node, "SELECT concat_ws(' | ', outcome, error) FROM rswebhook.delivery WHERE event_id = $id ORDER BY attempt LIMIT 1");
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

# Addresses of one family are of no use, and those of the other come later: within
# the same attempt they are tried, too.  Here is ::ffff:127.0.0.1 as well.
sub test_late
{
    my %forms = (
        refused => { AAAA => ['::1'] },
        guarded => { AAAA => ['fe80::1'] },
        both => { AAAA => [ 'fe80::1', '::1' ] },
        turned => { A => ['127.0.5.1'] },
        barred => { A => ['169.254.1.1'] },
        hangs => { A => [ $full[0]->sockhost ] });

    foreach my $form (sort keys %forms)
    {
        foreach my $delay (200, 1500)
        {
            my $late = $forms{$form}{A} ? 'AAAA' : 'A';
            my $name = "late-$form-$delay";

            # nobody would wait for so long to connect
            $server->set("$name.test", A => ['127.0.0.1'], AAAA => ['::ffff:127.0.0.1'], ttl => 1,
                %{ $forms{$form} }, delay => { $late => $delay });
            add_destination($node, $name, "http://$name.test:$port/last/ok", { %once, connect_timeout => '1 h' });
            is(attempt($name), 'delivered', "$name: delivered");
        }
    }

    # over TLS, to which nobody says anything here
    $server->set('tls.test', A => [ $full[0]->sockhost ], AAAA => ['::ffff:127.0.0.1'], delay => { AAAA => 700 });
    add_destination($node, 'tls', "https://tls.test:$port/", { %once, timeout => '5 s' });
    like(attempt('tls'), qr/^aborted \| TLS handshake: /, 'over TLS');

    # after the time to connect is over
    $server->set('spent.test', A => [ $full[0]->sockhost ], AAAA => ['::ffff:127.0.0.1'], delay => { AAAA => 2000 });
    add_destination($node, 'spent', "http://spent.test:$port/last/ok", { %once, connect_timeout => '300 ms' });
    is(attempt('spent'), 'delivered', 'addresses that come when those before have taken all their time');

    # a proxy's
    $server->set('proxy.test', AAAA => ['::1'], A => ['127.0.0.1'], delay => { A => 700 });
    add_destination($node, 'proxied', 'http://shop.test/last/ok', { %once, proxy => "http://proxy.test:$port" });
    is(attempt('proxied'), 'delivered', 'addresses of a proxy');

    # the first name server says nothing of the family that is well
    $server->set('half.test', AAAA => ['::1'], silent => 'A');
    $other->set('half.test', AAAA => ['::1'], A => ['127.0.0.1']);
    $names->resolv_conf('nameserver 127.0.0.1', 'nameserver 127.0.0.2');
    add_destination($node, 'half', "http://half.test:$port/last/ok", \%once);
    is(attempt('half'), 'delivered', 'addresses of another name server');
    $names->resolv_conf('nameserver 127.0.0.1');
    return;
}

# They do not come
sub test_missing
{
    my %short = (%once, timeout => '3 s');

    my %lost = (mute => { silent => 'A' }, lost => { fails => 'A' }, alone => { delay => { A => 500 } });
    foreach my $name (sort keys %lost)
    {
        $server->set("$name.test", AAAA => ['::1'], ttl => 300, %{ $lost{$name} });
        add_destination($node, $name, "http://$name.test:$port/last/ok", \%short);
        like(attempt($name), qr/^aborted \| connecting: /, "$name: it is told what became of those that were there");
    }

    # what was not found is asked for again
    $server->set("$_.test", AAAA => ['::1'], A => ['127.0.0.1'], ttl => 300) foreach 'mute', 'lost';
    is(attempt('lost'), 'delivered', 'the next attempt finds them');
    ok(wait_for('the look-up to end', sub { attempt('mute') eq 'delivered' }), 'or a later one, while it is looked up');

    # the guard has the last word when all are known, and not before
    $server->set('bad.test', AAAA => ['fe80::1'], A => ['169.254.1.1'], delay => { A => 500 });
    $server->set('only.test', AAAA => ['fe80::1'], A => [], delay => { A => 500 });
    $server->set('silent-a.test', AAAA => ['fe80::1'], silent => 'A');
    $server->set('fails-a.test', AAAA => ['fe80::1'], fails => 'A');
    foreach my $name (qw(bad only silent-a fails-a))
    {
        add_destination($node, $name, "http://$name.test:$port/last/ok", { %short, min_attempts => 2, min_backoff => '1 h', max_backoff => '1 h' });
        like(attempt($name), $name =~ /-a$/ ? qr/^retry \| address fe80/ : qr/^aborted \| address .*blocked/, "the guard's word: $name");
    }
    query($node, q{DELETE FROM rswebhook.destination WHERE name LIKE '%-a'});
    return;
}

# What the guard forbids while a connection is kept is that address, and not others
sub test_guarded
{
    my $n = 0;
    my $tries = 0;
    my $sent = sub { attempt('kept'); grep { $_->{target} eq '/kept' } $there->requests };

    $server->set('kept.test', A => [ '127.0.0.2', '127.0.0.1' ], ttl => 300);
    add_destination($node, 'kept', "http://kept.test:$port/kept", \%once);
    is(attempt('kept'), 'delivered', 'the first of two addresses');
    is(scalar $sent->(), 2, 'is used');
    query($node, q{ALTER SYSTEM SET rswebhook.blocked_networks = 'default, 127.0.0.2'});
    query($node, 'SELECT pg_reload_conf()');
    wait_for('the guard, or too much', sub { my $before = $n; $n = $sent->(); $n == $before || ++$tries > 100 });
    cmp_ok($tries, '<=', 100, 'and not any more');
    is(query($node, q{
            SELECT string_agg(DISTINCT concat_ws(' ', outcome, attempt, error), ', ')
            FROM rswebhook.delivery AS v JOIN rswebhook.destination AS d ON d.id = v.destination_id WHERE d.name = 'kept'}),
        'delivered 1', 'but the second one');
    query($node, 'ALTER SYSTEM RESET rswebhook.blocked_networks');
    query($node, 'SELECT pg_reload_conf()');
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
    is(scalar($there->requests_to('/last/alias')), 0, 'leads here');
    $server->set('alias.test', cname => 'two.test', ttl => 1);
    ok(wait_for('the alias to lead elsewhere', sub { attempt('alias'); $there->requests_to('/last/alias') > 0 }), 'and then there');
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
