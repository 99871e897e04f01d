# No room on the disk for what the worker has to write down: it stops sending
# rather than send what it cannot record, says so now and then, and goes on by
# itself once there is room.
#
# A limit of the size of files stands in for a full disk: it can be set for
# one process, and needs no privilege.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Test::More;

my $prlimit = (grep { -x } map { "$_/prlimit" } split /:/, $ENV{PATH})[0];
plan skip_all => 'needs prlimit' unless defined $prlimit;

my $count = 3000;
my $receiver = new_receiver();
my $node = new_node('disk');

# A long URL, so that a row of the history fits into no page that is there
add_destination($node, 'sink', $receiver->url('/ok/' . 'long' x 240), { ordered => 'off' });
send_event($node, { type => 'track' }, 'sink');
ok(wait_until_sent($node), 'it delivers');
my $workers = worker_pids($node);
my $worker = worker_of($node, 'sink');

# The history is larger than a segment of WAL, whose files must not hit the limit
query($node, q{
    INSERT INTO rswebhook.delivery (slot, attempt, event_id, destination_id, started_at, duration, outcome, request)
    SELECT rswebhook.ring_slot(now()), 1, -n, 0, now(), interval '0', 'delivered', repeat(md5(n::text), 55)
    FROM generate_series(1, 12000) AS n;
    CHECKPOINT});
is(system($prlimit, '--pid', $worker, '--fsize=' . 17 * 1024 * 1024 . ':'), 0, 'the worker\'s files are limited');
my $log = -s $node->logfile;
my $since = time();
query($node, qq{SELECT count(rswebhook_send(jsonb_build_object('type', 'track', 'messageId', 'm' || n), 'sink'))
                FROM generate_series(1, $count) AS n});
ok(wait_for('the error', sub { errors_logged($node, $log) >= 2 }), 'it cannot record, and says so');
my $lacks = q{SELECT lacks FROM rswebhook.status};
like(query($node, $lacks), qr/^outcomes cannot be recorded: could not /, 'so does rswebhook.status');
pass_time(2);
cmp_ok(errors_logged($node, $log), '<=', 2 + time() - $since, 'not too often: ' . errors_logged($node, $log));
cmp_ok(query($node, 'SELECT count(*) FROM rswebhook.queue'), '>', 0, 'what is not recorded is still owed');
my $early = $receiver->requests;
cmp_ok($early, '<=', 1 + 64 + 256 + 2000, "it does not go on sending what it cannot record: $early");
is(worker_pids($node), $workers, 'the workers live');

is(system($prlimit, '--pid', $worker, '--fsize=unlimited:'), 0, 'there is room again');
ok(wait_until_sent($node), 'nothing is owed any more');
ok(wait_for_query($node, $lacks, ''), 'nor is anything lacking');
my %arrived;
$arrived{ $_->{headers}{'webhook-id'} }++ foreach $receiver->requests;
is(scalar(grep { /^m\d+$/ } keys %arrived), $count, 'everything arrived');
is(scalar(grep { $_ > 1 } values %arrived), 0, 'nothing twice');
is(query($node, q{SELECT count(*) FROM rswebhook.delivery WHERE event_id > 0}), $count + 1, 'everything is recorded');
is(worker_pids($node), $workers, 'by the same workers');

done_testing();
