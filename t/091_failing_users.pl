# However many users' events fail, those of others go at once, with and without a
# circuit breaker, and one that is open tries them first.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Session;
use Test::More;

my $receiver = new_receiver();
my $node = new_node('failing', conf => "max_wal_size = 2GB\n");
my %quick = (min_backoff => '500 ms', max_backoff => '1 s');
my $sent = 0;

#
# A breaker that failing users have opened
#
add_destination($node, 'probed', $receiver->url('/'), \%quick);
send_to('probed', '/status/500/probed', 30, 'bad');
ok(wait_for_query($node, q{SELECT count(*) FROM rswebhook.breaker}, '1'), 'failing users open the breaker');
ok(wait_for('probes', sub { bad('probed') >= 18 }), 'which is probed');
cmp_ok(bad_before_good('probed'), '<=', 4, 'a good one is among the next probes');
ok(wait_for_query($node, q{SELECT count(*) FROM rswebhook.breaker}, '0'), 'and closes it');

# It stays closed, however few succeed: their users fail though others do not
my $before = bad('probed');
my $opened = 0;
ok( wait_for('requests that fail', sub {
            $opened += query($node, q{SELECT count(*) FROM rswebhook.breaker});
            return bad('probed') >= $before + 150;
        }),
    'failing users are tried again and again');
is($opened, 0, 'and do not open it again');
cmp_ok(bad_before_good('probed'), '<=', 40, 'a good one goes at once');
query($node, q{SELECT rswebhook_pause('probed')});

# However many there are that were never tried
add_destination($node, 'crowded', $receiver->url('/'), \%quick);
send_to('crowded', '/status/500/crowded', 1000, 'bad');
ok( wait_for_query($node, q{SELECT count(*) FROM rswebhook.breaker WHERE destination_id = rswebhook.destination_id('crowded')}, '1'),
    'failing users open another breaker');
cmp_ok(bad_before_good('crowded'), '<=', 4, 'the newest is among the next probes');
query($node, q{SELECT rswebhook_pause('crowded')});

# New ones keep coming, and between them a few whose events have always been good
add_destination($node, 'flooded', $receiver->url('/'));
foreach my $round (0 .. 20)
{
    query($node, sprintf q{SELECT count(rswebhook_send(jsonb_build_object('type', 'track',
            'userId', CASE WHEN i <= 30 THEN 'bad%1$d_' || i ELSE 'good' || i END,
            'appendPath', CASE WHEN i <= 30 THEN 'status/500/flooded' ELSE 'ok/flooded' END), 'flooded'))
        FROM generate_series(%2$d, 33) i}, $round, $round == 0 ? 31 : 1);
    wait_for('the good ones', sub { $receiver->requests_to('/ok/flooded') == 3 || bad('flooded') > 1000 }) if $round == 0;
}
ok(wait_for('the good ones', sub { $receiver->requests_to('/ok/flooded') == 63 || bad('flooded') > 1000 }), 'they wait for no breaker');
is(scalar($receiver->requests_to('/ok/flooded')), 63, 'all of them');
query($node, q{SELECT rswebhook_pause('flooded')});

# Requests that hang take no more than a part of what the destination allows
add_destination($node, 'hung', $receiver->url('/'), { timeout => '1500 ms' });
my $to_hung = q{SELECT count(rswebhook_send(jsonb_build_object('type', 'track', 'userId', '%1$s' || i, 'appendPath', '%2$s/hung'), 'hung')) FROM generate_series(1, %3$d) i};
foreach my $round (1 .. 2)
{
    query($node, sprintf $to_hung, 'good', 'ok', 10);
    ok(wait_for('the good ones', sub { $receiver->requests_to('/ok/hung') == 10 * $round }), 'good users');
}
query($node, sprintf $to_hung, 'hangs', 'hang', 300);
my $timed_out = q{SELECT count(*) FROM rswebhook.delivery WHERE destination_id = rswebhook.destination_id('hung') AND outcome = 'retry'};
ok(wait_for('time-outs', sub { query($node, $timed_out) >= 20 }), 'and others, whose requests hang');
foreach my $round (3 .. 6)
{
    my $hanging = () = $receiver->requests_to('/hang/hung');

    query($node, sprintf $to_hung, 'good', 'ok', 10);
    wait_for('the good ones', sub { $receiver->requests_to('/ok/hung') == 10 * $round || $receiver->requests_to('/hang/hung') > $hanging + 100 });
    is(scalar($receiver->requests_to('/ok/hung')), 10 * $round, 'those do not wait for these');
}
query($node, q{SELECT rswebhook_pause('hung')});

# Nor do the failures of a single user open it
add_destination($node, 'single', $receiver->url('/'), { %quick, max_backoff => '500 ms' });
send_to('single', '/status/500/single', 5, 'bad', 1);
ok(wait_for('a user that fails', sub { bad('single') >= 30 }), 'a user fails often');
is(query($node, q{SELECT count(*) FROM rswebhook.breaker WHERE destination_id = rswebhook.destination_id('single')}),
    '0', 'which is no reason to hold up others');
query($node, q{SELECT rswebhook_pause('single')});

#
# Without a breaker: what little may be sent is shared
#
my %narrow = (rate_limit => { rate_limit => 20 }, max_in_flight => { max_in_flight => 1 });
foreach my $bound (sort keys %narrow)
{
    add_destination($node, $bound, $receiver->url('/'), { %quick, breaker_failures => 0, %{ $narrow{$bound} } });
    send_to($bound, "/delay/20/status/500/$bound", 150, 'bad');
    ok( wait_for_query($node, qq{SELECT count(*) FROM rswebhook.queue
            WHERE destination_id = rswebhook.destination_id('$bound') AND attempts = 0}, '0'),
        "$bound: many fail");
    my $all = bad($bound);
    ok(wait_for('retries', sub { bad($bound) >= $all + 100 }), 'and are tried again');
    cmp_ok(bad_before_good($bound), '<=', 10, 'a good one is among the next');
    cmp_ok(bad_before_good($bound), '<=', 10, 'another one, too');
    query($node, "SELECT rswebhook_pause('$bound')");
}

