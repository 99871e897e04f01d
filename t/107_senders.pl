# A role that may send to some destinations only: its triggers are asked when they are
# made, whatever it sets; and it stays bound when a role is renamed, and in a dump.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Session;
use Test::More;

my $receiver = new_receiver();
my $node = new_node('senders');

add_destination($node, $_, $receiver->url("/$_")) foreach qw(shop crm);
query($node, q{
    CREATE ROLE app LOGIN; CREATE ROLE team; CREATE ROLE crew; CREATE ROLE anywhere LOGIN;
    GRANT team, crew TO app;
    GRANT CREATE ON SCHEMA public TO app, team, crew; GRANT CREATE ON DATABASE postgres TO app;
    SELECT rswebhook_grant_send('app', 'shop'), rswebhook_grant_send('crew', 'shop'), rswebhook.grant_sender('anywhere');
    CREATE TABLE shared (id integer, target text);
    CREATE TABLE whole_shared (id integer) PARTITION BY LIST (id);
    CREATE TABLE part_mine PARTITION OF whole_shared FOR VALUES IN (1);
    ALTER TABLE part_mine OWNER TO app;
    GRANT TRIGGER, INSERT ON shared, whole_shared TO app;
    SET ROLE crew; CREATE TABLE crews (id integer);
    SET ROLE team; CREATE TABLE teams (id integer);
    SET ROLE app;
    CREATE TABLE mine (id integer, target text); CREATE TABLE box (event jsonb, target text)});

# What it may not make, as what it may; also as if it restored a dump
foreach my $set ('', 'SET check_function_bodies = off;')
{
    foreach my $case (
        [ 'mine', q{rswebhook_trigger('shop')}, undef ],
        [ 'shared', q{rswebhook_trigger('shop')}, qr/permission denied to create trigger "s" on table "shared".*by the rights of role/s ],
        [ 'teams', q{rswebhook_trigger('shop')}, qr/permission denied to create trigger "s" on table "teams".*by the rights of role "team"/s ],
        [ 'crews', q{rswebhook_trigger('shop')}, undef ],
        [ 'crews', q{rswebhook_trigger('crm')}, qr/permission denied for destination "crm"/ ],
        [ 'whole_shared', q{rswebhook_trigger('shop')}, qr/permission denied to create trigger "s" on table "whole_shared"/ ],
        [ 'part_mine', q{rswebhook_trigger('shop')}, undef ],
        [ 'box', q{rswebhook_outbox('destination=shop')}, undef ],
        [ 'mine', q{rswebhook_trigger('crm')}, qr/permission denied for destination "crm"/ ],
        [ 'shared', q{rswebhook_trigger('crm')}, qr/permission denied for destination "crm"/ ],
        [ 'mine', q{rswebhook_trigger('nowhere')}, qr/permission denied for destination "nowhere"/ ],
        [ 'mine', q{rswebhook_trigger()}, qr/permission denied to create trigger "s" without a destination/ ],
        [ 'mine', q{rswebhook_trigger('', '', 'destination_column=target')}, qr/without a destination/ ],
        [ 'box', q{rswebhook_outbox('destination=crm')}, qr/permission denied for destination "crm"/ ],
        [ 'box', q{rswebhook_outbox()}, qr/without a destination/ ],
        [ 'box', q{rswebhook_outbox('destination_column=target')}, qr/without a destination/ ])
    {
        my ($table, $function, $expected) = @$case;
        my ($code, $out, $err) = $node->psql('postgres',
            "SET ROLE app; $set CREATE TRIGGER s AFTER INSERT ON $table FOR EACH ROW EXECUTE FUNCTION $function; RESET ROLE; DROP TRIGGER s ON $table");

        if (defined $expected)
        {
            like($err, $expected, "$set $function on $table: refused");
        }
        else
        {
            is("$code$err", '0', "$set $function on $table: made");
        }
    }
}

