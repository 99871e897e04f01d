-- Rows that are there as events, as a trigger makes them.
-- All destinations are paused, so that a worker leaves them alone.
SET client_min_messages = error;
\set SHOW_CONTEXT never
INSERT INTO rswebhook.destination (name, url, paused) VALUES ('crm', 'https://example.com/crm', true), ('shop', 'https://example.com/shop', true);
CREATE TABLE orders (region text, id integer, gone text, customer text, note text, PRIMARY KEY (region, id));
ALTER TABLE orders DROP gone;
INSERT INTO orders SELECT r, n, 'u' || n % 3, r || n FROM unnest(ARRAY['north', 'south', 'we"st']) r, generate_series(1, 4) n;
ALTER TABLE orders ADD added text DEFAULT 'later';

CREATE VIEW sent AS
    SELECT d.name, e.event ->> 'type' AS type, e.event ->> 'event' AS event, e.event ->> 'userId' AS user_id, e.event -> 'properties' AS properties
    FROM rswebhook.event e JOIN rswebhook.queue q ON q.event_id = e.id JOIN rswebhook.destination d ON d.id = q.destination_id
    ORDER BY e.id;

-- by options
CALL rswebhook_backfill('orders', 'crm', ARRAY['user_id=customer', 'name=Order Known', 'except=note'], piece => 5);
SELECT name, type, event, user_id, properties FROM sent LIMIT 5;
SELECT count(*), count(DISTINCT properties) FROM sent;
SELECT action, done, subject, place, upto, ended_at IS NOT NULL AS ended FROM rswebhook.progress;
TRUNCATE rswebhook.event, rswebhook.queue, rswebhook.progress;

-- as a trigger would, and is itself not fired; and some of them only
CREATE TRIGGER "Send it" AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('shop', '', 'shape=hasura', 'columns=note');
CALL rswebhook_backfill('orders', 'crm', trigger => 'Send it', condition => $$region = 'south' AND id > 2$$, piece => 1);
INSERT INTO orders VALUES ('south', 9, 'u9', 'south9');
SELECT d.name, (e.event - 'id' - 'created_at') #- '{event,trace_context}' AS event FROM rswebhook.event e
    JOIN rswebhook.queue q ON q.event_id = e.id JOIN rswebhook.destination d ON d.id = q.destination_id ORDER BY e.id;
TRUNCATE rswebhook.event, rswebhook.queue, rswebhook.progress;

-- what one row has wrong fails it alone, or all from there on; and then one goes on
ALTER TABLE orders ADD destination text;
INSERT INTO orders VALUES ('north', 0, repeat('long', 300), 'north0');
CALL rswebhook_backfill('orders', 'crm', ARRAY['ordering_key=customer', 'columns=note'], condition => $$region = 'north'$$);
SELECT count(*) FROM sent;
SELECT outcome, error FROM rswebhook.delivery;
CALL rswebhook_backfill('orders', 'crm', ARRAY['ordering_key=customer', 'columns=note', 'on_error=raise'], piece => 1);
DELETE FROM orders WHERE id = 0;
TRUNCATE rswebhook.event, rswebhook.queue, rswebhook.progress;
CALL rswebhook_backfill('orders', 'crm', ARRAY['columns=note'], condition => '1 / (id - 3) > -1000', piece => 1);
SELECT properties FROM sent;
SELECT done, place, upto, ended_at FROM rswebhook.progress;
-- nobody begins anew by accident
\set VERBOSITY sqlstate
CALL rswebhook_backfill('orders', 'crm', ARRAY['columns=note'], condition => '1 / (id - 3) > -1000', piece => 1);
\set VERBOSITY default
DELETE FROM orders WHERE id = 3;
INSERT INTO orders SELECT 'zone', n FROM generate_series(1, 10) n;
SET search_path = theirs;
CALL public.rswebhook_backfill('public.orders', 'crm', ARRAY['columns=note'], condition => '1 / (id - 3) > -1000', resume => true);
RESET search_path;
SELECT properties FROM sent;
SELECT done, ended_at IS NOT NULL AS ended FROM rswebhook.progress;
-- what is over is begun anew
CALL rswebhook_backfill('orders', 'crm', ARRAY['columns=note'], condition => $$region = 'zone'$$);
CALL rswebhook_backfill('orders', 'crm', ARRAY['columns=note'], condition => $$region = 'zone'$$);
SELECT count(*) FROM sent;
-- but not gone on with
INSERT INTO orders VALUES ('zone', 99);
CALL rswebhook_backfill('orders', 'crm', ARRAY['columns=note'], condition => $$region = 'zone'$$, resume => true);
CALL rswebhook_backfill('orders', 'crm', ARRAY['columns=note'], condition => $$region = 'zone'$$, resume => true);
SELECT count(*) FROM sent;
SELECT done, ended_at IS NOT NULL AS ended FROM rswebhook.progress ORDER BY started_at DESC LIMIT 1;
-- a comment is a part of a condition
CALL rswebhook_backfill('orders', 'crm', ARRAY['columns=note'], condition => 'id = 99 -- the last');
SELECT count(*) FROM sent;

-- a condition is an expression by itself, and may end in a comment
TRUNCATE rswebhook.event, rswebhook.queue, rswebhook.progress;
\set VERBOSITY sqlstate
CALL rswebhook_backfill('orders', 'crm', ARRAY['columns=note'], condition => 'id > 9) AND (true');
\set VERBOSITY default
CALL rswebhook_backfill('orders', 'crm', ARRAY['columns=id'], condition => 'id > 9 -- the last ones');
SELECT properties FROM sent;

