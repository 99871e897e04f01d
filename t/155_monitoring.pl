# What Prometheus and Grafana are given: the metrics say what the status says, show no secret and read
# neither queue nor deliveries; Debian's exporter scrapes them, Prometheus reads them by the
# configuration in monitoring/, and there is each metric that its rules and the dashboard use.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use Child;
use HTTP::Tiny;
use JSON::PP;
use PostgreSQL::Test::Utils ();
use RswebhookTest;
use Test::More;

my $monitoring = source_dir() . '/monitoring';
my $json = JSON::PP->new->utf8;
my $receiver = new_receiver();
my $node = new_node('monitoring', conf => "rswebhook.alert_failures = 1\n");
my $odd = qq{a "quoted" \\ name};

add_destination($node, $odd, $receiver->url('/ok?token=s3cret'), { headers => '{"Authorization": "Bearer s3cret"}' });
add_destination($node, 'failing', $receiver->url('/text/503/s3cret'));
add_destination($node, 'paused', $receiver->url('/ok'), { paused => 'true' });
query($node, q{CREATE ROLE prometheus LOGIN IN ROLE pg_monitor});
send_event($node, { type => 'track', event => 'Seen', userId => "u$_" }) foreach 1 .. 10;
ok(wait_for_query($node, q{SELECT string_agg(delivered || ' ' || pending || ' ' || (retried >= 10), ', ' ORDER BY destination) FROM rswebhook.status},
        '10 0 false, 0 10 true, 0 10 false'), 'ten are delivered, ten are retried, ten wait');
ok(wait_for_query($node, q{SELECT count(*) FROM rswebhook.alert WHERE open}, 1), 'and somebody is told');

# As a monitor sees it
sub monitored
{
    my ($sql) = @_;

    return query($node, "SET ROLE prometheus; $sql");
}

is(monitored(q{SELECT count(*) FROM rswebhook.status s JOIN rswebhook.metrics m ON m.labels ->> 'destination' = s.destination
        WHERE (m.name = 'rswebhook_pending' AND m.value = s.pending)
           OR (m.name = 'rswebhook_attempts_total' AND m.labels ->> 'outcome' = 'delivered' AND m.value = s.delivered)
           OR (m.name = 'rswebhook_state' AND m.labels ->> 'state' = s.state)}), 9, 'metrics are what the status says');
is(monitored(q{SELECT labels ->> 'kind' || ' ' || (labels ->> 'destination') || ' ' || value FROM rswebhook.metrics WHERE name = 'rswebhook_alerts_open'}),
    'destination failing failing 1', 'and which alerts last');
is(monitored(q{SELECT count(*) FROM (SELECT name FROM rswebhook.metrics GROUP BY name HAVING count(DISTINCT (kind, help)) > 1) n}), 0,
    'a metric is of one kind');
is(monitored(q{SELECT count(*) FROM rswebhook.metrics WHERE (kind = 'counter') <> (name LIKE '%\_total')}), 0, 'whose name says which');
is(monitored(q{SELECT count(*) FROM (SELECT FROM rswebhook.metrics GROUP BY name, labels HAVING count(*) > 1) n}), 0, 'each is there once');

