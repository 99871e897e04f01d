# Destinations with mappings: the worker sends what the preview shows, in each format and by
# each method, signs it, hides what of it is secret, and aborts what cannot be made.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use Digest::SHA qw(hmac_sha256_base64);
use Encode qw(encode_utf8);
use JSON::PP;
use MIME::Base64;
use RswebhookTest;
use Test::More;

my $receiver = new_receiver();
my $node = new_node('mapped');
my $json = JSON::PP->new->canonical->allow_nonref;
my $n = 0;

my %event = (
    type => 'track', event => "Caf\xe9 <&>", userId => 'u 1/?', header => { 'X-A' => 'evil' }, fullPath => 'http://169.254.169.254/', appendPath => '/x',
    properties => { price => 60.5, none => undef, list => [ 1, undef, { a => undef, b => 'x y' } ], text => "a=b&c;d\"e\n" });

# As sent: the path, the query, the body and the headers
my %columns = (
    ordered => 0, min_attempts => 1, retry_window => '0', headers => '{"X-Static": "cost $5"}',
    header_mapping => '[{"to": "X-Event", "from": "$.type"}, {"to": "X-None", "from": "$.none"}]',
    query_mapping => '[{"to": "user", "from": "$.userId"}, {"to": "a b", "from": "s3cret-query"}, {"to": "o", "from": "$.properties.list"}]',
    path_parts => '["users", "$.userId", ".."]');
my %body = (
    mapped => '[{"to": "$.order.name", "from": "$.event"}, {"to": "$.order.lines[*].text", "from": "$.properties.list[*].b"}, {"to": "price", "from": "$.properties.price"}, {"to": "api_key", "from": "s3cret-body"}]',
    empty => '[]', whole => undef);

