# Session.pm
#     A psql that stays open, so that a test can hold a transaction.
#
# Copyright (c) 2026, the rswebhook maintainers

package Session;

use strict;
use warnings;

use IPC::Run;

my $patience = 300;    # seconds for a statement, not for the session

sub new
{
    my ($class, $node, $database) = @_;
    my $self = bless { in => '', out => '', err => '', asked => 0 }, $class;

    $self->{timer} = IPC::Run::timeout($patience);

    $self->{psql} = IPC::Run::start(
        [
            'psql', '--no-psqlrc', '--no-align', '--tuples-only', '--quiet',
            '--dbname', $node->connstr($database // 'postgres')
        ],
        '<', \$self->{in}, '>', \$self->{out}, '2>', \$self->{err},
        $self->{timer});
    return $self;
}

# What the statements print, once they have ended.
sub query
{
    my ($self, $sql) = @_;

    $self->start($sql);
    return $self->finish;
}

# The same in two steps, for statements that somebody holds up.
sub start
{
    my ($self, $sql) = @_;

    $self->{timer}->start;
    $self->{end} = 'end-' . ++$self->{asked};
    $self->{out} = '';
    $self->{in} .= "$sql\n;\\echo $self->{end}\n";
    $self->{psql}->pump_nb;
    return;
}

sub finished
{
    my ($self) = @_;

    $self->{psql}->pump_nb;
    return $self->{out} =~ /^\Q$self->{end}\E$/m;
}

sub finish
{
    my ($self) = @_;

    $self->{psql}->pump until $self->{out} =~ /^\Q$self->{end}\E$/m;
    die "psql said: $self->{err}\n" if $self->{err} =~ /ERROR|FATAL/;
    return $self->{out} =~ s/\n?^\Q$self->{end}\E\n//mr;
}

sub close
{
    my ($self) = @_;

    $self->{in} .= "\\q\n";
    $self->{psql}->finish;
    return;
}

1;
