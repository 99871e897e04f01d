-- Sending: what is accepted, who takes it, what is stored, and that it belongs
-- to the caller's transaction.
-- All destinations are paused, so that a worker leaves them alone.
SET client_min_messages = error;
INSERT INTO rswebhook.destination (name, url, paused) VALUES
    ('crm', 'https://example.com/crm', true),
    ('shop', 'https://example.com/shop', true);

-- what is owed, with names and without times
CREATE VIEW owed AS
    SELECT d.name AS destination, e.event, e.ordering_key, q.attempts,
           q.event_slot = e.slot AND e.slot = rswebhook.ring_slot(e.created_at) AS same_slot,
           q.ordering_key = rswebhook.ordering_hash(e.event, e.ordering_key) AS same_hash,
           q.deliver_after - q.queued_at AS deliver_after, q.expires_at - q.queued_at AS expires
    FROM rswebhook.queue q
    JOIN rswebhook.destination d ON d.id = q.destination_id
    LEFT JOIN rswebhook.event e ON e.id = q.event_id
    ORDER BY q.event_id, d.name;
CREATE FUNCTION forget() RETURNS void LANGUAGE sql
    AS $$ TRUNCATE rswebhook.queue, rswebhook.event $$;

--
-- To one, and to all
--
SELECT rswebhook_send('{"type": "track", "event": "one", "userId": "u1"}', 'crm') AS one \gset
SELECT rswebhook_send('{"type": "track", "event": "all", "userId": "u1"}') AS two \gset
SELECT :two - :one AS later;
SELECT destination, event ->> 'event' AS event, ordering_key, attempts, same_slot, same_hash, deliver_after, expires
    FROM owed;
SELECT count(*) AS payloads FROM rswebhook.event;
SELECT forget();

--
-- What cannot be sent
--
SELECT rswebhook_send(NULL);
SELECT rswebhook_send('[1]');
SELECT rswebhook_send('"text"', 'crm');
SELECT rswebhook_send(to_jsonb('  {"type": "track"}'::text), 'crm');
SELECT rswebhook_send_batch(to_jsonb('[{"type": "track"}]'::text), 'crm');
SELECT rswebhook_send_batch('"text"', 'crm');
SELECT rswebhook_transform(to_jsonb('{"type": "track"}'::text), 'POST');
SELECT rswebhook_transform('{}', to_jsonb('{"webhookUrl": "https://example.com"}'::text));
SELECT rswebhook_send('{"type": "track", "statusCode": 200}', 'crm');
SELECT rswebhook_send('{"type": "track", "statusCode": "x"}');
SELECT rswebhook_send('{"type": "track"}', 'nowhere');
-- of what is long, errors quote the beginning
SELECT rswebhook_send('{"type": "track"}', repeat('nowhere', 100000));
SELECT rswebhook_transform('{"type": "track"}', repeat('nowhere', 100000));
SELECT rswebhook_pause(repeat('nowhere', 100000));
SELECT rswebhook_send('{"type": "track"}', '');
SET rswebhook.max_event_size = '1kB';
SELECT rswebhook_send(jsonb_build_object('type', 'track', 'x', repeat('x', 2000)), 'crm');
RESET rswebhook.max_event_size;
-- small as jsonb, large as text
SELECT rswebhook_send(jsonb_build_object('type', 'track', 'x', repeat(E'\x01', 900000)), 'crm');
SELECT rswebhook_send(jsonb_build_object('type', 'track', 'x', (SELECT jsonb_agg('1e98'::jsonb) FROM generate_series(1, 45000))));
SELECT rswebhook_send(jsonb_build_object('request_ip', repeat(E'\x01', 400000)), 'crm');
SELECT rswebhook_send('{}', 'crm', expires_after => '0');
SELECT rswebhook_send('{}', 'crm', expires_after => '-1 s');
SELECT rswebhook_send('{}', 'crm', expires_after => '-178000000 years');
SELECT rswebhook_send('{}', 'crm', expires_after => '36500 days 1 us');
SELECT rswebhook_send('{}', 'crm', expires_after => '178000000 years');
SELECT rswebhook_send('{}', 'crm', deliver_after => 'infinity');
SELECT rswebhook_send('{}', 'crm', deliver_after => '250000-01-01');
\set VERBOSITY sqlstate
SELECT rswebhook_send('{}', 'crm', deliver_after => clock_timestamp() + interval '1 year 1 min');
\set VERBOSITY default
SELECT rswebhook_send('{}', 'crm', deliver_after => clock_timestamp() + interval '2 h', expires_after => '1 h');
UPDATE rswebhook.destination SET enabled = false WHERE name = 'shop';
-- which waits, as for one that is paused
SELECT rswebhook_send('{"type": "track"}', 'shop') IS NOT NULL AS waits;
BEGIN READ ONLY;
SELECT rswebhook_send('{"type": "track"}', 'crm');
ROLLBACK;
SELECT count(*) AS nothing FROM rswebhook.event;

