# A standby does not deliver; once promoted it does, within seconds, and what
# was confirmed to a client under synchronous replication is not lost.
#
# Also: a worker whose commit waits for a standby does not hold up a shutdown.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use Load;
use RswebhookTest;
use Test::More;

my $limit = 4;    # seconds on an idle machine
my $receiver = new_receiver();
my $primary = new_node('primary',
    conf => "wal_level = replica\nmax_wal_senders = 5\nhot_standby = on\nwal_keep_size = 256MB\n");

add_destination($primary, 'sink', $receiver->url('/jitter/10/flaky/3/500,reset'),
    { min_backoff => '20 ms', max_backoff => '200 ms', breaker_failures => 0 });
add_destination($primary, 'plain', $receiver->url('/plain'));

# The new primary has the same cluster_name, as with Patroni or CloudNativePG
query($primary, 'SELECT rswebhook_adopt(by_cluster_name => true)');
$primary->backup('base');
my $standby = bare_node('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->{_name} = 'primary';
$standby->start;
set_on_primary('synchronous_standby_names', '*');
ok( wait_for_query($primary,
        q{SELECT count(*) FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')}, '1'),
    'the standby is synchronous');

# On the standby
is(query($standby, q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'rswebhook%'}),
    '0', 'neither launcher nor workers run on the standby');
my ($code, $out, $err) = $standby->psql('postgres', q{SELECT rswebhook_send('{"type": "track"}', 'sink')});
isnt($code, 0, 'sending on the standby fails');
like($err, qr/cannot execute rswebhook_send\(\) (during recovery|in a read-only transaction)/, 'and says why');
like(query($standby, q{SELECT state FROM rswebhook.status WHERE destination = 'sink'}),
    qr/^\w/, 'the status can be read there');

# A worker that waits for a standby that is gone, and a shutdown
set_on_primary('rswebhook.synchronous_commit', 'on');
plain('replicated');
ok(wait_until_sent($primary), 'records are replicated synchronously');
$standby->stop('fast');
query($primary, q{SET synchronous_commit = local;} . sending('waits'));
ok(wait_for('the request', sub { $receiver->requests_to('/plain') >= 2 }), 'a request is made');
ok( wait_for_query($primary,
        q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'rswebhook worker' AND wait_event = 'SyncRep'}, '1'),
    'the worker waits for the standby');
my $seconds = elapsed(sub { $primary->stop('fast') });
cmp_ok($seconds, '<', at_once($limit), sprintf 'fast stop all the same: %.2f s', $seconds);
$primary->start;
$standby->start;
ok(wait_until_sent($primary), 'nothing is owed any more');
is(scalar($receiver->requests_to('/plain')), 2, 'the record was kept');
set_on_primary('rswebhook.synchronous_commit', 'local');

# Failover under load
my $load = Load->new($primary);
ok(wait_for('deliveries', sub { $receiver->requests_to('/jitter') > 300 }), 'deliveries run');
pass_time(rand 0.3);
$primary->stop('immediate');
$load->stop;
my $before = $receiver->requests;
$standby->promote;
$seconds = elapsed(
    sub {
        # the old primary's clients may have left nothing to deliver
        query($standby, q{SET synchronous_commit = local;} . sending('after'));
        ok(wait_for('a request', sub { grep { $_->{headers}{'webhook-id'} eq 'after' } $receiver->requests }),
            'the promoted standby delivers');
    });
cmp_ok($seconds, '<', at_once($limit), sprintf 'soon: %.2f s', $seconds);
ok(wait_until_sent($standby), 'nothing is owed any more');
is(query($standby, q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'rswebhook%'}),
    1 + workers_each(), 'launcher and workers run now');

my @kept = split /\n/, query($standby, q{
    SELECT event ->> 'messageId' FROM rswebhook.event WHERE event ->> 'event' = 'Load'});
my $result = $load->judge(\@kept, $receiver->requests_to('/jitter'));
note(join ', ', map { "$_: $result->{$_}" } sort keys %$result);
is($result->{lost}, 0, 'nothing that was confirmed is lost');
is($result->{ghosts}, 0, 'nothing arrived that the promoted standby does not know');
is($result->{reordered}, 0, 'first deliveries are in order, user by user');

done_testing();

sub set_on_primary
{
    my ($name, $value) = @_;

    query($primary, "ALTER SYSTEM SET $name = '$value'");
    $primary->reload;
    wait_for_query($primary, "SHOW $name", $value);
    return;
}

sub sending
{
    my ($id) = @_;

    return qq{SELECT rswebhook_send('{"type": "track", "userId": "p", "messageId": "$id"}', 'plain')};
}

sub plain
{
    my ($id) = @_;

    query($primary, sending($id));
    return;
}
