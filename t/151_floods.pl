# Receivers, and a proxy, that send without an end what is no answer, as fast as it is read:
# others do not wait for them, nor does a shutdown, and their own time is soon over.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use Certificates;
use Child;
use Http2;
use PostgreSQL::Test::Utils qw(slurp_file);
use RswebhookTest;
use Test::More;

plan skip_all => Http2::missing() if Http2::missing();

my $certificates = Certificates->new(temp_dir('certificates'));
my $receiver = new_receiver();
my $node = new_node('floods');
my $dir = temp_dir('floods');

Child::start(
    sub {
        exec 'node', "$FindBin::RealBin/lib/floods.js", "$dir/port",
          $certificates->file('server.pem'), $certificates->file('server.key')
          or die "could not run node: $!\n";
    });
wait_for('the receivers', sub { -e "$dir/port" }) or die "the receivers did not start\n";
my ($tls, $plain, $proxy) = split ' ', slurp_file("$dir/port");
my %once = (Http2::hasty($certificates), ordered => 0, min_attempts => 1, timeout => '3 s', connect_timeout => '3 s');

add_destination($node, 'neighbour', $receiver->url('/ok'));
add_destination($node, 'http2', "https://127.0.0.1:$tls/", \%once);
add_destination($node, 'plain', "http://127.0.0.1:$plain/", \%once);
add_destination($node, 'proxied', 'https://shop.invalid/', { %once, proxy => "http://127.0.0.1:$proxy" });

my $serial = 0;
foreach my $case (
    [ 'http2', '/data', 1 ], [ 'http2', '/window', 1 ], [ 'http2', '/priority', 1 ],
    [ 'plain', '/packed', 1 ], [ 'plain', '/small', 1 ], [ 'plain', '/extension', 1 ], [ 'plain', '/small', 8 ],
    [ 'proxied', 'proxy', 1 ], [ 'http2', '/window', 4 ])
{
    my ($destination, $path, $count) = @$case;
    my $begun = lines("$path begins");

    send_event($node, { type => 'track', userId => ++$serial, flood => $path }, $destination) foreach 1 .. $count;
    ok(wait_for('the flood', sub { lines("$path begins") > $begun }), "$destination $path, $count of them");
    send_event($node, { type => 'track', userId => 'n', messageId => "n$serial" }, 'neighbour');
    ok(wait_until_sent($node), 'all have an outcome');
    is(lines("$path never"), 0, 'none for as long as the other side likes');
}
is(query($node, q{
        SELECT string_agg(DISTINCT concat_ws(' ', d.name, outcome, status), ', ' ORDER BY concat_ws(' ', d.name, outcome, status))
        FROM rswebhook.delivery AS v JOIN rswebhook.destination AS d ON d.id = destination_id}),
    'http2 aborted, http2 delivered 200, neighbour delivered 200, plain delivered 200, proxied aborted',
    'a head is an answer, whatever follows; without one there is none');
is(query($node, q{
        SELECT string_agg(DISTINCT error, ', ' ORDER BY error) FROM rswebhook.delivery
        WHERE outcome = 'aborted' AND error NOT LIKE '%: the other side sends without an end;%' AND error NOT LIKE '%HTTP status 407%'}),
    '', 'and the reason is said');

# The workers leave in the midst of it
query($node, q{UPDATE rswebhook.destination SET timeout = '1 h'});
my $begun = lines('/window begins');
send_event($node, { type => 'track', userId => ++$serial, flood => '/window' }, 'http2');
ok(wait_for('the flood', sub { lines('/window begins') > $begun }), 'one more');
$node->stop('fast');
is(lines('/window never'), 0, 'a fast shutdown does not wait for it');

done_testing();

# How often floods.js has said this
sub lines
{
    my ($text) = @_;

    return -e "$dir/port.floods" ? scalar(() = slurp_file("$dir/port.floods") =~ /^\Q$text\E/mg) : 0;
}
