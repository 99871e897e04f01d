# A parallel pg_dump does not fail because the worker empties old parts of the rings:
# its workers lock the tables of an extension late, and may not wait.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use Child;
use RswebhookTest;
use Test::More;

my $node = new_node('dumps', conf => "log_min_messages = debug1\nrswebhook.retention = '5d'\n");
my $current = query($node, 'SELECT rswebhook.ring_slot(now())');
my $reader = $node->background_psql('postgres');

# A transaction that has read what pg_dump reads first holds up nothing but the
# emptying, and that not until a part is to be written again
$reader->query_safe('BEGIN; SELECT count(*) FROM pg_extension');
make_old('1 hour');
start_new_workers();
ok(wait_for('a look', sub { said(qr/for rows past the retention, again in 10 s/) }), 'it is tried again soon');
is(rows(), '18', 'nothing is emptied while a dump may be under way');
query($node, q{
    UPDATE rswebhook.event SET created_at = created_at - interval '1 day';
    UPDATE rswebhook.delivery SET started_at = started_at - interval '1 day'});
start_new_workers();
ok(wait_for('empty parts', sub { rows() eq '0' }), 'but not for ever');
$reader->query_safe('COMMIT');
$reader->quit;

# Parts that are to be emptied, and a worker that looks for them, all the time
my $dir = temp_dir('dumps');
my $presses = Child::start(
    sub {
        while (!-e "$dir/enough")
        {
            eval { make_old('1 hour'); start_new_workers(); 1 } or warn $@;
        }
    });
my @failed;
my $emptied = said(qr/rswebhook emptied/);
foreach my $round (1 .. 8)
{
    my $said = qx(pg_dump -h @{[ $node->host ]} -p @{[ $node->port ]} -Fd -j 4 -f $dir/dump$round postgres 2>&1);

    push @failed, $said if $?;
}
is(join('', @failed), '', 'no parallel dump fails');
ok(wait_for('some that was emptied', sub { said(qr/rswebhook emptied/) > $emptied }), 'between them parts are emptied');
open my $enough, '>', "$dir/enough" or die "could not write \"$dir/enough\": $!\n";
close $enough;
Child::stop($presses, undef);

done_testing();

# Rows so long past the retention, in all parts of both rings but those that are written
sub make_old
{
    my ($by) = @_;

    query($node, qq{
        INSERT INTO rswebhook.event (id, slot, created_at, event)
        SELECT nextval('rswebhook.event_id_seq'), slot, now() - interval '5 days' - interval '$by', '"old"'
        FROM generate_series(0, 9) AS slot WHERE slot <> $current;
        INSERT INTO rswebhook.delivery (event_id, slot, destination_id, started_at, duration, outcome, attempt)
        SELECT 1, slot, 1, now() - interval '5 days' - interval '$by', interval '1 s', 'delivered', 1
        FROM generate_series(0, 9) AS slot WHERE slot <> $current});
    return;
}

sub rows
{
    return query($node, q{SELECT (SELECT count(*) FROM rswebhook.event) + (SELECT count(*) FROM rswebhook.delivery)});
}

# How often the log has said that
sub said
{
    my ($what) = @_;

    return scalar grep { /$what/ } split /^/, logged($node, 0);
}

# The first worker looks at the parts when it starts
sub start_new_workers
{
    my $old = worker_pids($node);

    query($node, "SELECT pg_terminate_backend(pid::integer) FROM regexp_split_to_table('$old', ' ') AS pid");
    return await_others($node, $old);
}
