-- What somebody has made of our tables holds for what is sent: columns get their
-- defaults, constraints are checked, types are converted to, triggers fire, and
-- an event that cannot be stored is an error.
-- All destinations are paused, so that a worker leaves them alone.
SET client_min_messages = error;
INSERT INTO rswebhook.destination (name, url, paused) VALUES
    ('crm', 'https://example.com/crm', true),
    ('shop', 'https://example.com/shop', true);
CREATE ROLE regress_sender;
GRANT EXECUTE ON FUNCTION rswebhook_send(jsonb, text, timestamptz, text, interval, interval, boolean) TO regress_sender;

-- what becomes of an event, without the number of the slot that it is for
CREATE FUNCTION try(event jsonb DEFAULT '{"type": "track", "userId": "u"}',
                    deliver_after timestamptz DEFAULT NULL, ordering_key text DEFAULT NULL) RETURNS text
    LANGUAGE plpgsql AS $$
DECLARE
    message text;
    hint text;
BEGIN
    PERFORM rswebhook_send(event, deliver_after => deliver_after, ordering_key => ordering_key);
    RETURN 'sent';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
    RETURN regexp_replace(SQLSTATE || ': ' || message || coalesce(' / ' || nullif(hint, ''), ''),
                          '(event_|slot |\()[0-9]', '\1N', 'g');
