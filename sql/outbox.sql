-- What rswebhook_outbox() makes of the rows of a table, and rswebhook_send_batch() of an array.
-- All destinations are paused, so that a worker leaves them alone.
SET client_min_messages = error;
INSERT INTO rswebhook.destination (name, url, paused) VALUES
    ('crm', 'https://example.com/crm', true), ('shop', 'https://example.com/shop', true);
CREATE FUNCTION sent() RETURNS TABLE (destinations text, event jsonb) LANGUAGE plpgsql AS $$
BEGIN
    -- its keys are in the order in which jsonb finds them
    ASSERT NOT EXISTS (SELECT FROM rswebhook.event e WHERE e.event <> e.event::text::jsonb);
    RETURN QUERY SELECT (SELECT string_agg(d.name, ',' ORDER BY d.name) FROM rswebhook.queue q
                         JOIN rswebhook.destination d ON d.id = q.destination_id WHERE q.event_id = e.id), e.event
        FROM rswebhook.event e ORDER BY e.id;
    DELETE FROM rswebhook.queue;
    DELETE FROM rswebhook.event;
END $$;
CREATE FUNCTION refused() RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY SELECT concat_ws(' | ', v.outcome, v.error, (SELECT e.event FROM rswebhook.event e WHERE e.id = v.event_id))
        FROM rswebhook.delivery v ORDER BY v.started_at, v.event_id;
    DELETE FROM rswebhook.event WHERE id IN (SELECT v.event_id FROM rswebhook.delivery v);
    DELETE FROM rswebhook.delivery;
END $$;
CREATE FUNCTION outbox_on(name text, arguments text, events text DEFAULT 'AFTER INSERT') RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('DROP TRIGGER IF EXISTS send ON %s', name);
    EXECUTE format('CREATE TRIGGER send %s ON %s FOR EACH ROW EXECUTE FUNCTION rswebhook_outbox(%s)', events, name, arguments);
END $$;

--
-- Types of columns
--
CREATE DOMAIN payload AS jsonb CHECK (VALUE IS NOT NULL);
CREATE DOMAIN some_line AS text;
CREATE DOMAIN wait AS interval;
CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY, b jsonb, j json, t text, d payload DEFAULT '{"from": "domain"}', l some_line, v varchar, number integer,
    kind text, name text, who integer, uid uuid, target text, not_before timestamptz, key text, life wait);
SELECT outbox_on('outbox', $$'event=b', 'destination=crm'$$); INSERT INTO outbox (b) VALUES ('{"from": "jsonb"}');
SELECT outbox_on('outbox', $$'event=j', 'destination=crm'$$); INSERT INTO outbox (j) VALUES ('{"from": "json", "from": "the last one"}');
SELECT outbox_on('outbox', $$'event=t', 'destination=crm'$$); INSERT INTO outbox (t) VALUES ('{"from": "text"}');
SELECT outbox_on('outbox', $$'event=l', 'destination=crm'$$); INSERT INTO outbox (l) VALUES ('{"from": "domain over text"}');
SELECT outbox_on('outbox', $$'event=v', 'destination=crm'$$); INSERT INTO outbox (v) VALUES ('{"from": "varchar"}');
SELECT outbox_on('outbox', $$'event=d', 'destination=crm'$$); INSERT INTO outbox DEFAULT VALUES;
SELECT * FROM sent();

--
-- An event of columns
--
SELECT outbox_on('outbox', $$'type=kind', 'event_name=name', 'user_id=who', 'payload=b', 'message_id=uid', 'destination_column=target'$$);
INSERT INTO outbox (kind, name, who, b, uid, target) VALUES
    ('track', 'Order Placed', 7, '{"total": 5}', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'crm'),
    ('identify', NULL, 7, '{"plan": "pro"}', NULL, NULL),
    ('page', 'Home', NULL, NULL, NULL, 'shop'),
    ('track', 'Scalar', NULL, '5', NULL, 'shop');
SELECT destinations, event - '{originalTimestamp,sentAt}'::text[] || jsonb_build_object('messageId',
    CASE WHEN event ->> 'messageId' LIKE 'a0eebc99%' THEN event ->> 'messageId' ELSE (event ->> 'messageId' ~ '^[0-9a-f-]{36}$')::text END) AS event FROM sent();
INSERT INTO outbox (kind) VALUES (NULL);
SELECT refused();

