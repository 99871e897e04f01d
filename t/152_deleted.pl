# What is deleted from the queue by hand, while it waits for its retry, holds up nothing: its
# user's next event goes at once, however it was deleted, and whatever else is owed.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Test::More;

my $receiver = new_receiver();
my $node = new_node('deleted', conf => "max_prepared_transactions = 2\ntrack_functions = 'all'\n");

add_destination($node, 'shop', $receiver->url('/'), { min_backoff => '1 day', max_backoff => '7 days', breaker_failures => 0 });
query($node, 'CREATE ROLE clerk; GRANT USAGE ON SCHEMA rswebhook TO clerk; GRANT SELECT, DELETE ON rswebhook.queue TO clerk');

# What is delivered is not deleted by a statement, of which somebody would have to be told
query($node, q{SELECT count(rswebhook_send(jsonb_build_object('userId', n, 'appendPath', 'ok/first'), 'shop')) FROM generate_series(1, 200) n});
ok(wait_until_sent($node), 'all are delivered');
query($node, 'SELECT pg_stat_clear_snapshot()');
is(query($node, q{SELECT count(*) FROM pg_stat_user_functions WHERE funcname = 'queue_gone'}), '0', 'which fires no trigger');

# Of one user after another an event waits for a day, and is deleted
my $of = q{destination_id = rswebhook.destination_id('shop') AND event_id =};
my %ways = (
    'a DELETE' => [ 1, "DELETE FROM rswebhook.queue WHERE $of %d" ],
    'a DELETE in pieces' => [ 2, 'DELETE FROM rswebhook.queue WHERE event_id = %d', 'DELETE FROM rswebhook.queue WHERE event_id = %d' ],
    'a DELETE of ids that lie far apart' => [ 2, 'DELETE FROM rswebhook.queue WHERE event_id IN (%d, %d)' ],
    'all that its owner owes' => [ 2, q{SELECT rswebhook_cancel_all('shop')} ],
    'a DELETE by somebody' => [ 1, "SET ROLE clerk; DELETE FROM rswebhook.queue WHERE event_id = %d" ],
    'a DELETE by a replica' => [ 1, 'SET session_replication_role = replica; DELETE FROM rswebhook.queue WHERE event_id = %d' ],
    'a DELETE that is prepared' => [ 1, 'BEGIN; DELETE FROM rswebhook.queue WHERE event_id = %d; PREPARE TRANSACTION $$one$$', 'COMMIT PREPARED $$one$$' ],
    'a savepoint' => [ 1, 'BEGIN; SAVEPOINT s; DELETE FROM rswebhook.queue WHERE event_id = %d; RELEASE s; COMMIT' ],
    'an edit, and a DELETE' => [ 1, q{UPDATE rswebhook.queue SET retry_at = now() + interval '2 d' WHERE event_id = %1$d; DELETE FROM rswebhook.queue WHERE event_id = %1$d} ],
    'TRUNCATE' => [ 2, 'TRUNCATE rswebhook.queue' ],
    'TRUNCATE by a replica' => [ 1, 'SET session_replication_role = replica; TRUNCATE rswebhook.queue' ],
    'TRUNCATE of all that there is' => [ 2, 'TRUNCATE rswebhook.queue, rswebhook.event, rswebhook.delivery, rswebhook.message' ],
    'TRUNCATE, and ids that begin anew' => [ 2, 'TRUNCATE rswebhook.queue, rswebhook.event, rswebhook.delivery, rswebhook.message RESTART IDENTITY',
        q{SELECT setval('rswebhook.event_id_seq', 1)} ]);
foreach my $how (sort keys %ways)
{
    my ($count, @statements) = @{ $ways{$how} };
    my @users = map { "$how $_" } 1 .. $count;
    my @ids = map { fails($_) } @users;

    foreach my $statement (@statements)
    {
        my $nplaces = () = $statement =~ /%d/g;
        my @places = $nplaces > 1 || $statement =~ /\$d/ ? @ids : $nplaces == 1 ? (shift @ids) : ();

        query($node, sprintf $statement, @places);
    }
    goes($how, $_) foreach @users;
    is(query($node, 'SELECT count(*) FROM rswebhook.queue'), '0', "$how: nothing is owed");
}