#
# More failing users than are kept in memory, which have been tried before; the last
# hundred of them have two more events
#
my $users = 50_100;
foreach my $ordered ('true', 'false')
{
    my $name = "crowd $ordered";

    add_destination($node, $name, $receiver->url('/'),
        { min_backoff => '10 min', max_backoff => '10 min', breaker_failures => 0, ordered => $ordered });
    my $first = $sent + 1;
    # in one transaction: an edit of the destination, as by pause and resume, would hasten them
    query($node, join(';', 'BEGIN', sending($name, "/ok/$name", $users, 'bad'),
        (map { sending($name, "/ok/$name", 100, 'bad', undef, $users - 100) } 1 .. 2), qq{
        UPDATE rswebhook.queue AS q SET attempts = 1, first_attempt_at = now(),
            retry_at = now() + interval '10 min'
        WHERE destination_id = rswebhook.destination_id('$name') AND event_id <
            (SELECT event_id FROM rswebhook.queue WHERE destination_id = rswebhook.destination_id('$name')
             ORDER BY event_id OFFSET $users LIMIT 1)}, 'COMMIT'));
    send_to($name, "/ok/good/$name", 1, 'good');
    ok(wait_for('the good one', sub { requests_of("/ok/good/$name") == 1 }), "$name: a good one goes");
    # one that began before all of these, and commits after them
    my $late = Session->new($node);
    $late->query('BEGIN');
    $late->query(sending($name, "/ok/late/$name", 1, 'late'));
    send_to($name, "/ok/good/$name", 1, 'good');
    ok(wait_for('the next good one', sub { requests_of("/ok/good/$name") == 2 }), 'another one');
    $late->query('COMMIT');
    $late->close;
    ok(wait_for('the late one', sub { requests_of("/ok/late/$name") == 1 }), 'and one that has committed late');
    cmp_ok(largest(worker_pids($node), 'RssAnon'), '<', 150_000, 'no worker is large');

    # their retries are hastened by hand
    query($node, qq{
        WITH hastened AS (
            UPDATE rswebhook.queue AS q SET retry_at = now()
            WHERE destination_id = rswebhook.destination_id('$name') AND attempts > 0 AND event_id >=
                (SELECT event_id FROM rswebhook.queue WHERE destination_id = rswebhook.destination_id('$name')
                 AND attempts > 0 ORDER BY event_id DESC OFFSET 99 LIMIT 1)
            RETURNING q.event_id)
        SELECT rswebhook.notify_worker(rswebhook.destination_id('$name'), min(event_id), max(event_id))
        FROM hastened});
    ok(wait_for_query($node, qq{
            SELECT count(*) FROM rswebhook.queue WHERE destination_id = rswebhook.destination_id('$name')},
            $users - 100), 'those whose retries come go, and what waits behind them');
    my %seen;
    my $wrong = 0;
    foreach my $id (map { $_->{headers}{'webhook-id'} =~ /(\d+)$/ } requests_of("/ok/$name"))
    {
        my $user = ($id - $first) < $users ? $id - $first : $users - 100 + ($id - $first - $users) % 100;

        $wrong++ if ($seen{$user} // 0) > $id;
        $seen{$user} = $id;
    }
    is(scalar(keys %seen), 100, 'of a hundred users');
    is($wrong, 0, 'each in order') if $ordered eq 'true';
    query($node, "SELECT rswebhook_pause('$name')");
}

done_testing();

# The statement that sends so many events to a path, each of another user if it is not
# said of how many
sub sending
{
    my ($destination, $path, $number, $kind, $nusers, $skipped) = @_;
    my $url = $receiver->url($path =~ s/ /%20/gr);
    my $first = $sent + 1;

    $sent += $number;
    $nusers //= $number;
    $skipped //= 0;
    return qq{
        SELECT count(rswebhook_send(jsonb_build_object('type', 'track', 'messageId', 'fail-' || n,
            'userId', '$kind ' || $skipped + (n - $first) % $nusers, 'fullPath', '$url'), '$destination'))
        FROM generate_series($first, $sent) AS n};
}

sub send_to
{
    query($node, sending(@_));
    return;
}

sub requests_of
{
    my ($path) = @_;
    my $target = $path =~ s/ /%20/gr;

    return grep { $_->{target} eq $target } $receiver->requests;
}

# Requests that failed
sub bad
{
    my ($destination) = @_;

    return scalar grep { $_->{target} =~ m{/status/500/$destination$} } $receiver->requests;
}

# How many fail from when a good event is sent until it comes
sub bad_before_good
{
    my ($destination) = @_;
    my $seen = $receiver->requests;
    my $bads = bad($destination);
    my $good = qr{^/ok/$destination$};
    my $between = 0;

    send_to($destination, "/ok/$destination", 1, 'good');
    wait_for('a good one', sub {
            my @since = $receiver->requests;

            splice @since, 0, $seen;
            return bad($destination) > $bads + 100 || grep { $_->{target} =~ $good } @since;
        });
    foreach my $request (($receiver->requests)[ $seen .. $receiver->requests - 1 ])
    {
        last if $request->{target} =~ $good;
        $between++ if $request->{target} =~ m{/status/500/$destination$};
    }
    return $between;
}
