# A command that rewrites a table leaves nothing there for older snapshots. The
# worker is stopped between its snapshot and its locks, the table is rewritten,
# and nothing may be missed, given up or overtaken because of that.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Test::More;

my $conf = $ENV{RSWEBHOOK_INJECTED_CONF};
plan skip_all => 'needs a build with -DRSWEBHOOK_INJECTION' unless ($conf // '') ne '';
$ENV{RSWEBHOOK_CONF} = $conf;

my $receiver = new_receiver();
my $node = new_node('rewrites', conf => "allow_in_place_tablespaces = on\n");
my %patient = (min_backoff => '1 h', max_backoff => '1 h', breaker_failures => 0);

add_destination($node, 'sink', $receiver->url('/ok'), \%patient);
add_destination($node, 'gated', $receiver->url('/switch/gate'), \%patient);
send_users('sink', 'warm-up');
ok(wait_until_sent($node), 'it delivers');
query($node, q{CREATE TABLESPACE elsewhere LOCATION ''});

my $slot = query($node, 'SELECT rswebhook.ring_slot(now())');
my $added = 'ADD added timestamptz DEFAULT clock_timestamp()';
my @rewrites = (
    "ALTER TABLE rswebhook.event $added",
    'ALTER TABLE rswebhook.event DROP added',
    'ALTER TABLE rswebhook.event ALTER event TYPE text',
    'ALTER TABLE rswebhook.event ALTER event TYPE jsonb USING event::jsonb',
    "ALTER TABLE rswebhook.event_$slot SET UNLOGGED",
    "ALTER TABLE rswebhook.event_$slot SET LOGGED",
    "ALTER TABLE rswebhook.event_$slot SET TABLESPACE elsewhere",
    "CLUSTER rswebhook.event_$slot USING event_${slot}_pkey",
    "VACUUM FULL rswebhook.event_$slot",
    "ALTER TABLE rswebhook.queue $added",
    'ALTER TABLE rswebhook.queue DROP added',
    'ALTER TABLE rswebhook.queue ALTER ordering_key TYPE numeric',
    'ALTER TABLE rswebhook.queue ALTER ordering_key TYPE bigint',
    'ALTER TABLE rswebhook.queue SET UNLOGGED',
    'ALTER TABLE rswebhook.queue SET LOGGED',
    'ALTER TABLE rswebhook.queue SET TABLESPACE elsewhere',
    'CLUSTER rswebhook.queue USING queue_pkey',
    'VACUUM FULL rswebhook.queue',
    "ALTER TABLE rswebhook.event_$slot SET TABLESPACE pg_default; ALTER TABLE rswebhook.queue SET TABLESPACE pg_default",
    "ALTER TABLE rswebhook.event $added; ALTER TABLE rswebhook.queue $added",
    'ALTER TABLE rswebhook.event DROP added; ALTER TABLE rswebhook.queue DROP added');

# Before anything of these events has been read
foreach my $case (0 .. $#rewrites)
{
    my $rewrite = $rewrites[$case];

    stopped('reading', sub { send_users('sink', "read-$case") }, $rewrite);
    sent_in_order("read-$case", '123', $rewrite);
}

# While the later ones are known, and wait for the first one of their user
foreach my $case (0 .. $#rewrites)
{
    my $rewrite = $rewrites[$case];

    $receiver->switch('gate', '/status/500');
    send_users('gated', "wait-$case");
    ok( wait_for_query($node, 'SELECT count(*) FROM rswebhook.queue WHERE attempts > 0', '2'),
        "$rewrite: the first ones have failed");
    $receiver->switch('gate', '/ok');
    stopped('reading', sub {
            query($node, 'SELECT rswebhook_cancel(event_id) FROM rswebhook.queue WHERE attempts > 0');
        }, $rewrite);
    sent_in_order("wait-$case", '23', $rewrite);
}
is(query($node, q{SELECT DISTINCT outcome FROM rswebhook.delivery ORDER BY 1}), "cancelled\ndelivered\nretry",
    'nothing was given up');

#
# What comes from other tables
#
add_destination($node, 'down', $receiver->url('/status/500'), { %patient, breaker_failures => 1 });
query($node, q{SELECT rswebhook_send('{"userId": "a"}', 'down')});
ok(wait_for_query($node, q{SELECT breaker FROM rswebhook.status WHERE destination = 'down'}, 'open'), 'a breaker opens');
stopped('reading', sub { query($node, q{UPDATE rswebhook.destination SET timeout = '9 s' WHERE name = 'sink'}) }, "ALTER TABLE rswebhook.breaker $added");
query($node, q{SELECT rswebhook_send('{"userId": "b"}', 'down')});
send_users('sink', 'breaker');
sent_in_order('breaker', '123', 'rswebhook.breaker is rewritten');
is(scalar($receiver->requests_to('/status')), 1, 'it is open still');
query($node, q{DELETE FROM rswebhook.destination WHERE name = 'down'; DELETE FROM rswebhook.queue});

stopped('reading', sub { query($node, q{UPDATE rswebhook.destination SET timeout = '8 s'}) }, "ALTER TABLE rswebhook.destination $added");
send_users('sink', 'destination');
sent_in_order('destination', '123', 'rswebhook.destination is rewritten');

done_testing();

# Has the worker stop at a place, to which it comes by what is done, rewrites,
# and lets it go
sub stopped
{
    my ($place, $do, $rewrite) = @_;
    my $log = -s $node->logfile;

    inject($node, $place);
    $do->();
    ok(wait_for('the worker', sub { times_logged($node, qr/stops at "$place"/, $log) }), "the worker stops: $rewrite");
    query($node, $rewrite);
    inject($node);
    return;
}

# Three events each of two users
sub send_users
{
    my ($destination, $id) = @_;

    query($node, qq{
        SELECT count(rswebhook_send(jsonb_build_object('userId', u, 'messageId', '$id-' || u || '-' || n), '$destination'))
        FROM generate_series(1, 3) AS n, unnest('{a, b}'::text[]) AS u});
    return;
}

# What arrived of these, as their numbers, apart from what was refused
sub sent_in_order
{
    my ($id, $expected, $what) = @_;

    ok( wait_for_query($node, q{
            SELECT count(*) FROM rswebhook.queue JOIN rswebhook.destination AS d ON d.id = destination_id
            WHERE d.name <> 'down'}, '0'),
        "$id: nothing is owed after $what");
    foreach my $user (qw(a b))
    {
        my @numbers = map { $_->{accepted} && $_->{headers}{'webhook-id'} =~ /^\Q$id\E-$user-(\d)$/ ? $1 : () } $receiver->requests;
        is(join('', @numbers), $expected, "$id: all that user $user is owed, in order");
    }
    return;
}
