# Configuration, backlog and history come through pg_dump and pg_restore, in
# one piece and in parallel, and through pg_upgrade.  What is restored elsewhere
# is a copy, and sends nothing before it is adopted; what is upgraded goes on.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use File::Temp;
use RswebhookTest;
use Test::More;

my $count = 200;
my $receiver = new_receiver();
my $node = new_node('copies');
my $dump = File::Temp->newdir('rswebhook_dump_XXXXXX', TMPDIR => 1);

add_destination($node, 'sink', $receiver->url('/sink'), { paused => 'on' });
add_destination($node, 'done', $receiver->url('/done'));
query($node, qq{SELECT count(rswebhook_send(jsonb_build_object('type', 'track', 'userId', 'u' || n % 10,
                'messageId', 'm' || n), 'sink')) FROM generate_series(1, $count) AS n});
send_event($node, { type => 'track', messageId => 'history' }, 'done');
ok(wait_for_query($node, 'SELECT count(*) FROM rswebhook.delivery', '1'), 'a history');
query($node, q{UPDATE rswebhook.destination SET paused = false, enabled = false WHERE name = 'sink'});

my $contents = contents('postgres');
run_ok('pg_dump', '-Fc', '-f', "$dump/custom", '-d', $node->connstr('postgres'));
run_ok('pg_dump', '-Fd', '-j', '2', '-f', "$dump/directory", '-d', $node->connstr('postgres'));
run_ok('pg_dump', '-f', "$dump/plain", '-d', $node->connstr('postgres'));

# The copies differ from the original in that nothing keeps them from sending
# but that they are copies.
my %restore = (
    custom => [ 'pg_restore', '-d' ],
    directory => [ 'pg_restore', '-j', '4', '-d' ],
    plain => [ 'psql', '-q', '-v', 'ON_ERROR_STOP=1', '-o', '/dev/null', '-f' ]);
foreach my $kind (sort keys %restore)
{
    query($node, "CREATE DATABASE $kind");
    run_ok(@{ $restore{$kind} },
        $kind eq 'plain' ? ("$dump/plain", '-d', $node->connstr('plain')) : ($node->connstr($kind), "$dump/$kind"));
    is(contents($kind), $contents, "$kind: everything is there");
    query($node, q{UPDATE rswebhook.destination SET enabled = true}, $kind);
    query($node, q{SELECT rswebhook_send('{"type": "track", "messageId": "new"}', 'done')}, $kind);
    is(query($node, q{SELECT DISTINCT state FROM rswebhook.status}, $kind), 'not adopted', "$kind: the status says so");
    ok(wait_for_query($node, q{SELECT rswebhook.worker_pid() IS NOT NULL}, 't', undef, $kind), "$kind: it has a worker");
}
pass_time(2);
is(scalar($receiver->requests_to('/sink')), 0, 'no copy sends');
is(scalar($receiver->requests_to('/done')), 1, 'not even new events');
query($node, 'SELECT rswebhook_adopt()', 'custom');
ok(wait_until_sent($node, 'custom'), 'an adopted copy delivers');
is(scalar($receiver->requests_to('/sink')), $count, 'adopted: its backlog');
is(query($node, q{SELECT count(*) FROM rswebhook.delivery WHERE outcome <> 'delivered'}, 'custom'), '0', 'all of it');
is(query($node, 'SELECT count(*) FROM rswebhook.queue', 'directory'), $count + 1, 'the others still wait');

# Of what somebody has added to the tables, a dump has the columns' values only:
# the columns have to be there before they are restored
query($node, q{ALTER TABLE rswebhook.event ADD note text DEFAULT 'noted'});
run_ok('pg_dump', '-Fc', '-f', "$dump/noted", '-d', $node->connstr('postgres'));
query($node, 'CREATE DATABASE noted');
query($node, 'CREATE EXTENSION rswebhook; ALTER TABLE rswebhook.event ADD note text', 'noted');
run_ok('pg_restore', '--exit-on-error', '-d', $node->connstr('noted'), "$dump/noted");
is(contents('noted'), contents('postgres'), 'a column more: everything is there');
is(query($node, q{SELECT DISTINCT note FROM rswebhook.event}, 'noted'), 'noted', 'the column is, too');
query($node, 'ALTER TABLE rswebhook.event DROP note');

# Back over the original: it is at home there
query($node, 'DROP EXTENSION rswebhook');
run_ok('pg_restore', '-d', $node->connstr('postgres'), "$dump/custom");
is(contents('postgres'), $contents, 'restored over the original');
query($node, q{UPDATE rswebhook.destination SET enabled = true});
ok(wait_until_sent($node), 'it delivers by itself');
is(scalar($receiver->requests_to('/sink')), 2 * $count, 'its backlog');

