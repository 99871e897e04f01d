# Bench::Scenario::Cost
#     What it costs the database: send, prepared, transform, idle.
#
# Copyright (c) 2026, the rswebhook maintainers

package Bench::Scenario::Cost;

use strict;
use warnings;

use Bench::Load qw($ours settle drain);
use Bench::Process;
use Bench::Receiver;
use Bench::Session;
use Bench::Way;
use Time::HiRes qw(time sleep);

# Named so because send is Perl's own.
sub send_
{
    my ($bench) = @_;
    my ($result, $session, $rows) = (@$bench{qw(result session)}, $bench->{size}{send_rows});
    my $event = $session->query('SELECT bench.event(1)');
    my $receiver = Bench::Receiver->nginx($bench->{dir});
    my $way = Bench::Way->new('rswebhook');
    my %sql = (
        'plain INSERT' => [
            "INSERT INTO bench.plain (event) VALUES ('$event'::jsonb)",
            'INSERT INTO bench.plain (event) SELECT e.event FROM bench.source e' ],
        $ours => [
            "SELECT rswebhook_send('$event'::jsonb, 'bench')",
            $way->enqueue('SELECT event FROM bench.source') ]);

    $session->query('CREATE TABLE bench.source AS ' . Bench::Way::events($rows)
          . '; VACUUM ANALYZE bench.source');
    for (1 .. $bench->{size}{rounds})
    {
        # paused: what is measured is sending, not delivering beside it
        foreach my $title (sort keys %sql)
        {
            my ($one, $many) = @{ $sql{$title} };

            $way->start($receiver, paused => 'true');
            settle($bench);
            $result->add('send', 'one a transaction', 'tx/s', $title, pgbench_rate($bench, $one));
            settle($bench);
            my $start = time;
            $session->query("BEGIN; $many; COMMIT");
            $result->add('send', "$rows at once", 's', $title, time - $start);
            $way->stop;
            $session->query('TRUNCATE bench.plain');
        }

        $way->start($receiver);
        settle($bench);
        $result->add('send', 'one a transaction, delivered meanwhile', 'tx/s', $ours,
            pgbench_rate($bench, $sql{$ours}[0]));
        $way->stop;
    }
    $session->query('DROP TABLE bench.source');
    $receiver->stop;
    $result->compare('send', what => 'one a transaction', way => $ours,
        against => 'plain INSERT', how => 'ratio', goal => [ '>=', 0.85 ]);
    $result->compare('send', what => "$rows at once", way => $ours,
        against => 'plain INSERT', how => 'ratio', goal => [ '<=', 2.5 ]);
    return;
}

# COMMIT PREPARED, beside the same server without the library; and while somebody
# holds many locks, of which it must not make a list.
sub prepared
{
    my ($bench) = @_;
    my ($result, $session, $size) = @$bench{qw(result session size)};
    my $event = $session->query('SELECT bench.event(1)');
    my $receiver = Bench::Receiver->nginx($bench->{dir});
    my $way = Bench::Way->new('rswebhook');
    my $insert = "INSERT INTO bench.plain (event) VALUES ('$event'::jsonb)";
    my @whats = ([ 'no other locks', 0 ], [ "$size->{prepared_locks} locks", $size->{prepared_locks} ]);
    my %sql = (
        'no library' => $insert,
        "$ours, no send" => $insert,
        "$ours, a send" => "SELECT rswebhook_send('$event'::jsonb, 'bench')");

    for (1 .. $size->{rounds})
    {
        foreach my $title (reverse sort keys %sql)
        {
            my $without = $title eq 'no library';

            if ($without) { Bench::Way::restart_without() }
            else { $way->start($receiver, paused => 'true') }
            foreach my $what (@whats)
            {
                my $holder = Bench::Session->new;

                $holder->query("BEGIN; SELECT count(pg_advisory_xact_lock(n)) FROM generate_series(1, $what->[1]) n");
                settle($bench);
                $result->add('prepared', "COMMIT PREPARED, $what->[0]", 'ms', $title,
                    commit_prepared_ms($bench, $sql{$title}));
            }
            if ($without) { Bench::Way::restart($ENV{BENCH_WORKERS}) }
            else { $way->stop }
            $session->query('TRUNCATE bench.plain');
        }
    }
    $receiver->stop;
    foreach my $what (@whats)
    {
        foreach my $title ("$ours, no send", "$ours, a send")
        {
            $result->compare('prepared', what => "COMMIT PREPARED, $what->[0]", way => $title,
                against => 'no library', how => 'ratio', goal => [ '<=', 1.2 ]);
        }
    }
    return;
}

