-- transform.sql
--     RudderStack's transform in PL/pgSQL: the portable yardstick.
--
-- The rules that the sample payloads need and their neighbours: headers of the
-- config and of the event, fullPath and appendPath with all their spellings,
-- traits of identify events, flattening, the body without its directions, the
-- IP address of the request, top-level nulls. What it leaves out (odd types,
-- the RETL timestamp, dynamic config) would only make it slower.
--
-- Copyright (c) 2026, the rswebhook maintainers

CREATE FUNCTION bench.flatten(path text, value jsonb, INOUT result jsonb)
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    item record;
BEGIN
    CASE jsonb_typeof(value)
        WHEN 'object' THEN
            IF value = '{}' AND path <> '' THEN
                result := result || jsonb_build_object(path, value);
            END IF;
            FOR item IN SELECT e.key, e.value FROM jsonb_each(value) e LOOP
                result := bench.flatten(
                    CASE WHEN path = '' THEN item.key ELSE path || '.' || item.key END,
                    item.value, result);
            END LOOP;
        WHEN 'array' THEN
            IF value = '[]' THEN
                result := result || jsonb_build_object(path, value);
            END IF;
            FOR item IN SELECT e.value, e.number - 1 AS number
                    FROM jsonb_array_elements(value) WITH ORDINALITY AS e (value, number) LOOP
                result := bench.flatten(path || '[' || item.number || ']', item.value, result);
            END LOOP;
        ELSE
            result := result || jsonb_build_object(path, value);
    END CASE;
END
$$;

CREATE FUNCTION bench.transform(event jsonb, config jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    method text := coalesce(config ->> 'webhookMethod', 'POST');
    has_body boolean := method IN ('POST', 'PUT', 'PATCH');
    has_params boolean := method IN ('GET', 'DELETE');
    headers jsonb := '{}';
    params jsonb := '{}';
    body jsonb := '{}';
    own jsonb;
    source jsonb;
    ip jsonb;
    item record;
BEGIN
    IF event ? 'statusCode' THEN
        RETURN event;
    END IF;
    IF coalesce(config ->> 'webhookUrl', '') = '' THEN
        RAISE invalid_parameter_value USING MESSAGE = 'config has no webhookUrl';
    END IF;

    IF has_body THEN
        headers := '{"content-type": "application/json"}';
    END IF;
    IF config ? 'headers' THEN
        FOR item IN SELECT lower(h ->> 'from') AS name, h -> 'to' AS value
                FROM jsonb_array_elements(config -> 'headers') h LOOP
            IF coalesce(item.name, '') <> '' THEN
                headers := headers || jsonb_build_object(item.name, item.value);
            END IF;
        END LOOP;
    END IF;
    IF jsonb_typeof(event -> 'header') = 'object' THEN
        FOR item IN SELECT e.key, e.value FROM jsonb_each(event -> 'header') e LOOP
            headers := headers || jsonb_build_object(item.key,
                CASE jsonb_typeof(item.value) WHEN 'string' THEN item.value
                    ELSE to_jsonb(item.value::text) END);
        END LOOP;
    END IF;

    own := coalesce(event #> '{integrations,webhook}', event #> '{integrations,Webhook}',
                    event #> '{integrations,WebHook}', event #> '{integrations,WEBHOOK}');

    IF has_params THEN
        IF event ->> 'type' = 'identify' THEN
            source := coalesce(nullif(event -> 'traits', 'null'),
                               nullif(event #> '{context,traits}', 'null'), 'null');
        ELSE
            source := coalesce(event -> 'properties', '{}');
        END IF;
        params := bench.flatten('', source, '{}');
    ELSIF has_body THEN
        body := event - '{fullPath,appendPath,header,constructor,prototype}'::text[];
        ip := coalesce(nullif(event #> '{context,ip}', 'null'), event -> 'request_ip');
        IF ip IS NOT NULL AND ip NOT IN ('null', '""', '0', 'false') THEN
            body := jsonb_set(body, '{context}', coalesce(body -> 'context', '{}')
                              || jsonb_build_object('ip', ip));
        END IF;
        FOR item IN SELECT e.key, e.value FROM jsonb_each(body) e LOOP
            IF item.value = 'null' THEN
                body := body - item.key;
            END IF;
        END LOOP;
    END IF;

    RETURN jsonb_build_object(
        'version', '1',
        'type', 'REST',
        'method', method,
        'endpoint', coalesce(event ->> 'fullPath', own ->> 'fullPath', config ->> 'webhookUrl')
            || coalesce(event ->> 'appendPath', own ->> 'appendPath', ''),
        'headers', headers,
        'params', params,
        'files', '{}'::jsonb,
        'userId', coalesce(event ->> 'anonymousId', ''),
        'body', jsonb_build_object('JSON', body, 'JSON_ARRAY', '{}'::jsonb,
                                   'XML', '{}'::jsonb, 'FORM', '{}'::jsonb));
END
$$;
