# The system's clock is set: back by an hour, ahead by eight for a moment, and to
# before 2000, when PostgreSQL's time begins, for a while and decades ahead again.
# Nobody waits longer for that, nothing is given up or thrown away early, and the
# log says it once.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use Clock;
use RswebhookTest;
use Test::More;
use Time::Local qw(timegm);

my $clock = Clock->new(temp_dir('clock'), source_dir() . '/t/lib/wall.c') or plan(skip_all => $@);
my $receiver = new_receiver();
my $node = new_node('clocks', start => 0,
    conf => "rswebhook.workers = 2\nrswebhook.retention = '1h'\nrestart_after_crash = on\n");

$clock->start($node);
query($node, 'CREATE EXTENSION rswebhook');

my %hasty = (min_backoff => '200 ms', max_backoff => '400 ms', retry_after_factor => 1, breaker_failures => 0);
$receiver->switch('down', '/status/500');
add_destination($node, 'good', $receiver->url('/ok'));
add_destination($node, 'down', $receiver->url('/switch/down'),
    { %hasty, retry_window => '30 min', min_attempts => 3 });
add_destination($node, 'slow', $receiver->url('/slow'), { rate_limit => 4, max_in_flight => 1 });
add_destination($node, 'backed off', $receiver->url('/switch/down'),
    { min_backoff => '1 s', max_backoff => '2 s', breaker_failures => 2, max_in_flight => 1, ordered => 'f' });
add_destination($node, 'paused', $receiver->url('/ok'), { paused => 't', expires_after => '2 h' });
add_destination($node, 'unwanted', $receiver->url('/ok'), { paused => 't' });

# What there is before: in the tables, and on its way to be tried again
send_many('good', 40);
ok(wait_until_sent($node), 'all is well at first');
my $old = send_event($node, { type => 'track', userId => 'a' }, 'down');
send_many('backed off', 10);
send_many('paused', 10);
send_many('unwanted', 3);
query($node, q{SELECT rswebhook_send('{"type": "track"}', 'paused', expires_after => '3 h')});
ok(wait_for_query($node, attempts_of('down', 4), 't'), 'one is tried again and again');
ok(wait_for_query($node, q{SELECT count(*) FROM rswebhook.breaker}, '1'), 'one destination is backed off');

#
# Back by an hour
#
send_many('slow', 12);
ok(wait_for_query($node, attempts_of('slow', 2), 't'), 'a rate is kept to');
set_clock(-1);
more_attempts('after the clock was set back');
ok(wait_for_query($node, owed('slow'), '0'), 'nor does a rate wait for the hour');
is(said('back'), 1, 'the log says it once');
is_kept('after the clock was set back');
is_shown_well('after the clock was set back');
is(query($node, q{SELECT rswebhook_cancel_all('unwanted')}), '3', 'what is owed can be given up, whatever its time');
query($node, q{SELECT rswebhook_send('{"type": "track"}', 'good', deliver_after => clock_timestamp() + interval '2 s')});
ok(wait_for_query($node, owed('good'), '0'), 'a time by the new clock comes');

# Somebody's lock makes the worker pause; the clock is set in that pause
my $locker = $node->background_psql('postgres');
$locker->query_safe('BEGIN; LOCK TABLE rswebhook.queue');
my $errors = errors();
ok(wait_for('an error', sub { errors() > $errors }), 'the worker has a reason to pause');
set_clock(-2);
$locker->query_safe('COMMIT');
$locker->quit;
more_attempts('after a pause');
send_many('good', 1);
ok(wait_for_query($node, owed('good'), '0'), 'new ones are sent');
restart();
more_attempts('after a restart');
set_clock(0);
send_many('good', 1);
ok(wait_for_query($node, owed('good'), '0'), 'it is right again');

#
# Ahead by eight hours, for a moment
#
my ($back, $ahead) = (said('back'), said('ahead'));
set_clock(8);
more_attempts('while the clock is ahead');
is(query($node, q{SELECT count(*) FROM rswebhook.delivery WHERE outcome = 'aborted'}), '0',
    'nothing is past its window');
