# Somebody who may create objects in public, who owns tables with triggers and
# who may send events, gains nothing by it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Test::More;

my $receiver = new_receiver();
my $node = new_node('hostile', extension => 0, start => 0);
{
    # what is read after it was freed shall be no good
    local $ENV{MALLOC_PERTURB_} = 165;
    $node->start;
}

query($node, q(
    CREATE ROLE mallory LOGIN;
    CREATE ROLE operator LOGIN;
    GRANT CREATE ON SCHEMA public TO PUBLIC;
    CREATE SCHEMA spoils;
    GRANT USAGE, CREATE ON SCHEMA spoils TO PUBLIC;
    CREATE TABLE spoils.taken (what text, by_whom text);
    GRANT INSERT ON spoils.taken TO PUBLIC));

# ---------------------------------------------------------------------
# Only a superuser creates the extension
# ---------------------------------------------------------------------
query($node, 'ALTER DATABASE postgres OWNER TO mallory');
my ($status, undef, $error) = as_mallory('CREATE EXTENSION rswebhook');
like($error, qr/permission denied to create extension "rswebhook"/, 'an ordinary user does not create the extension');
like($error, qr/HINT:  Must be superuser/, 'and is told who does');
query($node, 'ALTER DATABASE postgres OWNER TO CURRENT_USER');

# ---------------------------------------------------------------------
# Traps laid before, in front of everything a script could use
# ---------------------------------------------------------------------
my @traps = q(
    CREATE FUNCTION public.note(what text) RETURNS void LANGUAGE sql
        AS 'INSERT INTO spoils.taken VALUES (what, current_user)');

push @traps, map { qq(
    CREATE FUNCTION public.trap_$_->[3](a $_->[0], b $_->[1]) RETURNS $_->[2] LANGUAGE plpgsql
        AS 'BEGIN PERFORM public.note(''operator $_->[4] $_->[0] $_->[1]''); RETURN $_->[5]; END';
    CREATE OPERATOR public.$_->[4] (LEFTARG = $_->[0], RIGHTARG = $_->[1], FUNCTION = public.trap_$_->[3])) }
  operators();
push @traps,
  'CREATE FUNCTION public.format(text, integer) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM public.note(\'format\'); RETURN \'\'; END $$',
  'CREATE FUNCTION public.format(text, integer, integer) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM public.note(\'format\'); RETURN \'\'; END $$',
  'CREATE FUNCTION public.pg_extension_config_dump(text, text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM public.note(\'dump\'); END $$',
  'CREATE FUNCTION public.round(numeric, bigint) RETURNS numeric LANGUAGE plpgsql AS $$ BEGIN PERFORM public.note(\'round\'); RETURN 0; END $$',
  'CREATE FUNCTION public.clock_timestamp(integer DEFAULT 0) RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN PERFORM public.note(\'clock\'); RETURN now(); END $$',
  'CREATE FUNCTION public.array_agg(integer) RETURNS integer[] LANGUAGE plpgsql AS $$ BEGIN PERFORM public.note(\'agg\'); RETURN NULL; END $$';
my ($laid, undef, $trouble) = as_mallory(join(";\n", @traps));
is($laid, 0, 'traps are laid') or diag($trouble);
my $traps = query($node, q(SELECT count(*) FROM pg_operator WHERE oprnamespace = 'public'::regnamespace));
cmp_ok($traps, '>', 20, 'many of them');

# and one that the role's own settings lead into
query($node, 'ALTER DATABASE postgres SET search_path = public, pg_catalog');

query($node, 'CREATE EXTENSION rswebhook');
is(query($node, 'SELECT * FROM spoils.taken'), '', 'the script that a superuser runs steps into none');
is(query($node, q(
        SELECT string_agg(DISTINCT d.classid::regclass || ' ' || d.objid, ', ')
        FROM pg_depend d JOIN pg_operator o ON d.refclassid = 'pg_operator'::regclass AND d.refobjid = o.oid
        WHERE o.oprnamespace = 'public'::regnamespace AND d.classid <> 'pg_operator'::regclass)),
    '', 'nor has it left one where it will be stepped into later');
