# Nginx.pm
#     nginx as a receiver: for many requests, TLS and HTTP/2.
#
# Every line of its log says when, on which connection, what and how.
#
# Copyright (c) 2026, the rswebhook maintainers

package Nginx;

use strict;
use warnings;

use IO::Socket::INET;
use Time::HiRes qw(sleep time);

use Child;
use Receiver;

# The program, or undef where there is none.
sub program
{
    my ($found) = grep { -x }
      map { "$_/nginx" } split(/:/, $ENV{PATH}), '/usr/sbin', '/usr/local/sbin';
    return $found;
}

# dir: a directory to work in.  More options:
#   listen => text    more of the listen directive ("ssl http2")
#   server => text    directives of the server
#   root => text      what "/" does
sub new
{
    my ($class, $dir, %option) = @_;
    my $self = bless { dir => $dir, %option }, $class;

    # It takes a port and does not tell which, so try a few.
    foreach my $try (1 .. 20)
    {
        return $self if $self->start(20000 + int rand 20000);
    }
    die "nginx did not start\n";
}

sub start
{
    my ($self, $port) = @_;
    my $dir = $self->{dir};
    my $listen = $self->{listen} // '';
    my $server = $self->{server} // '';
    my $root = $self->{root} // 'return 200 "ok";';

    open my $conf, '>', "$dir/nginx.conf" or die "could not write: $!\n";
    print $conf <<"CONF";
daemon off;
master_process off;
pid $dir/nginx.pid;
error_log $dir/error.log;
worker_rlimit_nofile 4096;
events { worker_connections 1024; }
http {
    log_format ids '\$msec \$connection \$server_protocol \$status \$request_length \$http_webhook_id';
    access_log $dir/access.log ids buffer=64k flush=200ms;
    client_body_temp_path $dir/body;
    client_max_body_size 64m;
    proxy_temp_path $dir/proxy;
    fastcgi_temp_path $dir/fastcgi;
    uwsgi_temp_path $dir/uwsgi;
    scgi_temp_path $dir/scgi;
    keepalive_requests 1000000;
    server {
        listen 127.0.0.1:$port $listen;
        $server
        location / { $root }
    }
}
CONF
    CORE::close $conf;

    unlink "$dir/nginx.pid";
    my $pid = Child::start(
        sub {
            open STDERR, '>>', "$dir/stderr";
            exec program(), '-p', $dir, '-c', "$dir/nginx.conf" or die "could not run nginx: $!\n";
        });
    for (my $end = time() + $Receiver::patience; time() < $end; sleep(0.02))
    {
        return 0 if Child::has_ended($pid);
        # it has the port, and not somebody else
        next unless -s "$dir/nginx.pid" && IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port");
        @$self{qw(pid port)} = ($pid, $port);
        return 1;
    }
    return 0;
}

sub stop
{
    my ($self) = @_;
    my $pid = delete $self->{pid} // return;

    Child::stop($pid, 'QUIT');
    return;
}

sub url
{
    my ($self, $path, $scheme) = @_;

    return ($scheme // 'http') . "://127.0.0.1:$self->{port}$path";
}

# How much has arrived, for a wait.
sub progress
{
    my ($self) = @_;

    return -s "$self->{dir}/access.log";
}

# The requests so far whose webhook-id matches, in order of their end.  What
# is in the log's buffer comes a moment later.
sub requests
{
    my ($self, $pattern) = @_;
    my @requests;

    open my $log, '<', "$self->{dir}/access.log" or return;
    while (<$log>)
    {
        my ($t, $connection, $protocol, $status, $length, $id) =
          /^(\S+) (\d+) (\S+) (\d+) (\d+) (\S+)$/ or next;
        next if defined $pattern && $id !~ $pattern;
        push @requests, {
            t => $t,
            connection => $connection,
            protocol => $protocol,
            status => $status,
            length => $length,
            id => $id };
    }
    return @requests;
}

1;
