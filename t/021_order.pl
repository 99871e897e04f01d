# Events of one user arrive one after the other and in order, whatever happens
# on the way; other users never wait for them.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use JSON::PP;
use RswebhookTest;
use Session;
use Test::More;
use Time::HiRes qw(time);

my $receiver = new_receiver();
my $node = new_node('order');
my %quick = (min_backoff => '100 ms', max_backoff => '100 ms', breaker_failures => 0);
my $hanging = '5 s';    # longer than a busy receiver takes

#
# What is one user's
#
foreach my $ordered ('true', 'false')
{
    add_destination($node, "ordered $ordered", $receiver->url("/ordered/$ordered"),
        { %quick, min_backoff => '1 h', max_backoff => '1 h', ordered => $ordered });
    send_events("ordered $ordered", q{('a1', '/status/500', '{"userId": "a"}', NULL),
        ('a2', '/ok', '{"userId": "a"}', NULL),
        ('b1', '/status/400', '{"userId": "b"}', NULL),
        ('b2', '/ok', '{"userId": "b"}', NULL),
        ('c1', '/status/500', '{"anonymousId": "c"}', NULL),
        ('c2', '/ok', '{"anonymousId": "c"}', NULL),
        ('d1', '/status/500', '{"userId": "d", "anonymousId": "e"}', NULL),
        ('d2', '/ok', '{"userId": "f", "anonymousId": "e"}', NULL),
        ('g1', '/status/500', '{}', NULL),
        ('g2', '/ok', '{}', NULL),
        ('h1', '/status/500', '{"userId": "h"}', 'one'),
        ('h2', '/ok', '{"userId": "h"}', 'other'),
        ('h3', '/ok', '{"userId": "i"}', 'one'),
        ('j1', '/status/500', '{"userId": "j"}', ''),
        ('j2', '/ok', '{"userId": "j"}', '')});
}
my $delivered = q{
    SELECT string_agg(e.event ->> 'messageId', ' ' ORDER BY e.id)
    FROM rswebhook.delivery AS v JOIN rswebhook.event AS e ON e.id = v.event_id
    JOIN rswebhook.destination AS d ON d.id = v.destination_id
    WHERE d.name = '%s' AND v.outcome = 'delivered'};
ok(wait_for_query($node, sprintf($delivered, 'ordered true'), 'b2 d2 g2 h2 j2'),
    'in order: by user, else anonymous user, else by the key that was given');
ok(wait_for_query($node, sprintf($delivered, 'ordered false'), 'a2 b2 c2 d2 g2 h2 h3 j2'),
    'ordered can be switched off');
is(query($node, q{
        SELECT count(*) FROM rswebhook.queue AS q JOIN rswebhook.destination AS d ON d.id = q.destination_id
        WHERE d.name = 'ordered true' AND q.attempts = 0}),
    '3', 'what waits for another one was not tried');
query($node, q{UPDATE rswebhook.destination SET ordered = false WHERE name = 'ordered true'});
ok(wait_for_query($node, sprintf($delivered, 'ordered true'), 'a2 b2 c2 d2 g2 h2 h3 j2'),
    'even for what is queued');
query($node, 'DELETE FROM rswebhook.queue');

# It can be switched on as well: what is in flight then holds up the later ones
add_destination($node, 'becomes', $receiver->url('/ok'),
    { %quick, min_backoff => '1 h', max_backoff => '1 h', timeout => '3 s', ordered => 'false' });
my $before = $receiver->requests_to('/hang');
send_events('becomes', q{('p1', '/hang', '{"userId": "p"}', NULL), ('p2', '/hang', '{"userId": "p"}', NULL)});
ok(wait_for('both requests', sub { $receiver->requests_to('/hang') == $before + 2 }), 'without order, two at once');
query($node, q{UPDATE rswebhook.destination SET ordered = true WHERE name = 'becomes'});
send_events('becomes', q{('p3', '/ok', '{"userId": "p"}', NULL), ('q1', '/ok', '{"userId": "q"}', NULL)});
ok(wait_for_query($node, sprintf($delivered, 'becomes'), 'q1'), 'others are sent while these are in flight');
ok(wait_for_query($node, q{SELECT count(*) FROM rswebhook.queue WHERE attempts > 0}, '2'), 'both have failed');
send_events('becomes', q{('q2', '/ok', '{"userId": "q"}', NULL)});
ok(wait_for_query($node, sprintf($delivered, 'becomes'), 'q1 q2'), 'the later one of their user waits for them');
my $id_of = q{SELECT id FROM rswebhook.event WHERE event ->> 'messageId' = '%s' ORDER BY id DESC LIMIT 1};
query($node, sprintf "SELECT rswebhook_cancel(($id_of))", 'p2');
send_events('becomes', q{('q3', '/ok', '{"userId": "q"}', NULL)});
ok(wait_for_query($node, sprintf($delivered, 'becomes'), 'q1 q2 q3'), 'for both');
query($node, sprintf "SELECT rswebhook_cancel(($id_of))", 'p1');
ok(wait_for_query($node, sprintf($delivered, 'becomes'), 'p3 q1 q2 q3'), 'and goes when nothing is before it');

