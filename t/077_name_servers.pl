# Name servers: one that is silent, one dead of two, slow ones, answers that
# change, and what is asked of them: once for all that wait for a name, and no
# more often than their answers say.
#
# Clocks: what a receiver or a name server that is busy may add is taken from
# names that are answered for at once, in the same run.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use Names;
use RswebhookTest;
use SocksProxy;
use Test::More;
use Time::HiRes qw(time);

my $slack = $ENV{RSWEBHOOK_SANITIZED} ? 3 : 1;
my $dir = temp_dir('names');
my $names = Names->new($dir) or plan skip_all => 'no compiler, or not glibc';
my ($first, $second) = map { $names->server($_) } '127.0.0.1', '127.0.0.2';
my @both = ('nameserver 127.0.0.1', 'nameserver 127.0.0.2');
$names->resolv_conf(@both);

# the same port at two addresses
my $here = new_receiver();
my $port = $here->port;
my $there = new_receiver('--address', '127.0.0.2', '--port', $port);
my $node = new_node('name_servers', start => 0, conf => "rswebhook.connection_lifetime = '2 s'\n");
$names->start($node);
query($node, 'CREATE EXTENSION rswebhook');
my $pids = await_workers($node);

my %hasty = (min_backoff => '100 ms', max_backoff => '200 ms', breaker_failures => 0, ordered => 0);

# What both name servers say.
sub set
{
    $_->set(@_) foreach $first, $second;
    return;
}

# A destination, named like its host but for what follows the first dot.
sub add
{
    my ($host, $path, %columns) = @_;
    my ($name) = split /\./, $host;

    add_destination($node, $name, "http://$host:$port$path", { %hasty, %columns });
    return;
}

sub send_many
{
    my ($name, $count) = @_;

    query($node, qq{
        SELECT count(rswebhook_send(jsonb_build_object('type', 'track', 'messageId', '$name-' || gen_random_uuid()), '$name'))
        FROM generate_series(1, $count)});
    return;
}

# When the events of a destination arrived, anywhere.
sub arrivals
{
    my ($name) = @_;

    my @times = sort { $a <=> $b }
      map { $_->{t} }
      grep { $_->{headers}{'webhook-id'} =~ /^$name-/ } $here->requests, $there->requests;
    return @times;
}

sub arrived
{
    my ($name, $count) = @_;

    return wait_for("$count events of $name", sub { arrivals($name) >= $count })
      || diag("so far: " . attempts($name)) && 0;
}

sub attempts
{
    my ($name) = @_;

    return query($node, qq{
        SELECT string_agg(DISTINCT concat_ws(' ', outcome, status, attempt, error), ', ')
        FROM rswebhook.delivery AS v JOIN rswebhook.destination AS d ON d.id = v.destination_id
        WHERE name = '$name'});
}

sub questions
{
    return map { $_->questions(@_) } $first, $second;
}

sub descriptors
{
    return scalar(map { glob "/proc/$_/fd/*" } split / /, $pids);
}

set('*.silent.test', silent => 1);
#
# One look-up for all, which has a time of its own
#
# less than a second: nobody asks again
set('slow.test', A => ['127.0.0.1'], delay => 300);
set('plain.test', A => ['127.0.0.1']);
add('plain.test', '/ok');
add_destination($node, "slow $_", "http://slow.test:$port/ok", { %hasty }) foreach 1 .. 20;
# one dead server of two; more than connect_timeout
$first->set('half.test', silent => 1);
$second->set('half.test', A => ['127.0.0.1']);
add('half.test', '/ok', connect_timeout => '2 s');
set('slower.test', A => ['127.0.0.1'], delay => 3000);
add('slower.test', '/ok', connect_timeout => '2 s', timeout => '30 s');
# slow, and the only one of two
$first->set('slow-first.test', A => ['127.0.0.1'], delay => 4000);
$second->set('slow-first.test', silent => 1);
$first->set('slow-second.test', silent => 1);
$second->set('slow-second.test', A => ['127.0.0.1'], delay => 4000);
add($_, '/ok', connect_timeout => '2 s', timeout => '30 s') foreach 'slow-first.test', 'slow-second.test';
# knows of no such name, which takes it long
$first->set('unknown-late.test', rcode => 'NXDOMAIN', delay => 2500);
$second->set('unknown-late.test', silent => 1);
add('unknown-late.test', '/ok', connect_timeout => '2 s', timeout => '30 s');
# one family of two
set('four.test', A => ['127.0.0.1'], silent => 'AAAA');
add('four.test', '/ok');
set('six.test', AAAA => ['::ffff:127.0.0.1'], silent => 'A');
add('six.test', '/ok');
# not for ever, and not longer than the attempt
add('one.silent.test', '/ok', timeout => '1500 ms', connect_timeout => '500 ms');

