# A destination that fails as a whole is backed off as a whole: one probe at a
# time, and its queued rows stay as they are.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Test::More;

my $receiver = new_receiver();
my $node = new_node('breaker');
my $sent = 0;

# Backed off by the destination's back-off
$receiver->switch('down', '/status/503');
add_destination($node, 'down', $receiver->url('/switch/down'),
    { min_backoff => '500 ms', max_backoff => '800 ms', breaker_failures => 5, max_in_flight => 4 });
is(state_of('down'), 'active|closed||', 'closed at first');
send_many('down', 200);
ok(wait_for_query($node, breaker_is('down'), 'open'), 'it opens after some failures');
is(query($node, q{
        SELECT state, breaker_opened_at <= now(), breaker_next_probe_at > breaker_opened_at, breaker_reason
        FROM rswebhook.status WHERE destination = 'down'}),
    'backed off|t|t|HTTP status 503', 'the view says since when, until when and why');
is(query($node, q{
        SELECT failures >= 5, opened_at <= now(), next_probe_at > opened_at, reason FROM rswebhook.breaker}),
    't|t|t|HTTP status 503', 'so does the table');
ok( wait_for('four probes', sub { $receiver->requests_to('/switch/down') >= 5 + 4 + 4 }),
    'it is probed');
my @times = map { $_->{t} } $receiver->requests_to('/switch/down');
my @probes = @times[ 8 .. $#times ];
is((grep { $probes[$_] - $probes[ $_ - 1 ] < 0.25 } 1 .. $#probes) + 0, 0,
    'one at a time, at a distance');
my $tried = query($node, q{SELECT count(*) FROM rswebhook.queue WHERE attempts > 0});
cmp_ok($tried, '<=', $receiver->requests_to('/switch/down') + 0, 'the others\' rows are as they were');
is(query($node, q{SELECT count(*) FROM rswebhook.queue WHERE attempts > 2 AND retry_at IS NULL}), '0',
    'all of them');

# A restart changes nothing
my $opened_at = query($node, q{SELECT opened_at FROM rswebhook.breaker});
$node->restart;
ok(await_workers($node), 'the workers are back');
my $before = $receiver->requests_to('/switch/down');
ok( wait_for('two probes', sub { $receiver->requests_to('/switch/down') >= $before + 2 }),
    'it is probed after a restart');
is(query($node, q{SELECT opened_at FROM rswebhook.breaker}), $opened_at, 'open since then');
@times = map { $_->{t} } $receiver->requests_to('/switch/down');
is((grep { $times[$_] - $times[ $_ - 1 ] < 0.25 } $before + 1 .. $#times) + 0, 0,
    'one at a time, at a distance');

# A good answer closes it
$receiver->switch('down', '/ok');
ok(wait_until_sent($node), 'when it is up again all are delivered');
is(state_of('down'), 'active|closed||', 'and it is closed');
is(query($node, q{SELECT count(*) FROM rswebhook.breaker}), '0', 'in the table, too');
my @accepted = grep { $_->{accepted} } $receiver->requests_to('/switch/down');
is(scalar @accepted, 200, 'each event once');

# Long waits can be cut short by hand
my %patient = (min_backoff => '1 h', max_backoff => '1 h', breaker_failures => 5, max_in_flight => 1);
$receiver->switch('long', '/close');
add_destination($node, 'long', $receiver->url('/switch/long'), \%patient);
send_many('long', 50);
ok(wait_for_query($node, breaker_is('long'), 'open'), 'it opens when there is no answer');
like(query($node, q{SELECT breaker_reason FROM rswebhook.status WHERE destination = 'long'}),
    qr/\w/, 'and says why');
$receiver->switch('long', '/ok');
query($node, q{SELECT rswebhook_resume('long')});
ok(wait_until_sent($node), 'rswebhook_resume() closes it, and all are delivered, retries as well');

# Retry-After of 429 speaks for all
add_destination($node, 'busy', $receiver->url('/retry-after/429/30'),
    { min_backoff => '100 ms', max_backoff => '10 s', breaker_failures => 5, max_in_flight => 1 });
send_many('busy', 20);
ok(wait_for_query($node, breaker_is('busy'), 'open'), '429 with Retry-After opens it');
is(query($node, q{
        SELECT next_probe_at - opened_at BETWEEN '9 s' AND '11 s' FROM rswebhook.breaker}),
    't', 'until then, within bounds');
query($node, q{DELETE FROM rswebhook.queue});

# What is one event's fault does not
my %strict = (min_backoff => '1 h', max_backoff => '1 h', breaker_failures => 5);
foreach my $path ('/status/400', '/status/404', '/status/429', '/status/408')
{
    add_destination($node, $path, $receiver->url($path), \%strict);
    send_many($path, 50);
    ok( wait_for_query($node, "SELECT count(DISTINCT event_id) FROM rswebhook.delivery WHERE destination_id =
                              (SELECT id FROM rswebhook.destination WHERE name = '$path')", '50'),
        "$path: all are tried");
    is(state_of($path), 'active|closed||', "$path does not open it");
}
add_destination($node, 'mixed', $receiver->url('/flaky/70/500'), { %strict, breaker_failures => 40 });
send_many('mixed', 300);
ok( wait_for_query($node, q{SELECT count(DISTINCT event_id) FROM rswebhook.delivery WHERE destination_id =
                           (SELECT id FROM rswebhook.destination WHERE name = 'mixed')}, '300'),
    'nor does a receiver that sometimes works');

# It can be switched off
add_destination($node, 'none', $receiver->url('/status/500'), { %strict, breaker_failures => 0 });
send_many('none', 100);
ok( wait_for_query($node, q{SELECT count(DISTINCT event_id) FROM rswebhook.delivery WHERE destination_id =
                           (SELECT id FROM rswebhook.destination WHERE name = 'none')}, '100'),
    'without a breaker all are tried');

# A destination that is deleted leaves no breaker behind
query($node, q{DELETE FROM rswebhook.destination WHERE name = 'busy'});
ok(wait_for_query($node, q{SELECT count(*) FROM rswebhook.breaker}, '0'), 'no breaker is left behind');

done_testing();

sub send_many
{
    my ($destination, $number) = @_;
    my $first = $sent + 1;

    $sent += $number;
    query($node, qq{
        SELECT count(rswebhook_send(jsonb_build_object('type', 'track', 'messageId', 'breaker-' || n,
            'userId', 'u' || n), '$destination'))
        FROM generate_series($first, $sent) AS n});
    return;
}

sub breaker_is
{
    my ($destination) = @_;

    return "SELECT breaker FROM rswebhook.status WHERE destination = '$destination'";
}

sub state_of
{
    my ($destination) = @_;

    return query($node, qq{
        SELECT state, breaker, breaker_opened_at, breaker_reason
        FROM rswebhook.status WHERE destination = '$destination'});
}
