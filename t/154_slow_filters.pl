# However many destinations have filters that take long, all of these together hold up neither whoever sends nor
# the worker, which asks them of events about ourselves; and what is quick is asked of each event.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Test::More;

my $slow = 110;			# to find out that they are takes more than all have together
my $receiver = new_receiver();
my $node = new_node('slow_filters', conf => "rswebhook.alert_failures = 3\n");

# A filter that asks each with each, five times over; of a dozen that takes seconds
sub each_with_each
{
    my ($of) = @_;

    return q{'} . "exists($of" . " ? (exists($of" x 5 . q{ ? (@ == "' || n || '")} . '))' x 5 . q{)'};
}

sub not_asked
{
    return query($node, q{SELECT count(*) FROM rswebhook.filter_errors() AS e WHERE e.last LIKE 'it was not asked%'});
}

#
# Whoever sends
#
query($node, q{INSERT INTO rswebhook.destination (name, url, paused, filter)
    SELECT 'slow ' || n, 'http://127.0.0.1:1/', true, (} . each_with_each('$.p.*') . qq{)::jsonpath FROM generate_series(1, $slow) AS n});
add_destination($node, 'quick', $receiver->url('/quick'), { filter => '$.p.a1 == 1' });
my $event = q{(SELECT jsonb_build_object('type', 'track', 'p', jsonb_object_agg('a' || n, n)) FROM generate_series(1, 12) AS n)};
my $session = $node->background_psql('postgres');
my $pid = $session->query_safe('SELECT pg_backend_pid()');
my $sent = 0;

foreach my $round ('first', 'second')
{
    my $before = cpu_time($pid);

    isnt($session->query_safe("SELECT rswebhook_send($event)"), '', "$round: the quick one is asked");
    my $took = cpu_time($pid) - $before;
    note("$round: $took s");
    cmp_ok($took, '<', $slow * 0.05, "$round: half of what each may have is not taken by all");
    $sent++;
    cmp_ok(not_asked(), '>', $slow - 20, "$round: the others were not, and that is said");
    cmp_ok(not_asked(), '<', $slow, "$round: but some were, in the time that they have");
}
ok(wait_for('what is taken', sub { $receiver->requests_to('/quick') == $sent }), 'and it arrives');

# Those whose turn it was are others each time
my %asked;
foreach (1 .. 3)
{
    $session->query_safe("SELECT rswebhook_send($event)");
    $asked{$_}++ foreach split /\n/, query($node, q{SELECT destination_id FROM rswebhook.filter_errors() WHERE last LIKE 'it took more than 100 ms%'});
}
my ($once) = grep { $_ == 1 } values %asked;
ok($once, 'they are asked in turns') or diag(join ' ', %asked);

# One that takes long, but no longer than it may, is asked as long as there is time
query($node, q{DELETE FROM rswebhook.destination});
my $within = 0;
add_destination($node, 'rather slow', $receiver->url('/rather'), { filter => 'exists($.p[*] ? (exists($.p[*] ? (@ == 0)))) || $.type == "track"' });
foreach my $elements (100, 200, 300, 400, 500)
{
    $within++ if query($node, qq{SELECT rswebhook_send(jsonb_build_object('type', 'track', 'p', (SELECT jsonb_agg(n) FROM generate_series(1, $elements) AS n))) IS NOT NULL}) eq 't';
}
cmp_ok($within, '>', 0, 'a filter has its time');

#
# The worker
#
query($node, q{DELETE FROM rswebhook.destination});
query($node, q{INSERT INTO rswebhook.destination (name, url, paused, types, filter)
    SELECT 'slow ' || n, 'http://127.0.0.1:1/', true, '{rswebhook.alert}', (} . each_with_each('$.properties.*') . qq{)::jsonpath FROM generate_series(1, $slow) AS n});
add_destination($node, 'pager', $receiver->url('/pager'), { types => '{rswebhook.alert}', filter => '$.event == "rswebhook destination failing"' });
add_destination($node, 'refuses', $receiver->url('/status/404'));
add_destination($node, 'neighbour', $receiver->url('/neighbour'));
my $worker = worker_pids($node);
my $before = cpu_time($worker);
send_event($node, { type => 'track', userId => "u$_" }, 'refuses') foreach 1 .. 6;
send_event($node, { type => 'track', userId => "u$_" }, 'neighbour') foreach 1 .. 6;
ok(wait_until_sent($node), 'all that is owed to others is sent');
ok(wait_for('the alert', sub { query($node, q{SELECT count(*) FROM rswebhook.alert WHERE kind = 'event aborted' AND told > 0}) }), 'what went wrong is told');
ok(wait_for('the pager', sub { $receiver->requests_to('/pager') }), 'also to who asks for it quickly');
is(worker_pids($node), $worker, 'by the same worker');
cmp_ok(cpu_time($worker) - $before, '<', $slow * 0.05, 'which has not asked all of the others');

done_testing();