-- a statusCode that JavaScript takes for nothing is an ordinary key
SELECT count(rswebhook_send(jsonb_build_object('statusCode', v), 'crm'))
    FROM unnest(ARRAY['null', 'false', '0', '0.00', '""']::jsonb[]) v;

-- no destination takes it: nothing is stored
SELECT forget();
SELECT rswebhook_send('{"integrations": {"All": false}}') IS NULL AS nobody;
SELECT count(*) AS nothing FROM rswebhook.event;

--
-- A fan-out asks the event's integrations ...
--
SELECT v AS integrations, rswebhook_send(jsonb_build_object('integrations', v)) IS NOT NULL AS taken
    FROM unnest(ARRAY['null', '[]', '"x"', '{}',
                      '{"All": true}', '{"All": false}', '{"All": "true"}', '{"All": null}',
                      '{"All": null, "Webhook": true}',
                      '{"All": false, "Webhook": true}', '{"All": false, "Webhook": {}}',
                      '{"All": false, "Webhook": []}', '{"All": false, "Webhook": "x"}',
                      '{"All": false, "webhook": true}',
                      '{"Webhook": false}', '{"All": true, "Webhook": false}',
                      '{"All": true, "Webhook": null}', '{"Webhook": 0}']::jsonb[]) v;

-- ... and the destinations' filters
SELECT forget();
UPDATE rswebhook.destination SET enabled = true;
UPDATE rswebhook.destination SET types = '{Track, identify }' WHERE name = 'crm';
UPDATE rswebhook.destination SET events = '{Order Completed}' WHERE name = 'shop';
SELECT v AS event, rswebhook_send(v) IS NOT NULL AS taken
    FROM unnest(ARRAY['{"type": "track", "event": "Order Completed"}',
                      '{"type": " TRACK", "event": "order completed"}',
                      '{"type": "page", "event": "Order Completed"}',
                      '{"type": "page"}', '{"type": 5}', '{}']::jsonb[]) v;
SELECT destination, event FROM owed;

-- an order to one destination asks neither
SELECT forget();
SELECT count(rswebhook_send('{"type": "page", "integrations": {"All": false}}', 'crm'));
UPDATE rswebhook.destination SET types = NULL, events = NULL;

--
-- What stays in order: a key that was given, else userId, else anonymousId
--
SELECT rswebhook.ordering_hash('{"userId": "u1"}', NULL) = rswebhook.ordering_hash('{}', 'u1') AS user_id,
       rswebhook.ordering_hash('{"anonymousId": "u1"}', NULL) = rswebhook.ordering_hash('{}', 'u1') AS anonymous_id,
       rswebhook.ordering_hash('{"userId": 5, "anonymousId": "u1"}', NULL) = rswebhook.ordering_hash('{}', '5') AS number,
       rswebhook.ordering_hash('{"userId": "", "anonymousId": "u1"}', NULL) = rswebhook.ordering_hash('{}', 'u1') AS empty,
       rswebhook.ordering_hash('{"userId": "u1"}', 'u2') = rswebhook.ordering_hash('{}', 'u2') AS given,
       rswebhook.ordering_hash('{"userId": "u1"}', '') IS NULL AS given_empty,
       rswebhook.ordering_hash('{"userId": {}}', NULL) IS NULL AS none;
SELECT forget();
SELECT count(rswebhook_send('{"userId": "u1"}', 'crm', ordering_key => 'cart 5'));
SELECT count(rswebhook_send('{"userId": "u1"}', 'crm', ordering_key => ''));
SELECT ordering_key, same_hash FROM owed;
SELECT count(rswebhook_send('{"userId": "u1"}', 'crm', ordering_key => repeat('k', 1024)));
SELECT rswebhook_send('{"userId": "u1"}', 'crm', ordering_key => repeat('k', 1025));

