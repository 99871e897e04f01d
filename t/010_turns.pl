# What a destination allows, it allows all of a database's workers together:
# they divide it, and where it is less than one for each, they take turns.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Shares;
use Test::More;
use Time::HiRes qw(time);

my $receiver = new_receiver();
my $node = new_node('turns', conf => "rswebhook.workers = 3\n");
my @users = map { "u$_" } 1 .. 90;

ok(wait_for_workers($node, 3), 'there are three workers');

#
# max_in_flight below their number, above it, and below it again, at work
#
my $narrow = '/delay/20/narrow';
add_destination($node, 'narrow', $receiver->url($narrow), { max_in_flight => 1 });
queue_paused('narrow', 14);
ok(wait_for('requests', sub { $receiver->requests_to($narrow) >= 90 }), 'requests with max_in_flight = 1');
my @first = ($receiver->requests_to($narrow))[ 0 .. 89 ];
is(most_at_once(0.020, @first), 1, 'one at a time');
cmp_ok(least_of_shares('narrow', @first), '>=', 9, 'all workers have their turns');

my $before = set_max_in_flight(8);
ok(wait_for('requests', sub { $receiver->requests_to($narrow) >= $before + 200 }), 'requests with max_in_flight = 8');
cmp_ok(most_in_flight($node, 'narrow'), '>', 3, 'now more at a time');
cmp_ok(most_at_once(0.020, $receiver->requests_to($narrow)), '<=', 8, 'and no more than that');

# What was in flight, and in the hands of a worker that has not looked yet, goes first
$before = set_max_in_flight(1);
ok(wait_for('requests', sub { $receiver->requests_to($narrow) >= $before + 120 }), 'requests with max_in_flight = 1 again');
my @last = ($receiver->requests_to($narrow))[ $before + 30 .. $before + 119 ];
is(most_at_once(0.020, @last), 1, 'one at a time again');
cmp_ok(least_of_shares('narrow', @last), '>=', 9, 'by all workers');
set_max_in_flight(90);
ok(wait_until_sent($node), 'all are delivered');
judge('narrow', 14);

# Others need not wait for those that take turns, nor for one that hangs
add_destination($node, 'hangs', $receiver->url('/hang/turn'),
    { max_in_flight => 1, timeout => '30 min', low_speed_limit => 0 });
add_destination($node, 'beside', $receiver->url('/beside'), { max_in_flight => 2 });
send_of_users($node, 'hangs', 'hangs', 1, \@users);
ok(wait_for('the request', sub { $receiver->requests_to('/hang/turn') }), 'a request hangs');
send_of_users($node, 'beside', 'beside', 3, \@users);
ok(wait_for_query($node, owed('beside'), '0'), 'another destination does not wait for that');
judge('beside', 3);
is(scalar(my @hang = $receiver->requests_to('/hang/turn')), 1, 'which is the only one still');

# A turn ends with the worker that has it: another has it then, not the one that
# follows, which cannot be started for now
my @shares = users_by_share($node, 3, 'hangs', \@users);
my ($having) = grep { my $n = $_; grep { $_ eq user_of($hang[0]) } @{ $shares[$n] } } 0 .. 2;
my %pids = share_workers($node);
freeze(query($node, q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'rswebhook launcher'}));
query($node, "SELECT pg_terminate_backend($pids{$having})");
ok(wait_for('another request', sub { (@hang = $receiver->requests_to('/hang/turn')) > 1 }), 'with its worker the turn ends');
is((grep { $_ eq user_of($hang[-1]) } @{ $shares[$having] }) + 0, 0, 'and is another one\'s');
thaw();
is(query($node, q{SELECT rswebhook_cancel('hangs')}), '90', 'those are cancelled');

