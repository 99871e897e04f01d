-- An outbox table: the application writes rows and knows nothing of webhooks;
-- a trigger hands each event over and empties the table.

CREATE TABLE outbox (
    id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event jsonb NOT NULL
);

CREATE FUNCTION drain_outbox() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM rswebhook_send(event, 'shop') FROM new_rows ORDER BY id;
    DELETE FROM outbox USING new_rows WHERE outbox.id = new_rows.id;
    RETURN NULL;
END
$$;

CREATE TRIGGER drain_outbox
    AFTER INSERT ON outbox
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION drain_outbox();
