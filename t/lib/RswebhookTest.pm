# RswebhookTest.pm
#     What the TAP tests share: a cluster with the extension, a receiver, and
#     waiting for as long as something moves.
#
# A busy machine must not fool a test.  Tests wait for a condition, never for a
# time; a wait fails when nothing has moved for its limit, however long the whole
# takes.  That one thing does not wait for another is shown by their order, the
# other one being much too long to be waited for.  Where it can only be shown by a
# clock, the limit is at_once(), or comes from what the same run has measured.
#
# Copyright (c) 2026, the rswebhook maintainers

package RswebhookTest;

use strict;
use warnings;

use Cwd qw(abs_path);
use Exporter 'import';
use File::Basename qw(dirname);
use File::Temp;
use FindBin;
use IO::Socket::INET;
use JSON::PP;
use PostgreSQL::Test::Cluster ();
use PostgreSQL::Test::Utils ();
use Test::More;
use Time::HiRes qw(sleep time);

use Receiver;
use Session;

our @EXPORT = qw(
  add_destination
  at_once
  at_rest
  await_others
  await_workers
  bare_node
  cpu_time
  elapsed
  entries_read
  errors_logged
  inject
  is_there
  kill_process
  largest
  libcurl_at_least
  logged
  most_in_flight
  new_node
  new_receiver
  outcomes
  pass_time
  process_field
  query
  query_rows
  refusing_port
  run_ok
  samples
  send_event
  source_dir
  temp_dir
  times_logged
  unused_port
  wait_for
  wait_for_query
  wait_until_sent
  worker_of
  worker_pids
  workers_each
  write_file
);

our $default_limit = 60;    # seconds without a move

BEGIN
{
    # So that END blocks stop what was started.
    $SIG{TERM} = $SIG{INT} = sub { die "stopped by a signal\n" };

    # What a test dies of is seen where its results are, not in its log only.
    $SIG{__DIE__} = sub { diag("died: $_[0]") if defined $^S && !$^S };

    # A server may take its time to start and to stop.
    $ENV{PGCTLTIMEOUT} //= 300;
}

sub source_dir
{
    return dirname($FindBin::RealBin);
}

# The libcurl that is there to build with, and to run with.
sub libcurl_at_least
{
    my ($major, $minor) = @_;
    my ($has_major, $has_minor) = qx(pkg-config --modversion libcurl) =~ /^(\d+)\.(\d+)/
      or die "pkg-config does not know libcurl\n";

    return $has_major > $major || ($has_major == $major && $has_minor >= $minor);
}

# A port that was free a moment ago.
sub unused_port
{
    my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1)
      or die "could not listen: $@\n";
    return $socket->sockport;
}

# One where nobody listens, and nobody will: it is taken.
sub refusing_port
{
    our @taken;

    push @taken, IO::Socket::INET->new(LocalAddr => '127.0.0.1', Proto => 'tcp') // die "could not have a port: $@\n";
    return $taken[-1]->sockport;
}

# A directory below the test's own; removed at the end unless the test fails.
sub temp_dir
{
    my ($name) = @_;

    return File::Temp->newdir("${name}_XXXXXX", DIR => abs_path($PostgreSQL::Test::Utils::tmp_check));
}

# ---------------------------------------------------------------------
# Clusters
# ---------------------------------------------------------------------