#
# A worker that has no room for its next event does not keep others from their turns
#
query($node, q{ALTER SYSTEM SET rswebhook.max_in_flight_size = '1MB'});
$node->reload;
ok(wait_for_query($node, 'SHOW rswebhook.max_in_flight_size', '1MB'), 'little room');
add_destination($node, 'full', $receiver->url('/hang/full'), { timeout => '30 min', low_speed_limit => 0 });
add_destination($node, 'single', $receiver->url('/delay/20/single'), { max_in_flight => 1 });
my @full = users_by_share($node, 3, 'full', \@users);
my @single = users_by_share($node, 3, 'single', \@users);
send_large('full', $full[1][0]);
ok(wait_for('the request', sub { $receiver->requests_to('/hang/full') }), 'a large event fills a worker\'s room');
send_of_users($node, 'single', 'single', 7, $single[0]);
send_large('single', $single[1][0]);
send_of_users($node, 'single', 'single', 1, $single[1]);
my $count = 7 * @{ $single[0] };
ok( wait_for('the others', sub { requests_of("single", @{ $single[0] }) >= $count }),
    'the others have their turns');
query($node, qq{SELECT rswebhook_cancel('$_')}) foreach qw(full single);
query($node, q{ALTER SYSTEM RESET rswebhook.max_in_flight_size});
$node->restart;

#
# max_in_flight and rate_limit, divided
#
my $six = '/delay/50/six';
add_destination($node, 'six', $receiver->url($six), { max_in_flight => 6 });
queue_paused('six', 2);
ok(wait_for_query($node, owed('six'), '0'), 'max_in_flight = 6');
cmp_ok(most_at_once(0.050, $receiver->requests_to($six)), '<=', 6, 'is kept to');
cmp_ok(most_in_flight($node, 'six'), '>=', 6, 'and used');
judge('six', 2);

