# Bench::Scenario::Many
#     What destinations cost by their number: memory, first sends, edits.
#
# Copyright (c) 2026, the rswebhook maintainers

package Bench::Scenario::Many;

use strict;
use warnings;

use Bench::Load qw($ours settle);
use Bench::Process;
use Bench::Receiver;
use Bench::Session;
use Bench::Way;
use Time::HiRes qw(time sleep);

my $event = q('{"type": "track", "userId": "u"}');

# As many destinations as the size says, and few: each has a filter, and is paused, so
# that nothing is delivered meanwhile.
sub many
{
    my ($bench) = @_;
    my ($result, $session, $size) = @$bench{qw(result session size)};
    my %count = (few => 10, many => $size->{many});
    my %what = (few => '10 destinations', many => "$size->{many} destinations");

    for (1 .. $size->{rounds})
    {
        foreach my $which (qw(few many))
        {
            set_up($session, $count{$which});
            settle($bench);
            first_sends($result, $what{$which});
            worker($bench, $what{$which});
            edits($bench, $what{$which});
            fan_out($bench, $what{$which});
            Bench::Way::forget_destinations();
        }
    }
    goals($result, \%what, $count{many});
    return;
}

sub set_up
{
    my ($session, $count) = @_;

    $session->query(<<"SQL");
INSERT INTO rswebhook.destination (name, url, paused, types, headers, signing_secrets)
    SELECT 'destination ' || n, 'https://customer-' || n || '.example.com/hooks', true, ARRAY['page', 'screen'],
        jsonb_build_object('x-api-key', md5(n::text)),
        jsonb_build_array('whsec_' || encode(sha256(n::text::bytea), 'base64'))
    FROM generate_series(1, $count) n;
VACUUM ANALYZE rswebhook.destination;
SQL
    return;
}

# New sessions; the first statement that sends, after one that does not
sub first_sends
{
    my ($result, $what) = @_;
    my %sql = (
        'by name' => "SELECT rswebhook_send($event, 'destination 7')",
        'to all who take it' => "SELECT rswebhook_send($event)");

    foreach my $how (sort keys %sql)
    {
        my (@ms, @mb);
        for (1 .. 5)
        {
            my $session = Bench::Session->new;

            # what any session has once it has used the tables
            $session->query('SELECT count(*) FROM rswebhook.queue WHERE destination_id = 0');
            my $pid = $session->query('SELECT pg_backend_pid()');
            my $before = Bench::Process::memory_mb($pid);
            my $start = time;
            $session->query($sql{$how});
            push @ms, (time - $start) * 1000;
            $session->query("$sql{$how}; $sql{$how}");
            push @mb, Bench::Process::memory_mb($pid) - $before;
        }
        $result->add('many', "first send, $what", 'ms', $how, median(@ms));
        $result->add('many', "a session's memory, $what", 'MB', $how, median(@mb));
    }
    return;
}

# All workers together: their memory, and from their end until they have begun anew
sub worker
{
    my ($bench, $what) = @_;
    my $session = $bench->{session};
    my @before = Bench::Way::workers();
    my $start = time;

    $session->query("SELECT count(pg_terminate_backend(pid)) FROM rswebhook.workers()");
    my @pids;
    until (@pids == @before && !grep { my $pid = $_; grep { $_ == $pid } @before } @pids)
    {
        die "no workers after a minute\n" if time - $start > 60;
        sleep 0.005;
        @pids = started($session);
    }
    $bench->{result}->add('many', "start, $what", 's', 'workers', time - $start);
    $bench->{result}->add('many', "memory, $what", 'MB', 'workers', Bench::Process::memory_mb(@pids));
    return;
}

# Those that have looked around, and say how much they may have in flight
sub started
{
    my ($session) = @_;
    return split /\n/, $session->query('SELECT pid FROM rswebhook.workers() WHERE max_in_flight IS NOT NULL AND pid IS NOT NULL');
}

# Sessions that send, while nobody and while somebody edits other destinations
sub edits
{
    my ($bench, $what) = @_;
    my ($result, $session, $size) = @$bench{qw(result session size)};

    foreach my $how ('nobody edits', 'one edit each 100 ms')
    {
        my $editor;
        $editor = Bench::Process->start('psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-c', edit_loop($size->{many_seconds} + 2))
          if $how ne 'nobody edits';
        my ($rate, $longest) = senders($bench, $size->{many_seconds});
        $editor->stop if $editor;
        $result->add('many', "20 sessions, $what", 'tx/s', $how, $rate);
        $result->add('many', "20 sessions, p99, $what", 'ms', $how, $longest);
    }
    return;
}

