-- Roles that may send to some destinations only. All destinations are paused, so that a
-- worker leaves them alone.
SET client_min_messages = warning;
INSERT INTO rswebhook.destination (name, url, paused)
    SELECT n, 'https://example.com/' || n, true FROM unnest(ARRAY['shop', 'crm', 'mail']) n;
CREATE ROLE regress_shop;
CREATE ROLE regress_team;
CREATE ROLE regress_anywhere;
GRANT regress_team TO regress_shop;
CREATE FUNCTION sent() RETURNS TABLE (destinations text, event jsonb) LANGUAGE sql AS
    $$ SELECT coalesce(string_agg(d.name, ' ' ORDER BY d.name), 'none'), e.event
       FROM rswebhook.event e LEFT JOIN rswebhook.queue q ON q.event_id = e.id
       LEFT JOIN rswebhook.destination d ON d.id = q.destination_id GROUP BY e.id, e.event ORDER BY e.id $$;
CREATE PROCEDURE forget() LANGUAGE sql AS
    $$ DELETE FROM rswebhook.queue; DELETE FROM rswebhook.event; DELETE FROM rswebhook.delivery $$;

-- by name, to what was granted, and without a name to those of them that take it
SELECT rswebhook_grant_send('regress_shop', 'shop');
SET ROLE regress_shop;
SELECT rswebhook_send('{"n": 1}', 'shop') IS NOT NULL AS sent;
SELECT rswebhook_send('{"n": 2}', 'crm');
SELECT rswebhook_send('{"n": 2}', 'nowhere');
SELECT rswebhook_send('{"n": 3}') IS NOT NULL AS sent;
SELECT count(*) FROM rswebhook_send_batch('[{"n": 4}, {"n": 5}]', 'shop');
SELECT count(*) FROM rswebhook_send_batch('[{"n": 4}, {"n": 5}]', 'mail');
SELECT rswebhook_transform('{}', 'shop');
SELECT destination_id FROM rswebhook.sender;
RESET ROLE;
SELECT * FROM sent();
CALL forget();

-- a member of several has what each has
SELECT rswebhook_grant_send('regress_team', 'crm');
SET ROLE regress_shop;
SELECT rswebhook_send('{"n": 1}') IS NOT NULL AS sent;
SET ROLE regress_team;
SELECT rswebhook_send('{"n": 2}') IS NOT NULL AS sent;
RESET ROLE;
ALTER ROLE regress_shop NOINHERIT;
REVOKE regress_team FROM regress_shop;
SET ROLE regress_shop;
SELECT rswebhook_send('{"n": 3}') IS NOT NULL AS sent;
RESET ROLE;
SELECT * FROM sent();
CALL forget();

-- with somebody else's rights, with those; who may send anywhere is bound to nothing
SELECT rswebhook.grant_sender('regress_anywhere');
CREATE FUNCTION mail(event jsonb) RETURNS bigint LANGUAGE sql SECURITY DEFINER AS
    $$ SELECT rswebhook_send(event, 'mail') $$;
ALTER FUNCTION mail OWNER TO regress_anywhere;
SET ROLE regress_shop;
SELECT mail('{"n": 1}') IS NOT NULL AS sent;
RESET ROLE;
SELECT * FROM sent();
CALL forget();

-- what may send anywhere cannot be granted less, however it has that
SELECT rswebhook_grant_send('regress_anywhere', 'shop');
GRANT regress_anywhere TO regress_team;
SELECT rswebhook_grant_send('regress_team', 'shop');
SELECT rswebhook_revoke_send('regress_team', 'crm');
SET ROLE regress_team;
SELECT rswebhook_send('{"n": 1}') IS NOT NULL AS sent;
RESET ROLE;
SELECT * FROM sent();
REVOKE regress_anywhere FROM regress_team;
GRANT EXECUTE ON FUNCTION rswebhook_send(jsonb, text, timestamptz, text, interval, interval, boolean) TO PUBLIC;
SELECT rswebhook_grant_send('regress_shop', 'crm');
REVOKE EXECUTE ON FUNCTION rswebhook_send(jsonb, text, timestamptz, text, interval, interval, boolean) FROM PUBLIC;
SELECT rswebhook_grant_send(current_user::regrole, 'shop') IS NULL;
CALL forget();

