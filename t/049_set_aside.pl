# An event whose request cannot be made, for want of time, by an error or because
# the worker dies of it, is set aside: all others arrive, and it is tried again
# later, and given up in the end.  For want of memory it waits.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Shares;
use Test::More;
use Time::HiRes qw(time);

my $conf = $ENV{RSWEBHOOK_INJECTED_CONF};
plan skip_all => 'needs a build with -DRSWEBHOOK_INJECTION' unless ($conf // '') ne '';
$ENV{RSWEBHOOK_CONF} = $conf;

my $receiver = new_receiver();
my $node = new_node('aside', conf => "restart_after_crash = on\n");
my $others = 200;
my $committed;    # when the last of these were
my $bad;

# its neighbours: others of its destination, with and without order, and another destination
add_destination($node, 'own', $receiver->url('/ok/own'), { min_backoff => '1 s', max_backoff => '1 s' });
add_destination($node, 'loose', $receiver->url('/ok/loose'), { min_backoff => '1 s', max_backoff => '1 s', ordered => 0 });
add_destination($node, 'other', $receiver->url('/ok/other'), { method => 'GET' });
add_destination($node, 'dying', $receiver->url('/ok/dying'), { min_backoff => '5 s', max_backoff => '5 s' });
send_event($node, { type => 'track', messageId => 'warm-up' }, $_) foreach qw(own loose other dying);
ok(wait_until_sent($node), 'it delivers');

# ---------------------------------------------------------------------
# Errors
# ---------------------------------------------------------------------
my %message = (
    stop => 'canceling statement due to statement timeout',
    error => 'rswebhook fails at "PLACE", as it was told'
);
foreach my $place (qw(rendering fetching))
{
    foreach my $action (qw(error stop))
    {
        foreach my $destination (qw(own loose))
        {
            my $id = "$place-$action-$destination";
            my $pids = worker_pids($node);
            my $message = $message{$action} =~ s/PLACE/$place/r;
            $bad = send_with_others($id, $destination, "$place $action");

            ok(wait_for_query($node, arrived($id), 2 * $others), "$id: all others arrive");
            my $took = last_arrival($id);
            my $limit = at_once(2);

            # how long a second of the processor takes is up to the machine
            cmp_ok($took, '<', $limit, sprintf '%s: after %.3f s at the latest', $id, $took) if $action ne 'stop';
            ok(wait_for("$id to be set aside", sub { outcomes($node, $bad) =~ /retry/ }), "$id: it does not");
            is(begun_after($id, $bad, 'retry'), 0, "$id: none of the others waited for its second second") if $action eq 'stop';
            is(query($node, "SELECT DISTINCT error FROM rswebhook.delivery WHERE event_id = $bad"),
                "the request could not be made: $message", "$id: and why is written down");
            like(outcomes($node, $bad), qr/^retry 1/, "$id: as an attempt");
            is(query($node, "SELECT retrying || ' ' || state FROM rswebhook.status WHERE destination = '$destination'"),
                '1 active', "$id: status shows that it waits, and its destination is not blamed");
            is(query($node, "SELECT last_error FROM rswebhook.status WHERE destination = '$destination'"),
                "the request could not be made: $message", "$id: and what for");
            is($receiver->requests_to("/ok/$destination/late-$id"), 0, "$id: its user's next one waits behind it")
              if $destination eq 'own';
            inject($node);
            ok(wait_until_sent($node), "$id: it is tried again");
            like(outcomes($node, $bad), qr/delivered 200 \d+$/, "$id: and arrives");
            is(worker_pids($node), $pids, "$id: the workers are the same");
        }
    }
}

# Memory that the worker lacks is charged to nobody
foreach my $place (qw(rendering fetching))
{
    foreach my $destination (qw(own loose))
    {
        my $id = "$place-memory-$destination";
        $bad = send_with_others($id, $destination, "$place memory");

        ok(wait_for_query($node, arrived($id), 2 * $others), "$id: all others arrive");
        ok(wait_for_query($node, 'SELECT max(lacks) FROM rswebhook.workers()', 'making a request: out of memory'),
            "$id: it is shown that memory is lacking");
        is($receiver->requests_to("/ok/$destination/late-$id"), 0, "$id: its user's next one waits behind it")
          if $destination eq 'own';
        inject($node);
        ok(wait_until_sent($node), "$id: it is sent when there is enough");
        is(outcomes($node, $bad), 'delivered 200 1', "$id: and no attempt was counted before");
        ok(wait_for_query($node, 'SELECT count(lacks) FROM rswebhook.workers()', '0'), "$id: nothing is lacking any more");
    }
}

# Nor is time in which the process could not run
{
    my $log = -s $node->logfile;
    my $pid = worker_of($node, 'own');

    $bad = send_bad('stopped', 'own', 'rendering stop');
    ok(wait_for('the worker to stop', sub { logged($node, $log) =~ /stops at "rendering"/ }), 'a worker in the middle of an event');
    freeze($pid);
    inject($node);
    pass_time(3);
    thaw();
    ok(wait_until_sent($node), 'it goes on after a while');
    is(outcomes($node, $bad), 'delivered 200 1', 'with the event');
    unlike(logged($node, $log), qr/could not make the request/, 'which has not taken long');
}

# Several at once, in one batch
{
    my $log = -s $node->logfile;
    my $start = time();
    $bad = send_bad('several-1', 'own', 'rendering error 0');
    query($node, join ';', map { sending("several-$_", 'own') } 2 .. 20);
    ok(wait_for_query($node, q{
            SELECT count(DISTINCT event_id) FROM rswebhook.delivery d
            JOIN rswebhook.event e ON e.id = d.event_id
            WHERE e.event ->> 'messageId' LIKE 'several-%' AND d.outcome = 'retry'}, 20), 'all that fail are set aside');
    inject($node);
    ok(wait_until_sent($node), 'and arrive');
    my $lines = () = logged($node, $log) =~ /could not make the request/g;

    cmp_ok($lines, '>', 0, 'the log says so');
    cmp_ok($lines, '<=', 5 * (2 + int((time() - $start) / 60)), 'in a few lines a minute');
}

# It is not tried for ever
add_destination($node, 'short', $receiver->url('/ok/short'),
    { min_backoff => '1 s', max_backoff => '1 s', retry_window => '1 ms', min_attempts => 2 });
$bad = send_with_others('given-up', 'short', 'rendering error');
ok(wait_until_sent($node), 'in the end it is given up');
is(outcomes($node, $bad), 'retry 1, aborted 2', 'as any event is');
is(query($node, "SELECT error FROM rswebhook.delivery WHERE event_id = $bad AND outcome = 'aborted'"),
    'the request could not be made: rswebhook fails at "rendering", as it was told; given up after 2 attempts', 'with the reason');
inject($node);
query($node, "SELECT rswebhook_replay($bad)");
ok(wait_until_sent($node), 'it can be replayed');
like(outcomes($node, $bad), qr/delivered/, 'and arrives');

# ---------------------------------------------------------------------
# Death
# ---------------------------------------------------------------------
foreach my $place (qw(rendering fetching))
{
    my $id = "crash-$place";
    my $log = -s $node->logfile;

    $bad = send_with_others($id, 'dying', "$place crash");
    ok(wait_for("event $bad to be given up", sub { given_up($bad) }, 120),
        "$id: an event that the worker dies of is given up");
    ok(wait_for_query($node, arrived($id), 2 * $others), "$id: all others arrive");
    ok(wait_until_sent($node), "$id: also those behind it");
    is(begun_after($id, $bad, 'aborted'), 0, "$id: none of the others waited for its third time");
    is(outcomes($node, $bad), 'retry 1, aborted 1', "$id: it was set aside before");
    is(query($node, "SELECT string_agg(error, '; ' ORDER BY started_at) FROM rswebhook.delivery WHERE event_id = $bad"),
        'the request could not be made: the worker died of it twice; the worker died three times while it made the request',
        "$id: for what it did");
    is(scalar(() = logged($node, $log) =~ /terminated by signal 11/g), 3, "$id: three deaths, and no more");
    like(logged($node, $log), qr/died while it prepared event $bad for destination 4, 2 time\(s\) by now/, "$id: the log names it");
    inject($node);
    query($node, "SELECT rswebhook_replay($bad)");
    ok(wait_until_sent($node), "$id: it can be replayed");
    like(outcomes($node, $bad), qr/delivered/, "$id: and arrives");
}

# An event that was there when others brought the server down is not suspected
{
    my $log = -s $node->logfile;

    $bad = send_bad('innocent', 'own', 'rendering stop');
    ok(wait_for('the worker to stop', sub { logged($node, $log) =~ /stops at "rendering"/ }), 'a worker in the middle of an event');
    $node->stop('immediate');
    inject($node);
    $node->start;
    ok(wait_until_sent($node), 'it arrives after an immediate shutdown');
    unlike(logged($node, $log), qr/died while it prepared/, 'and nobody blames it');
}
is(scalar(my @notes = notes()), 1, 'a file for the database');
$node->stop;
is(join(' ', notes()), '', 'and none when it has left with nothing to remember');

# Nor does it remember what is owed no more, whoever sends it in the end
$node->start;
add_destination($node, 'patient', $receiver->url('/ok/patient'), { min_backoff => '20 s', max_backoff => '20 s' });
foreach my $what (
    'SELECT rswebhook_cancel(BAD)',
    q{UPDATE rswebhook.queue SET queued_at = queued_at - interval '1 s' WHERE event_id = BAD},
    q{ALTER SYSTEM SET rswebhook.workers = 3})    # another share's
{
    $bad = send_bad('forgotten', 'patient', 'rendering crash');
    ok(wait_for("event $bad to be set aside", sub { set_aside($bad) }), 'an event that the worker died of');
    inject($node);
    $node->restart;
    await_workers($node);
    $node->stop;
    isnt(join(' ', notes()), '', 'is remembered');

    $node->start;
    query($node, $what =~ s/BAD/$bad/r);
    $node->stop('immediate');
    my ($note) = notes();
    my $strange = $note =~ s/\d+$/4294967295/r;    # no such database
    link $note, $strange or die "could not link: $!\n";
    $node->start;
    await_workers($node);
    ok(!-e $strange, 'a file that nobody has is removed');
    query($node, 'ALTER SYSTEM RESET rswebhook.workers');
    wait_until_sent($node);
    $node->stop;
    is(join(' ', notes()), '', "and forgotten after $what");
    $node->start;
}

done_testing();

# ---------------------------------------------------------------------

sub notes
{
    return glob($node->data_dir . '/pg_stat_tmp/rswebhook.*');
}

# Seconds from the commit to the last of the others
sub last_arrival
{
    my ($id) = @_;

    return query($node, qq{
        SELECT extract(epoch FROM max(d.started_at + d.duration) - '$committed'::timestamptz)
        FROM rswebhook.delivery d JOIN rswebhook.event e ON e.id = d.event_id
        WHERE e.event ->> 'messageId' LIKE '$id-%' AND d.outcome = 'delivered'});
}

# How many of the others only after the event had that outcome
sub begun_after
{
    my ($id, $event, $outcome) = @_;

    return query($node, qq{
        SELECT count(*) FROM rswebhook.delivery d JOIN rswebhook.event e ON e.id = d.event_id
        WHERE e.event ->> 'messageId' LIKE '$id-%' AND d.outcome = 'delivered' AND d.started_at >
            (SELECT min(started_at) FROM rswebhook.delivery WHERE event_id = $event AND outcome = '$outcome')});
}

sub set_aside
{
    my ($event) = @_;
    my ($status, $count) = eval { $node->psql('postgres',
        "SELECT count(*) FROM rswebhook.delivery WHERE event_id = $event AND outcome = 'retry'") };

    return defined $status && $status == 0 && $count > 0;
}

# The server may be down at times.
sub given_up
{
    my ($event) = @_;
    my ($status, $count) = eval { $node->psql('postgres',
        "SELECT count(*) FROM rswebhook.delivery WHERE event_id = $event AND outcome = 'aborted'") };

    return defined $status && $status == 0 && $count > 0;
}

# The bad one in the middle of others, all in one transaction.  Its user has
# one before and one after it.
sub send_with_others
{
    my ($id, $destination, $action) = @_;
    my $half = $others / 2;
    my $next = query($node, 'SELECT last_value FROM rswebhook.event_id_seq') + 1 + 2 * $half + 1;

    inject($node, "$action $next");
    my ($bad, $now) = query_before_death(qq{
        BEGIN;
        SELECT count(rswebhook_send(jsonb_build_object('type', 'track', 'userId', n, 'messageId', '$id-' || n), d))
            FROM generate_series(1, $half) n, unnest(ARRAY['$destination', 'other']) d;
        SELECT rswebhook_send('{"type": "track", "userId": "early", "messageId": "$id-0"}', '$destination');
        SELECT 'bad ' || rswebhook_send('{"type": "track", "userId": "bad", "messageId": "bad-$id"}', '$destination');
        SELECT rswebhook_send('{"type": "track", "userId": "bad", "appendPath": "/late-$id", "messageId": "late-$id"}', '$destination');
        SELECT count(rswebhook_send(jsonb_build_object('type', 'track', 'userId', n, 'messageId', '$id-' || n), d))
            FROM generate_series($half + 1, $others - 1) n, unnest(ARRAY['$destination', 'other']) d;
        SELECT rswebhook_send('{"type": "track", "messageId": "$id-$others"}', 'other');
        SELECT 'now ' || clock_timestamp();
        COMMIT}) =~ /bad (\d+).*now (\S+ \S+)/s;
    $committed = $now;
    is($bad, $next, "$id: the id is the expected one") or die "nothing can be tested so\n";
    return $bad;
}

sub send_bad
{
    my ($id, $destination, $action) = @_;
    my $next = query($node, 'SELECT last_value FROM rswebhook.event_id_seq') + 1;

    inject($node, $action =~ / \d+$/ ? $action : "$action $next");
    query_before_death(sending($id, $destination));
    return $next;
}

# The worker may bring the server down as soon as this is committed.
sub query_before_death
{
    my ($sql) = @_;

    return (eval { $node->psql('postgres', $sql) })[1];
}

sub sending
{
    my ($id, $destination) = @_;

    return qq{SELECT rswebhook_send('{"type": "track", "messageId": "$id", "userId": "$id"}', '$destination')};
}

# How many of the others
sub arrived
{
    my ($id) = @_;

    return qq{
        SELECT count(DISTINCT (event_id, destination_id)) FROM rswebhook.delivery d
        JOIN rswebhook.event e ON e.id = d.event_id
        WHERE e.event ->> 'messageId' LIKE '$id-%' AND d.outcome = 'delivered'};
}
