# TLS that cannot be trusted or does not come about: nothing is sent, and the
# row says why.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use Child;
use File::Temp;
use IO::Socket::INET;
use RswebhookTest;
use Test::More;

local $ENV{PATH} = "$ENV{PATH}:/usr/sbin";
plan skip_all => 'libcurl before 7.77 takes no CA of its own' unless libcurl_at_least(7, 77);
plan skip_all => 'no openssl' if system('openssl version >/dev/null 2>&1') != 0;
plan skip_all => 'no nginx' if system('nginx -v >/dev/null 2>&1') != 0;

my $dir = File::Temp->newdir('rswebhook_tls_XXXXXX', TMPDIR => 1);

make_authority($_) foreach qw(ours foreign);
make_certificate('good', 'ours', 'IP:127.0.0.1');
make_certificate('host', 'ours', 'DNS:somewhere.example');
make_certificate('expired', 'ours', 'IP:127.0.0.1', '-not_before', '20200101000000Z', '-not_after', '20200201000000Z');
make_certificate('client', 'ours', 'DNS:client');
make_certificate('stranger', 'foreign', 'DNS:client');
run("openssl req -x509 -newkey rsa:2048 -nodes -keyout self.key -out self.pem -days 2"
      . " -subj /CN=self -addext subjectAltName=IP:127.0.0.1");
# any group will do: it is the receiver's choice
run('openssl genpkey -genparam -algorithm DH -pkeyopt group:ffdhe2048 -out dh.pem');

# name => [certificate, more of nginx' configuration]
my %server = (
    good => ['good'],
    host => ['host'],
    expired => ['expired'],
    self => ['self'],
    old => [ 'good', 'ssl_protocols TLSv1; ssl_ciphers ALL:@SECLEVEL=0;' ],
    dhe => [ 'good', 'ssl_protocols TLSv1.2; ssl_ciphers DHE-RSA-AES256-GCM-SHA384; ssl_dhparam dh.pem;' ],
    ecdhe => [ 'good', 'ssl_protocols TLSv1.2; ssl_ciphers ECDHE-RSA-AES256-GCM-SHA384:DHE-RSA-AES256-GCM-SHA384; ssl_dhparam dh.pem;' ],
    client => [ 'good', 'ssl_client_certificate ours.pem; ssl_verify_client on;' ]);
my %port = map { $_ => unused_port() } sort keys %server;
my $demanding = unused_port();
my $plain = unused_port();
start_nginx();
start_process('demanding', 'openssl', 's_server', '-quiet', '-www', '-accept', "127.0.0.1:$demanding",
    '-cert', 'good.pem', '-key', 'good.key', '-CAfile', 'ours.pem', '-Verify', 1, '-verify_return_error');

my $receiver = new_receiver();
local $ENV{SSLKEYLOGFILE} = "$dir/keys";
my $node = new_node('tls');
my %hasty = (
    min_backoff => '20 ms',
    max_backoff => '50 ms',
    retry_window => '0',
    min_attempts => 2,
    breaker_failures => 0,
    connect_timeout => '20 s',
    timeout => '30 s');
my %trusting = (%hasty, ca_cert => content('ours.pem'));
my $tls = qr/^TLS handshake: /;

# name => [port, outcome, status, error, columns]
my @cases = (
    [ 'trusted', $port{good}, 'delivered', 200, undef, \%trusting ],
    [ 'unknown authority', $port{good}, 'retry', undef, qr/${tls}.*certificate/, \%hasty ],
    [ 'foreign authority', $port{good}, 'retry', undef, qr/${tls}.*certificate/,
        { %hasty, ca_cert => content('foreign.pem') } ],
    [ 'another host', $port{host}, 'retry', undef, qr/${tls}.*(name|match)/, \%trusting ],
    [ 'expired', $port{expired}, 'retry', undef, qr/${tls}.*expired/, \%trusting ],
    [ 'self-signed', $port{self}, 'retry', undef, qr/${tls}.*self.signed/, \%trusting ],
    [ 'TLS 1.0 only', $port{old}, 'retry', undef, $tls, \%trusting ],
    [ 'TLS 1.2', $port{ecdhe}, 'delivered', 200, undef, \%trusting ],
    [ 'TLS 1.2 with DHE only', $port{dhe}, 'retry', undef, $tls, \%trusting ],
    [ 'client certificate', $port{client}, 'delivered', 200, undef,
        { %trusting, client_cert => content('client.pem'), client_key => content('client.key') } ],
    [ 'client certificate missing', $port{client}, 'aborted', 400, qr/^HTTP status 400/, \%trusting ],
    [ 'client certificate wrong', $port{client}, 'aborted', 400, qr/^HTTP status 400/,
        { %trusting, client_cert => content('stranger.pem'), client_key => content('stranger.key') } ],
    [ 'client certificate demanded', $demanding, 'retry', undef, qr/^(TLS handshake|sending|waiting for an answer): /, \%trusting ],
    [ 'not TLS', $plain, 'retry', undef, $tls, \%trusting ],
    [ 'stalled', $receiver->port, 'retry', undef, qr/(${tls}|^connecting: ).*time/i, { %trusting, connect_timeout => '300 ms' } ]);