# Nor may it give such a table away, to have it send by the rights of another owner
query($node, q{SET ROLE app; CREATE TRIGGER s AFTER INSERT ON mine FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('shop')});
foreach my $command ('ALTER TABLE mine OWNER TO team', 'ALTER TABLE IF EXISTS public.mine OWNER TO team', 'REASSIGN OWNED BY app TO team', 'REASSIGN OWNED BY CURRENT_USER TO team')
{
    my ($code, $out, $err) = $node->psql('postgres', "SET ROLE app; $command");

    like($err, qr/permission denied to give away table "mine"/, "$command: refused");
}
query($node, q{SET ROLE app; ALTER TABLE mine ADD COLUMN more text; DROP TRIGGER s ON mine; ALTER TABLE mine OWNER TO team; SET ROLE team; GRANT ALL ON mine TO app});
query($node, q{ALTER TABLE mine OWNER TO app});

# Whatever the name means by then, it is the table that was changed which counts
my $holder = Session->new($node);
query($node, q{CREATE SCHEMA near AUTHORIZATION app; CREATE SCHEMA far AUTHORIZATION crew; SET ROLE crew; CREATE TABLE far.u (id integer);
    RESET ROLE; SET ROLE app; CREATE TABLE held (id integer)});
foreach my $case ([ 'crm', 1 ], [ 'shop', 0 ])
{
    my ($name, $refused) = @$case;
    my $waiter = Session->new($node);

    $holder->query('SET ROLE app; BEGIN; LOCK TABLE held');
    $waiter->start(qq{SET ROLE app; SET search_path = near, far, public;
        CREATE CONSTRAINT TRIGGER z AFTER INSERT ON u FROM public.held FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('$name', 'moved')});
    ok(wait_for_lock('held'), "CREATE TRIGGER for $name waits");
    $holder->query('CREATE TABLE near.u (id integer); COMMIT');
    is(error_of($waiter) =~ /permission denied for destination "$name"/ ? 1 : 0, $refused, 'and is judged by its own table');
    is(query($node, q{SELECT string_agg(tgrelid::regclass::text, ' ') FROM pg_trigger WHERE tgname = 'z'}), $refused ? '' : 'far.u', 'which has it or has not');
    query($node, 'DROP TABLE near.u');
}
query($node, 'DROP OWNED BY crew; DROP ROLE crew');

query($node, q{SET ROLE app; CREATE TABLE plain (id integer); CREATE TABLE sends (event jsonb, target text); RESET ROLE;
    CREATE TRIGGER s AFTER INSERT ON sends FOR EACH ROW EXECUTE FUNCTION rswebhook_outbox('destination_column=target')});
$holder->query('SET ROLE app; BEGIN; LOCK TABLE plain');
my $giver = Session->new($node);
$giver->start('SET ROLE app; ALTER TABLE public.plain OWNER TO team');
ok(wait_for_lock('plain'), 'ALTER TABLE OWNER waits');
$holder->query('ALTER TABLE plain RENAME TO plain_no_more; ALTER TABLE sends RENAME TO plain; COMMIT');
like(error_of($giver), qr/permission denied to give away table "plain"/, 'and does not give what has the name by then');
is(query($node, q{SELECT relowner::regrole FROM pg_class WHERE relname = 'plain'}), 'app', 'which has its owner still');
$holder->close;
query($node, 'DROP TABLE plain, plain_no_more, held');

# However a trigger is made, or a table is given away
query($node, q{SET ROLE app; CREATE TABLE whole (id integer) PARTITION BY LIST (id); CREATE TABLE whole_1 PARTITION OF whole FOR VALUES IN (1);
    CREATE TABLE one (id integer); CREATE TABLE looked (event jsonb); CREATE VIEW seen AS SELECT * FROM looked;
    CREATE TRIGGER s AFTER INSERT ON one FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('shop');
    CREATE TRIGGER s INSTEAD OF INSERT ON seen FOR EACH ROW EXECUTE FUNCTION rswebhook_outbox('destination=shop', 'keep=true');
    CREATE TRIGGER s AFTER INSERT ON whole FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('shop')});
