-- Webhooks for your customers: each has endpoints of its own, sees and changes these and no others, and
-- what is sent for a customer goes to its endpoints only. doc/customers.md says how it is used.
--
-- To be run by a superuser in a database with the extension in its schema public; adapt it to yours.
-- All of this is ordinary objects of your own, so that a dump has it whole: what is added to an extension's tables,
-- policies, triggers and indexes, is in no dump. After a restore, only index.sql has to be run again.
--
--   saas_owner     owns all of this, and may do with destinations what the functions here do
--   saas_app       your application: sends for any customer
--   saas_portal    what serves customers' own pages: acts for one customer at a time, whom saas.tenant() tells

DO $$
DECLARE
    role text;
BEGIN
    FOREACH role IN ARRAY '{saas_owner,saas_app,saas_portal}'::text[] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', role);
        END IF;
    END LOOP;
END
$$;

SELECT rswebhook.grant_editor('saas_owner'), rswebhook.grant_operator('saas_owner'), rswebhook.grant_sender('saas_owner');
GRANT REFERENCES ON rswebhook.destination TO saas_owner;
GRANT SELECT ON rswebhook.queue TO saas_owner;
GRANT SELECT, DELETE ON rswebhook.event, rswebhook.delivery TO saas_owner;

CREATE SCHEMA saas AUTHORIZATION saas_owner;
SET ROLE saas_owner;
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;

-- Whose each destination is. The destination is named tenant/name.
CREATE TABLE saas.endpoint (
    id         integer PRIMARY KEY REFERENCES rswebhook.destination ON DELETE CASCADE,
    tenant     text NOT NULL CHECK (tenant ~ '^[A-Za-z0-9_-]{1,36}$'),
    name       text NOT NULL CHECK (name ~ '^[A-Za-z0-9_-]{1,26}$'),
    events     text[] NOT NULL DEFAULT '{*}'        -- names of the events that it gets; *: all
               CHECK (cardinality(events) <= 100 AND octet_length(events::text) <= 10000),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    place      integer NOT NULL CHECK (place BETWEEN 1 AND 10),     -- as many as a tenant may have
    UNIQUE (tenant, name),
    UNIQUE (tenant, place)
);

-- Deliveries for each tenant and day, for as long as you like; see saas.keep_usage().
CREATE TABLE saas.usage_day (
    tenant    text NOT NULL,
    day       date NOT NULL,
    attempts  bigint NOT NULL,
    delivered bigint NOT NULL,
    given_up  bigint NOT NULL,
    PRIMARY KEY (tenant, day)
);

-- Whom the session acts for: who serves requests of customer c7 says SET LOCAL saas.tenant = 'c7' in its transaction.
-- Whatever tells that where you are, a JWT's claim or the name of a role, can be put here instead.
CREATE FUNCTION saas.tenant() RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT nullif(current_setting('saas.tenant', true), '')
$$;

-- An endpoint of the tenant that the session acts for, or an error.
CREATE FUNCTION saas.mine(name text, OUT id integer, OUT destination text)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    SELECT e.id, d.name INTO id, destination
        FROM saas.endpoint e JOIN rswebhook.destination d ON d.id = e.id
        WHERE e.tenant = saas.tenant() AND e.name = mine.name;
    IF id IS NULL THEN
        RAISE undefined_object USING MESSAGE = format('there is no endpoint "%s"', left(name, 100));
    END IF;
END
$$;

--
-- For the application
--

-- Sends an event to the endpoints of a tenant that want such events, under one messageId; returns to how many.
CREATE FUNCTION saas.send(tenant text, event jsonb) RETURNS bigint
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    message jsonb := CASE WHEN event ? 'messageId' THEN event
                          ELSE event || jsonb_build_object('messageId', gen_random_uuid()) END;
BEGIN
    RETURN (
        SELECT count(public.rswebhook_send(message, d.name))
        FROM saas.endpoint e JOIN rswebhook.destination d ON d.id = e.id
        WHERE e.tenant = send.tenant AND d.enabled
          AND e.events && ARRAY['*', event ->> 'event']);
END
$$;

-- What there is of attempts, for each tenant and day, as far as the retention reaches.
CREATE VIEW saas.usage AS
SELECT e.tenant, (v.started_at AT TIME ZONE 'UTC')::date AS day,
       count(*) AS attempts,
       count(*) FILTER (WHERE v.outcome = 'delivered') AS delivered,
       count(*) FILTER (WHERE v.outcome = 'aborted') AS given_up
FROM rswebhook.delivery v JOIN saas.endpoint e ON e.id = v.destination_id
WHERE v.outcome IN ('delivered', 'retry', 'aborted') AND v.started_at >= e.created_at
GROUP BY 1, 2;

-- Keeps it, if it is called once a day: what is there of a day grows until the retention takes it away.
CREATE FUNCTION saas.keep_usage() RETURNS void
    LANGUAGE sql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO saas.usage_day AS kept
        SELECT u.tenant, u.day, u.attempts, u.delivered, u.given_up FROM saas.usage u
        ON CONFLICT (tenant, day) DO UPDATE
            SET attempts = greatest(kept.attempts, excluded.attempts),
                delivered = greatest(kept.delivered, excluded.delivered),
                given_up = greatest(kept.given_up, excluded.given_up)
