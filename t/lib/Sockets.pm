# Sockets.pm
#     The sockets that workers have to a port, as the kernel sees them.
#
# Copyright (c) 2026, the rswebhook maintainers

package Sockets;

use strict;
use warnings;

use Exporter 'import';

our @EXPORT = qw(can_see_sockets sockets_to);

my %state_name = ('01' => 'ESTABLISHED', '04' => 'FIN_WAIT1', '05' => 'FIN_WAIT2', '08' => 'CLOSE_WAIT');

sub can_see_sockets
{
    return -r '/proc/net/tcp' && -r "/proc/$$/fd";
}

# The states of these processes' sockets, "PID PID...", that are connected to
# 127.0.0.1:port.
sub sockets_to
{
    my ($pids, $port) = @_;
    my %own = map { (readlink($_) // '') =~ /^socket:\[(\d+)\]$/ ? ($1 => 1) : () }
      map { glob "/proc/$_/fd/*" } split / /, $pids;
    my @states;

    open my $in, '<', '/proc/net/tcp' or die "could not read /proc/net/tcp: $!\n";
    while (my $line = <$in>)
    {
        my (undef, undef, $remote, $state, undef, undef, undef, undef, undef, $inode) = split ' ', $line;
        next unless $remote =~ /:([0-9A-F]{4})$/ && hex($1) == $port && $own{$inode};
        push @states, $state_name{$state} // "state $state";
    }
    return @states;
}

1;
