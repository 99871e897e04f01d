# Events of which the worker dies by a signal, which restarts the server: three
# times each at the most, whatever destinations they are owed to and however many
# there are, with longer and longer pauses, and all others arrive.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Shares;
use Test::More;

my $conf = $ENV{RSWEBHOOK_INJECTED_CONF};
plan skip_all => 'needs a build with -DRSWEBHOOK_INJECTION' unless ($conf // '') ne '';
$ENV{RSWEBHOOK_CONF} = $conf;

my $receiver = new_receiver();
my $node = new_node('deaths', conf => "restart_after_crash = on\n");
my $others = 50;
my $more = workers_each() > 1;    # workers than one
my $log;    # from where on it is looked at

add_destination($node, $_, $receiver->url("/ok/$_"), { min_backoff => '1 s', max_backoff => '1 s' }) foreach qw(a b);
add_destination($node, 'other', $receiver->url('/ok/other'), { types => '{none}' });    # only if it is named
send_event($node, { type => 'track', messageId => 'warm-up' }, $_) foreach qw(a b other);
ok(wait_until_sent($node), 'it delivers');

# one event, to two destinations
dies_of('both', 'rendering', 0, ['u1']);
# of two that died at once, both count
like(pauses(), $more ? qr/^(?:1 )?(?:2|4|2 4)$/ : qr/^1 2$/, 'each time there is a longer pause before a worker is started');

# two, one of which is found only when the other is known
dies_of('two', 'rendering', 0, [ 'u1', 'a' ], [ 'u2', 'a' ]);
is(pauses(), '1 2 4 8 16', 'a longer pause each time');

# when it records what it has sent: of which, shows as soon as that is done one by one
dies_of('recorded', 'outcome', 2, [ 'u1', 'a' ]);

# once when it makes the request, then when it records what became of that
{
    my $bad = query($node, 'SELECT last_value FROM rswebhook.event_id_seq') + 1;

    $node->restart;
    $log = -s $node->logfile;
    inject($node, "rendering crash $bad");
    $node->psql('postgres', q{SELECT rswebhook_send('{"type": "track", "userId": "u1"}', 'a')});
    ok(wait_for('the first death', sub { logged($node, $log) =~ /died while it prepared event $bad/ }), 'a worker dies when it makes a request');
    inject($node, "outcome crash $bad");
    ok(wait_for('it to be given up', \&nothing_owed, 60, sub { scalar deaths() }), 'others when they record its outcome');
    is(errors_of($bad), 'the request could not be made or its outcome not be recorded: the worker died of it twice; '
          . 'the worker died three times while it made the request or recorded the outcome', 'the rows say so');
    inject($node);
}

# another event with its id has deaths of its own
{
    my $bad = query($node, 'SELECT last_value FROM rswebhook.event_id_seq') + 1;
    my $counts = qr/died while it prepared event $bad for destination \d+, (\d) time/;

    $node->restart;
    $log = -s $node->logfile;
    inject($node, "rendering crash $bad");
    $node->psql('postgres', q{SELECT rswebhook_send('{"type": "track", "userId": "u1"}', 'a')});
    ok(wait_for('the first death', sub { logged($node, $log) =~ $counts }), 'a worker dies of an event');
    ok(wait_for('it to be paused', sub { done(q{SELECT rswebhook_pause('a')}) }), 'which waits then');
    inject($node);
    is(query($node, qq{
            BEGIN; TRUNCATE rswebhook.queue, rswebhook.event;
            SELECT setval('rswebhook.event_id_seq', $bad, false);
            SELECT rswebhook_send('{"type": "track", "userId": "u2"}', 'a'); COMMIT}) =~ s/\s+/ /gr, "$bad $bad", 'another one has its id');
    inject($node, "rendering crash $bad");
    $node->psql('postgres', q{SELECT rswebhook_resume('a')});
    ok(wait_for('it to be given up', \&nothing_owed, 60, sub { scalar deaths() }), 'the worker dies of that one, too');
    like(join(' ', logged($node, $log) =~ /$counts/g), qr/^1 (?:2 )?1 2 3$/, 'three times');
    inject($node);
}

$more = 1;
query($node, 'ALTER SYSTEM SET rswebhook.workers = 2');
query($node, q{UPDATE rswebhook.destination SET workers = 2 WHERE name IN ('a', 'b')});
$node->restart;
ok(wait_for_workers($node, 2), 'two workers');
my @users = map { "u$_" } 1 .. 40;
my @of_a = users_by_share($node, 2, 'a', \@users);
my @of_b = users_by_share($node, 2, 'b', \@users);
my %first_of_b = map { $_ => 1 } @{ $of_b[0] };
my ($apart) = grep { !$first_of_b{$_} } @{ $of_a[0] };

dies_of('both-apart', 'rendering', 0, [$apart]);
dies_of('two-apart', 'rendering', 0, map { [ $of_a[$_][0], 'a' ] } 0, 1);

# While the worker that dies waits, be it the first one, the others do not
{
    my $next = query($node, 'SELECT last_value FROM rswebhook.event_id_seq') + 1;
    my $beside = sub { scalar grep { $_->{headers}{'webhook-id'} eq 'beside' } $receiver->requests_to('/ok/other') };

    $node->restart;
    $log = -s $node->logfile;
    inject($node, sprintf 'rendering crash %d %d', $next, $next + 1);
    $node->psql('postgres', join '; ', 'BEGIN',
        (map { qq{SELECT rswebhook_send('{"type": "track", "userId": "$of_a[0][$_]"}', 'a')} } 0, 1), 'COMMIT');
    ok(wait_for('the longest pause', sub { pauses() =~ / 16$/ && is_there($node) }, 60, sub { pauses() }), 'a worker has died again and again');
    query($node, q{SELECT rswebhook_send('{"type": "track", "messageId": "beside"}', 'other')});
    ok(wait_for('another one\'s event', $beside), 'what is owed to others arrives');
    is(query($node, 'SELECT string_agg(share::text, $$ $$) FROM rswebhook.workers() WHERE pid IS NULL'), '1', 'before that one is started again');
    ok(wait_for('all to be given up', \&nothing_owed, 60), 'the bad ones are given up in the end');
    inject($node);
}

$node->restart;
ok(wait_for_workers($node, 2), 'workers after the pause');
# a worker that ends as it should remembers nothing that is not owed
$node->stop;
is(join(' ', glob $node->data_dir . '/pg_stat_tmp/rswebhook.*'), '', 'nothing is remembered');

done_testing();

# ---------------------------------------------------------------------

# Events, each of a user, to a destination or to a and b, and others after them.
# The worker dies of each three times; and unknown times before it knows of which.
sub dies_of
{
    my ($id, $place, $unknown, @events) = @_;
    my $next = query($node, 'SELECT last_value FROM rswebhook.event_id_seq') + 1;
    my @bad = $next .. $next + $#events;
    my $sends = join ' ', map { sprintf q{SELECT rswebhook_send('{"type": "track", "userId": "%s"}'%s);}, $_->[0],
        defined $_->[1] ? ", '$_->[1]'" : '' } @events;
    my %times;

    $node->restart;    # which begins a new row of deaths
    $log = -s $node->logfile;
    inject($node, "$place crash @bad");
    # the server may be down as soon as this is committed
    is(($node->psql('postgres', qq{
            BEGIN; $sends
            SELECT FROM (SELECT count(rswebhook_send(jsonb_build_object('type', 'track', 'userId', n, 'messageId', '$id-' || n), 'other'))
                FROM generate_series(1, $others) n) AS s; COMMIT}))[1] =~ s/\s+/ /gr =~ s/ $//r, "@bad", "$id: the ids are the expected ones");

    ok(wait_for('all to be given up', \&nothing_owed, 60, sub { scalar deaths() }), "$id: they are given up in the end");
    my $deaths = () = deaths();
    cmp_ok($deaths, '>=', 3 - $more, "$id: the worker has died");    # of two at once the log has one
    cmp_ok($deaths, '<=', 3 * @bad + $unknown, "$id: of each three times, and no more");
    inject($node);
    foreach my $event (@bad)
    {
        is(errors_of($event),
            $place eq 'outcome'
            ? 'the outcome could not be recorded: the worker died of it twice; the worker died three times while it recorded the outcome'
            : 'the request could not be made: the worker died of it twice; the worker died three times while it made the request',
            "$id: and each was set aside before, for what it did");
    }
    foreach ($receiver->requests_to('/ok/other'))
    {
        $times{ $_->{headers}{'webhook-id'} }++ if $_->{headers}{'webhook-id'} =~ /^$id-/;
    }
    is(scalar keys %times, $others, "$id: all others arrive");
    # once more for each of the bad ones at the most, if it was another worker that died: before it was known
    is(scalar(grep { $_ > 1 + $unknown + $more * @bad } values %times), 0, "$id: and are not sent again each time");
    return;
}

sub errors_of
{
    my ($event) = @_;

    return query($node, qq{SELECT string_agg(DISTINCT error, '; ' ORDER BY error) FROM rswebhook.delivery WHERE event_id = $event});
}

# The server may be down at times, or go down just then (see is_there()).
sub nothing_owed
{
    my ($status, $owed) = eval { $node->psql('postgres', 'SELECT count(*) FROM rswebhook.queue') };

    return defined $status && $status == 0 && $owed eq '0';
}

# Likewise
sub done
{
    my ($sql) = @_;
    my ($status) = eval { $node->psql('postgres', $sql) };

    return defined $status && $status == 0;
}

sub deaths
{
    return logged($node, $log) =~ /terminated by signal 11/g;
}

sub pauses
{
    return join ' ', logged($node, $log) =~ /starts a worker for database \d+ in (\d+) s/g;
}