--
-- When, in which order, for how long
--
SELECT outbox_on('outbox', $$'event=b', 'destination=crm', 'ordering_key=key', 'deliver_after=not_before', 'expires_after=life'$$);
INSERT INTO outbox (b, key, not_before, life) VALUES ('{"n": 1}', 'k', now() + '1 h', '2 h'), ('{"n": 2}', NULL, NULL, NULL);
SELECT q.ordering_key = rswebhook.ordering_hash('{}', 'k') AS key, q.deliver_after > now() AS later, q.expires_at - q.queued_at AS life
    FROM rswebhook.queue q ORDER BY event_id;
SELECT count(*) FROM sent();

--
-- Rows that do not stay
--
SELECT outbox_on('outbox', $$'event=b', 'destination=crm', 'keep=false'$$);
TRUNCATE outbox;
INSERT INTO outbox (b) SELECT jsonb_build_object('n', n) FROM generate_series(1, 3) n RETURNING b;
COPY outbox (b) FROM stdin;
{"n": "copied"}
{"n": "copied, too"}
\.
SELECT count(*) FROM outbox;
BEGIN;
INSERT INTO outbox (b) VALUES ('{"n": "rolled back"}');
ROLLBACK;
-- what another trigger has changed stays, and what cannot be deleted so
CREATE FUNCTION mark() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE outbox SET key = 'marked' WHERE id = NEW.id; RETURN NULL; END $$;
CREATE TRIGGER a AFTER INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION mark();
INSERT INTO outbox (b) VALUES ('{"n": "marked"}');
SELECT b, key FROM outbox;
DROP TRIGGER a ON outbox;
DROP FUNCTION mark();
CREATE TRIGGER twice AFTER INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION rswebhook_outbox('event=b', 'destination=crm', 'keep=false');
INSERT INTO outbox (b) VALUES ('{"n": "twice"}');
DROP TRIGGER twice ON outbox;
SELECT count(*) FROM outbox WHERE key IS NULL;
ALTER TABLE outbox ADD PRIMARY KEY (id);
CREATE TABLE refers (id bigint REFERENCES outbox);
SET client_min_messages = warning;
INSERT INTO outbox (b) VALUES ('{"n": "referred to"}');
SET client_min_messages = error;
SELECT problem FROM rswebhook.trigger_problems();
DROP TABLE refers;
ALTER TABLE outbox DROP CONSTRAINT outbox_pkey;
-- nor what a foreign key is checked for later, when the row would be gone
CREATE TABLE parent (id bigint PRIMARY KEY);
ALTER TABLE outbox ADD COLUMN parent bigint REFERENCES parent;
INSERT INTO outbox (b, parent) VALUES ('{"n": "no parent"}', 1);
DROP TRIGGER send ON outbox;
CREATE TRIGGER "A" AFTER INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION rswebhook_outbox('event=b', 'destination=crm', 'keep=false');
INSERT INTO outbox (b, parent) VALUES ('{"n": "no parent"}', 1);
SELECT problem FROM rswebhook.trigger_problems();
DROP TRIGGER "A" ON outbox;
ALTER TABLE outbox DROP COLUMN parent;
ALTER TABLE outbox ADD COLUMN parent bigint REFERENCES parent DEFERRABLE;
SELECT outbox_on('outbox', $$'event=b', 'destination=crm', 'keep=false'$$);
SELECT problem FROM rswebhook.trigger_problems();
ALTER TABLE outbox DROP COLUMN parent;
DROP TABLE parent;
CREATE PUBLICATION published FOR TABLE outbox;
SET client_min_messages = warning;
INSERT INTO outbox (b) VALUES ('{"n": "published"}');
SET client_min_messages = error;
SELECT problem FROM rswebhook.trigger_problems();
ALTER TABLE outbox REPLICA IDENTITY FULL;
INSERT INTO outbox (b) VALUES ('{"n": "published as a whole"}');
SELECT b FROM outbox WHERE b @? '$.n ? (@ starts with "published")';
DROP PUBLICATION published;
ALTER TABLE outbox REPLICA IDENTITY DEFAULT;
CREATE FOREIGN DATA WRAPPER nothing;
CREATE SERVER nowhere FOREIGN DATA WRAPPER nothing;
CREATE FOREIGN TABLE elsewhere (event jsonb) SERVER nowhere;
CREATE TRIGGER send AFTER INSERT ON elsewhere FOR EACH ROW EXECUTE FUNCTION rswebhook_outbox('destination=crm', 'keep=false');
SELECT problem FROM rswebhook.trigger_problems();
DROP FOREIGN DATA WRAPPER nothing CASCADE;
TRUNCATE outbox;
-- what could not be sent stays
INSERT INTO outbox (b) VALUES ('[]');
SELECT b FROM outbox;
SELECT refused();
INSERT INTO outbox (b) VALUES ('{"n": "last"}');
SELECT * FROM sent();

