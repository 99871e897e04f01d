# Large events: however many destinations do not take theirs, the others get
# their own at once, and one that takes them gets many at a time.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use IO::Socket::INET;
use RswebhookTest;
use Socket qw(SO_RCVBUF SOL_SOCKET);
use Test::More;

my $receiver = new_receiver();
my $node = new_node('large');
my $serial = 0;
my $hanging = 0;

# Whoever connects here is never read from.
my $deaf = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 4096)
  or die "could not listen: $@\n";
setsockopt($deaf, SOL_SOCKET, SO_RCVBUF, 4096) or die "could not have a small buffer: $!\n";

#
# One that answers has many in flight after a few, be it slow or not; half of
# what there is for large events may be its own, 25 of these
#
add_destination($node, 'good', $receiver->url('/delay/200/good'), { max_in_flight => 64 });
send_large('good', 90);
ok(wait_until_sent($node), 'large events are delivered');
my $most = most_in_flight($node, 'good');
cmp_ok($most, '>=', 16, 'many at once to one destination');
cmp_ok($most, '<=', 25, 'which leaves half to others');

add_destination($node, 'slow', $receiver->url('/delay/1200/slow'));
send_large('slow', 20);
ok(wait_until_sent($node), 'also to a slow one');
cmp_ok(most_in_flight($node, 'slow'), '>=', 4, 'several at once');

#
# Many that take nothing, none of which was ever heard of
#
# Whoever waited for one of those waited for half of its time at least
my $time_out = $ENV{RSWEBHOOK_SANITIZED} ? 60 : 30;
my %took;
add_destination($node, 'neighbour', $receiver->url('/neighbour'));
gets_at_once('neighbour', 1, 'a neighbour that has not got a large event yet');

# whatever a busy machine made of the first ones
wait_for('large events to be answered soon', sub { ($took{good} = latency('good', 900_000)) < 0.9 });
foreach my $number (20, 60, 200)
{
    add_hanging($number);
    gets_at_once('neighbour', 900_000, "beside $number that hang a neighbour gets a large event at once") foreach 1 .. 3;
    gets_at_once(add_new(), 900_000, 'so does one that is new') if $number == 20;
    is(query($node, q{SELECT max(in_flight) FROM rswebhook.status WHERE destination LIKE 'hangs %'}),
        1, 'each that hangs holds a single one');
}
gets_at_once('good', 900_000, 'likewise one that got many at once');

# Those that hang are known for it after the first time-out, and those that are
# new need not wait for them any more
let_hang('2 s');
ok( wait_for_query($node, q{
        SELECT count(DISTINCT destination_id) FROM rswebhook.delivery AS v
        JOIN rswebhook.destination AS d ON d.id = v.destination_id
        WHERE d.name LIKE 'hangs %' AND v.outcome = 'retry'}, $hanging),
    'all that hang have done so for one time-out');
let_hang("$time_out s");
gets_at_once(add_new(), 900_000, 'a new one gets a large event at once');
gets_at_once('neighbour', 900_000, 'and so does the neighbour');

# One that was fine until now: it has many in flight, but leaves room
$receiver->switch('fickle', '/ok');
add_destination($node, 'fickle', $receiver->url('/switch/fickle'), { max_in_flight => 64 });
send_large('fickle', 20);
ok(wait_for_query($node, owed('fickle'), 0), 'one that takes its large events');
$receiver->switch('fickle', '/hang');
send_large('fickle', 40);
gets_at_once('neighbour', 900_000, 'a neighbour gets its own all the same') foreach 1 .. 3;
ok( wait_for_query($node, q{SELECT count(*) > 0 FROM rswebhook.delivery
        WHERE destination_id = rswebhook.destination_id('fickle') AND outcome = 'retry'}, 't'),
    'hangs');
ok( wait_for_query($node, q{SELECT in_flight <= 1 FROM rswebhook.status WHERE destination = 'fickle'}, 't'),
    'after that it has a single one in flight');
# several until then, unless the machine was so busy that it looked slow before
note('it had ' . most_in_flight($node, 'fickle', 'retry'));

is(query($node, q{SELECT count(*) FROM rswebhook.delivery AS v JOIN rswebhook.destination AS d ON d.id = v.destination_id
        WHERE v.outcome <> 'delivered' AND d.name !~ 'hangs|fickle'}),
    0, 'no attempt of the others has failed');
$node->stop('fast');

done_testing();

sub send_large
{
    my ($destination, $number, $size) = @_;
    my $first = $serial + 1;

    $size //= 1_000_000;
    $serial += $number;
    query($node, qq{
        SELECT count(rswebhook_send(jsonb_build_object('type', 'track', 'messageId', 'large-' || n,
            'properties', jsonb_build_object('text', repeat('x', $size))), '$destination'))
        FROM generate_series($first, $serial) AS n});
    return;
}

# That a destination gets an event of this size long before anything that hangs is
# over; if the last one took so long that it is taken for slow, as on a machine that
# is busy, the one after that shows it.
sub gets_at_once
{
    my ($destination, $size, $what) = @_;
    my ($took, $excused);

    foreach (1 .. 10)
    {
        $excused = ($took{$destination} // 0) > 0.9;
        $took = $took{$destination} = latency($destination, $size);
        last if $took < $time_out / 2 || !$excused;
    }
    return cmp_ok($took, '<', $time_out / 2, $what);
}

# Seconds until an event of this size was answered, sent when nothing else is
# owed to its destination.
sub latency
{
    my ($destination, $size) = @_;

    send_large($destination, 1, $size);
    wait_for_query($node, owed($destination), 0) or return 1000;
    my $took = query($node, qq{
        SELECT extract(epoch FROM v.started_at + v.duration - e.created_at)
        FROM rswebhook.delivery AS v JOIN rswebhook.event AS e ON e.id = v.event_id
        WHERE e.event ->> 'messageId' = 'large-$serial' AND v.outcome = 'delivered'});
    note("$destination: $took s");
    return $took;
}

# So many hang in the end, of which each has as many requests in flight as may be.
sub add_hanging
{
    my ($number) = @_;
    my $url = 'http://127.0.0.1:' . $deaf->sockport;
    my $before = $hanging + 1;

    query($node, qq{
        INSERT INTO rswebhook.destination (name, url, timeout)
        SELECT 'hangs ' || n, '$url/' || n, '$time_out s' FROM generate_series($before, $number) AS n});
    query($node, qq{
        SELECT count(rswebhook_send(jsonb_build_object('type', 'track',
            'properties', jsonb_build_object('text', repeat('x', 1000000))), 'hangs ' || n))
        FROM generate_series($before, $number) AS n, generate_series(1, 3)});
    $hanging = $number;
    wait_for_query($node, q{SELECT sum(in_flight) >= 20 FROM rswebhook.status WHERE destination LIKE 'hangs %'}, 't')
      or die "nothing hangs\n";
    return;
}

# The attempts that begin from now on end after so long.
sub let_hang
{
    my ($time_out) = @_;

    query($node, qq{UPDATE rswebhook.destination SET timeout = '$time_out' WHERE name LIKE 'hangs %'});
    return;
}

sub add_new
{
    my $name = 'new ' . ++$serial;

    add_destination($node, $name, $receiver->url("/new/$serial"));
    return $name;
}

# The query for how many events a destination is owed
sub owed
{
    my ($name) = @_;

    return qq{SELECT pending FROM rswebhook.status WHERE destination = '$name'};
}
