# Whatever default privileges say, nobody but the owner may do anything until it is
# granted; and where the owner of the database may make functions in the same schema,
# ours do not call his.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Test::More;

my $node = new_node('grants');

query($node, q{CREATE ROLE anon; CREATE ROLE "O'Brien" LOGIN; CREATE ROLE app; CREATE ROLE ops; CREATE ROLE made});
query($node, 'CREATE DATABASE hosted');
query($node, $_, 'hosted') foreach
  'ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON FUNCTIONS TO anon WITH GRANT OPTION',
  q{ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO anon, "O'Brien"},
  'ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO PUBLIC',
  'ALTER DEFAULT PRIVILEGES GRANT ALL ON SCHEMAS TO anon',
  'CREATE SCHEMA "our Hooks"',
  'CREATE EXTENSION rswebhook SCHEMA "our Hooks"';

# All that is ours, and who but its owner may do something with it
my $grants = q{
    WITH ours AS (
        SELECT 'schema ' || nspname AS name, coalesce(nspacl, acldefault('n', nspowner)) AS acl, nspowner AS owner
            FROM pg_namespace WHERE nspname = 'rswebhook'
        UNION ALL
        SELECT 'relation ' || oid::regclass, coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner)), relowner
            FROM pg_class WHERE relnamespace = 'rswebhook'::regnamespace AND relkind IN ('r', 'p', 'v', 'S')
        UNION ALL
        SELECT 'function ' || oid::regprocedure, coalesce(proacl, acldefault('f', proowner)), proowner
            FROM pg_proc WHERE pronamespace = 'rswebhook'::regnamespace OR proname LIKE 'rswebhook%')
    SELECT %s FROM ours CROSS JOIN LATERAL aclexplode(acl) AS a WHERE grantee <> owner};
is(query($node, sprintf($grants, q{string_agg(DISTINCT grantee::regrole::text, ' ')}), 'hosted'),
    'pg_monitor', 'only monitoring has anything');
is(query($node, sprintf($grants, q{string_agg(DISTINCT concat_ws(' ', name, privilege_type, is_grantable), E'\n' ORDER BY concat_ws(' ', name, privilege_type, is_grantable))}), 'hosted'),
    join("\n", map { s/$/ f/r } 'function "our Hooks".rswebhook_prometheus() EXECUTE', 'function rswebhook.count_owed(integer) EXECUTE', 'function rswebhook.filter_errors() EXECUTE', 'function rswebhook.is_home() EXECUTE', 'function rswebhook.latency(text,boolean) EXECUTE', 'function rswebhook.oldest_event() EXECUTE', 'function rswebhook.tallies() EXECUTE', 'function rswebhook.tally_show(bigint[],timestamp with time zone) EXECUTE', 'function rswebhook.time_since(timestamp with time zone) EXECUTE',
        'function rswebhook.unusable() EXECUTE', 'function rswebhook.worker_pid() EXECUTE', 'function rswebhook.worker_stats() EXECUTE',
        'function rswebhook.workers() EXECUTE', 'relation rswebhook.alert SELECT', 'relation rswebhook.metrics SELECT', 'relation rswebhook.status SELECT', 'schema rswebhook USAGE'),
    'and no more than it needs');
cmp_ok(query($node, sprintf($grants =~ s/<> owner/= owner/r, 'count(DISTINCT name)'), 'hosted'), '>', 60, 'of all there is');

# One call is enough, whatever schema the functions are in
query($node, q{SELECT rswebhook.grant_sender('app'), rswebhook.grant_operator('ops'), rswebhook.grant_sender('"O''Brien"');
    INSERT INTO rswebhook.destination (name, url, paused) VALUES ('d', 'http://127.0.0.1:9/', true)}, 'hosted');
is(query($node, q{SET ROLE app; SELECT "our Hooks".rswebhook_send('{"type": "track"}', 'd') IS NOT NULL;
        CREATE TEMP TABLE t (); CREATE TRIGGER s AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION "our Hooks".rswebhook_trigger('d')}, 'hosted'),
    't', 'a sender sends');
is(query($node, q{SET ROLE ops; SELECT pending FROM rswebhook.status; SELECT "our Hooks".rswebhook_cancel_all('d')}, 'hosted'),
    "1\n1", 'an operator operates');

query($node, q{CREATE ROLE editor; SELECT rswebhook.grant_editor('editor')}, 'hosted');
is(query($node, q{SET ROLE editor; SELECT name, id > 0, not_mapped IS NULL FROM "our Hooks".rswebhook_import('{"webhookUrl": "https://example.com/"}', 'imported')}, 'hosted'),
    'imported|t|t', 'an editor imports');

