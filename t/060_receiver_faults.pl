# Receivers that do everything wrong: what is written down about it, and that
# the worker and the other destinations do not notice.
#
# RSWEBHOOK_ROUNDS says how often all of it happens (3): memory must not grow
# with it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use IO::Socket::INET;
use RswebhookTest;
use Test::More;

my $rounds = $ENV{RSWEBHOOK_ROUNDS} // 3;

# What a fault may cost a neighbour, in seconds beside what the machine costs it;
# and how much memory may grow over the rounds, in kB.  Sanitizers keep what was
# freed for a while.
my $patience = $ENV{RSWEBHOOK_SANITIZED} ? 5 : 1;
my $allowed_growth = $ENV{RSWEBHOOK_SANITIZED} ? 65536 : 3072;

my $receiver = new_receiver();
my $narrow = new_receiver('--connections', 2);
my $closed = new_receiver('--connections', 0);
my $good = new_receiver();
my ($blackhole, @callers) = blackhole();
my $node = new_node('faults');

# One attempt and then another, so that the first tells a retry from the end.  A
# busy receiver may take its time, unless a time-out is what comes of it: after
# little where there is no answer, and after more where it has begun.
my %hasty = (
    min_backoff => '20 ms',
    max_backoff => '50 ms',
    retry_after_factor => 0,
    retry_window => '0',
    min_attempts => 2,
    breaker_failures => 0,
    connect_timeout => '1 min',
    timeout => '1 min');
my $no_connection = { connect_timeout => '400 ms' };
my $no_answer = { timeout => '1200 ms' };
my $no_end = { timeout => '3 s' };

my @phases = map { qr/^\Q$_\E: / } 'connecting', 'TLS handshake', 'waiting for an answer',
  'receiving the answer';
my ($connect, $tls, $wait, $receive) = @phases;

# [path or URL, outcome, status, error, columns]; the outcome "retry" is one
# that becomes "aborted" with the second attempt.
my @faults = (
    # nobody there
    [ 'http://127.0.0.1:' . refusing_port() . '/', 'retry', undef, qr/${connect}.*(connect|refused)/i ],
    [ "http://127.0.0.1:$blackhole/", 'retry', undef, qr/${connect}.*time/i, $no_connection ],
    [ $closed->url('/'), 'retry', undef, qr/^(connecting|sending|waiting for an answer): / ],
    [ 'http://no-such-name.invalid/', 'retry', undef, qr/^resolving the name: Could not resolve/ ],

    # no answer, or half of one
    [ '/hang', 'retry', undef, qr/${wait}.*timed out/, $no_answer ],
    [ '/close', 'retry', undef, $wait ],
    [ '/reset', 'retry', undef, $wait ],
    [ '/reset-head', 'retry', undef, $wait ],
    [ '/reset-body', 'retry', 200, $receive ],
    [ '/head', 'retry', 200, $receive ],
    [ '/short', 'retry', 200, $receive ],
    [ '/cut-chunk', 'retry', 200, $receive ],
    [ '/stall', 'retry', 200, qr/${receive}.*timed out/, $no_end ],
    [ '/drip/100', 'retry', 200, qr/${receive}.*timed out/, $no_end ],
    [ '/drip-head/100', 'retry', undef, qr/${wait}.*timed out/, $no_answer ],
    [ '/drip/300', 'retry', 200, qr/${receive}.*too slow/,
        { timeout => '20 s', low_speed_limit => 100, low_speed_time => '1 s' } ],

    # more of it than anybody wants
    [ '/endless', 'delivered', 200 ],
    [ '/stream', 'delivered', 200 ],
    [ '/body/20000000', 'delivered', 200 ],
    [ '/gzip/50000000', 'delivered', 200 ],
    [ '/deflate/50000000', 'delivered', 200 ],
    [ '/headers/500/80', 'delivered', 200 ],
    [ '/headers/1/200000', 'retry', 200, qr/${receive}.*(header|too large|too long|larger than allowed)/i ],
    [ '/headers/10000/10', 'retry', 200, qr/too many or too long headers/ ],
    [ '/headers/1000/60000', 'retry', 200, qr/(too many or too long|too large) headers|too long/i ],

    # not HTTP, or not quite
    [ '/garbage', 'retry', undef, $wait ],
    [ '/bare', 'retry', undef, qr/${wait}.*HTTP\/0\.9/ ],
    [ '/status/99', 'retry', undef, $wait ],
    # some versions of libcurl hand on a line that is none
    [ '/status/1000', 'retry', undef, qr/${wait}|${receive}/ ],
    [ '/status/999', 'retry', 999, qr/^HTTP status 999/ ],
    [ '/interim/50/ok', 'delivered', 200 ],
    [ '/interim/100000/ok', 'retry', undef, qr/too many or too long headers/ ],
    [ '/interim/3/hang', 'retry', undef, $wait, $no_answer ],
    [ '/hints/ok', 'delivered', 200 ],
    [ '/hints/hang', 'retry', undef, $wait, $no_answer ],
    [ '/status/101', 'aborted', 101, qr/^HTTP status 101/ ],
    [ '/text/500/%ff%00%e4', 'retry', 500, qr/^HTTP status 500/ ],

    # elsewhere, where we do not go
    [ '/redirect/301/ok', 'aborted', 301, qr/^HTTP status 301/ ],
    [ '/redirect/302/ok', 'aborted', 302, qr/^HTTP status 302/ ],
    [ '/redirect/307/ok', 'aborted', 307, qr/^HTTP status 307/ ],
    [ '/redirect/308/ok', 'aborted', 308, qr/^HTTP status 308/ ],
    [ '/redirect/308/hang', 'retry', undef, $wait, { max_redirects => 5, %$no_end } ],
    [ '/redirect/308/ok/5', 'delivered', 200, undef, { max_redirects => 5 } ],
    [ '/switch/loop', 'aborted', 302, qr/^HTTP status 302/, { max_redirects => 5, method => 'GET' } ],
    map { [ "/location/302/$_", 'aborted', 302, qr/^HTTP status 302/, { max_redirects => 5 } ] }
      'file:%2F%2F%2Fetc%2Fpasswd', 'gopher:%2F%2F127.0.0.1:1%2Fx', 'ftp:%2F%2F127.0.0.1%2F',
      '%2F%2F%2F%2F', 'http:%2F%2F%5B%3A%3A%2F', '%ff%fe%01');
