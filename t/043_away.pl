# Time in which the worker cannot run is nobody's time-out: what has come
# meanwhile is read before any time is judged, and what is under way has as much
# time left as before.  A time-out that is one stays one.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use IO::Socket::INET;
use Time::HiRes qw(time);

use Certificates;
use NodeReceiver;
use RswebhookTest;
use Session;
use Test::More;

my $receiver = new_receiver();
my $node = new_node('away', conf => "wal_level = replica\nmax_wal_senders = 2\nrswebhook.synchronous_commit = on\n");
my $missing = NodeReceiver->missing;
my %usual = (timeout => '3 s', breaker_failures => 16, min_backoff => '100 ms', max_backoff => '100 ms');
my $serial = 0;

# What becomes of events that are under way, some more than can be looked at at
# once, when the worker is stopped
my $many = 200;
add_destination($node, 'many', $receiver->url('/switch/many'), { %usual, max_in_flight => $many });
warm_up('many', 400);
$receiver->switch('many', '/delay/2000');
in_flight($receiver, 'many', $many);
stop_workers(5);
delivered_once('many', $many, 'a worker that is stopped for longer than the time-out');

# With several steps to go: the answer is a redirect, to be followed when the
# time-out is over.  They have time for that all, and not only the first of them.
my $redirected = 40;
add_destination($node, 'redirected', $receiver->url('/switch/redirected'),
    { %usual, timeout => '2 s', max_in_flight => $redirected, max_redirects => 1 });
warm_up('redirected', 400);
$receiver->switch('redirected', '/delay/1000/redirect/307/delay/100/ok');
foreach my $round (1, 2)
{
    in_flight($receiver, 'redirected', $redirected);
    stop_workers(5);
    delivered_once('redirected', $redirected, "a worker that is stopped before a redirect, round $round");
}

# While connections are set up for them, over TLS
SKIP:
{
    skip $missing, 10 if defined $missing;
    my $certificates = Certificates->new(temp_dir('certificates'));
    my $relay = NodeReceiver->new(temp_dir('tls'), $certificates, relay => [$receiver]);
    my %trusting = (%usual, ca_cert => $certificates->text('ca.pem'), ordered => 0);

    add_destination($node, 'tls', 'https://127.0.0.1:' . $relay->relay_port(0) . '/delay/500/tls',
        { %trusting, connect_timeout => '6 s', timeout => '10 s' });
    my @workers = split / /, worker_pids($node);
    kill 'STOP', $relay->{pid};    # nothing but its system answers
    send_events('tls', 4);
    ok(wait_for_query($node, q{SELECT in_flight FROM rswebhook.status WHERE destination = 'tls'}, '4'),
        'connections are being set up');
    kill 'STOP', @workers;
    kill 'CONT', $relay->{pid};
    pass_time(8);
    kill 'CONT', @workers;
    delivered_once('tls', 4, 'likewise while its connections are set up');

    add_destination($node, 'http2', $relay->url('/delay/500/http2'), \%trusting);
    send_events('http2', 1);
    ok(wait_until_sent($node), 'one over HTTP/2');
    in_flight($relay, 'http2', 4);
    stop_workers(5);
    delivered_once('http2', 4, 'likewise over HTTP/2');
}

# A connection that comes about while it is stopped: the receiver's backlog was
# full, and its system takes what is tried again a second later
my ($listener, @filling) = full_listener();
add_destination($node, 'backlog', 'http://127.0.0.1:' . $listener->sockport . '/',
    { %usual, connect_timeout => '2 s', timeout => '20 s' });
send_events('backlog', 1);
ok(wait_for_query($node, q{SELECT in_flight FROM rswebhook.status WHERE destination = 'backlog'}, '1'),
    'a connection that cannot be had');
my @workers = split / /, worker_pids($node);
kill 'STOP', @workers;
close $_ foreach @filling;
my @accepted = accepted_in($listener, 5);
kill 'CONT', @workers;
ok(wait_for('the request', sub { grep { answered($_) } @accepted }), 'comes about while the worker is stopped, and is used');
delivered_once('backlog', 1, 'and the event');

# In a transaction that takes long: somebody's trigger, a lock, a standby
warm_up('many', 40);
query($node, q{
    CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NEW.destination_id = (SELECT id FROM rswebhook.destination WHERE name = 'quick') THEN
                PERFORM pg_sleep(4);
            END IF;
            RETURN NULL;
        END $$;
    CREATE TRIGGER dawdle AFTER INSERT ON rswebhook.delivery FOR EACH ROW EXECUTE FUNCTION dawdle()});
add_destination($node, 'quick', $receiver->url('/delay/500/quick'), \%usual);
$receiver->switch('many', '/delay/2000');
send_events('quick', 1);
send_events('many', 32);
delivered_once('many', 32, 'a transaction that takes longer than the time-out');
# Stopped in the middle of it, twice: that is not the trigger's time, for which it
# would have to wait for a minute
query($node, q{UPDATE rswebhook.destination SET url = replace(url, '/500/', '/0/') WHERE name = 'quick'});
send_events('quick', 1);
foreach my $time (1, 2)
{
    ok(wait_for_query($node, q{SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND backend_type LIKE 'rswebhook%'}, '1'),
        'the worker is in a trigger');
    stop_workers(11);
}
my $continued = time();
ok(wait_until_sent($node), 'what it was to record then is recorded');
cmp_ok(time() - $continued, '<', 50, 'soon after it was stopped');
query($node, q{UPDATE rswebhook.destination SET url = replace(url, '/0/', '/500/') WHERE name = 'quick'});
query($node, 'DROP TRIGGER dawdle ON rswebhook.delivery');

