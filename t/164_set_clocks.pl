# What is asked and done by hand while the clock is wrong, and after: what waits for its retry is found,
# whatever time it has been stored with, a wait ends when it should, and nothing is told twice or forgotten.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use Clock;
use RswebhookTest;
use Session;
use Test::More;

use constant HOUR => 3600;

my $clock = Clock->new(temp_dir('clock'), source_dir() . '/t/lib/wall.c') or plan(skip_all => $@);
my $receiver = new_receiver();
my $node = new_node('set_clocks', start => 0, conf => "rswebhook.alert_interval = '10 min'\n");
my ($ahead, $slept) = (0, 0);

$clock->start($node);
query($node, 'CREATE EXTENSION rswebhook');

#
# What waits for its retry
#
my %patient = (min_backoff => '5 min', max_backoff => '5 min', breaker_failures => 0);
$receiver->switch('down', '/status/500');
add_destination($node, 'down', $receiver->url('/switch/down'), \%patient);
add_destination($node, 'up', $receiver->url('/ok'));
my @ids = map { send_event($node, { type => 'track', userId => $_ }, 'down') } 1 .. 3;
ok(wait_for_query($node, 'SELECT count(*) FROM rswebhook.queue WHERE attempts = 1', '3'), 'three have failed once');
my $attempts = 1;
foreach my $set ([ 0, 'the clock is right' ], [ HOUR, 'it is ahead' ], [ 0, 'it is right again' ], [ -HOUR, 'it is back' ], [ 0, 'and once more' ])
{
    my ($seconds, $when) = @$set;

    set_clock($seconds);
    is(explained($ids[0]), 'retrying|t', "$when: it waits no longer than it does");

    # a worker that begins has read that by the time that it sends another
    my $old = worker_pids($node);
    query($node, "SELECT pg_terminate_backend(pid::integer) FROM regexp_split_to_table('$old', ' ') AS pid");
    await_others($node, $old);
    my $sent = send_event($node, { type => 'track' }, 'up');
    ok(wait_for_query($node, "SELECT count(*) FROM rswebhook.queue WHERE event_id = $sent", '0'), "$when: another worker goes on");
    is(query($node, "SELECT max(attempts) FROM rswebhook.queue WHERE event_id IN ($ids[0], $ids[2]) AND attempts <> $attempts"),
        $attempts == 1 ? '' : '1', "$when: none has been tried too soon");
    is(query($node, qq{SELECT rswebhook_retry($ids[0]), rswebhook_retry($ids[1], 'down')}), '1|1', "$when: it is tried now");
    $attempts++;
    ok(wait_for_query($node, "SELECT count(*) FROM rswebhook.queue WHERE attempts = $attempts AND event_id <> $ids[2]", '2'), "$when: it is");
    is(explained($ids[0]), 'retrying|t', "$when: and waits again");
    is(explained($ids[2]), 'retrying|t', "$when: as does the one that was tried before all that");
}
set_clock(HOUR);
$receiver->switch('down', '/ok');
is(query($node, q{SELECT rswebhook_retry('down')}), '3', 'so many wait, as a clock that is ahead does not show');
ok(wait_until_sent($node), 'all are tried');
is(query($node, "SELECT rswebhook_retry($ids[0])"), '0', 'none waits');
set_clock(0);

# For ten minutes, after which nothing is left of that
goes_by(600);
add_destination($node, 'rare', $receiver->url('/status/500'), { min_backoff => '1 s', max_backoff => '1 s', rate_limit => '0.01', breaker_failures => 0 });
my $rare = send_event($node, { type => 'track' }, 'rare');
ok(wait_for_query($node, "SELECT attempts FROM rswebhook.queue WHERE event_id = $rare", '1'), 'one is tried, and the next may go in a hundred seconds');
ok(wait_for_query($node, "SELECT state FROM rswebhook_explain($rare)", 'due'), 'when it has waited, it is due');
is(query($node, "SELECT rswebhook_retry($rare)"), '0', 'and does not wait');
query($node, q{SELECT rswebhook_pause('rare')});

#
# Who waits
#
add_destination($node, 'paused', $receiver->url('/ok'), { paused => 't' });
foreach my $set ([ -HOUR, 'back' ], [ HOUR, 'ahead' ])
{
    my ($seconds, $how) = @$set;
    my $session = Session->new($node);
    my $sent = query($node, 'SELECT last_value FROM rswebhook.event_id_seq');

    $session->start(q{CALL rswebhook_test('paused', wait => '} . ($seconds < 0 ? '3 s' : '10 min') . q{')});
    ok(wait_for_query($node, "SELECT count(*) FROM rswebhook.queue WHERE event_id > $sent", '1'), 'a test waits');
    set_clock($seconds);
    query($node, q{SELECT rswebhook_resume('paused')}) if $seconds > 0;
    like($session->finish, $seconds < 0 ? qr/\|waiting\|/ : qr/\|delivered\|/, "for as long as it is to, when the clock is set $how");
    $session->close;
    query($node, q{SELECT rswebhook_resume('paused')});
    ok(wait_for_query($node, "SELECT count(*) FROM rswebhook.queue WHERE event_id > $sent", '0'), 'and it is sent');
    query($node, q{SELECT rswebhook_pause('paused')});
    set_clock(0);
}