# One that is cancelled holds up nobody, in flight or not.
add_destination($node, 'cancels', $receiver->url('/ok'),
    { %quick, min_backoff => '1 h', max_backoff => '1 h', timeout => $hanging });
send_events('cancels', q{('k1', '/status/500', '{"userId": "k"}', NULL),
    ('k2', '/hang', '{"userId": "k"}', NULL), ('k3', '/ok', '{"userId": "k"}', NULL)});
ok(wait_for_query($node, q{SELECT count(*) FROM rswebhook.queue WHERE attempts > 0}, '1'), 'one is stuck');
is(query($node, sprintf "SELECT rswebhook_cancel(($id_of))", 'k1'), '1', 'it is cancelled');
ok(wait_for('the next one', sub { $receiver->requests_to('/hang') }), 'the next one goes');
is(query($node, sprintf "SELECT rswebhook_cancel(($id_of))", 'k2'), '1', 'and is cancelled while it hangs');
ok(wait_for_query($node, sprintf($delivered, 'cancels'), 'k3'), 'the one after it goes');
send_events('cancels', q{('l1', '/status/500', '{"userId": "l"}', NULL), ('l2', '/ok', '{"userId": "l"}', NULL)});
ok(wait_for_query($node, q{SELECT count(*) FROM rswebhook.queue WHERE attempts > 0}, '1'), 'one is stuck');
is(query($node, q{SELECT rswebhook_cancel_all('cancels')}), '2', 'all are cancelled');
send_events('cancels', q{('l3', '/ok', '{"userId": "l"}', NULL)});
ok(wait_for_query($node, sprintf($delivered, 'cancels'), 'k3 l3'), 'what comes later goes');

# Nor does one that is edited while it waits let the later ones of its user by.
add_destination($node, 'edited', $receiver->url('/ok'), { %quick, max_in_flight => 1, timeout => $hanging });
send_events('edited', q{('m0', '/hang', '{"userId": "m"}', NULL), ('n1', '/ok', '{"userId": "n"}', NULL),
    ('n2', '/ok', '{"userId": "n"}', NULL), ('n3', '/ok', '{"userId": "n"}', NULL)});
ok(wait_for('the request that hangs', sub { $receiver->requests_to('/hang') > 1 }), 'one hangs');
query($node, sprintf "UPDATE rswebhook.queue SET attempts = 1 WHERE event_id = ($id_of)", 'n1');
query($node, sprintf "UPDATE rswebhook.queue SET ordering_key = 1 WHERE event_id = ($id_of)", 'n2');
ok(wait_for_query($node, sprintf($delivered, 'edited'), 'n1 n2 n3'), 'what was edited is delivered');
is(query($node, sprintf "SELECT rswebhook_cancel(($id_of))", 'm0'), '1', 'nothing else is left');
is(join(' ', grep { /^n/ } map { $_->{headers}{'webhook-id'} } $receiver->requests), 'n1 n2 n3', 'in order');

#
# One request of a user at a time
#
add_destination($node, 'one', $receiver->url('/delay/10/one'));
query($node, q{
    SELECT count(rswebhook_send(jsonb_build_object('type', 'track', 'messageId', 'one-' || n,
                                                   'userId', 'u' || n % 4), 'one'))
    FROM generate_series(1, 80) AS n});
