# Shares.pm
#     What the tests of several workers share: who has which share of a
#     database's queue, and which users are in it.
#
# Copyright (c) 2026, the rswebhook maintainers

package Shares;

use strict;
use warnings;

use Exporter 'import';
use RswebhookTest;

our @EXPORT = qw(
  freeze
  most_at_once
  owed
  send_of_users
  share_workers
  thaw
  user_of
  users_by_share
  wait_for_workers
);

my %frozen;    # pid => 1

# The workers of a database, pid by share.  Each holds an advisory lock of a
# class that SQL cannot take.
sub share_workers
{
    my ($node, $database) = @_;
    $database //= 'postgres';

    return map { split /\|/ } split /\n/, query($node, qq{
        SELECT l.objid, l.pid FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database
        WHERE l.locktype = 'advisory' AND l.classid = 1920169832 AND l.objsubid = 3 AND l.granted
        AND d.datname = '$database'}, 'template1');
}

# Until a database has so many workers.
sub wait_for_workers
{
    my ($node, $count, $database) = @_;

    return wait_for("$count workers",
        sub { my %pids = share_workers($node, $database); keys %pids == $count });
}

# These users by the workers that serve them for this destination, as references to
# lists, of which those are empty that have none.  This is what src/shmem/share.h says.
sub users_by_share
{
    my ($node, $workers, $destination, $users, $database) = @_;
    my $list = join ', ', map { "'$_'" } @$users;
    my @shares = map { [] } 1 .. $workers;

    my $rows = query($node, qq{
        SELECT v.name, hashint4(CAST(CAST(key # (key >> 32) AS bit(32)) AS integer)), d.id, d.workers
        FROM (SELECT name, rswebhook.ordering_hash(jsonb_build_object('userId', name), NULL) AS key
              FROM unnest(ARRAY[$list]) AS name) AS v
        CROSS JOIN rswebhook.destination AS d WHERE d.name = '$destination'}, $database);
    foreach (split /\n/, $rows)
    {
        my ($user, $hash, $id, $parts) = split /\|/;
        $parts = $workers if $parts > $workers;
        push @{ $shares[ ($id + ($hash & 0xffffffff) % $parts) % $workers ] }, $user;
    }
    return @shares;
}

# So many events of each user, round by round: TAG-USER-1, TAG-USER-2...
#   options => text    more arguments of rswebhook_send()
#   database => name
sub send_of_users
{
    my ($node, $destination, $tag, $rounds, $users, %option) = @_;
    my $list = join ', ', map { "'$_'" } @$users;
    my $more = defined $option{options} ? ", $option{options}" : '';

    query($node, qq{
        SELECT count(rswebhook_send(jsonb_build_object('type', 'track', 'userId', name,
                                    'messageId', '$tag-' || name || '-' || n), '$destination'$more))
        FROM (SELECT n, name FROM generate_series(1, $rounds) AS n, unnest(ARRAY[$list]) AS name
              ORDER BY n) AS v}, $option{database});
    return;
}

# A query of how many events a destination is owed.
sub owed
{
    my ($destination) = @_;

    return "SELECT count(*) FROM rswebhook.queue WHERE destination_id = rswebhook.destination_id('$destination')";
}

# Requests that were each answered after so long: how many were there at once?
sub most_at_once
{
    my ($seconds, @requests) = @_;
    my @times = map { $_->{t} } @requests;
    my ($most) = sort { $b <=> $a } map { my $t = $_; scalar grep { $_ <= $t && $_ > $t - 0.95 * $seconds } @times } @times;

    return $most;
}

# The user of a request of such an event.
sub user_of
{
    my ($request) = @_;

    return ($request->{headers}{'webhook-id'} =~ /^\w+-(\w+)-\d+$/)[0];
}

# Stop a process that is idle.  It goes on at the latest when the test ends.
sub freeze
{
    my ($pid) = @_;

    kill 'STOP', $pid or die "could not stop process $pid: $!\n";
    $frozen{$pid} = 1;
    return;
}

sub thaw
{
    kill 'CONT', $_ foreach keys %frozen;
    %frozen = ();
    return;
}

END
{
    my $status = $?;

    thaw();
    $? = $status;
}

1;
