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
    INSERT INTO other_orders VALUES ('eve', 'shop')});
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

is(query($node, $replay), 2, 'those that were meant for it are sent');
ok(wait_until_sent($node), 'all of them');
is(users('/shop'), 'ann carl', 'and no other ones');
is(query($node, $replay), 0, 'and not again');
is(query($node, q{SELECT rswebhook_replay_all('shop', since => NULL, outcome => 'refused', error_like => '%permission denied%')}), 1, 'what was denied is sent if that is asked for');
ok(wait_until_sent($node), 'as it is asked for');
is(users('/shop'), 'ann carl clerk', 'it is');
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
is(query($node, q{SELECT destination_id, error ~ 'lacks one of the columns' FROM rswebhook.delivery}), '0|t', 'an error while it is asked for');
is(query($node, $replay), 0, 'is not meant for anybody');

$node->stop;
done_testing();

sub users
{
    my ($path) = @_;

    return join ' ', sort map { $_->{body} =~ /"userId": ?"(\w+)"/ ? $1 : '?' } $receiver->requests_to($path);
}
