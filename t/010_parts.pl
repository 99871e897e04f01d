# A destination that several workers serve: what it allows, it allows all of them
# together, each its part; and what one of them learns of it, the others hear.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Shares;
use Test::More;
use Time::HiRes qw(time);

my $receiver = new_receiver();
my $node = new_node('parts', conf => "rswebhook.workers = 3\n");
my @users = map { "u$_" } 1 .. 90;

ok(wait_for_workers($node, 3), 'there are three workers');

#
# max_in_flight and rate_limit, divided
#
foreach my $most (3, 7)
{
    my $path = "/delay/50/most$most";

    add_parted("most$most", $path, { max_in_flight => $most });
    queue_paused("most$most", 2);
    ok(wait_for_query($node, owed("most$most"), '0'), "max_in_flight = $most");
    cmp_ok(most_at_once(0.050, $receiver->requests_to($path)), '<=', $most, 'is kept to');
    cmp_ok(most_in_flight($node, "most$most"), '>=', $most, 'and used');
    judge("most$most", 2);
}

# Each worker has a token to begin with, and earns ten a second
add_parted('paced', '/paced', { rate_limit => 30 });
my $start = time();
queue_paused('paced', 1);
ok(wait_for_query($node, owed('paced'), '0'), 'rate_limit = 30');
my @times = map { $_->{t} - $start } $receiver->requests_to('/paced');
is((grep { $_ + 1 > 3 * (1 + 10 * $times[$_]) } 0 .. $#times) + 0, 0, 'is kept to')
  or diag("after: @times");
judge('paced', 1);

#
# An open breaker: each has its part of the users that open it, and one probe
#
my $down = '/delay/50/switch/down';
$receiver->switch('down', '/status/503');
add_parted('down', $down, { min_backoff => '600 ms', max_backoff => '600 ms', breaker_failures => 6 });
send_of_users($node, 'down', 'down', 2, \@users);
ok(wait_for_query($node, breaker_is('down'), 'open'), 'a breaker opens');
ok(wait_for_query($node, q{SELECT in_flight FROM rswebhook.status WHERE destination = 'down'}, '0'),
    'what was in flight has ended');
my @sent = $receiver->requests_to($down);
my $before = @sent;
my $probed = ($sent[-1]{t} - $sent[0]{t}) / 0.6;
cmp_ok($before, '<=', 3 * (2 + 4 + $probed), 'each worker has sent few');
ok(wait_for('probes', sub { $receiver->requests_to($down) >= $before + 12 }), 'it is probed');
my @probes = ($receiver->requests_to($down))[ $before .. $before + 11 ];
cmp_ok(most_at_once(0.050, @probes), '<=', 3, 'by each worker one at a time');
is((grep { $probes[$_]{t} - $probes[ $_ - 3 ]{t} < 0.3 } 3 .. $#probes) + 0, 0, 'at a distance')
  or diag(join ' ', map { $_->{t} } @probes);
$receiver->switch('down', '/ok');
ok(wait_for_query($node, owed('down'), '0'), 'once it is up, all are delivered');
judge('down', 2);

#
# A breaker is everybody's: who opens or closes it tells the others, whose next
# look of their own would come much later
#
$receiver->switch('far', '/status/503');
add_parted('far', '/switch/far', { min_backoff => '1 h', max_backoff => '1 h', breaker_failures => 15 });
add_parted('near', '/near');
my @shares = users_by_share($node, 3, 'far', \@users);
is(scalar(grep { @$_ > 12 } @shares), 3, 'each has its users');
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
my %pids = share_workers($node);
query($node, "SELECT pg_terminate_backend($pids{1})");
ok(wait_for_query($node, owed('far') . ' AND attempts = 0', '0'), 'one closes it, and all deliver');
is(query($node, breaker_is('far')), 'closed', 'it is closed');
is(query($node, owed('far')), '' . $before, 'what was tried before waits for its own time');

#
# So is a pause that an answer asks for
#
$receiver->switch('stops', '/status/401');
add_parted('stops', '/switch/stops', { status_outcomes => '{"401": "pause"}' });
send_of_users($node, 'stops', 'first', 1, [ $users[0] ]);
ok(wait_for_query($node, q{SELECT state FROM rswebhook.status WHERE destination = 'stops'}, 'paused'),
    'an answer pauses a destination');
send_of_users($node, $_, "$_-paused", 1, \@users) foreach 'stops', 'near';
ok(wait_for_query($node, owed('near'), '0'), 'all have looked at what was sent since');
is(scalar(my @stops = $receiver->requests_to('/switch/stops')), 1, 'and none has sent anything there');

done_testing();

sub add_parted
{
    my ($name, $path, $columns) = @_;

    add_destination($node, $name, $receiver->url($path), { workers => 3, %{ $columns // {} } });
    return;
}

# These events are all there before the first is sent.
sub queue_paused
{
    my ($destination, $rounds) = @_;

    query($node, "SELECT rswebhook_pause('$destination')");
    send_of_users($node, $destination, $destination, $rounds, \@users);
    query($node, "SELECT rswebhook_resume('$destination')");
    return;
}

sub breaker_is
{
    my ($destination) = @_;

    return "SELECT breaker FROM rswebhook.status WHERE destination = '$destination'";
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
