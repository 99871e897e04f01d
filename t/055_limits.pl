# No connection, no worker slot, no database slot, no disk left, and settings
# that end sessions: the worker and the launcher come through or come back,
# and say so once.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Session;
use Test::More;

my $serial = 0;
my $each = workers_each();
my $receiver = new_receiver();
my $node = new_node('limits',
    conf => "max_connections = 10\nsuperuser_reserved_connections = 2\nmax_worker_processes = @{[ 1 + $each ]}\n"
      . "autovacuum = off\nmax_parallel_workers = 0\n"
      . "max_logical_replication_workers = 0\n");

add_destination($node, 'good', $receiver->url('/ok'),
    { min_backoff => '20 ms', max_backoff => '100 ms', breaker_failures => 0 });
ok(deliver(), 'it delivers');
my $old = worker_pids($node);

# Settings of the database that would end or change the worker's transactions
my %settings = (
    statement_timeout => '1ms',
    lock_timeout => '1ms',
    idle_in_transaction_session_timeout => '1ms',
    idle_session_timeout => '1ms',
    transaction_timeout => '1ms',
    default_transaction_read_only => 'on',
    default_transaction_isolation => 'serializable',
    default_transaction_deferrable => 'on',
    search_path => 'nowhere',
    row_security => 'off',
    session_replication_role => 'replica',
    exit_on_error => 'on',
    work_mem => '64kB',
    enable_indexscan => 'off',
    role => 'nobody_special',
    log_min_messages => 'warning');
query($node, 'CREATE ROLE nobody_special');
foreach my $name (sort keys %settings)
{
    next unless exists_setting($name);
    query($node, "ALTER DATABASE postgres SET $name = '$settings{$name}'", 'template1');
}
kill 'TERM', split / /, $old;
ok(await_others($node, $old), 'the next workers start');
my $log = -s $node->logfile;
foreach my $round (1 .. 3)
{
    # from another database's session these settings are not in force
    my $id = send_with_own_settings();
    ok(arrives($id), "settings of the database do not matter: $round");
}
is(errors_logged($node, $log), 0, 'nor do they lead to errors');
my $with_settings = worker_pids($node);
query($node, 'ALTER DATABASE postgres RESET ALL', 'template1');
ok(await_others($node, $with_settings), 'workers begin anew when a setting of ours may have been reset');
my $worker = worker_of($node, 'good');

# All connections taken, once those that had some before are gone
my @sessions = Session->new($node);
my $clients = q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'};
ok(wait_for('other sessions to end', sub { $sessions[0]->query($clients) == 1 }), 'a session is alone');
push @sessions, map { Session->new($node) } 2 .. 10;
$_->query('SELECT 1') foreach @sessions;
ok(!is_there($node), 'no connection is left');
my $id = 'm' . ++$serial;
$sessions[0]->query(sending($id));
ok(arrives($id), 'with all connections taken it delivers');
$sessions[0]->query("SELECT pg_terminate_backend($worker)");
$id = 'm' . ++$serial;
$sessions[0]->query(sending($id));
ok(arrives($id), 'and a new worker starts');
$_->close foreach @sessions;

# No worker slot: launcher and one database's workers fill them
$log = -s $node->logfile;
foreach my $name (qw(one two three))
{
    query($node, "CREATE DATABASE $name");
    query($node, 'CREATE EXTENSION rswebhook', $name);
    add_destination($node, 'good', $receiver->url('/ok'), {}, $name);
    send_event($node, { type => 'track', messageId => "from-$name" }, 'good', $name);
}
ok(wait_for('the launcher to say so', sub { times_logged($node, qr/no background worker slot is free/, $log) > 0 }),
    'the launcher says that no worker slot is free');
pass_time(5);
is(times_logged($node, qr/no background worker slot is free/, $log), 1, 'once');
ok(deliver(), 'the database that has workers delivers');
query($node, 'DROP DATABASE three');
query($node, 'ALTER SYSTEM SET max_worker_processes = ' . (8 * $each));
$node->restart;
ok(arrives("from-$_"), "with more slots database \"$_\" delivers") foreach qw(one two);

# The slots that are freed are taken
query($node, 'ALTER SYSTEM SET max_worker_processes = ' . (1 + $each));
$node->restart;
ok(wait_for_query($node, q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'rswebhook worker'}, $each), 'all slots are in use');
my @with_worker = with_workers();
cmp_ok(scalar @with_worker, '<', 3, 'one database has none');
query($node, 'DROP EXTENSION rswebhook', $_) foreach @with_worker;
ok( wait_for('another worker', sub { my %had = map { $_ => 1 } @with_worker; grep { !$had{$_} } with_workers() }),
    'another database gets a slot');
query($node, 'CREATE EXTENSION rswebhook', $_) foreach @with_worker;

# rswebhook.max_databases
query($node, 'ALTER SYSTEM SET max_worker_processes = ' . (16 * $each));
query($node, 'ALTER SYSTEM SET rswebhook.max_databases = 2');
$log = -s $node->logfile;
$node->restart;
ok(wait_for('the launcher to say so', sub { times_logged($node, qr/cannot start a worker .*rswebhook\.max_databases = 2/, $log) > 0 }),
    'the launcher says that there are too many databases');
