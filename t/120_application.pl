# Whatever somebody has made of our tables, and whatever is in a row: with on_error=warn the
# application's write stands, and what was refused is on record.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use Encode qw(decode);
use RswebhookTest;
use Session;
use Test::More;

my $node = new_node('application');

query($node, q{
    INSERT INTO rswebhook.destination (name, url, paused) VALUES ('there', 'http://127.0.0.1:1/', true);
    INSERT INTO rswebhook.destination (name, url, paused, deduplicate) VALUES ('once', 'http://127.0.0.1:1/', true, '1 day');
    CREATE TABLE orders (id integer, customer text, target text DEFAULT 'there');
    CREATE TRIGGER send AFTER INSERT ON orders FOR EACH ROW
        EXECUTE FUNCTION rswebhook_trigger('', '', 'user_id=customer', 'columns=id', 'destination_column=target');
    CREATE TABLE many (LIKE orders INCLUDING ALL);
    CREATE TRIGGER send AFTER INSERT ON many REFERENCING NEW TABLE AS rows FOR EACH STATEMENT
        EXECUTE FUNCTION rswebhook_trigger('', '', 'user_id=customer', 'columns=id', 'destination_column=target');
    CREATE FUNCTION fails(anyelement) RETURNS integer IMMUTABLE LANGUAGE plpgsql AS $$BEGIN RAISE 'hush: %', $1; END$$;
    CREATE FUNCTION fails_not_null(anyelement) RETURNS boolean IMMUTABLE LANGUAGE plpgsql
        AS $$BEGIN IF $1 IS NULL THEN RETURN false; END IF; RAISE 'hush: %', $1; END$$});

# What is made of the tables, how that is undone, what the record says, and to whom it was sent
my @cases = (
    [ q{CREATE INDEX mine ON rswebhook.event ((event ->> 'userId'))}, 'DROP INDEX rswebhook.mine', qr/index row (requires|size) \d+/ ],
    [ q{CREATE INDEX mine ON rswebhook.event (ordering_key, event)}, 'DROP INDEX rswebhook.mine', qr/index row (requires|size) \d+/ ],
    [ q{CREATE INDEX mine ON rswebhook.event (created_at) INCLUDE (event)}, 'DROP INDEX rswebhook.mine', qr/index row (requires|size) \d+/ ],
    [ q{CREATE INDEX mine ON rswebhook.event (fails(event))}, 'DROP INDEX rswebhook.mine', qr/hush/ ],
    [ q{CREATE INDEX mine ON rswebhook.event (id) WHERE fails_not_null(event)}, 'DROP INDEX rswebhook.mine', qr/hush/ ],
    [ q{CREATE UNIQUE INDEX mine ON rswebhook.event (slot)}, 'DROP INDEX rswebhook.mine', qr/duplicate key/ ],
    [ q{CREATE UNIQUE INDEX mine ON rswebhook.queue (destination_id)}, 'DROP INDEX rswebhook.mine', qr/duplicate key/ ],
    [ q{CREATE INDEX mine ON rswebhook.queue (fails(event_id))}, 'DROP INDEX rswebhook.mine', qr/hush/ ],
    [ q{ALTER TABLE rswebhook.queue ADD CONSTRAINT mine EXCLUDE USING btree (attempts WITH =)},
        'ALTER TABLE rswebhook.queue DROP CONSTRAINT mine', qr/exclusion constraint/ ],
    [ q{ALTER TABLE rswebhook.event ADD CONSTRAINT mine CHECK (id < 0) NOT VALID}, 'ALTER TABLE rswebhook.event DROP CONSTRAINT mine', qr/check constraint/ ],
    [ q{CREATE INDEX mine ON rswebhook.message (fails(hash))}, 'DROP INDEX rswebhook.mine', qr/hush/, 'once' ],
    [ q{CREATE UNIQUE INDEX mine ON rswebhook.message (destination_id)}, 'DROP INDEX rswebhook.mine', qr/duplicate key/, 'once' ],
    [ q{ALTER TABLE rswebhook.message ADD CONSTRAINT mine CHECK (event_id < 0) NOT VALID},
        'ALTER TABLE rswebhook.message DROP CONSTRAINT mine', qr/check constraint "mine"$/, 'once' ],
    [ q{ALTER TABLE rswebhook.message RENAME COLUMN hash TO mine}, 'ALTER TABLE rswebhook.message RENAME COLUMN mine TO hash', qr/column "hash"/, 'once' ],
    [ q{ALTER TABLE rswebhook.message DROP CONSTRAINT message_pkey}, 'ALTER TABLE rswebhook.message ADD PRIMARY KEY (destination_id, hash)', qr/no unique or exclusion/, 'once' ],
    [ q{ALTER SEQUENCE rswebhook.event_id_seq MAXVALUE 2000000000; SELECT setval('rswebhook.event_id_seq', 2000000000)},
        q{ALTER SEQUENCE rswebhook.event_id_seq NO MAXVALUE RESTART 1000000}, qr/reached maximum value|no ids left/ ],
    [ q{SELECT setval('rswebhook.event_id_seq', 9223372036854775807)}, q{SELECT setval('rswebhook.event_id_seq', 1000000000)}, qr/reached maximum value/ ],
    [ q{ALTER TABLE rswebhook.event RENAME TO mine}, 'ALTER TABLE rswebhook.mine RENAME TO event', qr/"rswebhook.event" does not exist/ ],
    [ q{ALTER TABLE rswebhook.queue RENAME TO mine}, 'ALTER TABLE rswebhook.mine RENAME TO queue', qr/"rswebhook.queue" does not exist/ ],
    [ q{ALTER TABLE rswebhook.home RENAME TO mine}, 'ALTER TABLE rswebhook.mine RENAME TO home', qr/"rswebhook.home" does not exist/ ],
    [ q{ALTER TABLE rswebhook.home RENAME COLUMN database_oid TO mine}, 'ALTER TABLE rswebhook.home RENAME COLUMN mine TO database_oid', qr/columns of relation "rswebhook.home"/ ],
    [ q{ALTER TABLE rswebhook.message RENAME TO mine}, 'ALTER TABLE rswebhook.mine RENAME TO message', qr/"rswebhook.message" does not exist/, 'once' ],
    [ q{ALTER SEQUENCE rswebhook.event_id_seq RENAME TO mine}, 'ALTER SEQUENCE rswebhook.mine RENAME TO event_id_seq', qr/"rswebhook.event_id_seq" does not exist/ ],
    # nothing is left to write a record to
    [ q{ALTER SCHEMA rswebhook RENAME TO mine}, 'ALTER SCHEMA mine RENAME TO rswebhook', undef ]);