-- taken away: one, all; by a grant of all
SELECT rswebhook_grant_send('regress_shop', 'mail');
SELECT rswebhook_revoke_send('regress_shop', 'shop');
SET ROLE regress_shop;
SELECT rswebhook_send('{"n": 1}', 'shop');
SELECT rswebhook_send('{"n": 2}', 'mail') IS NOT NULL AS sent;
RESET ROLE;
SELECT rswebhook_revoke_send('regress_shop', 'mail');
SET ROLE regress_shop;
SELECT rswebhook_send('{"n": 3}', 'mail');
SELECT rswebhook_send('{"n": 4}') IS NULL AS "nobody takes it";
RESET ROLE;
SELECT rswebhook.grant_sender('regress_shop');
SET ROLE regress_shop;
SELECT rswebhook_send('{"n": 5}') IS NOT NULL AS sent;
RESET ROLE;
SELECT rswebhook_revoke_send('regress_shop');
SET ROLE regress_shop;
SELECT rswebhook_send('{"n": 6}', 'mail');
RESET ROLE;
SELECT * FROM sent();
CALL forget();

-- what was taken from whom had all, or had it by others, is taken from his tables as well
CREATE ROLE regress_manager;
SELECT rswebhook.grant_sender('regress_shop');
CREATE TABLE notes (id integer);
CREATE TRIGGER send AFTER INSERT ON notes FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('crm');
ALTER TABLE notes OWNER TO regress_shop;
GRANT EXECUTE ON FUNCTION rswebhook_send TO regress_manager WITH GRANT OPTION;
SET ROLE regress_manager;
GRANT EXECUTE ON FUNCTION rswebhook_send TO regress_shop;
RESET ROLE;
SELECT rswebhook_revoke_send('regress_shop');
SET ROLE regress_shop;
INSERT INTO notes VALUES (1);
SELECT rswebhook_send('{"n": 7}', 'mail');
RESET ROLE;
GRANT regress_anywhere TO regress_shop;
SELECT rswebhook_revoke_send('regress_shop');
REVOKE regress_anywhere FROM regress_shop;
-- what is granted or revoked of all functions makes nobody of the other kind
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA rswebhook FROM regress_shop;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA rswebhook TO regress_anywhere;
SET ROLE regress_shop;
SELECT rswebhook_send('{"n": 8}', 'mail');
SET ROLE regress_anywhere;
SELECT rswebhook_send('{"n": 9}', 'mail') IS NOT NULL AS sent;
RESET ROLE;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA rswebhook FROM regress_anywhere;
-- nor does anything come back
DROP OWNED BY regress_manager CASCADE;
DROP ROLE regress_manager;
SELECT rswebhook_grant_send('regress_shop', 'shop');
DROP OWNED BY regress_shop CASCADE;
SELECT rswebhook_grant_send('regress_shop', 'crm');
SET ROLE regress_shop;
SELECT rswebhook_send('{"n": 10}', 'shop');
RESET ROLE;
DELETE FROM rswebhook.sender;
CALL forget();

-- rows that are lost leave less, not more
SELECT rswebhook_grant_send('regress_shop', 'shop');
DELETE FROM rswebhook.sender;
SET ROLE regress_shop;
SELECT rswebhook_send('{"n": 1}', 'shop');
RESET ROLE;

-- a destination that is deleted, or has another name
SELECT rswebhook_grant_send('regress_shop', 'shop');
SELECT rswebhook_grant_send('regress_shop', 'crm');
UPDATE rswebhook.destination SET name = 'store' WHERE name = 'shop';
DELETE FROM rswebhook.destination WHERE name = 'crm';
INSERT INTO rswebhook.destination (name, url, paused)
    SELECT n, 'https://example.com/' || n, true FROM unnest(ARRAY['crm', 'shop']) n;
SET ROLE regress_shop;
SELECT rswebhook_send('{"n": 1}', 'store') IS NOT NULL AS sent;
SELECT rswebhook_send('{"n": 2}', 'shop');
SELECT rswebhook_send('{"n": 3}', 'crm');
RESET ROLE;
SELECT * FROM sent();
CALL forget();

