# Bench::Result
#     What was measured: samples, their medians, comparisons, curves.
#
# A scenario measures one or more quantities ("what"), each in one or more
# ways, several times; a comparison sets one way's median against another's
# and may have a goal.  Kept in results.json, by scenario, each with when, where
# and of which commit it was measured.
#
# Copyright (c) 2026, the rswebhook maintainers

package Bench::Result;

use strict;
use warnings;

use JSON::PP;
use POSIX qw(strftime);

sub new
{
    my ($class, $path, $size, $session) = @_;

    return bless {
        path => $path, size => $size, scenarios => {}, machine => machine($session) }, $class;
}

sub machine
{
    my ($session) = @_;
    my ($model, $cores, $memory) = ('unknown', 0, 0);

    if (open my $cpu, '<', '/proc/cpuinfo')
    {
        while (<$cpu>)
        {
            $model = $1 if /^model name\s*: (.*)/;
            $cores++ if /^processor/;
        }
    }
    if (open my $info, '<', '/proc/meminfo')
    {
        while (<$info>) { $memory = $1 if /^MemTotal:\s*(\d+)/ }
    }
    return {
        cpu => $model,
        cores => $cores,
        memory_gb => int($memory / 1024 / 1024 + 0.5),
        postgres => $session->query('SHOW server_version') };
}

# Start a scenario anew.
sub begin
{
    my ($self, $scenario) = @_;

    $self->{scenarios}{$scenario} = {
        at => strftime('%Y-%m-%d %H:%M:%S UTC', gmtime),
        size => $self->{size},
        commit => $ENV{BENCH_COMMIT},
        machine => $self->{machine},
        whats => [], comparisons => [], curves => {}, not_run => {} };
    return;
}

sub what
{
    my ($self, $scenario, $what, $unit) = @_;
    my $whats = $self->{scenarios}{$scenario}{whats};
    my ($found) = grep { $_->{what} eq $what } @$whats;

    push @$whats, $found = { what => $what, unit => $unit, ways => [] } unless $found;
    return $found;
}

sub add
{
    my ($self, $scenario, $what, $unit, $title, $value) = @_;
    my $entry = $self->what($scenario, $what, $unit);
    my ($way) = grep { $_->{way} eq $title } @{ $entry->{ways} };

    push @{ $entry->{ways} }, $way = { way => $title, samples => [] } unless $way;
    push @{ $way->{samples} }, $value + 0;
    my @sorted = sort { $a <=> $b } @{ $way->{samples} };
    $way->{median} = percentile(\@sorted, 50);
    $way->{min} = $sorted[0];
    $way->{max} = $sorted[-1];
    return;
}

sub not_run
{
    my ($self, $scenario, $title, $why) = @_;

    $self->{scenarios}{$scenario}{not_run}{$title} = $why;
    return;
}

# Titles, and why
sub those_not_run
{
    my ($self, $scenario) = @_;

    return %{ $self->{scenarios}{$scenario}{not_run} };
}

# Points of a curve for the plots
sub curve
{
    my ($self, $scenario, $name, $points) = @_;

    $self->{scenarios}{$scenario}{curves}{$name} = $points;
    return;
}

sub median
{
    my ($self, $scenario, $what, $title) = @_;
    my ($entry) = grep { $_->{what} eq $what } @{ $self->{scenarios}{$scenario}{whats} };
    my ($way) = grep { $_->{way} eq $title } @{ $entry->{ways} // [] };

    return $way ? $way->{median} : undef;
}

# how: "ratio" or "difference" of the medians of two ways (or of two whats);
# or "value", with no other side.  goal: [">=" or "<=", number]
sub compare
{
    my ($self, $scenario, %c) = @_;
    my $value = $self->median($scenario, $c{what}, $c{way});
    my $other = $self->median($scenario, $c{against_what} // $c{what}, $c{against} // $c{way});

    return unless defined $value && ($c{how} eq 'value' || $other);
    $value = $c{how} eq 'ratio' ? $value / $other : $value - $other
      unless $c{how} eq 'value';
    push @{ $self->{scenarios}{$scenario}{comparisons} }, {
        %c, value => $value,
        $c{goal} ? (met => ($c{goal}[0] eq '>=' ? $value >= $c{goal}[1] : $value <= $c{goal}[1])
              ? JSON::PP::true : JSON::PP::false) : () };
    return;
}

# Of sorted values; between two of them, the one in proportion.
sub percentile
{
    my ($sorted, $percent) = @_;
    my $at = $percent / 100 * $#$sorted;
    my $below = int $at;
    my $above = $below < $#$sorted ? $below + 1 : $below;

    return $sorted->[$below] + ($at - $below) * ($sorted->[$above] - $sorted->[$below]);
}

sub write
{
    my ($self) = @_;

    store($self->{path}, $self->{scenarios});
    return;
}

# ---------------------------------------------------------------------
# Files of results
# ---------------------------------------------------------------------

sub store
{
    my ($path, $scenarios) = @_;

    open(my $file, '>', "$path.new") or die "cannot write $path: $!\n";
    print $file JSON::PP->new->canonical->pretty->encode({ scenarios => $scenarios });
    close $file or die "cannot write $path: $!\n";
    rename "$path.new", $path or die "cannot rename $path.new: $!\n";
    return;
}

sub load
{
    my ($path) = @_;

    open(my $file, '<', $path) or die "cannot read $path: $!\n";
    my $results = decode_json(do { local $/; readline $file });
    close $file;

    # the machine of a file without one for each scenario
    $_->{machine} //= $results->{machine} foreach values %{ $results->{scenarios} };
    return $results->{scenarios};
}

# Add other files' scenarios to a file that need not be there yet; of two with
# the same name the newer one stays.  Returns them.
sub merge
{
    my ($path, @others) = @_;
    my $scenarios = -e $path ? load($path) : {};

    foreach my $other (map { load($_) } @others)
    {
        foreach my $name (keys %$other)
        {
            $scenarios->{$name} = $other->{$name}
              unless $scenarios->{$name} && $scenarios->{$name}{at} gt $other->{$name}{at};
        }
    }
    store($path, $scenarios) if @others;
    return $scenarios;
}

1;
