# Random events and configurations through the SQL functions, and random answers
# through the worker: nothing crashes, nothing grows, and what comes out is
# always valid.
#
# RSWEBHOOK_FUZZ says how many events (4000; a tenth as many answers, at most
# 3000), and RSWEBHOOK_FUZZ_SEED by which chance.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Test::More;
use Time::HiRes qw(time);

my $events = $ENV{RSWEBHOOK_FUZZ} // 4000;
my $answers = $events < 30_000 ? int($events / 10) : 3000;
my $seed = $ENV{RSWEBHOOK_FUZZ_SEED} // $$;
my $batch = 1000;
my $allowed_growth = $ENV{RSWEBHOOK_SANITIZED} ? 65536 : 3072;

note("seed $seed");
my $receiver = new_receiver();
my $node = new_node('fuzz');
add_destination($node, 'all', $receiver->url('/ok'), { ordered => 0 });
my $pids = worker_pids($node);

query($node, q{
CREATE FUNCTION one_of(VARIADIC choices text[]) RETURNS text LANGUAGE sql VOLATILE AS
$$ SELECT choices[1 + floor(random() * array_length(choices, 1))::int] $$;

-- strings with what is special somewhere: in JSON, URLs, headers, UTF-8
CREATE FUNCTION random_string() RETURNS text LANGUAGE sql VOLATILE AS
$$ SELECT coalesce(string_agg(one_of('a', 'Z', '0', ' ', '"', '\\', '/', '%', '&', '=', '+', '?', '#', '.',
        '[', ']', '{', '}', ':', ';', ',', '$', '@', '~', '<', E'\n', E'\r', E'\t', E'\x01', E'\x1f', E'\x7f',
        'é', 'ß', '日', '😀', E'\u2028', E'\u0085', E'\ufeff', 'http://', 'null'), ''), '')
    FROM generate_series(1, floor(random() * random() * 24)::int) $$;

-- usually something that can be sent in a header
CREATE FUNCTION random_text() RETURNS text LANGUAGE sql VOLATILE AS
$$ SELECT CASE WHEN random() < 0.1 THEN random_string()
    ELSE btrim(regexp_replace(random_string(), '[\x01-\x1f\x7f]', '', 'g')) END $$;

CREATE FUNCTION random_number() RETURNS jsonb LANGUAGE sql VOLATILE AS
$$ SELECT one_of('0', '-0', '0.0', '1e6', '1.10', '-1e-7', '12345678901234567890123', '1e300', '1e-300', '0.1',
        (random() * 1e6)::text, floor(random() * 1e9)::text)::jsonb $$;

-- what is small, or not that small, and would come to a lot
CREATE FUNCTION hostile_value() RETURNS jsonb LANGUAGE plpgsql VOLATILE AS
$$
DECLARE
    n int := 10 ^ (random() * 4);
BEGIN
    CASE floor(random() * 9)
    WHEN 0 THEN
        RETURN (SELECT jsonb_agg(one_of('1e131071', '-1e131071', '1e-16383', '1e98', '1e100', '9e99')::jsonb)
            FROM generate_series(1, n / 10 + 1));
    WHEN 1 THEN
        RETURN repeat('9', n)::jsonb;
    WHEN 2 THEN
        RETURN ('-0.' || repeat('0', n) || '1')::jsonb;
    WHEN 3 THEN
        RETURN to_jsonb(repeat(one_of(E'\x01', '"', '\\', E'\x7f', E'\u2028', '😀', '%', '\ud800', '\u0000', '\x80'), n));
    WHEN 4 THEN
        RETURN (repeat('[', n / 8 + 1) || '1e3' || repeat(']', n / 8 + 1))::jsonb;
    WHEN 5 THEN
        RETURN (repeat('{"a":', n / 8 + 1) || '[true, null]' || repeat('}', n / 8 + 1))::jsonb;
    WHEN 6 THEN
        RETURN jsonb_build_object(repeat(one_of('k', '%', E'\x01', 'é', '.', '['), n),
            (SELECT jsonb_agg(i % 2 = 0) FROM generate_series(1, 1 + n / 50) i));
    WHEN 7 THEN
        RETURN (SELECT jsonb_object_agg(random_string() || i, random_number()) FROM generate_series(1, n / 10 + 1) i);
    ELSE
        RETURN (SELECT jsonb_agg('[{}, [], "", {"": ""}]'::jsonb) FROM generate_series(1, n / 10 + 1));
    END CASE;
END
$$;

CREATE FUNCTION random_value(depth int) RETURNS jsonb LANGUAGE plpgsql VOLATILE AS
$$
DECLARE
    result jsonb;
    kind float := random();
BEGIN
    IF depth <= 0 OR kind < 0.5 THEN
        RETURN CASE WHEN random() < 0.5 THEN to_jsonb(random_string())
            WHEN random() < 0.6 THEN random_number()
            ELSE one_of('true', 'false', 'null', '{}', '[]', '""')::jsonb END;
    ELSIF kind < 0.75 THEN
        result := '[]';
        FOR i IN 1 .. floor(random() * 5) LOOP
            result := result || jsonb_build_array(random_value(depth - 1));
        END LOOP;
    ELSE
        result := '{}';
        FOR i IN 1 .. floor(random() * 5) LOOP
            result := result || jsonb_build_object(random_string(), random_value(depth - 1));
        END LOOP;
    END IF;
    RETURN result;
END
$$;

CREATE FUNCTION random_event() RETURNS jsonb LANGUAGE plpgsql VOLATILE AS
$$
DECLARE
    result jsonb := '{}';
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['type', 'userId', 'anonymousId', 'messageId', 'event', 'traits', 'properties',
            'context', 'fullPath', 'appendPath', 'header', 'integrations', 'statusCode'] LOOP
        CONTINUE WHEN random() < 0.4 OR name = 'fullPath' AND random() < 0.7 OR name = 'statusCode' AND random() < 0.9;
        result := result || jsonb_build_object(name, CASE
            WHEN random() < 0.01 THEN hostile_value()
            WHEN name = 'header' AND random() < 0.01 THEN jsonb_build_object('x-a', hostile_value())
            WHEN random() < 0.05 THEN random_value(3)
            WHEN name = 'type' THEN to_jsonb(one_of('track', 'identify', 'page', ' Track ', 'group', ''))
            WHEN name IN ('traits', 'properties', 'context') THEN jsonb_build_object('a', random_value(4),
                random_string(), random_value(3), 'traits', random_value(2))
            WHEN name = 'fullPath' THEN to_jsonb(one_of('http://127.0.0.1/', 'https://example.com/a?b=c#d') || random_text())
            WHEN name = 'appendPath' THEN to_jsonb(random_text())
            WHEN name = 'header' THEN jsonb_build_object(one_of('X-C', 'x-b', 'Accept', random_text()), random_text(), 'X-A', random_text())
            ELSE to_jsonb(random_string()) END);
    END LOOP;
    RETURN result || jsonb_build_object(random_string(), random_value(5));
END
$$;

CREATE FUNCTION random_config() RETURNS jsonb LANGUAGE sql VOLATILE AS
$$ SELECT jsonb_build_object(
    'webhookUrl', CASE WHEN random() < 0.9 THEN to_jsonb(one_of('http://127.0.0.1:9/', 'https://example.com/x?y=z&', 'http://[::1]/')
        || CASE WHEN random() < 0.2 THEN random_text() ELSE '' END) ELSE random_value(1) END,
    'webhookMethod', CASE WHEN random() < 0.95 THEN to_jsonb(one_of('POST', 'PUT', 'PATCH', 'GET', 'DELETE')) ELSE random_value(1) END,
    'headers', CASE WHEN random() < 0.95 THEN jsonb_build_array(
        jsonb_build_object('from', one_of('X-B', 'Authorization', '', 'x-a'), 'to', random_text()))
        ELSE random_value(3) END) $$;

-- paths that find something now and then, and some that are none
CREATE FUNCTION random_from() RETURNS jsonb LANGUAGE sql VOLATILE AS
$$ SELECT CASE WHEN random() < 0.02 THEN random_value(2) WHEN random() < 0.2 THEN to_jsonb(random_text())
    WHEN random() < 0.1 THEN to_jsonb('$' || random_string())
    WHEN random() < 0.1 THEN to_jsonb('{{ event.' || one_of('traits.a', 'properties.a', 'type', 'userId') || ' || ' || one_of('$.type', 'x', '') || ' }}')
    ELSE to_jsonb(one_of('$', '$.type', '$.properties', '$.properties.a', '$.traits.*', '$.context[*]', '$..a', '$.**', '$.properties.a[*]', '$.*[*]', '$.properties.a[0:2]', '$.traits[-1]',
        '$.properties[?(@.a > 1)]', '$.*.keyvalue()', '$.properties.a[*] ? (@ != null)', '$..*', '$.properties.a.double()', 'strict $.context.a', '$.traits.a * 2', '$.header[''X-A'']')
        || one_of('', '', '', '.length()', '[*]', '.type()', '[0]')) END $$;

CREATE FUNCTION random_to() RETURNS jsonb LANGUAGE sql VOLATILE AS
$$ SELECT CASE WHEN random() < 0.02 THEN random_value(2) WHEN random() < 0.1 THEN to_jsonb(random_string())
    ELSE to_jsonb(one_of('$', 'a', '$.a', '$.b', 'X-A', 'X-B', '$.a[0]', '$.a[7].b', '$.c[*]', '$.c[*].d', '$.c[*].d[*]', '$.e[''f g'']', '$.a.b.c', '$.h[*][*]')
        || one_of('', '', '', '.x', '[*].y', '[3]')) END $$;

CREATE FUNCTION random_mapping() RETURNS jsonb LANGUAGE sql VOLATILE AS
$$ SELECT CASE WHEN random() < 0.02 THEN random_value(2) ELSE
    (SELECT jsonb_agg(jsonb_build_object('to', random_to(), 'from', random_from())) FROM generate_series(1, 1 + floor(random() * 3)::int)) END $$;

CREATE FUNCTION random_header_mapping() RETURNS jsonb LANGUAGE sql VOLATILE AS
$$ SELECT CASE WHEN random() < 0.1 THEN random_mapping() ELSE
    jsonb_build_array(jsonb_build_object('to', one_of('X-A', 'x-b', '''X.C''', '$[''X-D'']'), 'from', random_from())) END $$;

CREATE FUNCTION random_http_config() RETURNS jsonb LANGUAGE sql VOLATILE AS
$$ SELECT jsonb_strip_nulls(jsonb_build_object(
    'apiUrl', CASE WHEN random() < 0.95 THEN to_jsonb(one_of('http://127.0.0.1:9/', 'https://example.com/x//z?y=z&', 'http://[::1]#f', '{{ event.fullPath || https://example.com }}')) ELSE random_value(1) END,
    'method', one_of('POST', 'PUT', 'PATCH', 'GET', 'DELETE'),
    'format', CASE WHEN random() < 0.95 THEN to_jsonb(one_of('JSON', 'FORM', 'XML')) ELSE random_value(1) END,
    'auth', one_of('noAuth', 'basicAuth', 'bearerTokenAuth', 'apiKeyAuth'), 'username', random_text(), 'password', random_text(), 'bearerToken', random_text(),
    'apiKeyName', one_of('X-Key', 'Authorization', random_text()), 'apiKeyValue', random_text(),
    'headers', CASE WHEN random() < 0.4 THEN random_header_mapping() END,
    'queryParams', CASE WHEN random() < 0.4 THEN random_mapping() END,
    'pathParams', CASE WHEN random() < 0.4 THEN jsonb_build_array(jsonb_build_object('path', random_from()), jsonb_build_object('path', random_from())) END,
    'isDefaultMapping', random() < 0.3, 'propertiesMapping', CASE WHEN random() < 0.9 THEN random_mapping() END,
    'xmlRootKey', CASE WHEN random() < 0.3 THEN to_jsonb(one_of('order', '_1', random_string())) END)) $$;

-- '' if the room takes it and the result is sound, an SQLSTATE of a clear
-- refusal, or what is wrong
-- as far as this server's parser goes, which is no more than so deep, if it has one
CREATE FUNCTION is_document(text text) RETURNS boolean LANGUAGE plpgsql AS
$$
DECLARE
    detail text;
BEGIN
    RETURN xmlparse(DOCUMENT text) IS DOCUMENT;
EXCEPTION WHEN feature_not_supported THEN
    RETURN true;
WHEN data_exception THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN detail LIKE '%Excessive depth%';
END
$$;

CREATE FUNCTION judge_mapped(event jsonb, request jsonb, wire jsonb) RETURNS text LANGUAGE plpgsql VOLATILE AS
$$
DECLARE
    body text := wire->>'body';
BEGIN
    IF body IS NULL THEN
        RETURN CASE WHEN request->'body' = '{"XML": {}, "FORM": {}, "JSON": {}, "JSON_ARRAY": {}}' THEN '' ELSE 'no body' END;
    ELSIF request #> '{body,XML}' <> '{}' THEN
        RETURN CASE WHEN body = request #>> '{body,XML,payload}' AND is_document(body) THEN '' ELSE 'XML: ' || body END;
    ELSIF request #> '{body,FORM}' <> '{}' THEN
        RETURN CASE WHEN body ~ '^([A-Za-z0-9_.~+-]|%[0-9A-F]{2})*=([A-Za-z0-9_.~+&=-]|%[0-9A-F]{2})*$' THEN '' ELSE 'form: ' || body END;
    END IF;
    RETURN CASE WHEN body::jsonb = request #> '{body,JSON}' AND body::jsonb = jsonb_strip_nulls(body::jsonb) THEN '' ELSE 'JSON: ' || body END;
END
$$;

CREATE FUNCTION judge(event jsonb, config jsonb) RETURNS text LANGUAGE plpgsql VOLATILE AS
$$
DECLARE
    request jsonb;
    wire jsonb;
    state text;
    header record;
BEGIN
    BEGIN
        request := rswebhook_transform(event, config);
        IF rswebhook_transform(event, config) IS DISTINCT FROM request THEN
            RETURN 'differs the second time';
        END IF;
        wire := rswebhook.wire(event, config);
    EXCEPTION WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE;
        RETURN CASE WHEN state LIKE '22%' OR state LIKE '54%' THEN state || ': refused: ' || regexp_replace(SQLERRM, '".*"', '"..."') ELSE state || ': ' || SQLERRM END;
    END;

    -- a host may have letters of any script, which is libcurl's to see to
    IF wire->>'url' !~ '^https?://[^\x01-\x20\x7f/?#]+[!-~]*$' THEN
        RETURN 'url: ' || (wire->>'url');
    END IF;
    IF config ? 'apiUrl' THEN
        RETURN judge_mapped(event, request, wire);
    END IF;
    IF wire->>'url' ~ '%(?![0-9A-Fa-f]{2})' AND wire->>'method' IN ('GET', 'DELETE')
            AND (request->>'endpoint') !~ '%' THEN
        RETURN 'encoding: ' || (wire->>'url');
    END IF;
    IF jsonb_typeof(wire->'headers') = 'object' THEN
        FOR header IN SELECT * FROM jsonb_each_text(wire->'headers') LOOP
            IF header.key !~ '^[!#$%&''*+.^_`|~0-9A-Za-z-]+$' OR header.value ~ '[\x01-\x08\x0a-\x1f\x7f]' THEN
                RETURN 'header: ' || header.key;
            END IF;
        END LOOP;
    END IF;
    IF wire->>'method' IN ('GET', 'DELETE') THEN
        IF wire->>'body' IS NOT NULL THEN
            RETURN 'a body with ' || (wire->>'method');
        END IF;
    ELSIF (wire->>'body')::jsonb IS DISTINCT FROM event - 'header' - 'fullPath' - 'appendPath'
            AND (wire->>'body')::jsonb IS DISTINCT FROM request->'body'->'JSON' THEN
        RETURN 'body: ' || (wire->>'body');
    END IF;
    RETURN '';
END
$$});

