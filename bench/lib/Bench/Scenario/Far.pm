# Bench::Scenario::Far
#     Receivers that answer after 50 and 200 ms, one and a hundred of them; one worker,
#     and all settings as they are by default.
#
# Copyright (c) 2026, the rswebhook maintainers

package Bench::Scenario::Far;

use strict;
use warnings;

use Bench::Load qw($ours settle drain ceiling_rate);
use Bench::Process;
use Bench::Receiver;
use Bench::Way;
use Time::HiRes qw(time);

# Milliseconds, destinations, events a second as a measure of how many to send, and the goal
my @all = ([ 50, 1, 5000, 4500 ], [ 50, 100, 12_000, 12_000 ], [ 200, 1, 1280, undef ], [ 200, 100, 5000, undef ]);

sub far
{
    my ($bench) = @_;
    my ($result, $size, $session) = @$bench{qw(result size session)};
    my $way = Bench::Way->new('rswebhook_one');

    for (1 .. $size->{rounds})
    {
        foreach my $one (@all)
        {
            my ($delay, $destinations, $rate) = @$one;
            my $receiver = Bench::Receiver->clock($bench->{dir}, $delay);
            my $count = int($rate * $size->{far_seconds} / $destinations) * $destinations;
            my $what = what(@$one);

            foreach my $in_flight (256, 1000)
            {
                my ($of_ceiling, $cpu) = ceiling_rate($bench, $receiver, $count, $in_flight);
                $result->add('far', "rate, $what", 'events/s', "ceiling, $in_flight in flight", $of_ceiling);
                $result->add('far', "sender CPU, $what", 'us/event', "ceiling, $in_flight in flight", $cpu);
            }
            $way->start($receiver, workers => 1);
            Bench::Way::forget_destinations();    # it is another one that is as all are by default
            $session->query("INSERT INTO rswebhook.destination (name, url, ordered)
                SELECT 'bench ' || n, '@{[ $receiver->url ]}', false FROM generate_series(1, $destinations) n");
            settle($bench);
            my @pids = Bench::Way::workers();
            my $before = Bench::Process::cpu_seconds(@pids);
            my $most = 0;
            my $seconds = drain_all($bench, $receiver, $count, $destinations, \$most);
            check($session, $count);
            $result->add('far', "sender CPU, $what", 'us/event', $ours,
                (Bench::Process::cpu_seconds(@pids) - $before) / $count * 1e6);
            $result->add('far', "rate, $what", 'events/s', $ours, $count / $seconds);
            $result->add('far', "in flight at the most, $what", '', $ours, $most);
            $way->stop;
            $receiver->stop;
        }
    }
    foreach my $one (@all)
    {
        my $goal = $one->[3];

        $result->compare('far', what => 'rate, ' . what(@$one), way => $ours, how => 'value',
            goal => [ '>=', $goal ]) if $goal;
    }
    return;
}

sub what
{
    my ($delay, $destinations) = @_;

    return "$delay ms, $destinations destination" . ($destinations > 1 ? 's' : '');
}

# As drain() does, with as much for each
sub drain_all
{
    my ($bench, $receiver, $count, $destinations, $most) = @_;
    my $session = $bench->{session};
    my $each = $count / $destinations;
    my $looked = 0;

    $receiver->forget;
    $session->query("BEGIN; SELECT count(rswebhook_send(e.event, 'bench ' || n)) FROM ("
          . Bench::Way::events($each) . ") e, generate_series(1, $destinations) n");
    my $start = time;
    $session->query('COMMIT');
    my $end = $receiver->wait_for($count, sub {
        my ($now) = @_;

        return if $now < $looked + 0.25;
        $looked = $now;
        my $in_flight = $session->query('SELECT coalesce(sum(in_flight), 0) FROM rswebhook.status');
        $$most = $in_flight if $in_flight > $$most;
    });
    return $end - $start;
}

# All have arrived; none has failed before
sub check
{
    my ($session, $count) = @_;

    for (1 .. 6000)
    {
        last if $session->query('SELECT EXISTS (SELECT FROM rswebhook.queue)') eq 'f';
        select undef, undef, undef, 0.01;
    }
    my $got = $session->query(q{SELECT count(*) FILTER (WHERE outcome = 'delivered') || ' of ' || count(*) FROM rswebhook.delivery});
    die "delivered $got attempts, not $count of $count\n" unless $got eq "$count of $count";
    return;
}

1;
