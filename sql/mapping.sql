-- Requests by mappings, as RudderStack's HTTP destination makes them.
\set VERBOSITY default

CREATE FUNCTION request(config jsonb, event jsonb DEFAULT NULL) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object('endpoint', CASE WHEN r ->> 'endpoint' <> 'https://e.com/v1' THEN r -> 'endpoint' END,
        'method', CASE WHEN r ->> 'method' <> 'POST' THEN r -> 'method' END,
        'headers', nullif((r -> 'headers') - 'Content-Type', '{}'), 'params', nullif(r -> 'params', '{}'),
        'body', (SELECT value FROM jsonb_each(r -> 'body') WHERE value <> '{}')))
    FROM rswebhook_transform(coalesce(event, '{"type": "track", "userId": "u 1/ä", "event": "Order Placed", "messageId": "m1",
            "context": {"traits": {"email": "a@b.c", "plan": null}},
            "properties": {"price": 60.50, "ok": false, "zero": 0, "none": null, "empty": "", "list": ["x", null, 3], "one": [{"sku": "Z"}],
                "first name": "F", "dot.key": "D", "note": "it''s <5 & \"6\"",
                "items": [{"sku": "A", "qty": 2, "tags": ["t1", "t2"]}, {"sku": "B", "tags": []}, {"qty": 1}]}}'),
        '{"apiUrl": "https://e.com/v1", "auth": "noAuth", "method": "POST", "format": "JSON"}' || config) AS r
$$;
CREATE FUNCTION body(VARIADIC pairs text[]) RETURNS jsonb LANGUAGE sql AS $$
    SELECT request(jsonb_build_object('propertiesMapping', (
        SELECT jsonb_agg(jsonb_build_object('to', pairs[i], 'from', pairs[i + 1])) FROM generate_series(1, array_length(pairs, 1), 2) AS i))) -> 'body'
