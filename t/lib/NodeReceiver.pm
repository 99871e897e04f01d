# NodeReceiver.pm
#     receiver.js as an object: HTTP/2, and TLS before other receivers.
#
# Its requests and unasked are those of HTTP/2; what goes through a relay is in
# the ledger of the receiver behind it.
#
# Copyright (c) 2026, the rswebhook maintainers

package NodeReceiver;

use strict;
use warnings;

use FindBin;
use parent 'Receiver';

# Why there is none, or undef.
sub missing
{
    return 'no node' if system('node --version >/dev/null 2>&1') != 0;
    return qx(node --version) =~ /^v(\d+)/ && $1 >= 16 ? undef : 'node before 16';
}

# The directory is for the ledger.  Options:
#   relay => [receivers], rude_relay => [receivers]
#   max_streams => N
#   hasty => 1: hasty_url() is where it answers and ends in one
sub new
{
    my ($class, $dir, $certificates, %option) = @_;
    my @relayed = (@{ $option{relay} // [] }, @{ $option{rude_relay} // [] });

    my $self = $class->SUPER::new(
        "$FindBin::RealBin/lib/receiver.js", $dir,
        '--cert', $certificates->file('server.pem'),
        '--key', $certificates->file('server.key'),
        $option{max_streams} ? ('--max-streams', $option{max_streams}) : (),
        $option{hasty} ? ('--hasty', 'yes') : (),
        map({ ('--relay', $_->port) } @{ $option{relay} // [] }),
        map({ ('--rude-relay', $_->port) } @{ $option{rude_relay} // [] }));
    open my $in, '<', "$dir/port" or die "could not read \"$dir/port\": $!\n";
    (undef, undef, @{ $self->{relay_ports} }) = split ' ', <$in>;
    return $self;
}

sub command
{
    my ($self) = @_;

    return ('node', $self->{program});
}

# Of the nth relay, the rude ones last.
sub relay_port
{
    my ($self, $n) = @_;

    return $self->{relay_ports}[$n];
}

sub hasty_url
{
    my ($self, $scheme, $path) = @_;

    return "$scheme://127.0.0.1:$self->{relay_ports}[$scheme eq 'http' ? -2 : -1]$path";
}

sub url
{
    my ($self, $path) = @_;

    return "https://127.0.0.1:$self->{port}$path";
}

1;
