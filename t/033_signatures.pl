# Signatures, as a receiver verifies them: HMAC with Perl's own Digest::SHA,
# Ed25519 with node or openssl, and both ways of Standard Webhooks' own library
# where it is installed (NODE_PATH).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use Digest::SHA qw(hmac_sha256_base64);
use Encode qw(encode_utf8);
use File::Temp;
use MIME::Base64;
use RswebhookTest;
use Test::More;

my $receiver = new_receiver();
my $node = new_node('signatures');
my $directory = File::Temp->newdir('rswebhook_keys_XXXXXX', TMPDIR => 1);

my $old = query($node, 'SELECT rswebhook_generate_secret()');
my $new = query($node, 'SELECT rswebhook_generate_secret()');
my ($private, $public) =
  split /\|/, query($node, 'SELECT * FROM rswebhook_generate_key_pair()');
my $seed = 'whsk_' . encode_base64(substr(decode_base64(substr($private, 5)), 0, 32), '');

# The verifier itself, by a vector of openssl's:
#   printf %s 'msg_1.1700000000.{}' | openssl dgst -sha256 -mac HMAC \
#       -macopt key:01234567890123456789012345678901 -binary | base64
is(hmac('whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=', 'msg_1', 1700000000, '{}'),
    'v1,f/Y+daDmym1RFEncjwfCErhuxrwhXfMCa22UPngBea0=', 'the verifier agrees with openssl');

# ---------------------------------------------------------------------
# HMAC
# ---------------------------------------------------------------------
my $paths = 0;

my $request = signed(qq(["$new"]), { messageId => 'msg-1', type => 'track', event => "Caf\xe9", properties => { n => 1.5 } });
is($request->{headers}{'webhook-id'}, 'msg-1', 'the id is the messageId');
like($request->{headers}{'webhook-timestamp'}, qr/^\d{10}$/, 'the timestamp is in seconds');
cmp_ok(abs($request->{headers}{'webhook-timestamp'} - $request->{t}), '<=', 60, 'of the attempt');
is($request->{headers}{'webhook-signature'}, hmac_of($new, $request), 'the bytes that arrived are the bytes that were signed');

$request = signed(qq(["$new", "$old"]));
is($request->{headers}{'webhook-signature'}, hmac_of($new, $request) . ' ' . hmac_of($old, $request),
    'two secrets, two signatures');
$request = signed(qq(["$new", {"secret": "$old", "expires_at": "tomorrow"}]));
is($request->{headers}{'webhook-signature'}, hmac_of($new, $request) . ' ' . hmac_of($old, $request),
    'the old one is still good');
$request = signed(qq(["$new", {"secret": "$old", "expires_at": "2020-01-01"}]));
is($request->{headers}{'webhook-signature'}, hmac_of($new, $request), 'until it expires');

foreach my $method ('GET', 'DELETE')
{
    $request = signed(qq(["$new"]), { type => 'track', properties => { a => 1 } }, $method);
    is($request->{body}, '', "$method has no body");
    is($request->{headers}{'webhook-signature'}, hmac_of($new, $request), 'and the empty one is signed');
}
foreach my $method ('PUT', 'PATCH')
{
    $request = signed(qq(["$new"]), { type => 'track' }, $method);
    is($request->{headers}{'webhook-signature'}, hmac_of($new, $request), $method);
}

$request = signed(qq(["$new"]), { type => 'track' });
like($request->{headers}{'webhook-id'}, qr/^rsw_[0-9a-f]+_[0-9a-f]{16}_\d+$/, 'without a messageId there is an id as well');
foreach my $bad ('', 'a.b', 'a b', "caf\xe9", "a\nb", 'x' x 256, 5, $request->{headers}{'webhook-id'})
{
    $request = signed(qq(["$new"]), { type => 'track', messageId => $bad });
    like($request->{headers}{'webhook-id'}, qr/^rsw_/, 'and with one that would be ambiguous, or no header');
    isnt($request->{headers}{'webhook-id'}, $bad, 'of its own');
}

$request = signed('[]');
ok(!exists $request->{headers}{'webhook-signature'}, 'no secret, no signature');
ok(exists $request->{headers}{'webhook-id'}, 'but an id');

# an attempt is signed anew: same id, newer timestamp
my $path = '/first/1/500/again';
add_destination($node, 'again', $receiver->url($path),
    { signing_secrets => qq(["$new"]), min_backoff => '1300 ms', max_backoff => '1300 ms' });
send_event($node, { type => 'track', messageId => 'again' }, 'again');
ok(wait_until_sent($node), 'nothing is owed any more');
my ($first, $second) = $receiver->requests_to($path);
is($second->{headers}{'webhook-id'}, $first->{headers}{'webhook-id'}, 'a second attempt has the same id');
cmp_ok($second->{headers}{'webhook-timestamp'}, '>', $first->{headers}{'webhook-timestamp'}, 'and its own timestamp');
is($second->{headers}{'webhook-signature'}, hmac_of($new, $second), 'which is signed');

# a secret that expired meanwhile is not replaced by no signature
add_destination($node, 'expired', $receiver->url('/expired'),
    { signing_secrets => qq([{"secret": "$old", "expires_at": "2020-01-01"}]) });
my $expired = send_event($node, { type => 'track' }, 'expired');
ok(wait_for_query($node, "SELECT state || ': ' || last_error FROM rswebhook.status WHERE destination = 'expired'",
        'unusable: all signing secrets of the destination have expired'),
    'events wait for a secret that is good');
