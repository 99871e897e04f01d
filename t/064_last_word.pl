# What an answer says of a destination waits while somebody has its row locked.  It
# does not overrule whoever has resumed or changed the destination meanwhile, nor does
# it keep what is to be written of another destination.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use RswebhookTest;
use Session;
use Test::More;

my $limit = 40;
my $receiver = new_receiver();
my $node = new_node('last_word');
my %quick = (min_backoff => '50 ms', max_backoff => '100 ms', breaker_failures => 0);
my %pausing = (%quick, status_outcomes => '{"401": "pause"}');
my $lacks = q{SELECT max(lacks) FROM rswebhook.workers()};
my $serial = 0;

#
# A pause
#
my %words = (
    resumed => q{SELECT rswebhook_resume('resumed')},
    edited => q{UPDATE rswebhook.destination SET status_outcomes = '{}' WHERE name = 'edited'},
    replaced => q{
        CREATE TEMP TABLE same AS SELECT * FROM rswebhook.destination WHERE name = 'replaced';
        DELETE FROM rswebhook.destination WHERE name = 'replaced';
        INSERT INTO rswebhook.destination SELECT * FROM same});
foreach my $name (sort keys %words)
{
    add_destination($node, $name, $receiver->url("/switch/$name"), \%pausing);
    $receiver->switch($name, '/status/401');
    my $session = Session->new($node);
    $session->query("BEGIN; SELECT FROM rswebhook.destination WHERE name = '$name' FOR UPDATE");
    my $event = send_to($name);
    ok(waits(), "$name: a pause that cannot be written down waits");
    $receiver->switch($name, '/ok');
    $session->query("$words{$name}; COMMIT");
    $session->close;
    ok(delivered($event), "$name: it is overruled");
    ok(wait_for_query($node, $lacks, ''), "$name: nothing waits any more");
    is(query($node, "SELECT paused FROM rswebhook.destination WHERE name = '$name'"), 'f', "$name: it is not paused");
    ok(delivered(send_to($name)), "$name: it goes on");

    # what comes after the last word counts again
    next if $name eq 'edited';
    $receiver->switch($name, '/status/401');
    send_to($name);
    ok(wait_for_query($node, "SELECT paused FROM rswebhook.destination WHERE name = '$name'", 't', $limit),
        "$name: a later answer pauses it");
}

#
# A circuit breaker
#
add_destination($node, 'broken', $receiver->url('/switch/broken'),
    { min_backoff => '10 min', max_backoff => '10 min', breaker_failures => 1 });
foreach my $word (q{SELECT rswebhook_resume('broken')}, q{UPDATE rswebhook.destination SET timeout = '20 s' WHERE name = 'broken'})
{
    $receiver->switch('broken', '/status/500');
    my $session = Session->new($node);
    $session->query('BEGIN; LOCK TABLE rswebhook.breaker IN EXCLUSIVE MODE');
    send_to('broken');
    ok(waits(), 'a breaker that cannot be written down waits');
    $receiver->switch('broken', '/ok');
    $session->query("$word; COMMIT");
    $session->close;
    ok(delivered(send_to('broken')), 'it is overruled');
    ok(wait_for_query($node, $lacks, ''), 'nothing waits any more');
    is(query($node, 'SELECT count(*) FROM rswebhook.breaker'), '0', 'it is closed');
}
query($node, 'TRUNCATE rswebhook.queue; DELETE FROM rswebhook.destination; DELETE FROM rswebhook.breaker');

#
# While a pause cannot be written, a breaker can
#
add_destination($node, 'locked', $receiver->url('/status/401/locked'), \%pausing);
add_destination($node, 'beside', $receiver->url('/status/500/beside'), { breaker_failures => 1 });
my $session = Session->new($node);
$session->query(q{BEGIN; SELECT FROM rswebhook.destination WHERE name = 'locked' FOR UPDATE});
send_to('locked');
ok(waits(), 'a pause waits');
send_to('beside');
ok(wait_for_query($node, 'SELECT count(*) FROM rswebhook.breaker', '1', $limit), 'a breaker of another destination is written');
$session->query('ROLLBACK');
$session->close;
ok(wait_for_query($node, q{SELECT paused FROM rswebhook.destination WHERE name = 'locked'}, 't'), 'then the pause is, too');

#
# What fails the first time only is not shown for ever, with nothing else to write down
#
query($node, q{
    TRUNCATE rswebhook.queue;
    DELETE FROM rswebhook.destination;
    DELETE FROM rswebhook.breaker;
    CREATE SEQUENCE tries;
    CREATE FUNCTION once() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
        BEGIN
            IF nextval('tries') = 1 THEN
                RAISE 'not the first time';
            END IF;
            RETURN NEW;
        END $$;
    CREATE TRIGGER once BEFORE UPDATE ON rswebhook.destination FOR EACH ROW WHEN (NEW.paused) EXECUTE FUNCTION once()});
add_destination($node, 'twice', $receiver->url('/status/401/twice'), \%pausing);
send_to('twice');
ok(wait_for_query($node, q{SELECT paused FROM rswebhook.destination WHERE name = 'twice'}, 't'), 'a pause is written the second time');
ok(wait_for_query($node, $lacks, ''), 'nothing is shown any more');

done_testing();

sub send_to
{
    my ($destination) = @_;

    $serial++;
    return send_event($node, { type => 'track', userId => "u$serial", messageId => "m-$serial" }, $destination);
}

sub delivered
{
    my ($id) = @_;

    return wait_for_query($node,
        "SELECT count(*) FROM rswebhook.delivery WHERE event_id = $id AND outcome = 'delivered'", '1', $limit);
}

# Until something cannot be written down
sub waits
{
    return wait_for_query($node,
        q{SELECT count(*) > 0 FROM rswebhook.workers() WHERE lacks LIKE 'pauses and circuit breakers cannot be recorded: %'}, 't');
}
