# The webhook-id of an event without a messageId: the same in every attempt, in a
# replay, in a restored copy and however its row is read; and no other event's, also
# where ids of events are given out again.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Test::More;

my $receiver = new_receiver();
my $node = new_node('ids');
my $directory = temp_dir('dump');
my $dump = "$directory/dump";

sub ids_at { my ($path) = @_; return map { $_->{headers}{'webhook-id'} } $receiver->requests_to($path) }
sub different { my %seen = map { $_ => 1 } @_; return scalar keys %seen }

add_destination($node, 'd', $receiver->url('/first/2/503/once'), { min_backoff => '10 ms', max_backoff => '10 ms' });
my $event = send_event($node, { type => 'track' }, 'd');
ok(wait_until_sent($node), 'it arrives by the third attempt');
query($node, "SELECT rswebhook_replay($event)");
ok(wait_until_sent($node), 'and again');
# read by a statement, since there is a column that is not ours
query($node, 'ALTER TABLE rswebhook.event ADD note text');
query($node, "SELECT rswebhook_replay($event)");
ok(wait_until_sent($node), 'and again');
query($node, 'ALTER TABLE rswebhook.event DROP note');
run_ok('pg_dump', '-Fc', '-f', $dump, '-d', $node->connstr('postgres'));
query($node, 'CREATE DATABASE copy');
run_ok('pg_restore', '--exit-on-error', '-d', $node->connstr('copy'), $dump);
query($node, 'SELECT rswebhook_adopt()', 'copy');
query($node, "SELECT rswebhook_replay($event)", 'copy');
ok(wait_until_sent($node, 'copy'), 'and from a restored copy');
my @ids = ids_at('/first/2/503/once');
is(scalar @ids, 6, 'six times');
is(different(@ids), 1, 'by one id');
like($ids[0], qr/^rsw_[0-9a-f]+_[0-9a-f]{16}_$event$/, 'in which the event is found');

# Ids that are given out again: as after a failover that lost some, to a standby that
# lagged behind; by the copy and the original; by a new extension
my $again = $receiver->url('/ok/again');
query($node, "UPDATE rswebhook.destination SET url = '$again'", $_) foreach 'postgres', 'copy';
my $next = $event + 1;
foreach my $database ('postgres', 'copy')
{
    query($node, "DELETE FROM rswebhook.event WHERE id > $event; SELECT setval('rswebhook.event_id_seq', $event)", $database);
    is(send_event($node, { type => 'track' }, 'd', $database), $next, "$database: an id again");
    ok(wait_until_sent($node, $database), 'arrives');
}
query($node, 'DROP EXTENSION rswebhook; CREATE EXTENSION rswebhook');
add_destination($node, 'd', $again);
is(send_event($node, { type => 'track' }, 'd'), 1, 'a new extension begins anew');
ok(wait_until_sent($node), 'arrives');
is(different(ids_at('/ok/again')), 3, 'each by its own id');

# In one statement, too
query($node, q{SELECT count(rswebhook_send('{"type": "track"}', 'd')) FROM generate_series(1, 200)});
ok(wait_until_sent($node), 'many at once');
is(different(ids_at('/ok/again')), 203, 'each by its own id');

done_testing();
