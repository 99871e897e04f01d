# Load.pm
#     Clients that keep sending, whatever happens to the server, and the
#     judgement of what arrived.
#
# A client sends one transaction after the other and remembers which of them
# the server has confirmed.  Some roll back, some roll back to a savepoint.  It
# waits while much is owed, so that it is never far ahead of the worker.
# Events are named CLIENT-NUMBER, in the order of commits; the user is
# CLIENT-uN, so that each user has one client only.
#
# Copyright (c) 2026, the rswebhook maintainers

package Load;

use strict;
use warnings;

use File::Temp;
use Time::HiRes qw(sleep);

use Child;

my $users = 10;
my $batch = 50;         # transactions
my $most_owed = 300;    # events

# node; more options:
#   clients => 2
#   destination => name
#   options => text    for PGOPTIONS
sub new
{
    my ($class, $node, %option) = @_;
    my $self = bless {
        node => $node,
        dir => File::Temp->newdir('rswebhook_load_XXXXXX', TMPDIR => 1),
        clients => $option{clients} // 2,
        destination => $option{destination} // 'sink',
        connstr => $node->connstr('postgres') . ($option{options} ? " options='$option{options}'" : '')
    }, $class;

    $self->start_client($_) foreach 1 .. $self->{clients};
    return $self;
}

sub start_client
{
    my ($self, $client) = @_;

    push @{ $self->{pids} }, Child::start(
        sub {
            open STDOUT, '>>', "$self->{dir}/$client.out" or die "could not write: $!\n";
            open STDERR, '>>', "$self->{dir}/$client.err" or die "could not write: $!\n";
            for (my $n = 1; !-e "$self->{dir}/stop" && Child::has_parent();)
            {
                next if $self->much_is_owed;
                $self->send_some($client, $n, $n + $batch - 1);
                $n += $batch;
            }
        });
    return;
}

# Pauses then, too, and while there is no server.
sub much_is_owed
{
    my ($self) = @_;

    my $much = qx(psql --no-psqlrc -At -d "$self->{connstr}" -c 'SELECT count(*) >= $most_owed FROM rswebhook.queue');
    return 0 if $much =~ /^f/;
    sleep(0.1);
    return 1;
}

# psql stops at the first error, such as a lost connection.
sub send_some
{
    my ($self, $client, $from, $to) = @_;
    my $name = "c$client";
    my $file = "$self->{dir}/$client.sql";

    open my $out, '>', $file or die "could not write: $!\n";
    print $out "SET client_min_messages = error;\n";
    foreach my $n ($from .. $to)
    {
        print $out transaction($name, $n, $self->{destination}),
          "\\echo confirmed $name-$n\n";
    }
    close $out;
    system('psql', '--no-psqlrc', '-q', '-At', '-o', '/dev/null', '-v', 'ON_ERROR_STOP=1',
        '-f', $file, '-d', $self->{connstr}) == 0
      or sleep(0.1);
    return;
}

sub transaction
{
    my ($name, $n, $destination) = @_;
    my $send = sub {
        my ($id) = @_;
        return sprintf "SELECT rswebhook_send('%s', '%s');\n",
          qq({"type": "track", "event": "Load", "userId": "$name-u@{[$n % $users]}", "messageId": "$id"}),
          $destination;
    };

    return "BEGIN;\n" . $send->("gone-$name-$n") . "ROLLBACK;\n" . $send->("$name-$n")
      if $n % 7 == 0;
    return "BEGIN;\n" . $send->("$name-$n") . "SAVEPOINT s;\n" . $send->("gone-$name-$n")
      . "ROLLBACK TO s;\nCOMMIT;\n"
      if $n % 7 == 3;
    return $send->("$name-$n");
}

sub stop
{
    my ($self) = @_;

    open my $out, '>', "$self->{dir}/stop" or die "could not write: $!\n";
    close $out;
    Child::stop($_) foreach @{ $self->{pids} };
    return;
}

# The events whose transactions the server has confirmed.
sub confirmed
{
    my ($self) = @_;
    my @ids;

    foreach my $client (1 .. $self->{clients})
    {
        open my $in, '<', "$self->{dir}/$client.out" or next;
        push @ids, map { /^confirmed (\S+)$/ ? $1 : () } <$in>;
    }
    return @ids;
}

# What became of it, as counts: confirmed (by the server to the client), kept
# (in the database), lost (confirmed and not kept, or kept and never arrived),
# ghosts (arrived and not kept), repeated (accepted more than once) and
# reordered (accepted for the first time after a later one of its user).
sub judge
{
    my ($self, $kept, @requests) = @_;
    my %kept = map { $_ => 1 } @$kept;
    my @confirmed = $self->confirmed;
    my %result = (confirmed => scalar @confirmed, kept => scalar keys %kept,
        lost => 0, ghosts => 0, repeated => 0, reordered => 0);
    my (%arrived, %last, %lost);

    foreach my $request (@requests)
    {
        my $id = $request->{headers}{'webhook-id'};
        $request->{body} =~ /"messageId": ?"\Q$id\E"/ or $result{ghosts}++;
        $result{ghosts}++ unless $kept{$id};
        next unless $request->{accepted};
        next if $arrived{$id}++;
        my ($client, $n) = $id =~ /^(.*)-(\d+)$/;
        my $user = "$client-" . $n % $users;
        $result{reordered}++ if $n < ($last{$user} // 0);
        $last{$user} = $n;
    }
    $lost{$_} = 1 foreach grep { !$kept{$_} } @confirmed;
    $lost{$_} = 1 foreach grep { !$arrived{$_} } keys %kept;
    $result{lost} = keys %lost;
    $result{repeated} += $_ - 1 foreach values %arrived;
    return \%result;
}

1;