-- columns that are not named
SELECT outbox_on('outbox', $$'event=', 'destination=crm', 'on_error=raise'$$);
INSERT INTO outbox (b) VALUES ('{"n": 1}');
SELECT outbox_on('outbox', $$'type=', 'destination=crm', 'on_error=raise'$$);
INSERT INTO outbox (b) VALUES ('{"n": 1}');
TRUNCATE outbox;

--
-- What jsonb cannot hold, and other bad events: the application's row stays
--
SELECT outbox_on('outbox', $$'event=j', 'destination=crm'$$);
INSERT INTO outbox (j) VALUES ('{"a": "\u0000"}'), (NULL), ('[1]'), ('{"a": 1}'), ('{"statusCode": 200}');
SELECT outbox_on('outbox', $$'event=t', 'destination_column=target'$$);
INSERT INTO outbox (t, target) VALUES ('nonsense', 'crm'), ('{"n": 1}', 'nowhere'), ('{"a": 1e1000000}', 'crm'), ('{"n": 2}', 'crm');
SELECT count(*) FROM outbox;
SELECT refused();
SELECT destinations, event FROM sent();
SELECT outbox_on('outbox', $$'event=t', 'destination=crm', 'on_error=raise'$$);
INSERT INTO outbox (t) VALUES ('nonsense');

--
-- For whole statements, partitions, views
--
DROP TRIGGER send ON outbox;
CREATE TRIGGER send AFTER INSERT ON outbox REFERENCING NEW TABLE AS rows FOR EACH STATEMENT EXECUTE FUNCTION rswebhook_outbox('event=b', 'destination=crm');
INSERT INTO outbox (b) VALUES ('{"n": 1}'), ('[]'), ('{"n": 2}');
SELECT refused();
SELECT event FROM sent();
DROP TRIGGER send ON outbox;
CREATE TRIGGER send AFTER INSERT ON outbox REFERENCING NEW TABLE AS rows FOR EACH STATEMENT EXECUTE FUNCTION rswebhook_outbox('event=b', 'keep=false');
INSERT INTO outbox (b) VALUES ('{"n": 1}');
SELECT refused();
DROP TABLE outbox;
CREATE TABLE outbox (id integer, event jsonb) PARTITION BY LIST (id);
CREATE TABLE outbox_1 PARTITION OF outbox FOR VALUES IN (1);
CREATE TABLE outbox_2 (event jsonb, id integer);
ALTER TABLE outbox ATTACH PARTITION outbox_2 FOR VALUES IN (2);
SELECT outbox_on('outbox', $$'destination=crm', 'keep=false'$$);
INSERT INTO outbox VALUES (1, '{"n": 1}'), (2, '{"n": 2}');
SELECT count(*) FROM outbox;
SELECT event FROM sent();
DROP TABLE outbox;
CREATE VIEW box AS SELECT NULL::text AS event WHERE false;
SELECT outbox_on('box', $$'destination=crm'$$, 'INSTEAD OF INSERT');
INSERT INTO box VALUES ('{"n": 1}'), ('nonsense') RETURNING event;
SELECT refused();
SELECT event FROM sent();
DROP VIEW box;

--
-- Trouble in our own tables
--
CREATE TABLE outbox (id integer, event jsonb);
SELECT outbox_on('outbox', $$'destination=crm'$$);
CREATE TRIGGER also AFTER INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('crm');
ALTER TABLE rswebhook.destination RENAME COLUMN filter TO filter_;
INSERT INTO outbox VALUES (1, '{"n": 1}');
ALTER TABLE rswebhook.destination RENAME COLUMN filter_ TO filter;
SELECT split_part(r, ' | {', 1) AS refused, count(*) FROM refused() r GROUP BY 1 ORDER BY 1;
CREATE FUNCTION fails() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
CREATE TRIGGER fails BEFORE INSERT ON rswebhook.queue FOR EACH ROW EXECUTE FUNCTION fails();
INSERT INTO outbox VALUES (2, '{"n": 2}'), (3, '{"n": 3}');
DROP TRIGGER fails ON rswebhook.queue;
SELECT split_part(r, ' | {', 1) AS refused, count(*) FROM refused() r GROUP BY 1 ORDER BY 1;
CREATE TRIGGER fails BEFORE INSERT ON rswebhook.delivery FOR EACH ROW EXECUTE FUNCTION fails();
INSERT INTO outbox VALUES (4, '[]');
DROP TRIGGER fails ON rswebhook.delivery;
SELECT count(*) FROM refused();
ALTER TABLE rswebhook.event ADD CONSTRAINT mine CHECK (id < 0) NOT VALID;
INSERT INTO outbox VALUES (5, '{"n": 5}');
ALTER TABLE rswebhook.event DROP CONSTRAINT mine;
SELECT regexp_replace(split_part(r, ' | {', 1), 'event_\d', 'event_n') AS refused, count(*) FROM refused() r GROUP BY 1 ORDER BY 1;
SELECT count(*) AS all_stay FROM outbox;
SELECT count(*) FROM sent();
DROP FUNCTION fails();
DROP TABLE outbox;