is(query($node, q(
        SELECT string_agg(p.proname, ', ') FROM pg_depend d
        JOIN pg_proc p ON d.refclassid = 'pg_proc'::regclass AND d.refobjid = p.oid
        WHERE p.proname LIKE 'trap%' AND d.classid NOT IN ('pg_operator'::regclass, 'pg_proc'::regclass))),
    '', 'and no function');

# More traps: names that the functions use. (Whoever may create functions in
# the extension's own schema can make calls of its functions ambiguous.)
as_mallory(q(
    CREATE TABLE public.destination (id integer, name text, url text, paused boolean);
    CREATE TABLE public.queue (destination_id integer, event_id bigint);
    CREATE FUNCTION public.destination_id(text) RETURNS integer LANGUAGE plpgsql
        AS $$ BEGIN PERFORM public.note('destination_id'); RETURN 1; END $$;
    CREATE TYPE public.trap AS (a integer);
    CREATE FUNCTION public.to_trap(jsonb) RETURNS public.trap LANGUAGE plpgsql
        AS $$ BEGIN PERFORM public.note('cast'); RETURN NULL; END $$;
    CREATE CAST (jsonb AS public.trap) WITH FUNCTION public.to_trap(jsonb) AS IMPLICIT));

# ---------------------------------------------------------------------
# Everything at work, by an operator, a superuser and the worker
# ---------------------------------------------------------------------
add_destination($node, 'crm', $receiver->url('/crm'),
    { headers => '{"x-key": "s3cret"}', rate_limit => '1000', retry_after_factor => '2' });
query($node, q(
    GRANT USAGE ON SCHEMA rswebhook TO operator;
    GRANT SELECT ON rswebhook.status TO operator;
    DO $$
    DECLARE
        function regprocedure;
    BEGIN
        FOR function IN
            SELECT d.objid FROM pg_depend d JOIN pg_extension x ON d.refobjid = x.oid AND d.refclassid = 'pg_extension'::regclass
                JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
            WHERE x.extname = 'rswebhook'
            AND p.proname IN ('rswebhook_send', 'rswebhook_pause', 'rswebhook_resume', 'rswebhook_cancel',
                              'rswebhook_replay', 'rswebhook_cancel_all', 'rswebhook_replay_all', 'rswebhook_explain', 'find', 'balance', 'worker_stats', 'count_owed', 'tallies', 'tally_show', 'worker_pid', 'workers', 'is_home', 'time_since', 'unusable', 'filter_errors', 'oldest_event')
        LOOP
            EXECUTE pg_catalog.format('GRANT EXECUTE ON FUNCTION %s TO operator', VARIADIC ARRAY[function::text]);
        END LOOP;
    END $$;
    TRUNCATE spoils.taken));
my $send = q(rswebhook_send('{"type": "track"}'::jsonb, 'crm'::text));
foreach my $role ('a superuser', 'operator')
{
    my ($rc, undef, $message) = $node->psql('postgres', qq(
        SELECT rswebhook_pause('crm'::text);
        SELECT $send;
        SELECT rswebhook_cancel(max(0::bigint), 'crm'::text);
        SELECT rswebhook_cancel_all('crm'::text, '2000-01-01'::timestamptz);
        SELECT rswebhook_cancel_all('crm'::text, before => now());
        SELECT rswebhook_replay_all('crm'::text, '2000-01-01'::timestamptz);
        SELECT * FROM rswebhook_explain(1::bigint), rswebhook.find(since => now() - interval '1 h'), rswebhook.balance();
        SELECT rswebhook_replay_all('crm'::text, since => now(), outcome => 'cancelled');
        SELECT rswebhook_resume('crm'::text);
        SELECT $send;
        SELECT * FROM rswebhook.status;), $role eq 'operator' ? (extra_params => [ '-U', 'operator' ]) : ());
    is($rc, 0, "everything works for $role") or diag($message);
}
ok(wait_until_sent($node), 'and for the worker');
cmp_ok(scalar(() = $receiver->requests), '>=', 2, 'events arrived');
is(query($node, 'SELECT DISTINCT what FROM spoils.taken'), '', 'and nobody stepped into anything');

