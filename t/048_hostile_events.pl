# Events that are small and would come to a lot: whatever becomes of each, the
# worker's memory stays within its bound, and others get theirs meanwhile.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use Nginx;
use RswebhookTest;
use Test::More;

plan skip_all => 'needs nginx' unless defined Nginx::program();

# As the reference has it: three times max_in_flight_size, a few requests of the
# greatest size, and what a worker has anyway; kB
my $bound = (3 * 64 + 6 * 4 + 24) * 1024;
$bound *= 3 if $ENV{RSWEBHOOK_SANITIZED};

# It answers before it has read all, and is to read the rest however slow we are
my $nginx = Nginx->new(temp_dir('nginx'),
    server => 'large_client_header_buffers 4 128k; lingering_timeout 5m; lingering_time 10m;');
my $node = new_node('hostile_events', conf => "max_wal_size = 4GB\n");
my $secret = query($node, 'SELECT rswebhook_generate_secret()');
my %method = (posts => 'POST', puts => 'PUT', signed => 'PATCH', gets => 'GET', deletes => 'DELETE');

foreach my $name (sort keys %method)
{
    add_destination($node, $name, $nginx->url("/$name"), { method => $method{$name}, ordered => 0, timeout => '10 min',
        $name eq 'signed' ? (signing_secrets => qq(["$secret"])) : () });
}
add_destination($node, 'neighbour', $nginx->url('/neighbour'));
query($node, q{
    CREATE FUNCTION many(n int, value jsonb) RETURNS jsonb LANGUAGE sql AS
        $$ SELECT jsonb_agg(value) FROM generate_series(1, n) $$;
    -- the same under many names: of a body, of params, of headers, of a path
    CREATE FUNCTION everywhere(v jsonb) RETURNS jsonb LANGUAGE sql AS
        $$ SELECT jsonb_build_object('type', 'track', 'a', v, 'properties', jsonb_build_object('a', v)) $$;
    CREATE TABLE hostile (name text, event jsonb, times int)});
query($node, $_) foreach (
    q{INSERT INTO hostile VALUES
      ('numbers', everywhere(many(4000, '1e131071')), 6),
      ('many numbers', everywhere(many(20000, '1e131071')), 6),
      ('small numbers', everywhere(many(4000, '1e-16383')), 6),
      ('digits', everywhere(many(10, repeat('1234567890', 10000)::jsonb)), 6),
      ('numbers just short enough', everywhere(many(15000, '1e98')), 6),
      ('control characters', jsonb_build_object('type', 'track', 'a', repeat(E'\x01', 600000)), 8),
      ('control characters in params', everywhere(to_jsonb(repeat(E'\x01', 60000))), 10),
      ('header', jsonb_build_object('type', 'track', 'header', jsonb_build_object('x', many(4000, '1e131071'))), 10),
      ('headers', jsonb_build_object('type', 'track', 'header',
          (SELECT jsonb_object_agg('x' || n, '[1e131071]'::jsonb) FROM generate_series(1, 30000) n)), 10),
      ('header names', jsonb_build_object('type', 'track', 'header', jsonb_build_object(repeat('x', 900000), 1)), 10),
      ('path', jsonb_build_object('type', 'track', 'appendPath', many(40000, '1e131071')), 10),
      ('id', jsonb_build_object('type', 'track', 'anonymousId', many(40000, '1e131071'), 'userId', 1e131071), 10),
      ('address', jsonb_build_object('type', 'track', 'request_ip', many(10000, '1e98')), 10),
      ('names', jsonb_build_object('type', 'track', 'properties', jsonb_build_object(repeat('k', 400000), many(600, '1'))), 28),
      ('many names', jsonb_build_object('type', 'track', 'properties', many(200000, 'true')), 10),
      ('keys', jsonb_build_object('type', 'track', 'properties',
          (SELECT jsonb_object_agg('k' || n, true) FROM generate_series(1, 60000) n)), 10),
      ('top keys', (SELECT jsonb_object_agg('k' || n, true) FROM generate_series(1, 60000) n), 10),
      ('nothing but brackets', everywhere(many(60000, '[]')), 10)},
    q{INSERT INTO hostile SELECT 'depth', everywhere((repeat('{"a":', 1500) || many(60000, 'true') || repeat('}', 1500))::jsonb), 10});

my $pids = worker_pids($node);
my ($seen, $left) = (0, 1);

