# The number of a destination's workers changes while events are sent, are under way
# and wait: none is lost, none comes before another of its user's, and each is known
# to the worker that serves it by then.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Session;
use Shares;
use Test::More;

my $receiver = new_receiver();
my $node = new_node('moving', conf => "rswebhook.workers = 3\nmax_prepared_transactions = 5\n");
my @users = map { "u$_" } 1 .. 40;
my $sessions = 3;
my %expected;    # tags of events that are to arrive

ok(wait_for_workers($node, 3), 'there are three workers');

#
# To and fro, under load
#
add_destination($node, 'moving', $receiver->url('/jitter/5/flaky/50/500,reset/moving'),
    { min_backoff => '20 ms', max_backoff => '100 ms', breaker_failures => 0, rate_limit => 100 });
my @senders = map { Session->new($node) } 1 .. $sessions;
foreach my $n (1 .. $sessions)
{
    $senders[ $n - 1 ]->start(qq{
        DO \$\$
        DECLARE
            n int := 0;
        BEGIN
            WHILE NOT EXISTS (SELECT FROM pg_class WHERE relname = 'enough') LOOP
                n := n + 1;
                FOR u IN 1 .. 20 LOOP
                    PERFORM rswebhook_send(jsonb_build_object('type', 'track', 'userId', 's${n}u' || u,
                        'messageId', 'load-s${n}u' || u || '-' || n), 'moving');
                    IF (n * 20 + u) % 7 = 0 THEN
                        COMMIT;
                    END IF;
                END LOOP;
                WHILE (SELECT count(*) > 200 FROM rswebhook.queue) LOOP
                    COMMIT;
                    PERFORM pg_sleep(0.02);
                END LOOP;
            END LOOP;
        END
        \$\$});
}
foreach my $workers (3, 1, 2, 3, 1)
{
    my $before = $receiver->requests;
    ok(wait_for('requests', sub { $receiver->requests > $before + 100 }), 'events are on their way');
    ok(set_workers('moving', $workers), "with other workers: $workers of them serve it");
}
query($node, 'CREATE TABLE enough ()');
$_->finish, $_->close foreach @senders;
ok(wait_until_sent($node), 'all that was sent is delivered');
judge('load', query($node, q{
        SELECT count(*) FROM rswebhook.event WHERE event ->> 'messageId' LIKE 'load-%'}));

#
# Sessions that know of the number that was
#
add_destination($node, 'stale', $receiver->url('/stale'));
my $session = Session->new($node);
my $number = 0;
foreach my $workers (3, 1, 2)
{
    my $late = Session->new($node);

    $session->query(sending('before'));
    ok(all_arrive(), 'a session has sent');
    $late->query('BEGIN');
    $late->query(sending('open'));
    query($node, 'BEGIN; ' . sending('prepared') . q{; PREPARE TRANSACTION 'p'});
    ok(set_workers('stale', $workers), "then $workers serve it");
    $session->query(sending('after'));
    $late->query('COMMIT');
    query($node, q{COMMIT PREPARED 'p'});
    ok(all_arrive(), 'what it sends now arrives, and so does what was open and what was prepared');
    $late->close;
}

#
# Changes that nobody tells of, as when triggers are disabled
#
my %pids = share_workers($node);
query($node, q{
    BEGIN;
    ALTER TABLE rswebhook.destination DISABLE TRIGGER ALL;
    UPDATE rswebhook.destination SET workers = 1 WHERE name = 'stale';
    ALTER TABLE rswebhook.destination ENABLE TRIGGER destination_check;
    ALTER TABLE rswebhook.destination ENABLE ALWAYS TRIGGER destination_changed;
    ALTER TABLE rswebhook.destination ENABLE ALWAYS TRIGGER destination_truncated;
    COMMIT});
query($node, sending('untold'));
ok(all_arrive(), 'a session that sees it and workers that do not are of one mind');
query($node, "SELECT pg_terminate_backend($pids{1})");
ok(wait_for_others(%pids), 'once a worker sees it, all begin anew');
$session->query(sending('seen'));
ok(all_arrive(), 'and serve it');

#
# A change that does not come about, one that is no change, and one in a function
#
%pids = share_workers($node);
query($node, q{
    BEGIN; UPDATE rswebhook.destination SET workers = 3 WHERE name = 'stale'; ROLLBACK;
    UPDATE rswebhook.destination SET workers = 1, max_in_flight = 16 WHERE name = 'stale'});
query($node, sending('same'));
ok(all_arrive(), 'after a rollback, events arrive');
is(join(' ', %{ { share_workers($node) } }{ 0 .. 2 }), join(' ', %pids{ 0 .. 2 }), 'by the same workers');
my ($status, undef, $error) = $node->psql('postgres',
    q{UPDATE rswebhook.destination SET workers = 3, max_in_flight = 2 WHERE name = 'stale'});
like($error, qr/invalid value "3" for column "workers"/, 'a worker has a request at least');
query($node, q{
    CREATE ROLE editor LOGIN;
    GRANT USAGE ON SCHEMA rswebhook TO editor;
    GRANT SELECT (name), UPDATE (workers) ON rswebhook.destination TO editor;
    CREATE FUNCTION divide(n int) RETURNS void LANGUAGE sql AS
        $$ UPDATE rswebhook.destination SET workers = n WHERE name = 'stale' $$});