my ($launcher) = query($node, q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'rswebhook launcher'});
my $cpu = cpu_ticks($launcher);
pass_time(3);
foreach my $name (qw(postgres one two))
{
    query($node, q{SELECT rswebhook.notify_worker(NULL, 0, -1)}, $name) foreach 1 .. 5;
}
is(times_logged($node, qr/cannot start a worker .*rswebhook\.max_databases = 2/, $log), 1, 'once');
cmp_ok(cpu_ticks($launcher) - $cpu, '<', 50, 'and does not spin');
ok(wait_for('workers', sub { (@with_worker = with_workers()) == 2 }), 'two databases have workers');
my ($without) = grep { my $name = $_; !grep { $_ eq $name } @with_worker } qw(postgres one two);
query($node, 'DROP EXTENSION rswebhook', $with_worker[0]);
ok( wait_for_query($node, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'rswebhook worker' AND datname = '$without'", $each),
    'a slot that is freed goes to the database that waits');
query($node, "ALTER SYSTEM RESET rswebhook.max_databases");
$node->restart;
query($node, 'CREATE EXTENSION IF NOT EXISTS rswebhook');
query($node, q{DELETE FROM rswebhook.destination});
add_destination($node, 'good', $receiver->url('/ok'), { min_backoff => '20 ms', max_backoff => '100 ms', breaker_failures => 0 });
ok(deliver(), 'it delivers again');

# A database that takes no connections, and one that goes while nobody looks
query($node, 'CREATE EXTENSION IF NOT EXISTS rswebhook', $_) foreach qw(one two);
query($node, 'ALTER DATABASE one ALLOW_CONNECTIONS false');
$log = -s $node->logfile;
query($node, q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'one'});
pass_time(3);
is(times_logged($node, qr/FATAL/, $log), 0, 'a closed database is left alone');
query($node, 'ALTER DATABASE one ALLOW_CONNECTIONS true');
ok(wait_for_query($node, q{SELECT count(*) FROM pg_stat_activity WHERE datname = 'one' AND backend_type = 'rswebhook worker'}, $each),
    'opened, it has its workers again');
query($node, "DROP DATABASE $_") foreach qw(one two);
pass_time(2);
is(times_logged($node, qr/FATAL:  database/, $log), 0, 'nobody looks for a dropped database');

# Out of shared memory: a session takes all locks
$log = -s $node->logfile;
my $session = Session->new($node);
query($node, q{DO $$ BEGIN FOR i IN 1 .. 4000 LOOP EXECUTE 'CREATE TABLE IF NOT EXISTS t' || i || '()'; COMMIT; END LOOP; END $$});
$session->query('BEGIN');
for (my $i = 1; $i <= 4000; $i += 100)
{
    $session->query(qq{DO \$\$ BEGIN FOR i IN $i .. $i + 99 LOOP EXECUTE 'LOCK TABLE t' || i || ' IN SHARE MODE'; END LOOP;
        EXCEPTION WHEN out_of_memory THEN NULL; END \$\$});
}
$id = 'm' . ++$serial;
my $since = time();
eval { query($node, sending($id)) };
pass_time(2);
$session->query('COMMIT');
$session->close;
ok(deliver(), 'after shared memory was used up it delivers');
cmp_ok(errors_logged($node, $log), '<=', 4 + time() - $since, 'a few lines in the log');

# A place for one of several databases that have nothing to deliver: each is
# looked at, and then all is quiet
my $few = new_node('few', conf => "rswebhook.max_databases = 2\nlog_min_messages = debug1\n");
query($few, "CREATE DATABASE plain$_") foreach 1 .. 4;
my $starts = -1;
wait_for('the looks to end', sub {
        my $same = starts() == $starts;

        $starts = starts();
        pass_time(1) if !$same;
        return $same && $starts > 4;
    });
pass_time(2);
is(starts() - $starts, 0, 'nobody looks at databases again and again');

done_testing();

sub sending
{
    my ($id) = @_;

    return qq{SELECT rswebhook_send('{"type": "track", "messageId": "$id"}', 'good')};
}

sub deliver
{
    my $id = 'm' . ++$serial;

    query($node, sending($id));
    return arrives($id);
}

sub arrives
{
    my ($id) = @_;

    return wait_for("the event $id",
        sub { grep { ($_->{headers}{'webhook-id'} // '') eq $id } $receiver->requests });
}

# The databases that have a worker
sub with_workers
{
    my @names = split /\n/, query($node, q{SELECT DISTINCT datname FROM pg_stat_activity
        WHERE backend_type = 'rswebhook worker' AND datname IS NOT NULL ORDER BY 1});

    return @names;
}

# In a session to which the database's settings do not apply.
sub with_own_settings
{
    my ($sql) = @_;

    local $ENV{PGOPTIONS} = join ' ', '-c statement_timeout=0', '-c lock_timeout=0', '-c default_transaction_read_only=off',
      '-c default_transaction_isolation=read\ committed', '-c search_path=public', '-c role=none',
      '-c session_replication_role=origin';
    $ENV{PGOPTIONS} .= ' -c idle_session_timeout=0' if exists_setting('idle_session_timeout');
    $ENV{PGOPTIONS} .= ' -c transaction_timeout=0' if exists_setting('transaction_timeout');
    return query($node, $sql);
}

sub exists_setting
{
    my ($name) = @_;

    local $ENV{PGOPTIONS} = '';
    return query($node, "SELECT current_setting('$name', true) IS NOT NULL", 'template1') eq 't';
}

sub send_with_own_settings
{
    my $id = 'm' . ++$serial;

    with_own_settings(sending($id));
    return $id;
}

# Workers that were started by the server with few places.
sub starts
{
    return times_logged($few, qr/starting background worker process "rswebhook worker/);
}

sub cpu_ticks
{
    my ($pid) = @_;

    open my $in, '<', "/proc/$pid/stat" or return 0;
    my @fields = split ' ', <$in>;
    return $fields[13] + $fields[14];
}
