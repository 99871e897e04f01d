# Hundreds of destinations hang, in every phase of an attempt, at the first ones
# and at retries: the others go on at once, those that have been heard of and those
# that are new.
#
# At once is before the end of any attempt that hangs, and that has begun since.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use IO::Socket::INET;
use Names;
use RswebhookTest;
use Test::More;

my $each = 75;    # destinations that hang in the same way, with ...
my $events = 3;
my $long = '20 min';

# the system takes connections, and nobody anything else
my $silent = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 4096) or die "could not listen: $!\n";

# takes no connection any more: what would be the next one hangs
my $full = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1) or die "could not listen: $!\n";
my @waiting = map { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $full->sockport, Blocking => 0) } 1 .. 4;

my $names = Names->new(temp_dir('names'));
my %hangs = (
    connect => 'http://127.0.0.1:' . $full->sockport . '/',
    TLS => 'https://127.0.0.1:' . $silent->sockport . '/',
    answer => 'http://127.0.0.1:' . $silent->sockport . '/');
my $receiver = new_receiver();
my $node = new_node('many_hang', start => 0);
if (defined $names)
{
    $names->server('127.0.0.1')->set('*.silent.test', silent => 1);
    $names->resolv_conf('nameserver 127.0.0.1');
    $names->start($node);
    $hangs{name} = 'http://n%s.silent.test/';
}
else
{
    $node->start;
    $hangs{another} = $hangs{answer};
}
query($node, 'CREATE EXTENSION rswebhook');

add_destination($node, 'heard of', $receiver->url('/ok/heard'));
send_many('heard of', 1);
ok(wait_for_query($node, owed('heard of'), 0), 'one has answered');

#
# The first attempts
#
query($node, join "\n", 'BEGIN;',
    (map { add_many($_, $hangs{$_}, $long) } sort keys %hangs),
    (map { send_many_sql("$_ %", $events) } sort keys %hangs), 'COMMIT;');
in_flight(150);
go_on('first');

#
# Those that are known to hang, which come again and again
#
query($node, q{UPDATE rswebhook.destination SET timeout = '3 s', connect_timeout = '3 s' WHERE min_backoff < '1 s'});
query($node, 'SELECT pg_terminate_backend(pid) FROM rswebhook.workers()');
ok( wait_for_query($node, q{
        SELECT count(DISTINCT destination_id) FROM rswebhook.delivery WHERE error LIKE '%timed out%' OR error LIKE '%imeout%'},
        4 * $each),
    'all have run into their time-outs');
go_on('again');
query($node, q{DELETE FROM rswebhook.destination WHERE min_backoff < '1 s'});
ok(wait_until_sent($node), 'they are given up');

#
# Hundreds that have answered, and begin to hang in the same moment
#
query($node, join "\n", map { add_many("turns $_", $receiver->url("/switch/turns/$_/%s"), $long) } 1 .. 4);
$receiver->switch('turns', '/ok');
query($node, send_many_sql('turns %', 1));
ok(wait_until_sent($node), 'others answer');
$receiver->switch('turns', '/hang');
query($node, send_many_sql('turns %', $events));
in_flight(100);
go_on('turned');
$node->stop('immediate');

done_testing();

# Events for one that has been heard of, and for a new one, arrive.
sub go_on
{
    my ($name) = @_;
    my $last = query($node, 'SELECT coalesce(max(id), 0) FROM rswebhook.event');
    my $sent;

    add_destination($node, $name, $receiver->url("/ok/$name"));
    send_many($_, 20) foreach 'heard of', $name;
    $sent = query($node, 'SELECT clock_timestamp()');
    ok(wait_for_query($node, owed($_), 0, 60), "$name: \"$_\" has got its events") foreach 'heard of', $name;
    is(query($node, qq{
            SELECT count(*) FROM rswebhook.event AS e JOIN rswebhook.delivery AS v ON v.event_id = e.id
            WHERE e.id > $last AND EXISTS (
                SELECT FROM rswebhook.delivery AS h JOIN rswebhook.destination AS d ON d.id = h.destination_id
                WHERE d.min_backoff < '1 s' AND h.started_at > '$sent' AND h.duration > '1 s'
                AND h.started_at + h.duration < v.started_at)}),
        0, 'before the end of any attempt that hangs');
    return;
}

# SQL that adds destinations which are tried again soon, and always.
sub add_many
{
    my ($name, $url, $timeout) = @_;

    return qq{
        INSERT INTO rswebhook.destination (name, url, timeout, connect_timeout, min_backoff, max_backoff, breaker_failures)
        SELECT '$name ' || n, format('$url', n), '$timeout', '$timeout', '100 ms', '200 ms', 0
        FROM generate_series(1, $each) AS n;};
}

# SQL that sends events of as many users to each destination with such a name.
sub send_many_sql
{
    my ($like, $count) = @_;

    return qq{
        SELECT count(rswebhook_send(jsonb_build_object('type', 'track', 'userId', 'u' || n), d.name))
        FROM generate_series(1, $count) AS n, rswebhook.destination AS d WHERE d.name LIKE '$like';};
}

sub send_many
{
    my ($name, $count) = @_;

    query($node, send_many_sql($name, $count));
    return;
}

sub owed
{
    my ($name) = @_;

    return qq{SELECT count(*) FROM rswebhook.queue WHERE destination_id = rswebhook.destination_id('$name')};
}

sub in_flight
{
    my ($least) = @_;

    ok(wait_for_query($node, "SELECT sum(in_flight) >= $least FROM rswebhook.status", 't'), "$least attempts hang");
    return;
}