-- whoever has the id of one that is no more has not its senders
SELECT rswebhook_grant_send('regress_shop', 'mail');
CREATE TABLE old AS SELECT * FROM rswebhook.destination;
CREATE PROCEDURE again() LANGUAGE sql AS $$
    INSERT INTO rswebhook.destination (id, name, url, paused) SELECT id, 'other_' || name, url, true FROM old $$;
CREATE ROLE regress_editor;
SELECT rswebhook.grant_editor('regress_editor');
SET ROLE regress_editor;
BEGIN;
DELETE FROM rswebhook.destination WHERE name = 'mail';
RESET ROLE;
SELECT d.name FROM rswebhook.sender s JOIN old d ON d.id = s.destination_id;
ROLLBACK;
RESET ROLE;
BEGIN;
SET session_replication_role = replica;
DELETE FROM rswebhook.destination;
RESET session_replication_role;
CALL again();
SELECT count(*) FROM rswebhook.sender;
ROLLBACK;
BEGIN;
TRUNCATE rswebhook.destination;
CALL again();
SELECT count(*) FROM rswebhook.sender;
SET ROLE regress_shop;
SELECT rswebhook_send('{"n": 1}', 'other_store');
ROLLBACK;
SET ROLE regress_shop;
SELECT rswebhook_send('{"n": 1}', 'mail') IS NOT NULL AS sent;
RESET ROLE;
SELECT rswebhook_revoke_send('regress_shop', 'mail');
DROP TABLE old;
DROP PROCEDURE again;
DROP OWNED BY regress_editor;
DROP ROLE regress_editor;
CALL forget();

-- and without the table's key
ALTER TABLE rswebhook.sender DROP CONSTRAINT sender_pkey;
SET ROLE regress_shop;
SELECT rswebhook_send('{"n": 1}', 'store') IS NOT NULL AS sent;
SELECT rswebhook_send('{"n": 2}', 'shop');
RESET ROLE;
ALTER TABLE rswebhook.sender RENAME COLUMN role TO who;
SET ROLE regress_shop;
SELECT rswebhook_send('{"n": 1}', 'store');
RESET ROLE;
ALTER TABLE rswebhook.sender RENAME COLUMN who TO role;
ALTER TABLE rswebhook.sender ADD CONSTRAINT sender_pkey PRIMARY KEY (role, destination_id);
CALL forget();

--
-- A table sends with its owner's rights, whoever writes
--
CREATE TABLE orders (id integer, target text);
CREATE TABLE outbox (event jsonb, target text);
CREATE FUNCTION refused() RETURNS TABLE (error text, event jsonb) LANGUAGE sql AS
    $$ SELECT d.error, e.event -> 'properties' FROM rswebhook.delivery d LEFT JOIN rswebhook.event e ON e.id = d.event_id
       ORDER BY d.event_id $$;
CREATE TRIGGER shop AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('shop');
CREATE TRIGGER chosen AFTER INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION rswebhook_outbox('destination_column=target');
INSERT INTO orders VALUES (1);
ALTER TABLE orders OWNER TO regress_shop;
ALTER TABLE outbox OWNER TO regress_shop;
INSERT INTO orders VALUES (2);
INSERT INTO outbox VALUES ('{"n": 1}', 'store'), ('{"n": 2}', 'mail'), ('{"n": 3}', 'nowhere'), ('{"n": 4}', NULL);
SELECT destinations, coalesce(event -> 'properties', event) AS event FROM sent();
SELECT * FROM refused();
-- which is sent only if its destination is named, or the error is asked for
SELECT d.error ~ 'nowhere' AS nowhere, f.destination, f.replay, rswebhook_replay(f.event_id, dry_run => true) AS all,
       rswebhook_replay(f.event_id, 'shop', dry_run => true) AS shop
    FROM rswebhook.failed f JOIN rswebhook.delivery d USING (event_id) ORDER BY f.event_id;