is(said('ahead'), $ahead + 1, 'the log says it once');
query($node, q{SELECT rswebhook_resume('paused')});
ok(wait_for_query($node, owed('paused'), '0'), 'what was to expire in some hours is read now');
is(query($node, q{SELECT count(*) FROM rswebhook.delivery WHERE outcome = 'aborted'}), '0', 'and sent');
is_kept('while the clock is ahead');
is_shown_well('while the clock is ahead');
kill_workers();
more_attempts('of other workers');
is(query($node, q{SELECT count(*) FROM rswebhook.delivery WHERE outcome = 'aborted'}), '0',
    'which do not give up anything either');
is_kept('with other workers');
is(said('ahead'), $ahead + 1, 'nor say it again');
is(query($node, q{
        SELECT count(*) FROM rswebhook.queue WHERE retry_at > now() - interval '8 h' + interval '1 min'}) > 0, 1,
    'retries of that time lie far away in the table');

set_clock(0);
more_attempts('when that is over');
is(said('back'), $back + 1, 'the log says that as well');
is_kept('when that is over');
is_shown_well('when that is over');
query($node, q{SELECT rswebhook_send('{"type": "track"}', 'good', deliver_after => clock_timestamp() + interval '2 s')});
ok(wait_for_query($node, owed('good'), '0'), 'a time that has been shown already comes again');

# What was stored while it was wrong for a moment, and no worker had any reason to
# look, is no older after the memory of that has gone
my %ends = (
    'a process dies' => sub { kill_walwriter() },
    'the server is stopped at once' => sub { $node->stop('immediate'); $clock->start($node) },
    'the server is restarted' => sub { restart() });
foreach my $how (sort keys %ends)
{
    add_destination($node, $how, $receiver->url('/ok'), { paused => 't', expires_after => '1 h' });
    set_clock(-3);
    my $sent = send_event($node, { type => 'track' }, 'good');
    ok(wait_for_query($node, owed('good'), '0'), 'something is sent while the clock is wrong');
    set_clock(-2);
    send_many($how, 1);
    set_clock(0);
    send_many($how, 1);
    $ends{$how}->();
    more_attempts("after $how");
    is_kept("when $how");
    is(query($node, "SELECT count(*) FROM rswebhook.event WHERE id = $sent"), '1', 'also what was sent');
    is(query($node, "SELECT count(*) FROM rswebhook.delivery WHERE event_id = $sent"), '1', 'and that it was');
    query($node, "SELECT rswebhook_resume('$how')");
    ok(wait_for_query($node, owed($how), '0'), 'what was queued then is read');
    is(query($node, q{SELECT count(*) FROM rswebhook.delivery WHERE outcome = 'aborted'}), '0', 'and sent');
}

# Those that were stored in the wrong time, read by a server that knows nothing of it
my $file = $node->data_dir . '/pg_stat_tmp/rswebhook_clock';
$node->stop('immediate');
truncate($file, 100) or die "could not truncate the file: $!\n";
$clock->start($node);
is(times_logged($node, qr/ignoring invalid data in file "pg_stat_tmp\/rswebhook_clock"/), 1,
    'what is no memory is said, and harmless');
more_attempts('after a crash');
query($node, q{
    UPDATE rswebhook.queue SET retry_at = now() + interval '8 h';
    UPDATE rswebhook.breaker SET next_probe_at = now() + interval '8 h', opened_at = now() + interval '8 h'});
$node->stop;
unlink($file) or die "could not remove the file: $!\n";
$clock->start($node);
more_attempts('which were to come in eight hours');

$receiver->switch('down', '/ok');
ok(wait_until_sent($node), 'in the end all are delivered');
is(query($node, q{SELECT count(*) FROM rswebhook.delivery WHERE outcome = 'aborted'}), '0', 'none was given up');
is(query($node, "SELECT count(*) FROM rswebhook.delivery WHERE event_id = $old AND outcome = 'delivered'"), '1',
    'not the oldest, either');
