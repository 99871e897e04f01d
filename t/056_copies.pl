# Configuration, backlog and history come through pg_dump and pg_restore, in
# one piece and in parallel, and through pg_upgrade.  What is restored elsewhere
# is a copy, and sends nothing before it is adopted; what is upgraded goes on.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use File::Temp;
use RswebhookTest;
use Session;
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

# Whoever sends from a copy hears of it, once a session, as long as it is so
my $warning = 'WARNING:  rswebhook delivers nothing from database "plain", which is a copy of another one';
query($node, q{DELETE FROM rswebhook.queue}, 'plain');
my $say = q{SELECT rswebhook_send('{"type": "track"}', 'done') FROM generate_series(1, 3);};
is(warnings('plain', "$say $say"), 1, 'one warning');
is(warnings('plain', "BEGIN; $say SAVEPOINT s; $say ROLLBACK TO s; $say COMMIT;"), 1, 'savepoints or not');
is(warnings('plain', "$say BEGIN; SELECT rswebhook_adopt(); $say ROLLBACK; $say"), 2, 'none once adopted, but if that is rolled back');
is(warnings('plain', "$say SELECT rswebhook_adopt(); $say $say"), 1, 'none any more');
is(warnings('custom', $say), 0, 'nor where that was done long ago');

# Who sends meanwhile may have drawn an id that adopt does not see: it sets no
# sequence back.  The ALTER is to make the moment long in which it could
my $waiting = q{SELECT count(*) FROM pg_locks WHERE NOT granted};
my ($sender, $altering, @adopting) = map { Session->new($node, 'custom') } 1 .. 4;
$sender->query("BEGIN; SELECT setval('rswebhook.event_id_seq', last_value) FROM rswebhook.event_id_seq");
$altering->start('ALTER SEQUENCE rswebhook.event_id_seq CACHE 1');
ok(wait_for_query($node, $waiting, '1'), 'a sequence is waited for');
$adopting[0]->start('SELECT rswebhook_adopt()');
ok(wait_for('adopt', sub { $adopting[0]->finished || query($node, $waiting, 'custom') > 1 }), 'while a database is adopted');
$sender->query(q{SELECT rswebhook_send('{"type": "track"}', 'done') FROM generate_series(1, 2); COMMIT});
$_->finish foreach $altering, $adopting[0];
is(query($node, 'SELECT (SELECT last_value FROM rswebhook.event_id_seq) - max(id) FROM rswebhook.event', 'custom'), '0',
    'no id is given out twice');

# Two at once
$adopting[0]->query('BEGIN; SELECT rswebhook_adopt()');
$adopting[1]->start('SELECT rswebhook_adopt()');
ok(wait_for_query($node, $waiting, '1'), 'the second one waits');
$adopting[0]->query('COMMIT');
$adopting[1]->finish;
is(query($node, 'SELECT count(*) FROM rswebhook.home', 'custom'), '1', 'two at once leave one row');
$_->close foreach $sender, $altering, @adopting;

# Of what somebody has added to the tables, a dump has the columns' values and the
# grants only: the columns have to be there before they are restored
my $added = q{
    SELECT has_table_privilege('pg_read_all_stats', 'rswebhook.event', 'SELECT'),
           (SELECT count(*) FROM pg_indexes WHERE indexname = 'mine')};
query($node, q{
    ALTER TABLE rswebhook.event ADD note text DEFAULT 'noted';
    GRANT SELECT ON rswebhook.event TO pg_read_all_stats;
    CREATE INDEX mine ON rswebhook.queue (queued_at)});
run_ok('pg_dump', '-Fc', '-f', "$dump/noted", '-d', $node->connstr('postgres'));
query($node, 'CREATE DATABASE noted');
query($node, 'CREATE EXTENSION rswebhook; ALTER TABLE rswebhook.event ADD note text', 'noted');
run_ok('pg_restore', '--exit-on-error', '-d', $node->connstr('noted'), "$dump/noted");
is(contents('noted'), contents('postgres'), 'a column more: everything is there');
is(query($node, q{SELECT DISTINCT note FROM rswebhook.event}, 'noted'), 'noted', 'the column is, too');
is(query($node, $added, 'noted'), 't|0', 'so are grants, and indexes are not');
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
is(query($staging, 'SELECT sum(rswebhook_cancel_all(name)) FROM rswebhook.destination'), '10', 'what is owed is cancelled');
$staging->append_conf('postgresql.conf', 'rswebhook.enabled = on');
$staging->reload;
query($staging, q{SELECT rswebhook_send('{"type": "track"}', 'done')});
ok(wait_until_sent($staging), 'what is sent there later is delivered');
is(scalar($receiver->requests_to('/sink')), 2 * $count, 'and nothing else');
$staging->stop('fast');
query($node, q{SELECT rswebhook_cancel_all('sink')});

