# An HTTP/2 connection on which nothing is heard: once a request has timed out on it,
# the next attempt goes over another one.  One on which anything is heard is kept.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use Certificates;
use Http2;
use JSON::PP;
use Ledgers;
use RswebhookTest;
use Test::More;

plan skip_all => Http2::missing() if Http2::missing();

my $true = JSON::PP::true;
my $always = 1_000_000;
my $timeout = 2;
my $certificates = Certificates->new(temp_dir('certificates'));
my $node = new_node('silent');
my $pids = worker_pids($node);
my %hasty = (
    Http2::hasty($certificates),
    ordered => 0,
    max_in_flight => 8,
    timeout => "$timeout s");

# many attempts, which a silent connection would take all of
my %patient = (%hasty, min_attempts => 5);
my %told = (
    one => { warm => 1, at => 1, silent => $true },
    slow => { warm => 1, at => 1, silent => $true },
    many => { warm => 1, at => 1, silent => $true },
    pings => { warm => 1, at => 1, silent => $true, pings => $true },
    busy => { hangs => 'busy_hang' },
    wakes => { warm => 1, at => 1, silent => $true, wakes => $true },
    never => { at => 1, silent => $true, connections => $always });
my @names = sort keys %told;
my ($file, @urls) = Http2::told($certificates, map { $told{$_} } @names);
my %url;
@url{@names} = @urls;

test_silent();
test_heard();
test_busy();
test_goes_on();
test_never();
is(worker_pids($node), $pids, 'the workers are the same');

done_testing();

# Delivered by the second attempt, whichever limit it was that the first one met
sub test_silent
{
    add('one', %patient);
    add('slow', %patient, timeout => '300 s', low_speed_limit => 10, low_speed_time => "$timeout s");
    add('many', %patient);
    foreach my $name ('one', 'slow')
    {
        is(join(', ', recorded("${name}_warm")), 'delivered 200 1', "$name: the connection is warm");
        is(join(', ', recorded("${name}_1")), 'retry 1, delivered 200 2', "$name: the next attempt is delivered");
        is(join(' ', connections($name)), '1 2', "$name: by another connection");
    }

    # several at once: one connection for all that come after
    send_all($node, map { [ 'many', "many_more_$_", $url{many} ] } 1 .. 6);
    ok(wait_until_sent($node), 'many: all are sent');
    is(join("\n", grep { !/^(?:retry 1, )?delivered 200 \d$/ } recorded(map { "many_more_$_" } 1 .. 6)), '', 'many: each soon');
    is(join(' ', connections('many')), '1 2', 'many: by one other connection');
    return;
}

# Whatever it is that is heard: somebody is there
sub test_heard
{
    add('pings', %hasty);
    is(join(', ', recorded('pings_1')), 'retry 1, aborted 2', 'pings: each attempt times out');
    is(join(' ', connections('pings')), '1', 'pings: on the connection that there is');
    return;
}

# One request hangs, and others on its connection are answered meanwhile
sub test_busy
{
    my $n = 0;
    my $ended = q{SELECT count(*) > 0 FROM rswebhook.delivery AS d JOIN rswebhook.event AS e ON e.id = d.event_id
        WHERE e.event->>'messageId' = 'busy_hang'};

    add('busy', %hasty, min_attempts => 1);
    send_all($node, [ 'busy', 'busy_hang', $url{busy} ]);
    ok( wait_for(
            'its time to be over',
            sub {
                send_all($node, [ 'busy', 'busy_' . ++$n, $url{busy} ]);
                wait_for_query($node, qq{SELECT count(*) FROM rswebhook.delivery AS d JOIN rswebhook.event AS e ON e.id = d.event_id
                    WHERE e.event->>'messageId' = 'busy_$n'}, 1) or die "it is not sent\n";
                return query($node, $ended) eq 't';
            },
            undef,
            sub { $n }),
        'busy: one hangs, and is given up');
    send_all($node, [ 'busy', 'busy_last', $url{busy} ]);
    ok(wait_until_sent($node), 'busy: another one is sent');
    is(join(', ', recorded('busy_hang', 'busy_last')), 'aborted 1, delivered 200 1', 'busy: each for itself');
    is(join(' ', connections('busy')), '1', 'busy: on the same connection');
    return;
}

# What is in flight on a silent connection is answered there, if it is at all
sub test_goes_on
{
    add('wakes', %patient);
    send_all($node, [ 'wakes', 'wakes_2', $url{wakes} ]);
    pass_time($timeout / 2);
    send_all($node, [ 'wakes', 'wakes_3', $url{wakes} ]);
    ok(wait_until_sent($node), 'wakes: all are sent');
    is(join(', ', recorded('wakes_2')), 'retry 1, delivered 200 2', 'wakes: the first one by its next attempt');
    is(join(', ', recorded('wakes_3')), 'delivered 200 1', 'wakes: the one after it by its first');
    is(answered_on('wakes_3'), '1', 'wakes: on the connection that it had');
    return;
}

# Who hangs whatever the connection gets no more of them than one a time-out
sub test_never
{
    my $events = 5;

    add_destination($node, 'never', $url{never}, \%hasty);
    send_all($node, map { [ 'never', "never_$_", $url{never} ] } 1 .. $events);
    ok(wait_until_sent($node), 'never: all are given up');
    my $most = query($node, qq{
        SELECT 1 + ceil(extract(epoch FROM max(started_at + duration) - min(started_at)) / $timeout)
        FROM rswebhook.delivery WHERE destination_id = rswebhook.destination_id('never')});
    my @seen = connections('never');
    cmp_ok(scalar @seen, '>', 1, 'never: new connections are tried');
    cmp_ok(scalar @seen, '<=', $most, 'never: one after the other');
    return;
}

# A destination whose connection is warm, with one event, or as many as its receiver
# answers before it does as it is told, and one more
sub add
{
    my ($name, %columns) = @_;

    add_destination($node, $name, $url{$name}, \%columns);
    send_all($node, [ $name, "${name}_warm", $url{$name} ]);
    ok(wait_until_sent($node), "$name: the first one is sent");
    return if $name !~ /^(?:one|slow|pings)$/;
    send_all($node, [ $name, "${name}_1", $url{$name} ]);
    ok(wait_until_sent($node), "$name: the next one, too");
    return;
}

sub recorded
{
    my %recorded = attempts($node);

    return map { $recorded{$_} // 'nothing' } @_;
}

sub lines_of
{
    my ($path) = @_;

    open my $in, '<', $path or die "could not read \"$path\": $!\n";
    return map { [split] } <$in>;
}

# The numbers of a receiver's connections
sub connections
{
    my ($name) = @_;

    return map { $_->[1] } grep { $names[ $_->[0] ] eq $name } lines_of("$file.connected");
}

# On which of them an event was answered
sub answered_on
{
    my ($id) = @_;

    return join ',', map { $_->[2] } grep { $_->[0] eq $id } lines_of("$file.answered");
}
