# Triggers of ours where the library is preloaded: what cannot work is an error when it
# is made, nothing that is the application's own is swallowed, and what was refused can
# be found and sent.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use PostgreSQL::Test::Utils ();
use RswebhookTest;
use Test::More;

my $receiver = new_receiver();
my $node = new_node('triggers');

add_destination($node, 'there', $receiver->url('/there'));
query($node, q{
    CREATE TABLE orders (id integer PRIMARY KEY, customer text, note text);
    CREATE TABLE outbox (id integer, event jsonb);
    CREATE VIEW box AS SELECT NULL::jsonb AS event WHERE false});

# When it is made
foreach my $case (
    [ q{AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('nowhere')}, qr/destination "nowhere" does not exist/ ],
    [ q{AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('there', '', 'user=customer')}, qr/invalid argument "user=customer"/ ],
    [ q{AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('there', '', 'user_id=buyer')}, qr/column "buyer" of relation "orders"/ ],
    [ q{BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('there')}, qr/is not fired as/ ],
    [ q{AFTER INSERT ON orders FOR EACH STATEMENT EXECUTE FUNCTION rswebhook_trigger('there')}, qr/is not fired as/ ],
    [ q{AFTER TRUNCATE ON orders FOR EACH STATEMENT EXECUTE FUNCTION rswebhook_trigger('there')}, qr/is not fired as/ ],
    [ q{AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('there', '', 'columns=id,')}, qr/invalid value "id,"/ ],
    [ q{AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('there', '', 'watch=id,id')}, qr/has column "id" twice/ ],
    [ q{AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('there', '', 'name=')}, qr/"name" of trigger "send" has no value/ ],
    [ q{AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('there', 'Paid', 'name=Paid')}, qr/do not go together.*second argument/s ],
    [ q{AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('there', 'Paid', 'shape=supabase')}, qr/do not go together.*second argument/s ],
    [ q{AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('there', '', 'group_id=customer')}, qr/do not go together.*type group/s ],
    [ q{AFTER INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION rswebhook_outbox('destination_column=')}, qr/"destination_column" of trigger "send" has no value/ ],
    [ q{AFTER UPDATE ON outbox FOR EACH ROW EXECUTE FUNCTION rswebhook_outbox()}, qr/is not fired as/ ],
    [ q{AFTER INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION rswebhook_outbox('event=id')}, qr/cannot be used as "event"/ ],
    [ q{INSTEAD OF INSERT ON box FOR EACH ROW EXECUTE FUNCTION rswebhook_outbox('event=payload')}, qr/column "payload"/ ])
{
    my ($sql, $expected) = @$case;
    my ($code, $out, $err) = $node->psql('postgres', "CREATE TRIGGER send $sql");

    isnt($code, 0, "no trigger: $sql");
    like($err, $expected, 'the error says why');
}
is(query($node, q{SELECT count(*) FROM pg_trigger WHERE tgname = 'send'}), 0, 'none was made');

# What restores a dump is let through, and told of
query($node, q{
    SET check_function_bodies = off;
    CREATE TRIGGER restored AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('nowhere', '', 'user_id=customer')});
is(query($node, q{SELECT "table", trigger, problem FROM rswebhook.trigger_problems()}),
    'orders|restored|destination "nowhere" does not exist', 'trigger_problems() tells of it');

# The application's write stands, and what was refused is sent once it can be
query($node, q{INSERT INTO orders VALUES (1, 'ann'), (2, 'bob')});
is(query($node, q{SELECT count(*) FROM orders}), 2, 'the rows are there');
is(query($node, q{SELECT count(*), min(outcome), min(destination_id), bool_and(error LIKE '%"restored"%"nowhere" does not exist%') FROM rswebhook.delivery}),
    '2|refused|0|t', 'and a record of each event');
query($node, q{SELECT count(rswebhook_replay(event_id, 'there')) FROM rswebhook.delivery WHERE outcome = 'refused'});
ok(wait_until_sent($node), 'they are sent');
is(users('there'), 'ann bob', 'as they were meant');
query($node, 'DROP TRIGGER restored ON orders');

# What is not a webhook's fault is the statement's: a time-out, a cancel, a deadlock
query($node, q{
    CREATE TYPE slow;
    CREATE FUNCTION slow_in(cstring) RETURNS slow LANGUAGE internal IMMUTABLE STRICT AS 'textin';
    CREATE FUNCTION slow_out(slow) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'textout';
    CREATE TYPE slow (input = slow_in, output = slow_out, like = text);
    CREATE FUNCTION slow_json(slow) RETURNS json LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(300); RETURN to_json(1); END';
    CREATE CAST (slow AS json) WITH FUNCTION slow_json(slow);
    CREATE TABLE slows (id integer, value slow);
    CREATE TRIGGER send AFTER INSERT ON slows FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('there')});
