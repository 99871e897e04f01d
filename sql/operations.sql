-- Operations: pause, resume, cancel, replay, and the view that tells how
-- things are.
-- All destinations are paused, so that a worker leaves them alone.
SET client_min_messages = error;
\set SHOW_CONTEXT never
INSERT INTO rswebhook.destination (name, url, paused) VALUES
    ('crm', 'https://example.com/crm', true),
    ('shop', 'https://example.com/shop', true);

CREATE VIEW owed AS
    SELECT d.name AS destination, e.event ->> 'n' AS n, q.attempts
    FROM rswebhook.queue q
    JOIN rswebhook.destination d ON d.id = q.destination_id
    JOIN rswebhook.event e ON e.id = q.event_id
    ORDER BY q.event_id, d.name;
CREATE VIEW history AS
    SELECT d.name AS destination, e.event ->> 'n' AS n, l.attempt, l.outcome, l.error
    FROM rswebhook.delivery l
    JOIN rswebhook.destination d ON d.id = l.destination_id
    JOIN rswebhook.event e ON e.id = l.event_id
    ORDER BY l.event_id, d.name, l.started_at;

-- record an attempt as a worker would
CREATE FUNCTION attempted(id bigint, destination text, outcome text, error text DEFAULT NULL)
RETURNS void LANGUAGE sql AS $$
    INSERT INTO rswebhook.delivery (slot, run, attempt, event_id, destination_id, started_at, duration, outcome, error)
        SELECT rswebhook.ring_slot(clock_timestamp()), q.run, q.attempts + 1, q.event_id, q.destination_id,
               clock_timestamp(), '5 ms', $3, $4
        FROM rswebhook.queue q JOIN rswebhook.destination d ON d.id = q.destination_id
        WHERE q.event_id = $1 AND d.name = $2;
    DELETE FROM rswebhook.queue q USING rswebhook.destination d
        WHERE q.event_id = $1 AND d.id = q.destination_id AND d.name = $2;
$$;

--
-- Pause and resume
--
BEGIN;
UPDATE rswebhook.destination SET paused = false;
SELECT rswebhook_pause('crm');
SELECT destination, replace(state, 'no worker', 'active') AS state FROM rswebhook.status ORDER BY 1;
INSERT INTO rswebhook.breaker
    SELECT id, 16, now(), now() + interval '1 min', 'connection refused' FROM rswebhook.destination;
SELECT destination, breaker, breaker_reason FROM rswebhook.status ORDER BY 1;
SELECT rswebhook_resume('crm');
SELECT destination, breaker, breaker_reason FROM rswebhook.status ORDER BY 1;
ROLLBACK;
SELECT rswebhook_pause('nowhere');
SELECT rswebhook_resume('nowhere');
SELECT rswebhook_pause(NULL);

--
-- Retry: what waits for its time is due now
--
BEGIN;
SET LOCAL client_min_messages = notice;
SELECT rswebhook_send('{"n": 1}') AS one, rswebhook_send('{"n": 2}', 'crm') AS two, rswebhook_send('{"n": 3}', 'crm') AS three \gset
UPDATE rswebhook.queue SET attempts = 2, retry_at = now() + interval '1 h' WHERE event_id <> :three;
UPDATE rswebhook.destination SET paused = false, enabled = false WHERE name = 'shop';
SELECT rswebhook_retry(:one, 'shop');
SELECT rswebhook_retry(:one);
SELECT rswebhook_retry(:one);
SELECT rswebhook_retry(:three);
SELECT e.event ->> 'n' AS n, q.destination_id = rswebhook.destination_id('crm') AS crm, q.attempts, q.retry_at > clock_timestamp() AS waits
    FROM rswebhook.queue q JOIN rswebhook.event e ON e.id = q.event_id ORDER BY 1, 2;
UPDATE rswebhook.destination SET paused = false, enabled = true;
INSERT INTO rswebhook.breaker SELECT id, 16, now(), now() + interval '1 min', 'refused' FROM rswebhook.destination;
SELECT rswebhook_retry(:two);
UPDATE rswebhook.queue SET retry_at = now() + interval '1 h' WHERE event_id = :two;
SELECT rswebhook_retry('crm');
SELECT destination, breaker FROM rswebhook.status ORDER BY 1;
ROLLBACK;
SELECT rswebhook_retry('nowhere');
SELECT rswebhook_retry(1, 'nowhere');
SELECT rswebhook_retry(NULL::text);
SELECT rswebhook_retry(NULL::bigint);

