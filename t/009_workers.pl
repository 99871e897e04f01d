# rswebhook.workers: several processes share a database's queue, here that of
# destinations which all of them serve, each with a part of the users.  Whatever
# happens to one of them, nothing is lost, and each user's events stay in order.
# t/010_parts.pl is about what a destination allows them together, t/095_one_worker.pl
# about those that one of them serves.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Session;
use Shares;
use Test::More;

my $quick = 4;    # seconds on an idle machine; PostgreSQL looks for other sessions for five
my $receiver = new_receiver();
my $node = new_node('workers',
    conf => "rswebhook.workers = 3\nrswebhook.max_databases = 2\nmax_prepared_transactions = 5\n");
my @users = map { "u$_" } 1 .. 60;

#
# How many there are
#
ok(wait_for_workers($node, 3), 'a database with the extension has three workers');
is(query($node, q{
        SELECT count(*) FROM pg_stat_activity WHERE datname = 'postgres' AND backend_type = 'rswebhook worker'}),
    '3', 'and no more');

# Of a database without the extension, one of them finds that out for all; as
# there is room for one more database only, what it left would be in the way
query($node, 'ALTER SYSTEM SET log_min_messages = debug1');
$node->reload;
ok(wait_for_query($node, 'SHOW log_min_messages', 'debug1'), 'the server logs each start of a worker');
query($node, 'CREATE DATABASE plain');
ok(wait_for('the look', sub { starts_in('plain', 1) }), 'one is started in a database without it');
ok(wait_for_query($node, worker_count('plain'), '0', undef, 'template1'), 'and leaves');
query($node, 'CREATE DATABASE other');
query($node, 'CREATE EXTENSION rswebhook', 'other');
ok(wait_for_workers($node, 3, 'other'), 'another database with the extension has three, too');
is(starts_in('plain', 2) + starts_in('plain', 3), 0, 'where there is none, the others were never started');
query($node, 'ALTER SYSTEM RESET log_min_messages');
$node->reload;

#
# Each has a share of the users
#
my %pids = share_workers($node);
my %began = reverse %pids;
add_destination($node, 'shared', $receiver->url('/shared'), { workers => 3 });
my @shares = users_by_share($node, 3, 'shared', \@users);
is(scalar(grep { @$_ > 5 } @shares), 3, 'users are in all parts');
ok(wait_for('them to begin anew', sub { %pids = share_workers($node); keys %pids == 3 && !grep { $began{$_} } values %pids }),
    'the workers know that they have parts');
freeze($pids{1});
send_of_users($node, 'shared', 'frozen', 3, \@users);
my @others = (@{ $shares[0] }, @{ $shares[2] });
ok(wait_for_query($node, owed('shared'), 3 * @{ $shares[1] }), 'while one worker stands still, the others do not');
is(join(' ', delivered_users('frozen')), join(' ', sort @others), 'they deliver what is theirs');
thaw();
ok(wait_until_sent($node), 'when it goes on, so does the rest');
is(join(' ', delivered_users('frozen')), join(' ', sort @users), 'which is of the other users');

# One that is gone leaves its share to nobody, but to the one that follows
my $launcher = query($node, q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'rswebhook launcher'});
freeze($launcher);
query($node, "SELECT pg_terminate_backend($pids{2})");
ok(wait_for_workers($node, 2), 'one is terminated');
send_of_users($node, 'shared', 'gone', 3, \@users);
ok(wait_for_query($node, owed('shared'), 3 * @{ $shares[2] }), 'the others go on');
thaw();
ok(wait_until_sent($node), 'and it is started again');
my %now = share_workers($node);
is("$now{0} $now{1}", "$pids{0} $pids{1}", 'the others are the same');
isnt($now{2}, $pids{2}, 'this one is new');
judge('frozen', 3);
judge('gone', 3);
my %shares_of;
foreach my $request ($receiver->requests_to('/shared'))
{
    my ($share) = grep { my $n = $_; grep { $_ eq user_of($request) } @{ $shares[$n] } } 0 .. 2;
    $shares_of{ $request->{connection} }{$share} = 1;
}
is((grep { keys %$_ > 1 } values %shares_of) + 0, 0, 'none ever sent for another');

