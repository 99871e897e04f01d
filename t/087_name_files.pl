# The files that say how names are found change while names are waited for, and
# what the resolver lacks to ask with. Each destination has one attempt, so what
# is delivered was not charged for any of that.

use strict;
use warnings;

use Errno;
use FindBin;
use lib "$FindBin::RealBin/lib";

use Names;
use RswebhookTest;
use Test::More;

my $dir = temp_dir('names');
my $names = Names->new($dir) or plan skip_all => 'no compiler, or not glibc';
my @server = map { $names->server("127.0.0.$_") } 1 .. 4;
$names->resolv_conf('nameserver 127.0.0.1');
my $here = new_receiver();
my $port = $here->port;
my $there = new_receiver('--address', '127.0.0.2', '--port', $port);
my $node = new_node('name_files', start => 0);
$names->start($node);
query($node, 'CREATE EXTENSION rswebhook');
my $pids = await_workers($node);
my %once = (ordered => 0, retry_window => '0', min_attempts => 1, breaker_failures => 0, timeout => '60 s');
my $numeric = 'numeric';
add_destination($node, $numeric, $here->url('/numeric'), \%once);

test_other_servers();
test_ways();
test_restless();
test_comments();
test_given_up();
test_hosts();
test_hosts_of_known();
test_shared_lines();
test_many_lines();
test_lacks();
is(worker_pids($node), $pids, 'the workers are the same');
$node->stop('fast');
test_sealed();

done_testing();

# A destination that is named like its host, and an event for it; its id
sub send_to
{
    my ($host, %options) = @_;

    add_destination($node, $host, "http://$host:$port/last/$host", { %once, %options });
    return another($host);
}

sub another
{
    my ($host) = @_;

    return send_event($node, { type => 'track', userId => 'u' }, $host);
}

# The outcome of the only attempt, and why
sub outcome
{
    my ($id) = @_;

    wait_for_query($node, "SELECT count(*) > 0 FROM rswebhook.delivery WHERE event_id = $id", 't');
    return query($node, "SELECT concat_ws(' | ', outcome, attempt, error) FROM rswebhook.delivery WHERE event_id = $id ORDER BY attempt LIMIT 1");
}

sub await_question
{
    my ($server, $host) = @_;

    return wait_for("a question for $host", sub { scalar(() = $server->questions($host, 'A')) });
}

sub arrivals
{
    my ($receiver, $host) = @_;

    return scalar(() = $receiver->requests_to("/last/$host"));
}

sub descriptors
{
    return scalar(map { glob "/proc/$_/fd/*" } split / /, $pids);
}

# In the same file, as some programs do
sub write_in_place
{
    my ($name, $text) = @_;

    open my $out, '>', "$dir/$name" or die "could not write: $!\n";
    print $out $text;
    close $out or die "could not write: $!\n";
    return;
}

# 150 names wait for servers that say nothing when resolv.conf is mended
sub test_other_servers
{
    $_->set('*.stuck.test', silent => 1) foreach @server[ 0 .. 2 ];
    $server[3]->set('*.stuck.test', A => ['127.0.0.1']);
    $names->resolv_conf(map { "nameserver 127.0.0.$_" } 1 .. 3);
    query($node, qq{
        INSERT INTO rswebhook.destination (name, url, ordered, retry_window, min_attempts, breaker_failures, timeout)
        SELECT 'stuck ' || n, 'http://n' || n || '.stuck.test:$port/ok', false, '0', 1, 0, '60 s'
        FROM generate_series(1, 150) AS n});
    query($node, q{SELECT count(rswebhook_send('{"type": "track"}', 'stuck ' || n)) FROM generate_series(1, 150) AS n});
    ok(wait_for_query($node, q{SELECT sum(in_flight) FROM rswebhook.status WHERE destination LIKE 'stuck %'}, '150'), '150 names are waited for');
    ok(wait_for('a question', sub { grep { $_->{name} =~ /stuck/ } $server[0]->questions }), 'and asked for');
    my $fds = descriptors();
    my $took = elapsed(
        sub {
            $names->resolv_conf('nameserver 127.0.0.4');
            ok(wait_until_sent($node), 'resolv.conf is mended');
        });
    is(query($node, q{
            SELECT string_agg(DISTINCT concat_ws(' ', outcome, attempt, error), '; ')
            FROM rswebhook.delivery AS v JOIN rswebhook.destination AS d ON d.id = v.destination_id WHERE name LIKE 'stuck %'}),
        'delivered 1', 'all that waited go on, with the attempt that they were at');
    my %ports = map { $_->{port} => 1 } $server[3]->questions;
    # another one after each second in which no answer has come
    cmp_ok(scalar keys %ports, '<=', 2 + 2 * $took, sprintf 'asked for over few sockets, in %.2f s', $took);
    query($node, q{DELETE FROM rswebhook.destination WHERE name LIKE 'stuck %'});
    return;
}

