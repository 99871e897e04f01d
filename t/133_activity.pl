# Each request in flight is shown, with how far it has come, to several who ask at the same time.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use IO::Socket::INET;
use RswebhookTest;
use Session;
use Test::More;

my $receiver = new_receiver();
my $node = new_node('activity');
my $silent = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 5, Proto => 'tcp') or die "could not listen: $@\n";

is(query($node, 'SELECT count(*) FROM rswebhook.activity'), '0', 'nothing is in flight');

# In each phase that one can be kept in
add_destination($node, 'hangs', $receiver->url('/hang'), { timeout => '10 min', low_speed_limit => '0' });
add_destination($node, 'drips', $receiver->url('/drip/100'), { timeout => '10 min', low_speed_limit => '0' });
add_destination($node, 'tls', 'https://127.0.0.1:' . $silent->sockport . '/', { timeout => '10 min', connect_timeout => '10 min' });
my $event = query($node, q{SELECT rswebhook_send('{"userId": "a", "messageId": "shown"}')});
ok(wait_for_query($node, q{SELECT string_agg(destination || ' ' || phase, ', ' ORDER BY destination) FROM rswebhook.activity}, 'drips receiving, hangs waiting, tls TLS'), 'each has come so far');
is(query($node, q{SELECT count(*) FROM rswebhook.activity WHERE remote_address = '127.0.0.1' AND since BETWEEN now() - interval '10 min' AND now()
    AND attempt = 1 AND worker_pid IN (SELECT pid FROM rswebhook.workers())}), '3', 'with where it goes and since when');
is(query($node, q{SELECT remote_port, bytes_sent > 100, bytes_received FROM rswebhook.activity WHERE destination = 'hangs'}),
    $receiver->url('') =~ s/.*://r =~ s{/}{}r . '|t|0', 'and how much was sent and received');
is(query($node, q{SELECT bytes_sent, remote_port FROM rswebhook.activity WHERE destination = 'tls'}), '0|' . $silent->sockport, 'nothing before there is TLS');
ok(wait_for_query($node, q{SELECT bytes_received > 200 FROM rswebhook.activity WHERE destination = 'drips'}, 't'), 'what comes is counted');
like(query($node, "SELECT state || ': ' || why FROM rswebhook_explain($event) WHERE destination = 'hangs'"),
    qr/^in flight: attempt 1 is under way since .*: waiting, 127.0.0.1$/, 'an event is explained so');
is(query($node, "SELECT count(*), count(DISTINCT destination_id) FROM rswebhook.requests($event)"), '3|3', 'those of one event');
is(query($node, 'SELECT count(*) FROM rswebhook.requests(0)'), '3', 'or all');

# More than an answer has, to several at once
add_destination($node, "more$_", $receiver->url('/hang'), { timeout => '10 min', low_speed_limit => '0' }) foreach 1 .. 70;
query($node, q{SELECT rswebhook_send('{"userId": "b"}', name) FROM rswebhook.destination WHERE name LIKE 'more%'});
ok(wait_for_query($node, q{SELECT count(*), count(DISTINCT event_id) FROM rswebhook.activity WHERE destination LIKE 'more%'}, '70|70'), 'all are shown, each once');
my @askers = map { Session->new($node) } 1 .. 4;
$_->start(q{SELECT count(*), count(DISTINCT destination_id) FROM rswebhook.requests()} . (q{; SELECT count(*), count(DISTINCT destination_id) FROM rswebhook.requests()}) x 9) foreach @askers;
is(join(' ', map { $_->finish =~ s/\n/ /gr } @askers), join(' ', ('73|73') x 40), 'to whoever asks at the same time');

# A worker that cannot answer is passed over
kill 'STOP', split ' ', worker_pids($node);
is(query($node, 'SELECT count(*) FROM rswebhook.activity'), '0', 'a worker that stands still says nothing, and holds up nobody');
kill 'CONT', split ' ', worker_pids($node);
ok(wait_for_query($node, q{SELECT count(*) FROM rswebhook.activity WHERE destination LIKE 'more%'}, '70'), 'and answers again');

# One who asks and goes leaves it to others
my ($rc) = $node->psql('postgres', q{SET statement_timeout = '1ms'; SELECT count(*) FROM rswebhook.activity, generate_series(1, 10)});
is(query($node, q{SELECT count(*) FROM rswebhook.activity WHERE destination LIKE 'more%'}), '70', 'after somebody has given up');

$node->stop('immediate');
done_testing();