is_kept('at last');

#
# Ahead by ten years for a moment, into a slot of its own; somebody writes a row of
# a time that was never shown; the machine sleeps for eight hours
#
my ($far, $free) = split /\|/, query($node, q{
    WITH taken AS (
        SELECT slot FROM rswebhook.event UNION SELECT slot FROM rswebhook.delivery
        UNION SELECT rswebhook.ring_slot(now() + '8 h'::interval + n * '5 min'::interval) FROM generate_series(0, 3) AS n),
    free AS (
        SELECT slot FROM generate_series(0, 9) AS slot WHERE slot NOT IN (SELECT slot FROM taken))
    SELECT hours, (SELECT max(slot) FROM free AS f WHERE f.slot <> free.slot)
    FROM generate_series(87600, 87700) AS hours, free WHERE rswebhook.ring_slot(now() + hours * '1 h'::interval) = free.slot
    LIMIT 1});
set_clock($far);
my $early = send_event($node, { type => 'track' }, 'good');
ok(wait_for_query($node, owed('good'), '0'), 'something is sent ten years ahead');
set_clock(0);
query($node, qq{
    INSERT INTO rswebhook.event (id, slot, created_at, event)
    SELECT nextval('rswebhook.event_id_seq'), $free, '2222-02-02', '"far"'});
is_kept('after ten years');
add_destination($node, 'stale', $receiver->url('/ok'), { paused => 't', expires_after => '1 h' });
add_destination($node, 'busy', $receiver->url('/delay/3000'), { timeout => '20 s', breaker_failures => 0 });
send_many('stale', 1);
send_many('busy', 1);
ok(wait_for_query($node, q{SELECT in_flight FROM rswebhook.status WHERE destination = 'busy'}, '1'), 'one is in flight');
my @said = (said('back'), said('ahead'));
set_clock(0, 8);
ok(wait_for_query($node, owed('busy'), '0'), 'it is answered');
is(query($node, 'SELECT string_agg(outcome, \' \') FROM rswebhook.delivery WHERE destination_id = ' . id_of('busy')),
    'delivered', 'and loses no time');
query($node, q{SELECT rswebhook_resume('stale')});
ok(wait_for_query($node, owed('stale'), '0'), 'what has waited meanwhile is read');
is(query($node, q{SELECT string_agg(error, ' ') FROM rswebhook.delivery WHERE outcome = 'aborted'}),
    'the event expired before it could be delivered', 'and has expired');
is_deeply([ said('back'), said('ahead') ], \@said, 'nobody has set the clock');
query($node, 'SELECT pg_reload_conf()');
ok(wait_for_query($node, "SELECT count(*) FROM rswebhook.event WHERE id = $early", '0'),
    'an event of ten years later goes when it has been kept for as long as any');
ok(wait_for_query($node, "SELECT count(*) FROM rswebhook.delivery WHERE event_id = $early", '0'), 'and its delivery');
is(query($node, q{SELECT count(*) FROM rswebhook.event WHERE event = '"far"'}), '1', 'what was never shown stays');
is(times_logged($node, qr/rswebhook keeps what is in "rswebhook.event_$free" until the retention after 2222/), 1,
    'which is said once');

#
# Before 2000, when PostgreSQL's time begins: a machine that does not know the time
#
my $sleep = 8;    # the hours of before
my $from = query($node, q{SELECT max(id) FROM rswebhook.event});
my $aborted = query($node, q{SELECT count(*) FROM rswebhook.delivery WHERE outcome = 'aborted'});
$receiver->switch('down', '/status/500');
add_destination($node, 'kept', $receiver->url('/ok'), { paused => 't', expires_after => '2 h' });
send_many('kept', 2);
send_many('down', 1);
send_many('backed off', 3);
ok(wait_for_query($node, q{SELECT count(*) FROM rswebhook.breaker}, '1'), 'one is backed off, and one tried again');

