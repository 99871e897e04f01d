# What goes over the wire: bodies of any size, connections that are kept,
# compression, TLS, HTTP/2 and proxies.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use Nginx;
use RswebhookTest;
use SocksProxy;
use Test::More;

my $receiver = new_receiver();
my $node = new_node('http', conf => "rswebhook.max_event_size = 32MB\nrswebhook.max_request_size = 32MB\n");
my %hasty = (min_backoff => '50 ms', max_backoff => '50 ms', retry_window => '0',
    min_attempts => 1, breaker_failures => 0);

#
# Bodies
#
add_destination($node, 'sizes', $receiver->url('/sizes'));
send_sized('empty', 0);
ok(wait_until_sent($node), 'a small body is sent');
my $overhead = length(($receiver->requests_to('/sizes'))[0]{body}) - length 'empty';
my @sizes = (16_383, 16_384, 65_535, 65_536, 65_537, 1_048_576, 16_777_216);
foreach my $size (@sizes)
{
    send_sized($size, $size - $overhead - length $size);
}
ok(wait_until_sent($node), 'large ones, too');
my %body_of = map { $_->{headers}{'webhook-id'} => $_ } $receiver->requests_to('/sizes');
foreach my $size (@sizes)
{
    my $request = $body_of{$size} // { body => '', headers => {} };

    is(length $request->{body}, $size, "$size bytes arrive");
    is($request->{headers}{'content-length'}, $size, "$size bytes are announced");
    like($request->{body}, qr/"pad": ?"x+"\}/, "$size bytes are the event");
}

is((grep { exists $_->{headers}{expect} } $receiver->requests) + 0, 0, 'none waits for 100 Continue');

#
# Connections are kept
#
my $kept = new_receiver();
add_destination($node, 'kept', $kept->url('/kept'), { max_in_flight => 4 });
query($node, q{
    SELECT count(rswebhook_send(jsonb_build_object('type', 'track', 'messageId', 'kept-' || n,
        'userId', 'u' || n % 4), 'kept'))
    FROM generate_series(1, 400) AS n});
ok(wait_until_sent($node), 'four hundred requests');
my %connections = map { $_->{connection} => 1 } $kept->requests;
cmp_ok(scalar keys %connections, '<=', 4, 'on four connections at the most');
send_event($node, { type => 'track', userId => 'u', messageId => 'kept-later' }, 'kept');
ok(wait_until_sent($node), 'one more');
my ($last) = grep { $_->{headers}{'webhook-id'} eq 'kept-later' } $kept->requests;
ok($connections{ $last->{connection} }, 'on one of them');

#
# Compressed answers
#
add_destination($node, 'gzip', $kept->url('/gzip/10000000'));
my $gzip = send_event($node, { type => 'track', userId => 'u' }, 'gzip');
ok(wait_until_sent($node), 'a compressed answer');
is(outcomes($node, $gzip), 'delivered 200 1', 'is understood');
is(query($node, qq{SELECT response_body = repeat('\\x00', 4096) FROM rswebhook.delivery WHERE event_id = $gzip}),
    't', 'and kept decoded, up to the limit');

#
# A proxy: our receiver sees the whole URL then.
#
my $proxy = new_receiver();
add_destination($node, 'proxied', 'http://shop.invalid/proxied', { %hasty, proxy => $proxy->url('') });
add_destination($node, 'direct', $kept->url('/direct'),
    { %hasty, proxy => $proxy->url(''), no_proxy => '127.0.0.1' });
send_event($node, { type => 'track', userId => 'u' }, $_) foreach 'proxied', 'direct';
ok(wait_until_sent($node), 'with a proxy');
is(join(' ', map { $_->{target} } $proxy->requests), 'http://shop.invalid/proxied',
    'the proxy is asked, and resolves the name');
is(scalar(() = $kept->requests_to('/direct')), 1, 'but not for what no_proxy names');

# Each hop by itself: from one host to another, by the proxy and not
add_destination($node, 'network', $kept->url('/redirect/307/network'),
    { %hasty, proxy => $proxy->url(''), no_proxy => 'x.test, 127.0.0.0/31, fd00::/8, [::1]', max_redirects => 1 });
send_event($node, { type => 'track', userId => 'u' }, 'network');
ok(wait_until_sent($node), 'a network in no_proxy');
is(scalar(() = $kept->requests_to('/network')), 1, 'is reached directly, and what it redirects to');
is(scalar(() = $proxy->requests), 1, 'without the proxy');

# SOCKS5, with the name resolved there
my $socks_dir = temp_dir('socks');
my $socks = SocksProxy->new($kept->{port}, "$socks_dir/notes");
add_destination($node, 'socks', 'http://socks.invalid/socks', { %hasty, proxy => $socks->url('socks5h') });
send_event($node, { type => 'track', userId => 'u' }, 'socks');
ok(wait_until_sent($node), 'with a SOCKS proxy');
is(join(' ', $socks->asked), 'socks.invalid:80', 'it is asked');
is(scalar(() = $kept->requests_to('/socks')), 1, 'and passes the request on');

