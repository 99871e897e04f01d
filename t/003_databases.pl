# Commands that need a database for themselves, or the extension gone, do not
# wait for a worker, not even for one whose request hangs.
#
# PostgreSQL itself looks for other sessions for about five seconds and then
# fails, so everything here must be through well before that.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Session;
use Test::More;

my $limit = 4;    # seconds on an idle machine; a request that hangs does so for half an hour
my $receiver = new_receiver();
my $node = new_node('databases');
my $serial = 0;

ok(deliver('postgres'), 'the first database delivers');

# DROP DATABASE, idle and busy, plain and forced
foreach my $busy (0, 1)
{
    foreach my $force ('', ' WITH (FORCE)')
    {
        my $what = ($busy ? 'busy' : 'idle') . $force;
        create('doomed');
        ok(deliver('doomed'), "$what: the new database delivers");
        hang('doomed') if $busy;
        quick("DROP DATABASE doomed$force", "$what: DROP DATABASE$force");
    }
}

# CREATE DATABASE ... TEMPLATE: the original goes on, the copy keeps still until
# it is adopted, so that nothing is sent twice
create('model');
ok(deliver('model'), 'the template delivers');
hang('model');
quick('CREATE DATABASE copied TEMPLATE model', 'CREATE DATABASE ... TEMPLATE');
ok(deliver('model'), 'the template delivers again');
my $copied = queue_event('copied', '/ok');
is(query($node, q{SELECT DISTINCT state FROM rswebhook.status}, 'copied'),
    'not adopted', 'the copy is known as one');
is(scalar(grep { $_->{headers}{'webhook-id'} eq $copied } $receiver->requests),
    0, 'the copy does not deliver');
query($node, 'SELECT rswebhook_adopt()', 'copied');
ok(arrived($copied), 'once adopted, it does');

# A template has no worker, and says so
create('stencil');
ok(deliver('stencil'), 'a database delivers');
query($node, 'ALTER DATABASE stencil IS_TEMPLATE true');
is(query($node, q{SELECT DISTINCT state FROM rswebhook.status}, 'stencil'), 'template', 'that it is a template now is in its status');
like(($node->psql('stencil', q{SELECT rswebhook_send('{"type": "track"}', name) FROM rswebhook.destination}))[2],
    qr/WARNING:  rswebhook delivers nothing from database "stencil", which is a template$/m, 'and whoever sends hears of it');
query($node, 'ALTER DATABASE stencil IS_TEMPLATE false');
ok(deliver('stencil'), 'no template any more, it delivers');
quick('DROP DATABASE stencil', 'DROP DATABASE of what was a template');

# A command that fails gives the worker back, too
isnt($node->psql('postgres', 'CREATE DATABASE copied TEMPLATE model'),
    0, 'CREATE DATABASE of a name that is taken fails');
ok(deliver('model'), 'the template delivers after a failed command');

# One that may not be given, or not there, does not disturb it
my $stays = worker_pids($node, 'model');
query($node, 'CREATE ROLE creator CREATEDB; CREATE ROLE owner; CREATE DATABASE owned OWNER owner');
foreach my $command (
    'SET ROLE creator; CREATE DATABASE mine TEMPLATE model',
    'SET ROLE creator; ALTER DATABASE model RENAME TO mine',
    'SET ROLE owner; CREATE DATABASE mine TEMPLATE model',
    'BEGIN; CREATE DATABASE mine TEMPLATE model',
    'BEGIN; DROP DATABASE model',
    'BEGIN; ALTER DATABASE model SET TABLESPACE pg_default',
    q{DO $$ BEGIN EXECUTE 'DROP DATABASE model'; END $$})
{
    isnt($node->psql('postgres', $command), 0, "$command: fails");
    is(worker_pids($node, 'model'), $stays, 'and leaves the worker alone');
}

