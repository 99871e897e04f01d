# Secrets that a receiver sends back are in nothing that is recorded: as they are,
# escaped or in base64, packed, or cut by the limit; in bodies, URLs and reasons.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use File::Temp;
use MIME::Base64;
use RswebhookTest;
use Test::More;

my $directory = File::Temp->newdir('rswebhook_echoed_XXXXXX', TMPDIR => 1);
my $receiver = new_receiver();
my $limit = 4096;
my %once = (min_attempts => 1, retry_window => '0', breaker_failures => 0);
my $node = new_node('echoed', start => 0, conf => "rswebhook.secret_sources = 'env:WEBHOOK_, file:$directory'\n");

open my $out, '>', "$directory/token" or die "could not write: $!\n";
print $out "t0ken+of/a \"file\"\n";
close $out;
{
    local $ENV{WEBHOOK_KEY} = 'k3y-of-the-environment';
    $node->start;
}
query($node, 'CREATE EXTENSION rswebhook');

my @secrets = (
    's3cret-query', 's3cret+p&q', 'r4w/k3y==', 'r4w%2Fk3y%3D%3D', 'l=ow/key', 'l%3Dow%2Fkey', "od'd(k3y)", 'od%27d%28k3y%29',
    't0ken+of/a "file"', 'k3y-of-the-environment', 'pass:word\\"s', 'h3ader-value',
    'c00kie-value', '3vents-own-token');
my %columns = (
    %once,
    auth_type => 'bearer',
    auth_token => qq({"file": "$directory/token"}),
    event_auth_headers => 't',
    headers => '{"X-Key": {"env": "WEBHOOK_KEY"}, "X-Shop": "h3ader-value", "Cookie": "sid=c00kie-value; a=b",'
      . ' "Content-Type": "application/json", "X-Small": "small"}');
my $query = '?token=s3cret-query&other=s3cret%2Bp%26q&raw=r4w/k3y==&low=l%3dow%2fkey&odd=od\'d(k3y)&v=1';

# ---------------------------------------------------------------------
# In all forms
# ---------------------------------------------------------------------
foreach my $form (qw(text json url html base64 gzip location))
{
    add_destination($node, $form, $receiver->url("/echo/$form/0$query"), { %columns, max_redirects => 3 });
    add_destination($node, "basic $form", $receiver->url("/echo/$form/0"),
        { %once, auth_type => 'basic', auth_username => 'me', auth_password => 'pass:word\\"s', max_redirects => 3 });
    send_event($node, { type => 'track', header => { 'X-Auth' => 'Token token="3vents-own-token"' } }, $form);
    send_event($node, { type => 'track' }, "basic $form");
}
ok(wait_until_sent($node), 'all is sent');
foreach my $row (query_rows($node, q{SELECT d.name, v.status, v.request, v.response_body FROM rswebhook.delivery v
        JOIN rswebhook.destination d ON d.id = v.destination_id ORDER BY d.name}))
{
    my $recorded = "$row->{request} $row->{response_body}";
    my $form = $row->{name} =~ s/^basic //r;
    my $shown = $form eq 'base64' ? decode_base64($row->{response_body} =~ s/\*\*\*/****/gr) : $recorded;

    is(leaked($recorded), '', "$row->{name}: nothing leaks");
    like($recorded, qr/\*\*\*/, "$row->{name}: it is masked");
    like($recorded, qr/small/, "$row->{name}: what is too short for a secret is not") if $row->{name} =~ /^(?:text|json|gzip)$/;
    like($recorded, qr/application.{1,3}json/, "$row->{name}: nor is what is none") if $row->{name} =~ /^(?:text|json|gzip)$/;
    is($row->{status}, $form eq 'location' ? 404 : 200, "$row->{name}: the answer counts as it did");
}

# ---------------------------------------------------------------------
# Cut by the limit, wherever
# ---------------------------------------------------------------------
my %key = (%once, auth_type => 'api_key', auth_header => 'a-key', auth_token => 's3cret-across-the-cut');
add_destination($node, 'whole', $receiver->url('/echo/text/0000'), \%key);
my $whole = send_event($node, { type => 'track' }, 'whole');
ok(wait_until_sent($node), 'one is not cut');
my $before = index(body_of('whole'), '***');
foreach my $at (1 .. 15)
{
    add_destination($node, "cut $at", $receiver->url(sprintf '/echo/text/%04d', $limit - $before - $at), \%key);
    send_event($node, { type => 'track' }, "cut $at");
}
ok(wait_until_sent($node), 'and cut');
my $tails = query($node, qq{SELECT string_agg(right(response_body, 40), '|') FROM rswebhook.delivery WHERE event_id > $whole});
unlike($tails, qr/s3c/, 'its beginning is not recorded either');
is(scalar(() = $tails =~ /a-key: \*{1,3}(?:\||$)/g), 15, 'it was cut within it');