set_clock_to('1999-12-31 23:59:57');
send_many('busy', 1);
query($node, q{SELECT rswebhook_send('{"type": "track"}', 'good', deliver_after => '2000-01-01 00:00Z')});
more_attempts('while 2000 begins');
ok(wait_for_query($node, owed('good'), '0'), 'what was to come with it has');
ok(wait_for_query($node, owed('busy'), '0'), 'what was in flight is answered');
is_shown_well('when 2000 has begun');

foreach my $time ('1999-12-31 12:00:00', '1970-01-01 00:00:30')
{
    set_clock_to($time);
    send_many('good', 3);
    ok(wait_for_query($node, owed('good'), '0'), "in $time events are sent");
    query($node, q{
        SELECT rswebhook_send('{"type": "track"}', 'good', deliver_after => clock_timestamp() + interval '2 s',
            expires_after => '1 h')});
    ok(wait_for_query($node, owed('good'), '0'), 'also one that had to wait');
    send_many('kept', 1);
    query($node, q{SELECT rswebhook_send('{"type": "track"}', 'kept', expires_after => '3 h')});
    more_attempts("in $time");
    is_shown_well("in $time");
    is_kept("in $time", $from);
    restart();
    send_many('good', 1);
    ok(wait_for_query($node, owed('good'), '0'), 'after a restart, too');
    more_attempts("in $time after a restart");
    ok(wait_for_query($node, qq{
            SELECT string_agg(destination, ' ' ORDER BY destination) FROM rswebhook.status
            WHERE last_delivered_at BETWEEN '$time+00' AND clock_timestamp() OR last_error_at BETWEEN '$time+00' AND clock_timestamp()},
        'backed off down good'), 'the status tells of these times');
    is_shown_well("in $time after a restart");
    is(query($node, q{SELECT count(*) FROM rswebhook.delivery WHERE outcome = 'aborted'}), $aborted,
        'nothing was given up');
}

# Decades ahead at once, with what had a time to wait for, and with what is in flight
query($node, q{SELECT rswebhook_send('{"type": "track"}', 'good', deliver_after => clock_timestamp() + interval '1 h')});
send_many('busy', 1);
ok(wait_for_query($node, q{SELECT in_flight FROM rswebhook.status WHERE destination = 'busy'}, '1'), 'one is in flight');
set_clock(0, $sleep);
more_attempts('when the clock is right');
ok(wait_for_query($node, owed('good'), '0'), 'what was to wait has come');
ok(wait_for_query($node, owed('busy'), '0'), 'what was in flight is answered');
is_shown_well('when the clock is right');
is_kept('when the clock is right', $from);

# The same while the server is down
set_clock_to('1970-01-01 00:00:30');
send_many('kept', 1);
more_attempts('in 1970 again');
$node->stop('immediate');
set_clock(0, $sleep);
$clock->start($node);
more_attempts('in a server that finds it right');
is_kept('in a server that finds it right', $from);
$receiver->switch('down', '/ok');
query($node, q{SELECT rswebhook_resume('kept')});
ok(wait_until_sent($node), 'in the end all are delivered');
is(query($node, q{SELECT count(*) FROM rswebhook.delivery WHERE outcome = 'aborted'}), $aborted, 'none was given up');
is_kept('in the end', $from);

$node->stop;
done_testing();

# ---------------------------------------------------------------------

sub restart
{
    $node->stop;
    $clock->start($node);
    return;
}

