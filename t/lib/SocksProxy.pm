# SocksProxy.pm
#     A SOCKS5 proxy that connects everything to one port of 127.0.0.1, and
#     notes what it was asked for. As much of it as a client needs: RFC 1928,
#     no authentication, CONNECT.
#
# Copyright (c) 2026, the rswebhook maintainers

package SocksProxy;

use strict;
use warnings;

use IO::Select;
use IO::Socket::INET;

use Child;

sub new
{
    my ($class, $to_port, $notes) = @_;
    my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 16)
      or die "could not listen: $!\n";
    my $self = bless { port => $listener->sockport, notes => $notes }, $class;

    Child::serve($listener, sub { serve($_[0], $to_port, $notes) });
    return $self;
}

sub url
{
    my ($self, $scheme) = @_;

    return "$scheme://127.0.0.1:$self->{port}";
}

# What it was asked for, as "host:port".
sub asked
{
    my ($self) = @_;

    open my $in, '<', $self->{notes} or return ();
    chomp(my @lines = <$in>);
    return @lines;
}

sub take
{
    my ($socket, $bytes) = @_;
    my $got = '';

    while (length $got < $bytes)
    {
        sysread($socket, $got, $bytes - length $got, length $got) or die "end of input\n";
    }
    return $got;
}

sub serve
{
    my ($client, $to_port, $notes) = @_;

    eval {
        my ($version, $methods) = unpack 'CC', take($client, 2);
        die "not SOCKS5\n" unless $version == 5;
        take($client, $methods);
        syswrite $client, pack('CC', 5, 0);

        my (undef, $command, undef, $type) = unpack 'CCCC', take($client, 4);
        die "not CONNECT\n" unless $command == 1;
        my $host =
            $type == 1 ? join('.', unpack 'C4', take($client, 4))
          : $type == 3 ? take($client, unpack 'C', take($client, 1))
          :              unpack('H*', take($client, 16));
        my $port = unpack 'n', take($client, 2);
        open my $out, '>>', $notes or die "could not write notes: $!\n";
        print $out "$host:$port\n";
        close $out;

        my $server = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $to_port)
          or die "could not connect: $!\n";
        syswrite $client, pack('CCCCNn', 5, 0, 0, 1, 0x7f000001, $to_port);
        relay($client, $server);
        1;
    } or do {
        # the client sees its connection end
        warn "SOCKS proxy: $@";
        close $client;
    };
    return;
}

# One connection at a time is enough; it ends when either side does, or when
# nothing moves for much longer than a busy receiver takes.
sub relay
{
    my ($client, $server) = @_;
    my $select = IO::Select->new($client, $server);

    while (my @ready = $select->can_read(20))
    {
        foreach my $from (@ready)
        {
            my $to = $from == $client ? $server : $client;

            return unless sysread $from, my $bytes, 65536;
            syswrite $to, $bytes;
        }
    }
    return;
}

1;
