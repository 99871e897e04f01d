-- What answers "the last deliveries of this destination" at once, however many there are of others. An index of
-- your own on the extension's table: it costs each attempt a little, and a dump does not have it, so run this after
-- a restore as well.
CREATE INDEX IF NOT EXISTS delivery_destination_idx ON rswebhook.delivery (destination_id, started_at);