# ---------------------------------------------------------------------
# Who else has them
# ---------------------------------------------------------------------
my $proxy = new_receiver('--path', '/echo/text/0');
my $signing = 'whsec_' . encode_base64('0123456789abcdef0123456789abcdef', '');
my $expired = 'whsec_' . encode_base64('fedcba9876543210fedcba9876543210', '');
my $shown = join '%0A', map { s/([^A-Za-z0-9])/sprintf '%%%02X', ord $1/ger } $signing, substr($signing, 6), $expired;
add_destination($node, 'proxied', 'http://shop.invalid/', { %once,
        proxy => $proxy->url('') =~ s{//}{//me:proxy%2Fs3cret\@}r });
add_destination($node, 'signed', $receiver->url("/text/200/$shown"), { %once,
        signing_secrets => qq(["$signing", {"secret": "$expired", "expires_at": "2020-01-01"}]) });
send_event($node, { type => 'track' }, $_) foreach qw(proxied signed);
ok(wait_until_sent($node), 'and by others');
my $answer = body_of('proxied');
like($answer, qr/proxy-authorization: (?:Basic )?\*\*\*/, 'the password of a proxy');
is(index($answer, encode_base64('me:proxy/s3cret', '')), -1, 'is masked');
is(body_of('signed'), "***\n***\n***", 'and so are keys to sign with, expired or not');

# The destination is gone, or has another secret, when the answer comes
add_destination($node, 'changed', $receiver->url('/until/changed/echo/text/0'), { %once, auth_type => 'bearer', auth_token => 's3cret-of-before' });
add_destination($node, 'deleted', $receiver->url('/until/changed/echo/text/0'), { %once, auth_type => 'bearer', auth_token => 's3cret-deleted' });
send_event($node, { type => 'track' }, $_) foreach qw(changed deleted);
ok(wait_for('the requests', sub { 2 == grep { $_->{target} =~ /until/ } $receiver->requests }), 'they are under way');
query($node, q{UPDATE rswebhook.destination SET auth_token = 's3cret-of-after' WHERE name = 'changed';
    DELETE FROM rswebhook.destination WHERE name = 'deleted'});
$receiver->switch('changed', '/ok');
ok(wait_until_sent($node), 'answers after a change');
is(query($node, q{SELECT count(*) FROM rswebhook.delivery WHERE response_body LIKE '%authorization: ***%'
        AND request LIKE '%/until/%'}), 2, 'what was sent is masked');
is(query($node, q{SELECT count(*) FROM rswebhook.delivery WHERE response_body ~ 's3cret-'}), 0, 'in all that there is');
is(leaked(join "\n", map { my $file = $_; slurp($file) } $node->logfile), '', 'the log has none');

done_testing();

# Which of the secrets are in a text in some form?
sub leaked
{
    my ($text) = @_;
    my @found;

    foreach my $secret (@secrets)
    {
        my $json = $secret =~ s/([\\"])/\\$1/gr;
        my $url = $secret =~ s/([^A-Za-z0-9_.~-])/sprintf '%%%02X', ord $1/ger;
        my $html = $secret =~ s/&/&amp;/gr =~ s/"/&quot;/gr;
        my @base64 = map { substr(encode_base64('x' x $_ . $secret, ''), 4, length($secret) - 4) } 0 .. 2;

        push @found, $secret if grep { index($text, $_) >= 0 } $secret, $json, $url, $html, @base64;
    }
    push @found, 'a pair' if index($text, encode_base64('me:pass:word\\"s', '')) >= 0;
    return join ', ', @found;
}

sub body_of
{
    my ($name) = @_;

    return query($node, qq{SELECT response_body FROM rswebhook.delivery WHERE destination_id = rswebhook.destination_id('$name')});
}

sub slurp
{
    my ($file) = @_;

    open my $in, '<', $file or die "could not read \"$file\": $!\n";
    local $/;
    return <$in>;
}