--
-- Cancel
--
SELECT rswebhook_send('{"n": 1}') AS one, rswebhook_send('{"n": 2}') AS two, rswebhook_send('{"n": 3}', 'crm') AS three \gset
SELECT rswebhook_cancel(:one);
SELECT rswebhook_cancel(:one);
SELECT rswebhook_cancel(:two, 'shop');
SELECT * FROM owed;
SELECT rswebhook_cancel_all('crm', '2000-01-01');
SELECT rswebhook_cancel_all('crm');
SELECT * FROM owed;
SELECT * FROM history;
SELECT rswebhook_cancel_all('nowhere');
SELECT rswebhook_cancel(:one, 'nowhere');
BEGIN;
SELECT rswebhook_send('{"n": 4}', 'crm') IS NOT NULL AS sent;
SELECT rswebhook_cancel_all('crm');
ROLLBACK;

--
-- Replay one event
--
SELECT rswebhook_replay(:one);
SELECT rswebhook_replay(:one);
SELECT rswebhook_replay(:three);
SELECT rswebhook_replay(:three, 'shop');
SELECT * FROM owed;
SELECT count(*) AS same_order FROM rswebhook.queue q JOIN rswebhook.event e ON e.id = q.event_id
    WHERE q.ordering_key IS NOT DISTINCT FROM rswebhook.ordering_hash(e.event, e.ordering_key)
    AND q.event_slot = e.slot;
SELECT rswebhook_replay(-1);
SELECT rswebhook_replay(:one, 'nowhere');
DELETE FROM rswebhook.queue;
TRUNCATE rswebhook.delivery, rswebhook.event;

--
-- Replay what a destination was not given: the last status counts
--
SELECT rswebhook_send('{"n": 1, "userId": "u1"}', 'crm') AS one,
       rswebhook_send('{"n": 2}', 'crm') AS two,
       rswebhook_send('{"n": 3}', 'crm') AS three,
       rswebhook_send('{"n": 4}', 'shop') AS four,
       rswebhook_send('{"n": 5}', 'crm') AS five \gset
SELECT attempted(:one, 'crm', 'aborted', 'HTTP status 404');
SELECT attempted(:two, 'crm', 'aborted', 'HTTP status 410');
SELECT attempted(:three, 'crm', 'aborted', 'HTTP status 404');
SELECT attempted(:four, 'shop', 'aborted', 'HTTP status 404');
SELECT attempted(:five, 'crm', 'delivered');
SELECT rswebhook_replay(:three);
SELECT attempted(:three, 'crm', 'delivered');

BEGIN;
SELECT rswebhook_replay_all('crm', '-infinity');
SELECT * FROM owed;
SELECT rswebhook_replay_all('crm', '-infinity');
ROLLBACK;
BEGIN;
SELECT rswebhook_replay_all('crm', now() - interval '1 h', error_like => '%410');
SELECT * FROM owed;
ROLLBACK;
BEGIN;
SELECT rswebhook_replay_all('crm', NULL, outcome => NULL);
SELECT * FROM owed;
ROLLBACK;
SELECT rswebhook_replay_all('crm', now() - interval '2 h', now() - interval '1 h');
SELECT rswebhook_replay_all('crm', now() + interval '1 h');
SELECT rswebhook_replay_all('nowhere', '-infinity');

--
-- Some of many, by who and what they are; how many would it be?
--
SELECT rswebhook_cancel_all('crm'), rswebhook_cancel_all('shop');
TRUNCATE rswebhook.delivery, rswebhook.event;
SELECT count(rswebhook_send(jsonb_build_object('n', n, 'userId', 'u' || n % 3, 'event', 'e' || n % 2), 'crm')) FROM generate_series(1, 12) n;
SELECT rswebhook_cancel(event_id, dry_run => true) AS one FROM rswebhook.queue ORDER BY event_id LIMIT 1;
SELECT rswebhook_cancel_all('crm', dry_run => true) AS all, rswebhook_cancel_all('crm', user_id => 'u1', dry_run => true) AS u1,
    rswebhook_cancel_all('crm', user_id => 'u1', event_name => 'e0', dry_run => true) AS both,
    rswebhook_cancel_all('crm', error_like => '%', dry_run => true) AS failed,
    rswebhook_cancel_all('crm', since => now() + interval '1 h', dry_run => true) AS since;
SELECT count(*) FROM rswebhook.queue;
SELECT attempted((SELECT max(event_id) FROM rswebhook.queue), 'crm', 'retry', 'HTTP status 503');
INSERT INTO rswebhook.queue (destination_id, event_slot, attempts, event_id, queued_at) SELECT d.id, e.slot, 1, e.id, now() FROM rswebhook.event e, rswebhook.destination d WHERE d.name = 'crm' AND e.event @> '{"n": 12}';
SELECT rswebhook_cancel_all('crm', error_like => '%503'), rswebhook_cancel_all('crm', user_id => 'u1');
SELECT string_agg(n, ' ') AS left FROM owed;
CALL rswebhook_cancel_in_pieces('crm', event_name => 'e0', piece => 2);
SELECT string_agg(n, ' ') AS left FROM owed;
CALL rswebhook_cancel_in_pieces('crm', before => now() - interval '1 h');
CALL rswebhook_cancel_in_pieces('nowhere');
CALL rswebhook_cancel_in_pieces('crm', piece => 0);
SELECT rswebhook_replay_all('crm', dry_run => true) AS aborted, rswebhook_replay_all('crm', outcome => 'cancelled', dry_run => true) AS cancelled,
    rswebhook_replay_all('crm', outcome => 'cancelled', user_id => 'u1', dry_run => true) AS u1,
    rswebhook_replay_all('crm', outcome => NULL, event_name => 'e1', dry_run => true) AS e1;