# What is rolled back has not been deleted, and is waited for
my $id = fails('rolled back');
query($node, "BEGIN; DELETE FROM rswebhook.queue WHERE event_id = $id; ROLLBACK");
send_ok('rolled back');
goes('rolled back', 'another');
is(scalar($receiver->requests_to('/ok/rolled%20back')), 0, 'after a ROLLBACK the next one waits');
query($node, "DELETE FROM rswebhook.queue WHERE event_id = $id");
ok(wait_until_sent($node), 'and goes when there is nothing to wait for');

# A trigger of somebody's, and ours beside it
query($node, q{
    CREATE TABLE seen (event_id bigint);
    CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.seen VALUES (OLD.event_id); RETURN OLD; END $$;
    CREATE TRIGGER see BEFORE DELETE ON rswebhook.queue FOR EACH ROW EXECUTE FUNCTION see()});
$id = fails('seen');
query($node, "DELETE FROM rswebhook.queue WHERE event_id = $id");
goes('seen', 'seen');
is(query($node, 'SELECT count(*) FROM seen'), '2', 'a trigger of somebody\'s is fired by all that is deleted');
is(errors_logged($node), 0, 'the worker has no errors');

# Where the ids of destinations begin anew, a new one has nothing of an old one's
$id = fails('restarted');
my @before = query($node, q{SELECT id FROM rswebhook.destination}) =~ /(\d+)/;
query($node, 'TRUNCATE rswebhook.destination RESTART IDENTITY');
add_destination($node, 'shop', $receiver->url('/'));
cmp_ok(query($node, 'SELECT id FROM rswebhook.destination'), '>', $before[0], 'a number of which there is history is not given again');
is(query($node, q{SELECT count(*) FROM rswebhook.find() WHERE destination = 'shop'}), '0', 'so a new destination has nothing of an old one');
ok(wait_for_query($node, "SELECT outcome FROM rswebhook.delivery WHERE event_id = $id ORDER BY started_at DESC LIMIT 1", 'aborted'), 'what was owed is given up');
query($node, q{TRUNCATE rswebhook.destination, rswebhook.queue, rswebhook.event, rswebhook.delivery, rswebhook.message, rswebhook.tally,
    rswebhook.untallied, rswebhook.alert, rswebhook.breaker, rswebhook.trusted, rswebhook.floor RESTART IDENTITY});
add_destination($node, 'shop', $receiver->url('/'));
is(query($node, 'SELECT id FROM rswebhook.destination'), '1', 'of which there is none it is');
goes('restarted', 'restarted');
ok(wait_for_query($node, q{SELECT pending, retrying, delivered, last_error FROM rswebhook.status}, '0|0|1|'), 'and its status is its own');

done_testing();

# An event of a user that waits for its retry, among ids that are far away from the last ones
sub fails
{
    my ($user) = @_;
    my $sent = send_event($node, { userId => $user, appendPath => 'status/500' }, 'shop');

    ok(wait_for_query($node, "SELECT retry_at > now() FROM rswebhook.queue WHERE event_id = $sent", 't'), "$user: one waits");
    query($node, q{SELECT setval('rswebhook.event_id_seq', nextval('rswebhook.event_id_seq') + 20000)});
    return $sent;
}

sub send_ok
{
    my ($user) = @_;

    return send_event($node, { userId => $user, appendPath => "ok/$user" }, 'shop');
}

sub goes
{
    my ($how, $user) = @_;
    my $sent = send_ok($user);

    ok(wait_for_query($node, "SELECT outcome FROM rswebhook.delivery WHERE event_id = $sent", 'delivered', 5), "$how: the user's next event goes")
      or diag(query($node, "SELECT state, why FROM rswebhook_explain($sent)"));
    return;
}