# A running cluster with the extension in its database postgres.
#   preload => 0    without shared_preload_libraries
#   extension => 0  without CREATE EXTENSION
#   conf => text    more settings
#   start => 0      initialized only
# With RSWEBHOOK_WORKERS in the environment, each database has so many workers.
sub new_node
{
    my ($name, %option) = @_;
    my $node = bare_node($name);

    initialize($node);
    $node->append_conf('postgresql.conf', installation_settings());
    $node->append_conf('postgresql.conf',
        "log_statement = none\nmax_worker_processes = 32\n");
    $node->append_conf('postgresql.conf',
        "shared_preload_libraries = 'rswebhook'\n")
      if $option{preload} // 1;
    $node->append_conf('postgresql.conf', "rswebhook.workers = $ENV{RSWEBHOOK_WORKERS}\n")
      if $ENV{RSWEBHOOK_WORKERS} && ($option{preload} // 1);
    $node->append_conf('postgresql.conf', $option{conf})
      if defined $option{conf};
    return $node unless $option{start} // 1;

    $node->start;
    query($node, 'CREATE EXTENSION rswebhook') if $option{extension} // 1;
    await_workers($node) if ($option{extension} // 1) && ($option{preload} // 1);
    return $node;
}

# initdb takes longer than many a test: the first cluster of each is a copy of what
# it made once, if scripts/check has that.  Another one needs an identifier of its own.
sub initialize
{
    my ($node) = @_;
    my $template = delete $ENV{RSWEBHOOK_TEMPLATE};
    my $system = \&PostgreSQL::Test::Utils::system_or_bail;

    no warnings 'redefine';
    local *PostgreSQL::Test::Utils::system_or_bail = sub {
        return $system->('cp', '-RPp', "$template/.", $node->data_dir)
          if defined $template && $_[0] eq 'initdb';
        return $system->(@_);
    };
    $node->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
    return;
}

# A cluster that is not even initialized.
sub bare_node
{
    my ($name) = @_;

    return PostgreSQL::Test::Cluster->new($name);
}

# Settings with which a server finds the extension outside its own
# directories, as scripts/check builds it; none after a plain make install.
sub installation_settings
{
    my $file = $ENV{RSWEBHOOK_CONF};

    return '' unless defined $file;
    open my $in, '<', $file or die "could not read \"$file\": $!\n";
    local $/;
    return <$in>;
}

# What the statements print; dies of an error.  Most share a session.
sub query
{
    my ($node, $sql, $database) = @_;
    my $session = ($database // 'postgres') eq 'postgres' ? Session->kept($node, $sql) : undef;

    return $node->safe_psql($database // 'postgres', $sql) unless $session;

    my $out = eval { $session->query($sql) };
    return $out if defined $out;

    # whoever ends sessions has ended this one before it could do anything
    die $@ unless $@ =~ /terminating connection|server closed the connection|connection to server was lost/;
    return $node->safe_psql('postgres', $sql);
}

# The rows of a query as references to lists of decoded JSON values.
sub query_rows
{
    my ($node, $sql, $database) = @_;
    my $json = query($node,
        "SELECT coalesce(json_agg(r), '[]') FROM ($sql) AS r", $database);

    return @{ JSON::PP->new->utf8->decode($json) };
}

# A row of rswebhook.destination; values are given as SQL literals' content.
sub add_destination
{
    my ($node, $name, $url, $columns, $database) = @_;
    my %row = (name => $name, url => $url, %{ $columns // {} });
    my @names = sort keys %row;
    my $values = join ', ', map { quote_literal($row{$_}) } @names;

    query($node,
        "INSERT INTO rswebhook.destination (" . join(', ', @names) . ") VALUES ($values)",
        $database);
    return;
}

# A program, what it says goes to the test's log.
sub run_ok
{
    my (@command) = @_;

    is(system(@command), 0, "$command[0] ends well");
    return;
}

# Sends an event given as a Perl value; returns its id.
sub send_event
{
    my ($node, $event, $destination, $database) = @_;
    my $json = quote_literal(JSON::PP->new->ascii->canonical->encode($event));
    my $to = defined $destination ? quote_literal($destination) : 'NULL';

    return query($node, "SELECT rswebhook_send($json, $to)", $database);
}

# All of a file, of these bytes.
sub write_file
{
    my ($path, $content) = @_;

    open my $out, '>:raw', $path or die "could not write \"$path\": $!\n";
    print $out $content;
    close $out or die "could not write \"$path\": $!\n";
    return;
}

sub quote_literal
{
    my ($text) = @_;

    return 'NULL' unless defined $text;
    $text =~ s/'/''/g;
    return $text =~ s/\\/\\\\/g ? "E'$text'" : "'$text'";
}

# The delivery rows of an event, oldest first, as "outcome status attempt".
sub outcomes
{
    my ($node, $event_id, $database) = @_;

    return query(
        $node, qq{
        SELECT string_agg(concat_ws(' ', outcome, status, attempt), ', '
                          ORDER BY destination_id, attempt)
        FROM rswebhook.delivery WHERE event_id = $event_id}, $database);
}

sub samples
{
    open my $in, '<', source_dir() . '/examples/samples.json'
      or die "could not read the sample events: $!\n";
    local $/;
    return @{ JSON::PP->new->utf8->decode(<$in>) };
}

# ---------------------------------------------------------------------
# Processes
# ---------------------------------------------------------------------

# How many workers a database has, where a test does not choose that itself.
sub workers_each
{
    return $ENV{RSWEBHOOK_WORKERS} || 1;
}

# All workers of a database, as "PID PID..."; '' if there is none.
sub worker_pids
{
    my ($node, $database) = @_;
    my $name = quote_literal($database // 'postgres');

    return query($node, qq{
        SELECT coalesce(string_agg(pid::text, ' ' ORDER BY pid), '')
        FROM pg_stat_activity WHERE datname = $name AND backend_type = 'rswebhook worker'}, 'template1');
}

# The same, once all are there.
sub await_workers
{
    my ($node, $database) = @_;

    return await_others($node, '', $database);
}

# The same, once all are there and are none of these, "PID PID...".
sub await_others
{
    my ($node, $gone, $database) = @_;
    my %gone = map { $_ => 1 } split / /, $gone;
    my $count = query($node, 'SHOW rswebhook.workers', 'template1');
    my $pids;

    return wait_for('the workers', sub {
            my @now = split / /, $pids = worker_pids($node, $database);
            return @now == $count && !grep { $gone{$_} } @now;
        }) && $pids;
}

# The worker that serves a destination which has one; undef if that is not there.
sub worker_of
{
    my ($node, $destination, $database) = @_;
    my $pid = query($node, qq{
        SELECT pid FROM rswebhook.workers()
        WHERE share - 1 = rswebhook.destination_id(${\quote_literal($destination)})
            % current_setting('rswebhook.workers')::integer}, $database);

    return $pid eq '' ? undef : $pid;
}

# A number from /proc/PID/status, such as VmHWM or voluntary_ctxt_switches; of
# several processes, "PID PID...", the sum.
sub process_field
{
    my ($pids, $field) = @_;
    my $sum;

    foreach my $pid (split / /, $pids)
    {
        open my $in, '<', "/proc/$pid/status" or return undef;
        my ($number) = map { /^\Q$field\E:\s+(\d+)/ ? $1 : () } <$in>;
        return undef unless defined $number;
        $sum += $number;
    }
    return $sum;
}

# That of whichever of several processes has most of it.
sub largest
{
    my ($pids, $field) = @_;

    return (sort { $b <=> $a } map { process_field($_, $field) // 0 } split / /, $pids)[0];
}

# Seconds of processor time of a process so far, or of several together.
sub cpu_time
{
    my ($pids) = @_;
    my $sum = 0;

    foreach my $pid (split / /, $pids)
    {
        open my $in, '<', "/proc/$pid/stat" or next;
        my @fields = split / /, <$in> =~ s/.*\) //r;
        $sum += ($fields[11] + $fields[12]) / 100;
    }
    return $sum;
}

# What a build with -DRSWEBHOOK_INJECTION does from now on, and where ("PLACE",
# "PLACE ACTION", "PLACE ACTION ID..."; see src/base/inject.c); without: nothing.
sub inject
{
    my ($node, $action) = @_;
    my $file = $node->data_dir . '/rswebhook.inject';

    if (!defined $action)
    {
        unlink $file;
        return;
    }
    open my $out, '>', "$file.new" or die "could not write: $!\n";
    print $out "$action\n";
    close $out;
    rename "$file.new", $file or die "could not rename: $!\n";
    return;
}

# How often a process has gone to sleep, or several together, once none does so any
# more.
sub at_rest
{
    my ($pids) = @_;
    my $last = -1;

    wait_for('the process to be idle', sub {
            my $now = process_field($pids, 'voluntary_ctxt_switches');
            my $same = $now == $last;

            $last = $now;
            sleep(0.5) if !$same;
            return $same;
        });
    return $last;
}

# ---------------------------------------------------------------------
# Waiting
# ---------------------------------------------------------------------

# Polls until the code returns something true, and returns that.  Gives up, says
# for what, and returns false when nothing has moved for so many seconds.  What
# moves is the number of requests at all receivers, and what the code $sign
# returns.  What goes in circles is given up, too, after ten times that.
sub wait_for
{
    my ($what, $code, $limit, $sign) = @_;
    my $start = time();
    my $moved = $start;
    my $told = $start;
    my $last = '';

    $limit //= $default_limit;
    while (1)
    {
        my $result = $code->();
        return $result if $result;

        my $now = time();
        my $state = Receiver::arrived_anywhere() . ' ' . ($sign ? $sign->() // '' : '');
        $moved = $now if $state ne $last;
        $last = $state;
        last if $now - $moved > $limit || $now - $start > 10 * $limit;
        if ($now - $told > 30)
        {
            note(sprintf 'for %d s, waiting for %s', $now - $start, $what);
            $told = $now;
        }

        # looking takes of the processor what others need
        my $pause = 0.02 + ($now - $start) / 20;
        sleep($pause < 0.25 ? $pause : 0.25);
    }
    diag("waited in vain for $what");
    return 0;
}

# Does the server answer?  Whoever writes to a psql that it has just ended with it
# dies of that.
sub is_there
{
    my ($node) = @_;

    return eval { ($node->psql('postgres', 'SELECT 1'))[0] == 0 };
}

# Kills one of a server's processes, and waits until all have been started anew:
# a moment after its death, the server may not know of it yet.
sub kill_process
{
    my ($node, $pid) = @_;
    my $log = -s $node->logfile;

    kill('KILL', $pid) or return 0;
    return wait_for('the server to come back',
        sub { times_logged($node, qr/all server processes terminated; reinitializing/, $log) && is_there($node) });
}

sub wait_for_query
{
    my ($node, $sql, $expected, $limit, $database) = @_;
    my $got;

    return 1
      if wait_for("\"$expected\" from $sql",
        sub { ($got = query($node, $sql, $database)) eq $expected }, $limit, sub { $got });
    diag("last result: \"$got\"");
    return 0;
}

# What a server has logged, all of it or since its log was that long.
sub logged
{
    my ($node, $from) = @_;

    return PostgreSQL::Test::Utils::slurp_file($node->logfile, $from // 0);
}

sub times_logged
{
    my ($node, $pattern, $from) = @_;

    return scalar(() = logged($node, $from) =~ /$pattern/g);
}

# Errors of background workers: clients' lines have a name in front.
sub errors_logged
{
    my ($node, $from) = @_;

    return times_logged($node, qr/\] (?:ERROR|FATAL|PANIC|WARNING):/, $from);
}

# Until nothing is owed any more.
sub wait_until_sent
{
    my ($node, $database, $limit) = @_;

    return wait_for_query($node, 'SELECT count(*) FROM rswebhook.queue', '0',
        $limit, $database);
}

# Seconds within which something has happened at once: so many on an idle
# machine, and more on one that is slow to start a program right now.
sub at_once
{
    my ($seconds) = @_;
    my $longest = 0;

    foreach (1 .. 3)
    {
        my $took = elapsed(sub { system('psql --version >/dev/null') });
        $longest = $took if $took > $longest;
    }
    return $seconds + 50 * $longest;
}

# How many requests to a destination (of one outcome, if it is given) were under way
# at the same time, as the worker has it: what a receiver sees depends on when it gets
# to look.
sub most_in_flight
{
    my ($node, $destination, $outcome) = @_;
    my $which = defined $outcome ? "outcome = '$outcome'" : 'true';

    return query($node, qq{
        WITH attempts AS (
            SELECT started_at, duration FROM rswebhook.delivery
            WHERE destination_id = rswebhook.destination_id('$destination') AND $which)
        SELECT max(n) FROM (
            SELECT sum(step) OVER (ORDER BY at, step) AS n FROM (
                SELECT started_at AS at, 1 AS step FROM attempts
                UNION ALL
                SELECT started_at + duration, -1 FROM attempts) AS ends) AS moments});
}

# Entries of the queue's index that were read until now, once that stands still
sub entries_read
{
    my ($node) = @_;
    my $last = -1;

    wait_for('the statistics', sub {
            my $now = query($node, q{SELECT idx_tup_read FROM pg_stat_user_indexes
                WHERE indexrelid = 'rswebhook.queue_pkey'::regclass});
            my $same = $now == $last;

            $last = $now;
            pass_time(1.2) if !$same;
            return $same;
        });
    return $last;
}

# For the few tests whose subject is that nothing happens for a while.
sub pass_time
{
    my ($seconds) = @_;

    sleep($seconds);
    return;
}

# How long the code takes, in seconds.
sub elapsed
{
    my ($code) = @_;
    my $start = time();

    $code->();
    return time() - $start;
}

# Options go to the program, such as '--seed', 7.
sub new_receiver
{
    return Receiver->new(source_dir() . '/scripts/receiver', temp_dir('receiver'), @_);
}

1;
