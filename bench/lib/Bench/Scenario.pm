# Bench::Scenario
#     The scenarios: what bench/README.md says, in its order.
#
# Each gets { size, session, result, dir } and alternates between the ways, so
# that a change of the machine's mood meets all of them.  Each dies if an event
# was lost or arrived twice.
#
# Copyright (c) 2026, the rswebhook maintainers

package Bench::Scenario;

use strict;
use warnings;

use Bench::Process;
use Bench::Receiver;
use Bench::Result;
use Bench::Way;
use Time::HiRes qw(time sleep);

my $ours = 'rswebhook';
my $ceiling = 'ceiling (no database)';
my @with_queue = qw(outbox graphile pgboss pg_net);
my @order = qw(throughput latency send backlog neighbours old_snapshot ordered transform idle);
my %code = (
    throughput => \&throughput, latency => \&latency, send => \&send_,
    backlog => \&backlog, neighbours => \&neighbours, old_snapshot => \&old_snapshot,
    ordered => \&ordered, transform => \&transform, idle => \&idle);

sub names { return @order; }

sub run
{
    my ($name, $bench) = @_;

    $bench->{result}->begin($name);
    $code{$name}->($bench);
    return;
}

# ---------------------------------------------------------------------
# What several of them need
# ---------------------------------------------------------------------

# The same start for every run
sub settle
{
    my ($bench) = @_;

    $bench->{session}->query('VACUUM ANALYZE pg_class, pg_attribute; CHECKPOINT;');
    return;
}

# Queue events in one transaction, and have them delivered; returns the time
# from before COMMIT to the last arrival in seconds.
sub drain
{
    my ($bench, $way, $receiver, $count, $look) = @_;

    $receiver->forget;
    $bench->{session}->query('BEGIN; ' . $way->enqueue(Bench::Way::events($count)));
    my $start = time;
    $bench->{session}->query('COMMIT');
    my $end = $receiver->wait_for($count, 60 + $count / 200, $look);
    return $end - $start;
}

# Requests a second, and CPU microseconds a request, of the ceiling program;
# the bodies are those that rswebhook sends.
sub ceiling_rate
{
    my ($bench, $receiver, $count) = @_;
    my $bodies = bodies($bench, 1000);
    my $program = Bench::Process->start("$bench->{dir}/bin/ceiling", $receiver->url, $bodies,
        $count, $Bench::Way::in_flight);
    my ($seconds, $good, $bad, $cpu) = split ' ', $program->line;

    $program->finish;
    die "the ceiling program had $bad failures\n" if $bad || $good != $count;
    return ($count / $seconds, $cpu / $count * 1e6);
}

