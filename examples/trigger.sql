-- A webhook for each new order, from a trigger function of your own. If the
-- transaction that inserts the order rolls back, nothing is ever sent.

CREATE TABLE orders (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer text NOT NULL,
    product  text NOT NULL,
    price    numeric NOT NULL
);

CREATE FUNCTION order_placed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM rswebhook_send(
        jsonb_build_object(
            'type', 'track',
            'event', 'Order Placed',
            'userId', NEW.customer,
            'properties', to_jsonb(NEW)),
        'shop');
    RETURN NULL;
END
$$;

CREATE TRIGGER order_placed
    AFTER INSERT ON orders
    FOR EACH ROW EXECUTE FUNCTION order_placed();