ok(wait_until_sent($node), 'all are delivered');
my (%last_at, $together, %users_at);
foreach my $request ($receiver->requests_to('/delay/10/one'))
{
    my $user = decode_json($request->{body})->{userId};

    $together++ if defined $last_at{$user} && $request->{t} - $last_at{$user} < 0.009;
    $last_at{$user} = $request->{t};
}
is($together // 0, 0, 'one at a time');

#
# Five users are stuck, with many more events each than are kept in memory;
# others are not held up.
#
$receiver->switch('gate', '/status/503');
add_destination($node, 'spill', $receiver->url('/ok'), { %quick, max_in_flight => 8 });
my $early = Session->new($node);
my $middle = Session->new($node);
$early->query('BEGIN');
$early->query(spilling(1, 5, 'early'));
query($node, spilling(1, 2000, 'a'));
$middle->query('BEGIN');
$middle->query(spilling(1, 10, 'middle'));
query($node, spilling(2001, 4000, 'a'));
query($node, spilling_free(1, 500));
ok( wait_for_query($node, q{
        SELECT count(*) FROM rswebhook.delivery AS v JOIN rswebhook.event AS e ON e.id = v.event_id
        WHERE e.event ->> 'messageId' LIKE 'free-%' AND v.outcome = 'delivered'}, '500'),
    'other users do not wait for those that are stuck');
is(query($node, q{SELECT count(*) FROM rswebhook.queue WHERE attempts > 0}), '5',
    'of those only the first were tried');

# Others commit late: before all of them, and amidst those that are not in memory
$early->query('COMMIT');
ok( wait_for_query($node, q{SELECT count(*) FROM rswebhook.queue WHERE attempts > 0}, '10'),
    'what commits late comes first');
$middle->query('COMMIT');
$early->close;
$middle->close;

# The same after a restart
$node->restart;
query($node, spilling(4001, 5000, 'a'));
ok( wait_for_query($node, q{SELECT count(*) FROM rswebhook.queue}, '5015'),
    'after a restart all are owed still');
$receiver->switch('gate', '/ok');
ok(wait_until_sent($node), 'all are delivered');
in_order('spill', 5515);

#
# Ten thousand events of one user at the front
#
my $many = $ENV{RSWEBHOOK_BLOCKED} // 10_000;
$receiver->switch('front', '/status/503');
add_destination($node, 'front', $receiver->url('/ok'), { %quick });
query($node, qq{
    SELECT count(rswebhook_send(jsonb_build_object('type', 'track', 'messageId', 'front-' || n,
        'userId', 'stuck', 'fullPath', '@{[ $receiver->url('/switch/front') ]}'), 'front'))
    FROM generate_series(1, $many) AS n});
query($node, qq{
    SELECT count(rswebhook_send(jsonb_build_object('type', 'track', 'messageId', 'behind-' || n,
        'userId', 'u' || n), 'front'))
    FROM generate_series(1, 200) AS n});
ok( wait_for_query($node, q{
        SELECT count(*) FROM rswebhook.delivery AS v JOIN rswebhook.event AS e ON e.id = v.event_id
        WHERE e.event ->> 'messageId' LIKE 'behind-%' AND v.outcome = 'delivered'}, '200'),
    'events behind them are delivered');
$receiver->switch('front', '/ok');
my $start = time();
ok(wait_until_sent($node), 'when the first can be delivered, all are');
note(sprintf '%.0f events of one user a second', $many / (time() - $start));
in_order('front', $many + 200);

done_testing();

# Events with messageId, path, parts and ordering key as given.
sub send_events
{
    my ($destination, $values) = @_;
    my $base = $receiver->url('');

    query($node, qq{
        SELECT count(rswebhook_send(jsonb_build_object('type', 'track', 'messageId', id, 'fullPath', '$base' || path)
                                    || parts::jsonb, '$destination', ordering_key => key))
        FROM (VALUES $values) AS v (id, path, parts, key)});
    return;
}

sub spilling
{
    my ($from, $to, $what) = @_;
    my $url = $receiver->url('/switch/gate');

    return qq{
        SELECT count(rswebhook_send(jsonb_build_object('type', 'track', 'messageId', '$what-' || n,
            'userId', 'stuck-' || n % 5, 'fullPath', '$url'), 'spill'))
        FROM generate_series($from, $to) AS n};
}

sub spilling_free
{
    my ($from, $to) = @_;

    return qq{
        SELECT count(rswebhook_send(jsonb_build_object('type', 'track', 'messageId', 'free-' || n,
            'userId', 'free-' || n % 50), 'spill'))
        FROM generate_series($from, $to) AS n};
}

# All of a destination's events were taken once, each user's in order of id.
sub in_order
{
    my ($destination, $expected) = @_;
    my %id_of = map { $_->{id} => $_->{n} } query_rows($node, qq{
        SELECT DISTINCT e.event ->> 'messageId' AS id, e.id AS n
        FROM rswebhook.event AS e JOIN rswebhook.delivery AS v ON v.event_id = e.id
        JOIN rswebhook.destination AS d ON d.id = v.destination_id
        WHERE d.name = '$destination'});
    my (%last, %times, @violations);

    foreach my $request ($receiver->requests)
    {
        my $id = $request->{headers}{'webhook-id'};
        my $n = $id_of{$id};
        next unless defined $n && $request->{accepted};

        my ($user) = $request->{body} =~ /"userId": ?"([^"]*)"/;
        push @violations, "$id after $last{$user}[1]"
          if defined $last{$user} && $last{$user}[0] > $n;
        $last{$user} = [ $n, $id ];
        $times{$id}++;
    }
    is(scalar keys %times, $expected, "$destination: all have arrived");
    is((grep { $_ > 1 } values %times) + 0, 0, "$destination: none twice");
    is(scalar @violations, 0, "$destination: each user's in order")
      or diag(join "\n", @violations[ 0 .. ($#violations < 10 ? $#violations : 10) ]);
    return;
}
