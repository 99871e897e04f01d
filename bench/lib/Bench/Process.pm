# Bench::Process
#     Programs beside the database: start, end, what they cost.
#
# A process that is started here ends with its object, at the latest.
#
# Copyright (c) 2026, the rswebhook maintainers

package Bench::Process;

use strict;
use warnings;

use List::Util qw(sum);

# Reads its standard output; what it says on the other one is shown.
sub start
{
    my ($class, @command) = @_;
    my $self = bless {}, $class;

    $self->{pid} = open($self->{out}, '-|', @command) or die "cannot run $command[0]: $!\n";
    $self->{name} = $command[0];
    return $self;
}

sub line
{
    my ($self) = @_;
    my $line = readline $self->{out};

    die "$self->{name} ended too early\n" unless defined $line;
    chomp $line;
    return $line;
}

# Wait for its end; dies unless it went well.
sub finish
{
    my ($self) = @_;

    delete $self->{pid};
    close $self->{out} or die "$self->{name} failed\n";
    return;
}

sub stop
{
    my ($self) = @_;
    local ($?, $!);

    return unless $self->{pid};
    kill 'TERM', $self->{pid};
    delete $self->{pid};
    close $self->{out};
    return;
}

sub DESTROY
{
    my ($self) = @_;

    $self->stop;
    return;
}

# ---------------------------------------------------------------------
# Any process
# ---------------------------------------------------------------------

sub first_line
{
    my ($path) = @_;

    open(my $file, '<', $path) or die "cannot read $path: $!\n";
    my $line = readline $file;
    close $file;
    return $line;
}

# The time of all their threads on a CPU, in seconds.
sub cpu_seconds
{
    my (@pids) = @_;
    my $ns = 0;

    foreach my $path (map { glob "/proc/$_/task/*/schedstat" } @pids)
    {
        $ns += (split ' ', first_line($path))[0];
    }
    return $ns / 1e9;
}

sub status_field
{
    my ($pid, $name) = @_;

    open(my $file, '<', "/proc/$pid/status") or die "process $pid is gone\n";
    while (my $line = <$file>)
    {
        return $1 if $line =~ /^\Q$name\E:\s*(\d+)/;
    }
    return 0;
}

# Memory of their own in MB, without the server's shared buffers.
sub memory_mb
{
    my (@pids) = @_;

    return sum(map { status_field($_, 'RssAnon') } @pids) / 1024;
}

# How often they were put on a CPU again.
sub wake_ups
{
    my (@pids) = @_;

    return sum(map { status_field($_, 'voluntary_ctxt_switches') } @pids);
}

1;