my ($code, $out, $err) = $node->psql('postgres', q{SET statement_timeout = '500 ms'; INSERT INTO slows VALUES (1, 'x')});
isnt($code, 0, 'a time-out is the statement\'s');
like($err, qr/canceling statement due to statement timeout/, 'and says so');
is(query($node, 'SELECT count(*) FROM slows'), 0, 'which has changed nothing');

# A filter that fails keeps the event from its destination, is nobody else's matter, and is seen
query($node, q{UPDATE rswebhook.destination SET filter = '$.at.datetime() > "2026-01-01T00:00:00+00:00".datetime()' WHERE name = 'there'});
add_destination($node, 'other', $receiver->url('/other'));
query($node, q{SELECT rswebhook_send('{"at": "2026-05-01T00:00:00"}') FROM generate_series(1, 3)});
ok(wait_until_sent($node), 'what is sent to all');
is(scalar($receiver->requests_to('/other')), 3, 'is sent to the others');
is(query($node, q{SELECT filter_errors, filter_error LIKE '%without time zone usage%' FROM rswebhook.status WHERE destination = 'there'}),
    '3|t', 'the status shows what went wrong');
is(query($node, q{SELECT filter_errors, filter_error IS NULL FROM rswebhook.status WHERE destination = 'other'}), '0|t', 'and where');

# without what it says of the event; one that would never end has an end, in time and in memory
my $deep = q{(repeat('{"a":', 60) || '1' || repeat('}', 60))::jsonb};
foreach my $case (
    [ q{$.secret.datetime()}, q{'{"secret": "hush"}'}, qr/"\*\*\*"/ ],
    [ q{$.secret.double()}, q{'{"secret": "hush \" hush"}'}, qr/double/ ],
    [ q{strict $.key}, q{'{"secret": "hush"}'}, qr/"key"/ ],
    [ q{$.a[*] == $.b[*]}, q{jsonb_build_object('a', (SELECT jsonb_agg(n) FROM generate_series(1, 5000) n), 'b', (SELECT jsonb_agg(-n) FROM generate_series(1, 5000) n))}, qr/lists that are too long/ ],
    [ q{$.**.**.**.**.**.**.**.** == 12345}, $deep, qr/more than 100 ms of the processor/ ],
    [ q{exists($.a ? (@.** ? (@.**.** == 1) == 1) ? (@.**.**.**.**.**.** == 2))}, $deep, qr/more than 100 ms of the processor/ ])
{
    my ($filter, $event, $expected) = @$case;
    my $session = $node->background_psql('postgres');

    query($node, "UPDATE rswebhook.destination SET filter = '$filter' WHERE name = 'there'");
    my $pid = $session->query_safe('SELECT pg_backend_pid()');
    is($session->query_safe("SELECT count(rswebhook_send($event)) FROM generate_series(1, 3)"), 3, "$filter: others have it");
    cmp_ok(process_field($pid, 'VmHWM'), '<', 300_000, 'and the session stays small');
    my $error = query($node, q{SELECT filter_error FROM rswebhook.status WHERE destination = 'there'});
    like($error, $expected, 'it is said why');
    unlike($error, qr/hush/, 'without what the event says');
    $session->quit;
}
my ($code, undef, $cancelled) = $node->psql('postgres', qq{SET statement_timeout = '30 ms'; SELECT count(rswebhook_send($deep)) FROM generate_series(1, 100)});
like($cancelled, qr/canceling statement due to statement timeout/, 'a cancel is one');

# By whom a row is changed: an ordinary user, by logical replication's rules
query($node, q{
    UPDATE rswebhook.destination SET filter = NULL;
    CREATE ROLE clerk;
    GRANT INSERT ON orders TO clerk;
    CREATE TRIGGER send AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('other', '', 'user_id=customer', 'columns=id')});
query($node, q{SET ROLE clerk; INSERT INTO orders VALUES (3, 'clerk')});
query($node, q{SET session_replication_role = replica; INSERT INTO orders VALUES (4, 'replica')});
query($node, q{ALTER TABLE orders ENABLE ALWAYS TRIGGER send});
query($node, q{SET session_replication_role = replica; INSERT INTO orders VALUES (5, 'always')});
ok(wait_until_sent($node), 'changes are sent');
is(users('other'), 'always clerk', 'as PostgreSQL fires triggers');
$node->stop('fast');

done_testing();

# Whose events were delivered to it
sub users
{
    my ($destination) = @_;

    return query($node, qq{
        SELECT string_agg(e.event ->> 'userId', ' ' ORDER BY e.event ->> 'userId')
        FROM rswebhook.delivery AS v JOIN rswebhook.event AS e ON e.id = v.event_id
        WHERE v.outcome = 'delivered' AND v.destination_id = rswebhook.destination_id('$destination')});
}