# So many hours ahead of ours, and so many that the machine has slept, for the
# server alone
sub set_clock
{
    my ($hours, $slept) = @_;

    $clock->set($hours * 3600, ($slept // 0) * 3600);
    return;
}

# To a time, for a machine that has slept
sub set_clock_to
{
    my ($time) = @_;

    my ($year, $month, @rest) = split /[-: ]/, $time;

    set_clock((timegm(reverse(@rest), $month - 1, $year) - time) / 3600 - $sleep, $sleep);
    return;
}

sub send_many
{
    my ($destination, $count) = @_;

    query($node, qq{
        SELECT count(rswebhook_send(jsonb_build_object('type', 'track', 'userId', 'u' || n), '$destination'))
        FROM generate_series(1, $count) AS n});
    return;
}

sub id_of
{
    my ($destination) = @_;

    return "(SELECT id FROM rswebhook.destination WHERE name = '$destination')";
}

sub attempts_of
{
    my ($destination, $least) = @_;

    return "SELECT count(*) >= $least FROM rswebhook.delivery WHERE destination_id = " . id_of($destination);
}

sub owed
{
    my ($destination) = @_;

    return 'SELECT count(*) FROM rswebhook.queue WHERE destination_id = ' . id_of($destination);
}

# Of the one that is tried again and again, and of the one that is probed
sub more_attempts
{
    my ($when) = @_;
    my $before = requests();

    ok(wait_for('more attempts', sub { requests() >= $before + 6 }), "attempts go on $when");
    return;
}

sub requests
{
    my @requests = $receiver->requests_to('/switch/down');

    return scalar @requests;
}

# No age is longer than this test, and nothing is far away
sub is_shown_well
{
    my ($when) = @_;

    is(query($node, q{
            SELECT bool_and(oldest_pending BETWEEN '0' AND '50 min') AND bool_and(breaker_opened_at <= clock_timestamp())
                AND bool_and(greatest(breaker_next_probe_at, next_retry_at) < clock_timestamp() + '10 min'::interval)
                AND bool_and((breaker = 'open') = (breaker_opened_at IS NOT NULL))
                AND bool_and((breaker = 'open') = (breaker_next_probe_at IS NOT NULL))
            FROM rswebhook.status}), 't', "the status makes sense $when");
    return;
}

# How often the log tells of a clock that was set
sub said
{
    my ($how) = @_;

    return times_logged($node, qr/system's clock has been set $how/);
}

sub errors
{
    return times_logged($node, qr/canceling statement due to lock timeout/);
}

sub kill_workers
{
    my $pids = q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'rswebhook worker'};
    my %old = map { $_ => 1 } split /\n/, query($node, $pids);

    query($node, "SELECT pg_terminate_backend(pid) FROM ($pids) AS p");
    return wait_for('new workers', sub { 2 == grep { !$old{$_} } split /\n/, query($node, $pids) });
}

# All others have to go, and shared memory is made anew.
sub kill_walwriter
{
    my $pid = q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'};
    my $old = query($node, $pid);

    kill_process($node, $old);
    return;
}

# Slots are looked at when settings are read again. A row that is very old, in a
# slot of its own, goes when its turn has come; twice, and all have been looked at.
# Counted from an id on, if before that there may be what is past the retention.
sub is_kept
{
    my ($when, $from) = @_;
    my $mark = q{SELECT count(*) FROM rswebhook.event WHERE event = '"mark"'};

    $from //= 0;
    my $events = query($node, q{SELECT coalesce(max(id), 0) FROM rswebhook.event});
    my $count_events = "SELECT count(*) FROM rswebhook.event WHERE id > $from AND id <= $events";
    my $count_deliveries = "SELECT count(*) FROM rswebhook.delivery WHERE event_id > $from";
    my $kept = query($node, $count_events);
    my $deliveries = query($node, $count_deliveries);
    foreach (1 .. 2)
    {
        query($node, q{
            INSERT INTO rswebhook.event (id, slot, created_at, event)
            SELECT nextval('rswebhook.event_id_seq'), slot, now() - interval '10 years', '"mark"'
            FROM generate_series(0, 9) AS slot
            WHERE slot NOT IN (SELECT e.slot FROM rswebhook.event AS e) ORDER BY slot DESC LIMIT 1});
        query($node, 'SELECT pg_reload_conf()');
        ok(wait_for_query($node, $mark, '0'), "slots are looked at $when");
    }
    is(query($node, $count_events), $kept, "events stay $when");
    cmp_ok(query($node, $count_deliveries), '>=', $deliveries,
        "deliveries stay $when");
    return;
}
