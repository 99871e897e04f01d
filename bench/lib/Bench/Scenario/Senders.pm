# Bench::Scenario::Senders
#     What a send costs the session that sends: senders.
#
# Copyright (c) 2026, the rswebhook maintainers

package Bench::Scenario::Senders;

use strict;
use warnings;

use Bench::Load qw($ours settle);
use Bench::Process;
use Bench::Receiver;
use Bench::Way;

my $what = 'CPU of a send';
my @others = ("$ours, in a loop", "$ours, limited sender", "$ours, deduplicated", "$ours, a duplicate");

# The CPU of one session that sends many events, beyond what it takes to make them.
# Nothing is delivered meanwhile.
sub senders
{
    my ($bench) = @_;
    my ($result, $session, $rows) = (@$bench{qw(result session)}, $bench->{size}{table_rows});
    my $receiver = Bench::Receiver->nginx($bench->{dir});
    my $way = Bench::Way->new('rswebhook');
    my $pid = $session->query('SELECT pg_backend_pid()');

    set_up($session);
    for (1 .. $bench->{size}{rounds})
    {
        my $events = Bench::Way::events($rows);
        my $cpu = sub {
            my ($sql) = @_;
            settle($bench);
            my $before = Bench::Process::cpu_seconds($pid);
            $session->query($sql);
            return (Bench::Process::cpu_seconds($pid) - $before) / $rows * 1e6;
        };
        my $making = $cpu->("SELECT count(e.event) FROM ($events OFFSET 0) e");
        my $add = sub {
            my ($title, $sql) = @_;
            $result->add('senders', $what, 'us/event', $title, $cpu->(sprintf $sql, $events) - $making);
        };
        my $send = q{SELECT count(rswebhook_send(e.event, 'bench'%s)) FROM (%%s OFFSET 0) e};
        my $once = sprintf $send, q{, deduplicate => '1 day'};
        my $started = sub {
            $way->start($receiver, paused => 'true');
            $session->query("SELECT rswebhook_grant_send('bench_limited', 'bench')");
        };

        $result->add('senders', 'CPU of making the event', 'us/event', 'bench.event()', $making);
        $add->('plain INSERT', 'INSERT INTO bench.plain (event) %s');
        $session->query('TRUNCATE bench.plain');
        foreach (
            [ $ours, sprintf $send, '' ],
            [ $others[0], 'CALL bench.send_each($$%s$$)' ],
            [ $others[1], sprintf "SET ROLE bench_limited; $send; RESET ROLE", '' ])
        {
            $started->();
            $add->(@$_);
            $way->stop;
        }
        $started->();
        $add->($others[2], $once);
        $add->($others[3], $once);
        $way->stop;
    }
    $session->query('DROP OWNED BY bench_limited; DROP ROLE bench_limited');
    $receiver->stop;
    $result->compare('senders', what => $what, way => $ours, against => 'plain INSERT', how => 'ratio');
    $result->compare('senders', what => $what, way => $_, against => $ours, how => 'ratio') foreach @others;
    return;
}

sub set_up
{
    my ($session) = @_;

    $session->query(<<'SQL');
CREATE ROLE bench_limited;
GRANT USAGE ON SCHEMA bench TO bench_limited;
CREATE PROCEDURE bench.send_each(events text) LANGUAGE plpgsql AS $$
DECLARE
    e jsonb;
BEGIN
    FOR e IN EXECUTE events LOOP
        PERFORM rswebhook_send(e, 'bench');
    END LOOP;
END $$;
SQL
    return;
}

1;
