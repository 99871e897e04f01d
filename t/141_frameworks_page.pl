# doc/frameworks.md: each program stores an order and sends its event, and what the page says to avoid is to be avoided.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use JSON::PP;
use PostgreSQL::Test::Utils ();
use RswebhookTest;
use Test::More;

my $json = JSON::PP->new->utf8->allow_nonref->canonical;
my $receiver = new_receiver();
my $node = new_node('frameworks', conf => "listen_addresses = '127.0.0.1'\n");
my $place = temp_dir('frameworks');
my $page = PostgreSQL::Test::Utils::slurp_file(source_dir() . '/doc/frameworks.md');
my $url = $receiver->url('');
my $user = query($node, 'SELECT current_user');
my $port = $node->port;
my ($section, @programs, %blocks) = ('');

$page =~ s{https://hooks\.example\.com}{$url}g;
while ($page =~ /^(?:#+ ([^\n]*)|```(\w+)\n(.*?)^```)$/gms)
{
    my ($heading, $language, $text) = ($1, $2, $3);

    if (defined $heading)
    {
        $section = $heading;
    }
    elsif ($language eq 'sql' || $section =~ /^Migrations/)
    {
        push @{ $blocks{$section} }, $text;
    }
    else
    {
        push @programs, [ $section, $language, $text ];
    }
}
@ENV{ 'PGHOST', 'PGPORT', 'PGDATABASE', 'PGUSER', 'PGSSLMODE' } = ('127.0.0.1', $port, 'postgres', $user, 'disable');
$ENV{DATABASE_URL} = "postgres://$user\@127.0.0.1:$port/postgres?sslmode=disable";
$ENV{JDBC_URL} = "jdbc:postgresql://127.0.0.1:$port/postgres?user=$user";
$ENV{PDO_DSN} = "pgsql:host=127.0.0.1;port=$port;dbname=postgres;user=$user";
my $python = (grep { system("$_ -c 'import psycopg2' >/dev/null 2>&1") == 0 } 'python3', '/usr/bin/python3')[0] // 'python3';

query($node, $blocks{'What goes for all of them'}[0]);

# ---------------------------------------------------------------------
# Each program
# ---------------------------------------------------------------------
my %expected = (type => 'track', event => 'Order Placed', userId => 'ann', properties => { price => 60 });
my %run = (js => \&run_js, python => \&run_python, java => \&run_java, php => \&run_php, ruby => \&run_ruby, go => \&run_go);

cmp_ok(scalar @programs, '>=', 14, 'the page has its programs');
foreach my $program (@programs)
{
    my ($name, $language, $text) = @$program;

  SKIP:
    {
        my ($command, $why) = $run{$language}->($text);
        skip "$name: $why", 1 unless defined $command;
        my $orders = query($node, 'SELECT count(*) FROM orders');
        $receiver->new_requests;

        my $said = qx(cd $place && $command 2>$place/errors);
        is($?, 0, "$name: the program runs") or diag(PostgreSQL::Test::Utils::slurp_file("$place/errors"));
        chomp $said;
        is($said, query($node, 'SELECT max(id) FROM rswebhook.event'), "$name: it has the event's id");
        is(query($node, 'SELECT count(*) FROM orders'), $orders + 1, "$name: its order is there");
        ok(wait_until_sent($node), "$name: its event is sent");
        my @got = map { $json->decode($_->{body}) } $receiver->new_requests;
        is(scalar(@got), 1, "$name: once");
        delete @{ $got[0] }{ grep { !exists $expected{$_} } keys %{ $got[0] } } if @got;
        is_deeply($got[0], \%expected, "$name: as it was meant");
    }
}

# ---------------------------------------------------------------------
# What goes for all of them, and what is to be avoided
# ---------------------------------------------------------------------
my (undef, undef, $error) = $node->psql('postgres', q{BEGIN READ ONLY; SELECT rswebhook_send('{"type": "track"}'::jsonb, 'shop')});
like($error, qr/read-only transaction/, 'a send in a transaction that is READ ONLY is an error');
(undef, undef, $error) = $node->psql('postgres', q{SELECT rswebhook_send('"{\"type\": \"track\"}"'::jsonb, 'shop')});
like($error, qr/ERROR/, 'an object that is encoded twice is refused');
is(query($node, q{SELECT rswebhook_pause('shop')::text; SELECT rswebhook_resume('shop')::text}), "\n", 'what returns nothing can be text');

$node->safe_psql('postgres', 'CREATE DATABASE fresh; CREATE DATABASE apart');
query($node, 'CREATE EXTENSION rswebhook; DROP SCHEMA public CASCADE', 'fresh');
is(query($node, q{SELECT count(*) FROM pg_extension WHERE extname = 'rswebhook'}, 'fresh'), 0, 'DROP SCHEMA public CASCADE drops the extension');
query($node, 'CREATE SCHEMA webhook; CREATE EXTENSION rswebhook SCHEMA webhook; DROP SCHEMA public CASCADE', 'apart');
is(query($node, q{SELECT count(*) FROM pg_extension WHERE extname = 'rswebhook'}, 'apart'), 1, 'but not one in a schema of its own');

my %avoided = (
    'psycopg2' => q{import psycopg2; c = psycopg2.connect(""); c.cursor().execute(SEND); c.close()},
    'psycopg' => q{import psycopg; c = psycopg.connect(""); c.execute(SEND); c.close()},
    'sqlalchemy' => q{import sqlalchemy; c = sqlalchemy.create_engine("postgresql+psycopg2://").connect(); c.begin(); c.execute(sqlalchemy.text(SEND)); c.close()});
foreach my $module (sort keys %avoided)
{
  SKIP:
    {
        skip "no Python with $module", 1 if system("$python -c 'import $module' >/dev/null 2>&1") != 0;
        my $events = query($node, 'SELECT count(*) FROM rswebhook.event');
        write_file("$place/avoided.py", qq{SEND = """SELECT rswebhook_send('{"type": "track"}', 'shop')"""\n$avoided{$module}\n});
        run_ok($python, "$place/avoided.py");
        is(query($node, 'SELECT count(*) FROM rswebhook.event'), $events, "$module: without a commit nothing is stored");
    }
}

my $none = qq{SELECT rswebhook_send(:event::jsonb, 'shop')};
my %wrong = (
    pg => [ 'js', 'an array as it is becomes one of PostgreSQL\'s', qr/invalid input syntax for type json/, q{
        const client = new (require('pg').Client)({ connectionString: process.env.DATABASE_URL });
        client.connect().then(() => client.query('SELECT rswebhook_send_batch($1::jsonb, $2)', [[{ type: 'track' }], 'shop']))
            .catch((error) => console.log(error.message)).finally(() => client.end());} ],
    postgres => [ 'js', 'JSON.stringify is encoded twice', qr/object/, q{
        const sql = require('postgres')(process.env.DATABASE_URL);
        sql`SELECT rswebhook_send(${JSON.stringify({ type: 'track' })}::jsonb, 'shop')`
            .catch((error) => console.log(error.message)).finally(() => sql.end());} ],
    sqlalchemy => [ 'python', ':event::jsonb is no parameter', qr/syntax error at or near ":"/, qq{
import sqlalchemy
try:
    sqlalchemy.create_engine("postgresql+psycopg2://").connect().execute(sqlalchemy.text("$none"), {"event": "{}"})
except Exception as error:
    print(error)
} ]);
foreach my $module (sort keys %wrong)
{
    my ($language, $what, $expected, $text) = @{ $wrong{$module} };
    my ($command) = $language eq 'js' ? run_js("require('$module');$text") : run_python("import $module$text");

  SKIP:
    {
        skip "no $module", 1 unless defined $command;
        like(qx($command 2>&1), $expected, "$module: $what");
    }
}

# ---------------------------------------------------------------------
# Migrations
# ---------------------------------------------------------------------
my ($include, $grants, $upsert) = @{ $blocks{'Migrations and schema tools'} };
SKIP:
{
    skip 'no Python with alembic', 3 if system("$python -c 'import alembic, sqlalchemy, psycopg2' >/dev/null 2>&1") != 0;
    write_file("$place/migrate.py", $include . <<'END');
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import MetaData, create_engine

connection = create_engine("postgresql+psycopg2://").connect()
for opts in {"include_schemas": True}, {"include_schemas": True, "include_name": include_name}, {}:
    proposed = compare_metadata(MigrationContext.configure(connection, opts=opts), MetaData())
    print(sum(1 for step in proposed if "rswebhook" in str(step)))
END
    my @proposed = split /\n/, qx($python $place/migrate.py 2>$place/errors);
    diag(PostgreSQL::Test::Utils::slurp_file("$place/errors")) if $? != 0;
    cmp_ok($proposed[0] // 0, '>', 0, 'Alembic would drop the tables');
    is($proposed[1], 0, 'but not with include_name');
    is($proposed[2], 0, 'nor if it does not look at all schemas');
}

query($node, 'CREATE ROLE app LOGIN; CREATE ROLE migrations LOGIN; GRANT CREATE, USAGE ON SCHEMA public TO migrations; GRANT INSERT ON orders TO app');
query($node, $grants =~ s/CREATE EXTENSION rswebhook;\n//r);
my $id = query($node, q{SELECT rswebhook.destination_id('shop')});
$ENV{PGUSER} = 'migrations';
is($node->psql('postgres', $upsert), 0, 'a migration writes a destination by its name') foreach 1, 2;
is(query($node, q{SELECT id || ' ' || url FROM rswebhook.destination WHERE name = 'shop'}), "$id $url/v2/shop", 'which stays the same one');
is($node->psql('postgres', q{
        CREATE TABLE payments (customer text);
        CREATE TRIGGER send AFTER INSERT ON payments FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('shop')}), 0, 'and makes triggers');
$ENV{PGUSER} = 'app';
is($node->psql('postgres', q{SELECT rswebhook_send('{"type": "track"}'::jsonb, 'shop')}), 0, "the application's role sends");
$ENV{PGUSER} = $user;
ok(wait_until_sent($node), 'all is sent');
like(query($node, $blocks{'Types that drivers stumble over'}[0]), qr/^\d+\|delivered\|200\|[\d.]+$/m, 'durations in milliseconds');

$node->stop;
done_testing();

# How to run a program, or nothing and why not.
sub run_js
{
    my ($text) = @_;
    my @modules = $text =~ /require\('([^']+)'\)/g;

    foreach my $module (@modules)
    {
        return (undef, "no node with $module") if system("node -e \"require('$module')\" >/dev/null 2>&1") != 0;
    }
    return (undef, 'no node with pg') if system("node -e \"require('pg')\" >/dev/null 2>&1") != 0 && !grep { $_ eq 'postgres' } @modules;
    write_file("$place/send.js", $text);
    return "node $place/send.js";
}

sub run_python
{
    my ($text) = @_;

    foreach my $module ($text =~ /^(?:import|from) (\w+)/gm, $text =~ /sqlalchemy|django/ ? 'psycopg2' : ())
    {
        return (undef, "no Python with $module") if system("$python -c 'import $module' >/dev/null 2>&1") != 0;
    }
    write_file("$place/send.py", $text);
    return "$python $place/send.py";
}

sub run_java
{
    my ($text) = @_;
    my $jar = '/usr/share/java/postgresql.jar';

    return (undef, 'no javac') if system('javac -version >/dev/null 2>&1') != 0;
    return (undef, "no $jar") if !-e $jar;
    write_file("$place/Send.java", $text);
    return "javac -d $place $place/Send.java && java -cp $place:$jar:/usr/share/java/postgresql-scram-client.jar Send";
}

sub run_php
{
    my ($text) = @_;

    return (undef, 'no php with pdo_pgsql') if system(q{php -r 'exit(extension_loaded("pdo_pgsql") ? 0 : 1);' >/dev/null 2>&1}) != 0;
    write_file("$place/send.php", $text);
    return "php $place/send.php";
}

sub run_ruby
{
    my ($text) = @_;

    return (undef, 'no ruby with pg') if system(q{ruby -e 'require "pg"' >/dev/null 2>&1}) != 0;
    write_file("$place/send.rb", $text);
    return "ruby $place/send.rb";
}

sub run_go
{
    my ($text) = @_;
    my $path = '/usr/share/gocode';

    return (undef, 'no go') if system('go version >/dev/null 2>&1') != 0;
    return (undef, 'no lib/pq') if !-d "$path/src/github.com/lib/pq";
    write_file("$place/send.go", $text);
    return "env GO111MODULE=off GOFLAGS= GOPATH=$path GOCACHE=$place/cache go run $place/send.go";
}