$$;
CREATE FUNCTION failure(config jsonb, event jsonb DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
    hint text;
BEGIN
    RETURN 'no error: ' || request(config, event)::text;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN SQLSTATE || ': ' || concat_ws(' | ', SQLERRM, nullif(detail, ''), nullif(hint, ''));
END
$$;

-- what a path finds
SELECT body('a', '$.event', '$.b', '$.properties.price', '$.c', '$.properties.missing', '$.d', '$.properties.none', '$.e.f', '$.properties.missing');
SELECT path, body('a', path) -> 'a' AS found FROM unnest(ARRAY[
    '$.properties.items[*].sku', '$.properties.one[*].sku', '$..sku', '$.properties..qty', '$.missing..sku', '$.properties.items[?(@.qty>1)].sku', '$.properties.items[?(@.qty)].sku',
    '$.properties.items[?(@.sku == ''B'')].tags', '$.properties.items[?(@["sku"]==="A" && @.qty!=1)].qty', '$.properties.items[0:1].sku', '$.properties.items[1:].sku', '$.properties.items[:2].sku',
    '$.properties.items[-1].qty', '$.properties.items[-2:].sku', '$.properties.items[:-1].sku', '$.properties.items[-9].sku', '$.properties.items[0:0].sku', '$.properties.items[1].sku', '$.properties.items.length()',
    '$.properties["first name"]', '$.properties[''dot.key'']', '$.properties."dot.key"', '$.properties.*.sku', 'strict $.properties.items[0].sku', ' $.event', '$.properties.price * 2',
    '$.properties.items[*] ? (@.qty == 1 || @.sku starts with "B")', '$.properties.items ? (@.qty > 1).sku', '$.properties.price.type()', '$.properties.list', '$.properties.list[1]', '$.properties.zero', '$.properties.ok']) AS path;

-- a literal
SELECT literal, body('a', literal) -> 'a' AS made FROM unnest(ARRAY['lit', '''lit''', '', '''''', '5', 'true', 'null', ' a b ', '''it\''s''', '''cost $5''', '''a\\b''', 'C:\dir', '"x"', '@x']) AS literal;

-- to
SELECT body('$.a.b.c', 'x', 'a.b.d', 'y', '$[''a''][''e f'']', 'z', 'g-h', 'w', 'i[0]', 'v', '$.j[1]', 'u', '$.j[0].k', 't', '$."l m"', 's', 'é', 'r', '''n.o''', 'q');
SELECT body('$', '$.properties.items[0]', '$.extra', 'x', '$.sku', 'mine');
SELECT body('$.sku', 'mine', '$', '$.properties.items[0]');
SELECT body('$.a', '$.properties.items[0]', '$.a.new', 'x', '$.a.sku', 'y');
SELECT body('$.a', 'ab', '$.a.c', 'x', '$.l', '$.properties.list', '$.l[1]', 'y', '$.l[4]', 'z', '$.m', '$.properties.list', '$.m.n', 'x');
-- the first that is something
SELECT body('a', '$.properties.missing', 'a', '$.properties.empty', 'a', '$.event', 'a', 'last'), body('a', '$.properties.zero', 'a', '$.properties.missing'), body('a', '$.properties.zero', 'a', '$.properties.ok');
SELECT body('$.a.b', 'x', '$.a', 'y');

-- arrays by their elements
SELECT body('$.items[*].id', '$.properties.items[*].sku', '$.items[*].n', '$.properties.items[*].qty', '$.items[*].kind', 'product', '$.items[*].event', '$.event');
SELECT body('$.items[*].kind', 'product', '$.items[*].id', '$.properties.items[*].sku');
SELECT body('$.items[*].kind', 'product'), body('$.items[*].kind', '$.event'), body('$.items[*].id', '$.properties.missing[*].sku');
SELECT body('$.i[*].t[*].name', '$.properties.items[*].tags[*]'), body('$.i[*].t', '$.properties.items[*].tags[*]'), body('$.i[*]', '$.properties.items[*].sku');
SELECT body('$.i[*].id', '$.properties.items[?(@.qty)].sku'), body('$.i[*].id', '$.properties.items[*] ? (@.qty > 1).sku');

-- how many there are is what the list in "from" says, whoever comes first; alone, one
CREATE FUNCTION counted(items jsonb, VARIADIC pairs text[]) RETURNS jsonb LANGUAGE sql AS $$
    SELECT request(jsonb_build_object('propertiesMapping', (
        SELECT jsonb_agg(jsonb_build_object('to', pairs[i], 'from', pairs[i + 1])) FROM generate_series(1, array_length(pairs, 1), 2) AS i)),
        '{"type": "track", "userId": "u"}' || CASE WHEN items IS NULL THEN '{}' ELSE jsonb_build_object('items', items) END) -> 'body'
$$;
SELECT items, counted(items, '$.l[*].id', '$.items[*].s', '$.l[*].c', 'EUR') AS after,
    counted(items, '$.l[*].c', 'EUR', '$.l[*].id', '$.items[*].s') AS before, counted(items, '$.l[*].u', '$.userId', '$.l[*].id', '$.items[?(@.s > 0)].s') AS path,
    counted(items, '$.l[*].k', 'lit', '$.l[*].m[*].n', '$.items[*].s', '$.l[*].m[*].t', '$.items[*].t[*]') AS deep
    FROM unnest(ARRAY['[{"s": 1, "t": [1, 2]}, {"s": 2, "t": []}]', '[{"s": 1}]', '[{}, null, {"s": 2}]', '[]', 'null', '5']::jsonb[]) AS items;
SELECT counted('[{"s": 1}, {"s": null}]', '$.l[*].id', 'first', '$.l[*].id', '$.items[*].s') AS first, counted('[{"s": 1}, {"s": null}]', '$.l[*].id', '$.items[*].s', '$.l[*].id', 'last') AS last;
-- a [*] at the end of "to" is the list itself
SELECT items, counted(items, '$.l[*]', '$.items') AS whole, counted(items, '$.l[*]', '$.items[*]') AS each, counted(items, '$.l[*]', '$.items[*].s') AS one,
    counted(items, '$.l[*]', '$.items[*].t[*]') AS lists, counted(items, '$.l[*].m[*]', '$.items[*].t') AS within
    FROM unnest(ARRAY['[{"s": 1, "t": [1, 2]}, {"s": 2, "t": [3]}]', '[{"s": 1, "t": [1]}]', '[{"s": null}]', '[]', 'null', '5', '{"s": 1}']::jsonb[]) AS items;
-- what ends in [*], a slice, .* or a name that is looked for everywhere is a list, of however many
SELECT path, counted('[{"s": 1, "t": [1, 2]}, {"s": 2, "t": [3]}]', 'l', path) -> 'l' AS two, counted('[{"s": 1, "t": [1]}]', 'l', path) -> 'l' AS one,
    counted('[]', 'l', path) -> 'l' AS none, counted(NULL, 'l', path) -> 'l' AS absent
    FROM unnest(ARRAY['$.items[*]', ' $.items[*] ', '$.items[:-1]', '$.items[0:1]', '$.items[0,1]', '$.items[*].t[*]', '$.items[*].t[1:]', '$.items.*', '$.items[*].*', '$.*', '$..s', '$..t', '$.items..t', '$..[''s'']', '$..items[*]', '$.items[*][*]',
    '$.items[*].s', '$.items[?(@.s > 0)]', '$.items[0]', '$.items[-1]', '$.items[*].t', '$..t.x']) AS path;
SELECT counted('{"a": "v", "b": [1, [2]], "c": null}', 'l', '$.items.*') AS members, counted('[null, {"a": null}, [null]]', 'l', '$.items[*]', 'a', '$.items[*].a') AS nulls;
-- as strings, of all that can be one, whatever the version
SELECT counted('[{"s": 60.50, "t": [1, true]}, {"s": "x", "t": [null]}, {"s": null}]', '$.l[*].v', '$.items[*].s.string()', 'a', '$.items[*].t[*].string()', 'b', '$.items[0].s.string()', 'c', '$..s.string()', 'd', '$.none.string()');
SELECT failure('{"propertiesMapping": [{"to": "l", "from": "$.items.string()"}]}', '{"items": [{"s": 1}]}'), request('{"headers": [{"to": "X-N", "from": "$.n.string()"}]}', '{"n": 5}') -> 'headers' AS headers;
-- but a part of a URL's path is the first
SELECT request('{"pathParams": [{"path": "$.items[*]"}, {"path": "$..a"}]}', '{"items": ["x", "y"], "b": {"a": 5}}') -> 'endpoint' AS endpoint;
SELECT failure('{"propertiesMapping": [{"to": "l", "from": "$..a..b"}]}'), failure('{"headers": [{"to": "X-L", "from": "$.items[*]"}]}', '{"items": ["x"]}');

-- nulls go, but not from arrays; what is empty is not sent
SELECT request('{"isDefaultMapping": true}', '{"a": null, "b": {"c": null, "d": [null, {"e": null}]}, "f": [], "g": "", "constructor": 1, "fullPath": "/x", "header": {"x": "y"}, "statusCode": 200}');
SELECT request('{"isDefaultMapping": false}'), request('{"propertiesMapping": []}'), request('{"propertiesMapping": [{"to": "", "from": "x"}, {"to": "a"}, {"from": "x"}, {"to": null, "from": "x"}]}');
SELECT rswebhook.wire('{"a": 1}', '{"apiUrl": "https://e.com/v1", "method": "POST"}'::jsonb) ->> 'body' IS NULL AS nothing_sent;
-- of a warehouse's events, the time
SELECT request('{"propertiesMapping": [{"to": "t", "from": "$.timestamp"}]}', '{"type": "track", "channel": "sources", "properties": {"timestamp": "T1"}, "timestamp": "T2"}');

-- headers
SELECT request('{"headers": [{"to": "X-A", "from": "lit"}, {"to": "X-B", "from": "$.userId"}, {"to": "X-C", "from": "$.missing"}, {"to": "X-D", "from": ""}, {"to": "X-A", "from": "second"},
    {"to": "x-a", "from": "third"}, {"to": "Content-Type", "from": "text/plain"}, {"to": "content-type", "from": "text/plain"}, {"to": "''X.Dot''", "from": "v"}]}') -> 'headers';
