# Bench::Scenario::Bytes
#     What is written for an event: WAL, and disk.
#
# Copyright (c) 2026, the rswebhook maintainers

package Bench::Scenario::Bytes;

use strict;
use warnings;

use Bench::Load qw($ours settle);
use Bench::Receiver;
use Bench::Way;
use Time::HiRes qw(sleep);

# Some 200 bytes of text, as a small event has them
my $event = q{jsonb_build_object('type', 'track', 'userId', 'user-' || i % 1000, 'event', 'Order Completed',
    'messageId', 'event-' || i, 'properties',
    jsonb_build_object('total', i, 'currency', 'USD', 'note', repeat('x', 60)))};
my %disk = (
    queue => q{pg_total_relation_size('rswebhook.queue')},
    event => ring('event'),
    delivery => ring('delivery'));

sub ring
{
    my ($name) = @_;

    return qq{(SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits
        WHERE inhparent = 'rswebhook.$name'::regclass)};
}

# WAL that something writes, or what else of the database it adds
sub growth
{
    my ($session, $look, $do) = @_;
    my $before = $session->query("SELECT $look");

    $do->();
    return $session->query("SELECT $look - '$before'");
}

# All at once, with no checkpoint meanwhile; each event is delivered at the first attempt.
sub bytes
{
    my ($bench) = @_;
    my ($result, $session, $count) = (@$bench{qw(result session)}, $bench->{size}{bytes});
    my $receiver = Bench::Receiver->nginx($bench->{dir});
    my $way = Bench::Way->new('rswebhook');
    my $events = "generate_series(1, $count) i";
    my $wal = 'pg_current_wal_insert_lsn()';
    my $add = sub {
        my ($what, $title, $value) = @_;
        $result->add('bytes', $what, 'bytes/event', $title, $value / $count);
    };

    # what empties the rings, and fills them for the first time, is no event's
    for (1 .. $bench->{size}{rounds})
    {
        my %size;
        my $insert = sub { $session->query("INSERT INTO bench.plain (event) SELECT $event FROM $events") };
        my $send = sub { $session->query("SELECT count(rswebhook_send($event, 'bench')) FROM $events") };
        my $deliver = sub {
            $session->query("SELECT rswebhook_resume('bench')");
            $receiver->wait_for($count);
            sleep 0.05 while $session->query('SELECT EXISTS (SELECT FROM rswebhook.queue)') eq 't';
        };

        settle($bench);
        $add->('WAL', 'plain INSERT', growth($session, $wal, $insert));
        $session->query('TRUNCATE bench.plain');

        $receiver->forget;
        $way->start($receiver, paused => 'true');
        settle($bench);
        $size{$_} = $session->query("SELECT $disk{$_}") foreach keys %disk;
        my $sent = growth($session, $wal, $send);
        my $owed = $session->query("SELECT $disk{queue} - $size{queue}");
        my $recorded = growth($session, $wal, $deliver);
        my %more = map { $_ => $session->query("SELECT $disk{$_} - $size{$_}") } qw(event delivery);
        $way->stop;

        $add->('WAL', "$ours, the send", $sent);
        $add->('WAL', "$ours, its record", $recorded);
        $add->('WAL', $ours, $sent + $recorded);
        $add->('disk', "$ours, its payload", $more{event});
        $add->('disk', "$ours, its status row", $more{delivery});
        $add->('disk', $ours, $more{event} + $more{delivery});
        $add->('disk', "$ours, while it is owed", $owed);
    }
    $receiver->stop;
    $result->compare('bytes', what => 'WAL', way => $ours, how => 'value', goal => [ '<=', 750 ]);
    $result->compare('bytes', what => 'disk', way => $ours, how => 'value', goal => [ '<=', 430 ]);
    return;
}

1;
