# A name with two addresses, the first of which never answers: libcurl 7.88 closes
# that one's socket without a word.  When the connection to the other one ends,
# nothing is done to its number, which may be that of a file of the server's.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use Certificates;
use IO::Socket::IP;
use Names;
use NodeReceiver;
use RswebhookTest;
use Sockets;
use Test::More;

plan skip_all => 'needs /proc' unless $^O eq 'linux' && can_see_sockets();
plan skip_all => 'libcurl before 7.77 takes no CA of its own' unless libcurl_at_least(7, 77);
plan skip_all => 'no openssl' unless Certificates::program();
plan skip_all => NodeReceiver::missing() if NodeReceiver::missing();
my $names = Names->new(temp_dir('names')) or plan skip_all => 'no compiler, or not glibc';
my $server = $names->server('127.0.0.1');
$names->resolv_conf('nameserver 127.0.0.1');

my $certificates = Certificates->new(temp_dir('certificates'));
$certificates->issue('server', 'subjectAltName=IP:127.0.0.1,DNS:two.test');
my $receiver = new_receiver();
my $relay = NodeReceiver->new(temp_dir('node'), $certificates, relay => [$receiver]);
my $port = $relay->relay_port(0);

# takes no connection any more: what would be the next one hangs
my $full = IO::Socket::IP->new(LocalHost => '::1', LocalPort => $port, Listen => 1) or plan skip_all => 'no IPv6';
my @waiting = map { IO::Socket::IP->new(PeerHost => '::1', PeerPort => $port, Blocking => 0) } 1 .. 4;
$server->set('two.test', AAAA => ['::1'], A => ['127.0.0.1']);

my $node = new_node('two_addresses', start => 0);
$names->start($node);
query($node, 'CREATE EXTENSION rswebhook');
my $pids = await_workers($node);
add_destination($node, 'two', "https://two.test:$port/then-close/50/ok",
    { ca_cert => $certificates->text('ca.pem'), min_backoff => '20 ms', max_backoff => '50 ms', retry_window => '0', min_attempts => 2, breaker_failures => 0 });

foreach my $n (1 .. 5)
{
    send_event($node, { type => 'track', userId => 'u' }, 'two');
    ok(wait_until_sent($node), "event $n is sent");
    ok(wait_for('the end of its connection', sub { !grep { $_ eq 'ESTABLISHED' || $_ eq 'CLOSE_WAIT' } sockets_to($pids, $port) }),
        'and its connection ends');
}
is(query($node, q{SELECT string_agg(DISTINCT concat_ws(' ', outcome, attempt, error), ', ') FROM rswebhook.delivery}),
    'delivered 1', 'all at the first attempt');

# the dead socket itself, and in the place of the last connection's
my %like;
$like{ readlink($_) // '' }++ foreach grep { (readlink($_) // '') =~ /^socket:/ } map { glob "/proc/$_/fd/*" } split / /, $pids;
cmp_ok((sort { $b <=> $a } values %like)[0] // 0, '<=', 2, 'no other descriptor was put out of use');
is(worker_pids($node), $pids, 'the workers are the same');
$node->stop('fast');

done_testing();