my $text = monitored('SET extra_float_digits = -15; SELECT rswebhook_prometheus()');
my $database = 'database="postgres"';
like($text, qr/^# HELP rswebhook_pending Deliveries that are owed\.\n# TYPE rswebhook_pending gauge\n/m, 'as text, it says what it is');
like($text, qr/^rswebhook_attempts_total\{$database,outcome="delivered",destination="a \\"quoted\\" \\\\ name"\} 10$/m, 'labels are quoted');
like($text, qr/^rswebhook_last_delivered_timestamp_seconds\{[^}]*\} \d{10}\.\d+$/m, 'numbers are whole');
unlike($text, qr/s3cret|127\.0\.0\.1/, 'there is no secret and no URL in it');
my @names = $text =~ /^# TYPE (\S+)/mg;
is_deeply([ map { (split /[{ ]/)[0] } grep { !/^#/ } split /\n/, $text ],
    [ map { my $name = $_; ($name) x (() = $text =~ /^$name\{/mg) } sort @names ], 'each metric is in one piece');

# What it reads: the tables of the tally, and the oldest event
$text = monitored(q{BEGIN; SELECT length(rswebhook_prometheus()) > 0;
    SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_stat_xact_all_tables
    WHERE schemaname = 'rswebhook' AND seq_scan + coalesce(idx_scan, 0) > 0 AND relname ~ '^(queue|delivery)'; COMMIT});
is($text, "t\n", 'it reads neither the queue nor deliveries');
query($node, q{INSERT INTO rswebhook.alert (kind, destination_id, message, told, first_at)
    SELECT 'event aborted', 0, 'gone', 1, now() - n * interval '1 s' FROM generate_series(1, 20000) n; ANALYZE rswebhook.alert});
unlike(monitored('EXPLAIN SELECT * FROM rswebhook.metrics'), qr/Seq Scan on alert/, 'nor alerts that are over');

# The histogram, in rows that begin and end with some
is(query($node, qq{SELECT sum(deliveries), max(percent) FROM rswebhook.latency('a "quoted" \\ name')}), '10|100.00', 'the histogram has all deliveries');
is(query($node, qq{SELECT count(*) FROM rswebhook.latency('a "quoted" \\ name') a FULL JOIN rswebhook.latency('a "quoted" \\ name', ever => true) b
    USING (up_to_ms, deliveries, percent, bar) WHERE a IS NULL OR b IS NULL}), 0, 'ever, as of late');
is(query($node, q{SELECT count(*) FROM rswebhook.latency('failing')}), 0, 'of a destination that had none there is none');
query($node, qq{UPDATE rswebhook.tally SET counts[8:55] = array_fill(0, ARRAY[48]) WHERE true;
    UPDATE rswebhook.tally SET counts[8] = 1, counts[9] = 2, counts[10] = 30, counts[12] = 1000, counts[55] = 4 WHERE destination_id = 1});
is(query($node, q{SELECT concat_ws(' ', coalesce(up_to_ms::text, 'more'), deliveries, percent, length(bar)) FROM rswebhook.latency(
        (SELECT name FROM rswebhook.destination WHERE id = 1), ever => true) WHERE deliveries > 0}),
    "0.1 1 0.10 1\n0.2 32 3.18 2\n0.4 1000 99.61 40\nmore 4 100.00 1", 'a bucket is of a doubling, and the last one of all that took longer');

# What Debian has
my %program = map { my $name = $_; $name => (grep { -x } map { "$_/$name" } split /:/, $ENV{PATH})[0] }
  qw(promtool prometheus prometheus-sql-exporter);

# What rules and the dashboard speak of
my @files = map { "$monitoring/$_" } 'rswebhook.rules.yml', 'grafana-dashboard.json';
my %used;
foreach my $file (@files)
{
    my $content = PostgreSQL::Test::Utils::slurp_file($file);

    $used{$_}++ foreach $content =~ /(?<![\w."])(rswebhook_\w+)(?=[{\s)>\[,=])/g;
    $used{$_}++ foreach map { /(rswebhook_\w+)/g } $content =~ /"(?:expr|query|definition)": "([^\n]*)"/g;
}
delete $used{rswebhook_explain};
cmp_ok(keys %used, '>', 15, 'rules and the dashboard use metrics');
my %metric = map { $_ => 1 } @names;
is(join(' ', grep { !$metric{$_} } sort keys %used), '', 'of which each is there');
is(join(' ', grep { !$used{$_} } grep { !/last_error|last_delivered|expired/ } sort keys %metric), '', 'and nearly all that are there');

# One SQL text for both exporters
my ($query, $of_operator) = map { s/^ +//mgr =~ s/current_database\(\) AS database,\n//r } map {
    PostgreSQL::Test::Utils::slurp_file("$monitoring/$_") =~ /query: \|\n(.*?FROM rswebhook\.metrics m\n)/s } 'prometheus-sql-exporter.yml', 'cloudnativepg.yml';
is($query, $of_operator, 'both exporters ask for the same');
my $for_operator = PostgreSQL::Test::Utils::slurp_file("$monitoring/cloudnativepg.yml");
my ($asked) = $for_operator =~ /query: \|\n(.*?FROM rswebhook\.metrics m\n)/s;
my @columns = split /\n/, query($node, "CREATE TEMP VIEW asked AS $asked; SELECT attname FROM pg_attribute WHERE attrelid = 'asked'::regclass AND attnum > 0 ORDER BY attnum");
is_deeply([ $for_operator =~ /^        - (\w+):$/mg ], \@columns, 'CloudNativePG is told of each column');

SKIP: {
    skip 'promtool is not there', 4 unless $program{promtool};
    foreach my $command ("check rules $monitoring/rswebhook.rules.yml", "test rules $monitoring/rswebhook.rules.test.yml",
        "check config $monitoring/prometheus.yml")
    {
        is(system("$program{promtool} $command >&2"), 0, "promtool $command");
    }
    open my $check, '|-', $program{promtool}, 'check', 'metrics' or die "could not run promtool: $!\n";
    print $check query($node, 'SELECT rswebhook_prometheus()'), "\n";
    ok(close $check, 'promtool check metrics');
}

my $rules = PostgreSQL::Test::Utils::slurp_file($files[0]);
is(join(' ', grep { index(PostgreSQL::Test::Utils::slurp_file("$monitoring/rswebhook.rules.test.yml"), $_) < 0 } $rules =~ /alert: (\w+)/g), '',
    'each rule is tested');
is(join(' ', grep { index(PostgreSQL::Test::Utils::slurp_file(source_dir() . '/doc/operations.md'), $_) < 0 } $rules =~ /alert: (\w+)/g), '',
    'and explained');

SKIP: {
    skip 'prometheus or prometheus-sql-exporter is not there', 4 unless $program{prometheus} && $program{'prometheus-sql-exporter'};
    my $dir = temp_dir('monitoring');
    my ($exporter_port, $port) = (unused_port(), unused_port());
    my $connection = sprintf 'postgres://prometheus@/postgres?host=%s&port=%d&sslmode=disable', $node->host, $node->port;

    write_file("$dir/exporter.yml", PostgreSQL::Test::Utils::slurp_file("$monitoring/prometheus-sql-exporter.yml")
          =~ s/'15s'/'1s'/r =~ s/(?<=- ')postgres:[^']*/$connection/r);
    write_file("$dir/prometheus.yml", PostgreSQL::Test::Utils::slurp_file("$monitoring/prometheus.yml")
          =~ s/15s/1s/r =~ s/127\.0\.0\.1:9237/127.0.0.1:$exporter_port/r =~ s,rswebhook\.rules\.yml,$files[0],r);
    Child::start(sub { run("$dir/exporter.log", $program{'prometheus-sql-exporter'}, '-config.file', "$dir/exporter.yml",
                '-web.listen-address', "127.0.0.1:$exporter_port") });
    Child::start(sub { run("$dir/prometheus.log", $program{prometheus}, "--config.file=$dir/prometheus.yml", "--storage.tsdb.path=$dir/data",
                "--web.listen-address=127.0.0.1:$port") });
    my $missing;

    ok(wait_for('the metrics', sub {
                my %there = map { $_ => 1 } @{ answer($port, '/api/v1/label/__name__/values') // [] };

                $missing = join ' ', grep { !$there{$_} } sort keys %used;
                return $missing eq '';
            }), 'Prometheus has all metrics that rules and the dashboard use')
      or diag("$missing\n", map { PostgreSQL::Test::Utils::slurp_file("$dir/$_") } 'exporter.log', 'prometheus.log');
    my ($series) = @{ (answer($port, '/api/v1/query?query=rswebhook_pending%7Bdestination%3D%22failing%22%7D') // {})->{result} // [] };
    is($series->{value}[1], 10, 'with their values');
    is(join(' ', sort keys %{ $series->{metric} }), '__name__ database destination instance job', 'and labels');
    ok(wait_for('the rules', sub {
                my @rules = map { @{ $_->{rules} } } @{ (answer($port, '/api/v1/rules') // {})->{groups} // [] };

                return @rules > 0 && !grep { $_->{health} ne 'ok' } @rules;
            }), 'all rules can be evaluated');
}

$node->stop;
done_testing();

sub run
{
    my ($log, @command) = @_;

    open STDOUT, '>', $log or die "could not write: $!\n";
    open STDERR, '>&', \*STDOUT or die "could not write: $!\n";
    exec @command or die "could not run $command[0]: $!\n";
}

# What Prometheus answers; undef: nothing yet.
sub answer
{
    my ($port, $path) = @_;
    my $response = HTTP::Tiny->new(timeout => 10)->get("http://127.0.0.1:$port$path");

    return $response->{success} ? $json->decode($response->{content})->{data} : undef;
}
