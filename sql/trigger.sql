-- Trigger functions: a table's changes as events, and outboxes.
-- All destinations are paused, so that a worker leaves them alone.
SET client_min_messages = error;
INSERT INTO rswebhook.destination (name, url, paused) VALUES
    ('crm', 'https://example.com/crm', true),
    ('shop', 'https://example.com/shop', true);

-- what was sent, and forget it; what differs each time is masked
CREATE FUNCTION sent() RETURNS TABLE (destination text, event jsonb) LANGUAGE plpgsql AS $$
BEGIN
    -- its keys are in the order in which jsonb finds them
    ASSERT NOT EXISTS (SELECT FROM rswebhook.event e WHERE e.event <> e.event::text::jsonb);
    RETURN QUERY
        SELECT d.name, e.event
            || CASE WHEN e.event ? 'messageId' THEN
                jsonb_build_object('messageId', (e.event ->> 'messageId') ~ '^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$',
                                   'sentAt', e.event ->> 'sentAt' ~ '^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$'
                                       AND now() - (e.event ->> 'sentAt')::timestamptz < interval '1 h',
                                   'originalTimestamp', e.event -> 'originalTimestamp' = e.event -> 'sentAt')
               ELSE '{}' END
        FROM rswebhook.queue q
        JOIN rswebhook.destination d ON d.id = q.destination_id
        JOIN rswebhook.event e ON e.id = q.event_id
        ORDER BY q.event_id, d.name;
    DELETE FROM rswebhook.queue;
    DELETE FROM rswebhook.event;
END $$;

--
-- A table's changes
--
CREATE TABLE orders (
    id integer PRIMARY KEY,
    customer text,
    total numeric,
    placed date,
    gross numeric GENERATED ALWAYS AS (total * 1.19) STORED,
    gone integer);
ALTER TABLE orders DROP COLUMN gone;

CREATE TRIGGER send AFTER INSERT OR UPDATE OR DELETE ON orders
    FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('crm');
INSERT INTO orders VALUES (1, 'c1', 10.50, '2026-05-01');
UPDATE orders SET total = 11;
DELETE FROM orders;
SELECT destination, event FROM sent();
DROP TRIGGER send ON orders;

-- without a destination all that let it through; a name; the user's id
CREATE TRIGGER send AFTER INSERT OR UPDATE ON orders
    FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('', 'Order Saved', 'user_id=customer', 'previous=true');
UPDATE rswebhook.destination SET events = '{Order Canceled}' WHERE name = 'shop';
INSERT INTO orders VALUES (2, 'c2', 1, NULL), (3, NULL, 2, NULL);
UPDATE orders SET total = 5 WHERE id = 2;
SELECT destination, event ->> 'event' AS event, event ->> 'userId' AS user_id,
       event -> 'context' -> 'previous' ->> 'total' AS before, event -> 'properties' ->> 'total' AS total
    FROM sent();
DROP TRIGGER send ON orders;

-- several rows and statements, and a WHEN clause
CREATE TRIGGER send AFTER UPDATE ON orders
    FOR EACH ROW WHEN (NEW.total > 100)
    EXECUTE FUNCTION rswebhook_trigger('crm', '', 'anonymous_id=customer', 'ordering_key=id');
UPDATE orders SET total = id * 50;
SELECT q.ordering_key = rswebhook.ordering_hash('{}', '3') AS by_id, e.ordering_key
    FROM rswebhook.queue q JOIN rswebhook.event e ON e.id = q.event_id;
SELECT event ->> 'event' AS event, event ? 'anonymousId' AS has_anonymous_id, event -> 'properties' -> 'id' AS id FROM sent();
DROP TRIGGER send ON orders;

-- identify: the row is the user's traits
CREATE TRIGGER send AFTER INSERT ON orders
    FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('crm', '', 'type=identify', 'user_id=customer');
