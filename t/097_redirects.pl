# Redirects: those that are followed take the event along, with its method, and the
# row says where it went; where it would not arrive, or only without TLS, none is.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use Certificates;
use Nginx;
use RswebhookTest;
use Test::More;

my $receiver = new_receiver();
my $node = new_node('redirects');
my $base = $receiver->url('');
my %follows = (max_redirects => 3, retry_window => 0, min_attempts => 1, breaker_failures => 0);
my $sent = 0;

# The older statuses as well
foreach my $status (301, 302, 307, 308)
{
    is(sent_to("/redirect/$status/ok/$status"), "delivered 200 POST $base/redirect/$status/ok/$status -> $base/ok/$status",
        "$status is followed");
    foreach my $request ($receiver->requests_to("/ok/$status"))
    {
        is($request->{method}, 'POST', 'with its method');
        like($request->{body}, qr/"messageId":"redirected-$sent"/, 'and the event');
    }
    is(scalar(() = $receiver->requests_to("/ok/$status")), 1, 'once');
}
is(sent_to('/redirect/307/redirect/308/ok/twice'),
    "delivered 200 POST $base/redirect/307/redirect/308/ok/twice -> $base/ok/twice", 'the last place is what is shown');
is(sent_to('/redirect/307/status/404'),
    "aborted 404 HTTP status 404 POST $base/redirect/307/status/404 -> $base/status/404", 'also where that refuses it');

# The event is in the query, which the receiver repeats or does not
foreach my $status (303, 307)
{
    my $keeps = "/location/$status/" . encoded('/ok/query?n=1');
    my $drops = "/location/$status/" . encoded('/ok/query?n=2');

    is(sent_to($keeps, method => 'GET'), "delivered 200 GET $base$keeps?n=1 -> $base/ok/query?n=***", "a $status of a GET");
    is(sent_to($drops, method => 'GET'),
        "aborted $status HTTP status $status, a redirect that is not followed: it does not repeat the query, which the event is in GET $base$drops?n=1",
        'which drops the query');
}

# However it is written
foreach my $query ('n=1&new', 'z&n=1', '%6E=%31', '%6e=1#f')
{
    is(sent_to('/location/307/' . encoded("/ok/rewritten?$query"), method => 'GET') =~ s/ .*//r, 'delivered', "a query that became $query");
}
foreach my $query ('n=1x', 'nn=1', 'n=%3', 'N=1', 'n', '', 'x=n=1', 'n%3D1')
{
    is(sent_to('/location/307/' . encoded("/ok/lost?$query"), method => 'GET') =~ s/ .*//r,
        'aborted', "a query that became $query");
}

# What is not followed, and why
my $not = 'a redirect that is not followed:';
my %refused = (
    "/redirect/303/ok/never" => [ 303, 'it leads to an answer and not to where the event is wanted' ],
    "/redirect/307/redirect/307/redirect/307/redirect/302/ok/never" => [ 302, 'there were as many before it as max_redirects allows' ],
    "/status/307" => [ 307, 'it does not say where it leads' ],
    "/location/308/" . encoded('ftp://127.0.0.1/never') => [ 308, 'it leads to no URL of http or https' ],
    "/location/301/" . encoded('http://[::') => [ 301, 'it leads to no URL of http or https' ]);
foreach my $path (sort keys %refused)
{
    my ($status, $why) = @{ $refused{$path} };

    like(sent_to($path), qr/^aborted $status HTTP status $status, $not \Q$why\E POST /, $why);
}
is(sent_to('/redirect/307/ok/never', max_redirects => 0), "aborted 307 HTTP status 307 POST $base/redirect/307/ok/never",
    'and none without max_redirects');
is(sent_to('/status/304'), "aborted 304 HTTP status 304 POST $base/status/304", 'others are no redirects');
is(scalar(() = $receiver->requests_to('/ok/never')), 0, 'nobody went there');

# A receiver chooses where it leads to; secrets in it are not shown
my ($port) = $base =~ /:(\d+)$/;
my $chosen = '/location/307/' . encoded("http://user:s3cret\@localhost:$port/ok/elsewhere?token=s3cret&s3cret#s3cret");
is(sent_to($chosen), "delivered 200 POST $base$chosen -> http://localhost:$port/ok/elsewhere?token=***&***",
    'a user and the values of a query are not shown');
like(sent_to('/location/307/' . encoded("$base/ok/" . 'x' x 5000)), qr{ -> $base/ok/x{900,}\.\.\.$}, 'a long one is cut');
unlike(sent_to('/location/307/' . encoded("$base/ok/%ff\xc3\xa9")), qr/[^ -~]/, 'it is ASCII');

SKIP: {
    skip 'needs openssl and nginx', 4 unless Certificates::program() && Nginx::program();
    my $certificates = Certificates->new(temp_dir('certificates'));
    my $tls = Nginx->new(temp_dir('tls'), listen => 'ssl',
        server => 'ssl_certificate ' . $certificates->file('server.pem') . ';'
          . 'ssl_certificate_key ' . $certificates->file('server.key') . ';'
          . "location /plain { return 307 $base/ok/never; }"
          . 'location /kept { return 307 /ok; }');
    my %trusts = (ca_cert => $certificates->text('ca.pem'));
    my $https = $tls->url('') =~ s/^http:/https:/r;

    is(sent_to("$https/plain", %trusts), "aborted 307 HTTP status 307, $not it leads from https to http POST $https/plain",
        'none leads from https to http');
    is(sent_to("$https/kept", %trusts), "delivered 200 POST $https/kept -> $https/ok", 'https stays https');
    my $safer = '/location/308/' . encoded("$https/ok");
    is(sent_to($safer, %trusts), "delivered 200 POST $base$safer -> $https/ok", 'http may lead to it');
    is(scalar(() = $receiver->requests_to('/ok/never')), 0, 'nobody went there');
}

done_testing();

# What became of an event to a destination of its own with this URL or path
sub sent_to
{
    my ($where, %columns) = @_;
    my $name = 'redirect ' . ++$sent;

    add_destination($node, $name, $where =~ /^http/ ? $where : $base . $where, { %follows, %columns });
    send_event($node, { type => 'track', messageId => "redirected-$sent", properties => { n => 1 } }, $name);
    wait_until_sent($node) or return 'it is still owed';
    return query($node, qq{
        SELECT concat_ws(' ', outcome, status, error, request) FROM rswebhook.delivery
        WHERE destination_id = rswebhook.destination_id('$name')});
}

sub encoded
{
    my ($url) = @_;

    return $url =~ s/([^A-Za-z0-9._~-])/sprintf '%%%02X', ord $1/ger;
}
