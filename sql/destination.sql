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
-- what libcurl would read in another way than it was meant, or quote
CREATE FUNCTION pg_temp.try_proxy(given text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
BEGIN
    UPDATE rswebhook.destination SET proxy = given WHERE name = 'plain';
    RETURN 'taken';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN SQLERRM || ' ' || detail;
END
$$;
SELECT given, pg_temp.try_proxy(given) FROM unnest(ARRAY[
    'http://user:s3cret/x@127.0.0.1:3128', 'http://user:123/s3cret@127.0.0.1:3128',
    'http://user:s3cret#x@127.0.0.1:3128', 'http://user:s3cret?x@127.0.0.1',
    'http://user:s3cret@127.0.0.1:65536', 'http://user:s3cret@127.0.0.1:0',
    'http://user:s3cret@127.0.0.1:port', 'http://user:s3cret@127.0.0.1:3128/path',
    'socks5h://user:s3cret@127.0.0.1:3128?q', 'https://user:s3cret@127.0.0.1#f',
    'http://user:s3cret@[::1', 'http://user:s3cret@', 'http://user:s3cret@:3128',
    'http://user:s3c%2Fret%40x@127.0.0.1:3128/', 'http://user:s3c%00ret@127.0.0.1:3128',
    'socks5h://us%0Aer:s3cret@127.0.0.1:3128']) AS given;
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
UPDATE rswebhook.destination SET rate_limit = 1e-13 WHERE name = 'plain';

-- the least and the most of each column, and what is beyond
CREATE FUNCTION try_value(what text, value text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    found text;
BEGIN
    UPDATE rswebhook.destination
        SET max_backoff = CASE WHEN what = 'min_backoff' THEN interval '7 days' ELSE '5 min' END
        WHERE name = 'plain';
    EXECUTE format('UPDATE rswebhook.destination SET %I = %L WHERE name = %L', what, value, 'plain');
    EXECUTE format('UPDATE rswebhook.destination SET %I = DEFAULT WHERE name = %L', what, 'plain');
    RETURN 'taken';
EXCEPTION WHEN check_violation THEN
    GET STACKED DIAGNOSTICS found = PG_EXCEPTION_DETAIL;
    RETURN found;
END
$$;
SELECT what, value, try_value(what, value) FROM (VALUES
    ('max_in_flight', '{-2147483648,0,1,10000,10001,2147483647}'::text[]),
    ('workers', '{-2147483648,0,1,32,33,2147483647}'),
    ('rate_limit', '{-Infinity,-1,0,-0,1e-300,1e-13,9.99e-7,1e-6,1e6,1000000.001,1e300,Infinity,NaN}'),
    ('connect_timeout', '{-1 ms,0,999 us,1 ms,1 h,1 h 1 us,1 mon,-178000000 years,178000000 years,1 mon -30 days}'),
    ('timeout', '{-1 ms,0,999 us,1 ms,1 h,1 h 1 us,1 mon,-178000000 years,178000000 years,-1 mon 30 days 1 h}'),
    ('low_speed_limit', '{-2147483648,-1,0,2147483647}'),
    ('low_speed_time', '{-1 s,0,999 ms,1 s,1 h,1 h 1 us,178000000 years}'),
    ('max_redirects', '{-1,0,5,6,2147483647}'),
    ('min_backoff', '{-1 ms,0,999 us,1 ms,1 day,1 day 1 us,1 mon,178000000 years}'),
    ('max_backoff', '{-1 ms,0,9 s,10 s,7 days,7 days 1 us,1 mon,178000000 years}'),
    ('retry_after_factor', '{-Infinity,-1e-30,0,1e-37,1000,1000.1,3e38,Infinity,NaN}'),
    ('retry_window', '{-178000000 years,-1 us,0,365 days,365 days 1 us,13 mons,178000000 years}'),
    ('min_attempts', '{-2147483648,0,1,10000,10001,2147483647}'),
    ('breaker_failures', '{-2147483648,-1,0,2147483647}'),
    ('expires_after', '{-178000000 years,-1 us,0,1 us,36500 days,36500 days 1 us,178000000 years}')
    ) AS columns (what, list), unnest(list) AS value;
DROP FUNCTION try_value(text, text);

-- Each worker has a request
UPDATE rswebhook.destination SET workers = 3, max_in_flight = 2 WHERE name = 'plain';
UPDATE rswebhook.destination SET workers = 3, max_in_flight = 3 WHERE name = 'plain';
UPDATE rswebhook.destination SET max_in_flight = 2 WHERE name = 'plain';
UPDATE rswebhook.destination SET workers = NULL WHERE name = 'plain';
UPDATE rswebhook.destination SET workers = DEFAULT, max_in_flight = DEFAULT WHERE name = 'plain';

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

-- sizes, by the trigger, and by the constraints where it is not asked
CREATE FUNCTION try_column("column" text, value text, checked boolean) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
BEGIN
    IF NOT checked THEN
        SET LOCAL session_replication_role = replica;
    END IF;
    EXECUTE format('INSERT INTO rswebhook.destination (name, url, paused, %1$I) SELECT name, url, paused, value
                    FROM (VALUES (''sized'', ''https://example.com'', true)) AS v (name, url, paused), (SELECT %2$s AS value) AS w',
                   "column", value);
    RAISE EXCEPTION USING ERRCODE = 'PT001';
EXCEPTION
    WHEN SQLSTATE 'PT001' THEN RETURN 'good';
    WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
        RETURN SQLERRM || CASE WHEN checked THEN ' / ' || detail ELSE '' END;
END
$$;
CREATE TABLE sizes ("column" text, value text, most int);
INSERT INTO sizes VALUES
    ('headers', $$jsonb_build_object('x-a', repeat('a', %s - 3))$$, 63488),
    ('allowed_hosts', $$(SELECT array_agg('example.com'::text) FROM generate_series(1, %s))$$, 1000),
    ('allowed_hosts', $$(SELECT array_agg(repeat('a', 60) || '.example.com') FROM generate_series(1, %s))$$, 862),
    ('types', $$(SELECT array_agg('t' || g) FROM generate_series(1, %s) AS g)$$, 1000),
    ('types', $$ARRAY[repeat('t', %s)]$$, 65512),
    ('events', $$(SELECT array_agg('t' || g) FROM generate_series(1, %s) AS g)$$, 1000),
    ('events', $$ARRAY[repeat('t', %s)]$$, 65512),
    ('proxy', $$'http://' || repeat('a', %s)$$, 8185),
    ('no_proxy', $$repeat('a', %s)$$, 65536),
    ('ca_cert', $$'-----BEGIN CERTIFICATE-----' || repeat('a', %s) || '-----END '$$, 524288 - 36);
SELECT "column", most, try_column("column", replace(value, '%s', most::text), true) AS at_most,
       try_column("column", replace(value, '%s', (most + 1)::text), true) AS more
    FROM sizes;
-- far beyond, with a value that compresses well
INSERT INTO sizes (value, "column")
    SELECT CASE WHEN atttypid = 'text'::regtype THEN $$repeat('a', 1000000)$$
                WHEN atttypid = 'jsonb'::regtype THEN $$jsonb_build_object('x', repeat('a', 1000000))$$
                ELSE $$ARRAY[repeat('a', 1000000)]$$ END, attname
    FROM pg_attribute WHERE attrelid = 'rswebhook.destination'::regclass
        AND atttypid IN ('text'::regtype, 'jsonb'::regtype, 'text[]'::regtype) AND attname NOT IN ('name', 'url');
SELECT "column", try_column("column", value, true) AS by_trigger, try_column("column", value, false) AS by_constraint
    FROM sizes WHERE most IS NULL;
INSERT INTO rswebhook.destination (name, url) VALUES ('bad', 'nowhere' || repeat('a', 8000));
INSERT INTO rswebhook.destination (name, url, headers)
    VALUES ('bad', 'https://example.com', jsonb_build_object(repeat('x ', 60000), 1));
INSERT INTO rswebhook.destination (name, url, allowed_hosts)
    VALUES ('bad', 'https://example.com', ARRAY[repeat('x ', 30000)]);
INSERT INTO rswebhook.destination (name, url, status_outcomes)
    VALUES ('bad', 'https://example.com', jsonb_build_object(repeat('4', 30000), 'retry'));
INSERT INTO rswebhook.destination (name, url, auth_type, auth_token, auth_header)
    VALUES ('bad', 'https://example.com', 'api_key', 'x', repeat('x ', 500));
INSERT INTO rswebhook.destination (name, url) VALUES ('far', 'https://example.com/' || repeat('a', 8192));
INSERT INTO rswebhook.destination (name, url, auth_type, auth_token, headers)
    VALUES ('both', 'https://example.com/', 'bearer', repeat('a', 40000), jsonb_build_object('x-a', repeat('a', 40000)));
DROP TABLE sizes;
DROP FUNCTION try_column;

-- the name of a host is ASCII, whatever somebody wrote
INSERT INTO rswebhook.destination (name, url, allowed_hosts, proxy, no_proxy, paused)
    VALUES ('names', 'https://ForÊt.Example:8443/é?ê=1', '{Bücher.example,A.example:1,[::1]}',
            'http://user:p%40s@bücher.example:3128/', E'10.0.0.0/8, .例え。example\t*', true)
    RETURNING url, allowed_hosts, proxy, no_proxy;
SELECT endpoint('names');
SELECT rswebhook_transform('{"type": "track", "userId": "u", "fullPath": "https://BÜCHER.example/x"}', 'names') ->> 'endpoint' AS endpoint;
SELECT rswebhook_transform('{"type": "track", "userId": "u", "fullPath": "https://-ü.example/x"}', 'names') ->> 'endpoint' AS "what is none stays";
UPDATE rswebhook.destination SET paused = true WHERE name = 'names' RETURNING url, allowed_hosts, proxy, no_proxy;
-- RudderStack's own request is as RudderStack makes it, what is sent of it is not
SELECT rswebhook_transform('{"type": "track", "userId": "u"}', '{"webhookUrl": "https://bücher.example/"}'::jsonb) ->> 'endpoint' AS endpoint;
SELECT rswebhook.wire('{"type": "track", "userId": "u"}', '{"webhookUrl": "https://bücher.example/"}'::jsonb) ->> 'url' AS url;
SELECT rswebhook.wire('{"type": "track", "userId": "u"}', '{"webhookUrl": "https://-ü.example/"}'::jsonb);
-- what is none
CREATE FUNCTION refusal(column_name text, value text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
BEGIN
    EXECUTE format('UPDATE rswebhook.destination SET %I = %L WHERE name = %L RETURNING %1$I', column_name, value, 'names') INTO detail;
    RETURN detail;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN sqlstate || ' ' || detail;
END
$$;
SELECT what, refusal(column_name, value)
FROM (VALUES
    ('two directions', 'url', 'https://אa.example'),
    ('a joiner', 'url', 'https://a' || chr(8205) || 'b.example'),
    ('a hyphen', 'url', 'https://-ü.example'),
    ('no A-label', 'url', 'https://xn--ü.example'),
    ('one that is none, in ASCII', 'url', 'https://XN--A.example'),
    ('a slash', 'url', 'https://℀.example'),
    ('an emoji', 'url', 'https://💩.example'),
    ('one with a sharp s', 'url', 'https://ß💩.example'),
    ('nothing', 'url', 'https://' || chr(173)),
    ('empty', 'url', 'https://a..ü'),
    ('empty in ASCII', 'url', 'https://a..b'),
    ('dots', 'url', 'https://ü。example．com｡'),
    ('a user', 'url', 'https://u@ü.example'),
    ('codes', 'url', 'https://%C3%BC.example'),
    ('a long label', 'url', 'https://' || repeat('ü', 64)),
    ('one in ASCII', 'url', 'https://' || repeat('a', 64)),
    ('a long name', 'url', 'https://' || repeat('ü.', 60)),
    ('a URL that grows', 'url', 'https://ü/' || repeat('a', 8180)),
    ('a host', 'allowed_hosts', '{a.example,-ü.example}'),
    ('hosts that grow', 'allowed_hosts', array_fill(repeat('ü.', 15) || 'example', ARRAY[600])::text),
    ('a host to reach directly', 'no_proxy', 'a.example -ü.example'),
    ('many that grow', 'no_proxy', repeat('ü,', 20000)),
    ('a proxy', 'proxy', 'http://u:s3cret@-ü.example:1'),
    ('codes in it', 'proxy', 'http://u:s3cret@%C3%BC.example:1'),
    ('an address with a zone', 'proxy', 'http://u:s3cret@[fe80::1%25lo]:1'),
    ('its port', 'proxy', 'http://u:s3cret@ü.example:65536'),
    ('its password', 'proxy', 'http://u:ü@a.example:1')
  ) AS v (what, column_name, value);
DROP FUNCTION refusal;
DELETE FROM rswebhook.destination WHERE name = 'names';

-- the trigger functions are for their triggers only
CREATE TABLE other (headers jsonb);
CREATE TRIGGER t AFTER INSERT ON other FOR EACH ROW EXECUTE FUNCTION rswebhook.destination_check();
INSERT INTO other VALUES (NULL);
DROP TABLE other;

-- so does one with numbers that came past the constraints
BEGIN;
ALTER TABLE rswebhook.destination DISABLE TRIGGER destination_check;
ALTER TABLE rswebhook.destination DROP CONSTRAINT destination_rate_limit_check,
    DROP CONSTRAINT destination_retry_window_check;
UPDATE rswebhook.destination SET rate_limit = 1e-300 WHERE name = 'plain';
SAVEPOINT s;
SELECT endpoint('plain');
ROLLBACK TO s;
UPDATE rswebhook.destination SET rate_limit = NULL, retry_window = '178000000 years' WHERE name = 'plain';
SELECT endpoint('plain');
ROLLBACK TO s;
UPDATE rswebhook.destination SET rate_limit = 1e-300, paused = false WHERE name = 'plain';
SELECT state, last_error, last_error_at FROM rswebhook.status WHERE destination = 'plain';
ROLLBACK;

DROP FUNCTION look_and_fail(), endpoint(text);
DELETE FROM rswebhook.destination;

--
-- What is hardly meant: a hint, or a warning when it gets into a row
--
SET client_min_messages = warning;
\set SHOW_CONTEXT never
INSERT INTO rswebhook.destination (name, url) VALUES ('shop', 'https://example.com/shop'), ('warehouse', 'https://example.com/w');
SELECT rswebhook_send('{}', 'Shop');
SELECT rswebhook_send('{}', 'SHOP ');
SELECT rswebhook_send('{}', 'ship');
SELECT rswebhook_send('{}', 'stop it');
SELECT rswebhook_send('{}', 'warehose');
SELECT rswebhook_send('{}', '');
SELECT rswebhook_send('{}', repeat('shop', 1000));
SELECT rswebhook_transform('{}', 'Shop');
SELECT rswebhook_transform('{}', 'nowhere');
SELECT rswebhook_pause('shpo');
DELETE FROM rswebhook.destination;
INSERT INTO rswebhook.destination (name, url, types) VALUES ('a', 'https://example.com/', '{trak, track, " Pages", UPDATE, checkout}');
UPDATE rswebhook.destination SET max_in_flight = 8;
UPDATE rswebhook.destination SET types = types || '{identity}'::text[];
UPDATE rswebhook.destination SET types = NULL;
UPDATE rswebhook.destination SET url = 'http://169.254.169.254/latest';
UPDATE rswebhook.destination SET url = 'http://169.254.169.254/other';
UPDATE rswebhook.destination SET url = 'http://[fe80::1]:8080/';
UPDATE rswebhook.destination SET url = 'http://2852039166/';
UPDATE rswebhook.destination SET url = 'http://127.0.0.1/';
UPDATE rswebhook.destination SET url = 'http://169.254.169.254/', proxy = 'http://proxy.example.com:3128';
UPDATE rswebhook.destination SET no_proxy = '169.254.0.0/16';
UPDATE rswebhook.destination SET url = '{{ event.url || http://169.254.169.254 }}', allowed_hosts = '{example.com}', proxy = NULL, no_proxy = NULL;
DELETE FROM rswebhook.destination;
