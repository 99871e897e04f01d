# Bench::Load
#     What the scenarios are made of: have events delivered all at once or one
#     by one, and the same requests without a database.
#
# $bench is what a scenario gets: { size, session, result, dir }.
#
# Copyright (c) 2026, the rswebhook maintainers

package Bench::Load;

use strict;
use warnings;

use Bench::Process;
use Bench::Result;
use Bench::Way;
use Exporter qw(import);
use Time::HiRes qw(time);

our @EXPORT_OK = qw($ours $ceiling @with_queue settle drain ceiling_rate bodies send_steadily
  latencies sorted_latencies add_percentiles);

# Titles, and the names of the ways that are compared with ours
our $ours = 'rswebhook';
our $ceiling = 'ceiling (no database)';
our @with_queue = qw(outbox graphile pgboss pg_net);

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
    my $end = $receiver->wait_for($count, $look);
    return $end - $start;
}

# Requests a second, and CPU microseconds a request, of the ceiling program, with so
# many in flight;
# the bodies are those that rswebhook sends.
sub ceiling_rate
{
    my ($bench, $receiver, $count, $in_flight) = @_;
    my $bodies = bodies($bench, 1000);
    my $program = Bench::Process->start("$bench->{dir}/bin/ceiling", $receiver->url, $bodies,
        $count, $in_flight // $Bench::Way::in_flight);
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
        q{SELECT rswebhook.wire(e.event, '{"webhookUrl": "http://127.0.0.1/"}'::jsonb) ->> 'body' FROM (}
          . Bench::Way::events($count) . ') e'), "\n";
    close $file;
    return $path;
}

# Sorted milliseconds from COMMIT's return to arrival, of what $clients
# sessions send one by one; with the clients' own times the other way round.
# $others: so many events arrive besides.
sub send_steadily
{
    my ($bench, $statement, $receiver, $count, $rate, $clients, $meanwhile, $others) = @_;
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
    $receiver->wait_for(int($count / $clients) * $clients + ($others // 0));
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

1;

1;
