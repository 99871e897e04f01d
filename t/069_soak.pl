# Everything at once, by chance: senders, by calls and through tables, some of whose
# events are hostile, some in two phases, and users whose events fail; meanwhile kills, restarts, DDL, changed
# configurations, receivers that fail, requests that cannot be made and, for half of
# the time, an old snapshot.  In the end the ledger must agree with what was committed:
#
#   lost        committed, but not arrived (or to the hostile receiver, or if it
#               is a hostile event: without a row that says what became of it)
#   invented    arrived, but never committed
#   reordered   an event of a user arrived before an earlier one was taken
#   changed     arrived with another payload or id than what was sent
#   duplicated  taken more than once: more often than there were moments at
#               which nobody could know
#   leaked      memory, descriptors or queue rows that stayed
#
# and no event of a user whose events do not fail has waited for long behind those
# of users whose events do.
#
# RSWEBHOOK_SOAK_MINUTES says for how long (0.2), RSWEBHOOK_SOAK_SEED by which
# chance; scripts/soak runs it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use Certificates;
use File::Temp;
use JSON::PP;
use NodeReceiver;
use POSIX ();
use RswebhookTest;
use Test::More;
use Time::HiRes qw(sleep time);

my $minutes = $ENV{RSWEBHOOK_SOAK_MINUTES} // 0.2;
my $seed = $ENV{RSWEBHOOK_SOAK_SEED} // $$;
my $senders = 3;

# Requests cannot be made only where the build can be told so.
my $injected = $ENV{RSWEBHOOK_INJECTED_CONF} // '';
$ENV{RSWEBHOOK_CONF} = $injected if $injected ne '';

my $workers = $ENV{RSWEBHOOK_WORKERS} || 1 + $seed % 3;

# A crash can repeat what was in flight and what was not yet recorded.
my $repeated_by_crash = 600 * $workers;

# So many seconds may an event wait for its first attempt, whatever fails and is
# restarted meanwhile.
my $longest_wait = 30;

srand($seed);
note("seed $seed");

my $json = JSON::PP->new->utf8->canonical;
my $dir = File::Temp->newdir('rswebhook_soak_XXXXXX', TMPDIR => 1);
my $receiver = new_receiver();
my $node = new_node('soak', conf => <<"CONF");
restart_after_crash = on
max_connections = 50
max_prepared_transactions = 10
rswebhook.workers = $workers
CONF
my $data = $node->data_dir;
my %connection = (PGHOST => $node->host, PGPORT => $node->port);
my %patient = (
    min_backoff => '10 ms',
    max_backoff => '200 ms',
    retry_window => '1 day',
    retry_after_factor => 1,
    breaker_failures => 8,
    connect_timeout => '500 ms',
    timeout => '1 s');

# What must not lose anything retries for ever, whatever the answer.
my %stubborn = (%patient, events => '{Soaked}', status_outcomes => '{"4xx": "retry", "3xx": "retry"}');
add_destination($node, 'ordered', $receiver->url('/switch/ordered/jitter/3/ok'), \%stubborn);
add_destination($node, 'loose', $receiver->url('/switch/loose/jitter/3/ok'), { %stubborn, ordered => 0 });
add_destination($node, 'query', $receiver->url('/switch/query/ok'), { %stubborn, method => 'GET' });
add_destination($node, 'hostile', $receiver->url('/switch/hostile/ok'),
    { %patient, events => '{Soaked}', retry_window => '0', min_attempts => 2, timeout => '300 ms' });
add_destination($node, 'tried', $receiver->url('/switch/good/ok'),
    { %stubborn, events => '{Tried}', min_backoff => '500 ms', max_backoff => '10 s' });

# For long runs: answers before the event has been read, over HTTP/2
my $early;
if ($minutes >= 1 && Certificates::program() && !NodeReceiver::missing())
{
    my $certificates = Certificates->new(temp_dir('certificates'));

    $early = NodeReceiver->new(temp_dir('node'), $certificates);
    add_destination($node, 'early', $early->url('/early/0/ok'), { %stubborn, ca_cert => $certificates->text('ca.pem'), ordered => 0 });
}

