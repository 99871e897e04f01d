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
my %trigger = (
    'no trigger' => '',
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
    for (1 .. $bench->{size}{rounds})
    {
        foreach my $title (sort keys %trigger)
        {
            $way->start($receiver, paused => 'true');
            $session->query("CREATE TRIGGER send AFTER INSERT ON bench.orders $trigger{$title}") if $trigger{$title};
            settle($bench);
            my $before = Bench::Process::cpu_seconds($pid);
            $session->query(<<"SQL");
INSERT INTO bench.orders
    SELECT n, 'customer ' || n % 1000, 'c' || n || '\@example.com', 'pro', n % 10000 / 100.0, n % 2 = 0,
           timestamptz '2026-01-01' + n * interval '1 s', repeat('note ', 8)
    FROM generate_series(1, $rows) n;
SQL
            $result->add('tables', 'CPU of an INSERT', 'us/row', $title,
                (Bench::Process::cpu_seconds($pid) - $before) / $rows * 1e6);
            $session->query('DROP TRIGGER send ON bench.orders') if $trigger{$title};
            $session->query('TRUNCATE bench.orders, bench.outbox');
            $way->stop;
        }
    }
    $receiver->stop;
    foreach my $form (qw(rows statements))
    {
        $result->compare('tables', what => 'CPU of an INSERT', way => "$ours, $form",
            against => "hand-made outbox, $form", how => 'ratio', goal => [ '<=', 1 ]);
    }
    return;
}

1;