# One session for all, so that its memory can be watched.
query($node, q{
    CREATE TABLE found (event jsonb, config jsonb, verdict text);
    CREATE TABLE memory (round int, sound bigint, kb bigint);
    CREATE PROCEDURE fuzz(rounds int, size int) LANGUAGE plpgsql AS
    $$
    BEGIN
        FOR round IN 1 .. rounds LOOP
            INSERT INTO found SELECT event, config, judge(event, config)
                FROM (SELECT random_event() AS event, CASE WHEN random() < 0.4 THEN random_http_config() ELSE random_config() END AS config
                      FROM generate_series(1, size) OFFSET 0) AS r;
            INSERT INTO memory SELECT round, count(*) FILTER (WHERE verdict = ''),
                substring(pg_read_file('/proc/self/status') FROM 'RssAnon:\s+(\d+)')::bigint FROM found;
            DELETE FROM found WHERE verdict = '' OR verdict LIKE '_____: refused: %' AND random() < 0.9;
            COMMIT;
        END LOOP;
    END
    $$});
my $rounds = int(($events + $batch - 1) / $batch);
query($node, sprintf 'SELECT setseed(%f); CALL fuzz(%d, %d)', ($seed % 1000) / 1000, $rounds, $batch);
is(query($node, q{SELECT string_agg(DISTINCT verdict, chr(10)) FROM found WHERE verdict NOT LIKE '_____: refused: %' AND verdict <> ''}),
    '', 'what comes out is sound, or refused with a clear error');