$$;

-- Takes back what is owed of a tenant's user and erases all that is stored of the user's events: payloads, and deliveries, of which
-- those by GET have traits in their URL. A request that is under way is recorded when it ends, so call it once more then;
-- returns how many rows were erased.
CREATE FUNCTION saas.erase_user(tenant text, user_id text) RETURNS bigint
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    endpoints integer[] := ARRAY(SELECT e.id FROM saas.endpoint e WHERE e.tenant = erase_user.tenant);
    events bigint[] := ARRAY(
        SELECT e.id FROM rswebhook.event e
        WHERE user_id IN (e.event ->> 'userId', e.event ->> 'anonymousId', e.event ->> 'previousId')
          AND (EXISTS (SELECT FROM rswebhook.delivery v WHERE v.event_id = e.id AND v.destination_id = ANY (endpoints)) OR
               EXISTS (SELECT FROM rswebhook.queue q WHERE q.event_id = e.id AND q.destination_id = ANY (endpoints))));
    event bigint;
    deliveries bigint;
BEGIN
    FOREACH event IN ARRAY events LOOP
        PERFORM public.rswebhook_cancel(event_id => event);
    END LOOP;
    -- with those of events that were erased before, while they were under way
    DELETE FROM rswebhook.delivery v
        WHERE v.event_id = ANY (events)
           OR (v.destination_id = ANY (endpoints) AND v.event_id <> 0 AND v.started_at > now() - interval '1 day'
               AND NOT EXISTS (SELECT FROM rswebhook.event e WHERE e.id = v.event_id));
    GET DIAGNOSTICS deliveries = ROW_COUNT;
    DELETE FROM rswebhook.event e WHERE e.id = ANY (events);
    RETURN deliveries + cardinality(events);
END
$$;

--
-- For customers' own pages. Nothing here takes a tenant: it is the session's.
--

-- The secret that the endpoint's receiver verifies by. It takes part in nothing but what is sent for its tenant: with no types,
-- no send without a destination goes there.
CREATE FUNCTION saas.add_endpoint(name text, url text, events text[] DEFAULT '{*}') RETURNS text
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    secret text := public.rswebhook_generate_secret();
    new_id integer;
    free integer;
BEGIN
    IF saas.tenant() IS NULL THEN
        RAISE insufficient_privilege USING MESSAGE = 'the session acts for no tenant';
    ELSIF url NOT LIKE 'https://%' THEN
        RAISE invalid_parameter_value USING MESSAGE = 'the URL must begin with https://';
    END IF;
    -- one after the other, until the transaction ends: else two at once would find the same place, as they do under
    -- REPEATABLE READ, where the second one is an error and tried again
    PERFORM pg_advisory_xact_lock(hashtextextended('saas.endpoint of ' || saas.tenant(), 0));
    SELECT min(p) INTO free FROM generate_series(1, 10) AS p
        WHERE NOT EXISTS (SELECT FROM saas.endpoint e WHERE e.tenant = saas.tenant() AND e.place = p);
    IF free IS NULL THEN
        RAISE program_limit_exceeded USING MESSAGE = 'there are ten endpoints already';
    END IF;
    INSERT INTO rswebhook.destination AS d (name, url, types, signing_secrets)
        VALUES (saas.tenant() || '/' || add_endpoint.name, add_endpoint.url, '{}', jsonb_build_array(secret))
        RETURNING d.id INTO new_id;
    INSERT INTO saas.endpoint (id, tenant, name, events, place)
        VALUES (new_id, saas.tenant(), add_endpoint.name, add_endpoint.events, free);
    RETURN secret;
END
$$;

-- What is null stays as it is.
CREATE FUNCTION saas.change_endpoint(name text, url text DEFAULT NULL, events text[] DEFAULT NULL,
                                     enabled boolean DEFAULT NULL) RETURNS void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    dest integer := (saas.mine(name)).id;
BEGIN
    IF url NOT LIKE 'https://%' THEN
        RAISE invalid_parameter_value USING MESSAGE = 'the URL must begin with https://';
    END IF;
    UPDATE rswebhook.destination d
        SET url = coalesce(change_endpoint.url, d.url), enabled = coalesce(change_endpoint.enabled, d.enabled)
        WHERE d.id = dest;
    UPDATE saas.endpoint e SET events = coalesce(change_endpoint.events, e.events) WHERE e.id = dest;
END
$$;

-- What is owed to it is given up.
CREATE FUNCTION saas.drop_endpoint(name text) RETURNS void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM rswebhook.destination d WHERE d.id = (saas.mine(drop_endpoint.name)).id;
END
$$;

-- The secret that is in force
CREATE FUNCTION saas.secret(name text) RETURNS text
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT d.signing_secrets ->> 0 FROM rswebhook.destination d WHERE d.id = (saas.mine($1)).id
$$;

