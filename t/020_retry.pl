# When a failed event is tried again, and when it is given up.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use IO::Socket::INET;
use RswebhookTest;
use Test::More;

my $receiver = new_receiver();
my $node = new_node('retry', conf => "restart_after_crash = on\n");
my $serial = 0;

# Milliseconds from the end of an attempt to its retry, by attempt.  To what was
# meant, that adds how late the worker was to see the end: on a busy machine, some
# hundreds.
my $delays = q{
    SELECT attempt, round(extract(epoch FROM retry_at - started_at - duration) * 1000) AS ms
    FROM rswebhook.delivery WHERE outcome = 'retry' AND event_id = %d ORDER BY attempt};

#
# The wait doubles, up to a maximum, give or take 20 percent.
#
add_destination($node, 'grows', $receiver->url('/status/500'),
    { min_backoff => '100 ms', max_backoff => '400 ms', retry_window => '0',
      min_attempts => 6, breaker_failures => 0 });
my @growing = map { send_to('grows') } 1 .. 10;
ok(wait_until_sent($node), 'all are given up');

my %seen;
foreach my $expected ([ 1, 100 ], [ 2, 200 ], [ 3, 400 ], [ 4, 400 ], [ 5, 400 ])
{
    my ($attempt, $ms) = @$expected;
    my @waits = map { $_->{ms} } grep { $_->{attempt} == $attempt } map { query_rows($node, sprintf $delays, $_) } @growing;
    my @early = grep { $_ < 0.8 * $ms - 1 } @waits;
    my ($least) = sort { $a <=> $b } @waits;

    is(scalar @waits, 10, "attempt $attempt: all are tried again");
    is("@early", '', "attempt $attempt: after $ms ms, more or less, none sooner");
    cmp_ok($least, '<=', 1.2 * $ms + 300, "attempt $attempt: nor all later");
    $seen{$_} = 1 foreach @waits;
}
cmp_ok(scalar keys %seen, '>', 10, 'the waits differ');
is(query($node, q{
        SELECT count(*) FROM rswebhook.delivery AS a JOIN rswebhook.delivery AS b
        ON b.event_id = a.event_id AND b.attempt = a.attempt + 1
        WHERE b.started_at < a.retry_at}),
    '0', 'no attempt comes too early');
is(query($node, q{
        SELECT DISTINCT attempt, outcome, error FROM rswebhook.delivery
        WHERE outcome <> 'retry'}),
    '6|aborted|HTTP status 500; given up after 6 attempts', 'the sixth is the last');

#
# Retry-After: honoured within bounds
#
my %patient = (min_backoff => '10 ms', max_backoff => '200 ms',
    retry_after_factor => 10, retry_window => '1 h', breaker_failures => 0);
my @cases = (
    # name, status, Retry-After, at least and less than so many ms, more columns;
    # what is too much is cut to ten times 200 ms
    [ 'seconds', 503, '1', 1000, 2000 ],
    [ 'of 429', 429, '1', 1000, 2000 ],
    [ 'a date', 503, 'Fri,%2031%20Dec%202099%2023:59:59%20GMT', 2000, 20000 ],
    [ 'a date that is past', 503, 'Wed,%2021%20Oct%202015%2007:28:00%20GMT', 8, 2000 ],
    [ 'too many seconds', 503, '86400', 2000, 20000 ],
    [ 'more than a number can hold', 503, '99999999999999999999999', 8, 20000 ],
    [ 'nothing', 503, '0', 8, 1000 ],
    [ 'negative', 503, '-30', 8, 2000 ],
    [ 'garbage', 503, 'soon', 8, 1000 ],
    [ 'empty', 503, '%20', 8, 1000 ],
    [ 'repeated', 503, '1%0D%0ARetry-After:%201', 1000, 2000 ],
    [ 'no further than the window', 503, '86400', 8, 2000, { retry_window => '1 s', min_attempts => 1 } ],
    [ 'past the window, for an attempt that comes all the same', 429, '1', 1000, 2000, { retry_window => '0' } ],
    [ 'not at all', 503, '30', 8, 2000, { retry_after_factor => 0 } ],
    [ 'of a 500', 500, '1', 1000, 2000 ]);
