# With enrich, the receiver gets what is stored, as RudderStack's would: the messageId is the
# webhook-id, in each attempt and in a replay, and the address is that of the client.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use JSON::PP;
use RswebhookTest;
use Test::More;

my $json = JSON::PP->new->utf8->canonical->allow_nonref;
my $receiver = new_receiver();
my $node = new_node('enriched', conf => "listen_addresses = '127.0.0.1'\n");
my $uuid = qr/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

add_destination($node, 'posts', $receiver->url('/posts'), { min_backoff => '1 ms', max_backoff => '1 ms' });
add_destination($node, 'gets', $receiver->url('/gets'), { method => 'GET' });

# Over a network, as an application is mostly connected.
my $network = sprintf 'host=127.0.0.1 port=%d dbname=postgres', $node->port;

sub sent
{
    my ($connection, $call) = @_;
    my $id = $node->safe_psql('postgres', "SELECT $call", connstr => $connection);

    ok(wait_until_sent($node), "sent: $call");
    my $event = $json->decode(query($node, "SELECT event FROM rswebhook.event WHERE id = $id"));
    my @requests = grep { $_->{headers}{'webhook-id'} eq $event->{messageId} } $receiver->requests;

    return ($id, $event, @requests);
}

my ($id, $event, @requests) = sent($network, q{rswebhook_send('{"type": "track", "userId": "u1"}', 'posts', enrich => true)});
like($event->{messageId}, $uuid, 'a new messageId');
is($event->{rudderId}, '5eff0fc3-0944-48fa-9c04-38f62e3890ca', 'a rudderId');
is($event->{request_ip}, '127.0.0.1', "the client's address");
is_deeply($event->{context}, { ip => '127.0.0.1' }, 'and in the context');
is(scalar @requests, 1, 'its webhook-id is the messageId');
is($json->encode($json->decode($requests[0]{body})), $json->encode($event), 'what is stored is what is sent');

query($node, "SELECT rswebhook_replay($id, 'posts')");
ok(wait_until_sent($node), 'a replay is sent');
@requests = grep { $_->{headers}{'webhook-id'} eq $event->{messageId} } $receiver->requests;
is(scalar @requests, 2, 'under the same id');
is($requests[1]{body}, $requests[0]{body}, 'and as the same event');

($id, $event, @requests) = sent($network, q{rswebhook_send('{"type": "track", "userId": "u1", "properties": {"a": 1}}', 'gets', enrich => true)});
is(scalar @requests, 1, 'of GET, too');
is($requests[0]{target}, '/gets?a=1', 'what is added is no param');

# by a socket, there is no address
my $socket = sprintf 'host=%s port=%d dbname=postgres', $node->host, $node->port;
($id, $event, @requests) = sent($socket, q{rswebhook_send('{"type": "track", "userId": "u1"}', 'posts', enrich => true)});
ok(!exists $event->{request_ip} && !exists $event->{context}, 'nor is it sent');
is($json->encode($json->decode($requests[0]{body})), $json->encode($event), 'what is stored is what is sent');

# what is added by the setting of a role, to what its tables send as well
query($node, q{
    CREATE ROLE app LOGIN;
    ALTER ROLE app SET rswebhook.enrich = on;
    GRANT CREATE ON SCHEMA public TO app;
    SELECT rswebhook.grant_sender('app');
    SET ROLE app;
    CREATE TABLE orders (id int, customer text);
    CREATE TRIGGER webhook AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('posts', '', 'user_id=customer')});
$node->safe_psql('postgres', "INSERT INTO orders VALUES (1, 'u1')", connstr => "$network user=app");
ok(wait_until_sent($node), 'a table sends');
$event = $json->decode(($receiver->requests)[-1]{body});
is_deeply([ @$event{qw(userId rudderId request_ip)} ], [ 'u1', '5eff0fc3-0944-48fa-9c04-38f62e3890ca', '127.0.0.1' ], 'with what is added');
is($event->{context}{table}{name}, 'orders', 'and what a trigger sends');
is($event->{timestamp}, $event->{receivedAt}, 'at its time');

$node->stop;
done_testing();