my @faults = qw(hang close reset hidden head short cut-chunk endless stream stall reset-head
  reset-body garbage bare drip/50 headers/1000/1000 gzip/1000000 hints interim/100 status/99
  status/404 status/500 redirect/307/ok);

# What is small and would come to a lot, or cannot be sent.  Such an event may be
# given up, with a reason, and is in nobody's way; one that is too large is refused.
my @hostile = (
    q{jsonb_build_object('a', many(400, '1e131071'), 'properties', jsonb_build_object('a', many(40, '-1e131071')))},
    q{jsonb_build_object('properties', jsonb_build_object('a', many(200, '1e-16383'), 'b', repeat('9', 90000)::jsonb))},
    q{jsonb_build_object('properties', jsonb_build_object('a', repeat(E'\x01', (random() * 10000)::int)))},
    q{jsonb_build_object('a', repeat(E'\x01', 40000))},
    q{jsonb_build_object('properties', (repeat('{"a":', 1500) || many(100, 'true') || repeat('}', 1500))::jsonb)},
    q{jsonb_build_object('properties', jsonb_build_object(repeat('k', 20000), many(600, '1')))},
    q{jsonb_build_object('properties', (SELECT jsonb_object_agg('k' || n, n) FROM generate_series(1, 5000) n))},
    q{jsonb_build_object('header', jsonb_build_object('x-a', E'a\r\nx-b: c'))},
    q{jsonb_build_object('header', jsonb_build_object(repeat('x', 100000), many(9, '1e131071')))},
    q{jsonb_build_object('a', '\ud800\u0000\x80\u2028%zz%', E'\u2028\x7f\U0001f600"\\', E'\xef\xbf\xbf')});
my $too_large = q{jsonb_build_object('a', repeat(E'\x01', 900000))};

my %crashes = (kill => 0, stop => 0);
my %done;
my @actions = (
    [ 4, 'worker terminated', sub { signal_worker('TERM') } ],
    [ 2, 'worker killed', sub { $crashes{kill}++ if signal_worker('KILL') } ],
    [ 2, 'backend killed', \&kill_backend ],
    [ 2, 'fast restart', sub { restart('fast') } ],
    [ 1, 'immediate restart', sub { $crashes{stop}++; restart('immediate') } ],
    [ 1, 'postmaster killed', sub { $crashes{kill}++; restart('KILL') } ],
    [ 2, 'receiver restarted', sub { $receiver->stop; pause(rand 0.5); $receiver->start; usual_switches() } ],
    [ 8, 'receiver fails', \&fail_for_a_while ],
    [ 3, 'reload', \&reload ],
    [ 3, 'paused', sub { sql(qq{SELECT rswebhook_pause('$_')}), pause(rand 0.3), sql(qq{SELECT rswebhook_resume('$_')}) for anyone() } ],
    [ 4, 'destination changed', sub { sql(sprintf q{UPDATE rswebhook.destination SET max_in_flight = greatest(%d, workers), rate_limit = %s WHERE name = '%s'},
        1 + rand 64, rand() < 0.5 ? 'NULL' : 100 + int rand 900, anyone()) } ],
    [ 3, 'other workers', sub { sql(sprintf q{UPDATE rswebhook.destination SET workers = least(%d, max_in_flight) WHERE name = '%s'},
        1 + rand 4, anyone()) } ],
    [ 2, 'tables vacuumed', sub { sql("VACUUM $_ rswebhook.queue") for ('FULL', 'FREEZE')[ rand 2 ] } ],
    [ 2, 'reindexed', sub { sql('REINDEX TABLE rswebhook.queue') } ],
    [ 2, 'tables locked', sub { sql('BEGIN; LOCK TABLE rswebhook.queue, rswebhook.delivery; SELECT pg_sleep(0.3); COMMIT') } ],
    [ 2, 'old snapshot', sub { sql('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM rswebhook.event; SELECT pg_sleep(0.5); COMMIT') } ],
    [ 1, 'another database', \&another_database ],
    $injected ne '' ? [ 4, 'requests that cannot be made', \&fail_to_render ] : ());

