# A publication of all tables includes ours: nothing that the extension, a worker or
# somebody's statement does with them fails for want of a replica identity.  A
# subscriber is a copy until it is adopted, and goes on then.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Test::More;

my $receiver = new_receiver();
my $replication = "wal_level = logical\nmax_wal_senders = 5\nmax_replication_slots = 5\n";
my $node = new_node('publisher', conf => $replication);

is(query($node, q{
    SELECT string_agg(c.relname, ', ' ORDER BY c.relname) FROM pg_class c
    WHERE c.relnamespace = 'rswebhook'::regnamespace AND c.relkind = 'r' AND c.relreplident <> 'f'
    AND NOT (c.relreplident = 'd' AND EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary))}),
    '', 'every table has a replica identity');

my %publication = (
    all => 'FOR ALL TABLES',
    schema => 'FOR TABLES IN SCHEMA rswebhook',
    root => 'FOR ALL TABLES WITH (publish_via_partition_root = true)');
add_destination($node, 'sink', $receiver->url('/sink'));
add_destination($node, 'fails', $receiver->url('/status/500'),
    { min_backoff => '1 h', max_backoff => '1 h', breaker_failures => 1 });
add_destination($node, 'paused', $receiver->url('/paused'), { paused => 'on' });
foreach my $kind (sort keys %publication)
{
    query($node, "CREATE PUBLICATION published $publication{$kind}");
    all_goes_on($kind);
    query($node, 'DROP PUBLICATION published');
}

# Somebody takes an identity away: adopt says what is missing, and so does the worker,
# which goes on when it is back
query($node, "CREATE PUBLICATION published $publication{all}");
query($node, 'ALTER TABLE rswebhook.home REPLICA IDENTITY NOTHING');
my ($code, $out, $err) = $node->psql('postgres', 'SELECT rswebhook_adopt()');
like($err, qr/cannot delete from table "home".*HINT: .*set REPLICA IDENTITY using ALTER TABLE/s, 'adopt says what to do');
query($node, 'ALTER TABLE rswebhook.home REPLICA IDENTITY FULL; SELECT rswebhook_adopt()');

query($node, 'ALTER TABLE rswebhook.queue REPLICA IDENTITY NOTHING');
my $event = send_event($node, { type => 'track' }, 'sink');
ok( wait_for_query($node,
        q{SELECT count(*) FROM rswebhook.workers() WHERE lacks ~ 'cannot delete from table "queue"'}, '1'),
    'a queue without one: the worker says so');
my $requests = $receiver->requests_to('/sink');
query($node, 'ALTER TABLE rswebhook.queue REPLICA IDENTITY DEFAULT');
ok(wait_for_query($node, "SELECT count(*) FROM rswebhook.queue WHERE event_id = $event", '0'), 'it goes on');
is(scalar($receiver->requests_to('/sink')), $requests, 'and has sent nothing again');
query($node, 'DROP PUBLICATION published');

# Retention, by which parts are emptied.  The publication is there when the rows come
query($node, "CREATE PUBLICATION published $publication{all}");
query($node, q{
    INSERT INTO rswebhook.event (id, slot, created_at, event)
    SELECT nextval('rswebhook.event_id_seq'), slot, now() - interval '1 year', '"mark"'
    FROM generate_series(0, 9) AS slot WHERE slot <> rswebhook.ring_slot(now())});
my $old = worker_pids($node);
query($node, "SELECT pg_terminate_backend(pid::integer) FROM regexp_split_to_table('$old', ' ') AS pid");
await_others($node, $old);
ok(wait_for_query($node, q{SELECT count(*) FROM rswebhook.event WHERE event = '"mark"'}, '0'), 'retention empties parts');

# A subscriber has all of it but the sequences, and its worker has heard of nothing
query($node, 'DELETE FROM rswebhook.event WHERE id NOT IN (SELECT event_id FROM rswebhook.queue)');
my $subscriber = new_node('subscriber', conf => $replication);
query($subscriber, q{CREATE SUBSCRIPTION copy CONNECTION '} . $node->connstr . q{ dbname=postgres' PUBLICATION published});
ok( wait_for_query($subscriber, q{SELECT count(*) FROM pg_subscription_rel WHERE srsubstate <> 'r'}, '0'),
    'a subscriber has the tables');
