# Bench::Way
#     The ways to send webhooks from PostgreSQL that are compared: ours, and
#     the yardsticks that have a queue in the database, too.
#
# A way knows how to put one event into its queue ($1 of "send"), or many at
# once ("enqueue", as a query of the event), and how to have it emptied.
#
# Copyright (c) 2026, the rswebhook maintainers

package Bench::Way;

use strict;
use warnings;

use Bench::Process;
use Time::HiRes qw(sleep);

our $in_flight = 64;

my %ways = (
    rswebhook => {
        title => 'rswebhook',
        send => q{SELECT rswebhook_send($1::jsonb, 'bench')},
        enqueue => q{SELECT count(rswebhook_send(e.event, 'bench')) FROM (%s) e} },
    rswebhook_one => {
        title => 'rswebhook, one worker',
        of => 'rswebhook',
        workers => 1 },
    outbox => {
        title => 'Node outbox worker',
        program => 'outbox.js',
        send => q{INSERT INTO bench.outbox (event) VALUES ($1::jsonb)},
        enqueue => q{INSERT INTO bench.outbox (event) SELECT e.event FROM (%s) e},
        set_up => <<'SQL' },
CREATE TABLE IF NOT EXISTS bench.outbox (id bigserial PRIMARY KEY, event jsonb NOT NULL);
CREATE OR REPLACE FUNCTION bench.outbox_notify() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN NOTIFY bench_outbox; RETURN NULL; END $$;
CREATE OR REPLACE TRIGGER outbox_notify AFTER INSERT ON bench.outbox
    FOR EACH STATEMENT EXECUTE FUNCTION bench.outbox_notify();
SQL
    outbox_many => {
        title => 'Node outbox workers, as many as ours',
        of => 'outbox',
        processes => $ENV{BENCH_WORKERS} },
    graphile => {
        title => 'graphile-worker',
        program => 'graphile.js',
        send => q{SELECT graphile_worker.add_job('deliver', $1::json)},
        enqueue => q{SELECT count(*) FROM (SELECT graphile_worker.add_jobs(array_agg(
            ('deliver', e.event::json, NULL, NULL, NULL, NULL, NULL, NULL)::graphile_worker.job_spec))
            FROM (%s) e) j} },
    pgboss => {
        title => 'pg-boss',
        program => 'pgboss.js',
        polls => 1,
        send => q{INSERT INTO pgboss.job (name, data) VALUES ('deliver', $1::jsonb)},
        enqueue => q{INSERT INTO pgboss.job (name, data) SELECT 'deliver', e.event FROM (%s) e} },
    pg_net => {
        title => 'pg_net',
        # the settings that its documentation has for many requests
        set_up => <<'SQL',
CREATE EXTENSION IF NOT EXISTS pg_net;
ALTER SYSTEM SET pg_net.batch_size = 2000;
SELECT pg_reload_conf(), net.worker_restart();
SQL
        send => q{SELECT net.http_post(url := '%URL%', body := $1::jsonb)},
        enqueue => q{SELECT count(net.http_post(url := '%URL%', body := e.event)) FROM (%s) e} });

my ($session, $dir, $template);

sub set_up
{
    ($session, $dir) = @_;

    # The track event of the examples, with marks where events differ.
    $template = $session->query(<<"SQL");
SELECT (pg_read_file('$dir/tree/examples/samples.json')::jsonb -> 2)
    || '{"messageId": "\@ID\@", "userId": "\@USER\@"}';
SQL
    open(my $file, '>', "$dir/event.json") or die "cannot write event.json: $!\n";
    print $file $template;
    close $file;
    $session->query(<<"SQL");
CREATE FUNCTION bench.event(number bigint) RETURNS jsonb LANGUAGE sql IMMUTABLE AS \$\$
    SELECT '$template'::jsonb || jsonb_build_object(
        'messageId', 'event-' || number, 'userId', 'user-' || number % 1000)
\$\$;
CREATE TABLE bench.plain (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, event jsonb NOT NULL);
SQL
    return;
}

sub event_file { return "$dir/event.json"; }

sub new
{
    my ($class, $name) = @_;

    # the same as another way, but for what is said here
    my $of = $ways{$name}{of} // $name;

    return bless { %{ $ways{$of} }, %{ $ways{$name} }, name => $of }, $class;
}

# undef, or why it cannot be run here
sub problem
{
    my ($self) = @_;

    if ($self->{program})
    {
        return 'no node, or its packages are not installed' unless -d "$dir/node/node_modules";
    }
    elsif ($self->{name} eq 'pg_net')
    {
        return 'not installed'
          unless $session->query(
            "SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_net'");
    }
    return undef;
}

# Those of these that can be run; the others are said to be not run.
sub available
{
    my ($class, $result, $scenario, @names) = @_;
    my @available;

    foreach my $way (map { $class->new($_) } @names)
    {
        my $problem = $way->problem;

        if ($problem) { $result->not_run($scenario, $way->{title}, $problem) }
        else { push @available, $way }
    }
    return @available;
}

