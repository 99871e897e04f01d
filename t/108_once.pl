# A message is sent to a destination once in a while only: who sends it at the same time
# as another waits, and goes by how that ends; whatever happens, the receiver has each
# once. What has been known for long enough is forgotten.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Test::More;

use constant MESSAGES => 100;

my $receiver = new_receiver();
my $node = new_node('once');

add_destination($node, 'once', $receiver->url('/once'), { deduplicate => '1 h' });
add_destination($node, 'paused', $receiver->url('/paused'), { deduplicate => '1 s', paused => 'true' });

my @clients = map { $node->background_psql('postgres', on_error_stop => 0) } 0, 1;
my @pids = map { $_->query_safe('SELECT pg_backend_pid()') } @clients;

# One sends, the other waits for the end of that
foreach my $end (qw(COMMIT ROLLBACK))
{
    $clients[0]->query_safe('BEGIN');
    my $first = $clients[0]->query_safe(qq{SELECT rswebhook_send('{"messageId": "$end", "userId": "$end"}', 'once')});

    $clients[1]->query_until(qr/waits/, qq{\\echo waits
SELECT rswebhook_send('{"messageId": "$end", "userId": "$end"}', 'once') AS id \\gset
\\echo has :id
});
    ok(wait_for_query($node, "SELECT wait_event_type FROM pg_stat_activity WHERE pid = $pids[1]", 'Lock'), "before $end, the second waits");
    is(query($node, qq{SELECT rswebhook_send('{"messageId": "$end other"}', 'once') > 0}), 't', 'others do not');
    $clients[0]->query_safe($end);
    my ($second) = $clients[1]->query_until(qr/has \d+/, '') =~ /has (\d+)/;
    $end eq 'COMMIT' ? is($second, $first, 'it has the id of the first') : cmp_ok($second, '>', $first, 'it is the first');
}
ok(wait_until_sent($node), 'all is sent');
is(scalar($receiver->requests_to('/once')), 4, 'each message once');
$_->quit foreach @clients;

# Many at once, of which some give up
my $script = $node->basedir . '/once.pgbench';
PostgreSQL::Test::Utils::append_to_file($script, q{\set message random(1, } . MESSAGES . q{)
\set gives_up random(1, 3)
BEGIN;
SELECT rswebhook_send(jsonb_build_object('messageId', 'm' || :message, 'userId', 'u' || :message), 'once');
\if :gives_up = 1
ROLLBACK;
\else
INSERT INTO committed VALUES (:message);
COMMIT;
\endif
});
query($node, 'CREATE TABLE committed (message integer)');
run_ok('pgbench', '-n', '-c', 8, '-t', 150, '-f', $script, '-h', $node->host, '-p', $node->port, 'postgres');
ok(wait_until_sent($node), 'all is sent');

my %times;
$times{ $_->{headers}{'webhook-id'} }++ foreach grep { $_->{headers}{'webhook-id'} =~ /^m/ } $receiver->requests_to('/once');
is(scalar(grep { $_ > 1 } values %times), 0, 'no message came twice');
is(join(' ', sort keys %times), join(' ', sort split /\n/, query($node, q{SELECT DISTINCT 'm' || message FROM committed})),
    'and each that was committed came');

# What counts no more is forgotten, also if it is much; what counts is kept
query($node, q{INSERT INTO rswebhook.message SELECT 2, gen_random_uuid(), n, now() - interval '2 d', now() - interval '1 d' FROM generate_series(1, 2500) n});
my $kept = query($node, 'SELECT count(*) FROM rswebhook.message WHERE expires_at > now()');
query($node, 'SELECT pg_reload_conf()');
ok(wait_for_query($node, q{SELECT count(*) FROM rswebhook.message WHERE expires_at < now() - interval '1 h'}, '0'), 'the worker forgets');
is(query($node, 'SELECT count(*) FROM rswebhook.message WHERE expires_at > now()'), $kept, 'not too much');

$node->stop;
done_testing();