query($node, qq{SELECT rswebhook_send(jsonb_build_object('type', 'track', 'messageId', 'owed' || n), 'paused')
                FROM generate_series(1, 5) AS n});
$node->wait_for_catchup('copy');
my $count = query($subscriber, q{SELECT count(*) FROM rswebhook.queue WHERE destination_id = rswebhook.destination_id('paused')});
cmp_ok($count, '>=', 5, 'events that were sent later, too');
is(query($subscriber, 'SELECT DISTINCT state FROM rswebhook.status WHERE destination <> \'paused\''), 'not adopted', 'it is known as a copy');
send_event($subscriber, { type => 'track' }, 'sink');
pass_time(1);
is(scalar($receiver->requests_to('/sink')), $requests, 'and delivers nothing');

# The publisher is lost
query($subscriber, 'ALTER SUBSCRIPTION copy DISABLE; ALTER SUBSCRIPTION copy SET (slot_name = NONE)');
query($subscriber, 'DROP SUBSCRIPTION copy');
$node->stop('immediate');
query($subscriber, 'SELECT rswebhook_adopt()');
my $highest = query($subscriber, 'SELECT max(id) FROM rswebhook.event');
cmp_ok(query($subscriber, 'SELECT last_value FROM rswebhook.event_id_seq'), '>=', $highest, 'ids go on beyond what is there');
add_destination($subscriber, 'new', $receiver->url('/new'));
cmp_ok(send_event($subscriber, { type => 'track' }, 'new'), '>', $highest, 'a new destination, and the first event');
query($subscriber, q{SELECT rswebhook_resume('paused')});
ok( wait_for_query($subscriber,
        q{SELECT count(*) FROM rswebhook.queue WHERE destination_id <> rswebhook.destination_id('fails')}, '0'),
    'what was owed is delivered');
is(scalar($receiver->requests_to('/paused')), $count, 'all of it');
is(scalar($receiver->requests_to('/sink')), $requests + 1, 'what was sent to the copy');
is(scalar($receiver->requests_to('/new')), 1, 'and what is new');
$subscriber->stop('fast');

done_testing();

# What there is to do with our tables, while they are published
sub all_goes_on
{
    my ($kind) = @_;

    query($node, 'SELECT rswebhook_adopt()');
    my $sent = send_event($node, { type => 'track' }, 'sink');
    my $failed = send_event($node, { type => 'track' }, 'fails');
    my $owed = send_event($node, { type => 'track' }, 'paused');
    ok( wait_for_query($node, qq{
            SELECT string_agg(outcome, ' ' ORDER BY event_id) FROM rswebhook.delivery WHERE event_id IN ($sent, $failed)},
            'delivered retry'),
        "$kind: deliveries");
    ok(wait_for_query($node, 'SELECT count(*) FROM rswebhook.breaker', '1'), "$kind: a breaker opens");
    query($node, "SELECT rswebhook_resume('fails'), rswebhook_cancel($failed), rswebhook_cancel($owed)");
    ok(wait_for_query($node, 'SELECT count(*) FROM rswebhook.breaker', '0'), "$kind: and is closed");
    foreach my $deliveries (2, 3)
    {
        query($node, "SELECT rswebhook_replay($sent)");
        ok(wait_for_query($node, "SELECT count(*) FROM rswebhook.delivery WHERE event_id = $sent", $deliveries)
              && wait_for_query($node, "SELECT count(*) FROM rswebhook.queue", '0'), "$kind: a replay");
    }
    my $old = worker_pids($node);
    query($node, "SELECT pg_terminate_backend(pid::integer) FROM regexp_split_to_table('$old', ' ') AS pid");
    await_others($node, $old);
    query($node, qq{
        UPDATE rswebhook.delivery SET response_body = NULL WHERE event_id = $sent;
        DELETE FROM rswebhook.delivery WHERE event_id = $sent;
        UPDATE rswebhook.event SET ordering_key = NULL WHERE id = $sent;
        DELETE FROM rswebhook.event WHERE id = $sent;
        DELETE FROM rswebhook.floor});
    is(query($node, "SELECT count(*) FROM rswebhook.delivery WHERE event_id = $sent"), '0', "$kind: and deletes by hand");
    return;
}