# Each worker has a token to begin with, and earns ten a second
add_destination($node, 'paced', $receiver->url('/paced'), { rate_limit => 30 });
my $start = time();
queue_paused('paced', 1);
ok(wait_for_query($node, owed('paced'), '0'), 'rate_limit = 30');
my @times = map { $_->{t} - $start } $receiver->requests_to('/paced');
is((grep { $_ + 1 > 3 * (1 + 10 * $times[$_]) } 0 .. $#times) + 0, 0, 'is kept to')
  or diag("after: @times");
judge('paced', 1);

#
# An open breaker: one probe at a time
#
my $down = '/delay/50/switch/down';
$receiver->switch('down', '/status/503');
add_destination($node, 'down', $receiver->url($down),
    { min_backoff => '600 ms', max_backoff => '600 ms', breaker_failures => 5 });
send_of_users($node, 'down', 'down', 2, \@users);
ok(wait_for_query($node, breaker_is('down'), 'open'), 'a breaker opens');
ok(wait_for_query($node, q{SELECT in_flight FROM rswebhook.status WHERE destination = 'down'}, '0'),
    'what was in flight has ended');
$before = $receiver->requests_to($down);
cmp_ok($before, '<=', 3 * (5 + 4), 'each worker has sent few');
ok(wait_for('probes', sub { $receiver->requests_to($down) >= $before + 6 }), 'it is probed');
my @probes = ($receiver->requests_to($down))[ $before .. $before + 5 ];
is(most_at_once(0.050, @probes), 1, 'one probe at a time');
is((grep { $probes[$_]{t} - $probes[ $_ - 1 ]{t} < 0.3 } 1 .. $#probes) + 0, 0, 'at a distance')
  or diag(join ' ', map { $_->{t} } @probes);
$receiver->switch('down', '/ok');
ok(wait_for_query($node, owed('down'), '0'), 'once it is up, all are delivered');
judge('down', 2);

#
# A breaker is everybody's: who opens or closes it tells the others, whose next
# look of their own would come much later
#
$receiver->switch('far', '/status/503');
add_destination($node, 'far', $receiver->url('/switch/far'),
    { min_backoff => '1 h', max_backoff => '1 h', breaker_failures => 5 });
add_destination($node, 'near', $receiver->url('/near'));
@shares = users_by_share($node, 3, 'far', \@users);
my @fails = splice @{ $shares[0] }, 0, 10;
send_of_users($node, 'far', 'fails', 1, \@fails);
ok(wait_for_query($node, breaker_is('far'), 'open'), 'one worker opens a breaker');
ok(wait_for_query($node, q{SELECT in_flight FROM rswebhook.status WHERE destination = 'far'}, '0'), 'and waits');
$before = $receiver->requests_to('/switch/far');
send_of_users($node, $_, $_, 1, [ map { @$_ } @shares ]) foreach 'far', 'near';
ok(wait_for_query($node, owed('near'), '0'), 'all have looked at what was sent since');
is(scalar(my @far = $receiver->requests_to('/switch/far')), $before, 'and sent nothing there');

# One of them starts anew, and finds in the table that it is time for a probe
$receiver->switch('far', '/ok');
query($node, q{UPDATE rswebhook.breaker SET next_probe_at = now()});
%pids = share_workers($node);
query($node, "SELECT pg_terminate_backend($pids{1})");
ok(wait_for_query($node, owed('far') . ' AND attempts = 0', '0'), 'one closes it, and all deliver');
is(query($node, breaker_is('far')), 'closed', 'it is closed');
is(query($node, owed('far')), '' . $before, 'what was tried before waits for its own time');

done_testing();

# These events are all there before the first is sent.
sub queue_paused
{
    my ($destination, $rounds) = @_;

    query($node, "SELECT rswebhook_pause('$destination')");
    send_of_users($node, $destination, $destination, $rounds, \@users);
    query($node, "SELECT rswebhook_resume('$destination')");
    return;
}

# An event of nearly a megabyte, that does not compress.
sub send_large
{
    my ($destination, $user) = @_;

    query($node, qq{
        SELECT rswebhook_send(jsonb_build_object('type', 'track', 'userId', '$user', 'messageId', 'large-$user-1',
                'properties', (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 28000) AS i)),
            '$destination')});
    return;
}

# How many events of these users have arrived there.
sub requests_of
{
    my ($path, @of) = @_;
    my %of = map { $_ => 1 } @of;

    return scalar grep { $of{ user_of($_) } } $receiver->requests_to("/delay/20/$path");
}

# How many requests there were by then.
sub set_max_in_flight
{
    my ($most) = @_;

    query($node, "UPDATE rswebhook.destination SET max_in_flight = $most WHERE name = 'narrow'");
    return scalar(my @requests = $receiver->requests_to($narrow));
}

sub breaker_is
{
    my ($destination) = @_;

    return "SELECT breaker FROM rswebhook.status WHERE destination = '$destination'";
}

# Requests that were each answered after so long: how many were there at once?
sub most_at_once
{
    my ($seconds, @requests) = @_;
    my @times = map { $_->{t} } @requests;
    my ($most) = sort { $b <=> $a } map { my $t = $_; scalar grep { $_ <= $t && $_ > $t - 0.95 * $seconds } @times } @times;

    return $most;
}

# Of how many of these requests was the worker that had the fewest?
sub least_of_shares
{
    my ($destination, @requests) = @_;
    my @counts;

    foreach my $users (users_by_share($node, 3, $destination, \@users))
    {
        my %is_in = map { $_ => 1 } @$users;
        push @counts, scalar grep { $is_in{ user_of($_) } } @requests;
    }
    note("requests of the workers: @counts");
    return (sort { $a <=> $b } @counts)[0];
}

# Of each user so many events were accepted, each once and in order.
sub judge
{
    my ($tag, $rounds) = @_;
    my (%last, $wrong);
    my @accepted = grep { $_->{accepted} && index($_->{headers}{'webhook-id'}, "$tag-") == 0 } $receiver->requests;

    foreach my $request (@accepted)
    {
        my ($n) = $request->{headers}{'webhook-id'} =~ /-(\d+)$/;
        $wrong++ if $n != ++$last{ user_of($request) };
    }
    is(scalar @accepted, $rounds * @users, "$tag: all have arrived");
    is($wrong // 0, 0, "$tag: once and in order");
    return;
}