SELECT h, request(jsonb_build_object('headers', h)) -> 'headers' AS headers FROM unnest(ARRAY['null', '[]', 'false', '0', '""']::jsonb[]) AS h;
SELECT header, failure(jsonb_build_object('headers', jsonb_build_array(header))) FROM unnest(ARRAY[
    '{"to": "X-N", "from": "$.properties.price"}', '{"to": "X-N", "from": "$.properties.list"}', '{"to": "X-N", "from": "$.context"}', '{"to": "X-N", "from": "$.properties.ok"}',
    '{"to": "X.Dot", "from": "v"}', '{"to": "$.X[0]", "from": "v"}', '{"to": "$", "from": "$"}']::jsonb[]) AS header;

-- authentication
SELECT auth, request(auth) -> 'headers' AS headers FROM unnest(ARRAY[
    '{"auth": "basicAuth", "username": "us:er", "password": "pä:ss"}', '{"auth": "basicAuth", "username": "u"}', '{"auth": "basicAuth", "username": "u", "password": null}',
    '{"auth": "bearerTokenAuth", "bearerToken": "tok en"}', '{"auth": "apiKeyAuth", "apiKeyName": "X-Key", "apiKeyValue": "v"}', '{"auth": "other", "username": "u"}', '{"auth": null}',
    '{"auth": "bearerTokenAuth", "bearerToken": "t", "headers": [{"to": "Authorization", "from": "mine"}]}', '{"auth": "bearerTokenAuth", "bearerToken": "t", "headers": [{"to": "authorization", "from": "mine"}]}']::jsonb[]) AS auth;
