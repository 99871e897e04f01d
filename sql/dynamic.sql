-- Dynamic config: "{{ path || default }}" in place of a string. All destinations are
-- paused, so that a worker leaves them alone.
SET client_min_messages = error;
CREATE TABLE given AS SELECT '{"type": "track", "userId": "u7", "anonymousId": "a7", "event": "Order", "properties": {"region": "eu", "n": 5,
    "z": 0, "f": false, "nul": null, "e": "", "arr": ["x", "y"], "o": {"k": "v"}, "a.b": "dot", "a-b": "dash", "el": [], "eo": {}, "en": [null],
    "deep": {"x": [""]}, "deeper": {"x": [[0]]}}, "context": {"tenant": "acme", "traits": {"plan": "pro"}}}'::jsonb AS event;

-- what it becomes, and what is gone from the event
CREATE FUNCTION try(template text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    request jsonb;
    before jsonb;
BEGIN
    SELECT rswebhook_transform(event, jsonb_build_object('webhookUrl', 'https://h.example.com/in',
            'headers', jsonb_build_array(jsonb_build_object('from', 'X-V', 'to', template)))),
           rswebhook_transform(event, '{"webhookUrl": "https://h.example.com/in"}'::jsonb) INTO request, before FROM given;
    RETURN format('%s, gone: %s', request -> 'headers' -> 'x-v', coalesce((
        SELECT string_agg(p, ' ' ORDER BY p) FROM unnest(ARRAY['userId', 'context.tenant', 'context.traits.plan', 'properties', 'properties.region',
            'properties.n', 'properties.z', 'properties.f', 'properties.nul', 'properties.e', 'properties.arr', 'properties.o', 'properties.el', 'properties.eo',
            'properties.en', 'properties.deep', 'properties.deeper']) p
        WHERE before -> 'body' -> 'JSON' #> string_to_array(p, '.') IS NOT NULL AND request -> 'body' -> 'JSON' #> string_to_array(p, '.') IS NULL), '-'));
EXCEPTION WHEN invalid_parameter_value THEN
    RETURN SQLERRM;
END $$;
SELECT t AS template, try(t) FROM unnest(ARRAY[
    '{{ event.context.tenant || none }}', '{{event.context.tenant||none}}', '  {{ event.context.tenant || none }}  ', E'\u00a0\t{{ event.context.tenant\n||none }}\u3000',
    '{{ event.context.nope || "def ault" }}', '{{ event.context.nope || ''d'' }}', '{{ event.context.nope || a"b"c }}', '{{ event.context.nope || }}',
    '{{ event.context.nope || " " x " " }}', '{{ event.context.nope || a || b }}', '{{event.context.nope||}}',
    '{{ event.properties.nul || d }}', '{{ event.properties.e || d }}', '{{ event.properties.z || d }}', '{{ event.properties.f || d }}', '{{ event.properties.n || d }}',
    '{{ event.properties.o || d }}', '{{ event.properties.el || d }}', '{{ event.properties.eo || d }}', '{{ event.properties.en || d }}',
    '{{ event.properties.deep || d }}', '{{ event.properties.deeper || d }}', '{{ event.properties || d }}', '{{ event.properties.region.x || d }}',
    '{{ event.properties.arr.0 || d }}', '{{ event.properties.arr[0] || d }}', '{{ event.properties.a-b || d }}', '{{ event.properties.a.b || d }}',
    '{{ event.properties.arr.length || d }}', '{{ event.properties.arr.x || d }}',
    '{{ event.context.tenant }}', 'x{{ event.context.tenant || d }}', '{{ event.context.tenant || d }}x', '{{ event.context.tenant || d }}{{ event.userId || d }}',
    '{{ event.nope || d }}{{ event.userId || d }}', '{{ message.userId || d }}', '{{ userId || d }}', '{{ Event.userId || d }}', '{{ event || d }}', '{{ event.event.userId || d }}',
    '{{ event.context.traits.plan || d }}', '{{ event. || d }}', '{{ .event.userId || d }}', '{{ event..userId || d }}', '{{ event.7 || d }}', '{{ event._x || d }}',
    '{{ event.userId | d }}', '{ event.userId || d }', '{{||}}', '{{ || d }}', '{{}}', '{{{ event.userId || d }}}', '{{ env.HOME || d }}', '{{ metadata.x || d }}']) t;

CREATE FUNCTION try_config(event jsonb, config jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    RETURN rswebhook_transform(event, config);
EXCEPTION WHEN invalid_parameter_value THEN
    RETURN jsonb_build_object('endpoint', SQLERRM);
END $$;
-- all strings of a Config, in the order of its keys as jsonb has them; arrays in theirs
SELECT c AS config, r -> 'method' AS method, r -> 'endpoint' AS endpoint, r -> 'headers' AS headers, r -> 'body' -> 'JSON' ->> 'userId' AS user_id, r -> 'body' -> 'JSON' #> '{properties,region}' AS region
FROM given, unnest(ARRAY[
    '{"webhookUrl": "{{ event.properties.region || https://d.example.com }}"}',
    '{"webhookUrl": "{{ event.properties.nope || https://d.example.com }}"}',
    '{"webhookUrl": "https://h.example.com", "webhookMethod": "{{ event.properties.nope || PUT }}"}',
    '{"webhookUrl": "https://h.example.com", "headers": [{"from": "{{ event.context.tenant || X-D }}", "to": "v"}]}',
    '{"webhookUrl": "https://h.example.com", "headers": [{"from": "a", "to": "{{ event.userId || d1 }}"}, {"from": "b", "to": "{{ event.userId || d2 }}"}]}',
    '{"webhookUrl": "{{ event.properties.region || d2 }}", "headers": [{"from": "a", "to": "{{ event.properties.region || d1 }}"}]}',
    '{"webhookUrl": "https://h.example.com", "other": [{"deep": ["{{ event.userId || d }}"]}], "headers": [{"from": "a", "to": "{{ event.context.tenant || d }}"}]}',
    '{"webhookUrl": "https://h.example.com", "webhookMethod": "GET", "headers": [{"from": "a", "to": "{{ event.properties.region || d1 }}"}]}',
    '{"webhookUrl": "https://h.example.com", "headers": [{"from": "{{ event.properties.n || X }}", "to": "v"}], "x": 1}',
    '{"webhookMethod": "{{ event.properties.region || GET }}", "webhookUrl": "{{ event.properties.region || https://d.example.com }}"}',
    '{"webhookMethod": "{{ event.properties.region || GET }}", "webhookUrl": "{{ event.properties.region || https://d.example.com }}", "headers": [{"from": "a", "to": "{{ event.properties.region || d1 }}"}]}',
    '{"apiUrl": "{{ event.properties.region || https://d.example.com }}", "method": "{{ event.properties.region || GET }}", "auth": "bearerTokenAuth", "bearerToken": "{{ event.properties.region || t }}", "format": "JSON"}',
    '{"apiUrl": "https://d.example.com", "method": "{{ event.context.tenant || GET }}", "format": "JSON", "headers": [{"to": "a", "from": "{{ event.context.tenant || d1 }}"}], "propertiesMapping": [{"to": "userId", "from": "{{ event.context.tenant || d2 }}"}]}',
    '{"webhookUrl": "{{ event.nope || }}"}']::jsonb[]) c, LATERAL try_config(event, c) r;

--
-- Stored destinations
--
CREATE FUNCTION stored(what text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM rswebhook.destination;
    EXECUTE 'INSERT INTO rswebhook.destination (name, url, paused, allowed_hosts, method, headers) VALUES (''d'', ' || what || ')';
    RETURN (SELECT concat_ws(' ', r ->> 'method', r ->> 'endpoint', r -> 'headers') FROM given, rswebhook_transform(event, 'd') r);
EXCEPTION WHEN others THEN
    DECLARE
        detail text;
        hint text;
    BEGIN
        GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
        RETURN concat_ws(' / ', SQLERRM, nullif(detail, ''), nullif(hint, ''));
    END;
END $$;
SELECT w AS row, stored(w) FROM unnest(ARRAY[
    $$'{{ event.properties.url || https://d.example.com/x }}', true, '{a.example.com}', 'POST', '{}'$$,
    $$'{{ event.properties.url || }}', true, '{a.example.com}', 'POST', '{}'$$,
    $$'{{ event.properties.url || https://d.example.com }}', true, NULL, 'POST', '{}'$$,
    $$'{{ event.properties.url || https://d.example.com }}', true, '{}', 'POST', '{}'$$,
    $$'{{ event.properties.url || ftp://d.example.com }}', true, '{a.example.com}', 'POST', '{}'$$,
    $$'{{ event.properties.url }}', true, '{a.example.com}', 'POST', '{}'$$,
    $$'https://d.example.com', true, NULL, '{{ event.nope || PUT }}', '{}'$$,
    $$'https://d.example.com', true, NULL, '{{ event.nope || put }}', '{}'$$,
    $$'https://d.example.com', true, NULL, '{{ event.nope || }}', '{}'$$,
    $$'https://d.example.com', true, NULL, '{{ event.nope }}', '{}'$$,
    $$'https://d.example.com', true, NULL, 'POST', '{"x-t": "{{ event.context.tenant || d }}", "{{ event.userId || X-D }}": "v", "b": "{{ event.context.tenant || d }}"}'$$,
    $$'https://d.example.com', true, NULL, 'POST', '[{"from": "X-T", "to": "{{ event.context.tenant || d }}"}, {"from": "{{ event.nope || X-D }}", "to": "v"}]'$$,
    $$'https://d.example.com', true, NULL, 'POST', '{"{{ event.nope || Host }}": "v"}'$$,
    $$'https://d.example.com', true, NULL, 'POST', '{"{{ event.nope }}": "v"}'$$,
    $$'https://d.example.com', true, NULL, 'POST', '[{"from": "X-T", "to": " env.TOKEN"}, {"from": "X-U", "to": "Bearer env.TOKEN"}]'$$,
    $$'https://d.example.com', true, NULL, 'POST', '[{"from": "X-T", "to": "env.not a name"}]'$$]) w;
SELECT headers FROM rswebhook.destination;

-- to who may not see secrets, a default is one
CREATE ROLE regress_looker;
GRANT EXECUTE ON FUNCTION rswebhook_transform(jsonb, text) TO regress_looker;
SELECT stored($$'{{ event.properties.region || https://d.example.com/?key=s3cret }}', true, '{a.example.com}', 'POST',
    '{"x-t": "{{ event.context.tenant || s3cret }}", "x-n": "{{ event.nope || s3cret }}", "x-s": "s3cret"}'$$) IS NOT NULL AS stored;
SET ROLE regress_looker;
SELECT r -> 'endpoint' AS endpoint, r -> 'headers' AS headers
    FROM (VALUES ('{"context": {"tenant": "acme"}}'::jsonb), ('{"properties": {"region": "eu"}}')) e, rswebhook_transform(e.column1, 'd') r;
RESET ROLE;
DROP OWNED BY regress_looker;
DROP ROLE regress_looker;
-- what one has taken, others do not see: neither it, nor in what it was in, nor what is in it
SELECT min(t) AS templates, r -> 'headers' AS headers, r #> '{body,JSON}' AS body
FROM (VALUES (1, '{properties.a.b,properties.a,properties}'::text[]), (2, '{properties,properties.a}'), (3, '{properties.a.b,properties.a.c,properties.a,properties.a}'),
    (4, '{properties.a.b,properties.a.b,properties.a}'), (5, '{properties.x.y,properties.x,properties.x,properties}'), (6, '{properties.x.y,properties}'),
    (7, '{properties.j.k,properties.j,properties}'), (8, '{properties.e,properties.a,properties.e}')) v (n, paths),
  LATERAL (SELECT jsonb_agg(jsonb_build_object('from', 'h' || i, 'to', format('{{ event.%s || none }}', p)) ORDER BY i) AS headers, string_agg(p, ' ' ORDER BY i) AS t
           FROM unnest(paths) WITH ORDINALITY u (p, i)) h,
  rswebhook_transform('{"userId": "u", "properties": {"a": {"b": 1, "c": [2], "zz": {}}, "x": {"y": "only"}, "j": {"k": {"l": 1}, "k.l": 2}, "e": {"": []}}, "z": 3}',
                      jsonb_build_object('webhookUrl', 'https://h.example.com', 'headers', headers)) r
GROUP BY n, r ORDER BY n;
-- a key with the dots in it is another one
SELECT try_config('{"a": {"b": {"c": 1}, "b.c": 2}}', jsonb_build_object('webhookUrl', 'https://h.example.com', 'headers',
    jsonb_build_array(jsonb_build_object('from', 'x', 'to', '{{ event.a.b || none }}'), jsonb_build_object('from', 'y', 'to', '{{ event.a || none }}'))));
SELECT try_config('{"a": {"b": {"c": 1}, "b.c": 2}}', jsonb_build_object('webhookUrl', 'https://h.example.com', 'headers',
    jsonb_build_array(jsonb_build_object('from', 'x', 'to', '{{ event.a.b.c || none }}'), jsonb_build_object('from', 'y', 'to', '{{ event.a.b.c || none }}'))));
SELECT try_config('{"a": {"b": {"c": 1}, "b.c": 2}}', jsonb_build_object('webhookUrl', 'https://h.example.com', 'headers',
    jsonb_build_array(jsonb_build_object('from', 'x', 'to', '{{ event.a.b || none }}'), jsonb_build_object('from', 'y', 'to', '{{ event.a.b.c || none }}'))));
-- what has nothing in it is used as it is, whatever is taken after it
SELECT count(*) FILTER (WHERE r #> '{headers,h1}' = jsonb_build_object(k, '{}'::jsonb)) AS whole, count(*) AS of
FROM generate_series(1, 200) n, LATERAL (SELECT repeat('k', n) AS k) k,
  rswebhook_transform(jsonb_build_object('x', jsonb_build_object(k, '{}'::jsonb), 'y', repeat('y', n), 'z', repeat('z', n), 'v', n),
                      '{"webhookUrl": "https://h.example.com", "headers": [{"from": "h0", "to": "{{ event.y || d }}"}, {"from": "h1", "to": "{{ event.x || d }}"},
                        {"from": "h2", "to": "{{ event.z || d }}"}, {"from": "h3", "to": "{{ event.v || d }}"}]}'::jsonb) r;
-- what a warehouse sync's event has as its timestamp is settled before a template looks at it, or takes the channel
SELECT e ->> 'type' AS type, path, r #> '{headers,a}' AS header, coalesce(r #> '{body,JSON}', r) AS body
FROM (VALUES ('{"type": "track", "channel": "sources", "timestamp": "OLD", "properties": {"timestamp": "T3", "n": 1}}'::jsonb,
        '{timestamp,properties.timestamp,channel,properties.n,context.nope}'::text[]),
    ('{"type": "identify", "channel": "sources", "context": {"traits": {"timestamp": "T3"}}}', '{timestamp,context.traits.timestamp,context.traits}'),
    ('{"type": "track", "channel": "sources", "context": {"mappedToDestination": true}, "timestamp": "OLD", "properties": {"timestamp": "T3"}}', '{timestamp,context.mappedToDestination}'),
    ('{"type": "track", "channel": "sources", "originalTimestamp": "", "timestamp": ""}', '{timestamp}'),
    ('{"type": "track", "channel": "server", "timestamp": "OLD", "properties": {"timestamp": "T3"}}', '{timestamp}'),
    ('{"type": "page", "channel": "sources", "timestamp": "OLD", "properties": {"timestamp": "T3"}}', '{timestamp}'),
    ('{"type": "track", "channel": "sources", "statusCode": 1, "timestamp": "OLD", "properties": {"timestamp": "T3"}}', '{timestamp}')) v (e, paths),
  unnest(paths) WITH ORDINALITY p (path, n), LATERAL rswebhook_transform(e, jsonb_build_object('webhookUrl', 'https://h.example.com',
    'headers', jsonb_build_array(jsonb_build_object('from', 'a', 'to', format('{{ event.%s || d }}', path))))) r;
-- a mapped one likewise
SELECT r #> '{headers,a}' AS header, r #> '{body,JSON}' AS body
FROM rswebhook_transform('{"type": "track", "channel": "sources", "timestamp": "OLD", "properties": {"timestamp": "T3"}}',
    '{"apiUrl": "https://h.example.com", "method": "POST", "format": "JSON", "isDefaultMapping": true, "headers": [{"to": "a", "from": "{{ event.channel || d }}"}]}'::jsonb) r;
DROP FUNCTION try, stored, try_config;
DROP TABLE given;
DELETE FROM rswebhook.destination;
