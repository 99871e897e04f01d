# Whatever number a column takes, the worker can compute with it: it delivers at
# both ends of each range, and can be ended at once beside them.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Test::More;

my $receiver = new_receiver();
my $node = new_node('numbers');

# Each at both ends, where all goes well
my %ends = (
    max_in_flight => [ 1, 10000 ],
    rate_limit => [ '1e-6', '1e6' ],
    connect_timeout => [ undef, '1 h' ],
    timeout => [ undef, '1 h' ],
    low_speed_limit => [ 0, 2147483647 ],
    low_speed_time => [ '1 s', '1 h' ],
    max_redirects => [ 0, 5 ],
    retry_after_factor => [ 0, 1000 ],
    retry_window => [ 0, '365 days' ],
    min_attempts => [ 1, 10000 ],
    breaker_failures => [ 0, 2147483647 ],
    expires_after => [ undef, '36500 days' ],
    disable_after => [ undef, '365 days' ]);
my @good;
foreach my $column (sort keys %ends)
{
    foreach my $value (grep { defined } @{ $ends{$column} })
    {
        add_destination($node, "$column $value", $receiver->url('/ok'), { $column => $value });
        push @good, "$column $value";
    }
}
add_destination($node, 'min_backoff', $receiver->url('/first/3/500'),
    { min_backoff => '1 ms', max_backoff => '1 ms', breaker_failures => 0 });
push @good, 'min_backoff';
query($node, q{SELECT rswebhook_send('{"type": "track", "userId": "a"}')});
ok(wait_until_sent($node), 'all are served');
is(query($node, q{
        SELECT count(*) FROM rswebhook.delivery WHERE outcome = 'delivered'}),
    scalar @good, 'at both ends of each range');

# More attempts than can be counted
add_destination($node, 'uncounted', $receiver->url('/first/1/500/uncounted'), { min_backoff => '1 ms', max_backoff => '1 ms', paused => 1 });
my $uncounted = send_event($node, { type => 'track', userId => 'a' }, 'uncounted');
query($node, qq{
    UPDATE rswebhook.queue SET attempts = 2147483647 WHERE event_id = $uncounted;
    SELECT rswebhook_resume('uncounted')});
ok(wait_until_sent($node), 'an event of which no more attempts can be counted is sent');
is(query($node, "SELECT string_agg(outcome || ' ' || attempt, ', ' ORDER BY started_at) FROM rswebhook.delivery WHERE event_id = $uncounted"),
    'retry 2147483647, delivered 2147483647', 'and tried again');

# Where it goes wrong: tried, and the worker goes on
my @failing = (
    [ 'longest pause', '/status/500', { min_backoff => '1 day', max_backoff => '7 days' } ],
    [ 'asked for ever', '/retry-after/429/99999999999999999999',
        { min_backoff => '1 day', max_backoff => '7 days', retry_after_factor => 1000, retry_window => '365 days' } ],
    [ 'asked for a date', '/retry-after/503/Fri,%2031%20Dec%209999%2023:59:59%20GMT',
        { max_backoff => '7 days', retry_after_factor => 1000, breaker_failures => 1 } ],
    [ 'asked for nothing', '/retry-after/503/3600', { retry_after_factor => 0, breaker_failures => 1 } ],
    [ 'shortest timeouts', '/hang', { timeout => '1 ms', connect_timeout => '1 ms' } ]);
foreach (@failing)
{
    my ($name, $path, $columns) = @$_;

    add_destination($node, $name, $receiver->url($path), $columns);
    query($node, "SELECT rswebhook_send('{\"type\": \"track\"}', '$name')");
    ok( wait_for_query($node, qq{
            SELECT count(*) > 0 FROM rswebhook.delivery WHERE outcome = 'retry' AND destination_id =
                (SELECT id FROM rswebhook.destination WHERE name = '$name')}, 't'),
        "$name: it is tried");
    is(query($node, qq{
            SELECT count(*) FROM rswebhook.queue WHERE retry_at NOT BETWEEN now() AND now() + interval '366 days'}),
        '0', "$name: and again in time");
}
add_destination($node, 'at once', $receiver->url('/status/500'), { retry_window => 0, min_attempts => 1 });
my $id = send_event($node, { type => 'track' }, 'at once');
ok(wait_for_query($node, "SELECT outcome FROM rswebhook.delivery WHERE event_id = $id", 'aborted'),
    'no window, one attempt');

# The one of 12 days waits, by a rate that is close to none
query($node, q{SELECT rswebhook_send('{"type": "track"}', 'rate_limit 1e-6')});
my $owed = q{SELECT count(*) FROM rswebhook.queue JOIN rswebhook.destination AS d ON d.id = destination_id
             WHERE name = 'rate_limit 1e-6'};
send_event($node, { type => 'track' }, 'timeout 1 h');
ok( wait_for_query($node, q{
        SELECT count(*) FROM rswebhook.delivery WHERE destination_id =
            (SELECT id FROM rswebhook.destination WHERE name = 'timeout 1 h')}, '2'),
    'others do not wait for it');
is(query($node, $owed), '1', 'it waits');