# All the ways that a file can change; without one, a server on this machine is
# asked, which is 127.0.0.1
sub test_ways
{
    my $mended = "nameserver 127.0.0.1\n";
    my @ways = (
        [ 'renamed', sub { $names->write('resolv.conf', $mended) } ],
        [ 'in_place', sub { write_in_place('resolv.conf', $mended) } ],
        [ 'in_two', sub { write_in_place('resolv.conf', ''); $names->write('resolv.conf', $mended) } ],
        [ 'linked', sub {
            write_in_place('other.conf', $mended);
            symlink 'other.conf', "$dir/link" or die "could not link: $!\n";
            rename "$dir/link", "$dir/resolv.conf" or die "could not rename: $!\n" } ],
        [ 'removed', sub { unlink "$dir/resolv.conf" } ],
        [ 'empty', sub { $names->write('resolv.conf', '') } ],
        [ 'same_time', sub {
            my $time = (stat "$dir/resolv.conf")[9];
            $names->write('resolv.conf', $mended);
            utime $time, $time, "$dir/resolv.conf" } ]);

    foreach my $case (@ways)
    {
        my ($way, $change) = @$case;

        unlink "$dir/resolv.conf";
        $names->resolv_conf('nameserver 127.0.0.3');
        $server[2]->set("$way.test", silent => 1);
        $server[0]->set("$way.test", A => ['127.0.0.1']);
        my $id = send_to("$way.test");
        await_question($server[2], "$way.test");
        $change->();
        is(outcome($id), 'delivered | 1', "resolv.conf: $way");
    }

    # what cannot be read says nothing
    $names->resolv_conf('nameserver 127.0.0.4');
    foreach (1 .. workers_each())    # each of which reads it by itself
    {
        $server[3]->set("sealed-$_.test", A => ['127.0.0.1'], ttl => 1);
        is(outcome(send_to("sealed-$_.test")), 'delivered | 1', 'a name server');
    }
    $names->write('resolv.new', "nameserver 127.0.0.3\n");
    chmod 0, "$dir/resolv.new";
    rename "$dir/resolv.new", "$dir/resolv.conf" or die "could not rename: $!\n";
    $server[3]->set('kept.test', A => ['127.0.0.1']);
    is(outcome(send_to('kept.test')), 'delivered | 1', 'is asked while resolv.conf cannot be read');
    $server[2]->set('open.test', A => ['127.0.0.1']);
    $server[3]->set('open.test', silent => 1);
    my $id = send_to('open.test');
    await_question($server[3], 'open.test');
    chmod 0644, "$dir/resolv.conf";
    is(outcome($id), 'delivered | 1', 'and the other one when it can be');
    return;
}

# A worker that has never read resolv.conf does not know whom to ask
sub test_sealed
{
    chmod 0, "$dir/resolv.conf";
    $names->start($node);
    $server[3]->set('sealed-first.test', A => ['127.0.0.1']);
    my $id = send_to('sealed-first.test');
    ok(wait_for_query($node, 'SELECT max(lacks) FROM rswebhook.workers()', '/etc/resolv.conf cannot be read'), 'what is lacking');
    chmod 0644, "$dir/resolv.conf";
    is(outcome($id), 'delivered | 1', 'is charged to nobody');
    $node->stop('fast');
    return;
}

# Names wait while resolv.conf says something else again and again
sub test_restless
{
    my $changes = 30;
    my $fds = descriptors();
    my $most = 0;

    $_->set('*.restless.test', silent => 1) foreach @server[ 0 .. 2 ];
    $server[3]->set('*.restless.test', A => ['127.0.0.1']);
    my @ids = map { send_to("n$_.restless.test") } 1 .. 5;
    foreach my $n (1 .. $changes)
    {
        $names->resolv_conf('nameserver 127.0.0.' . (1 + $n % 3));
        pass_time(0.05);
        my $now = descriptors();
        $most = $now if $now > $most;
    }
    $names->resolv_conf('nameserver 127.0.0.4');
    is(join(', ', map { outcome($_) } @ids), join(', ', ('delivered | 1') x 5), 'resolv.conf changes all the time');
    cmp_ok($most - $fds, '<', 10 * workers_each(), "that takes few descriptors: $most, $fds before");
    my %count;
    $count{"$_->{name} $_->{type}"}++ foreach grep { $_->{name} =~ /restless/ } map { $_->questions } @server;
    my ($asked) = sort { $b <=> $a } values %count;
    cmp_ok($asked, '<=', 2 * $changes, "and few questions: $asked");
    return;
}

