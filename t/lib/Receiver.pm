# Receiver.pm
#     scripts/receiver as an object: started, asked what it saw, stopped.
#
# Every receiver is stopped by its pid at the latest when the test ends.
#
# Copyright (c) 2026, the rswebhook maintainers

package Receiver;

use strict;
use warnings;

use IO::Socket::INET;
use JSON::PP;
use POSIX ();
use Time::HiRes qw(sleep time);

my %running;    # pid => 1
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
    my $pid = fork() // die "could not fork: $!\n";
    if ($pid == 0)
    {
        exec $self->command, '--port-file', $port_file,
          '--ledger', $self->ledger, @{ $self->{arguments} }, @same_port
          or POSIX::_exit(127);
    }
    $running{$pid} = 1;
    $self->{pid} = $pid;

    for (my $end = time() + 30; !-e $port_file; sleep(0.01))
    {
        die "the receiver did not start\n" if time() > $end || !kill(0, $pid);
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

    stop_process(delete $self->{pid}) if defined $self->{pid};
    return;
}

sub stop_process
{
    my ($pid) = @_;

    kill 'TERM', $pid;
    waitpid $pid, 0;
    delete $running{$pid};
    return;
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

# What /switch/NAME stands for from now on.
sub switch
{
    my ($self, $name, $path) = @_;
    my $socket = IO::Socket::INET->new(
        PeerAddr => '127.0.0.1',
        PeerPort => $self->{port},
        Timeout => 10) or die "could not reach the receiver: $@\n";

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

# Those whose path starts like this.
sub requests_to
{
    my ($self, $path) = @_;

    return grep { index($_->{target}, $path) == 0 } $self->requests;
}

END
{
    my $status = $?;

    stop_process($_) foreach keys %running;
    $? = $status;
}

1;
