--
-- The transform: event and config to the request that RudderStack would send
--
\pset format unaligned
\pset tuples_only on

-- Only what a case is about is shown: a path into the request.
CREATE FUNCTION pg_temp.show(path text, event jsonb, config jsonb DEFAULT '{}')
RETURNS jsonb LANGUAGE sql AS $$
    SELECT rswebhook_transform(event, '{"webhookUrl": "https://a.example/hook"}' || config)
           #> string_to_array(path, '.')
$$;

-- The whole request
SELECT jsonb_pretty(rswebhook_transform(
    '{"type": "track", "event": "Order Completed", "userId": "u1", "anonymousId": "a1",
      "properties": {"total": 60.50}, "context": {"ip": "192.0.2.1"}}',
    '{"webhookUrl": "https://a.example/hook", "webhookMethod": "PUT",
      "headers": [{"from": "X-Api-Key", "to": "k"}]}'::jsonb));

SELECT jsonb_pretty(rswebhook_transform(
    '{"type": "track", "userId": "u1", "properties": {"total": 60.50}}',
    '{"webhookUrl": "https://a.example/hook", "webhookMethod": "DELETE"}'::jsonb));

--
-- Method: nullish is POST, comparison is exact, anything else passes through
-- with neither body nor params
--
SELECT m, r -> 'method', r #> '{body,JSON}', r -> 'params', r -> 'headers'
FROM unnest(ARRAY['null', '"POST"', '"PATCH"', '"GET"', '"post"', '""', '5', '{"a": []}']::jsonb[]) m,
     rswebhook_transform('{"type": "track", "properties": {"p": 1}}',
                         jsonb_build_object('webhookUrl', 'u', 'webhookMethod', m)) r;

--
-- Headers
--

-- names in lower case (not trimmed), values as they are, the last one wins
SELECT pg_temp.show('headers', '{}', '{"headers": [
    {"from": " A b ", "to": " v "}, {"from": "X", "to": 1}, {"from": "x", "to": {"n": null}},
    {"from": "N", "to": null}, {"from": "CONTENT-TYPE", "to": "text/plain"}]}');
-- "to" absent removes what came before, the default too
SELECT pg_temp.show('headers', '{}', '{"headers": [
    {"from": "a", "to": "1"}, {"from": "A"}, {"from": "b"}, {"from": "B", "to": "2"},
    {"from": "content-type"}]}');
-- blank names and things that are no object are skipped
SELECT pg_temp.show('headers', '{}', '{"headers": [
    {"from": "", "to": "1"}, {"from": " \t\u00a0\u2028\ufeff\u3000", "to": "1"}, {"from": null},
    {"to": "1"}, {"from": [" "]}, {}, [], 5, "from", true]}');
-- not an array: ignored
SELECT pg_temp.show('headers', '{}', '{"headers": {"from": "a", "to": "1"}}');
-- Unicode, whatever the locale: special cases, too
SELECT pg_temp.show('headers', '{}', '{"webhookMethod": "GET", "headers": [
    {"from": "ÀÉ-Üñï", "to": 1}, {"from": "İX", "to": 2}, {"from": "ΑΣ ΣΑΣ.", "to": 3},
    {"from": "Σ", "to": 4}, {"from": "Ⅷ𐐀Ａ", "to": 5}]}');
-- the event's own keep their case and stand beside others
SELECT pg_temp.show('headers',
    '{"header": {"Content-Type": "a", "x": "b", "E": "", "n": 5.0, "t": true, "z": null,
                 "o": {"k": [1, {"j": "\"\\\u0001é"}], "e": {}, "f": []}}}',
    '{"headers": [{"from": "X", "to": "c"}]}');
SELECT pg_temp.show('headers', '{"header": ["a", 1, [], {}, null]}');
SELECT h, pg_temp.show('headers', jsonb_build_object('header', h))
FROM unnest(ARRAY['"text"', '5', 'true', 'null', '{}', '[]']::jsonb[]) h;
-- "to" absent does not remove the event's
SELECT pg_temp.show('headers', '{"header": {"a": "1"}}', '{"headers": [{"from": "a"}]}');