SELECT rswebhook_replay_all('shop', outcome => 'refused', dry_run => true) AS shop,
       rswebhook_replay_all('shop', outcome => 'refused', error_like => '%permission denied%', dry_run => true) AS denied;
SELECT error, rswebhook.is_not_permitted('refused', error) AS refused, rswebhook.is_not_permitted('aborted', error) AS aborted FROM (VALUES
    ('trigger "a": permission denied for destination "b": none'),
    ('trigger "a "": x" for "b "": y": permission not known for destination "b"": y": none'),
    ('trigger "a" (not enriched): permission denied for destination "b": none'),
    ('trigger "a" for "b" (not enriched): permission denied for destination "b": none'),
    ('trigger "a": permission denied for table x'),
    ('trigger "a": column "x": permission denied for destination "b"'),
    (NULL)) AS e (error);
SELECT trigger, problem, hint FROM rswebhook.trigger_problems();
SELECT rswebhook_grant_send('regress_shop', 'shop');
INSERT INTO orders VALUES (3);
SELECT destinations, coalesce(event -> 'properties', event) AS event FROM sent();
SELECT trigger, problem FROM rswebhook.trigger_problems();
-- a partition's trigger is its table's, whoever owns the partition
CREATE TABLE parts (id integer) PARTITION BY LIST (id);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN (1) PARTITION BY LIST (id);
CREATE TABLE parts_1_1 PARTITION OF parts_1 FOR VALUES IN (1);
CREATE TRIGGER row AFTER INSERT ON parts FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('crm', 'row');
CREATE TRIGGER statement AFTER INSERT ON parts REFERENCING NEW TABLE AS new FOR EACH STATEMENT EXECUTE FUNCTION rswebhook_trigger('crm', 'statement');
ALTER TABLE parts_1 OWNER TO regress_shop;
ALTER TABLE parts_1_1 OWNER TO regress_shop;
INSERT INTO parts VALUES (1);
ALTER TABLE parts OWNER TO regress_shop;
ALTER TABLE parts_1_1 OWNER TO CURRENT_USER;
INSERT INTO parts VALUES (1);
SELECT "table", trigger FROM rswebhook.trigger_problems() ORDER BY trigger;
DROP TRIGGER row ON parts;
DROP TRIGGER statement ON parts;
CREATE TRIGGER own AFTER INSERT ON parts_1_1 FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('crm', 'own');
INSERT INTO parts VALUES (1);
SELECT destinations, event -> 'event' AS event FROM sent() WHERE event #>> '{context,table,name}' = 'parts';
DROP TABLE parts;
-- from whom all was taken, nothing of his sends; who was never granted anything was not asked
SELECT rswebhook_revoke_send('regress_shop');
INSERT INTO orders VALUES (4);
DROP OWNED BY regress_team;
ALTER TABLE outbox OWNER TO regress_team;
INSERT INTO outbox VALUES ('{"n": 5}', 'mail');
SELECT destinations, coalesce(event -> 'properties', event) AS event FROM sent();
DROP TABLE orders, outbox;

-- arguments, and roles that are gone
SELECT rswebhook_grant_send(NULL, 'shop');
SELECT rswebhook_grant_send('regress_absent', 'shop');
SELECT rswebhook_grant_send('4000000000', 'shop');
SELECT rswebhook_grant_send('public', 'shop');
SELECT rswebhook_grant_send('regress_shop', NULL);
SELECT rswebhook_grant_send('regress_shop', 'nowhere');
SELECT rswebhook_revoke_send(NULL);
SELECT rswebhook_revoke_send('regress_shop', 'nowhere');
INSERT INTO rswebhook.sender SELECT '4000000000', id FROM rswebhook.destination WHERE name = 'shop';
SELECT rswebhook_revoke_send('4000000000');
SELECT count(*) FROM rswebhook.sender WHERE role = 4000000000;

CALL forget();
DROP FUNCTION mail, sent, refused;
DROP PROCEDURE forget;
DROP OWNED BY regress_shop, regress_team, regress_anywhere;
DROP ROLE regress_shop, regress_team, regress_anywhere;
DELETE FROM rswebhook.sender;
DELETE FROM rswebhook.destination;