query($node, q{
    SELECT count(rswebhook_send(jsonb_build_object('type', 'track', 'messageId', concat_ws('-', 'slow', d, n)), 'slow ' || d))
    FROM generate_series(1, 20) AS d, generate_series(1, 5) AS n});
my $sent = time();
my @late = ('slower', 'slow-first', 'slow-second');
send_many($_, 1) foreach 'plain', 'half', @late, 'unknown-late', 'four', 'six', 'one';
ok(arrived($_, $_ eq 'slow' ? 100 : 1), "$_ arrives") foreach 'plain', 'four', 'six', 'slow', 'half', @late;
my %after = map { $_ => (arrivals($_))[0] // $sent + 99 } 'four', 'six', 'half', 'slower';
$_ -= $sent foreach values %after;
# which is 3 s at least
cmp_ok($after{four}, '<', $after{slower}, sprintf 'AAAA unanswered: %.2f s', $after{four});
cmp_ok($after{six}, '<', $after{slower}, sprintf 'A unanswered: %.2f s', $after{six});
cmp_ok($after{half}, '<', $after{slower}, sprintf 'a dead server of two: %.2f s', $after{half});
is(attempts($_), 'delivered 200 1', "$_: by the first attempt") foreach 'four', 'six', 'half', @late;
is(scalar(questions('slow.test', $_)), workers_each(), "$_ is asked for once by a worker for all its destinations") foreach 'A', 'AAAA';
ok(wait_for('an attempt', sub { attempts('one') =~ /retry/ }), 'an attempt ends');
like(attempts('one'), qr/^retry 1 resolving the name: .*timed out/, 'and says that the name took too long');
my ($duration) = query($node, q{
    SELECT extract(epoch FROM duration) FROM rswebhook.delivery WHERE error LIKE 'resolving%' AND attempt = 1
    AND destination_id = (SELECT id FROM rswebhook.destination WHERE name = 'one')});
# a look-up has ten seconds
cmp_ok($duration, '>=', 1.4, 'when its own time is over');
cmp_ok($duration, '<', 8, "not the name's: $duration s");
# the silent one is not waited for
ok(wait_for('an attempt', sub { attempts('unknown-late') =~ /retry/ }), 'a name that is unknown');
my ($why) = query($node, q{
    SELECT error FROM rswebhook.delivery AS v JOIN rswebhook.destination AS d ON d.id = v.destination_id
    WHERE name = 'unknown-late' AND attempt = 1});
like($why, qr/^resolving the name: Could not resolve host: unknown-late\.test \(.*not found.*\)$/i, 'is known to be so');
query($node, q{DELETE FROM rswebhook.destination WHERE name IN ('one', 'unknown-late') OR name LIKE 'slow %'});

#
# How long an answer is good for. Each request has a connection of its own.
#
set('short.test', A => ['127.0.0.1'], ttl => 1);
set('long.test', A => ['127.0.0.1'], ttl => 300);
set('none.test', A => ['127.0.0.1'], ttl => 0);
set('alias.test', cname => 'target.test', ttl => 300);
set('target.test', A => ['127.0.0.1'], ttl => 1);
add($_, '/last/ok') foreach 'short.test', 'long.test', 'alias.test';
# one after the other
add('none.test', '/last/ok', max_in_flight => 1);
send_many('none', 50);
send_many($_, 1) foreach 'short', 'long', 'alias';
ok(arrived(@$_), "$_->[0] arrives") foreach [ 'short', 1 ], [ 'long', 1 ], [ 'alias', 1 ], [ 'none', 50 ];
cmp_ok(scalar(questions('none.test', 'A')), '<=', 2 + (arrivals('none'))[-1] - (arrivals('none'))[0],
    'an answer for no time is good for a second');
my $changed = time();
set('short.test', A => ['127.0.0.2'], ttl => 1);
set('target.test', A => ['127.0.0.2'], ttl => 1);
set('long.test', A => ['127.0.0.2'], ttl => 300);

sub moved
{
    my ($name) = @_;

    return wait_for("$name to move",
        sub {
            send_many($name, 1);
            grep { $_->{headers}{'webhook-id'} =~ /^$name-/ } $there->requests;
        })
      || diag("so far: " . attempts($name)) && 0;
}

ok(moved('short'), 'after its time another answer is asked for');
ok(moved('alias'), 'likewise if only the name behind another is for a short time');
# not in minutes, for which the others are good
cmp_ok(time() - $changed, '<', 20 * $slack, sprintf 'soon: %.2f s', time() - $changed);
send_many('long', 10);
ok(arrived('long', 11), 'events for a name whose answer is good for long');
is(scalar(questions('long.test', $_)), 1, "which is not asked for again: $_") foreach 'A', 'AAAA';
ok(!(grep { $_->{headers}{'webhook-id'} =~ /^long-/ } $there->requests), 'nor is another used');

#
# A connection that is kept, and in use all the time, ends some day.
#
set('moving.test', A => ['127.0.0.1'], ttl => 1);
add('moving.test', '/ok', max_in_flight => 2);
my $first_sent = time();
foreach (1 .. 10)
{
    my $before = arrivals('moving');
    send_many('moving', 1);
    arrived('moving', $before + 1) or last;
}
my %connections = map { $_->{connection} => 1 } grep { $_->{headers}{'webhook-id'} =~ /^moving-/ } $here->requests;
cmp_ok(scalar keys %connections, '<=', 2 + (time() - $first_sent), 'connections are kept, for two seconds each');
$changed = time();
set('moving.test', A => ['127.0.0.2'], ttl => 1);
ok(moved('moving'), 'events that never pause move to another address');
cmp_ok(time() - $changed, '<', 20 * $slack, sprintf 'soon: %.2f s', time() - $changed);
# one that was made just before the answer's time was over
wait_for('the last connection', sub { send_many('moving', 1); time() > $changed + 4 * $slack });
ok(wait_until_sent($node), 'nothing is owed any more');
my $old = grep { $_->{headers}{'webhook-id'} =~ /^moving-/ } $here->requests;
send_many('moving', 20);
ok(wait_until_sent($node), 'more events');
is(scalar(grep { $_->{headers}{'webhook-id'} =~ /^moving-/ } $here->requests), $old, 'none goes to the old one');

#
# Other names: of a redirect, of proxies, and those that a proxy is told
#
set('proxy.test', A => ['127.0.0.1']);
set('socks.test', A => ['127.0.0.1']);
set('beside.test', A => ['127.0.0.1']);
set('behind.test', A => ['127.0.0.1']);
set('from.test', A => ['127.0.0.1']);
set('to.test', A => ['127.0.0.1']);
my $socks_dir = temp_dir('socks');
my $socks = SocksProxy->new($port, "$socks_dir/notes");
my $proxy = "http://proxy.test:$port";
add_destination($node, 'proxied', 'http://shop.test/proxied', { %hasty, proxy => $proxy });
add('beside.test', '/beside', proxy => $proxy, no_proxy => 'beside.test');
add_destination($node, 'behind', 'http://behind.test/behind', { %hasty, proxy => "socks5://socks.test:$socks->{port}" });
add('from.test', "/location/307/http:%2f%2fto.test:$port%2fto", max_redirects => 1);
send_many($_, 1) foreach 'proxied', 'beside', 'behind', 'from';
ok(wait_until_sent($node), 'proxies and redirects');
is(attempts($_), 'delivered 200 1', "$_: delivered") foreach 'proxied', 'beside', 'behind', 'from';
is(scalar(() = $here->requests_to('http://shop.test/proxied')), 1, 'a proxy is asked');
ok(scalar(questions('proxy.test', 'A')), 'by its name');
is(scalar(questions('shop.test')), 0, 'and resolves the name that it is told');
is(join(' ', $socks->asked), '127.0.0.1:80', 'a SOCKS proxy that does not is told an address');
is(scalar(() = $here->requests_to('/to')), 1, 'a redirect to another name is followed');

#
# 150 names that nobody answers for, three events each; who has an address or
# whose name is answered for does not notice.
#
set('known.test', A => ['127.0.0.1'], ttl => 300);
set('unknown.test', A => ['127.0.0.1']);
add('known.test', '/ok');
add('unknown.test', '/ok');
add_destination($node, 'numeric', $here->url('/ok'), { %hasty });
send_many('known', 1);
ok(arrived('known', 1), 'a name is known');
my %most = (fds => descriptors(), threads => 1);
my $fds = $most{fds};
my $by_themselves;
query($node, qq{
    INSERT INTO rswebhook.destination
        (name, url, ordered, connect_timeout, timeout, min_backoff, max_backoff, breaker_failures)
    SELECT 'silent ' || n, 'http://n' || n || '.silent.test:$port/', false, '1 s', '2 s', '100 ms', '200 ms', 0
    FROM generate_series(1, 150) AS n});

# Sends forty to each of the others, and returns how long they took to arrive.
sub send_to_others
{
    my ($what) = @_;
    my %before = map { $_ => scalar arrivals($_) } 'numeric', 'known', 'unknown';

    my $sent = time();
    send_many($_, 40) foreach sort keys %before;
    my $all = wait_for('the others',
        sub {
            my ($now_fds, $threads) = (descriptors(), largest($pids, 'Threads'));
            $most{fds} = $now_fds if $now_fds > $most{fds};
            $most{threads} = $threads if $threads > $most{threads};
            !grep { arrivals($_) < $before{$_} + 40 } keys %before;
        });
    my $took = time() - $sent;
    ok($all, sprintf '%s: of 40 others each %s arrive', $what,
        join ', ', map { "$_: " . (arrivals($_) - $before{$_}) } sort keys %before);
    return $took;
}

# The same while so many are sent to each of those that hang.
sub beside_silence
{
    my ($each) = @_;

    query($node, qq{
        SELECT count(rswebhook_send('{"type": "track"}', 'silent ' || n))
        FROM generate_series(1, 150) AS n, generate_series(1, $each)});
    # until they are all that they can be
    my $waiting = $each > 1 ? 250 : 150;
    wait_for('them to wait', sub { query($node, 'SELECT sum(in_flight) FROM rswebhook.status') >= $waiting }, 3);
    my $took = send_to_others(150 * $each . ' events that wait for 150 names');
    cmp_ok($took, '<', 3 * $slack + 3 * $by_themselves, sprintf 'soon: %.2f s', $took);
    return;
}

$by_themselves = send_to_others('by themselves');
my $began = time();
beside_silence(1);
# more than rswebhook.max_in_flight, and after some have been given up
wait_for('attempts to end',
    sub { query($node, q{SELECT count(*) FROM rswebhook.delivery WHERE error LIKE 'resolving%'}) > 300 });
beside_silence(10);
my $took = time() - $began;
is($most{threads}, 1, 'without a thread');
# the pools of sockets for three destinations that are served, and a few of each worker for names
cmp_ok($most{fds} - $fds, '<', 3 * 32 + 10 * workers_each(), "with $most{fds} descriptors, $fds before");
my %count;
$count{"$_->{name} $_->{type}"}++ foreach grep { $_->{name} =~ /^n\d+\.silent/ } $first->questions;
my ($most_asked) = sort { $b <=> $a } values %count;
cmp_ok($most_asked, '<=', 2 + $took, "a name is asked for as one, however many wait for it: $most_asked times in a while");
query($node, q{DELETE FROM rswebhook.destination WHERE name LIKE 'silent %'});

#
# A slow name while another one has no answer, after names that are known at once
# when they are asked for patiently: the third time, as c-ares knows nothing yet of
# a server that is new.
#
my $third = $names->server('127.0.0.3');
$third->set('*.silent.test', silent => 1);
$third->set("again$_.test", A => ['127.0.0.1'], ignores => 2) foreach 1 .. 3;
$third->set('tardy.test', A => ['127.0.0.1'], delay => 4500);
$names->resolv_conf('nameserver 127.0.0.3');
add($_, '/ok', timeout => '30 s') foreach 'held.silent.test', 'again1.test', 'again2.test', 'again3.test', 'tardy.test';
send_many($_, 1) foreach 'held', 'again1', 'again2', 'again3';
ok(arrived($_, 1), "$_ arrives") foreach 'again1', 'again2', 'again3';
send_many('tardy', 1);
ok(arrived('tardy', 1), 'so does tardy');
is(attempts('tardy'), 'delivered 200 1', 'a server may be quick at times, and is waited for at others');
query($node, q{DELETE FROM rswebhook.destination WHERE name = 'held'});
$names->resolv_conf(@both);

#
# A first server that says nothing of use, which says nothing about the name: it is
# the next one's word that counts, also that there is no such name.
#
$first->set('misunderstood.test', rcode => 'FORMERR');
$first->set('unreadable.test', garbage => 1);
$first->set('none-such.test', rcode => 'FORMERR');
$second->set("$_.test", A => ['127.0.0.1'], delay => 300) foreach 'misunderstood', 'unreadable';
foreach my $name ('misunderstood', 'unreadable')
{
    add("$name.test", '/ok');
    send_many($name, 1);
    ok(arrived($name, 1), "$name by the first name server");
    is(attempts($name), 'delivered 200 1', 'the next one is asked');
}
add('none-such.test', '/ok', retry_window => '0', min_attempts => 1);
send_many('none-such', 1);
ok(wait_for('an attempt', sub { attempts('none-such') }), 'a name that the next one does not know');
like(attempts('none-such'), qr/^aborted 1 resolving the name: .*not found/i, 'is unknown');

# what such a server may say, alone and as the first of two
my %useless = (
    (map { ("rcode-$_" => { rcode => $_ }) } 6, 9, 10, 11, 15),
    (map { (lc "bare-$_" => { rcode => $_, bare => 1 }) } qw(FORMERR SERVFAIL NOTIMP REFUSED NOERROR NXDOMAIN)),
    (map { (lc, { rcode => $_ }) } qw(SERVFAIL NOTIMP REFUSED)),
    'question' => { A => [], flags => 0x0100 },
    # says only where else to ask, if that
    'nowhere' => { A => [], flags => 0x8000, authority => [] },
    'referral' => { A => [], flags => 0x8000, authority => ['NS'] },
    'desired' => { A => [], flags => 0x8100, authority => ['NS'] },
    'glue' => { A => [], flags => 0x8000, authority => ['NS'], glue => 1 },
    'stub' => { A => ['127.0.0.9'], cut => 5 },
    'stump' => { A => ['127.0.0.9'], cut => 11 },
    'twice' => { A => ['127.0.0.9'], twice => 1 },
    'no-answer' => { A => ['127.0.0.9'], flags => 0x0100 },
    'update' => { A => ['127.0.0.9'], flags => 0xa980 },
    'short' => { A => ['127.0.0.9'], bytes => 3 },
    'long' => { A => ['127.0.0.9'], bytes => 5 },
    'text' => { A => ['127.0.0.9'], as => 'TXT' },
    'others' => { A => ['127.0.0.9'], of => 'other.test' });
my @useless = sort keys %useless;
foreach my $name (@useless)
{
    my %how = %{ $useless{$name} };

    # also of the other family
    $how{AAAA} = ['::9'] if $how{A} && @{ $how{A} };
    $first->set("first-$name.test", %how);
    $second->set("first-$name.test", A => ['127.0.0.1']);
    $third->set("only-$name.test", %how);
    add("$_-$name.test", '/ok', retry_window => '0', min_attempts => 1) foreach 'first', 'only';
}
send_many("first-$_", 1) foreach @useless;
foreach my $name (@useless)
{
    ok(wait_for('an attempt', sub { attempts("first-$name") }), "$name by the first name server");
    is(attempts("first-$name"), 'delivered 200 1', 'the next one is asked');
    # a later c-ares may know by now that the other one is better
    my ($asked) = map { $_->{time} } $first->questions("first-$name.test", 'A');
    my ($next) = map { $_->{time} } $second->questions("first-$name.test", 'A');
    my $gap = defined $asked && defined $next ? $next - $asked : 0;
    # silence has a second
    cmp_ok($gap, '<', 0.8 * $slack, sprintf 'at once: %.3f s', $gap);
}
$names->resolv_conf('nameserver 127.0.0.3');
send_many("only-$_", 1) foreach @useless;
foreach my $name (@useless)
{
    ok(wait_for('an attempt', sub { attempts("only-$name") }), "$name by the only name server");
    like(attempts("only-$name"),
        qr/^aborted 1 resolving the name: Could not resolve host: only-\S+ \(.*(?:failure|not implement|refused|misformatted|claims)/,
        'is what the attempt says');
}
$names->resolv_conf(@both);

# what small ones say of a family that there is none of, or others with a reason
set('forwarder.test', A => ['127.0.0.1'], flags => 0x8000, authority => []);
set('nobodys.test', A => ['127.0.0.1'], flags => 0x8000, authority => [ 'NS', 'SOA' ]);
foreach my $name ('forwarder', 'nobodys')
{
    add("$name.test", '/ok');
    $sent = time();
    send_many($name, 1);
    ok(arrived($name, 1), "$name: no word of IPv6");
    my $after = (arrivals($name))[0] - $sent;
    cmp_ok($after, '<', 0.8 * $slack, sprintf 'does not keep IPv4 waiting: %.3f s', $after);
    is(attempts($name), 'delivered 200 1', 'nor from being used');
}
is(scalar($second->questions('nobodys.test', 'AAAA')), 0, 'the SOA is word enough');

#
# Names whose answers are too long for UDP, of name servers that give none by TCP
# either.  Others that are asked for at the same time do not notice.
#
my %faults = (
    refused => { map { $_ => $names->server("127.0.0.$_", tcp => 0) } 4 .. 6 },
    map { $_ => { 1 => $first, 2 => $second, 3 => $third } } 'closed', 'silent');
foreach my $fault (sort keys %faults)
{
    my %servers = %{ $faults{$fault} };
    foreach my $count (1, 3)
    {
        my @numbers = (sort keys %servers)[ 0 .. $count - 1 ];
        my @asked = @servers{@numbers};
        my $long = "long-$fault-$count";
        my @others = map { "beside-$fault-$count-$_" } 300, 600, 900;

        $names->resolv_conf(map { "nameserver 127.0.0.$_" } @numbers);
        foreach my $server (@asked)
        {
            $server->set("$long.test", A => ['127.0.0.1'], truncated => 1, tcp => $fault);
            $server->set("$_.test", A => ['127.0.0.1'], delay => /(\d+)$/) foreach @others;
        }
        add("$_.test", '/ok') foreach $long, @others;
        send_many($long, 1);
        ok(wait_for('the first to be asked by TCP',
            sub { attempts($long) || grep { $_->{by} eq 'tcp' } map { $_->questions("$long.test") } @asked }),
            "$fault by TCP, $count name servers");
        send_many($_, 1) foreach @others;
        ok(arrived($_, 1), "$_ arrives") foreach @others;
        is(attempts($_), 'delivered 200 1', "$_: by the first attempt") foreach @others;
        unlike(attempts($long) // '', qr/delivered/, 'unlike that one');
        query($node, qq{DELETE FROM rswebhook.destination WHERE name = '$long'});
    }
}
# more of them than there are channels for, some of which are answered
my @long = map { "long$_" } 1 .. 20;
foreach my $n (1 .. 20)
{
    $first->set("long$n.test", A => ['127.0.0.1'], truncated => 1, $n % 4 ? () : (tcp => 'silent'));
    add("long$n.test", '/ok');
}
$names->resolv_conf('nameserver 127.0.0.1');
send_many($_, 1) foreach @long;
foreach my $name (@long[ grep { ($_ + 1) % 4 } 0 .. 19 ])
{
    arrived($name, 1);
    is(attempts($name), 'delivered 200 1', "$name arrives");
}
query($node, q{DELETE FROM rswebhook.destination WHERE name LIKE 'long%'});
# which a domain of the search list has
$first->set('cut.lan.example', A => ['127.0.0.1'], truncated => 1);
$names->resolv_conf('nameserver 127.0.0.1', 'search lan.example other.example');
add('cut', '/ok');
send_many('cut', 1);
ok(arrived('cut', 1), 'a long answer in a domain of the search list');
is(attempts('cut'), 'delivered 200 1', 'is found there');

#
# A name of the search list is one name for both families: the first of which there
# are addresses.
#
my ($one, $two) = ('one.example', 'two.example');
my %v6 = (here => '::ffff:127.0.0.1', there => '::ffff:127.0.0.2');
$names->resolv_conf('nameserver 127.0.0.1', "search $one $two");
my %found = (
    # host => what the first name is, what the next one is
    'only4' => [ { A => ['127.0.0.1'] }, { AAAA => [ $v6{there} ] } ],
    'only6' => [ { AAAA => [ $v6{here} ] }, { A => ['127.0.0.2'] } ],
    'failing6' => [ { A => ['127.0.0.1'], fails => 'AAAA' }, { AAAA => [ $v6{there} ] } ],
    'before-silence' => [ { A => ['127.0.0.1'] }, { silent => 1 } ],
    'after-none' => [ { rcode => 'NXDOMAIN' }, { A => ['127.0.0.1'] } ],
    'after-empty' => [ {}, { A => ['127.0.0.1'] } ],
    'after-failing6' => [ { rcode => 'NXDOMAIN', fails => 'AAAA' }, { A => ['127.0.0.1'] } ],
    # as behind a firewall that lets no question for IPv6 through
    'after-silent6' => [ { rcode => 'NXDOMAIN', silent => 'AAAA' }, { A => ['127.0.0.1'], silent => 'AAAA' } ],
    # no name at all
    'failing' => [ { A => [], fails => 'AAAA' }, { A => ['127.0.0.2'] } ],
    'failing4' => [ { AAAA => [], fails => 'A' }, { AAAA => [ $v6{there} ] } ],
    'forbidden' => [ { A => ['169.254.169.254'] }, { AAAA => [ $v6{there} ] } ],
    'refusing' => [ { A => ['127.0.0.9'] }, { silent => 1 } ],
    "dotted.$one" => [ { A => ['127.0.0.1'] }, { AAAA => [ $v6{there} ] } ]);
my %why = (
    'failing' => qr/^aborted 1 resolving the name: .*general failure/,
    'failing4' => qr/^aborted 1 resolving the name: .*general failure/,
    'forbidden' => qr/^aborted 1 address 169\.254\.169\.254 is in the blocked network(?!.*given up)/,
    'refusing' => qr/^aborted 1 connecting: /);
foreach my $host (sort keys %found)
{
    my ($which, $next) = @{ $found{$host} };

    $first->set($host =~ /\./ ? $host : "$host.$one", %$which);
    $first->set("$host.$two", %$next);
    add($host, '/ok', retry_window => '0', min_attempts => 1);
}
$sent = time();
send_many($_, 1) foreach map { /^([^.]+)/ } sort keys %found;
foreach my $host (sort keys %found)
{
    my ($name) = split /\./, $host;

    ok(wait_for('an attempt', sub { attempts($name) }), "search for $host");
    like(attempts($name), $why{$host} // qr/^delivered 200 1$/, 'ends as it must');
    next if $host =~ /^after/;
    is(scalar($first->questions("$host.$two")), 0, 'with the first name');
    my ($seconds) = query($node, qq{
        SELECT extract(epoch FROM duration) FROM rswebhook.delivery AS v
        JOIN rswebhook.destination AS d ON d.id = v.destination_id WHERE name = '$name' LIMIT 1});
    cmp_ok($seconds, '<', 1.5 * $slack, sprintf 'soon: %.3f s', $seconds);
}
is(scalar(grep { $_->{headers}{'webhook-id'} =~ /^(?:only|failing|dotted)/ } $there->requests), 0,
    'nothing goes to where the next name leads');

# in the order of the search
$names->resolv_conf('nameserver 127.0.0.1', "search $two", 'options ndots:5');
$first->set("deep.in.$one", A => ['127.0.0.2']);
$first->set("deep.in.$one.$two", AAAA => [ $v6{here} ]);
add("deep.in.$one", '/ok');
send_many('deep', 1);
ok(arrived('deep', 1), 'a name with fewer dots than ndots');
is(scalar($first->questions("deep.in.$one")), 0, 'is looked for in the search list first');
$names->resolv_conf(@both);

#
# resolv.conf changes while the worker runs: another server, other words of it
#
$third->set('*', A => ['127.0.0.1']);
$third->set('lan.example', rcode => 'NXDOMAIN');
my $n = 0;

sub new_server_asked
{
    my ($which, $suffix) = @_;

    return wait_for('the other server',
        sub {
            my $name = 'new' . ++$n;
            my $asked_for = $name . ($suffix || '.lan.example');
            add_destination($node, $name, "http://$name$suffix:$port/ok", { %hasty, timeout => '2 s' });
            send_many($name, 1);
            wait_for('an answer', sub { attempts($name) });
            attempts($name) eq 'delivered 200 1' && $which->questions($asked_for);
        });
}

$names->resolv_conf('nameserver 127.0.0.3');
ok(new_server_asked($third, '.test'), 'another name server in resolv.conf is asked');
$first->set('*.lan.example', A => ['127.0.0.1']);
$names->resolv_conf('nameserver 127.0.0.1', 'search lan.example');
ok(new_server_asked($first, ''), 'and the domains of the search list');

# a name server that is not there at all, rather than silent
$first->stop;
$names->resolv_conf(@both);
$second->set('gone.test', A => ['127.0.0.1']);
add('gone.test', '/ok', connect_timeout => '2 s');
send_many('gone', 1);
ok(arrived('gone', 1), 'with a name server gone');
is(attempts('gone'), 'delivered 200 1', 'the other one is asked');

#
# All that with the workers that were there before, which never started a thread,
# nor did libcurl resolve a name.
#
is(worker_pids($node), $pids, 'the workers are the same');
is(largest($pids, 'Threads'), 1, 'they have no thread');
my %notes = map { $_ => 1 } map { $names->notes($_) } split / /, $pids;
is(join(', ', sort keys %notes), '', 'nor ever had one');
my $log = slurp($node->logfile);
unlike($log, qr/file descriptors|too many open files/i, 'the server was never short of descriptors');

#
# DROP EXTENSION and shutdown while names hang
#
sub hang
{
    add_destination($node, 'hangs', 'http://hang.silent.test/', { %hasty, timeout => '30 s' });
    send_many('hangs', 1);
    ok(wait_for_query($node, q{SELECT in_flight FROM rswebhook.status WHERE destination = 'hangs'}, '1'),
        'a name is being resolved');
    return;
}

sub slurp
{
    open my $in, '<', $_[0] or die "could not read \"$_[0]\": $!\n";
    local $/;
    return <$in>;
}

hang();
$took = elapsed(sub { query($node, 'DROP EXTENSION rswebhook') });
cmp_ok($took, '<', at_once(2 * $slack), sprintf 'DROP EXTENSION does not wait for it: %.2f s', $took);
query($node, 'CREATE EXTENSION rswebhook');
hang();
$took = elapsed(sub { $node->stop('fast') });
cmp_ok($took, '<', at_once(2 * $slack), sprintf 'nor does a shutdown: %.2f s', $took);

done_testing();