--
-- Endpoint
--
SELECT e, pg_temp.show('endpoint', e)
FROM unnest(ARRAY[
    '{}',
    '{"appendPath": "/x?y"}',
    '{"fullPath": "http://b.example", "appendPath": "/x"}',
    '{"fullPath": null, "appendPath": null}',
    '{"fullPath": ""}',
    '{"fullPath": "", "appendPath": "/x"}',
    -- settings below integrations: the first truthy spelling
    '{"integrations": {"webhook": {"fullPath": "http://i.example", "appendPath": "/i"}}}',
    '{"integrations": {"webhook": false, "Webhook": {"appendPath": "/2"}, "WebHook": {"appendPath": "/3"}}}',
    '{"integrations": {"webhook": true, "WEBHOOK": {"appendPath": "/4"}}}',
    '{"integrations": {"webHook": {"appendPath": "/not-known"}}}',
    '{"integrations": {"webhook": {"fullPath": ""}}}',
    '{"integrations": {"webhook": [{"fullPath": "x"}]}}',
    -- the event's own first, one by one
    '{"appendPath": "/e", "integrations": {"webhook": {"fullPath": "http://i.example", "appendPath": "/i"}}}',
    -- a key with a dot in it wins, even with nothing in it
    '{"integrations.webhook": {"appendPath": "/dot"}, "integrations": {"webhook": {"appendPath": "/no"}}}',
    '{"integrations.webhook": null, "integrations": {"webhook": {"appendPath": "/no"}, "Webhook": {"appendPath": "/yes"}}}',
    -- text of whatever it is, as JavaScript has it
    '{"fullPath": [1, null, [true, "x"], {}], "appendPath": {}}',
    '{"appendPath": 5.0}', '{"appendPath": 1e3}', '{"appendPath": 1e20}', '{"appendPath": 1e21}',
    '{"appendPath": -1.50e-6}', '{"appendPath": 1.5e-7}', '{"appendPath": -0.0}',
    '{"appendPath": 9007199254740993}', '{"appendPath": 123456789012345678901234.5}',
    '{"appendPath": false}', '{"appendPath": []}'
]::jsonb[]) e;
SELECT u, rswebhook_transform('{}', jsonb_build_object('webhookUrl', u)) -> 'endpoint'
FROM unnest(ARRAY['" "', '5', 'true', '{}', '[]', '[1, 2]']::jsonb[]) u;

--
-- Params: traits of an identify, else properties, flattened
--
SELECT e, pg_temp.show('params', e, '{"webhookMethod": "GET"}')
FROM unnest(ARRAY[
    '{}',
    '{"properties": null}', '{"properties": "s"}', '{"properties": 0}',
    '{"properties": []}', '{"properties": {}}', '{"properties": [1]}',
    '{"properties": {"a": [1, {"b": null}], "e": {}, "f": []}}',
    '{"properties": {"": {"a": 1}}}', '{"properties": {"a": {"": 1}}}',
    '{"properties": {"": {}}}', '{"properties": {"": []}}', '{"properties": {"": {"": {"": true}}}}',
    '{"properties": {"a": [[[]], [[1], {}]]}}',
    '{"properties": {"a.b": 1, "c[0]": 2, "d": {"e.f": 3}}}',
    -- colliding paths: one of them, the last in jsonb order
    '{"properties": {"a": {"b": 1}, "a.b": 2}}',
    -- traits, then those in the context; empty containers block, null and "" do not
    '{"type": "identify", "traits": {"t": 1}, "context": {"traits": {"c": 1}}, "properties": {"p": 1}}',
    '{"type": "identify", "context": {"traits": {"c": 1}}}',
    '{"type": "identify", "traits": null, "context": {"traits": {"c": 1}}}',
    '{"type": "identify", "traits": "", "context": {"traits": {"c": 1}}}',
    '{"type": "identify", "traits": {}, "context": {"traits": {"c": 1}}}',
    '{"type": "identify", "traits": [], "context": {"traits": {"c": 1}}}',
    '{"type": "identify", "traits": false, "context": {"traits": {"c": 1}}}',
    '{"type": "identify", "traits": 0, "context": {"traits": {"c": 1}}}',
    '{"type": "identify", "context.traits": {"d": 1}, "context": {"traits": {"c": 1}}}',
    '{"type": "identify", "context.traits": null, "context": {"traits": {"c": 1}}}',
    '{"type": "identify", "context": ["traits"], "properties": {"p": 1}}',
    -- every other type has properties
    '{"type": "IDENTIFY", "traits": {"t": 1}, "properties": {"p": 1}}',
    '{"type": ["identify"], "traits": {"t": 1}, "properties": {"p": 1}}',
    '{"type": "group", "traits": {"t": 1}}'
]::jsonb[]) e;

