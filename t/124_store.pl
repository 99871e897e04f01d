# What a session keeps open between the events that it sends is nobody's concern: commands
# that alter our tables find them closed, and what they did holds for the next event; what
# is rolled back takes its events along and no others; no reference is left over.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Test::More;

my $node = new_node('store', conf => "max_prepared_transactions = 10\n");

add_destination($node, 'paused', 'http://127.0.0.1:9/', { paused => 'true' });

# The names of the events that are queued, in order; then none is
sub sent
{
    my $names = query($node, q{SELECT string_agg(e.event ->> 'event', ' ' ORDER BY e.id)
        FROM rswebhook.queue q JOIN rswebhook.event e ON e.id = q.event_id});

    query($node, 'DELETE FROM rswebhook.queue');
    return $names;
}

sub sends
{
    my ($name) = @_;

    return qq{SELECT rswebhook_send('{"type": "track", "event": "$name", "userId": "u"}', 'paused');\n};
}

# One script, one session
sub runs
{
    my ($what, $sql, $expected) = @_;
    my ($status, $out, $err) = $node->psql('postgres', $sql, on_error_stop => 1);

    is($status, 0, "$what: $err");
    is(sent(), $expected, $what);
    return;
}

# ---------------------------------------------------------------------
# Commands
# ---------------------------------------------------------------------
query($node, q{CREATE TABLE seen (event_id bigint);
CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.seen VALUES (NEW.event_id); RETURN NEW; END'});

runs('an index that is made between two sends has both',
    'BEGIN;' . sends('one') . 'CREATE INDEX by_key ON rswebhook.queue (ordering_key);' . sends('two') . 'COMMIT;', 'one two');
runs('so has one that was there',
    'BEGIN;' . sends('one') . 'REINDEX TABLE rswebhook.queue; DROP INDEX rswebhook.by_key;' . sends('two') . 'COMMIT;', 'one two');
runs('a trigger that is made between two sends fires for the second',
    'BEGIN;' . sends('one') . 'CREATE TRIGGER see BEFORE INSERT ON rswebhook.queue FOR EACH ROW EXECUTE FUNCTION see();'
      . sends('two') . 'COMMIT;', 'one two');
is(query($node, 'SELECT count(*) FROM seen'), '1', 'once');
runs('and one that is dropped does not',
    'BEGIN;' . sends('one') . 'DROP TRIGGER see ON rswebhook.queue;' . sends('two') . 'COMMIT;', 'one two');
is(query($node, 'SELECT count(*) FROM seen'), '2', 'no more');
runs('TRUNCATE takes what was sent before it',
    'BEGIN;' . sends('one') . 'TRUNCATE rswebhook.queue, rswebhook.event;' . sends('two') . 'COMMIT;', 'two');
runs('a column more is heeded',
    'BEGIN;' . sends('one') . 'ALTER TABLE rswebhook.queue ADD COLUMN more integer DEFAULT 7;' . sends('two')
      . 'ALTER TABLE rswebhook.queue DROP COLUMN more;' . sends('three') . 'COMMIT;', 'one two three');
runs('commands within functions are, too', q{
CREATE PROCEDURE sends(name text) LANGUAGE plpgsql AS $$ BEGIN
    PERFORM rswebhook_send(jsonb_build_object('type', 'track', 'event', name), 'paused'); END $$;
DO $$ BEGIN
    CALL sends('one');
    CREATE INDEX by_key ON rswebhook.queue (ordering_key);
    CALL sends('two');
    EXECUTE 'DROP INDEX rswebhook.by_key';
    CALL sends('three');
END $$}, 'one two three');
is(($node->psql('postgres', 'BEGIN;' . sends('one') . 'DROP EXTENSION rswebhook CASCADE; ROLLBACK;'))[0], 0, 'the extension can be dropped after a send');
runs('and is there again', sends('one'), 'one');

# ---------------------------------------------------------------------
# Subtransactions
# ---------------------------------------------------------------------
runs('what is rolled back', 'BEGIN;' . sends('one') . 'SAVEPOINT a;' . sends('two') . 'SAVEPOINT b;' . sends('three')
      . 'RELEASE b; ROLLBACK TO a;' . sends('four') . 'RELEASE a;' . sends('five') . 'COMMIT;', 'one four five');
runs('what begins in a subtransaction', 'BEGIN; SAVEPOINT a;' . sends('one') . 'SAVEPOINT b;' . sends('two')
      . 'ROLLBACK TO b;' . sends('three') . 'RELEASE a;' . sends('four') . 'COMMIT;', 'one three four');
runs('blocks that fail', q{
DO $$ BEGIN
    FOR i IN 1 .. 9 LOOP
        BEGIN
            CALL sends(i::text);
            BEGIN
                CALL sends(i || 'a');
                IF i % 2 = 0 THEN RAISE division_by_zero; END IF;
            EXCEPTION WHEN division_by_zero THEN
            END;
            CALL sends(i || 'b');
            IF i % 3 = 0 THEN RAISE division_by_zero; END IF;
        EXCEPTION WHEN division_by_zero THEN
        END;
    END LOOP;
END $$}, '1 1a 1b 2 2b 4 4b 5 5a 5b 7 7a 7b 8 8b');
runs('a procedure that commits', q{
DO $$ BEGIN
    FOR i IN 1 .. 4 LOOP
        CALL sends(i::text);
        IF i % 2 = 0 THEN ROLLBACK; ELSE COMMIT; END IF;
    END LOOP;
END $$}, '1 3');
runs('a transaction that is prepared', 'BEGIN;' . sends('one') . "PREPARE TRANSACTION 'p';" . sends('two') . "COMMIT PREPARED 'p'", 'one two');
query($node, 'ALTER SEQUENCE rswebhook.event_id_seq MAXVALUE 100000');
runs('a send that fails between others', q{
DO $$ BEGIN
    CALL sends('one');
    BEGIN
        PERFORM setval('rswebhook.event_id_seq', 100000);
        CALL sends('two');
    EXCEPTION WHEN OTHERS THEN
        PERFORM setval('rswebhook.event_id_seq', 50000);
    END;
    CALL sends('three');
END $$}, 'one three');
query($node, 'ALTER SEQUENCE rswebhook.event_id_seq NO MAXVALUE');

# ---------------------------------------------------------------------
# Triggers
# ---------------------------------------------------------------------
query($node, q{
CREATE TYPE mood AS ENUM ('a', 'b worse', 'bad', 'd');
CREATE FUNCTION mood_json(m mood) RETURNS json LANGUAGE plpgsql AS $$ BEGIN
    IF m::text LIKE '%bad' THEN RAISE 'no mood'; END IF;
    CALL public.sends('felt ' || m::text);
    IF m::text LIKE '%worse' THEN RAISE 'no mood'; END IF;
    RETURN to_json(m::text);
END $$;
CREATE CAST (mood AS json) WITH FUNCTION mood_json(mood);
CREATE TABLE rows (name text, mood mood);
CREATE TABLE plain (name text, other text)});
foreach my $form ('FOR EACH ROW', 'REFERENCING NEW TABLE AS new FOR EACH STATEMENT')
{
    query($node, "CREATE TRIGGER send AFTER INSERT ON rows $form EXECUTE FUNCTION rswebhook_trigger('paused', 'row')");
    runs("$form, of which a type's function sends, too",
        q{INSERT INTO rows VALUES ('a', 'a'), ('b', 'b worse'), ('c', 'bad'), ('d', 'd')},
        'felt a row felt d row');
    is(query($node, q{SELECT count(*) FROM rswebhook.delivery WHERE outcome = 'refused'}), '2', 'what was refused is recorded');
    query($node, 'DELETE FROM rswebhook.delivery; DROP TRIGGER send ON rows');
}
query($node, q{
CREATE FUNCTION also() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    BEGIN
        CALL sends('also ' || NEW.name);
        IF NEW.other = 'fails' THEN RAISE division_by_zero; END IF;
        IF NEW.other = 'alters' THEN CREATE INDEX by_key ON rswebhook.queue (ordering_key); END IF;
        IF NEW.other = 'copies' THEN INSERT INTO plain VALUES (NEW.name || ' again'); END IF;
    EXCEPTION WHEN division_by_zero THEN
    END;
    RETURN NULL;
END $$;
CREATE TRIGGER a AFTER INSERT ON plain FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('paused', 'row');
CREATE TRIGGER b AFTER INSERT ON plain FOR EACH ROW EXECUTE FUNCTION also()});
runs('between a trigger\'s rows others fail, alter our tables, and write to it themselves',
    q{INSERT INTO plain VALUES ('1', ''), ('2', 'fails'), ('3', 'alters'), ('4', 'copies'), ('5', '')},
    'row also 1 row row also 3 row also 4 row also 4 again row also 5');
runs('rows that are copied', "COPY plain FROM STDIN;\n6\tx\n7\tfails\n8\tx\n\\.\n", 'row also 6 row row also 8');
query($node, q{DROP TRIGGER a ON plain; DROP TRIGGER b ON plain; DROP INDEX rswebhook.by_key;
CREATE CONSTRAINT TRIGGER c AFTER INSERT ON plain DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('paused', 'late')});
runs('at the commit', "BEGIN; INSERT INTO plain VALUES ('a'), ('b'); " . sends('one') . 'COMMIT', 'one late late');
runs('or before it', "BEGIN; INSERT INTO plain VALUES ('a'), ('b'); SET CONSTRAINTS ALL IMMEDIATE; TRUNCATE rswebhook.queue; "
      . sends('one') . 'COMMIT', 'one');

# A command has others send before it comes to our tables
query($node, q{
DROP TRIGGER c ON plain;
CREATE FUNCTION audits() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN CALL sends('audit'); END $$;
CREATE FUNCTION empties() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN CALL sends('emptied'); RETURN NULL; END $$;
CREATE TRIGGER e BEFORE TRUNCATE ON plain FOR EACH STATEMENT EXECUTE FUNCTION empties();
CREATE EVENT TRIGGER audit ON ddl_command_start EXECUTE FUNCTION audits()});
runs('an event trigger sends before our tables are altered',
    sends('one') . 'CREATE INDEX by_time ON rswebhook.queue (queued_at); ALTER TABLE rswebhook.queue SET (fillfactor = 90); DROP INDEX rswebhook.by_time; '
      . sends('two'), 'one audit audit audit two');
query($node, 'DROP EVENT TRIGGER audit');
runs('so does a trigger before one of ours is emptied together with its table',
    sends('one') . 'TRUNCATE plain, rswebhook.message; ' . sends('two'), 'one emptied two');
unlike(logged($node), qr/leak|not owned by resource owner|still referenced/, 'no reference is left over');

$node->stop;
done_testing();
