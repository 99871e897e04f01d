# What rswebhook.status says is owed, it knows without counting the queue; and it is right, once
# things are still: after rollbacks, prepared transactions, retries, cancels, replays and crashes.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Test::More;

my $receiver = new_receiver();
my $node = new_node('owed', conf => "rswebhook.workers = 2\nrestart_after_crash = on\nmax_prepared_transactions = 5\n");

# What differs from the queue, or is not known to the workers
my $differs = q{
    SELECT coalesce(string_agg(concat_ws(' ', d.name, s.pending, s.retrying, s.scheduled, s.oldest, s.next_retry_at, 'and not',
                                         q.pending, q.retrying, q.scheduled, q.oldest, q.next_retry_at), ', ' ORDER BY d.name), '')
    FROM rswebhook.destination d
    CROSS JOIN LATERAL rswebhook.count_owed(d.id) q
    LEFT JOIN rswebhook.worker_stats() s ON s.destination_id = d.id
    WHERE (s.pending, s.retrying, s.scheduled, s.oldest, s.next_retry_at)
        IS DISTINCT FROM (q.pending, q.retrying, q.scheduled, q.oldest, q.next_retry_at)};

sub agrees
{
    my ($name) = @_;

    return ok(wait_for_query($node, $differs, ''), $name);
}

sub pending
{
    my ($destination) = @_;

    return query($node, "SELECT pending FROM rswebhook.status WHERE destination = '$destination'");
}

# SQL that sends n events of so many users
sub sends
{
    my ($destination, $n, $users) = @_;

    return "SELECT count(rswebhook_send(jsonb_build_object('type', 'track', 'userId', 'u' || n % $users), '$destination')) FROM generate_series(1, $n) n;";
}

add_destination($node, 'good', $receiver->url('/ok'));
add_destination($node, 'paused', $receiver->url('/ok'), { paused => 'true' });
add_destination($node, 'parts', $receiver->url('/ok'), { paused => 'true', workers => 2 });
add_destination($node, 'fails', $receiver->url('/status/503'), { min_backoff => '1 h', max_backoff => '1 h', breaker_failures => 0 });
add_destination($node, 'down', 'http://127.0.0.1:' . refusing_port() . '/', { min_backoff => '1 h', max_backoff => '1 h' });
await_workers($node);
query($node, sends($_, 1, 1)) foreach 'good', 'paused', 'parts', 'fails', 'down';
agrees('each is counted');

# At once, although nobody is woken for what a paused one is owed
query($node, sends('paused', 2500, 100));
is(pending('paused'), '2501', 'what was sent to one that is paused is owed');
query($node, sends('parts', 1, 1)) foreach 1 .. 5;
is(pending('parts'), '6', 'and to one with several workers');
agrees('as it is');
query($node, sends('parts', 300, 50));
agrees('also where the sender does not say to which of them');

query($node, 'BEGIN; ' . sends('paused', 5, 5) . 'SAVEPOINT s; ' . sends('paused', 7, 5) . 'ROLLBACK TO s; ' . sends('paused', 1, 1) . 'COMMIT');
agrees('without a savepoint that was rolled back');
is(pending('paused'), '2507', 'so many');
query($node, 'BEGIN; ' . sends('paused', 5, 5) . 'ROLLBACK');
is(pending('paused'), '2507', 'nor a transaction');
query($node, 'BEGIN; ' . sends('paused', 10, 5) . q{PREPARE TRANSACTION 'p'});
is(pending('paused'), '2507', 'one that is prepared');
query($node, q{COMMIT PREPARED 'p'});
is(pending('paused'), '2517', 'is owed when it is committed');
agrees('and not before');

# ---------------------------------------------------------------------
# Retries, what is for later, and what goes
# ---------------------------------------------------------------------
query($node, sends('fails', 40, 40) . sends('down', 40, 40) . sends('good', 200, 50));
ok(wait_for_query($node, q{SELECT retrying FROM rswebhook.status WHERE destination = 'fails'}, '40'), 'what waits for its retry');
agrees('is known, and when it is due');
query($node, q{SELECT rswebhook_send('{"type": "track"}', d, deliver_after => clock_timestamp() + s)
    FROM unnest(ARRAY['good', 'paused']) d, unnest(ARRAY[interval '1 s', '1 s', '1 h']) s});
