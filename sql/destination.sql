-- Destinations: what the table accepts, what it refuses and how it says so,
-- and that every change is seen at once by the process that makes it.
-- All destinations are paused, so that a worker leaves them alone.
SET client_min_messages = error;

-- one that has what there must be
INSERT INTO rswebhook.destination (name, url) VALUES ('plain', 'https://example.com/hook')
    RETURNING name, url, method, headers, enabled, paused, ordered, max_in_flight,
              timeout, status_outcomes, min_backoff, max_backoff, retry_window;
UPDATE rswebhook.destination SET paused = true;

--
-- Names
--
INSERT INTO rswebhook.destination (name, url) VALUES ('', 'https://example.com');
INSERT INTO rswebhook.destination (name, url) VALUES (' crm', 'https://example.com');
INSERT INTO rswebhook.destination (name, url) VALUES (E'c\trm', 'https://example.com');
INSERT INTO rswebhook.destination (name, url) VALUES (repeat('x', 64), 'https://example.com');
INSERT INTO rswebhook.destination (name, url) VALUES ('Post', 'https://example.com');
INSERT INTO rswebhook.destination (name, url) VALUES (NULL, 'https://example.com');
INSERT INTO rswebhook.destination (name, url) VALUES ('plain', 'https://example.com');

--
-- URLs; one that could hold a secret is not repeated
--
INSERT INTO rswebhook.destination (name, url) VALUES ('bad', 'ftp://example.com');
INSERT INTO rswebhook.destination (name, url) VALUES ('bad', 'example.com/hook');
INSERT INTO rswebhook.destination (name, url) VALUES ('bad', 'https://example.com:99999/');
INSERT INTO rswebhook.destination (name, url) VALUES ('bad', 'https://example.com/a b');
INSERT INTO rswebhook.destination (name, url) VALUES ('bad', 'ftp://example.com/?token=s3cret');

--
-- Methods
--
INSERT INTO rswebhook.destination (name, url, method) VALUES ('bad', 'https://example.com', 'post');
INSERT INTO rswebhook.destination (name, url, method) VALUES ('bad', 'https://example.com', 'HEAD');

--
-- Headers: an object, or RudderStack's own array, which becomes one
--
INSERT INTO rswebhook.destination (name, url, paused, headers)
    VALUES ('object', 'https://example.com', true, '{"Authorization": "Bearer abc", "X-N": 5, "x-b": true}')
    RETURNING headers;
INSERT INTO rswebhook.destination (name, url, paused, headers)
    VALUES ('array', 'https://example.com', true,
            '[{"from": "X-Key", "to": "abc"}, {"from": "", "to": ""}, {"from": "x-n", "to": 1.50}]')
    RETURNING headers;
UPDATE rswebhook.destination SET headers = '[]' WHERE name = 'array' RETURNING headers;
INSERT INTO rswebhook.destination (name, url, headers) VALUES ('bad', 'https://example.com', '"x"');
INSERT INTO rswebhook.destination (name, url, headers) VALUES ('bad', 'https://example.com', '{"x-a": null}');
INSERT INTO rswebhook.destination (name, url, headers) VALUES ('bad', 'https://example.com', '{"x-a": {"s3cret": 1}}');
INSERT INTO rswebhook.destination (name, url, headers) VALUES ('bad', 'https://example.com', '{"x a": "s3cret"}');
INSERT INTO rswebhook.destination (name, url, headers) VALUES ('bad', 'https://example.com', '{"": "s3cret"}');
INSERT INTO rswebhook.destination (name, url, headers) VALUES ('bad', 'https://example.com', '{"Content-Length": "5"}');
INSERT INTO rswebhook.destination (name, url, headers) VALUES ('bad', 'https://example.com', '{"x-a": "s3cret\r\nx-b: 1"}');
INSERT INTO rswebhook.destination (name, url, headers) VALUES ('bad', 'https://example.com', '{"X-A": "s3cret", "x-a": "2"}');
INSERT INTO rswebhook.destination (name, url, headers) VALUES ('bad', 'https://example.com', '[5]');
INSERT INTO rswebhook.destination (name, url, headers) VALUES ('bad', 'https://example.com', '[{"from": "x-a", "to": "1"}, {"to": "s3cret"}]');
INSERT INTO rswebhook.destination (name, url, headers) VALUES ('bad', 'https://example.com', '[{"from": "x-a"}]');
INSERT INTO rswebhook.destination (name, url, headers) VALUES ('bad', 'https://example.com', '[{"from": "x-a", "to": "1"}, {"from": "X-A", "to": "2"}]');

