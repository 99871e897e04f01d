# A clock of a server's own, which a test sets.

package Clock;

use strict;
use warnings;

# In a directory of its own, which stays as long as it; undef: there is none to be had here, and $@ says why.
sub new
{
    my ($class, $dir, $source) = @_;
    my $self = bless({ dir => $dir, file => "$dir/clock", library => "$dir/wall.so" }, $class);

    $@ = 'it takes Linux to set the clock of a server alone';
    return if $^O ne 'linux';
    $@ = 'a sanitizer wants to be loaded first';
    return if $ENV{RSWEBHOOK_SANITIZED};
    $@ = 'it takes a compiler';
    return if system('cc', '-shared', '-fPIC', qq{-DFILE="$self->{file}"}, '-o', $self->{library}, $source, '-ldl') != 0;
    $self->set(0);
    return $self;
}

# A server that goes by it.
sub start
{
    my ($self, $node) = @_;
    local $ENV{LD_PRELOAD} = $self->{library};

    $node->start;
    return;
}

# So many seconds ahead of ours, beside those that the machine has slept.
sub set
{
    my ($self, $seconds, $slept) = @_;

    open my $out, -e $self->{file} ? '+<' : '>', $self->{file} or die "could not set the clock: $!\n";
    syswrite($out, pack('q2', $seconds, $slept // 0)) == 16 or die "could not set the clock: $!\n";
    close $out or die "could not set the clock: $!\n";
    return;
}

1;