add_destination($node, 'replayed', $receiver->url('/status/404'));
query($node, q{SELECT count(rswebhook_send('{"type": "track"}', 'replayed')) FROM generate_series(1, 30)});
ok(wait_for_query($node, q{SELECT aborted FROM rswebhook.status WHERE destination = 'replayed'}, '30'), 'many are given up');
query($node, q{UPDATE rswebhook.destination SET url = replace(url, '/status/404', '/ok') WHERE name = 'replayed'});
my $session = Session->new($node);
$session->start(q{CALL rswebhook_replay_in_pieces('replayed', piece => 10, per_second => 10)});
ok(wait_for_query($node, 'SELECT done >= 10 FROM rswebhook.progress', 't'), 'they are replayed');
set_clock(-HOUR);
$session->finish;
$session->close;
is(query($node, 'SELECT done FROM rswebhook.progress'), '30', 'all, without a wait for the hour');
set_clock(0);

# What fails again is not replayed again, though its time comes after that of the others, and before the call
add_destination($node, 'failing', $receiver->url('/status/404'));
query($node, q{SELECT count(rswebhook_send('{"type": "track"}', 'failing')) FROM generate_series(1, 30)});
my $failed = q{SELECT count(*) FROM rswebhook.delivery WHERE outcome = 'aborted' AND destination_id = rswebhook.destination_id('failing')};
ok(wait_for_query($node, $failed, '30'), 'many are given up');
goes_by(3 * HOUR);
my $begun = query($node, 'SELECT clock_timestamp()');
$session = Session->new($node);
$session->start(q{CALL rswebhook_replay_in_pieces('failing', piece => 10, per_second => 10)});
ok(wait_for_query($node, $failed, '40'), 'they are replayed');
set_clock(-HOUR);
$session->finish;
$session->close;
is(query($node, "SELECT done FROM rswebhook.progress WHERE started_at > '$begun'"), '30', 'each once');
set_clock(0);

#
# What somebody is told of
#
my $raise = q{SELECT count(rswebhook.raise_alert('event aborted', 0, 'again'))};
my $alerts = q{SELECT count(*), sum(count) FROM rswebhook.alert WHERE kind = 'event aborted' AND destination_id = 0};
foreach my $set ([ 0, '1|1', 'once' ], [ HOUR, '1|2', 'not again, as the clock is ahead' ], [ 0, '1|3', 'nor after that' ],
    [ -HOUR, '1|4', 'nor when it is back' ], [ 0, '1|5', 'nor then' ])
{
    my ($seconds, $expected, $what) = @$set;

    set_clock($seconds);
    query($node, $raise);
    is(query($node, $alerts), $expected, "somebody is told $what");
}
goes_by(700);
query($node, $raise);
is(query($node, $alerts), '2|6', 'and once more after the interval');
set_clock(9000 * HOUR);
query($node, 'SELECT count(*) FROM rswebhook.look_for_alerts(0)');
set_clock(0);
is(query($node, $alerts), '2|6', 'what was told of is kept for its time');

#
# Small changes, beside one that is noticed, after the clock was ahead for long
#
set_clock(2 * HOUR);
send_event($node, { type => 'track' }, 'down');
ok(wait_for_query($node, q{SELECT count(*) FROM rswebhook.queue WHERE destination_id = rswebhook.destination_id('down')}, '0'), 'something is sent');
goes_by(5 * HOUR, 2 * HOUR);
foreach my $set ([ 3, 40, 'before' ], [ -3, 40, 'before, back' ], [ 3, -40, 'before one back' ], [ -3, -40, 'back, before one back' ])
{
    my ($little, $much, $what) = @$set;

    set_clock(0);
    send_event($node, { type => 'track' }, 'down');
    set_clock($little);
    my $id = query($node, q{SELECT rswebhook_send(jsonb_build_object('messageId', gen_random_uuid()), 'paused', expires_after => '20 min', deduplicate => '20 min')});
    my $message = query($node, "SELECT event ->> 'messageId' FROM rswebhook.event WHERE id = $id");
    my $again = qq{SELECT rswebhook_send('{"messageId": "$message"}', 'paused', expires_after => '20 min', deduplicate => '20 min') = $id};
    is(query($node, $again), 't', "$what: it is sent once");
    set_clock($little + $much);
    is(query($node, $again), 't', "$what: once only");
    is(query($node, q{SELECT oldest_pending < '5 min' FROM rswebhook.status WHERE destination = 'paused'}), 't', "$what: it is not old");
    query($node, q{SELECT rswebhook_resume('paused')});
    ok(wait_for_query($node, "SELECT outcome FROM rswebhook.delivery WHERE event_id = $id", 'delivered'), "$what: it is not too old to be sent");
    query($node, q{SELECT rswebhook_pause('paused')});
}

$node->stop;
done_testing();

# ---------------------------------------------------------------------

sub set_clock
{
    my ($seconds) = @_;

    $ahead = $seconds;
    $clock->set($ahead, $slept);
    return;
}

# So much time passes; then the clock is as far ahead as it was, or right.
sub goes_by
{
    my ($seconds) = @_;

    $slept += $seconds;
    set_clock(@_ > 1 ? 0 : $ahead);
    return;
}

# In what state it is, and is the next attempt within its pause?
sub explained
{
    my ($id) = @_;

    return query($node, qq{SELECT state, next_attempt_at BETWEEN clock_timestamp() AND clock_timestamp() + interval '7 min'
        FROM rswebhook_explain($id)});
}