--
-- Filters
--
INSERT INTO rswebhook.destination (name, url, types) VALUES ('bad', 'https://example.com', '{track,NULL}');
INSERT INTO rswebhook.destination (name, url, events) VALUES ('bad', 'https://example.com', '{{a},{b}}');

--
-- Outcomes by status
--
UPDATE rswebhook.destination SET status_outcomes = '{"409": "delivered", "410": "pause", "4xx": "retry", "404": "aborted"}'
    WHERE name = 'plain';
UPDATE rswebhook.destination SET status_outcomes = '[]' WHERE name = 'plain';
UPDATE rswebhook.destination SET status_outcomes = '{"99": "retry"}' WHERE name = 'plain';
UPDATE rswebhook.destination SET status_outcomes = '{"4x4": "retry"}' WHERE name = 'plain';
UPDATE rswebhook.destination SET status_outcomes = '{"409": "ok"}' WHERE name = 'plain';
UPDATE rswebhook.destination SET status_outcomes = '{"409": true}' WHERE name = 'plain';

--
-- Proxies, certificates and keys are never repeated
--
UPDATE rswebhook.destination SET proxy = 'socks5h://user:s3cret@127.0.0.1:1080' WHERE name = 'plain';
UPDATE rswebhook.destination SET proxy = 'user:s3cret@127.0.0.1' WHERE name = 'plain';
UPDATE rswebhook.destination SET proxy = 'http://' WHERE name = 'plain';
UPDATE rswebhook.destination SET ca_cert = '/etc/ssl/ca.pem' WHERE name = 'plain';
UPDATE rswebhook.destination SET client_cert = E'-----BEGIN CERTIFICATE-----\nMII=\n-----END CERTIFICATE-----'
    WHERE name = 'plain';
UPDATE rswebhook.destination SET client_key = E'-----BEGIN PRIVATE KEY-----\nMII=\n-----END PRIVATE KEY-----'
    WHERE name = 'plain';
UPDATE rswebhook.destination SET
    client_cert = E'-----BEGIN CERTIFICATE-----\nMII=\n-----END CERTIFICATE-----',
    client_key = E'-----BEGIN ENCRYPTED PRIVATE KEY-----\nMII=\n-----END ENCRYPTED PRIVATE KEY-----'
    WHERE name = 'plain';

--
-- Ids are what queue and history refer to
--
UPDATE rswebhook.destination SET id = id + 100 WHERE name = 'plain';
INSERT INTO rswebhook.destination (id, name, url) VALUES (0, 'zero', 'https://example.com');

--
-- Ranges and nulls; a constraint's own error would quote the whole row
--
UPDATE rswebhook.destination SET max_in_flight = 0 WHERE name = 'plain';
UPDATE rswebhook.destination SET max_backoff = '1 s' WHERE name = 'plain';
UPDATE rswebhook.destination SET rate_limit = 'NaN' WHERE name = 'plain';
UPDATE rswebhook.destination SET timeout = '2 h' WHERE name = 'plain';
UPDATE rswebhook.destination SET expires_after = '0' WHERE name = 'plain';
UPDATE rswebhook.destination SET headers = NULL WHERE name = 'plain';

--
-- Every change is seen by the next command
--
CREATE FUNCTION endpoint(destination text) RETURNS text LANGUAGE sql
    AS $$ SELECT rswebhook_transform('{"type": "track"}', $1) ->> 'endpoint' $$;

SELECT endpoint('plain');
UPDATE rswebhook.destination SET url = 'https://example.com/new' WHERE name = 'plain';
SELECT endpoint('plain');