SELECT auth, failure(auth) FROM unnest(ARRAY[
    '{"auth": "basicAuth"}', '{"auth": "basicAuth", "username": ""}', '{"auth": "bearerTokenAuth"}', '{"auth": "bearerTokenAuth", "bearerToken": null}', '{"auth": "apiKeyAuth", "apiKeyValue": "v"}', '{"auth": "apiKeyAuth", "apiKeyName": "n"}',
    '{"apiUrl": null}', '{"apiUrl": ""}', '{"apiUrl": 0}']::jsonb[]) AS auth;

-- a query, with any method, and nothing else of the event in it
SELECT request('{"method": "GET", "queryParams": [{"to": "k", "from": "$.userId"}, {"to": "n", "from": "$.properties.price"}, {"to": "l", "from": "$.properties.list"}, {"to": "a b", "from": "x y"}, {"to": "f[0]", "from": "v"},
    {"to": "o.p", "from": "$.properties.ok"}, {"to": "m", "from": "$.missing"}, {"to": "z", "from": "$.properties.none"}, {"to": "k", "from": "second"}]}');
SELECT rswebhook.wire('{"type": "track", "userId": "ü&", "properties": {"l": [1, null], "n": 1e6}}', '{"apiUrl": "https://e.com/v1?z=0", "method": "GET", "queryParams": [{"to": "k", "from": "$.userId"}, {"to": "l", "from": "$.properties.l"}, {"to": "n", "from": "$.properties.n"}, {"to": "o", "from": "$.properties"}]}'::jsonb) -> 'url';

-- a path
SELECT parts, request(jsonb_build_object('pathParams', parts)) -> 'endpoint' AS endpoint FROM unnest(ARRAY[
    '[{"path": "users"}, {"path": "$.userId"}]', '["users"]', '[{"path": "$.properties.price"}]', '[{"path": "$.properties.ok"}]', '[{"path": ""}]', '[{"path": "$.properties.empty"}, {"path": "x"}]', '[{"path": "$.properties.list"}]', '[{"path": "$.context"}]',
    '[{"path": ".."}]', '[{"path": "it''s(a)!*~"}]', '[{"path": "$.properties.items[*].sku"}]', '[{"path": "$.properties.items[1].sku"}]', '[{"path": "$..sku"}]', '{}', 'null', '[]']::jsonb[]) AS parts;
SELECT url, request(jsonb_build_object('apiUrl', url, 'pathParams', '[{"path": "a"}]'::jsonb)) -> 'endpoint' AS endpoint FROM unnest(ARRAY[
    'https://e.com', 'https://e.com/', 'https://e.com//v1//', 'https://e.com/v1?q=1//2', 'https://e.com/v1?u=http://x', 'https://e.com/v1#f', 'https://e.com?q', 'no url']) AS url;
SELECT part, failure(jsonb_build_object('pathParams', jsonb_build_array(part))) FROM unnest(ARRAY['{"path": "a/b"}', '{"path": "$.userId/"}', '{"path": "$.missing"}', '{"path": "$.properties.none"}', '{}', '{"path": 5}', 'null', '{"path": "cost$5"}', '{"path": "$["}', '{"path": "$."}']::jsonb[]) AS part;

-- forms and XML
SELECT request('{"format": "FORM", "isDefaultMapping": true}', '{"s": "a b&c=d", "n": 1e21, "t": 1e-7, "b": true, "z": null, "o": {"x": null, "y": 1.50}, "l": [null, 1]}') -> 'body';
SELECT w -> 'body' AS body, w #> '{headers,Content-Type}' AS type FROM rswebhook.wire('{"z": "ä b&c=d", "a": {"y": [1, null]}, "é": true, "bb": ""}', '{"apiUrl": "https://e.com/v1", "format": "FORM", "method": "PUT", "isDefaultMapping": true}'::jsonb) AS w;
SELECT request('{"format": "XML", "isDefaultMapping": true}', event) #>> '{body,payload}' AS xml FROM unnest(ARRAY[
    '{"a": "x", "b": {"c": 1.50, "d": true}}', '{"a": [1, null, "", {}, [2, [3]]], "e": [], "f": {}, "g": ""}', '{"a b": 1, "1x": 2, "-y": 3, "ä": 4, "a:b": 5, ".z": 6, "_q": 7, "": 8, "😀": 9, "@_r": 10, "#text": 11, "?xml": 12}',
    '{"a b": 1, "a_b": 2}', '{"a": "<&>\"''", "b": "]]>", "c": "&amp;", "d": "l\nt\tr\r", "e": "\u0001\u001f\ufffe\uffff\u007f"}', '{"a": null}', '{"a": []}', '{"a": 1e21}']::jsonb[]) AS event;