foreach (@cases)
{
    my ($name, $port, undef, undef, undef, $columns) = @$_;
    add_destination($node, $name, "https://127.0.0.1:$port/", $columns);
}
my $pids = worker_pids($node);
my %id = map { $_->[0] => send_event($node, { type => 'track', userId => 'u' }, $_->[0]) } @cases;
ok(wait_until_sent($node), 'nothing is owed any more');
is(worker_pids($node), $pids, 'the workers are the same');

foreach (@cases)
{
    my ($name, undef, $outcome, $status, $error) = @$_;
    my ($row) = query_rows($node,
        "SELECT outcome, status, error FROM rswebhook.delivery WHERE event_id = $id{$name} AND attempt = 1");

    is(join(' ', $row->{outcome}, $row->{status} // ()), join(' ', $outcome, $status // ()), "$name: outcome");
    defined $error
      ? like($row->{error}, $error, "$name: error")
      : is($row->{error}, undef, "$name: no error");
}

# A certificate of one destination must not vouch for another one.
my $again = send_event($node, { type => 'track', userId => 'u' }, 'unknown authority');
ok(wait_until_sent($node), 'nothing is owed any more');
is(outcomes($node, $again), 'retry 1, aborted 2', 'trust is not carried over to another destination');

ok(!-e "$dir/keys", 'nobody who reads the files can decrypt what was sent');

done_testing();

# ---------------------------------------------------------------------
# Certificates
# ---------------------------------------------------------------------

sub run
{
    my ($command) = @_;

    system("cd $dir && $command >>log 2>&1") == 0
      or die "\"$command\" failed:\n" . content('log');
    return;
}

sub make_authority
{
    my ($name) = @_;

    run("openssl req -x509 -newkey rsa:2048 -nodes -keyout $name.key -out $name.pem -days 2 -subj /CN=$name");
    return;
}

# Dates need "openssl ca", which wants a directory of its own.
sub make_certificate
{
    my ($name, $authority, $alias, %date) = @_;

    write_file("$dir/$name.cnf", <<"END");
[ca]
default_ca = this
[this]
dir = $dir
new_certs_dir = $dir
database = $dir/$name.db
rand_serial = yes
default_md = sha256
policy = any
x509_extensions = alias
[any]
commonName = supplied
[alias]
subjectAltName = $alias
END
    write_file("$dir/$name.db", '');
    run("openssl req -newkey rsa:2048 -nodes -keyout $name.key -out $name.csr -subj /CN=$name");
    my $dates =
      %date
      ? "-startdate $date{-not_before} -enddate $date{-not_after}"
      : '-days 2';
    run("openssl ca -batch -notext -config $name.cnf -cert $authority.pem -keyfile $authority.key"
          . " -in $name.csr -out $name.pem $dates");
    return;
}

sub content
{
    my ($name) = @_;

    open my $in, '<', "$dir/$name" or die "could not read \"$name\": $!\n";
    local $/;
    return <$in>;
}

# ---------------------------------------------------------------------
# Servers
# ---------------------------------------------------------------------

sub start_nginx
{
    my $servers = "server { listen 127.0.0.1:$plain; }\n";

    foreach my $name (sort keys %server)
    {
        my ($certificate, $more) = @{ $server{$name} };
        $servers .= "server { listen 127.0.0.1:$port{$name} ssl; ssl_certificate $certificate.pem;"
          . " ssl_certificate_key $certificate.key; " . ($more // '') . " location / { return 200 ok; } }\n";
    }
    write_file("$dir/nginx.conf", <<"END");
daemon off;
master_process off;
pid $dir/nginx.pid;
error_log $dir/nginx.log;
events { worker_connections 64; }
http {
access_log off;
client_body_temp_path $dir; proxy_temp_path $dir; fastcgi_temp_path $dir;
uwsgi_temp_path $dir; scgi_temp_path $dir;
$servers
}
END
    start_process('nginx', 'nginx', '-p', "$dir", '-c', "$dir/nginx.conf", '-e', "$dir/nginx.log");
    ok(wait_for('nginx', sub { IO::Socket::INET->new(PeerAddr => "127.0.0.1:$plain") }), 'nginx runs');
    return;
}

sub start_process
{
    my ($name, @command) = @_;

    Child::start(
        sub {
            chdir $dir;
            open STDIN, '<', '/dev/null';
            open STDOUT, '>>', "$dir/log";
            open STDERR, '>&', \*STDOUT;
            exec @command or die "could not run \"$name\": $!\n";
        });
    return;
}