INSERT INTO orders VALUES (4, 'c4', NULL, '2026-05-02');
SELECT event - 'context' AS event FROM sent();
DROP TRIGGER send ON orders;

-- a partition sends as itself
CREATE TABLE parts (id integer, note text) PARTITION BY LIST (id);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN (1);
CREATE TRIGGER send AFTER INSERT ON parts
    FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('crm', 'part');
INSERT INTO parts VALUES (1, 'one');
SELECT event -> 'context' -> 'table' AS "table", event -> 'properties' AS properties FROM sent();
DROP TABLE parts;

-- a deferred trigger sends at commit, and only then
CREATE CONSTRAINT TRIGGER send AFTER INSERT ON orders DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('crm', 'deferred');
BEGIN;
INSERT INTO orders VALUES (5, 'c5', 1, NULL);
SELECT count(*) FROM rswebhook.queue;
COMMIT;
SELECT event ->> 'event' AS event FROM sent();
DROP TRIGGER send ON orders;

-- an error is the statement's if it is told so: nothing is changed that would go unsent
CREATE TRIGGER send AFTER INSERT ON orders
    FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('nowhere', '', 'on_error=raise');
INSERT INTO orders VALUES (6, 'c6', 1, NULL);
DROP TRIGGER send ON orders;

-- arguments that make no sense
CREATE TRIGGER send AFTER INSERT ON orders
    FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('crm', 'x', 'user=customer', 'on_error=raise');
INSERT INTO orders VALUES (6, 'c6', 1, NULL);
DROP TRIGGER send ON orders;
CREATE TRIGGER send AFTER INSERT ON orders
    FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('crm', 'x', 'user_id=buyer', 'on_error=raise');
INSERT INTO orders VALUES (6, 'c6', 1, NULL);
DROP TRIGGER send ON orders;
CREATE TRIGGER send AFTER INSERT ON orders
    FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('crm', 'x', 'type=visit', 'on_error=raise');
INSERT INTO orders VALUES (6, 'c6', 1, NULL);
DROP TRIGGER send ON orders;
CREATE TRIGGER send BEFORE INSERT ON orders
    FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('crm', '', 'on_error=raise');
INSERT INTO orders VALUES (6, 'c6', 1, NULL);
DROP TRIGGER send ON orders;
CREATE TRIGGER send AFTER INSERT ON orders
    FOR EACH STATEMENT EXECUTE FUNCTION rswebhook_trigger('crm', '', 'on_error=raise');
INSERT INTO orders VALUES (6, 'c6', 1, NULL);
DROP TABLE orders;

--
-- Outboxes
--
UPDATE rswebhook.destination SET events = NULL;
CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY,
    event jsonb,
    as_json json,
    target text,
    not_before timestamptz,
    key text);

CREATE TRIGGER send AFTER INSERT ON outbox
    FOR EACH ROW EXECUTE FUNCTION rswebhook_outbox('on_error=raise');
INSERT INTO outbox (event) VALUES ('{"type": "track", "n": 1}');
INSERT INTO outbox (event) VALUES (NULL);
SELECT * FROM sent();
DROP TRIGGER send ON outbox;

CREATE TRIGGER send AFTER INSERT ON outbox
    FOR EACH ROW EXECUTE FUNCTION rswebhook_outbox('destination=shop', 'event=as_json');
INSERT INTO outbox (as_json) VALUES ('{"type": "track", "n": 2}');
SELECT * FROM sent();
DROP TRIGGER send ON outbox;

CREATE TRIGGER send AFTER INSERT ON outbox
    FOR EACH ROW EXECUTE FUNCTION rswebhook_outbox('destination_column=target', 'deliver_after=not_before', 'ordering_key=key');
INSERT INTO outbox (event, target, not_before, key) VALUES
    ('{"n": 3}', 'crm', now() + interval '1 year', 'k'), ('{"n": 4}', NULL, NULL, NULL);
