# What an event may say about its own request, and what it may not: it must
# not take a destination's credentials elsewhere, nor replace them.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Test::More;

my $receiver = new_receiver();
my $other = new_receiver();
my $node = new_node('event');
my $origin = $receiver->url('');
my $elsewhere = $other->url('');
my ($port, $other_port) = ($receiver->port, $other->port);

my @credentials = qw(X-Session-Id x-jwt X-Hub-Sig X-Hmac X-Pass Credential X-Passphrase);
my %columns = (
    headers => '{"X-Key": "s3cret", "x-plain": "configured", '
      . join(', ', map { "\"$_\": \"s3cret\"" } @credentials) . '}',
    auth_type => 'bearer',
    auth_token => 't0ken');

add_destination($node, 'bare', $origin, \%columns);
add_destination($node, 'hooks', "$origin/hooks", \%columns);
add_destination($node, 'listed', "$origin/hooks", { %columns, allowed_hosts => "{127.0.0.1:$other_port}" });
add_destination($node, 'other_port', "$origin/hooks", { %columns, allowed_hosts => '{127.0.0.1}' });
add_destination($node, 'open', "$origin/hooks", { %columns, event_auth_headers => 'true' });
add_destination($node, 'public', "$origin/hooks");

# ---------------------------------------------------------------------
# Where it goes
# ---------------------------------------------------------------------
my $not_ours = qr/^the event's URL leads to \S+, which is neither the destination's own host nor in its allowed_hosts$/;