# What one session waits for it, the median as psql shows it
sub commit_prepared_ms
{
    my ($bench, $sql) = @_;
    my $path = "$bench->{dir}/script.sql";
    my @times;

    open(my $script, '>', $path) or die "cannot write $path: $!\n";
    print $script "PREPARE one AS $sql;\n\\timing on\n",
      "BEGIN;\nEXECUTE one;\nPREPARE TRANSACTION 'bench';\nCOMMIT PREPARED 'bench';\n" x $bench->{size}{prepared};
    close $script;
    my $psql = Bench::Process->start('psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-f', $path);
    while (defined(my $line = readline $psql->{out}))
    {
        push @times, $1 if $line =~ /^Time: ([0-9.]+) ms/;
    }
    $psql->finish;
    my @commits = sort { $a <=> $b } @times[ grep { $_ % 4 == 3 } 0 .. $#times ];
    die "there were not as many as there should be\n" unless @commits == $bench->{size}{prepared};
    return $commits[ $#commits / 2 ];
}

sub pgbench_rate
{
    my ($bench, $sql) = @_;
    my $path = "$bench->{dir}/script.sql";

    open(my $script, '>', $path) or die "cannot write $path: $!\n";
    print $script "$sql;\n";
    close $script;
    my $pgbench = Bench::Process->start('pgbench', '-n', '-M', 'prepared', '-c', 4, '-j', 2,
        @{ $bench->{size}{send} }, '-f', $path);
    my $rate;
    while (defined(my $line = readline $pgbench->{out}))
    {
        $rate = $1 if $line =~ /^tps = ([0-9.]+)/;
    }
    $pgbench->finish;
    return $rate;
}

# One session, the worker idle: one core.
sub transform
{
    my ($bench) = @_;
    my ($result, $session, $calls) = (@$bench{qw(result session)}, $bench->{size}{transform});
    my %function = ($ours => [ 'rswebhook_transform', $calls ],
        'PL/pgSQL' => [ 'bench.transform', int($calls / 20) ]);
    my @whats;

    $session->query("\\i $bench->{dir}/tree/bench/transform.sql");
    $session->query(<<"SQL");
CREATE TABLE bench.payload (what text, event jsonb, config jsonb);
ALTER TABLE bench.payload ALTER event SET STORAGE PLAIN;
SQL
    foreach my $method (qw(POST GET))
    {
        $session->query(<<"SQL");
INSERT INTO bench.payload
    SELECT e ->> 'type' || ' $method', e, jsonb_build_object('webhookUrl',
        'https://example.com/hook', 'webhookMethod', '$method',
        'headers', '[{"from": "X-Key", "to": "value"}]'::jsonb)
    FROM jsonb_array_elements(pg_read_file('$bench->{dir}/tree/examples/samples.json')::jsonb) e;
SQL
    }
    my $different = $session->query(<<'SQL');
SELECT string_agg(what, ', ') FROM bench.payload
WHERE rswebhook_transform(event, config) IS DISTINCT FROM bench.transform(event, config);
SQL
    die "the yardstick differs for $different\n" if $different;
    @whats = split /\n/, $session->query('SELECT what FROM bench.payload ORDER BY what');

    for (1 .. $bench->{size}{rounds})
    {
        foreach my $what (@whats)
        {
            foreach my $title (sort keys %function)
            {
                my ($function, $times) = @{ $function{$title} };
                my $start = time;
                $session->query("SELECT count($function(p.event, p.config))"
                      . " FROM bench.payload p, generate_series(1, $times) WHERE p.what = '$what'");
                $result->add('transform', $what, 'events/s', $title, $times / (time - $start));
            }
        }
    }
    foreach my $what (@whats)
    {
        $result->compare('transform', what => $what, way => $ours, how => 'value',
            goal => [ '>=', 350_000 ]);
        $result->compare('transform', what => $what, way => $ours, against => 'PL/pgSQL',
            how => 'ratio', goal => [ '>=', 15 ]);
    }
    return;
}

sub idle
{
    my ($bench) = @_;
    my ($result, $seconds) = ($bench->{result}, $bench->{size}{idle_seconds});
    my $receiver = Bench::Receiver->nginx($bench->{dir});
    my $way = Bench::Way->new('rswebhook');

    $way->start($receiver);
    drain($bench, $way, $receiver, 100);
    Bench::Way::check_delivered(100, 'bench');
    for (1 .. $bench->{size}{rounds})
    {
        my %pids = (workers => [ Bench::Way::workers() ], launcher => [ Bench::Way::launcher() ]);
        my %cpu = map { $_ => Bench::Process::cpu_seconds(@{ $pids{$_} }) } keys %pids;
        my %wakes = map { $_ => Bench::Process::wake_ups(@{ $pids{$_} }) } keys %pids;

        sleep $seconds;
        foreach my $title (qw(workers launcher))
        {
            $result->add('idle', 'CPU', '%', $title,
                (Bench::Process::cpu_seconds(@{ $pids{$title} }) - $cpu{$title}) / $seconds * 100);
            $result->add('idle', 'wake-ups', 'a minute', $title,
                (Bench::Process::wake_ups(@{ $pids{$title} }) - $wakes{$title}) / $seconds * 60);
        }
    }
    $way->stop;
    $receiver->stop;
    foreach my $title (qw(workers launcher))
    {
        $result->compare('idle', what => 'CPU', way => $title, how => 'value', goal => [ '<=', 0.1 ]);
    }
    return;
}

1;

1;
