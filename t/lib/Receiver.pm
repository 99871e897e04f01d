# Receiver.pm
#     scripts/receiver as an object: started, asked what it saw, stopped.
#
# Copyright (c) 2026, the rswebhook maintainers

package Receiver;

use strict;
use warnings;

use IO::Socket::INET;
use JSON::PP;
use Time::HiRes qw(sleep time);

use Child;

our $patience = 120;    # seconds to start in
my %size_of;            # ledger => bytes
my $json = JSON::PP->new->utf8;

# The directory is for the ledger; more arguments go to the program.
sub new
{
    my ($class, $program, $dir, @arguments) = @_;
    my $self = bless {
        program => $program,
        arguments => \@arguments,
        dir => $dir,
        requests => [],
        unasked => [],
        partial => '' }, $class;

    $self->start;
    return $self;
}

sub start
{
    my ($self) = @_;
    my $port_file = "$self->{dir}/port";
    my @same_port = defined $self->{port} ? ('--port', $self->{port}) : ();

    unlink $port_file;
    my @command = (
        $self->command, '--port-file', $port_file,
        '--ledger', $self->ledger, @{ $self->{arguments} }, @same_port);
    my $pid = Child::start(sub { exec @command or die "could not run \"$command[0]\": $!\n" });
    $self->{pid} = $pid;
    $size_of{ $self->ledger } = 0;

    for (my $end = time() + $patience; !-e $port_file; sleep(0.01))
    {
        die "the receiver did not start\n" if time() > $end || Child::has_ended($pid);
    }
    open my $in, '<', $port_file or die "could not read \"$port_file\": $!\n";
    ($self->{port}) = split / /, <$in>;
    return;
}

sub command
{
    my ($self) = @_;

    return ($^X, $self->{program}, '--with-parent');
}

sub stop
{
    my ($self) = @_;

    Child::stop(delete $self->{pid}, 'TERM') if defined $self->{pid};
    return;
}

# How much has arrived at all receivers of this test, in bytes of their ledgers.
sub arrived_anywhere
{
    my $sum = 0;

    foreach my $ledger (keys %size_of)
    {
        $size_of{$ledger} = -s $ledger // $size_of{$ledger};
        $sum += $size_of{$ledger};
    }
    return $sum;
}

sub ledger
{
    my ($self) = @_;

    return "$self->{dir}/ledger";
}

sub port
{
    my ($self) = @_;

    return $self->{port};
}

sub url
{
    my ($self, $path) = @_;

    return "http://127.0.0.1:$self->{port}$path";
}

# What /switch/NAME stands for from now on; what is held by /until/NAME is answered.
sub switch
{
    my ($self, $name, $path) = @_;
    my $socket = IO::Socket::INET->new(
        PeerAddr => '127.0.0.1',
        PeerPort => $self->{port},
        Timeout => $patience) or die "could not reach the receiver: $@\n";

    print $socket "PUT /_switch/$name$path HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    my $answer = <$socket> // '';
    $answer =~ m{^HTTP/1.1 204} or die "the receiver said \"$answer\"\n";
    return;
}

# All requests so far, in order of arrival.
sub requests
{
    my ($self) = @_;

    if (open my $in, '<:raw', $self->ledger)
    {
        local $/;
        seek $in, $self->{offset} // 0, 0;
        my $new = <$in> // '';
        $self->{offset} = tell $in;
        my @lines = split /\n/, $self->{partial} . $new, -1;
        $self->{partial} = pop @lines // '';
        foreach my $line (map { $json->decode($_) } @lines)
        {
            push @{ $self->{ exists $line->{unasked} ? 'unasked' : 'requests' } }, $line;
        }
    }
    return @{ $self->{requests} };
}

# What it wrote or ended when nobody had asked.
sub unasked
{
    my ($self) = @_;

    $self->requests;
    return @{ $self->{unasked} };
}

# Those that were not asked for by this before.
sub new_requests
{
    my ($self) = @_;
    my @all = $self->requests;
    my @new = @all[ ($self->{seen} // 0) .. $#all ];

    $self->{seen} = @all;
    return @new;
}

# Those whose path starts like this.
sub requests_to
{
    my ($self, $path) = @_;

    return grep { index($_->{target}, $path) == 0 } $self->requests;
}

1;
