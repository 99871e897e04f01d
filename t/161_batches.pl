# Several events of a destination go in one request, as an array: each as it would be by itself,
# in order, and what fails together is tried again together under the same id.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use Digest::SHA qw(hmac_sha256 sha256_hex);
use JSON::PP;
use Ledgers;
use List::Util qw(max min sum0 uniq);
use MIME::Base64;
use RswebhookTest;
use Test::More;

my $receiver = new_receiver();
my $node = new_node('batches');
my %quick = (min_backoff => '50 ms', max_backoff => '50 ms', breaker_failures => 0);
my $json = JSON::PP->new->utf8->canonical;
my $names = 0;

# ---------------------------------------------------------------------
# What is sent
# ---------------------------------------------------------------------
my $path = destination(batch_size => 40);
send_numbered($path, 1, 100);
my @requests = sort { first_of($a) <=> first_of($b) } arrived($path, 3);
is(join(' ', map { scalar events_in($_) } @requests), '40 40 20', 'as many in one as may be');
is(ids_of(@requests), ids(1, 100), 'in the order of their ids');
my $plain = "bare$path";
add_destination($node, $plain, $receiver->url('/bare'));
my %alone = map { @$_{qw(id body)} } query_rows($node, qq{
    SELECT event ->> 'messageId' AS id, rswebhook.wire(event, '$plain') ->> 'body' AS body FROM rswebhook.event});
is(join(',', map { substr $_->{body}, 1, -1 } @requests),
    join(',', map { $alone{$_} } split / /, ids(1, 100)), 'each as it would be alone, byte by byte');
foreach my $request (@requests)
{
    is($request->{headers}{'webhook-id'}, id_of_batch(map { $_->{messageId} } events_in($request)),
        'its id is made of those of its events');
    is($request->{headers}{'content-type'}, 'application/json', 'and it is JSON');
}
is(query($node, qq{
        SELECT string_agg(concat_ws(' ', batch_id, batch_size, n, ids), E'\n' ORDER BY first) FROM (
            SELECT batch_id, batch_size, count(*) AS n, min(event_id) AS first, count(DISTINCT event_id) AS ids
            FROM rswebhook.delivery WHERE outcome = 'delivered' AND destination_id = rswebhook.destination_id('$path')
            GROUP BY batch_id, batch_size) AS b}),
    join("\n", map { my $n = events_in($_); "$_->{headers}{'webhook-id'} $n $n $n" } @requests),
    'a row for each event, with the id and the size of its batch');

send_numbered($path, 101, 101);
my ($one) = (arrived($path, 4))[3];
is($one->{headers}{'webhook-id'}, 'm101', 'a batch of one has the id of its event');
is(scalar events_in($one), 1, 'and is an array as well');
is(query($node, q{SELECT count(*) FROM rswebhook.delivery WHERE event_id = (SELECT max(id) FROM rswebhook.event)
        AND outcome = 'delivered' AND batch_id IS NULL AND batch_size IS NULL}), '1', 'its row is as any other');
is(query($node, qq{SELECT rswebhook.wire('{"type": "track", "properties": {}}', '$path') ->> 'body'}),
    '[' . query($node, qq{SELECT rswebhook.wire('{"type": "track", "properties": {}}', '$plain') ->> 'body'}) . ']',
    'as rswebhook.wire() shows it');
is(query($node, qq{SELECT rswebhook_transform('{"type": "track"}', '$path') -> 'body' -> 'JSON'}), '{"type": "track"}',
    'and rswebhook_transform() the event');

# One user's, and without order
foreach my $columns ({}, { ordered => 'false' })
{
    $path = destination(batch_size => 40, %$columns);
    send_numbered($path, 1, 100, user => 'one');
    @requests = arrived($path, 3);
    is(%$columns ? taken($path) : ids_of(@requests), ids(1, 100), 'all of one user');
    is(join(' ', sort map { scalar events_in($_) } @requests), '20 40 40', 'go together, too');
}

foreach my $method ('PUT', 'PATCH')
{
    $path = destination(batch_size => 10, method => $method);
    send_numbered($path, 1, 10);
    @requests = arrived($path, 1);
    is("$requests[0]{method} " . events_in(@requests), "$method 10", "$method has batches");
}

