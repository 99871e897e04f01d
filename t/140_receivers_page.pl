# doc/receivers.md: what arrives is what the page says, each answer causes what it says, and its code for
# each language tells requests that are genuine from those that are not.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use Digest::SHA qw(hmac_sha256_base64);
use Encode qw(encode_utf8);
use IO::Socket::INET;
use JSON::PP;
use MIME::Base64;
use PostgreSQL::Test::Utils ();
use RswebhookTest;
use Test::More;

use Child;

my $json = JSON::PP->new->utf8->allow_nonref->canonical;
my $receiver = new_receiver();
my $node = new_node('receivers');
my $place = temp_dir('receivers');
my $page = PostgreSQL::Test::Utils::slurp_file(source_dir() . '/doc/receivers.md');
my %blocks;    # by language
my $paths = 0;

while ($page =~ /^```(\w+)\n(.*?)^```$/gms)
{
    push @{ $blocks{$1} }, $2;
}
my $secret = query($node, 'SELECT rswebhook_generate_secret()');
my $other = query($node, 'SELECT rswebhook_generate_secret()');
my ($private, $public) = split /\|/, query($node, 'SELECT * FROM rswebhook_generate_key_pair()');
my (undef, $other_public) = split /\|/, query($node, 'SELECT * FROM rswebhook_generate_key_pair()');

# ---------------------------------------------------------------------
# What arrives
# ---------------------------------------------------------------------
my ($head, $shown) = split /\n\n/, $blocks{http}[0], 2;
my ($line, @shown_headers) = split /\n/, $head;
my %shown_header = map { /^([^:]+): (.*)/ ? (lc $1 => $2) : () } @shown_headers;
chomp $shown;

my $request = sent(['POST'], { signing_secrets => qq(["$secret"]) }, $shown);
is($line, 'POST /hooks HTTP/1.1', 'the page shows a POST');
is_deeply([ sort keys %{ $request->{headers} } ], [ sort keys %shown_header ], 'the headers that arrive are those that it shows');
is($request->{headers}{$_}, $shown_header{$_}, "$_ is what it shows") foreach 'user-agent', 'content-type', 'content-length';
like($request->{headers}{$_}, pattern_of($shown_header{$_}), "$_ looks as it shows") foreach 'webhook-id', 'webhook-timestamp', 'webhook-signature';
is($request->{body}, $shown, 'and so is the body');

my $plain = sent(['POST'], {}, $shown);
ok(!exists $plain->{headers}{$_}, "no $_ without a key") foreach 'webhook-timestamp', 'webhook-signature';
ok(exists $plain->{headers}{'webhook-id'}, 'but an id');

my $numbers = '{"type":"track","properties":{"large":123456789012345678901234567890,"price":60.10}}';
is(sent(['PUT'], {}, $numbers)->{body}, $numbers, 'numbers are exact');

my ($queried) = $page =~ /`\?(items\S+)`/;
foreach my $method ('GET', 'DELETE')
{
    my $got = sent([$method], { signing_secrets => qq(["$secret"]) }, '{"type": "track", "event": "x", "userId": "u", "properties": {"price": 60, "items": [{"name": "Boots"}]}}');
    my ($query) = $got->{target} =~ /\?(.*)/;

    is($query =~ s/%([0-9A-F]{2})/chr hex $1/ger, $queried, "$method: the query that the page shows, and nothing else of the event");
    like($query, qr/%5B0%5D/, 'percent-encoded');
    is($got->{body}, '', 'no body');
    ok(!exists $got->{headers}{'content-type'}, 'and no type of one');
    $got = sent([$method], {}, '{"type": "identify", "traits": {"plan": "x"}, "properties": {"price": 60}}');
    like($got->{target}, qr/\?plan=x$/, 'of an identify, its traits');
}
my $empty = sent(['POST'], { body_mapping => '[]' });
is("$empty->{body} $empty->{headers}{'content-type'}", ' application/json', 'one that is mapped has its type, though it may be empty');
is(sent(['GET'], { body_mapping => '[{"to": "$.a", "from": "b"}]' })->{headers}{'content-type'}, 'application/json', 'and a GET that is mapped');
is(sent(['POST'], { format => $_->[0] })->{headers}{'content-type'}, $_->[1], "$_->[0]: the type that the page says")
  foreach [ 'form', 'application/x-www-form-urlencoded' ], [ 'xml', 'application/xml' ];