# a session that has sent before, and knows the tables
my $session = $node->background_psql('postgres', on_error_stop => 0);
my $id = 0;

sub rows
{
    my ($table, $target, $count) = @_;
    my $customer = q{(SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 300) WHERE n > 0)};

    $id += $count;
    return "INSERT INTO $table SELECT $id - $count + n, $customer, '$target' FROM generate_series(1, $count) n";
}

foreach my $case (@cases)
{
    my ($made, $undone, $expected, $target) = @$case;

    $target //= 'there';
    foreach my $table ('orders', 'many')
    {
        $session->query(rows($table, $target, 3));
        query($node, 'TRUNCATE rswebhook.delivery, rswebhook.queue, rswebhook.message, rswebhook.event');
        $session->query(rows($table, $target, 1)) if $made =~ /setval|RENAME/;
        my $before = query($node, "SELECT count(*) FROM $table");
        query($node, $made);
        foreach my $count (1, 3)
        {
            $session->{stderr} = '';
            $session->query(rows($table, $target, $count));
            my $said = $session->{stderr};
            $session->{stderr} = '';
            unlike($said, qr/ERROR/, "$made: no error of $count in $table");
            # the first one is no duplicate; who knows the tables finds them in any schema
            like($said, qr/WARNING/, 'but a warning') unless $made =~ /SCHEMA/ || ($made =~ /UNIQUE|EXCLUDE/ && $count == 1);
        }
        is(query($node, "SELECT count(*) - $before FROM $table"), 4, 'the rows are there');
        query($node, $undone);
        next if !defined $expected;
        my @reasons = split /\n/, query($node, q{SELECT error FROM rswebhook.delivery WHERE outcome = 'refused'});
        cmp_ok(scalar @reasons, '>=', 2, 'what was refused is on record');
        is(scalar(grep { $_ !~ $expected } @reasons), 0, 'with the reason') or diag(explain(\@reasons));
        $session->query(rows($table, $target, 3));
        is(query($node, "SELECT event -> 'properties' ->> 'id' FROM rswebhook.event ORDER BY event -> 'properties' -> 'id' DESC LIMIT 1"), $id, 'and then it goes on');
    }
}

