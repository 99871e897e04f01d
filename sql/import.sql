-- Importing RudderStack's destinations: each shape of an export, what becomes of a Config,
-- what is said of what there is not here, a second time, and what is refused.
SET client_min_messages = error;
\set SHOW_CONTEXT never
\pset format unaligned

-- What there is of each, in the order of the columns; what is the default is not shown
CREATE FUNCTION pg_temp.shown() RETURNS TABLE (name text, columns text) LANGUAGE sql AS $$
    SELECT d.name, string_agg(format('%s: %s', e.key, e.value), E'\n' ORDER BY e.place)
    FROM rswebhook.destination d
    CROSS JOIN LATERAL json_each_text(row_to_json(d)) WITH ORDINALITY AS e (key, value, place)
    WHERE e.key IN ('url', 'method', 'headers', 'auth_type', 'auth_username', 'auth_password', 'auth_token', 'auth_header',
                    'header_mapping', 'query_mapping', 'path_parts', 'body_mapping', 'format', 'xml_root', 'allowed_hosts',
                    'enabled', 'events', 'excluded_events', 'consent')
    AND e.value IS NOT NULL
    AND (e.key, e.value) NOT IN (('method', 'POST'), ('headers', '{}'), ('auth_type', 'none'), ('format', 'json'), ('enabled', 'true'))
    GROUP BY d.id, d.name ORDER BY d.id
$$;

-- A Config needs a name
SELECT name, id IS NOT NULL AS imported, not_mapped FROM rswebhook_import('{"webhookUrl": "https://example.com/in"}', 'bare');
SELECT name, id IS NOT NULL AS imported, not_mapped FROM rswebhook_import('{"apiUrl": "https://example.com/in", "method": "GET", "format": "JSON", "auth": "noAuth"}', 'bare http');
SELECT name, id IS NOT NULL AS imported, not_mapped FROM rswebhook_import('{"webhookUrl": "https://example.com/in"}');

-- What is none
SELECT name, id IS NOT NULL AS imported, not_mapped FROM rswebhook_import('{}');
SELECT name, id IS NOT NULL AS imported, not_mapped FROM rswebhook_import('[]', 'x');
SELECT name, id IS NOT NULL AS imported, not_mapped FROM rswebhook_import('"https://example.com/"', 'x');
SELECT name, id IS NOT NULL AS imported, not_mapped FROM rswebhook_import(NULL, 'x');
SELECT name, id IS NOT NULL AS imported, not_mapped FROM rswebhook_import('{"sources": [], "destinations": []}');
SELECT * FROM pg_temp.shown();
DELETE FROM rswebhook.destination;

-- What a server has of a workspace: destinations are in their sources, and one may be in several
\set workspace '{"workspaceId": "w", "sources": [{"id": "s1", "name": "Site", "writeKey": "key", "enabled": true, "sourceDefinition": {"name": "Javascript", "type": "web"}, "destinations": [{"id": "d1", "name": "crm", "enabled": true, "isProcessorEnabled": true, "workspaceId": "w", "revisionId": "r", "secretConfig": {}, "transformations": [], "destinationDefinition": {"name": "WEBHOOK", "displayName": "Webhook"}, "config": {"webhookUrl": "https://crm.example.com/in", "webhookMethod": "PUT", "headers": [{"from": "Authorization", "to": "Bearer s3cret"}, {"from": "", "to": ""}, {"from": "X-Env", "to": "env.TOKEN"}, {"from": "x-twice", "to": "1"}, {"from": "X-Twice", "to": "2"}, {"from": "X-Number", "to": 5}, {"from": "X-Object", "to": {"file": "/etc/passwd"}}, {"from": "X-None", "to": null}, {"from": "X-Gone"}, {"from": "X-T", "to": "{{ event.context.tenant || none }}"}], "consentManagement": [{"provider": "custom", "resolutionStrategy": "or", "consents": [{"consent": "ads"}]}, {"provider": "", "consents": [{"consent": "x"}]}], "connectionMode": "cloud", "eventDelivery": true}}, {"id": "d3", "name": "ga", "enabled": true, "destinationDefinition": {"name": "GA4"}, "config": {"apiSecret": "s3cret"}}]}, {"id": "s2", "name": "Backend", "enabled": true, "sourceDefinition": {"name": "Node"}, "destinations": [{"id": "d1", "name": "crm", "enabled": true, "destinationDefinition": {"name": "WEBHOOK"}, "config": {"webhookUrl": "https://crm.example.com/in"}}, {"id": "d2", "name": "orders", "enabled": true, "destinationDefinition": {"name": "HTTP"}, "config": {"apiUrl": "https://api.example.com/v1", "auth": "basicAuth", "username": "user", "password": "s3cret", "method": "POST", "format": "XML", "xmlRootKey": "order", "isDefaultMapping": false, "propertiesMapping": [{"to": "$.price", "from": "$.properties.price"}], "headers": [{"to": "X-User", "from": "$.userId"}, {"to": "X-Key", "from": "env.KEY"}, {"to": "Content-Type", "from": "text/plain"}], "queryParams": [{"to": "q", "from": "$.event"}], "pathParams": [{"path": "users"}, {"path": "$.userId"}], "eventFilteringOption": "whitelistedEvents", "whitelistedEvents": [{"eventName": " Paid "}, {"eventName": ""}], "isBatchingEnabled": true, "maxBatchSize": "10"}}]}]}'
SELECT name, id IS NOT NULL AS imported, not_mapped FROM rswebhook_import(:'workspace');
SELECT * FROM pg_temp.shown();

-- A second time changes nothing
SELECT xmin AS before FROM rswebhook.destination WHERE name = 'crm' \gset
SELECT count(*), count(id), bool_or(not_mapped ~ 's3cret') AS shows_secrets FROM rswebhook_import(:'workspace');
SELECT xmin = :'before' AS unchanged, count(*) OVER () FROM rswebhook.destination WHERE name = 'crm';
-- what is set by hand stays where a Config says nothing of it; what it says comes back
UPDATE rswebhook.destination SET paused = true, max_in_flight = 3, types = '{track}', events = '{Other}', url = 'https://other.example.com/'
    WHERE name = 'orders';
UPDATE rswebhook.destination SET excluded_events = '{Noise}', consent = NULL, headers = '{}' WHERE name = 'crm';
SELECT count(id) FROM rswebhook_import(:'workspace');
SELECT name, url, paused, max_in_flight, types, events, excluded_events, consent, headers <> '{}' AS has_headers
    FROM rswebhook.destination ORDER BY name;
-- and so does a change of the kind
SELECT id IS NOT NULL AS imported FROM rswebhook_import('{"webhookUrl": "https://example.com/in"}', 'orders');
SELECT url, header_mapping, body_mapping, format, xml_root, auth_type FROM rswebhook.destination WHERE name = 'orders';
DELETE FROM rswebhook.destination;

-- Pages of the API: connections are apart, and settings are by the kind of source
\set pages '[{"sources": [{"id": "s1", "name": "Site", "type": "Javascript", "enabled": true}, {"id": "s2", "name": "Backend", "type": "Go", "enabled": true}, {"id": "s3", "name": "App", "type": "Android", "enabled": false}], "paging": {"total": 3}}, {"destinations": [{"id": "a", "name": "both differ", "type": "WEBHOOK", "enabled": true, "createdAt": "2024-01-01", "config": {"webhookUrl": "https://example.com/", "consentManagement": {"web": [{"provider": "ketch", "consents": [{"consent": "a"}]}], "cloud": [{"provider": "ketch", "consents": [{"consent": "b"}]}]}}}, {"id": "b", "name": "one has none", "type": "WEBHOOK", "enabled": true, "config": {"webhookUrl": "https://example.com/", "oneTrustCookieCategories": {"web": [{"oneTrustCookieCategory": "C1"}], "cloud": []}}}, {"id": "c", "name": "web only", "type": "HTTP", "enabled": true, "config": {"apiUrl": "https://example.com/", "auth": "noAuth", "method": "POST", "format": "JSON", "isDefaultMapping": true, "ketchConsentPurposes": {"web": [{"purpose": "p"}], "cloud": [{"purpose": "q"}]}, "useNativeSDK": {"web": true}}}, {"id": "d", "name": "apart", "type": "WEBHOOK", "enabled": true, "config": {"webhookUrl": "https://example.com/"}}, {"id": "e", "name": "source off", "type": "WEBHOOK", "enabled": true, "config": {"webhookUrl": "https://example.com/"}}, {"id": "f", "name": "filters differ", "type": "HTTP", "enabled": true, "config": {"apiUrl": "https://example.com/", "auth": "noAuth", "method": "POST", "format": "JSON"}}], "paging": {"total": 9, "next": "/v2/destinations?page=2"}}, {"connections": [{"id": "1", "sourceId": "s1", "destinationId": "a", "enabled": true}, {"id": "2", "sourceId": "s2", "destinationId": "a", "enabled": true}, {"id": "3", "sourceId": "s1", "destinationId": "b", "enabled": true}, {"id": "4", "sourceId": "s2", "destinationId": "b", "enabled": true}, {"id": "5", "sourceId": "s1", "destinationId": "c", "enabled": true, "createdAt": "2024-01-01"}, {"id": "6", "sourceId": "s2", "destinationId": "c", "enabled": false}, {"id": "7", "sourceId": "s3", "destinationId": "e", "enabled": true}, {"id": "8", "sourceId": "s1", "destinationId": "f", "enabled": true, "config": {"eventFilteringOption": "blacklistedEvents", "blacklistedEvents": [{"eventName": "A*"}], "sampling": 0.5}}, {"id": "9", "sourceId": "s2", "destinationId": "f", "enabled": true}]}]'
SELECT name, id IS NOT NULL AS imported, not_mapped FROM rswebhook_import(:'pages');
SELECT * FROM pg_temp.shown();
-- what somebody has enabled stays so
UPDATE rswebhook.destination SET enabled = true, consent = '{"ketchConsentPurposes": [{"purpose": "mine"}]}';
SELECT count(id) FROM rswebhook_import(:'pages');
SELECT name, enabled, consent FROM rswebhook.destination ORDER BY id;
DELETE FROM rswebhook.destination;