SELECT root, failure(jsonb_build_object('format', 'XML', 'xmlRootKey', root, 'propertiesMapping', '[{"to": "a", "from": "x"}]'::jsonb)) FROM unnest(ARRAY['"order"', 'null', '"ä-1.x"', '""', '"a b"', '"1x"', '"a:b"', '"a>"', '"-a"', '5']::jsonb[]) AS root;
SELECT w -> 'body' AS body, w #> '{headers,Content-Type}' AS type FROM rswebhook.wire('{"a": "ä"}', '{"apiUrl": "https://e.com/v1", "format": "XML", "method": "DELETE", "isDefaultMapping": true}'::jsonb) AS w;
SELECT rswebhook_transform('{"a": 1}', jsonb '{"apiUrl": "https://e.com/v1", "format": "TEXT", "isDefaultMapping": true}') -> 'body';
SELECT rswebhook.wire('{"a": 1}', '{"apiUrl": "https://e.com/v1", "format": "TEXT", "isDefaultMapping": true}'::jsonb);
SELECT rswebhook.wire('{"a": 1}', '{"apiUrl": "https://e.com/v1", "method": "HEAD", "isDefaultMapping": true}'::jsonb);

-- templates come first, and what an event says is a value, whatever it looks like
SELECT request('{"apiUrl": "{{ event.u || https://e.com/d }}", "isDefaultMapping": true, "headers": [{"to": "X-A", "from": "{{ event.a || x }}"}, {"to": "X-B", "from": "{{ event.missing || $.userId }}"}],
    "pathParams": [{"path": "{{ event.p || none }}"}]}', '{"a": "$.it''s", "p": "a/b", "userId": "u"}');
SELECT request('{"propertiesMapping": [{"to": "n", "from": "{{ event.n || 5 }}"}, {"to": "d", "from": "{{ event.d || 5 }}"}, {"to": "o", "from": "{{ event.o || 5 }}"}]}', '{"n": 7, "o": {"$": "$.n"}}');

-- what cannot be used, or not with this event
SELECT mapping, failure(jsonb_build_object('propertiesMapping', mapping)) FROM unnest(ARRAY[
    '{}', '5', '"x"', '[5]', '[null]', '[{"to": 5, "from": "x"}]', '[{"to": "a", "from": 5}]', '[{"to": "a", "from": null}]', '[{"to": "a", "from": "it''s"}]', '[{"to": "a", "from": "''a''b''"}]', '[{"to": "a", "from": "price: $5"}]', '[{"to": "a", "from": "''x'' + $.event"}]',
    '[{"to": "$.a-b", "from": "x"}]', '[{"to": "$.1a", "from": "x"}]', '[{"to": "a.b c", "from": "x"}]', '[{"to": "$a", "from": "x"}]', '[{"to": "$.a[", "from": "x"}]', '[{"to": "$.a[-1]", "from": "x"}]', '[{"to": "$.a[1000]", "from": "x"}]', '[{"to": "$[0]", "from": "x"}]', '[{"to": "$.*", "from": "$"}]', '[{"to": "$.a..b", "from": "$"}]',
    '[{"to": "a", "from": "$foo"}]', '[{"to": "a", "from": "$.a == $.**"}]', '[{"to": "a", "from": "$.**.a.**"}]', '[{"to": "a", "from": "$.properties.items[?(@.qty>1].sku"}]', '[{"to": "a", "from": "$.properties.note.abs()"}]', '[{"to": "a", "from": "strict $.missing"}]', '[{"to": "a", "from": "$.properties.price / 0"}]',
    '[{"to": "a", "from": "$.properties.price"}, {"to": "a.b", "from": "x"}]', '[{"to": "a.b", "from": "x"}, {"to": "$.a[0]", "from": "x"}]', '[{"to": "$.a[0]", "from": "x"}, {"to": "$.a.b", "from": "x"}]', '[{"to": "a", "from": "secret"}, {"to": "$.a[0]", "from": "secret"}]']::jsonb[]) AS mapping;