# An id that somebody's own row has is passed over
query($node, 'TRUNCATE rswebhook.delivery');
$session->query(rows('orders', 'there', 1));
query($node, q{
    INSERT INTO rswebhook.event (id, slot, created_at, event)
        SELECT max(id) + n, max(slot), now(), '{}' FROM rswebhook.event, generate_series(1, 20, 4) n GROUP BY n});
foreach my $count (1, 3)
{
    $session->{stderr} = '';
    $session->query(rows('orders', 'there', $count));
    unlike($session->{stderr}, qr/ERROR|WARNING/, 'an id that is somebody\'s own row\'s is passed over');
}
is(query($node, q{SELECT count(*) FROM rswebhook.event WHERE event -> 'properties' ->> 'id' IS NOT NULL AND id > (SELECT max(id) FROM rswebhook.event WHERE event = '{}')}), 4, 'all of them');
is(query($node, 'SELECT count(*) FROM rswebhook.delivery'), 0, 'nothing is refused');
$session->quit;

# What is too large is refused before it is fetched, whatever column it is in, and keeps its destination
query($node, q{
    ALTER SYSTEM SET rswebhook.max_event_size = '1MB';
    SELECT pg_reload_conf();
    CREATE TABLE wide (id integer, a text, target text DEFAULT 'there', kind text DEFAULT 'track', body jsonb);
    CREATE TABLE large AS SELECT repeat('x', 300000000) AS a;
    CREATE FUNCTION refused() RETURNS TABLE (error text, destination text) LANGUAGE plpgsql AS $$BEGIN
        RETURN QUERY SELECT v.error, d.name FROM rswebhook.delivery v LEFT JOIN rswebhook.destination d ON d.id = v.destination_id;
        TRUNCATE rswebhook.delivery; END$$;
    TRUNCATE rswebhook.delivery});
my $after = 'AFTER INSERT ON wide FOR EACH ROW EXECUTE FUNCTION';
foreach my $option (
    (map { "rswebhook_trigger('there', '', 'columns=id', '$_=a')" } 'user_id', 'anonymous_id', 'ordering_key'),
    "rswebhook_trigger('there', '', 'columns=id', 'shape=hasura', 'user_id=a')",
    "rswebhook_trigger('there', '', 'columns=id', 'type=group', 'group_id=a')",
    "rswebhook_trigger('there', '', 'columns=id', 'type=alias', 'user_id=id', 'previous_id=a')",
    "rswebhook_trigger('', '', 'columns=id', 'user_id=a', 'destination_column=target')",
    (map { "rswebhook_outbox('destination=there', 'type=kind', '$_=a')" } 'event_name', 'user_id', 'message_id', 'ordering_key'),
    "rswebhook_outbox('destination=there', 'type=a')",
    "rswebhook_outbox('type=kind', 'user_id=a', 'destination_column=target')")
{
    # the first row has shown that all goes well
    my ($code, undef, $err) = $node->psql('postgres', qq{
        CREATE OR REPLACE TRIGGER send $after $option;
        INSERT INTO wide (id, a) SELECT 1, 'track' UNION ALL SELECT 2, a FROM large});
    is($code, 0, "$option: the write stands") or diag($err);
    is(query($node, q{SELECT destination || ' ' || error FROM refused()}), 'there trigger "send": event is too large: The event has '
          . (300000000 + ($option =~ /user_id=a.*destination_column/ ? ($option =~ /outbox/ ? 5 : 0) : $option =~ /type=kind/ && $option !~ /ordering/ ? 5 : 0))
          . ' bytes; at most 1048576 are allowed.', 'what was too large is refused');
}
query($node, "CREATE OR REPLACE TRIGGER send $after rswebhook_trigger('', '', 'columns=id', 'destination_column=a')");
query($node, q{INSERT INTO wide (id, a) SELECT 1, 'there' UNION ALL SELECT 2, a FROM large});
like(query($node, 'SELECT * FROM refused()'), qr/event is too large: .*\|$/, 'likewise a destination');

