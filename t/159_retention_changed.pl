# A year without a worker, in which sends go on: what is owed is delivered when one is there, and the rest goes. And the
# retention changes at run time, up and down: whatever it was before, what is younger stays, what is owed
# stays, and all else goes when it is a quarter older, and an eighth where something is owed beside it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use Clock;
use RswebhookTest;
use Test::More;

my $clock = Clock->new(temp_dir('clock'), source_dir() . '/t/lib/wall.c') or plan(skip_all => $@);
my $receiver = new_receiver();
my $node = new_node('years', preload => 0, start => 0, conf => "log_min_messages = debug1\n");
my $hours = 0;

$clock->start($node);
query($node, 'CREATE EXTENSION rswebhook');
add_destination($node, 'good', $receiver->url('/good'));
add_destination($node, 'paused', $receiver->url('/paused'), { paused => 't' });

# ---------------------------------------------------------------------
# A year without a worker
# ---------------------------------------------------------------------
my @good;
foreach my $month (1 .. 13)
{
    push @good, send_event($node, { type => 'track', event => "m$month" }, 'good');
    send_event($node, { type => 'track', event => "m$month" }, 'paused');
    let_pass(28 * 24);
}
is(query($node, 'SELECT count(*) FROM rswebhook.event'), 26, 'sends go on without a worker');
is(query($node, q{SELECT extract(day FROM justify_interval(max(oldest_event))) + 30 * extract(month FROM justify_interval(max(oldest_event)))
        + 360 * extract(year FROM justify_interval(max(oldest_event))) BETWEEN 363 AND 366 FROM rswebhook.status}), 't', 'and the status says for how long');
$node->stop;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'rswebhook'\n");
$clock->start($node);
ok(wait_for_query($node, q{SELECT count(*) FROM rswebhook.delivery WHERE outcome = 'delivered'}, 13), 'a worker delivers what is owed');
is(scalar($receiver->requests_to('/good')), 13, 'each once');
let_pass(24);     # a part in which something is owed rests after a look
look();
is(join(' ', grep { !is_stored($_) } @good), join(' ', @good), 'what is delivered is past the retention, and goes');
is(query($node, 'SELECT count(*) FROM rswebhook.event'), 13, 'what is owed stays, however old');
query($node, q{SELECT rswebhook_resume('paused')});
ok(wait_until_sent($node), 'which is sent as soon as it may');
is(scalar($receiver->requests_to('/paused')), 13, 'all of it');
let_pass(24);
look();
is(query($node, 'SELECT count(*) FROM rswebhook.event'), 0, 'and then goes as well');
is(query($node, 'SELECT count(*) FROM rswebhook.delivery'), 26, 'but not what was recorded today');
query($node, q{SELECT rswebhook_pause('paused')});

# ---------------------------------------------------------------------
# The retention changes
# ---------------------------------------------------------------------
my @events;    # id, hours, owed
my (@early, @late);
foreach my $retention (24, 2, 365 * 24, 6)
{
    my $changed = $hours;

    query($node, "ALTER SYSTEM SET rswebhook.retention = '${retention}h'");
    query($node, 'SELECT pg_reload_conf()');
    ok(wait_for_query($node, "SELECT setting::integer / 3600 FROM pg_settings WHERE name = 'rswebhook.retention'", $retention), "a retention of $retention h");
    foreach my $step (1 .. 14)
    {
        push @events, { id => send_event($node, { type => 'track' }, 'good'), at => $hours };
        push @events, { id => send_event($node, { type => 'track' }, 'paused'), at => $hours, owed => 1 } if $step == 3;
        ok(wait_for_query($node, q{SELECT count(*) FROM rswebhook.queue WHERE destination_id = rswebhook.destination_id('good')}, 0), 'one is delivered') or last;
        let_pass($retention / 8);
        look();
        my %stored = map { $_ => 1 } split /\n/, query($node, 'SELECT id FROM rswebhook.event');
        foreach my $event (@events)
        {
            my $age = $hours - $event->{at};

            # the time that a step takes is nothing to these
            push @early, "$event->{id} after $age h of $retention" if !$stored{ $event->{id} } && ($event->{owed} || $age < $retention);
            push @late, "$event->{id} after $age h of $retention"
              if $stored{ $event->{id} } && !$event->{owed} && $age > 1.4 * $retention && $hours - $changed > 1.4 * $retention;
        }
        @events = grep { $stored{ $_->{id} } } @events;
    }
}
is(join("\n", @early), '', 'nothing goes early');
is(join("\n", @late), '', 'nor late');
cmp_ok(scalar(@events), '<', 20, 'and most have gone');
is(scalar(grep { $_->{owed} } @events), 4, 'but what is owed');
query($node, q{SELECT rswebhook_resume('paused')});
ok(wait_until_sent($node), 'which is sent in the end');
is(scalar($receiver->requests_to('/paused')), 17, 'all of it');
is(errors_logged($node), 0, 'no worker has logged an error');

$node->stop;
done_testing();

# Time goes by, as if the machine slept.
sub let_pass
{
    my ($more) = @_;

    $hours += $more;
    $clock->set(0, int($hours * 3600));
    return;
}

# All parts of both rings are looked at, from the first on.
sub look
{
    foreach (1 .. 2)
    {
        my $said = looked();

        query($node, 'SELECT pg_reload_conf()');
        wait_for('a look', sub { looked() > $said });
    }
    return;
}

sub looked
{
    return times_logged($node, qr/has looked for rows past the retention/);
}

sub is_stored
{
    my ($id) = @_;

    return query($node, "SELECT count(*) FROM rswebhook.event WHERE id = $id");
}
