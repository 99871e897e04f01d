--
-- Which events a send without a destination goes to: what destinations let through,
-- and what an event says itself. The tables of consent and integrations are RudderStack's.
--
SET client_min_messages = error;
INSERT INTO rswebhook.destination (name, url, paused) VALUES
    ('other', 'https://a.example', true), ('Some', 'https://b.example', true);

-- The destinations that an event goes to, or null
CREATE FUNCTION pg_temp.taken(event jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    sent bigint := rswebhook_send(event);
BEGIN
    RETURN (SELECT string_agg(d.name, ', ' ORDER BY d.name COLLATE "C")
            FROM rswebhook.queue q JOIN rswebhook.destination d ON d.id = q.destination_id
            WHERE q.event_id = sent);
END
$$;

--
-- Names
--
CREATE FUNCTION pg_temp.names(given_events text[], given_excluded text[], given_types text[] DEFAULT NULL) RETURNS text
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE rswebhook.destination SET events = given_events, excluded_events = given_excluded, types = given_types
        WHERE name = 'Some';
    RETURN (SELECT string_agg(label, ' ' ORDER BY place) FROM (VALUES
        (1, 'A', '{"type": "track", "event": "A"}'::jsonb),
        (2, 'Track-A', '{"type": " Track ", "event": "A"}'),
        (3, 'a', '{"type": "track", "event": "a"}'),
        (4, 'A_', '{"type": "track", "event": "A "}'),
        (5, 'Order-Paid', '{"type": "track", "event": "Order Paid"}'),
        (6, 'Order-', '{"type": "track", "event": "Order "}'),
        (7, 'x.created', '{"type": "track", "event": "x.created"}'),
        (8, 'empty', '{"type": "track", "event": ""}'),
        (9, '5', '{"type": "track", "event": 5}'),
        (10, 'nameless', '{"type": "track"}'),
        (11, 'page-A', '{"type": "page", "event": "A"}'),
        (12, 'page', '{"type": "page"}'),
        (13, 'identify', '{"type": "identify"}'),
        (14, 'typeless-A', '{"event": "A"}'),
        (15, 'none', '{}')) AS v (place, label, event)
        WHERE pg_temp.taken(event) LIKE '%Some%');
END
$$;
SELECT e AS events, x AS excluded_events, t AS types, pg_temp.names(e, x, t) AS taken FROM (VALUES
    (NULL::text[], NULL::text[], NULL::text[]),
    ('{}', NULL, NULL),
    ('{A}', NULL, NULL),
    ('{A,a}', NULL, NULL),
    ('{*}', NULL, NULL),
    ('{"Order *"}', NULL, NULL),
    ('{"Order*",A}', NULL, NULL),
    ('{*.created}', NULL, NULL),
    ('{*r*a*}', NULL, NULL),
    ('{**}', NULL, NULL),
    ('{A*A}', NULL, NULL),
    (NULL, '{}', NULL),
    (NULL, '{A}', NULL),
    (NULL, '{*}', NULL),
    ('{A,"Order *"}', '{*Paid}', NULL),
    (NULL, NULL, '{track}'),
    (NULL, NULL, '{" PAGE ",identify}'),
    (NULL, NULL, '{}'),
    ('{A}', NULL, '{track}'),
    ('{A}', NULL, '{track,page}'),
    ('{A}', NULL, '{page}'),
    ('{}', '{}', '{track,identify}'),
    (NULL, '{A}', '{track,identify}')) AS v (e, x, t);
UPDATE rswebhook.destination SET events = NULL, excluded_events = NULL, types = NULL;

-- what is long, or in many pieces
UPDATE rswebhook.destination SET events = ARRAY[repeat('*a', 500) || '*b'] WHERE name = 'Some';
SELECT pg_temp.taken(jsonb_build_object('type', 'track', 'event', repeat('a', 1000) || 'b')) AS taken,
       pg_temp.taken(jsonb_build_object('type', 'track', 'event', repeat('a', 1000))) AS not_taken,
       pg_temp.taken(jsonb_build_object('type', 'track', 'event', repeat('a', 499) || 'b')) AS too_short,
       pg_temp.taken(jsonb_build_object('type', 'track', 'event', repeat('a', 1024) || 'b')) AS too_long;
UPDATE rswebhook.destination SET events = NULL;
UPDATE rswebhook.destination SET excluded_events = '{A,NULL}' WHERE name = 'Some';

--
-- A predicate
--
CREATE FUNCTION pg_temp.path(given jsonpath, event jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    UPDATE rswebhook.destination SET filter = given WHERE name = 'Some';
    RETURN coalesce(pg_temp.taken(event) LIKE '%Some%', false);
END
$$;
SELECT f AS filter, pg_temp.path(f, '{"type": "track", "properties": {"price": 60, "at": "2026-01-01T00:00:00Z", "tags": ["a"]}}') AS taken
FROM unnest(ARRAY[
    '$.properties.price > 50', '$.properties.price > 70', 'exists($.properties.tags[*] ? (@ == "a"))',
    '$.none == 1', '$.type == "track" && !($.properties.price < 1)', 'strict $.none == 1', '$.properties.price',
    '$.properties.price / 0 == 1', '$', '$.properties.at.datetime() > "2025-01-01".datetime()']::jsonpath[]) AS f;
-- which depends on nobody's time zone, and holds up nobody
SET timezone = 'Asia/Tokyo';
SELECT pg_temp.path('$.at.datetime() < "2026-01-01T01:00:00+00:00".datetime()', '{"at": "2026-01-01T09:30:00"}') AS taken;
RESET timezone;
-- within bounds: two paths are compared where they cannot find too much
SELECT f AS filter, pg_temp.path(f, '{"a": [1, 2], "b": {"c": 2}}') AS taken,
       pg_temp.path(f, jsonb_build_object('a', (SELECT jsonb_agg(n) FROM generate_series(1, 5000) n), 'b', jsonb_build_object('c', 2))) AS taken_of_many
FROM unnest(ARRAY['$.a[*] == $.b.c', '$.a == $.b.c && $.b.c < $.a[0]', 'exists($.a[*] ? (@ == $.b.c))', '$.** == 2', '$.a[*] + 0 == $.b.c',
    '$.a.size() > $.b.c', '$.a[*] == 2']::jsonpath[]) AS f;
SELECT f AS filter, pg_temp.path(f, '{"a": 1}') AS taken
FROM unnest(ARRAY['$.**.** == 1', 'exists($.** ? (@.a == 1))', '$.**{0 to 2}.a == 1']::jsonpath[]) AS f;
UPDATE rswebhook.destination SET filter = '$.** == $.a' WHERE name = 'Some';
UPDATE rswebhook.destination SET filter = 'exists($.x ? (!((@.a.b[*].**{2 to 3}.c < $.b) is unknown)))' WHERE name = 'Some';
UPDATE rswebhook.destination SET filter = '($.a[last, $.b[0 to 1] ? (@.** <= @.c)].x like_regex "a") || 1 == 2' WHERE name = 'Some';
UPDATE rswebhook.destination SET filter = ('$.a' || repeat(' * $.a', 16) || ' > 1')::jsonpath WHERE name = 'Some';
UPDATE rswebhook.destination SET filter = ('$.a' || repeat(' * $.a / 1', 8) || ' % 2 > 1')::jsonpath WHERE name = 'Some';
SELECT f AS filter, pg_temp.path(f, '{"a": 5, "b": 2}') AS taken, pg_temp.path(f, ('{"b": 2, "a": ' || repeat('9', 100000) || '}')::jsonb) AS taken_of_long
FROM unnest(ARRAY['$.a * $.b == 10', '$.a + $.b > 1', '$.a / $.b > 1', '$.a > 1']::jsonpath[]) AS f;
-- and what takes too long is over: that is this destination's matter
SELECT pg_temp.path('$.**.**.**.**.**.**.**.** == 12345', (repeat('{"a":', 60) || '1' || repeat('}', 60))::jsonb) AS taken,
       pg_temp.taken('{"type": "track"}') AS others;
UPDATE rswebhook.destination SET filter = NULL;
UPDATE rswebhook.destination SET filter = ('$.a == "' || repeat('x', 20000) || '"')::jsonpath WHERE name = 'Some';

--
-- Consent
--
CREATE FUNCTION pg_temp.consents(config jsonb, said jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    UPDATE rswebhook.destination SET consent = config WHERE name = 'Some' AND consent IS DISTINCT FROM config;
    RETURN CASE WHEN pg_temp.taken(jsonb_build_object('context', jsonb_build_object('consentManagement', said))) LIKE '%Some%'
           THEN 'yes' ELSE 'no' END;
END
$$;
CREATE TEMP TABLE config (label text, consent jsonb);
INSERT INTO config VALUES
    ('C1', '{"consentManagement": [{"provider": "custom", "resolutionStrategy": "or", "consents": [{"consent": "a"}, {"consent": "b"}]}]}'),
    ('C2', '{"consentManagement": [{"provider": "custom", "resolutionStrategy": "and", "consents": [{"consent": "a"}, {"consent": "b"}]}]}'),
    ('K', '{"consentManagement": [{"provider": "ketch", "consents": [{"consent": "a"}, {"consent": "b"}]}]}'),
    ('O', '{"consentManagement": [{"provider": "oneTrust", "consents": [{"consent": "a"}, {"consent": "b"}]}]}'),
    ('L1', '{"oneTrustCookieCategories": [{"oneTrustCookieCategory": "a"}, {"oneTrustCookieCategory": "b"}]}'),
    ('L2', '{"ketchConsentPurposes": [{"purpose": "a"}, {"purpose": "b"}]}'),
    ('L1+L2', '{"oneTrustCookieCategories": [{"oneTrustCookieCategory": "a"}, {"oneTrustCookieCategory": "b"}], "ketchConsentPurposes": [{"purpose": "c"}]}'),
    ('O+L1', '{"consentManagement": [{"provider": "oneTrust", "consents": [{"consent": "a"}, {"consent": "b"}]}], "oneTrustCookieCategories": [{"oneTrustCookieCategory": "a"}]}'),
    ('empty', '{"consentManagement": [{"provider": "custom", "consents": []}, {"provider": "custom", "consents": [{"consent": ""}, ""]}], "ketchConsentPurposes": []}'),
    ('two', '{"consentManagement": [{"provider": "custom", "consents": ["a"]}, {"provider": "custom", "consents": ["b"]}, {"provider": "custom", "consents": []}]}');
SELECT c.label AS config, said, pg_temp.consents(c.consent, said::jsonb) AS delivered
FROM (VALUES
    (1, 'C1', '{"provider": "custom", "deniedConsentIds": []}'),
    (2, 'C1', '{"provider": "custom"}'),
    (3, 'C1', '{"provider": "custom", "deniedConsentIds": [""]}'),
    (4, 'C1', '{"provider": "custom", "resolutionStrategy": "and", "deniedConsentIds": ["a"]}'),
    (5, 'C1', '{"provider": "custom", "resolutionStrategy": "and", "deniedConsentIds": ["a", "b"]}'),
    (6, 'C2', '{"provider": "custom", "resolutionStrategy": "or", "deniedConsentIds": ["a"]}'),
    (7, 'C2', '{"provider": "custom", "resolutionStrategy": "or", "deniedConsentIds": ["c"]}'),
    (8, 'K', '{"provider": "ketch", "resolutionStrategy": "or", "deniedConsentIds": ["a"]}'),
    (9, 'K', '{"provider": "ketch", "resolutionStrategy": "or", "deniedConsentIds": ["a", "b", "c"]}'),
    (10, 'K', '{"provider": "ketch", "deniedConsentIds": ["a"]}'),
    (11, 'K', '{"provider": "ketch", "resolutionStrategy": "and", "deniedConsentIds": ["a"]}'),
    (12, 'K', '{"provider": "ketch", "resolutionStrategy": "xyz", "deniedConsentIds": ["a"]}'),
    (13, 'O', '{"provider": "oneTrust", "deniedConsentIds": ["b"]}'),
    (14, 'O', '{"provider": "ketch", "resolutionStrategy": "and", "deniedConsentIds": ["a", "b"]}'),
    (15, 'O', '{"resolutionStrategy": "and", "deniedConsentIds": ["a", "b"]}'),
    (16, 'C1', '{"provider": "Custom", "resolutionStrategy": "and", "deniedConsentIds": ["a", "b"]}'),
    (17, 'L1', '{"deniedConsentIds": ["a"]}'),
    (18, 'L1', '{"provider": "oneTrust", "deniedConsentIds": ["a"]}'),
    (19, 'L1', '{"provider": "ketch", "deniedConsentIds": ["a"]}'),
    (20, 'L2', '{"deniedConsentIds": ["a"]}'),
    (21, 'L2', '{"provider": "ketch", "deniedConsentIds": ["a"]}'),
    (22, 'L2', '{"provider": "ketch", "deniedConsentIds": ["a", "b"]}'),
    (23, 'L1+L2', '{"deniedConsentIds": ["c"]}'),
    (24, 'O+L1', '{"provider": "oneTrust", "resolutionStrategy": "or", "deniedConsentIds": ["a"]}'),
    (25, 'C2', '{"provider": "custom", "resolutionStrategy": "and", "deniedConsentIds": "a"}'),
    (26, 'C2', '{"provider": "custom", "resolutionStrategy": "and", "deniedConsentIds": [1]}'),
    (27, 'C2', '{"provider": 5, "deniedConsentIds": ["a"]}'),
    (28, 'C2', '{"provider": "custom", "deniedConsentIds": [null, "a"]}'),
    (29, 'C2', '[]'),
    (30, 'empty', '{"provider": "custom", "deniedConsentIds": ["a", ""]}'),
    (31, 'two', '{"provider": "custom", "deniedConsentIds": ["a"]}'),
    (32, 'two', '{"provider": "custom", "deniedConsentIds": ["b"]}')) AS v (n, label, said)
JOIN config c USING (label) ORDER BY n;

-- what it must be
CREATE FUNCTION pg_temp.refused(config jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
    hint text;
BEGIN
    UPDATE rswebhook.destination SET consent = config WHERE name = 'Some';
    RETURN 'taken';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(' | ', SQLERRM, detail, hint);
END
$$;
SELECT pg_temp.refused(v) FROM unnest(ARRAY[
    '[]', '"x"', '{"x": []}', '{"consentManagement": {}}', '{"consentManagement": [1]}', '{"consentManagement": [{"consents": []}]}',
    '{"consentManagement": [{"provider": "custom", "resolutionStrategy": "any"}]}',
    '{"consentManagement": [{"provider": "custom", "consents": "a"}]}',
    '{"consentManagement": [{"provider": "custom", "consents": [5]}]}',
    '{"consentManagement": [{"provider": "custom", "consents": [{"id": "ads"}]}]}', '{"consentManagement": [{"provider": "custom", "consents": [{}]}]}',
    '{"consentManagement": [{"provider": "custom", "consents": [{"consent": null}]}]}', '{"consentManagement": [{"provider": "custom", "consents": [{"consent": "ads", "id": 1}]}]}',
    '{"consentManagement": [{"provider": "custom"}]}', '{"consentManagement": [{"provider": "custom", "consent": [{"consent": "ads"}]}]}',
    '{"consentManagement": [{"provider": "custom", "resolution_strategy": "or", "consents": ["ads"]}]}',
    '{"oneTrustCookieCategories": [{"category": "C4"}]}', '{"oneTrustCookieCategories": [{"one_trust_cookie_category": "C4"}]}', '{"ketchConsentPurposes": [{"Purpose": "ads"}]}', '{"ketchConsentPurposes": [{}]}',
    '{"ketchConsentPurposes": [{"purpose": 5}]}', '{"oneTrustCookieCategories": "C0004"}', '{"consentManagement": [{"provider": "custom", "consents": [{"consent": ""}, "", "ads"]}]}', '{}']::jsonb[]) v;
UPDATE rswebhook.destination SET consent = NULL;

--
-- What an event says itself, of a destination by its name, too
--
SELECT v AS integrations, pg_temp.taken(jsonb_build_object('integrations', v)) AS taken
FROM unnest(ARRAY['{}', '{"All": false}', '{"All": false, "WEBHOOK": true}', '{"WEBHOOK": false}',
    '{"All": false, "Webhook": false, "WEBHOOK": true}', '{"All": false, "Webhook": "x", "WEBHOOK": {}}',
    '{"Some": false}', '{"some": false}', '{"All": false, "Some": true}', '{"All": false, "Some": {"x": 1}}',
    '{"All": false, "Some": "yes"}', '{"Webhook": false, "all": true, "Some": true}', '{"Some": false, "all": false}',
    '{"All": "x", "Some": true}', '{"All": false, "Nobody": true}']::jsonb[]) v;
-- a name that was another one's
UPDATE rswebhook.destination SET name = 'Other' WHERE name = 'Some';
INSERT INTO rswebhook.destination (name, url, paused) VALUES ('Some', 'https://c.example', true);
SELECT pg_temp.taken('{"integrations": {"All": false, "Some": true}}') AS some,
       pg_temp.taken('{"integrations": {"All": false, "Other": true}}') AS other;
DELETE FROM rswebhook.destination WHERE name = 'Other';
SELECT pg_temp.taken('{"integrations": {"All": false, "Other": true}}') AS nobody;

-- a named destination is asked for nothing of that
UPDATE rswebhook.destination SET types = '{}', filter = '$.a == 1', consent = (SELECT consent FROM config WHERE label = 'L1');
SELECT pg_temp.taken('{"type": "track"}') AS nobody,
       rswebhook_send('{"integrations": {"All": false}, "context": {"consentManagement": {"deniedConsentIds": ["a"]}}}', 'Some') IS NOT NULL AS some;

--
-- Many destinations, of which few are meant; changed one by one
--
INSERT INTO rswebhook.destination (name, url, paused, events)
    SELECT 'many ' || n, 'https://a.example', true, ARRAY['Event ' || n, 'Other ' || n % 3 || '*'] FROM generate_series(1, 500) AS n;
SELECT pg_temp.taken('{"type": "track", "event": "Event 77"}') AS one,
       length(pg_temp.taken('{"type": "track", "event": "Other 1 x"}')) AS a_third;
UPDATE rswebhook.destination SET events = '{Event 77}' WHERE name = 'many 5';
UPDATE rswebhook.destination SET enabled = false WHERE name = 'many 77';
SELECT pg_temp.taken('{"type": "track", "event": "Event 77"}') AS another;
DELETE FROM rswebhook.destination WHERE name = 'many 5';
SELECT pg_temp.taken('{"type": "track", "event": "Event 77"}') AS none, pg_temp.taken('{"type": "track", "event": "Event 5"}') AS nor_here;
DELETE FROM rswebhook.destination;
DELETE FROM rswebhook.queue;
DELETE FROM rswebhook.event;
