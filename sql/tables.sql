-- What rswebhook_trigger() makes of a table's changes, option by option.
-- All destinations are paused, so that a worker leaves them alone.
SET client_min_messages = error;
INSERT INTO rswebhook.destination (name, url, paused) VALUES
    ('crm', 'https://example.com/crm', true), ('shop', 'https://example.com/shop', true);

-- what was sent, in order, and forget it
CREATE FUNCTION sent() RETURNS SETOF jsonb LANGUAGE plpgsql AS $$
BEGIN
    -- its keys are in the order in which jsonb finds them
    ASSERT NOT EXISTS (SELECT FROM rswebhook.event e WHERE e.event <> e.event::text::jsonb);
    RETURN QUERY SELECT e.event FROM rswebhook.event e ORDER BY e.id;
    DELETE FROM rswebhook.queue;
    DELETE FROM rswebhook.event;
END $$;
CREATE FUNCTION trigger_on(name text, events text, arguments text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('DROP TRIGGER IF EXISTS send ON %s', name);
    EXECUTE format('CREATE TRIGGER send AFTER %s ON %s FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger(%s)',
                   events, name, arguments);
END $$;

--
-- Every kind of column is as to_jsonb() has it
--
CREATE TYPE mood AS ENUM ('calm', 'Ça va');
CREATE DOMAIN positive AS numeric CHECK (VALUE > 0);
CREATE DOMAIN words AS text[];
CREATE TYPE pair AS (a integer, b timestamptz);
CREATE TABLE kinds (
    id serial, "Quoted ""Name" text, b boolean, i2 smallint, i8 bigint, f4 real, f8 double precision, n numeric,
    t text, v varchar(20), c char(5), nm name, one "char", by bytea, d date, ts timestamp, tz timestamptz, tm time, tmz timetz,
    iv interval, u uuid, j json, jb jsonb, arr integer[], arr2 text[][], tzs timestamptz[], r int4range, tr tstzrange,
    e mood, dom positive, doma words, comp pair, ip inet, mac macaddr, bits bit(4), mo money, x xml, q tsvector, p point,
    o oid, reg regclass, gone integer, gen numeric GENERATED ALWAYS AS (n * 2) STORED);
ALTER TABLE kinds DROP COLUMN gone;
SELECT trigger_on('kinds', 'INSERT', $$'crm'$$);
SET timezone = 'UTC'; SET datestyle = 'ISO'; SET intervalstyle = 'iso_8601'; SET bytea_output = 'hex'; SET extra_float_digits = 1;
INSERT INTO kinds ("Quoted ""Name", b, i2, i8, f4, f8, n, t, v, c, nm, one, by, d, ts, tz, tm, tmz, iv, u, j, jb, arr, arr2, tzs, r, tr,
                   e, dom, doma, comp, ip, mac, bits, mo, q, p, o, reg)
VALUES
    ('é"\', true, -32768, 9223372036854775807, 1.1, 0.1 + 0.2, 12345678901234567890.1234567890, E'line\n\ttab', 'v', 'c', 'nm', 'x', '\x00ff',
     '2026-05-01', '2026-05-01 12:34:56.789', '2026-05-01 12:34:56.789012+02', '12:34', '12:34+05', '1 year 2 mons 3 days 04:05:06.7',
     'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{"b": 1, "a": [1.0, 2e3]}', '{"b": 1, "a": null}', '{1,NULL,3}', '{{a,b},{c,d}}',
     '{2026-05-01 00:00+00}', '[1,5)', '[2026-05-01 00:00+00,)', 'Ça va', 1.50, '{a,"b c"}', ROW(1, '2026-05-01 00:00+00'), '10.0.0.1/8',
     '08:00:2b:01:02:03', B'1010', 12.34, 'a fat cat', '(1,2)', 42, 'pg_class'),
    (NULL, false, 0, -1, 'NaN', 'Infinity', 'NaN', '', '', '', '', '', '', 'infinity', '-infinity', 'infinity', '00:00', '00:00+00', '0',
     NULL, 'null', '5', '{}', '{}', NULL, 'empty', NULL, 'calm', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
    ('min', NULL, NULL, NULL, '-0', '-1e-300', '-Infinity', NULL, NULL, NULL, NULL, NULL, NULL, '0044-03-15 BC', '294276-12-31', '4713-01-01 00:00+00 BC',
     '24:00', NULL, '-1 day', NULL, '"s"', '"s"', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, ROW(NULL, NULL), NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
SELECT k.id, s -> 'properties' = to_jsonb(k) AS same
FROM sent() s JOIN kinds k ON k.id = (s -> 'properties' ->> 'id')::integer ORDER BY k.id;

-- whatever the settings of who writes
CREATE TEMP TABLE expected AS SELECT id, to_jsonb(k) AS row FROM kinds k;
SELECT trigger_on('kinds', 'UPDATE', $$'crm', 'watch=id', 'user_id=tz', 'ordering_key=by'$$);
SET timezone = 'Asia/Tokyo'; SET datestyle = 'German'; SET intervalstyle = 'postgres_verbose'; SET bytea_output = 'escape'; SET extra_float_digits = -3;
UPDATE kinds SET id = id + 10;
SELECT e.id, s -> 'properties' = jsonb_set(e.row, '{id}', to_jsonb(e.id + 10)) AS same, s -> 'userId' AS user_id
FROM sent() s JOIN expected e ON e.id + 10 = (s -> 'properties' ->> 'id')::integer ORDER BY e.id;
SET timezone = 'UTC+3';
UPDATE kinds SET id = id + 10;
SELECT count(*), bool_and(s -> 'properties' = jsonb_set(e.row, '{id}', to_jsonb(e.id + 20))) AS same
FROM sent() s JOIN expected e ON e.id + 20 = (s -> 'properties' ->> 'id')::integer;
SHOW timezone; SHOW datestyle; SHOW intervalstyle; SHOW bytea_output; SHOW extra_float_digits;
RESET timezone; RESET datestyle; RESET intervalstyle; RESET bytea_output; RESET extra_float_digits;
DROP TABLE kinds;

-- names of objects, and money, likewise
CREATE SCHEMA names;
CREATE TABLE names."Tab" (id integer);
CREATE DOMAIN relation AS regclass;
CREATE TYPE named AS (rel regclass);
CREATE TABLE names_of (id integer, rel regclass, dom relation, arr regclass[], comp named, typ regtype, ns regnamespace, proc regproc, mo money);
INSERT INTO names_of VALUES (1, 'names."Tab"', 'names."Tab"', ARRAY['names."Tab"', 'pg_class']::regclass[], ROW('names."Tab"'), 'names."Tab"', 'names', 'sent', 1);
SELECT trigger_on('names_of', 'UPDATE', $$'crm', 'watch=id', 'user_id=rel'$$);
SET search_path = names, public;
UPDATE names_of SET id = 2;
SELECT s -> 'properties' AS properties, s -> 'userId' AS user_id FROM sent() s;
SET quote_all_identifiers = on;
UPDATE names_of SET id = 3;
SHOW search_path; SHOW quote_all_identifiers;
RESET search_path; RESET quote_all_identifiers;
SELECT s -> 'properties' AS properties, s -> 'userId' AS user_id FROM sent() s;
DROP TABLE names_of, names."Tab";
DROP TYPE named;
DROP DOMAIN relation;
DROP SCHEMA names;

-- many columns, and a large one that stays at home
SELECT 'CREATE TABLE wide (' || string_agg('c' || n || ' integer', ', ') || ', large text)' AS sql FROM generate_series(1, 1598) n \gset
:sql;
ALTER TABLE wide ALTER COLUMN large SET STORAGE EXTERNAL;
SELECT trigger_on('wide', 'INSERT OR UPDATE', $$'crm', '', 'except=large'$$);
INSERT INTO wide (c1, c1598, large) VALUES (1, 2, repeat('x', 20000000));
UPDATE wide SET large = large || 'y';
UPDATE wide SET c1 = 5;
SELECT s -> 'event' AS event, (SELECT count(*) FROM jsonb_object_keys(s -> 'properties')) AS columns, s -> 'properties' -> 'c1' AS c1 FROM sent() s;
SELECT trigger_on('wide', 'INSERT OR UPDATE', $$'crm', '', 'columns=large', 'on_error=raise'$$);
UPDATE wide SET c1 = 6;
UPDATE wide SET large = 'z' || large;
SELECT count(*) FROM sent();
DROP TABLE wide;

--
-- Which columns, and which changes
--
CREATE TABLE people (id integer PRIMARY KEY, "E-mail, home" text, password text, plan text, team text, was text, dest text);
SELECT trigger_on('people', 'INSERT OR UPDATE OR DELETE', $$'crm', 'person', 'columns=id, "E-mail, home" ,plan'$$);
INSERT INTO people VALUES (1, 'a@example.com', 's3cret', 'free');
UPDATE people SET password = 'other';
UPDATE people SET plan = 'free';
UPDATE people SET plan = 'pro';
DELETE FROM people;
SELECT s -> 'context' -> 'table' ->> 'operation' AS operation, s -> 'properties' AS properties FROM sent() s;
SELECT trigger_on('people', 'INSERT OR UPDATE', $$'crm', '', 'except=password,was', 'watch=plan,team', 'previous=true'$$);
INSERT INTO people VALUES (1, 'a@example.com', 's3cret', 'free', 'one');
UPDATE people SET "E-mail, home" = NULL;
UPDATE people SET team = 'two';
UPDATE people SET plan = NULL;
SELECT s ->> 'event' AS event, s -> 'properties' AS properties, s -> 'context' -> 'previous' AS previous FROM sent() s;

--
-- Types
--
SELECT trigger_on('people', 'INSERT OR DELETE', format('''crm'', %L, ''columns=id,plan'', %s', name, arguments))
    FROM (VALUES ('', $$'type=identify', 'user_id=id'$$)) AS v (name, arguments);
DELETE FROM people; INSERT INTO people VALUES (2, 'b', 'x', 'free', 'team 2', 'was 2');
SELECT s - '{messageId,originalTimestamp,sentAt,context}'::text[] AS event FROM sent() s;
SELECT trigger_on('people', 'INSERT OR DELETE', $$'crm', '', 'type=group', 'group_id=team', 'user_id=id', 'columns=plan'$$);
DELETE FROM people; INSERT INTO people VALUES (3, 'b', 'x', 'free', 'team 3', 'was 3');
SELECT s - '{messageId,originalTimestamp,sentAt,context}'::text[] AS event FROM sent() s;
SELECT trigger_on('people', 'INSERT', $$'crm', '', 'type=alias', 'previous_id=was', 'user_id=id', 'columns=plan'$$);
INSERT INTO people VALUES (4, 'b', 'x', 'free', 'team 4', 'was 4');
SELECT trigger_on('people', 'INSERT', $$'crm', '', 'type=page', 'name=Home', 'anonymous_id=was', 'columns=plan'$$);
INSERT INTO people VALUES (5, 'b', 'x', 'free', 'team 5', 'was 5');
SELECT trigger_on('people', 'INSERT', $$'crm', 'screen name', 'type=screen', 'columns=plan'$$);
INSERT INTO people VALUES (6);
SELECT trigger_on('people', 'INSERT', $$'crm', '', 'name=this', 'columns=plan'$$);
INSERT INTO people VALUES (7);
SELECT s - '{messageId,originalTimestamp,sentAt,context}'::text[] AS event FROM sent() s;

--
-- Where to: a column's destination, or all
--
SELECT trigger_on('people', 'INSERT', $$'', 'x', 'destination_column=dest', 'columns=id'$$);
INSERT INTO people (id, dest) VALUES (8, 'crm'), (9, NULL), (10, 'shop');
SELECT e.event -> 'properties' ->> 'id' AS id, d.name FROM rswebhook.queue q JOIN rswebhook.event e ON e.id = q.event_id
    JOIN rswebhook.destination d ON d.id = q.destination_id ORDER BY e.id, d.name;
SELECT count(*) FROM sent();

--
-- As others send it
--
DELETE FROM people;
SELECT trigger_on('people', 'INSERT OR UPDATE OR DELETE', $$'crm', '', 'shape=supabase', 'columns=id,plan', 'user_id=team'$$);
INSERT INTO people (id, plan, team) VALUES (1, 'free', 'one');
UPDATE people SET plan = 'pro';
DELETE FROM people;
SELECT q.ordering_key = rswebhook.ordering_hash('{}', 'one') AS by_user FROM rswebhook.queue q;
SELECT * FROM sent();
SELECT trigger_on('people', 'INSERT OR UPDATE OR DELETE', $$'crm', '', 'shape=hasura', 'columns=id,plan'$$);
INSERT INTO people (id, plan, team) VALUES (1, 'free', 'one');
UPDATE people SET plan = 'pro';
DELETE FROM people;
SELECT s - '{id,created_at}'::text[] AS event, s ->> 'id' ~ '^[0-9a-f-]{36}$' AS id, now() - (s ->> 'created_at')::timestamptz < '1 h' AS created_at FROM sent() s;

--
-- What is wrong does not fail the application's write, unless it is told so
--
CREATE FUNCTION refused() RETURNS TABLE (outcome text, error text, destination text, payload jsonb, attempt integer) LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY SELECT v.outcome, v.error, (SELECT d.name FROM rswebhook.destination d WHERE d.id = v.destination_id),
        (SELECT coalesce(e.event -> 'properties', e.event) FROM rswebhook.event e WHERE e.id = v.event_id), v.attempt
        FROM rswebhook.delivery v ORDER BY v.started_at, v.event_id;
    DELETE FROM rswebhook.delivery;
    DELETE FROM rswebhook.event;
END $$;
SET client_min_messages = warning;
SELECT trigger_on('people', 'INSERT', $$'nowhere', '', 'columns=id'$$);
INSERT INTO people (id) VALUES (1), (2);
BEGIN;
INSERT INTO people (id) VALUES (3);
INSERT INTO people (id) VALUES (4);
ROLLBACK;
SELECT * FROM refused();
-- which can be sent once the reason is gone
INSERT INTO people (id) VALUES (5);
SELECT rswebhook_replay(event_id, 'crm') FROM rswebhook.delivery;
SELECT e.event -> 'properties' AS properties FROM rswebhook.queue JOIN rswebhook.event e ON e.id = event_id;
DELETE FROM rswebhook.queue;
SELECT count(*) FROM refused();
CREATE FUNCTION pg_temp.wrong(arguments text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    said text;
BEGIN
    DELETE FROM people;
    PERFORM trigger_on('people', 'INSERT', arguments);
    INSERT INTO people (id, plan) VALUES (1, 'x');
    said := (SELECT r.error || coalesce(' | ' || r.payload::text, '') FROM refused() r);
    RETURN concat_ws(' | ', (SELECT count(*) FROM people), said);
END $$;
SET client_min_messages = error;
SELECT a AS arguments, pg_temp.wrong(a) AS outcome FROM unnest(ARRAY[
    $$'crm', '', 'nonsense'$$, $$'crm', '', 'user=id'$$, $$'crm', '', 'user_id=nobody'$$, $$'crm', '', 'columns=id,nobody'$$,
    $$'crm', '', 'columns='$$, $$'crm', '', 'columns="id'$$, $$'crm', '', 'columns=id', 'except=id'$$, $$'crm', '', 'watch=id,,plan'$$,
    $$'crm', '', 'type=visit'$$, $$'crm', '', 'type=group'$$, $$'crm', '', 'type=alias', 'user_id=id'$$, $$'crm', '', 'previous=yes'$$,
    $$'crm', '', 'shape=svix'$$, $$'crm', '', 'shape=hasura', 'type=page'$$, $$'crm', '', 'shape=supabase', 'previous=true'$$,
    $$'crm', '', 'destination_column=dest'$$, $$'crm', '', 'user_id=id', 'user_id=plan'$$, $$'crm', '', 'on_error=ignore'$$,
    $$'crm', '', 'columns=id,'$$, $$'crm', '', 'columns=id,plan,"id"'$$, $$'crm', '', 'except='$$, $$'crm', '', 'name='$$, $$'crm', '', 'user_id='$$,
    $$'crm', 'x', 'name=x'$$, $$'crm', 'x', 'shape=hasura'$$, $$'crm', 'x', 'type=identify'$$, $$'crm', '', 'type=alias', 'user_id=id', 'previous_id=was', 'name=x'$$,
    $$'crm', '', 'group_id=team'$$, $$'crm', '', 'type=group', 'group_id=team', 'previous_id=was'$$]) a;
-- what a group and an alias must have, a row may lack
SELECT a AS arguments, pg_temp.wrong(a) AS outcome FROM unnest(ARRAY[
    $$'crm', '', 'type=group', 'group_id=team'$$, $$'crm', '', 'type=alias', 'user_id=id', 'previous_id=was'$$, $$'crm', '', 'type=alias', 'user_id=was', 'previous_id=id'$$]) a;
-- renamed, disabled, unusable, deleted
UPDATE rswebhook.destination SET name = 'renamed' WHERE name = 'crm';
SELECT pg_temp.wrong($$'crm', 'x', 'columns=id'$$);
UPDATE rswebhook.destination SET name = 'crm', enabled = false WHERE name = 'renamed';
SELECT pg_temp.wrong($$'crm', 'x', 'columns=id'$$);
SELECT count(*) AS waits FROM rswebhook.queue;
DELETE FROM rswebhook.queue;
-- too large, and not fetched for that; a key that is too long; a type that fails
ALTER TABLE people ADD COLUMN large text, ADD COLUMN odd positive[];
SELECT trigger_on('people', 'INSERT', $$'crm'$$);
INSERT INTO people (id, large) VALUES (20, repeat('x', 2000000));
SELECT error, payload IS NULL AS nothing FROM refused();
SELECT trigger_on('people', 'UPDATE', $$'crm', '', 'columns=large', 'previous=true'$$);
UPDATE people SET large = 'small' WHERE id = 20;
SELECT error, payload IS NULL AS nothing FROM refused();
SELECT trigger_on('people', 'INSERT', $$'crm', '', 'ordering_key=large', 'columns=id'$$);
INSERT INTO people (id, large) VALUES (21, repeat('x', 2000));
SELECT error, payload FROM refused();
CREATE TYPE broken;
CREATE FUNCTION broken_in(cstring) RETURNS broken LANGUAGE internal IMMUTABLE STRICT AS 'textin';
CREATE FUNCTION broken_out(broken) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'textout';
CREATE TYPE broken (input = broken_in, output = broken_out, like = text);
CREATE FUNCTION broken_json(broken) RETURNS json LANGUAGE plpgsql AS 'BEGIN RAISE division_by_zero; END';
CREATE CAST (broken AS json) WITH FUNCTION broken_json(broken);
CREATE TABLE breaks (id integer, value broken);
SELECT trigger_on('breaks', 'INSERT', $$'crm'$$);
INSERT INTO breaks VALUES (1, 'x');
SELECT count(*) FROM breaks;
SELECT error, payload IS NULL AS nothing FROM refused();
SELECT trigger_on('breaks', 'INSERT', $$'crm', '', 'on_error=raise'$$);
INSERT INTO breaks VALUES (1, 'x');
SELECT trigger_on('breaks', 'INSERT', $$'crm', '', 'columns=id'$$);
INSERT INTO breaks VALUES (2, 'x');
-- what is refused keeps its place
SELECT trigger_on('breaks', 'INSERT', $$'nowhere', '', 'columns=id', 'ordering_key=id'$$);
INSERT INTO breaks VALUES (3, 'x');
SELECT e.ordering_key FROM rswebhook.delivery v JOIN rswebhook.event e ON e.id = v.event_id;
SELECT payload FROM refused();
SELECT trigger_on('breaks', 'INSERT', $$'crm', '', 'columns=id'$$);
INSERT INTO breaks VALUES (2, 'x');
SELECT s -> 'properties' AS properties FROM sent() s;
DROP TABLE breaks;
DROP TYPE broken CASCADE;
DROP TABLE people;

--
-- Partitions are their table
--
CREATE SCHEMA parts;
CREATE TABLE parts.all (id integer, note text) PARTITION BY LIST (id);
CREATE TABLE parts.one PARTITION OF parts.all FOR VALUES IN (1);
CREATE TABLE part_2 (note text, id integer);
ALTER TABLE parts.all ATTACH PARTITION part_2 FOR VALUES IN (2);
SELECT trigger_on('parts.all', 'INSERT OR UPDATE', $$'crm', '', 'columns=id,note', 'watch=note'$$);
INSERT INTO parts.all VALUES (1, 'one'), (2, 'two');
UPDATE part_2 SET note = 'zwei';
SELECT s -> 'event' AS event, s -> 'context' -> 'table' AS "table", s -> 'properties' AS properties FROM sent() s;

--
-- For whole statements
--
DROP TRIGGER send ON parts.all;
CREATE TRIGGER ins AFTER INSERT ON parts.all REFERENCING NEW TABLE AS new FOR EACH STATEMENT EXECUTE FUNCTION rswebhook_trigger('crm', '', 'user_id=id');
CREATE TRIGGER upd AFTER UPDATE ON parts.all REFERENCING OLD TABLE AS old NEW TABLE AS new FOR EACH STATEMENT EXECUTE FUNCTION rswebhook_trigger('crm', '', 'user_id=id', 'watch=note', 'previous=true');
CREATE TRIGGER del AFTER DELETE ON parts.all REFERENCING OLD TABLE AS old FOR EACH STATEMENT EXECUTE FUNCTION rswebhook_trigger('crm', '', 'user_id=id');
INSERT INTO parts.all VALUES (1, 'a'), (2, 'b'), (1, 'c');
UPDATE parts.all SET note = note || '!' WHERE note IN ('a', 'b');
UPDATE parts.all SET id = 3 - id WHERE note IN ('a!', 'c');
UPDATE parts.all SET id = 3 - id, note = 'moved' WHERE note IN ('b!');
DELETE FROM parts.all WHERE id = 1;
INSERT INTO parts.all SELECT 1, 'none' WHERE false;
SELECT s ->> 'event' AS event, s ->> 'userId' AS user_id, s -> 'properties' AS properties, s -> 'context' -> 'previous' AS previous,
       s -> 'context' -> 'table' ->> 'partition' AS partition FROM sent() s;
-- without what it needs
DROP TRIGGER ins ON parts.all; DROP TRIGGER upd ON parts.all;
CREATE TRIGGER ins AFTER INSERT ON parts.all FOR EACH STATEMENT EXECUTE FUNCTION rswebhook_trigger('crm', '', 'on_error=raise');
INSERT INTO parts.all VALUES (1, 'x');
DROP TRIGGER ins ON parts.all;
CREATE TRIGGER upd AFTER UPDATE ON parts.all REFERENCING NEW TABLE AS new FOR EACH STATEMENT EXECUTE FUNCTION rswebhook_trigger('crm', '', 'on_error=raise');
UPDATE parts.all SET note = 'y';
DROP TRIGGER upd ON parts.all;
CREATE TRIGGER trunc AFTER TRUNCATE ON parts.all FOR EACH STATEMENT EXECUTE FUNCTION rswebhook_trigger('crm', '', 'on_error=raise');
TRUNCATE parts.all;
DROP SCHEMA parts CASCADE;

--
-- On our own tables: not where a send itself writes; and what is refused is told once
--
CREATE TRIGGER send AFTER INSERT ON rswebhook.event FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('crm');
CREATE TRIGGER send AFTER INSERT ON rswebhook.queue FOR EACH ROW EXECUTE FUNCTION rswebhook_outbox('type=event_id', 'destination=crm', 'on_error=raise');
CREATE TRIGGER failed AFTER INSERT ON rswebhook.delivery FOR EACH ROW WHEN (NEW.outcome = 'refused') EXECUTE FUNCTION rswebhook_trigger('alarm', 'Failed');
SELECT problem, hint FROM rswebhook.trigger_problems() ORDER BY 1;
DROP TRIGGER send ON rswebhook.event;
SELECT rswebhook_send('{"n": 1}', 'crm');
DROP TRIGGER send ON rswebhook.queue;
CREATE TABLE box (event jsonb);
CREATE TRIGGER send AFTER INSERT ON box FOR EACH ROW EXECUTE FUNCTION rswebhook_outbox('destination=crm');
SET client_min_messages = warning;
INSERT INTO box VALUES ('[]'), ('{"n": 2}');
SET client_min_messages = error;
SELECT count(*) AS rows FROM box;
SELECT outcome, error FROM refused();
DROP TRIGGER failed ON rswebhook.delivery;
DROP TABLE box;
SELECT count(*) AS sent FROM sent();

--
-- A transaction that is read only may write to a temporary table
--
CREATE TEMP TABLE passing (id integer);
SELECT trigger_on('passing', 'INSERT', $$'crm'$$);
SET client_min_messages = warning;
BEGIN READ ONLY;
INSERT INTO passing VALUES (1), (2);
COMMIT;
SET client_min_messages = error;
SELECT count(*) FROM passing;
DROP TRIGGER send ON passing;
SELECT trigger_on('passing', 'INSERT', $$'crm', '', 'on_error=raise'$$);
BEGIN READ ONLY;
INSERT INTO passing VALUES (3);
ROLLBACK;
DROP TABLE passing;

--
-- Users in columns of any type; one that is too long is the webhook's matter
--
CREATE TABLE odd (id integer, at timestamptz[], area box, big jsonb);
SELECT trigger_on('odd', 'INSERT', $$'crm', '', 'user_id=at', 'anonymous_id=area', 'ordering_key=area', 'columns=id'$$);
SET TimeZone = 'Asia/Tokyo';
INSERT INTO odd (id, at, area) VALUES (1, '{2026-01-01 00:00+00}', '(1,1),(0,0)'), (2, NULL, NULL);
RESET TimeZone;
SELECT s ->> 'userId' AS user_id, s ->> 'anonymousId' AS anonymous_id FROM sent() s;
SELECT trigger_on('odd', 'INSERT', $$'crm', '', 'user_id=big', 'columns=id'$$);
INSERT INTO odd (id, big) VALUES (3, to_jsonb(repeat('u', 2000000))), (4, '"bob"'), (5, '{"a": 1}');
SELECT length(s ->> 'userId') AS length, s -> 'properties' ->> 'id' AS id FROM sent() s;
SELECT count(*) FROM odd;
SELECT * FROM refused();
DROP TABLE odd;

DROP FUNCTION sent(), refused(), trigger_on(text, text, text);
DROP DOMAIN positive CASCADE;
DROP DOMAIN words; DROP TYPE mood; DROP TYPE pair;
DELETE FROM rswebhook.destination;
DELETE FROM rswebhook.event;
DELETE FROM rswebhook.delivery;
