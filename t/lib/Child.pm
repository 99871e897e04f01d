# Child.pm
#     Processes that a test starts.  They end with it at the latest; one that
#     goes wrong says so and ends, without what the test does at its own end.
#
# Copyright (c) 2026, the rswebhook maintainers

package Child;

use strict;
use warnings;

use IO::Select;
use POSIX ();

my $test = $$;
my %running;    # pid => 1

# Runs the code, which may exec(), in a process of its own; returns its pid.
sub start
{
    my ($code) = @_;
    my $pid = fork() // die "could not fork: $!\n";

    if ($pid == 0)
    {
        $SIG{TERM} = $SIG{INT} = 'DEFAULT';
        my $ok = eval { $code->(); 1 };
        print STDERR "process $$: $@" unless $ok;
        POSIX::_exit($ok ? 0 : 1);
    }
    $running{$pid} = 1;
    return $pid;
}

# In such a process: is the test still there?
sub has_parent
{
    return getppid() == $test;
}

# Runs the code for one who connects after the other, in such a process.
sub serve
{
    my ($listener, $code) = @_;

    return start(
        sub {
            while (has_parent())
            {
                next unless IO::Select->new($listener)->can_read(1);
                $code->($listener->accept // next);
            }
        });
}

# Waits for its end, which is asked for by a signal unless that is undef.
sub stop
{
    my ($pid, $signal) = @_;

    kill $signal, $pid if defined $signal;
    waitpid $pid, 0;
    delete $running{$pid};
    return;
}

# Whether it has ended by itself.
sub has_ended
{
    my ($pid) = @_;

    return 0 if waitpid($pid, POSIX::WNOHANG()) == 0;
    delete $running{$pid};
    return 1;
}

END
{
    my $status = $?;

    if ($$ == $test)
    {
        stop($_, 'TERM') foreach keys %running;
    }
    $? = $status;
}

1;