query($node, q{
    CREATE FUNCTION many(n int, value jsonb) RETURNS jsonb LANGUAGE sql AS
        $$ SELECT jsonb_agg(value) FROM generate_series(1, n) $$;
    CREATE PROCEDURE send_too_large(event jsonb) LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM rswebhook_send(event);
        EXCEPTION WHEN program_limit_exceeded THEN
            NULL;
        END $$;
    -- headers as they can be stored, by whatever means, and would be refused
    CREATE FUNCTION send_hostile(hostile jsonb) RETURNS bigint LANGUAGE plpgsql AS $$
        DECLARE
            sent bigint := rswebhook_send(hostile - 'header');
        BEGIN
            IF hostile ? 'header' THEN
                UPDATE rswebhook.event SET event = hostile WHERE id = sent;
            END IF;
            RETURN sent;
        END $$;
    CREATE TABLE outbox (event jsonb);
    CREATE TABLE list (event jsonb);
    CREATE VIEW box AS SELECT NULL::jsonb AS event WHERE false;
    CREATE TRIGGER send AFTER INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION rswebhook_outbox('keep=false');
    CREATE TRIGGER send AFTER INSERT ON list REFERENCING NEW TABLE AS new FOR EACH STATEMENT EXECUTE FUNCTION rswebhook_outbox();
    CREATE TRIGGER send INSTEAD OF INSERT ON box FOR EACH ROW EXECUTE FUNCTION rswebhook_outbox()});

usual_switches();
my $started = time();
my $prepared = see_to_prepared();
my $snapshots = hold_snapshots($started + $minutes * 15, $started + $minutes * 45);
my %writer = map { $_ => start_sender($_) } 1 .. $senders;
my $memory;
my $end = $started + $minutes * 60;
my $failed = q{SELECT count(*) FROM rswebhook.delivery AS v JOIN rswebhook.event AS e ON e.id = v.event_id
    WHERE v.outcome = 'retry' AND e.event->>'messageId' LIKE '%-bad-tried'};
# the first of them may meet a server that is down
while (time() < $end || (time() < $end + 60 && answer_of($failed) !~ /^[1-9]/))
{
    my ($name, $code) = any_action();
    $code->();
    $done{$name}++;
    pause(rand 1);
}
stop_child($_) foreach values %writer, $snapshots, $prepared;

# Peace: everything that is owed must arrive now.
usual_switches();
$receiver->switch('bad', '');
wait_for('the server', sub { sql('SELECT 1') });
commit_prepared('0');
ok(sql(q{SELECT rswebhook_resume(name) FROM rswebhook.destination;
         UPDATE rswebhook.destination SET rate_limit = NULL, max_in_flight = 32}), 'the server answers');
ok(wait_until_sent($node), 'nothing is owed any more');
note("$done{$_} times: $_") foreach sort keys %done;

# the worker's deaths at an event
$crashes{kill} += () = slurp($node->logfile) =~ /was terminated by signal 11/g;
my $result = judge();
my $line = join ', ', map { "$result->{$_} $_" } qw(sent lost invented reordered changed duplicated leaked);
diag("soak: $line") if $minutes >= 1;
note($line);
cmp_ok($result->{sent}, '>', 0, 'events were sent');
is($result->{$_}, 0, "none $_") foreach qw(lost invented reordered changed leaked);
cmp_ok(query($node, $failed), '>', 0, 'events of some users fail');
my $waited = longest_wait();
diag("the longest wait for a first attempt beside failing users: $waited s") if $minutes >= 1;
cmp_ok($waited, '<', $longest_wait, 'nobody waits long behind users whose events fail');

# A worker that leaves does not wait long for answers, and says so in the row.
my $stopped = query($node, q{
    SELECT count(*) FROM rswebhook.delivery WHERE error = 'the worker was stopped before an answer came'});
my $crashes = $crashes{kill} + $crashes{stop};
cmp_ok($result->{duplicated}, '<=',
    $result->{hidden} + $result->{late} + $stopped + $crashes * $repeated_by_crash,
    "$result->{duplicated} duplicates: $crashes crashes, $result->{hidden} answers that could not arrive, "
      . "$result->{late} that came too late, $stopped that were not awaited");

done_testing();

# ---------------------------------------------------------------------
# Chaos
# ---------------------------------------------------------------------

sub any_action
{
    my $total = 0;
    $total += $_->[0] foreach @actions;
    my $chosen = rand $total;

    foreach (@actions)
    {
        return @$_[ 1, 2 ] if ($chosen -= $_->[0]) < 0;
    }
    return @{ $actions[0] }[ 1, 2 ];
}