foreach my $case (
    [ q{CREATE OR REPLACE TRIGGER s AFTER INSERT ON one FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('crm')}, qr/for destination "crm"/ ],
    [ q{CREATE OR REPLACE TRIGGER s AFTER INSERT ON one FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('shop', 'again')}, undef ],
    [ q{CREATE TRIGGER t AFTER INSERT ON whole FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('crm')}, qr/for destination "crm"/ ],
    [ q{CREATE TRIGGER t AFTER INSERT ON whole_1 FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('crm')}, qr/for destination "crm"/ ],
    [ q{CREATE TABLE whole_2 PARTITION OF whole FOR VALUES IN (2)}, undef ],
    [ q{ALTER TABLE whole ATTACH PARTITION one FOR VALUES IN (3)}, qr/trigger "s" for relation "one" already exists/ ],
    [ q{DO $$ BEGIN CREATE TRIGGER t AFTER INSERT ON one FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('crm'); EXCEPTION WHEN insufficient_privilege THEN RAISE 'caught'; END $$}, qr/caught/ ],
    [ q{CREATE SCHEMA whose CREATE TABLE t (id integer) CREATE TRIGGER t AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('crm')}, qr/for destination "crm"/ ],
    [ 'ALTER TABLE one ADD COLUMN more integer, OWNER TO team', qr/give away table "one"/ ],
    [ 'ALTER VIEW seen OWNER TO team', qr/give away table "seen"/ ],
    [ 'ALTER TABLE seen OWNER TO team', qr/give away table "seen"/ ],
    [ 'ALTER TABLE whole OWNER TO team', qr/give away table "whole"/ ],
    [ 'DO $$ BEGIN ALTER TABLE one OWNER TO team; END $$', qr/give away table "one"/ ],
    [ 'ALTER TABLE one OWNER TO app', undef ],
    [ 'ALTER TABLE one RENAME TO won; ALTER TABLE won SET SCHEMA near; ALTER TABLE near.won SET SCHEMA public; ALTER TABLE won RENAME TO one', undef ])
{
    my ($command, $expected) = @$case;
    my ($code, $out, $err) = $node->psql('postgres', "SET ROLE app; $command");

    defined $expected ? like($err, $expected, "$command: refused") : is("$code$err", '0', "$command: done");
}
query($node, 'DROP TABLE whole, one; DROP VIEW seen');

# Somebody else may make one for its table, but not for what its owner may not
my ($code, $out, $err) = $node->psql('postgres',
    q{CREATE TRIGGER s AFTER INSERT ON mine FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('crm')});
like($err, qr/permission denied for destination "crm".*"app"/s, 'a superuser hears that it could not work');
query($node, q{CREATE TRIGGER s AFTER INSERT ON box FOR EACH ROW EXECUTE FUNCTION rswebhook_outbox('destination_column=target')});
query($node, q{SET ROLE app; INSERT INTO box VALUES ('{"userId": "a"}', 'shop'), ('{"userId": "b"}', 'crm'), ('{"userId": "c"}', NULL)});
ok(wait_until_sent($node), 'what it may send is sent');
is(query($node, q{SELECT string_agg(coalesce(d.name, '-') || ' ' || l.outcome || ' ' || (e.event ->> 'userId'), ', ' ORDER BY e.id)
        FROM rswebhook.delivery l JOIN rswebhook.event e ON e.id = l.event_id LEFT JOIN rswebhook.destination d ON d.id = l.destination_id}),
    'shop delivered a, crm refused b, shop delivered c', 'and nothing else');

# Another name changes nothing, nor does a table's other owner
query($node, q{ALTER ROLE app RENAME TO application; ALTER TABLE shared OWNER TO application});
($code, $out, $err) = $node->psql('postgres', q{SET ROLE application; SELECT rswebhook_send('{}', 'crm')});
like($err, qr/permission denied for destination "crm"/, 'another name is the same role');

# A dump knows whom it binds; if the rows cannot be restored, nobody may send more for it
# and of whom it binds no more
query($node, q{INSERT INTO rswebhook.sender SELECT '4000000000', id FROM rswebhook.destination});
my $dump = $node->basedir . '/dump.sql';
run_ok('pg_dump', '-f', $dump, $node->connstr('postgres'));
query($node, 'CREATE DATABASE restored');
run_ok('psql', '-qX', '-v', 'ON_ERROR_STOP=1', '-o', '/dev/null', '-f', $dump, $node->connstr('restored'));
is(query($node, q{SELECT s.role, d.name FROM rswebhook.sender s JOIN rswebhook.destination d ON d.id = s.destination_id}, 'restored'),
    'application|shop', 'its grants are restored');