# ---------------------------------------------------------------------
# What fails
# ---------------------------------------------------------------------
$path = destination(batch_size => 20, words => 'first/2/500', %quick);
send_numbered($path, 1, 50, users => 7);
@requests = arrived($path, 9);
my %by_id;
push @{ $by_id{ $_->{headers}{'webhook-id'} } }, $_ foreach @requests;
is(join(' ', map { scalar @$_ } values %by_id), '3 3 3', 'what fails is tried again under its id');
is(join(' ', map { scalar uniq map { $_->{body} } @$_ } values %by_id), '1 1 1', 'with the same events');
in_order('and in order', $path, 50);
is(query($node, qq{SELECT string_agg(DISTINCT concat_ws(' ', outcome, status, attempt), ', ') FROM rswebhook.delivery
        WHERE destination_id = rswebhook.destination_id('$path')}),
    'delivered 200 3, retry 500 1, retry 500 2', 'each attempt of each');

# Also over a restart, and when somebody asks for it
$path = destination(batch_size => 20, words => 'first/1/500', %quick, min_backoff => '1 h', max_backoff => '1 h');
send_numbered($path, 1001, 1030);
arrived($path, 2);
ok(wait_for_query($node, 'SELECT count(*) FROM rswebhook.queue WHERE attempts = 1 AND batch IS NOT NULL', '30'),
    'what has failed waits');
$node->restart;
await_workers($node);
query($node, "SELECT rswebhook_retry('$path')");
@requests = arrived($path, 4);
is(join(' ', sort map { "$_->{headers}{'webhook-id'} $_->{body}" } @requests[ 0, 1 ]),
    join(' ', sort map { "$_->{headers}{'webhook-id'} $_->{body}" } @requests[ 2, 3 ]), 'together, after a restart, too');

# ---------------------------------------------------------------------
# What is not taken
# ---------------------------------------------------------------------
foreach my $status (400, 413)
{
    $path = destination(batch_size => 64, words => "with/m13%22/$status");
    send_numbered($path, 1, 64);
    wait_until_sent($node);
    is(taken($path), join(' ', grep { $_ ne 'm13' } split / /, ids(1, 64)), "$status: all but one are taken");
    is(query($node, qq{SELECT string_agg(concat_ws(' ', e.event ->> 'messageId', outcome, status, batch_size), ', ')
            FROM rswebhook.delivery AS d JOIN rswebhook.event AS e ON e.id = d.event_id
            WHERE outcome = 'aborted' AND destination_id = rswebhook.destination_id('$path')}),
        "m13 aborted $status", 'and that one is given up alone');
    is(scalar requests_to($path), 13, 'by halves');
    like(query($node, qq{SELECT string_agg(DISTINCT error, ', ') FROM rswebhook.delivery
            WHERE outcome = 'retry' AND batch_size = 64 AND destination_id = rswebhook.destination_id('$path')}),
        qr/^HTTP status $status to a batch of 64 events, which are sent again in halves$/, 'as their rows say');
}
$path = destination(batch_size => 50, words => 'over/1000/413', status_outcomes => '{"413": "retry"}');
send_numbered($path, 1, 50, user => 'one');
ok(wait_until_sent($node), 'what is too large for the receiver becomes small, whatever 413 means');
is(taken($path), ids(1, 50), 'in order, of one user');

$path = destination(batch_size => 64, words => 'with/m13%22/400');
send_numbered($path, 1, 64, users => 10);
ok(wait_until_sent($node), 'users with several events in it');
in_order('all arrive but one, in order', $path, 63);

$path = destination(batch_size => 10, words => 'status/401');
send_numbered($path, 1, 10);
wait_until_sent($node);
is(scalar requests_to($path), 1, 'any other answer is for all');
is(query($node, qq{SELECT count(*) FROM rswebhook.delivery WHERE outcome = 'aborted' AND status = 401
        AND destination_id = rswebhook.destination_id('$path')}), '10', 'that were in it');

