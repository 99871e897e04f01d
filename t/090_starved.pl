# The workers' memory is refused at any place, while requests are on their way; they
# go on, nobody is charged for that, and each event arrives.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use Child;
use IO::Select;
use IO::Socket::INET;
use PostgreSQL::Test::Utils qw(slurp_file);
use RswebhookTest;
use Test::More;

plan(skip_all => 'it takes Linux and its malloc()') if $^O ne 'linux';
plan(skip_all => 'a sanitizer wants to be loaded first') if $ENV{RSWEBHOOK_SANITIZED};

my $receiver = new_receiver();
my $dir = temp_dir('starved');
my $node = new_node('starved', start => 0, conf => join "\n",
    "rswebhook.max_in_flight = 400", "rswebhook.response_body_limit = '1MB'", 'restart_after_crash = on', '');

system('cc', '-shared', '-fPIC', qq{-DFILE="$dir/starve"}, '-o', "$dir/starve.so",
    source_dir() . '/t/lib/starve.c', '-ldl') == 0
  or plan(skip_all => 'it takes a compiler');
starve('');
{
    local $ENV{LD_PRELOAD} = "$dir/starve.so";
    $node->start;
}
query($node, 'CREATE EXTENSION rswebhook');
my $pids = await_workers($node);

# the first failure would be the last
my %touchy = (min_attempts => 1, retry_window => '0', breaker_failures => 1, min_backoff => '1 s', max_backoff => '1 s');
my %path = (many => '/delay/20/ok', bodies => '/delay/20/body/100000', packed => '/gzip/50000', ordered => '/ok');

add_destination($node, $_, $receiver->url($path{$_}), { %touchy, ordered => $_ eq 'ordered' ? 1 : 0, max_in_flight => 100 })
  foreach sort keys %path;
foreach my $destination (sort keys %path)
{
    send_event($node, { type => 'track' }, $destination);
}
ok(wait_until_sent($node), 'it delivers');

foreach my $n (5000, 1000, 300, 100, 30, 10)
{
    my $first = query($node, q{SELECT max(event_id) + 1 FROM rswebhook.delivery});

    starve($pids, $n);
    foreach my $destination (sort keys %path)
    {
        query($node, qq{
            SELECT count(rswebhook_send(jsonb_build_object('type', 'track', 'userId', i % 5, 'a', repeat('x', 2000 * (1 + i % 50))), '$destination'))
            FROM generate_series(1, 100) AS i});
    }
    ok(wait_until_sent($node), "one in $n: all is sent");
    starve('');
    is(worker_pids($node), $pids, "one in $n: by the same workers");
    is(query($node, qq{SELECT string_agg(DISTINCT concat_ws(' ', outcome, attempt, status), ', ') FROM rswebhook.delivery WHERE event_id >= $first}),
        'delivered 1 200', "one in $n: nobody is charged");
    is(query($node, qq{SELECT count(DISTINCT event_id) FROM rswebhook.delivery WHERE event_id >= $first}), 400, "one in $n: each has arrived");
    is(query($node, q{SELECT count(*) FROM rswebhook.breaker}), 0, "one in $n: no breaker has opened");
}
unlike(logged($node), qr/was terminated by|PANIC/, 'nothing has died');

#
# The system refuses it, to whatever asks for it
#
SKIP:
{
    skip 'needs prlimit', 1 if system('prlimit --version >/dev/null 2>&1') != 0;
    foreach my $kilobytes (0, 500, 2000, 6000)
    {
        my $first = query($node, q{SELECT max(event_id) + 1 FROM rswebhook.delivery});

        foreach my $pid (split / /, $pids)
        {
            my $limit = (process_field($pid, 'VmSize') + $kilobytes) * 1024;
            is(system("prlimit --pid $pid --as=$limit:"), 0, "$kilobytes kB: that is all there is");
        }
        foreach my $destination (sort keys %path)
        {
            query($node, qq{
                SELECT count(rswebhook_send(jsonb_build_object('type', 'track', 'userId', i % 5, 'a', repeat('x', 2000 * (1 + i % 50))), '$destination'))
                FROM generate_series(1, 100) AS i});
        }
        ok(wait_for('what can be sent', sub {
            query($node, q{SELECT (SELECT count(*) FROM rswebhook.queue) = 0 OR EXISTS (SELECT FROM rswebhook.workers() WHERE lacks IS NOT NULL)}) eq 't'
                || logged($node) =~ /out of memory/ }), "$kilobytes kB: it goes on, or says what it lacks");
        is(system("prlimit --pid $_ --as=unlimited:"), 0, "$kilobytes kB: there is more again") foreach split / /, $pids;
        ok(wait_until_sent($node), "$kilobytes kB: all is sent");
        is(query($node, qq{SELECT string_agg(DISTINCT concat_ws(' ', outcome, attempt, status), ', ') FROM rswebhook.delivery WHERE event_id >= $first}),
            'delivered 1 200', "$kilobytes kB: nobody is charged");
        is(query($node, qq{SELECT count(DISTINCT event_id) FROM rswebhook.delivery WHERE event_id >= $first}), 400, "$kilobytes kB: each has arrived");
        is(worker_pids($node), $pids, "$kilobytes kB: by the same workers");
    }
}

