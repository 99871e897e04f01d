# Names.pm
#     What a server of a test resolves names with: name servers, and the files
#     that lead to them, changed while it runs.
#
# Needs a compiler and glibc: names.c is preloaded into the server.
#
# Copyright (c) 2026, the rswebhook maintainers

package Names;

use strict;
use warnings;

use File::Basename qw(dirname);

use NameServer;

# In this directory; undef where it cannot be done.
sub new
{
    my ($class, $dir) = @_;
    my $self = bless { dir => $dir, servers => {} }, $class;

    system('cc', '-shared', '-fPIC', qq{-DDIRECTORY="$dir"}, '-o', "$dir/names.so",
        dirname(__FILE__) . '/names.c', '-ldl', '-lresolv') == 0
      or return undef;
    $self->write('ports', '');
    $self->write('nsswitch.conf', "hosts: files dns\n");
    $self->hosts;
    $self->resolv_conf;
    return $self;
}

# Another name server, at this address of ours; it may say more, as NameServer has it.
sub server
{
    my ($self, $address, %how) = @_;
    my $server = NameServer->new($address, "$self->{dir}/$address", %how);

    $self->{servers}{$address} = $server;
    $self->write('ports',
        join '', map { "$_ " . $self->{servers}{$_}->port . "\n" } sort keys %{ $self->{servers} });
    return $server;
}

# As a new file in the place of the old one: no reader sees half of it.
sub write
{
    my ($self, $name, $text) = @_;
    my $file = "$self->{dir}/$name";

    open my $out, '>', "$file.new" or die "could not write \"$file\": $!\n";
    print $out $text;
    close $out or die "could not write \"$file\": $!\n";
    rename "$file.new", $file or die "could not write \"$file\": $!\n";
    return;
}

sub resolv_conf
{
    my ($self, @lines) = @_;

    return $self->write('resolv.conf', join '', map { "$_\n" } @lines);
}

sub hosts
{
    my ($self, @lines) = @_;

    return $self->write('hosts', join '', map { "$_\n" } '127.0.0.1 localhost', @lines);
}

# Starts a node that resolves this way.
sub start
{
    my ($self, $node) = @_;
    local %ENV = (%ENV, LD_PRELOAD => "$self->{dir}/names.so");

    delete @ENV{qw(LOCALDOMAIN RES_OPTIONS HOSTALIASES)};
    $node->start;
    return;
}

# What a process did that names are not to be resolved by: "thread", or
# "getaddrinfo NAME".
sub notes
{
    my ($self, $pid) = @_;

    open my $in, '<', "$self->{dir}/notes" or return ();
    return map { /^$pid (.*?) ?$/ ? $1 : () } <$in>;
}

1;
