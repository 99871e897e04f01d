# A database that should have a worker and has none at all: nobody can write that there, so the launcher
# says it, once, when it has been so for a minute, and that it is over.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use Clock;
use RswebhookTest;
use Test::More;

my $clock = Clock->new(temp_dir('clock'), source_dir() . '/t/lib/wall.c') or plan(skip_all => $@);
my $node = new_node('forsaken', start => 0, conf => "max_worker_processes = 1\nmax_logical_replication_workers = 0\n");
my $slept = 0;

sub said
{
    my ($name) = @_;

    return times_logged($node, qr/LOG:  rswebhook alert: workers missing: database "$name" has had no worker for \d+ s, and what is owed there waits/);
}

# The machine sleeps, and the launcher wakes.
sub let_pass
{
    my ($seconds) = @_;

    $clock->set(0, $slept += $seconds);
    query($node, 'SELECT pg_reload_conf()');
    return;
}

# None is free
$clock->start($node);
query($node, 'CREATE EXTENSION rswebhook');
ok(wait_for('the launcher', sub { times_logged($node, qr/no background worker slot is free/) }), 'no worker can be started');
query($node, 'SELECT pg_reload_conf()');
is(said('postgres'), 0, 'that is no alert at once');
let_pass(70);
ok(wait_for('the alert', sub { said('postgres') }), 'but after a minute');
like(logged($node), qr/workers missing: .*\n.*HINT: +The lines before this say why/, 'with a hint');
let_pass(3600) foreach 1 .. 3;
query($node, 'CREATE DATABASE other');
is(said('postgres'), 1, 'once');
is(query($node, q{SELECT value FROM rswebhook.metrics WHERE name = 'rswebhook_workers'}), 0, 'and the metrics say so, too');
is(query($node, q{SELECT count(*) FROM rswebhook.metrics WHERE name = 'rswebhook_workers_wanted' AND value = 1}), 1, 'against what there should be');
$node->stop;

# One that is closed for a while
$node->append_conf('postgresql.conf', "max_worker_processes = 8\n");
$clock->start($node);
query($node, 'CREATE EXTENSION rswebhook', 'other');
ok(await_workers($node, 'other'), 'another database has a worker');
my $log = -s $node->logfile;
query($node, 'ALTER DATABASE other ALLOW_CONNECTIONS false; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = \'other\'');
ok(wait_for_query($node, q{SELECT count(*) FROM pg_stat_activity WHERE datname = 'other'}, 0), 'which leaves');
query($node, 'SELECT pg_reload_conf()');
let_pass(70);
ok(wait_for('the alert', sub { query($node, 'SELECT pg_reload_conf()'); said('other') }), 'that is told as well');
query($node, 'ALTER DATABASE other ALLOW_CONNECTIONS true');
ok(wait_for('its end', sub { query($node, 'SELECT pg_reload_conf()'); times_logged($node, qr/LOG:  rswebhook has a worker for database "other" again/, $log) }),
    'and when it is over');
is(said('other'), 1, 'it was told once');
is(said('postgres'), 1, 'and of others nothing');

$node->stop;
done_testing();
