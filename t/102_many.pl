# A session keeps as little of destinations as it needs, reads what has changed and
# nothing else, and is never wrong about it, whichever way the change came.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Session;
use Test::More;

my $many = 3000;
my $receiver = new_receiver();

# What a session gets for four names and without one, and what it should get
my $functions = <<'SQL';
CREATE FUNCTION shown(name text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN rswebhook_transform('{"type": "track"}', name) ->> 'endpoint';
EXCEPTION WHEN undefined_object THEN
    RETURN NULL;
END $$;
CREATE FUNCTION takers(name text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    sent bigint;
BEGIN
    sent := rswebhook_send('{"type": "track"}', name);
    RETURN (SELECT string_agg(q.destination_id::text, ',' ORDER BY q.destination_id)
            FROM rswebhook.queue q WHERE q.event_id = sent);
EXCEPTION
    WHEN undefined_object THEN RETURN 'none';
END $$;
CREATE FUNCTION answers() RETURNS text LANGUAGE sql VOLATILE AS $$
    SELECT string_agg(format('%s: %s %s', n, takers(n), shown(n)), ', ' ORDER BY n)
           || '; all: ' || coalesce(takers(NULL), '')
    FROM unnest(ARRAY['a', 'b', 'c', 'd']) AS n
$$;
CREATE FUNCTION truth() RETURNS text LANGUAGE sql VOLATILE AS $$
    SELECT string_agg(format('%s: %s %s', n, coalesce(d.id::text, 'none'), d.url), ', ' ORDER BY n)
           || '; all: ' || coalesce((
            SELECT string_agg(t.id::text, ',' ORDER BY t.id) FROM rswebhook.destination t
            WHERE t.enabled AND (t.types IS NULL OR 'track' = ANY (t.types))), '')
    FROM unnest(ARRAY['a', 'b', 'c', 'd']) AS n LEFT JOIN rswebhook.destination d ON d.name = n
$$;
SQL
my $fill = q{SELECT count(nextval('rswebhook.destination_id_seq')) FROM generate_series(1, 10);
    INSERT INTO rswebhook.destination (name, url, paused)
    SELECT n, 'http://127.0.0.1:9/' || n, true FROM unnest(ARRAY['a', 'b', 'c']) AS n};

#
# How much it keeps
#
my $node = new_node('many', conf => <<'CONF');
autovacuum = off
max_prepared_transactions = 10
wal_level = replica
max_wal_senders = 5
hot_standby = on
CONF
query($node, $functions);
add_destination($node, 'busy', $receiver->url('/0'));
query($node, qq{
    INSERT INTO rswebhook.destination (name, url, paused, types)
        SELECT 'destination ' || n, 'https://example.com/hooks/' || n, true, ARRAY['page']
        FROM generate_series(1, $many) AS n;
    ANALYZE rswebhook.destination});

sub kept
{
    my ($session) = @_;
    return $session->query(q{
        SELECT coalesce(sum(total_bytes), 0) FROM pg_backend_memory_contexts
        WHERE name ~ '^rswebhook'});
}

my $session = Session->new($node);
$session->query(q{SELECT rswebhook_send('{"type": "track"}', 'destination 77')});
cmp_ok(kept($session), '<', 64 * 1024, 'a session that has sent to one destination keeps little');
$session->query(q{SELECT rswebhook_send('{"type": "track"}')});
cmp_ok(kept($session), '<', 128 * 1024 + 100 * $many, 'and not much of all, once it has sent without one');
$session->query(qq{SELECT count(rswebhook_send('{"type": "track"}', 'destination ' || n)) FROM generate_series(1, $many) AS n});
cmp_ok(kept($session), '<', 128 * 1024 + 300 * $many, 'nor of many that it has sent to');
$session->query(qq{
    UPDATE rswebhook.destination SET types = ARRAY['page', 'x' || id] WHERE name LIKE 'destination%';
    SELECT rswebhook_send('{"type": "track"}');
    UPDATE rswebhook.destination SET types = ARRAY['page'] WHERE name LIKE 'destination%';
    SELECT rswebhook_send('{"type": "track"}')});
cmp_ok(kept($session), '<', 128 * 1024 + 300 * $many, 'what it has kept of rows as they were goes');

#
# How much it reads
#
my $reads = q{SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relid = 'rswebhook.destination'::regclass};

my $new_session = Session->new($node);
$new_session->query(q{BEGIN; SELECT rswebhook_send('{"type": "track"}', 'destination 77')});
is($new_session->query($reads), '1', 'the first send reads one row');
$new_session->close;

foreach my $case (
    [ 'by name', q{SELECT rswebhook_send('{"type": "track"}', 'destination 77')}, 1 ],
    [ 'without one', q{SELECT rswebhook_send('{"type": "track"}')}, 1 ])
{
    my ($how, $send) = @$case;

    $session->query("BEGIN; $send");
    my $before = $session->query($reads);
    $session->query($send) for 1 .. 5;
    is($session->query($reads), $before, "$how: nothing is read twice");
    query($node, q{UPDATE rswebhook.destination SET url = url || '/1' WHERE name = 'destination 1'});
    query($node, q{UPDATE rswebhook.destination SET url = url || '/1' WHERE name = 'destination 77'});
    $session->query($send) for 1 .. 5;
    my $read = $session->query($reads) - $before;
    cmp_ok($read, '<=', 2, "$how: what has changed is read once");
    cmp_ok($read, '>=', 1, "$how: but that is");
    $session->query('COMMIT');
}
$session->close;

# The worker tells its numbers when it ends, at the latest
my $id = query($node, q{SELECT id FROM rswebhook.destination WHERE name = 'busy'});
my $worker = worker_of($node, 'busy');
my $edits = 20;
query($node, 'SELECT pg_stat_reset()');
foreach my $edit (1 .. $edits)
{
    my $url = $receiver->url("/$edit");
    query($node, qq{
        UPDATE rswebhook.destination SET url = '$url' WHERE id = $id;
        SELECT rswebhook_send('{"type": "track"}', 'busy')});
    wait_for("edit $edit", sub { ($receiver->requests_to("/$edit")) + 0 == 1 }) or last;
}
ok(($receiver->requests_to("/$edits")) + 0 == 1, 'the worker follows');
query($node, "SELECT pg_terminate_backend($worker)");
ok(await_others($node, $worker), 'its numbers are there');
cmp_ok(query($node, q{SELECT seq_tup_read FROM pg_stat_user_tables WHERE relid = 'rswebhook.destination'::regclass}),
    '<', 3 * $many, 'it has not read all, time and again');

#
# Whichever way it comes
#
my @edits = (
    [ 'a new URL', q{UPDATE rswebhook.destination SET url = url || '/new' WHERE name = 'a'} ],
    [ 'one is disabled', q{UPDATE rswebhook.destination SET enabled = false WHERE name = 'b'} ],
    [ 'and enabled', q{UPDATE rswebhook.destination SET enabled = true WHERE name = 'b'} ],
    [ 'a filter', q{UPDATE rswebhook.destination SET types = '{page}' WHERE name = 'c'} ],
    [ 'another filter', q{UPDATE rswebhook.destination SET types = '{page, " TRACK "}' WHERE name = 'c';
            UPDATE rswebhook.destination SET types = '{page, track}' WHERE name = 'c'} ],
    [ 'a large filter', q{UPDATE rswebhook.destination SET types = (
            SELECT array_agg(md5(n::text)) FROM generate_series(1, 900) AS n) WHERE name = 'c'} ],
    [ 'no filter', q{UPDATE rswebhook.destination SET types = NULL WHERE name = 'c'} ],
    [ 'another name', q{UPDATE rswebhook.destination SET name = 'd' WHERE name = 'a'} ],
    [ 'names exchanged', q{BEGIN; UPDATE rswebhook.destination SET name = 'x' WHERE name = 'd';
            UPDATE rswebhook.destination SET name = 'd' WHERE name = 'b';
            UPDATE rswebhook.destination SET name = 'b' WHERE name = 'x'; COMMIT} ],
    [ 'DELETE', q{DELETE FROM rswebhook.destination WHERE name = 'c'} ],
    [ 'INSERT', q{INSERT INTO rswebhook.destination (name, url, paused) VALUES ('c', 'http://127.0.0.1:9/again', true)} ],
    [ 'INSERT of a low id', q{INSERT INTO rswebhook.destination (id, name, url, paused)
            SELECT min(id) - 1, 'a', 'http://127.0.0.1:9/low', true FROM rswebhook.destination} ],
    [ 'another id', q{BEGIN; SET LOCAL session_replication_role = replica;
            UPDATE rswebhook.destination SET id = (SELECT max(id) + 100000 FROM rswebhook.destination) WHERE name = 'a'; COMMIT} ],
    [ 'session_replication_role', q{SET session_replication_role = replica;
            UPDATE rswebhook.destination SET url = url || '/replica' WHERE name = 'c'} ],
    [ 'many at once', q{INSERT INTO rswebhook.destination (name, url, paused)
            SELECT 'm' || n, 'http://127.0.0.1:9/', true FROM generate_series(1, 100) AS n;
            UPDATE rswebhook.destination SET url = url || '/all'} ],
    [ 'many one by one', q{DO $$ BEGIN
            FOR n IN 1 .. 1100 LOOP
                UPDATE rswebhook.destination SET url = 'http://127.0.0.1:9/' || n WHERE name = 'm' || (n % 100);
                IF n = 1 THEN UPDATE rswebhook.destination SET url = url || '/first' WHERE name = 'a'; END IF;
                COMMIT;
            END LOOP; END $$} ],
    [ 'VACUUM FULL', q{VACUUM FULL rswebhook.destination} ],
    [ 'and an UPDATE', q{UPDATE rswebhook.destination SET url = url || '/full' WHERE name IN ('a', 'm7')} ],
    [ 'a lost index', q{ALTER TABLE rswebhook.destination DROP CONSTRAINT destination_name_key} ],
    [ 'an UPDATE after it', q{UPDATE rswebhook.destination SET url = url || '/index' WHERE name IN ('a', 'm7')} ],
    [ 'ANALYZE', q{ANALYZE rswebhook.destination; UPDATE rswebhook.destination SET enabled = false WHERE name = 'c'} ],
    [ 'TRUNCATE', q{TRUNCATE rswebhook.destination} ],
    [ 'INSERT after it', $fill ],
    [ 'a new extension', "DROP EXTENSION rswebhook CASCADE; CREATE EXTENSION rswebhook; $fill" ],
    [ 'TRUNCATE in a transaction', "BEGIN; TRUNCATE rswebhook.destination; $fill; COMMIT" ]);

# What it says is right, for all that it sees itself
sub is_right
{
    my ($session, $what) = @_;
    my $got = $session->query('SELECT answers()');

    is($got, $session->query('SELECT truth()'), $what);
    return;
}

sub knows_changes
{
    my ($node, $kind) = @_;
    my $session = Session->new($node);

    query($node, "DELETE FROM rswebhook.destination; $fill");
    is_right($session, "$kind: at first");
    foreach my $edit (@edits)
    {
        my ($what, $sql) = @$edit;
        query($node, $sql);
        is_right($session, "$kind: $what");
    }

    # its own, and what becomes of them
    foreach my $step (
        [ 'BEGIN', 'a transaction' ],
        [ q{UPDATE rswebhook.destination SET url = url || '/mine' WHERE name = 'a'}, 'its own UPDATE' ],
        [ 'SAVEPOINT s', 'a savepoint' ],
        [ q{UPDATE rswebhook.destination SET url = url || '/s' WHERE name IN ('a', 'b');
            DELETE FROM rswebhook.destination WHERE name = 'c';
            INSERT INTO rswebhook.destination (name, url, paused) VALUES ('d', 'http://127.0.0.1:9/', true)}, 'more of its own' ],
        [ 'ROLLBACK TO s', 'that is rolled back' ],
        [ q{INSERT INTO rswebhook.destination (name, url, paused)
            SELECT 'n' || n, 'http://127.0.0.1:9/', true FROM generate_series(1, 100) AS n}, 'many of its own' ],
        [ 'SAVEPOINT t', 'another savepoint' ],
        [ q{UPDATE rswebhook.destination SET url = url || '/t', types = '{page}'}, 'all' ],
        [ 'ROLLBACK TO t', 'which is rolled back' ],
        [ 'ROLLBACK', 'as is the transaction' ],
        [ q{BEGIN; UPDATE rswebhook.destination SET url = url || '/b', enabled = false WHERE name = 'b'}, 'another' ],
        [ 'COMMIT', 'which is committed' ],
        [ q{BEGIN; UPDATE rswebhook.destination SET enabled = true WHERE name = 'b'}, 'one more' ],
        [ "PREPARE TRANSACTION 'one'", 'which is prepared' ],
        [ "COMMIT PREPARED 'one'", 'and committed' ],
        [ q{BEGIN; UPDATE rswebhook.destination SET enabled = false}, 'the last one' ],
        [ "PREPARE TRANSACTION 'two'", 'which is prepared, too' ],
        [ "ROLLBACK PREPARED 'two'", 'and rolled back' ])
    {
        $session->query($step->[0]);
        is_right($session, "$kind: $step->[1]");
    }

    # those of others
    query($node, q{BEGIN; UPDATE rswebhook.destination SET url = url || '/p', enabled = false WHERE name = 'a'; PREPARE TRANSACTION 'three'});
    is_right($session, "$kind: what another one has prepared");
    query($node, q{COMMIT PREPARED 'three'});
    is_right($session, "$kind: and committed");

    $session->query('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT answers()');
    query($node, q{UPDATE rswebhook.destination SET url = url || '/later', enabled = true WHERE name = 'a'});
    is($session->query('SELECT answers()'), query($node, 'SELECT truth()'), "$kind: what an old snapshot does not see");
    $session->query('COMMIT');

    # nothing is left of one that was stopped
    query($node, q{BEGIN; UPDATE rswebhook.destination SET url = url || '/restart' WHERE name = 'b'; PREPARE TRANSACTION 'four'});
    $session->close;
    $node->restart;
    $session = Session->new($node);
    is_right($session, "$kind: after a restart");
    query($node, q{COMMIT PREPARED 'four'});
    is_right($session, "$kind: what was prepared before it");
    $session->close;
    return;
}

knows_changes($node, 'preloaded');
query($node, 'DROP EXTENSION rswebhook');
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''\n");
$node->restart;
query($node, 'CREATE EXTENSION rswebhook');
knows_changes($node, 'not preloaded');

#
# On a standby, and when that is promoted
#
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'rswebhook'\n");
$node->restart;
$node->backup('copy');
my $standby = bare_node('standby');
$standby->init_from_backup($node, 'copy', has_streaming => 1);
$standby->start;
$session = Session->new($standby);
my $seen = q{SELECT string_agg(concat(n, shown(n)), ',') FROM unnest(ARRAY['a', 'b', 'c', 'd']) AS n};
foreach my $what ('at first', 'a change', 'another one')
{
    query($node, q{UPDATE rswebhook.destination SET url = url || '/standby' WHERE name = 'a'}) if $what ne 'at first';
    $node->wait_for_catchup($standby);
    is($session->query($seen), query($node, $seen), "a standby: $what");
}
$standby->promote;
query($standby, q{UPDATE rswebhook.destination SET url = url || '/promoted' WHERE name = 'a'});
is_right($session, 'promoted: a change');
query($standby, q{DELETE FROM rswebhook.destination WHERE name = 'a'});
is_right($session, 'promoted: another one');

done_testing();