#
# Order, with many sessions and a receiver that often fails
#
my %flaky = (min_backoff => '30 ms', max_backoff => '100 ms', breaker_failures => 0, workers => 3);
add_destination($node, 'flaky', $receiver->url('/flaky/20/500,503,reset'), \%flaky);
my @sessions = map { Session->new($node) } 1 .. 4;
foreach my $n (1 .. 4)
{
    $sessions[ $n - 1 ]->start(qq{
        DO \$\$
        BEGIN
            FOR n IN 1 .. 6 LOOP
                FOR u IN 1 .. 75 LOOP
                    PERFORM rswebhook_send(jsonb_build_object('type', 'track', 'userId', 's${n}u' || u,
                        'messageId', 'order-s${n}u' || u || '-' || n), 'flaky');
                    IF (n * 75 + u) % 7 = 0 THEN
                        COMMIT;
                    END IF;
                END LOOP;
            END LOOP;
        END
        \$\$});
}
$_->finish, $_->close foreach @sessions;
ok(wait_until_sent($node), 'many events of many users');
judge('order', 6, map { my $n = $_; map { "s${n}u$_" } 1 .. 75 } 1 .. 4);
cmp_ok(query($node, q{SELECT count(*) FROM rswebhook.delivery WHERE outcome = 'retry'}), '>', 180, 'many at a second attempt');

#
# Counters are of all workers together
#
ok(wait_for_query($node, q{SELECT delivered FROM rswebhook.status WHERE destination = 'flaky'}, '1800'),
    'rswebhook.status counts what all have delivered');
is(query($node, q{SELECT s.retried = (SELECT count(*) FROM rswebhook.delivery AS v
                      WHERE v.destination_id = s.destination_id AND v.outcome = 'retry')
                  FROM rswebhook.status AS s WHERE s.destination = 'flaky'}),
    't', 'and retried');
hang('postgres');
ok(wait_for_query($node, q{SELECT in_flight FROM rswebhook.status WHERE destination = 'hanging'}, '6'),
    'and what all have in flight');

#
# Functions, prepared transactions and events for later
#
is(query($node, q{SELECT rswebhook_cancel_all('hanging')}), '6', 'cancelled in all shares');
query($node, q{
    BEGIN;
    SELECT count(rswebhook_send(jsonb_build_object('type', 'track', 'userId', 'u' || n,
        'messageId', 'prepared-u' || n || '-1'), 'shared')) FROM generate_series(1, 60) AS n;
    PREPARE TRANSACTION 'p'});
query($node, q{COMMIT PREPARED 'p'});
ok(wait_until_sent($node), 'COMMIT PREPARED tells all workers');
judge('prepared', 1);

my $due = query($node, q{SELECT extract(epoch FROM clock_timestamp() + '1 s')});
send_of_users($node, 'shared', 'later', 2, \@users, options => "deliver_after => to_timestamp($due)");
ok(wait_until_sent($node), 'events for later');
judge('later', 2);
is((grep { $_->{t} < $due } with_tag('later')) + 0, 0, 'none before its time');

my %patient = (min_backoff => '1 h', max_backoff => '1 h', breaker_failures => 0, workers => 3);
add_destination($node, 'stuck', $receiver->url('/switch/stuck'), \%patient);
$receiver->switch('stuck', '/status/500');
my @stuck = map { @$_[ 0 .. 1 ] } users_by_share($node, 3, 'stuck', \@users);
send_of_users($node, 'stuck', 'stuck', 1, \@stuck);
ok(wait_for_query($node, q{SELECT count(*) FROM rswebhook.queue WHERE attempts = 1}, '6'), 'users of all shares are stuck');
$receiver->switch('stuck', '/ok');
send_of_users($node, 'stuck', 'behind', 1, \@stuck);
is(query($node, q{SELECT sum(rswebhook_cancel(event_id)) FROM rswebhook.queue WHERE attempts = 1}), '6', 'those are cancelled');
ok(wait_until_sent($node), 'what was behind them goes');
judge('behind', 1, @stuck);
is(query($node, q{SELECT rswebhook_replay_all('stuck', '-infinity'::timestamptz, outcome => NULL)}), '12', 'all are replayed');
ok(wait_until_sent($node), 'and delivered');
is(query($node, q{SELECT count(*), count(DISTINCT event_id) FROM rswebhook.delivery
                  WHERE destination_id = rswebhook.destination_id('stuck') AND outcome = 'delivered'}),
    '18|12', 'by all workers');