# What a send takes
my %sent = map { my ($name, $arguments) = @$_;
    $name => query($node, qq{SELECT rswebhook_send('{"type": "track"}', 'timeout 1 h', $arguments)}) }
  ([ past => q{deliver_after => '-infinity'} ], [ future => q{deliver_after => now() + interval '1 year'} ],
    [ long => q{expires_after => '36500 days'} ], [ short => q{expires_after => '1 us'} ]);
foreach ([ past => 'delivered' ], [ long => 'delivered' ], [ short => 'aborted' ])
{
    my ($name, $outcome) = @$_;

    ok( wait_for_query($node, "SELECT outcome FROM rswebhook.delivery WHERE event_id = $sent{$name}", $outcome),
        "sent with times that are extreme: $name");
}
is(query($node, "SELECT count(*) FROM rswebhook.queue WHERE event_id = $sent{future}"), '1',
    'in a year, not now');

# What no check can see: rows that somebody edited
add_destination($node, 'edited', $receiver->url('/ok'),
    { min_backoff => '50 ms', max_backoff => '100 ms', retry_after_factor => 1, expires_after => '1 h' });
query($node, q{SELECT rswebhook_pause('edited')});
my @times = map { ("'$_'", "'-$_'") } 'infinity';
push @times, q{'250000-01-01'}, q{'4713-01-01 BC'}, 'NULL';
foreach my $column (qw(retry_at first_attempt_at expires_at queued_at))
{
    foreach my $value (grep { $column ne 'queued_at' || $_ ne 'NULL' } @times)
    {
        my $edited = send_event($node, { type => 'track' }, 'edited');

        query($node, "UPDATE rswebhook.queue SET $column = $value, attempts = 1 WHERE event_id = $edited");
    }
}
query($node, q{
    INSERT INTO rswebhook.breaker
    SELECT id, 2147483647, '-infinity', 'infinity', 'by hand' FROM rswebhook.destination WHERE name = 'edited'});
query($node, q{UPDATE rswebhook.destination SET paused = false WHERE name = 'edited'});
my $left = q{SELECT count(*) FROM rswebhook.queue JOIN rswebhook.destination AS d ON d.id = destination_id
             WHERE name = 'edited'};
ok(wait_for_query($node, $left, '0'), 'rows with impossible times wait no longer than their destination has it');
is(query($node, q{
        SELECT string_agg(DISTINCT error, '') FROM rswebhook.delivery JOIN rswebhook.destination AS d ON d.id = destination_id
        WHERE name = 'edited' AND outcome <> 'delivered'}),
    'the event expired before it could be delivered', 'or are over by the same times');
query($node, q{
    INSERT INTO rswebhook.breaker
    SELECT id, -2147483648, 'infinity', '-infinity', 'by hand' FROM rswebhook.destination WHERE name = 'edited'});
query($node, q{SELECT rswebhook_send('{"type": "track"}', 'edited');
               UPDATE rswebhook.destination SET max_in_flight = 5 WHERE name = 'edited'});
ok(wait_for_query($node, $left, '0'), 'so does a breaker');

# One that came past the constraints, which no worker survived, cannot be used
my @rates = qw(1e-13 1e-300 -1 NaN);
foreach my $rate (@rates)
{
    add_destination($node, "rate $rate", $receiver->url('/ok'), { paused => 'true' });
    send_event($node, { type => 'track' }, "rate $rate") foreach 1 .. 3;
}
query($node, q{
    ALTER TABLE rswebhook.destination DROP CONSTRAINT destination_rate_limit_check;
    ALTER TABLE rswebhook.destination DISABLE TRIGGER destination_check;
    UPDATE rswebhook.destination SET rate_limit = substr(name, 6)::double precision, paused = false
        WHERE name LIKE 'rate %';
    ALTER TABLE rswebhook.destination ENABLE TRIGGER destination_check});
foreach my $rate (@rates)
{
    ok( wait_for("a word about $rate", sub {
            $node->log_contains(qr/cannot use destination "rate $rate": Column "rate_limit" is invalid/) }),
        "a rate of $rate is reported");
}
send_event($node, { type => 'track' }, 'timeout 1 h') foreach 1 .. 3;
ok( wait_for_query($node, q{
        SELECT count(*) FROM rswebhook.queue JOIN rswebhook.destination AS d ON d.id = destination_id
        WHERE name = 'timeout 1 h'}, '1'),
    'and holds up nobody');

# With all this in their memory, the workers leave when told to
my $old = worker_pids($node);
query($node, "SELECT pg_terminate_backend(pid::integer) FROM regexp_split_to_table('$old', ' ') AS pid");
ok(await_others($node, $old), 'SIGTERM ends the workers');
send_event($node, { type => 'track' }, 'timeout 1 h');
ok( wait_for_query($node, q{
        SELECT count(*) FROM rswebhook.queue JOIN rswebhook.destination AS d ON d.id = destination_id
        WHERE name = 'timeout 1 h'}, '1'),
    'the next ones deliver');
query($node, q{UPDATE rswebhook.destination SET rate_limit = NULL WHERE name LIKE 'rate %'});
ok( wait_for_query($node, q{
        SELECT count(*) FROM rswebhook.queue JOIN rswebhook.destination AS d ON d.id = destination_id
        WHERE name LIKE 'rate %'}, '0'),
    'and those as well once they are corrected');
ok(eval { $node->stop('fast'); 1 }, 'a fast shutdown ends all') or $node->stop('immediate');

done_testing();