# Have events of this way delivered to the receiver.
sub start
{
    my ($self, $receiver, %column) = @_;

    $session->query($self->{set_up}) if $self->{set_up};
    restart($self->{workers}) if $self->{workers};
    if ($self->{name} eq 'rswebhook')
    {
        destination('bench', $receiver->url, max_in_flight => $in_flight, ordered => 'false',
            workers => $ENV{BENCH_WORKERS}, %column);
    }
    elsif ($self->{program})
    {
        my $processes = $self->{processes} // 1;

        $self->{running} = [ map { Bench::Process->start('node', "$dir/node/$self->{program}",
                $receiver->url, int($in_flight / $processes)) } 1 .. $processes ];
        $_->line foreach @{ $self->{running} };
    }
    $self->{url} = $receiver->url;
    return;
}

sub stop
{
    my ($self) = @_;

    $_->stop foreach @{ $self->{running} };
    delete $self->{running};
    forget_destinations() if $self->{name} eq 'rswebhook';
    restart($ENV{BENCH_WORKERS}) if $self->{workers};
    if ($self->{name} eq 'graphile') { $session->query('DROP SCHEMA graphile_worker CASCADE') }
    if ($self->{name} eq 'pgboss') { $session->query('DROP SCHEMA pgboss CASCADE') }
    if ($self->{name} eq 'outbox') { $session->query('DROP TABLE bench.outbox') }
    return;
}

# The processes that send, once they have started
sub senders
{
    my ($self) = @_;

    return $self->{name} eq 'rswebhook' ? workers() : map { $_->{pid} } @{ $self->{running} };
}

sub statement
{
    my ($self, $kind) = @_;

    return $self->{$kind} =~ s/%URL%/$self->{url}/gr;
}

# SQL that queues these events, from a query of them
sub enqueue
{
    my ($self, $source) = @_;

    return sprintf $self->statement('enqueue'), $source;
}

my $next_event = 1;

# A query of events that no other query had
sub events
{
    my ($count) = @_;
    my $first = $next_event;

    $next_event += $count;
    return sprintf 'SELECT bench.event(i) AS event FROM generate_series(%d::bigint, %d) i',
      $first, $next_event - 1;
}

# ---------------------------------------------------------------------
# rswebhook's own
# ---------------------------------------------------------------------

sub destination
{
    my ($name, $url, %column) = @_;
    my @columns = sort keys %column;

    $session->query(sprintf q{INSERT INTO rswebhook.destination (%s) VALUES (%s)},
        join(', ', 'name', 'url', @columns),
        join(', ', map { "'$_'" } $name, $url, @column{@columns}));
    return;
}

sub forget_destinations
{
    $session->query(<<'SQL');
DELETE FROM rswebhook.destination;
TRUNCATE rswebhook.queue, rswebhook.event, rswebhook.delivery;
SQL
    return;
}

# The server anew, with so many workers
sub restart
{
    my ($workers) = @_;

    restart_with("-c rswebhook.workers=$workers");
    workers();
    return;
}

# The server anew, as one that has never heard of us
sub restart_without
{
    restart_with('-c shared_preload_libraries=');
    return;
}

sub restart_with
{
    my ($options) = @_;

    $session->disconnect;
    system('pg_ctl', '-D', "$dir/data", '-l', "$dir/server.log", '-s', '-w', '-m', 'fast',
        '-o', $options, 'restart') == 0
      or die "the server did not restart\n";
    $session->connect;
    return;
}

# Their process ids, once all are there
sub workers
{
    for (1 .. 3000)
    {
        my @pids = split "\n", $session->query(
            "SELECT pid FROM pg_stat_activity WHERE backend_type = 'rswebhook worker'");
        return @pids if @pids == $session->query('SHOW rswebhook.workers');
        sleep 0.02;
    }
    die "there are not as many workers as there should be\n";
}

sub launcher
{
    return $session->query(
        "SELECT pid FROM pg_stat_activity WHERE backend_type = 'rswebhook launcher'");
}

# Wait until all is recorded, which has arrived; dies unless so many were delivered,
# each once.
sub check_delivered
{
    my ($count, $destination) = @_;
    my $of = "(SELECT id FROM rswebhook.destination WHERE name = '$destination')";

    for (1 .. 6000)
    {
        last unless $session->query(
            "SELECT EXISTS (SELECT FROM rswebhook.queue WHERE destination_id = $of)") eq 't';
        sleep 0.01;
    }
    my $got = $session->query(<<"SQL");
SELECT count(*) FILTER (WHERE outcome = 'delivered') || ' of ' || count(DISTINCT event_id)
    || ' in ' || count(*) || ' attempts'
FROM rswebhook.delivery WHERE destination_id = $of;
SQL
    die "delivered $got, not $count of $count in $count attempts\n"
      unless $got eq "$count of $count in $count attempts";
    return;
}

1;
