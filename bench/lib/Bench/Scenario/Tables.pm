# Bench::Scenario::Tables
#     What it costs to send a table's changes: tables.
#
# Copyright (c) 2026, the rswebhook maintainers

package Bench::Scenario::Tables;

use strict;
use warnings;

use Bench::Load qw($ours settle);
use Bench::Process;
use Bench::Receiver;
use Bench::Way;

# What one would write: events are built, and inserted into a table of their own.
my $event = q{jsonb_build_object('type', 'track', 'event', 'order insert', 'messageId', gen_random_uuid(),
    'userId', r.customer, 'channel', 'server', 'originalTimestamp', now(), 'sentAt', now(),
    'context', jsonb_build_object('table', jsonb_build_object('schema', TG_TABLE_SCHEMA, 'name', TG_TABLE_NAME, 'operation', 'insert')),
    'properties', to_jsonb(r))};
my ($all, $beyond, $bare) = ('CPU of an INSERT', 'CPU beyond the INSERT', 'its two rows alone');
my %trigger = (
    "$ours, rows" => "FOR EACH ROW EXECUTE FUNCTION rswebhook_trigger('bench', '', 'user_id=customer')",
    "$ours, statements" =>
      "REFERENCING NEW TABLE AS rows FOR EACH STATEMENT EXECUTE FUNCTION rswebhook_trigger('bench', '', 'user_id=customer')",
    'hand-made outbox, rows' => 'FOR EACH ROW EXECUTE FUNCTION bench.outbox_row()',
    'hand-made outbox, statements' => 'REFERENCING NEW TABLE AS rows FOR EACH STATEMENT EXECUTE FUNCTION bench.outbox_rows()');

# One session, whose CPU counts; nothing is delivered meanwhile.
sub tables
{
    my ($bench) = @_;
    my ($result, $session, $rows) = (@$bench{qw(result session)}, $bench->{size}{table_rows});
    my $receiver = Bench::Receiver->nginx($bench->{dir});
    my $way = Bench::Way->new('rswebhook');
    my $pid = $session->query('SELECT pg_backend_pid()');

    $session->query(<<"SQL");
CREATE TABLE bench.orders (id bigint PRIMARY KEY, customer text, email text, plan text, total numeric(10, 2),
    paid boolean, placed timestamptz, note text);
CREATE TABLE bench.outbox (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, created_at timestamptz DEFAULT now(), event jsonb);
CREATE TABLE bench.event (LIKE rswebhook.event INCLUDING ALL);
CREATE TABLE bench.queue (LIKE rswebhook.queue INCLUDING ALL);
CREATE FUNCTION bench.outbox_row() RETURNS trigger LANGUAGE plpgsql AS \$\$
DECLARE
    r bench.orders := NEW;
BEGIN
    INSERT INTO bench.outbox (event) VALUES ($event);
    RETURN NULL;
END \$\$;
CREATE FUNCTION bench.outbox_rows() RETURNS trigger LANGUAGE plpgsql AS \$\$
BEGIN
    INSERT INTO bench.outbox (event) SELECT $event FROM rows r;
    RETURN NULL;
END \$\$;
SQL
    my $cpu = sub {
        my ($sql) = @_;
        settle($bench);
        my $before = Bench::Process::cpu_seconds($pid);
        $session->query($sql);
        return (Bench::Process::cpu_seconds($pid) - $before) / $rows * 1e6;
    };
    my $insert = sub {
        my $taken = $cpu->(<<"SQL");
INSERT INTO bench.orders
    SELECT n, 'customer ' || n % 1000, 'c' || n || '\@example.com', 'pro', n % 10000 / 100.0, n % 2 = 0,
           timestamptz '2026-01-01' + n * interval '1 s', repeat('note ', 8)
    FROM generate_series(1, $rows) n;
SQL
        $session->query('TRUNCATE bench.orders, bench.outbox');
        return $taken;
    };
    for (1 .. $bench->{size}{rounds})
    {
        my $without = $insert->();
        my $event;

        $result->add('tables', $all, 'us/row', 'no trigger', $without);
        foreach my $title (sort keys %trigger)
        {
            $way->start($receiver, paused => 'true');
            $session->query("CREATE TRIGGER send AFTER INSERT ON bench.orders $trigger{$title}");
            my $taken = $insert->();
            $result->add('tables', $all, 'us/row', $title, $taken);
            $result->add('tables', $beyond, 'us/row', $title, $taken - $without);
            $event //= $session->query('SELECT event FROM rswebhook.event LIMIT 1') if $title =~ /^$ours/;
            $session->query('DROP TRIGGER send ON bench.orders');
            $way->stop;
        }
        $result->add('tables', $beyond, 'us/row', $bare, $cpu->(bare_rows($event, $rows)));
        $session->query('TRUNCATE bench.event, bench.queue');
    }
    $receiver->stop;
    foreach my $form (qw(rows statements))
    {
        $result->compare('tables', what => $all, way => "$ours, $form",
            against => "hand-made outbox, $form", how => 'ratio', goal => [ '<=', 1 ]);
        $result->compare('tables', what => $beyond, way => "$ours, $form", against => $bare, how => 'ratio');
    }
    return;
}

# What PostgreSQL takes for the same rows in tables like ours, with an event that is made already
sub bare_rows
{
    my ($event, $rows) = @_;

    return <<"SQL";
INSERT INTO bench.event (id, slot, created_at, nonce, event)
    SELECT n, 0, now(), n, '$event' FROM generate_series(1, $rows) n;
INSERT INTO bench.queue (destination_id, event_slot, event_id, queued_at, ordering_key)
    SELECT 1, 0, n, now(), n FROM generate_series(1, $rows) n;
SQL
}

1;
