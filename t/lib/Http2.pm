# Http2.pm
#     What tests of HTTP/2 have in common: what they need, a destination, and
#     receivers that write frames by hand (frames.js).
#
# Copyright (c) 2026, the rswebhook maintainers

package Http2;

use strict;
use warnings;

use Certificates;
use Child;
use FindBin;
use JSON::PP;
use NodeReceiver;
use RswebhookTest;

my @dirs;    # that live as long as the test

# Why there is no HTTP/2 to be tested, or undef.
sub missing
{
    return 'libcurl before 7.80 is not asked to speak HTTP/2' unless libcurl_at_least(7, 80);
    return 'no openssl' unless Certificates::program();
    return NodeReceiver::missing();
}

# Columns of a destination that trusts these certificates, tries twice and soon,
# and has no breaker.
sub hasty
{
    my ($certificates) = @_;

    return (
        ca_cert => $certificates->text('ca.pem'),
        min_backoff => '20 ms',
        max_backoff => '50 ms',
        retry_window => '0',
        min_attempts => 2,
        breaker_failures => 0);
}

# frames.js in a mode; its port file, and the URLs of its receivers.
sub by_hand
{
    my ($certificates, $mode, $argument) = @_;
    my $dir = temp_dir('frames');
    my $file = "$dir/port";

    push @dirs, $dir;
    Child::start(
        sub {
            exec 'node', "$FindBin::RealBin/lib/frames.js", $mode, $argument, $file,
              $certificates->file('server.pem'), $certificates->file('server.key')
              or die "could not run node: $!\n";
        });
    wait_for('the receivers', sub { -e $file }) or die "the receivers did not start\n";
    open my $in, '<', $file or die "could not read \"$file\": $!\n";
    return ($file, map { "https://127.0.0.1:$_/" } split ' ', <$in>);
}

# The same of receivers that are told what they do, each by a hash.
sub told
{
    my ($certificates, @told) = @_;

    return by_hand($certificates, 'told', JSON::PP->new->encode([ map { numbers($_) } @told ]));
}

# A copy in which what looks like a number is one
sub numbers
{
    my ($told) = @_;

    return { map { $_ => !ref $told->{$_} && $told->{$_} =~ /^\d+$/ ? $told->{$_} + 0 : $told->{$_} } keys %$told };
}

1;