SELECT q.deliver_after IS NOT NULL AS later, e.ordering_key, e.event
    FROM rswebhook.queue q JOIN rswebhook.event e ON e.id = q.event_id ORDER BY q.event_id, q.destination_id;
SELECT * FROM sent();
DROP TRIGGER send ON outbox;

-- one that stores nothing
CREATE VIEW drop_box AS SELECT NULL::jsonb AS event, NULL::text AS target WHERE false;
CREATE TRIGGER send INSTEAD OF INSERT ON drop_box
    FOR EACH ROW EXECUTE FUNCTION rswebhook_outbox('destination_column=target');
INSERT INTO drop_box VALUES ('{"n": 5}', 'crm'), ('{"n": 6}', 'shop') RETURNING event;
SELECT * FROM sent();
DROP VIEW drop_box;

-- arguments that make no sense
CREATE TRIGGER send AFTER INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION rswebhook_outbox('event=id', 'on_error=raise');
INSERT INTO outbox (event) VALUES ('{}');
DROP TRIGGER send ON outbox;
CREATE TRIGGER send AFTER INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION rswebhook_outbox('event=payload', 'on_error=raise');
INSERT INTO outbox (event) VALUES ('{}');
DROP TRIGGER send ON outbox;
CREATE TRIGGER send AFTER INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION rswebhook_outbox('deliver_after=key', 'on_error=raise');
INSERT INTO outbox (event) VALUES ('{}');
DROP TRIGGER send ON outbox;
CREATE TRIGGER send AFTER INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION rswebhook_outbox('crm', 'on_error=raise');
INSERT INTO outbox (event) VALUES ('{}');
DROP TRIGGER send ON outbox;
CREATE TRIGGER send AFTER INSERT ON outbox
    FOR EACH ROW EXECUTE FUNCTION rswebhook_outbox('destination=crm', 'destination_column=target', 'on_error=raise');
INSERT INTO outbox (event) VALUES ('{}');
DROP TRIGGER send ON outbox;
CREATE TRIGGER send AFTER UPDATE ON outbox FOR EACH ROW EXECUTE FUNCTION rswebhook_outbox('on_error=raise');
UPDATE outbox SET key = 'x';
DROP TRIGGER send ON outbox;
-- what is too long, and errors that quote it
CREATE TRIGGER send AFTER INSERT ON outbox
    FOR EACH ROW EXECUTE FUNCTION rswebhook_outbox('destination_column=target', 'on_error=raise');
INSERT INTO outbox (event, target) VALUES ('{}', repeat('nowhere', 100000));
DROP TRIGGER send ON outbox;
CREATE TRIGGER send AFTER INSERT ON outbox
    FOR EACH ROW EXECUTE FUNCTION rswebhook_outbox('destination=shop', 'ordering_key=key', 'on_error=raise');
INSERT INTO outbox (event, key) VALUES ('{}', repeat('k', 1025));
DROP TRIGGER send ON outbox;
SELECT repeat('long', 10000) AS long \gset
\set argument 'event=' :long
CREATE TRIGGER send AFTER INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION rswebhook_outbox(:'argument', 'on_error=raise');
INSERT INTO outbox (event) VALUES ('{}');
DROP TRIGGER send ON outbox;
CREATE TRIGGER send AFTER INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION rswebhook_outbox(:'long', 'on_error=raise');
INSERT INTO outbox (event) VALUES ('{}');
DROP TRIGGER send ON outbox;
\set argument 'type=' :long
CREATE TRIGGER send AFTER INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('crm', '', :'argument', 'on_error=raise');
INSERT INTO outbox (event) VALUES ('{}');
DROP TRIGGER send ON outbox;
DROP TABLE outbox;
SELECT count(*) AS nothing FROM rswebhook.event;

SELECT count(*) AS nothing FROM rswebhook.delivery;
DROP FUNCTION sent();
DELETE FROM rswebhook.destination;