query($node, qq(UPDATE rswebhook.destination SET signing_secrets = '["$new"]' WHERE name = 'expired'));
ok(wait_for_query($node, "SELECT outcome || attempt FROM rswebhook.delivery WHERE event_id = $expired", 'delivered1'),
    'and go when there is one, at their first attempt');

# ---------------------------------------------------------------------
# Ed25519
# ---------------------------------------------------------------------
SKIP:
{
    my $verify = ed25519_verifier();
    skip 'neither node nor an openssl that verifies Ed25519', 4 unless defined $verify;

    foreach my $key ($private, $seed)
    {
        $request = signed(qq(["$key"]));
        ok($verify->($public, $request), 'a signature by a key of ' . length($key) . ' characters');
        $request->{body} .= ' ';
        ok(!$verify->($public, $request), 'and of no other bytes');
    }
}
$request = signed(qq(["$private", "$new"]));
like($request->{headers}{'webhook-signature'}, qr{^v1a,[A-Za-z0-9+/]{86}== v1,[A-Za-z0-9+/]{43}=$}, 'both kinds at once');

# ---------------------------------------------------------------------
# Standard Webhooks' own library
# ---------------------------------------------------------------------
SKIP:
{
    my $script = "$directory/verify.js";

    open my $out, '>', $script or die "could not write \"$script\": $!\n";
    print $out <<'END';
const { Webhook } = require("standardwebhooks");
const fs = require("fs");
const [secret, file] = process.argv.slice(2);
if (file) {
	const request = JSON.parse(fs.readFileSync(file, "utf8"));
	if (request.skew)
		Date.now = ((now) => () => now + request.skew * 1000)(Date.now());
	new Webhook(secret).verify(request.body, request.headers);
}
END
    close $out or die "could not write \"$script\": $!\n";
    skip 'the library is not installed', 5
      if system("node $script >/dev/null 2>&1") != 0;

    my $library = sub {
        my ($secret, $message, $skew) = @_;
        my $file = "$directory/request.json";

        open my $json, '>:raw', $file or die "could not write \"$file\": $!\n";
        print $json JSON::PP->new->utf8->encode(
            { body => $message->{body},
                headers => $message->{headers}, skew => $skew // 0 });
        close $json or die "could not write \"$file\": $!\n";
        return system("node $script '$secret' '$file' >/dev/null 2>&1") == 0;
    };

    $request = signed(qq(["$new", {"secret": "$old", "expires_at": "tomorrow"}]),
        { type => 'track', properties => { name => "Caf\x{e9} \x{20ac}" } });
    ok($library->($new, $request), 'the library accepts the new secret');
    ok($library->($old, $request), 'and the old one');
    ok(!$library->(query($node, 'SELECT rswebhook_generate_secret()'), $request), 'but no other');
    ok($library->($new, $request, 290), 'within five minutes');
    ok(!$library->($new, $request, 310), 'and no longer');
}

done_testing();

# The request that arrives for an event that is sent with these secrets.
sub signed
{
    my ($secrets, $event, $method) = @_;
    my $name = 'path' . ++$paths;

    add_destination($node, $name, $receiver->url("/$name"),
        { signing_secrets => $secrets, method => $method // 'POST' });
    my $id = send_event($node, $event // { type => 'track', userId => 'u1' }, $name);
    wait_for_query($node, "SELECT outcome FROM rswebhook.delivery WHERE event_id = $id", 'delivered');
    my ($arrived) = $receiver->requests_to("/$name");
    return $arrived;
}

# The ledger has the body as text.
sub body_bytes
{
    my ($message) = @_;

    return encode_utf8($message->{body});
}

sub hmac
{
    my ($secret, $id, $timestamp, $body) = @_;
    my $key = decode_base64(substr($secret, length 'whsec_'));

    return 'v1,' . hmac_sha256_base64("$id.$timestamp.$body", $key) . '=';
}

sub hmac_of
{
    my ($secret, $message) = @_;

    return hmac($secret, $message->{headers}{'webhook-id'},
        $message->{headers}{'webhook-timestamp'}, body_bytes($message));
}

sub ed25519_verifier
{
    my $der = sub { pack('H*', '302a300506032b6570032100') . decode_base64(substr($_[0], 5)) };
    my $write = sub {
        my ($name, $bytes) = @_;

        open my $out, '>:raw', "$directory/$name" or die "could not write \"$name\": $!\n";
        print $out $bytes;
        close $out or die "could not write \"$name\": $!\n";
    };
    my $prepare = sub {
        my ($key, $message) = @_;
        my ($signature) = $message->{headers}{'webhook-signature'} =~ /\bv1a,(\S+)/;

        $write->('key.der', $der->($key));
        $write->('signature', decode_base64($signature));
        $write->('signed', join '.', @{ $message->{headers} }{ 'webhook-id', 'webhook-timestamp' }, body_bytes($message));
    };

    if (system('node --version >/dev/null 2>&1') == 0)
    {
        $write->('ed25519.js', <<'END');
const crypto = require("crypto"), fs = require("fs"), d = process.argv[2] + "/";
const key = crypto.createPublicKey({ key: fs.readFileSync(d + "key.der"), format: "der", type: "spki" });
process.exit(crypto.verify(null, fs.readFileSync(d + "signed"), key, fs.readFileSync(d + "signature")) ? 0 : 1);
END
        return sub { $prepare->(@_); return system("node $directory/ed25519.js $directory") == 0 };
    }
    return if system('openssl pkeyutl -help 2>&1 | grep -q rawin') != 0;
    return sub {
        $prepare->(@_);
        return system("openssl pkeyutl -verify -pubin -keyform DER -inkey $directory/key.der"
              . " -rawin -in $directory/signed -sigfile $directory/signature >/dev/null 2>&1") == 0;
    };
}