--
-- Body: the event without some top-level keys, and with the sender's address
--
SELECT e, pg_temp.show('body.JSON', e)
FROM unnest(ARRAY[
    '{"fullPath": "f", "appendPath": 1, "header": [], "x": {"fullPath": "f", "header": {}, "appendPath": 1}}',
    '{"a": null, "b": {"c": null}, "d": [null], "e": "", "f": {}, "g": [], "h": 0, "i": false}',
    '{"constructor": 1, "prototype": 2, "__proto__": 3, "x": {"constructor": 1, "prototype": 2}}',
    '{"channel": "web", "integrations": {"All": true}, "messageId": "m", "statusCode": 0, "n": 1.50}',
    -- request_ip
    '{"request_ip": "ip"}',
    '{"request_ip": "ip", "context": {}}',
    '{"request_ip": "ip", "context": {"a": 1, "zz": {"y": [1]}, "library": 2}}',
    '{"request_ip": "ip", "context": {"ip": "own"}}',
    '{"request_ip": "ip", "context": {"ip": null}}',
    '{"request_ip": "ip", "context": {"ip": ""}}',
    '{"request_ip": "ip", "context": {"ip": 0}}',
    '{"request_ip": "ip", "context": null}',
    '{"request_ip": "ip", "context": ""}',
    '{"request_ip": "ip", "context": 0.0}',
    '{"request_ip": "ip", "context": false}',
    '{"request_ip": "ip", "context": "s"}',
    '{"request_ip": "ip", "context": [1]}',
    '{"request_ip": "ip", "context": 1}',
    '{"request_ip": {"v": 4}, "z": 1}',
    '{"request_ip": "", "context": {}}',
    '{"request_ip": 0}',
    '{"request_ip": null, "context": null}'
]::jsonb[]) e;

--
-- userId is the anonymousId's text
--
SELECT id, pg_temp.show('userId', jsonb_build_object('anonymousId', id, 'userId', 'never'))
FROM unnest(ARRAY['"a"', '""', 'null', 'false', 'true', '0', '0.00', '1.50', '[1, [2, null]]', '{}', '[]']::jsonb[]) id;

--
-- An event with a statusCode is the output, but for its userId
--
SELECT rswebhook_transform(e, '{"headers": [null]}'::jsonb)
FROM unnest(ARRAY[
    '{"statusCode": 200, "a": null, "header": null, "fullPath": "f", "userId": "u", "anonymousId": "a"}',
    '{"statusCode": "x", "constructor": 1, "anonymousId": "a"}',
    '{"statusCode": [], "userId": 7.0}',
    '{"statusCode": {}, "userId": null}'
]::jsonb[]) e;
SELECT s, pg_temp.show('version', jsonb_build_object('statusCode', s))
FROM unnest(ARRAY['0', '""', 'false', 'null']::jsonb[]) s;

--
-- Warehouse events get their timestamp from where the sync has put it
--
SELECT e, pg_temp.show('body.JSON.timestamp', e || '{"channel": "sources"}')
FROM unnest(ARRAY[
    '{"type": "track", "timestamp": "t", "properties": {"timestamp": "p"}}',
    '{"type": "track", "timestamp": "", "originalTimestamp": "o", "properties": {"timestamp": null}}',
    '{"type": "track", "timestamp": "t", "properties": {"timestamp": false}}',
    '{"type": "track", "timestamp": "t", "properties": {"timestamp": 0}}',
    '{"type": "track", "timestamp": ""}',
    '{"type": "track", "properties.timestamp": "dot", "properties": {"timestamp": "p"}}',
    '{"type": "track", "timestamp": "t", "context": {"timestamp": "c"}}',
    '{"type": "identify", "timestamp": "t", "context": {"timestamp": "c", "traits": {"timestamp": "ct"}}}',
    '{"type": "identify", "timestamp": "t", "context": {"traits": {"timestamp": "ct"}}, "traits": {"timestamp": "tt"}}',
    '{"type": "identify", "timestamp": "t", "context": {"traits.timestamp": "dot"}}',
    '{"type": "identify", "timestamp": "t", "traits": {"timestamp": "tt"}}',
    '{"type": "identify", "originalTimestamp": "o"}',
    '{"type": "page", "timestamp": "t", "properties": {"timestamp": "p"}}',
    '{"type": "track", "timestamp": "t", "properties": {"timestamp": "p"}, "context": {"mappedToDestination": true}}',
    '{"type": "track", "timestamp": "t", "properties": {"timestamp": "p"}, "context": {"mappedToDestination": ""}}'
]::jsonb[]) e;
SELECT pg_temp.show('body.JSON', '{"channel": "web", "type": "track", "timestamp": "t", "properties": {"timestamp": "p"}}');
SELECT pg_temp.show('body.JSON', '{"channel": "sources", "type": "track", "a": 1, "properties": {"timestamp": "p"}}');