# Nothing is asked anew for the sake of a comment
sub test_comments
{
    $names->resolv_conf('nameserver 127.0.0.1');
    $server[0]->set('slow.test', A => ['127.0.0.1'], AAAA => [], delay => 900);
    my $id = send_to('slow.test');
    await_question($server[0], 'slow.test');
    foreach my $n (1 .. 30)
    {
        $names->resolv_conf("# written at $n", 'nameserver 127.0.0.1');
        last if query($node, "SELECT count(*) FROM rswebhook.delivery WHERE event_id = $id");
        pass_time(0.05);
    }
    is(outcome($id), 'delivered | 1', 'resolv.conf has another comment, again and again');
    # once more after a second, where that was over before the answer was read
    cmp_ok(scalar(() = $server[0]->questions('slow.test', 'A')), '<=', 2, 'and the question is the same');
    return;
}

# c-ares may still wait for the third server's third silence when the first one
# speaks again
sub test_given_up
{
    $_->set('given-up.test', silent => 1) foreach @server;
    $names->resolv_conf(map { "nameserver 127.0.0.$_" } 1 .. 3);
    like(outcome(send_to('given-up.test')), qr/^aborted \| 1 \| resolving the name: .*timed out/, 'a name is given up');
    $server[0]->set('given-up.test', A => ['127.0.0.1']);
    is(outcome(another('given-up.test')), 'delivered | 1', 'the next one for it begins with the first server');
    $names->resolv_conf('nameserver 127.0.0.1');
    return;
}

sub test_hosts
{
    $server[0]->set('waits.test', silent => 1);
    my $id = send_to('waits.test');
    await_question($server[0], 'waits.test');
    $names->hosts('127.0.0.1 waits.test');
    is(outcome($id), 'delivered | 1', 'a line of the hosts file for a name that is waited for');
    $names->hosts('127.0.0.2 waits.test');
    ok(wait_for('the other address', sub { outcome(another('waits.test')); arrivals($there, 'waits.test') }), 'another address');
    $names->hosts;
    $server[0]->set('waits.test', A => ['127.0.0.1']);
    my $before = arrivals($here, 'waits.test');
    ok(wait_for('the first address', sub { outcome(another('waits.test')); arrivals($here, 'waits.test') > $before }),
        'and none: the name server is asked again');
    is(query($node, q{SELECT count(*) FROM rswebhook.delivery WHERE outcome <> 'delivered' AND destination_id = rswebhook.destination_id('waits.test')}),
        '0', 'no attempt failed meanwhile');
    return;
}

# Of a name that a name server has answered for, as far as it did
sub test_hosts_of_known
{
    # of IPv6 later, so that it would be tried first
    $server[0]->set('known.test', A => ['127.0.0.2'], AAAA => ['::ffff:127.0.0.2'], delay => { AAAA => 1000 }, ttl => 300);
    is(outcome(send_to('known.test')), 'delivered | 1', 'a name server says where to');
    is(arrivals($there, 'known.test'), 1, 'and it goes there');
    $names->hosts('127.0.0.1 known.test');
    is(outcome(another('known.test')), 'delivered | 1', 'the hosts file knows better');
    pass_time(1.5);
    is(outcome(another('known.test')), 'delivered | 1', 'also after the last answer');
    is(arrivals($there, 'known.test'), 1, 'of which nothing is used');
    foreach my $round (1 .. 5)
    {
        $names->hosts('127.0.0.1 known.test', '127.0.5.1 other.test');
        wait_for('its arrival', sub { my $before = arrivals($here, 'known.test'); outcome(another('known.test')); arrivals($here, 'known.test') > $before });
        $names->hosts('127.0.5.1 other.test');
        is(outcome(another('known.test')), 'delivered | 1', "its line is gone, round $round");
        is(arrivals($there, 'known.test'), 1 + $round, 'so the name server is asked again, at once');
    }
    $names->hosts;

    $server[0]->set('half.test', A => ['127.0.5.1'], silent => 'AAAA', ttl => 1);
    like(outcome(send_to('half.test', timeout => '2 s')), qr/^aborted \| 1 \| connecting/, 'one family is answered for');
    $names->hosts('127.0.0.1 half.test');
    is(outcome(another('half.test')), 'delivered | 1', 'the hosts file does not wait for the other');
    $names->hosts;
    return;
}

