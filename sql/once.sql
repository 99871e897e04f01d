-- A message is sent to a destination once in a while only. All destinations are paused,
-- so that a worker leaves them alone.
SET client_min_messages = warning;
INSERT INTO rswebhook.destination (name, url, paused, deduplicate) VALUES
    ('plain', 'https://example.com/plain', true, NULL),
    ('once', 'https://example.com/once', true, '1 day');
CREATE TABLE ids (call text PRIMARY KEY, id bigint);
-- an event's id by the call that it was the first of
CREATE FUNCTION try(call text, message_id jsonb, destination text DEFAULT NULL, deduplicate interval DEFAULT NULL)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    sent bigint := rswebhook_send(jsonb_strip_nulls(jsonb_build_object('messageId', message_id, 'call', call)),
                                  destination, deduplicate => deduplicate);
    first text;
BEGIN
    INSERT INTO ids VALUES (call, sent);
    SELECT i.call INTO first FROM ids i WHERE i.id = sent ORDER BY i.call LIMIT 1;
    RETURN format('%s: %s', call, coalesce(first, 'none'));
END $$;
CREATE FUNCTION owed() RETURNS TABLE (destination text, calls text) LANGUAGE sql AS
    $$ SELECT d.name, string_agg(e.event ->> 'call', ' ' ORDER BY e.id)
       FROM rswebhook.queue q JOIN rswebhook.event e ON e.id = q.event_id
       JOIN rswebhook.destination d ON d.id = q.destination_id GROUP BY 1 ORDER BY 1 $$;
CREATE PROCEDURE forget() LANGUAGE sql AS
    $$ DELETE FROM rswebhook.queue; DELETE FROM rswebhook.event; DELETE FROM rswebhook.delivery;
       DELETE FROM rswebhook.message; DELETE FROM ids $$;

-- asked for by the sender
SELECT try('a', '"m"', 'plain', '1 hour');
SELECT try('b', '"m"', 'plain', '1 hour');
SELECT try('c', '"n"', 'plain', '1 hour');
-- in one statement, and in one transaction
SELECT try(n, '"o"', 'plain', '1 hour') FROM unnest(ARRAY['d', 'e']) n;
BEGIN;
SELECT try('f', '"p"', 'plain', '1 hour');
SELECT try('g', '"p"', 'plain', '1 hour');
COMMIT;
-- not asked for; or not any more
SELECT try('h', '"m"', 'plain');
SELECT try('i', '"m"', 'plain', '0');
-- another destination is another matter
SELECT try('j', '"m"', 'once', '1 hour');
SELECT * FROM owed();
SELECT count(*) AS events FROM rswebhook.event;
CALL forget();

-- asked for by the destination, unless the sender says otherwise
SELECT try('a', '"m"', 'once');
SELECT try('b', '"m"', 'once');
SELECT try('c', '"m"', 'once', '0');
-- events without a messageId are all different
SELECT try('d', NULL, 'once');
SELECT try('e', NULL, 'once');
SELECT try('f', '""', 'once');
SELECT try('g', '""', 'once');
SELECT try('h', '1', 'once');
SELECT try('i', '1', 'once');
-- but who asks for it has to say by what
SELECT try('j', NULL, 'plain', '1 hour');
SELECT try('j', '7', 'plain', '1 hour');
SELECT try('j', '""', 'plain', '1 hour');
SELECT * FROM owed();
CALL forget();

-- some have had it, and others not
SELECT try('a', '"m"', 'once');
SELECT try('b', '"m"');
SELECT try('c', '"m"', NULL, '1 hour');
SELECT try('d', '"m"', NULL, '1 hour');
SELECT * FROM owed();
CALL forget();

-- of several first ones, the first of all
SELECT try('a', '"m"', 'once', '1 hour');
SELECT try('b', '"m"', 'plain', '1 hour');
SELECT try('c', '"m"', NULL, '1 hour');
CALL forget();

-- what was noted for less time is over then, whether or not a worker has forgotten it
SELECT try('a', '"m"', 'plain', '1 hour');
UPDATE rswebhook.message SET noted_at = noted_at - interval '2 h', expires_at = expires_at - interval '2 h';
SELECT try('b', '"m"', 'plain', '1 day');
CALL forget();
-- unless the destination says longer, or somebody has said so
SELECT try('a', '"m"', 'once', '1 hour');
UPDATE rswebhook.message SET noted_at = noted_at - interval '2 h', expires_at = expires_at - interval '2 h';
SELECT try('b', '"m"', 'once');
SELECT try('c', '"m"', 'once', '1 hour');
SELECT try('d', '"n"', 'plain', '1 day');
UPDATE rswebhook.message SET noted_at = noted_at - interval '2 h', expires_at = expires_at - interval '2 h';
SELECT try('e', '"n"', 'plain', '1 hour');
UPDATE rswebhook.message SET noted_at = noted_at - interval '2 h', expires_at = expires_at - interval '2 h';
SELECT try('f', '"n"', 'plain', '1 day');
CALL forget();

