# Ids do not commit in their order: what commits late is sent at once all the
# same, and old snapshots cost the worker nothing.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use Nginx;
use RswebhookTest;
use Session;
use Test::More;
use Time::HiRes qw(time);

plan skip_all => 'needs nginx' unless defined Nginx::program();

my $count = $ENV{RSWEBHOOK_LATE} // 10_000;
my $nginx = Nginx->new(temp_dir('nginx'));
my $node = new_node('late', conf => "max_prepared_transactions = 5\nmax_wal_size = 2GB\ntrack_commit_timestamp = on\n");

# What the worker was not told of, it finds when it looks for what somebody has
# edited by hand, every ten minutes
my $prompt = 5;    # seconds after the commit
my $sent = 0;

add_destination($node, 'good', $nginx->url('/good'), { max_in_flight => 32 });
add_destination($node, 'other', $nginx->url('/other'));

#
# A transaction that holds the lowest id while all others are delivered
#
my $late = Session->new($node);
$late->query('BEGIN');
my $lowest = $late->query(sending('late', 'good'));
my $savepoints = Session->new($node);
$savepoints->query('BEGIN');
$savepoints->query(sending('kept-1', 'good'));
$savepoints->query('SAVEPOINT a');
$savepoints->query(sending('gone-1', 'good'));
$savepoints->query('ROLLBACK TO a');
$savepoints->query('SAVEPOINT b');
$savepoints->query(sending('kept-2', 'other'));
$savepoints->query('RELEASE b');
$savepoints->query('SAVEPOINT c');
$savepoints->query(sending('gone-2', 'good'));
$savepoints->query('ROLLBACK TO c');
query($node, 'BEGIN; ' . sending('prepared', 'good') . "; PREPARE TRANSACTION 'late'");
my $without = delivery_time();
cmp_ok(query($node, q{SELECT min(event_id) FROM rswebhook.delivery}), '>', $lowest,
    "$count others are delivered, all with higher ids");
prompt(sub { $late->query('COMMIT') }, 'what commits last', 'late');
prompt(sub { $savepoints->query('COMMIT') }, 'subtransactions', 'kept-1', 'kept-2');
prompt(sub { query($node, "COMMIT PREPARED 'late'") }, 'a prepared transaction', 'prepared');
ok(wait_until_sent($node), 'nothing else is owed');
is(query($node, q{
        SELECT count(*) FROM rswebhook.event WHERE event ->> 'messageId' LIKE 'gone-%'}),
    '0', 'what rolled back is not there');

# Many that overlap
query($node, qq{
    DELETE FROM rswebhook.delivery;
    CREATE TABLE clients (n integer)});
my @sessions = map { Session->new($node) } 1 .. 8;
foreach my $round (1 .. 20)
{
    my @open = grep { $_ != $round % 8 } 0 .. 7;

    $sessions[$_]->query('BEGIN') foreach @open;
    $sessions[$_]->query(sending("round-$round-$_", $_ % 2 ? 'good' : 'other')) foreach @open;
    $sessions[$_]->query($_ == 5 ? 'ROLLBACK' : 'COMMIT') foreach reverse @open;
}
$_->close foreach @sessions;
ok(wait_until_sent($node), 'of many that overlap all are sent');
cmp_ok(latency('round-%'), '<', $prompt, 'soon after their commit');
is(query($node, q{SELECT count(*) FROM rswebhook.delivery WHERE outcome = 'delivered'}),
    query($node, q{SELECT count(*) FROM rswebhook.event WHERE event ->> 'messageId' LIKE 'round-%'}),
    'each once');

#
# A reader that keeps its snapshot for the whole run
#
my $reader = Session->new($node);
$reader->query('BEGIN ISOLATION LEVEL REPEATABLE READ');
is($reader->query('SELECT count(*) FROM rswebhook.queue'), '0', 'a snapshot is kept open');
my @with = map { delivery_time() } 1 .. 3;
is($reader->query('SELECT count(*) FROM rswebhook.queue'), '0', 'for the whole run');
$reader->query('COMMIT');
my @without = ($without, delivery_time());
note(sprintf '%s s, with the reader between them %s s', map { join ', ', map { sprintf '%.2f', $_ } @$_ } \@without, \@with);
# with each round there are more dead rows that cannot be removed
($without) = sort { $b <=> $a } @without;
my ($least) = sort { $a <=> $b } @with[ 1, 2 ];
cmp_ok($least, '<', 2.5 * $without + 0.5, 'it does not slow down the worker');

# Single events, when there are many dead rows that cannot be removed
prompt(sub { query($node, sending('single', 'good')) }, 'a single event', 'single');
$reader->close;

done_testing();

sub sending
{
    my ($id, $destination) = @_;

    return qq{SELECT rswebhook_send('{"type": "track", "userId": "$id", "messageId": "$id"}', '$destination')};
}

sub delivery_time
{
    my $first = $sent + 1;
    my $start = time();

    $sent += $count;
    query($node, qq{
        SELECT count(rswebhook_send(jsonb_build_object('type', 'track', 'messageId', 'bulk-' || n,
            'userId', 'u' || n % 500), 'good'))
        FROM generate_series($first, $sent) AS n});
    wait_for('all to be delivered', sub { query($node, 'SELECT NOT EXISTS (SELECT FROM rswebhook.queue)') eq 't' },
        undef, sub { $nginx->progress })
      or die "the worker got stuck\n";
    return time() - $start;
}

# From the commit to the request, the longest in seconds.
sub latency
{
    my ($like) = @_;

    return query($node, qq{
        SELECT max(extract(epoch FROM v.started_at - pg_xact_commit_timestamp(e.xmin)))
        FROM rswebhook.delivery AS v JOIN rswebhook.event AS e ON e.id = v.event_id
        WHERE e.event ->> 'messageId' LIKE '$like'});
}

# Are these events delivered soon after the commit?
sub prompt
{
    my ($commit, $what, @ids) = @_;
    my $list = join ', ', map { "'$_'" } @ids;

    $commit->();
    ok( wait_for_query($node, qq{
            SELECT count(*) FROM rswebhook.delivery AS v JOIN rswebhook.event AS e ON e.id = v.event_id
            WHERE e.event ->> 'messageId' IN ($list) AND v.outcome = 'delivered'}, scalar @ids),
        "$what: delivered");
    cmp_ok(latency($_), '<', $prompt, "$what: soon after the commit") foreach @ids;
    return;
}
