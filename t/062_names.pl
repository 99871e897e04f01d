# Names: all that a name server may answer, or not answer, names with good and
# bad addresses, and a worker that runs out of descriptors.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use Names;
use RswebhookTest;
use Test::More;

my $dir = temp_dir('names');
my $names = Names->new($dir) or plan skip_all => 'no compiler, or not glibc';
my $server = $names->server('127.0.0.1');
$names->resolv_conf('nameserver 127.0.0.1', 'search lan.test other.test', 'options ndots:2');
$names->hosts('127.0.0.1 listed.test also-listed.test');

my $receiver = new_receiver();
my $good = new_receiver();
my $node = new_node('names', start => 0);
$names->start($node);
query($node, 'CREATE EXTENSION rswebhook');
await_workers($node);

my %hasty = (
    min_backoff => '20 ms',
    max_backoff => '50 ms',
    retry_window => '0',
    min_attempts => 2,
    breaker_failures => 0,
    connect_timeout => '20 s',
    timeout => '20 s');
# where no answer comes, or none in time
my %brief = (%hasty, connect_timeout => '400 ms', timeout => '800 ms');
my $here = '127.0.0.1';
my $refused = '127.0.0.2';
my $metadata = '169.254.169.254';
my $late = qr/^resolving the name: .*timed out/i;
my $unknown = qr/^resolving the name: Could not resolve host: \S+ \(.+\)$/;

# name (of .test, unless it is a host), outcome, status, error, what the name
# server does; attempts that fail are made twice
my @cases = (
    # no answer
    [ 'hang', 'retry', undef, $late, silent => 1 ],
    [ 'too-late', 'retry', undef, $late, A => [$here], delay => 10000 ],
    [ 'wrong-id', 'retry', undef, qr/^resolving the name: /, A => [$here], wrong_id => 1 ],
    # an answer, but none of use
    [ 'servfail', 'retry', undef, $unknown, rcode => 'SERVFAIL' ],
    [ 'refused', 'retry', undef, $unknown, rcode => 'REFUSED' ],
    [ 'nothing', 'retry', undef, qr/^resolving the name: Could not resolve host: nothing\.test \(.*not found.*\)$/i,
        rcode => 'NXDOMAIN' ],
    [ 'empty', 'retry', undef, $unknown ],
    [ 'loop', 'retry', undef, $unknown, cname => 'loop2.test' ],
    [ 'dangling', 'retry', undef, $unknown, cname => 'nothing.test' ],
    [ 'garbage', 'retry', undef, qr/^resolving the name: /, garbage => 1 ],
    # answers
    [ 'one', 'delivered', 200, undef, A => [$here] ],
    [ 'slow', 'delivered', 200, undef, A => [$here], delay => 200 ],
    [ 'alias', 'delivered', 200, undef, cname => 'alias2.test' ],
    [ 'truncated', 'delivered', 200, undef, A => [$here], truncated => 1 ],
    [ 'many', 'delivered', 200, undef, A => [ $here, map { "127.0.1.$_" } 1 .. 49 ] ],
    [ 'forged', 'delivered', 200, undef, A => [$here], forged => $metadata ],
    [ 'no-word-of-6', 'delivered', 200, undef, A => [$here], silent => 'AAAA' ],
    [ 'no-such-6', 'delivered', 200, undef, A => [$here], fails => 'AAAA' ],
    # a bad one first: refused by the host, unreachable, or forbidden
    [ 'refused-first', 'delivered', 200, undef, A => [ $refused, $here ] ],
    [ 'v6-first', 'delivered', 200, undef, AAAA => ['::1'], A => [$here] ],
    [ 'forbidden-first', 'delivered', 200, undef, A => [ $metadata, $here ] ],
    [ 'forbidden-last', 'delivered', 200, undef, A => [ $here, $metadata ] ],
    # forbidden, and nothing else that works
    [ 'forbidden', 'aborted', undef, qr/^address 169\.254\.169\.254 is in the blocked network/, A => [$metadata] ],
    [ 'forbidden-alias', 'aborted', undef, qr/is in the blocked network/, cname => 'forbidden.test' ],
    [ 'forbidden-v6', 'aborted', undef, qr/is in the blocked network/, AAAA => ["::ffff:$metadata"] ],
    [ 'forbidden-refused', 'retry', undef, qr/^connecting: /, A => [ $metadata, $refused ] ],
    # the ways that hosts are written
    [ 'listed.test', 'delivered', 200 ],
    [ 'also-listed.test', 'delivered', 200 ],
    [ 'short', 'delivered', 200 ],
    [ 'host.sub', 'delivered', 200 ],
    [ 'One.TEST', 'delivered', 200 ],
    [ 'dot.test.', 'delivered', 200 ],
    [ 'xn--bcher-kva.test', 'delivered', 200 ],
    [ 'localhost', 'delivered', 200 ]);

