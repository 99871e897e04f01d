--
-- The wire form of a request: URL with its query, headers, body
--
\pset format unaligned
\pset tuples_only on

CREATE FUNCTION pg_temp.url(event jsonb, url text DEFAULT 'https://a.example/hook')
RETURNS text LANGUAGE sql AS $$
    SELECT rswebhook.wire(event, jsonb_build_object('webhookUrl', url, 'webhookMethod', 'GET')) ->> 'url'
$$;

SELECT rswebhook.wire(
    '{"type": "track", "userId": "u1", "properties": {"total": 60.50, "tags": ["a b", "ü"]}, "gone": null}',
    '{"webhookUrl": "https://a.example/hook?k=v", "webhookMethod": "PATCH"}'::jsonb);
SELECT rswebhook.wire(
    '{"type": "track", "userId": "u1", "properties": {"total": 60.50, "tags": ["a b", "ü"]}}',
    '{"webhookUrl": "https://a.example/hook?k=v", "webhookMethod": "DELETE"}'::jsonb);

--
-- Query
--

-- every kind of value
SELECT pg_temp.url('{"properties": {"s": "a b+c&d=e/é~._-*", "i": 1000000, "n": 1.50, "big": 12345678901234567890123,
    "small": 1e-7, "t": true, "f": false, "z": null, "a": [], "o": {}, "e": ""}}');
-- keys are sorted by their bytes, not by length or language
SELECT pg_temp.url('{"properties": {"b": 1, "aa": 2, "Z": 3, "é": 4, "a": {"b": 5}, "a b": 6, "~": 7, "": 8}}');
-- the endpoint's own pairs stay, before a param of the same name
SELECT e, pg_temp.url('{"properties": {"m": 1, "a": 2}}', e)
FROM unnest(ARRAY[
    'https://a.example/?z=1&a=1&m=3&m=2',
    'https://a.example/?flag&x=&=y&&&a=b=c',
    'https://a.example/?a=1+2%2B3%20&%41=é',
    'https://a.example/?p=100%&q=%zz%4&r=%ff%FF&s=a;b'
]) e;
-- no query, no question mark; a fragment stays at home
SELECT e, pg_temp.url('{}', e)
FROM unnest(ARRAY[
    'https://a.example', 'https://a.example?', 'https://a.example/?#f', 'https://a.example#f?x=1',
    'https://a.example/p#f', 'https://a.example?x', 'https://a.example/a?b?c=d#e'
]) e;
-- what may not stand in a path is encoded, what is encoded stays so
SELECT pg_temp.url('{"fullPath": "https://a.example/a b/ü/%C3%bc/%zz%/[x]|\"<>\\^`{}/:@!$&''()*+,;=~"}');
-- with a body as well, the query is put in order
SELECT rswebhook.wire('{}', '{"webhookUrl": "https://a.example/?b=ü&a"}'::jsonb) ->> 'url';

--
-- Body: compact JSON of what is sent
--
SELECT rswebhook.wire('{"s": "é\u0001\u001f\u007f\u2028\"\\\b\f\n\r\t/", "n": [1.50, 1e3, -0.0], "e": [{}, [], [[]]],
    "o": {"z": null, "a": {"b": [true, false]}}, "fullPath": null}',
    '{"webhookUrl": "https://a.example"}'::jsonb) ->> 'body';
SELECT rswebhook.wire('{"request_ip": "ip", "context": {"a": [1]}}', '{"webhookUrl": "https://a.example"}'::jsonb) ->> 'body';
SELECT rswebhook.wire(e, '{"webhookUrl": "https://a.example"}'::jsonb) ->> 'body' FROM unnest(ARRAY['{}', '{"a": null, "fullPath": "https://a.example", "header": {}}', '{"a": {}}']::jsonb[]) e;
SELECT rswebhook.wire('{}', '{"webhookUrl": "https://a.example", "webhookMethod": "GET"}'::jsonb) ->> 'body' IS NULL;

--
-- Headers: text, trimmed; of names that differ in case the later source wins
--
CREATE FUNCTION pg_temp.headers(event jsonb, headers jsonb DEFAULT '[]', method text DEFAULT 'GET')
RETURNS jsonb LANGUAGE sql AS $$
    SELECT rswebhook.wire(event, jsonb_build_object('webhookUrl', 'https://a.example',
                                                    'webhookMethod', method, 'headers', headers)) -> 'headers'
$$;

