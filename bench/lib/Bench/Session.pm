# Bench::Session
#     A connection: psql on a pair of pipes.
#
# Copyright (c) 2026, the rswebhook maintainers

package Bench::Session;

use strict;
use warnings;

use IPC::Open2;

my $mark = '--done--';

sub new
{
    my ($class) = @_;
    my $self = bless {}, $class;

    $self->connect;
    return $self;
}

sub connect
{
    my ($self) = @_;

    $self->{pid} = open2($self->{out}, $self->{in}, 'psql', '-XqAt', '-v', 'ON_ERROR_STOP=1');
    $self->query('SET client_min_messages = warning; SET jit = off;');
    return;
}

sub disconnect
{
    my ($self) = @_;
    local ($?, $!);

    close $self->{in};
    waitpid $self->{pid}, 0;
    return;
}

# The output as text, without the last newline.  Dies if a statement fails.
sub query
{
    my ($self, $sql) = @_;
    my $answer = '';

    print { $self->{in} } "$sql\n;\n\\echo $mark\n";
    $self->{in}->flush;
    while (defined(my $line = readline $self->{out}))
    {
        if ($line eq "$mark\n")
        {
            chomp $answer;
            return $answer;
        }
        $answer .= $line;
    }
    die "psql failed at: $sql\n";
}

sub DESTROY
{
    my ($self) = @_;

    $self->disconnect;
    return;
}

1;