# ---------------------------------------------------------------------
# Is it genuine? What was really sent, what is made of it, and what the code says
# ---------------------------------------------------------------------

# A program that says true or false to each line: five values in hexadecimal digits, - for one that is missing
my %driver = (
    js => [ 'Node', \&node_command, 'verify.js', <<'END' ],
for (const line of require('node:fs').readFileSync(process.argv[2], 'latin1').trim().split('\n')) {
    const given = line.split('\t').map((value) => value === '-' ? undefined : Buffer.from(value, 'hex'));
    console.log(verify(...given.slice(0, 4).map((value) => value && value.toString('latin1')), given[4]));
}
END
    python => [ 'Python', \&python_command, 'verify.py', <<'END' ],
import sys
for line in open(sys.argv[1]):
    given = [None if value == "-" else bytes.fromhex(value) for value in line.rstrip("\n").split("\t")]
    print(str(verify(*[value if value is None else value.decode("latin1") for value in given[:4]], given[4])).lower())
END
    go => [ 'Go', \&go_command, 'webhook/verify.go' ],
    ruby => [ 'Ruby', sub { found('ruby', 'RUBY_VERSION >= "3.1" or exit 1', '-e') }, 'verify.rb', <<'END' ],
File.foreach(ARGV[0], chomp: true) do |line|
  puts verify(*line.split("\t", -1)[0, 5].map { |value| value == '-' ? nil : [value].pack('H*') })
end
END
    php => [ 'PHP', sub { found('php', 'exit(function_exists("sodium_crypto_sign_verify_detached") ? 0 : 1);', '-r') }, 'verify.php', <<'END' ],
foreach (file($argv[1], FILE_IGNORE_NEW_LINES) as $line) {
    $given = array_map(fn($value) => $value === '-' ? null : hex2bin($value), array_slice(explode("\t", $line), 0, 5));
    echo verify(...$given) ? "true\n" : "false\n";
}
END
    java => [ 'Java', \&java_command, 'Webhook.java' ]);

