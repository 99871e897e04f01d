-- Security: keys, authentication, sources of secrets, what is masked, limits,
-- and who may do what. All destinations are paused, so that a worker leaves
-- them alone; what needs one is in the TAP tests.
SET client_min_messages = warning;

CREATE FUNCTION pg_temp.refused(columns text, value text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    message text;
    detail text;
BEGIN
    EXECUTE format('INSERT INTO rswebhook.destination (name, url, paused, %s)
                    VALUES (''bad'', ''https://example.com/hook'', true, %s)', columns, value);
    RETURN 'accepted';
EXCEPTION WHEN check_violation THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
    RETURN message || ': ' || detail;
END $$;

--
-- Keys to sign with
--
SELECT secret LIKE 'whsec\_%' AS named, length(decode(substr(secret, 7), 'base64')) AS bytes
    FROM rswebhook_generate_secret() secret;
SELECT private_key LIKE 'whsk\_%' AS named, length(decode(substr(private_key, 6), 'base64')) AS bytes,
       public_key LIKE 'whpk\_%' AS named, length(decode(substr(public_key, 6), 'base64')) AS bytes,
       right(encode(decode(substr(private_key, 6), 'base64'), 'hex'), 64) =
           encode(decode(substr(public_key, 6), 'base64'), 'hex') AS fits
    FROM rswebhook_generate_key_pair();
SELECT count(DISTINCT s) FROM (SELECT rswebhook_generate_secret() FROM generate_series(1, 100)) AS x (s);

-- they are stored in one form: no time zone of a session is left in it
SET timezone = 'America/New_York';
INSERT INTO rswebhook.destination (name, url, paused, signing_secrets) VALUES ('signed', 'https://example.com', true,
    '["whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz",
      {"secret": "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz", "expires_at": "2030-01-31 12:00"},
      {"secret": "whsk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}]')
    RETURNING signing_secrets;
RESET timezone;
SELECT v, pg_temp.refused('signing_secrets', quote_literal(v)) FROM unnest(ARRAY[
    '{}', '"whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"', '[5]', '[null]', '[[]]', '[{}]',
    '["secret"]', '["whsec_"]', '["whsec_c2hvcnQ="]', '["whsec_*DEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"]',
    '["whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI"]',
    '["whsk_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"]',
    '["whsk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=="]',
    '["whpk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="]',
    '[{"secret": "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz", "expires_at": "someday"}]',
    '[{"secret": "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz", "expires_at": "infinity"}]',
    '[{"secret": "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz", "expires_at": 5}]',
    '[{"secret": "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz", "until": "2030-01-31"}]'
]) v;
SELECT pg_temp.refused('signing_secrets', quote_literal(jsonb_agg(rswebhook_generate_secret())))
    FROM generate_series(1, 9);

--
-- Authentication
--
SELECT c, v, pg_temp.refused(c, v) FROM (VALUES
    ('auth_type', $$'digest'$$),
    ('auth_type', $$'basic'$$),
    ('auth_type, auth_username', $$'basic', ''$$),
    ('auth_type, auth_username', $$'basic', 'a:b'$$),
    ('auth_type, auth_username', $$'basic', E'a\nb'$$),
    ('auth_type, auth_username, auth_password', $$'basic', 'a', E's3cret\n'$$),
    ('auth_type, auth_username, auth_token', $$'basic', 'a', 's3cret'$$),
    ('auth_token', $$'s3cret'$$),
    ('auth_type', $$'bearer'$$),
    ('auth_type, auth_token', $$'bearer', ''$$),
    ('auth_type, auth_token', $$'bearer', E's3cret\r\nx: 1'$$),
    ('auth_type, auth_token, auth_password', $$'bearer', 'a', 's3cret'$$),
    ('auth_type, auth_token', $$'api_key', 's3cret'$$),
    ('auth_type, auth_header', $$'api_key', 'x-key'$$),
    ('auth_type, auth_token, auth_header', $$'api_key', 's3cret', 'x key'$$),
    ('auth_type, auth_token, auth_header', $$'api_key', 's3cret', 'Host'$$),
    ('auth_type, auth_token, headers', $$'bearer', 's3cret', '{"AUTHORIZATION": "x"}'$$),
    ('auth_type, auth_token, auth_header, headers', $$'api_key', 's3cret', 'X-Key', '{"x-key": "x"}'$$)
) AS x (c, v);
INSERT INTO rswebhook.destination (name, url, paused, auth_type, auth_username, auth_password, auth_token, auth_header)
VALUES ('basic', 'https://example.com', true, 'basic', 'Aladdin', 'open sesame', NULL, NULL),
       ('user_only', 'https://example.com', true, 'basic', 'jürgen', NULL, NULL, NULL),
       ('bearer', 'https://example.com', true, 'bearer', NULL, NULL, 't0ken', NULL),
       ('api_key', 'https://example.com', true, 'api_key', NULL, NULL, 'k3y', 'X-Shop-Key');
SELECT d, rswebhook_transform('{}', d) -> 'headers' AS headers
    FROM unnest(ARRAY['basic', 'user_only', 'bearer', 'api_key']) d;

--
-- Sources of secrets: nothing is permitted, which is said once and is no error
--
SHOW rswebhook.secret_sources;
INSERT INTO rswebhook.destination (name, url, paused, headers, auth_type, auth_token, proxy, signing_secrets)
VALUES ('sources', 'https://example.com', true, '{"x-key": {"env": "WEBHOOK_KEY"}, "x-plain": "p"}', 'bearer',
        ' { "file" : "/run/secrets/token" } ', '{"env": "WEBHOOK_PROXY"}', '[{"env": "WEBHOOK_SECRET"}]')
RETURNING headers, signing_secrets;
UPDATE rswebhook.destination SET timeout = '5 s' WHERE name = 'sources';
UPDATE rswebhook.destination SET proxy = '{"env": "WEBHOOK_PROXY_2"}' WHERE name = 'sources';
-- what is not in the row is not shown, and never looked up here
SELECT rswebhook_transform('{}', 'sources') -> 'headers' AS headers;
SELECT c, v, pg_temp.refused(c, v) FROM (VALUES
    ('headers', $$'{"x-key": {"env": "a b"}}'$$),
    ('headers', $$'{"x-key": {"env": ""}}'$$),
    ('headers', $$'{"x-key": {"env": 5}}'$$),
    ('headers', $$'{"x-key": {"env": "A", "file": "/b"}}'$$),
    ('headers', $$'{"x-key": {"vault": "s3cret"}}'$$),
    ('headers', $$'{"x-key": {"file": "relative"}}'$$),
    ('headers', $$'{"x-key": {"file": "/run/../etc/passwd"}}'$$),
    ('headers', $$'{"x-key": {"file": "/run/.."}}'$$),
    ('headers', $$'{"x-key": {"file": "/a\nb"}}'$$),
    ('proxy', $$'{"env": "a b"}'$$),
    ('proxy', $$'{"env": "A", "file": "/b"}'$$),
    ('proxy', $$'{"envi": "A"}'$$),
    ('auth_type, auth_token', $$'bearer', ' {"Env" : "A"} '$$),
    ('proxy', $$'{"env": "A"} '';--'$$),
    ('auth_type, auth_token', $$'bearer', '{"file": "relative"}'$$),
    ('client_cert, client_key', $$'{"file": "/a.pem"}', '{"file": "a.key"}'$$),
    ('signing_secrets', $$'[{"file": "/run/secrets/../x"}]'$$)
) AS x (c, v);

--
-- Hosts that an event may lead to
--
INSERT INTO rswebhook.destination (name, url, paused, allowed_hosts)
VALUES ('hosts', 'https://example.com', true, '{b.example,c.example:8443,192.0.2.1,[2001:db8::1]:8080}')
RETURNING allowed_hosts;
SELECT v, pg_temp.refused('allowed_hosts', quote_literal(v)) FROM unnest(ARRAY[
    '{""}', '{NULL}', '{https://b.example}', '{b.example/x}', '{b.example:0}', '{b.example:x}', '{*.example}',
    '{user@b.example}', '{"b .example"}', '{b.example\\\\c}'
]) v;

--
-- Headers that nobody may set, and how many
--
SELECT h, pg_temp.refused('headers', quote_literal(jsonb_build_object(h, 's3cret'))) FROM unnest(ARRAY[
    'Webhook-Id', 'webhook-timestamp', 'WEBHOOK-SIGNATURE', 'webhook-x', 'Proxy-Authorization', 'host', 'HTTP2-Settings'
]) h;
SELECT pg_temp.refused('headers', quote_literal((SELECT jsonb_object_agg('x-' || i, i) FROM generate_series(1, 201) i)));
\set VERBOSITY terse
SELECT rswebhook.wire('{"header": {"Webhook-Id": "mine"}}', '{"webhookUrl": "https://a.example"}'::jsonb);
SELECT rswebhook.wire(jsonb_build_object('header', (SELECT jsonb_object_agg('x-' || i, 'v') FROM generate_series(1, 201) i)),
                      '{"webhookUrl": "https://a.example"}'::jsonb);
SELECT rswebhook.wire(jsonb_build_object('header', (SELECT jsonb_object_agg('x-' || i, 'v') FROM generate_series(1, 200) i)),
                      '{"webhookUrl": "https://a.example"}'::jsonb) IS NOT NULL AS accepted;
SELECT rswebhook.wire(jsonb_build_object('header', jsonb_build_object('x', repeat('v', 65536))),
                      '{"webhookUrl": "https://a.example"}'::jsonb);
-- a URL
SELECT rswebhook.wire(jsonb_build_object('properties', (SELECT jsonb_object_agg('k' || i, i) FROM generate_series(1, 10000) i)),
                      '{"webhookUrl": "https://a.example", "webhookMethod": "GET"}'::jsonb);
-- an event
SELECT rswebhook_send(jsonb_build_object('a', repeat('x', 2000000)), 'hosts');
\set VERBOSITY default

--
-- Settings are the server's: nobody changes them in a session, and who is no
-- superuser does not even read them
--
CREATE ROLE regress_sender;
CREATE ROLE regress_operator;
CREATE ROLE regress_reader;
SELECT name, context FROM pg_settings
    WHERE name IN ('rswebhook.blocked_networks', 'rswebhook.allowed_networks', 'rswebhook.secret_sources') ORDER BY name;
SET rswebhook.blocked_networks = '';
SET rswebhook.allowed_networks = '0.0.0.0/0';
SET rswebhook.secret_sources = 'env, file';
SET ROLE regress_sender;
SET rswebhook.blocked_networks = '';
SELECT name, setting FROM pg_settings WHERE name LIKE 'rswebhook.%\_networks' OR name = 'rswebhook.secret_sources';
DO $$
DECLARE
    setting text;
BEGIN
    FOREACH setting IN ARRAY '{blocked_networks,allowed_networks,secret_sources}'::text[] LOOP
        BEGIN
            PERFORM current_setting('rswebhook.' || setting);
            RAISE WARNING '% can be read', setting;
        EXCEPTION WHEN insufficient_privilege THEN
            NULL;
        END;
    END LOOP;
END $$;
RESET ROLE;

--
-- What is secret is shown to those who may read all of it
--
INSERT INTO rswebhook.destination (name, url, paused, headers, auth_type, auth_token)
VALUES ('masked', 'https://example.com/hook?token=s3cret&flag#f', true, '{"X-Key": "s3cret"}', 'bearer', 's3cret');
GRANT EXECUTE ON FUNCTION rswebhook_transform(jsonb, text) TO regress_reader;
SET ROLE regress_reader;
SELECT r -> 'headers' AS headers, r -> 'endpoint' AS endpoint
    FROM rswebhook_transform('{"header": {"x-own": "1"}, "appendPath": "/more"}', 'masked') r;
RESET ROLE;
GRANT SELECT (url, headers, auth_username, auth_token, auth_password, header_mapping, query_mapping, body_mapping) ON rswebhook.destination TO regress_reader;
SET ROLE regress_reader;
SELECT rswebhook_transform('{}', 'masked')::text LIKE '%s3cret%' AS shown;
RESET ROLE;
REVOKE SELECT (auth_password) ON rswebhook.destination FROM regress_reader;
GRANT USAGE ON SCHEMA rswebhook TO regress_reader;
SET ROLE regress_reader;
SELECT rswebhook_transform('{}', 'masked')::text LIKE '%s3cret%' AS shown;
RESET ROLE;
GRANT SELECT (auth_password) ON rswebhook.destination TO regress_reader;
SET ROLE regress_reader;
SELECT r -> 'headers' AS headers, r -> 'endpoint' AS endpoint FROM rswebhook_transform('{}', 'masked') r;
RESET ROLE;

-- row-level security holds, with policies that read what the reader may not, too
ALTER TABLE rswebhook.destination ENABLE ROW LEVEL SECURITY;
SET ROLE regress_reader;
SELECT rswebhook_transform('{}', 'masked')::text LIKE '%s3cret%' AS shown;
RESET ROLE;
GRANT SELECT ON rswebhook.destination TO regress_reader;
CREATE POLICY own ON rswebhook.destination TO regress_reader USING (name <> 'masked');
SET ROLE regress_reader;
SELECT rswebhook_transform('{}', 'masked')::text LIKE '%s3cret%' AS shown;
SET row_security = off;
SELECT rswebhook_transform('{}', 'masked')::text LIKE '%s3cret%' AS shown;
RESET row_security;
RESET ROLE;
ALTER POLICY own ON rswebhook.destination USING (name = 'masked');
SET ROLE regress_reader;
SELECT rswebhook_transform('{}', 'masked')::text LIKE '%s3cret%' AS shown;
RESET ROLE;
DROP POLICY own ON rswebhook.destination;
ALTER TABLE rswebhook.destination DISABLE ROW LEVEL SECURITY;
REVOKE SELECT ON rswebhook.destination FROM regress_reader;
GRANT SELECT (url, headers, auth_username, auth_token, auth_password, header_mapping, query_mapping, body_mapping) ON rswebhook.destination TO regress_reader;
REVOKE USAGE ON SCHEMA rswebhook FROM regress_reader;

--
-- The matrix of roles and objects, with the grants that the documentation
-- names: whatever is not listed here nobody has
--
GRANT EXECUTE ON FUNCTION rswebhook_send(jsonb, text, timestamptz, text, interval, interval, boolean) TO regress_sender;
DO $$
DECLARE
    function regprocedure;
BEGIN
    FOR function IN
        SELECT p.oid FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
            JOIN pg_extension x ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = x.oid
        WHERE x.extname = 'rswebhook' AND p.proname IN
            ('rswebhook_pause', 'rswebhook_resume', 'rswebhook_cancel', 'rswebhook_cancel_all', 'rswebhook_replay', 'rswebhook_replay_all',
             'worker_stats', 'count_owed', 'tallies', 'tally_show', 'worker_pid', 'workers', 'is_home', 'time_since', 'unusable', 'oldest_event')
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO regress_operator', function);
    END LOOP;
END $$;
GRANT USAGE ON SCHEMA rswebhook TO regress_operator;
GRANT SELECT ON rswebhook.status TO regress_operator;

CREATE TEMP VIEW matrix AS
WITH objects AS (
    SELECT d.classid, d.objid FROM pg_depend d
        JOIN pg_extension x ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = x.oid
    WHERE x.extname = 'rswebhook' AND d.deptype = 'e'),
roles (role) AS (VALUES ('public'), ('regress_sender'), ('regress_operator')),
granted AS (
    SELECT role, 'function' AS kind, objid::regprocedure::text AS object, 'EXECUTE' AS privilege
        FROM objects, roles WHERE classid = 'pg_proc'::regclass AND has_function_privilege(role, objid, 'EXECUTE')
    UNION ALL
    SELECT role, 'relation', objid::regclass::text, p
        FROM objects JOIN pg_class c ON c.oid = objid, roles,
             unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[]) p
        WHERE classid = 'pg_class'::regclass AND c.relkind IN ('r', 'p', 'v') AND has_table_privilege(role, objid, p)
    UNION ALL
    SELECT role, 'column', objid::regclass || '.' || a.attname, p
        FROM objects JOIN pg_class c ON c.oid = objid JOIN pg_attribute a ON a.attrelid = c.oid, roles,
             unnest('{SELECT,INSERT,UPDATE,REFERENCES}'::text[]) p
        WHERE classid = 'pg_class'::regclass AND c.relkind IN ('r', 'p', 'v') AND NOT a.attisdropped
        AND has_column_privilege(role, objid, a.attnum, p) AND NOT has_table_privilege(role, objid, p)
    UNION ALL
    SELECT role, 'sequence', objid::regclass::text, p
        FROM objects JOIN pg_class c ON c.oid = objid, roles, unnest('{USAGE,SELECT,UPDATE}'::text[]) p
        WHERE classid = 'pg_class'::regclass AND CASE WHEN c.relkind = 'S' THEN has_sequence_privilege(role, objid, p) END
    UNION ALL
    SELECT role, 'schema', objid::regnamespace::text, p
        FROM objects, roles, unnest('{USAGE,CREATE}'::text[]) p
        WHERE classid = 'pg_namespace'::regclass AND has_schema_privilege(role, objid, p))
SELECT * FROM granted;
SELECT count(*) > 40 AS there_are_objects FROM pg_depend d JOIN pg_extension x
    ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = x.oid WHERE x.extname = 'rswebhook' AND d.deptype = 'e';
SELECT * FROM matrix ORDER BY role, kind, object COLLATE "C", privilege;

DROP OWNED BY regress_sender, regress_operator, regress_reader;
DROP ROLE regress_sender, regress_operator, regress_reader;
DELETE FROM rswebhook.destination;