#
# The extension and its database go and come while all are busy
#
hang('other');
quick('DROP DATABASE other', 'DROP DATABASE');
is(query($node, q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'rswebhook worker'}),
    '3', 'its workers are gone');
query($node, 'CREATE DATABASE another');
query($node, 'CREATE EXTENSION rswebhook', 'another');
ok(wait_for_workers($node, 3, 'another'), 'which makes room for those of another');
hang('another');
quick('DROP EXTENSION rswebhook', 'DROP EXTENSION', 'another');
ok(wait_for_query($node, worker_count('another'), '0', undef, 'template1'), 'leaves no worker');
query($node, 'CREATE EXTENSION rswebhook', 'another');
ok(wait_for_workers($node, 3, 'another'), 'CREATE EXTENSION brings three');
add_destination($node, 'new', $receiver->url('/new'), { workers => 3 }, 'another');
send_of_users($node, 'new', 'new', 1, \@users, database => 'another');
ok(wait_until_sent($node, 'another'), 'that deliver');
is(join(' ', delivered_users('new')), join(' ', sort @users), 'for all users');
quick('DROP DATABASE another', 'DROP DATABASE, idle');

#
# Other numbers of workers, while events are queued and in flight
#
my $in_flight = 12;
$receiver->switch('moving', '/delay/20');
add_destination($node, 'moving', $receiver->url('/switch/moving/moving'), { max_in_flight => $in_flight, workers => 3 });
query($node, q{SELECT rswebhook_pause('moving')});
send_of_users($node, 'moving', 'moving', 20, \@users);
query($node, q{SELECT rswebhook_resume('moving')});
foreach my $workers (1, 2)
{
    my $before = with_tag('moving');
    ok(wait_for('deliveries', sub { with_tag('moving') >= $before + 100 }), 'events are on their way');
    # however long the server takes to stop
    $receiver->switch('moving', '/delay/500');
    query($node, "ALTER SYSTEM SET rswebhook.workers = $workers");
    $node->restart;
    cmp_ok(query($node, owed('moving')), '>', 0, 'and others still owed');
    ok(wait_for_workers($node, $workers), "after a restart, another number of workers: $workers");
    is(query($node, worker_count('postgres')), $workers, 'and no more');
    $receiver->switch('moving', '/delay/20');
}
ok(wait_until_sent($node), 'all are delivered');
judge('moving', 20, \(2 * $in_flight));

#
# What is scheduled in another share, however much of it, keeps nobody waiting
#
query($node, 'ALTER SYSTEM SET rswebhook.workers = 3');
add_destination($node, 'later', $receiver->url('/later'), { max_in_flight => 4, workers => 3 });
send_of_users($node, 'later', 'then', 400, [ 'u1' ], options => q{deliver_after => now() + interval '1 h'});
$node->restart;
send_of_users($node, 'later', 'now', 3, \@users);
ok(wait_for_query($node, owed('later'), '400'), 'beside what is scheduled, the others are delivered');
judge('now', 3);
query($node, q{SELECT rswebhook_cancel_all('later')});

#
# A key that is edited while its row waits: the row is another worker's
#
add_destination($node, 'edited', $receiver->url('/first/1/503/edited'),
    { min_backoff => '15 s', max_backoff => '15 s', breaker_failures => 0, max_in_flight => 30, workers => 3 });
send_of_users($node, 'edited', 'edit', 1, \@users);
ok(wait_for_query($node, q{SELECT count(*) FROM rswebhook.delivery
        WHERE outcome = 'retry' AND destination_id = rswebhook.destination_id('edited')}, scalar @users),
    'each has failed once');
cmp_ok(query($node, q{
    WITH edited AS (
        UPDATE rswebhook.queue SET ordering_key = NULL
        WHERE destination_id = rswebhook.destination_id('edited') RETURNING 1)
    SELECT count(*) FROM edited}), '>', 0, 'keys are edited');
query($node, q{SELECT rswebhook.notify_worker(rswebhook.destination_id('edited'), NULL, NULL)});
ok(wait_until_sent($node), 'all are delivered');
judge('edit', 1);

#
# Too few processes: the launcher and two workers
#
query($node, 'DROP DATABASE plain');
query($node, $_)
  foreach 'ALTER SYSTEM SET rswebhook.workers = 3', 'ALTER SYSTEM SET max_logical_replication_workers = 0',
  'ALTER SYSTEM SET max_worker_processes = 3';
