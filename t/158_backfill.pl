# rswebhook_backfill: each row that a table had arrives once and in order, over a cancel, a crash and what is written
# meanwhile; no faster than asked; while others are sent; and nobody does the same at the same time.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use JSON::PP;
use RswebhookTest;
use Session;
use Test::More;

my $rows = 3000;
my $receiver = new_receiver();
my $node = new_node('backfill', conf => "restart_after_crash = on\n");

add_destination($node, 'new', $receiver->url('/new'));
add_destination($node, 'live', $receiver->url('/live'));
query($node, qq{CREATE TABLE orders (id integer PRIMARY KEY, customer text, n integer DEFAULT 0);
    INSERT INTO orders SELECT 2 * n, 'u' || n % 10 FROM generate_series(1, $rows) n;
    CREATE TRIGGER live AFTER INSERT OR UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('live', 'Order', 'user_id=customer')});

sub call
{
    my ($more) = @_;

    return "CALL rswebhook_backfill('orders', 'new', trigger => 'live', piece => 100$more)";
}

sub begun
{
    my ($session) = @_;

    return wait_for('some to be sent', sub { $session->finished; query($node, 'SELECT coalesce(max(done), 0) > 200 FROM rswebhook.progress') eq 't' });
}

# Cancelled
my $session = Session->new($node);
$session->start(call(', per_second => 500'));
ok(begun($session), 'it is under way');
my ($status, $out, $error) = $node->psql('postgres', call(', resume => true'));
like($error, qr/session \d+ is at work on the same.*HINT: .*pg_cancel_backend/s, 'nobody else does the same');
query($node, q{SELECT pg_cancel_backend(pid) FROM rswebhook.progress WHERE ended_at IS NULL});
eval { $session->finish };
like($@, qr/canceling statement/, 'it can be cancelled');
$session->close;
my $done = query($node, 'SELECT done FROM rswebhook.progress');
cmp_ok($done, '<', $rows, 'before its end');
($status, $out, $error) = $node->psql('postgres', call(''));
like($error, qr/has come to no end\nDETAIL:  $done rows were sent\.\nHINT: .*resume => true/, 'it does not begin anew by accident');

# What is written meanwhile: behind, before and beyond where it goes on
query($node, q{INSERT INTO orders VALUES (1, 'u1'), (5999, 'u1'), (7000, 'u1')});
query($node, q{UPDATE orders SET n = 1 WHERE id IN (2, 6000)});

# A crash
$session = Session->new($node);
$session->start(call(', resume => true, per_second => 500'));
ok(wait_for('more to be sent', sub { $session->finished; query($node, 'SELECT max(done) FROM rswebhook.progress') > $done }), 'it goes on');
kill_process($node, query($node, 'SELECT rswebhook.worker_pid()')) or die "could not kill the worker\n";
eval { $session->finish; $session->close };
$done = query($node, 'SELECT max(done) FROM rswebhook.progress');
cmp_ok($done, '<', $rows, 'until the server dies');
my $began = time;
query($node, call(', resume => true, per_second => 2000'));
my $took = time - $began;
is(query($node, 'SELECT string_agg(done || $$ $$ || (ended_at IS NOT NULL), $$, $$) FROM rswebhook.progress'), $rows + 1 . ' true', 'all are sent in the end, with one that came meanwhile');
cmp_ok($took, '>=', int(($rows - $done) / 2000) - 1, 'and no faster than asked');
ok(wait_until_sent($node), 'and delivered');

my (%times, %last, $disorder);
foreach my $request ($receiver->requests_to('/new'))
{
    my $event = JSON::PP->new->utf8->decode($request->{body});
    my $id = $event->{properties}{id};

    # the crash may have what was in flight sent twice
    $times{$id}{ $event->{messageId} }++;
    $disorder .= " $id" if ($last{ $event->{userId} } // 0) > $id && $times{$id}{ $event->{messageId} } == 1;
    $last{ $event->{userId} } = $id if ($last{ $event->{userId} } // 0) < $id;
}
is(scalar keys %times, $rows + 1, 'each row has arrived');
is(join(' ', grep { keys %{ $times{$_} } > 1 } keys %times), '', 'as one event');
is($disorder, undef, 'in the order of the key');
ok(!$times{1} && !$times{7000} && $times{5999}, 'what came meanwhile is sent if it is between the two');
is(query($node, q{SELECT count(*) FROM rswebhook.delivery WHERE destination_id = rswebhook.destination_id('live') AND outcome = 'delivered'}), 5,
    'its own trigger has sent what was written');

# Nor at the same moment, before anything of the first is to be seen
my @both = map { Session->new($node) } 1, 2;
my $again = q{CALL rswebhook_backfill('orders', 'new', ARRAY['name=Again'])};
$both[1]->query(q{BEGIN; LOCK TABLE rswebhook.event});
$both[0]->start($again);
ok(wait_for('it to wait for the table', sub { query($node, q{SELECT count(*) > 0 FROM pg_locks WHERE NOT granted
    AND pid IN (SELECT pid FROM pg_stat_activity WHERE query LIKE 'CALL%')}) eq 't' }), 'one has begun');
($status, $out, $error) = $node->psql('postgres', $again);
like($error, qr/another session has just begun the same/, 'nobody else begins the same');
$both[1]->query('COMMIT');
$both[0]->finish;
$_->close foreach @both;
is(query($node, q{SELECT count(*) || ' ' || count(DISTINCT event #> '{properties,id}') FROM rswebhook.event WHERE event ->> 'event' = 'Again'}),
    join(' ', ($rows + 3) x 2), 'each row once');

$node->stop;
done_testing();