#
# TLS
#
SKIP:
{
    my $dir = temp_dir('nginx');

    skip 'libcurl before 7.77 takes no CA of its own', 1 unless libcurl_at_least(7, 77);
    skip 'needs nginx and openssl', 1 unless defined Nginx::program() && make_certificates($dir);
    my $nginx = Nginx->new($dir, listen => 'ssl http2', server => <<"CONF");
ssl_certificate $dir/server.crt;
        ssl_certificate_key $dir/server.key;
        ssl_client_certificate $dir/ca.crt;
        ssl_verify_client optional;
        location /mutual {
            if (\$ssl_client_verify != SUCCESS) { return 403; }
            return 200 "\$ssl_client_s_dn";
        }
CONF
    my %certificate = map { $_ => slurp("$dir/$_") } 'ca.crt', 'client.crt', 'client.key', 'other.crt';
    my %trusting = (%hasty, ca_cert => $certificate{'ca.crt'});
    my %known = (client_cert => $certificate{'client.crt'}, client_key => $certificate{'client.key'});
    my %expected = (
        'not trusted' => [ '/', \%hasty, qr/^aborted 1$/ ],
        'another authority' => [ '/', { %hasty, ca_cert => $certificate{'other.crt'} }, qr/^aborted 1$/ ],
        'trusted' => [ '/', \%trusting, qr/^delivered 200 1$/ ],
        'unknown client' => [ '/mutual', \%trusting, qr/^aborted 403 1$/ ],
        'known client' => [ '/mutual', { %trusting, %known }, qr/^delivered 200 1$/ ]);
    my %id_of;

    foreach my $name (sort keys %expected)
    {
        my ($path, $columns) = @{ $expected{$name} };

        add_destination($node, $name, $nginx->url($path, 'https'), $columns);
        $id_of{$name} = send_event($node, { type => 'track', userId => 'u', messageId => $name =~ s/ /-/gr }, $name);
    }
    ok(wait_until_sent($node), 'over TLS');
    like(outcomes($node, $id_of{$_}), $expected{$_}[2], "TLS: $_") foreach sort keys %expected;
    like(query($node, "SELECT error FROM rswebhook.delivery WHERE event_id = $id_of{'not trusted'}"),
        qr/certificate/i, 'the error says what is wrong');
    is(query($node, "SELECT response_body FROM rswebhook.delivery WHERE event_id = $id_of{'known client'}"),
        'CN=client', 'the client shows its certificate');
    unlike(query($node, q{SELECT string_agg(v::text, chr(10)) FROM rswebhook.delivery AS v}),
        qr/BEGIN/, 'no certificate or key is in a row');

    # A name that is not the certificate's
    my $port = $nginx->{port};
    add_destination($node, 'wrong name', "https://127.0.0.2:$port/", \%trusting);
    my $wrong = send_event($node, { type => 'track', userId => 'u' }, 'wrong name');
    ok(wait_until_sent($node), 'another address');
    is(outcomes($node, $wrong), 'aborted 1', 'TLS: the certificate is another one\'s');

    # Many at once
    add_destination($node, 'many', $nginx->url('/many', 'https'), { %trusting, max_in_flight => 50 });
    query($node, q{
        SELECT count(rswebhook_send(jsonb_build_object('type', 'track', 'messageId', 'h2-' || n,
            'userId', 'u' || n), 'many'))
        FROM generate_series(1, 1000) AS n});
    ok(wait_until_sent($node), 'a thousand requests');
    $nginx->stop;
    my @many = $nginx->requests(qr/^h2-/);
    my %used = map { $_->{connection} => 1 } @many;
    my %arrived = map { $_->{id} => 1 } @many;
    # libcurl before 8.2 may lose an answer: see doc/reliability.md
    is(scalar keys %arrived, 1000, 'have arrived');
    cmp_ok(scalar @many, '<', 1010, 'nearly all of them once');
    is((grep { $_->{protocol} ne 'HTTP/2.0' } @many) + 0, 0, 'by HTTP/2');
    # nginx ends one after a thousand, and a busy machine another; not fifty for fifty in flight
    cmp_ok(scalar keys %used, '<=', 5, 'many on one connection');
}

done_testing();

# An event whose body has so many bytes and those of its id, and some more
sub send_sized
{
    my ($id, $padding) = @_;

    return query($node, qq{
        SELECT rswebhook_send(jsonb_build_object('type', 'track', 'messageId', '$id',
            'properties', jsonb_build_object('pad', repeat('x', $padding))), 'sizes')});
}

# An authority, what it signed, and one that nobody knows
sub make_certificates
{
    my ($dir) = @_;

    open my $ext, '>', "$dir/server.ext" or die "could not write: $!\n";
    print $ext "subjectAltName = IP:127.0.0.1\n";
    close $ext;
    foreach my $name ('ca', 'other')
    {
        openssl("req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=$name -keyout $dir/$name.key -out $dir/$name.crt")
          or return 0;
    }
    foreach my $name ('server', 'client')
    {
        my $extensions = $name eq 'server' ? "-extfile $dir/server.ext" : '';

        openssl("req -newkey rsa:2048 -nodes -subj /CN=$name -keyout $dir/$name.key -out $dir/$name.csr")
          && openssl("x509 -req -in $dir/$name.csr -CA $dir/ca.crt -CAkey $dir/ca.key -CAcreateserial -days 2 -out $dir/$name.crt $extensions")
          or return 0;
    }
    return 1;
}

sub openssl
{
    my ($arguments) = @_;

    return system("openssl $arguments >/dev/null 2>&1") == 0;
}

sub slurp
{
    my ($file) = @_;

    open my $in, '<', $file or die "could not read \"$file\": $!\n";
    local $/;
    return scalar <$in>;
}
