-- Where an event is and why, what never arrived, and whether it all adds up.
-- All destinations are paused, so that a worker leaves them alone.
SET client_min_messages = error;
\set SHOW_CONTEXT never
SET datestyle = iso;
INSERT INTO rswebhook.destination (name, url, paused) VALUES
    ('crm', 'https://example.com/crm', true),
    ('shop', 'https://example.com/shop', true);
CREATE FUNCTION attempted(id bigint, destination text, outcome text, error text DEFAULT NULL, status integer DEFAULT NULL)
RETURNS void LANGUAGE sql AS $$
    INSERT INTO rswebhook.delivery (slot, run, attempt, event_id, destination_id, started_at, duration, outcome, error, status)
        SELECT rswebhook.ring_slot(clock_timestamp()), q.run, q.attempts + 1, q.event_id, q.destination_id,
               clock_timestamp(), '5 ms', $3, $4, $5
        FROM rswebhook.queue q JOIN rswebhook.destination d ON d.id = q.destination_id
        WHERE q.event_id = $1 AND d.name = $2;
    UPDATE rswebhook.queue q SET attempts = attempts + 1, retry_at = '2100-01-01' FROM rswebhook.destination d
        WHERE q.event_id = $1 AND d.id = q.destination_id AND d.name = $2 AND $3 = 'retry';
    DELETE FROM rswebhook.queue q USING rswebhook.destination d
        WHERE q.event_id = $1 AND d.id = q.destination_id AND d.name = $2 AND $3 <> 'retry';
$$;
-- without ids and times
CREATE FUNCTION masked(words text) RETURNS text LANGUAGE sql AS $$
    SELECT regexp_replace(regexp_replace($1, '\d{4}-\d\d-\d\d [\d:.+-]+', 'T', 'g'), '(event |replay\()\d+', '\1N', 'g')
$$;
CREATE FUNCTION event(n integer, userid text, name text DEFAULT 'Order Completed') RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('type', 'track', 'event', name, 'messageId', 'm' || n, 'userId', userid)
$$;

SELECT rswebhook_send(event(1, 'ann')) AS one, rswebhook_send(event(2, 'ann')) AS two,
       rswebhook_send(event(3, 'bob', 'Viewed'), 'crm') AS three, rswebhook_send('{"anonymousId": "bob", "type": "page"}', 'crm') AS four,
       rswebhook_send('{"userId": 17}', 'shop') AS five, rswebhook_send(event(6, repeat('long', 1000)), 'crm') AS six \gset
SELECT attempted(:one, 'crm', 'retry', 'HTTP status 503', 503), attempted(:one, 'shop', 'delivered', NULL, 200);
SELECT attempted(:three, 'crm', 'retry', 'HTTP status 503', 503), attempted(:three, 'crm', 'aborted', 'HTTP status 404', 404);

--
-- Find: by an index, or not at all
--
SELECT rswebhook.find(message_id => 'm1');
SELECT rswebhook.find(user_id => 'bob', event_name => 'Viewed');
CALL rswebhook.index_events('user');
CALL rswebhook.index_events(NULL);
CALL rswebhook.index_events('message_id');
CALL rswebhook.index_events('user_id');
CALL rswebhook.index_events('user_id');
SELECT c.relname, i.indisvalid, (SELECT count(*) FROM pg_inherits h WHERE h.inhparent = c.oid) AS parts
    FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid
    WHERE c.relnamespace = 'rswebhook'::regnamespace AND c.relkind = 'I' AND c.relname LIKE 'event%idx' ORDER BY 1;
SELECT f.message_id, f.user_id, f.event_name, f.destination, f.state, f.attempts, f.status, f.error, f.next_attempt_at > now() AS later
    FROM rswebhook.find(message_id => 'm1') f;
SELECT f.message_id, f.user_id, f.event_name, f.destination, f.state, f.status FROM rswebhook.find(user_id => 'bob') f;
SELECT f.message_id FROM rswebhook.find(user_id => 'bob', event_name => 'Viewed', message_id => 'm3') f;
SELECT f.message_id FROM rswebhook.find(user_id => 'bob', message_id => 'm1') f;
SELECT f.user_id FROM rswebhook.find(user_id => '17') f;
SELECT count(*) FROM rswebhook.find(user_id => repeat('long', 1000)) f;
SELECT count(*) FROM rswebhook.find(user_id => repeat('long', 999)) f;
SELECT f.event_name, f.destination FROM rswebhook.find(since => now() - interval '1 h', max_events => 3) f;
SELECT count(*) FROM rswebhook.find(since => now() + interval '1 h');
SELECT count(*) FROM rswebhook.find(until => now() - interval '1 h');
SELECT count(*) FROM rswebhook.find(user_id => 'ann', since => now() - interval '1 h', until => now() + interval '1 h');
SELECT rswebhook.find(max_events => 0);
SELECT rswebhook.find(max_events => NULL);
-- the id that a receiver has of an event without one of its own
SELECT f.event_name FROM rswebhook.event e, rswebhook.find(message_id =>
    format('rsw_%s_%s_%s', to_hex(1), lpad(to_hex(e.nonce), 16, '0'), e.id)) f WHERE e.id = :four;
SELECT f.event_name FROM rswebhook.find(message_id => format('rsw_1_0000000000000000_%s', :four)) f;
SELECT f.event_name FROM rswebhook.find(message_id => 'rsw_1_0000000000000000_999999999999999999') f;
-- of Hasura's shape, "event" is the row: that is payload, and so is whatever else is no name
BEGIN;
SELECT rswebhook_send('{"event": {"op": "INSERT", "data": {"new": {"salary": 1}}}, "userId": ["salary"], "messageId": {"salary": 1}}', 'crm') AS hasura \gset
SELECT f.message_id, f.user_id, f.event_name, f.destination FROM rswebhook.find(max_events => 1) f;
ROLLBACK;
DROP INDEX rswebhook.event_message_id_idx;
SELECT rswebhook.find(message_id => 'm1');
DROP INDEX rswebhook.event_user_id_idx;

