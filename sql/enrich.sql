--
-- What RudderStack's gateway adds to an event, for those who want that
--
\pset format unaligned
\pset tuples_only on
SET TimeZone = 'Asia/Kolkata';

INSERT INTO rswebhook.destination (name, url, paused) VALUES ('enriched', 'https://enriched.example', true);

-- What is stored; what is different each time by what is true of it, and without the
-- address of whoever runs this, if there is one.
CREATE FUNCTION pg_temp.stored(id bigint) RETURNS jsonb LANGUAGE sql AS $$
    SELECT event FROM rswebhook.event e WHERE e.id = stored.id
$$;
CREATE FUNCTION pg_temp.shown(event jsonb) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_object_agg(key, CASE
        WHEN value #>> '{}' ~ '^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$' AND key = 'messageId' THEN '"new"'
        WHEN value #>> '{}' ~ '^[0-9-]{10}T[0-9:]{8}\.[0-9]{3}Z$' AND abs(extract(epoch FROM clock_timestamp() - (value #>> '{}')::timestamptz)) < 600 THEN '"now"'
        WHEN key = 'context' AND jsonb_typeof(value) = 'object' AND value ->> 'ip' = host(inet_client_addr()) THEN value - 'ip'
        ELSE value END)
    FROM jsonb_each(event)
    WHERE host(inet_client_addr()) IS NULL
        OR (key, value #>> '{}') <> ('request_ip', host(inet_client_addr()))
        AND (key, value) <> ('context', jsonb_build_object('ip', host(inet_client_addr())))
$$;
CREATE FUNCTION pg_temp.reason(sql text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
    hint text;
    context text;
BEGIN
    EXECUTE sql;
    RETURN 'accepted';
EXCEPTION WHEN invalid_parameter_value OR program_limit_exceeded THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT, context = PG_EXCEPTION_CONTEXT;
    RETURN format('%s %s | %s | %s | %s', sqlstate, sqlerrm, detail, hint, substring(context FROM '^event [^\n]*'));
END
$$;

-- off, unless told
SELECT pg_temp.stored(rswebhook_send('{"type": "track", "userId": "u1"}', 'enriched'));
SELECT pg_temp.stored(rswebhook_send('{"type": "track", "userId": "u1"}', 'enriched', enrich => false));
SELECT pg_temp.shown(pg_temp.stored(rswebhook_send('{"type": "track", "userId": "u1", "anonymousId": "an1"}', 'enriched', enrich => true)));
-- what is there stays, in its form
SELECT pg_temp.shown(pg_temp.stored(rswebhook_send('{"userId": "u1", "messageId": " m 1 ", "rudderId": "r", "request_ip": "192.0.2.1",
    "originalTimestamp": "2020-01-01T05:30:00+05:30", "sentAt": "2020-01-01", "receivedAt": "2020-01-01T00:00:00.5Z", "timestamp": "1600000000",
    "context": {"ip": "192.0.2.2", "library": {"name": "mine"}}, "properties": null}', 'enriched', enrich => true)));
SELECT pg_temp.shown(pg_temp.stored(rswebhook_send('{"userId": "u1", "originalTimestamp": 1600000000, "sentAt": null, "messageId": 5,
    "timestamp": "2020-01-01T00:00:00Z", "context": "none"}', 'enriched', enrich => true)));
-- by our clock
SELECT e ->> 'timestamp', (e ->> 'receivedAt')::timestamptz - (e ->> 'timestamp')::timestamptz
FROM pg_temp.stored(rswebhook_send('{"userId": "u1", "receivedAt": "2026-01-01T12:01:00Z",
    "originalTimestamp": "2026-01-01T12:00:00Z", "sentAt": "2026-01-01T12:00:05Z"}', 'enriched', enrich => true)) e;
-- all of an event's times are of one moment
SELECT count(DISTINCT e ->> k) FROM pg_temp.stored(rswebhook_send('{"userId": "u1"}', 'enriched', enrich => true)) e,
    unnest(ARRAY['receivedAt', 'originalTimestamp', 'sentAt', 'timestamp']) k;

-- the setting, and what a call says of it
SET rswebhook.enrich = on;
SELECT pg_temp.stored(rswebhook_send('{"userId": "u1"}', 'enriched')) ? 'rudderId';
SELECT pg_temp.stored(rswebhook_send('{"userId": "u1"}', 'enriched', enrich => NULL)) ? 'rudderId';
SELECT pg_temp.stored(rswebhook_send('{"userId": "u1"}', 'enriched', enrich => false)) ? 'rudderId';
SET rswebhook.enrich = off;
SELECT pg_temp.stored(rswebhook_send('{"userId": "u1"}', 'enriched', enrich => true)) ? 'rudderId';
-- a statement that was prepared before follows it
PREPARE send(jsonb) AS SELECT pg_temp.stored(rswebhook_send($1, 'enriched')) ? 'rudderId';
EXECUTE send('{"userId": "u1"}');
SET rswebhook.enrich = on;
EXECUTE send('{"userId": "u1"}');
RESET rswebhook.enrich;
PREPARE send_so(jsonb, boolean) AS SELECT pg_temp.stored(rswebhook_send($1, 'enriched', enrich => $2)) ? 'rudderId';
EXECUTE send_so('{"userId": "u1"}', true);
EXECUTE send_so('{"userId": "u1"}', NULL);

-- what a table sends is not for whoever changes it to have refused
CREATE ROLE regress_sender;
SET ROLE regress_sender;
SET rswebhook.enrich = on;
RESET ROLE;
DROP ROLE regress_sender;

-- who is nobody is refused, with the setting as well
SELECT e, pg_temp.reason(format('SELECT rswebhook_send(%L, %L, enrich => true)', e, 'enriched'))
FROM unnest(ARRAY['{}', '{"type": "track", "event": "E"}', '{"userId": ""}', '{"userId": " ", "anonymousId": null}', '{"userId": "\u200b"}',
    '{"userId": 0}', '{"anonymousId": "x"}', '{"type": "extract"}', '{"type": "rETL"}', '[]', '{"userId": "u", "statusCode": 200}']::jsonb[]) e;
SELECT pg_temp.reason($$SELECT rswebhook_send('{}', 'enriched')$$);
-- for all of them, and when nobody takes it
SELECT pg_temp.reason($$SELECT rswebhook_send('{}', enrich => true)$$);

-- its size is that of what is stored
SELECT set_config('rswebhook.max_event_size', '1024', false);
SELECT n, pg_temp.reason(format('SELECT rswebhook_send(jsonb_build_object(%L, %L, %L, repeat(%L, %s)), %L, enrich => %L)', 'userId', 'u', 'p', 'x', n, 'enriched', enrich))
FROM (VALUES (500, true), (900, true), (900, false)) v (n, enrich);
RESET rswebhook.max_event_size;

-- the same message once: by what it is then
SELECT rswebhook_send('{"userId": "u", "messageId": "once "}', 'enriched', deduplicate => '1 day', enrich => true) AS first \gset
SELECT rswebhook_send('{"userId": "u", "messageId": " once"}', 'enriched', deduplicate => '1 day', enrich => true) = :first;
SELECT rswebhook_send('{"userId": "u"}', 'enriched', deduplicate => '1 day', enrich => true)
    <> rswebhook_send('{"userId": "u"}', 'enriched', deduplicate => '1 day', enrich => true);

--
-- Batches: an element's sentAt counts, and nothing beside them
--
SELECT pg_temp.shown(pg_temp.stored(id)) FROM rswebhook_send_batch('{"batch": [{"userId": "u1", "messageId": "b1"},
    {"userId": "u2", "messageId": "b2", "sentAt": "2020-01-01T00:00:00Z", "originalTimestamp": "2020-01-01T00:00:00Z", "request_ip": "192.0.2.9"},
    {"userId": "u3", "messageId": "b3"}], "sentAt": "2021-01-01T00:00:00Z", "context": {"a": 1}, "userId": "nobody"}', 'enriched', enrich => true) id;
SELECT count(*) AS before FROM rswebhook.event \gset
SELECT pg_temp.reason($$SELECT * FROM rswebhook_send_batch('{"batch": [{"userId": "u1"}, {"userId": "u2"}, {"userId": " "}]}', 'enriched', enrich => true)$$);
SELECT pg_temp.reason($$SELECT * FROM rswebhook_send_batch('[{"event": "E"}]', 'enriched', enrich => true)$$);
SELECT count(*) - :before FROM rswebhook.event;

--
-- Triggers
--
CREATE TABLE enriched_rows (id int, customer text);
CREATE TRIGGER send AFTER INSERT ON enriched_rows FOR EACH ROW
    EXECUTE FUNCTION rswebhook_trigger('enriched', 'Added', 'user_id=customer', 'enrich=true');
CREATE FUNCTION pg_temp.last() RETURNS jsonb LANGUAGE sql AS $$
    SELECT pg_temp.shown(event) FROM rswebhook.event ORDER BY id DESC LIMIT 1
$$;
INSERT INTO enriched_rows VALUES (1, 'ann');
SELECT pg_temp.last();
-- by the statement as well
CREATE OR REPLACE TRIGGER send AFTER INSERT ON enriched_rows REFERENCING NEW TABLE AS new FOR EACH STATEMENT
    EXECUTE FUNCTION rswebhook_trigger('enriched', 'Added', 'user_id=customer', 'enrich=true');
INSERT INTO enriched_rows VALUES (2, 'ann'), (3, NULL), (4, 'bob');
SELECT event #> '{properties,id}', event ? 'rudderId' FROM rswebhook.event ORDER BY id DESC LIMIT 3;
SELECT error FROM rswebhook.delivery WHERE outcome = 'refused' ORDER BY event_id DESC LIMIT 1;
CREATE OR REPLACE TRIGGER send AFTER INSERT ON enriched_rows FOR EACH ROW
    EXECUTE FUNCTION rswebhook_trigger('enriched', 'Added', 'user_id=customer', 'enrich=true', 'on_error=raise');
INSERT INTO enriched_rows VALUES (5, ' ');
-- what is refused for another reason is kept as it would have been stored
CREATE OR REPLACE TRIGGER send AFTER INSERT ON enriched_rows FOR EACH ROW
    EXECUTE FUNCTION rswebhook_trigger('', 'Added', 'user_id=customer', 'enrich=true', 'destination_column=customer');
INSERT INTO enriched_rows VALUES (6, 'nowhere');
SELECT event ? 'rudderId' FROM rswebhook.event e JOIN rswebhook.delivery d ON e.id = d.event_id WHERE outcome = 'refused' ORDER BY e.id DESC LIMIT 1;
-- the setting is that of who changes the row, unless the trigger says so itself
CREATE OR REPLACE TRIGGER send AFTER INSERT ON enriched_rows FOR EACH ROW
    EXECUTE FUNCTION rswebhook_trigger('enriched', 'Added', 'user_id=customer');
SET rswebhook.enrich = on;
INSERT INTO enriched_rows VALUES (7, 'ann');
SELECT pg_temp.last() ? 'rudderId';
CREATE OR REPLACE TRIGGER send AFTER INSERT ON enriched_rows FOR EACH ROW
    EXECUTE FUNCTION rswebhook_trigger('enriched', 'Added', 'enrich=false');
INSERT INTO enriched_rows VALUES (8, 'ann');
SELECT pg_temp.last() ? 'rudderId';
-- others' shapes are not RudderStack's
CREATE OR REPLACE TRIGGER send AFTER INSERT ON enriched_rows FOR EACH ROW
    EXECUTE FUNCTION rswebhook_trigger('enriched', '', 'shape=supabase');
INSERT INTO enriched_rows VALUES (9, 'ann');
SELECT pg_temp.last();
RESET rswebhook.enrich;
DROP TRIGGER send ON enriched_rows;
CREATE TRIGGER send AFTER INSERT ON enriched_rows FOR EACH ROW
    EXECUTE FUNCTION rswebhook_trigger('enriched', '', 'shape=supabase', 'enrich=true');
INSERT INTO enriched_rows VALUES (10, 'ann');
SELECT problem, hint FROM rswebhook.trigger_problems() WHERE "table" = 'enriched_rows'::regclass;
DROP TRIGGER send ON enriched_rows;
CREATE TRIGGER send AFTER INSERT ON enriched_rows FOR EACH ROW
    EXECUTE FUNCTION rswebhook_trigger('enriched', '', 'enrich=yes');
INSERT INTO enriched_rows VALUES (11, 'ann');
DROP TABLE enriched_rows;

--
-- Outboxes
--
CREATE TABLE enriched_outbox (event jsonb);
CREATE TRIGGER send AFTER INSERT ON enriched_outbox FOR EACH ROW
    EXECUTE FUNCTION rswebhook_outbox('destination=enriched', 'enrich=true', 'keep=false');
INSERT INTO enriched_outbox VALUES ('{"userId": "u1", "messageId": "o1"}'), ('{"event": "E"}');
SELECT pg_temp.shown(event) FROM rswebhook.event ORDER BY id DESC LIMIT 2;
SELECT error FROM rswebhook.delivery WHERE outcome = 'refused' ORDER BY event_id DESC LIMIT 1;
-- and is not sent without what enrich adds, later on, whoever asks
SELECT substring(error FROM '^trigger "[^:]*: event has neither'), count(*) FROM rswebhook.delivery v JOIN rswebhook.destination d ON d.id = v.destination_id
    WHERE outcome = 'refused' AND d.name = 'enriched' AND error ~ 'has neither' GROUP BY 1 ORDER BY 1;
SELECT rswebhook_replay_all('enriched', since => NULL, outcome => 'refused', error_like => error, dry_run => true)
    FROM unnest(ARRAY['%has neither%', '%RudderStack%']) AS error;
SELECT rswebhook_replay_all('enriched', since => NULL, outcome => 'refused', dry_run => true),
       rswebhook_replay_all('enriched', since => NULL, outcome => NULL, error_like => '%has neither%', dry_run => true);
SELECT count(rswebhook_replay(event_id, dry_run => true)) AS events, sum(rswebhook_replay(event_id, dry_run => true)) AS queued, count(replay) AS offered
    FROM rswebhook.failed WHERE destination = 'enriched' AND error ~ 'has neither' AND event_id <> 0;
-- what is refused stays
SELECT * FROM enriched_outbox;
-- whatever else was wrong with it: that its owner may not send there, that it is too large with what is added, ...
CREATE ROLE regress_enriched;
INSERT INTO rswebhook.destination (name, url) VALUES ('its own', 'https://example.com/own');
SELECT rswebhook_grant_send('regress_enriched', 'its own');
ALTER TABLE enriched_outbox ADD target text;
CREATE OR REPLACE TRIGGER send AFTER INSERT ON enriched_outbox FOR EACH ROW
    EXECUTE FUNCTION rswebhook_outbox('destination_column=target', 'enrich=true');
SELECT max(id) AS before FROM rswebhook.event \gset
INSERT INTO enriched_outbox VALUES ('{"event": "E", "userId": "u", "header": {"Host": "x"}}', 'enriched');
SET rswebhook.max_event_size = 1024;
INSERT INTO enriched_outbox VALUES (jsonb_build_object('userId', 'u', 'e', repeat('x', 900)), 'enriched');
RESET rswebhook.max_event_size;
ALTER TABLE enriched_outbox OWNER TO regress_enriched;
INSERT INTO enriched_outbox VALUES ('{"event": "E"}', 'enriched'), ('{"event": "E"}', 'nowhere "enriched"'), ('{"event": "E", "userId": "u"}', 'enriched');
INSERT INTO rswebhook.destination (name, url) VALUES ('nowhere "enriched"', 'https://example.com/later');
SELECT substring(v.error FROM '^.*?(?<=["d)]): .{30}') AS error, v.event_id <> 0 AS kept, e.event ? 'rudderId' AS enriched, rswebhook.refused_for(v.error),
       rswebhook.is_not_permitted(v.outcome, v.error) AS denied, rswebhook.is_not_enriched(v.outcome, v.error) AS raw,
       rswebhook_replay(v.event_id, dry_run => true) AS again, f.replay IS NOT NULL AS offered
    FROM rswebhook.delivery v LEFT JOIN rswebhook.event e ON e.id = v.event_id LEFT JOIN rswebhook.failed f ON f.event_id = v.event_id
    WHERE v.outcome = 'refused' AND v.event_id > :before ORDER BY v.event_id;
SELECT name, rswebhook_replay_all(name, since => NULL, outcome => 'refused', dry_run => true) AS some,
       rswebhook_replay_all(name, since => NULL, outcome => 'refused', error_like => '%permission denied%', dry_run => true) AS denied,
       rswebhook_replay_all(name, since => NULL, outcome => 'refused', error_like => '%', dry_run => true) AS all
    FROM unnest(ARRAY['enriched', 'nowhere "enriched"']) AS name;
DROP TABLE enriched_outbox;
DROP OWNED BY regress_enriched;
DROP ROLE regress_enriched;
DELETE FROM rswebhook.sender;
DELETE FROM rswebhook.destination WHERE name <> 'enriched';
CREATE TABLE enriched_outbox (type text, who text);
CREATE TRIGGER send AFTER INSERT ON enriched_outbox FOR EACH ROW
    EXECUTE FUNCTION rswebhook_outbox('destination=enriched', 'type=type', 'user_id=who');
INSERT INTO enriched_outbox VALUES ('track', 'u1');
SELECT pg_temp.last();
SET rswebhook.enrich = on;
INSERT INTO enriched_outbox VALUES ('track', 'u1');
SELECT pg_temp.last();
RESET rswebhook.enrich;
DROP TABLE enriched_outbox;

--
-- An event's own headers that no request can have
--
SELECT h, pg_temp.reason(format('SELECT rswebhook_send(%L, %L)', jsonb_build_object('header', h), 'enriched'))
FROM unnest(ARRAY['{"Host": "x"}', '{"host": null}', '{"CONNECTION": "close"}', '{"content-Length": 5}', '{"Transfer_Encoding": "chunked"}',
    '{"Webhook-Id": "x"}', '{"webhook-signature": "x"}', '{"Webhook-Anything": {}}', '{"Expect": "x"}', '{"": "x"}', '{"a b": "x"}',
    '{"x": "a\nb"}', '{"x": ["\u007f"]}', '{"X-A": "a", "x-a": "b"}', '{"Webhooks": "x"}', '{"x": {"host": "x"}}',
    '["a", {"Host": 1}]', '"Host: x"', '5', 'null', '{}']::jsonb[]) h;
-- too many of them, or too large
SELECT pg_temp.reason(format('SELECT rswebhook_send(%L, %L)', jsonb_build_object('header', h), 'enriched'))
FROM (VALUES ((SELECT jsonb_object_agg('x' || i, i) FROM generate_series(1, 300) i)), (jsonb_build_object('x', repeat('y', 70000)))) v (h);
-- whatever the method, and by a fan-out; in the middle of a batch
UPDATE rswebhook.destination SET method = 'GET' WHERE name = 'enriched';
SELECT pg_temp.reason($$SELECT rswebhook_send('{"header": {"Host": "x"}}', 'enriched')$$);
SELECT pg_temp.reason($$SELECT rswebhook_send('{"header": {"Host": "x"}}')$$);
SELECT pg_temp.reason($$SELECT * FROM rswebhook_send_batch('[{}, {"header": {"Host": "x"}}]', 'enriched')$$);
SELECT pg_temp.reason($$SELECT rswebhook_send('{"properties": {"header": {"Host": "x"}}}', 'enriched')$$);
-- by an outbox
CREATE TABLE headed (event jsonb);
CREATE TRIGGER send AFTER INSERT ON headed FOR EACH ROW EXECUTE FUNCTION rswebhook_outbox('destination=enriched');
INSERT INTO headed VALUES ('{"header": {"Host": "x"}}');
DROP TABLE headed;

DELETE FROM rswebhook.destination WHERE name = 'enriched';