# ---------------------------------------------------------------------
# Triggers on tables of one's own
# ---------------------------------------------------------------------
($status, undef, $error) = as_mallory(q(
    CREATE TABLE public.mine (id integer);
    CREATE TRIGGER send AFTER INSERT ON public.mine FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('crm')));
like($error, qr/permission denied for function rswebhook_trigger/, 'who may not send makes no trigger that does');
($status, undef, $error) = as_mallory(q(
    CREATE TRIGGER never BEFORE INSERT ON rswebhook.queue FOR EACH ROW EXECUTE FUNCTION public.trap()));
like($error, qr/permission denied/, 'nobody else puts triggers on the tables');

query($node, q(GRANT EXECUTE ON FUNCTION rswebhook_outbox() TO mallory));
as_mallory(q(
    CREATE FUNCTION public.snoop() RETURNS trigger LANGUAGE plpgsql
        AS $$ BEGIN PERFORM public.note('trigger'); NEW.event := NEW.event || '{"by": "trap"}'; RETURN NEW; END $$;
    CREATE TABLE public.outbox (event jsonb);
    CREATE TRIGGER a BEFORE INSERT ON public.outbox FOR EACH ROW EXECUTE FUNCTION public.snoop();
    CREATE TRIGGER b AFTER INSERT ON public.outbox FOR EACH ROW EXECUTE FUNCTION rswebhook_outbox('destination=crm');
    INSERT INTO public.outbox VALUES ('{"type": "track"}')));
is(query($node, 'SELECT DISTINCT what, by_whom FROM spoils.taken'), 'trigger|mallory', 'his own trigger runs as himself');
ok(wait_until_sent($node), 'nothing is owed any more');

# ---------------------------------------------------------------------
# What he tries directly
# ---------------------------------------------------------------------
query($node, q(GRANT EXECUTE ON FUNCTION rswebhook_transform(jsonb, text) TO mallory));
foreach my $attempt (
    'SELECT headers FROM rswebhook.destination',
    'SELECT * FROM rswebhook.event',
    'SELECT * FROM rswebhook.status',
    "SELECT rswebhook.worker_stats()",
    "SELECT rswebhook.destination_id('crm')",
    'SELECT rswebhook.notify_worker(1, 0, 0)',
    "UPDATE rswebhook.destination SET url = 'http://127.0.0.1/'",
    'TRUNCATE rswebhook.queue',
    "SELECT nextval('rswebhook.event_id_seq')",
    'CREATE TABLE rswebhook.mine (id integer)',
    'ALTER TABLE rswebhook.destination DISABLE TRIGGER ALL',
    'DROP EXTENSION rswebhook',
    'ALTER EXTENSION rswebhook ADD TABLE public.mine',
    'SELECT pg_terminate_backend(pid) FROM (SELECT ' . (split / /, worker_pids($node))[0] . ' AS pid) AS x')
{
    my ($rc, undef, $message) = as_mallory($attempt);
    isnt($rc, 0, $attempt);
}
my (undef, $shown) = as_mallory("SELECT rswebhook_transform('{}', 'crm'::text)");
like($shown, qr/"x-key": "\*\*\*"/, 'the transform masks what he may not read');
unlike($shown, qr/s3cret/, 'all of it');

# ---------------------------------------------------------------------
# What an event makes of the status
# ---------------------------------------------------------------------
foreach my $shift (0 .. 2)
{
    my $host = 'a' x $shift . join '.', ("\x{20ac}" x 10) x 12;

    send_event($node, { type => 'track', fullPath => "http://$host/" }, 'crm');
    ok(wait_until_sent($node), 'an event with the long name of another host is given up');
    my ($rc, $length, $message) =
      $node->psql('postgres', q(SELECT length(last_error) FROM rswebhook.status WHERE destination = 'crm'));
    is($rc, 0, 'the status can be read') or diag($message);
    cmp_ok($length || 0, '>', 60, 'and has the error');
}