END
$$;
CREATE PROCEDURE forget() LANGUAGE sql AS 'TRUNCATE rswebhook.queue, rswebhook.event';
-- a statement about the partition that is written now
CREATE PROCEDURE with_part(statement text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE replace(statement, '%s', rswebhook.ring_slot(clock_timestamp())::text);
END
$$;
CREATE TABLE seen (who text, what text);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.seen VALUES (current_user = session_user, TG_ARGV[0] || ' ' || current_setting('search_path'));
    RETURN NEW;
END
$$;
CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';

--
-- Columns
--
ALTER TABLE rswebhook.event ADD tenant text NOT NULL;
SET ROLE regress_sender;
SELECT try();
RESET ROLE;
ALTER TABLE rswebhook.event ALTER tenant SET DEFAULT 'none',
    ADD kind text GENERATED ALWAYS AS (event ->> 'type') STORED;
ALTER TABLE rswebhook.queue ADD note text NOT NULL DEFAULT 'noted';
SET ROLE regress_sender;
SELECT try();
RESET ROLE;
SELECT e.event, e.tenant, e.kind, q.note, q.ordering_key = rswebhook.ordering_hash(e.event, NULL) AS same
    FROM rswebhook.event e JOIN rswebhook.queue q ON q.event_id = e.id ORDER BY q.destination_id;
ALTER TABLE rswebhook.event DROP tenant, DROP kind;
ALTER TABLE rswebhook.queue DROP note;
SELECT try();
CALL forget();

ALTER TABLE rswebhook.event ALTER event TYPE text;
SELECT try();
SELECT event FROM rswebhook.event;
CALL forget();
ALTER TABLE rswebhook.event ALTER event TYPE bytea USING NULL;
SELECT try();
CREATE DOMAIN named AS jsonb CHECK (VALUE ? 'name');
ALTER TABLE rswebhook.event ALTER event TYPE named USING NULL;
SELECT try(), try('{"name": "n"}');
SELECT event FROM rswebhook.event;
CALL forget();
ALTER TABLE rswebhook.event ALTER event TYPE jsonb;
DROP DOMAIN named;
ALTER TABLE rswebhook.queue ALTER ordering_key TYPE text;
SELECT try();
SELECT ordering_key = rswebhook.ordering_hash('{"userId": "u"}', NULL)::text AS same FROM rswebhook.queue;
ALTER TABLE rswebhook.queue ALTER ordering_key TYPE bigint USING ordering_key::bigint;
ALTER TABLE rswebhook.queue RENAME retry_at TO again_at;
SELECT try();
ALTER TABLE rswebhook.queue RENAME again_at TO retry_at;
CALL forget();
ALTER TABLE rswebhook.queue ALTER expires_at SET NOT NULL;
SELECT try();
ALTER TABLE rswebhook.queue ALTER expires_at DROP NOT NULL;
ALTER TABLE rswebhook.queue ALTER event_id ADD GENERATED ALWAYS AS IDENTITY;
SELECT try();
ALTER TABLE rswebhook.queue ALTER event_id DROP IDENTITY;
SELECT try();

--
-- Constraints and indexes
--
CALL forget();
ALTER TABLE rswebhook.event ADD CONSTRAINT small CHECK (event ? 'type');
ALTER TABLE rswebhook.queue ADD CONSTRAINT soon CHECK (deliver_after IS NULL);
SET ROLE regress_sender;
SELECT try('{}'), try();
SELECT try(deliver_after => 'tomorrow');
RESET ROLE;
ALTER TABLE rswebhook.event DROP CONSTRAINT small;
ALTER TABLE rswebhook.queue DROP CONSTRAINT soon;
CREATE UNIQUE INDEX once ON rswebhook.queue (destination_id, ordering_key);
SELECT try(), try('{"userId": "other"}');
DROP INDEX rswebhook.once;
CALL with_part('ALTER TABLE rswebhook.event_%s ADD CONSTRAINT mine CHECK (ordering_key IS NULL)');
SELECT try();
SELECT try(ordering_key => 'k');
CALL with_part('ALTER TABLE rswebhook.event_%s DROP CONSTRAINT mine');
CALL with_part('ALTER TABLE rswebhook.event_%s SET UNLOGGED');
SELECT try();
CALL with_part('ALTER TABLE rswebhook.event_%s SET LOGGED');
ALTER TABLE rswebhook.queue ADD CONSTRAINT payload FOREIGN KEY (event_id, event_slot)
    REFERENCES rswebhook.event (id, slot);
SELECT try();
ALTER TABLE rswebhook.queue DROP CONSTRAINT payload;

--
-- Triggers and rules, with the owner's rights and a search_path of ours
--
CALL forget();
CREATE TRIGGER a BEFORE INSERT ON rswebhook.event FOR EACH ROW EXECUTE FUNCTION note('row of event');
CREATE TRIGGER b AFTER INSERT ON rswebhook.event FOR EACH STATEMENT EXECUTE FUNCTION note('statement on event');
CREATE TRIGGER c AFTER INSERT ON rswebhook.queue FOR EACH ROW EXECUTE FUNCTION note('row of queue');
CREATE TRIGGER d AFTER INSERT ON rswebhook.queue FOR EACH STATEMENT EXECUTE FUNCTION note('statement on queue');
CALL with_part('CREATE TRIGGER e AFTER INSERT ON rswebhook.event_%s FOR EACH ROW EXECUTE FUNCTION note(''row of partition'')');
SET search_path = public, pg_catalog;
SET row_security = on;
SET ROLE regress_sender;
SELECT try();
SHOW search_path;
SHOW row_security;
SELECT current_user;
RESET ROLE;
RESET search_path;
SELECT * FROM seen;
SELECT count(*) FROM rswebhook.queue JOIN rswebhook.event ON id = event_id;
DROP TRIGGER a ON rswebhook.event;
DROP TRIGGER b ON rswebhook.event;
CALL with_part('DROP TRIGGER e ON rswebhook.event_%s');
DROP TRIGGER c ON rswebhook.queue;
DROP TRIGGER d ON rswebhook.queue;
SELECT try();
SELECT count(*) FROM seen;

-- what keeps a row out is an error, not an event that is later missing
CREATE TRIGGER a BEFORE INSERT ON rswebhook.event FOR EACH ROW EXECUTE FUNCTION swallow();
SELECT try();
DROP TRIGGER a ON rswebhook.event;
CREATE TRIGGER a BEFORE INSERT ON rswebhook.queue FOR EACH ROW EXECUTE FUNCTION swallow();
SELECT try();
DROP TRIGGER a ON rswebhook.queue;
CREATE RULE a AS ON INSERT TO rswebhook.queue DO INSTEAD NOTHING;
SELECT try();
DROP RULE a ON rswebhook.queue;
CREATE RULE a AS ON INSERT TO rswebhook.queue DO ALSO INSERT INTO public.seen VALUES ('t', 'rule');
SELECT try();
SELECT count(*) FROM seen WHERE what = 'rule';
DROP RULE a ON rswebhook.queue;

--
-- Policies hold for an owner only if they are forced
--
CREATE ROLE regress_owner;
GRANT USAGE ON SCHEMA rswebhook TO regress_owner;
ALTER TABLE rswebhook.queue OWNER TO regress_owner;
ALTER TABLE rswebhook.queue ENABLE ROW LEVEL SECURITY;
SET ROLE regress_sender;
SELECT try();
RESET ROLE;
ALTER TABLE rswebhook.queue FORCE ROW LEVEL SECURITY;
SET ROLE regress_sender;
SELECT try();
RESET ROLE;
ALTER TABLE rswebhook.queue NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY;
ALTER TABLE rswebhook.queue OWNER TO CURRENT_USER;
REVOKE USAGE ON SCHEMA rswebhook FROM regress_owner;
DROP ROLE regress_owner;

--
-- Partitions
--
CALL forget();
CALL with_part('ALTER TABLE rswebhook.event DETACH PARTITION rswebhook.event_%s');
SET ROLE regress_sender;
SELECT try();
RESET ROLE;
CALL with_part('CREATE TABLE rswebhook.others PARTITION OF rswebhook.event DEFAULT');
SELECT try();
SELECT count(*) FROM rswebhook.others;
CALL forget();
DROP TABLE rswebhook.others;
CALL with_part('CREATE TABLE rswebhook.others (LIKE rswebhook.event_%s)');
CALL with_part('ALTER TABLE rswebhook.event ATTACH PARTITION rswebhook.others FOR VALUES IN (%s)');
SELECT try();
SELECT count(*) FROM rswebhook.others;
CALL forget();
ALTER TABLE rswebhook.event DETACH PARTITION rswebhook.others;
DROP TABLE rswebhook.others;
CALL with_part('CREATE TABLE rswebhook.others (event jsonb NOT NULL, traceparent text, ordering_key text,
    created_at timestamptz NOT NULL, nonce bigint, slot smallint NOT NULL, id bigint NOT NULL)');
CALL with_part('ALTER TABLE rswebhook.event ATTACH PARTITION rswebhook.others FOR VALUES IN (%s)');
SELECT try();
SELECT event, ordering_key FROM rswebhook.others;
CALL forget();
DROP TABLE rswebhook.others;
CREATE FOREIGN DATA WRAPPER nothing;
CREATE SERVER nowhere FOREIGN DATA WRAPPER nothing;
ALTER TABLE rswebhook.event DROP CONSTRAINT event_pkey;
CALL with_part('CREATE FOREIGN TABLE rswebhook.others PARTITION OF rswebhook.event FOR VALUES IN (%s) SERVER nowhere');
SELECT try();
DROP FOREIGN TABLE rswebhook.others;
DROP FOREIGN DATA WRAPPER nothing CASCADE;
ALTER TABLE rswebhook.event ADD PRIMARY KEY (id, slot);
CALL with_part('ALTER TABLE rswebhook.event ATTACH PARTITION rswebhook.event_%s FOR VALUES IN (%s)');
SELECT try();
SELECT count(*) FROM rswebhook.event;

--
-- What is missing may only have another name
--
ALTER TABLE rswebhook.queue RENAME TO backlog;
SELECT try();
ALTER TABLE rswebhook.backlog RENAME TO queue;
ALTER SEQUENCE rswebhook.event_id_seq SET SCHEMA public;
SELECT try();
ALTER SEQUENCE event_id_seq SET SCHEMA rswebhook;
SELECT try();

--
-- Destinations are read by the types that their columns were made with
--
ALTER TABLE rswebhook.destination ALTER headers DROP DEFAULT, ALTER headers TYPE text;
SET ROLE regress_sender;
SELECT try();
RESET ROLE;
\set VERBOSITY terse
INSERT INTO rswebhook.destination (name, url, headers) VALUES ('new', 'https://example.com/', '{}');
UPDATE rswebhook.destination SET ordered = false;
ALTER TABLE rswebhook.destination ALTER headers TYPE jsonb USING headers::jsonb, ALTER headers SET DEFAULT '{}',
    ALTER max_in_flight TYPE bigint;
UPDATE rswebhook.destination SET ordered = false;
ALTER TABLE rswebhook.destination ALTER max_in_flight TYPE integer, ALTER ca_cert TYPE varchar(10000);
UPDATE rswebhook.destination SET ordered = false;
ALTER TABLE rswebhook.destination ALTER ca_cert TYPE text;
\set VERBOSITY default
SELECT try();
-- and must all be there, whatever a null would mean; the hint makes one as it was, or without its NOT NULL
ALTER TABLE rswebhook.destination RENAME signing_secrets TO secrets;
SET ROLE regress_sender;
SELECT try();
RESET ROLE;
INSERT INTO rswebhook.destination (name, url) VALUES ('new', 'https://example.com/');
SELECT DISTINCT state, last_error FROM rswebhook.status;
ALTER TABLE rswebhook.destination RENAME secrets TO signing_secrets;
CREATE FUNCTION without("column" name, OUT made text, OUT differs boolean) LANGUAGE plpgsql AS $$
DECLARE
    message text;
BEGIN
    EXECUTE format('ALTER TABLE rswebhook.destination RENAME COLUMN %I TO gone', "column");
    message := try();
    EXECUTE format('ALTER TABLE rswebhook.destination RENAME COLUMN gone TO %I', "column");
    made := substring(message FROM format('column "%s" of .* does not exist .* TO %1$s, else ADD COLUMN (.*)\.$', "column"));
    EXECUTE format('CREATE TEMP TABLE made (%s)', made);
    SELECT count(DISTINCT (a.atttypid, a.attnotnull, pg_get_expr(d.adbin, d.adrelid))) > 1 INTO differs
        FROM pg_attribute AS a LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE a.attname = "column" AND a.attrelid IN ('rswebhook.destination'::regclass, 'pg_temp.made'::regclass);
    DROP TABLE made;
END
$$;
SELECT made, differs
    FROM pg_attribute, without(attname) AS w
    WHERE attrelid = 'rswebhook.destination'::regclass AND attnum > 0 AND NOT attisdropped
    ORDER BY attnum;
DROP FUNCTION without;
-- so must what may never be null
ALTER TABLE rswebhook.destination ALTER timeout DROP NOT NULL, DISABLE TRIGGER destination_check;
UPDATE rswebhook.destination SET timeout = NULL WHERE name = 'crm';
ALTER TABLE rswebhook.destination ENABLE TRIGGER destination_check;
SELECT rswebhook_send('{"type": "track"}', 'crm');
UPDATE rswebhook.destination SET ordered = false;
UPDATE rswebhook.destination SET timeout = '10 s';
ALTER TABLE rswebhook.destination ALTER timeout SET NOT NULL;
SELECT try();

--
-- Ids: never one that another event has, whatever becomes of the sequence
--
CREATE VIEW ids AS
    SELECT count(*) AS events, count(DISTINCT id) AS ids,
           array_agg(event ->> 'n' ORDER BY id) = array_agg(event ->> 'n' ORDER BY created_at) AS in_order
    FROM rswebhook.event;
CALL forget();
SELECT count(rswebhook_send(jsonb_build_object('n', n), 'crm')) FROM generate_series(1, 3) AS n;
ALTER SEQUENCE rswebhook.event_id_seq RESTART;
SET ROLE regress_sender;
SELECT count(rswebhook_send(jsonb_build_object('n', n), 'crm')) FROM generate_series(4, 5) AS n;
RESET ROLE;
SELECT * FROM ids;
SELECT setval('rswebhook.event_id_seq', 2);
SELECT count(rswebhook_send(jsonb_build_object('n', n), 'crm')) FROM generate_series(6, 7) AS n;
SELECT * FROM ids;
-- in a slot where there are none, and in a new session
CALL with_part('UPDATE rswebhook.event SET slot = (%s + 5) % 10');
ALTER SEQUENCE rswebhook.event_id_seq RESTART WITH 2;
\c -
SET client_min_messages = error;
SELECT count(rswebhook_send(jsonb_build_object('n', n), 'crm')) FROM generate_series(8, 9) AS n;
SELECT * FROM ids;
-- and not beyond its end, from where it cannot go on
DO $$ BEGIN
    EXECUTE (SELECT format('ALTER SEQUENCE rswebhook.event_id_seq MAXVALUE %s CYCLE RESTART WITH %1$s', max(id) + 1)
             FROM rswebhook.event);
END $$;
SELECT try();
SELECT try();
ALTER SEQUENCE rswebhook.event_id_seq AS bigint NO MAXVALUE NO CYCLE;
-- but what is above all of them is used as it is
ALTER SEQUENCE rswebhook.event_id_seq RESTART WITH 1000000;
SELECT rswebhook_send('{}', 'crm'), rswebhook_send('{}', 'crm');
-- an id that leaves no room is nobody's fault
INSERT INTO rswebhook.event (id, slot, created_at, event)
    SELECT 9223372036854775807, rswebhook.ring_slot(now()), now(), '{}';
\c -
SET client_min_messages = error;
SELECT rswebhook_send('{}', 'crm');

-- as it was
DROP VIEW ids;
CALL forget();
DELETE FROM rswebhook.destination;
REVOKE EXECUTE ON FUNCTION rswebhook_send(jsonb, text, timestamptz, text, interval, interval, boolean) FROM regress_sender;
DROP ROLE regress_sender;
DROP TABLE seen;
DROP FUNCTION try, note, swallow;
DROP PROCEDURE forget, with_part;