note(query($node, q{SELECT verdict, count(*) FROM found GROUP BY verdict ORDER BY 2 DESC LIMIT 20}));
cmp_ok(query($node, q{SELECT sum(sound) FROM memory}), '>', $events / 8, 'many pass');
my $grown = query($node, q{
    SELECT coalesce(max(kb) FILTER (WHERE round = (SELECT max(round) FROM memory)) - max(kb) FILTER (WHERE round = 2), 0) FROM memory});
cmp_ok($grown, '<', 4 * $allowed_growth, "the session does not grow ($grown kB)");

# What rswebhook_send takes, the worker sends or writes down as unsendable.
query($node, sprintf q{
    SELECT setseed(%f);
    DO $$
    DECLARE
        n int := 0;
    BEGIN
        WHILE n < 20 LOOP
            BEGIN
                INSERT INTO rswebhook.destination (name, url, ordered, method, format, header_mapping, query_mapping, path_parts, body_mapping, min_attempts, retry_window)
                    VALUES ('mapped ' || n, '%s', false, one_of('POST', 'GET', 'PUT'), one_of('json', 'form', 'xml'), CASE WHEN n % 2 = 0 THEN random_header_mapping() END, random_mapping(),
                        CASE WHEN n % 3 = 0 THEN jsonb_build_array(random_from()) END, random_mapping(), 1, '0');
                n := n + 1;
            EXCEPTION WHEN check_violation THEN
            END;
        END LOOP;
    END
    $$}, ($seed % 1000) / 1000, $receiver->url('/mapped'));