# ---------------------------------------------------------------------
# Triggers on the extension's tables, which run in the worker
# ---------------------------------------------------------------------

# While one changes a destination, sends and takes its time, an answer comes
# whose meaning is looked up in what was known of destinations before.  It comes
# once the trigger has begun.
add_destination($node, "other $_", $receiver->url('/other'), { headers => '{"x-filler": "' . 'x' x 500 . '"}' })
  foreach 1 .. 10;
add_destination($node, 'slow', $receiver->url('/until/trigger/status/404'), { status_outcomes => '{"404": "delivered"}', timeout => '5 min' });
add_destination($node, 'bad', $receiver->url('/status/400'));
add_destination($node, 'alerts', $receiver->url('/alerts'));
query($node, q(
    CREATE FUNCTION public.alert() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    BEGIN
        UPDATE rswebhook.destination SET rate_limit = 100 WHERE name = 'other 1';
        PERFORM public.rswebhook_send(jsonb_build_object('type', 'track', 'event', 'aborted', 'messageId', 'about-' || NEW.event_id), 'alerts');
        PERFORM pg_sleep(4);
        RETURN NULL;
    END $$;
    CREATE TRIGGER alert AFTER INSERT ON rswebhook.delivery FOR EACH ROW
        WHEN (NEW.outcome = 'aborted') EXECUTE FUNCTION public.alert()));
my $workers = worker_pids($node);
my $slow = send_event($node, { type => 'track', userId => 'u' }, 'slow');
ok(wait_for_query($node, q(SELECT in_flight FROM rswebhook.status WHERE destination = 'slow'), '1'), 'a request is in flight');
my $bad = send_event($node, { type => 'track', userId => 'u' }, 'bad');
ok(wait_for_query($node, q(SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'), '1'), 'a trigger runs');
$receiver->switch('trigger', '');
ok(wait_until_sent($node), 'another one is given up meanwhile, and a trigger sends');
is(outcomes($node, $slow), 'delivered 404 1', 'the answer means what it should');
is(outcomes($node, $bad), 'aborted 400 1', 'the other, too');
my @alerts = $receiver->requests_to('/alerts');
is_deeply([ map { $_->{headers}{'webhook-id'} } @alerts ], ["about-$bad"], 'and the alert is sent, once');
is(worker_pids($node), $workers, 'by the workers that were there before');

done_testing();

sub as_mallory
{
    my ($sql) = @_;

    return $node->psql('postgres', $sql, extra_params => [ '-U', 'mallory' ]);
}

# Of types that have no such operator of their own: exact matches would win.
sub operators
{
    my $serial = 0;
    my @list;

    foreach my $operator ('=', '<', '>', '<=', '>=', '<>')
    {
        foreach my $pair (
            [ 'double precision', 'integer' ], [ 'double precision', 'numeric' ],
            [ 'real', 'integer' ], [ 'real', 'numeric' ],
            [ 'integer', 'numeric' ], [ 'bigint', 'numeric' ],
            [ 'text', 'integer' ], [ 'timestamptz', 'text' ])
        {
            push @list, [ @$pair, 'boolean', ++$serial, $operator, 'true' ];
        }
    }
    foreach my $pair ([ 'integer', 'integer' ], [ 'text', 'integer' ], [ 'text', 'smallint' ], [ 'text', 'bigint' ])
    {
        push @list, [ @$pair, 'text', ++$serial, '||', "''''" ];
    }
    foreach my $pair ([ 'timestamptz', 'text' ], [ 'timestamptz', 'integer' ])
    {
        push @list, [ @$pair, 'interval', ++$serial, '-', 'NULL' ];
    }
    return @list;
}
