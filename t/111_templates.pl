# Destinations with "{{ path || default }}": what an event makes of the URL, the method and
# the headers is what an event may, and no more.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use JSON::PP;
use PostgreSQL::Test::Utils ();
use RswebhookTest;
use Test::More;

my $json = JSON::PP->new->allow_nonref->canonical;
my @receivers = map { new_receiver() } 1 .. 3;
my $node = new_node('templates');
my ($own, $allowed, $other) = @receivers;
my %once = (min_attempts => 1, retry_window => '0', allowed_hosts => '{127.0.0.1:' . $allowed->port . '}');

add_destination($node, 'url', '{{ event.properties.to || ' . $own->url('/own?k=1') . ' }}', \%once);
add_destination($node, 'no default', '{{ event.properties.to || }}', \%once);
add_destination($node, 'method', $own->url('/method'), { %once, method => '{{ event.properties.how || PUT }}' });
add_destination($node, 'headers', $own->url('/headers'),
    { %once, auth_type => 'bearer', auth_token => 's3cret-token', headers => '{"X-Tenant": "{{ event.context.tenant || none }}", "{{ event.context.name || X-Other }}": "v", "X-Api-Key": "s3cret-key"}' });
add_destination($node, 'own headers', $own->url('/own-headers'),
    { %once, event_auth_headers => 't', headers => '{"{{ event.context.name || X-Other }}": "v", "X-Api-Key": "s3cret-key"}' });

