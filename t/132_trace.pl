# A trace goes on: what is sent has the trace of its sender, a span of its own for each attempt,
# and both are in its record.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Test::More;

my $receiver = new_receiver();
my $node = new_node('trace');
my ($trace, $other) = ('4bf92f3577b34da6a3ce929d0e0e4736', '0af7651916cd43dd8448eb211c80319c');

add_destination($node, 'shop', $receiver->url('/shop'));
add_destination($node, 'flaky', $receiver->url('/first/2/503/flaky'), { min_backoff => '10 ms', max_backoff => '10 ms' });
add_destination($node, 'own', $receiver->url('/own'), { headers => '{"TraceParent": "mine"}' });
add_destination($node, 'got', $receiver->url('/got'), { method => 'GET' });

sub sent
{
    my ($sql, $path) = @_;
    my ($rc, undef, $messages) = $node->psql('postgres', $sql);

    ok(wait_until_sent($node), 'it is sent');
    my @new = $receiver->new_requests;
    return ($messages, map { $_->{headers}{traceparent} } @new);
}

my ($said, @headers) = sent(qq{BEGIN; SET LOCAL rswebhook.traceparent = '00-$trace-00f067aa0ba902b7-01';
    SELECT rswebhook_send('{"userId": "a"}', 'shop'), rswebhook_send('{"userId": "b"}', 'shop'); COMMIT});
is($said, '', 'nothing is said');
like($headers[0], qr/^00-$trace-[0-9a-f]{16}-01$/, 'the trace of the setting');
like($headers[1], qr/^00-$trace-[0-9a-f]{16}-01$/, 'in each event');
isnt($headers[0], $headers[1], 'with spans of their own');
unlike($headers[0], qr/00f067aa0ba902b7/, 'none of them the parent');
is(join(' ', sort @headers), join(' ', sort split /\n/, query($node, 'SELECT traceparent FROM rswebhook.delivery')), 'as recorded');
is(query($node, q{SELECT DISTINCT event ? 'context' FROM rswebhook.event}), 'f', 'the event is as it was given');

($said, @headers) = sent(q{SELECT rswebhook_send('{"userId": "a"}', 'shop')});
is_deeply(\@headers, [undef], 'no trace, no header');

($said, @headers) = sent(qq{SET rswebhook.traceparent = '00-$trace-00f067aa0ba902b7-01';
    SELECT rswebhook_send('{"context": {"traceparent": "00-$other-b7ad6b7169203331-00"}}', 'shop')});
like($headers[0], qr/^00-$other-[0-9a-f]{16}-00$/, q{an event's own wins});

($said, @headers) = sent(qq{SELECT rswebhook_send('{"context": {"traceparent": "00-$other-b7ad6b7169203331-00"}}', 'flaky')});
is(scalar(@headers), 3, 'three attempts');
is(scalar(keys %{ { map { $_ => 1 } @headers } }), 3, 'each a span');
is(scalar(grep { /^00-$other-/ } @headers), 3, 'of one trace');

($said, @headers) = sent(qq{SET rswebhook.traceparent = '00-$trace-00f067aa0ba902b7-01'; SELECT rswebhook_send('{}', 'own')});
is($headers[0], 'mine', 'a header of the destination wins');
is(query($node, q{SELECT count(*) FROM rswebhook.delivery WHERE destination_id = rswebhook.destination_id('own') AND traceparent IS NULL}), '1', 'and none of ours is recorded');
($said, @headers) = sent(qq{SET rswebhook.traceparent = '00-$trace-00f067aa0ba902b7-01'; SELECT rswebhook_send('{"header": {"traceparent": "its"}}', 'shop')});
is($headers[0], 'its', q{or of the event});
($said, @headers) = sent(qq{SET rswebhook.traceparent = '00-$trace-00f067aa0ba902b7-01'; SELECT rswebhook_send('{}', 'got')});
like($headers[0], qr/^00-$trace-/, 'GET has it, too');

# What is malformed is ignored
($said, @headers) = sent(qq{BEGIN; SET LOCAL rswebhook.traceparent = '00-$trace-01'; SELECT rswebhook_send('{}', 'shop') FROM generate_series(1, 3); COMMIT});
is(scalar(() = $said =~ /WARNING:  rswebhook.traceparent is malformed, and ignored/g), 1, 'a warning');
is_deeply(\@headers, [ (undef) x 3 ], 'and no header');
($said, @headers) = sent(q{SELECT rswebhook_send('{"context": {"traceparent": 7}}', 'shop')});
like($said, qr/WARNING:  context.traceparent of the event is malformed, and ignored/, 'likewise of an event');
is_deeply(\@headers, [undef], 'no header');
($said, @headers) = sent(qq{SET rswebhook.traceparent = '00-$trace-00f067aa0ba902b7-01'; SELECT rswebhook_send('{"context": {"traceparent": "?"}}', 'shop')});
like($headers[0], qr/^00-$trace-/, 'the setting counts then');

# Of a table's trigger, and once more when it is replayed
($said, @headers) = sent(qq{CREATE TABLE orders (id integer);
    CREATE TRIGGER send AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('shop', 'Ordered');
    SET rswebhook.traceparent = '00-$trace-00f067aa0ba902b7-01'; INSERT INTO orders VALUES (1)});
like($headers[0], qr/^00-$trace-/, 'of a trigger');
my ($first) = @headers;
($said, @headers) = sent('SELECT rswebhook_replay(max(id)) FROM rswebhook.event');
like($headers[0], qr/^00-$trace-/, 'replayed: the same trace');
isnt($headers[0], $first, 'another span');

# Where rows take statements
query($node, q{ALTER TABLE rswebhook.event ADD COLUMN more integer DEFAULT 1; ALTER TABLE rswebhook.delivery ADD COLUMN more integer DEFAULT 1;
    ALTER TABLE rswebhook.event ALTER event TYPE text});
($said, @headers) = sent(qq{SET rswebhook.traceparent = '00-$trace-00f067aa0ba902b7-01'; SELECT rswebhook_send('{}', 'shop')});
like($headers[0], qr/^00-$trace-/, 'by statements as well');
is(query($node, 'SELECT traceparent FROM rswebhook.delivery ORDER BY started_at DESC LIMIT 1'), $headers[0], 'recorded');

$node->stop;
done_testing();
