# The last word on an event is what has come last, whatever the clock has shown: after each attempt it is
# set back, or ahead. And what a receiver has is delivered, also if it was cancelled meanwhile. All that
# tells of it agrees, and of what is not recorded yet it says why.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use Clock;
use RswebhookTest;
use Test::More;

my $clock = Clock->new(temp_dir('clock'), source_dir() . '/t/lib/wall.c') or plan(skip_all => $@);
my $receiver = new_receiver();
my $node = new_node('words', start => 0, conf => "max_prepared_transactions = 2\n");
my $hour = 3600;

$clock->start($node);
query($node, 'CREATE EXTENSION rswebhook');
await_workers($node);

my %patient = (min_backoff => '1 h', max_backoff => '1 h', breaker_failures => 0);
add_destination($node, $_, $receiver->url("/switch/$_"), \%patient) foreach qw(flaky held);

#
# The clock is set back between two attempts
#
foreach my $back (3, $hour)
{
    my $id = failed_once($back, 503);

    try_again('flaky', $id, '/ok');
    said($id, 'delivered', 'delivered', "tried again, and the clock set back by $back s");
}

my $given_up = failed_once($hour, 503);
try_again('flaky', $given_up, '/status/404');
said($given_up, 'aborted', 'failed undelivered', 'given up with the clock set back');
is(query($node, q{SELECT rswebhook_replay_all('flaky', dry_run => true)}), '1', 'which is replayed');

my $unwanted = failed_once($hour, 503);
query($node, "SELECT rswebhook_cancel($unwanted)");
said($unwanted, 'cancelled', 'undelivered', 'cancelled with the clock set back');

# Who looks for an error finds the last one
$clock->set(60);
$receiver->switch('flaky', '/status/503');
my $waiting = send_event($node, {}, 'flaky');
attempts($waiting, 1);
$clock->set(0);
$receiver->switch('flaky', '/status/502');
query($node, "SELECT rswebhook_retry($waiting)");
attempts($waiting, 2);
is(query($node, q{SELECT rswebhook_cancel_all('flaky', error_like => '%503%', dry_run => true)}), '0', 'not by an error before the last');
is(query($node, q{SELECT rswebhook_cancel_all('flaky', error_like => '%502%')}), '1', 'but by that');

#
# Replayed, which is another run, with a clock that was hours ahead at the time
#
my $again = failed_once(5 * $hour, 404);
$receiver->switch('flaky', '/ok');
is(query($node, "SELECT rswebhook_replay($again)"), '1', 'replayed');
attempts($again, 2);
said($again, 'delivered', 'delivered', 'replayed');
$clock->set(-$hour);
query($node, q{SELECT rswebhook_pause('flaky')});
query($node, "SELECT rswebhook_replay($again); SELECT rswebhook_cancel($again)");
said($again, 'cancelled', 'delivered', 'replayed once more, and cancelled');
$clock->set(-2 * $hour);
query($node, "SELECT rswebhook_replay($again); SELECT rswebhook_resume('flaky')");
attempts($again, 4);
said($again, 'delivered', 'delivered', 'and once more');
is(query($node, "SELECT string_agg(concat_ws(' ', run, attempt, outcome), ', ' ORDER BY run) FROM rswebhook.delivery WHERE event_id = $again"),
    '0 1 aborted, 1 1 delivered, 2 0 cancelled, 3 1 delivered', 'each a run of its own');
is(query($node, "SELECT rswebhook_replay_all('flaky', outcome => 'cancelled', dry_run => true)"), '2', 'what is cancelled last is what can be replayed as such');

#
# Cancelled while it is under way
#
$clock->set(0);
my $arrived = cancelled_in_flight('/ok');
answered($arrived);
said($arrived, 'delivered', 'delivered', 'delivered while it is cancelled');
is(query($node, q{SELECT rswebhook_replay_all('held', outcome => 'cancelled', dry_run => true)}), '0', 'and not replayed as cancelled');

my $lost = cancelled_in_flight('/status/503');
answered($lost);
said($lost, 'cancelled', 'undelivered', 'cancelled while it fails');

my $refused = cancelled_in_flight('/status/404');
answered($refused);
said($refused, 'cancelled', 'undelivered', 'cancelled while it is refused');

# Owed once more before the answer is there: that is of the run before
my $owed = cancelled_in_flight('/status/404');
query($node, q{SELECT rswebhook_pause('held')});
query($node, "SELECT rswebhook_replay($owed)");
answered($owed);
like(query($node, "SELECT state FROM rswebhook_explain($owed)"), qr/^paused$/, 'replayed while it is under way: it is owed');
query($node, "SELECT rswebhook_cancel($owed)");
said($owed, 'cancelled', 'undelivered', 'and cancelled again');

