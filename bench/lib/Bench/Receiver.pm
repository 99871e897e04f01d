# Bench::Receiver
#     What the requests go to: nginx, or bench/receiver.c with its clock.
#
# nginx has one worker process and keeps connections open: the receiver for
# rates.  The other one writes down when each request arrived: for latencies.
#
# Copyright (c) 2026, the rswebhook maintainers

package Bench::Receiver;

use strict;
use warnings;

use Bench::Process;
use IO::Socket::INET;
use Time::HiRes qw(time sleep);

my $number = 0;

sub nginx
{
    my ($class, $dir) = @_;
    my $self = bless { dir => "$dir/nginx", count_path => '/count' }, $class;

    # a port that is free now
    my $probe = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1')
      or die "no port: $!\n";
    $self->{port} = $probe->sockport;
    close $probe;

    mkdir $self->{dir};
    open(my $conf, '>', "$self->{dir}/nginx.conf") or die "cannot write nginx.conf: $!\n";
    print $conf <<"END";
worker_processes 1;
daemon off;
pid $self->{dir}/pid;
error_log $self->{dir}/error.log;
events { worker_connections 4096; }
http {
    access_log off;
    client_body_temp_path $self->{dir}/body;
    proxy_temp_path $self->{dir}/proxy;
    fastcgi_temp_path $self->{dir}/fastcgi;
    uwsgi_temp_path $self->{dir}/uwsgi;
    scgi_temp_path $self->{dir}/scgi;
    keepalive_timeout 1h;
    keepalive_requests 1000000000;
    client_body_buffer_size 64k;
    server {
        listen 127.0.0.1:$self->{port} backlog=4096;
        location / { return 200; }
        location = /count { stub_status; }
    }
}
END
    close $conf;
    # before 1.19.5 it looks for the log of its installation before it reads this
    my @log = qx(nginx -h 2>&1) =~ /^\s*-e /m ? ('-e', "$self->{dir}/error.log") : ();
    $self->{process} = Bench::Process->start('nginx', '-p', $self->{dir}, '-c',
        "$self->{dir}/nginx.conf", @log);
    $self->{polls} = 0;
    $self->{seen} = 0;
    $self->wait_until_up;
    return $self;
}

# $delay: milliseconds until it answers
sub clock
{
    my ($class, $dir, $delay) = @_;
    my $self = bless { count_path => '/_count' }, $class;

    $self->{log} = "$dir/arrivals." . ++$number;
    $self->{process} = Bench::Process->start("$dir/bin/receiver", $self->{log}, $delay // 0);
    $self->{port} = $self->{process}->line;
    $self->wait_until_up;
    return $self;
}

sub wait_until_up
{
    my ($self) = @_;

    for (1 .. 1200)
    {
        return $self->forget if eval { $self->ask; 1 };
        sleep 0.05;
    }
    die "the receiver does not answer\n";
}

sub stop
{
    my ($self) = @_;

    delete $self->{socket};
    $self->{process}->stop;
    return;
}

sub url
{
    my ($self, $path) = @_;

    return "http://127.0.0.1:$self->{port}" . ($path // '/');
}

# Ask it for its count, by a connection that stays open.
sub ask
{
    my ($self) = @_;
    my ($head, $body) = ('', '');

    $self->{socket} //= IO::Socket::INET->new(PeerAddr => '127.0.0.1',
        PeerPort => $self->{port}, Timeout => 5)
      or die "no connection\n";
    $self->{polls}++;
    print { $self->{socket} } "GET $self->{count_path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    while ($head !~ /\r\n\r\n/)
    {
        sysread($self->{socket}, $head, 4096, length $head) or die "no answer\n";
    }
    ($head, $body) = split /\r\n\r\n/, $head, 2;
    my ($length) = $head =~ /^content-length: *(\d+)/im;
    while (length $body < $length)
    {
        sysread($self->{socket}, $body, 4096, length $body) or die "no answer\n";
    }
    return $body;
}

sub total
{
    my ($self) = @_;
    my $answer = $self->ask;

    return $answer if $self->{log};
    my ($requests) = $answer =~ /^ \d+ \d+ (\d+)/m;
    return $requests - $self->{polls};
}

# Count from here on.
sub forget
{
    my ($self) = @_;

    $self->{seen} = 0;
    $self->{seen} = $self->total;
    return;
}

sub arrived
{
    my ($self) = @_;

    return $self->total - $self->{seen};
}

# Returns when so many arrived; dies when none has for a minute.  $look is called
# with the time and the number at each look.
sub wait_for
{
    my ($self, $count, $look) = @_;
    my ($last, $moved) = (-1);

    while (1)
    {
        my $arrived = $self->arrived;
        my $now = time;

        $look->($now, $arrived) if $look;
        return $now if $arrived >= $count;
        ($last, $moved) = ($arrived, $now) if $arrived != $last;
        die "only $arrived of $count requests arrived, and no other for a minute\n" if $now > $moved + 60;
        sleep 0.01;
    }
}

# messageId to the time of its arrival in ns; dies if one arrived twice.
sub times
{
    my ($self) = @_;
    my %times;

    $self->ask;    # has the log written out
    open(my $log, '<', $self->{log}) or die "cannot read $self->{log}: $!\n";
    while (my $line = <$log>)
    {
        my ($id, $ns) = $line =~ /^(.*)\t(\d+)$/ or next;
        die "event \"$id\" arrived twice\n" if exists $times{$id};
        $times{$id} = $ns;
    }
    close $log;
    return \%times;
}

1;
