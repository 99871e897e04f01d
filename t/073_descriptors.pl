# Few descriptors: they bound what is in flight before anything is started, and
# what lacks one all the same waits without being charged to anybody.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Test::More;

plan skip_all => 'no prlimit' if system('prlimit --version >/dev/null 2>&1') != 0;
plan skip_all => 'AddressSanitizer keeps descriptors of its own' if $ENV{RSWEBHOOK_SANITIZED};

my $hard = 300;
my $asked = 2000;
my $receiver = new_receiver();
my $other = new_receiver();
my $node = new_node('descriptors', start => 0, conf => "rswebhook.max_in_flight = $asked\n");

# the server gets it from us, the receivers do not
system('prlimit', "--pid=$$", "--nofile=100:$hard") == 0 or die "could not limit this process\n";
$node->start;
query($node, 'CREATE EXTENSION rswebhook');

#
# The number is found out, shown, and said once
#
ok(wait_for_query($node, q{SELECT bool_and(max_in_flight > 0) FROM rswebhook.workers()}, 't'), 'the number is shown');
my $room = query($node, q{SELECT max_in_flight FROM rswebhook.workers() WHERE share = 1});
cmp_ok($room, '>=', 32, 'there is room for some requests');
cmp_ok($room, '<', $hard, 'as the limit has it, which was raised as far as it may be');
query($node, q{SELECT pg_reload_conf()}) foreach 1 .. 2;
query($node, q{ALTER SYSTEM SET rswebhook.user_agent = 'somebody else'});
query($node, q{SELECT pg_reload_conf()});

# no breaker may ever open here
my %strict = (ordered => 0, max_in_flight => $asked, breaker_failures => 1);
add_destination($node, 'slow', $receiver->url('/delay/200/slow'), \%strict);
query($node, q{
    SELECT count(rswebhook_send(jsonb_build_object('type', 'track', 'messageId', 'd' || n), 'slow'))
    FROM generate_series(1, 3000) AS n});
ok(wait_until_sent($node), 'all are delivered');
is(arrived_once($receiver, '/delay/200/slow'), 3000, 'each once');
is(query($node, q{SELECT count(*) FROM rswebhook.delivery WHERE outcome <> 'delivered'}), 0, 'at the first attempt');
cmp_ok(most_in_flight($node, 'slow'), '<=', $room, 'no more at once than there is room for');
cmp_ok(most_in_flight($node, 'slow'), '>=', $room / 3, 'and not that much less');
is(times_logged($node, qr/LOG:  rswebhook\.max_in_flight is $asked, but there is room for $room requests at once/), 1, 'the log says so once');
is(times_logged($node, qr/LimitNOFILE/), 1, 'and what to do about it');
is(query($node, q{SELECT count(*) FROM rswebhook.workers() WHERE lacks IS NOT NULL}), 0, 'nothing is lacking');

is(times_logged($node, qr/out of file descriptors/), 0, 'the server has not had too few');

#
# Then somebody takes the descriptors away, from workers with few connections
#
my @pids = workers();
my $users = 5;
my $not_dead = q{destination_id <> rswebhook.destination_id('dead')};
my $failed = "(outcome <> 'delivered' OR attempt <> 1) AND $not_dead";
add_destination($node, 'ordered', $other->url('/ordered'), { breaker_failures => 1, max_in_flight => 30 });
add_destination($node, 'connected', $receiver->url('/connected'), { breaker_failures => 1 });
add_destination($node, 'dead', 'http://127.0.0.1:1/', { breaker_failures => 1, min_backoff => '1 s', max_backoff => '1 s' });
send_event($node, { type => 'track' }, 'dead');
ok(wait_for_query($node, q{SELECT breaker FROM rswebhook.status WHERE destination = 'dead'}, 'open'), 'a breaker is open');
query($node, qq{SELECT pg_terminate_backend($_)}) foreach @pids;
ok(wait_for('other workers', sub { my @now = workers(); @now == @pids && !grep { my $p = $_; grep { $_ == $p } @pids } @now }),
    'the workers are new ones');
@pids = workers();
send_to_connected($_) foreach 1 .. 3;
limit_worker($_, first_free($_)) foreach @pids;
query($node, qq{
    SELECT count(rswebhook_send(jsonb_build_object('type', 'track', 'messageId', 'o' || n, 'userId', 'u' || n % $users), 'ordered'))
    FROM generate_series(1, 60) AS n});