BEGIN;
INSERT INTO rswebhook.destination (name, url, paused) VALUES ('fresh', 'https://example.com/fresh', true);
SELECT endpoint('fresh');
SAVEPOINT s;
UPDATE rswebhook.destination SET url = 'https://example.com/fresher' WHERE name = 'fresh';
SELECT endpoint('fresh');
ROLLBACK TO s;
SELECT endpoint('fresh');
DELETE FROM rswebhook.destination WHERE name = 'fresh';
SAVEPOINT s;
SELECT endpoint('fresh');
ROLLBACK TO s;
ROLLBACK;
SELECT endpoint('fresh');

BEGIN;
TRUNCATE rswebhook.destination;
SAVEPOINT s;
SELECT endpoint('plain');
ROLLBACK;
SELECT endpoint('plain');

-- also one that was read in the middle of a statement that then failed
CREATE FUNCTION look_and_fail() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'seen: %', endpoint(NEW.name);
END $$;
CREATE TRIGGER look_and_fail AFTER INSERT OR UPDATE ON rswebhook.destination
    FOR EACH ROW EXECUTE FUNCTION look_and_fail();
INSERT INTO rswebhook.destination (name, url) VALUES ('never', 'https://example.com/never');
SELECT endpoint('never');
BEGIN;
SAVEPOINT s;
UPDATE rswebhook.destination SET url = 'https://example.com/newest' WHERE name = 'plain';
ROLLBACK TO s;
SELECT endpoint('plain');
COMMIT;
DROP TRIGGER look_and_fail ON rswebhook.destination;

-- in parallel mode no new snapshot can be taken
CREATE TABLE many AS SELECT i, jsonb_build_object('type', 'track', 'i', i) AS event
    FROM generate_series(1, 1000) i;
BEGIN;
SET LOCAL parallel_setup_cost = 0;
SET LOCAL parallel_tuple_cost = 0;
SET LOCAL min_parallel_table_scan_size = 0;
UPDATE rswebhook.destination SET url = 'https://example.com/parallel' WHERE name = 'plain';
SELECT DISTINCT rswebhook_transform(event, 'plain') ->> 'endpoint' AS endpoint FROM many WHERE i > 10;
UPDATE rswebhook.destination SET url = 'https://example.com/other' WHERE name = 'plain';
SELECT DISTINCT rswebhook_transform(event, 'plain') ->> 'endpoint' AS endpoint FROM many WHERE i > 10;
ROLLBACK;
SELECT endpoint('plain');
DROP TABLE many;

--
-- The request of a destination, and the bare one of a method
--
SELECT rswebhook_transform('{"type": "track", "event": "x", "properties": {"a": 1}}', 'GET')
    - 'body' - 'files' - 'type' - 'version' AS request;
SELECT rswebhook_transform('{"type": "track"}', 'object') -> 'headers' AS headers;
SELECT rswebhook_transform('{"type": "track"}', 'nowhere');
SELECT rswebhook_transform('{"type": "track"}', 'get');
SELECT rswebhook_transform('{"type": "track"}', '{"webhookUrl": "https://example.com"}');
SELECT rswebhook_transform(NULL, 'nowhere') IS NULL AS strict;

--
-- A row that comes past the checks, by a restore say, harms nobody else
--
ALTER TABLE rswebhook.destination DISABLE TRIGGER destination_check;
INSERT INTO rswebhook.destination (name, url, paused, headers)
    VALUES ('broken', 'https://example.com', true, '{"x a": "s3cret"}');
ALTER TABLE rswebhook.destination ENABLE TRIGGER destination_check;
SELECT endpoint('plain');
SELECT endpoint('broken');
SELECT rswebhook_send('{"type": "track"}', 'broken');
-- it can be paused without being corrected, but not get another problem
UPDATE rswebhook.destination SET enabled = false WHERE name = 'broken';
UPDATE rswebhook.destination SET url = 'nowhere' WHERE name = 'broken';
UPDATE rswebhook.destination SET headers = '{"x-a": "1"}' WHERE name = 'broken';
SELECT endpoint('broken');

-- the trigger functions are for their triggers only
CREATE TABLE other (headers jsonb);
CREATE TRIGGER t AFTER INSERT ON other FOR EACH ROW EXECUTE FUNCTION rswebhook.destination_check();
INSERT INTO other VALUES (NULL);
DROP TABLE other;

DROP FUNCTION look_and_fail(), endpoint(text);
DELETE FROM rswebhook.destination;