# What a savepoint takes back, it gives back
my $session = Session->new($node);
$session->query('BEGIN; SAVEPOINT one; SAVEPOINT two');
$session->query('ALTER DATABASE model RENAME TO renamed');
$session->query('RELEASE two');
ok(worker_pids($node, 'model') eq '', 'a command in a subtransaction has it alone');
$session->query('ROLLBACK TO one');
ok(deliver('model'), 'until that is rolled back');
$session->query('COMMIT');
$session->close;

quick('ALTER DATABASE model RENAME TO renamed', 'ALTER DATABASE ... RENAME');
ok(deliver('renamed'), 'the renamed database delivers');

my $directory = temp_dir('tablespace');
query($node, "CREATE TABLESPACE elsewhere LOCATION '$directory'");
quick('ALTER DATABASE renamed SET TABLESPACE elsewhere', 'ALTER DATABASE ... SET TABLESPACE');
ok(deliver('renamed'), 'the moved database delivers');
quick('DROP DATABASE renamed', 'DROP DATABASE after all that');
quick('DROP TABLESPACE elsewhere', 'DROP TABLESPACE');

# DROP EXTENSION, idle and busy, in two transactions and in one
foreach my $busy (0, 1)
{
    my $what = $busy ? 'busy' : 'idle';
    hang('copied') if $busy;
    quick('DROP EXTENSION rswebhook', "$what: DROP EXTENSION", 'copied');
    query($node, 'CREATE EXTENSION rswebhook', 'copied');
    ok(deliver('copied'), "$what: a new extension delivers");
    hang('copied') if $busy;
    quick('BEGIN; DROP EXTENSION rswebhook; CREATE EXTENSION rswebhook; COMMIT',
        "$what: DROP and CREATE EXTENSION in a transaction", 'copied');
    ok(deliver('copied'), "$what: the newer extension delivers");
    hang('copied') if $busy;
    quick('BEGIN; DROP EXTENSION rswebhook; ROLLBACK',
        "$what: DROP EXTENSION rolled back", 'copied');
    ok(deliver('copied'), "$what: it still delivers");
}

# Many in a row
my $seconds = elapsed(
    sub {
        foreach my $round (1 .. 5)
        {
            create('brief');
            query($node, 'DROP DATABASE brief');
        }
    });
cmp_ok($seconds, '<', at_once(5 * $limit), 'databases that come and go at once');

# A database without the extension is left alone, whatever else is dropped there
query($node, 'ALTER SYSTEM SET log_min_messages = debug1');
$node->reload;
ok(wait_for_query($node, 'SHOW log_min_messages', 'debug1'), 'the server logs each start of a worker');
query($node, 'CREATE DATABASE plain');
ok(wait_for('the look', sub { starts_in('plain', 0) && worker_pids($node, 'plain') eq '' }), 'a new database is looked at');
my $log = -s $node->logfile;
query($node, 'DROP EXTENSION plpgsql', 'plain');
pass_time(1);
is(starts_in('plain', $log), 0, 'DROP EXTENSION of another extension starts no worker');
query($node, 'CREATE EXTENSION plpgsql; CREATE EXTENSION rswebhook', 'plain');
ok(wait_for('a worker', sub { starts_in('plain', $log) }), 'CREATE EXTENSION of this one does');
query($node, 'ALTER SYSTEM RESET log_min_messages');
$node->reload;
query($node, 'DROP EXTENSION rswebhook', 'plain');
quick('DROP DATABASE plain', 'DROP DATABASE without the extension');

# Two in one transaction
create($_) foreach qw(one two);
ok(deliver($_), "$_ delivers") foreach qw(one two);
quick('BEGIN; ALTER DATABASE one RENAME TO uno; ALTER DATABASE two RENAME TO due; COMMIT',
    'two databases are renamed in one transaction');
ok(deliver($_), "$_ delivers") foreach qw(uno due);