--
-- Errors
--
\set VERBOSITY default
SELECT rswebhook_transform('[]', '{"webhookUrl": "u"}'::jsonb);
SELECT rswebhook_transform('5', '{"webhookUrl": "u"}'::jsonb);
SELECT rswebhook_transform('{}', '"u"'::jsonb);
SELECT rswebhook_transform('{}', '{}'::jsonb);
SELECT rswebhook_transform('{}', '{"webhookUrl": null}'::jsonb);
SELECT rswebhook_transform('{}', '{"webhookUrl": "", "headers": [null]}'::jsonb);
SELECT rswebhook_transform('{}', '{"webhookUrl": 0}'::jsonb);
SELECT rswebhook_transform('{}', '{"webhookUrl": false}'::jsonb);
SELECT rswebhook_transform('{}', '{"webhookUrl": "u", "headers": [{"from": "a", "to": "b"}, 1, null]}'::jsonb);
SELECT rswebhook_transform('{}', '{"webhookUrl": "u", "headers": [{"from": 0}]}'::jsonb);
SELECT rswebhook_transform('{}', '{"webhookUrl": "u", "webhookMethod": "GET", "headers": [{"from": false}]}'::jsonb);
SELECT rswebhook_transform('{}', '{"webhookUrl": "u", "headers": [{"from": {}}]}'::jsonb);
SELECT rswebhook_transform('{}', '{"webhookUrl": "u", "headers": [{"from": ["a"]}]}'::jsonb);
SELECT rswebhook_transform(NULL, '{}'::jsonb) IS NULL;
\set VERBOSITY terse

--
-- The result is jsonb as the server itself would have written it: objects
-- below and above the distance of stored offsets, numbers that need alignment
--
WITH part AS (
    SELECT n, (SELECT jsonb_object_agg('k' || i * 7919 % 997,
                                       CASE i % 5 WHEN 0 THEN to_jsonb(i * 1.5)
                                                  WHEN 1 THEN to_jsonb(repeat('x', i % 13))
                                                  WHEN 2 THEN 'null'
                                                  WHEN 3 THEN to_jsonb(ARRAY[i, i + 1])
                                                  ELSE jsonb_build_object('n', i) END)
               FROM generate_series(1, n) i) AS p
    FROM generate_series(1, 100, 3) n
), request AS (
    SELECT pg_temp.show('', p || jsonb_build_object('request_ip', 1, 'context', p, 'properties', p),
                        jsonb_build_object('webhookMethod', m)) AS r
    FROM part, unnest(ARRAY['POST', 'GET']) m
)
SELECT count(*), bool_and(r::text::jsonb::text = r::text), bool_and(r::text::jsonb = r),
       bool_and(pg_column_size(r) = pg_column_size(r::text::jsonb))
FROM request;

-- Deep nesting works, and ends in an error where the stack does
CREATE TEMP TABLE deep AS
    SELECT ('{"properties": ' || repeat('{"a": [', 1000) || '1' || repeat(']}', 1000) || '}')::jsonb AS event;
SELECT length(jsonb_object_keys(pg_temp.show('params', event, '{"webhookMethod": "GET"}'))) FROM deep;
SET max_stack_depth = '100kB';
SELECT length(rswebhook_transform(event, '{"webhookUrl": "u", "webhookMethod": "GET"}'::jsonb)::text) FROM deep;
RESET max_stack_depth;