# All are built before anything is signed, which is good for five minutes
my %program;
foreach my $language (sort keys %driver)
{
    my ($name, $command, $file, $driver) = @{ $driver{$language} };

    is(scalar @{ $blocks{$language} // [] }, $language eq 'js' ? 2 : 1, "$name: the page has its code");
    mkdir "$place/webhook";
    write_file("$place/$file", $blocks{$language}[0] . ($driver // ''));
    $program{$language} = [ $command->("$place/$file") ];
}

my @cases;    # key, id, timestamp, signatures, body, is it good, what
my $now = time();

foreach my $case (
    [ 'signed by a secret', $secret, qq(["$secret"]), 'POST' ],
    [ 'another alphabet', $secret, qq(["$secret"]), 'PATCH', qq({"type": "track", "event": "Caf\xe9 \x{20ac} \x{1f600}"}) ],
    [ 'the query is not signed', $secret, qq(["$secret"]), 'GET' ],
    [ 'of two secrets, the new one', $secret, qq(["$secret", {"secret": "$other", "expires_at": "tomorrow"}]), 'POST' ],
    [ 'and the old one', $other, qq(["$secret", {"secret": "$other", "expires_at": "tomorrow"}]), 'POST' ],
    [ 'a key pair', $public, qq(["$private"]), 'POST' ],
    [ 'a key pair, without a body', $public, qq(["$private"]), 'DELETE' ],
    [ 'both kinds, by the secret', $secret, qq(["$private", "$secret"]), 'POST' ],
    [ 'and by the key pair', $public, qq(["$private", "$secret"]), 'POST' ],
    [ 'a form', $secret, qq(["$secret"]), 'POST', undef, 'form' ])
{
    my ($what, $key, $secrets, $method, $event, $format) = @$case;
    my $got = sent([$method], { signing_secrets => $secrets, format => $format // 'json' }, $event);
    my @given = @{ $got->{headers} }{ 'webhook-id', 'webhook-timestamp', 'webhook-signature' };
    my $body = encode_utf8($got->{body});

    push @cases, [ $key, @given, $body, 1, $what ];
    push @cases, [ $key, @given, "$body ", 0, "$what: another body" ];
    push @cases, [ $key =~ /^whsec/ ? query($node, 'SELECT rswebhook_generate_secret()') : $other_public, @given, $body, 0, "$what: another key" ];
    push @cases, [ $key, $given[0] . 'x', @given[ 1, 2 ], $body, 0, "$what: another id" ];
    push @cases, [ $key, $given[0], $given[1] + 1, $given[2], $body, 0, "$what: another time" ];
}
foreach my $case (
    [ 'a while ago', -150, 1 ], [ 'longer ago', -310, 0 ], [ 'a clock that is ahead', 290, 1 ], [ 'far ahead', 500, 0 ])
{
    my ($what, $seconds, $good) = @$case;
    my $time = $now + $seconds;

    push @cases, [ $secret, 'id', $time, hmac($secret, 'id', $time, '{}'), '{}', $good, $what ];
}
my $good = hmac($secret, 'id', $now, '{}');
push @cases,
  [ $secret, 'id', $now, "v2,$good v3 $good", '{}', 1, 'entries of other kinds beside it' ],
  [ $secret, 'id', $now, 'v1', '{}', 0, 'a version only' ],
  [ $secret, 'id', $now, 'v1,', '{}', 0, 'an empty signature' ],
  [ $secret, 'id', $now, ($good =~ s/^v1,/v1a,/r), '{}', 0, 'an HMAC as if it were an Ed25519 signature' ],
  [ $public, 'id', $now, $good, '{}', 0, 'an HMAC where there is a public key' ],
  [ $public, 'id', $now, 'v1a,AAAA', '{}', 0, 'a short Ed25519 signature' ],
  [ $public, 'id', $now, "v1a,!\xc3\xa9\xff v1a,====", '{}', 0, 'an Ed25519 signature that is no base64' ],
  [ $secret, 'id', $now, "v1,!\xc3\xa9\xff v1,====", '{}', 0, 'an HMAC that is no base64' ],
  [ $secret, 'id', $now, substr($good, 0, 30), '{}', 0, 'half a signature' ],
  [ $secret, 'id', $now, '', '{}', 0, 'empty signatures' ],
  [ $secret, 'id', $now, undef, '{}', 0, 'no signatures' ],
  [ $secret, undef, $now, hmac($secret, '', $now, '{}'), '{}', 0, 'no id' ],
  [ $secret, 'id', undef, hmac($secret, 'id', '', '{}'), '{}', 0, 'no time' ],
  [ $secret, 'id', $_, hmac($secret, 'id', $_, '{}'), '{}', 0, "a time that is none, $_" ]
  foreach '', 'x', "$now.5", "0x$now", "${now}s", '-1', '9' x 40;

open my $out, '>:raw', "$place/cases" or die "could not write: $!\n";
print $out join("\t", (map { defined $_ ? unpack 'H*', $_ : '-' } @$_[ 0 .. 4 ]), '') . "\n" foreach @cases;
close $out;

foreach my $language (sort keys %driver)
{
    my ($name) = @{ $driver{$language} };
    my ($program, $why) = @{ $program{$language} };

  SKIP:
    {
        skip "$name: $why", 2 unless defined $program;
        my @said = split /\n/, qx($program $place/cases 2>&1);
        is($?, 0, "$name: the code runs") or diag(join "\n", @said);
        my @wrong = map { "$cases[$_][6]: " . ($said[$_] // 'nothing') } grep { ($said[$_] // '') ne ($cases[$_][5] ? 'true' : 'false') } 0 .. $#cases;
        is(join("\n", @wrong), '', "$name: it tells all " . @cases . ' apart');
    }
}

# ---------------------------------------------------------------------
# What to answer
# ---------------------------------------------------------------------
my %means = (delivered => [ 200, 204, 299 ], retry => [ 408, 429, 500, 503, 599 ], aborted => [ 301, 307, 400, 401, 403, 404, 410, 422 ]);
foreach my $outcome (sort keys %means)
{
    foreach my $status (@{ $means{$outcome} })
    {
        add_destination($node, "s$status", $receiver->url("/status/$status"));
        my $id = send_event($node, { type => 'track' }, "s$status");
        ok(wait_for_query($node, "SELECT outcome FROM rswebhook.delivery WHERE event_id = $id", $outcome), "$status: $outcome");
    }
}
ok(query($node, q{SELECT bool_and(retry_at - (started_at + duration) BETWEEN '7.9 s' AND '12.1 s') FROM rswebhook.delivery WHERE outcome = 'retry'}) eq 't',
    'a retry comes after 10 seconds, a fifth earlier or later');
is(query($node, q{
        SELECT concat_ws(' ', min_backoff, max_backoff, retry_window, min_attempts, timeout, connect_timeout, max_in_flight,
                         coalesce(rate_limit::text, 'none'), retry_after_factor * max_backoff, max_redirects, ordered)
        FROM rswebhook.destination LIMIT 1}),
    '00:00:10 00:05:00 03:00:00 3 00:00:10 00:00:03 32 none 00:20:00 0 t', 'the figures are those of a sender who has set nothing');
is(query($node, 'SHOW rswebhook.retention') . query($node, 'SHOW rswebhook.max_request_size'), '7d4MB', 'those of the server as well');
add_destination($node, 'later', $receiver->url('/retry-after/503/86400'));
my $later = send_event($node, { type => 'track' }, 'later');
ok(wait_for_query($node, "SELECT retry_at - started_at BETWEEN '19 min' AND '21 min' FROM rswebhook.delivery WHERE event_id = $later", 't'),
    'a Retry-After is honoured up to twenty minutes');
add_destination($node, 'gone', $receiver->url('/status/410'), { status_outcomes => ($page =~ /`(\{"410": "pause"\})`/)[0] });
send_event($node, { type => 'track' }, 'gone');
ok(wait_for_query($node, q{SELECT state FROM rswebhook.status WHERE destination = 'gone'}, 'paused'), 'a 410 that pauses');

# 404 in the middle of a deployment
add_destination($node, 'shop', $receiver->url('/switch/deployed'), { min_backoff => '1 ms', max_backoff => '50 ms' });
my ($retry, $replay, $table) = @{ $blocks{sql} };
$receiver->switch('deployed', '/status/404');
my $lost = send_event($node, { type => 'track', event => 'Lost' }, 'shop');
ok(wait_for_query($node, "SELECT outcome FROM rswebhook.delivery WHERE event_id = $lost", 'aborted'), 'a 404 gives up at once');
query($node, $retry);
my $kept = send_event($node, { type => 'track', event => 'Kept' }, 'shop');
ok(wait_for_query($node, "SELECT min(outcome) FROM rswebhook.delivery WHERE event_id = $kept", 'retry'), 'unless the sender has it otherwise');
$receiver->switch('deployed', '/status/200');
is(query($node, $replay), 1, 'what was given up is still there');
ok(wait_until_sent($node), 'and is sent') if wait_for('what waits for a Retry-After to be all that is left',
    sub { query($node, q{DELETE FROM rswebhook.queue q USING rswebhook.destination d WHERE d.id = destination_id AND name <> 'shop'}); 1 });
my @lost = grep { $_->{body} =~ /Lost/ } $receiver->requests_to('/switch/deployed');
is(scalar(@lost), 2, 'twice it came');
is($lost[0]{headers}{'webhook-id'}, $lost[1]{headers}{'webhook-id'}, 'with the same id');

# Ids that were seen
query($node, (split /\n\n/, $table)[0]);
my ($insert) = $table =~ /^(INSERT.*?;)/ms;
isnt(query($node, $insert), '', 'an id that is new');
is(query($node, $insert), '', 'and that was seen');

# ---------------------------------------------------------------------
# A whole receiver, and a request that is signed by hand
# ---------------------------------------------------------------------
SKIP:
{
    my ($program, $why) = node_command("$place/receiver.js");
    skip $why, 6 unless defined $program;

    my $port = unused_port();
    write_file("$place/receiver.js", join '', @{ $blocks{js} });
    my $child = Child::start(
        sub {
            @ENV{ 'SECRET', 'PORT' } = ($secret, $port);
            open STDOUT, '>', "$place/said" or die "could not write: $!\n";
            exec 'node', "$place/receiver.js" or die "could not run node: $!\n";
        });
    ok(wait_for('the receiver', sub { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port) }), 'the receiver of the page runs');
    add_destination($node, 'whole', "http://127.0.0.1:$port/hooks", { signing_secrets => qq(["$secret"]) });
    my $taken = query($node, "SELECT rswebhook_send('$shown', 'whole')");
    ok(wait_for_query($node, "SELECT outcome || status FROM rswebhook.delivery WHERE event_id = $taken", 'delivered204'), 'it takes what is genuine');
    query($node, "SELECT rswebhook_replay($taken)");
    ok(wait_for_query($node, "SELECT count(*) FROM rswebhook.delivery WHERE event_id = $taken AND outcome = 'delivered'", 2), 'again when it is replayed');
    is(PostgreSQL::Test::Utils::slurp_file("$place/said"), "Order Placed\n", 'and does once what it does');
    query($node, qq(UPDATE rswebhook.destination SET signing_secrets = '["$other"]' WHERE name = 'whole'));
    $taken = query($node, "SELECT rswebhook_send('$shown', 'whole')");
    ok(wait_for_query($node, "SELECT outcome || status FROM rswebhook.delivery WHERE event_id = $taken", 'aborted401'), 'and nothing else');

    skip 'no openssl or no curl', 2 if system('openssl version >/dev/null 2>&1 && curl --version >/dev/null 2>&1') != 0;
    write_file("$place/sign.sh", $blocks{sh}[0]);
    is(qx(SECRET=$secret URL=http://127.0.0.1:$port/hooks sh $place/sign.sh), "204\n", 'a request that is signed by hand is taken');
    is(qx(SECRET=$other URL=http://127.0.0.1:$port/hooks sh $place/sign.sh), "401\n", 'with the secret only');
    Child::stop($child, 'TERM');
}

$node->stop;
done_testing();

# The request that arrives for an event.
sub sent
{
    my ($method, $columns, $event) = @_;
    my $name = 'path' . ++$paths;

    add_destination($node, $name, $receiver->url("/$name"), { method => $method->[0], %$columns });
    my $id = query($node, 'SELECT rswebhook_send('
          . RswebhookTest::quote_literal(encode_utf8($event // '{"type": "track", "userId": "u1", "properties": {"a": 1}}')) . ", '$name')");
    wait_for_query($node, "SELECT outcome FROM rswebhook.delivery WHERE event_id = $id", 'delivered');
    return ($receiver->requests_to("/$name"))[0];
}

# What has the form of a text: digits of any value, letters likewise
sub pattern_of
{
    my ($text) = @_;

    return qr/^rsw_[0-9a-f]+_[0-9a-f]{16}_\d+$/ if $text =~ /^rsw_[0-9a-f]+_[0-9a-f]{16}_\d+$/;
    return qr/^\d{10}$/ if $text =~ /^\d{10}$/;
    return qr{^v1,[A-Za-z0-9+/]{43}=$} if $text =~ m{^v1,[A-Za-z0-9+/]{43}=$};
    return qr/^never$/;
}

sub hmac
{
    my ($key, $id, $timestamp, $body) = @_;

    return 'v1,' . hmac_sha256_base64("$id.$timestamp.$body", decode_base64(substr($key, length 'whsec_'))) . '=';
}

# How to run it, or nothing and why not.
sub found
{
    my ($name, $check, $option) = @_;

    return system("$name $option '$check' >/dev/null 2>&1") == 0 ? "$name $place/verify." . ($name eq 'ruby' ? 'rb' : 'php')
      : (undef, "no $name that is new enough and has what it takes");
}

sub node_command
{
    my ($file) = @_;

    return system('node -e "process.exit(parseInt(process.versions.node) >= 16 ? 0 : 1)" >/dev/null 2>&1') == 0 ? "node $file"
      : (undef, 'no node from 16');
}

sub python_command
{
    my ($file) = @_;

    foreach my $python ('python3', '/usr/bin/python3')
    {
        return "$python $file" if system("$python -c 'import cryptography' >/dev/null 2>&1") == 0;
    }
    return (undef, 'no python3 with cryptography');
}

sub go_command
{
    return (undef, 'no go') if system('go version >/dev/null 2>&1') != 0;
    write_file("$place/go.mod", "module example\n\ngo 1.13\n");
    write_file("$place/main.go", <<'END');
package main

import (
	"encoding/hex"
	"example/webhook"
	"fmt"
	"os"
	"strings"
)

func main() {
	text, _ := os.ReadFile(os.Args[1])
	for _, line := range strings.Split(strings.TrimRight(string(text), "\n"), "\n") {
		given := make([][]byte, 5)
		for i, value := range strings.Split(line, "\t")[:5] {
			if value != "-" {
				given[i], _ = hex.DecodeString(value)
			}
		}
		fmt.Println(webhook.Verify(string(given[0]), string(given[1]), string(given[2]), string(given[3]), given[4]))
	}
}
END
    my $said = qx(cd $place && env GOFLAGS=-mod=mod GOPATH=$place/go GOCACHE=$place/cache GO111MODULE=on go build -o verify 2>&1);
    return $? == 0 ? "$place/verify" : "echo '$said'; false";
}

sub java_command
{
    return (undef, 'no javac from 15') if qx(javac -version 2>&1) !~ /^javac (\d+)/ || $1 < 15;
    write_file("$place/Main.java", <<'END');
import java.nio.charset.StandardCharsets;
import java.nio.file.*;

public class Main {
    static byte[] bytes(String digits) {
        byte[] made = new byte[digits.length() / 2];
        for (int i = 0; i < made.length; i++) made[i] = (byte) Integer.parseInt(digits.substring(2 * i, 2 * i + 2), 16);
        return made;
    }

    static String text(String digits) {
        return digits.equals("-") ? null : new String(bytes(digits), StandardCharsets.ISO_8859_1);
    }

    public static void main(String[] args) throws Exception {
        for (String line : Files.readAllLines(Paths.get(args[0]))) {
            String[] given = line.split("\t", -1);
            System.out.println(Webhook.verify(text(given[0]), text(given[1]), text(given[2]), text(given[3]), bytes(given[4])));
        }
    }
}
END
    my $said = qx(javac -d $place $place/Webhook.java $place/Main.java 2>&1);
    return $? == 0 ? "java -cp $place Main" : "echo '$said'; false";
}
