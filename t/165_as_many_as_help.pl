# How many requests at once help a receiver is found out from its answers: one that
# refuses what is too much, or gets slower, has about as many as it has room for, and
# one that fails at times has all that may be, as has one that is far away.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use List::Util qw(max);
use RswebhookTest;
use Test::More;

# Of each worker of several
my $room = 16 * workers_each();
my $seconds = 0.1;
my $count = $ENV{RSWEBHOOK_ROOM} // 4000;
my $node = new_node('room', conf => "max_wal_size = 2GB\n");
my %as_usual = (ordered => 0, min_backoff => '300 ms', max_backoff => '600 ms');
my $sent = 0;

#
# 429 beyond what there is room for
#
foreach my $way ('429', '503', '429+')
{
    my $receiver = new_receiver();
    send_to("refuses $way", $receiver->url("/room/$room/$way/delay/" . $seconds * 1000), $count, {});
    my @requests = $receiver->requests;
    my $refused = grep { !$_->{accepted} } @requests;

    is(scalar(grep { $_->{accepted} } @requests), $count, "$way: all are taken, once");
    cmp_ok($refused, '<', 0.15 * $count, "few are refused ($refused of $count)");
    my @busy = busy($receiver);
    note("$way: there were at the receiver, by tenths of the time: @busy");
    cmp_ok($busy[5], '>=', 0.7 * $room, 'and most of the time there were nearly as many as it has room for');
    is(query($node, qq{SELECT state FROM rswebhook.status WHERE destination = 'refuses $way'}), 'active', 'it is not backed off');
    cmp_ok(limit_of("refuses $way"), '<=', 1.5 * $room, 'what the view shows is about that');
    $receiver->stop;
}

#
# Slower beyond it
#
{
    my $receiver = new_receiver();
    send_to('gets slower', $receiver->url("/load/$room/" . $seconds * 1000), $count, {});
    my @busy = busy($receiver);

    note("gets slower: @busy");
    is(scalar(my @requests = $receiver->requests), $count, 'one that gets slower gets all, once');
    cmp_ok($busy[5], '>=', 0.7 * $room, 'and has enough to do');
    cmp_ok($busy[9], '<=', 2.5 * $room, 'but never far too much');
    cmp_ok($busy[5], '<=', 1.6 * $room, 'nor for long');
    $receiver->stop;
}

#
# Some fail whatever there is
#
{
    my $receiver = new_receiver();
    send_to('fails at times', $receiver->url('/flaky/7/429,503,500/delay/' . $seconds * 1000), $count,
        { max_in_flight => 2 * $room });
    my @busy = busy($receiver);

    note("fails at times: @busy");
    cmp_ok($busy[6], '>=', 1.5 * $room, 'one that fails at times has all that may be');
    cmp_ok($busy[10], '<=', 2 * $room, 'and no more');
    $receiver->stop;
}

done_testing();

sub send_to
{
    my ($name, $url, $number, $columns) = @_;
    my $first = $sent + 1;

    add_destination($node, $name, $url, { %as_usual, %$columns });
    $sent += $number;
    query($node, qq{
        SELECT count(rswebhook_send(jsonb_build_object('type', 'track', 'messageId', 'room-' || n), '$name'))
        FROM generate_series($first, $sent) AS n});
    ok(wait_until_sent($node), "$name: all are delivered");
    return;
}

# How many that were taken were at the receiver, by its own record: the most of each time
# in which one is answered, of those in which any came, after the first third; the least
# of these, after each tenth of them, and the most
sub busy
{
    my ($receiver) = @_;
    my @came = map { $_->{t} } grep { $_->{accepted} } $receiver->requests;
    my %most;

    for (my ($from, $i) = (0, 0); $i < @came; $i++)
    {
        my $time = int(($came[$i] - $came[0]) / $seconds);

        $from++ while $came[$from] <= $came[$i] - $seconds;
        $most{$time} = max($most{$time} // 0, $i - $from + 1) if $i >= @came / 3;
    }
    my @n = sort { $a <=> $b } values %most;
    return map { $n[ $_ * $#n / 10 ] } 0 .. 10;
}

sub limit_of
{
    my ($name) = @_;

    return query($node, qq{SELECT in_flight_limit FROM rswebhook.status WHERE destination = '$name'});
}