SELECT pg_temp.headers('{}');
SELECT pg_temp.headers('{}', method => 'PUT');
SELECT pg_temp.headers('{}', '[{"from": "s", "to": " \t a b \t"}, {"from": "z", "to": null}, {"from": "n", "to": 1.50},
    {"from": "t", "to": true}, {"from": "o", "to": {"a": [1, "ü"]}}, {"from": "e", "to": ""}]');
SELECT pg_temp.headers('{"header": {"Content-Type": "b", "X": "event", "x": "later"}}',
    '[{"from": "content-type", "to": "a"}, {"from": "X", "to": "config"}, {"from": "User-Agent", "to": "me"}]', 'POST');
SELECT pg_temp.headers('{"header": {"USER-AGENT": "event"}}', '[{"from": "User-Agent", "to": "config"}]');
-- an empty User-Agent is none; an event's null is a text, and a Config's is empty
SELECT pg_temp.headers('{"header": {"USER-AGENT": ""}}', '[{"from": "User-Agent", "to": "config"}]'), pg_temp.headers('{}', '[{"from": "User-Agent", "to": null}]');
SELECT pg_temp.headers('{"header": {"User-Agent": "event", "n": null, "e": ""}}', '[{"from": "User-Agent", "to": ""}, {"from": "c", "to": null}]');
-- what is encoded in a path in which something else has to be
SELECT p, pg_temp.url(jsonb_build_object('fullPath', 'https://a.example/' || p)) FROM unnest(ARRAY['[a]!(b)*''c', '[a] !(b)*''c', '[%5b]', '[%5b] ', '[%zz']) p;

--
-- What cannot be sent
--
CREATE FUNCTION pg_temp.reason(event jsonb, config jsonb DEFAULT '{}')
RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN rswebhook.wire(event, '{"webhookUrl": "https://a.example"}' || config);
EXCEPTION WHEN invalid_parameter_value THEN
    RETURN sqlerrm;
END
$$;

SELECT rswebhook.wire('{"statusCode": 200}', '{}'::jsonb);
SELECT m, pg_temp.reason('{}', jsonb_build_object('webhookMethod', m))
FROM unnest(ARRAY['"HEAD"', '"get"', '5']::jsonb[]) m;
SELECT u, pg_temp.reason(jsonb_build_object('fullPath', u))
FROM unnest(ARRAY[
    '', '/path', 'a.example/x', 'ftp://a.example', 'http:/a.example', 'http://', 'https:///x', 'https://?x',
    'https://u:p@a.example/', 'https://u@a.example', 'https://a.example:0', 'https://a.example:65536',
    'https://a.example:', 'https://a.example:x', 'https://a.example:99999999999999999999', 'https://a b/',
    'https://a%41.example', 'https://a.example\@b.example', 'https://[::1', 'https://[]', 'https://[g::1]',
    'https://[::1]x', E'https://a.example/\n', E'https://a.example/\x7f'
]) u;
SELECT u, pg_temp.url('{}', u)
FROM unnest(ARRAY['HTTPS://A.example:65535/', 'http://[::1]:1/x', 'http://127.0.0.1', 'https://bücher.example/ü']) u;
SELECT h, pg_temp.reason(jsonb_build_object('header', h))
FROM unnest(ARRAY[
    '{"": "x"}', '{"a b": "x"}', '{"é": "x"}', '{"a\nb": "x"}', '{"a:": "x"}',
    '{"x": "a\nb"}', '{"x": "a\r"}', '{"x": "a\u0001"}', '{"x": "a\u007f"}',
    '{"Host": "x"}', '{"content-LENGTH": "1"}', '{"Transfer-Encoding": "chunked"}', '{"Connection": "close"}',
    '{"Trailer": "x"}', '{"TE": "x"}', '{"Upgrade": "x"}', '{"Keep-Alive": "x"}', '{"Proxy-Connection": "x"}',
    '{"Expect": "x"}', '{"Content_Length": "1"}', '{"webhook_id": "x"}'
]::jsonb[]) h;
-- a value never shows up in a reason, and a name only as a short line
SELECT pg_temp.reason(jsonb_build_object('header', jsonb_build_object(repeat('é', 50), 'secret')));
-- 64 kB for the whole URL: each ü is six bytes there
SELECT length(pg_temp.url(jsonb_build_object('properties', jsonb_build_object('a', repeat('ü', 10900)))));
SELECT pg_temp.reason(jsonb_build_object('properties', jsonb_build_object('a', repeat('ü', 10920))),
                      '{"webhookMethod": "GET"}');