# A copy of the files is not known as one, and has to be told before it starts
query($node, q{UPDATE rswebhook.destination SET paused = true WHERE name = 'sink'});
query($node, qq{SELECT count(rswebhook_send('{"type": "track"}', 'sink')) FROM generate_series(1, 10)});
my $staging = new_node('staging', start => 0);
my $settings = File::Temp->new(TMPDIR => 1);
my @places = ($staging->data_dir . '/postgresql.conf', $settings->filename);
run_ok('cp', @places);
$node->stop('fast');
run_ok('rm', '-r', $staging->data_dir);
run_ok('cp', '-a', $node->data_dir, $staging->data_dir);
run_ok('cp', reverse @places);
$staging->append_conf('postgresql.conf', 'rswebhook.enabled = off');
$node->start;
$staging->start;
query($staging, q{UPDATE rswebhook.destination SET paused = false});
ok(wait_for_query($staging, q{SELECT rswebhook.worker_pid() IS NOT NULL}, 't'), 'staging: it has a worker');
is(query($staging, 'SELECT bool_and(rswebhook.is_home())'), 't', 'which takes itself for the original');
pass_time(1);
is(query($staging, 'SELECT sum(rswebhook_cancel(name)) FROM rswebhook.destination'), '10', 'what is owed is cancelled');
$staging->append_conf('postgresql.conf', 'rswebhook.enabled = on');
$staging->reload;
query($staging, q{SELECT rswebhook_send('{"type": "track"}', 'done')});
ok(wait_until_sent($staging), 'what is sent there later is delivered');
is(scalar($receiver->requests_to('/sink')), 2 * $count, 'and nothing else');
$staging->stop('fast');
query($node, q{SELECT rswebhook_cancel('sink')});

# pg_upgrade, to the same version for want of another
SKIP:
{
    my $bindir = (split /\n/, qx(pg_config --bindir))[0];
    $bindir = $ENV{PATH} =~ s/:.*//r if !-x "$bindir/pg_upgrade";
    skip 'no pg_upgrade here', 1 unless -x "$bindir/pg_upgrade";

    # 18 looks there and nowhere else, whatever dynamic_library_path says
    my $libdir = (split /\n/, qx(pg_config --pkglibdir))[0];
    skip 'the library is not installed where pg_upgrade looks', 1
      if query($node, 'SHOW server_version_num') >= 180000 && !-e "$libdir/rswebhook.so";
    skip 'its servers would lack the sanitizers', 1 if $ENV{RSWEBHOOK_SANITIZED};

    query($node, "DROP DATABASE $_") foreach sort keys %restore;
    query($node, q{UPDATE rswebhook.destination SET paused = true WHERE name = 'sink'});
    query($node, qq{SELECT count(rswebhook_send('{"type": "track"}', 'sink')) FROM generate_series(1, $count)});
    my $before = $receiver->requests_to('/sink');
    my $new = new_node('upgraded', start => 0);
    $contents = contents('postgres');
    $node->stop('fast');
    chdir "$dump" or die "could not change directory: $!\n";
    my @quickly = qx($bindir/pg_upgrade --help) =~ /--no-sync/ ? '--no-sync' : ();    # 15 or later
    run_ok("$bindir/pg_upgrade", @quickly, '-b', $bindir, '-B', $bindir, '-d', $node->data_dir, '-D', $new->data_dir,
        '-p', $node->port, '-P', $new->port, '-s', "$dump");
    $new->start;
    is(contents('postgres', $new), $contents, 'everything is there');
    query($new, q{UPDATE rswebhook.destination SET paused = false});
    ok(wait_for_query($new, q{SELECT rswebhook.worker_pid() IS NOT NULL}, 't'), 'it has a worker');
    is(query($new, 'SELECT DISTINCT state FROM rswebhook.status'), 'not adopted',
        'it is another cluster, and the old one may still be started');
    is(scalar($receiver->requests_to('/sink')), $before, 'so it sends nothing');
    query($new, 'SELECT rswebhook_adopt()');
    ok(wait_until_sent($new), 'adopted, it delivers');
    is(scalar($receiver->requests_to('/sink')), $before + $count, 'the backlog');
}

done_testing();

# What must come through, in one line.
sub contents
{
    my ($database, $where) = @_;

    return query($where // $node, q{
        SELECT (SELECT count(*) || md5(string_agg(e::text, '' ORDER BY id)) FROM rswebhook.event AS e),
               (SELECT count(*) || md5(string_agg(q::text, '' ORDER BY destination_id, event_id)) FROM rswebhook.queue AS q),
               (SELECT count(*) || md5(string_agg(d::text, '' ORDER BY event_id, destination_id, attempt)) FROM rswebhook.delivery AS d),
               (SELECT count(*) || md5(string_agg(d::text, '' ORDER BY id)) FROM rswebhook.destination AS d),
               (SELECT last_value FROM rswebhook.event_id_seq),
               (SELECT last_value FROM rswebhook.destination_id_seq)}, $database);
}
