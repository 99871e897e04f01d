# A limit of memory that the system sets, and events that take more than there
# is: they are set aside, or wait, and are sent when there is more; small ones go
# on all the time.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use Nginx;
use RswebhookTest;
use Test::More;
use Time::HiRes qw(time);

plan skip_all => 'needs nginx' unless defined Nginx::program();
plan skip_all => 'needs prlimit' unless system('prlimit --version >/dev/null 2>&1') == 0;
plan skip_all => 'a sanitizer takes terabytes of addresses' if $ENV{RSWEBHOOK_SANITIZED};

my $above = 110 * 1024 * 1024;    # what the processes use
my $receiver = Nginx->new(temp_dir('nginx'), server => 'client_max_body_size 100m;');
my $node = new_node('memory_limit', conf => join "\n",
    "max_wal_size = 4GB", "rswebhook.max_event_size = '64MB'", "rswebhook.max_request_size = '64MB'",
    "rswebhook.max_in_flight_size = '400MB'", '');
my %quick = (min_backoff => '1 s', max_backoff => '1 s', timeout => '5 min');

add_destination($node, 'small', $receiver->url('/small'));
add_destination($node, 'large', $receiver->url('/large'), { %quick, ordered => 0, paused => 1 });
add_destination($node, 'many', $receiver->url('/many'), { %quick, ordered => 0, max_in_flight => 100, paused => 1 });
small_ones(1);
ok(wait_until_sent($node), 'it delivers');

# 58 MB each, of 10 as they are stored or of the same; and more of 4 MB than fit
query($node, q{
    SELECT count(rswebhook_send(jsonb_build_object('type', 'track', 'a', repeat(E'\x01', 10000000)), 'large')) FROM generate_series(1, 3);
    SELECT count(rswebhook_send(jsonb_build_object('type', 'track', 'a', repeat('x', 58000000)), 'large')) FROM generate_series(1, 3);
    SELECT count(rswebhook_send(jsonb_build_object('type', 'track', 'a', repeat('x', 4000000)), 'many')) FROM generate_series(1, 50)});
my $pids = worker_pids($node);
open my $in, '<', $node->data_dir . '/postmaster.pid' or die "could not read: $!\n";
my ($postmaster) = <$in> =~ /^(\d+)/;
my $limit = largest($pids, 'VmSize') * 1024 + $above;
is(system("prlimit --pid $_ --as=$limit:"), 0, "process $_ has a limit") foreach $postmaster, split / /, $pids;
my $log = -s $node->logfile;
my $start = time();

query($node, q{SELECT rswebhook_resume('large'), rswebhook_resume('many')});
small_ones_go_on(10, 'with the limit');
ok(wait_for('a large one to fail', sub { failed() > 0 }), 'there is not enough for a large one');
small_ones_go_on(5, 'while it is tried again');
is(worker_pids($node), $pids, 'the workers are the same');

# those that begin with the limit
kill 'TERM', split / /, $pids;
ok(await_others($node, $pids), 'other workers');
my $before = failed();
ok(wait_for('another failure', sub { failed() > $before }), 'have not enough, either');
small_ones_go_on(5, 'with other workers');
is(query($node, q{SELECT string_agg(DISTINCT error, '; ') FROM rswebhook.delivery WHERE outcome <> 'delivered'
        AND error <> 'the worker was stopped before an answer came'}),
    'the request could not be made: out of memory', 'nothing else has failed');
my $lines = () = logged($node, $log) =~ /could not make the request/g;
cmp_ok($lines, '<=', 10 * (2 + int((time() - $start) / 60)), 'a few lines a minute say so');
unlike(logged($node, $log), qr/terminated by signal|PANIC/, 'nothing has died');

$pids = worker_pids($node);
is(system("prlimit --pid $_ --as=unlimited:"), 0, "process $_ has no limit any more") foreach $postmaster, split / /, $pids;
ok(wait_until_sent($node, undef, 120), 'with more memory, all are sent');
is(query($node, q{SELECT count(DISTINCT event_id) FROM rswebhook.delivery WHERE outcome = 'delivered' AND destination_id <> rswebhook.destination_id('small')}),
    56, 'the large ones, too');

