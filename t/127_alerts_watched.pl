# What no event tells of is looked for: certificates that end, workers that are missing, settings that do not fit.
# And the examples of the reference tell Slack of it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use Certificates;
use JSON::PP;
use Nginx;
use RswebhookTest;
use Services;
use Test::More;

local $ENV{PATH} = "$ENV{PATH}:/usr/sbin";
my $receiver = new_receiver();

my $node = new_node('alerts_watched',
    conf => "max_worker_processes = 8\nrswebhook.workers = 2\nrswebhook.alert_interval = '1s'\nrswebhook.connection_lifetime = 0\n");

sub become
{
    my ($kind, $expected, $name) = @_;

    return ok(wait_for_query($node, qq{SELECT string_agg(concat_ws(' ', destination, open), ', ' ORDER BY id) FROM rswebhook.alert WHERE kind = '$kind'}, $expected), $name);
}

#
# Slack
#
my $page = do { local (@ARGV, $/) = (source_dir() . '/doc/reference.md'); <> };
my ($example) = $page =~ /```sql\n(INSERT INTO rswebhook\.destination[^`]*rswebhook\.alert[^`]*)```/ or die 'no example';
my $slack = $receiver->url('/as/slack');
is($example =~ s{https://hooks\.slack\.com/services/\S+?'}{$slack'}, 1, 'the reference has an example for Slack');
query($node, $example);

#
# Workers and settings: beside the launcher and PostgreSQL's own there is room for one worker
#
$node->append_conf('postgresql.conf', "max_worker_processes = 3\n");
$node->restart;
become('workers missing', 't', 'a worker that cannot start is missing');
become('settings', 't', 'since a setting does not fit');
like(query($node, q{SELECT message FROM rswebhook.alert WHERE kind = 'workers missing'}), qr/^1 worker is missing/, 'it says how many');
like(query($node, q{SELECT message FROM rswebhook.alert WHERE kind = 'settings'}), qr/^max_worker_processes is 3, but/, 'and which');
$node->append_conf('postgresql.conf', "max_worker_processes = 8\n");
$node->restart;
become('workers missing', 'f', 'it is there');
become('settings', 'f', 'as the setting fits');

#
# Certificates
#
SKIP:
{
    skip 'no nginx or openssl', 4 unless defined Nginx::program() && Certificates::program() && libcurl_at_least(7, 77);
    my $dir = temp_dir('certificates');
    my $certificates = Certificates->new("$dir");
    my $tls = "ssl_certificate $dir/server.pem; ssl_certificate_key $dir/server.key;";
    my $nginx = Nginx->new("$dir", listen => 'ssl', server => $tls);

    add_destination($node, 'tls', $nginx->url('/', 'https'), { ca_cert => $certificates->text('ca.pem') });
    send_event($node, { type => 'track' }, 'tls');
    become('certificate ending', 'tls t', 'a certificate that ends soon');
    like(query($node, q{SELECT message FROM rswebhook.alert WHERE kind = 'certificate ending'}), qr/^the receiver's certificate ends at 20\d\d-/, 'and when');
    send_event($node, { type => 'track' }, 'tls');
    ok(wait_until_sent($node), 'another event');
    $nginx->stop;
    $certificates->run("openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 60 -extfile server.ext -out server.pem");
    $nginx = Nginx->new("$dir", listen => 'ssl', server => $tls);
    query($node, qq{UPDATE rswebhook.destination SET url = '@{[ $nginx->url('/', 'https') ]}' WHERE name = 'tls'});
    send_event($node, { type => 'track' }, 'tls');
    become('certificate ending', 'tls f', 'until there is a new one');
    $nginx->stop;
}

ok(wait_until_sent($node), 'all is told');
is(query($node, q{SELECT DISTINCT l.outcome FROM rswebhook.delivery l JOIN rswebhook.destination d ON d.id = l.destination_id WHERE 'rswebhook.alert' = ANY (d.types)}),
    'delivered', 'Slack takes what it is told');
my ($told) = map { decode_json($_->{body}) } grep { $_->{body} =~ /workers missing/ } $receiver->requests_to('/as/slack');
like($told->{blocks}[0]{text}{text}, qr/^workers missing: 1 worker is missing/, 'in words');

done_testing();