SELECT rswebhook_replay(event_id, dry_run => true) AS one FROM rswebhook.delivery WHERE outcome = 'cancelled' LIMIT 1;
SELECT rswebhook_replay_all('crm', outcome => 'cancel');
CALL rswebhook_replay_in_pieces('crm', outcome => 'cancelled', user_id => 'u1', piece => 3);
SELECT string_agg(n, ' ') AS left FROM owed;
CALL rswebhook_replay_in_pieces('crm', outcome => 'cancelled', piece => 2, per_second => 1000);
SELECT string_agg(n, ' ') AS left FROM owed;
CALL rswebhook_replay_in_pieces('crm', per_second => 0);
CALL rswebhook_replay_in_pieces('crm', outcome => 'abort');
BEGIN;
CALL rswebhook_replay_in_pieces('crm');
ROLLBACK;
SELECT action, destination_id = rswebhook.destination_id('crm') AS to_crm, done, ended_at IS NOT NULL AS ended FROM rswebhook.progress ORDER BY started_at;
DELETE FROM rswebhook.queue;
TRUNCATE rswebhook.delivery, rswebhook.event, rswebhook.progress;

--
-- Status
--
SELECT count(rswebhook_send('{}', 'crm')), count(rswebhook_send('{}', 'crm', deliver_after => now() + interval '1 year'));
UPDATE rswebhook.queue SET attempts = 2, retry_at = '2100-01-01' WHERE deliver_after IS NULL;
UPDATE rswebhook.destination SET enabled = false WHERE name = 'shop';
SELECT destination, replace(state, 'no worker', 'active') AS state, pending, retrying, scheduled, oldest_pending < interval '1 h' AS recent,
       next_retry_at IS NOT NULL AS retries
    FROM rswebhook.status ORDER BY 1;

DROP VIEW owed, history;
DROP FUNCTION attempted(bigint, text, text, text);
DELETE FROM rswebhook.queue;
TRUNCATE rswebhook.delivery, rswebhook.event;
DELETE FROM rswebhook.destination;

--
-- What is lost with a destination, or with all
--
SET client_min_messages = warning;
INSERT INTO rswebhook.destination (name, url, paused) VALUES
    ('crm', 'https://example.com/crm', true),
    ('shop', 'https://example.com/shop', true),
    ('idle', 'https://example.com/idle', true);
SELECT count(rswebhook_send('{}', 'crm')), count(rswebhook_send('{}', 'shop')), count(rswebhook_send('{}', 'shop')) FROM generate_series(1, 2);
SELECT count(rswebhook_send('{}', 'crm')) FROM generate_series(1, 2);
BEGIN;
DELETE FROM rswebhook.queue WHERE destination_id = rswebhook.destination_id('crm')
    AND event_id > (SELECT min(event_id) FROM rswebhook.queue);
DELETE FROM rswebhook.destination;
ROLLBACK;
BEGIN;
INSERT INTO rswebhook.queue (destination_id, event_slot, event_id, queued_at)
    SELECT rswebhook.destination_id('crm'), 0, -i, now() FROM generate_series(1, 100001) i;
DELETE FROM rswebhook.destination WHERE name = 'crm';
TRUNCATE rswebhook.destination;
ROLLBACK;
INSERT INTO rswebhook.destination (name, url) VALUES ('crm', 'https://example.com/new')
    ON CONFLICT (name) DO UPDATE SET url = EXCLUDED.url;
SELECT d.url, count(*) FROM rswebhook.destination d JOIN rswebhook.queue q ON q.destination_id = d.id
    WHERE d.name = 'crm' GROUP BY 1;
DELETE FROM rswebhook.queue;
--
-- A constraint that somebody has added shows nobody the row
--
ALTER TABLE rswebhook.destination ADD CONSTRAINT added CHECK (name = 'nobody') NOT VALID;
SELECT rswebhook_pause('crm');
SELECT rswebhook_resume('crm');
SELECT rswebhook_retry('crm');
ALTER TABLE rswebhook.destination DROP CONSTRAINT added;

DELETE FROM rswebhook.destination;
TRUNCATE rswebhook.delivery, rswebhook.event;
