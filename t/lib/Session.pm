# Session.pm
#     A psql that stays open, so that a test can hold a transaction, or ask much
#     without starting a program and a backend each time.
#
# Copyright (c) 2026, the rswebhook maintainers

package Session;

use strict;
use warnings;

use IPC::Run;
use Time::HiRes;

my $patience = 300;    # seconds for a statement, not for the session

# What makes or needs a session of its own: settings, transactions, roles, temporary
# tables, and what counts or ends sessions.
my $of_its_own = qr/
    (?: ^ | ; ) \s* (?: SET | RESET | BEGIN | START | COMMIT | ROLLBACK | END | PREPARE | EXECUTE | DECLARE
        | LISTEN | DISCARD | LOAD | SHOW | VACUUM | \\ ) \b
    | \b (?: set_config | current_setting | TEMP | TEMPORARY | DATABASE | ROLE | USER
        | pg_backend_pid | pg_terminate_backend | pg_cancel_backend | pg_stat_activity | pg_locks ) \b
    | ^ \s* \\
/xi;

my %kept;    # the session of a process with a node: what it began under, and the session

# One with the database postgres for whoever does not need his own; undef for a
# statement that does, and whatever it changes, later ones see: none is kept.
# Begins anew when the server has, or when settings were written.
sub kept
{
    my ($class, $node, $sql) = @_;
    my $key = "$$ " . $node->data_dir;
    my $now = join ' ', map({ (Time::HiRes::stat($node->data_dir . "/$_"))[ 1, 7, 9 ] }
        qw(postmaster.pid postgresql.conf postgresql.auto.conf)), map({ "$_=$ENV{$_}" } sort grep { /^PG/ } keys %ENV);
    my $kept = $kept{$key};

    if ($kept && ($sql =~ $of_its_own || $kept->{began_under} ne $now || !kill(0, $kept->{backend})))
    {
        $class->let_go($node);
        undef $kept;
    }
    return if $sql =~ $of_its_own;
    if (!$kept)
    {
        my $session = eval { $class->new($node, 'postgres', 'ON_ERROR_STOP=1') };
        my $backend = eval { $session->query('SELECT pg_backend_pid()') } or return;

        $kept = $kept{$key} = { began_under => $now, backend => $backend, session => $session };
    }
    return $kept->{session};
}

# Who waits for all sessions to end is not to wait for that one.
sub let_go
{
    my ($class, $node) = @_;
    my $kept = delete $kept{ "$$ " . $node->data_dir };

    $kept->{session}->close if $kept;
    return;
}

sub new
{
    my ($class, $node, $database, @variables) = @_;
    my $self = bless { in => '', out => '', err => '', asked => 0 }, $class;

    $self->{timer} = IPC::Run::timeout($patience);

    $self->{psql} = IPC::Run::start(
        [
            'psql', '--no-psqlrc', '--no-align', '--tuples-only', '--quiet',
            '--dbname', $node->connstr($database // 'postgres'), map { ('--set', $_) } @variables
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
    $self->{out} = $self->{err} = '';
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

    until ($self->{out} =~ /^\Q$self->{end}\E$/m)
    {
        die "psql said: $self->{err}\n" unless $self->{psql}->pumpable;
        $self->{psql}->pump;
    }
    die "psql said: $self->{err}\n" if $self->{err} =~ /ERROR|FATAL/;
    return $self->{out} =~ s/\n?^\Q$self->{end}\E\n//mr;
}

sub close
{
    my ($self) = @_;

    # it may have ended by itself
    eval {
        $self->{in} .= "\\q\n" if $self->{psql}->pumpable;
        $self->{psql}->finish;
    };
    return;
}

1;
