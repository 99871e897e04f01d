# Certificates.pm
#     Authorities, and what they have signed for 127.0.0.1 and for clients.
#
# Copyright (c) 2026, the rswebhook maintainers

package Certificates;

use strict;
use warnings;

sub program
{
    return system('openssl version >/dev/null 2>&1') == 0;
}

# In the directory dir, by an authority of its own: ca, server and client, each
# as .pem and .key; other.pem is for the same client key's name, but by another
# key.
sub new
{
    my ($class, $dir) = @_;
    my $self = bless { dir => $dir }, $class;

    $self->run("openssl req -x509 @{[ new_key('ca') ]} -days 2 -subj /CN=ca -out ca.pem");
    $self->issue('server', 'subjectAltName=IP:127.0.0.1,DNS:localhost');
    $self->issue('client', 'subjectAltName=DNS:client');
    $self->run('openssl ecparam -name prime256v1 -genkey -noout -out foreign.key');
    return $self;
}

sub new_key
{
    my ($name) = @_;

    return "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout $name.key";
}

sub issue
{
    my ($self, $name, $extensions) = @_;

    open my $out, '>', "$self->{dir}/$name.ext" or die "could not write: $!\n";
    print $out "$extensions\n";
    close $out;
    $self->run("openssl req @{[ new_key($name) ]} -subj /CN=$name -out $name.csr");
    $self->run("openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial"
          . " -days 2 -extfile $name.ext -out $name.pem");
    return;
}

sub run
{
    my ($self, $command) = @_;

    system("cd $self->{dir} && $command >>openssl.log 2>&1") == 0
      or die "\"$command\" failed\n";
    return;
}

sub file
{
    my ($self, $name) = @_;

    return "$self->{dir}/$name";
}

sub text
{
    my ($self, $name) = @_;

    open my $in, '<', $self->file($name) or die "could not read \"$name\": $!\n";
    local $/;
    return scalar <$in>;
}

1;
