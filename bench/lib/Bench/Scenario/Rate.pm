# Bench::Scenario::Rate
#     How many events a second are delivered: throughput, backlog, ordered.
#
# Copyright (c) 2026, the rswebhook maintainers

package Bench::Scenario::Rate;

use strict;
use warnings;

use Bench::Load qw($ours $ceiling @with_queue settle drain ceiling_rate);
use Bench::Process;
use Bench::Receiver;
use Bench::Result;
use Bench::Way;

sub throughput
{
    my ($bench) = @_;
    my ($result, $count) = ($bench->{result}, $bench->{size}{throughput});
    my $warm_up = $count < 3000 ? $count : 3000;
    my $receiver = Bench::Receiver->nginx($bench->{dir});
    my @ways = Bench::Way->available($result, 'throughput', 'rswebhook', 'rswebhook_one',
        'outbox_many', @with_queue);

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
            my @pids = $way->senders;
            my $before = Bench::Process::cpu_seconds(@pids);
            my $seconds = drain($bench, $way, $receiver, $count);
            Bench::Way::check_delivered($warm_up + $count, 'bench') if $is_ours;
            $result->add('throughput', 'sender CPU', 'us/event', $way->{title},
                (Bench::Process::cpu_seconds(@pids) - $before) / $count * 1e6) if @pids;
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
            my @pids = Bench::Way::workers();
            my $look = sub {
                my ($now, $arrived) = @_;

                if (!$last || $now - $last->[0] >= 0.25 || $arrived >= $count)
                {
                    $memory = Bench::Result::percentile(
                        [ sort { $a <=> $b } $memory, Bench::Process::memory_mb(@pids) ], 100);
                    push @points, [ $count - $arrived, ($arrived - $last->[1]) / ($now - $last->[0]) ]
                      if $last && $now > $last->[0];
                    $last = [ $now, $arrived ];
                }
            };
            my $seconds = drain($bench, $way, $receiver, $count, $look);
            Bench::Way::check_delivered($count, 'bench');
            $result->add('backlog', "rate, $count queued", 'events/s', $ours, $count / $seconds);
            $result->add('backlog', "workers' memory, $count queued", 'MB', $ours, $memory);
            @curve = @points if $count == $size->{backlog_large};
            $way->stop;
        }
    }
    $receiver->stop;
    $result->curve('backlog', 'rate', \@curve);
    $result->compare('backlog', what => "rate, $large", way => $ours,
        against_what => "rate, $small", how => 'ratio', goal => [ '>=', 0.95 ]);
    $result->compare('backlog', what => "workers' memory, $large", way => $ours,
        against_what => "workers' memory, $small", how => 'difference', goal => [ '<=', 20 ]);
    $result->compare('backlog', what => "workers' memory, $large", way => $ours,
        how => 'value', goal => [ '<=', 100 ]);
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

1;

1;