push @faults,
  [ '/location/302/http:%2F%2F169.254.169.254%2Flatest', 'aborted', undef,
    qr/^address 169\.254\.169\.254 is in the blocked network/, { max_redirects => 5 } ],
  [ '/location/307/http:%2F%2F[::ffff:169.254.169.254]%2F', 'aborted', undef,
    qr/is in the blocked network/, { max_redirects => 5 } ];
push @faults, [ tls($receiver->url('/')), 'retry', undef, qr/(${tls}|${connect}).*time/i, $no_connection ];

# The large answers are made beforehand, so that nobody waits for that.
fetch($receiver, $_) foreach '/gzip/50000000', '/deflate/50000000';
$receiver->switch('loop', '/redirect/302/switch/loop');
foreach my $i (0 .. $#faults)
{
    my ($where, undef, undef, undef, $columns) = @{ $faults[$i] };

    $where = $receiver->url($where) if $where =~ m{^/};
    add_destination($node, "fault $i", $where, { %hasty, %{ $columns // {} } });
}
add_destination($node, 'narrow', $narrow->url('/delay/20/ok'),
    { %hasty, min_attempts => 200, retry_window => '1 min', max_in_flight => 20 });
add_destination($node, 'good', $good->url('/ok'), { ordered => 0 });

my $pids = worker_pids($node);
my %memory;

# the neighbour's own traffic, without faults and while all of them go on
my @alone = traffic();
my @slowest;

foreach my $round (1 .. $rounds)
{
    my @ids = map {
        query($node, qq{
            SELECT rswebhook_send(jsonb_build_object('type', 'track', 'userId', 'u'), 'fault $_')})
    } 0 .. $#faults;

    if ($round == 1)
    {
        # no user: nothing but the receiver's limit slows them down
        query($node, q{
            SELECT count(rswebhook_send('{"type": "track"}', 'narrow')) FROM generate_series(1, 40)});
    }

    push @slowest, (traffic())[-1];
    ok(wait_until_sent($node), "round $round: nothing is owed any more");
    is(worker_pids($node), $pids, "round $round: the workers are the same");

    my %first = map { $_->{event_id} => $_ } query_rows($node, q{
        SELECT event_id, outcome, status, error, octet_length(response_body) AS kept
        FROM rswebhook.delivery WHERE attempt = 1});
    my @wrong = grep { !as_expected($faults[$_], $first{ $ids[$_] }) } 0 .. $#faults;
    is(scalar @wrong, 0, "round $round: each fault is written down as what it is");
    diag(shown($faults[$_], $first{ $ids[$_] })) foreach @wrong;

    $memory{$_} //= process_field($_, 'RssAnon') foreach split / /, $pids;
}

is(query($node, q{
        SELECT count(*) FROM rswebhook.delivery AS r
        WHERE outcome = 'retry' AND destination_id <> (SELECT id FROM rswebhook.destination WHERE name = 'narrow')
        AND NOT EXISTS (
            SELECT FROM rswebhook.delivery AS a
            WHERE a.event_id = r.event_id AND a.attempt = 2
            AND a.outcome = 'aborted' AND a.error LIKE '%; given up after 2 attempts')}),
    '0', 'each was tried once more, then given up');
cmp_ok(query($node, 'SELECT max(octet_length(response_body)) FROM rswebhook.delivery'),
    '<=', 4 * 4096, 'no more of an answer is kept than the setting allows (of a NUL, four characters)');

foreach my $pid (sort keys %memory)
{
    my $grown = process_field($pid, 'RssAnon') - $memory{$pid};
    cmp_ok($grown, '<', $allowed_growth, "memory does not grow ($grown kB in " . ($rounds - 1) . ' rounds)');
    cmp_ok(process_field($pid, 'VmHWM') - process_field($pid, 'VmRSS'),
        '<', 20_000, 'and there was no peak');
}

# a fault that holds up others does so each time; a busy moment does not
my ($slowest) = sort { $a <=> $b } @slowest;
cmp_ok($slowest, '<', $patience + 2 * $alone[-1], sprintf 'a neighbour waits for %.0f ms at most, of which %.0f without faults',
    $slowest * 1000, $alone[-1] * 1000);
is(query($node, q{
        SELECT count(*) FROM rswebhook.delivery AS v JOIN rswebhook.destination AS d ON d.id = destination_id
        WHERE d.name = 'good' AND (outcome <> 'delivered' OR attempt <> 1)}),
    '0', 'each by its first attempt');
is(query($node, q{
        SELECT count(*) FROM rswebhook.delivery AS v JOIN rswebhook.destination AS d ON d.id = destination_id
        WHERE d.name = 'narrow' AND outcome = 'delivered'}),
    '40', 'a receiver that takes two connections only gets all in the end');

# Some versions of libcurl append the beginning to a header of an earlier answer,
# if their handle has seen one.
add_destination($node, 'folded', $receiver->url('/first/1/folded/folded'), { %hasty, ordered => 0 });
add_destination($node, 'folded hop', $receiver->url('/redirect/307/folded'), { %hasty, max_redirects => 1, ordered => 0 });
query($node, qq{
    SELECT count(rswebhook_send(jsonb_build_object('type', 'track', 'messageId', d || n), d))
    FROM generate_series(1, 100) AS n, unnest('{folded,"folded hop"}'::text[]) AS d});
ok(wait_until_sent($node), 'folded headers: nothing is owed any more');
is(worker_pids($node), $pids, 'the workers are the same');

# A connection that was kept alive is closed as we are about to use it.
add_destination($node, 'fickle', $receiver->url('/last/fickle'), { max_in_flight => 1 });
query($node, q{
    SELECT count(rswebhook_send(jsonb_build_object('type', 'track', 'userId', 'u', 'messageId', 'f' || n), 'fickle'))
    FROM generate_series(1, 200) AS n});
ok(wait_until_sent($node), 'nothing is owed any more');
is(join(' ', map { $_->{headers}{'webhook-id'} } $receiver->requests_to('/last/fickle')),
    join(' ', map { "f$_" } 1 .. 200), 'connections that close after each answer: all once, in order');
is(worker_pids($node), $pids, 'the workers are the same');

done_testing();

sub as_expected
{
    my ($fault, $row) = @_;
    my (undef, $outcome, $status, $error) = @$fault;

    return 0 if !$row || $row->{outcome} ne $outcome;
    return 0 if ($row->{status} // '') ne ($status // '');
    return defined $error ? ($row->{error} // '') =~ $error : !defined $row->{error};
}

sub shown
{
    my ($fault, $row) = @_;
    my @got = $row ? map { $_ // 'null' } @$row{qw(outcome status error)} : ('nothing');

    return "$fault->[0]: @got; expected $fault->[1] "
      . ($fault->[2] // 'null') . ' ' . ($fault->[3] // 'null');
}

# How long events to the neighbour take from the send to the receiver's ledger,
# sorted.
sub traffic
{
    my @latencies = map {
        my $before = $good->requests;

        elapsed(
            sub {
                query($node, q{SELECT rswebhook_send('{"type": "track"}', 'good')});
                wait_for('the neighbour', sub { $good->requests > $before });
            })
    } 1 .. 40;

    return sort { $a <=> $b } @latencies;
}

sub fetch
{
    my ($from, $path) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $from->port)
      or die "could not reach the receiver: $@\n";

    print $socket "GET $path HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    local $/;
    return <$socket>;
}

# Somebody who listens but whose queue is full: connecting takes for ever.
sub blackhole
{
    my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1)
      or die "could not listen: $@\n";
    my @sockets = map {
        IO::Socket::INET->new(
            PeerAddr => '127.0.0.1',
            PeerPort => $listener->sockport,
            Blocking => 0)
    } 1 .. 8;

    return ($listener->sockport, $listener, @sockets);
}

# Somebody who does not speak TLS, and waits for more.
sub tls
{
    my ($url) = @_;
    return $url =~ s/^http:/https:/r;
}