# ---------------------------------------------------------------------
# What differs
# ---------------------------------------------------------------------
my $base = $receiver->url('');
foreach my $users (100, 9)
{
    $path = destination(batch_size => 30);
    arrived_one($path);
    send_events($path, qq{
        SELECT jsonb_build_object('type', 'track', 'messageId', 'm' || n, 'userId', 'u' || n % $users,
                'fullPath', '$base$path/' || n % 2, 'header', jsonb_build_object('x-third', (n % 3)::text))
        FROM generate_series(1, 60) AS n});
    ok(wait_until_sent($node), 'events with other URLs and headers');
    @requests = grep { $_->{body} !~ /m0"/ } requests_to($path);
    is(taken($path), ids(0, 60), 'all arrive');
    is(scalar(grep { my $r = $_; grep { ($_->{messageId} =~ /(\d+)/)[0] % 2 != substr($r->{target}, -1) ||
                    ($_->{messageId} =~ /(\d+)/)[0] % 3 != $r->{headers}{'x-third'} } events_in($r) } @requests),
        0, 'each with its own');
    cmp_ok(scalar @requests, '<', 60, 'in batches of their kind: ' . @requests);
    in_order('in order', $path, 61);
}

# ---------------------------------------------------------------------
# Meanwhile
# ---------------------------------------------------------------------
$path = destination(batch_size => 10, words => 'first/1/503', %quick, min_backoff => '1 h', max_backoff => '1 h');
query($node, "BEGIN; SELECT " . join(', ', map {
            my $expires = $_ == 5 ? "interval '1500 ms'" : 'NULL';
            qq{rswebhook_send('{"type": "track", "messageId": "m$_", "userId": "u$_"}', '$path', expires_after => $expires)}
        } 1 .. 10) . '; COMMIT');
arrived($path, 1);
wait_for_query($node, 'SELECT count(*) FROM rswebhook.queue WHERE attempts = 1', '10');
query($node, "SELECT rswebhook_cancel(id) FROM rswebhook.event WHERE event ->> 'messageId' = 'm3' ORDER BY id DESC LIMIT 1");
ok(wait_for_query($node, q{SELECT count(*) FROM rswebhook.queue WHERE expires_at < clock_timestamp()}, '1'), 'one expires');
query($node, "SELECT rswebhook_retry('$path')");
@requests = arrived($path, 2);
is(ids_of($requests[1]), 'm1 m2 m4 m6 m7 m8 m9 m10', 'what is cancelled or has expired leaves its batch');
is($requests[1]{headers}{'webhook-id'}, id_of_batch(qw(m1 m2 m4 m6 m7 m8 m9 m10)), 'which is another one then');
query($node, "SELECT rswebhook_retry('$path')") for 1 .. 3;
$receiver->requests;
query($node, "UPDATE rswebhook.destination SET min_backoff = '50 ms', max_backoff = '50 ms' WHERE name = '$path'");
ok(wait_until_sent($node), 'the rest goes');
my $all = requests_to($path);
query($node, "SELECT rswebhook_replay(id) FROM rswebhook.event WHERE event ->> 'messageId' = 'm3' ORDER BY id DESC LIMIT 1");
@requests = arrived($path, $all + 1);
is($requests[-1]{headers}{'webhook-id'}, 'm3', 'what is replayed goes by itself');

# ---------------------------------------------------------------------
# Bounds
# ---------------------------------------------------------------------
$path = destination(batch_size => 1000, batch_bytes => 2000);
send_numbered($path, 1, 100, padding => 100);
send_numbered($path, 101, 101, padding => 5000);
send_numbered($path, 102, 110);
ok(wait_until_sent($node), 'batches have bounds');
@requests = requests_to($path);
is(join(' ', sort { substr($a, 1) <=> substr($b, 1) } map { $_->{messageId} } events_in(@requests)), ids(1, 110), 'all arrive');
my @large = grep { length $_->{body} > 2000 } @requests;
is(ids_of(@large), 'm101', 'what is larger goes by itself');
cmp_ok(scalar(grep { events_in($_) >= 8 } @requests), '>=', 7, 'others are filled');

my $key = 'whsec_' . encode_base64('k' x 32, '');
$path = destination(batch_size => 5, signing_secrets => qq(["$key"]));
send_numbered($path, 1, 5);
my ($signed) = arrived($path, 1);
is($signed->{headers}{'webhook-signature'}, 'v1,' . encode_base64(hmac_sha256(
            join('.', @{ $signed->{headers} }{qw(webhook-id webhook-timestamp)}, $signed->{body}), 'k' x 32), ''),
    'the signature is of the bytes that were sent');

# The rate is of events; a bucket of a tenth of a second, or of batch_wait
$path = destination(batch_size => 1000, rate_limit => 200);
send_numbered($path, 1, 100);
ok(wait_until_sent($node), 'rate_limit');
@requests = requests_to($path);
cmp_ok(max(map { scalar events_in($_) } @requests), '<=', 20, 'counts events');
cmp_ok($requests[-1]{t} - $requests[0]{t}, '>=', 0.35, 'not requests');
cmp_ok(scalar @requests, '<=', 20, 'and batches wait to be filled: ' . @requests);

# batch_wait: an hour is for ever here
$path = destination(batch_size => 20, batch_wait => '1 h');
send_numbered($path, 1, 19);
ok(wait_for_query($node, "SELECT pending FROM rswebhook.status WHERE destination = '$path'", '19'), 'what may be more waits');
like(query($node, q{SELECT why FROM rswebhook_explain((SELECT max(id) FROM rswebhook.event))}),
    qr/; a batch may wait 01:00:00 for more events$/, 'as rswebhook_explain() says');
is(query($node, q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'rswebhook%' AND xact_start IS NOT NULL}), '0',
    'without a transaction');