-- partitions, keys of other types, and nothing at all
TRUNCATE rswebhook.event, rswebhook.queue, rswebhook.progress;
CREATE TYPE size AS ENUM ('small', 'large');
CREATE DOMAIN day AS date CHECK (value > '2000-01-01');
CREATE TABLE parts (at day, size size, n float8, PRIMARY KEY (at, size, n)) PARTITION BY RANGE (at);
CREATE TABLE part_1 PARTITION OF parts FOR VALUES FROM ('2001-01-01') TO ('2024-01-01');
CREATE TABLE part_2 (n float8 NOT NULL, size size NOT NULL, at day NOT NULL);
ALTER TABLE parts ATTACH PARTITION part_2 FOR VALUES FROM ('2024-01-01') TO ('2030-01-01');
SET datestyle = 'SQL, DMY';
SET extra_float_digits = -10;
CALL rswebhook_backfill('parts', 'crm');
INSERT INTO parts SELECT date '2023-12-30' + d, s, 0.1 + 0.2 * d FROM generate_series(0, 3) d, unnest('{large,small}'::size[]) s;
CALL rswebhook_backfill('parts', 'crm', piece => 1);
SELECT event, properties FROM sent;
RESET datestyle;
RESET extra_float_digits;

-- what cannot work
CREATE TABLE bare (id integer);
CREATE VIEW looked AS SELECT * FROM bare;
CALL rswebhook_backfill('bare', 'crm');
CALL rswebhook_backfill('looked', 'crm');
CALL rswebhook_backfill('orders', 'nowhere');
CALL rswebhook_backfill('orders', 'crm', '{user_id=nobody}');
CALL rswebhook_backfill('orders', 'crm', '{colour=red}');
CALL rswebhook_backfill('orders', 'crm', '{}', 'Send it');
CALL rswebhook_backfill('orders', 'crm', trigger => 'none');
CALL rswebhook_backfill('orders', 'crm', piece => 0);
CALL rswebhook_backfill('orders', 'crm', per_second => 0);
CALL rswebhook_backfill('orders', 'crm', condition => 'true) OR (true', piece => 1);
CALL rswebhook_backfill('orders', 'crm', condition => 'id > $6');
CALL rswebhook_backfill('orders', 'crm', condition => 'true LIMIT 1');
BEGIN;
CALL rswebhook_backfill('orders', 'crm');
ROLLBACK;

-- who may: the table's owner, who was granted the functions
CREATE ROLE regress_owner;
CREATE ROLE regress_other;
SET ROLE regress_other;
CALL rswebhook_backfill('orders', 'crm');
RESET ROLE;
GRANT USAGE ON SCHEMA rswebhook TO regress_other, regress_owner;
GRANT EXECUTE ON PROCEDURE rswebhook_backfill TO regress_other, regress_owner;
SELECT format('GRANT EXECUTE ON ROUTINE %s TO regress_other, regress_owner', p.oid::regprocedure)
    FROM pg_proc p WHERE p.pronamespace = 'rswebhook'::regnamespace AND (p.proname LIKE 'backfill%' OR p.proname IN ('keep_pace', 'nap', 'time_since')) ORDER BY p.proname \gexec
GRANT SELECT ON orders TO regress_other;
SET ROLE regress_other;
CALL rswebhook_backfill('orders', 'crm', ARRAY['columns=id']);
SELECT rswebhook.backfill_row('orders', 'rswebhook_trigger()', 'crm', '{}', NULL, o) FROM orders o;
SELECT rswebhook.backfill_row('orders', 'rswebhook_trigger()', 'crm', NULL, NULL, o) FROM orders o;
SELECT rswebhook.backfill_row('orders', 'rswebhook_trigger()', 'crm', '{}', NULL, NULL);
RESET ROLE;
-- a cast of the owner's is not called by whoever is more than he
CREATE SCHEMA theirs AUTHORIZATION regress_owner;
GRANT regress_owner TO CURRENT_USER;
SET ROLE regress_owner;
CREATE TYPE theirs.pair AS ENUM ('one');
CREATE FUNCTION theirs.as_json(theirs.pair) RETURNS json LANGUAGE plpgsql AS $$ BEGIN RETURN to_json(current_user::text); END $$;
CREATE CAST (theirs.pair AS json) WITH FUNCTION theirs.as_json(theirs.pair);
CREATE TABLE theirs.pairs (id integer PRIMARY KEY, pair theirs.pair);
INSERT INTO theirs.pairs VALUES (1, 'one');
RESET ROLE;
TRUNCATE rswebhook.event, rswebhook.queue, rswebhook.progress;
CALL rswebhook_backfill('theirs.pairs', 'crm');
SELECT properties FROM sent;
TRUNCATE rswebhook.event, rswebhook.queue;
SET ROLE regress_owner;
CALL rswebhook_backfill('theirs.pairs', 'shop');
RESET ROLE;
SELECT name, properties FROM sent;

DROP SCHEMA theirs CASCADE;
DROP VIEW sent, looked;
DROP TABLE orders, parts, bare;
DROP TYPE size;
DROP DOMAIN day;
DROP OWNED BY regress_owner, regress_other;
DROP ROLE regress_owner, regress_other;
TRUNCATE rswebhook.event, rswebhook.queue, rswebhook.delivery, rswebhook.progress;
DELETE FROM rswebhook.destination;
