# Who begins in a worker's place knows which users' events were good, and lets theirs go
# first while others fail or hang, however the one before it has ended.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Shares;
use Test::More;

my $receiver = new_receiver();
my $node = new_node('trusted', conf => "rswebhook.workers = 3\nrestart_after_crash = on\n");
my %rounds;
my %ends = (
    'a signal to leave' => sub { query($node, 'SELECT pg_terminate_backend(pid) FROM rswebhook.workers()') },
    'a crash' => sub { kill_process($node, (split / /, worker_pids($node))[0]) },
    'a restart' => sub { $node->restart },
    'an immediate stop' => sub { $node->stop('immediate'); $node->start });
my $saved = q{SELECT count(DISTINCT u) FROM rswebhook.trusted AS t, unnest(users) AS u
    WHERE destination_id = rswebhook.destination_id('%s')};

#
# A breaker is open, and new users fail
#
foreach my $workers (1, 3)
{
    my $name = "opened$workers";

    add_destination($node, $name, $receiver->url('/'),
        { min_backoff => '1 s', max_backoff => '5 min', breaker_failures => 6, workers => $workers });
    wait_for_workers($node, 3);
    good_ones($name);
    foreach my $how (sort keys %ends)
    {
        crowd($name, 'status/500', 300);
        ok(wait_for_query($node, breaker_of($name), 'open'), "$name: new users fail, so the breaker opens");
        ok(wait_for_query($node, sprintf($saved, $name), 5), 'who is good is saved');
        ends($how);
        first_of_all($name, 'status/500', 3 * $workers);
    }

    # Others share the users
    crowd($name, 'status/500', 300);
    ok(wait_for_query($node, breaker_of($name), 'open'), "$name: it opens once more");
    query($node, qq{UPDATE rswebhook.destination SET workers = 4 - workers WHERE name = '$name'});
    first_of_all($name, 'status/500', 9);
    query($node, "SELECT rswebhook_pause('$name')");
}

#
# Without a breaker, requests hang
#
add_destination($node, 'hung', $receiver->url('/'), { timeout => '1500 ms', breaker_failures => 0 });
good_ones('hung');
crowd('hung', 'hang', 300);
foreach my $how (sort keys %ends)
{
    my $hanging = hits('hung', 'hang');

    ok(wait_for('time-outs', sub { hits('hung', 'hang') >= $hanging + 12 }), 'requests hang');
    ok(wait_for_query($node, sprintf($saved, 'hung'), 5), 'who is good is saved');
    ends($how);
    first_of_all('hung', 'hang', 24);
}
query($node, q{SELECT rswebhook_pause('hung')});

#
# A worker that leaves while a probe is on its way makes the pause no longer
#
$receiver->switch('probed', '/status/500');
add_destination($node, 'probed', $receiver->url('/switch/probed'),
    { min_backoff => '500 ms', max_backoff => '1 h', breaker_failures => 6, timeout => '1 h' });
query($node, q{SELECT count(rswebhook_send(jsonb_build_object('type', 'track', 'userId', 'u' || i), 'probed')) FROM generate_series(1, 20) i});
ok(wait_for_query($node, breaker_of('probed'), 'open'), 'a breaker opens');
$receiver->switch('probed', '/hang');
ok(wait_for_query($node, q{SELECT in_flight FROM rswebhook.status WHERE destination = 'probed'}, 1), 'a probe hangs');
my $row = q{SELECT b FROM rswebhook.breaker AS b WHERE destination_id = rswebhook.destination_id('probed')};
my $before = query($node, $row);
$receiver->switch('probed', '/ok');
$node->stop;
$node->start(fail_ok => 0);
ok(wait_until_probed($before), 'the next worker need not wait for the next probe');