# One whose request would be too large
query($node, q{
    ALTER SYSTEM SET rswebhook.max_event_size = '64MB';
    ALTER SYSTEM SET rswebhook.max_request_size = '64kB';
    SELECT pg_reload_conf()});
foreach my $option ("rswebhook_outbox('event=body', 'destination=there')", "rswebhook_outbox('event=body', 'destination_column=target')")
{
    query($node, "CREATE OR REPLACE TRIGGER send $after $option");
    query($node, q{INSERT INTO wide (id, body) VALUES (1, jsonb_build_object('a', repeat('x', 100000)))});
    like(query($node, 'SELECT * FROM refused()'), qr/request.*\|there$/, "$option: what makes too large a request keeps its destination");
}

# JSON that no stack would hold is the row's own; elsewhere it is the statement's
query($node, q{
    ALTER SYSTEM RESET rswebhook.max_event_size;
    ALTER SYSTEM RESET rswebhook.max_request_size;
    SELECT pg_reload_conf();
    CREATE FUNCTION endless(integer) RETURNS integer LANGUAGE plpgsql AS 'BEGIN RETURN endless($1 + 1) + 1; END';
    CREATE TYPE odd;
    CREATE FUNCTION odd_in(cstring) RETURNS odd LANGUAGE internal IMMUTABLE STRICT AS 'textin';
    CREATE FUNCTION odd_out(odd) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'textout';
    CREATE TYPE odd (input = odd_in, output = odd_out, like = text);
    CREATE FUNCTION odd_json(odd) RETURNS json LANGUAGE plpgsql AS 'BEGIN RETURN to_json(endless(1)); END';
    CREATE CAST (odd AS json) WITH FUNCTION odd_json(odd);
    CREATE TABLE odds (id integer, value odd);
    CREATE TRIGGER send AFTER INSERT ON odds FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('there');
    CREATE OR REPLACE TRIGGER send AFTER INSERT ON wide FOR EACH ROW EXECUTE FUNCTION rswebhook_outbox('event=a', 'destination=there')});
my ($code, undef, $err) = $node->psql('postgres', q~INSERT INTO wide (id, a) VALUES (1, '{"n": 1}'), (2, repeat('[', 20000)), (3, repeat('{"a":', 20000))~);
is($code, 0, 'deep JSON does not fail the write') or diag($err);
is(query($node, q{SELECT count(*), min(error), min(destination) FROM refused()}),
    '2|trigger "send": event is nested too deeply: It takes more of the stack than max_stack_depth to read it.|there', 'it is refused');
($code, undef, $err) = $node->psql('postgres', q{INSERT INTO odds VALUES (1, 'x')});
like($err, qr/ERROR:  stack depth limit exceeded/, 'what has no end is the statement\'s');
query($node, q{CREATE OR REPLACE TRIGGER send AFTER INSERT ON wide FOR EACH ROW EXECUTE FUNCTION rswebhook_outbox('event=a', 'destination=there', 'on_error=raise')});
($code, undef, $err) = $node->psql('postgres', q{INSERT INTO wide (id, a) VALUES (2, repeat('[', 20000))});
like($err, qr/ERROR:  event is nested too deeply/, 'or else it says what is wrong');

# Nor is what is read, and was written where the stack was larger
query($node, q{
    CREATE TABLE deep (id integer, value jsonb, note text);
    CREATE TRIGGER send AFTER UPDATE ON deep FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('there');
    TRUNCATE rswebhook.delivery;
    SET max_stack_depth = '3MB';
    INSERT INTO deep VALUES (1, (repeat('[', 15000) || repeat(']', 15000))::jsonb)});
($code, undef, $err) = $node->psql('postgres', q{SET max_stack_depth = '500kB'; UPDATE deep SET note = 'x'});
is($code, 0, 'deep JSON of another column does not fail an update') or diag($err);
is(query($node, q{SELECT count(*), min(error), min(destination) FROM refused()}),
    '1|trigger "send": event is nested too deeply: It takes more of the stack than max_stack_depth to read it.|there', 'it is refused as well');