SELECT failure(jsonb_build_object('propertiesMapping', (SELECT jsonb_agg(jsonb_build_object('to', 'a' || i, 'from', 'x')) FROM generate_series(1, 201) i)));
SELECT failure(jsonb_build_object('propertiesMapping', jsonb_build_array(jsonb_build_object('to', repeat('a', 1025), 'from', 'x'), jsonb_build_object('to', 'a', 'from', 'x'))));
SELECT failure(jsonb_build_object('propertiesMapping', jsonb_build_array(jsonb_build_object('to', 'a', 'from', repeat('x', 8193)))));
SELECT failure(jsonb_build_object('propertiesMapping', jsonb_build_array(jsonb_build_object('to', 'a' || repeat('.a', 32), 'from', 'x'))));

-- bounds: time, and all that is mapped
SELECT failure('{"propertiesMapping": [{"to": "a", "from": "$.a[*] ? (exists($.a[*] ? (@ == \"x\")))"}]}', jsonb_build_object('a', (SELECT jsonb_agg(i) FROM generate_series(1, 5000) i)));
DO $$
DECLARE
    large jsonb := jsonb_build_object('a', repeat('x', 2500000));
    many jsonb := jsonb_build_object('a', (SELECT jsonb_agg('{}'::jsonb) FROM generate_series(1, 500)));
    spread jsonb;
BEGIN
    PERFORM rswebhook.wire(large, '{"apiUrl": "https://e.com/v1", "propertiesMapping": [{"to": "a", "from": "$.a"}]}'::jsonb);
    BEGIN
        PERFORM rswebhook.wire(large, '{"apiUrl": "https://e.com/v1", "propertiesMapping": [{"to": "a", "from": "$.a"}, {"to": "b", "from": "$.a"}]}'::jsonb);
    EXCEPTION WHEN OTHERS THEN
        RAISE NOTICE '% %', SQLSTATE, SQLERRM;
    END;
    BEGIN
        PERFORM rswebhook.wire(many, '{"apiUrl": "https://e.com/v1", "propertiesMapping": [{"to": "$.a[*].b[999].c", "from": "$.a[*]"}]}'::jsonb);
    EXCEPTION WHEN OTHERS THEN
        RAISE NOTICE '% %', SQLSTATE, SQLERRM;
    END;
    -- each character, element and member that is spread takes much more than its bytes, and a literal goes to many
    FOREACH spread IN ARRAY ARRAY[jsonb_build_object('s', repeat('x', 40000)), jsonb_build_object('s', repeat('x', 900000)),
        jsonb_build_object('s', (SELECT jsonb_agg(i) FROM generate_series(1, 60000) i)), jsonb_build_object('s', (SELECT jsonb_object_agg(i, i) FROM generate_series(1, 60000) i))] LOOP
        BEGIN
            RAISE NOTICE '% members', (SELECT count(*) FROM jsonb_object_keys((rswebhook.wire(spread,
                '{"apiUrl": "https://e.com/v1", "propertiesMapping": [{"to": "$.a", "from": "$.s"}, {"to": "$.a.b", "from": "x"}]}'::jsonb) ->> 'body')::jsonb -> 'a'));
        EXCEPTION WHEN OTHERS THEN
            RAISE NOTICE '% %', SQLSTATE, SQLERRM;
        END;
    END LOOP;
    BEGIN
        PERFORM rswebhook.wire(many, jsonb_build_object('apiUrl', 'https://e.com/v1', 'propertiesMapping', jsonb_build_array('{"to": "$.a[*].b", "from": "$.a[*]"}'::jsonb) ||
            (SELECT jsonb_agg(jsonb_build_object('to', '$.a[*].c' || i, 'from', repeat('x', 8000))) FROM generate_series(1, 50) i)));
    EXCEPTION WHEN OTHERS THEN
        RAISE NOTICE '% %', SQLSTATE, SQLERRM;
    END;
    -- six bytes of XML for each
    PERFORM rswebhook.wire(jsonb_build_object('a', repeat('"', 1000000)), '{"apiUrl": "https://e.com/v1", "format": "XML", "propertiesMapping": [{"to": "a", "from": "$.a"}]}'::jsonb);
EXCEPTION WHEN OTHERS THEN
    RAISE NOTICE '% %', SQLSTATE, SQLERRM;
END
$$;