-- A new one; requests are signed with the old one as well for so long.
CREATE FUNCTION saas.rotate_secret(name text, keep_old interval DEFAULT '1 day') RETURNS text
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    secret text := public.rswebhook_generate_secret();
BEGIN
    UPDATE rswebhook.destination d
        SET signing_secrets = jsonb_build_array(secret) || (
            SELECT jsonb_agg(CASE WHEN jsonb_typeof(old) = 'object' THEN old ELSE
                jsonb_build_object('secret', old, 'expires_at', now() + least(greatest(keep_old, '0'), '30 days')) END ORDER BY n)
            FROM jsonb_array_elements(d.signing_secrets) WITH ORDINALITY AS o (old, n)
            -- those of earlier changes sign until their own end; eight are all that there may be
            WHERE n < 8 AND (jsonb_typeof(old) <> 'object' OR (old ->> 'expires_at')::timestamptz > now()))
        WHERE d.id = (saas.mine(rotate_secret.name)).id;
    RETURN secret;
END
$$;

-- Sends an event that means nothing; returns its id.
CREATE FUNCTION saas.test(name text) RETURNS bigint
    LANGUAGE sql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT public.rswebhook_send('{"type": "track", "event": "Webhook Test", "userId": "test"}'::jsonb, (saas.mine($1)).destination)
$$;

-- Sends once more an event that was sent there before, and none that was not: anybody's could be named.
CREATE FUNCTION saas.replay(name text, event_id bigint) RETURNS bigint
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    endpoint record := saas.mine(name);
BEGIN
    IF NOT EXISTS (SELECT FROM rswebhook.delivery v
                   WHERE v.event_id = replay.event_id AND v.destination_id = endpoint.id) THEN
        RAISE undefined_object USING MESSAGE = format('event %s was not sent there', event_id);
    END IF;
    RETURN public.rswebhook_replay(replay.event_id, endpoint.destination);
END
$$;

-- Sends once more all that was given up since then.
CREATE FUNCTION saas.replay_since(name text, since timestamptz) RETURNS bigint
    LANGUAGE sql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT public.rswebhook_replay_all((saas.mine($1)).destination, since => $2)
$$;

CREATE VIEW saas.my_endpoints WITH (security_barrier) AS
SELECT e.name, d.url, e.events, d.enabled, e.created_at,
       (SELECT count(*) FROM rswebhook.queue q WHERE q.destination_id = e.id) AS pending,
       jsonb_array_length(d.signing_secrets) AS secrets
FROM saas.endpoint e JOIN rswebhook.destination d ON d.id = e.id
WHERE e.tenant = saas.tenant();

CREATE VIEW saas.my_usage WITH (security_barrier) AS
SELECT u.day, u.attempts, u.delivered, u.given_up FROM saas.usage_day u WHERE u.tenant = saas.tenant();

-- The latest attempts before a time, so page by page; with index.sql, however many there are.
CREATE FUNCTION saas.my_deliveries(name text, before timestamptz DEFAULT 'infinity', count integer DEFAULT 50,
    OUT event_id bigint, OUT event text, OUT attempt integer, OUT outcome text, OUT status integer,
    OUT started_at timestamptz, OUT duration_ms double precision, OUT retry_at timestamptz, OUT error text,
    OUT payload text, OUT response text)
RETURNS SETOF record
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT v.event_id, p.event ->> 'event', v.attempt, v.outcome, v.status, v.started_at,
           (extract(epoch FROM v.duration) * 1000)::double precision, v.retry_at, v.error,
           left(p.event::text, 500), left(v.response_body, 500)
    FROM (SELECT e.id, e.created_at FROM saas.endpoint e WHERE e.id = (saas.mine($1)).id) e
    CROSS JOIN LATERAL (
        -- an id may have been another one's before
        SELECT * FROM rswebhook.delivery v
        WHERE v.destination_id = e.id AND v.started_at < $2 AND v.started_at >= e.created_at
        ORDER BY v.started_at DESC LIMIT least($3, 500)) v
    LEFT JOIN rswebhook.event p ON p.id = v.event_id
    ORDER BY v.started_at DESC
$$;

--
-- Who may do what
--
GRANT USAGE ON SCHEMA saas TO saas_app, saas_portal;
GRANT SELECT ON saas.endpoint, saas.usage, saas.usage_day TO saas_app;
GRANT EXECUTE ON FUNCTION saas.send(text, jsonb), saas.keep_usage(), saas.erase_user(text, text) TO saas_app;
GRANT SELECT ON saas.my_endpoints, saas.my_usage TO saas_portal;
GRANT EXECUTE ON FUNCTION saas.tenant(), saas.add_endpoint(text, text, text[]),
    saas.change_endpoint(text, text, text[], boolean), saas.drop_endpoint(text), saas.secret(text),
    saas.rotate_secret(text, interval), saas.test(text), saas.replay(text, bigint),
    saas.replay_since(text, timestamptz), saas.my_deliveries(text, timestamptz, integer) TO saas_portal;
RESET ROLE;