# The extension in template1 comes with each new database, and is in nobody's way
query($node, 'CREATE EXTENSION rswebhook', 'template1');
pass_time(1);
quick('CREATE DATABASE inherits', 'CREATE DATABASE from template1 with the extension');
ok(deliver('inherits'), 'the new database delivers');
is(worker_pids($node, 'template1'), '', 'a template has no worker');
query($node, 'ALTER DATABASE template1 IS_TEMPLATE false');
ok(await_workers($node, 'template1'), 'template1 that is none has one');
quick('CREATE DATABASE inherits_more', 'CREATE DATABASE from that');
ok(deliver('inherits_more'), 'the new database delivers');
query($node, 'DROP EXTENSION rswebhook', 'template1');
query($node, 'ALTER DATABASE template1 IS_TEMPLATE true');

# A database is a template for a while
query($node, 'ALTER DATABASE uno IS_TEMPLATE true');
my $workers = q{SELECT pid FROM pg_stat_activity WHERE datname = 'uno' AND backend_type LIKE 'rswebhook%'};
kill 'TERM', split /\n/, query($node, $workers);
ok(wait_for('the workers to leave', sub { query($node, $workers) eq '' }), 'a template\'s workers can be sent away');
my $waits = queue_event('uno', '/ok');
query($node, 'ALTER DATABASE uno IS_TEMPLATE false');
ok(arrived($waits), 'what was queued meanwhile is delivered when it is none any more');

ok(deliver('postgres'), 'the first database still delivers');

# Of many databases only the one that is new is looked at
query($node, "CREATE DATABASE plain$_") foreach 1 .. 5;
my $launcher = query($node, q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'rswebhook launcher'});
at_rest($launcher);
query($node, 'ALTER SYSTEM SET log_min_messages = debug1');
query($node, 'SELECT pg_reload_conf()');
$log = -s $node->logfile;
create('newest');
ok(deliver('newest'), 'the newest of many databases delivers');
at_rest($launcher);
my $oid = query($node, q{SELECT oid FROM pg_database WHERE datname = 'newest'});
my @started = logged($node, $log) =~
  /starting background worker process "rswebhook worker for database (\d+)/g;
cmp_ok(scalar(grep { $_ == $oid } @started), '>=', 1, 'a worker was started there');
is(scalar(grep { $_ != $oid } @started), 0, 'and nowhere else');
query($node, 'ALTER SYSTEM RESET log_min_messages');
query($node, 'SELECT pg_reload_conf()');

done_testing();

# How many workers were started for a database since then.
sub starts_in
{
    my ($database, $from) = @_;
    my $oid = query($node, "SELECT oid FROM pg_database WHERE datname = '$database'");

    return times_logged($node, qr/starting background worker process "rswebhook worker for database $oid\b/, $from);
}

sub create
{
    my ($database) = @_;

    query($node, "CREATE DATABASE $database");
    query($node, 'CREATE EXTENSION rswebhook', $database);
    return;
}

# Sends an event of this database's own to a destination of its own.
sub queue_event
{
    my ($database, $path) = @_;
    my $id = "$database-" . ++$serial;

    add_destination($node, $id, $receiver->url($path),
        { timeout => '30 min', low_speed_limit => 0 }, $database);
    send_event($node, { type => 'track', messageId => $id, anonymousId => $id }, $id, $database);
    return $id;
}

sub deliver
{
    my ($database) = @_;

    return arrived(queue_event($database, '/ok'));
}

# Has a request of this database's worker hang.
sub hang
{
    my ($database) = @_;

    arrived(queue_event($database, '/hang')) or die "the request did not start\n";
    return;
}

sub arrived
{
    my ($id) = @_;

    return wait_for("the event $id",
        sub { grep { ($_->{headers}{'webhook-id'} // '') eq $id } $receiver->requests });
}

sub quick
{
    my ($sql, $what, $database) = @_;
    my $seconds = elapsed(sub { query($node, $sql, $database) });

    cmp_ok($seconds, '<', at_once($limit), sprintf '%s: %.2f s', $what, $seconds);
    return;
}
