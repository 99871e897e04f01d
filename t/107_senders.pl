# A role that may send to some destinations only: its triggers are asked when they are
# made, whatever it sets; and it stays bound when a role is renamed, and in a dump.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Test::More;

my $receiver = new_receiver();
my $node = new_node('senders');

add_destination($node, $_, $receiver->url("/$_")) foreach qw(shop crm);
query($node, q{
    CREATE ROLE app LOGIN; CREATE ROLE team; CREATE ROLE anywhere LOGIN;
    GRANT team TO app;
    GRANT CREATE ON SCHEMA public TO app, team;
    SELECT rswebhook_grant_send('app', 'shop'), rswebhook.grant_sender('anywhere');
    CREATE TABLE shared (id integer, target text);
    GRANT TRIGGER, INSERT ON shared TO app;
    SET ROLE app;
    CREATE TABLE mine (id integer, target text); CREATE TABLE box (event jsonb, target text)});

# What it may not make, as what it may; also as if it restored a dump
foreach my $set ('', 'SET check_function_bodies = off;')
{
    foreach my $case (
        [ 'mine', q{rswebhook_trigger('shop')}, undef ],
        [ 'shared', q{rswebhook_trigger('shop')}, undef ],
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

$node->stop;
done_testing();