note('before: ' . anonymous() . ' kB');
foreach my $name (map { $_->{name} } query_rows($node, 'SELECT name FROM hostile ORDER BY name'))
{
    # headers as they can be stored, by whatever means, and would be refused
    query($node, qq{
        BEGIN;
        CREATE TEMP TABLE sent ON COMMIT DROP AS
            SELECT rswebhook_send(event - 'header', d) AS id, event FROM hostile, generate_series(1, times),
                unnest(ARRAY['posts', 'puts', 'signed', 'gets', 'deletes']) d WHERE name = '$name';
        UPDATE rswebhook.event e SET event = sent.event FROM sent WHERE e.id = sent.id AND sent.event ? 'header';
        COMMIT});
    send_event($node, { type => 'track', userId => $name }, 'neighbour');
    anonymous();
}
while ($left > 0)
{
    my $before = $left = owed();

    last unless $left == 0 || wait_for("fewer than $before", sub { anonymous(); ($left = owed()) < $before });
}
is($left, 0, 'what becomes of them is decided');
is(worker_pids($node), $pids, 'the workers are the same');

# what came between two looks is in the high-water mark, with what is not the process' own
my ($most) = sort { $b <=> $a }
  map { process_field($_, 'VmHWM') - process_field($_, 'RssFile') - process_field($_, 'RssShmem') } split / /, $pids;
note("seen: $seen kB, by the high-water mark: $most kB, in the end: " . anonymous() . ' kB');
$most = $seen if $seen > $most;
cmp_ok($most, '<', $bound, "at most $most kB are a worker's own");
is(query($node, "SELECT count(*) FROM rswebhook.delivery JOIN rswebhook.destination ON id = destination_id
    WHERE name = 'neighbour' AND outcome = 'delivered'"), query($node, 'SELECT count(*) FROM hostile'), 'others got theirs');
is(query($node, q{
        SELECT string_agg(DISTINCT outcome, ' ' ORDER BY outcome) FROM rswebhook.delivery}), 'aborted delivered',
    'none of them needed a second look');
foreach (query_rows($node, q{
        SELECT h.name, d.name AS destination, v.outcome, v.error, count(*)
        FROM rswebhook.delivery v JOIN rswebhook.event e ON e.id = v.event_id JOIN rswebhook.destination d ON d.id = v.destination_id
        JOIN hostile h ON h.event = e.event GROUP BY 1, 2, 3, 4 ORDER BY 1, 2}))
{
    note("$_->{count} of $_->{name} to $_->{destination}: $_->{outcome} " . ($_->{error} // ''));
    next if $_->{outcome} eq 'delivered';
    like($_->{error}, qr/(more|longer) than \d+ /, "$_->{name} to $_->{destination} says what is too much");
}

# What could never be sent is refused at once
foreach ('many(45000, \'1e98\')', 'to_jsonb(repeat(E\'\x01\', 900000))', 'many(600, to_jsonb(repeat(E\'\x02\', 1200)))')
{
    my ($status, undef, $error) = $node->psql('postgres', "SELECT rswebhook_send(jsonb_build_object('a', $_), 'posts')");

    like($error, qr/ERROR:  request would have more than 4194304 bytes\n.*\nHINT:  Send less, or raise rswebhook.max_request_size/,
        "$_ is refused");
}
query($node, q{ALTER SYSTEM SET rswebhook.max_request_size = '8MB'});
$node->reload;
ok(wait_for_query($node, 'SHOW rswebhook.max_request_size', '8MB'), 'a larger limit');
my $receiver = new_receiver();
add_destination($node, 'exact', $receiver->url('/ok'));
query($node, q{SELECT rswebhook_send(jsonb_build_object('a', repeat(E'\x01', 900000)), 'exact')});
ok(wait_until_sent($node), 'has it sent');
is(join(' ', map { length $_->{body} } $receiver->requests), 8 + 6 * 900_000, 'all of it');

# an event that was accepted before the limit was lowered
query($node, q{SELECT rswebhook_pause('posts'); SELECT rswebhook_send(jsonb_build_object('a', repeat('x', 900000)), 'posts')});
query($node, q{ALTER SYSTEM SET rswebhook.max_request_size = '64kB'});
$node->reload;
ok(wait_for_query($node, 'SHOW rswebhook.max_request_size', '64kB'), 'a smaller limit');
query($node, q{SELECT rswebhook_resume('posts')});
ok(wait_until_sent($node), 'what is too large now');
is(query($node, 'SELECT outcome || $$ $$ || error FROM rswebhook.delivery ORDER BY event_id DESC LIMIT 1'),
    'aborted request would have more than 65536 bytes', 'is given up');

done_testing();

sub owed
{
    return query($node, 'SELECT count(*) FROM rswebhook.queue');
}

sub anonymous
{
    my $now = largest($pids, 'RssAnon');

    $seen = $now if $now > $seen;
    return $now;
}
