# Bench::Scenario::Latency
#     How soon after COMMIT an event arrives: latency, neighbours, old_snapshot.
#
# Copyright (c) 2026, the rswebhook maintainers

package Bench::Scenario::Latency;

use strict;
use warnings;

use Bench::Load qw($ours $ceiling @with_queue settle drain bodies send_steadily latencies
  sorted_latencies add_percentiles);
use Bench::Process;
use Bench::Receiver;
use Bench::Result;
use Bench::Session;
use Bench::Way;
use Time::HiRes qw(sleep time);

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
                $size->{neighbours_steadily}, $size->{neighbours_rate}, 2);
            add_percentiles($bench, 'neighbours', '', $title, sorted_latencies($pairs));
            Bench::Way::check_delivered($count + $size->{neighbours_steadily}, 'bench');

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
    dead_rows($bench);
    $result->compare('old_snapshot', what => 'rate', way => 'last fifth',
        against => 'first fifth', how => 'ratio', goal => [ '>=', 0.98 ]);
    $result->compare('old_snapshot', what => 'p99', way => 'last fifth',
        against => 'first fifth', how => 'ratio', goal => [ '<=', 1.2 ]);
    return;
}

# What reads at the front of a queue where only dead rows are: how long do events
# of another destination wait meanwhile, and how soon is the worker back?
sub dead_rows
{
    my ($bench) = @_;
    my ($result, $session, $size) = @$bench{qw(result session size)};
    my $way = Bench::Way->new('rswebhook');
    my $receiver = Bench::Receiver->clock($bench->{dir});
    my $holder = Bench::Session->new;
    my $title = "$size->{snapshot_dead} dead rows";
    my %doing = (
        'resume' => sub {
            $session->query("SELECT rswebhook_pause('bench'); SELECT rswebhook_resume('bench')");
        },
        'COMMIT PREPARED' => sub {
            $session->query("BEGIN; SELECT rswebhook_send(event, 'bench') FROM ("
                  . Bench::Way::events(1) . ") e; PREPARE TRANSACTION 'bench'; COMMIT PREPARED 'bench'");
        },
        'sweep' => sub { });

    $way->start($receiver);
    Bench::Way::destination('other', $receiver->url, max_in_flight => 32, ordered => 'false');
    drain($bench, $way, $receiver, 100);
    $holder->query('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class');
    make_dead_rows($session, $size->{snapshot_dead});
    drain($bench, $way, $receiver, 100);
    await_floor($session, $size->{snapshot_dead});

    foreach my $what ('resume', 'COMMIT PREPARED')
    {
        $result->add('old_snapshot', "others' longest wait, $what", 'ms', $title,
            send_to_other($bench, $receiver, $size->{dead_seconds} / 3, $doing{$what},
                $what eq 'COMMIT PREPARED' ? 1 : 0));
    }

    # events, since who starts reads them first
    my $start = time;
    $session->query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'rswebhook worker'");
    drain($bench, $way, $receiver, 100);
    $result->add('old_snapshot', 'worker is back', 's', $title, time - $start);

    # a worker that has started looks for what nobody told of
    $result->add('old_snapshot', q{others' longest wait, sweep}, 'ms', $title,
        send_to_other($bench, $receiver, $size->{dead_seconds}, $doing{sweep}));
    $holder->query('COMMIT');
    $way->stop;
    $receiver->stop;
    foreach my $what (sort keys %doing)
    {
        $result->compare('old_snapshot', what => "others' longest wait, $what", way => $title,
            how => 'value', goal => [ '<=', 200 ]);
    }
    $result->compare('old_snapshot', what => 'worker is back', way => $title,
        how => 'value', goal => [ '<=', 2 ]);
    return;
}

# As if so many had been delivered since the snapshot was taken
sub make_dead_rows
{
    my ($session, $count) = @_;
    my $at_once = 1_000_000;

    for (my $done = 0; $done < $count; $done += $at_once)
    {
        my $n = $count - $done < $at_once ? $count - $done : $at_once;

        $session->query(<<"SQL");
INSERT INTO rswebhook.queue (destination_id, event_slot, event_id, queued_at)
    SELECT d.id, 0, s.last_value + n, now()
    FROM generate_series(1, $n) n, rswebhook.destination d, rswebhook.event_id_seq s
    WHERE d.name = 'bench';
DELETE FROM rswebhook.queue;
SELECT setval('rswebhook.event_id_seq', last_value + $n + 1) FROM rswebhook.event_id_seq;
SQL
    }
    return;
}

# Had they been delivered one after the other, the worker would know already where
# the queue begins; it looks while something is delivered.
sub await_floor
{
    my ($session, $count) = @_;

    for (1 .. 3000)
    {
        $session->query('SELECT rswebhook_send(event, \'other\') FROM (' . Bench::Way::events(1) . ') e');
        return if $count < 100_000 || $session->query(<<"SQL") eq 't';
SELECT f.after_id > s.last_value - 100000
FROM rswebhook.event_id_seq s, rswebhook.floor f JOIN rswebhook.destination d ON d.id = f.destination_id
WHERE d.name = 'bench'
SQL
        sleep 0.2;
    }
    die "the worker did not find where the queue begins\n";
}

# Events for another destination, for some seconds: the longest latency in ms
sub send_to_other
{
    my ($bench, $receiver, $seconds, $meanwhile, $others) = @_;
    my $sorted = sorted_latencies(send_steadily($bench,
            q{SELECT rswebhook_send($1::jsonb, 'other')}, $receiver, int($seconds * 100), 100, 1,
            sub { sleep 1; $meanwhile->() }, $others));

    return $sorted->[-1];
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

1;

1;
