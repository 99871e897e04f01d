# A hundred thousand events of one transaction, received by nginx: each
# arrives once, and the worker's memory does not grow with the backlog.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use IO::Socket::INET;
use POSIX ();
use RswebhookTest;
use Test::More;
use Time::HiRes qw(time);

my ($nginx) = grep { -x } map { "$_/nginx" } split(/:/, $ENV{PATH}), '/usr/sbin', '/usr/local/sbin';
plan skip_all => 'needs nginx' unless defined $nginx;

my $count = $ENV{RSWEBHOOK_VOLUME} // 100_000;
my $dir = temp_dir('nginx');
my $nginx_pid;
my $port = start_nginx();
my $node = new_node('volume', conf => "shared_buffers = 64MB\nmax_wal_size = 2GB\n");

add_destination($node, 'nginx', "http://127.0.0.1:$port/volume", { max_in_flight => 64 });
ok(wait_for('the worker', sub { worker_pid($node) }), 'the worker runs');
my $worker = worker_pid($node);

my $start = time();
is(query($node, qq{
        SELECT count(rswebhook_send(jsonb_build_object(
            'type', 'track', 'event', 'Volume', 'userId', 'user-' || n % 1000,
            'messageId', 'volume-' || n, 'properties', jsonb_build_object('n', n)), 'nginx'))
        FROM generate_series(1, $count) AS n}),
    $count, 'all are queued');
note(sprintf 'queued in %.1f s', time() - $start);

# Memory of its own: pages of shared_buffers are shared with everybody.
my $largest = 0;
$start = time();
ok( wait_for('all to be delivered',
        sub {
            my $kb = (process_field($worker, 'RssAnon') // 0) + (process_field($worker, 'RssFile') // 0);
            $largest = $kb if $kb > $largest;
            return query($node, 'SELECT NOT EXISTS (SELECT FROM rswebhook.queue)') eq 't';
        }, 300),
    'nothing is owed any more');
my $seconds = time() - $start;
note(sprintf 'delivered in %.1f s, %.0f a second; worker at most %.1f MB',
    $seconds, $count / $seconds, $largest / 1024);
cmp_ok($largest, '<', 100 * 1024, 'the worker took less than 100 MB');
is(worker_pid($node), $worker, 'it is still the same worker');

stop_nginx();
my (%times, $lines, %last_of_user, $out_of_order);
open my $log, '<', "$dir/access.log" or die "could not read nginx's log: $!\n";
while (<$log>)
{
    my ($status, $id, $n) = /^(\d+) (volume-(\d+))$/ or next;
    $lines++;
    $times{$id}++ if $status == 200;
    $out_of_order++ if ($last_of_user{ $n % 1000 } // 0) >= $n;
    $last_of_user{ $n % 1000 } = $n;
}
is($lines, $count, 'as many requests as events');
is(scalar keys %times, $count, 'each event once');
is($out_of_order // 0, 0, 'each user\'s events in order');
is(query($node, q{SELECT count(*), count(DISTINCT event_id) FROM rswebhook.delivery
                  WHERE outcome = 'delivered'}),
    "$count|$count", 'each has its delivery row');

done_testing();

# nginx takes a port and does not tell which, so try a few.
sub start_nginx
{
    foreach my $try (1 .. 20)
    {
        my $port = 20000 + int rand 20000;
        open my $conf, '>', "$dir/nginx.conf" or die "could not write: $!\n";
        print $conf <<"CONF";
daemon off;
master_process off;
pid $dir/nginx.pid;
error_log $dir/error.log;
worker_rlimit_nofile 4096;
events { worker_connections 1024; }
http {
    log_format ids '\$status \$http_webhook_id';
    access_log $dir/access.log ids buffer=64k flush=1s;
    client_body_temp_path $dir/body;
    proxy_temp_path $dir/proxy;
    fastcgi_temp_path $dir/fastcgi;
    uwsgi_temp_path $dir/uwsgi;
    scgi_temp_path $dir/scgi;
    keepalive_requests 1000000;
    server {
        listen 127.0.0.1:$port backlog=1024;
        location / { return 200 "ok"; }
    }
}
CONF
        close $conf;
        $nginx_pid = fork() // die "could not fork: $!\n";
        exec $nginx, '-p', "$dir", '-c', "$dir/nginx.conf" or die if $nginx_pid == 0;

        return $port
          if wait_for('nginx',
            sub {
                IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port")
                  || waitpid($nginx_pid, POSIX::WNOHANG()) != 0;
            }, 10)
          && kill(0, $nginx_pid);
    }
    die "nginx did not start\n";
}

sub stop_nginx
{
    return unless defined $nginx_pid;
    kill 'QUIT', $nginx_pid;
    waitpid $nginx_pid, 0;
    undef $nginx_pid;
    return;
}

END
{
    my $status = $?;

    if (defined $nginx_pid)
    {
        kill 'TERM', $nginx_pid;
        waitpid $nginx_pid, 0;
    }
    $? = $status;
}