query($node, q{SET SESSION AUTHORIZATION editor; SELECT divide(3)});
ok(wait_for_others(%pids), 'who may edit destinations needs nothing else');
$session->query(sending('divided'));
ok(all_arrive(), 'events arrive');

#
# A destination that goes with what it is owed, and one that comes with its id
#
my $id = query($node, q{SELECT rswebhook.destination_id('stale')});
query($node, q{SELECT rswebhook_pause('stale')});
$session->query(sending('owed'));
query($node, q{DELETE FROM rswebhook.destination WHERE name = 'stale'});
ok(wait_until_sent($node), 'what is owed to one that is deleted');
is(query($node, qq{
        SELECT count(*), min(error) FROM rswebhook.delivery
        WHERE destination_id = $id AND outcome = 'aborted'}),
    @users . '|destination was deleted', 'is given up, once');
add_destination($node, 'stale', $receiver->url('/stale'), { id => $id, workers => 3 });
$session->query(sending('anew'));
ok(all_arrive(), 'another one with its id has its workers');

#
# What the workers leave behind is no failure of the event's, and a rate is kept
#
add_destination($node, 'left', $receiver->url('/hang/left'), { retry_window => 0, min_attempts => 2, min_backoff => '10 ms', timeout => '10 min' });
add_destination($node, 'seldom', $receiver->url('/seldom'), { rate_limit => 0.01 });
add_destination($node, 'changing', $receiver->url('/changing'));
my $left = send_event($node, { type => 'track', messageId => 'left' }, 'left');
send_event($node, { type => 'track', messageId => "seldom-$_" }, 'seldom') foreach 1 .. 4;
ok(wait_for('the first', sub { $receiver->requests_to('/seldom') == 1 }), 'a rate that lets one by');
my $hanging = 0;
foreach my $workers (2, 3, 1)
{
    $hanging++;
    ok(wait_for('a request', sub { $receiver->requests_to('/hang/left') == $hanging }), 'a request hangs');
    query($node, q{UPDATE rswebhook.destination SET url = '} . $receiver->url('/first/1/503/left') . q{' WHERE name = 'left'})
      if $workers == 1;
    ok(set_workers('changing', $workers), 'all workers begin anew');
}
ok(wait_for('its end', sub { query($node, "SELECT count(*) FROM rswebhook.queue WHERE event_id = $left") eq '0' }), 'it arrives');
like(query($node, qq{
        SELECT string_agg(concat_ws(' ', outcome, status, attempt), ', ' ORDER BY started_at)
        FROM rswebhook.delivery WHERE event_id = $left}),
    qr/^retry 1, retry 1, retry 1, retry 503 1, delivered 200 2$/, 'and was refused once');
is(scalar($receiver->requests_to('/seldom')), 1, 'nothing more than the rate has let by');

# Nor less, however often they begin anew
add_destination($node, 'rare', $receiver->url('/rare'), { rate_limit => 0.5 });
send_event($node, { type => 'track', messageId => "rare-$_" }, 'rare') foreach 1 .. 3;
for (my $round = 0; $round < 1000 && $receiver->requests_to('/rare') < 3; $round++)
{
    set_workers('changing', 2 - $round % 2) or last;
}
my @rare = $receiver->requests_to('/rare');
is(scalar @rare, 3, 'a rate lets by what it may while workers change');
cmp_ok($rare[-1]{t} - $rare[0]{t}, '>=', 3.9, 'and no more');

done_testing();

# Change how many serve it, and wait until those are there
sub set_workers
{
    my ($destination, $workers) = @_;
    my %old = share_workers($node);

    query($node, "UPDATE rswebhook.destination SET workers = $workers WHERE name = '$destination'");
    return wait_for_others(%old);
}

sub wait_for_others
{
    my %old = @_;

    return wait_for('other workers', sub {
            my %now = share_workers($node);
            return keys %now == 3 && !grep { $now{$_} == $old{$_} } 0 .. 2;
        });
}

# An event of each user
sub sending
{
    my ($tag) = @_;
    my $list = join ', ', map { "'$_'" } @users;

    $number++;
    $expected{"$tag$number"} = 1 unless $tag eq 'owed';
    return qq{
        SELECT count(rswebhook_send(jsonb_build_object('type', 'track', 'userId', name,
            'messageId', '$tag$number-' || name || '-1'), 'stale')) FROM unnest(ARRAY[$list]) AS name};
}

# They do so at once, and not when somebody looks for what nobody has told of
sub all_arrive
{
    my $wanted = @users * keys %expected;

    return wait_for("$wanted requests", sub {
            my %ids = map { $_->{headers}{'webhook-id'} => 1 } $receiver->requests_to('/stale');
            return keys %ids == $wanted;
        });
}

# So many events have arrived, each user's in order.
sub judge
{
    my ($tag, $count) = @_;
    my (%last, %seen, $reordered);

    foreach my $request (grep { $_->{accepted} } $receiver->requests_to('/jitter'))
    {
        my $id = $request->{headers}{'webhook-id'};
        my ($user, $n) = $id =~ /^$tag-(\w+)-(\d+)$/;

        next if $seen{$id}++;
        $reordered++ if $n != ($last{$user} // 0) + 1;
        $last{$user} = $n;
    }
    is(scalar(keys %seen), $count, "$tag: none is lost");
    is($reordered // 0, 0, "$tag: none is out of order");
    return;
}
