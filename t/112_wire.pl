# What rswebhook.wire() shows is what goes over the wire: the target as it is, the method,
# the headers and the body, byte for byte.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use JSON::PP;
use RswebhookTest;
use Test::More;

my $json = JSON::PP->new->utf8->canonical->allow_nonref;
my $receiver = new_receiver();
my $node = new_node('wire');

# What is added to every request, beside what it is about; an event may say otherwise
my %ours = map { $_ => 1 } qw(host accept-encoding content-length webhook-id connection);

my @paths = (
    '', '/', '//', '/a/../b', '/../..', '/./a/.', '/a/%2e%2e/b', '/a//b/', '/a;b=c/d', '/a b', '/a%20b', '/%zz', '/%', "/\x{e9}\x{2028}", '/a[0]', '/{a}',
    '/a|b^c`', '/a"b<c>', "/a'b(c)*!", '/a:b@c', '/a,b$c&d=e', '/a~-_.', '?', '?a', '?a=', '?=b', '?a=b&a=c&&d', '?a=b+c%20d', '?b=1&a=2', '?a=%zz&b', '?a=b=c',
    '?a[0]=x', '?a;b', "?a=\x{e9}", '?a=/../', '/x?y=/./#f', '#f', '/a?b#c?d',
    "/[a] b!'()*%5b%2F", "/[a]!'()*", '/a,b;c@d:e+f$g&h=i j', '?a=%zz&b=%&c=%4', '?a;b=c&d=e;f', '?%zz=1&=&&=x');
my @events = (
    { type => 'track', userId => 'u', properties => { a => 1, b => 'x y', c => [ 1, { d => JSON::PP::null } ], 'e.f' => JSON::PP::true, g => "\x{e9}\x{2028}<>&\"\\/\t" } },
    { type => 'identify', traits => { a => 'b&c=d', "\x{1f600}" => '%' } },
    { properties => { '' => '', a => [], b => {}, c => JSON::PP::null, d => 1.5 } },
    { properties => {} },
    # nothing is left of these
    {}, { header => {}, appendPath => '', type => JSON::PP::null },
    { header => { 'User-Agent' => '', 'X-N' => undef, 'X-E' => '' } }, { header => { 'Accept-Encoding' => 'identity', Accept => 'text/x' } },
    { header => { 'X-A' => 'a b', 'x-b' => 5, 'X-C' => { d => [1] }, 'Content-Type' => 'text/x', 'User-Agent' => 'me', 'X-D' => '' } });

add_destination($node, 'wire', $receiver->url('/'), { allowed_hosts => '{127.0.0.1:' . $receiver->port . '}', min_attempts => 1, retry_window => '0' });
foreach my $method (qw(POST PUT PATCH GET DELETE))
{
    my $n = 0;

    query($node, "UPDATE rswebhook.destination SET method = '$method'");
    foreach my $case ((map { [ $_, $events[0] ] } @paths), map { [ '/p?q=1', $_ ] } @events)
    {
        my ($path, $event) = @$case;
        my $id = "$method-" . $n++;
        my %event = (%$event, fullPath => $receiver->url($path), header => { 'X-Id' => $id, %{ $event->{header} // {} } });
        my $config = { webhookUrl => $receiver->url('/'), webhookMethod => $method };
        my ($code, $wire, $why) = $node->psql('postgres', sprintf 'SELECT rswebhook.wire(%s, %s::jsonb)',
            map { RswebhookTest::quote_literal(JSON::PP->new->ascii->canonical->encode($_)) } \%event, $config);
        send_event($node, \%event, 'wire');
        my $what = "$method $path " . join(' ', sort keys %$event);

        $what =~ s/[^ -~]/?/g;
        if (!wait_until_sent($node))
        {
            fail("$what: is sent");
            last;
        }
        my @got = grep { ($_->{headers}{'x-id'} // '') eq $id } $receiver->requests;
        if ($code != 0)
        {
            is(scalar @got, 0, "$what: not to be sent, and not sent");
            next;
        }
        my $expected = $json->decode($wire);
        my ($target) = $expected->{url} =~ m{^http://[^/?#]*(.*?)(?:#.*)?$}s;
        my %headers = map { lc($_) => $expected->{headers}{$_} } keys %{ $expected->{headers} };
        my %others = map { $_ => $got[0]{headers}{$_} } grep { !$ours{$_} || exists $headers{$_} } keys %{ $got[0]{headers} // {} };

        $target = "/$target" unless $target =~ m{^/};

        # libcurl from 8.20 or so writes codes in upper case
        s/(%[0-9a-f]{2})/\U$1/gi foreach $target, my $sent = $got[0]{target};
        is($sent, $target, "$what: the target");
        is($got[0]{method}, $method, 'the method');
        is($got[0]{headers}{'accept-encoding'}, $headers{'accept-encoding'} // 'deflate, gzip', 'what is unpacked is asked for');
        is($got[0]{body} // '', $expected->{body} // '', 'the body');
        is($got[0]{headers}{'content-length'}, 0, 'which is empty, and says so')
            if ($expected->{body} // '-') eq '';
        is($json->encode(\%others), $json->encode(\%headers), 'the headers');

        # the same of the destination itself, and with what identifies it
        my $stored = $json->decode(query($node, sprintf q{SELECT rswebhook.wire(%s, 'wire')},
                RswebhookTest::quote_literal(JSON::PP->new->ascii->canonical->encode(\%event))));
        like(delete $stored->{headers}{'webhook-id'}, qr/^rsw_\*\*\*$/, 'the destination: an id');
        is($json->encode($stored), $json->encode($expected), 'and all else as by its Config');
    }
}

$node->stop;
done_testing();