sub anyone
{
    return (qw(ordered loose query hostile))[ rand 4 ];
}

sub pause
{
    my ($seconds) = @_;
    my $left = $end - time();

    sleep($seconds < $left ? $seconds : $left) if $left > 0;
    return;
}

# Runs a script if there is a server that takes it; true if all of it worked.
sub sql
{
    my ($script) = @_;

    return system_quietly('psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', 'postgres', '-c', $script);
}

sub system_quietly
{
    my @command = @_;

    waitpid start_quietly('timeout', 60, @command), 0;
    return $? == 0;
}

sub start_quietly
{
    my @command = @_;
    my $pid = fork() // die "could not fork: $!\n";

    return $pid if $pid;
    @ENV{ keys %connection } = values %connection;
    open STDIN, '<', '/dev/null';
    open STDOUT, '>', '/dev/null';
    open STDERR, '>', '/dev/null';
    exec @command or POSIX::_exit(127);
}

sub answer_of
{
    my ($query) = @_;
    local @ENV{ keys %connection } = values %connection;

    return scalar `timeout 60 psql -XAtq -d postgres -c "$query" 2>/dev/null`;
}

sub signal_worker
{
    my ($signal) = @_;
    my ($pid) = answer_of(q{SELECT pid FROM pg_stat_activity
        WHERE datname = 'postgres' AND backend_type LIKE 'rswebhook%' ORDER BY random() LIMIT 1}) =~ /^(\d+)$/m;

    return $pid && kill $signal, $pid;
}

sub kill_backend
{
    my ($pid) = answer_of(q{SELECT pid FROM pg_stat_activity
        WHERE application_name = 'sender' ORDER BY random() LIMIT 1}) =~ /^(\d+)$/m;

    $crashes{kill}++ if $pid && kill 'KILL', $pid;
    return;
}

sub restart
{
    my ($how) = @_;

    if ($how eq 'KILL')
    {
        open my $in, '<', "$data/postmaster.pid" or return;
        my ($pid) = <$in> =~ /^(\d+)/;
        kill 'KILL', $pid;
    }
    else
    {
        system_quietly('pg_ctl', '-D', $data, '-m', $how, '-w', 'stop');
    }
    pause(rand 0.5);

    # those whose postmaster is gone may take a moment to notice
    wait_for('the server to start',
        sub { system_quietly('pg_ctl', '-D', $data, '-l', $node->logfile, '-w', 'start') });
    return;
}

sub usual_switches
{
    # In long runs, connections that are kept also end, some with words that nobody
    # asked for.  These are no 2xx's: one that is written when the next request has
    # arrived and was not read yet is taken for its answer, and nobody could tell.
    my $words = 'HTTP/1.1%20408%20Timeout%0D%0AConnection:%20close%0D%0AContent-Length:%200%0D%0A%0D%0A';
    my @then = $minutes < 1 ? '' : ('', '/then-close/100', '/then-reset/300', "/then/200/$words/then-close/200");

    $receiver->switch($_, $then[ rand @then ] . '/flaky/2/500,reset,hidden,503,close,408') foreach qw(ordered loose query);
    $receiver->switch('hostile', '/flaky/50/500,reset,404');
    $receiver->switch('good', '');
    $receiver->switch('bad', '/status/500');
    return;
}

sub fail_for_a_while
{
    my $victim = anyone();

    $receiver->switch($victim, '/' . $faults[ rand @faults ]);
    pause(rand 1.5);
    usual_switches();
    return;
}

# Those whose senders have not lived to see to them would lock our tables for long,
# also for what else is done here.
sub see_to_prepared
{
    my $pid = fork() // die "could not fork: $!\n";

    return $pid if $pid;
    local $SIG{TERM} = 'DEFAULT';
    while (getppid() != 1)
    {
        commit_prepared('2 s');
        sleep(0.5);
    }
    POSIX::_exit(0);
}

sub commit_prepared
{
    my ($age) = @_;

    sql("COMMIT PREPARED '$_'") foreach split /\n/,
      answer_of("SELECT gid FROM pg_prepared_xacts WHERE prepared <= now() - interval '$age'");
    return;
}