$server->set('loop2.test', cname => 'loop.test');
$server->set('alias2.test', cname => 'one.test');
# by the search list: below lan.test there is nothing of that name
$server->set('short.other.test', A => [$here]);
$server->set('host.sub.lan.test', A => [$here]);
$server->set('dot.test', A => [$here]);
$server->set('xn--bcher-kva.test', A => [$here]);
my (%host, %id);
foreach (@cases)
{
    my ($name, undef, undef, $error, @how) = @$_;
    my $is_host = $name =~ /\./ || $name eq 'short' || $name eq 'localhost';

    $host{$name} = $is_host ? $name : "$name.test";
    $server->set($host{$name}, @how) unless $is_host;
    add_destination($node, "to $name", "http://$host{$name}:" . $receiver->port . '/ok',
        ($error // '') eq $late || $name eq 'wrong-id' ? \%brief : \%hasty);
}
add_destination($node, 'good', $good->url('/ok'), { ordered => 0 });
my $pids = worker_pids($node);
my $alone = slowest();
$id{ $_->[0] } = send_event($node, { type => 'track', userId => 'u' }, "to $_->[0]") foreach grep { $_->[0] ne 'garbage' } @cases;
my $beside = slowest();
ok(wait_until_sent($node), 'nothing is owed any more');

# some versions of c-ares give up whatever else they have asked that name server
$id{garbage} = send_event($node, { type => 'track', userId => 'u' }, 'to garbage');
ok(wait_until_sent($node), 'nor what had garbage for an answer');
is(worker_pids($node), $pids, 'the workers are the same');
cmp_ok($beside, '<', 2 * $alone + ($ENV{RSWEBHOOK_SANITIZED} ? 3 : 1),
    sprintf 'a neighbour waits for %.0f ms at most, of which %.0f without all that', $beside * 1000, $alone * 1000);

foreach (@cases)
{
    my ($name, $outcome, $status, $error) = @$_;
    my ($row) = query_rows($node,
        "SELECT outcome, status, error FROM rswebhook.delivery WHERE event_id = $id{$name} AND attempt = 1");

    is(join(' ', $row->{outcome}, $row->{status} // ()), join(' ', $outcome, $status // ()), "$name: outcome");
    defined $error
      ? like($row->{error}, $error, "$name: error")
      : is($row->{error}, undef, "$name: no error");
}

my @of_hosts = grep { $_->{name} =~ /listed|localhost/ } $server->questions;
is(scalar @of_hosts, 0, 'what /etc/hosts has is not asked for');
cmp_ok(scalar(() = $server->questions('no-such-6.test', 'A')), '<=', 1, 'what is there is asked for once');

# Many names that hang at once, and many events for each: nobody waits until one
# of them is given up, which is after ten seconds.
my $given_up = q{SELECT count(*) FROM rswebhook.delivery AS v JOIN rswebhook.destination AS d ON d.id = v.destination_id
    WHERE d.name LIKE 'hangs %'};
$server->set('*.silent.test', silent => 1);
foreach my $n (1 .. 30)
{
    add_destination($node, "hangs $n", "http://n$n.silent.test/", { %hasty, timeout => '5 min', ordered => 0, max_in_flight => 30 });
}
query($node, q{
    SELECT count(rswebhook_send('{"type": "track"}', 'hangs ' || d)) FROM generate_series(1, 30) AS d, generate_series(1, 4)});
my $before = $good->requests;
send_event($node, { type => 'track' }, 'good');
ok(wait_for('the neighbour', sub { $good->requests > $before }), 'a neighbour is served');
is(query($node, $given_up), 0, 'meanwhile');
query($node, q{DELETE FROM rswebhook.destination WHERE name LIKE 'hangs %'});

# Without descriptors
SKIP:
{
    skip 'no prlimit', 5 if system('prlimit --version >/dev/null 2>&1') != 0;

    $server->set('crowd.test', A => [$here]);
    add_destination($node, 'crowd', 'http://crowd.test:' . $receiver->port . '/delay/200/ok/crowd', {
        ordered => 0, max_in_flight => 200, min_backoff => '50 ms', max_backoff => '300 ms',
        breaker_failures => 0 });
    # a few more than the files that it has open
    my $pid = worker_of($node, 'crowd');
    my $few = 48 + (() = glob "/proc/$pid/fd/*");
    system("prlimit --pid $pid --nofile=$few:1024") == 0 or die "could not limit the worker\n";
    query($node, q{
        SELECT count(rswebhook_send(jsonb_build_object('type', 'track', 'messageId', 'c' || n), 'crowd'))
        FROM generate_series(1, 200) AS n});
    ok(wait_until_sent($node), "with $few descriptors: nothing is owed any more");
    is(worker_pids($node), $pids, 'the workers are the same');
    my %seen;
    $seen{ $_->{headers}{'webhook-id'} }++ foreach $receiver->requests_to('/delay/200/ok/crowd');
    is(scalar(grep { $_ == 1 } values %seen), 200, 'all arrived, once');
    # 073_descriptors has more about that
    is(query($node, q{
            SELECT string_agg(DISTINCT concat_ws(' ', outcome, error), '; ')
            FROM rswebhook.delivery AS v JOIN rswebhook.destination AS d ON d.id = v.destination_id WHERE name = 'crowd'}),
        'delivered', 'that some had to wait for a descriptor is not charged to them');
    system("prlimit --pid $pid --nofile=1024:1024") == 0 or die "could not unlimit the worker\n";
}

# A name that hangs does not keep the worker from its settings.
$server->set('hang.test', silent => 1);
add_destination($node, 'hangs', 'http://hang.test/', { %hasty, ordered => 0, timeout => '5 min', retry_window => '1 h' });
send_event($node, { type => 'track' }, 'hangs');
ok(wait_for_query($node, q{SELECT in_flight FROM rswebhook.status WHERE destination = 'hangs'}, '1'),
    'a name is being resolved');
query($node, q{ALTER SYSTEM SET rswebhook.user_agent = 'Changed/1.0'});
$node->reload;
ok( wait_for('the new setting',
        sub {
            send_event($node, { type => 'track' }, 'good');
            grep { $_->{headers}{'user-agent'} eq 'Changed/1.0' } $good->requests;
        }),
    'a reload takes effect');
ok(wait_for_query($node, q{SELECT in_flight FROM rswebhook.status WHERE destination = 'hangs'}, '1'), 'meanwhile');

# nor from ending; the next one goes on with it
my $old = worker_of($node, 'hangs');
cmp_ok(elapsed(sub { query($node, "SELECT pg_terminate_backend($old)"); wait_for('its end', sub { !kill 0, $old }) }),
    '<', at_once(3), 'a worker ends at once');
ok(await_others($node, $old), 'and another comes');

# A name that hangs does not hold up the shutdown.
ok(wait_for_query($node, q{SELECT in_flight FROM rswebhook.status WHERE destination = 'hangs'}, '1'),
    'a name is being resolved');
cmp_ok(elapsed(sub { $node->stop('fast') }), '<', at_once(3), 'the server stops at once');

done_testing();

# Of some events to the neighbour, one after the other: from the send to the
# receiver's ledger
sub slowest
{
    my @latencies = map {
        my $before = $good->requests;

        elapsed(
            sub {
                send_event($node, { type => 'track' }, 'good');
                wait_for('the neighbour', sub { $good->requests > $before });
            })
    } 1 .. 30;

    return (sort { $b <=> $a } @latencies)[0];
}