# what takes longest to make of what may be sent: it takes one attempt, and nobody's turn for long
my $keys = join ', ', map { '"' . query($node, 'SELECT private_key FROM rswebhook_generate_key_pair()') . '"' } 1 .. 8;
add_destination($node, 'signed', $receiver->url('/signed'), { %quick, signing_secrets => "[$keys]" });
$log = -s $node->logfile;
query($node, q{SELECT rswebhook_send(jsonb_build_object('type', 'track', 'a', repeat('x', 60000000)), 'signed')});
small_ones_go_on(2, 'while the largest is signed eight times');
ok(wait_until_sent($node), 'it is sent');
is(query($node, q{SELECT outcome || attempt FROM rswebhook.delivery WHERE destination_id = rswebhook.destination_id('signed')}),
    'delivered1', 'at the first attempt');
unlike(logged($node, $log), qr/could not make the request/, 'and was made once');

# ordinary events are not charged for memory that is lacking, not even as the last that is tried
add_destination($node, 'ordinary', $receiver->url('/ordinary'),
    { %quick, ordered => 0, retry_window => '0', min_attempts => 1, paused => 1 });
query($node, q{SELECT count(rswebhook_send(jsonb_build_object('type', 'track', 'a', repeat('x', 6000000)), 'ordinary')) FROM generate_series(1, 3)});
my $pid = worker_of($node, 'ordinary');
$limit = process_field($pid, 'VmSize') * 1024 + 4 * 1024 * 1024;
is(system("prlimit --pid $pid --as=$limit:"), 0, 'hardly any memory');
query($node, q{SELECT rswebhook_resume('ordinary')});
ok(wait_for_query($node, 'SELECT max(lacks) FROM rswebhook.workers()', 'making a request: out of memory'), 'it is shown what they wait for');
small_ones_go_on(3, 'meanwhile');
is(query($node, owed('ordinary')), 3, 'they wait');
is(system("prlimit --pid $pid --as=unlimited:"), 0, 'no limit any more');
ok(wait_until_sent($node), 'then they are sent');
is(query($node, q{SELECT string_agg(DISTINCT outcome || attempt, ' ') FROM rswebhook.delivery WHERE destination_id = rswebhook.destination_id('ordinary')}),
    'delivered1', 'with no attempt counted before');

# Answers of 1 MB, of which there is not enough memory to keep or to record many
my $answering = new_receiver();
query($node, q{ALTER SYSTEM SET rswebhook.response_body_limit = '1MB'});
$node->reload;
add_destination($node, 'answers', $answering->url('/body/1048576'), { %quick, ordered => 0, paused => 1 });
$pid = worker_of($node, 'answers');
foreach my $megabytes (4, 8, 16)
{
    my $before = $answering->requests;

    query($node, q{SELECT rswebhook_pause('answers')});
    query($node, q{SELECT count(rswebhook_send('{"type": "track"}', 'answers')) FROM generate_series(1, 60)});
    $limit = process_field($pid, 'VmSize') * 1024 + $megabytes * 1024 * 1024;
    is(system("prlimit --pid $pid --as=$limit:"), 0, "$megabytes MB for long answers");
    query($node, q{SELECT rswebhook_resume('answers')});
    small_ones_go_on(5, 'meanwhile');
    ok(wait_until_sent($node), 'all are delivered and recorded');
    is(worker_pids($node), $pids, 'by the same workers');
    is($answering->requests - $before, 60, 'and sent once');
    is(system("prlimit --pid $pid --as=unlimited:"), 0, 'no limit any more');
}
is(query($node, q{
        SELECT string_agg(DISTINCT outcome || attempt, ' ') FROM rswebhook.delivery
        WHERE destination_id = rswebhook.destination_id('answers')}), 'delivered1', 'none is charged for it');

done_testing();

# Nobody waits for longer than for what is tried once, which takes the processor
# for seconds; in the end all large ones are known, and take a quarter of the time
sub small_ones_go_on
{
    my ($rounds, $when) = @_;
    my $longest = 0;

    foreach my $round (1 .. $rounds)
    {
        my $took = elapsed(sub { small_ones(50); wait_for_query($node, owed('small'), 0) });

        $longest = $took if $took > $longest;
    }
    return cmp_ok($longest, '<', at_once(10), sprintf 'small ones go on %s: %.3f s at most', $when, $longest);
}

# Attempts for which there was not enough
sub failed
{
    return query($node, q{SELECT count(*) FROM rswebhook.delivery WHERE outcome = 'retry'});
}

sub small_ones
{
    my ($count) = @_;

    return query($node, qq{SELECT count(rswebhook_send('{"type": "track"}', 'small')) FROM generate_series(1, $count)});
}

sub owed
{
    my ($destination) = @_;

    return qq{SELECT count(*) FROM rswebhook.queue WHERE destination_id = rswebhook.destination_id('$destination')};
}