sub bodies
{
    my ($bench, $count) = @_;
    my $path = "$bench->{dir}/bodies";

    open(my $file, '>', $path) or die "cannot write $path: $!\n";
    print $file $bench->{session}->query(
        q{SELECT rswebhook.wire(e.event, '{"webhookUrl": "http://127.0.0.1/"}') ->> 'body' FROM (}
          . Bench::Way::events($count) . ') e'), "\n";
    close $file;
    return $path;
}

# Sorted milliseconds from COMMIT's return to arrival, of what $clients
# sessions send one by one; with the clients' own times the other way round.
sub send_steadily
{
    my ($bench, $statement, $receiver, $count, $rate, $clients, $meanwhile) = @_;
    my @clients;
    my $run = ++$bench->{run};

    $receiver->forget;
    for my $i (1 .. $clients)
    {
        my $log = "$bench->{dir}/sent.$run.$i";
        push @clients, [
            Bench::Process->start("$bench->{dir}/bin/client", $statement, Bench::Way::event_file(),
                "r$run-$i-", int($count / $clients), $rate / $clients, $log), $log ];
    }
    $meanwhile->() if $meanwhile;
    $_->[0]->finish foreach @clients;
    $receiver->wait_for(int($count / $clients) * $clients, 60);
    return latencies($receiver, map { $_->[1] } @clients);
}

# [sent, latency] of each, in the order of sending; ms
sub latencies
{
    my ($receiver, @logs) = @_;
    my $arrival = $receiver->times;
    my @pairs;

    foreach my $path (@logs)
    {
        open(my $log, '<', $path) or die "cannot read $path: $!\n";
        while (my $line = <$log>)
        {
            chomp $line;
            my ($id, @times) = split /\t/, $line;
            die "event \"$id\" did not arrive\n" unless $arrival->{$id};
            push @pairs, [ $times[0] / 1e6, ($arrival->{$id} - $times[-1]) / 1e6 ];
        }
        close $log;
        unlink $path;
    }
    return [ sort { $a->[0] <=> $b->[0] } @pairs ];
}

sub sorted_latencies
{
    my ($pairs) = @_;

    return [ sort { $a <=> $b } map { $_->[1] } @$pairs ];
}

sub add_percentiles
{
    my ($bench, $scenario, $prefix, $title, $sorted) = @_;

    foreach my $percent (50, 99)
    {
        $bench->{result}->add($scenario, "${prefix}p$percent", 'ms', $title,
            Bench::Result::percentile($sorted, $percent));
    }
    return;
}

# ---------------------------------------------------------------------
# The scenarios
# ---------------------------------------------------------------------

sub throughput
{
    my ($bench) = @_;
    my ($result, $count) = ($bench->{result}, $bench->{size}{throughput});
    my $warm_up = $count < 3000 ? $count : 3000;
    my $receiver = Bench::Receiver->nginx($bench->{dir});
    my @ways = Bench::Way->available($result, 'throughput', 'rswebhook', @with_queue);

    for (1 .. $bench->{size}{rounds})
    {
        my ($rate, $cpu) = ceiling_rate($bench, $receiver, $count);
        $result->add('throughput', 'rate', 'events/s', $ceiling, $rate);
        $result->add('throughput', 'sender CPU', 'us/event', $ceiling, $cpu);
        foreach my $way (@ways)
        {
            my $is_ours = $way->{name} eq 'rswebhook';

            $way->start($receiver);
            drain($bench, $way, $receiver, $warm_up);
            settle($bench);
            my $pid = $is_ours ? Bench::Way::worker() : $way->{process} ? $way->{process}{pid} : undef;
            my $before = $pid && Bench::Process::cpu_seconds($pid);
            my $seconds = drain($bench, $way, $receiver, $count);
            Bench::Way::check_delivered($warm_up + $count, 'bench') if $is_ours;
            $result->add('throughput', 'sender CPU', 'us/event', $way->{title},
                (Bench::Process::cpu_seconds($pid) - $before) / $count * 1e6) if $pid;
            $result->add('throughput', 'rate', 'events/s', $way->{title}, $count / $seconds);
            die "$way->{title} sent some events twice\n" if $receiver->arrived > $count;
            $way->stop;
        }
    }
    $receiver->stop;
    $result->compare('throughput', what => 'rate', way => $ours, against => $ceiling,
        how => 'ratio', goal => [ '>=', 0.6 ]);
    foreach my $way (@ways)
    {
        next if $way->{name} eq 'rswebhook';
        $result->compare('throughput', what => 'rate', way => $ours,
            against => $way->{title}, how => 'ratio', goal => [ '>=', 1.3 ]);
    }
    return;
}

sub latency
{
    my ($bench) = @_;
    my ($result, $size) = ($bench->{result}, $bench->{size});
    my @loads = ([ 'idle', $size->{latency}, $size->{latency_rate}, 1 ],
        [ 'busy', $size->{busy}, $size->{busy_rate}, 2 ]);
    my @ways = Bench::Way->available($result, 'latency', 'rswebhook', @with_queue);
    my %all;

    for (1 .. $size->{rounds})
    {
        foreach my $load (@loads)
        {
            my ($name, $count, $rate, $clients) = @$load;
            my $receiver = Bench::Receiver->clock($bench->{dir});
            my $log = "$bench->{dir}/sent.ceiling";
            my $program = Bench::Process->start("$bench->{dir}/bin/ceiling", $receiver->url,
                bodies($bench, $count), $count, 1, $rate, $log);

            $program->line;
            $program->finish;
            my $sorted = sorted_latencies(latencies($receiver, $log));
            push @{ $all{"$name: $ceiling"} }, @$sorted;
            add_percentiles($bench, 'latency', "$name ", $ceiling, $sorted);
            $receiver->stop;
        }
        foreach my $way (@ways)
        {
            my $receiver = Bench::Receiver->clock($bench->{dir});

            $way->start($receiver);
            # connections are made and plans cached before it counts
            send_steadily($bench, $way->statement('send'), $receiver, 20, 100, 1);
            foreach my $load (@loads)
            {
                my ($name, @load) = @$load;
                my $sorted = sorted_latencies(
                    send_steadily($bench, $way->statement('send'), $receiver, @load));
                push @{ $all{"$name: $way->{title}"} }, @$sorted;
                add_percentiles($bench, 'latency', "$name ", $way->{title}, $sorted);
            }
            $way->stop;
            $receiver->stop;
        }
    }
    foreach my $name (keys %all)
    {
        my @sorted = sort { $a <=> $b } @{ $all{$name} };
        $result->curve('latency', $name,
            [ map { [ Bench::Result::percentile(\@sorted, $_), $_ ] } 0 .. 99, 99.5, 99.9 ]);
    }
    foreach my $goal ([ 'idle p50', 1 ], [ 'idle p99', 3 ], [ 'busy p50', 1 ], [ 'busy p99', 3 ])
    {
        $result->compare('latency', what => $goal->[0], way => $ours, against => $ceiling,
            how => 'difference', goal => [ '<=', $goal->[1] ]);
    }
    return;
}

sub pgbench_rate
{
    my ($bench, $sql) = @_;
    my $path = "$bench->{dir}/script.sql";

    open(my $script, '>', $path) or die "cannot write $path: $!\n";
    print $script "$sql;\n";
    close $script;
    my $pgbench = Bench::Process->start('pgbench', '-n', '-M', 'prepared', '-c', 4, '-j', 2,
        '-T', $bench->{size}{send_seconds}, '-f', $path);
    my $rate;
    while (defined(my $line = readline $pgbench->{out}))
    {
        $rate = $1 if $line =~ /^tps = ([0-9.]+)/;
    }
    $pgbench->finish;
    return $rate;
}

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

sub backlog
{
    my ($bench) = @_;
    my ($result, $size) = ($bench->{result}, $bench->{size});
    my $receiver = Bench::Receiver->nginx($bench->{dir});
    my $way = Bench::Way->new('rswebhook');
    my ($small, $large) = ("$size->{backlog_small} queued", "$size->{backlog_large} queued");
    my @curve;

    for (1 .. $size->{rounds})
    {
        foreach my $count ($size->{backlog_small}, $size->{backlog_large})
        {
            my ($memory, $last, @points) = (0, undef);

            $way->start($receiver);
            settle($bench);
            my $pid = Bench::Way::worker();
            my $look = sub {
                my ($now, $arrived) = @_;

                if (!$last || $now - $last->[0] >= 0.25 || $arrived >= $count)
                {
                    $memory = Bench::Result::percentile(
                        [ sort { $a <=> $b } $memory, Bench::Process::memory_mb($pid) ], 100);
                    push @points, [ $count - $arrived, ($arrived - $last->[1]) / ($now - $last->[0]) ]
                      if $last && $now > $last->[0];
                    $last = [ $now, $arrived ];
                }
            };
            my $seconds = drain($bench, $way, $receiver, $count, $look);
            Bench::Way::check_delivered($count, 'bench');
            $result->add('backlog', "rate, $count queued", 'events/s', $ours, $count / $seconds);
            $result->add('backlog', "worker's memory, $count queued", 'MB', $ours, $memory);
            @curve = @points if $count == $size->{backlog_large};
            $way->stop;
        }
    }
    $receiver->stop;
    $result->curve('backlog', 'rate', \@curve);
    $result->compare('backlog', what => "rate, $large", way => $ours,
        against_what => "rate, $small", how => 'ratio', goal => [ '>=', 0.95 ]);
    $result->compare('backlog', what => "worker's memory, $large", way => $ours,
        against_what => "worker's memory, $small", how => 'difference', goal => [ '<=', 20 ]);
    $result->compare('backlog', what => "worker's memory, $large", way => $ours,
        how => 'value', goal => [ '<=', 100 ]);
    return;
}

# Nine destinations of ten never answer.
sub neighbours
{
    my ($bench) = @_;
    my ($result, $session, $size) = @$bench{qw(result session size)};
    my $way = Bench::Way->new('rswebhook');
    my $count = $size->{neighbours};

    for (1 .. $size->{rounds})
    {
        foreach my $title ('alone', 'with nine dead neighbours')
        {
            my $receiver = Bench::Receiver->clock($bench->{dir});

            $way->start($receiver);
            if ($title ne 'alone')
            {
                foreach my $i (1 .. 9)
                {
                    Bench::Way::destination("dead$i", $receiver->url("/hang/$i"));
                    $session->query("SELECT count(rswebhook_send(e.event, 'dead$i')) FROM ("
                          . Bench::Way::events($size->{neighbours_dead}) . ') e');
                }
                sleep 0.5;
            }
            settle($bench);
            $result->add('neighbours', 'rate', 'events/s', $title,
                $count / drain($bench, $way, $receiver, $count));
            my $pairs = send_steadily($bench, $way->statement('send'), $receiver,
                $size->{neighbours_rate} * 2, $size->{neighbours_rate}, 2);
            add_percentiles($bench, 'neighbours', '', $title, sorted_latencies($pairs));
            Bench::Way::check_delivered($count + 2 * $size->{neighbours_rate}, 'bench');

            # ends the requests that hang
            $receiver->stop;
            $way->stop;
        }
    }
    $result->compare('neighbours', what => 'rate', way => 'with nine dead neighbours',
        against => 'alone', how => 'ratio', goal => [ '>=', 0.95 ]);
    $result->compare('neighbours', what => 'p99', way => 'with nine dead neighbours',
        against => 'alone', how => 'ratio', goal => [ '<=', 1.5 ]);
    return;
}

# The first and the last fifth of the time that somebody holds a snapshot.  In
# between, statistics are taken while nearly nothing is queued, as autovacuum
# does sooner or later: plans must not come to believe that the table is small.
sub old_snapshot
{
    my ($bench) = @_;
    my ($result, $size) = @$bench{qw(result size)};
    my $way = Bench::Way->new('rswebhook');
    my $count = $size->{snapshot_rate} * $size->{snapshot_seconds};

    for (1 .. $size->{snapshot_rounds})
    {
        my $receiver = Bench::Receiver->clock($bench->{dir});
        my $holder = Bench::Session->new;

        $way->start($receiver);
        settle($bench);
        $holder->query('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class;');
        my $pairs = send_steadily($bench, $way->statement('send'), $receiver, $count,
            $size->{snapshot_rate}, 4, sub {
                sleep $size->{snapshot_seconds} / 5;
                $bench->{session}->query('ANALYZE rswebhook.queue, rswebhook.event');
            });
        $holder->query('COMMIT');
        Bench::Way::check_delivered($count, 'bench');
        $way->stop;
        $receiver->stop;

        my $fifth = int(@$pairs / 5);
        my %part = ('first fifth' => [ @$pairs[ 0 .. $fifth - 1 ] ],
            'last fifth' => [ @$pairs[ -$fifth .. -1 ] ]);
        foreach my $title (sort keys %part)
        {
            my @arrivals = sort { $a <=> $b } map { $_->[0] + $_->[1] } @{ $part{$title} };
            $result->add('old_snapshot', 'rate', 'events/s', $title,
                $#arrivals / ($arrivals[-1] - $arrivals[0]) * 1000);
            add_percentiles($bench, 'old_snapshot', '', $title, sorted_latencies($part{$title}));
        }
        snapshot_curves($result, $pairs);
    }
    $result->compare('old_snapshot', what => 'rate', way => 'last fifth',
        against => 'first fifth', how => 'ratio', goal => [ '>=', 0.98 ]);
    $result->compare('old_snapshot', what => 'p99', way => 'last fifth',
        against => 'first fifth', how => 'ratio', goal => [ '<=', 1.2 ]);
    return;
}

# By the second: arrivals, and the 99th percentile of what was sent in it
sub snapshot_curves
{
    my ($result, $pairs) = @_;
    my $start = $pairs->[0][0];
    my (%arrivals, %latencies, $last);

    foreach my $pair (@$pairs)
    {
        $arrivals{ int(($pair->[0] + $pair->[1] - $start) / 1000) }++;
        push @{ $latencies{ int(($pair->[0] - $start) / 1000) } }, $pair->[1];
    }
    # the last second is not a whole one
    ($last) = sort { $b <=> $a } keys %arrivals;
    $result->curve('old_snapshot', 'rate',
        [ map { [ $_, $arrivals{$_} // 0 ] } 0 .. $last - 1 ]);
    $result->curve('old_snapshot', 'p99', [
            map { [ $_, Bench::Result::percentile([ sort { $a <=> $b } @{ $latencies{$_} } ], 99) ] }
            grep { $latencies{$_} } 0 .. $last - 1 ]);
    return;
}

sub ordered
{
    my ($bench) = @_;
    my ($result, $count) = ($bench->{result}, $bench->{size}{ordered});
    my $receiver = Bench::Receiver->nginx($bench->{dir});
    my $way = Bench::Way->new('rswebhook');

    for (1 .. $bench->{size}{rounds})
    {
        foreach my $title ('unordered', 'ordered')
        {
            $way->start($receiver, ordered => $title eq 'ordered' ? 'true' : 'false');
            settle($bench);
            $result->add('ordered', 'rate, 1000 users', 'events/s', $title,
                $count / drain($bench, $way, $receiver, $count));
            Bench::Way::check_delivered($count, 'bench');
            $way->stop;
        }
    }
    $receiver->stop;
    $result->compare('ordered', what => 'rate, 1000 users', way => 'ordered',
        against => 'unordered', how => 'ratio', goal => [ '>=', 0.9 ]);
    return;
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
        my %pid = (worker => Bench::Way::worker(), launcher => Bench::Way::launcher());
        my %cpu = map { $_ => Bench::Process::cpu_seconds($pid{$_}) } keys %pid;
        my %wakes = map { $_ => Bench::Process::wake_ups($pid{$_}) } keys %pid;

        sleep $seconds;
        foreach my $title (qw(worker launcher))
        {
            $result->add('idle', 'CPU', '%', $title,
                (Bench::Process::cpu_seconds($pid{$title}) - $cpu{$title}) / $seconds * 100);
            $result->add('idle', 'wake-ups', 'a minute', $title,
                (Bench::Process::wake_ups($pid{$title}) - $wakes{$title}) / $seconds * 60);
        }
    }
    $way->stop;
    $receiver->stop;
    foreach my $title (qw(worker launcher))
    {
        $result->compare('idle', what => 'CPU', way => $title, how => 'value', goal => [ '<=', 0.1 ]);
    }
    return;
}

1;