-- Resources of the command line tool
SELECT name, id IS NOT NULL AS imported, not_mapped FROM rswebhook_import('[
    {"version": "rudder/v1", "kind": "destination", "metadata": {"name": "hook"}, "spec": {"id": "hook", "display_name": "Hook", "type": "webhook", "definition_version": 1, "enabled": true,
     "config": {"webhook_url": "https://hooks.example.com/in", "webhook_method": "PATCH", "headers": [{"from": "X-Key", "to": "{{ .HOOK_KEY }}"}], "connection_mode": {"web": "cloud"},
                "consent_management": {"web": [{"provider": "custom", "resolution_strategy": "and", "consents": ["ads"]}], "android_kotlin": []}}}},
    {"version": "rudder/v1", "kind": "destination", "spec": {"id": "api", "display_name": "Api", "type": "http", "enabled": true, "transformation": "#transformation:mask",
     "config": {"api_url": "https://api.example.com/v1", "method": "POST", "format": "FORM", "auth": "apiKeyAuth", "api_key_name": "X-Api-Key", "api_key_value": "{{ .API_KEY }}", "is_default_mapping": true, "event_filtering": {"blacklist": ["A", "B"]}}}},
    {"version": "rudder/v1", "kind": "event-stream-connections", "spec": {"connections": [
        {"id": "1", "source": "#event-stream-source:site", "destination": "#destination:hook"}, {"id": "2", "source": "#event-stream-source:site", "destination": "#destination:api", "enabled": true},
        {"id": "3", "source": "#event-stream-source:site", "destination": "#destination:older"}]}},
    {"version": "rudder/v1", "kind": "event-stream-source", "spec": {"id": "site", "name": "Site", "type": "javascript", "enabled": true}},
    {"version": "rudder/v1", "kind": "destination", "spec": {"id": "older", "display_name": "Older", "type": "http", "enabled": true,
     "config": {"api_url": "https://api.example.com/v1", "method": "POST", "format": "JSON", "auth": "noAuth", "event_filtering_option": "whitelistedEvents", "whitelisted_events": [{"event_name": "A"}, {"event_name": " B "}], "blacklisted_events": [{"event_name": "C"}],
                "one_trust_cookie_categories": {"web": [{"one_trust_cookie_category": "C1"}]}, "ketch_consent_purposes": {"web": [{"purpose": "P", "colour": "red"}]}, "consent_management": {"web": [{"provider": "custom", "resolution_strategy": "or", "consents": [{"Consent": "ads"}]}]}}}},
    {"version": "rudder/v1", "kind": "tracking-plan", "spec": {"id": "plan", "destinations": [{"type": "WEBHOOK", "config": {}}]}}]');
SELECT * FROM pg_temp.shown();
DELETE FROM rswebhook.destination;

-- Several workspaces of a data plane, each with its connections
SELECT name, id IS NOT NULL AS imported, not_mapped FROM rswebhook_import('{
    "w1": {"sources": [{"id": "s", "name": "S", "destinations": [{"id": "d", "name": "on", "destinationDefinition": {"name": "WEBHOOK"}, "config": {"webhookUrl": "https://example.com/"}},
                                                                 {"id": "e", "name": "off", "destinationDefinition": {"name": "WEBHOOK"}, "config": {"webhookUrl": "https://example.com/"}}]}],
           "connections": {"1": {"sourceId": "s", "destinationId": "d", "enabled": true, "processorEnabled": true}, "2": {"sourceId": "s", "destinationId": "e", "enabled": false}}},
    "w2": {"sources": []}}');
SELECT name, enabled FROM rswebhook.destination ORDER BY id;
DELETE FROM rswebhook.destination;

-- One destination of the API has its own name, or another one
SELECT name, not_mapped FROM rswebhook_import('{"destination": {"id": "d", "name": "own", "type": "WEBHOOK", "enabled": false, "config": {"webhookUrl": "https://example.com/"}}}');
SELECT name, not_mapped FROM rswebhook_import('{"ID": "d", "Name": "own", "Enabled": true, "DestinationDefinition": {"Name": "WEBHOOK"}, "Config": {"webhookUrl": "https://example.com/"}}', 'other');
SELECT name, id IS NOT NULL AS imported, not_mapped FROM rswebhook_import('[{"name": "a", "type": "WEBHOOK", "config": {}}, {"name": "b", "type": "WEBHOOK", "config": {}}]', 'c');
SELECT name, enabled FROM rswebhook.destination ORDER BY id;
DELETE FROM rswebhook.destination;

-- Names that cannot be ours, or are several's
SELECT name, octet_length(name) AS length, id IS NOT NULL AS imported, not_mapped FROM rswebhook_import(jsonb_build_array(
    '{"id": "1", "name": "twice", "type": "WEBHOOK", "config": {"webhookUrl": "https://example.com/1"}}'::jsonb,
    '{"id": "2", "name": "twice", "type": "WEBHOOK", "config": {"webhookUrl": "https://example.com/2"}}'::jsonb,
    '{"id": "3", "name": "twice", "type": "S3", "config": {}}'::jsonb,
    '{"id": "4", "name": "Post", "type": "WEBHOOK", "config": {"webhookUrl": "https://example.com/4"}}'::jsonb,
    '{"name": " spaces ", "type": "WEBHOOK", "config": {"webhookUrl": "https://example.com/5"}}'::jsonb,
    '{"id": "6", "type": "WEBHOOK", "config": {"webhookUrl": "https://example.com/6"}}'::jsonb,
    '{"type": "WEBHOOK", "config": {"webhookUrl": "https://example.com/7"}}'::jsonb,
    '{"name": "no id", "type": "WEBHOOK", "config": {"webhookUrl": "https://example.com/8"}}'::jsonb,
    '{"name": "no id", "type": "WEBHOOK", "config": {"webhookUrl": "https://example.com/9"}}'::jsonb,
    jsonb_build_object('id', '2ENkYVMMUInzUGYp32R6dVghgvj', 'name', repeat('ö', 40), 'type', 'WEBHOOK', 'config', '{"webhookUrl": "https://example.com/10"}'::jsonb)));
SELECT name, url FROM rswebhook.destination ORDER BY id;
DELETE FROM rswebhook.destination;

-- one row each, also where the name of one is that of another with its id
\set named '[{"id": "a1", "name": "X", "type": "WEBHOOK", "config": {"webhookUrl": "https://example.com/1"}}, {"id": "a2", "name": "X", "type": "WEBHOOK", "config": {"webhookUrl": "https://example.com/2"}}, {"id": "a3", "name": "X a1", "type": "WEBHOOK", "config": {"webhookUrl": "https://example.com/3"}}, {"id": "a4", "name": "Y a5", "type": "WEBHOOK", "config": {"webhookUrl": "https://example.com/4"}}, {"id": "a5", "name": "Y", "type": "WEBHOOK", "config": {"webhookUrl": "https://example.com/5"}}, {"id": "a6", "name": "Y", "type": "WEBHOOK", "config": {"webhookUrl": "https://example.com/6"}}, {"id": "a6", "name": "Y", "type": "WEBHOOK", "config": {"webhookUrl": "https://example.com/7"}}]'
SELECT name, id IS NOT NULL AS imported, not_mapped FROM rswebhook_import(:'named');
SELECT count(id) FROM rswebhook_import((SELECT jsonb_agg(v ORDER BY v ->> 'id' DESC) FROM jsonb_array_elements(:'named'::jsonb) v));
SELECT name, url FROM rswebhook.destination ORDER BY id;
DELETE FROM rswebhook.destination;
-- what was imported by its name before there was another of that name stays what it is, and also when that one goes
SELECT name, id IS NOT NULL AS imported, not_mapped FROM rswebhook_import('{"id": "a1", "name": "CRM", "type": "WEBHOOK", "enabled": true, "config": {"webhookUrl": "https://example.com/1"}}');
SELECT name, id IS NOT NULL AS imported, not_mapped FROM rswebhook_import('[{"id": "a0", "name": "CRM", "type": "WEBHOOK", "enabled": true, "config": {"webhookUrl": "https://example.com/0"}},
    {"id": "a1", "name": "CRM", "type": "WEBHOOK", "enabled": true, "config": {"webhookUrl": "https://example.com/one"}}]');
