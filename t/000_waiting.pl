# What the tests themselves rely on: waits that last for as long as something
# moves, processes that go wrong without harm to the test, and answers that are
# held until they are told.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use Child;
use IO::Select;
use IO::Socket::INET;
use RswebhookTest;
use Test::More;
use Time::HiRes qw(time);

# limit 1: more than three seconds in all, and never one without a move
my $start = time();
my $moves = sub { int((time() - $start) / 0.3) };
ok(wait_for('what moves', sub { $moves->() > 10 }, 1, $moves), 'a wait goes on while something moves');

$start = time();
my $calls = 0;
ok(!wait_for('nothing, on purpose', sub { $calls++; return 0 }, 1), 'one for what does not come ends');
cmp_ok(time() - $start, '>=', 1, 'after its limit');
cmp_ok($calls, '>', 1, 'in which it has looked again');

# requests at any receiver are moves
my $receiver = new_receiver();
my $client = Child::start(
    sub {
        for (1 .. 10)
        {
            my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $receiver->port) or die "no connection\n";
            print $socket "GET /ok HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
            local $/;
            my $answer = <$socket>;
            Time::HiRes::sleep(0.3);
        }
    });
ok(wait_for('the tenth request', sub { $receiver->requests >= 10 }, 1), 'so is a wait while requests arrive');
Child::stop($client);

# an answer that is held
my $held = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $receiver->port) or die "no connection\n";
print $held "GET /until/told/status/404 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
ok(wait_for('the request', sub { $receiver->requests_to('/until') }), 'a request is written down');
ok(!IO::Select->new($held)->can_read(0.3), 'and not answered');
$receiver->switch('told', '');
like(scalar <$held>, qr/ 404 /, 'until it is told');

# a process that goes wrong
my $wrong = Child::start(sub { die "on purpose\n" });
Child::stop($wrong);
is($? >> 8, 1, 'a process that dies says so');
ok(kill(0, $receiver->{pid}), 'and stops nobody else');

done_testing();