foreach my $method (qw(POST PUT PATCH GET DELETE))
{
    foreach my $format (qw(json form xml))
    {
        foreach my $kind (sort keys %body)
        {
            my $name = "$kind $format $method";
            my %own = (%columns, method => $method, format => $format);
            my %sent = (%event, messageId => 'm' . ++$n);

            $own{body_mapping} = $body{$kind} if defined $body{$kind};
            add_destination($node, $name, $receiver->url("/as-sent?own=s3cret-own"), \%own);
            send_event($node, \%sent, $name);
            ok(wait_until_sent($node), "$name: is sent") or last;
            my ($got) = grep { ($_->{headers}{'webhook-id'} // '') eq "m$n" } $receiver->requests;
            my $shown = JSON::PP->new->utf8->decode(query($node, sprintf 'SELECT rswebhook_transform(%s, %s)',
                    map { RswebhookTest::quote_literal($_) } JSON::PP->new->ascii->encode(\%sent), $name));

            is($got->{method}, $method, "$name: its method");
            is($got->{target}, '/as-sent/users/u%201%2F%3F/..?a+b=s3cret-query&o=%5B1%2Cnull%2C%7B%22a%22%3Anull%2C%22b%22%3A%22x+y%22%7D%5D&own=s3cret-own&user=u+1%2F%3F',
                "$name: the path and the query");
            is_deeply({ map { $_ => $got->{headers}{$_} } qw(x-event x-none x-static x-a content-type) },
                { 'x-event' => 'track', 'x-none' => undef, 'x-static' => 'cost $5', 'x-a' => undef,
                    'content-type' => { json => 'application/json', form => 'application/x-www-form-urlencoded', xml => 'application/xml' }->{$format} },
                "$name: the headers");
            is(body_text($format, $shown->{body}), $got->{body}, "$name: the body is the one that is shown") if $format ne 'json';
            is_deeply($json->decode($got->{body} || '{}'), $shown->{body}{JSON}, "$name: the body is the one that is shown") if $format eq 'json';
            is($got->{body} eq '' ? 'none' : 'some', $kind eq 'empty' ? 'none' : 'some', "$name: a body, or none");
        }
    }
}
is(query($node, q{SELECT DISTINCT outcome || ' ' || status FROM rswebhook.delivery}), 'delivered 200', 'all have arrived');
is(query($node, q{SELECT count(*) FROM rswebhook.delivery WHERE request LIKE '%s3cret%'}), '0', 'nothing that the destination itself says is in what is recorded of a request');
like(query($node, q{SELECT request FROM rswebhook.delivery LIMIT 1}), qr/\?a\+b=\*\*\*&o=.*&own=\*\*\*&user=u\+1%2F%3F$/, 'but what the event says');

# XML that parsers read, whatever is in it
SKIP:
{
    my $xml = query($node, q{SELECT rswebhook_transform('{"userId": 1, "a b": "<&>\"''\u0001\r", "1": [[1], {"": null}], "é": "]]>"}', 'whole xml POST') #>> '{body,XML,payload}'});
    my ($code, $out) = $node->psql('postgres', "SELECT xpath('/root/*', xmlparse(DOCUMENT \$q\$$xml\$q\$))");

    skip 'this server has no parser for XML', 1 if $code != 0 && query($node, q{SELECT count(*) FROM pg_catalog.pg_config WHERE setting LIKE '%libxml%'}) eq '0';
    is($code, 0, 'a document');
}

# Signed are the bytes that arrive
my $key = query($node, 'SELECT rswebhook_generate_secret()');
foreach my $format (qw(xml form))
{
    query($node, qq{UPDATE rswebhook.destination SET signing_secrets = '["$key"]' WHERE name = 'mapped $format GET'});
    send_event($node, { %event, messageId => "signed-$format" }, "mapped $format GET");
    ok(wait_until_sent($node), "signed $format is sent");
    my ($got) = grep { $_->{headers}{'webhook-id'} eq "signed-$format" } $receiver->requests;
    is($got->{headers}{'webhook-signature'}, 'v1,' . padded(hmac_sha256_base64(
                encode_utf8("signed-$format.$got->{headers}{'webhook-timestamp'}.$got->{body}"), decode_base64(substr($key, 6)))), "the signature of a $format");
}

# What comes back of a secret is masked: headers, the query, and members with the name of a credential
add_destination($node, 'echo', $receiver->url('/echo/json/0'), {
        %columns, path_parts => '[]', body_mapping => '[{"to": "$.auth.token", "from": "s3cret-token"}, {"to": "word", "from": "trigger"}]',
        header_mapping => '[{"to": "X-Mine", "from": "s3cret-header"}, {"to": "X-Event", "from": "$.event_name"}]' });
send_event($node, { type => 'track', event_name => 'visible-name', userId => 'u' }, 'echo');
ok(wait_until_sent($node), 'an echo');
my $answer = query($node, q{SELECT response_body FROM rswebhook.delivery ORDER BY started_at DESC LIMIT 1});
unlike($answer, qr/s3cret/, 'no secret in what an echo answers');
like($answer, qr/visible-name/, 'what is of the event is there');

# However deep in a query they are, and in a body all that is below the name of a credential, in each
# form in which it was sent; not what an event says
my %deep = (
    header_mapping => [ 'X-Deep' ], query_mapping => [ 'a.b', '$.c[0].d', 'e[0]', '$.f.g.h', '$.i[*]', 'j' ],
    body_mapping => [ '$.tokens[0]', '$.password[1]', '$.x.token[0]', '$.authorization.value', '$.auth.inner.v',
        '$.token.x', '$.secrets[*]', q($.a['api-keys'][0].b), 'my_Password' ]);
my %written = (plain => '"s3cret-deep"', quoted => q("'s3cret-deep$ \"a\\\\\\\\b\"+%&<c> '"), template => '"{{ event.none || s3cret-deep }}"', quotes => q("s3cret-deep \"\\\\n \u00e9\""));
foreach my $form (qw(text json url html base64))
{
    foreach my $format (qw(json form xml))
    {
        foreach my $how (sort keys %written)
        {
            my %own = (min_attempts => 1, retry_window => '0', breaker_failures => 0, format => $format);

            foreach my $list (sort keys %deep)
            {
                next if $list eq 'header_mapping' && $how eq 'quotes';
                my @mappings = map { sprintf '{"to": %s, "from": %s}', $json->encode($_), $written{$how} } @{ $deep{$list} };
                push @mappings, '{"to": "word", "from": "trigger"}', '{"to": "said.token", "from": "$.said"}' if $list eq 'body_mapping';
                $own{$list} = '[' . join(', ', @mappings) . ']';
            }
            add_destination($node, "deep $form $format $how", $receiver->url("/echo/$form/0"), \%own);
            send_event($node, { type => 'track', said => 'by-the-event' }, "deep $form $format $how");
        }
    }
}
ok(wait_until_sent($node), 'echoes of what is deep');
my @deep = query_rows($node, q{SELECT d.name, v.outcome, v.response_body FROM rswebhook.delivery v
        JOIN rswebhook.destination d ON d.id = v.destination_id WHERE d.name LIKE 'deep %' ORDER BY d.name});
is(scalar @deep, 60, 'each of them');
foreach my $row (@deep)
{
    my @found = grep { index($row->{response_body}, $_) >= 0 } 's3cret-deep', map { substr(encode_base64('x' x $_ . 's3cret-deep', ''), 4, 8) } 0 .. 2;

    is("$row->{outcome} @found", 'delivered ', "$row->{name}: nothing leaks");
    next if $row->{name} =~ /base64/;
    like($row->{response_body}, qr/\*\*\*.*trigger/s, "$row->{name}: but words are there");
    like($row->{response_body}, qr/by-the-event/, "$row->{name}: and what the event says");
}

# With a body, too, what is in the query is not lost by a redirect
foreach my $case ([ '/redirect/307/status/200', 'aborted' ], [ '/location/307/%2Fhere%3Fuser%3Du', 'delivered' ])
{
    my ($path, $outcome) = @$case;

    add_destination($node, $path, $receiver->url($path), { min_attempts => 1, retry_window => '0', max_redirects => 1,
            query_mapping => '[{"to": "user", "from": "$.userId"}]', body_mapping => '[{"to": "e", "from": "$.event"}]' });
    send_event($node, { type => 'track', event => 'E', userId => 'u' }, $path);
    ok(wait_until_sent($node), "$path is over");
    is(query($node, q{SELECT outcome FROM rswebhook.delivery ORDER BY started_at DESC LIMIT 1}), $outcome, "$path: the query goes along, or nothing does");
}

# What cannot be made is aborted at once, others go on, and the reason says which mapping it is
add_destination($node, 'picky', $receiver->url('/ok'), { ordered => 0,
        path_parts => '["$.id"]', header_mapping => '[{"to": "X-Name", "from": "$.name"}]', body_mapping => '[{"to": "n", "from": "$.n.abs()"}, {"to": "$.n.deeper", "from": "$.deeper"}, {"to": "t", "from": "$.a[*] ? (exists($.a[*] ? (@ == \"x\")))"}]' });
my @slow = 1 .. 5000;		# each is compared with each
my @cases = (
    [ { id => 'good', name => 'n' }, 'delivered' ],
    [ { name => 'n' }, 'aborted: a part of the path cannot be made of "$.id": it is not in the event, or null' ],
    [ { id => 1, name => 5 }, 'aborted: a header cannot be made: header "X-Name" is not a string but a number' ],
    [ { id => 1, n => 's3cret' }, 'aborted: "n" of the body cannot be made of "$.n.abs()": jsonpath item method .abs() can only be applied to a numeric value' ],
    [ { id => 1, n => 1, deeper => 2 }, 'aborted: "$.n.deeper" of the body cannot be made of "$.deeper": there is a number already where it needs an object' ],
    [ { id => 1, a => \@slow }, 'aborted: "t" of the body cannot be made of "$.a[*] ? (exists($.a[*] ? (@ == "x")))": it took more than 100 ms of the processor' ],
    [ { id => 'good', n => 7 }, 'aborted: "$.n.deeper" of the body cannot be made of "$.deeper": there is a number already where it needs an object' ],
    [ { id => 'last', name => 'n' }, 'delivered' ]);
foreach my $case (@cases)
{
    my ($what, $outcome) = @$case;
    my $id = send_event($node, { type => 'track', %$what }, 'picky');

    ok(wait_until_sent($node), "$outcome: it is over");
    is(query($node, "SELECT string_agg(concat_ws(': ', outcome, error), ', ') FROM rswebhook.delivery WHERE event_id = $id"), $outcome, 'once, and so');
}

# A template is the event's, an origin is not
add_destination($node, 'template', '{{ event.to || ' . $receiver->url('/default') . ' }}', { ordered => 0, min_attempts => 1, retry_window => '0',
        allowed_hosts => '{127.0.0.1:' . $receiver->port . '}', path_parts => '["{{ event.part || none }}"]', body_mapping => '[{"to": "v", "from": "{{ event.v || $.type }}"}]' });
send_event($node, $_, 'template') foreach { type => 'track' }, { type => 'track', part => 'a/../b', v => "it's \$5" }, { type => 'track', to => 'http://127.0.0.2/' };
ok(wait_until_sent($node), 'templates are over');
is(join(', ', sort map { "$_->{target} $_->{body}" } grep { $_->{target} =~ m{^/default} } $receiver->requests),
    '/default/a%2F..%2Fb {"v":"it\'s $5"}, /default/none {"v":"track"}', 'what an event says is a value, and a default a mapping');
like(query($node, q{SELECT error FROM rswebhook.delivery ORDER BY started_at DESC, event_id DESC LIMIT 1}), qr/host|origin/, 'an event does not lead elsewhere');

# A string that is spread takes a hundred times its bytes: the worker does not take that
my $one = new_node('one', conf => "rswebhook.workers = 1\n");
my %mapped = (ordered => 0, min_attempts => 1, retry_window => '0');
add_destination($one, 'spread', $receiver->url('/ok'), { %mapped, body_mapping => '[{"to": "$.a", "from": "$.s"}, {"to": "$.a.b", "from": "x"}]' });
send_event($one, { type => 'track', s => 'abc' }, 'spread');
ok(wait_until_sent($one), 'a short one arrives');
my $before = process_field(worker_pids($one), 'VmHWM');
send_event($one, { type => 'track', s => 'x' x 900_000 }, 'spread');
ok(wait_until_sent($one), 'a long one is over');
is(query($one, q{SELECT string_agg(concat_ws(': ', outcome, error), ', ' ORDER BY event_id) FROM rswebhook.delivery}),
    'delivered, aborted: the body cannot be made: what is mapped is larger than 4194304 bytes', 'and aborted');
cmp_ok(process_field(worker_pids($one), 'VmHWM') - $before, '<', 40 * 1024, 'and the worker has not grown by ten times what a request may have');

# Destinations whose mappings take long share a quarter of the worker's time
my @long = map { "long $_" } 1 .. 10;
add_destination($one, $_, $receiver->url('/ok'), { %mapped, body_mapping => '[{"to": "t", "from": "$.a[*] ? (exists($.a[*] ? (@ == \"x\")))"}]' }) foreach @long;
add_destination($one, 'neighbour', $receiver->url('/ok/neighbour'), { %mapped, body_mapping => '[{"to": "t", "from": "$.a[*]"}]' });
query($one, q{SELECT rswebhook_send(jsonb_build_object('type', 'track', 'a', (SELECT jsonb_agg(i) FROM generate_series(1, 5000) AS i)), d.name)
    FROM generate_series(1, 2), rswebhook.destination AS d WHERE d.name LIKE 'long %'});
foreach (1 .. 5)
{
    send_event($one, { type => 'track', a => [1] }, 'neighbour');
    ok(wait_for('the neighbour', sub { $receiver->requests_to('/ok/neighbour') >= $_ }), 'the neighbour goes on');
}
ok(wait_until_sent($one), 'all are over');
is(query($one, q{SELECT count(*) FROM rswebhook.delivery WHERE error LIKE '%took more than 100 ms of the processor'}), 20, 'those of the others are aborted');
cmp_ok(query($one, qq{SELECT extract(epoch FROM max(started_at) - min(started_at)) FROM (SELECT started_at FROM rswebhook.delivery
    WHERE error LIKE '%of the processor' ORDER BY started_at $_) AS tried}), '>', 9 * 0.3, "with three times as long between two of them ($_)") foreach 'LIMIT 10', 'OFFSET 10';

# and no longer when they do not
query($one, q{SELECT count(rswebhook_send('{"type": "track", "a": [1]}', 'long 1')) FROM generate_series(1, 500)});
my $took = elapsed(sub { ok(wait_until_sent($one), 'events that take no time arrive') });
cmp_ok($took, '<', at_once(20), sprintf 'and not one by one: %.1f s', $took);

done_testing();

sub body_text
{
    my ($format, $body) = @_;

    return $body->{XML}{payload} // '' if $format eq 'xml';
    return join '&', map { encoded($_) . '=' . encoded($body->{FORM}{$_}) } sort keys %{ $body->{FORM} };
}

sub encoded
{
    return encode_utf8($_[0]) =~ s/([^A-Za-z0-9_.~ -])/sprintf '%%%02X', ord $1/ger =~ tr/ /+/r;
}

sub padded
{
    return $_[0] . '=' x (-length($_[0]) % 4);
}