#
# Answered, and not recorded, as somebody has its row locked
#
query($node, q{SELECT rswebhook_resume('held')});
my $locked = in_flight('/ok');
query($node, "BEGIN; SELECT rswebhook_cancel($locked); PREPARE TRANSACTION 'cancels'");
$receiver->switch('answer', '/ok');
ok(wait_for_query($node, q{SELECT count(*) FROM rswebhook.workers() WHERE lacks LIKE 'outcomes cannot be recorded: %'}, '1'), 'an answer cannot be recorded');
is(query($node, "SELECT state || ': ' || why FROM rswebhook_explain($locked)"),
    'due: the worker that has it says: outcomes cannot be recorded: rows of rswebhook.queue are locked by another transaction', 'explained');
query($node, "COMMIT PREPARED 'cancels'");
attempts($locked, 2);
said($locked, 'delivered', 'delivered', 'cancelled by who had it locked');

# A time by hand is no longer away than the worker lets it be
my $never = failed_once(0, 503);
query($node, "UPDATE rswebhook.queue SET retry_at = 'infinity' WHERE event_id = $never");
is(query($node, "SELECT state, next_attempt_at < now() + interval '5 h', why ~ 'infinity' FROM rswebhook_explain($never)"), 'retrying|t|f', 'never is not shown');
query($node, "SELECT rswebhook_cancel($never)");

# Backed off as long as the worker holds to it
add_destination($node, 'down', $receiver->url('/status/500'), { %patient, breaker_failures => 1, max_in_flight => 1 });
my $down = send_event($node, { userId => 'a' }, 'down');
attempts($down, 1);
ok(wait_for_query($node, q{SELECT count(*) FROM rswebhook.breaker}, '1'), 'a destination is backed off');
like(query($node, "SELECT state || ': ' || why FROM rswebhook_explain($down)"), qr/^backed off: the destination is backed off since /, 'which is shown');
query($node, 'DELETE FROM rswebhook.breaker');
like(query($node, "SELECT state || ': ' || why FROM rswebhook_explain($down)"), qr/^backed off: the worker still backs the destination off/, 'also with its row deleted');
$receiver->switch('flaky', '/ok');
query($node, q{UPDATE rswebhook.destination SET url = replace(url, '/status/500', '/switch/flaky') WHERE name = 'down'});
attempts($down, 2);
said($down, 'delivered', 'delivered', 'until it is edited');
is(query($node, q{SELECT backed_off FROM rswebhook.worker_stats() s JOIN rswebhook.destination d ON d.id = s.destination_id WHERE d.name = 'down'}), 'f', 'and is no more');

$node->stop;
done_testing();

# ---------------------------------------------------------------------

# An event to flaky that was answered with this status while the clock was so many seconds ahead; it is right again
sub failed_once
{
    my ($ahead, $status) = @_;

    $clock->set($ahead);
    $receiver->switch('flaky', "/status/$status");
    my $id = send_event($node, {}, 'flaky');
    attempts($id, 1);
    $clock->set(0);
    return $id;
}

sub try_again
{
    my ($destination, $id, $path) = @_;

    $receiver->switch($destination, $path);
    is(query($node, "SELECT rswebhook_retry('$destination') > 0"), 't', 'it waits for its retry');
    attempts($id, 2);
    return;
}

sub attempts
{
    my ($id, $count) = @_;

    ok(wait_for_query($node, "SELECT count(*) FROM rswebhook.delivery WHERE event_id = $id", $count), "it has $count rows");
    return;
}

# An event to held that will be answered so
sub in_flight
{
    my ($path) = @_;

    $receiver->switch('held', "/until/answer$path");
    my $id = send_event($node, {}, 'held');

    ok(wait_for_query($node, "SELECT count(*) FROM rswebhook.activity WHERE event_id = $id AND phase = 'waiting'", '1'), 'it is under way');
    return $id;
}

sub cancelled_in_flight
{
    my $id = in_flight(@_);

    is(query($node, "SELECT rswebhook_cancel($id)"), '1', 'and cancelled');
    return $id;
}

sub answered
{
    my ($id) = @_;

    $receiver->switch('answer', '/ok');
    attempts($id, 2);
    return;
}

# What explain, find and balance say in one word, and in which of the views it is
sub said
{
    my ($id, $state, $where, $name) = @_;

    is(query($node, qq{
        SELECT (SELECT string_agg(state, ' ') FROM rswebhook_explain($id)) || ', ' ||
            (SELECT string_agg(state, ' ') FROM rswebhook.find(max_events => 1000) WHERE event_id = $id) || ', ' ||
            concat_ws(' ', (SELECT 'failed' FROM rswebhook.failed WHERE event_id = $id),
                coalesce((SELECT 'undelivered' FROM rswebhook.undelivered WHERE event_id = $id), 'delivered'))}),
        "$state, $state, $where", $name);
    is(query($node, 'SELECT sum(unaccounted), sum(committed - delivered - aborted - cancelled - owed) FROM rswebhook.balance()'),
        '0|0', "$name: it adds up");
    return;
}