sub edit_loop
{
    my ($seconds) = @_;
    my $edits = $seconds * 10;

    return <<"SQL";
DO \$\$ BEGIN
    FOR n IN 1 .. $edits LOOP
        UPDATE rswebhook.destination SET paused = NOT paused, url = url || '' WHERE name = 'destination 1';
        COMMIT;
        PERFORM pg_sleep(0.1);
    END LOOP;
END \$\$
SQL
}

# Half of what is sent is for one destination, half for those who take it (none do)
sub senders
{
    my ($bench, $seconds) = @_;
    my $path = "$bench->{dir}/many.sql";
    my $log = "$bench->{dir}/many_log";

    open(my $script, '>', $path) or die "cannot write $path: $!\n";
    print $script "SELECT rswebhook_send($event, 'destination 7');\nSELECT rswebhook_send($event);\n";
    close $script;
    unlink glob("$log.*");
    my $pgbench = Bench::Process->start('pgbench', '-n', '-M', 'prepared', '-c', 20, '-j', 2,
        '-T', $seconds, '-R', 400, '-l', "--log-prefix=$log", '-f', $path);
    my $rate;
    while (defined(my $line = readline $pgbench->{out}))
    {
        $rate = $1 if $line =~ /^tps = ([0-9.]+)/;
    }
    $pgbench->finish;
    my @all;
    foreach my $file (glob("$log.*"))
    {
        open(my $in, '<', $file) or die "cannot read $file: $!\n";
        push @all, map { [ (split)[ 2, 4 ] ] } <$in>;
        close $in;
    }

    # the first sends of each are measured above
    my ($first) = sort { $a <=> $b } map { $_->[1] } @all;
    my @ms = sort { $a <=> $b } map { $_->[0] / 1000 } grep { $seconds < 5 || $_->[1] > $first + 2 } @all;
    return ($rate, $ms[ $#ms * 0.99 ]);
}

# Each has a filter of its own, and three of them take the event
sub fan_out
{
    my ($bench, $what) = @_;
    my ($result, $session, $sends) = (@$bench{qw(result session)}, $bench->{size}{many_sends});
    my $wanted = q('{"type": "track", "event": "wanted", "userId": "u"}');
    my %sql = ('to 3 that take it' => $wanted, 'to one by its name' => "$wanted, 'destination 7'");

    $session->query(<<'SQL');
UPDATE rswebhook.destination SET types = '{track,page}',
    events = CASE WHEN name IN ('destination 1', 'destination 2', 'destination 3') THEN '{wanted}' ELSE ARRAY['Event ' || id, 'On ' || id || ' *'] END
SQL
    foreach my $how (sort keys %sql)
    {
        $session->query("SELECT rswebhook_send($sql{$how})");
        my $start = time;
        $session->query("SELECT count(rswebhook_send($sql{$how})) FROM generate_series(1, $sends)");
        $result->add('many', "a send, $what", 'us', $how, (time - $start) / $sends * 1e6);
    }
    return;
}

sub median
{
    my @sorted = sort { $a <=> $b } @_;
    return $sorted[ $#sorted / 2 ];
}

sub goals
{
    my ($result, $what, $many) = @_;

    foreach my $how ('by name', 'to all who take it')
    {
        $result->compare('many', what => "a session's memory, $what->{many}", way => $how,
            how => 'value', goal => [ '<=', 2 + $many * 100 / 1e6 ]);
        $result->compare('many', what => "first send, $what->{many}", way => $how,
            how => 'value', goal => [ '<=', 5 ]);
    }
    $result->compare('many', what => "a send, $what->{many}", way => 'to 3 that take it',
        against => 'to one by its name', how => 'ratio', goal => [ '<=', 2 ]);
    $result->compare('many', what => "memory, $what->{many}", way => 'workers', how => 'value',
        goal => [ '<=', 60 ]);
    $result->compare('many', what => "start, $what->{many}", way => 'workers', how => 'value',
        goal => [ '<=', 0.5 ]);
    $result->compare('many', what => "20 sessions, $what->{many}", way => 'one edit each 100 ms',
        against => 'nobody edits', how => 'ratio', goal => [ '>=', 0.95 ]);
    $result->compare('many', what => "20 sessions, p99, $what->{many}", way => 'one edit each 100 ms',
        against => 'nobody edits', how => 'difference', goal => [ '<=', 1 ]);
    return;
}

1;