-- stored: the columns
INSERT INTO rswebhook.destination (name, url, paused, method, headers, auth_type, auth_token, header_mapping, query_mapping, path_parts, body_mapping, format, xml_root)
    VALUES ('mapped', 'https://e.com/v1?s3cret=1', true, 'PUT', '{"X-Static": "cost $5"}', 'bearer', 's3cret-token',
        '[{"to": "X-Event", "from": "$.event"}, {"to": "X-Key", "from": "s3cret-header"}]', '[{"to": "user", "from": "$.userId"}, {"to": "key", "from": "s3cret-query"}]',
        '["users", "$.userId"]', '[{"to": "$.order.name", "from": "$.event"}, {"to": "routing_key", "from": "s3cret-body"}]', 'xml', 'order');
SELECT rswebhook_transform('{"type": "track", "userId": "u/1", "event": "E", "header": {"x-a": "b"}, "fullPath": "https://evil.example/", "statusCode": 200}', 'mapped');
INSERT INTO rswebhook.destination (name, url, paused, method, format) VALUES ('plain form', 'https://e.com/v1', true, 'GET', 'form');
SELECT rswebhook_transform('{"type": "track", "properties": {"a": null, "b": 1}, "context": null}', 'plain form');
INSERT INTO rswebhook.destination (name, url, paused, headers, body_mapping) VALUES ('own type', 'https://e.com/v1', true, '{"Content-Type": "application/cloudevents+json"}', '[]');
SELECT r -> 'headers' AS headers, r -> 'body' AS body FROM rswebhook_transform('{"type": "track"}', 'own type') AS r;
INSERT INTO rswebhook.destination (name, url, paused, body_mapping, header_mapping) VALUES ('templates', 'https://e.com/v1', true,
    '[{"to": "name", "from": "{{ event.name || nobody }}"}, {"to": "rest", "from": "$"}]', '[{"to": "X-Id", "from": "{{ event.id || s3cret-id }}"}]');
SELECT r -> 'headers' AS headers, r #> '{body,JSON}' AS body FROM unnest(ARRAY['{"name": "$.it''s", "a": 1}', '{"id": "i"}']::jsonb[]) AS e, rswebhook_transform(e, 'templates') AS r;

-- to those who may not read the columns, what the destination itself says is masked
CREATE ROLE mapping_reader;
SELECT rswebhook.grant_sender('mapping_reader');
SET ROLE mapping_reader;
SELECT rswebhook_transform('{"type": "track", "userId": "u/1", "event": "E"}', 'mapped');
SELECT r -> 'headers' AS headers, r #> '{body,JSON}' AS body FROM unnest(ARRAY['{"name": "n"}', '{"id": "i"}']::jsonb[]) AS e, rswebhook_transform(e, 'templates') AS r;
RESET ROLE;