foreach my $lost (0, 1)
{
    query($node, 'DELETE FROM rswebhook.sender', 'restored') if $lost;
    ($code, $out, $err) = $node->psql('restored', q{SET ROLE application; SELECT rswebhook_send('{}', 'crm')});
    like($err, qr/permission denied for destination "crm"/, 'what it may not send is refused there');
    ($code, $out, $err) = $node->psql('restored', q{SET ROLE application; SELECT rswebhook_send('{}', 'shop')});
    is($err =~ /permission denied for destination "shop"/ ? 1 : 0, $lost, 'and what it may only if that is lost');
}
is(query($node, q{SET ROLE anywhere; SELECT rswebhook_send('{}', 'crm') IS NOT NULL}, 'restored'), 't', 'who may send anywhere may there');

# Whoever may change our schema and tables opens nothing to who sends to some only, once
# that is undone
($code, $out, $err) = $node->psql('postgres', q{
    BEGIN;
    ALTER SCHEMA rswebhook RENAME TO elsewhere;
    SAVEPOINT s;
    SET ROLE application;
    SELECT rswebhook_send('{}', 'crm');
    ROLLBACK TO s;
    ROLLBACK;
    SET ROLE application;
    SELECT rswebhook_send('{}', 'crm')}, on_error_stop => 0);
like($err, qr/permission denied for destination "crm"/, 'a schema that had another name for a moment');
foreach my $column ('role TYPE text', 'destination_id TYPE text USING destination_id::text', 'destination_id TYPE numeric')
{
    ($code, $out, $err) = $node->psql('postgres', qq{
        BEGIN;
        ALTER TABLE rswebhook.sender ALTER $column;
        SET ROLE application;
        SELECT rswebhook_send('{}', 'crm')});
    like($err, qr/columns of relation "rswebhook.sender" are not as they have to be/, $column);
}

# Whose database it is counts at once, where its owner may send; and nothing of a sender's stays
query($node, q{
    CREATE DATABASE owned; CREATE ROLE tenant LOGIN});
query($node, q{
    CREATE EXTENSION rswebhook;
    INSERT INTO rswebhook.destination (name, url, paused) VALUES ('shop', 'http://127.0.0.1:1/', true), ('crm', 'http://127.0.0.1:1/', true);
    SELECT rswebhook.grant_sender('tenant');
    SELECT rswebhook_revoke_send('tenant');
    SELECT rswebhook_grant_send('tenant', 'shop');
    GRANT EXECUTE ON FUNCTION rswebhook_send TO pg_database_owner;
    ALTER DATABASE owned OWNER TO tenant}, 'owned');
my $tenant = Session->new($node, 'owned');
$tenant->query('SET SESSION AUTHORIZATION tenant');
is($tenant->query(q{SELECT rswebhook_send('{}', 'crm') IS NOT NULL}), 't', 'the owner of a database may send anywhere if that was granted');
query($node, 'ALTER DATABASE owned OWNER TO postgres');
$tenant->start(q{SELECT rswebhook_send('{}', 'crm')});
like(error_of($tenant), qr/permission denied for destination "crm"/, 'and not any more once it is somebody else\'s');
(undef, undef, my $looks) = $node->psql('owned', q{SET ROLE tenant; SELECT rswebhook_transform('{}'::jsonb, 'crm'::text)});
like($looks, qr/permission denied for function rswebhook_transform/, 'nor does it look at what would be sent there');

# Rows without the mark bind nobody, of which an adopted database is told
query($node, q{CREATE DATABASE bare});
query($node, q{CREATE EXTENSION rswebhook; INSERT INTO rswebhook.sender VALUES ('tenant', 1)}, 'bare');
(undef, undef, my $adopted) = $node->psql('bare', 'SELECT rswebhook_adopt()');
like($adopted, qr/WARNING:  roles have destinations in rswebhook.sender, and nothing that binds them to these: tenant\n.*HINT/s, 'adopt tells of roles that are not bound');
query($node, q{SELECT rswebhook_revoke_send('tenant')}, 'bare');
(undef, undef, $adopted) = $node->psql('bare', 'SELECT rswebhook_adopt()');
is($adopted, '', 'until they are');

$node->stop;
done_testing();

sub wait_for_lock
{
    my ($table) = @_;

    return wait_for_query($node, qq{SELECT count(*) FROM pg_locks WHERE relation = '$table'::regclass AND NOT granted}, '1');
}

sub error_of
{
    my ($session) = @_;
    my $error = eval { $session->finish; 1 } ? '' : $@;

    $session->close;
    return $error;
}
