# Deliveries are turned off, or into a sink, which records and sends nothing: of the server, or of
# one database; and what a copy of a database needs to deliver or to be a sink.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Test::More;

my $receiver = new_receiver();
my $node = new_node('sink');

sub state_of
{
    my ($database) = @_;

    return query($node, 'SELECT string_agg(DISTINCT state, $$,$$) FROM rswebhook.status', $database);
}

# Sends an event of a user, and says what has become of it in the end.
sub send_one
{
    my ($database, $name) = @_;

    return query($node, qq{SELECT rswebhook_send('{"type": "track", "event": "Tried", "userId": "u1", "messageId": "$name"}', 'shop')}, $database);
}

sub becomes
{
    my ($database, $id, $expected, $name) = @_;

    ok(wait_for_query($node, "SELECT string_agg(outcome, ',') FROM rswebhook.delivery WHERE event_id = $id", $expected, undef, $database),
        $name);
    return;
}

sub arrived
{
    my ($id) = @_;

    return scalar grep { $_->{headers}{'webhook-id'} eq $id } $receiver->requests;
}

add_destination($node, 'shop', $receiver->url('/shop?token=s3cret'), { auth_type => 'bearer', auth_token => 'a-secret-token' });
becomes('postgres', send_one('postgres', 'before'), 'delivered', 'it delivers');

#
# One database is off
#
my $workers = worker_pids($node);
query($node, 'ALTER DATABASE postgres SET rswebhook.enabled = off');
is(state_of('postgres'), 'off', 'a database is turned off');
my $off = send_one('postgres', 'off');
ok(await_others($node, $workers), 'its workers begin anew');
query($node, 'CREATE DATABASE other');
query($node, 'CREATE EXTENSION rswebhook', 'other');
add_destination($node, 'shop', $receiver->url('/other'), {}, 'other');
becomes('other', send_one('other', 'other'), 'delivered', 'another one delivers');
is(query($node, 'SELECT count(*) FROM rswebhook.queue'), '1', 'what is sent where it is off waits');
query($node, 'BEGIN; ALTER DATABASE postgres RESET rswebhook.enabled; ROLLBACK');
$workers = worker_pids($node);
query($node, 'ALTER DATABASE postgres SET work_mem = 1024');
is(worker_pids($node), $workers, 'other settings are nothing to them');
query($node, 'ALTER DATABASE postgres RESET ALL');
becomes('postgres', $off, 'delivered', 'until it is turned on again');
is(arrived('off'), 1, 'and arrives');

#
# A sink
#
query($node, 'ALTER DATABASE postgres SET rswebhook.enabled = sink');
is(state_of('postgres'), 'sink', 'a database becomes a sink');
my $sunk = send_one('postgres', 'sunk');
becomes('postgres', $sunk, 'sunk', 'what is sent there is recorded');
is(query($node, "SELECT attempt, status, error, request, response_body FROM rswebhook.delivery WHERE event_id = $sunk"),
    '1|||POST ' . $receiver->url('/shop?token=***') . '|', 'as a request without an answer');
is(query($node, 'SELECT count(*) FROM rswebhook.queue'), '0', 'and owed no more');
query($node, q{INSERT INTO rswebhook.destination (name, url, path_parts) VALUES ('mapped', 'http://192.0.2.1/', '["$.nowhere"]')});
my $bad = query($node, q{SELECT rswebhook_send('{"type": "track"}', 'mapped')});
becomes('postgres', $bad, 'aborted', 'what could not be sent is given up as ever');
becomes('postgres', send_one('postgres', "sunk-$_"), 'sunk', 'the next one') foreach 1 .. 3;
becomes('other', send_one('other', 'other-2'), 'delivered', 'another database delivers still');
query($node, 'ALTER DATABASE postgres RESET rswebhook.enabled');
ok(wait_for('others', sub { state_of('postgres') eq 'active' }), 'it is none any more');
is(query($node, q{SELECT rswebhook_replay_all('shop', outcome => 'sunk')}), '4', 'what was sunk can be replayed');
ok(wait_until_sent($node), 'and is delivered');
is(arrived($_), 1, "$_ arrives once") foreach 'sunk', 'sunk-1', 'sunk-3', 'other-2';

#
# Copies by TEMPLATE
#
query($node, q{SELECT rswebhook_pause('shop'); ALTER DATABASE postgres SET rswebhook.enabled = off}, 'postgres');
query($node, q{SELECT rswebhook_pause('shop')}, 'other');
my $owed = send_one('other', 'owed');
query($node, "CREATE DATABASE $_ TEMPLATE other", 'template1') foreach 'copy_1', 'copy_2';
foreach my $copy ('copy_1', 'copy_2')
{
    query($node, q{SELECT rswebhook_resume('shop')}, $copy);
    is(state_of($copy), 'not adopted', "$copy: the state says what it is");
}
query($node, 'ALTER DATABASE copy_1 SET rswebhook.enabled = sink', 'template1');
becomes('copy_1', $owed, 'sunk', 'with one line a copy is a sink');
is(state_of('copy_1'), 'sink', 'as its state says');
my ($status, undef, $err) = $node->psql('copy_1', q{SELECT rswebhook_send('{"type": "track", "messageId": "copied"}', 'shop')});
is("$status $err", '0 ', 'whoever sends there is not warned');
query($node, 'SELECT rswebhook_adopt()', 'copy_2');
becomes('copy_2', $owed, 'delivered', 'with another one it delivers');
is(arrived('owed'), 1, 'once');
ok(wait_until_sent($node, 'copy_1'), 'the sink has taken all');
is(arrived('copied'), 0, 'and sent nothing');
query($node, 'ALTER DATABASE copy_1 RESET rswebhook.enabled', 'template1');
ok(wait_for('the state', sub { state_of('copy_1') eq 'not adopted' }), 'a copy that is none any more delivers nothing');

#
# The whole server, for tests
#
$node->append_conf('postgresql.conf', "rswebhook.enabled = sink\n");
$node->reload;
query($node, q{SELECT rswebhook_resume('shop')}, 'other');
becomes('other', $owed, 'sunk', 'all databases are sinks');
becomes('copy_2', send_one('copy_2', 'none'), 'sunk', 'each of them');
is(state_of('postgres'), 'off,paused', 'but one that says so itself');

is(query($node, q{SELECT count(*) FROM rswebhook.delivery WHERE outcome = 'sunk' AND status IS NOT NULL}, 'other'), '0', 'nothing was sent');
is(errors_logged($node), 0, 'no worker has had an error');

$node->stop;
done_testing();