# What is told to whom: not what is in columns that he may not read
query($node, q{
    CREATE ROLE writer;
    CREATE TABLE hidden (id integer, pay text DEFAULT '{"secret": hush}', after timestamptz DEFAULT '2999-01-01', life interval DEFAULT '900 years 3 days',
        ev jsonb DEFAULT '{}', headed jsonb DEFAULT '{"header": {"hush hush": "x"}}', target text DEFAULT 'hush');
    GRANT INSERT (id) ON hidden TO writer});
foreach my $case (
    [ "'event=pay', 'destination=there'", 'pay', qr/hush/, qr/json: Expected string or "}", but found|Token "\*\*\*" is invalid/ ],
    [ "'event=headed', 'destination=there'", 'headed', qr/hush/ ],
    [ "'event=ev', 'destination=there', 'deliver_after=after'", 'ev, after', qr/2999/ ],
    [ "'event=ev', 'destination=there', 'expires_after=life'", 'ev, life', qr/900/ ],
    [ "'event=ev', 'destination_column=target'", 'ev, target', qr/hush/ ])
{
    my ($options, $columns, $value, $recorded) = @$case;

    foreach my $raise ('', ", 'on_error=raise'")
    {
        query($node, "CREATE OR REPLACE TRIGGER send AFTER INSERT ON hidden FOR EACH ROW EXECUTE FUNCTION rswebhook_outbox($options$raise)");
        query($node, 'REVOKE SELECT ON hidden FROM writer; GRANT INSERT (id) ON hidden TO writer');
        my ($code, undef, $said) = $node->psql('postgres', 'SET ROLE writer; INSERT INTO hidden (id) VALUES (1)');
        like($said, $raise ? qr/ERROR/ : qr/WARNING/, "$options$raise: it is told");
        unlike($said, $value, 'without the value');
        like(query($node, 'SELECT error FROM refused()'), $recorded // $value, 'which is on record') unless $raise;
        query($node, "GRANT SELECT ($columns) ON hidden TO writer");
        ($code, undef, $said) = $node->psql('postgres', 'SET ROLE writer; INSERT INTO hidden (id) VALUES (1)');
        like($said, $value, 'to those who may read it, with the value');
        query($node, 'REVOKE ALL ON hidden FROM writer; TRUNCATE rswebhook.delivery');
    }
}
# nor by the plans of our own statements
query($node, q{CREATE OR REPLACE TRIGGER send AFTER INSERT ON hidden FOR EACH ROW EXECUTE FUNCTION rswebhook_outbox('event=ev', 'destination_column=target');
    GRANT INSERT (id) ON hidden TO writer});
(undef, undef, $err) = $node->psql('postgres', q{SET ROLE writer; SET debug_print_plan = on; SET debug_print_rewritten = on; SET debug_print_parse = on;
    SET client_min_messages = log; INSERT INTO hidden (id) VALUES (1)});
is(scalar(() = $err =~ /LOG:\s+(?:plan|rewritten parse tree|parse tree):/g), 3, 'and shows no plan but that of the write itself');
# likewise where our own tables are at fault
query($node, q{
    CREATE OR REPLACE TRIGGER send AFTER INSERT ON hidden FOR EACH ROW EXECUTE FUNCTION rswebhook_outbox('event=ev', 'destination=there', 'on_error=raise');
    ALTER TABLE hidden ALTER ev SET DEFAULT '{"secret": "hush"}';
    GRANT INSERT (id) ON hidden TO writer;
    ALTER TABLE rswebhook.event ADD CONSTRAINT mine CHECK (id < 0) NOT VALID});
(undef, undef, $err) = $node->psql('postgres', 'SET ROLE writer; INSERT INTO hidden (id) VALUES (1)');
like($err, qr/ERROR/, 'a check of somebody\'s own');
unlike($err, qr/hush/, 'does not tell the row');

# Nor is an error that is caught the end of a session that wants that of any error
query($node, q{
    ALTER TABLE rswebhook.event DROP CONSTRAINT mine;
    CREATE TABLE texts (event text);
    CREATE TRIGGER send AFTER INSERT ON texts FOR EACH ROW EXECUTE FUNCTION rswebhook_outbox('event=event', 'destination=there')});
my ($ended, undef, $told) = $node->psql('postgres', q{SET exit_on_error = on; INSERT INTO texts VALUES ('no json')});
is($ended, 0, 'exit_on_error: the write stands');
like($told, qr/WARNING/, 'with a warning');

# A reason is one short line, without what PostgreSQL quotes of what it cannot read
query($node, q{
    TRUNCATE rswebhook.delivery;
    CREATE TABLE jottings (event text);
    CREATE TRIGGER send AFTER INSERT ON jottings FOR EACH ROW EXECUTE FUNCTION rswebhook_outbox('destination=there');
    CREATE OR REPLACE FUNCTION odd_json(odd) RETURNS json LANGUAGE plpgsql AS $$
        BEGIN RAISE E'line\n\ttwo %', repeat('é', 1000000) USING DETAIL = E'and\nmore ' || repeat('x', 1000000); END $$});
foreach my $case (
    [ q{jottings SELECT repeat('A', 900000)}, qr/^trigger "send": invalid input syntax for type json: Token "\*\*\*"\.\.\.$/ ],
    [ q{jottings VALUES ('{"iban": DE0212345678}')}, qr/^trigger "send": invalid input syntax for type json: Token "\*\*\*" is invalid\.$/ ],
    [ q{jottings VALUES ('{"iban" "DE0212345678"}')}, qr/^trigger "send": invalid input syntax for type json: Expected ":", but found "\*\*\*"\.$/ ],
    [ q{odds VALUES (1, 'x')}, qr/^trigger "send": line  two \x{e9}+\.\.\.: and more x+\.\.\.$/ ])
{
    my ($values, $reason) = @$case;
    my (undef, undef, $warned) = $node->psql('postgres', "INSERT INTO $values");
    my $error = decode('UTF-8', query($node, 'SELECT error FROM rswebhook.delivery'));

    like($error, $reason, substr($values, 0, 40) . ': the reason is one line');
    unlike($error, qr/DE02/, 'without a value');
    cmp_ok(length($error), '<=', 1000, 'of 1,000 bytes');
    like($warned, qr/WARNING/, 'and so is what is warned of');
    cmp_ok(length($warned), '<', 2000, 'which is short');
    query($node, 'TRUNCATE rswebhook.delivery');
}

# A transaction is warned once of each trigger, of all that partitions have made of it
query($node, q{
    CREATE TABLE whole (id integer) PARTITION BY LIST (id);
    SELECT format('CREATE TABLE part_%s PARTITION OF whole FOR VALUES IN (%s)', n, n) FROM generate_series(0, 29) AS n \gexec
    CREATE TABLE several (id integer);
    SET check_function_bodies = off;
    CREATE TRIGGER send AFTER INSERT ON whole FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('nowhere');
    SELECT format('CREATE TRIGGER t%s AFTER INSERT ON several FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger(''nowhere'')', n)
        FROM generate_series(1, 120) AS n \gexec
    });
foreach my $case (
    [ 'INSERT INTO whole SELECT n % 30 FROM generate_series(1, 90) AS n', 1, 0 ],
    [ 'BEGIN; INSERT INTO whole VALUES (1); SAVEPOINT s; INSERT INTO whole VALUES (2); ROLLBACK TO s; INSERT INTO whole VALUES (3); COMMIT', 1, 0 ],
    [ 'INSERT INTO whole VALUES (1); INSERT INTO whole VALUES (2)', 2, 0 ],
    [ 'INSERT INTO several SELECT generate_series(1, 3)', 101, 1 ])
{
    my ($statement, $warnings, $others) = @$case;
    my (undef, undef, $warned) = $node->psql('postgres', $statement);

    is(scalar(() = $warned =~ /WARNING/g), $warnings, "$statement: is warned of once");
    is(scalar(() = $warned =~ /WARNING:  and others: more than 100 triggers/g), $others, 'and of others once for all');
}
query($node, 'TRUNCATE rswebhook.delivery, rswebhook.event CASCADE');

# The hint names triggers only to whoever may see which destination it is about
query($node, q{
    CREATE TABLE secretive (id integer, target text DEFAULT 'hush');
    GRANT INSERT (id) ON secretive TO writer;
    SET check_function_bodies = off;
    CREATE TABLE others (id integer);
    CREATE TRIGGER named AFTER INSERT ON others FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('hush');
    CREATE TRIGGER send AFTER INSERT ON secretive FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('', '', 'destination_column=target')});
(undef, undef, my $hinted) = $node->psql('postgres', 'SET ROLE writer; INSERT INTO secretive (id) VALUES (1)');
like($hinted, qr/WARNING:  destination "\*\*\*" does not exist/, 'the destination is hidden');
unlike($hinted, qr/named/, 'and so are the triggers that name it');
query($node, 'GRANT SELECT ON secretive TO writer');
(undef, undef, $hinted) = $node->psql('postgres', 'SET ROLE writer; INSERT INTO secretive (id) VALUES (1)');
like($hinted, qr/"hush" does not exist.*Triggers that name it: "named" on others/s, 'but not from whoever may read the column');

# A table that somebody changes between two rows of a statement, the first of which was fine
query($node, q{
    CREATE ROLE limited;
    SELECT rswebhook_grant_send('limited', 'there');
    SELECT rswebhook_grant_send('limited', 'once');
    CREATE FUNCTION waits() RETURNS trigger LANGUAGE plpgsql AS
        $$BEGIN IF NEW.id = 2 THEN PERFORM pg_advisory_xact_lock_shared(1); END IF; RETURN NULL; END$$;
    CREATE TABLE slow (id integer, target text);
    CREATE TRIGGER a AFTER INSERT ON slow FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('', '', 'destination_column=target');
    CREATE TRIGGER b AFTER INSERT ON slow FOR EACH ROW EXECUTE FUNCTION waits();
    CREATE TABLE slow_and_limited (LIKE slow);
    ALTER TABLE slow_and_limited OWNER TO limited;
    CREATE TABLE slow_to_all (LIKE slow);
    CREATE TRIGGER a AFTER INSERT ON slow_to_all FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('');
    CREATE TRIGGER b AFTER INSERT ON slow_to_all FOR EACH ROW EXECUTE FUNCTION waits();
    SET check_function_bodies = off;
    CREATE TRIGGER a AFTER INSERT ON slow_and_limited FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('', '', 'destination_column=target');
    CREATE TRIGGER b AFTER INSERT ON slow_and_limited FOR EACH ROW EXECUTE FUNCTION waits()});
my $holding = Session->new($node);
my $sending = Session->new($node);
foreach my $case (
    [ 'slow', 'there', 'TABLE rswebhook.destination RENAME COLUMN headers TO mine', 'TABLE rswebhook.destination RENAME COLUMN mine TO headers' ],
    [ 'slow', 'there', 'TABLE rswebhook.destination RENAME TO mine', 'TABLE rswebhook.mine RENAME TO destination' ],
    [ 'slow_to_all', 'there', 'TABLE rswebhook.destination RENAME COLUMN filter TO mine', 'TABLE rswebhook.destination RENAME COLUMN mine TO filter' ],
    [ 'slow_and_limited', 'there', 'TABLE rswebhook.sender RENAME COLUMN role TO mine', 'TABLE rswebhook.sender RENAME COLUMN mine TO role' ],
    [ 'slow_and_limited', 'there', 'TABLE rswebhook.sender RENAME TO mine', 'TABLE rswebhook.mine RENAME TO sender' ],
    [ 'slow', 'there', 'SCHEMA rswebhook RENAME TO mine', 'SCHEMA mine RENAME TO rswebhook' ])
{
    my ($table, $target, $change, $back) = @$case;

    query($node, 'TRUNCATE rswebhook.delivery, rswebhook.queue');
    $holding->query('SELECT pg_advisory_lock(1)');
    $sending->start("INSERT INTO $table SELECT n, '$target' FROM generate_series(1, 4) AS n");
    ok(wait_for_query($node, q{SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted}, '1'), "$change: a statement is between two rows");
    query($node, "ALTER $change");
    $holding->query('SELECT pg_advisory_unlock(1)');
    $sending->finish;
    is(query($node, "SELECT count(*) FROM $table; TRUNCATE $table"), '4', "$change: it writes all");
    query($node, "ALTER $back");
    # without the schema there is no place for records
    like(query($node, q{SELECT (SELECT count(*) FROM rswebhook.queue) || ' ' || (SELECT count(*) FROM rswebhook.delivery WHERE outcome = 'refused')}),
        $change =~ /SCHEMA/ ? qr/^4 0$/ : $table eq 'slow_to_all' ? qr/^4 2$/ : qr/^2 2$/, "$change: what cannot be sent is on record");
}
$_->close foreach $holding, $sending;

$node->stop;
done_testing();