SELECT name, not_mapped FROM rswebhook_import('{"id": "a0", "name": "CRM", "type": "WEBHOOK", "enabled": true, "config": {"webhookUrl": "https://example.com/zero"}}');
SELECT name, url, enabled FROM rswebhook.destination ORDER BY id;
DELETE FROM rswebhook.destination;
-- one that was made by hand is that of the same URL and kind
INSERT INTO rswebhook.destination (name, url) VALUES ('CRM', 'https://example.com/1'), ('ERP', 'https://example.com/1');
SELECT name, id IS NOT NULL AS imported, not_mapped FROM rswebhook_import('[{"id": "a0", "name": "CRM", "type": "HTTP", "enabled": true, "config": {"apiUrl": "https://example.com/1", "auth": "noAuth", "method": "POST", "format": "JSON"}},
    {"id": "a1", "name": "CRM", "type": "WEBHOOK", "enabled": true, "config": {"webhookUrl": "https://example.com/1"}},
    {"id": "b0", "name": "ERP", "type": "WEBHOOK", "enabled": true, "config": {"webhookUrl": "https://example.com/2"}}, {"id": "b1", "name": "ERP", "type": "WEBHOOK", "enabled": true, "config": {"webhookUrl": "https://example.com/3"}}]');
SELECT name, url, enabled FROM rswebhook.destination ORDER BY id;
\set erp '[{"id": "b0", "name": "ERP", "type": "WEBHOOK", "enabled": true, "config": {"webhookUrl": "https://example.com/2"}}, {"id": "b1", "name": "ERP", "type": "WEBHOOK", "enabled": true, "config": {"webhookUrl": "https://example.com/3"}}]'
UPDATE rswebhook.destination SET enabled = true WHERE name = 'ERP b1';
SELECT count(id) FROM rswebhook_import(:'erp');
SELECT name, enabled FROM rswebhook.destination WHERE name LIKE 'ERP%' ORDER BY id;
DELETE FROM rswebhook.destination WHERE name = 'ERP';
SELECT count(id) FROM rswebhook_import(:'erp');
SELECT name, enabled FROM rswebhook.destination WHERE name LIKE 'ERP%' ORDER BY id;
DELETE FROM rswebhook.destination;
-- what is empty in place of a secret does not take it away
\set emptied '[{"name": "hook", "type": "WEBHOOK", "config": {"webhookUrl": "https://example.com/1", "headers": [{"from": "X-Key", "to": ""}, {"from": "X-Empty", "to": ""}]}}, {"name": "api", "type": "HTTP", "config": {"apiUrl": "https://example.com/1", "auth": "basicAuth", "username": "u", "password": "", "method": "POST", "format": "JSON"}}, {"name": "mapped", "type": "HTTP", "config": {"apiUrl": "https://example.com/1", "auth": "noAuth", "method": "POST", "format": "JSON", "headers": [{"to": "X-Key", "from": ""}]}}]'
SELECT name, id IS NOT NULL AS imported, not_mapped FROM rswebhook_import(:'emptied');
UPDATE rswebhook.destination SET headers = headers || '{"X-Key": "s3cret"}' WHERE name = 'hook';
UPDATE rswebhook.destination SET auth_password = 's3cret' WHERE name = 'api';
UPDATE rswebhook.destination SET header_mapping = NULL, headers = '{"x-key": {"env": "KEY"}}' WHERE name = 'mapped';
SELECT name, id IS NOT NULL AS imported, not_mapped FROM rswebhook_import(:'emptied');
SELECT not_mapped FROM rswebhook_import('{"name": "api", "type": "HTTP", "config": {"apiUrl": "https://example.com/1", "auth": "basicAuth", "username": "u", "method": "POST", "format": "JSON"}}');
SELECT name, headers, auth_password FROM rswebhook.destination ORDER BY id;
DELETE FROM rswebhook.destination;
-- what is found at a second time holds it as well, until somebody has enabled it
CREATE FUNCTION pg_temp.again(more jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    said text := (SELECT i.not_mapped FROM rswebhook_import('{"id": "h", "name": "held", "type": "WEBHOOK", "enabled": true, "config": {"webhookUrl": "https://example.com/"}}'::jsonb || more) i);
BEGIN
    RETURN concat_ws(' ', (SELECT d.enabled FROM rswebhook.destination d WHERE d.name = 'held'), said);
END $$;
SELECT pg_temp.again('{}');
SELECT pg_temp.again('{"transformation": {"id": "mask"}}');
SELECT pg_temp.again('{"transformation": {"id": "mask"}}');
UPDATE rswebhook.destination SET enabled = true;
SELECT pg_temp.again('{"transformation": {"id": "mask"}}');
SELECT pg_temp.again('{}');
SELECT pg_temp.again('{"transformation": {"id": "mask"}}');
SELECT pg_temp.again('{}');
SELECT name, not_mapped FROM rswebhook_import('[{"sources": [{"id": "s1", "name": "Site", "type": "Javascript"}, {"id": "s2", "name": "Shop", "type": "Node"}]},
    {"destinations": [{"id": "h", "name": "held", "type": "WEBHOOK", "enabled": true, "config": {"webhookUrl": "https://example.com/", "consentManagement": {"web": [{"provider": "ketch", "consents": ["a"]}], "cloud": [{"provider": "ketch", "consents": ["b"]}]}}}]},
    {"connections": [{"sourceId": "s1", "destinationId": "h"}, {"sourceId": "s2", "destinationId": "h"}]}]');
SELECT name, enabled FROM rswebhook.destination;
DELETE FROM rswebhook.destination;
SELECT count(*) FROM rswebhook.imported;
SELECT name FROM rswebhook_import('{"webhookUrl": "https://example.com/in"}', 'only');
SELECT count(*) FROM rswebhook.imported;
DELETE FROM rswebhook.destination;

-- A bad one does not cost the others anything, and no secret is shown
SELECT name, id IS NOT NULL AS imported, not_mapped FROM rswebhook_import(('[
    {"name": "no url", "type": "WEBHOOK", "config": {"headers": []}},
    {"name": "ftp", "type": "WEBHOOK", "config": {"webhookUrl": "ftp://example.com/"}},
    {"name": "url with a secret", "type": "WEBHOOK", "config": {"webhookUrl": "https://user:s3cret@example.com/"}},
    {"name": "method", "type": "WEBHOOK", "config": {"webhookUrl": "https://example.com/", "webhookMethod": "HEAD"}},
    {"name": "header", "type": "WEBHOOK", "config": {"webhookUrl": "https://example.com/", "headers": [{"from": "a b", "to": "s3cret"}]}},
    {"name": "header value", "type": "WEBHOOK", "config": {"webhookUrl": "https://example.com/", "headers": [{"from": "X-A", "to": "s3cret\n"}]}},
    {"name": "header of nobody", "type": "WEBHOOK", "config": {"webhookUrl": "https://example.com/", "headers": [{"from": 5, "to": "s3cret"}]}},
    {"name": "no headers", "type": "WEBHOOK", "config": {"webhookUrl": "https://example.com/", "headers": {"a": "s3cret"}}},
    {"name": "hidden", "type": "WEBHOOK", "config": {"webhookUrl": "https://example.com/", "headers": [{"from": "X-A", "to": "********"}]}},
    {"name": "env url", "type": "WEBHOOK", "config": {"webhookUrl": "env.HOOK_URL"}},
    {"name": "template", "type": "WEBHOOK", "config": {"webhookUrl": "{{ event.context.url || }}"}},
    {"name": "consent", "type": "WEBHOOK", "config": {"webhookUrl": "https://example.com/", "consentManagement": [{"provider": "custom", "consents": "s3cret"}]}},
    {"name": "consent by another key", "type": "WEBHOOK", "config": {"webhookUrl": "https://example.com/", "consentManagement": [{"provider": "custom", "consents": [{"id": "s3cret"}]}]}},
    {"name": "no consents", "type": "WEBHOOK", "config": {"webhookUrl": "https://example.com/", "consentManagement": [{"provider": "custom", "consent": [{"consent": "s3cret"}]}]}},
    {"name": "no provider", "type": "WEBHOOK", "config": {"webhookUrl": "https://example.com/", "consentManagement": [{"consents": [{"consent": "s3cret"}]}]}},
    {"name": "category", "type": "WEBHOOK", "config": {"webhookUrl": "https://example.com/", "oneTrustCookieCategories": [{"category": "s3cret"}]}},
    {"name": "events", "type": "HTTP", "config": {"apiUrl": "https://example.com/", "auth": "noAuth", "method": "POST", "format": "JSON", "eventFilteringOption": "whitelistedEvents", "whitelistedEvents": [{"eventName": ""}, {"event": "A"}]}},
    {"name": "no events", "type": "HTTP", "config": {"apiUrl": "https://example.com/", "auth": "noAuth", "method": "POST", "format": "JSON", "eventFilteringOption": "blacklistedEvents", "blacklistedEvents": {"eventName": "A"}}},
    {"name": "token", "type": "HTTP", "config": {"apiUrl": "https://example.com/", "auth": "bearerTokenAuth", "method": "POST", "format": "JSON"}},
    {"name": "hidden token", "type": "HTTP", "config": {"apiUrl": "https://example.com/", "auth": "bearerTokenAuth", "bearerToken": "****", "method": "POST", "format": "JSON"}},
    {"name": "template in token", "type": "HTTP", "config": {"apiUrl": "https://example.com/", "auth": "bearerTokenAuth", "bearerToken": "{{ event.x || s3cret }}", "method": "POST", "format": "JSON"}},
    {"name": "template in user", "type": "HTTP", "config": {"apiUrl": "https://example.com/", "auth": "basicAuth", "username": "{{ event.x || s3cret }}", "password": "p", "method": "POST", "format": "JSON"}},
    {"name": "template in password", "type": "HTTP", "config": {"apiUrl": "https://example.com/", "auth": "basicAuth", "username": "u", "password": "{{event.x||s3cret}}", "method": "POST", "format": "JSON"}},
    {"name": "template in header", "type": "HTTP", "config": {"apiUrl": "https://example.com/", "auth": "apiKeyAuth", "apiKeyName": "{{ event.x || X-Key }}", "apiKeyValue": "s3cret", "method": "POST", "format": "JSON"}},
    {"name": "env in user", "type": "HTTP", "config": {"apiUrl": "https://example.com/", "auth": "basicAuth", "username": "env.USER", "password": "s3cret", "method": "POST", "format": "JSON"}},
    {"name": "env in header", "type": "HTTP", "config": {"apiUrl": "https://example.com/", "auth": "apiKeyAuth", "apiKeyName": " env.NAME", "apiKeyValue": "s3cret", "method": "POST", "format": "JSON"}},
    {"name": "env in query", "type": "HTTP", "config": {"apiUrl": "https://example.com/", "auth": "noAuth", "method": "POST", "format": "JSON", "queryParams": [{"to": "e", "from": " env.PLACE"}]}},
    {"name": "env in header name", "type": "WEBHOOK", "config": {"webhookUrl": "https://example.com/", "headers": [{"from": "env.NAME", "to": "s3cret"}]}},
    {"name": "no path", "type": "HTTP", "config": {"apiUrl": "https://example.com/", "auth": "noAuth", "method": "POST", "format": "JSON", "headers": [{"to": "X-A", "from": "$.s3cret["}]}},
    {"name": "format", "type": "HTTP", "config": {"apiUrl": "https://example.com/", "auth": "noAuth", "method": "POST", "format": "CSV"}},
    {"name": "mapping", "type": "HTTP", "config": {"apiUrl": "https://example.com/", "auth": "noAuth", "method": "POST", "format": "JSON", "propertiesMapping": {"to": "$.a", "from": "s3cret"}}},
    {"name": "path", "type": "HTTP", "config": {"apiUrl": "https://example.com/", "auth": "noAuth", "method": "POST", "format": "JSON", "pathParams": [{"path": "a/b"}]}},
    {"name": "deleted", "type": "WEBHOOK", "deleted": true, "config": {"webhookUrl": "https://example.com/"}},
    {"name": "no config", "type": "WEBHOOK", "config": "s3cret"},
    {"name": "variable", "type": "webhook", "config": {"webhook_url": "https://example.com/", "headers": [{"from": "X-A", "to": "Bearer {{ .TOKEN }}"}]}},
    {"name": "variable url", "type": "webhook", "config": {"webhook_url": "https://{{ .HOST }}/"}},
    {"name": "long url", "type": "WEBHOOK", "config": {"webhookUrl": "https://example.com/'||repeat('s3cret', 2000)||'"}},
    {"name": "long header", "type": "WEBHOOK", "config": {"webhookUrl": "https://example.com/", "headers": [{"from": "X-A", "to": "'||repeat('s3cret', 40000)||'"}]}},
    {"name": "many events", "type": "HTTP", "config": {"apiUrl": "https://example.com/", "auth": "noAuth", "method": "POST", "format": "JSON", "eventFilteringOption": "whitelistedEvents",
        "whitelistedEvents": '||(SELECT jsonb_agg(jsonb_build_object('eventName', n)) FROM generate_series(1, 1001) n)||'}},
    {"name": "good", "type": "WEBHOOK", "config": {"webhookUrl": "https://example.com/"}}]')::jsonb);
SELECT name FROM rswebhook.destination;
DELETE FROM rswebhook.destination;

-- What is said of a destination that is imported
SELECT name, not_mapped FROM rswebhook_import('[
    {"name": "unknown", "type": "WEBHOOK", "enabled": true, "colour": "red", "config": {"webhookUrl": "https://example.com/", "speed": 5, "\u0007": "s3cret", "nothing": null}},
    {"name": "template", "type": "WEBHOOK", "enabled": true, "config": {"webhookUrl": "{{ event.properties.to || \"https://hooks.example.com:8443/in\" }}"}},
    {"name": "auth", "type": "HTTP", "enabled": true, "config": {"apiUrl": "https://example.com/", "auth": "oauth", "method": "POST", "format": "JSON"}},
    {"name": "other auth", "type": "HTTP", "enabled": true, "config": {"apiUrl": "https://example.com/", "auth": {"type": "OAuth", "token": "s3cret"}, "method": "POST", "format": "JSON", "queryParams": [{"to": "e", "from": "''env.PLACE''"}], "isBatchingEnabled": true, "maxBatchSize": {"a": "s3cret"}}},
    {"name": "other type", "type": {"a": "s3cret"}, "enabled": true, "config": {}},
    {"name": "header wins", "type": "HTTP", "enabled": true, "config": {"apiUrl": "https://example.com/", "auth": "bearerTokenAuth", "bearerToken": "s3cret", "method": "POST", "format": "JSON", "headers": [{"to": "Authorization", "from": "Basic abc"}]}},
    {"name": "header of another case wins", "type": "HTTP", "enabled": true, "config": {"apiUrl": "https://example.com/", "auth": "apiKeyAuth", "apiKeyName": "X-Key", "apiKeyValue": "s3cret", "method": "POST", "format": "JSON", "headers": [{"to": "x-kEY", "from": "own"}]}},
    {"name": "type of another case", "type": "HTTP", "enabled": true, "config": {"apiUrl": "https://example.com/", "method": "POST", "format": "JSON", "headers": [{"to": "content-type", "from": "own"}, {"to": "X-Content-Type", "from": "kept"}]}},
    {"name": "strategies", "type": "WEBHOOK", "enabled": true, "config": {"webhookUrl": "https://example.com/", "consentManagement": [{"provider": "custom", "resolutionStrategy": 5, "consents": [{"consent": "ads"}]}, {"provider": "ketch", "resolutionStrategy": "any", "consents": [{"consent": "ads"}]}]}},
    {"name": "no strategy", "type": "WEBHOOK", "enabled": true, "config": {"webhookUrl": "https://example.com/", "consentManagement": [{"provider": "custom", "resolutionStrategy": "", "consents": [{"consent": "ads"}]}, {"provider": "ketch", "resolutionStrategy": "or", "consents": [{"consent": "ads"}]}]}},
    {"name": "transformed", "type": "WEBHOOK", "enabled": true, "transformations": [{"id": "t", "versionId": "v"}], "config": {"webhookUrl": "https://example.com/"}},
    {"name": "device mode", "type": "WEBHOOK", "enabled": true, "isProcessorEnabled": false, "config": {"webhookUrl": "https://example.com/", "connectionMode": {"web": "device"}}}]');
SELECT * FROM pg_temp.shown();
-- hosts that were added stay
UPDATE rswebhook.destination SET allowed_hosts = allowed_hosts || '{other.example.com}' WHERE name = 'template';
SELECT not_mapped FROM rswebhook_import('{"webhookUrl": "{{ event.properties.to || }}"}', 'template');
SELECT url, allowed_hosts FROM rswebhook.destination WHERE name = 'template';
DELETE FROM rswebhook.destination;

-- Hosts that import has put there go with their URL, whatever that becomes; those of others stay, and are said
SELECT not_mapped FROM rswebhook_import('{"webhookUrl": "{{ event.properties.cb || https://Compare.example.com/crm }}"}', 'moved');
SELECT not_mapped FROM rswebhook_import('{"webhookUrl": "{{ event.properties.cb || https://hooks.example.com/crm }}"}', 'moved');
SELECT xmin AS before FROM rswebhook.destination WHERE name = 'moved' \gset
SELECT not_mapped FROM rswebhook_import('{"webhookUrl": "{{ event.properties.cb || https://hooks.example.com/crm }}"}', 'moved');
SELECT url, allowed_hosts, xmin = :'before' AS unchanged FROM rswebhook.destination WHERE name = 'moved';
UPDATE rswebhook.destination SET allowed_hosts = '{mine.example.com,hooks.example.com}' WHERE name = 'moved';
SELECT not_mapped FROM rswebhook_import('{"webhookUrl": "{{ event.properties.cb || https://new.example.com/crm }}"}', 'moved');
SELECT not_mapped FROM rswebhook_import('{"webhookUrl": "{{ event.properties.cb || }}"}', 'moved');
SELECT allowed_hosts FROM rswebhook.destination WHERE name = 'moved';
SELECT not_mapped FROM rswebhook_import('{"webhookUrl": "{{ event.properties.cb || https://new.example.com/crm }}"}', 'moved');
SELECT not_mapped FROM rswebhook_import('{"webhookUrl": "https://new.example.com/crm"}', 'moved');
SELECT url, allowed_hosts FROM rswebhook.destination WHERE name = 'moved';
-- blanks are what they are to a template itself
SELECT not_mapped FROM rswebhook_import(jsonb_build_object('webhookUrl', E'\u00a0{{\ufeffevent.properties.cb\u2003||\u00a0https://hooks.example.com/crm\u00a0}}\ufeff'), 'blanks');
SELECT allowed_hosts FROM rswebhook.destination WHERE name = 'blanks';
DELETE FROM rswebhook.destination;

-- A name that none can have here gets RudderStack's id, wherever it stands and whatever is beside it
SELECT count(*) AS times, t.name, t.imported, t.not_mapped FROM unnest(ARRAY['"Post"', '"CRM "', '" "', '""', 'null', NULL, to_jsonb(repeat('n', 64))::text]) WITH ORDINALITY AS list (given, n)
    CROSS JOIN unnest(ARRAY[1, 2, 3]) AS places (places)
    CROSS JOIN LATERAL (
        SELECT i.name, i.id IS NOT NULL AS imported, i.not_mapped FROM rswebhook_import((
            SELECT jsonb_agg(o.value) FROM (
                SELECT ('{"id": "p' || n || '", "type": "WEBHOOK", "config": {"webhookUrl": "https://example.com/p"}' || coalesce(', "name": ' || given, '') || '}')::jsonb AS value WHERE places IN (1, 2)
                UNION ALL SELECT '{"id": "o1", "name": "Orders", "type": "WEBHOOK", "config": {"webhookUrl": "https://example.com/o"}}' WHERE places IN (2, 3)
                UNION ALL SELECT ('{"id": "p' || n || '", "type": "WEBHOOK", "config": {"webhookUrl": "https://example.com/p"}' || coalesce(', "name": ' || given, '') || '}')::jsonb WHERE places = 3) o)) i) t
    GROUP BY 2, 3, 4 ORDER BY t.name COLLATE "C", 4;
SELECT name, url FROM rswebhook.destination ORDER BY name COLLATE "C";
DELETE FROM rswebhook.destination;

-- It is the one of its id, whatever either is called since, and never a second one
\set one '{"id": "p1", "name": "Post office", "type": "WEBHOOK", "config": {"webhookUrl": "https://example.com/p"}}'
SELECT name, not_mapped FROM rswebhook_import(:'one');
SELECT name, not_mapped FROM rswebhook_import(replace(:'one', 'Post office', 'Mail')::jsonb);
SELECT name, not_mapped FROM rswebhook_import('[{"id": "p2", "name": "Post office", "type": "WEBHOOK", "config": {"webhookUrl": "https://example.com/2"}},
                                                {"id": "p1", "name": "Mail", "type": "WEBHOOK", "config": {"webhookUrl": "https://example.com/p2"}}]');
UPDATE rswebhook.destination SET name = 'Letters' WHERE name = 'Post office';
SELECT name, not_mapped FROM rswebhook_import(replace(:'one', 'Post office', 'Mail')::jsonb);
SELECT name, not_mapped FROM rswebhook_import('{"webhookUrl": "https://example.com/alone"}', 'Letters');
SELECT name, not_mapped FROM rswebhook_import(:'one', 'Mail');
UPDATE rswebhook.destination SET name = 'Mail' WHERE name = 'Letters';
SELECT name, not_mapped FROM rswebhook_import(replace(:'one', 'Post office', 'Mail')::jsonb);
SELECT name, url, enabled FROM rswebhook.destination ORDER BY id;
DELETE FROM rswebhook.destination;

-- Nothing is passed by, whatever it is wrapped in or lacks
SELECT name, id IS NOT NULL AS imported, not_mapped FROM rswebhook_import('[{"id": "a", "name": "good", "type": "WEBHOOK", "config": {"webhookUrl": "https://example.com/"}},
    {"id": "b", "name": "no type", "config": {"webhookMethod": "POST"}}, {"id": "c", "name": "no config", "type": "WEBHOOK"}, {"id": "d", "name": "of another", "type": "S3", "config": {}},
    {"id": "e", "name": "without type", "config": {"apiUrl": "https://example.com/", "auth": "noAuth", "method": "POST", "format": "JSON"}}]');
SELECT name, id IS NOT NULL AS imported, not_mapped FROM rswebhook_import('[{"destinations": [{"id": "m", "name": "m", "type": "WEBHOOK", "config": {"webhookUrl": "https://example.com/"}}]},
    {"result": [{"id": "f", "name": "f", "type": "WEBHOOK", "config": {"webhookUrl": "https://example.com/"}}, {"id": "g", "name": "g", "config": {"webhookUrl": "https://example.com/"}}, {"id": "h", "name": "h", "type": "HTTP"}]}]');
SELECT name, id IS NOT NULL AS imported, not_mapped FROM rswebhook_import('{"foo": {"destinations": [{"id": "i", "name": "i", "type": "WEBHOOK", "config": {"webhookUrl": "https://example.com/"}}, {"id": "j", "name": "j", "config": {}}]},
    "destinations": [{"id": "k", "name": "k", "type": "WEBHOOK", "config": {"webhookUrl": "https://example.com/"}}],
    "settings": {"config": {"retention": 5}, "list": [{"name": "x", "config": {"a": 1}}, "WEBHOOK"]}, "connections": [{"sourceId": "s", "destinationId": "k", "config": {"x": 1}}]}');
SELECT name, enabled FROM rswebhook.destination WHERE name IN ('good', 'k') ORDER BY name;
DELETE FROM rswebhook.destination;
-- connections and sources under any key, or with their ends in them; JSON as text; what is left of something
\set hook '{"id": "k", "name": "k", "type": "WEBHOOK", "config": {"webhookUrl": "https://example.com/"}}'
CREATE FUNCTION pg_temp.said(config jsonb, called text DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    said text := (SELECT string_agg(concat_ws(' ', coalesce(i.name, '-') || CASE WHEN i.id IS NULL THEN ' (not)' ELSE '' END || ':', i.not_mapped), E'\n') FROM rswebhook_import(config, called) i);
BEGIN
    said := said || coalesce(E'\nenabled: ' || (SELECT string_agg(d.name, ' ' ORDER BY d.name) FROM rswebhook.destination d WHERE d.enabled), '');
    DELETE FROM rswebhook.destination;
    RETURN said;
END $$;
SELECT n, pg_temp.said(format(given, :'hook', to_jsonb(:'hook'::text), to_jsonb('[{"sourceId": "s", "destinationId": "k", "enabled": false}]'::text),
                              to_jsonb('{"webhookUrl": "https://example.com/"}'::text))::jsonb) FROM (VALUES
    (1, '{"destinations": [%1$s], "links": [{"sourceId": "s", "destinationId": "k", "enabled": false}]}'),
    (2, '{"destinations": [%1$s], "feeds": {"s": {"id": "s", "name": "Site", "writeKey": "w", "enabled": false}}, "links": {"1": {"source_id": "s", "destination_id": "k"}}}'),
    (3, '{"connections": [{"source": {"id": "s", "name": "Site", "enabled": false}, "destination": %1$s}]}'),
    (4, '{"sources": {"s": {"id": "s", "name": "Site", "connections": [{"destinationId": "k", "enabled": false}]}}, "destinations": {"k": %1$s}}'),
    (5, '[%2$s, {"connections": %3$s}, "kind: destination", 5, null, "{not json"]'),
    (6, '{"destinations": [{"id": "k", "name": "k", "type": "WEBHOOK", "config": %4$s}, {"id": "half", "name": "half"}, "text", {}]}'),
    (7, '{"destinations": [%1$s], "connections": [{"sourceId": "s", "destinationId": "gone"}, {"sourceId": "s"}], "other": {"a": [[{"b": 1}]]}, "empty": [{}], "sources": ["s"]}'),
    (8, '[%1$s, {"kind": "transformation", "spec": {"id": "t", "destinations": [%1$s]}}, {"kind": "data-graph", "spec": null}, {"kind": "destination", "spec": "none"}]'),
    (9, '[%1$s, [[[[[[[[[[[[%1$s]]]]]]]]]]]], {"far": [[[[[[[[[[[5]]]]]]]]]]], "near": [[5]]}]'),
    (10, '"{\"destination\": {\"id\": \"k\", \"name\": \"k\", \"type\": \"WEBHOOK\", \"config\": {\"webhookUrl\": \"https://example.com/\"}}}"')) AS t (n, given) ORDER BY n;
-- more of a list than there is
SELECT not_mapped FROM rswebhook_import(format('[{"destinations": [%s], "paging": {"total": 3}}, {"sources": [], "paging": {"total": 0}}, {"connections": [], "paging": {"total": "many"}}]', :'hook')::jsonb);
-- none, and why
SELECT name FROM rswebhook_import('{"kind": "tracking-plan", "spec": {"id": "plan"}, "links": [{"sourceId": "s", "destinationId": "k"}]}');
DELETE FROM rswebhook.destination;

-- True and false may be texts; what is neither does not count as true
SELECT given, pg_temp.said(:'hook'::jsonb || jsonb_build_object('enabled', given)) AS itself,
    pg_temp.said(jsonb_build_object('destinations', jsonb_build_array(:'hook'::jsonb),
        'connections', jsonb_build_array(jsonb_build_object('sourceId', 's', 'destinationId', 'k', 'enabled', given)))) AS of_connection,
    pg_temp.said(jsonb_build_object('sources', jsonb_build_array(jsonb_build_object('id', 's', 'name', 'S', 'enabled', given,
        'destinations', jsonb_build_array(:'hook'::jsonb))))) AS of_source
FROM unnest(ARRAY['true', '"true"', '" True"', '"FALSE"', '"yes"', '1', 'null', '{"s3cret": true}']::jsonb[]) AS given;
SELECT pg_temp.said('[{"id": "k", "name": "k", "type": "WEBHOOK", "deleted": "true", "config": {"webhookUrl": "https://example.com/"}},
    {"id": "l", "name": "l", "type": "WEBHOOK", "isProcessorEnabled": "false", "config": {"webhookUrl": "https://example.com/"}},
    {"id": "m", "name": "m", "type": "WEBHOOK", "areTransformationsConnected": "true", "config": {"webhookUrl": "https://example.com/"}}]');

-- What goes on delivering though it is not imported any more is told of, by what lists all of them
\set all '[{"id": "a", "name": "gone", "type": "WEBHOOK", "config": {"webhookUrl": "https://example.com/"}}, {"id": "b", "name": "deleted", "type": "WEBHOOK", "config": {"webhookUrl": "https://example.com/"}}, {"id": "c", "name": "other", "type": "WEBHOOK", "config": {"webhookUrl": "https://example.com/"}}, {"id": "d", "name": "off", "type": "WEBHOOK", "enabled": false, "config": {"webhookUrl": "https://example.com/"}}, {"id": "e", "name": "stays", "type": "WEBHOOK", "config": {"webhookUrl": "https://example.com/"}}]'
SELECT count(id) FROM rswebhook_import(:'all');
UPDATE rswebhook.destination SET name = 'called otherwise' WHERE name = 'deleted';
SELECT name, id IS NOT NULL AS imported, not_mapped FROM rswebhook_import('[{"id": "b", "name": "deleted", "type": "WEBHOOK", "deleted": true, "config": {"webhookUrl": "https://example.com/"}},
    {"id": "c", "name": "other", "type": "S3", "config": {}}, {"id": "e", "name": "stays", "type": "WEBHOOK", "config": {"webhookUrl": "ftp://example.com/"}}]');
UPDATE rswebhook.destination SET enabled = false WHERE name IN ('called otherwise', 'stays');
SELECT name, id IS NOT NULL AS imported, not_mapped FROM rswebhook_import('{"destinations": [{"id": "b", "name": "deleted", "type": "WEBHOOK", "deleted": true}, {"id": "e", "name": "stays", "type": "S3"}]}');
-- one by itself says nothing of the others, and nor does a page of several
SELECT name, not_mapped FROM rswebhook_import('{"destination": {"id": "e", "name": "stays", "type": "WEBHOOK", "config": {"webhookUrl": "https://example.com/"}}}');
SELECT name, not_mapped FROM rswebhook_import('{"destinations": [{"id": "e", "name": "stays", "type": "WEBHOOK", "config": {"webhookUrl": "https://example.com/"}}], "paging": {"next": "/v2/destinations?page=2"}}');
-- one that is given the name of another one is that from then on
SELECT name, not_mapped FROM rswebhook_import('{"id": "z", "name": "Z", "type": "WEBHOOK", "config": {"webhookUrl": "https://example.com/"}}', 'stays');
SELECT d.name, i.rudderstack_id FROM rswebhook.imported i JOIN rswebhook.destination d ON d.id = i.destination_id ORDER BY d.name;
DELETE FROM rswebhook.destination;

-- What is no string where there is one in RudderStack is not shown, and neither is a URL that may have a secret in it
SELECT DISTINCT pg_temp.said(jsonb_build_object('webhookUrl', 'https://example.com/', key, given), 'string') FROM unnest('{webhookUrl,webhookMethod}'::text[]) AS key
    CROSS JOIN unnest(ARRAY['{"a": "s3cret"}', '["s3cret"]']::jsonb[]) AS given;
SELECT DISTINCT pg_temp.said(jsonb_build_object('apiUrl', 'https://example.com/', 'format', 'XML', 'auth', auth, 'username', 'u', 'password', 'p', 'bearerToken', 't',
                                                'apiKeyName', 'X-Key', 'apiKeyValue', 'v', key, given), 'string')
    FROM unnest('{apiUrl,method,format,xmlRootKey,username,password,bearerToken,apiKeyName,apiKeyValue}'::text[]) AS key
    CROSS JOIN unnest('{basicAuth,bearerTokenAuth,apiKeyAuth}'::text[]) AS auth
    CROSS JOIN unnest(ARRAY['{"a": "s3cret"}', '["s3cret"]']::jsonb[]) AS given ORDER BY 1;
SELECT pg_temp.said(jsonb_build_array('{"type": "WEBHOOK", "config": {"webhookUrl": "https://example.com/"}}'::jsonb || given, :'hook'::jsonb))
FROM unnest(ARRAY['{"id": "n1", "name": {"a": "s3cret"}}', '{"id": {"a": "s3cret"}, "name": "n2"}', '{"id": ["s3cret"], "name": ["s3cret"]}',
    '{"id": "n4", "name": true}', '{"id": "n5", "name": "n5", "type": {"a": "s3cret"}}', '{"id": 6, "name": 7}']::jsonb[]) AS given;
SELECT pg_temp.said(jsonb_build_object('webhookUrl', u), u) FROM unnest(ARRAY['user:s3cret@example.com/in', 'user:s3cret', '//user:s3cret@example.com', 'https:user:s3cret@example.com',
    'https://user:s3cret%40example.com', '{"url": "https://s3cret/"}', 'example.com:8443/in', 'localhost:8080']) AS u;

-- Entries of lists that say nothing: as in RudderStack, or told
SELECT key, given, pg_temp.said(jsonb_build_object('apiUrl', 'https://example.com/', 'auth', 'noAuth', 'method', 'POST', 'format', 'JSON',
        CASE key WHEN 'whitelistedEvents' THEN 'eventFilteringOption' ELSE 'hasDynamicConfig' END, 'whitelistedEvents', key, jsonb_build_array(given)), 'list')
    FROM unnest('{headers,queryParams,propertiesMapping,pathParams,whitelistedEvents}'::text[]) AS key
    CROSS JOIN unnest(ARRAY['{"to": "", "from": ""}', '{"id": "POST", "name": ""}', '{"path": ""}', '{"eventName": ""}', '{}', 'null', '""', '5', '[]']::jsonb[]) AS given;
SELECT key, given, pg_temp.said(jsonb_build_object('webhookUrl', 'https://example.com/', key, jsonb_build_array(given)), 'list')
    FROM unnest('{consentManagement,oneTrustCookieCategories,ketchConsentPurposes}'::text[]) AS key
    CROSS JOIN unnest(ARRAY['{"id": "POST", "name": ""}', '{}', 'null', '""', '5', '{"provider": "", "consents": []}']::jsonb[]) AS given;
SELECT i.not_mapped FROM rswebhook_import('{"webhookUrl": "https://example.com/", "consentManagement": [{}, {"provider": "ketch", "consents": [{}, null, {"consent": ""}, "a"]}]}', 'consent') i;
SELECT consent FROM rswebhook.destination;
DELETE FROM rswebhook.destination;
SELECT pg_temp.said('[{"id": "POST", "name": "", "type": "WEBHOOK", "config": {"webhookUrl": "https://example.com/"}}, {"id": "get", "type": "WEBHOOK", "config": {"webhookUrl": "https://example.com/"}}]');

-- Each makes the requests that its Config stands for
CREATE FUNCTION pg_temp.comparable(request jsonb) RETURNS jsonb LANGUAGE sql AS $$
    SELECT request || jsonb_build_object('headers', (SELECT jsonb_object_agg(lower(h.key), h.value) FROM jsonb_each(request -> 'headers') h))
$$;
CREATE FUNCTION pg_temp.made(event jsonb, config jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    RETURN pg_temp.comparable(CASE WHEN config IS NULL THEN rswebhook_transform(event, 'same') ELSE rswebhook_transform(event, config) END);
EXCEPTION WHEN invalid_parameter_value THEN
    RETURN '"it cannot be made"';
END $$;
CREATE FUNCTION pg_temp.wired(config jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    said text := (SELECT i.not_mapped FROM rswebhook_import(config, 'same') i);
    of_row jsonb := rswebhook.wire('{"type": "track"}'::jsonb, 'same'::text) -> 'headers';
BEGIN
    DELETE FROM rswebhook.destination;
    RETURN CASE WHEN of_row - 'webhook-id' = rswebhook.wire('{"type": "track"}'::jsonb, config) -> 'headers' THEN of_row - 'webhook-id' ELSE of_row END;
END $$;
CREATE FUNCTION pg_temp.same(config jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    event jsonb := '{"type": "identify", "userId": "u 1", "anonymousId": "a", "fullPath": "https://example.com/own", "header": {"X-Own": "o"}, "request_ip": "1.2.3.4",
                     "context": {"tenant": "acme"}, "traits": {"name": "n", "list": [{"sku": "A"}, {"sku": "B"}], "none": null}, "integrations": {"All": true}}';
    said text := (SELECT i.not_mapped FROM rswebhook_import(config, 'same') i);
    of_config jsonb := pg_temp.made(event, config);
    of_row jsonb := pg_temp.made(event, NULL);
BEGIN
    DELETE FROM rswebhook.destination;
    RETURN CASE WHEN of_config = of_row THEN 'same' ELSE concat_ws(' ', said, of_config, of_row) END;
END $$;
SELECT pg_temp.same('{"webhookUrl": "https://example.com/in?a=1"}');
SELECT pg_temp.same('{"webhookUrl": "https://example.com/in", "webhookMethod": "DELETE", "headers": [{"from": "X-A", "to": "1"}, {"from": "x-a", "to": "2"}, {"from": " ", "to": "3"}, "none"]}');
SELECT pg_temp.same('{"webhookUrl": "https://example.com/in", "webhookMethod": "PATCH", "headers": [{"from": "X-T", "to": "{{ event.context.tenant || x }}"}, {"from": "Content-Type", "to": "text/plain"}]}');
SELECT pg_temp.same('{"apiUrl": "https://example.com/in", "method": "POST", "format": "JSON", "auth": "noAuth", "isDefaultMapping": true}');
SELECT pg_temp.same('{"apiUrl": "https://example.com//in", "method": "GET", "format": "JSON", "auth": "basicAuth", "username": "u", "password": "p:w", "pathParams": []}');
SELECT pg_temp.same('{"apiUrl": "https://example.com/in", "method": "PUT", "format": "FORM", "auth": "bearerTokenAuth", "bearerToken": "t", "propertiesMapping": [{"to": "$.a.b", "from": "$.traits.name"}, {"to": "$.c", "from": "lit"}], "queryParams": [{"to": "q", "from": "$.userId"}], "pathParams": [{"path": "users"}, {"path": "$.userId"}]}');
SELECT pg_temp.same('{"apiUrl": "https://example.com/in", "method": "POST", "format": "XML", "xmlRootKey": "order", "auth": "apiKeyAuth", "apiKeyName": "X-Key", "apiKeyValue": "k", "propertiesMapping": [{"to": "$.items[*].id", "from": "$.traits.list[*].sku"}], "headers": [{"to": "X-A", "from": "1"}, {"to": "X-A", "from": "2"}, {"to": "Content-Type", "from": "x"}, {"to": "X-U", "from": "$.userId"}, {"to": "X-M", "from": "$.missing"}, {"to": "", "from": "x"}]}');
SELECT pg_temp.same('{"apiUrl": "https://example.com/in", "method": "POST", "format": "JSON", "auth": "bearerTokenAuth", "bearerToken": "t", "isDefaultMapping": "yes", "headers": [{"to": "Authorization", "from": "own"}]}');
SELECT pg_temp.same('{"apiUrl": "https://example.com/in", "method": "POST", "format": "JSON", "auth": "basicAuth", "username": "u", "password": "p", "headers": [{"to": "authorization", "from": "own"}]}');
-- as what is no string is sent
SELECT pg_temp.wired('{"webhookUrl": "https://example.com/in", "headers": [{"from": "X-A", "to": {"bb": [1, "a b", 2.50], "a": {}}}, {"from": "X-B", "to": true}, {"from": "X-C", "to": []}]}');
-- in the same order, so that each takes the same out of the event, or fails
SELECT pg_temp.same(config) FROM unnest(ARRAY[
    '{"webhookUrl": "{{ event.context.tenant || https://example.com/ }}", "webhookMethod": "{{ event.context.tenant || PUT }}", "headers": [{"from": "A", "to": "{{ event.context.tenant || h }}"}, {"from": "B", "to": "{{ event.context.tenant || g }}"}]}',
    '{"apiUrl": "https://example.com/", "auth": "noAuth", "method": "{{ event.context.tenant || PUT }}", "format": "JSON", "headers": [{"to": "X", "from": "{{ event.context.tenant || h }}"}], "propertiesMapping": [{"to": "b", "from": "{{ event.context.tenant || b }}"}]}',
    '{"apiUrl": "https://example.com/", "auth": "noAuth", "method": "POST", "format": "JSON", "headers": [{"to": "Long", "from": "{{ event.traits.name || h }}"}, {"to": "A", "from": "{{ event.traits.name || g }}"}], "queryParams": [{"to": "q", "from": "{{ event.context.tenant || q }}"}], "pathParams": [{"path": "{{ event.context.tenant || p }}"}], "propertiesMapping": [{"to": "b", "from": "{{ event.context.tenant || b }}"}, {"to": "c", "from": "{{ event.context || c }}"}]}',
    '{"apiUrl": "{{ event.userId || https://example.com/ }}", "auth": "noAuth", "method": "POST", "format": "JSON", "queryParams": [{"to": "q", "from": "{{ event.userId || q }}"}], "isDefaultMapping": true}',
    '{"apiUrl": "https://example.com/", "auth": "noAuth", "method": "POST", "format": "JSON", "headers": [{"to": "Authorization", "from": "{{ event.traits.list || 5 }}"}], "queryParams": [{"to": "q", "from": "{{ event.traits.list || 5 }}"}]}']::jsonb[]) AS config;
-- a header's name as well
SELECT pg_temp.same(config) FROM unnest(ARRAY[
    '{"apiUrl": "https://example.com/", "auth": "noAuth", "method": "POST", "format": "JSON", "headers": [{"to": "X-A", "from": "$.userId"}, {"to": "{{ event.context.tenant || X-D }}", "from": "v"}, {"to": "X-B", "from": "{{ event.context.tenant || b }}"}]}',
    '{"apiUrl": "https://example.com/", "auth": "noAuth", "method": "POST", "format": "JSON", "headers": [{"to": "{{ event.context.missing || X-D }}", "from": "v"}]}',
    '{"apiUrl": "https://example.com/", "auth": "noAuth", "method": "POST", "format": "JSON", "headers": [{"to": "{{ event.traits || X-D }}", "from": "v"}]}']::jsonb[]) AS config;
SELECT not_mapped FROM unnest(ARRAY['"headers": [{"to": "{{ event.h || X-D }}", "from": "$.userId"}]', '"headers": [{"to": "X-A", "from": "{{ event.h || a }}"}, {"to": "{{ event.h || X-D }}", "from": "v"}]',
    '"queryParams": [{"to": "{{ event.h || q }}", "from": "v"}]', '"propertiesMapping": [{"to": "{{ event.h || b }}", "from": "v"}]']) AS list,
    rswebhook_import(('{"apiUrl": "https://example.com/", "auth": "noAuth", "method": "POST", "format": "JSON", ' || list || '}')::jsonb, 'named');
-- what counts of several of a name, and what is HTTP
SELECT pg_temp.same(config) FROM unnest(ARRAY[
    '{"webhookUrl": "https://example.com/w", "apiUrl": "https://example.com/h", "auth": "noAuth", "method": "PUT", "format": "JSON"}',
    '{"apiUrl": "{{ event.context.missing || HTTPS://example.com/x }}", "auth": "noAuth", "method": "POST", "format": "JSON"}',
    '{"apiUrl": "https://example.com/", "auth": "noAuth", "method": "POST", "format": "JSON", "headers": [{"to": "X-A", "from": "lit"}, {"to": "X-A", "from": "env.KEY"}, {"to": "X-A", "from": "$.userId"}]}',
    '{"apiUrl": "https://example.com/", "auth": "noAuth", "method": "POST", "format": "JSON", "headers": [{"to": "X-A", "from": ""}, {"to": "X-A", "from": "$.userId"}, {"to": "X-A", "from": "last"}, {"to": "", "from": null}]}']::jsonb[]) AS config;
SELECT name, not_mapped FROM rswebhook_import('[
    {"name": "first of the environment", "type": "HTTP", "enabled": true, "config": {"apiUrl": "https://example.com/", "auth": "noAuth", "method": "POST", "format": "JSON", "headers": [{"to": "X-A", "from": "env.KEY"}, {"to": "X-A", "from": "s3cret"}]}},
    {"name": "null", "type": "HTTP", "config": {"apiUrl": "https://example.com/", "auth": "noAuth", "method": "POST", "format": "JSON", "headers": [{"to": "X-A", "from": null}]}},
    {"name": "number", "type": "HTTP", "config": {"apiUrl": "https://example.com/", "auth": "noAuth", "method": "POST", "format": "JSON", "headers": [{"to": "X-A", "from": 5}]}},
    {"name": "one template", "type": "WEBHOOK", "config": {"webhookUrl": "https://example.com/", "headers": [{"from": "{{ event.x || X-A }}", "to": "s3cret"}, {"from": "{{ event.x || X-A }}", "to": "s3cret"}]}},
    {"name": "no type", "type": "WEBHOOK", "enabled": true, "config": {"webhookUrl": "https://example.com/", "headers": [{"from": "content-type", "to": "a/b"}, {"from": "Content-Type"}]}},
    {"name": "no type to take away", "type": "WEBHOOK", "enabled": true, "config": {"webhookUrl": "https://example.com/", "webhookMethod": "GET", "headers": [{"from": "content-type"}]}},
    {"name": "taken in vain", "type": "HTTP", "enabled": true, "config": {"apiUrl": "https://example.com/", "auth": "noAuth", "method": "POST", "format": "JSON", "isDefaultMapping": true, "propertiesMapping": [{"to": "b", "from": "{{ event.x || s3cret }}"}], "headers": [{"to": "X-A", "from": "{{ event.y || a }}"}]}},
    {"name": "taken by the first", "type": "WEBHOOK", "enabled": true, "config": {"webhookUrl": "https://example.com/", "headers": [{"from": "X-A", "to": "{{ message.y.z || s3cret }}"}, {"from": "x-a", "to": "v"}]}}]');
SELECT * FROM pg_temp.shown();
DELETE FROM rswebhook.destination;
-- a webhook destination's headers by their names
SELECT not_mapped FROM rswebhook_import('{"webhookUrl": "https://example.com/", "headers": [{"from": "Long", "to": "{{ event.context.tenant || s3cret }}"}, {"from": "A", "to": "{{ message.context || s3cret }}"}, {"from": "B", "to": "{{ event.userId || d }}"}, {"from": "BB", "to": "{{ event.userId || d }}"}]}', 'order');
DELETE FROM rswebhook.destination;

-- Many keys, and many destinations
SELECT length(not_mapped) < 2000 AS is_short, right(not_mapped, 40)
    FROM rswebhook_import((SELECT jsonb_object_agg(repeat('k', 80) || n, n) || '{"webhookUrl": "https://example.com/"}' FROM generate_series(1, 1000) n), 'many');
SELECT count(id), count(not_mapped) FROM rswebhook_import((
    SELECT jsonb_build_object('destinations', jsonb_agg(jsonb_build_object('id', n, 'name', 'hook ' || n, 'type', 'WEBHOOK', 'enabled', true,
        'config', jsonb_build_object('webhookUrl', 'https://example.com/' || n)))) FROM generate_series(1, 100) n));
DELETE FROM rswebhook.destination;

-- However deep something is
SELECT name, id IS NOT NULL AS imported, not_mapped FROM rswebhook_import((repeat('[', 3000) || '{"webhookUrl": "https://example.com/"}' || repeat(']', 3000))::jsonb, 'deep');
SELECT name, id IS NOT NULL AS imported, not_mapped FROM rswebhook_import('[{"data": {"destinations": {"d": {"name": "by id", "type": "WEBHOOK", "config": {"webhookUrl": "https://example.com/"}}}}}]');
DELETE FROM rswebhook.destination;

-- One of another workspace is another one, whatever its name is; and an empty id is none
SELECT i.name, i.id IS NOT NULL AS imported, i.not_mapped FROM unnest(ARRAY['prod1', 'dev1', 'prod1', 'dev1']) WITH ORDINALITY AS w (given, n)
    CROSS JOIN LATERAL rswebhook_import(jsonb_build_array(jsonb_build_object('id', w.given, 'name', 'CRM', 'type', 'WEBHOOK', 'config',
        jsonb_build_object('webhookUrl', format('https://%s.example.com/', w.given))))) AS i ORDER BY w.n;
SELECT name, id IS NOT NULL AS imported, not_mapped FROM rswebhook_import('[{"id": "", "name": "empty a", "type": "WEBHOOK", "config": {"webhookUrl": "https://example.com/a"}},
    {"id": "", "name": "empty b", "type": "WEBHOOK", "config": {"webhookUrl": "https://example.com/b"}}]');
SELECT name, url FROM rswebhook.destination ORDER BY name;
DELETE FROM rswebhook.destination;
-- A host is the same one however it is written
INSERT INTO rswebhook.destination (name, url, allowed_hosts) VALUES ('written', 'https://example.com/', ARRAY[E'for\u00eat.example']);
SELECT count(*) FROM generate_series(1, 3) CROSS JOIN LATERAL
    rswebhook_import(jsonb_build_object('webhookUrl', E'{{ event.cb || https://for\u00eat.example/crm }}'), 'written');
SELECT allowed_hosts FROM rswebhook.destination;
DELETE FROM rswebhook.destination;

-- An editor imports, and nobody else; what his rows are not, is an error
CREATE ROLE regress_importer;
CREATE ROLE regress_other;
SELECT rswebhook.grant_editor('regress_importer');
SET ROLE regress_importer;
SELECT name, id IS NOT NULL AS imported FROM rswebhook_import('{"webhookUrl": "https://example.com/in"}', 'edited');
RESET ROLE;
REVOKE INSERT ON rswebhook.destination FROM regress_importer;
SET ROLE regress_importer;
SELECT name, id IS NOT NULL AS imported FROM rswebhook_import('{"webhookUrl": "https://example.com/in"}', 'not edited');
RESET ROLE;
SET ROLE regress_other;
SELECT name, id IS NOT NULL AS imported, not_mapped FROM rswebhook_import('{"webhookUrl": "https://example.com/in"}', 'edited');
RESET ROLE;
-- what somebody's trigger says is said, and what it does not do as well
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN IF NEW.name = 'silent' THEN RETURN NULL; END IF; RAISE 'No more hooks'; END $$;
CREATE TRIGGER refuse BEFORE INSERT ON rswebhook.destination FOR EACH ROW EXECUTE FUNCTION refuse();
SELECT name, id IS NOT NULL AS imported, not_mapped FROM rswebhook_import('{"webhookUrl": "https://example.com/in"}', 'refused');
SELECT name, id IS NOT NULL AS imported, not_mapped FROM rswebhook_import('{"webhookUrl": "https://example.com/in"}', 'silent');
DROP TRIGGER refuse ON rswebhook.destination;
DROP FUNCTION refuse;
DROP OWNED BY regress_importer;
DROP ROLE regress_importer, regress_other;
DELETE FROM rswebhook.destination;