# destination, event, what becomes of it: the path at the destination, or an
# error
my @urls = (
    [ 'hooks', {}, '/hooks' ],
    [ 'hooks', { appendPath => '/more?a=b#c' }, '/hooks/more?a=b' ],
    [ 'hooks', { appendPath => 'more' }, '/hooksmore' ],
    [ 'hooks', { appendPath => '@evil.example/' }, '/hooks@evil.example/' ],
    [ 'hooks', { appendPath => '//evil.example/' }, '/hooks//evil.example/' ],
    [ 'hooks', { appendPath => '\\\\evil.example\\' }, '/hooks%5C%5Cevil.example%5C' ],
    [ 'hooks', { appendPath => '/../admin' }, '/hooks/../admin' ],
    [ 'hooks', { appendPath => '/../../../admin' }, '/hooks/../../../admin' ],
    [ 'hooks', { appendPath => '/a b' }, '/hooks/a%20b' ],
    [ 'hooks', { appendPath => "/a\r\nX-Injected: 1" }, qr/^the URL has a control character$/ ],
    [ 'hooks', { appendPath => "\t" }, qr/^the URL has a control character$/ ],
    [ 'hooks', { fullPath => "$origin/else/where" }, '/else/where' ],
    [ 'hooks', { fullPath => "HTTP://127.0.0.1:0$port/" }, '/' ],
    [ 'hooks', { fullPath => "$elsewhere/" }, $not_ours ],
    [ 'hooks', { fullPath => "http://localhost:$port/" }, $not_ours ],
    [ 'hooks', { fullPath => "http://127.1:$port/" }, $not_ours ],
    [ 'hooks', { fullPath => "http://127.0.0.1.:$port/" }, $not_ours ],
    [ 'hooks', { fullPath => 'http://127.0.0.1/' }, $not_ours ],
    [ 'hooks', { fullPath => "https://127.0.0.1:$port/" }, $not_ours ],
    [ 'hooks', { fullPath => "http://user\@127.0.0.1:$port/" }, qr/user name or password/ ],
    [ 'hooks', { fullPath => "http://127.0.0.1:$port\@127.0.0.1:$other_port/" }, qr/user name or password/ ],
    [ 'hooks', { fullPath => "http://127.0.0.1:$port\\\@127.0.0.1:$other_port/" }, qr/user name or password/ ],
    [ 'hooks', { fullPath => "http://127.0.0.1:$port#\@127.0.0.1:$other_port/" }, '/' ],
    [ 'hooks', { fullPath => "http://127.0.0.1:$port?\@127.0.0.1:$other_port/" }, qr{^/\?} ],
    [ 'hooks', { fullPath => " $origin/" }, qr/^the URL does not begin with/ ],
    [ 'hooks', { fullPath => "\x01$origin/" }, qr/^the URL has a control character$/ ],
    [ 'hooks', { fullPath => '/relative' }, qr/^the URL does not begin with/ ],
    [ 'hooks', { fullPath => 'file:///etc/passwd' }, qr/^the URL does not begin with/ ],
    [ 'hooks', { fullPath => '' }, qr/^the URL does not begin with/ ],
    [ 'hooks', { integrations => { webhook => { fullPath => "$elsewhere/" } } }, $not_ours ],
    [ 'bare', {}, '/' ],
    [ 'bare', { appendPath => '/x' }, '/x' ],
    [ 'bare', { appendPath => '0' }, qr/neither the destination's|port is not a number/ ],
    [ 'bare', { appendPath => "\@127.0.0.1:$other_port/" }, qr/user name or password/ ],
    [ 'bare', { appendPath => '.evil.example' }, qr/port is not a number/ ],
    [ 'bare', { appendPath => '\\.evil.example' }, qr/port is not a number/ ],
    [ 'bare', { appendPath => '/../..' }, '/../..' ],
    [ 'listed', { fullPath => "$elsewhere/listed" }, undef ],
    [ 'listed', { fullPath => "http://127.0.0.1/listed" }, $not_ours ],
    [ 'other_port', { fullPath => "$elsewhere/" }, $not_ours ]);

foreach my $case (@urls)
{
    my ($destination, $event) = @$case;

    push @$case, send_event($node, { type => 'track', %$event }, $destination);
}
ok(wait_until_sent($node), 'nothing is owed any more');

my %request_to = map { $_->{headers}{'webhook-id'} => $_ } $receiver->requests;
foreach my $case (@urls)
{
    my ($destination, $event, $expected, $id) = @$case;
    my $what = "$destination, " . JSON::PP->new->canonical->encode($event);
    my ($row) = query_rows($node,
        "SELECT outcome, error FROM rswebhook.delivery WHERE event_id = $id");
    my ($request) = grep { $_->{headers}{'webhook-id'} =~ /_$id$/ } values %request_to;

    if (!defined $expected)
    {
        is($row->{outcome}, 'delivered', $what);
    }
    elsif (defined $request)
    {
        ref $expected
          ? like($request->{target}, $expected, $what)
          : is($request->{target}, $expected, $what);
    }
    else
    {
        is($row->{outcome}, 'aborted', "$what is given up at once");
        like($row->{error}, ref $expected ? $expected : qr/^$/, $what);
    }
}
is(scalar(() = $other->requests), 1, 'only the host that is listed was called');
my ($listed) = $other->requests;
is($listed->{headers}{authorization}, 'Bearer t0ken', 'and is trusted like the destination itself');
is(scalar(grep { exists $_->{headers}{'x-injected'} } $receiver->requests), 0, 'nothing was injected');

my $secure = "'https://example.com/hooks', '{127.0.0.1:$other_port,b.example}'";
query($node, "INSERT INTO rswebhook.destination (name, url, allowed_hosts) VALUES ('secure', $secure)");
my $plain = send_event($node, { fullPath => "$elsewhere/" }, 'secure');
ok(wait_until_sent($node), 'nothing is owed any more');
is(query($node, "SELECT error FROM rswebhook.delivery WHERE event_id = $plain"),
    "the event's URL is not https, and the destination's is", 'https does not become http');

is(query($node, "SELECT rswebhook_transform('{\"fullPath\": \"https://evil.example/\"}', 'hooks') ->> 'endpoint'"),
    'https://evil.example/', "the transform still shows RudderStack's request");

# ---------------------------------------------------------------------
# Headers
# ---------------------------------------------------------------------
my $replaced = qr/^header "[\w-]+" of the event would replace the destination's authentication$/;
my $not_allowed = qr{^header "[\w.~-]+" is not allowed: };
my @headers = (
    [ 'hooks', { 'X-Own' => '1' }, { 'x-own' => '1', authorization => 'Bearer t0ken', 'x-key' => 's3cret' } ],
    [ 'hooks', { 'X-Plain' => 'event' }, { 'x-plain' => 'event', authorization => 'Bearer t0ken' } ],
    [ 'hooks', { Authorization => 'mine' }, $replaced ],
    [ 'hooks', { AUTHORIZATION => '' }, $replaced ],
    [ 'hooks', { 'x-key' => 'mine' }, $replaced ],
    (map { [ 'hooks', { $_ => 'mine' }, $replaced ] } @credentials),

    # what many receivers read as the same
    [ 'hooks', { 'X_Key' => 'mine' }, $replaced ],
    [ 'hooks', { 'x_hub-SIG' => 'mine' }, $replaced ],
    (map { [ 'hooks', { "X${_}Hub${_}Sig" => 'mine' }, $replaced ] } split //, q{.~!#$%&'*+^`|}),
    [ 'hooks', { 'X_Own' => '1' }, { x_own => '1' } ],
    (map { [ 'public', { $_ => 'x' }, $not_allowed ] } qw(Content_Length transfer.encoding WEBHOOK_ID Webhook~Signature webhook.else)),
    [ 'public', { Authorization => 'mine' }, { authorization => 'mine' } ],
    [ 'open', { Authorization => 'mine', 'X-KEY' => 'mine' }, { authorization => 'mine', 'x-key' => 'mine' } ],
    (map { [ 'public', { $_ => 'x' }, $not_allowed ] }
        'Host', 'Content-Length', 'transfer-encoding', 'CONNECTION', 'Proxy-Authorization', 'Expect',
        'webhook-id', 'Webhook-Timestamp', 'WEBHOOK-SIGNATURE', 'webhook-else'),
    [ 'public', { 'x-a' => "1\r\nx-injected: 1" }, $not_allowed ],
    [ 'public', { 'x-a' => "1\nx-injected: 1" }, $not_allowed ],
    [ 'public', { "x-a: 1\r\nx-injected" => '1' }, qr/^header ".*" is not allowed: / ],
    [ 'public', { 'x-a' => "1\x01" }, $not_allowed ],
    [ 'public', { map { ("x-$_" => 1) } 1 .. 201 }, qr/^the request would have more than 200 headers$/ ],
    [ 'public', { 'x-a' => 'v' x 70000 }, qr/^the headers would have more than 65536 bytes$/ ]);

# What no request can have is refused; where it is owed all the same, as what was sent by an
# earlier version, it is aborted.
foreach my $case (@headers)
{
    my ($destination, $header, $expected) = @$case;
    my $event = JSON::PP->new->ascii->canonical->encode({ type => 'track', header => $header });

    if (ref $expected eq 'Regexp' && $expected ne $replaced)
    {
        my (undef, undef, $error) = $node->psql('postgres', sprintf "SELECT rswebhook_send(%s, '%s')", RswebhookTest::quote_literal($event), $destination);

        like($error, qr/ERROR:  event has a "header" that cannot be sent\nDETAIL:  (Header ".*" is not allowed: .*|The .* than \d+ .*)\.\nHINT:/,
            substr("$destination refuses $event", 0, 80));
        push @$case, query($node, "SELECT rswebhook_pause('$destination'); SELECT rswebhook_send('{\"type\": \"track\"}', '$destination')") =~ /(\d+)$/;
        query($node, sprintf 'UPDATE rswebhook.event SET event = %s WHERE id = %d', RswebhookTest::quote_literal($event), $case->[-1]);
        query($node, "SELECT rswebhook_resume('$destination')");
    }
    else
    {
        push @$case, send_event($node, { type => 'track', header => $header }, $destination);
    }
}
ok(wait_until_sent($node), 'nothing is owed any more');
foreach my $case (@headers)
{
    my ($destination, $event, $expected, $id) = @$case;
    my $what = substr("$destination, " . JSON::PP->new->canonical->encode($event), 0, 80);
    my ($request) = grep { $_->{headers}{'webhook-id'} =~ /_$id$/ } $receiver->requests;

    if (ref $expected eq 'HASH')
    {
        is($request->{headers}{$_}, $expected->{$_}, "$what: $_") foreach sort keys %$expected;
    }
    else
    {
        ok(!defined $request, "$what is not sent");
        like(query($node, "SELECT error FROM rswebhook.delivery WHERE event_id = $id AND outcome = 'aborted'"),
            $expected, "$what: why");
    }
}
is(scalar(grep { exists $_->{headers}{'x-injected'} } $receiver->requests), 0, 'nothing was injected');

# ---------------------------------------------------------------------
# Sizes
# ---------------------------------------------------------------------
add_destination($node, 'params', "$origin/get", { method => 'GET' });
my $many = send_event($node,
    { type => 'track', properties => { map { ("key$_" => $_) } 1 .. 10000 } }, 'params');
ok(wait_until_sent($node), 'nothing is owed any more');
is(query($node, "SELECT outcome || ': ' || error FROM rswebhook.delivery WHERE event_id = $many"),
    'aborted: the URL with its params would be longer than 65536 bytes', 'ten thousand params are too many');
my ($status, undef, $message) =
  $node->psql('postgres', "SELECT rswebhook_send(jsonb_build_object('a', repeat('x', 2000000)))");
like($message, qr/event is too large/, 'an event has a size');

done_testing();
