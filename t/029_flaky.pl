# A receiver that fails one request in five, in all kinds of ways: every event
# of a thousand users is delivered, each user's in order, and none twice but
# those whose success the receiver hid.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Test::More;
use Time::HiRes qw(time);

my $count = $ENV{RSWEBHOOK_FLAKY} // 20_000;
my $users = 1000;
my $ways = '500,500,reset,close,429,hang,429+,503,hidden';
my $receiver = new_receiver();
my $node = new_node('flaky', conf => "max_wal_size = 2GB\nrswebhook.max_in_flight = 1000\n");

# Hidden successes and hangs must not take long, but longer than the receiver takes
# to answer, mostly.
add_destination($node, 'flaky', $receiver->url("/flaky/20/$ways"),
    { min_backoff => '50 ms', max_backoff => '500 ms', timeout => '2 s', max_in_flight => 400 });

my $start = time();
is(query($node, qq{
        SELECT count(rswebhook_send(jsonb_build_object(
            'type', 'track', 'event', 'Flaky', 'messageId', 'flaky-' || n, 'userId', 'u' || n % $users),
            'flaky'))
        FROM generate_series(1, $count) AS n}),
    $count, 'all are queued');
ok(wait_until_sent($node), 'nothing is owed any more');
note(sprintf 'sent in %.1f s', time() - $start);

# Attempts that were given up while the receiver took its time; of one that was
# repeated on a new connection, the error tells how the first one ended
my %late = map { $_->{n} => $_->{times} } query_rows($node, q{
    SELECT split_part(e.event ->> 'messageId', '-', 2) AS n, count(*) AS times
    FROM rswebhook.delivery AS v JOIN rswebhook.event AS e ON e.id = v.event_id
    WHERE v.outcome = 'retry' AND v.status IS NULL AND v.duration >= '2 s' GROUP BY 1});
foreach my $request (grep { $_->{answer} eq 'hang' } $receiver->requests)
{
    $late{$1}-- if $request->{headers}{'webhook-id'} =~ /^flaky-(\d+)$/;
}

my (%accepted, %hidden, %unseen, %done, $requests, $out_of_order, @again);
foreach my $request ($receiver->requests)
{
    my ($n) = $request->{headers}{'webhook-id'} =~ /^flaky-(\d+)$/;

    $requests++;
    # one that was given up may be read late, and then be left hanging as well
    my $given_up = ($late{$n} // 0) + ($request->{answer} eq 'hang' ? 1 : 0);
    push @again, $n if ($accepted{$n} // 0) > ($unseen{$n} // 0) + $given_up;

    # what comes before must have been accepted before, or else be this one
    my $before = $done{ $n % $users };
    $out_of_order++ if $n > $users && !$accepted{ $n - $users };
    $out_of_order++ if defined $before && $before > $n && !$hidden{$n} && !$given_up;
    next unless $request->{accepted};
    $accepted{$n}++;
    $hidden{$n} = $request->{answer} eq 'hidden';
    $unseen{$n}++ if $hidden{$n};
    $done{ $n % $users } = $n;
}
is(scalar keys %accepted, $count, 'every event has arrived');
is($out_of_order // 0, 0, 'each user\'s events in order');
is(scalar @again, 0, 'none again after the receiver said that it took it');
diag(history($_)) foreach grep { defined } @again[ 0 .. 4 ];
cmp_ok($requests, '>', 1.15 * $count, 'the receiver did fail');
note("$requests requests");

is(query($node, q{
        SELECT count(*), count(DISTINCT event_id) FROM rswebhook.delivery
        WHERE outcome = 'delivered'}),
    "$count|$count", 'each event was delivered once');
# libcurl itself tries again when a connection that it kept is reset
cmp_ok(query($node, q{SELECT count(*) FROM rswebhook.delivery WHERE outcome = 'retry'}),
    '>', 0.1 * $count, 'each attempt has its row');
cmp_ok(query($node, q{SELECT count(*) FROM rswebhook.delivery}), '<=', $requests,
    'and none was made up');

done_testing();

# What the receiver saw of an event, and what was recorded
sub history
{
    my ($n) = @_;
    my @seen = grep { $_->{headers}{'webhook-id'} eq "flaky-$n" } $receiver->requests;

    return join("\n", map { sprintf '%.3f: %s on connection %d', $_->{t}, $_->{answer}, $_->{connection} } @seen) . "\n"
      . query($node, qq{
        SELECT concat_ws(' ', extract(epoch FROM started_at), duration, outcome, status, error)
        FROM rswebhook.delivery AS v JOIN rswebhook.event AS e ON e.id = v.event_id
        WHERE e.event ->> 'messageId' = 'flaky-$n' ORDER BY attempt});
}
