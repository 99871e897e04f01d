# What was refused is sent by one statement once it can be: what was meant for that
# destination, once, and nothing that its sender was not allowed.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Test::More;

my $receiver = new_receiver();
my $node = new_node('refused');
my $replay = q{SELECT rswebhook_replay_all('shop', since => NULL, outcome => 'refused')};

add_destination($node, $_, $receiver->url("/$_")) foreach 'shop', 'other';
query($node, q{
    CREATE TABLE orders (id integer, customer text, target text);
    CREATE TRIGGER send AFTER INSERT ON orders FOR EACH ROW
        EXECUTE FUNCTION rswebhook_trigger('', '', 'user_id=customer', 'destination_column=target')});
is(query($node, $replay), 0, 'nothing is refused, and nothing sent');

# meant for another one, without an event, too large, while the destination had another name
query($node, q{
    INSERT INTO orders VALUES (1, 'elsewhere', 'nowhere');
    CREATE TABLE outbox (event jsonb);
    CREATE TRIGGER send AFTER INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION rswebhook_outbox('destination=shop');
    INSERT INTO outbox VALUES (NULL), ('[]');
    INSERT INTO orders VALUES (2, repeat('x', 2000000), 'shop')});
query($node, q{UPDATE rswebhook.destination SET name = 'store' WHERE name = 'shop'});
query($node, q{INSERT INTO orders VALUES (3, 'ann', 'shop'), (4, 'bob', 'other'), (5, 'eve', 'workshop'), (6, 'eve', '"shop'),
    (9, 'eve', 'x": destination "shop'), (10, 'eve', 'x: destination "shop')});
query($node, q{
    CREATE TABLE other_orders (customer text, target text);
    CREATE TRIGGER "s"": destination ""a" AFTER INSERT ON other_orders FOR EACH ROW
        EXECUTE FUNCTION rswebhook_trigger('', '', 'user_id=customer', 'destination_column=target');
    INSERT INTO other_orders VALUES ('odd', 'shop')});
query($node, q{UPDATE rswebhook.destination SET name = 'shop' WHERE name = 'store'});

# what was refused by somebody's check, with its destination
query($node, q{ALTER TABLE rswebhook.queue ADD CONSTRAINT mine CHECK (attempts < 0) NOT VALID});
query($node, q{INSERT INTO orders VALUES (7, 'carl', 'shop'), (8, 'dora', 'other')});
query($node, q{ALTER TABLE rswebhook.queue DROP CONSTRAINT mine});

# what nobody was allowed to send
query($node, q{
    CREATE ROLE clerk;
    GRANT USAGE, CREATE ON SCHEMA public TO clerk;
    SELECT rswebhook_grant_send('clerk', 'other');
    SET ROLE clerk;
    CREATE TABLE denied (customer text, target text);
    RESET ROLE;
    SET check_function_bodies = off;
    CREATE TRIGGER send AFTER INSERT ON denied FOR EACH ROW
        EXECUTE FUNCTION rswebhook_trigger('', '', 'user_id=customer', 'destination_column=target');
    INSERT INTO denied VALUES ('clerk', 'shop')});
is(query($node, q{SELECT count(*), count(*) FILTER (WHERE event_id = 0) FROM rswebhook.delivery WHERE outcome = 'refused'}), '13|3', 'all are refused');

is(query($node, $replay), 3, 'those that were meant for it are sent');
ok(wait_until_sent($node), 'all of them');
is(users('/shop'), 'ann carl odd', 'and no other ones');
is(query($node, $replay), 0, 'and not again');
is(query($node, q{SELECT rswebhook_replay_all('shop', since => NULL, outcome => 'refused', error_like => '%permission denied%')}), 1, 'what was denied is sent if that is asked for');
ok(wait_until_sent($node), 'as it is asked for');
is(users('/shop'), 'ann carl clerk odd', 'it is');
is(query($node, q{SELECT rswebhook_replay_all('other', since => NULL, outcome => NULL, error_like => '%mine%')}), 1, 'likewise by its reason');
ok(wait_until_sent($node), 'to the other one');
is(users('/other'), 'bob dora', 'it is sent');

# A name that is told as another one may be has nothing of that one
add_destination($node, 'a": destination "shop', $receiver->url('/odd'));
is(query($node, q{SELECT rswebhook_replay_all('a": destination "shop', since => NULL, outcome => 'refused')}), 0, 'an odd name has nothing of another one');

# What its owner is not allowed to send is known as that, whatever else is wrong with it
query($node, q{
    SELECT rswebhook_revoke_send('clerk');
    SET ROLE clerk;
    CREATE TABLE boxed (event jsonb, target text, okey text, later timestamptz, life interval);
    RESET ROLE;
    CREATE TRIGGER send AFTER INSERT ON boxed FOR EACH ROW EXECUTE FUNCTION rswebhook_outbox(
        'destination_column=target', 'ordering_key=okey', 'deliver_after=later', 'expires_after=life');
    SELECT rswebhook_grant_send('clerk', 'other')});