# One that has another cluster_name is, if that was asked for; the node's name is its own
my $owed = q{SELECT count(rswebhook_send('{"type": "track"}', 'sink')) FROM generate_series(1, 10)};
query($node, 'SELECT rswebhook_adopt(by_cluster_name => true)');
is(query($node, 'SELECT cluster_name FROM rswebhook.home'), 'copies', 'the original by its cluster_name');
query($node, $owed);
$node->stop('fast');
run_ok('cp', @places);
run_ok('rm', '-r', $staging->data_dir);
run_ok('cp', '-a', $node->data_dir, $staging->data_dir);
run_ok('cp', reverse @places);
$staging->append_conf('postgresql.conf', 'rswebhook.enabled = on');
$node->start;
$staging->start;
query($staging, q{UPDATE rswebhook.destination SET paused = false});
ok(wait_for_query($staging, q{SELECT rswebhook.worker_pid() IS NOT NULL}, 't'), 'another cluster_name: it has a worker');
is(query($staging, 'SELECT DISTINCT state FROM rswebhook.status'), 'not adopted', 'which takes it for a copy');
(undef, undef, my $err) = $staging->psql('postgres', $owed);
like($err, qr/delivers nothing.*DETAIL:  rswebhook.home has cluster_name "copies"; here it is "staging"\..*rswebhook_adopt/s,
    'a sender hears why');
pass_time(1);
is(scalar($receiver->requests_to('/sink')), 2 * $count, 'it sends nothing');
query($staging, q{SELECT rswebhook_cancel_all('sink')});
query($staging, 'SELECT rswebhook_adopt()');
is(query($staging, 'SELECT cluster_name FROM rswebhook.home'), 'staging', 'adopted, it is known by its own');
query($staging, $owed);
ok(wait_until_sent($staging), 'and delivers');
is(scalar($receiver->requests_to('/sink')), 2 * $count + 10, 'what is new');
$staging->stop('fast');
{
    # as if somebody had given it none
    local $staging->{_name} = '';
    $staging->start;
}
is(query($staging, 'SELECT rswebhook.is_home()'), 'f', 'without a cluster_name it is another one');
(undef, undef, $err) = $staging->psql('postgres', 'SELECT rswebhook_adopt()');
like($err, qr/this server has no cluster_name.*HINT:  Set cluster_name .* or call rswebhook_adopt\(by_cluster_name => false\)/s,
    'by which it cannot be adopted');
query($staging, 'SELECT rswebhook_adopt(by_cluster_name => false)');
is(query($staging, 'SELECT is_home FROM rswebhook.is_home() WHERE (SELECT cluster_name IS NULL FROM rswebhook.home)'), 't',
    'but otherwise');
$staging->stop('fast');
query($node, q{SELECT rswebhook_cancel_all('sink')});
query($node, 'SELECT rswebhook_adopt(by_cluster_name => false)');

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
    query($node, 'CREATE INDEX mine ON rswebhook.queue (queued_at); GRANT SELECT ON rswebhook.event TO pg_read_all_stats');
    $contents = contents('postgres');
    $node->stop('fast');
    chdir "$dump" or die "could not change directory: $!\n";
    my @quickly = qx($bindir/pg_upgrade --help) =~ /--no-sync/ ? '--no-sync' : ();    # 15 or later
    run_ok("$bindir/pg_upgrade", @quickly, '-b', $bindir, '-B', $bindir, '-d', $node->data_dir, '-D', $new->data_dir,
        '-p', $node->port, '-P', $new->port, '-s', "$dump");
    $new->start;
    is(contents('postgres', $new), $contents, 'everything is there');
    is(query($new, $added), 't|1', 'indexes, too');
    is(query($new, q{SELECT count(*) FROM pg_class WHERE relnamespace = 'rswebhook'::regnamespace AND relreplident = 'f'}),
        '14', 'and replica identities');
    query($new, q{UPDATE rswebhook.destination SET paused = false});
    ok(wait_for_query($new, q{SELECT rswebhook.worker_pid() IS NOT NULL}, 't'), 'it has a worker');
    is(query($new, 'SELECT DISTINCT state FROM rswebhook.status'), 'not adopted',
        'it is another cluster, and the old one may still be started');
    is(scalar($receiver->requests_to('/sink')), $before, 'so it sends nothing');
    (undef, undef, $err) = $new->psql('postgres', q{SELECT rswebhook_send('{"type": "track"}', 'done')});
    like($err, qr/WARNING:  rswebhook delivers nothing.*HINT: .*rswebhook_adopt/s, 'a sender hears of it');
    query($new, 'SELECT rswebhook_adopt()');
    ok(wait_until_sent($new), 'adopted, it delivers');
    is(scalar($receiver->requests_to('/sink')), $before + $count, 'the backlog');
}

done_testing();

# How often psql hears that one database is a copy
sub warnings
{
    my ($database, $sql) = @_;
    my (undef, undef, $said) = $node->psql($database, $sql);

    return scalar grep { /^\Q$warning\E$/ } map { s/^psql:[^ ]* //r } split /\n/, $said;
}

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
