# However many workers a database has, a destination is one worker's by default: what
# it allows is kept to and made use of as exactly as with one, for a single user as
# well, and what is learnt of it holds at once.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Shares;
use Test::More;
use Time::HiRes qw(time);

# Without what counts the rows that are owed, for rswebhook.status: it reads them, too
my $conf = $ENV{RSWEBHOOK_INJECTED_CONF};
plan skip_all => 'needs a build with -DRSWEBHOOK_INJECTION' unless ($conf // '') ne '';
$ENV{RSWEBHOOK_CONF} = $conf;

my $workers = 4;
my $receiver = new_receiver();
my $node = new_node('one', conf => "rswebhook.workers = $workers\n");
inject($node, 'counting error');
my @users = map { "u$_" } 1 .. 60;
my $long = 4;    # seconds, for what would take twice as long otherwise

ok(wait_for_workers($node, $workers), 'there are four workers');

#
# A single user has all of what its destination allows
#
add_destination($node, 'paced', $receiver->url('/paced'), { rate_limit => 20, ordered => 'false' });
my $begun = time();
send_of_users($node, 'paced', 'paced', 41, ['u1']);
ok(wait_for_query($node, owed('paced'), '0'), 'a rate limit');
my @times = map { $_->{t} - $begun } $receiver->requests_to('/paced');
is((grep { $_ > 2 + 20 * $times[$_] } 0 .. $#times) + 0, 0, 'is kept to') or diag("after: @times");
cmp_ok($times[-1], '<', at_once($long), 'and made use of');

my $wide = '/delay/100/wide';
add_destination($node, 'wide', $receiver->url($wide), { max_in_flight => 8, ordered => 'false' });
send_of_users($node, 'wide', 'wide', 100, ['u1']);
ok(wait_for_query($node, owed('wide'), '0'), 'max_in_flight');
cmp_ok(most_at_once(0.100, $receiver->requests_to($wide)), '<=', 8, 'is kept to');
cmp_ok(most_in_flight($node, 'wide'), '>=', 8, 'and made use of');

#
# A destination that is down
#
foreach my $most (1, 32)
{
    my $down = "down$most";

    add_destination($node, $down, $receiver->url("/delay/20/status/503/$down"),
        { max_in_flight => $most, breaker_failures => 6, min_backoff => '1 h', max_backoff => '1 h' });
    send_of_users($node, $down, $down, 1, \@users);
    ok(wait_for_query($node, status("breaker || ' ' || in_flight", $down), 'open 0'),
        'a circuit breaker opens');
    my $count = $receiver->requests_to("/delay/20/status/503/$down");
    is($count, 6, 'after exactly so many users') if $most == 1;
    # those that were in flight then
    cmp_ok($count, '<=', 6 + 3, 'or with those that one worker has in flight') if $most > 1;
}

#
# What an answer asks for
#
add_destination($node, 'stops', $receiver->url('/delay/20/status/401/stops'),
    { max_in_flight => 1, status_outcomes => '{"401": "pause"}' });
send_of_users($node, 'stops', 'stops', 1, \@users);
ok(wait_for_query($node, status('state', 'stops'), 'paused'), 'an answer pauses a destination');
is(scalar(my @stops = $receiver->requests_to('/delay/20/status/401/stops')), 1, 'at once');

add_destination($node, 'busy', $receiver->url('/delay/20/retry-after/429/3000/busy'),
    { max_in_flight => 1, breaker_failures => 1, min_backoff => '1 ms', max_backoff => '1 h' });
send_of_users($node, 'busy', 'busy', 1, \@users);
ok(wait_for_query($node, status('breaker', 'busy'), 'open'), 'another one asks for time');
is(query($node, status(q{breaker_next_probe_at > now() + interval '45 min'}, 'busy')), 't', 'which it has');
is(scalar(my @busy = $receiver->requests_to('/delay/20/retry-after/429/3000/busy')), 1, 'at once');

#
# More destinations than workers, each with one request at a time
#
my ($count, $rounds) = (300, 8);
query($node, sprintf q{
    INSERT INTO rswebhook.destination (name, url, max_in_flight, types)
        SELECT 'narrow' || n, '%s' || n, 1, '{narrow}' FROM generate_series(1, %d) AS n},
    $receiver->url('/delay/10/narrow'), $count);
query($node, qq{
    SELECT count(rswebhook_send(jsonb_build_object('type', 'narrow', 'messageId', 'narrow-' || n)))
    FROM generate_series(1, $rounds) AS n});
ok(wait_for_query($node, q{SELECT count(*) FROM rswebhook.queue AS q JOIN rswebhook.destination AS d
        ON d.id = q.destination_id WHERE d.name LIKE 'narrow%'}, '0'), 'many narrow destinations');
my %ids = map { split /\|/ } split /\n/,
  query($node, q{SELECT name, id FROM rswebhook.destination WHERE name LIKE 'narrow%'});
my (%last_first, %first_last, %number, $wrong);
foreach my $request (grep { $_->{target} =~ /narrow/ } $receiver->requests)
{
    my ($name) = $request->{target} =~ m{/(narrow\d+)$};
    my $worker = $ids{$name} % $workers;

    $number{$name}++;
    $last_first{$worker} = $request->{t} if $number{$name} == 1;
    $first_last{$worker} //= $request->{t} if $number{$name} == $rounds;
}
is((grep { ($number{$_} // 0) != $rounds } keys %ids) + 0, 0, 'get all that they are owed');
is((grep { $last_first{$_} > $first_last{$_} } keys %last_first) + 0, 0,
    'and none has all of it before another has anything');
is(scalar(keys %last_first), $workers, 'by all workers');
is(query($node, q{
    SELECT count(*) FROM (
        SELECT v.started_at < lag(v.started_at + v.duration)
                   OVER (PARTITION BY v.destination_id ORDER BY v.started_at) AS early
        FROM rswebhook.delivery AS v JOIN rswebhook.destination AS d ON d.id = v.destination_id
        WHERE d.name LIKE 'narrow%') AS n
    WHERE early}), '0', 'one request at a time');

# Each of them reads what is its own
query($node, q{SELECT rswebhook_pause(name) FROM rswebhook.destination WHERE name LIKE 'narrow%'});
$node->restart;
ok(wait_for_workers($node, $workers), 'workers that have read nothing');
add_destination($node, 'plenty', $receiver->url('/plenty'), { paused => 'true' });
send_of_users($node, 'plenty', 'plenty', 50, \@users);
my $entries = entries_read($node);
query($node, q{SELECT rswebhook_resume('plenty')});
ok(wait_for('requests', sub { $receiver->requests_to('/plenty') >= 50 * @users }),
    'many events of one destination');
cmp_ok(entries_read($node) - $entries, '<', 3 * 50 * @users, 'are read by one worker');

done_testing();

sub status
{
    my ($what, $destination) = @_;

    return "SELECT $what FROM rswebhook.status WHERE destination = '$destination'";
}