# From then to then; another one is taken when the server is restarted.
sub hold_snapshots
{
    my ($from, $to) = @_;
    my $pid = fork() // die "could not fork: $!\n";

    return $pid if $pid;
    local $SIG{TERM} = 'DEFAULT';
    while (time() < $to && getppid() != 1)
    {
        sleep(0.2);
        next if time() < $from;
        my $holder = start_quietly('psql', '-XAtq', '-d', 'postgres', '-c',
            sprintf 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1; SELECT pg_sleep(%.1f); COMMIT', $to - time());
        sleep(0.2) while getppid() != 1 && !waitpid $holder, POSIX::WNOHANG();
        kill 'TERM', $holder;
    }
    POSIX::_exit(0);
}

# For a moment; rarely, the worker dies of it.
sub fail_to_render
{
    my $place = (qw(rendering fetching))[ rand 2 ];
    my $action = rand() < 0.05 ? 'crash' : (qw(error memory stop))[ rand 3 ];

    open my $out, '>', "$data/rswebhook.new" or die "could not write: $!\n";
    print $out "$place $action\n";
    close $out;
    rename "$data/rswebhook.new", "$data/rswebhook.inject" or die "could not rename: $!\n";
    pause(rand 1);
    unlink "$data/rswebhook.inject";
    return;
}

sub reload
{
    my %value = (
        'rswebhook.max_in_flight' => 1 + int rand 300,
        'rswebhook.connection_lifetime' => int(rand 5) . 's',
        'rswebhook.response_body_limit' => int(rand 1000) . 'kB',
        'rswebhook.synchronous_commit' => (qw(local on off))[ rand 3 ],
        'rswebhook.blocked_networks' => ("default", "10.0.0.0/8, default")[ rand 2 ]);
    my $name = (sort keys %value)[ rand keys %value ];

    sql("ALTER SYSTEM SET $name = '$value{$name}'") && sql('SELECT pg_reload_conf()');
    return;
}

sub another_database
{
    sql('CREATE DATABASE other') or return;
    system_quietly('psql', '-XAtq', '-d', 'other', '-c', 'CREATE EXTENSION rswebhook', '-c',
        sprintf q{INSERT INTO rswebhook.destination (name, url) VALUES ('x', '%s')}, $receiver->url('/hang'),
        '-c', q{SELECT count(rswebhook_send('{}', 'x')) FROM generate_series(1, 100)});
    pause(rand 0.5);
    system_quietly('psql', '-XAtq', '-d', 'other', '-c', 'DROP EXTENSION rswebhook CASCADE') if rand() < 0.5;
    wait_for('the other database to go', sub { sql('DROP DATABASE IF EXISTS other') });
    return;
}

# ---------------------------------------------------------------------
# Senders
# ---------------------------------------------------------------------

# Each has users of its own, whose events it sends one after the other, and
# writes down what it is about to send and what became of it.  It waits now and
# then until less is owed.
sub start_sender
{
    my ($number) = @_;
    my $pid = fork() // die "could not fork: $!\n";

    return $pid if $pid;
    srand($seed + $number);
    eval { send_until_told($number); 1 } or print STDERR $@;
    POSIX::_exit(0);
}

sub send_until_told
{
    my ($number) = @_;
    my $running = 1;
    my $epoch = 0;

    local $SIG{TERM} = sub { $running = 0 };
    open my $diary, '>', "$dir/$number" or die "could not write: $!\n";
    $diary->autoflush;
    $connection{PGAPPNAME} = 'sender';

    for (my $n = 0; $running && getppid() != 1; $n++)
    {
        if ($n % 20 == 19)
        {
            sleep(0.2) while $running && answer_of('SELECT count(*) > 10000 FROM rswebhook.queue') =~ /^t/;
        }
        my @events = map { "$number-$n-$_" } 1 .. 1 + rand 8;
        my $user = "$number-$epoch-" . int rand 5;
        my $commit = rand() < 0.85;
        my @script = map { statement($_, $user) } @events;

        # now and then one of them is hostile
        if (rand() < 0.02)
        {
            my $which = int rand @events;

            $events[$which] .= '-hostile';
            $script[$which] = hostile_statement($events[$which], $user, $hostile[ rand @hostile ]);
        }
        push @script, hostile_statement("$number-$n-large", $user, $too_large) =~ s/SELECT send_hostile/CALL send_too_large/r
          if rand() < 0.005;
        push @script, 'SAVEPOINT s', statement("$number-$n-gone", $user), 'ROLLBACK TO s' if rand() < 0.2;

        # or of users whose events fail until the end, or do not though others' do
        foreach my $kind ($n % 40 ? () : 'bad', rand() < 0.3 ? 'good' : ())
        {
            push @events, "$number-$n-$kind-tried";
            push @script, statement($events[-1], $kind eq 'bad' ? $events[-1] : "$user-$kind", $kind);
        }
        print $diary join(' ', $commit ? 'commit' : 'rollback', @events), "\n";
        my $ok = $commit && rand() < 0.1 ? in_two_phases("$number-$n", @script)
          : sql(join '; ', 'BEGIN', @script, $commit ? 'COMMIT' : 'ROLLBACK');
        print $diary $ok ? "done\n" : "unknown\n";

        # what we do not know about may still be on its way
        if (!$ok)
        {
            $epoch++;
            sleep(0.2);
        }
        sleep(rand 0.03);
    }
    return;
}

sub in_two_phases
{
    my ($gid, @script) = @_;

    sql(join '; ', 'BEGIN', @script, "PREPARE TRANSACTION '$gid'") or return 0;
    sleep(rand 0.5);
    return sql("COMMIT PREPARED '$gid'");
}

# tried: to the destination where some users' events fail, by this switch.
sub statement
{
    my ($id, $user, $tried) = @_;
    my $filler = 'x' x rand 300;

    my $event = $json->encode({
        type => 'track',
        event => $tried ? 'Tried' : 'Soaked',
        userId => $user,
        messageId => $id,
        $tried ? (fullPath => $receiver->url("/switch/$tried/ok")) : (),
        properties => { id => $id, filler => $filler } });

    return sprintf any_way(), $event;
}

# By a call or through a table; or twice, of which one counts.
sub any_way
{
    my @ways = (
        [ 10, q{SELECT rswebhook_send('%s')} ],
        [ 1, q{SELECT rswebhook_send_batch('[%s]')} ],
        [ 2, q{INSERT INTO outbox VALUES ('%s')} ],
        [ 2, q{INSERT INTO list VALUES ('%s')} ],
        [ 1, q{INSERT INTO box VALUES ('%s')} ],
        [ 2, q{SELECT rswebhook_send('%1$s', deduplicate => '1 h'); SELECT rswebhook_send('%1$s', deduplicate => '1 h')} ]);
    my $total = 0;

    $total += $_->[0] foreach @ways;
    my $chosen = rand $total;

    foreach (@ways)
    {
        return $_->[1] if ($chosen -= $_->[0]) < 0;
    }
    return $ways[0][1];
}

sub hostile_statement
{
    my ($id, $user, $more) = @_;

    return qq{SELECT send_hostile(jsonb_build_object('type', 'track', 'event', 'Soaked',
        'userId', '$user', 'messageId', '$id') || $more)};
}

sub stop_child
{
    my ($pid) = @_;

    kill 'TERM', $pid;
    waitpid $pid, 0;
    return;
}

# ---------------------------------------------------------------------
# Judgement
# ---------------------------------------------------------------------

# What each sender says: committed for sure, and perhaps.
sub diaries
{
    my (%certain, %possible);

    foreach my $number (1 .. $senders)
    {
        open my $in, '<', "$dir/$number" or die "could not read: $!\n";
        my ($intent, @events);
        while (<$in>)
        {
            my ($word, @rest) = split;
            if ($word eq 'done' || $word eq 'unknown')
            {
                next if $intent ne 'commit';
                my $into = $word eq 'done' ? \%certain : \%possible;
                $into->{$_} = [@events] foreach @events;
            }
            else
            {
                ($intent, @events) = ($word, @rest);
                # the last may have no verdict
                @possible{@events} = map { [@events] } @events if $intent eq 'commit';
            }
        }
    }
    delete @possible{ keys %certain };
    return (\%certain, \%possible);
}

sub judge
{
    my ($certain, $possible) = diaries();
    my %judged = map { $_ => 0 } qw(sent lost invented reordered changed duplicated hidden late leaked);
    my %given_up = given_up();
    my %order;      # messageId => [user, id]
    my %previous;   # messageId => the one before it of its user
    my %last;

    foreach (split /\n/, query($node, q{
        SELECT event->>'messageId', event->>'userId', id FROM rswebhook.event ORDER BY id}))
    {
        my ($id, $user) = split /\|/;
        blame(\%judged, 'invented', "$id is in rswebhook.event twice") if exists $order{$id};
        $order{$id} = $user;
        $previous{$id} = $last{$user};
        $last{$user} = $id;
        $judged{invented}++ unless $certain->{$id} || $possible->{$id};
    }
    $judged{sent} = keys %order;

    # what was committed is there, and a transaction is there as a whole
    foreach (keys %$certain)
    {
        blame(\%judged, 'lost', "$_ is not in rswebhook.event") unless exists $order{$_};
    }
    foreach my $id (keys %$possible)
    {
        my @there = grep { exists $order{$_} } @{ $possible->{$id} };
        blame(\%judged, 'lost', "$id: half a transaction")
          if @there && @there != @{ $possible->{$id} };
    }

    # who was to get each: the tried ones come by the switches of their users
    my %events = (soaked => [grep { !/-tried$/ } keys %order]);
    $events{$_} = [grep { /-$_-tried$/ } keys %order] foreach qw(good bad);
    my %taken = read_ledger(\%judged, \%order, \%previous, \%given_up);
    if ($early)
    {
        my %answered = map { $_->{headers}{'webhook-id'} => 1 } grep { $_->{accepted} } $early->requests;
        foreach (@{ $events{soaked} })
        {
            blame(\%judged, 'lost', "$_ did not come to early") unless $answered{$_} || $given_up{early}{$_};
        }
    }
    foreach my $destination (qw(ordered loose query good bad))
    {
        foreach (@{ $events{$destination} // $events{soaked} })
        {
            blame(\%judged, 'lost', "$_ did not come to $destination")
              unless $taken{$destination}{$_} || $given_up{$destination}{$_};
        }
    }

    $judged{lost} += query($node, q{
        SELECT count(*) FROM rswebhook.event AS e
        JOIN rswebhook.destination AS d ON e.event->>'event' = ANY (d.events)
        WHERE NOT EXISTS (
            SELECT FROM rswebhook.delivery AS v
            WHERE v.event_id = e.id AND v.destination_id = d.id
            AND v.outcome IN ('delivered', 'aborted'))});
    $judged{leaked} = leaks();
    return \%judged;
}

sub blame
{
    my ($judged, $what, $why) = @_;

    diag("$what: $why") if $judged->{$what}++ < 5;
    return;
}

# What may have been given up, by destination: hostile events, and those that the
# worker was at whenever it was told to die.
sub given_up
{
    my %given_up;

    foreach (split /\n/, query($node, q{
        SELECT d.name || '|' || (e.event->>'messageId') || '|' || v.error
        FROM rswebhook.delivery AS v
        JOIN rswebhook.event AS e ON e.id = v.event_id
        JOIN rswebhook.destination AS d ON d.id = v.destination_id
        WHERE v.outcome = 'aborted' AND d.name <> 'hostile'}))
    {
        my ($destination, $id, $error) = split /\|/, $_, 3;

        $destination = $1 if $id =~ /-(good|bad)-tried$/;
        $given_up{$destination}{$id} = 1
          if $id =~ /-hostile$/ && $error =~ /longer than|more than|is not allowed/
          || $error =~ /^the worker died three times/;
    }
    note(scalar(keys %{ $given_up{$_} }) . " given up for $_") foreach sort keys %given_up;
    return %given_up;
}

# Of an event that does not fail, in seconds, from its commit at the latest.
sub longest_wait
{
    return query($node, q{
        SELECT coalesce(round(extract(epoch FROM max(first_at - created_at))::numeric, 1), 0)
        FROM (SELECT e.created_at, min(v.started_at) AS first_at
              FROM rswebhook.event AS e JOIN rswebhook.delivery AS v ON v.event_id = e.id
              WHERE e.event->>'messageId' LIKE '%-good-tried'
              GROUP BY e.id, e.created_at) AS waits});
}

# How often each event was taken, by destination.
sub read_ledger
{
    my ($judged, $order, $previous, $given_up) = @_;
    my %taken;
    my %timed_out;

    $timed_out{ s/^tried (.*-(good|bad)-tried)$/$2 $1/r }++ foreach split /\n/, query($node, q{
        SELECT d.name || ' ' || (e.event->>'messageId')
        FROM rswebhook.delivery AS v
        JOIN rswebhook.event AS e ON e.id = v.event_id
        JOIN rswebhook.destination AS d ON d.id = v.destination_id
        WHERE v.status IS NULL AND (v.error LIKE '%timed out%' OR v.duration >= d.timeout)});

    open my $in, '<:raw', $receiver->ledger or die "could not read the ledger: $!\n";
    while (<$in>)
    {
        my ($destination, $rest) = m{"target":"/switch/(\w+)/(.*)} or next;
        my ($id) = $rest =~ /"webhook-id":"([^"]*)"/;
        my $before = defined $id ? $previous->{$id} : undef;

        if (!defined $id || !exists $order->{$id})
        {
            blame($judged, 'invented', $id // 'a request without an id');
            next;
        }
        blame($judged, 'reordered', "$id came to $destination before $before")
          if $destination =~ /^(ordered|query|good|bad)$/
          && defined $before && !$taken{$destination}{$before} && !$given_up->{$destination}{$before};
        blame($judged, 'changed', "$id of user $order->{$id}: $_")
          unless $id =~ /-hostile$/ ? $destination eq 'query' || index($rest, escaped(qq("messageId":"$id"))) >= 0
          : $destination eq 'query'
          ? $rest =~ /^ok\?filler=x*&id=\Q$id\E"/
          : index($rest, escaped(qq("messageId":"$id","properties":{"id":"$id","filler":"x))) >= 0
          || index($rest, escaped(qq("messageId":"$id","properties":{"id":"$id","filler":""))) >= 0;

        my ($answer, $accepted) = $rest =~ /"answer":"([^"]*)","accepted":(\w+)\}$/;
        next if ($accepted // '') ne 'true';
        $judged->{hidden}++ if $answer !~ /^\d+$/;
        next if !$taken{$destination}{$id}++ || $destination eq 'hostile';
        $judged->{duplicated}++;
        $judged->{late}++ if ($timed_out{"$destination $id"} // 0) > 0 && $timed_out{"$destination $id"}--;
    }
    return %taken;
}

sub slurp
{
    my ($file) = @_;

    open my $in, '<', $file or die "could not read \"$file\": $!\n";
    local $/;
    return <$in> // '';
}

# As it is in the ledger.
sub escaped
{
    my ($text) = @_;
    return $text =~ s/"/\\u0022/gr;
}

# What the workers hold when there is nothing to do.
sub leaks
{
    my $leaks = 0;

    $leaks += leaks_of($_) foreach split / /, await_workers($node);
    return $leaks;
}

sub leaks_of
{
    my ($pid) = @_;
    my $leaks = 0;
    my $descriptors = () = glob "/proc/$pid/fd/*";
    my $memory_limit = $ENV{RSWEBHOOK_SANITIZED} ? 400_000 : 60_000;
    my @held = (
        [ 'kB of memory', process_field($pid, 'RssAnon'), $memory_limit ],
        [ 'open descriptors', $descriptors, 400 ],
        [ 'requests in flight', query($node, 'SELECT coalesce(sum(in_flight), 0) FROM rswebhook.status'), 0 ],
        [ 'locks', query($node, "SELECT count(*) FROM pg_locks WHERE pid = $pid AND locktype <> 'advisory'"), 0 ],
        [ 'rows of an outbox that keeps none', query($node, 'SELECT count(*) FROM outbox'), 0 ],
        [ 'open transactions', query($node, "SELECT count(backend_xmin) FROM pg_stat_activity WHERE pid = $pid"), 0 ]);

    foreach (@held)
    {
        my ($what, $amount, $limit) = @$_;
        note("the worker holds $amount $what");
        next if $amount <= $limit;
        diag("leaked: the worker holds $amount $what");
        $leaks++;
    }
    return $leaks;
}