foreach my $round (1 .. 4)
{
    query($node, sprintf q{
        DO $$
        DECLARE
            e jsonb;
        BEGIN
            PERFORM setseed(%f);
            FOR i IN 1 .. %d LOOP
                e := random_event() - 'statusCode' - 'fullPath';
                PERFORM rswebhook_send(e, CASE WHEN i % 4 = 0 THEN 'mapped ' || i % 20 ELSE 'all' END);
            END LOOP;
        END
        $$}, ($seed + $round) % 1000 / 1000, $events / 8);
    ok(wait_until_sent($node), "events, round $round: nothing is owed any more");
}
is(worker_pids($node), $pids, 'the workers are the same');
is(query($node, q{SELECT count(*) FROM rswebhook.event AS e WHERE NOT EXISTS (
        SELECT FROM rswebhook.delivery AS v WHERE v.event_id = e.id AND outcome IN ('delivered', 'aborted'))}),
    '0', 'each is delivered or says why not');
is(query($node, q{SELECT count(*) FROM rswebhook.delivery WHERE outcome = 'aborted' AND error IS NULL}), '0', 'with a reason');
is(scalar(grep { $_->{target} !~ m{^/mapped} && !eval { JSON::PP->new->allow_nonref->max_depth(2000)->decode($_->{body}) } } $receiver->requests),
    0, 'each body that arrived is JSON');