send_numbered($path, 20, 20);
is(ids_of(arrived($path, 1)), ids(1, 20), 'until it is complete');
query($node, "UPDATE rswebhook.destination SET batch_wait = '300 ms' WHERE name = '$path'");
send_numbered($path, 21, 25);
@requests = arrived($path, 2);
is(ids_of($requests[1]), ids(21, 25), 'or the time is over');
is(query($node, qq{SELECT count(*) FROM rswebhook.delivery AS d JOIN rswebhook.event AS e ON e.id = d.event_id
        WHERE d.batch_size = 5 AND d.destination_id = rswebhook.destination_id('$path')
        AND d.started_at - e.created_at < interval '300 ms'}), '0', 'and not before');

# ---------------------------------------------------------------------
# What is shown
# ---------------------------------------------------------------------
$path = destination(batch_size => 5, words => "until/go");
send_numbered($path, 1, 5);
arrived($path, 1);
is(query($node, qq{SELECT count(DISTINCT event_id) || ' ' || count(DISTINCT since) FROM rswebhook.activity
        WHERE destination = '$path'}), '5 1', 'activity shows each event of a batch');
is(query($node, "SELECT in_flight FROM rswebhook.status WHERE destination = '$path'"), '1', 'status one request');
$receiver->switch('go', '/ok');
ok(wait_until_sent($node), 'it is answered');
is(times_logged($node, qr/\] (?:ERROR|PANIC|WARNING):/), 0, 'no errors');

done_testing();

# So that it is known to answer, and may have more than one request in flight
sub arrived_one
{
    my ($path) = @_;

    send_numbered($path, 0, 0);
    arrived($path, 1);
    wait_until_sent($node);
    return;
}

# A destination, whose name is its path
sub destination
{
    my (%columns) = @_;
    my $words = delete $columns{words};
    my $path;

    $names++;
    $path = defined $words ? "/$words/n$names" : "/n$names";
    add_destination($node, $path, $receiver->url($path), \%columns);
    return $path;
}

sub send_events
{
    my ($to, $select) = @_;

    query($node, "SELECT count(rswebhook_send(e, '$to')) FROM ($select) AS s (e)");
    return;
}

sub send_numbered
{
    my ($to, $from, $upto, %option) = @_;
    my $user = $option{user} ? "'$option{user}'" : $option{users} ? "'u' || n % $option{users}" : "'u' || n";
    my $padding = $option{padding} // 0;

    return send_events($to, qq{SELECT jsonb_build_object('type', 'track', 'messageId', 'm' || n, 'userId', $user)
        || CASE WHEN $padding > 0 THEN jsonb_build_object('pad', repeat('x', $padding)) ELSE '{}' END
        FROM generate_series($from, $upto) AS n});
}

sub requests_to
{
    my ($path) = @_;
    my $plain = $path =~ s/%([0-9A-Fa-f]{2})/%$1/gr;

    return grep { index($_->{target}, $plain) == 0 } $receiver->requests;
}

# The number of its first event; requests that are sent together come as they come.
sub first_of
{
    return $_[0]{body} =~ /"messageId":"m(\d+)"/ ? $1 : 0;
}

# Once there are so many.
sub arrived
{
    my ($path, $count) = @_;

    ok(wait_for("$count requests", sub { requests_to($path) >= $count }), "$count requests");
    return requests_to($path);
}

sub ids
{
    my ($from, $upto) = @_;

    return join ' ', map { "m$_" } $from .. $upto;
}

sub ids_of
{
    return join ' ', map { $_->{messageId} } events_in(@_);
}

# What was accepted, sorted.
sub taken
{
    my ($path) = @_;

    return join ' ', sort { substr($a, 1) <=> substr($b, 1) }
      map { $_->{messageId} } events_in(grep { $_->{accepted} } requests_to($path));
}

sub id_of_batch
{
    return 'rsw_batch_' . substr sha256_hex(join "\n", @_), 0, 32;
}

sub in_order
{
    my ($name, $path, $count) = @_;
    my (%last, $wrong);
    my @events = events_in(grep { $_->{accepted} } requests_to($path));

    foreach my $event (@events)
    {
        my ($n) = $event->{messageId} =~ /(\d+)/;

        $wrong++ if $n <= ($last{ $event->{userId} } // -1);
        $last{ $event->{userId} } = $n;
    }
    is(@events . ' ' . ($wrong // 0), "$count 0", $name);
    return;
}
