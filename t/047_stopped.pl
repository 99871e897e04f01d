# A worker that is stopped in the middle of its work, for longer than any limit of
# a request: while it starts requests, sends large ones, sets connections up and
# reads answers, once and several times in a row.  That is nobody's time-out.  One
# that is merely slow ends what takes too long all the same.
#
# Signals would hit such a moment once in many times, so the worker stops itself in
# it (stops.c).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use Certificates;
use NodeReceiver;
use RswebhookTest;
use Test::More;

plan(skip_all => 'needs preloading that ELF systems have') if $^O !~ /^(?:linux|freebsd)$/;
plan(skip_all => 'a sanitizer wants to be loaded first') if $ENV{RSWEBHOOK_SANITIZED};

my $receiver = new_receiver();
my $dir = temp_dir('stops');
my $file = "$dir/stop";
my $node = new_node('stopped', start => 0);
my $missing = NodeReceiver->missing;
my %usual = (timeout => '1 s', connect_timeout => '500 ms', breaker_failures => 3, ordered => 0,
    min_backoff => '100 ms', max_backoff => '100 ms', max_in_flight => 400);
my $away = 1.5;     # seconds, for longer than that
my $serial = 0;

system('cc', '-shared', '-fPIC', qq{-DFILE_NAME="$file"}, '-o', "$dir/stops.so",
    source_dir() . '/t/lib/stops.c', '-ldl') == 0
  or plan(skip_all => 'it takes a compiler');
chmod 0777, "$dir";
{
    local $ENV{LD_PRELOAD} = "$dir/stops.so";
    $node->start;
}
query($node, 'CREATE EXTENSION rswebhook');
my $workers = await_workers($node);

# Large ones are on their way, which a busy receiver reads in more than a second
$away = 3.5;
add_destination($node, 'large', $receiver->url('/delay/50/ok'), { %usual, timeout => '3 s' });
warm_up('large', 100);
stopped('large', 8, 'send', [$_], 700_000) foreach 1, 3, 8, 12, 20;
stopped('large', 8, 'send', [ 3, 5, 5, 5 ], 700_000);

$away = 1.5;

# Answers of some length, more of them than are looked at at once
add_destination($node, 'small', $receiver->url('/delay/100/body/20000'), \%usual);
warm_up('small', 600);
stopped('small', 250, 'send', [$_]) foreach 1, 120, 250;
stopped('small', 250, 'recv', [$_]) foreach 1, 60, 130, 250;
stopped('small', 100, 'recv', [ 10, 30, 30, 30 ]);

# What they are answered is to be followed
add_destination($node, 'redirected', $receiver->url('/delay/50/redirect/307/delay/50/ok'),
    { %usual, max_redirects => 1 });
warm_up('redirected', 200);
stopped('redirected', 40, 'recv', [$_]) foreach 1, 20, 50;
stopped('redirected', 40, 'recv', [ 5, 20, 20, 20 ]);

# Connections are set up
add_destination($node, 'connecting', $receiver->url('/delay/50/last'), \%usual);
warm_up('connecting', 100);
stopped('connecting', 8, 'connect', [$_]) foreach 1, 4, 8;
stopped('connecting', 8, 'connect', [ 2, 1, 2, 1 ]);

SKIP:
{
    skip $missing // 'before 7.88, TLS does not use the calls that are stopped', 1
      if defined $missing || !libcurl_at_least(7, 88);
    my $certificates = Certificates->new(temp_dir('certificates'));
    my $relay = NodeReceiver->new(temp_dir('tls'), $certificates, relay => [$receiver]);

    add_destination($node, 'tls', 'https://127.0.0.1:' . $relay->relay_port(0) . '/delay/50/last',
        { %usual, connect_timeout => '1 s', ca_cert => $certificates->text('ca.pem') });
    warm_up('tls', 50);
    stopped('tls', 4, 'send', [$_]) foreach 1, 4, 7;
    stopped('tls', 4, 'recv', [$_]) foreach 1, 2, 5, 9, 14;
    stopped('tls', 4, 'recv', [ 1, 3, 3, 3 ]);
}

# A worker that is late all the time ends a request to a receiver that is silent
query($node, q{
    CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM pg_sleep(0.5);
            RETURN NULL;
        END $$;
    CREATE TRIGGER dawdle AFTER INSERT ON rswebhook.delivery FOR EACH ROW EXECUTE FUNCTION dawdle()});
add_destination($node, 'quick', $receiver->url('/ok'), \%usual);
add_destination($node, 'hanging', $receiver->url('/hang'), { %usual, retry_window => '0', min_attempts => 1 });
send_events('hanging', 1);
my $rounds = 0;
do
{
    send_events('quick', 1);
    wait_for_query($node, owed('quick'), '0');
} while (query($node, owed('hanging')) ne '0' && ++$rounds < 60);
cmp_ok($rounds, '<', 60, 'a worker that is late each time ends what takes too long');
like(query($node, q{
        SELECT error FROM rswebhook.delivery
        WHERE outcome <> 'delivered' AND destination_id IN (rswebhook.destination_id('quick'), rswebhook.destination_id('hanging'))}),
    qr/^waiting for an answer: Operation timed out after \d+ milliseconds/, 'and nothing else has failed');

$node->stop;
done_testing();

# Its window grows with what is answered
sub warm_up
{
    my ($destination, $count) = @_;

    send_events($destination, $count);
    return ok(wait_until_sent($node), "$destination is in use");
}

sub send_events
{
    my ($destination, $count, $length) = @_;

    $serial++;
    $length //= 0;
    return query($node, qq{SELECT count(rswebhook_send(jsonb_build_object('type', 'track', 'userId', 'u' || n,
        'messageId', '$destination-$serial-' || n, 'filling', repeat('x', $length)), '$destination'))
        FROM generate_series(1, $count) AS n});
}

sub owed
{
    my ($destination) = @_;

    return "SELECT count(*) FROM rswebhook.queue WHERE destination_id = rswebhook.destination_id('$destination')";
}

sub stop_at
{
    my ($call, $number) = @_;

    open my $out, '>', "$file.new" or die "could not write: $!\n";
    print $out "$call $number\n";
    close $out or die "could not write: $!\n";
    rename "$file.new", $file or die "could not rename: $!\n";
    return;
}

# The worker stops at such a call, and when it goes on after so many more; all of
# these events are delivered, each with its first attempt
sub stopped
{
    my ($destination, $count, $call, $numbers, $length) = @_;
    my $what = "$count to $destination, stopped at $call @$numbers";
    my ($first, @next) = @$numbers;

    stop_at($call, $first);
    send_events($destination, $count, $length);
    while (1)
    {
        ok(wait_for('the worker to stop', sub { !-e $file }), "$what: it stops");
        pass_time($away);
        stop_at($call, $next[0]) if @next;
        kill 'CONT', split / /, $workers;
        last if !@next;
        shift @next;
    }
    ok(wait_until_sent($node), "$what: all are delivered");
    is( query($node, qq{
            SELECT string_agg(attempts, ' ' ORDER BY attempts) FROM (
                SELECT concat(outcome || ' ' || attempt, ' ' || regexp_replace(error, '[0-9]+', 'N', 'g'), ': ', count(*)) AS attempts
                FROM rswebhook.delivery AS d JOIN rswebhook.event AS e ON e.id = d.event_id
                WHERE event ->> 'messageId' LIKE '$destination-$serial-%'
                GROUP BY outcome, attempt, regexp_replace(error, '[0-9]+', 'N', 'g')) AS a}),
        "delivered 1: $count", "$what: each with its first attempt");
    return;
}