-- refused
CREATE FUNCTION refusal(columns text, VARIADIC given text[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
    hint text;
BEGIN
    EXECUTE format('INSERT INTO rswebhook.destination (name, url, paused, %s) VALUES (''refused'', ''https://e.com/'', true, %s)',
        columns, (SELECT string_agg(quote_literal(value), ', ' ORDER BY n) FROM unnest(given) WITH ORDINALITY AS v (value, n)));
    DELETE FROM rswebhook.destination WHERE name = 'refused';
    RETURN 'accepted';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN SQLSTATE || ': ' || concat_ws(' | ', SQLERRM, nullif(detail, ''), nullif(hint, ''));
END
$$;
SELECT refusal('body_mapping', '[{"to": "a", "from": "s3cret''"}]'), refusal('body_mapping', '[{"to": "a-b", "from": "x"}, {"to": "$.a-b", "from": "x"}]'), refusal('body_mapping', '[{"to": "a", "from": "$.b["}]'),
    refusal('body_mapping', '{"to": "a"}'), refusal('body_mapping', '"s3cret"'), refusal('body_mapping', 'null'), refusal('body_mapping', '[{"to": "{{ event.a || b }}", "from": "x"}]'), refusal('body_mapping', '[]') \gx
SELECT refusal('header_mapping', '[{"to": "Host", "from": "x"}]'), refusal('header_mapping', '[{"to": "webhook-id", "from": "x"}]'), refusal('header_mapping', '[{"to": "a b", "from": "x"}]'), refusal('header_mapping', '[{"to": "X-A", "from": "a\nb"}]'),
    refusal('header_mapping', '[{"to": "a.b", "from": "x"}]'), refusal('header_mapping, headers', '[{"to": "X-A", "from": "$.a"}]', '{"x-a": "b"}'), refusal('header_mapping, auth_type, auth_token', '[{"to": "Authorization", "from": "$.a"}]', 'bearer', 's3cret'),
    refusal('header_mapping', '[{"to": "X-A", "from": "$.a"}, {"to": "X-A", "from": "default"}]') \gx
SELECT refusal('path_parts', '["a/b"]'), refusal('path_parts', '[{"path": "$.a"}, "b"]'), refusal('path_parts', '[5]'), refusal('query_mapping', '[{"to": "a", "from": "$.**.b.**"}]'),
    refusal('format', 'JSON'), refusal('xml_root', 'a'), refusal('format, xml_root', 'xml', '1a'), refusal('format, xml_root', 'xml', 'ä') \gx
-- what is no path is not quoted, whatever it begins with
SELECT count(*) AS refused, count(*) FILTER (WHERE r ~ 's3cr') AS quoted FROM unnest(ARRAY['$$s3cr', '$-s3cr', '$.s3cr[', '$s3cr', '$.a."s3cr', '$.s3cr s3cr', '$.a.s3cr()', '$.a[s3cr]']) AS text,
    LATERAL (VALUES (jsonb_build_array(jsonb_build_object('to', 'X-A', 'from', text))::text), (jsonb_build_array(text)::text)) AS g (given),
    refusal(CASE WHEN given LIKE '[{"to"%' THEN 'header_mapping' ELSE 'path_parts' END, given) AS r WHERE r LIKE '%It has a "$" in it%';
-- nor is what RudderStack has in an environment, or takes from an event, sent as it is written
SELECT refusal('header_mapping', '[{"to": "X-A", "from": "env.s3cret"}]'), refusal('query_mapping', '[{"to": "a", "from": "x"}, {"to": "b", "from": " env.s3cret "}]'),
    refusal('body_mapping', '[{"to": "$.a.b", "from": "env.s3cret"}]'), refusal('path_parts', '["a", "env.s3cret"]'), refusal('body_mapping', '[{"to": "a", "from": "''env.x''"}, {"to": "env.b", "from": "my env.x"}]'),
    refusal('auth_type, auth_token', 'bearer', '{{ event.a || s3cret }}'), refusal('auth_type, auth_token', 'api_key', '{{ event.a || s3cret }}'), refusal('auth_type, auth_username, auth_password', 'basic', ' {{event.a||s3cret}} ', 'p'),
    refusal('auth_type, auth_username, auth_password', 'basic', 'u', '{{ message.a || s3cret }}'), refusal('auth_type, auth_token, auth_header', 'api_key', 's3cret', '{{ event.a || X-Key }}'),
    refusal('auth_type, auth_username, auth_password', 'basic', 'env.USER', 'p'), refusal('auth_type, auth_token, auth_header', 'api_key', 's3cret', 'env.NAME'), refusal('headers', '{"env.NAME": "x"}'),
    refusal('auth_type, auth_token', 'bearer', 'env.no name'), refusal('auth_type, auth_token', 'bearer', ' env.NAME '), refusal('auth_type, auth_username, auth_password', 'basic', '{{ event.a }}', 'env.'), refusal('headers', '{"X-A": "env.NAME"}') \gx
DELETE FROM rswebhook.destination WHERE name IN ('mapped', 'plain form', 'own type', 'templates');
DROP OWNED BY mapping_reader;
DROP ROLE mapping_reader;
DROP FUNCTION refusal, failure, body, request;

-- of names that differ in case, the later in the list is stored last, and sent
INSERT INTO rswebhook.destination (name, url, header_mapping) VALUES ('cased', 'https://e.com/', '[{"to": "x-a", "from": "1"}, {"to": "X-A", "from": "2"}, {"to": "X-B", "from": "3"}, {"to": "x-b", "from": "4"}, {"to": "x-b", "from": "5"}]');
SELECT rswebhook_transform('{"type": "track"}', 'cased'::text) -> 'headers' AS headers;
DELETE FROM rswebhook.destination WHERE name = 'cased';

-- slashes: a run becomes one, and two behind a colon
SELECT url, rswebhook_transform('{}', jsonb_build_object('apiUrl', url, 'auth', 'noAuth', 'method', 'POST', 'format', 'JSON', 'pathParams', parts)) -> 'endpoint' AS endpoint
    FROM unnest(ARRAY['https://e.com/go/https://other.example/x', 'https://e.com//a:///b//', 'https://e.com/a:/b:', 'https://e.com//', 'https://e.com/a//b?u=http://x//y']) AS url, unnest(ARRAY['[]', '[{"path": "p"}, {"path": ""}]']::jsonb[]) AS parts;