# Where it may lead, as what was the matter if it may not
my %of = (
    url => [
        [ {}, $own, '/own?k=1', undef ],
        [ { to => $own->url('/elsewhere') }, $own, '/elsewhere', undef ],
        [ { to => $allowed->url('/allowed') }, $allowed, '/allowed', undef ],
        [ { to => $other->url('/other') }, undef, undef, qr/neither the destination's own host nor in its allowed_hosts/ ],
        [ { to => 'nonsense' }, undef, undef, qr/./ ],
        [ { to => 'ftp://127.0.0.1/' }, undef, undef, qr/./ ],
        [ { to => { a => 1 } }, undef, undef, qr/./ ],
        [ { to => '' }, undef, undef, qr/has no "webhookUrl"/ ] ],
    'no default' => [
        [ {}, undef, undef, qr/has no "webhookUrl"/ ],
        [ { to => $allowed->url('/plain') }, undef, undef, qr/not https/ ] ],
    method => [
        [ {}, $own, '/method', undef, 'PUT' ],
        [ { how => 'PATCH' }, $own, '/method', undef, 'PATCH' ],
        [ { how => 'GET', q => 'x' }, $own, '/method?q=x', undef, 'GET' ],
        [ { how => 'CONNECT' }, undef, undef, qr/./ ],
        [ { how => "GET / HTTP/1.1\r\nX: y" }, undef, undef, qr/./ ] ]);

foreach my $destination (sort keys %of)
{
    foreach my $case (@{ $of{$destination} })
    {
        my ($properties, $to, $target, $expected, $method) = @$case;
        my %before = map { $_ => scalar $_->requests } @receivers;
        my $id = send_event($node, { type => 'track', userId => 'u', properties => $properties }, $destination);

        ok(wait_until_sent($node), "$destination: " . join(' ', %$properties));
        my ($outcome, $error) = split /\|/, query($node, "SELECT outcome, error FROM rswebhook.delivery WHERE event_id = $id"), 2;
        if (defined $expected)
        {
            is($outcome, 'aborted', 'is given up');
            like($error, $expected, 'and why');
            is(scalar(grep { $_->requests > $before{$_} } @receivers), 0, 'nothing is sent');
        }
        else
        {
            is($outcome, 'delivered', 'is delivered');
            my $request = ($to->requests)[-1];
            is($request->{target}, $target, 'to where it says');
            is($request->{method}, $method // 'POST', 'by the method');
            unlike($request->{body}, qr/"to"|"how"/, 'which is taken out of the event');
        }
    }
}

# What it may name
foreach my $case (
    [ { tenant => 'acme', name => 'X-Name' }, undef ], [ {}, undef ],
    [ { name => 'Authorization' }, qr/would replace the destination's authentication/ ],
    [ { name => 'x_api_key' }, qr/would replace the destination's authentication/ ],
    [ { name => 'Host' }, qr/HTTP itself/ ], [ { name => 'webhook-id' }, qr/webhook-/ ],
    [ { name => "X\r\nY" }, qr/./ ], [ { tenant => "a\r\nb: c" }, qr/./ ], [ { name => 5 }, qr/not a string/ ])
{
    my ($context, $expected) = @$case;
    my $id = send_event($node, { type => 'track', userId => 'u', context => $context }, 'headers');

    ok(wait_until_sent($node), 'headers: ' . join(' ', %$context) =~ s/[\r\n]/ /gr);
    my ($outcome, $error) = split /\|/, query($node, "SELECT outcome, error FROM rswebhook.delivery WHERE event_id = $id"), 2;
    if (defined $expected)
    {
        is($outcome, 'aborted', 'is given up');
        like($error, $expected, 'and why');
        next;
    }
    my $headers = ($own->requests_to('/headers'))[-1]{headers};
    is($headers->{'x-tenant'}, $context->{tenant} // 'none', 'a value');
    is($headers->{ lc($context->{name} // 'X-Other') }, 'v', 'and a name of the event');
    is($headers->{authorization}, 'Bearer s3cret-token', 'beside what authenticates');
}
# What it says is text, not a source of a secret; a source under a name of the event's is one
my $secrets = temp_dir('secret');
my $secret = "$secrets/token";
PostgreSQL::Test::Utils::append_to_file($secret, "s3cret-of-a-file\n");
query($node, "ALTER SYSTEM SET rswebhook.secret_sources = 'env, file'");
query($node, 'SELECT pg_reload_conf()');
add_destination($node, 'sources', $own->url('/sources'),
    { %once, headers => $json->encode({ 'X-Tenant' => '{{ event.context.tenant || none }}', '{{ event.context.name || X-Source }}' => { file => $secret },
            '{{ event.context.other || X-Plain-Key }}' => 's3cret-of-the-row' }) });
foreach my $value ({ file => $secret }, { env => 'HOME' }, { env => undef }, { a => 1 }, [1], [], {}, 5, $json->decode('true'))
{
    my $before = () = $own->requests_to('/sources');

    send_event($node, { type => 'track', userId => 'u', context => { tenant => $value } }, 'sources');
    ok(wait_until_sent($node), 'a value that is no string');
    my @got = $own->requests_to('/sources');
    is(scalar @got, $before + 1, 'is sent');
    is_deeply($json->decode($got[-1]{headers}{'x-tenant'}), $value, 'as it is');
    is($got[-1]{headers}{'x-source'}, 's3cret-of-a-file', 'beside what comes from a source');
}
my $id = send_event($node, { type => 'track', userId => 'u', header => { 'X-Plain-Key' => 'mine' } }, 'sources');
ok(wait_until_sent($node), 'what has a name by default');
like(query($node, "SELECT error FROM rswebhook.delivery WHERE event_id = $id"), qr/would replace the destination's authentication/, 'is no less the destination\'s');
add_destination($node, 'echo', $own->url('/echo/text/0'), { %once, headers => '{"{{ event.context.name || X-Plain-Key }}": "s3cret-of-the-row", "X-Own": "{{ event.context.own || s3cret-by-default }}"}' });
$id = send_event($node, { type => 'track', userId => 'u' }, 'echo');
ok(wait_until_sent($node), 'what comes back');
is(($own->requests_to('/echo/text/0'))[-1]{headers}{'x-own'}, 's3cret-by-default', 'a default among it');
unlike(query($node, "SELECT response_body FROM rswebhook.delivery WHERE event_id = $id"), qr/s3cret/, 'is masked');

# whatever name the event chooses for it, of those that are no secret, too; by that it does not get to others either
my $away = $other->url('/away') =~ s/([^A-Za-z0-9])/sprintf '%%%02X', ord $1/ger;
my %chosen = (%once, max_redirects => 1, headers => '{"{{ event.context.name || X-Plain-Key }}": "Bearer s3cret-of-the-row"}');
add_destination($node, 'chosen', $own->url('/echo/text/0'), \%chosen);
add_destination($node, 'part', $own->url('/text/200/s3cret-of-the-row'), \%chosen);
add_destination($node, 'led away', $own->url("/location/307/$away"), \%chosen);
add_destination($node, 'led away as it is', $own->url("/location/307/$away"), { %chosen, headers => '{"Accept": "text/plain"}' });
foreach my $name ('Accept', 'user-agent', 'CONTENT-TYPE', 'X-Name')
{
    my $event = { type => 'track', userId => 'u', context => { name => $name } };

    $id = send_event($node, $event, 'chosen');
    send_event($node, $event, $_) foreach 'part', 'led away';
    ok(wait_until_sent($node), "under the name $name");
    is(($own->requests_to('/echo/text/0'))[-1]{headers}{ lc $name }, 'Bearer s3cret-of-the-row', 'it is sent');
    is(query($node, "SELECT count(*) FROM rswebhook.delivery WHERE event_id >= $id AND response_body ~ 's3cret'"), 0, 'and masked, as is what is in it');
    unlike($json->encode(($other->requests_to('/away'))[-1]{headers}), qr/s3cret/, 'and where it is led to has none');
}
send_event($node, { type => 'track' }, 'led away as it is');
ok(wait_until_sent($node), 'what has no template');
is(($other->requests_to('/away'))[-1]{headers}{accept}, 'text/plain', 'goes along');
query($node, 'CREATE ROLE reader; SELECT rswebhook.grant_sender(\'reader\')');
unlike(query($node, q{SET ROLE reader; SELECT rswebhook_transform('{"type": "track", "context": {"name": "Accept"}}', 'chosen')}), qr/s3cret/, 'nor has a preview');

send_event($node, { type => 'track', context => { name => 'X-API-Key' } }, 'own headers');
ok(wait_until_sent($node), 'where events may have their own');
is(($own->requests_to('/own-headers'))[-1]{headers}{'x-api-key'}, 'v', 'it replaces what there was');

$node->stop;
done_testing();