# A name has the addresses of the lines that it is in, and of no others
sub test_shared_lines
{
    my %where = ('one.test' => $here, 'two.test' => $there, 'three.test' => $there);

    $names->hosts('127.0.5.1 none.test', "127.0.0.1\tone.test shared.test#three.test", '127.0.0.2 shared.test Two.test  THREE.TEST',
        '127.0.5.1 shared.test', 'one.test 127.0.5.1', '127.0.5.1', '127.0.5.2 #one.test');
    foreach my $host (sort keys %where)
    {
        is(outcome(send_to($host)), 'delivered | 1', "$host of the hosts file");
        is(arrivals($where{$host}, $host), 1, 'is where its own line says');
    }
    is(outcome(send_to('shared.test')), 'delivered | 1', 'a name of several lines');
    is(arrivals($here, 'shared.test'), 1, 'is where the first one says');
    like(outcome(send_to('none.test')), qr/^aborted \| 1 \| connecting/, 'and one of a line where nobody listens is not elsewhere');
    $names->hosts;
    return;
}

# 300 look-ups do not read a large hosts file 300 times
sub test_many_lines
{
    $server[0]->set('*.many.test', A => ['127.0.0.1'], ttl => 300);
    query($node, qq{
        INSERT INTO rswebhook.destination (name, url, ordered)
        SELECT 'many ' || n, 'http://n' || n || '.many.test:$port/ok', false FROM generate_series(1, 600) AS n});
    my %used;
    foreach my $lines (0, 50_000)
    {
        $names->hosts((map { "0.0.0.0 ad$_.example.com" } 1 .. $lines), "127.0.0.1 end$lines.test");
        my $before = cpu_time($pids);
        my $from = $lines ? 301 : 1;
        query($node, qq{
            SELECT count(rswebhook_send('{"type": "track"}', 'many ' || n)) FROM generate_series($from, $from + 299) AS n});
        ok(wait_until_sent($node), "300 names, with a hosts file of $lines lines");
        $used{$lines} = cpu_time($pids) - $before;
        is(outcome(send_to("end$lines.test")), 'delivered | 1', 'whose last line is found');
    }
    cmp_ok($used{50_000}, '<', 2 * $used{0} + 0.5, "that takes little: $used{50_000} s, $used{0} without it");
    $names->hosts;
    query($node, q{DELETE FROM rswebhook.destination WHERE name LIKE 'many %'});
    return;
}

# One family's look-up ends for a lack of ours, before or after the other one's
# is answered: with no addresses
sub test_lacks
{
    my $n = 0;

    foreach my $errno (qw(EADDRNOTAVAIL ENOBUFS ENOMEM))
    {
        foreach my $last (qw(A AAAA))
        {
            my $host = lc "$errno-$last.test";
            # another one each time, to which no connection is open
            my $server = $server[ ++$n % @server ];

            $names->resolv_conf('nameserver 127.0.0.' . (1 + $n % @server));
            $server->set($host, A => ['127.0.0.1'], AAAA => [], truncated => 'A', delay => { $last => 700 });
            $names->write('lacking_tcp', Errno->can($errno)->());
            my $id = send_to($host);
            ok(wait_for_query($node, 'SELECT count(lacks) FROM rswebhook.workers()', '1'), "$errno, $last comes last: it is said to be lacking");
            $names->write('lacking_tcp', 0);
            is(outcome($id), 'delivered | 1', 'and charged to nobody');
        }
    }
    # whose own time is over before
    $names->resolv_conf('nameserver 127.0.0.4');
    $server[3]->set('hasty.test', A => ['127.0.0.1'], AAAA => [], truncated => 'A', delay => { AAAA => 4000 });
    $names->write('lacking_tcp', Errno::ENOBUFS());
    my $id = send_to('hasty.test', timeout => '1 s');
    ok(wait_for_query($node, 'SELECT count(lacks) FROM rswebhook.workers()', '1'), 'nor if there is no time to wait for the other family');
    $names->write('lacking_tcp', 0);
    is(outcome($id), 'delivered | 1', 'that has its attempt then');
    return;
}
