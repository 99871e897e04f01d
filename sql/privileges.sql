-- Privileges: nobody may do anything until somebody grants it; a sender needs
-- one function, an operator a few.
-- All destinations are paused, so that a worker leaves them alone.
SET client_min_messages = error;
INSERT INTO rswebhook.destination (name, url, headers, paused)
    VALUES ('crm', 'https://example.com/crm', '{"Authorization": "Bearer s3cret"}', true);
CREATE ROLE regress_nobody;
CREATE ROLE regress_sender;
CREATE ROLE regress_operator;
CREATE ROLE regress_reader;

-- nothing of the extension is anybody's but the owner's
SELECT p.oid::regprocedure AS granted
    FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
    JOIN pg_extension x ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = x.oid
    WHERE x.extname = 'rswebhook' AND has_function_privilege('regress_nobody', p.oid, 'EXECUTE');
SELECT c.oid::regclass AS granted
    FROM pg_class c
    WHERE c.relnamespace = 'rswebhook'::regnamespace AND c.relkind IN ('r', 'p', 'v')
    AND has_table_privilege('regress_nobody', c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER');
SELECT c.oid::regclass AS granted
    FROM pg_class c
    WHERE c.relnamespace = 'rswebhook'::regnamespace
    AND CASE WHEN c.relkind = 'S' THEN has_sequence_privilege('regress_nobody', c.oid, 'USAGE, SELECT, UPDATE') END;
SELECT has_schema_privilege('regress_nobody', 'rswebhook', 'USAGE, CREATE') AS granted;

-- functions with the owner's rights look nowhere but where they should
SELECT p.proname FROM pg_proc p
    WHERE p.proname LIKE 'rswebhook%' AND p.prosecdef
    AND p.proconfig IS DISTINCT FROM ARRAY['search_path=pg_catalog, pg_temp'];

SET ROLE regress_nobody;
SELECT rswebhook_send('{}', 'crm');
SELECT rswebhook_transform('{}', 'GET');
SELECT rswebhook_pause('crm');
SELECT name FROM rswebhook.destination;
CREATE TEMP TABLE mine (id integer);
CREATE TRIGGER t AFTER INSERT ON mine FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('crm');
RESET ROLE;

--
-- A sender sends, and reads nothing
--
SELECT rswebhook.grant_sender('regress_sender');
SET ROLE regress_sender;
SELECT rswebhook_send('{"n": 1}', 'crm') IS NOT NULL AS sent;
SELECT rswebhook_send('{"n": 2}') IS NOT NULL AS sent;
SELECT event FROM rswebhook.event;
SELECT headers FROM rswebhook.destination;
SELECT nextval('rswebhook.event_id_seq');
SELECT rswebhook_transform('{}', 'crm');
SELECT rswebhook.notify_worker(NULL, NULL, NULL);
SELECT rswebhook_replay(1);
RESET ROLE;
SELECT event FROM rswebhook.event ORDER BY id;

-- not even with a right to look into the schema
GRANT USAGE ON SCHEMA rswebhook TO regress_sender;
SET ROLE regress_sender;
SELECT event FROM rswebhook.event;
SELECT headers FROM rswebhook.destination;
INSERT INTO rswebhook.queue (destination_id, event_slot, event_id, queued_at) VALUES (1, 0, 0, now());
RESET ROLE;

--
-- A table's trigger sends for everybody who may change the table
--
CREATE TABLE orders (id integer);
CREATE TRIGGER send AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('crm', 'ordered');
GRANT INSERT ON orders TO regress_nobody;
SET ROLE regress_nobody;
INSERT INTO orders VALUES (1);
RESET ROLE;
SELECT event ->> 'event' AS event FROM rswebhook.event ORDER BY id DESC LIMIT 1;
DROP TABLE orders;

--
-- Triggers on the extension's tables run with the rights of the tables' owner,
-- not with a sender's, and in a security-restricted operation
--
CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_user = 'regress_sender' THEN
        RAISE EXCEPTION 'called as %', current_user;
    END IF;
    CREATE TEMP TABLE left_behind ();
    RETURN NEW;
EXCEPTION WHEN insufficient_privilege THEN
    RETURN NEW;
END
$$;
CREATE TRIGGER watch BEFORE INSERT ON rswebhook.queue FOR EACH ROW EXECUTE FUNCTION watch();
SET ROLE regress_sender;
SELECT rswebhook_send('{"n": 3}', 'crm') IS NOT NULL AS sent;
RESET ROLE;
SELECT to_regclass('left_behind');
DROP TRIGGER watch ON rswebhook.queue;
DROP FUNCTION watch();

--
-- A reader of requests sees the names of configured headers, and their values
-- only with the privileges of the columns; what the event brings along is its own
--
GRANT EXECUTE ON FUNCTION rswebhook_transform(jsonb, text) TO regress_reader;
SET ROLE regress_reader;
SELECT rswebhook_transform('{"header": {"x-own": "shown"}}', 'crm') -> 'headers' AS headers;
RESET ROLE;
GRANT USAGE ON SCHEMA rswebhook TO regress_reader;
GRANT SELECT (url, headers, auth_username, auth_password, auth_token, header_mapping, query_mapping, body_mapping) ON rswebhook.destination TO regress_reader;
SET ROLE regress_reader;
SELECT rswebhook_transform('{}', 'crm') -> 'headers' AS headers;
RESET ROLE;

--
-- An operator operates, without reading secrets or payloads
--
SELECT rswebhook.grant_operator('regress_operator');
SET ROLE regress_operator;
SELECT rswebhook_pause('crm');
SELECT destination, state, pending FROM rswebhook.status;
SELECT count(*) FROM rswebhook.delivery;
SELECT rswebhook_cancel_all('crm');
SELECT rswebhook_replay_all('crm', '-infinity', outcome => 'cancelled');
SELECT rswebhook_cancel(event_id, 'crm') FROM rswebhook.queue ORDER BY event_id LIMIT 1;
CALL rswebhook_cancel_in_pieces('crm', piece => 1);
SELECT rswebhook_replay(event_id, 'crm', dry_run => true) FROM rswebhook.delivery ORDER BY event_id LIMIT 1;
CALL rswebhook_replay_in_pieces('crm', outcome => 'cancelled');
SELECT state FROM rswebhook_explain((SELECT min(event_id) FROM rswebhook.queue));
SELECT count(*) FROM rswebhook.find(since => now() - interval '1 h');
SELECT destination, owed FROM rswebhook.balance();
SELECT count(*) FROM rswebhook.undelivered;
SELECT count(*) FROM rswebhook.activity;
RESET ROLE;
BEGIN;
UPDATE rswebhook.delivery SET outcome = 'aborted';
DELETE FROM rswebhook.queue;
SELECT count(*), count(event) AS seen_by_owner FROM rswebhook.failed;
SET ROLE regress_operator;
SELECT count(*), count(event) AS payloads FROM rswebhook.failed;
ROLLBACK;
SET ROLE regress_operator;
SELECT action, done FROM rswebhook.progress ORDER BY started_at;
\set SHOW_CONTEXT never
CALL rswebhook_test('crm', wait => '0 s') \gset test_
SELECT :'test_outcome' AS outcome, :'test_error' AS error;
CALL rswebhook_test('crm', '{"type": "track"}');
CALL rswebhook.index_events('user_id');
DELETE FROM rswebhook.progress;
\set SHOW_CONTEXT errors
SELECT headers FROM rswebhook.destination;
SELECT event FROM rswebhook.event;
RESET ROLE;

-- A monitor looks, and does nothing; an editor sets up, and reads no event
CREATE ROLE regress_monitor;
CREATE ROLE "regress Editor's";
GRANT pg_monitor TO regress_monitor;
SELECT rswebhook.grant_editor('"regress Editor''s"');
SET ROLE regress_monitor;
SELECT destination, state FROM rswebhook.status;
SELECT count(*) > 10 AS metrics, rswebhook_prometheus() LIKE '%rswebhook_pending{%' AS text, (SELECT count(*) FROM rswebhook.latency('crm')) AS latency FROM rswebhook.metrics;
SELECT share FROM rswebhook.workers();
SELECT count(*) >= 0 AS readable FROM rswebhook.alert;
DELETE FROM rswebhook.alert;
SELECT rswebhook.raise_alert('settings', 0, 'hello');
SELECT rswebhook.clear_alert('settings', 0);
SELECT rswebhook.look_for_alerts(0);
SELECT rswebhook.tell_alert(1);
SELECT rswebhook.send_alert('{}');
SELECT name FROM rswebhook.destination;
SELECT error FROM rswebhook.delivery;
SELECT rswebhook_resume('crm');
SELECT rswebhook.grant_operator('regress_monitor');
SELECT rswebhook_cancel_all('crm');
SELECT rswebhook_replay_all('crm');
CALL rswebhook_cancel_in_pieces('crm');
CALL rswebhook_replay_in_pieces('crm');
CALL rswebhook_test('crm');
SELECT rswebhook_explain(1);
SELECT rswebhook.find(since => now());
SELECT rswebhook.balance();
SELECT * FROM rswebhook.failed;
SELECT * FROM rswebhook.undelivered;
SELECT * FROM rswebhook.activity;
SELECT * FROM rswebhook.requests();
SELECT * FROM rswebhook.progress;
SELECT rswebhook.payload(1);
CALL rswebhook.index_events('user_id');
RESET ROLE;
SET ROLE "regress Editor's";
INSERT INTO rswebhook.destination (name, url, paused) VALUES ('made', 'https://example.com/made', true);
UPDATE rswebhook.destination SET signing_secrets = jsonb_build_array(rswebhook_generate_secret()) WHERE name = 'made';
SELECT rswebhook_transform('{}', 'made') -> 'endpoint' AS endpoint;
SELECT destination, state FROM rswebhook.status WHERE destination = 'made';
DELETE FROM rswebhook.destination WHERE name = 'made';
SELECT rswebhook_send('{}', 'crm');
SELECT event FROM rswebhook.event;
RESET ROLE;
\set SHOW_CONTEXT never
SELECT rswebhook.grant_sender('regress_absent');
SELECT rswebhook.grant_sender('public');
SELECT rswebhook.grant_sender('-');
SELECT rswebhook.grant_sender('4000000000');
SELECT rswebhook.grant_sender(NULL);
\set SHOW_CONTEXT errors

-- a temporary table cannot get in front of the owner's
SET ROLE regress_operator;
CREATE TEMP TABLE destination (id integer, name text, paused boolean);
SELECT rswebhook_pause('crm');
DROP TABLE destination;
RESET ROLE;

--
-- Who changes a table does not hear what is in a column that he may not read
--
CREATE ROLE regress_clerk;
CREATE TABLE notes (id integer, note text, target text);
INSERT INTO notes VALUES (1, '', 'hidden-name');
CREATE TRIGGER send AFTER UPDATE ON notes FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('', '', 'destination_column=target');
GRANT UPDATE (note) ON notes TO regress_clerk;
SET client_min_messages = warning;
SET ROLE regress_clerk;
UPDATE notes SET note = 'a';
RESET ROLE;
GRANT SELECT (target) ON notes TO regress_clerk;
SET ROLE regress_clerk;
UPDATE notes SET note = 'b';
RESET ROLE;
ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
CREATE POLICY all_of_it ON notes USING (true);
SET ROLE regress_clerk;
UPDATE notes SET note = 'c';
RESET ROLE;
SET client_min_messages = error;
SELECT error FROM rswebhook.delivery WHERE outcome = 'refused' ORDER BY event_id;
DROP TABLE notes;
DROP ROLE regress_clerk;

DROP TABLE IF EXISTS mine;
DROP OWNED BY regress_nobody, regress_sender, regress_operator, regress_reader, regress_monitor, "regress Editor's";
DROP ROLE regress_nobody, regress_sender, regress_operator, regress_reader, regress_monitor, "regress Editor's";
DELETE FROM rswebhook.queue;
TRUNCATE rswebhook.delivery, rswebhook.event;
DELETE FROM rswebhook.destination;