agrees('what is for later');
ok(wait_for_query($node, q{SELECT string_agg(scheduled::text, ' ' ORDER BY destination) FROM rswebhook.status WHERE destination IN ('good', 'paused')}, '1 1'),
    'is no more when its time has come');
agrees('then');
is(query($node, q{SELECT rswebhook_cancel_all('paused', user_id => 'u1')}) > 20, 1, 'some are cancelled');
agrees('which are not owed any more');
query($node, q{SELECT rswebhook_cancel(min(event_id)) FROM rswebhook.queue});
query($node, q{SELECT rswebhook_replay_all('paused', outcome => 'cancelled'), rswebhook_retry('fails')});
agrees('until they are replayed');
query($node, q{UPDATE rswebhook.destination SET paused = NOT paused WHERE name = 'parts'});
ok(wait_for_query($node, q{SELECT pending FROM rswebhook.status WHERE destination = 'parts'}, '0'), 'what is sent is owed no more');
agrees('in all parts');

# Many at once: more than are told one by one
query($node, q{INSERT INTO rswebhook.destination (name, url, paused) SELECT 'd' || n, 'http://192.0.2.1/', true FROM generate_series(1, 60) n});
query($node, q{SELECT rswebhook_send('{"type": "track"}', 'd' || n % 60 + 1) FROM generate_series(1, 200) n});
is(query($node, q{SELECT sum(pending) FROM rswebhook.status WHERE destination ~ '^d\d'}), '200', 'many destinations of one transaction')
    if wait_for_query($node, q{SELECT sum(pending) FROM rswebhook.status WHERE destination ~ '^d\d'}, '200');
query($node, q{INSERT INTO rswebhook.destination (name, url, paused) VALUES ('new', 'http://192.0.2.1/', true)});
is(pending('new'), '0', 'a new one is owed nothing');
query($node, sends('new', 1100, 5));
is(pending('new'), '1100', 'and then what it is sent');
agrees('without its having been sent anything before');
query($node, q{DELETE FROM rswebhook.destination WHERE name ~ '^d\d' OR name = 'new'});
agrees('what was deleted is in nobody\'s way');

# ---------------------------------------------------------------------
# Crashes, and no worker
# ---------------------------------------------------------------------
my $sender = $node->background_psql('postgres');
$sender->query_until(qr/begun/, q{\echo begun
    DO $$ BEGIN FOR n IN 1 .. 400 LOOP
        PERFORM rswebhook_send(jsonb_build_object('type', 'track', 'userId', 'u' || n % 30), d)
            FROM unnest(ARRAY['good', 'paused', 'parts']) d;
        BEGIN
            PERFORM rswebhook_send('{"type": "track"}', 'paused');
            PERFORM rswebhook_cancel(max(event_id)) FROM rswebhook.queue WHERE n % 10 = 0;
            PERFORM 1 / (n % 3);
        EXCEPTION WHEN division_by_zero THEN NULL; END;
        COMMIT;
    END LOOP; END $$;
});
query($node, sends('good', 100, 10) . sends('parts', 20, 5)) foreach 1 .. 10;
$sender->query_safe('SELECT 1');
$sender->quit;
agrees('after much at once');
query($node, sends('good', 2000, 300) . sends('parts', 2000, 300));
ok(kill_process($node, (split / /, worker_pids($node))[0]), 'a worker is killed');
await_workers($node);
ok(wait_for_query($node, q{SELECT sum(pending) FROM rswebhook.status WHERE destination = 'parts'}, '0'), 'the next one goes on');
agrees('from what is there');

is(query($node, q{SELECT sum(pending) = (SELECT count(*) FROM rswebhook.queue) FROM rswebhook.status}), 't', 'that is the queue');
my ($launcher) = query($node, q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'rswebhook launcher'});
kill 'STOP', $launcher;
kill 'TERM', split / /, worker_pids($node);
ok(wait_for('the end of the workers', sub { worker_pids($node) eq '' }), 'there is no worker');
query($node, q{DELETE FROM rswebhook.queue WHERE event_id % 2 = 0});
is(query($node, q{SELECT sum(pending) = (SELECT count(*) FROM rswebhook.queue) FROM rswebhook.status}), 't', 'without one, it is counted in the queue');
kill 'CONT', $launcher;
await_workers($node);
agrees('the next one knows');
is(times_logged($node, qr{\] (?:ERROR|WARNING):}), 0, 'no worker has had an error');

$node->stop;
done_testing();