ok(wait_for_query($node, q{SELECT count(*) > 0 FROM rswebhook.workers() WHERE lacks IS NOT NULL}, 't'), 'it is shown what is lacking');
note(query($node, q{SELECT * FROM rswebhook.workers()}));
ok(send_to_connected(4), 'a destination with a connection goes on');
my $probes = 'SELECT failures, next_probe_at FROM rswebhook.breaker';
my $before = query($node, $probes);
pass_time(3);
# the server may have closed a file of its own since, for which a connection came
like(query($node, "SELECT count(*), max(attempts) FROM rswebhook.queue WHERE $not_dead"), qr/^[1-9]\d*\|0$/,
    'others are owed still, and no attempt is counted');
is(query($node, "SELECT count(*) FROM rswebhook.delivery WHERE $failed"), 0, 'nor recorded');
is(query($node, $probes), $before, 'no breaker has opened, and the one that is open was not probed');
is(query($node, q{SELECT retried, last_error FROM rswebhook.status WHERE destination = 'ordered'}), '0|',
    'nor is it counted for the destination')
  if query($node, q{SELECT retried IS NOT NULL FROM rswebhook.status WHERE destination = 'ordered'}) eq 't';
my $waits = qr/rswebhook has to wait with requests/;
is(times_logged($node, $waits), query($node, 'SELECT count(lacks) FROM rswebhook.workers()'), 'each worker that lacks something says so once');

limit_worker($_, $hard) foreach @pids;
ok(wait_for_query($node, "SELECT count(*) FROM rswebhook.queue WHERE $not_dead", 0), 'with descriptors, all are delivered');
is(arrived_once($other, '/ordered'), 60, 'each once');
my %last;
is(scalar(grep { my ($n) = $_->{headers}{'webhook-id'} =~ /(\d+)/; my $u = $n % $users; my $bad = $n < ($last{$u} // 0); $last{$u} = $n; $bad }
          $other->requests_to('/ordered')),
    0, 'in order for each user');
is(query($node, "SELECT count(*) FROM rswebhook.delivery WHERE $failed"), 0, 'at the first attempt');
ok(wait_for_query($node, "SELECT failures > split_part('$before', '|', 1)::integer FROM rswebhook.breaker", 't'),
    'and the dead one is probed');
ok(wait_for_query($node, q{SELECT count(*) FROM rswebhook.workers() WHERE lacks IS NOT NULL}, 0), 'nothing is lacking any more');
is(times_logged($node, qr/rswebhook does not have to wait with requests any more/), times_logged($node, $waits), 'the log says that, too');

is(times_logged($node, qr/\] (?:ERROR|PANIC|WARNING):/), 0, 'there was no error');
$node->stop('fast');

done_testing();

# How many events have arrived, none of them twice
sub arrived_once
{
    my ($at, $path) = @_;
    my %seen;

    $seen{ $_->{headers}{'webhook-id'} }++ foreach $at->requests_to($path);
    return scalar grep { $_ == 1 } values %seen;
}

sub limit_worker
{
    my ($pid, $soft) = @_;

    system('prlimit', "--pid=$pid", "--nofile=$soft:$hard") == 0 or die "could not limit the worker\n";
    return;
}

# A limit that leaves the process what it has open, and no more
sub first_free
{
    my ($pid) = @_;
    my %open = map { m{/(\d+)$} => 1 } glob "/proc/$pid/fd/*";
    my ($free) = grep { !$open{$_} } 0 .. $hard;

    note("worker $pid: descriptor $free is free");
    return $free;
}

sub workers
{
    return split /\n/, query($node, 'SELECT pid FROM rswebhook.workers() WHERE pid IS NOT NULL AND max_in_flight > 0');
}

# An event of the same user, so that it is the same worker's and connection's
sub send_to_connected
{
    my ($n) = @_;

    send_event($node, { type => 'track', messageId => "c$n", userId => 'u' }, 'connected');
    return wait_for("event c$n", sub { grep { $_->{headers}{'webhook-id'} eq "c$n" } $receiver->requests_to('/connected') });
}
