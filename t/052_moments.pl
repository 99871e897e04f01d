# The moments that last microseconds: the worker is stopped in each of them,
# then killed, made to fail, or left to go on.  How often an event arrives and
# what is written down about it follows from the moment.
#
# Also: two workers for one database are impossible.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Session;
use Test::More;

my $conf = $ENV{RSWEBHOOK_INJECTED_CONF};
plan skip_all => 'needs a build with -DRSWEBHOOK_INJECTION' unless ($conf // '') ne '';
$ENV{RSWEBHOOK_CONF} = $conf;

my $receiver = new_receiver();
my $node = new_node('moments', conf => "restart_after_crash = on\nmax_prepared_transactions = 5\n");

add_destination($node, 'sink', $receiver->url('/ok'));
send_event($node, { type => 'track', userId => 'u', messageId => 'warm-up' }, 'sink');
ok(wait_until_sent($node), 'it delivers');

# How many requests there are in the end if the worker dies at that moment
my %requests_after_death = (claimed => 1, answered => 2, recording => 2, recorded => 1);

foreach my $place (qw(claimed answered recording recorded))
{
    foreach my $death (qw(KILL crash terminate go error))
    {
        my $id = "$place-$death";
        next if $id eq 'recorded-error';    # nothing can fail there

        inject($node, $death eq 'error' ? "$place error" : $place);
        my $log = -s $node->logfile;
        send_pair($id);
        if ($death eq 'error')
        {
            ok(wait_for("the failure at \"$place\"", sub { times_logged($node, qr/fails at "$place"/, $log) }), "$id: fails");
            inject($node);
        }
        else
        {
            ok(wait_for("the worker to stop at \"$place\"", sub { times_logged($node, qr/stops at "$place"/, $log) }),
                "$id: stops");
            is(scalar(requests_of("$id-2")), 0, "$id: the second event of the user waits")
              if $place eq 'claimed';
            die_by($death);
        }
        ok(wait_until_sent($node), "$id: nothing is owed any more") or last;
        my $expected =
            $death eq 'go' || $death eq 'error' || $death eq 'terminate' ? 1 : $requests_after_death{$place};
        my $requests = requests_of("$id-1");
        cmp_ok($requests, '<=', $expected, "$id: $requests request(s)");
        cmp_ok($requests, '>=', 1, "$id: it arrived");
        is(query($node, qq{
                SELECT count(*) FROM rswebhook.delivery JOIN rswebhook.event USING (slot)
                WHERE event ->> 'messageId' = '$id-1' AND delivery.event_id = event.id
                AND outcome = 'delivered'}),
            '1', "$id: recorded as delivered once");
        my @order = map { $_->{headers}{'webhook-id'} } grep { $_->{headers}{'webhook-id'} =~ /^$id-/ } $receiver->requests;
        my %seen;
        is(join(' ', grep { !$seen{$_}++ } @order), "$id-1 $id-2", "$id: in order");
    }
}

# A backend tells the worker of its rows a moment after they can be seen; some
# of them lie behind the worker's cursor by then, others do not.
foreach my $commit ('COMMIT', q{COMMIT PREPARED 'untold'})
{
    my $session = Session->new($node);
    my $pid = $session->query('SELECT pg_backend_pid()');
    my $kind = $commit =~ /PREPARED/ ? 'prepared' : 'plain';

    $session->query('BEGIN');
    $session->query(sending("$kind-$_")) foreach 1, 2;
    query($node, sending("$kind-other"));
    ok(wait_until_sent($node), "$kind: the worker has read on");
    $session->query(sending("$kind-$_")) foreach 3, 4;
    $session->query("PREPARE TRANSACTION 'untold'") if $kind eq 'prepared';

    my $log = -s $node->logfile;
    inject($node, "committed $pid");
    $session->start($commit);
    ok(wait_for('the backend to stop', sub { times_logged($node, qr/stops at "committed"/, $log) }), "$kind: not told yet");
    query($node, sending("$kind-5"));
    ok(wait_for("all of them", sub { requests_of("$kind-5") }), "$kind: the worker reads ahead");
    ok(!$session->finished, "$kind: still not told");
    inject($node);
    $session->finish;
    $session->close;
    ok(wait_until_sent($node), "$kind: nothing is owed any more");
    is(join(' ', grep { /^$kind-\d/ } map { $_->{headers}{'webhook-id'} } $receiver->requests),
        join(' ', map { "$kind-$_" } 1 .. 5), "$kind: in order");
}

# A second worker, started behind the launcher's back
query($node, q{CREATE FUNCTION start_worker(integer) RETURNS boolean LANGUAGE c STRICT
               AS 'rswebhook', 'rswebhook_inject_worker'});
my $workers = worker_pids($node);
my $log = -s $node->logfile;
is(query($node, 'SELECT start_worker(60)'), 't', 'a second worker ends');
ok(times_logged($node, qr/FATAL:  another rswebhook worker has the same share of this database's queue/, $log), 'and says why');
is(worker_pids($node), $workers, 'those of the launcher are still there');
send_event($node, { type => 'track', userId => 'u', messageId => 'end' }, 'sink');
ok(wait_until_sent($node), 'and delivers');

done_testing();

sub die_by
{
    my ($death) = @_;
    my $pid = worker_of($node, 'sink');

    kill_process($node, $pid) if $death eq 'KILL';
    $node->stop('immediate') if $death eq 'crash';
    kill 'TERM', $pid if $death eq 'terminate';
    inject($node);
    $node->start if $death eq 'crash';
    wait_for('the server', sub { is_there($node) });
    return;
}

sub send_pair
{
    my ($id) = @_;

    query($node, join ';', map { sending("$id-$_") } 1, 2);
    return;
}

sub sending
{
    my ($id) = @_;

    return qq{SELECT rswebhook_send('{"type": "track", "userId": "u", "messageId": "$id"}', 'sink')};
}

sub requests_of
{
    my ($id) = @_;

    return scalar grep { $_->{headers}{'webhook-id'} eq $id } $receiver->requests;
}