my $log = -s $node->logfile;
$node->restart;
ok(wait_for_workers($node, 2), 'without room for all workers, some start');
ok(wait_for('the log', sub { logged($node, $log) =~ /max_worker_processes is 3\. Each database with rswebhook needs 3, .*Set max_worker_processes to \d+,/s }),
    'the log says what to do');
send_of_users($node, 'shared', 'few', 2, \@users);
my %few = share_workers($node);
my ($missing) = grep { !exists $few{$_} } 0 .. 2;
is(query($node, 'SELECT share, pid FROM rswebhook.workers()'),
    join("\n", map { $_ + 1 . '|' . ($few{$_} // '') } 0 .. 2), 'it is shown which one is missing');
is(query($node, q{SELECT workers FROM rswebhook.status WHERE destination = 'shared'}),
    2, 'and how many there are');
ok(wait_for_query($node, owed('shared'), 2 * @{ $shares[$missing] }), 'they deliver their shares');
query($node, 'ALTER SYSTEM SET max_worker_processes = 32');
$node->restart;
ok(wait_until_sent($node), 'with room for all, the rest is delivered');
judge('few', 2);

done_testing();

# How often this one of a database's workers was started.
sub starts_in
{
    my ($database, $which) = @_;
    my $oid = query($node, "SELECT oid FROM pg_database WHERE datname = '$database'");
    my $name = "rswebhook worker for database $oid, $which of 3";

    return scalar(() = logged($node) =~ /starting background worker process "$name"/g);
}

sub worker_count
{
    my ($database) = @_;

    return "SELECT count(*) FROM pg_stat_activity WHERE datname = '$database' AND backend_type = 'rswebhook worker'";
}

# The requests with events of this tag.
sub with_tag
{
    my ($tag) = @_;

    return grep { index($_->{headers}{'webhook-id'}, "$tag-") == 0 } $receiver->requests;
}

sub delivered_users
{
    my ($tag) = @_;
    my %users = map { user_of($_) => 1 } grep { $_->{accepted} } with_tag($tag);

    return sort keys %users;
}

# Of each user so many events were accepted, in order and once, and recorded as
# delivered once.  A reference to a number: so many may have come twice.
sub judge
{
    my ($tag, $rounds, @of) = @_;
    my $may_repeat = ref $of[0] ? ${ shift @of } : 0;
    my (%last, %times, $reordered);

    @of = @users unless @of;
    foreach my $request (grep { $_->{accepted} } with_tag($tag))
    {
        my $id = $request->{headers}{'webhook-id'};
        my ($user, $n) = $id =~ /^$tag-(\w+)-(\d+)$/;
        next if $times{$id}++;
        $reordered++ if $n != ($last{$user} // 0) + 1;
        $last{$user} = $n;
    }
    my $repeated = 0;
    $repeated += $_ - 1 foreach values %times;
    is(scalar keys %times, $rounds * @of, "$tag: all have arrived");
    is($reordered // 0, 0, "$tag: each user's in order");
    cmp_ok($repeated, '<=', $may_repeat, "$tag: none twice" . ($may_repeat ? ' but what was in flight' : ''));
    is(query($node, qq{
            SELECT count(*), count(DISTINCT v.event_id)
            FROM rswebhook.delivery AS v JOIN rswebhook.event AS e ON e.id = v.event_id
            WHERE v.outcome = 'delivered' AND e.event ->> 'messageId' LIKE '$tag-%'}),
        $rounds * @of . '|' . $rounds * @of, "$tag: each is recorded once");
    return;
}

# Have two requests of each of a database's workers hang.
sub hang
{
    my ($database) = @_;
    my $path = "/hang/$database";

    add_destination($node, 'hanging', $receiver->url($path),
        { timeout => '30 min', low_speed_limit => 0, workers => 3 }, $database);
    my @some = map { @$_[ 0 .. 1 ] } users_by_share($node, 3, 'hanging', \@users, $database);
    send_of_users($node, 'hanging', 'hang', 1, \@some, database => $database);
    is(wait_for('the requests', sub { $receiver->requests_to($path) >= 6 && $receiver->requests_to($path) }),
        6, "requests of all workers hang: $database");
    return;
}

sub quick
{
    my ($sql, $what, $database) = @_;
    my $seconds = elapsed(sub { query($node, $sql, $database) });

    cmp_ok($seconds, '<', at_once($quick), sprintf '%s: %.2f s', $what, $seconds);
    return;
}