SELECT pg_temp.reason(jsonb_build_object('properties', jsonb_build_object('a', repeat('x', 70000))),
                      '{"webhookMethod": "GET"}');
SELECT pg_temp.reason(jsonb_build_object('appendPath', '/' || repeat('x', 70000)));

--
-- Bounds: nothing that is written is longer than what could be sent, whatever
-- a few bytes of jsonb stand for
--
-- up to a hundred characters, numbers are as jsonb prints them
SELECT left(n::text, 12) AS number, length(n::text), rswebhook.wire(jsonb_build_object('n', n), '{"webhookUrl": "https://a.example"}'::jsonb) ->> 'body' AS body
FROM unnest(ARRAY['1e98', '1e99', '1e100', '-1e98', '-1e99', '1e-98', '1e-99', '12345e96', '1.50e-200', '-123.4567e200',
    '0.' || repeat('0', 98), '0.' || repeat('0', 99), '7.' || repeat('0', 98), '7.' || repeat('0', 99),
    '1' || repeat('2', 99), '1' || repeat('2', 100), '0.' || repeat('12', 50), '100000.' || repeat('0', 100),
    (2::numeric ^ 256)::numeric(78)::text, '1e131071', '1e-16383', '-1e131071']::numeric[]) n;
-- and whatever their form, they are the same numbers; digits of each kind
SELECT count(*) AS numbers, count(*) FILTER (WHERE (rswebhook.wire(jsonb_build_object('n', n),
        '{"webhookUrl": "https://a.example"}'::jsonb) ->> 'body')::jsonb ->> 'n' IS NOT DISTINCT FROM n::text) AS printed_alike,
    count(*) FILTER (WHERE ((rswebhook.wire(jsonb_build_object('n', n),
        '{"webhookUrl": "https://a.example"}'::jsonb) ->> 'body')::jsonb ->> 'n')::numeric = n) AS equal,
    count(*) FILTER (WHERE (rswebhook_transform(jsonb_build_object('header', jsonb_build_object('n', n)), 'POST')
        #>> '{headers,n}')::numeric = n) AS equal_in_headers
FROM (SELECT ((m || 'e' || (s % 60 - 30))::numeric)::numeric AS n
      FROM unnest(ARRAY['0', '1', '-1', '10', '0.10', '-0.5', '9999', '10000', '-10001', '123456789.987654321', '0.00012340',
        '99999999.9999', '1000000000000', '-0.000000001']) m, generate_series(0, 119) s) x;
SELECT rswebhook.wire('{"properties": {"big": 1e131071, "small": 1e-16383, "plain": 1.50}, "header": {"x": [1e131071, -1e-130]}}',
    '{"webhookUrl": "https://a.example", "webhookMethod": "GET"}'::jsonb);
SELECT rswebhook.wire('{"fullPath": "https://a.example/", "appendPath": [1e131071, 1e21, 1e20]}', '{"webhookUrl": "https://a.example"}'::jsonb) ->> 'url';

-- what would be too large is not written to its end
CREATE FUNCTION pg_temp.bound(event jsonb, config jsonb DEFAULT '{}')
RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN length(rswebhook.wire(event, '{"webhookUrl": "https://a.example/"}' || config)::text);
EXCEPTION WHEN invalid_parameter_value OR program_limit_exceeded THEN
    RETURN sqlerrm;
END
$$;
CREATE FUNCTION pg_temp.many(n int, value jsonb) RETURNS jsonb LANGUAGE sql AS
$$ SELECT jsonb_agg(value) FROM generate_series(1, n) $$;
SELECT what, pg_temp.bound(event, config)
FROM (VALUES
    ('numbers', pg_temp.many(4000, '1e131071'), 'POST'),
    ('numbers that are short enough', pg_temp.many(45000, '1e98'), 'PUT'),
    ('control characters', to_jsonb(repeat(E'\x01', 700000)), 'PATCH'),
    ('objects over true', (SELECT jsonb_agg(jsonb_build_object('a', pg_temp.many(40, 'true'))) FROM generate_series(1, 1500)), 'POST'),
    ('a query', pg_temp.many(4000, '1e131071'), 'GET'),
    ('a query of short ones', pg_temp.many(60000, '1'), 'GET'),
    ('a query with a long name', jsonb_build_object(repeat('k', 400000), pg_temp.many(600, '1')), 'DELETE'),
    ('a query of objects over true', (SELECT jsonb_agg(jsonb_build_object('a', pg_temp.many(40, 'true'))) FROM generate_series(1, 1500)), 'GET')
  ) AS v (what, properties, method),
  LATERAL (SELECT jsonb_build_object('properties', properties) AS event, jsonb_build_object('webhookMethod', method) AS config) x;
SELECT what, pg_temp.bound(event)
FROM (VALUES
    ('a header', jsonb_build_object('header', jsonb_build_object('x', pg_temp.many(4000, '1e131071')))),
    ('a header that is too large', jsonb_build_object('header', jsonb_build_object('x', ARRAY[repeat(E'\x01', 700000)]))),
    ('headers', jsonb_build_object('header', (SELECT jsonb_object_agg('x' || i, 'true'::jsonb) FROM generate_series(1, 60000) i))),
    ('names of headers', jsonb_build_object('header', jsonb_build_object(repeat('x', 70000), 1))),
    ('a path', jsonb_build_object('appendPath', pg_temp.many(4000, '1e131071'))),
    ('a path that is too large', jsonb_build_object('fullPath', ARRAY[repeat('x', 2100000), repeat('x', 2100000)])),
    ('an id', jsonb_build_object('anonymousId', ARRAY[repeat('x', 2100000), repeat('x', 2100000)]))
  ) AS v (what, event);
-- to the byte
SELECT pg_temp.bound(jsonb_build_object('a', repeat('x', 4194304 - 8 + more))) FROM generate_series(0, 1) more;
-- only what is sent is bounded so, not what RudderStack would make of it
SELECT length(rswebhook_transform(jsonb_build_object('appendPath', ARRAY[repeat('x', 2100000), repeat('x', 2100000)]), 'POST') ->> 'endpoint');

-- what becomes a header of each request has to fit
SELECT repeat('u', 1024) AS longest, repeat('u', 1025) AS longer \gset
ALTER SYSTEM SET rswebhook.user_agent = :'longest';
\set VERBOSITY sqlstate
ALTER SYSTEM SET rswebhook.user_agent = :'longer';
\set VERBOSITY default
ALTER SYSTEM RESET rswebhook.user_agent;

--
-- To a stored destination: as it is sent there, with secrets for who may read them
--
SET client_min_messages = error;
\set VERBOSITY default
INSERT INTO rswebhook.destination (name, url, headers, auth_type, auth_token, signing_secrets) VALUES
    ('crm', 'https://crm.example/hooks?token=s3cret', '{"X-Team": "growth", "X-Key": {"env": "NOWHERE"}}', 'bearer', 'b3arer', '["whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="]'),
    ('plain', 'https://plain.example/hooks', '{}', 'none', NULL, '[]');
SELECT jsonb_pretty(rswebhook.wire('{"type": "track", "event": "Paid", "messageId": "m1", "header": {"X-Own": "o"}}', 'crm') #- '{headers,webhook-timestamp}');
SELECT rswebhook.wire('{"type": "track", "fullPath": "https://plain.example/other"}', 'plain');
SELECT rswebhook.wire('{"type": "identify", "traits": {"a": 1}}', 'plain') = rswebhook.wire('{"type": "identify", "traits": {"a": 1}}', 'plain') AS stable;
SELECT rswebhook.wire('{"fullPath": "https://other.example/"}', 'plain');
SELECT rswebhook.wire('{"header": {"Authorization": "mine"}}', 'crm');
SELECT rswebhook.wire('{"statusCode": 200}', 'plain');
SELECT rswebhook.wire('{}', 'Plain');
SELECT rswebhook.wire('{}', '{"webhookUrl": "https://a.example"}');
CREATE ROLE regress_wire;
GRANT USAGE ON SCHEMA rswebhook TO regress_wire;
SET ROLE regress_wire;
SELECT rswebhook.wire('{}', 'plain');
RESET ROLE;
GRANT EXECUTE ON FUNCTION rswebhook.wire(jsonb, text) TO regress_wire;
SET ROLE regress_wire;
SELECT jsonb_pretty(rswebhook.wire('{"messageId": "m1"}', 'crm') #- '{headers,webhook-timestamp}');
RESET ROLE;
DROP OWNED BY regress_wire;
DROP ROLE regress_wire;
DELETE FROM rswebhook.destination;
