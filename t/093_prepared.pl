# COMMIT PREPARED tells exactly what was prepared: nothing else is read again, and
# nothing is forgotten, be it that a restart, a promotion or a lack of room lies in
# between, or that no command is given at all.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Session;
use Test::More;

# Without what counts the rows that are owed, for rswebhook.status: it reads them, too
my $conf = $ENV{RSWEBHOOK_INJECTED_CONF};
plan skip_all => 'needs a build with -DRSWEBHOOK_INJECTION' unless ($conf // '') ne '';
$ENV{RSWEBHOOK_CONF} = $conf;

# What the worker was not told of, it finds when it looks for what somebody has
# edited by hand, every ten minutes; no wait here is that long
my $kept = 1024;         # prepared transactions that are known at once
my $receiver = new_receiver();
my $node = new_node('prepared', conf => <<'CONF');
max_prepared_transactions = 1100
max_connections = 20
wal_level = logical
max_wal_senders = 5
hot_standby = on
wal_keep_size = 256MB
CONF
inject($node, 'counting error');

add_destination($node, 'sink', $receiver->url('/ok'), { ordered => 'false' });
add_destination($node, 'slow', $receiver->url('/ok'), { rate_limit => 0.5 });
query($node, q{
    CREATE ROLE somebody LOGIN;
    SELECT count(rswebhook_send(jsonb_build_object('type', 'track', 'userId', 'slow',
        'messageId', 'slow-' || n), 'slow'))
    FROM generate_series(1, 3000) AS n});
send_event($node, { type => 'track', userId => 'u', messageId => 'first' }, 'sink');
ok(wait_for('the first event', sub { arrived('first') }), 'it delivers');

#
# Nothing is read again for it
#
my $read = entries_read($node);
prepare('exact', sending("exact-$_")), query($node, q{COMMIT PREPARED 'exact'}) foreach 1 .. 20;
all_arrive('twenty are committed', map { "exact-$_" } 1 .. 20);
cmp_ok(entries_read($node) - $read, '<', 2000, 'no backlog is read again for them');

# Neither for one that somebody else tries to commit, nor for those of which the
# name is used again
prepare('refused', sending('refused'));
my ($code, $out, $err) = $node->psql('postgres', q{SET SESSION AUTHORIZATION somebody; COMMIT PREPARED 'refused'});
like($err, qr/permission denied/, 'somebody else may not commit it');
send_event($node, { type => 'track', userId => 'u', messageId => 'between' }, 'sink');
ok(wait_for('the event', sub { arrived('between') }), 'others are sent');
ok(!arrived('refused'), 'and it is not');
query($node, q{ROLLBACK PREPARED 'refused'});
prepare('refused', sending('same-name'));
query($node, q{COMMIT PREPARED 'refused'});
all_arrive('another one of the same name', 'same-name');
cmp_ok(entries_read($node) - $read, '<', 2000, 'no backlog is read again for them');

#
# More than there is room for, in several databases
#
query($node, 'CREATE DATABASE other');
query($node, 'CREATE EXTENSION rswebhook', 'other');
add_destination($node, 'sink', $receiver->url('/ok'), {}, 'other');
query($node, join("\n", map { preparing("many-$_", sending("many-$_")) } 1 .. $kept - 5));
query($node, preparing("other-$_", sending("other-$_")), 'other') foreach 1 .. 10;
query($node, preparing("over-$_", sending("over-$_"))) foreach 1 .. 5;
query($node, "COMMIT PREPARED 'other-$_'", 'other') foreach reverse 1 .. 10;
all_arrive('those of another database', map { "other-$_" } 1 .. 10);
query($node, "COMMIT PREPARED 'over-$_'") foreach 1 .. 5;
all_arrive('those for which there was no room', map { "over-$_" } 1 .. 5);
query($node, "COMMIT PREPARED 'many-$_'") foreach 1, $kept - 5;
all_arrive('the first and the last of those for which there was', 'many-1', 'many-' . ($kept - 5));
query($node, join("\n", map { "ROLLBACK PREPARED 'many-$_';" } 2 .. $kept - 6));
$read = entries_read($node);
prepare('room', sending("room-$_")), query($node, q{COMMIT PREPARED 'room'}) foreach 1 .. 20;
all_arrive('there is room again', map { "room-$_" } 1 .. 20);
cmp_ok(entries_read($node) - $read, '<', 2000, 'no backlog is read again for those');

#
# Over a crash, a restart and a promotion
#
prepare('crashed', sending('crashed'));
$node->stop('immediate');
$node->start;
prepare('later', sending('later'));
query($node, q{COMMIT PREPARED 'later'});
all_arrive('what is prepared after a crash', 'later');
query($node, q{COMMIT PREPARED 'crashed'});
all_arrive('what was before it', 'crashed');

prepare('promoted', sending('promoted'));
$node->backup('base');
my $standby = bare_node('prepared_standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
prepare('streamed', sending('streamed'));
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
$node->stop('immediate');
$standby->promote;
query($standby, q{SELECT rswebhook_adopt()});
ok(await_workers($standby), 'a standby is promoted');
query($standby, "COMMIT PREPARED '$_'") foreach qw(promoted streamed);
all_arrive('what was prepared before that', 'promoted', 'streamed');
query($standby, preparing('new', sending('new')) . q{COMMIT PREPARED 'new'});
all_arrive('and after it', 'new');
$standby->stop;
$node->start;

# Without the library there is nobody to tell, and no worker either
query($node, q{COMMIT PREPARED 'promoted'});
prepare('unloaded', sending('unloaded'));
$node->adjust_conf('postgresql.conf', 'shared_preload_libraries', q{''});
$node->restart;
query($node, q{LOAD 'rswebhook'; COMMIT PREPARED 'streamed'});
prepare('without', sending('without'));
$node->adjust_conf('postgresql.conf', 'shared_preload_libraries', q{'rswebhook'});
$node->restart;
await_workers($node);
query($node, "COMMIT PREPARED '$_'") foreach qw(unloaded without);
all_arrive('what was prepared and committed with and without the library', 'unloaded', 'without');

#
# Logical replication gives no command
#
my $publisher = new_node('publisher', extension => 0,
    conf => "wal_level = logical\nmax_wal_senders = 5\nmax_prepared_transactions = 10\n");

query($publisher, q{CREATE TABLE orders (id integer PRIMARY KEY); CREATE PUBLICATION orders FOR TABLE orders});
query($node, q{
    CREATE TABLE orders (id integer PRIMARY KEY);
    CREATE TRIGGER orders AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('sink', 'order');
    ALTER TABLE orders ENABLE ALWAYS TRIGGER orders});
query($node, 'CREATE SUBSCRIPTION orders CONNECTION \'' . $publisher->connstr
      . q{ dbname=postgres' PUBLICATION orders WITH (two_phase = true)});
ok( wait_for_query($publisher, q{SELECT count(*) FROM pg_replication_slots WHERE active AND two_phase}, '1')
      && wait_for_query($node, q{SELECT subtwophasestate FROM pg_subscription}, 'e'), 'a table is replicated');
query($publisher, q{BEGIN; INSERT INTO orders VALUES (1); PREPARE TRANSACTION 'order'});
ok(wait_for_query($node, q{SELECT count(*) FROM pg_prepared_xacts}, '1'), 'it is prepared there, too');
query($publisher, q{COMMIT PREPARED 'order'});
ok( wait_for_query($node, q{
        SELECT count(*) FROM rswebhook.delivery AS d JOIN rswebhook.event AS e ON e.id = d.event_id
        WHERE e.event ->> 'event' = 'order' AND d.outcome = 'delivered'}, '1'),
    'a trigger\'s event is sent when it is committed');
query($node, 'DROP SUBSCRIPTION orders');

done_testing();

sub sending
{
    my ($id) = @_;

    return qq{SELECT rswebhook_send('{"type": "track", "userId": "$id", "messageId": "$id"}', 'sink')};
}

sub preparing
{
    my ($gid, $sql) = @_;

    return "BEGIN; $sql; PREPARE TRANSACTION '$gid';";
}

sub prepare
{
    query($node, preparing(@_));
    return;
}

sub arrived
{
    my ($id) = @_;

    return scalar grep { $_->{headers}{'webhook-id'} eq $id } $receiver->requests;
}

sub all_arrive
{
    my ($what, @ids) = @_;

    ok(wait_for($what, sub { my $n = grep { arrived($_) } @ids; $n == @ids }), "$what: sent");
    return;
}
