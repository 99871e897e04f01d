# Without shared_preload_libraries everything but delivery works, says so, and
# what was sent meanwhile is delivered once the library is preloaded.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Test::More;

my $receiver = new_receiver();
my $node = new_node('no_preload', preload => 0);

add_destination($node, 'good', $receiver->url('/ok'));

my ($code, $out, $err) = $node->psql('postgres', q{
    SELECT rswebhook_transform('{"type": "track", "properties": {"a": 1}}', 'GET') -> 'params'});
is($out, '{"a": 1}', 'the transform works');
is($err, '', 'and has nothing to warn of');

($code, $out, $err) = $node->psql('postgres', q{
    SELECT rswebhook_send('{"type": "track", "userId": "u", "messageId": "early-1"}', 'good');
    SELECT rswebhook_send('{"type": "track", "userId": "u", "messageId": "early-2"}', 'good');});
is($code, 0, 'sending works');
is(scalar(() = $err =~ /WARNING/g), 1, 'a session is warned once');
like($err, qr/HINT:.*shared_preload_libraries/s, 'with a hint what to do');
is(query($node, 'SELECT count(*) FROM rswebhook.queue'), '2', 'the events are queued');
is(query($node, q{
        SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'rswebhook%'}),
    '0', 'there is no worker');
is(scalar $receiver->requests, 0, 'nothing was sent');

$node->append_conf('postgresql.conf', "shared_preload_libraries = 'rswebhook'");
$node->restart;
ok(wait_until_sent($node), 'once preloaded, everything is delivered');
is(join(' ', map { $_->{headers}{'webhook-id'} } $receiver->requests),
    'early-1 early-2', 'in order');

($code, $out, $err) = $node->psql('postgres', q{
    SELECT rswebhook_send('{"type": "track", "userId": "u", "messageId": "late"}', 'good')});
is($err, '', 'and there is nothing to warn of any more');

done_testing();