# The owner of a database is no superuser
query($node, 'CREATE DATABASE his OWNER made');
query($node, 'CREATE EXTENSION rswebhook', 'his');
query($node, q{INSERT INTO rswebhook.destination (name, url, paused) VALUES ('d', 'http://127.0.0.1:9/', true)}, 'his');
query($node, q{SET ROLE made; CREATE FUNCTION public.rswebhook_replay(event_id text) RETURNS bigint LANGUAGE plpgsql AS
        $$ BEGIN RAISE 'called as %', current_user; END $$}, 'his');
like(($node->psql('his', 'SELECT rswebhook_replay(1)'))[2], qr/event 1 does not exist/, 'a number reaches none of his functions');

# Whoever may create in public has put operators there that fit better than PostgreSQL's
# do, as they are of the very types: none of them is called, or found by what we create
query($node, 'CREATE DATABASE planted OWNER made');
query($node, q{
    SET ROLE made;
    DO $do$
    DECLARE
        p record;
    BEGIN
        FOR p IN
            SELECT o.name AS operator, l.name AS left_type, r.name AS right_type
            FROM unnest('{=,<>,<,>,<=,>=,||,+,-,~,!~,~~,@>,<@,&&}'::text[]) AS o (name),
                unnest('{oid,int2,int4,int8,text,name,bool,"\"char\"",regclass,regrole,regprocedure,regnamespace,jsonb,timestamptz,interval,oid[],text[]}'::text[]) AS l (name),
                unnest('{oid,int2,int4,int8,text,name,bool,"\"char\"",regclass,regrole,regprocedure,regnamespace,jsonb,timestamptz,interval,oid[],text[]}'::text[]) AS r (name)
            WHERE NOT EXISTS (SELECT FROM pg_operator WHERE oprname = o.name
                AND oprleft = l.name::regtype AND oprright = r.name::regtype)
        LOOP
            EXECUTE format('CREATE OR REPLACE FUNCTION public.planted(%s, %s) RETURNS boolean LANGUAGE plpgsql AS'
                ' $$ BEGIN RAISE %L; END $$', p.left_type, p.right_type,
                format('%s %s %s is called', p.left_type, replace(p.operator, '%', '%%'), p.right_type));
            EXECUTE format('CREATE OPERATOR public.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = public.planted)',
                p.operator, p.left_type, p.right_type);
        END LOOP;
    END $do$}, 'planted');
cmp_ok(query($node, q{SET search_path = pg_catalog; SELECT count(*) FROM pg_operator WHERE oprnamespace = 'public'::regnamespace}, 'planted'), '>', 3000, 'operators are planted');
is(($node->psql('planted', 'CREATE EXTENSION rswebhook'))[2], '', 'none is called while the extension is created');
is(query($node, q{SET search_path = pg_catalog; SELECT count(*) FROM pg_depend AS d JOIN pg_operator AS o ON d.refclassid = 'pg_operator'::regclass AND d.refobjid = o.oid
        WHERE o.oprnamespace = 'public'::regnamespace}, 'planted'), '0', 'nor will one be');
query($node, q{
    INSERT INTO rswebhook.destination (name, url, paused) VALUES ('d', 'http://127.0.0.1:9/', true);
    SELECT rswebhook_send('{"type": "track"}'::jsonb, 'd'::text), rswebhook_cancel_all('d'::text), rswebhook_replay_all('d'::text, '2020-01-01'::timestamptz), rswebhook_cancel(0), rswebhook_explain(0), rswebhook.find(since => now()), rswebhook_adopt();
    SELECT rswebhook.raise_alert('settings', 0, 'it does not fit'), rswebhook.clear_alert('settings', 0), rswebhook.look_for_alerts(0);
    SELECT * FROM rswebhook_import('[{"destinations": [{"id": "a", "name": "w", "type": "WEBHOOK", "enabled": true, "config": {"webhookUrl": "{{ event.x || https://example.com/ }}", "headers": [{"from": "A", "to": "env.B"}], "consentManagement": {"web": [{"provider": "p", "consents": [{"consent": "c"}]}]}}},
        {"id": "b", "name": "w", "type": "HTTP", "transformation": {"id": "t"}, "config": {"apiUrl": "https://example.com/", "auth": "basicAuth", "username": "u", "headers": [{"to": "A", "from": "$.b"}], "eventFilteringOption": "whitelistedEvents", "whitelistedEvents": [{"eventName": "e"}]}}]},
        {"connections": [{"sourceId": "s", "destinationId": "a"}]}, {"sources": [{"id": "s", "type": "Javascript"}]}]'::jsonb);
    DELETE FROM rswebhook.destination WHERE name <> 'd';
    SELECT * FROM rswebhook.status}, 'planted');
is(query($node, q{SET search_path = pg_catalog; SELECT state FROM rswebhook.status}, 'planted'), 'paused', 'or has been, by what it does');

done_testing();