#
# What is put by is not enough, either, for the long heads of answers to all that is
# in flight: the worker ends, with all that it knows.
#
my $first = query($node, q{SELECT max(event_id) + 1 FROM rswebhook.delivery});
my $halves = IO::Socket::INET->new(Listen => 500, LocalAddr => '127.0.0.1') or die "could not listen: $!\n";
Child::start(\&send_halves);
# one worker's
add_destination($node, "heads $_", 'http://127.0.0.1:' . $halves->sockport . '/', { %touchy, id => 100 + $_ * workers_each(), ordered => 0, max_in_flight => 100, timeout => '5 min' })
  foreach 1 .. 4;
my $pid = worker_of($node, 'heads 1');
send_heads(500);
ok(wait_until_sent($node), 'a destination answers well');
phase('wait');
send_heads(75);
ok(wait_for_query($node, q{SELECT sum(in_flight) > 110 FROM rswebhook.status}, 't'), 'so many are in flight');
my $log = -s $node->logfile;
starve($pids, 0, 20000);
phase('half');
ok(await_others($node, $pid), 'the worker ends');
starve('');
phase('ok');
like(logged($node, $log), qr/worker ends, since libcurl ran out of memory/, 'and says why');
unlike(logged($node, $log), qr/was terminated by|PANIC/, 'which costs nobody else anything');
ok(wait_until_sent($node), 'another one goes on');
is(query($node, qq{SELECT count(DISTINCT event_id) FROM rswebhook.delivery WHERE event_id >= $first AND outcome = 'delivered'}),
    2300, 'all have arrived');
is(query($node, qq{SELECT string_agg(DISTINCT outcome || ' ' || error, ', ') FROM rswebhook.delivery WHERE event_id >= $first AND outcome <> 'delivered'}),
    'retry the worker was stopped before an answer came', 'and no answer was made up');
is(query($node, q{SELECT count(*) FROM rswebhook.breaker}), 0, 'no breaker has opened');

done_testing();

# What the one that answers the heads does: at once, not yet, or once, with half of a long head
sub phase
{
    my ($phase) = @_;

    open my $out, '>', "$dir/phase.new" or die "could not write: $!\n";
    print $out $phase;
    close $out or die "could not write: $!\n";
    rename "$dir/phase.new", "$dir/phase" or die "could not rename: $!\n";
    return;
}

sub send_halves
{
    my $select = IO::Select->new($halves);
    my %asked;
    my $halved = 0;

    while (Child::has_parent())
    {
        my @ready = $select->can_read(0.02);
        my $phase = -e "$dir/phase" ? slurp_file("$dir/phase") : 'ok';

        foreach my $socket (@ready)
        {
            if ($socket == $halves)
            {
                $select->add($halves->accept);
            }
            elsif (sysread $socket, my $request, 65536)
            {
                $asked{$socket} = $socket;
            }
            else
            {
                delete $asked{$socket};
                $select->remove($socket);
                close $socket;
            }
        }
        next if $phase eq 'wait';
        $phase = 'ok' if $halved;
        $halved ||= $phase eq 'half';
        foreach my $socket (values %asked)
        {
            syswrite $socket, "HTTP/1.1 200 OK\r\n" . ($phase eq 'ok' ? "Content-Length: 0\r\n\r\n" : 'X: ' . 'x' x 95000);
        }
        %asked = ();
    }
    return;
}

sub send_heads
{
    my ($count) = @_;

    return query($node, qq{SELECT count(rswebhook_send('{"type": "track"}', 'heads ' || i)) FROM generate_series(1, 4) AS i, generate_series(1, $count)});
}

# Of the memory of these processes, "PID PID...", one piece in so many, and all from
# this size on
sub starve
{
    my ($pids, $one_in, $from_size) = @_;
    my @pids = split / /, $pids;

    open my $out, -e "$dir/starve" ? '+<' : '>', "$dir/starve" or die "could not write: $!\n";
    syswrite $out, pack('q34', $one_in // 0, $from_size // 0, @pids, (0) x (32 - @pids));
    close $out;
    chmod 0644, "$dir/starve";
    return;
}