-- after its time; the later one counts from then on
SELECT try('a', '"m"', 'once');
UPDATE rswebhook.message SET noted_at = noted_at - interval '23 h', expires_at = expires_at - interval '23 h';
SELECT try('b', '"m"', 'once');
SELECT try('c', '"m"', 'once', '22 h');
SELECT try('d', '"m"', 'once', '22 h');
UPDATE rswebhook.message SET noted_at = noted_at - interval '25 h', expires_at = expires_at - interval '25 h';
SELECT try('e', '"m"', 'once');
SELECT try('f', '"m"', 'once');
SELECT * FROM owed();
CALL forget();

-- what is rolled back was never sent
BEGIN;
SELECT try('a', '"m"', 'once');
ROLLBACK;
BEGIN;
SAVEPOINT s;
SELECT try('b', '"m"', 'once');
ROLLBACK TO s;
SELECT try('c', '"m"', 'once');
COMMIT;
SELECT try('d', '"m"', 'once');
SELECT * FROM owed();
CALL forget();

-- a batch, in which one may be there twice
SELECT count(*), count(DISTINCT id) FROM rswebhook_send_batch(
    '[{"messageId": "m"}, {"messageId": "n"}, {"messageId": "m"}]', 'plain', deduplicate => '1 hour') id;
SELECT count(*) FROM rswebhook_send_batch('[{"messageId": "m"}, {"event": "n"}]', 'plain', deduplicate => '1 hour');
SELECT count(*) FROM rswebhook.queue;
CALL forget();

-- the longest and the oddest messageIds
SELECT try('a', to_jsonb(repeat('m', 100000)), 'once');
SELECT try('b', to_jsonb(repeat('m', 100000)), 'once');
SELECT try('c', to_jsonb(repeat('m', 100000) || 'n'), 'once');
SELECT try('d', '"\u00e9\n"', 'once');
SELECT try('e', '"\u00e9\n"', 'once');
CALL forget();

-- tables: a row at a time, and a statement's
CREATE TABLE outbox (event jsonb);
CREATE TRIGGER send AFTER INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION rswebhook_outbox('destination=once');
INSERT INTO outbox VALUES ('{"messageId": "m", "call": "a"}'), ('{"messageId": "m", "call": "b"}');
INSERT INTO outbox VALUES ('{"messageId": "m", "call": "c"}'), ('{"messageId": "n", "call": "d"}');
DROP TRIGGER send ON outbox;
CREATE TRIGGER send AFTER INSERT ON outbox REFERENCING NEW TABLE AS rows
    FOR EACH STATEMENT EXECUTE FUNCTION rswebhook_outbox('destination=once');
INSERT INTO outbox VALUES ('{"messageId": "m", "call": "e"}'), ('{"messageId": "o", "call": "f"}'), ('{"messageId": "o", "call": "g"}');
SELECT * FROM owed();
-- somebody's trigger on our table stops nothing but what it is asked about
CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER no BEFORE INSERT ON rswebhook.message FOR EACH ROW EXECUTE FUNCTION no();
INSERT INTO outbox VALUES ('{"messageId": "p", "call": "h"}'), ('{"call": "i"}');
SELECT try('j', '"q"', 'once');
SELECT try('k', '"q"', 'plain');
SELECT * FROM owed();
DROP TRIGGER no ON rswebhook.message;
DROP FUNCTION no;
DROP TABLE outbox;
CALL forget();

-- under a snapshot, one that came after it is an error as of any key
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT try('a', '"m"', 'once');
SELECT try('b', '"m"', 'once');
COMMIT;
SELECT * FROM owed();
CALL forget();

-- ranges
SELECT try('a', '"m"', 'plain', '-1 s');
SELECT try('a', '"m"', 'plain', '366 days');
SELECT try('a', '"m"', 'plain', '365 days');
UPDATE rswebhook.destination SET deduplicate = '0';
UPDATE rswebhook.destination SET deduplicate = '366 days';
UPDATE rswebhook.destination SET deduplicate = '-1 s';

CALL forget();
DROP FUNCTION try, owed;
DROP PROCEDURE forget;
DROP TABLE ids;
DELETE FROM rswebhook.destination;