# Answers that went wrong on their way.
query($node, sprintf q{
    INSERT INTO rswebhook.destination (name, url, ordered, min_backoff, max_backoff, retry_after_factor, retry_window,
            min_attempts, breaker_failures, timeout, max_redirects)
        SELECT 'answer ' || n, '%s' || n, false, '10 ms', '20 ms', 0, '0', 2, 0, '500 ms', n %% 3 FROM generate_series(1, %d) AS n},
    $receiver->url('/mutated/'), $answers);
my %answered;
foreach my $round (1 .. 3)
{
    query($node, q{SELECT count(rswebhook_send('{"type": "track"}', name)) FROM rswebhook.destination WHERE name LIKE 'answer %'});
    ok(wait_until_sent($node), "answers, round $round: nothing is owed any more");
    %answered = map { $_ => process_field($_, 'RssAnon') } split / /, $pids if $round == 2;
}
is(worker_pids($node), $pids, 'the workers are the same');
is(query($node, q{SELECT count(*) FROM rswebhook.delivery WHERE outcome <> 'delivered' AND error IS NULL}),
    '0', 'whatever is not delivered has an error');
is(query($node, q{SELECT count(*) FROM rswebhook.delivery WHERE status IS NULL AND outcome = 'delivered'}),
    '0', 'and what is delivered has a status');
is(query($node, q{SELECT count(*) FROM rswebhook.delivery WHERE error ~ '[^ -~]'}), '0', 'errors are of one line of ASCII');
foreach my $pid (sort keys %answered)
{
    $grown = process_field($pid, 'RssAnon') - $answered{$pid};
    cmp_ok($grown, '<', $allowed_growth, "the worker does not grow by answers ($grown kB)");
}

done_testing();
