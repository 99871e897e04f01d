# Memory stays where it is, in the sessions that transform and send and in the
# worker, however much there is of it.
#
# RSWEBHOOK_MEMORY says how many events (20000).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Test::More;

my $events = $ENV{RSWEBHOOK_MEMORY} // 20_000;
my $steps = 10;
my $allowed = $ENV{RSWEBHOOK_SANITIZED} ? 65536 : 3072;    # kB

my $receiver = new_receiver();
my $node = new_node('memory', conf => "max_wal_size = 4GB\n");
add_destination($node, 'posts', $receiver->url('/ok'),
    { ordered => 0, headers => '{"X-A": "b"}', types => '{track}', max_in_flight => 64 });
add_destination($node, 'gets', $receiver->url('/ok'), { method => 'GET', ordered => 0, types => '{identify}' });

query($node, q{
    CREATE TABLE memory (what text, step int, kb bigint);
    CREATE FUNCTION memory() RETURNS bigint LANGUAGE sql VOLATILE AS
    $$ SELECT substring(pg_read_file('/proc/self/status') FROM 'RssAnon:\s+(\d+)')::bigint $$;
    CREATE FUNCTION event(n int) RETURNS jsonb LANGUAGE sql IMMUTABLE AS
    $$ SELECT jsonb_build_object('type', CASE WHEN n % 2 = 0 THEN 'track' ELSE 'identify' END, 'userId', 'u' || n % 100,
        'event', 'Order', 'traits', jsonb_build_object('a', n, 'b', repeat('x', n % 500)),
        'properties', jsonb_build_object('list', jsonb_build_array(n, n + 1, 'three'), 'price', n / 100.0)) $$;
    CREATE PROCEDURE work(steps int, size int) LANGUAGE plpgsql AS
    $$
    DECLARE
        n int;
        config jsonb := '{"webhookUrl": "http://127.0.0.1/", "webhookMethod": "GET", "headers": [{"from": "X-A", "to": "b"}]}';
    BEGIN
        FOR step IN 1 .. steps LOOP
            FOR i IN 1 .. size LOOP
                n := step * size + i;
                PERFORM rswebhook_transform(event(n), config), rswebhook_transform(event(n), 'posts'),
                    rswebhook.wire(event(n), config);
                IF i % 50 = 0 THEN
                    BEGIN
                        PERFORM rswebhook.wire(event(n), '{"webhookUrl": "nowhere"}'::jsonb);
                    EXCEPTION WHEN OTHERS THEN NULL;
                    END;
                END IF;
            END LOOP;
            INSERT INTO memory VALUES ('transform', step, memory());
            COMMIT;
        END LOOP;
        FOR step IN 1 .. steps LOOP
            FOR i IN 1 .. size LOOP
                PERFORM rswebhook_send(event(step * size + i));
                IF i % 100 = 0 THEN
                    COMMIT;
                END IF;
            END LOOP;
            INSERT INTO memory VALUES ('send', step, memory());
            COMMIT;
            -- the worker is to keep pace, so that one step is like another
            WHILE EXISTS (SELECT FROM rswebhook.queue) LOOP
                PERFORM pg_sleep(0.05);
                COMMIT;
            END LOOP;
            INSERT INTO memory SELECT 'worker ' || pid, step,
                substring(pg_read_file('/proc/' || pid || '/status') FROM 'RssAnon:\s+(\d+)')::bigint
                FROM pg_stat_activity WHERE datname = 'postgres' AND backend_type LIKE 'rswebhook%';
            COMMIT;
        END LOOP;
    END
    $$});

my $pids = worker_pids($node);
my $size = int($events / $steps);
query($node, "CALL work($steps, $size)");
is(worker_pids($node), $pids, 'the workers are the same');
is(query($node, q{SELECT count(*) FROM rswebhook.delivery WHERE outcome = 'delivered'}), $steps * $size, 'all were delivered');
foreach my $what (qw(transform send), map { "worker $_" } split / /, $pids)
{
    # the first steps fill caches
    my $grown = query($node, qq{
        SELECT max(kb) FILTER (WHERE step = $steps) - max(kb) FILTER (WHERE step = 2) FROM memory WHERE what = '$what'});
    note(query($node, "SELECT string_agg(kb::text, ' ' ORDER BY step) FROM memory WHERE what = '$what'"));
    cmp_ok($grown, '<', $allowed, "$what: $grown kB more after " . ($steps - 2) * $size . ' more events');
}

done_testing();