my %case_of;
foreach my $case (@cases)
{
    my ($name, $status, $value, undef, undef, $columns) = @$case;

    add_destination($node, $name, $receiver->url("/retry-after/$status/$value"),
        { %patient, %{ $columns // {} } });
    $case_of{ send_to($name) } = $case;
}
foreach my $id (sort { $a <=> $b } keys %case_of)
{
    my ($name, undef, undef, $least, $most) = @{ $case_of{$id} };

    ok( wait_for_query($node, "SELECT count(*) > 0 FROM rswebhook.delivery WHERE event_id = $id", 't'),
        "Retry-After, $name: an attempt");
    my ($first) = query_rows($node, sprintf $delays, $id);
    cmp_ok($first->{ms}, '>=', $least, "Retry-After, $name: not too short");
    cmp_ok($first->{ms}, '<', $most, "Retry-After, $name: not too long");
}
query($node, 'DELETE FROM rswebhook.queue');

#
# An event is given up when its window is over and it had its attempts.
#
my %quick = (min_backoff => '100 ms', max_backoff => '100 ms', breaker_failures => 0);
add_destination($node, 'window', $receiver->url('/status/500'),
    { %quick, retry_window => '1 s', min_attempts => 2 });
add_destination($node, 'attempts', $receiver->url('/status/500'),
    { %quick, retry_window => '0', min_attempts => 4 });
add_destination($node, 'busy', $receiver->url('/retry-after/429/86400'),
    { %quick, retry_window => '1 s', min_attempts => 1, retry_after_factor => 1000 });
my ($window, $attempts, $busy) = map { send_to($_) } 'window', 'attempts', 'busy';
ok(wait_until_sent($node), 'all are given up');
is(query($node, qq{
        SELECT count(*) BETWEEN 3 AND 13, max(started_at) - min(started_at) BETWEEN '0.9 s' AND '10 s',
               count(*) FILTER (WHERE outcome = 'aborted')
        FROM rswebhook.delivery WHERE event_id = $window}),
    't|t|1', 'after the window');
like(outcomes($node, $attempts), qr/^(retry 500 \d, ){3}aborted 500 4$/, 'after the attempts');
is(outcomes($node, $busy), 'retry 429 1, aborted 429 2',
    'a receiver that always asks for patience is not asked for ever');

#
# The first attempt's time survives a crash.
#
add_destination($node, 'crash', $receiver->url('/status/500'), { %quick, max_backoff => '200 ms' });
my $crash = send_to('crash');
my $first_attempt = "SELECT first_attempt_at FROM rswebhook.queue WHERE event_id = $crash";
my $tried = "SELECT attempts >= %d FROM rswebhook.queue WHERE event_id = $crash";
ok(wait_for_query($node, sprintf($tried, 2), 't'), 'an event was tried twice');
my $first_at = query($node, $first_attempt);
is($first_at, query($node, "SELECT min(started_at) FROM rswebhook.delivery WHERE event_id = $crash"),
    'its first attempt is known');

my $worker = worker_of($node, 'crash');
kill 'KILL', $worker;
ok( wait_for('another worker',
        sub { my ($code, $others) = try_query("SELECT count(*), count(*) FILTER (WHERE pid = $worker) FROM pg_stat_activity WHERE backend_type = 'rswebhook worker'");
              $code == 0 && $others eq workers_each() . '|0' }),
    'a killed worker is followed by another one');
ok(wait_for_query($node, sprintf($tried, 5), 't'), 'it goes on');
is(query($node, $first_attempt), $first_at, 'the time of the first attempt is still known');

$node->stop('immediate');
$node->start;
ok(wait_for_query($node, sprintf($tried, 8), 't'), 'so it does after a crash of the server');
is(query($node, $first_attempt), $first_at, 'the time of the first attempt is still known');
query($node, 'DELETE FROM rswebhook.queue');

#
# What a status means may be configured.
#
my $outcomes = '{"409": "delivered", "410": "pause", "423": "retry", "500": "aborted", "201": "retry"}';
my %own = (%quick, status_outcomes => $outcomes, retry_window => '0', min_attempts => 2);
my %result_of = (409 => 'delivered 409 1', 423 => 'retry 423 1, aborted 423 2',
    500 => 'aborted 500 1', 201 => 'retry 201 1, aborted 201 2',
    202 => 'delivered 202 1', 404 => 'aborted 404 1');
my %id_of;
foreach my $status (sort keys %result_of)
{
    add_destination($node, "status $status", $receiver->url("/status/$status"), \%own);
    $id_of{$status} = send_to("status $status");
}
ok(wait_until_sent($node), 'all are done with');
is(outcomes($node, $id_of{$_}), $result_of{$_}, "status $_") foreach sort keys %result_of;

$receiver->switch('gone', '/status/410');
add_destination($node, 'gone', $receiver->url('/switch/gone'), \%own);
my @gone = map { send_to('gone') } 1 .. 3;
ok(wait_for_query($node, "SELECT paused FROM rswebhook.destination WHERE name = 'gone'", 't'),
    'status 410 pauses the destination');
is(query($node, q{
        SELECT state, pending FROM rswebhook.status WHERE destination = 'gone'}),
    'paused|3', 'all events are still there');
like(query($node, q{
        SELECT error FROM rswebhook.delivery WHERE status = 410 LIMIT 1}),
    qr/^HTTP status 410 pauses/, 'the reason is written down');
my $so_far = $receiver->requests_to('/switch/gone');
$receiver->switch('gone', '/ok');
query($node, q{SELECT rswebhook_resume('gone')});
ok(wait_until_sent($node), 'all are delivered when it is resumed');
is($receiver->requests_to('/switch/gone') - $so_far, 3, 'each once');

#
# Time limits
#
my %limited = (%quick, retry_window => '0', min_attempts => 1);
add_destination($node, 'hangs', $receiver->url('/hang'), { %limited, timeout => '300 ms' });
add_destination($node, 'drips', $receiver->url('/drip/100'),
    { %limited, timeout => '60 s', low_speed_limit => 1000, low_speed_time => '1 s' });
my ($listener, @filling) = full_listener();
add_destination($node, 'full', 'http://127.0.0.1:' . $listener->sockport . '/',
    { %limited, timeout => '60 s', connect_timeout => '300 ms' });
my ($hangs, $drips, $full) = map { send_to($_) } 'hangs', 'drips', 'full';
ok(wait_until_sent($node), 'none of them takes long');
# nothing else would end them within half a minute
is(took($hangs, '0.3 s', '15 s'), 'aborted|t|t', 'timeout');
is(took($drips, '1 s', '30 s'), 'aborted|t|t', 'low speed');
is(took($full, '0.3 s', '15 s'), 'aborted|t|t', 'connect timeout');

done_testing();

sub send_to
{
    my ($destination) = @_;
    my $id = 'retry-' . ++$serial;

    return send_event($node, { type => 'track', userId => $id, messageId => $id }, $destination);
}

sub took
{
    my ($id, $least, $most) = @_;

    return query($node, qq{
        SELECT outcome, error <> '', duration BETWEEN '$least' AND '$most'
        FROM rswebhook.delivery WHERE event_id = $id});
}

# While the server restarts, a query fails.
sub try_query
{
    my ($sql) = @_;
    my ($code, $out) = $node->psql('postgres', $sql);

    return ($code, $out // '');
}

# A listener whose queue is full, so that connecting to it hangs.
sub full_listener
{
    my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1)
      or die "could not listen: $@\n";
    my @clients = map {
        IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $socket->sockport, Blocking => 0)
    } 1 .. 8;

    return ($socket, @clients);
}