--
-- What cannot work
--
CREATE TABLE outbox (id integer, event jsonb, t text);
CREATE FUNCTION pg_temp.wrong(arguments text, events text DEFAULT 'AFTER INSERT') RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM outbox_on('outbox', arguments, events);
    INSERT INTO outbox (event) VALUES ('{}');
    RETURN (SELECT string_agg(r, ' & ') FROM refused() r);
END $$;
SELECT a AS arguments, pg_temp.wrong(a) AS outcome FROM unnest(ARRAY[
    $$'event=id'$$, $$'payload=event'$$, $$'type=t', 'event=event'$$, $$'type=t', 'payload=id'$$, $$'deliver_after=t'$$, $$'expires_after=t'$$,
    $$'keep=maybe'$$, $$'destination=nowhere'$$, $$'nonsense'$$]) a;
SELECT pg_temp.wrong($$'destination=crm'$$, 'BEFORE INSERT'), pg_temp.wrong($$'destination=crm'$$, 'AFTER INSERT OR UPDATE');
SELECT count(*) AS all_stay FROM outbox;
-- as it is told by
SELECT outbox_on('outbox', $$'destination=nowhere'$$);
CREATE TRIGGER fine AFTER INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION rswebhook_outbox('destination=crm');
CREATE TRIGGER changes BEFORE UPDATE ON outbox FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('crm');
CREATE TRIGGER columns AFTER UPDATE ON outbox FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('crm', '', 'watch=t');
ALTER TABLE outbox DROP COLUMN t;
SELECT * FROM rswebhook.trigger_problems() ORDER BY trigger;
UPDATE outbox SET id = 1;
SELECT DISTINCT refused();
SELECT count(*) AS all_stay FROM outbox WHERE id = 1;
DROP TABLE outbox;

--
-- Many at once
--
SELECT rswebhook_send_batch('[{"n": 1}, {"n": 2}]', 'crm') > 0 AS sent;
SELECT rswebhook_send_batch('{"sentAt": "2026-01-01T00:00:00Z", "userId": "u", "batch": [{"n": 3}, {"n": 4, "integrations": {"All": false}}]}') > 0 AS sent;
SELECT count(*) AS none FROM rswebhook_send_batch('[]');
SELECT * FROM sent();
SELECT rswebhook_send_batch('[{"n": 1}, {"n": 2}, 3, {"n": 4}]', 'crm');
SELECT rswebhook_send_batch('{"batch": [{"n": 1}, {"statusCode": 1}]}', 'crm');
SELECT rswebhook_send_batch('[{"n": 1}]', 'nowhere');
SELECT rswebhook_send_batch(v) FROM unnest(ARRAY['{"batch": {}}']::jsonb[]) v;
SELECT rswebhook_send_batch('5');
SELECT rswebhook_send_batch('"x"');
SELECT rswebhook_send_batch(NULL);
SELECT count(*) AS nothing FROM rswebhook.event;
SELECT count(id) AS many, count(DISTINCT id) AS different FROM rswebhook_send_batch((SELECT jsonb_agg(jsonb_build_object('n', n)) FROM generate_series(1, 20000) n), 'crm', ordering_key => 'k') AS id;
SELECT count(*), count(DISTINCT ordering_key) FROM rswebhook.queue;
SELECT count(*) FROM sent();

DROP FUNCTION sent(), refused(), outbox_on(text, text, text);
DROP DOMAIN payload; DROP DOMAIN some_line; DROP DOMAIN wait;
DELETE FROM rswebhook.destination;