#
# What is of no use to anybody is forgotten; and what somebody has put there does no harm
#
query($node, q{
    INSERT INTO rswebhook.trusted SELECT max(id) + 10, 1, 0, now(), '{1}' FROM rswebhook.destination;
    INSERT INTO rswebhook.trusted SELECT id, n, n, 'infinity', ('[5:104]=' || array_agg((CASE WHEN m % 2 = 0 THEN m END))::text)::bigint[]
        FROM rswebhook.destination, generate_series(-2, -1) n, generate_series(1, 100) m WHERE name = 'probed' GROUP BY id, n;
    INSERT INTO rswebhook.trusted SELECT id, 7, 1, now(), '{}' FROM rswebhook.destination WHERE name = 'probed';
    INSERT INTO rswebhook.trusted SELECT id, 8, 1, now(), '{{1,2},{3,4}}' FROM rswebhook.destination WHERE name = 'probed'});
my $log = -s $node->logfile;
ends('a signal to leave');
query($node, q{SELECT rswebhook_send('{"type": "track", "userId": "u"}', 'probed')});
ok(wait_for_query($node, q{SELECT count(*) FROM rswebhook.queue WHERE destination_id = rswebhook.destination_id('probed')}, 0), 'it delivers');
is(errors_logged($node, $log), 0, 'and nothing is wrong');

# A table that is away is not needed
query($node, 'ALTER TABLE rswebhook.trusted RENAME TO elsewhere');
ends('a signal to leave');
query($node, q{SELECT rswebhook_send('{"type": "track", "userId": "u"}', 'probed')});
ok(wait_for_query($node, q{SELECT count(*) FROM rswebhook.queue WHERE destination_id = rswebhook.destination_id('probed')}, 0), 'it delivers without');
ok(times_logged($node, qr/relation "rswebhook.trusted" does not exist/, $log), 'and says so');

done_testing();

# Five users, whose events are good
sub good_ones
{
    my ($name) = @_;

    query($node, qq{
        SELECT count(rswebhook_send(jsonb_build_object('type', 'track', 'userId', 'good' || i, 'appendPath', 'ok/$name'), '$name'))
        FROM generate_series(1, 5) i});
    ok(wait_for("good users of $name", sub { hits($name, 'ok') == 5 }), "$name: some users are good");
    return;
}

sub crowd_sql
{
    my ($name, $path, $count) = @_;
    my $round = $rounds{$name}++;

    return qq{
        SELECT count(rswebhook_send(jsonb_build_object('type', 'track', 'userId', 'bad${round}_' || i, 'appendPath', '$path/$name'), '$name'))
        FROM generate_series(1, $count) i;};
}

sub crowd
{
    query($node, crowd_sql(@_));
    return;
}

sub ends
{
    my ($how) = @_;
    my $pids = worker_pids($node);

    $ends{$how}->();
    ok(await_others($node, $pids), "$how, and others begin");
    return;
}

# The five have one more event each, and new ones come before and after: no more than so many
# of these are tried before.
sub first_of_all
{
    my ($name, $path, $most) = @_;
    my $bad = hits($name, $path);
    my $good = hits($name, 'ok');

    query($node, 'BEGIN;' . crowd_sql($name, $path, 100) . qq{
        SELECT count(rswebhook_send(jsonb_build_object('type', 'track', 'userId', 'good' || i, 'appendPath', 'ok/$name'), '$name'))
        FROM generate_series(1, 5) i;} . crowd_sql($name, $path, 200) . 'COMMIT');
    wait_for('the good ones', sub { hits($name, 'ok') > $good || hits($name, $path) > $bad + $most });
    cmp_ok(hits($name, 'ok'), '>', $good, "$name: the good ones go first");
    ok(wait_for('all of them', sub { hits($name, 'ok') == $good + 5 }), 'all of them');
    return;
}

sub hits
{
    my ($name, $path) = @_;

    return scalar $receiver->requests_to("/$path/$name");
}

sub breaker_of
{
    my ($name) = @_;

    return "SELECT breaker FROM rswebhook.status WHERE destination = '$name'";
}

# It may have been probed and closed by now; but it was not put off.
sub wait_until_probed
{
    my ($before) = @_;

    return wait_for('a probe', sub {
            my $now = query($node, $row);

            return $now eq '' || ($now ne $before && fail("it is $now, and was $before"));
        });
}