--
-- Later, and not for ever
--
SELECT forget();
SELECT count(rswebhook_send('{}', 'crm', deliver_after => '2000-01-01', expires_after => '1 h'));
SELECT count(rswebhook_send('{}', 'crm', deliver_after => now() + interval '1 year'));
SELECT count(rswebhook_send('{}', 'crm', deliver_after => '-infinity'));
SELECT count(rswebhook_send('{}', 'crm', expires_after => '36500 days'));
SELECT count(rswebhook_send('{}', 'crm', expires_after => '1 us'));
SELECT deliver_after > interval '364 days' AS later, expires FROM owed;

--
-- The transaction decides
--
SELECT forget();
BEGIN;
SELECT count(rswebhook_send('{"n": 1}', 'crm'));
ROLLBACK;
BEGIN;
SELECT count(rswebhook_send('{"n": 2}', 'crm'));
SAVEPOINT s;
SELECT count(rswebhook_send('{"n": 3}', 'crm'));
ROLLBACK TO s;
SELECT count(rswebhook_send('{"n": 4}', 'crm'));
SAVEPOINT s;
INSERT INTO rswebhook.destination (name, url, paused) VALUES ('new', 'https://example.com/new', true);
SELECT count(rswebhook_send('{"n": 5}', 'new'));
ROLLBACK TO s;
SAVEPOINT s;
SELECT rswebhook_send('{"n": 6}', 'new');
ROLLBACK TO s;
COMMIT;

DO $$
BEGIN
    PERFORM rswebhook_send('{"n": 7}', 'crm');
    BEGIN
        PERFORM rswebhook_send('{"n": 8}', 'crm');
        PERFORM rswebhook_send('{"n": 9}', 'nowhere');
    EXCEPTION WHEN undefined_object THEN
        PERFORM rswebhook_send('{"n": 10}', 'crm');
    END;
END $$;

PREPARE send(jsonb) AS SELECT rswebhook_send($1, 'crm') IS NOT NULL AS sent;
EXECUTE send('{"n": 11}');
UPDATE rswebhook.destination SET enabled = false WHERE name = 'crm';
EXECUTE send('{"n": 12}');
UPDATE rswebhook.destination SET enabled = true WHERE name = 'crm';
EXECUTE send('{"n": 13}');
DEALLOCATE send;
SELECT event, same_slot FROM owed;
SELECT count(*) AS payloads FROM rswebhook.event;

-- the newest configuration is used, whatever the transaction's snapshot
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(rswebhook_send('{"n": 14}', 'crm'));
UPDATE rswebhook.destination SET enabled = false WHERE name = 'crm';
SELECT count(rswebhook_send('{"n": 15}', 'crm'));
ROLLBACK;

--
-- Whole sets; indexes that somebody adds are kept up, too
--
SELECT forget();
CREATE INDEX extra_queue_idx ON rswebhook.queue ((event_id % 1000));
CREATE INDEX extra_event_idx ON rswebhook.event ((event ->> 'userId'));
SELECT count(DISTINCT rswebhook_send(jsonb_build_object('type', 'track', 'userId', 'u' || i)))
    FROM generate_series(1, 100000) i;
SELECT count(*), count(DISTINCT event_id), count(DISTINCT ordering_key) FROM rswebhook.queue;
SET enable_seqscan = off;
SELECT count(*) FROM rswebhook.event WHERE event ->> 'userId' = 'u777';
SELECT count(*) FROM rswebhook.queue WHERE event_id % 1000 = 5;
RESET enable_seqscan;
DROP INDEX rswebhook.extra_queue_idx, rswebhook.extra_event_idx;

-- a big event comes back as it was
SELECT forget();
CREATE TABLE big AS SELECT jsonb_object_agg(i, md5(i::text)) AS event FROM generate_series(1, 5000) i;
SELECT count(rswebhook_send(event, 'crm')) FROM big;
SELECT owed.event = big.event AS same FROM owed, big;
DROP TABLE big;

-- an event has a nonce for the id of its own that it needs, and else none
SELECT forget();
SELECT count(rswebhook_send(e, 'crm')) FROM unnest(ARRAY['{"messageId": "m1"}', '{"messageId": "no id"}',
    '{"messageId": "rsw_1"}', '{"messageId": 1}', '{}']::jsonb[]) e;
SELECT event, nonce IS NULL AS none FROM rswebhook.event ORDER BY id;

-- what needs no privilege of the table must not depend on names around it, either
BEGIN;
SET LOCAL search_path = pg_temp;
CREATE TEMP TABLE queue (destination_id integer);
SELECT count(public.rswebhook_send('{}', 'crm'));
ROLLBACK;

SELECT rswebhook.ring_slot('infinity');

DROP VIEW owed;
SELECT forget();
DROP FUNCTION forget();
DELETE FROM rswebhook.destination;