--
-- Failed and undelivered: the last word on each
--
SELECT f.destination, f.outcome, f.attempts, f.status, f.error, f.event ->> 'messageId' AS message, masked(f.replay) AS replay FROM rswebhook.failed f;
SELECT u.event_id - :one AS n, u.destination, u.state, u.attempts, u.error FROM rswebhook.undelivered u ORDER BY 1, 2;
BEGIN;
SELECT rswebhook_replay(:three), rswebhook_replay(:one, 'shop');
SELECT count(*) FROM rswebhook.failed;
SELECT u.event_id - :one AS n, u.destination, u.state FROM rswebhook.undelivered u WHERE u.destination = 'crm' OR u.destination = 'shop' ORDER BY 1, 2;
SELECT attempted(:three, 'crm', 'delivered'), attempted(:one, 'shop', 'aborted', 'gone');
SELECT u.event_id - :one AS n, u.destination, u.state FROM rswebhook.undelivered u ORDER BY 1, 2;
SELECT f.event_id - :one AS n, f.destination, f.error FROM rswebhook.failed f;
ROLLBACK;
-- refused: of no event, of one without a destination, which is sent later
BEGIN;
INSERT INTO rswebhook.delivery (slot, attempt, event_id, destination_id, started_at, duration, outcome, error) VALUES
    (rswebhook.ring_slot(now()), 0, 0, 0, now(), '0', 'refused', 'trigger "a": event is null'),
    (rswebhook.ring_slot(now()), 0, 0, 0, now(), '0', 'refused', 'trigger "a": event is null'),
    (rswebhook.ring_slot(now()), 0, :two, 0, now(), '0', 'refused', 'trigger "a": destination "x" does not exist');
SELECT f.event_id = 0 AS none, f.destination, f.outcome, f.error, f.replay FROM rswebhook.failed f WHERE f.outcome = 'refused' ORDER BY 1, 4;
DELETE FROM rswebhook.queue WHERE event_id = :two;
SELECT f.event_id = 0 AS none, f.destination, f.outcome, f.error, f.replay FROM rswebhook.failed f WHERE f.outcome = 'refused' ORDER BY 1, 4;
ROLLBACK;

--
-- Explain
--
CREATE VIEW explained AS SELECT e.destination, e.state, masked(e.why) AS why, e.attempts, e.next_attempt_at > now() AS later
    FROM rswebhook_explain(current_setting('this.event')::bigint) e ORDER BY 1;
SELECT set_config('this.event', :'one', false) IS NOT NULL AS set;
SELECT * FROM explained;
UPDATE rswebhook.destination SET enabled = false;
SELECT * FROM explained WHERE state = 'disabled';
UPDATE rswebhook.destination SET enabled = true;
BEGIN;
UPDATE rswebhook.destination SET url = '' WHERE name = 'none';
ALTER TABLE rswebhook.destination ADD COLUMN mine text;
UPDATE rswebhook.home SET database_oid = 1;
UPDATE rswebhook.destination SET paused = false;
SELECT * FROM explained WHERE destination = 'crm';
ROLLBACK;
SELECT set_config('this.event', :'three', false) IS NOT NULL AS set;
SELECT * FROM explained;
SELECT set_config('this.event', '-1', false) IS NOT NULL AS set;
SELECT * FROM explained;
BEGIN;
DELETE FROM rswebhook.queue WHERE event_id = :one;
SELECT set_config('this.event', :'one', true) IS NOT NULL AS set;
SELECT * FROM explained WHERE destination = 'crm';
DELETE FROM rswebhook.delivery WHERE event_id = :one;
SELECT * FROM explained;
ROLLBACK;
SELECT rswebhook_explain(NULL);

--
-- Balance
--
SELECT * FROM rswebhook.balance();
SELECT * FROM rswebhook.balance(now() - interval '1 h', now() + interval '1 h');
SELECT * FROM rswebhook.balance(until => now() - interval '1 h');
BEGIN;
DELETE FROM rswebhook.queue WHERE event_id = :one;
INSERT INTO rswebhook.delivery (slot, attempt, event_id, destination_id, started_at, duration, outcome, error) VALUES
    (rswebhook.ring_slot(now()), 0, 0, 0, now(), '0', 'refused', 'trigger "a": event is null');
SELECT * FROM rswebhook.balance();
ROLLBACK;

-- nothing of the large tables is read as a whole, whatever the statistics
CREATE FUNCTION scans(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    line text;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
        IF line ~ 'Seq Scan on (queue|event|delivery)' THEN
            RETURN NEXT regexp_replace(line, '^[ >-]*(Parallel )?', '');
        END IF;
    END LOOP;
END
$$;
SET enable_seqscan = off;
SELECT scans($$SELECT * FROM rswebhook.failed ORDER BY failed_at DESC LIMIT 10$$);
SELECT scans($$SELECT * FROM rswebhook.failed WHERE destination = 'crm' AND failed_at > now() - interval '1 day'$$);
SELECT scans($$SELECT * FROM rswebhook.undelivered WHERE destination = 'crm' LIMIT 10$$);
RESET enable_seqscan;

DROP VIEW explained;
DROP FUNCTION attempted(bigint, text, text, text, integer), masked(text), event(integer, text, text), scans(text);
DELETE FROM rswebhook.queue;
TRUNCATE rswebhook.delivery, rswebhook.event;
DELETE FROM rswebhook.destination;