foreach my $column ([ 'okey', q{repeat('k', 2000)} ], [ 'later', q{'infinity'} ], [ 'later', q{now() + interval '2 years'} ],
    [ 'life', q{'-1 day'} ], [ 'life', q{'900 years'} ], [ 'event', q{'{"userId": "clerk", "statusCode": 200}'} ])
{
    my ($name, $value) = @$column;
    my $event = $name eq 'event' ? '' : q{event, };
    my $given = $name eq 'event' ? '' : q{'{"userId": "clerk"}', };

    query($node, "TRUNCATE rswebhook.delivery; SET ROLE clerk; INSERT INTO boxed (${event}target, $name) VALUES (${given}'shop', $value)");
    like(query($node, q{SELECT d.name || ' ' || l.error FROM rswebhook.delivery l JOIN rswebhook.destination d ON d.id = l.destination_id}),
        qr/^shop trigger "send": permission denied for destination "shop"/, "$name $value: denied");
    is(query($node, $replay), 0, 'and not sent by whoever replays');
}
# nor is what has not even come so far that this is known
query($node, q{
    TRUNCATE rswebhook.delivery;
    ALTER TABLE rswebhook.sender RENAME COLUMN role TO who;
    SET ROLE clerk;
    INSERT INTO boxed VALUES ('{"userId": "clerk"}', 'shop')});
query($node, 'ALTER TABLE rswebhook.sender RENAME COLUMN who TO role');
is(query($node, q{SELECT d.name, l.error ~ '": permission not known for destination "shop": relation "rswebhook.sender" lacks one of the columns'
    FROM rswebhook.delivery l JOIN rswebhook.destination d ON d.id = l.destination_id WHERE outcome = 'refused'}), 'shop|t', 'an error while it is asked for');
is(query($node, $replay), 0, 'is not sent by whoever replays');
is(query($node, q{SELECT rswebhook_replay_all('shop', since => NULL, outcome => 'refused', error_like => '%permission not known%')}), 1, 'but if that is asked for');

# A role that may send there, while the destination has another name
query($node, q{
    TRUNCATE rswebhook.delivery, rswebhook.queue;
    SELECT rswebhook_grant_send('clerk', 'shop');
    UPDATE rswebhook.destination SET name = 'store' WHERE name = 'shop'});
my (undef, undef, $warned) = $node->psql('postgres', q{SET ROLE clerk; INSERT INTO boxed VALUES ('{"userId": "his"}', 'shop')});
like($warned, qr/WARNING:  permission denied for destination "shop"/, 'he is warned');
unlike($warned, qr/none of that name/, 'and does not hear whether it is there');
query($node, q{UPDATE rswebhook.destination SET name = 'shop' WHERE name = 'store'});
is(query($node, q{SELECT destination_id, error FROM rswebhook.delivery WHERE outcome = 'refused'}),
    '0|trigger "send" for "shop": permission denied for destination "shop": '
      . 'Role "clerk" may send only to the destinations that it was granted. There is none of that name.', 'the record says both');
is(query($node, $replay), 0, 'it is not sent by itself');
is(query($node, q{SELECT rswebhook_replay_all('shop', since => NULL, outcome => 'refused', error_like => '%permission denied%')}), 1, 'but if that is asked for');

# While a table is not as it has to be: by its id if that can be seen, and by its name if not
foreach my $change ('COLUMN headers TO x', 'COLUMN id TO x', 'COLUMN name TO x', 'TO x')
{
    my ($back) = $change eq 'TO x' ? 'ALTER TABLE rswebhook.x RENAME TO destination'
      : 'ALTER TABLE rswebhook.destination RENAME COLUMN x TO ' . ($change =~ /COLUMN (\w+)/)[0];

    query($node, qq{
        TRUNCATE rswebhook.delivery, rswebhook.queue;
        ALTER TABLE rswebhook.destination RENAME $change;
        INSERT INTO orders VALUES (1, 'meanwhile', 'shop'), (2, 'meanwhile', 'other');
        $back});
    is(query($node, q{SELECT string_agg(coalesce(d.name, rswebhook.refused_for(error)), ' ' ORDER BY event_id)
        FROM rswebhook.delivery l LEFT JOIN rswebhook.destination d ON d.id = l.destination_id WHERE outcome = 'refused'}), 'shop other', "$change: what was refused names its destination");
    is(query($node, $replay), 1, "$change: and is sent there");
}

# A trigger that cannot work
ok(wait_until_sent($node), 'all that was replayed has been told');
query($node, q{
    TRUNCATE rswebhook.delivery;
    SET check_function_bodies = off;
    CREATE TABLE bad (id integer, event jsonb);
    CREATE TRIGGER a AFTER INSERT ON bad FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('shop', '', 'nonsense');
    CREATE TRIGGER b AFTER INSERT ON bad FOR EACH ROW EXECUTE FUNCTION rswebhook_outbox('destination=shop', 'nonsense');
    CREATE TRIGGER c AFTER INSERT ON bad FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('', '', 'nonsense');
    INSERT INTO bad VALUES (1, '{}')});
is(query($node, q{SELECT string_agg(coalesce(d.name, '-'), ' ' ORDER BY error) FROM rswebhook.delivery l
    LEFT JOIN rswebhook.destination d ON d.id = l.destination_id}), 'shop shop -', 'what cannot work is recorded for its destination');

$node->stop;
done_testing();

sub users
{
    my ($path) = @_;

    return join ' ', sort map { $_->{body} =~ /"userId": ?"(\w+)"/ ? $1 : '?' } $receiver->requests_to($path);
}