add_destination($node, 'short', $receiver->url('/switch/short'), { %usual, timeout => '550 ms' });
warm_up('short', 40);
$receiver->switch('short', '/delay/300');
query($node, q{UPDATE rswebhook.destination SET url = replace(url, '/500/', '/200/') WHERE name = 'quick'});
my $session = Session->new($node);
$session->query(join '; ', sending('quick', 1), sending('short', 16),
    q{SELECT pg_sleep(0.12); BEGIN; LOCK TABLE rswebhook.queue; SELECT pg_sleep(0.8); COMMIT});
$session->close;
delivered_once('short', 16, 'a lock that is there for longer than the time-out');

query($node, q{ALTER SYSTEM SET synchronous_standby_names = 'nobody'});
$node->reload;
query($node, join '; ', 'SET synchronous_commit = local', sending('quick', 1), sending('many', 32));
ok(wait_for_query($node, q{SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND backend_type LIKE 'rswebhook%'}, '1'),
    'the worker waits for a standby');
pass_time(4);
local $ENV{PGOPTIONS} = '-c synchronous_commit=local';
query($node, q{ALTER SYSTEM RESET synchronous_standby_names});
$node->reload;
delivered_once('many', 32, 'a standby that is away for longer than the time-out');

# A time-out that is one
add_destination($node, 'hanging', $receiver->url('/hang'), { %usual, retry_window => '0', min_attempts => 1 });
send_events('hanging', 1);
ok(wait_until_sent($node), 'a receiver that does not answer');
is(outcome('hanging'), 'aborted t', 'has timed out');
in_flight($receiver, 'hanging', 1);
stop_workers(4);
ok(wait_until_sent($node), 'likewise when the worker was stopped');
is(outcome('hanging'), 'aborted t', 'it has timed out');

done_testing();

# Its window grows with what is answered
sub warm_up
{
    my ($destination, $count) = @_;

    $receiver->switch($destination, '/ok');
    send_events($destination, $count);
    return ok(wait_until_sent($node), "$destination is in use");
}

sub sending
{
    my ($destination, $count) = @_;

    $serial++;
    return qq{SELECT count(rswebhook_send(jsonb_build_object('type', 'track', 'userId', 'u$serial-' || n,
        'messageId', '$destination-$serial-' || n), '$destination')) FROM generate_series(1, $count) AS n};
}

sub send_events
{
    my ($destination, $count) = @_;

    return query($node, sending($destination, $count));
}

# So many are under way
sub in_flight
{
    my ($to, $destination, $count) = @_;
    my $before = $to->requests;

    send_events($destination, $count);
    return ok(wait_for('the requests', sub { $to->requests >= $before + $count }),
        "$count events to $destination are under way");
}

sub stop_workers
{
    my ($seconds) = @_;
    my @pids = split / /, worker_pids($node);

    kill 'STOP', @pids;
    pass_time($seconds);
    kill 'CONT', @pids;
    return;
}

# Of the last so many events of a destination, none was tried twice
sub delivered_once
{
    my ($destination, $count, $what) = @_;

    ok(wait_until_sent($node), "$what: all are delivered");
    is( query($node, qq{
            SELECT string_agg(attempts, ' ' ORDER BY attempts) FROM (
                SELECT outcome || ' ' || attempt || ': ' || count(*) AS attempts
                FROM rswebhook.delivery
                WHERE event_id IN (
                    SELECT id FROM rswebhook.event
                    WHERE event ->> 'messageId' LIKE '$destination-%' ORDER BY id DESC LIMIT $count)
                GROUP BY outcome, attempt) AS a}),
        "delivered 1: $count", "$what: each with its first attempt");
    is(query($node, qq{SELECT breaker FROM rswebhook.status WHERE destination = '$destination'}), 'closed',
        "$what: the breaker is closed");
    return;
}

sub outcome
{
    my ($destination) = @_;

    return query($node, qq{
        SELECT outcome || ' ' || CASE WHEN error LIKE '%timed out after%' THEN 't' ELSE error END
        FROM rswebhook.delivery JOIN rswebhook.destination AS d ON d.id = destination_id
        WHERE d.name = '$destination' ORDER BY started_at DESC LIMIT 1});
}

# A socket whose backlog is full, and what fills it
sub full_listener
{
    my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1)
      or die "could not listen: $@\n";
    my @clients = map {
        IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $socket->sockport, Blocking => 0)
    } 1 .. 8;

    return ($socket, @clients);
}

# The connections that come in so many seconds
sub accepted_in
{
    my ($socket, $seconds) = @_;
    my $end = time() + $seconds;
    my @accepted;

    $socket->timeout(0.2);
    while (time() < $end)
    {
        my $client = $socket->accept or next;
        $client->blocking(0);
        push @accepted, $client;
    }
    return @accepted;
}

# Is there a request on it?  Then answer that.
sub answered
{
    my ($client) = @_;

    sysread $client, my $request, 65536 or return 0;
    syswrite $client, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    return 1;
}
